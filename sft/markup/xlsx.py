"""Excel sheets → grid: what Excel shows. Hidden rows, columns and sheets are left out, merged ranges are spans, numbers
stand as formatted.

openpyxl reads the values, row by row and only what is stored. It sees merged ranges and what is hidden only when it
builds the whole sheet, and then makes an object for every slot of a range, which a file of 5 kB can make 17 billion:
`xlsx_layout` reads those. Each cell that Excel may show otherwise than it stands here has a warning: a formula without
a stored value, a number format that is not known or that each system shows its own way, a number that is wider than its
column.
"""

from __future__ import annotations

import datetime
import html
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sft.errors import UsageError
from sft.markup.cell_text import cell_text
from sft.markup.errors import NAMED, MarkupError, MarkupWarning
from sft.markup.grid import SLOTS, Cell, Grid, check_size
from sft.markup.html import read_html
from sft.markup.number_format import BUILT_IN, EAST_ASIAN, shown_number, shown_text
from sft.markup.xlsx_layout import SheetLayout, read_layout

UNPACKED = 256 * 1024 * 1024  # bytes of all parts of a file together
PARTS = 5000
SUFFIXES = (".xlsx", ".xlsm")
_SCRIPTS = {"superscript": "sup", "subscript": "sub"}
_REFUSED = (b"<!DOCTYPE", b"<!ENTITY")
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")  # a character as Excel writes it that XML has no place for


def parse_xlsx(path: Path | str, sheet: str | None = None) -> Grid:
    """The filled part of a sheet as Excel shows it: the first one that is not hidden and has any, or the one named.

    Raises: MarkupError `source.syntax` if it is no Excel file, or has no such sheet, or nothing in it;
    `source.too_large`; `source.refused` for one with a document type. UsageError without openpyxl.
    """
    with open_sheets(Path(path), sheet) as sheets:
        for _, read in sheets:
            grid = read()
            if grid is not None:
                return grid
    raise MarkupError("source.syntax", "nothing in the sheet" if sheet else "nothing in any sheet that is not hidden")


@contextmanager
def open_sheets(file: Path, sheet: str | None = None) -> Iterator[list[tuple[str, Callable[[], Grid | None]]]]:
    """Name and reader of every sheet that is not hidden, or of the one called `sheet`; a reader gives None for an
    empty sheet. Raises: as `parse_xlsx`.
    """
    with _open_book(file) as book:
        names = [one.title for one in book.worksheets]
        if sheet is not None and sheet not in names:
            raise MarkupError(
                "source.syntax",
                f"no sheet {sheet!r}",
                hint=f"there are: {', '.join(names[:20])}",
            )
        wanted = [
            one for one in book.worksheets if one.title == sheet or (sheet is None and one.sheet_state == "visible")
        ]
        yield [(one.title, partial(read_sheet, one, file, book)) for one in wanted]


def sheet_rows(file: Path) -> Iterator[tuple[int, list[str], list[MarkupWarning]]]:
    """(number, texts, warnings) of every row of the first sheet that is not hidden and has any: a list, in which merged
    ranges do not count.

    Line ends and blanks in a text stay. Raises: as `parse_xlsx`.
    """
    with _open_book(file) as book:
        for sheet in book.worksheets:
            layout = read_layout(file, sheet._worksheet_path)
            any_row = False
            for number, row in _rows(sheet) if sheet.sheet_state == "visible" else ():
                if layout.is_hidden_row(number):
                    continue
                warnings: list[MarkupWarning] = []
                shown_cells = [cell for cell in row if getattr(cell, "column", 0) not in layout.hidden_columns]
                texts = [_shown(cell, layout, book, warnings) if cell.value is not None else "" for cell in shown_cells]
                any_row = True
                yield number, texts, warnings + layout.missing(number)
            if any_row:
                return


@contextmanager
def _open_book(file: Path) -> Iterator[Any]:
    """The workbook; whatever a damaged file makes openpyxl raise is a MarkupError."""
    try:
        import openpyxl
    except ImportError:
        raise UsageError("reading Excel sheets needs openpyxl", hint="pip install 'paddleocr-vl-sft[data]'") from None
    import warnings

    check_parts(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # extensions and styles that openpyxl does not know
        try:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False, rich_text=True)
            try:
                yield book
            finally:
                book.close()
        except (MarkupError, UsageError, OSError, MemoryError):
            raise
        except Exception as error:
            raise MarkupError(
                "source.syntax", f"not a readable Excel file: {type(error).__name__}: {str(error)[:200]}"
            ) from None


