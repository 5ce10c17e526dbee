"""Packs against a second writing of ERNIEKit's rule, and that every row comes as often as it should."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sft.training.packing import packs_of, simulate, streams
from sft.training.plan import make_plan

lengths = st.lists(st.integers(1, 500), min_size=1, max_size=60)


def by_index(tokens: list[int], max_seq_len: int, packing_size: int) -> list[list[int]]:
    """The same rule from the other side: where each pack ends."""
    packs = []
    start = 0
    while start < len(tokens):
        end = start + 1
        while end < len(tokens) and end - start < packing_size and sum(tokens[start : end + 1]) <= max_seq_len:
            end += 1
        packs.append(tokens[start:end])
        start = end
    return packs


@given(lengths, st.integers(500, 2000), st.integers(1, 9))
def test_packs(tokens: list[int], max_seq_len: int, packing_size: int) -> None:
    packs = list(packs_of(tokens, max_seq_len=max_seq_len, packing_size=packing_size))
    assert packs == by_index(tokens, max_seq_len, packing_size)
    assert [length for pack in packs for length in pack] == tokens
    assert all(sum(pack) <= max_seq_len and len(pack) <= packing_size for pack in packs)


@given(st.integers(1, 80), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))
def test_every_row_comes_as_often_as_there_are_epochs(rows: int, epochs: int, gpus: int, workers: int) -> None:
    assume(gpus <= rows)
    brought = streams(rows, epochs=epochs, gpus=gpus, workers=workers)
    seen = Counter(row for stream in brought for row in stream)
    assert seen == dict.fromkeys(range(rows), epochs)


@given(lengths, st.integers(1, 3), st.integers(1, 2), st.integers(1, 8), st.integers(1, 4), st.integers(0, 3))
def test_simulation(tokens: list[int], epochs: int, gpus: int, batch: int, accum: int, workers: int) -> None:
    assume(gpus * batch * accum <= len(tokens))
    plan = make_plan(samples=len(tokens), epochs=epochs, gpus=gpus, batch=batch, accum=accum)
    packing = simulate(np.array(tokens), plan, max_seq_len=1000, workers=workers)
    assert 1 <= packing.rows <= batch
    assert 0 < packing.filling <= 1
    assert packing.packs * packing.rows * gpus == pytest.approx(len(tokens) * epochs)
    assert packing.max_steps == math.ceil(packing.packs / accum) >= 1
    assert packing.max_steps >= math.floor(len(tokens) * epochs / (gpus * batch * accum))


def test_short_rows_are_as_the_formula_says_and_long_ones_need_more_steps() -> None:
    plan = make_plan(samples=29605, epochs=2, gpus=1, batch=8, accum=8)
    short = simulate(np.full(29605, 400), plan, max_seq_len=16384, workers=4)
    assert abs(short.max_steps - plan.max_steps) <= 1 and short.rows == pytest.approx(8, abs=0.01)
    long = simulate(np.full(29605, 3900), plan, max_seq_len=16384, workers=4)
    assert long.max_steps == pytest.approx(2 * plan.max_steps, abs=2) and long.rows == pytest.approx(4, abs=0.01)
    assert long.filling == pytest.approx(4 * 3900 / 16384, abs=0.001)
