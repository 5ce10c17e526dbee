"""Limits of ratios of sums: the bootstrap in several kinds, and those of Wilson and of Bonett and Price.

`sft.evaluation.statistics` says which is used for what, and why.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from sft.arrays import Floats

# least standard error of a bootstrap sample of differences, in observed ones; without it few differences cover 98 times
# in 100
FLOOR = 0.7


# of the differences that are not zero; with fewer on one side, an interval as wide to both sides misses too often
MINORITY = 0.25


CARRIERS_Z = 4.0  # standard errors of the number of samples that carry a rate


CHUNK = 1 << 22  # numbers of a temporary array


class Sums:
    """The columns as ratios: value, residuals of the linearisation, standard error."""

    def __init__(self, numerators: Floats, denominators: Floats) -> None:
        self.n = len(numerators)
        self.total = np.maximum(denominators.sum(axis=0), 1.0)
        self.value = numerators.sum(axis=0) / self.total
        self.above, self.below = numerators, denominators
        residuals = numerators - self.value * denominators
        self.residuals = np.where(
            np.abs(residuals) > 1e-12 * np.abs(numerators), residuals, 0.0
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
        bounds = sums.value - high * sums.error, sums.value - low * sums.error
    return np.where(
        sums.error > 0,
        bounds[0],
        sums.value,
    ), np.where(sums.error > 0, bounds[1], sums.value)


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


def one_more(numerators: Floats, total: Floats) -> Floats:
    """How far one sample more, as large as those that differ are, moves each value."""
    moved: Floats = np.sqrt((numerators**2).sum(axis=0) / np.maximum((numerators != 0).sum(axis=0), 1)) / total
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


def lopsided(numerators: Floats) -> npt.NDArray[np.bool_]:
    """Differences that mostly go one way: few on the other side."""
    up = (numerators > 0).sum(axis=0)
    down = (numerators < 0).sum(axis=0)
    is_lopsided: npt.NDArray[np.bool_] = np.minimum(up, down) < MINORITY * (up + down)
    return is_lopsided


def sided(numerators: Floats, denominators: Floats, *, draws: int, seed: int, tail: float) -> tuple[Floats, Floats]:
    """Limits of differences that mostly go one way: what is gained and what is lost are two rates, each with its own
    skewed interval.

    These are put together by the method of variance estimates recovery (Zou and Donner, Statistics in Medicine 27,
    2008). Of a side that nothing was seen on, as many samples as Wilson's limit allows for none in n are possible, each
    as large as those of the other side.
    """
    columns = numerators.shape[1]
    parts = Sums(
        np.concatenate([np.maximum(numerators, 0.0), np.maximum(-numerators, 0.0)], axis=1),
        np.concatenate([denominators, denominators], axis=1),
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
        one_more(numerators, parts.total[:columns]),
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
