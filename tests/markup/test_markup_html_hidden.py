"""What a browser does not show of a table is no text: golden cases, a property, the fast way, and Chromium itself."""

from __future__ import annotations

import html
import json
import random
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from browser import FLAGS
from hypothesis import given, settings
from hypothesis import strategies as st
from places import TESTS
from waiting import PATIENCE

from sft.markup.html import html_to_otsl, parse_html, read_html
from sft.markup.html_fast import fast_grid, fast_otsl
from sft.markup.html_hidden import without_hidden

GOLDEN: list[dict[str, Any]] = json.loads(
    (TESTS / "golden/markup/hidden_html.json").read_text("utf-8")
)  # as Chromium shows them
SORT_KEY = '<span style="display:none" class="sortkey">7004279940000000000&#9824;</span>'
HIDDEN = (
    SORT_KEY,
    "<b hidden>x</b>",
    "<i style='DISPLAY : none!important'>x<u>y</u></i>",
    "<script>x</script>",
    "<noscript>x</noscript>",
    "<template>x</template>",
    "<datalist><option>x</datalist>",
    "<dialog>x</dialog>",
    "<rp>(</rp>",
    "<!-- x -->",
    "<style>td{color:red}</style>",
    '<span style="font-size:0">x</span>',
    "<details hidden open>x</details>",
    "<title>x</title>",
)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: str(case["html"])[:60])
def test_golden(case: dict[str, Any]) -> None:
    grid = parse_html(case["html"])
    assert [[text for text in row if text is not None] for row in grid.rows] == case["rows"]
    assert html_to_otsl(case["html"]) == read_html(case["html"]).to_otsl()


def test_there_are_cases_of_every_kind() -> None:
    said = " ".join(case["html"] for case in GOLDEN)
    assert len(GOLDEN) > 80
    assert all(
        kind in said
        for kind in (
            "display:none",
            " hidden",
            "visibility:hidden",
            "<rp>",
            "<noscript>",
            "<datalist>",
            "<dialog>",
            "<details>",
            "<style>",
        )
    )


TEXTS = st.sampled_from(
    [
        "27,994",
        "a",
        "表",
        "R&amp;D",
        "<b>x</b>y",
        "m<sup>2</sup>",
        "10<sup>5</sup>",
        "a<br>b",
        "",
        "$x^2$",
        "1&nbsp;000",
    ]
)


@given(
    st.lists(st.lists(st.tuples(TEXTS, st.sampled_from(HIDDEN), TEXTS), min_size=2, max_size=2), min_size=1, max_size=4)
)
@settings(max_examples=300, deadline=None)
def test_hidden_pieces_change_nothing(rows: list[list[tuple[str, str, str]]]) -> None:
    def table(hidden: bool) -> str:
        lines = [
            "".join([f"<td>{before}{piece if hidden else ''}{after}</td>" for before, piece, after in row])
            for row in rows
        ]
        return "<table>" + "".join([f"<tr>{line}</tr>" for line in lines]) + "</table>"

    assert parse_html(table(True)) == parse_html(table(False))
    assert parse_html(table(True).replace("</table>", "<tr hidden><td>x</td></tr></table>")) == parse_html(table(False))


ATTRIBUTES = (
    "hidden",
    "HIDDEN",
    'style="display:none"',
    "style='visibility:hidden'",
    'style="opacity:0"',
    'STYLE="display: none"',
    'style="font-size:0"',
)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize("tag", ["table", "tr", "td", "th", "sup"])
def test_the_fast_way_leaves_what_may_be_hidden(tag: str, attribute: str) -> None:
    shown = (
        '<table><tr class="a"><td>1</td><th>2<sup>5</sup></th></tr><tr'
        ' class="a"><td>3</td><td>4</td></tr></table><table><tr><td>B</td></tr></table>'
    )
    table = shown.replace(f"<{tag}", f"<{tag} {attribute}", 1)
    assert html_to_otsl(table) == read_html(table).to_otsl() == parse_html(table).to_otsl()
    assert fast_otsl(table) is None and fast_grid(table) is None
    assert html_to_otsl(table) != html_to_otsl(shown) or (tag == "table" and attribute == "style='visibility:hidden'")


def test_ordinary_styles_take_the_fast_way() -> None:
    table = (
        '<table style="width:50%"><tr style="color:red"><td style="text-align:right">1</td><td'
        ' style="border:0">2</td></tr></table>'
    )
    assert fast_otsl(table) == read_html(table).to_otsl() == "<fcel>1<fcel>2<nl>"


KATEX = (
    '<span class="katex-mathml"><math><semantics><mi>x</mi><annotation encoding="application/x-tex">x^2</annotation>'
    '</semantics></math></span><span class="katex-html">x2</span>'
)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (KATEX, r"\( x^2 \)"),
        (
            (
                r'<span style="display: none;"><math alttext="{\displaystyle x^{2}}"></math></span><img'
                r' class="mwe-math-fallback-image-inline" alt="{\displaystyle x^{2}}">'
            ),
            r"\( x^{2} \)",
        ),
        ('<span style="visibility:hidden">0</span>7', "7"),
        ('1<span style="visibility:hidden">0</span>7', "1 7"),
        ('<img alt="a chart" class="photo">', ""),
    ],
)
def test_formulas_and_gaps(cell: str, text: str) -> None:
    assert read_html(f"<table><tr><td>{cell}</td><td>z</td></tr></table>").rows == ((text, "z"),)


