"""What is checked before a run: the lengths of all samples against max_seq_len, plain and augmented."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np

from sft.arrays import Ints
from sft.errors import ProblemsFound
from sft.models import (
    ERNIEKIT,
    Budget,
    fixed_tokens,
    most_tokens,
    picture_draws,
    picture_tokens,
    pixel_limits,
    text_tokens,
    together,
    trained_texts,
)
from sft.training.packing import Packing, simulate
from sft.training.plan import Plan
from sft.training.settings import ResolvedSettings
from sft.training.watcher import SKIPPED_SHARE
from sft.validate import Survey

WORTH_SAYING = 0.02  # steps more than the formula's
TOGETHER = 512  # samples whose texts are in memory as tokens


def pixels(settled: ResolvedSettings, base: Path) -> tuple[int, int]:
    """(min, max) pixels of the run: what the configuration says, else the base model's own."""
    low, high = pixel_limits(base)
    return settled.config.min_pixels or low, settled.config.max_pixels or high


def budget_of(settled: ResolvedSettings, base: Path) -> Budget:
    """What decides whether a sample fits into this run."""
    low, high = pixels(
        settled,
        base,
    )
    config = settled.config
    return Budget(
        base / "tokenizer.json",
        low,
        high,
        config.max_seq_len,
        settled.version,
        config.engine,
    )


@dataclass(frozen=True)
class Augmented:
    """What augmentation makes of the rows.

    largest: tokens that a row can become, in `line`. above_limit: the chance of that row to be longer than max_seq_len.
    left_out: rows of a pass, on average, whose draw is too long or refused; `worst` is the line that is left out most
    often, with `worst_chance`.
    """

    largest: int
    line: int
    above_limit: float
    left_out: float = 0.0
    worst: int = 0
    worst_chance: float = 0.0


@dataclass(frozen=True, eq=False)
class Lengths:
    """Tokens of the training samples, images included: the longest, its line, and the mean; and as augmented.

    tokens: of every row in the order of the file, not augmented.
    """

    longest: int
    line: int
    mean: float
    augmented: Augmented | None = None
    tokens: Ints = field(default_factory=lambda: np.empty(0, np.int64))


def check_lengths(data: Survey, base: Path, settled: ResolvedSettings) -> Lengths:
    """The lengths of all samples; ProblemsFound where one does not fit, or where augmentation would have more rows left
    out than a run may lose. Trainers skip such samples.
    """
    lengths = measure_lengths(data, base, settled)
    for problem in findings(lengths, data, settled):
        raise problem
    return lengths


def findings(lengths: Lengths, data: Survey, settled: ResolvedSettings) -> list[ProblemsFound]:
    """Why a run on rows of these lengths would not be the one that is asked for."""
    most = settled.config.max_seq_len
    problems = []
    if lengths.longest > most:
        hint = f"split the sample, or raise max_seq_len to at least {lengths.longest}; it would be skipped silently"
        problems.append(
            ProblemsFound(
                f"[trainer.too_long] {lengths.longest} tokens, max_seq_len is {most}",
                where=f"{data.path}:{lengths.line}",
                hint=hint,
            )
        )
    drawn = lengths.augmented
    if not problems and drawn and expected_skips(drawn, data, settled) > data.count * SKIPPED_SHARE:
        problems.append(_too_many_left_out(drawn, data, settled))
    return problems


def expected_skips(augmented: Augmented, data: Survey, settled: ResolvedSettings) -> float:
    """How often in this run a row is left out, on average, because of what augmentation has made of it."""
    config = settled.config
    most = config.gpus * config.batch * config.accum * (config.max_steps or math.inf) / data.count  # passes
    return augmented.left_out * min(
        config.epochs,
        most,
    )


def _too_many_left_out(augmented: Augmented, data: Survey, settled: ResolvedSettings) -> ProblemsFound:
    times = expected_skips(
        augmented,
        data,
        settled,
    )
    return ProblemsFound(
        f"[trainer.augmented] up to {augmented.largest} tokens (line {augmented.line}) when the trainer has rescaled"
        f" images by chance, max_seq_len is {settled.config.max_seq_len}: about {times:.1f} times in this run a row"
        f" would be left out, this one in {augmented.worst_chance:.0%} of its draws",
        where=f"{data.path}:{augmented.worst}",
        hint=f"raise max_seq_len to at least {augmented.largest}, or cut long and thin images into pieces",
    )


