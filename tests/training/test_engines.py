"""What each trainer is given: rows, configuration, template, command; and what is read from its log."""

from __future__ import annotations

import json
import math
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import write_safetensors
from places import TESTS

from sft.errors import ProblemsFound, UsageError
from sft.files.jsonl import decode, ocr_sample
from sft.models import versions
from sft.runtime.log_excerpt import last_errors, plain
from sft.training import engines
from sft.training.config import RunConfig
from sft.training.engines.base import (
    Checkpoint,
    Engine,
    TrainingJob,
    absolute_images,
    check_keys,
    complete_checkpoints,
    to_yaml,
    visible_cards,
)
from sft.training.engines.erniekit import CHECKPOINT_FILES, ErnieKit, known_keys
from sft.training.engines.logs import read_progress
from sft.training.engines.paddleformers import PaddleFormers
from sft.training.plan import make_plan
from sft.types import Image, Progress, Sample, Text

GOLDEN = TESTS / "golden"
BLESS = "SFT_BLESS"
BASE = Path("/data")
ONE = ocr_sample("images/0.png", "OCR:", "৪৫টি")
TWO = Sample(ONE.text_info, (Image("images/1.png"), Image("images/0.png")))
TURNS = Sample(
    (
        Text("OCR:", "mask"),
        Text(" a b\n", "no_mask"),
        Text("Table Recognition:", "mask"),
        Text("<fcel>c<nl>", "no_mask"),
    ),
    (Image("t.png", 2), Image("o.png", 0), Image("/abs/u.png", 2)),
)


def job(**changes: Any) -> TrainingJob:
    version = versions.MODELS[changes.pop("model_version", "0.9B")]
    engine = changes.pop("engine", "erniekit")
    config = RunConfig(engine=engine, model_version=version.name, **changes)  # type: ignore[arg-type]
    plan = make_plan(
        samples=29605,
        epochs=config.epochs,
        gpus=config.gpus,
        batch=config.batch,
        accum=config.accum,
        learning_rate=config.learning_rate,
        limit=config.max_steps,
    )
    return TrainingJob(
        Path("/runs/mine"),
        BASE / "train.jsonl",
        Path("/models/PaddleOCR-VL"),
        version,
        config,
        plan,
        config.save_steps or plan.save_steps,
    )


def golden(name: str, text: str) -> None:
    """Compare with tests/golden/; `scripts/bless` writes the file instead."""
    path = GOLDEN / name
    if os.environ.get(BLESS):
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text, (
        f"{name} differs; if that is meant, run scripts/bless and look at the difference"
    )


def test_blessing_is_off_in_ci() -> None:
    assert not (os.environ.get(BLESS) and os.environ.get("CI")), "scripts/bless would make every golden test pass"


JOBS: dict[str, tuple[Engine, TrainingJob]] = {
    "erniekit-train.yaml": (ErnieKit(), job()),
    "paddleformers-gpu-train.yaml": (PaddleFormers(), job(engine="paddleformers", model_version="1.5")),
    "paddleformers-cpu-train.yaml": (
        PaddleFormers(),
        job(
            engine="paddleformers",
            device="cpu",
            batch=16,
            accum=1,
            learning_rate=1e-3,
            max_steps=1500,
            max_seq_len=512,
            workers=0,
        ),
    ),
}


