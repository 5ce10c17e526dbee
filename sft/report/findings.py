"""What a reader should know first: what has changed beyond chance, what one sample decides, answers that are none, and
the worst slice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from sft import ui
from sft.evaluation import ALPHA, HEADLINE, SCORES
from sft.report import wording as words
from sft.report.data import Figure, ReportData, RunDifference

ONE = 0.3  # of the error; what one sample carries is a finding from here on
MOVES = 0.02  # that it must move the score by
WEAK = 0.005  # that a slice is worse at least
SICK = 0.01  # share of answers that are empty, cut off, repeat themselves or are in another format
SICK_SCORES = ("runaway", "truncated", "empty", "wrong_format")
SICK_WORDS = {
    "runaway": "repeat themselves",
    "truncated": "are cut off at max_tokens",
    "empty": "are empty",
    "wrong_format": "are not in the format of their task",
}
SLICES = 3  # worst slices that are named
FindingKind = Literal["worse", "better", "few", "look"]
ORDER: tuple[FindingKind, ...] = ("worse", "better", "few", "look")


class Finding(NamedTuple):
    """kind: worse or better beyond chance; few: the same, of too few samples; look: what to look at before the scores
    are believed.
    """

    kind: FindingKind
    title: str
    text: str


def findings(data: ReportData) -> list[Finding]:
    """The most important first; of single runs as well."""
    listed = [
        item
        for change in data.summary.changes
        if not change.dimension and change.score == HEADLINE[change.task]
        for item in _change(data, change)
    ]
    runs = range(len(data.names)) if len(data.names) <= 3 else (0, len(data.names) - 1)  # of a curve, its ends
    listed += [
        item for task in data.tasks for run in runs for item in (*_carried(data, run, task), *_sick(data, run, task))
    ]
    listed += [item for task in data.tasks for item in _slices(data, task)]
    return sorted(listed, key=lambda item: ORDER.index(item.kind))


def moved(data: ReportData) -> bool:
    """Whether the score that stands for a task has changed in any run."""
    return any(
        change.verdict
        for change in data.summary.changes
        if not change.dimension and change.score == HEADLINE[change.task]
    )


def _who(data: ReportData, run: int, *, always: bool = False) -> str:
    return f"{data.names[run]}, " if len(data.names) > (1 if always else 2) else ""


def _change(data: ReportData, change: RunDifference) -> Iterator[Finding]:
    before, after = (data.summary.figure(run, change.task, change.score) for run in (0, change.run))
    if before is None or after is None:
        return
    values = " → ".join(words.value(change.score, item.interval.value) for item in (before, after))
    text = f"{_who(data, change.run)}{words.task_name(change.task)}: {words.name_of(change.score)} {values}"
    if change.verdict:
        few = f"; a hint only, of {change.interval.n} independent samples" if change.few else ""
        yield Finding(
            "few" if change.few else "worse" if change.verdict == "worse" else "better", change.words, text + few
        )
    elif change.p_holm < ALPHA and change.interval.low <= 0 <= change.interval.high:
        carried = [
            (data.names[run], worst)
            for run in (0, change.run)
            if (worst := data.summary.worst.get((run, change.task))) and worst.one > ONE
        ]
        one = (
            f": #{carried[0][1].sample} alone carries {carried[0][1].one:.0%} of the error of {carried[0][0]}"
            if carried
            else ""
        )
        why = (
            f"most samples moved one way ({words.p_value(change.p_holm)}), but by how much cannot be said, as few"
            f" samples carry the difference{one}"
        )
        yield Finding("look", "no verdict", f"{text}; {why}")


def _carried(data: ReportData, run: int, task: str) -> Iterator[Finding]:
    name = HEADLINE[task]
    worst = data.summary.worst.get((run, task))
    figure = data.summary.figure(run, task, name)
    if worst and figure and figure.n > 1 and worst.one > ONE and abs(worst.without - figure.interval.value) > MOVES:
        values = (
            f"{words.name_of(name)} {words.value(name, figure.interval.value)}, {words.value(name, worst.without)}"
            " without it"
        )
        yield Finding(
            "look",
            "one sample",
            f"{_who(data, run, always=True)}{words.task_name(task)}: one sample (#{worst.sample}) carries"
            f" {worst.one:.0%} of the error; {values}",
        )


def _sick(data: ReportData, run: int, task: str) -> Iterator[Finding]:
    for name in SICK_SCORES:
        figure = data.summary.figure(run, task, name)
        if figure and figure.interval.value >= SICK:
            count = round(figure.interval.value * figure.n)
            yield Finding(
                "look",
                words.name_of(name),
                f"{_who(data, run, always=True)}{words.task_name(task)}: {count:,} of {figure.n:,} answers"
                f" {SICK_WORDS[name]}",
            )


def _slices(data: ReportData, task: str) -> Iterator[Finding]:
    """Slices of the last run that are worse than the whole beyond their interval."""
    run = len(data.names) - 1
    name = HEADLINE[task]
    whole = data.summary.figure(run, task, name)
    upwards = SCORES[name].higher_is_better

    def far(item: Figure) -> float:
        """How much worse it is at least."""
        return (
            (whole.interval.value - item.interval.high if upwards else item.interval.low - whole.interval.value)
            if whole
            else 0.0
        )

    mine = [
        item
        for item in data.summary.figures
        if (item.run, item.task, item.score) == (run, task, name) and item.dimension not in ("", "length")
    ]
    for item in sorted(
        (item for item in mine if far(item) > WEAK),
        key=far,
        reverse=True,
    )[:SLICES]:
        values = (
            f"{words.value(name, item.interval.value)} ({ui.counted(item.n, 'sample')}),"
            f" {words.value(name, whole.interval.value) if whole else ''} over all"
        )
        part = f"{words.dimension_name(item.dimension)} “{item.label or 'none'}”"
        yield Finding(
            "look",
            "weak slice",
            f"{_who(data, run, always=True)}{words.task_name(task)}: {words.name_of(name)} of {part} is {values}",
        )
