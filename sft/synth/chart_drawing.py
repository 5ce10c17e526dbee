"""A planned chart as matplotlib draws it, and whether all of its texts can be read."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sft.errors import UsageError
from sft.synth.base import Pixels
from sft.synth.chart_plan import Chart

DPI = 100
POINT = DPI / 72  # pixels
SETTINGS = {
    "font",
    "text",
    "axes",
    "figure",
    "lines",
    "legend",
    "xtick",
    "ytick",
    "grid",
    "hatch",
    "patch",
    "path",
    "axisbelow",
    "mathtext",
    "scatter",
}
EDGE = 1.5  # pixels that a text keeps from the edge
MEASURED_WITH = "DejaVu Sans"  # matplotlib measures the height of a line by Latin letters, which the font may lack
OVERLAP = 1.5  # pixels that two texts may share
PALETTES = (
    ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f"),
    ("#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948", "#b07aa1", "#9c755f"),
    ("#003f5c", "#bc5090", "#ffa600", "#58508d", "#ff6361", "#7a9e9f", "#3d5a80", "#98c1d9"),
)
MARKERS, DASHES = ("o", "s", "^", "D", "v"), ("-", "--", "-.", ":")


@dataclass(frozen=True)
class ChartStyle:
    """The random part of a chart's looks."""

    fonts: tuple[Path, ...]
    size: float  # points
    width: float  # inches
    height: float
    colours: tuple[str, ...]
    grid: bool
    frame: bool
    legend: str
    hatch: bool

    @staticmethod
    def random(rng: random.Random, fonts: tuple[Path, ...]) -> ChartStyle:
        """The looks of one chart."""
        palette = list(rng.choice(PALETTES))
        turn = rng.randrange(len(palette))
        return ChartStyle(
            fonts,
            size=rng.uniform(9, 13),
            width=rng.uniform(4.5, 8),
            height=rng.uniform(3.2, 5),
            colours=(*palette[turn:], *palette[:turn]),
            grid=rng.random() < 0.6,
            frame=rng.random() < 0.6,
            legend=rng.choice(("edge", "above", "beside")),
            hatch=rng.random() < 0.1,
        )


