"""How a trainer can fail while it says that all is well.

The trainers here are small programs; test_e2e.py has the real one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conftest import TENSORS, VERSION, surveyed, write_safetensors

from sft.errors import EngineError
from sft.training import trainer
from sft.training.config import REHEARSAL, resolve
from sft.training.engines.base import Checkpoint
from sft.training.plan import make_plan
from sft.training.run_folder import Run

STEP = "[INFO] - loss: 0.5, learning_rate: 0.1, global_step: {step}, interval_samples_per_second: 9.0"


class Fake:
    """Sets up a run whose trainer is a Python text."""

    def __init__(self, folder: Path, data: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config, self.origins = resolve([("rehearsal", REHEARSAL), ("flag", {"max_steps": 4, "batch": 4, "epochs": 9})])
        plan = make_plan(samples=12, epochs=config.epochs, gpus=1, batch=4, accum=1, learning_rate=1e-3, limit=4)
        self.run = Run(folder / "runs" / "r")
        self.prepared = trainer.prepare(self.run.folder, data, base, VERSION, config, plan)
        self.data = surveyed(data)
        trainer.write_run(self.prepared, self.run, self.origins, self.data)
        self.output = self.prepared.job.output_dir
        self.patch = monkeypatch

    def go(self, program: str) -> dict[str, object]:
        def command(*_: object) -> tuple[list[str], dict[str, str]]:
            return [sys.executable, "-c", program], {}

        self.patch.setattr(trainer, "command", command)
        return trainer.train(
            self.prepared, self.run, trainer.Runtime(sys.executable), on_progress=lambda _: None, say=lambda _: None
        )

    def result(self, *, step: int = 4, whole: bool = True) -> None:
        """What a trainer leaves behind."""
        self.output.mkdir(parents=True, exist_ok=True)
        file = self.output / "model-00001-of-00001.safetensors"
        write_safetensors(file, TENSORS)
        if not whole:
            file.write_bytes(file.read_bytes()[:-5])
        (self.output / "trainer_state.json").write_text(json.dumps({"global_step": step}))
        (self.output / "train_results.json").write_text("{}")


@pytest.fixture
def fake(tmp_path: Path, bengali_data: Path, base_model: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake(tmp_path, bengali_data, base_model, monkeypatch)
    monkeypatch.setattr(
        trainer, "_clear_partial", lambda *_: None
    )  # the results are laid out before the "trainer" runs
    return made


def test_good_end(fake: Fake) -> None:
    fake.result()
    manifest = fake.go(f"print({STEP.format(step=4)!r})")
    assert manifest["last_logged_step"] == 4 and manifest["skipped_rows"] == 0 and fake.run.finished
    assert fake.run.state()["status"] == "finished"


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"whole": False}, "not with a whole model"),
        ({"step": 3}, "at step 3 of 4"),
        (None, "not with a whole model"),
    ],
)
def test_exit_code_0_proves_nothing(fake: Fake, result: dict[str, bool] | None, said: str) -> None:
    if result is not None:
        fake.result(**result)
    with pytest.raises(EngineError, match=said):
        fake.go("pass")
    assert not fake.run.finished and fake.run.state()["status"] == "failed"


def test_missing_train_results(fake: Fake) -> None:
    fake.result()
    (fake.output / "train_results.json").unlink()
    with pytest.raises(EngineError, match=r"without train_results\.json"):
        fake.go("pass")


def test_skipped_rows_stop_the_training(fake: Fake) -> None:
    """Both trainers go on for ever when every row is one that they skip."""
    program = (
        "import time\nwhile True:\n    print('[SKIP] The length of encoded assistant tokens is 0', flush=True);"
        " time.sleep(0.01)"
    )
    with pytest.raises(EngineError, match="the trainer skips rows") as caught:
        fake.go(program)
    assert "assistant tokens is 0" in str(caught.value) and fake.run.state()["status"] == "failed"


def test_crash_shows_the_last_error(fake: Fake) -> None:
    with pytest.raises(EngineError, match="ZeroDivisionError") as caught:
        fake.go("1 / 0")
    assert caught.value.exit_code == 3 and caught.value.where == str(fake.run.log)
    assert "starts again" in (caught.value.hint or "")


def test_rows_that_changed_after_the_plan_are_noticed(fake: Fake) -> None:
    data = fake.prepared.job.data
    data.write_bytes(data.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(EngineError, match="planned for 12 samples, but the data has 1 now"):
        trainer.write_run(fake.prepared, fake.run, fake.origins, fake.data)


def test_checkpoint_of_the_last_step_needs_no_trainer(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake.output / "checkpoint-4"
    folder.mkdir(parents=True)
    write_safetensors(folder / "model.safetensors", TENSORS)
    monkeypatch.setattr(type(fake.prepared.engine), "checkpoints", lambda *_: [Checkpoint(folder, 4)])
    manifest = fake.go("raise SystemExit(9)")
    assert manifest["weights_dir"] == "checkpoints/checkpoint-4" and manifest["resumed_from"] == 4


def test_rule_that_stops_is_in_the_state(fake: Fake) -> None:
    fake.result()
    with pytest.raises(EngineError, match=r"\[loss\.not-a-number\]"):
        fake.go(f"print({STEP.format(step=1).replace('0.5', 'nan')!r})")
    state = fake.run.state()
    assert state["status"] == "failed" and state["warnings"][0]["rule"] == "loss.not-a-number"


def test_same_failure_twice_gets_no_hint_to_repeat_it(fake: Fake) -> None:
    hints = []
    for program in ("1 / 0", "1 / 0", f"print({STEP.format(step=2)!r}); 1 / 0"):
        with pytest.raises(EngineError) as caught:
            fake.go(program)
        hints.append(str(caught.value.hint))
    assert "the same command starts again" in hints[0]
    assert "would fail again" in hints[1]
    assert "the same command starts again" in hints[2], "it came further"


def test_full_disk_is_named(fake: Fake) -> None:
    with pytest.raises(EngineError) as caught:
        fake.go("raise OSError(28, 'No space left on device')")
    assert str(caught.value.hint).startswith("the disk is full: free space, then")


def test_figures_of_a_resumed_run_are_those_of_the_whole_run(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer divides the losses of its own part by all steps, and all steps by its own time."""
    fake.run.log.parent.mkdir(parents=True, exist_ok=True)
    lines = [STEP.replace("0.5", str(loss)).format(step=step) for step, loss in ((1, 4.0), (2, 3.0), (3, 9.0))]
    fake.run.log.write_text("\n".join(lines) + "\n")
    fake.result()
    (fake.output / "train_results.json").write_text('{"train_runtime": 4.0, "train_samples_per_second": 4.0}')
    checkpoint = [Checkpoint(fake.output / "checkpoint-2", 2)]
    monkeypatch.setattr(type(fake.prepared.engine), "checkpoints", lambda *_: checkpoint)
    again = STEP.replace("0.5", "2.0").format(step=4)
    manifest = fake.go(f"print({again!r})")
    assert manifest["train_loss"] == pytest.approx((4 + 3 + 9 + 2) / 4)
    assert manifest["samples_per_second"] == 2.0  # two steps of four samples in four seconds
