"""How sure a score is: intervals for means and ratios of sums, paired differences, tests; numpy only, seeded, in
bounded memory.

Every score of a set is a ratio of two sums over its samples: CER is sum(edits) / sum(reference lengths), a mean is
sum(scores) / sum(1). Samples that come in groups (the crops of one document) are not independent; they are summed up
first, and the groups are what is drawn. A paired difference is a ratio too, its numerators being differences.

Which interval. Errors of OCR are skewed: most samples have none, a few have many. Simulated with such errors (n = 200,
coverage of the 95 % interval of a CER; `tests/test_statistics.py` repeats it):

    errors in a sample                        percentile    BCa    studentised
    gamma (every sample some)                       92.6   91.9           94.1
    70 % without any, the others many               91.5   91.7           93.8
    95 % without any                                82.1   87.2           96.5

so the studentised bootstrap ("bootstrap-t": Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 12)
is the default, its standard error by linearisation. Differences are heavy on both sides; for them the symmetric
studentised interval is better, with one sample more on either side. Where nearly all differences go one way, it covers
81 to 87 times in 100 at n = 200; then gains and losses are two rates, whose intervals are joined (see `bounds.sided`:
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

# least standard error of a bootstrap sample of differences, in observed ones; without it few differences cover 98 times
# in 100
FLOOR = 0.7
# of the differences that are not zero; with fewer on one side, an interval as wide to both sides misses too often
MINORITY = 0.25
CARRIERS_Z = 4.0  # standard errors of the number of samples that carry a rate
CHUNK = 1 << 22  # numbers of a temporary array


class Sums:
    """The columns as ratios: value, residuals of the linearisation, standard error."""

    def __init__(self, above: Floats, below: Floats) -> None:
        self.n = len(above)
        self.total = np.maximum(below.sum(axis=0), 1.0)
        self.value = above.sum(axis=0) / self.total
        self.above, self.below = above, below
        residuals = above - self.value * below
        self.residuals = np.where(
            np.abs(residuals) > 1e-12 * np.abs(above), residuals, 0.0
        )  # not what rounding leaves of nothing
        squares = self.residuals**2
        self.spread = np.sqrt(squares.sum(axis=0))
        self.error = self.spread / self.total * np.sqrt(self.n / max(self.n - 1, 1))
        self.largest = np.divide(
            squares.max(axis=0), self.spread**2, out=np.zeros_like(self.spread), where=self.spread > 0
        )


def draw(sums: Sums, draws: int, seed: int) -> tuple[Floats, Floats]:
    """Of every bootstrap sample: how far its value is from the observed one, and its own standard error; shape (draws,
    columns).
    """
    n = sums.n
    rng = np.random.default_rng(seed)
    e = sums.residuals
    d = sums.below
    table = np.concatenate(
        [e, d, e * e, e * d, d * d],
        axis=1,
    )
    rows = max(1, CHUNK // n)
    deltas, errors = [], []
    for begin in range(0, draws, rows):
        size = min(rows, draws - begin)
        picked = (
            rng.integers(
                0,
                n,
                (size, n),
                dtype=np.int32,
            )
            + n * np.arange(size)[:, None]
        )
        weights = (
            np.bincount(picked.ravel(), minlength=size * n)
            .reshape(
                size,
                n,
            )
            .astype(np.float64)
        )
        se, sd, see, sed, sdd = np.split(weights @ table, 5, axis=1)
        sd = np.maximum(sd, 1.0)
        delta = se / sd
        variance = np.maximum(
            see - 2 * delta * sed + delta * delta * sdd,
            0.0,
        )
        variance[variance < 1e-12 * see] = 0.0  # what rounding leaves of nothing
        deltas.append(delta)
        errors.append(np.sqrt(variance * (n / (n - 1))) / sd)
    return np.concatenate(deltas), np.concatenate(errors)


def percentile(sums: Sums, deltas: Floats, errors: Floats, tail: float) -> tuple[Floats, Floats]:
    """The limits between which the middle bootstrap samples lie, with `tail` of them beyond either."""
    low, high = np.quantile(deltas, [tail, 1 - tail], axis=0)
    return sums.value + low, sums.value + high


def bca(sums: Sums, deltas: Floats, errors: Floats, tail: float) -> tuple[Floats, Floats]:
    """Efron's bias-corrected and accelerated percentiles; the acceleration by linearisation."""
    normal = NormalDist()
    share = np.clip(
        (deltas < 0).mean(axis=0) + 0.5 * (deltas == 0).mean(axis=0), 0.5 / len(deltas), 1 - 0.5 / len(deltas)
    )
    cubes = (sums.residuals**3).sum(axis=0)
    acceleration = np.divide(
        cubes,
        6 * sums.spread**3,
        out=np.zeros_like(cubes),
        where=sums.spread > 0,
    )
    limits = np.empty((2, deltas.shape[1]))
    for side, z in enumerate((normal.inv_cdf(tail), normal.inv_cdf(1 - tail))):
        for column in range(deltas.shape[1]):
            bias = normal.inv_cdf(float(share[column]))
            rank = normal.cdf(bias + (bias + z) / (1 - float(acceleration[column]) * (bias + z)))
            limits[side, column] = np.quantile(deltas[:, column], rank)
    return sums.value + limits[0], sums.value + limits[1]


