"""Number formats of Excel: `1234.5` under `#,##0.00` is shown as `1,234.50`, the serial number 45657 under `dd/mm/yyyy`
as `31/12/2024`.

The grammar is that of ECMA-376 (part 1, 18.8.31) and of what Excel adds in practice: up to four sections, conditions,
colours, currencies (`[$€-407]`), digits with literals among them, thousands and scaling commas, percent, scientific
numbers, fractions, dates and times, elapsed hours. A colour is not shown, `_x` is a blank, and so is `* ` (fill with
blanks). Everything is English, as in Excel for the United States; what Excel may show otherwise is shown with a doubt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from sft.markup.number_dates import DATE_KINDS, Token, date_text
from sft.markup.number_digits import exact, general, literal, number_text

# Formats that stand in no file, by their number: those of East Asia, whose texts depend on the language, and those that
# ECMA-376 (part 1, 18.8.30) and openpyxl spell otherwise than Excel shows them.
EAST_ASIAN: dict[int, str] = {
    27: 'yyyy"年"m"月"',
    28: 'm"月"d"日"',
    29: 'm"月"d"日"',
    30: "m-d-yy",
    31: 'yyyy"年"m"月"d"日"',
    32: 'h"時"mm"分"',
    33: 'h"時"mm"分"ss"秒"',
    34: 'h"時"mm"分"',
    35: 'h"時"mm"分"ss"秒"',
    36: 'yyyy"年"m"月"',
    50: 'yyyy"年"m"月"',
    51: 'm"月"d"日"',
    52: 'yyyy"年"m"月"',
    53: 'm"月"d"日"',
    54: 'm"月"d"日"',
    55: 'yyyy"年"m"月"',
    56: 'm"月"d"日"',
    57: 'yyyy"年"m"月"',
    58: 'm"月"d"日"',
}
BUILT_IN: dict[int, str] = {
    44: '_("$"* #,##0.00_);_("$"* \\(#,##0.00\\);_("$"* "-"??_);_(@_)',
    47: "mm:ss.0",
    **EAST_ASIAN,
}
SYSTEM_FORMATS = {
    "mm-dd-yy": "m/d/yyyy",
    "m/d/yy h:mm": "m/d/yyyy h:mm",
    "[$-f800]": "dddd, mmmm d, yyyy",
    "[$-f400]": "h:mm:ss AM/PM",
}  # what each system shows its own way
ENGLISH = ("", "409", "809", "c09", "1009", "1409", "4009")  # languages whose names of months are these
LONGEST = 255  # characters of a number format in Excel
_NAMES = re.compile(r"m{3,}|d{3,}", re.IGNORECASE)
_TOKEN = re.compile(
    r"""(?P<lit>"[^"]*"?|\\.)|(?P<pad>_.)|(?P<fill>\*.)|\[\$(?P<money>[^\]]*)\]|\[(?P<elapsed>h+|m+|s+)\]"""
    r"""|\[(?P<if>[<>=][^\]]*)\]|\[(?P<mark>[^\]]*)\]|(?P<general>general)|(?P<ampm>am/pm|a/p)|(?P<exp>e[+-])"""
    r"""|(?P<date>y+|m+|d+|h+|s+|e+|b+|g+)|(?P<digit>[0#?])|(?P<sign>[.,%/@;])|(?P<char>.)""",
    re.IGNORECASE | re.DOTALL,
)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?[0-9.]+(?:e[+-]?[0-9]+)?)", re.IGNORECASE)
_COLOUR = re.compile(r"black|blue|cyan|green|magenta|red|white|yellow|color\s*[0-9]{1,2}", re.IGNORECASE)


class Shown(NamedTuple):
    """How Excel shows a value; `doubt` says why it may be otherwise, "" for what is sure. Blanks are left as they
    come.
    """

    text: str
    doubt: str = ""


@dataclass(frozen=True)
class _Section:
    """One of the parts between semicolons."""

    tokens: tuple[Token, ...]
    condition: tuple[str, Decimal] | None
    doubt: str

    @property
    def is_date(self) -> bool:
        return any(kind in DATE_KINDS for kind, _ in self.tokens)

    def has(self, kind: str, text: str = "") -> bool:
        return any(one == kind and (not text or text == value) for one, value in self.tokens)


