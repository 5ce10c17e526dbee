"""DoclingDocument JSON: tables, texts, formulas, form fields and charts, cut out of the images of their pages.

A table (docling-core, `test/data/doc`, shortened; the schema is that of `docling_core.types.doc`):

    {"schema_name": "DoclingDocument", "version": "1.0.0", "pages": {"1": {"page_no": 1, "size": {"width": 612.0,
    "height": 792.0},
      "image": {"mimetype": "image/png", "dpi": 144, "size": {"width": 1224.0, "height": 1584.0}, "uri":
      "page_1.png"}}},
     "tables": [{"self_ref": "#/tables/0", "label": "table", "prov": [{"page_no": 1, "bbox": {"l": 110.1, "t": 587.6,
     "r": 240.8, "b": 498.5,
      "coord_origin": "BOTTOMLEFT"}}], "data": {"num_rows": 1, "num_cols": 2, "table_cells": [{"row_span": 1,
      "col_span": 1, "start_row_offset_idx": 0, "start_col_offset_idx": 0, "text": "class label", "column_header":
      true}]}}], "texts": []}

- The image is that of the page (`image.uri`: inline, or a file beside the document), else that of the table or picture
  itself, else, for documents of one page, a file with the document's name. Without any: image.missing.
- Boxes count from the top left or the bottom left, in units of the page; the image has its own scale.
- Texts are OCR samples, `formula` is a formula (one that was not recognised has an empty text, and is rejected). List
  items
  keep their marker where `orig` has it. A text on several pages or columns is divided by its `charspan`.
- Pictures with chart data (table, bars, slices, lines) are charts; others have nothing to be read, and are rejected
  with source.ignored. Cells of key-value items and forms are OCR samples unless they refer to a text.
- With --task, only what is of that task is part of the source.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sft.errors import RowRejected
from sft.files import Unit
from sft.formats.base import Format, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import json_stream, page_images, regions
from sft.markup import Cell, Grid, MarkupError, join_words
from sft.types import Task

MAX_CELLS = 100_000  # of one table
MAX_REFERENCES = 1000  # followed for one cell; they might run in a circle
Label = tuple[Task, str | Grid, str, Any]  # task, label, how it is written, place on the page


def task_of(kind: str, item: Mapping[str, Any]) -> Task:
    """What an item of the list `kind` is, whether it can be read or not."""
    if kind in ("tables", "pictures"):
        return Task.TABLE if kind == "tables" else Task.CHART
    return Task.FORMULA if item.get("label") == "formula" else Task.OCR


def labels_of(kind: str, item: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Label]:
    """One label per place of an item; RowRejected where it has none. `document` is where cells find what they refer
    to.
    """
    if kind == "tables":
        rows, columns, table_cells = _cells(item.get("data"), document)
        yield Task.TABLE, Grid.from_sparse(table_cells, rows, columns), "auto", _only_place(item)
    elif kind == "pictures":
        yield Task.CHART, _chart(item, document), "csv", _only_place(item)
    elif kind == "texts":
        yield from _text(item)
    else:
        graph = item.get("graph")
        cells = graph.get("cells") if isinstance(graph, dict) else None
        if not isinstance(cells, list):
            raise RowRejected("source.shape", "no cells in this form")
        for cell in cells:
            if isinstance(cell, dict) and cell.get("prov") and not cell.get("item_ref"):
                yield Task.OCR, _string(cell, "text"), "text", cell["prov"]


def _places(item: Mapping[str, Any]) -> list[Any]:
    places = item.get("prov") or []
    return places if isinstance(places, list) else [places]


def _only_place(item: Mapping[str, Any]) -> Any:
    places = _places(item)
    if len(places) > 1:
        raise RowRejected(
            "source.inexpressible", f"it stands in {len(places)} places, and nothing says which part is where"
        )
    return places[0] if places else None


def _string(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key, "")
    if not isinstance(value, str):
        raise RowRejected("source.shape", f"{key} is not a text")
    return value


def _text(item: Mapping[str, Any]) -> Iterator[Label]:
    task = task_of("texts", item)
    text = _string(item, "text")
    original = _string(item, "orig")
    if item.get("content_layer") == "invisible":
        raise RowRejected("source.ignored", "an invisible text")
    if task is Task.FORMULA:
        if not text.strip():
            raise MarkupError("target.empty", "a formula that was not recognised")
        yield task, text, "latex", _only_place(item)
        return
    if item.get("label") == "list_item" and text.strip() and original.rstrip().endswith(text.rstrip()):
        text = original
    places = _places(item)
    if len(places) < 2:
        yield task, text, "text", places[0] if places else None
        return
    spans = [place.get("charspan") if isinstance(place, dict) else None for place in places]
    whole = original if original and spans[-1] and spans[-1] == [spans[-1][0], len(original)] else text
    end = 0
    for place, span in zip(places, spans, strict=True):
        if (
            not isinstance(span, list)
            or len(span) != 2
            or not all(type(value) is int for value in span)
            or not end <= span[0] <= span[1] <= len(whole)
        ):
            raise RowRejected(
                "source.inexpressible", f"a text in {len(places)} places whose charspans do not divide it"
            )
        if whole[end : span[0]].strip():
            raise RowRejected("source.inexpressible", "a text with a part that is nowhere on the page")
        end = span[1]
        yield task, whole[span[0] : span[1]].strip(), "text", place


def _cells(data: Any, document: Mapping[str, Any]) -> tuple[int, int, list[tuple[int, int, Cell]]]:
    cells = data.get("table_cells") if isinstance(data, dict) else None
    if not isinstance(cells, list):
        raise RowRejected("source.shape", "a table without table_cells")
    placed = [(*_position(cell), _cell(cell, document)) for cell in cells]
    rows = max(
        [
            _whole(data, "num_rows"),
            *(row + 1 for row, _, _ in placed),
        ]
    )
    columns = max(
        [
            _whole(data, "num_cols"),
            *(column + 1 for _, column, _ in placed),
        ]
    )
    if rows * columns > MAX_CELLS:
        raise RowRejected("source.too_large", f"a table of {rows} x {columns} cells")
    if not placed:
        raise MarkupError("target.empty", "a table without cells")
    return rows, columns, placed


def _position(cell: Any) -> tuple[int, int]:
    if not isinstance(cell, dict):
        raise RowRejected("source.shape", "a cell that is not an object")
    return _whole(cell, "start_row_offset_idx", None), _whole(cell, "start_col_offset_idx", None)


def _cell(cell: Mapping[str, Any], document: Mapping[str, Any]) -> Cell:
    header = cell.get("column_header") is True or cell.get("row_header") is True
    text = _string(cell, "text")
    if not text.strip() and cell.get("ref"):
        text = join_words([part for part in _referred(cell["ref"], document) if part.strip()])
    return Cell(
        text,
        _span(cell, "row"),
        _span(cell, "col"),
        header,
    )


def _span(cell: Mapping[str, Any], kind: str) -> int:
    """Rows or columns of a cell: from its first to its last one, which is what docling itself goes by, or else as
    stated.
    """
    start = _whole(cell, f"start_{kind}_offset_idx")
    end = _whole(cell, f"end_{kind}_offset_idx")
    return end - start if end > start else max(1, _whole(cell, f"{kind}_span", 1))


def _referred(reference: Any, document: Mapping[str, Any]) -> Iterator[str]:
    """The texts below what a cell of a form refers to (`{"$ref": "#/field_items/0"}`), in order."""
    waiting = [reference]
    seen = 0
    while waiting:
        seen += 1
        if seen > MAX_REFERENCES:
            raise RowRejected("source.shape", "a cell refers to too many items, or to itself")
        name = waiting.pop()
        parts = str(name.get("$ref")).split("/") if isinstance(name, dict) else []
        items = document.get(parts[1]) if len(parts) == 3 else None
        index = int(parts[2]) if len(parts) == 3 and parts[2].isdecimal() and len(parts[2]) < 10 else -1
        item = items[index] if isinstance(items, list) and 0 <= index < len(items) else None
        if not isinstance(item, dict):
            raise RowRejected("source.shape", f"a cell refers to {str(name)[:60]}, which does not exist")
        if parts[1] == "texts":
            yield _string(item, "text")
        children = item.get("children")
        waiting += reversed(children) if isinstance(children, list) else []


def _whole(item: Mapping[str, Any], key: str, default: int | None = 0) -> int:
    value = item.get(key, default)
    if type(value) is not int or not 0 <= value <= MAX_CELLS:
        raise RowRejected(
            "source.shape",
            f"{key} is {str(value)[:20]!r}",
        )
    return value


def _chart(item: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """The data of a chart as CSV."""
    meta = item.get("meta")
    notes = item.get("annotations")
    objects = [note for note in notes if isinstance(note, dict)] if isinstance(notes, list) else []
    if isinstance(meta, dict) and isinstance(meta.get("tabular_chart"), dict):
        objects.insert(0, {"kind": "tabular_chart_data", **meta["tabular_chart"]})
    for note in objects:
        kind = note.get("kind")
        if kind == "tabular_chart_data":
            return _csv(_plain(note.get("chart_data"), document))
        if kind == "bar_chart_data":
            return _csv(
                [
                    [note.get("x_axis_label", ""), note.get("y_axis_label", "")],
                    *([bar.get("label"), bar.get("values")] for bar in _list(note, "bars")),
                ]
            )
        if kind == "pie_chart_data":
            return _csv(
                [
                    ["", note.get("title", "")],
                    *([slice_.get("label"), slice_.get("value")] for slice_ in _list(note, "slices")),
                ]
            )
        if kind == "line_chart_data":
            return _csv(_lines(note))
        if kind in ("stacked_bar_chart_data", "scatter_chart_data"):
            raise RowRejected("source.inexpressible", f"{kind} cannot be expressed as one table")
    raise RowRejected("source.ignored", "a picture without chart data")


def _list(note: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = note.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise RowRejected("source.shape", f"{key} is not a list of objects")
    return value


def _plain(data: Any, document: Mapping[str, Any]) -> list[list[str]]:
    rows, columns, cells = _cells(data, document)
    table = [[""] * columns for _ in range(rows)]
    for row, column, cell in cells:
        if cell.rowspan > 1 or cell.colspan > 1:
            raise RowRejected("source.inexpressible", "a chart whose table has cells over several columns or rows")
        table[row][column] = cell.text
    return table


def _lines(note: Mapping[str, Any]) -> list[list[Any]]:
    """One column per line, one row per value on the x axis, in the order in which they come."""
    lines = _list(note, "lines")
    table: dict[Any, dict[int, Any]] = {}
    for index, line in enumerate(lines):
        values = line.get("values")
        if not isinstance(values, list) or not all(
            isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], (int, float, str)) for pair in values
        ):
            raise RowRejected("source.shape", "the values of a line are not pairs")
        for x, y in values:
            table.setdefault(x, {})[index] = y
    if len(table) * len(lines) > MAX_CELLS:
        raise RowRejected(
            "source.too_large",
            f"a chart of {len(table)} x {len(lines)} values",
        )
    return [
        [
            note.get("x_axis_label", ""),
            *(line.get("label") for line in lines),
        ],
        *([x, *(ys.get(index, "") for index in range(len(lines)))] for x, ys in table.items()),
    ]


def _csv(table: list[list[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in table:
        if not all(isinstance(value, (str, int, float)) or value is None for value in row):
            raise RowRejected("source.shape", "a label or value of the chart is neither text nor number")
        if not all(math.isfinite(value) for value in row if isinstance(value, float)):
            raise RowRejected("source.shape", "a value of the chart is not a number")
        writer.writerow(
            [
                int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value
                for value in row
            ]
        )
    return out.getvalue()


LISTS = ("texts", "tables", "pictures", "key_value_items", "form_items")


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Documents: the file, or every .json below a folder."""
    root, paths = regions.files(source, (".json",))
    yield from page_images.units(paths, root, options, per=1)


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """One item per text, table, chart and form field."""
    for source in unit.payload:
        name = regions.relative(source.path, unit.path)
        document = json_stream.document(source.path)
        if isinstance(document, json_stream.JsonFault):
            yield Reject(name, document.code, document.message, document.raw)
        elif not isinstance(document, dict) or not any(isinstance(document.get(key), list) for key in LISTS):
            yield Reject(
                name,
                "source.shape",
                "not a DoclingDocument: no list of texts, tables or pictures",
                json_stream.raw(document),
            )
        else:
            yield from _document(document, source, name, unit.path, options)


