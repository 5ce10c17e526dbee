"""Predictions → the numbers of one run, every answer read as text; `sft.evaluation.results` says what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sft.errors import EngineError, ProblemsFound
from sft.metrics.text import char_edits, exact, ned, normalise, pooled, word_edits
from sft.types import Prediction


@dataclass(frozen=True)
class Scores:
    """One run in numbers. All but `n` and `lost` are over the `n` scored samples; rates and shares are 1.0-based, not percent."""

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


def score(preds: Sequence[Prediction]) -> Scores:
    """Scores over the predictions that have an answer, both texts brought through `normalise` first.

    ProblemsFound: there are no predictions at all. EngineError: every one of them is lost.
    """
    if not preds:
        raise ProblemsFound("no predictions to score", hint="the data file has no samples, or the filter left none")
    answered = [pred for pred in preds if not pred.error]
    if not answered:
        hint = "see whether the server still runs and what its log says, then run the same command again"
        raise EngineError(f"all {len(preds)} requests are lost; the first: {preds[0].error}", hint=hint)
    n = len(answered)
    pairs = [(normalise(pred.ref), normalise(pred.pred)) for pred in answered]
    edits = [char_edits(ref=ref, pred=pred) for ref, pred in pairs]
    return Scores(
        n=n,
        lost=len(preds) - n,
        cer=pooled(edits),
        cer_mean=sum(item.rate for item in edits) / n,
        wer=pooled([word_edits(ref=ref, pred=pred) for ref, pred in pairs]),
        ned=sum(ned(ref=ref, pred=pred) for ref, pred in pairs) / n,
        exact=sum(exact(ref=ref, pred=pred) for ref, pred in pairs) / n,
        empty=sum(not pred for _, pred in pairs) / n,
        truncated=sum(pred.finish_reason == "length" for pred in answered) / n,
        length_ratio=sum(len(pred) for _, pred in pairs) / max(sum(len(ref) for ref, _ in pairs), 1),
    )
