"""OTSL → grid. Strict for what is trained on, lenient (as the PaddleX pipeline reads it) for what a model answered.

Rules of the strict reader: every row ends with `<nl>` and has as many slots; text stands after `<fcel>` only (none
there is a blank cell and a warning, which `sft validate` makes an error of); a span is `<lcel>` in its first row,
`<ucel>` in its first column and `<xcel>` inside; nothing continues what is not there.
"""

from __future__ import annotations

import re
from typing import Literal

from sft.markup.cell_text import visible
from sft.markup.errors import MarkupError, MarkupWarning
from sft.markup.grid import Grid, check_size
from sft.markup.otsl_lenient import parse_lenient

Dialect = Literal["paddleocr-vl", "docling"]

_TOKEN = re.compile(r"<([felux]cel|nl)>")
_DOCLING_TOKEN = re.compile(r"<(ched|rhed|srow)>")
_DOCLING_WRAPPER = re.compile(r"</?otsl>|<loc_\d+/?>")
_DOCLING_CAPTION = re.compile(r"<caption>[^<]*(?:<(?!/?caption>)[^<]*)*</caption>")
_CODES = (("<ecel>", "<fcel>\x01"), ("<lcel>", "<fcel>\x02"), ("<ucel>", "<fcel>\x03"), ("<xcel>", "<fcel>\x04"))
_BLANK = "\x01"
_PLACES = {"\x02": 0, "\x03": 1, "\x04": 2}
# Texts with one of these are read token by token: the codes, white space other than the space, and what leaves no ink.
_ODD_ASCII = "\x01\x02\x03\x04\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f"
_ODD_PRINTABLE = "\u2800\u3164\uffa0"
_HINT = "parse with lenient=True to see what the PaddleX pipeline would make of it"

Slots = list[list["str | None"]]
Places = set[tuple[int, int]]


def parse_otsl(text: str, *, lenient: bool = False, dialect: Dialect = "paddleocr-vl") -> Grid:
    """The table that `text` describes.

    lenient: repair as the PaddleX pipeline does (short and long rows, missing `<nl>`, stray continuations, `<fcel>`
    without text swallowing the next token); every repair is in `warnings`. Overlapping spans are kept as that pipeline
    writes them. dialect "docling": also `<ched>`, `<rhed>` (headings) and `<srow>`, `<loc_…>`, `<otsl>`, and spans
    written with `<xcel>` only.
    Raises: MarkupError `target.otsl` naming row, column and rule if not lenient; `source.too_large` over a million
    slots.
    """
    if dialect == "docling":
        return _docling(text, lenient)
    if lenient:
        return parse_lenient(text)
    return _grid(*(_slots(text) or _slots_slowly(text)))


def _slots(text: str) -> tuple[Slots, Places, Places, Places] | None:
    """The texts of every row, and where `<lcel>`, `<ucel>` and `<xcel>` stand; None for what should be read token by
    token.
    """
    if any(map(text.__contains__, _ODD_ASCII)) or not (
        text.isascii() or (text.isprintable() and not any(map(text.__contains__, _ODD_PRINTABLE)))
    ):
        return None
    coded = text
    for token, code in _CODES:
        coded = coded.replace(token, code)
    if " <fcel>" in coded or " <nl>" in coded:
        return None
    lines = coded.split("<nl>")
    if lines.pop() or not lines:
        return None
    width = lines[0].count("<fcel>")
    places: tuple[Places, Places, Places] = (set(), set(), set())
    rows: Slots = []
    for r, line in enumerate(lines):
        row: list[str | None] = line.split("<fcel>")  # type: ignore[assignment]
        if len(row) != width + 1 or row.pop(0) or not row:
            return None
        if min(row) < "!":  # type: ignore[type-var,operator]
            for c, cell in enumerate(row):
                if cell < "!":  # type: ignore[operator]
                    if cell == _BLANK:
                        row[c] = ""
                    elif cell in _PLACES:
                        places[_PLACES[cell]].add((r, c))
                    else:
                        return None  # no text, white space around one, or text behind a token that has none
        rows.append(row)
    check_size(len(rows), width, "source.too_large")
    return rows, *places


