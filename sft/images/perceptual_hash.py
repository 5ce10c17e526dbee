"""Whether two images look the same: a difference hash of 64 bit, and all pairs of hashes that differ in few bits.

The hash is dHash: the image in 9 x 8 grey values, a bit for every value that is darker than its right neighbour. It
survives scaling, JPEG and small changes of light. Lines of print look alike to it, so that it only means something
together with what the images say: compare images of the same text, or pages.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sft.images.reader import ImageProblem, probe

LIMIT = 4  # bits of 64 in which two images that look the same may differ
BLOCK = 2048  # hashes that are compared with each other at once
Hashes = npt.NDArray[np.uint64]


def dhash(path: Path) -> int:
    """64 bit of how an image looks, EXIF orientation applied. ImageProblem where it cannot be decoded."""
    import cv2

    probe(path)  # limits of size, before anything is decoded
    try:
        grey = cv2.imdecode(
            np.fromfile(path, np.uint8),
            cv2.IMREAD_GRAYSCALE,
        )
    except (cv2.error, OSError) as error:
        raise ImageProblem("image.truncated", f"{path} cannot be decoded ({error})") from error
    if grey is None:
        raise ImageProblem("image.truncated", f"{path} cannot be decoded")
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    return int.from_bytes(
        np.packbits(small[:, :-1] < small[:, 1:]).tobytes(),
        "big",
    )


def bands(limit: int = LIMIT) -> list[tuple[int, int]]:
    """`limit` + 1 stretches of bits (low, high) of a hash: two hashes that differ in `limit` bits are equal in one."""
    edges = [64 * number // (limit + 1) for number in range(limit + 2)]
    return list(pairwise(edges))


def band_of(hashes: Hashes, band: tuple[int, int]) -> Hashes:
    """The bits of one stretch."""
    low, high = band
    return hashes >> np.uint64(low) & np.uint64((1 << high - low) - 1)


def popcount(values: Hashes) -> npt.NDArray[np.uint8]:
    """Bits that are set in each of some values."""
    counted: npt.NDArray[np.uint8]
    if hasattr(np, "bitwise_count"):
        counted = np.bitwise_count(values)
    else:  # numpy below 2.0
        table = np.array([value.bit_count() for value in range(256)], np.uint8)
        counted = table[np.ascontiguousarray(values)[..., None].view(np.uint8)].sum(axis=-1, dtype=np.uint8)
    return counted


def near_pairs(hashes: Hashes, *, limit: int = LIMIT) -> list[tuple[int, int]]:
    """Pairs (i < j) that differ in at most `limit` bits. Equal hashes are paired in a chain, not each with each.

    Two hashes that differ in `limit` bits are equal in at least one of `limit` + 1 stretches of bits; only hashes that
    share a stretch are compared.
    """
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    pairs = {(int(first[at]), row) for row, at in enumerate(inverse.tolist()) if first[at] != row}
    for band in bands(limit):
        stretch = band_of(unique, band)
        order = np.argsort(stretch, kind="stable")
        cuts = np.flatnonzero(np.diff(stretch[order])) + 1
        for part in np.split(order, cuts):
            pairs |= {(min(a, b), max(a, b)) for a, b in _close(unique, part, limit, first)}
    return sorted(pairs | _of_equals(pairs, first, inverse))


def _of_equals(
    pairs: set[tuple[int, int]], first: npt.NDArray[np.intp], inverse: npt.NDArray[np.intp]
) -> set[tuple[int, int]]:
    """What is near to a hash is near to every hash that equals it."""
    near: dict[int, list[int]] = {}
    for left, right in pairs:
        if inverse[left] != inverse[right]:
            near.setdefault(left, []).append(right)
            near.setdefault(right, []).append(left)
    return {
        (min(row, other), max(row, other))
        for row, at in enumerate(inverse.tolist())
        if first[at] != row
        for other in near.get(int(first[at]), ())
    }


def _close(
    unique: Hashes, part: npt.NDArray[np.intp], limit: int, first: npt.NDArray[np.intp]
) -> list[tuple[int, int]]:
    pairs = []
    for begin in range(0, len(part), BLOCK):
        left = part[begin : begin + BLOCK]
        for other in range(begin, len(part), BLOCK):
            right = part[other : other + BLOCK]
            bits = popcount(unique[left][:, None] ^ unique[right][None, :])
            for a, b in np.argwhere(bits <= limit):
                if left[a] != right[b]:
                    pairs.append((int(first[left[a]]), int(first[right[b]])))
    return pairs
