"""RMS and RNSS: DePlot's own test values, a second statement of the definition, and the edges."""

from __future__ import annotations

import itertools
import math
from itertools import zip_longest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from sft.metrics.chart import rms, rms_f1, rnss

TARGET = "title | my table\nyear | argentina | brazil\n1999 | 200 | 158\n"
TURNED = "title | my table\ncountry | 1999\nargentina | 200\nbrazil | 158\n"
PREDICTION = "title | my table\nyear | argentina | brazil\n1999 | 202 | 0\n"


@pytest.mark.parametrize("target", [TARGET, TURNED])
def test_deplots_published_values(target: str) -> None:
    """deplot/metrics_test.py: 1 from the title, 0.99 from argentina, of 3."""
    assert rms(ref=target, pred=PREDICTION) == pytest.approx((1.99 / 3,) * 3)


def test_deplots_published_number_values() -> None:
    assert rnss(ref="0.5 | foo | 0.6", pred="0.5 | foo | 0.6") == 1
    assert rnss(ref="baz | foo | 0.4", pred="0.5 | foo | 0.6") == 0.875


def anls(left: str, right: str) -> float:
    cost = Levenshtein.distance(left, right) / max(len(left), len(right), 1)
    return 1 - cost if cost <= 0.5 else 0


def number(text: str) -> float | None:
    try:
        found = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def by_definition(ref: list[list[str]], pred: list[list[str]]) -> set[float]:
    """F1 for every best pairing of the keys, tried out one by one; ties are left to whoever pairs."""

    def points(rows: list[list[str]]) -> list[tuple[str, str]]:
        return list(
            {
                f"{row[0]} {head}": cell for row in rows[1:] for head, cell in zip(rows[0][1:], row[1:], strict=False)
            }.items()
        )

    def value(left: str, right: str) -> float:
        a, b = number(left), number(right)
        if b is not None and a:
            error = min(abs((a - b) / a), 1)
            return 1 - error if error < 0.1 else 0
        if left == right:
            return 1
        return float(b == 0) if a == 0 and b is not None else anls(left, right)

    found = set()
    for turned in (False, True):
        wanted, got = points(ref), points([list(row) for row in zip_longest(*pred, fillvalue="")] if turned else pred)
        if not wanted or not got:
            found.add(float(not wanted and not got))
            continue
        few, many = (wanted, got) if len(wanted) <= len(got) else (got, wanted)
        best: dict[float, set[float]] = {}
        for order in itertools.permutations(range(len(many)), len(few)):
            pairs = [(few[a], many[b]) if few is wanted else (many[b], few[a]) for a, b in enumerate(order)]
            fit = round(sum(anls(x[0], y[0]) for x, y in pairs), 9)
            score = sum(anls(x[0], y[0]) * value(x[1], y[1]) for x, y in pairs)
            p, r = score / len(got), score / len(wanted)
            best.setdefault(fit, set()).add(2 * p * r / (p + r) if score else 0.0)
        found |= best[max(best)]
    return found


cells = st.sampled_from(["year", "a", "ab", "brazil", "0", "0.0", "10", "10.5", "11", "5%", "0.05", "1,000", ""])
tables = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=3)
)


@given(tables, tables)
@settings(max_examples=200, deadline=None)
def test_f1_is_that_of_a_best_pairing(ref: list[list[str]], pred: list[list[str]]) -> None:
    score = rms_f1(ref=ref, pred=pred)
    assert any(score == pytest.approx(value, abs=1e-9) for value in by_definition(ref, pred))
    assert 0 <= score <= 1 and rms_f1(ref=ref, pred=ref) in (0.0, 1.0)


@pytest.mark.parametrize(
    ("ref", "pred", "wanted"),
    [
        ("", "", (1, 1, 1)),
        (TARGET, "", (1, 0, 0)),
        ("", TARGET, (0, 1, 0)),
        (TARGET, TARGET, (1, 1, 1)),
        (TARGET, "garbage", (1, 0, 0)),
        ("a | b\nx | 0", "a | b\nx | 0.0", (1, 1, 1)),
        ("a | b\nx | 0", "a | b\nx | 5", (0, 0, 0)),
        ("a | b\nx | -5", "a | b\nx | 100", (0, 0, 0)),
        ("A | B\nX | Y", "a | b\nx | y", (1, 1, 1)),
        ("a | b\nx | inf", "a | b\nx | inf", (1, 1, 1)),
        ("a | b\nx | nan", "a | b\nx | 5", (0, 0, 0)),
    ],
)
def test_edges(ref: str, pred: str, wanted: tuple[float, float, float]) -> None:
    assert rms(ref=ref, pred=pred) == pytest.approx(wanted)


def test_the_references_zero() -> None:
    assert rms(ref="a | b\nx | 0", pred="a | b\nx | 0.0", as_published=True).f1 == 0.0


@pytest.mark.parametrize(
    ("ref", "pred", "wanted"),
    [("", "", 1), ("5", "", 0), ("", "5", 0), ("0", "5", 0), ("0", "0.0", 1), ("-5", "100", 0), ("1 | 2", "2 | 1", 1)],
)
def test_numbers(ref: str, pred: str, wanted: float) -> None:
    assert rnss(ref=ref, pred=pred) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("ref", "pred", "wanted"), [("10%", "0.1", 1), ("10% | 90%", "90% | 1%", 0.55), ("10%", "10", 0)]
)
def test_per_cent_are_numbers(ref: str, pred: str, wanted: float) -> None:
    assert rnss(ref=ref, pred=pred) == pytest.approx(wanted)


def test_rows_that_were_parsed() -> None:
    rows = [["", "22Q3", "22Q3yoy"], ["电商", "85", "100%"]]
    assert rms_f1(ref=rows, pred=rows) == 1
    assert rms_f1(ref=rows, pred=[["", "22Q3", "22Q3yoy"], ["电商", "86", "1"]]) > 0.98
