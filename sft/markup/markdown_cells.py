"""The cells of GitHub's Markdown: what is shown of one, and how a text is written as one.

Escapes, emphasis, code, strike, links (their text), images (nothing), comments, HTML and character references are read
by markdown-it-py, and `$…$` around TeX is `\\( … \\)`, as GitHub sets it.
"""

from __future__ import annotations

import html
import re
from collections.abc import MutableMapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sft.markup.cell_text import formulas, one_line
from sft.markup.errors import MarkupError
from sft.markup.html_hidden import without_hidden
from sft.markup.html_tokenizer import read_cells
from sft.markup.latex import inline_to_paren

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

LONGEST_CELL = 20_000  # characters of one cell that is not plain text
_PIPE = re.compile(r"(?<!\\)\|")
_RULER = re.compile(r" *:?-+:? *")
MARKS = re.compile(r"[\\`*_~<&!\[\]$]")  # a cell without one of these is plain text
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
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


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
    tokens = inline_reader().parseInline(cell, {} if links is None else links)[0].children or []
    tagged = any(
        token.type == "html_inline" and not _BREAK.match(token.content) and not token.content.startswith("<!--")
        for token in tokens
    )
    text = _of_html(tokens) if tagged else one_line("".join([_plain(token) for token in tokens]))
    return (
        _HELD.sub(
            lambda match: held[int(match[1])],
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
    html_cell = f"<table><tr><td>{inner.replace('$', _DOLLAR)}</td></tr></table>"
    groups = read_cells(without_hidden(html_cell), sub_sup="plain").groups
    texts = [piece[0] for group in groups for row in group for piece in row]
    return " ".join(filter(None, texts)).replace(_DOLLAR, "$")


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
    def keep(match: re.Match[str]) -> str:
        held.append(match[0].replace(_SLASH, "\\"))
        return f"\ufdd0{len(held) - 1}\ufdd0"

    def mark(match: re.Match[str]) -> str:
        body = match[2] or match[3]
        signs = (f"{_KEPT}(", f"{_KEPT})") if match[2] else (f"{_KEPT}[", f"{_KEPT}]")
        is_formula = (_TEX.search(body) or (body[0] == body[-1] == " ")) and inline_to_paren(f"${body}$") != f"${body}$"
        return f"{match[1]}{signs[0]}{body}{signs[1]}" if is_formula else match[0]

    if "\\" in text:
        text = _ESCAPED.sub(_SLASH, _PAREN.sub(mark, text))  # a bracket of prose may be escaped, too
    text = formulas(text).replace(_KEPT, "\\")
    return _MADE.sub(keep, text).replace(_SLASH, "\\")


@lru_cache(maxsize=2)
def inline_reader(*, fresh: bool = False) -> MarkdownIt:
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
    if MARKS.search(text) and markdown_text(text) != text:
        written = MARKS.sub(lambda match: "\\" + match[0], text)
        if markdown_text(written) != text:
            written = MARKS.sub(
                lambda match: f"&#{ord(match[0])};",
                text,
            )
    return written.replace("|", "\\|")
