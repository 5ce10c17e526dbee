"""ALTO 2 to 4 (Library of Congress; national libraries, Gallica, eScriptorium, ABBYY): text lines, cut out of their
pages.

A line (from Delpher, the newspapers of the Dutch national library, shortened):

    <TextLine ID="P1_TL00560" HPOS="2598" VPOS="3119" WIDTH="365" HEIGHT="35">
      <String ID="P1_ST03571" HPOS="2598" VPOS="3122" WIDTH="196" HEIGHT="28" CONTENT="deraardsche" SUBS_TYPE="HypPart2"
      SUBS_CONTENT="onderaardsche"/> <SP/><String CONTENT="wateren"/></TextLine>

- The text of a line is what its crop shows: CONTENT of the strings, a space for each SP, and the hyphen of HYP.
  SUBS_CONTENT,
  the whole word of two halves on two lines, is not used. Lines without any SP have their strings joined with spaces.
- The outline is `Shape/Polygon`, else the box of the line, else the box around its strings.
- `MeasurementUnit` pixel, mm10 (tenths of a millimetre) or inch1200: the page's WIDTH and HEIGHT, in the same unit, are
  laid on the image, which must have the same shape. An image that is no file here can be used with pixels only.
- `fileName` names the image; it is looked for beside the file, and, for files in a folder `alto`, in the folder above.
  Pages after the first of one file share its image, and are rejected.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sft.files import Unit
from sft.formats.base import Format, Options, Picture, Read, Reject
from sft.formats.shared import regions, rows, xml_safe
from sft.markup import MarkupError
from sft.types import Task

if TYPE_CHECKING:
    from lxml.etree import _Element

UNITS = ("pixel", "mm10", "inch1200")


def units(source: Path, options: Options) -> Iterator[Unit]:
    """Pages: the file, or every .xml or .alto below a folder."""
    yield from regions.xml_units(source, (".xml", ".alto"))


def read(unit: Unit, options: Options) -> Iterator[Read]:
    """One item per line."""
    for path in unit.payload:
        name = regions.relative(path, unit.path)
        yield from regions.read_pages(
            path,
            name,
            "Page",
            partial(_items, path, name, unit.path, options),
        )


def _items(
    path: Path, name: str, root: Path, options: Options, pages: list[_Element], document: xml_safe.Document
) -> Iterator[Read]:
    for page in pages[1:]:
        yield Reject(
            f"{name}#{page.get('ID', '')}", "source.inexpressible", "another page of the same image", hint_of(page)
        )
    try:
        picture = regions.image_beside(_file_name(document.root), path, root, options)
        factors = _factors(document.root, pages[0], picture)
    except MarkupError as error:
        yield Reject(name, error.code, str(error))
        return
    for line in pages[0].iter("{*}TextLine"):
        if line not in document.open:
            yield _item(
                f"{name}#{line.get('ID', '')}",
                line,
                picture,
                factors,
                name,
                options,
            )


def hint_of(page: _Element) -> str:
    """The beginning of a page, for a Reject."""
    return f"<Page ID={page.get('ID', '')!r} PHYSICAL_IMG_NR={page.get('PHYSICAL_IMG_NR', '')!r}>"[: rows.RAW]


def _first(root: _Element, name: str) -> str:
    found = next(root.iter("{*}" + name), None)
    return xml_safe.text_of(found).strip() if found is not None else ""


def _file_name(root: _Element) -> str:
    source = next(root.iter("{*}sourceImageInformation"), None)
    return _first(source, "fileName") if source is not None else ""


def _factors(root: _Element, page: _Element, picture: Picture) -> tuple[float, float]:
    unit = _first(root, "MeasurementUnit") or "pixel"
    if unit not in UNITS:
        raise MarkupError(
            "source.shape",
            f"MeasurementUnit is {unit[:40]!r}, expected {', '.join(UNITS)}",
        )
    width, height = (regions.number(page.get(key, "0"), key) for key in ("WIDTH", "HEIGHT"))
    if unit != "pixel" and not (width > 0 and height > 0 and regions.size_of(picture)):
        missing = "the page has no WIDTH and HEIGHT" if not (width > 0 and height > 0) else "the image cannot be read"
        raise MarkupError("source.geometry", f"positions are in {unit}, and {missing}")
    return regions.scale(picture, width, height)


def _item(
    where: str, line: _Element, picture: Picture, factors: tuple[float, float], group: str, options: Options
) -> Read:
    text = _text(line)
    try:
        quad = regions.scaled(_outline(line), factors)
    except MarkupError as error:
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


def _text(line: _Element) -> str:
    parts: list[str] = []
    spaced = next(line.iterchildren("{*}SP"), None) is not None
    for child in line.iterchildren("{*}String", "{*}SP", "{*}HYP"):
        kind = xml_safe.local(child)
        if kind == "SP":
            parts.append(" ")
        elif kind == "HYP":
            hyphen = child.get("CONTENT", "-").replace("\N{SOFT HYPHEN}", "-")
            if not "".join(parts).rstrip().endswith(hyphen or "-"):  # some write it into the string as well
                parts.append(hyphen)
        else:
            parts += [" "] if parts and not spaced else []
            parts.append(child.get("CONTENT", ""))
    return "".join(parts).strip()


def _outline(line: _Element) -> regions.Quad:
    shape = next(line.iterchildren("{*}Shape"), None)
    outline = next(shape.iterchildren("{*}Polygon"), None) if shape is not None else None
    if outline is not None and outline.get("POINTS"):
        return regions.polygon(regions.points_of(outline.get("POINTS", "")))
    if line.get("WIDTH") is not None:
        return regions.box(*_sides(line))
    sides = [_sides(child) for child in line.iterchildren("{*}String") if child.get("WIDTH") is not None]
    if not sides:
        raise MarkupError("source.geometry", "neither the line nor its strings have a place")
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
