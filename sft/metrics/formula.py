"""Scores of formulas. All but `parses` compare `normalise_scoring` of both: the same picture in other LaTeX is no
error.

    ned(ref=r"\\[\\mathbf{x}_{1}\\leq\\dfrac12\\]", pred=r"$x_1 \\le \\frac{1}{2}$")  →  0

What that form forgives (delimiters, fonts, sizes, spaces, tags, synonyms, spare braces) is in
`sft.markup.latex_scoring`. It is not im2markup's KaTeX normaliser, and BLEU is sacrebleu's over its tokens, not Hugging
Face's over words: figures of UniMERNet and OmniDocBench cannot be set beside these.

| ref   | pred    | ned, token_ned | exact | bleu |
|-------|---------|----------------|-------|------|
| empty | empty   | 0              | 1     | 1    |
| empty | formula | 1              | 0     | 0    |
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sft.errors import UsageError
from sft.markup import MarkupError, latex, normalise_scoring
from sft.metrics import text

MAX_LENGTH = 50_000  # characters of an answer that are normalised; a longer one is compared as it is, token by blank


def scoring_form(formula: str) -> str:
    """The tokens that are compared, parted by blanks."""
    return formula if len(formula) > MAX_LENGTH else _remembered(formula)


@lru_cache(maxsize=512)  # a pair is scored in several ways right after each other
def _remembered(formula: str) -> str:
    return normalise_scoring(formula)


def ned(*, ref: str, pred: str) -> float:
    """Normalised edit distance between the characters of both forms, a blank between tokens; 0 best, 1 worst."""
    return text.ned(ref=scoring_form(ref), pred=scoring_form(pred))


def token_edits(*, ref: str, pred: str) -> text.Edits:
    """Edits between tokens (`\\frac` is one), and the tokens of the longer formula."""
    wanted = scoring_form(ref)
    predicted = scoring_form(pred)
    return text.Edits(
        text.word_edits(ref=wanted, pred=predicted).distance,
        max(len(wanted.split()), len(predicted.split())),
    )


def token_ned(*, ref: str, pred: str) -> float:
    """Normalised edit distance between tokens; 0 best, 1 worst."""
    return token_edits(ref=ref, pred=pred).rate


def exact(*, ref: str, pred: str) -> float:
    """1 where both forms are the same, else 0."""
    return float(scoring_form(ref) == scoring_form(pred))


def bleu(*, ref: str, pred: str) -> float:
    """BLEU-4 of one formula over its tokens, 0 to 1: sacrebleu, no tokeniser, exponential smoothing, effective order.

    Raises: UsageError where sacrebleu is missing.
    """
    wanted = scoring_form(ref)
    predicted = scoring_form(pred)
    if wanted == predicted:
        return 1.0
    return (
        float(_sacrebleu(effective_order=True).sentence_score(predicted, [wanted]).score) / 100
        if wanted and predicted
        else 0.0
    )


def bleu_corpus(*, refs: Sequence[str], preds: Sequence[str]) -> float:
    """BLEU-4 of all formulas together (n-gram counts are summed), 0 to 1. No formulas: 1. Raises: as `bleu`;
    ValueError: not as many of both.
    """
    pairs = [(scoring_form(ref), scoring_form(pred)) for ref, pred in zip(refs, preds, strict=True)]
    if all(wanted == predicted for wanted, predicted in pairs):
        return 1.0
    return (
        float(
            _sacrebleu(effective_order=False)
            .corpus_score([predicted for _, predicted in pairs], [[wanted for wanted, _ in pairs]])
            .score
        )
        / 100
    )


@lru_cache(maxsize=2)
def _sacrebleu(*, effective_order: bool) -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise UsageError("BLEU needs sacrebleu", hint="pip install 'paddleocr-vl-sft[metrics]'") from error
    return BLEU(tokenize="none", force=True, effective_order=effective_order)


def parses(*, pred: str) -> float:
    """1 where `pred` is LaTeX that closes what it opens (`sft.markup.latex.check`), else 0; nothing at all is 0."""
    try:
        latex.check(pred)
    except MarkupError:
        return 0.0
    return 1.0
