"""The forgiving variants of CER, batches against single scores and against jiwer, and what goes with them."""

from __future__ import annotations

import itertools

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from sft.markup.text import clusters
from sft.metrics import text as metrics
from sft.metrics.text import (
    EditBatch,
    Edits,
    cer,
    cer_batch,
    cer_graphemes,
    cer_lines,
    cer_unspaced,
    cluster_edits,
    distances,
    length_ratio,
    line_edits,
    main_script,
    ned,
    ned_batch,
    replacements,
    script_share,
    wer,
    wer_batch,
)

texts = st.text(alphabet="aAb \n২৩কা্é\u200d👩אב", max_size=14)
lines = st.lists(st.sampled_from(["", " ", "a", "ab", "abc", "xyz", "xyzw", "কা", "a b"]), max_size=5).map("\n".join)
words = st.text(alphabet="abকা中", min_size=1, max_size=5)
sentences = st.lists(words, min_size=1, max_size=6).map(" ".join)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("ab", ["a", "b"]),
        ("ক্ষমা", ["ক্ষ", "মা"]),
        ("e\u0301x", ["e\u0301", "x"]),
        ("\u0301a\n\u0301", ["\u0301", "a", "\n", "\u0301"]),
        ("👩\u200d👩\u200d👧x", ["👩\u200d👩\u200d👧", "x"]),
        ("👍🏽👍", ["👍🏽", "👍"]),
        ("🇧🇩🇮🇳", ["🇧🇩", "🇮🇳"]),
        ("❤\ufe0f", ["❤\ufe0f"]),
        ("שָׁלוֹם", ["שָׁ", "ל", "וֹ", "ם"]),
        ("ก็", ["ก็"]),
        ("क्‍ष", ["क्‍ष"]),
        ("ক্1", ["ক্", "1"]),
    ],
)
def test_letters_as_they_are_drawn(text: str, pieces: list[str]) -> None:
    assert clusters(text) == pieces


@given(texts)
def test_clusters_hold_the_whole_text(text: str) -> None:
    assert "".join(clusters(text)) == text
    assert all(piece for piece in clusters(text))


def test_values_of_the_variants() -> None:
    assert cer_graphemes(ref="ক্ষমা", pred="ক্ষমি") == 1 / 2  # cer: 1 of 5
    assert cer_graphemes(ref="👩\u200d👩\u200d👧", pred="👩") == 1
    assert cer_unspaced(ref="a b\nc", pred="abc") == 0
    assert cer_unspaced(ref=" \n", pred="ab") == 2
    assert cer_lines(ref="first\nsecond\nthird", pred="third\n\n first \nsecond") == 0
    assert line_edits(ref="abcd\nwxyz", pred="wxyq\nabcd\nnew") == Edits(1 + 3, 8)
    assert cer_lines(ref="", pred="ab\nc") == 3
    assert cer_lines(ref="ab\nc", pred="") == 1
    assert cer_lines(ref="", pred="") == cer_graphemes(ref="", pred="") == cer_unspaced(ref="", pred="") == 0


@given(texts, texts)
def test_range_identity_and_symmetry(ref: str, pred: str) -> None:
    for measure in (cer_graphemes, cer_unspaced, cer_lines):
        assert measure(ref=ref, pred=pred) >= 0
        assert measure(ref=ref, pred=ref) == 0
    assert line_edits(ref=ref, pred=pred).distance == line_edits(ref=pred, pred=ref).distance
    assert cluster_edits(ref=ref, pred=pred).distance == cluster_edits(ref=pred, pred=ref).distance
    names = {cluster: chr(index + 0x4E00) for index, cluster in enumerate({*clusters(ref), *clusters(pred)})}
    assert cluster_edits(ref=ref, pred=pred).distance == Levenshtein.distance(
        *("".join(names[cluster] for cluster in clusters(text)) for text in (ref, pred))
    )


def by_trial(ref: str, pred: str) -> int:
    """Every way to pair the lines, one by one."""
    left, right = ([line.strip() for line in text.splitlines() if line.strip()] for text in (ref, pred))
    size = max(len(left), len(right))
    left, right = left + [""] * (size - len(left)), right + [""] * (size - len(right))
    return min(sum(map(Levenshtein.distance, left, order)) for order in itertools.permutations(right))


@given(lines, lines)
def test_lines_are_paired_at_least_cost_whatever_their_order(ref: str, pred: str) -> None:
    assert line_edits(ref=ref, pred=pred).distance == by_trial(ref, pred)
    assert cer_lines(ref=ref, pred="\n".join(reversed(pred.split("\n")))) == cer_lines(ref=ref, pred=pred)


