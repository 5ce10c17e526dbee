"""Bar, line and pie charts by matplotlib, with the table that they show.

Whatever the answer says can be read from the picture: a value is printed beside its bar, or lies on a grid line, whose
numbers stand at the axis; a series has its name in the legend or on the axis; texts that overlap make a larger picture.
"""

from __future__ import annotations

import random
from dataclasses import replace

from sft.errors import UsageError
from sft.markup import chart as chart_markup
from sft.synth import chart_drawing, font_files, layout, words
from sft.synth.base import RenderedSample, Setting, Unfit
from sft.synth.chart_drawing import ChartStyle
from sft.synth.chart_plan import Chart, Scale

KINDS = ("bars", "bars", "grouped", "grouped", "stacked", "horizontal", "line", "line", "lines", "lines", "pie", "pie")
SIMPLE_SCRIPTS = {"Latn", "Grek", "Cyrl", "Hani", "Hira", "Kana", "Hang"}  # drawn letter by letter
GROWTH = (1.0, 1.3, 1.7, 2.2)  # of the picture, until no texts overlap
TRIES = 10  # plans
MAX_LABEL = 40  # characters


def draw_chart(rng: random.Random, setting: Setting) -> RenderedSample:
    """One chart. Raises `Unfit` where given texts are too long for any size of it."""
    for _ in range(TRIES):
        drawn = _try(rng, setting)
        if drawn:
            return drawn
    raise Unfit("source.inexpressible", "the labels are too long for a chart without texts that overlap")


def _try(rng: random.Random, setting: Setting) -> RenderedSample | None:
    """One plan, drawn larger and larger until no texts overlap; None where they still do."""
    chart = plan(rng, setting)
    _require_shaping("".join((chart.title, *chart.labels, *chart.series)))
    look = ChartStyle.random(
        rng,
        font_files.order(setting.fonts, "".join((chart.title, *chart.labels, *chart.series)), rng.randrange(1 << 16)),
    )
    for growth in GROWTH:
        image = chart_drawing.draw(
            chart, replace(look, width=look.width * growth, height=look.height * (1 + (growth - 1) * 0.6))
        )
        if image is not None:
            return RenderedSample(
                image,
                chart_markup.to_target(chart.rows()),
                look.size * chart_drawing.POINT,
            )
    return None


def plan(rng: random.Random, setting: Setting) -> Chart:
    """Random data with labels that differ."""
    maker = words.make(rng, setting.fonts, setting.texts)
    kind = rng.choice(KINDS)
    several = kind in ("grouped", "stacked", "lines") or (kind == "horizontal" and rng.random() < 0.4)
    series = _names(maker, rng.randint(2, 4) if several else 1, rng)
    labels = _labels(
        maker,
        rng.randint(3, 5 if several else 8),
        rng,
        timely=kind in ("line", "lines", "bars"),
    )
    scale = _scale(rng)
    printed = kind in ("stacked", "pie") or (kind != "lines" and rng.random() < 0.5)
    values = [[float(rng.randint(1, scale.steps)) * scale.step for _ in labels] for _ in series]
    if kind == "lines":  # two lines through one point hide each other's marks
        for index in range(len(labels)):
            for row, level in zip(
                values,
                rng.sample(range(1, scale.steps + 1), len(series)),
                strict=True,
            ):
                row[index] = level * scale.step
    elif kind == "stacked":
        values = [[scale.step * rng.randint(max(1, scale.steps // 4), scale.steps) for _ in labels] for _ in series]
    elif kind == "pie":
        values, scale = _shares(rng, len(labels), scale)
    elif printed:  # no grid line is needed
        values = [
            [round(value - rng.random() * 0.9 * scale.step, scale.decimals) or scale.step for value in row]
            for row in values
        ]
    named_by = "title" if kind == "pie" else rng.choice(("legend", "axis", "title"))
    title = series[0] if named_by == "title" and not several else maker.label(4) if rng.random() < 0.6 else ""
    return Chart(
        kind,
        title,
        labels,
        series,
        tuple(tuple(row) for row in values),
        scale,
        printed,
        named_by,
    )


def _names(maker: words.Words, count: int, rng: random.Random) -> tuple[str, ...]:
    """Names that differ, without the bar that divides cells."""
    names: dict[str, None] = {}
    for _ in range(200):
        name = maker.label(2)
        if "|" not in name and "\n" not in name and len(name) <= MAX_LABEL:
            names[name] = None
        if len(names) == count:
            return tuple(names)
    if not maker.given:
        return tuple(
            f"{name} {maker.digits(str(rng.randint(1, 99)))}" for name in (maker.label(1) for _ in range(count))
        )
    raise UsageError(
        f"a chart needs {count} different short texts without '|'",
        hint=f"give a file of more texts of at most {MAX_LABEL} characters",
    )


def _labels(maker: words.Words, count: int, rng: random.Random, *, timely: bool) -> tuple[str, ...]:
    if timely and rng.random() < 0.5:
        start = rng.randint(1980, 2020)
        step = rng.choice((1, 1, 2, 5))
        return tuple(maker.digits(str(start + index * step)) for index in range(count))
    return _names(maker, count, rng)


def _scale(rng: random.Random) -> Scale:
    major = rng.choice((2, 5))
    steps = major * rng.randint(3, 4 if major == 5 else 7)
    power = rng.choice((0.1, 1, 1, 10, 100, 1000))
    step = power * (rng.choice((1, 5)) if power >= 1 else 1) * (1 if major == 2 else 2)
    suffix = "%" if step * steps <= 100 and rng.random() < 0.3 else ""
    return Scale(
        step,
        steps,
        major,
        0 if step >= 1 else 1,
        suffix,
        comma=rng.random() < 0.6,
    )


def _shares(rng: random.Random, count: int, scale: Scale) -> tuple[list[list[float]], Scale]:
    """Parts of a pie, none too thin for its number: percentages that sum to 100, or amounts."""
    weights = [rng.uniform(1, 4) for _ in range(count)]
    if rng.random() < 0.6:
        decimals = rng.choice((0, 1))
        parts = [round(100 * weight / sum(weights), decimals) for weight in weights]
        parts[-1] = round(
            100 - sum(parts[:-1]),
            decimals,
        )
        return [parts], replace(scale, decimals=decimals, suffix="%", comma=False)
    unit = rng.choice((10, 100, 1000))
    return [[float(round(weight * unit)) for weight in weights]], replace(scale, decimals=0, suffix="")


def _require_shaping(text: str) -> None:
    """matplotlib before 3.11 places letters one by one, which Indic and Arabic scripts do not bear."""
    from matplotlib import ft2font

    if hasattr(ft2font, "__libraqm_version__"):
        return
    scripts = {layout.script_of(char) for char in text} - SIMPLE_SCRIPTS - {""}
    if scripts:
        raise UsageError(
            f"this matplotlib cannot shape {', '.join(sorted(scripts))}", hint="pip install 'matplotlib>=3.11'"
        )