def _document(
    document: Mapping[str, Any], source: page_images.PageDocument, name: str, root: Path, options: SourceOptions
) -> Iterator[ReadItem]:
    pages = _Pages(document, source, root, options)
    for kind in LISTS:
        items = document.get(kind) or []
        if not isinstance(items, list):
            yield Reject(
                f"{name}#/{kind}",
                "source.shape",
                f"{kind} is not a list",
                json_stream.raw(items),
            )
            continue
        for index, item in enumerate(items):
            where = f"{name}#/{kind}/{index}"
            if isinstance(item, dict):
                yield from _item(where, kind, item, document, pages, name, options)
            else:
                yield Reject(
                    where, "source.shape", f"expected an object, found {type(item).__name__}", json_stream.raw(item)
                )


def _item(
    where: str,
    kind: str,
    item: Mapping[str, Any],
    document: Mapping[str, Any],
    pages: _Pages,
    name: str,
    options: SourceOptions,
) -> Iterator[ReadItem]:
    raw = json_stream.raw({key: item.get(key) for key in ("label", "prov", "text", "data") if key in item})
    try:
        labels = list(labels_of(kind, item, document))
    except RowRejected as error:
        if options.task in (None, task_of(kind, item)):
            yield Reject(where, error.code, str(error), raw)
        return
    for part, (task, label, markup, place) in enumerate(labels):
        if options.task not in (None, task):
            continue
        here = f"{where}.{part}" if len(labels) > 1 else where
        try:
            picture = pages.crop(
                place,
                item if kind in ("tables", "pictures") else {},
            )
        except RowRejected as error:
            yield Reject(here, error.code, str(error), raw)
            continue
        yield regions.item(
            here,
            raw,
            label,
            picture,
            task=task,
            group=name,
            markup=markup,
        )


