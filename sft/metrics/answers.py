"""Reads what a model answered: which notation it is in, and the table or chart it shows, strictly and leniently.

Strict is what was asked for, and nothing around it: the answer could be used as it is. Lenient is what a willing reader
sees: PaddleX's repairs of OTSL, a browser's of HTML, a fence or a sentence around a table forgiven. Both scores can be
shown; their difference is format, not reading.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from sft.markup import Grid, MarkupError, is_ruler, parse_html, parse_markdown, parse_otsl, split_markdown
from sft.markup import chart as charts

Notation = Literal["otsl", "html", "markdown", "none"]
MAX_LENGTH = 4_000_000  # characters of an answer that are read; a table of 200 × 20 has some 40 000
# Where a table's distance would take minutes: cells of the reference × cells of the answer (512 MB), and of an answer
# alone; no model writes so many. Beyond, an answer is a runaway and its TEDS 0.
MAX_PAIRS = 64_000_000
MAX_CELLS = 100_000

_OTSL = re.compile(r"<(?:[felux]cel|nl|ched|rhed|srow)>")
_DOCLING = re.compile(r"<(?:ched|rhed|srow|otsl)>")
_TABLE = re.compile(r"<table[\s>]", re.IGNORECASE)
_HTML_TAG = re.compile(r"<(/?)(table|thead|tbody|tfoot|tr|t[dh])\b[^<>]*>", re.IGNORECASE)
_SPAN = re.compile(r"\b(?:row|col)span\s{0,9}=\s{0,9}[\"']?([^\"'\s>]*)", re.IGNORECASE)
_HTML_WHOLE = re.compile(
    r"(?:<html>\s*<body>\s*)?<table[\s>].*</table>(?:\s*</body>\s*</html>)?", re.IGNORECASE | re.DOTALL
)
_FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)


class TableAnswer(NamedTuple):
    """`grid` without rows where there is no table to read; `strict`: nothing had to be forgiven."""

    grid: Grid
    strict: bool
    notation: Notation


class ChartAnswer(NamedTuple):
    """`rows` empty where there is no chart to read; `strict`: in the style that is trained, rows of one width."""

    rows: list[list[str]]
    strict: bool


def notation(text: str) -> Notation:
    """How the table in `text` is written, by what comes first: a token of OTSL, `<table`, or the ruler of a Markdown
    table.
    """
    places: dict[Notation, int] = {}
    for name, pattern in (("otsl", _OTSL), ("html", _TABLE)):
        if match := pattern.search(text, 0, MAX_LENGTH):
            places[name] = match.start()  # type: ignore[index]
    if not places and "|" in text and "-" in text and _ruled(text[:MAX_LENGTH].split("\n")):
        return "markdown"
    return min(places, key=lambda name: places[name]) if places else "none"


def _ruled(lines: list[str]) -> bool:
    return any("|" in above and "-" in line and is_ruler(line) for above, line in zip(lines, lines[1:], strict=False))


def read_table(text: str) -> TableAnswer:
    """The first table of an answer in OTSL (docling's too), HTML or Markdown. Never raises: a grid without rows is no
    table.

    More than MAX_LENGTH characters are cut off. Strict OTSL: as `parse_otsl` wants a training target. Strict HTML: one
    <table> and nothing beside it, tags in pairs, nothing fixed. Strict Markdown: every line belongs to the table, all
    rows as wide as its ruler.
    """
    cut = len(text) > MAX_LENGTH
    text = text[:MAX_LENGTH]
    written_as = notation(text)
    if written_as == "none":
        return TableAnswer(Grid(()), False, "none")
    try:
        grid, strict = {"otsl": _otsl, "html": _html, "markdown": _markdown}[written_as](text)
    except (MarkupError, RecursionError, ValueError):
        return TableAnswer(Grid(()), False, written_as)
    return TableAnswer(grid, strict and not cut, written_as)


def _unfenced(text: str) -> str:
    """What stands in the first code fence, if there is one."""
    fence = _FENCE.search(text) if "```" in text else None
    return fence[1] if fence else text


def _otsl(text: str) -> tuple[Grid, bool]:
    dialect: Literal["docling", "paddleocr-vl"] = "docling" if _DOCLING.search(text) else "paddleocr-vl"
    try:
        grid = parse_otsl(text, dialect=dialect)
        return grid, dialect == "paddleocr-vl" and not grid.warnings
    except MarkupError:
        inner = _unfenced(text)
        first = _OTSL.search(inner)
        return parse_otsl(
            inner[first.start() if first else 0 :],
            lenient=True,
            dialect=dialect,
        ), False


def _html(text: str) -> tuple[Grid, bool]:
    grid = parse_html(text)
    strict = (
        not grid.warnings
        and _HTML_WHOLE.fullmatch(text.strip()) is not None
        and _balanced(text)
        and _written(grid, text)
    )
    return grid, strict


def _balanced(text: str) -> bool:
    """Do the tags of one table open and close in pairs?"""
    stack: list[str] = []
    tables = 0
    for match in _HTML_TAG.finditer(text):
        name = match[2].lower()
        if not match[1]:
            tables += name == "table"
            stack.append(name)
        elif not stack or stack.pop() != name:
            return False
    return not stack and tables == 1


def _written(grid: Grid, text: str) -> bool:
    """Was every cell of the grid written, and every span a number? Slots that the reader filled are blank cells
    without a tag.
    """
    if not all(span.isdecimal() and int(span[:9]) for span in _SPAN.findall(text)):
        return False
    written = sum(not match[1] and match[2].lower() in ("td", "th") for match in _HTML_TAG.finditer(text))
    return bool(written == sum(len(row) - row.count(None) for row in grid.rows))


def _markdown(text: str) -> tuple[Grid, bool]:
    lines = text.strip().split("\n")
    whole = (
        len(lines) > 1
        and is_ruler(lines[1])
        and all("|" in line for line in lines)
        and len({len(split_markdown(line)) for line in lines}) == 1
    )
    try:
        return parse_markdown(text), whole
    except MarkupError:
        return parse_markdown(_unfenced(text)), False


def read_chart(text: str) -> ChartAnswer:
    """The rows of a chart answer in any style that `sft.markup.chart` knows, or of a table in OTSL or HTML.

    Never raises: no rows is no chart.
    """
    if len(text) > charts.MAX_LENGTH:
        return ChartAnswer([], False)
    if notation(text) in ("otsl", "html"):
        return ChartAnswer(read_table(text).grid.filled("repeat"), False)
    try:
        charts.check(text)
        strict = charts.style_of(text) == "training"
    except MarkupError:
        strict = False
    try:
        return ChartAnswer(charts.parse_rows(_unfenced(text)), strict)
    except MarkupError:
        return ChartAnswer([], False)
