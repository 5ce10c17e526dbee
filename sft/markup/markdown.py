"""The tables of GitHub's Markdown → grid. What is shown is what the label says (see `markdown_cells`).

Short rows are filled; a row that is longer than the heading, of which GitHub would not show the end, widens the table.
Both are warnings.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from functools import lru_cache
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from sft.markup.cell_text import one_line, visible
from sft.markup.csv_tables import check_length
from sft.markup.errors import MarkupError, MarkupWarning
from sft.markup.grid import Grid
from sft.markup.markdown_cells import MARKS, inline_reader, is_ruler, markdown_text, split_markdown

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_PREFIX = re.compile(r"\A[\s>]*(?:[-+*]|\d{1,9}[.)])?[\s>]*")  # of a line in a quotation or list
_TAG = re.compile(r"<!--.*?(?:-->|\Z)|<[^<>]*>", re.DOTALL)


def parse_markdown(text: str) -> Grid:
    """The first table of `text` in GitHub's Markdown: a heading row, a ruler of as many cells, rows until a blank line
    or another block.

    Raises: MarkupError `source.syntax` if there is no such table; `source.too_large`.
    """
    check_length(text)
    text = dedent(text.replace("\r\n", "\n").replace("\r", "\n"))
    table = _ordinary(text.strip("\n").rstrip().split("\n")) or _found(text)
    if table is None:
        raise MarkupError(
            "source.syntax",
            "no Markdown table",
            hint="expected a row | a | b |, a ruler | --- | --- | of as many cells, and rows",
        )
    warnings = table.warnings
    width = len(table.rows[0])
    for number, row in enumerate(table.rows, 1):
        if len(row) > width:
            warnings.append(
                MarkupWarning(
                    "table.widened", f"row {number}: {len(row)} cells, the heading has {width}; the table is widened"
                )
            )
    return Grid.from_rows(
        [[table.shown(cell) for cell in row] for row in table.rows],
        header=True,
        warnings=warnings,
    )


@dataclass
class _MarkdownTable:
    """The cells of a table as they are written, and the links that are defined outside of it."""

    rows: list[list[str]]
    links: MutableMapping[str, Any] = field(default_factory=dict)
    warnings: list[MarkupWarning] = field(default_factory=list)

    def shown(self, cell: str) -> str:
        """The text of a cell as it is trained."""
        return markdown_text(cell, self.links) if MARKS.search(cell) else one_line(cell)


def _ordinary(lines: list[str]) -> _MarkdownTable | None:
    """The table of lines that are rows without a doubt; None for others."""
    if len(lines) < 2 or not all(line.startswith("|") for line in lines) or not is_ruler(lines[1]):
        return None
    rows = [split_markdown(line) for line in lines if line is not lines[1]]
    return _MarkdownTable(rows) if len(rows[0]) == len(split_markdown(lines[1])) else None


def _found(text: str) -> _MarkdownTable | None:
    """The first table among the blocks of a document; None if there is none."""
    links: MutableMapping[str, Any] = {}
    tokens = _blocks().parse(text, links)
    lines = text.split("\n")
    table: _MarkdownTable | None = None
    warnings: list[MarkupWarning] = []
    written: list[str] = []  # the cells of the row in its line
    depth = 0  # inside the first table: 1, inside a later one: 2
    for token in tokens:
        if token.type == "table_open":
            depth = 2 if table else 1
            if table:
                warnings.append(MarkupWarning("table.second", "more than one table: only the first is read"))
            table = table or _MarkdownTable([], links, warnings)
        elif token.type == "table_close":
            depth = 0
        elif depth == 1 and table and token.type == "tr_open" and token.map:
            table.rows.append([])
            written = split_markdown(
                _PREFIX.sub(
                    "",
                    lines[token.map[0]],
                    count=1,
                )
            )
        elif depth == 1 and table and token.type == "tr_close":
            table.rows[-1] = _whole(table.rows[-1], written)
        elif depth == 1 and table and token.type == "inline":
            table.rows[-1].append(token.content)
        elif not depth and token.content and (shown := visible(_TAG.sub("", token.content))):
            warnings.append(MarkupWarning("table.outside", f"text outside of the table is dropped: {shown[:40]!r}"))
    return table


def _whole(read: list[str], written: list[str]) -> list[str]:
    """The cells of a row as they were written: a reader of GitHub's Markdown fills short rows and cuts long ones."""
    known = read[: len(written)]
    return written if written[: len(known)] == known and not any(read[len(written) :]) else read


@lru_cache(maxsize=1)
def _blocks() -> MarkdownIt:
    """Finds tables, and leaves what stands in the cells as it is."""
    return inline_reader(fresh=True).disable("inline")
