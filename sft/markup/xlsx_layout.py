"""What a sheet says beside its values: merged ranges, hidden rows and columns, widths, formulas without a value, zeros
that are not shown.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sft.markup.errors import MarkupError, MarkupWarning
from sft.markup.grid import SLOTS

if TYPE_CHECKING:
    from lxml.etree import _Element

COLUMNS = 16_384  # of a sheet
BOOK = "xl/workbook.xml"
_ANEW = re.compile(rb"<(?:\w+:)?calcPr\b[^<>]*\bfullCalcOnLoad\s*=\s*[\"'](?:1|true)[\"']")
_PADDING = 0.71  # of a column, in digits
_TRUE = ("1", "true")


@dataclass
class SheetLayout:
    """Rows and columns count from 1. `merged`: where a range begins → rows and columns; `widths`: of columns that
    somebody set, in digits.
    """

    merged: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    hidden_rows: set[int] = field(default_factory=set)
    shown_rows: set[int] = field(default_factory=set)  # where rows are hidden unless they say otherwise
    rows_are_hidden: bool = False
    hidden_columns: set[int] = field(default_factory=set)
    widths: dict[int, float] = field(default_factory=dict)
    formulas: list[tuple[int, int, str]] = field(
        default_factory=list
    )  # row and column of cells with a formula whose value is not known, and a sentence on it
    counts_anew: bool = False  # Excel computes every formula when it opens the file
    hides_zeros: bool = False
    runs: dict[tuple[int, int], list[tuple[str, str]]] = field(
        default_factory=dict
    )  # texts, with "superscript" or "subscript", that openpyxl joins here

    def is_hidden_row(self, number: int) -> bool:
        """Whether the row cannot be seen."""
        return number in self.hidden_rows or (self.rows_are_hidden and number not in self.shown_rows)

    def seen_at(self, row: int, column: int) -> tuple[int, int] | None:
        """Where what is stored in a cell is seen: there, or where the merged range that it begins is seen first; None
        for nowhere.
        """
        height, width = self.merged.get((row, column), (1, 1))
        seen_row = next(
            (number for number in range(row, row + height) if not self.is_hidden_row(number)),
            None,
        )
        seen_column = next(
            (number for number in range(column, column + width) if number not in self.hidden_columns), None
        )
        return None if seen_row is None or seen_column is None else (seen_row, seen_column)

    def missing(self, row: int = 0) -> list[MarkupWarning]:
        """A warning for every formula whose value is not known and that can be seen, in one row or (0) in all."""
        return [
            MarkupWarning("table.formula", sentence)
            for number, column, sentence in self.formulas
            if row in (0, number) and self.seen_at(number, column)
        ]


def read_layout(file: Path, part: str) -> SheetLayout:
    """The layout of the sheet in a part of a workbook. Raises: MarkupError `source.too_large`."""
    from lxml import etree

    layout = SheetLayout(counts_anew=_counts_anew(file))
    readers: dict[str, Callable[[_Element, SheetLayout], None]] = {
        "mergeCell": _merge,
        "c": _cell,
        "row": _row,
        "col": _column,
        "sheetFormatPr": _defaults,
        "sheetView": _view,
    }
    with zipfile.ZipFile(file) as packed, packed.open(part.lstrip("/")) as stream:
        tags = [f"{{*}}{name}" for name in readers]
        for _, element in etree.iterparse(
            stream, events=("end",), tag=tags, resolve_entities=False, no_network=True, load_dtd=False
        ):
            name = etree.QName(element).localname
            readers[name](element, layout)
            if len(layout.merged) > SLOTS or len(layout.formulas) > SLOTS:
                raise MarkupError("source.too_large", f"more than {SLOTS} merged ranges or formulas")
            if name == "c":
                continue  # its row is cleared as a whole
            element.clear()
            parent = element.getparent()
            while name != "col" and parent is not None and element.getprevious() is not None:
                del parent[0]
    return layout


def _counts_anew(file: Path) -> bool:
    """Whether a workbook asks for all formulas to be computed when it is opened, as those do that come from a library
    which computes nothing and stores 0.
    """
    with zipfile.ZipFile(file) as packed:
        book = packed.read(BOOK) if BOOK in packed.namelist() else b""
    return _ANEW.search(book) is not None


def _merge(element: _Element, layout: SheetLayout) -> None:
    first, colon, last = element.get("ref", "").replace("$", "").partition(":")
    begin = _place(first)
    end = _place(last)
    if colon and begin and end:
        layout.merged.setdefault(
            begin,
            (max(end[0] - begin[0], 0) + 1, max(end[1] - begin[1], 0) + 1),
        )


def _place(name: str) -> tuple[int, int] | None:
    """`C5` → (5, 3)."""
    letters = name.rstrip("0123456789")
    digits = name[len(letters) :]
    if not 0 < len(letters) <= 3 or not 0 < len(digits) <= 7 or not (letters.isascii() and letters.isalpha()):
        return None
    column = 0
    for letter in letters.upper():
        column = 26 * column + ord(letter) - 64
    return int(digits), column


def _cell(element: _Element, layout: SheetLayout) -> None:
    """A formula has its value in <v>, or a text in <is>."""
    inner = {child.tag.rpartition("}")[2]: child.text for child in element if isinstance(child.tag, str)}
    place = _place(element.get("r", ""))
    if place and element.get("t") == "inlineStr" and (runs := _runs(element)):
        layout.runs[place] = runs
    if "f" not in inner or "is" in inner or not place or element.get("t") == "str":
        return
    if not inner.get("v"):
        layout.formulas.append((*place, f"cell {element.get('r', '')}: a formula without a stored value; blank"))
    elif layout.counts_anew and inner["v"] == "0":
        said = "a formula that Excel computes when it opens the file; the 0 that is stored is written"
        layout.formulas.append((*place, f"cell {element.get('r', '')}: {said}"))


def _runs(cell: _Element) -> list[tuple[str, str]]:
    """The runs of a text that stands in the cell itself, if one of them is raised or lowered; openpyxl knows only
    those of shared texts.
    """
    runs = [
        ("".join(run.itertext("{*}t")), next((one.get("val", "") for one in run.iter("{*}vertAlign")), ""))
        for run in cell.iter("{*}r")
    ]
    return runs if any(kind for _, kind in runs) else []


def _row(element: _Element, layout: SheetLayout) -> None:
    number = element.get("r", "")
    if not number.isdecimal() or len(number) > 7:
        return
    if element.get("hidden") in _TRUE or element.get("ht") == "0":
        layout.hidden_rows.add(int(number))
    elif layout.rows_are_hidden and (element.get("hidden") is not None or element.get("ht") is not None):
        layout.shown_rows.add(int(number))


def _column(element: _Element, layout: SheetLayout) -> None:
    try:
        first = int(element.get("min", "0"))
        last = min(int(element.get("max", "0")), COLUMNS)
        width = float(element.get("width", "nan"))
    except ValueError:
        return
    columns = range(max(first, 1), last + 1)
    if element.get("hidden") in _TRUE or width == 0:
        layout.hidden_columns.update(columns)
    elif element.get("customWidth") in _TRUE and width == width:
        layout.widths.update(dict.fromkeys(columns, width - _PADDING))


def _defaults(element: _Element, layout: SheetLayout) -> None:
    layout.rows_are_hidden = element.get("zeroHeight") in _TRUE


def _view(element: _Element, layout: SheetLayout) -> None:
    layout.hides_zeros = element.get("showZeros") in ("0", "false")
