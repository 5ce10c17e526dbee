"""Arithmetic that speaks: D samples, E epochs, G GPUs, B samples per micro-step, A accumulation steps → the run.

    max_steps    = ceil(D·E / (G·B·A))        ERNIEKit has no epochs, so this number decides how much is trained
    warmup_steps = ceil(1 % of max_steps), but 0 where that is 1

The formula and its example (29605 samples, 2 epochs, 1 GPU, 8, 8 → 926 and 10) are those of ERNIEKit's
`docs/paddleocr_vl_sft.md`. B is `packing_size` for ERNIEKit and `per_device_train_batch_size` for PaddleFormers.

PaddleFormers 1.2.0 goes over a map-style data set in whole passes, each row once: ceil(D / (G·B)) micro-steps, whole
groups of A of which are updates. What is left over at the end of a pass goes into the first update of the next one. So

    max_steps    = ceil(E · floor(ceil(D / (G·B)) / A))

Both trainers raise the learning rate from 0, so the first of W warm-up updates changes nothing (update k runs at
(k-1)/W of the peak), and with W = 1 a whole update would be lost for no warm-up at all. The cosine would reach its end
one update after the last: the smallest rate is in the log, never in use.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from fractions import Fraction

from sft.errors import UsageError
from sft.training.config import BASE_LEARNING_RATE

WARMUP_SHARE = Fraction(1, 100)
SAVE_EVERY_AT_MOST = 200  # steps; a crash costs no more than that
SAVES_PER_RUN = 5
LOG_LINES_PER_RUN = 200
MIN_LEARNING_RATE_SHARE = 0.1  # the cosine ends at a tenth


@dataclass(frozen=True)
class Plan:
    """The numbers a trainer needs, and the ones they come from. `limit` caps max_steps; None where nothing does."""

    samples: int  # D
    epochs: float  # E
    gpus: int  # G
    batch: int  # B
    accum: int  # A
    learning_rate: float
    limit: int | None = None
    passes: bool = False  # the trainer goes over the data in whole passes, as PaddleFormers does

    @property
    def samples_per_update(self) -> int:
        """G·B·A."""
        return self.gpus * self.batch * self.accum

    @property
    def formula_steps(self) -> int:
        """ceil(D·E / (G·B·A)), the documented formula."""
        return math.ceil(self._epochs * self.samples / self.samples_per_update)

    @property
    def _epochs(self) -> Fraction:
        return Fraction(str(self.epochs))  # str: 0.1 is what was typed, not its binary neighbour

    @property
    def micro_steps(self) -> int:
        """Micro-steps of a GPU in a pass: ceil(floor(D / G) / B). What G does not divide is left out of every pass."""
        return math.ceil(self.samples // self.gpus / self.batch)

    @property
    def updates_per_pass(self) -> int:
        """Updates in a whole pass over the data."""
        return max(1, self.micro_steps // self.accum)

    @property
    def left_over(self) -> int:
        """Samples at the end of a pass that make no whole update: they count in the next pass's first one."""
        rest = self.micro_steps - self.updates_per_pass * self.accum
        return (
            max(
                0,
                self.samples - (self.micro_steps - rest) * self.gpus * self.batch,
            )
            if rest > 0
            else 0
        )

    @property
    def wanted_steps(self) -> int:
        """max_steps before any limit."""
        return math.ceil(self._epochs * self.updates_per_pass) if self.passes else self.formula_steps

    @property
    def max_steps(self) -> int:
        """Optimizer updates of the whole run."""
        return self.wanted_steps if self.limit is None else min(self.wanted_steps, self.limit)

    @property
    def warmup_steps(self) -> int:
        """Steps in which the learning rate rises from 0; none where there would be one, since that runs at rate 0."""
        steps = math.ceil(WARMUP_SHARE * self.max_steps)
        return steps if steps > 1 else 0

    @property
    def save_steps(self) -> int:
        """Steps between checkpoints: five per run, at most 200 apart."""
        return max(
            1,
            min(SAVE_EVERY_AT_MOST, math.ceil(self.max_steps / SAVES_PER_RUN)),
        )

    @property
    def logging_steps(self) -> int:
        """Steps between log lines."""
        return max(1, self.max_steps // LOG_LINES_PER_RUN)

    @property
    def min_learning_rate(self) -> float:
        """Where the cosine ends."""
        return float(f"{self.learning_rate * MIN_LEARNING_RATE_SHARE:.6g}")  # 5e-07, not 5.000000000000001e-07

    @property
    def epochs_seen(self) -> float:
        """How often each sample is really seen."""
        if self.passes:
            return self.max_steps / self.updates_per_pass
        return self.max_steps * self.samples_per_update / self.samples


def make_plan(
    *,
    samples: int,
    epochs: float,
    gpus: int,
    batch: int,
    accum: int,
    learning_rate: float = BASE_LEARNING_RATE,
    limit: int | None = None,
    passes: bool = False,
) -> Plan:
    """A checked `Plan`; every number that makes no sense is named in one error."""
    faults = [
        f"{name} is {value:g}, must be {least}"
        for name, value, least, bad in (
            ("samples (D)", samples, "at least 1", samples < 1),
            ("epochs (E)", epochs, "above 0 and finite", not (0 < epochs < math.inf)),
            ("gpus (G)", gpus, "at least 1", gpus < 1),
            ("batch (B)", batch, "at least 1", batch < 1),
            ("accum (A)", accum, "at least 1", accum < 1),
            ("learning rate", learning_rate, "above 0 and below 1", not (0 < learning_rate < 1)),
            ("max steps", 1 if limit is None else limit, "at least 1", limit is not None and limit < 1),
        )
        if bad
    ]
    if faults:
        raise UsageError(
            "; ".join(faults),
            hint="`sft plan --samples 29605 --epochs 2 --gpus 1 --batch 8 --accum 8` is a valid plan",
        )
    plan = Plan(samples, epochs, gpus, batch, accum, learning_rate, limit, passes)
    if plan.samples_per_update > samples:
        raise UsageError(
            f"one update takes G·B·A = {gpus}·{batch}·{accum} = {plan.samples_per_update} samples, but there are only D"
            f" = {samples}",
            hint=f"choose {'batch and accum' if gpus <= samples else 'gpus'} so that G·B·A is at most {samples}, "
            + (
                f"for example --batch {min(batch, samples // gpus)} --accum 1"
                if gpus <= samples
                else f"for example --gpus {samples} --batch 1 --accum 1"
            ),
        )
    return plan


def fit_batch(samples: int, *, gpus: int, batch: int, accum: int) -> tuple[int, int]:
    """(batch, accum) made smaller until one update fits into `samples`; for defaults only, never for what a user asked
    for.
    """
    accum = max(
        1,
        min(accum, samples // (gpus * batch)),
    )
    return max(
        1,
        min(batch, samples // (gpus * accum)),
    ), accum


def breakdown(plan: Plan) -> list[tuple[str, str, str]]:
    """Every derived number with its factors: (name, the sum, the result)."""
    ratio = plan.samples * plan.epochs / plan.samples_per_update
    factors = f"{plan.gpus}·{plan.batch}·{plan.accum}"
    rows = [
        ("samples per update", f"G·B·A = {factors}", f"{plan.samples_per_update}"),
        (
            "max_steps",
            (
                f"ceil(D·E / (G·B·A)) = ceil({plan.samples}·{plan.epochs:g} / {plan.samples_per_update}) ="
                f" ceil({ratio:.2f})"
            ),
            f"{plan.formula_steps}",
        ),
    ]
    if plan.passes:
        rows += _passes(plan)
    if plan.limit is not None and plan.limit < plan.wanted_steps:
        rows.append(
            (
                "max_steps, limited",
                (
                    f"min({plan.wanted_steps}, {plan.limit}); each sample is seen {plan.epochs_seen:.2f} times instead"
                    f" of {plan.epochs:g}"
                ),
                f"{plan.max_steps}",
            )
        )
    rows += [
        ("warmup_steps", _warmup(plan), f"{plan.warmup_steps}"),
        ("save_steps", f"min({SAVE_EVERY_AT_MOST}, ceil({plan.max_steps} / {SAVES_PER_RUN}))", f"{plan.save_steps}"),
        ("learning_rate", f"cosine down to {plan.min_learning_rate:g} (a tenth)", f"{plan.learning_rate:g}"),
    ]
    return rows


def _warmup(plan: Plan) -> str:
    share = f"ceil(1 % · {plan.max_steps}) = ceil({plan.max_steps / 100:.2f})"
    if not plan.warmup_steps:
        return f"{share} = 1, left out: the only update would run at rate 0"
    return share


def _passes(plan: Plan) -> list[tuple[str, str, str]]:
    """What whole passes make of the formula."""
    micro = f"ceil({plan.samples // plan.gpus} / {plan.batch})"
    rows = [
        (
            "max_steps, whole passes",
            f"ceil(E · floor({micro} / A)) = ceil({plan.epochs:g} · {plan.updates_per_pass})",
            f"{plan.wanted_steps}",
        )
    ]
    if plan.left_over:
        how = "rows of a pass that make no whole update: they count in the next one, and not in the last"
        rows.append(("left over", how, f"{plan.left_over}"))
    if plan.samples % plan.gpus:
        how = f"D is no multiple of {plan.gpus} GPUs: these rows are in no pass"
        rows.append(("never trained", how, f"{plan.samples % plan.gpus}"))
    return rows


def keep_update(plan: Plan, gpus: int) -> list[Plan]:
    """First way to another number of GPUs: the same G·B·A, by dividing B by x and A by y with x·y = N. All whole
    solutions.

    Works both ways: with fewer GPUs, B and A are multiplied. Empty where no whole numbers fit.
    """
    if gpus < 1:
        raise UsageError(f"gpus is {gpus}, must be at least 1")
    if plan.samples_per_update % gpus:
        return []
    product = plan.samples_per_update // gpus  # the new B·A
    smaller = gpus > plan.gpus  # then neither B nor A may grow; otherwise neither may shrink
    batches = range(1, plan.batch + 1) if smaller else range(plan.batch, product // plan.accum + 1)
    fits = [(batch, product // batch) for batch in batches if product % batch == 0]
    return [
        replace(plan, gpus=gpus, batch=batch, accum=accum)
        for batch, accum in fits
        if not smaller or accum <= plan.accum
    ]


def scale_rate(plan: Plan, gpus: int) -> Plan:
    """Second way: keep B and A, and scale the learning rate with the number of GPUs (linear rule)."""
    return make_plan(
        samples=plan.samples,
        epochs=plan.epochs,
        gpus=gpus,
        batch=plan.batch,
        accum=plan.accum,
        learning_rate=plan.learning_rate * gpus / plan.gpus,
        limit=plan.limit,
        passes=plan.passes,
    )


def as_dict(plan: Plan) -> dict[str, float | int | None]:
    """Inputs and results, for `--json` and for the run folder."""
    derived = (
        "samples_per_update",
        "formula_steps",
        "max_steps",
        "warmup_steps",
        "save_steps",
        "logging_steps",
        "min_learning_rate",
        "epochs_seen",
    )
    return {
        **asdict(plan),
        **{name: getattr(plan, name) for name in derived},
    }
