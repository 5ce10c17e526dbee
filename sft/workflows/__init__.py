"""What joins the stages: the whole job, an evaluation, a curve, a suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.workflows import suites
    from sft.workflows.checkpoint_choice import Course
    from sft.workflows.checkpoints import evaluated
    from sft.workflows.compare_models import ComparePlan, RowsToAsk, find_models, held_out_rows, score_models
    from sft.workflows.curve import CurveRequest, CurveResult, curve_of, run_curve
    from sft.workflows.evaluate import TENSORBOARD, EvalRequest, images_of, run_evaluation, side_by_side, write_curves
    from sft.workflows.run import RunOutcome, run_loop, summary, train_only
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "TENSORBOARD",
    "ComparePlan",
    "Course",
    "CurveRequest",
    "CurveResult",
    "EvalRequest",
    "RowsToAsk",
    "RunOutcome",
    "curve_of",
    "evaluated",
    "find_models",
    "held_out_rows",
    "images_of",
    "run_curve",
    "run_evaluation",
    "run_loop",
    "score_models",
    "side_by_side",
    "suites",
    "summary",
    "train_only",
    "write_curves",
]
