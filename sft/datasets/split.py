"""Cut a set into parts that share no image, no document and, if asked, no look-alike: leak-free by construction.

Rows that share an image, directly or through other rows, and rows of one group stand together. Whole groups are dealt
out, in an order that the seed decides, to the part that still lacks most of what the group holds, stratum by stratum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from sft.arrays import AnyArray, Ints
from sft.datasets.index import NO_GROUP, Index
from sft.ui import counted

FEWEST_GROUPS = 50  # held-out pages or documents, below which intervals of scores are wide and not to be trusted


def components(index: Index, *, alike: Iterable[tuple[int, int]] = ()) -> Ints:
    """For every row the number of its group (the lowest row in it).

    `alike`: further pairs of rows that belong together.
    """
    images = index.images
    by_image = neighbours((images["image"][:, 1], images["image"][:, 0]), images["row"])
    return connected(len(index.rows), chain(by_image, of_one_group(index.rows["group"]), alike))


def of_one_group(groups: AnyArray) -> Iterator[tuple[int, int]]:
    """Pairs of rows that have the same group, one for each row; rows of NO_GROUP have none."""
    return neighbours((groups,), np.arange(len(groups)), groups != NO_GROUP)


def neighbours(
    values: tuple[AnyArray, ...], rows: AnyArray, wanted: npt.NDArray[np.bool_] | None = None
) -> Iterator[tuple[int, int]]:
    """Pairs (row, next row) that share a value, where row `rows[i]` has the value `values[0][i], values[1][i]…`; only
    those that are `wanted`.
    """
    order = np.lexsort((rows, *values))
    same = np.logical_and.reduce([value[order][1:] == value[order][:-1] for value in values])
    if wanted is not None:
        same &= wanted[order][1:]
    ordered = rows[order]
    return zip(ordered[:-1][same].tolist(), ordered[1:][same].tolist(), strict=True)


def connected(count: int, links: Iterable[tuple[int, int]]) -> Ints:
    """For each of `count` rows the lowest row that links lead to, directly or through other rows."""
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for left, right in links:
        one, other = root(left), root(right)
        parent[max(one, other)] = min(one, other)
    return np.array([root(row) for row in range(count)], dtype=np.int64)


def few_groups_warning(count: int) -> str:
    """What a user is told about a held-out part of `count` groups."""
    return (
        f"groups (pages, documents or images) held out: {count}. With fewer than {FEWEST_GROUPS} the intervals of its"
        " scores cannot be relied on: hold out more rows, or add documents"
    )


def few_groups(groups: Ints, part_of: Ints, parts: Sequence[str]) -> dict[str, int]:
    """Held-out part → its groups, where they are fewer than FEWEST_GROUPS. `parts`: the held-out ones, from 1."""
    counts = {part: len(np.unique(groups[part_of == number])) for number, part in enumerate(parts, 1)}
    return {part: count for part, count in counts.items() if 0 < count < FEWEST_GROUPS}


def deal(index: Index, groups: Ints, sizes: Sequence[int], *, seed: int, fixed: Ints | None = None) -> Ints:
    """For every row the number of its part: 0 is the rest (training), part k has about `sizes[k - 1]` rows.

    A group goes to the first held-out part whose shortage it lessens: the sum over strata of |wanted - there|. A part
    is never more than a group away from its size; small parts of large groups can stay empty. `fixed`: for every row
    the part that it must be in, 0 for any; its whole group goes there, to the last of several.
    """
    strata, stratum_of = np.unique(index.rows["stratum"], return_inverse=True)
    totals = np.bincount(stratum_of, minlength=len(strata)).astype(float)
    lacking = [totals * (size / max(1, len(index.rows))) for size in sizes]
    members = _members(groups)
    names = [_name(index, int(rows[0]), seed) for rows in members]
    part_of = np.zeros(len(index.rows), dtype=np.int64)
    for rows in members if fixed is not None and fixed.any() else ():
        part = int(fixed[rows].max()) if fixed is not None else 0
        part_of[rows] = part
        if part:
            lacking[part - 1] -= np.bincount(stratum_of[rows], minlength=len(strata))
    for number in sorted(range(len(members)), key=names.__getitem__):
        rows = members[number]
        if part_of[rows[0]]:
            continue
        stratum_numbers, counts = np.unique(stratum_of[rows], return_counts=True)
        for part, lack in enumerate(lacking, 1):
            now = lack[stratum_numbers]
            if np.abs(now - counts).sum() < np.abs(now).sum():
                lack[stratum_numbers] = now - counts
                part_of[rows] = part
                break
    return part_of


def held_by_publisher(index: Index, parts: Sequence[str]) -> Ints:
    """For every row the number of the part that a published split puts it in, 0 for none.

    Rows of a published test go to the part `test`, those of a validation split to `val`; where only one of the two is
    asked for, both go there: what was published to be held out is never trained on.
    """
    number = {name: at for at, name in enumerate(parts, 1)}
    last = len(parts)
    table = np.array(
        [0, number.get("val", last), number.get("test", last)],
        dtype=np.int64,
    )
    held: Ints = table[index.rows["held"]]
    return held


def why_nothing_fits(index: Index, groups: Ints, part: str, size: int, keys: Sequence[str]) -> tuple[str, str]:
    """(what is wrong, what to do about it) where a part came out empty, since every group is too large for it."""
    sizes = np.unique(groups, return_counts=True)[1]
    smallest = int(sizes.min())
    largest = int(sizes.max())
    by = " and ".join(keys) or "images"
    within = (
        "--group none splits within a document: parts of one page are on both sides then, and scores come out too good"
    )
    if len(sizes) > 1:
        said = (
            f"no group fits into {part}, of which {counted(size, 'row')} should be:"
            f" {counted(len(sizes), 'group')} of {smallest} to {counted(largest, 'row')}"
        )
        return said, f"--{part} {smallest} takes the smallest group; --group KEY makes smaller ones than {by}; {within}"
    rows = index.rows.copy()
    rows["group"] = NO_GROUP
    if len(np.unique(components(replace(index, rows=rows)))) > 1:
        said = f"all {len(index.rows)} rows are of one document (by {by}), and no group of rows can be held out"
        return said, f"add rows of other documents; or --group KEY names smaller groups; {within}"
    return f"all {len(index.rows)} rows show the same images, and none can be held out", "add rows with other images"


def _members(groups: Ints) -> list[Ints]:
    """The rows of every group, groups in the order of their first rows."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(groups[order]) != 0]) if len(groups) else np.empty(0, np.int64)
    return [np.sort(part) for part in np.split(order, starts[1:])] if len(groups) else []


def _name(index: Index, row: int, seed: int) -> bytes:
    """What decides when a group is dealt: its content, not its place, so that more rows of other documents move
    nothing.
    """
    record: Any = index.rows[row]
    key = record["group"].tobytes() if record["group"] != NO_GROUP else record["images"].tobytes()
    return hashlib.sha256(f"{seed}/".encode() + key + record["texts"].tobytes()).digest()


def strata_table(index: Index, part_of: Ints, parts: int) -> list[tuple[str, list[int]]]:
    """(name of a stratum, rows in every part), the largest stratum first."""
    table = []
    for stratum in np.unique(index.rows["stratum"]):
        counts = np.bincount(
            part_of[index.rows["stratum"] == stratum],
            minlength=parts,
        )
        table.append((index.names[int(stratum)] or "all", [int(count) for count in counts]))
    return sorted(
        table,
        key=lambda item: (-sum(item[1]), item[0]),
    )
