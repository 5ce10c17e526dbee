"""How the model resizes an image, and how many tokens the image becomes."""

from __future__ import annotations

import math

from sft.models.versions import FACTOR, MAX_ASPECT


def smart_resize(height: int, width: int, *, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """(height, width) that the model sees: multiples of 28, the area between the limits, the aspect ratio nearly kept.

    The rule of ERNIEKit's `image_preprocessor_siglip.py::smart_resize` (PaddlePaddle/ERNIE @697ee0a) and of the
    released image processor; Python's round-half-to-even is part of it. ValueError for an aspect ratio above 200, and
    where the upper limit leaves no whole row or column of 28 px, on which both trainers fail.

    >>> smart_resize(3508, 2480, min_pixels=147384, max_pixels=2822400)
    (1988, 1400)
    """
    if height < FACTOR:
        width = round(width * FACTOR / height)
        height = FACTOR
    if width < FACTOR:
        height = round(height * FACTOR / width)
        width = FACTOR
    if max(height, width) / min(height, width) > MAX_ASPECT:
        raise ValueError(f"aspect ratio {max(height, width) / min(height, width):.0f} is above {MAX_ASPECT}")
    tall = round(height / FACTOR) * FACTOR
    wide = round(width / FACTOR) * FACTOR
    if tall * wide > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        tall, wide = (math.floor(side / beta / FACTOR) * FACTOR for side in (height, width))
        if not tall or not wide:
            raise ValueError(f"too long and thin for {max_pixels} pixels: one side would shrink below {FACTOR}")
    elif tall * wide < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        tall, wide = (math.ceil(side * beta / FACTOR) * FACTOR for side in (height, width))
    return tall, wide


def image_tokens(height: int, width: int, *, min_pixels: int, max_pixels: int) -> int:
    """Placeholders that one image takes in the sequence.

    >>> image_tokens(3508, 2480, min_pixels=147384, max_pixels=2822400)
    3550
    """
    tall, wide = smart_resize(height, width, min_pixels=min_pixels, max_pixels=max_pixels)
    return tall * wide // FACTOR**2
