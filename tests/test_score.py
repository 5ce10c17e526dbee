"""Scores of a run and the record around them."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from sft import __version__
from sft.errors import EngineError, ProblemsFound, UsageError
from sft.evaluation.predict import Endpoint, Sampling
from sft.evaluation.score import Scores, results, score
from sft.types import Prediction


def pred(ref: str, answer: str, *, error: str = "", finish: str = "stop") -> Prediction:
    return Prediction(1, "a.png", "OCR:", ref, answer, finish, 0.1, error)


def test_every_number() -> None:
    scores = score([pred("abcd efgh", "abcd efgh"), pred("x", "y"), pred("ab", " \n"), pred("a", "aaaa", finish="length"), pred("zz", "", error="503")])
    assert scores == Scores(
        n=4, lost=1, cer=6 / 13, cer_mean=(0 + 1 + 1 + 3) / 4, wer=3 / 5, ned=(0 + 1 + 1 + 3 / 4) / 4,
        exact=1 / 4, empty=1 / 4, truncated=1 / 4, length_ratio=(9 + 1 + 0 + 4) / 13,
    )  # fmt: skip
    assert not scores.complete


def test_both_texts_go_through_the_same_door() -> None:
    scores = score([pred("e\u0301\r\nb", " é\nb\n"), pred("  ২৩ ", "২৩")])
    assert (scores.cer, scores.exact, scores.complete) == (0, 1, True)


def test_a_lost_request_changes_no_score() -> None:
    answered = [pred("abc", "abd"), pred("x", "x")]
    whole, partial = score(answered), score([*answered, pred("long reference", "", error="no answer within 120 s")])
    assert partial.lost == 1
    assert (partial.n, partial.cer, partial.wer, partial.empty, partial.length_ratio) == (whole.n, whole.cer, whole.wer, whole.empty, whole.length_ratio)


def test_empty_references() -> None:
    scores = score([pred("", ""), pred("", "abc")])
    assert (scores.cer, scores.cer_mean, scores.exact, scores.empty, scores.length_ratio) == (3, 1.5, 0.5, 0.5, 3)


def test_nothing_to_score() -> None:
    with pytest.raises(EngineError, match="all 2 requests are lost; the first: 503: overloaded"):
        score([pred("a", "", error="503: overloaded"), pred("b", "", error="later")])
    with pytest.raises(ProblemsFound, match="no predictions"):
        score([])


def test_results_carry_their_conditions(tmp_path: Path) -> None:
    data = tmp_path / "test.jsonl"
    data.write_bytes(b"rows\n")
    created = datetime(2025, 1, 2, 5, 4, 5, 678, tzinfo=timezone(timedelta(hours=2)))
    endpoint = Endpoint("http://user:word@h:1/v1", "PaddleOCR-VL-0.9B", api_key="secret")
    record = results(score([pred("ab", "ab"), pred("ab", "", error="503")]), data=data, endpoint=endpoint, sampling=Sampling(512), created=created)
    metrics = record.pop("metrics")
    assert record == {
        "complete": False,
        "counts": {"in": 2, "scored": 1, "lost": 1},
        "scores": {"cer": 0, "cer_mean": 0, "wer": 0, "ned": 0, "exact": 1, "empty": 0, "truncated": 0, "length_ratio": 1},
        "normalisation": "raw: NFC, LF, outer white space stripped",
        "sampling": {"max_tokens": 512, "temperature": 0.0},
        "endpoint": {"url": "http://h:1/v1", "model": "PaddleOCR-VL-0.9B"},
        "data": {"path": str(data), "sha256": hashlib.sha256(b"rows\n").hexdigest()},
        "workbench": __version__,
        "created": "2025-01-02T03:04:05+00:00",
    }
    assert set(metrics) == {"cer", "wer", "ned", "exact"}
    assert metrics["cer"]["version"] == "1.0"
    assert metrics["exact"]["higher_is_better"] is True
    assert "secret" not in json.dumps(record)


def test_results_are_dated_now_unless_told(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(b"")
    record = results(score([pred("a", "a")]), data=tmp_path / "d.jsonl", endpoint=Endpoint("http://h"), sampling=Sampling(1))
    age = datetime.now(timezone.utc) - datetime.fromisoformat(record["created"])
    assert timedelta(seconds=-1) < age < timedelta(minutes=1)
    with pytest.raises(UsageError):
        results(score([pred("a", "a")]), data=tmp_path / "gone.jsonl", endpoint=Endpoint("http://h"), sampling=Sampling(1))
