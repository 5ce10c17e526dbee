"""Label Studio as people have it: Windows, pages, storages of annotations, objects over several lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sft.errors import UsageError
from sft.formats import get
from sft.formats.base import Item, ReadItem, Reject, SourceOptions

BOX = {"x": 5, "y": 10, "width": 40, "height": 20, "rotation": 0}
SIDES = {"original_width": 600, "original_height": 200}
QUAD = ((30.0, 20.0), (270.0, 20.0), (270.0, 60.0), (30.0, 60.0))


def reads(source: Path, **options: Any) -> list[ReadItem]:
    chosen, found = SourceOptions(**options), get("label-studio")
    return [read for unit in found.units(source, chosen) for read in found.read(unit, chosen)]


def shown(found: list[ReadItem], root: Path) -> list[tuple[str, str]]:
    """(text, image), or (code, message), in order."""
    out = []
    for read in found:
        if isinstance(read, Reject):
            out.append((read.code, read.message))
        elif isinstance(read, Item):
            path = read.picture.path
            out.append((read.target, path.relative_to(root).as_posix() if path else read.picture.url))
    return out


def region(text: str, name: str = "a", **more: Any) -> list[dict[str, Any]]:
    """A box with its text."""
    return [
        {"id": name, "type": "rectangle", **SIDES, "value": BOX, **more},
        {"id": name, "type": "textarea", "from_name": "t", "value": {**BOX, "text": [text]}, **more},
    ]


def task(data: dict[str, Any], *result: dict[str, Any]) -> dict[str, Any]:
    return {"id": 1, "data": data, "annotations": [{"id": 2, "was_cancelled": False, "result": list(result)}]}


def put(path: Path, value: Any, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value, **how), "utf-8")
    return path


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    for name in ("p0.png", "p1.png", "p2.png", "dataset1/0001.png", "upload/1/9f8e-p0.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (600, 200), (255, 255, 255)).save(tmp_path / name)
    return tmp_path


# paths


@pytest.mark.parametrize(
    "address",
    [
        "/data/local-files/?d=dataset1%5C0001.png",
        "/data/local-files/?d=dataset1\\0001.png",
        "/data/local-files/?d=dataset1/0001.png",
        "/data/local-files/?d=C%3A%5CUsers%5Cme%5Cdataset1%5C0001.png",
        "/data/local-files/?d=C:\\Users\\me\\dataset1\\0001.png",
        "/data/local-files/?d=projects/7/dataset1/0001.png",
        "C:\\Users\\me\\dataset1\\0001.png",
        "D:/scans/dataset1/0001.png",
        "file:///C:/scans/dataset1/0001.png",
        "\\\\server\\scans\\dataset1\\0001.png",
        "dataset1\\0001.png",
    ],
)
def test_paths_of_windows(pages: Path, address: str) -> None:
    Image.new("RGB", (600, 200)).save(pages / "0001.png")  # of another folder: the longest end counts
    path = put(pages / "export.json", [task({"ocr": address}, *region("Hello"))])
    (found,) = reads(path)
    assert isinstance(found, Item) and found.target == "Hello" and found.picture.quad == QUAD
    assert found.picture.path == pages / "dataset1" / "0001.png"
    other = put(pages / "elsewhere" / "export.json", [task({"ocr": address}, *region("Hello"))])
    assert shown(reads(other, images=pages), pages) == [("Hello", "dataset1/0001.png")]


@pytest.mark.parametrize("address", ["/data/local-files/?d=..\\..\\secret.png", "/data/local-files/?d=a/../../b.png"])
def test_paths_that_lead_out(pages: Path, address: str) -> None:
    (found,) = reads(put(pages / "export.json", [task({"ocr": address}, *region("Hello"))]))
    assert isinstance(found, Reject) and found.code == "source.outside"


# pages


def addresses(count: int, *, objects: bool = False) -> list[Any]:
    names = [f"/data/upload/1/p{number}.png" for number in range(count)]
    return [{"url": name} for name in names] if objects else list(names)


@pytest.mark.parametrize("key", ["pages", "images", "image", "scan_pages"])
@pytest.mark.parametrize("objects", [False, True])
def test_each_box_is_on_its_page(pages: Path, key: str, objects: bool) -> None:
    result = [row for page in (1, 0, 2) for row in region(f"on page {page}", f"r{page}", item_index=page)]
    path = put(pages / "pages.json", [task({key: addresses(3, objects=objects)}, *result)])
    assert shown(reads(path), pages) == [(f"on page {page}", f"p{page}.png") for page in (1, 0, 2)]


def test_pages_of_the_repeater_tag(pages: Path) -> None:
    rows = [row for page in (1, 0, 2) for row in region(f"on page {page}", f"r{page}", to_name=f"page_{page}")]
    path = put(pages / "repeater.json", [task({"images": addresses(3, objects=True)}, *rows)])
    assert shown(reads(path), pages) == [(f"on page {page}", f"p{page}.png") for page in (1, 0, 2)]


def test_texts_of_whole_pages(pages: Path) -> None:
    result = {"id": "w", "type": "textarea", "from_name": "t", "item_index": 1, "value": {"text": ["whole"]}}
    path = put(pages / "pages.json", [task({"pages": addresses(2)}, result)])
    assert shown(reads(path), pages) == [("whole", "p1.png")]


@pytest.mark.parametrize(
    ("count", "more", "expected"),
    [
        (1, {}, "p0.png"),
        (1, {"to_name": "image_7"}, "p0.png"),
        (2, {"item_index": 5}, "page 5, counted from 0, of 2"),
        (2, {"item_index": -1}, "page -1, counted from 0, of 2"),
        (2, {"to_name": "page_9"}, "page 9, counted from 0, of 2"),
        (2, {}, "on which of 2 pages? the region has no item_index"),
        (2, {"item_index": True}, "on which of 2 pages? the region has no item_index"),
        (0, {}, "which key holds the image? there are pages"),
    ],
)
def test_pages_that_are_not_there(pages: Path, count: int, more: dict[str, Any], expected: str) -> None:
    path = put(pages / "pages.json", [task({"pages": addresses(count)}, *region("x", **more))])
    assert shown(reads(path), pages)[0][1] == expected


def test_a_box_without_a_page_beside_one_with_a_page_is_on_the_first(pages: Path) -> None:
    path = put(
        pages / "pages.json", [task({"pages": addresses(2)}, *region("first"), *region("second", "b", item_index=1))]
    )
    assert shown(reads(path), pages) == [("first", "p0.png"), ("second", "p1.png")]


def test_json_min_with_pages(pages: Path) -> None:
    """As the converter of label-studio-sdk 2.1.2 writes it: the page of a region is lost, so that the row is
    refused.
    """
    path = put(
        pages / "min.json", [{"pages": addresses(2), "id": 1, "bbox": [{**BOX, **SIDES}], "transcription": ["x"]}]
    )
    assert [code for code, _ in shown(reads(path), pages)] == ["source.shape"]
    repeated = {
        "images": addresses(2, objects=True),
        "bbox_0": [],
        "bbox_1": [{**BOX, **SIDES}],
        "transcription_1": ["x"],
        "transcription_0": [],
    }
    assert shown(reads(put(pages / "min.json", [repeated])), pages) == [("x", "p1.png")]


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(4)), st.booleans(), st.booleans())
def test_pages_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], objects: bool, repeater: bool
) -> None:
    folder = tmp_path_factory.mktemp("ls")
    for number in order:
        (folder / f"p{number}.png").touch()
    said = (lambda page: {"to_name": f"page_{page}"}) if repeater else (lambda page: {"item_index": page})
    result = [row for page in order for row in region(str(page), f"r{page}", **said(page))]
    found = reads(put(folder / "a.json", [task({"pages": addresses(4, objects=objects)}, *result)]))
    assert shown(found, folder) == [(str(page), f"p{page}.png") for page in order]


# storages


def annotation(text: str = "from target storage", **task_of: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "result": region(text),
        "was_cancelled": False,
        "task": {"id": 1, "data": {"ocr": "/data/upload/1/p0.png"}, **task_of},
    }


@pytest.mark.parametrize("name", ["7", "7.json", "project-1/7", "7.jsonl"])
def test_annotations_of_a_storage(pages: Path, name: str) -> None:
    put(pages / "storage" / name, annotation())
    for source in (pages / "storage", pages / "storage" / name):
        assert shown(reads(source, images=pages), pages) == [("from target storage", "p0.png")]


def test_a_storage_of_many(pages: Path) -> None:
    for number in range(70):
        put(pages / "storage" / str(number), annotation(str(number)))
    put(pages / "storage" / "README", "no annotation")
    put(pages / "storage" / ".hidden", annotation())
    found = shown(reads(pages / "storage", images=pages), pages)
    assert sorted(text for text, _ in found) == sorted(map(str, range(70)))


def test_a_webhook(pages: Path) -> None:
    payload = {
        "action": "ANNOTATION_CREATED",
        "annotation": {"id": 7, "result": region("sent")},
        "task": {"id": 1, "data": {"ocr": "p0.png"}},
    }
    assert shown(reads(put(pages / "sent.json", payload)), pages) == [("sent", "p0.png")]


@pytest.mark.parametrize("inner", [{"task": 12}, {}, {"task": {"id": 1}}])
def test_an_annotation_without_its_task(pages: Path, inner: dict[str, Any]) -> None:
    path = put(pages / "7", {"id": 7, "result": region("x"), **inner})
    (found,) = reads(path)
    assert isinstance(found, Reject) and "without the data of its task" in found.message


def test_skipped_annotations_of_a_storage(pages: Path) -> None:
    (found,) = reads(put(pages / "7", {**annotation(), "was_cancelled": True}))
    assert isinstance(found, Reject) and found.code == "source.ignored"


def test_a_folder_without_labels_is_said(tmp_path: Path) -> None:
    put(tmp_path / "README", "nothing")
    with pytest.raises(UsageError, match="nor annotations of a storage"):
        reads(tmp_path)


# objects over several lines


@pytest.mark.parametrize("how", [{"indent": 2}, {"indent": "\t"}, {"indent": 0}, {"indent": 4, "sort_keys": True}, {}])
def test_one_object_over_several_lines_is_one_row(pages: Path, how: dict[str, Any]) -> None:
    one = task({"ocr": "p0.png"}, *region("pretty"))
    assert shown(reads(put(pages / "pretty.json", one, **how)), pages) == [("pretty", "p0.png")]
    path = put(
        pages / "two.json",
        json.dumps(one, **how) + "\n" + json.dumps(task({"ocr": "p1.png"}, *region("second")), **how) + "\n",
    )
    assert shown(reads(path), pages) == [("pretty", "p0.png"), ("second", "p1.png")]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-40],
        lambda text: text.replace('"result"', '"result', 1),
        lambda text: text.replace("[", "", 1),
    ],
)
def test_a_broken_object_over_several_lines_is_one_reject(pages: Path, damage: Any) -> None:
    text = json.dumps(task({"ocr": "p0.png"}, *region("pretty")), indent=2)
    found = shown(reads(put(pages / "pretty.json", damage(text))), pages)
    assert {code for code, _ in found} == {"source.syntax"} and len(found) <= 2, "and not one for each line"


def test_lines_stay_lines(pages: Path) -> None:
    lines = [json.dumps(task({"ocr": "p0.png"}, *region(str(number)))) for number in range(3)]
    broken = lines[0][:60]
    found = shown(reads(put(pages / "a.jsonl", "\n".join([broken, *lines]))), pages)
    assert [text for text, _ in found] == ["source.syntax", "0", "1", "2"]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.recursive(
            st.integers() | st.text(max_size=4),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([None, 0, 2, "\t"]),
)
def test_objects_of_any_shape_one_after_the_other(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], indent: Any
) -> None:
    from sft.formats.shared import rows

    objects = [{"a": value} for value in values]
    path = tmp_path_factory.mktemp("objects") / "a.json"
    path.write_text("\n".join(json.dumps(one, indent=indent) for one in objects), "utf-8")
    found = [row for unit in rows.json_units(path) for row in rows.json_rows(unit)]
    assert [row[1] for row in found if not isinstance(row, Reject)] == objects


def test_a_file_of_a_folder_that_is_no_text_costs_itself(pages: Path) -> None:
    put(pages / "in" / "a.json", task({"ocr": "p0.png"}, *region("one")))
    (pages / "in" / "b.json").write_bytes(b"\x1f\x8b\x08" + b"\0" * 40)
    put(pages / "in" / "c.json", task({"ocr": "p0.png"}, *region("two")))
    found = shown(reads(pages / "in", images=pages), pages)
    assert [text for text, _ in found] == ["one", "source.refused", "two"] and "gzip" in found[1][1]
