"""`sft validate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sft import models, ui
from sft.cli.options import as_record, json_option, list_problems, model_option, print_json
from sft.datasets import locate
from sft.errors import EXIT_PROBLEMS, UsageError
from sft.formats import require_rows
from sft.models import Budget, pixel_limits
from sft.reasons import REASONS
from sft.runtime import Runner
from sft.validate import Context

if TYPE_CHECKING:
    from sft.validate import Entries, Rejects, Report

PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class ValidateOptions:
    """The options of `sft validate`, as its help describes them."""

    files: tuple[Path, ...]
    model_name: str
    base: Path | None
    max_seq_len: int
    deep: bool
    no_images: bool
    against: tuple[Path, ...]
    rejects: Path | None
    workers: int
    runner: str
    address: str
    fix: bool
    out: Path | None
    limit: int
    codes: bool
    as_json: bool


@click.command()
@click.argument("files", nargs=-1, type=PATH)
@model_option
@click.option(
    "--base", type=PATH, metavar="DIR", help="A model directory: sample lengths are checked with its tokenizer."
)
@click.option(
    "--max-seq-len", type=int, default=16384, show_default=True, help="Longest sample in tokens; needs --base."
)
@click.option(
    "--deep/--no-deep",
    default=False,
    show_default=True,
    help="Decode every pixel of every image, and compare images by how they look.",
)
@click.option("--no-images", is_flag=True, help="Do not open any image file.")
@click.option(
    "--against",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="A test set: none of its images may be in FILES. Can be repeated.",
)
@click.option("--rejects", type=PATH, metavar="FILE", help="Write every row with an error there, with its reasons.")
@click.option("--workers", type=click.IntRange(0), default=0, metavar="N", help="Processes [default: one per core].")
@click.option(
    "--runner", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Where the work is done."
)
@click.option("--address", default="", metavar="ADDRESS", help="Of a Ray cluster [default: one is started here].")
@click.option(
    "--fix",
    is_flag=True,
    help="Fix what needs no guessing: BOM, blank lines, CRLF, key order, white space and spelling of answers.",
)
@click.option("-o", "--out", type=PATH, help="With --fix: write here instead of in place.")
@click.option("--limit", type=int, default=20, show_default=True, help="Number of findings to print.")
@click.option("--codes", is_flag=True, help="List all reason codes and exit.")
@json_option
@as_record(ValidateOptions)
def validate(chosen: ValidateOptions) -> None:
    """Check JSONL files row by row, and each as a set. Exit code 0: fit to train; 1: errors were found.

    Of every image the first and the last bytes are read, which finds files that are missing, cut off, too thin or too
    large; with --deep every pixel. FILE may also be the name of a data set or its folder: train, val and test.jsonl are
    checked, and no image of a held-out part may be in another.

    \b
    Examples:
      sft validate train.jsonl test.jsonl
      sft validate train.jsonl --against test.jsonl --rejects bad.jsonl
      sft validate mine/
      sft validate windows.jsonl --fix -o clean.jsonl
    """
    if chosen.codes:
        ui.table(
            "Reason codes",
            ["code", "severity", "meaning"],
            [[code, severity, text] for code, (severity, text) in REASONS.items()],
        )
        return
    if not chosen.files:
        raise click.UsageError("Missing argument 'FILES...'.")
    _refuse(chosen.files, chosen.deep, chosen.no_images, chosen.rejects, chosen.fix, chosen.out)
    jobs = [job for given in chosen.files for job in _jobs(given)]
    if chosen.out and len(jobs) > 1:
        raise UsageError("-o goes with --fix and one file", where=str(chosen.files[0]), hint="name the file itself")
    if chosen.fix:
        jobs = [replace(job, path=_mend(job.path, chosen.out)) for job in jobs]
    version = models.get(chosen.model_name)
    budget = (
        Budget(chosen.base / "tokenizer.json", *pixel_limits(chosen.base), chosen.max_seq_len, version)
        if chosen.base
        else None
    )
    like = Context(
        Path(),
        version,
        chosen.deep,
        budget,
        not chosen.no_images,
        chosen.deep,
    )
    against = tuple(path for given in chosen.against for path in _against(given))
    reports = _check(
        [replace(job, held=(*against, *job.held)) for job in jobs],
        like,
        _runner(chosen.runner, chosen.workers, chosen.address),
        chosen.rejects,
    )
    if chosen.as_json:
        print_json([_as_dict(report) for report in reports])
    else:
        for report in reports:
            _show(report, chosen.limit)
    if any(report.errors for report in reports):
        sys.exit(EXIT_PROBLEMS)


def _refuse(
    files: tuple[Path, ...], deep: bool, no_images: bool, rejects: Path | None, fix: bool, out: Path | None
) -> None:
    if out and (not fix or len(files) != 1):
        raise UsageError("-o goes with --fix and one file", hint="`sft validate a.jsonl --fix -o b.jsonl`")
    if deep and no_images:
        raise UsageError("--deep and --no-images exclude each other")
    if rejects and any(path.exists() and rejects.exists() and rejects.samefile(path) for path in files):
        raise UsageError(
            "the rejects would overwrite the file they come from", where=str(rejects), hint="give another --rejects"
        )


def _runner(kind: str, workers: int, address: str) -> Runner:
    if address and kind != "ray":
        raise UsageError("--address goes with --runner ray")
    return Runner("ray" if kind == "ray" else "local", workers, address)


@dataclass(frozen=True)
class _Job:
    """A file to check; held: files whose images must not be in it."""

    path: Path
    held: tuple[Path, ...] = ()


def _jobs(given: Path) -> list[_Job]:
    """A file; or all files of what DATA= would take, the folder or the name of a data set, in which no image of a held
    part may be in one before it.
    """
    if given.is_file():
        require_rows(given)
        return [_Job(given)]
    train = locate.find(str(given), say=ui.say).train
    parts = [train, *(path for name in ("val", "test") if (path := train.with_name(f"{name}.jsonl")).is_file())]
    return [_Job(path, tuple(parts[number:])) for number, path in enumerate(parts, 1)]


def _against(given: Path) -> list[Path]:
    """A file; or the held parts of a data set, the whole set where it has none."""
    jobs = _jobs(given)
    return [job.path for job in jobs[1:] or jobs]


def _mend(path: Path, out: Path | None) -> Path:
    from sft.validate import fix

    if out and out.resolve().parent != path.resolve().parent:
        raise UsageError(
            "image paths are relative to the folder of the file",
            where=str(out),
            hint=f"write the fixed file beside the old one: {path.with_name(out.name)}",
        )
    fixed = fix(path, out or path)
    ui.say(
        f"{out or path}: "
        + (", ".join(f"{code} x {count}" for code, count in sorted(fixed.items())) or "nothing to fix")
    )
    return out or path


def _check(jobs: Sequence[_Job], like: Context, runner: Runner, rejects: Path | None) -> list[Report]:
    from sft.validate import rejects_file
    from sft.validate import validate as check

    entries: dict[Path, Entries] = {}
    reports = []
    with ExitStack() as stack:
        writer: Rejects | None = stack.enter_context(rejects_file(rejects)) if rejects else None
        for held in dict.fromkeys(path for job in jobs for path in job.held):
            entries[held] = _scan(held, like, runner)
        for job in jobs:
            size = job.path.stat().st_size if job.path.is_file() else 0
            with ui.Follow(f"checking {job.path.name}", max(size, 1), unit=" bytes") as bar:
                report = check(
                    job.path,
                    _for(job.path, like),
                    progress=bar.update,
                    runner=runner,
                    rejects=writer,
                    against=[entries[held] for held in job.held],
                )
            reports.append(report)
    return reports


def _scan(path: Path, like: Context, runner: Runner) -> Entries:
    from sft.validate import scan

    with ui.Follow(f"reading {path.name}", max(path.stat().st_size, 1), unit=" bytes") as bar:
        return scan(path, _for(path, like), runner=runner, progress=bar.update)


def _for(path: Path, like: Context) -> Context:
    """Relative image paths count from the folder of their file."""
    return Context(
        path.parent,
        like.model,
        like.decode,
        like.budget,
        like.look,
        like.alike,
    )


def _as_dict(report: Report) -> dict[str, object]:
    counts = [
        {"severity": severity, "code": code, "count": count}
        for (severity, code), count in sorted(report.counts.items())
    ]
    return {
        "path": str(report.path),
        "rows": report.rows,
        "good": report.good,
        "bad": report.rows - report.good,
        "errors": report.errors,
        "warnings": report.warnings,
        "counts": counts,
        "problems": [asdict(problem) for problem in report.problems],
    }


def _show(report: Report, limit: int) -> None:
    list_problems(report, limit)
    if report.counts:
        rows = [[code, severity, str(count)] for (severity, code), count in sorted(report.counts.items())]
        ui.table("", ["reason", "severity", "count"], rows)
    verdict = "fit to train" if not report.errors else "not fit to train"
    ui.out.print(
        f"{report.path}: {ui.counted(report.rows, 'row')} = {report.good} good + {report.rows - report.good} bad;"
        f" {ui.counted(report.warnings, 'warning')}; {verdict}",
        markup=False,
    )
