"""What an engine is: one trainer, described by pure functions. Nothing here starts a process or writes a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

import yaml

from sft.errors import ProblemsFound, UsageError
from sft.models import ModelVersion, safetensors_header
from sft.training.config import RunConfig
from sft.training.plan import Plan
from sft.types import Progress, Sample


@dataclass(frozen=True)
class TrainingJob:
    """All that a trainer's files are made of. Paths are absolute; the same inside and outside of a container."""

    run_dir: Path
    data: Path  # the hub JSONL; relative images count from its folder
    model_dir: Path
    version: ModelVersion
    config: RunConfig
    plan: Plan
    save_steps: int

    @property
    def rows(self) -> Path:
        """The trainer's own data file."""
        return self.run_dir / "data" / "train.jsonl"

    @property
    def settings(self) -> Path:
        """The trainer's own configuration file."""
        return self.run_dir / "train.yaml"

    @property
    def output_dir(self) -> Path:
        """Where the trainer writes checkpoints and weights, and nothing else does."""
        return self.run_dir / "checkpoints"

    @property
    def tensorboard_dir(self) -> Path:
        """TensorBoard events; outside of output_dir, which ERNIEKit wants empty at the first start."""
        return self.run_dir / "tensorboard"


@dataclass(frozen=True)
class Checkpoint:
    """A directory from which training can go on."""

    path: Path
    step: int


class Engine(Protocol):
    """One trainer. `name` is what the user types after ENGINE=."""

    name: str

    def row(self, sample: Sample, images: Sequence[str]) -> bytes:
        """One sample in the trainer's data format; without newline. `images`: an absolute path for each of its
        images.
        """

    def settings(self, job: TrainingJob) -> dict[str, Any]:
        """The trainer's complete configuration."""

    def extra_files(self, job: TrainingJob) -> dict[str, str]:
        """Further files the trainer reads: name in the run folder → text."""

    def command(self, job: TrainingJob, python: str, resume: Checkpoint | None) -> list[str]:
        """The argv that starts the trainer with the interpreter `python`."""

    def environment(self, job: TrainingJob) -> dict[str, str]:
        """Environment variables on top of the inherited ones."""

    def progress(self, line: str) -> Progress | None:
        """What a line of the trainer's log says about a step."""

    def checkpoints(self, output_dir: Path) -> list[Checkpoint]:
        """The complete checkpoints, oldest first."""


def visible_cards(gpus: int) -> str:
    """CUDA_VISIBLE_DEVICES for the trainer: the first `gpus` of those the user has chosen, else of all."""
    chosen = [card for card in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if card.strip()]
    return ",".join((chosen or [str(card) for card in range(gpus)])[:gpus])


def absolute_images(sample: Sample, base: Path) -> list[str]:
    """The paths of the images of a sample as the trainer will see them."""
    return [str((base / image.image_url).resolve()) for image in sample.image_info]


def check_keys(settings: Mapping[str, Any], known: Mapping[str, Any], trainer: str) -> None:
    """Refuse keys that the trainer does not read; ERNIEKit ignores them without a word."""
    unknown = sorted(settings.keys() - known.keys())
    if not unknown:
        return
    named = []
    for key in unknown:
        close = get_close_matches(key, known, n=1)
        named.append(f"{key!r}" + (f" (did you mean {close[0]!r} ?)" if close else ""))
    raise UsageError(
        f"{trainer} does not know {', '.join(named)}", hint="the trainer would silently ignore this setting"
    )


def to_yaml(settings: Mapping[str, Any]) -> str:
    """YAML in which every number is read back as a number: PyYAML takes 5e-6 for a string, 5.0e-06 for a float."""

    class Dumper(yaml.SafeDumper):
        pass

    def number(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
        text = repr(value)
        if "e" in text and "." not in text:
            text = text.replace("e", ".0e")
        return dumper.represent_scalar("tag:yaml.org,2002:float", text)

    Dumper.add_representer(float, number)
    text = yaml.dump(
        dict(settings),
        Dumper=Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=1000,
    )
    if yaml.safe_load(text) != dict(settings):  # a value that changes its type on the way would fail inside the trainer
        raise ProblemsFound(
            "the trainer's configuration cannot be written as YAML", hint="a setting is not a plain value"
        )
    return text


def complete_checkpoints(output_dir: Path, required: tuple[str, ...]) -> list[Checkpoint]:
    """The checkpoint-N folders that hold all `required` patterns and whose safetensors files are whole, by step."""
    checkpoints = []
    for path in output_dir.glob("checkpoint-*") if output_dir.is_dir() else ():
        step = path.name.removeprefix("checkpoint-")
        if step.isdigit() and all(any(path.glob(pattern)) for pattern in required) and _whole(path):
            checkpoints.append(Checkpoint(path, int(step)))
    return sorted(checkpoints, key=lambda checkpoint: checkpoint.step)


def _whole(path: Path) -> bool:
    """Whether every weight file can be read to its end and every shard that an index names is there."""
    with suppress(ProblemsFound, OSError, ValueError, KeyError, TypeError, AttributeError):
        for file in path.glob("*.safetensors"):
            safetensors_header(file)
        shards = {
            path / shard
            for index in path.glob("*.safetensors.index.json")
            for shard in json.loads(index.read_bytes())["weight_map"].values()
        }
        return all(shard.is_file() for shard in shards)
    return False
