"""PAGE XML (PRImA, Transkribus, eScriptorium, OCR-D): text lines and tables, cut out of their pages.

A line (PAGE 2013-07-15 as Transkribus writes it, shortened):

    <Page imageFilename="0001.jpg" imageWidth="1000" imageHeight="1500"><TextRegion id="r1"><TextLine id="l1">
      <Coords points="10,20 500,20 500,60 10,60"/><Baseline points="10,55 500,55"/>
      <TextEquiv index="0"><Unicode>Kurtze Vorrede</Unicode></TextEquiv></TextLine></TextRegion></Page>

Every version of the namespace is read, also files without one, and the old `<Coords><Point x="10" y="20"/>…</Coords>`.

- The text is that of the TextEquiv with the lowest index; one without an index counts only where none has any, and
  then the first, as OCR-D takes them. A line without text has that of its words, joined as `sft.markup.words` says
  (without a blank where a `<Relation type="join">` ties two together), a word without any TextEquiv that of its
  glyphs. A region whose lines have no text, but which has one itself, is one sample.
- The outline is that of `Coords`; a line with a `Baseline` alone has no crop and is rejected.
- A TableRegion with `TableCell` (Transkribus) or with `Roles/TableCellRole` (PAGE 2019) also gives a table; its lines
  are lines as well. With --task, only lines (ocr) or tables (table) are part of the source.
- With --as-served the regions are the samples, not their lines: the pipeline shows the model a block at a time. The
  text is that of the lines, one below the other; a region with a line that nobody has read is rejected. Regions of
  type paragraph, or of none, are what is joined, in the order of `ReadingOrder`. What is inside a TableRegion belongs
  to the table, which needs cells; a picture in it belongs to the cell whose Coords it lies in.
- The image may have another size than the page says, as long as it has the same shape;
  `sft.formats.shared.page_images` says where it is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sft.errors import RowRejected
from sft.files import Unit
from sft.formats.base import Format, Item, Note, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import Kind, page_images, regions, rows, served, xml_safe
from sft.images import Box, Mark, box_of
from sft.markup import PLACEHOLDERS, Cell, Grid, join_words
from sft.types import Task

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_CELLS = 100_000  # of one table
MAX_CUSTOM = 4096  # characters of an attribute that are searched
# regions that the pipeline would see, and as what
REGIONS: dict[str, Kind] = {
    "TextRegion": "text",
    "TableRegion": "table",
    "MathsRegion": "formula",
    "ChartRegion": "chart",
    **dict.fromkeys(("ImageRegion", "GraphicRegion", "LineDrawingRegion", "MapRegion"), "image"),
}
_STRUCTURE = re.compile(r"\bstructure\s{0,9}\{[^}]{0,200}?\btype\s{0,9}:\s{0,9}([\w-]{1,40})")
NO_INDEX = 10**9  # behind all that have one
Joined = frozenset[tuple[str, str]]  # ids of words without a blank between them


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Pages: the file, or every .xml below a folder."""
    yield from regions.xml_units(source, (".xml",), options)


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """One item per line, one per table."""
    for source in unit.payload:
        name = regions.relative(source.path, unit.path)
        yield from regions.read_pages(
            source.path,
            name,
            "Page",
            partial(_items, source, name, unit.path, options),
        )


def _items(
    source: page_images.PageDocument,
    name: str,
    root: Path,
    options: SourceOptions,
    pages: list[_Element],
    document: xml_safe.Document,
) -> Iterator[ReadItem]:
    page = pages[0]
    try:
        picture = page_images.image_beside(
            page.get("imageFilename", ""), source.path, root, options, contested=source.contested
        )
        width, height = (regions.number(page.get(key, "0"), key) for key in ("imageWidth", "imageHeight"))
        factors = regions.scale(picture, width, height)
    except RowRejected as error:
        yield Reject(name, error.code, str(error))
        return
    joined = _joined(page)
    if options.as_served:
        yield from _Blocks(document, page, picture, factors, name, options).rows()
        return
    for element in document.iter("TextLine", "TableRegion", "TextRegion"):
        kind = xml_safe.local(element)
        if kind == "TextRegion" and not _is_alone(element):
            continue
        task = Task.TABLE if kind == "TableRegion" else Task.OCR
        if options.task in (None, task) or (task is Task.OCR and options.task is Task.FORMULA):
            item = _item(
                f"{name}#{element.get('id', '')}",
                element,
                task,
                picture,
                factors,
                name,
                options,
                joined,
            )
            if item is not None:
                yield item


