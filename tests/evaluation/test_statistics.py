"""Intervals cover what they say, tests hold their level, and both are what they are on paper."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sft.arrays import Floats
from sft.evaluation.statistics import FEW, MOST, EstimateKind, Interval, Method, holm, intervals, sign_flip

RUNS = 1500  # repetitions, side by side as columns; the coverage found is off by 0.6 % (one standard error)
N = 200
MEAN = 0.05  # true rate of errors


def lengths(rng: np.random.Generator, n: int, runs: int = RUNS) -> Floats:
    return np.round(rng.lognormal(3.2, 0.8, (n, runs))) + 1


def edits(
    rng: np.random.Generator, length: Floats, *, shape: float = 0.5, none: float = 0.0, mean: float = MEAN
) -> Floats:
    """Skewed errors: in a share `none` of the samples none, gamma in the others."""
    rates = np.where(rng.random(length.shape) < none, 0.0, rng.gamma(shape, mean / shape / (1 - none), length.shape))
    return rng.poisson(length * rates).astype(np.float64)


def coverage(found: list[Interval], truth: float) -> float:
    return sum(item.low - 1e-12 <= truth <= item.high + 1e-12 for item in found) / len(found)


@pytest.mark.parametrize(("none", "shape"), [(0.0, 0.5), (0.0, 2.0), (0.7, 1.0), (0.9, 1.0)])
def test_a_cer_is_covered_as_often_as_it_says(none: float, shape: float) -> None:
    rng = np.random.default_rng(11)
    length = lengths(rng, N)
    found = intervals(edits(rng, length, shape=shape, none=none), length, draws=1000)
    assert 0.93 <= coverage(found, MEAN) <= 0.97


def test_other_methods_fall_short_on_skewed_errors() -> None:
    """Why the default is what it is; they are there for figures that must be like those of others."""
    rng = np.random.default_rng(12)
    length = lengths(rng, 100)
    errors = edits(rng, length, none=0.7)
    methods: tuple[Method, ...] = ("studentised", "bca", "percentile")
    rates = [coverage(intervals(errors, length, draws=600, method=method), MEAN) for method in methods]
    assert rates[0] > max(rates[1:])
    assert rates[0] >= 0.92
    assert all(0.82 <= rate <= 0.94 for rate in rates[1:])


@pytest.mark.parametrize(("kind", "share"), [("share", 0.5), ("share", 0.9), ("bounded", 0.5), ("bounded", 0.8)])
def test_means_are_covered(kind: EstimateKind, share: float) -> None:
    rng = np.random.default_rng(13)
    hit = rng.random((N, RUNS)) < share
    scores, truth = (
        (hit.astype(np.float64), share)
        if kind == "share"
        else (np.where(hit, 1.0, rng.beta(2, 2, hit.shape)), share + (1 - share) / 2)
    )
    assert 0.93 <= coverage(intervals(scores, kinds=kind, draws=1000), truth) <= 0.97


@pytest.mark.parametrize("more", [1.0, 1.4])
def test_paired_differences_are_covered(more: float) -> None:
    """Two runs of which 60 % of the answers are the same."""
    rng = np.random.default_rng(14)
    length = lengths(rng, N, 4000)
    base = edits(rng, length)
    tuned = np.where(rng.random(base.shape) < 0.6, base, edits(rng, length, mean=MEAN * more))
    truth = 0.4 * MEAN * (more - 1)
    assert 0.93 <= coverage(intervals(tuned - base, length, kinds="difference", draws=1000), truth) <= 0.97


def one_way(rng: np.random.Generator, case: str) -> tuple[Floats, Floats, float]:
    """(differences, lengths, truth) of runs of which one is nearly everywhere as good as the other or better."""
    length = lengths(rng, N)
    if case == "repaired":  # a third of what is wrong, and nothing else
        return (
            np.where(rng.random(length.shape) < 0.3, -edits(rng, length, none=0.7, shape=1.0), 0.0),
            length,
            -0.3 * MEAN,
        )
    if case == "broken":  # one answer in twenty, by a lot
        bad = rng.random(length.shape) < 0.05
        return np.where(bad, rng.poisson(length * rng.gamma(1, 0.5, length.shape)), 0.0), length, 0.05 * 0.5
    up = np.where(rng.random(length.shape) < 0.2, -1.0, 1.0)  # TEDS, a fifth of the changes for the worse
    return (
        np.where(rng.random(length.shape) < 0.15, rng.beta(2, 5, length.shape), 0.0) * up,
        np.ones(length.shape),
        0.15 * 2 / 7 * 0.6,
    )


@pytest.mark.parametrize("case", ["repaired", "broken", "tables"])
def test_differences_that_go_one_way_are_covered(case: str) -> None:
    """As wide to both sides, their intervals cover the truth 81 to 87 times in 100."""
    above, below, truth = one_way(np.random.default_rng(21), case)
    assert 0.93 <= coverage(intervals(above, below, kinds="difference", draws=1000), truth) <= 0.97


def test_few_runaways_do_not_make_a_limit_without_end() -> None:
    """Where three samples carry all, many bootstrap samples have none of them: without a bound the limit is seventy
    times the rate.
    """
    rng = np.random.default_rng(22)
    length = lengths(rng, 330, 1)[:, 0]
    errors = rng.poisson(length * 0.01).astype(np.float64)
    errors[:3] = 2400
    found = intervals(errors, length)[0]
    assert 0 < found.low < found.value < found.high < 10 * found.value


def test_paired_shares_are_covered() -> None:
    rng = np.random.default_rng(15)
    base = rng.random((N, RUNS)) < 0.7
    tuned = np.where(rng.random(base.shape) < 0.5, base, rng.random(base.shape) < 0.8)
    found = intervals(tuned.astype(float) - base, kinds="share_difference", draws=50)
    assert 0.93 <= coverage(found, 0.5 * 0.1) <= 0.97


def test_documents_are_drawn_whole() -> None:
    """Crops of one document share its quality: as if independent, they promise far too much."""
    rng = np.random.default_rng(16)
    groups = np.repeat(np.arange(120), rng.integers(1, 8, 120))
    length = lengths(rng, len(groups))
    quality = rng.gamma(1, 1, (120, RUNS))[groups]
    errors = rng.poisson(length * MEAN * quality * rng.gamma(1, 1, length.shape)).astype(np.float64)
    grouped, alone = intervals(errors, length, groups=list(groups), draws=1000), intervals(errors, length, draws=1000)
    assert 0.93 <= coverage(grouped, MEAN) <= 0.97
    assert coverage(alone, MEAN) < 0.9
    assert (grouped[0].n, alone[0].n) == (120, len(groups))
    right = (rng.random(length.shape) < 1 / (1 + 0.3 * quality)).astype(np.float64)
    truth = float(np.mean(1 / (1 + 0.3 * rng.gamma(1, 1, 2_000_000))))
    assert 0.93 <= coverage(intervals(right, groups=list(groups), kinds="share", draws=50), truth) <= 0.97


def test_the_test_holds_its_level() -> None:
    rng = np.random.default_rng(17)
    length = lengths(rng, 60)
    ps = np.array(sign_flip(edits(rng, length) - edits(rng, length), flips=1000))
    assert 0.03 <= np.mean(ps < 0.05) <= 0.07
    worse = np.array(sign_flip(edits(rng, length, mean=0.2) - edits(rng, length), flips=1000))
    assert np.mean(worse < 0.05) > 0.8
    families = ps.reshape(-1, 20)  # of 20 tests each, in which nothing differs
    assert (
        np.mean([min(holm(list(family))) < 0.05 for family in families])
        <= 0.12
        < np.mean([min(family) < 0.05 for family in families])
    )


@pytest.mark.parametrize("sizes", ["equal", "edits", "real"])
def test_a_small_p_is_as_if_all_signs_were_tried(sizes: str) -> None:
    rng = np.random.default_rng(19)
    count, checked = 16, 0
    signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
    for minus in range(4):
        values = {
            "equal": np.ones(count),
            "edits": np.round(rng.gamma(1, 8, count)) + 1,
            "real": rng.gamma(1, 1, count),
        }[sizes]
        values[:minus] *= -1
        true = float(np.mean(np.abs(signs @ values) >= abs(values.sum()) - 1e-9))
        if true < 0.004:
            checked += 1
            assert 0.85 * true <= sign_flip(values)[0] <= 1.65 * true
    assert checked


def test_p_is_small_enough_for_hundreds_of_lines() -> None:
    """5000 random signs alone cannot say less than 1/5001, which no correction over 300 tests leaves below 0.05."""
    differences = np.abs(np.random.default_rng(20).normal(size=300))
    p = sign_flip(differences)[0]
    assert 0 < p < 1e-20
    assert holm([p] + [0.5] * 500)[0] < 0.05


def test_few_differences_are_tried_out() -> None:
    assert sign_flip([1.0, 1, 1, 1, 1, 0, 0]) == [2 / 32]
    assert sign_flip([3.0, -1.0]) == [1.0]  # |±3 ∓ 1|: two of four are 2, two are 4
    assert sign_flip([[0.0, 2.0], [0.0, 1.0]]) == [1.0, 0.5]
    assert sign_flip(np.zeros((0, 2))) == [1.0, 1.0]
    assert sign_flip([1.0, 1, 1, 1], groups=["a", "a", "b", "b"]) == [0.5]
    by_chance = sign_flip(np.ones(13), flips=5000)[0]
    assert 1 / 5001 <= by_chance < 0.003  # truth: 2 / 8192


def test_wilson_as_published() -> None:
    """Wilson's limits of 81 of 263 (Newcombe, Statistics in Medicine 17, 1998, table I: 0.2553 to 0.3662)."""
    found = intervals([1.0] * 81 + [0.0] * 182, kinds="share")[0]
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    none = intervals(np.zeros(20), kinds="share")[0]
    assert (none.low, round(none.high, 4)) == (0.0, 0.1611)  # the same table: 0 of 20


