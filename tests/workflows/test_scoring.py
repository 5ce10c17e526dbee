"""Two loaders, one answer: what counts as equal, as rounding, and as a fault. And one evaluation after another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from eval_server import Served

from sft.errors import ProblemsFound, UsageError
from sft.files.atomic import read_json
from sft.inference.predict import read_predictions
from sft.serving.parity import TIE, Parity, compare
from sft.types import Prediction
from sft.workflows import evaluate as scoring
from sft.workflows.evaluate import EvalRequest, run_evaluation


def test_equal_undecided_and_different() -> None:
    answers = [{"text": "১", "margin": 9.0}, {"text": "২", "margin": TIE / 2}, {"text": "৩", "margin": 7.0}]
    assert compare(answers, ["১", "২", "৩"]) == Parity(3, 3, 0)
    found = compare(answers, ["১", "২২", "৩"])
    assert found == Parity(3, 2, 1) and found.ok and "1 undecided" in str(found)
    found = compare(answers, ["১", "২", "৩৩"])
    assert found == Parity(3, 2, 0) and not found.ok and str(found) == "2 of 3"


def test_answers_are_asked_for_once(served: Served, bengali_data: Path, tmp_path: Path) -> None:
    order = EvalRequest(bengali_data, (served.url,), tmp_path / "out", sampling={"max_tokens": 64}, name="base")
    done: list[Prediction] = []
    said: list[str] = []
    first = run_evaluation(order, on_done=done.append)
    asked = len(served.asked())
    assert asked == 12 == len(done) and first["timing"]["asked"] == 12 and first["sampling"]["max_tokens"] == 64
    again = run_evaluation(order, on_done=done.append, say=said.append)
    assert (
        len(served.asked()) == asked
        and len(done) == 24
        and again["timing"] == {**first["timing"], "asked": 0, "kept": 12}
    )
    assert any("12 answers are reused from before" in line and "--fresh" in line for line in said)
    assert {key: value for key, value in again.items() if key not in ("timing", "created")} == {
        key: value for key, value in first.items() if key not in ("timing", "created")
    }
    run_evaluation(replace(order, sampling={"max_tokens": 65}))
    assert len(served.asked()) == 2 * asked
    run_evaluation(replace(order, fresh=True))
    assert len(served.asked()) == 3 * asked
    run_evaluation(replace(order, model_hash="another"))
    assert len(served.asked()) == 4 * asked


def test_everything_that_decides_is_recorded(
    served: Served, bengali_data: Path, base_model: Path, tmp_path: Path
) -> None:
    order = EvalRequest(
        bengali_data, (served.url,), tmp_path / "out", model_dir=base_model, model_hash="abc", conditions={"x": 1}
    )
    found = run_evaluation(order)
    assert found == read_json(tmp_path / "out" / "results.json")
    assert (
        found["pixels"] == {"min": 147384, "max": 2822400, "origin": "model directory"}
        and found["template"]["origin"] == "model directory"
    )
    assert found["endpoint"]["known_by"] == "directory" and len(found["template"]["sha256"]) == 64
    assert found["sampling"] == {
        "max_tokens": 2048,
        "temperature": 0.0,
        "top_p": None,
        "repetition_penalty": None,
        "seed": None,
        "skip_special_tokens": False,
    }
    assert found["git"] is None or len(found["git"]["commit"]) >= 40
    assert found["tasks"]["ocr"]["counts"] == found["counts"] and found["conditions"] == {"x": 1}
    assert found["tasks"]["ocr"]["scores"]["cer"] == pytest.approx(found["scores"]["cer"])
    assert len(read_predictions(tmp_path / "out" / "predictions.jsonl")) == 12


@pytest.mark.parametrize(
    "sampling", [{"max_tokens": 0}, {"temperature": -1.0}, {"min_pixels": 9000, "max_pixels": 800}]
)
def test_numbers_that_make_no_sense(
    sampling: dict[str, float], served: Served, bengali_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError):
        run_evaluation(EvalRequest(bengali_data, (served.url,), tmp_path / "out", sampling=sampling))
    assert served.asked() == []


def test_no_rows(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(ProblemsFound, match="no rows"):
        run_evaluation(EvalRequest(tmp_path / "empty.jsonl", ("http://h",), tmp_path / "out"))
    assert scoring.ANSWERS == "answers.jsonl"
