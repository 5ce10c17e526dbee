"""`sft stats`, `sft view`."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from sft import models, ui
from sft.cli.options import json_option, model_option, print_json
from sft.datasets import MEASURES, QUANTILES, Stats, gather, locate
from sft.errors import UsageError
from sft.formats import require_rows
from sft.models import Budget, pixel_limits
from sft.types import Problem, Sample

KINDS_SHOWN = 8


def _page(path: Path) -> Path:
    """Where a page goes: a name that ends with .html, so that no data can be meant."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(
            "a page is an .html file",
            where=str(path),
            hint=f"{path.with_suffix('.html')}",
        )
    return path


def _file(name: Path) -> Path:
    """A file, a folder or a name, as DATA= takes it."""
    if name.is_file():
        require_rows(name)
    return name if name.is_file() else locate.find(str(name), say=ui.say).train


@click.command()
@click.argument("name", metavar="DATA", type=click.Path(path_type=Path))
@model_option
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A model directory: its tokenizer and pixel limits count the tokens.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write a page with histograms and random rows.",
)
@click.option("--rows", type=click.IntRange(min=0), default=60, show_default=True, help="Rows in the page.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the rows shown.")
@json_option
def stats(
    name: Path, model_name: str, base: Path | None, html: Path | None, rows: int, seed: int, as_json: bool
) -> None:
    """What a data set is made of: tasks, scripts, lengths, image sizes, tokens.

    \b
    Examples:
      sft stats train.jsonl
      sft stats train.jsonl --base models/PaddleOCR-VL --html stats.html
    """
    if html:
        _page(html)
    path = _file(name)
    budget = Budget(base / "tokenizer.json", *pixel_limits(base), 1) if base else None
    with ui.Follow(f"reading {path.name}", max(path.stat().st_size, 1), unit=" bytes") as bar:
        gathered = gather(
            path, models.get(model_name), budget=budget, pick=rows if html else 0, seed=seed, progress=bar.update
        )
    if html:
        from sft.report import write_stats

        write_stats(html, gathered)
        ui.say(f"page: {html}")
    if as_json:
        print_json(gathered.as_dict())
    else:
        _show(gathered)


def _show(stats: Stats) -> None:
    ui.out.print(
        f"{stats.path}: {ui.counted(stats.rows, 'row')}"
        + (f", {stats.unreadable:,} more are not samples" if stats.unreadable else ""),
        markup=False,
    )
    if stats.no_image:
        ui.out.print(f"images that cannot be read: {stats.no_image:,}; `sft validate` says why", markup=False)
    for name, counter in stats.counts.items():
        if counter and (len(counter) > 1 or name in ("task", "script")):
            rows = [
                [label or "none", f"{count:,}", f"{count / max(1, sum(counter.values())):.1%}"]
                for label, count in counter.most_common(KINDS_SHOWN)
            ]
            if len(counter) > KINDS_SHOWN:
                rows.append(
                    [
                        f"and {len(counter) - KINDS_SHOWN} more",
                        f"{sum(counter.values()) - sum(count for _, count in counter.most_common(KINDS_SHOWN)):,}",
                        "",
                    ]
                )
            ui.table("", [name, "rows", "share"], rows)
    numbers = [(unit, summary) for name, unit in MEASURES.items() if (summary := stats.numbers(name))]
    if numbers:
        ui.table(
            "",
            ["", *(label for label, _ in QUANTILES), "mean"],
            [
                [unit, *(f"{value:,.5g}" for value in summary.quantiles.values()), f"{summary.mean:,.5g}"]
                for unit, summary in numbers
            ],
        )


@click.command()
@click.argument("name", metavar="DATA", type=click.Path(path_type=Path))
@model_option
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="The page [default: DATA.view.html]."
)
@click.option("--rows", type=click.IntRange(min=1), default=40, show_default=True, help="Number of random rows.")
@click.option(
    "--suspicious", type=click.IntRange(min=0), default=40, show_default=True, help="Rows with findings, errors first."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the rows shown.")
@click.option("--open/--no-open", "show", default=False, show_default=True, help="Open it in a browser.")
def view(name: Path, model_name: str, out: Path | None, rows: int, suspicious: int, seed: int, show: bool) -> None:
    """Look at rows: drawn at random, and those that `sft validate` found something in. Tables as tables, formulas as
    formulas.

    \b
    Example:
      sft view train.jsonl --open
    """
    from sft.report import RowCard, card, write_view
    from sft.validate import Context, validate

    path = _file(name)
    out = _page(out) if out else path.with_suffix(".view.html")
    version = models.get(model_name)
    size = max(path.stat().st_size, 1)
    with ui.Follow(f"checking {path.name}", size, unit=" bytes") as bar:
        report = validate(
            path,
            Context(path.parent, version, decode=False),
            progress=bar.update,
        )
    findings: dict[int, list[Problem]] = {}
    for problem in sorted(
        report.problems,
        key=lambda item: (item.severity != "error", item.line),
    ):
        findings.setdefault(problem.line, []).append(problem)
    findings.pop(0, None)
    lines = sorted(list(findings)[:suspicious])
    with ui.Follow(f"drawing from {path.name}", size, unit=" bytes") as bar:
        picked = gather(path, version, pick=rows, seed=seed, progress=bar.update).picked
    named = _lines(path, lines)
    if not picked and not named:
        raise UsageError("no row that can be shown", where=str(path), hint=f"`sft validate {path}` says what is wrong")
    cards: list[RowCard] = [card(line, sample, path.parent, findings[line]) for line, sample in named]
    cards += [
        card(line, sample, path.parent, findings.get(line, ())) for line, sample in picked if line not in set(lines)
    ]
    unread = len(lines) - len(named)
    notes = [f"{ui.counted(len(named), 'row')} with findings, then rows drawn at random (seed {seed})"] + (
        [f"further rows with findings that are no samples and cannot be drawn: {unread}"] if unread else []
    )
    write_view(
        out,
        f"{path.name}: {len(cards)} of {ui.counted(report.rows, 'row')}",
        cards,
        notes,
    )
    click.echo(out)
    if show:
        webbrowser.open(out.resolve().as_uri())


def _lines(path: Path, wanted: list[int]) -> list[tuple[int, Sample]]:
    """The samples on these lines; what is no sample is left out."""
    import msgspec

    from sft.files import bounded_lines, decode, open_input

    samples = []
    left = set(wanted)
    with open_input(path) as stream:
        for number, text, _ in bounded_lines(stream):
            if number in left:
                left.discard(number)
                try:
                    sample = decode(text)
                    if sample.ref is not None:
                        samples.append((number, sample))
                except (msgspec.MsgspecError, ValueError, RecursionError, StopIteration):
                    pass
            if not left:
                break
    return samples
