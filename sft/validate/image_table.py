"""The images that the rows of a file name, each looked at once however many rows show it.

An image has a number, from 0, in the order in which they were first met. A sorted table of 12 bytes an image finds the
number of a path again, and what is known of an image takes up to 78 bytes: a million images take 90 MB. No path is
kept; paths are told apart by 128 bit of their BLAKE2b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sft.images import MAX_FILE_BYTES, MAX_IMAGE_PIXELS, ImageProblem, dhash, peek, read_once
from sft.types import ImageHeader
from sft.validate.across_rows import path_print

Column = npt.NDArray[Any]
UNKNOWN = -1  # instead of a number: there is something to say about this image
TOGETHER = 16  # files that a thread looks at before it takes the next ones
# check: the second half of the hash of the path. path, file: as in ENTRY. turn: the EXIF orientation.
COLUMNS = {"check": "u8", "path": "u4", "file": "u8", "width": "u4", "height": "u4", "turn": "u1"}
# digest: SHA-256 of the file. stamp: of the file then, as of `sft.images.stamp`.
DECODED = {"digest": "S32", "stamp": "i8"}
# looks: as in LOOK, where `has_looks` is true.
LOOKED_AT = {"looks": "u8", "has_looks": "?"}


@dataclass(frozen=True)
class Known:
    """What is known of one image file. looks: None where it was not asked for or cannot be told."""

    header: ImageHeader
    file: int
    digest: bytes = b""
    stamp: int = 0
    looks: int | None = None


class ImageTable:
    """Looks at image files. decode: at every pixel, and they are hashed; alike: also at how they look.

    For one thread: it has its own.
    """

    def __init__(self, *, decode: bool, alike: bool = False) -> None:
        self._look: Callable[[str], Known | None] = _looks if decode and alike else _whole if decode else _ends
        self._decode = decode
        self._keys = np.empty(0, np.uint64)  # sorted first halves of the hashes of the paths
        self._numbers = np.empty(0, np.uint32)  # of the same images
        types = {**COLUMNS, **(DECODED if decode else {}), **(LOOKED_AT if decode and alike else {})}
        self._columns: dict[str, Column] = {name: np.empty(0, kind) for name, kind in types.items()}
        self._count = 0

    def column(self, name: str) -> Column:
        """One thing that is known of all images so far, by number."""
        return self._columns[name][: self._count]

    def numbers(self, paths: Sequence[str], pool: ThreadPoolExecutor) -> npt.NDArray[np.int64]:
        """The numbers of the images at these paths; files that were not met before are looked at, each once.

        UNKNOWN for what is not there, or no sound image file: `probe` says why.
        """
        keys, checks = _hashes(paths)
        unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        known = self._find(unique, checks[first])
        new = np.sort(first[known == UNKNOWN])  # in the order in which they are named
        if new.size:
            self._add([paths[at] for at in new.tolist()], keys[new], checks[new], pool)
            known = self._find(unique, checks[first])
        by_place = known[inverse]
        by_place[checks != checks[first][inverse]] = UNKNOWN  # of two paths with one key, the other one
        return by_place

    def find(self, path: str) -> int:
        """The number of an image that was met before, else UNKNOWN."""
        return int(self._find(*_hashes([path]))[0])

    def header(self, number: int) -> ImageHeader:
        """Size and orientation of an image; its format and mode are not kept."""
        width, height, turn = (int(self._columns[name][number]) for name in ("width", "height", "turn"))
        return ImageHeader(width, height, "", "", turn)

    def looks(self, number: int) -> int | None:
        """64 bit of how an image looks, where that was asked for and can be told."""
        is_known = "has_looks" in self._columns and self._columns["has_looks"][number]
        return int(self._columns["looks"][number]) if is_known else None

    def digest(self, path: str) -> bytes | None:
        """SHA-256 of an image that was decoded; None for any other."""
        number = self.find(path)
        if not self._decode or number == UNKNOWN:
            return None
        return self._columns["digest"][number : number + 1].tobytes()  # whole: numpy drops zeros at the end of one

    def _find(self, keys: npt.NDArray[np.uint64], checks: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        if not self._keys.size:
            return np.full(keys.size, UNKNOWN, np.int64)
        at = np.minimum(np.searchsorted(self._keys, keys), self._keys.size - 1)
        numbers = self._numbers[at]
        same = (self._keys[at] == keys) & (self._columns["check"][numbers] == checks)
        return np.where(same, numbers.astype(np.int64), UNKNOWN)

    def _add(
        self,
        paths: Sequence[str],
        keys: npt.NDArray[np.uint64],
        checks: npt.NDArray[np.uint64],
        pool: ThreadPoolExecutor,
    ) -> None:
        """Look at files, and keep what was found; where nothing was, the file is looked at again when it is named
        again.
        """
        peeked = self._all(paths, pool)
        sound = [(path, known) for path, known in zip(paths, peeked, strict=True) if known is not None]
        if not sound:
            return
        at = np.flatnonzero([known is not None for known in peeked])
        self._grow(self._count + len(sound))
        new = slice(self._count, self._count + len(sound))
        self._columns["check"][new] = checks[at]
        self._columns["path"][new] = [path_print(path) for path, _ in sound]
        self._columns["file"][new] = [known.file for _, known in sound]
        self._columns["width"][new] = [known.header.width for _, known in sound]
        self._columns["height"][new] = [known.header.height for _, known in sound]
        self._columns["turn"][new] = [known.header.exif_orientation for _, known in sound]
        if self._decode:
            self._columns["digest"][new] = [known.digest for _, known in sound]
            self._columns["stamp"][new] = [known.stamp for _, known in sound]
        if "has_looks" in self._columns:
            self._columns["has_looks"][new] = [known.looks is not None for _, known in sound]
            self._columns["looks"][new] = [known.looks or 0 for _, known in sound]
        order = np.argsort(keys[at], kind="stable")
        added = keys[at][order]
        places = np.searchsorted(self._keys, added)
        self._keys = np.insert(self._keys, places, added)
        self._numbers = np.insert(self._numbers, places, np.arange(new.start, new.stop, dtype=np.uint32)[order])
        self._count = new.stop

    def _all(self, paths: Sequence[str], pool: ThreadPoolExecutor) -> list[Known | None]:
        """Threads pay off where pixels are decoded, which Python's lock does not hinder; the ends of a file are not."""
        if not self._decode:
            return self._several(paths)
        groups = [paths[at : at + TOGETHER] for at in range(0, len(paths), TOGETHER)]
        return list(chain.from_iterable(pool.map(self._several, groups)))

    def _several(self, paths: Sequence[str]) -> list[Known | None]:
        return [self._look(path) for path in paths]

    def _grow(self, count: int) -> None:
        """Room for so many images, one column after the other."""
        room = len(self._columns["check"])
        if count <= room:
            return
        for name, column in self._columns.items():
            larger = np.empty(max(count, room * 5 // 4), column.dtype)
            larger[: self._count] = column[: self._count]
            self._columns[name] = larger


def _hashes(paths: Sequence[str]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Two halves of 128 bit of each path."""
    joined = b"".join([blake2b(path.encode("utf-8", "surrogatepass"), digest_size=16).digest() for path in paths])
    halves = np.frombuffer(joined, np.uint64).reshape(-1, 2)
    return np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1])


def _ends(path: str) -> Known | None:
    """What the two ends of a file say."""
    peeked = peek(path)
    if (
        peeked is None
        or not peeked.whole
        or peeked.size > MAX_FILE_BYTES
        or peeked.header.width * peeked.header.height > MAX_IMAGE_PIXELS
    ):
        return None
    return Known(peeked.header, peeked.fingerprint)


def _whole(path: str) -> Known | None:
    """What the whole file says, read once."""
    image = read_once(path)
    return None if image is None else Known(image.header, image.fingerprint, image.digest, image.stamp)


def _looks(path: str) -> Known | None:
    """The same, and how it looks."""
    image = read_once(path)
    if image is None:
        return None
    try:
        looks = dhash(Path(path))
    except (ImageProblem, OSError):
        looks = None
    return Known(image.header, image.fingerprint, image.digest, image.stamp, looks)
