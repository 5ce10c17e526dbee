"""Formulas: delimiters, the form they are trained in, and what the PaddleOCR pipeline would do to them.

A formula target is `\\[…\\]` without a blank inside; a formula in a text or a table cell is `\\( … \\)` with one blank
on each side (the samples of ERNIE's docs/paddleocr_vl_sft_zh.md). The pipeline replaces these delimiters by `$`,
wherever they stand in its answer, after deleting every `$` that was there: so `$` is never a delimiter here.
"""

from __future__ import annotations

import re
from typing import Any

from sft.markup.errors import MarkupError
from sft.markup.latex_tokens import (
    BACKSLASHED,
    MARK,
    collapse,
    strip_delimiters,
    tighten,
    trim,
    without_dollars,
    without_row_skips,
)
from sft.markup.latex_unseen import (
    without_comments,
    without_last_row_end,
    without_marks,
    without_row_ends,
    without_unseen,
)
from sft.markup.text import clean_characters

MAX_LENGTH = 20_000  # characters; a page full of formulas has 5 000
MAX_DEPTH = 50  # groups, environments and \left within each other; both parsers recurse
_MARK = re.compile(r"\\(begin|end)\s*\{([^{}]{0,40})\}|\\[A-Za-z]+|\\.|[{}%]", re.DOTALL)

_PRIMES = re.compile(r"'{2,}(?=\^)")  # TeX makes one superscript of x''^{2}
_POSITION = re.compile(r"(\\begin\s?\{[A-Za-z]+\*?\})\s?\[[tbc]\]")
_GROUP = r"\s?(?:\{(?:\\.|[^{}\\]){0,40}\}|\\.|[^\s{}\\])"
_GENERAL_FRACTION = re.compile(rf"\\genfrac{_GROUP}{_GROUP}{_GROUP}{_GROUP}(?=\s?\{{)", re.DOTALL)

# What latex2mathml raises where it is right; its other exceptions (\limits, columns of arrays …) are its own limits
_SAYS = {
    "DoubleSubscriptsError": "two subscripts on one symbol",
    "DoubleSuperscriptsError": "two superscripts on one symbol",
    "ExtraLeftOrMissingRightError": "\\left and \\right do not match",
    "MissingSuperScriptOrSubscriptError": "^ or _ with nothing after it",
    "MissingEndError": "an environment that does not end",
    "NumeratorNotFoundError": "a fraction without a numerator",
    "DenominatorNotFoundError": "a fraction without a denominator",
}


def check(formula: str) -> None:
    """Raise MarkupError `target.latex` if `formula`, with or without delimiters, does not parse; `target.empty` if
    there is none.
    """
    if len(formula) > MAX_LENGTH:
        raise MarkupError("target.latex", f"{len(formula)} characters; no formula has more than {MAX_LENGTH}")
    body = strip_delimiters(formula)
    if not body.strip("\\ "):
        raise MarkupError("target.empty", "no formula between the delimiters")
    _nesting(body)
    try:
        _pylatexenc(body)
        _latex2mathml(body)
    except RecursionError:
        raise MarkupError("target.latex", "nested too deeply to be read") from None


def _wrong(message: str, offset: int) -> MarkupError:
    return MarkupError("target.latex", message, place=f"offset {offset}")


def _nesting(body: str) -> None:
    """Groups, environments and \\left … \\right close in order and are not too many; the cheap part, with the better
    messages.
    """
    stack: list[tuple[str, int]] = []
    comment_end = 0
    for match in _MARK.finditer(body):
        mark = match[0]
        start = match.start()
        if start < comment_end:
            continue
        if mark == "%":
            line_end = body.find("\n", start)
            comment_end = len(body) if line_end < 0 else line_end
        elif mark in ("{", "\\left") or match[1] == "begin":
            stack.append((f"\\begin{{{match[2].strip()}}}" if match[1] else mark, start))
            if len(stack) > MAX_DEPTH:
                raise _wrong(f"nested more than {MAX_DEPTH} deep", start)
        elif mark in ("}", "\\right") or match[1] == "end":
            opening = {"}": "{", "\\right": "\\left"}.get(mark) or f"\\begin{{{match[2].strip()}}}"
            if not stack:
                raise _wrong(f"{mark} without {opening}", start)
            if stack[-1][0] != opening:
                raise _wrong(
                    f"{mark} closes {stack[-1][0]} of offset {stack[-1][1]}",
                    start,
                )
            stack.pop()
    if stack:
        raise _wrong(
            f"{stack[-1][0]} is never closed",
            stack[-1][1],
        )


def _for_pylatexenc(body: str) -> str:
    """`body` without a row end at its end, for which pylatexenc wants a length. Offsets stay."""
    return without_last_row_end(body)


