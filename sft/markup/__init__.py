"""Text ↔ structure, pure and typed: tables, formulas, charts and plain text. Converters, checks and metrics
share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.markup import arabic, chart, latex, latex_tokens, spelling, table, text
    from sft.markup.cell_text import without_references
    from sft.markup.csv_tables import delimiter_of
    from sft.markup.errors import MarkupError, MarkupWarning
    from sft.markup.grid import Cell, Grid, settled
    from sft.markup.html import parse_html
    from sft.markup.latex_scoring import SYNONYMS, normalise_scoring
    from sft.markup.latex_tokens import strip_delimiters, tokens, without_row_skips
    from sft.markup.latex_unseen import unseen
    from sft.markup.markdown import parse_markdown
    from sft.markup.markdown_cells import is_ruler, split_markdown
    from sft.markup.otsl import parse_otsl
    from sft.markup.pipeline import MIN_LENGTH, MIN_LENGTH_TABLE, dollars_deleted, min_length, repetition_cut
    from sft.markup.spelling import canonical
    from sft.markup.spotting import (
        SpottedText,
        corner_fault,
        has_places,
        parse_spotting,
        plain_text,
        spotting_faults,
        write_spotting,
    )
    from sft.markup.text import (
        PLACEHOLDERS,
        clusters,
        composed,
        controls,
        invisible,
        is_composed,
        lookalikes,
        marks_missing,
        nfc,
        odd_blanks,
        scripts,
        tidy_blanks,
        without_invisible,
    )
    from sft.markup.unicode_scripts import NEEDS_MARKS, RATIO, SHORTEST, has_marks, script_of
    from sft.markup.words import HYPHENS, SOFT_HYPHEN, ink_hyphens, join_words, program_of
    from sft.markup.xlsx import open_sheets, parse_xlsx, sheet_rows
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "HYPHENS",
    "MIN_LENGTH",
    "MIN_LENGTH_TABLE",
    "NEEDS_MARKS",
    "PLACEHOLDERS",
    "RATIO",
    "SHORTEST",
    "SOFT_HYPHEN",
    "SYNONYMS",
    "Cell",
    "Grid",
    "MarkupError",
    "MarkupWarning",
    "SpottedText",
    "arabic",
    "canonical",
    "chart",
    "clusters",
    "composed",
    "controls",
    "corner_fault",
    "delimiter_of",
    "dollars_deleted",
    "has_marks",
    "has_places",
    "ink_hyphens",
    "invisible",
    "is_composed",
    "is_ruler",
    "join_words",
    "latex",
    "latex_tokens",
    "lookalikes",
    "marks_missing",
    "min_length",
    "nfc",
    "normalise_scoring",
    "odd_blanks",
    "open_sheets",
    "parse_html",
    "parse_markdown",
    "parse_otsl",
    "parse_spotting",
    "parse_xlsx",
    "plain_text",
    "program_of",
    "repetition_cut",
    "script_of",
    "scripts",
    "settled",
    "sheet_rows",
    "spelling",
    "split_markdown",
    "spotting_faults",
    "strip_delimiters",
    "table",
    "text",
    "tidy_blanks",
    "tokens",
    "unseen",
    "without_invisible",
    "without_references",
    "without_row_skips",
    "write_spotting",
]
