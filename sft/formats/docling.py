"""DoclingDocument JSON: tables, texts, formulas, form fields and charts, cut out of the images of their pages.

A table (docling-core, `test/data/doc`, shortened; the schema is that of `docling_core.types.doc`):

    {"schema_name": "DoclingDocument", "version": "1.0.0", "pages": {"1": {"page_no": 1, "size": {"width": 612.0, "height": 792.0},
      "image": {"mimetype": "image/png", "dpi": 144, "size": {"width": 1224.0, "height": 1584.0}, "uri": "page_1.png"}}},
     "tables": [{"self_ref": "#/tables/0", "label": "table", "prov": [{"page_no": 1, "bbox": {"l": 110.1, "t": 587.6, "r": 240.8, "b": 498.5,
      "coord_origin": "BOTTOMLEFT"}}], "data": {"num_rows": 1, "num_cols": 2, "table_cells": [{"row_span": 1, "col_span": 1,
      "start_row_offset_idx": 0, "start_col_offset_idx": 0, "text": "class label", "column_header": true}]}}], "texts": []}

- The image is that of the page (`image.uri`: inline, or a file beside the document), else that of the table or picture
  itself, else, for documents of one page, a file with the document's name. Without any: image.missing.
- Boxes count from the top left or the bottom left, in units of the page; the image has its own scale.
- Texts are OCR samples, `formula` is a formula (a formula that nobody read has an empty text, and is rejected). List items
  keep their marker where `orig` has it. A text on several pages or columns is divided by its `charspan`.
- Pictures with chart data (table, bars, slices, lines) are charts; others have nothing to be read, and are rejected
  with source.ignored. Cells of key-value items and forms are OCR samples unless they refer to a text.
- With --task, only what is of that task is part of the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sft.formats import docling_labels, json_stream, regions
from sft.formats.base import Format, Options, Picture, Read, Reject, Unit, file_units
from sft.markup.errors import MarkupError
from sft.types import Task

LISTS = ("texts", "tables", "pictures", "key_value_items", "form_items")


def units(source: Path, options: Options) -> Iterator[Unit]:
    """Documents: the file, or every .json below a folder."""
    root, paths = regions.files(source, (".json",))
    yield from file_units(paths, root, per=1)


def read(unit: Unit, options: Options) -> Iterator[Read]:
    """One item per text, table, chart and form field."""
    for path in unit.payload:
        name = regions.relative(path, unit.path)
        document = json_stream.document(path)
        if isinstance(document, json_stream.Fault):
            yield Reject(name, document.code, document.message, document.raw)
        elif not isinstance(document, dict) or not any(isinstance(document.get(key), list) for key in LISTS):
            yield Reject(name, "source.shape", "not a DoclingDocument: no list of texts, tables or pictures", json_stream.raw(document))
        else:
            yield from _document(document, path, name, unit.path, options)


def _document(document: Mapping[str, Any], path: Path, name: str, root: Path, options: Options) -> Iterator[Read]:
    pages = _Pages(document, path, root, options)
    for kind in LISTS:
        items = document.get(kind) or []
        if not isinstance(items, list):
            yield Reject(f"{name}#/{kind}", "source.shape", f"{kind} is not a list", json_stream.raw(items))
            continue
        for index, item in enumerate(items):
            where = f"{name}#/{kind}/{index}"
            if isinstance(item, dict):
                yield from _item(where, kind, item, document, pages, name, options)
            else:
                yield Reject(where, "source.shape", f"expected an object, found {type(item).__name__}", json_stream.raw(item))


def _item(where: str, kind: str, item: Mapping[str, Any], document: Mapping[str, Any], pages: _Pages, name: str, options: Options) -> Iterator[Read]:
    raw = json_stream.raw({key: item.get(key) for key in ("label", "prov", "text", "data") if key in item})
    try:
        labels = list(docling_labels.labels(kind, item, document))
    except MarkupError as error:
        if options.task in (None, docling_labels.task_of(kind, item)):
            yield Reject(where, error.code, str(error), raw)
        return
    for part, (task, label, markup, place) in enumerate(labels):
        if options.task not in (None, task):
            continue
        here = f"{where}.{part}" if len(labels) > 1 else where
        try:
            picture = pages.crop(place, item if kind in ("tables", "pictures") else {})
        except MarkupError as error:
            yield Reject(here, error.code, str(error), raw)
            continue
        yield regions.item(here, raw, label, picture, task=task, group=name, markup=markup)


class _Pages:
    """The images of one document."""

    def __init__(self, document: Mapping[str, Any], path: Path, root: Path, options: Options) -> None:
        pages = document.get("pages")
        self.pages: dict[str, Any] = pages if isinstance(pages, dict) else {}
        self.path, self.root, self.options = path, root, options
        self.known: dict[str, tuple[Picture, tuple[float, float]]] = {}  # page → image, pixels per unit

    def crop(self, place: Any, item: Mapping[str, Any]) -> Picture:
        """What `place`, a provenance, shows; `item` may bring its own image."""
        if not isinstance(place, dict) or not isinstance(place.get("bbox"), dict):
            if own := self._image(item):
                return own
            raise MarkupError("source.geometry", "no place on a page (prov)")
        number = str(place.get("page_no"))
        page = self.pages.get(number)
        if not isinstance(page, dict):
            raise MarkupError("source.shape", f"there is no page {number[:20]}")
        height = regions.number((page.get("size") or {}).get("height") if isinstance(page.get("size"), dict) else None, "the height of the page")
        if number not in self.known:
            try:
                self.known[number] = self._page(page)
            except MarkupError:
                if own := self._image(item):
                    return own
                raise
        picture, factors = self.known[number]
        box = place["bbox"]
        left, top, right, bottom = (regions.number(box.get(side), side) for side in "ltrb")
        if box.get("coord_origin", "TOPLEFT") == "BOTTOMLEFT":
            top, bottom = height - top, height - bottom
        return regions.crop(picture, regions.scaled(regions.box(left, top, right, bottom), factors))

    def _page(self, page: Mapping[str, Any]) -> tuple[Picture, tuple[float, float]]:
        picture = self._image(page)
        if picture is None and len(self.pages) == 1:
            picture = regions.image_beside(f"{self.path.stem}.png", self.path, self.root, self.options)
            picture = picture if regions.size_of(picture) else None
        if picture is None:
            raise MarkupError("image.missing", "the page has no image", hint="export the document with images of its pages")
        size = page["size"]
        width, height = regions.number(size.get("width"), "the width of the page"), regions.number(size.get("height"), "the height of the page")
        if regions.size_of(picture):
            return picture, regions.scale(picture, width, height, "the page")
        said = page["image"].get("size")
        if not isinstance(said, dict) or not (width > 0 and height > 0):
            raise MarkupError("source.geometry", "the size of the page or of its image is not known")
        return picture, (regions.number(said.get("width")) / width, regions.number(said.get("height")) / height)

    def _image(self, owner: Mapping[str, Any]) -> Picture | None:
        image = owner.get("image")
        if not isinstance(image, dict) or not isinstance(image.get("uri"), str):
            return None
        return regions.image_beside(image["uri"], self.path, self.root, self.options)


FORMATS = {
    "docling": Format(
        "docling",
        "DoclingDocument JSON: texts, tables, formulas and charts, cut out of their pages",
        "https://github.com/docling-project/docling-core (docs/DoclingDocument.json)",
        '{"schema_name": "DoclingDocument", "pages": {"1": {"size": {"width": 612.0, "height": 792.0}, "image": {"uri": "page_1.png", "size": {"width": 1224.0, "height": 1584.0}}}}, '
        '"texts": [{"self_ref": "#/texts/0", "label": "section_header", "text": "4.2 Language Syntax", '
        '"prov": [{"page_no": 1, "bbox": {"l": 192.0, "t": 779.3, "r": 536.6, "b": 811.9, "coord_origin": "TOPLEFT"}}]}]}',
        (Task.OCR, Task.TABLE, Task.FORMULA, Task.CHART),
        units,
        read,
    )
}
