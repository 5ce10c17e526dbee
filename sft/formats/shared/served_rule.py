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
        if min(one.box[2] - one.box[0], one.box[3] - one.box[1]) < SHORTEST:
            dropped.add(first)
        for second in range(first + 1, len(places)):
            if first in dropped:
                break
            other = places[second]
            if second not in dropped and _in_one_place(one, other):
                dropped.add(second if _area(one.box) >= _area(other.box) else first)
    return dropped


def _in_one_place(one: Place, other: Place) -> bool:
    shared = _shared(one.box, other.box)
    smaller = min(_area(one.box), _area(other.box))
    if not smaller or shared / smaller <= SAME_PLACE:
        return False
    kinds = {one.kind, other.kind}
    if len(kinds) == 1 or not kinds & APART:
        return True
    return "table" in kinds and not kinds <= APART


def _area(box: Box) -> int:
    return abs((box[2] - box[0]) * (box[3] - box[1]))


def _shared(one: Box, other: Box) -> int:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)


def groups(places: Sequence[Place]) -> list[Group]:
    """All blocks in reading order, those that are joined in one group."""
    pictures = [place.box for place in places if place.kind in APART]
    found: list[Group] = []
    flow = [index for index, place in enumerate(places) if place.kind not in APART]
    for index, before in zip(flow, [None, *flow], strict=False):
        align = None if before is None else _alignment(places[before], places[index], pictures)
        if align is None:
            found.append(Group((index,)))
        else:
            last = found[-1]
            found[-1] = Group((*last.members, index), (*last.aligns, align))
    whole = [part for group in found for part in _not_too_tall(group, places)]
    return sorted(
        [*whole, *(Group((index,)) for index, place in enumerate(places) if place.kind in APART)],
        key=lambda group: group.members,
    )


def _not_too_tall(group: Group, places: Sequence[Place]) -> list[Group]:
    boxes = [places[index].box for index in group.members]
    width = max(right - left for left, _, right, _ in boxes)
    height = sum(bottom - top for _, top, _, bottom in boxes)
    if width <= 0 or height / width >= TALL:
        return [Group((index,)) for index in group.members]
    return [group]


def _alignment(before: Place, after: Place, pictures: Sequence[Box]) -> Align | None:
    """How a block stands below the one before it in reading order; None where they are not joined."""
    if before.kind != "text" or after.kind != "text":
        return None
    if min(before.box[2], after.box[2]) <= max(before.box[0], after.box[0]):  # not below each other
        return "center" if _in_next_column(before.box, after.box) else None
    left = abs(before.box[0] - after.box[0]) <= SAME_EDGE
    right = abs(before.box[2] - after.box[2]) <= SAME_EDGE
    if left == right or not _below(before.box, after.box) or not _beside_picture(before.box, after.box, pictures):
        return None
    return "left" if left else "right"


def _in_next_column(before: Box, after: Box) -> bool:
    gutter = after[0] - before[2]
    wider = max(before[2] - before[0], after[2] - after[0])
    return gutter > 0 and after[1] < before[3] and gutter < wider * GUTTER


def _below(before: Box, after: Box) -> bool:
    taller = max(before[3] - before[1], after[3] - after[1])
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
        index
        for index, (left, top, right, bottom) in enumerate(images)
        if left >= table[0]
        and top >= table[1]
        and right <= table[2]
        and bottom <= table[3]
        and min(right - left, bottom - top) >= SMALL_PICTURE
    ]
