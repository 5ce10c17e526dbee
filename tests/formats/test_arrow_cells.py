"""Values read from Arrow's buffers are those that pyarrow gives."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.formats.shared.arrow_cells import cells_of

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TEXTS = st.none() | st.text(st.characters(codec="utf-8"), max_size=5)
BYTES = st.none() | st.binary(max_size=5)
IMAGES = st.none() | st.fixed_dictionaries({"bytes": BYTES, "path": TEXTS})
KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.binary(), BYTES),
    (pa.large_binary(), BYTES),
    (IMAGE, IMAGES),
    (pa.struct([("inner", IMAGE), ("n", pa.int64())]), st.fixed_dictionaries({"inner": IMAGES, "n": st.just(7)})),
    (pa.list_(pa.string()), st.none() | st.lists(TEXTS, max_size=3)),
    (pa.int32(), st.none() | st.integers(-9, 9)),
    (pa.dictionary(pa.int32(), pa.string()), TEXTS),
    (pa.string_view(), TEXTS),
    (pa.null(), st.none()),
]


def read(batch: Any) -> list[dict[str, Any]]:
    cells = cells_of(batch)
    return [{name: cell(row) for name, cell in cells} for row in range(batch.num_rows)]


@given(st.data())
def test_cells_are_what_pyarrow_says(data: st.DataObject) -> None:
    kind, values = data.draw(st.sampled_from(KINDS))
    column = data.draw(st.lists(values, max_size=20))
    batch = pa.record_batch({"a": pa.array(column, kind), "b": pa.array(range(len(column)))})
    first = data.draw(st.integers(0, len(column)))
    part = batch.slice(first, data.draw(st.integers(0, len(column) - first)))
    assert read(batch) == batch.to_pylist()
    assert read(part) == part.to_pylist() == read(batch)[first : first + part.num_rows]


def test_a_text_that_is_not_utf_8_costs_its_own_row() -> None:
    content = pa.array([b"a", b"\xff", b"c"]).cast(pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, content.buffers())
    ((_, cell),) = cells_of(pa.record_batch({"t": text}))
    assert (cell(0), cell(2)) == ("a", "c")
    with pytest.raises(UnicodeDecodeError):
        cell(1)


def test_columns_of_one_name_are_no_row() -> None:
    batch = pa.record_batch([pa.array(["a"]), pa.array(["b"])], names=["t", "t"])
    ((name, cell),) = cells_of(batch)
    assert name == "t"
    with pytest.raises(KeyError):
        cell(0)
