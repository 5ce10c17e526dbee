"""Tables: one `Grid`, and a reader for every way in which labels and answers write one."""

from __future__ import annotations

from sft.markup.csv_tables import parse_csv
from sft.markup.grid import Cell, Grid
from sft.markup.html import html_to_otsl, parse_html
from sft.markup.markdown import parse_markdown
from sft.markup.otsl import parse_otsl
from sft.markup.xlsx import parse_xlsx

__all__ = [
    "Cell",
    "Grid",
    "html_to_otsl",
    "otsl_to_html",
    "parse_csv",
    "parse_html",
    "parse_markdown",
    "parse_otsl",
    "parse_xlsx",
]


def otsl_to_html(text: str, *, lenient: bool = False) -> str:
    """`parse_otsl(text, lenient=lenient).to_html()`."""
    return parse_otsl(text, lenient=lenient).to_html()
