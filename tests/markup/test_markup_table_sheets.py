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

from sft.markup.csv_tables import parse_csv
from sft.markup.errors import MarkupError
from sft.markup.grid import Cell, Grid
from sft.markup.markdown import parse_markdown
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
    ("| a \\| b | c |\n| - | - |\n| `x` |", [["a | b", "c"], ["x", ""]]),
    ("text\n\n| a |\n|---|\n| 实<br>存 |\n| x<br/>y |\n", [["a"], ["实存"], ["x y"]]),
    ("| $x^2$ | $5 |\r\n|---|---|\r\n| &lt;5 | AT&T |\r\n", [["\\( x^2 \\)", "$5"], ["<5", "AT&T"]]),
    ("```\n| no | table |\n|---|---|\n```\n| a |\n|---|\n", [["a"]]),
    ("| a | b |\n|---|---|\n| 1 | 2 | 3 |", [["a", "b", ""], ["1", "2", "3"]]),
]


@pytest.mark.parametrize(("text", "rows"), MARKDOWN)
def test_markdown(text: str, rows: list[list[str]]) -> None:
    grid = parse_markdown(text)
    assert grid == Grid.from_rows(rows, header=True)


MARKDOWN_WARNINGS = [
    ("| a | b |\n|---|---|\n| 1 | 2 | 3 |", ["table.widened", "table.ragged"]),
    ("| a | b |\n|---|---|\n| 1 |", ["table.ragged"]),
    ("| a | b |\n|---|---|\n| 1 | 2 |\nno pipe", ["table.ragged"]),
    ("words\n\n| a |\n|---|\n| 1 |", ["table.outside"]),
    ("| a |\n|---|\n\n| b |\n|---|\n", ["table.second"]),
    ("| 2 * 3 * 4 | snake_case_name |\n|---|---|\n", []),
    ("<!-- a comment -->\n\n| a |\n|---|\n", []),
]


@pytest.mark.parametrize(("text", "codes"), MARKDOWN_WARNINGS)
def test_markdown_warnings(text: str, codes: list[str]) -> None:
    assert list(dict.fromkeys(warning.code for warning in parse_markdown(text).warnings)) == codes


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
    (
        "Ware;Preis;Menge\nApfel;1,50;3\nBirne;2,75;4\n",
        None,
        [["Ware", "Preis", "Menge"], ["Apfel", "1,50", "3"], ["Birne", "2,75", "4"]],
    ),
    ("Apfel;1,50\nBirne;2,75\n", None, [["Apfel", "1,50"], ["Birne", "2,75"]]),
    ("Smith, J.|1,5\nMiller, K.|2,5\n", None, [["Smith, J.", "1,5"], ["Miller, K.", "2,5"]]),
    ("name,tags\nx,a;b\ny,c;d\n", None, [["name", "tags"], ["x", "a;b"], ["y", "c;d"]]),
    ("a, b\tc\nd, e\tf\n", None, [["a, b", "c"], ["d, e", "f"]]),
    ('"a;b",1\n"c",2\n', None, [["a;b", "1"], ["c", "2"]]),
    ("Titel\na;1,5\nb;2,5\n", None, [["Titel", ""], ["a", "1,5"], ["b", "2,5"]]),
    ("1\u00a0000;\u3000\u2009x\n", ";", [["1 000", "x"]]),
]


@pytest.mark.parametrize(("text", "delimiter", "rows"), CSV)
def test_csv(text: str, delimiter: str | None, rows: list[list[str]]) -> None:
    assert parse_csv(text, delimiter) == Grid.from_rows(rows)


CSV_WARNINGS = [
    ("a;b,c\nd;e,f\n", ["table.delimiter"]),
    ("a,b\nc\n", ["table.ragged"]),
    ("a,b\nc,d\n", []),
    ("a;1,5\nb;2,5\n", []),
    ("x\ty,z\nx\ty,z\n", []),
    ("one\n", []),
    ("sep=;\na;b,c\nd;e,f\n", []),
]


@pytest.mark.parametrize(("text", "codes"), CSV_WARNINGS)
def test_csv_warnings(text: str, codes: list[str]) -> None:
    assert [warning.code for warning in parse_csv(text).warnings] == codes
    assert not any(warning.code == "table.delimiter" for warning in parse_csv(text, ";").warnings)


signs = st.sampled_from(",;\t|")
words = st.text(alphabet="abc1 .-", min_size=1, max_size=5).map(lambda text: " ".join(text.split())).filter(bool)


@given(
    signs,
    st.integers(2, 4).flatmap(
        lambda width: st.lists(st.lists(words, min_size=width, max_size=width), min_size=1, max_size=5)
    ),
)
@settings(max_examples=400, deadline=None)
def test_the_delimiter_is_found(delimiter: str, rows: list[list[str]]) -> None:
    grid = parse_csv("\n".join([delimiter.join(row) for row in rows]))
    assert grid == Grid.from_rows(rows) and not grid.warnings


