"""A whole run in numbers, and what is said where it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sft.errors import EngineError, ProblemsFound, SftError
from sft.evaluation.scores import Pair, text_pairs, totals
from sft.metrics import text
from sft.types import Prediction

ANSWERED = ("answer.http", "answer.json", "answer.schema", "answer.choices")  # reasons of a server that is there


@dataclass(frozen=True)
class RunScores:
    """One run in numbers. All but `n` and `lost` are over the `n` scored samples; rates and shares are 1.0-based, not
    percent.
    """

    n: int  # scored
    lost: int  # without an answer, in none of the numbers below
    cer: float  # pooled: sum of edits / sum of reference lengths
    cer_mean: float  # mean of the samples' own rates
    wer: float  # pooled
    ned: float  # mean
    exact: float  # share
    empty: float  # share of answers with nothing but white space
    truncated: float  # share that ran into max_tokens
    length_ratio: float  # code points of all answers / of all references; far above 1 where a model repeats itself

    @property
    def complete(self) -> bool:
        """Whether every sample has an answer; scores of an incomplete run must not be compared."""
        return self.lost == 0


def score(preds: Sequence[Prediction], pairs: Sequence[Mapping[str, Pair] | None] | None = None) -> RunScores:
    """Scores over the predictions that have an answer, both texts brought through `normalise` first.

    pairs: what `sample_scores.pairs_of` gave for them, if the caller has it. ProblemsFound: there are no predictions at
    all.
    EngineError: every one of them is lost; ProblemsFound: none could be asked.
    """
    if not preds:
        raise ProblemsFound("no predictions to score", hint="the data file has no samples, or the filter left none")
    rows = [
        _row(pred, known) for pred, known in zip(preds, pairs or [None] * len(preds), strict=True) if not pred.error
    ]
    if not rows:
        raise _all_lost(preds)
    whole = totals(rows)
    rates = [numerator / max(denominator, 1.0) for numerator, denominator in (row["cer"] for row in rows)]
    names = ("cer", "wer", "ned", "exact", "empty", "truncated", "length_ratio")
    return RunScores(
        n=len(rows),
        lost=len(preds) - len(rows),
        cer_mean=sum(rates) / len(rows),
        **{name: whole[name] for name in names},
    )


def _all_lost(preds: Sequence[Prediction]) -> SftError:
    """Whose fault it is that there is not one answer: the data's, the command's, or the server's."""
    reason, _ = Counter(pred.reason for pred in preds).most_common(1)[0]
    first = next(pred.error for pred in preds if pred.reason == reason)
    if reason in ("answer.image", "answer.prompt"):
        return ProblemsFound(
            f"none of {len(preds)} samples could be asked; the first: {first}",
            hint="`sft validate` looks at the images; prompts must be those that this kind of server knows",
        )
    hint = "see whether the server still runs and what its log says, then run the same command again"
    if reason in ANSWERED:
        hint = (
            "the server is there, but does not give what was asked for: look at --endpoint, --model and --max-tokens,"
            " and at the server's log"
        )
    return EngineError(f"all {len(preds)} requests are lost; the first: {first}", hint=hint)


def _row(pred: Prediction, known: Mapping[str, Pair] | None) -> Mapping[str, Pair]:
    """The scores of one answer read as text; known already where that is its task."""
    if known and "cer" in known:
        return known
    ref = text.normalise(pred.ref)
    answer = text.normalise(pred.pred)
    health = {
        "empty": float(not answer),
        "truncated": float(pred.finish_reason == "length"),
    }
    return (
        text_pairs(ref, answer)
        | {name: (value, 1.0) for name, value in health.items()}
        | {"length_ratio": (float(len(answer)), float(len(ref)))}
    )
