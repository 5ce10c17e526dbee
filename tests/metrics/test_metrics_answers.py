"""Answers in any notation: which one it is, strict and lenient reading, and what is scored of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.markup.grid import Grid
from sft.metrics import cells
from sft.metrics.answers import MAX_LENGTH, Notation, notation, read_chart, read_table

OTSL = "<fcel>a<fcel>b<nl><fcel>c<fcel>d<nl>"
HTML = "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>"
MARKDOWN = "| a | b |\n| --- | --- |\n| c | d |\n"
ROWS = (("a", "b"), ("c", "d"))
LENIENT = (cells.teds, cells.teds_s, cells.cell_f1, cells.cell_f1_fuzzy, cells.shape, cells.structure)


@pytest.mark.parametrize(
    ("text", "found", "strict"),
    [
        (OTSL, "otsl", True),
        (f" {OTSL}\n", "otsl", True),
        (OTSL[:-4], "otsl", False),
        (f"```\n{OTSL}\n```", "otsl", False),
        (f"Here it is: {OTSL}", "otsl", False),
        (f"{OTSL}\nDone.", "otsl", False),
        ("<otsl><ched>a<ched>b<nl><fcel>c<fcel>d<nl></otsl>", "otsl", False),
        ("<fcel>a<fcel>b<nl><fcel>c<fcel>d<fcel><nl>", "otsl", False),
        (HTML, "html", True),
        (f"<html><body>{HTML}</body></html>", "html", True),
        (HTML.replace("td>", "th>"), "html", True),
        (f"```html\n{HTML}\n```", "html", False),
        (f"The table:\n{HTML}", "html", False),
        (HTML.replace("</td>", ""), "html", False),
        (HTML.removesuffix("</table>"), "html", False),
        (HTML + HTML, "html", False),
        (HTML.replace("t", "T"), "html", True),
        (MARKDOWN, "markdown", True),
        (MARKDOWN.replace("| c | d |", "c | d"), "markdown", True),
        (f"A table:\n\n{MARKDOWN}", "markdown", False),
        (f"```markdown\n{MARKDOWN}```", "markdown", False),
    ],
)
def test_tables_are_read_strictly_and_leniently(text: str, found: Notation, strict: bool) -> None:
    answer = read_table(text)
    assert (answer.notation, answer.strict) == (found, strict)
    if "<fcel><nl>" not in text:
        assert answer.grid.rows == ROWS
        assert [measure(ref=OTSL, pred=text) for measure in LENIENT] == [1] * len(LENIENT)
        assert cells.teds_strict(ref=OTSL, pred=text) == float(strict)


@pytest.mark.parametrize(
    "text", ["", "plain text", "a | b", "a - b | c - d", "<tab", "| a |\n| b |", "<TABLESPACE>", "--- | ---"]
)
def test_no_table(text: str) -> None:
    assert read_table(text) == (Grid(()), False, "none")
    for measure in (*LENIENT, cells.teds_strict):
        assert (measure(ref=OTSL, pred=text), measure(ref="", pred=text), measure(ref="", pred=OTSL)) == (0, 1, 0)


def test_what_comes_first_decides() -> None:
    assert notation(f"<table>{OTSL}") == "html"
    assert notation(f"{OTSL}<table>") == "otsl"
    assert (
        notation(f"{MARKDOWN}{HTML}") == "html"
    )  # a table in Markdown may hold HTML, and pipes may stand above a ruler by chance


@pytest.mark.parametrize(
    "html",
    [
        "<table><tr><td>a</td></tr><tr><td>b</td><td>c</td></tr></table>",
        '<table><tr><td colspan="x">a</td></tr></table>',
        "<table><tr><td>a</td></tr><tr><td>b<table></table></td></tr></table>",
    ],
)
def test_html_that_had_to_be_mended(html: str) -> None:
    answer = read_table(html)
    assert answer.grid.rows
    assert not answer.strict


def test_spans_in_any_notation() -> None:
    otsl = "<fcel>t<lcel><nl><fcel>c<fcel>d<nl>"
    html = '<table><tr><td colspan="2">t</td></tr><tr><td>c</td><td>d</td></tr></table>'
    assert cells.teds(ref=otsl, pred=html) == cells.structure(ref=otsl, pred=html) == 1
    assert read_table(html).strict
    assert cells.structure(ref=otsl, pred=OTSL) == 0
    assert cells.shape(ref=otsl, pred=OTSL) == 1
    assert (
        cells.cell_f1(ref=otsl, pred="<fcel>t<ecel><nl><fcel>c<fcel>d<nl>") == 4 / 7
    )  # the spanning cell is another cell


def test_cells() -> None:
    assert cells.cell_f1(ref=OTSL, pred="<fcel>a<fcel>b<nl><fcel>c<fcel>x<nl>") == 3 / 4
    assert cells.cell_f1(ref=OTSL, pred="<fcel>c<fcel>d<nl>") == 2 * 2 / 6  # a row too few costs its own cells
    assert cells.cell_f1(ref=OTSL, pred="<fcel>c<fcel>d<nl><fcel>a<fcel>b<nl>") == 2 / 4  # rows stay in order
    assert cells.cell_f1_fuzzy(ref="<fcel>abcd<fcel>x<nl>", pred="<fcel>abce<fcel>y<nl>") == (0.75 + 0) / 2
    assert cells.cell_f1_fuzzy(ref="<ecel><fcel>x<nl>", pred="<ecel><fcel>x<nl>") == 1


texts = st.sampled_from(["", "a", "ab", "abc", "xyz", "কা"])
tables = st.tuples(st.integers(1, 3), st.integers(1, 3)).flatmap(
    lambda size: st.lists(st.lists(texts, min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0]).map(
        Grid.from_rows
    )
)


def best_rows(ref: Grid, pred: Grid, fuzzy: bool) -> float:
    """The alignment of rows by its definition, recursively."""

    def alike(left: str | None, right: str | None) -> float:
        from sft.metrics.text import ned

        cost = ned(ref=left or "", pred=right or "") if fuzzy else float(left != right)
        return 1 - cost if cost <= 0.5 else 0

    def best(i: int, j: int) -> float:
        if i == len(ref.rows) or j == len(pred.rows):
            return 0
        return max(best(i + 1, j), best(i, j + 1), best(i + 1, j + 1) + sum(map(alike, ref.rows[i], pred.rows[j])))

    return 2 * best(0, 0) / (sum(map(len, ref.rows)) + sum(map(len, pred.rows)))


@given(tables, tables)
def test_cell_f1_is_that_of_the_best_rows(ref: Grid, pred: Grid) -> None:
    exact, fuzzy = cells.cell_f1(ref=ref, pred=pred), cells.cell_f1_fuzzy(ref=ref, pred=pred)
    assert exact == pytest.approx(best_rows(ref, pred, False))
    assert fuzzy == pytest.approx(best_rows(ref, pred, True))
    assert 0 <= exact <= fuzzy + 1e-9 <= 1 + 2e-9
    assert exact == pytest.approx(cells.cell_f1(ref=pred, pred=ref))
    assert (
        cells.cell_f1(ref=ref, pred=ref)
        == cells.cell_f1_fuzzy(ref=ref, pred=ref)
        == cells.structure(ref=ref, pred=ref)
        == cells.teds(ref=ref, pred=ref)
        == 1
    )


def test_large_tables_are_compared_as_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cells.cell_f1(ref=OTSL, pred="<fcel>a<fcel>b<nl><fcel>c<fcel>x<nl>")
    monkeypatch.setattr(cells, "MAX_PAIRS", 3)
    assert cells.cell_f1(ref=OTSL, pred="<fcel>a<fcel>b<nl><fcel>c<fcel>x<nl>") == before
    assert cells.cell_f1_fuzzy(ref=OTSL, pred=OTSL) == 1
    assert cells.cell_f1(ref=OTSL, pred="<fcel>c<fcel>d<nl>") == 0


def test_more_corruption_is_no_better() -> None:
    grid = [[f"{row}{column}" * 3 for column in range(4)] for row in range(4)]
    ref, scores = Grid.from_rows(grid), []
    for number in range(16):
        grid[number // 4][number % 4] = "§" * (number + 1)
        pred = Grid.from_rows(grid)
        scores.append(
            (cells.cell_f1(ref=ref, pred=pred), cells.cell_f1_fuzzy(ref=ref, pred=pred), cells.teds(ref=ref, pred=pred))
        )
    for values in zip(*scores, strict=True):
        assert list(values) == sorted(values, reverse=True)
    assert [value for value, _, _ in scores] == [(15 - number) / 16 for number in range(16)]


CHART = "  | 22Q3 | 22Q3yoy\n电商 | 85 | 100%\n广告 | 12 | 5%"


@pytest.mark.parametrize(
    ("text", "strict"),
    [
        (CHART, True),
        (CHART.strip(), True),
        (f"```\n{CHART}\n```", False),
        ("|  | 22Q3 | 22Q3yoy |\n| --- | --- | --- |\n| 电商 | 85 | 100% |\n| 广告 | 12 | 5% |", False),
        (
            (
                "<table><tr><td></td><td>22Q3</td><td>22Q3yoy</td></tr>"
                "<tr><td>电商</td><td>85</td><td>100%</td></tr><tr><td>广告</td><td>12</td><td>5%</td></tr></table>"
            ),
            False,
        ),
        (",22Q3,22Q3yoy\n电商,85,100%\n广告,12,5%", False),
    ],
)
def test_charts_in_any_style(text: str, strict: bool) -> None:
    answer = read_chart(text)
    assert answer.strict == strict
    assert [row[-2:] for row in answer.rows] == [["22Q3", "22Q3yoy"], ["85", "100%"], ["12", "5%"]]
    assert (
        cells.chart_rms_f1(ref=CHART, pred=text)
        == cells.chart_rnss(ref=CHART, pred=text)
        == cells.chart_scrm(ref=CHART, pred=text)
        == 1
    )
    assert cells.chart_cell_f1(ref=CHART, pred=text) == cells.chart_cell_f1_fuzzy(ref=CHART, pred=text) == 1


@pytest.mark.parametrize("pred", ["", " \n", "garbage", "\ufffd"])
def test_charts_that_are_none(pred: str) -> None:
    assert (
        cells.chart_rms_f1(ref=CHART, pred=pred)
        == cells.chart_scrm(ref=CHART, pred=pred)
        == cells.chart_cell_f1(ref=CHART, pred=pred)
        == 0
    )
    assert (
        cells.chart_rms_f1(ref="", pred="")
        == cells.chart_scrm(ref="", pred="")
        == cells.chart_cell_f1(ref="", pred="")
        == cells.chart_rnss(ref="", pred="")
        == 1
    )


def test_a_chart_cell() -> None:
    assert cells.chart_cell_f1(ref=CHART, pred=CHART.replace("12", "13")) == 8 / 9
    assert cells.chart_cell_f1_fuzzy(ref=CHART, pred=CHART.replace("12", "13")) == 8.5 / 9


@pytest.mark.parametrize(
    "pred",
    [
        "<fcel>" * 20_000,
        "<nl>" * 200_000,
        "<lcel><ucel><xcel><nl>" * 5_000,
        "<table>" + "<div>" * 100_000,
        "<table><tr><td>" + "x" * 900_000,
        "```" * 300_000,
        "|" * 900_000,
        "| - " * 200_000,
        "a|b\n-|-\n" * 10_000,
        '<table><tr><td rowspan="99999" colspan="99999">x',
        "x" * (MAX_LENGTH + 1),
        "<fcel>שלום<fcel>👩\u200d👧<nl>" * 100,
        "<fcel>\ud800<nl>",
        "<table><tr><td>\x00</table>",
    ],
)
def test_hostile_answers_have_scores(pred: str) -> None:
    answer = read_table(pred)
    assert len(answer.grid.rows) >= 0
    for measure in (cells.cell_f1, cells.cell_f1_fuzzy, cells.shape, cells.structure):
        assert 0 <= measure(ref=OTSL, pred=pred) < 1
    assert -1 <= cells.teds(ref=OTSL, pred=pred) < 1
    assert 0 <= cells.chart_cell_f1_fuzzy(ref=CHART, pred=pred) < 0.5
    assert 0 <= cells.chart_rms_f1(ref=CHART, pred=pred) < 0.5
    assert 0 <= cells.chart_scrm(ref=CHART, pred=pred) < 0.5
