"""Formula scores: fixed values, edges, and sacrebleu itself."""

from __future__ import annotations

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.markup.latex_scoring import normalise_scoring
from sft.metrics.formula import MAX_LENGTH, bleu, bleu_corpus, exact, ned, parses, token_edits, token_ned
from sft.metrics.text import Edits

PIECES = [
    "x",
    "y",
    "1",
    "+",
    "=",
    "^",
    "_",
    "{",
    "}",
    "\\frac",
    "\\alpha",
    "\\left(",
    "\\right)",
    "\\mathbf{x}",
    " ",
    "\\le",
    "\\leq",
    "\\",
    "中",
]
formulas = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
LONG = r"\[\int_0^1 f(x)\,dx = \sum_{i=1}^{n} a_i + \frac{1}{2}\]"


def test_values() -> None:
    same = (r"\[\mathbf{x}_{1}\,\leq\dfrac12\]", r"$x_1 \le \frac{1}{2}$")
    assert (
        ned(ref=same[0], pred=same[1]),
        token_ned(ref=same[0], pred=same[1]),
        exact(ref=same[0], pred=same[1]),
        bleu(ref=same[0], pred=same[1]),
    ) == (0, 0, 1, 1)
    assert token_edits(ref="a+b", pred="a-b") == Edits(1, 3)
    assert token_ned(ref=r"\alpha", pred=r"\beta") == 1  # one token
    assert 0 < ned(ref=r"\alpha", pred=r"\beta") < 1  # some letters
    assert 0 < bleu(ref=LONG, pred=LONG.replace("n", "m")) < 1


@pytest.mark.parametrize(
    ("ref", "pred", "wanted"),
    [("", "", (0, 0, 1, 1)), ("", "x", (1, 1, 0, 0)), ("x", "", (1, 1, 0, 0)), ("$$", r"\[ \]", (0, 0, 1, 1))],
)
def test_edges(ref: str, pred: str, wanted: tuple[float, ...]) -> None:
    assert (
        ned(ref=ref, pred=pred),
        token_ned(ref=ref, pred=pred),
        exact(ref=ref, pred=pred),
        bleu(ref=ref, pred=pred),
    ) == wanted


@given(formulas, formulas)
@settings(deadline=None)
def test_range_identity_and_symmetry(ref: str, pred: str) -> None:
    for measure in (ned, token_ned):
        assert 0 <= measure(ref=ref, pred=pred) <= 1
        assert measure(ref=ref, pred=pred) == measure(ref=pred, pred=ref)
        assert measure(ref=ref, pred=ref) == 0
    assert 0 <= bleu(ref=ref, pred=pred) <= 1
    assert bleu(ref=ref, pred=ref) == exact(ref=ref, pred=ref) == 1
    assert (exact(ref=ref, pred=pred) == 1) == (token_ned(ref=ref, pred=pred) == 0) == (ned(ref=ref, pred=pred) == 0)


@given(st.lists(st.tuples(formulas, formulas), min_size=1, max_size=5))
@settings(deadline=None)
def test_bleu_is_sacrebleus(pairs: list[tuple[str, str]]) -> None:
    tokens = [(normalise_scoring(ref), normalise_scoring(pred)) for ref, pred in pairs]
    if any(ref != pred for ref, pred in tokens):
        theirs = sacrebleu.corpus_bleu(
            [pred for _, pred in tokens], [[ref for ref, _ in tokens]], tokenize="none", force=True
        )
        assert bleu_corpus(refs=[ref for ref, _ in pairs], preds=[pred for _, pred in pairs]) == pytest.approx(
            theirs.score / 100
        )
    for (ref, pred), (ref_tokens, pred_tokens) in zip(pairs, tokens, strict=True):
        if ref_tokens and pred_tokens and ref_tokens != pred_tokens:
            assert bleu(ref=ref, pred=pred) == pytest.approx(
                sacrebleu.sentence_bleu(pred_tokens, [ref_tokens], tokenize="none").score / 100
            )


def test_bleu_of_a_corpus() -> None:
    assert bleu_corpus(refs=[], preds=[]) == bleu_corpus(refs=["x"], preds=["$x$"]) == 1
    assert bleu_corpus(refs=[LONG], preds=[""]) == 0
    with pytest.raises(ValueError):
        bleu_corpus(refs=["x"], preds=[])


@pytest.mark.parametrize(
    ("pred", "wanted"),
    [
        (LONG, 1),
        (r"\frac{a}{b}", 1),
        (r"\frac{a", 0),
        (r"\left( a", 0),
        (r"a}b", 0),
        ("", 0),
        (r"\[\]", 0),
        ("{" * 10_000, 0),
        ("x" * 1_000_000, 0),
    ],
)
def test_parses(pred: str, wanted: float) -> None:
    assert parses(pred=pred) == wanted


def test_more_corruption_is_no_better() -> None:
    """Each wrong token more is one edit more, and BLEU never rises."""
    words = [chr(97 + number) for number in range(20)]
    spoilt, before = list(words), 1.0
    for count, place in enumerate((3, 9, 15, 0, 19), 1):
        spoilt[place] = "9"
        assert token_ned(ref=" ".join(words), pred=" ".join(spoilt)) == count / 20
        now = bleu(ref=" ".join(words), pred=" ".join(spoilt))
        assert now < before
        before = now


@pytest.mark.parametrize(
    "pred",
    [
        "x" * 1_000_000,
        "\\frac{" * 160_000,
        "a " * 500_000,
        "{" * (MAX_LENGTH - 1),
        "\\frac" * 9_000,
        "\u0301" * 1_000_000,
        "אב " * 300_000,
    ],
)
def test_answers_of_a_megabyte(pred: str) -> None:
    assert 0.9 < ned(ref=LONG, pred=pred) <= 1
    assert 0.9 < token_ned(ref=LONG, pred=pred) <= 1
    assert 0 <= bleu(ref=LONG, pred=pred) < 0.01
    assert exact(ref=LONG, pred=pred) == 0