def shown_number(value: float, code: str, *, epoch1904: bool = False) -> Shown:
    """How Excel shows a number under the format `code` (as in `numFmt/@formatCode`).

    epoch1904: dates count from 1904.
    """
    number = exact(value)
    sections, doubt = _sections(code)
    if sections is None or (len(sections) == 1 and sections[0].has("sign", "@")):
        return Shown(general(value), doubt)
    index = _chosen(sections, number)
    if index is None:
        return Shown("#####", "no section of the format is for this number")
    section = sections[index]
    if section.has("general"):
        inner = general(abs(value) if index else value)
        return Shown(
            "".join([inner if kind == "general" else literal(kind, text) for kind, text in section.tokens]),
            section.doubt,
        )
    if section.is_date:
        text = date_text(
            [(kind, literal(kind, text) if kind in ("pad", "fill") else text) for kind, text in section.tokens],
            number,
            epoch1904=epoch1904,
        )
        return Shown("#####", "Excel shows no such date") if text is None else Shown(text, section.doubt)
    signless = index == 1 or (index == 0 and section.condition is not None)
    unsure = "a negative number under a condition" if number < 0 and any(one.condition for one in sections) else ""
    text, nothing, inexact = number_text(section.tokens, abs(number))
    unsure = unsure or (
        "the nearest fraction of several"
        if inexact
        else "a negative number that rounds to nothing"
        if number < 0 and nothing
        else ""
    )
    return Shown(
        ("-" if number < 0 and not signless and not nothing else "") + text,
        section.doubt or unsure,
    )


def shown_text(text: str, code: str) -> str:
    """How Excel shows a text under a number format: as it is, unless a section is for texts."""
    sections, _ = _sections(code)
    if not sections or len(sections) > 4 or not (len(sections) == 4 or sections[-1].has("sign", "@")):
        return text
    return "".join(
        [text if (kind, sign) == ("sign", "@") else literal(kind, sign) for kind, sign in sections[-1].tokens]
    )


@lru_cache(maxsize=1024)
def _sections(code: str) -> tuple[tuple[_Section, ...] | None, str]:
    """The sections of a format, and a doubt about all of it; None for General, and for what means nothing here."""
    if code.strip().lower() in ("", "general"):
        return None, ""
    known = SYSTEM_FORMATS.get(code.lower()) or next(
        (own for mark, own in SYSTEM_FORMATS.items() if mark[0] == "[" and code.lower().startswith(mark)), ""
    )
    if known:
        return (_section(tuple(_tokens(known)), "each system shows this date or time its own way"),), ""
    if len(code) > LONGEST:
        return None, f"a number format of {len(code)} characters"
    parts: list[list[Token]] = [[]]
    for token in _tokens(code):
        if token == ("sign", ";"):
            parts.append([])
        else:
            parts[-1].append(token)
    sections = tuple(_section(tuple(part)) for part in parts)
    unknown = next(
        (text for section in sections for kind, text in section.tokens if kind == "unknown"),
        "",
    )
    if unknown or len(sections) > 4:
        return None, f"the number format {code[:60]!r} is not known" + (f" ({unknown!r})" if unknown else "")
    return sections, ""


def _tokens(code: str) -> list[Token]:
    """What a format is made of; "unknown" for letters that mean nothing."""
    tokens = []
    for one in _TOKEN.finditer(code):
        kind = one.lastgroup or "char"
        text = one[kind]
        if kind == "lit":
            text = text[1:] if text[0] == "\\" else text[1:].removesuffix('"')
        elif kind == "date" and text[0] in "gG":
            kind = "unknown"
        elif kind == "char":
            kind = "unknown" if text.isalpha() and text.isascii() else "lit"
        elif kind == "mark" and not _COLOUR.fullmatch(text):
            kind = "unknown"
        tokens.append((kind, text))
    return tokens


def _section(tokens: tuple[Token, ...], doubt: str = "") -> _Section:
    condition, kept = None, []
    language = ""
    for kind, text in tokens:
        if kind == "money":
            text, _, language = text.partition("-")
            kept.append(("lit", text))
        elif kind == "if":
            match = _CONDITION.fullmatch(text)
            condition = (match[1], Decimal(match[2])) if match else condition
        elif kind != "mark":
            kept.append((kind, text))
    language = language.lower().lstrip("0")
    if language not in ENGLISH and any(kind == "date" and _NAMES.fullmatch(text) for kind, text in kept):
        doubt = "names of months or days in another language"
    return _Section(tuple(kept), condition, doubt)


def _chosen(sections: tuple[_Section, ...], number: Decimal) -> int | None:
    """The index of the section for a number; None if there is none."""
    numeric = sections[:-1] if len(sections) == 4 or sections[-1].has("sign", "@") else sections
    if any(section.condition for section in numeric[:2]):
        for index, section in enumerate(numeric[:2]):
            if section.condition and _holds(number, *section.condition):
                return index
        rest = [index for index, section in enumerate(numeric) if section.condition is None]
        return rest[-1] if rest else None
    if len(numeric) == 1 or number > 0:
        return 0
    return 1 if number < 0 else min(2, len(numeric) - 1) if len(numeric) > 2 else 0


def _holds(number: Decimal, sign: str, limit: Decimal) -> bool:
    return {
        "<": number < limit,
        ">": number > limit,
        "=": number == limit,
        "<=": number <= limit,
        ">=": number >= limit,
        "<>": number != limit,
    }[sign]
