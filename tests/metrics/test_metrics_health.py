"""Health of answers: loops, cut-off, empty, wrong formats, and who carries the error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.metrics.health import (
    LONGEST,
    SHORTEST,
    UNITS,
    Health,
    empty,
    format_problem,
    health,
    repeated_end,
    repetition,
    runaway,
    truncated,
    worst_share,
    wrong_format,
)
from sft.types import Task

OTSL = "<fcel>a<fcel>b<nl><fcel>c<fcel>d<nl>"
HTML = "<table><tr><td>a</td></tr></table>"
MARKDOWN = "| a | b |\n| - | - |\n| c | d |"


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", 0),
        ("plain text without a loop, none at all", 0),
        ("x" * 19, 0),
        ("x" * 20, 20),
        ("start " + "x" * 20, 20),
        ("abcdef" * 4, 24),
        ("abcdef" * 3, 0),
        ("a line\n" * 9, 62),
        ("start: " + "1234567 " * 6, 48),
        ("abcdefgh" * 5 + "abc", 43),
        ("৪৫টি " * 10, 49),
        ("👩\u200d👧" * 10, 30),
        ("loop loop loop loop loop loop then text", 0),
        ("x" * (LONGEST + 9), LONGEST),
    ],
)
def test_repeated_ends(text: str, length: int) -> None:
    assert repeated_end(text) == length


def by_trial(text: str) -> int:
    """Every period and every start, one by one."""
    text = text.strip()
    runs = [
        len(text) - start
        for start in range(len(text))
        for period in range(1, (len(text) - start) // UNITS + 1)
        if all(text[i] == text[i + period] for i in range(start, len(text) - period))
    ]
    return max((run for run in runs if run >= SHORTEST), default=0)


@given(st.text("ab", max_size=6), st.text("abc", min_size=1, max_size=7), st.integers(1, 12), st.text("ab", max_size=2))
def test_repeated_ends_are_found_whatever_the_unit(start: str, unit: str, count: int, end: str) -> None:
    text = start + unit * count + end
    assert repeated_end(text) == by_trial(text)
    assert 0 <= repetition(pred=text) <= 1


@pytest.mark.parametrize(
    ("ref", "pred", "wanted"),
    [
        ("short", "short " * 20, 1),
        ("short", "short", 0),
        ("", "", 0),
        ("", "1" * 60, 1),
        ("", "1" * 40, 0),
        ("short", "a long answer with many different words in it, which is wrong but is no loop at all", 0),
        ("N/A\n" * 40, "N/A\n" * 40, 0),
        ("N/A\n" * 40, "N/A\n" * 60, 0),
        ("N/A\n" * 40, "N/A\n" * 90, 1),
        ("Chapter 1 " + ". " * 40, "Chapter 1 " + ". " * 40, 0),
        ("abc", "words that differ, many of them, before the loop begins at last " + "loop " * 30, 1),
        ("abc", "words that differ " + "xyz" * 7 + " and then others follow, with no loop at the end of it", 0),
    ],
)
def test_runaways(ref: str, pred: str, wanted: float) -> None:
    assert runaway(ref=ref, pred=pred) == wanted


@pytest.mark.parametrize(
    ("task", "good", "bad"),
    [
        (
            Task.OCR,
            ["plain", "a | b", r"\(x\)", "", "5 < 6", "- item"],
            [OTSL, HTML, MARKDOWN, "```\ncode\n```", "a<|LOC_1|>"],
        ),
        (Task.SEAL, ["印章"], [HTML]),
        (Task.TABLE, [OTSL, OTSL[:-4], " \n"], [HTML, MARKDOWN, "plain"]),
        (Task.FORMULA, [r"\[x\]", r" $x$", ""], ["x^2", OTSL, HTML, "```latex\nx\n```"]),
        (Task.CHART, ["a | b\nc | 5"], ["plain", MARKDOWN, OTSL, HTML]),
        (Task.SPOTTING, ["word" + "<|LOC_5|>" * 8], ["word", HTML]),
    ],
)
def test_formats(task: Task, good: list[str], bad: list[str]) -> None:
    assert [format_problem(pred, task) for pred in good] == [""] * len(good)
    assert all(format_problem(pred, task) for pred in bad)
    assert all(wrong_format(pred=pred, task=task) == 1 for pred in bad)
    assert not any(wrong_format(pred=pred, task=task) for pred in good)


def test_every_task_has_a_format() -> None:
    assert [format_problem(HTML, task) for task in Task] == ["a table in html"] * len(Task)


def test_formats_are_named() -> None:
    assert format_problem(MARKDOWN, Task.TABLE) == "a table in markdown"
    assert format_problem("plain", Task.TABLE) == "no table"
    assert format_problem("x^2", Task.FORMULA) == "no delimiters"


def test_cut_off_and_empty() -> None:
    assert [truncated(finish_reason=reason) for reason in ("stop", "length", "")] == [0, 1, 0]
    assert [empty(pred=pred) for pred in ("", " \n\u3000", "x")] == [1, 1, 0]


def test_worst_share() -> None:
    assert worst_share([]) == worst_share([0.0, 0.0]) == 0
    assert worst_share([5.0]) == 1
    assert worst_share([0.1] * 99 + [9.9]) == pytest.approx(0.5)
    assert worst_share([1.0] * 200) == pytest.approx(0.01)
    assert worst_share([3.0, 1.0], share=0.5) == 0.75


@given(st.lists(st.floats(0, 100), max_size=50), st.randoms())
def test_worst_share_does_not_mind_the_order(errors: list[float], rng: object) -> None:
    assert 0 <= worst_share(errors) <= 1
    assert worst_share(errors[::-1]) == worst_share(errors) == worst_share(sorted(errors))


def test_a_run() -> None:
    found = health(
        refs=["a", "b", OTSL, "x"],
        preds=["a", "", HTML, "loop " * 40],
        finish_reasons=["stop", "stop", "stop", "length"],
        tasks=[Task.OCR, Task.OCR, Task.TABLE, Task.OCR],
        errors=[0, 1, 0.5, 199],
    )
    assert found == Health(
        n=4,
        empty=0.25,
        truncated=0.25,
        runaway=0.25,
        repetition=0.25,
        wrong_format=0.25,
        replacements=0,
        worst=199 / 200.5,
    )
    assert health(refs=[], preds=[], finish_reasons=[], tasks=[]) == Health(0, 0, 0, 0, 0, 0, 0, 0)
    with pytest.raises(ValueError):
        health(refs=["a"], preds=[], finish_reasons=[], tasks=[])


@pytest.mark.parametrize(
    "pred",
    [
        "x" * 1_000_000,
        "ab" * 500_000,
        "\n".join(map(str, range(150_000))),
        "a" * 500_000 + "b" * 500_000,
        "\u0301" * 1_000_000,
        "<" * 1_000_000,
        "|" * 1_000_000,
    ],
)
def test_answers_of_a_megabyte(pred: str) -> None:
    assert runaway(ref="short", pred=pred) in (0, 1)
    assert 0 <= repetition(pred=pred) <= 1
    assert [bool(format_problem(pred, task)) for task in (Task.TABLE, Task.SPOTTING)] == [True, True]
