"""What every drawer shares: what was asked for, what was drawn, colours, and ink on paper."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (height, width, 3), blue, green, red, as OpenCV has it
Coverage = NDArray[np.float32]  # (height, width), 0 paper to 1 ink
Colour = tuple[float, float, float]

SMALLEST_SIDE = 28  # pixels; one patch of the model
CONTRAST = 110.0  # least distance of ink and paper in grey levels


@dataclass(frozen=True)
class Setting:
    """What a drawer must know besides its random numbers.

    `fonts` is never empty; `texts` are the user's own, or none.
    """

    fonts: tuple[Path, ...]
    texts: tuple[str, ...] = ()
    latex: bool = False


@dataclass(frozen=True)
class RenderedSample:
    """A clean picture and what it says.

    `em`: the size of its smallest letters in pixels, by which degradation is bounded.
    """

    image: Pixels
    target: str
    em: float


Drawer = Callable[[random.Random, Setting], RenderedSample]


class Unfit(Exception):
    """A given text that cannot be drawn for this task; `code` is a reason code. The row is rejected, the run
    goes on.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


def colours(rng: random.Random) -> tuple[Colour, Colour]:
    """(ink, paper): mostly dark on light, now and then coloured, or light on dark."""
    tint = rng.choice((0, 0, 6, 12, 25))
    paper_level = rng.uniform(215, 255)
    ink_level = rng.uniform(0, 70)
    if rng.random() < 0.08:
        paper_level, ink_level = ink_level, paper_level
    paper = _colour(rng, paper_level, tint)
    ink = _colour(rng, ink_level, rng.choice((0, 0, 10, 90)))
    if abs(grey(ink) - grey(paper)) < CONTRAST:
        ink = (0.0, 0.0, 0.0) if grey(paper) > 127 else (255.0, 255.0, 255.0)
    return ink, paper


def _colour(rng: random.Random, level: float, spread: float) -> Colour:
    blue, green, red = (min(255.0, max(0.0, level + rng.uniform(-spread, spread))) for _ in range(3))
    return blue, green, red


def grey(colour: Colour) -> float:
    """Brightness as the eye has it, 0 to 255."""
    blue, green, red = colour
    return 0.114 * blue + 0.587 * green + 0.299 * red


def print_on(paper: Colour, ink: Colour, coverage: Coverage) -> Pixels:
    """Ink of one colour on paper of one colour."""
    mixed = np.linspace(paper, ink, 256)  # coverage has 256 steps, as it comes from 8-bit pictures
    table = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    pixels: Pixels = table[np.rint(coverage * 255).astype(np.uint8)]
    return pixels


def pad_to(image: Pixels, height: int, width: int) -> Pixels:
    """At least this large; what is added has the colour of the edge."""
    down = max(0, height - image.shape[0])
    across = max(0, width - image.shape[1])
    if not down and not across:
        return image
    padded: Pixels = cv2.copyMakeBorder(
        image, down // 2, down - down // 2, across // 2, across - across // 2, cv2.BORDER_REPLICATE
    ).astype(np.uint8)
    return padded
