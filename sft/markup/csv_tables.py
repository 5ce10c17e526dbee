"""CSV → grid, and back. Line breaks inside a cell are joined as in HTML."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter

from sft.markup.cell_text import cell_text
from sft.markup.errors import MarkupError, MarkupWarning
from sft.markup.grid import SLOTS, Grid

LONGEST = 64 * 1024 * 1024  # characters
SAMPLE = 65536  # characters that are looked at for the delimiter
NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "pipe"}
DELIMITERS = tuple(NAMES)  # the most telling first
_SEP_LINE = re.compile(r"sep=(.)\n")  # of Excel
_PARTING_COMMA = re.compile(r"(?<![0-9]),(?! )|,(?![0-9 ])")


def parse_csv(text: str, delimiter: str | None = None) -> Grid:
    """The table of a CSV file: quoting as in RFC 4180; blank lines are skipped, short rows filled.

    delimiter: None for the one that `delimiter_of` finds.
    Raises: MarkupError `source.syntax` for an open quote or the like, or nothing to read; `source.too_large`.
    """
    check_length(text)
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    warnings: list[MarkupWarning] = []
    if delimiter is None:
        delimiter = delimiter_of(text, warnings)
    if match := _SEP_LINE.match(text):
        text = text[match.end() :]
    if len(delimiter) != 1 or delimiter in '"\n ':
        raise MarkupError("source.syntax", f"{delimiter!r} cannot delimit cells", hint="one character, such as a comma")
    rows, slots = [], 0
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        strict=True,
    )
    try:
        for row in reader:
            if row:
                rows.append([cell_text(cell) for cell in row])
                slots += len(row)
                if slots > SLOTS:
                    raise MarkupError("source.too_large", f"a table of more than {SLOTS} slots")
    except csv.Error as error:
        raise MarkupError("source.syntax", f"not CSV: {error}", place=f"line {reader.line_num}") from None
    if not rows:
        raise MarkupError("source.syntax", "no rows in the CSV")
    return Grid.from_rows(rows, warnings=warnings)


def delimiter_of(text: str, warnings: list[MarkupWarning]) -> str:
    """What parts the cells of a CSV file: tab, comma, semicolon or pipe; a comma where nothing does.

    What divides all lines into equally many cells is taken before what does not, a tab before all others, and a comma
    that only stands between digits or in front of a blank (`1,50`, `Smith, J.`) last. Where two are left, the first
    counts, with a warning.
    """
    if match := _SEP_LINE.match(text):
        return match[1]
    sample = text[:SAMPLE]
    there = [sign for sign in DELIMITERS if sign in sample]
    if len(there) < 2:
        return there[0] if there else ","
    widths = {sign: _widths(sample, sign, cut=len(text) > SAMPLE) for sign in there}
    left = [sign for sign, cells in widths.items() if len(set(cells)) == 1 and cells[0] > 1]
    if not left:
        rows = {
            sign: max(Counter(width for width in cells if width > 1).values(), default=0)
            for sign, cells in widths.items()
        }
        left = [sign for sign, count in rows.items() if count and count == max(rows.values())]
    if len(left) > 1 and "," in left and not _PARTING_COMMA.search(sample):
        left.remove(",")
    if len(left) > 1 and "\t" not in left:
        names = " and ".join(NAMES[sign] for sign in left)
        warnings.append(
            MarkupWarning(
                "table.delimiter",
                f"{names} divide the lines equally well; the cells are taken to be parted by a {NAMES[left[0]]}",
            )
        )
    return left[0] if left else ","


def _widths(sample: str, delimiter: str, *, cut: bool) -> list[int]:
    """Cells of each line that is not blank; [] where quotes say that this is not the delimiter."""
    try:
        widths = [
            len(row)
            for _, row in zip(
                range(100),
                csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, strict=not cut),
                strict=False,
            )
            if row
        ]
    except csv.Error:
        return []
    return widths[:-1] if cut and len(widths) > 1 else widths


def check_length(text: str) -> None:
    """Raises MarkupError `source.too_large` for more text than a table has."""
    if len(text) > LONGEST:
        raise MarkupError("source.too_large", f"{len(text)} characters; at most {LONGEST} are read")
