"""The pixels that the PaddleOCR pipeline shows the model in place of a block: what PaddleX 3.7.2 does to the crops of a
page between layout detection and the model (`paddlex/inference/pipelines/paddleocr_vl`).

- A block is an upright rectangle of whole pixels; it is never turned. What lies outside of an outline that fills less
  of its rectangle than RECTANGULAR is white, as for the outlines of PP-DocLayoutV3. That share is a stand-in: the
  pipeline compares the rectangle with a quadrilateral around the outline.
- Blocks that are joined stand below each other on white, each step of the stack aligned at the left, the right or the
  middle.
- A formula is cut to its dark part: grey values, stretched to 0 … 255, of 200 and less.
- A picture inside a table is painted over in white, with a mark such as [F2] in its middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sft.images.reader import MAX_IMAGE_PIXELS, ImageProblem

if TYPE_CHECKING:
    from sft.images.crops import Pixels

Outline = tuple[tuple[float, float], ...]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
Align = Literal["left", "right", "center"]
RECTANGULAR = 0.95  # share of its upright rectangle from which on an outline counts as that rectangle
DARK = 200  # the lightest grey of a formula, after stretching
LEAST = 3  # pixels of each side that must be left of a formula
FILL = 0.9  # of the shorter side of a picture, for its mark
SCALES = (0.2, 10.0)  # of the font of a mark
SCALE_STEP = 1e-2
BOLD = 4  # thickness of a mark's lines per unit of its scale
WHITE = (255, 255, 255)
BLACK = (0, 0, 0)


@dataclass(frozen=True)
class Mark:
    """A text that stands where a picture was; `box` in pixels of the page."""

    box: Box
    text: str


@dataclass(frozen=True)
class ServedCut:
    """What to cut out of a page.

    `outlines`: of one block, or of those that are joined, from top to bottom; `aligns[i]` is how the block i + 1 stands
    below those above it. `margins`: they are cut off, as of formulas. `marks`: painted over the pictures of a table.
    """

    outlines: tuple[Outline, ...]
    aligns: tuple[Align, ...] = ()
    margins: bool = False
    marks: tuple[Mark, ...] = ()


def box_of(outline: Outline) -> Box:
    """The upright rectangle around an outline, in whole pixels, as layout detection rounds it."""
    xs = [x for x, _ in outline]
    ys = [y for _, y in outline]
    return max(0, round(min(xs))), max(0, round(min(ys))), round(max(xs)), round(max(ys))


def cut_as_served(page: Pixels, cut: ServedCut) -> Pixels:
    """The picture that the model is shown; `ImageProblem` where the page has nothing there, or it is too large."""
    blocks = [_block(page, outline) for outline in cut.outlines]
    left, top, _, _ = box_of(cut.outlines[0])
    for mark in cut.marks:
        x1, y1, x2, y2 = mark.box
        inside = (
            x1 - left,
            y1 - top,
            x2 - left,
            y2 - top,
        )
        paint_mark(blocks[0], inside, mark.text)
    whole = stack(blocks, cut.aligns)
    return dark_part(whole) if cut.margins else whole


def _block(page: Pixels, outline: Outline) -> Pixels:
    import cv2
    import numpy as np

    height, width = page.shape[:2]
    left, top, right, bottom = box_of(outline)
    if max(right - 2 * width, bottom - 2 * height) > 0:
        raise ImageProblem(
            "source.geometry", f"the box extends far beyond the image of {width} x {height} px; are its units pixels?"
        )
    block = page[top:bottom, left:right].copy()
    if not block.size:
        raise ImageProblem("source.geometry", f"nothing of the image of {width} x {height} px is inside the box")
    if _share(outline) >= RECTANGULAR:
        return block
    corners = np.array(outline).astype(np.int32)
    corners -= np.array([left, top], np.int32)
    mask = np.zeros(block.shape[:2], np.uint8)
    cv2.fillPoly(mask, [corners], 1)
    block[mask == 0] = 255
    return block


def _share(outline: Outline) -> float:
    """How much of the upright rectangle around an outline is inside of it."""
    xs = [x for x, _ in outline]
    ys = [y for _, y in outline]
    rectangle = (max(xs) - min(xs)) * (max(ys) - min(ys))
    if not rectangle:
        return 1.0
    pairs = zip(
        outline,
        [*outline[1:], outline[0]],
        strict=True,
    )
    twice = math.fsum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs)
    return abs(twice) / 2 / rectangle


def stack(blocks: Sequence[Pixels], aligns: Sequence[Align]) -> Pixels:
    """Blocks below each other on white. Each one is aligned with all of those above it together."""
    import numpy as np

    if len(blocks) == 1:
        return blocks[0]
    starts = [0]
    width = blocks[0].shape[1]
    below = zip(
        blocks[1:],
        aligns,
        strict=True,
    )
    for block, align in below:
        wider = max(width, block.shape[1])
        moved = _indent(wider - width, align)
        starts = [start + moved for start in starts]
        starts.append(_indent(wider - block.shape[1], align))
        width = wider
    height = sum(block.shape[0] for block in blocks)
    if width * height > MAX_IMAGE_PIXELS:
        raise ImageProblem(
            "image.too_large", f"joined blocks of {width} x {height} px, at most {MAX_IMAGE_PIXELS:,} pixels are read"
        )
    whole = np.full((height, width, *blocks[0].shape[2:]), 255, np.uint8)
    top = 0
    for start, block in zip(starts, blocks, strict=True):
        whole[top : top + block.shape[0], start : start + block.shape[1]] = block
        top += block.shape[0]
    return whole


def _indent(room: int, align: Align) -> int:
    return {"left": 0, "center": room // 2, "right": room}[align]


def dark_part(block: Pixels) -> Pixels:
    """The rectangle around all dark pixels of a block; the block itself where there are none, or hardly any is left."""
    import cv2
    import numpy as np

    grey = block if block.ndim == 2 else cv2.cvtColor(block, cv2.COLOR_RGB2GRAY)
    low = int(grey.min())
    high = int(grey.max())
    if low == high:
        return block
    stretched = ((np.arange(256) - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
    dark = stretched[grey] <= DARK
    rows = np.flatnonzero(dark.any(axis=1))
    columns = np.flatnonzero(dark.any(axis=0))
    part = block[
        rows[0] : rows[-1] + 1,
        columns[0] : columns[-1] + 1,
    ]
    if min(part.shape[:2]) < LEAST:
        return block
    return np.ascontiguousarray(part)


def paint_mark(block: Pixels, box: Box, text: str) -> None:
    """Paint a box of a block white (its right and lower edge, too), and write a text into its middle."""
    import cv2

    left, top, right, bottom = box
    cv2.rectangle(block, (left, top), (right, bottom), WHITE, thickness=-1)
    across = right - left
    down = bottom - top
    scale, width, height = _font_scale(text, min(across, down))
    cv2.putText(
        block,
        text,
        (left + (across - width) // 2, top + (down + height) // 2),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        BLACK,
        max(1, math.floor(scale * BOLD)),
        lineType=cv2.LINE_AA,
    )


def _font_scale(text: str, side: int) -> tuple[float, int, int]:
    """(scale, width, height): by halving, the largest scale in which a text of thin lines fits into a square.

    The size is that of the last scale which was tried, and not of the one that was found: so the pipeline centres it.
    """
    import cv2

    low, high = SCALES
    width = height = 0
    best = low
    while high - low > SCALE_STEP:
        middle = (low + high) / 2
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, middle, thickness=1)
        if max(width, height) < side * FILL:
            best = low = middle
        else:
            high = middle
    return best, width, height
