"""Cells in GitHub's Markdown: what cmark-gfm shows of them, formulas, links from outside, HTML, there and back, and
hostile ones.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import TESTS

from sft.markup.errors import MarkupError
from sft.markup.grid import Grid
from sft.markup.markdown import parse_markdown
from sft.markup.markdown_cells import markdown_text

CELLS: list[dict[str, str]] = json.loads(
    (TESTS / "golden/markup/markdown_cells.json").read_text("utf-8")
)  # as cmark-gfm shows them


def table(cell: str) -> str:
    return f"| h | i |\n|---|---|\n| {cell} | z |\n\n[1]: http://x\n"


@pytest.mark.parametrize("case", CELLS, ids=lambda case: case["markdown"])
def test_golden_cells(case: dict[str, str]) -> None:
    assert parse_markdown(table(case["markdown"])).rows == (("h", "i"), (case["text"], "z"))
    assert parse_markdown(f"i | h\n-|-\nz | {case['markdown']} |\n\n[1]: http://x").rows[1] == ("z", case["text"])


FORMULAS = [
    ("$x_1 * y_1$", r"\( x_1 * y_1 \)"),
    (r"a_b $x_i$ **c**", r"a_b \( x_i \) c"),
    (r"\( A= \pi r^{2} \)", r"\( A= \pi r^{2} \)"),
    (r"\\( x^2 \\)", r"\( x^2 \)"),
    (r"\(see note\)", "(see note)"),
    (r"\[1\]", "[1]"),
    (r"`$x_1$`", "$x_1$"),
    (r"US\$3 and US\$4", "US$3 and US$4"),
    (r"\$x_1\$", "$x_1$"),
    (r"$\|x\|_2$ is it", r"\( |x|_2 \) is it"),
    ("$5 and $10", "$5 and $10"),
    (r"![$x_1$](a.png) $y_2$", r"\( y_2 \)"),
    ("<b>$x_1$</b> $5", r"\( x_1 \) $5"),
]


@pytest.mark.parametrize(("cell", "text"), FORMULAS)
def test_formulas(cell: str, text: str) -> None:
    assert parse_markdown(table(cell)).rows[1] == (text, "z")


STRUCTURES = [
    ("| a | b |\n|---|---|\n| 1 | 2 |\nno pipe\n| 3 | 4 |", [["a", "b"], ["1", "2"], ["no pipe", ""], ["3", "4"]]),
    ("| a | b |\n|---|---|\n| 1 | 2 |\n- a list", [["a", "b"], ["1", "2"]]),
    ("| a | b |\n|---|---|\n| 1 | 2 |\n# heading\n| 3 | 4 |", [["a", "b"], ["1", "2"]]),
    ("> | a | b |\n> |---|---|\n> | 1 | 2 |\n", [["a", "b"], ["1", "2"]]),
    ("1. | a | b |\n   |---|---|\n   | 1 | 2 |\n", [["a", "b"], ["1", "2"]]),
    ("    | a | b |\n    |---|---|\n    | 1 | 2 |\n", [["a", "b"], ["1", "2"]]),
    ("Table 1\n| a | b |\n|:-:|--:|\n| 1 | 2 |\n", [["a", "b"], ["1", "2"]]),
    ("|a|b|\n|-|-|\n||2|\n|1||", [["a", "b"], ["", "2"], ["1", ""]]),
    ("| | b |\n|---|---|\n| `a \\| b` | c \\| d |\n", [["", "b"], ["a | b", "c | d"]]),
    ("a | b\n--|--\n1 | 2\n3\n", [["a", "b"], ["1", "2"], ["3", ""]]),
    ("| a |\n|---|\n| x |\ny\n", [["a"], ["x"], ["y"]]),
]


@pytest.mark.parametrize(("text", "rows"), STRUCTURES)
def test_rows(text: str, rows: list[list[str]]) -> None:
    assert parse_markdown(text) == Grid.from_rows(rows, header=True)


def test_a_long_row_widens_the_table_in_either_reader() -> None:
    for text in (
        "| unit | area |\n| --- | --- |\n| A01 |2001| | 398.08 |\n| A02 | 140.72 |",
        "unit | area\n--- | ---\nA01 |2001| | 398.08\nA02 | 140.72",
    ):
        grid = parse_markdown(text)
        assert grid.rows == (("unit", "area", "", ""), ("A01", "2001", "", "398.08"), ("A02", "140.72", "", ""))
        assert [warning.code for warning in grid.warnings] == ["table.widened", "table.ragged", "table.ragged"]


any_text = st.text(alphabet=st.sampled_from("ab1 |\\*_`~<>&;$![](){}^#-.:/\"'表é\n"), max_size=12).map(
    lambda text: " ".join(text.split())
)


@given(any_text)
@settings(max_examples=1500, deadline=None)
def test_any_text_there_and_back(text: str) -> None:
    grid = Grid.from_rows([["h", "i"], [text, "z"]], header=True)
    assert parse_markdown(grid.to_markdown()) == grid


@given(st.text(max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_cell_is_read(text: str) -> None:
    shown = markdown_text(text)
    assert "\n" not in shown and not any("\ufdd0" <= sign <= "\ufdd3" for sign in shown if sign not in text)


HOSTILE = (
    "[" * 19_000,
    "*a " * 6_000,
    "`" * 19_000,
    "<" * 19_000,
    "![" * 9_000,
    "a_" * 9_000,
    "\\" * 19_000,
    "$" * 19_000,
    "[a](" * 4_000,
    "<b " * 6_000,
    "&" * 19_000,
    "``" + "` `" * 6_000,
    "$x_1$ " * 3_000,
)


@pytest.mark.parametrize("cell", HOSTILE, ids=lambda cell: str(cell)[:4])
def test_strange_cells_are_read_in_time(cell: str) -> None:
    assert parse_markdown(f"| a |\n|---|\n| {cell.replace('|', '')} |").shape == (
        2,
        1,
    )  # quadratic work would run into the time limit of the suite


def test_an_endless_cell_is_refused() -> None:
    with pytest.raises(MarkupError) as error:
        parse_markdown(f"| a |\n|---|\n| {'*' * 30_000} |")
    assert error.value.code == "source.too_large"
    assert parse_markdown(f"| a |\n|---|\n| {'a' * 30_000} |").rows[1] == ("a" * 30_000,)
