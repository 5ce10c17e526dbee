"""Trains: writes a run folder, starts the trainer in its environment, follows its log, resumes from the last checkpoint."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sft import container, engines
from sft.config import RunConfig, dump
from sft.engines.base import Checkpoint, Engine, Job, to_yaml
from sft.engines.logs import last_errors
from sft.errors import EngineError, UsageError
from sft.jsonl import atomic_write, read_samples, sha256, write_json
from sft.launch import Process, shell_line, stop_container, tail
from sft.models import ModelVersion
from sft.plan import Plan, as_dict
from sft.runs import Run, machine, now
from sft.types import Progress

EXIT_SIGKILL = 137


@dataclass(frozen=True)
class Runtime:
    """Where the trainer runs: an interpreter of this machine, or the training container."""

    python: str
    cuda: container.Cuda | None = None  # set: in the container built for that CUDA version
    repo: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """All a trainer is given, before anything is written or started."""

    job: Job
    engine: Engine
    settings: str
    extra: Mapping[str, str]
    first_rows: list[bytes]


def prepare(run_dir: Path, data: Path, model_dir: Path, version: ModelVersion, config: RunConfig, plan: Plan) -> Prepared:
    """Everything that `--dry-run` shows; raises where the engine cannot carry the job out."""
    job = Job(run_dir.resolve(), data.resolve(), model_dir.resolve(), version, config, plan, config.save_steps or plan.save_steps)
    engine = engines.get(config.engine)
    extra = engine.extra_files(job)
    rows = [engine.row(sample, job.data.parent) for _, (_, sample) in zip(range(2), read_samples(job.data), strict=False)]
    return Prepared(job, engine, to_yaml(engine.settings(job)), extra, rows)


def write_run(prepared: Prepared, run: Run, origins: Mapping[str, str]) -> int:
    """Write the run folder; returns the number of rows. Rows in = rows out, or nothing."""
    job = prepared.job
    count = 0
    with atomic_write(job.rows) as stream:
        for _, sample in read_samples(job.data):
            stream.write(prepared.engine.row(sample, job.data.parent) + b"\n")
            count += 1
    if count != job.plan.samples:
        raise EngineError(f"planned for {job.plan.samples} samples, but the data has {count} now", where=str(job.data), hint="run the same command again")
    texts = {"config.yaml": dump(job.config, origins), "train.yaml": prepared.settings, **prepared.extra}
    for name, text in texts.items():
        with atomic_write(run.folder / name) as stream:
            stream.write(text.encode())
    write_json(run.folder / "plan.json", as_dict(job.plan))
    write_json(run.folder / "data.json", {"path": str(job.data), "sha256": sha256(job.data), "rows": count, "model_dir": str(job.model_dir), "model_version": job.version.name})
    return count


def command(prepared: Prepared, runtime: Runtime, resume: Checkpoint | None) -> tuple[list[str], dict[str, str]]:
    """(argv, environment) of the trainer, here or in its container. Pure."""
    job, engine = prepared.job, prepared.engine
    env = engine.environment(job)
    argv = engine.command(job, runtime.python, resume)
    if runtime.cuda is None:
        return argv, env
    mounts = [(job.run_dir, "rw"), (job.model_dir, "ro"), *((folder, "ro") for folder in image_folders(job.data))]
    return container.run_command(
        runtime.cuda, argv, workdir=job.run_dir, mounts=_outermost(mounts), env=env, name=_container_name(job)
    ), {}  # fmt: skip


def _container_name(job: Job) -> str:
    return f"sft-{job.run_dir.name}"


def image_folders(data: Path) -> list[Path]:
    """The folders that hold the images of a data set."""
    return sorted({(data.parent / image.image_url).resolve().parent for _, sample in read_samples(data) for image in sample.image_info})


def _outermost(mounts: list[tuple[Path, str]]) -> list[tuple[Path, Any]]:
    """Mounts without those that lie inside another one with the same rights or more."""
    return [
        (path, mode) for path, mode in mounts
        if not any(other != path and path.is_relative_to(other) and (other_mode == "rw" or mode == "ro") for other, other_mode in mounts)
    ]  # fmt: skip


def build_image(cuda: container.Cuda, repo: Path, log: Path, say: Callable[[str], None]) -> None:
    """Build the training image, or let Docker find that it is built already. The first time fetches many gigabytes."""
    if not (repo / container.DOCKERFILE).is_file():
        raise UsageError(f"no {container.DOCKERFILE} here", where=str(repo), hint="run this from a checkout of the workbench")
    say(f"building {container.image_name(cuda)} (the first time fetches the Paddle CUDA image); log {log}")
    with Process(container.build_command(repo, cuda), log) as process:
        code = process.wait()
    if code:
        lines = "\n  ".join(last_errors(tail(log)))
        raise EngineError(f"the training image could not be built (exit code {code}):\n  {lines}", where=str(log), hint="the log has the whole story")


def versions(python: str) -> dict[str, str]:
    """The packages of the trainer's environment that decide a result."""
    import subprocess

    names = ("paddlepaddle", "paddlepaddle-gpu", "paddleformers", "erniekit", "numpy", "tokenizers", "transformers", "safetensors")
    code = "import importlib.metadata as m, json, sys\nprint(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, timeout=60, check=True)
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
    return {name: found[name] for name in names if name in found}


