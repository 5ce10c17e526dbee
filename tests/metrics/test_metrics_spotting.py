"""Places by intersection over union, texts by equality; pixel counting as the oracle of overlaps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.evaluation.scores import score_one
from sft.markup import SpottedText, write_spotting
from sft.metrics import spotting

BOX = (100, 100, 300, 100, 300, 150, 100, 150)


def label(*texts: tuple[str, tuple[int, ...]]) -> str:
    return write_spotting([SpottedText(*one) for one in texts])


def moved(by: int, box: tuple[int, ...] = BOX) -> tuple[int, ...]:
    return tuple(place + by for place in box)


TWO = label(("a", BOX), ("b", moved(400)))


@pytest.mark.parametrize(
    ("pred", "placed", "equal"),
    [
        (TWO, 2, 2),
        (label(("b", moved(400)), ("a", BOX)), 2, 2),
        (label(("b", BOX), ("a", moved(400))), 2, 0),
        (label(("a", moved(500)), ("b", moved(450))), 0, 0),
        (label(("a", BOX), ("a", BOX)), 1, 1),
        (label(("x", BOX), ("a", BOX)), 1, 1),
        (label(("a", (100, 100, 100, 150, 300, 150, 300, 100))), 1, 1),
        (label(("a", BOX[:7])), 0, 0),
        (label(("a", (5,) * 8)), 0, 0),
        ("a b", 0, 0),
        ("", 0, 0),
    ],
)
def test_hits(pred: str, placed: int, equal: int) -> None:
    assert spotting.hits(ref=TWO, pred=pred)[:2] == (placed, equal)


def test_places_wrong_by_500_are_no_small_error() -> None:
    """Letter by letter the two labels are nearly the same."""
    found = score_one("spotting", label(("Genaxis", BOX)), label(("Genaxis", moved(500))))
    assert (found["e2e_f1"], found["det_f1"], found["cer"], found["exact"]) == (0, 0, 0, 0)


def test_half_of_the_area_is_a_hit_and_less_is_none() -> None:
    wide = (0, 0, 200, 0, 200, 100, 0, 100)
    for width, hit in ((100, 1), (99, 0)):
        part = (0, 0, width, 0, width, 100, 0, 100)
        assert spotting.hits(ref=label(("a", wide)), pred=label(("a", part))).placed == hit


def test_nothing_to_measure_is_no_zero() -> None:
    assert spotting.e2e_f1(ref="", pred="") is None
    assert spotting.det_precision(ref=TWO, pred="") is None
    assert (spotting.det_recall(ref=TWO, pred=""), spotting.det_f1(ref=TWO, pred="")) == (0, 0)


def test_a_runaway_is_scored_in_time() -> None:
    pred = label(*[("a", moved(number % 500)) for number in range(5000)])
    counted = spotting.hits(ref=TWO, pred=pred)
    assert (counted.placed, counted.pred) == (2, 5000)


corner = st.tuples(st.integers(0, 200), st.integers(0, 200))
quads = st.lists(corner, min_size=4, max_size=4)


def painted(points: list[tuple[int, int]]) -> np.ndarray:
    canvas = np.zeros((210, 210), np.uint8)
    hull = cv2.convexHull(np.array(points, np.int32))
    cv2.fillConvexPoly(canvas, hull, 1)
    return canvas


@settings(max_examples=60)
@given(quads, quads)
def test_overlap_against_counted_pixels(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    ours, theirs = spotting._hull(left), spotting._hull(right)
    first, second = painted(left), painted(right)
    union = int((first | second).sum())
    if min(first.sum(), second.sum()) < 4000:
        return
    assert spotting._overlap(ours, theirs) == pytest.approx(int((first & second).sum()) / union, abs=0.06)
    assert spotting._overlap(ours, theirs) == pytest.approx(spotting._overlap(theirs, ours))
