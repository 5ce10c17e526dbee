"""Units of work: whole files, groups of files, or stretches of lines of one file that can be read on their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft.files.jsonl import bounded_lines
from sft.files.text_input import open_text

UNIT_BYTES = 1 << 20  # of a line-based file in one unit
UNIT_FILES = 64  # small files in one unit
PAGES_BYTES = 1 << 14  # at least, of a file whose lines are pages from which much is cut out
PARTS = 64  # into which such a file is cut, if they are not smaller than that


@dataclass(frozen=True)
class Unit:
    """A part of the source that one process reads at once; small and picklable. `path` is the file, `payload` what of
    it.

    `split`: the part of a published set that all its rows belong to. `note`: as the text of a `Note`.
    """

    path: Path
    name: str  # of the file, as `where` shows it
    payload: Any = None
    split: str = ""
    note: str = ""


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `end` of a file, which begin with line `line` (from 1) and end with a line end or the file."""

    start: int
    end: int
    line: int


def line_units(path: Path, name: str = "", *, per: int = UNIT_BYTES) -> Iterator[Unit]:
    """Cut a file of lines, in UTF-8 or UTF-16, into units of about `per` bytes; reads it once to find and count the
    line ends.
    """
    with open_text(path) as stream:
        start, line = 0, 1
        while chunk := stream.read(per):
            lines = chunk.count(b"\n")
            if not chunk.endswith(b"\n"):
                while piece := stream.readline(per):
                    if piece.endswith(b"\n"):
                        lines += 1
                        break
            end = stream.tell()
            yield Unit(
                path,
                name or path.name,
                Span(start, end, line),
            )
            start = end
            line = line + lines


def page_bytes(path: Path) -> int:
    """How large the units of a file are whose lines are pages: one label file keeps all cores busy."""
    return min(UNIT_BYTES, max(PAGES_BYTES, path.stat().st_size // PARTS))


def unit_lines(unit: Unit) -> Iterator[tuple[int, bytes, bool]]:
    """(number from 1, line with its end, longer than MAX_LINE_BYTES?) of a unit made by `line_units`."""
    span: Span = unit.payload
    with open_text(unit.path) as stream:
        stream.seek(span.start)
        for number, line, too_long in bounded_lines(stream):
            yield span.line + number - 1, line, too_long
            if stream.tell() >= span.end:
                return


def file_units(files: Iterable[Path], root: Path, *, per: int = UNIT_FILES) -> Iterator[Unit]:
    """Units of `per` small files each, in the order given; the payload is a tuple of paths."""
    batch: list[Path] = []
    for path in files:
        batch.append(path)
        if len(batch) == per:
            yield Unit(root, root.name, tuple(batch))
            batch = []
    if batch:
        yield Unit(root, root.name, tuple(batch))
