"""A model that another tool trained becomes a directory that serves, or is refused with the reason."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TENSORS, VERSION, write_safetensors
from places import ROOT

from sft.errors import ProblemsFound, UsageError
from sft.files import read_json
from sft.files.atomic import write_json
from sft.models import chat_template, export_foreign, verify, versions
from sft.models.tiny import train_tokenizer


@pytest.fixture
def merged(tmp_path: Path, base_model: Path) -> Path:
    """As ms-swift leaves it: two shards, newer settings, its own notes, no template, no inference.yml."""
    folder = tmp_path / "merged"
    folder.mkdir()
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    names = list(TENSORS)
    places = {names[0]: shards[0], names[1]: shards[1], names[2]: shards[1]}
    for shard in shards:
        write_safetensors(folder / shard, {name: TENSORS[name] for name in names if places[name] == shard}, 1.0)
    write_json(folder / "model.safetensors.index.json", {"weight_map": places})
    write_json(folder / "config.json", {"transformers_version": "5.19.0", "text_config": {}, "dtype": "float32"})
    write_json(folder / "args.json", {"swift_version": "4.6.0"})
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": []})
    write_json(folder / "generation_config.json", {"temperature": 0.01, "top_p": 0.8})
    shutil.copyfile(base_model / "tokenizer.json", folder / "tokenizer.json")
    return folder


def test_it_is_completed_from_its_base(tmp_path: Path, base_model: Path, merged: Path) -> None:
    manifest = export_foreign(merged, base_model, tmp_path / "out")
    verify.verify_served(tmp_path / "out", VERSION)
    assert (manifest["tool"], manifest["weights_from"], manifest["served_name"]) == (
        "ms-swift",
        "merged",
        VERSION.served_name,
    )
    assert manifest["equal_to_base"] == {"tensors": 0, "of": 3} and manifest["changes"] == []
    assert read_json(tmp_path / "out" / "config.json") == read_json(base_model / "config.json")
    assert "top_p" not in read_json(tmp_path / "out" / "generation_config.json")


def test_limits_and_template_beside_the_weights(tmp_path: Path, base_model: Path, merged: Path) -> None:
    write_json(merged / "preprocessor_config.json", {"size": {"shortest_edge": 784, "longest_edge": 78400}})
    (merged / "chat_template.jinja").write_text(chat_template.chat_template(versions.MODELS["1.5"]))
    manifest = export_foreign(merged, base_model, tmp_path / "out")
    limits, template = manifest["changes"]
    assert manifest["pixels"] == [784, 78400] and limits.startswith("pixel limits 784 to 78400 as beside the weights")
    assert "ends the prompt with '\\nAssistant:\\n', 0.9B is served with '\\nAssistant: '" in template


def test_other_tokens_are_refused(tmp_path: Path, base_model: Path, merged: Path) -> None:
    train_tokenizer(["other words " * 20], merged)
    with pytest.raises(ProblemsFound, match="its tokenizer differs from the base's in"):
        export_foreign(merged, base_model, tmp_path / "out")


def adapter(folder: Path) -> None:
    write_json(folder / "adapter_config.json", {"base_model_name_or_path": "/gone/PaddleOCR-VL"})


def pickled(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"")


@pytest.mark.parametrize(
    ("make", "told"),
    [(adapter, r"adapter only.*/gone/PaddleOCR-VL is not there"), (pickled, "runs code"), (None, "no model")],
)
def test_what_is_no_model_is_named(tmp_path: Path, base_model: Path, make: object, told: str) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    if callable(make):
        make(folder)
    with pytest.raises(ProblemsFound, match=told) as caught:
        export_foreign(folder, base_model, tmp_path / "out")
    assert caught.value.hint and not (tmp_path / "out").exists()


def test_a_base_that_is_none(tmp_path: Path, base_model: Path, merged: Path) -> None:
    (base_model / "inference.yml").unlink()
    (base_model / "chat_template.jinja").unlink()
    with pytest.raises(ProblemsFound, match="does not say which version"):
        export_foreign(merged, base_model, tmp_path / "out")
    with pytest.raises(UsageError, match="no such directory for the base"):
        export_foreign(merged, tmp_path / "gone", tmp_path / "out")


def sft(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "sft", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command(tmp_path: Path, base_model: Path, merged: Path) -> None:
    out = str(tmp_path / "out")
    done = sft("export", "--weights", str(merged), "--base", str(base_model), "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tool"] == "ms-swift" and "3 of 3 trained tensors differ" in done.stderr
    for words in (["--weights", str(merged)], ["run", "--base", out], ["run", "--weights", out, "--base", out], []):
        wrong = sft("export", "-o", out, *words)
        assert wrong.returncode == 2 and "--weights and --base together" in wrong.stderr
