"""All runs of a folder, one run from another shell, and the command that does one again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import VERSION, surveyed

from sft.cli import runs as verbs
from sft.errors import ProblemsFound, UsageError
from sft.runtime import machine as machine_module
from sft.training import settings, trainer
from sft.training.config import REHEARSAL, load_file, resolve
from sft.training.plan import make_plan
from sft.training.run_folder import Run
from sft.workflows.runs import again, list_runs, status_of

STEP = "[INFO] - loss: 0.5, learning_rate: 0.1, global_step: 3, interval_samples_per_second: 2.0\n"


@pytest.fixture
def run(tmp_path: Path, bengali_data: Path, base_model: Path) -> Run:
    """A run as it is when its training begins: 12 samples, 9 steps of 4."""
    config, origins = resolve([("rehearsal", REHEARSAL), ("flag", {"model": str(base_model), "batch": 4})])
    plan = make_plan(samples=12, epochs=3, gpus=1, batch=4, accum=1, learning_rate=1e-3)
    made = Run(tmp_path / "runs" / "mine")
    prepared = trainer.prepare(made.folder, bengali_data, base_model, VERSION, config, plan)
    trainer.write_run(prepared, made, origins, surveyed(bengali_data))
    made.set_state("running", step=0)
    made.log.parent.mkdir(parents=True)
    made.log.write_text("something else\n" + STEP + "a warning\n")
    return made


def test_running_run_says_stage_step_loss_and_time_left(run: Run) -> None:
    with run.locked():
        status = status_of(run)
    assert (status.state, status.stage, status.step, status.max_steps) == ("running", "training", 3, 9)
    assert status.loss == 0.5 and status.seconds_left == 6 * 4 / 2.0
    assert status.rows == 12 and status.engine == "paddleformers" and status.before is None


def test_run_whose_process_is_gone_is_called_killed(run: Run) -> None:
    assert status_of(run).state == "killed" and status_of(run).seconds_left is None
    run.set_state("interrupted", step=3)
    assert status_of(run).state == "interrupted"


def test_stages_after_training(run: Run) -> None:
    run.manifest_path.write_text('{"warnings": [{"rule": "loss.spike"}]}')
    with run.locked():
        assert status_of(run).stage == "exporting" and status_of(run).state == "running"
        (run.folder / "model").mkdir()
        assert status_of(run).stage == "scoring the base"
    status = status_of(run)
    assert (status.state, status.stage, status.step, status.warnings) == ("finished", "", 9, 1)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"status": 3, "warnings": 1}', "\0"])
def test_broken_files_leave_their_part_empty(run: Run, text: str) -> None:
    for name in ("state.json", "data.json", "plan.json", "config.yaml"):
        (run.folder / name).write_text(text)
    assert status_of(run).name == "mine"


def test_runs_as_table_json_and_page(run: Run) -> None:
    scores = run.folder / "scores" / "after"
    scores.mkdir(parents=True)
    (scores / "results.json").write_text('{"scores": {"cer": 0.0625}}')
    hostile = "<script>alert(1)</script>"
    data = json.loads((run.folder / "data.json").read_text())
    (run.folder / "data.json").write_text(json.dumps({**data, "path": f"/x/{hostile}.jsonl"}))
    folder = run.folder.parent
    done = CliRunner().invoke(verbs.runs, [str(folder), "--json"])
    assert done.exit_code == 0
    (listed,) = json.loads(done.stdout)
    assert listed["after"] == 0.0625 and listed["state"] == "killed"
    page = (folder / "index.html").read_text("utf-8")
    assert hostile not in page and "&lt;script&gt;" in page and "0.0625" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert len(list_runs(folder)) == 1
    with pytest.raises(UsageError, match="no such folder"):
        list_runs(folder / "none")


def test_reproduced_run_has_the_same_settings(run: Run, bengali_data: Path, tmp_path: Path) -> None:
    words = shlex.split(again(run, tmp_path / "again"))
    assert words[:3] == ["sft", "train", str(bengali_data)] and words[-1] == str(tmp_path / "again")
    config = Path(words[words.index("--config") + 1])
    asked = settings.Request({}, config)
    settled = settings.resolve_settings(asked, machine_module.Machine((), None), 12)
    assert settled.config.model_dump() == load_file(run.folder / "config.yaml")
    (run.folder / "held-out.json").write_text('{"path": "/d/test.jsonl"}')
    assert "--test /d/test.jsonl" in again(run, tmp_path / "again")


def test_rows_that_changed_are_not_reproduced(run: Run, bengali_data: Path) -> None:
    bengali_data.write_bytes(bengali_data.read_bytes() + b" ")
    with pytest.raises(ProblemsFound, match="have changed since"):
        again(run, Path("x"))
    bengali_data.unlink()
    with pytest.raises(ProblemsFound, match="are gone"):
        again(run, Path("x"))


def test_status_of_something_else_is_a_usage_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(verbs.status, [str(tmp_path)])
    assert isinstance(done.exception, UsageError)
