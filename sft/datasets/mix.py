"""Draw one training set out of several: by weights, by 1/√N, and with a share of other tasks against forgetting.

Trainers read a file from its beginning and know nothing of sources, so the mixture is written out: every source is
taken whole as often as its share asks for, the rest of the share is a random part of it, and all rows are shuffled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sft.arrays import Ints
from sft.datasets.index import Index
from sft.errors import UsageError

BALANCES = ("weights", "sqrt", "equal")


@dataclass(frozen=True)
class MixInput:
    """One input: its weight relative to the others, or, for a replay, its share of the whole output."""

    name: str
    weight: float = 1.0
    replay: bool = False


def shares(sources: Sequence[MixInput], sizes: Sequence[int], *, balance: str = "weights") -> list[float]:
    """The share of every source in the output; they add up to 1.

    weights: weight x rows, so that weight 1 everywhere is plain joining. sqrt: weight x √rows, each row drawn with
    1/√N, so that small sources are heard. equal: weight alone. Replays take their share first.

    >>> shares([MixInput("a"), MixInput("b")], [900, 100], balance="sqrt")
    [0.75, 0.25]
    """
    replayed = sum(source.weight for source in sources if source.replay)
    if not 0 <= replayed < 1:
        raise UsageError(
            f"replays of {replayed:g} leave nothing for the data itself",
            hint="a replay is a share of the output, such as 0.2",
        )
    power = {"weights": 1.0, "sqrt": 0.5, "equal": 0.0}[balance]
    parts = [
        0.0 if source.replay or not size else source.weight * size**power
        for source, size in zip(sources, sizes, strict=True)
    ]
    total = sum(parts)
    if total <= 0:
        raise UsageError("no rows with a weight above 0")
    return [
        source.weight if source.replay else part / total * (1 - replayed)
        for source, part in zip(sources, parts, strict=True)
    ]


def quotas(parts: Sequence[float], total: int) -> list[int]:
    """Whole numbers with these shares that add up to `total` (largest remainders, the first of equals)."""
    exact = [part * total for part in parts]
    counts = [int(value) for value in exact]
    order = sorted(
        range(len(parts)),
        key=lambda at: (counts[at] - exact[at], at),
    )
    for at in order[: total - sum(counts)]:
        counts[at] += 1
    return counts


def draw(index: Index, wanted: Sequence[int], replays: Sequence[bool], *, seed: int) -> Ints:
    """Rows of the output in order: `wanted[k]` of file k. A replayed file is drawn evenly over its strata (tasks)."""
    chosen: list[Ints] = []
    for number, count in enumerate(wanted):
        rows = np.flatnonzero(index.rows["file"] == number)
        if count and not len(rows):
            raise UsageError("no usable row to draw from", where=str(index.files[number]))
        if not replays[number]:
            chosen.append(_repeat(rows, count, _generator(seed, f"{number}")))
            continue
        strata = [rows[index.rows["stratum"][rows] == stratum] for stratum in np.unique(index.rows["stratum"][rows])]
        for at, (part, share) in enumerate(
            zip(
                strata,
                quotas([1 / max(1, len(strata))] * len(strata), count),
                strict=True,
            )
        ):
            chosen.append(
                _repeat(
                    part,
                    share,
                    _generator(seed, f"{number}/{at}"),
                )
            )
    rows = np.concatenate([np.empty(0, np.int64), *chosen])
    return rows[_generator(seed, "order").permutation(len(rows))]


def _repeat(rows: Ints, count: int, generator: np.random.Generator) -> Ints:
    """All rows as often as they fit into `count`, and a random part for the rest."""
    if not count:
        return np.empty(0, np.int64)
    whole, rest = divmod(count, len(rows))
    return np.concatenate(
        [
            np.tile(rows, whole),
            generator.permutation(rows)[:rest],
        ]
    )


def _generator(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for every purpose: another source changes nothing in the others. PCG64 is stable across
    versions.
    """
    return np.random.Generator(
        np.random.PCG64(int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:16], "little"))
    )
