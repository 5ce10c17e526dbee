"""Tables and charts as grids for the page, with the cells marked that differ from the reference.

A grid is a list of rows of cells; a cell is [text, row span, column span, mark, text of the reference]. mark: 0 as in
the reference, 1 another text or span, 2 not in the reference; in the reference itself 1 is a cell that the answer has
otherwise or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sft.markup import Grid, MarkupError
from sft.metrics import read_chart, read_table

MAX_CELLS = 2000  # of one grid that is drawn
SAME, OTHER, ADDED = 0, 1, 2
PAIRED = 0.01  # what two rows are worth that have nothing in common: less than any equal cell, more than none
MarkedCells = list[list[list[object]]]


@dataclass(frozen=True)
class TableDiff:
    """A reference and an answer as marked grids; `note` counts what the answer's grid cannot show."""

    ref: MarkedCells
    pred: MarkedCells
    note: str


def read(task: str, text: str) -> Grid | None:
    """The grid in an answer, read leniently; None where there is none, or it is too large to be drawn."""
    if task == "chart":
        try:
            grid = Grid.from_rows(read_chart(text).rows)
        except MarkupError:
            return None
    else:
        grid = read_table(text).grid
    rows, columns = grid.shape
    return grid if 0 < rows * columns <= MAX_CELLS else None


def plain(grid: Grid) -> MarkedCells:
    """A grid without marks."""
    return _cells(grid, {})


def compare(ref: Grid, pred: Grid) -> TableDiff:
    """Both grids with the differing cells marked; rows and columns are aligned in order, so that one too few costs its
    own cells only.
    """
    columns = _columns(ref, pred)
    rows = _paired(_equal_cells(ref, pred, columns))
    left: dict[tuple[int, int], tuple[int, str]] = {}
    right: dict[tuple[int, int], tuple[int, str]] = {}
    across = dict(columns)
    back = {there: here for here, there in columns}
    for here, there in rows:
        for column in range(ref.shape[1]):
            if not _same(
                ref,
                pred,
                (here, column),
                (there, across.get(column, -1)),
            ):
                left[here, column] = OTHER, ""
        for column in range(pred.shape[1]):
            if column not in back:
                right[there, column] = ADDED, ""
            elif not _same(
                ref,
                pred,
                (here, back[column]),
                (there, column),
            ):
                right[there, column] = OTHER, ref.rows[here][back[column]] or ""
    known = {here for here, _ in rows}
    seen = {there for _, there in rows}
    left |= {
        (row, column): (OTHER, "") for row in range(ref.shape[0]) if row not in known for column in range(ref.shape[1])
    }
    right |= {
        (row, column): (ADDED, "") for row in range(pred.shape[0]) if row not in seen for column in range(pred.shape[1])
    }
    return TableDiff(
        _cells(ref, left),
        _cells(pred, right),
        _note(
            ref.shape[0] - len(rows),
            ref.shape[1] - len(columns),
        ),
    )


def _note(rows: int, columns: int) -> str:
    parts = [f"{count} {what}{'s' * (count > 1)}" for count, what in ((rows, "row"), (columns, "column")) if count]
    return f"missing: {' and '.join(parts)}" if parts else ""


def _cells(grid: Grid, marks: dict[tuple[int, int], tuple[int, str]]) -> MarkedCells:
    lines: MarkedCells = [[] for _ in grid.rows]
    for row, column, cell in grid.cells:
        mark, reference = marks.get((row, column), (SAME, ""))
        item: list[object] = [cell.text, cell.rowspan, cell.colspan, mark, reference]
        while len(item) > 1 and item[-1] == (1 if len(item) in (2, 3) else 0 if len(item) == 4 else ""):
            item.pop()  # what is as usual is left out: a page has many cells
        lines[row].append(item)
    return lines


def _same(ref: Grid, pred: Grid, here: tuple[int, int], there: tuple[int, int]) -> bool:
    if there[1] < 0:
        return False
    return ref.rows[here[0]][here[1]] == pred.rows[there[0]][there[1]] and ref.spans.get(here) == pred.spans.get(there)


def _columns(ref: Grid, pred: Grid) -> list[tuple[int, int]]:
    """Pairs of columns: as they stand where both have as many, else by what they have in common."""
    if ref.shape[1] == pred.shape[1]:
        return [(column, column) for column in range(ref.shape[1])]
    left, right = (
        [{row[column] for row in grid.rows} - {None, ""} for column in range(grid.shape[1])] for grid in (ref, pred)
    )
    return _paired(
        np.array(
            [[len(a & b) for b in right] for a in left],
            np.float64,
        )
    )


def _equal_cells(ref: Grid, pred: Grid, columns: Sequence[tuple[int, int]]) -> npt.NDArray[np.float64]:
    """How many cells each row of the one has in common with each row of the other."""
    known: dict[str | None, int] = {}
    total = np.zeros((ref.shape[0], pred.shape[0]))
    for here, there in columns:
        left = np.array([known.setdefault(row[here], len(known)) for row in ref.rows])
        right = np.array([known.setdefault(row[there], len(known)) for row in pred.rows])
        total += left[:, None] == right[None, :]
    return total


def _paired(scores: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """The pairs, in order on both sides, that are worth the most together."""
    scores = scores + PAIRED
    rows, columns = scores.shape
    best = np.zeros((rows + 1, columns + 1))
    for row in range(rows):
        best[row + 1, 1:] = np.maximum(
            best[row, 1:],
            best[row, :-1] + scores[row],
        )
        np.maximum.accumulate(
            best[row + 1],
            out=best[row + 1],
        )
    pairs = []
    row, column = rows, columns
    while row and column:
        if best[row, column] == best[row - 1, column - 1] + scores[row - 1, column - 1]:
            row = row - 1
            column = column - 1
            pairs.append((row, column))
        elif best[row, column] == best[row - 1, column]:
            row -= 1
        else:
            column -= 1
    return pairs[::-1]
