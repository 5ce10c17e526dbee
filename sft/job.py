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
from sft.data import fingerprint
from sft.errors import ProblemsFound, UsageError
from sft.images import probe
from sft.jsonl import read_samples
from sft.plan import Plan, fit_batch, make_plan
from sft.runs import RUNS, Run, locked, run_name
from sft.tokens import Budget, pixel_limits, sample_tokens
from sft.train import Runtime

MODELS_DIR = Path("models")
TINY = "tiny"
MOST_BYTES_ON_CPU = 200_000_000
MANY = 1 << 40  # samples, where a configuration is looked at before the data is read


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
    if rehearsal:
        _require_small(config.model)
        gpus = flags.get("gpus") or given.get("gpus") or 1
        if gpus != 1:
            raise UsageError(f"{gpus} GPUs are asked for, and this is a rehearsal on the CPU", hint="leave GPUS out; `sft plan --to-gpus N` shows what changes")
    elif machine.gpus and config.gpus > len(machine.gpus):
        raise UsageError(f"{config.gpus} GPUs are asked for, this machine has {len(machine.gpus)}", hint=f"GPUS={len(machine.gpus)}, with BATCH or ACCUM raised to keep G·B·A")
    if rehearsal and config.engine != "paddleformers":
        raise UsageError("ERNIEKit trains on NVIDIA GPUs only, and this is a rehearsal on the CPU", hint="leave ENGINE out, or see what would run: `sft train DATA --engine erniekit --dry-run`")
    batch, accum = fit_batch(samples, gpus=config.gpus, batch=config.batch, accum=config.accum)
    asked = {"flag", str(request.config_file)} & {origins["batch"], origins["accum"]}
    if (batch, accum) != (config.batch, config.accum) and not asked:
        config = config.model_copy(update={"batch": batch, "accum": accum})
        origins["batch"] = origins["accum"] = f"made to fit {samples} samples"
    mode = "asked for" if request.rehearsal else "no NVIDIA GPU here" if rehearsal else ", ".join(gpu.name for gpu in machine.gpus)
    return Settled(config, origins, version, rehearsal, {"engine": why, "device": mode})


def _require_small(model: str) -> None:
    """A rehearsal trains the tiny model, or a directory of its size; a released model on a CPU would take months."""
    size = sum(path.stat().st_size for path in Path(model).glob("*.safetensors")) if Path(model).is_dir() else MOST_BYTES_ON_CPU + 1
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
    from sft.fetch_model import present_or_fetch, require_model

    path = Path(model)
    if path.is_dir():
        require_model(path, None)
        _require_template(path, settled.version)
        return path
    version = models.get(model)
    path = request.models / version.hub_id.rpartition("/")[2]
    say(f"{version.hub_id} in {path}, fetched where it is missing")
    return present_or_fetch(version, path)


def _require_template(path: Path, version: models.ModelVersion) -> None:
    """A directory whose own chat template contradicts the version it is trained as would be tuned away from itself."""
    from sft.fetch_model import check_model

    faults = [fault for fault in check_model(path, version) if fault.startswith(("chat_template.jinja", "inference.yml"))]
    if faults:
        raise ProblemsFound("; ".join(faults), where=str(path), hint=f"say which version it is: --model-version, one of {', '.join(models.MODELS)}")


def _tiny_dir(settled: Settled, request: Request, data: Path, say: Callable[[str], None]) -> Path:
    """models/tiny-…, named by what it is made of: the data its tokenizer learns, the version, the seed and the recipe."""
    import hashlib

    recipe = (Path(tiny.__file__).read_bytes(), tiny.WORKER.read_bytes())
    parts = [fingerprint(data), settled.version.name, str(settled.config.seed), *(hashlib.sha256(text).hexdigest() for text in recipe)]
    path = request.models / f"tiny-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:8]}"
    with locked(path.with_name(f".{path.name}.lock")):  # a second command waits and then finds it
        if path.is_dir():
            return path
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
    return Run(request.runs / run_name(name, fingerprint(data), settled.config, export.fingerprint(base)))


@dataclass(frozen=True)
class Lengths:
    """Tokens of the training samples, images included: the longest, its line, and the mean."""

    longest: int
    line: int
    mean: float


def check_lengths(data: Path, base: Path, settled: Settled) -> Lengths:
    """The lengths of all samples; ProblemsFound where one does not fit. Trainers skip or cut such samples."""
    low, high = pixels(settled, base)
    budget = Budget(base / "tokenizer.json", low, high, settled.config.max_seq_len)
    longest, total, count = (0, 0), 0, 0
    for line, sample in read_samples(data):
        headers = [probe(data.parent / image.image_url) for image in sample.image_info]
        try:
            tokens = sample_tokens(sample, headers, budget)
        except ProblemsFound as fault:
            raise ProblemsFound(fault.message, where=f"{data}:{line}", hint=fault.hint) from fault
        longest, total, count = max(longest, (tokens, line)), total + tokens, count + 1
    if longest[0] > budget.max_seq_len:
        hint = f"split the sample, or raise max_seq_len to at least {longest[0]}; it would be skipped silently"
        raise ProblemsFound(f"[trainer.too_long] {longest[0]} tokens, max_seq_len is {budget.max_seq_len}", where=f"{data}:{longest[1]}", hint=hint)
    return Lengths(*longest, total / max(count, 1))


def packing_note(lengths: Lengths, settled: Settled) -> str:
    """What to know where fewer than B samples fit into ERNIEKit's packs: fewer are seen per step than the plan counts."""
    fits = int(settled.config.max_seq_len // lengths.mean)
    if settled.config.engine != "erniekit" or fits >= settled.config.batch:
        return ""
    return (
        f"samples have {lengths.mean:.0f} tokens on average, so about {fits} fit into a pack of {settled.config.max_seq_len}, not B = {settled.config.batch}: "
        f"about {settled.config.epochs * fits / settled.config.batch:.2g} of {settled.config.epochs:g} epochs would be trained; give --batch {max(fits, 1)}"
    )


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

