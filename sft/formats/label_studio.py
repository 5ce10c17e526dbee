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
- `--map image=KEY` names the key of `data` that holds the image, `--map text=NAME` the TextArea (its `from_name`) where
  there are several.
- `/data/upload/…` and `/data/local-files/?d=…` are looked for beside the export or under --images; http(s) addresses
  are
  fetched; `s3://`, `gs://` and the like are rejected (source.address).
- JSON_MIN has `bbox` and `transcription` (a list, or one text) at the top; they belong together by position.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from sft.files import Unit
from sft.formats.base import Format, Options, Picture, Read, Reject, inside
from sft.formats.shared import json_stream, regions, rows
from sft.markup import MarkupError
from sft.types import Task

IMAGE_KEYS = ("ocr", "image", "img", "image_url", "captioning", "url", "file", "path")
SHAPES = ("rectangle", "polygon", "ellipse")  # each also with "labels" behind it


def units(source: Path, options: Options) -> Iterator[Unit]:
    """Tasks of the export; of every .json and .jsonl file of a folder (the source folder of a local storage, say)."""
    root, paths = regions.files(source, (".json", ".jsonl"))
    for path in paths:
        name = regions.relative(path, root)
        yield from (replace(unit, name=name) for unit in rows.json_units(path))


def read(unit: Unit, options: Options) -> Iterator[Read]:
    """One item per region with a text, or per image with one."""
    for found in rows.json_rows(unit):
        if isinstance(found, Reject):
            yield found
            continue
        where, task = found
        try:
            data = task.get("data", task)
            if not isinstance(data, dict):
                raise MarkupError("source.shape", "data is not an object")
            name = _image_key(data, options)
            found_regions = list(_regions(task, options))
        except MarkupError as error:
            yield Reject(
                where,
                error.code,
                str(error),
                json_stream.raw(task),
            )
            continue
        for index, region in enumerate(found_regions):
            yield _item(
                f"{where}#{region.get('id', index)}",
                region,
                data[name],
                unit.path.parent,
                options,
            )


def _image_key(data: Mapping[str, Any], options: Options) -> str:
    wanted = options.columns.get("image")
    if wanted:
        if wanted not in data:
            raise MarkupError(
                "source.shape",
                f"no key {wanted!r}; there are {', '.join(map(str, data))[:100]}",
            )
        return wanted
    for key in IMAGE_KEYS:
        if isinstance(data.get(key), (str, list)):
            return key
    named = [
        key
        for key, value in data.items()
        if isinstance(value, str) and value.lower().split("?")[0].endswith(rows.IMAGE_SUFFIXES)
    ]
    if len(named) != 1:
        raise MarkupError(
            "source.shape",
            f"which key holds the image? there are {', '.join(map(str, data))[:100]}",
            hint="--map image=KEY",
        )
    return named[0]


def _regions(task: Mapping[str, Any], options: Options) -> Iterator[dict[str, Any]]:
    """{"id", "text", "shape" (a dict with the percentages), "turned"} of every region; the image as a whole has no
    shape.
    """
    if "annotations" not in task and "completions" not in task:
        yield from _minimal(task)
        return
    annotations = task.get("annotations", task.get("completions"))
    if not isinstance(annotations, list):
        raise MarkupError("source.shape", "annotations is not a list")
    usable = [
        one
        for one in annotations
        if isinstance(one, dict) and not one.get("was_cancelled") and isinstance(one.get("result"), list)
    ]
    if not usable:
        raise MarkupError(
            "source.ignored", "no annotation" if not annotations else "every annotation was cancelled (skipped)"
        )
    chosen = next(
        (one for one in usable if one.get("ground_truth") is True),
        usable[-1],
    )
    found: dict[Any, dict[str, Any]] = {}
    for row in chosen["result"]:
        if isinstance(row, dict) and row.get("type") != "relation":
            identity = row.get("id") if isinstance(row.get("id"), (str, int)) else len(found)
            _join(found.setdefault(identity, {"id": identity}), row, options)
    yield from (region for region in found.values() if region.keys() - {"id", "only_choices"})
    if not found:
        raise MarkupError("source.ignored", "an annotation without a region")


def _join(region: dict[str, Any], row: Mapping[str, Any], options: Options) -> None:
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
        region["shape"] = {
            **value,
            "original_width": row.get("original_width"),
            "original_height": row.get("original_height"),
        }
        region["turned"] = row.get("image_rotation", 0)
        region["page"] = row.get("item_index", 0)
    if kind == "textarea" and options.columns.get("text", row.get("from_name")) == row.get("from_name"):
        region["text"] = value.get("text")


