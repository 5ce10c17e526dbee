"""hOCR (Tesseract, OCRopus, Internet Archive): text lines, cut out of their pages.

A line as Tesseract writes it:

    <span class='ocr_line' id='line_1_1' title="bbox 36 92 618 184; baseline 0 -5; x_size 61"><span class='ocrx_word'
      id='word_1_1' title='bbox 36 92 96 116; x_wconf 90'>This</span> <span class='ocrx_word'>is</span></span>

HTML and XHTML are both read as HTML. Lines are ocr_line, ocrx_line and what Tesseract calls lines of another kind
(ocr_header, ocr_footer, ocr_caption, ocr_textfloat, ocr_pageno); one that holds other lines is their frame. How the
text of a line is read says `sft.formats.shared.hocr_text`. `ocr_page` names the image (`image "a.png"`);
`sft.formats.shared.page_images` says where it is looked for. Pages after the first of one image (a TIFF of many pages)
are rejected. What hOCR says was recognised by a program: correct it before training on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sft.errors import RowRejected
from sft.files import Unit
from sft.formats.base import Format, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import hocr_text, page_images, regions, rows, xml_safe
from sft.markup import program_of
from sft.types import Task

if TYPE_CHECKING:
    from lxml.etree import _Element

_IMAGE = re.compile(r"""(?:^|;)\s*image\s+(?:"([^"]*)"|'([^']*)'|([^;"']+))""")


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Documents: the file, or every .hocr, .html, .htm or .xhtml below a folder."""
    root, paths = regions.files(source, (".hocr", ".html", ".htm", ".xhtml"))
    yield from page_images.units(paths, root, options)


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """One item per line."""
    for document in unit.payload:
        yield from _file(
            document,
            regions.relative(document.path, unit.path),
            unit.path,
            options,
        )


def _file(source: page_images.PageDocument, name: str, root: Path, options: SourceOptions) -> Iterator[ReadItem]:
    document = xml_safe.read_html(source.path)
    if isinstance(document, xml_safe.XmlFault):
        yield Reject(name, document.code, document.message)
        return
    seen: set[Path | str] = set()
    number = 0
    program = _program(document.root)
    for page in hocr_text.of_class(document.root, {"ocr_page"}):
        number += 1
        where = f"{name}#{page.get('id') or number}"
        try:
            picture = page_images.image_beside(
                _image(page),
                source.path,
                root,
                options,
                contested=source.contested,
            )
            if (key := picture.path or picture.url) in seen:
                raise RowRejected("source.inexpressible", "another page of the same image")
            seen.add(key)
            factors = _factors(page, picture)
        except RowRejected as error:
            yield Reject(
                where,
                error.code,
                str(error),
                page.get("title", "")[: rows.RAW],
            )
            continue
        reader = hocr_text.HocrPage(page, program)
        for index, line in enumerate(reader.lines()):
            if line not in document.open:
                where = f"{name}#{line.get('id') or f'{number}.{index}'}"
                yield _item(where, line, reader, picture, factors, name, options)
    if not number:
        yield Reject(name, "source.shape", "no element of class ocr_page")
    if document.fault:
        yield Reject(name, document.fault.code, document.fault.message)


def _program(root: _Element) -> str:
    metas = [meta for meta in root.iter("meta") if meta.get("name") == "ocr-system"]
    return program_of(meta.get("content", "") for meta in metas)


def _image(page: _Element) -> str:
    match = _IMAGE.search(page.get("title", ""))
    return next(filter(None, match.groups()), "").strip() if match else ""


def _factors(page: _Element, picture: Picture) -> tuple[float, float]:
    """Boxes are in pixels of the image that was read; the one that is here may be smaller."""
    sides = hocr_text.box_of(page)
    return (
        regions.scale(picture, sides[2] - sides[0], sides[3] - sides[1])
        if sides and not sides[0] and not sides[1]
        else (1.0, 1.0)
    )


def _item(
    where: str,
    line: _Element,
    page: hocr_text.HocrPage,
    picture: Picture,
    factors: tuple[float, float],
    group: str,
    options: SourceOptions,
) -> ReadItem:
    try:
        text = page.text(line)
        sides = hocr_text.box_of(line)
        if sides is None:
            raise RowRejected("source.geometry", "no bbox in the title")
        quad = regions.scaled(regions.box(*sides), factors)
    except RowRejected as error:
        return Reject(
            where,
            error.code,
            str(error),
            hocr_text.plain(line)[: rows.RAW],
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
