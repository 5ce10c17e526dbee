"""Formulas that a normaliser spelt out token by token: joined they are what they were, in every format that holds
formulas.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import TESTS

from sft.formats.shared import targets
from sft.markup import latex
from sft.markup.latex_tokens import spelt_out, tighten
from sft.types import Task

GOLDEN: list[dict[str, str]] = json.loads((TESTS / "golden" / "markup_text" / "spelt_out.json").read_text("utf-8"))


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["spelt"])
def test_what_published_normalisers_write(row: dict[str, str]) -> None:
    assert spelt_out(row["spelt"]) or len(row["spelt"].split()) == 1
    target = latex.to_target(row["spelt"], tight=True)
    assert target == row["target"]
    assert latex.to_target(target, tight=True) == target
    for markup in ("auto", "latex", "latex-tokens"):
        assert targets.make(Task.FORMULA, row["spelt"], markup=markup) == target


@pytest.mark.parametrize(
    ("spelt", "tight"),
    [
        ("\\left( \\frac { a } { b } \\right)", "\\left(\\frac{a}{b}\\right)"),
        (
            "\\left\\{ \\begin{array} { c } { x } \\\\ { y } \\\\ \\end{array} \\right.",
            "\\left\\{\\begin{array}{c}{x}\\\\{y}\\\\\\end{array}\\right.",
        ),
        ("\\operatorname* { l i m } _ { n \\to \\infty } a _ { n }", "\\operatorname*{lim}_{n\\to\\infty}a_{n}"),
        ("\\left. \\frac { d f } { d x } \\right|_ { x = 0 }", "\\left.\\frac{df}{dx}\\right|_{x=0}"),
        ("E _ { k } = \\frac { 1 } { 2 } m v ^ { 2 }", "E_{k}=\\frac{1}{2}mv^{2}"),
        ("\\left( a + b \\right) ^ { 2 }", "\\left(a+b\\right)^{2}"),
        ("\\left( a + b \\right)", "\\left(a+b\\right)"),
        ("\\left\\langle \\psi \\right\\rangle", "\\left\\langle\\psi\\right\\rangle"),
        ("a \\hspace{1cm} b", "a\\hspace{1cm}b"),
        ("a \\hspace{1cm} b _ { 1 }", "a\\hspace{1cm}b_{1}"),
        ("\\begin{array}{cc} { a } & { b } \\\\ \\end{array}", "\\begin{array}{cc}{a}&{b}\\\\\\end{array}"),
        ("\\begin {array} { c c } a & b \\end {array}", "\\begin{array}{cc}a&b\\end{array}"),
        ("x ^ {} + \\frac { a } { b }", "x^{}+\\frac{a}{b}"),
        ("\\frac { a } { b } \\text{ if } x > 0", "\\frac{a}{b}\\text{ if }x>0"),
        ("\\frac { a } { b } \\text { if any } x", "\\frac{a}{b}\\text{ if any }x"),
        ("\\frac { a } { b } \\mbox { f o r   a l l   } x", "\\frac{a}{b}\\mbox{for all }x"),
        ("\\frac { a } { b } \\textrm { i . e . }", "\\frac{a}{b}\\textrm{i.e.}"),
        ("\\raisebox { 2 p t } { a } _ { 1 }", "\\raisebox{2pt}{a}_{1}"),
        ("\\hbox to 1cm { a } _ { 1 }", "\\hbox to 1cm{a}_{1}"),
        ("\\hbox to 1cm{ if any } _ { 1 }", "\\hbox to 1cm{ if any }_{1}"),
        ("{ x } \\\\ [ 2 m m ] [ a , b ]", "{x}\\\\{}[a,b]"),
        ("a \\\\ ( b ) \\\\ [ c ]", "a\\\\ (b)\\\\ [c]"),
        ("a \\\\ [ 2 p t ] b _ { 1 }", "a\\\\b_{1}"),
        ("\\big ( x \\big )", "\\big(x\\big)"),
        ("5 0 \\% \\, x", "50\\%\\,x"),
        ("a ' ^ { 2 }", "a'^{2}"),
        ("\\tag { 5 5 } a _ { 1 }", "\\tag{55}a_{1}"),
    ],
)
def test_spelt_out(spelt: str, tight: str) -> None:
    assert latex.to_target(spelt, tight=True) == f"\\[{tight}\\]"
    assert latex.to_target(tight, tight=True) == f"\\[{tight}\\]"


@pytest.mark.parametrize(
    "formula",
    [
        "ds^{2} = (1 - {q\\over r}) ^2",
        "E = m c^{2}",
        "f(x) = 3x + 2",
        "\\int_{0}^{1} f(x) \\, dx",
        "\\text{two words} x",
        "x = \\text{é}",
        "\\frac {a} {b}",
        "x > 0 \\text{ if } y",
        "a \\verb|b c| d",
    ],
)
def test_what_people_wrote_by_hand_is_left_alone(formula: str) -> None:
    assert latex.to_target(formula, tight=True) == f"\\[{formula}\\]"


# A generator of formulas as (token, token, …): written without blanks, and as normalisers do. Groups, commands and
# texts nest.
Words = tuple[str, ...]
LETTERS = st.sampled_from(
    [
        *"abxyzABC0127+-=<>,.()|!",
        "\\alpha",
        "\\beta",
        "\\infty",
        "\\cdot",
        "\\sum",
        "\\in",
        "\\,",
        "\\;",
        "\\%",
        "\\{",
        "\\}",
        "\\prime",
        "\\ ",
    ]
)
ACCENTS = st.sampled_from(
    ["\\sqrt", "\\hat", "\\overline", "\\mathrm", "\\mathbf", "\\operatorname", "\\operatorname*", "\\phantom"]
)
FENCES = st.sampled_from([("(", ")"), ("[", "]"), (".", "|"), ("\\{", "."), ("\\langle", "\\rangle"), ("\\|", "\\|")])
TEXTS = st.sampled_from(["if", "otherwise", "and", "i.e."])
GLUED = frozenset({"\\left", "\\right"})


def group(words: Words) -> Words:
    return ("{", *words, "}")


def extended(inner: st.SearchStrategy[Words]) -> st.SearchStrategy[Words]:
    cells = st.lists(inner.map(group), min_size=2, max_size=2)
    return st.one_of(
        st.tuples(inner, inner).map(lambda two: ("\\frac", *group(two[0]), *group(two[1]))),
        st.tuples(LETTERS.filter(str.isalnum), st.sampled_from("_^"), inner).map(
            lambda one: (one[0], one[1], *group(one[2]))
        ),
        st.tuples(ACCENTS, inner).map(lambda one: (one[0], *group(one[1]))),
        st.tuples(FENCES, inner).map(lambda one: ("\\left", one[0][0], *one[1], "\\right", one[0][1])),
        st.lists(cells, min_size=1, max_size=3).map(table),
        TEXTS.map(lambda text: ("\\textrm", *group(tuple(text)))),
        st.just(("\\hspace", *group(tuple("0.5cm")))),
        st.lists(inner, min_size=1, max_size=4).map(lambda parts: tuple(word for part in parts for word in part)),
    )


def table(rows: list[list[Words]]) -> Words:
    written = [word for row in rows for word in (*row[0], "&", *row[1], "\\\\")]
    return ("\\begin{array}", *group(("c", "c")), *written, "\\end{array}")


formulas = st.recursive(LETTERS.map(lambda letter: (letter,)), extended, max_leaves=12).filter(
    lambda words: words[-1] not in ("\\ ", "\\\\")
)


def tight(words: Words) -> str:
    """As one would type it: a blank only behind a command that a letter follows."""
    text = ""
    for word in words:
        behind_name = text.rstrip("*")[-1:].isalpha() and "\\" in text and text[text.rindex("\\") + 1 :].isalpha()
        text += (" " if behind_name and word[0].isalpha() else "") + word
    return text


def as_normalised(words: Words, *, fences: bool, lengths: bool) -> str:
    """Blanks between all tokens, but none behind `\\left` (if `fences`) and none in `\\hspace{0.5cm}` (if
    `lengths`).
    """
    text = ""
    for word in words:
        text += word + ("" if fences and word in GLUED else " ")
    return text.replace("\\hspace { 0 . 5 c m }", "\\hspace{0.5cm}") if lengths else text


@settings(max_examples=1000, deadline=None)
@given(formulas, st.booleans(), st.booleans(), st.sampled_from(["%s", "$ %s $", "\\[ %s \\]"]))
def test_what_is_spelt_out_is_joined_again(words: Words, fences: bool, lengths: bool, delimiters: str) -> None:
    written = tight(words)
    spelt = delimiters % as_normalised(words, fences=fences, lengths=lengths)
    assert latex.to_target(spelt, tight=True) == f"\\[{written}\\]"
    assert latex.to_target(written, tight=True) == f"\\[{written}\\]"


PIECES = [
    "\\text",
    "\\mbox",
    "{",
    "}",
    "{ ",
    " }",
    " ",
    "   ",
    "a",
    "\\hspace",
    "1cm",
    "\\left",
    "(",
    "\\\\",
    "[2pt]",
    "\\tag",
    "*",
    "_",
    "\\verb|",
    "\0",
    "\\raisebox",
]


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_joining_loses_nothing_but_white_space(formula: str) -> None:
    joined = tighten(formula)
    assert "".join(joined.split()) == "".join(formula.split())
    assert tighten(joined) == joined or not spelt_out(formula)
