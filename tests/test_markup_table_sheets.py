"""Markdown, CSV and Excel sheets as tables, there and back, and files that are none."""

from __future__ import annotations

import datetime
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.markup.errors import MarkupError
from sft.markup.grid import Cell, Grid
from sft.markup.markdown_csv import parse_csv, parse_markdown
from sft.markup.xlsx import parse_xlsx

texts = (
    st.text(alphabet=st.sampled_from("aZ0 |\\,;\t\"'<>&-:#*`表é\u200d"), max_size=6)
    .map(lambda text: " ".join(text.split()))
    .filter(lambda text: text.strip("\u200d") or not text)
)
tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(texts, min_size=width, max_size=width), min_size=1, max_size=5)
)


@given(tables)
@settings(max_examples=400, deadline=None)
def test_markdown_there_and_back(rows: list[list[str]]) -> None:
    grid = Grid.from_rows(rows, header=True)
    assert parse_markdown(grid.to_markdown()) == grid
    assert parse_markdown("text\n\n" + grid.to_markdown() + "\nmore text\n") == grid


@given(tables, st.sampled_from(",;\t|"))
@settings(max_examples=400, deadline=None)
def test_csv_there_and_back(rows: list[list[str]], delimiter: str) -> None:
    grid = Grid.from_rows(rows)
    assert parse_csv(grid.to_csv(delimiter=delimiter), delimiter) == grid


def test_spans_need_a_decision() -> None:
    grid = Grid.from_cells(2, 2, [(0, 0, Cell("T", 1, 2)), (1, 0, Cell("a")), (1, 1, Cell("b"))])
    for write in (grid.to_markdown, grid.to_csv):
        with pytest.raises(MarkupError, match="row 1, column 1") as error:
            write()
        assert error.value.code == "source.inexpressible"
    assert grid.to_csv(spans="blank") == "T,\na,b\n"
    assert grid.to_markdown(spans="repeat") == "| T | T |\n| --- | --- |\n| a | b |\n"


def test_line_breaks_cannot_be_written() -> None:
    for write in (Grid.from_rows([["a\nb"]]).to_markdown, Grid.from_rows([["a\nb"]]).to_csv):
        with pytest.raises(MarkupError) as error:
            write()
        assert error.value.code == "source.inexpressible"


MARKDOWN = [
    ("| a | b |\n|---|---|\n| 1 | 2 |", [["a", "b"], ["1", "2"]]),
    ("a | b\n:-- | --:\n1 | 2\n\nnot | this", [["a", "b"], ["1", "2"]]),
    ("| a \\| b | c |\n| - | - |\n| `x` |", [["a | b", "c"], ["`x`", ""]]),
    ("text\n\n| a |\n|---|\n| 实<br>存 |\n| x<br/>y |\n", [["a"], ["实存"], ["x y"]]),
    ("| $x^2$ | $5 |\r\n|---|---|\r\n| &lt;5 | AT&T |\r\n", [["\\( x^2 \\)", "$5"], ["<5", "AT&T"]]),
    ("```\n| no | table |\n|---|---|\n```\n| a |\n|---|\n", [["a"]]),
    ("| a | b |\n|---|---|\n| 1 | 2 | 3 |", [["a", "b", ""], ["1", "2", "3"]]),
]


@pytest.mark.parametrize(("text", "rows"), MARKDOWN)
def test_markdown(text: str, rows: list[list[str]]) -> None:
    grid = parse_markdown(text)
    assert grid == Grid.from_rows(rows, header=True)


def test_markdown_warnings() -> None:
    assert "widened" in parse_markdown(MARKDOWN[-1][0]).warnings[0]
    assert "emphasis" in parse_markdown("| **a** |\n|---|\n").warnings[0]
    assert not parse_markdown("| 2 * 3 * 4 | snake_case_name |\n|---|---|\n").warnings


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a | b",
        "| a | b |\n| 1 | 2 |",
        "| a | b |\n|---|\n",
        "---|---\n",
        "|" * 100_000,
        "-|" * 100_000 + "\n" + "-|" * 3,
    ],
)
def test_no_markdown_table(text: str) -> None:
    with pytest.raises(MarkupError) as error:
        parse_markdown(text)
    assert error.value.code == "source.syntax"


CSV = [
    ("a,b\n1,2\n", None, [["a", "b"], ["1", "2"]]),
    ('\ufeffa;b\r\n"1,5";"x;""y"""\r\n', None, [["a", "b"], ["1,5", 'x;"y"']]),
    ("a\tb\n1,5\t2\n", None, [["a", "b"], ["1,5", "2"]]),
    ("sep=;\na;b,c\n", None, [["a", "b,c"]]),
    ("one\ntwo\n", None, [["one"], ["two"]]),
    ('"a\nb","实\n存"\n\n1\n', None, [["a b", "实存"], ["1", ""]]),
    ("a,b;c\n", ";", [["a,b", "c"]]),
]


@pytest.mark.parametrize(("text", "delimiter", "rows"), CSV)
def test_csv(text: str, delimiter: str | None, rows: list[list[str]]) -> None:
    assert parse_csv(text, delimiter) == Grid.from_rows(rows)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("", None),
        ("\n\n", None),
        ('a,"b', None),
        ('"a"b,c', None),
        ("a,b", "toolong"),
        ("a,b", ""),
        ("x" * 200_000, None),
    ],
)
def test_no_csv(text: str, delimiter: str | None) -> None:
    with pytest.raises(MarkupError) as error:
        parse_csv(text, delimiter)
    assert error.value.code == "source.syntax"


