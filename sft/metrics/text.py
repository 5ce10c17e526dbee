"""Distances between two plain texts; pure, keyword-only, with every edge defined.

    cer(ref="২৩ মার্চ", pred="২৩ মাচ")  →  2 edits / 8 code points = 0.25

Lengths count Unicode code points, not letters as a reader sees them: a Bengali conjunct is several. The functions compare
what they are given; bring both texts through `normalise` first, as `sft.evaluation.score` does.

| ref   | pred  | cer, wer            | ned | exact |
|-------|-------|---------------------|-----|-------|
| empty | empty | 0                   | 0   | 1     |
| empty | text  | length of pred      | 1   | 0     |
| text  | empty | 1                   | 1   | 0     |
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

RAW = "raw: NFC, LF, outer white space stripped"  # the profile's name, as it stands in a result file


@dataclass(frozen=True)
class Edits:
    """One alignment's counts, so that a corpus rate can be pooled: `distance` edits against `length` units of the reference."""

    distance: int
    length: int

    @property
    def rate(self) -> float:
        """distance / max(length, 1); above 1 where the prediction is much longer than the reference."""
        return self.distance / max(self.length, 1)


def normalise(text: str) -> str:
    """The profile `RAW`: Unicode NFC, `\\r\\n` and `\\r` become `\\n`, outer white space stripped (the trainer strips it too)."""
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").strip()


def char_edits(*, ref: str, pred: str) -> Edits:
    """Insertions, deletions and substitutions of code points, each of cost 1."""
    return Edits(Levenshtein.distance(ref, pred), len(ref))


def word_edits(*, ref: str, pred: str) -> Edits:
    """The same for words; any run of Unicode white space, a line end too, separates words."""
    words = ref.split()
    return Edits(Levenshtein.distance(words, pred.split()), len(words))


def cer(*, ref: str, pred: str) -> float:
    """Character error rate, 0 best, not clipped: distance / max(len(ref), 1).

    Both empty: 0. Empty `ref` and text in `pred`: len(pred), as if the reference were one code point long.
    """
    return char_edits(ref=ref, pred=pred).rate


def wer(*, ref: str, pred: str) -> float:
    """Word error rate, 0 best, not clipped: distance / max(words of ref, 1). Both without words: 0; only `ref` without: words of `pred`."""
    return word_edits(ref=ref, pred=pred).rate


def ned(*, ref: str, pred: str) -> float:
    """Normalised edit distance, 0 best, 1 worst: distance / max(len(ref), len(pred)). Symmetric. Both empty: 0; one empty: 1."""
    return Levenshtein.distance(ref, pred) / max(len(ref), len(pred), 1)


def exact(*, ref: str, pred: str) -> float:
    """1 where both texts are the same code points (both empty too), else 0."""
    return float(ref == pred)


def pooled(edits: Sequence[Edits]) -> float:
    """Corpus rate: sum of distances / max(sum of reference lengths, 1); long samples weigh more. No samples: 0."""
    return Edits(sum(item.distance for item in edits), sum(item.length for item in edits)).rate
