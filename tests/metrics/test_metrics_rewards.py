"""Rewards as TRL and verl call them."""

from __future__ import annotations

import pytest

from sft.metrics import rewards

OTSL = "<fcel>a<fcel>b<nl><fcel>1<fcel>2<nl>"
SPOTTED = "a" + "".join(f"<|LOC_{place}|>" for place in (0, 0, 900, 0, 900, 50, 0, 50))
# reward → reference, a right answer, a wrong one
PAIRS = {
    "cer": ("two words", "two words", "nothing like it, and much longer"),
    "teds": (OTSL, "<table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>", "no table"),
    "formula": (r"\[x^2\]", r"\[x^{2}\]", r"\[\frac{a"),
    "chart": ("year | a\n1 | 5", "year | a\n1 | 5", "no chart"),
    "spotting": (SPOTTED, SPOTTED, "a"),
}


def as_trl_calls(reward: object, completions: list[object], **columns: object) -> object:
    """As `GRPOTrainer._calculate_rewards` does: keywords alone, with ids and the state of the trainer beside them."""
    assert callable(reward)
    return reward(
        prompts=["…"] * len(completions),
        completions=completions,
        completion_ids=[[1, 2]] * len(completions),
        trainer_state=None,
        **columns,
    )


@pytest.mark.parametrize("name", rewards.REWARDS)
def test_trl(name: str) -> None:
    ref, right, wrong = PAIRS[name]
    function = rewards.for_trl(name)
    found = as_trl_calls(function, [right, wrong, "x"], ref=[ref, ref, None])
    assert isinstance(found, list)
    assert found[0] == 1 and 0 <= found[1] < 0.7 and found[2] is None
    messages = [[{"role": "assistant", "content": right}], [{"role": "assistant", "content": [{"text": right}]}], []]
    assert as_trl_calls(function, [*messages], ref=[ref] * 3) == [1, 1, pytest.approx(0, abs=0.01)]
    assert function.__name__ == f"{name}_reward"


def test_a_column_of_another_name_or_none() -> None:
    assert as_trl_calls(rewards.for_trl("cer", column="solution"), ["a"], solution=["a"]) == [1]
    with pytest.raises(ValueError, match="no column 'solution'"):
        as_trl_calls(rewards.for_trl("cer", column="solution"), ["a"], ref=["a"])
    with pytest.raises(KeyError):
        rewards.for_trl("bertscore")


@pytest.mark.parametrize(("task", "name"), rewards.OF_TASK.items())
def test_verl(task: str, name: str) -> None:
    ref, right, wrong = PAIRS[name]
    assert rewards.compute_score(task, right, ref) == 1
    assert rewards.compute_score("my/data", wrong, ref, {"task": task}, sandbox=None) < 0.7
    assert rewards.compute_score(data_source=task, solution_str=right, ground_truth=ref, extra_info=None) == 1


def test_verl_without_a_task() -> None:
    with pytest.raises(ValueError, match="no reward for the task 'my/data'"):
        rewards.compute_score("my/data", "a", "a")


def test_a_runaway_table_is_zero() -> None:
    assert rewards.reward("teds", ref=OTSL, pred="<fcel>a" * 100_001 + "<nl>") == 0
