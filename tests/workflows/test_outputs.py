"""What an evaluation and a comparison leave behind: the same numbers in every file, each answer scored once."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
import rows
from click.testing import CliRunner
from eval_server import Served
from places import ROOT

from sft import serving
from sft.cli import sft as command
from sft.evaluation.gates import ForgettingGate, LostGate, load_gates
from sft.evaluation.scores import SCORES, pairs_of
from sft.files.atomic import read_json, sha256
from sft.inference.predict import read_predictions, write_predictions
from sft.models import versions
from sft.report import data as report_data
from sft.training.run_folder import Run
from sft.types import Prediction
from sft.workflows import evaluate as outputs
from sft.workflows import run as loop
from sft.workflows.evaluate import EvalRequest, Listeners, ModelToScore, evaluate_model, run_evaluation

REPORTS = {"report.html", "report.md", "metrics.csv", "junit.xml"}
ANSWERS = {"predictions.jsonl", "results.json", "answers.jsonl"}


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(command, [str(word) for word in arguments])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def figures(folder: Path) -> dict[tuple[str, str], float]:
    """(run, score) → value of metrics.csv, over whole tasks."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        return {
            (row["run"], f"{row['task']}.{row['score']}"): float(row["value"])
            for row in csv.DictReader(stream)
            if not row["dimension"]
        }


def test_eval_leaves_the_same_numbers_in_every_file(served: Served, bengali_data: Path, tmp_path: Path) -> None:
    done = invoke(
        "eval", bengali_data, "--url", served.url, "--name", "base", "-o", tmp_path / "out", "--max-tokens", 64
    )
    assert done.exit_code == 0, done.output
    assert names(tmp_path / "out") == ANSWERS | REPORTS and "report.html" in done.stdout
    cer = read_json(tmp_path / "out" / "results.json")["tasks"]["ocr"]["scores"]["cer"]
    assert figures(tmp_path / "out")["base", "ocr.cer"] == pytest.approx(cer, rel=1e-5)
    junit = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()
    assert {item.get("name"): float(item.get("value", "")) for item in junit.iter("property")}[
        "base/ocr/cer"
    ] == pytest.approx(cer, rel=1e-5)
    assert f"{cer:.2%}" in (tmp_path / "out" / "report.md").read_text("utf-8") and f"{cer:.2%}" in (
        tmp_path / "out" / "report.html"
    ).read_text("utf-8")
    done = invoke("eval", bengali_data, "--url", served.url, "-o", tmp_path / "bare", "--max-tokens", 64, "--no-report")
    assert done.exit_code == 0 and names(tmp_path / "bare") == ANSWERS and "report.html" not in done.stdout


