"""Is a formula LaTeX? Two parsers that miss different things are asked, after bounds that keep both of them fast.

pylatexenc finds arguments, braces and environments that do not close; latex2mathml `\\left` without `\\right` and double
scripts. Neither knows all of LaTeX, so nothing is accused of a command that they do not know, or of what only they refuse. What
they refuse and TeX sets is rewritten before they see it (`_for_pylatexenc`, `_for_latex2mathml`), so that the rest is still checked.
"""

from __future__ import annotations

import re
from typing import Any

from sft.markup.errors import MarkupError
from sft.markup.latex_tokens import strip_delimiters
from sft.markup.latex_unseen import without_comments, without_last_row_end

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
    """Raise MarkupError `target.latex` if `formula`, with or without delimiters, does not parse; `target.empty` if there is none."""
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
    """Groups, environments and \\left … \\right close in order and are not too many; the cheap part, with the better messages."""
    stack: list[tuple[str, int]] = []
    comment_end = 0
    for found in _MARK.finditer(body):
        mark, start = found[0], found.start()
        if start < comment_end:
            continue
        if mark == "%":
            line_end = body.find("\n", start)
            comment_end = len(body) if line_end < 0 else line_end
        elif mark in ("{", "\\left") or found[1] == "begin":
            stack.append((f"\\begin{{{found[2].strip()}}}" if found[1] else mark, start))
            if len(stack) > MAX_DEPTH:
                raise _wrong(f"nested more than {MAX_DEPTH} deep", start)
        elif mark in ("}", "\\right") or found[1] == "end":
            opening = {"}": "{", "\\right": "\\left"}.get(mark) or f"\\begin{{{found[2].strip()}}}"
            if not stack:
                raise _wrong(f"{mark} without {opening}", start)
            if stack[-1][0] != opening:
                raise _wrong(f"{mark} closes {stack[-1][0]} of offset {stack[-1][1]}", start)
            stack.pop()
    if stack:
        raise _wrong(f"{stack[-1][0]} is never closed", stack[-1][1])


def _for_pylatexenc(body: str) -> str:
    """`body` without a row end at its end, for which pylatexenc wants a length. Offsets stay."""
    return without_last_row_end(body)


def _for_latex2mathml(body: str) -> str:
    """`body` without what latex2mathml refuses though TeX sets it: `x''^{2}`, `\\begin{array}[t]`, `\\genfrac{}{}{0pt}{}`."""
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
