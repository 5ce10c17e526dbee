"""UniMER-1M and UniMER-Test: one LaTeX formula a line; line i (from 0) belongs to the image with the number i.

    UniMER-1M/train.txt     line 124: \\alpha _ { 1 } ^ { r } \\gamma _ { 1 } + \\dots
    UniMER-1M/images/0000123.png

As in the loader of opendatalab/UniMERNet (issues #8 and #52 there say why): images carry the number of their line with
seven digits, blank lines keep theirs, and the training set has about 75,000 more lines than images, because some
formulas could not be drawn and those of HME100K come with HME100K: they are rejected as image.missing. A blank line
without an image is no row. UniMER-Test has `spe.txt` beside `spe/`, and so on. A folder without `train.txt` needs
`--split`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sft.errors import UsageError
from sft.files import MAX_LINE_BYTES, Unit, line_units, unit_lines
from sft.formats.base import Format, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import BOM, begin, decode_line, item, source_file
from sft.types import Task

DIGITS = 7


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Lines of the formula file; in a folder `SPLIT.txt`, else `train.txt`."""
    path = source_file(source, (f"{options.split or 'train'}.txt",), "unimer")
    if not (folder := options.images or _images(path)).is_dir():
        raise UsageError("no folder of images", where=str(folder), hint="--images FOLDER names it")
    yield from line_units(path)


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """An Item or a Reject for every line that holds a formula or has an image."""
    folder = options.images or _images(unit.path)
    for number, line, too_long in unit_lines(unit):
        image = folder / f"{number - 1:0{DIGITS}}.png"
        where = f"{unit.name}:{number}"
        there = os.path.isfile(image)
        if too_long:
            yield Reject(
                where,
                "source.too_large",
                f"more than {MAX_LINE_BYTES:,} bytes in one line",
                begin(line),
            )
            continue
        text = decode_line(
            where,
            line.removeprefix(BOM) if number == 1 else line,
        )
        if isinstance(text, Reject):
            yield text
        elif there:
            yield item(
                where,
                text,
                text,
                Picture(path=image, turn=options.turn),
                options,
                task=Task.FORMULA,
            )
        elif text.strip():
            yield Reject(
                where,
                "image.missing",
                f"no image {image.name}",
                begin(line),
                missing=image,
            )


def _images(path: Path) -> Path:
    """`spe/` beside `spe.txt`, `images/` beside `train.txt`."""
    own = path.with_suffix("")
    return own if own.is_dir() else path.parent / "images"


FORMATS = {
    "unimer": Format(
        name="unimer",
        title="UniMER-1M and UniMER-Test (line i of train.txt, images/000000i.png)",
        origin="https://huggingface.co/datasets/wanderkid/UniMER_Dataset",
        example="\\alpha _ { 1 } ^ { r } \\gamma _ { 1 } + \\dots",
        tasks=(Task.FORMULA,),
        units=units,
        read=read,
        splits="NAME of NAME.txt, such as train",
    )
}
