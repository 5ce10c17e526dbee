"""Charts: the training style and the styles of others, there and back."""

from __future__ import annotations

import chart_notations
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.markup import chart
from sft.markup.errors import MarkupError
from sft.markup.text import clean_characters, plain_blanks

ERNIE = (  # the sample of ERNIE's docs/paddleocr_vl_sft_zh.md, shortened
    "  | 22Q3 | 22Q3yoy\n电商 | 85 | 100%\n其他 | 3 | 5%"
)
ROWS = [["", "22Q3", "22Q3yoy"], ["电商", "85", "100%"], ["其他", "3", "5%"]]
DEPLOT = "TITLE | Rural population <0x0A> Year | A | B <0x0A> 2010 | 5 | 6.5%"
UNICHART = "Characteristic | A | B & 2010 | 5 | 6.5% & R & D | 1 | 2"
MILLION = 1_000_000

words = st.text(
    st.characters(blacklist_characters="|&", blacklist_categories=("Cs", "Cc", "Cf", "Co", "Zs", "Zl", "Zp")),
    max_size=6,
).map(lambda value: " ".join(value.replace("<0x0A>", "").split()))
cells = words | st.sampled_from(["1,234.5", "-3 %", '"quoted"', "a, b", "- -", "2010", "---", "\\n", "TITLE"])


@st.composite
def grids(draw: st.DrawFn) -> list[list[str]]:
    """Rows of one width, none wholly blank, and no blank column at the right end."""
    width, height = draw(st.integers(2, 4)), draw(st.integers(1, 5))
    rows = [draw(st.lists(cells, min_size=width, max_size=width)) for _ in range(height)]
    for row in rows:
        if not any(row):
            row[0] = "x"
    if not any(row[-1] for row in rows):
        rows[-1][-1] = "5"
    return [[plain_blanks(clean_characters(cell).replace("\n", " ")).strip() for cell in row] for row in rows]


def error(function: object, *arguments: object) -> MarkupError:
    with pytest.raises(MarkupError) as caught:
        function(*arguments)  # type: ignore[operator]
    return caught.value


def test_the_official_sample() -> None:
    assert chart.parse_rows(ERNIE) == ROWS
    assert chart.to_target(ROWS) == ERNIE
    chart.check(ERNIE)


def test_the_corner_survives_the_trainer() -> None:
    """ERNIEKit strips a target: what is learnt begins with a pipe."""
    assert ERNIE.strip().startswith("| 22Q3")
    assert chart.parse_rows(ERNIE.strip()) == ROWS
    chart.check(ERNIE.strip())
    assert not chart.is_markdown(ERNIE.strip())


@settings(max_examples=600, deadline=None)
@given(grids())
def test_training_style_there_and_back(rows: list[list[str]]) -> None:
    target = chart.to_target(rows)
    assert chart.from_training(target) == rows
    assert chart.from_training(target.strip()) == rows
    assert chart.to_target(chart.from_training(target)) == target
    assert target.count("\n") == len(rows) - 1 and not target.endswith("\n")
    chart.check(target)
    chart.check(target.strip())


@settings(max_examples=600, deadline=None)
@given(grids(), words)
def test_other_styles_there_and_back(rows: list[list[str]], title: str) -> None:
    assert chart.from_markdown(chart_notations.to_markdown(rows)) == rows
    assert chart.from_csv(chart_notations.to_csv(rows)) == rows
    assert chart.from_deplot(chart_notations.to_deplot(rows, title)) == rows
    assert chart.from_unichart(chart_notations.to_unichart(rows)) == rows


@settings(max_examples=300, deadline=None)
@given(grids())
def test_auto_finds_the_style(rows: list[list[str]]) -> None:
    plain = [
        ["x" if not cell or set(cell) & set('"\\-') or cell == "TITLE" else cell for cell in row]
        for row in [*rows, ["r"] * len(rows[0])]
    ]
    for written in (
        chart.to_target(plain),
        chart_notations.to_markdown(plain),
        chart_notations.to_deplot(plain, "t"),
        chart_notations.to_unichart(plain),
        chart_notations.to_csv(plain),
    ):
        assert chart.parse_rows(written) == plain


