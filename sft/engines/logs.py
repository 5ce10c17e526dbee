"""Reads the step lines that both trainers print.

    [INFO] - loss: 1.98685532, learning_rate: 0.0008726, global_step: 360, interval_runtime: 1.9633,
    interval_samples_per_second: 81.4968, interval_steps_per_second: 5.0936, ppl: 7.29, progress_or_epoch: 0.24
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from sft.types import Progress

_STEP = re.compile(r"\bloss: (?P<loss>[-+0-9.eEnaif]+), .*?\bglobal_step: (?P<step>\d+)")
_RATE = re.compile(r"\b(?:interval|global)_samples_per_second: (?P<rate>[0-9.eE+-]+)")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_NOISE = ("UserWarning", "warnings.warn", "[DEBUG]", "DataLoad global_step")
_TRACEBACK = "Traceback (most recent call last)"
_DEATH = re.compile(r"\b(Killed|Aborted|Segmentation fault|No space left|Out of memory)\b", re.IGNORECASE)  # no traceback comes after these
_ERROR = re.compile(r"(Error|Exception|error\(|Killed|Aborted|Segmentation|signal|No space left|Out of memory|LossNan|LossInf)", re.IGNORECASE)


# What the two trainers print for a row that they leave out; both then go on without counting.
_SKIPS = ("[SKIP]", "Error processing example, skipping", "preprocess data error", "mm data not valid")


def is_skip(line: str) -> bool:
    """Whether a log line says that a row was left out."""
    return any(mark in line for mark in _SKIPS)


def plain(line: str) -> str:
    """A log line without colour codes."""
    return _ANSI.sub("", line).rstrip("\n")


def read_progress(line: str, max_steps: int) -> Progress | None:
    """The step, loss and speed of a step line; None for any other line."""
    text = plain(line)
    match = _STEP.search(text)
    if not match:
        return None
    rate = _RATE.search(text)
    try:
        return Progress(int(match["step"]), max_steps, float(match["loss"]), float(rate["rate"]) if rate else None)
    except ValueError:
        return None


def last_errors(lines: Iterable[str], *, keep: int = 12) -> list[str]:
    """A log as a person would quote it: its last traceback, else the lines around its last error, without the noise."""
    tail = deque((plain(line) for line in lines), maxlen=400)
    useful = [line for line in tail if line.strip() and not any(noise in line for noise in _NOISE)]
    begin = max((number for number, line in enumerate(useful) if _TRACEBACK in line), default=None)
    if begin is not None and not any(_DEATH.search(line) for line in useful[begin:]):
        end = next((number for number in range(begin + 1, len(useful)) if not useful[number].startswith((" ", "\t"))), len(useful))
        return useful[begin : end + 1 + keep // 3][-keep:]  # some lines more: Paddle's messages have several
    errors = [number for number, line in enumerate(useful) if _ERROR.search(line)]
    return useful[max(errors[-1] - keep // 2, 0) :][:keep] if errors else useful[-keep:]
