"""`sft curve`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sft import ui
from sft.cli.compare import moved, sure
from sft.cli.options import json_option, metric_option, model_option, print_json
from sft.errors import EXIT_PROBLEMS, UsageError

if TYPE_CHECKING:
    from sft.workflows import Course, CurveRequest, CurveResult

OF_RUNS = (
    "checkpoints",
    "base",
    "limit",
    "max_tokens",
    "device",
    "gpu_memory",
    "watch",
)  # options that say what is to be served
SUITES = Path("runs/eval/suites")  # where `sft eval` makes them ready


@click.command()
@click.argument("run_folder", type=click.Path(path_type=Path), metavar="RUN")
@click.option(
    "--data",
    "name",
    metavar="DATA|SUITE",
    help="What to score on, as for `sft eval` [default: the run's own held-out rows].",
)
@click.option(
    "--checkpoints",
    default="all",
    show_default=True,
    metavar="200,400|all|every:N",
    help="Steps; every:N counts back from the last.",
)
@click.option("--base", is_flag=True, help="Also score the base model, as step 0, if `sft run` has not done so.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Score only this many rows, the same ones at each step."
)
@click.option(
    "--max-tokens", type=click.IntRange(min=1), metavar="N", help="Longest answer in tokens [default: as in `sft run`]."
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "gpu"]),
    help="Device of the server [default: the one the run was trained on, if it is here].",
)
@click.option(
    "--gpu-memory",
    type=click.FloatRange(min=0, min_open=True, max=1),
    default=0.8,
    show_default=True,
    help="Share of the GPU's memory that vLLM takes.",
)
@metric_option
@click.option("--watch", is_flag=True, help="While the run trains: score each checkpoint as it comes, until the end.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of the rows of --limit, of intervals and tests."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the results [default: RUN/curve, and a folder in it for other data].",
)
@model_option
@json_option
def curve(run_folder: Path, name: str | None, as_json: bool, model_name: str, **options: Any) -> None:
    """Score every checkpoint of a run that is not scored yet, and say which one to take.

    Each checkpoint is exported, served and asked for the held-out rows; a step that was scored before is not scored
    again, and a run that was killed goes on. Writes report.html with the learning curve, report.md, metrics.csv,
    compare.json and curve.json, and TensorBoard scalars beside the training curves. Exit code 1: some answers are
    missing; 3: no server can run here, or one failed.

    RUN may also be a folder of evaluations that are named after their steps (base, s200, s400): then nothing is served.

    \b
    Examples:
      sft curve runs/bengali-paddleformers-3f9c01a2
      sft curve runs/bengali-paddleformers-3f9c01a2 --checkpoints every:2 --limit 100
      sft curve runs/bengali-paddleformers-3f9c01a2 --data tasks --base
      sft curve runs/eval
    """
    from sft import models
    from sft.workflows import CurveRequest, curve_of, evaluated, run_curve

    curve_result = None
    if not (run_folder / "config.yaml").is_file():
        if evaluated(run_folder):
            _refuse_of_runs(run_folder)
        curve_result = curve_of(
            run_folder,
            out=options["out"],
            version=models.get(model_name),
            data=Path(name) if name else None,
            seed=options["seed"],
            extras=options["metrics"],
        )
    curve_result = curve_result or run_curve(_ordered(CurveRequest(run_folder, **options), name))
    if as_json:
        print_json(curve_result.as_json())
    else:
        show(curve_result)
    if not curve_result.comparison.complete:
        sys.exit(EXIT_PROBLEMS)


def _refuse_of_runs(folder: Path) -> None:
    """UsageError for options that mean nothing where all is answered already."""
    context = click.get_current_context()
    given = [name for name in OF_RUNS if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        raise UsageError(
            f"--{given[0].replace('_', '-')} is for a run; this is a folder of evaluations, and nothing is served",
            where=str(folder),
            hint="leave it out, or give the folder of a run",
        )


def _ordered(order: CurveRequest, name: str | None) -> CurveRequest:
    """The order with the data or the suite that a name means."""
    from dataclasses import replace

    from sft.cli.evaluate import data_label, rows_to_score, suite_to_score

    if name is None:
        return order
    suite = suite_to_score(name, SUITES.parent / "curve")
    if suite:
        return replace(
            order,
            data=suite.data,
            suite=suite,
            label=suite.suite.name,
        )
    data = rows_to_score(name)
    return replace(
        order,
        data=data,
        label=data_label(data),
    )


def show(result: CurveResult) -> None:
    """A table per task, and which step to take."""
    for run in result.comparison.runs:
        if run.lost:
            ui.out.print(
                f"{run.name}: {run.lost} of {run.answered + run.lost} answers are lost; the scores are over the"
                f" {result.comparison.n} samples that every step answered",
                markup=False,
            )
    for note in result.comparison.notes:
        ui.out.print(f"note: {note}", markup=False)
    for course in result.courses:
        _course(course, result.choice.step)
    for course in result.courses:
        if course.worse_later:
            steps = ", ".join(map(str, course.worse_later))
            ui.out.print(
                f"{course.task}: worse than step {course.best} beyond chance: {steps}; over-fitting, or the learning"
                " rate was too high for too long",
                markup=False,
            )
    if result.choice.step == 0:
        ui.out.print(
            f"step to take: none, the base model ({result.choice.why})",
            markup=False,
        )
    else:
        step = "not decided" if result.choice.step is None else result.choice.step
        ui.out.print(f"step to take: {step} ({result.choice.why})", markup=False)
    ui.out.print(
        f"report: {result.out / 'report.html'}",
        markup=False,
    )


def _course(course: Course, chosen: int | None) -> None:
    rows = []
    for step in course.steps:
        marks = [
            *(["best value"] if step.step == course.best else []),
            *(["worse than the best"] if not step.could_be_best else []),
            *(["take this"] if step.step == chosen else []),
        ]
        rows.append(
            [
                str(step.step),
                sure(course.metric, step.value, step.low, step.high),
                moved(course.metric, step.change.value, step.change.low, step.change.high) if step.change else "",
                step.change.verdict if step.change else "",
                ", ".join(marks),
            ]
        )
    samples = ui.counted(course.n, "sample")
    if course.independent < course.n:
        samples += f" of {ui.counted(course.independent, 'document')}"
    title = f"\n{course.task}: {course.metric}, {'higher' if course.higher_is_better else 'lower'} is better; {samples}"
    ui.table(
        title,
        ["step", f"{course.metric} [95 %]", "change from the step before", "", ""],
        rows,
    )
