"""What `sft run` ends with: a table for each task, by the task's own measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sft.cli import train
from sft.evaluation import FEW
from sft.evaluation import results as scored
from sft.evaluation.scores import HEADLINE
from sft.models import versions
from sft.report import name_of
from sft.report.wording import TASKS
from sft.training.run_folder import Run
from sft.types import Prediction, Task
from sft.workflows import RunOutcome

REFS = {
    Task.OCR: "abcd",
    Task.TABLE: "<fcel>a<fcel>b<nl>",
    Task.FORMULA: "x^2",
    Task.CHART: "a | b\n1 | 2",
}


def results_of(tasks: list[Task], count: int, *, right: bool) -> dict[str, Any]:
    """results.json of `count` answers to each task, all right or all wrong."""
    preds = [
        Prediction(number, "0.png", versions.MODELS["0.9B"].prompts[task], REFS[task], REFS[task] if right else "z")
        for number, task in enumerate(task for task in tasks for _ in range(count))
    ]
    asking = scored.Asking(scored.Asked("http://h", "m"))
    return scored.as_json(scored.build(preds, data=scored.Data("data.jsonl", "0" * 64, "0" * 64), asking=asking))


def screen(tasks: list[Task], count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    before, after = (results_of(tasks, count, right=right) for right in (False, True))
    train._show(RunOutcome(Run(tmp_path), [], before=before, after=after))
    return capsys.readouterr().out.splitlines()


def test_each_task_begins_with_its_headline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = screen(list(REFS), FEW, tmp_path, capsys)
    for task in REFS:
        title = next(number for number, line in enumerate(lines) if line.startswith(f"{TASKS[task.value]}: "))
        assert lines[title] == f"{TASKS[task.value]}: {FEW} samples"
        assert lines[title + 2].startswith(f"{name_of(HEADLINE[task.value])} "), lines[title + 2]
    assert f"Held-out: {4 * FEW} samples = {4 * FEW} scored + 0 lost" in lines


def test_tables_end_with_teds_and_not_with_letters_of_otsl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = screen([Task.TABLE], 5, tmp_path, capsys)
    first = {line.split("  ")[0]: line.split() for line in lines if line}
    assert first["TEDS"][-2:] == ["pp", "higher"] and "100.00%" in first["TEDS"]
    assert not {"CER", "WER", "NED"} & set(first)


def test_few_samples_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = f"Text: {FEW - 1} samples; few samples (under {FEW}): the scores are no more than a hint"
    assert few in screen([Task.OCR], FEW - 1, tmp_path, capsys)
    assert not any("few" in line for line in screen([Task.OCR], FEW, tmp_path, capsys))
