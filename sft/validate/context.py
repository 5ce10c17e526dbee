"""What a row is checked against, and how a finding is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft import models


@dataclass(frozen=True)
class Context:
    """What a row is checked against. `base` is the folder its relative paths count from.

    decode: every pixel of every image is read. look: image files are opened at all.
    alike: images are compared by how they look, too.
    """

    base: Path
    model: models.ModelVersion
    decode: bool = True
    budget: models.Budget | None = None
    look: bool = True
    alike: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        """For other processes, which have the model records themselves."""
        return _context, (self.base, self.model.name, self.decode, self.budget, self.look, self.alike)


def _context(base: Path, model: str, decode: bool, budget: models.Budget | None, look: bool, alike: bool) -> Context:
    return Context(
        base,
        models.get(model),
        decode,
        budget,
        look,
        alike,
    )
