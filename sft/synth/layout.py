"""One line of text, of any mixture of scripts and directions → placed glyphs → ink.

Levels come from the Unicode bidirectional algorithm (python-bidi), runs of one level, script and font are shaped by
HarfBuzz, and OpenCV fills the outlines by their winding. All lengths of a `ShapedLine` are in parts of an
em, y upwards.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np
import uharfbuzz as hb
from bidi import algorithm as bidi
from numpy.typing import NDArray

from sft.synth.base import Coverage, Unfit
from sft.synth.font_files import IGNORABLE, INVISIBLE, covers, extents, face, missing, refuse_missing
from sft.synth.glyphs import OVERSAMPLE, SUBPIXEL_BITS, _draw_funcs, _Pen

DOTTED_CIRCLE = "\u25cc"
RIGHT_TO_LEFT = {"R", "AL", "AN", "RLE", "RLO", "RLI"}
VIRAMA = 9  # its combining class: the sign that joins a consonant to the next
JOINERS = "\u200d\u200c"
MAX_CHARS = 4000  # of one line


@dataclass(frozen=True)
class Glyph:
    """One glyph and where its origin stands."""

    font: Path
    number: int
    x: float
    y: float


@dataclass(frozen=True)
class ShapedLine:
    """A shaped line. `left`, `right`, `top` and `bottom` bound its ink, `ascent` and `descent` (positive) are the
    fonts' own.
    """

    glyphs: tuple[Glyph, ...]
    advance: float
    ascent: float
    descent: float
    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True)
class _Run:
    start: int
    end: int
    level: int
    script: str
    font: Path


def base_level(text: str) -> int:
    """0 for text that begins from the left, 1 from the right: the direction of its first strong character."""
    return int(bidi.get_base_level(text))


def levels(text: str, base: int) -> list[int]:
    """The bidirectional level of each character: even runs to the right, odd to the left."""
    if not base and not any(unicodedata.bidirectional(char) in RIGHT_TO_LEFT for char in text):
        return [0] * len(text)
    storage = bidi.get_empty_storage()
    storage["base_level"], storage["base_dir"] = base, "LR"[base]
    bidi.get_embedding_levels(text, storage)
    for index, char in enumerate(storage["chars"]):
        char["index"] = index
    for step in (bidi.explicit_embed_and_overrides, bidi.resolve_weak_types, bidi.resolve_neutral_types):
        step(storage, False)
    bidi.resolve_implicit_levels(storage, False)
    level_of = {char["index"]: char["level"] for char in storage["chars"]}
    result: list[int] = []
    for index in range(len(text)):  # joiners are taken out by the algorithm; they go with what stands before them
        result.append(
            level_of.get(
                index,
                result[-1] if result else base,
            )
        )
    return result


def breaks(text: str) -> list[int]:
    """Where a word may be cut: the ends of its letters with their marks, joiners and conjuncts; the last is its
    length.
    """
    ends: list[int] = []
    for index in range(1, len(text)):
        char = text[index]
        before = text[index - 1]
        joined = unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf") or char in INVISIBLE
        if not joined and unicodedata.combining(before) != VIRAMA and before not in JOINERS:
            ends.append(index)
    return [*ends, len(text)]


@cache
def script_of(char: str) -> str:
    """The ISO 15924 name of a character's script as HarfBuzz has it, "" for what all scripts share."""
    buffer = hb.Buffer()
    buffer.add_str(char)
    buffer.guess_segment_properties()
    return buffer.script or ""


def _scripts(text: str) -> list[str]:
    """Script by character; shared characters take that of the letters before them, at the beginning of those after."""
    scripts = [script_of(char) for char in text]
    current = next((script for script in scripts if script), "Latn")
    for index, script in enumerate(scripts):
        current = script or current
        scripts[index] = current
    return scripts


def _fonts(text: str, fonts: Sequence[Path]) -> list[Path]:
    """Font by character: the first that has it; marks and what has no ink stay with the letter before them."""
    refuse_missing(missing(text, fonts), fonts)
    result: list[Path] = []
    for char in text:
        stays = (
            char in INVISIBLE
            or unicodedata.category(char) in IGNORABLE
            or unicodedata.combining(char)
            or unicodedata.category(char) in ("Mn", "Mc")
        )
        if result and stays and covers(result[-1], char):
            result.append(result[-1])
        else:
            result.append(next(font for font in fonts if covers(font, char)))
    return result


