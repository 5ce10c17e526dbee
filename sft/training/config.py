"""The strict configuration of a run: every value knows where it came from, every fault is named at once.

Precedence: flag > configuration file > defaults of the chosen mode (rehearsal, model version) > default.
A whole number stands for a fraction, and text such as 5e-6 for a number where a fraction is expected: YAML 1.1, which
PyYAML reads, wants 5.0e-6 and takes 5e-6 for text, and everybody writes 5e-6. Nothing else is converted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sft.errors import UsageError
from sft.files import plain_yaml

BASE_LEARNING_RATE = 5e-6  # full fine-tuning at 64 samples per update, from the released sample configuration


class RunConfig(BaseModel):
    """What decides a training run. Two runs with equal values and equal data are the same run."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())

    engine: Literal["erniekit", "paddleformers"] = Field(description="the trainer")
    model: str = Field("0.9B", description="name of a model version, a directory, or tiny")
    model_version: Literal["0.9B", "1.5", "1.6"] = Field("0.9B", description="whose prompts, template and names apply")
    device: Literal["gpu", "cpu"] = Field("gpu", description="device of the trainer")
    epochs: float = Field(2, gt=0, description="E: how many times each sample is seen")
    gpus: int = Field(1, ge=1, description="G: GPUs of this machine")
    batch: int = Field(8, ge=1, description="B: samples per micro-step (ERNIEKit: packing_size)")
    accum: int = Field(8, ge=1, description="A: micro-steps per update")
    learning_rate: float = Field(
        BASE_LEARNING_RATE, gt=0, lt=1, description="peak; 5e-6 suits full tuning at 64 samples per update"
    )
    max_steps: int | None = Field(None, ge=1, description="upper limit of updates; none: as the epochs need")
    save_steps: int | None = Field(None, ge=1, description="steps between checkpoints; none: planned")
    max_seq_len: int = Field(16384, ge=64, description="longest sample in tokens; longer ones are refused, never cut")
    min_pixels: int | None = Field(None, ge=784, description="none: the model's own limit")
    max_pixels: int | None = Field(None, ge=784, description="none: the model's own limit; more pixels, more memory")
    workers: int = Field(4, ge=0, description="processes that load data")
    seed: int = Field(23, ge=0, description="of random weights and of the trainer; ERNIEKit's data order ignores it")


# What a rehearsal changes: sizes at which a model with random weights learns to read on two CPU cores in minutes.
REHEARSAL: dict[str, Any] = {
    "engine": "paddleformers",
    "model": "tiny",
    "device": "cpu",
    "epochs": 3.0,
    "batch": 16,
    "accum": 1,
    "learning_rate": 1e-3,
    "max_steps": 1000,
    "max_seq_len": 512,
    "workers": 0,
}


def load_file(path: Path) -> dict[str, Any]:
    """A YAML file of settings, as `configs/train/` holds them."""
    try:
        values = plain_yaml.load(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read this configuration ({error.strerror})", where=str(path), hint="configs/train/ holds examples"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"not YAML: {error}", where=str(path)) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(
            f"a list of `name: value` lines is expected, found a {type(values).__name__}",
            where=str(path),
        )
    return {str(key): value for key, value in values.items()}


OPTIONS = {"learning_rate": "lr"}  # settings whose option has another name


def resolve(layers: list[tuple[str, Mapping[str, Any]]]) -> tuple[RunConfig, dict[str, str]]:
    """Merge layers, later ones win; returns the configuration and, per key, the name of the layer it came from.

    A value of None in a layer means "not said". All unknown keys and bad values are reported in one error.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(RunConfig.model_fields, "default")
    faults: list[str] = []
    for origin, layer in layers:
        for key, value in layer.items():
            if key not in RunConfig.model_fields:
                close = get_close_matches(key, RunConfig.model_fields, n=1)
                faults.append(
                    f"{origin}: unknown setting {key!r}" + (f", did you mean {close[0]!r} ?" if close else "")
                )
            elif value is not None:
                values[key] = _fraction(value) if RunConfig.model_fields[key].annotation is float else value
                origins[key] = origin
    try:
        config = RunConfig(**values)
    except ValidationError as error:
        for fault in error.errors():
            key = ".".join(str(part) for part in fault["loc"])
            wanted = fault["msg"].replace("Input", "it", 1).replace("greater than or equal to", "at least")
            faults.append(f"{_named(key, origins.get(key, 'default'))} is {fault.get('input')!r}: {wanted}")
        config = None
    if config and config.min_pixels and config.max_pixels and config.min_pixels > config.max_pixels:
        faults.append(
            f"{_named('min_pixels', origins['min_pixels'])} is {config.min_pixels}, above max_pixels, which is"
            f" {config.max_pixels}"
        )
    if faults or config is None:
        raise UsageError(
            "; ".join(faults),
            hint=f"settings: {', '.join(RunConfig.model_fields)}",
        )
    return config, origins


def _named(key: str, origin: str) -> str:
    """A setting as the user said it: `--batch`, or `batch` in a file."""
    return f"--{OPTIONS.get(key, key).replace('_', '-')}" if origin == "flag" else f"{origin}: {key}"


def _fraction(value: object) -> object:
    """A float where a whole number or a number as text was given; anything else as it is, for the check that
    follows.
    """
    if type(value) is int or isinstance(value, str):
        with suppress(ValueError, OverflowError):
            return float(value)
    return value


def dump(config: RunConfig, origins: Mapping[str, str]) -> str:
    """The resolved configuration as YAML, one value a line with its origin and meaning; loads back to the
    same values.
    """
    lines = ["# The configuration of this run as it was resolved. Each value: where it came from; what it means."]
    for name, field in RunConfig.model_fields.items():
        line = yaml.safe_dump(
            {name: getattr(config, name)},
            width=math.inf,
        ).removesuffix("\n")
        lines.append(f"{line}  # {' '.join(origins[name].split())}; {field.description}")
    return "\n".join(lines) + "\n"
