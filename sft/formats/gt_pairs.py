"""Images with their label in a file beside them: `x.png` and `x.gt.txt`, or a table as `x.html` or `x.csv`, in any
number of folders.

Tesseract's tesstrain (`data/MODEL-ground-truth/`), kraken, Calamari and OCRopus; pictures of tables with their source:

    alexis_ruhe01_1852_0018_022.tif     alexis_ruhe01_1852_0018_022.gt.txt
    0001/010001.bin.png                 0001/010001.gt.txt
    tables/0001.jpg                     tables/0001.html

The label is the whole file, in UTF-8, or UTF-16 with a byte order mark, without its last line ends. The ending of a
table says how it is written (TABLES). Where the same line is there as a picture and as OCRopus' binary or normalised
copy (.bin.png, .nrm.png), the picture is taken and the copies are no rows. An image without label and a label without
image are rejected, and so is a second picture for one label, and a second table for one picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from sft.errors import UsageError
from sft.files import UNIT_FILES, Unit, open_input, to_utf8, what_it_is
from sft.formats.base import Format, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import IMAGE_SUFFIXES, RAW, item, likely_encoding
from sft.types import Task

GT = ".gt.txt"
# endings of tables → how they are written (`sft.formats.shared.targets`); where there are several beside one picture
# the first counts
TABLES: dict[str, str] = {
    ".html": "html",
    ".htm": "html",
    ".csv": "csv",
    ".tsv": "tsv",
    ".md": "markdown",
}
LABELS = (GT, *TABLES)
COPIES = (".nrm", ".bin")  # of OCRopus: normalised and binarised; the first is nearer to the picture
MAX_TEXT_BYTES = 1 << 20  # of one label
NO_NAMES = ("readme.md",)  # of files that are no labels


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Units of some pairs each; the payload is a tuple of the paths of all their files, pair by pair."""
    if not source.is_dir():
        hint = "name the folder itself"
        raise UsageError("expected a folder of images with .gt.txt, .html or .csv files", where=str(source), hint=hint)
    any_pair = False
    for folder, names, files in os.walk(source):
        names.sort()
        batch: list[Path] = []
        for _, group in sorted(_grouped(files).items()):
            batch += [Path(folder) / name for name in group]
            if len(batch) >= UNIT_FILES:
                yield Unit(source, source.name, tuple(batch))
                any_pair, batch = True, []
        if batch:
            any_pair = True
            yield Unit(source, source.name, tuple(batch))
    if not any_pair:
        hint = "expected pairs such as 0001.png and 0001.gt.txt, or 0001.png and 0001.html"
        raise UsageError("no images and no .gt.txt, .html or .csv files here", where=str(source), hint=hint)


def _label_ending(name: str) -> str:
    """Which ending of a label a file has; "" for none."""
    lower = name.lower()
    return next(
        (ending for ending in LABELS if lower.endswith(ending) and lower not in NO_NAMES),
        "",
    )


def _grouped(files: Iterable[str]) -> dict[str, list[str]]:
    """Stem → its files: the labels, the picture, the copies."""
    groups: dict[str, list[str]] = {}
    for name in sorted(files, key=_rank):
        if _label_ending(name) or name.lower().endswith(IMAGE_SUFFIXES):
            groups.setdefault(_stem(name), []).append(name)
    return groups


def _stem(name: str) -> str:
    if ending := _label_ending(name):
        return name[: -len(ending)]
    stem = name.rsplit(".", 1)[0]
    return next(
        (stem.removesuffix(copy) for copy in COPIES if stem.endswith(copy)),
        stem,
    )


def _copy(name: str) -> int:
    """Less than 1 for a label, 1 for a picture, more for a copy of it."""
    if ending := _label_ending(name):
        return LABELS.index(ending) - len(LABELS)
    stem = name.rsplit(".", 1)[0]
    return next(
        (rank for rank, copy in enumerate(COPIES, 2) if stem.endswith(copy)),
        1,
    )


def _rank(name: str) -> tuple[int, str]:
    return _copy(name), name


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """An Item for every pair, a Reject for every file without its other half."""
    for folder, paths in groupby(unit.payload, key=lambda path: path.parent):
        for stem, names in sorted(_grouped(path.name for path in paths).items()):
            yield from _group(unit.path, folder, stem, names, options)