@pytest.mark.parametrize(
    ("text", "style", "rows"),
    [
        (DEPLOT, "deplot", [["Year", "A", "B"], ["2010", "5", "6.5%"]]),
        ("TITLE | \nYear | A\n2010 | 5", "deplot", [["Year", "A"], ["2010", "5"]]),
        ("Year | A <0x0A> 2010 | 5", "deplot", [["Year", "A"], ["2010", "5"]]),
        (UNICHART, "unichart", [["Characteristic", "A", "B"], ["2010", "5", "6.5%"], ["R & D", "1", "2"]]),
        ("Year \\t A \\n 2010 \\t 5", "structchart", [["Year", "A"], ["2010", "5"]]),
        ('Year,"A, B"\n2010,"1,234"\n', "csv", [["Year", "A, B"], ["2010", "1,234"]]),
        ("Year,A,\n2010,5,\n,,\n", "csv", [["Year", "A"], ["2010", "5"]]),
        ("Year\tA\n2010\t5", "tsv", [["Year", "A"], ["2010", "5"]]),
        ("| Year | A |\n| --- | ---: |\n| 2010 | 5 |", "markdown", [["Year", "A"], ["2010", "5"]]),
        ("Year | A\n--- | ---\n2010 | 5", "markdown", [["Year", "A"], ["2010", "5"]]),
        ("|  | A |\n| 2010 | a\\|b |", "markdown", [["", "A"], ["2010", "a|b"]]),
        ("Year|A\n2010|-", "training", [["Year", "A"], ["2010", "-"]]),
    ],
)
def test_styles(text: str, style: str, rows: list[list[str]]) -> None:
    assert chart.style_of(text) == style
    assert chart.parse_rows(text) == rows
    assert chart.parse_rows(text, style) == rows


def test_what_cannot_be_written() -> None:
    failure = error(chart.to_target, [["Year", "A|B"], ["2010", "5"]])
    assert (failure.code, failure.place) == ("source.inexpressible", "row 1, column 2")
    assert error(chart.to_target, [["Year", "A"], ["2010"]]).code == "target.chart"
    assert error(chart.to_target, [["Year"], ["2010"]]).code == "target.chart"
    assert error(chart.to_target, []).code == "target.empty"
    assert error(chart.to_target, [["", " "], ["\u200b", ""]]).code == "target.empty"


def test_cells_are_one_line_and_numbers_verbatim() -> None:
    assert chart.to_target([["a\n b", " 01,200.50 "], ["\ufeffc", "(3.0)"]]) == "a b | 01,200.50\nc | (3.0)"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "target.empty", "rows"),
        (" \n", "target.empty", "rows"),
        ("no chart", "target.chart", "row 1: no ' | '"),
        ("a | b\nc", "target.chart", "row 2: 1 cells, but row 1 has 2"),
        ("a | b\n\nc | d | e", "target.chart", "row 2: 3 cells"),
    ],
)
def test_check(text: str, code: str, words: str) -> None:
    failure = error(chart.check, text)
    assert failure.code == code
    assert words in str(failure)


def test_markdown_is_known_by_its_ruler_or_its_pipes() -> None:
    assert chart.is_markdown("| a | b |\n| c | d |") and chart.is_markdown("a | b\n:-- | --:\nc | d")
    assert (
        not chart.is_markdown("| a | b\nc | d | e")
        and not chart.is_markdown("a | b\n- 5 | 3")
        and not chart.is_markdown("")
    )


@settings(max_examples=500, deadline=None)
@given(
    st.text(st.characters() | st.sampled_from('|&\n\t-,"\\ '))
    | st.lists(
        st.sampled_from(["|", " | ", " & ", "<0x0A>", "\\n", "\\t", "a", "\n", ",", '"', "---", "\0", "\r"]),
        max_size=20,
    ).map("".join),
    st.sampled_from(["auto", *chart.STYLES]),
)
def test_nothing_else_is_raised(text: str, style: str) -> None:
    for function in (lambda value: chart.to_target(chart.parse_rows(value, style)), chart.check):
        try:
            function(text)
        except MarkupError as failure:
            assert failure.code in ("target.empty", "target.chart", "source.inexpressible", "source.syntax")


@pytest.mark.parametrize(
    "piece",
    [
        "|",
        "a|",
        "| - ",
        "| -",
        "-",
        " ",
        "|\n",
        " & ",
        "a & ",
        "<0x0A>",
        '"',
        ",",
        "\\n\\t",
        "\\|",
        "a\n",
        ":-",
        "\u200b|",
    ],
)
def test_long_charts(piece: str) -> None:
    text = piece * (MILLION // 4 // len(piece))
    for style in ("auto", *chart.STYLES):
        try:
            chart.to_target(chart.parse_rows(text, style))
        except MarkupError as failure:
            assert failure.code in ("target.empty", "target.chart", "source.inexpressible", "source.syntax")
    chart.is_markdown("a|b\n" + text)
    assert error(chart.parse_rows, text * 5).code in ("source.too_large", "target.empty")
