"""Rows that are held out of training where nobody says which: by image, so that none stands on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sft.arrays import Ints
from sft.errors import ProblemsFound
from sft.files import RealPaths, atomic_write, encode
from sft.types import Sample
from sft.validate import Survey

HELD_OUT_SHARE, HELD_OUT_MOST = 0.05, 200  # of the rows of a file that comes without a test set
RowMask = npt.NDArray[np.bool_]  # one for each row


def hold_out(data: Survey, folder: Path, *, seed: int) -> tuple[Survey, Path, int]:
    """Split a file without a test set: by image content, so that no image is on both sides. Returns (what is known of
    the training file, test, test rows).

    In = train + test. Images are named by absolute paths, since the new files stand elsewhere.
    """
    held = _held(data, seed)
    train = folder / "train.hub.jsonl"
    test = folder / "test.hub.jsonl"
    with atomic_write(train) as kept, atomic_write(test) as out:
        digest = hashlib.sha256()
        for row, sample in _absolute(data):
            text = encode(sample) + b"\n"
            if held[row]:
                out.write(text)
            else:
                kept.write(text)
                digest.update(text)
    return data.part(train, digest.hexdigest(), ~held), test, int(np.count_nonzero(held))


def _held(data: Survey, seed: int) -> RowMask:
    """Which rows are held out: whole groups, in an order that the seed decides, as long as they fit."""
    names, group_of = _groups(data)
    groups, sizes = np.unique(group_of, return_counts=True)
    if len(groups) < 2:
        raise ProblemsFound(
            "all rows show the same image, none can be held out",
            where=str(data.path),
            hint="add different images, or give TEST=file.jsonl",
        )
    wanted = max(1, min(HELD_OUT_MOST, round(data.count * HELD_OUT_SHARE)))
    size_of = dict(zip(groups.tolist(), sizes.tolist(), strict=True))
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


def _absolute(data: Survey) -> Iterator[tuple[int, Sample]]:
    """(row from 0, sample with the real paths of its images)."""
    real = RealPaths()
    for line, sample, _ in data.rows():
        images = tuple(
            replace(image, image_url=real.of(data.path.parent / image.image_url)) for image in sample.image_info
        )
        yield line - 1, Sample(sample.text_info, images)


def _groups(data: Survey) -> tuple[npt.NDArray[Any], Ints]:
    """(digests in order, for each row the number of the digest that names its group): rows that share an image,
    directly or through other rows, are one group, named by the least digest of its images.
    """
    digests, content = np.unique(data.files.digests, return_inverse=True)
    images = content[data.places["image"]]
    lines = data.places["line"]
    first = np.flatnonzero(np.diff(lines, prepend=0))  # where a row begins
    parent = np.arange(len(digests)).tolist()

    def root(image: int) -> int:
        while parent[image] != image:
            image = parent[image] = parent[parent[image]]
        return image

    further = np.flatnonzero(np.diff(lines, prepend=0) == 0)  # images behind the first of their row
    for left, right in zip(images[further - 1].tolist(), images[further].tolist(), strict=True):
        one, other = root(left), root(right)
        parent[max(one, other)] = min(one, other)
    roots = np.fromiter(map(root, range(len(parent))), np.int64, len(parent))
    return digests, roots[images[first]]


def shared_images(train: Survey, test: Survey) -> list[tuple[int, int]]:
    """(line in train, line in test) of images that are byte for byte the same: a leak makes a score worthless.

    Of several rows of the training file that show an image, the last one is named.
    """
    common = np.intersect1d(train.files.digests, test.files.digests)
    lines = dict(_shown(train, common))
    return sorted((lines[digest], line) for digest, line in _shown(test, common) if digest in lines)


def _shown(data: Survey, wanted: npt.NDArray[Any]) -> Iterator[tuple[bytes, int]]:
    """(digest, line) of every image of a row that is among those wanted."""
    places = data.places[np.isin(data.files.digests, wanted)[data.places["image"]]]
    yield from zip(data.files.digests[places["image"]].tolist(), places["line"].tolist(), strict=True)
