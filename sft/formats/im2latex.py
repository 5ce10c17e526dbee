"""im2latex-100k: a file of formulas, one a line, and lists that say which line each image shows.

The original (zenodo 56198) and Harvard's preprocessed version, whose formulas are tokens with spaces between them:

    im2latex_train.lst          0 60ee748793 basic
    im2latex_formulas.lst       \\int_{-\\epsilon}^\\infty dl\\: {\\rm e}^{-l\\zeta} \\int_{-\\epsilon}^\\infty dl'
    {\\rm e}^{-l'\\zeta} im2latex_test_filter.lst    7944775fc9.png 32771 im2latex_formulas.norm.lst  \\alpha _ { 1 } ^
    { r } \\gamma _ { 1 } + \\dots + \\alpha _ { N } ^ { r } \\gamma _ { N } = 0

Formulas are counted from 0 and split at \\n alone, since some of them hold other line ends; what is not UTF-8 is read
as ISO-8859-1, in which the set was published. Comments lost their line ends: images show what stands before the first
`%`, or between the first two where the formula begins with one. The CSV that circulates (`formula,image`) is read as
well. A folder with several lists needs `--split`. Images are looked for in formula_images_processed/, formula_images/,
images_processed/, images/, and beside the list, or under `--images`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from sft.errors import RowRejected, UsageError
from sft.files import Unit, line_units, open_input
from sft.formats import delimited
from sft.formats.base import UNIT_OBJECTS, Format, ReadItem, Reject, SourceOptions
from sft.formats.shared import RAW, begin, decode_line, item, picture, source_file, text_lines
from sft.types import Task

FORMULAS = ("im2latex_formulas.norm.lst", "formulas.norm.lst", "im2latex_formulas.lst", "formulas.lst")
PICTURES = ("formula_images_processed", "formula_images", "images_processed", "images")
SPLITS = ("train", "validate", "val", "test")
MAX_FORMULAS = 20_000_000
MAX_FORMULA_BYTES = 1 << 20
CHUNK = 1 << 20


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Units of some lines of a list; the payload is a tuple of (where, line, bytes of its formula, or None) and
    Rejects.
    """
    path = _list(source, options)
    if path.suffix.lower() == ".csv":
        yield from delimited.csv_units(path, options)
        return
    formulas = next(
        (path.parent / name for name in _candidates(path) if (path.parent / name).is_file()),
        None,
    )
    if formulas is None:
        raise UsageError(
            "no file of formulas beside this list", where=str(path), hint=f"expected one of {', '.join(FORMULAS)}"
        )
    starts = _line_starts(formulas)
    batch: list[tuple[str, str, bytes | None] | Reject] = []
    with open_input(formulas) as stream:
        for unit in line_units(path):
            for entry in text_lines(unit):
                batch.append(entry if isinstance(entry, Reject) else (*entry, _formula(stream, starts, entry[1])))
                if len(batch) == UNIT_OBJECTS:
                    yield Unit(path, path.name, tuple(batch))
                    batch = []
    if batch:
        yield Unit(path, path.name, tuple(batch))


def _list(source: Path, options: SourceOptions) -> Path:
    splits = [options.split] if options.split else list(SPLITS)
    names = [
        name.format(split)
        for split in splits
        for name in ("im2latex_{}_filter.lst", "{}_filter.lst", "im2latex_{}.lst", "{}.lst", "im2latex_{}.csv")
    ]
    path = source_file(source, names, "im2latex --split train")
    if path.name in FORMULAS:
        raise UsageError(
            "these are the formulas; name the list of images",
            where=str(path),
            hint="such as im2latex_train.lst, or the folder and --split train",
        )
    return path


def _candidates(path: Path) -> tuple[str, ...]:
    """The filtered lists belong to the normalised formulas, the others to the original ones; line numbers differ where
    both are there.
    """
    return FORMULAS if "filter" in path.stem else (*FORMULAS[2:], *FORMULAS[:2])


