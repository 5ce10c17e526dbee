"""PubTabNet and its relatives, and the OTSL sets of the hub: what becomes a table, and what is refused with which
reason.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.errors import RowRejected, UsageError
from sft.formats import get
from sft.formats.base import HubRow, Item, Note, ReadItem, Reject, SourceOptions
from sft.formats.otsl_parquet import target
from sft.formats.pubtabnet import build, content
from sft.markup.html import parse_html
from sft.types import Task

TD = ["<td>", "</td>"]


def tr(*cells: list[str]) -> list[str]:
    return ["<tr>", *(token for cell in cells for token in cell), "</tr>"]


def spanning(**spans: int) -> list[str]:
    return ["<td", *(f' {name}="{value}"' for name, value in spans.items()), ">", "</td>"]


def read_all(name: str, source: Path, **options: Any) -> list[Item | HubRow | Reject]:
    asked = SourceOptions(**options)
    source_format = get(name)
    every = (found for unit in source_format.units(source, asked) for found in source_format.read(unit, asked))
    return [found for found in every if not isinstance(found, Note)]


def codes(found: Sequence[ReadItem]) -> list[str]:
    return [each.code if isinstance(each, Reject) else "" for each in found]


def row(structure: Any = None, cells: Any = None, key: str = "cells", **more: Any) -> dict[str, Any]:
    structure = ["<tbody>", *tr(TD), "</tbody>"] if structure is None else structure
    return {
        "filename": "a.png",
        "split": "train",
        "imgid": 0,
        "html": {key: [{"tokens": ["x"]}] if cells is None else cells, "structure": {"tokens": structure}},
        **more,
    }


def write(path: Path, *rows: dict[str, Any] | bytes) -> Path:
    path.write_bytes(
        b"\n".join(
            value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode() for value in rows
        )
    )
    return path


def tokens(*cells: str | list[str]) -> list[dict[str, Any]]:
    return [{"tokens": list(cell)} for cell in cells]


def one(path: Path, value: dict[str, Any]) -> str:
    (found,) = read_all("pubtabnet", write(path / "a.jsonl", value))
    assert isinstance(found, Item), found
    assert found.task is Task.TABLE
    return found.target


def test_the_published_example(tmp_path: Path) -> None:
    bold = [["<b>", *text, "</b>"] for text in ("Prior Experience", "One", "Two", "Three or More", "Total")]
    body = [
        "High",
        "5",
        "6",
        "2",
        "13",
        "Medium-High/Medium",
        "4",
        "8",
        "5",
        "17",
        "Low/Very-Low",
        "3",
        "1",
        "2",
        "6",
        "Total",
        "12",
        "15",
        "9",
        "36",
    ]
    structure = ["<thead>", *tr(*[TD] * 5), "</thead>", "<tbody>", *tr(*[TD] * 5) * 4, "</tbody>"]
    assert (
        one(tmp_path, row(structure, tokens(*bold, *body))) == "<fcel>Prior Experience<fcel>One<fcel>Two<fcel>Three or"
        " More<fcel>Total<nl><fcel>High<fcel>5<fcel>6<fcel>2<fcel>13<nl>"
        "<fcel>Medium-High/Medium<fcel>4<fcel>8<fcel>5<fcel>17<nl>"
        "<fcel>Low/Very-Low<fcel>3<fcel>1<fcel>2<fcel>6<nl><fcel>Total<fcel>12<fcel>15<fcel>9<fcel>36<nl>"
    )


def test_spans_in_pieces_and_blank_cells(tmp_path: Path) -> None:
    structure = [*tr(spanning(rowspan=2), spanning(colspan=2)), *tr(TD, TD)]
    assert (
        one(tmp_path, row(structure, tokens("Group", "n", "a", "")))
        == "<fcel>Group<fcel>n<lcel><nl><ucel><fcel>a<ecel><nl>"
    )
    assert one(tmp_path, row(tr(spanning(rowspan=1, colspan=2)), [{}])) == "<ecel><lcel><nl>"


def test_characters_stand_for_themselves(tmp_path: Path) -> None:
    assert (
        one(tmp_path, row(tr(TD, TD), tokens("<5 & \"p\" > 'q'", "&lt;b&gt;")))
        == "<fcel><5 & \"p\" > 'q'<fcel>&lt;b&gt;<nl>"
    )


def test_readme_key_and_joined_tokens(tmp_path: Path) -> None:
    assert one(tmp_path, row(key="cell")) == "<fcel>x<nl>"
    assert one(tmp_path, row(["<tbody><tr><td>", "</td></tr>", "</tbody>"], cells=[{"tokens": "x<"}])) == "<fcel>x<<nl>"


def test_ppocrlabel(tmp_path: Path) -> None:
    value = {
        "filename": "table.jpg",
        "html": {
            "structure": {"tokens": ["<tbody>", *tr(TD, TD), "</tbody>"]},
            "cells": [{"tokens": list("年份"), "bbox": [[[1, 2], [20, 2], [20, 9], [1, 9]]]}, {"tokens": list("A&B")}],
        },
    }
    path = write(
        tmp_path / "gt.txt",
        {**value, "gt": "<html><body><table><tr><td>年份</td><td>A&amp;B</td></tr></table></body></html>"},
        {"filename": "b.jpg", "gt": "<table><tr><td>only gt</td></tr></table>"},
    )
    for source in (path, tmp_path):
        found = read_all("pubtabnet", source)
        assert [item.target for item in found if isinstance(item, Item)] == [
            "<fcel>年份<fcel>A&B<nl>",
            "<fcel>only gt<nl>",
        ]
    first = found[0]
    assert isinstance(first, Item)
    assert first.picture.path == tmp_path / "table.jpg"


def test_synthtabnet_boxes_of_five(tmp_path: Path) -> None:
    cells = [
        {"tokens": ["1"], "bbox": [1, 2, 3, 4, 2], "is_header": True, "span": None, "cell_id": 0},
        {"tokens": [], "bbox": [1, 2, 3, 4, 1], "is_header": False},
    ]
    assert one(tmp_path, row(tr(TD, TD), cells)) == "<fcel>1<ecel><nl>"


def test_version_1_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "PubTabNet_Examples.json"
    path.write_text(json.dumps({"images": [row(), 7, row(filename="b.png")]}), "utf-8")
    found = read_all("pubtabnet", path)
    assert codes(found) == ["", "source.shape", ""]
    assert [each.where for each in found] == [f"PubTabNet_Examples.json[{index}]" for index in range(3)]


def test_rows_of_another_split_are_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", row(), {**row(), "split": "val"}, {**row(), "split": "test", "html": None})
    assert codes(read_all("pubtabnet", path)) == ["", "", "source.shape"]
    assert [each.where for each in read_all("pubtabnet", path, split="val")] == ["a.jsonl:2"]


def test_images_are_looked_for_in_the_split_and_beside_the_labels(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train/a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"")
    found = read_all(
        "pubtabnet", write(tmp_path / "a.jsonl", row(), {**row(), "filename": "b.png"}, {**row(), "filename": "c.png"})
    )
    assert [item.picture.path for item in found if isinstance(item, Item)] == [
        tmp_path / "train/a.png",
        tmp_path / "b.png",
        tmp_path / "train/c.png",
    ]
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "images/train/d.png").write_bytes(b"")
    (item,) = read_all("pubtabnet", write(tmp_path / "a.jsonl", {**row(), "filename": "d.png"}))
    assert isinstance(item, Item)
    assert item.picture.path == tmp_path / "images/train/d.png", "as SynthTabNet is laid out"
    (item,) = read_all("pubtabnet", write(tmp_path / "b.jsonl", row()), images=tmp_path / "elsewhere")
    assert isinstance(item, Item)
    assert item.picture.path == tmp_path / "elsewhere/train/a.png"


BAD: list[tuple[Any, str]] = [
    (row(cells=[]), "target.html"),
    (row(cells=tokens("a", "b")), "target.html"),
    (row(tr(["<td>"])), "target.html"),
    (row(tr(["</td>"])), "target.html"),
    (row(["<tr>", "<td>", "<td>", "</td>", "</td>", "</tr>"]), "target.html"),
    (row(["<tr>", "<td>", "text", "</td>", "</tr>"]), "target.html"),
    (row(["<tr>", "<td onclick='x'>", "</td>", "</tr>"]), "target.html"),
    (row(["<script>", "</script>", *tr(TD)]), "target.html"),
    (row(["<tr", *TD, "</tr>"]), "target.html"),
    (row(["<!--", *tr(TD), "-->"]), "target.html"),
    (row([7]), "source.shape"),
    (row("<tr>"), "source.shape"),
    (row({}), "source.shape"),
    (row(cells={}), "source.shape"),
    (row(cells=[7]), "source.shape"),
    (row(cells=[{"tokens": [7]}]), "source.shape"),
    (row(cells=[{"tokens": 7}]), "source.shape"),
    (row(cells=[{"tokens": ["<script>"]}]), "target.html"),
    (row(cells=[{"tokens": ["<fcel>"]}]), "target.html"),
    (row(cells=tokens("<nl>")), "target.otsl"),
    ({**row(), "html": None}, "source.shape"),
    ({**row(), "html": []}, "source.shape"),
    ({**row(), "html": {"structure": []}}, "source.shape"),
    ({"filename": "a.png", "split": "test"}, "source.shape"),
    ({**row(), "filename": None}, "source.shape"),
    ({**row(), "filename": ""}, "source.shape"),
    ({**row(), "filename": "../a.png"}, "source.outside"),
    ({**row(), "filename": "/etc/passwd"}, "source.outside"),
    ({**row(), "filename": "a\0.png"}, "source.outside"),
    ({**row(), "filename": "HAL/2004/page_82.pdf"}, "image.unreadable"),
    (b"{", "source.syntax"),
    (b"[]", "source.shape"),
    (b'"x"', "source.shape"),
    (b"\xff\xfe{}", "source.encoding"),
    (b"[" * 100_000, "source.too_large"),
    (b'{"filename": "\\ud800"}', "source.encoding"),
    (b"\x00\x00", "source.syntax"),
]


@pytest.mark.parametrize(("bad", "code"), BAD)
def test_a_bad_row_is_one_reject_between_good_ones(tmp_path: Path, bad: Any, code: str) -> None:
    found = read_all("pubtabnet", write(tmp_path / "a.jsonl", row(), bad, row()))
    assert codes(found) == ["", code, ""]
    assert [each.where for each in found] == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3"]


def test_bombs(tmp_path: Path) -> None:
    """Spans that multiply, cells without end, tags inside tags: an answer in a moment, and no memory."""
    huge = row(tr(spanning(colspan=999_999_999), spanning(rowspan=999_999_999)), tokens("a", "b"))
    many = row(["<tr>", *spanning(colspan=1000, rowspan=65_534) * 50, "</tr>"] * 20, tokens(*["x"] * 1000))
    nested = row(cells=[{"tokens": ["<b>"] * 50_000 + ["x"]}])
    wide = row(tr(*[TD] * 200_000), tokens(*["x"] * 200_000))
    found = read_all("pubtabnet", write(tmp_path / "a.jsonl", row(), huge, many, nested, wide, row()))
    assert len(found) == 6
    assert codes(found)[0] == codes(found)[5] == ""
    assert codes(found)[4] == "source.too_large"
    assert all(len(item.target) < 10_000_000 for item in found if isinstance(item, Item))


def test_where_there_are_no_labels(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no labels here"):
        read_all("pubtabnet", tmp_path)
    with pytest.raises(UsageError, match="No such file"):
        read_all("pubtabnet", tmp_path / "nowhere.jsonl")
    (tmp_path / "a.json").write_text("{}", "utf-8")
    with pytest.raises(UsageError, match="no array 'images'"):
        read_all("pubtabnet", tmp_path)


characters = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Cf"]), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(characters, min_size=1, max_size=6))
def test_what_is_put_in_comes_out(texts: list[str]) -> None:
    """Any characters: the HTML holds each text in its cell, as it was."""
    grid = parse_html(build(tr(*[TD] * len(texts)), [list(text) for text in texts]))
    expected = ["".join(text.split()) for text in texts]
    assert ["".join(cell.text.split()) for _, _, cell in grid.cells] == expected


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["<tr>", "</tr>", "<td>", "</td>", "<td", ">", ' colspan="2"', "<thead>", "</thead>", "x", "<", "<table>"]
        ),
        max_size=12,
    ),
    st.integers(0, 3),
)
def test_any_structure_is_a_table_or_a_reason(structure: list[str], count: int) -> None:
    try:
        html = build(structure, [["x"]] * count)
    except RowRejected as error:
        assert error.code == "target.html"
    else:
        assert html.count("x") == count


def test_tags_of_cells() -> None:
    assert (
        content(["<sup>", "2", "</sup>", "<strike>", "x", "</strike>", "<br/>", "<", "b", ">"], 1)
        == "<sup>2</sup><s>x</s><br>&lt;b&gt;"
    )
    with pytest.raises(RowRejected, match="cell 3"):
        content(["<iframe>"], 3)


# OTSL sets

CELL = pa.struct([("tokens", pa.list_(pa.string())), ("bbox", pa.list_(pa.float64()))])
SCHEMA = pa.schema(
    [
        ("filename", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("cells", pa.list_(pa.list_(CELL))),
        ("otsl", pa.list_(pa.string())),
        ("html", pa.list_(pa.string())),
    ]
)


def table(otsl: str, cells: list[str], html: list[str] | None = None) -> dict[str, Any]:
    return {
        "filename": "a.png",
        "image": {"bytes": b"png", "path": None},
        "otsl": otsl.split(),
        "cells": [[{"tokens": list(text), "bbox": [0.0, 1.0, 2.0, 3.0]} for text in cells]],
        "html": html,
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            table("fcel lcel nl fcel ecel nl", ["One", "x<5", ""], [*tr(spanning(colspan=2)), *tr(TD, TD)]),
            "<fcel>One<lcel><nl><fcel>x<5<ecel><nl>",
        ),
        (
            table(
                "fcel xcel fcel nl xcel xcel fcel nl",
                ["big", "p", "q"],
                [*tr(spanning(rowspan=2, colspan=2), TD), *tr(TD)],
            ),
            "<fcel>big<lcel><fcel>p<nl><ucel><xcel><fcel>q<nl>",
        ),
        (table("fcel fcel nl fcel ucel nl", ["without", "html", "z"]), "<fcel>without<fcel>html<nl><fcel>z<ucel><nl>"),
        (
            table("ecel fcel nl fcel ecel nl", ["r", "s"], [*tr(TD, TD), *tr(TD, TD)]),
            "<ecel><fcel>r<nl><fcel>s<ecel><nl>",
        ),
        (table("ecel fcel nl", ["", "s"], tr(TD, TD)), "<ecel><fcel>s<nl>"),
        (table("fcel ecel nl", [" ", "late"], tr(TD, TD)), "<ecel><fcel>late<nl>"),
        ({**table("fcel nl", []), "cells": [{"tokens": ["<b>", "x", "</b>"]}]}, "<fcel>x<nl>"),
    ],
)
def test_otsl_and_cells_become_a_target(value: dict[str, Any], expected: str) -> None:
    assert target(value) == expected


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (table("fcel fcel nl", ["1", "2", "3"]), "target.otsl"),
        (table("fcel fcel nl", ["1"]), "target.otsl"),
        (table("lcel fcel nl", ["1"]), "target.otsl"),
        (table("fcel cel nl", ["1"]), "target.otsl"),
        (table("fcel <fcel> nl", ["1", "2"]), "target.otsl"),
        (table("", []), "source.shape"),
        (table("nl", []), "target.otsl"),
        (table("fcel fcel nl fcel nl", ["1", "2", "3"]), "target.otsl"),
        (
            table("fcel fcel nl fcel fcel nl", ["1", "2", "3", "4"], [*tr(TD, TD), *tr(spanning(colspan=2))]),
            "target.otsl",
        ),
        (table("fcel fcel nl fcel lcel nl", ["1", "2", "3"], [*tr(TD, TD), *tr(TD)]), "target.otsl"),
        (table("fcel nl", ["1"], ["<tr>", "<td>"]), "target.otsl"),
        ({**table("fcel nl", ["1"]), "cells": None}, "source.shape"),
        ({**table("fcel nl", ["1"]), "cells": [[{"tokens": None}]]}, "source.shape"),
        ({**table("fcel nl", ["1"]), "otsl": None}, "source.shape"),
        ({**table("fcel nl", ["1"]), "otsl": "fcel"}, "source.shape"),
        ({**table("fcel nl", ["1"]), "html": "<table>"}, "source.shape"),
        ({**table("fcel nl", ["1"]), "cells": [[{"tokens": [7]}]]}, "source.shape"),
    ],
)
def test_what_is_no_table_is_refused(value: dict[str, Any], code: str) -> None:
    with pytest.raises(RowRejected) as caught:
        target(value)
    assert caught.value.code == code


def test_otsl_parquet_files(tmp_path: Path) -> None:
    values = [
        table("fcel nl", ["1"], tr(TD)),
        table("fcel fcel nl", ["1"]),
        {**table("fcel nl", ["1"]), "image": None},
        {**table("fcel nl", ["1"]), "image": {"bytes": None, "path": "../x.png"}},
        table("fcel nl", ["2"]),
    ]
    (tmp_path / "data").mkdir()
    for name in ("train-00000-of-00001", "val-00000-of-00001"):
        pq.write_table(pa.Table.from_pylist(values, schema=SCHEMA), tmp_path / f"data/{name}.parquet", row_group_size=2)
    found = read_all("otsl-parquet", tmp_path, split="val")
    assert codes(found) == ["", "target.otsl", "image.missing", "source.outside", ""]
    first = found[0]
    assert isinstance(first, Item)
    assert (first.where, first.target, first.picture.data) == (
        "data/val-00000-of-00001.parquet:1",
        "<fcel>1<nl>",
        b"png",
    )
    assert len(read_all("otsl-parquet", tmp_path)) == 10
    assert len(read_all("otsl-parquet", tmp_path / "data/val-00000-of-00001.parquet")) == 5


def test_other_parquet_files_are_named_as_such(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"x"], "text": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="no column otsl or cells") as caught:
        read_all("otsl-parquet", tmp_path)
    assert "sft convert hf" in (caught.value.hint or "")
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(UsageError, match="no .parquet files"):
        read_all("otsl-parquet", tmp_path)


def test_wrong_types_of_columns(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"image": [1, 2], "otsl": ["fcel nl", "fcel"], "cells": [1.5, 2.5]}), tmp_path / "a.parquet"
    )
    assert codes(read_all("otsl-parquet", tmp_path)) == ["source.shape", "source.shape"]
