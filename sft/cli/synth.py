"""`sft synth`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click

from sft import models, ui
from sft.cli.options import as_record, json_option, model_option, print_json

TASKS = {
    "text": "text",
    "paragraph": "paragraph",
    "paragraphs": "paragraph",
    "table": "table",
    "tables": "table",
    "formula": "formula",
    "formulas": "formula",
    "chart": "chart",
    "charts": "chart",
}


@dataclass(frozen=True)
class SynthOptions:
    """The options of `sft synth`, as its help describes them."""

    task: str
    count: int
    out: Path
    fonts: tuple[str, ...]
    texts: Path | None
    seed: int
    degrade: str
    latex: bool
    workers: int
    model_name: str
    as_json: bool


@click.command()
@click.argument("task", type=click.Choice(list(TASKS)), metavar="TASK")
@click.option("-n", "--count", type=click.IntRange(min=1), required=True, metavar="N", help="How many samples.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="OUT.jsonl",
    help="The rows; images go to OUT_images/ beside it.",
)
@click.option(
    "--font",
    "fonts",
    multiple=True,
    metavar="F.ttf",
    help="A font file, bengali, or a DejaVu name; can be repeated [default: DejaVu].",
)
@click.option(
    "--texts",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Texts to render: one per line, or JSONL. For formula: LaTeX.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same bytes.")
@click.option(
    "--degrade",
    type=click.Choice(["none", "light", "medium", "strong"]),
    default="light",
    show_default=True,
    help="Blur, noise, skew, JPEG, shadows, low resolution, uneven light.",
)
@click.option("--latex", is_flag=True, help="Render formulas with the installed LaTeX (latex and dvipng).")
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, show_default="all cores", metavar="N", help="Processes."
)
@model_option
@json_option
@as_record(SynthOptions)
def synth(chosen: SynthOptions) -> None:
    """Generate N samples with known labels. TASK: text, paragraph, table, formula or chart.

    A run that was cut off goes on where it stopped, with the same bytes.

    \b
    Examples:
      sft synth table -n 1000 -o tables.jsonl
      sft synth text -n 500 -o hindi.jsonl --font NotoSansDevanagari-Regular.ttf --texts lines.txt --degrade medium
    """
    from sft.synth import SynthRequest, manifest_path
    from sft.synth import synth as draw

    order = SynthRequest(
        TASKS[chosen.task],
        chosen.count,
        chosen.fonts,
        chosen.texts,
        chosen.seed,
        chosen.degrade,
        models.get(chosen.model_name).name,
        chosen.latex,
        chosen.workers,
    )
    started = time.monotonic()
    with ui.Follow(f"generating {TASKS[chosen.task]}", chosen.count) as bar:
        manifest = draw(order, chosen.out, on_progress=bar.update)
    counts = manifest["counts"]
    reasons = "".join(f", {code} x {number}" for code, number in counts["reasons"].items())
    ui.say(
        f"{counts['in']} asked for = {counts['out']} written + {counts['rejected']} rejected{reasons};"
        f" {chosen.count / max(time.monotonic() - started, 0.001):.0f} a second; {manifest_path(chosen.out)}"
    )
    if skipped := manifest.get("texts", {}).get("skipped"):
        ui.say("texts left out: " + ", ".join(f"{code} x {number}" for code, number in skipped.items()))
    if chosen.as_json:
        print_json(manifest)
    else:
        click.echo(chosen.out)
