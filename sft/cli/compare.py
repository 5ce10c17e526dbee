"""`sft compare`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sft import ui
from sft.cli.options import as_record, json_option, metric_option, model_option, print_json
from sft.errors import EXIT_PROBLEMS, UsageError

if TYPE_CHECKING:
    from sft.evaluation import ComparedRuns, Comparison, GateResult, ScoreLine

_ARROWS = {True: "↑", False: "↓", None: " "}  # where better is
SHOWN = 3  # slices that are named without --slices
SETS = 12  # sets that are shown without --slices
RUNS_NAMED = 8  # where one is missing


@dataclass(frozen=True)
class CompareOptions:
    """The options of `sft compare`, as its help describes them."""

    runs: tuple[str, ...]
    data: Path | None
    gate: Path | None
    all_slices: bool
    out: Path | None
    metrics: tuple[str, ...]
    seed: int
    workers: int
    model_name: str
    as_json: bool


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="NAME=PREDICTIONS...")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="JSONL",
    help=(
        "The data file of the runs: gives sources, documents and image sizes [default: what results.json of the"
        " runs names, if unchanged]."
    ),
)
@click.option(
    "--gate", type=click.Path(path_type=Path), metavar="YAML", help="A file of limits; exit code 1 if one is broken."
)
@click.option("--slices", "all_slices", is_flag=True, help="Show every slice, not only the tasks.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write compare.json, report.html, report.md, metrics.csv and junit.xml there.",
)
@metric_option
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the intervals and tests.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, metavar="N", help="Processes [default: one per core]."
)
@model_option
@json_option
@as_record(CompareOptions)
def compare(chosen: CompareOptions) -> None:
    """Compare runs over the same samples: paired, with intervals, and every task of the base model looked at.

    PREDICTIONS is the predictions.jsonl of `sft eval`, or its folder; the first run is the base. Three runs or more
    that are called after their training steps (200, s200, "step 200", step-200, checkpoint-200; base is step 0) become
    a curve, and points for TensorBoard.

    \b
    Examples:
      sft compare base=runs/base tuned=runs/tuned
      sft compare base=a.jsonl tuned=b.jsonl --data test.jsonl --slices
      sft compare base=runs/base tuned=runs/tuned --gate eval/gates/ci.yaml -o comparison
      sft compare base=runs/base "step 200=runs/s200" "step 400=runs/s400" -o curve
    """
    given = [_run(text) for text in chosen.runs]
    conclude(given, chosen)


def conclude(given: list[tuple[str, Path]], chosen: CompareOptions) -> None:
    """Compare (name, predictions), show and write what was asked for; ends with 1 where an answer is missing or a gate
    is broken. `chosen.runs` is not looked at.
    """
    from msgspec import to_builtins

    from sft import models
    from sft.evaluation import compare_runs, judge, load_gates, require
    from sft.runtime import Runner

    require(chosen.metrics)
    gates = load_gates(chosen.gate) if chosen.gate else {}
    with ui.Follow("scoring", sum(_rows(path) for _, path in given)) as bar:
        compared = compare_runs(
            given,
            data=chosen.data,
            version=models.get(chosen.model_name),
            seed=chosen.seed,
            runner=Runner(workers=chosen.workers),
            progress=bar.update,
            extras=chosen.metrics,
        )
    comparison = compared.comparison
    outcomes = judge(gates, comparison)
    content: dict[str, Any] = to_builtins(comparison) | {"gates": to_builtins(outcomes)}
    if chosen.out:
        write(chosen.out, compared, content, outcomes, chosen.seed)
    if chosen.as_json:
        print_json(content)
    else:
        show(comparison, all_slices=chosen.all_slices)
    show_gates(outcomes, to_stderr=chosen.as_json)
    if not comparison.complete or not all(outcome.passed for outcome in outcomes):
        sys.exit(EXIT_PROBLEMS)


def write(out: Path, compared: ComparedRuns, content: dict[str, Any], outcomes: list[GateResult], seed: int) -> None:
    """compare.json and the reports; where runs are named after training steps, their curve for TensorBoard too."""
    from sft import report
    from sft.files import write_json
    from sft.report import gather
    from sft.workflows import TENSORBOARD, images_of, write_curves

    comparison = compared.comparison
    write_json(out / "compare.json", content)
    base = (
        Path(comparison.data["path"]).parent
        if comparison.data
        else images_of([Path(run.path) for run in comparison.runs])
    )
    data = gather(
        compared.runs,
        pairs=compared.pairs,
        labels=compared.labels,
        seed=seed,
    )
    title = (
        f"{comparison.runs[0].name} and {', '.join(run.name for run in comparison.runs[1:])}"
        if len(comparison.runs) > 1
        else comparison.runs[0].name
    )
    report.write_all(
        out,
        data,
        title=title,
        base=base,
        notes=[("note", note) for note in comparison.notes],
        gates=outcomes,
        conditions=comparison.conditions,
    )
    if any(data.steps):
        write_curves(out / TENSORBOARD, data, ui.say)
    ui.say(f"report: {out / 'report.html'}")


def _run(text: str) -> tuple[str, Path]:
    name, mark, path = text.partition("=")
    if not mark or not name or not path:
        raise UsageError(
            f"{text!r} is not a run", hint=f"give it a name: base={text}" if not mark else "write NAME=PREDICTIONS"
        )
    if not Path(path).exists():
        raise UsageError("there is no such run", where=path, hint=_runs_here(Path(path)))
    return name, Path(path)


def _runs_here(missing: Path) -> str:
    """What can be compared, where a run is missing."""
    from sft.evaluation import PREDICTIONS

    folders = sorted(path.parent for path in missing.parent.glob(f"*/{PREDICTIONS}"))
    if folders:
        return f"there are: {', '.join(map(str, folders[:RUNS_NAMED]))}"
    return f"`sft eval DATA --url URL --name {missing.name}` (make eval NAME={missing.name}) scores a running server"


def _rows(path: Path) -> int:
    from sft.evaluation import PREDICTIONS
    from sft.files import open_input

    with open_input(path / PREDICTIONS if path.is_dir() else path) as stream:
        return sum(1 for _ in stream)


def show(comparison: Comparison, *, all_slices: bool) -> None:
    """The comparison as tables: forgetting first, then every score of every task, and slices where asked for."""
    from sft.evaluation import HEADLINES, OPEN

    for run in comparison.runs:
        ui.out.print(
            f"{run.name}: {ui.counted(run.answered + run.lost, 'sample')} = {run.answered} answered + {run.lost} lost",
            markup=False,
        )
    if not comparison.complete:
        ui.out.print(
            f"INCOMPLETE: answers are missing; the numbers are over the {comparison.n} samples that every run answered",
            markup=False,
        )
    for note in comparison.notes:
        ui.out.print(f"caution: {note}", markup=False)
    if comparison.forgetting:
        columns = ["run", "task", "score", "n", "base", "now", "drop [95 %]", "p_holm", "verdict"]
        ui.table(
            "\nforgetting: every task of the base model",
            columns,
            [_forgotten(row) for row in comparison.forgetting],
        )
    elif comparison.tasks_without_data:
        ui.out.print(
            f"no data for: {', '.join(comparison.tasks_without_data)}",
            markup=False,
        )
    shown = [line for line in comparison.lines if all_slices or _worth_a_line(line, comparison)]
    _lines("\nscores", comparison, shown)
    slices = [line for line in comparison.lines if line.scope not in ("all", "task")]
    sets = [line for line in slices if line.scope == "source" and line.metric in HEADLINES]
    if len(comparison.runs) > 1 and len({line.name for line in sets}) <= SETS and not all_slices:
        _lines("\nby source (the sets of a suite): the scores that stand for a task", comparison, sets)
    if slices and not all_slices:
        moved = sorted(
            (delta.p_holm, line.scope, line.name, line.metric, delta.verdict, delta.run)
            for line in slices
            for delta in line.deltas
            if delta.verdict not in OPEN
        )
        worse = [
            f"{scope} {name} {metric} ({run})"
            for _, scope, name, metric, verdict, run in moved
            if verdict.startswith("worse")
        ]
        remarks = (
            f"; worse: {', '.join(worse[:SHOWN])}" + (f" and {len(worse) - SHOWN} more" if len(worse) > SHOWN else "")
            if worse
            else ""
        )
        ui.out.print(
            f"\n{len({(line.scope, line.name) for line in slices})} slices, {len(moved)} scores in them moved beyond"
            f" chance{remarks}; --slices shows all",
            markup=False,
        )


def _worth_a_line(line: ScoreLine, comparison: Comparison) -> bool:
    """Not slices, not what is 0 in every run, and health by task only where it moved or there is one task."""
    from sft.evaluation import HEALTH, OPEN

    if line.scope not in ("all", "task") or not any(score.value for score in line.scores):
        return False
    moved = any(delta.verdict not in OPEN for delta in line.deltas)
    return (
        line.scope == "all"
        or line.metric not in HEALTH
        or moved
        or not any(other.scope == "all" for other in comparison.lines)
    )


def _forgotten(row: Any) -> list[str]:
    from sft.report import wording

    if row.drop is None:
        return [
            row.run,
            row.task,
            row.metric,
            "0",
            "",
            "",
            "",
            "",
            "no data",
        ]
    return [
        row.run,
        row.task,
        row.metric,
        str(row.n),
        wording.value(row.metric, row.base),
        wording.value(row.metric, row.tuned),
        moved(row.metric, row.drop, row.drop_low, row.drop_high),
        _p(row.p_holm),
        row.verdict,
    ]


def _lines(title: str, comparison: Comparison, lines: list[ScoreLine]) -> None:
    if not lines:
        return
    runs = [run.name for run in comparison.runs]
    columns = ["part", "score", "n", *runs]
    for run in runs[1:]:
        columns += [f"{run} - {runs[0]}", "p_holm", "won/lost/tied", "verdict"]
    ui.table(
        title,
        columns,
        [_cells(line) for line in lines],
    )
    if any(line.one for line in lines):
        ui.out.print(
            "* a single sample carries more than half of the spread: look at it before the score", markup=False
        )
    if any(score.high is None for line in lines for score in line.scores):
        ui.out.print("? no upper limit can be estimated: one runaway says nothing of how many there are", markup=False)


def _cells(line: ScoreLine) -> list[str]:
    name = {"all": "all", "task": line.name}.get(
        line.scope,
        f"{line.scope}={line.name}",
    )
    cells = [
        name,
        f"{line.metric} {_ARROWS[line.higher_is_better]}{'*' if line.one else ''}",
        str(line.n),
    ]
    cells += [sure(line.metric, score.value, score.low, score.high) for score in line.scores]
    for delta in line.deltas:
        cells += [
            moved(line.metric, delta.value, delta.low, delta.high),
            _p(delta.p_holm),
            f"{delta.wins}/{delta.losses}/{delta.ties}",
            delta.verdict,
        ]
    return cells


def sure(score: str, value: float, low: float, high: float | None) -> str:
    """A score and its interval, written as in the reports: "12.3% [10.1%, ?]"."""
    from sft.report import wording

    upper = "?" if high is None else wording.value(score, high)
    return f"{wording.value(score, value)} [{wording.value(score, low)}, {upper}]"


def moved(score: str, value: float, low: float, high: float | None) -> str:
    """A change of a score, and its interval."""
    from sft.report import wording

    limits = ", ".join("?" if limit is None else wording.change(score, limit) for limit in (low, high))
    return f"{wording.change(score, value)} [{limits.replace(' pp', '')}]"


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def show_gates(outcomes: list[GateResult], *, to_stderr: bool) -> None:
    """One line per limit: pass or FAIL, the number and the reason."""
    for outcome in outcomes:
        (ui.err if to_stderr else ui.out).print(
            f"{'pass' if outcome.passed else 'FAIL'}  {outcome.gate} ({outcome.run}): {outcome.reason}", markup=False
        )
