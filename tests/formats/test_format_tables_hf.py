"""Hugging Face data sets: every layout, the guess of columns, and hostile files."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft.errors import EngineError, RowRejected, SftError, UsageError
from sft.formats import get
from sft.formats.base import Item, ReadItem, Reject, SourceOptions
from sft.formats.hf_values import value_at
from sft.formats.shared import hub_files, parquet
from sft.types import Task

datasets: Any = importlib.import_module("datasets")  # the library, not the folder of this repository
PNG = b"\x89PNG\r\n\x1a\n-pixels"
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def read_all(source: Path, **options: Any) -> list[ReadItem]:
    asked = SourceOptions(**options)
    source_format = get("hf")
    return [found for unit in source_format.units(source, asked) for found in source_format.read(unit, asked)]


def codes(found: list[ReadItem]) -> list[str]:
    return [each.code if isinstance(each, Reject) else "" for each in found]


def items(found: list[ReadItem]) -> list[Item]:
    assert all(isinstance(each, Item) for each in found), found
    return [each for each in found if isinstance(each, Item)]


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"image": {"bytes": PNG + str(index).encode(), "path": f"{index}.png"}, "text": f"text {index}", **more}
        for index in range(count)
    ]


def write(
    path: Path,
    values: list[dict[str, Any]],
    *,
    metadata: dict[str, Any] | None = None,
    group: int = 1000,
    **types: pa.DataType,
) -> Path:
    """A Parquet file whose column types are inferred, but for those given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(values)
    for name, kind in types.items():
        table = table.set_column(
            table.schema.get_field_index(name), name, pa.array([value[name] for value in values], kind)
        )
    if metadata:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": metadata}})})
    pq.write_table(table, path, row_group_size=group)
    return path


def test_parquet_row_groups_are_units(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", rows(5), group=2)
    units = list(get("hf").units(path, SourceOptions()))
    assert len(units) == 3
    found = items(read_all(path))
    assert [item.where for item in found] == [f"a.parquet:{number}" for number in range(1, 6)]
    assert [item.target for item in found] == [f"text {index}" for index in range(5)]
    assert [item.picture.data for item in found] == [PNG + str(index).encode() for index in range(5)]
    assert {item.task for item in found} == {Task.OCR}


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string(), pa.dictionary(pa.int32(), pa.string()), pa.list_(pa.string())]
)
def test_types_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    values = [{**row, "text": [row["text"]]} if pa.types.is_list(kind) else row for row in rows(2)]
    assert [item.target for item in items(read_all(write(tmp_path / "a.parquet", values, text=kind)))] == [
        "text 0",
        "text 1",
    ]


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("image", {"bytes": PNG, "path": None}, None),
        ("picture", PNG, None),
        ("images", [{"bytes": PNG, "path": "x"}], None),
        ("image", {"bytes": None, "path": "sub/1.png"}, "sub/1.png"),
        ("image", "sub/1.png", "sub/1.png"),
        ("file_name", "1.png", "1.png"),
    ],
)
def test_kinds_of_images(tmp_path: Path, name: str, value: Any, path: str | None) -> None:
    (item,) = items(
        read_all(
            write(
                tmp_path / "data/a.parquet",
                [{name: value, "text": "x"}],
                **({name: IMAGE} if isinstance(value, dict) else {}),
            )
        )
    )
    assert item.picture.data == (None if path else PNG)
    assert item.picture.path == (tmp_path / "data" / path if path else None)


def test_an_address_is_left_to_whoever_fetches(tmp_path: Path) -> None:
    (item,) = items(read_all(write(tmp_path / "a.parquet", [{"image": "https://example.org/1.png", "text": "x"}])))
    assert item.picture.url == "https://example.org/1.png"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"bytes": None, "path": "../../etc/passwd"}, "source.outside"),
        ({"bytes": None, "path": "/etc/passwd"}, "source.outside"),
        ({"bytes": None, "path": None}, "image.missing"),
        ({"bytes": b"", "path": "a.png"}, "image.missing"),
        (None, "image.missing"),
    ],
)
def test_bad_images_are_rejects_of_their_own(tmp_path: Path, value: Any, code: str) -> None:
    good = rows(2)
    found = read_all(write(tmp_path / "a.parquet", [good[0], {"image": value, "text": "x"}, good[1]], image=IMAGE))
    assert codes(found) == ["", code, ""]


