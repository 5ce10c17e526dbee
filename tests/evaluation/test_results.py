"""results.json: every number with what decides it, and nothing that must stay private."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from places import ROOT

from sft import __version__
from sft.errors import EngineError, ProblemsFound
from sft.evaluation import results
from sft.evaluation.results import Asked, Data, Pixels, SetPart, Template
from sft.inference.client import Endpoint, Sampling
from sft.inference.endpoints import Served, Server
from sft.types import Prediction

PUBLISHED = ROOT / "sft" / "schema" / "results.schema.json"
DATA = Data("test.jsonl", "0" * 64, "1" * 64)
TABLE = "<fcel>a<fcel>b<nl>"


def pred(line: int, prompt: str, ref: str, answer: str, reason: str = "") -> Prediction:
    return Prediction(
        line,
        "a.png",
        prompt,
        ref,
        answer,
        "stop",
        float(line),
        error=f"because of {reason}" if reason else "",
        reason=reason,
    )


PREDS = [
    pred(1, "OCR:", "abcd", "abcd"),
    pred(2, "OCR:", "ab", "xb"),
    pred(3, "OCR:", "ab", "", "answer.timeout"),
    pred(4, "Table Recognition:", TABLE, TABLE),
    pred(5, "Table Recognition:", TABLE, "", "answer.cut"),
    pred(6, "Formula Recognition:", "\\[x\\]", "\\[x\\]"),
    pred(7, "OCR:", "ab", "", "answer.timeout"),
]


def test_the_schema_is_the_published_one() -> None:
    published = json.loads(PUBLISHED.read_text("utf-8"))
    assert published == results.schema()
    Draft202012Validator.check_schema(published)
    assert not Draft202012Validator(published).is_valid({}) and set(published["$defs"]["Results"]["required"]) >= {
        "scores",
        "metrics",
        "normalisation",
        "sampling",
        "endpoint",
        "data",
    }


def test_tasks_sets_and_losses() -> None:
    sets = {
        "one": SetPart(results.Counts(0, 0, 0), {}, rule={"metrics": ["cer"]}),
        "two": SetPart(results.Counts(0, 0, 0), {}),
    }
    found = results.build(
        PREDS,
        data=DATA,
        asking=results.Asking(Asked("http://h", "m"), Sampling(9)),
        suite=results.SuiteSets("s", sets, {line: "one" if line < 4 else "two" for line in range(1, 8)}),
    )
    assert (found.complete, found.counts, found.name, found.suite) == (False, results.Counts(7, 4, 3), "m", "s")
    assert {name: (part.counts.all, part.counts.scored) for name, part in found.tasks.items()} == {
        "ocr": (4, 2),
        "table": (2, 1),
        "formula": (1, 1),
    }
    assert (
        found.tasks["ocr"].scores["cer"] == 1 / 6
        and found.tasks["table"].scores["teds"] == 1.0
        and "teds" not in found.tasks["ocr"].scores
    )
    assert found.sets["one"].scores == {"cer": 1 / 6} and found.sets["two"].counts == results.Counts(4, 2, 2)
    assert [(lost.code, lost.count, lost.example) for lost in found.lost] == [
        ("answer.timeout", 2, "because of answer.timeout"),
        ("answer.cut", 1, "because of answer.cut"),
    ]
    assert all(lost.meaning for lost in found.lost) and found.lost_because[0] == ("because of answer.timeout", 2)
    plain = results.as_json(found)
    Draft202012Validator(json.loads(PUBLISHED.read_text("utf-8"))).validate(json.loads(json.dumps(plain)))
    assert (
        plain["counts"]["in"]
        == sum(part["counts"]["in"] for part in plain["tasks"].values())
        == sum(part["counts"]["in"] for part in plain["sets"].values())
    )


def test_conditions_are_there_and_secrets_are_not() -> None:
    endpoint = Endpoint("http://user:word@h:1/v1", "PaddleOCR-VL-0.9B", api_key="secret")
    served = Served(
        (Server(endpoint, '{"id": "x"}', "vLLM 0.11.0"), Server(endpoint, '{"id": "x"}', "vLLM 0.11.0")), "abc", "name"
    )
    created = datetime(2025, 1, 2, 5, 4, 5, 678, tzinfo=timezone(timedelta(hours=2)))
    found = results.as_json(
        results.build(
            PREDS,
            data=DATA,
            asking=results.Asking(
                results.asked(served),
                Sampling(9, seed=4),
                results.pixels_of(Sampling(9, max_pixels=900), None),
                results.template_of(None, Server(Endpoint("http://far"), chat_template="{{ x }}")),
                results.versions(served),
            ),
            course=results.RunRecord(seeds={"sampling": 4}, created=created),
        )
    )
    assert (found["created"], found["workbench"], found["server"]) == (
        "2025-01-02T03:04:05+00:00",
        __version__,
        "vLLM 0.11.0",
    )
    assert found["endpoint"] == {
        "url": "http://h:1/v1",
        "model": "PaddleOCR-VL-0.9B",
        "kind": "chat",
        "urls": ["http://h:1/v1"] * 2,
        "fingerprint": "abc",
        "known_by": "name",
        "told": '{"id": "x"}',
    }
    assert (
        found["pixels"] == {"min": None, "max": 900, "origin": "request"}
        and found["template"]["origin"] == "server"
        and found["seeds"] == {"sampling": 4}
    )
    assert found["sampling"] == {
        "max_tokens": 9,
        "temperature": 0.0,
        "top_p": None,
        "repetition_penalty": None,
        "seed": 4,
        "skip_special_tokens": False,
    }
    assert (
        set(found["metrics"]) >= {"cer", "teds", "similarity", "rms_f1"}
        and found["metrics"]["exact"]["higher_is_better"] is True
    )
    assert all(part["scores"].keys() <= found["metrics"].keys() for part in found["tasks"].values())
    assert "secret" not in json.dumps(found) and "word@" not in json.dumps(found)


def test_limits_and_template_of_a_model_directory(base_model: Path) -> None:
    assert results.pixels_of(Sampling(9), base_model) == Pixels(147384, 2822400, "model directory")
    assert results.pixels_of(Sampling(9, max_pixels=900), base_model) == Pixels(147384, 900, "request")
    assert results.pixels_of(Sampling(9), None) == Pixels(None, None, "server")
    assert (
        results.template_of(base_model, Server(Endpoint("http://far"), chat_template="told")).origin
        == "model directory"
    )
    assert results.template_of(None, Server(Endpoint("http://far"))) == Template("", "")


def test_the_commit(tmp_path: Path) -> None:
    assert results.git(tmp_path) is None
    for words in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    found = results.git(tmp_path)
    assert found is not None and len(found.commit) == 40 and not found.dirty


def test_nothing_to_score() -> None:
    with pytest.raises(ProblemsFound):
        results.build([], data=DATA, asking=results.Asking(Asked("http://h", "m")))
    with pytest.raises(EngineError, match="all 1 requests are lost"):
        results.build(PREDS[2:3], data=DATA, asking=results.Asking(Asked("http://h", "m")))


def test_times() -> None:
    timing = results.timing_of(PREDS, asked=4, kept=0, retries=1)
    assert (
        timing is not None
        and (timing.p50, timing.slowest) == (3.0, 6.0)
        and results.timing_of(PREDS[2:3], asked=0, kept=0, retries=0) is None
    )


def test_predictions_made_elsewhere(bengali_data: Path, tmp_path: Path) -> None:
    rows = [{"id": line, "pred": "x", "finish_reason": "length"} for line in range(1, 11)] + [
        {"id": 11, "error": "503", "reason": "answer.busy"}
    ]
    (tmp_path / "pred.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run() -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            str(ROOT / "eval" / "evaluate.py"),
            "--pred",
            str(tmp_path / "pred.jsonl"),
            "--data",
            str(bengali_data),
            "-o",
            str(tmp_path / "out"),
            "--name",
            "other",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    done = run()
    assert done.returncode == 1, done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    Draft202012Validator(json.loads(PUBLISHED.read_text("utf-8"))).validate(found)
    assert (
        found["counts"] == {"in": 12, "scored": 10, "lost": 2}
        and found["scores"]["truncated"] == 1.0
        and found["endpoint"]["kind"] == "file"
    )
    assert {lost["code"] for lost in found["lost"]} == {"answer.busy", "answer.absent"}
    for row in ({"id": 99, "pred": "x"}, {"id": 1, "pred": "x"}, {"pred": "x"}):
        (tmp_path / "pred.jsonl").write_text("".join(json.dumps(each) + "\n" for each in [*rows, row]))
        assert run().returncode == 1
