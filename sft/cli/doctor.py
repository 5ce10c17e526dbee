"""`sft doctor`: all checks on any model directory."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from sft import models, ui
from sft.cli.options import json_option, print_json
from sft.errors import EXIT_PROBLEMS


@click.command()
@click.argument("model_dir", type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Write a copy in which everything is mended that can be without the base.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="COPY", help="New directory for --fix.")
@json_option
def doctor(model_dir: Path, fix: bool, out: Path | None, as_json: bool) -> None:
    """Say what a model directory is and what keeps it from serving, one line per check; exit 1 where one failed.

    \b
    Examples:
      sft doctor models/mine
      sft doctor models/mine --fix -o models/mended
    """
    if fix != (out is not None):
        raise click.UsageError("--fix and -o COPY go together: the directory itself is never changed.")
    if out is not None:
        models.say_export(models.mended(model_dir, out), out)
        model_dir = out
    diagnosis = models.diagnose(model_dir)
    if as_json:
        print_json({"model_dir": str(model_dir), "ok": diagnosis.ok, **asdict(diagnosis)})
    else:
        for check in diagnosis.checks:
            click.echo(ui.plain(f"{check.state:8} {check.name:13} {check.message}"))
            if check.hint:
                click.echo(ui.plain(f"{'':22} hint: {check.hint}"))
    sys.exit(0 if diagnosis.ok else EXIT_PROBLEMS)
