"""What a command line means on which machine: engine, device, limits, and who decided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import surveyed
from PIL import Image as Pictures

from sft.errors import ProblemsFound, UsageError
from sft.files.jsonl import encode, ocr_sample
from sft.runtime import container
from sft.runtime import machine as machine_module
from sft.serving import server
from sft.training import base_model as base_model_module
from sft.training import preflight, settings, trainer
from sft.training.config import REHEARSAL

CARD = container.Gpu("NVIDIA A800", (8, 0), 81920, "550.54")
GPU = machine_module.Machine((CARD,), "docker")
OLD = machine_module.Machine((container.Gpu("Tesla T4", (7, 5), 15360, "550.54"),), "docker")
NONE = machine_module.Machine((), None)


def settle(
    machine: machine_module.Machine = NONE,
    *,
    samples: int = 10_000,
    config_file: Path | None = None,
    rehearsal: bool | None = None,
    **flags: object,
) -> settings.ResolvedSettings:
    return settings.resolve_settings(settings.Request(flags, config_file, rehearsal), machine, samples)


def test_without_a_gpu_it_is_a_rehearsal() -> None:
    settled = settle()
    assert settled.rehearsal and settled.config.engine == "paddleformers" and settled.config.device == "cpu"
    assert settled.config.max_steps == REHEARSAL["max_steps"] and settled.origins["max_steps"] == "rehearsal"
    assert "CPU" in settled.reasons["engine"]


def test_with_a_gpu_the_version_decides_the_engine() -> None:
    assert settle(GPU).config.engine == "erniekit" and not settle(GPU).rehearsal
    assert settle(GPU, model="1.6").config.engine == "paddleformers"
    assert settle(GPU, rehearsal=True).config.model == "tiny"


@pytest.mark.parametrize(
    ("machine", "flags", "said"),
    [
        (NONE, {"engine": "erniekit"}, "NVIDIA GPUs only"),
        (NONE, {"model": "0.9B"}, "cannot be trained on a CPU"),
        (NONE, {"gpus": 4}, "4 GPUs are asked for, but this is a rehearsal"),
        (NONE, {"accum": 2}, "cannot accumulate on a CPU"),
        (OLD, {}, "Tesla T4 has compute capability 7.5; training in bf16 needs 8.0"),
        (GPU, {"gpus": 8}, "8 GPUs are asked for, this machine has 1"),
    ],
)
def test_what_this_machine_cannot_do_is_said_at_once(
    machine: machine_module.Machine, flags: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        settle(machine, **flags)  # type: ignore[arg-type]
    assert caught.value.hint


def test_big_directory_is_no_rehearsal(tmp_path: Path, base_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settle(model=str(base_model)).config.model == str(base_model)
    monkeypatch.setattr(settings, "MOST_BYTES_ON_CPU", 10)
    with pytest.raises(UsageError, match="cannot be trained on a CPU"):
        settle(model=str(base_model))


def test_defaults_shrink_to_few_samples_but_what_was_asked_for_does_not(tmp_path: Path) -> None:
    settled = settle(samples=5)
    assert settled.config.batch == 5 and settled.origins["batch"] == "made to fit 5 samples"
    assert settle(samples=5, batch=8).config.batch == 8
    path = tmp_path / "c.yaml"
    path.write_text("batch: 8\n")
    kept = settle(samples=5, config_file=path)
    assert kept.config.batch == 8 and kept.origins["batch"] == str(path)
    with pytest.raises(UsageError, match="only D = 5"):
        settings.plan_for(kept, 5)


def test_template_of_another_version_is_refused_before_training(
    tmp_path: Path, base_model: Path, bengali_data: Path
) -> None:
    from sft.errors import ProblemsFound
    from sft.models import chat_template, versions

    request = settings.Request({"model": str(base_model)})
    assert (
        base_model_module.model_dir(
            settings.resolve_settings(request, NONE, 12), request, surveyed(bengali_data), say=lambda _: None
        )
        == base_model
    )
    (base_model / "chat_template.jinja").write_text(chat_template.chat_template(versions.MODELS["1.5"]))
    with pytest.raises(ProblemsFound, match=r"chat_template\.jinja"):
        base_model_module.model_dir(
            settings.resolve_settings(request, NONE, 12), request, surveyed(bengali_data), say=lambda _: None
        )


def test_sample_that_does_not_fit_is_named_by_line(base_model: Path, bengali_data: Path) -> None:
    settled = settle(model=str(base_model))
    with pytest.raises(Exception, match=r"max_seq_len is 64") as caught:
        preflight.check_lengths(surveyed(bengali_data), base_model, settle(model=str(base_model), max_seq_len=64))
    assert f"{bengali_data}:" in str(caught.value)
    lengths = preflight.check_lengths(surveyed(bengali_data), base_model, settled)
    assert 0 < lengths.mean <= lengths.longest <= 512 and 1 <= lengths.line <= 12


def test_row_that_fits_only_as_it_is_stored_is_a_finding(base_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "long"
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, size in enumerate([(300, 200), (1000, 250)]):
        Pictures.new("RGB", size, "white").save(folder / f"images/{number}.png")
        rows.append(encode(ocr_sample(f"images/{number}.png", "OCR:", "১২৩")) + b"\n")
    data = folder / "train.jsonl"
    data.write_bytes(b"".join(rows))
    surveyed_data = surveyed(data)

    def check(most: int) -> preflight.Lengths:
        settled = settle(max_seq_len=most, model=str(base_model))
        return preflight.check_lengths(surveyed_data, base_model, settled)

    whole = check(4096)
    assert whole.augmented and whole.augmented.line == 2 and not whole.augmented.left_out
    assert whole.longest == int(whole.tokens[1]) and whole.line == 2
    largest = whole.augmented.largest
    assert largest - whole.longest == 756 - 324
    assert preflight.augmented_note(whole) == ""
    with pytest.raises(ProblemsFound, match=r"\[trainer\.augmented\] up to \d+ tokens \(line 2\)") as caught:
        check(whole.longest)
    assert caught.value.where == f"{data}:2" and f"at least {largest}" in str(caught.value.hint)
    assert not check(largest).augmented.left_out  # type: ignore[union-attr]
    fixed = preflight.check_lengths(surveyed_data, base_model, settle(GPU, max_seq_len=whole.longest))
    assert fixed.augmented and fixed.augmented.largest == fixed.longest, "ERNIEKit fixes the grid before it augments"


def test_a_few_rows_that_may_be_left_out_are_announced() -> None:
    drawn = preflight.Augmented(520, 7, 0.2, 0.21, 7, 0.2)
    note = preflight.augmented_note(preflight.Lengths(500, 7, 300.0, drawn))
    assert "0.21 rows of a pass" in note and "line 7 (20.0% of its draws)" in note


def test_packs_that_hold_fewer_samples_than_planned_are_announced() -> None:
    def note(tokens: int) -> str:
        settled = settle(GPU)
        plan = settings.plan_for(settled, 1000)
        lengths = preflight.Lengths(tokens, 1, float(tokens), None, np.full(1000, tokens))
        return preflight.packing_note(preflight.pack(lengths, settled, plan), plan)

    assert "holds 4.0 samples" in note(4000) and "B = 8" in note(4000) and "--batch 4" in note(4000)
    assert "1 of 2 epochs" in note(4000) and "it takes 63 steps" in note(4000)  # a page of A4 with a long answer
    assert note(250) == ""
    settled = settle()
    lengths = preflight.Lengths(400, 1, 400.0, None, np.full(1000, 400))
    assert preflight.pack(lengths, settled, settings.plan_for(settled, 1000)) is None, "PaddleFormers counts samples"


def test_who_trains_and_who_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SFT_TRAINER_PYTHON", "SFT_SERVER_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    assert trainer.runtime(settle(GPU), GPU).cuda == "12.6"
    blackwell = machine_module.Machine((container.Gpu("RTX 5090", (12, 0), 32607, "575"),), "docker")
    assert trainer.runtime(settle(blackwell), blackwell).cuda == "12.9"
    assert (server.server_options("gpu", blackwell, port=1).image or "").endswith("sm120")
    bare = machine_module.Machine((CARD,), None)
    with pytest.raises(UsageError, match="no Docker engine"):
        trainer.runtime(settle(bare), bare)
    with pytest.raises(UsageError, match="needs Docker"):
        server.server_options("gpu", bare, port=1)
    with pytest.raises(UsageError, match="paddlepaddle-gpu"):
        trainer.runtime(settle(GPU, model="1.5"), GPU)
