"""Texts with places: read as PaddleX reads them, and faults of labels by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paddlex_functions import load_uilts

from sft.markup.spotting import (
    SpottedText,
    has_places,
    parse_spotting,
    plain_text,
    spotting_faults,
    write_spotting,
)

BOX = (100, 100, 300, 100, 300, 150, 100, 150)
GOOD = SpottedText("Genaxis Theatre", BOX)


def label(text: str, *places: int) -> str:
    return write_spotting([SpottedText(text, places)])


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (label("a", *BOX) + label("b c", *BOX), []),
        (label("a", *BOX) + "\n" + label("b", *BOX), []),
        (
            "<|TEXT_START|>a<|TEXT_END|><|LOC_BEGIN|>" + label("", *BOX) + "<|LOC_END|>",
            [],
        ),
        (label("turned", 500, 100, 520, 300, 470, 305, 450, 105), []),
        (label("a", *BOX[:7]), ["spotting.count"]),
        (label("a", *BOX, 5), ["spotting.text", "spotting.count"]),
        (label("a", *BOX, *BOX), ["spotting.text"]),
        (label("a", *BOX[:7], 1001), ["spotting.range"]),
        (label("a", 100, 100, 100, 150, 300, 150, 300, 100), ["spotting.corners"]),
        (label("a", 100, 100, 300, 150, 300, 100, 100, 150), ["spotting.corners"]),
        (label("a", *[7] * 8), ["spotting.corners"]),
        (label("", *BOX), ["spotting.text"]),
        (label("a", *BOX) + "left over", ["spotting.places"]),
        ("no places at all", ["spotting.places"]),
        ("<|TEXT_START|>a<|TEXT_END|><|LOC_BEGIN|>" + label("", *BOX), ["spotting.frame"]),
        ("<|TEXT_START|>a<|TEXT_END|>" + label("b", *BOX), ["spotting.frame"]),
    ],
)
def test_faults_have_a_code_each(text: str, codes: list[str]) -> None:
    assert [fault.code for fault in spotting_faults(text)] == codes


def test_texts_without_their_places() -> None:
    assert plain_text(label("a", *BOX) + label("b", *BOX)) == "a\nb"
    assert plain_text("only words") == "only words"
    assert (has_places("a|LOC_5|"), has_places("a<|LOC_5|>"), has_places("<|LOC_BEGIN|>")) == (False, True, True)


spotted_texts = st.lists(
    st.builds(
        SpottedText,
        st.text("ab <|ক", min_size=1).map(str.strip).filter(bool),
        st.tuples(*[st.integers(0, 1000)] * 8),
    ),
    max_size=5,
)


@given(spotted_texts)
def test_what_is_written_is_read_again(spotted: list[SpottedText]) -> None:
    assert parse_spotting(write_spotting(spotted)) == spotted


@given(spotted_texts)
def test_paddlex_reads_the_same(spotted: list[SpottedText]) -> None:
    _, theirs = load_uilts().post_process_for_spotting(write_spotting(spotted), 1000, 1000)
    assert theirs["rec_texts"] == [one.text for one in spotted]
    assert theirs["rec_polys"] == [[pytest.approx(corner) for corner in one.corners] for one in spotted]
