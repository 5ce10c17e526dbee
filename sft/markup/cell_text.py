"""The text of one table cell as a training target: one line, nothing invisible around it, formulas as `\\( … \\)`."""

from __future__ import annotations

import html
import re

from sft.markup.latex import inline_to_paren
from sft.markup.text import BLANK_CLASS
from sft.markup.unicode_scripts import UNSPACED_CLASS

WIDE_BLANK = re.compile(f"[{BLANK_CLASS}]")
WIDE_BLANKS = "".join(filter(WIDE_BLANK.match, map(chr, range(0x80, 0x3000))))
_SPACES = re.compile(r"[ \t\n\r\f]+")
_BREAK_WITHOUT_BLANK = re.compile(f"(?<=[{UNSPACED_CLASS}])[ \\t\\r\\f]*\\n[ \\t\\n\\r\\f]*(?=[{UNSPACED_CLASS}])")
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_DISPLAY = re.compile(r"(?<![\\$])\$\$(?!\$)([^$]*[\\^_{}][^$]*)\$\$(?!\$)")

# What leaves no ink: white space of any kind, joiners, zero-width spaces, direction marks, soft hyphen, byte order
# mark.
INVISIBLE = "".join(
    map(chr, (*range(0x09, 0x0E), *range(0x1C, 0x21), 0x85, 0xA0, 0xAD, 0x61C, 0x1680, 0x180E, *range(0x2000, 0x2010)))
) + "".join(
    map(
        chr,
        (
            *range(0x2028, 0x2030),
            0x205F,
            *range(0x2060, 0x2065),
            *range(0x2066, 0x2070),
            0x2800,
            0x3000,
            0x3164,
            0xFEFF,
            0xFFA0,
        ),
    )
)


def visible(text: str) -> str:
    """`text` without white space around it; "" where nothing in it can be seen, as in a cell of NBSP or zero-width
    spaces.

    Joiners at the ends of a visible text stay: in Indic scripts a word may end with one.
    """
    text = text.strip()
    return text if text.isascii() or text.strip(INVISIBLE) else ""


def one_line(text: str) -> str:
    """`text` with every run of white space as one plain blank, or as nothing where it breaks a line between two
    characters of scripts without blanks (Han, kana, Thai …). U+3000 stays.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\n" in text and not text.isascii():
        text = _BREAK_WITHOUT_BLANK.sub("", text)
    if not text.isascii():
        text = WIDE_BLANK.sub(" ", text)
    return visible(_SPACES.sub(" ", text))


def formulas(text: str) -> str:
    """`text` with `$…$` and `$$…$$` as `\\( … \\)` where TeX stands between them; prices stay (the rule is
    `inline_to_paren`'s).
    """
    if "$" not in text:
        return text
    if "$$" in text:
        text = _DISPLAY.sub(
            lambda match: f"\\( {match[1].strip()} \\)",
            text,
        )
    return text if "$$" in text else inline_to_paren(text)


def cell_text(text: str) -> str:
    """What a cell holds, as it is trained: one line, plain blanks, nothing invisible around it, formulas as `\\( …
    \\)`. Idempotent.
    """
    return formulas(one_line(text))


def without_references(text: str) -> str:
    """`text` with whole character references (`&amp;`, `&#8211;`) as what they stand for, once."""
    return (
        _REFERENCE.sub(
            lambda match: html.unescape(match[0]),
            text,
        )
        if "&" in text
        else text
    )


_MINUS = r"(?:[-+\u2212\u2013\u00b1]|&minus;|&#8722;|&plusmn;)?"
_INNER = r"(?:</?(?:b|i|em|strong|u|span)>)*"
# A raised or lowered text of digits alone, with a sign before or behind them
_SCRIPT = re.compile(
    rf"<(su[bp])(?:\s[^<>]{{0,200}})?>\s*{_INNER}({_MINUS}[0-9][0-9.,]{{0,20}}{_MINUS}){_INNER}\s*</\1\s*>"
    r"(?=(?:</?(?:b|i|em|strong|u|span)>)*([0-9])?)",
    re.IGNORECASE,
)
_TAG_BEFORE = re.compile(r"</?(?:b|i|em|strong|u|span|su[bp])(?:\s[^<>]{0,200})?>\Z", re.IGNORECASE)
_NUMBER_BEFORE = re.compile(r"[0-9](?:[0-9.,]{0,30}[0-9])?\Z")
REACH = 400  # characters before a script that are looked at


def keep_numbers(html: str) -> str:
    """`html` with formulas for the scripts that would join digits; everything else as it is.

    >>> keep_numbers("<td>1.5 10<sup>-3</sup> m<sup>2</sup> H<sub>2</sub>O</td>")
    '<td>1.5 \\\\( 10^{-3} \\\\) m<sup>2</sup> H<sub>2</sub>O</td>'
    """
    if "<su" not in html and "<SU" not in html:
        return html
    out: list[str] = []
    done = 0
    for match in _SCRIPT.finditer(html):
        before = html[max(done, match.start() - REACH) : match.start()]
        bare = before
        while tag := _TAG_BEFORE.search(bare):
            bare = bare[: tag.start()]
        if not (bare[-1:].isdecimal() or match[3]) or _in_formula(html, match.start()):
            continue
        number = _NUMBER_BEFORE.search(before) if bare is before else None
        out.append(html[done : match.start() - len(number[0])] if number else html[done : match.start()])
        mark = "_" if match[1].lower() == "sub" else "^"
        out.append(f"\\( {number[0] if number else ''}{mark}{{{match[2]}}} \\)")
        done = match.end()
    return "".join([*out, html[done:]])


def _in_formula(html: str, place: int) -> bool:
    """Whether a `\\(` or `$` of the same cell is still open."""
    start = max(0, place - REACH)
    cell = html[max(start, html.rfind("<t", start, place)) : place]
    return cell.rfind("\\(") > cell.rfind("\\)") or cell.count("$") % 2 == 1
