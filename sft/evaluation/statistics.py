"""How sure a score is: intervals for means and ratios of sums, paired differences, tests; numpy only, seeded, in
bounded memory.

Every score of a set is a ratio of two sums over its samples: CER is sum(edits) / sum(reference lengths), a mean is
sum(scores) / sum(1). Samples that come in groups (the crops of one document) are not independent; they are summed up
first, and the groups are what is drawn. A paired difference is a ratio too, its numerators being differences.

Which interval. Errors of OCR are skewed: most samples have none, a few have many. Simulated with such errors (n = 200,
coverage of the 95 % interval of a CER; `tests/evaluation/test_statistics.py` repeats it):

    errors in a sample                        percentile    BCa    studentised
    gamma (every sample some)                       92.6   91.9           94.1
    70 % without any, the others many               91.5   91.7           93.8
    95 % without any                                82.1   87.2           96.5

so the studentised bootstrap ("bootstrap-t": Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 12)
is the default, its standard error by linearisation. Differences are heavy on both sides; for them the symmetric
studentised interval is better, with one sample more on either side. Where nearly all differences go one way, it covers
81 to 87 times in 100 at n = 200; then gains and losses are two rates, whose intervals are joined (`bootstrap.sided`:
94 to 96). Shares of samples (exact match) take Wilson's interval, and their paired differences that of Bonett and Price
(2012), with the number of samples that groups leave. Where the bootstrap cannot know anything, all samples being alike,
a score within 0 and 1 has Wilson's limits, which hold for every variable of that range.

No method knows of what is not in the sample: if one answer in 200 is a runaway eight times too long, 100 samples cover
the true CER 54 times in 100. `Interval.few` and `one` warn as far as the sample tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sft.arrays import Floats, Ints
from sft.evaluation.bootstrap import (
    CHUNK,
    Sums,
    bca,
    bonett_price,
    draw,
    lopsided,
    most,
    one_more,
    percentile,
    sided,
    studentised,
    symmetric_limits,
    variance_of,
    wilson,
)

Method = Literal["studentised", "bca", "percentile"]
# share: 0 or 1 for each sample; bounded: 0 to 1; rate: an error, from 0 on; amount: from 0 on, no error; difference:
# any number, of bounded scores -1 to 1; share_difference: -1, 0 or 1
EstimateKind = Literal["share", "bounded", "rate", "amount", "difference", "bounded_difference", "share_difference"]
EITHER_WAY = {
    "amount": (0.0, np.inf),
    "difference": (-np.inf, np.inf),
    "bounded_difference": (-1.0, 1.0),
}  # limits are alike on both sides, and end here
SHARES = ("share", "share_difference")
LEVEL = 0.95
DRAWS = 2000  # bootstrap samples
FLIPS = 5000  # random signs of the paired test
EXACT = 12  # differences that are not zero up to which all signs are tried: 4096
# independent samples below which an interval is no more than a hint: at 30, skewed errors are covered 91 times in 100
FEW = 50
HALF = 0.5  # of the squared spread; one sample that carries more decides the score
KNOWN = 3.0  # times a rate: where one sample decides it, a limit that is higher, and above 1, is no estimate
MOST = 5_000  # independent samples; more are summed up at random first, which changes no sum and no spread
# random signs as far from 0 as the observed ones, below which their number is too rough and the tail is computed
MIN_FLIPS_BEYOND = 25


class Interval(NamedTuple):
    """`value` with its limits; `n` independent samples or groups.

    `few`: fewer than FEW, too few to trust the limits. `one`: a single sample or group carries more than half of the
    squared spread, such as a runaway answer: look at it before the score. `high` is infinite where it cannot be
    estimated: one runaway says nothing of how many there are.
    """

    value: float
    low: float
    high: float
    n: int
    few: bool
    one: bool = False


def intervals(
    numerators: npt.ArrayLike,
    denominators: npt.ArrayLike | None = None,
    *,
    groups: Sequence[object] | None = None,
    kinds: Sequence[EstimateKind] | EstimateKind = "rate",
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 1,
    method: Method = "studentised",
) -> list[Interval]:
    """sum(numerators) / max(sum(denominators), 1) of every column, each with an interval of `level`.

    numerators: shape (samples, columns) or (samples,); denominators: the same, not negative; None: 1, which gives
    means.
    groups: a key per sample; equal keys are one draw. kinds: of all columns, or of each. All columns share the draws,
    so that the cost of 40 metrics is little more than that of one. The same input and seed give the same limits. Raises
    ValueError: no samples, or shapes that do not fit.
    """
    numerator_columns, denominator_columns = _columns(numerators, denominators)
    if len(numerator_columns) == 0:
        raise ValueError("no samples, no interval")
    each: Sequence[EstimateKind] = [kinds] * numerator_columns.shape[1] if isinstance(kinds, str) else kinds
    if len(each) != numerator_columns.shape[1]:
        raise ValueError(f"{len(each)} kinds for {numerator_columns.shape[1]} columns")
    sums = Sums(*_summed([numerator_columns, denominator_columns], groups, seed))
    deltas, errors = (
        draw(sums, draws, seed)
        if sums.n > 1
        else (np.zeros((1, numerator_columns.shape[1])), np.zeros((1, numerator_columns.shape[1])))
    )
    low, high = _LIMITS[method](
        sums,
        deltas,
        errors,
        (1 - level) / 2,
    )
    around = np.stack(symmetric_limits(sums, deltas, errors, level), axis=1)
    for column, limits in _differences(
        sums, deltas, errors, [place for place, kind in enumerate(each) if kind in EITHER_WAY], level, draws, seed
    ):
        around[column] = limits
    z = NormalDist().inv_cdf(0.5 + level / 2)
    results = []
    for column, kind in enumerate(each):
        limits = float(low[column]), float(high[column])
        if method == "studentised":
            symmetric = float(around[column, 0]), float(around[column, 1])
            if kind in EITHER_WAY:
                least, most = EITHER_WAY[kind]
                limits = max(symmetric[0], least), min(symmetric[1], most)
            else:
                limits = _mended(
                    kind,
                    sums,
                    column,
                    limits,
                    symmetric,
                    z,
                    numerator_columns[:, column],
                )
        results.append(
            Interval(
                float(sums.value[column]),
                *limits,
                sums.n,
                sums.n < FEW,
                kind not in SHARES and bool(sums.largest[column] > HALF),
            )
        )
    return results


def sign_flip(
    differences: npt.ArrayLike, *, groups: Sequence[object] | None = None, flips: int = FLIPS, seed: int = 1
) -> list[float]:
    """p of each column: how often a sum as far from 0 arises if each paired difference were as likely with the other
    sign.

    differences: shape (samples, columns) or (samples,). Two-sided; exact up to EXACT differences that are not zero,
    else by `flips` random signs, the observed ones counted in (Phipson and Smyth 2010), so never 0. Where hardly any of
    these are as far, the tail is computed instead (see `_tail`): a correction over hundreds of tests needs smaller p
    than 5000 signs can give. No difference at all: 1.
    """
    given, _ = _columns(differences, None)
    if not len(given):
        return [1.0] * given.shape[1]
    (units,) = _summed([given], groups, seed)
    units = units[np.any(units != 0, axis=1)]
    result = np.ones(units.shape[1])
    many = []
    for column in range(units.shape[1]):
        values = units[:, column][units[:, column] != 0]
        if len(values) > EXACT:
            many.append(column)
        elif len(values):
            signs = 1 - 2 * ((np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1)
            result[column] = np.mean(_as_far(signs @ values, values))
    if many:
        result[many] = _flipped(units[:, many], flips, seed)
    return [float(p) for p in result]


def holm(ps: Sequence[float]) -> list[float]:
    """p of a family of tests after Holm (1979): what stays below 0.05 is not just the luckiest of many comparisons."""
    result = [1.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(
        sorted(
            range(len(ps)),
            key=lambda place: ps[place],
        )
    ):
        highest = max(
            highest,
            min(1.0, ps[index] * (len(ps) - rank)),
        )
        result[index] = highest
    return result


def _columns(numerators: npt.ArrayLike, denominators: npt.ArrayLike | None) -> tuple[Floats, Floats]:
    top = np.asarray(numerators, np.float64)
    top = top[:, None] if top.ndim == 1 else top
    bottom = np.ones_like(top) if denominators is None else np.asarray(denominators, np.float64)
    bottom = np.broadcast_to(
        bottom[:, None] if bottom.ndim == 1 else bottom,
        top.shape,
    )
    return top, bottom


def _summed(parts: list[Floats], groups: Sequence[object] | None, seed: int) -> list[Floats]:
    """Groups, and what is too many, as one row each."""
    n = len(parts[0])
    keys: Ints = np.arange(n)
    if groups is not None:
        if len(groups) != n:
            raise ValueError(f"{len(groups)} groups for {n} samples")
        number: dict[object, int] = {}
        keys = np.array(
            [number.setdefault(group, len(number)) for group in groups],
            np.int64,
        )
    count = int(keys.max()) + 1
    if count > MOST:
        keys = (np.random.default_rng(seed).permutation(count) % MOST)[keys]
        count = MOST
    if count == n:
        return parts
    return [
        np.stack([np.bincount(keys, weights=column, minlength=count) for column in part.T], axis=1) for part in parts
    ]


_LIMITS = {"percentile": percentile, "bca": bca, "studentised": studentised}


def _differences(
    sums: Sums, deltas: Floats, errors: Floats, at: list[int], level: float, draws: int, seed: int
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Limits of the columns `at`, which are differences: alike on both sides, or each side on its own where nearly all
    differences are on one.
    """
    numerators = sums.above[:, at]
    denominators = sums.below[:, at]
    low, high = symmetric_limits(
        sums,
        deltas,
        errors,
        level,
        one_more(sums.above, sums.total),
    )
    yield from ((column, (float(low[column]), float(high[column]))) for column in at)
    one_way = np.flatnonzero(lopsided(numerators) & (sums.error[at] > 0))
    if len(one_way) and sums.n > 1:
        low, high = sided(
            numerators[:, one_way],
            denominators[:, one_way],
            draws=draws,
            seed=seed,
            tail=(1 - level) / 2,
        )
        yield from ((at[place], (float(low[number]), float(high[number]))) for number, place in enumerate(one_way))


