"""Rows that say the same and whose images look the same: the same crop in another size, light or compression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from sft.datasets.index import Index, open_rows, read_line
from sft.errors import ProblemsFound
from sft.files import atomic, staging
from sft.images import ImageProblem, dhash, near_pairs
from sft.runtime import Runner, run
from sft.types import Sample

BATCH = 500  # images that one process looks at in one go
_decoder = msgspec.json.Decoder(Sample)


@dataclass(frozen=True)
class HashBatch:
    """Images to look at, and where the hashes go."""

    images: tuple[Path, ...]
    piece: Path


def alike(index: Index, folder: staging.StagingFolder, runner: Runner) -> list[tuple[int, int]]:
    """Pairs of rows (left < right) with the same texts and first images that look the same, though they are different
    files.
    """
    groups = _same_texts(index)
    rows = np.concatenate([np.empty(0, np.int64), *groups]).tolist()
    pieces = list(run(hash_batch, _batches(index, rows, folder), runner))
    hashes = dict(
        zip(
            rows,
            np.concatenate([np.empty(0, np.uint64), *(np.load(piece, allow_pickle=False) for piece in pieces)]),
            strict=True,
        )
    )
    pairs = []
    for group in groups:
        of_group = np.array(
            [hashes[int(row)] for row in group],
            np.uint64,
        )
        pairs += [(int(group[left]), int(group[right])) for left, right in near_pairs(of_group)]
    return sorted(pairs)


def _same_texts(index: Index) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Rows with the same texts, where there are at least two of them, with different images."""
    texts = index.rows["texts"]
    order = np.lexsort((np.arange(len(texts)), texts[:, 1], texts[:, 0]))
    cuts = np.flatnonzero((texts[order][1:] != texts[order][:-1]).any(axis=1)) + 1
    return [part for part in np.split(order, cuts) if len(part) > 1]


def _batches(index: Index, rows: list[int], folder: staging.StagingFolder) -> Iterator[HashBatch]:
    with open_rows(index) as files:
        for begin in range(0, len(rows), BATCH):
            images = []
            for row in rows[begin : begin + BATCH]:
                sample = _decoder.decode(read_line(index, row, files))
                images.append(index.files[int(index.rows["file"][row])].parent / sample.image_info[0].image_url)
            yield HashBatch(
                tuple(images),
                folder.path(f"{begin:012}.looks"),
            )


def hash_batch(batch: HashBatch) -> Path:
    """Hash the images of one batch and leave the hashes; a piece that is there already is kept."""
    if not batch.piece.is_file():
        try:
            hashes = np.array(
                [dhash(path) for path in batch.images],
                np.uint64,
            )
        except ImageProblem as problem:
            raise ProblemsFound(
                f"[{problem.code}] {problem}", hint="`sft validate --deep` finds all of them"
            ) from problem
        with atomic.piece(batch.piece) as stream:
            np.save(stream, hashes)
    return batch.piece
