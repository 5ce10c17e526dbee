"""What joins the stages: the whole job, an evaluation, a curve, a suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.workflows import suites
    from sft.workflows.checkpoint_choice import Change, Course
    from sft.workflows.checkpoints import evaluated
    from sft.workflows.curve import Curve, CurveRequest, curve_of, run_curve
    from sft.workflows.evaluate import (
        TENSORBOARD,
        EvalRequest,
        evaluate_model,
        images_of,
        run_evaluation,
        run_of,
        side_by_side,
        write_curves,
    )
    from sft.workflows.run import Outcome, run_loop, summary, train_only
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "TENSORBOARD",
    "Change",
    "Course",
    "Curve",
    "CurveRequest",
    "EvalRequest",
    "Outcome",
    "curve_of",
    "evaluate_model",
    "evaluated",
    "images_of",
    "run_curve",
    "run_evaluation",
    "run_loop",
    "run_of",
    "side_by_side",
    "suites",
    "summary",
    "train_only",
    "write_curves",
]
