"""JSON arrays cut into elements: whatever is wrong with one of them, the others are all there, under their
own index.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.errors import UsageError
from sft.formats.base import Reject
from sft.formats.shared import json_stream
from sft.formats.shared.json_stream import JsonFault, document, object_units, unit_objects


def elements(path: Path, prefix: str = "item") -> list[Any]:
    found = [pair for unit in object_units(path, prefix) for pair in unit.payload]
    assert [index for index, _ in found] == list(range(len(found)))
    return [value for _, value in found]


def codes(values: list[Any]) -> list[Any]:
    return [value.code if isinstance(value, JsonFault) else value for value in values]


def put(folder: Path, content: bytes) -> Path:
    path = folder / "a.json"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[]", []),
        (b"\xef\xbb\xbf [ ]\n", []),
        (b'[1,{"a":"\\"}"},null,"x]",[2]]', [1, {"a": '"}'}, None, "x]", [2]]),
        (b'[{"a":NaN}, {"n": 123456789012345678901234567890}]', None),
        (b'[{"a":1},{"b":[1,2},{"c":3}]', [{"a": 1}, "source.syntax", {"c": 3}]),
        (b'[{"a":"\xff"},{"b":1}]', ["source.encoding", {"b": 1}]),
        (b'[{"a":"\\ud800"},{"b":1}]', ["source.encoding", {"b": 1}]),
        (b'[{"a":"\0"},{"b":1}]', ["source.syntax", {"b": 1}]),
        (b'[{"a":1},{"b":"open\n},{"c":2}]', [{"a": 1}, "source.syntax", {"c": 2}]),
        (b'[{"a":1},{"b":', [{"a": 1}, "source.syntax"]),
        (b'[{"a":1}', [{"a": 1}, "source.syntax"]),
        (b'[{"a":1}] [2]', [{"a": 1}, "source.syntax"]),
        (b'[{"a":1}}, {"b":2}]', [{"a": 1}, "source.syntax", {"b": 2}]),
        (b'[{"a":1}, {"b":2},]', [{"a": 1}, {"b": 2}]),
        (b"[{'a':1}, {\"b\":2}]", ["source.syntax", {"b": 2}]),
        (b"[" * 20_000 + b"]" * 20_000, ["source.too_large"]),
        (b'[{"d":' + b"[" * 200 + b"]" * 200 + b'},{"b":2}]', ["source.too_large", {"b": 2}]),
        (b"[" + b"[}" * 20_000, ["source.syntax"]),
    ],
)
def test_elements(content: bytes, expected: list[Any] | None, tmp_path: Path) -> None:
    found = elements(put(tmp_path, content))
    assert (
        codes(found) == expected if expected is not None else not any(isinstance(value, JsonFault) for value in found)
    )


@pytest.mark.parametrize("content", [b"", b"{}", b"\0\0\0", b'{"items": 3}'])
def test_what_is_no_array_is_an_error_of_the_source(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no JSON array"):
        list(object_units(put(tmp_path, content)))


def test_array_inside_an_object(tmp_path: Path) -> None:
    path = put(tmp_path, b'{"x": {"images": [9]}, "note": "\\"images\\": [8]", "images": [{"a": 1}, 2], "z": [3]}')
    assert elements(path, "images.item") == [{"a": 1}, 2]
    with pytest.raises(UsageError, match="no array 'absent'"):
        list(object_units(path, "absent.item"))


def test_an_element_that_is_too_large_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_OBJECT_BYTES", 100)
    monkeypatch.setattr(json_stream, "UNIT_BYTES", 64)
    rows = [{"a": 1}, {"b": "x" * 5000}, {"c": ["y" * 60] * 50}, {"d": 4}]
    assert codes(elements(put(tmp_path, json.dumps(rows).encode()))) == [
        {"a": 1},
        "source.too_large",
        "source.too_large",
        {"d": 4},
    ]


def test_units_are_bounded(tmp_path: Path) -> None:
    units = list(object_units(put(tmp_path, json.dumps([{"n": n} for n in range(1000)]).encode()), name="x.json"))
    assert [len(unit.payload) for unit in units] == [256, 256, 256, 232] and units[3].payload[-1] == (999, {"n": 999})
    assert [found[0] for found in unit_objects(units[1]) if isinstance(found, tuple)][:2] == [
        "x.json[256]",
        "x.json[257]",
    ]


def test_elements_that_are_no_objects_are_rejects(tmp_path: Path) -> None:
    (unit,) = object_units(put(tmp_path, b'[{"a": 1}, "text", {"b": }]'))
    first, second, third = unit_objects(unit)
    assert first == ("a.json[0]", {"a": 1})
    rejects = [found for found in (second, third) if isinstance(found, Reject)]
    assert [(found.where, found.code, found.raw) for found in rejects] == [
        ("a.json[1]", "source.shape", '"text"'),
        ("a.json[2]", "source.syntax", '{"b": }'),
    ]


def test_documents(tmp_path: Path) -> None:
    assert document(put(tmp_path, b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}
    for content, code in [
        (b"", "source.syntax"),
        (b'{"a": 1', "source.syntax"),
        (b"\xff", "source.encoding"),
        (b"[" * 300 + b"]" * 300, "source.too_large"),
    ]:
        found = document(put(tmp_path, content))
        assert isinstance(found, JsonFault) and found.code == code
    assert document(put(tmp_path, b"[1, 2, 3]"), max_bytes=5).code == "source.too_large"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, chunk=st.integers(1, 40), indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_any_array_in_any_chunks(
    rows: list[Any], chunk: int, indent: int | None, ascii_only: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = put(
        tmp_path_factory.getbasetemp(),
        b"  [" + json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")[1:],
    )
    expected = json.loads(path.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "UNIT_BYTES", max(chunk, 3))
        assert elements(path) == expected


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, data=st.data())
def test_what_stands_before_a_cut_is_kept(
    rows: list[Any], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    parts = [json.dumps(row).encode() for row in rows]
    whole = b"[" + b",".join(parts) + b"]"
    cut = data.draw(st.integers(1, len(whole) - 1))
    found = elements(put(tmp_path_factory.getbasetemp(), whole[:cut]))
    complete = sum(1 for number in range(1, len(parts) + 1) if cut >= 1 + sum(map(len, parts[:number])) + number - 1)
    assert found[:complete] == rows[:complete] and codes(found[complete:]) == ["source.syntax"]


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, where=st.integers(0, 5), junk=st.sampled_from([b"\xff", b"\0", b"}", b"NOPE", b"'", b'"\n']))
def test_one_broken_element_costs_one(
    rows: list[Any], where: int, junk: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    parts = [json.dumps(row).encode() for row in rows]
    parts.insert(min(where, len(parts)), b'{"a": ' + junk + b" ]}")
    found = elements(put(tmp_path_factory.getbasetemp(), b"[" + b",\n".join(parts) + b"]"))
    assert [value for value in found if not isinstance(value, JsonFault)] == rows
