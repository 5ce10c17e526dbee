"""How sure a score is: intervals for means and ratios of sums, paired differences, tests; numpy only, seeded, in bounded memory.

Every score of a set is a ratio of two sums over its samples: CER is sum(edits) / sum(reference lengths), a mean is
sum(scores) / sum(1). Samples that come in groups (the crops of one document) are not independent; they are summed up
first, and the groups are what is drawn. A paired difference is a ratio too, its numerators being differences.

Which interval. Errors of OCR are skewed: most samples have none, a few have many. Simulated with such errors (n = 200,
coverage of the 95 % interval of a CER; `tests/test_statistics.py` repeats it):

    errors in a sample                        percentile    BCa    studentised
    gamma (every sample some)                       92.6   91.9           94.1
    70 % without any, the others many               91.5   91.7           93.8
    95 % without any                                82.1   87.2           96.5

so the studentised bootstrap ("bootstrap-t": Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 12) is the
default, its standard error by linearisation. Differences are heavy on both sides; for them the symmetric studentised interval
covers 93 to 96 times in 100 at n = 200, the one with equal tails 92 to 94. Shares of samples (exact match) take Wilson's interval, and their paired
differences that of Bonett and Price (2012), with the number of samples that groups leave. Where the bootstrap cannot know
anything, all samples being alike, a score within 0 and 1 has Wilson's limits, which hold for every variable of that range.

No method knows of what is not in the sample: if one answer in 200 is a runaway eight times too long, 100 samples cover the true CER 54
times in 100. `Interval.few` and `one` warn as far as the sample tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Method = Literal["studentised", "bca", "percentile"]
# share: 0 or 1 for each sample; bounded: 0 to 1; rate: from 0 on; difference: any number; share_difference: -1, 0 or 1
Kind = Literal["share", "bounded", "rate", "difference", "share_difference"]
SHARES = ("share", "share_difference")
LEVEL = 0.95
DRAWS = 2000  # bootstrap samples
FLIPS = 5000  # random signs of the paired test; the smallest p is 1 / (FLIPS + 1)
EXACT = 12  # differences that are not zero up to which all signs are tried: 4096
FLOOR = 0.7  # least standard error of a bootstrap sample of differences, in observed ones; without it few differences cover 98 times in 100
FEW = 50  # independent samples below which an interval is no more than a hint: at 30, skewed errors are covered 91 times in 100
HALF = 0.5  # of the squared spread; one sample that carries more decides the score
MOST = 5_000  # independent samples; more are summed up at random first, which changes no sum and no spread
CHUNK = 1 << 22  # numbers of a temporary array


class Interval(NamedTuple):
    """`value` with its limits; `n` independent samples or groups.

    `few`: fewer than FEW, too few to trust the limits. `one`: a single sample or group carries more than half of the squared
    spread, such as a runaway answer: look at it before the score. `high` is infinite where nothing is known of it.
    """

    value: float
    low: float
    high: float
    n: int
    few: bool
    one: bool = False


def intervals(
    numerators: npt.ArrayLike, denominators: npt.ArrayLike | None = None, *, groups: Sequence[object] | None = None, kinds: Sequence[Kind] | Kind = "rate",
    level: float = LEVEL, draws: int = DRAWS, seed: int = 1, method: Method = "studentised",
) -> list[Interval]:  # fmt: skip
    """sum(numerators) / max(sum(denominators), 1) of every column, each with an interval of `level`.

    numerators: shape (samples, columns) or (samples,); denominators: the same, not negative; None: 1, which gives means.
    groups: a key per sample; equal keys are one draw. kinds: of all columns, or of each. All columns share the draws, so that the
    cost of 40 metrics is little more than that of one. The same input and seed give the same limits.
    Raises ValueError: no samples, or shapes that do not fit.
    """
    above, below = _columns(numerators, denominators)
    if len(above) == 0:
        raise ValueError("no samples, no interval")
    each: Sequence[Kind] = [kinds] * above.shape[1] if isinstance(kinds, str) else kinds
    if len(each) != above.shape[1]:
        raise ValueError(f"{len(each)} kinds for {above.shape[1]} columns")
    sums = _Sums(*_summed([above, below], groups, seed))
    deltas, errors = _draws(sums, draws, seed) if sums.n > 1 else (np.zeros((1, above.shape[1])), np.zeros((1, above.shape[1])))
    low, high = _LIMITS[method](sums, deltas, errors, (1 - level) / 2)
    around = _symmetric(sums, deltas, errors, level)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    found = []
    for column, kind in enumerate(each):
        limits = float(low[column]), float(high[column])
        if method == "studentised":
            limits = around[column] if kind == "difference" else _mended(kind, sums, column, limits, around[column], z, above[:, column])
        found.append(Interval(float(sums.value[column]), *limits, sums.n, sums.n < FEW, kind not in SHARES and bool(sums.largest[column] > HALF)))
    return found


def sign_flip(differences: npt.ArrayLike, *, groups: Sequence[object] | None = None, flips: int = FLIPS, seed: int = 1) -> list[float]:
    """p of each column: how often a sum as far from 0 arises if each paired difference were as likely with the other sign.

    differences: shape (samples, columns) or (samples,). Two-sided; exact up to EXACT differences that are not zero, else by `flips`
    random signs, the observed ones counted in (Phipson and Smyth 2010), so never 0. No difference at all: 1.
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
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        highest = max(highest, min(1.0, ps[index] * (len(ps) - rank)))
        result[index] = highest
    return result


