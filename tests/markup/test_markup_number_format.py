"""How Excel shows numbers: golden values (SheetJS's SSF agrees with most), parts of the grammar, formats that mean
nothing, any format at all.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from places import TESTS

from sft.markup.number_digits import general
from sft.markup.number_format import shown_number, shown_text

GOLDEN: list[list[Any]] = json.loads((TESTS / "golden/markup/number_formats.json").read_text("utf-8"))


@pytest.mark.parametrize(("code", "value", "text"), GOLDEN)
def test_golden(code: str, value: float, text: str) -> None:
    assert " ".join(shown_number(value, code).text.split()) == text


@pytest.mark.parametrize(
    ("code", "text", "shown"),
    [
        ("General", "a", "a"),
        ("0.00", "a", "a"),
        ("@", "a", "a"),
        ('0;0;0;"Mr "@', "a", "Mr a"),
        ('"x "@', "a", "x a"),
        ("0;0;0;", "a", ""),
        ("[DBNum1]0", "a", "a"),
    ],
)
def test_texts(code: str, text: str, shown: str) -> None:
    assert shown_text(text, code) == shown


DOUBTS = [
    ("[DBNum1]0", 5),
    ("0;1;2;3;4", 5),
    ("qqq", 5),
    ("mm-dd-yy", 45657),
    ("[$-F800]dddd, mmmm dd, yyyy", 45657),
    ("[$-407]mmmm", 45657),
    ("[>100]0.0;0", -5),
    ("# ?/?", 0.3),
    ("0.00", -0.001),
    ("0" * 300, 1),
    ("ggge", 45000),
    ("[=1]0;[=2]0", 7),
    ("yyyy", -1),
    ("yyyy", 3e6),
]


@pytest.mark.parametrize(("code", "value"), DOUBTS)
def test_doubts_are_said(code: str, value: float) -> None:
    assert shown_number(value, code).doubt


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("#,##0.00", 5),
        ("dd/mm/yyyy", 45657),
        ("[$-409]mmmm d, yyyy", 45657),
        ("[Red]0;[Color 10]-0", -5),
        ("# ?/?", 0.5),
        ("", 5),
        ("[$€-407]0", 5),
    ],
)
def test_what_is_sure(code: str, value: float) -> None:
    assert not shown_number(value, code).doubt


def test_dates_from_1904() -> None:
    assert shown_number(0, "yyyy-mm-dd", epoch1904=True).text == "1904-01-01"
    assert shown_number(0.5, "h:mm", epoch1904=True).text == "12:00"


@given(st.decimals(-(10**9), 10**9, places=4), st.integers(0, 6))
@settings(max_examples=400, deadline=None)
def test_places_are_rounded_half_up(value: Decimal, places: int) -> None:
    number = Decimal(f"{float(value):.15g}")
    text = shown_number(float(value), "0." + "0" * places if places else "0").text
    assert abs(Decimal(text) - number) <= Decimal(1).scaleb(-places) / 2
    assert len(text.partition(".")[2]) == places
    assert shown_number(float(value), "#,##0.00").text.replace(",", "") == shown_number(float(value), "0.00").text


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=500, deadline=None)
@example(4.794197295934798e-05)
def test_general_is_short_and_near(value: float) -> None:
    text = general(value)
    assert len(text.lstrip("-")) <= 12  # 1.23457E-300 has 12 characters
    assert float(text) == pytest.approx(value, rel=1e-5, abs=1e-300)
    assert float(general(float(text))) == float(text)  # 4.7942E-05 has few enough digits to be written as 0.000047942


tokens = st.lists(
    st.sampled_from(
        [
            "0",
            "#",
            "?",
            ".",
            ",",
            "%",
            "E+",
            "/",
            ";",
            "@",
            "y",
            "m",
            "d",
            "h",
            "s",
            "[h]",
            "AM/PM",
            '"x"',
            "\\q",
            "_)",
            "* ",
            "[Red]",
            "[<5]",
            "[$€-407]",
            "General",
            " ",
            "(",
            "-",
            "z",
            '"',
            "[",
            "é",
        ]
    ),
    max_size=10,
).map("".join)


@given(tokens, st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6))
@settings(max_examples=2000, deadline=None)
def test_any_format_shows_something(code: str, value: float) -> None:
    assert isinstance(shown_number(value, code).text, str)
    assert isinstance(shown_text("a", code), str)
