"""What holds for every metric of METRICS that needs no other program: range, identity, symmetry, no gain by
corruption, and no say of the order of samples.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.markup.grid import Grid
from sft.metrics import METRICS, Metric, function
from sft.metrics.formula import bleu_corpus
from sft.metrics.health import health, worst_share
from sft.metrics.text import Edits, cer_batch, ned_batch, pooled, wer_batch
from sft.types import Task

Rows = list[list[str]]
Pair = tuple[str, str]

ABOVE_ONE = {"cer", "wer", "cer_graphemes", "cer_lines", "cer_unspaced", "length_ratio", "replacements"}  # not clipped
BELOW_ZERO = {"teds", "teds_s", "teds_strict"}  # tables of very different shape
SYMMETRIC = {
    "ned",
    "ned_omnidocbench",
    "ned_paddle",
    "exact",
    "teds",
    "teds_s",
    "cell_f1",
    "cell_f1_fuzzy",
    "shape",
    "structure",
    "formula_ned",
    "formula_token_ned",
    "formula_exact",
    "chart_cell_f1",
    "chart_cell_f1_fuzzy",
}
BLIND = {
    "teds_s",
    "shape",
    "structure",
    "grits_top",
    "formula_parses",
}  # to what stands in a cell, or to what the truth is
BLIND_TO_ROWS = {"rnss"}  # as published: numbers that are missing find no partner, and only partners cost
RECORDS = {
    name: metric for name, metric in METRICS.items() if name != "cdm"
}  # which starts LaTeX for every sample, and has tests of its own
PAIRED = {name: metric for name, metric in RECORDS.items() if metric.takes == ("ref", "pred")}


def otsl(rows: Rows) -> str:
    return Grid.from_rows(rows).to_otsl()


def chart(rows: Rows) -> str:
    return "\n".join(" | ".join(row) for row in rows)


def formula(tokens: Sequence[str]) -> str:
    return rf"\[{' '.join(tokens)}\]"


def spotted(texts: Sequence[tuple[str, int]]) -> str:
    """Texts with the number of the line that each stands in."""
    answer = ""
    for text, line in texts:
        top = line * 20
        corners = (100, top, 300, top, 300, top + 15, 100, top + 15)
        answer += text + "".join(f"<|LOC_{number}|>" for number in corners)
    return answer


def boxes(cells: st.SearchStrategy[str], least: int = 1) -> st.SearchStrategy[Rows]:
    return st.tuples(st.integers(least, 4), st.integers(least, 4)).flatmap(
        lambda size: st.lists(st.lists(cells, min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0])
    )


text_answers = st.text(alphabet="aAb \n২৩কা্é👩א\u0301\ufffd", max_size=14)
ANSWERS: dict[str, st.SearchStrategy[str]] = {
    "text": text_answers,
    "any": text_answers,
    "table": st.one_of(
        boxes(st.sampled_from(["", "a", "ab", "12.5", "কা"])).map(otsl), st.just(""), st.just("no table")
    ),
    "formula": (
        st.lists(
            st.sampled_from(["x", "y", "1", "+", "=", "^", "_", "{", "}", r"\frac", r"\alpha", r"\left(", "\\", "中"]),
            max_size=9,
        ).map(formula)
    ),
    "spotting": st.lists(
        st.tuples(st.sampled_from(["a", "ab", "১২", "a b"]), st.integers(0, 5)), min_size=1, max_size=6
    ).map(spotted),
    "chart": st.one_of(
        boxes(st.sampled_from(["year", "a", "ab", "0", "0.0", "-5", "10", "10.5", "5%", "1,000"]), 2).map(chart),
        st.just(""),
    ),
}


def score(metric: Metric, ref: str, pred: str) -> float | None:
    given_ = {"ref": ref, "pred": pred, "finish_reason": "stop", "task": Task.OCR}
    found: float | None = function(metric.name)(**{name: given_[name] for name in metric.takes})
    return found


def pairs_of(metric: Metric) -> st.SearchStrategy[Pair]:
    answers = ANSWERS[metric.task]
    return st.one_of(st.tuples(answers, answers), answers.map(lambda answer: (answer, answer)))


@pytest.mark.parametrize("metric", RECORDS.values(), ids=RECORDS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_range_and_identity(metric: Metric, data: st.DataObject) -> None:
    ref, pred = data.draw(pairs_of(metric))
    found = score(metric, ref, pred)
    assert found is not None or metric.name == "script_share", "no answer has no text"
    if found is not None:
        assert math.isfinite(found)
        assert found >= (-1 if metric.name in BELOW_ZERO else 0)
        assert found <= 1 + 1e-12 or metric.name in ABOVE_ONE
    if metric.name in PAIRED:
        same = score(metric, ref, ref)
        best = 0 if metric.higher_is_better is False else 1
        # a truth of two scripts has its share of the other; what a strict reader refuses, it refuses from anybody
        assert same == best or metric.name in ("script_share", "teds_strict")
        if found is not None and metric.higher_is_better is not None and metric.name != "script_share":
            assert found <= best + 1e-12 if metric.higher_is_better else found >= best


@pytest.mark.parametrize("name", sorted(SYMMETRIC))
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_symmetry(name: str, data: st.DataObject) -> None:
    ref, pred = data.draw(pairs_of(METRICS[name]))
    assert score(METRICS[name], ref, pred) == pytest.approx(score(METRICS[name], pred, ref), abs=1e-12)


PLAIN: Rows = [[f"row{row}col{column}" for column in range(4)] for row in range(5)]
NUMBERS: Rows = [
    ["year", *(f"{letter * 8}" for letter in "pqr")],
    *([f"{name * 6}", *(str(7 + 10**row * (column + 1)) for column in range(3))] for row, name in enumerate("abcd")),
]
TOKENS = [chr(97 + number) for number in range(20)]
SENTENCE = list(
    "মার্চ মাসের আয় ও ব্যয় ২,৩৪১ টাকা"
)  # one script, or `script_share` would rise where letters of the other fall out


def spoilt(task: str, order: random.Random) -> list[str]:
    """The truth first, then answers of which each holds one more unit that is like nothing in the truth."""
    if task == "text":
        units: Any = list(SENTENCE)
        write: Callable[[Any], str] = "".join
        places: list[Any] = [place for place, letter in enumerate(units) if not letter.isspace()]
    elif task == "spotting":
        units, write, places = [(f"line {number}", number) for number in range(20)], spotted, list(range(20))
    elif task == "formula":
        units, write, places = list(TOKENS), formula, list(range(len(TOKENS)))
    else:
        units, write = (
            [list(row) for row in (PLAIN if task == "table" else NUMBERS)],
            otsl if task == "table" else chart,
        )
        places = [
            (row, column)
            for row in range(task == "chart", len(units))
            for column in range(task == "chart", len(units[0]))
        ]
    order.shuffle(places)
    found = [write(units)]
    for place in places:
        if isinstance(place, tuple):
            units[place[0]][place[1]] = "§" * 12
        else:
            units[place] = {"formula": "9", "spotting": ("§", 25 + place)}.get(task, "§")
        found.append(write(units))
    return found


def no_better(metric: Metric, ref: str, answers: list[str]) -> list[float]:
    """The scores as losses; asserts that none is below the one before."""
    found = [score(metric, ref, answer) for answer in answers]
    losses = [-value if metric.higher_is_better else value for value in found if value is not None]
    assert len(losses) == len(found)
    assert all(after >= before - 1e-12 for before, after in zip(losses, losses[1:], strict=False)), losses
    return losses


@pytest.mark.parametrize("name", [name for name, metric in PAIRED.items() if metric.task != "any"])
@pytest.mark.parametrize("seed", range(4))
def test_more_corruption_is_no_better(name: str, seed: int) -> None:
    metric = METRICS[name]
    answers = spoilt(metric.task, random.Random(seed))
    losses = no_better(metric, answers[0], answers)
    assert len(losses) > 12
    assert (losses[-1] > losses[0]) == (name not in BLIND)


@pytest.mark.parametrize("name", [name for name, metric in PAIRED.items() if metric.task in ("table", "chart")])
def test_fewer_rows_are_no_better(name: str) -> None:
    rows, write = (PLAIN, otsl) if METRICS[name].task == "table" else (NUMBERS, chart)
    losses = no_better(METRICS[name], write(rows), [write(rows[:count]) for count in range(len(rows), 1, -1)])
    assert (losses[-1] > losses[0]) == (name not in BLIND_TO_ROWS)


@pytest.mark.parametrize("metric", RECORDS.values(), ids=RECORDS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_sample_does_not_know_what_came_before_it(metric: Metric, data: st.DataObject) -> None:
    """No cache, no state: in another order, the same samples have the same scores."""
    samples = data.draw(st.lists(pairs_of(metric), min_size=2, max_size=4))
    first = [score(metric, *sample) for sample in samples]
    order = data.draw(st.permutations(range(len(samples))))
    assert [score(metric, *samples[place]) for place in order] == [first[place] for place in order]


@given(st.lists(st.tuples(text_answers, text_answers), min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_a_corpus_does_not_mind_the_order(samples: list[Pair], order: random.Random) -> None:
    places = list(range(len(samples)))
    order.shuffle(places)
    (refs, preds), (other_refs, other_preds) = (
        zip(*chosen, strict=True) for chosen in (samples, [samples[place] for place in places])
    )
    for measure in (cer_batch, wer_batch, ned_batch):
        one, other = measure(refs=refs, preds=preds), measure(refs=other_refs, preds=other_preds)
        assert one.pooled == other.pooled
        assert one.mean == pytest.approx(other.mean)
        assert other.rates.tolist() == one.rates[places].tolist()
        assert other.distances.tolist() == one.distances[places].tolist()
        assert np.array_equal(other.lengths, one.lengths[places])
        edits = [Edits(int(distance), int(length)) for distance, length in zip(one.distances, one.lengths, strict=True)]
        assert pooled(edits) == pooled([edits[place] for place in places]) == one.pooled
    assert bleu_corpus(refs=refs, preds=preds) == pytest.approx(bleu_corpus(refs=other_refs, preds=other_preds))
    tasks, reasons = [Task.OCR] * len(samples), ["stop"] * len(samples)
    assert health(refs=refs, preds=preds, finish_reasons=reasons, tasks=tasks) == health(
        refs=other_refs, preds=other_preds, finish_reasons=reasons, tasks=tasks
    )
    errors = [float(len(pred)) for pred in preds]
    assert worst_share(errors) == worst_share([errors[place] for place in places])
