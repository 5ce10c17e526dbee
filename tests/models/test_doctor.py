"""Each way in which users' model directories were broken, made on purpose: recognised, and mended where it can be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import VERSION, write_safetensors
from places import ROOT
from test_architecture import CONFIG

from sft.files import read_json
from sft.files.atomic import write_json
from sft.models import chat_template, diagnose, exporter, mended, verify, versions
from sft.models.architecture import expected_shapes
from sft.models.tiny import train_tokenizer

PIXELS = (147384, 2822400)
SHAPES = expected_shapes(CONFIG)
POSITIONS = "visual.vision_model.embeddings.packing_position_embedding.weight"


def make(folder: Path, value: float = 0.0) -> Path:
    """A whole model directory: every tensor in its shape, every file."""
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", SHAPES, value)
    train_tokenizer(["OCR:"], folder)
    architectures = ["PaddleOCRVLForConditionalGeneration"]
    write_json(folder / "config.json", {**CONFIG, "model_type": "paddleocr_vl", "architectures": architectures})
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    write_json(folder / "preprocessor_config.json", {"min_pixels": PIXELS[0], "max_pixels": PIXELS[1]})
    exporter.server_files(folder, VERSION, pixels=PIXELS, eos_token_id=2)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make(tmp_path / "model")


def change(name: str, **values: object) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        table = read_json(folder / name) if (folder / name).exists() else {}
        write_json(folder / name, {key: value for key, value in {**table, **values}.items() if value is not None})

    return apply


def weights(without: str = "", **shapes: list[int]) -> Callable[[Path], None]:
    """Other tensors; `__` in a name stands for a point."""
    named = {name.replace("__", "."): shape for name, shape in shapes.items()}

    def apply(folder: Path) -> None:
        kept = {name: shape for name, shape in SHAPES.items() if name != without}
        write_safetensors(folder / "model.safetensors", {**kept, **named})

    return apply


def template(version: str) -> Callable[[Path], None]:
    return lambda folder: _write(folder, "chat_template.jinja", chat_template.chat_template(versions.MODELS[version]))


def served_as(name: str) -> Callable[[Path], None]:
    return lambda folder: _write(folder, "inference.yml", f"Global: {{model_name: {name}}}\n")


def _write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def remove(*names: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return apply


def shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")


def stale_index(folder: Path) -> None:
    places = dict.fromkeys(SHAPES, "model-00001-of-00001.safetensors")
    write_json(folder / "model.safetensors.index.json", {"weight_map": places})


def not_finite(folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", SHAPES, float("nan"))


def untied(folder: Path) -> None:
    change("config.json", tie_word_embeddings=True)(folder)
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[8 + int.from_bytes(content[:8], "little")] = 1  # the first number of lm_head
    path.write_bytes(bytes(content))


# what was done → the check that fails, words of its line, whether --fix mends it without the base
FAULTS: dict[str, tuple[Callable[[Path], None], str, str, bool]] = {
    "P1 template of another version": (template("1.5"), "version", "the template ends it with", True),
    "P2 served under another version's name": (served_as("PaddleOCR-VL-1.5-0.9B"), "version", "goes by the name", True),
    "P4 limits inside the processor": (
        change("processor_config.json", image_processor={"min_pixels": 784, "max_pixels": 7840}),
        "pixel limits",
        "which Transformers 5 takes",
        True,
    ),
    "P7 a tensor is missing": (weights(POSITIONS), "tensors", f"{POSITIONS} is missing", False),
    "P8 tokenizer class": (
        change("tokenizer_config.json", tokenizer_class="Ernie4_5_Tokenizer"),
        "tokenizer",
        "must become PreTrainedTokenizerFast",
        True,
    ),
    "P9 newer config": (change("config.json", text_config={}), "config", "layout of Transformers 5", False),
    "P10 shard name": (shard, "weight files", "1 shards", True),
    "P10 stale index": (stale_index, "weight files", "is stale", True),
    "P11 transposed": (weights(model__layers__0__mlp__up_proj__weight=[8, 12]), "tensors", "(transposed)", False),
    "P12 no model type": (change("config.json", model_type=""), "config", "has model_type ''", False),
    "P13 a merge that went wrong": (not_finite, "numbers", "not finite", False),
    "P14 adapter inside": (weights(model__norm__lora_A__weight=[2]), "tensors", "not merged", False),
    "P15 two files": (
        remove("chat_template.jinja", "processor_config.json"),
        "files",
        "chat_template.jinja is missing",
        True,
    ),
    "P16 unknown name": (served_as("my-model"), "version", "inference.yml names none of", False),
    "sampling": (
        change("generation_config.json", repetition_penalty=1.1),
        "generation",
        "repetition_penalty 1.1",
        True,
    ),
    "no end token": (change("generation_config.json", eos_token_id=None), "generation", "no eos_token_id", True),
    "tied": (untied, "output layer", "two different tensors", False),
}


def failed(folder: Path) -> dict[str, str]:
    return {check.name: check.message for check in diagnose(folder).checks if check.state == "failed"}


def test_a_whole_directory(model: Path) -> None:
    found = diagnose(model)
    assert [check for check in found.checks if check.state != "ok"] == []
    assert (found.about.kind, found.version, found.ok) == ("release", "0.9B", True)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_recognised_and_mended(tmp_path: Path, model: Path, fault: str) -> None:
    break_it, name, words, mends = FAULTS[fault]
    break_it(model)
    found = failed(model)
    assert words in found.get(name, ""), found
    assert all(check.hint for check in diagnose(model).checks if check.state == "failed")
    if not mends:
        return
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    mended(model, tmp_path / "copy")
    assert failed(tmp_path / "copy") == {}
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_limits_of_another_version_are_a_warning(model: Path) -> None:
    """P4: right for a model that was trained so."""
    change("preprocessor_config.json", min_pixels=112896, max_pixels=1003520)(model)
    (check,) = [check for check in diagnose(model).checks if check.state == "warning"]
    assert check.name == "pixel limits" and "released with 147384 to 2822400" in check.message


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"adapter_config.json": '{"base_model_name_or_path": "/gone"}'}, "adapter"),
        ({"lora_config.json": "{}", "peft_model.safetensors": ""}, "adapter"),
        ({"pytorch_model.bin": ""}, "pickled"),
        ({}, "empty"),
    ],
)
def test_what_it_is_without_a_model(tmp_path: Path, files: dict[str, str], kind: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = diagnose(tmp_path)
    assert found.about.kind == kind and [check.state for check in found.checks] == ["failed"]


def test_what_it_is_with_one(tmp_path: Path, model: Path) -> None:
    mended(model, tmp_path / "export")
    assert diagnose(tmp_path / "export").about.kind == "export"
    (tmp_path / "export" / "config.json").write_text("{}")
    assert "config.json is not what the export wrote" in failed(tmp_path / "export")["whole"]
    (model / "optimizer.pt").touch()
    assert diagnose(model).about.kind == "checkpoint"
    remove("optimizer.pt", "inference.yml")(model)
    change("config.json", unsloth_version="2026.10")(model)
    assert (diagnose(model).about.kind, diagnose(model).about.tool) == ("merged", "Unsloth")


KILL = """
import os, signal, sys
from pathlib import Path
from sft import models
left = int(sys.argv[4])
def ending(act):
    def call(*args, **more):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*args, **more)
    return call
