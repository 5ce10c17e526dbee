"""Checks of the texts of a row: a table, a formula or a chart as it is trained, and what the pipeline would change."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sft.markup import MarkupError, controls, has_places
from sft.models import OTSL_TOKENS, TASK_OF
from sft.reasons import make, shorten
from sft.types import Problem, Task
from sft.validate.labels import BLANK_CORNER, HTML_TABLE, check_characters, check_leftovers

MARKDOWN_TABLE = re.compile(
    r"^\|.*\|[ \t]*\n\|(?=[^\n]*-)[ :|-]+\|[ \t]*\n\|", re.MULTILINE
)  # header, ruler, first row; linear on any input


def check_text(text: str, where: str, line: int) -> Iterator[Problem]:
    """What must not stand in any text, prompt or answer."""
    if text.removeprefix(BLANK_CORNER) != text.removeprefix(BLANK_CORNER).strip():
        yield make(
            "target.outer_space",
            f"{where} begins or ends with white space",
            line,
            "the trainer strips it; the score should too",
        )
    if "\ufffd" in text:
        yield make("target.replacement", f"{where} contains U+FFFD", line, "decode the source with its actual encoding")
    if problem := controls(text):
        yield make("target.control", f"{where} contains {problem}", line, "no image shows them; clean the labels")


def answer_errors(text: str, prompt: str, line: int) -> list[Problem]:
    """What of `check_text` and `check_answer` keeps an answer from being trained."""
    problems = [*check_text(text, "the answer", line), *check_answer(text, prompt, "the answer", line)]
    return [problem for problem in problems if problem.severity == "error"]


def check_answer(text: str, prompt: str, where: str, line: int) -> Iterator[Problem]:
    """What is wrong with an answer to `prompt`; an unknown prompt is taken for plain text."""
    if not text.strip():
        yield make("target.empty", f"{where} is empty", line)
        return
    task = TASK_OF.get(prompt, Task.OCR)
    yield from check_characters(text, task, where, line)
    yield from check_leftovers(text, TASK_OF.get(prompt), where, line)
    if "|" in text and MARKDOWN_TABLE.search(text):
        yield make(
            "target.markdown_table",
            f"{where} holds a Markdown table",
            line,
            "tables are trained as OTSL, charts as rows with ` | ` and no outer pipes",
        )
    if task is Task.CHART:
        yield from _chart(text, where, line)
    if task is Task.TABLE:
        yield from _table(text, where, line)
    if task is Task.FORMULA:
        yield from _formula(text.strip(), where, line)
    if task is Task.SPOTTING:
        yield from _spotting(text, where, line)
    elif prompt in TASK_OF and has_places(text):
        yield make(
            "spotting.prompt",
            f"{where} has places of Spotting",
            line,
            "places belong under the prompt `Spotting:`; under any other the text stands alone",
        )
    yield from _pipeline(text, task, where, line)


def _spotting(text: str, where: str, line: int) -> Iterator[Problem]:
    from sft.markup import spotting_faults

    for fault in spotting_faults(text):
        yield make(
            fault.code,
            f"{where}: {shorten(fault.message)}",
            line,
            fault.hint,
        )


def _table(text: str, where: str, line: int) -> Iterator[Problem]:
    from sft.markup import parse_otsl

    if not any(token in text for token in OTSL_TOKENS) and HTML_TABLE.search(text):
        yield make(
            "target.html", f"{where} is an HTML table", line, "tables are trained as OTSL: `sft convert` writes it"
        )
        return
    try:
        grid = parse_otsl(text.strip())
    except MarkupError as error:
        yield make(
            "target.otsl",
            f"{where}: {shorten(str(error))}",
            line,
            error.hint,
        )
    else:
        if grid.warnings:
            yield make(
                "target.otsl", f"{where}: {shorten(grid.warnings[0].message)}", line, "write <ecel> for a blank cell"
            )


def _formula(text: str, where: str, line: int) -> Iterator[Problem]:
    from sft.markup import latex, unseen

    if not (text.startswith("\\[") and text.endswith("\\]")):
        yield make(
            "target.latex_delimiters",
            f"{where} is not delimited by \\[ and \\]",
            line,
            "formulas are trained as \\[ … \\]",
        )
    try:
        latex.check(text)
    except MarkupError as error:
        yield make(
            error.code,
            f"{where}: {shorten(str(error))}",
            line,
            error.hint,
        )
    else:
        if cause := unseen(text):
            yield make(
                "target.unseen",
                f"{where} has {cause}, which leaves no ink on the page",
                line,
                "leave it out: no model can read it from an image",
            )
    for fault in latex.corruptions(text):
        yield make(
            fault.code,
            f"{where}: {shorten(str(fault))}",
            line,
            fault.hint,
        )


def _chart(text: str, where: str, line: int) -> Iterator[Problem]:
    from sft.markup import chart

    if chart.is_markdown(text):
        yield make(
            "target.chart_style",
            f"{where} has outer pipes or a ruler",
            line,
            "cells are separated by ` | `, rows by line ends, and nothing else",
        )
    try:
        chart.check(text)
    except MarkupError as error:
        yield make(
            error.code,
            f"{where}: {shorten(str(error))}",
            line,
            error.hint,
        )


def _pipeline(text: str, task: Task, where: str, line: int) -> Iterator[Problem]:
    from sft.markup import dollars_deleted, min_length, repetition_cut

    if task is not Task.FORMULA and dollars_deleted(text):
        yield make(
            "target.dollar",
            f"{where}: a dollar sign beside \\( \\) or \\[ \\]",
            line,
            "the PaddleOCR pipeline deletes every dollar sign then",
        )
    if len(text) >= min_length(task) and repetition_cut(text, min_len=min_length(task)) != text:
        yield make(
            "target.repetition",
            f"{where} repeats itself",
            line,
            "the PaddleOCR pipeline cuts such answers; what it shows will never be this label",
        )
