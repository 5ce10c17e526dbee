"""ERNIEKit's packing, gone through row by row: how many packs a run needs, and how full they are.

A micro-step of ERNIEKit is one pack. Rows come in an order that is shuffled with a fixed seed at every pass; rank r
takes every G-th row from r on, each of its workers every n-th of those, and the rank appends what its workers bring in
turn to one buffer. The pack is handed out when the next row would make it longer than `max_seq_len` or when it holds
`packing_size` rows; nothing is put elsewhere or split, and a pack may hold the end of one pass and the beginning of
the next (`dist_data_loader.py::MMDataloader`, `vl_sft_dataset_json.py`, release/v1.4). Lengths do not change there:
the grid is fixed before the augmentation.

PaddleFormers does not pack here: a micro-step is B rows, see `sft.training.plan`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from sft.arrays import Ints
from sft.training.plan import Plan

SHUFFLE_SEED = 97  # of ERNIEKit's sampler, whatever `seed` says


@dataclass(frozen=True)
class Packing:
    """What the packs of a run are.

    packs: of a GPU, on average over the GPUs, until each row has come E times. rows: in a pack, on average. filling: a
    pack's share of max_seq_len, on average. max_steps: the updates in which each row comes E times.
    """

    packs: float
    rows: float
    filling: float
    max_steps: int


def packs_of(lengths: Iterable[int], *, max_seq_len: int, packing_size: int) -> Iterator[list[int]]:
    """The packs of a stream of rows, as lengths in tokens.

    >>> list(packs_of([300, 300, 500, 100, 100, 100], max_seq_len=1000, packing_size=3))
    [[300, 300], [500, 100, 100], [100]]
    """
    pack: list[int] = []
    total = 0
    for length in lengths:
        if pack and (total + length > max_seq_len or len(pack) == packing_size):
            yield pack
            pack, total = [], 0
        pack.append(length)
        total += length
    if pack:
        yield pack


def streams(rows: int, *, epochs: float, gpus: int, workers: int) -> Iterator[list[int]]:
    """Per GPU, the rows that its workers bring one after the other, until every row has come E times."""
    for rank in range(gpus):
        order = np.arange(
            rank,
            rows,
            gpus,
        )
        readers: list[list[int]] = [
            []
            for _ in range(
                max(
                    1,
                    workers,
                )
            )
        ]
        for number in range(math.ceil(epochs)):
            np.random.RandomState(SHUFFLE_SEED).shuffle(order)  # of what the last pass has left: passes differ
            share = min(
                1.0,
                epochs - number,
            )
            for worker, reader in enumerate(readers):
                part = order[worker :: len(readers)].tolist()
                reader += part[: math.ceil(len(part) * share)]
        yield [row for turn in zip_longest(*readers) for row in turn if row is not None]


def simulate(tokens: Ints, plan: Plan, *, max_seq_len: int, workers: int) -> Packing:
    """The packs of a whole run on these lengths, in the order of the file."""
    counts = []
    for rows in streams(
        len(tokens),
        epochs=plan.epochs,
        gpus=plan.gpus,
        workers=workers,
    ):
        packs = packs_of(
            tokens[rows].tolist(),
            max_seq_len=max_seq_len,
            packing_size=plan.batch,
        )
        counts.append(sum(1 for _ in packs))
    total = sum(counts)
    mean = total / plan.gpus
    return Packing(
        mean,
        len(tokens) * plan.epochs / total,
        float(tokens.sum()) * plan.epochs / total / max_seq_len,
        math.ceil(mean / plan.accum),
    )