def test_differences_of_shares() -> None:
    """Bonett and Price (2012): of 30 pairs 12 one way and 2 the other; (13 - 3) / 32 ± 1.96 · sqrt((16/32 - (10/32)²)
    / 32).
    """
    found = intervals([1.0] * 12 + [-1.0] * 2 + [0.0] * 16, kinds="share_difference")[0]
    half = 1.959964 * ((16 / 32 - (10 / 32) ** 2) / 32) ** 0.5
    assert (found.value, found.low, found.high) == pytest.approx((1 / 3, 10 / 32 - half, 10 / 32 + half), abs=1e-6)
    assert intervals(np.zeros(100), kinds="share_difference")[0].high > 0


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_cannot_be_known() -> None:
    perfect = intervals(np.ones(20), kinds="bounded")[0]
    assert (perfect.value, perfect.high, perfect.few) == (1.0, 1.0, True)
    assert 0.8 < perfect.low < 0.9  # twenty right answers do not make a perfect model
    clean = intervals(np.zeros(400), np.full(400, 20.0))[0]
    assert clean.low == 0 and 0 < clean.high < 0.02 and not clean.few
    single = intervals([3.0], [10.0])[0]
    assert (single.value, single.n, single.few) == (0.3, 1, True)
    endless = intervals([30.0] * 5, [10.0] * 5)[0]
    assert (endless.value, endless.high) == (3.0, float("inf"))
    runaway = intervals([1.0] * 99 + [900.0], [20.0] * 100)[0]
    assert runaway.one and not runaway.few and np.isfinite(runaway.high)
    assert not intervals(np.arange(100.0), kinds="difference")[0].one
    assert intervals([0.0, 0.0], [0.0, 0.0])[0].value == 0
    lone = intervals([0.0] * 99 + [0.5], kinds="difference")[0]
    assert lone.low < 0 < lone.high < 0.1


