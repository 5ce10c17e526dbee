"""Text → glyph outlines → a grey image, with the shaping that Indic scripts need.

HarfBuzz shapes (conjuncts, reordered vowel signs) and hands out the outlines, OpenCV fills them. Both come as
wheels, so no system library decides whether a letter is drawn right; Pillow's own raqm layout needs a system
libfribidi and falls back to unshaped text without a word where that is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import uharfbuzz as hb
from numpy.typing import NDArray

from sft.errors import UsageError

FONTS = Path(__file__).parent / "fonts"
BENGALI_FONT = FONTS / "NotoSansBengali-Regular.ttf"

CURVE_STEPS = 6  # line segments per Bézier curve; at 4x oversampling the error is far below a pixel
OVERSAMPLE = 4
SUBPIXEL_BITS = 4  # cv2.fillPoly takes fixed-point coordinates


@dataclass(frozen=True)
class Outline:
    """Closed contours glyph by glyph, in font units with y upwards; the pen starts at 0, 0."""

    glyphs: list[list[NDArray[np.float64]]]  # each contour (points, 2)
    units_per_em: int

    @property
    def right(self) -> float:
        """Where the ink ends; it may reach beyond the pen's advance."""
        return max(
            (float(contour[:, 0].max()) for glyph in self.glyphs for contour in glyph),
            default=0.0,
        )

    @property
    def top(self) -> float:
        """How high the ink reaches above the baseline; a vowel sign may reach above the font's ascent."""
        return max(
            (float(contour[:, 1].max()) for glyph in self.glyphs for contour in glyph),
            default=0.0,
        )


class _Pen:
    """Collects contours from HarfBuzz' draw callbacks; curves are flattened on the way."""

    def __init__(self) -> None:
        self.contours: list[list[tuple[float, float]]] = []

    def move_to(self, x: float, y: float) -> None:
        self.contours.append([(x, y)])

    def line_to(self, x: float, y: float) -> None:
        self.contours[-1].append((x, y))

    def curve_to(self, *points: float) -> None:
        """A Bézier curve of any degree from the current point, by repeated interpolation."""
        control = [
            self.contours[-1][-1],
            *zip(points[::2], points[1::2], strict=True),
        ]
        for step in range(1, CURVE_STEPS + 1):
            t = step / CURVE_STEPS
            level = [np.asarray(point, dtype=float) for point in control]
            while len(level) > 1:
                level = [(1 - t) * a + t * b for a, b in zip(level, level[1:], strict=False)]
            self.contours[-1].append((float(level[0][0]), float(level[0][1])))


def _draw_funcs() -> Any:
    funcs = hb.DrawFuncs()
    funcs.set_move_to_func(lambda x, y, pen: pen.move_to(x, y))
    funcs.set_line_to_func(lambda x, y, pen: pen.line_to(x, y))
    funcs.set_quadratic_to_func(lambda *a: a[-1].curve_to(*a[:-1]))
    funcs.set_cubic_to_func(lambda *a: a[-1].curve_to(*a[:-1]))
    funcs.set_close_path_func(lambda pen: None)
    return funcs


@cache
def _font(path: Path) -> Any:
    return hb.Font(hb.Face(hb.Blob.from_file_path(str(path))))


@cache
def _glyph(path: Path, glyph_id: int) -> tuple[NDArray[np.float64], ...]:
    pen = _Pen()
    _font(path).draw_glyph(glyph_id, _draw_funcs(), pen)
    return tuple(np.asarray(contour) for contour in pen.contours)


def outline(text: str, font: Path = BENGALI_FONT) -> Outline:
    """Shape one line of text. A letter that the font lacks is an error, never a box."""
    hb_font = _font(font)
    buffer = hb.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    hb.shape(hb_font, buffer)
    missing = sorted({text[info.cluster] for info in buffer.glyph_infos if info.codepoint == 0})
    if missing:
        names = ", ".join(f"{char!r} (U+{ord(char):04X})" for char in missing)
        raise UsageError(
            f"font {font.name} has no glyph for {names}", hint="give a font that covers the script of the text"
        )
    glyphs: list[list[NDArray[np.float64]]] = []
    pen = 0.0
    for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        offset = np.array([pen + position.x_offset, position.y_offset])
        glyphs.append([contour + offset for contour in _glyph(font, info.codepoint)])
        pen += position.x_advance
    return Outline(glyphs, hb_font.face.upem)


def draw_line(
    text: str, *, width: int, height: int, em: float, left: float, baseline: float, font: Path = BENGALI_FONT
) -> NDArray[np.float32]:
    """Coverage of the ink, (height, width) in 0..1. `em`, `left` and `baseline` are pixels; baseline counts from the
    top.
    """
    shape = outline(text, font)
    scale = em / shape.units_per_em * OVERSAMPLE
    canvas = np.zeros(
        (height * OVERSAMPLE, width * OVERSAMPLE),
        dtype=np.uint8,
    )
    flip = np.array([scale, -scale])
    shift = np.array([left, baseline]) * OVERSAMPLE
    for glyph in shape.glyphs:
        _ink(
            canvas,
            [np.round((contour * flip + shift) * (1 << SUBPIXEL_BITS)).astype(np.int32) for contour in glyph],
        )
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)


def _ink(canvas: NDArray[np.uint8], contours: list[NDArray[np.int32]]) -> None:
    """Add one glyph: solids are filled one by one, so that overlapping ones do not cut each other, then its holes are
    cut.

    TrueType winds outlines clockwise and holes the other way; the sign of the area tells which is which.
    """
    layer = np.zeros_like(canvas)
    for contour in sorted(contours, key=_area, reverse=True):  # solids first: their area is positive with y downwards
        cv2.fillPoly(
            layer,
            [contour],
            255 if _area(contour) > 0 else 0,
            shift=SUBPIXEL_BITS,
        )
    np.maximum(canvas, layer, out=canvas)


def _area(contour: NDArray[np.int32]) -> float:
    x = contour[:, 0].astype(float)
    y = contour[:, 1].astype(float)
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
