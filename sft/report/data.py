"""What every report is made from: the samples with all runs' answers and scores side by side, and the figures over
them.

`gather` puts the runs together and scores them, unless the caller has the scores already; `ReportData.summary` holds
a figure with its interval per task, score and run, and per slice. HTML, Markdown, CSV, TensorBoard and JUnit are
written from the same `ReportData`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from sft.errors import UsageError
from sft.evaluation import (
    DIMENSIONS,
    FEWEST,
    HEADLINE,
    OPEN,
    OTHER,
    SCORES,
    EstimateKind,
    EstimateTable,
    Interval,
    Measured,
    Pair,
    corrected,
    facts,
    intervals,
    measure,
    pairs_of,
    score,
    steps_of,
    task_of,
    verdict_of,
)
from sft.metrics import worst_share
from sft.types import Prediction, Task

PairByScore = Mapping[str, Pair]
Runs = Sequence[tuple[str, Sequence[Prediction]]]
TASKS = (*(task.value for task in Task), OTHER)


@dataclass(frozen=True)
class ScoredAnswer:
    """One run's answer to one sample and its scores as (numerator, denominator); no scores where it is lost."""

    pred: Prediction
    scores: PairByScore | None


@dataclass(frozen=True)
class ReportSample:
    """One sample with a place for every run; None where the run was not asked. `labels`: dimension → slice."""

    id: int
    image: str
    prompt: str
    task: str
    ref: str
    labels: Mapping[str, str]
    answers: tuple[ScoredAnswer | None, ...]

    def value(self, run: int, name: str) -> float | None:
        """One score of one run's answer, None where there is none."""
        answer = self.answers[run]
        if answer is None or answer.scores is None or name not in answer.scores:
            return None
        numerator, denominator = answer.scores[name]
        return numerator / max(denominator, 1.0)

    def error(self, run: int) -> float | None:
        """How wrong the answer is by the score that stands for its task: 0 is right; None where it is lost or was not
        asked.
        """
        name = HEADLINE[self.task]
        value = self.value(run, name)
        return None if value is None else 1 - value if SCORES[name].higher_is_better else value


@dataclass(frozen=True)
class Figure:
    """One score of one run over the samples of a task, or over one slice of them (`dimension`, `label`); over those
    that all runs answered.
    """

    run: int
    task: str
    score: str
    interval: Interval
    n: int
    dimension: str = ""
    label: str = ""


@dataclass(frozen=True)
class RunDifference:
    """A run against the first, over the samples of a task or of one slice of them. won: samples it is better on, worse
    on, and neither.

    p_holm: p with the number of lines that are looked at taken into account. verdict: better or worse beyond chance,
    else ""; few: too few samples for more than a hint.
    """

    run: int
    task: str
    score: str
    interval: Interval
    p: float
    p_holm: float
    won: tuple[int, int, int]
    verdict: str
    few: bool = False
    dimension: str = ""
    label: str = ""

    @property
    def words(self) -> str:
        """The verdict as `compare` says it."""
        return f"{self.verdict}, few samples" if self.verdict and self.few else self.verdict


@dataclass(frozen=True)
class Carried:
    """How the error of a run's answers to a task is spread: the shares of the worst 1 % and of the worst one, its
    number, and the score without it.
    """

    percent: float
    one: float
    sample: int
    without: float


@dataclass(frozen=True)
class Summary:
    """All figures; `worst`: (run, task) → where the error is."""

    figures: tuple[Figure, ...]
    changes: tuple[RunDifference, ...]
    worst: Mapping[tuple[int, str], Carried]

    @cached_property
    def _table(self) -> dict[tuple[int, str, str, str, str], Figure]:
        return {(item.run, item.task, item.score, item.dimension, item.label): item for item in self.figures}

    def figure(self, run: int, task: str, name: str, dimension: str = "", label: str = "") -> Figure | None:
        """One figure, None where nothing was measured."""
        return self._table.get((run, task, name, dimension, label))

    @cached_property
    def _moved(self) -> dict[tuple[int, str, str, str, str], RunDifference]:
        return {(item.run, item.task, item.score, item.dimension, item.label): item for item in self.changes}

    def change(self, run: int, task: str, name: str, dimension: str = "", label: str = "") -> RunDifference | None:
        """One change, None for the first run."""
        return self._moved.get((run, task, name, dimension, label))


