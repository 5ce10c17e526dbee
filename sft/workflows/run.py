"""The main job: validate → plan → train → export → serve → score before and after → report.

Each stage can be run again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sft import models, report, serving, ui
from sft.datasets import few_groups_warning, holdout
from sft.datasets import locate as datasets
from sft.errors import ProblemsFound, SftError
from sft.files import read_json, write_json
from sft.inference import predict
from sft.runtime import Machine, environments
from sft.serving import Parity, check_parity, keep_probabilities
from sft.training import (
    CURVE,
    HELD_OUT,
    Plan,
    Run,
    breakdown,
    export_run,
    machine,
    model_dir,
    preflight,
    servable,
    settings,
    trainer,
)
from sft.validate import Context, Survey, shared_images, survey_file
from sft.workflows.evaluate import TENSORBOARD, Listeners, ModelToScore, evaluate_model, side_by_side, write_curves

REUSED_SECONDS = 1.0  # a stage this short found its result ready
# longest answer asked of a tiny model, or twice the longest training sample; random weights never stop by themselves
REHEARSAL_TOKENS = 64


@dataclass
class RunOutcome:
    """What the job ends with."""

    run: Run
    stages: list[tuple[str, float]]
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    parity: Parity | None = None
    left_out: dict[str, str] = field(default_factory=dict)  # stage → reason
    model: Path | None = None
    report: Path | None = None


def first_line(settled: settings.ResolvedSettings) -> str:
    """What this is, before anything else is said."""
    if settled.rehearsal:
        return (
            f"REHEARSAL ({settled.reasons['device']}): a tiny PaddleOCR-VL with random weights learns on the CPU, with"
            " the real trainer, exporter and server. It shows that your data goes through; its scores say nothing"
            " about the real model."
        )
    return (
        f"Training PaddleOCR-VL {settled.config.model} with {settled.config.engine} on {settled.config.gpus} GPU"
        f" ({settled.reasons['device']})"
    )


def run_loop(
    request: settings.Request,
    data_name: str,
    test: Path | None,
    *,
    setup_seconds: float = 0.0,
    port: int | None = None,
    rescore: bool = False,
) -> RunOutcome:
    """Do everything; raises as soon as a stage finds that going on makes no sense. rescore: ask both models again."""
    stages = ui.Stages()
    hardware = Machine.look()
    preview = settings.resolve_settings(
        request, hardware, samples=settings.MANY
    )  # so that the first line comes before any work
    ui.say(first_line(preview))
    no_server = environments.no_cpu_server() if preview.rehearsal else ""
    stages.seconds.append(("set-up: workbench", setup_seconds))
    if preview.config.device == "gpu":  # better now than after hours of training
        trainer.runtime(preview, hardware)
        serving.server_options("gpu", hardware, port=port or serving.DEFAULT_PORT)
    with stages.stage("data"):
        data_set = datasets.find(data_name, say=ui.say)
        ui.say(f"{data_set.name}: {data_set.origin}")
        test = test or data_set.test
    with stages.stage("validate"):
        checked = check_file(data_set.train, preview)
        held_out = check_file(test, preview) if test else None
        train_data, test_data = _split(data_set.name, checked, held_out, request, preview)
    if (
        preview.config.device == "cpu"
    ):  # after the data was found good: an error there should not cost the minutes of an installation
        _set_up(stages, ["trainer"] if no_server else ["trainer", "server"])
    settled = settings.resolve_settings(request, hardware, train_data.count)
    with stages.stage("plan"):
        plan, base, lengths, run = plan_run(settled, request, train_data, data_set.name)
    with run.locked():
        job = PlannedRun(settled, hardware, run, train_data, test_data, base, plan, lengths, rescore)
        return _work(job, stages, no_server, port)


@dataclass(frozen=True)
class PlannedRun:
    """All that is settled before the training starts. base: the model that is trained."""

    settled: settings.ResolvedSettings
    hardware: Machine
    run: Run
    train_data: Survey
    test_data: Path
    base: Path
    plan: Plan
    lengths: preflight.Lengths
    rescore: bool = False  # what is answered already is asked again


def _work(job: PlannedRun, stages: ui.Stages, no_server: str, port: int | None) -> RunOutcome:
    """From training to the report, alone on the run. no_server: why nothing can be served here; "" where it can."""
    settled, run, test_data = job.settled, job.run, job.test_data
    answers = min(
        settled.config.max_seq_len // 2,
        max(REHEARSAL_TOKENS, 2 * job.lengths.longest) if settled.config.device == "cpu" else serving.ANSWER_TOKENS,
    )
    write_json(
        run.folder / HELD_OUT,
        {"path": str(test_data.resolve()), "max_tokens": answers},
    )
    with stages.stage("train"):
        train_run(settled, job.hardware, run, job.train_data, job.base, job.plan)
    outcome = RunOutcome(run, stages.seconds)
    with stages.stage("export"):
        outcome.model = export_run(run, run.folder / "model")
    if no_server:
        outcome.left_out = dict.fromkeys(("serve", "score before", "score after", "Transformers check"), no_server)
    else:
        _score(outcome, stages, job, answers, port)
    with stages.stage("report"):
        outcome.report = _report(outcome, test_data, settled)
    return outcome


def plan_run(
    settled: settings.ResolvedSettings, request: settings.Request, data: Survey, name: str
) -> tuple[Plan, Path, preflight.Lengths, Run]:
    """The plan, the base model, the checked lengths of the samples and the run folder; the sums and reasons
    are said.
    """
    plan = settings.plan_for(settled, data.count)
    ui.show_breakdown(breakdown(plan))
    ui.say(f"  engine               {settled.config.engine}: {settled.reasons['engine']}")
    base = model_dir(settled, request, data, say=ui.say)
    lengths = preflight.check_lengths(data, base, settled)
    ui.say(
        f"  longest sample       {lengths.longest} tokens (line {lengths.line}) of max_seq_len"
        f" {settled.config.max_seq_len}; mean {lengths.mean:.0f}"
    )
    note = preflight.packing_note(lengths, settled)
    if note:
        ui.say(f"  warning: {note}")
    return plan, base, lengths, settings.open_run(settled, request, data.fingerprint, base, name=name)


def train_only(request: settings.Request, name: str) -> Run:
    """`sft train`: validate, plan, train; returns the finished run."""
    hardware = Machine.look()
    data_set = datasets.find(name, say=ui.say)
    preview = settings.resolve_settings(request, hardware, settings.MANY)
    ui.say(first_line(preview))
    data = check_file(data_set.train, preview)
    settled = settings.resolve_settings(request, hardware, data.count)
    plan, base, _, run = plan_run(settled, request, data, data_set.name)
    with run.locked():
        train_run(settled, hardware, run, data, base, plan)
    return run


def _set_up(stages: ui.Stages, names: list[str]) -> None:
    """Make the environments that are missing, side by side."""
    missing = [name for name in names if not environments.is_ready(name)]
    if missing:
        ui.say(f"── set-up: {' and '.join(missing)}")
        stages.seconds.append((f"set-up: {' + '.join(missing)}", environments.ensure_all(missing, ui.say)))


def check_file(path: Path, settled: settings.ResolvedSettings) -> Survey:
    """Validate one file with a bar; errors stop the job, warnings are counted aloud."""
    size = path.stat().st_size if path.is_file() else 1
    with ui.Follow(f"checking {path.name}", size, unit=" bytes") as bar:
        report, known = survey_file(
            path,
            Context(path.parent, settled.version),
            progress=bar.update,
        )
    report.require_good()
    warned = ", ".join(f"{code} {count}" for (_, code), count in sorted(report.counts.items()))
    ui.say(f"  {path}: {ui.counted(report.rows, 'row')}, all good" + (f"; warnings: {warned}" if warned else ""))
    return known


def _split(
    name: str, train: Survey, test: Survey | None, request: settings.Request, settled: settings.ResolvedSettings
) -> tuple[Survey, Path]:
    """Training and held-out file; a leak between them is an error."""
    if test is None:
        folder = request.runs / "held-out" / f"{name}-{train.sha256[:8]}-{settled.config.seed}"
        held = holdout.hold_out(train, folder, seed=settled.config.seed)
        why = f" ({held.published} are of a published val or test split, meta.split)" if held.published else ""
        ui.say(
            f"  no test set given: {ui.counted(held.rows, 'row')} of {held.groups} pages, documents or images are"
            f" held out{why} (TEST=file.jsonl names one)"
        )
        if held.few:
            ui.say(f"  warning: {few_groups_warning(held.groups)}")
        return held.train, held.test
    shared = shared_images(train, test)
    if shared:
        raise ProblemsFound(
            f"[set.leak] images in both the training and the test file: {len(shared)}, the first in line"
            f" {shared[0][0]} and in line {shared[0][1]}",
            where=str(test.path),
            hint="remove them from one of the two; a score on trained images is meaningless",
        )
    return train, test.path


def train_run(
    settled: settings.ResolvedSettings, hardware: Machine, run: Run, data: Survey, base: Path, plan: Plan
) -> None:
    """Train, unless this very run has ended before."""
    if run.finished:
        ui.say(f"this run has finished before ({run.folder.name}); nothing to train")
        return
    prepared = trainer.prepare(
        run.folder,
        data.path,
        base,
        settled.version,
        settled.config,
        plan,
    )
    where = trainer.runtime(settled, hardware)
    images = trainer.write_run(prepared, run, settled.origins, data)
    if where.cuda and where.repo:
        trainer.build_image(
            where.cuda,
            where.repo,
            run.folder / "log" / "image.log",
            ui.say,
        )
    ui.say(f"run folder {run.folder}; log {run.log}")
    with ui.Follow("training", plan.max_steps) as bar:
        trainer.train(
            prepared,
            run,
            where,
            on_progress=bar.step,
            say=ui.say,
            images=images,
        )


def _score(outcome: RunOutcome, stages: ui.Stages, job: PlannedRun, answer_tokens: int, port: int | None) -> None:
    settled, data = job.settled, job.test_data
    count = sum(1 for _ in data.open("rb"))
    base = servable(outcome.run)
    probabilities = outcome.run.folder / "scores" / "after" / "probabilities.json"

    def keep(url: str) -> None:
        keep_probabilities(url, settled.version.served_name, data, answer_tokens, probabilities)

    def server() -> serving.ServerOptions:
        context = settled.config.max_seq_len if settled.config.device == "cpu" else None
        return serving.server_options(
            settled.config.device, job.hardware, port=port or serving.free_port(), max_model_len=context
        )

    for name, folder in (("before", base), ("after", outcome.model or base)):
        with stages.stage(f"serve and score {name}"), ui.Follow(f"answers {name}", count) as bar:
            kept = keep if name == "after" and settled.config.device == "cpu" else lambda _: None
            results = evaluate_model(
                ModelToScore(folder, settled.version, models.fingerprint(folder), server),
                data,
                outcome.run.folder / "scores" / name,
                Listeners(bar.one, ui.say, while_served=kept),
                sampling={"max_tokens": answer_tokens},
                elsewhere=None if job.rescore else _of_other_runs(outcome.run) if name == "before" else (),
            )
        setattr(outcome, name, results)
    if settled.config.device == "cpu":
        with stages.stage("Transformers check"):
            preds = predict.read_predictions(outcome.run.folder / "scores" / "after" / "predictions.jsonl")
            log = outcome.run.folder / "log" / "transformers.log"
            outcome.parity = check_parity(
                outcome.model or base,
                data,
                preds,
                server_python=environments.ensure("server").python,
                max_tokens=answer_tokens,
                log=log,
                probabilities=probabilities if probabilities.is_file() else None,
            )


def _of_other_runs(run: Run) -> list[Path]:
    """Where other runs have the scores of their base models, the newest first."""
    folders = (path for path in run.folder.parent.glob("*/scores/before") if path.parents[1] != run.folder)
    return sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)


def _report(outcome: RunOutcome, data: Path, settled: settings.ResolvedSettings) -> Path:
    """The reports, results.json and the scores' points beside the training curves, in the run folder."""
    scores = outcome.run.folder / "scores"
    runs = [
        (name, predict.read_predictions(scores / name / "predictions.jsonl"))
        for name in ("before", "after")
        if getattr(outcome, name)
    ]
    notes = [
        ("data", str(data)),
        ("model", f"{settled.config.model} ({settled.version.served_name})"),
        ("engine", settled.config.engine),
        ("run", outcome.run.folder.name),
    ]
    if settled.rehearsal:
        notes.insert(0, ("rehearsal", "tiny model, random weights, CPU: the scores say nothing about the real model"))
    if outcome.parity:
        notes.append(("Transformers", f"{outcome.parity} answers equal to vLLM's"))
    notes += [(f"left out: {stage}", why) for stage, why in outcome.left_out.items()]
    outcome.stages = _with_earlier(outcome)
    path = outcome.run.folder / "report.html"
    if runs:
        steps = {"before": 0, "after": int(outcome.run.manifest()["max_steps"])}
        data_of_report = side_by_side(runs, data, steps=steps)
        report.write_all(
            outcome.run.folder,
            data_of_report,
            title=f"{outcome.run.folder.name}: before and after",
            base=data.parent,
            notes=notes,
            timings=outcome.stages,
        )
        if not (outcome.run.folder / CURVE / "compare.json").is_file():  # that of `sft curve` has these points and more
            write_curves(
                outcome.run.folder / TENSORBOARD,
                data_of_report,
                ui.say,
            )
    write_json(outcome.run.folder / "results.json", summary(outcome))
    return path if runs else outcome.run.folder / "results.json"


def _with_earlier(outcome: RunOutcome) -> list[tuple[str, float]]:
    """The seconds of all stages; where this time a result was found ready, the seconds of when it was made."""
    try:
        earlier = read_json(outcome.run.folder / "results.json")["seconds"]
    except (SftError, KeyError, TypeError):
        return outcome.stages
    return [
        (f"{name} (earlier)", earlier[name]) if seconds < REUSED_SECONDS < earlier.get(name, 0) else (name, seconds)
        for name, seconds in outcome.stages
    ]


def summary(outcome: RunOutcome) -> dict[str, Any]:
    """The job's end as data."""
    return {
        "run": str(outcome.run.folder),
        "model": str(outcome.model) if outcome.model else None,
        "report": str(outcome.report) if outcome.report else None,
        "before": outcome.before,
        "after": outcome.after,
        "transformers": asdict(outcome.parity) if outcome.parity else None,
        "left_out": outcome.left_out,
        "training": outcome.run.manifest(),
        "seconds": {name.removesuffix(" (earlier)"): round(seconds, 1) for name, seconds in outcome.stages},
        "machine": machine(),
    }
