"""What every report is made from: the samples with all runs' answers and scores side by side, and the figures over them.

`gather` puts the runs together and scores them, unless the caller has the scores already; `Data.summary` holds a figure with
its interval per task, score and run, and per slice. HTML, Markdown, CSV, TensorBoard and JUnit are written from the same `Data`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from sft.errors import ProblemsFound, UsageError
from sft.evaluation.measure import ALPHA, Table, measure
from sft.evaluation.sample_scores import HEADLINE, OTHER, SCORES, Pair, pairs_of, task_of
from sft.evaluation.score import score
from sft.evaluation.slices import DIMENSIONS, FEWEST, facts
from sft.evaluation.statistics import Interval, Kind, intervals
from sft.metrics.health import worst_share
from sft.types import Prediction, Task

Scores = Mapping[str, Pair]
Runs = Sequence[tuple[str, Sequence[Prediction]]]
TASKS = (*(task.value for task in Task), OTHER)
MAX_LABELS = 12  # of one dimension, the most frequent ones
SLICE_DRAWS = 500  # of the bootstrap; a plot's line needs no third digit
_STEP = re.compile(r"(?:step|checkpoint|ckpt|iter)[-_ ]?(\d{1,12})$", re.IGNORECASE)
_BEGINNINGS = ("base", "before")  # names of the run that training starts from: step 0 of a curve


@dataclass(frozen=True)
class Answer:
    """One run's answer to one sample and its scores as (numerator, denominator); no scores where it is lost."""

    pred: Prediction
    scores: Scores | None


@dataclass(frozen=True)
class Sample:
    """One sample with a place for every run; None where the run was not asked. `labels`: dimension → slice."""

    id: int
    image: str
    prompt: str
    task: str
    ref: str
    labels: Mapping[str, str]
    answers: tuple[Answer | None, ...]

    def value(self, run: int, name: str) -> float | None:
        """One score of one run's answer, None where there is none."""
        answer = self.answers[run]
        if answer is None or answer.scores is None or name not in answer.scores:
            return None
        above, below = answer.scores[name]
        return above / max(below, 1.0)

    def error(self, run: int) -> float | None:
        """How wrong the answer is by the score that stands for its task: 0 is right; None where it is lost or was not asked."""
        name = HEADLINE[self.task]
        value = self.value(run, name)
        return None if value is None else 1 - value if SCORES[name].higher_is_better else value


@dataclass(frozen=True)
class Figure:
    """One score of one run over the samples of a task, or over one slice of them (`dimension`, `label`); over those that all runs answered."""

    run: int
    task: str
    score: str
    interval: Interval
    n: int
    dimension: str = ""
    label: str = ""


@dataclass(frozen=True)
class Change:
    """The last run against the first. won: samples it is better on, worse on, and neither. verdict: better or worse beyond chance, else ""."""

    task: str
    score: str
    interval: Interval
    p: float
    won: tuple[int, int, int]
    verdict: str


@dataclass(frozen=True)
class Summary:
    """All figures; `worst`: (run, task) → share of the total error that the worst 1 % of the answers carry."""

    figures: tuple[Figure, ...]
    changes: tuple[Change, ...]
    worst: Mapping[tuple[int, str], float]

    @cached_property
    def _table(self) -> dict[tuple[int, str, str, str, str], Figure]:
        return {(item.run, item.task, item.score, item.dimension, item.label): item for item in self.figures}

    def figure(self, run: int, task: str, name: str, dimension: str = "", label: str = "") -> Figure | None:
        """One figure, None where nothing was measured."""
        return self._table.get((run, task, name, dimension, label))

    def change(self, task: str, name: str) -> Change | None:
        """One change, None with a single run."""
        return next((item for item in self.changes if (item.task, item.score) == (task, name)), None)


