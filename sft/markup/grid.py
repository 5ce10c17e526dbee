"""The one shape of a table in the workbench: a grid of slots, some of which are covered by a cell that spans several.

OTSL here is PaddleOCR-VL's dialect: six tokens, each one id of its tokenizer (`<ched>`, `<rhed>` and `<srow>` are not
among them). `<fcel>` a cell with text, `<ecel>` a blank cell, `<lcel>` / `<ucel>` the cell to the left / above goes on,
`<xcel>` the inside of a span over rows and columns, `<nl>` the end of a row. Official guides define them wrongly; their
own samples and PaddleX's parser (`paddlex/inference/pipelines/paddleocr_vl/uilts.py`, 3.7.2) follow the definitions
above.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sft.markup.cell_text import cell_text, visible, without_references
from sft.markup.errors import NAMED, MarkupError, MarkupWarning

SLOTS = 1_000_000  # of one table: rows × columns; what is larger is a mistake or an attack
_UNTIDY = ("&", "$", "  ", "| ", " |")
LITERAL = re.compile(r"<(?:[felux]cel|nl)>")
Spans = Literal["error", "blank", "repeat"]
GridRows = tuple[tuple["str | None", ...], ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its raw text ("" is blank), how many rows and columns it covers, and whether it is a heading."""

    text: str
    rowspan: int = 1
    colspan: int = 1
    header: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. Two grids are equal if their cells are; `warnings` (what had to be repaired while reading) do not count.

    `rows[r][c]` is the text of the cell that begins there, None where another cell covers the slot. `spans` names the
    cells of more than one slot: (row, column) → (row span, column span). Build one with `from_cells` or `from_rows`.
    """

    rows: GridRows
    spans: Mapping[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    headers: frozenset[tuple[int, int]] = frozenset()
    warnings: tuple[MarkupWarning, ...] = field(default=(), compare=False)

    @classmethod
    def from_rows(
        cls, rows: Iterable[Sequence[str]], *, header: bool = False, warnings: Sequence[MarkupWarning] = ()
    ) -> Grid:
        """A table without spans: short rows are filled with blank cells, with a warning. `header`: the first row is a
        heading.

        Raises: MarkupError `source.too_large` over a million slots.
        """
        lists = [[visible(text) for text in row] for row in rows]
        width = max(map(len, lists), default=0)
        check_size(len(lists), width, "source.too_large")
        filled = tuple(tuple(row) + ("",) * (width - len(row)) for row in lists)
        headers = frozenset((0, column) for column in range(width)) if header and filled else frozenset()
        return cls(
            filled,
            {},
            headers,
            (*warnings, *ragged(map(len, lists), width))[:NAMED],
        )

    @classmethod
    def from_cells(
        cls, rows: int, columns: int, cells: Iterable[tuple[int, int, Cell]], *, warnings: Sequence[MarkupWarning] = ()
    ) -> Grid:
        """A table of `rows` × `columns` from the cells and where each begins (row, column; from 0); slots that none
        covers are blank.

        Raises: MarkupError `source.shape` if a cell lies outside, covers nothing, or overlaps another;
        `source.too_large`.
        """
        if rows < 0 or columns < 0:
            raise MarkupError("source.shape", f"a table of {rows} × {columns}")
        check_size(rows, columns, "source.too_large")
        slots: list[list[str | None]] = [[""] * columns for _ in range(rows)]
        taken = bytearray(rows * columns)
        spans, headers = {}, set()
        for row, column, cell in cells:
            place = f"row {row + 1}, column {column + 1}"
            height = cell.rowspan
            width = cell.colspan
            if height < 1 or width < 1 or row < 0 or column < 0 or row + height > rows or column + width > columns:
                raise MarkupError(
                    "source.shape",
                    f"a cell of {height} × {width} slots is not inside a table of {rows} × {columns}",
                    place=place,
                )
            for line in range(row, row + height):
                start = line * columns + column
                if any(taken[start : start + width]):
                    raise MarkupError("source.shape", "the cell overlaps another", place=place)
                taken[start : start + width] = b"\1" * width
                slots[line][column : column + width] = [None] * width
            slots[row][column] = visible(cell.text)
            if (height, width) != (1, 1):
                spans[row, column] = (height, width)
            if cell.header:
                headers.add((row, column))
        return cls(
            tuple(map(tuple, slots)),
            spans,
            frozenset(headers),
            tuple(warnings),
        )

    @classmethod
    def from_sparse(cls, cells: Sequence[tuple[int, int, Cell]], rows: int = 0, columns: int = 0) -> Grid:
        """As `from_cells`, for sources that say no more than where cells begin and how far they reach; the texts as
        `tidied` has them.

        rows, columns: the size that the source states, if it does. No row or column comes into being because a cell
        reaches into
        it: a cell that does is cut, with a warning.
        Raises: as `from_cells`.
        """
        rows = max(
            [
                rows,
                *(row + 1 for row, _, _ in cells),
            ]
        )
        columns = max(
            [
                columns,
                *(column + 1 for _, column, _ in cells),
            ]
        )
        placed, warnings = [], []
        for row, column, cell in cells:
            height = min(cell.rowspan, rows - row)
            width = min(cell.colspan, columns - column)
            if (height, width) != (cell.rowspan, cell.colspan):
                said = (
                    f"row {row + 1}, column {column + 1}: a cell of {cell.rowspan} × {cell.colspan} slots is cut to"
                    f" {height} × {width}; no other reaches further"
                )
                warnings.append(MarkupWarning("table.span", said))
            placed.append((row, column, Cell(cell.text, height, width, cell.header)))
        return cls.from_cells(rows, columns, placed, warnings=warnings).tidied()

    def tidied(self) -> Grid:
        """The table as it is trained, where a source has plain texts in its cells: see `cell_text`; character
        references are read, with a warning.
        """
        if _is_tidy("|".join([text for row in self.rows for text in row if text])):
            return self
        warnings = list(self.warnings)
        rows = []
        for number, row in enumerate(self.rows, 1):
            read = [text and without_references(text) for text in row]
            warnings += [
                MarkupWarning(
                    "table.reference", f"row {number}, column {column}: {before[:60]!r} is read as {after[:60]!r}"
                )
                for column, (before, after) in enumerate(zip(row, read, strict=True), 1)
                if before and after and before != after
            ]
            rows.append(tuple(text and cell_text(text) for text in read))
        return Grid(
            tuple(rows),
            self.spans,
            self.headers,
            tuple(warnings[:NAMED]),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.rows), len(self.rows[0]) if self.rows else 0

    @property
    def cells(self) -> tuple[tuple[int, int, Cell], ...]:
        """(row, column, cell) of every cell, at the slot where it begins, in reading order."""
        spans = self.spans
        headers = self.headers
        return tuple(
            (r, c, Cell(text, *spans.get((r, c), (1, 1)), (r, c) in headers))
            for r, row in enumerate(self.rows)
            for c, text in enumerate(row)
            if text is not None
        )

    def to_otsl(self) -> str:
        """The table in OTSL. "" if it has no cells.

        Raises: MarkupError `target.otsl` if a text holds one of the six tokens: no answer could tell it from the real
        one.
        """
        rows = self.rows
        unseen = check_literal(rows)
        tokens = covered(self) if self.spans or any(None in row for row in rows) else {}
        if tokens is None or unseen:
            return settled(self).to_otsl()
        parts = []
        for r, row in enumerate(rows):
            if "" in row or None in row:
                parts.append(
                    "".join(
                        [
                            f"<fcel>{text}" if text else "<ecel>" if text is not None else tokens[r, c]
                            for c, text in enumerate(row)
                        ]
                    )
                )
            else:
                parts.append("<fcel>" + "<fcel>".join(row))  # type: ignore[arg-type]
        parts.append("")
        return "<nl>".join(parts)

    def to_html(self) -> str:
        """The table as PaddleX writes it: only `<table>`, `<tr>` and `<td>`, ` rowspan` before ` colspan`. "" if it
        has no cells.
        """
        texts = escaped([text for row in self.rows for text in row if text is not None])
        if not texts:
            return ""
        starts, start = [0], 0  # of each row among the texts
        for row in self.rows:
            start += len(row) - row.count(None)
            starts.append(start)
        for (r, c), span in self.spans.items():
            row = self.rows[r]
            index = starts[r] + c - row[:c].count(None)
            texts[index] = f"\0{attributes(span)}>{texts[index]}"  # in front of it will stand <td>
        lines = [
            "<tr><td>" + "</td><td>".join(texts[start:end]) + "</td></tr>" if end > start else "<tr></tr>"
            for start, end in zip(starts, starts[1:], strict=False)
        ]
        return "<table>" + "".join(lines).replace("<td>\0", "<td") + "</table>"

    def filled(self, spans: Spans) -> list[list[str]]:
        """The texts of every slot, for formats without spans: a covered slot is an error, blank, or repeats its cell's
        text.
        """
        if self.spans and spans == "error":
            row, column = min(self.spans)
            raise MarkupError(
                "source.inexpressible",
                "the format has no cells that span rows or columns",
                place=f"row {row + 1}, column {column + 1}",
                hint='spans="blank" or spans="repeat"',
            )
        lines = [[text or "" for text in row] for row in self.rows]
        if spans == "repeat":
            for (row, column), (height, width) in self.spans.items():
                for line in lines[row : row + height]:
                    line[column : column + width] = [lines[row][column]] * len(line[column : column + width])
        return lines

    def to_markdown(self, *, spans: Spans = "error") -> str:
        """The table in GitHub's Markdown, first row as its heading; `parse_markdown` gives the grid back.

        Raises: MarkupError `source.inexpressible` if cells span and `spans` is "error", or if a text has line breaks.
        """
        from sft.markup.markdown_cells import write_markdown

        return write_markdown(self.filled(spans))

    def to_csv(self, *, spans: Spans = "error", delimiter: str = ",") -> str:
        """The table as CSV (RFC 4180, but `\\n` ends a line); `parse_csv` gives the grid back. Raises: as
        `to_markdown`.
        """

        return write_csv(self.filled(spans), delimiter)


def _is_tidy(joined: str) -> bool:
    """Whether the texts between these pipes surely stay as they are where a table is made tidy."""
    if not (joined.isascii() and joined.isprintable()) or joined[:1] == " " or joined[-1:] == " ":
        return False
    return not any(map(joined.__contains__, _UNTIDY))


def ragged(lengths: Iterable[int], width: int) -> Iterator[MarkupWarning]:
    """A warning for every row that is shorter than the table; `lengths`: slots of each row as it was written."""
    for number, length in enumerate(lengths, 1):
        if length < width:
            yield MarkupWarning(
                "table.ragged", f"row {number}: {length} of {width} slots; the rest is filled with blank cells"
            )


def check_size(rows: int, columns: int, code: str) -> None:
    """Raises MarkupError `code` if a table of that size is too large to be one."""
    if rows * columns > SLOTS or max(rows, columns) > SLOTS:
        raise MarkupError(
            code,
            f"a table of {rows} × {columns} slots; at most {SLOTS} are read",
        )


def check_literal(rows: GridRows) -> bool:
    """True if a text that is not "" may have nothing to be seen in it.

    Raises MarkupError `target.otsl` if a text holds one of the six tokens.
    """
    joined = " ".join([" ".join(filter(None, row)) for row in rows])
    if ("cel>" not in joined and "<nl>" not in joined) or not LITERAL.search(joined):
        return (
            not joined.isascii()
            and not joined.isprintable()
            and any(text and not visible(text) for row in rows for text in row)
        )
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            if text and (match := LITERAL.search(text)):
                raise MarkupError(
                    "target.otsl",
                    f"the text holds {match[0]}, which is a token of OTSL",
                    place=f"row {r + 1}, column {c + 1}",
                    hint="leave the table out, or change the text",
                )
    return False


def attributes(span: tuple[int, int] | None) -> str:
    """` rowspan="2" colspan="3"`, without what is 1."""
    if span is None:
        return ""
    return (f' rowspan="{span[0]}"' if span[0] > 1 else "") + (f' colspan="{span[1]}"' if span[1] > 1 else "")


def escaped(texts: list[str]) -> list[str]:
    """html.escape(quote=True) of each; all at once, which is many times faster. NUL, which HTML cannot write, becomes
    U+FFFD as in browsers.
    """
    joined = "\0".join(texts)
    if joined.count("\0") >= len(texts):
        joined = "\0".join([text.replace("\0", "\ufffd") for text in texts])
    return html.escape(joined).split("\0") if texts else []


def covered(grid: Grid) -> dict[tuple[int, int], str] | None:
    """The token of every slot that is not the begin of a cell; None if the cells overlap or leave holes."""
    tokens: dict[tuple[int, int], str] = {}
    expected = 0
    rows, columns = grid.shape
    for (row, column), (height, width) in grid.spans.items():
        expected += height * width - 1
        if row + height > rows or column + width > columns or expected > SLOTS:
            return None
        for c in range(column + 1, column + width):
            tokens[row, c] = "<lcel>"
        for r in range(row + 1, row + height):
            tokens[r, column] = "<ucel>"
            for c in range(column + 1, column + width):
                tokens[r, c] = "<xcel>"
    blank = sum(row.count(None) for row in grid.rows)
    return tokens if len(tokens) == expected == blank and all(grid.rows[r][c] is None for r, c in tokens) else None


def settled(grid: Grid) -> Grid:
    """The grid with every slot in exactly one cell: where two claim it, the first in reading order has it; holes
    become blank cells.
    """
    rows, columns = grid.shape
    free = [bytearray(b"\1" * columns) for _ in range(rows)]
    slots: list[list[str | None]] = [[None] * columns for _ in range(rows)]
    spans = {}
    for r, row in enumerate(grid.rows):
        for c in range(columns):
            if not free[r][c]:
                continue
            height, width = grid.spans.get((r, c), (1, 1)) if row[c] is not None else (1, 1)
            taken = free[r].find(
                0,
                c,
                min(c + width, columns),
            )
            width = (taken if taken >= 0 else min(c + width, columns)) - c
            height = min(height, rows - r)  # rows further down are free where this one is: owners come in reading order
            for line in free[r : r + height]:
                line[c : c + width] = bytes(width)
            slots[r][c] = visible(row[c] or "")
            if (height, width) != (1, 1):
                spans[r, c] = (height, width)
    return Grid(
        tuple(map(tuple, slots)),
        spans,
        grid.headers,
        grid.warnings,
    )


def write_csv(rows: list[list[str]], delimiter: str) -> str:
    """Rows as CSV; `\\n` ends a line.

    Raises: MarkupError `source.inexpressible` for a line break, which `parse_csv` would join.
    """
    for number, row in enumerate(rows):
        if any("\n" in text or "\r" in text for text in row):
            raise MarkupError(
                "source.inexpressible",
                "a line break in a cell",
                place=f"row {number + 1}",
            )
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue()
