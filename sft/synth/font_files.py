"""Fonts: found by name or path, asked what they can draw, and refused in words where they cannot."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import uharfbuzz as hb

from sft.errors import UsageError
from sft.synth.glyphs import BENGALI_FONT

MAX_FONT_BYTES = 64 * 1024 * 1024  # the largest CJK collections have 20 MB
SHIPPED = {"bengali": BENGALI_FONT}  # names that --font knows besides those of matplotlib's own fonts
LATIN = (
    "DejaVuSans",
    "DejaVuSerif",
    "DejaVuSans-Bold",
    "DejaVuSansMono",
    "DejaVuSerif-Italic",
)  # what is drawn with where no font is given
IGNORABLE = {"Cf", "Cc", "Zs", "Zl", "Zp"}  # categories without ink
INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u3164\uffa0") | {
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}


def matplotlib_fonts() -> Path:
    """The folder of the fonts that matplotlib ships: DejaVu Sans, Serif and Mono (Latin, Greek, Cyrillic,
    Arabic, …).
    """
    try:
        import matplotlib
    except ImportError as error:
        raise UsageError(
            "the fonts for Latin text are part of matplotlib, which is not installed",
            hint="pip install 'paddleocr-vl-sft[synth]', or give a --font",
        ) from error
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def find(names: Sequence[str]) -> tuple[Path, ...]:
    """The font files called so: a path, "bengali", or a DejaVu font such as "DejaVuSerif"; without names, DejaVu."""
    paths = [_find(name) for name in names or LATIN]
    for path in paths:
        face(path)
    return tuple(dict.fromkeys(paths))


def _find(name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path.resolve()
    if name in SHIPPED:
        return SHIPPED[name]
    if name.startswith("DejaVu"):
        candidate = matplotlib_fonts() / f"{name.removesuffix('.ttf')}.ttf"
        if candidate.is_file():
            return candidate
    raise UsageError(
        "no such font", where=name, hint=f"give a .ttf or .otf file, {', '.join(SHIPPED)}, or {', '.join(LATIN)}"
    )


@cache
def face(path: Path) -> Any:
    """HarfBuzz' font; UsageError where the file is none."""
    try:
        size = path.stat().st_size
        blob = hb.Blob(path.read_bytes()) if size <= MAX_FONT_BYTES else None
    except OSError as error:
        raise UsageError(f"cannot read this font ({error.strerror})", where=str(path)) from error
    if blob is None:
        raise UsageError(
            f"a font of {size:,} bytes; at most {MAX_FONT_BYTES:,} are read",
            where=str(path),
        )
    opened = hb.Face(blob)
    if not opened.glyph_count or not opened.unicodes:
        raise UsageError("this is not a font: it has no glyphs", where=str(path), hint="give a .ttf or .otf file")
    return hb.Font(opened)


@cache
def covers(path: Path, char: str) -> bool:
    """Whether the font has a glyph for a character, or the character is one without ink."""
    if char in INVISIBLE or unicodedata.category(char) in IGNORABLE:
        return True
    return bool(face(path).get_nominal_glyph(ord(char)))


def extents(path: Path) -> tuple[float, float]:
    """(ascent, descent) of a font in parts of an em, both positive."""
    font = face(path)
    measures = font.get_font_extents("ltr")
    upem = font.face.upem
    return max(measures.ascender, 0) / upem, max(-measures.descender, 0) / upem


def order(fonts: Sequence[Path], text: str, start: int) -> tuple[Path, ...]:
    """The fonts with the one to draw `text` with in front: of those that cover most of it, number `start` (counted
    around).
    """
    letters = set(text)
    score = {font: sum(covers(font, char) for char in letters) for font in fonts}
    best = [font for font in fonts if score[font] == max(score.values())]
    first = best[start % len(best)]
    return (first, *(font for font in fonts if font != first))


def missing(text: Iterable[str], fonts: Sequence[Path]) -> list[str]:
    """The characters that none of the fonts has, sorted."""
    return sorted({char for char in text if not any(covers(font, char) for font in fonts)})


def refuse_missing(chars: Sequence[str], fonts: Sequence[Path], *, where: str | None = None) -> None:
    """Raise UsageError where a character is missing in all fonts; it names both."""
    if not chars:
        return
    names = ", ".join(f"{char!r} (U+{ord(char):04X})" for char in chars[:20]) + (
        f" and {len(chars) - 20} more" if len(chars) > 20 else ""
    )
    fonts_text = " and ".join(font.name for font in fonts[:4])
    raise UsageError(
        f"font {fonts_text} has no glyph for {names}",
        where=where,
        hint="add a font that covers the script of the text: --font A.ttf --font B.ttf",
    )