def _line_starts(path: Path) -> array[int]:
    """Where each line begins, and the end of the file: eight bytes a formula."""
    starts = array("Q", [0])
    with open_input(path) as stream:
        offset = 0
        while chunk := stream.read(CHUNK):
            position = chunk.find(b"\n")
            while position >= 0:
                starts.append(offset + position + 1)
                position = chunk.find(b"\n", position + 1)
            offset += len(chunk)
            if len(starts) > MAX_FORMULAS:
                raise UsageError(
                    f"more than {MAX_FORMULAS:,} formulas", where=str(path), hint="this is not the file of formulas"
                )
    if starts[-1] != offset:
        starts.append(offset)
    return starts


def _numbers(line: str) -> tuple[str, int] | None:
    """(image, number of its formula) of a line in either layout."""
    words = line.split()
    if len(words) == 3 and words[0].isascii() and words[0].isdigit() and len(words[0]) < 12:
        return words[1] + ("" if words[1].lower().endswith(".png") else ".png"), int(words[0])
    if len(words) == 2 and words[1].isascii() and words[1].isdigit() and len(words[1]) < 12:
        return words[0], int(words[1])
    return None


def _formula(stream: IO[bytes], starts: array[int], line: str) -> bytes | None:
    numbers = _numbers(line)
    if numbers is None or numbers[1] + 1 >= len(starts):
        return None
    begins = starts[numbers[1]]
    ends = starts[numbers[1] + 1]
    stream.seek(begins)
    return stream.read(min(ends - begins, MAX_FORMULA_BYTES + 1))


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """An Item or a Reject for every line of a list, or record of a CSV."""
    folder = options.images or next(
        (unit.path.parent / name for name in PICTURES if (unit.path.parent / name).is_dir()), unit.path.parent
    )
    formula = replace(options, task=Task.FORMULA, images=folder)
    if unit.path.suffix.lower() == ".csv":
        yield from delimited.read(unit, formula)
        return
    for entry in unit.payload:
        if isinstance(entry, Reject):
            yield entry
        else:
            where, line, raw = entry
            yield _item(where, line, raw, folder, formula)


def _item(where: str, line: str, raw: bytes | None, folder: Path, options: SourceOptions) -> ReadItem:
    numbers = _numbers(line)
    if numbers is None:
        return Reject(where, "source.shape", "expected `NUMBER IMAGE TYPE` or `IMAGE NUMBER`", line[:RAW])
    if raw is None:
        return Reject(
            where,
            "source.shape",
            f"there is no formula {numbers[1]}",
            line[:RAW],
        )
    if len(raw) > MAX_FORMULA_BYTES:
        return Reject(
            where,
            "source.too_large",
            f"more than {MAX_FORMULA_BYTES:,} bytes in one formula",
            begin(raw),
        )
    text = decode_line(where, raw, latin=True)
    if isinstance(text, Reject):
        return text
    try:
        image = picture(numbers[0], folder, below=True, turn=options.turn)
    except RowRejected as error:
        return Reject(
            where,
            error.code,
            str(error),
            line[:RAW],
        )
    return item(
        where,
        text,
        _first_line(text),
        image,
        options,
        task=Task.FORMULA,
    )


def _first_line(formula: str) -> str:
    """`formula` without a `%` before all else: it ended a line of the paper, and the images show what comes
    behind it.
    """
    return formula.lstrip().removeprefix("%")


FORMATS = {
    "im2latex": Format(
        name="im2latex",
        title="im2latex-100k (formulas.lst with train.lst; Harvard's filtered version; CSV formula,image)",
        origin="https://zenodo.org/records/56198",
        example="7944775fc9.png 32771",
        tasks=(Task.FORMULA,),
        units=units,
        read=read,
        columns=delimited.COLUMNS,
        splits="train, validate, val or test",
    )
}
