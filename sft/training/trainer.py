"""Trains: writes a run folder, starts the trainer in its environment, follows its log, resumes from the last
checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from sft.errors import EngineError, SftError, UsageError
from sft.files import RealPaths, atomic_write, read_json, read_samples, sha256, write_json
from sft.images import stamp
from sft.models import ModelVersion, tensor_table, weight_files
from sft.runtime import Machine, Process, container, environments, last_errors, plain, shell_line, stop_container, tail
from sft.training import engines
from sft.training.config import RunConfig, dump
from sft.training.engines import Checkpoint, Engine, TrainingJob, absolute_images, is_skip, to_yaml
from sft.training.plan import Plan, as_dict
from sft.training.run_folder import Run, machine, now
from sft.training.settings import ResolvedSettings
from sft.types import Progress, Sample
from sft.validate import Survey

EXIT_SIGKILL = 137
SKIPPED_SHARE = 0.01  # of the samples; more skipped lines than that and the training is not the one that was asked for


@dataclass(frozen=True)
class Runtime:
    """Where the trainer runs: an interpreter of this machine, or the training container."""

    python: str
    cuda: container.Cuda | None = None  # set: in the container built for that CUDA version
    repo: Path | None = None


@dataclass(frozen=True)
class PreparedTraining:
    """All a trainer is given, before anything is written or started."""

    job: TrainingJob
    engine: Engine
    settings: str
    extra: Mapping[str, str]


def prepare(
    run_dir: Path, data: Path, model_dir: Path, version: ModelVersion, config: RunConfig, plan: Plan
) -> PreparedTraining:
    """Everything that `--dry-run` shows; raises where the engine cannot carry the job out."""
    job = TrainingJob(
        run_dir.resolve(),
        data.parent.resolve() / data.name,  # a link stays one: relative images count from where it stands
        model_dir.resolve(),
        version,
        config,
        plan,
        config.save_steps or plan.save_steps,
    )
    engine = engines.get(config.engine)
    extra = engine.extra_files(job)
    return PreparedTraining(
        job,
        engine,
        to_yaml(engine.settings(job)),
        extra,
    )


def first_rows(prepared: PreparedTraining, count: int = 2) -> list[bytes]:
    """The first rows that the trainer would get."""
    samples = (sample for _, sample in islice(read_samples(prepared.job.data), count))
    return [prepared.engine.row(sample, absolute_images(sample, prepared.job.data.parent)) for sample in samples]


def write_run(prepared: PreparedTraining, run: Run, origins: Mapping[str, str], data: Survey) -> list[Path]:
    """Write the run folder; returns the folders that hold the images. Rows in = rows out, or nothing.

    EngineError where rows or images are not those that were checked any more: what is trained is what `data` tells of.
    """
    job = prepared.job
    folders: set[str] = set()
    with atomic_write(job.rows) as stream:
        for sample, images in _located(data):
            stream.write(prepared.engine.row(sample, images) + b"\n")
            folders.update(map(os.path.dirname, images))
    texts = {
        "config.yaml": dump(job.config, origins),
        "train.yaml": prepared.settings,
        **prepared.extra,
    }
    for name, text in texts.items():
        with atomic_write(run.folder / name) as stream:
            stream.write(text.encode())
    write_json(run.folder / "plan.json", as_dict(job.plan))
    write_json(
        run.folder / "data.json",
        {
            "path": str(job.data),
            "sha256": data.sha256,
            "rows": data.count,
            "model_dir": str(job.model_dir),
            "model_version": job.version.name,
        },
    )
    return sorted(map(Path, folders))


def _located(data: Survey) -> Iterator[tuple[Sample, list[str]]]:
    """(sample, real paths of its images) of every row; EngineError at the end where images are not those that were
    checked.
    """
    real = RealPaths()
    base = data.path.parent
    same: dict[int, bool] = {}  # of images whose stamp is another one
    changed: set[str] = set()
    for _, sample, numbers in data.rows():
        images = []
        for image, number in zip(sample.image_info, numbers, strict=True):
            path, status = real.look(os.path.join(base, image.image_url))
            images.append(path)
            if status is None or stamp(status) != data.files.stamps[number]:
                if number not in same:
                    same[number] = data.is_content(number, path)
                changed.update([] if same[number] else [path])
        yield sample, images
    if changed:
        raise EngineError(
            f"images that have changed since they were checked: {len(changed)}, the first is {min(changed)}",
            where=str(data.path),
            hint="run the same command again",
        )


def command(
    prepared: PreparedTraining, runtime: Runtime, resume: Checkpoint | None, images: Sequence[Path] | None = None
) -> tuple[list[str], dict[str, str]]:
    """(argv, environment) of the trainer, here or in its container. `images`: their folders; None: the data says."""
    job = prepared.job
    engine = prepared.engine
    env = engine.environment(job)
    argv = engine.command(job, runtime.python, resume)
    if runtime.cuda is None:
        return argv, env
    folders = [
        job.model_dir,
        *container.link_targets(job.model_dir),
        *(image_folders(job.data) if images is None else images),
    ]
    mounts: list[tuple[Path, container.Access]] = [
        (job.run_dir, "rw"),
        *((folder, "ro") for folder in folders),
    ]
    return (
        container.run_command(
            runtime.cuda,
            argv,
            workdir=job.run_dir,
            mounts=container.common_mounts(mounts),
            env=env,
            name=_container_name(job),
        ),
        {},
    )


def _container_name(job: TrainingJob) -> str:
    return f"sft-{job.run_dir.name}"


def image_folders(data: Path) -> list[Path]:
    """The folders that hold the images of a data set."""
    real = RealPaths()
    urls = (image.image_url for _, sample in read_samples(data) for image in sample.image_info)
    return sorted({Path(os.path.dirname(real.of(os.path.join(data.parent, url)))) for url in urls})


def build_image(cuda: container.Cuda, repo: Path, log: Path, say: Callable[[str], None]) -> None:
    """Build the training image, or let Docker find that it is built already. The first time fetches many gigabytes."""
    if not (repo / container.DOCKERFILE).is_file():
        raise UsageError(
            f"no {container.DOCKERFILE} here", where=str(repo), hint="run this from a checkout of the workbench"
        )
    say(f"building {container.image_name(cuda)} (the first time downloads the Paddle CUDA image); log {log}")
    with Process(container.build_command(repo, cuda), log) as process:
        code = process.wait()
    if code:
        lines = "\n  ".join(last_errors(tail(log)))
        raise EngineError(
            f"the training image could not be built (exit code {code}):\n  {lines}",
            where=str(log),
            hint="see the log for details",
        )


def versions(python: str) -> dict[str, str]:
    """The packages of the trainer's environment that decide a result."""
    import subprocess

    names = (
        "paddlepaddle",
        "paddlepaddle-gpu",
        "paddleformers",
        "erniekit",
        "numpy",
        "tokenizers",
        "transformers",
        "safetensors",
    )
    code = (
        "import importlib.metadata as m, json, sys\nprint(json.dumps({d.metadata['Name'].lower(): d.version for d in"
        " m.distributions()}))"
    )
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, timeout=300, check=True)
        by_name = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
    return {name: by_name[name] for name in names if name in by_name}


