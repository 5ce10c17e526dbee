"""Text lines that were drawn with PPOCRLabel: `Label.txt` in the folder that was opened, one image per line with its
boxes as JSON.

A line (from docs/datasets of PaddleOCR; the path starts with the name of the opened folder):

    ch4_test_images/img_61.jpg	[{"transcription": "MASA", "points": [[310, 104], [416, 141], [418, 216], [312, 179]]}]

PPOCRLabel adds `"difficult": false`, and `"key_cls"` in its key information mode, which only --as-served reads. Points
run clockwise from the top left of the text; a polygon of more than four gives the smallest rectangle around it.

- `###`, `*` and `difficult` mean "not to be used"; so do TEMPORARY and 待识别, which PPOCRLabel writes into a box until
  somebody types its text. All of them are rejected with source.ignored.
- `Label.txt` holds the images that somebody confirmed, `Cache.cach` the boxes a model found in the others. A folder
  means
  its Label.txt; Cache.cach is converted only where it is named itself. `fileState.txt` repeats, with paths of the
  machine it was written on, which images are confirmed, and is not needed.
- With --as-served, `key_cls` says what kind of block a box is, where it is one of the labels of the layout model (text,
  image, table, display_formula, paragraph_title …). A box without such a label is cut as it was drawn, with a warning:
  lines are no blocks, and what the pipeline would make of them is not known.
- With --task spotting a line is one sample: its whole picture, and all texts with their places.
- `rec_gt.txt` with `crop_img` is format paddleocr-rec, `gt.txt` of the table mode is pubtabnet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sft.errors import RowRejected, UsageError
from sft.files import Unit, line_units, page_bytes
from sft.formats.base import Format, Picture, ReadItem, Reject, SourceOptions, inside
from sft.formats.shared import json_stream, regions, rows, served, spotting
from sft.types import Task

IGNORED = {"###", "*"}
UNTYPED = {"TEMPORARY", "待识别"}


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Lines of Label.txt, or of the file named."""
    path = source
    if source.is_dir():
        path = source / "Label.txt"
        if not path.is_file():
            unconfirmed = (source / "Cache.cach").is_file()
            hint = (
                f"nothing is confirmed yet; for the unconfirmed labels of the model name {source / 'Cache.cach'}"
                if unconfirmed
                else "name the folder that was opened in PPOCRLabel"
            )
            raise UsageError("no Label.txt in this folder", where=str(source), hint=hint)
    yield from line_units(path, per=page_bytes(path))


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """One item per box."""
    for entry in rows.text_lines(unit):
        if isinstance(entry, Reject):
            yield entry
            continue
        where, line = entry
        name, tab, labels = line.partition("\t")
        boxes = json_stream.decode(labels.encode()) if tab else None
        try:
            if not tab:
                raise RowRejected("source.shape", "no tab between image and boxes")
            if isinstance(boxes, json_stream.JsonFault):
                raise RowRejected(boxes.code, boxes.message)
            if not isinstance(boxes, list):
                raise RowRejected("source.shape", f"the boxes are not a list, but {type(boxes).__name__}")
            picture = _picture(name, unit.path.parent, options)
        except RowRejected as error:
            yield Reject(
                where,
                error.code,
                str(error),
                line[: rows.RAW],
            )
            continue
        reads = [_item(f"{where}#{index}", box, name, picture, options) for index, box in enumerate(boxes)]
        if options.task is Task.SPOTTING:
            reads = list(spotting.pages(reads, where))
        elif options.as_served:
            blocks = [_block(box, read) for box, read in zip(boxes, reads, strict=True)]
            size = regions.size_of(picture)
            reads = list(served.served_rows(served.ServedPage(blocks, range(len(blocks)), size)))
        yield from reads


def _block(box: Any, read: ReadItem) -> served.Block:
    """A box as a block of its page, if somebody said what kind of block it is."""
    if not isinstance(box, dict) or not isinstance(box.get("points"), list):
        return served.Block("unknown", (), read)
    try:
        quad = regions.polygon(regions.pairs(box["points"]), ordered=True)
    except RowRejected:
        return served.Block("unknown", (), read)
    label = box.get("key_cls")
    return served.Block(served.kind_of(label) if isinstance(label, str) else "unknown", quad, read)


def _picture(name: str, folder: Path, options: SourceOptions) -> Picture:
    """The first part of the path is the opened folder, which may have another name by now; an absolute path is of
    another machine.
    """
    name = name.strip()
    absolute = rows.is_windows(name) or name.startswith("/")
    name = name.replace("\\", "/")
    inner = rows.ends_of(name) if absolute else [name.partition("/")[2] or name]
    base = options.images or folder
    paths = [path for spelling in dict.fromkeys((name, *inner)) if (path := inside(base, spelling))]
    for path in paths:
        if os.path.isfile(path):
            return Picture(path=path, turn=options.turn)
    if not paths or ".." in name.split("/"):
        raise RowRejected("source.outside", f"{name[:100]!r} leads out of the source")
    return Picture(
        path=paths[-1],
        turn=options.turn,
        others=tuple(paths[:-1]),
    )


def _item(where: str, box: Any, name: str, picture: Picture, options: SourceOptions) -> ReadItem:
    raw = json_stream.raw(box)
    try:
        if not isinstance(box, dict) or not isinstance(box.get("transcription"), str):
            raise RowRejected("source.shape", "a box without a transcription")
        text = box["transcription"]
        if box.get("difficult") is True or text in IGNORED:
            raise RowRejected(
                "source.ignored",
                "marked as difficult" if text not in IGNORED else f"{text} marks a text that cannot be read",
            )
        if text in UNTYPED:
            raise RowRejected("source.ignored", f"{text} is PPOCRLabel's placeholder for a text that was not typed yet")
        points = box.get("points")
        if not isinstance(points, list):
            raise RowRejected("source.shape", "a box without points")
        quad = regions.polygon(regions.pairs(points), ordered=True)
    except RowRejected as error:
        return Reject(where, error.code, str(error), raw)
    return rows.item(
        where, raw, text, regions.crop(picture, quad), options, task=options.task or Task.OCR, group=name.strip()
    )


FORMATS = {
    "ppocrlabel": Format(
        "ppocrlabel",
        "Label.txt of PPOCRLabel: boxes with their text, cut out of their pages",
        "https://github.com/PFCCLab/PPOCRLabel (README, 2.3 and 4)",
        'ch4_test_images/img_61.jpg\t[{"transcription": "MASA", "points": [[310, 104], [416, 141], [418, 216], [312,'
        " 179]]}]",
        (Task.OCR, Task.FORMULA, Task.SPOTTING),
        units,
        read,
        served=True,
    )
}
