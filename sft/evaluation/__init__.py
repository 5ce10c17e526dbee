"""Scores of answers, their intervals, comparisons and gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.evaluation import conditions, results
    from sft.evaluation.alarms import alarms_of
    from sft.evaluation.compare import OPEN, PREDICTIONS, ComparedRuns, Comparison, ScoreLine, compare_runs, verdict_of
    from sft.evaluation.conditions import Condition
    from sft.evaluation.estimates import ALPHA, HEADLINES, EstimateTable, Measured, corrected, measure
    from sft.evaluation.gates import GateResult, judge, load_gates
    from sft.evaluation.results import Pairs
    from sft.evaluation.run_scores import score
    from sft.evaluation.scores import EXTRAS, HEADLINE, HEALTH, OTHER, SCORES, Pair, pairs_of, require, task_of
    from sft.evaluation.slices import DIMENSIONS, FEWEST, facts, read_rows
    from sft.evaluation.statistics import FEW, EstimateKind, Interval, intervals
    from sft.evaluation.steps import is_beginning, step_of, steps_of
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "ALPHA",
    "DIMENSIONS",
    "EXTRAS",
    "FEW",
    "FEWEST",
    "HEADLINE",
    "HEADLINES",
    "HEALTH",
    "OPEN",
    "OTHER",
    "PREDICTIONS",
    "SCORES",
    "ComparedRuns",
    "Comparison",
    "Condition",
    "EstimateKind",
    "EstimateTable",
    "GateResult",
    "Interval",
    "Measured",
    "Pair",
    "Pairs",
    "ScoreLine",
    "alarms_of",
    "compare_runs",
    "conditions",
    "corrected",
    "facts",
    "intervals",
    "is_beginning",
    "judge",
    "load_gates",
    "measure",
    "pairs_of",
    "read_rows",
    "require",
    "results",
    "score",
    "step_of",
    "steps_of",
    "task_of",
    "verdict_of",
]
