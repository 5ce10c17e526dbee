"""One JSON value, and arrays that are cut at the bracket that is wrong: nothing behind it is lost, or the loss is
said.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sft.formats.shared import json_stream
from sft.formats.shared import json_stream as json_decode
from sft.formats.shared.json_stream import MAX_DEPTH, JsonFault, decode, object_units

LEAVES = st.none() | st.integers(-9, 9) | st.text('ab"\\[]{}é\n', max_size=6)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('k"\\[{', max_size=3), inner, max_size=4),
)


def elements(path: Path, content: bytes, prefix: str = "item") -> list[Any]:
    path.write_bytes(content)
    return [value for unit in object_units(path, prefix) for _, value in unit.payload]


def good(found: list[Any]) -> list[Any]:
    return [value for value in found if not isinstance(value, JsonFault)]


# depth


@settings(max_examples=300, deadline=None)
@given(VALUES)
@example([[], '"[', "\\", '\\"]', {'"{': "[["}])
def test_the_quick_depth_is_the_slow_one(value: Any) -> None:
    for raw in (json.dumps(value).encode(), msgspec.json.encode(value)):
        assert json_decode._valid_depth(raw) == json_decode._bracket_depth(raw)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"[[":'])
@pytest.mark.parametrize("more", ["", "NaN"])
def test_depth_is_bounded_to_the_bracket(opening: str, more: str) -> None:
    """Also where only Python reads the value (NaN), and where there are brackets enough to look at all."""
    closing = {"[": "]", '{"a":': "}", '[{"[[":': "}]"}[opening]
    levels = MAX_DEPTH // len(closing)
    for count, fault in ((levels - 1, False), (levels, True)):
        raw = ("[" + "[]," * 200 + opening * count + (more or "1") + closing * count + "]").encode()
        found = decode(raw)
        assert isinstance(found, JsonFault) is fault, (count, found)
        if isinstance(found, JsonFault):
            assert found.code == "source.too_large"


@pytest.mark.parametrize("count", [101, 5_000, 500_000])
@pytest.mark.parametrize("form", ["[", '{"a":', "]", '["]"', "[1,"])
def test_depth_that_no_parser_stands(count: int, form: str) -> None:
    found = decode((form * count).encode())
    assert isinstance(found, JsonFault)
    assert found.code == ("source.syntax" if form == "]" else "source.too_large")


def test_brackets_in_strings_are_no_depth() -> None:
    value = {"a": "[" * 500, "b": ["]" * 3, '\\"[' * 200], "c": [[1]] * 80}
    assert decode(json.dumps(value).encode()) == value


def test_a_wide_table_is_no_deep_one() -> None:
    table = {"html": {"cells": [{"tokens": list("<b>a</b>"), "bbox": [1, 2, 3, 4]} for _ in range(400)]}}
    assert decode(json.dumps(table).encode()) == table
    assert decode(json.dumps({**table, "x": float("inf")}).encode()) == {**table, "x": float("inf")}


def test_large_values_are_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_decode, "LARGE", 10)
    scanned: list[bytes] = []
    scan = json_decode._bracket_depth

    def noted(raw: bytes) -> int:
        scanned.append(raw)
        return scan(raw)

    monkeypatch.setattr(json_decode, "_bracket_depth", noted)
    assert decode(b"[" + b"[]," * 150 + b"0]") == [*[[]] * 150, 0]
    assert len(scanned) == 1
    assert isinstance(decode(b"[" * 101 + b"]" * 101), JsonFault)


# a bracket too many


@pytest.mark.parametrize(
    "broken", ['{"a": [}]}', '{"a": [1]]}', '{"a": 1}}', '{"a": 1}]', '{"a": 1]}', '{"a": 1}]}', '{"a": {]}}', "]", "}"]
)
@pytest.mark.parametrize("between", [", ", ",\n", "\n  ,\n  "])
@pytest.mark.parametrize("prefix", ["item", "x.item"])
@pytest.mark.parametrize("chunk", [3, 7, 64, 1 << 20])
def test_a_bracket_too_many_costs_one_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, between: str, prefix: str, chunk: int
) -> None:
    if prefix != "item" and broken in ('{"a": 1}]}', '{"a": 1}]', "]"):
        between = ",\n"
    monkeypatch.setattr(json_stream, "UNIT_BYTES", max(chunk, 8))
    text = "[" + between.join(['{"n": 1}', '{"n": [2]}', broken, '{"n": {"m": 3}}', '{"n": 4}']) + "]"
    content = text if prefix == "item" else f'{{"x": {text}, "y": [{{"n": 5}}]}}'
    found = elements(tmp_path / "a.json", content.encode(), prefix)
    assert [value for value in good(found) if "n" in value] == [{"n": 1}, {"n": [2]}, {"n": {"m": 3}}, {"n": 4}]
    assert len(found) > len(good(found)), "and it is said"


def test_whole_arrays_in_objects_end_where_they_end(tmp_path: Path) -> None:
    for behind in (', "y": [{"n": 2}]}', "}", "\n}\n", ' , "y": {"x": [{"n": 3}]}}'):
        assert elements(tmp_path / "a.json", b'{"x": [{"n": 1}]' + behind.encode(), "x.item") == [{"n": 1}]


# a bracket too few


@pytest.mark.parametrize(
    "broken",
    ['{"a": [1}', '{"a": {"b": 1}', '{"a": {"b": [{"c": 1}', '{"a": [1]', '{"a": "x}', "{", '{"a": [{"b": "\\"}', "[1"],
)
@pytest.mark.parametrize("indent", ["", "  ", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("prefix", ["item", "x.item"])
def test_a_bracket_too_few_costs_one_line(tmp_path: Path, broken: str, indent: str, end: str, prefix: str) -> None:
    lines = ['{"n": 1}', '{"n": [{"m": 2}]}', broken, '{"n": {"m": [3]}}', broken, '{"n": 4}']
    text = f"[{end}" + f",{end}".join(indent + line for line in lines) + f"{end}]{end}"
    found = elements(tmp_path / "a.json", (text if prefix == "item" else f'{{"x": {text}}}').encode(), prefix)
    assert good(found) == [{"n": 1}, {"n": [{"m": 2}]}, {"n": {"m": [3]}}, {"n": 4}]
    assert [value.code for value in found if isinstance(value, JsonFault)] == ["source.syntax"] * 2


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.integers(8, 90), st.integers(1, 8))
def test_wherever_chunks_end(tmp_path: Path, chunk: int, at: int) -> None:
    lines = [json.dumps({"n": number, "text": "[" * (number % 4), "boxes": [[number], [1]]}) for number in range(10)]
    broken = [*lines[:at], '{"n": -1, "boxes": [[1], [2]', *lines[at:]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "UNIT_BYTES", chunk)
        found = elements(tmp_path / "a.json", ("[\n  " + ",\n  ".join(broken) + "\n]").encode())
    assert [value["n"] for value in good(found)] == list(range(10))
    assert len(found) == 11


@pytest.mark.parametrize(
    "text",
    [
        '[\n{"n": 1,\n"boxes": [\n{"m": 1},\n{"m": 2}\n]},\n{"n": 2, "boxes": [\n{"m": 3},\n{"m": 4}\n]}\n]',
        '[{"n": 1}, {"n": 2, "boxes": [\n{"m": 1},\n{"m": 2}\n]}]',
        '[\n  {"n": 1},\n  {"n": 2, "boxes": [\n    {"m": 1},\n    {"m": 2}\n  ]}\n]',
    ],
)
def test_objects_of_several_lines_stay_whole(tmp_path: Path, text: str) -> None:
    assert elements(tmp_path / "a.json", text.encode()) == json.loads(text)


def test_where_lines_do_not_tell_the_loss_is_said(tmp_path: Path) -> None:
    rest = ", ".join('{"n": 1}' for _ in range(1000))
    first, fault = elements(tmp_path / "a.json", f'[{{"n": 0}}, {{"a": [1, {rest}]'.encode())
    assert first == {"n": 0}
    assert isinstance(fault, JsonFault)
    assert f"{len(rest) + 11:,} bytes behind the last whole element are lost" in fault.message
    *_, fault = elements(tmp_path / "a.json", f'[{{"n": 0}}]\n{rest}'.encode())
    assert isinstance(fault, JsonFault)
    assert f"{len(rest):,} bytes are lost" in fault.message
