"""Page formats: what their golden folders leave out; positions, choices between texts, images beside documents,
--task.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from places import TESTS

from sft import formats
from sft.errors import RowRejected, UsageError
from sft.formats.base import Item, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import page_images, regions
from sft.types import Task


def convert(name: str, source: Path, **given: Any) -> list[ReadItem]:
    found, options = formats.get(name), SourceOptions(**given)
    return [read for unit in found.units(source, options) for read in found.read(unit, options)]


def items(reads: list[ReadItem]) -> list[Item]:
    return [read for read in reads if isinstance(read, Item)]


def rejects(reads: list[ReadItem]) -> list[tuple[str, str]]:
    return [(read.where, read.code) for read in reads if isinstance(read, Reject)]


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def image(path: Path, width: int = 100, height: int = 50, exif: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("L", (width, height), 255)
    marks = picture.getexif()
    marks[0x0112] = exif
    picture.save(path, exif=marks)
    return path


BOX = ((10.0, 5.0), (60.0, 5.0), (60.0, 25.0), (10.0, 25.0))


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (BOX, BOX),
        (BOX[::-1], (BOX[0], BOX[1], BOX[2], BOX[3])),
        (BOX[2:] + BOX[:2], BOX),
        (BOX[::2], BOX),
        ((BOX[0], BOX[1], BOX[3]), BOX),
    ],
)
def test_polygons_are_clockwise_from_the_top_left(points: regions.Quad, expected: regions.Quad) -> None:
    assert regions.polygon(points) == expected


def test_ordered_polygons_keep_their_first_point() -> None:
    assert regions.polygon(BOX[2:] + BOX[:2], ordered=True) == BOX[2:] + BOX[:2]  # a text that stands on its head
    assert regions.polygon((BOX[2], BOX[1], BOX[0], BOX[3]), ordered=True)[0] == BOX[2]


@pytest.mark.parametrize(
    "points",
    [(), ((1.0, 1.0),), ((1.0, 1.0),) * 4, ((1.0, 1.0), (5.0, 1.0)), ((0.0, 0.0), (9.0, 9.0), (9.0, 9.0), (0.0, 0.0))],
)
def test_polygons_without_an_inside(points: regions.Quad) -> None:
    if len(points) == 4 and len(set(points)) == 2:
        assert regions.polygon(points) == ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))  # a diagonal is a box
        return
    with pytest.raises(RowRejected) as error:
        regions.polygon(points)
    assert error.value.code == "source.geometry"


@pytest.mark.parametrize("value", [None, True, "", "1e999", "nan", 1e7, 10**400, [1], "0x10"])
def test_numbers_that_are_no_pixels(value: Any) -> None:
    with pytest.raises(RowRejected, match="not a number of pixels"):
        regions.number(value)


def test_pages_of_another_size_and_shape(tmp_path: Path) -> None:
    small, turned = Picture(path=image(tmp_path / "a.png")), Picture(path=image(tmp_path / "b.jpg", 50, 100, exif=6))
    assert regions.scale(small, 400, 200) == (0.25, 0.25) and regions.scale(turned, 400, 200) == (0.25, 0.25)
    assert regions.scale(small, 0, 0) == (1, 1) and regions.scale(Picture(path=tmp_path / "none.png"), 5, 9) == (1, 1)
    with pytest.raises(RowRejected, match="not the same shape"):
        regions.scale(small, 200, 400)


def test_images_are_found_by_what_is_left_of_their_name(tmp_path: Path) -> None:
    document = put(tmp_path / "page" / "0001.xml", "")
    above, beside = image(tmp_path / "scan.jpg"), image(tmp_path / "page" / "0001.png")

    def found(name: str, **given: Any) -> Path | None:
        return page_images.image_beside(name, document, tmp_path, SourceOptions(**given)).path

    assert (
        found("scan.jpg")
        == found(r"C:\scans\scan.jpg")
        == found("file:///home/x/scan.jpg")
        == found("../scan.jpg")
        == found("scan.tif")
        == above
    )
    assert found("") == found("0001.tif") == beside
    assert found("missing.png", images=tmp_path / "elsewhere") == tmp_path / "elsewhere" / "missing.png"
    assert (
        page_images.image_beside("https://example.org/a.png", document, tmp_path, SourceOptions()).url
        == "https://example.org/a.png"
    )
    for name, code in [
        ("s3://bucket/a.png", "source.address"),
        ("ftp://example.org/a.png", "source.address"),
        ("..", "source.outside"),
        ("a\0.png", "source.outside"),
    ]:
        with pytest.raises(RowRejected) as error:
            found(name, images=tmp_path / "empty")
        assert error.value.code == code


def test_ppocrlabel_folder_with_another_name(tmp_path: Path) -> None:
    image(tmp_path / "renamed" / "a.png")
    row = json.dumps([{"transcription": "MASA", "points": [list(point) for point in BOX]}])
    put(
        tmp_path / "renamed" / "Label.txt",
        f"\ufeffreceipts/a.png\t{row}\r\n\r\nreceipts\\a.png\t{row}\n/abs/receipts/a.png\t{row}\na.png\t{{}}\n",
    )
    reads = convert("ppocrlabel", tmp_path / "renamed", turn=True)
    assert [(item.where, item.picture.path, item.picture.quad, item.picture.turn) for item in items(reads)] == [
        ("Label.txt:1#0", tmp_path / "renamed" / "a.png", BOX, True),
        ("Label.txt:3#0", tmp_path / "renamed" / "a.png", BOX, True),
        ("Label.txt:4#0", tmp_path / "renamed" / "a.png", BOX, True),
    ]
    assert rejects(reads) == [("Label.txt:5", "source.shape")]


def test_ppocrlabel_without_confirmed_labels(tmp_path: Path) -> None:
    put(
        tmp_path / "Cache.cach",
        'x/a.png\t[{"transcription": "MASA", "points": [[10, 5], [60, 5], [60, 25], [10, 25]]}]\n',
    )
    with pytest.raises(UsageError, match=r"no Label\.txt(.|\n)*Cache\.cach"):
        convert("ppocrlabel", tmp_path)
    assert [item.target for item in items(convert("ppocrlabel", tmp_path / "Cache.cach"))] == ["MASA"]


def task(result: list[Any], **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"ocr": "a.png"}, "annotations": [{"result": result}], **more}


def row(kind: str, **value: Any) -> dict[str, Any]:
    return {"id": "r", "type": kind, "from_name": kind, "original_width": 200, "original_height": 100, "value": value}


RECT = row("rectangle", x=10, y=20, width=30, height=40, rotation=0)
TEXT = row("textarea", text=["abc"])


def studio(folder: Path, *tasks: Any, **given: Any) -> list[ReadItem]:
    return convert("label-studio", put(folder / "export.json", json.dumps(tasks)), **given)


def test_label_studio_rotation_is_about_the_top_left(tmp_path: Path) -> None:
    (item,) = items(studio(tmp_path, task([row("rectangle", x=50, y=0, width=10, height=40, rotation=90), TEXT])))
    assert item.picture.quad == ((100, 0), (100, 20), (60, 20), (60, 0))


@pytest.mark.parametrize(
    ("shape", "quad"),
    [
        (RECT, ((20, 20), (80, 20), (80, 60), (20, 60))),
        (row("ellipselabels", x=50, y=50, radiusX=10, radiusY=20), ((80, 30), (120, 30), (120, 70), (80, 70))),
        (
            row("polygonlabels", points=[[10, 10], [20, 10], [20, 30], [10, 30]]),
            ((20, 10), (40, 10), (40, 30), (20, 30)),
        ),
    ],
)
def test_label_studio_shapes(shape: dict[str, Any], quad: Any, tmp_path: Path) -> None:
    (item,) = items(studio(tmp_path, task([TEXT, shape])))
    assert item.picture.quad == quad and item.target == "abc"


def test_label_studio_size_from_the_image(tmp_path: Path) -> None:
    image(tmp_path / "a.png", 200, 100)
    bare = {key: value for key, value in RECT.items() if not key.startswith("original")}
    assert [item.picture.quad[2] for item in items(studio(tmp_path, task([bare, TEXT])))] == [(80, 60)]
    assert [code for _, code in rejects(studio(tmp_path, task([bare, TEXT], data={"ocr": "gone.png"})))] == [
        "source.geometry"
    ]


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ([{"result": [row("textarea", text="old")]}, {"result": [TEXT]}], "abc"),
        ([{"result": [TEXT], "ground_truth": True}, {"result": [row("textarea", text="new")]}], "abc"),
        ([{"result": [TEXT]}, {"result": [row("textarea", text="skipped")], "was_cancelled": True}], "abc"),
        ([], "source.ignored"),
        ([{"result": []}], "source.ignored"),
        ([{"result": [TEXT], "was_cancelled": True}], "source.ignored"),
        ("none", "source.shape"),
        ([{"result": [row("textarea", text=[1])]}], "source.shape"),
        ([{"result": [row("textarea", text=[""])]}], "target.empty"),
        ([{"result": [{"id": "r", "type": "textarea"}]}], "source.shape"),
    ],
)
def test_label_studio_annotations(annotations: Any, expected: str, tmp_path: Path) -> None:
    (read,) = studio(tmp_path, task([], annotations=annotations))
    assert (read.target if isinstance(read, Item) else read.code if isinstance(read, Reject) else None) == expected


def test_label_studio_columns(tmp_path: Path) -> None:
    two = [{**TEXT, "from_name": "raw"}, {**row("textarea", text="clean"), "from_name": "clean"}]
    reads = studio(
        tmp_path, task([RECT, *two], data={"page": "b.png", "thumb": "c.png"}), columns={"image": "page", "text": "raw"}
    )
    assert [(item.target, item.picture.path) for item in items(reads)] == [("abc", tmp_path / "b.png")]
    assert rejects(studio(tmp_path, task([TEXT]), columns={"image": "page"})) == [("export.json[0]", "source.shape")]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/data/upload/1/5b-a%20b.png", "upload/1/5b-a b.png"),
        ("/data/local-files/?d=scans/a.png", "scans/a.png"),
        ("a.png?x=1", "a.png?x=1"),
        ("https://example.org/a.png", "https://example.org/a.png"),
        ("gs://bucket/a.png", "source.address"),
        ("/tasks/7/resolve/?fileuri=czM6", "source.address"),
        ("/data/local-files/?d=../../etc/passwd", "source.outside"),
        ("/scans/a.png", "/scans/a.png"),
        ("../a.png", "../a.png"),
        ("a\0.png", "source.outside"),
        ("", "source.shape"),
        ("http://[", "http://["),
    ],
)
def test_label_studio_addresses(address: str, expected: str, tmp_path: Path) -> None:
    (read,) = studio(tmp_path, task([TEXT], data={"ocr": address}))
    if isinstance(read, Item):
        assert (read.picture.url or read.picture.path) in (expected, tmp_path / expected)
    else:
        assert isinstance(read, Reject) and read.code == expected


def test_label_studio_minimal_and_lines(tmp_path: Path) -> None:
    shape = {**RECT["value"], "original_width": 200, "original_height": 100}
    lines = [
        {"ocr": "a.png", "transcription": "whole"},
        {"ocr": "a.png", "transcription": ["a", "b"], "bbox": [shape]},
        {"image": "a.png", "transcription": "one", "bbox": [shape]},
    ]
    reads = convert("label-studio", put(tmp_path / "export.jsonl", "\n".join(map(json.dumps, lines))))
    assert [(item.target, bool(item.picture.quad)) for item in items(reads)] == [("whole", False), ("one", True)]
    assert rejects(reads) == [("export.jsonl:2", "source.shape")]


def test_omnidocbench_task_selects_blocks(tmp_path: Path) -> None:
    blocks = [
        {"category_type": "text_block", "poly": [1, 1, 9, 1, 9, 9, 1, 9], "text": "t"},
        {"category_type": "equation_isolated", "poly": [1, 1, 9, 1, 9, 9, 1, 9], "latex": "$$x$$"},
        7,
    ]
    source = put(tmp_path / "a.json", json.dumps([{"layout_dets": blocks, "page_info": {"image_path": "x/p.jpg"}}]))
    assert [item.task for item in items(convert("omnidocbench", source))] == [Task.OCR, Task.FORMULA]
    reads = convert("omnidocbench", source, task=Task.FORMULA)
    assert [item.target for item in items(reads)] == ["\\[x\\]"] and rejects(reads) == [("a.json[0]#2", "source.shape")]


def test_docling_image_inside_the_document(tmp_path: Path) -> None:
    uri = "data:image/png;base64,iVBORw0KGgo="
    document = {
        "pages": {
            "1": {"size": {"width": 100, "height": 200}, "image": {"uri": uri, "size": {"width": 300, "height": 600}}}
        },
        "texts": [
            {
                "label": "text",
                "text": "abc",
                "prov": [{"page_no": 1, "bbox": {"l": 10, "t": 150, "r": 60, "b": 100, "coord_origin": "BOTTOMLEFT"}}],
            }
        ],
        "tables": [
            {
                "image": {"uri": uri},
                "prov": [],
                "data": {
                    "num_rows": 1,
                    "num_cols": 1,
                    "table_cells": [{"start_row_offset_idx": 0, "start_col_offset_idx": 0, "text": "x"}],
                },
            }
        ],
    }
    text, table = items(convert("docling", put(tmp_path / "d.json", json.dumps(document))))
    assert (
        text.picture.quad == ((30, 150), (180, 150), (180, 300), (30, 300))
        and text.picture.data == b"\x89PNG\r\n\x1a\n"
    )
    assert table.target == "<fcel>x<nl>" and not table.picture.quad and table.picture.data


def test_docling_cells_that_refer_to_fields(tmp_path: Path) -> None:
    image(tmp_path / "d.png")
    cell = {"start_row_offset_idx": 0, "start_col_offset_idx": 0, "text": "", "ref": {"$ref": "#/field_items/0"}}
    document: dict[str, Any] = {
        "pages": {"1": {"size": {"width": 100, "height": 50}}},
        "texts": [{"label": "field_value", "text": "150,997", "prov": []}],
        "field_items": [{"children": [{"$ref": "#/texts/0"}]}],
        "tables": [
            {
                "prov": [{"page_no": 1, "bbox": {"l": 1, "t": 1, "r": 9, "b": 9}}],
                "data": {"num_rows": 1, "num_cols": 1, "table_cells": [cell]},
            }
        ],
    }
    assert [
        item.target
        for item in items(convert("docling", put(tmp_path / "d.json", json.dumps(document)), task=Task.TABLE))
    ] == ["<fcel>150,997<nl>"]
    document["field_items"][0]["children"] = [{"$ref": "#/field_items/0"}] * 2  # in a circle
    assert [
        code for _, code in rejects(convert("docling", put(tmp_path / "d.json", json.dumps(document)), task=Task.TABLE))
    ] == ["source.shape"]


CHARTS: list[tuple[dict[str, Any], str]] = [
    (
        {
            "kind": "pie_chart_data",
            "title": "Share",
            "slices": [{"label": "A, B", "value": 40.0}, {"label": "C", "value": 60.5}],
        },
        "Share\nA, B | 40\nC | 60.5",
    ),
    (
        {
            "kind": "line_chart_data",
            "x_axis_label": "Year",
            "lines": [{"label": "p", "values": [[2020, 1.5], [2021, 2]]}, {"label": "q", "values": [[2021, 3]]}],
        },
        "Year | p | q",
    ),
    ({"kind": "scatter_chart_data", "points": []}, "source.inexpressible"),
    ({"kind": "bar_chart_data", "bars": []}, "source.shape"),
    ({"kind": "bar_chart_data", "bars": [{"label": "a", "values": float("inf")}]}, "source.shape"),
    ({"kind": "classification"}, "source.ignored"),
]


@pytest.mark.parametrize(("note", "expected"), CHARTS)
def test_docling_charts(note: dict[str, Any], expected: str, tmp_path: Path) -> None:
    image(tmp_path / "d.png")
    document = {
        "pages": {"1": {"size": {"width": 100, "height": 50}}},
        "pictures": [{"prov": [{"page_no": 1, "bbox": {"l": 1, "t": 1, "r": 9, "b": 9}}], "annotations": [note]}],
    }
    (read,) = convert("docling", put(tmp_path / "d.json", json.dumps(document)))
    assert (isinstance(read, Item) and expected in read.target) or (isinstance(read, Reject) and read.code == expected)


# documentation/example/SimplePage.xml of PRImA-Research-Lab/PAGE-XML (Apache 2.0), shortened
SIMPLE_PAGE = """<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2017-07-15">
<Page imageFilename="SimplePage.png" imageWidth="800" imageHeight="600">
<TextRegion id="r0" type="heading"><Coords points="25,30 25,55 235,55 235,30"/>
<TextLine id="l0"><Coords points="25,30 25,55 235,55 235,30"/><TextEquiv>
<Unicode></Unicode></TextEquiv></TextLine><TextEquiv><Unicode>The PAGE Format</Unicode></TextEquiv></TextRegion>
<TextRegion id="r2" type="paragraph"><Coords points="25,310 25,430 400,430 400,310"/>
<TextEquiv><Unicode>The suitability of the framework to the evaluation
of entire workflows as well as individual stages has</Unicode></TextEquiv></TextRegion>
<TableRegion id="r3" lineSeparators="true"><Coords points="25,475 25,560 400,560 400,475"/>
<TextRegion id="r5" type="paragraph"><Coords points="40,485 40,500 120,500 120,485"/>
<TextEquiv><Unicode>Column 1</Unicode></TextEquiv></TextRegion></TableRegion></Page></PcGts>"""


def test_page_with_texts_of_regions(tmp_path: Path) -> None:
    reads = convert("page-xml", put(tmp_path / "SimplePage.xml", SIMPLE_PAGE))
    assert [(item.where.partition("#")[2], item.target) for item in items(reads)] == [
        ("r0", "The PAGE Format"),
        (
            "r2",
            "The suitability of the framework to the evaluation\nof entire workflows as well as individual stages has",
        ),
        ("r5", "Column 1"),
    ]
    assert items(reads)[0].picture.quad == ((25, 30), (235, 30), (235, 55), (25, 55))
    assert rejects(reads) == [("SimplePage.xml#l0", "target.empty")]


@pytest.mark.parametrize("name", ["page-xml", "alto", "hocr", "docling", "omnidocbench", "label-studio", "lmdb"])
def test_folders_without_documents(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="here"):
        convert(name, tmp_path)


def test_lmdb_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lmdb", None)
    assert items(convert("lmdb", TESTS / "golden" / "formats" / "lmdb" / "source"))