class _Sums:
    """The columns as ratios: value, residuals of the linearisation, standard error."""

    def __init__(self, above: Floats, below: Floats) -> None:
        self.n = len(above)
        self.total = np.maximum(below.sum(axis=0), 1.0)
        self.value = above.sum(axis=0) / self.total
        self.below = below
        residuals = above - self.value * below
        self.residuals = np.where(np.abs(residuals) > 1e-12 * np.abs(above), residuals, 0.0)  # not what rounding leaves of nothing
        squares = self.residuals**2
        self.spread = np.sqrt(squares.sum(axis=0))
        self.error = self.spread / self.total * np.sqrt(self.n / max(self.n - 1, 1))
        self.largest = np.divide(squares.max(axis=0), self.spread**2, out=np.zeros_like(self.spread), where=self.spread > 0)


def _columns(numerators: npt.ArrayLike, denominators: npt.ArrayLike | None) -> tuple[Floats, Floats]:
    above = np.asarray(numerators, np.float64)
    above = above[:, None] if above.ndim == 1 else above
    below = np.ones_like(above) if denominators is None else np.asarray(denominators, np.float64)
    below = np.broadcast_to(below[:, None] if below.ndim == 1 else below, above.shape)
    return above, below


def _summed(parts: list[Floats], groups: Sequence[object] | None, seed: int) -> list[Floats]:
    """Groups, and what is too many, as one row each."""
    n = len(parts[0])
    keys: Ints = np.arange(n)
    if groups is not None:
        if len(groups) != n:
            raise ValueError(f"{len(groups)} groups for {n} samples")
        number: dict[object, int] = {}
        keys = np.array([number.setdefault(group, len(number)) for group in groups], np.int64)
    count = int(keys.max()) + 1
    if count > MOST:
        keys = (np.random.default_rng(seed).permutation(count) % MOST)[keys]
        count = MOST
    if count == n:
        return parts
    return [np.stack([np.bincount(keys, weights=column, minlength=count) for column in part.T], axis=1) for part in parts]


