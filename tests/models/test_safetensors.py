"""Tables of safetensors files that strangers made: sound, or refused with a sentence."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import PATIENCE

from sft.errors import ProblemsFound
from sft.models.safetensors import head, safetensors_header, tensor_bytes, tensor_table

GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write(path: Path, header: Any, data: int = 8) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))
    return path


def join(path: Path, out: Path) -> None:
    """A copy, tensor by tensor."""
    table = tensor_table([path])
    entries = [(name, one[1]) for name, one in sorted(table.items(), key=lambda item: item[1][1]["data_offsets"])]
    text = head(
        (name, entry["dtype"], entry["shape"], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in entries
    )
    out.write_bytes(text + b"".join(b"".join(tensor_bytes(path, entry, 3)) for _, entry in entries))


def refused(path: Path) -> str:
    with pytest.raises(ProblemsFound, match="not a complete safetensors file") as caught:
        safetensors_header(path)
    assert caught.value.where == str(path) and caught.value.hint
    assert len(str(caught.value)) < 2000
    return caught.value.message


def test_a_sound_table(tmp_path: Path) -> None:
    second = {"dtype": "BF16", "shape": [], "data_offsets": [8, 10]}
    empty = {"dtype": "F32", "shape": [0, 3], "data_offsets": [8, 8]}
    path = write(tmp_path / "a", {"__metadata__": {"format": "pt"}, "b": second, "e": empty, "a": GOOD}, 10)
    assert safetensors_header(path) == {"a": GOOD, "b": second, "e": empty}
    join(path, tmp_path / "joined")
    assert safetensors_header(tmp_path / "joined") == {"a": GOOD, "b": second, "e": empty}
    assert safetensors_header(write(tmp_path / "none", {}, 0)) == {}


@pytest.mark.parametrize(
    "header",
    [b"[" * 100_000, b'{"a":' * 100_000, b"{", b"\xff", b"[]", b"5", b"", b'{"a": ' + b"9" * 5000 + b"}"],
    ids=range(8),
)
def test_a_header_that_is_no_table(tmp_path: Path, header: bytes) -> None:
    assert "its header is not" in refused(write(tmp_path / "a", header))


NO_DTYPES: list[Any] = [None, 5, []]
NO_SHAPES: list[Any] = [None, 5, "22", {}, [-1], [1.0], ["2"], [True], [[2]]]
NO_OFFSETS: list[Any] = [
    None,
    "08",
    8,
    [],
    [8],
    [0, 4, 8],
    ["0", "8"],
    [0.0, 8.0],
    [False, 8],
    [None, 8],
    [-8, 8],
    [8, 0],
    [0, 9],
    [0, 10**30],
    {"0": 0, "1": 8},
]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        5,
        [],
        {},
        *({key: value for key, value in GOOD.items() if key != left_out} for left_out in GOOD),
        *({**GOOD, "dtype": value} for value in NO_DTYPES),
        *({**GOOD, "shape": value} for value in NO_SHAPES),
        *({**GOOD, "data_offsets": value} for value in NO_OFFSETS),
        {**GOOD, "dtype": 5, "more": "x" * 100_000},
    ],
    ids=lambda entry: repr(entry)[:60],
)
def test_a_broken_entry(tmp_path: Path, entry: Any) -> None:
    message = refused(write(tmp_path / "a", {"a": entry}))
    assert message.startswith("not a complete safetensors file: the entry of tensor 'a' is broken")


@pytest.mark.parametrize(
    ("offsets", "data", "said"),
    [
        ([[0, 8], [0, 8]], 8, "overlap"),
        ([[0, 8], [4, 12]], 12, "overlap"),
        ([[0, 16], [4, 8]], 16, "overlap"),
        ([[0, 4], [8, 12]], 12, "between"),
        ([[4, 8]], 8, "between"),
        ([[0, 4], [4, 8]], 12, "do not fill"),
        ([], 8, "do not fill"),
    ],
)
def test_tensors_lie_side_by_side(tmp_path: Path, offsets: list[list[int]], data: int, said: str) -> None:
    header = {str(number): {**GOOD, "data_offsets": pair} for number, pair in enumerate(offsets)}
    assert said in refused(write(tmp_path / "a", header, data))


@pytest.mark.timeout(PATIENCE)
def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero", "missing", "."):
        refused(tmp_path / name)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 20) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": values | st.just("F32"),
        "shape": values,
        "data_offsets": values | st.lists(st.integers(0, 9), min_size=2, max_size=2),
    },
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(values | st.dictionaries(st.text(max_size=3), entries | values, max_size=3), st.integers(0, 9))
def test_nonsense_is_refused_or_can_be_joined(tmp_path: Path, header: Any, data: int) -> None:
    path = write(tmp_path / "a", header, data)
    try:
        join(path, tmp_path / "joined")
    except ProblemsFound:
        return
    assert safetensors_header(tmp_path / "joined").keys() == safetensors_header(path).keys()
