"""PaddleOCR's text recognition labels: a path, a tab, the text of the line.

`rec_gt_train.txt` of PaddleOCR's documentation (`doc/doc_en/recognition_en.md`), and several images with one label:

    train_data/rec/train/word_001.jpg\\t简单可依赖
    ["11.jpg", "12.jpg"]\\t简单可依赖

Bytes are read as UTF-8. A byte order mark belongs to no path and the \\r of a Windows line end to no label (PaddleOCR
keeps both). A second tab is refused: PaddleOCR would cut the label there without a word. A blank line is no row. A JSON
list of paths makes one sample for each path. Paths count from the label file's folder, or from `--images` (PaddleOCR's
data_dir). PPOCRLabel's `rec_gt.txt` beside `crop_img/` is this format; the boxes of its Label.txt are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from sft.errors import RowRejected
from sft.files import Unit, line_units
from sft.formats.base import Format, ReadItem, Reject, SourceOptions
from sft.formats.shared import RAW, item, json_stream, picture, source_file, text_lines
from sft.types import Task

FILES = ("rec_gt.txt", "rec_gt_train.txt", "train.txt", "label.txt", "gt.txt")


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Lines of the label file, or of the one label file in a folder."""
    yield from line_units(source_file(source, FILES, "paddleocr-rec"))


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """An Item for every image of a line, or a Reject."""
    root = options.images or unit.path.parent
    for entry in text_lines(unit):
        if isinstance(entry, Reject):
            yield entry
        else:
            yield from _line(*entry, root, options)


def _line(where: str, line: str, root: Path, options: SourceOptions) -> Iterator[ReadItem]:
    names, tab, label = line.partition("\t")
    if not tab or "\t" in label:
        yield Reject(
            where,
            "source.shape",
            "a second tab; PaddleOCR would cut the label there" if tab else "no tab between path and label",
            line[:RAW],
        )
        return
    if _is_boxes(label):
        yield Reject(
            where,
            "source.shape",
            "the label is the JSON of boxes; this looks like PPOCRLabel: `sft convert ppocrlabel`",
            line[:RAW],
        )
        return
    several = _names(names)
    for number, name in enumerate(several):
        place = where if len(several) == 1 else f"{where}#{number}"
        try:
            image = picture(name, root, turn=options.turn)
        except RowRejected as error:
            yield Reject(
                place,
                error.code,
                str(error),
                line[:RAW],
            )
            continue
        yield item(
            place,
            line,
            label,
            image,
            options,
            task=options.task or Task.OCR,
        )


def _is_boxes(label: str) -> bool:
    """Whether a label is what PPOCRLabel writes: boxes with their text and points."""
    if label.lstrip()[:1] not in ("[", "{") or not ('"transcription"' in label or '"points"' in label):
        return False
    value = json_stream.decode(label.encode("utf-8", "replace"))
    boxes = (
        list(value.values())
        if isinstance(value, dict) and not {"transcription", "points"} & value.keys()
        else value
        if isinstance(value, list)
        else [value]
    )
    return bool(boxes) and all(isinstance(box, dict) and {"transcription", "points"} & box.keys() for box in boxes)


def _names(field: str) -> list[object]:
    """The paths of the first field: one, or a JSON list of them."""
    if field.startswith("["):
        try:
            value = json.loads(field)
        except (ValueError, RecursionError):
            return [field]
        if isinstance(value, list) and value:
            return value
    return [field]


FORMATS = {
    "paddleocr-rec": Format(
        name="paddleocr-rec",
        title="PaddleOCR text recognition labels (path, tab, text)",
        origin=(
            "https://github.com/PaddlePaddle/PaddleOCR/blob/main/docs/version2.x/ppocr/model_train/recognition.en.md"
        ),
        example="train_data/rec/train/word_001.jpg\t简单可依赖",
        tasks=(Task.OCR, Task.SEAL, Task.FORMULA),
        units=units,
        read=read,
    )
}
