"""Raised and lowered digits beside digits: `10<sup>5</sup>` without its tags would be the number 105.

`<sup>` and `<sub>` lose their tags in a target (`H2O`, `m2`), except where that would join digits: there they become
`\\( 10^{5} \\)`.
"""

from __future__ import annotations

import re

_MINUS = r"(?:[-+\u2212\u2013\u00b1]|&minus;|&#8722;|&plusmn;)?"
_INNER = r"(?:</?(?:b|i|em|strong|u|span)>)*"
# A raised or lowered text of digits alone, with a sign before or behind them
_SCRIPT = re.compile(rf"<(su[bp])(?:\s[^<>]{{0,200}})?>\s*{_INNER}({_MINUS}[0-9][0-9.,]{{0,20}}{_MINUS}){_INNER}\s*</\1\s*>(?=(?:</?(?:b|i|em|strong|u|span)>)*([0-9])?)", re.IGNORECASE)
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
    for found in _SCRIPT.finditer(html):
        before = html[max(done, found.start() - REACH) : found.start()]
        bare = before
        while tag := _TAG_BEFORE.search(bare):
            bare = bare[: tag.start()]
        if not (bare[-1:].isdecimal() or found[3]) or _in_formula(html, found.start()):
            continue
        number = _NUMBER_BEFORE.search(before) if bare is before else None
        out.append(html[done : found.start() - len(number[0])] if number else html[done : found.start()])
        mark = "_" if found[1].lower() == "sub" else "^"
        out.append(f"\\( {number[0] if number else ''}{mark}{{{found[2]}}} \\)")
        done = found.end()
    return "".join([*out, html[done:]])


def _in_formula(html: str, place: int) -> bool:
    """Whether a `\\(` or `$` of the same cell is still open."""
    start = max(0, place - REACH)
    cell = html[max(start, html.rfind("<t", start, place)) : place]
    return cell.rfind("\\(") > cell.rfind("\\)") or cell.count("$") % 2 == 1
