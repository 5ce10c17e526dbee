"""Labels are changed, pictures are not: LaTeX itself sets what a formula was and what became of it, and draws the
same.
"""

from __future__ import annotations

import json
import random

import pytest
from latex import pictures, require_latex
from places import TESTS

from sft.markup import latex, latex_tokens
from sft.markup.errors import MarkupError

GOLDEN = TESTS / "golden" / "markup_text"
ATOMS = [
    "a",
    "b",
    "x",
    "y",
    "1",
    "2",
    "0",
    "+",
    "-",
    "=",
    ",",
    "\\alpha",
    "\\beta",
    "\\infty",
    "\\cdot",
    "\\in",
    "\\,",
    "\\%",
    "\\{",
    "\\}",
    "\\sin",
    "\\to",
]
MARKS = ["\\label{eq:a_1}", "\\nonumber", "\\notag", "\\index{a@$b_1$}", "% a note\n", "%\n  "]
FENCES = [("(", ")"), ("[", "]"), (".", "|"), ("\\{", "."), ("\\langle", "\\rangle")]


@pytest.fixture(scope="module", autouse=True)
def _latex() -> None:
    require_latex()


def formula(draw: random.Random, depth: int = 3) -> list[str]:
    """A random formula as tokens."""
    if depth == 0 or draw.random() < 0.25:
        return [draw.choice(ATOMS)]
    parts = [part for _ in range(draw.randint(1, 3)) for part in formula(draw, depth - 1)]
    kind = draw.randrange(8)
    if kind == 0:
        return ["\\frac", "{", *parts, "}", "{", *formula(draw, depth - 1), "}"]
    if kind == 1:
        return [draw.choice("xyz"), draw.choice("_^"), "{", *parts, "}"]
    if kind == 2:
        return [draw.choice(["\\sqrt", "\\underline", "\\overline", "\\mathrm", "\\mathbf"]), "{", *parts, "}"]
    if kind == 3:
        left, right = draw.choice(FENCES)
        return ["\\left", left, *parts, "\\right", right]
    if kind == 4:
        other = formula(draw, depth - 1)
        rows = [
            "{",
            *parts,
            "}",
            "&",
            "{",
            *other,
            "}",
            "\\\\",
            "{",
            *other,
            "}",
            "&",
            "{",
            *parts,
            "}",
            *(["\\\\"] if draw.random() < 0.5 else []),
        ]
        return ["\\begin{array}", "{", "c", "c", "}", *rows, "\\end{array}"]
    if kind == 5:
        return [*parts, "\\hspace{0.5cm}", "x"]
    if kind == 6:
        return [*parts, "\\text{ if any }"]
    return parts


def written(draw: random.Random, words: list[str]) -> str:
    """Spelt out, blanks behind `\\left` or not, with marks that print nothing between the tokens, and row ends around
    it.

    One label at most, as amsmath demands; a row end beside + or - would change the space around the sign.
    """
    marks = draw.sample(MARKS, 3) if draw.random() < 0.5 else []
    text = ""
    for word in words:
        text += word + ("" if word in ("\\left", "\\right") and draw.random() < 0.5 else " ")
        if marks and word in ("+", "=", ",", "x", "\\cdot") and draw.random() < 0.5:
            text += marks.pop() + " "
    edges = [words[0], words[-1]]
    row_ends = ["", "\\\\ ", "\\\\[2pt] ", "\\\\ \\nonumber "] if not {"+", "-", "\\cdot"} & set(edges) else [""]
    return (
        f"{draw.choice(row_ends)}{text.strip()} {draw.choice(row_ends)}{draw.choice(['', '% end', MARKS[2]])}".strip()
    )


def same_pictures(labels: list[str], targets: list[str]) -> list[tuple[str, str]]:
    """The pairs that LaTeX draws differently, or sets only one of."""
    drawn = pictures(
        [latex_tokens.strip_delimiters(text) for pair in zip(labels, targets, strict=True) for text in pair]
    )
    return [
        pair
        for pair, one, other in zip(zip(labels, targets, strict=True), drawn[::2], drawn[1::2], strict=True)
        if one != other
    ]


def test_a_thousand_formulas_keep_their_picture() -> None:
    draw = random.Random(20)
    labels = [written(draw, formula(draw)) for _ in range(1200)]
    targets = [latex.to_target(label, tight=True) for label in labels]
    assert (
        sum(label != latex_tokens.strip_delimiters(target) for label, target in zip(labels, targets, strict=True))
        > 1000
    )
    assert same_pictures(labels, targets) == []
    assert sum(picture is not None for picture in pictures(labels[:250])) > 200  # and most are formulas to LaTeX


def test_what_normalisers_write_keeps_its_picture() -> None:
    """But for texts spelt out letter by letter, which TeX would set with the blanks."""
    rows = [
        row
        for row in json.loads((GOLDEN / "spelt_out.json").read_text("utf-8"))
        if not any(text in row["spelt"] for text in ("\\textrm {", "\\hbox {", "\\mbox {"))
    ]
    rows = [
        row for row in rows if "pace {" not in row["spelt"] and "\\raisebox {" not in row["spelt"]
    ]  # `{ 1 c m }` is no length to TeX
    assert len(rows) > 60
    assert same_pictures([row["spelt"] for row in rows], [row["target"] for row in rows]) == []


def test_the_picture_is_not_blind() -> None:
    one, other, shifted, wrong = pictures(["a+b", "a-b", "\\quad a+b", "\\frac{a}"])
    assert one != other
    assert one == shifted
    assert wrong is None


def test_the_check_accuses_nothing_that_latex_sets() -> None:
    """Of the formulas that it is said to be right about: what LaTeX sets is sound."""
    given = json.loads((GOLDEN / "formulas.json").read_text("utf-8"))
    unknown = ("\\ce{", "\\unknown", "\\cases{", "\\text{你好", "\\text{a_b}")
    sound = [text for text in given["sound"] if not any(word in text for word in unknown)]
    assert [text for text, picture in zip(sound, pictures(sound), strict=True) if picture is None] == []
    for text in sound:
        try:
            latex.check(text)
        except MarkupError as error:
            pytest.fail(f"{text}: {error}")
