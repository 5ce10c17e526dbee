"""What augmentation makes of an image: how many tokens it can become in training, and with which chance.

PaddleFormers 1.2.0 (`mm_plugin.py::PaddleOCRVLPlugin`, `augment_utils.py`) resizes an image to the grid, changes its
size by chance and applies the resize rule again: scaled by a factor between 0.5 and 1.5 (half of all draws), then up
to 15 px of white at one side (a tenth), then a quarter turn (a tenth). All sizes that can come of it are gone through
here, each with its chance, so nothing is estimated. Colours and JPEG change no size. ERNIEKit fixes the grid before it
augments, so its lengths do not change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sft.arrays import Floats, Ints
from sft.models.resize import smart_resize
from sft.models.token_budget import PADDLEFORMERS, Budget
from sft.models.versions import FACTOR, MAX_ASPECT

SCALE_FROM, SCALE_TO, SCALE_CHANCE = 0.5, 1.5, 0.5
PAD_TO, PAD_CHANCE = 15, 0.1  # px; each amount from 0 on is as likely, at one of four sides
TURN_CHANCE = 0.1
LONG = 8  # a side so many times the other one has its draws gone through
ANYTHING = 1 << 40  # tokens


@dataclass(frozen=True, eq=False)
class TokenDraws:
    """All numbers of tokens an image, or a row, can have in training: ascending, each with its chance.

    refused: the chance that the trainer refuses an image, so that the row is left out. All chances add up to 1.
    """

    tokens: Ints
    chances: Floats
    refused: float

    @property
    def largest(self) -> int:
        """The most tokens it can become; 0 where it is always refused."""
        return int(self.tokens[-1]) if len(self.tokens) else 0

    @property
    def mean(self) -> float:
        """Tokens on average where it is not refused."""
        kept = float(self.chances.sum())
        return float(self.tokens @ self.chances) / kept if kept else 0.0

    def above_limit(self, limit: int) -> float:
        """The chance of more than `limit` tokens."""
        first = int(np.searchsorted(self.tokens, limit, side="right"))
        return float(self.chances[first:].sum())

    def left_out(self, limit: int) -> float:
        """The chance that the row is left out: refused, or longer than `limit`."""
        return min(1.0, self.refused + self.above_limit(limit))


def fixed_draws(tokens: int) -> TokenDraws:
    """What does not change: so many tokens, always."""
    return TokenDraws(np.array([tokens], np.int64), np.ones(1), 0.0)


def picture_draws(width: int, height: int, budget: Budget) -> TokenDraws:
    """The tokens that an image of so many pixels as stored can become in training.

    >>> from pathlib import Path
    >>> drawn = picture_draws(250, 1000, Budget(Path(), 147384, 2822400, 512))
    >>> int(drawn.tokens[0]), drawn.largest, round(drawn.mean)
    (189, 756, 346)
    """
    limits = (budget.min_pixels, budget.max_pixels)
    try:
        grid = smart_resize(height, width, min_pixels=limits[0], max_pixels=limits[1])
    except ValueError:
        return TokenDraws(np.empty(0, np.int64), np.empty(0), 1.0)
    if budget.engine != PADDLEFORMERS:
        return fixed_draws(grid[0] * grid[1] // FACTOR**2)
    return _grid_draws(*grid, *limits)


def most_tokens(width: int, height: int, budget: Budget) -> int:
    """No draw of an image is longer; found without going through them. May be far too much for long and thin images."""
    limits = (budget.min_pixels, budget.max_pixels)
    try:
        tall, wide = smart_resize(
            height,
            width,
            min_pixels=limits[0],
            max_pixels=limits[1],
        )
    except ValueError:
        return ANYTHING
    if budget.engine != PADDLEFORMERS:
        return tall * wide // FACTOR**2
    if max(
        tall,
        wide,
    ) > LONG * min(
        tall,
        wide,
    ):
        return ANYTHING
    edge = PAD_TO + FACTOR / 2  # of rounding to whole rows
    scaled = (SCALE_TO * tall + edge) * (SCALE_TO * wide + edge)
    root = math.sqrt(limits[0])
    enlarged = root * root + 4 * root * FACTOR + FACTOR**2  # at most a row and a column more; sides up to 10 to 1
    return (
        int(
            max(
                min(
                    limits[1],
                    scaled,
                ),
                enlarged,
            )
            / FACTOR**2
        )
        + 1
    )


def together(draws: Iterable[TokenDraws], more: int) -> TokenDraws:
    """A row of several images, drawn one by one, and of `more` tokens that do not change."""
    total = fixed_draws(more)
    for drawn in draws:
        sums = np.add.outer(
            total.tokens,
            drawn.tokens,
        ).ravel()
        chances = np.multiply.outer(
            total.chances,
            drawn.chances,
        ).ravel()
        total = TokenDraws(
            *_gathered(
                sums,
                chances,
            ),
            1 - (1 - total.refused) * (1 - drawn.refused),
        )
    return total


@lru_cache(maxsize=4096)
def _grid_draws(tall: int, wide: int, min_pixels: int, max_pixels: int) -> TokenDraws:
    """The draws of an image that the first resize has brought to this grid, in pixels."""
    heights, widths, chances = _scaled(tall, wide)
    heights, widths, chances = _padded(heights, widths, chances)
    if (
        max(tall, wide) * SCALE_FROM < FACTOR
    ):  # both sides can fall below 28 px: only then the order of the sides counts
        heights, widths = np.concatenate([heights, widths]), np.concatenate([widths, heights])
        chances = np.concatenate([chances * (1 - TURN_CHANCE), chances * TURN_CHANCE])
    tokens = resized_tokens(heights, widths, min_pixels, max_pixels)
    kept = tokens > 0
    return TokenDraws(*_gathered(tokens[kept], chances[kept]), float(chances[~kept].sum()))


def _scaled(tall: int, wide: int) -> tuple[Ints, Ints, Floats]:
    """(heights, widths, chances) after scaling: the factor is continuous, the sides are cut to whole pixels."""
    edges = [np.array([SCALE_FROM, SCALE_TO])]
    for side in (tall, wide):
        first, last = int(side * SCALE_FROM) + 1, int(side * SCALE_TO)
        edges.append(np.arange(first, last) / side)
    factors = np.unique(np.concatenate(edges))
    middles = (factors[:-1] + factors[1:]) / 2
    spans = np.diff(factors)
    whole = spans > 1e-9  # two edges that differ by rounding only
    heights = (tall * middles[whole]).astype(np.int64)
    widths = (wide * middles[whole]).astype(np.int64)
    chances = SCALE_CHANCE * spans[whole] / spans[whole].sum()
    return np.append(heights, tall), np.append(widths, wide), np.append(chances, 1 - SCALE_CHANCE)


def _padded(heights: Ints, widths: Ints, chances: Floats) -> tuple[Ints, Ints, Floats]:
    """The same with white at one side: above or below it adds to the height, left or right of it to the width."""
    each = PAD_CHANCE / (PAD_TO + 1)
    amounts = np.arange(1, PAD_TO + 1)
    higher = np.add.outer(heights, amounts).ravel()
    wider = np.add.outer(widths, amounts).ravel()
    padded = np.repeat(chances * each / 2, PAD_TO)
    return (
        np.concatenate([heights, higher, np.repeat(heights, PAD_TO)]),
        np.concatenate([widths, np.repeat(widths, PAD_TO), wider]),
        np.concatenate([chances * (1 - PAD_CHANCE + each), padded, padded]),
    )


def resized_tokens(heights: Ints, widths: Ints, min_pixels: int, max_pixels: int) -> Ints:
    """`image_tokens` of many sizes at once; 0 where it raises."""
    high, wide = heights.astype(np.float64), widths.astype(np.float64)
    low = high < FACTOR
    wide = np.where(low, np.rint(wide * FACTOR / high), wide)
    high = np.where(low, FACTOR, high)
    narrow = wide < FACTOR
    high = np.where(narrow, np.rint(high * FACTOR / np.maximum(wide, 1)), high)
    wide = np.where(narrow, FACTOR, wide)
    refused = np.maximum(high, wide) / np.minimum(high, wide) > MAX_ASPECT
    rows = np.rint(high / FACTOR) * FACTOR
    columns = np.rint(wide / FACTOR) * FACTOR
    area = rows * columns
    shrink = np.sqrt(high * wide / max_pixels)
    grow = np.sqrt(min_pixels / (high * wide))
    large, small = area > max_pixels, area < min_pixels
    rows = np.where(large, np.floor(high / shrink / FACTOR) * FACTOR, rows)
    columns = np.where(large, np.floor(wide / shrink / FACTOR) * FACTOR, columns)
    rows = np.where(small, np.ceil(high * grow / FACTOR) * FACTOR, rows)
    columns = np.where(small, np.ceil(wide * grow / FACTOR) * FACTOR, columns)
    tokens = (rows * columns / FACTOR**2).astype(np.int64)
    return np.where(refused, 0, tokens)


def _gathered(tokens: Ints, chances: Floats) -> tuple[Ints, Floats]:
    """Equal numbers of tokens as one, ascending."""
    unique, where = np.unique(tokens, return_inverse=True)
    summed = np.bincount(where.ravel(), chances, minlength=len(unique))
    return unique.astype(np.int64), summed.astype(np.float64)