@given(st.lists(st.tuples(texts, texts), max_size=8))
def test_a_batch_is_its_samples(pairs: list[tuple[str, str]]) -> None:
    refs, preds = [ref for ref, _ in pairs], [pred for _, pred in pairs]
    for batch, single, edits in (
        (cer_batch, cer, metrics.char_edits),
        (wer_batch, wer, metrics.word_edits),
        (ned_batch, ned, metrics.ned_edits),
    ):
        found: EditBatch = batch(refs=refs, preds=preds)
        rates = [single(ref=ref, pred=pred) for ref, pred in pairs]
        assert found.rates.tolist() == rates
        assert found.mean == pytest.approx(sum(rates) / max(len(rates), 1))
        assert found.pooled == pytest.approx(metrics.pooled([edits(ref=ref, pred=pred) for ref, pred in pairs]))


@given(st.lists(st.tuples(sentences, sentences), min_size=1, max_size=6))
def test_equals_jiwer_where_the_definitions_agree(pairs: list[tuple[str, str]]) -> None:
    """Non-empty references, single blanks, no outer white space, no line ends: jiwer strips the ends and splits at
    blanks only.
    """
    refs, preds = [ref for ref, _ in pairs], [pred for _, pred in pairs]
    assert cer_batch(refs=refs, preds=preds).pooled == pytest.approx(jiwer.cer(refs, preds))
    assert wer_batch(refs=refs, preds=preds).pooled == pytest.approx(jiwer.wer(refs, preds))
    assert [cer(ref=ref, pred=pred) for ref, pred in pairs] == [
        pytest.approx(jiwer.cer(ref, pred)) for ref, pred in pairs
    ]


def test_where_jiwer_differs() -> None:
    assert (wer(ref="ab cd", pred="ab\ncd"), jiwer.wer("ab cd", "ab\ncd")) == (0, 1)
    assert (cer(ref="ab", pred=" ab"), jiwer.cer("ab", " ab")) == (0.5, 0)


@given(
    st.lists(st.tuples(st.text("ab", min_size=1, max_size=4), st.integers(200, 700)), min_size=1, max_size=3),
    st.integers(0, 3),
)
@settings(max_examples=25, deadline=None)
def test_the_hint_for_long_texts_changes_nothing(parts: list[tuple[str, int]], cut: int) -> None:
    ref = "".join(part * count for part, count in parts)
    pred = ref[cut:].replace("ab", "ba", cut)
    plain = Levenshtein.distance(ref, pred)
    assert distances(refs=[ref] * 2, preds=[pred, ref]).tolist() == [plain, 0]
    assert cer(ref=ref, pred=pred) == plain / len(ref)


@given(sentences, st.data())
def test_more_corruption_is_no_better(text: str, data: st.DataObject) -> None:
    """Each further letter that is replaced by a foreign one adds exactly one edit."""
    order = data.draw(st.permutations(range(len(text))))
    spoilt = list(text)
    for count, place in enumerate(order[:6], 1):
        spoilt[place] = "§"
        pred = "".join(spoilt)
        assert metrics.char_edits(ref=text, pred=pred).distance == count
        assert ned(ref=text, pred=pred) == count / len(text)


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError):
        cer_batch(refs=["a"], preds=[])


def test_scripts_lengths_and_replacements() -> None:
    assert main_script("৪৫টি page") == "Latin"
    assert main_script("123 – ?") is None
    assert script_share(ref="মার্চ", pred="মার্চ ab") == 5 / 7
    assert script_share(ref="মার্চ", pred="12") == 0
    assert script_share(ref="12", pred="ab") is None
    assert script_share(ref="12", pred="ab", script="Latin") == 1
    assert [length_ratio(ref=ref, pred=pred) for ref, pred in (("", ""), ("", "ab"), ("ab", ""), ("ab", "abc"))] == [
        1,
        2,
        0,
        1.5,
    ]
    assert replacements(pred="a\ufffd\ufffd") == 2


LONG = {
    "x": "x" * 1_000_000,
    "lines": "a\n" * 500_000,
    "rtl": "שלום " * 200_000,
    "marks": "\u0301" * 1_000_000,
    "zwj": "👩\u200d" * 500_000,
    "numbers": "".join(f"{number}\n" for number in range(150_000)),
}


@pytest.mark.parametrize("answer", LONG.values(), ids=LONG)
def test_answers_of_a_megabyte(answer: str) -> None:
    ref = "23 মার্চ\nhello שלום"
    for measure in (cer, wer, ned, cer_graphemes, cer_lines, cer_unspaced):
        assert 0 < measure(ref=ref, pred=answer) < 1_000_001
    assert np.isfinite(length_ratio(ref=ref, pred=answer))
    share = script_share(ref=ref, pred=answer)
    assert share is not None and 0 <= share <= 1
