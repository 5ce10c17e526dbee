"""Distances between two plain texts; pure, keyword-only, with every edge defined.

    cer(ref="২৩ মার্চ", pred="২৩ মাচ")  →  2 edits / 8 code points = 0.25

Lengths count Unicode code points, not letters as a reader sees them: a Bengali conjunct is several. The functions
compare what they are given; bring both texts through `normalise` first, as `sft.evaluation.scores` does.

| ref   | pred  | cer, wer            | ned | exact |
|-------|-------|---------------------|-----|-------|
| empty | empty | 0                   | 0   | 1     |
| empty | text  | length of pred      | 1   | 0     |
| text  | empty | 1                   | 1   | 0     |

Variants forgive one thing each: `cer_graphemes` counts letters as they are drawn, `cer_lines` the order of lines,
`cer_unspaced` white space. The functions that end in `_batch` score lists of samples at the speed of rapidfuzz itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from sft.errors import UsageError
from sft.markup import clusters, nfc, script_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]
    Rates = npt.NDArray[np.float64]

# code points; from here on rapidfuzz is told to expect few edits, and is up to three times as fast where that is true
LONG = 1000
HINT = 10  # one edit in so many code points is what it then tries first
MAX_LINES = 2000  # of each text that `cer_lines` pairs, equal ones not counted
REPLACEMENT = "\ufffd"  # what stands where bytes were no text
RAW = "raw: NFC, LF, outer white space stripped"  # the profile's name, as it stands in a result file


@dataclass(frozen=True)
class Edits:
    """One alignment's counts, so that a corpus rate can be pooled: `distance` edits against `length` units of the
    reference.
    """

    distance: int
    length: int

    @property
    def rate(self) -> float:
        """distance / max(length, 1); above 1 where the prediction is much longer than the reference."""
        return self.distance / max(self.length, 1)


def normalise(text: str) -> str:
    """The profile `RAW`: Unicode NFC, `\\r\\n` and `\\r` become `\\n`, outer white space stripped (the trainer strips
    it too).
    """
    return nfc(text).replace("\r\n", "\n").replace("\r", "\n").strip()


def char_edits(*, ref: str, pred: str) -> Edits:
    """Insertions, deletions and substitutions of code points, each of cost 1."""
    return Edits(_distance(ref, pred), len(ref))


def _distance(ref: Sequence[str], pred: Sequence[str]) -> int:
    return Levenshtein.distance(
        ref, pred, score_hint=length // HINT if (length := min(len(ref), len(pred))) > LONG else None
    )


def word_edits(*, ref: str, pred: str) -> Edits:
    """The same for words; any run of Unicode white space, a line end too, separates words."""
    words = _words(ref)
    return Edits(_distance(words, _words(pred)), len(words))


def _words(text: str) -> list[str]:
    """text.split(), a quarter faster outside ASCII: where all can be printed, the blank is the only white space, and
    the quickest to find.
    """
    if not text.isascii() and text.isprintable():
        words = text.split(" ")
        if "" not in words:
            return words
    return text.split()


def cer(*, ref: str, pred: str) -> float:
    """Character error rate, 0 best, not clipped: distance / max(len(ref), 1).

    Both empty: 0. Empty `ref` and text in `pred`: len(pred), as if the reference were one code point long.
    """
    return char_edits(ref=ref, pred=pred).rate


def wer(*, ref: str, pred: str) -> float:
    """Word error rate, 0 best, not clipped: distance / max(words of ref, 1). Both without words: 0; only `ref`
    without: words of `pred`.
    """
    return word_edits(ref=ref, pred=pred).rate


def ned(*, ref: str, pred: str) -> float:
    """Normalised edit distance, 0 best, 1 worst: distance / max(len(ref), len(pred)). Symmetric. Both empty: 0; one
    empty: 1.
    """
    return ned_edits(ref=ref, pred=pred).rate


def ned_edits(*, ref: str, pred: str) -> Edits:
    """Edits against the longer text's length: `pooled` over them is the page score of OmniDocBench, sum / sum."""
    return Edits(
        _distance(ref, pred),
        max(len(ref), len(pred)),
    )


