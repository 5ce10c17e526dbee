"""Which checkpoint to take: the earliest that cannot be told from the best, and whether training went on for too long.

The best value of several is partly luck, so the best is held against every other step, paired sample by sample, with p
corrected for looking at all of them (Holm): what is not worse beyond chance then could be the best ("multiple
comparisons with the best", Hsu 1996). Of these, the earliest has been trained least; the rule of one standard error
(Breiman et al. 1984) chooses in the same spirit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sft.evaluation import ALPHA, FEW, HEADLINE, SCORES, EstimateTable, Measured, corrected, measure
from sft.report import ReportData, ReportSample


@dataclass(frozen=True)
class PairedDifference:
    """A paired difference with its interval; verdict: "better" or "worse" beyond chance, else ""."""

    value: float
    low: float
    high: float
    p: float
    verdict: str


@dataclass(frozen=True)
class Step:
    """One step's score with its interval (`high` None: unknown), its change from the step before, and whether it could
    be the best.
    """

    step: int
    value: float
    low: float
    high: float | None
    change: PairedDifference | None
    could_be_best: bool


@dataclass(frozen=True)
class Course:
    """One task's headline score over the steps, over the n samples that all of them answered, of which `independent`.

    best: the step of the best value; earliest: the first that could be the best; worse_later: steps after the best that
    are worse beyond chance, as over-fitting makes them. few: too few independent samples to tell steps apart.
    """

    task: str
    metric: str
    higher_is_better: bool
    n: int
    independent: int
    few: bool
    steps: tuple[Step, ...]
    best: int
    earliest: int
    worse_later: tuple[int, ...]


@dataclass(frozen=True)
class Choice:
    """The step to take, None where the tasks or too few samples do not agree on one; `why` in a sentence."""

    step: int | None
    why: str


def courses(data: ReportData) -> list[Course]:
    """The course of every task; runs without a step are left out."""
    order = [run for _, run in sorted((step, run) for run, step in enumerate(data.steps) if step is not None)]
    of_tasks = []
    for task in data.tasks if order else ():
        samples = [
            sample
            for sample in data.samples
            if sample.task == task and all(answer and answer.scores for answer in sample.answers)
        ]
        if samples:
            of_tasks.append(_course(data, task, samples, order))
    return of_tasks


def _course(data: ReportData, task: str, samples: Sequence[ReportSample], order: Sequence[int]) -> Course:
    metric = HEADLINE[task]
    up = bool(SCORES[metric].higher_is_better)
    scored = [
        [{metric: answer.scores[metric]} for sample in samples if (answer := sample.answers[run]) and answer.scores]
        for run in order
    ]
    documents = [sample.labels.get("group") or f"\0{place}" for place, sample in enumerate(samples)]
    groups = documents if len(set(documents)) < len(documents) else None

    def held(*places: int) -> Measured:
        """The steps at these places, all against the first."""
        return measure(
            EstimateTable([scored[place] for place in places], groups, data.seed),
            range(len(samples)),
        )[0]

    values = held(*range(len(order))).scores
    best = max(
        range(len(order)),
        key=lambda place: (values[place].value if up else -values[place].value, -place),
    )
    others = [place for place in range(len(order)) if place != best]
    against = held(best, *others)
    worse = {
        place
        for place, delta, p in zip(others, against.deltas, corrected([against])[0], strict=True)
        if p < ALPHA and (delta.high < 0 if up else delta.low > 0)
    }
    numbers = [data.steps[run] or 0 for run in order]
    changes = [
        None,
        *(_change(held(place - 1, place), up=up) for place in range(1, len(order))),
    ]
    steps = tuple(
        Step(
            number,
            value.value,
            value.low,
            value.high if value.high < float("inf") else None,
            change,
            place not in worse,
        )
        for place, (number, value, change) in enumerate(zip(numbers, values, changes, strict=True))
    )
    earliest = min(place for place in range(len(order)) if place not in worse)
    later = tuple(numbers[place] for place in sorted(worse) if place > best)
    return Course(
        task, metric, up, len(samples), values[0].n, values[0].n < FEW, steps, numbers[best], numbers[earliest], later
    )


def _change(item: Measured, *, up: bool) -> PairedDifference:
    """The second run against the first."""
    delta = item.deltas[0]
    p = item.ps[0]
    beyond = p < ALPHA and (delta.low > 0 or delta.high < 0)
    return PairedDifference(
        delta.value, delta.low, delta.high, p, ("better" if (delta.low > 0) == up else "worse") if beyond else ""
    )


def choose(courses: Sequence[Course]) -> Choice:
    """One step for all tasks: the earliest that could be the best in each of them. Tasks with too few samples have no
    say, unless there are no others.
    """
    sure = [course for course in courses if not course.few]
    if not sure:
        least = min((course.independent for course in courses), default=0)
        best = {course.best for course in courses}
        why = f"too few samples ({least}, fewer than {FEW}) to tell the steps apart"
        return Choice(best.pop(), f"the best value; {why}") if len(best) == 1 else Choice(None, why)
    for step in (step.step for step in sure[0].steps):
        if all(mine.could_be_best for course in sure for mine in course.steps if mine.step == step):
            return Choice(step, _why(step, sure))
    best_of = ", ".join(f"{course.task}: {course.earliest}" for course in sure)
    return Choice(None, f"no step is among the best in every task; the earliest of each: {best_of}")


def _why(step: int, sure: Sequence[Course]) -> str:
    where = "" if len(sure) == 1 else " in any task"
    if all(course.best == step for course in sure):
        return "the best value, and no earlier step is as good within the uncertainty"
    return f"the earliest step that is not worse than the best{where}, within the uncertainty"
