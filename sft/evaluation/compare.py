"""Two or more runs over the same samples: which is better, by how much, how sure, and what was forgotten.

Samples are paired by their number, image and reference. Scores are over the samples that every run has an answer to;
a lost answer is no zero, it makes the comparison incomplete. The first run is the base that all others are held
against.

Every line has the scores of all runs with 95 % intervals, and for each further run the paired difference with its
interval, the p of a sign-flip test, and p_holm, which takes into account how many lines of its scope were looked at.
The verdict:

    better, worse         p_holm below 0.05 and the interval on one side of 0 (changed: of a score that is neither, such
    as a length) better, few samples   the same with fewer than 50 independent samples: a hint, since such intervals
    miss too often (worse, changed: alike) too few samples       neither, and fewer than 50 independent samples no
    evidence           neither; which is not "equal": the interval says what can still be true

Without `data`, the file that results.json beside the predictions names is read, if it is still what it was: its rows
know sources and documents.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from sft.errors import ProblemsFound, UsageError
from sft.evaluation import conditions, estimates
from sft.evaluation.conditions import Condition
from sft.evaluation.estimates import EstimateTable
from sft.evaluation.scores import HEADLINE, SCORES, Pair, SampleScore, pairs_of
from sft.evaluation.slices import DataRow, Facts, facts, members, read_rows
from sft.files import open_input, sha256
from sft.inference import read_predictions
from sft.metrics import text
from sft.models import MODELS, ModelVersion
from sft.runtime import Runner
from sft.types import Prediction

MAX_LINE = 1 << 26  # bytes


def read(path: Path) -> list[Prediction]:
    """The predictions of a file. ProblemsFound says how a file of bare answers becomes one."""
    try:
        return read_predictions(path)
    except ProblemsFound as fault:
        with open_input(path) as stream:
            line = stream.readline(MAX_LINE)
        with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            row = msgspec.json.decode(line)
            if isinstance(row, dict) and {"id", "pred"} <= row.keys() and not {"ref", "prompt", "image"} <= row.keys():
                hint = (
                    "answers without their references are scored first, and the folder of that compared:\npython"
                    f" eval/evaluate.py --pred {path} --data THEIR.jsonl -o scores/{path.stem}"
                )
                raise ProblemsFound(
                    "these predictions have no reference beside them", where=str(path), hint=hint
                ) from fault
        raise


def by_number(path: Path, preds: Sequence[Prediction]) -> dict[int, Prediction]:
    """Number → prediction; ProblemsFound if an id is a duplicate."""
    preds_by_number: dict[int, Prediction] = {}
    for line, pred in enumerate(preds, 1):
        if pred.id in preds_by_number:
            raise ProblemsFound(
                f"sample {pred.id} has two answers",
                where=f"{path}:{line}",
                hint="one line per sample; was one file appended to another?",
            )
        preds_by_number[pred.id] = pred
    return preds_by_number


def paired(
    names: Sequence[str], table: Sequence[dict[int, Prediction]], rows: dict[int, DataRow], data: Path | None
) -> list[int]:
    """The numbers of all samples; UsageError where one number stands for different samples."""
    first: dict[int, tuple[str, str, str, str]] = {}
    for number, row in rows.items():
        if any(text.tag == "no_mask" for text in row.sample.text_info):
            first[number] = (str(data), row.sample.image_info[0].image_url, row.sample.ref.strip(), row.sample.prompt)
    for name, answers in zip(names, table, strict=True):
        for number, pred in answers.items():
            if rows and number not in first:
                raise UsageError(
                    f"{name} has an answer to sample {number}, and {data} has no such sample",
                    hint="give the file that the runs were asked about",
                )
            other, image, ref, prompt = first.setdefault(
                number, (name, pred.image, pred.ref.strip(), pred.prompt.strip())
            )
            for what, here, there in (
                ("image", pred.image, image),
                ("reference", pred.ref.strip(), ref),
                ("prompt", pred.prompt.strip(), prompt),
            ):
                if here != there:
                    shown = f"its {what} is {here[:60]!r} in {name} and {there[:60]!r} in {other}"
                    raise UsageError(
                        f"the runs are over different data: sample {number}: {shown}",
                        hint="predict all runs over one file",
                    )
    return sorted(first)


FORMAT = "sft.compare/1"
PREDICTIONS = "predictions.jsonl"
Verdict = Literal[
    "better",
    "worse",
    "changed",
    "better, few samples",
    "worse, few samples",
    "changed, few samples",
    "too few samples",
    "no evidence",
]
OPEN = ("too few samples", "no evidence")  # verdicts that say of no change


@dataclass(frozen=True)
class RunInfo:
    """One run: its name, file and hash; samples = answered + lost, `lost` those without an answer or without a row."""

    name: str
    path: str
    sha256: str
    answered: int
    lost: int


@dataclass(frozen=True)
class Score:
    """One run's score with the limits of its interval; `high` null where nothing is known of it."""

    run: str
    value: float
    low: float
    high: float | None


