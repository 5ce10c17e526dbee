"""`sft prelabel`: first labels for pictures that have none."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sft import models, serving, ui
from sft.cli.options import (
    api_key_option,
    as_record,
    concurrency_option,
    json_option,
    max_tokens_option,
    model_option,
    patience_option,
    print_json,
)
from sft.errors import EXIT_PROBLEMS, UsageError
from sft.inference import scheduler
from sft.types import Task
from sft.workflows import corrections

PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class PrelabelOptions:
    """The options of `sft prelabel`, as its help describes them."""

    images: tuple[Path, ...]
    out: Path
    urls: tuple[str, ...]
    task: str
    kinds: tuple[str, ...]
    served_name: str | None
    api_key: str | None
    concurrency: int | None
    patience: float
    max_tokens: int | None
    limit: int | None
    model_name: str
    as_json: bool


@click.command()
@click.argument("images", metavar="IMAGES...", nargs=-1, required=True, type=PATH)
@click.option("-o", "--out", type=PATH, required=True, metavar="DIR", help="A new folder for rows, images and files.")
@click.option(
    "--url",
    "urls",
    multiple=True,
    default=(f"http://127.0.0.1:{serving.DEFAULT_PORT}",),
    show_default=True,
    metavar="URL",
    help="Address of the server. Can be repeated: several share the work.",
)
@click.option(
    "--task",
    type=click.Choice([task.value for task in (Task.OCR, Task.TABLE, Task.FORMULA, Task.CHART)]),
    default=Task.OCR.value,
    show_default=True,
    help="What the pictures show.",
)
@click.option(
    "--to",
    "kinds",
    type=click.Choice(corrections.KINDS),
    multiple=True,
    default=("csv",),
    show_default=True,
    help="What to correct in. Can be repeated.",
)
@click.option("--served-name", metavar="NAME", help="Name of the served model [default: the server's own].")
@api_key_option
@concurrency_option
@patience_option(scheduler.PATIENCE)
@max_tokens_option
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N pictures.")
@model_option
@json_option
@as_record(PrelabelOptions)
def prelabel(chosen: PrelabelOptions) -> None:
    """Let a served model write first labels for pictures that have none. IMAGES are files, or folders in which all
    pictures are taken.

    The folder gets rows.jsonl (samples with the model's answers as labels), the pictures, and files to correct in;
    `sft review --apply` makes the next rows of what was corrected. Answers are kept as they come: run the same command
    to resume. Exit code 1: some pictures have no answer (rejects.jsonl says why); 3: the servers were gone.

    \b
    Examples:
      sft prelabel photos/ --url http://127.0.0.1:8118 -o first
      sft prelabel tables/ --task table --to label-studio -o first
      sft review --apply first/review.csv --data first/rows.jsonl -o first/corrected.jsonl
    """
    from sft.workflows import prelabel as prelabelling

    version = models.get(chosen.model_name)
    request = prelabelling.PrelabelRequest(
        chosen.images,
        chosen.out,
        tuple(dict.fromkeys(chosen.urls)),
        version.prompts[Task(chosen.task)],
        chosen.kinds,
        chosen.served_name,
        chosen.api_key,
        chosen.concurrency,
        chosen.patience,
        chosen.max_tokens,
        chosen.limit,
    )
    if chosen.out.suffix == ".jsonl":
        raise UsageError("the output is a folder", where=str(chosen.out), hint="for example: -o first")
    paths = prelabelling.pictures(chosen.images, chosen.limit)
    with ui.Follow("answers", len(paths)) as bar:
        account = prelabelling.prelabel(
            request,
            paths,
            on_done=lambda pred: None if pred.reason == "answer.not_asked" else bar.one(),
            say=ui.say,
        )
    if chosen.as_json:
        print_json(account)
    else:
        _show(chosen.out, account)
    if account["counts"]["rejected"]:
        sys.exit(EXIT_PROBLEMS)


def _show(out: Path, account: dict[str, Any]) -> None:
    counts = account["counts"]
    why = "".join(f", {code} x {count}" for code, count in account["reasons"].items())
    ui.say(
        f"{ui.counted(counts['in'], 'picture')} = {ui.counted(counts['out'], 'row')}"
        f" + {counts['rejected']} rejected{why}"
    )
    if account["cut_off"]:
        ui.say(f"answers cut off at the longest length: {account['cut_off']}; --max-tokens allows more")
    ui.say(f"correct in one of: {', '.join(account['files'])}; then")
    ui.say(f"  sft review --apply CORRECTED --data {out}/{account['rows']} -o {out}/corrected.jsonl")
    if "label-studio.json" in account["files"]:
        ui.say(f"Label Studio shows the pictures with LOCAL_FILES_DOCUMENT_ROOT={out.absolute()} (docs/review.md)")
    click.echo(out)
