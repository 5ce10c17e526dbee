"""Named parts of a test set: by task, source, script, length, image size and document, from the rows themselves.

A mean hides what a slice shows: a model that got better on printed lines and worse on photos (`source`), or lost one
script. Where a row says nothing of a dimension, it is in no slice of it; a dimension with one value is no slicing.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from sft.errors import ProblemsFound
from sft.evaluation.scores import task_of
from sft.files import bounded_lines, open_input
from sft.images import ImageProblem, probe
from sft.markup import scripts
from sft.types import Sample, Task

_ITS_PLACE = re.compile(
    r"(?::\d+)?(?:#.*)?\Z", re.DOTALL
)  # of labels.txt:12#3 or synth:table:0:12: what the converter says of one row alone
DIMENSIONS = ("source", "script", "length", "size", "group")
MOST = 50  # slices of one dimension, the largest ones
FEWEST = 10  # samples of a slice
LENGTHS = {  # code points of the reference: where the buckets begin
    "ocr": (0, 11, 31, 101, 301),
    "table": (0, 201, 501, 1001, 3001),
    "formula": (0, 31, 101, 301),
    "chart": (0, 101, 301, 1001),
}
SIZES = (
    ("below 0.05 MP", 0),
    ("0.05 to 0.25 MP", 50_000),
    ("0.25 to 1 MP", 250_000),
    ("from 1 MP", 1_000_000),
)  # pixels of the image
SOURCE_KEYS = ("source", "dataset")  # of `meta`, or of the row itself
_TOKENS = re.compile(r"<[^<>]{0,40}>")


@dataclass(frozen=True)
class Facts:
    """What is known of one sample. `slices`: dimension → value; `group`: the document it is from, "" if nobody says."""

    task: str
    slices: dict[str, str] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class DataRow:
    """A row of the data file: the sample, and what its `meta` says."""

    sample: Sample
    source: str = ""
    group: str = ""


def read_rows(path: Path) -> dict[int, DataRow]:
    """Line number → row of a data file. ProblemsFound with the line where it is none."""
    rows = {}
    with open_input(path) as stream:
        for number, line, too_long in bounded_lines(stream):
            try:
                if too_long:
                    raise ValueError("the line is too long")
                raw = msgspec.json.decode(line)
                sample = msgspec.convert(raw, Sample)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise ProblemsFound(
                    f"not a sample: {error}", where=f"{path}:{number}", hint=f"run `sft validate {path}`"
                ) from error
            rows[number] = DataRow(
                sample,
                _ITS_PLACE.sub("", _said(raw, SOURCE_KEYS)),
                _said(raw, ("group",)),
            )
    return rows


def _said(raw: dict[str, Any], keys: Sequence[str]) -> str:
    """The first of these keys that `meta` or the row has a plain value for."""
    meta = raw.get("meta")
    for place in (meta, raw):
        for key in keys:
            if isinstance(place, dict) and isinstance(
                value := place.get(key),
                (str, int),
            ):
                return str(value)
    return ""


def facts(*, prompt: str, ref: str, image: str, row: DataRow | None = None, base: Path | None = None) -> Facts:
    """Of one sample. row: of the data file, for source and group. base: folder that images count from, for their size.

    The source is what `meta` says, else the folder of the image. The script is that of most letters of the reference,
    tags and tokens left out; where there are only digits, that of the digits if they are a script's own (২৩: Bengali,
    23: no letters).
    """
    task = task_of(prompt)
    labels = {
        "source": (row.source if row else "") or str(PurePosixPath(image).parent),
        "length": f"{_length(task, len(ref))}",
    }
    if task != Task.FORMULA.value:  # whose letters are mostly names of commands
        text = _TOKENS.sub(" ", ref)
        labels["script"] = next(iter(scripts(text)), "") or _script_of_digits(text) or "no letters"
    if base and (size := _size(base / image)):
        labels["size"] = size
    if row and row.group:
        labels["group"] = row.group
    return Facts(task, labels, row.group if row else "")


def _script_of_digits(text: str) -> str:
    """ "Bengali" of ২৩; "" where there are none but those that everybody uses."""
    counts = Counter(
        name
        for character in text
        if not character.isascii() and character.isdecimal() and (name := _digit(unicodedata.name(character, "")))
    )
    return counts.most_common(1)[0][0] if counts else ""


def _digit(name: str) -> str:
    """BENGALI DIGIT TWO → Bengali; as the letters of that script are called, which EXTENDED ARABIC-INDIC DIGIT TWO is
    no name of.
    """
    script, mark, _ = name.partition(" DIGIT ")
    if not mark or script.startswith(("FULLWIDTH", "MATHEMATICAL", "SEGMENTED", "OUTLINED")):
        return ""
    return {
        "ARABIC-INDIC": "Arabic",
        "EXTENDED ARABIC-INDIC": "Arabic",
        "ORIYA": "Odia",
        "MYANMAR SHAN": "Myanmar",
    }.get(script, script.title())


def _length(task: str, count: int) -> str:
    limits = LENGTHS.get(task, LENGTHS["ocr"])
    place = bisect_right(limits, count) - 1
    name = f"{limits[place]} to {limits[place + 1] - 1}" if place + 1 < len(limits) else f"from {limits[place]}"
    return f"{name}, {task}"


def _size(path: Path) -> str:
    try:
        header = probe(path)
    except ImageProblem:
        return ""
    return next(name for name, least in reversed(SIZES) if header.width * header.height >= least)


def members(known: Sequence[Facts]) -> dict[tuple[str, str], list[int]]:
    """(dimension, value) → places of its samples, in the order of DIMENSIONS, the largest first; what is no slicing is
    left out.
    """
    by_label: dict[tuple[str, str], list[int]] = {}
    for dimension in DIMENSIONS:
        counts = Counter(value for fact in known if (value := fact.slices.get(dimension)) is not None)
        if len(counts) < 2:
            continue
        for value, count in counts.most_common(MOST):
            if count >= FEWEST:
                by_label[dimension, value] = []
    for place, fact in enumerate(known):
        for key in fact.slices.items():
            if key in by_label:
                by_label[key].append(place)
    return by_label
