"""Scores as rewards for reinforcement learning (GRPO), in the call shapes of two trainers; 1 is right, 0 is wrong.

    TRL     GRPOTrainer(reward_funcs=[rewards.for_trl("teds")], …); the data set has a column `ref`
    verl    custom_reward_function.path=…/rewards.py, custom_reward_function.name=compute_score; `data_source` is a task

TRL calls a reward with keywords only: `prompts`, `completions` (texts, or lists of messages) and every column of the
data set, and takes None for a sample that a reward says nothing about. verl asks for one sample at a time. Nothing here
raises for what stands in an answer; a reference that is missing is an error of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sft.metrics import cells, formula, spotting, text
from sft.metrics.answers import MAX_CELLS, MAX_PAIRS, read_chart, read_table

Reward = Callable[[str, str], float]  # (reference, answer) → 0 to 1


def _cer(ref: str, pred: str) -> float:
    """1 - CER, 0 from as many edits on as the reference has letters."""
    return max(1.0 - text.cer(ref=ref, pred=pred), 0.0)


def _teds(ref: str, pred: str) -> float:
    """TEDS over grids; 0 for a runaway, whose distance would take minutes."""
    wanted = read_table(ref).grid
    answered = read_table(pred).grid
    size = sum(map(len, answered.rows))
    if size > MAX_CELLS or size * sum(map(len, wanted.rows)) > MAX_PAIRS:
        return 0.0
    return max(cells.teds(ref=wanted, pred=answered), 0.0)


def _formula(ref: str, pred: str) -> float:
    """1 - normalised edit distance of the scoring forms of LaTeX; no LaTeX is run."""
    return 1.0 - formula.ned(ref=ref, pred=pred)


def _chart(ref: str, pred: str) -> float:
    """RMS-F1; needs scipy, of the extra `metrics`."""
    return cells.chart_rms_f1(ref=read_chart(ref), pred=read_chart(pred))


def _spotting(ref: str, pred: str) -> float:
    """End-to-end F1 of texts and places; 1 where there are none and none are answered."""
    value = spotting.e2e_f1(ref=ref, pred=pred)
    return 1.0 if value is None else value


REWARDS: dict[str, Reward] = {
    "cer": _cer,
    "teds": _teds,
    "formula": _formula,
    "chart": _chart,
    "spotting": _spotting,
}
OF_TASK = {
    "ocr": "cer",
    "seal": "cer",
    "table": "teds",
    "formula": "formula",
    "chart": "chart",
    "spotting": "spotting",
}  # task → its reward


def reward(name: str, *, ref: str, pred: str) -> float:
    """One reward of one answer, 0 to 1. KeyError: no such name in REWARDS."""
    return REWARDS[name](text.normalise(ref), text.normalise(pred))


def for_trl(name: str, *, column: str = "ref") -> Callable[..., list[float | None]]:
    """A reward function for TRL's `GRPOTrainer(reward_funcs=…)`.

    column: of the data set, with the reference of each sample; None there is a sample that this reward says nothing
    about. KeyError: no such name in REWARDS. The function raises ValueError where the column is missing.
    """
    measure = REWARDS[name]

    def reward_func(*, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        if column not in columns:
            raise ValueError(f"the data set has no column {column!r} with the references")
        refs = columns[column]
        return [
            None if ref is None else measure(text.normalise(ref), text.normalise(content_of(completion)))
            for ref, completion in zip(refs, completions, strict=True)
        ]

    reward_func.__name__ = f"{name}_reward"  # what TRL calls it in its logs
    return reward_func


def content_of(completion: Any) -> str:
    """The text of a completion: a text, or messages, of which the last one counts, whose content may be in parts."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"] if completion else ""
    if isinstance(content, str):
        return content
    parts = [part.get("text") or "" for part in content or ()]
    return "".join(parts)


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **_: Any,
) -> float:
    """The reward of one answer, as verl's `custom_reward_function` calls it.

    data_source: a task (a key of OF_TASK), unless `extra_info["task"]` names one. ValueError: neither does.
    """
    task = str((extra_info or {}).get("task", data_source))
    if task not in OF_TASK:
        raise ValueError(f"no reward for the task {task!r}; known: {', '.join(OF_TASK)}")
    return reward(OF_TASK[task], ref=ground_truth, pred=solution_str)