def exact(*, ref: str, pred: str) -> float:
    """1 where both texts are the same code points (both empty too), else 0."""
    return float(ref == pred)


def pooled(edits: Sequence[Edits]) -> float:
    """Corpus rate: sum of distances / max(sum of reference lengths, 1); long samples weigh more. No samples: 0."""
    return Edits(
        sum(item.distance for item in edits),
        sum(item.length for item in edits),
    ).rate


def cluster_edits(*, ref: str, pred: str) -> Edits:
    """Edits between letters as they are drawn (`sft.markup.text.clusters`): a wrong vowel sign makes one
    wrong letter.
    """
    before = clusters(ref)
    return Edits(_distance(before, clusters(pred)), len(before))


def cer_graphemes(*, ref: str, pred: str) -> float:
    """As `cer`, but a letter with its marks, a conjunct, or an emoji of several code points counts as one.

    Edges: as `cer`.
    """
    return cluster_edits(ref=ref, pred=pred).rate


def cer_unspaced(*, ref: str, pred: str) -> float:
    """As `cer`, without any white space in either text. Edges: as `cer`, for what is left."""
    return cer(
        ref="".join(ref.split()),
        pred="".join(pred.split()),
    )


def line_edits(*, ref: str, pred: str) -> Edits:
    """Edits between lines, each paired with at most one of the other text so that the sum is least; `length` counts no
    line ends.

    Lines come without outer white space, blank ones not at all; a line without a partner costs its length. Of more than
    MAX_LINES lines that have no equal in the other text, the further ones find no partner.
    Raises: UsageError where scipy is missing and more than one line of both texts is left to pair.
    """
    wanted, predicted = (Counter(filter(None, map(str.strip, text.splitlines()))) for text in (ref, pred))
    total = sum(len(line) * count for line, count in wanted.items())
    # pairing equal lines first loses nothing: the distance is a metric
    left = list((wanted - predicted).elements())
    right = list((predicted - wanted).elements())
    alone = sum(map(len, left)) + sum(map(len, right))
    return Edits(
        alone - _saved(left[:MAX_LINES], right[:MAX_LINES]),
        total,
    )


def _saved(left: list[str], right: list[str]) -> int:
    """By how much pairing the lines is cheaper than deleting and inserting them all."""
    if len(left) <= 1 and len(right) <= 1:
        return len(left[0]) + len(right[0]) - _distance(left[0], right[0]) if left and right else 0
    import numpy as np
    from rapidfuzz.process import cdist

    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise UsageError("pairing lines needs scipy", hint="pip install 'paddleocr-vl-sft[metrics]'") from error
    lengths = np.add.outer(
        [len(line) for line in left],
        [len(line) for line in right],
    )
    saved = lengths - cdist(left, right, scorer=Levenshtein.distance, dtype=np.int32)
    return int(saved[linear_sum_assignment(saved, maximize=True)].sum())


def cer_lines(*, ref: str, pred: str) -> float:
    """As `cer`, whatever the order of lines: see `line_edits`. Edges: as `cer`, for the lengths of lines."""
    return line_edits(ref=ref, pred=pred).rate


def main_script(text: str) -> str | None:
    """The script that most letters of `text` belong to ("Bengali"); None if there are no letters."""
    letters = _letters(text)
    return (
        max(
            letters,
            key=lambda name: (letters[name], name),
        )
        if letters
        else None
    )


def script_share(*, ref: str, pred: str, script: str | None = None) -> float | None:
    """The share of the letters and marks of `pred` that are of `script` (of the main script of `ref` unless named), 0
    to 1.

    No letters in `pred`: 0. No script named, and no letters in `ref`: None.
    """
    script = script or main_script(ref)
    if script is None:
        return None
    letters = _letters(pred)
    return letters[script] / max(letters.total(), 1)


