"""`sft compare-models`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sft import ui
from sft.cli.compare import CompareOptions, conclude
from sft.cli.evaluate import NAME, data_label, rows_to_score, suite_to_score
from sft.cli.options import as_record, json_option, metric_option
from sft.errors import UsageError

if TYPE_CHECKING:
    from sft.workflows import RowsToAsk

SUITES = Path("runs/eval/compare-models")  # suites are made ready beside it


@dataclass(frozen=True)
class CompareModelsOptions:
    """The options of `sft compare-models`, as its help describes them."""

    given: tuple[str, ...]
    data: str | None
    max_tokens: int | None
    device: str | None
    gpu_memory: float
    models: Path
    gate: Path | None
    all_slices: bool
    fresh: bool
    out: Path | None
    metrics: tuple[str, ...]
    seed: int
    as_json: bool


@click.command("compare-models")
@click.argument("given", nargs=-1, required=True, metavar="NAME=MODEL...")
@click.option(
    "--data",
    metavar="DATA|SUITE",
    help="What to score on, as for `sft eval` [default: the held-out rows of the last model's run].",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Longest answer in tokens [default: half of the server's context, at most 4096].",
)
@click.option("--device", type=click.Choice(["cpu", "gpu"]), help="[default: gpu where there is one]")
@click.option(
    "--gpu-memory",
    type=click.FloatRange(min=0, min_open=True, max=1),
    default=0.8,
    show_default=True,
    help="Share of the GPU's memory that vLLM takes.",
)
@click.option(
    "--models",
    type=click.Path(path_type=Path),
    default=Path("models"),
    show_default=True,
    help="Folder of base models.",
)
@click.option(
    "--gate", type=click.Path(path_type=Path), metavar="YAML", help="A file of limits; exit code 1 if one is broken."
)
@click.option("--slices", "all_slices", is_flag=True, help="Show every slice, not only the tasks.")
@click.option("--fresh", is_flag=True, help="Ask again what was answered before.")
@metric_option
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the intervals and tests.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the results [default: runs/compare-models/ and the data's name].",
)
@json_option
@as_record(CompareModelsOptions)
def compare_models(chosen: CompareModelsOptions) -> None:
    """Serve models one after the other, score each on the same rows, and compare them.

    MODEL is a run, a model directory, or a released version (0.9B, 1.5, 1.6), which is downloaded if it is missing; the
    first one is the base, and one alone is compared with what it was trained from. Each server is stopped before the
    next one starts, also where something fails. What a model has answered before, for a run or another comparison, is
    not asked again. Exit codes as of `sft compare`; 3: no server can run here, or one failed.

    \b
    Examples:
      sft compare-models base=0.9B tuned=runs/mine-erniekit-3f9c01a2 --data mine
      sft compare-models tuned=runs/mine-erniekit-3f9c01a2
      sft compare-models base=models/PaddleOCR-VL a=runs/a b=runs/b --data tasks --gate eval/gates/ci.yaml
    """
    from sft.evaluation import load_gates, require
    from sft.workflows import ComparePlan, find_models, held_out_rows, score_models

    require(chosen.metrics)
    if chosen.gate:
        load_gates(chosen.gate)  # a mistake there should not cost the time of scoring
    named = [_named(text) for text in chosen.given]
    doubled = {name for name, _ in named if [other for other, _ in named].count(name) > 1}
    if doubled:
        raise UsageError(f"two models are called {sorted(doubled)[0]}", hint="give each a name of its own")
    rows = _rows(chosen) if chosen.data else None  # before a model is downloaded
    to_compare = find_models(named, chosen.models)
    rows = rows or held_out_rows(to_compare)
    scored = score_models(to_compare, rows, ComparePlan(chosen.out, chosen.device, chosen.gpu_memory, chosen.fresh))
    for (name, _), model in zip(scored.runs, to_compare, strict=True):
        ui.say(f"{name}: {model.directory}")
    conclude(
        scored.runs,
        CompareOptions(
            (),
            rows.data,
            chosen.gate,
            chosen.all_slices,
            scored.out,
            (*chosen.metrics, *(rows.suite.suite.extras if rows.suite else ())),
            chosen.seed,
            0,
            scored.version.name,
            chosen.as_json,
        ),
    )


def _named(text: str) -> tuple[str, str]:
    name, mark, model = text.partition("=")
    if not mark or not model:
        raise UsageError(f"{text!r} has no name", hint=f"tuned={text.strip('=')}, say")
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a valid name", hint="letters, digits and . _ -")
    return name, model


def _rows(chosen: CompareModelsOptions) -> RowsToAsk:
    from sft.workflows import RowsToAsk

    name = chosen.data or ""
    suite = suite_to_score(name, SUITES)
    if suite:
        return RowsToAsk(suite.data, suite.suite.name, chosen.max_tokens, suite)
    data = rows_to_score(name)
    return RowsToAsk(data, data_label(data), chosen.max_tokens)
