"""Formulas: delimiters, the form they are trained in, and what the PaddleOCR pipeline would do to them.

A formula target is `\\[…\\]` without a blank inside; a formula in a text or a table cell is `\\( … \\)` with one blank on
each side (the samples of ERNIE's docs/paddleocr_vl_sft_zh.md). The pipeline replaces these delimiters by `$`, wherever they
stand in its answer, after deleting every `$` that was there: so `$` is never a delimiter here.
"""

from __future__ import annotations

from sft.markup.errors import MarkupError
from sft.markup.latex_check import MAX_LENGTH, check
from sft.markup.latex_inline import inline_to_paren
from sft.markup.latex_scoring import normalise_scoring
from sft.markup.latex_tokens import (
    BACKSLASHED,
    MARK,
    collapse,
    strip_delimiters,
    tighten,
    tokens,
    without_dollars,
    without_row_skips,
)
from sft.markup.latex_unseen import unseen, without_unseen
from sft.markup.text import clean_characters

__all__ = [
    "check",
    "corruptions",
    "inline_to_paren",
    "normalise_scoring",
    "normalise_training",
    "strip_delimiters",
    "to_target",
    "tokens",
    "unseen",
]


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
    """`formula`, with any delimiters or none, as a training target: `\\[…\\]`, or `\\( … \\)` with `delimiters="\\( \\)"`. Idempotent.

    The switches are those of `normalise_training`. Raises MarkupError: `target.empty` without a formula, `target.latex` if
    there is text or a second formula beside it, or braces do not match. Whether the LaTeX is sound is asked of `check`.
    """
    if len(formula) > MAX_LENGTH:
        raise MarkupError("target.latex", f"{len(formula)} characters; no formula has more than {MAX_LENGTH}")
    source = _bare(clean_characters(formula), ink=ink)
    body = normalise_training(source, row_skips=row_skips, spaces=spaces, dollars=dollars, tight=tight, ink=ink)
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
    for found in MARK.finditer(body):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth < 0:
            raise MarkupError("target.latex", "} without {", place=f"offset {found.start()}", hint=hint)
        if depth == 0 and found[0] in ("$", "\\[", "\\]", "\\(", "\\)"):
            message = f"{found[0]} inside a formula"
            raise MarkupError(
                "target.latex",
                message,
                place=f"offset {found.start()}",
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

    row_skips: `\\\\[2pt]` becomes `\\\\`, and a blank parts `\\\\` from a bracket after it (the pipeline would take `\\[` out of it).
    spaces: runs of white space become one blank, and none is left around the formula.
    dollars: `$x$` within the formula, as in `\\text{if $x$}`, becomes `\\(x\\)` (the pipeline would delete the dollar signs).
    tight: a formula spelt out token by token (`\\frac { a } { b }`) loses its white space (`\\frac{a}{b}`); any other is left alone.
    ink: what cannot be seen goes: comments, `\\label{…}`, `\\nonumber`, `\\\\` before the first and after the last row.
    """
    if ink:
        formula = without_unseen(formula)
    if tight:
        formula = tighten(formula)
    if spaces:
        formula = collapse(formula)
    if row_skips:
        formula = without_row_skips(formula)
    if dollars:
        formula = without_dollars(formula)
    return collapse(formula) if spaces else formula


def corruptions(formula: str) -> list[MarkupError]:
    """What the PaddleOCR pipeline would destroy in a formula: brackets right after `\\\\`, and dollar signs."""
    body = strip_delimiters(formula)
    found: list[MarkupError] = []
    if "\\\\" in body:
        for mark in BACKSLASHED.finditer(body):
            after = body[mark.end() : mark.end() + 1]
            if mark[0] == "\\\\" and after and after in "[]()":
                hint = "write \\\\ without a length" if after == "[" else "put a blank between"
                found.append(
                    MarkupError(
                        "target.row_skip", f"{after} right after \\\\", place=f"offset {mark.start()}", hint=hint
                    )
                )
                break
    if "$" in body:
        message = "a dollar sign inside a formula; the PaddleOCR pipeline deletes it"
        found.append(
            MarkupError(
                "target.dollar",
                message,
                place=f"offset {body.index('$')}",
                hint="write \\( … \\) inside \\text, and \\text{USD} for a currency",
            )
        )
    return found