@dataclass(frozen=True)
class Data:
    """Runs put side by side. `samples` in the order of the data; `steps`: of training, per run, None where a run is no checkpoint."""

    names: tuple[str, ...]
    steps: tuple[int | None, ...]
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()
    seed: int = 1

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks there are samples of, in one order everywhere."""
        found = {sample.task for sample in self.samples}
        return tuple(task for task in TASKS if task in found)

    def counts(self, run: int) -> tuple[int, int]:
        """(scored, lost) of a run."""
        answers = [sample.answers[run] for sample in self.samples]
        lost = sum(answer is not None and answer.scores is None for answer in answers)
        return sum(answer is not None for answer in answers) - lost, lost

    @cached_property
    def summary(self) -> Summary:
        """Computed once: some seconds for ten thousand samples."""
        return summarise(self)

    def worst_first(self, run: int = -1) -> list[Sample]:
        """Highest error of a run first, what it has no answer to at the end."""

        def key(sample: Sample) -> tuple[bool, float, int]:
            error = sample.error(run)
            return error is None, -(error or 0.0), sample.id

        return sorted(self.samples, key=key)


def gather(
    runs: Runs, *, base: Path | None = None, pairs: Sequence[Sequence[Scores | None]] | None = None, labels: Mapping[int, Mapping[str, str]] | None = None,
    steps: Mapping[str, int] | None = None, seed: int = 1,
) -> Data:  # fmt: skip
    """Put runs side by side, by the ids of their predictions.

    runs: (name, predictions), the first is what the last is compared with. pairs: `sample_scores.pairs_of` of each run, if the caller
    has them. labels: id → dimension → slice; what `slices.facts` says of the predictions unless given, `base` being the folder that
    images count from. steps: name of a run → training step; read from names such as "step 200" unless given. UsageError: no runs. ProblemsFound: runs over different data, or a run without
    predictions. EngineError: a run in which every request is lost.
    """
    if not runs:
        raise UsageError("a report needs at least one run")
    for _, preds in runs:
        if all(pred.error for pred in preds):
            score(preds)  # raises, in the same words as everywhere
    groups = _side_by_side(runs)
    notes: tuple[str, ...] = ()
    if pairs is None:
        pairs, notes = _scored(runs)
    answers = [{pred.id: Answer(pred, scores) for pred, scores in zip(preds, found, strict=True)} for (_, preds), found in zip(runs, pairs, strict=True)]
    text_only = bool(notes)
    samples = []
    for number in sorted(groups):
        pred = groups[number]
        task = task_of(pred.prompt)
        task = OTHER if text_only and task == Task.CHART.value else task
        found = labels.get(number, {}) if labels is not None else facts(prompt=pred.prompt, ref=pred.ref, image=pred.image, base=base).slices
        samples.append(Sample(number, pred.image, pred.prompt, task, pred.ref, found, tuple(run.get(number) for run in answers)))
    names = tuple(name for name, _ in runs)
    return Data(names, _steps(names, steps), tuple(samples), notes, seed)


def _side_by_side(runs: Runs) -> dict[int, Prediction]:
    """id → a prediction of any run that has it."""
    groups: dict[int, Prediction] = {}
    for name, preds in runs:
        for pred in preds:
            first = groups.setdefault(pred.id, pred)
            if (first.ref.strip(), first.image) != (pred.ref.strip(), pred.image):
                raise ProblemsFound(f"run {name!r} is over other data: its sample {pred.id} differs", hint="predict both runs over the same file")
    return groups


def _scored(runs: Runs) -> tuple[list[list[dict[str, Pair] | None]], tuple[str, ...]]:
    """Scores of all runs at once: answers that the runs share are scored once."""
    preds = [pred for _, preds in runs for pred in preds]
    notes: tuple[str, ...] = ()
    if find_spec("scipy") is None and any(task_of(pred.prompt) == Task.CHART.value for pred in preds):
        preds = [replace(pred, prompt="") if task_of(pred.prompt) == Task.CHART.value else pred for pred in preds]
        notes = ("Charts are scored as text, because scipy is missing: pip install 'paddleocr-vl-sft[metrics]'",)
    found = iter(pairs_of(preds))
    return [[next(found) for _ in preds] for _, preds in runs], notes


def _steps(names: Sequence[str], given: Mapping[str, int] | None) -> tuple[int | None, ...]:
    if given is not None:
        return tuple(given.get(name) for name in names)
    found = [int(match[1]) if (match := _STEP.search(name)) else None for name in names]
    known = any(step is not None for step in found)
    return tuple(0 if known and step is None and name.lower() in _BEGINNINGS else step for name, step in zip(names, found, strict=True))


def summarise(data: Data) -> Summary:
    """All figures of all runs, over the samples that every run has an answer to."""
    figures: list[Figure] = []
    changes: list[Change] = []
    worst = {}
    for task in data.tasks:
        samples = [sample for sample in data.samples if sample.task == task and all(answer and answer.scores for answer in sample.answers)]
        if not samples:
            continue
        scored = [[answer.scores or {} for sample in samples if (answer := sample.answers[run])] for run in range(len(data.names))]
        for item in measure(Table(scored, _groups(samples), data.seed), range(len(samples))):
            figures += [Figure(run, task, item.metric, interval, item.n) for run, interval in enumerate(item.scores)]
            if item.deltas:
                verdict = _verdict(item.metric, item.deltas[-1], item.ps[-1])
                changes.append(Change(task, item.metric, item.deltas[-1], item.ps[-1], item.won[-1], verdict))
        for run in range(len(data.names)):
            worst[run, task] = worst_share([sample.error(run) or 0.0 for sample in samples])
        for dimension, label, part in slices(samples):
            figures += _slice(part, task, dimension, label, data.seed)
    return Summary(tuple(figures), tuple(changes), worst)


def _groups(samples: Sequence[Sample]) -> list[str] | None:
    """Rows of one document are not independent. As in `compare`, so that both tell the same."""
    groups = [sample.labels.get("group") or f"\0{place}" for place, sample in enumerate(samples)]
    return groups if len(set(groups)) < len(groups) else None


def _verdict(name: str, interval: Interval, p: float) -> str:
    if name == "length_ratio" or p >= ALPHA or interval.low <= 0 <= interval.high:  # the ratio is best at 1: neither up nor down is good
        return ""
    return "better" if (interval.value > 0) == SCORES[name].higher_is_better else "worse"


def slices(samples: Sequence[Sample]) -> list[tuple[str, str, list[Sample]]]:
    """(dimension, slice, its samples), slices of some size only; a dimension of one slice tells nothing. Numbers in order, words by frequency."""
    found = []
    for dimension in sorted({name for sample in samples for name in sample.labels}, key=lambda name: (name not in DIMENSIONS, DIMENSIONS.index(name) if name in DIMENSIONS else 0, name)):
        counts = Counter(label for sample in samples if (label := sample.labels.get(dimension)) is not None)
        if len(counts) > 1:
            for label in ordered([label for label, count in counts.most_common(MAX_LABELS) if count >= FEWEST]):
                found.append((dimension, label, [sample for sample in samples if sample.labels.get(dimension) == label]))
    return found


def ordered(labels: list[str]) -> list[str]:
    """Labels with a number in each, by that number; others as they come."""
    numbers = {label: float(match[1]) for label in labels if (match := re.match(r"[a-z ]{0,12}([0-9]{1,12}(?:[.][0-9]{1,6})?)", label))}
    if len(numbers) < len(labels):
        return labels
    return sorted(labels, key=lambda label: (numbers[label], label.startswith("from"), label))


def _slice(samples: Sequence[Sample], task: str, dimension: str, label: str, seed: int) -> list[Figure]:
    """The score that stands for the task, of every run."""
    name = HEADLINE[task]
    pairs = np.array([[answer.scores[name] for answer in sample.answers if answer and answer.scores] for sample in samples], np.float64)
    kind: Kind = "bounded" if SCORES[name].kind == "bounded" else "rate"
    found = intervals(pairs[:, :, 0], pairs[:, :, 1], groups=_groups(samples), kinds=kind, draws=SLICE_DRAWS, seed=seed)
    return [Figure(run, task, name, interval, len(samples), dimension, label) for run, interval in enumerate(found)]