def train(
    prepared: PreparedTraining,
    run: Run,
    runtime: Runtime,
    *,
    on_progress: Callable[[Progress], None],
    say: Callable[[str], None],
    images: Sequence[Path] | None = None,
) -> dict[str, Any]:
    """Train to the end, from the last complete checkpoint if there is one; returns the manifest.

    images: as of `command`.

    EngineError with the trainer's last lines where it fails; KeyboardInterrupt is passed on after all processes have
    ended and the state is written. Either way the same command goes on from the last checkpoint.
    """
    job = prepared.job
    checkpoints = prepared.engine.checkpoints(job.output_dir)
    resume = checkpoints[-1] if checkpoints else None
    if (
        resume and resume.step >= job.plan.max_steps
    ):  # killed between the last checkpoint and the end: nothing is left to train
        say(f"{resume.path.name} is the last step; its weights are the result")
        return _finish(
            prepared,
            run,
            resume.path,
            Watcher(job, on_progress, resume.step),
            resume,
            0.0,
        )
    _clear_partial(job.output_dir, {checkpoint.path for checkpoint in checkpoints})
    argv, env = command(prepared, runtime, resume, images)
    with atomic_write(run.folder / "command.txt") as stream:
        stream.write(f"{shell_line(argv, env)}\n".encode())
    write_json(
        run.folder / "environment.json",
        {
            **machine(),
            "trainer": (
                versions(runtime.python) if runtime.cuda is None else {"image": container.image_name(runtime.cuda)}
            ),
        },
    )
    if resume:
        say(f"resuming from step {resume.step} ({resume.path.name})")
    started = time.monotonic()
    begun = {"resumed_from": resume.step if resume else None}
    watcher = Watcher(job, on_progress, resume.step if resume else 0)
    run.set_state("running", step=watcher.step, **begun)
    code = -1
    try:
        with Process(argv, run.log, env, cwd=job.run_dir) as process:
            code = process.wait(lambda line: watcher(line, prepared.engine))
        fault = _fault(code, job)
    except KeyboardInterrupt:
        run.set_state(
            "interrupted",
            step=watcher.step,
            checkpoint=_newest(prepared),
            **begun,
        )
        raise
    except EngineError as error:
        run.set_state(
            "failed",
            step=watcher.step,
            exit_code=code,
            checkpoint=_newest(prepared),
            **begun,
        )
        raise error
    finally:
        if runtime.cuda:  # Docker's client may be gone while the container goes on
            stop_container(_container_name(job))
    if fault:
        run.set_state(
            "failed",
            step=watcher.step,
            exit_code=code,
            checkpoint=_newest(prepared),
            **begun,
        )
        raise _failure(fault, run, _newest(prepared))
    return _finish(
        prepared,
        run,
        job.output_dir,
        watcher,
        resume,
        time.monotonic() - started,
    )


