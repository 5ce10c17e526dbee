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
- With --as-served, texts and list items are what is joined, in the order of `body`; what stands below a picture or a
  table in that tree is no block of the page. A picture in a table belongs to the cell whose `bbox` or `ref` has it.
- With --task, only what is of that task is part of the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sft.errors import RowRejected
from sft.files import Unit
from sft.formats.base import Format, Item, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import Kind, docling_labels, json_stream, page_images, regions, served
from sft.images import Box, Mark, box_of
from sft.markup import Grid
from sft.types import Task

TEXTS = ("text", "paragraph", "list_item", "handwritten_text")  # labels of what the pipeline calls a text
Parts = list[tuple[ReadItem, Any]]  # rows and rejects, each with its place on a page (prov)
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
    served_items: list[_ServedItem] = []
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
            if not isinstance(item, dict):
                yield Reject(
                    where, "source.shape", f"expected an object, found {type(item).__name__}", json_stream.raw(item)
                )
                continue
            parts = _item(where, kind, item, document, pages, name, options)
            if options.as_served:
                served_items.append(_ServedItem(f"#/{kind}/{index}", kind, item, list(parts)))
            else:
                yield from (read for read, _ in parts)
    if options.as_served:
        yield from _ServedDocument(document, pages, served_items).rows()


def _item(
    where: str,
    kind: str,
    item: Mapping[str, Any],
    document: Mapping[str, Any],
    pages: _Pages,
    name: str,
    options: SourceOptions,
) -> Iterator[tuple[ReadItem, Any]]:
    raw = json_stream.raw({key: item.get(key) for key in ("label", "prov", "text", "data") if key in item})
    try:
        labels = list(docling_labels.labels_of(kind, item, document))
    except RowRejected as error:
        if options.task in (None, docling_labels.task_of(kind, item)):
            yield Reject(where, error.code, str(error), raw), None
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
            yield Reject(here, error.code, str(error), raw), place
            continue
        yield (
            regions.item(
                here,
                raw,
                label,
                picture,
                task=task,
                group=name,
                markup=markup,
            ),
            place,
        )


@dataclass(frozen=True)
class _ServedItem:
    """An item of the document with what it became."""

    name: str  # "#/texts/0"
    kind: str  # of the list
    item: Mapping[str, Any]
    parts: Parts


