"""The images that the rows of a file name, each looked at once however many rows show it.

An image has a number, from 0, in the order in which they were first met. What is known of it is one record of 76 bytes;
a sorted table of 12 bytes an image finds the number of a path again. So a million images take 90 MB, and no path is
kept: paths are told apart by 128 bit of their BLAKE2b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sft.images import MAX_FILE_BYTES, MAX_IMAGE_PIXELS, ImageProblem, dhash, peek, read_once
from sft.types import ImageHeader
from sft.validate.across_rows import path_print

Table = npt.NDArray[Any]
# check: the second half of the hash of its path. path, file: as in ENTRY. looks: as in LOOK, where `alike` is 1.
# digest: SHA-256 of the file; stamp: of `sft.images.stamp`; both 0 where pixels are not decoded. turn: its EXIF
# orientation.
IMAGE = np.dtype(
    [
        ("check", "u8"),
        ("file", "u8"),
        ("looks", "u8"),
        ("stamp", "i8"),
        ("path", "u4"),
        ("width", "u4"),
        ("height", "u4"),
        ("digest", "S32"),
        ("turn", "u1"),
        ("alike", "u1"),
    ]
)
UNKNOWN = -1  # instead of a number: there is something to say about this image
TOGETHER = 16  # files that a thread looks at before it takes the next ones
Look = Callable[[str], tuple[Any, ...] | None]  # path → an IMAGE, whose check is filled in later


class ImageTable:
    """Looks at image files. decode: at every pixel, and they are hashed; alike: also at how they look.

    Not for several threads: it has its own.
    """

    def __init__(self, *, decode: bool, alike: bool = False) -> None:
        self._look: Look = _looks if decode and alike else _whole if decode else _ends
        self._decode = decode
        self._keys = np.empty(0, np.uint64)  # sorted first halves of the hashes of the paths
        self._numbers = np.empty(0, np.uint32)  # of the same images
        self._records = np.empty(1024, IMAGE)
        self._count = 0

    @property
    def records(self) -> Table:
        """What is known of all images so far, by number; of IMAGE."""
        return self._records[: self._count]

    def numbers(self, paths: Sequence[str], pool: ThreadPoolExecutor) -> npt.NDArray[np.int64]:
        """The numbers of the images at these paths; files that were not met before are looked at, each once.

        UNKNOWN for what is not there, or no sound image file: `probe` says why.
        """
        keys, checks = _hashes(paths)
        unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        known = self._find(unique, checks[first])
        new = np.sort(first[known == UNKNOWN])  # in the order in which they are named
        if new.size:
            self._add(self._read([paths[at] for at in new.tolist()], pool), keys[new], checks[new])
            known = self._find(unique, checks[first])
        found = known[inverse]
        found[checks != checks[first][inverse]] = (
            UNKNOWN  # two paths with one key: the other one is looked at by itself
        )
        return found

    def find(self, path: str) -> int:
        """The number of an image that was met before, else UNKNOWN."""
        return int(self._find(*_hashes([path]))[0])

    def header(self, number: int) -> ImageHeader:
        """Size and orientation of an image; its format and mode are not kept."""
        record = self._records[number]
        return ImageHeader(int(record["width"]), int(record["height"]), "", "", int(record["turn"]))

    def digest(self, path: str) -> bytes | None:
        """SHA-256 of an image that was decoded; None for any other."""
        number = self.find(path)
        if not self._decode or number == UNKNOWN:
            return None
        return self._records["digest"][number : number + 1].tobytes()  # whole: numpy drops zeros at the end of one

    def _find(self, keys: npt.NDArray[np.uint64], checks: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        if not self._keys.size:
            return np.full(keys.size, UNKNOWN, np.int64)
        at = np.minimum(np.searchsorted(self._keys, keys), self._keys.size - 1)
        numbers = self._numbers[at]
        same = (self._keys[at] == keys) & (self._records["check"][numbers] == checks)
        return np.where(same, numbers.astype(np.int64), UNKNOWN)

    def _read(self, paths: Sequence[str], pool: ThreadPoolExecutor) -> list[tuple[Any, ...] | None]:
        """Threads pay off where pixels are decoded, which Python's lock does not hinder; the ends of a file are not."""
        if not self._decode:
            return [self._look(path) for path in paths]
        groups = [paths[at : at + TOGETHER] for at in range(0, len(paths), TOGETHER)]
        return list(chain.from_iterable(pool.map(self._several, groups)))

    def _several(self, paths: Sequence[str]) -> list[tuple[Any, ...] | None]:
        return [self._look(path) for path in paths]

    def _add(
        self, looks: Sequence[tuple[Any, ...] | None], keys: npt.NDArray[np.uint64], checks: npt.NDArray[np.uint64]
    ) -> None:
        """Keep what was found; what was not is looked for again when it is named again."""
        sound = [look for look in looks if look is not None]
        at = np.flatnonzero([look is not None for look in looks])
        if not sound:
            return
        count = self._count + len(sound)
        if count > len(self._records):
            larger = np.empty(max(count, len(self._records) * 3 // 2), IMAGE)
            larger[: self._count] = self.records
            self._records = larger
        self._records[self._count : count] = sound
        self._records["check"][self._count : count] = checks[at]
        order = np.argsort(keys[at], kind="stable")
        added = keys[at][order]
        places = np.searchsorted(self._keys, added)
        self._keys = np.insert(self._keys, places, added)
        self._numbers = np.insert(self._numbers, places, np.arange(self._count, count, dtype=np.uint32)[order])
        self._count = count


def _hashes(paths: Sequence[str]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Two halves of 128 bit of each path."""
    joined = b"".join([blake2b(path.encode("utf-8", "surrogatepass"), digest_size=16).digest() for path in paths])
    halves = np.frombuffer(joined, np.uint64).reshape(-1, 2)
    return np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1])


def _ends(path: str) -> tuple[Any, ...] | None:
    """What the two ends of a file say."""
    found = peek(path)
    if (
        found is None
        or not found.whole
        or found.size > MAX_FILE_BYTES
        or found.header.width * found.header.height > MAX_IMAGE_PIXELS
    ):
        return None
    return 0, found.fingerprint, 0, 0, path_print(path), found.header.width, found.header.height, b"", 1, 0


def _whole(path: str) -> tuple[Any, ...] | None:
    """What the whole file says, read once."""
    found = read_once(path)
    if found is None:
        return None
    header = found.header
    return (
        0,
        found.fingerprint,
        0,
        found.stamp,
        path_print(path),
        header.width,
        header.height,
        found.digest,
        header.exif_orientation,
        0,
    )


def _looks(path: str) -> tuple[Any, ...] | None:
    """The same, and 64 bit of how it looks where that can be told."""
    found = _whole(path)
    if found is None:
        return None
    try:
        looks = dhash(Path(path))
    except (ImageProblem, OSError):
        return found
    return (*found[:2], looks, *found[3:-1], 1)
