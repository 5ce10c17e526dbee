"""ChartQA and Chart-to-text: pictures of charts, and a CSV file with the data of each.

`tables/1086.csv` of ChartQA's validation split, which belongs to `png/1086.png`:

    Entity,Against Trump,Against Biden,For Trump,For Biden
    Biden voters,67,33,0,0
    Trump voters,24,76,0,0

SOURCE is the data set (`train`, `val` and `test` below it, or `ChartQA Dataset/…`), one split, or a folder that holds
`tables` and `png`; Chart-to-text has `data` and `imgs` instead. Every table is one row of the source; a chart without a
table is none. Values are copied as they stand ("1,234" was quoted and keeps its comma), except `nan`, which pandas
wrote where there is no value: that cell is blank. Titles are not part of the target.

A file of questions as SOURCE gives one sample per question, with the question as the prompt. `val_human.json` begins:

    [{"imgname": "3887.png", "query": "What's the color of graph with 56 as the highest value?", "label": "Blue"}, …]
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sft.errors import RowRejected, UsageError
from sft.files import Unit, file_units, read_bounded, to_utf8
from sft.formats.base import Format, Item, Picture, ReadItem, Reject, SourceOptions, inside, split_name
from sft.formats.shared import json_stream, make
from sft.markup import MarkupError
from sft.types import Task

PAIRS = {
    "tables": ("png", "images"),
    "data": ("imgs", "images"),
}  # folder of tables → where its pictures are, beside it
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MAX_TABLE_BYTES = 4 << 20  # of one CSV file; the largest of ChartQA has 20 kB
MAX_DEPTH = 6  # folders below SOURCE


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Units of some dozens of CSV files, or of some hundred questions."""
    if source.is_dir():
        tables = [
            path
            for folder in _table_folders(source, options.split)
            for path in sorted(folder.iterdir())
            if path.suffix.lower() == ".csv"
        ]
        if not tables:
            raise UsageError(
                "no tables here",
                where=str(source),
                hint="expected a folder `tables` of .csv files beside a folder `png`, here or below",
            )
        yield from file_units(tables, source)
    elif source.suffix.lower() == ".json":
        yield from json_stream.object_units(source)
    else:
        yield from file_units([source], source.parent)


def _table_folders(source: Path, split: str) -> list[Path]:
    """Folders of tables with a folder of pictures beside them, in order of their names; those of one split if it is
    given.
    """
    if source.name in PAIRS and not split:
        return [source]
    table_folders = []
    for current, folders, _ in os.walk(source):
        folder = Path(current)
        deep = len(folder.relative_to(source).parts) >= MAX_DEPTH
        here = [name for name in PAIRS if name in folders and any(beside in folders for beside in PAIRS[name])]
        table_folders += [folder / name for name in here]
        folders[:] = (
            []
            if deep
            else sorted(name for name in folders if name not in {"png", "imgs", "images", "tables", "annotations"})
        )
    if split:
        inner = [folder for folder in table_folders if split in folder.relative_to(source).parts]
        if not inner and source.name != split:
            raise UsageError(
                f"no tables of a split called {split!r}",
                where=str(source),
                hint=f"tables are in {', '.join(map(str, table_folders[:6])) or 'no folder'}",
            )
        table_folders = inner or table_folders
    return sorted(table_folders)


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """Items and rejects of one unit."""
    if unit.path.is_dir():
        for path in unit.payload:
            yield _table(
                path,
                path.relative_to(unit.path).as_posix(),
                options,
            )
        return
    for record in json_stream.unit_objects(unit):
        yield record if isinstance(record, Reject) else _question(*record, unit.path.parent, options)


def _table(path: Path, where: str, options: SourceOptions) -> Item | Reject:
    content = b""
    try:
        try:
            content = read_bounded(path, max_bytes=MAX_TABLE_BYTES)
        except Exception as error:  # unreadable, no file, or too large
            code = "source.too_large" if path.is_file() and path.stat().st_size > MAX_TABLE_BYTES else "source.shape"
            raise RowRejected(code, str(error).splitlines()[0]) from error
        target = chart_target(_blank_nan(csv_rows(content)))
    except RowRejected as error:
        return Reject(
            where,
            error.code,
            str(error),
            content[: json_stream.RAW].decode("utf-8", "replace"),
        )
    split = split_name(where.rpartition("/")[0])  # the folder: charts may be called anything
    return Item(
        where,
        Picture(path=_image(path, options)),
        target,
        Task.CHART,
        split=split,
    )


