"""GriTS: recorded values of a published implementation, a second statement of the definition, and the edges."""

from __future__ import annotations

import json
import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import TESTS

from sft.markup.grid import Cell, Grid
from sft.metrics import grits
from sft.metrics.grits import grits_con, grits_top

GOLDEN = json.loads((TESTS / "golden/grits.json").read_text("utf-8"))["pairs"]
OTSL = "<fcel>a<fcel>b<nl><fcel>c<fcel>d<nl>"
SPAN = "<fcel>a<lcel><nl><fcel>c<fcel>d<nl>"


def test_values_of_a_published_implementation() -> None:
    assert len(GOLDEN) == 40
    for pair in GOLDEN:
        assert grits_top(ref=pair["ref"], pred=pair["pred"]) == pytest.approx(pair["grits_top"], abs=1e-12)
        assert grits_con(ref=pair["ref"], pred=pair["pred"]) == pytest.approx(pair["grits_con"], abs=1e-12)


@pytest.mark.parametrize(
    ("ref", "pred", "top", "con"),
    [
        (OTSL, OTSL, 1, 1),
        ("", "", 1, 1),
        (OTSL, "", 0, 0),
        ("", OTSL, 0, 0),
        (OTSL, "no table", 0, 0),
        ("<ecel><nl>", "<ecel><nl>", 1, 1),
        (OTSL, "<fcel>a<fcel>b<nl>", 4 / 6, 4 / 6),
        (OTSL, "<fcel>c<fcel>d<nl>", 4 / 6, 4 / 6),
        (OTSL, "<fcel>b<nl><fcel>d<nl>", 4 / 6, 4 / 6),
        (OTSL, "<fcel>c<fcel>d<nl><fcel>a<fcel>b<nl>", 1, 0.5),  # rows are never moved: one of them is aligned
        (OTSL, SPAN, 3 / 4, 3 / 4),  # two slots of 1 / 2 each; of the texts, a for b is wrong
        (OTSL, OTSL.replace("d", "xyz"), 1, 3 / 4),
        (OTSL, OTSL.replace("d", "dx"), 1, (3 + 2 / 3) / 4),
        (
            "<table><tr><td>a</td></tr><tr><td>a</td><td>b<br></td></tr></table>",
            "<table><tr><td>a</td></tr></table>",
            2 / 5,
            2 / 5,
        ),
        ("<table><tr><td rowspan='x'>a&nbsp;</td></tr></table>", "<table><tr><td>a</td></tr></table>", 1, 1),
    ],
)
def test_values(ref: str, pred: str, top: float, con: float) -> None:
    assert grits_top(ref=ref, pred=pred) == pytest.approx(top)
    assert grits_con(ref=ref, pred=pred) == pytest.approx(con)


texts = st.sampled_from(["", "a", "ab", "abc", "xyz", "কা"])


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    free = {(row, column) for row in range(height) for column in range(width)}
    cells = []
    for row in range(height):
        for column in range(width):
            if (row, column) not in free:
                continue
            down, right = draw(st.sampled_from([(1, 1), (1, 1), (1, 2), (2, 1), (2, 2)]))
            slots = {(row + i, column + j) for i in range(down) for j in range(right)}
            if not slots <= free:
                down, right, slots = 1, 1, {(row, column)}
            free -= slots
            cells.append((row, column, Cell(draw(texts), down, right)))
    return Grid.from_cells(height, width, cells)


def slots(grid: Grid) -> list[list[tuple[str, frozenset[tuple[int, int]]]]]:
    """Of each slot, the text of its cell and the slots of that cell, as seen from here."""
    found = {}
    for row, column, cell in grid.cells:
        for i in range(cell.rowspan):
            for j in range(cell.colspan):
                found[row + i, column + j] = (
                    cell.text,
                    frozenset((down - i, right - j) for down in range(cell.rowspan) for right in range(cell.colspan)),
                )
    return [[found[row, column] for column in range(grid.shape[1])] for row in range(grid.shape[0])]


def alike(
    left: tuple[str, frozenset[tuple[int, int]]], right: tuple[str, frozenset[tuple[int, int]]]
) -> tuple[float, float]:
    @cache
    def common(i: int, j: int) -> int:
        if i == len(left[0]) or j == len(right[0]):
            return 0
        return max(common(i + 1, j), common(i, j + 1), common(i + 1, j + 1) + (left[0][i] == right[0][j]))

    letters = len(left[0]) + len(right[0])
    return len(left[1] & right[1]) / len(left[1] | right[1]), 2 * common(0, 0) / letters if letters else 1.0


def bound(ref: list[list[float]], width: int) -> float:
    """The most that can be had by aligning, in order."""
    best = [0.0] * (width + 1)
    for row in ref:
        best, before = [0.0], best
        for j, reward in enumerate(row):
            best.append(max(best[-1], before[j + 1], before[j] + reward))
    return best[-1]


