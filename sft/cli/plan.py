"""`sft plan`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sft import ui
from sft.cli.options import as_record, json_option, print_json
from sft.errors import EXIT_PROBLEMS, UsageError
from sft.files import write_json
from sft.training import BASE_LEARNING_RATE, Plan, Request
from sft.training import plan as planning

if TYPE_CHECKING:
    from sft.workflows import DataPlan

EPOCHS, GPUS, BATCH, ACCUM = 2.0, 1, 8, 8  # of the formula, where nothing is given
OF_A_RUN = ("engine", "model", "model_version", "epochs", "gpus", "batch", "accum", "max_steps", "max_seq_len")
BAR = 40  # characters of the longest bar


@dataclass(frozen=True)
class PlanOptions:
    """The options of `sft plan`, as its help describes them."""

    name: str | None
    samples: int | None
    epochs: float | None
    gpus: int | None
    batch: int | None
    accum: int | None
    lr: float | None
    max_steps: int | None
    to_gpus: int | None
    engine: str | None
    model: str | None
    model_version: str | None
    max_seq_len: int | None
    gpu: str | None
    price: float | None
    models: Path
    out: Path | None
    as_json: bool


@click.command()
@click.argument("name", required=False, metavar="[DATA]")
@click.option("--samples", "-D", type=int, metavar="D", help="Training samples, where there is no data yet.")
@click.option("--epochs", "-E", type=float, metavar="E", help="How many times each sample is seen [default: 2].")
@click.option("--gpus", "-G", type=int, metavar="G", help="GPUs [default: 1].")
@click.option(
    "--batch", "-B", type=int, metavar="B", help="Samples per micro-step and GPU (ERNIEKit: packing_size) [default: 8]."
)
@click.option("--accum", "-A", type=int, metavar="A", help="Micro-steps per update [default: 8].")
@click.option("--lr", type=float, help=f"Peak learning rate [default: {BASE_LEARNING_RATE:g}].")
@click.option("--max-steps", type=int, metavar="N", help="Upper limit of updates.")
@click.option("--to-gpus", type=int, metavar="N", help="Show the two ways to another number of GPUs.")
@click.option("--engine", metavar="NAME", help="With DATA: erniekit or paddleformers.")
@click.option("--model", metavar="NAME|DIR", help="With DATA: 0.9B, 1.5, 1.6, tiny, or a model directory.")
@click.option("--model-version", metavar="NAME", help="With DATA: version of a directory that does not name its own.")
@click.option("--max-seq-len", type=int, metavar="TOKENS", help="With DATA: longest sample in tokens.")
@click.option("--gpu", metavar="NAME", help="With DATA: plan for this card, e.g. 4090, L4, A100: memory and hours.")
@click.option("--price", type=click.FloatRange(min=0), metavar="X", help="With --gpu: price of a card and hour.")
@click.option("--models", type=click.Path(path_type=Path), default=Path("models"), help="Folder of base models.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="With DATA: a file for `sft train --config`."
)
@json_option
@as_record(PlanOptions)
def plan(chosen: PlanOptions) -> None:
    """From data, or from D, E, G, B and A, to steps, warm-up, learning rate and save interval; the sums are shown.

    With DATA every row is measured as the trainer will count it, plain and augmented.

    \b
    Examples:
      sft plan --samples 29605 --epochs 2 --gpus 1 --batch 8 --accum 8
      sft plan --samples 29605 --to-gpus 4
      sft plan mine.jsonl --model models/PaddleOCR-VL --gpu 4090 --price 0.4 -o plan.json
    """
    if chosen.name:
        _of_data(chosen)
        return
    if chosen.samples is None:
        raise click.UsageError("Missing option '--samples' / '-D', or a data set.")
    if chosen.gpu or chosen.out or chosen.model or chosen.engine or chosen.price is not None:
        raise UsageError(
            "--gpu, --price, --model, --engine and -o need a data set", hint="`sft plan mine.jsonl --gpu 4090`"
        )
    made = planning.make_plan(
        samples=chosen.samples,
        epochs=EPOCHS if chosen.epochs is None else chosen.epochs,
        gpus=GPUS if chosen.gpus is None else chosen.gpus,
        batch=BATCH if chosen.batch is None else chosen.batch,
        accum=ACCUM if chosen.accum is None else chosen.accum,
        learning_rate=BASE_LEARNING_RATE if chosen.lr is None else chosen.lr,
        limit=chosen.max_steps,
    )
    _show_formula(chosen, made)


def _show_formula(chosen: PlanOptions, made: Plan) -> None:
    """The plan without data, and the ways to another number of GPUs."""
    same = (
        planning.keep_update(
            made,
            chosen.to_gpus,
        )
        if chosen.to_gpus is not None
        else []
    )
    scaled = (
        planning.scale_rate(
            made,
            chosen.to_gpus,
        )
        if chosen.to_gpus is not None
        else None
    )
    if chosen.as_json:
        ways = (
            {"keep_update": [planning.as_dict(way) for way in same], "scale_rate": planning.as_dict(scaled)}
            if scaled
            else {}
        )
        print_json({**planning.as_dict(made), **ways})
        return
    ui.out.print(
        f"D={made.samples} E={made.epochs:g} G={made.gpus} B={made.batch} A={made.accum}",
        style="bold",
    )
    ui.show_breakdown(
        planning.breakdown(made),
        to=ui.out,
    )
    if scaled:
        _ways(
            made,
            same,
            scaled,
        )


def _of_data(chosen: PlanOptions) -> None:
    """The plan of a run on data: exit code 1 where it would not end as planned."""
    from sft.workflows import plan_data, plan_record  # brings the whole job with it

    if chosen.samples is not None:
        raise UsageError(
            "either a data set or --samples",
            hint="leave --samples out: the rows are counted",
        )
    if chosen.price is not None and not chosen.gpu:
        raise UsageError(
            "--price needs --gpu",
            hint="`sft plan mine.jsonl --gpu 4090 --price 0.4`",
        )
    flags: dict[str, Any] = {
        name: getattr(
            chosen,
            name,
        )
        for name in OF_A_RUN
    }
    flags["learning_rate"] = chosen.lr
    given = {name: value for name, value in flags.items() if value is not None}
    made = plan_data(
        Request(
            given,
            models=chosen.models,
        ),
        str(chosen.name),
        gpu=chosen.gpu,
        say=ui.say,
    )
    record = plan_record(
        made,
        chosen.price,
    )
    if chosen.out:
        write_json(
            chosen.out,
            record,
        )
        ui.say(f"plan: {chosen.out}; `sft train {chosen.name} --config {chosen.out}` takes its settings")
    if chosen.as_json:
        print_json(record)
    else:
        _show_data(
            chosen,
            made,
        )
    if made.findings:
        sys.exit(EXIT_PROBLEMS)


def _show_data(chosen: PlanOptions, made: DataPlan) -> None:
    """In words, with the histogram of lengths."""
    plan = made.plan
    ui.out.print(
        f"D={plan.samples} E={plan.epochs:g} G={plan.gpus} B={plan.batch} A={plan.accum}, {made.settled.config.engine}",
        style="bold",
    )
    ui.show_breakdown(
        planning.breakdown(plan),
        to=ui.out,
    )
    _show_lengths(made)
    _show_histogram(made)
    _show_needs(
        chosen,
        made,
    )
    for finding in made.findings:
        ui.out.print(
            ui.plain(finding),
            markup=False,
        )


def _show_lengths(made: DataPlan) -> None:
    """Longest, augmented and packed."""
    from sft.training import preflight

    lengths = made.lengths
    plan = made.plan
    lines = {
        "longest sample": f"{lengths.longest} tokens (line {lengths.line}) of max_seq_len"
        f" {made.settled.config.max_seq_len}; mean {lengths.mean:.0f}"
    }
    drawn = lengths.augmented
    if drawn:
        chance = f", above max_seq_len in {drawn.above_limit:.1%} of its draws" if drawn.above_limit else ""
        lines["as augmented"] = f"up to {drawn.largest} tokens (line {drawn.line}){chance}"
    packs = made.packs
    if packs:
        filled = f"{packs.rows:.2f} samples in each, filled to {packs.filling:.0%}"
        lines["packs"] = f"{packs.packs:.0f} a GPU, {filled}; {packs.max_steps} steps make {plan.epochs:g} epochs"
    for name, text in lines.items():
        ui.out.print(f"  {name:<20} {text}", markup=False)
    for note in (
        preflight.augmented_note(lengths),
        preflight.packing_note(
            packs,
            plan,
        ),
    ):
        if note:
            ui.say(f"warning: {note}")


def _show_histogram(made: DataPlan) -> None:
    """Rows by length, one stripe a line; the cut is marked."""
    from sft.workflows import histogram

    stripes = histogram(made)
    most = max((count for _, _, count in stripes), default=0)
    limit = made.settled.config.max_seq_len
    ui.out.print(
        "\nTokens of the rows, not augmented",
        style="bold",
    )
    for start, end, count in stripes:
        cut = "  max_seq_len" if start <= limit < end else ""
        bar = "#" * -(-BAR * count // most)
        ui.out.print(f"  {start:>6} to {end - 1:>6}  {count:>8}  {bar}{cut}", markup=False)


def _show_needs(chosen: PlanOptions, made: DataPlan) -> None:
    """Memory, hours and cost on the card, for full training and LoRA."""
    if not made.card or not made.needs:
        return
    from sft.training import hardware
    from sft.workflows import cost_of

    rows = []
    for need in made.needs:
        cost = cost_of(
            need,
            made.plan.gpus,
            chosen.price,
        )
        fits = "yes" if need.fits else "no"
        hours = "?" if need.hours is None else f"{need.hours:.1f}"
        numbers = [f"{need.batch}", f"{need.accum}", f"{need.memory:.1f}", hours]
        rows.append([need.method, fits, *numbers, "" if cost is None else f"{cost:.2f}"])
    ui.table(
        f"\n{made.card.title}, {made.card.memory:g} GB, {made.plan.gpus} of them (memory ±{hardware.MEMORY_ERROR:.0%},"
        f" hours ±{hardware.TIME_ERROR:.0%} where it could be compared)",
        ["method", "fits", "B", "A", "GB", "hours", "cost"],
        rows,
    )


def _ways(made: Plan, same: list[Plan], scaled: Plan) -> None:
    rows = [
        [
            "1. same update",
            f"{way.batch}",
            f"{way.accum}",
            f"{way.samples_per_update}",
            f"{way.max_steps}",
            f"{way.warmup_steps}",
            f"{way.learning_rate:g}",
        ]
        for way in same
    ]
    if not same:
        ui.say(
            f"G·B·A = {made.samples_per_update} cannot be divided by {scaled.gpus} GPUs in whole numbers; only the"
            " second way is left"
        )
    rows.append(
        [
            "2. scaled rate",
            f"{scaled.batch}",
            f"{scaled.accum}",
            f"{scaled.samples_per_update}",
            f"{scaled.max_steps}",
            f"{scaled.warmup_steps}",
            f"{scaled.learning_rate:g}",
        ]
    )
    ui.table(
        f"\nFrom {made.gpus} to {scaled.gpus} GPUs",
        ["way", "B", "A", "samples/update", "max_steps", "warm-up", "learning rate"],
        rows,
    )
