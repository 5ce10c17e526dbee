"""Units of work: whole files, groups of files, or stretches of lines of one file that can be read on their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sft.files import jsonl
from sft.files.atomic import CHUNK
from sft.files.jsonl import bounded_lines
from sft.files.text_input import Utf16Lines, open_text

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


def stretches(stream: IO[bytes], start: int, end: int, per: int) -> Iterator[tuple[int, int]]:
    """(start, end) of stretches of about `per` bytes that end where a line ends, or at `end`.

    `start` is where a line begins. Only the ends of the stretches are read. The stream may be used in between, and
    stands anywhere.
    """
    wide = 2 if isinstance(stream, Utf16Lines) else 1  # bytes of a line feed
    while start < end:
        cut = start + max(wide, per // wide * wide)
        if cut < end:
            stream.seek(cut - wide)
            while (piece := stream.readline(CHUNK)) and not piece.endswith(b"\n"):
                pass
            cut = stream.tell()
        yield start, min(cut, end)
        start = cut


def whole_lines(stream: IO[bytes], start: int, end: int, per: int) -> Iterator[tuple[bytes, bool]]:
    """(whole lines, are they the beginning of one line that is too long?) of a stretch of a file in UTF-8: about `per`
    bytes at once, never more than `per` and a line of MAX_LINE_BYTES.
    """
    limit = jsonl.MAX_LINE_BYTES
    per = min(per, limit)  # of the lines in so many bytes only the last can be too long
    for first, last in stretches(stream, start, end, per):
        stream.seek(first)
        chunk = stream.read(min(last - first, per))
        if first + len(chunk) < last:  # the last line goes on
            cut = chunk.rfind(b"\n") + 1
            rest = stream.read(min(last - first - len(chunk), limit + 1 - (len(chunk) - cut)))
            if last - first - cut > limit:
                if cut:
                    yield chunk[:cut], False
                yield chunk[cut:] + rest, True
                continue
            chunk += rest
        yield chunk, False


def line_units(path: Path, name: str = "", *, per: int = UNIT_BYTES) -> Iterator[Unit]:
    """Cut a file of lines, in UTF-8 or UTF-16, into units of about `per` bytes; reads it once to find and count the
    line ends.
    """
    line = 1
    with open_text(path) as stream:
        for start, end in stretches(stream, 0, path.stat().st_size, per):
            yield Unit(path, name or path.name, Span(start, end, line))
            stream.seek(start)
            while stream.tell() < end and (piece := stream.read(min(per, end - stream.tell()))):
                line += piece.count(b"\n")


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
