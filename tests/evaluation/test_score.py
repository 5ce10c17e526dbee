"""Scores of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sft.errors import EngineError, ProblemsFound, SftError
from sft.evaluation.run_scores import RunScores, score
from sft.types import Prediction


def pred(ref: str, answer: str, *, error: str = "", finish: str = "stop") -> Prediction:
    return Prediction(1, "a.png", "OCR:", ref, answer, finish, 0.1, error)


def test_every_number() -> None:
    scores = score(
        [
            pred("abcd efgh", "abcd efgh"),
            pred("x", "y"),
            pred("ab", " \n"),
            pred("a", "aaaa", finish="length"),
            pred("zz", "", error="503"),
        ]
    )
    assert scores == RunScores(
        n=4,
        lost=1,
        cer=6 / 13,
        cer_mean=(0 + 1 + 1 + 3) / 4,
        wer=3 / 5,
        ned=(0 + 1 + 1 + 3 / 4) / 4,
        exact=1 / 4,
        empty=1 / 4,
        truncated=1 / 4,
        length_ratio=(9 + 1 + 0 + 4) / 13,
    )
    assert not scores.complete


def test_both_texts_go_through_the_same_door() -> None:
    scores = score([pred("e\u0301\r\nb", " é\nb\n"), pred("  ২৩ ", "২৩")])
    assert (scores.cer, scores.exact, scores.complete) == (0, 1, True)


def test_a_lost_request_changes_no_score() -> None:
    answered = [pred("abc", "abd"), pred("x", "x")]
    whole, partial = score(answered), score([*answered, pred("long reference", "", error="no answer within 120 s")])
    assert partial.lost == 1
    assert (partial.n, partial.cer, partial.wer, partial.empty, partial.length_ratio) == (
        whole.n,
        whole.cer,
        whole.wer,
        whole.empty,
        whole.length_ratio,
    )


def test_empty_references() -> None:
    scores = score([pred("", ""), pred("", "abc")])
    assert (scores.cer, scores.cer_mean, scores.exact, scores.empty, scores.length_ratio) == (3, 1.5, 0.5, 0.5, 3)


def test_nothing_to_score() -> None:
    with pytest.raises(EngineError, match="all 2 requests are lost; the first: 503: overloaded"):
        score([pred("a", "", error="503: overloaded"), pred("b", "", error="later")])
    with pytest.raises(ProblemsFound, match="no predictions"):
        score([])


@pytest.mark.parametrize(
    ("reason", "kind", "hint"),
    [
        ("answer.image", ProblemsFound, "sft validate"),
        ("answer.prompt", ProblemsFound, "prompts"),
        ("answer.http", EngineError, "--endpoint"),
        ("answer.refused", EngineError, "still runs"),
    ],
)
def test_nothing_to_score_says_whose_fault_it_is(reason: str, kind: type[SftError], hint: str) -> None:
    lost = [replace(pred("a", "", error="why"), reason=reason)] * 3
    with pytest.raises(kind, match="why") as caught:
        score(lost)
    assert hint in str(caught.value)
