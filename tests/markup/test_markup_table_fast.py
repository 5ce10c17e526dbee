"""The fast way from HTML to OTSL gives what the grid gives, on tables of every kind and on broken ones."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sft.markup.errors import MarkupError
from sft.markup.html import html_to_otsl, parse_html, read_html
from sft.markup.html_fast import fast_grid, fast_otsl
from sft.markup.otsl import parse_otsl

TEXTS = (
    "",
    "a",
    "net income",
    " x",
    "x ",
    "a  b",
    "\n a\n",
    "实存\n数量",
    "数 量",
    "&nbsp;",
    "&#160;",
    "A&nbsp;B",
    "&nbsp;A",
    "R&amp;D",
    "&lt;5",
    "p &lt; 0.05",
    "&amp;lt;",
    "AT&T",
    "&copy;",
    "&quot;q&quot;",
    "&#x27;",
    "&lt;fcel&gt;",
    "&lt;nl&gt;",
    "$5",
    "$5 and $10",
    "$x^2$",
    "\\( x \\)",
    "\u200b",
    "\u3000",
    "\xa0x",
    "ক্\u200dষ",
    "ক্\u200c",
    "\x0b",
    "\x1f",
    "x > y",
    "x < y",
    "\u2800",
    "<b>bold</b>",
    "m<sup>2</sup>",
    "a<br>b",
    "a<br/>b",
    "<i>x</i> y",
    "<p>one</p><p>two</p>",
    "<td>",
    "</td>",
    "</tr>",
    "<tr>",
    "<fcel>",
    "<!-- c -->",
    "&am<b></b>p;",
    "<B>X</B>",
    "a\tb",
    "ﬁ①",
)
PLAIN = ("", "a", "net income", "12.5 %", "R&amp;D", "p &lt; 0.05", "表格", "ক্\u200dষ", "$5")
ATTRIBUTES = (
    "",
    "",
    "",
    ' rowspan="2"',
    ' colspan="2"',
    ' colspan="3" rowspan="2"',
    " rowspan=2",
    " colspan='2'",
    ' rowspan="0"',
    ' colspan="0"',
    ' colspan="x"',
    ' rowspan="9"',
    ' class="a"',
    ' style="x: y"',
    ' colspan = "2"',
    ' colspan="2',
    ' title="a>b"',
    " a=\"'\" b='\"'",
    ' x" a="',
    "  colspan=2",
    "\ncolspan=2",
    ' COLSPAN="2"',
    "/",
    ' colspan="2"/',
    ' colspan="&#50;"',
    ' rowspan="-1"',
    ' rowspan=" 2px"',
    " colspan",
)
JOINTS = ("", "", "", "", "\n", "  ", "\n\t", "junk", "&nbsp;", "<!-- -->")


def table(rng: random.Random, texts: tuple[str, ...], attributes: tuple[str, ...], joints: tuple[str, ...]) -> str:
    """Rows of cells in groups; with more or less wild pieces."""
    parts = [
        rng.choice(
            [
                "<table>",
                "<table>",
                "<table>",
                '<table border="1">',
                "<table border=1 class='x y'>",
                "<TABLE>",
                "\n<table >",
            ]
        )
    ]
    columns = rng.randint(1, 4)
    groups = rng.choice(
        [[""], [""], ["thead", "tbody"], ["tbody"], ["thead", ""], ["tbody", "tfoot"], ["thead", "tbody", "tbody"]]
    )
    for group in groups:
        parts += [f"<{group}>" if group else "", rng.choice(joints)]
        for _ in range(rng.randint(0 if len(joints) > 4 else 1, 3)):
            parts += [
                (
                    rng.choice(["<tr>", "<tr>", "<tr>", '<tr class="odd">', "<tr class=odd>"])
                    if len(joints) > 4
                    else "<tr>"
                )
            ]
            for _ in range(columns if rng.random() < 0.9 else rng.randint(0, 5)):
                name = rng.choice(["td", "td", "td", "th"])
                parts += [rng.choice(joints), f"<{name}{rng.choice(attributes)}>{rng.choice(texts)}</{name}>"]
            parts += [rng.choice(joints), "</tr>"]
        parts += [rng.choice(joints), f"</{group}>" if group else ""]
    return "".join([*parts, rng.choice(["</table>", "</table>", "</table>", "</table>\n", "", "</table>tail"])])


def slow(text: str) -> str:
    try:
        return read_html(text).to_otsl()
    except MarkupError as error:
        return f"{error.code} {error}"


def same_grid(text: str) -> bool:
    """The short cut to the grid gives the grid, headings and all, if it gives any."""
    grid = fast_grid(text)
    if grid is not None:
        slowly = read_html(text)
        assert grid == slowly, text
        assert not slowly.warnings
    return grid is not None


def quick(text: str) -> str:
    try:
        return html_to_otsl(text)
    except MarkupError as error:
        return f"{error.code} {error}"


LONG = f'<table class="{"x" * 4000}">'
KINDS = [
    (TEXTS, ATTRIBUTES, JOINTS, 1),
    (PLAIN, ATTRIBUTES[:12], ("",), 2),
    (PLAIN, ATTRIBUTES, JOINTS[:6], 3),
    (TEXTS, ATTRIBUTES[:6], ("",), 4),
]


@pytest.mark.parametrize(("texts", "attributes", "joints", "seed"), KINDS)
def test_the_fast_way_is_the_slow_way(
    texts: tuple[str, ...], attributes: tuple[str, ...], joints: tuple[str, ...], seed: int
) -> None:
    rng = random.Random(seed)
    taken = 0
    for _ in range(4000):
        text = table(rng, texts, attributes, joints)
        assert quick(text) == slow(text), text
        assert same_grid(text) == (fast_otsl(text) is not None) or "&lt;" in text
        taken += fast_otsl(text) is not None
        if text.startswith("<table>"):  # long texts are looked through in another way
            long = text.replace("<table>", LONG, 1)
            assert quick(long) == slow(long), text
            assert same_grid(long) == same_grid(text)
    assert taken > (10 if seed in (1, 4) else 150)


PIECES = (
    *TEXTS,
    "<td>",
    "</td>",
    "<tr>",
    "</tr>",
    "<td",
    ">",
    ' rowspan="2"',
    ' colspan="2"',
    "<table>",
    "</table>",
    "<tbody>",
    "</tbody>",
    "</td><td>",
    "</td></tr><tr><td>",
)


@given(st.lists(st.sampled_from(PIECES), max_size=30))
@settings(max_examples=1500, deadline=None)
@example(["<tr><td", "</td><td>", "a>b", "</td></tr>"])
@example(["<tr><td>", "</td><td", ">", "</td></tr>"])
@example(['<tr><td rowspan="2"', "</td><td>", "a>b", "</td></tr>"])
def test_any_pieces_of_a_table(pieces: list[str]) -> None:
    for text in ("<table>" + "".join(pieces) + "</table>", "<table><tr><td>" + "".join(pieces) + "</td></tr></table>"):
        assert quick(text) == slow(text)
        same_grid(text)


ORDINARY = (
    '<table><tr><td rowspan="2" colspan="2">A</td><td>B</td></tr><tr><td>C</td></tr></table>',
    "<table><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td>R&amp;D</td><td></td></tr></tbody></table>",
    '<table border="1">\n  <tr class="odd">\n    <td>A</td>\n    <td>12 %</td>\n  </tr>\n</table>\n',
    "<table><tr><td>&nbsp;</td><td>表</td></tr></table>",
    "<table><tr><td>$5</td><td>$6</td></tr></table>",
)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_tables_take_the_fast_way(text: str) -> None:
    assert fast_otsl(text) == slow(text)
    assert same_grid(text)


@pytest.mark.parametrize(
    "text",
    [
        "<table><tr><td>m<sup>2</sup> <b>x</b></td><td>a<br>b</td></tr></table>",
        "<table><tr><td>实<br>存</td><td>a</td></tr></table>",
    ],
)
def test_simple_inline_markup(text: str) -> None:
    assert html_to_otsl(text) == slow(text)
    assert html_to_otsl(text, sub_sup="latex") == parse_html(text, sub_sup="latex").to_otsl()


@given(st.lists(st.lists(st.sampled_from(PLAIN[1:6]), min_size=3, max_size=3), min_size=1, max_size=6))
def test_rows_without_spans(rows: list[list[str]]) -> None:
    text = (
        "<table>"
        + "".join(["<tr>" + "".join([f"<td>{cell}</td>" for cell in row]) + "</tr>" for row in rows])
        + "</table>"
    )
    otsl = fast_otsl(text)
    assert otsl is not None
    assert parse_otsl(otsl).shape == (len(rows), 3)
    assert otsl == slow(text)