class _Blocks:
    """The regions of a page, as the PaddleOCR pipeline would ask for them."""

    def __init__(
        self,
        document: xml_safe.Document,
        page: _Element,
        picture: Picture,
        factors: tuple[float, float],
        name: str,
        options: SourceOptions,
    ) -> None:
        self.document, self.page, self.picture, self.factors = document, page, picture, factors
        self.name, self.options = name, options
        self.joined = _joined(page)

    def rows(self) -> Iterator[ReadItem]:
        """What the page becomes."""
        elements = [element for element in self.document.iter(*REGIONS) if self._is_block(element)]
        blocks = [self._block(element) for element in elements]
        for element in elements:
            if xml_safe.local(element) == "TextRegion" and not _type_of(element):
                yield Note("TextRegions without a type are taken as paragraphs")
        ranks = _reading_order(self.page)
        last = len(ranks)
        order = sorted(range(len(elements)), key=lambda index: ranks.get(elements[index].get("id", ""), last))
        yield from served.served_rows(served.ServedPage(blocks, order, regions.size_of(self.picture)))

    def _is_block(self, element: _Element) -> bool:
        if xml_safe.local(element) != "TextRegion":
            return True
        if next(element.iterancestors("{*}TableRegion"), None) is not None:
            return False
        regions_inside = next(element.iterchildren("{*}TextRegion"), None)
        if regions_inside is None:
            return True
        lines = next(element.iterchildren("{*}TextLine"), None)
        return lines is not None

    def _block(self, element: _Element) -> served.Block:
        name = xml_safe.local(element)
        kind = REGIONS[name]
        if name == "TextRegion":
            kind = "text" if _type_of(element) in ("", "paragraph") else "other"
        try:
            quad = regions.scaled(_outline(element), self.factors)
        except RowRejected:
            quad = ()
        read: ReadItem | None = None
        if name == "TextRegion" and self.options.task in (None, Task.OCR):
            read = self._text(element, quad)
        if name == "TableRegion" and self.options.task in (None, Task.TABLE):
            read = self._table(element)
            if isinstance(read, Item):
                return served.Block(kind, quad, read, partial(self._marked, element, read))
        return served.Block(kind, quad, read)

    def _where(self, element: _Element) -> str:
        return f"{self.name}#{element.get('id', '')}"

    def _text(self, region: _Element, quad: regions.Quad) -> ReadItem:
        """The row of a region, with the text of all of its lines."""
        lines = [(line.get("id", ""), _text(line, self.joined)) for line in region.iterchildren("{*}TextLine")]
        text = "\n".join(line for _, line in lines) if any(line for _, line in lines) else _own_text(region)
        unread = [name for name, line in lines if line in ("", *PLACEHOLDERS)]
        try:
            if unread and text != _own_text(region):
                raise RowRejected("target.empty", f"the line {unread[0]!r} of this region has no text")
            if not quad:
                _outline(region)  # says what is wrong with it
        except RowRejected as error:
            return Reject(self._where(region), error.code, str(error), text[: rows.RAW])
        return regions.item(
            self._where(region),
            text[: rows.RAW],
            text,
            regions.crop(self.picture, quad),
            task=Task.OCR,
            group=self.name,
        )

    def _table(self, table: _Element) -> ReadItem:
        where = self._where(table)
        read = _item(where, table, Task.TABLE, self.picture, self.factors, self.name, self.options, self.joined)
        return read or Reject(where, "source.inexpressible", "a table that nobody cut into cells")

    def _marked(self, table: _Element, read: Item, marks: Sequence[Mark]) -> ReadItem | None:
        """The row of a table with the marks of its pictures in their cells."""
        boxes: list[Box | None] = []
        with_elements = list(_cells_with_elements(table))
        for _, element in with_elements:
            try:
                boxes.append(box_of(regions.scaled(_outline(element), self.factors)))
            except RowRejected:
                boxes.append(None)
        cells = served.marked_cells([placed for placed, _ in with_elements], boxes, marks)
        if cells is None:
            return None
        return regions.item(
            read.where,
            "",
            _grid(cells),
            read.picture,
            task=Task.TABLE,
            group=self.name,
        )


