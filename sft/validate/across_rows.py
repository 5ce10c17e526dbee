"""Checks of a set as a whole: the same image twice, with one reference or with two, and images of the test set among
those
of training.

While the rows are read, every image leaves one entry of 24 bytes (32 with its looks): where it stands, a fingerprint of
its file, one of its path. Sorting the entries tells which rows may share an image; only those are read once more, and
only files whose fingerprints agree are hashed. Memory is small and time is linear, however many rows there are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from sft.arrays import AnyArray
from sft.files import CHUNK, bounded_lines, decode, open_input
from sft.images import LIMIT, band_of, bands, popcount
from sft.markup import canonical
from sft.reasons import make, shorten
from sft.types import Problem, Sample

# line: of the row, from 1. file: fingerprint of the image file (of its path where files are not opened). path: of the
# path alone.
ENTRY = np.dtype([("line", "u4"), ("path", "u4"), ("file", "u8")])
# looks: 64 bit of how the image looks (`sft.images.perceptual_hash`). says: of the prompt and the answer.
LOOK = np.dtype([("line", "u4"), ("says", "u4"), ("looks", "u8"), ("file", "u8")])
Digest = Callable[[str], bytes | None]  # path → a hash of the file's content
COMPARED = 8  # earlier images of a band that one is compared with
_ODD_STEP = re.compile(
    r"(?:\A|/)\.\.(?:/|\Z)|/\.?\Z"
)  # whose short spelling may be another file: up out of a link, or a file as a folder
SAME = "one of them adds nothing; `sft dedupe` takes it out"


@dataclass
class Entries:
    """What is known of the images of one file of rows."""

    path: Path
    base: Path  # that relative image paths count from
    images: AnyArray = field(default_factory=lambda: np.empty(0, ENTRY))
    looks: AnyArray = field(default_factory=lambda: np.empty(0, LOOK))


@lru_cache(maxsize=64)
def folder_of(base: Path) -> str:
    """The real path of a folder, with a slash at its end."""
    return os.path.realpath(base).rstrip("/") + "/"


def place_of(base: Path, url: str) -> str:
    """One spelling for each path, that leads to the same file as the path itself: `none/../a.png` leads nowhere."""
    path = folder_of(base) + url if not url.startswith("/") else url
    short = os.path.normpath(path)
    return path if _ODD_STEP.search(url) and not _same_file(path, short) else short


def _same_file(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):
        return False


def path_print(path: str) -> int:
    """32 bit of a path."""
    return crc32(path.encode("utf-8", "surrogateescape"))


def says_print(prompt: str, answer: str) -> int:
    """32 bit of what a sample asks and answers, however it is spelt."""
    said = canonical(answer).encode("utf-8", "surrogatepass")
    return crc32(said, crc32(prompt.encode("utf-8", "surrogatepass")))


def check_set(
    entries: Entries, tests: Sequence[Entries], digest_of: Digest = lambda _: None
) -> Iterator[tuple[int, bytes, list[Problem]]]:
    """(line, row, findings) of the rows of one file that have one, in order.

    `tests`: files whose images must not be in it. `digest_of`: a hash of the content of files that were read already.
    """
    shared = _shared(entries.images)
    leaked = [np.intersect1d(entries.images["file"], test.images["file"]) for test in tests]
    near = _near(entries, tests)
    if not (shared.size or near or any(common.size for common in leaked)):
        return
    places = _Places([entries, *tests], digest_of)
    held = [_held(test, common, places) for test, common in zip(tests, leaked, strict=True)]
    several = np.unique(np.concatenate([shared, *leaked]))
    wanted = np.union1d(
        entries.images["line"][np.isin(entries.images["file"], several)], np.fromiter(near, np.uint32, len(near))
    )
    twice = set(shared.tolist())
    seen: dict[bytes, tuple[int, bytes]] = {}
    for line, text, sample, files in _rows(entries, wanted):
        problems = list(near.get(line, ()))
        if len(sample.image_info) == len(files):
            images = [
                (place_of(entries.base, image.image_url), file)
                for image, file in zip(sample.image_info, files, strict=True)
            ]
            problems += [*_leaks(line, images, held, tests, places)]
            if twice.issuperset(files):
                problems += _twice(
                    line,
                    sample,
                    [places.identity(*image) for image in images],
                    seen,
                )
        if problems:
            yield line, text, problems


def _rows(entries: Entries, wanted: npt.NDArray[Any]) -> Iterator[tuple[int, bytes, Sample, list[int]]]:
    """(line, row, sample, fingerprints of its images) of the lines that are wanted."""
    if not wanted.size:
        return
    order = np.argsort(entries.images["line"], kind="stable")
    lines = entries.images["line"][order]
    files = entries.images["file"][order]
    wanted = wanted.astype(lines.dtype)
    todo = zip(
        wanted.tolist(),
        np.searchsorted(lines, wanted, "left").tolist(),
        np.searchsorted(lines, wanted, "right").tolist(),
        strict=True,
    )
    following, first, last = next(todo)
    with open_input(entries.path) as stream:
        for number, text, too_long in bounded_lines(stream):
            if number != following:
                continue
            try:
                sample = None if too_long else decode(text)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                sample = None
            if sample is not None:
                yield number, text, sample, files[first:last].tolist()
            following, first, last = next(todo, (0, 0, 0))
            if not following:
                return


class _Places:
    """Which paths hold the same image. A file is hashed once, and only where another path has its fingerprint."""

    def __init__(self, all_entries: Sequence[Entries], digest_of: Digest) -> None:
        self._digests: dict[str, bytes] = {}
        self._digest_of = digest_of
        pairs = np.unique(np.concatenate([entries.images[["file", "path"]] for entries in all_entries]))
        files = np.sort(pairs["file"])
        self._ambiguous = set(files[1:][files[1:] == files[:-1]].tolist())

    def identity(self, path: str, file: int) -> bytes:
        """A digest of the file's content; of its path where no other file can be the same, or where it
        cannot be read.
        """
        if path not in self._digests:
            self._digests[path] = self._content(path) if file in self._ambiguous else _of_path(path)
        return self._digests[path]

    def _content(self, path: str) -> bytes:
        if known := self._digest_of(path):
            return known
        digest = blake2b(digest_size=16)
        try:
            with open(path, "rb") as stream:
                while piece := stream.read(CHUNK):
                    digest.update(piece)
        except OSError:
            return _of_path(path)
        return digest.digest()


def _of_path(path: str) -> bytes:
    return blake2b(os.fsencode(path), digest_size=16).digest()


def _shared(images: AnyArray) -> npt.NDArray[np.uint64]:
    """Fingerprints that several rows have."""
    sorted_files = np.sort(np.ascontiguousarray(images["file"]))
    if not (sorted_files[1:] == sorted_files[:-1]).any():
        return sorted_files[:0]
    order = np.argsort(images["file"], kind="stable")
    files = images["file"][order]
    lines = images["line"][order]
    same = (files[1:] == files[:-1]) & (lines[1:] != lines[:-1])
    return np.unique(files[1:][same])


def _twice(line: int, sample: Sample, images: list[bytes], seen: dict[bytes, tuple[int, bytes]]) -> Iterator[Problem]:
    question = [item.text for item in sample.text_info if item.tag == "mask"]
    said = [item.text for item in sample.text_info if item.tag == "no_mask"]
    key = blake2b(b"".join(images) + _packed(question), digest_size=16).digest()
    answer = blake2b(_packed(said), digest_size=8).digest()
    first, other = seen.setdefault(key, (line, answer))
    if first == line:
        return
    if answer == other:
        yield make("set.duplicate", f"the image and the answer of line {first} again", line, SAME)
    else:
        yield make(
            "set.contradiction",
            f"the image of line {first} with another answer",
            line,
            "one of the two is wrong; look at the image",
        )


def _packed(texts: list[str]) -> bytes:
    return msgspec.json.encode([canonical(text) for text in texts])


def _held(test: Entries, common: npt.NDArray[np.uint64], places: _Places) -> dict[bytes, int]:
    """Image → first line of the test set that shows it, of those that may be in the training set too."""
    line_of: dict[bytes, int] = {}
    wanted = np.unique(test.images["line"][np.isin(test.images["file"], common)])
    for line, _, sample, files in _rows(test, wanted):
        for image, file in zip(sample.image_info, files, strict=False):
            line_of.setdefault(
                places.identity(place_of(test.base, image.image_url), file),
                line,
            )
    return line_of


def _leaks(
    line: int, images: list[tuple[str, int]], held: list[dict[bytes, int]], tests: Sequence[Entries], places: _Places
) -> Iterator[Problem]:
    for test, known in zip(tests, held, strict=True):
        for name, file in images if known else ():
            if other := known.get(places.identity(name, file)):
                yield make(
                    "set.leak",
                    f"{shorten(os.path.basename(name), 80)} is also in {test.path.name}:{other}",
                    line,
                    "take it out of one of the two; `sft split` makes sets that share no image",
                )
                break


def _near(entries: Entries, tests: Sequence[Entries]) -> dict[int, list[Problem]]:
    """Line → findings about images that look the same, and say the same, but are not the same file."""
    by_line: dict[int, list[Problem]] = {}
    for line, other in _alike(entries.looks, entries.looks, within=True).items():
        by_line.setdefault(line, []).append(
            make("set.near_duplicate", f"looks like the image of line {other}, and says the same", line, SAME)
        )
    for test in tests:
        for line, other in _alike(entries.looks, test.looks, within=False).items():
            message = f"looks like the image of {test.path.name}:{other}, and says the same"
            by_line.setdefault(line, []).append(
                make("set.near_leak", message, line, "if it is the same crop, take it out of one of the two")
            )
    return by_line


def _alike(looks: AnyArray, others: AnyArray, *, within: bool) -> dict[int, int]:
    """Line of `looks` → line of `others` with the nearest look, where there is one within LIMIT bits that says the
    same.
    """
    both = looks if within else np.concatenate([others, looks])
    nearest: dict[int, tuple[int, int]] = {}
    split = 0 if within else len(others)
    for band in bands():
        key = both["says"].astype(np.uint64) << np.uint64(13) | band_of(both["looks"], band)
        order = np.argsort(key, kind="stable")
        key = key[order]
        for back in range(1, COMPARED + 1):
            same = np.flatnonzero(key[back:] == key[:-back])
            left = order[same]
            right = order[same + back]  # left stands before right in `both`
            bits = popcount(both["looks"][left] ^ both["looks"][right])
            good = (
                (bits <= LIMIT)
                & (both["file"][left] != both["file"][right])
                & (both["line"][left] != both["line"][right] if within else (left < split) & (right >= split))
            )
            for a, b, count in zip(
                both["line"][left[good]].tolist(), both["line"][right[good]].tolist(), bits[good].tolist(), strict=True
            ):
                nearest[b] = min(
                    nearest.get(b, (65, 0)),
                    (count, a),
                )
    return {line: other for line, (_, other) in nearest.items()}