def check_parts(file: Path) -> None:
    """Raises MarkupError if the file is no zip file, would unpack to too much, or has a document type in one of its
    parts.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            parts = packed.infolist()
            if len(parts) > PARTS or sum(part.file_size for part in parts) > UNPACKED:
                raise MarkupError(
                    "source.too_large",
                    f"unpacks to more than {PARTS} parts or {UNPACKED // 2**20} MiB",
                )
            for part in parts:
                if part.filename.endswith((".xml", ".rels")):
                    head = packed.open(part).read(4096)  # a document type stands in front of the root element
                    if any(word in head.replace(b"\0", b"").upper() for word in _REFUSED):
                        raise MarkupError("source.refused", f"{part.filename} has a document type")
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
        zlib.error,
    ) as error:
        if isinstance(error, MarkupError):
            raise
        raise MarkupError("source.syntax", f"not an Excel file (.xlsx): {error}") from None


def _rows(sheet: Any) -> Iterator[tuple[int, list[Any]]]:
    """(number, cells) of every row with something in it."""
    sheet.reset_dimensions()  # it may claim 17 billion slots
    seen = 0
    for row in sheet.iter_rows():
        seen += len(row) + 1
        if seen > 4 * SLOTS:
            raise MarkupError("source.too_large", f"a sheet of more than {SLOTS} slots")
        if number := next(
            (cell.row for cell in row if cell.value is not None),
            0,
        ):
            yield number, list(row)


def read_sheet(sheet: Any, file: Path, book: Any) -> Grid | None:
    """The filled part of a sheet; None if nothing is to be seen in it."""
    layout = read_layout(file, sheet._worksheet_path)
    warnings: list[MarkupWarning] = []
    filled: dict[tuple[int, int], str] = {}
    for number, row in _rows(sheet):
        for cell in row:
            if cell.value is None:
                continue
            place = layout.seen_at(number, cell.column)
            if place and (text := cell_text(_shown(cell, layout, book, warnings))):
                filled.setdefault(place, text)
    warnings += layout.missing()
    return _grid(filled, layout, warnings) if filled else None


def _grid(filled: dict[tuple[int, int], str], layout: SheetLayout, warnings: list[MarkupWarning]) -> Grid:
    """The table of the texts at (row, column) of the sheet."""
    top = min(row for row, _ in filled)
    left = min(column for _, column in filled)
    bottom = max(row for row, _ in filled)
    right = max(column for _, column in filled)
    check_size(
        bottom - top + 1,
        right - left + 1,
        "source.too_large",
    )
    rows = {
        number: index
        for index, number in enumerate(number for number in range(top, bottom + 1) if not layout.is_hidden_row(number))
    }
    columns = {
        number: index
        for index, number in enumerate(
            number for number in range(left, right + 1) if number not in layout.hidden_columns
        )
    }
    cells = {(rows[row], columns[column]): Cell(text) for (row, column), text in filled.items()}
    slots = 0
    for (row, column), (height, width) in layout.merged.items():
        inside_rows = [rows[number] for number in range(max(row, top), min(row + height, bottom + 1)) if number in rows]
        inside_columns = [
            columns[number] for number in range(max(column, left), min(column + width, right + 1)) if number in columns
        ]
        if (
            not inside_rows
            or not inside_columns
            or (row < top and not layout.is_hidden_row(row))
            or (column < left and column not in layout.hidden_columns)
        ):
            continue
        place = (inside_rows[0], inside_columns[0])
        tall = len(inside_rows)
        wide = len(inside_columns)
        slots += tall * wide
        if slots > 4 * SLOTS:
            raise MarkupError("source.too_large", f"merged ranges over more than {4 * SLOTS} slots")
        cells[place] = Cell(
            cells[place].text if place in cells else "",
            tall,
            wide,
        )
    return Grid.from_cells(
        len(rows),
        len(columns),
        [(*place, cell) for place, cell in sorted(apart(cells, warnings).items())],
        warnings=warnings[:NAMED],
    )


def apart(cells: dict[tuple[int, int], Cell], warnings: list[MarkupWarning]) -> dict[tuple[int, int], Cell]:
    """The cells without those that a merged range covers: Excel does not show them."""
    taken: set[tuple[int, int]] = set()
    kept = {}
    for (row, column), cell in sorted(cells.items()):
        slots = [(r, c) for r in range(row, row + cell.rowspan) for c in range(column, column + cell.colspan)]
        place = f"row {row + 1}, column {column + 1}"
        if taken.isdisjoint(slots):
            kept[row, column] = cell
            if len(slots) > 1:
                taken.update(slots)
        elif (row, column) in taken:
            if cell.text or len(slots) > 1:
                warnings.append(
                    MarkupWarning("table.overlap", f"{place}: hidden under a merged range, dropped: {cell.text[:40]!r}")
                )
        else:
            warnings.append(MarkupWarning("table.overlap", f"{place}: the merged range overlaps another; not merged"))
            kept[row, column] = Cell(cell.text)
    return kept


def _shown(cell: Any, layout: SheetLayout, book: Any, warnings: list[MarkupWarning]) -> str:
    """What a cell shows; adds a warning where Excel may show something else."""
    value = layout.runs.get(
        (cell.row, cell.column),
        cell.value,
    )
    style = getattr(
        cell, "style_array", None
    )  # the number of a format tells more than the text that openpyxl has for it
    built_in = BUILT_IN.get(style.numFmtId) if style is not None else None
    text, is_number, doubt = shown(
        value,
        built_in or cell.number_format or "General",
        epoch=book.epoch,
    )
    if is_number and style is not None and style.numFmtId in EAST_ASIAN:
        doubt = "each language of East Asia shows this date or time its own way"
    if is_number and layout.hides_zeros and cell.value == 0:
        return ""
    if doubt:
        warnings.append(
            MarkupWarning("table.number_format", f"cell {cell.coordinate}: {doubt}; shown as {text.strip()[:40]!r}")
        )
    width = layout.widths.get(cell.column)
    if is_number and width is not None and (size := _size(text)) > width:
        warnings.append(
            MarkupWarning(
                "table.narrow",
                f"cell {cell.coordinate}: {text.strip()[:40]!r} is {size:g} digits wide, its column {width:g}",
            )
        )
    return text


def _size(text: str) -> float:
    """The width of a number in digits; points and blanks are half as wide."""
    return sum(0.5 if sign in ".,:;-' " else 1 for sign in text.strip())


def shown(value: Any, number_format: str, *, epoch: datetime.datetime | None = None) -> tuple[str, bool, str]:
    """(what Excel shows of a stored value, is it a number, why it may show something else); `epoch`: from which the
    workbook counts days.
    """
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE", False, ""
    if isinstance(
        value,
        (datetime.date, datetime.time, datetime.timedelta),
    ):
        value = _serial(value, epoch)
    if isinstance(value, (int, float)):
        number = shown_number(
            value,
            number_format,
            epoch1904=epoch is not None and epoch.year == 1904,
        )
        return number.text, True, number.doubt
    return shown_text(_text(value), number_format), False, ""


def _serial(value: datetime.date | datetime.time | datetime.timedelta, epoch: datetime.datetime | None) -> float:
    """A date as the number of days that Excel stores."""
    from openpyxl.utils.datetime import WINDOWS_EPOCH, to_excel

    return float(to_excel(value, epoch or WINDOWS_EPOCH))  # type: ignore[no-untyped-call]


def _text(value: Any) -> str:
    """A text; raised and lowered digits of it as in HTML (see `sft.markup.cell_text`)."""
    if not isinstance(value, list):
        text = str(value)
        return (
            _ESCAPE.sub(
                lambda match: chr(int(match[1], 16)),
                text,
            )
            if "_x" in text
            else text
        )
    runs = [
        run if isinstance(run, tuple) else (str(run), getattr(getattr(run, "font", None), "vertAlign", None))
        for run in value
    ]
    if not any(kind in _SCRIPTS for _, kind in runs):
        return "".join([_text(text) for text, _ in runs])
    pieces = [(html.escape(_text(text), quote=False), _SCRIPTS.get(kind or "")) for text, kind in runs]
    joined = "".join([f"<{tag}>{text}</{tag}>" if tag else text for text, tag in pieces])
    return " ".join(
        text for row in read_html(f"<table><tr><td>{joined}</td></tr></table>").rows for text in row if text
    )
