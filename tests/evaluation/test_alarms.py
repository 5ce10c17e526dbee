"""Faults of a whole set of answers, each planted: the alarm is raised; and is not where the references are alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sft.evaluation import alarms_of
from sft.evaluation.alarms import FEWEST_ANSWERS
from sft.report.data import gather
from sft.report.exports import write_markdown
from sft.report.findings import findings
from sft.types import Prediction

N = 20
WORDS = ("২৩ মার্চ", "ঢাকা শহর", "নদীর তীরে", "বাংলা ভাষা", "আজ সকালে")


def made(answer: Callable[[int, str], str], prompt: str = "OCR:", ref: str = "{} {}") -> list[Prediction]:
    refs = [ref.format(WORDS[number % len(WORDS)], number) for number in range(N)]
    return [
        Prediction(number, f"{number}.png", prompt, text, answer(number, text), "stop", 0.1)
        for number, text in enumerate(refs, 1)
    ]


PLANTED = {
    "replaced": lambda number, text: text[:-2] + "\ufffd",
    "empty": lambda number, text: "",
    "same": lambda number, text: "ঢাকা শহর 1",
    "begin_alike": lambda number, text: f"The text in the picture is: {text}",
    "no_script": lambda number, text: f"{number} march dhaka",
}


@pytest.mark.parametrize("kind", PLANTED)
def test_each_planted_fault_is_the_first_finding(kind: str, tmp_path: Path) -> None:
    preds = made(PLANTED[kind])
    assert [(alarm.kind, alarm.hits, alarm.n) for alarm in alarms_of(preds)] == [(kind, N, N)]
    data = gather([("run", preds)])
    first = findings(data)[0]
    assert first.kind == "alarm" and alarms_of(preds)[0].text in first.text
    write_markdown(tmp_path / "report.md", data, title="t")
    page = (tmp_path / "report.md").read_text("utf-8")
    assert 0 < page.index("**all answers**") < page.index("## Text")


def test_right_answers_raise_none() -> None:
    assert not alarms_of(made(lambda number, text: text))
    assert not alarms_of(made(lambda number, text: text[:-1]))


def test_what_the_references_have_too_is_usual() -> None:
    same = [Prediction(n, "a.png", "OCR:", "yes", "yes", "stop", 0.1) for n in range(N)]
    tables = [
        Prediction(n, "a.png", "Table Recognition:", f"<fcel>Total<fcel>{n}<nl>", f"<fcel>Total<fcel>{n}", "stop", 0.1)
        for n in range(N)
    ]
    broken = made(lambda number, text: text, ref="{} {} \ufffd")
    formulas = [
        Prediction(n, "a.png", "Formula Recognition:", f"\\[ \\alpha^{n} \\]", f"\\[ {n} \\]", "stop", 0.1)
        for n in range(N)
    ]
    for preds in (same, tables, broken, formulas):
        assert not alarms_of(preds)


def test_one_text_for_each_prompt_is_the_same_too() -> None:
    text = made(lambda number, text: "ঢাকা")
    tables = made(lambda number, text: "<fcel>1<nl>", "Table Recognition:", "<fcel>{}<fcel>{}<nl>")
    (alarm,) = alarms_of([*text, *tables])
    assert (alarm.kind, alarm.hits, alarm.n) == ("same", 2 * N, 2 * N) and "for each prompt" in alarm.text


def test_few_answers_and_lost_ones_raise_none() -> None:
    preds = made(lambda number, text: "")
    assert alarms_of(preds[:FEWEST_ANSWERS]) and not alarms_of(preds[: FEWEST_ANSWERS - 1])
    lost = [Prediction(n, "a.png", "OCR:", f"text {n}", "", "", 0.1, "500", "answer.http") for n in range(N)]
    assert not alarms_of(lost)


def test_two_of_twenty_right_are_no_exception() -> None:
    preds = made(lambda number, text: text if number < 3 else "same text here")
    assert [alarm.hits for alarm in alarms_of(preds)] == [N - 2]
    assert not alarms_of(made(lambda number, text: text if number < 8 else "same text here"))
