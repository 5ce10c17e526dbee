"""The machine that a command runs on: processor and cards."""

from __future__ import annotations

from dataclasses import dataclass

from sft.runtime import container


@dataclass(frozen=True)
class Machine:
    """What there is to train on."""

    gpus: tuple[container.Gpu, ...]
    docker: str | None

    @classmethod
    def look(cls) -> Machine:
        """Ask nvidia-smi, and Docker only where there is a GPU."""
        gpus = tuple(container.find_gpus())
        return cls(gpus, container.find_docker() if gpus else None)
