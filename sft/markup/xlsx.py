"""Excel sheets → grid: the shown values as far as the cell's number format is a simple one, and merged ranges as spans.

openpyxl reads the values, row by row and only what is stored. It sees merged ranges only when it builds the whole
sheet, and then makes an object for every slot of a range, which a file of 5 kB can make 17 billion: the ranges are read
here.
"""

from __future__ import annotations

import datetime
import re
import zipfile
from pathlib import Path
from typing import Any

from sft.errors import UsageError
from sft.markup.cell_text import formulas, one_line
from sft.markup.errors import MarkupError
from sft.markup.grid import SLOTS, Cell, Grid, check_size

UNPACKED = 256 * 1024 * 1024  # bytes of all parts of a file together
PARTS = 5000
_RANGE = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7}):\$?([A-Z]{1,3})\$?([0-9]{1,7})")
_FORMAT = re.compile(r"(#,##)?0(?:\.(0{1,15}))?(%)?(?:_\)|_-)?")
_REFUSED = (b"<!DOCTYPE", b"<!ENTITY")


def parse_xlsx(path: Path | str, sheet: str | None = None) -> Grid:
    """The filled part of a sheet (the first one that has any, or the one named). Formulas count as the values stored
    with them.

    Raises: MarkupError `source.syntax` if it is no Excel file, or has no such sheet, or nothing in it;
    `source.too_large`; `source.refused` for one with a document type. UsageError without openpyxl.
    """
    try:
        import openpyxl
    except ImportError:
        raise UsageError("reading Excel sheets takes openpyxl", hint="pip install 'paddleocr-vl-sft[data]'") from None
    import warnings

    file = Path(path)
    check_parts(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # extensions and styles that openpyxl does not know
        try:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            try:
                names = [one.title for one in book.worksheets]
                if sheet is not None and sheet not in names:
                    raise MarkupError(
                        "source.syntax", f"no sheet {sheet!r}", hint=f"there are: {', '.join(names[:20])}"
                    )
                for one in book.worksheets:
                    if sheet in (None, one.title) and (grid := read_sheet(one, file)) is not None:
                        return grid
            finally:
                book.close()
        except (MarkupError, OSError, MemoryError):
            raise
        except Exception as error:  # a damaged file makes openpyxl raise nearly anything
            raise MarkupError(
                "source.syntax", f"not a readable Excel file: {type(error).__name__}: {str(error)[:200]}"
            ) from None
    raise MarkupError("source.syntax", "nothing in the sheet" if sheet else "nothing in any sheet")


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
        zipfile.zlib.error,
    ) as error:  # type: ignore[attr-defined]
        if isinstance(error, MarkupError):
            raise
        raise MarkupError("source.syntax", f"not an Excel file (.xlsx): {error}") from None


def read_sheet(sheet: Any, file: Path) -> Grid | None:
    """The filled part of a sheet; None if nothing is in it."""
    sheet.reset_dimensions()  # it may claim 17 billion slots
    filled: dict[tuple[int, int], str] = {}
    seen = 0
    for row in sheet.iter_rows():
        seen += len(row) + 1
        if seen > 4 * SLOTS:
            raise MarkupError("source.too_large", f"a sheet of more than {SLOTS} slots")
        for cell in row:
            if cell.value is not None and (text := shown(cell.value, cell.number_format)):
                filled[cell.row, cell.column] = text
    if not filled:
        return None
    top = min(row for row, _ in filled)
    left = min(column for _, column in filled)
    height = max(row for row, _ in filled) - top + 1
    width = max(column for _, column in filled) - left + 1
    check_size(height, width, "source.too_large")
    ranges, notes = merged(file, sheet)
    cells = {(row - top, column - left): Cell(text) for (row, column), text in filled.items()}
    slots = 0
    for place, span in ranges.items():
        row = place[0] - top
        column = place[1] - left
        if 0 <= row < height and 0 <= column < width:
            tall = min(span[0], height - row)
            wide = min(span[1], width - column)
            cells[row, column] = Cell(
                cells[row, column].text if (row, column) in cells else "",
                tall,
                wide,
            )
            slots += tall * wide
            if slots > 4 * SLOTS:
                raise MarkupError("source.too_large", f"merged ranges over more than {4 * SLOTS} slots")
    return Grid.from_cells(
        height,
        width,
        [(row, column, cell) for (row, column), cell in sorted(apart(cells, notes).items())],
        warnings=notes[:100],
    )


