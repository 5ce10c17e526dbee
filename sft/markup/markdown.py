"""GitHub's Markdown → grid, and back. markdown-it-py reads what stands in the cells: what is shown is what the label
says.

Escapes, emphasis, code, strike, links (their text), images (nothing), comments, HTML and character references are read,
and `$…$` around TeX is `\\( … \\)`, as GitHub sets it. Short rows are filled; a row that is longer than the heading, of
which GitHub would not show the end, widens the table. Both are warnings.
"""

from __future__ import annotations

import html
import re
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from functools import lru_cache
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from sft.markup.cell_text import formulas, one_line, visible
from sft.markup.errors import MarkupError, MarkupWarning
from sft.markup.grid import Grid
from sft.markup.html import read_html
from sft.markup.latex import inline_to_paren
from sft.markup.markdown_csv import check_length

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

LONGEST_CELL = 20_000  # characters of one cell that is not plain text
_PIPE = re.compile(r"(?<!\\)\|")
_RULER = re.compile(r" *:?-+:? *")
_MARKS = re.compile(r"[\\`*_~<&!\[\]$]")  # a cell without one of these is plain text
_CODE = re.compile(r"(?<![\\`])(`+)(?!`)(.*?)(?<!`)\1(?!`)", re.DOTALL)
_PAREN = re.compile(r"(?<!\\)((?:\\\\)*)(?:\\\((.+?)\\\)|\\\[(.+?)\\\])", re.DOTALL)
_TEX = re.compile(r"\\[A-Za-z]|[_^{}]")  # in brackets that may also be escaped ones of prose: `\[1\]`
_MADE = re.compile(r"\\\( .*? \\\)|\\\[.*?\\\]", re.DOTALL)
_ESCAPED = re.compile(r"\\(?=[()\[\]])")
_HELD = re.compile(
    "\ufdd0([0-9]+)\ufdd0"
)  # stands for a formula while Markdown is read; no text holds these non-characters
_DOLLAR, _SLASH, _KEPT = (
    "\ufdd1",
    "\ufdd2",
    "\ufdd3",
)  # stand for a dollar sign, the backslash of prose, that of a formula
_SIGNS = re.compile("[\ufdd0-\ufdd3]")
_PREFIX = re.compile(r"\A[\s>]*(?:[-+*]|\d{1,9}[.)])?[\s>]*")  # of a line in a quotation or list
_TAG = re.compile(r"<!--.*?(?:-->|\Z)|<[^<>]*>", re.DOTALL)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


def parse_markdown(text: str) -> Grid:
    """The first table of `text` in GitHub's Markdown: a heading row, a ruler of as many cells, rows until a blank line
    or another block.

    Raises: MarkupError `source.syntax` if there is no such table; `source.too_large`.
    """
    check_length(text)
    text = dedent(text.replace("\r\n", "\n").replace("\r", "\n"))
    found = _ordinary(text.strip("\n").rstrip().split("\n")) or _found(text)
    if found is None:
        raise MarkupError(
            "source.syntax",
            "no Markdown table",
            hint="expected a row | a | b |, a ruler | --- | --- | of as many cells, and rows",
        )
    warnings = found.warnings
    width = len(found.rows[0])
    for number, row in enumerate(found.rows, 1):
        if len(row) > width:
            warnings.append(
                MarkupWarning(
                    "table.widened", f"row {number}: {len(row)} cells, the heading has {width}; the table is widened"
                )
            )
    return Grid.from_rows(
        [[found.shown(cell) for cell in row] for row in found.rows],
        header=True,
        warnings=warnings,
    )


@dataclass
class _Found:
    """The cells of a table as they are written, and the links that are defined outside of it."""

    rows: list[list[str]]
    links: MutableMapping[str, Any] = field(default_factory=dict)
    warnings: list[MarkupWarning] = field(default_factory=list)

    def shown(self, cell: str) -> str:
        """The text of a cell as it is trained."""
        return markdown_text(cell, self.links) if _MARKS.search(cell) else one_line(cell)


def _ordinary(lines: list[str]) -> _Found | None:
    """The table of lines that are rows without a doubt; None for others."""
    if len(lines) < 2 or not all(line.startswith("|") for line in lines) or not is_ruler(lines[1]):
        return None
    rows = [split_markdown(line) for line in lines if line is not lines[1]]
    return _Found(rows) if len(rows[0]) == len(split_markdown(lines[1])) else None


def _found(text: str) -> _Found | None:
    """The first table among the blocks of a document; None if there is none."""
    links: MutableMapping[str, Any] = {}
    tokens = _blocks().parse(text, links)
    lines = text.split("\n")
    found: _Found | None = None
    warnings: list[MarkupWarning] = []
    written: list[str] = []  # the cells of the row in its line
    depth = 0  # inside the first table: 1, inside a later one: 2
    for token in tokens:
        if token.type == "table_open":
            depth = 2 if found else 1
            if found:
                warnings.append(MarkupWarning("table.second", "more than one table: only the first is read"))
            found = found or _Found([], links, warnings)
        elif token.type == "table_close":
            depth = 0
        elif depth == 1 and found and token.type == "tr_open" and token.map:
            found.rows.append([])
            written = split_markdown(
                _PREFIX.sub(
                    "",
                    lines[token.map[0]],
                    count=1,
                )
            )
        elif depth == 1 and found and token.type == "tr_close":
            found.rows[-1] = _whole(found.rows[-1], written)
        elif depth == 1 and found and token.type == "inline":
            found.rows[-1].append(token.content)
        elif not depth and token.content and (shown := visible(_TAG.sub("", token.content))):
            warnings.append(MarkupWarning("table.outside", f"text outside of the table is dropped: {shown[:40]!r}"))
    return found


