"""All draws of the augmentation, against the scalar resize rule and against drawing by chance."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.models.augmentation import fixed_draws, most_tokens, picture_draws, resized_tokens, together
from sft.models.resize import image_tokens, smart_resize
from sft.models.token_budget import ERNIEKIT, Budget, picture_tokens

LIMITS = [(147_384, 2_822_400), (112_896, 1_003_520), (5600, 7000), (784, 7000)]
sides = st.integers(6, 3000)


def budget(limits: tuple[int, int], engine: str = "paddleformers") -> Budget:
    return Budget(Path("tokenizer.json"), *limits, 512, engine=engine)


def scalar(height: int, width: int, limits: tuple[int, int]) -> int:
    """0: refused."""
    try:
        return image_tokens(height, width, min_pixels=limits[0], max_pixels=limits[1])
    except ValueError:
        return 0


@given(sides, sides, st.sampled_from(LIMITS))
def test_many_sizes_at_once_as_one_by_one(height: int, width: int, limits: tuple[int, int]) -> None:
    heights, widths = np.array([height, width, height]), np.array([width, height, height])
    pairs = zip(heights.tolist(), widths.tolist(), strict=True)
    assert resized_tokens(heights, widths, *limits).tolist() == [scalar(*pair, limits) for pair in pairs]


def draw(tall: int, wide: int, limits: tuple[int, int], chance: random.Random) -> int:
    """One draw, step by step as the trainer makes it."""
    if chance.random() < 0.5:
        scale = chance.uniform(0.5, 1.5)
        tall, wide = int(tall * scale), int(wide * scale)
    if chance.random() < 0.1:
        white = chance.randint(0, 15)
        high = chance.random() < 0.5
        tall, wide = tall + white * high, wide + white * (not high)
    if chance.random() < 0.1:
        tall, wide = wide, tall
    return scalar(tall, wide, limits)


@given(sides, sides, st.sampled_from(LIMITS), st.integers(0, 1000))
def test_every_draw_is_among_them(height: int, width: int, limits: tuple[int, int], seed: int) -> None:
    drawn = picture_draws(width, height, budget(limits))
    assert float(drawn.chances.sum()) + drawn.refused == pytest.approx(1)
    try:
        grid = smart_resize(height, width, min_pixels=limits[0], max_pixels=limits[1])
    except ValueError:
        assert drawn.refused == 1 and drawn.largest == 0
        return
    chance = random.Random(seed)
    seen = {draw(*grid, limits, chance) for _ in range(100)}
    assert seen <= {*drawn.tokens.tolist(), *([0] if drawn.refused else [])}
    assert max(seen) <= drawn.largest <= most_tokens(width, height, budget(limits))


def test_chances_are_those_of_drawing() -> None:
    chance = random.Random(1)
    limits = LIMITS[0]
    drawn = picture_draws(1000, 250, budget(limits))
    grid = smart_resize(250, 1000, min_pixels=limits[0], max_pixels=limits[1])
    seen = [draw(*grid, limits, chance) for _ in range(20_000)]
    assert np.mean(seen) == pytest.approx(drawn.mean, abs=3)
    assert sum(one > 324 for one in seen) / len(seen) == pytest.approx(drawn.above_limit(324), abs=0.015)
    thin = picture_draws(28, 5600, budget(limits))
    grid = smart_resize(5600, 28, min_pixels=limits[0], max_pixels=limits[1])
    refused = sum(draw(*grid, limits, chance) == 0 for _ in range(20_000)) / 20_000
    assert refused == pytest.approx(thin.refused, abs=0.015) and thin.refused > 0.4


def test_erniekit_fixes_the_grid_first() -> None:
    for size in ((1000, 250), (41, 5617), (300, 200)):
        drawn = picture_draws(*size, budget(LIMITS[0], ERNIEKIT))
        assert drawn.tokens.tolist() == [picture_tokens(*size, budget(LIMITS[0], ERNIEKIT))] and drawn.refused == 0


def test_rows_of_several_images() -> None:
    one = picture_draws(1000, 250, budget(LIMITS[0]))
    both = together([one, fixed_draws(10), one], 7)
    assert both.largest == 2 * one.largest + 17
    assert both.mean == pytest.approx(2 * one.mean + 17)
    thin = picture_draws(28, 5600, budget(LIMITS[0]))
    assert together([thin, thin], 0).refused == pytest.approx(1 - (1 - thin.refused) ** 2)
    assert together([], 5).tokens.tolist() == [5]
