"""HTML → the cells of its first table, row by row, as a browser would nest them.

A tokeniser of its own rather than lxml: libxml2 puts `<td><b>A<td>B` into one cell, differs between versions in how it
fixes broken markup, limits depth, and rejects some texts. This one follows the HTML standard for tokens and for what
ends a cell, a row or a row group; it needs one pass, no recursion, and gives the same for every version.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Literal

from sft.markup.cell_text import formulas, keep_numbers, one_line, visible
from sft.markup.errors import NAMED, MarkupError, MarkupWarning
from sft.markup.html_tokens import ATTRIBUTE, TOKEN, attributes_of
from sft.markup.mathml import LONGEST as LONGEST_FORMULA
from sft.markup.mathml import UnreadableMath, bare_tex, mathml_to_latex

SubSup = Literal["plain", "latex"]

_TABLE = re.compile(r"<table[\s/>]", re.IGNORECASE)
_NUMBER = re.compile(r"[ \t\n\r\f]*\+?([0-9]{1,9})")
_BREAKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "br",
        "center",
        "dd",
        "details",
        "dialog",
        "dir",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hgroup",
        "hr",
        "html",
        "legend",
        "li",
        "listing",
        "main",
        "menu",
        "nav",
        "ol",
        "optgroup",
        "option",
        "p",
        "plaintext",
        "pre",
        "search",
        "section",
        "summary",
        "ul",
        "table",
        "caption",
        "colgroup",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "td",
        "th",
    ]
)
_TEX_SPECIAL = re.compile(r"(?<!\\)([%&#$_])")
_FORMULA_IMAGE = re.compile(r"mwe-math-fallback-image|(?:\A|\s)tex(?:\s|\Z)")
_MATH_END = re.compile(r"</math\s*>", re.IGNORECASE)
_NO_MATH = re.compile(r"[0-9]+(?:[.,][0-9]+)*|")  # a number needs no formula around it
_FENCE = re.compile(r"\s*(?:```|~~~)\w*\s*")

HtmlCell = tuple[str, int, int, bool]  # text, row span (0: to the end of the group), column span, heading


@dataclass(slots=True)
class HtmlTable:
    """What the first table of a document holds: row groups in the order they are shown, and what was dropped."""

    groups: list[list[list[HtmlCell]]] = field(default_factory=list)
    feet: list[list[list[HtmlCell]]] = field(default_factory=list)
    warnings: list[MarkupWarning] = field(default_factory=list)

    def warn(self, code: str, message: str) -> None:
        """Notes what was dropped or fixed, once in a row."""
        warning = MarkupWarning(code, message)
        if warning not in self.warnings[-1:] and len(self.warnings) < NAMED:
            self.warnings.append(warning)


def read_cells(text: str, *, sub_sup: SubSup = "plain") -> HtmlTable:
    """The first table of `text` that has a cell; rows without a `<table>` around them are taken as one.

    Raises: MarkupError `target.html` if there is no cell, or a tag does not end.
    """
    if sub_sup == "plain":
        text = keep_numbers(text)
    reader = _TableReader(sub_sup, wrapped=_TABLE.search(text) is not None)
    source = reader.read(text)
    if not source.groups and reader.wrapped:  # the only <table> may stand in a comment
        reader = _TableReader(sub_sup, wrapped=False)
        bare = reader.read(text)
        source = bare if reader.cells and not reader.saw_table else source
    if not any(row for group in source.groups for row in group):
        raise MarkupError(
            "target.html", "no table with a cell in it", hint="expected <table><tr><td>…</td></tr></table>"
        )
    return source


def spans_of(attributes: str) -> tuple[int, int]:
    """(row span, column span) by the rules of the HTML standard: 0 rows is "to the end of the group", garbage is 1."""
    spans: dict[str, int] = {}
    for name, double, single, bare in ATTRIBUTE.findall(attributes):
        key = name.lower()
        if key in ("rowspan", "colspan"):
            number = _NUMBER.match(html.unescape(double or single or bare))
            spans.setdefault(
                key,
                int(number[1]) if number else 1,
            )
    return min(spans.get("rowspan", 1), 65534), min(spans.get("colspan", 1) or 1, 1000)


class _TableReader:
    """One pass over the tokens of a document."""

    def __init__(self, sub_sup: SubSup, *, wrapped: bool) -> None:
        self.wrapped, self.latex = wrapped, sub_sup == "latex"
        self.depth = 0 if wrapped else 1  # tables that are open
        self.source = HtmlTable()
        self.group: list[list[HtmlCell]] | None = None
        self.kind = ""  # of the open row group
        self.row: list[HtmlCell] | None = None
        self.cell: list[str] | None = None  # the texts of the open cell
        self.opened = ""  # its name and attributes
        self.scripts = 0  # open <sub> and <sup>
        self.math: list[str] | None = None  # [alttext, texts…] of an open <math>
        self.math_source = ""  # the document from its start tag on
        self.note = False  # inside a TeX annotation of it
        self.caption = False
        self.cells = 0
        self.saw_table = False

    def read(self, text: str) -> HtmlTable:
        for match in TOKEN.finditer(text):
            chunk, _, _, slash, name, attributes, end, literal = match.groups()
            if chunk or literal:
                if self.cell is not None:
                    self.text(chunk or literal)
                elif (shown := visible(html.unescape(chunk or literal))) and not _FENCE.fullmatch(chunk or literal):
                    kind, code = (
                        ("the caption", "table.caption")
                        if self.caption
                        else ("text outside of the cells", "table.outside")
                    )
                    self.source.warn(
                        code,
                        f"{kind} is dropped: {shown[:40]!r}",
                    )
            elif name:
                if not end and self.depth:
                    raise MarkupError(
                        "target.html", f"the tag <{slash}{name[:20]} does not end", place=f"offset {match.start()}"
                    )
                lower = name.lower()
                if self.depth == 0:
                    self.outside(lower, slash)
                elif slash:
                    self.end(lower)
                else:
                    if lower == "math" and self.math is None:
                        self.math_source = text[match.start() : match.start() + LONGEST_FORMULA]
                    self.start(lower, attributes)
                if self.depth < 0:
                    break
        if self.depth >= 0:
            self.close("table")
        self.source.groups += self.source.feet
        return self.source

    def outside(self, name: str, slash: str) -> None:
        if name == "table" and not slash:
            self.saw_table = True
            if self.cells:
                self.source.warn("table.second", "more than one table: only the first is read")
                self.depth = -1
            else:
                self.depth = 1

    def close(self, what: str) -> None:
        """Ends what is open, from the innermost to `what`."""
        if self.cell is not None:
            self.finish_cell()
        self.caption = False
        if what != "cell":
            self.row = None
        if what in ("group", "table"):
            self.group, self.kind = None, ""

    def text(self, chunk: str) -> None:
        if "&" in chunk:
            chunk = html.unescape(chunk)
        if self.math is not None:
            if self.note:
                self.math[0] += chunk
            else:
                self.math.append(chunk)
        elif self.cell is not None:
            self.cell.append(_TEX_SPECIAL.sub(r"\\\1", chunk) if self.scripts else chunk)

    def start(self, name: str, attributes: str) -> None:
        if self.depth == 1 and self.structure(name, attributes):
            return
        if self.cell is None:
            return
        if name == "table":
            self.depth += 1
            self.source.warn("table.nested", "a table inside a cell: its texts are joined")
        if name in _BREAKS:
            self.cell.append("\n")
        elif name == "math" and self.math is None:
            if not attributes.endswith("/"):
                self.math = [attributes_of(attributes).get("alttext", "")]
        elif name == "img" and self.math is None:
            self.image(attributes)
        elif name in ("annotation", "annotation-xml") and self.math:
            self.note = "tex" in attributes.lower() and not self.math[0]
            if not self.note:
                self.math.append("\0")  # what follows is no text
        elif self.latex and name in ("sub", "sup") and self.math is None:
            self.cell.append(("" if self.scripts else "\\( ") + ("_{" if name == "sub" else "^{"))
            self.scripts += 1

    def image(self, attributes: str) -> None:
        """A picture is no text, unless it is MediaWiki's of a formula, whose `alt` is its TeX."""
        values = attributes_of(attributes) if "alt" in attributes else {}
        if self.cell is not None and values.get("alt") and _FORMULA_IMAGE.search(values.get("class", "")):
            self.cell.append(f"\\( {bare_tex(values['alt'])} \\)")

    def structure(self, name: str, attributes: str) -> bool:
        """The tags of a table itself. True if that is all they are."""
        if name in ("td", "th"):
            self.close("cell")
            if self.row is None:
                self.start_row()
            self.cell, self.opened = [], f"{name} {attributes}"
            self.cells += 1
        elif name == "tr":
            self.close("row")
            self.start_row()
        elif name in ("thead", "tbody", "tfoot"):
            self.close("group")
            self.start_group(name)
        elif name in ("caption", "colgroup", "col"):
            self.close("group")
            self.caption = name == "caption"
        elif name == "table" and self.cell is None:
            self.saw_table = True
            if self.cells:
                self.close("table")
                self.source.warn("table.second", "more than one table: only the first is read")
                self.depth = -1
        else:
            return False
        return True

    def start_group(self, kind: str) -> list[list[HtmlCell]]:
        group: list[list[HtmlCell]] = []
        self.group, self.kind = group, kind
        (self.source.feet if kind == "tfoot" else self.source.groups).append(group)
        return group

    def start_row(self) -> None:
        group = self.group if self.group is not None else self.start_group("tbody")
        self.row = []
        group.append(self.row)

    def end(self, name: str) -> None:
        if self.depth > 1:
            if name == "table":
                self.depth -= 1
        elif name in ("td", "th"):
            self.close("cell")
            return
        elif name == "tr":
            self.close("row")
            return
        elif name == "table":
            if self.wrapped:
                self.close("table")
                self.depth = 0
            return
        elif name in ("thead", "tbody", "tfoot"):
            if name == self.kind:
                self.close("group")
            return
        elif name == "caption":
            self.caption = False
            return
        if self.cell is not None:
            self.end_inside(name, self.cell)

    def end_inside(self, name: str, cell: list[str]) -> None:
        """The end of an element that is no part of the table's own structure."""
        if name in _BREAKS:
            cell.append("\n")
        elif name == "math":
            self.finish_math()
        elif name in ("annotation", "annotation-xml") and self.math:
            self.note = False
            self.math.append("\0")
        elif name in ("sub", "sup") and self.scripts:
            self.scripts -= 1
            cell.append("}" if self.scripts else "} \\)")

    def finish_math(self) -> None:
        """`<math>` as its alttext, or its TeX annotation, or what its elements say; where that is not known, its
        texts, with a warning.
        """
        if self.math is None or self.cell is None:
            return
        tex = bare_tex(self.math[0])
        if not tex:
            end = _MATH_END.search(self.math_source)
            try:
                tex = mathml_to_latex(self.math_source[: end.end()]) if end else ""
            except UnreadableMath as error:
                self.source.warn(
                    "table.math",
                    f"MathML without TeX beside it, in which {str(error)[:80]} cannot be read: only its characters are"
                    " kept",
                )
        if not tex:
            shown = "".join("".join(self.math[1:]).split("\0")[::2])
            self.cell.append("".join(shown.split()))
        elif _NO_MATH.fullmatch(tex):
            self.cell.append(tex)
        else:
            self.cell.append(f"\\( {tex} \\)")
        self.math, self.note = None, False

    def finish_cell(self) -> None:
        self.finish_math()
        if self.cell is None or self.row is None:
            return
        if self.scripts:
            self.cell.append("}" * self.scripts + " \\)")
            self.scripts = 0
        joined = self.cell[0] if len(self.cell) == 1 else "".join(self.cell)
        if self.latex:
            joined = joined.replace("\\( _{} \\)", "").replace("\\( ^{} \\)", "")
        spans = spans_of(self.opened) if "span" in self.opened.lower() else (1, 1)
        self.row.append((formulas(one_line(joined)), *spans, self.opened[1] == "h" or self.kind == "thead"))
        self.cell = None
