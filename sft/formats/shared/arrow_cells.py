"""Values of a record batch as Python objects, read from its buffers: text, bytes and images, and what is in structs of
them. `Scalar.as_py` gives the same values, about five times as slowly; it reads the columns of all other types.

For batches whose offsets are known to be sound, as those that were decoded from Parquet are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Cell = Callable[[int], Any]  # row of the batch → value
Cells = list[tuple[str, Cell]]


def cells_of(batch: Any) -> Cells:
    """(name, how to read a value) of every column of a `pyarrow.RecordBatch`.

    Reading raises UnicodeDecodeError for a text that is not UTF-8, and whatever pyarrow raises.
    """
    return [(name, _cell(batch, name)) for name in dict.fromkeys(batch.schema.names)]


def _cell(batch: Any, name: str) -> Cell:
    if batch.schema.names.count(name) > 1:  # pyarrow says so, for every row
        return lambda row: batch.column(name)[row].as_py()
    return _of_array(batch.column(name))


def _of_array(array: Any) -> Cell:
    from pyarrow import types

    kind = array.type
    if types.is_string(kind) or types.is_large_string(kind):
        return _with_nulls(array, _text(*_buffers(array)))
    if types.is_binary(kind) or types.is_large_binary(kind):
        return _with_nulls(array, _bytes(*_buffers(array)))
    if types.is_struct(kind):
        names = [kind.field(number).name for number in range(kind.num_fields)]
        if len(set(names)) == len(names):
            return _with_nulls(
                array, _struct([(name, _of_array(array.field(number))) for number, name in enumerate(names)])
            )
    return lambda row: array[row].as_py()


def _with_nulls(array: Any, read: Cell) -> Cell:
    if not array.null_count:
        return read
    if array.null_count == len(array):
        return lambda row: None
    # one bit a value, 1 where there is one; `Array.is_valid` says the same, but loads all functions of pyarrow first
    bits = memoryview(array.buffers()[0]).cast("B")
    first = array.offset
    return lambda row: read(row) if bits[first + row >> 3] >> (first + row & 7) & 1 else None


def _buffers(array: Any) -> tuple[list[int], memoryview]:
    """(where each value begins, and the last one ends; the bytes of all)."""
    _, offsets, content = array.buffers()
    if not len(array):
        return [0], memoryview(b"")
    places = memoryview(offsets).cast("q" if str(array.type).startswith("large_") else "i")
    return places[array.offset : array.offset + len(array) + 1].tolist(), memoryview(content or b"")


def _text(places: list[int], content: memoryview) -> Cell:
    return lambda row: str(content[places[row] : places[row + 1]], "utf-8")


def _bytes(places: list[int], content: memoryview) -> Cell:
    return lambda row: bytes(content[places[row] : places[row + 1]])


def _struct(cells: Cells) -> Cell:
    return lambda row: {name: cell(row) for name, cell in cells}