@given(
    signs.filter(lambda sign: sign != ","),
    st.lists(st.tuples(words, st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_decimal_commas_part_nothing(delimiter: str, rows: list[tuple[str, int, int]]) -> None:
    grid = parse_csv("\n".join([f"{name}{delimiter}{whole},{part}" for name, whole, part in rows]))
    assert grid.rows == tuple((name, f"{whole},{part}") for name, whole, part in rows) and not grid.warnings


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
    assert [warning.message for warning in grid.warnings] == ["cell C5: a formula without a stored value; blank"]
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


def test_hidden_rows_columns_and_sheets_are_not_shown(tmp_path: Path) -> None:
    import openpyxl

    path = workbook(
        tmp_path / "a.xlsx",
        {"A1": "title", "A2": "a", "B2": "hidden", "C2": "c", "A3": "hidden", "A4": "d", "C4": "e", "A5": "covered"},
        ("A1:C1", "A3:A5"),
    )
    book = openpyxl.load_workbook(path)
    first, second = book.worksheets
    first.row_dimensions[3].hidden = True
    first.column_dimensions["B"].hidden = True
    second.sheet_state = "hidden"
    book.save(path)
    grid = parse_xlsx(path)
    assert (
        grid.rows == (("title", None), ("a", "c"), ("hidden", "e"), (None, ""))[:3]
    )  # the merged range is seen where its rows are
    assert grid.spans == {(0, 0): (1, 2)}
    assert parse_xlsx(path, "second").rows == (("other",),)
    first.sheet_state, second.sheet_state = "hidden", "visible"
    book.save(path)
    assert parse_xlsx(path).rows == (("other",),)


def test_what_excel_may_show_otherwise_is_said(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx",
        {"A1": 45657, "A2": 5, "A3": "=1+1", "B1": 1234567.5, "A4": 0.5},
        formats={"A1": "mm-dd-yy", "A2": "[DBNum1]0", "B1": "#,##0.00", "A4": "# ?/?"},
    )
    import openpyxl

    book = openpyxl.load_workbook(path)
    book.worksheets[0].column_dimensions["B"].width = 5
    book.save(path)
    grid = parse_xlsx(path)
    assert grid.rows == (("12/31/2024", "1,234,567.50"), ("5", ""), ("", ""), ("1/2", ""))
    said = [(warning.code, warning.message.split(":")[0]) for warning in grid.warnings]
    assert said == [
        ("table.number_format", "cell A1"),
        ("table.narrow", "cell B1"),
        ("table.number_format", "cell A2"),
        ("table.formula", "cell A3"),
    ]


def test_raised_digits_zeros_and_escapes(tmp_path: Path) -> None:
    from openpyxl.cell.rich_text import CellRichText, TextBlock
    from openpyxl.cell.text import InlineFont

    def raised(text: str) -> TextBlock:
        return TextBlock(InlineFont(vertAlign="superscript"), text)

    path = workbook(
        tmp_path / "a.xlsx",
        {
            "A1": CellRichText("m", raised("2"), " < 5"),
            "B1": CellRichText("10", raised("5")),
            "A2": 0,
            "B2": "a_x000D_b",
            "A3": "$x_1$",
            "B3": "1\u00a0000",
        },
    )
    grid = parse_xlsx(path)
    assert grid.rows == (("m2 < 5", r"\( 10^{5} \)"), ("0", "a b"), (r"\( x_1 \)", "1 000"))
    changed = rewritten(path, {SHEET: lambda text: text.replace("<sheetView ", '<sheetView showZeros="0" ')})
    assert parse_xlsx(changed).rows[1] == ("", "a b")


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


def test_formats_that_stand_in_no_workbook(tmp_path: Path) -> None:
    """By their numbers, as ECMA-376 lists them; Excel shows 22, 44 and 47 otherwise than that list says."""
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    day = 45356.5882  # March 5, 2024, 14:07
    for row, (number, value) in enumerate([(22, day), (44, 1500.5), (44, -2), (44, 0), (47, 0.00355), (31, day)], 1):
        cell: Any = sheet.cell(row, 1, value)
        cell.number_format = "0"
        cell._style.numFmtId = number
    book.save(tmp_path / "a.xlsx")
    grid = parse_xlsx(tmp_path / "a.xlsx")
    texts = [row[0] for row in grid.rows]
    assert texts == ["3/5/2024 14:07", "$ 1,500.50", "$ (2.00)", "$ -", "05:06.7", "2024年3月5日"]
    assert [warning.message.split(":")[0] for warning in grid.warnings] == ["cell A1", "cell A6"]


@pytest.mark.parametrize(("anew", "value", "warned"), [(b"1", b"0", 1), (b"1", b"3", 0), (b"0", b"0", 0)])
def test_a_formula_that_nobody_has_computed(tmp_path: Path, anew: bytes, value: bytes, warned: int) -> None:
    """Libraries that compute nothing store 0, and ask Excel to compute when it opens the file."""
    import openpyxl

    book = openpyxl.Workbook()
    book.worksheets[0]["A1"] = "=1+2"
    book.save(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "a.xlsx") as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    assert b'fullCalcOnLoad="1"' in parts["xl/workbook.xml"] and b"<f>1+2</f><v" in parts["xl/worksheets/sheet1.xml"]
    parts["xl/workbook.xml"] = parts["xl/workbook.xml"].replace(b'OnLoad="1"', b'OnLoad="' + anew + b'"')
    sheet = parts["xl/worksheets/sheet1.xml"]
    sheet = sheet[: sheet.index(b"<v")] + b"<v>" + value + b"</v>" + sheet[sheet.index(b"</c>") :]
    with zipfile.ZipFile(tmp_path / "b.xlsx", "w") as packed:
        for name, content in {**parts, "xl/worksheets/sheet1.xml": sheet}.items():
            packed.writestr(name, content)
    grid = parse_xlsx(tmp_path / "b.xlsx")
    assert grid.rows == ((value.decode(),),)
    assert [warning.code for warning in grid.warnings] == ["table.formula"] * warned
