"""The picture of a planned table: sizes from the extents of its texts, rules by style, every cell where it belongs."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sft.synth import font_files, formulas, layout, text
from sft.synth.base import SMALLEST_SIDE, Colour, Coverage, Pixels, Unfit, colours, grey, print_on
from sft.synth.layout import ShapedLine
from sft.synth.table_plan import PlannedCell, TablePlan

EM = (18.0, 30.0)  # pixels
MAX_SIDE = 3600  # pixels of a table


@dataclass(frozen=True)
class Content:
    """What stands in a cell: rows of text, or the ink of a formula. Sizes in pixels."""

    lines: tuple[ShapedLine, ...]
    ink: Coverage | None
    width: float
    height: float


@dataclass(frozen=True)
class TableStyle:
    """The random part of a table's looks; lengths in pixels."""

    em: float
    pad_x: float
    pad_y: float
    pitch: float  # of the rows of text in a cell, in em
    rule: int
    wrap: float  # em
    fonts: tuple[Path, ...]
    bold: tuple[Path, ...]  # of the header


def picture(plan: TablePlan, rng: random.Random, fonts: Sequence[Path]) -> tuple[Pixels, float]:
    """(picture, size of its letters in pixels). Raises `Unfit` where the texts make it larger than MAX_SIDE."""
    look = _look(
        rng,
        fonts,
        "".join(box.text for box in plan.boxes if not box.math),
    )
    contents = [_content(box, look) for box in plan.boxes]
    columns = _sizes(
        plan.columns,
        [
            (box.column, box.columns, content.width + 2 * look.pad_x)
            for box, content in zip(plan.boxes, contents, strict=True)
        ],
        look.em * 1.6,
    )
    rows = _sizes(
        plan.rows,
        [
            (box.row, box.rows, content.height + 2 * look.pad_y)
            for box, content in zip(plan.boxes, contents, strict=True)
        ],
        look.em * look.pitch + 2 * look.pad_y,
    )
    margin = round(look.em * rng.uniform(0.2, 1.0)) + look.rule
    x = _edges(columns, margin)
    y = _edges(rows, margin)
    width = x[-1] + margin
    height = y[-1] + margin
    if max(width, height) > MAX_SIDE:
        raise Unfit("image.aspect", f"the texts make a table of {width} x {height} px; at most {MAX_SIDE} px are drawn")
    ink, paper = colours(rng)
    canvas = np.zeros((height, width), dtype=np.float32)
    for box, content in zip(plan.boxes, contents, strict=True):
        _print(canvas, box, content, look, x, y)
    _rules(canvas, plan, look.rule, x, y)
    image = print_on(paper, ink, canvas)
    if rng.random() < 0.3:
        image = _shade(image, plan, rng, y, x, ink, paper)
    return image, look.em


def _look(rng: random.Random, fonts: Sequence[Path], text: str) -> TableStyle:
    chosen = font_files.order(fonts, text, rng.randrange(1 << 16))
    bold = font_files.order(fonts, text, rng.randrange(1 << 16)) if rng.random() < 0.4 else chosen
    return TableStyle(
        em=rng.uniform(*EM),
        pad_x=rng.uniform(6, 18),
        pad_y=rng.uniform(2, 10),
        pitch=rng.uniform(1.2, 1.45),
        rule=rng.choice((1, 1, 2, 3)),
        wrap=rng.choice((6.0, 9.0, 40.0, 40.0)),
        fonts=chosen,
        bold=bold,
    )


def _content(box: PlannedCell, look: TableStyle) -> Content:
    if box.math:
        ink = formulas.mathtext(box.text, look.em * 1.1)
        return Content(
            (),
            ink,
            float(ink.shape[1]),
            float(ink.shape[0]),
        )
    fonts = look.bold if box.header else look.fonts
    base = layout.base_level(box.text)
    lines = tuple(
        layout.shape(row, fonts, base=base)
        for row in text.wrap(box.text, fonts, look.wrap * box.columns, base, whole_words=True)
    )
    return Content(
        lines, None, max((line.advance for line in lines), default=0.0) * look.em, len(lines) * look.pitch * look.em
    )


