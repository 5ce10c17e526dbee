"""The `*_OTSL` sets that IBM published on the Hugging Face hub: tables as Parquet, with OTSL, HTML and cells side by
side.

FinTabNet_OTSL, PubTabNet_OTSL, SynthTabNet_OTSL and PubTables-1M_OTSL have one row per table. A row, as its card and
docling-eval's reader describe it (image bytes left out):

    {"filename": "PMC4776821_005_00.png", "image": {"bytes": …, "path": null}, "cols": 2, "rows": 2,
     "otsl": ["fcel", "lcel", "nl", "fcel", "ecel", "nl"],
     "html": ["<thead>", "<tr>", "<td", " colspan=\\"2\\"", ">", "</td>", "</tr>", "</thead>", "<tbody>", …],
     "cells": [[{"tokens": ["<b>", "O", "n", "e", "</b>"], "bbox": [1.0, 2.0, 30.0, 12.0]}, …]]}

The tokens of `otsl` come without their brackets. `xcel` covers all of a cell that spans in both directions, as docling
writes it. The first list of `cells` holds the cells in reading order; some sets list the blank ones, and some do not.
The target is built from `otsl` and `cells`. Where `html` says something else about the grid the row is refused: one of
the two is wrong, and nothing tells which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sft.errors import RowRejected, UsageError
from sft.files import Unit
from sft.formats.base import Format, Item, ReadItem, Reject, SourceOptions, split_name
from sft.formats.pubtabnet import MAX_CELLS, build, content
from sft.formats.shared import json_stream, make, parquet
from sft.markup import MarkupError, parse_html, parse_otsl
from sft.types import Task

NEEDED = ("image", "otsl", "cells")
COLUMNS = (*NEEDED, "html", "filename")
OWNERS = ("fcel", "ecel", "ched", "rhed", "srow")  # tokens that begin a cell; the last three are docling's later ones
TOKENS = (*OWNERS, "lcel", "ucel", "xcel", "nl")


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """The row groups of a Parquet file, or of every one below a folder."""
    files = [(source.name, source)]
    if source.is_dir():
        files = sorted(
            (path.relative_to(source).as_posix(), path) for path in source.rglob("*.parquet") if path.is_file()
        )
    if not files:
        raise UsageError(
            "no .parquet files here",
            where=str(source),
            hint="download the data set first, e.g. `hf download --repo-type dataset ds4sd/FinTabNet_OTSL`",
        )
    for name, path in parquet.split_files(files, options.split):
        columns, _ = parquet.columns_of(path)
        missing = [column for column in NEEDED if column not in columns]
        if missing:
            raise UsageError(
                f"no column {' or '.join(missing)}",
                where=str(path),
                hint=f"the columns are {', '.join(columns)}; other Parquet files are read with `sft convert hf`",
            )
        for unit in parquet.units(
            path,
            name,
            [column for column in COLUMNS if column in columns],
        ):
            yield replace(unit, split=split_name(name) if source.is_dir() else "")


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """Items and rejects of one row group."""
    for record in parquet.rows(unit):
        if isinstance(record, Reject):
            yield record
            continue
        where, row = record
        try:
            picture = parquet.picture(row["image"], unit.path.parent, options)
            yield Item(where, picture, target(row), Task.TABLE)
        except RowRejected as error:
            yield Reject(
                where,
                error.code,
                str(error),
                json_stream.raw({key: value for key, value in row.items() if key != "image"}),
            )


def target(row: dict[str, Any]) -> str:
    """The OTSL of one row. Raises RowRejected."""
    names = row["otsl"]
    html = row.get("html")
    if not isinstance(names, list) or not names:
        raise RowRejected("source.shape", "otsl is not a list of tokens")
    unknown = next((name for name in names if name not in TOKENS), None)
    if unknown is not None:
        raise MarkupError("target.otsl", f"unknown token {str(unknown)[:40]!r}")
    cells = _one_per_owner(
        [name for name in names if name in OWNERS],
        _cells(row["cells"]),
    )
    written = make(Task.TABLE, _otsl(names, cells), markup="training")
    if html:
        _compare(html, cells, written)
    return written


def _one_per_owner(owners: list[str], cells: list[list[str]]) -> list[list[str]]:
    """The content for each token that begins a cell, where the blank ones may not be listed."""
    if len(cells) == len(owners):
        return cells
    filled = [cell for cell in cells if any(isinstance(text, str) and text.strip() for text in cell)]
    expected = len(owners) - owners.count("ecel")
    if len(filled) != expected:
        raise MarkupError(
            "target.otsl",
            f"{len(owners)} cells in otsl, {expected} of them filled, but {len(cells)} in cells, {len(filled)} of them"
            " filled",
        )
    rest = iter(filled)
    return [[] if name == "ecel" else next(rest) for name in owners]


def _cells(value: Any) -> list[list[str]]:
    """The tokens of every cell, from [[{tokens, bbox}, …]] or [{tokens, bbox}, …]."""
    cells = value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list) else value
    if not isinstance(cells, list) or not all(
        isinstance(cell, dict) and isinstance(cell.get("tokens"), list) for cell in cells
    ):
        raise RowRejected("source.shape", "cells are not a list of {tokens, bbox}")
    if len(cells) > MAX_CELLS:
        raise RowRejected(
            "source.too_large",
            f"{len(cells):,} cells in one table, at most {MAX_CELLS:,} are read",
        )
    return [cell["tokens"] for cell in cells]


def _otsl(names: list[str], cells: list[list[str]]) -> str:
    """OTSL in the one dialect of PaddleOCR-VL, spans and texts filled in."""
    rest = iter(_texts(cells))
    parts = []
    for name in names:
        if name in OWNERS:
            text = next(rest)
            parts.append(f"<fcel>{text}" if text else "<ecel>")
        else:
            parts.append(f"<{name}>")
    return parse_otsl("".join(parts), dialect="docling").to_otsl()


def _texts(cells: list[list[str]]) -> list[str]:
    """The text of each cell as it stands in a target: tags gone, white space collapsed."""
    if not cells:
        return []
    html = "".join(f"<tr><td>{content(cell, number)}</td></tr>" for number, cell in enumerate(cells, 1))
    return [row[0] or "" for row in parse_html(f"<table>{html}</table>").rows]


def _compare(html: Any, cells: list[list[str]], written: str) -> None:
    if not isinstance(html, list):
        raise RowRejected("source.shape", "html is not a list of tokens")
    try:
        other = make(Task.TABLE, build(html, cells), markup="html")
    except RowRejected as error:
        raise MarkupError("target.otsl", f"html cannot be compared with otsl: {error}") from error
    if other != written:
        raise MarkupError("target.otsl", "html and otsl are different tables; one of the two is wrong")


FORMATS: dict[str, Format] = {
    "otsl-parquet": Format(
        name="otsl-parquet",
        title=(
            "FinTabNet_OTSL, PubTabNet_OTSL, SynthTabNet_OTSL, PubTables-1M_OTSL: Parquet files of the Hugging Face hub"
        ),
        origin="https://huggingface.co/datasets/ds4sd/FinTabNet_OTSL",
        example=(
            '{"filename": "PMC4776821_005_00.png", "image": {"bytes": …}, "otsl": ["fcel", "lcel", "nl", "fcel",'
            ' "ecel", "nl"], "html": ["<tr>", "<td", " colspan=\\"2\\"", ">", "</td>", "</tr>", …], "cells":'
            ' [[{"tokens": ["O", "n", "e"], "bbox": [1.0, 2.0, 30.0, 12.0]}, …]]}'
        ),
        tasks=(Task.TABLE,),
        units=units,
        read=read,
        splits="a word of the file names, such as train, val or test",
    )
}
