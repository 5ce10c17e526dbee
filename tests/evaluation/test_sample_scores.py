"""Scores of single answers, the same on one core and on two."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.errors import UsageError
from sft.evaluation import scores
from sft.evaluation.run_scores import score
from sft.evaluation.scores import EXTRAS, HAS, HEADLINE, OTHER, SCORES, pairs_of, pairs_one, score_one, task_of
from sft.metrics import METRICS, function
from sft.models.versions import MODELS
from sft.runtime.runner import Runner
from sft.types import Prediction, Task

OTSL = "<fcel>a<fcel>b<nl><fcel>1<fcel>2<nl>"
HTML = "<table><thead><tr><th>a</th><th>b</th></tr></thead><tr><td>1</td><td>2</td></tr></table>"
CHART = "year | cats\n2020 | 5\n2021 | 10"


def pred(
    ref: str, answer: str, *, prompt: str = "OCR:", number: int = 1, error: str = "", finish: str = "stop"
) -> Prediction:
    return Prediction(number, "a.png", prompt, ref, answer, finish, 0.1, error)


def test_text() -> None:
    found = score_one("ocr", "২৩ মার্চ", "২৩ মাচ")
    assert (found["cer"], found["wer"], found["ned"], found["exact"]) == (0.25, 0.5, 0.25, 0)
    assert pairs_one("ocr", "২৩ মার্চ", "২৩ মাচ")["cer"] == (2, 8)
    assert found["length_ratio"] == 0.75
    assert score_one("ocr", "e\u0301", " é\n")["exact"] == 1


def test_tables_in_any_notation() -> None:
    same = score_one("table", OTSL, HTML)
    assert (same["teds"], same["teds_s"], same["cell_f1"], same["exact"], same["wrong_format"]) == (1, 1, 1, 1, 1)
    wrong = score_one("table", OTSL, OTSL.replace("2", "3"))
    assert wrong["teds_s"] == 1 and 0.8 < wrong["teds"] < 1 and wrong["cell_f1"] == 0.75 and wrong["exact"] == 0
    torn = score_one("table", OTSL, "Here it is: " + OTSL)
    assert (torn["teds"], torn["teds_strict"]) == (1, 0)
    none = score_one("table", OTSL, "no table")
    assert (none["teds"], none["teds_strict"], none["cell_f1"], none["exact"]) == (0, 0, 0, 0)


def test_formulas_and_charts() -> None:
    found = score_one("formula", "\\[ \\mathbf{x}_{1}\\leq\\dfrac12 \\]", "\\[x_1 \\le \\frac{1}{2}\\]")
    assert (found["similarity"], found["exact"], found["parses"], found["wrong_format"]) == (1, 1, 1, 0)
    assert score_one("formula", "\\[x\\]", "\\[\\frac{x\\]")["parses"] == 0
    found = score_one("chart", CHART, CHART.replace("10", "50"))
    assert found["rms_f1"] == 0.5 and 0 < found["rnss"] < 1 and 0 < found["cell_f1"] < 1
    assert score_one("chart", CHART, CHART)["rms_f1"] == 1


def test_health() -> None:
    found = score_one("ocr", "abc", "abc" * 60, finish_reason="length")
    assert (found["truncated"], found["runaway"], found["length_ratio"]) == (1, 1, 60)
    found = score_one("ocr", "abc", " \n")
    assert (found["empty"], found["cer"], found["runaway"]) == (1, 1, 0)
    assert score_one("ocr", "abc", OTSL)["wrong_format"] == 1


def test_every_task_has_a_headline_and_a_record() -> None:
    assert set(HEADLINE) == {task.value for task in Task} | {OTHER}
    for task, headline in HEADLINE.items():
        found = score_one(task, "1", "1")
        assert headline in found
        assert found.keys() <= SCORES.keys()
    for version in MODELS.values():
        assert {task_of(prompt) for prompt in version.prompts.values()} == {task.value for task in version.prompts}
    assert task_of("Read this:") == OTHER
    assert {"cer", "wer", "ned", "exact"} <= METRICS.keys() & SCORES.keys()


SPOTTED = "a" + "".join(f"<|LOC_{place}|>" for place in (0, 0, 900, 0, 900, 50, 0, 50))
REFS = {
    "spotting": (SPOTTED, SPOTTED + "b"),
    "text": ("some words 12", "some wards 1"),
    "table": (OTSL, OTSL.replace("2", "3")),
    "formula": ("\\[x^2+y\\]", "\\[x^2-y\\]"),
    "chart": (CHART, CHART.replace("10", "50")),
}
TASK = {"text": "ocr"}  # the family of a metric → a task of it, where the names differ


def test_scores_are_those_of_metrics_or_say_why_not() -> None:
    """Two registries, one truth: version, direction and numbers come from METRICS."""
    for name, item in SCORES.items():
        assert item.metrics and all(metric in METRICS for metric in item.metrics), name
        assert {METRICS[metric].version for metric in item.metrics} == {item.version}, name
        for record in (METRICS[metric] for metric in item.metrics if name != "cdm"):
            assert item.own or record.higher_is_better == item.higher_is_better, name
            for family, (ref, answer) in REFS.items():
                if record.task not in (family, "any"):
                    continue
                task = TASK.get(family, family)
                known = {"ref": ref, "pred": answer, "finish_reason": "length", "task": Task(task)}
                value = function(record.name)(**{key: known[key] for key in record.takes})
                expected = 1 - value if item.own == f"1 - {record.name}" else value
                above, below = pairs_one(task, ref, answer, finish_reason="length", extras=EXTRAS)[name]
                assert above / max(below, 1) == pytest.approx(expected), (name, family)
    assert {name for name, item in SCORES.items() if item.own} == {
        "exact",
        "similarity",
    }  # whoever adds one here has looked at METRICS


def test_what_a_task_has_is_what_its_answers_get() -> None:
    for task, names in HAS.items():
        family = task if task in REFS else "text"
        ref, answer = REFS[family]
        assert set(pairs_one(task, ref, answer, extras=EXTRAS)) == set(names) - {"cdm"}, task


def test_an_extra_that_cannot_be_had_is_absent_and_an_error_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(EXTRAS) == set(scores.NAMES)
    monkeypatch.setattr(scores, "find_spec", lambda _: None)
    for name, task in (("formula_bleu", "formula"), ("scrm", "chart"), ("cer_lines", "ocr")):
        assert name not in scores.extra_pairs(task, "a | b\nc | 1", "a | b\nc | 1", EXTRAS)
        with pytest.raises(UsageError, match=f"{name} needs"):
            scores.require([name])
    assert "cer_graphemes" in scores.extra_pairs("ocr", "a", "a", EXTRAS)


def test_extras_only_where_they_are_asked_for() -> None:
    for family, (ref, answer) in REFS.items():
        task = TASK.get(family, family)
        usual, more = set(pairs_one(task, ref, answer)), set(pairs_one(task, ref, answer, extras=EXTRAS))
        assert (
            not usual & set(EXTRAS)
            and more - usual <= set(EXTRAS)
            and {"repetition", "replacements"} <= more - usual
            and len(more - usual) >= 4
        ), family
    rows = pairs_of([pred("ভাল আছি", "ভল আছি"), pred("1 2", "")], extras=["cer_graphemes", "script_share"])
    assert [row and (row["cer_graphemes"], row.get("script_share")) for row in rows] == [
        ((1.0, 5.0), (1.0, 1.0)),
        ((3.0, 3.0), None),
    ]  # digits have no script


def test_sums_are_the_scores_of_a_run() -> None:
    """The same numbers as `sft eval` writes."""
    preds = [
        pred("abcd efgh", "abcd efgh"),
        pred("x", "y"),
        pred("ab", " \n"),
        pred("a", "aaaa", finish="length"),
        pred("zz", "", error="503"),
    ]
    whole, pairs = score(preds), [pairs for pairs in pairs_of(preds) if pairs]
    assert len(pairs) == whole.n
    for name in ("cer", "wer", "ned", "exact", "empty", "truncated", "length_ratio"):
        assert sum(item[name][0] for item in pairs) / sum(item[name][1] for item in pairs) == pytest.approx(
            getattr(whole, name)
        ), name


def mixed(count: int) -> list[Prediction]:
    chance = random.Random(3)
    tasks = [
        ("OCR:", "some words 12"),
        ("Table Recognition:", OTSL),
        ("Formula Recognition:", "\\[ x^2 + y \\]"),
        ("Chart Recognition:", CHART),
    ]
    preds = []
    for number in range(count):
        prompt, text = tasks[number % 4]
        ref = text.replace("2", str(number))
        preds.append(
            pred(
                ref,
                ref if number % 3 else ref.replace(chance.choice(ref), "q"),
                prompt=prompt,
                number=number,
                error="lost" if number % 101 == 7 else "",
            )
        )
    return preds


def test_two_processes_give_what_one_gives() -> None:
    preds = mixed(2500)
    done: list[int] = []
    one, two = pairs_of(preds, Runner(workers=1)), pairs_of(preds, Runner(workers=2), progress=done.append)
    assert one == two
    assert [place for place, item in enumerate(one) if item is None] == [
        place for place, item in enumerate(preds) if item.error
    ]
    assert done == sorted(done) and done[-1] == len(preds)
    shuffled = list(range(len(preds)))
    random.Random(4).shuffle(shuffled)
    again = pairs_of([preds[place] for place in shuffled], Runner(workers=1))
    assert again == [one[place] for place in shuffled]
    assert pairs_of([]) == []


STRANGE = [
    "",
    " ",
    OTSL,
    HTML,
    CHART,
    "\\[x\\]",
    "<table>" * 300,
    "<fcel>" * 300,
    "{" * 3000,
    "| " * 500,
    "\ud800",
    "৫" * 5000,
    "<lcel><nl>" * 50,
    "\\left(" * 400,
]
TEXTS = st.one_of(st.text(max_size=60), st.sampled_from(STRANGE))


@given(st.sampled_from([*[task.value for task in Task], OTHER]), TEXTS, TEXTS)
@settings(max_examples=250, deadline=None)
def test_nothing_that_a_model_writes_breaks_a_score(task: str, ref: str, answer: str) -> None:
    for name, value in score_one(task, ref, answer).items():
        assert math.isfinite(value) and value >= 0, name
        assert SCORES[name].kind in ("rate", "number") or value <= 1, name
    for name, value in score_one(task, ref, ref).items():
        if SCORES[name].higher_is_better and name != "parses":
            assert value == pytest.approx(1), name


def test_a_megabyte_costs_no_run() -> None:
    for task in ("ocr", "table", "formula", "chart"):
        for unit in ("ab ", "<fcel>x<nl>", "\\frac{1}{2}", "a | 1\n"):
            assert all(
                math.isfinite(value) for value in score_one(task, OTSL, unit * (1_000_000 // len(unit))).values()
            )
    endless = "<fcel>x<fcel>y<nl>"
    assert score_one("table", endless * 5000, endless * 10_000)["teds"] == 0  # more pairs of cells than are compared
