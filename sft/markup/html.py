"""HTML → grid, by the table model of the HTML standard: what a browser shows is what the label says.

Slots that are taken push cells to the right; a row span ends with its row group; `rowspan="0"` reaches that end; a
column span of 0 or garbage is 1; `<tfoot>` comes last; short rows are filled; a row without cells stays if a cell from
above reaches into it. What a browser hides is no text (`html_hidden`); captions, comments, scripts, columns and
pictures are dropped; character references are read once. Choices: `<br>` and block elements are one space (none between
Han, kana, Thai …), `$…$` around TeX is `\\( … \\)`, MathML is its alttext, a table inside a cell is its texts, where
cells overlap the first has the slot, and columns that only one overlong cell reaches are cut.
"""

from __future__ import annotations

from sft.markup.errors import NAMED, MarkupError, MarkupWarning
from sft.markup.grid import SLOTS, Grid, check_size, ragged
from sft.markup.html_fast import LONGEST, fast_grid, fast_otsl
from sft.markup.html_hidden import without_hidden
from sft.markup.html_tokenizer import HtmlCell, HtmlTable, SubSup, read_cells


def parse_html(text: str, *, sub_sup: SubSup = "plain") -> Grid:
    """The first table of `text`. What was dropped or fixed is in `warnings`.

    sub_sup: `H<sub>2</sub>O` as `H2O` ("plain"; but `10<sup>5</sup>` as `\\( 10^{5} \\)`, see `sft.markup.cell_text`)
    or `H\\( _{2} \\)O` ("latex").
    Raises: MarkupError `target.html` if there is no table or a tag does not end; `source.too_large` over a million
    slots.
    """
    grid = fast_grid(text, sub_sup=sub_sup)
    return read_html(text, sub_sup=sub_sup) if grid is None else grid


def html_to_otsl(text: str, *, sub_sup: SubSup = "plain", warnings: list[MarkupWarning] | None = None) -> str:
    """`parse_html(text, sub_sup=sub_sup).to_otsl()`, several times faster for ordinary tables. Raises: as these do.

    warnings: gets what was dropped or fixed, which is nothing in an ordinary table.
    """
    otsl = fast_otsl(text, sub_sup=sub_sup)
    if otsl is not None:
        return otsl
    grid = read_html(text, sub_sup=sub_sup)
    if warnings is not None:
        warnings += grid.warnings
    return grid.to_otsl()


def read_html(text: str, *, sub_sup: SubSup = "plain") -> Grid:
    """`parse_html` for every kind of table, without its short cut: its definition."""
    if len(text) > LONGEST:
        raise MarkupError("source.too_large", f"{len(text)} characters of HTML; at most {LONGEST} are read")
    return _Placer(read_cells(without_hidden(text), sub_sup=sub_sup)).grid()


class _Placer:
    """Puts the cells of each row into the slots that are free, row group by row group."""

    def __init__(self, source: HtmlTable) -> None:
        self.source = source
        self.rows: list[list[str | None]] = []
        self.spans: dict[tuple[int, int], tuple[int, int]] = {}
        self.headers: set[tuple[int, int]] = set()
        self.written: list[int] = []  # slots of each row that a cell has
        self.slots = 0

    def grid(self) -> Grid:
        for group in self.source.groups:
            self.group(group)
        self.trim()
        width = max(map(len, self.rows))
        check_size(len(self.rows), width, "source.too_large")
        warnings = [
            *self.source.warnings,
            *ragged(self.written, width),
        ]
        for row in self.rows:
            row += [""] * (width - len(row))
        return Grid(
            tuple(map(tuple, self.rows)),
            self.spans,
            frozenset(self.headers),
            tuple(warnings[:NAMED]),
        )

    def group(self, group: list[list[HtmlCell]]) -> None:
        down: dict[int, int] = {}  # column → rows that a cell from above still covers there
        for index, pieces in enumerate(group):
            if not pieces and not down:
                continue  # nothing of it can be seen
            row = self.place(pieces, down, len(group) - index)
            self.slots += len(row)
            if self.slots > SLOTS:
                raise MarkupError("source.too_large", f"a table of more than {SLOTS} slots")
            self.rows.append(row)

    def place(self, pieces: list[HtmlCell], down: dict[int, int], left: int) -> list[str | None]:
        """One row; `left`: rows of the group from here on. Counts `down`."""
        number = len(self.rows)
        above = down.copy()
        row: list[str | None] = []
        for column in above:
            down[column] -= 1
            if not down[column]:
                del down[column]
        for text, height, width, heading in pieces:
            while len(row) in above:
                row.append(None)
            column = len(row)
            height = min(height or left, left)
            if width > 1 and above:
                width = self.free_width(number, column, width, above)
            row.append(text)
            if width > 1:
                row += [None] * (width - 1)
                if len(row) > SLOTS:
                    raise MarkupError(
                        "source.too_large", f"a row of more than {SLOTS} slots", place=f"row {number + 1}"
                    )
            if height > 1:
                down.update(
                    dict.fromkeys(
                        range(column, column + width),
                        height - 1,
                    )
                )
            if height > 1 or width > 1:
                self.spans[number, column] = (height, width)
            if heading:
                self.headers.add((number, column))
        written = len(row)
        if above:
            last = max(above)
            row += [None if column in above else "" for column in range(len(row), last + 1)]
        self.written.append(len(row) if "" not in row[written:] else written)
        return row

    def free_width(self, number: int, column: int, width: int, above: dict[int, int]) -> int:
        """The columns that a cell can have beside those that cells from above have; a warning where they are fewer."""
        free = next(
            (offset for offset in range(1, width) if column + offset in above),
            width,
        )
        if free < width:
            place = f"row {number + 1}, column {column + 1}"
            self.source.warn(
                "table.overlap",
                f"{place}: the cell overlaps one from above; its column span is {free} instead of {width}",
            )
        return free

    def trim(self) -> None:
        """Cuts what only one overlong cell reaches (a title with colspan="100"), or only titles: no row shows those
        columns.
        """
        reach = [len(row) for row in self.rows]
        widest = max(reach)
        if min(reach) == widest:
            return
        long = [number for number, size in enumerate(reach) if size == widest]
        last: dict[int, tuple[int, int, int]] = {}
        for number in long:
            last[number] = (
                self.begun(number) or last[number - 1]
            )  # who reaches down to here reaches as far in the row above
        short = max(size for size in reach if size < widest)
        titles = {number for number, (_, column, _) in last.items() if column == 0}
        if len(titles) < len(long) and len({owner[:2] for owner in last.values()}) > 1:
            return  # another row reaches as far
        for number in long:
            row, column, width = last[number]
            end = max(short, column + 1)
            if width > 1 and end < len(self.rows[number]):
                place = f"row {row + 1}, column {column + 1}"
                self.source.warn(
                    "table.span",
                    f"{place}: the column span is cut from {width} to {end - column}, no other row reaches further",
                )
                del self.rows[number][end:]
                height = self.spans.get((row, column), (1, 1))[0]
                self.spans[row, column] = (height, end - column)
                if self.spans[row, column] == (1, 1):
                    del self.spans[row, column]

    def begun(self, number: int) -> tuple[int, int, int] | None:
        """(row, column, column span) of the cell in the last slot of a row; None if that cell begins further up."""
        row = self.rows[number]
        column = len(row) - 1
        while column > 0 and row[column] is None:
            column -= 1
        width = self.spans.get((number, column), (1, 1))[1]
        return (number, column, width) if row[column] is not None and column + width == len(row) else None
