"""From the label of a source to the finished target, for every task and every way of writing one."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sft import reasons
from sft.errors import UsageError
from sft.formats.shared import markups, targets
from sft.markup import invisible, is_composed, odd_blanks
from sft.markup.errors import MarkupError
from sft.types import Task

OTSL = "<fcel>a<fcel>b<nl><fcel>1<ecel><nl>"
FINISHED = {
    Task.TABLE: "training",
    Task.CHART: "training",
}  # how a finished target is written, where "auto" could be misled by what it says
CHART = "  | 22Q3\n电商 | 85"


@pytest.mark.parametrize(
    ("task", "markup", "label", "target"),
    [
        (Task.OCR, "text", " ৪৫টি \r\n$x$ ", "৪৫টি\n$x$"),
        (Task.OCR, "latex", "area $x^2$ for $5", "area \\( x^2 \\) for $5"),
        (Task.SEAL, "text", "北京\ufeff市", "北京市"),
        (Task.SPOTTING, "text", "a<|LOC_1|>\n", "a<|LOC_1|>"),
        (Task.FORMULA, "latex", "$$ t_{n} $$", "\\[t_{n}\\]"),
        (Task.FORMULA, "latex-tokens", "\\frac { a } { b }", "\\[\\frac{a}{b}\\]"),
        (Task.TABLE, "html", "<table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>&nbsp;</td></tr></table>", OTSL),
        (Task.TABLE, "otsl", "<fcel> a <fcel>b<nl><fcel>1<ecel><nl>", OTSL),
        (Task.TABLE, "docling-otsl", "<otsl><ched>a<ched>b<nl><fcel>1<ecel><nl></otsl>", OTSL),
        (Task.TABLE, "markdown", "| a | b |\n|---|---|\n| 1 |  |", OTSL),
        (Task.TABLE, "csv", "a,b\n1,\n", OTSL),
        (Task.TABLE, "tsv", "a\tb\n1\t\n", OTSL),
        (Task.CHART, "training", "| 22Q3\n电商 | 85", CHART),
        (Task.CHART, "markdown", "|  | 22Q3 |\n| --- | --- |\n| 电商 | 85 |", CHART),
        (Task.CHART, "csv", ",22Q3\n电商,85\n", CHART),
        (Task.CHART, "tsv", "\t22Q3\n电商\t85\n", CHART),
        (Task.CHART, "deplot", "TITLE | t <0x0A>  | 22Q3 <0x0A> 电商 | 85", CHART),
        (Task.CHART, "unichart", " | 22Q3 & 电商 | 85", CHART),
        (Task.CHART, "structchart", "\\t22Q3\\n电商\\t85", CHART),
    ],
)
def test_every_markup(task: Task, markup: str, label: str, target: str) -> None:
    assert targets.make(task, label, markup=markup) == target
    assert targets.make(task, target) == target
    if (task, markup) not in ((Task.OCR, "latex"), (Task.FORMULA, "latex-tokens")):
        assert targets.make(task, label) == target


def test_every_markup_is_listed_and_explained() -> None:
    assert set(markups.MARKUPS) == set(Task)
    assert {name for names in markups.MARKUPS.values() for name in names} == set(markups.MEANING)
    assert all(len(set(names)) == len(names) for names in markups.MARKUPS.values())


@pytest.mark.parametrize(
    ("task", "label", "code"),
    [
        (Task.OCR, "", "target.empty"),
        (Task.OCR, " \u200b\ufeff\n", "target.empty"),
        (Task.OCR, "a\x00b", "target.control"),
        (Task.OCR, "a\x85", "target.control"),
        (Task.FORMULA, "$ $", "target.empty"),
        (Task.FORMULA, "$a$ or $b$", "target.latex"),
        (Task.FORMULA, "a\x00", "target.control"),
        (Task.TABLE, "", "target.empty"),
        (Task.TABLE, "plain words", "source.syntax"),
        (Task.TABLE, "<fcel>a<nl><fcel>b<fcel>c<nl>", "target.otsl"),
        (Task.TABLE, "<table><tr><td>\x01x</td></tr></table>", "target.control"),
        (Task.CHART, " ", "target.empty"),
        (Task.CHART, "a | b\nc", "target.chart"),
        (Task.CHART, "| a\\|b | c |\n|---|---|\n| 1 | 2 |", "source.inexpressible"),
        (Task.CHART, "words", "target.chart"),
    ],
)
def test_labels_that_become_nothing(task: Task, label: str, code: str) -> None:
    with pytest.raises(MarkupError) as caught:
        targets.make(task, label)
    assert caught.value.code == code


def test_a_markup_of_another_task() -> None:
    with pytest.raises(UsageError, match="no markup called 'html' for ocr labels") as caught:
        targets.make(Task.OCR, "x", markup="html")
    assert caught.value.hint == "known: auto, text, latex"


@pytest.mark.parametrize(
    ("label", "markup"),
    [
        ("<html><body><TABLE border=1>", "html"),
        ("<tr><td>x", "html"),
        ("<fcel><table><nl>", "otsl"),
        ("<td>the token <fcel></td>", "html"),
        ("<ched>a<nl>", "docling-otsl"),
        ("a|b\n-|-\n1|2", "markdown"),
        ("|a|b|\n|1|2|", "markdown"),
        ("a\tb", "tsv"),
        ("a,b\n1,2", "csv"),
    ],
)
def test_how_a_table_is_written(label: str, markup: str) -> None:
    assert targets.table_markup(label) == markup


def test_references_do_not_smuggle_invisible_characters() -> None:
    html = "<table><tr><td>e&#769;&#8203; x&#173;y &#8203;</td><td>b</td></tr></table>"
    assert targets.make(Task.TABLE, html) == "<fcel>é xy<fcel>b<nl>"


pieces = st.sampled_from(
    [
        "<table>",
        "<tr>",
        "<td>",
        "</td>",
        "</tr>",
        "</table>",
        "<fcel>",
        "<ecel>",
        "<lcel>",
        "<nl>",
        "<ched>",
        "<otsl>",
        "|",
        "---",
        "\n",
        ",",
        "\t",
        "a",
        "5",
        "$",
        "\\[",
        "\\]",
        "{",
        "}",
        "\\frac",
        "&amp;",
        "&#1;",
        '"',
        "<0x0A>",
        " & ",
        "\x00",
        "\u200b",
        "ক",
    ]
)


@settings(max_examples=1500, deadline=None)
@given(
    st.sampled_from(sorted(markups.MARKUPS)),
    st.lists(pieces, max_size=14).map("".join) | st.text(max_size=40),
    st.data(),
)
def test_a_target_or_a_reason(task: Task, label: str, data: st.DataObject) -> None:
    markup = data.draw(st.sampled_from(["auto", *markups.MARKUPS[task]]))
    try:
        target = targets.make(task, label, markup=markup)
    except MarkupError as failure:
        assert failure.code in reasons.REASONS
        return
    assert target.strip()
    assert targets.make(task, target, markup=FINISHED.get(task, "auto")) == target


PLAIN = (Task.OCR, Task.SEAL, Task.SPOTTING, Task.CHART, Task.FORMULA)
LABELS = {Task.CHART: "year | {} \n1990 | 5", Task.FORMULA: "\\[\\text{{ {} }}=1\\]"}


@pytest.mark.parametrize("task", PLAIN)
@pytest.mark.parametrize("blank", "\u00a0\u202f\u2000\u2003\u2009\u200a\u205f")
def test_what_looks_like_a_blank_is_written_as_one(task: Task, blank: str) -> None:
    label = LABELS.get(task, "{}").format(f"1{blank}250,00{blank}{blank}\ufa19戸")
    target = targets.make(task, label)
    assert "1 250,00 \ufa19戸" in target  # and an ideograph stays as it is seen
    assert not set(target) & set("\u00a0\u202f\u2000\u2003\u2009\u200a\u205f")


@pytest.mark.parametrize("task", (Task.OCR, Task.SEAL, Task.SPOTTING, Task.CHART))
def test_an_ideographic_space_stays(task: Task) -> None:
    assert "東京\u3000天気" in targets.make(task, LABELS.get(task, "{}").format("東京\u3000天気"))


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(PLAIN),
    st.text(st.sampled_from("ab1|\\{}^_ \n\t\u00a0\u2009\u3000\u202fe\u0301\u200b\ufa19क\u093f"), max_size=16),
)
@example(Task.FORMULA, "a \u0301")
def test_converters_leave_nothing_that_validate_mends(task: Task, label: str) -> None:
    try:
        target = targets.make(task, label)
    except MarkupError:
        return
    assert odd_blanks(target, cells=task is Task.CHART) is None
    assert is_composed(target) and invisible(target) is None