def test_answers_are_scored_once(
    served: Served, bengali_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(*_: Any, **__: Any) -> None:
        raise AssertionError("scored a second time")

    monkeypatch.setattr(report_data, "pairs_of", again)
    run_evaluation(EvalRequest(bengali_data, (served.url,), tmp_path / "out", reports=True))
    assert names(tmp_path / "out") == ANSWERS | REPORTS
    for name in ("base", "tuned"):
        (tmp_path / f"{name}.jsonl").hardlink_to(tmp_path / "out" / "predictions.jsonl")
    assert (
        invoke(
            "compare",
            f"base={tmp_path / 'base.jsonl'}",
            f"tuned={tmp_path / 'tuned.jsonl'}",
            "-o",
            tmp_path / "both",
            "--workers",
            1,
        ).exit_code
        == 0
    )


def exported(folder: Path, **origin: Any) -> Path:
    """A model directory beside the settings of its run."""
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text("x: 1\n")
    (folder / "model" / "sft-export.json").write_text(json.dumps({"run": folder.name, **origin}))
    return folder / "model"


def points(folder: Path, tag: str) -> list[int]:
    """The steps that a tag has."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return [item.step for item in events.Tensors(tag)]


def test_scores_stand_beside_the_training_curves(served: Served, bengali_data: Path, tmp_path: Path) -> None:
    model = exported(tmp_path / "runs" / "mine-1", max_steps=30)
    said: list[str] = []
    run_evaluation(
        EvalRequest(bengali_data, (served.url,), tmp_path / "out", reports=True, model_dir=model), say=said.append
    )
    (folder,) = (tmp_path / "runs" / "mine-1" / "tensorboard" / "eval").glob(f"{bengali_data.parent.name}-*/step-30")
    assert points(folder, "eval_ocr/cer") == [30] and any(str(folder) in line for line in said)


def test_two_sets_whose_files_have_one_name_are_two_curves(served: Served, bengali_data: Path, tmp_path: Path) -> None:
    model = exported(tmp_path / "runs" / "mine-1", max_steps=30)
    other = tmp_path / "other" / bengali_data.parent.name / bengali_data.name
    other.parent.mkdir(parents=True)
    lines = bengali_data.read_text("utf-8").splitlines(keepends=True)
    other.write_text("".join(lines[:3]).replace("images/", f"{bengali_data.parent}/images/"), "utf-8")
    for number, data in enumerate((bengali_data, other)):
        run_evaluation(
            EvalRequest(data, (served.url,), tmp_path / f"out{number}", reports=True, model_dir=model),
            say=lambda _: None,
        )
    folders = sorted((tmp_path / "runs" / "mine-1" / "tensorboard" / "eval").glob("*/step-30"))
    assert len(folders) == 2 and all(points(folder, "eval_ocr/cer") == [30] for folder in folders)


def test_what_another_run_has_scored_is_taken_over(
    served: Served, bengali_data: Path, base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base model, of which each run on the same rows needs the scores."""
    started = []

    @contextmanager
    def serving_once(*_: object, **__: object) -> Iterator[str]:
        started.append(1)
        yield served.url

    monkeypatch.setattr(serving, "serving", serving_once)
    version = versions.MODELS["0.9B"]
    model = ModelToScore(base_model, version, "print", lambda: serving.ServerOptions("python"))
    said: list[str] = []
    listeners = Listeners(lambda _: None, said.append)
    folders = [tmp_path / "runs" / name / "scores" / "before" for name in ("first", "second", "third")]
    first = evaluate_model(model, bengali_data, folders[0], listeners, sampling={"max_tokens": 32})
    folders[1].mkdir(parents=True)
    (folders[1] / "answers.jsonl").write_text("left by a kill")
    second = evaluate_model(
        model, bengali_data, folders[1], listeners, sampling={"max_tokens": 32}, elsewhere=[folders[0]]
    )
    assert second == first and started == [1] and any(str(folders[0]) in line for line in said)
    assert read_predictions(folders[1] / "predictions.jsonl") == read_predictions(folders[0] / "predictions.jsonl")
    assert [path.name for path in folders[1].parent.iterdir()] == ["before"]
    evaluate_model(model, bengali_data, folders[2], listeners, sampling={"max_tokens": 16}, elsewhere=folders[:2])
    assert started == [1, 1]


@pytest.mark.parametrize("same", [True, False])
def test_rows_that_the_model_was_trained_on_are_said(
    same: bool, served: Served, bengali_data: Path, tmp_path: Path
) -> None:
    rows = {"name": "mine", "rows": 9, "sha256": sha256(bengali_data) if same else "0" * 64}
    model = exported(tmp_path / "runs" / "mine-1", max_steps=30, data=rows)
    said: list[str] = []
    run_evaluation(EvalRequest(bengali_data, (served.url,), tmp_path / "out", model_dir=model), say=said.append)
    assert read_json(tmp_path / "out" / "results.json")["conditions"].get(outputs.TRAINED_ON, False) is same
    assert any("trained on these very rows" in line for line in said) is same
    for text in ("{", '{"data": null}', '{"data": 1}', '{"data": {}}'):
        (model / "sft-export.json").write_text(text)
        assert not outputs.trained_on(model, bengali_data)
    assert not outputs.trained_on(None, bengali_data)


def test_the_run_of_a_model_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = exported(tmp_path / "runs" / "a", checkpoint=7, max_steps=30)
    assert outputs.run_of(model) == (tmp_path / "runs" / "a", 7)
    monkeypatch.chdir(tmp_path)
    model.rename(tmp_path / "elsewhere")
    assert outputs.run_of(tmp_path / "elsewhere") == (Path("runs/a"), 7)
    for text in (
        "{",
        "[]",
        "{}",
        '{"run": 1, "max_steps": 2}',
        '{"run": "gone", "max_steps": 2}',
        '{"run": "a", "max_steps": null}',
    ):
        (tmp_path / "elsewhere" / "sft-export.json").write_text(text)
        assert outputs.run_of(tmp_path / "elsewhere") is None
    assert outputs.run_of(tmp_path / "none") is None and outputs.run_of(None) is None


def test_the_whole_job_reports_base_and_tuned(bengali_data: Path, tmp_path: Path) -> None:
    preds = [Prediction(line, f"{line}.png", "OCR:", "abcd", "abcx") for line in range(1, 13)]
    for name, found in (
        ("before", preds),
        ("after", [*preds[:6], *(Prediction(pred.id, pred.image, pred.prompt, "abcd", "abcd") for pred in preds[6:])]),
    ):
        write_predictions(tmp_path / "run" / "scores" / name / "predictions.jsonl", found)
    (tmp_path / "run" / "manifest.json").write_text('{"max_steps": 40, "weights": "w"}')
    outcome = loop.RunOutcome(Run(tmp_path / "run"), [("train", 3.0)], before={"x": 1}, after={"x": 1})
    settled: Any = SimpleNamespace(
        config=SimpleNamespace(model="0.9B", engine="paddleformers"),
        version=SimpleNamespace(served_name="m"),
        rehearsal=False,
    )
    assert loop._report(outcome, bengali_data, settled) == tmp_path / "run" / "report.html"
    assert names(tmp_path / "run") >= REPORTS | {"results.json"}
    assert (
        figures(tmp_path / "run")["before", "ocr.cer"] == 0.25
        and figures(tmp_path / "run")["after", "ocr.cer"] == 0.125
    )
    assert points(tmp_path / "run" / "tensorboard" / "eval", "eval_ocr/cer") == [0, 40]


def mixed(count: int) -> list[Prediction]:
    """All four tasks, every answer right."""
    found = []
    for number, row in enumerate(rows.rows(count), 1):
        prompt, ref = (turn["text"] for turn in row["text_info"])
        found.append(Prediction(number, row["image_info"][0]["image_url"], prompt, ref, ref))
    return found


def forgetful(folder: Path, count: int = 240) -> tuple[Path, Path]:
    """base: a fifth of the text is wrong; tuned: all text is right, and half of the tables are cut off."""
    base, tuned = [], []
    for pred in mixed(count):
        text, table = pred.prompt == "OCR:", pred.prompt.startswith("Table")
        base.append(
            Prediction(
                pred.id,
                pred.image,
                pred.prompt,
                pred.ref,
                "x" + pred.ref[2:] if text and pred.id % 5 == 0 else pred.pred,
            )
        )
        tuned.append(
            Prediction(
                pred.id,
                pred.image,
                pred.prompt,
                pred.ref,
                pred.ref[: len(pred.ref) // 2] if table and pred.id % 2 else pred.pred,
            )
        )
    for name, preds in (("base", base), ("tuned", tuned)):
        write_predictions(folder / name / "predictions.jsonl", preds)
    return folder / "base", folder / "tuned"


def test_forgetting_breaks_the_shipped_gates_in_every_file(tmp_path: Path) -> None:
    base, tuned = forgetful(tmp_path)
    out = tmp_path / "out"
    done = invoke(
        "compare",
        f"base={base}",
        f"tuned={tuned}",
        "--gate",
        ROOT / "eval" / "gates" / "ci.yaml",
        "-o",
        out,
        "--workers",
        1,
    )
    assert done.exit_code == 1 and "FAIL  forgetting table.teds (tuned)" in done.stdout, done.output
    assert names(out) == REPORTS | {"compare.json"}
    assert not {"-0.00", "−0.00"} & set(done.stdout.split())  # what has not changed has no sign
    written = read_json(out / "compare.json")
    broken = [gate["gate"] for gate in written["gates"] if not gate["passed"]]
    assert "forgetting table.teds" in broken and "forgetting ocr.cer" not in broken and "ocr.cer delta" not in broken
    assert f"Gates: {len(broken)} of {len(written['gates'])} broken" in (out / "report.md").read_text("utf-8")
    suite = next(suite for suite in ElementTree.parse(out / "junit.xml").getroot() if suite.get("name") == "gates")
    assert (suite.get("tests"), suite.get("failures")) == (str(len(written["gates"])), str(len(broken)))
    lines = {
        (line["scope"], line["name"], line["metric"]): {score["run"]: score["value"] for score in line["scores"]}
        for line in written["lines"]
    }
    for (run, name), value in figures(out).items():
        task, score = name.split(".")
        assert lines["task", task, score][run] == pytest.approx(value, rel=1e-5), name


def test_runs_of_checkpoints_become_a_curve(tmp_path: Path) -> None:
    base, tuned = forgetful(tmp_path, 40)
    done = invoke(
        "compare", f"base={base}", f"step 20={tuned}", f"step 40={base}", "-o", tmp_path / "out", "--workers", 1
    )
    assert done.exit_code == 0, done.output
    assert points(tmp_path / "out" / "tensorboard" / "eval", "eval_table/teds") == [0, 20, 40]


def test_lost_answers_do_not_stop_the_report(tmp_path: Path) -> None:
    base, tuned = forgetful(tmp_path, 60)
    preds = read_predictions(tuned / "predictions.jsonl")
    write_predictions(
        tuned / "predictions.jsonl",
        [
            Prediction(pred.id, pred.image, pred.prompt, pred.ref, "", error="503") if pred.id == 2 else pred
            for pred in preds
            if pred.id != 3
        ],
    )
    done = invoke("compare", f"base={base}", f"tuned={tuned}", "-o", tmp_path / "out", "--workers", 1)
    assert done.exit_code == 1 and read_json(tmp_path / "out" / "compare.json")["n"] == 58
    assert "Incomplete" in (tmp_path / "out" / "report.md").read_text("utf-8")


def test_where_the_images_are(tmp_path: Path) -> None:
    for name in ("a", "b", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "data" / "test.jsonl").write_text("")
    (tmp_path / "a" / "results.json").write_text('{"data": 3}')
    assert outputs.images_of([tmp_path / "a" / "predictions.jsonl", tmp_path / "b" / "predictions.jsonl"]) == Path()
    (tmp_path / "b" / "results.json").write_text(json.dumps({"data": {"path": str(tmp_path / "data" / "test.jsonl")}}))
    assert (
        outputs.images_of([tmp_path / "a" / "predictions.jsonl", tmp_path / "b" / "predictions.jsonl"])
        == tmp_path / "data"
    )


def test_shipped_gates_load() -> None:
    gates = load_gates(ROOT / "eval" / "gates" / "ci.yaml")
    assert gates["lost"] == LostGate(max=0) and isinstance(gates["forgetting"], ForgettingGate) and len(gates) >= 6


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "eval" / "evaluate.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_predictions_of_all_tasks_made_elsewhere(tmp_path: Path) -> None:
    """The script of the README, on a file that has nothing but ids and answers."""
    with (
        (tmp_path / "test.jsonl").open("w", encoding="utf-8") as data,
        (tmp_path / "pred.jsonl").open("w", encoding="utf-8") as pred,
    ):
        for number, row in enumerate(rows.rows(40), 1):
            data.write(json.dumps(row) + "\n")
            pred.write(json.dumps({"id": number, "pred": row["text_info"][1]["text"]}) + "\n")
    done = script("--pred", tmp_path / "pred.jsonl", "--data", tmp_path / "test.jsonl", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == REPORTS | ANSWERS - {"answers.jsonl"}
    tasks = json.loads(done.stdout)["tasks"]
    assert set(tasks) == {"ocr", "table", "formula", "chart"} and sum(part["n"] for part in tasks.values()) == 40
    assert [
        tasks[task][score]
        for task, score in (("ocr", "cer"), ("table", "teds"), ("formula", "similarity"), ("chart", "rms_f1"))
    ] == [0, 1, 1, 1]
    bare = script(
        "--pred", tmp_path / "pred.jsonl", "--data", tmp_path / "test.jsonl", "-o", tmp_path / "bare", "--no-report"
    )
    assert (
        bare.returncode == 0
        and not REPORTS & names(tmp_path / "bare")
        and json.loads(bare.stdout) == json.loads(done.stdout)
    )


def test_the_script_has_an_example_that_is_not_folded() -> None:
    text = script("--help").stdout
    assert (
        "\n    python eval/evaluate.py --pred theirs.jsonl --data mine/test.jsonl --name theirs\n" in text
        and '{"id": 1, "pred": ' in text
    )


def test_scores_of_runs_are_the_same_however_they_are_made() -> None:
    preds = mixed(40)
    known = report_data.gather([("a", preds)], pairs=[pairs_of(preds)], labels={}).summary.figures
    assert [item.interval for item in known] == [
        item.interval for item in report_data.gather([("a", preds)], labels={}).summary.figures
    ]
    assert {item.score for item in known} <= SCORES.keys()
