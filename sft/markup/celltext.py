"""The text of one table cell as a training target: one line, nothing invisible around it, formulas as `\\( … \\)`."""

from __future__ import annotations

import re

from sft.markup.latex_inline import inline_to_paren

# Characters between which a line break joins without a space: Han, kana, bopomofo, CJK punctuation and full-width forms.
# Hangul is not among them: Korean separates words with spaces.
CJK_CLASS = r"\u2e80-\u2fff\u3001-\u3130\u3190-\u31ff\u3200-\u321c\u321f-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff9f\uffe0-\uffef\U00020000-\U0003ffff"
_SPACES = re.compile(r"[ \t\n\r\f]+")  # HTML's white space: NBSP and U+3000 inside a text stay as they are
_BREAK_IN_CJK = re.compile(f"(?<=[{CJK_CLASS}])[ \\t\\r\\f]*\\n[ \\t\\n\\r\\f]*(?=[{CJK_CLASS}])")
_DISPLAY = re.compile(r"(?<![\\$])\$\$(?!\$)([^$]*[\\^_{}][^$]*)\$\$(?!\$)")

# What leaves no ink: white space of any kind, joiners, zero-width spaces, direction marks, soft hyphen, byte order mark.
INVISIBLE = (
    "".join(map(chr, (*range(0x09, 0x0E), *range(0x1C, 0x21), 0x85, 0xA0, 0xAD, 0x61C, 0x1680, 0x180E, *range(0x2000, 0x2010))))
    + "".join(map(chr, (*range(0x2028, 0x2030), 0x205F, *range(0x2060, 0x2065), *range(0x2066, 0x2070), 0x2800, 0x3000, 0x3164, 0xFEFF, 0xFFA0)))
)


def visible(text: str) -> str:
    """`text` without white space around it; "" where nothing in it can be seen, as in a cell of NBSP or zero-width spaces.

    Joiners at the ends of a visible text stay: in Indic scripts a word may end with one.
    """
    text = text.strip()
    return text if text.isascii() or text.strip(INVISIBLE) else ""


def one_line(text: str) -> str:
    """`text` with every run of white space as one space, or as nothing where it breaks a line between two CJK characters."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\n" in text and not text.isascii():
        text = _BREAK_IN_CJK.sub("", text)
    return visible(_SPACES.sub(" ", text))


def formulas(text: str) -> str:
    """`text` with `$…$` and `$$…$$` as `\\( … \\)` where TeX stands between them; prices stay (the rule is `inline_to_paren`'s)."""
    if "$" not in text:
        return text
    if "$$" in text:
        text = _DISPLAY.sub(lambda found: f"\\( {found[1].strip()} \\)", text)
    return text if "$$" in text else inline_to_paren(text)
