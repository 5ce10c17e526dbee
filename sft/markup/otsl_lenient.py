"""OTSL → grid, repaired as PaddleX repairs it before it shows a table (paddlex 3.7.2, `paddleocr_vl/uilts.py`), quirk
by quirk.

Scores of broken answers depend on it: what the user is shown is what is scored. Measured to give the same HTML on
random broken strings. Where that code raises IndexError (a last column `<fcel>` without text above a row that begins
with `<lcel>` or `<xcel>`), the cell here spans no column.
"""

from __future__ import annotations

import re

from sft.markup.cell_text import visible
from sft.markup.errors import NAMED, MarkupError, MarkupWarning
from sft.markup.grid import SLOTS, Grid, check_size, covered

_TOKEN = re.compile(r"(<(?:[felux]cel|nl)>)")
_TOKENS = frozenset(["<fcel>", "<ecel>", "<lcel>", "<ucel>", "<xcel>", "<nl>"])
_RIGHT, _DOWN = ("<lcel>", "<xcel>"), ("<ucel>", "<xcel>")

TokenRow = list[tuple[str, str]]  # token and the text behind it


def parse_lenient(text: str) -> Grid:
    """The table that PaddleX shows for `text`; a grid without rows where it shows none. Every repair is named in
    `warnings`.

    Raises: MarkupError `source.too_large` over a million slots.
    """
    notes: list[str] = []
    rows = _squared(text.strip(), notes)
    check_size(
        len(rows),
        len(rows[0]) if rows else 0,
        "source.too_large",
    )
    cells = _cells(rows, notes)
    if not cells:
        notes.append("no cells: the pipeline shows the raw text")
        return Grid((), {}, frozenset(), _limited(notes))
    owners = _owners(cells, len(rows), len(rows[0]))
    slots: list[list[str | None]] = [["" if owner < 0 else None for owner in line] for line in owners]
    spans = {}
    for index, (r, c, content, height, width) in enumerate(cells):
        if owners[r][c] != index:
            notes.append(f"row {r + 1}, column {c + 1}: the cell is covered by a later one and vanishes")
            continue
        slots[r][c] = content
        if (height, width) != (1, 1):
            spans[r, c] = (height, width)
    for r, row in enumerate(rows):
        notes += [
            f"row {r + 1}, column {c + 1}: {token} continues nothing; a blank cell"
            for c, (token, _) in enumerate(row)
            if owners[r][c] < 0
        ]
    grid = Grid(tuple(map(tuple, slots)), spans)
    _note_odd_spans(grid, rows, notes)
    return Grid(grid.rows, spans, frozenset(), _limited(notes))


def _note_odd_spans(grid: Grid, rows: list[TokenRow], notes: list[str]) -> None:
    """Names spans that overlap, or are written otherwise than `<lcel>`, `<ucel>` and `<xcel>` say, and texts that are
    not seen.
    """
    tokens = covered(grid)
    if tokens is None:
        notes.append("spans overlap or are no rectangles; they are kept as the pipeline shows them")
    for r, row in enumerate(rows):
        for c, (token, _) in enumerate(row):
            text = grid.rows[r][c]
            if text and not visible(text):
                notes.append(f"row {r + 1}, column {c + 1}: nothing in the text can be seen")
            elif text is None and tokens and token != tokens[r, c]:
                notes.append(f"row {r + 1}, column {c + 1}: {token} where {tokens[r, c]} belongs")


