"""The figures of `sft.evaluation.report_data`: every score of every task and run, the slices, the changes, and where the error is."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from sft.evaluation.compare import OPEN, verdict_of
from sft.evaluation.measure import Measured, Table, corrected, measure
from sft.evaluation.report_data import Carried, Change, Data, Figure, Sample, Summary
from sft.evaluation.sample_scores import HEADLINE, SCORES
from sft.evaluation.slices import DIMENSIONS, FEWEST
from sft.evaluation.statistics import Kind, intervals
from sft.metrics.health import worst_share

MAX_LABELS = 12  # of one dimension, the most frequent ones
SLICE_DRAWS = 500  # of the bootstrap; a plot's line needs no third digit
SETS = "source"  # the dimension whose slices are compared as well: a suite's sets


def summarise(data: Data) -> Summary:
    """All figures of all runs, over the samples that every run has an answer to."""
    figures: list[Figure] = []
    whole: list[tuple[str, str, str, Measured]] = []  # task, dimension, slice
    sets: list[tuple[str, str, str, Measured]] = []
    worst = {}
    for task in data.tasks:
        samples = [sample for sample in data.samples if sample.task == task and all(answer and answer.scores for answer in sample.answers)]
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
                figures += [Figure(run, task, item.metric, interval, item.n, dimension, label) for run, interval in enumerate(item.scores)]
                sets.append((task, dimension, label, item))
            else:
                figures += _slice(part, task, dimension, label, data.seed)
    return Summary(tuple(figures), (*_changes(whole), *_changes(sets)), worst)


def _measured(data: Data, samples: Sequence[Sample], only: str = "") -> list[Measured]:
    """Every score of these samples, or one."""
    scored = [
        [{name: pair for name, pair in (answer.scores or {}).items() if not only or name == only} for sample in samples if (answer := sample.answers[run])] for run in range(len(data.names))
    ]
    return measure(Table(scored, _groups(samples), data.seed), range(len(samples)))


def _changes(rows: Sequence[tuple[str, str, str, Measured]]) -> list[Change]:
    """The changes of one family of lines, as `compare` tells them."""
    found = []
    for (task, dimension, label, item), ps in zip(rows, corrected([row[3] for row in rows]), strict=True):
        for column, (delta, p, p_holm, won) in enumerate(zip(item.deltas, item.ps, ps, item.won, strict=True), 1):
            said = verdict_of(delta.low, delta.high, p_holm, few=delta.few, higher=SCORES[item.metric].higher_is_better)
            verdict = "" if said in OPEN or said.startswith("changed") else said.partition(",")[0]  # a length is neither better nor worse
            found.append(Change(column, task, item.metric, delta, p, p_holm, won, verdict, delta.few, dimension, label))
    return found


def _carried(samples: Sequence[Sample], run: int, name: str) -> Carried:
    """Where the error of the score that stands for a task is: as it counts in the score of all, a long text for more than a short one."""
    pairs = [answer.scores[name] for sample in samples if (answer := sample.answers[run]) and answer.scores]
    upwards = SCORES[name].higher_is_better
    errors = [max(below - above, 0.0) if upwards else above for above, below in pairs]
    total, worst = math.fsum(errors), max(range(len(errors)), key=lambda place: errors[place])
    above, below = (math.fsum(pair[side] for pair in pairs) - pairs[worst][side] for side in (0, 1))
    return Carried(worst_share(errors), errors[worst] / total if total > 0 else 0.0, samples[worst].id, above / max(below, 1.0))


def _groups(samples: Sequence[Sample]) -> list[str] | None:
    """Rows of one document are not independent. As in `compare`, so that both tell the same."""
    groups = [sample.labels.get("group") or f"\0{place}" for place, sample in enumerate(samples)]
    return groups if len(set(groups)) < len(groups) else None


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
