"""What leaves no ink is no part of a label: comments, \\label, \\nonumber, row ends without a row. Everything else
stays.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.markup import latex, latex_unseen
from sft.markup.errors import MarkupError
from sft.markup.latex_unseen import without_unseen
from sft.validate.answer_checks import check_answer

SEEN = [
    ("E=mc^2\\label{eq:mass}", "E=mc^2"),
    ("\\label{eq:mass}E=mc^2", "E=mc^2"),
    ("\\frac{a}{b} \\label{eq:ratio}", "\\frac{a}{b}"),
    ("a \\label { e q : 1 } + b", "a + b"),
    ("a\\label{x_{1}}b\\label{y}", "ab"),
    ("\\alpha\\label{x}b", "\\alpha b"),
    ("a\\index{mass@$m$|see{b}}b", "ab"),
    ("a\\nonumber", "a"),
    ("a\\notag\\\\", "a"),
    ("a \\nonumber \\\\ \\label{x} % the end", "a"),
    ("\\tag{1}\\label{x} a", "\\tag{1} a"),
    ("a\\tag{1\\label{x}}", "a\\tag{1}"),
    ("a\\tag*{$*$}\\notag", "a\\tag*{\\(*\\)}"),
    ("x\\label{a}^2", "x{}^2"),
    ("x\\nonumber^2", "x^2"),
    ("a\\\\\\label{x}[b]", "a\\\\{}[b]"),
    ("\\begin{equation}\\label{x} a % b\n\\end{equation}", "a"),
    ("$a$\\label{x}", "a"),
    ("\\[a\\] % a comment", "a"),
    ("% a comment\n\\[a\\]", "a"),
    ("\\[ a % \\]", "a"),
    ("\\begin{aligned}a&=b\\label{x}\\\\c&=d\\nonumber\\end{aligned}", "\\begin{aligned}a&=b\\\\c&=d\\end{aligned}"),
    ("\\setcounter{equation}{3} a \\addtocounter{equation}{-1}", "a"),
    ("a \\displaybreak[1] b \\allowdisplaybreaks", "a b"),
    ("u=v \\\\", "u=v"),
    ("u=v\\\\[2pt]", "u=v"),
    ("u=v\\\\*[2pt] \\\\ ", "u=v"),
    ("\\\\ u=v", "u=v"),
    ("\\\\[2pt]u=v\\\\\\\\", "u=v"),
    ("\\begin{array}{c}a\\\\b\\\\\\end{array}", "\\begin{array}{c}a\\\\b\\\\\\end{array}"),
    ("\\begin{array}{c}a\\\\b\\\\\\end{array}\\\\", "\\begin{array}{c}a\\\\b\\\\\\end{array}"),
    (
        "\\begin{array}{c}\\begin{array}{c}a\\\\\\end{array}\\\\\\end{array}",
        "\\begin{array}{c}\\begin{array}{c}a\\\\\\end{array}\\\\\\end{array}",
    ),
    ("u=v\\\\\\ ", "u=v\\\\\\ "),
    ("\\{a\\\\\\}", "\\{a\\\\\\}"),
    ("a % b\n+ c", "a + c"),
    ("a%\n  b", "ab"),
    ("\\alpha%\nb", "\\alpha b"),
    ("\\text{a%\n  b}", "\\text{ab}"),
    ("E=mc^2%", "E=mc^2"),
    ("E=mc^2 % mass and energy", "E=mc^2"),
    ("50\\% + a", "50\\% + a"),
    ("\\text{50\\% off}", "\\text{50\\% off}"),
    ("a\\\\% b\nc", "a\\\\c"),
    ("a\\\\\\% b", "a\\\\\\% b"),
    ("\\verb|50% \\label{x}| + a % b", "\\verb|50% \\label{x}| + a"),
    ("\\href{http://a/%20}{b} % c", "\\href{http://a/%20}{b}"),
    ("\\text{\\url{a%b}}%c", "\\text{\\url{a%b}}"),
    ("\\\\label{a}", "label{a}"),
    ("\\labelx{a}", "\\labelx{a}"),
    ("\\label", "\\label"),
    ("\\nonumbers", "\\nonumbers"),
]


@pytest.mark.parametrize(("label", "body"), SEEN)
def test_only_ink_is_left(label: str, body: str) -> None:
    target = latex.to_target(label)
    assert target == f"\\[{body}\\]"
    assert latex.to_target(target) == target
    assert latex_unseen.unseen(target) == ""
    tight = latex.to_target(label, tight=True)
    assert latex.to_target(tight, tight=True) == tight


def test_the_switch() -> None:
    assert latex.to_target("a\\label{x} \\\\", ink=False) == "\\[a\\label{x} \\\\\\]"
    assert latex.to_target("a % b\nc", ink=False) == "\\[a % b\nc\\]"


@pytest.mark.parametrize(
    "label",
    [
        "\\label{x}",
        "% nothing",
        "\\[ % nothing \\]",
        "\\nonumber\\\\",
        "\\begin{equation}\\label{x}\\end{equation}",
        "\\\\\\\\",
    ],
)
def test_nothing_but_what_cannot_be_seen(label: str) -> None:
    with pytest.raises(MarkupError) as caught:
        latex.to_target(label)
    assert caught.value.code == "target.empty"


@pytest.mark.parametrize("label", ["\\text{50% off}", "\\frac{a%}{b}", "{a % b}"])
def test_a_percent_sign_that_hides_a_brace(label: str) -> None:
    with pytest.raises(MarkupError) as caught:
        latex.to_target(label)
    assert (caught.value.code, caught.value.hint) == (
        "target.latex",
        "a percent sign is \\%; what follows a bare one is a comment",
    )


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("\\[E=mc^2\\label{x}\\]", "\\label"),
        ("\\[E=mc^2 %\\]", "a comment"),
        ("\\[E=mc^2 % x\n+1\\]", "a comment"),
        ("\\[a\\nonumber\\]", "\\nonumber"),
        ("\\[u=v \\\\\\]", "\\\\ without a row"),
        ("\\[\\\\ u=v\\]", "\\\\ without a row"),
    ],
)
def test_validate_warns(answer: str, found: str) -> None:
    (problem,) = check_answer(answer, "Formula Recognition:", "answer", 7)
    assert (problem.code, problem.severity) == ("target.unseen", "warning")
    assert found in problem.message


@pytest.mark.parametrize(
    "answer",
    [
        "\\[a\\tag{1}\\]",
        "\\[50\\%\\]",
        "\\[\\begin{array}{c}a\\\\\\end{array}\\]",
        "\\[\\begin{array}{c}a\\\\b\\end{array}\\]",
    ],
)
def test_validate_is_silent(answer: str) -> None:
    assert list(check_answer(answer, "Formula Recognition:", "answer", 7)) == []


def test_formulas_in_texts() -> None:
    assert (
        latex.inline_to_paren("so $x_1\\label{a}$ and $$y^2 \\nonumber \\\\$$, $50\\%$")
        == "so \\( x_1 \\) and \\[y^2\\], \\( 50\\% \\)"
    )
    assert latex.inline_to_paren("$\\label{a}$") == "\\( \\label{a} \\)"


pieces = st.sampled_from(
    [
        "\\label{a}",
        "\\label",
        "\\nonumber",
        "\\notag",
        "\\index{a}",
        "%",
        "% a",
        "\\%",
        "\n",
        "\n\n",
        " ",
        "\\\\",
        "\\\\*",
        "[2pt]",
        "[a]",
        "\\",
        "a",
        "^",
        "'",
        "\\alpha",
        "{",
        "}",
        "\\text{",
        "\\verb|",
        "|",
        "$",
        "\\[",
        "\\]",
        "\\tag{",
        "\\begin{equation}",
        "\\end{equation}",
        "\\displaybreak",
        "[1]",
        "*",
    ]
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join), st.booleans())
def test_targets_without_the_unseen_are_idempotent(formula: str, tight: bool) -> None:
    seen = without_unseen(formula)
    assert without_unseen(seen) == seen
    try:
        target = latex.to_target(formula, tight=tight)
    except MarkupError as failure:
        assert failure.code in ("target.empty", "target.latex")
        return
    assert latex.to_target(target, tight=tight) == target
    assert latex_unseen.unseen(target) == ""


MARKS = st.sampled_from(
    ["\\label{eq:1}", "\\nonumber ", "\\notag ", "\\index{a}", " % a comment\n", "%\n", "\\label { a }"]
)
PLAIN = st.sampled_from(
    [
        "a",
        "+",
        "b_{1}",
        "\\frac{a}{b}",
        "\\alpha ",
        "\\%",
        "\\text{50\\% of it}",
        "\\\\ ",
        "\\begin{array}{c}a\\\\b\\end{array}",
        "{c}",
    ]
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.tuples(PLAIN, st.lists(MARKS, max_size=2)), min_size=1, max_size=8))
def test_what_is_put_in_comes_out(parts: list[tuple[str, list[str]]]) -> None:
    plain = "".join(piece for piece, _ in parts)
    marked = "".join(piece + "".join(marks) for piece, marks in parts)
    try:
        wanted = latex.to_target(plain)
    except MarkupError:
        return
    found = latex.to_target(marked)
    assert "".join(found.split()) == "".join(wanted.split())


HOSTILE = [
    "%",
    "%\n",
    "\\label{",
    "\\label{}",
    "\\nonumber",
    "\\\\",
    "\\\\[2pt]",
    "\\\\ ",
    "\\verb|",
    "\\url{",
    "\\text {",
    "\\text { a } ",
    "\\[%\n",
    "$%\n",
    "{ ",
    "\\hspace{",
    "\\left",
    "\0",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_formulas(piece: str) -> None:
    for formula in (piece * (19_000 // len(piece)), "a" + piece * (19_000 // len(piece)) + "b", piece * 300_000):
        for tight in (False, True):
            try:
                latex.to_target(formula, tight=tight)
            except MarkupError as failure:
                assert failure.code in ("target.empty", "target.latex")
        list(check_answer(formula, "Formula Recognition:", "answer", 1))