def _draws(sums: _Sums, draws: int, seed: int) -> tuple[Floats, Floats]:
    """Of every bootstrap sample: how far its value is from the observed one, and its own standard error; shape (draws, columns)."""
    n, rng = sums.n, np.random.default_rng(seed)
    e, d = sums.residuals, sums.below
    table = np.concatenate([e, d, e * e, e * d, d * d], axis=1)
    rows = max(1, CHUNK // n)
    deltas, errors = [], []
    for begin in range(0, draws, rows):
        size = min(rows, draws - begin)
        picked = rng.integers(0, n, (size, n), dtype=np.int32) + n * np.arange(size)[:, None]
        weights = np.bincount(picked.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
        se, sd, see, sed, sdd = np.split(weights @ table, 5, axis=1)
        sd = np.maximum(sd, 1.0)
        delta = se / sd
        variance = np.maximum(see - 2 * delta * sed + delta * delta * sdd, 0.0)
        variance[variance < 1e-12 * see] = 0.0  # what rounding leaves of nothing
        deltas.append(delta)
        errors.append(np.sqrt(variance * (n / (n - 1))) / sd)
    return np.concatenate(deltas), np.concatenate(errors)


def _percentile(sums: _Sums, deltas: Floats, errors: Floats, tail: float) -> tuple[Floats, Floats]:
    low, high = np.quantile(deltas, [tail, 1 - tail], axis=0)
    return sums.value + low, sums.value + high


def _bca(sums: _Sums, deltas: Floats, errors: Floats, tail: float) -> tuple[Floats, Floats]:
    """Efron's bias-corrected and accelerated percentiles; the acceleration by linearisation."""
    normal = NormalDist()
    share = np.clip((deltas < 0).mean(axis=0) + 0.5 * (deltas == 0).mean(axis=0), 0.5 / len(deltas), 1 - 0.5 / len(deltas))
    cubes = (sums.residuals**3).sum(axis=0)
    acceleration = np.divide(cubes, 6 * sums.spread**3, out=np.zeros_like(cubes), where=sums.spread > 0)
    limits = np.empty((2, deltas.shape[1]))
    for side, z in enumerate((normal.inv_cdf(tail), normal.inv_cdf(1 - tail))):
        for column in range(deltas.shape[1]):
            bias = normal.inv_cdf(float(share[column]))
            rank = normal.cdf(bias + (bias + z) / (1 - float(acceleration[column]) * (bias + z)))
            limits[side, column] = np.quantile(deltas[:, column], rank)
    return sums.value + limits[0], sums.value + limits[1]


def _studentised(sums: _Sums, deltas: Floats, errors: Floats, tail: float) -> tuple[Floats, Floats]:
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(deltas == 0, 0.0, deltas / errors)  # no spread in a sample that is off: infinite
    low = np.quantile(t, tail, axis=0, method="lower")
    high = np.quantile(t, 1 - tail, axis=0, method="higher")
    with np.errstate(invalid="ignore"):
        found = sums.value - high * sums.error, sums.value - low * sums.error
    return np.where(sums.error > 0, found[0], sums.value), np.where(sums.error > 0, found[1], sums.value)


def _symmetric(sums: _Sums, deltas: Floats, errors: Floats, level: float) -> list[tuple[float, float]]:
    """As far to one side as to the other; a bootstrap sample without the few differences there are is given some spread."""
    t = np.abs(deltas) / np.maximum(errors, np.where(sums.error > 0, FLOOR * sums.error, 1.0))
    half = np.quantile(t, level, axis=0, method="higher") * sums.error
    return [(float(value - wide), float(value + wide)) for value, wide in zip(sums.value, half, strict=True)]


_LIMITS = {"percentile": _percentile, "bca": _bca, "studentised": _studentised}


def _mended(kind: Kind, sums: _Sums, column: int, limits: tuple[float, float], around: tuple[float, float], z: float, above: Floats) -> tuple[float, float]:
    """The limits by what the kind of score is known to be."""
    value, error = float(sums.value[column]), float(sums.error[column])
    total = float(sums.total[column])
    if kind == "share_difference":
        return _bonett_price(above, total, _variance(sums, column), value, z)
    inside = min(max(value, 0.0), 1.0)
    if kind == "share":
        independent = inside * (1 - inside) / _variance(sums, column) if error > 0 else float(sums.n)
        return _wilson(inside, min(max(independent, 1.0), total), z)
    wide = _wilson(inside, float(sums.n), z)
    if error == 0:
        return wide if value <= 1 else (value, float("inf"))
    if kind == "bounded":
        return max(limits[0], wide[0]), min(limits[1], wide[1])
    low, high = (limit if np.isfinite(limit) else other for limit, other in zip(limits, (around[0], max(around[1], wide[1])), strict=True))
    return max(low, 0.0), high


def _variance(sums: _Sums, column: int) -> float:
    """Of the value, as if its n draws were all there is: for independent shares exactly share · (1 - share) / n."""
    return float(sums.spread[column] / sums.total[column]) ** 2


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, middle - half), min(1.0, middle + half)


def _bonett_price(differences: Floats, n: float, variance: float, value: float, z: float) -> tuple[float, float]:
    """One sample more on either side, as if two more had been seen; groups that agree count for fewer samples."""
    spread = float((differences**2).sum()) / n - value * value  # of one sample
    independent = min(max(spread / variance, 1.0), n) if variance > 0 and spread > 0 else n
    better, worse = (float((differences == sign).sum()) / n * independent + 1 for sign in (1, -1))
    n = independent + 2
    middle = (better - worse) / n
    half = z * float(np.sqrt(max((better + worse) / n - middle * middle, 0.0) / n))
    return max(-1.0, middle - half), min(1.0, middle + half)


def _as_far(sums: Floats, values: Floats) -> npt.NDArray[np.bool_]:
    """Which sums are at least as far from 0 as that of `values`, rounding forgiven."""
    found: npt.NDArray[np.bool_] = np.abs(sums) >= np.abs(values.sum(axis=0)) - 1e-9 * np.abs(values).sum(axis=0)
    return found


def _flipped(units: Floats, flips: int, seed: int) -> Floats:
    n, rng = len(units), np.random.default_rng(seed)
    rows = max(1, CHUNK // n)
    as_far = np.zeros(units.shape[1])
    for begin in range(0, flips, rows):
        size = min(rows, flips - begin)
        bits = np.unpackbits(rng.integers(0, 256, (size, -(-n // 8)), dtype=np.uint8), axis=1, count=n)
        as_far += _as_far(2 * (bits.astype(np.float64) @ units) - units.sum(axis=0), units).sum(axis=0)
    return (as_far + 1) / (flips + 1)