def _group(root: Path, folder: Path, stem: str, names: list[str], options: SourceOptions) -> Iterator[ReadItem]:
    """What becomes of the files of one stem; labels come before pictures, pictures before copies."""
    labels = [name for name in names if _copy(name) < 1]
    images = names[len(labels) :]
    if not labels:
        for name in images:
            yield Reject(
                _where(root, folder / name),
                "source.shape",
                f"no {stem}{GT}, .html or .csv beside it",
            )
        return
    if not images:
        for name in labels:
            yield Reject(
                _where(root, folder / name),
                "source.shape",
                "no image beside it",
                _begin(folder / name),
            )
        return
    taken: dict[bool, str] = {}  # whether it is a table → the label
    for name in labels:
        first = taken.setdefault(
            not name.lower().endswith(GT),
            name,
        )
        if first == name:
            yield _pair(
                _where(root, folder / name),
                folder / name,
                folder / images[0],
                options,
            )
        else:
            said = f"a second table for {images[0]}; {first} is taken"
            yield Reject(
                _where(root, folder / name),
                "source.shape",
                said,
                _begin(folder / name),
            )
    for name in images[1:]:
        if _copy(name) == _copy(images[0]):
            said = f"a second image for {labels[0]}; {images[0]} is taken"
            yield Reject(_where(root, folder / name), "source.shape", said)


def _where(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _pair(where: str, path: Path, image: Path, options: SourceOptions) -> ReadItem:
    ending = _label_ending(path.name)
    task = Task.TABLE if ending in TABLES else options.task or Task.OCR
    if options.task not in (None, task):
        return Reject(
            where, "source.shape", f"a {ending} file is a table, but --task is {options.task.value}", _begin(path)
        )
    text = _text(where, path)
    if isinstance(text, Reject):
        return text
    if ending in TABLES and options.markup == "auto":
        options = replace(options, markup=TABLES[ending])
    picture = Picture(path=image, turn=options.turn)
    return item(
        where,
        text,
        text.rstrip("\r\n"),
        picture,
        options,
        task=task,
    )


def _text(where: str, path: Path) -> str | Reject:
    """The whole of a label file."""
    try:
        with open_input(path) as stream:
            content = stream.read(MAX_TEXT_BYTES + 1)
            stream.seek(0)
            kind = what_it_is(content, stream)
    except (UsageError, OSError) as error:
        return Reject(where, "source.shape", f"the text cannot be read: {error}")
    if kind:
        return Reject(
            where,
            "source.encoding",
            f"this is {kind[0]}, not a text file: {kind[1]}",
        )
    if len(content) > MAX_TEXT_BYTES:
        said = f"more than {MAX_TEXT_BYTES:,} bytes of text for one image"
        return Reject(
            where,
            "source.too_large",
            said,
            content[:RAW].decode("utf-8", "replace"),
        )
    raw = content[:RAW].decode("utf-8", "replace")
    try:
        text = to_utf8(content).decode()
    except UnicodeDecodeError as error:
        said = f"not UTF-8: {error.reason} at byte {error.start}{likely_encoding(content)}"
        return Reject(where, "source.encoding", said, raw)
    if "\0" in text:
        said = likely_encoding(content) or "; is this a binary file?"
        return Reject(where, "source.encoding", f"a NUL byte{said}", raw)
    return text


def _begin(path: Path) -> str:
    try:
        with open_input(path) as stream:
            return stream.read(RAW).decode("utf-8", "replace").rstrip("\r\n")
    except (UsageError, OSError):
        return ""


FORMATS = {
    "gt-pairs": Format(
        name="gt-pairs",
        title=(
            "images with .gt.txt files beside them (tesstrain, kraken, Calamari, OCRopus), or tables as .html, .csv,"
            " .tsv, .md"
        ),
        origin="https://github.com/tesseract-ocr/tesstrain#provide-ground-truth-data",
        example="alexis_ruhe01_1852_0018_022.tif + alexis_ruhe01_1852_0018_022.gt.txt",
        tasks=(Task.OCR, Task.TABLE, Task.FORMULA, Task.SEAL),
        units=units,
        read=read,
    )
}
