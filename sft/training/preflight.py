"""What is checked before a run: the lengths of all samples against max_seq_len."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from sft.errors import ProblemsFound
from sft.models import Budget, pixel_limits, sequence_tokens, text_tokens, trained_texts
from sft.training.settings import ResolvedSettings
from sft.validate import Survey

TOGETHER = 512  # samples whose texts are in memory as tokens


def pixels(settled: ResolvedSettings, base: Path) -> tuple[int, int]:
    """(min, max) pixels of the run: what the configuration says, else the base model's own."""
    low, high = pixel_limits(base)
    return settled.config.min_pixels or low, settled.config.max_pixels or high


@dataclass(frozen=True)
class Lengths:
    """Tokens of the training samples, images included: the longest, its line, and the mean."""

    longest: int
    line: int
    mean: float


def check_lengths(data: Survey, base: Path, settled: ResolvedSettings) -> Lengths:
    """The lengths of all samples; ProblemsFound where one does not fit. Trainers skip or cut such samples."""
    low, high = pixels(settled, base)
    budget = Budget(
        base / "tokenizer.json", low, high, settled.config.max_seq_len, settled.version, settled.config.engine
    )
    longest = (0, 0)
    total = 0
    count = 0
    for line, tokens in _lengths(data, budget):
        longest = max(longest, (tokens, line))
        total += tokens
        count += 1
    if longest[0] > budget.max_seq_len:
        hint = f"split the sample, or raise max_seq_len to at least {longest[0]}; it would be skipped silently"
        raise ProblemsFound(
            f"[trainer.too_long] {longest[0]} tokens, max_seq_len is {budget.max_seq_len}",
            where=f"{data.path}:{longest[1]}",
            hint=hint,
        )
    return Lengths(*longest, total / max(count, 1))


def _lengths(data: Survey, budget: Budget) -> Iterator[tuple[int, int]]:
    """(line, tokens) of every sample."""
    rows = data.rows()
    while batch := list(islice(rows, TOGETHER)):
        tokens = text_tokens(chain.from_iterable(trained_texts(sample, budget) for _, sample, _ in batch), budget)
        for line, sample, images in batch:
            texts = sum(tokens[text] for text in trained_texts(sample, budget))
            sizes = [data.files.size(number) for number in images]
            try:
                yield line, sequence_tokens(sample, texts, sizes, budget)
            except ProblemsFound as fault:
                raise ProblemsFound(fault.message, where=f"{data.path}:{line}", hint=fault.hint) from fault


def packing_note(lengths: Lengths, settled: ResolvedSettings) -> str:
    """What to know where fewer than B samples fit into ERNIEKit's packs: fewer are seen per step than the
    plan counts.
    """
    fits = int(settled.config.max_seq_len // lengths.mean)
    if settled.config.engine != "erniekit" or fits >= settled.config.batch:
        return ""
    return (
        f"samples have {lengths.mean:.0f} tokens on average, so about {fits} fit into a pack of"
        f" {settled.config.max_seq_len}, not B = {settled.config.batch}: about"
        f" {settled.config.epochs * fits / settled.config.batch:.2g} of {settled.config.epochs:g} epochs would be"
        f" trained; give --batch {max(fits, 1)}"
    )
