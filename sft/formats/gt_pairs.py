"""Line images with their text beside them: `x.png` and `x.gt.txt`, in any number of folders.

Tesseract's tesstrain (`data/MODEL-ground-truth/`), kraken, Calamari and OCRopus:

    alexis_ruhe01_1852_0018_022.tif     alexis_ruhe01_1852_0018_022.gt.txt
    0001/010001.bin.png                 0001/010001.gt.txt

The text is the whole .gt.txt file, UTF-8, without a byte order mark and its last line ends. Where the same line is
there as a picture and as OCRopus' binary or normalised copy (.bin.png, .nrm.png), the picture is taken and the copies
are no rows. An image without text and a text without image are rejected, and so is a second picture for one text.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from sft.errors import UsageError
from sft.files import UNIT_FILES, Unit, open_input
from sft.formats.base import Format, Options, Picture, Read, Reject
from sft.formats.shared import IMAGE_SUFFIXES, RAW, item
from sft.types import Task

GT = ".gt.txt"
COPIES = (".nrm", ".bin")  # of OCRopus: normalised and binarised; the first is nearer to the picture
MAX_TEXT_BYTES = 1 << 20  # of one line's text


def units(source: Path, options: Options) -> Iterator[Unit]:
    """Units of some pairs each; the payload is a tuple of the paths of all their files, pair by pair."""
    if not source.is_dir():
        raise UsageError(
            "expected a folder of line images and .gt.txt files", where=str(source), hint="name the folder itself"
        )
    found = False
    for folder, names, files in os.walk(source):
        names.sort()
        batch: list[Path] = []
        for _, group in sorted(_grouped(files).items()):
            batch += [Path(folder) / name for name in group]
            if len(batch) >= UNIT_FILES:
                yield Unit(source, source.name, tuple(batch))
                found, batch = True, []
        if batch:
            found = True
            yield Unit(source, source.name, tuple(batch))
    if not found:
        raise UsageError(
            "no line images and no .gt.txt files here",
            where=str(source),
            hint="expected pairs such as 0001.png and 0001.gt.txt",
        )


def _grouped(files: Iterable[str]) -> dict[str, list[str]]:
    """Stem → its files: the text, the picture, the copies."""
    groups: dict[str, list[str]] = {}
    for name in sorted(files, key=_rank):
        if name.lower().endswith((GT, *IMAGE_SUFFIXES)):
            groups.setdefault(_stem(name), []).append(name)
    return groups


def _stem(name: str) -> str:
    if name.lower().endswith(GT):
        return name[: -len(GT)]
    stem = name.rsplit(".", 1)[0]
    return next(
        (stem.removesuffix(copy) for copy in COPIES if stem.endswith(copy)),
        stem,
    )


def _copy(name: str) -> int:
    """0 for a text, 1 for a picture, more for a copy of it."""
    if name.lower().endswith(GT):
        return 0
    stem = name.rsplit(".", 1)[0]
    return next(
        (rank for rank, copy in enumerate(COPIES, 2) if stem.endswith(copy)),
        1,
    )


def _rank(name: str) -> tuple[int, str]:
    return _copy(name), name


def read(unit: Unit, options: Options) -> Iterator[Read]:
    """An Item for every pair, a Reject for every file without its other half."""
    for folder, paths in groupby(unit.payload, key=lambda path: path.parent):
        for stem, names in sorted(_grouped(path.name for path in paths).items()):
            yield from _group(unit.path, folder, stem, names, options)


def _group(root: Path, folder: Path, stem: str, names: list[str], options: Options) -> Iterator[Read]:
    """What becomes of the files of one stem; pictures come before copies."""
    text = names[0] if names[0].lower().endswith(GT) else ""
    images = names[1:] if text else names
    if text and images:
        yield _pair(
            _where(root, folder / text),
            folder / text,
            folder / images[0],
            options,
        )
        for name in images[1:]:
            if _copy(name) == _copy(images[0]):
                yield Reject(
                    _where(root, folder / name), "source.shape", f"a second image for {text}; {images[0]} is taken"
                )
    elif text:
        yield Reject(
            _where(root, folder / text),
            "source.shape",
            "no image beside it",
            _begin(folder / text),
        )
    else:
        for name in images:
            yield Reject(
                _where(root, folder / name),
                "source.shape",
                f"no {stem}{GT} beside it",
            )


def _where(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _pair(where: str, path: Path, image: Path, options: Options) -> Read:
    try:
        with open_input(path) as stream:
            content = stream.read(MAX_TEXT_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (UsageError, OSError) as error:
        return Reject(where, "source.shape", f"the text cannot be read: {error}")
    except UnicodeDecodeError as error:
        return Reject(
            where,
            "source.encoding",
            f"not UTF-8: {error.reason} at byte {error.start}",
            content[:RAW].decode("utf-8", "replace"),
        )
    if len(content) > MAX_TEXT_BYTES:
        return Reject(
            where, "source.too_large", f"more than {MAX_TEXT_BYTES:,} bytes of text for one image", text[:RAW]
        )
    if "\0" in text:
        return Reject(where, "source.encoding", "a NUL byte; is this UTF-16 or a binary file?", text[:RAW])
    return item(
        where, text, text.rstrip("\r\n"), Picture(path=image, turn=options.turn), options, task=options.task or Task.OCR
    )


def _begin(path: Path) -> str:
    try:
        with open_input(path) as stream:
            return stream.read(RAW).decode("utf-8", "replace").rstrip("\r\n")
    except (UsageError, OSError):
        return ""


FORMATS = {
    "gt-pairs": Format(
        name="gt-pairs",
        title="line images with .gt.txt files beside them (tesstrain, kraken, Calamari, OCRopus)",
        origin="https://github.com/tesseract-ocr/tesstrain#provide-ground-truth-data",
        example="alexis_ruhe01_1852_0018_022.tif + alexis_ruhe01_1852_0018_022.gt.txt",
        tasks=(Task.OCR, Task.FORMULA, Task.SEAL),
        units=units,
        read=read,
    )
}