def _for_latex2mathml(body: str) -> str:
    """`body` without what latex2mathml refuses though TeX sets it: `x''^{2}`, `\\begin{array}[t]`,
    `\\genfrac{}{}{0pt}{}`.
    """
    body = without_comments(body)
    if "''" in body:
        body = _PRIMES.sub("'", body)
    if "\\genfrac" in body:
        body = _GENERAL_FRACTION.sub(r"\\frac", body)
    return _POSITION.sub(r"\1", body) if "\\begin" in body else body


def _pylatexenc(body: str) -> None:
    from pylatexenc.latexwalker import LatexWalker, LatexWalkerError

    try:
        LatexWalker(_for_pylatexenc(body), tolerant_parsing=False).get_latex_nodes()
    except IndexError:  # of its reader of \verb
        raise _wrong("\\verb without its text", len(body)) from None
    except LatexWalkerError as error:
        position = getattr(error, "pos", None)
        message = str(getattr(error, "msg", "") or error).splitlines()[0]
        raise _wrong(message, position if isinstance(position, int) else 0) from None


def _latex2mathml(body: str) -> None:
    from latex2mathml.converter import convert_to_element

    convert: Any = convert_to_element
    rewritten = _for_latex2mathml(body)
    try:
        convert(rewritten)
    except RecursionError:
        raise
    except Exception as error:  # its own faults come as IndexError, KeyError, ValueError
        if message := _SAYS.get(type(error).__name__):
            raise MarkupError("target.latex", message) from None


_DOLLAR = re.compile(r"\\.|\$|\n[^\S\n]*\n", re.DOTALL)  # an escaped character, a dollar sign, the end of a paragraph
_PARAGRAPH = -2  # stands in a list of places
_TEX = re.compile(r"\\[A-Za-z,;:!{}|%&]|[_^]\s*(?:\S)|[{}]")
_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{2,}")
_FUNCTIONS = frozenset(
    {
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "log",
        "ln",
        "lg",
        "exp",
        "lim",
        "max",
        "min",
        "sup",
        "inf",
        "gcd",
        "lcm",
        "mod",
        "det",
        "dim",
        "ker",
        "deg",
        "arg",
        "rank",
        "tr",
    }
)
_SHORT_WORDS = frozenset(
    {
        "or",
        "to",
        "of",
        "at",
        "by",
        "in",
        "on",
        "an",
        "as",
        "is",
        "it",
        "no",
        "us",
        "if",
        "we",
        "be",
        "do",
        "go",
        "so",
        "up",
        "my",
        "he",
        "me",
    }
)
_DELIMITERS = ("\\(", "\\)", "\\[", "\\]", "\\$")  # with one of these inside, the pipeline would tear the formula apart
LONGEST = 2000  # characters of one inline formula; a stray dollar sign is not paired further away
LONGEST_PLAIN = 40  # of one without a sign of TeX in it
TRIES = 4  # closing dollar signs tried for one that opens, where `\text{if $x$}` stands inside


def inline_to_paren(text: str) -> str:
    """`text` with `$…$` as `\\( … \\)` and `$$…$$` as `\\[…\\]` where a formula stands between them; every other `$`
    untouched. Idempotent.

    A formula: has a command, a script or a group of TeX (`$\\alpha$`, `$x^2$`), or is short and no prose (`$n$`, `$2n +
    1$`, `$f(x)$`). It neither begins nor ends with white space, unless it does both, and no digit follows: `$5 and $10`
    are prices.
    """
    if text.count("$") < 2:
        return text
    places = [
        match.start() if match[0] == "$" else _PARAGRAPH for match in _DOLLAR.finditer(text) if match[0][0] != "\\"
    ]
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
        parts += [
            text[done:start],
            f"\\( {body} \\)" if size == 1 else f"\\[{body}\\]",
        ]
        done = places[closing] + size
        index = closing + size
    return "".join([*parts, text[done:]])


def _body(source: str) -> str:
    """What is trained of a formula: without `\\label{…}` and its like, but with its % signs, which in texts are hardly
    ever comments.
    """
    body = trim(without_dollars(source))
    return trim(without_row_ends(without_marks(body))) or body


def _closing(text: str, places: list[int], index: int, size: int) -> int | None:
    """The index of the dollar sign (the first of two, for `size` 2) that closes the formula which opens at `index`;
    None if no formula does.
    """
    start = places[index] + size
    for other in range(
        index + size,
        min(index + size + TRIES, len(places)),
    ):
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
    before = text[max(0, start - size - 1) : start - size]
    after = text[end + size : end + size + 1]
    if not core or any(delimiter in core for delimiter in _DELIMITERS):
        return False
    if size == 2:
        return True
    if body[0].isspace() != body[-1].isspace() or after.isdecimal():
        return False
    if _TEX.search(core):
        return _mostly_tex(core)
    return _is_plain_math(
        core,
        spaced=body[0].isspace(),
        before=before,
        after=after,
    )


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
    if any(
        word not in _FUNCTIONS and not (word.isupper() and len(word) <= 3) and not _is_product(word)
        for word in _WORD.findall(core)
    ):
        return False
    return not spaced or any(letter.isalpha() for letter in core)