def studentised(sums: Sums, deltas: Floats, errors: Floats, tail: float) -> tuple[Floats, Floats]:
    """Bootstrap-t with equal tails; infinite where bootstrap samples are off without any spread of their own."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(deltas == 0, 0.0, deltas / errors)  # no spread in a sample that is off: infinite
    low = np.quantile(t, tail, axis=0, method="lower")
    high = np.quantile(t, 1 - tail, axis=0, method="higher")
    with np.errstate(invalid="ignore"):
        found = sums.value - high * sums.error, sums.value - low * sums.error
    return np.where(
        sums.error > 0,
        found[0],
        sums.value,
    ), np.where(sums.error > 0, found[1], sums.value)


def symmetric_limits(
    sums: Sums, deltas: Floats, errors: Floats, level: float, more: Floats | None = None
) -> tuple[Floats, Floats]:
    """As far to one side as to the other; a bootstrap sample without the few differences there are is given some
    spread.

    more: how far one sample more on either side would move each value; see `one_more`.
    """
    t = np.abs(deltas) / np.maximum(
        errors,
        np.where(sums.error > 0, FLOOR * sums.error, 1.0),
    )
    half = np.quantile(t, level, axis=0, method="higher") * (
        sums.error
        if more is None
        else np.where(
            sums.error > 0,
            np.sqrt(sums.error**2 + 2 * more**2),
            0.0,
        )
    )
    return sums.value - half, sums.value + half


def on_root_scale(sums: Sums, deltas: Floats, errors: Floats, tail: float) -> tuple[Floats, Floats]:
    """The studentised limits of square roots, squared; for values from 0 on. Finite where a bootstrap sample without
    any spread makes the others infinite.
    """
    drawn = np.maximum(sums.value + deltas, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(
            deltas == 0,
            0.0,
            (np.sqrt(drawn) - np.sqrt(sums.value)) * 2 * np.sqrt(drawn) / errors,
        )
        t = np.where(
            np.isnan(t) | (drawn == 0),
            -np.inf,
            t,
        )
        wide = sums.error / (2 * np.sqrt(sums.value))
        low = np.sqrt(sums.value) - np.quantile(t, 1 - tail, axis=0, method="higher") * wide
        high = np.sqrt(sums.value) - np.quantile(t, tail, axis=0, method="lower") * wide
    return np.where(
        sums.error > 0,
        np.maximum(low, 0.0) ** 2,
        sums.value,
    ), np.where(sums.error > 0, high**2, sums.value)


def one_more(above: Floats, total: Floats) -> Floats:
    """How far one sample more, as large as those that differ are, moves each value."""
    moved: Floats = np.sqrt((above**2).sum(axis=0) / np.maximum((above != 0).sum(axis=0), 1)) / total
    return moved


def most(sums: Sums) -> Floats:
    """What a rate from 0 on can at most be, however few samples carry it: Wilson's limit for their number, times their
    size.

    Where all of a rate is in three samples, one bootstrap sample in twenty has none of these, and the studentised limit
    is a hundred times the rate.
    """
    squares = (sums.above**2).sum(axis=0)
    carry = np.maximum(
        np.divide(sums.above.sum(axis=0) ** 2, squares, out=np.ones(len(squares)), where=squares > 0), 1.0
    )
    return np.asarray(
        sums.value * (carry + CARRIERS_Z**2 / 2 + CARRIERS_Z * np.sqrt(carry + CARRIERS_Z**2 / 4)) / carry, np.float64
    )


def lopsided(above: Floats) -> npt.NDArray[np.bool_]:
    """Differences that mostly go one way: few on the other side."""
    up = (above > 0).sum(axis=0)
    down = (above < 0).sum(axis=0)
    found: npt.NDArray[np.bool_] = np.minimum(up, down) < MINORITY * (up + down)
    return found


def sided(above: Floats, below: Floats, *, draws: int, seed: int, tail: float) -> tuple[Floats, Floats]:
    """Limits of differences that mostly go one way: what is gained and what is lost are two rates, each with its own
    skewed interval.

    These are put together by the method of variance estimates recovery (Zou and Donner, Statistics in Medicine 27,
    2008). Of a side that nothing was seen on, as many samples as Wilson's limit allows for none in n are possible, each
    as large as those of the other side.
    """
    columns = above.shape[1]
    parts = Sums(
        np.concatenate([np.maximum(above, 0.0), np.maximum(-above, 0.0)], axis=1),
        np.concatenate([below, below], axis=1),
    )
    deltas, errors = draw(parts, draws, seed)
    low, high = studentised(parts, deltas, errors, tail)
    low_2, high_2 = on_root_scale(parts, deltas, errors, tail)
    known = np.isfinite(low) & np.isfinite(high)
    low = np.where(known, low, low_2)
    high = np.where(known, high, high_2)
    unseen = NormalDist().inv_cdf(1 - tail) ** 2
    unseen *= parts.n / (parts.n + unseen)
    more = np.tile(
        one_more(above, parts.total[:columns]),
        2,
    )
    open_end = ~np.isfinite(high) | (parts.error == 0)
    high = np.where(
        open_end,
        parts.value + unseen * more,
        high,
    )
    low = np.clip(
        np.where(np.isfinite(low), low, 0.0),
        0.0,
        parts.value,
    )
    high = np.maximum(
        np.where(parts.error > 0, np.minimum(high, most(parts)), high),
        parts.value,
    )
    covariance = (parts.residuals[:, :columns] * parts.residuals[:, columns:]).sum(axis=0)
    scale = parts.spread[:columns] * parts.spread[columns:]
    together = np.divide(
        covariance,
        scale,
        out=np.zeros(columns),
        where=scale > 0,
    )
    gain = slice(0, columns)
    loss = slice(columns, 2 * columns)
    value = parts.value[:columns] - parts.value[columns:]
    down = parts.value - low
    up = high - parts.value

    def joined(one: Floats, other: Floats) -> Floats:
        far: Floats = np.sqrt(
            np.maximum(
                one**2 + other**2 - 2 * together * one * other,
                0.0,
            )
        )
        return far

    return value - joined(down[gain], up[loss]), value + joined(up[gain], down[loss])


def variance_of(sums: Sums, column: int) -> float:
    """Of the value, as if its n draws were all there is: for independent shares exactly share · (1 - share) / n."""
    return float(sums.spread[column] / sums.total[column]) ** 2


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's limits (1927) of a share of n independent samples."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, middle - half), min(1.0, middle + half)


def bonett_price(differences: Floats, n: float, variance: float, value: float, z: float) -> tuple[float, float]:
    """One sample more on either side, as if two more had been seen; groups that agree count for fewer samples."""
    spread = float((differences**2).sum()) / n - value * value  # of one sample
    independent = min(max(spread / variance, 1.0), n) if variance > 0 and spread > 0 else n
    better, worse = (float((differences == sign).sum()) / n * independent + 1 for sign in (1, -1))
    n = independent + 2
    middle = (better - worse) / n
    half = z * float(
        np.sqrt(
            max(
                (better + worse) / n - middle * middle,
                0.0,
            )
            / n
        )
    )
    return max(-1.0, middle - half), min(1.0, middle + half)


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
    above, below = _columns(numerators, denominators)
    if len(above) == 0:
        raise ValueError("no samples, no interval")
    each: Sequence[EstimateKind] = [kinds] * above.shape[1] if isinstance(kinds, str) else kinds
    if len(each) != above.shape[1]:
        raise ValueError(f"{len(each)} kinds for {above.shape[1]} columns")
    sums = Sums(*_summed([above, below], groups, seed))
    deltas, errors = (
        draw(sums, draws, seed) if sums.n > 1 else (np.zeros((1, above.shape[1])), np.zeros((1, above.shape[1])))
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
    found = []
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
                    above[:, column],
                )
        found.append(
            Interval(
                float(sums.value[column]),
                *limits,
                sums.n,
                sums.n < FEW,
                kind not in SHARES and bool(sums.largest[column] > HALF),
            )
        )
    return found


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
    above = np.asarray(numerators, np.float64)
    above = above[:, None] if above.ndim == 1 else above
    below = np.ones_like(above) if denominators is None else np.asarray(denominators, np.float64)
    below = np.broadcast_to(
        below[:, None] if below.ndim == 1 else below,
        above.shape,
    )
    return above, below


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
    above = sums.above[:, at]
    below = sums.below[:, at]
    low, high = symmetric_limits(
        sums,
        deltas,
        errors,
        level,
        one_more(sums.above, sums.total),
    )
    yield from ((column, (float(low[column]), float(high[column]))) for column in at)
    one_way = np.flatnonzero(lopsided(above) & (sums.error[at] > 0))
    if len(one_way) and sums.n > 1:
        low, high = sided(
            above[:, one_way],
            below[:, one_way],
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
    above: Floats,
) -> tuple[float, float]:
    """The limits by what the kind of score is known to be."""
    value = float(sums.value[column])
    error = float(sums.error[column])
    total = float(sums.total[column])
    if kind == "share_difference":
        return bonett_price(above, total, variance_of(sums, column), value, z)
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
    found: npt.NDArray[np.bool_] = np.abs(sums) >= np.abs(values.sum(axis=0)) - 1e-9 * np.abs(values).sum(axis=0)
    return found


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
