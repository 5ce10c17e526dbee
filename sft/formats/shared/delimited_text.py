"""Records of CSV and TSV files, as RFC 4180 has them or without any quoting, one at a time: a broken one costs itself
alone.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sft.errors import RowRejected
from sft.files import MAX_LINE_BYTES, bounded_lines, open_text
from sft.formats.base import Reject
from sft.formats.shared.delimited_dialect import MAX_RECORD_CHARS, MAX_RECORD_LINES
from sft.formats.shared.rows import BOM, begin, decode_line
from sft.markup import MarkupWarning


@dataclass(frozen=True)
class Record:
    """The fields of one record; `line` is where it begins, `raw` how."""

    line: int
    fields: tuple[str, ...]
    raw: str
    warnings: tuple[MarkupWarning, ...] = ()


class _Endless(Exception):
    """A quoted field has not ended within the limits."""


class _Feed:
    """Lines for csv.reader, which takes as many as a record needs; the lines of a broken record can be given back."""

    def __init__(self, lines: Iterator[tuple[int, str | Reject]]) -> None:
        self._lines = lines
        self._waiting: deque[tuple[int, str | Reject]] = deque()
        self.taken: list[tuple[int, str]] = []
        self._size = 0

    def peek(self) -> tuple[int, str | Reject] | None:
        """The next line; None at the end."""
        if not self._waiting:
            line = next(self._lines, None)
            if line is None:
                return None
            self._waiting.append(line)
        return self._waiting[0]

    def drop(self) -> None:
        """Pass over the next line."""
        self._waiting.popleft()

    def begin(self) -> None:
        """A new record."""
        self.taken, self._size = [], 0

    def give_back(self) -> tuple[int, str]:
        """Every line of the broken record but the first, which is returned."""
        self._waiting.extendleft(reversed(self.taken[1:]))
        return self.taken[0]

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        peeked = self.peek()
        if peeked is None:
            raise StopIteration
        number, line = peeked
        if isinstance(line, Reject):  # not text; a record cannot go through it
            raise _Endless
        self._size += len(line)
        if self.taken and (len(self.taken) >= MAX_RECORD_LINES or self._size > MAX_RECORD_CHARS):
            raise _Endless
        self._waiting.popleft()
        self.taken.append((number, line))
        return line


def records(path: Path, name: str, delimiter: str, *, quoted: bool = True) -> Iterator[Record | Reject]:
    """Every record of a file, the header too; blank lines are none. A record that cannot be read is a Reject, by its
    first line.

    `quoted`: quotes enclose fields, which may hold line ends then; otherwise a line is a record, and quotes are text.
    """
    with open_text(path) as stream:
        if not quoted:
            yield from _plain(_lines(stream, name), delimiter)
            return
        feed = _Feed(_lines(stream, name))
        while (line := feed.peek()) is not None:
            if isinstance(line[1], Reject):
                feed.drop()
                yield line[1]
            elif not line[1].strip():
                feed.drop()
            else:
                yield _record(feed, name, delimiter)


def _plain(lines: Iterator[tuple[int, str | Reject]], delimiter: str) -> Iterator[Record | Reject]:
    for number, line in lines:
        if isinstance(line, Reject):
            yield line
        elif line.strip():
            text = line.removesuffix("\n")
            yield Record(
                number,
                tuple(text.split(delimiter)),
                begin(text[:800].encode()),
            )


def workbook_records(path: Path, name: str) -> Iterator[Record | Reject]:
    """The rows of a workbook's first sheet as records, as many fields each as the first has, which names them; `line`
    is the row.
    """
    from sft.markup import sheet_rows

    width = 0
    try:
        for number, texts, warnings in sheet_rows(path):
            while len(texts) > width and not texts[-1].strip():
                texts.pop()
            width = width or len(texts)
            fields = tuple(texts) + ("",) * (width - len(texts))
            yield Record(
                number,
                fields,
                begin(" | ".join(fields)[:800].encode("utf-8", "replace")),
                tuple(warnings),
            )
    except RowRejected as error:
        yield Reject(name, error.code, str(error))


def _record(feed: _Feed, name: str, delimiter: str) -> Record | Reject:
    feed.begin()
    usual = csv.field_size_limit(
        MAX_LINE_BYTES
    )  # of this process, so only for this record; a field may hold a whole table
    try:
        fields = next(csv.reader(feed, delimiter=delimiter, strict=True))
        line, raw = feed.taken[0]
        return Record(
            line,
            tuple(fields),
            begin(raw[:800].encode()),
        )
    except (csv.Error, _Endless, StopIteration) as error:
        line, raw = feed.give_back()
        said = (
            "a quote that does not end"
            if isinstance(error, (_Endless, StopIteration)) or "unexpected end" in str(error)
            else str(error)
        )
        return Reject(
            f"{name}:{line}",
            "source.syntax",
            f"not a record: {said}",
            begin(raw[:800].encode()),
        )
    finally:
        csv.field_size_limit(usual)


def _lines(stream: object, name: str) -> Iterator[tuple[int, str | Reject]]:
    """(number, line with its end as \\n), or the Reject of a line that is no text."""
    for number, line, too_long in bounded_lines(stream):  # type: ignore[arg-type]
        where = f"{name}:{number}"
        if too_long:
            yield (
                number,
                Reject(where, "source.too_large", f"more than {MAX_LINE_BYTES:,} bytes in one line", begin(line)),
            )
            continue
        text = decode_line(
            where,
            line.removeprefix(BOM) if number == 1 else line,
        )
        yield number, text if isinstance(text, Reject) else text + "\n"
