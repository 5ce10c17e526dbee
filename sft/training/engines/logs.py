"""Reads the step lines that both trainers print.

[INFO] - loss: 1.98685532, learning_rate: 0.0008726, global_step: 360, interval_runtime: 1.9633,
interval_samples_per_second: 81.4968, interval_steps_per_second: 5.0936, ppl: 7.29, progress_or_epoch: 0.24
"""

from __future__ import annotations

import re

from sft.runtime import plain
from sft.types import Progress

_STEP = re.compile(r"\bloss: (?P<loss>[-+0-9.eEnNaAiIfF]+), .*?\bglobal_step: (?P<step>\d+)")
_RATE = re.compile(r"\b(?:interval|global)_samples_per_second: (?P<rate>[0-9.eE+-]+)")


# What the two trainers print for a row that they leave out; both then go on without counting.
_SKIPS = ("[SKIP]", "Error processing example, skipping", "preprocess data error", "mm data not valid")


def is_skip(line: str) -> bool:
    """Whether a log line says that a row was left out."""
    return any(mark in line for mark in _SKIPS)


def read_progress(line: str, max_steps: int) -> Progress | None:
    """The step, loss and speed of a step line; None for any other line."""
    text = plain(line)
    match = _STEP.search(text)
    if not match:
        return None
    rate = _RATE.search(text)
    try:
        return Progress(
            int(match["step"]),
            max_steps,
            float(match["loss"]),
            float(rate["rate"]) if rate else None,
        )
    except ValueError:
        return None