def test_lists_of_images(tmp_path: Path) -> None:
    one = {"bytes": PNG, "path": None}
    found = read_all(
        write(
            tmp_path / "a.parquet",
            [{"images": [one], "text": "x"}, {"images": [one, one], "text": "x"}, {"images": [], "text": "x"}],
            images=pa.list_(IMAGE),
        )
    )
    assert codes(found) == ["", "source.inexpressible", "image.missing"]


def test_an_image_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MAX_FILE_BYTES", 20)
    found = read_all(write(tmp_path / "a.parquet", [{"image": PNG, "text": "x"}, {"image": PNG * 2, "text": "x"}]))
    assert codes(found) == ["", "image.too_large"]


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ({"gt_parse": {"text_sequence": "x"}}, ""),
        ({"gt_parse": {"menu": []}}, "source.inexpressible"),
        ({"gt_parse": 7}, "source.inexpressible"),
        ({}, "source.inexpressible"),
        ({"gt_parse": {"text_sequence": None}}, "source.inexpressible"),
        ("{", "source.syntax"),
        ("x", ""),
        ("", "target.empty"),
        (" \n", "target.empty"),
        (None, "target.empty"),
        ('{"a":' * 20_000, "source.too_large"),
        ('{"gt_parse": {"text_sequence": "\\ud800"}}', "source.encoding"),
    ],
)
def test_ground_truth_of_donut(tmp_path: Path, label: Any, code: str) -> None:
    text = json.dumps(label) if isinstance(label, dict) else label
    values = [
        {"image": PNG, "ground_truth": each} for each in ('{"gt_parse": {"text_sequence": "before"}}', text, "behind")
    ]
    found = read_all(write(tmp_path / "a.parquet", values))
    assert codes(found) == ["", code, ""]
    assert [item.target for item in found if isinstance(item, Item)] == [
        "before",
        *(["x"] if not code else []),
        "behind",
    ]


def test_mapped_columns_reach_into_structs_and_json(tmp_path: Path) -> None:
    values: list[dict[str, Any]] = [
        {
            "scan": PNG,
            "meta": {"page": 7},
            "ground_truth": json.dumps({"gt_parse": {"title": "T"}}),
            "ask": "Read the title",
        },
        {"scan": PNG, "meta": {"page": 8}, "ground_truth": "[]", "ask": None},
    ]
    path = write(tmp_path / "a.parquet", values)
    found = read_all(
        path, columns={"image": "scan", "text": "ground_truth.gt_parse.title", "group": "meta.page", "prompt": "ask"}
    )
    assert codes(found) == ["", "source.shape"]
    assert isinstance(found[0], Item)
    assert (found[0].target, found[0].group, found[0].prompt) == ("T", "7", "Read the title")
    assert value_at({"a.b": 1, "a": {"b": 2}}, "a.b") == 1, "a column that is called so comes first"
    with pytest.raises(RowRejected):
        value_at({"a": {"b": 2}}, "a.c")


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["image", "caption_id"], {}, "no column that looks like a label"),
        (["text"], {}, "no column of images"),
        (["image", "text"], {"columns": {"text": "txt"}}, "no column 'txt'"),
        (["image", "text", "html"], {}, "text and html could both be the label"),
    ],
)
def test_where_nothing_fits_the_columns_are_named(
    tmp_path: Path, names: list[str], options: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "a.parquet", [{name: PNG if name == "image" else "x" for name in names}])
    with pytest.raises(UsageError, match=message) as caught:
        read_all(path, **options)
    assert caught.value.hint is not None
    assert all(name in caught.value.hint for name in names)


def test_two_columns_of_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"2 columns of images \(left, right\)"):
        read_all(write(tmp_path / "a.parquet", [{"left": PNG, "right": PNG, "text": "x"}]))
    assert codes(read_all(write(tmp_path / "b.parquet", [{"image": PNG, "mask": PNG, "text": "x"}]))) == [""]
    noted = {
        "scan": {"_type": "Image"},
        "blob": {"dtype": "binary", "_type": "Value"},
        "text": {"dtype": "string", "_type": "Value"},
    }
    (item,) = items(read_all(write(tmp_path / "c.parquet", [{"blob": b"?", "scan": PNG, "text": "x"}], metadata=noted)))
    assert item.picture.data == PNG, "the schema says which one it is"


@pytest.mark.parametrize("note", [b"{", b"[]", b'{"info": 7}', b'{"info": {"features": []}}', b"\xff", b"[" * 100_000])
def test_a_broken_note_in_the_schema_is_no_note(tmp_path: Path, note: bytes) -> None:
    table = pa.Table.from_pylist(rows(1)).replace_schema_metadata({b"huggingface": note})
    pq.write_table(table, tmp_path / "a.parquet")
    assert codes(read_all(tmp_path / "a.parquet")) == [""]