def train(prepared: Prepared, run: Run, runtime: Runtime, *, on_progress: Callable[[Progress], None], say: Callable[[str], None]) -> dict[str, Any]:
    """Train to the end, from the last complete checkpoint if there is one; returns the manifest.

    EngineError with the trainer's last lines where it fails; KeyboardInterrupt is passed on after all processes have
    ended and the state is written. Either way the same command goes on from the last checkpoint.
    """
    job = prepared.job
    found = prepared.engine.checkpoints(job.output_dir)
    resume = found[-1] if found else None
    _clear_partial(job.output_dir, {checkpoint.path for checkpoint in found})
    argv, env = command(prepared, runtime, resume)
    with atomic_write(run.folder / "command.txt") as stream:
        stream.write(f"{shell_line(argv, env)}\n".encode())
    write_json(run.folder / "environment.json", {**machine(), "trainer": versions(runtime.python) if runtime.cuda is None else {"image": container.image_name(runtime.cuda)}})
    if resume:
        say(f"resuming from step {resume.step} ({resume.path.name})")
    started = time.monotonic()
    last = Progress(resume.step if resume else 0, job.plan.max_steps, float("nan"))
    begun = {"resumed_from": resume.step if resume else None}
    run.set_state("running", step=last.step, **begun)
    process = Process(argv, run.log, env, cwd=job.run_dir)

    def watch(line: str) -> None:
        nonlocal last
        step = prepared.engine.progress(line)
        if step:
            last = replace(step, max_steps=job.plan.max_steps)
            on_progress(last)

    try:
        with process:
            code = process.wait(watch)
    except KeyboardInterrupt:
        run.set_state("interrupted", step=last.step, checkpoint=_newest(prepared), **begun)
        raise
    finally:
        if runtime.cuda:  # Docker's client may be gone while the container goes on
            stop_container(_container_name(job))
    if code or not list(job.output_dir.glob("*.safetensors")):
        run.set_state("failed", step=last.step, exit_code=code, checkpoint=_newest(prepared), **begun)
        raise _failure(code, run, _newest(prepared))
    return _finish(prepared, run, resume, last, time.monotonic() - started)


def _clear_partial(output_dir: Path, keep: set[Path]) -> None:
    """Remove what a killed trainer left unfinished: a half-written checkpoint must not be resumed, nor stop a fresh start."""
    for path in output_dir.glob("*") if output_dir.is_dir() else ():
        if path not in keep:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _newest(prepared: Prepared) -> int | None:
    found = prepared.engine.checkpoints(prepared.job.output_dir)
    return found[-1].step if found else None


def _failure(code: int, run: Run, checkpoint: int | None) -> EngineError:
    lines = "\n  ".join(last_errors(tail(run.log)))
    why = "was killed (SIGKILL; out of memory?)" if code == EXIT_SIGKILL else f"failed with exit code {code}" if code else "ended without writing weights"
    again = f"the same command goes on from step {checkpoint}" if checkpoint else "no checkpoint was written yet, the same command starts again"
    return EngineError(f"the trainer {why}; its last lines:\n  {lines}", where=str(run.log), hint=again)


def _finish(prepared: Prepared, run: Run, resume: Checkpoint | None, last: Progress, seconds: float) -> dict[str, Any]:
    job = prepared.job
    manifest = {
        "finished": now(),
        "engine": job.config.engine,
        "model_version": job.version.name,
        "model_dir": str(job.model_dir),
        "data": str(job.data),
        "data_sha256": sha256(job.data),
        "max_steps": job.plan.max_steps,
        "resumed_from": resume.step if resume else None,
        "last_logged_step": last.step,
        "last_loss": last.loss,
        "seconds": round(seconds, 1),
        "weights": {path.name: sha256(path) for path in sorted(job.output_dir.glob("*.safetensors"))},
        "workbench_python": sys.version.split()[0],
    }
    write_json(run.manifest_path, manifest)
    run.set_state("finished", step=job.plan.max_steps)
    return manifest
