"""Scores, differences and tests of some of the samples, all metrics of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sft.arrays import Floats
from sft.evaluation import statistics
from sft.evaluation.scores import HEADLINE, SCORES, Pair, ScoreKind
from sft.evaluation.statistics import Interval, holm, intervals, sign_flip

ALPHA = 0.05
HEADLINES = frozenset(HEADLINE.values())
_KINDS: dict[ScoreKind, statistics.EstimateKind] = {
    "share": "share_difference",
    "bounded": "bounded_difference",
    "rate": "difference",
    "number": "difference",
}
_OF: dict[ScoreKind, statistics.EstimateKind] = {
    "share": "share",
    "bounded": "bounded",
    "rate": "rate",
    "number": "amount",
}


@dataclass(frozen=True)
class Measured:
    """One metric over n samples: every run's score; every further run's difference from the first, its p, and (wins,
    losses, ties).
    """

    metric: str
    n: int
    scores: tuple[Interval, ...]
    deltas: tuple[Interval, ...]
    ps: tuple[float, ...]
    won: tuple[tuple[int, int, int], ...]


@dataclass
class EstimateTable:
    """The pairs of every run and sample as arrays; what is measured over the same samples is measured once.

    runs: per run the pairs of its samples, all in one order. groups: a key per sample; None: all independent.
    """

    runs: Sequence[Sequence[Mapping[str, Pair]]]
    groups: Sequence[str] | None
    seed: int
    above: dict[str, Floats] = field(init=False)  # metric → (samples, runs)
    below: dict[str, Floats] = field(init=False)  # metric → (samples,): a reference's length is the same in all runs
    there: dict[str, npt.NDArray[np.bool_]] = field(init=False)  # metric → (samples,)
    known: dict[bytes, dict[str, Measured]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Fill the arrays."""
        n = len(self.runs[0])
        used = dict.fromkeys(name for sample in self.runs[0] for name in sample)
        self.above = {name: np.zeros((n, len(self.runs))) for name in SCORES if name in used}
        self.below = {name: np.zeros(n) for name in self.above}
        self.there = {name: np.zeros(n, np.bool_) for name in self.above}
        for column, run in enumerate(self.runs):
            for place, sample in enumerate(run):
                for name, (numerator, denominator) in sample.items():
                    self.above[name][place, column] = numerator
                    self.below[name][place] = denominator
                    self.there[name][place] = True


def measure(table: EstimateTable, places: Sequence[int]) -> list[Measured]:
    """Every metric that at least one of these samples has, in the order of SCORES."""
    at = np.array(places, np.int64)
    together: dict[bytes, list[str]] = {}
    for name, there in table.there.items():
        chosen = at[there[at]]
        if len(chosen):
            together.setdefault(chosen.tobytes(), []).append(name)
    by_name: dict[str, Measured] = {}
    for key, names in together.items():
        done = table.known.setdefault(key, {})
        missing = [name for name in names if name not in done]
        if missing:
            done |= _measure(table, np.frombuffer(key, np.int64), missing)
        by_name |= {name: done[name] for name in names}
    return [by_name[name] for name in table.there if name in by_name]


def _measure(table: EstimateTable, at: npt.NDArray[np.int64], names: Sequence[str]) -> dict[str, Measured]:
    """All metrics that exactly these samples have, from one set of draws."""
    runs = len(table.runs)
    scores = np.concatenate(
        [table.above[name][at] for name in names],
        axis=1,
    )
    deltas = np.concatenate(
        [table.above[name][at, 1:] - table.above[name][at, :1] for name in names],
        axis=1,
    )
    lengths = np.stack(
        [table.below[name][at] for name in names],
        axis=1,
    )
    denominators = np.concatenate(
        [np.repeat(lengths, runs, axis=1), np.repeat(lengths, runs - 1, axis=1)],
        axis=1,
    )
    kinds: list[statistics.EstimateKind] = [_OF[SCORES[name].kind] for name in names for _ in range(runs)]
    kinds += [_KINDS[SCORES[name].kind] for name in names for _ in range(runs - 1)]
    groups = [table.groups[place] for place in at] if table.groups else None
    sure = intervals(
        np.concatenate([scores, deltas], axis=1),
        denominators,
        groups=groups,
        kinds=kinds,
        seed=table.seed,
    )
    ps = sign_flip(deltas, groups=groups, seed=table.seed) if runs > 1 else []
    won = _won(
        deltas,
        np.repeat(lengths, runs - 1, axis=1),
    )
    by_name = {}
    for place, name in enumerate(names):
        mine = slice(
            place * (runs - 1),
            (place + 1) * (runs - 1),
        )
        sides = (
            won[mine]
            if SCORES[name].higher_is_better is not False
            else [(losses, wins, ties) for wins, losses, ties in won[mine]]
        )
        between = sure[len(names) * runs :]
        by_name[name] = Measured(
            name,
            len(at),
            tuple(sure[place * runs : (place + 1) * runs]),
            tuple(between[mine]),
            tuple(ps[mine]),
            tuple(sides),
        )
    return by_name


def _won(deltas: Floats, lengths: Floats) -> list[tuple[int, int, int]]:
    """Samples that went up, down, and neither."""
    each = deltas / np.maximum(lengths, 1.0)
    up = (each > 1e-12).sum(axis=0)
    down = (each < -1e-12).sum(axis=0)
    return [(int(a), int(b), len(deltas) - int(a) - int(b)) for a, b in zip(up, down, strict=True)]


def corrected(items: Sequence[Measured]) -> list[list[float]]:
    """p after Holm of every difference, in the shape of their `ps`. The scores that stand for a task are a family, all
    others a second one.

    Else the ten scores that are looked at in passing would hide that the one that matters has changed.
    """
    result: list[list[float]] = [[] for _ in items]
    for family in (True, False):
        places = [place for place, item in enumerate(items) if (item.metric in HEADLINES) == family]
        flat = iter(holm([p for place in places for p in items[place].ps]))
        for place in places:
            result[place] = [next(flat) for _ in items[place].ps]
    return result


def settings(seed: int) -> dict[str, str | float]:
    """What decides the intervals, for a result file."""
    return {
        "interval": "studentised bootstrap; Wilson for shares; Bonett-Price for their differences",
        "level": statistics.LEVEL,
        "draws": statistics.DRAWS,
        "test": "sign flip, two-sided",
        "flips": statistics.FLIPS,
        "correction": "Holm, per scope, the scores that stand for a task on their own",
        "alpha": ALPHA,
        "few": statistics.FEW,
        "seed": seed,
    }
