"""What happens to print on its way to a picture: each effect is a pure function of the image, random numbers and a
strength.

Strength goes from 0 (nothing) to 1 (as bad as a person still reads letters of 32 px); `apply` lowers it for smaller
ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from sft.synth.base import Pixels

Effect = Callable[[Pixels, np.random.Generator, float], Pixels]
READABLE_EM = 32.0  # pixels; the size of letters that full strength is made for


def skew(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Turned by up to 4° and seen from the side; the picture grows so that nothing is cut off."""
    height, width = image.shape[:2]
    limit = min(
        math.radians(4) * strength,
        math.atan(0.4 * height / width) if width > height else math.atan(0.4 * width / height),
    )
    angle = rng.uniform(-limit, limit)
    corners = np.array(
        [[0, 0], [width, 0], [width, height], [0, height]],
        dtype=np.float64,
    )
    turn = np.array(
        [
            [math.cos(angle), math.sin(angle)],
            [-math.sin(angle), math.cos(angle)],
        ]
    )
    moved = corners @ turn + rng.uniform(-0.05, 0.05, size=(4, 2)) * strength * min(height, width)
    moved -= moved.min(axis=0)
    wide, tall = (math.ceil(side) for side in moved.max(axis=0))
    matrix = cv2.getPerspectiveTransform(
        corners.astype(np.float32),
        moved.astype(np.float32),
    )
    return _pixels(
        cv2.warpPerspective(image, matrix, (wide, tall), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    )


def uneven_light(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Darker towards one side, as under a lamp."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * math.pi)
    across, down = np.meshgrid(
        np.linspace(-0.5, 0.5, width, dtype=np.float32), np.linspace(-0.5, 0.5, height, dtype=np.float32)
    )
    ramp = np.clip(
        0.5 + across * np.float32(math.cos(angle)) + down * np.float32(math.sin(angle)),
        0,
        1,
    )
    return _scaled(
        image,
        1 - np.float32(0.5 * strength) * ramp,
    )


def shadow(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """A soft shadow with a straight edge, as of a hand or a phone."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * math.pi)
    normal = np.array([math.cos(angle), math.sin(angle)])
    centre = np.array(
        [
            rng.uniform(0.25, 0.75) * width,
            rng.uniform(0.25, 0.75) * height,
        ]
    )
    softness = max(
        2.0,
        min(height, width) * rng.uniform(0.05, 0.4),
    )
    across, down = np.meshgrid(
        np.arange(width, dtype=np.float32),
        np.arange(height, dtype=np.float32),
    )
    distance = (across - centre[0]) * normal[0] + (down - centre[1]) * normal[1]
    dark = 1 / (
        1
        + np.exp(
            np.clip(
                -distance / softness * 4,
                -50,
                50,
            )
        )
    )
    return _scaled(
        image,
        (1 - rng.uniform(0.3, 0.55) * strength * dark).astype(np.float32),
    )


def texture(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Blotches and fibres of paper."""
    height, width = image.shape[:2]
    grain = np.zeros((height, width), dtype=np.float32)
    for size, weight in ((4, 6.0), (24, 10.0)):
        coarse = rng.standard_normal(
            (height // size + 2, width // size + 2),
            dtype=np.float32,
        )
        grain += np.float32(weight * strength) * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return _clipped(image.astype(np.float32) + grain[:, :, None])


def fade(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Weak ink or a grey scan: less contrast around a level of its own."""
    level = rng.uniform(110, 200)
    return _clipped(level + (image.astype(np.float32) - level) * (1 - 0.55 * strength))


def blur(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Out of focus, or moved while the picture was taken."""
    if rng.random() < 0.6:
        return _pixels(
            cv2.GaussianBlur(image, (0, 0), 0.3 + 1.7 * strength * rng.uniform(0.6, 1), borderType=cv2.BORDER_REPLICATE)
        )
    length = 1 + 5 * strength * rng.uniform(0.6, 1)
    angle = rng.uniform(0, math.pi)
    size = 2 * math.ceil(length / 2) + 1
    kernel = np.zeros((size, size), dtype=np.float32)
    for place in np.linspace(-length / 2, length / 2, 64):
        x = size / 2 - 0.5 + place * math.cos(angle)
        y = size / 2 - 0.5 + place * math.sin(angle)
        kernel[min(max(round(y), 0), size - 1), min(max(round(x), 0), size - 1)] += 1
    return _pixels(
        cv2.filter2D(
            image,
            -1,
            kernel / kernel.sum(),
            borderType=cv2.BORDER_REPLICATE,
        )
    )


def low_resolution(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Scanned small and enlarged again."""
    height, width = image.shape[:2]
    factor = 1 - 0.55 * strength * rng.uniform(0.6, 1)
    small = cv2.resize(
        image, (max(8, round(width * factor)), max(8, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    return _pixels(
        cv2.resize(
            small,
            (width, height),
            interpolation=int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST])),
        )
    )


def noise(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Grain of a sensor, and a few black and white specks."""
    height, width = image.shape[:2]
    channels = 3 if rng.random() < 0.5 else 1
    noisy = image.astype(np.float32) + rng.standard_normal((height, width, channels), dtype=np.float32) * np.float32(
        2 + 20 * strength
    )
    specks = rng.random((height, width), dtype=np.float32)
    share = 0.004 * strength * rng.random()
    noisy[specks < share / 2] = 0
    noisy[specks > 1 - share / 2] = 255
    return _clipped(noisy)


def jpeg(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Blocks and ringing of a JPEG of quality 90 down to 20."""
    quality = round(90 - 70 * strength * rng.uniform(0.6, 1))
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None  # noqa: S101  (OpenCV reads what it wrote)
    return _pixels(decoded)


# in the order in which they happen: paper, light, lens, sensor, file
EFFECTS: dict[str, Effect] = {
    "texture": texture,
    "fade": fade,
    "skew": skew,
    "uneven_light": uneven_light,
    "shadow": shadow,
    "blur": blur,
    "low_resolution": low_resolution,
    "noise": noise,
    "jpeg": jpeg,
}


class Level(NamedTuple):
    """How many effects at most, how likely each is, and between which strengths."""

    most: int
    chance: float
    low: float
    high: float


LEVELS: dict[str, Level] = {
    "none": Level(0, 0, 0, 0),
    "light": Level(2, 0.25, 0.1, 0.4),
    "medium": Level(3, 0.4, 0.3, 0.7),
    "strong": Level(4, 0.6, 0.5, 1.0),
}


def apply(image: Pixels, rng: np.random.Generator, level: str, em: float) -> Pixels:
    """Some effects of a level, in their order.

    `em`: the size of the smallest letters in pixels; small ones are spared.
    """
    most, chance, low, high = LEVELS[level]
    chosen = [name for name in EFFECTS if rng.random() < chance] if most else []
    if len(chosen) > most:
        kept = set(rng.permutation(len(chosen))[:most].tolist())
        chosen = [name for index, name in enumerate(chosen) if index in kept]
    spare = min(1.0, em / READABLE_EM) / math.sqrt(max(1, len(chosen) - 1))  # several at once add up
    for name in chosen:
        image = EFFECTS[name](
            image,
            rng,
            float(rng.uniform(low, high)) * spare,
        )
    return image


def _scaled(image: Pixels, factor: np.typing.NDArray[np.float32]) -> Pixels:
    return _clipped(image.astype(np.float32) * factor[:, :, None])


def _clipped(values: np.typing.NDArray[np.float32]) -> Pixels:
    return _pixels(np.clip(np.rint(values), 0, 255))


def _pixels(values: np.typing.NDArray[np.generic] | cv2.typing.MatLike) -> Pixels:
    pixels: Pixels = np.ascontiguousarray(values).astype(np.uint8, copy=False)
    return pixels
