"""Weights of other tools come under the base's names, or are refused with the reason."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from conftest import write_safetensors

from sft.errors import ProblemsFound
from sft.models import tensor_names
from sft.models.safetensors import safetensors_header, tensor_table
from sft.models.weights import write_weights

BASE = {
    "lm_head.weight": [4, 2],
    "model.embed_tokens.weight": [4, 2],
    "model.norm.weight": [2],
    "visual.vision_model.post_layernorm.bias": [3],
    "mlp_AR.pre_norm.bias": [3],
}


def stored(folder: Path, tensors: dict[str, list[int]], value: float = 0.0) -> Path:
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", tensors, value)
    return folder


@pytest.mark.parametrize("prefix", ["", "base_model.model."])
def test_newer_names_come_back(tmp_path: Path, prefix: str) -> None:
    newer = {
        "lm_head.weight": "lm_head.weight",
        "model.language_model.embed_tokens.weight": "model.embed_tokens.weight",
        "model.language_model.norm.weight": "model.norm.weight",
        "model.visual.vision_model.post_layernorm.bias": "visual.vision_model.post_layernorm.bias",
        "model.projector.pre_norm.bias": "mlp_AR.pre_norm.bias",
    }
    trained = stored(tmp_path / "trained", {prefix + theirs: BASE[ours] for theirs, ours in newer.items()}, 1.0)
    written = write_weights(trained, stored(tmp_path / "base", BASE), tmp_path / "out")
    assert set(safetensors_header(tmp_path / "out")) == set(BASE)
    assert written.equal == 0 and written.changes[0].startswith("5 tensors" if prefix else "4 tensors")


def test_a_head_that_was_left_out_as_tied(tmp_path: Path) -> None:
    kept = {name: shape for name, shape in BASE.items() if name != "lm_head.weight"}
    base = stored(tmp_path / "base", BASE)  # all zero: the head is the embeddings
    trained = stored(tmp_path / "trained", kept, 1.0)
    written = write_weights(trained, base, tmp_path / "out")
    assert "left out as tied" in written.changes[0]
    content = (tmp_path / "out").read_bytes()
    begin, end = safetensors_header(tmp_path / "out")["lm_head.weight"]["data_offsets"]
    start = 8 + int.from_bytes(content[:8], "little")
    assert content[start + begin : start + end] == struct.pack("<f", 1.0) * 8


def test_a_head_that_was_never_tied_is_missed(tmp_path: Path) -> None:
    base = stored(tmp_path / "base", BASE)
    path = base / "model.safetensors"
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    content[start] = 1  # the first number of lm_head
    path.write_bytes(bytes(content))
    assert not tensor_names.is_tied(tensor_table([path]))
    kept = {name: shape for name, shape in BASE.items() if name != "lm_head.weight"}
    with pytest.raises(ProblemsFound, match=r"lm_head\.weight is missing \(left out as tied"):
        write_weights(stored(tmp_path / "trained", kept, 1.0), base, tmp_path / "out")


@pytest.mark.parametrize("name", ["model.norm.lora_A.weight", "base_model.model.model.norm.base_layer.weight"])
def test_an_adapter_is_not_merged(tmp_path: Path, name: str) -> None:
    trained = stored(tmp_path / "trained", {**BASE, name: [2]}, 1.0)
    with pytest.raises(ProblemsFound, match="adapter that is not merged") as caught:
        write_weights(trained, stored(tmp_path / "base", BASE), tmp_path / "out")
    assert "merge the adapter" in str(caught.value.hint)


def test_two_tensors_for_one_name(tmp_path: Path) -> None:
    trained = stored(tmp_path / "trained", {**BASE, "model.language_model.norm.weight": [2]}, 1.0)
    with pytest.raises(ProblemsFound, match=r"two tensors are model\.norm\.weight"):
        write_weights(trained, stored(tmp_path / "base", BASE), tmp_path / "out")
