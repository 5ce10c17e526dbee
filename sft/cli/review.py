"""`sft review`: rows whose label the model contradicts, and corrections on their way back."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sft import ui
from sft.cli.options import json_option, print_json
from sft.errors import EXIT_PROBLEMS, UsageError
from sft.files import new_folder_beside
from sft.types import Problem

if TYPE_CHECKING:
    from sft.workflows import review as reviewing

SHOWN = 300  # characters of an answer in the page
PATH = click.Path(path_type=Path)


@click.command()
@click.argument("evaluations", metavar="[EVALUATION]...", nargs=-1, type=PATH)
@click.option(
    "-o", "--out", type=PATH, required=True, metavar="PATH", help="Folder of the review; with --apply: the new JSONL."
)
@click.option("--data", type=PATH, metavar="FILE", help="The rows [default: those that results.json names].")
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True, help="Number of rows to review.")
@click.option(
    "--apply",
    "corrected",
    type=PATH,
    metavar="FILE",
    help="Apply corrections: review.csv, an export of Label Studio (.json), PPOCRLabel's Label.txt or a log (.jsonl).",
)
@json_option
def review(
    evaluations: tuple[Path, ...], out: Path, data: Path | None, limit: int, corrected: Path | None, as_json: bool
) -> None:
    """Find labels that are probably wrong: rows where the model and the label disagree although the model is usually
    right. EVALUATION is a folder of `sft eval`, a run, or a predictions.jsonl; several over one data file, such as the
    folds of a cross-validation, are looked at together.

    The folder holds review.html and report.html to look at, and the same rows as review.csv, label-studio.json and
    ppocrlabel/ to correct. A model that was trained on the very rows repeats their labels, wrong ones too: review rows
    that were held out.

    Exit codes: 0; 1 where a correction was rejected.

    \b
    Examples:
      sft review runs/eval/tuned -o review
      sft review fold1 fold2 fold3 --data train.jsonl -o review
      sft review --apply review/review.csv --data train.jsonl -o train-corrected.jsonl
    """
    if corrected is not None:
        _apply(corrected, data, out, as_json)
        return
    if not evaluations:
        raise click.UsageError("Missing EVALUATION: a folder of `sft eval`, a run, or a predictions.jsonl.")
    if out.exists():
        raise UsageError(
            "this path already exists",
            where=str(out),
            hint="corrections in it would be overwritten: give another -o, or remove it",
        )
    from sft.workflows import corrections
    from sft.workflows import review as reviewing

    with ui.Follow("scoring", reviewing.count_answers(evaluations)) as bar:
        reviewed = reviewing.review(evaluations, data=data, limit=limit, progress=bar.update)
    root = corrections.local_files_root(reviewed)
    folder = new_folder_beside(out)
    try:
        files = _write(folder, reviewed)
        os.replace(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    others = reviewed.answers - len(reviewed.suspects)
    ui.say(f"{ui.counted(reviewed.answers, 'answer')} = {len(reviewed.suspects):,} to look at + {others:,} others")
    if reviewed.trained:
        ui.say("caution: a model was trained on these very rows and repeats their labels, wrong ones too")
    ui.say(f"look at {out / 'review.html'} (differences: report.html), correct in one of: {', '.join(files)}")
    ui.say(f"Label Studio shows the pictures with LOCAL_FILES_DOCUMENT_ROOT={root} (docs/review.md)")
    if as_json:
        print_json([_as_dict(item) for item in reviewed.suspects])
    else:
        click.echo(out)


def _write(folder: Path, reviewed: reviewing.Reviewed) -> Sequence[str]:
    """The pages and the files to correct in; the names of these."""
    from sft.report import gather, write_report
    from sft.workflows import corrections

    files = corrections.write_all(folder, reviewed)
    if reviewed.suspects:
        _page(folder / "review.html", reviewed)
        write_report(
            folder / "report.html",
            title=f"{reviewed.data.name}: {len(reviewed.suspects)} labels to look at",
            data=gather([("answers", [item.pred for item in reviewed.suspects])], base=reviewed.data.parent),
            base=reviewed.data.parent,
            notes=[("data", str(reviewed.data)), ("answers", f"{reviewed.answers:,}")],
        )
    return files


def _page(path: Path, reviewed: reviewing.Reviewed) -> None:
    """The rows in their order: picture, label, and what the model reads."""
    from sft.files import ocr_sample
    from sft.report import card, write_view

    cards = []
    for item in reviewed.suspects:
        sample = ocr_sample(item.pred.image, item.pred.prompt, item.pred.ref)
        answer = item.pred.pred if len(item.pred.pred) <= SHOWN else f"{item.pred.pred[:SHOWN]}…"
        said = f"the model reads {answer!r}"
        if item.swapped:
            said += f", the label of line {item.swapped}, whose answer is this label"
        cards.append(
            card(item.pred.id, sample, reviewed.data.parent, [Problem("review", "warning", said, item.pred.id)])
        )
    notes = [
        f"{ui.counted(reviewed.answers, 'answer')}; labels that are probably wrong come first; report.html shows how."
    ]
    write_view(path, f"{reviewed.data.name}: {len(cards)} labels to look at", cards, notes)


def _as_dict(item: Any) -> dict[str, Any]:
    return {
        "id": item.pred.id,
        "row": item.row,
        "task": item.task,
        "label": item.pred.ref,
        "answer": item.pred.pred,
        "error": item.error,
        "rank": item.rank,
        "swapped_with": item.swapped or None,
    }


def _apply(corrected: Path, data: Path | None, out: Path, as_json: bool) -> None:
    from sft.workflows import corrections

    if data is None:
        raise UsageError("--apply needs the rows that were reviewed", hint="--data train.jsonl")
    if out.suffix != ".jsonl":
        raise UsageError("the output must end in .jsonl", where=str(out), hint="for example: -o train-corrected.jsonl")
    size = data.stat().st_size if data.is_file() else 1
    with ui.Follow(f"correcting {data.name}", size, unit=" bytes") as bar:
        made = corrections.apply_corrections(data, corrected, out, progress=bar.update)
    counts = made["counts"]
    ui.say(
        f"{ui.counted(counts['in'], 'row')} = {counts['kept']} kept + {counts['corrected']} corrected"
        f" + {counts['dropped']} dropped;"
        f" {ui.counted(counts['rejected_corrections'], 'correction')} rejected"
        + "".join(f", {code} x {count}" for code, count in counts["reasons"].items())
    )
    if as_json:
        print_json(made)
    else:
        click.echo(out)
    if counts["rejected_corrections"]:
        sys.exit(EXIT_PROBLEMS)
