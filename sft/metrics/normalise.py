"""Normalisation profiles: what both texts go through before they are compared, as named values.

A score without its profile cannot be compared with another. Each profile says what it loses: a difference that it takes
away can no longer be found wrong.

| name         | from                                                | loses                                                      |
|--------------|-----------------------------------------------------|------------------------------------------------------------|
| raw          | here; the default                                   | spellings of one letter (NFC), outer white space           |
| paddle       | PaddleOCR's RecMetric with its default ignore_space | blanks (U+0020), and with them the borders of words        |
| omnidocbench | OmniDocBench's text blocks                          | punctuation, white space, **every combining mark**, formulas' LaTeX |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sft.metrics.text import RAW, ned, normalise

MAX_FORMULA = 2000  # characters of one formula in a text that are turned into Unicode; a longer one stays as it is
MAX_FORMULAS = 20_000  # characters of all formulas of a text, each with 20 more; further ones stay too

_OPENING = re.compile(r"\$|\\\(")
_ESCAPED = re.compile(r"\\[\\_&%^]")
_LITERALS = ("\\t", "\\n", "\t", "\n", "/t", "/n")
_KEPT = re.compile(r"[^\w\u4e00-\u9fff]")


@dataclass(frozen=True)
class Profile:
    """One normalisation. `apply` is pure; `definition` stands in result files; `loses` is what no score under it can
    see.
    """

    name: str
    version: str
    definition: str
    loses: str
    apply: Callable[[str], str]


def paddle(text: str) -> str:
    """Without blanks (U+0020 only), as PaddleOCR's `RecMetric` compares (ppocr/metrics/rec_metric.py @0002349,
    `ignore_space`).
    """
    return text.replace(" ", "")


def omnidocbench(text: str) -> str:
    """As OmniDocBench compares text blocks: formulas as Unicode, then nothing but what matches `\\w` or is Han.

    `\\w` matches no combining mark (Mn, Mc): Bengali, Hindi, Thai, Tibetan, Burmese lose their vowels, and an answer
    without any scores as well as one that has them. `/t` and `/n` go too, wherever they stand (`b/test` → `best`).
    Differs from the published code in one thing: what of formulas is beyond MAX_FORMULA and MAX_FORMULAS keeps its
    LaTeX.
    """
    text = _formulas_as_unicode(text) if "$" in text or "\\(" in text else text
    for literal in _LITERALS:
        text = text.replace(literal, "")
    return _KEPT.sub("", text)


def _formulas_as_unicode(text: str) -> str:
    parts = []
    done = 0
    left = MAX_FORMULAS
    for start, end, body in _formulas(text):
        body = _ESCAPED.sub("", body)
        if len(body) > min(MAX_FORMULA, left) or not any(sign in body for sign in "\\^_"):
            continue
        left -= len(body) + 20  # what a formula costs besides
        shown = _unicode(body)
        if shown is not None:
            parts += [text[done:start], shown.strip()]
            done = end
    return "".join([*parts, text[done:]])


def _formulas(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, body) of every `$…$` and `\\(…\\)` within a line, in linear time."""
    place = line_end = 0
    closed = True  # does a `\)` follow in this line?
    while opening := _OPENING.search(text, place):
        start, place = opening.span()
        if start >= line_end:
            line_end = text.find("\n", start)
            line_end = len(text) if line_end < 0 else line_end
            closed = True
        closing = "$" if opening[0] == "$" else "\\)"
        end = text.find(closing, place, line_end) if closing == "$" or closed else -1
        if end >= 0:
            yield start, end + len(closing), text[place:end]
            place = end + len(closing)
        elif closing == "\\)":
            closed = False


def _unicode(body: str) -> str | None:
    """What pylatexenc makes of a formula; None where it gives up."""
    from pylatexenc.latex2text import LatexNodes2Text

    try:
        shown: str = LatexNodes2Text().latex_to_text(body + " " if body.endswith("\\") else body)
    except Exception:  # whatever its macros raise: the published code goes on too
        return None
    return shown


PROFILES: dict[str, Profile] = {
    "raw": Profile(
        "raw", "1.0", RAW, "which of two canonically equal spellings was written; outer white space", normalise
    ),
    "paddle": Profile(
        "paddle",
        "1.0",
        "paddle: U+0020 deleted, as PaddleOCR's RecMetric with ignore_space",
        "blanks, and with them the borders of words",
        paddle,
    ),
    "omnidocbench": Profile(
        "omnidocbench",
        "1.0",
        "omnidocbench: inline formulas as Unicode, then only \\w and U+4E00-9FFF kept, as OmniDocBench's clean_string",
        "every combining mark (the vowels of Indic and South-East Asian scripts), punctuation, symbols, white space,"
        " the LaTeX of formulas",
        omnidocbench,
    ),
}


def ned_paddle(*, ref: str, pred: str) -> float:
    """`text.ned` under the profile `paddle`: 1 - PaddleOCR's norm_edit_dis, 0 best."""
    return ned(ref=paddle(ref), pred=paddle(pred))


def ned_omnidocbench(*, ref: str, pred: str) -> float:
    """`text.ned` under the profile `omnidocbench`, 0 best.

    Blind to combining marks: for comparison with published figures only.
    """
    return ned(ref=omnidocbench(ref), pred=omnidocbench(pred))
