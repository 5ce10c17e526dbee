"""PlotQA: the data behind drawn bar, line and dot-line plots, in one large `annotations.json` beside a folder of
images.

An element of the array, with the fields that `PlotQA_Dataset.md` describes (boxes and colours left out):

    {"type": "hbar_categorical", "image_index": 1, "models": [{"name": "Lower secondary", "label": "Lower secondary",
      "x": [9.6, 12.0], "y": ["Iceland", "Malta"]}], "general_figure_info": {"title": {"text": "…"},
      "x_axis": {"label": {"text": "Years"}, "major_labels": {"values": ["0", "5", "10", "0", "5", "10"]}},
      "y_axis": {"label": {"text": "Country"}, "major_labels": {"values": ["Iceland", "Malta", "Iceland", "Malta"]}}}}

The image is `png/IMAGE_INDEX.png`. The first column of the target is the axis of categories, with the label of that
axis as its head, and every model is a further column. Horizontal bars have their categories in `y` and their values in
`x`. Lines have the positions 0, 1, 2, … in `x`, and their categories are the labels of the axis, which the files write
twice; one half is taken. Numbers are written as they are, without `.0` and without exponents. Titles and questions are
not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from sft.errors import RowRejected, UsageError
from sft.files import Unit
from sft.formats.base import Format, Item, Picture, ReadItem, Reject, SourceOptions, split_name
from sft.formats.chartqa import chart_target
from sft.formats.shared import json_stream
from sft.markup import MarkupError
from sft.types import Task

TYPES = ("vbar_categorical", "hbar_categorical", "line", "dot_line")
MAX_DIGITS = 40  # of a number written out
NAMES = ("annotations.json",)


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """The objects of `annotations.json`, or of each one in a folder of splits."""
    for name, path in _files(source, options.split):
        for unit in json_stream.object_units(path, "item", name):
            slim = tuple((index, _slim(plot)) for index, plot in unit.payload)
            yield replace(
                unit,
                payload=slim,
                split=split_name(name) if source.is_dir() else "",
            )


def _slim(plot: Any) -> Any:
    """A plot without its boxes and colours: nine tenths of the file, which would otherwise travel to the workers."""
    if not isinstance(plot, dict):
        return plot
    kept = {key: plot[key] for key in ("type", "image_index", "models", "general_figure_info") if key in plot}
    if isinstance(models := kept.get("models"), list):
        kept["models"] = [_only(model, ("name", "label", "x", "y")) for model in models]
    if isinstance(info := kept.get("general_figure_info"), dict):
        kept["general_figure_info"] = {key: _axis_only(info[key]) for key in ("x_axis", "y_axis") if key in info}
    return kept


def _only(value: Any, keys: tuple[str, ...]) -> Any:
    return {key: value[key] for key in keys if key in value} if isinstance(value, dict) else value


def _axis_only(axis: Any) -> Any:
    if not isinstance(axis, dict):
        return axis
    return {key: _only(value, ("text", "values")) for key, value in _only(axis, ("label", "major_labels")).items()}


def _files(source: Path, split: str) -> list[tuple[str, Path]]:
    if not source.is_dir():
        return [(source.name, source)]
    files = [
        (path.relative_to(source).as_posix(), path)
        for path in sorted({*source.glob("*annotations*.json"), *source.glob("*/*annotations*.json")})
    ]
    if split:
        files = [
            (name, path)
            for name, path in files
            if split.lower() in name.lower().replace("/", " ").replace("_", " ").replace(".", " ").split()
        ]
    if not files:
        raise UsageError(
            f"no annotations.json here{f' for the split {split}' if split else ''}",
            where=str(source),
            hint="expected annotations.json, or annotations.json in train/ or another split",
        )
    return files


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """Items and rejects of one unit."""
    folder = options.images or unit.path.parent / "png"
    for record in json_stream.unit_objects(unit):
        if isinstance(record, Reject):
            yield record
            continue
        where, plot = record
        try:
            index = plot.get("image_index")
            if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < 10**12:
                raise RowRejected("source.shape", "image_index is not a number")
            yield Item(
                where,
                Picture(path=folder / f"{index}.png"),
                chart_target(rows(plot)),
                Task.CHART,
            )
        except RowRejected as error:
            yield Reject(
                where,
                error.code,
                str(error),
                json_stream.raw(plot),
            )


def rows(plot: dict[str, Any]) -> list[list[str]]:
    """Header and rows of the table behind one plot. Raises RowRejected with source.shape or target.chart."""
    kind = plot.get("type")
    models = plot.get("models")
    if kind not in TYPES:
        raise RowRejected(
            "source.shape",
            f"type {str(kind)[:40]!r} is not one of {', '.join(TYPES)}",
        )
    if not isinstance(models, list) or not models or not all(isinstance(model, dict) for model in models):
        raise RowRejected("source.shape", "models are not a list of objects")
    of_category, of_value = ("y", "x") if kind == "hbar_categorical" else ("x", "y")
    axis = _axis(plot, f"{of_category}_axis")
    series = [[_cell(value) for value in _list(model, of_value)] for model in models]
    places = [[_cell(value) for value in _list(model, of_category)] for model in models]
    if any(place != places[0] for place in places) or any(len(values) != len(places[0]) for values in series):
        raise MarkupError("target.chart", "the models have different categories, or not one value for each")
    categories = _labels(axis, places[0]) if kind in ("line", "dot_line") else places[0]
    header = [
        _text(axis.get("label")),
        *(_name(model) for model in models),
    ]
    return [
        header,
        *([category, *values] for category, *values in zip(categories, *series, strict=True)),
    ]


def _axis(plot: dict[str, Any], name: str) -> dict[str, Any]:
    info = plot.get("general_figure_info")
    axis = info.get(name) if isinstance(info, dict) else None
    if not isinstance(axis, dict):
        raise RowRejected("source.shape", f"no general_figure_info.{name}")
    return axis


def _list(model: dict[str, Any], key: str) -> list[Any]:
    value = model.get(key)
    if not isinstance(value, list):
        raise RowRejected("source.shape", f"{key} of a model is not a list")
    return value


def _labels(axis: dict[str, Any], places: list[str]) -> list[str]:
    """What the points of a line stand over: the labels of the axis where `places` only counts them."""
    if places != [str(number) for number in range(len(places))]:
        return places
    labels = axis.get("major_labels")
    values = labels.get("values") if isinstance(labels, dict) else None
    names = [_cell(value) for value in values] if isinstance(values, list) else []
    half = len(names) // 2
    if len(names) == 2 * len(places) and names[:half] == names[half:]:
        names = names[:half]
    if len(names) != len(places):
        raise MarkupError(
            "target.chart",
            f"{len(places)} points, but {len(names)} labels on their axis",
        )
    return names


def _name(model: dict[str, Any]) -> str:
    name = model.get("name", model.get("label"))
    if not isinstance(name, str):
        raise RowRejected("source.shape", "a model without a name")
    return name


def _text(label: Any) -> str:
    """The text of {"text": …}; an axis without a label has a blank head."""
    text = label.get("text") if isinstance(label, dict) else label
    if text is None:
        return ""
    if not isinstance(text, str):
        raise RowRejected("source.shape", "the label of an axis is not a text")
    return text


def _cell(value: Any) -> str:
    """A text, or a number as people write it: 82.0 → 82, 1e-05 → 0.00001."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RowRejected("source.shape", f"expected a number or a text, found {type(value).__name__}")
    if isinstance(value, int):
        if abs(value) >= 10**MAX_DIGITS:
            raise MarkupError("target.chart", "a number of too many digits")
        return str(value)
    number = Decimal(repr(value))
    if not number.is_finite() or abs(number.adjusted()) > MAX_DIGITS:
        raise MarkupError("target.chart", f"{value!r} is not a number that can be read off a chart")
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


FORMATS: dict[str, Format] = {
    "plotqa": Format(
        name="plotqa",
        title="PlotQA: annotations.json and png/, the data of each plot",
        origin="https://github.com/NiteshMethani/PlotQA/blob/master/PlotQA_Dataset.md",
        example=(
            '{"type": "vbar_categorical", "image_index": 3, "models": [{"name": "Malta", "x": ["1990", "1991"], "y":'
            ' [9.6, 12.0]}], "general_figure_info": {"x_axis": {"label": {"text": "Year"}, "major_labels": {"values":'
            ' ["1990", "1991"]}}, "y_axis": {"label": {"text": "Rate"}}}}'
        ),
        tasks=(Task.CHART,),
        units=units,
        read=read,
        splits="train, val or test",
    )
}