def _type_of(region: _Element) -> str:
    """What kind of text a region says it is: by its type, or as Transkribus writes it."""
    match = _STRUCTURE.search(region.get("custom", "")[:MAX_CUSTOM])
    return region.get("type", "") or (match[1] if match else "")


def _reading_order(page: _Element) -> dict[str, int]:
    """id of a region → its place in the order of reading; empty where the page states none."""
    order: dict[str, int] = {}
    waiting: list[_Element] = list(page.iterchildren("{*}ReadingOrder"))
    while waiting:
        element = waiting.pop()
        if reference := element.get("regionRef"):
            order.setdefault(reference, len(order))
        waiting += sorted(
            element.iterchildren("{*}*", reversed=True),
            key=_index,
            reverse=True,
        )
    return order


def _index(element: _Element) -> int:
    index = element.get("index", "")
    return int(index) if index.isdecimal() and len(index) < 10 else NO_INDEX


def _item(
    where: str,
    element: _Element,
    task: Task,
    picture: Picture,
    factors: tuple[float, float],
    group: str,
    options: SourceOptions,
    joined: Joined,
) -> ReadItem | None:
    label: str | Grid = ""
    try:
        if task is Task.TABLE:
            cells = _cells(element)
            if not cells:
                return None  # a region that nobody cut into cells; its lines are lines
            label = _grid(cells)
        else:
            label = _text(element, joined)
        quad = regions.scaled(_outline(element), factors)
    except RowRejected as error:
        return Reject(
            where,
            error.code,
            str(error),
            _raw(label),
        )
    return regions.item(
        where,
        _raw(label),
        label,
        regions.crop(picture, quad),
        task=options.task or task,
        group=group,
    )


def _raw(label: str | Grid) -> str:
    """The beginning of a label, as a Reject shows it."""
    return (label if isinstance(label, str) else " | ".join(cell.text for _, _, cell in label.cells))[: rows.RAW]


def _is_alone(region: _Element) -> bool:
    """Whether a text is written at this region, and nowhere inside it."""
    return bool(_own_text(region)) and not any(
        _text(inner) for inner in region.iterchildren("{*}TextLine", "{*}TextRegion")
    )


def _outline(element: _Element) -> regions.Quad:
    coords = next(element.iterchildren("{*}Coords"), None)
    if coords is None:
        raise RowRejected("source.geometry", "no <Coords>")
    if coords.get("points"):
        return regions.polygon(regions.points_of(coords.get("points", "")))
    return regions.polygon(
        regions.pairs([[point.get("x", ""), point.get("y", "")] for point in coords.iterchildren("{*}Point")])
    )


def _text(element: _Element, joined: Joined = frozenset()) -> str:
    """The text of a line, cell, region or word: its own, else that of the smaller things in it."""
    if own := _own_text(element):
        return own
    lines = [_text(child, joined) for child in element.iterchildren("{*}TextLine")]
    if any(lines):
        return "\n".join(filter(None, lines))
    words: list[str] = []
    before = ""
    for word in element.iterchildren("{*}Word"):
        if text := _own_text(word) or _glyphs(word):
            if words and (before, word.get("id", "")) in joined:
                words[-1] += text
            else:
                words.append(text)
        before = word.get("id", "")
    return join_words(words)