@dataclass(frozen=True)
class ReportData:
    """Runs put side by side.

    `samples` in the order of the data; `steps`: of training, per run, None where a run is no checkpoint.
    """

    names: tuple[str, ...]
    steps: tuple[int | None, ...]
    samples: tuple[ReportSample, ...]
    notes: tuple[str, ...] = ()
    seed: int = 1

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks there are samples of, in one order everywhere."""
        present = {sample.task for sample in self.samples}
        return tuple(task for task in TASKS if task in present)

    def asked(self, task: str) -> tuple[int, int]:
        """(samples of a task that every run has an answer to, the others)."""
        mine = [sample for sample in self.samples if sample.task == task]
        whole = sum(all(answer and answer.scores is not None for answer in sample.answers) for sample in mine)
        return whole, len(mine) - whole

    def counts(self, run: int) -> tuple[int, int]:
        """(scored, lost) of a run."""
        answers = [sample.answers[run] for sample in self.samples]
        lost = sum(answer is not None and answer.scores is None for answer in answers)
        return sum(answer is not None for answer in answers) - lost, lost

    @cached_property
    def summary(self) -> Summary:
        """Computed once: some seconds for ten thousand samples."""

        return summarise(self)

    def worst_first(self, run: int = -1) -> list[ReportSample]:
        """Highest error of a run first, what it has no answer to at the end."""

        def key(sample: ReportSample) -> tuple[bool, float, int]:
            error = sample.error(run)
            return error is None, -(error or 0.0), sample.id

        return sorted(self.samples, key=key)


def gather(
    runs: Runs,
    *,
    base: Path | None = None,
    pairs: Sequence[Sequence[PairByScore | None]] | None = None,
    labels: Mapping[int, Mapping[str, str]] | None = None,
    steps: Mapping[str, int] | None = None,
    seed: int = 1,
) -> ReportData:
    """Put runs side by side, by the ids of their predictions.

    runs: (name, predictions), the first is what the last is compared with. pairs: `sample_scores.pairs_of` of each run,
    if the caller has them. labels: id → dimension → slice; what `slices.facts` says of the predictions unless given,
    `base` being the folder that images count from. steps: name of a run → training step; read from names such as "step
    200" or "200" unless given. UsageError: no runs, or runs over different data.
    ProblemsFound: a run without predictions. EngineError: a run in which every request is lost.
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
    answers = [
        {pred.id: ScoredAnswer(pred, scores) for pred, scores in zip(preds, run_pairs, strict=True)}
        for (_, preds), run_pairs in zip(runs, pairs, strict=True)
    ]
    text_only = bool(notes)
    samples = []
    for number in sorted(groups):
        pred = groups[number]
        task = task_of(pred.prompt)
        task = OTHER if text_only and task == Task.CHART.value else task
        run_pairs = (
            labels.get(number, {})
            if labels is not None
            else facts(prompt=pred.prompt, ref=pred.ref, image=pred.image, base=base).slices
        )
        samples.append(
            ReportSample(
                number, pred.image, pred.prompt, task, pred.ref, run_pairs, tuple(run.get(number) for run in answers)
            )
        )
    names = tuple(name for name, _ in runs)
    return ReportData(
        names,
        _steps(names, steps),
        tuple(samples),
        notes,
        seed,
    )


def _side_by_side(runs: Runs) -> dict[int, Prediction]:
    """id → a prediction of any run that has it."""
    groups: dict[int, Prediction] = {}
    for name, preds in runs:
        for pred in preds:
            first = groups.setdefault(pred.id, pred)
            if (first.ref.strip(), first.image) != (pred.ref.strip(), pred.image):
                raise UsageError(
                    f"run {name!r} is over other data: its sample {pred.id} differs",
                    hint="predict both runs over the same file",
                )
    return groups


def _scored(runs: Runs) -> tuple[list[list[dict[str, Pair] | None]], tuple[str, ...]]:
    """Scores of all runs at once: answers that the runs share are scored once."""
    preds = [pred for _, preds in runs for pred in preds]
    notes: tuple[str, ...] = ()
    if find_spec("scipy") is None and any(task_of(pred.prompt) == Task.CHART.value for pred in preds):
        preds = [replace(pred, prompt="") if task_of(pred.prompt) == Task.CHART.value else pred for pred in preds]
        notes = ("Charts are scored as text, because scipy is missing: pip install 'paddleocr-vl-sft[metrics]'",)
    rest = iter(pairs_of(preds))
    return [[next(rest) for _ in preds] for _, preds in runs], notes


def _steps(names: Sequence[str], given: Mapping[str, int] | None) -> tuple[int | None, ...]:
    if given is not None:
        return tuple(given.get(name) for name in names)
    return steps_of(names)


MAX_LABELS = 12  # of one dimension, the most frequent ones
SLICE_DRAWS = 500  # of the bootstrap; a plot's line needs no third digit
SETS = "source"  # the dimension whose slices are compared as well: a suite's sets


def summarise(data: ReportData) -> Summary:
    """All figures of all runs, over the samples that every run has an answer to."""
    figures: list[Figure] = []
    whole: list[tuple[str, str, str, Measured]] = []  # task, dimension, slice
    sets: list[tuple[str, str, str, Measured]] = []
    worst = {}
    for task in data.tasks:
        samples = [
            sample
            for sample in data.samples
            if sample.task == task and all(answer and answer.scores for answer in sample.answers)
        ]
        if not samples:
            continue
        for item in _measured(data, samples):
            figures += [Figure(run, task, item.metric, interval, item.n) for run, interval in enumerate(item.scores)]
            whole.append((task, "", "", item))
        for run in range(len(data.names)):
            worst[run, task] = _carried(samples, run, HEADLINE[task])
        for dimension, label, part in slices(samples):
            if dimension == SETS and len(data.names) > 1:
                item = next(item for item in _measured(data, part, HEADLINE[task]))
                figures += [
                    Figure(run, task, item.metric, interval, item.n, dimension, label)
                    for run, interval in enumerate(item.scores)
                ]
                sets.append((task, dimension, label, item))
            else:
                figures += _slice(part, task, dimension, label, data.seed)
    return Summary(
        tuple(figures),
        (*_changes(whole), *_changes(sets)),
        worst,
    )


