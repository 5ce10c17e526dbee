"""Page formats and hostile or broken sources: no exception but UsageError, no hang, and every good row around the
damage survives.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft import formats
from sft.errors import UsageError
from sft.formats.base import Item, Reject, SourceOptions
from sft.formats.shared import json_stream, xml_safe
from sft.reasons import REASONS

LINE = {
    "page-xml": (
        '<TextLine id="{0}"><Coords points="1,1 90,1 90,9 1,9"/><TextEquiv><Unicode>text'
        " {0}</Unicode></TextEquiv></TextLine>"
    ),
    "alto": (
        '<TextLine ID="{0}" HPOS="1" VPOS="1" WIDTH="89" HEIGHT="8"><String CONTENT="text"/><SP/><String'
        ' CONTENT="{0}"/></TextLine>'
    ),
    "hocr": (
        "<span class='ocr_line' id='{0}' title='bbox 1 1 90 9'><span class='ocrx_word'>text</span> <span"
        " class='ocrx_word'>{0}</span></span>"
    ),
}
FRAME = {
    "page-xml": (
        '<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"><Page'
        ' imageFilename="a.png"><TextRegion>{}</TextRegion></Page></PcGts>'
    ),
    "alto": (
        '<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description>'
        "<sourceImageInformation><fileName>a.png</fileName></sourceImageInformation></Description>"
        "<Layout><Page><PrintSpace><TextBlock>{}</TextBlock></PrintSpace></Page></Layout></alto>"
    ),
    "hocr": '<html><body><div class="ocr_page" title=\'image "a.png"\'>{}</div></body></html>',
}
SUFFIX = {
    "page-xml": ".xml",
    "alto": ".xml",
    "hocr": ".hocr",
    "docling": ".json",
    "omnidocbench": ".json",
    "label-studio": ".json",
    "ppocrlabel": ".txt",
}
HUGE = b'<a b="' + b"x" * 11_000_000 + b'"/>'
ELSE = {
    "empty": b"",
    "NUL": b"\0" * 100,
    "BOM": b"\xff\xfe\xd8",
    "[": b"[" * 100_000,
    "{": b"{" * 100_000,
    "nested": b'{"a":' * 100_000,
    "zip": b"PK\x03\x04",
    "pickle": pickle.dumps([1]),
}
LINES = ["a1", "b2", "c3"]


def page(name: str, inner: str | None = None) -> str:
    return FRAME[name].format("".join(LINE[name].format(line) for line in LINES) if inner is None else inner)


def run(name: str, folder: Path, content: bytes) -> tuple[list[Item], list[Reject]]:
    """What a source of these bytes becomes; every reject has a known code, a place, and what a file of rejects can
    hold.
    """
    path = folder / f"source{SUFFIX[name]}"
    path.write_bytes(content)
    found, options = formats.get(name), SourceOptions()
    reads = [read for unit in found.units(path, options) for read in found.read(unit, options)]
    rejected = [read for read in reads if isinstance(read, Reject)]
    assert all(one.where and one.code in REASONS and one.message and len(one.raw) <= 200 for one in rejected)
    assert json.dumps([[one.where, one.message, one.raw] for one in rejected], ensure_ascii=False).encode()
    return [read for read in reads if isinstance(read, Item)], rejected


ENTITY = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
LAUGHS = (
    "<!DOCTYPE r [<!ENTITY l0 'ha'>" + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12)) + "]>"
)
REMOTE = '<!DOCTYPE r [<!ENTITY % p SYSTEM "http://192.0.2.1/x.dtd"> %p;]>'
XML: list[tuple[str, Callable[[str], bytes], str, int]] = [
    ("whole", lambda text: text.encode(), "", 3),
    ("utf-16", lambda text: ('<?xml version="1.0" encoding="utf-16"?>' + text).encode("utf-16"), "", 3),
    (
        "another namespace",
        lambda text: text.replace("primaresearch", "example").replace("loc.gov", "example.org").encode(),
        "",
        3,
    ),
    ("external entity", lambda text: (ENTITY + text.replace("text", "&x;")).encode(), "source.refused", 0),
    ("unused entity", lambda text: (ENTITY + text).encode(), "source.refused", 0),
    ("billion laughs", lambda text: (LAUGHS + text.replace("text", "&l11;")).encode(), "source.", 0),
    ("remote DTD", lambda text: (REMOTE + text).encode(), "source.refused", 0),
    ("unknown entity", lambda text: text.replace("text", "&nbsp;").encode(), "source.", 0),
    (
        "deep nesting",
        lambda text: text.encode().replace(b"</TextRegion>", b"<a>" * 10_000).replace(b"</TextBlock>", b"<a>" * 10_000),
        "source.too_large",
        3,
    ),
    (
        "huge attribute",
        lambda text: text.encode().replace(b"</TextRegion>", HUGE).replace(b"</TextBlock>", HUGE),
        "source.too_large",
        3,
    ),
    (
        "NUL byte at the end",
        lambda text: (
            text.encode().replace(b"</TextRegion>", b"\0</TextRegion>").replace(b"</TextBlock>", b"\0</TextBlock>")
        ),
        "source.",
        3,
    ),
    (
        "wrong byte in the last line",
        lambda text: text.encode().replace(b"c3</", b"\xff</").replace(b'CONTENT="c3"', b'CONTENT="\xff"'),
        "source.encoding",
        2,
    ),
    ("empty", lambda text: b"", "source.syntax", 0),
    ("no XML", lambda text: b"\x89PNG\r\n\x1a\n", "source.", 0),
    ("another document", lambda text: b"<mets/>", "source.shape", 0),
    ("unknown encoding", lambda text: ('<?xml version="1.0" encoding="nope"?>' + text).encode(), "source.", 0),
]


@pytest.mark.parametrize("name", ["page-xml", "alto"])
@pytest.mark.parametrize(("damage", "code", "count"), [case[1:] for case in XML], ids=[case[0] for case in XML])
def test_xml(name: str, damage: Callable[[str], bytes], code: str, count: int, tmp_path: Path) -> None:
    found, rejected = run(name, tmp_path, damage(page(name)))
    assert [item.target for item in found] == [f"text {line}" for line in LINES[:count]]
    assert [one.code for one in rejected if one.code.startswith(code)] if code else not rejected


HTML: list[tuple[str, Callable[[str], bytes], str, int]] = [
    ("whole", lambda text: text.encode(), "", 3),
    (
        "XHTML",
        lambda text: (
            '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"'
            ' "http://192.0.2.1/x.dtd">' + text
        ).encode(),
        "",
        3,
    ),
    ("external entity", lambda text: (ENTITY + text.replace(">text<", ">&x;<")).encode(), "&x;", 3),
    (
        "latin-1",
        lambda text: text.replace("<body>", '<head><meta charset="iso-8859-1"></head><body>').encode("latin-1"),
        "",
        3,
    ),
    ("wrong byte", lambda text: text.encode().replace(b">text<", b">\xff<"), "source.encoding", 0),
    (
        "unknown charset",
        lambda text: text.replace("<body>", '<head><meta charset="nope"></head><body>').encode(),
        "source.encoding",
        0,
    ),
    (
        "slow charset",
        lambda text: text.replace("<body>", '<head><meta charset="punycode"></head><body>').encode(),
        "source.encoding",
        0,
    ),
    ("NUL", lambda text: text.replace("text", "te\0xt").encode(), "source.syntax", 0),
    ("deep nesting", lambda text: text.replace("</div>", "<div>" * 10_000).encode(), "source.too_large", 0),
    (
        "huge attribute",
        lambda text: text.replace("</div>", '<p class="' + "x" * 11_000_000 + '">').encode(),
        "source.too_large",
        0,
    ),
    ("empty", lambda text: b"", "source.syntax", 0),
    ("no HTML", lambda text: b"\x89PNG\r\n\x1a\n", "source.encoding", 0),
    ("no hOCR", lambda text: b"<html><p>x</p></html>", "source.shape", 0),
    ("huge box", lambda text: text.replace("bbox 1 1", "bbox 9999999 1").encode(), "source.geometry", 0),
    ("slow title", lambda text: text.replace("bbox 1 1", "bbox " + " " * 100_000).encode(), "source.geometry", 0),
]


@pytest.mark.parametrize(("damage", "code", "count"), [case[1:] for case in HTML], ids=[case[0] for case in HTML])
def test_hocr(damage: Callable[[str], bytes], code: str, count: int, tmp_path: Path) -> None:
    found, rejected = run("hocr", tmp_path, damage(page("hocr")))
    assert len(found) == count
    if code.startswith("source"):
        assert {one.code for one in rejected} == {code}
    else:
        assert not rejected and all(item.target.startswith(code or "text") for item in found)


@settings(max_examples=80, deadline=None)
@given(name=st.sampled_from(["page-xml", "alto", "hocr"]), share=st.floats(0, 0.999))
def test_what_was_whole_before_a_cut_is_kept(name: str, share: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = page(name)
    cut = int(share * len(text))
    found, rejected = run(name, tmp_path_factory.getbasetemp(), text[:cut].encode())
    last = LINE[name].rpartition("</")[2]
    ends = (
        [position for position in range(len(text)) if text.startswith("</" + last, position)][-len(LINES) :]
        if name != "hocr"
        else []
    )
    complete = sum(end + len(last) + 2 <= cut for end in ends)
    targets = [item.target for item in found]
    assert targets == [f"text {line}" for line in LINES][: len(targets)] and len(targets) >= complete
    assert rejected


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(["page-xml", "alto", "hocr"]),
    where=st.floats(0, 0.999),
    junk=st.binary(min_size=1, max_size=6),
)
def test_any_bytes_anywhere(name: str, where: float, junk: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = page(name).encode()
    cut = int(where * len(content))
    found, rejected = run(name, tmp_path_factory.getbasetemp(), content[:cut] + junk + content[cut + len(junk) :])
    assert found or rejected


VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1e300,
    float("nan"),
    "",
    "\0",
    "x" * 300,
    [],
    {},
    [[]],
    [None],
    {"a": None},
    "../../etc/passwd",
    10**30,
    [[1, 2], [3, 4]],
    "s3://x/y",
]
GOOD: dict[str, Any] = {
    "label-studio": {
        "data": {"ocr": "a.png"},
        "annotations": [
            {
                "was_cancelled": False,
                "result": [
                    {
                        "id": "g",
                        "type": "rectangle",
                        "from_name": "b",
                        "original_width": 9,
                        "original_height": 9,
                        "value": {"x": 1, "y": 1, "width": 5, "height": 5, "rotation": 3},
                    },
                    {"id": "g", "type": "textarea", "from_name": "t", "value": {"text": ["good"]}},
                ],
            }
        ],
    },
    "omnidocbench": {
        "page_info": {"image_path": "a.png", "width": 9, "height": 9},
        "layout_dets": [{"category_type": "text_block", "poly": [1, 1, 9, 1, 9, 9, 1, 9], "text": "good"}],
    },
    "ppocrlabel": [{"transcription": "good", "points": [[1, 1], [9, 1], [9, 9], [1, 9]], "difficult": False}],
    "docling": {
        "pages": {
            "1": {"size": {"width": 9, "height": 9}, "image": {"uri": "a.png", "size": {"width": 9, "height": 9}}}
        },
        "texts": [
            {
                "label": "text",
                "text": "good",
                "orig": "good",
                "prov": [
                    {
                        "page_no": 1,
                        "bbox": {"l": 1, "t": 1, "r": 9, "b": 9, "coord_origin": "TOPLEFT"},
                        "charspan": [0, 4],
                    }
                ],
            }
        ],
        "tables": [
            {
                "prov": [{"page_no": 1, "bbox": {"l": 1, "t": 1, "r": 9, "b": 9}}],
                "data": {
                    "num_rows": 1,
                    "num_cols": 1,
                    "table_cells": [
                        {
                            "text": "x",
                            "row_span": 1,
                            "col_span": 1,
                            "start_row_offset_idx": 0,
                            "start_col_offset_idx": 0,
                            "column_header": True,
                        }
                    ],
                },
            }
        ],
        "pictures": [
            {
                "prov": [{"page_no": 1, "bbox": {"l": 1, "t": 1, "r": 9, "b": 9}}],
                "annotations": [
                    {
                        "kind": "bar_chart_data",
                        "x_axis_label": "x",
                        "y_axis_label": "y",
                        "bars": [{"label": "a", "values": 1.0}],
                    }
                ],
            }
        ],
        "key_value_items": [
            {"graph": {"cells": [{"text": "k", "prov": {"page_no": 1, "bbox": {"l": 1, "t": 1, "r": 9, "b": 9}}}]}}
        ],
    },
}


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    pairs = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [(value, key) for key, _ in pairs] + [place for _, inner in pairs for place in places(inner)]


def source_of(name: str, rows: list[Any]) -> bytes:
    if name == "ppocrlabel":
        return "".join(f"x/a.png\t{json.dumps(row)}\n" for row in rows).encode()
    return json.dumps(rows if name != "docling" else rows[0]).encode()


@pytest.mark.parametrize("name", GOOD)
def test_any_value_anywhere(name: str, tmp_path: Path) -> None:
    """Each value of a good row in turn becomes something else; the row behind it is not touched."""
    good = len(run(name, tmp_path, source_of(name, [GOOD[name]]))[0])
    assert good
    count = len(places(GOOD[name]))
    for index in range(count):
        for value in VALUES[index % 3 :: 3]:
            changed = json.loads(json.dumps(GOOD[name]))
            container, key = places(changed)[index]
            container[key] = value
            found, rejected = run(name, tmp_path, source_of(name, [changed, GOOD[name]]))
            assert found or rejected
            assert name == "docling" or [item.target for item in found][-1] == "good"


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("content", ELSE.values(), ids=ELSE)
def test_sources_that_are_something_else(name: str, content: bytes, tmp_path: Path) -> None:
    try:
        found, rejected = run(name, tmp_path, content)
    except UsageError:
        return
    assert not found and (rejected or not content)


def test_circles_and_depth_in_documents(tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(json_stream.MAX_DEPTH):
        deep = [deep]
    _, rejected = run("docling", tmp_path, json.dumps({**GOOD["docling"], "body": deep}).encode())
    assert [one.code for one in rejected] == ["source.too_large"]


def test_documents_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_safe, "MAX_BYTES", 1000)
    assert [one.code for one in run("page-xml", tmp_path, page("page-xml", "x" * 2000).encode())[1]] == [
        "source.too_large"
    ]
    monkeypatch.setattr(xml_safe, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(xml_safe, "MAX_TAGS", 100)
    assert [one.code for one in run("alto", tmp_path, page("alto", "<a/>" * 200).encode())[1]] == ["source.too_large"]


def test_tables_are_bounded(tmp_path: Path) -> None:
    cell = {"start_row_offset_idx": 99_000, "start_col_offset_idx": 99_000, "text": "x"}
    document = {
        **GOOD["docling"],
        "tables": [{**GOOD["docling"]["tables"][0], "data": {"num_rows": 1, "num_cols": 1, "table_cells": [cell]}}],
    }
    found, rejected = run("docling", tmp_path, json.dumps(document).encode())
    assert [(one.where, one.code) for one in rejected] == [("source.json#/tables/0", "source.too_large")] and len(
        found
    ) == 3
    cells = '<TableRegion id="t"><Coords points="1,1 9,9"/><TableCell row="9999" col="9999"/></TableRegion>'
    assert [one.code for one in run("page-xml", tmp_path, page("page-xml", cells).encode())[1]] == ["source.too_large"]


def lmdb_set(folder: Path, values: dict[str, bytes]) -> Path:
    import lmdb

    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 20) as base, base.begin(write=True) as view:
        for key, value in values.items():
            view.put(key.encode(), value)
    (folder / "lock.mdb").unlink()
    return folder


def lmdb_reads(folder: Path) -> list[Any]:
    found = formats.get("lmdb")
    return [read for unit in found.units(folder, SourceOptions()) for read in found.read(unit, SourceOptions())]


def test_lmdb_is_only_read(tmp_path: Path) -> None:
    folder = lmdb_set(
        tmp_path / "set",
        {
            "num-samples": b"2",
            "image-000000001": b"x",
            "label-000000001": b"one",
            "image-000000002": b"x",
            "label-000000002": pickle.dumps("two"),
        },
    )
    first, second = lmdb_reads(folder)
    assert first.target == "one" and first.picture.data == b"x" and second.code == "source.refused"
    assert [path.name for path in folder.iterdir()] == ["data.mdb"]


@pytest.mark.parametrize("count", [b"", b"-1", b"1.5", b"\xff", b"9" * 40, pickle.dumps(3), "٣".encode()])
def test_lmdb_counts_that_are_none(count: bytes, tmp_path: Path) -> None:
    (reject,) = lmdb_reads(
        lmdb_set(tmp_path / "set", {"num-samples": count, "image-000000001": b"x", "label-000000001": b"one"})
    )
    assert reject.code == "source.shape"


@pytest.mark.parametrize("values", [{}, {"0": pickle.dumps({"a": 1})}, {"x": b"y"}])
def test_lmdb_without_a_count(values: dict[str, bytes], tmp_path: Path) -> None:
    (reject,) = lmdb_reads(lmdb_set(tmp_path / "set", values))
    assert reject.code == ("source.refused" if "0" in values else "source.shape")


@pytest.mark.parametrize("size", [0, 10, 4096, 9000, 12_288, 20_000])
def test_lmdb_that_was_cut_off(size: int, tmp_path: Path) -> None:
    values = {"num-samples": b"9"} | {
        f"{kind}-{number:09d}": b"x" * 3000 for kind in ("image", "label") for number in range(1, 10)
    }
    data = lmdb_set(tmp_path / "set", values) / "data.mdb"
    content = data.read_bytes()
    assert len(content) > 20_000
    data.write_bytes(content[:size])
    with pytest.raises(UsageError, match="LMDB set|cut off"):
        lmdb_reads(tmp_path / "set")


def test_lmdb_that_is_something_else(tmp_path: Path) -> None:
    for name, content in [("text", b"hello"), ("zeros", bytes(20_000)), ("pickle", pickle.dumps([1]) * 1000)]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.mdb").write_bytes(content)
        with pytest.raises(UsageError, match="LMDB set"):
            lmdb_reads(tmp_path / name)