@pytest.mark.parametrize("name", JOBS)
def test_settings(name: str) -> None:
    engine, made = JOBS[name]
    settings = engine.settings(made)
    text = to_yaml(settings)
    golden(name, text)
    read = yaml.safe_load(text)
    assert read == settings
    for key, value in settings.items():
        assert type(read[key]) is type(value), key  # a rate that is read back as text dies in the trainer's scheduler
    assert type(read["learning_rate"]) is type(read["min_lr"]) is float
    assert all(
        not isinstance(value, str) or not _is_number(value)
        for key, value in read.items()
        if key not in {"train_dataset_prob", "eval_dataset_prob"}
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_every_default_that_breaks_a_run_is_written_out() -> None:
    """Section by section what ERNIEKit's defaults would do: random weights, LoRA, no training, raw pixels, …"""
    settings = ErnieKit().settings(job())
    needed = {
        "from_scratch": 0,
        "fine_tuning": "Full",
        "do_train": True,
        "multimodal": True,
        "use_pic_id": False,
        "sft_image_normalize": True,
        "sft_image_rescale": True,
        "sft_replace_ids": True,
        "image_dtype": "float32",
        "padding": False,
        "packing": True,
        "packing_size": 8,
        "max_seq_len": 16384,
        "max_steps": 926,
        "warmup_steps": 10,
        "unified_checkpoint": True,
        "disable_ckpt_quant": True,
        "fp16_opt_level": "O2",
        "adam_beta2": 0.95,
        "weight_decay": 0.1,
        "stage": "OCR-VL-SFT",
        "batch_size": 1,
        "gradient_accumulation_steps": 8,
        "drop_untrainble_sample": True,
        "do_eval": False,
        "train_dataset_prob": "1.0",
        "lr_scheduler": "cosine",
        "logging_steps": 4,
        "save_steps": 186,
        "tensor_parallel_degree": 1,
        "pipeline_parallel_degree": 1,
        "overwrite_output_dir": False,
    }
    assert {key: settings.get(key) for key in needed} == needed
    defaults = known_keys()
    breaking = (
        "from_scratch",
        "fine_tuning",
        "do_train",
        "multimodal",
        "use_pic_id",
        "sft_image_normalize",
        "sft_image_rescale",
        "sft_replace_ids",
        "padding",
        "packing_size",
        "max_steps",
    )
    assert all(defaults[key]["default"] != needed[key] for key in breaking)  # else the list above would be out of date
    for inert in ("lr_scheduler_type", "num_train_epochs", "train_dataset_type", "resume_from_checkpoint"):
        assert inert not in settings


def test_every_setting_of_the_run_reaches_the_trainer() -> None:
    asked = {
        "batch": 4,
        "accum": 2,
        "gpus": 2,
        "learning_rate": 3e-5,
        "max_steps": 77,
        "save_steps": 11,
        "max_seq_len": 4096,
        "workers": 2,
        "seed": 5,
        "min_pixels": 100_000,
        "max_pixels": 1_003_520,
    }
    named = ErnieKit().settings(job(**asked))
    expected = {
        "packing_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 3e-5,
        "max_steps": 77,
        "save_steps": 11,
        "max_seq_len": 4096,
        "dataloader_num_workers": 2,
        "seed": 5,
        "variable_resolution": True,
        "min_pixels": 100_000,
        "max_pixels": 1_003_520,
    }
    assert {key: named[key] for key in expected} == expected
    assert ErnieKit().environment(job(**asked))["CUDA_VISIBLE_DEVICES"] == "0,1"
    del asked["min_pixels"], asked["max_pixels"]
    other = PaddleFormers().settings(job(**asked, engine="paddleformers"))
    expected = {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 3e-5,
        "max_steps": 77,
        "save_steps": 11,
        "max_seq_len": 4096,
        "dataloader_num_workers": 2,
        "seed": 5,
    }
    assert {key: other[key] for key in expected} == expected


def test_pixel_limits_that_a_trainer_ignores_are_refused() -> None:
    with pytest.raises(UsageError, match="ignores min_pixels and max_pixels"):
        PaddleFormers().settings(job(engine="paddleformers", max_pixels=500_000))


def test_fewer_workers_than_samples() -> None:
    few = make_plan(samples=3, epochs=1, gpus=1, batch=1, accum=1)
    assert ErnieKit().settings(replace(job(), plan=few))["dataloader_num_workers"] == 2
    assert ErnieKit().settings(replace(job(), plan=replace(few, samples=1)))["dataloader_num_workers"] == 0


def test_unknown_keys_are_refused_with_a_suggestion() -> None:
    with pytest.raises(
        UsageError, match=r"ERNIEKit v1\.4 does not know 'packing_sise' \(did you mean 'packing_size' \?\), 'zzz'"
    ) as caught:
        check_keys({"packing_sise": 8, "seed": 1, "zzz": 2}, known_keys(), "ERNIEKit v1.4")
    assert caught.value.exit_code == 2
    check_keys({"packing_size": 8}, known_keys(), "ERNIEKit v1.4")


@pytest.mark.parametrize("path", ["/my runs/a", "/runs,old/a"])
def test_paths_that_erniekit_cuts(path: str) -> None:
    for changed in (replace(job(), run_dir=Path(path)), replace(job(), model_dir=Path(path))):
        with pytest.raises(UsageError, match="cannot use the path") as caught:
            ErnieKit().settings(changed)
        assert "neither" in str(caught.value.hint)
    PaddleFormers().settings(replace(job(engine="paddleformers"), model_dir=Path(path)))


@pytest.mark.parametrize("version", ["1.5", "1.6"])
def test_versions_that_erniekit_would_break(version: str) -> None:
    with pytest.raises(UsageError, match=r"prompt ending of 0\.9B") as caught:
        ErnieKit().extra_files(job(model_version=version))
    assert version in caught.value.message
    assert "ENGINE=paddleformers" in str(caught.value.hint)
    assert ErnieKit().extra_files(job()) == {}


def test_template() -> None:
    files = PaddleFormers().extra_files(job(engine="paddleformers", model_version="1.5"))
    assert list(files) == ["template.py"]
    golden("template-1.5.py", files["template.py"])
    for version in versions.MODELS.values():
        text = PaddleFormers().extra_files(job(engine="paddleformers", model_version=version.name))["template.py"]
        compile(text, "template.py", "exec")
        assert repr(f"User: {{{{content}}}}{version.prompt_end}") in text


def test_to_yaml() -> None:
    values = {
        "a": 5e-6,
        "b": 1e-10,
        "c": 0.1,
        "d": 1e22,
        "e": 3.0,
        "f": -2e-7,
        "i": 10**20,
        "t": "1.0",
        "u": "5e-6",
        "v": "yes",
        "n": None,
        "p": True,
        "টি": "a: b # c",
    }
    read = yaml.safe_load(to_yaml(values))
    assert read == values
    assert [type(value) for value in read.values()] == [type(value) for value in values.values()]
    assert list(read) == list(values)
    for lost in (math.nan, (1, 2)):
        with pytest.raises(ProblemsFound, match="cannot be written as YAML"):
            to_yaml({"a": lost})


# Rows.


def test_rows_of_erniekit() -> None:
    engine = ErnieKit()
    texts = '"text_info":[{"text":"OCR:","tag":"mask"},{"text":"৪৫টি","tag":"no_mask"}]'
    images = '"image_info":[{"image_url":"/data/images/0.png","matched_text_index":0}]'
    assert engine.row(ONE, absolute_images(ONE, BASE)).decode() == f"{{{texts},{images}}}"
    two = decode(engine.row(TWO, absolute_images(TWO, BASE)))
    assert two == Sample(ONE.text_info, (Image("/data/images/1.png"), Image("/data/images/0.png")))
    turns = decode(engine.row(TURNS, absolute_images(TURNS, BASE)))
    assert turns.text_info == TURNS.text_info  # nothing is stripped here, ERNIEKit does it
    assert turns.image_info == (
        Image("/data/t.png", 2),
        Image("/data/o.png", 0),
        Image("/abs/u.png", 2),
    )  # as they were listed


def test_rows_of_paddleformers() -> None:
    engine = PaddleFormers()
    assert (
        engine.row(ONE, absolute_images(ONE, BASE)).decode()
        == '{"messages": [{"role": "user", "content": "<image>OCR:"}, {"role": "assistant", "content": "৪৫টি"}],'
        ' "images": ["/data/images/0.png"]}'
    )
    two = json.loads(engine.row(TWO, absolute_images(TWO, BASE)))
    assert two["messages"][0]["content"] == "<image><image>OCR:"
    assert two["images"] == ["/data/images/1.png", "/data/images/0.png"]
    turns = json.loads(engine.row(TURNS, absolute_images(TURNS, BASE)))
    assert turns["messages"] == [
        {"role": "user", "content": "<image>OCR:"},
        {"role": "assistant", "content": "a b"},
        {"role": "user", "content": "<image><image>Table Recognition:"},
        {"role": "assistant", "content": "<fcel>c<nl>"},
    ]
    assert turns["images"] == ["/data/o.png", "/data/t.png", "/abs/u.png"]  # in the order of the marks


def test_image_on_the_second_turn_only() -> None:
    sample = replace(TURNS, image_info=(Image("t.png", 2),))
    messages = json.loads(PaddleFormers().row(sample, absolute_images(sample, BASE)))["messages"]
    assert [message["content"].count("<image>") for message in messages] == [0, 0, 1, 0]
    assert decode(ErnieKit().row(sample, absolute_images(sample, BASE))).image_info == (Image("/data/t.png", 2),)


# Commands.

RESUME = Checkpoint(Path("/runs/mine/checkpoints/checkpoint-200"), 200)


@pytest.mark.parametrize(
    ("name", "python", "resume", "line"),
    [
        ("erniekit-train.yaml", "python", None, "erniekit train /runs/mine/train.yaml"),
        (
            "erniekit-train.yaml",
            "/env/bin/python",
            RESUME,
            (
                "/env/bin/erniekit train /runs/mine/train.yaml"
                " resume_from_checkpoint=/runs/mine/checkpoints/checkpoint-200"
            ),
        ),
        ("paddleformers-gpu-train.yaml", "python", None, "paddleformers-cli train /runs/mine/train.yaml"),
        (
            "paddleformers-gpu-train.yaml",
            "/env/bin/python",
            RESUME,
            (
                "/env/bin/paddleformers-cli train /runs/mine/train.yaml"
                " resume_from_checkpoint=/runs/mine/checkpoints/checkpoint-200"
            ),
        ),
        (
            "paddleformers-cpu-train.yaml",
            "/env/bin/python",
            None,
            "/env/bin/python -m paddleformers.cli.launcher train /runs/mine/train.yaml",
        ),
    ],
)
def test_commands(name: str, python: str, resume: Checkpoint | None, line: str) -> None:
    engine, made = JOBS[name]
    assert shlex.join(engine.command(made, python, resume)) == line


@pytest.mark.parametrize("name", JOBS)
def test_environment(name: str) -> None:
    engine, made = JOBS[name]
    found = engine.environment(made)
    assert found["LC_ALL"] == "C.UTF-8"
    assert found["PYTHONUTF8"] == "1"
    assert found["CUDA_VISIBLE_DEVICES"] == ("" if made.config.device == "cpu" else "0")
    assert all(isinstance(value, str) for value in found.values())


# Logs.

STEP = (
    "\x1b[32m[2026-01-23 01:42:17,084] [    INFO]\x1b[0m - loss: 0.17174571, learning_rate: 0.0001202, global_step:"
    " 1358, interval_runtime: 1.824, interval_samples_per_second: 61.4027, interval_tokens_per_second_per_device:"
    " 31438.204, interval_steps_per_second: 3.8377, ppl: 1.187375857014089, progress_or_epoch: 0.9053, cpu_used_memory:"
    " 1.34\x1b[0m\n"
)


def test_progress() -> None:
    for engine in engines.ENGINES.values():
        assert engine.progress(STEP) == Progress(1358, 0, 0.17174571, 61.4027)
    assert read_progress(STEP, 1500) == Progress(1358, 1500, 0.17174571, 61.4027)
    named = (
        "[INFO] - loss: 1.2e-05, loss_cur_dp: 2.41, learning_rate: 5e-06, global_step: 10, mem_allocated_gb: 11.2,"
        " global_runtime: 3.1, global_samples_per_second: 20.6452, data_id: 3"
    )
    assert read_progress(named, 0) == Progress(10, 0, 1.2e-05, 20.6452)
    assert read_progress("[INFO] - loss: 2.5, learning_rate: 5e-06, global_step: 3", 9) == Progress(3, 9, 2.5, None)


@pytest.mark.parametrize("loss", ["nan", "inf", "-inf"])
def test_progress_of_a_loss_that_is_no_number(loss: str) -> None:
    found = read_progress(STEP.replace("0.17174571", loss), 0)
    assert found
    assert not math.isfinite(found.loss)
    assert found.step == 1358


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\x1b[0m",
        "[DEBUG] - loss_subbatch_seqlen          : 32768",
        "[INFO] - train_loss: 1.9, global_step: 926",
        "[INFO] - [DataLoad global_step: 1369] data_load_time: 0.43 ms",
        "[INFO] - loss: 1.5, learning_rate: 0.1",
        "loss: e, global_step: 3",
        "loss: 1.5, global_step: x",
        "loss: 1.5, global_step: 3, global_samples_per_second: 1.2.3",
    ],
)
def test_other_lines(line: str) -> None:
    assert read_progress(line, 0) is None


