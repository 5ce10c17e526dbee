"""What is asked of a conversion, checked before anything is read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from sft import models
from sft.convert import warnings
from sft.convert.worker import ConvertRequest
from sft.errors import UsageError
from sft.files import open_input, rejects_path
from sft.formats import FORMATS, MARKUPS, Format, SourceOptions, get
from sft.types import Task

HUB_NAMES = ("hf",)  # formats whose source may be the name of a data set instead of a path
SPLITS_IN_FILES = ("pubtabnet", "otsl-parquet")  # one file may hold several splits, or its name says which
QUOTED = ("csv", "tsv", "hf", "im2latex")  # formats that read CSV or TSV


def manifest_path(out: Path) -> Path:
    """Where the account of `out` is written."""
    return out.with_name(f"{out.stem}.manifest.json")


def checked(order: ConvertRequest, source_format: Format) -> ConvertRequest:
    """The order with absolute paths; UsageError for what cannot be."""
    if order.out.suffix != ".jsonl":
        raise UsageError("the output must end in .jsonl", where=str(order.out), hint="the trainers read nothing else")
    out = Path(os.path.abspath(order.out))
    source = order.source
    options = order.options
    if source.exists() or order.format not in HUB_NAMES:
        if not source.exists():
            with open_input(source):  # raises, with the names beside it
                pass
        source = Path(os.path.abspath(source))
        if source.is_file() and any(
            path.exists() and path.samefile(source)
            for path in (out, rejects_path(out), warnings.warnings_path(out), manifest_path(out))
        ):
            raise UsageError("the output would overwrite its source", where=str(source), hint="give another -o")
        out = _spelled_below(source, out)
    if options.images is not None:
        if not options.images.is_dir():
            raise UsageError(
                "no such folder",
                where=str(options.images),
                hint="--images names the folder that image paths are relative to",
            )
        options = replace(
            options,
            images=Path(os.path.abspath(options.images)),
        )
    if options.task is not None and options.task not in source_format.tasks:
        known = ", ".join(task.value for task in source_format.tasks)
        raise UsageError(
            f"{order.format} holds no labels for the task {options.task.value}", hint=f"it can be: {known}"
        )
    if options.quotes != "auto" and source_format.name not in QUOTED:
        raise UsageError(
            f"--quotes {options.quotes}: {source_format.name} reads no CSV or TSV",
            hint=f"it goes with {', '.join(QUOTED)}",
        )
    _check_served(options, source_format)
    if options.split and not source_format.splits:
        raise UsageError(
            f"--split {options.split}: the format {source_format.name} has no splits",
            hint="name the file that you mean as SOURCE",
        )
    if options.split and source.is_file() and source_format.name not in SPLITS_IN_FILES:
        raise UsageError(
            f"--split {options.split} chooses among the files of a folder",
            where=str(source),
            hint="leave --split out, or give the folder",
        )
    options = _with_task(options, source_format)
    version = models.get(order.model)
    task = options.task or source_format.tasks[0]
    if not order.prompt and task not in version.prompts:
        raise UsageError(
            f"{version.served_name} has no prompt for the task {task.value}",
            hint="choose another --model, or give --prompt",
        )
    return replace(
        order, source=source, out=out, options=replace(options, columns=dict(options.columns)), model=version.name
    )


def _check_served(options: SourceOptions, source_format: Format) -> None:
    if not options.as_served:
        return
    if not source_format.served:
        known = ", ".join(name for name in FORMATS if get(name).served)
        raise UsageError(
            f"--as-served: {source_format.name} holds no pages with blocks of known kind", hint=f"it goes with {known}"
        )
    if options.task is Task.SPOTTING:
        raise UsageError(
            "--as-served and --task spotting contradict each other", hint="the pipeline shows Spotting whole pictures"
        )
    if options.turn:
        raise UsageError("--turn and --as-served contradict each other", hint="the PaddleOCR pipeline turns no crop")


def _with_task(options: SourceOptions, source_format: Format) -> SourceOptions:
    """The options with the task that --markup tells: the format's first one that has labels like that."""
    if options.task is not None or options.markup in ("auto", *MARKUPS[source_format.tasks[0]]):
        return options
    return replace(options, task=next((task for task in source_format.tasks if options.markup in MARKUPS[task]), None))


def _spelled_below(source: Path, out: Path) -> Path:
    """`out`, spelled as a path below the folder `source` where it is in it by way of a link: what is ours is known by
    its path.
    """
    real = Path(os.path.realpath(source))
    parent = Path(os.path.realpath(out.parent))
    return (
        source / parent.relative_to(real) / out.name
        if source.is_dir() and (parent == real or real in parent.parents)
        else out
    )


def as_options(order: ConvertRequest) -> dict[str, Any]:
    """Everything but the inputs that decides the output, as the manifest shows it."""
    options = order.options
    return {
        "format": order.format,
        "task": options.task.value if options.task else None,
        "model": order.model,
        "prompt": order.prompt,
        "columns": dict(sorted(options.columns.items())),
        "markup": options.markup,
        "delimiter": options.delimiter,
        "images": os.path.relpath(options.images, order.out.parent) if options.images else None,
        "split": options.split,
        "turn": options.turn,
        "quotes": options.quotes,
        "as_served": options.as_served,
        "to": order.to,
        "copy": order.copy,
        "deep": order.deep,
    }


def options_of(source_format: Format, columns: dict[str, str], **given: Any) -> SourceOptions:
    """Options with the columns checked against what the format knows."""
    from difflib import get_close_matches

    for name in columns:
        if name not in source_format.columns:
            close = get_close_matches(name, source_format.columns, n=1)
            known = ", ".join(source_format.columns) or "none"
            raise UsageError(
                f"{source_format.name} knows no column {name!r}",
                hint=(f"did you mean {close[0]} ? " if close else "") + f"--map takes: {known}",
            )
    return SourceOptions(columns=columns, **given)
