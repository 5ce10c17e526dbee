"""Labels that a model contradicts: which rows to look at first, and files in which people correct them.

    sft review runs/eval/tuned -o review      →  review/review.html  review.csv  label-studio.json  ppocrlabel/

A wrong label looks like a wrong answer. What tells them apart, without another look at the image:

- the model is usually right on rows of that kind;
- its answer is spelt like the labels of the set, and the label is not (trigrams of letters: a label that lost its
  vowel signs ends as no other does, an answer with a misread letter has a sequence that no label has);
- its answer is whole: not cut off, and more than the beginning of the label;
- two labels that were swapped: each answer is the label of the other row; rows of a table that were shifted: the
  answer has the same cells in another order.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from sft.errors import ProblemsFound, UsageError
from sft.evaluation import HEADLINE, PREDICTIONS, SCORES, Pair, conditions, results, task_of
from sft.files import bounded_lines, decode, open_input
from sft.inference import predict
from sft.markup import scripts
from sft.metrics import text
from sft.types import Prediction
from sft.workflows.evaluate import TRAINED_ON

MODEL_FAULT = 0.1  # of the weight of an answer that is cut off or left something out: that is no proof against a label
SWAPPED = 0.5  # is added for labels that were swapped, and for a table whose rows stand in another order
ROOT = 0.1  # exponent of the error in the rank
UNSEEN = 0.1  # how often a sequence of three letters counts as seen that is in no label
SURE = 2.0  # difference in log probability from which a spelling speaks clearly for one side
HASH_DIGITS = 16


@dataclass(frozen=True)
class Suspect:
    """A row whose label may be wrong.

    error: of the answer by the headline score of its task, 0 to 1, 1 being the worst. usual: the mean of the other
    rows of its kind. rank: what the rows are sorted by. swapped: the line whose label this answer is, and whose
    answer is this label; 0 for none.
    row: the beginning of the SHA-256 of its line, by which a correction finds it again.
    """

    pred: Prediction
    task: str
    error: float
    usual: float
    rank: float
    swapped: int
    row: str


@dataclass(frozen=True)
class Reviewed:
    """What was looked at: the data file, how many answers there are, and the suspects, worst first. trained: whether
    some model was trained on this very file, so that it repeats labels, wrong ones too.
    """

    data: Path
    answers: int
    suspects: tuple[Suspect, ...]
    trained: bool = False


def review(
    evaluations: Sequence[Path],
    *,
    data: Path | None = None,
    limit: int = 200,
    progress: Callable[[int], object] = lambda _: None,
) -> Reviewed:
    """The suspects of one evaluation, or of several over one data file: folds of a cross-validation, or several
    models, of which the one counts that agrees most with the label.

    evaluations: folders with predictions.jsonl, such files, or run folders. progress: hears how many answers
    are scored. UsageError: none there, or no data file.
    """
    files = [_predictions_of(path) for path in evaluations]
    data = data or _data_of(files)
    best: dict[int, tuple[float, Prediction]] = {}
    runs = [predict.read_predictions(path) for path in files]
    done = 0
    for preds in runs:
        for pred, error in _errors(preds, partial(_after, progress, done)):
            if pred.id not in best or error < best[pred.id][0]:
                best[pred.id] = (error, pred)
        done += len(preds)
    if not best:
        raise ProblemsFound("no answer that could be compared with a label", where=", ".join(map(str, files)))
    hashes = _hashes(data, {line: pred for line, (_, pred) in best.items()})
    suspected = suspects([(pred, error, hashes[line]) for line, (error, pred) in sorted(best.items())])
    asked = [conditions.beside(file).get("conditions") for file in files]
    trained = any(isinstance(one, dict) and one.get(TRAINED_ON) for one in asked)
    return Reviewed(data, len(best), tuple(suspected[:limit]), trained)


def count_answers(evaluations: Sequence[Path]) -> int:
    """How many answers `review` looks at."""
    count = 0
    for path in evaluations:
        with open_input(_predictions_of(path)) as stream:
            count += sum(1 for _ in stream)
    return max(count, 1)


def suspects(rows: Sequence[tuple[Prediction, float, str]]) -> list[Suspect]:
    """Rows with an error, by rank: error^ROOT x (1 - mean error of the others of the same task and script) x how
    clearly the spelling speaks for the answer; a tenth of it where the answer is not whole, a half more where labels
    were swapped.

    The root, since a label that lost a vowel sign is as wrong as another text, and most of the largest errors are the
    model's. rows: (prediction, error, hash of the row).
    """
    kinds = [_kind(pred) for pred, _, _ in rows]
    counts = Counter(kinds)
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for kind, (_, error, _) in zip(kinds, rows, strict=True):
        sums[kind] += error
    partners: dict[tuple[str, str, str], list[int]] = defaultdict(list)  # (task, label, answer) → lines
    spelling: dict[str, Spelling] = defaultdict(Spelling)
    for pred, _, _ in rows:
        partners[task_of(pred.prompt), text.normalise(pred.ref), text.normalise(pred.pred)].append(pred.id)
        spelling[task_of(pred.prompt)].add(pred.ref)
    suspected = []
    for kind, (pred, error, digest) in zip(kinds, rows, strict=True):
        if error <= 0:
            continue
        task = kind[0]
        others = counts[kind] - 1
        usual = (sums[kind] - error) / others if others else 0.0
        whole = _is_whole(pred)
        swapped = partners.get((task, text.normalise(pred.pred), text.normalise(pred.ref)), [0])[0]
        rank = error**ROOT * (1 - min(usual, 1.0)) * spelling[task].speaks_for(pred.pred, against=pred.ref)
        rank = rank * (1.0 if whole else MODEL_FAULT) + (SWAPPED if swapped or _is_reordered(pred) else 0.0)
        suspected.append(Suspect(pred, task, error, usual, rank, swapped, digest))
    return sorted(suspected, key=lambda item: (-item.rank, item.pred.id))


class Spelling:
    """Which letters follow which in the labels of a task: counts of three letters, with marks for beginning and end."""

    def __init__(self) -> None:
        self._three: Counter[str] = Counter()
        self._two: Counter[str] = Counter()
        self._letters: set[str] = set()

    def add(self, label: str) -> None:
        """Count the letters of a label."""
        triples = _triples(label)
        self._three.update(triples)
        self._two.update(triple[:2] for triple in triples)
        self._letters.update(_shape(label))

    def speaks_for(self, answer: str, *, against: str) -> float:
        """How much likelier the answer's letters are than those of the label `against`, which is not counted: from 0
        (the label's are) over 0.5 (both alike) to 1.
        """
        own = Counter(_triples(against))
        context = Counter(triple[:2] for triple in own.elements())
        common = set(own) & set(_triples(answer))
        difference = self._log(answer, own, context, common) - self._log(against, own, context, common)
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, difference / SURE))))

    def _log(self, written: str, own: Counter[str], context: Counter[str], common: set[str]) -> float:
        """The mean log probability of the triples that the other text does not have."""
        size = len(self._letters) + 1
        odd = [triple for triple in _triples(written) if triple not in common]
        if not odd:
            return 0.0
        total = 0.0
        for triple in odd:
            seen = max(self._three[triple] - own[triple], 0) + UNSEEN
            total += math.log(seen / (max(self._two[triple[:2]] - context[triple[:2]], 0) + UNSEEN * size))
        return total / len(odd)


def _shape(label: str) -> str:
    """A label with all digits alike: which number it is says nothing about how labels are spelt."""
    return "".join("0" if sign.isdecimal() else sign for sign in label)


def _triples(label: str) -> list[str]:
    marked = f"\x02\x02{_shape(label)}\x03"
    return [marked[place : place + 3] for place in range(len(marked) - 2)]


def _is_whole(pred: Prediction) -> bool:
    """Whether an answer can speak against its label: one that is cut off, or only its beginning, says nothing."""
    answer = text.normalise(pred.pred)
    return bool(answer) and pred.finish_reason != "length" and not text.normalise(pred.ref).startswith(answer)


def _is_reordered(pred: Prediction) -> bool:
    """A table or chart whose rows are all there, in another order."""
    if task_of(pred.prompt) not in ("table", "chart"):
        return False
    separator = "<nl>" if "<nl>" in pred.ref else "\n"
    label, answer = ([row.strip() for row in side.split(separator) if row.strip()] for side in (pred.ref, pred.pred))
    return label != answer and sorted(label) == sorted(answer)


def row_hash(line: bytes) -> str:
    """What a correction knows a row by."""
    return hashlib.sha256(line.strip()).hexdigest()[:HASH_DIGITS]


def _kind(pred: Prediction) -> tuple[str, str]:
    return task_of(pred.prompt), next(iter(scripts(pred.ref)), "")


def _after(progress: Callable[[int], object], before: int, count: int) -> None:
    progress(before + count)


def _errors(preds: Sequence[Prediction], progress: Callable[[int], object]) -> Iterator[tuple[Prediction, float]]:
    """(prediction, error from 0 to 1) of those that were answered and can be scored."""
    pairs, _ = results.scored(preds, progress=progress)
    for pred, pair in zip(preds, pairs, strict=True):
        if pair is not None and not pred.error:
            yield pred, _error(task_of(pred.prompt), pair)


def _error(task: str, pair: dict[str, Pair]) -> float:
    name = HEADLINE[task] if HEADLINE[task] in pair else next(iter(pair))
    numerator, denominator = pair[name]
    value = numerator / max(denominator, 1.0)
    return min(max(1 - value if SCORES[name].higher_is_better else value, 0.0), 1.0)


def _predictions_of(path: Path) -> Path:
    """predictions.jsonl of an evaluation, or of the last scoring of a run."""
    for file in (path, path / PREDICTIONS, path / "scores" / "after" / PREDICTIONS):
        if file.is_file():
            return file
    raise UsageError(
        "no predictions here",
        where=str(path),
        hint="give the folder of an evaluation (runs/eval/NAME), a run, or a predictions.jsonl",
    )


def _data_of(files: Sequence[Path]) -> Path:
    path, why = conditions.data_of([conditions.beside(file) for file in files])
    if path is None:
        raise UsageError(
            why or "results.json does not say which data file was asked about",
            where=str(files[0].parent),
            hint="name the file that was evaluated: --data FILE",
        )
    return path


def _hashes(data: Path, preds: Mapping[int, Prediction]) -> dict[int, str]:
    """Line → hash of its row. UsageError where a row is not the one that was answered."""
    hashes: dict[int, str] = {}
    with open_input(data) as stream:
        for number, line, _ in bounded_lines(stream):
            if number in preds and _is_row_of(line, preds[number]):
                hashes[number] = row_hash(line)
    other = min(preds.keys() - hashes.keys(), default=None)
    if other is not None:
        raise UsageError(
            f"line {other} is not the row that was answered",
            where=str(data),
            hint="name the file that was evaluated: --data FILE",
        )
    return hashes


def _is_row_of(line: bytes, pred: Prediction) -> bool:
    """Whether prompt and label are those that the prediction was scored against."""
    try:
        sample = decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return (sample.prompt, sample.ref) == (pred.prompt.strip(), pred.ref)


def relative_image(data: Path, image: str, folder: Path) -> str:
    """The path of a row's image as seen from `folder`."""
    return os.path.relpath(data.parent / image, folder)
