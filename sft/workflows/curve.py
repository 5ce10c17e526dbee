"""The learning curve of a training run: each saved checkpoint is exported, served, scored on the same held-out data,
and compared.

    RUN/curve/
      step-200/          what `sft eval` leaves; its results.json says which weights and which data it is of
      report.html …      all steps side by side, with the curve; report.md, metrics.csv, junit.xml
      compare.json       as of `sft compare`
      curve.json         the headline scores per step, and which step to take
    RUN/tensorboard/eval the scores at their steps, beside the training curves

A step that is scored stays scored, also when the trainer removes its checkpoint: it keeps the newest ones. Killed and
started again, the same command goes on.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sft import models, report, serving, ui
from sft.errors import EngineError, SftError, UsageError
from sft.evaluation import PREDICTIONS, Comparison, compare_runs, require
from sft.files import bounded_lines, open_input, write_json
from sft.report import gather
from sft.runtime import Machine, Runner, environments
from sft.training import Run, load_file, run_export, run_folder
from sft.workflows import checkpoints, suites
from sft.workflows.checkpoint_choice import Choice, Course, choose, courses
from sft.workflows.checkpoints import CurveModel
from sft.workflows.evaluate import (
    TENSORBOARD,
    Listeners,
    ModelToScore,
    conditions_of,
    evaluate_model,
    images_of,
    write_curves,
)

WATCH_SECONDS = 10.0  # between two looks for new checkpoints


@dataclass(frozen=True)
class CurveRequest:
    """What `sft curve RUN` is told. data: None is the run's own held-out file; label: what other data is called, a part
    of a folder's name.

    base: score the base model too, if `sft run` has not. max_tokens: longest answer; None: as `sft run` asks. watch:
    until training has ended.
    metrics: scores beyond the usual ones, as of `sft eval`; those that a suite names come without being said.
    """

    run: Path
    data: Path | None = None
    suite: suites.ReadySuite | None = None
    label: str = ""
    checkpoints: str = "all"
    base: bool = False
    limit: int | None = None
    max_tokens: int | None = None
    device: str | None = None
    gpu_memory: float = 0.8
    out: Path | None = None
    seed: int = 1
    watch: bool = False
    metrics: tuple[str, ...] = ()

    @property
    def extras(self) -> frozenset[str]:
        """All scores beyond the usual ones."""
        return frozenset(self.metrics) | (self.suite.suite.extras if self.suite else frozenset())


@dataclass(frozen=True)
class CurveResult:
    """What is known at the end.

    comparison: all scores of all steps; courses: the headline scores, one per task; scored: how many steps just now.
    """

    out: Path
    comparison: Comparison
    courses: list[Course]
    choice: Choice
    scored: int = 0

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {**self.as_file(), "scored_now": self.scored}

    def as_file(self) -> dict[str, Any]:
        """The content of curve.json: the same however often the work was stopped on the way."""
        runs = [
            {"name": run.name, "predictions": run.path, "answered": run.answered, "lost": run.lost}
            for run in self.comparison.runs
        ]
        return {
            "report": str(self.out / "report.html"),
            "complete": self.comparison.complete,
            "runs": runs,
            "tasks": msgspec.to_builtins(self.courses),
            "choice": msgspec.to_builtins(self.choice),
        }


@dataclass(frozen=True)
class CurveWork:
    """An order with what the run folder says.

    context: of a server on a CPU, in tokens; conditions: what the scores of all steps have in common.
    """

    order: CurveRequest
    run: Run
    out: Path
    events: Path
    data: Path
    version: models.ModelVersion
    machine: Machine
    device: str
    context: int | None
    max_tokens: int | None
    conditions: dict[str, Any]

    def folder(self, point: CurveModel) -> Path:
        """Where the scores of a step go."""
        return self.out / f"step-{point.step}"

    def server_options(self) -> serving.ServerOptions:
        """How each of the models is served."""
        return serving.server_options(
            self.device,
            self.machine,
            port=serving.free_port(),
            max_model_len=self.context,
            gpu_memory=self.order.gpu_memory,
        )

    def points(self) -> list[CurveModel]:
        """The models that the order wants."""
        return checkpoints.chosen(
            checkpoints.find(self.run, self.out, self.conditions, base=self.order.base), self.order.checkpoints
        )


def run_curve(order: CurveRequest) -> CurveResult:
    """Score what is not scored yet, and compare.

    UsageError: no run, no such checkpoints, no data. EngineError: no server can run here, or one failed; what is scored
    stays.
    """
    fresh: set[int] = set()  # steps that were scored just now, some perhaps without all answers
    curve = None
    with Run(
        _place(order).out
    ).locked():  # before the rows of a limit are chosen: another `sft curve` may be asking for them
        work = prepare(order)
        Run(work.out).set_state("scoring")
        _sweep(work.out)
        while True:
            going_on = order.watch and checkpoints.training(
                work.run
            )  # before looking for checkpoints: none may come between
            todo = [point for point in work.points() if not point.scored and point.step not in fresh]
            fresh |= _score_all(work, todo)
            done = [
                (point.name, point.step, point.scored or work.folder(point))
                for point in work.points()
                if point.scored or point.step in fresh
            ]
            if done and (todo or not curve):
                notes = [
                    ("run", work.run.folder.name),
                    ("data", str(work.data)),
                ]
                title = f"{work.run.folder.name}: over training"
                curve = write(
                    work.out,
                    done,
                    work.data,
                    work.version,
                    page=CurvePage(title, work.events, notes),
                    seed=order.seed,
                    scored=len(fresh),
                    extras=order.extras,
                )
            if not going_on:
                break
            time.sleep(WATCH_SECONDS)
        Run(work.out).set_state("finished")
    if curve is None:
        raise UsageError(
            "this run has no complete checkpoint",
            where=str(work.run.folder),
            hint="train on; --watch waits for checkpoints while a run trains",
        )
    return curve


@dataclass(frozen=True)
class _ScorePaths:
    """Where the scores of an order go.

    longest_asked: the longest answer that `sft run` asks for, where its held-out rows are scored.
    """

    run: Run
    data: Path
    longest_asked: int | None
    label: str
    out: Path


def _place(order: CurveRequest) -> _ScorePaths:
    if order.watch and order.checkpoints != "all":
        raise UsageError("--watch goes with all checkpoints", hint="leave --checkpoints out")
    if order.limit and order.suite:
        raise UsageError("--limit is for a data file; a suite has its own limits", hint="`limit:` of its sets")
    require(order.extras)
    run = Run.open(order.run)
    data, step = (order.data, None) if order.data else checkpoints.held_out(run)
    label = "-".join(
        [
            *([order.label or data.stem] if order.data or order.limit else []),
            *([str(order.limit)] if order.limit else []),
        ]
    )
    label = f"data-{label}" if label.startswith("step-") else label  # whose scores must not land among those of a step
    return _ScorePaths(
        run,
        data,
        step,
        label,
        order.out or run.folder / run_folder.CURVE / label,
    )


def prepare(order: CurveRequest) -> CurveWork:
    """What is to be done, before anything is written but the rows of a limit.

    UsageError: no run, no data, or a score that cannot be had here.
    """
    place = _place(order)
    run = place.run
    data = place.data
    config = load_file(run.folder / "config.yaml")
    _, version, _ = run_export.trained_from(run)
    if order.limit:
        data = checkpoints.limited(
            data,
            place.out / "data.jsonl",
            order.limit,
            order.seed,
        )
    machine = Machine.look()
    device = order.device or ("gpu" if machine.gpus and config.get("device") != "cpu" else "cpu")
    length = config.get("max_seq_len")
    longest = length if type(length) is int else 2 * serving.ANSWER_TOKENS
    asked = order.max_tokens or (
        None if order.suite else place.longest_asked or min(longest // 2, serving.ANSWER_TOKENS)
    )
    events = run.folder / TENSORBOARD / place.label
    return CurveWork(
        order,
        run,
        place.out,
        events,
        data,
        version,
        machine,
        device,
        longest if device == "cpu" else None,
        asked,
        conditions_of(data, asked, order.suite),
    )


def _sweep(out: Path) -> None:
    """Remove the exported models that a kill has left: gigabytes each, perhaps of checkpoints that are gone and whose
    turn never comes again.
    """
    for pattern in ("step-*/model", "step-*/.model.*.tmp"):
        for left in out.glob(pattern):
            shutil.rmtree(left, ignore_errors=True)


def _score_all(work: CurveWork, todo: Sequence[CurveModel]) -> set[int]:
    """Score these, one after the other, each with a server of its own; gives the steps that are scored now."""
    if not todo:
        return set()
    if reason := environments.no_cpu_server() if work.device == "cpu" else "":
        raise EngineError(
            reason,
            hint=(
                "score the checkpoints on a machine that can serve them (docs/serving.md); `sft curve FOLDER` then"
                " draws the curve of their evaluations"
            ),
        )
    done = set()
    stages = ui.Stages()
    with ui.Follow("answers of all checkpoints", _rows(work.data) * len(todo)) as bar:
        for number, point in enumerate(todo, 1):
            with stages.stage(f"{point.name} ({number} of {len(todo)})"):
                results = score(work, point, bar)
                if results is None:
                    ui.say(f"the trainer has removed the checkpoint of {point.name} in the meantime; it is left out")
                    continue
                done.add(point.step)
            if results["stopped"]:
                missing = (
                    f"{point.name}: {results['counts']['lost']} of {results['counts']['in']} answers are missing:"
                    f" {results['stopped']}"
                )
                raise EngineError(missing, where=str(work.out), hint="nothing is lost: run the same command to resume")
    return done


def _rows(path: Path) -> int:
    with open_input(path) as stream:
        return sum(1 for _ in bounded_lines(stream))


def score(work: CurveWork, point: CurveModel, bar: ui.Follow) -> dict[str, Any] | None:
    """Export, serve, ask, stop; gives what results.json of the step holds. None: the trainer removed the checkpoint
    before it was exported.
    """
    folder = work.folder(point)
    weights = checkpoints.signature(
        point.weights
    )  # before they are read: what is written meanwhile is another checkpoint
    try:
        try:
            model = _model(work, point, folder / "model")
        except SftError:
            if point.kind == "checkpoint" and (not weights or checkpoints.signature(point.weights) != weights):
                return None
            raise
        return evaluate_model(
            ModelToScore(model, work.version, models.fingerprint(model), work.server_options),
            work.data,
            folder,
            Listeners(bar.one, ui.say),
            sampling={"max_tokens": work.max_tokens} if work.max_tokens else {},
            conditions=work.conditions | {"weights": weights},
            suite=work.order.suite,
        )
    finally:
        shutil.rmtree(
            folder / "model", ignore_errors=True
        )  # gigabytes that `sft export RUN --checkpoint STEP` makes again


def _model(work: CurveWork, point: CurveModel, own: Path) -> Path:
    """The directory to serve; that of a checkpoint is made in `own`."""
    if point.kind == "base":
        return run_export.servable(work.run)
    if point.kind == "final":
        return run_export.export_run(work.run, work.run.folder / "model")
    run_export.export_checkpoint(work.run, own, point.step)
    return own


@dataclass(frozen=True)
class CurvePage:
    """What the reports of a curve say beside the scores. events: folder of the points for TensorBoard; notes: (key,
    value).
    """

    title: str
    events: Path
    notes: Sequence[tuple[str, str]] = ()


def write(
    out: Path,
    runs: Sequence[tuple[str, int, Path]],
    data: Path | None,
    version: models.ModelVersion,
    *,
    page: CurvePage,
    seed: int = 1,
    scored: int = 0,
    extras: Collection[str] = (),
) -> CurveResult:
    """Compare the steps and write all reports into `out`, and the points for TensorBoard into `page.events`.

    runs: (name, step, folder with predictions.jsonl); extras: scores beyond the usual ones. Errors as of
    `compare_runs`.
    """
    with ui.Follow("scoring", sum(_rows(folder / PREDICTIONS) for _, _, folder in runs)) as bar:
        compared = compare_runs(
            [(name, folder) for name, _, folder in runs],
            data=data,
            version=version,
            seed=seed,
            runner=Runner(),
            progress=bar.update,
            extras=extras,
        )
    comparison = compared.comparison
    gathered = gather(
        compared.runs,
        pairs=compared.pairs,
        labels=compared.labels,
        steps={name: step for name, step, _ in runs},
        seed=seed,
    )
    courses_of = courses(gathered)
    curve = CurveResult(out, comparison, courses_of, choose(courses_of), scored)
    base = data.parent if data else images_of([Path(run.path) for run in comparison.runs])
    remarks = [
        *page.notes,
        *(("note", note) for note in comparison.notes),
        ("step to take", _said(curve.choice)),
    ]
    taken = (
        ""
        if curve.choice.step is None
        else f"; take {f'step {curve.choice.step}' if curve.choice.step else 'the base model'}"
    )
    report.write_all(
        out,
        gathered,
        title=page.title + taken,
        base=base,
        notes=remarks,
        conditions=comparison.conditions,
    )
    write_json(out / "curve.json", curve.as_file())
    write_curves(page.events, gathered, ui.say)
    write_json(
        out / "compare.json", msgspec.to_builtins(comparison) | {"gates": []}
    )  # last: its presence says that the points are there
    ui.say(f"report: {out / 'report.html'}")
    return curve


def _said(choice: Choice) -> str:
    return choice.why if choice.step is None else f"{choice.step or 'the base model'}: {choice.why}"


def curve_of(
    folder: Path,
    *,
    out: Path | None = None,
    version: models.ModelVersion,
    data: Path | None = None,
    seed: int = 1,
    extras: Collection[str] = (),
) -> CurveResult | None:
    """The curve of evaluations that are there, in folders named after their steps; None where `folder` holds none.
    Errors as of `write`.
    """
    require(extras)
    runs = checkpoints.evaluated(folder)
    if not runs:
        return None
    place = out or folder / run_folder.CURVE
    return write(
        place,
        runs,
        data,
        version,
        page=CurvePage(f"{folder.resolve().name}: over training", place / TENSORBOARD),
        seed=seed,
        extras=extras,
    )
