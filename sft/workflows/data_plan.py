"""`sft plan DATA`: what a run on this data would be, before a GPU is rented or a model is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sft import models
from sft.datasets import locate as datasets
from sft.errors import UsageError
from sft.runtime import GpuCard, Machine, container, gpu_card, require_bf16
from sft.training import Plan, Request, hardware, model_dir, packing, preflight, settings
from sft.training import plan as planning
from sft.validate import Survey
from sft.workflows.run import check_file

SETTINGS = ("engine", "model", "model_version", "epochs", "gpus", "batch", "accum", "learning_rate", "max_steps")
LENGTH_SETTINGS = ("max_seq_len", "min_pixels", "max_pixels", "seed")
STRIPES = 16  # of the histogram


@dataclass(frozen=True)
class DataPlan:
    """A planned run. findings: why it would not end as planned, each in words; none where all is well."""

    settled: settings.ResolvedSettings
    data: Survey
    plan: Plan
    lengths: preflight.Lengths
    packs: packing.Packing | None
    card: GpuCard | None
    needs: list[hardware.Need]
    findings: list[str]


def plan_data(request: Request, name: str, *, gpu: str | None, say: Callable[[str], None]) -> DataPlan:
    """Measure the rows of `name` as the trainer will count them. gpu: plan for this card, not for this machine."""
    card = gpu_card(gpu) if gpu else None
    machine = (
        _machine(
            card,
            request,
        )
        if card
        else Machine.look()
    )
    data_set = datasets.find(
        name,
        say=say,
    )
    preview = settings.resolve_settings(
        request,
        machine,
        settings.MANY,
    )
    data = check_file(
        data_set.train,
        preview,
    )
    settled = settings.resolve_settings(
        request,
        machine,
        data.count,
    )
    plan = settings.plan_for(
        settled,
        data.count,
    )
    lengths = preflight.measure_lengths(
        data,
        _base(
            settled,
            request,
            data,
            say,
        ),
        settled,
    )
    needs = _needs(
        card,
        lengths,
        settled,
        data,
    )
    return DataPlan(
        settled,
        data,
        plan,
        lengths,
        preflight.pack(
            lengths,
            settled,
            plan,
        ),
        card,
        needs,
        [
            str(problem)
            for problem in preflight.findings(
                lengths,
                data,
                settled,
            )
        ],
    )


def _machine(card: GpuCard, request: Request) -> Machine:
    """A machine that has as many of these cards as are asked for."""
    require_bf16(
        card.title,
        card.compute_capability,
    )
    gpus = int(request.flags.get("gpus") or 1)
    return Machine(
        (
            container.Gpu(
                card.title,
                card.compute_capability,
                int(card.memory * 1000),
                "",
            ),
        )
        * gpus,
        "docker",
    )


def _base(settled: settings.ResolvedSettings, request: Request, data: Survey, say: Callable[[str], None]) -> Path:
    """A directory with the tokenizer and the pixel limits; nothing is downloaded for a plan."""
    model = settled.config.model
    if model == settings.TINY or Path(model).is_dir():
        return model_dir(
            settled,
            request,
            data,
            say=say,
        )
    version = models.get(model)
    path = request.models / version.hub_id.rpartition("/")[2]
    for name in ("tokenizer.json", "preprocessor_config.json"):
        if not (path / name).is_file():
            raise UsageError(
                f"no {name} of {version.hub_id}: lengths are counted with the model's own tokenizer and pixel limits",
                where=str(path),
                hint="put these two files of the model there, or name a directory that has them with --model",
            )
    return path


def _needs(
    card: GpuCard | None, lengths: preflight.Lengths, settled: settings.ResolvedSettings, data: Survey
) -> list[hardware.Need]:
    if not card or not lengths.augmented:
        return []
    return hardware.propose(
        card,
        mean=lengths.mean,
        largest=lengths.augmented.largest,
        samples=data.count,
        epochs=settled.config.epochs,
        gpus=settled.config.gpus,
    )


def histogram(made: DataPlan) -> list[tuple[int, int, int]]:
    """(from, to, rows) of each stripe of lengths, not augmented; `to` is not in the stripe."""
    tokens = made.lengths.tokens
    if not len(tokens):
        return []
    width = max(
        1,
        -(-(int(tokens.max()) + 1) // STRIPES),
    )
    stripes = (tokens // width).tolist()
    return [
        (number * width, (number + 1) * width, stripes.count(number))
        for number in range(
            min(stripes),
            max(stripes) + 1,
        )
    ]


def plan_record(made: DataPlan, price: float | None) -> dict[str, Any]:
    """The plan as JSON; `settings` is what `sft train --config` takes of it. price: of a card and hour."""
    config = made.settled.config
    lengths = made.lengths
    return {
        "settings": {
            name: getattr(
                config,
                name,
            )
            for name in (*SETTINGS, *LENGTH_SETTINGS)
        },
        "data": {"path": str(made.data.path), "sha256": made.data.sha256, "rows": made.data.count},
        "plan": planning.as_dict(made.plan),
        "lengths": {
            "longest": lengths.longest,
            "line": lengths.line,
            "mean": lengths.mean,
            "histogram": [list(stripe) for stripe in histogram(made)],
        },
        "augmented": asdict(lengths.augmented) if lengths.augmented else None,
        "packing": asdict(made.packs) if made.packs else None,
        "gpu": asdict(made.card) if made.card else None,
        "needs": [
            {
                **asdict(need),
                "cost": cost_of(
                    need,
                    config.gpus,
                    price,
                ),
            }
            for need in made.needs
        ],
        "findings": made.findings,
    }


def cost_of(need: hardware.Need, gpus: int, price: float | None) -> float | None:
    """What the run costs where a card costs `price` an hour; None where the price or the hours are not known."""
    return None if price is None or need.hours is None else need.hours * gpus * price
