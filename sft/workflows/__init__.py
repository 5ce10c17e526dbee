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
    from sft.workflows.data_plan import DataPlan, cost_of, histogram, plan_data, plan_record
    from sft.workflows.evaluate import TENSORBOARD, EvalRequest, images_of, run_evaluation, side_by_side, write_curves
    from sft.workflows.run import RunOutcome, run_loop, summary, train_only
    from sft.workflows.runs import RunStatus, again, list_runs, status_of
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "TENSORBOARD",
    "ComparePlan",
    "Course",
    "CurveRequest",
    "CurveResult",
    "DataPlan",
    "EvalRequest",
    "RowsToAsk",
    "RunOutcome",
    "RunStatus",
    "again",
    "cost_of",
    "curve_of",
    "evaluated",
    "find_models",
    "held_out_rows",
    "histogram",
    "images_of",
    "list_runs",
    "plan_data",
    "plan_record",
    "run_curve",
    "run_evaluation",
    "run_loop",
    "score_models",
    "side_by_side",
    "status_of",
    "suites",
    "summary",
    "train_only",
    "write_curves",
]
