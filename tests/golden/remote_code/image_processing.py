"""Pictures become patches of 14 px: the image processor of a release of the older layout, in a few lines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor


def resized(height: int, width: int, factor: int, least: int, most: int) -> tuple[int, int]:
    """(height, width) as multiples of `factor`, with `least` to `most` pixels."""
    if height < factor:
        height, width = factor, round(width * factor / height)
    if width < factor:
        height, width = round(height * factor / width), factor
    high = round(height / factor) * factor
    wide = round(width / factor) * factor
    if high * wide > most:
        shrink = math.sqrt(height * width / most)
        return (
            math.floor(height / shrink / factor) * factor,
            math.floor(width / shrink / factor) * factor,
        )
    if high * wide < least:
        grow = math.sqrt(least / (height * width))
        return math.ceil(height * grow / factor) * factor, math.ceil(width * grow / factor) * factor
    return high, wide


class PaddleOCRVLImageProcessor(BaseImageProcessor):
    """Resize, scale to -1 … 1, cut."""

    model_input_names = ["pixel_values", "image_grid_thw"]

    def __init__(
        self,
        min_pixels: int = 147384,
        max_pixels: int = 2822400,
        patch_size: int = 14,
        merge_size: int = 2,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self.min_pixels, self.max_pixels = min_pixels, max_pixels
        self.patch_size, self.merge_size = patch_size, merge_size

    def preprocess(self, images: Any, return_tensors: str | None = None, **more: Any) -> BatchFeature:
        """`pixel_values` (patches, 3, 14, 14) of all pictures, one after the other, and their grids (1, high, wide)."""
        least = more.get("min_pixels") or self.min_pixels
        most = more.get("max_pixels") or self.max_pixels
        side = self.patch_size
        patches, grids = [], []
        for image in images if isinstance(images, list) else [images]:
            high, wide = resized(image.height, image.width, side * self.merge_size, least, most)
            pixels = np.asarray(image.convert("RGB").resize((wide, high), 3), np.float32) / 127.5 - 1
            rows, columns = high // side, wide // side
            cut = pixels.reshape(rows, side, columns, side, 3).transpose(0, 2, 4, 1, 3)
            patches.append(cut.reshape(rows * columns, 3, side, side))
            grids.append((1, rows, columns))
        found = {"pixel_values": np.concatenate(patches), "image_grid_thw": np.array(grids)}
        return BatchFeature(found, tensor_type=return_tensors)