def test_plain() -> None:
    assert plain("\x1b[1;31mred\x1b[0m\x1b[2K text\n") == "red text"


NOISE = ["[INFO] - loss: 1.0, learning_rate: 0.1, global_step: 1", "x.py:5: UserWarning: amp_guard", "  warnings.warn("]
TRACE = [
    "Traceback (most recent call last):",
    '  File "trainer.py", line 5, in <module>',
    "    main()",
    "ValueError: (InvalidArgument) shapes differ",
    "  [Hint: Expected 4 == 2]",
]


def test_last_errors_picks_the_traceback() -> None:
    after = [f"LAUNCH INFO stopping worker {number}" for number in range(40)]
    found = last_errors([*NOISE * 50, *TRACE, *after])
    assert found[: len(TRACE)] == TRACE
    assert len(found) <= 12
    assert last_errors([*TRACE, "", *NOISE * 3, "Traceback (most recent call last):", "  here", "KeyError: 'second'"])[
        :3
    ] == ["Traceback (most recent call last):", "  here", "KeyError: 'second'"]


def test_last_errors_of_a_long_traceback_keeps_its_end() -> None:
    deep = [TRACE[0], *[f'  File "a.py", line {number}' for number in range(100)], "MemoryError: no more"]
    found = last_errors([f"\x1b[31m{line}\x1b[0m\n" for line in deep], keep=6)
    assert len(found) == 6
    assert found[-1] == "MemoryError: no more"


