"""What the items of a DoclingDocument say: texts, tables, charts and form fields, each with its place on a page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from typing import Any

from sft.errors import RowRejected
from sft.markup import Cell, Grid, MarkupError, join_words
from sft.types import Task

MAX_CELLS = 100_000  # of one table
MAX_REFERENCES = 1000  # followed for one cell; they might run in a circle
Label = tuple[Task, str | Grid, str, Any]  # task, label, how it is written, place on the page


def task_of(kind: str, item: Mapping[str, Any]) -> Task:
    """What an item of the list `kind` is, whether it can be read or not."""
    if kind in ("tables", "pictures"):
        return Task.TABLE if kind == "tables" else Task.CHART
    return Task.FORMULA if item.get("label") == "formula" else Task.OCR


def labels_of(kind: str, item: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Label]:
    """One label per place of an item; RowRejected where it has none. `document` is where cells find what they refer
    to.
    """
    if kind == "tables":
        rows, columns, table_cells = table_cells_of(item.get("data"), document)
        yield Task.TABLE, Grid.from_sparse(table_cells, rows, columns), "auto", _only_place(item)
    elif kind == "pictures":
        yield Task.CHART, _chart(item, document), "csv", _only_place(item)
    elif kind == "texts":
        yield from _text(item)
    else:
        graph = item.get("graph")
        cells = graph.get("cells") if isinstance(graph, dict) else None
        if not isinstance(cells, list):
            raise RowRejected("source.shape", "no cells in this form")
        for cell in cells:
            if isinstance(cell, dict) and cell.get("prov") and not cell.get("item_ref"):
                yield Task.OCR, _string(cell, "text"), "text", cell["prov"]


def places_of(item: Mapping[str, Any]) -> list[Any]:
    """Where an item stands, one place per page or column."""
    places = item.get("prov") or []
    return places if isinstance(places, list) else [places]


def _only_place(item: Mapping[str, Any]) -> Any:
    places = places_of(item)
    if len(places) > 1:
        raise RowRejected(
            "source.inexpressible", f"it stands in {len(places)} places, and nothing says which part is where"
        )
    return places[0] if places else None


def _string(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key, "")
    if not isinstance(value, str):
        raise RowRejected("source.shape", f"{key} is not a text")
    return value


def _text(item: Mapping[str, Any]) -> Iterator[Label]:
    task = task_of("texts", item)
    text = _string(item, "text")
    original = _string(item, "orig")
    if item.get("content_layer") == "invisible":
        raise RowRejected("source.ignored", "an invisible text")
    if task is Task.FORMULA:
        if not text.strip():
            raise MarkupError("target.empty", "a formula that was not recognised")
        yield task, text, "latex", _only_place(item)
        return
    if item.get("label") == "list_item" and text.strip() and original.rstrip().endswith(text.rstrip()):
        text = original
    places = places_of(item)
    if len(places) < 2:
        yield task, text, "text", places[0] if places else None
        return
    spans = [place.get("charspan") if isinstance(place, dict) else None for place in places]
    whole = original if original and spans[-1] and spans[-1] == [spans[-1][0], len(original)] else text
    end = 0
    for place, span in zip(places, spans, strict=True):
        if (
            not isinstance(span, list)
            or len(span) != 2
            or not all(type(value) is int for value in span)
            or not end <= span[0] <= span[1] <= len(whole)
        ):
            raise RowRejected(
                "source.inexpressible", f"a text in {len(places)} places whose charspans do not divide it"
            )
        if whole[end : span[0]].strip():
            raise RowRejected("source.inexpressible", "a text with a part that is nowhere on the page")
        end = span[1]
        yield task, whole[span[0] : span[1]].strip(), "text", place


def table_cells_of(data: Any, document: Mapping[str, Any]) -> tuple[int, int, list[tuple[int, int, Cell]]]:
    """(rows, columns, cells in the order of the source) of a table."""
    cells = data.get("table_cells") if isinstance(data, dict) else None
    if not isinstance(cells, list):
        raise RowRejected("source.shape", "a table without table_cells")
    placed = [(*_position(cell), _cell(cell, document)) for cell in cells]
    rows = max(
        [
            _whole(data, "num_rows"),
            *(row + 1 for row, _, _ in placed),
        ]
    )
    columns = max(
        [
            _whole(data, "num_cols"),
            *(column + 1 for _, column, _ in placed),
        ]
    )
    if rows * columns > MAX_CELLS:
        raise RowRejected("source.too_large", f"a table of {rows} x {columns} cells")
    if not placed:
        raise MarkupError("target.empty", "a table without cells")
    return rows, columns, placed


def _position(cell: Any) -> tuple[int, int]:
    if not isinstance(cell, dict):
        raise RowRejected("source.shape", "a cell that is not an object")
    return _whole(cell, "start_row_offset_idx", None), _whole(cell, "start_col_offset_idx", None)


def _cell(cell: Mapping[str, Any], document: Mapping[str, Any]) -> Cell:
    header = cell.get("column_header") is True or cell.get("row_header") is True
    text = _string(cell, "text")
    if not text.strip() and cell.get("ref"):
        text = join_words(
            [
                _string(item, "text")
                for kind, item in referred(cell["ref"], document)
                if kind == "texts" and _string(item, "text").strip()
            ]
        )
    return Cell(
        text,
        _span(cell, "row"),
        _span(cell, "col"),
        header,
    )


def _span(cell: Mapping[str, Any], kind: str) -> int:
    """Rows or columns of a cell: from its first to its last one, which is what docling itself goes by, or else as
    stated.
    """
    start = _whole(cell, f"start_{kind}_offset_idx")
    end = _whole(cell, f"end_{kind}_offset_idx")
    return end - start if end > start else max(1, _whole(cell, f"{kind}_span", 1))


def referred(reference: Any, document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(list, item) of all that is below what a cell refers to (`{"$ref": "#/field_items/0"}`), in order."""
    waiting = [reference]
    seen = 0
    while waiting:
        seen += 1
        if seen > MAX_REFERENCES:
            raise RowRejected("source.shape", "a cell refers to too many items, or to itself")
        name = waiting.pop()
        path = str(name.get("$ref")) if isinstance(name, dict) else ""
        item = item_at(path, document)
        if item is None:
            raise RowRejected("source.shape", f"a cell refers to {str(name)[:60]}, which does not exist")
        yield path.split("/")[1], item
        children = item.get("children")
        waiting += reversed(children) if isinstance(children, list) else []


