"""`sft plan`."""

from __future__ import annotations

from dataclasses import dataclass

import click

from sft import ui
from sft.cli.options import as_record, json_option, print_json
from sft.training import BASE_LEARNING_RATE, Plan
from sft.training import plan as planning


@dataclass(frozen=True)
class PlanOptions:
    """The options of `sft plan`, as its help describes them."""

    samples: int
    epochs: float
    gpus: int
    batch: int
    accum: int
    lr: float
    max_steps: int | None
    to_gpus: int | None
    as_json: bool


@click.command()
@click.option("--samples", "-D", type=int, required=True, metavar="D", help="Training samples.")
@click.option(
    "--epochs", "-E", type=float, default=2, show_default=True, metavar="E", help="How many times each sample is seen."
)
@click.option("--gpus", "-G", type=int, default=1, show_default=True, metavar="G")
@click.option(
    "--batch",
    "-B",
    type=int,
    default=8,
    show_default=True,
    metavar="B",
    help="Samples per micro-step and GPU (ERNIEKit: packing_size).",
)
@click.option("--accum", "-A", type=int, default=8, show_default=True, metavar="A", help="Micro-steps per update.")
@click.option("--lr", type=float, default=BASE_LEARNING_RATE, show_default=True, help="Peak learning rate.")
@click.option("--max-steps", type=int, metavar="N", help="Upper limit of updates.")
@click.option("--to-gpus", type=int, metavar="N", help="Show the two ways to another number of GPUs.")
@json_option
@as_record(PlanOptions)
def plan(chosen: PlanOptions) -> None:
    """From D, E, G, B and A to steps, warm-up, learning rate and save interval; the sums are shown.

    \b
    Examples:
      sft plan --samples 29605 --epochs 2 --gpus 1 --batch 8 --accum 8
      sft plan --samples 29605 --to-gpus 4
    """
    made = planning.make_plan(
        samples=chosen.samples,
        epochs=chosen.epochs,
        gpus=chosen.gpus,
        batch=chosen.batch,
        accum=chosen.accum,
        learning_rate=chosen.lr,
        limit=chosen.max_steps,
    )
    same = planning.keep_update(made, chosen.to_gpus) if chosen.to_gpus is not None else []
    scaled = planning.scale_rate(made, chosen.to_gpus) if chosen.to_gpus is not None else None
    if chosen.as_json:
        ways = (
            {"keep_update": [planning.as_dict(way) for way in same], "scale_rate": planning.as_dict(scaled)}
            if scaled
            else {}
        )
        print_json({**planning.as_dict(made), **ways})
        return
    ui.out.print(
        f"D={chosen.samples} E={chosen.epochs:g} G={chosen.gpus} B={chosen.batch} A={chosen.accum}",
        style="bold",
    )
    ui.show_breakdown(planning.breakdown(made), to=ui.out)
    if scaled:
        _ways(made, same, scaled)


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