def _minimal(task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """JSON_MIN: lists of regions and of texts side by side."""
    shapes = next(
        (task[key] for key in ("bbox", "poly", "polygon", "rectangle", "label") if isinstance(task.get(key), list)),
        None,
    )
    text = task.get("transcription", task.get("text"))
    if shapes is None:
        yield {"text": text}
        return
    texts = [text] if isinstance(text, str) else text
    if not isinstance(texts, list) or len(texts) != len(shapes):
        count = len(texts) if isinstance(texts, list) else "no"
        raise MarkupError(
            "source.shape",
            f"{len(shapes)} regions and {count} texts: which belongs to which?",
            hint="export as JSON instead of JSON_MIN",
        )
    for shape, one in zip(shapes, texts, strict=True):
        yield {"text": one, "shape": shape}


def _item(where: str, region: Mapping[str, Any], image: Any, root: Path, options: Options) -> Read:
    raw = json_stream.raw(dict(region))
    try:
        if "problem" in region:
            raise MarkupError(*region["problem"])
        text = region.get("text", region.get("note"))
        lines = [text] if isinstance(text, str) else text
        if lines is None:
            raise MarkupError("target.empty", "a region without a text")
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise MarkupError("source.shape", "the text is neither a text nor a list of texts")
        if isinstance(image, list):
            page = region.get("page", 0)
            image = image[page] if isinstance(page, int) and 0 <= page < len(image) else None
        picture = replace(_picture(image, root, options), turn=options.turn)
        group = str(picture.path) if picture.path else picture.url or where.partition("#")[0]
        group = group.removeprefix(f"{options.images or root}/")
        if "shape" in region:
            picture = regions.crop(
                picture,
                _quad(region["shape"], region.get("turned", 0), picture),
            )
    except MarkupError as error:
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


def _quad(shape: Any, turned: Any, picture: Picture) -> regions.Quad:
    """Percent of the image → pixels."""
    if not isinstance(shape, dict):
        raise MarkupError("source.shape", "a region without a value")
    if turned not in (0, 360, None):
        raise MarkupError("source.inexpressible", f"the image was turned by {str(turned)[:20]}° in the editor")
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


def _picture(name: Any, root: Path, options: Options) -> Picture:
    if not isinstance(name, str) or not name:
        raise MarkupError("source.shape", f"expected the address of an image, found {json_stream.raw(name)[:40]}")
    base = options.images or root
    if name.startswith(("data:", "http://", "https://")):
        return rows.picture(name, base)
    if "://" in name or "/resolve/" in name:
        raise MarkupError(
            "source.address",
            f"{name[:100]!r} is not fetched",
            hint="download the images, and name their folder with --images",
        )
    if not name.startswith("/data/"):
        return rows.picture(name, base)
    path, _, query = name.partition("?")
    local = (
        parse_qs(query).get("d", [""])[0]
        if path.startswith("/data/local-files")
        else unquote(path).removeprefix("/data/")
    )
    last = local.rsplit("/", 1)[-1]
    spellings = dict.fromkeys(
        (local, local.removeprefix("upload/"), f"images/{last}", last)
    )  # images/: exports with images
    found = [below for spelling in spellings if (below := inside(base, spelling.lstrip("/")))]
    if not found or ".." in local.split("/"):
        raise MarkupError("source.outside", f"{name[:100]!r} leads out of the source")
    hint = f"--images DIR names the folder in which {last[:100]} lies" + (
        ", of which nothing was found there" if options.images else ""
    )
    there = next(
        (below for below in found if os.path.isfile(below)),
        None,
    )
    return (
        Picture(path=there)
        if there
        else Picture(
            path=found[0],
            hint=hint,
            others=tuple(found[1:]),
        )
    )


FORMATS = {
    "label-studio": Format(
        "label-studio",
        "Label Studio exports (JSON, JSON_MIN): regions with their transcription",
        "https://labelstud.io/guide/export (JSON, JSON_MIN), https://labelstud.io/guide/task_format",
        '{"id": 1, "data": {"ocr": "/data/upload/1/5b0c8b31-receipt.jpg"}, "annotations": [{"was_cancelled": false,'
        ' "result": [{"id": "bb1", "type": "rectangle", "original_width": 864, "original_height": 1296, "value": {"x":'
        ' 21.9, "y": 27.5, "width": 9.4, "height": 2.6, "rotation": 0}}, {"id": "bb1", "type": "textarea", "value":'
        ' {"text": ["TOTAL"]}}]}]}',
        (Task.OCR, Task.TABLE, Task.FORMULA, Task.CHART),
        units,
        read,
        columns=("image", "text"),
    )
}
