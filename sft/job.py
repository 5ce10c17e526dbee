"""What a command line means: the model directory, the device, the engine, the plan, the run folder, and why each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sft import container, engines, environments, export, models, serve, tiny
from sft.config import REHEARSAL, RunConfig, load_file, resolve
from sft.errors import ProblemsFound, UsageError
from sft.images import probe
from sft.jsonl import read_samples, sha256
from sft.plan import Plan, fit_batch, make_plan
from sft.runs import RUNS, Run, run_name
from sft.tokens import Budget, pixel_limits, sample_tokens
from sft.train import Runtime

MODELS_DIR = Path("models")
TINY = "tiny"


@dataclass(frozen=True)
class Machine:
    """What there is to train on."""

    gpus: tuple[container.Gpu, ...]
    docker: str | None

    @classmethod
    def look(cls) -> Machine:
        """Ask nvidia-smi, and Docker only where there is a GPU."""
        gpus = tuple(container.find_gpus())
        return cls(gpus, container.find_docker() if gpus else None)


@dataclass(frozen=True)
class Request:
    """What the user said. None means: not said."""

    flags: Mapping[str, Any] = field(default_factory=dict)
    config_file: Path | None = None
    rehearsal: bool | None = None  # None: where there is no GPU
    runs: Path = RUNS
    models: Path = MODELS_DIR


@dataclass(frozen=True)
class Settled:
    """The resolved configuration and the reasons for what was chosen."""

    config: RunConfig
    origins: dict[str, str]
    version: models.ModelVersion
    rehearsal: bool
    reasons: dict[str, str]


def settle(request: Request, machine: Machine, samples: int) -> Settled:
    """Merge defaults, mode, file and flags into one checked configuration."""
    rehearsal = not machine.gpus if request.rehearsal is None else request.rehearsal
    flags = dict(request.flags)
    given = load_file(request.config_file) if request.config_file else {}
    wanted_model = flags.get("model") or given.get("model")
    version = _version(wanted_model, flags.get("model_version") or given.get("model_version"))
    engine, why = engines.choose(flags.get("engine") or given.get("engine"), version, gpu=not rehearsal)
    layers: list[tuple[str, Mapping[str, Any]]] = [("chosen", {"engine": engine, "model_version": version.name})]
    if rehearsal:
        layers.append(("rehearsal", REHEARSAL))
    if request.config_file:
        layers.append((str(request.config_file), given))
    layers.append(("flag", flags))
    if rehearsal:
        layers.append(("rehearsal", {"device": "cpu", "gpus": 1}))
    config, origins = resolve(layers)
    if rehearsal and config.engine != "paddleformers":
        raise UsageError("ERNIEKit trains on NVIDIA GPUs only, and this is a rehearsal on the CPU", hint="leave ENGINE out, or see what would run: `sft train DATA --engine erniekit --dry-run`")
    batch, accum = fit_batch(samples, gpus=config.gpus, batch=config.batch, accum=config.accum)
    if (batch, accum) != (config.batch, config.accum) and "flag" not in (origins["batch"], origins["accum"]):
        config = config.model_copy(update={"batch": batch, "accum": accum})
        origins["batch"] = origins["accum"] = f"made to fit {samples} samples"
    mode = "asked for" if request.rehearsal else "no NVIDIA GPU here" if rehearsal else ", ".join(gpu.name for gpu in machine.gpus)
    return Settled(config, origins, version, rehearsal, {"engine": why, "device": mode})


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
        from sft.fetch_model import identify

        claimed = identify(path)
        if claimed:
            return claimed
        raise UsageError("cannot tell which version this model is", where=str(path), hint=f"say it: --model-version, one of {', '.join(models.MODELS)}")
    return models.get(str(model))


def plan_for(settled: Settled, samples: int) -> Plan:
    """The arithmetic for these samples."""
    config = settled.config
    return make_plan(samples=samples, epochs=config.epochs, gpus=config.gpus, batch=config.batch, accum=config.accum, learning_rate=config.learning_rate, limit=config.max_steps)


def model_dir(settled: Settled, request: Request, data: Path, *, say: Callable[[str], None]) -> Path:
    """The base model: a directory as given, a fetched one, or the tiny one for this data, built once."""
    model = settled.config.model
    if model == TINY:
        return _tiny_dir(settled, request, data, say)
    from sft.fetch_model import fetch_model, require_model

    path = Path(model)
    if path.is_dir():
        require_model(path, None)
        return path
    version = models.get(model)
    path = request.models / version.hub_id.rpartition("/")[2]
    if not path.is_dir():
        say(f"fetching {version.hub_id} into {path}")
        fetch_model(version.name, path, "huggingface")
    return path


def _tiny_dir(settled: Settled, request: Request, data: Path, say: Callable[[str], None]) -> Path:
    """models/tiny-…, named by what it is made of: the data its tokenizer learns, the version, the seed and the recipe."""
    import hashlib

    recipe = (Path(tiny.__file__).read_bytes(), tiny.WORKER.read_bytes())
    parts = [sha256(data), settled.version.name, str(settled.config.seed), *(hashlib.sha256(text).hexdigest() for text in recipe)]
    path = request.models / f"tiny-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:8]}"
    if not path.is_dir():
        say(f"building a tiny PaddleOCR-VL with random weights in {path}")
        python = environments.ensure("trainer").python
        tiny.make_tiny_model(path, data, settled.version, trainer_python=python, seed=settled.config.seed, log=path.with_name(f"{path.name}.log"))
    return path


def pixels(settled: Settled, base: Path) -> tuple[int, int]:
    """(min, max) pixels of the run: what the configuration says, else the base model's own."""
    low, high = pixel_limits(base)
    return settled.config.min_pixels or low, settled.config.max_pixels or high