def _measured(data: ReportData, samples: Sequence[ReportSample], only: str = "") -> list[Measured]:
    """Every score of these samples, or one."""
    scored = [
        [
            {name: pair for name, pair in (answer.scores or {}).items() if not only or name == only}
            for sample in samples
            if (answer := sample.answers[run])
        ]
        for run in range(len(data.names))
    ]
    return measure(
        EstimateTable(scored, _groups(samples), data.seed),
        range(len(samples)),
    )


def _changes(rows: Sequence[tuple[str, str, str, Measured]]) -> list[RunDifference]:
    """The changes of one family of lines, as `compare` tells them."""
    changes = []
    for (task, dimension, label, item), ps in zip(
        rows,
        corrected([row[3] for row in rows]),
        strict=True,
    ):
        for column, (delta, p, p_holm, won) in enumerate(
            zip(item.deltas, item.ps, ps, item.won, strict=True),
            1,
        ):
            said = verdict_of(
                delta.low,
                delta.high,
                p_holm,
                few=delta.few,
                higher=SCORES[item.metric].higher_is_better,
            )
            verdict = (
                "" if said in OPEN or said.startswith("changed") else said.partition(",")[0]
            )  # a length is neither better nor worse
            changes.append(
                RunDifference(
                    column,
                    task,
                    item.metric,
                    delta,
                    p,
                    p_holm,
                    won,
                    verdict,
                    delta.few,
                    dimension,
                    label,
                )
            )
    return changes


def _carried(samples: Sequence[ReportSample], run: int, name: str) -> Carried:
    """Where the error of the score that stands for a task is: as it counts in the score of all, a long text for more
    than a short one.
    """
    pairs = [answer.scores[name] for sample in samples if (answer := sample.answers[run]) and answer.scores]
    upwards = SCORES[name].higher_is_better
    errors = [max(denominator - numerator, 0.0) if upwards else numerator for numerator, denominator in pairs]
    total = math.fsum(errors)
    worst = max(
        range(len(errors)),
        key=lambda place: errors[place],
    )
    numerator, denominator = (math.fsum(pair[side] for pair in pairs) - pairs[worst][side] for side in (0, 1))
    return Carried(
        worst_share(errors),
        errors[worst] / total if total > 0 else 0.0,
        samples[worst].id,
        numerator / max(denominator, 1.0),
    )


def _groups(samples: Sequence[ReportSample]) -> list[str] | None:
    """Rows of one document are not independent. As in `compare`, so that both tell the same."""
    groups = [sample.labels.get("group") or f"\0{place}" for place, sample in enumerate(samples)]
    return groups if len(set(groups)) < len(groups) else None


def slices(samples: Sequence[ReportSample]) -> list[tuple[str, str, list[ReportSample]]]:
    """(dimension, slice, its samples), slices of some size only; a dimension of one slice tells nothing. Numbers in
    order, words by frequency.
    """
    parts = []
    for dimension in sorted(
        {name for sample in samples for name in sample.labels},
        key=lambda name: (name not in DIMENSIONS, DIMENSIONS.index(name) if name in DIMENSIONS else 0, name),
    ):
        counts = Counter(label for sample in samples if (label := sample.labels.get(dimension)) is not None)
        if len(counts) > 1:
            for label in ordered([label for label, count in counts.most_common(MAX_LABELS) if count >= FEWEST]):
                parts.append(
                    (dimension, label, [sample for sample in samples if sample.labels.get(dimension) == label])
                )
    return parts


def ordered(labels: list[str]) -> list[str]:
    """Labels with a number in each, by that number; others as they come."""
    numbers = {
        label: float(match[1])
        for label in labels
        if (match := re.match(r"[a-z ]{0,12}([0-9]{1,12}(?:[.][0-9]{1,6})?)", label))
    }
    if len(numbers) < len(labels):
        return labels
    return sorted(
        labels,
        key=lambda label: (numbers[label], label.startswith("from"), label),
    )


def _slice(samples: Sequence[ReportSample], task: str, dimension: str, label: str, seed: int) -> list[Figure]:
    """The score that stands for the task, of every run."""
    name = HEADLINE[task]
    pairs = np.array(
        [[answer.scores[name] for answer in sample.answers if answer and answer.scores] for sample in samples],
        np.float64,
    )
    kind: EstimateKind = "bounded" if SCORES[name].kind == "bounded" else "rate"
    estimates = intervals(
        pairs[:, :, 0],
        pairs[:, :, 1],
        groups=_groups(samples),
        kinds=kind,
        draws=SLICE_DRAWS,
        seed=seed,
    )
    return [Figure(run, task, name, interval, len(samples), dimension, label) for run, interval in enumerate(estimates)]
