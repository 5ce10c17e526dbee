"""ChartQA and PlotQA: what becomes a chart, what is refused, and that the rows around a bad one survive."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.errors import RowRejected, UsageError
from sft.formats import get
from sft.formats.base import HubRow, Item, Note, ReadItem, Reject, SourceOptions
from sft.formats.chartqa import MAX_TABLE_BYTES, chart_target, csv_rows
from sft.formats.plotqa import rows
from sft.types import Task


def read_all(name: str, source: Path, **options: Any) -> list[Item | HubRow | Reject]:
    asked = SourceOptions(**options)
    source_format = get(name)
    every = (found for unit in source_format.units(source, asked) for found in source_format.read(unit, asked))
    return [found for found in every if not isinstance(found, Note)]


def codes(found: Sequence[ReadItem]) -> list[str]:
    return [each.code if isinstance(each, Reject) else "" for each in found]


def folder(root: Path, tables: dict[str, bytes], pictures: str = "png", data: str = "tables") -> Path:
    (root / data).mkdir(parents=True)
    (root / pictures).mkdir()
    for name, content in tables.items():
        (root / data / f"{name}.csv").write_bytes(content)
        (root / pictures / f"{name}.png").write_bytes(b"")
    return root


GOOD = b"Year,A\n2019,1\n"


def test_cells_with_other_delimiters_are_whole() -> None:
    assert chart_target([["Year;A", "B;C"], ["2019;1", "3;4"]]) == "Year;A | B;C\n2019;1 | 3;4"


def test_a_table_becomes_a_chart(tmp_path: Path) -> None:
    source = folder(
        tmp_path,
        {
            "1086": (
                b"Entity,Against Trump,Against Biden,For Trump,For Biden\nBiden voters,67,33,0,0\nTrump"
                b" voters,24,76,0,0\n"
            )
        },
    )
    (item,) = read_all("chartqa", source)
    assert isinstance(item, Item)
    assert (
        item.target
        == "Entity | Against Trump | Against Biden | For Trump | For Biden\nBiden voters | 67 | 33 | 0 | 0\nTrump"
        " voters | 24 | 76 | 0 | 0"
    )
    assert (item.where, item.task, item.picture.path, item.prompt) == (
        "tables/1086.csv",
        Task.CHART,
        source / "png/1086.png",
        "",
    )


def test_quotes_commas_and_missing_values(tmp_path: Path) -> None:
    source = folder(tmp_path, {"a": b'Year,"Users, total"\r\n2019,"1,234"\r\n2020,nan\r\nnan,3\r\n'})
    (item,) = read_all("chartqa", source)
    assert isinstance(item, Item)
    lines = item.target.split("\n")
    assert lines[:2] == ["Year | Users, total", "2019 | 1,234"]
    assert [cell.strip() for cell in lines[2].split("|")] == ["2020", ""], "pandas wrote nan where there is no value"
    assert lines[3] == "nan | 3", "a category may be called nan"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "target.chart"),
        (b"\n\n", "target.chart"),
        (b"Year,A\n", "target.chart"),
        (b"Year,A\n2019\n", "target.chart"),
        (b"Year,A\n2019,1,2\n", "target.chart"),
        (b"Year,A|B\n2019,1\n", "source.inexpressible"),
        (b"Year,Caf\xe9\n2019,1\n", "source.encoding"),
        (b"Year,A\n2019,\x001\n", "source.syntax"),
        (b'Year,"A\n2019,1\n', "source.syntax"),
        (b'Year,"A"x\n2019,1\n', "source.syntax"),
        (b"Year,A\n\xff,1\n", "source.encoding"),
        (b"Year,A\n2019," + b"1" * 200_000 + b"\n", "source.syntax"),
        (b"Year,A\n" + b"2019,1\n" * (MAX_TABLE_BYTES // 7 + 1), "source.too_large"),
    ],
)
def test_a_bad_table_is_one_reject(tmp_path: Path, content: bytes, code: str) -> None:
    found = read_all("chartqa", folder(tmp_path, {"a": GOOD, "b": content, "c": GOOD}))
    assert codes(found) == ["", code, ""]


def test_a_folder_called_like_a_table_and_a_dangling_link_are_rejects(tmp_path: Path) -> None:
    source = folder(tmp_path, {"a": GOOD})
    (source / "tables/b.csv").mkdir()
    (source / "tables/c.csv").symlink_to(tmp_path / "nowhere")
    assert codes(read_all("chartqa", source)) == ["", "source.shape", "source.shape"]


def test_splits(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        folder(tmp_path / "ChartQA Dataset" / split, {split: GOOD})
    places = [f"ChartQA Dataset/{split}/tables/{split}.csv" for split in ("test", "train", "val")]
    assert [found.where for found in read_all("chartqa", tmp_path)] == places
    assert [found.where for found in read_all("chartqa", tmp_path, split="val")] == places[2:]
    assert [found.where for found in read_all("chartqa", tmp_path / "ChartQA Dataset/val", split="val")] == [
        "tables/val.csv"
    ]
    with pytest.raises(UsageError, match="no tables of a split called 'dev'"):
        read_all("chartqa", tmp_path, split="dev")


def test_chart_to_text_and_other_suffixes(tmp_path: Path) -> None:
    source = folder(
        tmp_path, {"1": b"Quarter,Number of users in millions\nQ3 '20,2740\n"}, pictures="imgs", data="data"
    )
    (source / "imgs/1.png").rename(source / "imgs/1.jpg")
    (item,) = read_all("chartqa", source)
    assert isinstance(item, Item)
    assert item.picture.path == source / "imgs/1.jpg"
    assert item.target == "Quarter | Number of users in millions\nQ3 '20 | 2740"
    (elsewhere,) = read_all("chartqa", source, images=tmp_path / "imgs")
    assert isinstance(elsewhere, Item)
    assert elsewhere.picture.path == tmp_path / "imgs/1.jpg"


def test_a_folder_of_tables_or_one_table_can_be_the_source(tmp_path: Path) -> None:
    source = folder(tmp_path, {"a": GOOD, "b": GOOD})
    assert [found.where for found in read_all("chartqa", source / "tables")] == ["a.csv", "b.csv"]
    (item,) = read_all("chartqa", source / "tables/b.csv")
    assert isinstance(item, Item)
    assert item.picture.path == source / "png/b.png"


def test_nothing_to_convert_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tables here"):
        read_all("chartqa", tmp_path)


def test_questions_become_prompts(tmp_path: Path) -> None:
    questions = [
        {"imgname": "3887.png", "query": "What's the color of graph with 56 as the highest value?", "label": "Blue"},
        {"imgname": "../3887.png", "query": "outside?", "label": "no"},
        {"imgname": "3887.png", "query": " ", "label": "no"},
        {"imgname": 1},
        "no object",
        {"imgname": "3887.png", "query": "How many?", "label": 3},
        {"imgname": "3887.png", "query": "What?", "label": ""},
    ]
    (tmp_path / "val_human.json").write_text(json.dumps(questions), "utf-8")
    found = read_all("chartqa", tmp_path / "val_human.json")
    assert codes(found) == ["", "source.outside", "source.shape", "source.shape", "source.shape", "", "target.empty"]
    first, sixth = found[0], found[5]
    assert isinstance(first, Item)
    query = questions[0]["query"]  # type: ignore[index]
    assert (first.prompt, first.target, first.group, first.picture.path) == (
        query,
        "Blue",
        "3887.png",
        tmp_path / "png/3887.png",
    )
    assert isinstance(sixth, Item)
    assert sixth.target == "3"


cells = (
    st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="|"), min_size=1, max_size=8)
    .map(lambda text: " ".join(text.split()))
    .filter(bool)
)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=2, max_size=5)
    )
)
def test_every_cell_is_in_its_place(table: list[list[str]]) -> None:
    try:
        target = chart_target(table)
    except RowRejected as error:
        assert error.code.startswith(("target.", "source.", "language.")), error
    else:
        assert [len(line.split(" | ")) for line in target.split("\n")] == [len(table[0])] * len(table)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_rows_or_a_reason(content: bytes) -> None:
    try:
        table = csv_rows(content)
    except RowRejected as error:
        assert error.code in {"source.encoding", "source.syntax"}
    else:
        assert all(isinstance(cell, str) for row in table for cell in row)


# PlotQA


def axis(label: object, labels: object = ()) -> dict[str, Any]:
    return {
        "label": {"text": label},
        "major_labels": {"values": list(labels) if isinstance(labels, (list, tuple)) else labels},
    }


def plot(
    kind: str = "vbar_categorical",
    index: object = 0,
    x: object = ("a", "b"),
    y: object = (1.0, 2.5),
    name: object = "A",
    labels: object = ("a", "b"),
) -> dict[str, Any]:
    as_list = [list(value) if isinstance(value, tuple) else value for value in (x, y)]
    return {
        "type": kind,
        "image_index": index,
        "models": [{"name": name, "x": as_list[0], "y": as_list[1]}],
        "general_figure_info": {"x_axis": axis("Year", labels), "y_axis": axis("Rate", labels)},
    }


def test_bars_and_lines() -> None:
    assert rows(plot()) == [["Year", "A"], ["a", "1"], ["b", "2.5"]]
    assert rows(plot("hbar_categorical", x=(1.0, 2.5), y=("a", "b"))) == [["Rate", "A"], ["a", "1"], ["b", "2.5"]]
    assert rows(plot("line", x=(0, 1), labels=("1990", "1991", "1990", "1991"))) == [
        ["Year", "A"],
        ["1990", "1"],
        ["1991", "2.5"],
    ]
    assert rows(plot("dot_line", x=(0, 1), labels=("1990", "1991"))) == [["Year", "A"], ["1990", "1"], ["1991", "2.5"]]
    assert rows(plot("line", x=("p", "q"), labels=())) == [["Year", "A"], ["p", "1"], ["q", "2.5"]]


def test_two_of_everything_is_not_always_twice() -> None:
    """Two points whose labels are the same: the list is not halved although its halves are equal."""
    assert rows(plot("line", x=(0, 1), labels=("same", "same")))[1:] == [["same", "1"], ["same", "2.5"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (82.0, "82"),
        (1e-05, "0.00001"),
        (-0.0, "0"),
        (-1.50, "-1.5"),
        (12.1953582763672, "12.1953582763672"),
        (1e15, "1000000000000000"),
        (7, "7"),
        ("7.0", "7.0"),
        (100.0, "100"),
    ],
)
def test_numbers_are_written_as_people_write_them(value: object, text: str) -> None:
    assert rows(plot(x=("a",), y=(value,)))[1][1] == text


@pytest.mark.parametrize(
    "broken",
    [
        plot("scatter"),
        plot(x=("a",)),
        plot("line", x=(0, 1), labels=("1990",)),
        plot("line", x=(0, 1), labels=7),
        plot(y=(float("nan"), 1)),
        plot(y=(1e300, 1)),
        plot(y=(10**50, 1)),
        plot(y=(True, 1)),
        plot(y=(None, 1)),
        plot(y=({}, 1)),
        plot(y="12"),
        plot(name=7),
        plot(name=None),
        {**plot(), "models": []},
        {**plot(), "models": [7]},
        {**plot(), "models": {}},
        {**plot(), "general_figure_info": None},
        {**plot(), "general_figure_info": {"x_axis": []}},
        {**plot(), "general_figure_info": {"x_axis": axis([1])}},
        {**plot(), "models": [plot()["models"][0], plot(x=("a", "c"))["models"][0]]},
        {},
    ],
)
def test_a_bad_plot_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(RowRejected) as caught:
        rows(broken)
    assert caught.value.code in {"source.shape", "target.chart"}


def test_plots_around_a_bad_one_survive(tmp_path: Path) -> None:
    good = [json.dumps(plot(index=index)) for index in range(4)]
    bad = [
        '{"type": "line", "models": [}',
        '"text"',
        "[" * 5000 + "]" * 5000,
        json.dumps(plot(index="../../x")),
        json.dumps(plot(index=True)),
        json.dumps(plot(index=-1)),
        json.dumps(plot(name="a|b")),
    ]
    (tmp_path / "annotations.json").write_text(
        "[" + ",\n".join([good[0], bad[0], good[1], *bad[1:], good[2]]) + "]", "utf-8"
    )
    found = read_all("plotqa", tmp_path)
    assert codes(found) == [
        "",
        "source.syntax",
        "",
        "source.shape",
        "source.too_large",
        *["source.shape"] * 3,
        "source.inexpressible",
        "",
    ]
    last = found[-1]
    assert isinstance(last, Item)
    assert (last.where, last.picture.path, last.target) == (
        "annotations.json[9]",
        tmp_path / "png/2.png",
        "Year | A\na | 1\nb | 2.5",
    )


def test_a_truncated_file_keeps_what_came_before(tmp_path: Path) -> None:
    whole = "[" + ",".join(json.dumps(plot(index=index)) for index in range(3)) + "]"
    (tmp_path / "annotations.json").write_text(whole[:-40], "utf-8")
    found = read_all("plotqa", tmp_path / "annotations.json")
    assert codes(found)[:2] == ["", ""]
    assert all(codes(found)[2:])


def test_plotqa_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "annotations.json").write_text(json.dumps([plot()]), "utf-8")
    assert [found.where for found in read_all("plotqa", tmp_path)] == [
        "train/annotations.json[0]",
        "val/annotations.json[0]",
    ]
    (item,) = read_all("plotqa", tmp_path, split="val")
    assert isinstance(item, Item)
    assert item.picture.path == tmp_path / "val/png/0.png"
    with pytest.raises(UsageError, match="no annotations.json here for the split test"):
        read_all("plotqa", tmp_path, split="test")