class Watcher:
    """Reads a trainer's log as it comes: the last step, and the rows that the trainer leaves out."""

    def __init__(self, job: TrainingJob, on_progress: Callable[[Progress], None], step: int) -> None:
        self.job, self.on_progress = job, on_progress
        self.step = step
        self.loss: float | None = None
        self.skipped = 0

    def __call__(self, line: str, engine: Engine) -> None:
        """One line. EngineError when more rows are skipped than can be an accident; the caller's block ends the
        trainer.
        """
        progress = engine.progress(line)
        if progress:
            self.step, self.loss = progress.step, progress.loss
            self.on_progress(replace(progress, max_steps=self.job.plan.max_steps))
        elif is_skip(line):
            self.skipped += 1
            if self.skipped > self.job.plan.samples * SKIPPED_SHARE:
                raise EngineError(
                    f"the trainer skips rows ({self.skipped} so far): {plain(line)[-200:]}",
                    where=str(self.job.rows),
                    hint="this row passed `sft validate` and should not have; the log says which it was",
                )


def _fault(code: int, job: TrainingJob) -> str:
    """What is wrong with how the trainer ended, in words; empty where all is well. Exit code 0 alone proves nothing."""
    if code:
        return "was killed (SIGKILL; out of memory?)" if code == EXIT_SIGKILL else f"failed with exit code {code}"
    try:
        tensor_table(weight_files(job.output_dir))
        state = read_json(job.output_dir / "trainer_state.json")
        reached = state["global_step"] if isinstance(state, dict) else None
    except (SftError, KeyError) as error:
        return f"ended with exit code 0, but not with a whole model ({error})"
    if not (job.output_dir / "train_results.json").is_file():
        return "ended with exit code 0, but without train_results.json"
    return "" if reached == job.plan.max_steps else f"ended with exit code 0 at step {reached} of {job.plan.max_steps}"


def _clear_partial(output_dir: Path, keep: set[Path]) -> None:
    """Remove what a killed trainer left unfinished: a half-written checkpoint must not be resumed, nor stop a fresh
    start.
    """
    for path in output_dir.glob("*") if output_dir.is_dir() else ():
        if path not in keep:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _newest(prepared: PreparedTraining) -> int | None:
    checkpoints = prepared.engine.checkpoints(prepared.job.output_dir)
    return checkpoints[-1].step if checkpoints else None


def _failure(fault: str, run: Run, checkpoint: int | None) -> EngineError:
    lines = "\n  ".join(last_errors(tail(run.log)))
    again = (
        f"run the same command to resume from step {checkpoint}"
        if checkpoint
        else "no checkpoint was written yet, the same command starts again"
    )
    return EngineError(
        f"the trainer {fault}; its last lines:\n  {lines}",
        where=str(run.log),
        hint=again,
    )


def _finish(
    prepared: PreparedTraining, run: Run, weights: Path, watcher: Watcher, resume: Checkpoint | None, seconds: float
) -> dict[str, Any]:
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
        "last_logged_step": watcher.step,
        "last_loss": watcher.loss,
        "skipped_rows": watcher.skipped,
        "seconds": round(seconds, 1),
        "weights_dir": str(weights.relative_to(run.folder)),
        "weights": {path.name: sha256(path) for path in weight_files(weights)},
        "workbench_python": sys.version.split()[0],
    }
    write_json(run.manifest_path, manifest)
    run.set_state("finished", step=job.plan.max_steps)
    return manifest


def runtime(settled: ResolvedSettings, machine: Machine) -> Runtime:
    """Where the trainer runs: on a CPU in its environment, on a GPU in the container, or in an interpreter that was
    named.
    """
    if settled.config.device == "cpu":
        return Runtime(environments.ensure("trainer").python)
    named = os.environ.get(environments.PYTHON_OVERRIDE["trainer"])
    if named:
        return Runtime(shutil.which(named) or named)
    if settled.config.engine == "erniekit" and machine.docker and machine.gpus:
        return Runtime(
            "python",
            container.choose_cuda(machine.gpus[0].compute_capability),
            Path.cwd(),
        )
    if settled.config.engine == "erniekit":
        raise UsageError(
            "ERNIEKit runs in the Paddle CUDA container, and no Docker engine is running here",
            hint=(
                f"start Docker with the NVIDIA container toolkit, or set {environments.PYTHON_OVERRIDE['trainer']} to a"
                " Python that has ERNIEKit"
            ),
        )
    raise UsageError(
        "PaddleFormers on a GPU needs an environment with paddlepaddle-gpu",
        hint=f"set {environments.PYTHON_OVERRIDE['trainer']} to its Python; docs/environments.md has the pins",
    )
