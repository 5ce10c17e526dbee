"""Formulas inside texts and table cells: `$x^2$ costs $5` → `\\( x^2 \\) costs $5`. One rule for every source."""

from __future__ import annotations

import re

from sft.markup.latex_tokens import trim, without_dollars
from sft.markup.latex_unseen import without_marks, without_row_ends

_DOLLAR = re.compile(r"\\.|\$|\n[^\S\n]*\n", re.DOTALL)  # an escaped character, a dollar sign, the end of a paragraph
_PARAGRAPH = -2  # stands in a list of places
_TEX = re.compile(r"\\[A-Za-z,;:!{}|%&]|[_^]\s*(?:\S)|[{}]")
_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{2,}")
_FUNCTIONS = frozenset({"sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "lg", "exp", "lim", "max", "min", "sup", "inf", "gcd", "lcm", "mod", "det", "dim", "ker", "deg", "arg", "rank", "tr"})
_SHORT_WORDS = frozenset({"or", "to", "of", "at", "by", "in", "on", "an", "as", "is", "it", "no", "us", "if", "we", "be", "do", "go", "so", "up", "my", "he", "me"})
_DELIMITERS = ("\\(", "\\)", "\\[", "\\]", "\\$")  # with one of these inside, the pipeline would tear the formula apart
LONGEST = 2000  # characters of one inline formula; a stray dollar sign is not paired further away
LONGEST_PLAIN = 40  # of one without a sign of TeX in it
TRIES = 4  # closing dollar signs tried for one that opens, where `\text{if $x$}` stands inside


def inline_to_paren(text: str) -> str:
    """`text` with `$…$` as `\\( … \\)` and `$$…$$` as `\\[…\\]` where a formula stands between them; every other `$` untouched. Idempotent.

    A formula: has a command, a script or a group of TeX (`$\\alpha$`, `$x^2$`), or is short and no prose (`$n$`, `$2n + 1$`,
    `$f(x)$`). It neither begins nor ends with white space, unless it does both, and no digit follows: `$5 and $10` are prices.
    """
    if text.count("$") < 2:
        return text
    places = [found.start() if found[0] == "$" else _PARAGRAPH for found in _DOLLAR.finditer(text) if found[0][0] != "\\"]
    parts: list[str] = []
    done = index = 0
    while index < len(places):
        start = places[index]
        size = 2 if index + 1 < len(places) and places[index + 1] == start + 1 else 1
        closing = None if start == _PARAGRAPH else _closing(text, places, index, size)
        if closing is None:
            index += size
            continue
        body = _body(text[start + size : places[closing]])
        parts += [text[done:start], f"\\( {body} \\)" if size == 1 else f"\\[{body}\\]"]
        done, index = places[closing] + size, closing + size
    return "".join([*parts, text[done:]])


def _body(source: str) -> str:
    """What is trained of a formula: without `\\label{…}` and its like, but with its % signs, which in texts are hardly ever comments."""
    body = trim(without_dollars(source))
    return trim(without_row_ends(without_marks(body))) or body


def _closing(text: str, places: list[int], index: int, size: int) -> int | None:
    """The index of the dollar sign (the first of two, for `size` 2) that closes the formula which opens at `index`; None if no formula does."""
    start = places[index] + size
    for other in range(index + size, min(index + size + TRIES, len(places))):
        end = places[other]
        if end == _PARAGRAPH or end - start > LONGEST:
            return None
        if size == 2 and places[other + 1 : other + 2] != [end + 1]:
            continue
        body = text[start:end]
        if body.count("{") == body.count("}") and "$" not in without_dollars(body).replace("\\$", ""):
            return other if _is_formula(text, start, end, size) else None
    return None


def _is_formula(text: str, start: int, end: int, size: int) -> bool:
    body = text[start:end]
    core = body.strip()
    before, after = text[max(0, start - size - 1) : start - size], text[end + size : end + size + 1]
    if not core or any(delimiter in core for delimiter in _DELIMITERS):
        return False
    if size == 2:
        return True
    if body[0].isspace() != body[-1].isspace() or after.isdecimal():
        return False
    if _TEX.search(core):
        return _mostly_tex(core)
    return _is_plain_math(core, spaced=body[0].isspace(), before=before, after=after)


def _mostly_tex(core: str) -> bool:
    """Prose between two prices may hold a snake_case word or a footnote^1: a formula has no three words in a row."""
    words = re.sub(r"\\[A-Za-z]+\s*\{[^{}]*\}|\\[A-Za-z]+", "=", core)
    return re.search(r"(?<![\w\\])[A-Za-z]{2,} +[A-Za-z]{2,} +[A-Za-z]{2,}", words) is None


def _is_plain_math(core: str, *, spaced: bool, before: str, after: str) -> bool:
    """`n`, `-5`, `2n + 1`, `(a, b)`: short, with no word of prose, and not glued to a word or number outside."""
    if len(core) > LONGEST_PLAIN or (before.isascii() and before.isalnum()) or (after.isascii() and after.isalnum()):
        return False
    if core.count("(") != core.count(")") or core.count("[") != core.count("]") or core[-1] in "+-=,;:/":
        return False
    if any(word not in _FUNCTIONS and not (word.isupper() and len(word) <= 3) and not _is_product(word) for word in _WORD.findall(core)):
        return False
    return not spaced or any(letter.isalpha() for letter in core)


def _is_product(word: str) -> bool:
    """Two letters side by side, as in 2ab or dx, and no English word."""
    return len(word) == 2 and word.lower() not in _SHORT_WORDS
