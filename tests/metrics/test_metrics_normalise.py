"""Normalisation profiles: what they take away, and that they say so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.metrics.normalise import MAX_FORMULA, PROFILES, omnidocbench, paddle
from sft.metrics.text import RAW, ned, normalise


def test_profiles_are_named_values() -> None:
    assert list(PROFILES) == ["raw", "paddle", "omnidocbench"]
    for name, profile in PROFILES.items():
        assert profile.name == name
        assert profile.version
        assert profile.definition.startswith(name)
        assert profile.loses
    assert PROFILES["raw"].apply is normalise
    assert PROFILES["raw"].definition == RAW
    assert "combining mark" in PROFILES["omnidocbench"].loses


def test_paddle_deletes_blanks_and_nothing_else() -> None:
    assert paddle(" a b\tc\u3000d\n") == "ab\tc\u3000d\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Hello, World!\n1.5 %", "HelloWorld15"),
        ("b/test", "best"),
        ("a\\tb\\nc", "abc"),
        ("a_b", "a_b"),
        ("中文（括号）", "中文括号"),
        (r"$\alpha$ and \(x_1^2\)", "αandx_12"),
        ("$5 and $6", "5and6"),
        (r"\(open", "open"),
        ("$x$", "x"),
        (r"$\frac{", "frac"),
    ],
)
def test_omnidocbench_as_published(text: str, wanted: str) -> None:
    """Values of OmniDocBench's clean_string(textblock2unicode(text))."""
    assert omnidocbench(text) == wanted


def test_omnidocbench_cannot_see_combining_marks() -> None:
    """Why it is no default: an answer without a single vowel sign scores as well as a right one."""
    assert omnidocbench("মার্চ কি") == omnidocbench("মরচ ক") == "মরচক"
    assert ned(ref="মার্চ কি", pred="মরচ ক") > 0.3


@given(st.text(alphabet="ab $\\()^_{}/tn\n中কা", max_size=30))
def test_every_profile_takes_every_text(text: str) -> None:
    for profile in PROFILES.values():
        assert len(profile.apply(text)) >= 0
        assert profile.apply(text) == profile.apply(text)
    assert normalise(normalise(text)) == normalise(text)
    assert paddle(paddle(text)) == paddle(text)


@pytest.mark.parametrize(
    "text",
    ["\\(" * 500_000, "$x^" * 330_000, "$" + "\\alpha " * 140_000 + "$", "$\\" * 400_000, "{" * 1_000_000],
    ids=["open", "many", "long", "escapes", "braces"],
)
def test_hostile_texts(text: str) -> None:
    assert len(omnidocbench(text)) < len(text)


def test_long_formulas_stay() -> None:
    assert omnidocbench(f"${'a' * MAX_FORMULA}\\alpha$") == "a" * MAX_FORMULA + "alpha"
