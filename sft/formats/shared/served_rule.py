"""Which blocks of a page the PaddleOCR pipeline joins, which it never asks the model about, and how it numbers pictures
inside tables: the rules of PaddleX 3.7.2 as functions of kinds and boxes.

The kinds are the labels of its layout model, as far as the rules tell them apart. Charts and seals count as pictures,
as they do unless their recognition is switched on. Boxes are in whole pixels of the page.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice, product
from typing import Literal

from sft.images import Align, Box

Kind = Literal["text", "table", "image", "chart", "seal", "formula", "other", "unknown"]

APART: frozenset[Kind] = frozenset(("table", "image", "chart", "seal"))  # never joined; beside them texts are
IMAGES: frozenset[Kind] = frozenset(("image", "seal"))  # that are painted over inside a table
SHORTEST = 6  # pixels of a side; what is shorter is not asked about
SAME_PLACE = 0.7  # of the smaller of two blocks: overlapping more, one of them goes
SAME_EDGE = 5  # pixels by which aligned edges may differ
NEAR = 0.5  # of the taller block: the distance of two blocks below each other
GUTTER = 0.3  # of the wider block: the distance of two columns
TALL = 3  # times its width: a joined crop that would be as tall is not made
SMALL_PICTURE = 25  # pixels of a side; a picture below that stays as it is
DIGITS = "2345678"  # of marks; the model is never asked to tell 0, 1 and 9 from letters
SEED = 1024  # of the shuffled numbers


@dataclass(frozen=True)
class Place:
    """A block as layout detection would find it."""

    kind: Kind
    box: Box


@dataclass(frozen=True)
class Group:
    """Blocks that become one crop, by their index; `aligns[i]` says how the one after i stands below it."""

    members: tuple[int, ...]
    aligns: tuple[Align, ...] = ()


def never_asked(places: Sequence[Place]) -> set[int]:
    """The blocks that are left out: too small, or in the same place as a larger one."""
    dropped: set[int] = set()
    for first, one in enumerate(places):
        if _shorter_side(one.box) < SHORTEST:
            dropped.add(first)
        for second in range(first + 1, len(places)):
            if first in dropped:
                break
            other = places[second]
            if second in dropped or not _in_one_place(one, other):
                continue
            if _area(one.box) >= _area(other.box):
                dropped.add(second)
            else:
                dropped.add(first)
    return dropped


def _in_one_place(one: Place, other: Place) -> bool:
    shared = _shared(one.box, other.box)
    if not shared or shared / min(_area(one.box), _area(other.box)) <= SAME_PLACE:
        return False
    kinds = {one.kind, other.kind}
    if len(kinds) == 1 or not kinds & APART:
        return True
    return "table" in kinds and not kinds <= APART


def _area(box: Box) -> int:
    return abs(_width(box) * _height(box))


def _shared(one: Box, other: Box) -> int:
    width = min(one[2], other[2]) - max(one[0], other[0])
    if width <= 0:
        return 0
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * max(0, height)


def groups(places: Sequence[Place]) -> list[Group]:
    """All blocks in reading order, those that are joined in one group."""
    pictures = [place.box for place in places if place.kind in APART]
    alone = [Group((index,)) for index, place in enumerate(places) if place.kind in APART]
    joined: list[Group] = []
    before: Place | None = None
    for index, place in enumerate(places):
        if place.kind in APART:
            continue
        align = _alignment(before, place, pictures)
        if align is None:
            joined.append(Group((index,)))
        else:
            last = joined.pop()
            joined.append(Group((*last.members, index), (*last.aligns, align)))
        before = place
    for group in joined:
        alone += _not_too_tall(group, places)
    return sorted(alone, key=lambda group: group.members)


def _not_too_tall(group: Group, places: Sequence[Place]) -> list[Group]:
    boxes = [places[index].box for index in group.members]
    width = max(map(_width, boxes))
    height = sum(map(_height, boxes))
    if width > 0 and height / width < TALL:
        return [group]
    return [Group((index,)) for index in group.members]


def _alignment(before: Place | None, after: Place, pictures: Sequence[Box]) -> Align | None:
    """How a block stands below the one before it in reading order; None where they are not joined."""
    if before is None or before.kind != "text" or after.kind != "text":
        return None
    upper = before.box
    lower = after.box
    if min(upper[2], lower[2]) <= max(upper[0], lower[0]):  # nothing of one is below the other
        return "center" if _in_next_column(upper, lower) else None
    left = _aligned(upper[0], lower[0])
    right = _aligned(upper[2], lower[2])
    if left == right or not _below(upper, lower):
        return None
    if not _beside_picture(upper, lower, pictures):
        return None
    return "left" if left else "right"


def _aligned(one: int, other: int) -> bool:
    return abs(one - other) <= SAME_EDGE


def _in_next_column(before: Box, after: Box) -> bool:
    gutter = after[0] - before[2]
    wider = max(_width(before), _width(after))
    return gutter > 0 and after[1] < before[3] and gutter < wider * GUTTER


def _below(before: Box, after: Box) -> bool:
    taller = max(_height(before), _height(after))
    return after[3] >= before[1] and abs(after[1] - before[3]) < taller * NEAR


def _beside_picture(before: Box, after: Box, pictures: Sequence[Box]) -> bool:
    around = (
        min(before[0], after[0]),
        min(before[1], after[1]),
        max(before[2], after[2]),
        max(before[3], after[3]),
    )
    return any(_shared(around, picture) for picture in pictures)


def marks(pictures: int) -> list[str]:
    """The mark of each picture of a page, in the order in which layout detection gives them."""
    numbers = list(islice(_numbers(), pictures))
    random.Random(SEED).shuffle(numbers)
    return [f"[F{number}]" for number in numbers]


def _numbers() -> Iterator[int]:
    """Numbers without the digits 0, 1 and 9, from the smallest."""
    for length in count(1):
        yield from (int("".join(digits)) for digits in product(DIGITS, repeat=length))


def pictures_inside(table: Box, images: Sequence[Box]) -> list[int]:
    """The pictures that lie wholly inside a table, and are large enough to be painted over."""
    return [
        index for index, image in enumerate(images) if _contains(table, image) and _shorter_side(image) >= SMALL_PICTURE
    ]


def _contains(outer: Box, inner: Box) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def _width(box: Box) -> int:
    return box[2] - box[0]


def _height(box: Box) -> int:
    return box[3] - box[1]


def _shorter_side(box: Box) -> int:
    return min(_width(box), _height(box))