def _glyphs(word: _Element) -> str:
    """What the glyphs of a word say; nothing where the word has a TextEquiv, for then somebody emptied it."""
    if next(word.iterchildren("{*}TextEquiv"), None) is not None:
        return ""
    return "".join([_own_text(glyph) for glyph in word.iterchildren("{*}Glyph")])


def _joined(page: _Element) -> Joined:
    """The pairs of words that a relation ties together."""
    pairs = set()
    for relations in page.iterchildren("{*}Relations"):
        for relation in relations.iterchildren("{*}Relation"):
            ids = [reference.get("regionRef", "") for reference in relation]
            if relation.get("type") == "join" and len(ids) == 2:
                pairs.add((ids[0], ids[1]))
    return frozenset(pairs)


def _own_text(element: _Element) -> str:
    """The text of the TextEquiv with the lowest index; where none has one, of the first."""
    texts: list[tuple[int, str]] = []
    for equiv in element.iterchildren("{*}TextEquiv"):
        unicode = next(equiv.iterchildren("{*}Unicode"), None)
        if unicode is None:
            unicode = next(equiv.iterchildren("{*}PlainText"), None)
        if unicode is not None:
            index = equiv.get("index", "")
            rank = int(index) if index.removeprefix("-").isdecimal() and len(index) < 10 else NO_INDEX
            texts.append((rank, xml_safe.text_of(unicode).strip()))
    return min(texts, key=lambda equiv: equiv[0])[1] if texts else ""


def _cells(table: _Element) -> list[tuple[int, int, Cell]]:
    return [placed for placed, _ in _cells_with_elements(table)]


def _cells_with_elements(table: _Element) -> Iterator[tuple[tuple[int, int, Cell], _Element]]:
    """Row, column and cell of each, with the element that has its outline."""
    for cell in table.iter("{*}TableCell"):
        placed = Cell(_text(cell), _whole(cell, "rowSpan", 1), _whole(cell, "colSpan", 1))
        yield (_whole(cell, "row"), _whole(cell, "col"), placed), cell
    for role in table.iter("{*}TableCellRole"):
        roles = role.getparent()
        region = roles.getparent() if roles is not None else None
        if region is not None:
            header = role.get("header", "") in ("true", "1")
            placed = Cell(_text(region), _whole(role, "rowSpan", 1), _whole(role, "colSpan", 1), header)
            yield (_whole(role, "rowIndex"), _whole(role, "columnIndex"), placed), region


def _whole(element: _Element, name: str, default: int | None = None) -> int:
    value = element.get(
        name,
        "" if default is None else str(default),
    )
    if not value.isdecimal() or len(value) > 4:
        raise RowRejected("source.shape", f"{name} of a table cell is {value[:20]!r}")
    return max(int(value), default or 0)


def _grid(cells: list[tuple[int, int, Cell]]) -> Grid:
    height = max(row + 1 for row, _, _ in cells)
    width = max(column + 1 for _, column, _ in cells)
    if height * width > MAX_CELLS:
        raise RowRejected("source.too_large", f"a table of {height} x {width} cells")
    return Grid.from_sparse(cells)


FORMATS = {
    "page-xml": Format(
        "page-xml",
        "PAGE XML: lines and tables with their text, cut out of their pages",
        "https://github.com/PRImA-Research-Lab/PAGE-XML (pagecontent/schema)",
        '<TextLine id="l1"><Coords points="10,20 500,20 500,60 10,60"/><TextEquiv index="0"><Unicode>Kurtze'
        " Vorrede</Unicode></TextEquiv></TextLine>",
        (Task.OCR, Task.TABLE),
        units,
        read,
        served=True,
    )
}