def _image(table: Path, options: SourceOptions) -> Path:
    """The picture of a table: the same name in the folder beside its own, with the first suffix that exists."""
    folders = (
        [options.images]
        if options.images
        else [table.parent.parent / name for name in PAIRS.get(table.parent.name, ("png",))]
    )
    wanted = [folder / f"{table.stem}{suffix}" for folder in folders for suffix in SUFFIXES]
    return next(
        (path for path in wanted if path.is_file()),
        wanted[0],
    )


def csv_rows(content: bytes) -> list[list[str]]:
    """Rows of a CSV file; lines without any cell are dropped. Raises RowRejected with source.encoding or source.syntax.

    >>> csv_rows(b'Year,"Users, total"\\n2019,"1,234"\\n')
    [['Year', 'Users, total'], ['2019', '1,234']]
    """
    try:
        text = to_utf8(content).decode()
    except UnicodeDecodeError as error:
        raise RowRejected("source.encoding", f"not UTF-8: {error.reason} at byte {error.start}") from error
    if "\0" in text:
        raise RowRejected("source.syntax", "a NUL character in a CSV file")
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise RowRejected("source.syntax", f"not CSV: {error}") from error


def _blank_nan(rows: list[list[str]]) -> list[list[str]]:
    return (
        [rows[0], *([row[0], *("" if cell == "nan" else cell for cell in row[1:])] for row in rows[1:])]
        if rows
        else rows
    )


def chart_target(rows: list[list[str]]) -> str:
    """The target of a chart from its header and rows; white space inside a cell is one space.

    Raises RowRejected: target.chart for rows of different length or none at all, source.inexpressible for a `|` in a
    cell.
    """
    if len(rows) < 2:
        raise MarkupError("target.chart", "a header without rows" if rows else "no rows at all")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise MarkupError(
                "target.chart", f"{len(row)} cells, but {len(rows[0])} in the header", place=f"row {number}"
            )
        for cell in row:
            if "|" in cell:
                raise RowRejected(
                    "source.inexpressible",
                    f"{cell[:60]!r} holds a |, which separates cells in a chart",
                    place=f"row {number}",
                )
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
        [" ".join(cell.split()) for cell in row] for row in rows
    )
    return make(Task.CHART, out.getvalue(), markup="csv", delimiter=",")


def _question(where: str, row: dict[str, Any], folder: Path, options: SourceOptions) -> Item | Reject:
    name = row.get("imgname")
    query = row.get("query")
    label = row.get("label")
    if not (
        isinstance(name, str) and isinstance(query, str) and isinstance(label, (str, int, float)) and query.strip()
    ):
        return Reject(where, "source.shape", "expected imgname, query and label", json_stream.raw(row))
    path = inside(options.images or folder / "png", name)
    if path is None:
        return Reject(
            where,
            "source.outside",
            f"{name[:200]!r} leads out of the source",
            json_stream.raw(row),
        )
    try:
        target = make(Task.OCR, str(label), markup="text")
    except RowRejected as error:
        return Reject(
            where,
            error.code,
            str(error),
            json_stream.raw(row),
        )
    return Item(
        where,
        Picture(path=path),
        target,
        Task.CHART,
        group=name,
        prompt=" ".join(query.split()),
    )


FORMATS: dict[str, Format] = {
    "chartqa": Format(
        name="chartqa",
        title="ChartQA and Chart-to-text: tables/x.csv with png/x.png; a file of questions for question answering",
        origin="https://github.com/vis-nlp/ChartQA",
        example=(
            "Entity,Against Trump,Against Biden,For Trump,For Biden\nBiden voters,67,33,0,0\nTrump voters,24,76,0,0"
        ),
        tasks=(Task.CHART,),
        units=units,
        read=read,
        splits="train, val or test",
    )
}
