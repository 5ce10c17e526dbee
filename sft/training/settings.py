"""What a command line asks for becomes the settings of a run: engine, model, batch, plan, each with its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sft import models
from sft.errors import UsageError
from sft.runtime import Machine, require_bf16
from sft.training import engines
from sft.training.config import REHEARSAL, RunConfig, load_file, resolve
from sft.training.plan import Plan, fit_batch, make_plan
from sft.training.run_folder import RUNS, Run, run_name

MODELS_DIR = Path("models")
TINY = "tiny"
MOST_BYTES_ON_CPU = 200_000_000
MANY = 1 << 40  # samples, where a configuration is looked at before the data is read


@dataclass(frozen=True)
class Request:
    """What the user said. None means: not said."""

    flags: Mapping[str, Any] = field(default_factory=dict)
    config_file: Path | None = None
    rehearsal: bool | None = None  # None: where there is no GPU
    runs: Path = RUNS
    models: Path = MODELS_DIR


@dataclass(frozen=True)
class ResolvedSettings:
    """The resolved configuration and the reasons for what was chosen."""

    config: RunConfig
    origins: dict[str, str]
    version: models.ModelVersion
    rehearsal: bool
    reasons: dict[str, str]


def resolve_settings(request: Request, machine: Machine, samples: int) -> ResolvedSettings:
    """Merge defaults, mode, file and flags into one checked configuration."""
    rehearsal = not machine.gpus if request.rehearsal is None else request.rehearsal
    flags = dict(request.flags)
    given = load_file(request.config_file) if request.config_file else {}
    wanted_model = flags.get("model") or given.get("model")
    version = _version(
        wanted_model,
        flags.get("model_version") or given.get("model_version"),
    )
    engine, why = engines.choose(
        flags.get("engine") or given.get("engine"),
        version,
        gpu=not rehearsal,
    )
    layers: list[tuple[str, Mapping[str, Any]]] = [("chosen", {"engine": engine, "model_version": version.name})]
    if rehearsal:
        layers.append(("rehearsal", REHEARSAL))
    if request.config_file:
        layers.append((str(request.config_file), given))
    layers.append(("flag", flags))
    if rehearsal:
        layers.append(("rehearsal", {"device": "cpu", "gpus": 1}))
    config, origins = resolve(layers)
    if rehearsal:
        _require_small(config.model)
        gpus = flags.get("gpus") or given.get("gpus") or 1
        if gpus != 1:
            raise UsageError(
                f"{gpus} GPUs are asked for, but this is a rehearsal on the CPU",
                hint="leave GPUS out; `sft plan --to-gpus N` shows what changes",
            )
    elif machine.gpus and config.gpus > len(machine.gpus):
        raise UsageError(
            f"{config.gpus} GPUs are asked for, this machine has {len(machine.gpus)}",
            hint=f"GPUS={len(machine.gpus)}, with BATCH or ACCUM raised to keep G·B·A",
        )
    if config.device == "gpu":
        for gpu in machine.gpus[: config.gpus]:
            require_bf16(gpu.name, gpu.compute_capability)
    if rehearsal and config.engine != "paddleformers":
        raise UsageError(
            "ERNIEKit trains on NVIDIA GPUs only, but this is a rehearsal on the CPU",
            hint="leave ENGINE out, or see what would run: `sft train DATA --engine erniekit --dry-run`",
        )
    if rehearsal and config.accum > 1:
        raise UsageError(
            f"accum is {config.accum}, but PaddleFormers cannot accumulate on a CPU: it ends at the first update",
            hint=f"--accum 1 --batch {config.batch * config.accum} sees as many samples per update",
        )
    batch, accum = fit_batch(
        samples,
        gpus=config.gpus,
        batch=config.batch,
        accum=config.accum,
    )
    asked = {"flag", str(request.config_file)} & {origins["batch"], origins["accum"]}
    if (batch, accum) != (config.batch, config.accum) and not asked:
        config = config.model_copy(update={"batch": batch, "accum": accum})
        origins["batch"] = origins["accum"] = f"made to fit {samples} samples"
    mode = (
        "asked for"
        if request.rehearsal
        else "no NVIDIA GPU here"
        if rehearsal
        else ", ".join(gpu.name for gpu in machine.gpus)
    )
    return ResolvedSettings(config, origins, version, rehearsal, {"engine": why, "device": mode})


def _require_small(model: str) -> None:
    """A rehearsal trains the tiny model, or a directory of its size; a released model on a CPU would take months."""
    size = (
        sum(path.stat().st_size for path in Path(model).glob("*.safetensors"))
        if Path(model).is_dir()
        else MOST_BYTES_ON_CPU + 1
    )
    if model != TINY and size > MOST_BYTES_ON_CPU:
        raise UsageError(
            f"{model} cannot be trained on a CPU, and there is no NVIDIA GPU here",
            hint="leave MODEL out for a rehearsal with a tiny model, or see what would run: `sft train DATA --dry-run`",
        )


def _version(model: str | None, stated: str | None) -> models.ModelVersion:
    """The model version: as stated, else by the model's name, else by what the directory says of itself."""
    if stated:
        return models.get(str(stated))
    if model is None or model == TINY:
        return models.MODELS[models.DEFAULT_MODEL]
    known = models.find(str(model))
    if known:
        return known
    path = Path(model)
    if path.is_dir():
        from sft.models import identify

        claimed = identify(path)
        if claimed:
            return claimed
        raise UsageError(
            "cannot tell which version this model is",
            where=str(path),
            hint=f"name it: --model-version, one of {', '.join(models.MODELS)}",
        )
    return models.get(str(model))


def plan_for(settled: ResolvedSettings, samples: int) -> Plan:
    """The arithmetic for these samples."""
    config = settled.config
    return make_plan(
        samples=samples,
        epochs=config.epochs,
        gpus=config.gpus,
        batch=config.batch,
        accum=config.accum,
        learning_rate=config.learning_rate,
        limit=config.max_steps,
        passes=config.engine == "paddleformers",
    )


def open_run(settled: ResolvedSettings, request: Request, data_fingerprint: str, base: Path, *, name: str) -> Run:
    """The run folder that belongs to these settings, this data and this model."""
    return Run(
        request.runs
        / run_name(
            name,
            data_fingerprint,
            settled.config,
            models.fingerprint(base),
        )
    )
