"""Scores of Spotting: where texts are, and what they say, one to one by place.

A text of the answer is at the place of one of the reference where the intersection over union of their outlines is 0.5
or more: the rule of ICDAR's robust reading competitions (tasks 1 and 4 of Incidental Scene Text, 2015). Pairs are made
one to one, the best first. `det_*` count pairs; `e2e_f1` counts those whose texts are equal, letter by letter, where
ICDAR's script forgives upper case. An outline is the hull of its corners, whichever way they run. A text without places
is at no place, and meets only its equal without places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sft.markup import SpottedText, parse_spotting

NEAR = 0.5  # intersection over union of two outlines that are one place
MOST = 2000  # texts of an answer that are looked at; 8,192 tokens have room for 900
Point = tuple[float, float]
Outline = list[Point]


class Hits(NamedTuple):
    """Pairs by place, those of equal text, and how many texts the reference and the answer have."""

    placed: int
    equal: int
    ref: int
    pred: int


def hits(*, ref: str, pred: str) -> Hits:
    """How many texts of `pred` are where `ref` has one."""
    wanted = parse_spotting(ref)
    spotted = parse_spotting(pred)
    pairs = _pairs(wanted[:MOST], spotted[:MOST])
    equal = sum(wanted[left].text == spotted[right].text for left, right in pairs)
    return Hits(len(pairs), equal, len(wanted), len(spotted))


def det_precision(*, ref: str, pred: str) -> float | None:
    """Texts at a right place / texts of the answer; None where it has none."""
    counted = hits(ref=ref, pred=pred)
    return counted.placed / counted.pred if counted.pred else None


def det_recall(*, ref: str, pred: str) -> float | None:
    """Texts at a right place / texts of the reference; None where it has none."""
    counted = hits(ref=ref, pred=pred)
    return counted.placed / counted.ref if counted.ref else None


def det_f1(*, ref: str, pred: str) -> float | None:
    """2 · texts at a right place / texts of both; None where neither has any. ICDAR calls it Hmean."""
    counted = hits(ref=ref, pred=pred)
    both = counted.ref + counted.pred
    return 2 * counted.placed / both if both else None


def e2e_f1(*, ref: str, pred: str) -> float | None:
    """2 · equal texts at a right place / texts of both; None where neither has any."""
    counted = hits(ref=ref, pred=pred)
    both = counted.ref + counted.pred
    return 2 * counted.equal / both if both else None


def _pairs(wanted: Sequence[SpottedText], spotted: Sequence[SpottedText]) -> list[tuple[int, int]]:
    """Indices of texts at one place, one to one: the largest overlap first, of equal ones that of equal texts."""
    refs = [_hull(one.corners) for one in wanted]
    preds = [_hull(one.corners) for one in spotted]
    near = []
    for left, right in _touching(refs, preds):
        overlap = _overlap(refs[left], preds[right])
        if overlap >= NEAR:
            differs = wanted[left].text != spotted[right].text
            near.append((-overlap, differs, left, right))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, left, right in sorted(near):
        if left not in pairs and right not in taken:
            pairs[left] = right
            taken.add(right)
    return [*pairs.items(), *_placeless(wanted, spotted)]


def _placeless(wanted: Sequence[SpottedText], spotted: Sequence[SpottedText]) -> list[tuple[int, int]]:
    """Pairs of equal texts without places."""
    by_text: dict[str, list[int]] = {}
    for index, one in enumerate(spotted):
        if not one.places:
            by_text.setdefault(one.text, []).append(index)
    pairs = []
    for index, one in enumerate(wanted):
        if not one.places and (others := by_text.get(one.text)):
            pairs.append((index, others.pop(0)))
    return pairs


def _touching(refs: Sequence[Outline], preds: Sequence[Outline]) -> list[tuple[int, int]]:
    """Pairs of outlines whose upright boxes overlap, found all at once."""
    import numpy as np

    if not refs or not preds:
        return []
    ours, theirs = (np.array([_box(outline) for outline in outlines], np.float64) for outlines in (refs, preds))
    left_top = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    right_bottom = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    lefts, rights = np.nonzero((left_top < right_bottom).all(axis=2))
    return list(zip(lefts.tolist(), rights.tolist(), strict=True))


def _box(outline: Outline) -> tuple[float, float, float, float]:
    """Left, top, right, bottom; an empty box for no outline."""
    if not outline:
        return 0.0, 0.0, 0.0, 0.0
    xs = [x for x, _ in outline]
    ys = [y for _, y in outline]
    return min(xs), min(ys), max(xs), max(ys)


def _overlap(ref: Outline, pred: Outline) -> float:
    """Intersection over union of two convex outlines."""
    common = abs(_area(_clipped(pred, ref)))
    union = abs(_area(ref)) + abs(_area(pred)) - common
    return common / union if union > 0 else 0.0


def _hull(corners: Sequence[Point]) -> Outline:
    """The convex hull, which turns right everywhere (y grows downwards); nothing where it has no area."""
    points = sorted(set(corners))
    if len(points) < 3:
        return []
    lower = _chain(points)
    upper = _chain(points[::-1])
    outline = lower[:-1] + upper[:-1]
    return outline if len(outline) > 2 else []


def _chain(points: Sequence[Point]) -> Outline:
    """Half of a hull, by Andrew's monotone chain."""
    chain: Outline = []
    for point in points:
        while len(chain) > 1 and _side(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _clipped(subject: Outline, clip: Outline) -> Outline:
    """What of one convex outline lies in another, by Sutherland and Hodgman."""
    left = subject
    for start, end in zip(clip, [*clip[1:], clip[0]], strict=True):
        left = _half(left, start, end)
        if not left:
            return []
    return left


def _half(outline: Outline, start: Point, end: Point) -> Outline:
    """What of an outline lies on the inner side of the line through two points."""
    kept: Outline = []
    for previous, point in zip([outline[-1], *outline[:-1]], outline, strict=True):
        before = _side(start, end, previous)
        after = _side(start, end, point)
        if (before < 0 < after) or (after < 0 < before):
            share = before / (before - after)
            x = previous[0] + share * (point[0] - previous[0])
            y = previous[1] + share * (point[1] - previous[1])
            kept.append((x, y))
        if after >= 0:
            kept.append(point)
    return kept


def _side(start: Point, end: Point, point: Point) -> float:
    """Above 0 where a point lies on the inner side of an edge."""
    return (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])


def _area(outline: Outline) -> float:
    if not outline:
        return 0.0
    following = [*outline[1:], outline[0]]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(outline, following, strict=True)) / 2