def augmented_note(lengths: Lengths) -> str:
    """What to know where some draws are left out, though few enough; empty where none are."""
    drawn = lengths.augmented
    if not drawn or not drawn.left_out:
        return ""
    return (
        f"about {drawn.left_out:.2g} rows of a pass are left out, since their images were made too large or too thin by"
        f" chance; most often line {drawn.worst} ({drawn.worst_chance:.1%} of its draws)"
    )


def measure_lengths(data: Survey, base: Path, settled: ResolvedSettings) -> Lengths:
    """The lengths of all samples, whether they fit or not. ProblemsFound for an image that is always refused."""
    budget = budget_of(settled, base)
    tokens: list[int] = []
    lines: list[int] = []
    augmented = _Augmentation(budget)
    for line, length, more, sizes in _lengths(data, budget):
        tokens.append(length)
        lines.append(line)
        augmented.add(line, more, sizes)
    if not tokens:
        return Lengths(0, 0, 0.0)
    longest = max(range(len(tokens)), key=tokens.__getitem__)
    return Lengths(
        tokens[longest],
        lines[longest],
        sum(tokens) / len(tokens),
        augmented.result(),
        np.array(tokens, np.int64),
    )


class _Augmentation:
    """Goes through rows for `Augmented`; only rows that can matter are drawn in full."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.largest = (0, 0, 0.0)
        self.left_out = 0.0
        self.worst = (0.0, 0)

    def add(self, line: int, more: int, sizes: list[tuple[int, int]]) -> None:
        """One row: `more` tokens beside those of its images, which have these (width, height)."""
        bound = more + sum(most_tokens(width, height, self.budget) for width, height in sizes)
        if bound <= min(self.largest[0], self.budget.max_seq_len):
            return
        drawn = together((picture_draws(width, height, self.budget) for width, height in sizes), more)
        out = drawn.left_out(self.budget.max_seq_len)
        self.left_out += out
        self.worst = max(self.worst, (out, -line))
        if drawn.largest > self.largest[0]:
            self.largest = (drawn.largest, line, drawn.above_limit(self.budget.max_seq_len))

    def result(self) -> Augmented:
        """What was found."""
        return Augmented(
            *self.largest,
            self.left_out,
            -self.worst[1],
            self.worst[0],
        )


def _lengths(data: Survey, budget: Budget) -> Iterator[tuple[int, int, int, list[tuple[int, int]]]]:
    """(line, tokens, those beside the images, sizes of the images) of every sample."""
    rows = data.rows()
    while batch := list(islice(rows, TOGETHER)):
        pieces = [trained_texts(sample, budget) for _, sample, _ in batch]
        tokens = text_tokens(chain.from_iterable(pieces), budget)
        for (line, sample, images), texts in zip(batch, pieces, strict=True):
            more = fixed_tokens(sample, sum(tokens[text] for text in texts))
            sizes = [data.files.size(number) for number in images]
            try:
                pictures = sum(picture_tokens(width, height, budget) for width, height in sizes)
            except ProblemsFound as fault:
                raise ProblemsFound(fault.message, where=f"{data.path}:{line}", hint=fault.hint) from fault
            yield line, more + pictures, more, sizes


def pack(lengths: Lengths, settled: ResolvedSettings, plan: Plan) -> Packing | None:
    """The packs of this run; None where the trainer does not pack."""
    if settled.config.engine != ERNIEKIT or not len(lengths.tokens):
        return None
    config = settled.config
    return simulate(
        lengths.tokens,
        plan,
        max_seq_len=config.max_seq_len,
        workers=config.workers,
    )


def packing_note(packing: Packing | None, plan: Plan) -> str:
    """What to know where packs hold fewer samples than the formula counts on: fewer epochs are trained than planned."""
    if not packing or packing.max_steps <= plan.formula_steps * (1 + WORTH_SAYING):
        return ""
    trained = plan.epochs * plan.formula_steps / packing.max_steps
    return (
        f"a pack holds {packing.rows:.1f} samples on average, not B = {plan.batch}: in the {plan.formula_steps} steps"
        f" of the formula about {trained:.2g} of {plan.epochs:g} epochs would be trained; it takes {packing.max_steps}"
        f" steps, or --batch {max(1, int(packing.rows))}"
    )