def _sizes(count: int, needs: list[tuple[int, int, float]], least: float) -> list[float]:
    """Widths or heights such that every (start, span, size) fits; what a span lacks is spread over its places."""
    sizes = [least] * count
    for start, span, size in sorted(needs, key=lambda need: need[1]):
        lack = size - sum(sizes[start : start + span])
        if lack > 0:
            for index in range(start, start + span):
                sizes[index] += lack / span
    return sizes


def _edges(sizes: list[float], margin: int) -> list[int]:
    edges = [margin]
    for size in sizes:
        edges.append(edges[-1] + math.ceil(size))
    return edges


def _print(canvas: Coverage, box: PlannedCell, content: Content, look: TableStyle, x: list[int], y: list[int]) -> None:
    """The text of one cell, in the middle of its height and at its side."""
    left = x[box.column] + look.pad_x
    right = x[box.column + box.columns] - look.pad_x
    top = y[box.row]
    bottom = y[box.row + box.rows]
    share = text.SIDES[box.align]
    begin = (top + bottom - content.height) / 2
    if content.ink is not None:
        layout.stamp(
            canvas,
            content.ink,
            round(left + share * (right - left - content.width)),
            round(begin),
        )
    for number, line in enumerate(content.lines):
        up = max(line.ascent, line.top)
        down = max(line.descent, -line.bottom)
        baseline = begin + look.em * (number * look.pitch + (look.pitch + up - down) / 2)
        layout.paint(
            canvas, line, x=left + share * (right - left - line.advance * look.em), baseline=baseline, em=look.em
        )


def _rules(canvas: Coverage, plan: TablePlan, rule: int, x: list[int], y: list[int]) -> None:
    """The rules of the plan's style, wherever two different cells meet."""
    owner = plan.owners()
    for row in range(plan.rows + 1):
        edge = row in (0, plan.rows)
        for column in range(plan.columns):
            if edge or owner[row - 1][column] != owner[row][column]:
                thick = _horizontal(plan, row, edge, rule)
                short = (
                    round((x[column + 1] - x[column]) * 0.08)
                    if plan.style == "three-line" and row == 1 and plan.head == 2
                    else 0
                )
                begin = x[column] + (short if column == 0 or owner[0][column] != owner[0][column - 1] else 0)
                end = x[column + 1] - (
                    short if column == plan.columns - 1 or owner[0][column] != owner[0][column + 1] else 0
                )
                _line(
                    canvas,
                    begin,
                    end,
                    y[row],
                    y[row],
                    thick,
                )
    for column in range(plan.columns + 1):
        edge = column in (0, plan.columns)
        for row in range(plan.rows):
            if edge or owner[row][column - 1] != owner[row][column]:
                drawn = plan.style in ("grid", "columns") or (plan.style == "rows" and edge)
                _line(
                    canvas,
                    x[column],
                    x[column],
                    y[row],
                    y[row + 1],
                    rule if drawn else 0,
                )


def _horizontal(plan: TablePlan, row: int, edge: bool, rule: int) -> int:
    """How thick the rule above a row is."""
    if plan.style == "none":
        return 0
    if plan.style in ("grid", "rows"):
        return rule
    if plan.style == "three-line":
        return rule + 1 if edge else rule if row in (plan.head, 1 if plan.head == 2 else plan.head) else 0
    return rule if edge or row <= plan.head else 0


def _line(canvas: Coverage, left: int, right: int, top: int, bottom: int, thick: int) -> None:
    if thick:
        before = thick // 2
        canvas[top - before : bottom - before + thick, left - before : right - before + thick] = 1


def _shade(
    image: Pixels, plan: TablePlan, rng: random.Random, y: list[int], x: list[int], ink: Colour, paper: Colour
) -> Pixels:
    """A tint behind the header, or behind every other row where nothing spans rows."""
    if grey(ink) > grey(paper):
        return image
    tint = np.array(
        [rng.uniform(0.8, 1.0) for _ in range(3)],
        dtype=np.float32,
    )
    zebra = all(box.rows == 1 for box in plan.boxes) and rng.random() < 0.5
    shaded = image.copy()
    for row in range(plan.rows):
        if row < plan.head or (zebra and (row - plan.head) % 2):
            part = shaded[y[row] : y[row + 1], x[0] : x[-1]]
            part[:] = np.rint(part * tint).astype(np.uint8)
    return shaded if min(shaded.shape[:2]) >= SMALLEST_SIDE else image
