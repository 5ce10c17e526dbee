"""Whether two images look the same: a difference hash of 64 bit, and all pairs of hashes that differ in few bits.

The hash is dHash: the image in 9 x 8 grey values, a bit for every value that is darker than its right neighbour. It
survives scaling, JPEG and small changes of light. Lines of print look alike to it, so that it only means something
together with what the images say: compare images of the same text, or pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sft.arrays import Ints
from sft.images.reader import ImageProblem, probe, read_plain

LIMIT = 4  # bits of 64 in which two images that look the same may differ
BLOCK = 2048  # hashes that are compared with each other at once
SMALL = 256  # hashes of a group in which each is compared with each, many groups at once
PAIRS = 1 << 18  # that are compared at once
Hashes = npt.NDArray[np.uint64]


def dhash(path: Path) -> int:
    """64 bit of how an image looks, EXIF orientation applied. ImageProblem where it cannot be decoded."""
    return int(dhashes([str(path)])[0])


def dhashes(paths: Sequence[str]) -> Hashes:
    """`dhash` of each of some images."""
    small = np.empty((len(paths), 8, 9), np.uint8)
    for path, into in zip(paths, small, strict=True):
        _shrink(path, into)
    bits = np.packbits(small[:, :, :-1] < small[:, :, 1:], axis=2)
    return bits.reshape(-1).view(">u8").astype(np.uint64)


def _shrink(path: str, into: npt.NDArray[np.uint8]) -> None:
    """The 9 x 8 grey values of an image."""
    import cv2

    plain = read_plain(path)
    if plain is None:
        probe(Path(path))  # limits of size, before anything is decoded
    try:
        grey = cv2.imdecode(
            np.fromfile(path, np.uint8) if plain is None else np.frombuffer(plain, np.uint8),
            cv2.IMREAD_GRAYSCALE,
        )
    except (cv2.error, OSError) as error:
        raise ImageProblem("image.truncated", f"{Path(path)} cannot be decoded ({error})") from error
    if grey is None:
        raise ImageProblem("image.truncated", f"{Path(path)} cannot be decoded")
    cv2.resize(grey, (9, 8), dst=into, interpolation=cv2.INTER_AREA)


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
        sizes = np.diff(np.flatnonzero(np.diff(stretch[order])) + 1, prepend=0, append=len(order))
        for left, right in _close(unique[order], sizes, limit):
            a, b = first[order[left]], first[order[right]]
            pairs.update(zip(np.minimum(a, b).tolist(), np.maximum(a, b).tolist(), strict=True))
    return sorted(pairs | _of_equals(pairs, first, inverse))


def near_pairs_of_groups(hashes: Hashes, sizes: Ints, *, limit: int = LIMIT) -> list[tuple[int, int]]:
    """`near_pairs` of each group of hashes, in one list; `sizes`: of the groups, which follow one another.

    Most groups are small, and there may be very many: those are compared together.
    """
    starts = np.cumsum(sizes) - sizes
    pairs: list[tuple[int, int]] = []
    for at in np.flatnonzero(sizes > SMALL).tolist():
        start = int(starts[at])
        pairs += [(start + i, start + j) for i, j in near_pairs(hashes[start : start + int(sizes[at])], limit=limit)]
    few = np.flatnonzero(sizes <= SMALL)
    repeated = np.zeros(len(hashes), bool)  # hashes that equal one before them in their group
    for left, right in _close_in_small(hashes, starts[few], sizes[few], limit):
        repeated[right[hashes[left] == hashes[right]]] = True
        chained = ~(repeated[left] & repeated[right])
        pairs += zip(left[chained].tolist(), right[chained].tolist(), strict=True)
    return sorted(pairs)


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


def _close(hashes: Hashes, sizes: Ints, limit: int) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of places (left < right) inside the same part whose hashes differ in at most `limit` bits.

    `sizes`: of the parts, which follow one another.
    """
    starts = np.cumsum(sizes) - sizes
    few = np.flatnonzero(sizes <= SMALL)
    yield from _close_in_small(hashes, starts[few], sizes[few], limit)
    for at in np.flatnonzero(sizes > SMALL).tolist():
        start, end = int(starts[at]), int(starts[at] + sizes[at])
        for begin in range(start, end, BLOCK):
            block = hashes[begin : min(begin + BLOCK, end)]
            for other in range(begin, end, BLOCK):
                bits = popcount(block[:, None] ^ hashes[other : min(other + BLOCK, end)][None, :])
                left, right = np.nonzero(bits <= limit)
                left, right = left + begin, right + other
                yield left[left < right], right[left < right]


def _close_in_small(hashes: Hashes, starts: Ints, sizes: Ints, limit: int) -> Iterator[tuple[Ints, Ints]]:
    """The same for parts of at most SMALL hashes, all of one size together; no part is torn apart."""
    for size in np.unique(sizes[sizes > 1]).tolist():
        i, j = np.triu_indices(size, 1)
        of_size = starts[sizes == size]
        step = max(1, PAIRS // len(i))
        for begin in range(0, len(of_size), step):
            some = of_size[begin : begin + step, None]
            values = hashes[some + np.arange(size)]
            part, pair = np.nonzero(popcount(values[:, i] ^ values[:, j]) <= limit)
            yield some[part, 0] + i[pair], some[part, 0] + j[pair]