def _runs(text: str, fonts: Sequence[Path], base: int) -> list[_Run]:
    """Runs of one level, script and font, in the order in which they are seen from left to right."""
    keys = list(
        zip(
            levels(text, base),
            _scripts(text),
            _fonts(text, fonts),
            strict=True,
        )
    )
    runs: list[_Run] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or keys[end] != keys[start]:
            runs.append(_Run(start, end, *keys[start]))
            start = end
    for level in range(
        max((run.level for run in runs), default=0),
        0,
        -1,
    ):  # rule L2 of the algorithm
        index = 0
        while index < len(runs):
            stop = index
            while stop < len(runs) and runs[stop].level >= level:
                stop += 1
            runs[index:stop] = reversed(runs[index:stop])
            index = stop + 1
    return runs


def shape(text: str, fonts: Sequence[Path], *, base: int | None = None, space: float = 0.0) -> ShapedLine:
    """Shape one line with the first font that has each character; `space` is added to every space between words.

    Raises UsageError naming character and font where no font has it, `Unfit` for a mark without its letter.
    """
    if len(text) > MAX_CHARS:
        raise Unfit("image.aspect", f"{len(text):,} characters in one line")
    return _shape(
        text,
        tuple(fonts),
        base_level(text) if base is None else base,
        space,
    )


@lru_cache(4096)
def _shape(text: str, fonts: tuple[Path, ...], base: int, space: float) -> ShapedLine:
    glyphs: list[Glyph] = []
    pen = ascent = descent = 0.0
    for run in _runs(text, fonts, base):
        up, down = extents(run.font)
        ascent = max(ascent, up)
        descent = max(descent, down)
        pen = _shape_run(text, run, pen, space, glyphs)
    boxes = [(glyph, *_box(glyph.font, glyph.number)) for glyph in glyphs if outlines(glyph.font, glyph.number)]
    return ShapedLine(
        tuple(glyphs),
        pen,
        ascent,
        descent,
        left=min((glyph.x + left for glyph, left, _, _, _ in boxes), default=0.0),
        right=max((glyph.x + right for glyph, _, right, _, _ in boxes), default=0.0),
        top=max((glyph.y + top for glyph, _, _, _, top in boxes), default=0.0),
        bottom=min((glyph.y + bottom for glyph, _, _, bottom, _ in boxes), default=0.0),
    )


def _shape_run(text: str, run: _Run, pen: float, space: float, into: list[Glyph]) -> float:
    font = face(run.font)
    buffer = hb.Buffer()
    buffer.add_codepoints(
        [ord(char) for char in text],
        run.start,
        run.end - run.start,
    )
    buffer.direction = "rtl" if run.level % 2 else "ltr"
    buffer.script = run.script
    hb.shape(font, buffer)
    upem = font.face.upem
    circle = font.get_nominal_glyph(ord(DOTTED_CIRCLE)) if DOTTED_CIRCLE not in text else None
    inked: set[int] = set()
    for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        if info.codepoint == 0:
            refuse_missing(
                [text[info.cluster]],
                (run.font,),
            )
        if circle and info.codepoint == circle:
            raise Unfit(
                "source.shape",
                f"{text[info.cluster]!r} (U+{ord(text[info.cluster]):04X}) stands without the letter that carries it",
            )
        into.append(
            Glyph(
                run.font,
                info.codepoint,
                pen + position.x_offset / upem,
                position.y_offset / upem,
            )
        )
        if outlines(run.font, info.codepoint):
            inked.add(info.cluster)
        pen += position.x_advance / upem + (space if text[info.cluster] == " " else 0.0)
    _refuse_blank(
        text,
        run,
        sorted({info.cluster for info in buffer.glyph_infos}),
        inked,
    )
    return pen


def _refuse_blank(text: str, run: _Run, clusters: list[int], inked: set[int]) -> None:
    """A font of pictures or bitmaps has a glyph but no outline; nothing would be drawn for it."""
    for cluster, end in zip(
        clusters,
        [*clusters[1:], run.end],
        strict=True,
    ):
        letters = [
            char for char in text[cluster:end] if char not in INVISIBLE and unicodedata.category(char) not in IGNORABLE
        ]
        if letters and cluster not in inked:
            refuse_missing(letters[:1], (run.font,))


