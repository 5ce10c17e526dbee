"""Rows that are held out of training where nobody says which: by image, so that none stands on both sides."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

from sft.errors import ProblemsFound
from sft.files import read_samples, sha256, write_samples
from sft.types import Sample

HELD_OUT_SHARE, HELD_OUT_MOST = 0.05, 200  # of the rows of a file that comes without a test set


def hold_out(data: Path, folder: Path, *, seed: int) -> tuple[Path, Path, int]:
    """Split a file without a test set: by image content, so that no image is on both sides. Returns (train, test, test
    rows).

    In = train + test. Images are named by absolute paths, since the new files stand elsewhere.
    """
    rows = [_absolute(sample, data.parent) for _, sample in read_samples(data)]
    group_of = _groups(rows)
    sizes = Counter(group_of)
    if len(sizes) < 2:
        raise ProblemsFound(
            "all rows show the same image, none can be held out",
            where=str(data),
            hint="add different images, or give TEST=file.jsonl",
        )
    wanted = max(
        1,
        min(HELD_OUT_MOST, round(len(rows) * HELD_OUT_SHARE)),
    )
    held: set[str] = set()
    count = 0
    for group in sorted(
        sizes,
        key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest(),
    ):
        if count + sizes[group] <= wanted:
            held.add(group)
            count += sizes[group]
    held = held or {
        min(
            sizes,
            key=lambda group: (sizes[group], group),
        )
    }
    train = folder / "train.hub.jsonl"
    test = folder / "test.hub.jsonl"
    kept = write_samples(
        train,
        (sample for sample, group in zip(rows, group_of, strict=True) if group not in held),
    )
    out = write_samples(
        test,
        (sample for sample, group in zip(rows, group_of, strict=True) if group in held),
    )
    if kept + out != len(rows):
        raise ProblemsFound(
            f"{len(rows)} rows in, {kept} + {out} out",
            where=str(data),
        )
    return train, test, out


def _absolute(sample: Sample, base: Path) -> Sample:
    images = tuple(replace(image, image_url=str((base / image.image_url).resolve())) for image in sample.image_info)
    return Sample(sample.text_info, images)


def _groups(rows: list[Sample]) -> list[str]:
    """For each row the name of its group: rows that share an image, directly or through other rows, are one group."""
    digest = cache(lambda url: sha256(Path(url)))
    parent: dict[str, str] = {}

    def root(image: str) -> str:
        while parent.setdefault(image, image) != image:
            image = parent[image] = parent[parent[image]]
        return image

    for row in rows:
        first, *others = (root(digest(image.image_url)) for image in row.image_info)
        for other in others:
            parent[max(root(first), root(other))] = min(root(first), root(other))
    return [root(digest(row.image_info[0].image_url)) for row in rows]


def shared_images(train: Path, test: Path) -> list[tuple[int, int]]:
    """(line in train, line in test) of images that are byte for byte the same: a leak makes a score worthless."""
    left = _by_size(train)
    right = _by_size(test)
    found = []
    for size in left.keys() & right.keys():
        hashes = {sha256(path): line for line, path in left[size]}
        found += [(hashes[digest], line) for line, path in right[size] if (digest := sha256(path)) in hashes]
    return sorted(found)


def _by_size(data: Path) -> dict[int, list[tuple[int, Path]]]:
    sizes: dict[int, list[tuple[int, Path]]] = {}
    for line, sample in read_samples(data):
        for image in sample.image_info:
            path = data.parent / image.image_url
            sizes.setdefault(os.stat(path).st_size, []).append((line, path))
    return sizes
