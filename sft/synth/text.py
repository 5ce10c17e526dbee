"""Lines and paragraphs of print, in any script that the fonts have."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sft.synth import font_files, layout, words
from sft.synth.base import SMALLEST_SIDE, Pixels, RenderedSample, Setting, Unfit, colours, print_on
from sft.synth.layout import ShapedLine

EM = (20.0, 60.0)  # pixels; the size of letters in a line
PARAGRAPH_EM = (16.0, 34.0)
LONGEST = 120  # times the other side; the trainer's limit is 200, and a skewed picture grows
SIDES = {"left": 0.0, "centre": 0.5, "right": 1.0}
GAP = 0.32  # em; about the widest space of a font
MAX_WIDTH = 6000  # pixels of one line; longer ones are drawn smaller, down to the least size, and then refused


def draw_line(rng: random.Random, setting: Setting) -> RenderedSample:
    """One line: the user's text, or a made-up one. Raises `Unfit` for a text too long for one line of a picture."""
    text = setting.texts[0] if setting.texts else words.make(rng, setting.fonts).line()
    line = layout.shape(
        text,
        font_files.order(setting.fonts, text, rng.randrange(1 << 16)),
    )
    em = min(
        rng.uniform(*EM),
        MAX_WIDTH / max(line.advance, 1.0),
    )
    if em < EM[0]:
        raise Unfit(
            "image.aspect",
            f"a text of {len(text):,} characters is too long for one line; `sft synth paragraph` wraps lines",
        )
    return RenderedSample(
        _set(rng, [(line, "left")], em, rng.uniform(1.0, 1.4), 0.0),
        text,
        em,
    )


def draw_paragraph(rng: random.Random, setting: Setting) -> RenderedSample:
    """Several lines; the answer has a line end wherever the picture has one."""
    if setting.texts:
        text = setting.texts[0]
    else:
        maker = words.make(rng, setting.fonts)
        text = " ".join(maker.sentence(rng.randint(5, 14)) for _ in range(rng.randint(2, 6)))
    fonts = font_files.order(
        setting.fonts,
        text,
        rng.randrange(1 << 16),
    )
    em = rng.uniform(*PARAGRAPH_EM)
    width = rng.uniform(14, 34)
    align = rng.choice(("start", "start", "justify", "centre"))
    lines: list[tuple[ShapedLine, str]] = []
    rows: list[str] = []
    for part in text.split("\n"):
        base = layout.base_level(part)
        wrapped = wrap(part, fonts, width, base)
        for number, row in enumerate(wrapped):
            last = number == len(wrapped) - 1
            lines.append(_aligned(row, fonts, base, width, align, last))
            rows.append(row)
    spacing = rng.uniform(1.0, 1.5)
    if len(lines) * em * 1.5 * spacing > MAX_WIDTH:
        raise Unfit("image.aspect", f"a text of {len(text):,} characters is too long for one paragraph")
    return RenderedSample(
        _set(rng, lines, em, spacing, width if len(lines) > 1 else 0.0),
        "\n".join(rows),
        em,
    )


def _aligned(
    row: str, fonts: Sequence[Path], base: int, width: float, align: str, last: bool
) -> tuple[ShapedLine, str]:
    """A shaped line and the side it keeps to; a justified one has wider spaces."""
    line = layout.shape(row, fonts, base=base)
    spaces = row.count(" ")
    if align == "justify" and spaces and not last and line.advance < width:
        line = layout.shape(
            row,
            fonts,
            base=base,
            space=min((width - line.advance) / spaces, 1.0),
        )
    side = "centre" if align == "centre" else "right" if base else "left"
    return line, side


def wrap(text: str, fonts: Sequence[Path], width: float, base: int = 0, *, whole_words: bool = False) -> list[str]:
    """Break a text at its spaces into rows of at most `width` em; a word that is wider is broken between its letters,
    or with `whole_words` stands in a row of its own."""
    rows: list[str] = []
    row, taken = "", 0.0
    for word in text.split():
        pieces = [word] if whole_words else _pieces(word, fonts, width, base)
        for number, piece in enumerate(pieces):
            advance = layout.shape(piece, fonts, base=base).advance
            if row and not number and taken + GAP + advance <= width:
                row = f"{row} {piece}"
                taken = taken + GAP + advance
            else:
                rows += [row] if row else []
                row, taken = piece, advance
    return [*rows, row] if row else rows


def _pieces(word: str, fonts: Sequence[Path], width: float, base: int) -> list[str]:
    """A word, cut where it is wider than a row; never before a mark or inside what is joined."""
    if layout.shape(word, fonts, base=base).advance <= width:
        return [word]
    pieces, start = [], 0
    breaks = layout.breaks(word)
    for index, end in enumerate(breaks):
        following = breaks[index + 1] if index + 1 < len(breaks) else None
        if (
            following is None
            or layout.shape(
                word[start:following],
                fonts,
                base=base,
            ).advance
            > width
        ):
            pieces.append(word[start:end])
            start = end
    return pieces


def _set(
    rng: random.Random, lines: Sequence[tuple[ShapedLine, str]], em: float, spacing: float, width: float
) -> Pixels:
    """Print lines below each other; the picture is as large as the ink, the fonts' own height and the margins need."""
    tight = rng.uniform(0.4, 1.0) if len(lines) == 1 else 1.0  # a single line is also cut out closely
    up = max(max(line.ascent * tight, line.top) for line, _ in lines)
    down = max(max(line.descent * tight, -line.bottom) for line, _ in lines)
    pitch = (up + down) * spacing
    column = max(
        [
            width,
            *(line.advance for line, _ in lines),
        ]
    )
    before = max(
        0.0,
        max(-line.left for line, _ in lines),
    )  # ink that reaches beyond the pen's way
    after = max(
        0.0,
        max(line.right - line.advance for line, _ in lines),
    )
    left, right, top, bottom = (2 + em * rng.uniform(0.05, 0.7) for _ in range(4))
    tall = max(
        SMALLEST_SIDE,
        math.ceil(top + bottom + em * (pitch * (len(lines) - 1) + up + down)),
    )
    wide = max(
        SMALLEST_SIDE,
        math.ceil(left + right + em * (column + before + after)),
    )
    if max(tall, wide) > LONGEST * min(tall, wide):
        raise Unfit("image.aspect", f"a picture of {wide} x {tall} px is longer than {LONGEST} times its other side")
    canvas = np.zeros((tall, wide), dtype=np.float32)
    for number, (line, side) in enumerate(lines):
        free = SIDES[side] * (column - line.advance)
        layout.paint(
            canvas,
            line,
            x=left + em * (before + free),
            baseline=top + em * (up + number * pitch),
            em=em,
        )
    ink, paper = colours(rng)
    return print_on(paper, ink, canvas)
