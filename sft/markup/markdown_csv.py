"""Markdown, CSV and Excel sheets → grid, and grids → Markdown and CSV.

Line breaks inside a cell are joined as in HTML.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Sequence

from sft.markup.cell_text import formulas, one_line
from sft.markup.errors import MarkupError
from sft.markup.grid import _BREAK, SLOTS, Grid

__all__ = ["parse_csv", "parse_markdown"]

LONGEST = 64 * 1024 * 1024  # characters
_DELIMITERS = ",;\t|"
_PIPE = re.compile(r"(?<!\\)\|")
_RULER = re.compile(r" *:?-+:? *")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_EMPHASIS = re.compile(r"\*\*[^*]+\*\*|__[^_]+__|`[^`]+`|(?<![*\w])\*[^*\s][^*]*\*(?![*\w])")


def parse_markdown(text: str) -> Grid:
    """The first table of `text` in GitHub's Markdown: a heading row, a ruler of as many cells, rows until a line
    without a table.

    `\\|` is a pipe; `<br>` is a space (nothing between two CJK characters); references (`&lt;`) are read; `$…$` around
    TeX is `\\( … \\)`. Emphasis is kept as it is written, with a warning. Short rows are filled; a row that is longer
    widens the table.
    Raises: MarkupError `source.syntax` if there is no such table; `source.too_large`.
    """
    check_length(text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    fence = ""
    for number in range(len(lines) - 1):
        if found := _FENCE.match(lines[number]):
            fence = "" if fence and found[1].startswith(fence) else fence or found[1]
        if not fence and "-" in lines[number + 1] and "|" in lines[number] and is_ruler(lines[number + 1]):
            heading = split_markdown(lines[number])
            if len(heading) == len(split_markdown(lines[number + 1])):
                return markdown_grid(heading, lines[number + 2 :])
    raise MarkupError(
        "source.syntax",
        "no Markdown table",
        hint="expected a row | a | b |, a ruler | --- | --- | of as many cells, and rows",
    )


def markdown_grid(heading: list[str], lines: Sequence[str]) -> Grid:
    """The table of a heading and the lines behind its ruler."""
    warnings = []
    rows = [[markdown_text(cell) for cell in heading]]
    for line in lines:
        if not line.strip() or ("|" not in line and len(heading) > 1):
            break
        rows.append([markdown_text(cell) for cell in split_markdown(line)])
        if len(rows[-1]) > len(heading):
            warnings.append(
                f"row {len(rows)}: {len(rows[-1])} cells, the heading has {len(heading)}; the table is widened"
            )
    if any(_EMPHASIS.search(cell) for row in rows for cell in row):
        warnings.append("a text holds signs of emphasis (**…**, `…`); they are kept")
    return Grid.from_rows(rows, header=True, warnings=warnings[:100])


def is_ruler(line: str) -> bool:
    """True for `| --- | :-: |` and the like."""
    return "|" in line and all(_RULER.fullmatch(cell) for cell in split_markdown(line))


def split_markdown(line: str) -> list[str]:
    """The cells of a line, without the outer pipes."""
    line = line.strip()
    if line.startswith("|"):
        line = line[1:]
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return _PIPE.split(line)


def markdown_text(cell: str) -> str:
    """The text of a cell."""
    cell = cell.replace("\\|", "|")
    if "<" in cell:
        cell = _BREAK.sub("\n", cell)
    return formulas(one_line(html.unescape(cell) if "&" in cell else cell))


def parse_csv(text: str, delimiter: str | None = None) -> Grid:
    """The table of a CSV file: quoting as in RFC 4180; blank lines are skipped, short rows filled.

    delimiter: None for Excel's `sep=…` line, or else the one of comma, semicolon, tab and pipe that splits the rows
    most evenly.
    Raises: MarkupError `source.syntax` for an open quote or the like, or nothing to read; `source.too_large`.
    """
    check_length(text)
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if found := re.match(r"sep=(.)\n", text):
        text = text[found.end() :]
        delimiter = delimiter or found[1]
    if delimiter is None:
        delimiter = sniffed(text)
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
                rows.append([formulas(one_line(cell)) for cell in row])
                slots += len(row)
                if slots > SLOTS:
                    raise MarkupError("source.too_large", f"a table of more than {SLOTS} slots")
    except csv.Error as error:
        raise MarkupError("source.syntax", f"not CSV: {error}", place=f"line {reader.line_num}") from None
    if not rows:
        raise MarkupError("source.syntax", "no rows in the CSV")
    return Grid.from_rows(rows)


def sniffed(text: str) -> str:
    """The delimiter under which the first lines have more than one cell, most evenly; a comma if none does."""
    sample = text[:65536]
    best = ","
    score = (0, 0)
    for delimiter in _DELIMITERS:
        counts: dict[int, int] = {}
        try:
            for _, row in zip(
                range(100), csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter), strict=False
            ):
                counts[len(row)] = counts.get(len(row), 0) + (len(row) > 1)
        except csv.Error:
            continue
        width, rows = max(
            counts.items(),
            key=lambda item: (item[1], item[0]),
            default=(0, 0),
        )
        if rows and (rows, width) > score:
            best = delimiter
            score = (rows, width)
    return best


def check_length(text: str) -> None:
    """Raises MarkupError `source.too_large` for more text than a table has."""
    if len(text) > LONGEST:
        raise MarkupError("source.too_large", f"{len(text)} characters; at most {LONGEST} are read")