def _mended(
    kind: EstimateKind,
    sums: Sums,
    column: int,
    limits: tuple[float, float],
    around: tuple[float, float],
    z: float,
    numerators: Floats,
) -> tuple[float, float]:
    """The limits by what the kind of score is known to be."""
    value = float(sums.value[column])
    error = float(sums.error[column])
    total = float(sums.total[column])
    if kind == "share_difference":
        return bonett_price(numerators, total, variance_of(sums, column), value, z)
    inside = min(max(value, 0.0), 1.0)
    if kind == "share":
        independent = inside * (1 - inside) / variance_of(sums, column) if error > 0 else float(sums.n)
        return wilson(inside, min(max(independent, 1.0), total), z)
    wide = wilson(inside, float(sums.n), z)
    if error == 0:
        return wide if value <= 1 else (value, float("inf"))
    if kind == "bounded":
        return max(limits[0], wide[0]), min(limits[1], wide[1])
    low, high = (
        limit if np.isfinite(limit) else other
        for limit, other in zip(limits, (around[0], max(around[1], wide[1])), strict=True)
    )
    high = max(
        min(high, float(most(sums)[column])),
        value,
    )
    return max(low, 0.0), float("inf") if sums.largest[column] > HALF and high > max(1.0, KNOWN * value) else high