class _Pages:
    """The images of one document."""

    def __init__(
        self, document: Mapping[str, Any], source: page_images.PageDocument, root: Path, options: SourceOptions
    ) -> None:
        pages = document.get("pages")
        self.pages: dict[str, Any] = pages if isinstance(pages, dict) else {}
        self.source, self.root, self.options = source, root, options
        self.known: dict[str, tuple[Picture, tuple[float, float]]] = {}  # page → image, pixels per unit

    def crop(self, place: Any, item: Mapping[str, Any]) -> Picture:
        """What `place`, a provenance, shows; `item` may bring its own image."""
        if not isinstance(place, dict) or not isinstance(place.get("bbox"), dict):
            if own := self._image(item):
                return own
            raise RowRejected("source.geometry", "no place on a page (prov)")
        number = str(place.get("page_no"))
        page = self.pages.get(number)
        if not isinstance(page, dict):
            raise RowRejected("source.shape", f"there is no page {number[:20]}")
        height = regions.number(
            (page.get("size") or {}).get("height") if isinstance(page.get("size"), dict) else None,
            "the height of the page",
        )
        if number not in self.known:
            try:
                self.known[number] = self._page(page)
            except RowRejected:
                if own := self._image(item):
                    return own
                raise
        picture, factors = self.known[number]
        box = place["bbox"]
        left, top, right, bottom = (regions.number(box.get(side), side) for side in "ltrb")
        if box.get("coord_origin", "TOPLEFT") == "BOTTOMLEFT":
            top = height - top
            bottom = height - bottom
        return regions.crop(
            picture,
            regions.scaled(regions.box(left, top, right, bottom), factors),
        )

    def _page(self, page: Mapping[str, Any]) -> tuple[Picture, tuple[float, float]]:
        picture = self._image(page)
        if picture is None and len(self.pages) == 1:
            picture = self._beside(f"{self.source.path.stem}.png")
            picture = picture if regions.size_of(picture) else None
        if picture is None:
            raise RowRejected(
                "image.missing", "the page has no image", hint="export the document with images of its pages"
            )
        size = page["size"]
        width = regions.number(size.get("width"), "the width of the page")
        height = regions.number(size.get("height"), "the height of the page")
        if regions.size_of(picture):
            return picture, regions.scale(picture, width, height, "the page")
        said = page["image"].get("size")
        if not isinstance(said, dict) or not (width > 0 and height > 0):
            raise RowRejected("source.geometry", "the size of the page or of its image is not known")
        return picture, (regions.number(said.get("width")) / width, regions.number(said.get("height")) / height)

    def _image(self, owner: Mapping[str, Any]) -> Picture | None:
        image = owner.get("image")
        if not isinstance(image, dict) or not isinstance(image.get("uri"), str):
            return None
        return self._beside(image["uri"])

    def _beside(self, name: str) -> Picture:
        one_page = len(self.pages) == 1
        path = self.source.path
        contested = self.source.contested
        return page_images.image_beside(
            name,
            path,
            self.root,
            self.options,
            contested=contested,
            one_page=one_page,
        )


FORMATS = {
    "docling": Format(
        "docling",
        "DoclingDocument JSON: texts, tables, formulas and charts, cut out of their pages",
        "https://github.com/docling-project/docling-core (docs/DoclingDocument.json)",
        '{"schema_name": "DoclingDocument", "pages": {"1": {"size": {"width": 612.0, "height": 792.0}, "image": {"uri":'
        ' "page_1.png", "size": {"width": 1224.0, "height": 1584.0}}}}, "texts": [{"self_ref": "#/texts/0", "label":'
        ' "section_header", "text": "4.2 Language Syntax", "prov": [{"page_no": 1, "bbox": {"l": 192.0, "t": 779.3,'
        ' "r": 536.6, "b": 811.9, "coord_origin": "TOPLEFT"}}]}]}',
        (Task.OCR, Task.TABLE, Task.FORMULA, Task.CHART),
        units,
        read,
    )
}
