"""SCRM of charts (structuring chart-oriented representation metric; StructChart, Xia et al. 2023, arXiv 2309.11268).

A chart is a set of triples ({row, column}, value). Two triples match within a tolerance; the similarity of two charts
is matches / (triples of both - matches); a chart's score at a tolerance is the share of the ten thresholds 0.50, 0.55 …
0.95 that its similarity reaches. The mean over charts is the published mAP.

| tolerance | edits in row and column together | value                |
|-----------|----------------------------------|----------------------|
| strict    | 0                                | equal                |
| slight    | 2                                | 5 % of the true one  |
| high      | 5                                | 10 % of the true one |

The published code (UniModal4Reasoning/ChartVLM eval/metric/SCRM.py @781d457) has faults, fixed here:

- `negative`: it divides by the signed label, so that any number matches a negative one (100 for -5 is an exact match);
  here by its size;
- `zero`: it adds 1e-6 to the label; here a 0 is matched by 0 alone;
- `many-to-one`: several answers may claim one label, and count each, so that the similarity can even be above 1; here a
  label is
  claimed once, and as many labels as possible are;
- `case`: it sorts row and column before it lowers their case, so that `B`, `a` and `b`, `a` differ;
- `border`: it joins row and column, so that `ab`, `c` equals `a`, `bc`;
- `threshold`: its 0.7 is 0.7000000000000002, and 7 of 10 do not reach it; so are 0.55, 0.6, 0.65 and others; here they
  are exact;
- `nothing`: two charts without triples divide by zero; here they are alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from sft.errors import UsageError

TextRows = Sequence[Sequence[str]]
Tolerance = Literal["strict", "slight", "high"]
TOLERANCES: dict[Tolerance, tuple[int, float]] = {"strict": (0, 0.0), "slight": (2, 0.05), "high": (5, 0.1)}
THRESHOLDS = tuple(Fraction(percent, 100) for percent in range(50, 100, 5))
MAX_TRIPLES = 3000  # of one chart; further ones match nothing

_BORDER = "\0"
_UNSEEN = str.maketrans("", "", "%$")


class Scrm(NamedTuple):
    """A chart's score per tolerance, and whether it is wholly right; all 0 to 1. Means over charts are mAP and EM."""

    strict: float
    slight: float
    high: float
    exact: float


class _Triples(NamedTuple):
    keys: list[str]
    words: list[str]  # key and value
    numbers: npt.NDArray[np.float64]  # nan for a word

    def first(self, count: int) -> _Triples:
        return _Triples(
            self.keys[:count],
            self.words[:count],
            self.numbers[:count],
        )


def scrm(*, ref: TextRows, pred: TextRows) -> Scrm:
    """All four figures of one chart; rows of cells, the first row and the first column are headings.

    Both without triples: 1 everywhere; one without: 0. Raises: UsageError where scipy is missing.
    """
    wanted = _triples(ref)
    predicted = _triples(pred)
    strict, slight, high = (_similarity(wanted, predicted, tolerance) for tolerance in TOLERANCES)
    return Scrm(
        _precision(strict),
        _precision(slight),
        _precision(high),
        float(strict == 1),
    )


def similarity(*, ref: TextRows, pred: TextRows, tolerance: Tolerance = "strict") -> float:
    """Matched triples / (triples of both - matched), 0 to 1."""
    return float(_similarity(_triples(ref), _triples(pred), tolerance))


def precision(*, ref: TextRows, pred: TextRows, tolerance: Tolerance = "slight") -> float:
    """The share of the thresholds 0.50 … 0.95 that `similarity` reaches."""
    return _precision(_similarity(_triples(ref), _triples(pred), tolerance))


def _precision(similar: Fraction) -> float:
    return sum(similar >= threshold for threshold in THRESHOLDS) / len(THRESHOLDS)


def _triples(rows: TextRows) -> _Triples:
    """The set of triples, in order; a cell without a heading has none."""
    triples: dict[tuple[str, float | str], None] = {}
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    for row in rows[1:]:
        entity = row[0].strip().lower() if row else ""
        for column, cell in zip(header[1:], row[1:], strict=False):
            text = cell.strip().translate(_UNSEEN).strip().lower()
            number = _number(text)
            triples[_BORDER.join(sorted((entity, column))), text if number is None else number] = None
    keys = [key for key, _ in triples]
    numbers = np.array(
        [value if isinstance(value, float) else np.nan for _, value in triples],
        np.float64,
    )
    return _Triples(
        keys,
        [f"{key}{_BORDER}{value}" for key, value in triples],
        numbers,
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number + 0.0 if math.isfinite(number) else None  # -0 is 0


def _similarity(wanted: _Triples, predicted: _Triples, tolerance: Tolerance) -> Fraction:
    total = len(wanted.keys) + len(predicted.keys)
    if not wanted.keys or not predicted.keys:
        return Fraction(not total)
    strict = tolerance == "strict"
    matched = (
        len({*wanted.words} & {*predicted.words})
        if strict
        else _matched(wanted.first(MAX_TRIPLES), predicted.first(MAX_TRIPLES), *TOLERANCES[tolerance])
    )
    return Fraction(matched, total - matched)


def _matched(wanted: _Triples, predicted: _Triples, edits: int, share: float) -> int:
    """The most pairs within the tolerance in which no triple is used twice."""
    try:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_bipartite_matching
    except ImportError as error:
        raise UsageError("SCRM needs scipy", hint="pip install 'paddleocr-vl-sft[metrics]'") from error
    labels = wanted.numbers[:, None]
    numbers = predicted.numbers[None, :]
    both = ~np.isnan(labels) & ~np.isnan(numbers)
    near = both & (np.abs(labels - numbers) <= share * np.abs(labels)) & _within(wanted.keys, predicted.keys, edits)
    near |= ~both & _within(wanted.words, predicted.words, edits)
    return int((maximum_bipartite_matching(csr_array(near), perm_type="column") >= 0).sum())


def _within(left: list[str], right: list[str], edits: int) -> npt.NDArray[np.bool_]:
    close: npt.NDArray[np.bool_] = (
        cdist(left, right, scorer=Levenshtein.distance, score_cutoff=edits, dtype=np.int32) <= edits
    )
    return close
