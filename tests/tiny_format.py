"""A source format for tests of the driver: one JSON object per line, or a word that says what to do."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from waiting import wait_for

from sft.errors import UsageError
from sft.files.atomic import open_input
from sft.files.units import Span, Unit, unit_lines
from sft.formats.base import Format, HubRow, Item, Picture, ReadItem, Reject, SourceOptions
from sft.types import Task

ROWS_PER_UNIT = 5


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Five lines each, so that small sources have many units."""
    start = 0
    lines = source.read_bytes().splitlines(keepends=True)
    for first in range(0, len(lines), ROWS_PER_UNIT):
        size = sum(map(len, lines[first : first + ROWS_PER_UNIT]))
        yield Unit(source, source.name, Span(start, start + size, first + 1))
        start += size


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    note(unit)
    for number, line, _ in unit_lines(unit):
        where = f"{unit.name}:{number}"
        if line.strip() == b"break":
            raise ZeroDivisionError("a format with a bug")
        if line.strip() == b"usage":
            raise UsageError("this is not a tiny file")
        if line.strip() == b"open":
            open_input(unit.path / "none").__enter__()
        if line.strip() == b"kill":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            yield one(where, json.loads(line), options.images or unit.path.parent)
        except ValueError as error:
            yield Reject(where, "source.syntax", f"not JSON: {error}", line.decode("utf-8", "replace"))


def note(unit: Unit) -> None:
    """Where a test asks for it: leave a mark of who reads what, and wait in the middle of the unit while this node is
    to hold.
    """
    folder = Path(os.environ.get("TINY_NOTES", "none"))
    if not folder.is_dir():
        return
    node = sys.modules["ray"].get_runtime_context().get_node_id() if "ray" in sys.modules else "here"
    (folder / f"{unit.payload.line:04}-{node}").touch()
    hold = folder / f"hold-{node}"
    if hold.exists():
        (folder / f"held-{unit.payload.line:04}-{node}").touch()
        wait_for(lambda: not hold.exists(), "the test to go on")


def one(where: str, row: dict[str, Any], base: Path) -> Item | HubRow:
    pictures = tuple(picture(image, row, base) for image in row["images"])
    if "row" in row:
        return HubRow(where, row["row"], pictures)
    return Item(
        where, pictures[0], row["text"], Task(row.get("task", "ocr")), row.get("group", ""), row.get("prompt", "")
    )


def picture(image: str, row: dict[str, Any], base: Path) -> Picture:
    quad, turn = tuple(tuple(point) for point in row.get("quad", ())), bool(row.get("turn"))
    if image.startswith("http"):
        return Picture(url=image, quad=quad, turn=turn)
    if image.startswith("base64:"):
        return Picture(data=base64.b64decode(image.removeprefix("base64:")), quad=quad, turn=turn)
    return Picture(path=base / image, quad=quad, turn=turn)


TINY = Format(
    "tiny",
    "rows of a test",
    "nowhere",
    '{"images": ["0.png"], "text": "a"}',
    (Task.OCR, Task.TABLE, Task.SPOTTING),
    units,
    read,
    columns=("image", "text"),
)
