"""What the pipeline does to an answer: our own statement against the function of the installed PaddleX itself."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paddlex_functions import load_uilts, shown_by_pipeline

from sft.markup import pipeline
from sft.types import Task
from sft.validate.answer_checks import check_answer
from sft.validate.fast.markup import doubtful_tables

Cut = Callable[..., str]


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    return load_uilts()


unit = st.text("ab. \n|<\u3000é", min_size=1, max_size=14)
repeated = st.builds(
    lambda head, piece, times, tail: head + piece * times + tail,
    st.text("abc \n.", max_size=60),
    unit,
    st.integers(1, 40),
    st.text("ab \n", max_size=3),
)
lines = st.builds("\n".join, st.lists(st.sampled_from(["N/A", " N/A ", "", "a | 1", "x"]), max_size=40))
skewed = st.builds(
    lambda odd, times: "\n".join(["row"] * times + odd),
    st.lists(st.text("abc", max_size=3), max_size=12),
    st.integers(0, 60),
)
long_line = st.builds(
    lambda head, piece, times: head + piece * times,
    st.text("abc", max_size=120),
    st.text("ab", min_size=1, max_size=30),
    st.integers(1, 30),
)


@settings(max_examples=4000, deadline=None)
@given(
    st.one_of(repeated, lines, skewed, long_line, st.text(max_size=80), st.text("ab", max_size=300)),
    st.sampled_from([0, 1, 50, 5000]),
)
@example("Chapter 1 " + ". " * 60, 50)
@example("N/A\n" * 20, 50)
@example("ab" * 25, 50)
@example("abcdefgh" * 20, 50)
@example("x" * 101, 50)
@example("\n" * 60, 50)
@example(" " * 60, 50)
def test_repetition_cut_is_paddlex_own(theirs: ModuleType, text: str, min_len: int) -> None:
    assert pipeline.repetition_cut(text, min_len=min_len) == theirs.truncate_repetitive_content(text, min_count=min_len)


@settings(max_examples=1500, deadline=None)
@given(
    st.text("ab", min_size=0, max_size=40),
    st.text("ab", min_size=8, max_size=40),
    st.integers(3, 9),
    st.sampled_from(["", "a", "ab"]),
)
def test_ends_with_many_candidates(theirs: ModuleType, head: str, piece: str, times: int, tail: str) -> None:
    """Two letters only: the last eight characters stand everywhere, so that the one-pass search has to decide."""
    text = (head + piece * times + tail).ljust(101, "a")
    assert pipeline.repetition_cut(text, min_len=50) == theirs.truncate_repetitive_content(text, min_count=50)


def test_targets_that_are_cut() -> None:
    assert pipeline.repetition_cut("Chapter 1 " + ". " * 60) == "Chapter 1"
    assert pipeline.repetition_cut("N/A\n" * 20) == "N/A"
    assert pipeline.repetition_cut("short . . . . . . . . .") == "short . . . . . . . . ."
    row = "<fcel>1<fcel>2<nl>"
    assert pipeline.repetition_cut(row * 20, min_len=pipeline.min_length(Task.TABLE)) == row * 20
    assert pipeline.repetition_cut(row * 20, min_len=pipeline.min_length(Task.OCR)) != row * 20


HEAD, ROW = "<fcel>ab<fcel>cde<nl>", "<fcel>0<fcel>0<nl>"


@pytest.mark.parametrize(
    ("table", "cut"),
    [
        (HEAD + ROW * 276, False),  # 4,989 characters
        (HEAD + ROW * 277, True),  # 5,007
        (ROW * 278, True),
        (HEAD + "<fcel>12<fcel>N/A<nl>" * 300, True),
        (HEAD + "".join(f"<fcel>{number}<fcel>0<nl>" for number in range(300)), False),
        (ROW * 150 + "<fcel>a<fcel>b<nl>" * 149 + ROW, False),
    ],
)
def test_a_right_table_that_the_pipeline_cuts_is_a_finding(theirs: ModuleType, table: str, cut: bool) -> None:
    assert (theirs.truncate_repetitive_content(table, min_count=5000) != table) == cut
    found = {problem.code for problem in check_answer(table, "Table Recognition:", "", 1)}
    assert found == ({"target.repetition"} if cut else set())
    assert cut or not doubtful_tables([table])[0] or len(table) >= pipeline.MIN_LENGTH_TABLE
    assert not cut or doubtful_tables([table])[0]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "ab" * 500_000,
        "a" * 999_999 + "b",
        "b" + "a" * 999_999,
        "aaaaaaab" * 100_000 + "c" + "aaaaaaab" * 20,
        ("a" * 1000 + "b") * 999,
        "x\n" * 500_000,
        "\n" * 1_000_000,
    ],
)
def test_a_million_characters(text: str) -> None:
    assert len(pipeline.repetition_cut(text)) <= len(text)


pieces = st.lists(
    st.sampled_from(["\\(", "\\)", "\\[", "\\]", "$", "$5", "x", "\\\\", "[2pt]", " ", "\n"]), max_size=12
).map("".join)


@settings(max_examples=600, deadline=None)
@given(pieces)
@example("\\[a\\\\[2pt]b\\]")
@example("\\[\\[x\\]\\]")
@example("$5 \\( x \\)")
def test_dollars_are_deleted_where_paddlex_deletes_them(text: str) -> None:
    deleted = shown_by_pipeline(text) == shown_by_pipeline(text.replace("$", ""))
    assert pipeline.dollars_deleted(text) == ("$" in text and deleted)


def test_dollars() -> None:
    assert pipeline.dollars_deleted("$5 and \\( x \\)")
    assert not pipeline.dollars_deleted("$5 and \\( x")
    assert not pipeline.dollars_deleted("\\( x \\)")