def item_at(path: str, document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The item that "#/texts/0" names; None where there is none."""
    parts = path.split("/")
    if len(parts) != 3:
        return None
    _, name, number = parts
    items = document.get(name)
    if not isinstance(items, list) or not number.isdecimal() or len(number) > 9:
        return None
    index = int(number)
    if index >= len(items):
        return None
    item = items[index]
    return item if isinstance(item, dict) else None


def children_of(item: Any) -> list[str]:
    """The paths of what stands below an item."""
    children = item.get("children") if isinstance(item, dict) else None
    references = (
        [child.get("$ref") for child in children if isinstance(child, dict)] if isinstance(children, list) else []
    )
    return [path for path in references if isinstance(path, str)]


def _whole(item: Mapping[str, Any], key: str, default: int | None = 0) -> int:
    value = item.get(key, default)
    if type(value) is not int or not 0 <= value <= MAX_CELLS:
        raise RowRejected(
            "source.shape",
            f"{key} is {str(value)[:20]!r}",
        )
    return value


def _chart(item: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """The data of a chart as CSV."""
    meta = item.get("meta")
    notes = item.get("annotations")
    objects = [note for note in notes if isinstance(note, dict)] if isinstance(notes, list) else []
    if isinstance(meta, dict) and isinstance(meta.get("tabular_chart"), dict):
        objects.insert(0, {"kind": "tabular_chart_data", **meta["tabular_chart"]})
    for note in objects:
        kind = note.get("kind")
        if kind == "tabular_chart_data":
            return _csv(_plain(note.get("chart_data"), document))
        if kind == "bar_chart_data":
            return _csv(
                [
                    [note.get("x_axis_label", ""), note.get("y_axis_label", "")],
                    *([bar.get("label"), bar.get("values")] for bar in _list(note, "bars")),
                ]
            )
        if kind == "pie_chart_data":
            return _csv(
                [
                    ["", note.get("title", "")],
                    *([slice_.get("label"), slice_.get("value")] for slice_ in _list(note, "slices")),
                ]
            )
        if kind == "line_chart_data":
            return _csv(_lines(note))
        if kind in ("stacked_bar_chart_data", "scatter_chart_data"):
            raise RowRejected("source.inexpressible", f"{kind} cannot be expressed as one table")
    raise RowRejected("source.ignored", "a picture without chart data")


def _list(note: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = note.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise RowRejected("source.shape", f"{key} is not a list of objects")
    return value


def _plain(data: Any, document: Mapping[str, Any]) -> list[list[str]]:
    rows, columns, cells = table_cells_of(data, document)
    table = [[""] * columns for _ in range(rows)]
    for row, column, cell in cells:
        if cell.rowspan > 1 or cell.colspan > 1:
            raise RowRejected("source.inexpressible", "a chart whose table has cells over several columns or rows")
        table[row][column] = cell.text
    return table


def _lines(note: Mapping[str, Any]) -> list[list[Any]]:
    """One column per line, one row per value on the x axis, in the order in which they come."""
    lines = _list(note, "lines")
    table: dict[Any, dict[int, Any]] = {}
    for index, line in enumerate(lines):
        values = line.get("values")
        if not isinstance(values, list) or not all(
            isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], (int, float, str)) for pair in values
        ):
            raise RowRejected("source.shape", "the values of a line are not pairs")
        for x, y in values:
            table.setdefault(x, {})[index] = y
    if len(table) * len(lines) > MAX_CELLS:
        raise RowRejected(
            "source.too_large",
            f"a chart of {len(table)} x {len(lines)} values",
        )
    return [
        [
            note.get("x_axis_label", ""),
            *(line.get("label") for line in lines),
        ],
        *([x, *(ys.get(index, "") for index in range(len(lines)))] for x, ys in table.items()),
    ]


def _csv(table: list[list[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in table:
        if not all(isinstance(value, (str, int, float)) or value is None for value in row):
            raise RowRejected("source.shape", "a label or value of the chart is neither text nor number")
        if not all(math.isfinite(value) for value in row if isinstance(value, float)):
            raise RowRejected("source.shape", "a value of the chart is not a number")
        writer.writerow(
            [
                int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value
                for value in row
            ]
        )
    return out.getvalue()
