"""`sft curve`: every checkpoint scored once, whatever is killed, and the right one is taken."""

from __future__ import annotations

import base64
import csv
import fcntl
import json
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import TENSORS, write_safetensors
from waiting import wait_for

from sft.cli import sft as command
from sft.errors import EngineError, ProblemsFound
from sft.evaluation import scores
from sft.files.atomic import read_json, write_json
from sft.files.jsonl import read_samples
from sft.inference.predict import write_predictions
from sft.models import exporter
from sft.report import plots
from sft.report.data import gather
from sft.runtime import environments
from sft.serving import server as job
from sft.serving import server as serve
from sft.synth import bengali_sample
from sft.training import config, run_export, run_folder
from sft.training.run_folder import Run
from sft.types import Prediction
from sft.workflows import checkpoints, curve
from sft.workflows import evaluate as scoring
from sft.workflows import run as run_module
from sft.workflows.checkpoint_choice import Course, choose, courses

ROWS = 60


@dataclass
class Machine:
    """A run folder, and a server that answers as well as `wrong` says: step → rows that it reads wrongly, 0 for the
    base model.
    """

    run: Path
    data: Path
    wrong: dict[int, int]
    served: list[int] = field(default_factory=list)
    asked: int = 0
    dies_after: int | None = None  # answers
    refuses: set[int] = field(default_factory=set)  # rows

    def checkpoint(self, step: int, mark: int = 0) -> Path:
        """A complete checkpoint as PaddleFormers leaves it; `mark` makes other weights."""
        folder = self.run / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True, exist_ok=True)
        weights(folder / "model-00001-of-00001.safetensors", step, mark)
        write_safetensors(folder / "optimizer-00001-of-00001.safetensors", {"a": [1]})
        for name in ("trainer_state.json", "scheduler.pdparams", "training_args.bin"):
            (folder / name).write_text("{}")
        return folder

    def finish(self, step: int) -> None:
        """The run has ended at this step."""
        weights(self.run / "checkpoints" / "model.safetensors", step, 0)
        write_json(
            self.run / "manifest.json",
            {"max_steps": step, "weights_dir": "checkpoints", "weights": {"model.safetensors": str(step)}},
        )

    def answers(self) -> dict[str, tuple[int, str]]:
        """Picture → (row, truth)."""
        return {
            base64.b64encode((self.data.parent / sample.image_info[0].image_url).read_bytes()).decode(): (
                line,
                sample.ref,
            )
            for line, sample in read_samples(self.data)
        }

    @contextmanager
    def serving(self, model_dir: Path, *_: Any, **__: Any) -> Iterator[str]:
        """In place of vLLM."""
        path = model_dir / "sft-export.json"
        told = read_json(path) if path.is_file() else {"checkpoint": 0}
        step = int(told.get("checkpoint", told.get("max_steps", 0)))
        self.served.append(step)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self, step))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def weights(path: Path, step: int, mark: int) -> None:
    write_safetensors(path, TENSORS)
    content = bytearray(path.read_bytes())
    content[-2:] = bytes([step % 256, mark])
    path.write_bytes(content)


