"""hOCR (Tesseract, OCRopus, Internet Archive): text lines, cut out of their pages.

A line as Tesseract writes it:

    <span class='ocr_line' id='line_1_1' title="bbox 36 92 618 184; baseline 0 -5; x_size 61"><span class='ocrx_word'
      id='word_1_1' title='bbox 36 92 96 116; x_wconf 90'>This</span> <span class='ocrx_word'>is</span></span>

HTML and XHTML are both read as HTML. Lines are ocr_line, ocrx_line and what Tesseract calls lines of another kind
(ocr_header, ocr_footer, ocr_caption, ocr_textfloat, ocr_pageno). The text is that of the words (ocrx_word), with a
space between; where a line has no words, all its text. `ocr_page` names the image (`image "a.png"`); it is looked for
beside the file, then by the name of the file. Pages after the first of one image (a TIFF of many pages) are rejected.
What hOCR says was recognised by a program: correct it before training on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sft.files import Unit, file_units
from sft.formats.base import Format, Options, Picture, Read, Reject
from sft.formats.shared import regions, rows, xml_safe
from sft.markup import MarkupError
from sft.types import Task

if TYPE_CHECKING:
    from lxml.etree import _Element

LINES = {"ocr_line", "ocrx_line", "ocr_header", "ocr_footer", "ocr_caption", "ocr_textfloat", "ocr_pageno"}
_BOX = re.compile(r"(?:^|;)\s*bbox\s+(-?\d{1,7})\s+(-?\d{1,7})\s+(-?\d{1,7})\s+(-?\d{1,7})")
_IMAGE = re.compile(r"""(?:^|;)\s*image\s+(?:"([^"]*)"|'([^']*)'|([^;"']+))""")


def units(source: Path, options: Options) -> Iterator[Unit]:
    """Documents: the file, or every .hocr, .html, .htm or .xhtml below a folder."""
    root, paths = regions.files(source, (".hocr", ".html", ".htm", ".xhtml"))
    yield from file_units(paths, root)


def read(unit: Unit, options: Options) -> Iterator[Read]:
    """One item per line."""
    for path in unit.payload:
        yield from _file(
            path,
            regions.relative(path, unit.path),
            unit.path,
            options,
        )


def _file(path: Path, name: str, root: Path, options: Options) -> Iterator[Read]:
    document = xml_safe.read_html(path)
    if isinstance(document, xml_safe.Fault):
        yield Reject(name, document.code, document.message)
        return
    seen: set[Path | str] = set()
    number = 0
    for page in _of_class(document.root, {"ocr_page"}):
        number += 1
        where = f"{name}#{page.get('id') or number}"
        try:
            picture = regions.image_beside(_image(page), path, root, options)
            if (key := picture.path or picture.url) in seen:
                raise MarkupError("source.inexpressible", "another page of the same image")
            seen.add(key)
            factors = _factors(page, picture)
        except MarkupError as error:
            yield Reject(
                where,
                error.code,
                str(error),
                page.get("title", "")[: rows.RAW],
            )
            continue
        for index, line in enumerate(_of_class(page, LINES)):
            if line not in document.open:
                yield _item(
                    f"{name}#{line.get('id') or f'{number}.{index}'}",
                    line,
                    picture,
                    factors,
                    name,
                    options,
                )
    if not number:
        yield Reject(name, "source.shape", "no element of class ocr_page")
    if document.fault:
        yield Reject(name, document.fault.code, document.fault.message)


def _of_class(element: _Element, names: set[str]) -> Iterator[_Element]:
    for found in element.iter():
        if not names.isdisjoint((found.get("class") or "").split()):
            yield found


def _image(page: _Element) -> str:
    found = _IMAGE.search(page.get("title", ""))
    return next(filter(None, found.groups()), "").strip() if found else ""


def _box(element: _Element) -> tuple[float, float, float, float] | None:
    found = _BOX.search(element.get("title", ""))
    if not found:
        return None
    left, top, right, bottom = (float(value) for value in found.groups())
    return left, top, right, bottom


def _factors(page: _Element, picture: Picture) -> tuple[float, float]:
    """Boxes are in pixels of the image that was read; the one that is here may be smaller."""
    sides = _box(page)
    return (
        regions.scale(picture, sides[2] - sides[0], sides[3] - sides[1])
        if sides and not sides[0] and not sides[1]
        else (1.0, 1.0)
    )


def _item(
    where: str, line: _Element, picture: Picture, factors: tuple[float, float], group: str, options: Options
) -> Read:
    words = [" ".join(xml_safe.text_of(word).split()) for word in _of_class(line, {"ocrx_word", "ocr_word"})]
    text = " ".join(filter(None, words)) if words else " ".join(xml_safe.text_of(line).split())
    try:
        sides = _box(line)
        if sides is None:
            raise MarkupError("source.geometry", "no bbox in the title")
        quad = regions.scaled(regions.box(*sides), factors)
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


FORMATS = {
    "hocr": Format(
        "hocr",
        "hOCR: lines with their text, cut out of their pages",
        "http://kba.github.io/hocr-spec/1.2/",
        "<span class='ocr_line' id='line_1_1' title=\"bbox 36 92 618 184; baseline 0 -5\"><span class='ocrx_word'"
        " title='bbox 36 92 96 116; x_wconf 90'>This</span></span>",
        (Task.OCR,),
        units,
        read,
    )
}
