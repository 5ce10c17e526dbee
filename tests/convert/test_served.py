"""`sft convert --as-served`: one page in four formats, against golden rows and against the pictures that the functions
of the installed PaddleX make of the same page.

    tests/golden/served/NAME/source/…        a page with a text beside and below a picture, a paragraph over two
                                             columns, a formula, and a table with a large and a small picture in it
    tests/golden/served/NAME/expected.jsonl  what must become of it (`scripts/bless`)
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from paddlex_functions import layout_functions, load_uilts
from PIL import Image
from places import TESTS
from test_formats_golden import compare, neutral

from sft.cli import sft as command
from sft.convert.driver import Result, convert
from sft.convert.worker import ConvertRequest
from sft.errors import UsageError
from sft.formats.base import Item, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import served, served_rule
from sft.formats.shared.regions import Quad
from sft.formats.shared.served import Block, ServedPage
from sft.formats.shared.served_rule import Kind
from sft.images import Box, Mark
from sft.markup import Cell
from sft.runtime.runner import Runner
from sft.types import Task

FOLDER = TESTS / "golden" / "served"
FORMATS = ("omnidocbench", "docling", "page-xml", "ppocrlabel")
# the page as layout detection would find it, in reading order
PAGE: list[tuple[str, Box]] = [
    ("paragraph_title", (40, 20, 600, 50)),
    ("text", (40, 60, 360, 240)),
    ("image", (380, 60, 600, 240)),
    ("text", (40, 248, 600, 300)),
    ("text", (40, 320, 310, 420)),
    ("text", (330, 320, 600, 400)),
    ("display_formula", (200, 440, 440, 500)),
    ("table", (40, 520, 600, 690)),
    ("image", (330, 610, 420, 680)),
    ("image", (50, 610, 70, 630)),
]
APART = ["image", "header_image", "footer_image", "chart", "seal", "table"]


def run(name: str, source: Path, folder: Path, **options: Any) -> tuple[Result, list[dict[str, Any]]]:
    """Convert with --as-served; (result, rows)."""
    out = folder / "out.jsonl"
    given = SourceOptions(as_served=True, **options)
    result = convert(ConvertRequest(name, source, out, given), Runner(workers=1))
    return result, [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def beside(folder: Path, name: str) -> list[dict[str, Any]]:
    """The lines of a file beside the output."""
    path = folder / f"out.{name}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def pictures(rows: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """source of a row → its pixels."""
    return {row["source"]: np.asarray(Image.open(folder / row["image_info"][0]["image_url"])) for row in rows}


def as_pipeline(image: Path, layout: list[tuple[str, Box]]) -> list[Any]:
    """What the functions of PaddleX make of a page: the pictures that the model is asked about."""
    theirs, gather = load_uilts(), layout_functions()["gather_imgs"]
    page = np.asarray(Image.open(image).convert("RGB"))
    boxes = [{"label": label, "coordinate": list(box), "score": 1} for label, box in layout]
    figures = gather(page, boxes)
    blocks = []
    for found in theirs.filter_overlap_boxes({"boxes": boxes}, "rect")["boxes"]:
        left, top, right, bottom = found["coordinate"]
        crop = page[top:bottom, left:right].copy()
        blocks.append({"label": found["label"], "box": found["coordinate"], "img": crop})
    asked = []
    for block in theirs.merge_blocks(blocks, APART):
        picture = block["img"]
        if picture is None or block["label"] == "image":
            continue
        if block["label"] == "table":
            picture, _, _ = theirs.tokenize_figure_of_table(picture, block["box"], figures)
        elif block["label"] == "display_formula":
            picture = theirs.crop_margin(picture)
        asked.append(picture[..., 0])  # all of it is grey
    return asked


@pytest.mark.parametrize("name", FORMATS)
def test_golden_page_becomes_the_golden_rows(name: str, tmp_path: Path) -> None:
    source = FOLDER / name / "source"
    result, _ = run(name, source, tmp_path)
    for ending in ("", ".rejects", ".warnings"):
        found = tmp_path / f"out{ending}.jsonl"
        text = neutral(found.read_text("utf-8"), source, tmp_path) if found.exists() else ""
        compare(FOLDER / name / f"expected{ending}.jsonl", text)
    counts = result.manifest["counts"]
    assert counts["in"] == counts["out"] + counts["rejected"]
    assert counts["merged"] == {"blocks": 4, "rows": 2}
    assert result.manifest["options"]["as_served"] is True


@pytest.mark.parametrize("name", FORMATS)
def test_the_model_is_trained_on_the_pictures_that_it_will_be_asked_about(name: str, tmp_path: Path) -> None:
    _, rows = run(name, FOLDER / name / "source", tmp_path)
    asked = as_pipeline(FOLDER / "page-xml/source/roses.png", PAGE)
    assert len(asked) == 5
    hit = set()
    for source, ours in pictures(rows, tmp_path).items():
        same = [index for index, theirs in enumerate(asked) if np.array_equal(ours, theirs)]
        assert len(same) == 1 or source == "Label.txt:1#6", f"{source} is none of the pictures of the pipeline"
        hit |= set(same)
    missing = {"page-xml": 1, "ppocrlabel": 2}  # no formula in PAGE, neither formula nor table in this Label.txt
    assert len(asked) - len(hit) == missing.get(name, 0)


def test_all_formats_give_the_same_pictures(tmp_path: Path) -> None:
    found = []
    for name in FORMATS:
        (tmp_path / name).mkdir()
        _, rows = run(name, FOLDER / name / "source", tmp_path / name)
        found.append({row["image_info"][0]["image_url"] for row in rows})
    assert found[0] == found[1] and found[2] < found[0]


# ---- one page of OmniDocBench, built for what is looked at


def omnidocbench(folder: Path, blocks: list[dict[str, Any]], **page: Any) -> Path:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (500, 600)).astype(np.uint8)).save(folder / "page.png")
    info = {"image_path": "page.png", "width": 600, "height": 500}
    path = folder / "page.json"
    path.write_text(json.dumps([{"layout_dets": blocks, "page_info": info, **page}]), "utf-8")
    return path


def block(kind: str, box: Box, order: Any = None, **more: Any) -> dict[str, Any]:
    left, top, right, bottom = box
    return {
        "category_type": kind,
        "poly": [left, top, right, top, right, bottom, left, bottom],
        "order": order,
        **more,
    }


COLUMNS = [
    block("text_block", (10, 10, 200, 100), 0, anno_id=0, text="left"),
    block("text_block", (220, 10, 400, 100), 1, anno_id=1, text="right"),
]


def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text_info"][1]["text"] for row in rows]


def test_blocks_are_joined_in_reading_order(tmp_path: Path) -> None:
    source = omnidocbench(tmp_path, [COLUMNS[1], COLUMNS[0]])
    _, rows = run("omnidocbench", source, tmp_path)
    assert texts(rows) == ["left\nright"] and rows[0]["source"] == "page.json[0]#1+0"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("left", "right", "left right"),
        ("東京", "の天気", "東京の天気"),
        ("exam-", "ple", "exam-\nple"),
        ("e", "\u0301t", "\u00e9t"),
    ],
)
def test_a_text_that_goes_on_stays_on_its_line(first: str, second: str, expected: str, tmp_path: Path) -> None:
    blocks = [{**COLUMNS[0], "text": first}, {**COLUMNS[1], "text": second}]
    relation = [{"source_anno_id": 0, "target_anno_id": 1, "relation_type": "truncated"}]
    _, rows = run("omnidocbench", omnidocbench(tmp_path, blocks, extra={"relation": relation}), tmp_path)
    assert texts(rows) == [expected]


@pytest.mark.parametrize(
    "unread", [{"ignore": True}, {"text": "###"}, {"text": ""}, {"category_type": "text_mask"}, {"text": None}]
)
def test_a_block_without_text_is_joined_with_nothing(unread: dict[str, Any], tmp_path: Path) -> None:
    source = omnidocbench(tmp_path, [COLUMNS[0], {**COLUMNS[1], **unread}])
    result, rows = run("omnidocbench", source, tmp_path)
    assert texts(rows) == ["left"]
    assert [warning["code"] for warning in beside(tmp_path, "warnings")] == ["served.apart"]
    assert result.manifest["counts"]["merged"] == {"blocks": 0, "rows": 0}
    assert result.manifest["counts"]["rejected"] == 1


@pytest.mark.parametrize(("box", "kind"), [((10, 10, 200, 100), "title"), ((300, 300, 305, 400), "text_block")])
def test_what_the_pipeline_leaves_out_is_cut_alone(box: Box, kind: str, tmp_path: Path) -> None:
    more = block(kind, box, 3, text="again")
    _, rows = run("omnidocbench", omnidocbench(tmp_path, [*COLUMNS, more]), tmp_path)
    assert texts(rows) == ["left\nright", "again"]
    assert [warning["code"] for warning in beside(tmp_path, "warnings")] == ["served.unasked"]


def test_a_block_of_unknown_kind_takes_no_part(tmp_path: Path) -> None:
    source = omnidocbench(tmp_path, [COLUMNS[0], block("poem", (0, 0, 300, 90), 1, text="?"), COLUMNS[1]])
    _, rows = run("omnidocbench", source, tmp_path)
    assert texts(rows) == ["left\nright", "?"]
    assert [warning["code"] for warning in beside(tmp_path, "warnings")] == ["served.place"]


HTML = "<table><tr><td>{}</td><td>{}</td></tr><tr><td>{}</td><td>x</td></tr></table>"
TABLE: Box = (0, 100, 600, 500)
# left above, right above, left below
INSIDE: list[Box] = [(10, 110, 100, 200), (400, 120, 500, 190), (10, 300, 90, 400)]


def with_pictures(folder: Path, html: str, boxes: list[Box]) -> Path:
    figures = [block("figure", box, index + 5) for index, box in enumerate(boxes)]
    return omnidocbench(folder, [*figures, block("table", TABLE, 1, html=html)])


def test_pictures_of_a_table_are_marks_in_their_cells(tmp_path: Path) -> None:
    html = HTML.format("<img src='1'>", "b <IMG>", "<img/> c")
    _, rows = run("omnidocbench", with_pictures(tmp_path, html, INSIDE[::-1]), tmp_path)
    third, second, first = served_rule.marks(3)
    assert texts(rows) == [f"<fcel>{first}<fcel>b {second}<nl><fcel>{third} c<fcel>x<nl>"]
    assert not beside(tmp_path, "warnings")


@pytest.mark.parametrize(
    ("html", "boxes"),
    [
        (HTML.format("a", "b", "c"), INSIDE[:1]),
        (HTML.format("<img>", "<img>", "c"), INSIDE[:1]),
        (HTML.format("<img>", "b", "<img>"), INSIDE[:2]),  # in one row on the page
        (HTML.format("[F2]<img>", "b", "c"), INSIDE[:1]),
        (HTML.format("<!-- <img> -->", "b", "c"), INSIDE[:1]),
    ],
)
def test_a_table_whose_pictures_cannot_be_placed_stays_as_it_is(html: str, boxes: list[Box], tmp_path: Path) -> None:
    source = with_pictures(tmp_path, html, boxes)
    _, rows = run("omnidocbench", source, tmp_path)
    assert [warning["code"] for warning in beside(tmp_path, "warnings")] == ["served.picture"]
    page = np.asarray(Image.open(tmp_path / "page.png"))
    (crop,) = pictures(rows, tmp_path).values()
    assert np.array_equal(crop, page[100:500, 0:600])
    assert texts(rows)[0].count("[F") == html.count("[F")


def test_a_task_alone_sees_the_whole_page(tmp_path: Path) -> None:
    html = HTML.format("<img>", "b", "c")
    source = with_pictures(tmp_path, html, INSIDE[:1])
    _, rows = run("omnidocbench", source, tmp_path, task=Task.TABLE)
    assert texts(rows) == ["<fcel>[F2]<fcel>b<nl><fcel>c<fcel>x<nl>"]
    assert not beside(tmp_path, "rejects")


@pytest.mark.parametrize(
    "page",
    [
        {"extra": {"relation": [{"relation_type": "truncated", "source_anno_id": [], "target_anno_id": {}}, 3]}},
        {"relations": [{"relation": "truncated", "from": {}, "to": 1}], "extra": []},
        {"extra": {"relation": 5}},
    ],
)
def test_nonsense_costs_nothing(page: dict[str, Any], tmp_path: Path) -> None:
    blocks = [*COLUMNS, block("text_block", (10, 300, 90, 400), {"a": 1}, text="odd order"), 7]
    result, rows = run("omnidocbench", omnidocbench(tmp_path, blocks, **page), tmp_path)  # type: ignore[arg-type]
    assert texts(rows) == ["left\nright", "odd order"]
    assert result.manifest["counts"]["reasons"] == {"source.shape": 1}


# ---- properties, on random pages


def random_blocks(rng: random.Random) -> list[dict[str, Any]]:
    """Two columns, often with the same kind of block on both sides."""
    found: list[tuple[str, Box]] = []
    for top in range(10, rng.randint(30, 400), 70):
        kind = rng.choice(["text_block", "text_block", "text_block", "figure", "title", "table", "equation_isolated"])
        for left in (10, 210):
            kind = kind if rng.random() < 0.8 else "figure"
            box = (left, top, left + rng.choice([3, 180, 190]), top + rng.choice([4, 30, 60]))
            found.append((kind, box))
    labels: dict[str, dict[str, str]] = {"table": {"html": HTML}, "equation_isolated": {"latex": "x"}, "figure": {}}
    return [
        block(kind, box, index, **labels.get(kind, {"text": f"block {index}"}))
        for index, (kind, box) in enumerate(found)
    ]


def test_no_block_is_lost(tmp_path: Path) -> None:
    rng = random.Random(11)
    joined = 0
    for number in range(80):
        blocks = random_blocks(rng)
        folder = tmp_path / str(number)
        folder.mkdir()
        blocks.append(block("title", (450, 450, 590, 490), 99, text="so that there is a row"))
        result, rows = run("omnidocbench", omnidocbench(folder, blocks), folder)
        counts = result.manifest["counts"]
        assert counts["in"] == counts["out"] + counts["rejected"] == len(rows) + len(beside(folder, "rejects"))
        merged = counts["merged"]
        assert counts["in"] - merged["rows"] + merged["blocks"] == len(blocks)
        found = [
            int(one) for row in rows + beside(folder, "rejects") for one in members(row.get("source") or row["where"])
        ]
        assert sorted(found) == list(range(len(blocks)))
        joined += merged["rows"]
    assert joined > 10


def members(where: str) -> list[str]:
    return where.partition("#")[2].split("+")


def test_random_pages_are_shown_as_the_pipeline_shows_them(tmp_path: Path) -> None:
    rng = random.Random(14)
    labels = {
        "text_block": "text",
        "title": "paragraph_title",
        "figure": "image",
        "equation_isolated": "display_formula",
    }
    joined = dropped = 0
    for number in range(80):
        blocks = [one for one in random_blocks(rng) if one["category_type"] != "table"]
        blocks.append(block("title", (450, 450, 590, 490), 99, text="so that there is a row"))
        if number % 2:  # some in the same place
            blocks += [block("text_block", (15, 15, 190, 40), 100, text="twice")]
        rng.shuffle(blocks)
        layout = sorted(blocks, key=lambda one: int(one["order"]))
        folder = tmp_path / str(number)
        folder.mkdir()
        source = omnidocbench(folder, blocks)
        result, rows = run("omnidocbench", source, folder)
        boxes = [(labels[one["category_type"]], (*one["poly"][:2], *one["poly"][4:6])) for one in layout]
        expected = as_pipeline(folder / "page.png", boxes)
        alone = {one["where"] for one in beside(folder, "warnings") if one["code"] == "served.unasked"}
        ours = [picture for where, picture in pictures(rows, folder).items() if where not in alone]
        assert sorted(map(looks, ours)) == sorted(map(looks, expected))
        joined += result.manifest["counts"]["merged"]["rows"]
        dropped += len(alone)
    assert joined > 10 and dropped > 10


def looks(picture: Any) -> tuple[tuple[int, ...], bytes]:
    return picture.shape, np.ascontiguousarray(picture).tobytes()


def test_without_neighbours_nothing_changes(tmp_path: Path) -> None:
    rng = random.Random(12)
    for number in range(20):
        blocks = [
            block("title" if index % 2 else "text_block", (10 + 150 * (index % 4), 10 + 120 * (index // 4), 0, 0))
            for index in range(8)
        ]
        for index, one in enumerate(blocks):
            left, top = one["poly"][:2]
            right, bottom = left + rng.randint(20, 100), top + rng.randint(20, 40)
            one |= block(one["category_type"], (left, top, right, bottom), index, text=f"block {index}")
        folder = tmp_path / str(number)
        folder.mkdir()
        source = omnidocbench(folder, blocks)
        _, rows = run("omnidocbench", source, folder)
        plain = folder / "plain.jsonl"
        convert(ConvertRequest("omnidocbench", source, plain, SourceOptions()), Runner(workers=1))
        assert [row["image_info"][0]["image_url"].replace("out_", "plain_") for row in rows] == [
            json.loads(line)["image_info"][0]["image_url"] for line in plain.read_text("utf-8").splitlines()
        ]
        assert texts(rows) == [f"block {index}" for index in range(8)]


# ---- pages that no file is needed for


def quad(box: Box) -> Quad:
    left, top, right, bottom = box
    return (left, top), (right, top), (right, bottom), (left, bottom)


def text_block(index: int, box: Box, kind: Kind = "text") -> Block:
    picture = Picture(path=Path("page.png"), quad=quad(box))
    return Block(kind, quad(box), Item(f"a.json#{index}", picture, f"text {index}", Task.OCR))


def test_a_page_of_very_many_blocks_is_compared_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "MAX_BLOCKS", 10)
    blocks = [text_block(index, (0, 100 * index, 50, 100 * index + 40)) for index in range(25)]
    reads = list(served.served_rows(ServedPage(blocks, range(25))))
    assert len(reads) == 25
    warned = [read.where for read in reads if isinstance(read, Item) and read.warnings]
    assert warned == [f"a.json#{index}" for index in range(10, 25)]


def test_every_read_of_a_random_page_comes_back() -> None:
    rng = random.Random(13)
    for _ in range(200):
        blocks: list[Block] = []
        for index in range(rng.randint(1, 30)):
            left, top = rng.choice([0, 3, 120, 240]), rng.randint(0, 600)
            box = (left, top, left + rng.choice([2, 90, 100]), top + rng.choice([3, 40, 90]))
            one = text_block(index, box, rng.choice(["text", "text", "text", "image", "other", "unknown"]))
            read: ReadItem | None = one.read
            if rng.random() < 0.2:
                read = rng.choice([None, Reject(f"a.json#{index}", "target.empty", "no label")])
            blocks.append(Block(one.kind, rng.choice([one.quad, one.quad, one.quad, ()]), read))
        order = list(range(len(blocks)))
        rng.shuffle(order)
        reads = list(served.served_rows(ServedPage(blocks, order, (300, 600))))
        found = sorted(int(one) for read in reads if not isinstance(read, str) for one in members(where_of(read)))
        assert found == [index for index, one in enumerate(blocks) if one.read is not None]


def where_of(read: ReadItem) -> str:
    assert isinstance(read, (Item, Reject))
    return read.where


@pytest.mark.parametrize(
    ("middle", "expected"),
    [((20, 20), "[F2] a"), ((75, 20), "[F2] a"), ((20, 45), "[F2] a"), ((90, 48), "a [F2]"), ((50, 90), "a [F2]")],
)
def test_a_mark_stands_where_its_picture_stands(middle: tuple[int, int], expected: str) -> None:
    x, y = middle
    mark = Mark((x - 5, y - 5, x + 5, y + 5), "[F2]")
    cells = [(0, 0, Cell("a")), (0, 1, Cell(""))]
    found = served.marked_cells(cells, [(0, 0, 100, 100), (100, 0, 200, 100)], [mark])
    assert found is not None and found[0][2].text == expected


@pytest.mark.parametrize("boxes", [[None], [(0, 0, 10, 10)], [(0, 0, 100, 100), (40, 40, 90, 90)]])
def test_a_mark_whose_cell_is_not_known(boxes: list[Box | None]) -> None:
    cells = [(0, index, Cell("a")) for index in range(len(boxes))]
    assert served.marked_cells(cells, boxes, [Mark((50, 50, 80, 80), "[F2]")]) is None


# ---- the command


def refused(name: str, source: Path, *more: str) -> UsageError:
    """What the command says where it exits with 2."""
    out = source.parent / "out.jsonl"
    arguments = ["convert", name, str(source), "-o", str(out), "--as-served", *more]
    found = CliRunner().invoke(command, arguments)
    assert isinstance(found.exception, UsageError) and found.exception.exit_code == 2
    assert not out.exists()
    return found.exception


def test_formats_without_blocks_refuse_it(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("image,text\na.png,b\n", "utf-8")
    known = str(refused("csv", source).hint).removeprefix("it goes with ").split(", ")
    assert sorted(known) == sorted(FORMATS)


def test_it_turns_no_crop(tmp_path: Path) -> None:
    source = tmp_path / "Label.txt"
    source.write_bytes((FOLDER / "ppocrlabel/source/Label.txt").read_bytes())
    assert "contradict" in refused("ppocrlabel", source, "--turn").message


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    source = FOLDER / "page-xml/source"
    lines = []
    for workers in (1, 2):
        out = tmp_path / f"{workers}" / "out.jsonl"
        out.parent.mkdir()
        order = ConvertRequest("page-xml", source, out, SourceOptions(as_served=True))
        convert(order, Runner(workers=workers))
        lines.append(out.read_bytes())
    assert lines[0] == lines[1]
