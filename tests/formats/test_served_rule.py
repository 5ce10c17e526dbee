"""The rules of the PaddleOCR pipeline against the functions of the installed PaddleX itself, on pages that were drawn
at random.
"""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest
from paddlex_functions import layout_functions, load_uilts, some_of, version

from sft.formats.shared import served_rule
from sft.formats.shared.served_rule import Group, Kind, Place
from sft.images import Box, Mark, Pixels, ServedCut, cut_as_served
from sft.images import served as pixels

PAGES = 1500
WIDTH, HEIGHT = 900, 1200
KINDS: list[Kind] = [
    "text",
    "text",
    "text",
    "text",
    "text",
    "text",
    "text",
    "text",
    "image",
    "image",
    "table",
    "chart",
    "seal",
    "formula",
    "other",
]
PICTURES: list[Kind] = ["image", "seal", "chart", "text"]
ASIDE: list[Kind] = ["image", "image", "table", "chart", "seal"]
LABELS = {"formula": "display_formula", "other": "paragraph_title"}  # as the layout model calls them
NOT_JOINED = ["image", "header_image", "footer_image", "chart", "seal", "table"]  # what the pipeline hands over


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    assert version() == "3.7.2", "read the pipeline again: sft/formats/shared/served_rule.py states 3.7.2"
    return load_uilts()


