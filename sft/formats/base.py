"""What a source format is made of: units of work that are listed cheaply, and items that are read from one unit.

`sft convert` lists the units in order, reads them on any number of cores or machines, and joins the results in order,
so that a format needs to know nothing about processes, images on disk, prompts or resuming. A format never raises for
what a row holds: it yields a `Reject` with a reason code (`sft.reasons`) and goes on. It raises `UsageError` where the
source as a whole is not what its name says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sft.files import Unit
from sft.images import ServedCut
from sft.markup import MarkupWarning
from sft.types import Task

UNIT_OBJECTS = 256  # objects of one large JSON document in one unit
_SPLIT_WORD = re.compile(
    r"(?<![A-Za-z])(train|training|validation|valid|val|dev|test|testing|eval)(?![A-Za-z])", re.IGNORECASE
)


@dataclass(frozen=True)
class Picture:
    """Where the pixels of one image come from: exactly one of `path`, `data` and `url`.

    `quad`: at least four points (x, y) in pixels of the upright image (EXIF applied), clockwise from the top left; the
    crop is cut along them. `turn`: a crop at least 1.5 times as tall as wide is turned by 90°, as PaddleOCR's
    recognition data are. `cut`: where it is given, it says how to cut in place of `quad`, which is then only the
    place. `hint`: what to do where there is no such file, in words; `others`: where it was
    looked for in vain, too.
    """

    path: Path | None = None
    data: bytes | None = None
    url: str = ""
    quad: tuple[tuple[float, float], ...] = ()
    turn: bool = False
    cut: ServedCut | None = None
    hint: str = ""
    others: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Item:
    """One labelled image. `target` is finished: OTSL for tables, delimited LaTeX for formulas, chart rows, plain text.

    `where` names the place in the source, relative to it: "labels.txt:12", "page.xml#line_3". `group` is the document
    or page that the sample was cut from, which a split must not tear apart. `prompt`: "" means the model's own for the
    task. `split`: the part of a published set that it belongs to, as its authors call it ("train", "test"). `warnings`:
    what the reader of the label fixed or dropped. `files`: further ones that the label was read from. `blocks`: how
    many blocks of the page are joined in it.
    """

    where: str
    picture: Picture
    target: str
    task: Task
    group: str = ""
    prompt: str = ""
    warnings: tuple[MarkupWarning, ...] = ()
    files: tuple[Path, ...] = ()
    split: str = ""
    blocks: int = 1


@dataclass(frozen=True)
class HubRow:
    """A row that came with its own structure: the hub's JSON object, complete, with any further keys of the source.

    `pictures[i]` belongs to `row["image_info"][i]`, whose `image_url` is filled in when the image has its place.
    `split`: as of an `Item`.
    """

    where: str
    row: dict[str, Any]
    pictures: tuple[Picture, ...]
    split: str = ""


@dataclass(frozen=True)
class Reject:
    """A piece of the source that becomes no sample, with the reason code; `raw` is (the beginning of) the piece itself.

    `missing`: the image file for want of which it became none.
    """

    where: str
    code: str
    message: str
    raw: str = ""
    missing: Path | None = None


@dataclass(frozen=True)
class Note:
    """How a format understood something that could be meant otherwise; no row. Equal texts are said once, with their
    number.

    `where`: the file that it was understood of.
    """

    text: str
    where: str = ""


ReadItem = Item | HubRow | Reject | Note


@dataclass(frozen=True)
class SourceOptions:
    """What the user said about the source. `columns`: {"image": …, "text": …} for formats with named columns.

    `markup`: how labels are written, "auto" or a key of `sft.formats.shared.markups.MEANING`. `delimiter`: of cells in
    labels that are CSV, "" to find out. `images`: the folder that image paths count from, where the format's own rule
    does not hold. `quotes`: of CSV and TSV: "csv" where they enclose fields, "none" where they are text, "auto" to find
    out. `as_served`: cut pages as the PaddleOCR pipeline does; only for formats that say so.
    """

    task: Task | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    markup: str = "auto"
    delimiter: str = ""
    images: Path | None = None
    split: str = ""
    turn: bool = False
    quotes: str = "auto"
    as_served: bool = False


@dataclass(frozen=True)
class Format:
    """One source format. `example` is a raw row of a public sample, `origin` where the layout is described."""

    name: str
    title: str
    origin: str
    example: str
    tasks: tuple[Task, ...]  # what its labels can be; the first is the default
    units: Callable[[Path, SourceOptions], Iterator[Unit]]
    read: Callable[[Unit, SourceOptions], Iterator[ReadItem]]
    columns: tuple[str, ...] = ()  # names that --map knows
    splits: str = ""  # what --split may say, in words; "" where there are no splits
    served: bool = False  # whether pages can be cut as the PaddleOCR pipeline cuts them (--as-served)


def split_name(path: str) -> str:
    """The split that a path names by a word of it ("data/test-00000-of-00001.parquet", "val/labels.csv"); "" for none.

    The last part of the path with such a word counts, unless it has two ("train_val").
    """
    for part in reversed(path.split("/")):
        if words := {word.lower() for word in _SPLIT_WORD.findall(part)}:
            return words.pop() if len(words) == 1 else ""
    return ""


def inside(root: Path, name: str) -> Path | None:
    """`root / name` where that stays below `root` by its spelling; None for absolute names, `..` and NUL bytes."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not name:
        return None
    return root / path
