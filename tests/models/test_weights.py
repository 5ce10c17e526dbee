"""Weights on their way into an export: exact, finite, the base's kind of number, and not the base itself."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import ProblemsFound
from sft.models import weights
from sft.models.safetensors import safetensors_header
from sft.models.weights import CONVERSIONS, write_weights

KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I32": "<i4"}
Values = dict[str, tuple[str, list[float]]]


def store(folder: Path, tensors: Values) -> Path:
    """A file of flat tensors: name → (kind, numbers); those of BF16 are given as their bits."""
    folder.mkdir(exist_ok=True)
    header: dict[str, object] = {}
    body = b""
    for name, (kind, numbers) in tensors.items():
        raw = np.array(numbers).astype(KINDS[kind]).tobytes()
        header[name] = {"dtype": kind, "shape": [len(numbers)], "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
    return folder


def read(path: Path, name: str) -> tuple[str, bytes]:
    entry = safetensors_header(path)[name]
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    begin, end = entry["data_offsets"]
    return entry["dtype"], content[start + begin : start + end]


def written(tmp_path: Path, base: Values, trained: Values) -> tuple[weights.Written, Path]:
    out = tmp_path / "out.safetensors"
    return write_weights(store(tmp_path / "trained", trained), store(tmp_path / "base", base), out), out


@pytest.mark.parametrize("block", [4, 8, 64])
def test_what_is_said_is_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(weights, "BLOCK", block)  # several blocks a tensor
    base: Values = {"a": ("F32", [1, 2, 3]), "b": ("F32", [4, 5, 6]), "c": ("I32", [7])}
    found, out = written(tmp_path, base, {"c": ("I32", [7]), "a": ("F32", [1, 2, 4]), "b": ("F32", [4, 5, 6])})
    assert (found.equal, found.trained, found.converted, found.foreign) == (2, 3, {}, {})
    assert read(out, "a") == ("F32", struct.pack("<3f", 1, 2, 4))
    assert found.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()


@pytest.mark.parametrize("value", [math.nan, -math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["F64", "F32", "F16"])
def test_a_number_that_is_not_finite_is_named(tmp_path: Path, kind: str, value: float) -> None:
    base: Values = {"a": (kind, [0, 0]), "visual.b": (kind, [0, 0, 0])}
    with pytest.raises(ProblemsFound) as caught:
        written(tmp_path, base, {"a": (kind, [1, 1]), "visual.b": (kind, [1, value, 1])})
    assert caught.value.message == "1 tensors hold a number that is not finite (NaN or infinite): visual.b"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "trained"]


@pytest.mark.parametrize(
    ("bits", "finite"), [(0x7F7F, True), (0xFF7F, True), (0x7F80, False), (0xFF80, False), (0x7FC0, False)]
)
def test_bfloat16_that_is_not_finite(tmp_path: Path, bits: int, finite: bool) -> None:
    base: Values = {"a": ("BF16", [0])}
    if finite:
        assert written(tmp_path, base, {"a": ("BF16", [bits])})[0].equal == 0
        return
    with pytest.raises(ProblemsFound, match="not finite"):
        written(tmp_path, base, {"a": ("BF16", [bits])})


def test_the_largest_finite_numbers_pass(tmp_path: Path) -> None:
    base: Values = {kind: (kind, [0, 0]) for kind in ("F64", "F32", "F16")}
    largest = {kind: float(np.finfo(KINDS[kind]).max) for kind in base}
    found, _ = written(tmp_path, base, {kind: (kind, [value, -value]) for kind, value in largest.items()})
    assert found.equal == 0


def test_nothing_was_trained(tmp_path: Path) -> None:
    base: Values = {"a": ("F32", [1, 2]), "b": ("F32", [3])}
    with pytest.raises(ProblemsFound, match="all 2 trained tensors are those of the base model") as caught:
        written(tmp_path, base, base)
    assert "adapter was not merged" in str(caught.value.hint)
    assert not (tmp_path / "out.safetensors").exists()


def test_the_base_itself_is_completed(tmp_path: Path) -> None:
    """`sft run` exports the base where its directory lacks what a server needs: there is nothing to compare with."""
    folder = store(tmp_path / "base", {"a": ("F32", [1])})
    assert write_weights(folder, folder, tmp_path / "out").equal == 0


def test_the_kind_of_number_is_that_of_the_base(tmp_path: Path) -> None:
    base: Values = {"a": ("BF16", [0, 0]), "b": ("F16", [0]), "c": ("F32", [0]), "d": ("F16", [0])}
    trained: Values = {"a": ("F32", [1.5, -2]), "b": ("F32", [0.25]), "c": ("F16", [3]), "d": ("BF16", [0x3F80])}
    found, out = written(tmp_path, base, trained)
    assert found.converted == {"F32 → BF16": 1, "F32 → F16": 1, "F16 → F32": 1} and found.foreign == {"BF16 → F16": 1}
    assert read(out, "a") == ("BF16", struct.pack("<2H", 0x3FC0, 0xC000))
    assert read(out, "b") == ("F16", np.array([0.25], "<f2").tobytes())
    assert read(out, "c") == ("F32", struct.pack("<f", 3))
    assert read(out, "d") == ("BF16", struct.pack("<H", 0x3F80))


@pytest.mark.parametrize(("kind", "value"), [("BF16", 3.4e38), ("F16", 65520.0)])
def test_a_number_that_the_base_kind_cannot_hold(tmp_path: Path, kind: str, value: float) -> None:
    with pytest.raises(ProblemsFound, match="not finite"):
        written(tmp_path, {"a": (kind, [0])}, {"a": ("F32", [value])})


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_bfloat16_is_the_nearest(value: float) -> None:
    """Of the two neighbours the nearer one, and the even one between them."""
    raw = struct.pack("<f", value)
    (bits,) = struct.unpack("<H", CONVERSIONS["F32", "BF16"](raw))
    low = struct.unpack("<I", raw)[0] >> 16

    def worth(half: int) -> float:
        number: float = struct.unpack("<f", struct.pack("<I", half << 16))[0]
        return math.copysign(2.0**128, value) if math.isinf(number) else number  # what it would be, one step further

    near = min((low, low + 1), key=lambda half: (abs(worth(half) - value), half & 1))
    assert bits == near
    assert CONVERSIONS["BF16", "F32"](struct.pack("<H", low)) == struct.pack("<I", low << 16)


def test_bytes_that_do_not_fit_the_shape(tmp_path: Path) -> None:
    folder = store(tmp_path / "trained", {"a": ("F32", [1, 2])})
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"shape": [2]', b'"shape": [3]'))
    with pytest.raises(ProblemsFound, match="a has not the bytes that its shape needs"):
        write_weights(folder, store(tmp_path / "base", {"a": ("F32", [1, 2])}), tmp_path / "out")
