"""`sft runs`, `sft status`, `sft reproduce`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from sft import report, ui
from sft.cli.options import json_option, print_json
from sft.training import Run
from sft.workflows import RunStatus, again, list_runs, status_of

INDEX = "index.html"
COLUMNS = (
    "run",
    "state",
    "step",
    "of",
    "data",
    "rows",
    "model",
    "engine",
    "CER before",
    "CER after",
    "warnings",
    "time",
)
run_argument = click.argument("folder", type=click.Path(path_type=Path), metavar="RUN")


@click.command()
@click.argument(
    "folder",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    metavar="[FOLDER]",
)
@json_option
def runs(folder: Path, as_json: bool) -> None:
    """All runs in FOLDER [default: runs], the latest first; FOLDER/index.html has them as a table to sort.

    \b
    Example:
      sft runs
    """
    known = list_runs(folder)
    cells = [_cells(status) for status in known]
    report.write_runs(folder / INDEX, f"{ui.counted(len(known), 'run')} in {folder.name}", COLUMNS, cells)
    if as_json:
        print_json([asdict(status) for status in known])
        return
    ui.table(
        "",
        list(COLUMNS),
        [[_text(cell) for cell in row] for row in cells],
    )
    ui.say(f"as a page: {folder / INDEX}")


def _cells(status: RunStatus) -> list[str | int | float | None]:
    """A row of the table, in the order of COLUMNS."""
    return [
        status.name,
        status.state,
        status.step,
        status.max_steps,
        status.data,
        status.rows,
        status.model,
        status.engine,
        status.before,
        status.after,
        status.warnings,
        status.time,
    ]


def _text(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


@click.command()
@run_argument
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Where RUN stands: state, stage, step, loss, time left. Works while another shell trains.

    \b
    Example:
      sft status runs/bengali-paddleformers-3f9c01a2
    """
    known = status_of(Run.open(folder))
    if as_json:
        print_json(asdict(known))
        return
    lines = {
        "state": f"{known.state}, {known.stage}" if known.stage else known.state,
        "step": f"{known.step} of {known.max_steps or '?'}",
        "loss": _text(known.loss),
        "time left": "" if known.seconds_left is None else f"{known.seconds_left:.0f} s of training",
        "CER before": _text(known.before),
        "CER after": _text(known.after),
        "warnings": str(known.warnings or ""),
    }
    for name, value in lines.items():
        if value:
            ui.out.print(f"{name:<11} {value}", markup=False)


@click.command()
@run_argument
@click.option(
    "--runs",
    "elsewhere",
    type=click.Path(path_type=Path),
    default=Path("runs-again"),
    show_default=True,
    help="Folder for the run that is done again.",
)
def reproduce(folder: Path, elsewhere: Path) -> None:
    """Print the command that does RUN once more, after a look at whether its rows are still what they were.

    \b
    Examples:
      sft reproduce runs/bengali-paddleformers-3f9c01a2
      sft reproduce runs/bengali-paddleformers-3f9c01a2 | sh
    """
    click.echo(again(Run.open(folder), elsewhere))
