"""Kits write good sources; a case damages something in one, and knows which rows it did not touch."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from sft.formats.base import SourceOptions
from sft.types import Task

MARKS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")  # of good rows; every label holds one
VICTIM = 2  # the good row that gives way to the damaged one
SIDE = 64  # of images, px
Make = Callable[[str, str, int], bytes]  # label, name of the image, number of the record → the record
Content = bytes | Callable[[Path], object]  # of a file, or something that puts another thing at this path


@dataclass(frozen=True)
class Row:
    """One record. `body`: its bytes, where they are not the kit's own; `picture` None: a good image; `name`: what it
    says of its image.
    """

    mark: str
    body: bytes | None = None
    picture: Content | None = None
    name: str | None = None
    label: str | None = None


def good_rows(without: Sequence[int] = ()) -> list[Row]:
    return [Row(mark) for index, mark in enumerate(MARKS) if index not in without]


def png(mark: str, side: int = SIDE) -> bytes:
    """A small grey image that no other mark has."""
    import io

    stream = io.BytesIO()
    Image.frombytes("L", (side, side), random.Random(mark).randbytes(side * side // 64) * 64).save(
        stream, "PNG", compress_level=1
    )
    return stream.getvalue()


PNG = {mark: png(mark) for mark in (*MARKS, "victim")}


def put(path: Path, content: Content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)


@dataclass(frozen=True)
class Kit:
    """A source of records in a file of its own (`main` without {}), or one file per record (`main` with {mark})."""

    name: str  # of the kit, which begins with that of its format
    format: str
    main: str  # the file of labels, below the source's folder
    make: Make
    image: str = "img/{mark}.png"  # where the image of a record is
    ref: str = ""  # what the record calls it; "" as `image`
    head: bytes = b""
    between: bytes = b"\n"
    tail: bytes = b"\n"
    source: str = ""  # what is converted; "" the file of labels
    label: str = "{mark}"
    kind: str = "text"  # of labels: text, html, tokens, latex, chart
    options: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, bytes] = field(default_factory=dict)
    whole: str = ""  # "after": what is broken costs what follows in its file; "all": the file; "" only itself
    brief: bool = False  # another kit of the same format suffers the rest

    @property
    def many(self) -> bool:
        """Whether every record is a file of its own."""
        return "{" in self.main

    @property
    def names_image(self) -> bool:
        """Whether a record says where its image is."""
        return self.make("a", "b", 0) != self.make("a", "c", 0)

    def body(self, row: Row, index: int) -> bytes:
        if row.body is not None:
            return row.body
        name = row.name if row.name is not None else (self.ref or self.image).format(mark=row.mark, index=index)
        return self.make(self.label.format(mark=row.mark) if row.label is None else row.label, name, index)

    def main_of(self, row: Row) -> str:
        return self.main.format(mark=row.mark)

    def write(self, folder: Path, rows: Sequence[Row]) -> Path:
        """Put the source into an empty folder; returns what is to be converted."""
        for name, content in self.beside.items():
            put(folder / name, content)
        for index, row in enumerate(rows):
            picture = PNG.get(row.mark, PNG["victim"]) if row.picture is None else row.picture
            mark = (
                "victim" if row.body is not None and self.names_image and row.mark.startswith("victim") else row.mark
            )  # as its body says
            path = folder / self.image.format(mark=mark, index=index)
            if not os.path.lexists(path):
                put(path, picture)
        bodies = [self.body(row, index) for index, row in enumerate(rows)]
        if self.many:
            for row, body in zip(rows, bodies, strict=True):
                put(folder / self.main_of(row), self.head + body + self.tail)
        else:
            put(folder / self.main, self.head + self.between.join(bodies) + self.tail)
        return folder / (self.source or self.main)

    def made_options(self) -> SourceOptions:
        given = dict(self.options)
        if "task" in given:
            given["task"] = Task(given["task"])
        return SourceOptions(**given)


@dataclass(frozen=True)
class Case:
    """One broken source. `build` puts it into an empty folder; returns what is converted, and the marks of the rows
    that must come out.
    """

    kit: Kit
    name: str
    build: Callable[[Kit, Path], tuple[Path, Sequence[str]]]
    options: Mapping[str, Any] = field(default_factory=dict)
    small: bool = False  # under limits of some KiB
    at_least: int = 0  # rows of the account
    reads_secret: bool = False  # the user named a link to /etc/passwd himself

    @property
    def id(self) -> str:
        return f"{self.kit.name}: {self.name}"


def template(make: Callable[[str, str, int], Any]) -> Make:
    """Records in JSON on one line."""
    return lambda label, name, index: json.dumps(make(label, name, index), ensure_ascii=False).encode()
