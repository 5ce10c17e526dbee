"""GriTS, grid table similarity (Smock, Pesala, Abraham 2022, arXiv 2203.12555): how much of one table's grid is found
in the other's.

A table is a matrix of slots. The most similar pair of sub-matrices (rows and columns left out, none moved) is looked
for; GriTS is 2 · similarity of its slots / slots of both tables. That is NP-hard, so, as in the paper, rows and columns
are aligned one after the other:

- `grits_top`, topology: a slot is the rectangle of its cell as seen from the slot; two are alike by intersection /
  union;
- `grits_con`, content: a slot is the text of its cell; two are alike by 2 · longest common subsequence / length of
  both.

Where two alignments are equally good, the one of the published code is taken (microsoft/table-transformer src/grits.py
@00d92dc). Swapping the tables can thus change the score, but not where an alignment is the only best one. That code
replaces the longest common subsequence by difflib's matching blocks, which are never longer and depend on the order;
here it is as the paper says.

| ref      | pred     | both |
|----------|----------|------|
| no table | no table | 1    |
| no table | a table  | 0    |
| a table  | no table | 0    |
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from sft.arrays import Floats
from sft.markup import Grid, settled
from sft.metrics.answers import read_table

# slots against slots, about a second; tables that are larger together have nothing in common, as for TEDS
MAX_PAIRS = 64_000_000
MAX_LINES = 16_000_000  # the same for rows against rows and columns against columns, which are held in memory
BLOCK = 1_000_000  # numbers that are swept at once
MAX_LETTERS = 400_000_000_000  # the same for the letters of different texts; some seconds
LabelCodes = npt.NDArray[np.int64]  # of the slots: which label each has
CellBox = tuple[int, int, int, int]


def grits_top(*, ref: str | Grid, pred: str | Grid) -> float:
    """GriTS of the cells' shapes, 0 to 1. Answers in OTSL, HTML or Markdown are read leniently.

    >>> grits_top(ref="<fcel>a<fcel>b<nl>", pred="<fcel>a<lcel><nl>")
    0.5
    """
    left = _grid(ref)
    right = _grid(pred)
    if not _comparable(left, right):
        return float(not left.rows and not right.rows)
    (boxes, a), (others, b) = _boxes(left), _boxes(right)
    return _score(_overlap(boxes, others), a, b)


def grits_con(*, ref: str | Grid, pred: str | Grid) -> float:
    """GriTS of the cells' texts, 0 to 1; a cell that spans counts once for each slot.

    >>> grits_con(ref="<fcel>ab<fcel>cd<nl>", pred="<fcel>ab<fcel>c<nl>")
    0.8333333333333333
    """
    left = _grid(ref)
    right = _grid(pred)
    if not _comparable(left, right):
        return float(not left.rows and not right.rows)
    (texts, a), (others, b) = _texts(left), _texts(right)
    lengths, heights = (np.array([len(text) for text in side], np.int64) for side in (texts, others))
    if lengths.sum() * heights.sum() > MAX_LETTERS:
        return 0.0
    both = lengths[:, None] + heights
    common = cdist(texts, others, scorer=LCSseq.similarity, dtype=np.int32)
    return _score(
        np.where(both == 0, 1.0, 2.0 * common / np.maximum(both, 1)),
        a,
        b,
    )


def _grid(answer: str | Grid) -> Grid:
    grid = read_table(answer).grid if isinstance(answer, str) else answer
    return settled(grid) if grid.spans or any(None in row for row in grid.rows) else grid


def _comparable(left: Grid, right: Grid) -> bool:
    rows, columns = (a * b for a, b in zip(left.shape, right.shape, strict=True))
    return 0 < rows * columns <= MAX_PAIRS and max(rows, columns) <= MAX_LINES


def _boxes(grid: Grid) -> tuple[list[CellBox], LabelCodes]:
    """Where the cell of each slot begins and ends, left, up, right and down of the slot: the different boxes, and
    which one each slot has.
    """
    known: dict[CellBox, int] = {(0, 0, 1, 1): 0}
    codes = np.zeros(grid.shape, np.int64)
    for (row, column), (height, width) in grid.spans.items():
        for down in range(height):
            for right in range(width):
                codes[row + down, column + right] = known.setdefault(
                    (-right, -down, width - right, height - down), len(known)
                )
    return list(known), codes


def _texts(grid: Grid) -> tuple[list[str], LabelCodes]:
    """The different texts, and which one the cell of each slot has."""
    known: dict[str, int] = {}
    codes = np.array(
        [[known.setdefault(text or "", len(known)) for text in row] for row in grid.rows],
        np.int64,
    )
    for (row, column), (height, width) in grid.spans.items():
        codes[row : row + height, column : column + width] = codes[row, column]
    return list(known), codes


def _overlap(left: list[CellBox], right: list[CellBox]) -> Floats:
    """Intersection / union of each box with each other; all of them cover the slot they are seen from."""
    a = np.array(left, np.int64)[:, None]
    b = np.array(right, np.int64)[None]
    low = np.maximum(
        a[..., :2],
        b[..., :2],
    )
    high = np.minimum(
        a[..., 2:],
        b[..., 2:],
    )
    common = (high - low).prod(-1)
    overlap: Floats = common / ((a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - common)
    return overlap


def _score(alike: Floats, left: LabelCodes, right: LabelCodes) -> float:
    """2 · what the aligned slots have in common / slots of both. alike: by the labels of both."""
    rows, other_rows = _aligned(_rewards(alike, left, right))
    columns, other_columns = _aligned(_rewards(alike, left.T, right.T))
    common = alike[left[np.ix_(rows, columns)], right[np.ix_(other_rows, other_columns)]].sum()
    return float(2 * common / (left.size + right.size))


def _rewards(alike: Floats, left: LabelCodes, right: LabelCodes) -> Floats:
    """What the slots of each row of `left` and each of `right` have in common at most, aligned in order; many pairs of
    rows at once.
    """
    rewards = np.empty((len(left), len(right)))
    step = BLOCK // (right.size + len(right)) + 1
    for begin in range(0, len(left), step):
        rows = left[begin : begin + step]
        best = np.zeros((len(rows), len(right), right.shape[1] + 1))
        for column in rows.T:
            diagonal = best[..., :-1] + alike[column][:, right]
            np.maximum(
                diagonal,
                best[..., 1:],
                out=diagonal,
            )
            np.maximum.accumulate(
                diagonal,
                axis=-1,
                out=best[..., 1:],
            )
        rewards[begin : begin + step] = best[..., -1]
    return rewards


def _aligned(rewards: Floats) -> tuple[list[int], list[int]]:
    """The rows of both that are paired, in order, so that they have most in common.

    Ties: a pair before a row of `pred` alone is kept, before one of `ref`.
    """
    best = np.zeros((rewards.shape[0] + 1, rewards.shape[1] + 1))
    for number, row in enumerate(rewards):
        best[number + 1, 1:] = np.maximum.accumulate(
            np.maximum(
                best[number, 1:],
                best[number, :-1] + row,
            )
        )
    pairs = []
    i, j = rewards.shape
    while i and j:
        if best[i - 1, j - 1] + rewards[i - 1, j - 1] == best[i, j]:
            i = i - 1
            j = j - 1
            pairs.append((i, j))
        elif best[i - 1, j] == best[i, j]:
            i -= 1
        else:
            j -= 1
    return [i for i, _ in reversed(pairs)], [j for _, j in reversed(pairs)]
