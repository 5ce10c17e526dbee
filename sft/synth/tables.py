"""Tables with and without spans and rules: a random plan, the picture of it (`sft.synth.table_drawing`), and its OTSL.

A plan holds only what a reader of the picture can tell: a row or column that no rule and no text sets apart is not
there, and where rules are missing, spans stand only in headers, centred over what they head.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from sft.synth import formulas, words
from sft.synth.base import RenderedSample, Setting
from sft.synth.table_plan import PlannedCell, TablePlan

STYLES = ("grid", "grid", "grid", "rows", "columns", "three-line", "three-line", "none")
MAX_ROWS, MAX_COLUMNS = 12, 8


def draw_table(rng: random.Random, setting: Setting) -> RenderedSample:
    """One table."""
    from sft.synth.table_drawing import picture

    table = plan(rng, setting)
    image, em = picture(table, rng, setting.fonts)
    return RenderedSample(image, table.target(), em)


def plan(rng: random.Random, setting: Setting) -> TablePlan:
    """A random table."""
    style = rng.choice(STYLES)
    rows = rng.choice((2, 3, 4, 5, 6, 7, 8, 10, MAX_ROWS))
    columns = rng.randint(
        2,
        rng.choice((3, 4, 5, 6, MAX_COLUMNS)),
    )
    math = not setting.texts and rng.random() < 0.12
    maker = words.make(
        rng,
        setting.fonts,
        setting.texts,
        dollars=not math,
    )
    head = _header(rng, rows, columns, style)
    body = _Body(
        rng,
        maker,
        rows,
        columns,
        len(head),
        style,
        math,
    )
    boxes = _fill_header(rng, maker, head, columns) + body.boxes()
    made = TablePlan(
        rows,
        columns,
        len(head),
        style,
        tuple(boxes),
    )
    if not visible(made):
        made = TablePlan(
            rows, columns, len(head), style, tuple(_fill_header(rng, maker, head, columns) + body.boxes(spans=False))
        )
    return made


def visible(made: TablePlan) -> bool:
    """Whether each boundary between two rows and two columns can be seen somewhere."""
    owner = made.owners()
    rows = all(
        any(owner[row - 1][column] != owner[row][column] for column in range(made.columns))
        for row in range(1, made.rows)
    )
    return rows and all(
        any(owner[row][column - 1] != owner[row][column] for row in range(made.rows))
        for column in range(1, made.columns)
    )


MergedCell = tuple[int, int, int, int]  # row, column, rows, columns


def _header(rng: random.Random, rows: int, columns: int, style: str) -> list[list[MergedCell]]:
    """The spans of each header row: none, one, or two with groups over the columns."""
    kind = rng.random()
    if kind < 0.1 and style in ("grid", "rows"):
        return []
    if style == "none" or columns < 3 or rows < 4 or kind < 0.6:
        return [[(0, column, 1, 1) for column in range(columns)]]
    upper: list[MergedCell] = []
    lower: list[MergedCell] = []
    column = 0
    while column < columns:
        width = min(
            rng.choice((1, 2, 2, 3)) if column else rng.choice((1, 1, 2)),
            columns - column,
        )
        if width == columns:
            width = columns - 1
        upper.append((0, column, 2 if width == 1 else 1, width))
        lower += [(1, inner, 1, 1) for inner in range(column, column + width)] if width > 1 else []
        column += width
    return [upper, lower] if lower else [[(0, column, 1, 1) for column in range(columns)]]


def _fill_header(
    rng: random.Random, maker: words.Words, head: list[list[MergedCell]], columns: int
) -> list[PlannedCell]:
    blank_corner = columns > 2 and rng.random() < 0.15
    align = rng.choice(("left", "centre", "centre"))
    boxes = []
    for spans in head:
        for row, column, down, across in spans:
            text = "" if blank_corner and not row and not column and down * across == 1 else maker.label(2)
            boxes.append(
                PlannedCell(
                    row,
                    column,
                    down,
                    across,
                    text,
                    True,
                    "centre" if across > 1 else align,
                )
            )
    return boxes


class _Body:
    """The rows below the header: each column has a kind; the first one may name groups of rows."""

    def __init__(
        self, rng: random.Random, maker: words.Words, rows: int, columns: int, head: int, style: str, math: bool
    ) -> None:
        self.rng, self.maker, self.rows, self.columns, self.head, self.style = rng, maker, rows, columns, head, style
        self.kinds = [
            "label",
            *(
                rng.choice(("number", "number", "number", "word", "label", "date", "math" if math else "number"))
                for _ in range(columns - 1)
            ),
        ]
        self.aligns = [
            rng.choice(("left", "left", "centre")),
            *(
                rng.choice(("right", "right", "centre")) if kind == "number" else rng.choice(("left", "centre"))
                for kind in self.kinds[1:]
            ),
        ]
        self.blank = rng.choice((0.0, 0.0, 0.06, 0.15))

    def boxes(self, *, spans: bool = True) -> list[PlannedCell]:
        """Every place below the header covered once."""
        free = {(row, column) for row in range(self.head, self.rows) for column in range(self.columns)}
        merged = self._spans(free) if spans and self.style in ("grid", "rows") else []
        for row, column, down, across in merged:
            free -= {(row + i, column + j) for i in range(down) for j in range(across)}
        places = sorted(
            [
                *merged,
                *((row, column, 1, 1) for row, column in free),
            ]
        )
        return [self._box(*place) for place in places]

    def _spans(self, free: set[tuple[int, int]]) -> list[MergedCell]:
        """Groups in the first column, and in a full grid a few merged cells anywhere."""
        rng = self.rng
        merged = list[MergedCell]()
        row = self.head
        grouped = self.columns > 2 and rng.random() < 0.35
        while grouped and row < self.rows:
            down = min(
                rng.choice((1, 2, 2, 3)),
                self.rows - row,
            )
            merged += [(row, 0, down, 1)] if down > 1 else []
            row += down
        taken = {(top + i, 0) for top, _, down, _ in merged for i in range(down)}
        for _ in range(rng.choice((0, 0, 1, 2)) if self.style == "grid" else 0):
            down, across = rng.choice(((1, 2), (2, 1), (2, 2), (1, 3), (3, 2)))
            top = rng.randrange(self.head, self.rows)
            left = rng.randrange(self.columns)
            places = {(top + i, left + j) for i in range(down) for j in range(across)}
            if places <= free and not places & taken:
                taken |= places
                merged.append((top, left, down, across))
        return merged

    def _box(self, row: int, column: int, down: int, across: int) -> PlannedCell:
        kind = self.kinds[column]
        align = self.aligns[column]
        plain = down == across == 1
        if (
            plain
            and column
            and self.rng.random() < self.blank
            and not (self.style in ("none", "three-line") and row in (self.head, self.rows - 1))
        ):
            return PlannedCell(row, column, 1, 1, "", False, align)
        if kind == "math":
            return PlannedCell(
                row,
                column,
                down,
                across,
                formulas.small_formula(self.rng),
                False,
                align,
                math=True,
            )
        make: dict[str, Callable[[], str]] = {
            "number": self.maker.number,
            "word": self.maker.word,
            "label": lambda: self.maker.label(3),
            "date": self.maker.date,
        }
        return PlannedCell(
            row,
            column,
            down,
            across,
            make[kind](),
            False,
            "centre" if across > 1 else align,
        )
