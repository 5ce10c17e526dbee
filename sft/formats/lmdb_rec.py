"""Text recognition sets in LMDB, as PaddleOCR, deep-text-recognition-benchmark and CRNN keep them.

A set is a folder with `data.mdb`; a folder of such folders is read in the order of their names. Keys and values:

    num-samples      b"2"
    image-000000001  the bytes of an image file
    label-000000001  "Available" in UTF-8

Numbers start with 1. The sets of TableMASTER hold pickled values: unpickling runs whatever their author wrote, and so
they are refused. `wh-000000001` and other keys are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft.errors import UsageError
from sft.formats import rows
from sft.formats.base import UNIT_OBJECTS, Format, Options, Picture, Read, Reject, Unit
from sft.images import MAX_FILE_BYTES
from sft.types import Task

if TYPE_CHECKING:
    import lmdb

MAX_LABEL_BYTES = 1 << 20
_PICKLE = re.compile(rb"\x80[\x02-\x05].*\.\Z", re.DOTALL)


def units(source: Path, options: Options) -> Iterator[Unit]:
    """Ranges of numbers of every set, in the order of the folders' names."""
    sets = _sets(source)
    for path in sets:
        name = path.relative_to(source).as_posix() if path != source else path.name
        with _opened(path) as base, base.begin() as view:
            entries = base.stat()["entries"]
            count, problem = _count(view, entries)
        if problem:
            yield Unit(path, name, problem)
        for start in range(1, count + 1, UNIT_OBJECTS):
            yield Unit(path, name, range(start, min(start + UNIT_OBJECTS, count + 1)))


def _sets(source: Path) -> list[Path]:
    if not source.is_dir() or (source / "data.mdb").is_file():
        return [source]
    found = sorted(path.parent for path in source.rglob("data.mdb"))
    if not found:
        raise UsageError("no data.mdb here", where=str(source), hint="name the folder of an LMDB set, or a folder of such folders")
    return found


@contextmanager
def _opened(path: Path) -> Iterator[lmdb.Environment]:
    """The set, to be read only; UsageError where it is none, or was cut off."""
    try:
        import lmdb
    except ImportError as error:
        raise UsageError("LMDB sets need the library lmdb", hint="pip install 'paddleocr-vl-sft[data]'") from error
    data = path / "data.mdb" if path.is_dir() else path
    try:
        base = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, meminit=False, max_readers=1, create=False)
    except (lmdb.Error, OSError) as error:
        raise UsageError(f"not an LMDB set that can be read ({error})", where=str(path), hint="name the folder that holds data.mdb") from error
    with base:
        needed = (base.info()["last_pgno"] + 1) * base.stat()["psize"]
        if data.stat().st_size < needed:  # reading behind the end of the file would kill the process
            raise UsageError(f"data.mdb was cut off: it has {data.stat().st_size:,} of {needed:,} bytes", where=str(path), hint="copy or download it again")
        yield base


def _count(view: Any, entries: int) -> tuple[int, tuple[str, str] | None]:
    """(samples, (code, message) of what is wrong with the set as a whole)"""
    number = view.get(b"num-samples")
    if number is None:
        first = next(iter(view.cursor()), (b"", b""))
        if _PICKLE.match(first[1][: 1 << 16] + first[1][-1:]):
            return 0, ("source.refused", "pickled values (a set of TableMASTER?); unpickling runs whatever the author wrote")
        return 0, ("source.shape", "no key num-samples")
    if not number.isdigit() or len(number) > 18:
        return 0, ("source.shape", f"num-samples is no number: {number[:20]!r}")
    count = int(number)
    if count > entries:
        return entries, ("source.shape", f"num-samples says {count:,}, but there are only {entries:,} entries")
    return count, None


def read(unit: Unit, options: Options) -> Iterator[Read]:
    """One item per number."""
    if isinstance(unit.payload, tuple):
        yield Reject(unit.name, *unit.payload)
        return
    with _opened(unit.path) as base, base.begin(buffers=True) as view:
        for number in unit.payload:
            yield _item(f"{unit.name}#{number}", number, view, options)


def _item(where: str, number: int, view: Any, options: Options) -> Read:
    image, label = (view.get(f"{kind}-{number:09d}".encode()) for kind in ("image", "label"))
    if image is None or label is None:
        return Reject(where, "source.shape", f"no key {'image' if image is None else 'label'}-{number:09d}")
    if len(image) > MAX_FILE_BYTES or len(label) > MAX_LABEL_BYTES:
        return Reject(where, "source.too_large", f"{len(image):,} bytes of image, {len(label):,} of label")
    raw = bytes(label)
    if _PICKLE.match(raw):
        return Reject(where, "source.refused", "a pickled label; unpickling runs whatever the author wrote")
    text = rows.decode_line(where, raw)
    if isinstance(text, Reject):
        return text
    return rows.item(where, rows.begin(raw), text, Picture(data=bytes(image), turn=options.turn), options, task=options.task or Task.OCR)


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
