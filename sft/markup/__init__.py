"""Text ↔ structure, pure and typed: tables, formulas, charts and plain text. Converters, checks and metrics
share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.markup import chart, latex, latex_tokens, table, text
    from sft.markup.cell_text import without_references
    from sft.markup.errors import MarkupError, MarkupWarning
    from sft.markup.grid import Cell, Grid, settled
    from sft.markup.html import parse_html
    from sft.markup.latex_scoring import SYNONYMS, normalise_scoring
    from sft.markup.latex_tokens import strip_delimiters, tokens, without_row_skips
    from sft.markup.markdown import is_ruler, parse_markdown, split_markdown
    from sft.markup.markdown_csv import delimiter_of
    from sft.markup.otsl import parse_otsl
    from sft.markup.pipeline import MIN_LENGTH, MIN_LENGTH_TABLE, dollars_deleted, min_length, repetition_cut
    from sft.markup.text import clusters, controls, invisible, lookalikes, marks_missing, maybe_suspicious, nfc, scripts
    from sft.markup.unicode_scripts import NEEDS_MARKS, RATIO, SHORTEST, script_of
    from sft.markup.xlsx import open_sheets, parse_xlsx, sheet_rows
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "MIN_LENGTH",
    "MIN_LENGTH_TABLE",
    "NEEDS_MARKS",
    "RATIO",
    "SHORTEST",
    "SYNONYMS",
    "Cell",
    "Grid",
    "MarkupError",
    "MarkupWarning",
    "chart",
    "clusters",
    "controls",
    "delimiter_of",
    "dollars_deleted",
    "invisible",
    "is_ruler",
    "latex",
    "latex_tokens",
    "lookalikes",
    "marks_missing",
    "maybe_suspicious",
    "min_length",
    "nfc",
    "normalise_scoring",
    "open_sheets",
    "parse_html",
    "parse_markdown",
    "parse_otsl",
    "parse_xlsx",
    "repetition_cut",
    "script_of",
    "scripts",
    "settled",
    "sheet_rows",
    "split_markdown",
    "strip_delimiters",
    "table",
    "text",
    "tokens",
    "without_references",
    "without_row_skips",
]