def _as_far(sums: Floats, values: Floats) -> npt.NDArray[np.bool_]:
    """Which sums are at least as far from 0 as that of `values`, rounding forgiven."""
    at_least_as_far: npt.NDArray[np.bool_] = np.abs(sums) >= np.abs(values.sum(axis=0)) - 1e-9 * np.abs(values).sum(
        axis=0
    )
    return at_least_as_far


def _flipped(units: Floats, flips: int, seed: int) -> Floats:
    n = len(units)
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // n)
    as_far = np.zeros(units.shape[1])
    for begin in range(0, flips, rows):
        size = min(rows, flips - begin)
        bits = np.unpackbits(
            rng.integers(0, 256, (size, -(-n // 8)), dtype=np.uint8),
            axis=1,
            count=n,
        )
        as_far += _as_far(
            2 * (bits.astype(np.float64) @ units) - units.sum(axis=0),
            units,
        ).sum(axis=0)
    return np.array(
        [
            _tail(column[column != 0]) if count < MIN_FLIPS_BEYOND else (count + 1) / (flips + 1)
            for column, count in zip(units.T, as_far, strict=True)
        ]
    )


def _tail(values: Floats) -> float:
    """The p of one column by the saddlepoint formula of Lugannani and Rice (Robinson, JRSS B 44, 1982, for such tests),
    right within 10 % however small it is.

    Whole numbers (edits, wins) are moved by half of the distance between two possible sums; of differences that are all
    alike, p is up to 1.6 times too large.
    """
    sizes = np.abs(values)
    least = 2.0 ** (1 - len(sizes))  # all signs alike
    step = (
        float(np.gcd.reduce(sizes.astype(np.int64)))
        if np.all(sizes == np.round(sizes)) and sizes.max() < 2**53
        else 0.0
    )
    scale = float(np.sqrt((sizes**2).sum()))
    sizes = sizes / scale
    wanted = (abs(float(values.sum())) - step) / scale
    if wanted >= sizes.sum() * (1 - 1e-9):
        return least
    low, high = 0.0, 1.0
    while float((sizes * np.tanh(high * sizes)).sum()) < wanted:
        low = high
        high = high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float((sizes * np.tanh(middle * sizes)).sum()) < wanted else (low, middle)
    grown = low * sizes
    log_cosh = float((grown + np.log1p(np.exp(-2 * grown)) - np.log(2)).sum())
    root = float(np.sqrt(max(2 * (low * wanted - log_cosh), 1e-12)))
    slope = low * float(np.sqrt(((sizes / np.cosh(np.minimum(grown, 300))) ** 2).sum()))
    normal = NormalDist()
    return float(
        min(
            max(2 * (normal.cdf(-root) + normal.pdf(root) * (1 / max(slope, 1e-300) - 1 / root)), least),
            1.0,
        )
    )
