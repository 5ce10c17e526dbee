"""Which image files a conversion has looked at, and whether they are still as they were.

    .train.jsonl.images   gzip of records that end with a NUL byte: size, time of the last change in ns (0 for images
    that
                          were stored beside OUT, whose name says what is in them), path from OUT's folder

A file that was missing has the size -1, so that the same command notices when it has come. Looking at a list costs one
`stat` an image.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GONE = (-1, 0)
LEVEL = 3  # of gzip; paths pack well at any
CHUNK = 1 << 20


def list_path(out: Path) -> Path:
    """Where the images of `out` are listed."""
    return out.with_name(f".{out.name}.images")


def file_state(path: str | bytes) -> tuple[int, int]:
    """(bytes, time of the last change in ns) of a file; (-1, 0) where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL byte in the name
        return GONE
    return status.st_size, status.st_mtime_ns


class ImageSnapshot:
    """The images of one piece of the work, each noted once, before it is read; paths count from `base`."""

    def __init__(self, base: Path) -> None:
        self._base = os.path.realpath(base)
        self._records: dict[str, tuple[int, int]] = {}
        self._ways: dict[str, str] = {}

    def note(self, path: Path | str, status: os.stat_result | None = None) -> None:
        """A file of the source; `found`: what the system has just said of it, if anything."""
        if (name := str(path)) not in self._records:
            self._records[name] = (status.st_size, status.st_mtime_ns) if status else file_state(name)

    def note_stored(self, url: str, size: int) -> None:
        """A file of `size` bytes that was stored beside OUT, by its path from there."""
        name = f"{self._base}/{url}"
        if name not in self._records:
            self._records[name] = (size, 0)
            folder = url.rpartition("/")[0]
            self._ways.setdefault(f"{self._base}/{folder}", f"{folder}/")  # asks no disk where it leads

    def packed(self) -> bytes:
        """The records, in the order of the source; b"" for none."""
        records = [
            f"{size} {when} {self._relative(name)}\0"
            for name, (size, when) in self._records.items()
            if "\0" not in name
        ]
        content = os.fsencode("".join(records))
        return gzip.compress(content, LEVEL, mtime=0) if content else b""

    def _relative(self, name: str) -> str:
        folder, _, last = name.rpartition("/")
        if folder not in self._ways:
            way = os.path.relpath(
                os.path.realpath(folder or "/"),
                self._base,
            )
            self._ways[folder] = "" if way == "." else f"{way}/"
        return self._ways[folder] + last


def changed_files(listing: Path, base: Path) -> list[str] | None:
    """The files of a list that are no longer as they were, at most those before the list breaks off; None where it
    cannot be read.
    """
    changed: list[str] = []
    root = os.fsencode(os.path.realpath(base)) + b"/"
    try:
        for record in _records(listing):
            size, when, path = record.split(b" ", 2)
            now = file_state(root + path)
            if now[0] != int(size) or (int(when) and now[1] != int(when)):
                changed.append(os.fsdecode(path))
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    return changed


def forget_changed(out: Path, paths: list[str], folder: Path) -> None:
    """Remove stored images that are not what was stored, so that they are written again."""
    for path in paths:
        target = out.parent / path
        if folder in target.parents:
            with suppress(OSError):
                target.unlink(missing_ok=True)


def _records(listing: Path) -> Iterator[bytes]:
    rest = b""
    with gzip.open(listing, "rb") as stream:
        while chunk := stream.read(CHUNK):
            *whole, rest = (rest + chunk).split(b"\0")
            yield from whole
    if rest:
        raise ValueError("a record that does not end")
