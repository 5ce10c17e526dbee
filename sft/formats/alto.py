"""ALTO 2 to 4 (Library of Congress; national libraries, Gallica, eScriptorium, ABBYY): text lines, cut out of their
pages.

A line (from Delpher, the newspapers of the Dutch national library, shortened):

    <TextLine ID="P1_TL00560" HPOS="2598" VPOS="3119" WIDTH="365" HEIGHT="35">
      <String ID="P1_ST03571" HPOS="2598" VPOS="3122" WIDTH="196" HEIGHT="28" CONTENT="deraardsche" SUBS_TYPE="HypPart2"
      SUBS_CONTENT="onderaardsche"/> <SP/><String CONTENT="wateren"/></TextLine>

- The text of a line is what its crop shows: CONTENT of the strings and the hyphen of HYP, a soft one as well, once
  where both have it. SUBS_CONTENT, the whole word of two halves on two lines, is not used, nor are ALTERNATIVE and
  the Glyphs of a string that has a CONTENT. Strings are joined as words are (`sft.markup.words`), whether an SP
  stands between them or not: files leave SP out where there is a blank, and Tesseract puts one between any two
  pieces.
- The outline is `Shape/Polygon`, else the box of the line, else the box around its strings.
- `MeasurementUnit` pixel, mm10 (tenths of a millimetre) or inch1200: the page's WIDTH and HEIGHT, in the same unit,
  are laid on the image, which must have the same shape. An image that is no file here can be used with pixels only.
- `fileName` names the image; `sft.formats.shared.page_images` says where it is looked for. Pages after the first of
  one file share its image, and are rejected.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sft.errors import RowRejected
from sft.files import Unit
from sft.formats.base import Format, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import page_images, regions, rows, xml_safe
from sft.markup import HYPHENS, SOFT_HYPHEN, join_words, program_of
from sft.types import Task

if TYPE_CHECKING:
    from lxml.etree import _Element

UNITS = ("pixel", "mm10", "inch1200")
HEIGHT_OF_LETTERS = 1.25  # heights of a line's box; so much is Tesseract's x_size, which ALTO lacks, in the median


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Pages: the file, or every .xml or .alto below a folder."""
    yield from regions.xml_units(source, (".xml", ".alto"), options)


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """One item per line."""
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
    for page in pages[1:]:
        yield Reject(
            f"{name}#{page.get('ID', '')}", "source.inexpressible", "another page of the same image", hint_of(page)
        )
    try:
        picture = page_images.image_beside(
            _file_name(document.root), source.path, root, options, contested=source.contested
        )
        factors = _factors(document.root, pages[0], picture)
    except RowRejected as error:
        yield Reject(name, error.code, str(error))
        return
    program = _program(document.root)
    for line in pages[0].iter("{*}TextLine"):
        if line not in document.open:
            yield _item(
                f"{name}#{line.get('ID', '')}",
                line,
                picture,
                factors,
                name,
                options,
                program,
            )


def hint_of(page: _Element) -> str:
    """The beginning of a page, for a Reject."""
    return f"<Page ID={page.get('ID', '')!r} PHYSICAL_IMG_NR={page.get('PHYSICAL_IMG_NR', '')!r}>"[: rows.RAW]


def _first(root: _Element, name: str) -> str:
    element = next(root.iter("{*}" + name), None)
    return xml_safe.text_of(element).strip() if element is not None else ""


def _file_name(root: _Element) -> str:
    source = next(root.iter("{*}sourceImageInformation"), None)
    return _first(source, "fileName") if source is not None else ""


def _factors(root: _Element, page: _Element, picture: Picture) -> tuple[float, float]:
    unit = _first(root, "MeasurementUnit") or "pixel"
    if unit not in UNITS:
        raise RowRejected(
            "source.shape",
            f"MeasurementUnit is {unit[:40]!r}, expected {', '.join(UNITS)}",
        )
    width, height = (regions.number(page.get(key, "0"), key) for key in ("WIDTH", "HEIGHT"))
    if unit != "pixel" and not (width > 0 and height > 0 and regions.size_of(picture)):
        missing = "the page has no WIDTH and HEIGHT" if not (width > 0 and height > 0) else "the image cannot be read"
        raise RowRejected("source.geometry", f"positions are in {unit}, and {missing}")
    return regions.scale(picture, width, height)


