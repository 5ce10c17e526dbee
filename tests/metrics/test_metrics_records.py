"""METRICS: every record has its function, says the truth about it, and can be quoted."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from latex import require_latex

from sft.metrics import METRICS, Metric, function
from sft.types import Task

OTSL = "<fcel>a<fcel>b<nl><fcel>c<fcel>d<nl>"
SPOTTED = "a" + "".join(f"<|LOC_{place}|>" for place in (0, 0, 900, 0, 900, 50, 0, 50))
# per family: truth, a right answer, a wrong one
SAMPLES: dict[str, tuple[str, str, str]] = {
    "text": ("ab", "ab", "גד"),
    "table": (OTSL, OTSL, "<table><tr><td>x</td></tr></table>"),
    "formula": (r"\[x^2+y^2=z^2\]", r"\[x^2+y^2=z^2\]", r"\[\frac{a\]"),
    "spotting": (SPOTTED, SPOTTED, SPOTTED.replace("a<", "b<").replace("LOC_900", "LOC_300")),
    "chart": ("year | a\n1 | 5\n2 | 6", "year | a\n1 | 5\n2 | 6", "month | b\n7 | 90"),
}
LOOP = "abcdefgh " * 30
BROKEN: dict[str, dict[str, Any]] = {
    "replacements": {"pred": "a\ufffdb"},
    "empty": {"pred": " \n"},
    "truncated": {"finish_reason": "length"},
    "runaway": {"ref": "ab", "pred": LOOP},
    "repetition": {"pred": LOOP},
    "wrong_format": {"pred": "<table><tr><td>x</td></tr></table>", "task": Task.TABLE},
}
SOUND: dict[str, Any] = {"ref": OTSL, "pred": OTSL, "finish_reason": "stop", "task": Task.TABLE}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_record_agrees_with_its_function(metric: Metric) -> None:
    assert METRICS[metric.name] is metric
    if metric.name == "cdm":
        require_latex()
    measure = function(metric.name)
    if metric.higher_is_better is None:
        assert measure(ref="ab", pred="ab") == 1
        return
    if metric.task == "any":
        good, bad = measure(**{name: SOUND[name] for name in metric.takes}), measure(**BROKEN[metric.name])
    else:
        ref, right, wrong = SAMPLES[metric.task]
        good, bad = (
            measure(**{name: value for name, value in (("ref", ref), ("pred", answer)) if name in metric.takes})
            for answer in (right, wrong)
        )
        assert good == (1 if metric.higher_is_better else 0), "a right answer is not perfect"
    assert (good > bad) == metric.higher_is_better and good != bad


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_arguments_must_be_named(metric: Metric) -> None:
    with pytest.raises(TypeError, match="positional"):
        function(metric.name)(*["a"] * len(metric.takes))


def test_signatures_tell_metrics_apart_and_are_written_with_the_record() -> None:
    assert METRICS["cer"].signature == "cer|unit:codepoint|corpus:sum/sum|version:1.0"
    assert METRICS["teds"].signature == "teds|variant:pubtabnet|read:lenient|corpus:mean|version:1.0"
    assert len({metric.signature for metric in METRICS.values()}) == len(METRICS) > 25
    assert json.loads(json.dumps(dataclasses.asdict(METRICS["exact"])))["signature"] == "exact|corpus:mean|version:1.0"


def test_every_task_has_metrics() -> None:
    assert {metric.task for metric in METRICS.values()} == {"text", "table", "formula", "chart", "spotting", "any"}
    with pytest.raises(KeyError):
        function("bertscore")