@dataclass(frozen=True)
class Delta:
    """A run against the base.

    `value`: run - base, whatever is better; wins: samples on which the run scores better than the base.
    """

    run: str
    value: float
    low: float
    high: float
    p: float
    p_holm: float
    wins: int
    losses: int
    ties: int
    verdict: Verdict


@dataclass(frozen=True)
class ScoreLine:
    """One score over one part of the samples.

    scope: "all" (of scores that several tasks have), "task" or a dimension of slices ("script"); name: which task or
    slice, "" for all. n samples, of which `independent` (documents, where rows name them). few, one: see
    `sft.evaluation.statistics.Interval`, of the scores or of a difference.
    """

    scope: str
    name: str
    metric: str
    higher_is_better: bool | None
    n: int
    independent: int
    few: bool
    one: bool
    scores: tuple[Score, ...]
    deltas: tuple[Delta, ...]


@dataclass(frozen=True)
class Forgetting:
    """A task that the base model knows, in one further run: its headline score before and after. All None but the
    names: no data.

    drop: how much worse it got, in the score's own unit; negative where better. drop_high: the most that the interval
    allows.
    """

    run: str
    task: str
    metric: str
    n: int
    base: float | None = None
    tuned: float | None = None
    drop: float | None = None
    drop_low: float | None = None
    drop_high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict: Verdict | Literal["no data"] = "no data"


@dataclass(frozen=True)
class Comparison:
    """The content of compare.json. complete: every run has an answer to every sample. n: samples that all have answers
    to.

    notes: what else than training may make the runs differ; conditions: what their results.json tell, side by side.
    """

    complete: bool
    samples: int
    n: int
    runs: tuple[RunInfo, ...]
    lines: tuple[ScoreLine, ...]
    forgetting: tuple[Forgetting, ...]
    tasks_without_data: tuple[str, ...]
    notes: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()
    data: dict[str, str] | None = None
    metrics: dict[str, SampleScore] = field(default_factory=lambda: dict(SCORES))
    settings: dict[str, str | float] = field(default_factory=dict)
    format: str = FORMAT

    def line(self, scope: str, name: str, metric: str) -> ScoreLine | None:
        """The one with these names."""
        return next(
            (line for line in self.lines if (line.scope, line.name, line.metric) == (scope, name, metric)), None
        )


@dataclass(frozen=True)
class ComparedRuns:
    """A comparison and what it was made from, so that a report need not read or score anything again.

    runs: (name, predictions); pairs: of each; labels: sample → dimension → slice, of those that all have answers to.
    """

    comparison: Comparison
    runs: tuple[tuple[str, list[Prediction]], ...]
    pairs: tuple[list[dict[str, Pair] | None], ...]
    labels: dict[int, dict[str, str]]


def compare(runs: Sequence[tuple[str, Path]], **options: Any) -> Comparison:
    """The comparison alone; all as of `compare_runs`."""
    return compare_runs(runs, **options).comparison