def test_last_errors_without_a_traceback() -> None:
    killed = last_errors([*TRACE, *["fine"] * 30, "Killed", "bye"])
    assert "Killed" in killed
    assert killed[-1] == "bye"
    error = last_errors([*["fine"] * 30, "OSError: [Errno 28] No space left on device", *["bye"] * 30])
    assert "OSError: [Errno 28] No space left on device" in error
    assert len(error) == 12
    assert last_errors(["a", "", "b"]) == ["a", "b"]
    assert last_errors([]) == []


# Checkpoints, and which engine.


def whole_checkpoint(folder: Path, step: int) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in ("model-00001-of-00001.safetensors", "optimizer-00001-of-00001.safetensors"):
        write_safetensors(path / name, {"a": [2, 2]})
    for name in ("trainer_state.json", "scheduler.pdparams", "config.json"):
        (path / name).write_text("{}")
    (path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}})
    )
    return path


def test_checkpoints(tmp_path: Path) -> None:
    for step in (1000, 200, 30):
        whole_checkpoint(tmp_path, step)
    (whole_checkpoint(tmp_path, 1) / "scheduler.pdparams").unlink()
    cut = whole_checkpoint(tmp_path, 2) / "model-00001-of-00001.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1])
    for step, index in (
        (3, '{"weight_map": {"a": "other.safetensors"}}'),
        (4, "{"),
        (5, "[]"),
        (6, '{"weight_map": []}'),
    ):
        (whole_checkpoint(tmp_path, step) / "model.safetensors.index.json").write_text(index)
    (tmp_path / "checkpoint-last").mkdir()
    found = complete_checkpoints(tmp_path, CHECKPOINT_FILES)
    assert [checkpoint.step for checkpoint in found] == [30, 200, 1000]
    assert ErnieKit().checkpoints(tmp_path) == found
    assert complete_checkpoints(tmp_path / "none", CHECKPOINT_FILES) == []


def test_engines_are_named_as_they_are_asked_for() -> None:
    assert {name: engine.name for name, engine in engines.ENGINES.items()} == {
        "erniekit": "erniekit",
        "paddleformers": "paddleformers",
    }
    assert set(engines.ENGINES) == {name for version in versions.MODELS.values() for name in version.engines}
    with pytest.raises(UsageError, match="no engine called 'ernikit'") as caught:
        engines.get("ernikit")
    assert "did you mean erniekit ?" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("wanted", "version", "gpu", "expected", "reason"),
    [
        (None, "0.9B", True, "erniekit", "the named trainer"),
        (None, "1.5", True, "paddleformers", "prompt ending"),
        (None, "0.9B", False, "paddleformers", "CPU"),
        ("erniekit", "1.5", False, "erniekit", "asked for"),
    ],
)
def test_choose(wanted: str | None, version: str, gpu: bool, expected: str, reason: str) -> None:
    engine, why = engines.choose(wanted, versions.MODELS[version], gpu=gpu)
    assert engine == expected
    assert reason in why


def test_cards_the_user_chose_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_cards(2) == "0,1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7,6")
    assert visible_cards(2) == "5,7"