@cache
def outlines(font: Path, number: int) -> tuple[NDArray[np.float64], ...]:
    """The closed contours of a glyph, each (points, 2), in parts of an em."""
    pen = _Pen()
    face(font).draw_glyph(number, _draw_funcs(), pen)
    return tuple(np.asarray(contour) / face(font).face.upem for contour in pen.contours if len(contour) > 2)


@cache
def _box(font: Path, number: int) -> tuple[float, float, float, float]:
    points = np.concatenate(outlines(font, number))
    (left, bottom), (right, top) = points.min(axis=0), points.max(axis=0)
    return float(left), float(right), float(bottom), float(top)


def paint(canvas: Coverage, line: ShapedLine, *, x: float, baseline: float, em: float) -> None:
    """Add a line's ink to a picture. `x` is the pen's start and `baseline` counts from the top, both in pixels."""
    left = math.floor(x + line.left * em) - 1
    top = math.floor(baseline - line.top * em) - 1
    right = math.ceil(x + line.right * em) + 1
    bottom = math.ceil(baseline - line.bottom * em) + 1
    patch = np.zeros(
        ((bottom - top) * OVERSAMPLE, (right - left) * OVERSAMPLE),
        dtype=np.uint8,
    )
    scale = np.array([em, -em]) * OVERSAMPLE
    for glyph in line.glyphs:
        contours = outlines(glyph.font, glyph.number)
        if contours:
            shift = (
                np.array(
                    [
                        x - left + glyph.x * em,
                        baseline - top - glyph.y * em,
                    ]
                )
                * OVERSAMPLE
            )
            _fill(
                patch,
                [contour * scale + shift for contour in contours],
                _signs(glyph.font, glyph.number),
            )
    small = cv2.resize(patch, (right - left, bottom - top), interpolation=cv2.INTER_AREA).astype(
        np.float32
    ) / np.float32(255)
    stamp(canvas, small, left, top)


def stamp(canvas: Coverage, patch: Coverage, left: int, top: int) -> None:
    """Add the ink of a smaller picture at a place; what reaches beyond the canvas is cut."""
    y0 = max(top, 0)
    x0 = max(left, 0)
    y1 = min(
        top + patch.shape[0],
        canvas.shape[0],
    )
    x1 = min(
        left + patch.shape[1],
        canvas.shape[1],
    )
    if y1 > y0 and x1 > x0:
        part = canvas[y0:y1, x0:x1]
        np.maximum(
            part,
            patch[y0 - top : y1 - top, x0 - left : x1 - left],
            out=part,
        )


def _fill(patch: NDArray[np.uint8], contours: list[NDArray[np.float64]], signs: tuple[int, ...]) -> None:
    """Fill one glyph where its winding number is not zero, whichever way the font winds, holes and islands included."""
    if len(contours) == 1:
        cv2.fillPoly(
            patch,
            [np.round(contours[0] * (1 << SUBPIXEL_BITS)).astype(np.int32)],
            255,
            shift=SUBPIXEL_BITS,
        )
        return
    points = np.concatenate(contours)
    low = np.maximum(
        np.floor(points.min(axis=0)).astype(int) - 1,
        0,
    )
    high = np.minimum(
        np.ceil(points.max(axis=0)).astype(int) + 2,
        patch.shape[::-1],
    )
    winding = np.zeros(
        (high[1] - low[1], high[0] - low[0]),
        dtype=np.int8,
    )
    for contour, sign in zip(contours, signs, strict=True):
        layer = np.zeros(winding.shape, dtype=np.uint8)
        cv2.fillPoly(
            layer,
            [np.round((contour - low) * (1 << SUBPIXEL_BITS)).astype(np.int32)],
            1,
            shift=SUBPIXEL_BITS,
        )
        winding += layer.view(np.int8) * np.int8(sign)
    patch[low[1] : high[1], low[0] : high[0]][winding != 0] = 255


@cache
def _signs(font: Path, number: int) -> tuple[int, ...]:
    """Which way each contour of a glyph winds: 1 or -1, from its area."""
    signs = []
    for contour in outlines(font, number):
        x = contour[:, 0]
        y = contour[:, 1]
        signs.append(1 if float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) > 0 else -1)
    return tuple(signs)
