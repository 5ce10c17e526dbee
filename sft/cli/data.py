"""`sft init`, `sft fetch`, `sft draw`, `sft validate`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from sft import data, models, ui
from sft.checks import Context
from sft.cli.common import json_option, list_problems, model_option, print_json
from sft.errors import EXIT_PROBLEMS, UsageError
from sft.reasons import REASONS
from sft.repair import fix as mend
from sft.tokens import Budget, pixel_limits
from sft.validate import Report
from sft.validate import validate as check


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Write a small data set to start from: it validates and trains, and is replaced row by row.

    \b
    Example:
      sft init mine && sft validate mine/train.jsonl && make train DATA=mine/train.jsonl
    """
    for path in data.starting_point(folder):
        click.echo(path)
    ui.say(f"next: `sft validate {folder / 'train.jsonl'}`, then `make train DATA={folder / 'train.jsonl'}`")


@click.command()
@click.argument("name")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder [default: datasets/NAME/full].")
def fetch(name: str, out: Path | None) -> None:
    """Download the public data set NAME (a folder under datasets/), every image made local and checked.

    A fetch that was cut off goes on where it stopped. Exit code 1: rows were rejected, or there are not as many as the card says.

    \b
    Example:
      sft fetch bengali
    """
    from sft.cards import load_card
    from sft.fetch_data import account, fetch_dataset

    folder = data.DATASETS / name
    if not (folder / "dataset.yaml").is_file():
        data.find(name)  # raises with a suggestion
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
    folder = data.DATASETS / name
    if not (folder / "dataset.yaml").is_file():
        data.find(name)
    click.echo(data.draw_sample(folder, say=ui.say))


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@model_option
@click.option("--base", type=click.Path(path_type=Path), metavar="DIR", help="A model directory: sample lengths are checked with its tokenizer.")
@click.option("--max-seq-len", type=int, default=16384, show_default=True, help="Longest sample in tokens; needs --base.")
@click.option("--deep/--no-deep", default=True, show_default=True, help="Decode every image, which finds truncated ones.")
@click.option("--fix", is_flag=True, help="Mend what can be mended without guessing: BOM, blank lines, CRLF, key order.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="With --fix: write here instead of in place.")
@click.option("--limit", type=int, default=20, show_default=True, help="Findings to print.")
@click.option("--codes", is_flag=True, help="List all reason codes and end.")
@json_option
def validate(files: tuple[Path, ...], model_name: str, base: Path | None, max_seq_len: int, deep: bool, fix: bool, out: Path | None, limit: int, codes: bool, as_json: bool) -> None:
    """Check JSONL files row by row. Exit code 0: fit to train; 1: errors were found.

    \b
    Examples:
      sft validate train.jsonl test.jsonl
      sft validate windows.jsonl --fix -o clean.jsonl
    """
    if codes:
        ui.table("Reason codes", ["code", "severity", "meaning"], [[code, severity, text] for code, (severity, text) in REASONS.items()])
        return
    if not files:
        raise click.UsageError("Missing argument 'FILES...'.")
    if out and (not fix or len(files) != 1):
        raise UsageError("-o goes with --fix and one file", hint="`sft validate a.jsonl --fix -o b.jsonl`")
    version = models.get(model_name)
    budget = Budget(base / "tokenizer.json", *pixel_limits(base), max_seq_len) if base else None
    reports = []
    for given in files:
        path = given if given.is_file() else data.find(str(given), say=ui.say).train  # a folder or a name, as DATA= takes it
        if fix and out and out.resolve().parent != path.resolve().parent:
            raise UsageError("image paths count from the folder of the file", where=str(out), hint=f"write the mended file beside the old one: {path.with_name(out.name)}")
        if fix:
            mended = mend(path, out or path)
            ui.say(f"{out or path}: " + (", ".join(f"{code} x {count}" for code, count in sorted(mended.items())) or "nothing to mend"))
            path = out or path
        size = path.stat().st_size if path.is_file() else 0
        with ui.Follow(f"checking {path.name}", max(size, 1), unit=" bytes") as bar:
            reports.append(check(path, Context(path.parent, version, deep, budget), progress=bar.update))
    if as_json:
        print_json([_as_dict(found) for found in reports])
    else:
        for found in reports:
            _show(found, limit)
    if any(found.errors for found in reports):
        sys.exit(EXIT_PROBLEMS)


def _as_dict(found: Report) -> dict[str, object]:
    counts = [{"severity": severity, "code": code, "count": count} for (severity, code), count in sorted(found.counts.items())]
    return {
        "path": str(found.path), "rows": found.rows, "good": found.good, "bad": found.rows - found.good, "errors": found.errors, "warnings": found.warnings,
        "counts": counts, "problems": [asdict(problem) for problem in found.problems],
    }  # fmt: skip


def _show(found: Report, limit: int) -> None:
    list_problems(found, limit)
    if found.counts:
        rows = [[code, severity, str(count)] for (severity, code), count in sorted(found.counts.items())]
        ui.table("", ["reason", "severity", "count"], rows)
    verdict = "fit to train" if not found.errors else "not fit to train"
    ui.out.print(f"{found.path}: {found.rows} rows = {found.good} good + {found.rows - found.good} bad; {found.warnings} warnings; {verdict}", markup=False)