def _whole(read: list[str], written: list[str]) -> list[str]:
    """The cells of a row as they were written: a reader of GitHub's Markdown fills short rows and cuts long ones."""
    known = read[: len(written)]
    return written if written[: len(known)] == known and not any(read[len(written) :]) else read


def is_ruler(line: str) -> bool:
    """True for `| --- | :-: |` and the like."""
    return "|" in line and all(_RULER.fullmatch(cell) for cell in split_markdown(line))


def split_markdown(line: str) -> list[str]:
    """The cells of a line, without the outer pipes; `\\|` is a pipe, in code too."""
    line = line.strip()
    if line.startswith("|"):
        line = line[1:]
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    if "\\|" not in line:
        return [cell.strip() for cell in line.split("|")]
    return [cell.replace("\\|", "|").strip() for cell in _PIPE.split(line)]


def markdown_text(cell: str, links: MutableMapping[str, Any] | None = None) -> str:
    r"""What is shown of the inline Markdown of one cell, as it is trained. `links`: those that the document defines.

    >>> markdown_text(r"**max\_len** `a*b` 5\*3 [docs](x) $x_1$ US\$3")
    'max_len a*b 5*3 docs \\( x_1 \\) US$3'
    """
    if len(cell) > LONGEST_CELL:
        raise MarkupError(
            "source.too_large", f"a cell of {len(cell)} characters of Markdown; at most {LONGEST_CELL} are read"
        )
    held: list[str] = []
    if ("$" in cell or "\\" in cell) and not _SIGNS.search(cell):
        cell = _hold_formulas(cell, held)
    tokens = _inlines().parseInline(cell, {} if links is None else links)[0].children or []
    tagged = any(
        token.type == "html_inline" and not _BREAK.match(token.content) and not token.content.startswith("<!--")
        for token in tokens
    )
    text = _of_html(tokens) if tagged else one_line("".join([_plain(token) for token in tokens]))
    return (
        _HELD.sub(
            lambda found: held[int(found[1])],
            text,
        )
        if held
        else text
    )


def _plain(token: Token) -> str:
    """The text of a piece of a cell; a picture and a comment have none."""
    if token.type in ("text", "text_special", "code_inline"):
        return token.content
    return "\n" if token.type in ("softbreak", "hardbreak") or _BREAK.match(token.content) else ""


def _of_html(tokens: list[Token]) -> str:
    """The text of a cell with HTML in it. Dollar signs that are left by now begin no formula."""
    inner = "".join(
        [token.content if token.type == "html_inline" else html.escape(_plain(token), quote=False) for token in tokens]
    )
    rows = read_html(f"<table><tr><td>{inner.replace('$', _DOLLAR)}</td></tr></table>").rows
    return " ".join(text for row in rows for text in row if text).replace(
        _DOLLAR,
        "$",
    )


def _hold_formulas(cell: str, held: list[str]) -> str:
    """`cell` with a sign for each of its formulas, which Markdown must not read; they go to `held`. In code there is
    none.
    """
    parts, done = [], 0
    for code in _CODE.finditer(cell):
        parts += [
            _hold(cell[done : code.start()], held),
            code[0],
        ]
        done = code.end()
    return "".join([*parts, _hold(cell[done:], held)])


def _hold(text: str, held: list[str]) -> str:
    def keep(found: re.Match[str]) -> str:
        held.append(found[0].replace(_SLASH, "\\"))
        return f"\ufdd0{len(held) - 1}\ufdd0"

    def mark(found: re.Match[str]) -> str:
        body = found[2] or found[3]
        signs = (f"{_KEPT}(", f"{_KEPT})") if found[2] else (f"{_KEPT}[", f"{_KEPT}]")
        is_formula = (_TEX.search(body) or (body[0] == body[-1] == " ")) and inline_to_paren(f"${body}$") != f"${body}$"
        return f"{found[1]}{signs[0]}{body}{signs[1]}" if is_formula else found[0]

    if "\\" in text:
        text = _ESCAPED.sub(_SLASH, _PAREN.sub(mark, text))  # a bracket of prose may be escaped, too
    text = formulas(text).replace(_KEPT, "\\")
    return _MADE.sub(keep, text).replace(_SLASH, "\\")


@lru_cache(maxsize=1)
def _blocks() -> MarkdownIt:
    """Finds tables, and leaves what stands in the cells as it is."""
    return _inlines(fresh=True).disable("inline")


@lru_cache(maxsize=2)
def _inlines(*, fresh: bool = False) -> MarkdownIt:
    """CommonMark with the tables and the strike of GitHub."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def write_markdown(rows: list[list[str]]) -> str:
    """Rows as Markdown, the first one as the heading.

    "" if there are none. Raises: MarkupError `source.inexpressible` for a line break.
    """
    if not rows:
        return ""
    lines = []
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            if "\n" in text or "\r" in text:
                raise MarkupError(
                    "source.inexpressible", "a line break in a cell", place=f"row {number + 1}, column {column + 1}"
                )
        # a space at the end keeps a backslash away from the pipe
        lines.append("| " + " | ".join([_written(text) for text in row]) + " |\n")
        if not number:
            lines.append("|" + " --- |" * len(row) + "\n")
    return "".join(lines)


def _written(text: str) -> str:
    """A text as a cell: as it is, or with backslashes, or with references where backslashes make a formula of it."""
    written = text
    if _MARKS.search(text) and markdown_text(text) != text:
        written = _MARKS.sub(lambda found: "\\" + found[0], text)
        if markdown_text(written) != text:
            written = _MARKS.sub(
                lambda found: f"&#{ord(found[0])};",
                text,
            )
    return written.replace("|", "\\|")