def apart(cells: dict[tuple[int, int], Cell], notes: list[str]) -> dict[tuple[int, int], Cell]:
    """The cells without those that a merged range covers: Excel does not show them."""
    taken: set[tuple[int, int]] = set()
    kept = {}
    for (row, column), cell in sorted(cells.items()):
        slots = [(r, c) for r in range(row, row + cell.rowspan) for c in range(column, column + cell.colspan)]
        if taken.isdisjoint(slots):
            kept[row, column] = cell
            if len(slots) > 1:
                taken.update(slots)
        elif (row, column) in taken:
            if cell.text or len(slots) > 1:
                notes.append(
                    f"row {row + 1}, column {column + 1}: hidden under a merged range, dropped: {cell.text[:40]!r}"
                )
        else:
            notes.append(f"row {row + 1}, column {column + 1}: the merged range overlaps another; not merged")
            kept[row, column] = Cell(cell.text)
    return kept


def merged(file: Path, sheet: Any) -> tuple[dict[tuple[int, int], tuple[int, int]], list[str]]:
    """(row, column) from 1 → (rows, columns) of the merged ranges of a sheet, and a note for each formula without a
    stored value.
    """
    from lxml import etree
    from openpyxl.utils import column_index_from_string

    found: dict[tuple[int, int], tuple[int, int]] = {}
    notes: list[str] = []
    with zipfile.ZipFile(file) as packed, packed.open(sheet._worksheet_path.lstrip("/")) as part:
        for _, element in etree.iterparse(
            part,
            events=("end",),
            tag=("{*}mergeCell", "{*}c", "{*}row"),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
        ):
            name = etree.QName(element).localname
            if name == "c":
                inner = {etree.QName(child).localname: child.text for child in element}
                if "f" in inner and not inner.get("v"):
                    notes.append(f"cell {element.get('r', '?')[:10]}: a formula without a stored value; blank")
                continue  # its row is cleared as a whole
            if name == "mergeCell" and (area := _RANGE.fullmatch(element.get("ref", ""))):
                left = column_index_from_string(area[1])
                right = column_index_from_string(area[3])
                top = int(area[2])
                bottom = int(area[4])
                found.setdefault(
                    (top, left),
                    (max(bottom - top, 0) + 1, max(right - left, 0) + 1),
                )
            if len(found) > SLOTS or len(notes) > SLOTS:
                raise MarkupError("source.too_large", f"more than {SLOTS} merged ranges or formulas")
            element.clear()
            parent = element.getparent()
            while parent is not None and element.getprevious() is not None:
                del parent[0]
    return found, notes


def shown(value: Any, number_format: str | None) -> str:
    """A stored value as Excel shows it, for plain text, numbers with simple formats, dates (as ISO) and
    truth values.
    """
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float)):
        return number(value, number_format or "General")
    if isinstance(value, datetime.datetime):
        return (
            value.date().isoformat() if value.time() == datetime.time() else value.isoformat(sep=" ", timespec="auto")
        )
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return formulas(one_line(str(value)))


def number(value: float, number_format: str) -> str:
    """`1234.5` under `#,##0.00` → `1,234.50`; formats of other kinds count as General: up to 15 digits."""
    style = _FORMAT.fullmatch(number_format)
    if style and abs(value) < 1e15:
        places = len(style[2] or "")
        return f"{value * (100 if style[3] else 1):{',' if style[1] else ''}.{places}f}{style[3] or ''}"
    return str(value) if isinstance(value, int) else f"{value:.15g}"
