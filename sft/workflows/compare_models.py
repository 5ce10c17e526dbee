"""Models served one after the other on this machine, asked the same rows, for `sft compare` to pair.

    runs/compare-models/mine-3f9c01/
      base/, tuned/     what `sft eval` leaves, one folder a model
      report.html …     of `sft compare`

The folder's name has a hash of the models and the rows: the same command finds the same folder, and what was answered
before, here or for another run or comparison, is not asked again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sft import models, serving, ui
from sft.errors import EngineError, UsageError
from sft.files import bounded_lines, open_input
from sft.runtime import Machine, environments
from sft.training import HELD_OUT, RUNS, Run, run_export
from sft.workflows import checkpoints, suites
from sft.workflows.evaluate import Listeners, ModelToScore, conditions_of, evaluate_model, run_of

COMPARED = Path("compare-models")  # within the folder of runs
BASE = "base"


@dataclass(frozen=True)
class NamedModel:
    """A model of a comparison: what it is called there, and its directory as a server takes it."""

    name: str
    directory: Path
    version: models.ModelVersion
    fingerprint: str


@dataclass(frozen=True)
class RowsToAsk:
    """What all models are asked. label: a part of a folder's name; max_tokens: longest answer, None: as the server's
    context allows.
    """

    data: Path
    label: str
    max_tokens: int | None = None
    suite: suites.ReadySuite | None = None


@dataclass(frozen=True)
class ComparePlan:
    """How the models are served, and where the answers go. fresh: what was answered before is asked again."""

    out: Path | None = None
    device: str | None = None
    gpu_memory: float = 0.8
    fresh: bool = False


@dataclass(frozen=True)
class ScoredModels:
    """(name, folder of its evaluation) of each model, in the order given, in `out`."""

    out: Path
    runs: list[tuple[str, Path]]
    version: models.ModelVersion  # of the first one


def find_models(given: Sequence[tuple[str, str]], folder: Path) -> list[NamedModel]:
    """The models that (name, MODEL) mean: a run, a model directory, or a released version, which is fetched into
    `folder` if need be. One alone is compared with what it was trained from.

    UsageError: no such model, or no base is known of one that is alone.
    """
    named_models = [_find(name, model, folder) for name, model in given]
    if len(named_models) > 1:
        return named_models
    of = run_of(named_models[0].directory)
    if of is None:
        raise UsageError(
            "a comparison needs two models, and the run that this one comes from is not here",
            where=str(named_models[0].directory),
            hint=f"sft compare-models {BASE}=0.9B {named_models[0].name}={given[0][1]} --data DATA",
        )
    run = Run.open(of[0])
    _, version, _ = run_export.trained_from(run)
    name = BASE if named_models[0].name != BASE else "before"
    return [_named(name, run_export.servable(run), version), *named_models]


def _find(name: str, model: str, folder: Path) -> NamedModel:
    path = Path(model)
    if (path / "config.yaml").is_file():
        run = Run.open(path)
        if not run.finished:
            raise UsageError(
                "this run has not finished",
                where=model,
                hint=f"`sft export {model} -o DIR` exports its newest checkpoint; compare that directory",
            )
        _, version, _ = run_export.trained_from(run)
        return _named(name, run_export.export_run(run, run.folder / "model"), version)
    if path.is_dir():
        version_of = models.identify(path) or serving.version_of(path)  # which says what is missing
        return _servable(name, path, version_of, folder)
    known = models.find(model)
    if known is None:
        raise UsageError("there is no such model", where=f"{name}={model}", hint=_models_here(folder))
    path = folder / known.hub_id.rpartition("/")[2]
    ui.say(f"{known.hub_id} in {path}, downloaded if it is missing")
    return _servable(name, models.present_or_fetch(known, path), known, folder)


def _models_here(folder: Path) -> str:
    runs = sorted(
        (path.parent for path in RUNS.glob("*/manifest.json")), key=lambda path: path.stat().st_mtime, reverse=True
    )
    there = [*runs[:5], *sorted(path.parent for path in folder.glob("*/config.json"))[:5]]
    return f"a run, a model directory, or {', '.join(models.MODELS)}" + (
        f"; there are: {', '.join(map(str, there))}" if there else ""
    )


def _servable(name: str, path: Path, version: models.ModelVersion, folder: Path) -> NamedModel:
    copy = folder / "served" / path.resolve().name
    ready = run_export.servable_model(path, version, copy, pixels=models.pixel_limits(path))
    return _named(name, ready, version)


def _named(name: str, directory: Path, version: models.ModelVersion) -> NamedModel:
    models.verify_served(directory, version)
    return NamedModel(name, directory, version, models.fingerprint(directory))


def held_out_rows(named_models: Sequence[NamedModel]) -> RowsToAsk:
    """The held-out rows of the run that the last of these models comes from, asked as `sft run` asks them.

    UsageError: it comes from no run that is here.
    """
    of = run_of(named_models[-1].directory)
    if of is None:
        raise UsageError(
            "which rows? the run that this model comes from is not here",
            where=str(named_models[-1].directory),
            hint="name a file, a folder or a suite: --data DATA (make: DATA=…)",
        )
    run = Run.open(of[0])
    data, tokens = checkpoints.held_out(run)
    ui.say(f"data: {data}, the {HELD_OUT.removesuffix('.json')} rows of {run.folder.name}")
    return RowsToAsk(data, run.folder.name, tokens)


def score_models(named_models: Sequence[NamedModel], rows: RowsToAsk, plan: ComparePlan) -> ScoredModels:
    """Serve, ask and stop each model in turn.

    EngineError: no server can run here, one failed, or answers are missing; what is scored stays.
    """
    machine = Machine.look()
    device = plan.device or ("gpu" if machine.gpus else "cpu")
    conditions = conditions_of(rows.data, rows.max_tokens, rows.suite)
    parts = [*(model.fingerprint for model in named_models), str(conditions["data"]), str(rows.max_tokens)]
    mark = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:6]
    out = plan.out or RUNS / COMPARED / f"{rows.label}-{mark}"
    serve = partial(_server_options, device, machine, plan.gpu_memory)
    with open_input(rows.data) as stream:
        count = sum(1 for _ in bounded_lines(stream))
    stages = ui.Stages()
    done: list[tuple[str, Path]] = []
    with Run(out).locked():
        Run(out).set_state("scoring")
        for model in named_models:
            folder = out / model.name
            with stages.stage(f"serve and score {model.name}"), ui.Follow(f"answers {model.name}", count) as bar:
                results = evaluate_model(
                    ModelToScore(model.directory, model.version, model.fingerprint, serve),
                    rows.data,
                    folder,
                    Listeners(bar.one, ui.say),
                    sampling={"max_tokens": rows.max_tokens} if rows.max_tokens else {},
                    conditions=conditions,
                    suite=rows.suite,
                    elsewhere=None if plan.fresh else _scored_elsewhere(folder),
                )
            if results["stopped"]:
                raise EngineError(
                    f"{model.name}: {results['counts']['lost']} of {results['counts']['in']} answers are missing:"
                    f" {results['stopped']}",
                    where=str(folder),
                    hint="nothing is lost: run the same command to resume",
                )
            done.append((model.name, folder))
        Run(out).set_state("finished")
    return ScoredModels(out, done, named_models[0].version)


def _server_options(device: str, machine: Machine, gpu_memory: float) -> serving.ServerOptions:
    if reason := environments.no_cpu_server() if device == "cpu" else "":
        raise EngineError(
            reason, hint="serve the models on another machine (docs/serving.md): `sft eval` each, then `sft compare`"
        )
    return serving.server_options(device, machine, port=serving.free_port(), gpu_memory=gpu_memory)


def _scored_elsewhere(own: Path) -> list[Path]:
    """Where runs and other comparisons have their scores, the newest first."""
    places = ("*/scores/before", "*/scores/after", f"{COMPARED}/*/*")
    folders = {path for pattern in places for path in RUNS.glob(pattern) if path.is_dir()}
    return sorted(folders - {own}, key=lambda path: path.stat().st_mtime, reverse=True)
