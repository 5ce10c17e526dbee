"""The PaddleX pipeline is the judge of OTSL: its own converter, loaded alone out of its wheel, must give the same
HTML.
"""

from __future__ import annotations

import ast
import random
import sys
import types
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.markup.grid import Cell, Grid
from sft.markup.html import parse_html
from sft.markup.otsl import parse_otsl
from sft.markup.table import otsl_to_html

TOKENS = ("<fcel>", "<ecel>", "<lcel>", "<ucel>", "<xcel>", "<nl>")
TEXTS = (
    "a",
    "x < y",
    "R&D",
    '"q"',
    "it's",
    "42",
    "表格",
    "क्ष",
    " padded ",
    "two\nlines",
    "<br>",
    "<fcel",
    "&amp;",
    "\\( x^2 \\)",
    "p<0.05",
    "nl>",
    "\u200b",
    "\xa0",
    "",
)


def load_paddlex() -> Callable[[str], str]:
    """`convert_otsl_to_html` of the installed wheel: the definitions of that one file that it needs, not the
    package.
    """
    package = find_spec("paddlex")
    assert package is not None and package.origin is not None
    path = Path(package.origin).parent / "inference/pipelines/paddleocr_vl/uilts.py"
    tree = ast.parse(path.read_text("utf-8"))
    wanted = (
        "TableCell",
        "TableData",
        "otsl_extract_tokens_and_text",
        "otsl_parse_texts",
        "export_to_html",
        "otsl_pad_to_sqr_v2",
        "convert_otsl_to_html",
    )
    body: list[ast.stmt] = []
    for node in tree.body:
        name = (
            node.name
            if isinstance(node, (ast.ClassDef, ast.FunctionDef))
            else node.targets[0].id
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            else ""
        )
        keep = name in wanted or name.startswith(("OTSL_", "NON_CAPTURING"))
        if (
            keep
            or (isinstance(node, ast.Import) and node.names[0].name in ("html", "itertools", "re"))
            or (isinstance(node, ast.ImportFrom) and node.module in ("typing", "pydantic"))
        ):
            body.append(node)
    module = types.ModuleType("paddlex_otsl")
    sys.modules["paddlex_otsl"] = module  # pydantic looks annotations up there
    exec(compile(ast.Module(body, []), str(path), "exec"), module.__dict__)
    return module.__dict__["convert_otsl_to_html"]  # type: ignore[no-any-return]


PADDLEX = load_paddlex()


def random_grid(rng: random.Random, rows: int, columns: int) -> Grid:
    """A table with spans everywhere, and some of its cells blank."""
    taken: set[tuple[int, int]] = set()
    cells: list[tuple[int, int, Cell]] = []
    for row in range(rows):
        for column in range(columns):
            if (row, column) in taken:
                continue
            height, width = rng.choice([(1, 1), (1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (1, 9)])
            height, width = min(height, rows - row), min(width, columns - column)
            while any((row, column + step) in taken for step in range(width)):
                width -= 1
            taken |= {(row + down, column + right) for down in range(height) for right in range(width)}
            text = rng.choice(TEXTS)
            cells.append((row, column, Cell("" if text == "\u200b" else text, height, width)))
    return Grid.from_cells(rows, columns, cells)


def test_paddlex_itself_was_not_imported() -> None:
    assert "paddlex" not in sys.modules
    assert PADDLEX("<fcel>a<lcel><nl>") == '<table><tr><td colspan="2">a</td></tr></table>'


def test_strict_tables_give_the_same_html() -> None:
    rng = random.Random(7)
    for _ in range(3000):
        grid = random_grid(rng, rng.randint(1, 5), rng.randint(1, 5))
        otsl, html = grid.to_otsl(), grid.to_html()
        assert PADDLEX(otsl) == html, otsl
        assert parse_otsl(otsl) == grid
        assert otsl_to_html(otsl) == html
        assert otsl_to_html(otsl, lenient=True) == html
        assert not parse_otsl(otsl, lenient=True).warnings


def broken(rng: random.Random) -> str:
    """OTSL that a model might have written on a bad day."""
    if rng.random() < 0.5:
        pieces = [
            rng.choice(TOKENS) + (rng.choice(TEXTS) if rng.random() < 0.5 else "") for _ in range(rng.randint(0, 14))
        ]
    else:
        text = random_grid(rng, rng.randint(1, 4), rng.randint(1, 4)).to_otsl()
        pieces = [text]
        for _ in range(rng.randint(1, 3)):
            place, size = rng.randrange(len(text)), rng.choice([1, 4, 6, 11])
            text = (
                text[:place] + rng.choice(["", *TOKENS, *TEXTS]) + text[place + (size if rng.random() < 0.7 else 0) :]
            )
            pieces = [text]
    return rng.choice(["", "", "lead", " "]) + "".join(pieces)


def test_broken_tables_are_repaired_as_paddlex_repairs_them() -> None:
    rng = random.Random(11)
    crashes = strict = 0
    for _ in range(12000):
        otsl = broken(rng)
        ours = parse_otsl(otsl, lenient=True)
        try:
            theirs = PADDLEX(otsl)
        except IndexError:
            crashes += 1
            assert ours.warnings
            continue
        assert ours.to_html() == theirs, otsl
        if not any(token in (text or "") for row in ours.rows for text in row for token in TOKENS) and ours.rows:
            parse_otsl(ours.to_otsl())  # whatever came out of it can be trained on
        if not ours.warnings:  # every repair is named
            strict += 1
            assert parse_otsl(otsl) == ours
    assert crashes < 600
    assert strict > 300


@given(st.lists(st.sampled_from([*TOKENS, *TEXTS]), max_size=25).map("".join))
@settings(max_examples=500, deadline=None)
def test_any_mixture_of_tokens_and_texts(otsl: str) -> None:
    try:
        theirs = PADDLEX(otsl)
    except IndexError:
        return
    assert otsl_to_html(otsl, lenient=True) == theirs


@pytest.mark.parametrize("otsl", ["<fcel><nl><lcel><nl>", "<fcel>a<fcel><nl><xcel>x<ecel><nl>"])
def test_where_paddlex_crashes(otsl: str) -> None:
    with pytest.raises(IndexError):
        PADDLEX(otsl)
    grid = parse_otsl(otsl, lenient=True)
    assert any("without text" in warning.message for warning in grid.warnings)
    assert grid.to_html().startswith("<table>")


def test_html_of_a_grid_is_read_back() -> None:
    rng = random.Random(3)
    for _ in range(1000):
        grid = random_grid(rng, rng.randint(1, 5), rng.randint(1, 5))
        if not any("\n" in (text or "") for row in grid.rows for text in row):  # HTML joins lines
            assert parse_html(grid.to_html()) == grid, grid.to_html()
