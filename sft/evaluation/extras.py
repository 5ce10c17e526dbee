"""Scores beyond the usual ones, for those who ask by name: `--metric cer_graphemes`, or `metrics: [grits_con]` in a set of a suite.

They cost time, need more than the core, or say little to most people; what they mean stands in the records METRICS. A score is a
pair as in `sft.evaluation.sample_scores`, or None where there is nothing to measure: such samples are left out, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from importlib.util import find_spec

from sft.errors import UsageError
from sft.metrics import METRICS, cdm, function, text

Pair = tuple[float, float]
Of = Callable[[str, str], "Pair | None"]


def _edits(counted: Callable[..., text.Edits]) -> Of:
    """Edits over units of the truth, to be pooled."""

    def pair(ref: str, pred: str) -> Pair:
        edits = counted(ref=ref, pred=pred)
        return float(edits.distance), float(edits.length)

    return pair


def _mean(name: str) -> Of:
    """The number of a record of METRICS."""
    takes = METRICS[name].takes

    def pair(ref: str, pred: str) -> Pair | None:
        value = function(name)(**{key: given for key, given in (("ref", ref), ("pred", pred)) if key in takes})
        return None if value is None else (float(value), 1.0)

    return pair


def _unspaced(*, ref: str, pred: str) -> text.Edits:
    return text.char_edits(ref="".join(ref.split()), pred="".join(pred.split()))


TEXT, TABLE, FORMULA, CHART = "text", "table", "formula", "chart"
FAMILIES: dict[str, dict[str, Of]] = {  # how answers of a task are read → score → its pair
    TEXT: {
        "cer_graphemes": _edits(text.cluster_edits), "cer_lines": _edits(text.line_edits), "cer_unspaced": _edits(_unspaced),
        "ned_omnidocbench": _mean("ned_omnidocbench"), "ned_paddle": _mean("ned_paddle"), "script_share": _mean("script_share"),
    },
    TABLE: {name: _mean(name) for name in ("cell_f1_fuzzy", "shape", "structure", "grits_top", "grits_con")},
    FORMULA: {name: _mean(name) for name in ("formula_token_ned", "formula_bleu")},
    CHART: {"cell_f1_fuzzy": _mean("chart_cell_f1_fuzzy"), "scrm": _mean("scrm")},
}  # fmt: skip
ANY: dict[str, Of] = {name: _mean(name) for name in ("repetition", "replacements")}
BATCHED = "cdm"  # one run of LaTeX for many formulas
NAMES = tuple(dict.fromkeys([*(name for scores in FAMILIES.values() for name in scores), *ANY, BATCHED]))
NEEDS = {"formula_bleu": "sacrebleu", "scrm": "scipy", "cer_lines": "scipy"}  # libraries of the extra `metrics`


def extras_of(task: str) -> tuple[str, ...]:
    """The scores of NAMES that answers of this task can have."""
    return (*FAMILIES.get(task, FAMILIES[TEXT]), *((BATCHED,) if task == FORMULA else ()), *ANY)


def require(names: Iterable[str]) -> None:
    """Before hours of asking. UsageError: a score that is asked for by name cannot be had on this machine."""
    for name in names:
        if name == BATCHED:
            cdm.require()
        elif name in NEEDS and find_spec(NEEDS[name]) is None:
            raise UsageError(f"{name} needs {NEEDS[name]}", hint="pip install 'paddleocr-vl-sft[metrics]'")


def pairs(task: str, ref: str, pred: str, names: Collection[str]) -> dict[str, Pair]:
    """Those of the scores called `names` that an answer of this task has; both texts normalised. CDM comes from `cdm_pairs`."""
    known = FAMILIES.get(task, FAMILIES[TEXT]) | ANY
    found = {name: known[name](ref, pred) for name in NAMES if name in names and name in known and not (name in NEEDS and find_spec(NEEDS[name]) is None)}
    return {name: pair for name, pair in found.items() if pair is not None}


def cdm_pairs(refs: list[str], preds: list[str]) -> list[dict[str, Pair]]:
    """CDM of many formulas at once; nothing for those that cannot be set, and for all of them where LaTeX is missing."""
    return [{} if value is None else {BATCHED: (value, 1.0)} for value in cdm.cdm_many(refs, preds)]