def _is_product(word: str) -> bool:
    """Two letters side by side, as in 2ab or dx, and no English word."""
    return len(word) == 2 and word.lower() not in _SHORT_WORDS


__all__ = ["check", "corruptions", "inline_to_paren", "normalise_training", "to_target"]


def to_target(
    formula: str,
    *,
    delimiters: str = "\\[ \\]",
    row_skips: bool = True,
    spaces: bool = True,
    dollars: bool = True,
    tight: bool = False,
    ink: bool = True,
) -> str:
    """`formula`, with any delimiters or none, as a training target: `\\[…\\]`, or `\\( … \\)` with `delimiters="\\(
    \\)"`. Idempotent.

    The switches are those of `normalise_training`. Raises MarkupError: `target.empty` without a formula, `target.latex`
    if there is text or a second formula beside it, or braces do not match. Whether the LaTeX is sound is asked of
    `check`.
    """
    if len(formula) > MAX_LENGTH:
        raise MarkupError("target.latex", f"{len(formula)} characters; no formula has more than {MAX_LENGTH}")
    source = _bare(clean_characters(formula), ink=ink)
    body = normalise_training(
        source,
        row_skips=row_skips,
        spaces=spaces,
        dollars=dollars,
        tight=tight,
        ink=ink,
    )
    if not body.strip("\\ "):
        raise MarkupError("target.empty", "no formula between the delimiters")
    _one_formula(body, commented="%" in formula)
    opening, closing = delimiters.split()
    return f"{opening} {body} {closing}" if opening == "\\(" else f"{opening}{body}{closing}"


def _bare(formula: str, *, ink: bool) -> str:
    """`formula` without its delimiters, wherever comments and labels stand around them."""
    while True:
        formula = strip_delimiters(formula)
        seen = without_unseen(formula) if ink else formula
        if seen == formula:
            return formula
        formula = seen


def _one_formula(body: str, *, commented: bool) -> None:
    """Raises MarkupError `target.latex` where braces do not match or another formula begins."""
    hint = "a percent sign is \\%; what follows a bare one is a comment" if commented else ""
    depth = 0
    for match in MARK.finditer(body):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth < 0:
            raise MarkupError("target.latex", "} without {", place=f"offset {match.start()}", hint=hint)
        if depth == 0 and match[0] in ("$", "\\[", "\\]", "\\(", "\\)"):
            message = f"{match[0]} inside a formula"
            raise MarkupError(
                "target.latex",
                message,
                place=f"offset {match.start()}",
                hint="one formula for one image, without text around it",
            )
    if depth:
        raise MarkupError("target.latex", "{ without }", hint=hint)


def normalise_training(
    formula: str,
    *,
    row_skips: bool = True,
    spaces: bool = True,
    dollars: bool = True,
    tight: bool = False,
    ink: bool = True,
) -> str:
    """The body of a formula with less variety, and the same picture but for white space between rows. Idempotent.

    row_skips: `\\\\[2pt]` becomes `\\\\`, and a blank parts `\\\\` from a bracket after it (the pipeline would take
    `\\[` out of it).
    spaces: runs of white space become one blank, and none is left around the formula.
    dollars: `$x$` within the formula, as in `\\text{if $x$}`, becomes `\\(x\\)` (the pipeline would delete the dollar
    signs).
    tight: a formula spelt out token by token (`\\frac { a } { b }`) loses its white space (`\\frac{a}{b}`); any other
    is left alone.
    ink: what cannot be seen goes: comments, `\\label{…}`, `\\nonumber`, `\\\\` before the first and after the last row.
    """
    if ink:
        formula = without_unseen(formula)
    if tight:
        formula = tighten(formula)
    if spaces:
        formula = collapse(formula)
    if row_skips:
        skipless = without_row_skips(formula)
        # what stood behind a length may be the end now, and a row end at the end goes
        formula = without_unseen(skipless) if ink and skipless != formula else skipless
    if dollars:
        formula = without_dollars(formula)
    return collapse(formula) if spaces else formula


def corruptions(formula: str) -> list[MarkupError]:
    """What the PaddleOCR pipeline would destroy in a formula: brackets right after `\\\\`, and dollar signs."""
    body = strip_delimiters(formula)
    errors: list[MarkupError] = []
    if "\\\\" in body:
        for mark in BACKSLASHED.finditer(body):
            after = body[mark.end() : mark.end() + 1]
            if mark[0] == "\\\\" and after and after in "[]()":
                hint = "write \\\\ without a length" if after == "[" else "put a blank between"
                errors.append(
                    MarkupError(
                        "target.row_skip", f"{after} right after \\\\", place=f"offset {mark.start()}", hint=hint
                    )
                )
                break
    if "$" in body:
        message = "a dollar sign inside a formula; the PaddleOCR pipeline deletes it"
        errors.append(
            MarkupError(
                "target.dollar",
                message,
                place=f"offset {body.index('$')}",
                hint="write \\( … \\) inside \\text, and \\text{USD} for a currency",
            )
        )
    return errors
