"""Excel workbooks: a table and its picture side by side, or a list of images and labels.

    invoice_01.xlsx           a table, as Excel shows it
    invoice_01.png            its picture; for several sheets invoice_01.SHEET.png or invoice_01_SHEET.png each
    labels.xlsx               or a list: a first row with the names of columns, as `sft convert csv` reads them

- What Excel shows is the label: numbers, dates and currencies as they are formatted, merged ranges as cells that span,
  neither
  hidden rows and columns nor hidden sheets. What Excel may show otherwise has a warning by cell.
- A sheet whose first row has a column of images and one of labels (by their usual names, or with `--map`) is a list.
- Formulas count as the values that Excel stored with them; one without is blank, with a warning.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sft.errors import RowRejected
from sft.files import Unit, file_units
from sft.formats import delimited
from sft.formats.base import Format, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import IMAGE_SUFFIXES, Record, regions, workbook_records
from sft.markup import Grid
from sft.types import Task

SUFFIXES = (".xlsx", ".xlsm")


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Workbooks: the file, or every one below a folder; a list of labels in units of some hundred."""
    root, paths = regions.files(source, SUFFIXES)
    tables = []
    for path in paths:
        if path.name.startswith("~$"):  # the lock of a workbook that is open
            continue
        if _is_list(path, options):
            yield from (
                Unit(unit.path, regions.relative(path, root), unit.payload)
                for unit in delimited.record_units(path, workbook_records(path, path.name), options)
            )
        else:
            tables.append(path)
    yield from file_units(tables, root, per=8)


def _is_list(path: Path, options: SourceOptions) -> bool:
    """Whether the first row names a column of images and one of labels."""
    first = next(workbook_records(path, path.name), None)
    if not isinstance(first, Record):
        return False
    names = {name.strip().lower() for name in first.fields}
    return bool(options.columns) or all(names.intersection(delimited.USUAL[kind]) for kind in ("image", "text"))


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """One item per sheet, or per row of a list."""
    if isinstance(unit.payload[0], dict):
        yield from delimited.read(unit, options)
        return
    for path in unit.payload:
        yield from _workbook(path, regions.relative(path, unit.path), options)


def _workbook(path: Path, name: str, options: SourceOptions) -> Iterator[ReadItem]:
    from sft.markup import open_sheets

    count = 0
    try:
        with open_sheets(path) as sheets:
            for sheet, read_sheet in sheets:
                where = f"{name}#{sheet}"
                try:
                    grid = read_sheet()
                except RowRejected as error:
                    yield Reject(where, error.code, str(error))
                    continue
                if grid is not None:
                    count += 1
                    yield _item(
                        where,
                        grid,
                        path,
                        sheet,
                        name,
                        options,
                        first=count == 1,
                    )
    except RowRejected as error:
        yield Reject(name, error.code, str(error))
        return
    if not count:
        yield Reject(name, "target.empty", "nothing in any sheet that is not hidden")


def _item(
    where: str, grid: Grid, path: Path, sheet: str, name: str, options: SourceOptions, *, first: bool
) -> ReadItem:
    raw = " | ".join(text or "" for text in grid.rows[0])
    picture = _picture(path, sheet, options, first=first)
    return regions.item(
        where,
        raw,
        grid,
        picture,
        task=options.task or Task.TABLE,
        group=name,
    )


def _picture(path: Path, sheet: str, options: SourceOptions, *, first: bool) -> Picture:
    """The image called like the workbook and the sheet, or, for the first sheet, like the workbook; what is not there
    is given as it should be called.
    """
    folder = options.images or path.parent
    plain = sheet.replace("/", "_").replace("\0", "")
    stems = [
        *(f"{path.stem}{joint}{plain}" for joint in "._-"),
        *([path.stem] if first else []),
    ]
    places = [
        folder / f"{stem}{suffix}"
        for stem in stems
        for suffix in (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))
    ]
    there = next(
        (place for place in places if os.path.isfile(place)),
        None,
    )
    usual = folder / f"{stems[-1] if first else stems[0]}.png"
    hint = f"the picture of a sheet is called {path.stem}.SHEET.png" + (
        f", of the first one {path.stem}.png" if first else ""
    )
    return Picture(
        path=there or usual,
        turn=options.turn,
        hint="" if there else hint,
        others=() if there else tuple(place for place in places if place != usual),
    )


FORMATS = {
    "xlsx": Format(
        name="xlsx",
        title="Excel workbooks: a table with its picture beside it, or a list of images and labels",
        origin="https://ecma-international.org/publications-and-standards/standards/ecma-376/",
        example=(
            "invoice_01.xlsx + invoice_01.png; several sheets: invoice_01.SHEET.png; or a first row `file_name | text`"
        ),
        tasks=(Task.TABLE, Task.OCR, Task.FORMULA, Task.CHART, Task.SEAL),
        units=units,
        read=read,
        columns=delimited.COLUMNS,
    )
}
