"""Label Studio: exports as JSON, JSON_MIN or JSON lines; regions with a transcription, or whole images with one.

A task of a JSON export (OCR template; from the documentation of the template and of the task format, shortened):

    {"id": 1, "data": {"ocr": "/data/upload/1/5b0c8b31-receipt.jpg"}, "annotations": [{"was_cancelled": false, "result":
    [
      {"id": "bb1", "type": "rectangle", "from_name": "bbox", "original_width": 864, "original_height": 1296,
       "value": {"x": 21.9, "y": 27.5, "width": 9.4, "height": 2.6, "rotation": 0}},
      {"id": "bb1", "type": "textarea", "from_name": "transcription", "value": {"x": 21.9, "y": 27.5, "width": 9.4,
      "height": 2.6, "text": ["TOTAL"]}}]}]}

- Rows of `result` with one `id` are one region. Positions are percent of the image; `rotation` is in degrees, clockwise
  about
  the top left corner. Polygons and ellipses give the box around them. A text that belongs to no region is that of the
  image.
- One annotation per task is used: one marked as ground truth, else the last; those that were cancelled (skipped), and
  predictions, are not. A task without any is rejected with source.ignored. `completions` is the name of old versions.
- A task may have several pages: a list of addresses, or of objects with one (`{"url": …}`). A region is on the page of
  its
  `item_index`; where the Repeater tag laid the pages out, on that of its `to_name` (page_0, page_1).
- A storage for annotations ("target storage") holds one file per annotation, with or without .json: the annotation with
  its
  task inside. Each is read as a task with that one annotation.
- `--map image=KEY` names the key of `data` that holds the image, `--map text=NAME` the TextArea (its `from_name`) where
  there are several.
- `/data/upload/…` and `/data/local-files/?d=…` are looked for beside the export or under --images, with slashes of
  either
  kind; of an absolute path of Windows its longest end that is a file there. http(s) addresses are fetched; `s3://`,
  `gs://` and the like are rejected (source.address).
- JSON_MIN has `bbox` and `transcription` (a list, or one text) at the top; they belong together by position. It does
  not say
  on which page a region is.
- With --task spotting a page is one sample: its whole picture, and all texts of regions with their places.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sft.errors import RowRejected, UsageError
from sft.files import NotText, Unit
from sft.formats import label_studio_images as images
from sft.formats.base import Format, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import json_stream, regions, rows, spotting
from sft.markup import MarkupError
from sft.types import Task

SHAPES = (
    "bbox",
    "poly",
    "polygon",
    "rectangle",
    "label",
)  # keys of JSON_MIN, with a number behind them where pages were repeated
_NUMBERED = re.compile(rf"({'|'.join(SHAPES)})(\D?\d+)?")


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Tasks of the export; of every .json and .jsonl file of a folder, and of files without an ending that
    hold JSON.
    """
    if not source.is_dir():
        yield from rows.json_units(source)
        return
    paths = [path for path in sorted(source.rglob("*")) if path.is_file() and _is_label_file(path)]
    if not paths:
        hint = "name an export, or the folder of a storage"
        raise UsageError("no .json or .jsonl files here, nor annotations of a storage", where=str(source), hint=hint)
    for path in paths:
        name = regions.relative(path, source)
        try:
            yield from (replace(unit, name=name) for unit in rows.json_units(path))
        except NotText as error:
            yield Unit(
                path,
                name,
                ((0, json_stream.JsonFault("source.refused", error.message)),),
            )


def _is_label_file(path: Path) -> bool:
    """By its ending; one without any, as a storage for annotations has them, by its first character."""
    if path.name.startswith("."):
        return False
    if path.suffix:
        return path.suffix.lower() in (".json", ".jsonl")
    with path.open("rb") as stream:
        return stream.read(64).removeprefix(rows.BOM).lstrip()[:1] in (b"{", b"[")


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """One item per region with a text, or per image with one."""
    for record in rows.json_rows(unit):
        if isinstance(record, Reject):
            yield record
            continue
        where, row = record
        try:
            task = _as_task(row)
            data = task.get("data", task)
            if not isinstance(data, dict):
                raise RowRejected("source.shape", "data is not an object")
            image = data[images.image_key(data, options)]
            found_regions = list(_regions(task, options))
        except RowRejected as error:
            yield Reject(
                where,
                error.code,
                str(error),
                json_stream.raw(row),
            )
            continue
        paged = any(images.is_index(region.get("page")) for region in found_regions)
        items = [
            _item(f"{where}#{region.get('id', index)}", region, image, paged, unit, options)
            for index, region in enumerate(found_regions)
        ]
        yield from spotting.pages(items, where) if options.task is Task.SPOTTING else items