SOUND = {
    "nested": "<div hidden>" * 100_000,
    "ends": "<b><div hidden>" + "<i>" * 50_000 + "</b>" * 50_000,
    "cells": "<table><tr hidden>" + "<td><b>" * 50_000 + "</i>" * 50_000,
    "attributes": f"<b hidden {'a' * 500_000}>",
    "equals": "<b hidden " + "= " * 200_000 + ">",
    "styles": "<style>" + "a{display:none}" * 50_000 + "</style><b hidden>",
    "braces": "<b hidden></b><style>" + "{" * 200_000 + "</style>",
    "css": "<b hidden></b><style>" + "x" * 900_000 + "</style>",
    "classes": f'<style>.a .b{{display:none}}</style><b hidden class="{"a " * 200_000}">',
}


@pytest.mark.parametrize("name", SOUND)
def test_strange_documents_take_linear_time(name: str) -> None:
    assert (
        without_hidden(SOUND[name] + "<table><tr><td>A") is not None
    )  # quadratic work would run into the time limit of the suite


ANY = ("div", "ul", "li", "details", "details open", "dialog", "dialog open", "dl", "dt", "dd", "section")
INLINE = ("b", "span", "i", "font", "u")
LOOKS = (
    "",
    "",
    "",
    " hidden",
    ' style="display:none"',
    ' style="visibility:hidden"',
    ' style="visibility:visible"',
    " class=h",
    ' class="h g"',
    " class=v",
    ' style="display:block"',
    ' style="color:red"',
)
STYLES = (
    "",
    "",
    "<style>.h{display:none}</style>",
    "<style>.v{visibility:hidden}td .g{display:none}</style>",
    "<style>b.h > i, #x{display:none}</style>",
    "<style>.v{display:block!important}</style>",
)


def content(rng: random.Random, depth: int = 0, inline: bool = False) -> str:
    """Well-formed content of a cell."""
    parts = []
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.5 or depth > 3:
            parts.append(
                rng.choice(
                    [
                        "x",
                        "y ",
                        "12",
                        "&amp;",
                        "<br>",
                        "<ruby>漢<rp>(</rp><rt>k</rt><rp>)</rp></ruby>",
                        "<datalist>q</datalist>",
                        "<noscript>q</noscript>",
                    ]
                )
            )
            continue
        tag = (
            rng.choice(INLINE)
            if inline
            else rng.choice([*INLINE, *(one for one in ANY if one not in ("li", "dt", "dd"))])
        )
        name = tag.split()[0]
        inner = content(rng, depth + 1, inline or name in INLINE)
        if name in ("ul", "dl"):
            inner = "".join(
                [
                    f"<{one}{rng.choice(LOOKS)}>{content(rng, depth + 1)}</{one}>"
                    for one in [["li"], ["dt", "dd"]][name == "dl"]
                ]
            )
        summary = f"<summary{rng.choice(LOOKS)}>s</summary>" if name == "details" and rng.random() < 0.7 else ""
        parts.append(f"<{tag}{rng.choice(LOOKS)}>{summary}{inner}</{name}>")
    return "".join(parts)


def document(rng: random.Random) -> str:
    rows = [
        "".join([f"<td{rng.choice(LOOKS)}>{content(rng)}{rng.choice(['</td>', ''])}" for _ in range(rng.randint(1, 3))])
        for _ in range(rng.randint(1, 3))
    ]
    return (
        f"{rng.choice(STYLES)}<table{rng.choice(LOOKS)}>"
        + "".join([f"<tr{rng.choice(LOOKS)}>{row}{rng.choice(['</tr>', ''])}" for row in rows])
        + "</table>"
    )


SCOUT = """
const seen = [], shown = element => element.getClientRects().length > 0;
for (const text of TABLES) {
  const host = document.createElement("div");
  document.body.append(host);
  host.attachShadow({mode: "open"}).innerHTML = text;
  const isThere = one => getComputedStyle(one).display !== "none" && shown(one);
  const table = [...host.shadowRoot.querySelectorAll("table")].find(isThere);
  const texts = row => [...row.cells].filter(shown).map(cell => cell.innerText);
  seen.push(table ? [...table.rows].filter(shown).map(texts) : []);
  host.remove();
}
const note = document.createElement("pre");
note.id = "seen";
note.textContent = JSON.stringify(seen);
document.body.replaceChildren(note);
"""


def browsed(browser: str, tables: Sequence[str], folder: Path) -> list[list[list[str]]]:
    """The texts of the cells of each table that Chromium shows."""
    page = folder / "page.html"
    script = SCOUT.replace("TABLES", json.dumps(tables).replace("</", "<\\/"))
    page.write_text(f"<!doctype html><meta charset=utf-8><body><script>{script}</script>", "utf-8")
    done = subprocess.run(
        [browser, *FLAGS, "--dump-dom", f"--user-data-dir={folder / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))  # type: ignore[no-any-return]


def letters(rows: Sequence[Sequence[str | None]]) -> list[list[str]]:
    """The texts without white space, and without what only fills a row or the table."""
    lines = [["".join((text or "").split()) for text in row] for row in rows]
    for line in lines:
        while line and not line[-1]:
            line.pop()
    return [line for line in lines if line]


def test_chromium_shows_the_same(chromium: str, tmp_path: Path) -> None:
    rng = random.Random(5)
    tables = [document(rng) for _ in range(400)]
    for table, rows in zip(tables, browsed(chromium, tables, tmp_path), strict=True):
        ours = read_html(table + "<table><tr><td></td></tr></table>").rows  # where all is hidden, a blank table is left
        assert letters(ours) == letters(rows), table
