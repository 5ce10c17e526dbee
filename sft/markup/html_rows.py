"""The rows of an ordinary HTML table, given as the text between `<tr><td` and `</td></tr>`, put into slots; for `html_fast.py`."""

from __future__ import annotations

import re
from functools import lru_cache

from sft.markup.grid import SLOTS
from sft.markup.html_cells import spans_of

ATTRIBUTES = re.compile(r"""(?: [^\s"'<>/=&]+(?:=(?:"[^"<>&]*"|'[^'<>&]*'|[^\s"'<>=&`]+))?)* ?""")
HEADING = "\x01"  # stands as an attribute in what was a <th>, and in front of the rows of a <thead>
_UNDER = ("", "<ucel>", "<ucel><xcel>", "<ucel><xcel><xcel>")

Span = tuple[int, int, int]  # from above: column, rows left, columns


@lru_cache(maxsize=4096)
def spans(attributes: str) -> tuple[int, int] | None:
    """(row span, column span); None for attributes that a regular expression should not judge."""
    return spans_of(attributes) if len(attributes) < 1000 and ATTRIBUTES.fullmatch(" " + attributes) else None


def otsl_lines(group: str, width: int) -> tuple[int, int, str] | None:
    """Columns, tags and OTSL of one row group (blank cells as `<fcel>`, references as they are); None if it is not ordinary.

    `width`: columns of the groups before it, 0 for the first.
    """
    if group[:1] == HEADING:
        group = group[1:]
    if group[:7] != "<tr><td" or group[-10:] != "</td></tr>":
        return None
    rows = group[7:-10].split("</td></tr><tr><td")
    out, tags, left = [], 2 * len(rows), len(rows)
    above: list[Span] = []
    for row in rows:
        if not above and "</td><td " not in row and row[:1] == ">":
            line = row.replace("</td><td>", "<fcel>")
            cells = reach = (len(row) - len(line)) // 3 + 1
            out.append("<fcel" + line)
        else:
            placed = otsl_line(row, above, left)
            if placed is None:
                return None
            line, cells, reach, above = placed
            out.append(line)
        tags += 2 * cells
        left -= 1
        if reach != width:
            if width or reach * len(rows) > SLOTS:
                return None
            width = reach
    out.append("")
    return width, tags, "<nl>".join(out)


def otsl_line(row: str, above: list[Span], left: int) -> tuple[str, int, int, list[Span]] | None:
    """OTSL, cells, columns and spans for the row below, of a row with spans or under one; `left`: rows of the group from this one on."""
    pieces: list[str | None] = [*row[1:].split("</td><td "), None]
    cells: list[str] = []
    if row[:1] == ">":
        cells = pieces.pop(0).split("</td><td>")  # type: ignore[union-attr]
    elif row[:1] != " ":
        return None
    shift = index = 0  # columns beyond the cells so far; spans from above that are placed
    front = ""
    below: list[Span] = []
    for piece in pieces:  # each begins with the attributes of a cell; the last one is the end of the row
        column = len(cells) + shift
        while index < len(above) and above[index][0] <= column:
            start, rows, width = above[index]
            token = _UNDER[width] if width < 4 else "<ucel>" + "<xcel>" * (width - 1)
            if start > shift:
                cells[start - shift - 1] += token
            else:
                front += token
            if rows > 1:
                below.append((start, rows - 1, width))
            shift += width
            column += width
            index += 1
        if piece is None:
            break
        attributes, end, texts = piece.partition(">")
        span = spans(attributes)
        if span is None or not end:
            return None
        first = len(cells)
        cells += texts.split("</td><td>")
        height, width = span
        if height != 1 and left > 1:
            below.append((column, min(height or left, left) - 1, width))
        if width > 1:
            if index < len(above) and above[index][0] < column + width:
                return None  # an overlap
            cells[first] += "<lcel>" * (width - 1)
            shift += width - 1
    if index < len(above):
        return None  # a gap
    return front + "<fcel>" + "<fcel>".join(cells), len(cells), len(cells) + shift, below


class GridRows:
    """The rows of a grid in the making (`rows`, `spans` and `headers` as in `Grid`)."""

    def __init__(self) -> None:
        self.rows: list[list[str | None]] = []
        self.spans: dict[tuple[int, int], tuple[int, int]] = {}
        self.headers: set[tuple[int, int]] = set()

    def add(self, rows: list[str], heading: bool) -> int:
        """Puts the rows of one group below; how many tags there should be in it, 0 if it is not ordinary."""
        tags, left, width = 2 * len(rows), len(rows), len(self.rows[0]) if self.rows else 0
        above: list[Span] | None = []
        for row in rows:
            if not above and row[:1] == ">" and "</td><td " not in row:
                line: list[str | None] = row[1:].split("</td><td>")  # type: ignore[assignment]
                tags += 2 * len(line)
            else:
                line = []
                above = self.place(row, above or [], left, line)
                if above is None:
                    return 0
                tags += 2 * (len(line) - line.count(None))
            left -= 1
            if len(line) != width:
                if width or len(line) * len(rows) > SLOTS:
                    return 0
                width = len(line)
            if heading:
                self.headers.update([(len(self.rows), column) for column, text in enumerate(line) if text is not None])
            self.rows.append(line)
        return tags

    def place(self, row: str, above: list[Span], left: int, line: list[str | None]) -> list[Span] | None:
        """Fills the `line` of a row with spans or under one; the spans for the row below, None if it is not ordinary."""
        pieces = row.split("</td><td ")
        if row[:1] == ">":
            line += pieces[0][1:].split("</td><td>")
            pieces[0] = ""
        elif row[:1] == " ":
            pieces[0] = row[1 : len(pieces[0])]
        else:
            return None
        number = len(self.rows)
        below: list[Span] = []
        waiting = [*above, (SLOTS + 1, 0, 0)]  # the last one is never reached
        index = _under(line, waiting, 0, below)
        for piece in pieces:
            if not piece:
                continue
            attributes, end, texts = piece.partition(">")
            span = spans(attributes)
            if span is None or not end:
                return None
            column = len(line)
            text, *others = texts.split("</td><td>")
            line.append(text)
            height, width = min(span[0] or left, left), span[1]
            if height > 1:
                below.append((column, height - 1, width))
            if width > 1:
                if waiting[index][0] < column + width:
                    return None  # an overlap
                line += [None] * (width - 1)
            if height > 1 or width > 1:
                self.spans[number, column] = (height, width)
            if HEADING in attributes:
                self.headers.add((number, column))
            line += others
            index = _under(line, waiting, index, below)
        return below if index == len(above) else None  # None: a gap


def _under(line: list[str | None], waiting: list[Span], index: int, below: list[Span]) -> int:
    """Puts the spans from above, from the one at `index` on, into the line where they belong; the first that is left."""
    while waiting[index][0] <= len(line):
        start, rows, width = waiting[index]
        line[start:start] = [None] * width
        if rows > 1:
            below.append((start, rows - 1, width))
        index += 1
    return index
