"""Processes, containers, environments, cores and clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.runtime import container, environments, parallel, process
    from sft.runtime.container import BLACKWELL, SERVER_IMAGE, SHM_SIZE, server_tag
    from sft.runtime.gpus import GpuCard, gpu_card, require_bf16
    from sft.runtime.log_excerpt import last_errors, plain
    from sft.runtime.machine import Machine
    from sft.runtime.parallel import run
    from sft.runtime.process import Process, run_json, shell_line, stop_container, tail
    from sft.runtime.runner import Runner
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "BLACKWELL",
    "SERVER_IMAGE",
    "SHM_SIZE",
    "GpuCard",
    "Machine",
    "Process",
    "Runner",
    "container",
    "environments",
    "gpu_card",
    "last_errors",
    "parallel",
    "plain",
    "process",
    "require_bf16",
    "run",
    "run_json",
    "server_tag",
    "shell_line",
    "stop_container",
    "tail",
]