def test_names_of_columns_say_what_they_hold(tmp_path: Path) -> None:
    (formula,) = items(read_all(write(tmp_path / "a.parquet", [{"image": PNG, "latex_formula": r"\frac{a}{b}"}])))
    assert formula.task is Task.FORMULA
    assert r"\frac{a}{b}" in formula.target
    path = write(
        tmp_path / "b.parquet", [{"image": PNG, "text": "a b", "html": "<table><tr><td>a</td><td>b</td></tr></table>"}]
    )
    (table,) = items(read_all(path, task=Task.TABLE))
    assert (table.task, table.target) == (Task.TABLE, "<fcel>a<fcel>b<nl>")
    (text,) = items(read_all(path, task=Task.OCR))
    assert (text.task, text.target) == (Task.OCR, "a b")


def test_numbers_are_no_labels(tmp_path: Path) -> None:
    """A class number, or a text that lost its leading zeros on the way."""
    assert codes(read_all(write(tmp_path / "a.parquet", [{"image": PNG, "text": 42}]))) == ["source.shape"]


def test_splits_by_file_name(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        write(tmp_path / "data" / f"{name}.parquet", rows(1))
    assert len(read_all(tmp_path)) == 3
    assert [item.where for item in items(read_all(tmp_path, split="train"))] == [
        "data/train-00000-of-00002.parquet:1",
        "data/train-00001-of-00002.parquet:1",
    ]
    with pytest.raises(UsageError, match="no file of a split called 'tra'"):
        read_all(tmp_path, split="tra")


def save_to_disk(folder: Path, values: list[dict[str, Any]], **state: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(values)
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=2)
    (folder / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}], **state}), "utf-8"
    )
    (folder / "dataset_info.json").write_text("{}", "utf-8")


