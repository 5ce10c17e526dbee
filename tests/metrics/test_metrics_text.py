"""The text metrics: fixed values, edges, and properties against a naive implementation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import Levenshtein
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein as Rapidfuzz

from sft.metrics.text import (
    RAW,
    Edits,
    cer,
    char_edits,
    exact,
    ned,
    ned_edits,
    normalise,
    pooled,
    wer,
    wer_batch,
    word_edits,
)

texts = st.text(alphabet="aAb \n২৩কা্é", max_size=12)

# ref, pred, cer, wer, ned, exact
CASES = [
    ("", "", 0.0, 0.0, 0.0, 1.0),
    ("", "abc", 3.0, 1.0, 1.0, 0.0),  # as if the reference were one unit long
    ("abc", "", 1.0, 1.0, 1.0, 0.0),
    ("", "a b c", 5.0, 3.0, 1.0, 0.0),
    ("abc", "abc", 0.0, 0.0, 0.0, 1.0),
    ("ab", "ababab", 2.0, 1.0, 4 / 6, 0.0),  # not clipped
    ("kitten", "sitting", 3 / 6, 1.0, 3 / 7, 0.0),
    ("ab cd", "ab\ncd", 1 / 5, 0.0, 1 / 5, 0.0),  # a line end separates words too
    ("a b c d", "a c d", 2 / 7, 1 / 4, 2 / 7, 0.0),
    ("২৩ মার্চ", "২৩ মাচ", 2 / 8, 1 / 2, 2 / 8, 0.0),  # code points, not conjuncts
]


@pytest.mark.parametrize(("ref", "pred", "chars", "words", "normalised", "same"), CASES)
def test_values(ref: str, pred: str, chars: float, words: float, normalised: float, same: float) -> None:
    assert cer(ref=ref, pred=pred) == pytest.approx(chars)
    assert wer(ref=ref, pred=pred) == pytest.approx(words)
    assert ned(ref=ref, pred=pred) == pytest.approx(normalised)
    assert exact(ref=ref, pred=pred) == same


def naive(ref: list[str], pred: list[str]) -> int:
    """Wagner and Fischer, the whole table."""
    table = [[i + j if i * j == 0 else 0 for j in range(len(pred) + 1)] for i in range(len(ref) + 1)]
    for i, left in enumerate(ref, 1):
        for j, right in enumerate(pred, 1):
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (left != right))
    return table[-1][-1]


@given(texts, texts)
def test_agrees_with_the_naive_table(ref: str, pred: str) -> None:
    assert char_edits(ref=ref, pred=pred) == Edits(naive(list(ref), list(pred)), len(ref))
    assert word_edits(ref=ref, pred=pred) == Edits(naive(ref.split(), pred.split()), len(ref.split()))
    assert cer(ref=ref, pred=pred) == naive(list(ref), list(pred)) / max(len(ref), 1)


ORACLES: dict[str, Callable[[Sequence[str], Sequence[str]], int]] = {
    "rapidfuzz": Rapidfuzz.distance,
    "Levenshtein": Levenshtein.distance,
    "naive": lambda ref, pred: naive(list(ref), list(pred)),
}
if sys.version_info < (3, 13):  # there is no wheel for later ones
    import editdistance

    ORACLES["editdistance"] = editdistance.eval


@pytest.mark.parametrize("oracle", ORACLES.values(), ids=ORACLES)
@given(st.text(max_size=90), st.text(max_size=90), texts, texts)
def test_edit_distances_are_those_of_other_libraries(
    oracle: Callable[[Sequence[str], Sequence[str]], int], ref: str, pred: str, other: str, another: str
) -> None:
    for left, right in ((ref, pred), (other, another), (ref + other, ref + another), (other * 7, another * 7)):
        assert (
            char_edits(ref=left, pred=right).distance == ned_edits(ref=left, pred=right).distance == oracle(left, right)
        )
        assert word_edits(ref=left, pred=right).distance == oracle(left.split(), right.split())


def test_words_are_those_of_split_whatever_the_white_space() -> None:
    """Every code point between two words, once beside a letter outside ASCII, which takes another way."""
    letters = [chr(number) for number in range(sys.maxunicode + 1)]
    found = wer_batch(refs=["x é y"] * len(letters), preds=[f"x é{letter}y" for letter in letters]).distances
    assert [letter for letter, distance in zip(letters, found, strict=True) if distance == 0] == [
        letter for letter in letters if letter.isspace()
    ]
    assert word_edits(ref=" é  b\u3000c ", pred="é b c") == Edits(0, 3)


@given(texts, texts)
def test_range_and_symmetry(ref: str, pred: str) -> None:
    assert cer(ref=ref, pred=pred) >= 0
    assert wer(ref=ref, pred=pred) >= 0
    assert 0 <= ned(ref=ref, pred=pred) <= 1
    assert ned(ref=ref, pred=pred) == ned(ref=pred, pred=ref)
    assert (exact(ref=ref, pred=pred) == 1) == (cer(ref=ref, pred=pred) == 0) == (ned(ref=ref, pred=pred) == 0)


@given(texts)
def test_identity(text: str) -> None:
    assert (
        cer(ref=text, pred=text),
        wer(ref=text, pred=text),
        ned(ref=text, pred=text),
        exact(ref=text, pred=text),
    ) == (0, 0, 0, 1)


def test_normalise_is_the_profile_it_names() -> None:
    assert RAW == "raw: NFC, LF, outer white space stripped"
    assert normalise(" \r\ne\u0301\r\nb\rc  d\t\n") == "é\nb\nc  d"  # inner white space is content
    assert normalise("\u09af\u09bc") == normalise("\u09df")  # Bengali ya with nukta, two spellings of one letter
    assert normalise("ｱ①") == "ｱ①"  # NFC, not NFKC: the width of a letter is content


@given(st.text(max_size=30))
def test_normalise_twice_is_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_pooled_weighs_by_length() -> None:
    edits = [Edits(1, 1), Edits(0, 9)]
    assert pooled(edits) == 0.1
    assert sum(item.rate for item in edits) / 2 == 0.5
    assert pooled([]) == 0
    assert pooled([Edits(3, 0)]) == 3


def test_arguments_must_be_named() -> None:
    with pytest.raises(TypeError):
        cer("a", "b")  # type: ignore[call-arg]
