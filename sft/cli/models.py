"""`sft tiny-model` and `sft fetch-model`."""

from __future__ import annotations

from pathlib import Path

import click

from sft import models, ui
from sft.cli.options import model_option
from sft.datasets import locate
from sft.errors import UsageError
from sft.files import read_samples
from sft.runtime import environments


@click.command("tiny-model")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--data", "name", default="bengali", show_default=True, metavar="DATA", help="Data whose texts train the tokenizer."
)
@click.option("--seed", type=int, default=23, show_default=True)
@model_option
def tiny_model(folder: Path, name: str, seed: int, model_name: str) -> None:
    """Build a tiny PaddleOCR-VL with random weights: real architecture, real files, 2.7 M parameters.

    \b
    Example:
      sft tiny-model models/tiny --data mine.jsonl
    """
    if folder.exists():  # before the trainer's environment is made; "." has no name for a log beside it
        raise UsageError(
            "this path already exists",
            where=str(folder),
            hint="give a new directory: models/tiny",
        )
    data_set = locate.find(name, say=ui.say)
    python = environments.ensure("trainer").python
    models.make_tiny_model(
        folder,
        (sample for _, sample in read_samples(data_set.train)),
        models.get(model_name),
        pixels=models.tiny.pixels_for(models.tiny.aspect_of(data_set.train)),
        trainer_python=python,
        seed=seed,
        log=folder.with_name(f"{folder.name}.log"),
    )
    click.echo(folder)


@click.command("fetch-model")
@click.argument("name")
@click.option(
    "--from", "source", type=click.Choice(["huggingface", "modelscope"]), default="huggingface", show_default=True
)
@click.option("--revision", metavar="COMMIT", help="A commit, tag or branch [default: that of the model record].")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Directory [default: models/ and the hub's name].")
def fetch_model(name: str, source: str, revision: str | None, out: Path | None) -> None:
    """Download PaddleOCR-VL 0.9B, 1.5 or 1.6 and check that it is complete and what it claims to be.

    \b
    Example:
      sft fetch-model 1.6 --from modelscope
    """

    version = models.get(name)
    out = out or Path("models") / version.hub_id.rpartition("/")[2]
    models.fetch_model(
        version.name,
        out,
        "modelscope" if source == "modelscope" else "huggingface",
        revision,
    )
    click.echo(out)