def test_saved_to_disk_is_read_as_the_library_wrote_it(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    datasets.Dataset.from_list(rows(5), features=features).save_to_disk(str(tmp_path / "one"))
    found = items(read_all(tmp_path / "one"))
    assert [(item.where, item.target, item.picture.data) for item in found] == [
        (f"data-00000-of-00001.arrow:{index + 1}", f"text {index}", PNG + str(index).encode()) for index in range(5)
    ]
    both = datasets.DatasetDict(
        {
            "train": datasets.Dataset.from_list(rows(2), features=features),
            "test": datasets.Dataset.from_list(rows(1), features=features),
        }
    )
    both.save_to_disk(str(tmp_path / "two"))
    assert [item.where for item in items(read_all(tmp_path / "two"))] == [
        f"{name}/data-00000-of-00001.arrow:{number}" for name, number in (("train", 1), ("train", 2), ("test", 1))
    ]
    assert len(read_all(tmp_path / "two", split="test")) == 1
    with pytest.raises(UsageError, match="no split called 'val'"):
        read_all(tmp_path / "two", split="val")


def test_parquet_of_the_library(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    datasets.Dataset.from_list(rows(3), features=features).to_parquet(str(tmp_path / "a.parquet"))
    assert [item.picture.data for item in items(read_all(tmp_path))] == [
        PNG + str(index).encode() for index in range(3)
    ]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"_indices_files": [{"filename": "indices.arrow"}]}, "another order"),
        ({"_data_files": [{"filename": "../../secret.arrow"}]}, "not the names"),
        ({"_data_files": [7]}, "not the names"),
        ({"_data_files": None}, "not the names"),
        ({"_data_files": []}, "not the names"),
    ],
)
def test_states_that_cannot_be_followed(tmp_path: Path, state: dict[str, Any], message: str) -> None:
    save_to_disk(tmp_path, rows(1), **state)
    with pytest.raises(UsageError, match=message):
        read_all(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_broken_state_is_an_error(tmp_path: Path, content: bytes) -> None:
    save_to_disk(tmp_path, rows(1))
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(UsageError):
        read_all(tmp_path)


def test_a_truncated_arrow_file_keeps_what_came_before(tmp_path: Path) -> None:
    save_to_disk(tmp_path, rows(6))
    path = tmp_path / "data-00000-of-00001.arrow"
    path.write_bytes(path.read_bytes()[:-400])
    found = read_all(tmp_path)
    assert codes(found)[:2] == ["", ""]
    assert codes(found)[-1] == "source.syntax"


def test_text_that_is_not_utf8_costs_one_row(tmp_path: Path) -> None:
    bad = pa.array([b"one", b"\xff\xfe", b"three"], pa.binary()).view(pa.string())
    table = pa.table({"image": pa.array([PNG] * 3), "text": bad})
    pq.write_table(table, tmp_path / "a.parquet")
    assert codes(read_all(tmp_path / "a.parquet")) == ["", "source.encoding", ""]
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert codes(read_all(tmp_path / "a.arrow")) == ["", "source.encoding", ""]


def test_image_folders(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    lines = [
        b'{"file_name": "0001.png", "text": "one"}',
        b"",
        b'{"file_name": "0002.png", "tex',
        b'{"file_name": "../0003.png", "text": "x"}',
        b'{"file_name": "a\\u0000.png", "text": "x"}',
        b"[]",
        b'{"text": "no name"}',
    ]
    (folder / "metadata.jsonl").write_bytes(
        b"\xef\xbb\xbf" + b"\n".join([*lines, b'{"file_name": "0004.png", "text": "last"}'])
    )
    found = read_all(tmp_path)
    assert codes(found) == ["", "source.syntax", "source.outside", "source.outside", "source.shape", "source.shape", ""]
    first, last = found[0], found[-1]
    assert isinstance(first, Item)
    assert (first.where, first.target, first.picture.path) == ("train/metadata.jsonl:1", "one", folder / "0001.png")
    assert isinstance(last, Item)
    assert last.where == "train/metadata.jsonl:8"


def test_metadata_csv(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_bytes(
        b'\xef\xbb\xbffile_name,text\r\n0001.png,"one,'
        b' two"\r\n\r\n0002.png\r\n0003.png,caf\xe9\r\n0004.png,a\x00b\r\n0005.png,five\r\n'
    )
    found = read_all(tmp_path)
    assert codes(found) == ["", "source.shape", "source.encoding", "source.encoding", ""]
    assert [item.target for item in found if isinstance(item, Item)] == ["one, two", "five"]
    (tmp_path / "metadata.csv").write_bytes(
        b"file_name,text\n1.png,one\n2.png," + b"x" * 200_000 + b'\n3.png,"never closed\n4.png,four\n'
    )
    assert codes(read_all(tmp_path)) == ["", "", "", ""], "a quote that is never closed is text"
    assert codes(read_all(tmp_path, quotes="csv")) == ["", "", "source.syntax", ""]


def test_json_lines_and_arrays(tmp_path: Path) -> None:
    objects = [{"image": f"{index}.png", "text": str(index)} for index in range(3)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, objects)), "utf-8")
    assert [item.where for item in items(read_all(tmp_path))] == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3"]
    (tmp_path / "b.json").write_text(json.dumps(objects), "utf-8")
    assert [item.target for item in items(read_all(tmp_path / "b.json"))] == ["0", "1", "2"]
    (tmp_path / "c.jsonl").write_text("[]\n7\n", "utf-8")
    with pytest.raises(UsageError, match="no row of this file is a JSON object"):
        read_all(tmp_path / "c.jsonl")


# what is not read


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.zip", "only archives"),
        ("train.tar", "no picture and label"),
        ("train.tar.gz", "only archives"),
        ("a.png", "images, but no labels"),
        ("a.pkl", "no .parquet"),
        (".hidden/a.parquet", "no .parquet"),
    ],
)
def test_folders_without_rows(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=message):
        read_all(tmp_path)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.pkl", "a.pickle", "a.py", "a.parquet.gz"])
def test_archives_pickles_and_scripts_are_not_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match="not opened"):
        read_all(tmp_path / name)


def test_a_loading_script_is_refused_and_not_run(tmp_path: Path) -> None:
    source = tmp_path / "forms"
    write(source / "a.parquet", rows(1))
    (source / "forms.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", "utf-8")
    with pytest.raises(UsageError, match="loading script"):
        read_all(source)
    assert not (tmp_path / "ran").exists()
    assert codes(read_all(source / "a.parquet")) == [""], "the file itself is data"


def test_hub_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    snapshot = tmp_path / "datasets--owner--name" / "snapshots" / "0f4c"
    write(snapshot / "data/train-00000-of-00001.parquet", rows(2))
    asked: dict[str, Any] = {}

    def download(repository: str, **options: Any) -> str:
        asked.update(options, repository=repository)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert [item.where for item in items(read_all(Path("owner/name@refs/convert/parquet"), split="train"))] == [
        f"data/train-00000-of-00001.parquet:{number}" for number in (1, 2)
    ]
    assert (asked["repository"], asked["revision"], asked["repo_type"]) == (
        "owner/name",
        "refs/convert/parquet",
        "dataset",
    )
    (snapshot / "name.py").write_text("raise SystemExit", "utf-8")
    with pytest.raises(UsageError, match="loading script"):
        read_all(Path("owner/name"))


