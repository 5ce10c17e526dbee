"""Rows whose label was mended are written, counted by code, and named: on stderr, in the manifest, and in a file
beside the output.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from sft import formats
from sft.cli.convert import convert as verb
from sft.cli.validate import validate
from sft.convert.driver import convert
from sft.convert.request import options_of
from sft.convert.worker import ConvertRequest
from sft.reasons import REASONS
from sft.runtime.runner import Runner
from sft.types import Task

# inside of a label of HTML → codes in order, OTSL
HTML: list[tuple[str, list[str], str]] = [
    ("<table><tr><td>A</td></tr></table><table><tr><td>B</td></tr></table>", ["table.second"], "<fcel>A<nl>"),
    ("<table>Unit: kg<tr><td>A</td><td>B</td></tr></table>", ["table.outside"], "<fcel>A<fcel>B<nl>"),
    ("<p>Table 1</p><table><tr><td>A</td></tr></table>", ["table.outside"], "<fcel>A<nl>"),
    ("<table><tr><td>A</td></tr></table>Source: x", ["table.outside"], "<fcel>A<nl>"),
    ("<table><caption>T</caption><tr><td>A</td></tr></table>", ["table.caption"], "<fcel>A<nl>"),
    (
        '<table><tr><td>A</td><td rowspan="2">B</td></tr><tr><td colspan="2">C</td></tr></table>',
        ["table.overlap"],
        "<fcel>A<fcel>B<nl><fcel>C<ucel><nl>",
    ),
    (
        '<table><tr><td colspan="99">T</td></tr><tr><td>1</td><td>2</td></tr></table>',
        ["table.span"],
        "<fcel>T<lcel><nl><fcel>1<fcel>2<nl>",
    ),
    (
        "<table><tr><td>A</td><td>B</td></tr><tr><td>C</td></tr></table>",
        ["table.ragged"],
        "<fcel>A<fcel>B<nl><fcel>C<ecel><nl>",
    ),
    ("<table><tr><td>a<table><tr><td>b</td></tr></table></td></tr></table>", ["table.nested"], "<fcel>a b<nl>"),
    ("<table><tr><td><math><mfoo><mn>1</mn><mn>2</mn></mfoo></math></td></tr></table>", ["table.math"], "<fcel>12<nl>"),
    ("<table><tr><td><math><msup><mn>1</mn><mn>2</mn></msup></math></td></tr></table>", [], r"<fcel>\( 1^{2} \)<nl>"),
    ("```html\n<table><tr><td>A</td></tr></table>\n```", [], "<fcel>A<nl>"),
]
# markup → label → codes, OTSL
OTHERS: list[tuple[str, str, list[str], str]] = [
    (
        "markdown",
        "| a | b |\n|---|---|\n| 1 | 2 | 3 |",
        ["table.widened", "table.ragged"],
        "<fcel>a<fcel>b<ecel><nl><fcel>1<fcel>2<fcel>3<nl>",
    ),
    ("csv", "a;b,c\nd;e,f\n", ["table.delimiter"], "<fcel>a;b<fcel>c<nl><fcel>d;e<fcel>f<nl>"),
    ("csv", "R&amp;D,1\nx,2\n", ["table.reference"], "<fcel>R&D<fcel>1<nl><fcel>x<fcel>2<nl>"),
    ("otsl", "<fcel>p &lt; 5<fcel>R&amp;D<nl>", ["table.reference"], "<fcel>p < 5<fcel>R&D<nl>"),
    ("otsl", "<fcel>1\u00a0000<fcel>$x_1$<nl>", [], "<fcel>1 000<fcel>\\( x_1 \\)<nl>"),
    ("otsl", "<fcel><fcel>b<nl>", ["table.blank"], "<ecel><fcel>b<nl>"),
]


def source(folder: Path, labels: list[str], column: str = "html") -> Path:
    Image.new("RGB", (40, 20), "white").save(folder / "a.png")
    path = folder / "tables.jsonl"
    path.write_text("".join([json.dumps({"file_name": "a.png", column: label}) + "\n" for label in labels]), "utf-8")
    return path


def run(path: Path, out: Path, *, workers: int = 1, **given: Any) -> dict[str, Any]:
    return convert(
        ConvertRequest("hf", path, out, options_of(formats.get("hf"), {}, **given)), Runner(workers=workers)
    ).manifest


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def targets(path: Path) -> list[str]:
    return [row["text_info"][1]["text"] for row in lines(path)]


@pytest.mark.parametrize(("label", "codes", "otsl"), HTML)
def test_html(label: str, codes: list[str], otsl: str, tmp_path: Path) -> None:
    manifest = run(source(tmp_path, [label]), tmp_path / "out.jsonl")
    assert targets(tmp_path / "out.jsonl") == [otsl]
    assert manifest["counts"]["warnings"] == dict.fromkeys(sorted(codes), 1)
    found = lines(tmp_path / "out.warnings.jsonl") if codes else []
    assert list(dict.fromkeys(line["code"] for line in found)) == codes
    assert all(list(line) == ["where", "code", "message"] and line["where"] == "tables.jsonl:1" for line in found)
    assert (tmp_path / "out.warnings.jsonl").exists() == bool(codes) == ("out.warnings.jsonl" in manifest["outputs"])


@pytest.mark.parametrize(("markup", "label", "codes", "otsl"), OTHERS)
def test_other_markup(markup: str, label: str, codes: list[str], otsl: str, tmp_path: Path) -> None:
    manifest = run(source(tmp_path, [label], "text"), tmp_path / "out.jsonl", task=Task.TABLE, markup=markup)
    assert targets(tmp_path / "out.jsonl") == [otsl]
    assert list(manifest["counts"]["warnings"]) == sorted(codes)


def test_a_delimiter_that_is_said_leaves_no_doubt(tmp_path: Path) -> None:
    path = source(tmp_path, ["a;b,c\nd;e,f\n"], "text")
    done = CliRunner().invoke(
        verb,
        ["hf", str(path), "-o", str(tmp_path / "out.jsonl"), "--task", "table", "--markup", "csv", "--delimiter", ";"],
    )
    assert done.exit_code == 0 and "table.delimiter" not in done.stderr
    assert targets(tmp_path / "out.jsonl") == ["<fcel>a<fcel>b,c<nl><fcel>d<fcel>e,f<nl>"]
    done = CliRunner().invoke(verb, ["hf", str(path), "-o", str(tmp_path / "o.jsonl"), "--delimiter", "two"])
    assert done.exit_code != 0 and "one character" in str(done.exception)


def test_the_markup_of_tables_needs_no_task(tmp_path: Path) -> None:
    path = source(tmp_path, ["| a | b |\n|---|---|\n| max\\_len | 5\\*3 |"], "markdown")
    assert run(path, tmp_path / "out.jsonl", markup="markdown")["counts"]["out"] == 1
    assert targets(tmp_path / "out.jsonl") == ["<fcel>a<fcel>b<nl><fcel>max_len<fcel>5*3<nl>"]


def test_tables_in_conversations(tmp_path: Path) -> None:
    two = "<table><tr><td>A</td></tr></table><table><tr><td>B</td></tr></table>"
    chat = [{"user": "Table Recognition:", "assistant": two}]
    Image.new("RGB", (60, 20), "white").save(tmp_path / "a.png")
    path = tmp_path / "tables.jsonl"
    path.write_text(json.dumps({"image": "a.png", "texts": chat}) + "\n", "utf-8")
    assert run(path, tmp_path / "out.jsonl")["counts"]["warnings"] == {"table.second": 1}
    assert targets(tmp_path / "out.jsonl") == ["<fcel>A<nl>"]


def test_what_is_said(tmp_path: Path) -> None:
    path = source(tmp_path, [HTML[0][0], HTML[0][0], HTML[7][0], "<table><tr><td>fine</td></tr></table>"])
    done = CliRunner().invoke(verb, ["hf", str(path), "-o", str(tmp_path / "out.jsonl")])
    assert done.exit_code == 0
    assert (
        "table.second in 2 rows" in done.stderr
        and "table.ragged in 1 row" in done.stderr
        and "out.warnings.jsonl" in done.stderr
    )
    manifest = json.loads((tmp_path / "out.manifest.json").read_text("utf-8"))
    assert manifest["counts"] == {
        **manifest["counts"],
        "in": 4,
        "out": 4,
        "rejected": 0,
        "warnings": {"table.ragged": 1, "table.second": 2},
    }
    assert [line["where"] for line in lines(tmp_path / "out.warnings.jsonl")] == [
        f"tables.jsonl:{number}" for number in (1, 2, 3)
    ]


def test_any_number_of_workers_and_runs(tmp_path: Path) -> None:
    path = source(tmp_path, [label for label, *_ in HTML] * 3000)
    one = run(path, tmp_path / "one.jsonl")
    two = run(path, tmp_path / "two.jsonl", workers=2)
    assert one["counts"] == two["counts"] and sum(one["counts"]["warnings"].values()) == 10 * 3000
    assert (tmp_path / "one.warnings.jsonl").read_bytes() == (tmp_path / "two.warnings.jsonl").read_bytes()


def test_a_file_of_an_earlier_run_goes(tmp_path: Path) -> None:
    run(source(tmp_path, [HTML[0][0]]), tmp_path / "out.jsonl")
    assert (tmp_path / "out.warnings.jsonl").exists()
    run(source(tmp_path, [HTML[0][0][:40] + "</table>"]), tmp_path / "out.jsonl")
    assert not (tmp_path / "out.warnings.jsonl").exists()


def from_workbook(folder: Path) -> dict[str, Any]:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet["A1"], sheet["A2"], sheet["A3"] = 5, "=1+1", 1234567
    sheet["A1"].number_format = "[DBNum1]0"
    sheet["A3"].number_format = "#,##0.00"
    sheet.column_dimensions["A"].width = 4
    book.save(folder / "a.xlsx")
    Image.new("RGB", (40, 20), "white").save(folder / "a.png")
    return convert(
        ConvertRequest("xlsx", folder / "a.xlsx", folder / "out.jsonl", options_of(formats.get("xlsx"), {})),
        Runner(workers=1),
    ).manifest


def from_docling(folder: Path) -> dict[str, Any]:
    Image.new("RGB", (100, 100), "white").save(folder / "doc.png")
    cells = [{"row_span": 4, "col_span": 1, "start_row_offset_idx": 0, "start_col_offset_idx": 0, "text": "x"}]
    table = {
        "data": {"num_rows": 1, "num_cols": 1, "table_cells": cells},
        "prov": [{"page_no": 1, "bbox": {"l": 0, "t": 0, "r": 50, "b": 50}}],
    }
    (folder / "doc.json").write_text(
        json.dumps({"pages": {"1": {"size": {"width": 100, "height": 100}}}, "tables": [table]}), "utf-8"
    )
    return convert(
        ConvertRequest("docling", folder / "doc.json", folder / "out.jsonl", options_of(formats.get("docling"), {})),
        Runner(workers=1),
    ).manifest


MAKERS: list[Callable[[Path], dict[str, Any]]] = [from_workbook, from_docling]


def test_every_code_of_tables_can_come_up(tmp_path: Path) -> None:
    seen = {code for _, codes, _ in HTML for code in codes} | {code for _, _, codes, _ in OTHERS for code in codes}
    for index, make in enumerate(MAKERS):
        (tmp_path / str(index)).mkdir()
        seen |= make(tmp_path / str(index))["counts"]["warnings"].keys()
    assert seen == {code for code in REASONS if code.startswith("table.")}
    assert all(severity == "warning" for code, (severity, _) in REASONS.items() if code.startswith("table."))


def test_the_codes_are_listed() -> None:
    done = CliRunner().invoke(validate, ["--codes"])
    assert done.exit_code == 0 and "table.ragged" in done.stdout
