"""report.md, metrics.csv, TensorBoard and JUnit: the same figures as the page, and strangers' text is text
there too.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from sft.errors import UsageError
from sft.evaluation.conditions import Condition
from sft.evaluation.gates import GateResult
from sft.markup.grid import Grid
from sft.metrics.text import cer
from sft.report import exports, plots
from sft.report.data import ReportData, gather, ordered
from sft.report.exports import write_csv, write_junit, write_markdown, write_tensorboard
from sft.report.plots import scale
from sft.report.table_diff import compare
from sft.types import Prediction

ATTACK = "a|b\n<img src=x> [x](http://e.org) @you `c` =1+1 \x00"
GATES = (
    GateResult("cer", "tuned", True, 0.01, "0.0100, at most 0.05"),
    GateResult("lost " + ATTACK, "tuned", False, 3.0, "3, at most 0 " + ATTACK),
)


def preds(wrong: int, *, lost: int = 0) -> list[Prediction]:
    return [
        Prediction(
            number,
            f"{number}.png",
            "OCR:",
            "abcd",
            "abcx" if number <= wrong else "abcd",
            error="gone" if number > 100 - lost else "",
        )
        for number in range(1, 101)
    ]


def two(*, lost: int = 0) -> ReportData:
    return gather([("base", preds(60)), (f"tuned {ATTACK}", preds(20, lost=lost))])


def test_markdown(tmp_path: Path) -> None:
    write_markdown(tmp_path / "report.md", two(lost=2), title=ATTACK, gates=GATES)
    text = (tmp_path / "report.md").read_text("utf-8")
    assert (
        "**Gates: 1 of 2 broken**" in text
        and "| **CER ↓** | 15." in text
        and "**better**" in text
        and "2 of 100 answers of" in text
    )
    assert "<img" not in text and "](http" not in text and "@you" not in text and "`" not in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1, block
    assert text.count("<code>abcx</code>") == 10 and "## The worst 10" in text
    write_markdown(tmp_path / "right.md", gather([("x", preds(0))]), title="t")
    assert "worst" not in (tmp_path / "right.md").read_text("utf-8") and "change" not in (
        tmp_path / "right.md"
    ).read_text("utf-8")


def test_csv(tmp_path: Path) -> None:
    data = gather(
        [("=base", preds(60)), ("tuned", preds(20))],
        labels={number: {"side": "left" if number % 2 else "right"} for number in range(1, 101)},
    )
    write_csv(tmp_path / "metrics.csv", data)
    with (tmp_path / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["run"] for row in rows} == {"'=base", "tuned"}
    line = next(row for row in rows if (row["run"], row["score"], row["dimension"]) == ("tuned", "cer", ""))
    expected = np.mean([cer(ref=pred.ref, pred=pred.pred) for pred in preds(20)])
    assert float(line["value"]) == pytest.approx(expected) and float(line["low"]) < expected < float(line["high"])
    assert (line["n"], line["verdict"], line["wins"], line["losses"]) == ("100", "better", "40", "0") and float(
        line["delta"]
    ) == pytest.approx(-0.1)
    assert {(row["slice"], row["n"]) for row in rows if row["dimension"] == "side"} == {("left", "50"), ("right", "50")}


def test_junit(tmp_path: Path) -> None:
    write_junit(tmp_path / "junit.xml", two(lost=3), title=ATTACK, gates=GATES)
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (root.get("tests"), root.get("failures")) == ("4", "2")
    cases = {
        case.get("name"): [failure.get("message") for failure in case.findall("failure")]
        for case in root.iter("testcase")
    }
    assert cases["base"] == [] and cases["cer (tuned)"] == [] and len(cases) == 4
    assert "3 of 100 answers are lost" in [message for messages in cases.values() for message in messages]
    values = {item.get("name"): float(item.get("value", "")) for item in root.iter("property")}
    assert values["base/ocr/cer"] == pytest.approx(60 / 97 / 4, rel=1e-5)  # over the samples that both runs answered


def test_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    data = gather([("base", preds(60)), ("step 200", preds(40)), ("checkpoint-400", preds(20))])
    assert data.steps == (0, 200, 400)
    for _ in range(2):  # the second call replaces what the first one wrote
        count = write_tensorboard(tmp_path / "eval", data)
    events = EventAccumulator(str(tmp_path / "eval"), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    from tensorboard.util import tensor_util  # type: ignore[import-untyped]

    points = [
        (item.step, float(tensor_util.make_ndarray(item.tensor_proto))) for item in events.Tensors("eval_ocr/cer")
    ]
    assert [step for step, _ in points] == [0, 200, 400] and [value for _, value in points] == pytest.approx(
        [0.15, 0.1, 0.05]
    )
    assert sum(len(events.Tensors(tag)) for tag in events.Tags()["tensors"]) == count
    assert len(list((tmp_path / "eval").iterdir())) == 1
    with pytest.raises(UsageError, match="no run has a training step"):
        write_tensorboard(tmp_path / "none", two())


def test_steps_are_read_from_names() -> None:
    names = ("base", "200", "s300", "step 400", "step-500", "checkpoint-600", "mine-ckpt700", "runs8", "model-2x")
    assert gather([(name, preds(1)) for name in names]).steps == (0, 200, 300, 400, 500, 600, 700, None, None)


def test_numbers_of_a_file_can_be_read(tmp_path: Path) -> None:
    """Six digits, nothing of what rounding leaves, and nothing where nothing is known."""
    assert [exports._number(value) for value in (3.469e-18, 0.123456789, 1.0, 1e7, float("inf"), -2e-13)] == [
        "0",
        "0.123457",
        "1",
        "10000000",
        "",
        "0",
    ]


def test_three_runs_have_a_change_each(tmp_path: Path) -> None:
    data = gather([("base", preds(60)), ("a", preds(40)), ("b", preds(20))])
    write_markdown(tmp_path / "report.md", data, title="t")
    line = next(line for line in (tmp_path / "report.md").read_text("utf-8").splitlines() if line.startswith("| **CER"))
    assert "−5.00 pp (" in line and "−10.00 pp (" in line and line.count("**better**") == 2
    write_csv(tmp_path / "metrics.csv", data)
    with (tmp_path / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        found = {row["run"]: row for row in csv.DictReader(stream) if row["score"] == "cer"}
    assert [found[name]["delta"] for name in ("base", "a", "b")] == ["", "-0.05", "-0.1"] and float(
        found["b"]["p_holm"]
    ) >= float(found["b"]["p"])


def test_scored_and_lost_are_counted_apart(tmp_path: Path) -> None:
    write_markdown(
        tmp_path / "report.md",
        gather([("x", preds(50, lost=16))]),
        title="t",
        conditions=[Condition("model", ("a|b",), True)],
    )
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "## Text (84 samples scored, 16 lost)" in text and "| model | a&#124;b | **differs** |" in text


def test_ticks_have_no_powers_of_ten() -> None:
    assert [plots._tick("cer", value) for value in (0.025, 1.5, 150, 0.1)] == ["2.5%", "150%", "15,000%", "10%"]


def test_one_runaway_does_not_flatten_the_slices() -> None:
    long = [
        Prediction(number, "a.png", "OCR:", "abcd", "abcx" if number % 4 else "ab " * (2000 if number == 4 else 1))
        for number in range(1, 121)
    ]
    data = gather(
        [("x", long)], labels={number: {"side": "left" if number <= 40 else "right"} for number in range(1, 121)}
    )
    panel = plots.panels(data)[0]
    assert float(panel.ends[1].rstrip("%").replace(",", "")) <= 150
    assert {line.label: [x for x, _ in line.marks[0].cuts] for line in panel.lines} == {"right": [], "left": [100.0]}


def test_steps_can_be_given() -> None:
    assert gather([("a", preds(1)), ("b", preds(2))], steps={"b": 7}).steps == (None, 7)


def test_scales_are_round_and_hold_their_values() -> None:
    for values in ([0.0, 0.03], [0.9, 0.98], [0.5], [0.0, 0.0], [1.0, 17.0], [float("inf"), 0.2]):
        low, high, step = scale(values)
        assert all(low - 1e-9 <= value <= high + 1e-9 for value in values if np.isfinite(value)) and high > low
        assert 1 <= round((high - low) / step) <= 6


def test_labels_with_numbers_are_in_their_order() -> None:
    assert ordered(["from 301", "0 to 10", "11 to 30"]) == ["0 to 10", "11 to 30", "from 301"]
    assert ordered(["0.25 to 1 MP", "below 0.05 MP", "0.05 to 0.25 MP"]) == [
        "0.05 to 0.25 MP",
        "below 0.05 MP",
        "0.25 to 1 MP",
    ]
    assert ordered(["Latin", "Bengali"]) == ["Latin", "Bengali"]


def test_a_missing_column_costs_its_own_cells_only() -> None:
    ref, pred = Grid.from_rows([["k", "a", "x"], ["l", "b", "y"]]), Grid.from_rows([["k", "x"], ["l", "z"]])
    found = compare(ref, pred)
    assert found.pred == [[["k"], ["x"]], [["l"], ["z", 1, 1, 1, "y"]]] and found.note == "missing: 1 column"
    assert [[len(cell) > 3 for cell in row] for row in found.ref] == [[False, True, False], [False, True, True]]
    same = compare(ref, ref)
    assert same.ref == same.pred == [[["k"], ["a"], ["x"]], [["l"], ["b"], ["y"]]] and same.note == ""
    more = compare(Grid.from_rows([["a"]]), Grid.from_rows([["a"], ["b"]]))
    assert more.pred == [[["a"]], [["b", 1, 1, 2]]] and more.note == ""