def compare_runs(
    runs: Sequence[tuple[str, Path]],
    *,
    data: Path | None = None,
    version: ModelVersion = MODELS["0.9B"],
    seed: int = 1,
    runner: Runner | None = None,
    progress: Callable[[int], object] = lambda _: None,
    extras: Collection[str] = (),
) -> ComparedRuns:
    """Compare runs: (name, predictions.jsonl or the folder that holds it), the base first; one run alone gives its
    scores.

    data: the file that was asked about, for sources, documents and image sizes; what the runs themselves name unless
    given. version: whose tasks must not be forgotten. progress hears how many answers are scored; extras: as of
    `pairs_of`, beside those that the runs have. UsageError: no runs, two of one name, runs over different data.
    ProblemsFound: a file that holds no predictions, nothing that all have answers to.
    """
    names = [name for name, _ in runs]
    given = data
    if not runs or len(set(names)) < len(names):
        raise UsageError(
            "a comparison needs runs with different names",
            hint="sft compare base=runs/base/predictions.jsonl tuned=runs/tuned/predictions.jsonl",
        )
    paths = [path / PREDICTIONS if path.is_dir() else path for _, path in runs]
    preds = [read(path) for path in paths]
    conditions_of_runs = [conditions.beside(path) for path in paths]
    data, stale = (data, "") if data else conditions.data_of(conditions_of_runs)
    named = bool(data) and not given
    rows = read_rows(data) if data else {}
    if named:  # a run over part of a file has lost nothing of the rest
        asked = {pred.id for run_preds in preds for pred in run_preds}
        rows = {number: row for number, row in rows.items() if number in asked}
    table = [by_number(path, run_preds) for path, run_preds in zip(paths, preds, strict=True)]
    numbers = paired(names, table, rows, data)
    common = [number for number in numbers if all(number in answers and not answers[number].error for answers in table)]
    infos = tuple(_info(name, path, answers, numbers) for name, path, answers in zip(names, paths, table, strict=True))
    if not common:
        raise ProblemsFound(
            "no sample has an answer in every run",
            hint="see why answers were lost: the field `error` of the predictions",
        )
    known = _facts(
        [table[0][number] for number in common],
        rows,
        data,
    )
    rest = iter(
        pairs_of(
            [pred for run_preds in preds for pred in run_preds],
            runner,
            extras={*extras, *conditions.extras_of(conditions_of_runs)},
            progress=progress,
        )
    )
    pairs = tuple([next(rest) for _ in run_preds] for run_preds in preds)
    scored_of = [
        {pred.id: pair for pred, pair in zip(run_preds, mine, strict=True)}
        for run_preds, mine in zip(preds, pairs, strict=True)
    ]
    scored = [[mine[number] or {} for number in common] for mine in scored_of]
    groups = (
        [fact.group or f"\0{place}" for place, fact in enumerate(known)] if any(fact.group for fact in known) else None
    )
    lines = _lines(names, EstimateTable(scored, groups, seed), known)
    forgotten = _forgetting(lines, names[1:], version)
    run_preds = Comparison(
        complete=not any(info.lost for info in infos),
        samples=len(numbers),
        n=len(common),
        runs=infos,
        lines=lines,
        forgetting=forgotten,
        tasks_without_data=tuple(
            task.value
            for task in version.prompts
            if not any(line.scope == "task" and line.name == task.value for line in lines)
        ),
        notes=(
            *conditions.rehearsal_notes(conditions_of_runs),
            *([stale] if stale else []),
            *conditions.differences(names, conditions_of_runs, [info.sha256 for info in infos]),
        ),
        conditions=conditions.table(conditions_of_runs),
        data={"path": str(data), "sha256": sha256(data)} if data else None,
        settings=estimates.settings(seed) | {"normalisation": text.RAW},
    )
    return ComparedRuns(
        run_preds,
        tuple(zip(names, preds, strict=True)),
        pairs,
        {number: fact.slices for number, fact in zip(common, known, strict=True)},
    )


def _info(name: str, path: Path, answers: dict[int, Prediction], numbers: Sequence[int]) -> RunInfo:
    answered = sum(not pred.error for pred in answers.values())
    return RunInfo(
        name,
        str(path),
        sha256(path),
        answered,
        len(numbers) - answered,
    )


