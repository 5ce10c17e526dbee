"""The layout of one file of words with their corners: which fields stand between the corners and the text, and how
texts are written.

    377,117,463,117,465,130,378,130,Genaxis Theatre       ICDAR 2015, SROIE, MTWI
    158 128 411 181 "Footpath"                            2013
    38, 43, 920, 215, "Tiredness"
    x1,y1,…,x4,y4,Latin,text                              MLT: a script before the text
    x1,y1,…,x4,y4,0,"text"                                RCTW-17: whether it is difficult to read
    x1,y1,…,x4,y4,text,0  x1,y1,…,x4,y4,0.98,text         exports with that behind it, or with a confidence
    x1,y1,…,x14,y14,####text                              SCUT-CTW1500: a polygon

One line cannot tell an extra field from a text with a comma in it, the file can: a field counts as one only where every
line of the file has it, and quotes around the text are no text only where every line has them. A file of one line
without quotes is read as the files beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SCRIPTS = (
    "Arabic",
    "Latin",
    "Chinese",
    "Japanese",
    "Korean",
    "Bangla",
    "Hindi",
    "Symbols",
    "Mixed",
    "None",
    "Others",
    "Devanagari",
)
QUAD, POLYGON = 8, 12  # numbers of a quad, and the fewest of a polygon that is told from a quad with numbers as text
_FLAG = "[01]|true|false"
_BEFORE = (  # fields that can stand before the text
    re.compile(rf"\s*(?:{'|'.join(SCRIPTS)})\s*,"),
    re.compile(rf"\s*(?:{_FLAG})\s*,", re.IGNORECASE),
    re.compile(r"\s*(?:0?\.[0-9]+|1\.0+)\s*,"),
)
_BEHIND = re.compile(rf",\s*(?:{_FLAG})\s*", re.IGNORECASE)  # …, and behind it
_QUOTED = re.compile(r'\s*"(?:.*)"\s*', re.DOTALL)
_DIGIT = re.compile(r'\s*"?[-+]?[0-9]')
_NUMBER = re.compile(r"\s*-?[0-9]{1,9}(?:\.[0-9]{1,20})?\s*")
_MARK = "####"


@dataclass(frozen=True)
class Layout:
    """How the lines of one file are written. `numbers`: how many make the corners."""

    numbers: int = QUAD
    before: re.Pattern[str] | None = None
    behind: bool = False
    quoted: bool = False
    marked: bool = False

    def text(self, rest: str) -> str:
        """The text of a line, from what stands behind its corners; still in quotes, where it has some that are not
        text.
        """
        if self.before and (match := self.before.match(rest)):
            rest = rest[match.end() :]
        if self.behind:
            rest = rest[: rest.rindex(",")]
        return rest.removeprefix(_MARK) if self.marked else rest

    def said(self) -> str:
        """The layout in words, where it is none that ICDAR has published."""
        fields = [
            *(["a field before the text"] if self.before and self.before is not _BEFORE[0] else []),
            *(["a field behind the text"] if self.behind else []),
            *(["quotes around the text"] if self.quoted else []),
            *([f"{self.numbers // 2} corners"] if self.numbers > QUAD else []),
        ]
        return f"{' and '.join(fields)} in every line of a file: no part of the text" if fields else ""


def split(line: str, numbers: int) -> tuple[tuple[float, ...], str] | None:
    """(numbers of the corners, what stands behind them) of a line; None where it has another layout.

    >>> split("1,2,3,4,5,6,7,8,a, b", 8)
    ((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0), 'a, b')
    """
    fields = line.split(",", numbers)
    if len(fields) <= numbers or not all(_NUMBER.fullmatch(field) for field in fields[:numbers]):
        return None
    return tuple(float(field) for field in fields[:numbers]), fields[numbers]


def layout(lines: Sequence[str]) -> Layout:
    """The layout that all lines of a file share, but for those that have no corners; that of 2015 where they share
    none.
    """
    numbers = _numbers(lines)
    rests = [part[1] for line in lines if (part := split(line, numbers)) is not None]
    if not rests:
        return Layout(numbers)
    before = next(
        (field for field in _BEFORE if _is_field(field, rests)),
        None,
    )
    texts = [rest[match.end() :] for rest in rests if before and (match := before.match(rest))] or rests
    behind = not before and _is_behind(texts)
    if behind:
        texts = [text[: text.rindex(",")] for text in texts]
    quoted = all(_QUOTED.fullmatch(text) for text in texts)
    return Layout(
        numbers,
        before,
        behind,
        quoted,
        numbers > QUAD and all(text.startswith(_MARK) for text in texts),
    )


def fits(lines: Sequence[str], line_layout: Layout) -> bool:
    """Whether a file of few lines can be of the layout of the files beside it."""
    rests = [part[1] for line in lines if (part := split(line, line_layout.numbers)) is not None]
    fields = [not line_layout.before or line_layout.before.match(rest) for rest in rests]
    behind = [not line_layout.behind or ("," in rest and _BEHIND.fullmatch(rest, rest.rindex(","))) for rest in rests]
    return bool(rests) and all(fields) and all(behind) and not line_layout.quoted


def _numbers(lines: Sequence[str]) -> int:
    """How many numbers the corners have: 8, or as many more as stand in every line before its last field."""
    fewest = min(
        (count for line in lines if (count := _leading(line)) >= QUAD),
        default=QUAD,
    )
    return fewest if fewest >= POLYGON and fewest % 2 == 0 else QUAD


def _leading(line: str) -> int:
    """How many numbers a line begins with; its last field is its text, whatever it looks like."""
    fields = line.split(",")[:-1]
    return next(
        (at for at, field in enumerate(fields) if not _NUMBER.fullmatch(field)),
        len(fields),
    )


def _is_field(field: re.Pattern[str], rests: Sequence[str]) -> bool:
    """Whether every line has this field before its text. Numbers with a decimal comma ("0,50" and "1,20") are texts."""
    matches = [field.match(rest) for rest in rests]
    texts = [rest[match.end() :] for rest, match in zip(rests, matches, strict=True) if match]
    if len(texts) < len(rests):
        return False
    if field is _BEFORE[0] or all(_QUOTED.fullmatch(text) for text in texts):
        return True
    return len(texts) > 1 and any(not _DIGIT.match(text) for text in texts)


def _is_behind(texts: Sequence[str]) -> bool:
    """Whether every line has a flag behind its text: in quotes, or in two lines and more."""
    if not all(_BEHIND.fullmatch(text, text.rfind(",")) for text in texts if "," in text) or not all(
        "," in text for text in texts
    ):
        return False
    inner = [text[: text.rindex(",")] for text in texts]
    if all(_QUOTED.fullmatch(text) for text in inner):
        return True
    return len(texts) > 1 and any(not _DIGIT.match(text) for text in inner)
