"""Rows that are held out of training where nobody says which: by the groups of `sft split`, so that no page, document
or image stands on both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sft.arrays import Ints
from sft.datasets.index import group_of, published_as
from sft.datasets.split import FEWEST_GROUPS, connected, neighbours, of_one_group
from sft.errors import ProblemsFound, RowRejected
from sft.files import RealPaths, atomic_write
from sft.types import GROUP_KEYS
from sft.validate import Survey

HELD_OUT_SHARE, HELD_OUT_MOST = 0.05, 200  # of the rows of a file that comes without a test set
RowMask = npt.NDArray[np.bool_]  # one for each row


@dataclass(frozen=True)
class HeldOut:
    """What is known of the training file; the test file, its rows, and of how many groups they are. published: rows of
    a published val or test split; where there are such, these and what belongs to them are the test file.
    """

    train: Survey
    test: Path
    rows: int
    groups: int
    published: int = 0

    @property
    def few(self) -> bool:
        """Whether scores of the test file come with intervals that are not to be trusted."""
        return self.groups < FEWEST_GROUPS


def hold_out(data: Survey, folder: Path, *, seed: int) -> HeldOut:
    """Split a file without a test set by the groups of `sft split`: no page or document that the rows name, and no
    image content, is on both sides.

    In = train + test. Rows keep all their keys; images are named by absolute paths, since the new files stand
    elsewhere.
    """
    documents, published = _named(data)
    group_of = _groups(data, documents)
    held = _published(data, group_of, published) if published.any() else _held(data, group_of, seed)
    train = folder / "train.hub.jsonl"
    test = folder / "test.hub.jsonl"
    with atomic_write(train) as kept, atomic_write(test) as out:
        digest = hashlib.sha256()
        for row, value in _absolute(data):
            text = msgspec.json.encode(value) + b"\n"
            if held[row]:
                out.write(text)
            else:
                kept.write(text)
                digest.update(text)
    return HeldOut(
        data.part(train, digest.hexdigest(), ~held),
        test,
        int(np.count_nonzero(held)),
        len(np.unique(group_of[held])),
        int(np.count_nonzero(published)),
    )


def _published(data: Survey, group_of: Ints, published: RowMask) -> RowMask:
    """Which rows are held out where a published set says so: its val and test rows are never trained on, nor is what
    shares an image or a document with them.
    """
    held = np.isin(group_of, group_of[published])
    if held.all():
        raise ProblemsFound(
            "every row is of a published val or test split (meta.split), or shares an image or a document with one",
            where=str(data.path),
            hint="convert the train split too, or give TEST=file.jsonl; `sft split --ignore-published` deals them out"
            " like all others",
        )
    return held


def _held(data: Survey, group_of: Ints, seed: int) -> RowMask:
    """Which rows are held out: whole groups, in an order that the seed decides, as long as they fit."""
    groups, sizes = np.unique(group_of, return_counts=True)
    if len(groups) < 2:
        raise ProblemsFound(
            "all rows show the same image, or are of one document (meta.group), and none can be held out",
            where=str(data.path),
            hint="add rows of other documents, or give TEST=file.jsonl; `sft split --group none` splits within a"
            " document, and scores come out too good",
        )
    wanted = max(1, min(HELD_OUT_MOST, round(data.count * HELD_OUT_SHARE)))
    size_of = dict(zip(groups.tolist(), sizes.tolist(), strict=True))
    names = np.unique(data.files.digests)
    held: list[int] = []
    count = 0
    for group in sorted(size_of, key=lambda group: hashlib.sha256(f"{seed}/{_name(names, group)}".encode()).digest()):
        if count + size_of[group] <= wanted:
            held.append(group)
            count += size_of[group]
    held = held or [min(size_of, key=lambda group: (size_of[group], group))]
    return np.isin(group_of, held)


def _name(digests: npt.NDArray[Any], number: int) -> str:
    return digests[number : number + 1].tobytes().hex()  # whole: numpy drops zeros at the end of one


def _absolute(data: Survey) -> Iterator[tuple[int, Any]]:
    """(row from 0, the whole row with the real paths of its images)."""
    real = RealPaths()
    for line, value in data.raw_rows():
        for image in value["image_info"]:
            image["image_url"] = real.of(data.path.parent / image["image_url"])
        yield line - 1, value


def _groups(data: Survey, documents: npt.NDArray[np.uint64]) -> Ints:
    """For each row the number of the least digest among the images of its group, by which the group is named."""
    content = np.unique(data.files.digests, return_inverse=True)[1][data.places["image"]]
    rows = data.places["line"].astype(np.int64) - 1
    groups = connected(data.count, chain(neighbours((content,), rows), of_one_group(documents)))
    least = np.full(data.count, len(data.files.digests))
    np.minimum.at(least, groups[rows], content)
    return least[groups]


def _named(data: Survey) -> tuple[npt.NDArray[np.uint64], RowMask]:
    """What every row names as its page or document, as a number; and whether a published set holds it out."""
    documents = np.zeros(data.count, np.uint64)
    published = np.zeros(data.count, np.bool_)
    for line, value in data.raw_rows():
        try:
            documents[line - 1] = group_of(value, GROUP_KEYS)
            published[line - 1] = published_as(value) > 0
        except RowRejected as problem:
            raise ProblemsFound(str(problem), where=f"{data.path}:{line}", hint="write a text or a number") from problem
    return documents, published