def test_bombs() -> None:
    for read, text in (
        (parse_csv, "," * 1_100_000),
        (parse_csv, "," * 2000 + "\n" + "a\n" * 2000),
        (parse_markdown, "|a" * 2000 + "|\n" + "|-" * 2000 + "|\n" + "|b|\n" * 2000),
    ):
        with pytest.raises(MarkupError) as error:
            read(text)
        assert error.value.code == "source.too_large"


def workbook(
    path: Path, cells: dict[str, Any], merges: tuple[str, ...] = (), formats: dict[str, str] | None = None
) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for place, value in cells.items():
        sheet[place] = value
    for area in merges:
        sheet.merge_cells(area)
    for place, style in (formats or {}).items():
        sheet[place].number_format = style
    second = book.create_sheet("second")
    second["A1"] = "other"
    book.save(path)
    return path


def test_xlsx(tmp_path: Path) -> None:
    cells = {
        "B2": "Title",
        "B3": "实存\n数量",
        "C3": 1234.5,
        "D3": 0.125,
        "B4": True,
        "C4": datetime.date(2020, 1, 2),
        "D4": 3.0,
        "B5": 0.1 + 0.2,
        "C5": "=A1",
        "D5": 7,
    }
    path = workbook(tmp_path / "a.xlsx", cells, ("B2:D2", "F9:G12"), {"C3": "#,##0.00", "D3": "0.0%"})
    grid = parse_xlsx(path)
    assert grid.rows == (
        ("Title", None, None),
        ("实存数量", "1,234.50", "12.5%"),
        ("TRUE", "2020-01-02", "3"),
        ("0.3", "", "7"),
    )
    assert grid.spans == {(0, 0): (1, 3)}
    assert grid.warnings == ("cell C5: a formula without a stored value; blank",)
    assert parse_xlsx(str(path), "second").rows == (("other",),)
    with pytest.raises(MarkupError, match="no sheet 'third'"):
        parse_xlsx(path, "third")


def rewritten(path: Path, changes: dict[str, Any]) -> Path:
    """The workbook with parts changed by functions of their text."""
    with zipfile.ZipFile(path) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    out = path.with_name("changed.xlsx")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in parts.items():
            packed.writestr(name, changes[name](data.decode()) if name in changes else data)
    return out


SHEET = "xl/worksheets/sheet1.xml"


def test_merges_and_dimensions_of_the_whole_sheet_cost_nothing(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", {"A1": "a", "B2": "b"}, ("D5:E6",))
    changed = rewritten(
        path,
        {
            SHEET: (
                lambda text: text.replace('ref="D5:E6"', 'ref="C1:XFD1048576"').replace(
                    'ref="A1:E6"', 'ref="A1:XFD1048576"'
                )
            )
        },
    )
    assert parse_xlsx(changed).to_csv() == "a,\n,b\n"


def test_overlapping_merges(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", {"A1": "a", "B2": "b", "C3": "c"}, ("A1:B2",))
    changed = rewritten(
        path, {SHEET: lambda text: text.replace("</mergeCells>", '<mergeCell ref="B2:C3"/></mergeCells>')}
    )
    grid = parse_xlsx(changed)
    assert grid.spans == {(0, 0): (2, 2)}
    assert grid.warnings


def test_far_cells_are_too_large(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", {"A1": "a", "XFD1000": "b"})
    with pytest.raises(MarkupError) as error:
        parse_xlsx(path)
    assert error.value.code == "source.too_large"


def test_hostile_xlsx(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", {"A1": "a"})
    entity = rewritten(
        path,
        {
            "xl/workbook.xml": lambda text: (
                '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]>' + text[text.index("<workbook") :]
            )
        },
    )
    with pytest.raises(MarkupError) as error:
        parse_xlsx(entity)
    assert error.value.code == "source.refused"
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(9):
            packed.writestr(f"{number}.bin", bytes(32 * 2**20))
    with pytest.raises(MarkupError) as error:
        parse_xlsx(bomb)
    assert error.value.code == "source.too_large"


def broken_files(path: Path) -> dict[str, bytes]:
    whole = path.read_bytes()
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as packed:
        packed.writestr("a.txt", "a")
    files = {f"cut at {size}": whole[:size] for size in (0, 1, 100, len(whole) // 2, len(whole) - 10)}
    files |= {
        "text": b"a,b\n",
        "old excel": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000),
        "no parts": empty.getvalue(),
    }
    files |= {
        f"flipped {place}": whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
        for place in range(40, len(whole), len(whole) // 25)
    }
    return files


def test_broken_xlsx(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", {"A1": "a", "B2": 5}, ("A1:B1",))
    outcomes: set[object] = set()
    for data in broken_files(path).values():
        file = tmp_path / "broken.xlsx"
        file.write_bytes(data)
        try:
            outcomes.add(parse_xlsx(file).shape)
        except MarkupError as error:
            outcomes.add(error.code)
    assert "source.syntax" in outcomes
    assert outcomes <= {
        "source.syntax",
        "source.too_large",
        "source.refused",
        (2, 2),
        (1, 1),
    }  # (1, 1): without its first sheet it is a workbook of the second