def open_run(settled: Settled, request: Request, data: Path, base: Path, *, name: str) -> Run:
    """The run folder that belongs to these settings, this data and this model."""
    return Run(request.runs / run_name(name, data, settled.config, export.fingerprint(base)))


def check_lengths(data: Path, base: Path, settled: Settled) -> tuple[int, int]:
    """(tokens, line) of the longest sample; ProblemsFound where one does not fit. Trainers skip or cut such samples."""
    low, high = pixels(settled, base)
    budget = Budget(base / "tokenizer.json", low, high, settled.config.max_seq_len)
    longest = (0, 0)
    for line, sample in read_samples(data):
        headers = [probe(data.parent / image.image_url) for image in sample.image_info]
        longest = max(longest, (sample_tokens(sample, headers, budget), line))
    if longest[0] > budget.max_seq_len:
        hint = f"split the sample, or raise max_seq_len to at least {longest[0]}; it would be skipped silently"
        raise ProblemsFound(f"[trainer.too_long] {longest[0]} tokens, max_seq_len is {budget.max_seq_len}", where=f"{data}:{longest[1]}", hint=hint)
    return longest


def runtime(settled: Settled, machine: Machine) -> Runtime:
    """Where the trainer runs: on a CPU in its environment, on a GPU in the container, or in an interpreter that was named."""
    if settled.config.device == "cpu":
        return Runtime(environments.ensure("trainer").python)
    named = os.environ.get(environments.PYTHON_OVERRIDE["trainer"])
    if named:
        return Runtime(shutil.which(named) or named)
    if settled.config.engine == "erniekit" and machine.docker and machine.gpus:
        return Runtime("python", container.choose_cuda(machine.gpus[0].compute_capability), Path.cwd())
    if settled.config.engine == "erniekit":
        raise UsageError(
            "ERNIEKit runs in the Paddle CUDA container, and no Docker engine answers here",
            hint=f"start Docker with the NVIDIA container toolkit, or set {environments.PYTHON_OVERRIDE['trainer']} to a Python that has ERNIEKit",
        )
    raise UsageError("PaddleFormers on a GPU needs an environment with paddlepaddle-gpu", hint=f"set {environments.PYTHON_OVERRIDE['trainer']} to its Python; docs/environments.md has the pins")


def server_options(device: str, machine: Machine, *, port: int, **more: Any) -> serve.ServerOptions:
    """Who serves: vLLM's CPU build, an interpreter that was named, or the server container where Docker and a GPU are."""
    named = os.environ.get(environments.PYTHON_OVERRIDE["server"])
    if named or device == "cpu":
        return serve.ServerOptions(environments.ensure("server").python, port=port, device=device, **more)
    if machine.docker and machine.gpus:
        return serve.ServerOptions("python", container.server_image(machine.gpus[0].compute_capability), port=port, device=device, **more)
    raise UsageError(
        "serving on a GPU needs Docker, or an environment with vLLM",
        hint=f"start Docker with the NVIDIA container toolkit, or set {environments.PYTHON_OVERRIDE['server']} to a Python that has vLLM",
    )