def _slots_slowly(text: str) -> tuple[Slots, Places, Places, Places, tuple[MarkupWarning, ...]]:
    """As `_slots`, token by token: for errors that name their place, and for white space around tokens, which is let
    pass.
    """
    rows: Slots = [[]]
    places: dict[str, Places] = {"lcel": set(), "ucel": set(), "xcel": set()}
    warnings: list[MarkupWarning] = []
    pieces = _TOKEN.split(text)
    if pieces[0].strip():
        raise _error(0, 0, f"text before the first token: {_shown(pieces[0])}", docling=True)
    for name, behind in zip(
        pieces[1::2],
        pieces[2::2],
        strict=True,
    ):
        row = len(rows) - 1
        column = len(rows[-1])
        content = behind.strip()
        if name == "nl":
            if not rows[-1]:
                raise _error(row, 0, "a row without cells; the pipeline drops it")
            if content:
                raise _error(
                    row + 1,
                    0,
                    f"text before the first token of the row: {_shown(content)}",
                    docling=True,
                )
            rows.append([])
            continue
        if name == "fcel":
            if not visible(content):
                content = ""
                said = (
                    f"row {row + 1}, column {column + 1}: <fcel> without text, read as a blank cell; it is written"
                    " <ecel>, since the pipeline takes the next token for the text"
                )
                warnings.append(MarkupWarning("table.blank", said))
        elif content:
            raise _error(
                row,
                column,
                f"text behind <{name}>, which the pipeline drops: {_shown(content)}",
            )
        if name in places:
            places[name].add((row, column))
        rows[-1].append(content)
    if rows.pop():
        raise _error(len(rows), 0, "the row does not end with <nl>")
    _check_widths(rows)
    return rows, places["lcel"], places["ucel"], places["xcel"], tuple(warnings)


def _check_widths(rows: Slots) -> None:
    """MarkupError where there is no row, or one that is not as wide as the first."""
    if not rows:
        raise _error(0, 0, "no cells")
    for r, slots in enumerate(rows):
        if len(slots) != len(rows[0]):
            raise _error(
                r, min(len(slots), len(rows[0])), f"the row has {len(slots)} slots, the first row has {len(rows[0])}"
            )
    check_size(len(rows), len(rows[0]), "source.too_large")


def _grid(rows: Slots, lefts: Places, ups: Places, crosses: Places, warnings: tuple[MarkupWarning, ...] = ()) -> Grid:
    """The grid of rows of one width.

    Raises: MarkupError where a continuation continues nothing, or a span is no rectangle.
    """
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    count = len(lefts) + len(ups) + len(crosses)
    if not count:
        return Grid(tuple(map(tuple, rows)), warnings=warnings)
    others = lefts | ups | crosses
    begins = {(r, c - 1) for r, c in lefts if c} | {(r - 1, c) for r, c in ups if r}
    for r, c in sorted(begins - others):
        width = height = 1
        while (r, c + width) in lefts:
            width += 1
        while (r + height, c) in ups:
            height += 1
        if width > 1 and height > 1:
            for line in range(r + 1, r + height):
                for column in range(c + 1, c + width):
                    if (line, column) not in crosses:
                        raise _error(
                            line,
                            column,
                            f"the inside of a span of {height} × {width} that begins in row {r + 1}, column {c + 1} is"
                            " <xcel>",
                        )
        spans[r, c] = (height, width)
        count -= height * width - 1
    if count:
        _name_the_stray(others, lefts, ups, spans)
    for r, c in others:
        rows[r][c] = None
    return Grid(tuple(map(tuple, rows)), spans, warnings=warnings)