def _item(
    where: str,
    line: _Element,
    picture: Picture,
    factors: tuple[float, float],
    group: str,
    options: SourceOptions,
    program: str,
) -> ReadItem:
    text = _text(line, program)
    try:
        quad = regions.scaled(_outline(line), factors)
    except RowRejected as error:
        return Reject(
            where,
            error.code,
            str(error),
            text[: rows.RAW],
        )
    return regions.item(
        where,
        text,
        text,
        regions.crop(picture, quad),
        task=options.task or Task.OCR,
        group=group,
    )


def _program(root: _Element) -> str:
    description = next(root.iterchildren("{*}Description"), None)
    if description is None:
        return ""
    return program_of(xml_safe.text_of(name) for name in description.iter("{*}softwareName"))


def _text(line: _Element, program: str) -> str:
    words: list[str] = []
    boxes: list[_Element] = []
    for child in line.iterchildren("{*}String", "{*}HYP"):
        if xml_safe.local(child) == "HYP":
            hyphen = child.get("CONTENT", "").strip() or "-"
            if not words:
                words.append(hyphen)
                boxes.append(child)
            elif not words[-1].endswith((*HYPHENS, SOFT_HYPHEN, hyphen)):  # some write it into the string as well
                words[-1] += hyphen
        elif content := (child.get("CONTENT") or _glyphs(child)).strip():
            words.append(content)
            boxes.append(child)
    return join_words(words, program, partial(_gaps, line, boxes))


def _glyphs(string: _Element) -> str:
    return "".join([glyph.get("CONTENT", "") for glyph in string.iterchildren("{*}Glyph")])


def _gaps(line: _Element, boxes: list[_Element]) -> list[float | None]:
    """The space before each string, in heights of the letters (HEIGHT_OF_LETTERS); None where it is not known."""
    gaps: list[float | None] = [None]
    for left, right in zip(boxes, boxes[1:], strict=False):
        try:
            size = HEIGHT_OF_LETTERS * regions.number(line.get("HEIGHT"), "HEIGHT")
            (start, _, _, _), (_, _, end, _) = _sides(right), _sides(left)
            gaps.append((start - end) / size if size > 0 else None)
        except RowRejected:
            gaps.append(None)
    return gaps


def _outline(line: _Element) -> regions.Quad:
    shape = next(line.iterchildren("{*}Shape"), None)
    outline = next(shape.iterchildren("{*}Polygon"), None) if shape is not None else None
    if outline is not None and outline.get("POINTS"):
        return regions.polygon(regions.points_of(outline.get("POINTS", "")))
    if line.get("WIDTH") is not None:
        return regions.box(*_sides(line))
    sides = [_sides(child) for child in line.iterchildren("{*}String") if child.get("WIDTH") is not None]
    if not sides:
        raise RowRejected("source.geometry", "neither the line nor its strings have a place")
    lefts, tops, rights, bottoms = zip(*sides, strict=True)
    return regions.box(
        min(lefts),
        min(tops),
        max(rights),
        max(bottoms),
    )


def _sides(element: _Element) -> tuple[float, float, float, float]:
    left, top, width, height = (
        regions.number(element.get(key, ""), key) for key in ("HPOS", "VPOS", "WIDTH", "HEIGHT")
    )
    return left, top, left + width, top + height


FORMATS = {
    "alto": Format(
        "alto",
        "ALTO XML: lines with their text, cut out of their pages",
        "https://www.loc.gov/standards/alto/",
        '<TextLine HPOS="2598" VPOS="3119" WIDTH="365" HEIGHT="35"><String CONTENT="deraardsche" SUBS_TYPE="HypPart2"'
        ' SUBS_CONTENT="onderaardsche"/><SP/><String CONTENT="wateren"/></TextLine>',
        (Task.OCR,),
        units,
        read,
    )
}