def _letters(text: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if name := script_of(character):
            counts[name] += count
    return counts


def length_ratio(*, ref: str, pred: str) -> float:
    """Code points of `pred` / max(those of `ref`, 1); 1 is right, far above is a model that repeats itself. Both
    empty: 1.
    """
    return len(pred) / max(len(ref), 1) if ref or pred else 1.0


def replacements(*, pred: str) -> float:
    """How many U+FFFD stand in `pred`: bytes that the model wrote and that are no text. 0 is right."""
    return float(pred.count(REPLACEMENT))


class EditBatch:
    """Edits of many samples: `distances`, `lengths` that they are held against, and `rates`; what was not given is
    counted when first asked for.
    """

    def __init__(
        self, lengths: Callable[[], Iterable[int]], *, distances: Counts | None = None, rates: Rates | None = None
    ) -> None:
        """Either distances or rates are given."""
        self._lengths, self._distances, self._rates = lengths, distances, rates

    @cached_property
    def lengths(self) -> Counts:
        """Of the references, or of the longer texts."""
        import numpy as np

        return np.fromiter(self._lengths(), np.int64)

    @cached_property
    def distances(self) -> Counts:
        """Of the samples, in edits."""
        import numpy as np

        return np.rint(self.rates * self.lengths).astype(np.int64) if self._distances is None else self._distances

    @cached_property
    def rates(self) -> Rates:
        """Each sample's distance / max(length, 1)."""
        import numpy as np

        rates: Rates = self.distances / np.maximum(self.lengths, 1) if self._rates is None else self._rates
        return rates

    @property
    def pooled(self) -> float:
        """Sum of distances / max(sum of lengths, 1)."""
        return int(self.distances.sum()) / max(sum(self._lengths()), 1)

    @property
    def mean(self) -> float:
        """Mean of the rates; no samples: 0."""
        return float(self.rates.mean()) if len(self.rates) else 0.0


def _hint(texts: Sequence[Sequence[str]]) -> int | None:
    some = texts[:: len(texts) // 64 + 1]  # looking at all would take a tenth of the time
    mean = sum(map(len, some)) // max(len(some), 1)
    return mean // HINT if mean > LONG else None


def distances(*, refs: Sequence[Sequence[str]], preds: Sequence[Sequence[str]], workers: int = 1) -> Counts:
    """Edit distances of `refs[i]` and `preds[i]`, texts or lists of words.

    ValueError: not as many of both. workers: threads; -1 all.
    """
    import numpy as np
    from rapidfuzz.process import cpdist

    counts: Counts = cpdist(
        refs, preds, scorer=Levenshtein.distance, score_hint=_hint(refs), dtype=np.int64, workers=workers
    )
    return counts


def cer_batch(*, refs: Sequence[str], preds: Sequence[str], workers: int = 1) -> EditBatch:
    """`cer` of many samples."""
    return EditBatch(
        lambda: map(len, refs),
        distances=distances(refs=refs, preds=preds, workers=workers),
    )


def wer_batch(*, refs: Sequence[str], preds: Sequence[str]) -> EditBatch:
    """`wer` of many samples.

    One thread: most of the time goes into splitting, pair by pair, since keeping all the words would take twice as
    long.
    """
    import numpy as np

    edits: list[int] = []
    counts: list[int] = []
    for ref, pred in zip(refs, preds, strict=True):
        words = _words(ref)
        counts.append(len(words))
        edits.append(Levenshtein.distance(words, _words(pred)))
    return EditBatch(
        lambda: counts,
        distances=np.array(edits, np.int64),
    )


def ned_batch(*, refs: Sequence[str], preds: Sequence[str], workers: int = 1) -> EditBatch:
    """`ned` of many samples."""
    import numpy as np
    from rapidfuzz.process import cpdist

    def longer() -> Iterable[int]:
        return map(
            max,
            map(len, refs),
            map(len, preds),
        )

    if _hint(refs):  # which is in edits
        return EditBatch(longer, distances=distances(refs=refs, preds=preds, workers=workers))
    return EditBatch(
        longer, rates=cpdist(refs, preds, scorer=Levenshtein.normalized_distance, dtype=np.float64, workers=workers)
    )