def test_without_a_network_the_hub_is_an_engine_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def download(repository: str, **options: Any) -> str:
        raise LocalEntryNotFoundError(
            "Cannot find an appropriate cached snapshot folder for the specified revision on the local disk and"
            " outgoing traffic has been disabled."
        )

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(EngineError, match="cannot be asked") as caught:
        read_all(Path("owner/name"))
    assert caught.value.exit_code == 3
    assert "check the network" in (caught.value.hint or "")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EngineError) as caught:
        read_all(Path("owner/name"))
    assert "HF_HUB_OFFLINE is set" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "../x/y", "owner/name.zip/x", "/owner/name"])
def test_a_path_that_is_not_there_is_no_hub_name(name: str) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        read_all(Path(name))


# hostile Parquet


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        b"PAR1" * 3,
        b"PAR1\x00\x00\x00\x00\xff\xff\xff\x7fPAR1",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"\x00" * 4096,
        b"PK\x03\x04" * 9,
    ],
)
def test_what_is_no_parquet_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(UsageError):
        read_all(tmp_path / "a.parquet")


def test_git_lfs_pointers_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "utf-8")
    with pytest.raises(UsageError) as caught:
        read_all(tmp_path / "a.parquet")
    assert "git lfs pull" in (caught.value.hint or "")


def test_a_broken_row_group_costs_its_own_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    values = [
        {"image": PNG + bytes(range(256)) * 4 + str(index).encode(), "text": f"text {index}"} for index in range(6)
    ]
    pq.write_table(pa.Table.from_pylist(values), path, row_group_size=2, compression="none", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(1)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset : column.data_page_offset + column.total_compressed_size] = (
        b"\xff" * column.total_compressed_size
    )
    path.write_bytes(content)
    found = read_all(path)
    assert codes(found) == ["", "", "source.syntax", "", ""]
    assert isinstance(found[2], Reject)
    assert found[2].where == "a.parquet:3"
    assert "rows 3 to 4" in found[2].message
    assert [item.target for item in found if isinstance(item, Item)] == ["text 0", "text 1", "text 4", "text 5"]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4), st.floats(0.2, 1))
def test_any_damage_is_an_error_or_rejects(tmp_path: Path, damage: list[tuple[float, int]], keep: float) -> None:
    """Bytes overwritten anywhere, and the end cut off (with its magic number put back half of the time)."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows(20)), path, row_group_size=7)
    content = bytearray(path.read_bytes())
    for place, value in damage:
        content[min(len(content) - 1, int(place * len(content)))] = value
    path.write_bytes(content[: int(keep * len(content))] if keep < 0.6 else content)
    try:
        found = read_all(path)
    except SftError as error:
        assert error.exit_code == 2
    else:
        assert all(isinstance(each, (Item, Reject)) for each in found)


def test_few_rows_at_a_time_where_a_value_can_be_huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value in the dictionary of a column, in every row of it: the file is small, the rows are not."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": pa.array([b"x" * 1_000_000] * 200, pa.binary()), "text": ["x"] * 200}), path)
    assert path.stat().st_size < 1_000_000
    monkeypatch.setattr(parquet, "BATCH_BYTES", 10_000_000)
    sizes = [batch.num_rows for unit in parquet.units(path, "a", ()) for batch in parquet._batches(path, unit.payload)]
    assert max(sizes) <= 10
    assert sum(sizes) == 200


def test_hidden_folders_and_order(tmp_path: Path) -> None:
    for name in ("b/2", "a/10", "a/9", ".cache/1"):
        write(tmp_path / f"{name}.parquet", rows(1))
    assert [file.name for file in hub_files.data_files(tmp_path, "")] == ["a/10.parquet", "a/9.parquet", "b/2.parquet"]


def test_what_an_earlier_conversion_wrote_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"image": "1.png", "text": "one"}', "utf-8")
    for name in ("out.jsonl", "out.rejects.jsonl", "out.manifest.json"):
        (tmp_path / name).write_text("{}", "utf-8")
    assert [item.where for item in items(read_all(tmp_path))] == ["a.jsonl:1"]