@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.floats(0, 1)),
    st.sampled_from(["bounded", "rate", "difference"]),
)
@settings(max_examples=60, deadline=None)
def test_limits_are_limits(scores: Floats, kind: EstimateKind) -> None:
    for item, column in zip(intervals(scores, kinds=kind, draws=100), scores.T, strict=True):
        assert item.value == pytest.approx(column.mean())
        assert item.low <= item.value + 1e-9 and item.high >= item.value - 1e-9
        assert kind == "difference" or item.low >= 0
        assert kind != "bounded" or item.high <= 1
        assert item.few == (len(column) < FEW)
    assert intervals(scores, kinds=kind, draws=100) == intervals(scores, kinds=kind, draws=100)


def test_many_samples_are_summed_up_first() -> None:
    rng = np.random.default_rng(18)
    scores = rng.random(40_000)
    found = intervals(scores, kinds="difference", draws=500)[0]
    assert found.n == MOST and found.value == pytest.approx(scores.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * scores.std() / 200, rel=0.1)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="no samples"):
        intervals([])
    with pytest.raises(ValueError, match="2 kinds for 1 columns"):
        intervals([1.0], kinds=["rate", "share"])
    with pytest.raises(ValueError, match="1 groups for 2 samples"):
        intervals([1.0, 2.0], groups=["a"])


def test_limits_make_sense() -> None:
    """A length is not negative, a difference of scores is at most 1, and one runaway tells no upper limit."""
    lengths = [1.0] * 10 + [40.0]
    for item in intervals(np.array([lengths, lengths]).T, kinds="amount"):
        assert 0 <= item.low <= item.value <= item.high < float("inf")
    (item,) = intervals([1.0] * 11 + [0.5], kinds="bounded_difference")
    assert -1 <= item.low <= item.value <= item.high <= 1
    (item,) = intervals([0.0] * 51 + [0.05 + place / 1000 for place in range(48)] + [200.0], kinds="rate")
    assert item.one and item.high == float("inf")
    (item,) = intervals([0.0] * 199 + [1.0], kinds="rate")  # of one small error, the limit is worth something
    assert item.one and item.value < item.high < 1