def _facts(preds: Sequence[Prediction], rows: dict[int, DataRow], data: Path | None) -> list[Facts]:
    base = data.parent if data else None
    return [
        facts(prompt=pred.prompt, ref=pred.ref, image=pred.image, row=rows.get(pred.id), base=base) for pred in preds
    ]


def _lines(names: Sequence[str], table: EstimateTable, known: Sequence[Facts]) -> tuple[ScoreLine, ...]:
    parts: dict[tuple[str, str], list[int]] = {}
    for place, fact in enumerate(known):
        parts.setdefault(("task", fact.task), []).append(place)
    everything = {("all", ""): list(range(len(known)))} if len(parts) > 1 else {}
    sliced: dict[str, dict[tuple[str, str], list[int]]] = {}
    for key, places in members(known).items():
        sliced.setdefault(key[0], {})[key] = places
    lines: list[ScoreLine] = []
    for part in (everything, parts, *sliced.values()):
        score_lines = [
            (scope, name, item) for (scope, name), places in part.items() for item in estimates.measure(table, places)
        ]
        if part is everything:  # what one task alone has stands there
            score_lines = [
                item
                for item in score_lines
                if sum(bool(table.there[item[2].metric][places[0]]) for places in parts.values()) > 1
            ]
        corrected = estimates.corrected([item for _, _, item in score_lines])
        lines += [
            _line(names, scope, name, item, ps) for (scope, name, item), ps in zip(score_lines, corrected, strict=True)
        ]
    return tuple(lines)


def _line(names: Sequence[str], scope: str, name: str, item: estimates.Measured, ps: Sequence[float]) -> ScoreLine:
    higher = SCORES[item.metric].higher_is_better
    scores = tuple(
        Score(run, x.value, x.low, x.high if x.high < float("inf") else None)
        for run, x in zip(names, item.scores, strict=True)
    )
    deltas = tuple(
        Delta(run, x.value, x.low, x.high, p, p_holm, *won, verdict_of(x.low, x.high, p_holm, few=x.few, higher=higher))
        for run, x, p, p_holm, won in zip(names[1:], item.deltas, item.ps, ps, item.won, strict=True)
    )
    all_of = (*item.scores, *item.deltas)
    return ScoreLine(
        scope,
        name,
        item.metric,
        higher,
        item.n,
        all_of[0].n,
        any(x.few for x in all_of),
        any(x.one for x in all_of),
        scores,
        deltas,
    )


def verdict_of(low: float, high: float, p_holm: float, *, few: bool, higher: bool | None) -> Verdict:
    """What is said of a difference; the words are explained above."""
    if p_holm >= estimates.ALPHA or low <= 0 <= high:
        return "too few samples" if few else "no evidence"
    if higher is None:
        return "changed, few samples" if few else "changed"
    if (low > 0) == higher:
        return "better, few samples" if few else "better"
    return "worse, few samples" if few else "worse"


def _forgetting(lines: Sequence[ScoreLine], runs: Sequence[str], version: ModelVersion) -> tuple[Forgetting, ...]:
    """Every task of the base model, and every other one that has data, in every further run."""
    tasks = dict.fromkeys(
        [task.value for task in version.prompts] + [line.name for line in lines if line.scope == "task"]
    )
    forgotten = []
    for column, run in enumerate(runs):
        for task in tasks:
            line = next(
                (line for line in lines if (line.scope, line.name, line.metric) == ("task", task, HEADLINE[task])), None
            )
            if line is None:
                forgotten.append(Forgetting(run, task, HEADLINE[task], 0))
                continue
            delta = line.deltas[column]
            drop, low, high = (
                (0.0 - delta.value, 0.0 - delta.high, 0.0 - delta.low)
                if line.higher_is_better
                else (delta.value, delta.low, delta.high)
            )  # no -0.0
            forgotten.append(
                Forgetting(
                    run,
                    task,
                    line.metric,
                    line.n,
                    line.scores[0].value,
                    line.scores[column + 1].value,
                    drop,
                    low,
                    high,
                    delta.p,
                    delta.p_holm,
                    delta.verdict,
                )
            )
    return tuple(forgotten)
