"""How labels may be written: what `--markup` takes, for every format alike."""

from __future__ import annotations

from sft.types import Task

# Task → how its labels may be written. For tables and charts `auto` finds it out; for the others it is the first.
MARKUPS: dict[Task, tuple[str, ...]] = {
    Task.OCR: ("text", "latex"),
    Task.TABLE: ("html", "otsl", "docling-otsl", "markdown", "csv", "tsv", "training"),
    Task.FORMULA: ("latex", "latex-tokens"),
    Task.CHART: ("training", "deplot", "unichart", "structchart", "markdown", "csv", "tsv"),
    Task.SPOTTING: ("text",),
    Task.SEAL: ("text",),
}
MEANING: dict[str, str] = {
    "text": "plain text, taken as it is",
    "latex": "a formula with or without delimiters, spelt out or not; in a text, formulas between dollar signs",
    "latex-tokens": (
        "a formula spelt out with blanks between its tokens, which are taken out (as `latex` does where it is)"
    ),
    "html": "a table as HTML",
    "otsl": "a table as OTSL with PaddleOCR-VL's six tokens",
    "docling-otsl": "a table as OTSL with docling's tokens (<ched>, <rhed>, <srow>)",
    "markdown": "a Markdown table",
    "csv": (
        "values between commas, semicolons, tabs or pipes, quoted where needed; which one is found out, or said with"
        " --delimiter"
    ),
    "tsv": "tab-separated values",
    "training": "the target itself: chart rows by line, cells by ' | '; a table as OTSL, letter by letter",
    "deplot": "chart rows by <0x0A>, cells by ' | ', the title first",
    "unichart": "chart rows by ' & ', cells by ' | '",
    "structchart": "chart rows by a literal \\n, cells by a literal \\t",
}