def handler(machine: Machine, step: int) -> type[BaseHTTPRequestHandler]:
    known = machine.answers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self.reply(200, {"object": "list", "data": [{"id": "PaddleOCR-VL-0.9B", "max_model_len": 512}]})
            else:
                self.reply(200 if self.path == "/version" else 404, {"version": "1"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            line, ref = known[body["messages"][0]["content"][0]["image_url"]["url"].partition(",")[2]]
            if machine.dies_after is not None and machine.asked >= machine.dies_after:
                self.close_connection = True
                return
            if line in machine.refuses:
                self.reply(400, {"error": {"message": "no"}})
                return
            machine.asked += 1
            content = "?" + ref[1:] if line <= machine.wrong[step] else ref
            self.reply(
                200,
                {
                    "choices": [
                        {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
                    ],
                    "usage": {},
                },
            )

        def reply(self, status: int, value: Any) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None: ...

    return Handler


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rows to train on and ROWS that are held out."""
    folder = tmp_path_factory.mktemp("drawn")
    for split, count in (("train", 2), ("test", ROWS)):
        bengali_sample.write_split(folder, seed=1, split=split, count=count, prompt="OCR:")
    return folder


@pytest.fixture
def machine(tmp_path: Path, drawn: Path, base_model: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A run with three checkpoints that has not ended, on a machine with a server; the current folder is empty."""
    shutil.copytree(drawn, tmp_path / "mine")
    data = tmp_path / "mine" / "test.jsonl"
    run = tmp_path / "runs" / "mine-1"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(
        config.dump(
            *config.resolve(
                [("test", {"engine": "paddleformers", "model": "tiny", "device": "cpu", "max_seq_len": 512})]
            )
        )
    )
    write_json(
        run / "data.json",
        {"path": str(tmp_path / "mine" / "train.jsonl"), "model_dir": str(base_model), "model_version": "0.9B"},
    )
    write_json(run / run_folder.HELD_OUT, {"path": str(data), "max_tokens": 64})
    found = Machine(run, data, {0: 60, 20: 40, 40: 10, 60: 0, 80: 30})
    for step in (20, 40, 60):
        found.checkpoint(step)
    monkeypatch.setattr(serve, "serving", found.serving)
    monkeypatch.setattr(job, "server_options", lambda *_, **__: serve.ServerOptions("python"))
    monkeypatch.setattr(environments, "no_cpu_server", lambda: "")
    monkeypatch.setattr(exporter, "verify_served", lambda *_: None)  # a process each time; tested with `sft export`
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return found


def invoke(*words: object) -> Result:
    return CliRunner().invoke(command, ["curve", *map(str, words)])


def points(folder: Path) -> list[tuple[int, float]]:
    """(step, CER) of the scalars."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
    from tensorboard.util import tensor_util  # type: ignore[import-untyped]

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return [
        (item.step, round(float(tensor_util.make_ndarray(item.tensor_proto)), 4))
        for item in events.Tensors("eval_ocr/cer")
    ]


def steps(done: Result) -> list[int]:
    return [step["step"] for step in json.loads(done.stdout)["tasks"][0]["steps"]]


def test_every_checkpoint_is_scored_once_and_shown_everywhere(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = invoke(machine.run, "--base")
    assert done.exit_code == 0, done.output
    assert machine.served == [0, 20, 40, 60] and machine.asked == 4 * ROWS
    out = machine.run / "curve"
    assert {path.name for path in out.iterdir()} >= {
        "report.html",
        "report.md",
        "metrics.csv",
        "junit.xml",
        "compare.json",
        "curve.json",
        "step-0",
        "step-20",
        "step-40",
        "step-60",
    }
    assert not list(machine.run.rglob("step-*/model")), "an exported checkpoint has gigabytes"
    assert "hash of texts and images" in (out / "report.html").read_text("utf-8"), "the conditions of the runs"
    assert "<polyline" in (out / "report.html").read_text("utf-8") and (out / "report.md").read_text(
        "utf-8"
    ).startswith("# mine-1: over training; take step 60")
    with (out / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["score"] == "exact" and not row["dimension"]]
    assert [(row["run"], row["step"], float(row["value"])) for row in rows] == [
        ("base", "0", 0.0),
        ("step 20", "20", 0.333333),
        ("step 40", "40", 0.833333),
        ("step 60", "60", 1.0),
    ]
    drawn = points(machine.run / "tensorboard" / "eval")
    assert (
        [step for step, _ in drawn] == [0, 20, 40, 60]
        and drawn[-1][1] == 0
        and drawn[0][1] > drawn[1][1] > drawn[2][1] > 0
    )
    assert (
        "step to take: 60 (the best value, and no earlier step" in done.stdout
        and "ocr: cer, lower is better; 60 samples" in done.stdout
    )
    shown = next(line for line in done.stdout.splitlines() if line.startswith("60 "))
    assert "0.00% [" in shown and "better" in shown and "best value, take this" in shown
    monkeypatch.setattr(environments, "no_cpu_server", lambda: "no AVX2")
    again = invoke(machine.run, "--json")
    assert again.exit_code == 0 and steps(again) == [0, 20, 40, 60] and len(machine.served) == 4, (
        "nothing is served again, and no server is needed"
    )
    assert json.loads(again.stdout)["choice"]["step"] == 60 == read_json(out / "curve.json")["choice"]["step"]


def test_a_killed_curve_goes_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.dies_after = ROWS + 7
    evaluate = scoring.run_evaluation
    monkeypatch.setattr(scoring, "run_evaluation", lambda order, **more: evaluate(replace(order, patience=0.1), **more))
    done = invoke(machine.run)
    assert (
        isinstance(done.exception, EngineError)
        and "answers are missing" in done.exception.message
        and "to resume" in str(done.exception.hint)
    )
    assert machine.served == [20, 40] and machine.asked == ROWS + 7
    machine.dies_after = None
    (machine.run / "curve" / "step-60" / "model").mkdir(parents=True)  # as a kill leaves it
    done = invoke(machine.run)
    assert done.exit_code == 0, done.output
    assert machine.served == [20, 40, 40, 60] and machine.asked == 3 * ROWS, "only what was missing is asked"
    assert not list(machine.run.rglob("step-*/model"))


def test_ctrl_c_leaves_no_exported_model(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serve, "serving", stopped)
    assert invoke(machine.run).exit_code != 0
    assert not list(machine.run.rglob("model")) and not list((machine.run / "curve").rglob(".*tmp"))


def test_without_a_server_it_is_said(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        environments, "no_cpu_server", lambda: "vLLM's CPU build needs AVX2, which this processor does not have"
    )
    done = invoke(machine.run)
    assert (
        isinstance(done.exception, EngineError)
        and done.exception.exit_code == 3
        and "AVX2" in done.exception.message
        and "sft curve FOLDER" in str(done.exception.hint)
    )
    assert not machine.served and not list(machine.run.rglob("model"))


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("all", [20, 40, 60]),
        ("every:1", [20, 40, 60]),
        ("every:2", [20, 60]),
        ("every:9", [60]),
        ("40", [40]),
        ("60, 20", [20, 60]),
        ("0,20", [20]),
    ],
)
def test_checkpoints_are_chosen(machine: Machine, choice: str, wanted: list[int]) -> None:
    done = invoke(machine.run, "--checkpoints", choice, "--json")
    assert done.exit_code == 0 and steps(done) == wanted == machine.served


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--checkpoints", "30"), "complete checkpoints: 20, 40, 60"),
        (("--checkpoints", "newest"), "neither all, nor every:N"),
        (("--checkpoints", "every:0"), "neither all"),
        (("--checkpoints", "-1"), "neither all"),
        (("--checkpoints", "all", "--data", "none.jsonl"), "no such data"),
        (("--watch", "--checkpoints", "20"), "--watch goes with all"),
    ],
)
def test_wrong_words(machine: Machine, words: tuple[str, ...], said: str) -> None:
    done = invoke(machine.run, *words)
    assert done.exception is not None and getattr(done.exception, "exit_code", 0) == 2 and said in str(done.exception)
    assert not machine.served


def test_a_removed_checkpoint_stays_on_the_curve_and_a_changed_one_is_scored_again(machine: Machine) -> None:
    assert invoke(machine.run).exit_code == 0
    shutil.rmtree(machine.run / "checkpoints" / "checkpoint-20")  # trainers keep their newest
    machine.checkpoint(80)
    machine.checkpoint(40, mark=1)
    machine.wrong[40] = 20
    done = invoke(machine.run, "--json")
    assert steps(done) == [20, 40, 60, 80] and machine.served[3:] == [40, 80]
    found = {step["step"]: step["value"] for step in json.loads(done.stdout)["tasks"][0]["steps"]}
    assert found[20] > found[80] > found[40] > found[60] == 0
    assert json.loads(done.stdout)["tasks"][0]["worse_later"] == [80]
    assert "ocr: worse than step 60 beyond chance: 80; over-fitting" in invoke(machine.run).stdout


def test_other_rows_or_longer_answers_are_other_scores(machine: Machine) -> None:
    assert invoke(machine.run, "--checkpoints", "60").exit_code == 0
    assert invoke(machine.run, "--checkpoints", "60", "--max-tokens", "65").exit_code == 0
    assert machine.served == [60, 60]
    rows = machine.data.read_bytes().splitlines(keepends=True)
    machine.data.write_bytes(b"".join(rows[:-1]))
    assert invoke(machine.run, "--checkpoints", "60").exit_code == 0
    assert machine.served == [60, 60, 60] and read_json(machine.run / "curve" / "compare.json")["samples"] == ROWS - 1


def test_what_sft_run_has_scored_is_not_scored_again(machine: Machine) -> None:
    """Its base model and its result, by the conditions that it leaves."""
    machine.finish(80)
    work = curve.prepare(curve.CurveRequest(machine.run, base=True))
    bar = SimpleNamespace(one=lambda _=None: None)
    for name, point in (
        ("before", checkpoints.CurveModel(0, "base", None)),
        ("after", checkpoints.CurveModel(80, "final", machine.run / "checkpoints")),
    ):
        curve.score(work, point, bar)  # type: ignore[arg-type]
        shutil.copytree(machine.run / "curve" / f"step-{point.step}", machine.run / "scores" / name)
    shutil.rmtree(machine.run / "curve")
    machine.served.clear()
    done = invoke(machine.run, "--json")
    assert done.exit_code == 0 and steps(done) == [0, 20, 40, 60, 80] and machine.served == [20, 40, 60]
    weights(machine.run / "checkpoints" / "model.safetensors", 81, 0)
    write_json(
        machine.run / "manifest.json",
        {**read_json(machine.run / "manifest.json"), "weights": {"model.safetensors": "other"}},
    )
    shutil.rmtree(machine.run / "model")
    assert steps(invoke(machine.run, "--json")) == [0, 20, 40, 60, 80] and machine.served == [
        20,
        40,
        60,
        80,
    ], "another result"


def test_a_finished_run_whose_last_checkpoint_was_scored(machine: Machine) -> None:
    assert invoke(machine.run).exit_code == 0
    machine.finish(60)
    assert steps(invoke(machine.run, "--json")) == [20, 40, 60] and machine.served == [20, 40, 60]


def test_a_limit_is_the_same_rows_at_each_step(machine: Machine) -> None:
    done = invoke(machine.run, "--limit", 10, "--json")
    assert done.exit_code == 0 and machine.asked == 30
    out = machine.run / "curve" / "test-10"
    assert len(list(read_samples(out / "data.jsonl"))) == 10 == read_json(out / "compare.json")["samples"]
    assert "too few samples (10, fewer than 50)" in json.loads(done.stdout)["choice"]["why"]
    assert points(machine.run / "tensorboard" / "eval" / "test-10")[0][0] == 20
    assert (
        checkpoints.limited(machine.data, out / "all.jsonl", 1000, 1)
        and len(list(read_samples(out / "all.jsonl"))) == ROWS
    )
    for text in (
        "{",
        "[]",
        '{"image_info": 3}',
        '{"image_info": [{}]}',
        '{"image_info": [{"image_url": 3}]}',
        "[" * 100_000,
    ):
        (machine.run / "bad.jsonl").write_text(text + "\n")
        with pytest.raises(ProblemsFound, match="bad.jsonl:1"):
            checkpoints.limited(machine.run / "bad.jsonl", out / "bad.jsonl", 1, 1)


def test_both_verbs_read_the_same_steps_from_names(tmp_path: Path) -> None:
    """What `sft curve FOLDER` takes for a step, the reports of `sft compare` take for the same step."""
    wanted = {
        "base": 0,
        "300": 300,
        "s400": 400,
        "step 500": 500,
        "checkpoint-600": 600,
        "mine-checkpoint-700": 700,
        "global_step_800": 800,
        "v2": None,
        "run7": None,
        "bengali-2": None,
        "footstep-3": None,
    }
    for name in wanted:
        (tmp_path / name).mkdir()
        (tmp_path / name / "predictions.jsonl").write_bytes(b"")
    curve_steps = {path.name: step for _, step, path in checkpoints.evaluated(tmp_path)}
    answer = Prediction(1, "1.png", "OCR:", "abcd", "abcx")
    report_steps = gather([(name, [answer]) for name in wanted]).steps
    assert curve_steps == {name: step for name, step in wanted.items() if step is not None}
    assert dict(zip(wanted, report_steps, strict=True)) == wanted


def test_other_data_and_suites_have_folders_of_their_own(machine: Machine) -> None:
    assert invoke(machine.run, "--data", machine.data, "--checkpoints", "60").exit_code == 0
    assert (machine.run / "curve" / "mine" / "step-60" / "results.json").is_file() and points(
        machine.run / "tensorboard" / "eval" / "mine"
    ) == [(60, 0.0)]
    Path("few.yaml").write_text(f"name: few\nsets:\n  lines: {{data: '{machine.data}', limit: 8}}\n")
    for _ in range(2):
        done = invoke(machine.run, "--data", "few.yaml")
        assert done.exit_code == 0, done.output
    assert machine.served == [60, 20, 40, 60]
    results = read_json(machine.run / "curve" / "few" / "step-40" / "results.json")
    assert results["suite"] == "few" and results["sets"]["lines"]["counts"]["in"] == 8
    Path("few.yaml").write_text(Path("few.yaml").read_text() + "sampling: {max_tokens: 9}\n")
    assert invoke(machine.run, "--data", "few.yaml", "--checkpoints", "60").exit_code == 0 and machine.served[4:] == [
        60
    ]
    done = invoke(machine.run, "--data", "few.yaml", "--limit", 3)
    assert getattr(done.exception, "exit_code", 0) == 2


def test_lost_answers_make_it_incomplete(machine: Machine) -> None:
    machine.refuses = {5}
    done = invoke(machine.run, "--checkpoints", "40,60")
    assert (
        done.exit_code == 1 and "step 40: 1 of 60 answers are lost; the scores are over the 59 samples" in done.stdout
    )
    machine.refuses = set()
    assert invoke(machine.run, "--checkpoints", "40,60").exit_code == 0 and machine.asked == 2 * ROWS


def test_a_folder_of_evaluations(machine: Machine, tmp_path: Path) -> None:
    done = invoke(machine.run, "--base")
    assert done.exit_code == 0
    folder = tmp_path / "evals"
    folder.mkdir()
    for step, name in ((0, "base"), (20, "s20"), (40, "step-40"), (60, "60")):
        shutil.copytree(machine.run / "curve" / f"step-{step}", folder / name)
    (folder / "suites").mkdir()
    (folder / "s99").mkdir()
    shutil.copytree(folder / "s20", folder / "tuned")
    machine.served.clear()
    done = invoke(folder, "--json")
    assert done.exit_code == 0 and steps(done) == [0, 20, 40, 60] and not machine.served
    assert [step for step, _ in points(folder / "curve" / "tensorboard" / "eval")] == [0, 20, 40, 60] and (
        folder / "curve" / "report.html"
    ).is_file()
    shutil.copytree(folder / "s20", folder / "ckpt_20")
    done = invoke(folder)
    assert getattr(done.exception, "exit_code", 0) == 2 and "both of step 20" in str(done.exception)
    done = invoke(machine.run / "curve", "-o", tmp_path / "out", "--json")
    assert done.exit_code == 0 and steps(done) == [0, 20, 40, 60] and (tmp_path / "out" / "curve.json").is_file()


def test_no_run_no_data_no_checkpoint(machine: Machine, tmp_path: Path) -> None:
    done = invoke(tmp_path / "here")
    assert "not a run folder" in str(done.exception)
    (machine.run / run_folder.HELD_OUT).unlink()
    assert checkpoints.held_out(Run(machine.run)) == (machine.data, None), "the test file beside the training file"
    machine.data.rename(machine.data.with_name("other.jsonl"))
    done = invoke(machine.run)
    assert getattr(done.exception, "exit_code", 0) == 2 and "--data FILE" in str(done.exception)
    shutil.rmtree(machine.run / "checkpoints")
    done = invoke(machine.run, "--data", machine.data.with_name("other.jsonl"))
    assert getattr(done.exception, "exit_code", 0) == 2 and "no complete checkpoint" in str(done.exception)


def test_broken_results_are_no_results(machine: Machine) -> None:
    assert invoke(machine.run, "--checkpoints", "60").exit_code == 0
    path = machine.run / "curve" / "step-60" / "results.json"
    for text in (
        "{",
        "[]",
        "{}",
        '{"conditions": 3}',
        '{"conditions": {}, "counts": {"lost": 0}}',
        path.read_text().replace('"lost": 0', '"lost": 1'),
    ):
        path.write_text(text)
        machine.served.clear()
        assert invoke(machine.run, "--checkpoints", "60").exit_code == 0 and machine.served == [60], text


def test_two_at_once(machine: Machine) -> None:
    (machine.run / "curve").mkdir()
    with (machine.run / "curve" / "lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        done = invoke(machine.run)
    assert getattr(done.exception, "exit_code", 0) == 2 and "another sft process" in str(done.exception)
    with (machine.run / "lock").open("a") as stream:  # a training run is no hindrance
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert invoke(machine.run, "--checkpoints", "60").exit_code == 0


def test_watching_a_run_that_trains(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint comes while it waits, an older one is removed before its turn, then the run ends."""
    run = Run(machine.run)
    run.set_state("running")
    waits: list[float] = []
    nap = time.sleep

    def wait(seconds: float) -> None:
        if seconds != curve.WATCH_SECONDS:  # somebody else's
            nap(seconds)
            return
        waits.append(seconds)
        if len(waits) == 2:
            machine.checkpoint(80)
        if len(waits) == 3:
            run.set_state("finished")

    monkeypatch.setattr(time, "sleep", wait)
    done = invoke(machine.run, "--watch", "--json")
    assert (
        done.exit_code == 0
        and steps(done) == [20, 40, 60, 80]
        and machine.served == [20, 40, 60, 80]
        and len(waits) == 3
    )
    write_json(machine.run / "state.json", {"status": "running", "pid": 2**22 + 1})
    assert not checkpoints.training(run), "a killed trainer trains no more"
    assert not checkpoints.training(Run(machine.run / "none"))


def test_a_checkpoint_that_goes_before_its_turn_is_left_out(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def serving(*words: Any, **more: Any) -> Iterator[str]:
        shutil.rmtree(machine.run / "checkpoints" / "checkpoint-40", ignore_errors=True)
        with machine.serving(*words, **more) as url:
            yield url

    monkeypatch.setattr(serve, "serving", serving)
    done = invoke(machine.run)
    assert done.exit_code == 0 and machine.served == [20, 60] and "removed the checkpoint of step 40" in done.stderr


@pytest.mark.parametrize("what", ["before", "half", "other"])
def test_a_checkpoint_that_goes_while_it_is_exported_is_left_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The trainer removes file by file, and the weights take seconds to copy; all other errors are errors."""
    real = run_export.export_checkpoint

    def exporting(run: Run, out: Path, step: int | None) -> dict[str, Any]:
        folder = machine.run / "checkpoints" / f"checkpoint-{step}"
        if step == 40 and what == "before":
            shutil.rmtree(folder)
        if step == 40 and what == "half":
            (folder / "model-00001-of-00001.safetensors").unlink()
        if step == 40 and what == "other":
            raise ProblemsFound("no such tensor")
        return real(run, out, step)

    monkeypatch.setattr(run_export, "export_checkpoint", exporting)
    done = invoke(machine.run)
    if what == "other":
        assert isinstance(done.exception, ProblemsFound) and machine.served == [20]
    else:
        assert (
            done.exit_code == 0 and machine.served == [20, 60] and "removed the checkpoint of step 40" in done.stderr
        ), done.output


def test_a_checkpoint_that_is_written_anew_while_it_is_scored_is_another_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_export.export_checkpoint

    def exporting(run: Run, out: Path, step: int | None) -> dict[str, Any]:
        found = real(run, out, step)
        machine.checkpoint(int(step or 0), mark=len(machine.served))
        return found

    monkeypatch.setattr(run_export, "export_checkpoint", exporting)
    assert invoke(machine.run, "--checkpoints", "60").exit_code == 0
    monkeypatch.setattr(run_export, "export_checkpoint", real)
    assert invoke(machine.run, "--checkpoints", "60").exit_code == 0 and machine.served == [60, 60]
    assert invoke(machine.run, "--checkpoints", "60").exit_code == 0 and machine.served == [60, 60]


def test_a_kill_leaves_no_gigabytes_of_a_checkpoint_that_is_gone(machine: Machine) -> None:
    assert invoke(machine.run).exit_code == 0
    for name in ("model", ".model.999999999.tmp"):
        (machine.run / "curve" / "step-20" / name).mkdir()
    shutil.rmtree(machine.run / "checkpoints" / "checkpoint-20")
    assert invoke(machine.run).exit_code == 0
    assert not [path for path in (machine.run / "curve" / "step-20").iterdir() if "model" in path.name]


def test_the_same_files_however_often_it_is_stopped(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert invoke(machine.run, "-o", tmp_path / "a").exit_code == 0
    evaluate = scoring.run_evaluation
    for stop in range(1, 4):

        def stopped(order: scoring.EvalRequest, *, last: int = stop, **more: Any) -> dict[str, Any]:
            if len(list((tmp_path / "b").glob("step-*/results.json"))) == last:
                raise KeyboardInterrupt
            return evaluate(order, **more)

        monkeypatch.setattr(scoring, "run_evaluation", stopped)
        assert (invoke(machine.run, "-o", tmp_path / "b").exit_code == 0) == (stop == 3)
    monkeypatch.setattr(scoring, "run_evaluation", evaluate)
    assert invoke(machine.run, "-o", tmp_path / "b").exit_code == 0
    assert (tmp_path / "a" / "curve.json").read_text() == (tmp_path / "b" / "curve.json").read_text().replace(
        str(tmp_path / "b"), str(tmp_path / "a")
    )
    assert (tmp_path / "a" / "metrics.csv").read_bytes() == (tmp_path / "b" / "metrics.csv").read_bytes()
    assert read_json(tmp_path / "b" / "state.json")["status"] == "finished"


def test_data_in_the_folder_above(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder has a name, and the scores never land in the run itself."""
    (machine.data.parent / "deeper").mkdir()
    monkeypatch.chdir(machine.data.parent / "deeper")
    Run(machine.run).set_state("running", step=3)
    assert invoke(machine.run, "--data", "../test.jsonl", "--checkpoints", "60").exit_code == 0
    assert (machine.run / "curve" / "mine" / "step-60" / "results.json").is_file()
    assert Run(machine.run).state()["status"] == "running" and not (machine.run / "curve.json").exists()


def test_rows_are_not_changed_under_a_curve_that_is_at_work(machine: Machine) -> None:
    assert invoke(machine.run, "--limit", 10, "--checkpoints", "60").exit_code == 0
    rows = machine.run / "curve" / "test-10" / "data.jsonl"
    before = rows.read_bytes()
    with (rows.parent / "lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert "another sft process" in str(invoke(machine.run, "--limit", 10, "--seed", 2).exception)
    assert rows.read_bytes() == before
    assert (
        invoke(machine.run, "--limit", 10, "--seed", 2, "--checkpoints", "60").exit_code == 0
        and rows.read_bytes() != before
    )


def test_further_scores(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By --metric, or those that a suite names; refused before anything is served where they cannot be had."""
    Path("few.yaml").write_text(
        f"name: few\nsets:\n  lines: {{data: '{machine.data}', limit: 8, metrics: [cer, cer_lines]}}\n"
    )
    for words in (("--metric", "cer_lines"), ("--data", "few.yaml")):
        done = invoke(machine.run, *words, "--checkpoints", "60", "-o", tmp_path / "out")
        assert done.exit_code == 0, done.output
        assert any(line["metric"] == "cer_lines" for line in read_json(tmp_path / "out" / "compare.json")["lines"])
        assert "cer_lines" in (tmp_path / "out" / "metrics.csv").read_text()
    shutil.copytree(tmp_path / "out" / "step-60", tmp_path / "evals" / "s60")
    assert invoke(tmp_path / "evals", "--metric", "cer_lines", "-o", tmp_path / "again").exit_code == 0
    assert "cer_lines" in (tmp_path / "again" / "metrics.csv").read_text()
    machine.served.clear()
    monkeypatch.setattr(scores, "find_spec", lambda _: None)
    for words in (("--metric", "cer_lines"), ("--data", "few.yaml")):
        assert (
            "needs scipy" in str(invoke(machine.run, *words, "-o", tmp_path / "new").exception) and not machine.served
        )
    assert "needs scipy" in str(invoke(tmp_path / "evals", "--metric", "cer_lines").exception)


def test_options_of_runs_mean_nothing_for_evaluations(machine: Machine, tmp_path: Path) -> None:
    assert invoke(machine.run).exit_code == 0
    for words in (("--watch",), ("--limit", 3), ("--checkpoints", "60"), ("--base",)):
        done = invoke(machine.run / "curve", *words, "-o", tmp_path / "out")
        assert getattr(done.exception, "exit_code", 0) == 2 and f"{words[0]} is for a run" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_two_want_the_model_of_a_run_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sft run` and `sft curve --watch`, when training ends."""
    machine.finish(80)
    run, real, lock = Run(machine.run), exporter.export, fcntl.flock
    made: list[int] = []
    locks: list[int] = []

    def slow(*words: Any, **more: Any) -> dict[str, Any]:
        made.append(1)
        wait_for(lambda: len(locks) == 2, "the other one to want the lock")
        return real(*words, **more)

    def flock(*words: Any) -> None:
        locks.append(1)
        lock(*words)

    monkeypatch.setattr(exporter, "export", slow)
    monkeypatch.setattr(fcntl, "flock", flock)
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(run_export.export_run, run, machine.run / "model") for _ in range(2)]
        assert [one.result() for one in found] == [machine.run / "model"] * 2
    assert made == [1]


def test_sft_run_leaves_the_points_of_a_curve_alone(machine: Machine) -> None:
    assert invoke(machine.run).exit_code == 0
    preds = [Prediction(line, f"{line}.png", "OCR:", "abcd", "abcx") for line in range(1, 13)]
    for name in ("before", "after"):
        write_predictions(machine.run / "scores" / name / "predictions.jsonl", preds)
    machine.finish(80)
    outcome = run_module.RunOutcome(Run(machine.run), [], before={"x": 1}, after={"x": 1})
    settled: Any = SimpleNamespace(
        config=SimpleNamespace(model="0.9B", engine="paddleformers"),
        version=SimpleNamespace(served_name="m"),
        rehearsal=False,
    )
    run_module._report(outcome, machine.data, settled)
    assert [step for step, _ in points(machine.run / "tensorboard" / "eval")] == [20, 40, 60]


# Which checkpoint to take.


def course(wrong: dict[int, int], count: int = 100, *, seed: int = 0) -> list[Course]:
    """The course of steps that read so many of `count` samples wrongly, each step other ones."""
    rng = np.random.default_rng(seed)
    runs = []
    for step, many in wrong.items():
        bad = set(rng.permutation(count)[:many].tolist())
        runs.append(
            (
                f"step {step}",
                [
                    Prediction(line, f"{line}.png", "OCR:", "abcd", "abcx" if line - 1 in bad else "abcd")
                    for line in range(1, count + 1)
                ],
            )
        )
    return courses(gather(runs, labels={}))


def test_the_earliest_of_the_best_is_taken() -> None:
    (found,) = course({100: 60, 200: 12, 300: 10, 400: 11, 500: 45})
    assert (found.best, found.earliest, found.worse_later) == (300, 200, (500,))
    assert [step.could_be_best for step in found.steps] == [False, True, True, True, False]
    assert [step.change and step.change.verdict for step in found.steps] == [None, "better", "", "", "worse"]
    assert choose([found]).step == 200 and "earliest" in choose([found]).why


def test_order_of_the_runs_and_runs_without_a_step_do_not_matter() -> None:
    preds = {
        step: [Prediction(line, "x.png", "OCR:", "abcd", "abcx" if line <= wrong else "abcd") for line in range(1, 101)]
        for step, wrong in ((300, 0), (100, 50), (200, 20))
    }
    found = courses(
        gather([("other", preds[100]), *((f"step {step}", rows) for step, rows in preds.items())], labels={})
    )
    assert [step.step for step in found[0].steps] == [100, 200, 300]
    assert courses(gather([("a", preds[100]), ("b", preds[200])], labels={})) == []
    assert choose([]).step is None
    assert courses(gather([("step 5", preds[100])], labels={}))[0].earliest == 5


def test_few_samples_decide_nothing() -> None:
    (found,) = course({1: 9, 2: 5, 3: 0}, 10)
    assert found.few and choose([found]).step == 3 and "too few samples (10" in choose([found]).why


def test_tasks_must_agree() -> None:
    (up,), (down,) = course({1: 60, 2: 30, 3: 0}), course({1: 0, 2: 5, 3: 60})
    assert choose([up, down]).step is None
    assert "no step is among the best in every task" in choose([up, down]).why
    (flat,) = course({1: 3, 2: 3, 3: 3})
    assert choose([up, flat]).step == 3 and choose([flat]).step == 1
    (few,) = course({1: 0, 2: 5, 3: 10}, 10)
    assert choose([up, few]).step == 3, "ten samples have no say against a hundred"


def test_documents_are_what_is_counted() -> None:
    preds = [
        [Prediction(line, "x.png", "OCR:", "abcd", "abcx" if line <= wrong else "abcd") for line in range(1, 101)]
        for wrong in (50, 10)
    ]
    labels = {line: {"group": f"page {line % 5}"} for line in range(1, 101)}
    (found,) = courses(gather([("step 1", preds[0]), ("step 2", preds[1])], labels=labels))
    assert (found.n, found.independent, found.few) == (100, 5, True)


def test_an_untrained_model_does_not_flatten_the_picture() -> None:
    """Random weights answer twenty times too long; the axis ends at 100 % and says so."""
    answers = {"base": "xyz" * 30, "step 1": "abcx", "step 2": "abcd"}
    data = gather(
        [
            (name, [Prediction(line, "x.png", "OCR:", "abcd", pred if line % 5 else "abcd") for line in range(1, 101)])
            for name, pred in answers.items()
        ],
        labels={},
    )
    (found,) = plots.curves(data)
    assert (
        found.up[-1][1] == "≥100%"
        and found.points[0].y == found.up[-1][0]
        and found.points[1].y - found.points[2].y < 60
    )
    assert [text for _, text in found.across] == ["0", "1", "2"] and found.points[0].text.startswith("base: 1,800%")
    (calm,) = plots.curves(
        gather(
            [
                (name, [Prediction(line, "x.png", "OCR:", "abcd", "abcx") for line in range(1, 101)])
                for name in ("step 1", "step 2", "step 3")
            ],
            labels={},
        )
    )
    assert not any("≥" in text for _, text in calm.up)


def test_a_flat_curve_seldom_looks_over_fitted() -> None:
    """Six equal checkpoints: the luckiest is not taken for the best of all more often than 1 time in 20, by the
    binomial's margin.
    """
    alarms = sum(bool(course(dict.fromkeys(range(1, 7), 30), seed=seed)[0].worse_later) for seed in range(25))
    assert alarms <= 4  # P(more) < 0.01 at 5 %