os.replace = ending(os.replace)
os.fsync = ending(os.fsync)
trained, base, out = map(Path, sys.argv[1:4])
models.export(trained, base, out, models.get("0.9B"), pixels=(784, 7840), origin={})
"""


def test_killed_at_every_step_nothing_passes_that_is_not_whole(tmp_path: Path, model: Path) -> None:
    """Before every rename and every flush to the disk, one after the other, until an export comes to its end."""
    trained = make(tmp_path / "trained", 1.0)
    out = tmp_path / "out"
    inputs = {model, trained}
    for step in range(1, 40):
        command = [sys.executable, "-c", KILL, str(trained), str(model), str(out), str(step)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        made = {path for path in tmp_path.iterdir() if path.is_dir()} - inputs
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert out not in made
        assert [folder for folder in made if diagnose(folder).ok] == []
    assert step > 10 and made == {out} and diagnose(out).ok, os.listdir(tmp_path)


def test_the_command(tmp_path: Path, model: Path) -> None:
    change("generation_config.json", top_p=0.5)(model)
    copy = str(tmp_path / "copy")
    command = [sys.executable, "-m", "sft", "doctor", str(model)]
    found = {}
    for words in ([], ["--json"], ["--fix"], ["--fix", "-o", copy, "--json"]):
        found[" ".join(words[:1] + words[3:])] = subprocess.run(
            [*command, *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert [done.returncode for done in found.values()] == [1, 1, 2, 0]
    assert "failed   generation    top_p 0.5" in found[""].stdout and "hint:" in found[""].stdout
    assert json.loads(found["--json"].stdout)["ok"] is False
    assert json.loads(found["--fix --json"].stdout)["about"]["kind"] == "export"
    assert verify.MANIFEST in os.listdir(copy)