def _name_the_stray(others: Places, lefts: Places, ups: Places, spans: dict[tuple[int, int], tuple[int, int]]) -> None:
    """Raises MarkupError for the first continuation that belongs to no span."""
    inside = {
        (line, column)
        for (r, c), (height, width) in spans.items()
        for line in range(r, r + height)
        for column in range(c, c + width)
    }
    r, c = min(others - inside)
    if (r, c) in lefts:
        raise _error(r, c, "<lcel> continues the cell that begins to its left in the same row, and there is none")
    if (r, c) in ups:
        raise _error(r, c, "<ucel> continues the cell that begins above it in the same column, and there is none")
    raise _error(r, c, "<xcel> is the inside of a span over rows and columns, and there is none")


def _docling(text: str, lenient: bool) -> Grid:
    """The docling dialect, rewritten to this one."""
    text = _DOCLING_WRAPPER.sub("", _DOCLING_CAPTION.sub("", text)).strip()
    headings: set[tuple[int, int]] = set()
    rows: list[list[list[str]]] = [[]]  # [token, text] of every slot
    pieces = re.split(r"<([felux]cel|nl|ched|rhed|srow)>", text)
    for name, behind in zip(
        pieces[1::2],
        pieces[2::2],
        strict=True,
    ):
        if name == "nl":
            rows.append([])
            continue
        if name in ("ched", "rhed"):
            headings.add((len(rows) - 1, len(rows[-1])))
        cell = visible(behind)
        full = name in ("fcel", "ched", "rhed", "srow")
        rows[-1].append(
            [
                ("fcel" if cell else "ecel") if full else name,
                cell if full or not lenient else "",
            ]
        )
    if rows and not rows[-1]:
        rows.pop()
    _square_up(rows)
    rewritten = pieces[0] + "".join(["".join([f"<{name}>{cell}" for name, cell in row]) + "<nl>" for row in rows])
    grid = parse_otsl(rewritten, lenient=lenient)
    cells = frozenset(
        (r, c) for r, c in headings if r < grid.shape[0] and c < grid.shape[1] and grid.rows[r][c] is not None
    )
    return Grid(grid.rows, grid.spans, cells, grid.warnings)


def _square_up(rows: list[list[list[str]]]) -> None:
    """Rewrites spans of `<xcel>` only, which begin right of a cell, as `<lcel>`, `<ucel>` and `<xcel>`; in place."""
    for r, row in enumerate(rows):
        for c, (name, _) in enumerate(row):
            if name not in ("fcel", "ecel") or c + 1 >= len(row) or row[c + 1][0] != "xcel":
                continue
            end = c + 1
            while end < len(row) and row[end][0] == "xcel":
                row[end][0] = "lcel"
                end += 1
            for line in range(r + 1, len(rows)):
                below = rows[line]
                if (
                    len(below) < end
                    or any(slot[0] != "xcel" for slot in below[c:end])
                    or _begins_block(rows, line, c - 1)
                ):
                    break
                below[c][0] = "ucel"
                for slot in below[c + 1 : end]:
                    slot[0] = "cross"
    for row in rows:
        for slot in row:
            if slot[0] == "cross":
                slot[0] = "xcel"


def _begins_block(rows: list[list[list[str]]], row: int, column: int) -> bool:
    """True if a cell begins there that goes on in the row below too: the `<xcel>` to its right are its own."""
    return (
        column >= 0
        and rows[row][column][0] in ("fcel", "ecel")
        and row + 1 < len(rows)
        and column < len(rows[row + 1])
        and rows[row + 1][column][0] == "xcel"
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _error(row: int, column: int, rule: str, *, docling: bool = False) -> MarkupError:
    hint = 'OTSL of docling (<ched>, <rhed>, <srow>) is read with dialect="docling"' if docling else _HINT
    return MarkupError(
        "target.otsl",
        rule,
        place=f"row {row + 1}, column {column + 1}",
        hint=hint,
    )
