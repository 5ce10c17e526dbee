"""What a row is checked against, and how a finding is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sft import models, tokens
from sft.reasons import REASONS
from sft.types import Problem


@dataclass(frozen=True)
class Context:
    """What a row is checked against. `base` is the folder its relative paths count from."""

    base: Path
    model: models.ModelVersion
    decode: bool = True
    budget: tokens.Budget | None = None


def make(code: str, message: str, line: int, hint: str = "") -> Problem:
    """A `Problem` with the severity that REASONS gives its code."""
    return Problem(code, REASONS[code][0], message, line, hint)


def shorten(text: str, limit: int = 160) -> str:
    """What fits into a message."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
