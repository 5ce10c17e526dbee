"""Text recognition sets in LMDB, as PaddleOCR, deep-text-recognition-benchmark and CRNN keep them.

A set is a folder with `data.mdb`; a folder of such folders is read in the order of their names. Keys and values:

    num-samples      b"2"
    image-000000001  the bytes of an image file
    label-000000001  "Available" in UTF-8

Numbers start with 1. The sets of TableMASTER hold pickled values: unpickling runs whatever their author wrote, and so
they are refused. `wh-000000001` and other keys are not read. The library of LMDB is not used: it trusts the file
(`sft.formats.shared.lmdb_file`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sft.errors import UsageError
from sft.files import Unit
from sft.formats.base import UNIT_OBJECTS, Format, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import lmdb_file, rows
from sft.images import MAX_FILE_BYTES
from sft.types import Task

MAX_LABEL_BYTES = 1 << 20
_PICKLE = re.compile(rb"\x80[\x02-\x05].*\.\Z", re.DOTALL)


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Ranges of numbers of every set, in the order of the folders' names."""
    sets = _sets(source)
    for path in sets:
        name = path.relative_to(source).as_posix() if path != source else path.name
        try:
            with lmdb_file.opened(_data(path)) as base:
                count, problem = _count(base)
        except lmdb_file.Corrupt as error:
            if len(sets) == 1:
                raise UsageError(
                    f"not an LMDB set that can be read: {error}",
                    where=str(path),
                    hint="copy or download it again; name the folder that holds data.mdb",
                ) from error
            count = 0
            problem = ("source.syntax", f"not an LMDB set that can be read: {error}")
        if problem:
            yield Unit(path, name, problem)
        for start in range(1, count + 1, UNIT_OBJECTS):
            yield Unit(
                path,
                name,
                range(start, min(start + UNIT_OBJECTS, count + 1)),
            )


def _sets(source: Path) -> list[Path]:
    if not source.is_dir() or (source / "data.mdb").is_file():
        return [source]
    folders = sorted(path.parent for path in source.rglob("data.mdb") if path.is_file())
    if not folders:
        raise UsageError(
            "no data.mdb here", where=str(source), hint="name the folder of an LMDB set, or a folder of such folders"
        )
    return folders


def _data(path: Path) -> Path:
    return path / "data.mdb" if path.is_dir() else path


def _count(base: lmdb_file.Base) -> tuple[int, tuple[str, str] | None]:
    """(samples, (code, message) of what is wrong with the set as a whole)"""
    number = base.get(b"num-samples", max_bytes=MAX_LABEL_BYTES)
    if number is None:
        first = base.first_value(max_bytes=MAX_LABEL_BYTES)
        if isinstance(first, bytes) and _PICKLE.match(first[: 1 << 16] + first[-1:]):
            return 0, (
                "source.refused",
                "pickled values (a set of TableMASTER?); unpickling runs whatever the author wrote",
            )
        return 0, ("source.shape", "no key num-samples")
    if isinstance(number, int) or not number.isdigit() or len(number) > 18:
        return 0, ("source.shape", f"num-samples is no number: {str(number)[:20]}")
    count = int(number)
    entries = min(base.entries, base.size)  # what a damaged set says of itself is no reason to count for ever
    if count > entries:
        return entries, ("source.shape", f"num-samples says {count:,}, but there are only {entries:,} entries")
    return count, None


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """One item per number."""
    if isinstance(unit.payload, tuple):
        yield Reject(unit.name, *unit.payload)
        return
    with lmdb_file.opened(_data(unit.path)) as base:
        for number in unit.payload:
            yield _item(
                f"{unit.name}#{number}",
                number,
                base,
                options,
            )


def _item(where: str, number: int, base: lmdb_file.Base, options: SourceOptions) -> ReadItem:
    try:
        image = base.get(f"image-{number:09d}".encode(), max_bytes=MAX_FILE_BYTES)
        label = base.get(f"label-{number:09d}".encode(), max_bytes=MAX_LABEL_BYTES)
    except lmdb_file.Corrupt as error:
        return Reject(where, "source.syntax", f"data.mdb is damaged here: {error}")
    if image is None or label is None:
        return Reject(
            where,
            "source.shape",
            f"no key {'image' if image is None else 'label'}-{number:09d}",
        )
    if isinstance(image, int) or isinstance(label, int):
        sizes = [value if isinstance(value, int) else len(value) for value in (image, label)]
        return Reject(
            where,
            "source.too_large",
            f"{sizes[0]:,} bytes of image, {sizes[1]:,} of label",
        )
    if _PICKLE.match(label):
        return Reject(where, "source.refused", "a pickled label; unpickling runs whatever the author wrote")
    text = rows.decode_line(where, label)
    if isinstance(text, Reject):
        return text
    return rows.item(
        where, rows.begin(label), text, Picture(data=image, turn=options.turn), options, task=options.task or Task.OCR
    )


FORMATS = {
    "lmdb": Format(
        "lmdb",
        "LMDB sets of text lines: num-samples, image-000000001, label-000000001",
        "https://github.com/PaddlePaddle/PaddleOCR (ppocr/data/lmdb_dataset.py)",
        "num-samples = 1; image-000000001 = (bytes of a JPEG); label-000000001 = Available",
        (Task.OCR, Task.FORMULA),
        units,
        read,
    )
}