@given(grids(), grids())
@settings(max_examples=150, deadline=None)
def test_between_what_the_definition_allows(ref: Grid, pred: Grid) -> None:
    """At most what rows alone and columns alone could give; that itself where one row stands against one."""
    left, right = slots(ref), slots(pred)
    size = ref.shape[0] * ref.shape[1] + pred.shape[0] * pred.shape[1]
    for index, measure in enumerate((grits_top, grits_con)):
        by_rows = bound(
            [
                [bound([[alike(a, b)[index] for b in other] for a in row], len(other)) for other in right]
                for row in left
            ],
            len(right),
        )
        turned, others = list(zip(*left, strict=True)), list(zip(*right, strict=True))
        by_columns = bound(
            [
                [bound([[alike(a, b)[index] for b in other] for a in row], len(other)) for other in others]
                for row in turned
            ],
            len(others),
        )
        score = measure(ref=ref, pred=pred)
        assert 0 <= score <= 2 * min(by_rows, by_columns) / size + 1e-9 <= 1 + 1e-9
        assert measure(ref=ref, pred=ref) == 1
        if len(left) == len(right) == 1:  # columns are all there is to align: nothing is approximated
            assert score == pytest.approx(2 * by_rows / size)


@given(grids(), st.data())
@settings(max_examples=50, deadline=None)
def test_a_part_of_a_table_is_found(ref: Grid, data: st.DataObject) -> None:
    """Rows and columns left out of a table without spans: what is left scores in full, whichever way round."""
    plain = Grid.from_rows(
        [
            [f"{row},{column}:{text}" for column, text in enumerate(line)]
            for row, line in enumerate(ref.filled("repeat"))
        ]
    )
    keep = [data.draw(st.sets(st.integers(0, size - 1), min_size=1)) for size in plain.shape]
    part = Grid.from_rows(
        [
            [text or "" for column, text in enumerate(line) if column in keep[1]]
            for row, line in enumerate(plain.rows)
            if row in keep[0]
        ]
    )
    wanted = 2 * part.shape[0] * part.shape[1] / (plain.shape[0] * plain.shape[1] + part.shape[0] * part.shape[1])
    assert grits_top(ref=plain, pred=part) == grits_top(ref=part, pred=plain) == pytest.approx(wanted)
    assert grits_con(ref=plain, pred=plain) == 1
    assert wanted - 1e-9 <= grits_con(ref=plain, pred=part)


def test_more_corruption_is_no_better() -> None:
    pick = random.Random(5)
    rows = [[f"{pick.randrange(10**6):06}" for _ in range(4)] for _ in range(5)]
    ref, last = Grid.from_rows(rows), 1.0
    for place in pick.sample(range(20), 20):
        rows[place // 4][place % 4] = "§§§§§§"
        score = grits_con(ref=ref, pred=Grid.from_rows(rows))
        assert score < last and grits_top(ref=ref, pred=Grid.from_rows(rows)) == 1
        last = score
    assert last == 0


def test_limits_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    large = "".join("<fcel>a" * 30 + "<nl>" for _ in range(40))
    before = [grits_top(ref=large, pred=OTSL), grits_con(ref=large, pred=OTSL), grits_con(ref=large, pred=large)]
    monkeypatch.setattr(grits, "BLOCK", 50)
    assert [
        grits_top(ref=large, pred=OTSL),
        grits_con(ref=large, pred=OTSL),
        grits_con(ref=large, pred=large),
    ] == before
    for name, value in (("MAX_PAIRS", 4799), ("MAX_LINES", 79)):
        with monkeypatch.context() as patch:
            patch.setattr(grits, name, value)
            assert grits_top(ref=large, pred=OTSL) == grits_con(ref=large, pred=OTSL) == 0
    monkeypatch.setattr(grits, "MAX_LETTERS", 3)
    assert grits_con(ref=large, pred=OTSL) == 0 < grits_top(ref=large, pred=OTSL)


@pytest.mark.parametrize(
    "pred",
    [
        "<fcel>" * 20_000,
        "<nl>" * 200_000,
        "<lcel><ucel><xcel><nl>" * 5_000,
        "<table><tr><td>" + "x" * 900_000,
        '<table><tr><td rowspan="99999" colspan="99999">x',
        "<fcel>\ud800<nl>",
    ],
)
def test_hostile_answers_have_scores(pred: str) -> None:
    assert 0 <= grits_top(ref=OTSL, pred=pred) < 1
    assert 0 <= grits_con(ref=OTSL, pred=pred) < 1


def test_grids_with_holes_and_overlaps() -> None:
    """Made by hand: no reader gives them."""
    odd = Grid((("a", None), ("c", "d")), {(0, 0): (2, 1)})
    assert 0 < grits_top(ref=odd, pred=OTSL) <= 1
    assert 0 < grits_con(ref=OTSL, pred=odd) <= 1
    assert grits_top(ref=odd, pred=odd) == grits_con(ref=odd, pred=odd) == 1
