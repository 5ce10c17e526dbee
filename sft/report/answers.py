"""Answers as what they mean: OTSL as a table, LaTeX as a formula (MathML), chart rows as a table, text as text.

What is rendered is untrusted: from files or from a model. Tables are built here from cells, formulas are MathML of
which only known elements are kept; whatever does not parse is shown as text, with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from sft.markup import Grid, MarkupError, chart, latex_tokens, parse_otsl
from sft.report import rendering
from sft.types import Task

MAX_SHOWN = 4000  # code points of one answer in a page
MAX_FORMULA = 2000  # characters that are turned into MathML
MAX_CELLS = 2000
_INLINE = re.compile(r"\\\((.{1,500}?)\\\)", re.DOTALL)
# elements and attributes of MathML Core that a formula needs; links, scripts and foreign content are none of them
KEPT = {
    *(
        "math",
        "mrow",
        "mi",
        "mn",
        "mo",
        "ms",
        "mtext",
        "mspace",
        "mfrac",
        "msqrt",
        "mroot",
        "mstyle",
        "mpadded",
        "mphantom",
        "menclose",
        "msub",
        "msup",
        "msubsup",
    ),
    *("munder", "mover", "munderover", "mmultiscripts", "mprescripts", "none", "mtable", "mtr", "mtd", "mlabeledtr"),
}
ATTRIBUTES = {
    *(
        "mathvariant",
        "displaystyle",
        "scriptlevel",
        "stretchy",
        "fence",
        "form",
        "lspace",
        "rspace",
        "linethickness",
        "columnalign",
        "rowspacing",
        "columnspacing",
    ),
    *("accent", "accentunder", "display", "width", "notation"),
}


@dataclass(frozen=True)
class Rendered:
    """HTML that may stand in a page as it is, and why it is only text where it is."""

    html: Markup
    note: str = ""


def answer(task: Task | None, text: str) -> Rendered:
    """An answer to a prompt of this task as HTML."""
    if len(text) > MAX_SHOWN:
        return Rendered(
            plain(text[:MAX_SHOWN]),
            f"{len(text) - MAX_SHOWN:,} more characters are not shown",
        )
    try:
        if task is Task.TABLE:
            return Rendered(
                grid_html(parse_otsl(text, lenient=True)), "" if _strict(text) else "repaired as the pipeline would"
            )
        if task is Task.FORMULA:
            return Rendered(formula_html(text))
        if task is Task.CHART:
            return Rendered(grid_html(Grid.from_rows(chart.parse_rows(text))))
    except MarkupError as error:
        return Rendered(plain(text), f"{error.code}: {error}")
    return Rendered(plain(text))


def _strict(text: str) -> bool:
    try:
        return not parse_otsl(text).warnings
    except MarkupError:
        return False


def plain(text: str) -> Markup:
    """Text as it stands, line ends kept, in its own direction."""
    return (
        Markup('<div class="text" dir="auto">{}</div>').format(text)
        if text
        else Markup('<span class="nothing">empty</span>')
    )


def grid_html(grid: Grid) -> Markup:
    """A grid as an HTML table."""
    rows, columns = grid.shape
    if rows * columns > MAX_CELLS:
        raise MarkupError("target.otsl", f"{rows} x {columns} cells, at most {MAX_CELLS} are drawn")
    lines: list[list[Markup]] = [[] for _ in range(rows)]
    for row, _, cell in grid.cells:
        lines[row].append(
            Markup('<td dir="auto" rowspan="{}" colspan="{}">{}</td>').format(
                cell.rowspan, cell.colspan, _cell(cell.text)
            )
        )
    body = Markup("").join(Markup("<tr>") + Markup("").join(line) + Markup("</tr>") for line in lines)
    return Markup('<table class="grid">') + body + Markup("</table>")


def _cell(text: str) -> Markup:
    """The text of a cell, its `\\( … \\)` drawn as formulas where they can be."""
    parts = []
    for number, part in enumerate(_INLINE.split(text)):
        try:
            parts.append(formula_html(part, display="inline") if number % 2 else escape(part))
        except MarkupError:
            parts.append(Markup("\\({}\\)").format(part))
    return Markup("").join(parts)


def formula_html(text: str, *, display: str = "block") -> Markup:
    """LaTeX as MathML, which browsers draw themselves. MarkupError where it cannot be turned into any."""
    from latex2mathml.converter import convert
    from lxml import etree

    inner = latex_tokens.strip_delimiters(text)
    if len(inner) > MAX_FORMULA:
        raise MarkupError("target.latex", f"more than {MAX_FORMULA:,} characters are not shown")
    try:
        root = etree.fromstring(
            convert(inner, display=display).encode("utf-8", "replace"),
            etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True),
        )
    except Exception as error:  # the converter raises whatever it stumbles over
        raise MarkupError(
            "target.latex",
            f"not rendered ({type(error).__name__}: {str(error)[:80]})",
        ) from error
    # known elements, and text that the parser has read
    return Markup(etree.tostring(_kept(root), encoding="unicode"))  # noqa: S704


def _kept(root: Any) -> Any:
    """The tree without elements and attributes that are not mathematics; their text stays."""
    from lxml import etree

    for node in root.iter():
        name = etree.QName(node).localname if isinstance(node.tag, str) else ""
        if name not in KEPT:
            node.tag = "{http://www.w3.org/1998/Math/MathML}mrow"
        for key in list(node.attrib):
            if key not in ATTRIBUTES:
                del node.attrib[key]
    return root


def page(template: str, **values: object) -> bytes:
    """A template of this folder or of the reports, filled; UTF-8."""
    return rendering.template(template).render(**values).encode("utf-8", "replace")