def draw(chart: Chart, look: ChartStyle) -> Pixels | None:
    """The picture, or None where texts overlap or do not fit."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.font_manager import fontManager
    except ImportError as error:
        raise UsageError(
            "rendering charts needs matplotlib, which is not installed", hint="pip install 'paddleocr-vl-sft[synth]'"
        ) from error
    families = []
    for font in look.fonts:
        if not any(entry.fname == str(font) for entry in fontManager.ttflist):
            fontManager.addfont(str(font))
        families.append(next(entry for entry in fontManager.ttflist if entry.fname == str(font)))
    from matplotlib import rcParamsDefault

    settings = {
        key: value for key, value in rcParamsDefault.items() if key.split(".")[0] in SETTINGS
    }  # not those of the user's matplotlibrc
    first = families[0]
    settings |= {
        "font.family": [*(entry.name for entry in families), MEASURED_WITH],
        "font.size": look.size,
        "font.weight": first.weight,
        "font.style": first.style,
        "text.parse_math": False,
    }
    settings |= {
        "axes.titlesize": look.size * 1.15,
        "axes.titleweight": first.weight,
        "axes.labelweight": first.weight,
        "legend.fontsize": look.size,
    }
    with rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph or a layout without room is told by a warning only
        figure = Figure(
            figsize=(look.width, look.height),
            dpi=DPI,
            layout="constrained",
        )
        canvas: Any = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        PAINTERS[chart.kind](axes, chart, look)
        if chart.title:
            axes.set_title(chart.title)
        try:
            canvas.draw()
            if not _clear(figure, axes, canvas, chart):
                return None
        except UserWarning as warning:
            if "missing from" in str(
                warning
            ):  # the fonts were asked before: matplotlib took another file of the same family
                raise UsageError(
                    f"matplotlib cannot render with {', '.join(font.name for font in look.fonts)}: {warning}",
                    hint="give another --font",
                ) from warning
            return None
        pixels = np.asarray(canvas.buffer_rgba())
    image: Pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR).astype(np.uint8)
    return image


def _clear(figure: Any, axes: Any, canvas: Any, chart: Chart) -> bool:
    """Whether every text stands inside the picture and none on another; slanted labels are tried where level ones
    meet.
    """
    if _apart(figure, canvas):
        return True
    if chart.kind in ("pie", "horizontal"):
        return False
    for label in axes.get_xticklabels():
        label.set(rotation=40, ha="right", rotation_mode="anchor")
    canvas.draw()
    return _apart(figure, canvas, slanted=axes.get_xticklabels())


def _apart(figure: Any, canvas: Any, slanted: Any = ()) -> bool:
    from matplotlib.text import Text

    renderer = canvas.get_renderer()
    width, height = canvas.get_width_height()
    skipped = {id(label) for label in slanted}
    boxes = []
    for text in figure.findobj(Text):
        if not text.get_visible() or not text.get_text().strip():
            continue
        box = text.get_window_extent(renderer)
        if box.x0 < EDGE or box.y0 < EDGE or box.x1 > width - EDGE or box.y1 > height - EDGE:
            return False
        if id(text) not in skipped:  # boxes of slanted texts overlap where the texts do not
            boxes.append((box.x0, box.y0, box.x1, box.y1))
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        for left, bottom, right, top in boxes[index + 1 :]:
            if min(x1, right) - max(x0, left) > OVERLAP and min(y1, top) - max(y0, bottom) > OVERLAP:
                return False
    return True


def _values_axis(axes: Any, chart: Chart, look: ChartStyle, *, vertical: bool, top: float) -> None:
    """Ticks with their numbers; where no values are printed, a grid line at every step."""
    from matplotlib.ticker import FixedLocator, FuncFormatter

    scale = chart.scale
    axis = axes.yaxis if vertical else axes.xaxis
    spaced = scale.major * max(
        1,
        round(top / scale.step / (scale.major * 6)),
    )
    numbers = [index * scale.step for index in range(0, round(top / scale.step) + 1, spaced)]
    axis.set_major_locator(FixedLocator(numbers))
    axis.set_major_formatter(FuncFormatter(lambda value, _: scale.show(value)))
    which = "y" if vertical else "x"
    if not chart.printed:
        axis.set_minor_locator(FixedLocator([index * scale.step for index in range(round(top / scale.step) + 1)]))
        axes.grid(axis=which, which="minor", linewidth=0.4, color="0.85")
        axes.grid(axis=which, which="major", linewidth=0.8, color="0.6")
    elif look.grid:
        axes.grid(axis=which, linewidth=0.5, color="0.8")
    axes.set_axisbelow(True)
    (axes.set_ylim if vertical else axes.set_xlim)(
        0,
        top * (1.12 if chart.printed else 1.04),
    )
    if not look.frame:
        axes.spines[["top", "right"]].set_visible(False)


def _names_of_series(axes: Any, chart: Chart, look: ChartStyle, *, vertical: bool = True) -> None:
    if len(chart.series) == 1 and chart.named_by == "axis":
        (axes.set_ylabel if vertical else axes.set_xlabel)(chart.series[0])
    elif len(chart.series) > 1 or chart.named_by == "legend":
        beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
        above: dict[str, Any] = {"loc": "outside upper center", "ncols": len(chart.series)}
        place = {"edge": beside, "above": above, "beside": {"loc": "outside right upper"}}[look.legend]
        (axes if look.legend == "edge" else axes.figure).legend(
            *axes.get_legend_handles_labels(),
            **place,
        )


def _bars(axes: Any, chart: Chart, look: ChartStyle) -> None:
    """Upright bars, side by side for several series."""
    width = 0.8 / len(chart.series)
    for number, (name, values) in enumerate(zip(chart.series, chart.values, strict=True)):
        places = [index + (number - (len(chart.series) - 1) / 2) * width for index in range(len(values))]
        bars = axes.bar(
            places,
            values,
            width * 0.92,
            label=name,
            color=look.colours[number],
            hatch="//" if look.hatch and number % 2 else None,
        )
        if chart.printed:
            axes.bar_label(
                bars,
                [chart.scale.show(value) for value in values],
                padding=2,
                fontsize=look.size * 0.85,
            )
    axes.set_xticks(
        range(len(chart.labels)),
        chart.labels,
    )
    _values_axis(
        axes,
        chart,
        look,
        vertical=True,
        top=chart.scale.step * chart.scale.steps,
    )
    _names_of_series(axes, chart, look)


def _horizontal(axes: Any, chart: Chart, look: ChartStyle) -> None:
    """Bars to the right; the first label on top, as it is read."""
    height = 0.8 / len(chart.series)
    for number, (name, values) in enumerate(zip(chart.series, chart.values, strict=True)):
        places = [index + (number - (len(chart.series) - 1) / 2) * height for index in range(len(values))]
        bars = axes.barh(
            places,
            values,
            height * 0.92,
            label=name,
            color=look.colours[number],
        )
        if chart.printed:
            axes.bar_label(
                bars,
                [chart.scale.show(value) for value in values],
                padding=2,
                fontsize=look.size * 0.85,
            )
    axes.set_yticks(
        range(len(chart.labels)),
        chart.labels,
    )
    axes.invert_yaxis()
    _values_axis(
        axes,
        chart,
        look,
        vertical=False,
        top=chart.scale.step * chart.scale.steps,
    )
    _names_of_series(axes, chart, look, vertical=False)


def _stacked(axes: Any, chart: Chart, look: ChartStyle) -> None:
    """Bars on bars, each with its number inside."""
    base = [0.0] * len(chart.labels)
    for number, (name, values) in enumerate(zip(chart.series, chart.values, strict=True)):
        bars = axes.bar(
            range(len(values)),
            values,
            0.7,
            bottom=base,
            label=name,
            color=look.colours[number],
        )
        for text in axes.bar_label(
            bars, [chart.scale.show(value) for value in values], label_type="center", fontsize=look.size * 0.85
        ):
            text.set_color(_on(look.colours[number]))
        base = [low + value for low, value in zip(base, values, strict=True)]
    axes.set_xticks(
        range(len(chart.labels)),
        chart.labels,
    )
    _values_axis(axes, chart, look, vertical=True, top=max(base))
    _names_of_series(axes, chart, look)


def _lines(axes: Any, chart: Chart, look: ChartStyle) -> None:
    """One line or several, with a mark at every value."""
    for number, (name, values) in enumerate(zip(chart.series, chart.values, strict=True)):
        axes.plot(
            range(len(values)),
            values,
            label=name,
            color=look.colours[number],
            marker=MARKERS[number],
            linestyle=DASHES[number] if look.hatch else "-",
            linewidth=1.6,
        )
        if chart.printed:
            for index, value in enumerate(values):
                below = all(
                    near > value for near in (*values[max(0, index - 1) : index], *values[index + 1 : index + 2])
                )  # where the lines come from above
                axes.annotate(
                    chart.scale.show(value),
                    (index, value),
                    (0, -7 if below else 6),
                    textcoords="offset points",
                    ha="center",
                    va="top" if below else "bottom",
                    fontsize=look.size * 0.85,
                )
    axes.set_xticks(
        range(len(chart.labels)),
        chart.labels,
    )
    axes.set_xlim(-0.4, len(chart.labels) - 0.6)
    _values_axis(
        axes,
        chart,
        look,
        vertical=True,
        top=chart.scale.step * chart.scale.steps,
    )
    _names_of_series(axes, chart, look)


def _pie(axes: Any, chart: Chart, look: ChartStyle) -> None:
    """Slices with their numbers; the labels beside them or in a legend."""
    values = chart.values[0]
    beside = look.legend != "beside"
    shown = iter(chart.scale.show(value) for value in values)
    ring = {"width": 0.55} if look.hatch else {}
    parts = axes.pie(
        values,
        labels=chart.labels if beside else None,
        colors=look.colours,
        autopct=lambda _: next(shown),
        startangle=90,
        counterclock=False,
        pctdistance=0.72,
        labeldistance=1.08,
        wedgeprops={"edgecolor": "white", "linewidth": 1, **ring},
        normalize=True,
    )
    for number, text in enumerate(parts[2]):
        text.set(
            color=_on(look.colours[number]),
            fontsize=look.size * 0.9,
        )
    if not beside:
        axes.legend(
            parts[0],
            chart.labels,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
        )


def _on(colour: str) -> str:
    """Black or white, whichever is read on a colour."""
    red, green, blue = (int(colour[index : index + 2], 16) for index in (1, 3, 5))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "white"


PAINTERS: dict[str, Callable[[Any, Chart, ChartStyle], None]] = {
    "bars": _bars,
    "grouped": _bars,
    "stacked": _stacked,
    "horizontal": _horizontal,
    "line": _lines,
    "lines": _lines,
    "pie": _pie,
}
