"""Scores of tables and charts by their cells, and TEDS, RMS and SCRM of answers in whatever notation they came.

A cell of a table is right where its text and its spans are. Rows are aligned in order, so that a row too few costs its
own cells and no others; within aligned rows, cells stand against the cell that begins in the same column. A chart's
rows are a table without spans. Blank cells count as cells.

| ref      | pred     | F1, TEDS, shape |
|----------|----------|-----------------|
| no table | no table | 1               |
| no table | a table  | 0               |
| a table  | no table | 0               |
"""

from __future__ import annotations

import itertools

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from sft.arrays import Floats
from sft.markup import Grid, MarkupError
from sft.metrics import chart, scrm, table
from sft.metrics.answers import ChartAnswer, TableAnswer, read_chart, read_table
from sft.metrics.table import Variant

__all__ = [
    "ChartAnswer",
    "TableAnswer",
    "cell_f1",
    "cell_f1_fuzzy",
    "chart_cell_f1",
    "chart_cell_f1_fuzzy",
    "chart_rms_f1",
    "chart_rnss",
    "chart_scrm",
    "read_chart",
    "read_table",
    "shape",
    "structure",
    "teds",
    "teds_s",
    "teds_strict",
]

THETA = 0.5  # of the normalised edit distance; a text further away is another text
MAX_PAIRS = 16_000_000  # cells against cells; larger tables are compared row by row as they stand


def _grid(answer: str | Grid) -> Grid:
    return read_table(answer).grid if isinstance(answer, str) else answer


def _html(answer: str | Grid) -> str:
    return _grid(answer).to_html()


def teds(*, ref: str | Grid, pred: str | Grid, variant: Variant = "pubtabnet") -> float:
    """`table.teds` of two answers in OTSL, HTML or Markdown, read leniently and written alike: no th, thead, tbody, no
    inline tags.
    """
    return table.teds(
        ref=_html(ref),
        pred=_html(pred),
        variant=variant,
    )


def teds_s(*, ref: str | Grid, pred: str | Grid, variant: Variant = "pubtabnet") -> float:
    """`table.teds_s` of the same."""
    return table.teds_s(
        ref=_html(ref),
        pred=_html(pred),
        variant=variant,
    )


def teds_strict(*, ref: str | Grid, pred: str, variant: Variant = "pubtabnet") -> float:
    """As `teds`, but 0 where `pred` holds something that had to be forgiven: see `read_table`."""
    answer = read_table(pred)
    wanted = _grid(ref)
    if not answer.strict:
        return float(not wanted.rows and answer.notation == "none")
    return teds(ref=wanted, pred=answer.grid, variant=variant)


def shape(*, ref: str | Grid, pred: str | Grid) -> float:
    """1 where both have as many rows and as many columns, else 0."""
    return float(_grid(ref).shape == _grid(pred).shape)


def structure(*, ref: str | Grid, pred: str | Grid) -> float:
    """1 where both have the same cells with the same spans in the same places, whatever is in them; else 0."""
    left = _grid(ref)
    right = _grid(pred)
    return float(left.shape == right.shape and left.spans == right.spans and _holes(left) == _holes(right))


def _holes(grid: Grid) -> list[list[bool]]:
    return [[text is None for text in row] for row in grid.rows]


def cell_f1(*, ref: str | Grid, pred: str | Grid) -> float:
    """2 · equal cells / cells of both, 0 to 1: same text, same spans."""
    return _f1(_grid(ref), _grid(pred), fuzzy=False)


def cell_f1_fuzzy(*, ref: str | Grid, pred: str | Grid) -> float:
    """As `cell_f1`, but a text counts by 1 - normalised edit distance, and for nothing where that distance is above
    0.5.
    """
    return _f1(_grid(ref), _grid(pred), fuzzy=True)


def _f1(ref: Grid, pred: Grid, *, fuzzy: bool) -> float:
    cells = sum(len(row) - row.count(None) for grid in (ref, pred) for row in grid.rows)
    if not cells:
        return 1.0
    if not ref.rows or not pred.rows:
        return 0.0
    columns = min(ref.shape[1], pred.shape[1])
    if ref.shape[0] * pred.shape[0] * columns <= MAX_PAIRS:
        return (
            2
            * _aligned(
                sum(
                    (_alike(ref, pred, column, fuzzy) for column in range(columns)),
                    np.zeros((ref.shape[0], pred.shape[0])),
                )
            )
            / cells
        )
    return 2 * sum(_as_they_stand(ref, pred, columns, fuzzy)) / cells


