"""From a label, as some source writes it, to the finished target that the model is trained on: one function for every
task.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sft.errors import UsageError
from sft.markup import MarkupError, chart, latex, text
from sft.types import Task

# Task → how its labels may be written. For tables and charts `auto` finds it out; for the others it is the first.
MARKUPS: dict[Task, tuple[str, ...]] = {
    Task.OCR: ("text", "latex"),
    Task.TABLE: ("html", "otsl", "docling-otsl", "markdown", "csv", "tsv"),
    Task.FORMULA: ("latex", "latex-tokens"),
    Task.CHART: tuple(chart.STYLES),
    Task.SPOTTING: ("text",),
    Task.SEAL: ("text",),
}
MEANING: dict[str, str] = {
    "text": "plain text, taken as it is",
    "latex": "a formula with or without delimiters; in a text, formulas between dollar signs",
    "latex-tokens": "a formula spelt out with blanks between its tokens, which are taken out",
    "html": "a table as HTML",
    "otsl": "a table as OTSL with PaddleOCR-VL's six tokens",
    "docling-otsl": "a table as OTSL with docling's tokens (<ched>, <rhed>, <srow>)",
    "markdown": "a Markdown table",
    "csv": "comma-separated values, quoted where needed",
    "tsv": "tab-separated values",
    "training": "chart rows by line, cells by ' | '",
    "deplot": "chart rows by <0x0A>, cells by ' | ', the title first",
    "unichart": "chart rows by ' & ', cells by ' | '",
    "structchart": "chart rows by a literal \\n, cells by a literal \\t",
}
_HTML = re.compile(r"<(?:table|thead|tbody|tr|td|th)\b", re.IGNORECASE)
_OTSL = re.compile(r"<(?:[felux]cel|nl)>")
_DOCLING = re.compile(r"<(?:ched|rhed|srow|otsl|/otsl|loc_\d+)>")
_LINE_ENDS = {ord(mark): "\n" for mark in "\r\v\f"}
_RULER = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)+\|?\s*$", re.MULTILINE)


def make(task: Task, label: str, *, markup: str = "auto") -> str:
    """`label` as the target of `task`. `markup`: one of MARKUPS[task], or "auto" to find out. A finished target makes
    itself.

    Raises MarkupError with a code of `sft.reasons`: `target.empty` if nothing is left, `target.control`, and what the
    markup itself says (`target.html`, `target.otsl`, `target.latex`, `target.chart`, `source.syntax`,
    `source.inexpressible` …). Raises UsageError for a markup that the task does not have.
    """
    if markup != "auto" and markup not in MARKUPS[task]:
        raise UsageError(
            f"no markup called {markup!r} for {task.value} labels", hint=f"known: auto, {', '.join(MARKUPS[task])}"
        )
    target = _MAKERS[task](label, markup)
    if found := text.controls(label.translate(_LINE_ENDS)) or text.controls(target):
        raise MarkupError(
            "target.control", f"{found} in the label", hint="the file was read with the wrong encoding, or is damaged"
        )
    if not target.strip():
        raise MarkupError("target.empty", "nothing is left of the label")
    return target


def _text(label: str, markup: str) -> str:
    return text.clean(latex.inline_to_paren(label) if markup == "latex" else label)


def _formula(label: str, markup: str) -> str:
    return latex.to_target(label, tight=markup == "latex-tokens")


def _chart(label: str, markup: str) -> str:
    return chart.to_target(chart.parse_rows(label, markup))


def _table(label: str, markup: str) -> str:
    from sft.markup import table

    if not label.strip():
        raise MarkupError("target.empty", "a table without cells")
    label = text.clean_characters(label)
    readers: dict[str, Callable[[str], str]] = {
        "html": table.html_to_otsl,
        "otsl": lambda source: table.parse_otsl(source).to_otsl(),
        "docling-otsl": lambda source: table.parse_otsl(source, dialect="docling").to_otsl(),
        "markdown": lambda source: table.parse_markdown(source).to_otsl(),
        "csv": lambda source: table.parse_csv(source, ",").to_otsl(),
        "tsv": lambda source: table.parse_csv(source, "\t").to_otsl(),
    }
    otsl = readers[table_markup(label) if markup == "auto" else markup](label)
    cleaned = text.clean_characters(otsl)  # character references may have brought something in
    return otsl if cleaned == otsl else table.parse_otsl(cleaned).to_otsl()


def table_markup(label: str) -> str:
    """How a table is written, by its first sign of markup: a key of MARKUPS[Task.TABLE]; MarkupError `source.syntax`
    if there is none.
    """
    html = _HTML.search(label)
    otsl = _OTSL.search(label)
    docling = _DOCLING.search(label)
    if html and not (otsl and otsl.start() < html.start()):
        return "html"
    if docling:
        return "docling-otsl"
    if otsl:
        return "otsl"
    if "|" in label and (
        _RULER.search(label) or all(line.strip().startswith("|") for line in label.splitlines() if line.strip())
    ):
        return "markdown"
    if "\t" in label:
        return "tsv"
    if "," in label and "\n" in label.strip():
        return "csv"
    raise MarkupError(
        "source.syntax",
        "neither HTML, OTSL, Markdown nor CSV: no table",
        hint="say how labels are written with --markup",
    )


_MAKERS: dict[Task, Callable[[str, str], str]] = {
    Task.OCR: _text,
    Task.TABLE: _table,
    Task.FORMULA: _formula,
    Task.CHART: _chart,
    Task.SPOTTING: _text,
    Task.SEAL: _text,
}
