"""Rows that say the same and whose images look the same: the same crop in another size, light or compression."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from sft.arrays import Ints
from sft.datasets.dedupe import first_of
from sft.datasets.index import Index, Places, read_lines
from sft.errors import ProblemsFound
from sft.files import atomic, staging
from sft.images import ImageProblem, dhashes, near_pairs_of_groups
from sft.runtime import Runner, run

BATCH = 500  # images that one process looks at in one go


class _Picture(msgspec.Struct):
    image_url: str


class _Row(msgspec.Struct):
    """What is looked at of a row that has been checked before."""

    image_info: list[_Picture]


_decoder = msgspec.json.Decoder(_Row)


@dataclass(frozen=True)
class HashBatch:
    """Rows whose first images are looked at, and where the hashes go."""

    rows: Places
    piece: Path


def alike(index: Index, folder: staging.StagingFolder, runner: Runner) -> list[tuple[int, int]]:
    """Pairs of rows (left < right) with the same texts and first images that look the same, though they are different
    files.
    """
    rows, sizes = _same_texts(index)
    shown, which = _distinct(index, rows)
    pieces = list(run(hash_batch, _batches(index, shown, folder), runner))
    hashes = np.concatenate([np.empty(0, np.uint64), *(np.load(piece, allow_pickle=False) for piece in pieces)])
    pairs = np.array(near_pairs_of_groups(hashes[which], sizes), np.int64).reshape(-1, 2)
    return sorted(zip(rows[pairs[:, 0]].tolist(), rows[pairs[:, 1]].tolist(), strict=True))


def _distinct(index: Index, rows: Ints) -> tuple[Ints, Ints]:
    """(rows whose first images are all different, and all that there are; which of them shows the image of each row):
    equal files look the same, and are decoded once.
    """
    row = index.images["row"]
    image = index.images["image"][np.searchsorted(row, rows.astype(row.dtype))]
    first = first_of(image[:, 0], image[:, 1])
    shown = np.flatnonzero(first == np.arange(len(rows)))
    return rows[shown], np.searchsorted(shown, first)


def _same_texts(index: Index) -> tuple[Ints, Ints]:
    """(rows that have the same texts as others, group by group; the sizes of the groups)."""
    texts = index.rows["texts"]
    order = np.lexsort((np.arange(len(texts)), texts[:, 1], texts[:, 0]))
    cuts = np.flatnonzero((texts[order][1:] != texts[order][:-1]).any(axis=1)) + 1
    sizes = np.diff(cuts, prepend=0, append=len(order))
    return order[np.repeat(sizes > 1, sizes)], sizes[sizes > 1]


def _batches(index: Index, rows: Ints, folder: staging.StagingFolder) -> Iterator[HashBatch]:
    for begin in range(0, len(rows), BATCH):
        yield HashBatch(
            Places.of(index, rows[begin : begin + BATCH]),
            folder.path(f"{begin:012}.dhash"),
        )


def hash_batch(batch: HashBatch) -> Path:
    """Hash the images of one batch and leave the hashes; a piece that is there already is kept."""
    if not batch.piece.is_file():
        try:
            with _one_thread():
                hashes = dhashes(list(_images(batch.rows)))
        except ImageProblem as problem:
            raise ProblemsFound(
                f"[{problem.code}] {problem}", hint="`sft validate --deep` finds all of them"
            ) from problem
        with atomic.piece(batch.piece) as stream:
            np.save(stream, hashes)
    return batch.piece


def _images(rows: Places) -> Iterator[str]:
    """The first image of each row."""
    folders = [os.fspath(path.parent) for path in rows.files]
    for file, line in zip(rows.file.tolist(), read_lines(rows), strict=True):
        yield os.path.join(folders[file], _decoder.decode(line).image_info[0].image_url)


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV without threads of its own: all cores are busy, and it starts them for images of any size."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
