"""Where the points of the pictures lie: slices, and learning curves over checkpoints. The template draws
them as SVG.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sft.evaluation import HEADLINE, SCORES, Interval
from sft.report import wording as words
from sft.report.data import Figure, ReportData, ordered

WIDTH, HEIGHT = 420, 220  # of a learning curve, in its own units
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 30  # of which is margin
TICKS = 4
FEWEST_RUNS = 3  # that make a curve
OUTLIER, SMALL = 4.0, 0.02  # times the median, and at least 2 %: what an axis of slices shows
ROUND = 1000  # from here on a tick has no decimals


@dataclass(frozen=True)
class Mark:
    """One run's figure on a line: place and limits in percent of the width, and in words; cuts: (place, outline of an
    arrow) where it goes on beyond the scale.
    """

    run: int
    x: float
    low: float
    high: float
    text: str
    cuts: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class SliceLine:
    """One slice."""

    label: str
    n: int
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Panel:
    """The slices of one task along one dimension, all on one scale: `ends` are its limits in words."""

    task: str
    score: str
    dimension: str
    ends: tuple[str, str]
    lines: tuple[SliceLine, ...]


@dataclass(frozen=True)
class CurvePoint:
    """One checkpoint on a curve; y of the figure and of its limits."""

    x: float
    y: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class CurvePlot:
    """One task's score over the checkpoints: points from left to right, ticks (place, text) of both axes."""

    task: str
    score: str
    points: tuple[CurvePoint, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]

    @property
    def path(self) -> str:
        """The points as SVG wants them."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)

    @property
    def band(self) -> str:
        """The outline of the intervals."""
        edge = [(point.x, point.high) for point in self.points] + [
            (point.x, point.low) for point in reversed(self.points)
        ]
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in edge)


def scale(values: Sequence[float]) -> tuple[float, float, float]:
    """(low, high, step) of an axis that holds all values, with round ends; from 0 where that wastes no more
    than half.
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low = min(finite)
    high = max(finite)
    low = 0.0 if 0 <= low <= (high - low) or high - low < 1e-9 else low
    rough = max(high - low, 1e-3) / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    return (
        first * step,
        max(
            math.ceil(high / step - 1e-9),
            first + 1,
        )
        * step,
        step,
    )


def _clipped(value: float, low: float, high: float) -> float:
    return min(
        max((value - low) / (high - low), 0.0),
        1.0,
    )


def panels(data: ReportData) -> list[Panel]:
    """Every task's dimensions."""
    drawn = []
    for task in data.tasks:
        figures = [item for item in data.summary.figures if item.task == task and item.dimension]
        for dimension in dict.fromkeys(item.dimension for item in figures):
            mine = [item for item in figures if item.dimension == dimension]
            low, high, _ = scale(_shown([item.interval for item in mine]))
            labels = ordered(list(dict.fromkeys(item.label for item in mine)))
            lines = tuple(_line(label, [item for item in mine if item.label == label], low, high) for label in labels)
            name = HEADLINE[task]
            drawn.append(
                Panel(
                    words.task_name(task),
                    words.name_of(name),
                    words.dimension_name(dimension),
                    (_tick(name, low), _tick(name, high)),
                    lines,
                )
            )
    return drawn


def _shown(items: Sequence[Interval]) -> list[float]:
    """What an axis holds: values and limits, but not those of a runaway, which would flatten all others."""
    values = sorted(item.value for item in items)
    most = max(
        OUTLIER * values[(len(values) - 1) // 2],
        SMALL,
    )
    bounds = [
        min(limit, most) for item in items for limit in (item.value, item.low, min(item.high, 2 * item.value + 0.1))
    ]
    return [limit for limit in bounds if limit < most] or bounds


def _line(label: str, figures: Sequence[Figure], low: float, high: float) -> SliceLine:
    marks = []
    for item in figures:
        limits = (item.interval.value, item.interval.low, item.interval.high)
        places = [100 * _clipped(value, low, high) for value in limits]
        ends = ((100.0, "M7 0l-7-4v8z", max(limits) > high + 1e-9), (0.0, "M-7 0l7-4v8z", min(limits) < low - 1e-9))
        cuts = tuple((x, arrow) for x, arrow, cut in ends if cut)
        text = f"{words.value(item.score, item.interval.value)} ({words.span(item.score, item.interval)})"
        marks.append(
            Mark(
                item.run,
                places[0],
                places[1],
                places[2],
                text,
                cuts,
            )
        )
    return SliceLine(
        label.removesuffix(f", {figures[0].task}") or "none", figures[0].n, tuple(marks)
    )  # a panel is of one task


def curves(data: ReportData) -> list[CurvePlot]:
    """Every task's score over the checkpoints; none for fewer than three runs. By step where all have one, else in the
    order of the runs.
    """
    if len(data.names) < FEWEST_RUNS:
        return []
    known = [(step, run) for run, step in enumerate(data.steps) if step is not None]
    by_step = len(known) >= FEWEST_RUNS and len(known) == len(data.names)
    places = sorted(known) if by_step else [(run, run) for run in range(len(data.names))]
    return [curve for task in data.tasks if (curve := _curve(data, task, places, by_step=by_step))]


def _curve(data: ReportData, task: str, places: Sequence[tuple[int, int]], *, by_step: bool) -> CurvePlot | None:
    name = HEADLINE[task]
    placed = [(place, run, item.interval) for place, run in places if (item := data.summary.figure(run, task, name))]
    if len(placed) < FEWEST_RUNS:
        return None
    limits = [limit for _, _, item in placed for limit in (item.value, item.low, min(item.high, 2 * item.value + 0.1))]
    cut = (
        SCORES[name].kind == "rate" and max(limits) > 1 and min(item.value for _, _, item in placed) < 1
    )  # an untrained model may have 2000 %, and flatten all others
    low, high, step = scale([min(limit, 1.0) for limit in limits] if cut else limits)
    first = placed[0][0]
    last = placed[-1][0]

    def across(place: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((place - first) / max(last - first, 1))

    def up(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - _clipped(value, low, high))

    points = tuple(
        CurvePoint(
            across(place),
            up(item.value),
            up(item.low),
            up(item.high),
            f"{data.names[run]}: {words.value(name, item.value)} ({words.span(name, item)})",
        )
        for place, run, item in placed
    )
    shown = placed if len(placed) <= 6 else [placed[round(index * (len(placed) - 1) / 5)] for index in range(6)]
    below = tuple((across(place), f"{place:,}" if by_step else data.names[run][:12]) for place, run, _ in shown)
    ticks = round((high - low) / step)
    beside = tuple(
        (up(low + index * step), ("≥" if cut and index == ticks else "") + _tick(name, low + index * step))
        for index in range(ticks + 1)
    )
    return CurvePlot(
        words.task_name(task),
        words.name_of(name),
        points,
        below,
        beside,
    )


def _tick(score: str, value: float) -> str:
    """Never 1.5e+04 %."""
    shown = value * 100 if words.is_percent(score) else value
    text = f"{shown:,.0f}" if abs(shown) >= ROUND else f"{shown:.4g}"
    return text + "%" * words.is_percent(score)
