"""What a data set is made of, in one pass: tasks, scripts, lengths, sizes, tokens. A few bytes of a row stay in
memory.
"""

from __future__ import annotations

import random
import re
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from sft import models
from sft.files import bounded_lines, decode, open_input
from sft.images import ImageProblem, probe
from sft.markup import scripts
from sft.models import Budget, image_tokens, sample_tokens
from sft.types import ImageHeader, Sample, Task

BINS = 24
MEASURES = {  # name → what it counts
    "answer": "characters of the answer",
    "width": "px wide",
    "height": "px high",
    "aspect": "longer side / shorter side",
    "image tokens": "tokens of the image",
    "sample tokens": "tokens of the whole sample",
}
_TOKENS = re.compile("|".join(models.OTSL_TOKENS))
QUANTILES = (("least", 0.0), ("5 %", 0.05), ("median", 0.5), ("95 %", 0.95), ("most", 1.0))


@dataclass(frozen=True)
class Distribution:
    """One measure over all rows: count, mean, quantiles by name, and a histogram (counts, edges) up to the 99th
    percentile.
    """

    count: int
    mean: float
    quantiles: dict[str, float]
    histogram: tuple[list[int], list[float]]


@dataclass
class Stats:
    """A data set in numbers.

    `picked`: (line, sample) of rows drawn evenly at random; `unreadable`: rows that are no samples.
    """

    path: Path
    rows: int = 0
    unreadable: int = 0
    no_image: int = 0
    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: {
            name: Counter() for name in ("task", "prompt", "script", "image format", "image mode", "turns")
        }
    )
    values: dict[str, array[float]] = field(default_factory=lambda: {name: array("f") for name in MEASURES})
    picked: list[tuple[int, Sample]] = field(default_factory=list)

    def numbers(self, name: str) -> Distribution | None:
        """The summary of one measure; None where no row had it."""
        values = np.frombuffer(self.values[name], np.float32) if self.values[name] else np.empty(0, np.float32)
        if not len(values):
            return None
        high = float(np.quantile(values, 0.99))
        counts, edges = np.histogram(np.minimum(values, high), bins=BINS)
        quantiles = {label: float(np.quantile(values, q)) for label, q in QUANTILES}
        return Distribution(
            len(values),
            float(values.mean(dtype=np.float64)),
            quantiles,
            (counts.tolist(), [float(edge) for edge in edges]),
        )

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        numbers = {
            name: {"unit": unit, "count": summary.count, "mean": summary.mean, **summary.quantiles}
            for name, unit in MEASURES.items()
            if (summary := self.numbers(name))
        }
        counts = {name: dict(counter.most_common()) for name, counter in self.counts.items()}
        return {
            "path": str(self.path),
            "rows": self.rows,
            "unreadable": self.unreadable,
            "no_image": self.no_image,
            "counts": counts,
            "numbers": numbers,
        }


def gather(
    path: Path,
    version: models.ModelVersion,
    *,
    budget: Budget | None = None,
    pick: int = 0,
    seed: int = 1,
    progress: Callable[[float], object] = lambda _: None,
) -> Stats:
    """Read the whole file. Rows that are no samples are counted, not refused: `sft validate` says what is wrong with
    them.
    """
    stats = Stats(path)
    tasks = {prompt: task.value for task, prompt in version.prompts.items()}
    chance = random.Random(seed)
    low, high = (budget.min_pixels, budget.max_pixels) if budget else (version.min_pixels, version.max_pixels)
    with open_input(path) as stream:
        for number, text, _ in bounded_lines(stream):
            try:
                sample = decode(text)
                answer = sample.ref
            except (msgspec.MsgspecError, ValueError, RecursionError, StopIteration):
                stats.unreadable += 1
                continue
            stats.rows += 1
            _texts(stats, sample, answer, tasks)
            _images(stats, sample, path.parent, budget, low, high)
            _pick(stats, number, sample, pick, chance)
            if number % 500 == 0:
                progress(stream.tell())
    stats.picked.sort(key=lambda item: item[0])
    return stats


def _texts(stats: Stats, sample: Sample, answer: str, tasks: dict[str, str]) -> None:
    task = tasks.get(sample.prompt, "another prompt")
    stats.counts["task"][task] += 1
    stats.counts["prompt"][sample.prompt[:80]] += 1
    stats.counts["turns"][str(sample.turns)] += 1
    if task != Task.FORMULA.value:  # whose letters are mostly names of commands
        stats.counts["script"][
            next(iter(scripts(_TOKENS.sub(" ", answer) if "<" in answer else answer)), "no letters")
        ] += 1
    stats.values["answer"].append(len(answer))


def _images(stats: Stats, sample: Sample, base: Path, budget: Budget | None, low: int | None, high: int | None) -> None:
    headers: list[ImageHeader] = []
    for image in sample.image_info:
        try:
            headers.append(probe(base / image.image_url))
        except ImageProblem:
            stats.no_image += 1
    for header in headers:
        stats.counts["image format"][header.format] += 1
        stats.counts["image mode"][header.mode] += 1
        stats.values["width"].append(header.width)
        stats.values["height"].append(header.height)
        stats.values["aspect"].append(max(header.width, header.height) / max(1, min(header.width, header.height)))
        if low is not None and high is not None:
            try:
                stats.values["image tokens"].append(
                    image_tokens(header.height, header.width, min_pixels=low, max_pixels=high)
                )
            except ValueError:  # an aspect ratio that the model refuses
                continue
    if budget and len(headers) == len(sample.image_info):
        stats.values["sample tokens"].append(sample_tokens(sample, headers, budget))


def _pick(stats: Stats, number: int, sample: Sample, pick: int, chance: random.Random) -> None:
    """Reservoir sampling (Vitter 1985): every row is kept with the same chance, whatever the length of the file."""
    if len(stats.picked) < pick:
        stats.picked.append((number, sample))
    elif pick and (place := chance.randrange(stats.rows)) < pick:
        stats.picked[place] = (number, sample)
