"""Settings, plan, run folder, trainer, engines: from a data set to trained weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.training import (
        config,
        engines,
        hardware,
        packing,
        plan,
        preflight,
        run_export,
        run_folder,
        settings,
        trainer,
    )
    from sft.training.base_model import model_dir
    from sft.training.config import BASE_LEARNING_RATE, load_file
    from sft.training.plan import Plan, breakdown
    from sft.training.run_export import export_run, servable
    from sft.training.run_folder import CURVE, HELD_OUT, RUNS, Run, machine
    from sft.training.settings import Request
    from sft.training.trainer import Runtime
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "BASE_LEARNING_RATE",
    "CURVE",
    "HELD_OUT",
    "RUNS",
    "Plan",
    "Request",
    "Run",
    "Runtime",
    "breakdown",
    "config",
    "engines",
    "export_run",
    "hardware",
    "load_file",
    "machine",
    "model_dir",
    "packing",
    "plan",
    "preflight",
    "run_export",
    "run_folder",
    "servable",
    "settings",
    "trainer",
]
