"""Tables: the golden cases, the rules of HTML's table model, strict OTSL and its errors, round trips, and hostile
input.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import TESTS
from waiting import cpu_limit

from sft.markup.errors import MarkupError
from sft.markup.grid import Cell, Grid
from sft.markup.html import html_to_otsl, parse_html, read_html
from sft.markup.otsl import parse_otsl
from sft.markup.table import otsl_to_html

CASES: list[dict[str, Any]] = json.loads((TESTS / "golden/markup/otsl_cases.json").read_text("utf-8"))
HTML_CASES = [case for case in CASES if case["kind"] != "otsl2html"]


def bare(grid: Grid) -> Grid:
    """Without headings, for which OTSL has no token."""
    return Grid(grid.rows, grid.spans)


@pytest.mark.parametrize("case", HTML_CASES, ids=lambda case: case["name"])
def test_golden_html(case: dict[str, Any]) -> None:
    grid, html = parse_html(case["html"]), case.get("html_out", case["html"])
    assert grid.to_otsl() == html_to_otsl(case["html"]) == read_html(case["html"]).to_otsl() == case["otsl"]
    assert grid.to_html() == html
    assert parse_otsl(case["otsl"]) == bare(grid) == parse_html(html)
    assert otsl_to_html(case["otsl"]) == html


@pytest.mark.parametrize("case", [case for case in CASES if case["kind"] != "html2otsl"], ids=lambda case: case["name"])
def test_golden_otsl(case: dict[str, Any]) -> None:
    assert parse_otsl(case["otsl"], lenient=True).to_html() == case["html"]


def test_there_are_cases_of_every_kind() -> None:
    assert len(CASES) >= 29
    assert {case["kind"] for case in CASES} == {"html2otsl", "otsl2html", "both"}


@pytest.mark.parametrize(
    "name", ["overlap_rowspan_colspan", "nested_table", "first_of_two_tables", "colspan_overlong_title"]
)
def test_choices_are_said(name: str) -> None:
    (case,) = [case for case in CASES if case["name"] == name]
    assert len(parse_html(case["html"]).warnings) == 1


# inside of <table>…</table> → OTSL
HTML = [
    # spans
    (
        '<tr><td rowspan="0">A</td><td>B</td></tr><tr><td>C</td></tr><tr><td>D</td></tr>',
        "<fcel>A<fcel>B<nl><ucel><fcel>C<nl><ucel><fcel>D<nl>",
    ),
    (
        (
            "<tbody><tr><td"
            ' rowspan="5">A</td><td>B</td></tr><tr><td>C</td></tr></tbody><tbody><tr><td>D</td><td>E</td></tr></tbody>'
        ),
        "<fcel>A<fcel>B<nl><ucel><fcel>C<nl><fcel>D<fcel>E<nl>",
    ),
    (
        '<thead><tr><th rowspan="2">A</th><th>B</th></tr></thead><tr><td>C</td><td>D</td></tr>',
        "<fcel>A<fcel>B<nl><fcel>C<fcel>D<nl>",
    ),
    (
        '<tr><td colspan="0">A</td><td colspan="-2">B</td><td colspan="x">C</td><td colspan="">D</td></tr>',
        "<fcel>A<fcel>B<fcel>C<fcel>D<nl>",
    ),
    (
        '<tr><td colspan=" 2px">A</td><td>B</td></tr><tr><td>1</td><td>2</td><td>3</td></tr>',
        "<fcel>A<lcel><fcel>B<nl><fcel>1<fcel>2<fcel>3<nl>",
    ),
    ("<tr><td colspan=2>A</td></tr><tr><td>1</td><td>2</td></tr>", "<fcel>A<lcel><nl><fcel>1<fcel>2<nl>"),
    ("<tr><td COLSPAN='2'>A</td></tr><tr><td>1</td><td>2</td></tr>", "<fcel>A<lcel><nl><fcel>1<fcel>2<nl>"),
    ('<tr><td colspan="2" colspan="1">A</td></tr><tr><td>1</td><td>2</td></tr>', "<fcel>A<lcel><nl><fcel>1<fcel>2<nl>"),
    ('<tr><td colspan="2.9">A</td></tr><tr><td>1</td><td>2</td></tr>', "<fcel>A<lcel><nl><fcel>1<fcel>2<nl>"),
    ('<tr><td colspan="+2">A</td></tr><tr><td>1</td><td>2</td></tr>', "<fcel>A<lcel><nl><fcel>1<fcel>2<nl>"),
    (
        '<tr><td colspan="２">A</td></tr><tr><td>1</td><td>2</td></tr>',
        "<fcel>A<ecel><nl><fcel>1<fcel>2<nl>",
    ),  # a full-width digit is none
    (
        '<tr><td>A</td><td rowspan="2">B</td><td>C</td></tr><tr><td>D</td><td>E</td></tr>',
        "<fcel>A<fcel>B<fcel>C<nl><fcel>D<ucel><fcel>E<nl>",
    ),
    (
        '<tr><td colspan="99">T</td></tr><tr><td>1</td><td>2</td></tr><tr><td colspan="99">note</td></tr>',
        "<fcel>T<lcel><nl><fcel>1<fcel>2<nl><fcel>note<lcel><nl>",
    ),
    (
        '<tr><td>a</td><td colspan="9">T</td></tr><tr><td>1</td><td>2</td><td>3</td></tr>',
        "<fcel>a<fcel>T<lcel><nl><fcel>1<fcel>2<fcel>3<nl>",
    ),
    ('<tr><td colspan="3">one row</td></tr>', "<fcel>one row<lcel><lcel><nl>"),
    # rows and groups
    ("<tr><td>A</td><td>B</td></tr><tr><td>C</td></tr>", "<fcel>A<fcel>B<nl><fcel>C<ecel><nl>"),
    ("<tfoot><tr><td>F</td></tr></tfoot><tbody><tr><td>A</td></tr></tbody>", "<fcel>A<nl><fcel>F<nl>"),
    ("<tbody><tr><td>A</td></tr></tbody><thead><tr><td>H</td></tr></thead>", "<fcel>A<nl><fcel>H<nl>"),
    ("<tr></tr><tr><td>A</td></tr><tr></tr>", "<fcel>A<nl>"),
    ("<caption>no <b>cell</b></caption><tr><td>A</td></tr>", "<fcel>A<nl>"),
    ("junk<tr>junk<td>A</td>junk</tr>junk", "<fcel>A<nl>"),
    # what is left open
    ("<tr><td>A<td>B<tr><td>C<td>D", "<fcel>A<fcel>B<nl><fcel>C<fcel>D<nl>"),
    ("<tr><td><b>A<td><i>B</tr>", "<fcel>A<fcel>B<nl>"),
    ("<tr><td>A</th><th>B</td></tr>", "<fcel>A<fcel>B<nl>"),
    ("<td>A</td><td>B</td>", "<fcel>A<fcel>B<nl>"),
    ("<TR><TD>A</TD><Td>B</tD></TR>", "<fcel>A<fcel>B<nl>"),
    ("<tr><td/><td>B</td></tr>", "<ecel><fcel>B<nl>"),
    # texts
    ("<tr><td>&nbsp;</td><td>&#160;</td><td>A&nbsp;</td></tr>", "<ecel><ecel><fcel>A<nl>"),
    ("<tr><td>&amp;lt;b&amp;gt;</td><td>&lt;b&gt;</td><td>AT&T</td></tr>", "<fcel>&lt;b&gt;<fcel><b><fcel>AT&T<nl>"),
    ("<tr><td>a\n  b\t c</td></tr>", "<fcel>a b c<nl>"),
    ("<tr><td>第一\n  行</td><td>表 格</td><td>한국\n어</td></tr>", "<fcel>第一行<fcel>表 格<fcel>한국 어<nl>"),
    (
        "<tr><td>ক্\u200dষ</td><td>می\u200cخواهم</td><td>\ufeff</td></tr>",
        "<fcel>ক্\u200dষ<fcel>می\u200cخواهم<ecel><nl>",
    ),
    ("<tr><td>①ﬁ½</td></tr>", "<fcel>①ﬁ½<nl>"),
    ("<tr><td>$5</td><td>$5 and $10</td><td>US$1,000</td></tr>", "<fcel>$5<fcel>$5 and $10<fcel>US$1,000<nl>"),
    (
        "<tr><td>$$\\sum_i x_i$$</td><td>$ \\alpha $</td><td>\\(x\\)</td></tr>",
        "<fcel>\\( \\sum_i x_i \\)<fcel>\\( \\alpha \\)<fcel>\\(x\\)<nl>",
    ),
    ("<tr><td><math><msup><mi>x</mi><mn>2</mn></msup></math></td></tr>", r"<fcel>\( x^{2} \)<nl>"),
    (
        (
            "<tr><td><math><semantics><mi>x</mi><annotation"
            ' encoding="application/x-tex">x^2</annotation></semantics></math> m</td></tr>'
        ),
        "<fcel>\\( x^2 \\) m<nl>",
    ),
    ("<tr><td>a<script>if (a<b) { '</td>' }</script>b<!-- <td> --></td></tr>", "<fcel>ab<nl>"),
    ("<tr><td>1 < 2</td><td>2 > 1</td></tr>", "<fcel>1 < 2<fcel>2 > 1<nl>"),
    ('<tr><td title="a > b">A</td></tr>', "<fcel>A<nl>"),
    ("<tr><td>x<hr>y</td><td><div>a</div><div>b</div></td></tr>", "<fcel>x y<fcel>a b<nl>"),
]


@pytest.mark.parametrize(("inside", "otsl"), HTML)
def test_html_rules(inside: str, otsl: str) -> None:
    for text in (
        f"<table>{inside}</table>",
        f"<html><body><p>text</p><table border=1>\n{inside}\n</table></body></html>",
        inside,
    ):
        assert parse_html(text).to_otsl() == html_to_otsl(text) == otsl
    parse_otsl(otsl)


def test_headings() -> None:
    html = "<table><thead><tr><td>A</td><th>B</th></tr></thead><tbody><tr><th>C</th><td>D</td></tr></tbody></table>"
    for grid in (parse_html(html), read_html(html)):
        assert [cell.header for _, _, cell in grid.cells] == [True, True, True, False]
        assert grid.cells[0] == (0, 0, Cell("A", header=True))
        assert grid.shape == (2, 2)


def test_sub_and_sup() -> None:
    html = "<table><tr><td>H<sub>2</sub>O</td><td>10<sup>-3</sup></td>"
    html += "<td>a<sup>b<sub>c</sub></sup></td><td><sup></sup>5<sup>%</td></tr></table>"
    assert parse_html(html).to_otsl() == "<fcel>H2O<fcel>\\( 10^{-3} \\)<fcel>abc<fcel>5%<nl>"
    assert (
        parse_html(html, sub_sup="latex").to_otsl()
        == "<fcel>H\\( _{2} \\)O<fcel>10\\( ^{-3} \\)<fcel>a\\( ^{b_{c}} \\)<fcel>5\\( ^{\\%} \\)<nl>"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        "<table></table>",
        "<table><tr></tr></table>",
        "<p>a | b</p>",
        "<table><tr><td",
        '<table><tr><td title="',
        "<!-- <table><tr><td>A</td></tr></table> -->",
    ],
)
def test_no_table(text: str) -> None:
    with pytest.raises(MarkupError) as error:
        parse_html(text)
    assert error.value.code == "target.html"


@pytest.mark.parametrize("token", ["<fcel>", "<ecel>", "<lcel>", "<ucel>", "<xcel>", "<nl>"])
def test_a_token_in_a_text_is_an_error(token: str) -> None:
    html = f"<table><tr><td>A</td><td>x{token.replace('<', '&lt;').replace('>', '&gt;')}</td></tr></table>"
    for convert in (html_to_otsl, lambda text: parse_html(text).to_otsl()):
        with pytest.raises(MarkupError, match="row 1, column 2") as error:
            convert(html)
        assert error.value.code == "target.otsl"
    assert token.replace("<", "&lt;").replace(">", "&gt;") in parse_html(html).to_html()


# OTSL → what the error says
STRICT = [
    ("", "row 1, column 1: no cells|does not end|no cells"),
    ("text", "row 1, column 1: text before the first token"),
    ("<ched>A<ched>B<nl>", "row 1, column 1: text before the first token"),
    ("<fcel>A", "row 1, column 1: the row does not end with <nl>"),
    ("<fcel>A<nl><fcel>B", "row 2, column 1: the row does not end"),
    ("<fcel>A<fcel>B<nl><fcel>C<nl>", "row 2, column 2: the row has 1 slots, the first row has 2"),
    ("<fcel>A<nl><fcel>C<fcel>D<nl>", "row 2, column 2: the row has 2 slots"),
    ("<fcel>A<nl><nl>", "row 2, column 1: a row without cells"),
    ("<fcel>A<nl>x<fcel>B<nl>", "row 2, column 1: text before the first token of the row"),
    ("<fcel>A<ecel>x<nl>", "row 1, column 2: text behind <ecel>"),
    ("<fcel>A<lcel>x<nl>", "row 1, column 2: text behind <lcel>"),
    ("<lcel><fcel>A<nl>", "row 1, column 1: <lcel> continues the cell .* left"),
    ("<fcel>A<nl><fcel>B<nl><ucel><nl><xcel><nl>", "row 4, column 1: <xcel>"),
    ("<ucel><fcel>A<nl>", "row 1, column 1: <ucel> continues the cell .* above"),
    ("<fcel>A<xcel><nl>", "row 1, column 2: <xcel> is the inside"),
    (
        "<fcel>A<lcel><nl><ucel><fcel>B<nl>",
        "row 2, column 2: the inside of a span of 2 × 2 .* row 1, column 1 is <xcel>",
    ),
    ("<fcel>A<lcel><nl><ucel><lcel><nl>", "row 2, column 2: the inside"),
    ("<fcel>A<fcel>B<nl><ucel><lcel><nl>", "row 2, column 2: <lcel> continues"),
    ("<fcel>A<lcel><nl><fcel>B<ucel><nl>", "row 2, column 2: <ucel> continues"),
]


@pytest.mark.parametrize(("otsl", "message"), STRICT)
def test_strict_errors(otsl: str, message: str) -> None:
    with pytest.raises(MarkupError, match=message) as error:
        parse_otsl(otsl)
    assert error.value.code == "target.otsl"
    assert error.value.hint
    parse_otsl(otsl, lenient=True).to_html()


def test_repairs_are_listed() -> None:
    grid = parse_otsl(
        "lead<fcel>A<fcel>B<fcel>C<nl><fcel>1<nl><nl><ucel>x<ecel><ecel><ecel><nl><fcel>2<fcel>3<fcel>4", lenient=True
    )
    said = "\n".join(warning.message for warning in grid.warnings)
    for words in (
        "row 1: text before the first token",
        "row 2: 1 slots filled to 3",
        "row 3: a row without cells",
        "text behind <ucel>",
        "4 slots cut to 3",
        "last <nl> is missing",
    ):
        assert words in said
    assert grid.shape == (4, 3)


def test_empty_answers_are_grids_without_rows() -> None:
    for text in ("", "no table", "<nl>", "<lcel><nl>"):
        grid = parse_otsl(text, lenient=True)
        assert (grid.shape, grid.to_html(), grid.to_otsl()) == ((0, 0), "", "")
        assert grid.warnings


DOCLING = [
    (
        "<otsl><ched>A<ched>B<nl><rhed>1<fcel>2<nl></otsl>",
        "<fcel>A<fcel>B<nl><fcel>1<fcel>2<nl>",
        [(0, 0), (0, 1), (1, 0)],
    ),
    ("<fcel>P<fcel>S<xcel><nl><fcel>R<xcel><xcel><nl>", "<fcel>P<fcel>S<lcel><nl><fcel>R<ucel><xcel><nl>", []),
    (
        "<fcel>P<fcel>S<xcel><nl><fcel>R<xcel><xcel><nl><fcel>T<xcel><xcel><nl><xcel><xcel><xcel><nl>",
        "<fcel>P<fcel>S<lcel><nl><fcel>R<ucel><xcel><nl><fcel>T<lcel><lcel><nl><ucel><xcel><xcel><nl>",
        [],
    ),
    ("<srow>S<lcel><nl><fcel><loc_1><loc_2><loc_3><loc_4>1<ecel><nl>", "<fcel>S<lcel><nl><fcel>1<ecel><nl>", []),
    ("<fcel>A<lcel><nl><ucel><xcel><nl>", "<fcel>A<lcel><nl><ucel><xcel><nl>", []),
    ("<ched><ched>B<nl>", "<ecel><fcel>B<nl>", [(0, 0), (0, 1)]),
    ("<otsl><caption><loc_5>a table</caption><fcel>A<nl></otsl>", "<fcel>A<nl>", []),
]


@pytest.mark.parametrize(("text", "otsl", "headings"), DOCLING)
def test_docling_dialect(text: str, otsl: str, headings: list[tuple[int, int]]) -> None:
    grid = parse_otsl(text, dialect="docling")
    assert grid.to_otsl() == otsl
    assert sorted(grid.headers) == headings


def test_docling_core_writes_what_is_read() -> None:
    from docling_core.types.doc.document import DoclingDocument
    from docling_core.types.doc.items.table.table import TableItem
    from docling_core.types.doc.items.table.table_data import TableCell, TableData

    rng = random.Random(5)
    for _ in range(300):
        grid = random_grid(
            rng, rng.randint(1, 4), rng.randint(1, 4), ("a", "b c", ""), ((1, 1), (1, 1), (1, 2), (2, 1), (2, 2))
        )
        if sum(cell.rowspan > 1 < cell.colspan for _, _, cell in grid.cells) > 1:
            continue  # two such spans can touch so that docling's export does not tell where one ends
        places = [(r, c, r + cell.rowspan, c + cell.colspan, cell) for r, c, cell in grid.cells]
        cells = [
            TableCell(
                text=cell.text,
                row_span=cell.rowspan,
                col_span=cell.colspan,
                start_row_offset_idx=r,
                end_row_offset_idx=down,
                start_col_offset_idx=c,
                end_col_offset_idx=right,
            )
            for r, c, down, right, cell in places
        ]
        data = TableData(num_rows=grid.shape[0], num_cols=grid.shape[1], table_cells=cells)
        written = TableItem(self_ref="#/tables/0", data=data).export_to_otsl(
            DoclingDocument(name="t"), add_cell_location=False
        )
        assert parse_otsl(written, dialect="docling") == grid, written


def random_grid(
    rng: random.Random, rows: int, columns: int, texts: tuple[str, ...], sizes: tuple[tuple[int, int], ...]
) -> Grid:
    """A table whose cells span as `sizes` say, wherever there is room."""
    taken: set[tuple[int, int]] = set()
    cells: list[tuple[int, int, Cell]] = []
    for row in range(rows):
        for column in range(columns):
            if (row, column) in taken:
                continue
            height, width = rng.choice(sizes)
            height, width = min(height, rows - row), min(width, columns - column)
            while any((row, column + step) in taken for step in range(width)):
                width -= 1
            taken |= {(row + down, column + right) for down in range(height) for right in range(width)}
            cells.append((row, column, Cell(rng.choice(texts), height, width)))
    return Grid.from_cells(rows, columns, cells)


shown = (
    st.text(alphabet=st.sampled_from("aZ09 <>&\"'|\\$.-_*`#\u00e9\u0995\u09cd\u200d表格、\U0001f600"), max_size=8)
    .map(str.strip)
    .filter(lambda text: "$" not in text and "  " not in text)
)


@given(st.integers(1, 6), st.integers(1, 6), st.lists(shown, min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_round_trips(rows: int, columns: int, texts: list[str], rng: random.Random) -> None:
    grid = random_grid(rng, rows, columns, tuple(texts), ((1, 1), (1, 1), (1, 2), (2, 1), (2, 3), (9, 1)))
    otsl, html = grid.to_otsl(), grid.to_html()
    assert parse_otsl(otsl) == grid
    assert parse_html(html) == read_html(html) == grid
    assert html_to_otsl(html) == otsl
    assert otsl_to_html(otsl) == html
    assert Grid.from_cells(rows, columns, grid.cells) == grid
    assert not parse_html(html).warnings


@given(st.text(max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_table_or_an_error(text: str) -> None:
    for variant in (
        text,
        f"<table>{text}</table>",
        f"<table><tr><td>{text}</td></tr></table>",
        f"<table><tr><td {text}>a</td></tr></table>",
    ):
        try:
            grid = parse_html(variant)
        except MarkupError as error:
            assert error.code == "target.html"
            continue
        assert grid == read_html(variant)


@given(st.text(max_size=40).filter(lambda text: text.isprintable()))
@settings(max_examples=300, deadline=None)
def test_any_printable_text_survives_otsl(text: str) -> None:
    grid = Grid.from_rows([["a", text]])
    if any(token in text for token in ("cel>", "<nl>")):
        return
    assert parse_otsl(grid.to_otsl()) == grid


def test_lxml_agrees_on_sound_tables() -> None:
    """Where nothing is broken, libxml2 finds the same cells and texts."""
    from lxml import etree

    rng = random.Random(9)
    for _ in range(300):
        grid = random_grid(
            rng,
            rng.randint(1, 5),
            rng.randint(1, 5),
            ("a", "x &", "<5", "表格", "1 2"),
            ((1, 1), (1, 2), (2, 1), (2, 2)),
        )
        tree = etree.fromstring(grid.to_html(), etree.HTMLParser())
        assert [cell.text for cell in tree.iter("td")] == [cell.text for _, _, cell in grid.cells]
        assert [(cell.get("rowspan", "1"), cell.get("colspan", "1")) for cell in tree.iter("td")] == [
            (str(cell.rowspan), str(cell.colspan)) for _, _, cell in grid.cells
        ]


def test_building_grids() -> None:
    grid = Grid.from_cells(2, 3, [(0, 0, Cell(" A ", 2, 2, header=True)), (1, 2, Cell("\u3000"))])
    assert grid.rows == (("A", None, ""), (None, None, ""))
    assert grid.cells == ((0, 0, Cell("A", 2, 2, header=True)), (0, 2, Cell("")), (1, 2, Cell("")))
    assert Grid.from_rows([["a"], ["b", "c"]]).rows == (("a", ""), ("b", "c"))
    assert Grid.from_rows([]).shape == (0, 0)
    for cells in (
        [(0, 0, Cell("A", 1, 2)), (0, 1, Cell("B"))],
        [(0, 2, Cell("A", 1, 2))],
        [(-1, 0, Cell("A"))],
        [(0, 0, Cell("A", 0, 1))],
    ):
        with pytest.raises(MarkupError) as error:
            Grid.from_cells(2, 3, cells)
        assert error.value.code == "source.shape"


HOSTILE = {
    "slots": '<table><tr><td rowspan="65534" colspan="1000">A</td></tr>' + "<tr></tr>" * 2000 + "</table>",
    "wide": "<table><tr>" + '<td colspan="1000">A</td>' * 2000 + "</tr></table>",
    "tall": (
        '<table><tr><td rowspan="65534">A</td>'
        + '<td rowspan="0">B</td>' * 50
        + "</tr>"
        + "<tr></tr>" * 60000
        + "</table>"
    ),
    "ragged": "<table><tr>" + "<td>A</td>" * 2000 + "</tr>" + "<tr><td>B</td></tr>" * 2000 + "</table>",
}
SOUND = {
    "nested": "<table><tr><td>" + "<div>" * 100_000 + "A",
    "tables": "<table><tr><td>" * 20_000,
    "attribute": f'<table><tr><td title="{"x" * 1_000_000}">A</td></tr></table>',
    "attributes": "<table><tr><td " + 'a="b" ' * 200_000 + ">A</td></tr></table>",
    "spaces": "<table><tr><td>A" + " " * 1_000_000 + "B</td></tr></table>",
    "dollars": "<table><tr><td>" + "$ " * 100_000 + "</td></tr></table>",
    "references": "<table><tr><td>" + "&" * 300_000 + "</td></tr></table>",
    "comments": "<table><tr><td>A" + "<!--" * 100_000 + "</table>",
    "scripts": "<table><tr><td>A" + "<script>" * 100_000,
    "lesser": "<table><tr><td>A" + "<" * 500_000,
    "open": "<table>" + "<tr><td>" * 50_000,
    "unclosed quotes": "<table><tr><td>A</td></tr></table>" + '<td a=">" ' * 100_000,
    "equals": "<table><tr><td " + "= " * 300_000 + ">A</td></tr></table>",
    "title": (
        '<table><tr><td colspan="9" rowspan="0">A</td></tr>'
        + "<tr></tr>" * 50_000
        + "<tbody><tr><td>1</td></tr></table>"
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_bombs_are_refused(name: str) -> None:
    for read in (parse_html, html_to_otsl):
        with pytest.raises(MarkupError) as error:
            read(HOSTILE[name])
        assert error.value.code == "source.too_large"


@pytest.mark.parametrize("name", SOUND)
def test_strange_input_is_read_in_time(name: str) -> None:
    with cpu_limit(60):  # quadratic work takes longer
        assert parse_html(SOUND[name]).cells


@pytest.mark.parametrize(
    "otsl",
    [
        "<fcel>a" * 1001 + "<nl>" + "<fcel>a<nl>" * 1000,
        "<lcel>" * 500_000,
        "<nl>" * 500_000,
        "<fcel>" * 300_000,
        "<fcel>a<nl>" * 200_000,
        "<" * 500_000,
    ],
)
def test_long_answers(otsl: str) -> None:
    for lenient in (True, False):
        try:
            parse_otsl(otsl, lenient=lenient).to_html()
        except MarkupError as error:
            assert error.code in ("target.otsl", "source.too_large")
            assert len(str(error)) < 1000


def test_overlapping_runs_do_not_multiply() -> None:
    size = 900
    otsl = "".join(["<ucel>" * row + "<fcel>a" + "<lcel>" * (size - row - 1) + "<nl>" for row in range(size)])
    with pytest.raises(MarkupError) as error:
        parse_otsl(otsl, lenient=True)
    assert error.value.code == "source.too_large"


def test_irregular_grids_become_regular_otsl() -> None:
    grid = parse_otsl("<fcel>A<lcel><lcel><nl><ucel><fcel>B<ucel><nl>", lenient=True)
    assert grid.to_html() == '<table><tr><td rowspan="2" colspan="3">A</td></tr><tr><td>B</td></tr></table>'
    settled = parse_otsl(grid.to_otsl())
    assert settled.shape == (2, 3)


@pytest.mark.parametrize(
    ("text", "otsl", "place"),
    [
        ("<fcel><fcel>B<nl>", "<ecel><fcel>B<nl>", "row 1, column 1"),
        ("<fcel>A<fcel>\xa0<nl>", "<fcel>A<ecel><nl>", "row 1, column 2"),
        ("<fcel>A<fcel>\u200b<nl>", "<fcel>A<ecel><nl>", "row 1, column 2"),
    ],
)
def test_cell_without_text_is_blank_and_named(text: str, otsl: str, place: str) -> None:
    grid = parse_otsl(text)
    assert (
        grid.to_otsl() == otsl
        and len(grid.warnings) == 1
        and grid.warnings[0].message.startswith(f"{place}: <fcel> without text")
    )
    assert not parse_otsl(otsl).warnings


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("10<sup>5</sup>", r"\( 10^{5} \)"),
        ("3.2 × 10<SUP class='x'>-5</SUP> m<sup>2</sup>", r"3.2 × \( 10^{-5} \) m2"),
        ("H<sub>2</sub>O", "H2O"),
        ("<sup>1</sup>25.3", r"\( ^{1} \)25.3"),
        ("<b>10</b><sup>5</sup>", r"10\( ^{5} \)"),
        ("10<sup><i>5</i></sup>", r"\( 10^{5} \)"),
        ("12<sup>a</sup>", "12a"),
        ("5 <sup>2</sup>", "5 2"),
        ("1,000<sup>2</sup>", r"\( 1,000^{2} \)"),
        ("10<sup>5</sup>10<sup>6</sup>", r"\( 10^{5} \)\( 10^{6} \)"),
        (r"\( x 10<sup>5</sup> \)", r"\( x 105 \)"),
        ("10<sup>&minus;5</sup>", "\\( 10^{−5} \\)"),
        ("101<sub>2</sub>", r"\( 101_{2} \)"),
    ],
)
def test_scripts_beside_digits_never_join_them(html: str, text: str) -> None:
    table = f"<table><tr><td>{html}</td></tr></table>"
    assert html_to_otsl(table) == parse_html(table).to_otsl() == read_html(table).to_otsl() == f"<fcel>{text}<nl>"
