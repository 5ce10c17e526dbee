"""From a label, as some source writes it, to the finished target that the model is trained on: one function for every
task.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from sft.errors import UsageError
from sft.formats.shared.markups import MARKUPS, MEANING
from sft.markup import Grid, MarkupError, MarkupWarning, chart, composed, ink_hyphens, latex, text
from sft.types import Task

__all__ = ["MARKUPS", "MEANING", "make", "table_markup"]

_HTML = re.compile(r"<(?:table|thead|tbody|tr|td|th)\b", re.IGNORECASE)
_OTSL = re.compile(r"<(?:[felux]cel|nl)>")
_DOCLING = re.compile(r"<(?:ched|rhed|srow|otsl|/otsl|loc_\d+)>")
_LINE_ENDS = {ord(mark): "\n" for mark in "\r\v\f"}
_RULER = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)+\|?\s*$", re.MULTILINE)


def make(
    task: Task,
    label: str | Grid,
    *,
    markup: str = "auto",
    delimiter: str = "",
    warnings: list[MarkupWarning] | None = None,
) -> str:
    """`label`, or a table that is read already, as the target of `task`. A finished target makes itself (a table's
    under "training").

    markup: one of MARKUPS[task], or "auto" to find out. delimiter: of cells in CSV; "" to find out.
    warnings: gets what was fixed or dropped.

    Raises MarkupError with a code of `sft.reasons`: `target.empty` if nothing is left, `target.control`, and what the
    markup itself says (`target.html`, `target.otsl`, `target.latex`, `target.chart`, `source.syntax`,
    `source.inexpressible` …). Raises UsageError for a markup that the task does not have.
    """
    if markup != "auto" and markup not in MARKUPS[task]:
        raise UsageError(
            f"no markup called {markup!r} for {task.value} labels", hint=f"known: auto, {', '.join(MARKUPS[task])}"
        )
    notes: list[MarkupWarning] = []
    target = _grid(label, notes) if isinstance(label, Grid) else _MAKERS[task](label, _Way(markup, delimiter, notes))
    control = isinstance(label, str) and text.controls(label) and text.controls(label.translate(_LINE_ENDS))
    if control := control or text.controls(target):
        raise MarkupError(
            "target.control", f"{control} in the label", hint="the file was read with the wrong encoding, or is damaged"
        )
    if not target.strip():
        raise MarkupError("target.empty", "nothing is left of the label")
    if warnings is not None:
        warnings += notes
    return target


class _Way(NamedTuple):
    """How a label is written, and where the warnings go."""

    markup: str
    delimiter: str
    warnings: list[MarkupWarning]


def _text(label: str, way: _Way) -> str:
    return text.clean(ink_hyphens(latex.inline_to_paren(label) if way.markup == "latex" else label))


def _formula(label: str, way: _Way) -> str:
    return composed(latex.to_target(label, tight=True))  # a blank that went may have stood before a mark


def _chart(label: str, way: _Way) -> str:
    from sft.markup import delimiter_of

    style = chart.style_of(label) if way.markup == "auto" and label.strip() else way.markup
    if style == "csv" and (delimiter := way.delimiter or delimiter_of(label, way.warnings)) != ",":
        return chart.to_target(chart.from_csv(label, delimiter=delimiter))
    return chart.to_target(chart.parse_rows(label, style))


def _grid(grid: Grid, warnings: list[MarkupWarning]) -> str:
    """The OTSL of a table that is read already."""
    warnings += grid.warnings
    return _cleaned(grid.to_otsl())


def _table(label: str, way: _Way) -> str:
    from sft.markup import MarkupError, table

    if not label.strip():
        raise MarkupError("target.empty", "a table without cells")
    label = text.clean_characters(label)
    markup = table_markup(label) if way.markup == "auto" else way.markup
    if markup == "html":
        return _cleaned(table.html_to_otsl(label, warnings=way.warnings))
    readers: dict[str, Callable[[str], Grid]] = {
        "otsl": lambda source: table.parse_otsl(source).tidied(),
        "docling-otsl": lambda source: table.parse_otsl(source, dialect="docling").tidied(),
        "markdown": table.parse_markdown,
        "csv": lambda source: table.parse_csv(source, way.delimiter or None).tidied(),
        "tsv": lambda source: table.parse_csv(source, "\t").tidied(),
        "training": table.parse_otsl,
    }
    return _grid(readers[markup](label), way.warnings)


def _cleaned(otsl: str) -> str:
    """OTSL without what character references may have brought in."""
    cleaned = text.clean_characters(otsl)
    if cleaned == otsl:
        return otsl
    from sft.markup import parse_otsl

    return parse_otsl(cleaned).to_otsl()


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
    if "\n" in label.strip() and any(sign in label for sign in ",;|"):
        return "csv"
    raise MarkupError(
        "source.syntax",
        "neither HTML, OTSL, Markdown nor CSV: no table",
        hint="say how labels are written with --markup",
    )


_MAKERS: dict[Task, Callable[[str, _Way], str]] = {
    Task.OCR: _text,
    Task.TABLE: _table,
    Task.FORMULA: _formula,
    Task.CHART: _chart,
    Task.SPOTTING: _text,
    Task.SEAL: _text,
}