class _ServedDocument:
    """The blocks of a document, page by page, as the pipeline would ask for them."""

    def __init__(self, document: Mapping[str, Any], pages: _Pages, items: Sequence[_ServedItem]) -> None:
        self.document, self.pages, self.items = document, pages, items
        self.order, self.inside = _reading_order(document)

    def rows(self) -> Iterator[ReadItem]:
        """What the document becomes."""
        blocks: dict[str, list[served.Block]] = {}
        ranks: dict[str, list[int]] = {}
        goes_on: dict[str, set[tuple[int, int]]] = {}
        for item in self.items:
            rank = self.order.get(item.name, len(self.order))
            before: tuple[str, int] | None = None
            for place, read in self._places(item):
                page = str(place.get("page_no")) if isinstance(place, dict) else ""
                mine = blocks.setdefault(page, [])
                mine.append(self._block(item, place, read))
                ranks.setdefault(page, []).append(rank)
                if before is not None and before[0] == page:
                    goes_on.setdefault(page, set()).add((before[1], len(mine) - 1))
                before = page, len(mine) - 1
        for page, of_page in blocks.items():
            order = sorted(range(len(of_page)), key=ranks[page].__getitem__)
            pairs = frozenset(goes_on.get(page, ()))
            yield from served.served_rows(served.ServedPage(of_page, order, self.pages.size(page), pairs))

    def _places(self, item: _ServedItem) -> Iterator[tuple[Any, ReadItem | None]]:
        """The places of an item, also those that no row shows, and the row or reject of each."""
        places = docling_labels.places_of(item.item)
        if not item.parts:
            yield from ((place, None) for place in places)
        elif len(item.parts) == 1 and item.parts[0][1] is None:  # a reject of the whole item, or one without a place
            yield (places[0] if places else None), item.parts[0][0]
            yield from ((place, None) for place in places[1:])
        else:
            yield from ((place, read) for read, place in item.parts)

    def _block(self, item: _ServedItem, place: Any, read: ReadItem | None) -> served.Block:
        quad = self._quad(place)
        if item.name in self.inside and item.kind == "texts":
            return served.Block("unknown", quad, read, said="it stands inside a picture or a table")
        if item.kind == "tables" and isinstance(read, Item):
            return served.Block(self._kind(item, read), quad, read, partial(self._marked, item, read, place))
        return served.Block(self._kind(item, read), quad, read)

    def _kind(self, item: _ServedItem, read: ReadItem | None) -> Kind:
        label = item.item.get("label")
        if item.kind == "tables":
            return "table" if label != "document_index" else "other"
        if item.kind == "pictures":
            with_data = isinstance(read, Item)
            return "chart" if with_data or label == "chart" else "image"
        if item.kind != "texts":
            return "unknown"
        if label in TEXTS:
            return "text"
        return "formula" if label == "formula" else "other"

    def _quad(self, place: Any) -> regions.Quad:
        try:
            return self.pages.located(place)[1] if isinstance(place, dict) else ()
        except RowRejected:
            return ()

    def _marked(self, item: _ServedItem, read: Item, place: Any, marks: Sequence[Mark]) -> ReadItem | None:
        """The row of a table with the marks of its pictures in their cells."""
        data = item.item["data"]
        rows, columns, cells = docling_labels.table_cells_of(data, self.document)
        boxes = [self._cell_box(cell, place) for cell in data["table_cells"]]
        marked = served.marked_cells(cells, boxes, marks)
        if marked is None:
            return None
        grid = Grid.from_sparse(marked, rows, columns)
        return regions.item(
            read.where,
            "",
            grid,
            read.picture,
            task=read.task,
            group=read.group,
        )

    def _cell_box(self, cell: Mapping[str, Any], table: Any) -> Box | None:
        """The place of a cell, or that of the picture which it refers to."""
        quad: regions.Quad = ()
        if isinstance(cell.get("bbox"), dict):
            quad = self._quad({"page_no": table.get("page_no"), "bbox": cell["bbox"]})
        elif cell.get("ref"):
            quad = self._picture_of(cell["ref"])
        return box_of(quad) if quad else None

    def _picture_of(self, reference: Any) -> regions.Quad:
        """The place of the only picture that a cell refers to."""
        try:
            below = list(docling_labels.referred(reference, self.document))
        except RowRejected:
            return ()
        pictures = [item for kind, item in below if kind == "pictures"]
        if len(pictures) != 1:
            return ()
        places = docling_labels.places_of(pictures[0])
        if len(places) != 1:
            return ()
        return self._quad(places[0])


def _reading_order(document: Mapping[str, Any]) -> tuple[dict[str, int], set[str]]:
    """The items of the tree of furniture and body in its order, and those that stand below a picture or a table."""
    order: dict[str, int] = {}
    inside: set[str] = set()
    waiting = [
        (name, False)
        for root in ("body", "furniture")
        for name in reversed(docling_labels.children_of(document.get(root)))
    ]
    while waiting:
        name, within = waiting.pop()
        if name in order:
            continue
        order[name] = len(order)
        if within:
            inside.add(name)
        within = within or name.startswith(("#/pictures/", "#/tables/"))
        below = docling_labels.children_of(docling_labels.item_at(name, document))
        waiting += [(child, within) for child in reversed(below)]
    return order, inside


class _NoImage(RowRejected):
    """A page without an image."""


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
        try:
            picture, quad = self.located(place)
        except _NoImage:
            if own := self._image(item):
                return own
            raise
        return regions.crop(picture, quad)

    def located(self, place: Mapping[str, Any]) -> tuple[Picture, regions.Quad]:
        """The image of the page that a place is on, and where it is in the image."""
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
            except RowRejected as error:
                raise _NoImage(error.code, error.message, place=error.place, hint=error.hint) from error
        picture, factors = self.known[number]
        box = place.get("bbox")
        if not isinstance(box, dict):
            raise RowRejected("source.geometry", "no box")
        left, top, right, bottom = (regions.number(box.get(side), side) for side in "ltrb")
        if box.get("coord_origin", "TOPLEFT") == "BOTTOMLEFT":
            top = height - top
            bottom = height - bottom
        return picture, regions.scaled(regions.box(left, top, right, bottom), factors)

    def size(self, number: str) -> tuple[int, int] | None:
        """Width and height of the image of a page that was looked at."""
        return regions.size_of(self.known[number][0]) if number in self.known else None

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
        served=True,
    )
}
