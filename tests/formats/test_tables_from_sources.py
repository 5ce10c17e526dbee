"""Tables as sources have them, from the command to the target: what a browser hides, Markdown, CSV, spans that reach
too far, entities, workbooks.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from places import TESTS

from sft.cli.convert import convert
from sft.formats.pubtabnet import build, content
from sft.formats.shared import docling_labels
from sft.markup.cell_text import cell_text
from sft.markup.grid import Cell, Grid
from sft.markup.html import parse_html
from sft.markup.otsl import parse_otsl
from sft.markup.text import plain_blanks

GOLDEN = TESTS / "golden" / "tables"


def converted(*words: object) -> tuple[list[str], str]:
    """(targets, what was said) of a conversion into `out.jsonl` beside its source."""
    out = Path(str(words[1])).parent / "out.jsonl"
    done = CliRunner().invoke(convert, [*map(str, words), "-o", str(out)])
    assert done.exit_code == 0, done.output
    return [json.loads(line)["text_info"][1]["text"] for line in out.read_text("utf-8").splitlines()], done.stderr


def written(folder: Path, name: str, text: str, *images: str) -> Path:
    for image in images or ("a.png",):
        Image.new("RGB", (600, 200), "white").save(folder / image)
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_sort_key_that_nobody_sees(tmp_path: Path) -> None:
    html = (
        '<table><tr><td>Norby</td><td><span style="display:none"'
        ' class="sortkey">7004279940000000000&#9824;</span>27,994</td></tr></table>'
    )
    path = written(tmp_path, "tables.jsonl", json.dumps({"file_name": "a.png", "html": html}))
    assert converted("hf", path)[0] == ["<fcel>Norby<fcel>27,994<nl>"]


def test_markdown(tmp_path: Path) -> None:
    text = (
        'file_name,markdown\na.png,"| name | value |\n| --- | --- |\n| max\\_len | 5\\*3 |\n| **Total** | 273\\.879'
        ' |\n| price | US\\$3 |\n"\n'
    )
    targets, said = converted("hf", written(tmp_path, "tables.csv", text), "--markup", "markdown")
    assert targets == [
        "<fcel>name<fcel>value<nl><fcel>max_len<fcel>5*3<nl><fcel>Total<fcel>273.879<nl><fcel>price<fcel>US$3<nl>"
    ]
    assert "warning" not in said


def test_semicolons(tmp_path: Path) -> None:
    text = 'file_name,text\na.png,"Ware;Preis;Menge\nApfel;1,50;3\nBirne;2,75;4\n"\n'
    targets, said = converted("csv", written(tmp_path, "tables.csv", text), "--task", "table", "--markup", "csv")
    assert targets == [
        "<fcel>Ware<fcel>Preis<fcel>Menge<nl><fcel>Apfel<fcel>1,50<fcel>3<nl><fcel>Birne<fcel>2,75<fcel>4<nl>"
    ]
    assert "warning" not in said


def test_a_chart_with_semicolons(tmp_path: Path) -> None:
    path = written(tmp_path, "charts.csv", 'file_name,text\na.png,"Jahr;Wert\n2020;1,5\n2021;2,5\n"\n')
    assert converted("csv", path, "--task", "chart")[0] == ["Jahr | Wert\n2020 | 1,5\n2021 | 2,5"]


def test_rows_that_lack_cells(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "ragged.gt.txt", tmp_path / "gt.txt")
    Image.new("RGB", (60, 20), "white").save(tmp_path / "a.png")
    targets, said = converted("pubtabnet", tmp_path / "gt.txt")
    assert targets == ["<fcel>K<fcel>2023<fcel>2024<ecel><ecel><nl><fcel>a<fcel>1<fcel>2<fcel>3<fcel>4<nl>"]
    assert "table.ragged in 1 row" in said


def test_docling(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "docling_spans.json", tmp_path / "doc.json")
    Image.new("RGB", (600, 200), "white").save(tmp_path / "page_1.png")
    targets, said = converted("docling", tmp_path / "doc.json")
    assert targets == [
        "<fcel>2025<fcel>May<nl><ucel><fcel>June<nl>",
        r"<fcel>area<fcel>\( A= \pi r^{2} \)<nl><fcel>net income<fcel>a b<nl>",
    ]
    assert "table.span in 1 row" in said


@pytest.mark.parametrize("source", ["shown.xlsx", ".", "list.csv"])
def test_a_workbook(source: str, tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "shown.xlsx", tmp_path / "shown.xlsx")
    written(tmp_path, "list.csv", "file_name,text\nshown.png,shown.xlsx\n", "shown.png")
    words = (
        ["csv", tmp_path / "list.csv", "--task", "table"]
        if source == "list.csv"
        else ["xlsx", tmp_path / source / "."]
        if source == "."
        else ["xlsx", tmp_path / source]
    )
    out = tmp_path / "out.jsonl"
    done = CliRunner().invoke(convert, [*map(str, words), "-o", str(out)])
    assert done.exit_code == 0, done.output
    (row,) = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    rows = [[text or "" for text in line] for line in parse_otsl(row["text_info"][1]["text"]).rows]
    assert len(rows) == 15 and all(shown == value for shown, value in rows[1:])
    assert "table." not in done.stderr


def test_a_label_that_names_a_workbook_which_changes(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.worksheets[0]["A1"] = "before"
    book.save(tmp_path / "t.xlsx")
    path = written(tmp_path, "list.csv", "file_name,text\na.png,t.xlsx\na.png,../t.xlsx\na.png,none.xlsx\n")
    assert converted("csv", path, "--task", "table")[0] == ["<fcel>before<nl>"]
    codes = [json.loads(line)["code"] for line in (tmp_path / "out.rejects.jsonl").read_text("utf-8").splitlines()]
    assert codes == ["source.outside", "source.shape"]
    book.worksheets[0]["A1"] = "after that"
    book.save(tmp_path / "t.xlsx")
    assert converted("csv", path, "--task", "table")[0] == ["<fcel>after that<nl>"]


PAGE = (
    '<PcGts><Page imageFilename="a.png" imageWidth="600" imageHeight="200"><TableRegion id="t">'
    '<Coords points="0,0 90,0 90,90 0,90"/>{}</TableRegion></Page></PcGts>'
)
TABLE_CELL = (
    '<TableCell row="{}" col="{}" rowSpan="{}" colSpan="{}"><TextEquiv><Unicode>{}</Unicode></TextEquiv></TableCell>'
)


def test_page_tables(tmp_path: Path) -> None:
    cells = [
        (0, 0, 4, 1, "2025"),
        (0, 1, 1, 1, "$A= \\pi r^{2}$"),
        (1, 1, 1, 3, "net\tincome  1\u00a0000"),
        (1, 4, 1, 1, "R&amp;amp;D"),
    ]
    path = written(tmp_path, "a.xml", PAGE.format("".join([TABLE_CELL.format(*cell) for cell in cells])))
    targets, said = converted("page-xml", path, "--task", "table")
    assert targets == [
        r"<fcel>2025<fcel>\( A= \pi r^{2} \)<ecel><ecel><ecel><nl><ucel><fcel>net income 1 000<lcel><lcel><fcel>R&D<nl>"
    ]
    assert "table.span" in said and "table.reference" in said


def test_entities_of_pubtabnet() -> None:
    def cell(tokens: Any) -> str:
        return parse_html(build(["<tr>", "<td>", "</td>", "</tr>"], [tokens])).rows[0][0] or ""

    assert cell(["p", " ", "&lt;", " ", "5"]) == "p < 5"
    assert cell(["R", "&amp;", "D"]) == "R&D"
    assert cell(["&#177;", "2", "&nbsp;", "x"]) == "±2 x"
    assert cell(["<b>", "&gt;", "</b>"]) == ">"
    assert cell(list("&lt;")) == "&lt;"  # single characters stand for themselves
    assert cell("R&amp;D < 5") == "R&D < 5"
    assert cell(["&lt;b&gt;x"]) == "<b>x"
    assert content(["&lt;fcel&gt;"], 1) == "&lt;fcel&gt;"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1\u00a0000", "1 000"),
        ("1\u202f000", "1 000"),
        ("a\tb", "a b"),
        ("a \u2003 b", "a b"),
        ("東\u3000京", "東\u3000京"),
        ("a\u2009%", "a %"),
        ("a  b", "a b"),
        ("plain", "plain"),
        ("a\nb", "a\nb"),
        ("\u205fa", " a"),
    ],
)
def test_what_looks_like_a_blank_is_one(text: str, plain: str) -> None:
    assert plain_blanks(text) == plain == plain_blanks(plain)
    shown = " ".join(plain.replace("\u3000", "\0").split()).replace("\0", "\u3000")
    cells = [
        cell_text(text),
        parse_html(f"<table><tr><td>{text}</td></tr></table>").rows[0][0],
        Grid.from_rows([[text]]).tidied().rows[0][0],
    ]
    assert cells == [shown] * 3


blanks = st.text(alphabet="a1表\u00a0\u2003\u202f\u3000 \t\n", max_size=8)


@given(blanks)
@settings(max_examples=300, deadline=None)
def test_cells_have_plain_blanks_only(text: str) -> None:
    shown = cell_text(text)
    assert not set(shown) & set("\u00a0\u2003\u202f\t\n") and "  " not in shown and cell_text(shown) == shown
    assert [sign for sign in shown if sign not in " \u3000"] == [sign for sign in text if sign in "a1表"]


@given(st.integers(1, 4), st.integers(1, 4), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_docling_core_lays_tables_out_the_same(rows: int, columns: int, rng: random.Random) -> None:
    """Where spans reach past the table docling-core cuts them, too: its grid is the judge."""
    from docling_core.types.doc.items.table.table_data import TableCell, TableData

    taken: set[tuple[int, int]] = set()
    cells = []
    for row in range(rows):
        for column in range(columns):
            if (row, column) in taken:
                continue
            height, width = rng.choice([(1, 1), (1, 1), (2, 1), (1, 2), (2, 2), (9, 1), (1, 9)])
            while any((row + down, column + step) in taken for step in range(width) for down in range(height)):
                height, width = (1, 1) if width == 1 else (height, width - 1)
            taken |= {(row + down, column + right) for down in range(height) for right in range(width)}
            ends = row + height, column + width
            cells.append(
                TableCell(
                    text=f"{row}.{column}",
                    row_span=height,
                    col_span=width,
                    start_row_offset_idx=row,
                    end_row_offset_idx=ends[0],
                    start_col_offset_idx=column,
                    end_col_offset_idx=ends[1],
                )
            )
    data = TableData(num_rows=rows, num_cols=columns, table_cells=cells)
    ((_, grid, _, _),) = docling_labels.labels_of("tables", {"data": data.model_dump(mode="json"), "prov": [{}]}, {})
    assert isinstance(grid, Grid)
    expected = [[cell.text for cell in line] for line in data.grid]
    assert grid.filled("repeat") == expected


def test_sparse_grids() -> None:
    grid = Grid.from_sparse([(0, 0, Cell("a", 3, 1)), (0, 1, Cell("b"))])
    assert grid.rows == (("a", "b"),) and not grid.spans
    assert [warning.code for warning in grid.warnings] == ["table.span"]
    blank = Grid.from_sparse([(0, 0, Cell("a"))], rows=2, columns=2)
    assert blank.rows == (("a", ""), ("", "")) and not blank.warnings
