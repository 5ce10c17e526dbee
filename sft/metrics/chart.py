"""Scores of chart data: RMS (relative mapping similarity) and RNSS (relative number set similarity).

Both are DePlot's (Liu et al., ACL Findings 2023, arXiv 2212.10505; google-research/google-research deplot/metrics.py
@0282a25). A chart is a table whose first row and first column are headers; every cell becomes a mapping "row column" →
value. Mappings are paired so that their keys fit best; a pair scores by key (ANLS) times value (relative error below
10 %, or ANLS for words). The better of the answer as it is and transposed counts.

RMS is computed as published, on published inputs. What differs, and only on inputs that the reference cannot mean:

- tables may come parsed (rows of cells), so that outer pipes or a blank corner do not cost everything;
- a value 0 is a number: against 0, 0.0 or 0 % it scores 1, against anything else 0 (the reference compares the
  strings);
  `as_published=True` keeps the reference's way;
- RNSS of a number against a 0: the reference has it inverted (0 against 5 scores 1, 0 against 0 scores 0);
- RNSS reads 17.8% as a number, as RMS does: to the reference it is a word, so that of a chart in per cent every answer
  is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from sft.arrays import Floats

TextRows = Sequence[Sequence[str]]
TEXT_THETA, NUMBER_THETA = 0.5, 0.1
TITLE = "title"


class Rms(NamedTuple):
    """Precision, recall and their harmonic mean, 0 to 1."""

    precision: float
    recall: float
    f1: float


def rms(*, ref: str | TextRows, pred: str | TextRows, as_published: bool = False) -> Rms:
    """RMS of one chart. Text is split as DePlot does: lines, cells at exactly ` | `, an optional first line `title |
    …`.

    Both without any mapping: 1, 1, 1. Nothing predicted: precision 1, recall 0, F1 0.

    >>> rms(ref="year | argentina | brazil\\n1999 | 200 | 158", pred="year | argentina | brazil\\n1999 | 202 | 0").f1
    0.495
    """
    wanted = _mappings(_cells(ref), transposed=False)
    answer = _cells(pred)
    return max(
        (_matched(wanted, _mappings(answer, transposed=turned), as_published) for turned in (True, False)),
        key=lambda item: item.f1,
    )


def rms_f1(*, ref: str | TextRows, pred: str | TextRows) -> float:
    """F1 of `rms`."""
    return rms(ref=ref, pred=pred).f1


def rnss(*, ref: str | TextRows, pred: str | TextRows) -> float:
    """How well the numbers of both charts can be paired, wherever they stand; 0 to 1. No numbers on both sides: 1.

    >>> rnss(ref="baz | foo | 0.4", pred="0.5 | foo | 0.6")
    0.875
    """
    from scipy.optimize import linear_sum_assignment

    wanted = _numbers(ref)
    pred_numbers = _numbers(pred)
    if not len(wanted) or not len(pred_numbers):
        return float(len(wanted) == len(pred_numbers))
    scale = np.where(wanted == 0, 1.0, np.abs(wanted))[:, None]
    costs = np.minimum(
        np.abs(wanted[:, None] - pred_numbers[None, :]) / scale,
        1.0,
    )
    costs[wanted == 0] = pred_numbers != 0  # nothing is near to nothing
    rows, columns = linear_sum_assignment(costs)
    return float(1 - costs[rows, columns].sum() / max(len(wanted), len(pred_numbers)))


KeyedCells = tuple["str | None", "list[tuple[str, ...]]"]


def _cells(text: str | TextRows) -> KeyedCells:
    """(title, rows), lower-case, cells without outer white space."""
    if not isinstance(text, str):
        return None, [tuple(cell.strip().lower() for cell in row) for row in text]
    lines = text.lower().splitlines()
    title = lines.pop(0)[len(TITLE) + 2 :].strip() if lines and lines[0].startswith(f"{TITLE} |") else None
    return title, [tuple(cell.strip() for cell in line.split(" | ")) for line in lines]


def _mappings(cells: KeyedCells, *, transposed: bool) -> list[tuple[str, str]]:
    title, rows = cells
    if transposed:
        rows = list(zip_longest(*rows, fillvalue=""))
    mappings = {} if title is None else {TITLE: title}
    if len(rows) > 1 and len(rows[0]) > 1:
        headers = rows[0][1:]
        for row in rows[1:]:
            first = f"{row[0]} "
            for header, cell in zip(headers, row[1:], strict=False):
                mappings[first + header] = cell
    return list(mappings.items())


def _matched(wanted: list[tuple[str, str]], predicted: list[tuple[str, str]], as_published: bool) -> Rms:
    from scipy.optimize import linear_sum_assignment

    if not wanted or not predicted:
        return Rms(
            float(bool(wanted) or not predicted),
            float(bool(predicted) or not wanted),
            float(not wanted and not predicted),
        )
    keys = _anls(
        [key for key, _ in wanted],
        [key for key, _ in predicted],
    )
    rows, columns = linear_sum_assignment(1 - keys)
    fits = keys[rows, columns].tolist()
    score = sum(
        fit * _value(wanted[row][1], predicted[column][1], as_published)
        for fit, row, column in zip(fits, rows.tolist(), columns.tolist(), strict=True)
        if fit
    )
    if not score:
        return Rms(0.0, 0.0, 0.0)
    precision = float(score / len(predicted))
    recall = float(score / len(wanted))
    return Rms(
        precision,
        recall,
        2 * precision * recall / (precision + recall),
    )


def _anls(left: list[str], right: list[str]) -> Floats:
    """1 - normalised edit distance, 0 where the distance is above the threshold; shape (len(left), len(right))."""
    costs: Floats = cdist(
        left, right, scorer=Levenshtein.normalized_distance, score_cutoff=TEXT_THETA, dtype=np.float64
    )  # 1 above the cut-off
    return np.subtract(1, costs, out=costs)


def _value(wanted: str, predicted: str, as_published: bool) -> float:
    if wanted == predicted:
        return 1.0
    number = _number(wanted)
    other = _number(predicted)
    if other is not None and number:
        error = min(abs((number - other) / number), 1)
        return 1 - error if error < NUMBER_THETA else 0.0
    if not as_published and number == 0 and other is not None:
        return float(other == 0)
    cost = Levenshtein.normalized_distance(wanted, predicted)
    return 1 - cost if cost <= TEXT_THETA else 0.0


def _number(text: str) -> float | None:
    """A finite number; per cent are hundredths."""
    try:
        number = float(text.rstrip("%")) / 100.0 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _numbers(text: str | TextRows) -> Floats:
    numbers = (_number(cell) for row in _cells(text)[1] for cell in row)
    return np.array(
        [number for number in numbers if number is not None],
        np.float64,
    )
