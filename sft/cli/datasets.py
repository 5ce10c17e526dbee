"""`sft init`, `sft fetch`, `sft draw`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sft import ui
from sft.datasets import locate
from sft.errors import EXIT_PROBLEMS, UsageError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Write a small data set to start from: it validates and trains, and is replaced row by row.

    \b
    Example:
      sft init mine && sft validate mine/train.jsonl && make train DATA=mine/train.jsonl
    """
    for path in locate.starting_point(folder):
        click.echo(path)
    ui.say(f"next: `sft validate {folder / 'train.jsonl'}`, then `make train DATA={folder / 'train.jsonl'}`")


@click.command()
@click.argument("name")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder [default: datasets/NAME/full].")
def fetch(name: str, out: Path | None) -> None:
    """Download the public data set NAME (a folder under datasets/), every image made local and checked.

    A fetch that was cut off goes on where it stopped. Exit code 1: rows were rejected, or there are not as many as the
    card says.

    \b
    Example:
      sft fetch bengali
    """
    from sft.datasets import account, fetch_dataset, load_card

    folder = locate.DATASETS / name
    if not (folder / "dataset.yaml").is_file():
        locate.find(name)  # raises with a suggestion
        raise UsageError("this is a file, not a data set with a card", where=name)
    out = out or folder / "full"
    card = load_card(folder / "dataset.yaml")
    with ui.Phases() as phases:
        manifest = fetch_dataset(folder / "dataset.yaml", out, on_progress=phases.update)
    lines, whole = account(manifest, card, out)
    for line in lines:
        ui.say(line)
    click.echo(out)
    if not whole:
        sys.exit(EXIT_PROBLEMS)


@click.command()
@click.argument("name", default="bengali")
def draw(name: str) -> None:
    """Draw the sample of a data set, if it is not there yet.

    \b
    Example:
      sft draw bengali
    """
    folder = locate.DATASETS / name
    if not (folder / "dataset.yaml").is_file():
        locate.find(name)
    click.echo(locate.draw_sample(folder, say=ui.say))