def _column(grid: Grid, column: int) -> list[tuple[str, tuple[int, int]] | None]:
    return [
        None if row[column] is None else (row[column] or "", grid.spans.get((number, column), (1, 1)))
        for number, row in enumerate(grid.rows)
    ]


def _alike(ref: Grid, pred: Grid, column: int, fuzzy: bool) -> Floats:
    """How much the cell of each row of `ref` in that column is that of each row of `pred`; shape (rows, rows)."""
    known: dict[tuple[str, tuple[int, int]] | None, int] = {None: 0}
    left, right = (
        np.array([known.setdefault(cell, len(known)) for cell in _column(grid, column)]) for grid in (ref, pred)
    )
    if not fuzzy:
        equal: Floats = np.where(
            (left[:, None] == right) & (left[:, None] > 0),
            1.0,
            0.0,
        )
        return equal
    cells = [cell or ("", (0, 0)) for cell in known]
    (rows, down), (others, across) = (np.unique(side, return_inverse=True) for side in (left, right))
    costs = cdist(
        [cells[row][0] for row in rows],
        [cells[row][0] for row in others],
        scorer=Levenshtein.normalized_distance,
        score_cutoff=THETA,
        dtype=np.float64,
    )
    heights, widths = (np.array([span for _, span in cells])[:, axis] for axis in (0, 1))
    counts = (
        (heights[rows][:, None] == heights[others])
        & (widths[rows][:, None] == widths[others])
        & (rows[:, None] > 0)
        & (costs <= THETA)
    )
    picked: Floats = np.where(counts, 1 - costs, 0.0)[np.ix_(down, across)]
    return picked


def _aligned(scores: Floats) -> float:
    """The most that pairs of rows can score, each row in at most one, in order."""
    best = np.zeros(scores.shape[1] + 1)
    for row in scores:
        best[1:] = np.maximum(
            best[1:],
            best[:-1] + row,
        )
        np.maximum.accumulate(best, out=best)
    return float(best[-1])


def _as_they_stand(ref: Grid, pred: Grid, columns: int, fuzzy: bool) -> list[float]:
    similarities = []
    for number, (left, right) in enumerate(zip(ref.rows, pred.rows, strict=False)):
        for column, wanted, text in zip(range(columns), left, right, strict=False):
            if (
                wanted is not None
                and text is not None
                and ref.spans.get((number, column)) == pred.spans.get((number, column))
            ):
                cost = Levenshtein.normalized_distance(wanted, text) if fuzzy else float(wanted != text)
                similarities.append(1 - cost if cost <= THETA else 0.0)
    return similarities


def _chart(answer: str | ChartAnswer) -> Grid:
    try:
        return Grid.from_rows((read_chart(answer) if isinstance(answer, str) else answer).rows)
    except MarkupError:
        return Grid(())


def chart_cell_f1(*, ref: str | ChartAnswer, pred: str | ChartAnswer) -> float:
    """`cell_f1` of two charts' rows, in any style that `sft.markup.chart` reads."""
    return _f1(_chart(ref), _chart(pred), fuzzy=False)


def chart_cell_f1_fuzzy(*, ref: str | ChartAnswer, pred: str | ChartAnswer) -> float:
    """`cell_f1_fuzzy` of the same."""
    return _f1(_chart(ref), _chart(pred), fuzzy=True)


MAX_CHART = (
    2000  # cells of a chart that are scored by RMS, RNSS and SCRM, in whole rows; the largest published has some 300
)


def _rows(answer: str | ChartAnswer) -> list[list[str]]:
    """The first MAX_CHART cells: of a chart that is too wide for two rows the first columns, for without a second row
    there is nothing to score.
    """
    rows = [row[: MAX_CHART // 2] for row in (read_chart(answer) if isinstance(answer, str) else answer).rows]
    ends = itertools.accumulate(map(len, rows))
    return [row for row, end in zip(rows, ends, strict=True) if end <= MAX_CHART]


def chart_rms_f1(*, ref: str | ChartAnswer, pred: str | ChartAnswer) -> float:
    """`chart.rms_f1` of two answers in any style; the published cut at ` | ` would lose a blank corner. At most
    MAX_CHART cells.
    """
    return chart.rms_f1(ref=_rows(ref), pred=_rows(pred))


def chart_rnss(*, ref: str | ChartAnswer, pred: str | ChartAnswer) -> float:
    """`chart.rnss` of the same."""
    return chart.rnss(ref=_rows(ref), pred=_rows(pred))


def chart_scrm(*, ref: str | ChartAnswer, pred: str | ChartAnswer) -> float:
    """`scrm.precision` at tolerance `slight` of the same: the published mAP's share of one chart."""
    return scrm.precision(ref=_rows(ref), pred=_rows(pred))