def _as_task(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A task with its annotations: the row itself, or made of an annotation with its task inside (a storage, a
    webhook).
    """
    annotation = row.get("annotation") if isinstance(row.get("annotation"), dict) else row
    if "annotations" in row or "completions" in row or not isinstance(annotation, dict) or "result" not in annotation:
        return row
    task = row.get("task")
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        hint = "export the project as JSON, which has tasks and annotations together"
        raise RowRejected("source.shape", "an annotation without the data of its task", hint=hint)
    return {**task, "annotations": [annotation]}


def _regions(task: Mapping[str, Any], options: SourceOptions) -> Iterator[dict[str, Any]]:
    """{"id", "text", "shape" (a dict with the percentages), "turned"} of every region; the image as a whole has no
    shape.
    """
    if "annotations" not in task and "completions" not in task:
        yield from _minimal(task)
        return
    annotations = task.get("annotations", task.get("completions"))
    if not isinstance(annotations, list):
        raise RowRejected("source.shape", "annotations is not a list")
    usable = [
        one
        for one in annotations
        if isinstance(one, dict) and not one.get("was_cancelled") and isinstance(one.get("result"), list)
    ]
    if not usable:
        raise RowRejected(
            "source.ignored", "no annotation" if not annotations else "every annotation was cancelled (skipped)"
        )
    chosen = next(
        (one for one in usable if one.get("ground_truth") is True),
        usable[-1],
    )
    by_id: dict[Any, dict[str, Any]] = {}
    for row in chosen["result"]:
        if isinstance(row, dict) and row.get("type") != "relation":
            identity = row.get("id") if isinstance(row.get("id"), (str, int)) else len(by_id)
            _join(by_id.setdefault(identity, {"id": identity}), row, options)
    yield from (region for region in by_id.values() if region.keys() - {"id", "page", "to_name"})
    if not by_id:
        raise RowRejected("source.ignored", "an annotation without a region")


def _join(region: dict[str, Any], row: Mapping[str, Any], options: SourceOptions) -> None:
    """Put one row of `result` to what is known of its region."""
    value = row.get("value")
    kind = str(row.get("type", ""))
    if not isinstance(value, dict):
        region["problem"] = ("source.shape", "a region without a value")
        return
    meta = row.get("meta")
    if isinstance(meta, dict) and "text" in meta:
        region.setdefault("note", meta["text"])
    if kind.startswith("brush"):
        region["problem"] = ("source.geometry", "painted with a brush; draw a rectangle or a polygon")
    if "points" in value or ("x" in value and ("width" in value or "radiusX" in value)):
        sides = {key: row[key] for key in ("original_width", "original_height") if row.get(key) is not None}
        shape = {key: part for key, part in value.items() if key != "text"}
        region["shape"] = {**region.get("shape", {}), **shape, **sides}
        region["turned"] = row.get("image_rotation", 0)
    for key, name in (("page", "item_index"), ("to_name", "to_name")):
        if row.get(name) is not None:
            region.setdefault(key, row[name])
    if kind == "textarea" and options.columns.get("text", row.get("from_name")) == row.get("from_name"):
        region["text"] = value.get("text")


def _minimal(task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """JSON_MIN: lists of regions and of texts side by side; a pair of lists for each page where the Repeater tag made
    them.
    """
    keys = [
        numbered
        for key, value in task.items()
        if isinstance(value, list) and (numbered := _NUMBERED.fullmatch(str(key)))
    ]
    endings: dict[str, str] = {}
    for numbered in sorted(
        keys,
        key=lambda match: SHAPES.index(match[1]),
    ):
        endings.setdefault(numbered[2] or "", numbered[0])
    if not endings:
        yield {"text": task.get("transcription", task.get("text"))}
    for ending, key in endings.items():
        shapes = task[key]
        text = task.get(
            f"transcription{ending}",
            task.get(f"text{ending}"),
        )
        texts = [text] if isinstance(text, str) else text
        if not isinstance(texts, list) or len(texts) != len(shapes):
            count = len(texts) if isinstance(texts, list) else "no"
            said = f"{len(shapes)} regions and {count} texts: which belongs to which?"
            raise RowRejected("source.shape", said, hint="export as JSON instead of JSON_MIN")
        for shape, one in zip(shapes, texts, strict=True):
            page = {"page": shape["item_index"]} if isinstance(shape, dict) and "item_index" in shape else {}
            yield {"text": one, "shape": shape, "to_name": ending, **page}


def _item(
    where: str, region: Mapping[str, Any], image: Any, paged: bool, unit: Unit, options: SourceOptions
) -> ReadItem:
    raw = json_stream.raw(dict(region))
    try:
        if "problem" in region:
            raise RowRejected(*region["problem"])
        text = region.get("text", region.get("note"))
        lines = [text] if isinstance(text, str) else text
        if lines is None:
            raise MarkupError("target.empty", "a region without a text")
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise RowRejected("source.shape", "the text is neither a text nor a list of texts")
        address = images.address_of(image, region, paged=paged)
        picture = replace(
            images.picture(address, unit.path.parent, options),
            turn=options.turn,
        )
        group = picture.url or (_group(picture.path, unit, options) if picture.path else where.partition("#")[0])
        if "shape" in region:
            picture = regions.crop(
                picture,
                _quad(region["shape"], region.get("turned", 0), picture),
            )
    except RowRejected as error:
        return Reject(where, error.code, str(error), raw)
    return rows.item(
        where,
        raw,
        "\n".join(lines),
        picture,
        options,
        task=options.task or Task.OCR,
        group=group,
    )


def _group(image: Path, unit: Unit, options: SourceOptions) -> str:
    """The path of a page, from the folder of images or of the source: the same from whichever file it is named."""
    home = options.images or unit.path.parents[len(Path(unit.name).parts) - 1]
    path = os.path.normpath(image)
    return path.removeprefix(f"{os.path.normpath(home)}/")


def _quad(shape: Any, turned: Any, picture: Picture) -> regions.Quad:
    """Percent of the image → pixels."""
    if not isinstance(shape, dict):
        raise RowRejected("source.shape", "a region without a value")
    if turned not in (0, 360, None):
        raise RowRejected("source.inexpressible", f"the image was turned by {str(turned)[:20]}° in the editor")
    sides = shape.get("original_width"), shape.get("original_height")
    width, height = (
        regions.number(side, "a side of the image")
        for side in (sides if all(sides) else regions.size_of(picture) or sides)
    )
    if "points" in shape:
        return regions.polygon([(x * width / 100, y * height / 100) for x, y in regions.pairs(shape["points"])])
    left = regions.number(shape.get("x")) * width / 100
    top = regions.number(shape.get("y")) * height / 100
    if "radiusX" in shape:
        across = regions.number(shape["radiusX"]) * width / 100
        down = regions.number(shape.get("radiusY")) * height / 100
        return regions.box(
            left - across,
            top - down,
            left + across,
            top + down,
        )
    wide = regions.number(shape.get("width")) * width / 100
    tall = regions.number(shape.get("height")) * height / 100
    regions.box(
        left,
        top,
        left + wide,
        top + tall,
    )
    angle = math.radians(regions.number(shape.get("rotation") or 0, "the rotation"))
    corners = [
        (0.0, 0.0),
        (wide, 0.0),
        (wide, tall),
        (0.0, tall),
    ]
    cos = math.cos(angle)
    sin = math.sin(angle)
    return tuple((round(left + x * cos - y * sin, 3), round(top + x * sin + y * cos, 3)) for x, y in corners)


FORMATS = {
    "label-studio": Format(
        "label-studio",
        "Label Studio exports (JSON, JSON_MIN): regions with their transcription",
        "https://labelstud.io/guide/export (JSON, JSON_MIN), https://labelstud.io/guide/task_format",
        '{"id": 1, "data": {"ocr": "/data/upload/1/5b0c8b31-receipt.jpg"}, "annotations": [{"was_cancelled": false,'
        ' "result": [{"id": "bb1", "type": "rectangle", "original_width": 864, "original_height": 1296, "value": {"x":'
        ' 21.9, "y": 27.5, "width": 9.4, "height": 2.6, "rotation": 0}}, {"id": "bb1", "type": "textarea", "value":'
        ' {"text": ["TOTAL"]}}]}]}',
        (Task.OCR, Task.TABLE, Task.FORMULA, Task.CHART, Task.SPOTTING),
        units,
        read,
        columns=("image", "text"),
    )
}
