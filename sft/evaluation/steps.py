"""The training step that the name of an evaluation tells: one rule for `sft curve`, `sft compare` and the reports."""

from __future__ import annotations

import re
from collections.abc import Sequence

BEGINNINGS = ("base", "before")  # names of what training starts from: step 0
# 200, s200, step 200, checkpoint-200, global_step_200, mine-checkpoint-200. A number behind any other word is a version
# or a count (v2, run7, bengali-2), so the word must be one that trainers use for steps, and a word of its own.
_STEP = re.compile(
    r"(?:^s?|(?:^|[^a-z]|global)(?:steps?|checkpoint|ckpt|iter|iteration)[-_ ]?)([0-9]{1,12})$", re.IGNORECASE
)


def is_beginning(name: str) -> bool:
    """Whether `name` is that of the model which training starts from."""
    return name.lower() in BEGINNINGS


def step_of(name: str) -> int | None:
    """The step in a name, 0 for the model that training starts from, None where the name tells none.

    >>> [step_of(name) for name in ("base", "s200", "global_step_300", "mine-checkpoint-400", "v2", "bengali-2")]
    [0, 200, 300, 400, None, None]
    """
    if is_beginning(name):
        return 0
    match = _STEP.search(name)
    return int(match[1]) if match else None


def steps_of(names: Sequence[str]) -> tuple[int | None, ...]:
    """The step of each name. Where no name tells a step, `base` is the name of a run and no step either."""
    steps = tuple(step_of(name) for name in names)
    if all(step is None or is_beginning(name) for name, step in zip(names, steps, strict=True)):
        return tuple(None for _ in names)
    return steps
