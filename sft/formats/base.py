"""What a source format is made of: units of work that are listed cheaply, and items that are read from one unit.

`sft convert` lists the units in order, reads them on any number of cores or machines, and joins the results in order,
so that a format needs to know nothing about processes, images on disk, prompts or resuming. A format never raises for
what a row holds: it yields a `Reject` with a reason code (`sft.reasons`) and goes on. It raises `UsageError` where the
source as a whole is not what its name says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sft.jsonl import bounded_lines, open_input
from sft.types import Task

UNIT_BYTES = 1 << 20  # of a line-based file in one unit
UNIT_FILES = 64  # small files in one unit
UNIT_OBJECTS = 256  # objects of one large JSON document in one unit


@dataclass(frozen=True)
class Picture:
    """Where the pixels of one image come from: exactly one of `path`, `data` and `url`.

    `quad`: at least four points (x, y) in pixels of the upright image (EXIF applied), clockwise from the top left; the
    crop is cut along them. `turn`: a crop at least 1.5 times as tall as wide is turned by 90°, as PaddleOCR's
    recognition data are. `hint`: what to do where there is no such file, in words; `others`: where it was
    looked for in vain, too.
    """

    path: Path | None = None
    data: bytes | None = None
    url: str = ""
    quad: tuple[tuple[float, float], ...] = ()
    turn: bool = False
    hint: str = ""
    others: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Item:
    """One labelled image. `target` is finished: OTSL for tables, delimited LaTeX for formulas, chart rows, plain text.

    `where` names the place in the source, relative to it: "labels.txt:12", "page.xml#line_3". `group` is the document
    or page that the sample was cut from, which a split must not tear apart. `prompt`: "" means the model's own for the task.
    """

    where: str
    picture: Picture
    target: str
    task: Task
    group: str = ""
    prompt: str = ""


@dataclass(frozen=True)
class HubRow:
    """A row that came with its own structure: the hub's JSON object, complete, with any further keys of the source.

    `pictures[i]` belongs to `row["image_info"][i]`, whose `image_url` is filled in when the image has its place.
    """

    where: str
    row: dict[str, Any]
    pictures: tuple[Picture, ...]


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


Read = Item | HubRow | Reject


@dataclass(frozen=True)
class Options:
    """What the user said about the source. `columns`: {"image": …, "text": …} for formats with named columns.

    `markup`: how labels are written, "auto" or a key of `sft.formats.markups.MEANING`. `images`: the folder that image paths count
    from, where the format's own rule does not hold.
    """

    task: Task | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    markup: str = "auto"
    images: Path | None = None
    split: str = ""
    turn: bool = False


@dataclass(frozen=True)
class Unit:
    """A part of the source that one process reads at once; small and picklable. `path` is the file, `payload` what of it."""

    path: Path
    name: str  # of the file, as `where` shows it
    payload: Any = None


@dataclass(frozen=True)
class Format:
    """One source format. `example` is a raw row of a public sample, `origin` where the layout is described."""

    name: str
    title: str
    origin: str
    example: str
    tasks: tuple[Task, ...]  # what its labels can be; the first is the default
    units: Callable[[Path, Options], Iterator[Unit]]
    read: Callable[[Unit, Options], Iterator[Read]]
    columns: tuple[str, ...] = ()  # names that --map knows
    splits: str = ""  # what --split may say, in words; "" where there are no splits


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `end` of a file, which begin with line `line` (from 1) and end with a line end or the file."""

    start: int
    end: int
    line: int


def line_units(path: Path, name: str = "") -> Iterator[Unit]:
    """Cut a file of lines into units of about UNIT_BYTES; reads it once to find and count the line ends."""
    with open_input(path) as stream:
        start, line = 0, 1
        while chunk := stream.read(UNIT_BYTES):
            lines = chunk.count(b"\n")
            if not chunk.endswith(b"\n"):
                while piece := stream.readline(UNIT_BYTES):
                    if piece.endswith(b"\n"):
                        lines += 1
                        break
            end = stream.tell()
            yield Unit(path, name or path.name, Span(start, end, line))
            start, line = end, line + lines


def unit_lines(unit: Unit) -> Iterator[tuple[int, bytes, bool]]:
    """(number from 1, line with its end, longer than MAX_LINE_BYTES?) of a unit made by `line_units`."""
    span: Span = unit.payload
    with open_input(unit.path) as stream:
        stream.seek(span.start)
        for number, line, too_long in bounded_lines(stream):
            yield span.line + number - 1, line, too_long
            if stream.tell() >= span.end:
                return


def file_units(files: Iterable[Path], root: Path, *, per: int = UNIT_FILES) -> Iterator[Unit]:
    """Units of `per` small files each, in the order given; the payload is a tuple of paths."""
    batch: list[Path] = []
    for path in files:
        batch.append(path)
        if len(batch) == per:
            yield Unit(root, root.name, tuple(batch))
            batch = []
    if batch:
        yield Unit(root, root.name, tuple(batch))


def inside(root: Path, name: str) -> Path | None:
    """`root / name` where that stays below `root` by its spelling; None for absolute names, `..` and NUL bytes."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not name:
        return None
    return root / path