def random_page(rng: random.Random) -> list[Place]:
    """Blocks in two columns, with pictures that texts run around, and edges that nearly meet."""
    places = []
    for column in range(rng.choice([1, 2, 2, 3])):
        left = 20 + column * rng.choice([280, 290, 300])
        top = rng.randint(10, 60)
        for _ in range(rng.randint(1, 6)):
            kind = rng.choice(KINDS)
            width = rng.choice([120, 180, 250, 270, 276, 282, rng.randint(3, 300)])
            height = rng.choice([20, 40, 80, rng.randint(3, 400)])
            x = left + rng.choice([0, 0, 0, 3, 5, 6, 60, 100, 280 - width, 278 - width, 274 - width])
            places.append(Place(kind, (x, top, x + width, top + height)))
            if rng.random() < 0.3:
                places.append(
                    Place(rng.choice(ASIDE), (x + width - rng.randint(-10, 90), top, x + width + 100, top + height))
                )
            top += rng.choice([height, height + 5, height + 12, height // 2, height + 90, 0])
    return places


def as_blocks(places: list[Place], page: Pixels) -> list[dict[str, Any]]:
    blocks = []
    for place in places:
        left, top, right, bottom = place.box
        block = {"label": LABELS.get(place.kind, place.kind), "box": list(place.box)}
        blocks.append({**block, "img": page[top:bottom, left:right].copy()})
    return blocks


def their_groups(theirs: ModuleType, places: list[Place]) -> list[Group]:
    """What `merge_blocks` makes of the blocks."""
    page = np.zeros((3000, 2000, 3), np.uint8)
    blocks = as_blocks(places, page)
    for index, block in enumerate(blocks):
        block["index"] = index
    found: dict[int, list[int]] = {}
    aligns: dict[int, tuple[str, ...]] = {}
    for block in theirs.merge_blocks(blocks, NOT_JOINED):
        leader = block.get("group_id", block["index"])
        found.setdefault(leader, []).append(block["index"])
        if block["img"] is not None:
            aligns[leader] = tuple(block.get("merge_aligns") or ())
    return sorted(
        (Group(tuple(members), aligns[leader]) for leader, members in found.items()),  # type: ignore[arg-type]
        key=lambda group: group.members,
    )


def test_blocks_are_joined_as_the_pipeline_joins_them(theirs: ModuleType) -> None:
    rng = random.Random(3)
    joined: dict[str, int] = {}
    for _ in range(PAGES):
        places = random_page(rng)
        ours = served_rule.groups(places)
        assert ours == their_groups(theirs, places), places
        for group in ours:
            for align in group.aligns:
                joined[align] = joined.get(align, 0) + 1
    assert joined.keys() == {"left", "right", "center"} and min(joined.values()) > 50, joined


def test_no_block_is_lost_and_pages_without_neighbours_stay_as_they_are() -> None:
    rng = random.Random(4)
    for _ in range(300):
        places = random_page(rng)
        members = [index for group in served_rule.groups(places) for index in group.members]
        assert sorted(members) == list(range(len(places)))
        alone = [Place("other" if place.kind == "text" else place.kind, place.box) for place in places]
        assert served_rule.groups(alone) == [Group((index,)) for index in range(len(alone))]


@pytest.mark.parametrize(("height", "whole"), [(149, True), (150, False)])
def test_joined_blocks_are_not_three_times_as_tall_as_wide(height: int, whole: bool, theirs: ModuleType) -> None:
    places = [
        Place("text", (0, 0, 100, height)),
        Place("text", (0, height + 2, 80, 2 * height + 2)),
        Place("image", (90, height, 300, 400)),
    ]
    found = served_rule.groups(places)
    assert found == their_groups(theirs, places)
    assert (found[0].members == (0, 1)) == whole


def test_blocks_that_are_never_asked_about(theirs: ModuleType) -> None:
    rng = random.Random(5)
    dropped = 0
    for _ in range(PAGES):
        places = random_page(rng) + random_page(rng)
        boxes = [
            {"label": LABELS.get(place.kind, place.kind), "coordinate": list(place.box), "index": index}
            for index, place in enumerate(places)
        ]
        kept = {box["index"] for box in theirs.filter_overlap_boxes({"boxes": boxes}, "rect")["boxes"]}
        ours = served_rule.never_asked(places)
        assert ours == set(range(len(places))) - kept, places
        dropped += len(ours)
    assert dropped > PAGES


def test_marks_are_numbered_as_the_pipeline_numbers_them(theirs: ModuleType) -> None:
    for pictures in (1, 2, 3, 7, 8, 60, 400):
        figures = [{"coordinate": (0, 0, 30, 30), "path": str(index)} for index in range(pictures)]
        _, tokens, _ = theirs.tokenize_figure_of_table(np.zeros((30, 30, 3), np.uint8), [0, 0, 30, 30], figures)
        by_picture = {int(path): token for token, path in tokens.items()}
        assert served_rule.marks(pictures) == [by_picture[index] for index in range(pictures)]


def noise(rng: np.random.Generator, height: int, width: int, colours: int = 3) -> Pixels:
    shape = (height, width, colours) if colours > 1 else (height, width)
    return rng.integers(0, 256, shape).astype(np.uint8)


def test_tables_are_painted_as_the_pipeline_paints_them(theirs: ModuleType) -> None:
    gather = layout_functions()["gather_imgs"]
    rng, numbers = random.Random(6), np.random.default_rng(6)
    painted = 0
    for _ in range(400):
        page = noise(numbers, 300, 400)
        table: Box = (rng.randint(0, 40), rng.randint(0, 40), rng.randint(200, 400), rng.randint(200, 300))
        places = []
        for _ in range(rng.randint(1, 5)):
            x, y = rng.randint(0, 300), rng.randint(0, 220)
            box = (x, y, x + rng.choice([24, 25, 40, 90]), y + rng.choice([24, 25, 60, 120]))
            places.append(Place(rng.choice(PICTURES), box))
        found = [{"label": place.kind, "coordinate": list(place.box), "score": 1} for place in places]
        figures = gather(page, found)
        left, top, right, bottom = table
        expected, tokens, _ = theirs.tokenize_figure_of_table(page[top:bottom, left:right], list(table), figures)
        images = [place.box for place in places if place.kind in served_rule.IMAGES]
        clamped = [(x1, y1, min(x2, 400), min(y2, 300)) for x1, y1, x2, y2 in images]
        texts = served_rule.marks(len(clamped))
        marks = tuple(Mark(clamped[index], texts[index]) for index in served_rule.pictures_inside(table, clamped))
        assert {mark.text for mark in marks} == set(tokens)
        ours = cut_as_served(page, ServedCut((outline(table),), marks=marks))
        assert np.array_equal(ours, expected)
        painted += len(marks)
    assert painted > 100


def outline(box: Box) -> pixels.Outline:
    left, top, right, bottom = box
    return (left, top), (right, top), (right, bottom), (left, bottom)


def formulas(numbers: np.random.Generator) -> list[Pixels]:
    """Ink of all strengths on paper of all shades."""
    found = []
    for index in range(200):
        paper, ink = numbers.integers(0, 256, 2)
        block = np.full((40, 90, 3), paper, np.uint8)
        top, left = numbers.integers(0, 30, 2)
        height, width = numbers.integers(1, 12, 2) if index % 4 else (1, 2)
        block[top : top + height, left : left + width] = ink
        if index % 3 == 0:
            block[numbers.integers(0, 40), numbers.integers(0, 90)] = numbers.integers(0, 256, 3)
        if index % 5 == 0:
            block = noise(numbers, 40, 90) // 40 + np.uint8(200)
        found.append(block)
    for low, high in ((0, 255), (30, 220), (100, 131)):  # every grey between two, from left to right
        ramp = np.arange(low, high + 1, dtype=np.uint8)
        found.append(np.dstack([np.tile(ramp, (9, 1))] * 3))
    return [*found, np.full((9, 9, 3), 7, np.uint8)]


def test_formulas_lose_their_margins_as_in_the_pipeline(theirs: ModuleType) -> None:
    sizes = set()
    for block in formulas(np.random.default_rng(7)):
        cropped = theirs.crop_margin(block[..., ::-1])  # the pipeline's pages are BGR
        expected = cropped if cropped.shape[0] > 2 and cropped.shape[1] > 2 else block[..., ::-1]
        height, width = block.shape[:2]
        ours = cut_as_served(block, ServedCut((outline((0, 0, width, height)),), margins=True))
        assert np.array_equal(ours, expected[..., ::-1])
        sizes.add(ours.shape)
    assert len(sizes) > 20


@pytest.mark.parametrize("colours", [3, 1])
def test_crops_are_stacked_as_the_pipeline_stacks_them(colours: int, theirs: ModuleType) -> None:
    rng, numbers = random.Random(8), np.random.default_rng(8)
    for _ in range(200):
        blocks = [noise(numbers, rng.randint(1, 30), rng.randint(1, 60), colours) for _ in range(rng.randint(1, 5))]
        aligns = [rng.choice(get_args(pixels.Align)) for _ in blocks[1:]]
        expected = theirs.merge_images(blocks, aligns)
        ours = pixels.stack(blocks, aligns)
        assert np.array_equal(ours if ours.ndim == expected.ndim else np.dstack([ours] * 3), expected)


def test_blocks_are_cut_out_as_in_the_pipeline() -> None:
    import cv2

    place = "paddlex/inference/pipelines/components/common/crop_image_regions.py"
    known = {"BaseOperator": object, "np": np, "cv2": cv2, "List": list}
    crop_by_boxes = some_of(place, ("CropByBoxes",), known)["CropByBoxes"]()
    rng, numbers = random.Random(9), np.random.default_rng(9)
    masked = 0
    for _ in range(300):
        page = noise(numbers, 60, 80)
        shape = tuple((float(rng.randint(0, 80)), float(rng.randint(0, 60))) for _ in range(rng.choice([4, 4, 5, 8])))
        left, top, right, bottom = box = pixels.box_of(shape)
        if right == left or bottom == top:
            continue
        found = {"cls_id": 0, "coordinate": list(box), "polygon_points": shape}
        (expected,) = crop_by_boxes(page, [found], "auto")
        ours = cut_as_served(page, ServedCut((shape,)))
        assert np.array_equal(ours, expected["img"])
        masked += not np.array_equal(ours, page[top:bottom, left:right])
        assert np.array_equal(cut_as_served(page, ServedCut((outline(box),))), page[top:bottom, left:right])
    assert masked > 200
