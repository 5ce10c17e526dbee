"""Signs of two formulas paired by name, place and order; pairs whose places do not go together are dropped.

As published (UniMERNet, cdm/evaluation.py and cdm/modules/visual_matcher.py; parameters and seed as in OmniDocBench's
cdm_metric.py): the cheapest assignment by 1 · name + 0.05 · place + 0.15 · order; then, where there are more than three
pairs, up to three rounds of RANSAC with a shift and one scale; what lies within 25 px (at 200 dpi, 12 pt letters) of
the best of 50 guesses stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sft.arrays import Floats

PIXEL = 72.27 * 65536 / 200  # sp
PAD = 8.0  # pixels around a picture
PLACE, ORDER = 0.05, 0.15  # weights; that of the name is 1
LEAST, ROUNDS, TRIALS, NEAR = 3, 3, 50, 25.0
SEED = 42


@dataclass(frozen=True)
class Signs:
    """The signs of a formula that leave ink, in order, and their boxes (left, top, right, bottom) in sp."""

    names: tuple[str, ...]
    boxes: tuple[tuple[int, int, int, int], ...]


def f1(ref: Signs, pred: Signs) -> float:
    """2 · pairs that stay / signs of both; 1 for nothing against nothing."""
    total = len(ref.names) + len(pred.names)
    if not ref.names or not pred.names:
        return float(not total)
    left = _pixels(ref)
    right = _pixels(pred)
    other = np.array(ref.names)[:, None] != np.array(pred.names)[None, :]
    rows, columns = _assigned(left, right, other)
    stays = (
        consistent(
            _centres(left)[rows],
            _centres(right)[columns],
        )
        & ~other[rows, columns]
    )
    return 2 * int(stays.sum()) / total


def _pixels(signs: Signs) -> Floats:
    """Boxes within their padded picture; one pixel wider on each side, as they are found in a drawn one."""
    pixels = np.array(signs.boxes, np.float64) / PIXEL
    corner = (
        np.array(
            [
                pixels[:, 0].min(),
                pixels[:, 1].min(),
            ]
        )
        - PAD
    )
    moved: Floats = pixels - np.concatenate([corner, corner]) + np.array([-1.0, -1.0, 1.0, 1.0])
    return moved


def _centres(boxes: Floats) -> Floats:
    return np.stack(
        [(boxes[:, 1] + boxes[:, 3]) / 2, (boxes[:, 0] + boxes[:, 2]) / 2],
        axis=1,
    )


def _assigned(
    left: Floats, right: Floats, other: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    from scipy.optimize import linear_sum_assignment

    def shares(boxes: Floats) -> Floats:
        size = boxes[:, 2:].max(axis=0) - 1 + PAD  # width and height of the picture
        scaled: Floats = boxes / np.concatenate([size, size])
        return scaled

    a = shares(left)
    b = shares(right)
    cost = other.astype(np.float64)
    for axis in range(4):
        cost += PLACE / 4 * np.abs(a[:, axis, None] - b[None, :, axis])
    cost += ORDER * np.abs(np.arange(len(a))[:, None] / len(a) - np.arange(len(b))[None, :] / len(b))
    rows, columns = linear_sum_assignment(cost)
    return rows, columns


def consistent(src: Floats, dst: Floats) -> npt.NDArray[np.bool_]:
    """Which pairs of places go together. src, dst: (n, 2) pixels. No more than three are never doubted."""
    stays = np.zeros(len(src), np.bool_)
    if len(src) <= LEAST:
        return ~stays
    for _ in range(ROUNDS):
        rest = np.flatnonzero(~stays)
        if len(rest) <= LEAST:
            break
        near = _ransac(src[rest], dst[rest])
        if not near.any():
            break
        stays[rest[near]] = True
    return stays


def _ransac(src: Floats, dst: Floats) -> npt.NDArray[np.bool_]:
    """The pairs that the best of TRIALS guesses brings near each other; the most pairs win, then the smaller squares.

    A guess is the shift and the scale that a few pairs have between them; scaled about the middle of all, as published.
    """
    draws = np.random.default_rng(SEED)
    few = np.array([draws.choice(len(src), LEAST, replace=False) for _ in range(TRIALS)])
    start = src[few].mean(axis=1)
    end = dst[few].mean(axis=1)  # (TRIALS, 2)
    spread, wanted = (
        np.linalg.norm(points[few] - middle[:, None], axis=2).mean(axis=1)
        for points, middle in ((src, start), (dst, end))
    )
    scale = wanted / (spread + 1e-10)
    middle = src.mean(axis=0)
    off = np.linalg.norm(
        scale[:, None, None] * (src - middle) + middle + (end - start)[:, None] - dst,
        axis=2,
    )
    near = off < NEAR
    best = np.lexsort(((off**2).sum(axis=1), -near.sum(axis=1)))[0]
    inliers: npt.NDArray[np.bool_] = near[best]
    return inliers