def _squared(text: str, notes: list[str]) -> list[TokenRow]:
    """The rows as (token, text), all of one width."""
    if "<nl>" not in text:
        pieces = _TOKEN.split(text)
        row = list(
            zip(
                pieces[1::2],
                pieces[2::2],
                strict=True,
            )
        )
        notes.append("row 1: the last <nl> is missing")
        if pieces[0].strip() and row:  # the pipeline loses its place then, and with it every text
            notes.append("row 1: text before the first token; all texts are lost")
            row = [(token, "") for token, _ in row]
        return [row] if row else []
    rows: list[TokenRow] = []
    lines = text.split("<nl>")
    if lines[-1]:
        notes.append(f"row {len(lines)}: the last <nl> is missing")
    for number, line in enumerate(lines, 1):
        pieces = _TOKEN.split(line)
        if pieces[0].strip():
            notes.append(f"row {number}: text before the first token is dropped")
        if len(pieces) > 1:
            rows.append(
                list(
                    zip(
                        pieces[1::2],
                        pieces[2::2],
                        strict=True,
                    )
                )
            )
        elif number < len(lines):
            notes.append(f"row {number}: a row without cells is dropped")
    return _fitted(rows, notes)


def _fitted(rows: list[TokenRow], notes: list[str]) -> list[TokenRow]:
    """Every row cut or filled to the width that changes least: the lower median of the lengths, but no `<fcel>` is
    cut.
    """
    if not rows:
        return []
    lengths = sorted(map(len, rows))
    full = max(
        max((c + 1 for c, (token, _) in enumerate(row) if token == "<fcel>"), default=0)  # noqa: S105 - a token of OTSL
        for row in rows
    )
    width = max(
        full,
        lengths[(len(lengths) - 1) // 2],
    )
    for r, row in enumerate(rows):
        if len(row) > width:
            notes.append(f"row {r + 1}: {len(row)} slots cut to {width}")
            del row[width:]
        elif len(row) < width:
            notes.append(f"row {r + 1}: {len(row)} slots filled to {width}")
            row += [("<ecel>", "")] * (width - len(row))
    return rows


def _cells(rows: list[TokenRow], notes: list[str]) -> list[tuple[int, int, str, int, int]]:
    """(row, column, text, row span, column span) of each cell, by the run of continuations right of and below it."""
    tokens = [[token for token, _ in row] for row in rows]
    stream: list[str] = []  # tokens and texts in turn, in which the pipeline looks one or two places ahead
    places: list[tuple[int, int, int]] = []
    for r, row in enumerate(rows):
        for c, (token, behind) in enumerate(row):
            if token in ("<fcel>", "<ecel>"):
                places.append((len(stream), r, c))
            stream.append(token)
            if behind.strip():
                stream.append(behind)
                if token != "<fcel>":  # noqa: S105
                    notes.append(f"row {r + 1}, column {c + 1}: text behind {token} is dropped")
        stream.append("<nl>")
    cells = []
    for index, r, c in places:
        content = ""
        ahead = index + 1
        if stream[index] == "<fcel>":
            content = stream[index + 1].strip()
            ahead = index + 2
            if content in _TOKENS:
                notes.append(f"row {r + 1}, column {c + 1}: <fcel> without text; {content} is taken for its text")
        height = width = 1
        if ahead < len(stream) and stream[ahead] in _RIGHT:
            while c + width < len(tokens[r]) and tokens[r][c + width] in _RIGHT:
                width += 1
        while r + height < len(tokens) and tokens[r + height][c] in _DOWN:
            height += 1
        cells.append((r, c, content, height, width))
    return cells


def _owners(cells: list[tuple[int, int, str, int, int]], rows: int, columns: int) -> list[list[int]]:
    """Which cell has each slot (-1: none); a later cell takes what it covers from an earlier one."""
    owners = [[-1] * columns for _ in range(rows)]
    if sum(height * width for _, _, _, height, width in cells) > 4 * SLOTS:
        raise MarkupError("source.too_large", f"spans more than {4 * SLOTS} slots")
    for index, (r, c, _, height, width) in enumerate(cells):
        for line in owners[r : r + height]:
            line[c : c + width] = [index] * width
    return owners


def _limited(notes: list[str]) -> tuple[MarkupWarning, ...]:
    """The repairs as warnings; beyond the first NAMED they are counted."""
    said = (
        notes
        if len(notes) <= NAMED
        else [
            *notes[:NAMED],
            f"and {len(notes) - NAMED} more repairs",
        ]
    )
    return tuple(MarkupWarning("target.otsl", note) for note in said)
