"""Hugging Face data sets with configurations in README.md, files that need the `datasets` library, and WebDataset
shards.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import socket
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft.errors import UsageError
from sft.formats import get
from sft.formats.base import Item, ReadItem, Reject, SourceOptions
from sft.formats.shared import datasets_library, hub_configs, webdataset, webdataset_names
from sft.types import Task

LEFT_OPEN = pytest.mark.usefixtures("files_left_open")
PNG = b"\x89PNG\r\n\x1a\n-pixels"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may ask for anything."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def files_left_open(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library leaves files to the garbage collector, which Python reports when asked to; and nothing is written to
    its cache.
    """
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(importlib.import_module("datasets").config, "HF_DATASETS_CACHE", cache)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()
    assert not list(cache.iterdir())


def read_all(source: Path, **options: Any) -> list[ReadItem]:
    asked = SourceOptions(**options)
    found = get("hf")
    return [read for unit in found.units(source, asked) for read in found.read(unit, asked)]


def shown(found: list[ReadItem]) -> list[tuple[str, str]]:
    """(where, label or code) of each."""
    return [
        (each.where, each.target if isinstance(each, Item) else each.code)
        for each in found
        if isinstance(each, (Item, Reject))
    ]


def data_set(folder: Path, configs: str, **files: str | bytes) -> Path:
    """A folder with this `configs:` section; a file's name has __ for / and . for its last _."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(
        f"---\nlicense: mit\nconfigs:\n{configs}\ndataset_info:\n  features: []\n---\n# A set\nconfigs: none\n", "utf-8"
    )
    for name, content in files.items():
        path = folder / ".".join(name.replace("__", "/").rsplit("_", 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


TWO = """\
- config_name: forms
  data_files:
  - split: train
    path: forms/train-*
  - split: test
    path: [forms/test.csv]
- config_name: notes
  default: true
  data_files: notes/*.jsonl"""
FILES = {
    "forms__train-1_csv": "image,text\n1.png,one\n2.png,two\n",
    "forms__train-2_csv": "image,text\n3.png,three\n",
    "forms__test_csv": "image,text\n4.png,four\n",
    "notes__a_jsonl": '{"image": "5.png", "text": "five"}\n',
    "loose_jsonl": '{"image": "6.png", "text": "six"}\n',
}


@pytest.mark.parametrize(
    ("split", "labels"),
    [
        ("forms/train", ["one", "two", "three"]),
        ("forms/test", ["four"]),
        ("forms/", ["one", "two", "three", "four"]),
        ("", ["five"]),
        ("train", ["five"]),
        ("notes/train", ["five"]),
    ],
)
def test_configurations_and_splits(tmp_path: Path, split: str, labels: list[str]) -> None:
    found = read_all(data_set(tmp_path, TWO, **FILES), split=split)
    assert [label for _, label in shown(found)] == labels
    assert all(
        isinstance(each, Item) and each.picture.path and each.picture.path.parent.name in ("forms", "notes")
        for each in found
    ), "paths count from the table"


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("other/train", "no configuration called 'other'"),
        ("forms/val", "no split called 'val' in the configuration forms"),
        ("val", "no split called 'val'"),
    ],
)
def test_configurations_that_are_not_there(tmp_path: Path, split: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_all(data_set(tmp_path, TWO, **FILES), split=split)
    assert caught.value.hint


def test_without_a_default_the_user_is_asked(tmp_path: Path) -> None:
    source = data_set(tmp_path, TWO.replace("  default: true\n", ""), **FILES)
    with pytest.raises(UsageError, match="2 configurations, and no default") as caught:
        read_all(source)
    assert "forms, notes" in (caught.value.hint or "")


def test_parquet_of_one_configuration_is_read_by_row_group(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pq.write_table(
            pa.Table.from_pylist([{"image": PNG, "text": f"{name}{row}"} for row in range(3)]),
            tmp_path / name / "train-00000.parquet",
            row_group_size=2,
        )
    source = data_set(
        tmp_path,
        "".join(f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/train-*\n" for name in "ab"),
    )
    assert shown(read_all(source, split="b/train")) == [
        (f"b/train-00000.parquet:{row + 1}", f"b{row}") for row in range(3)
    ]
    assert len(list(get("hf").units(source, SourceOptions(split="b/")))) == 2


def test_a_file_in_two_splits_is_read_once(tmp_path: Path) -> None:
    source = data_set(
        tmp_path,
        "- config_name: x\n  data_files:\n  - split: train\n    path: '*.csv'\n  - split: all\n    path: 'a*'",
        a_csv="image,text\n1.png,one\n",
    )
    assert shown(read_all(source)) == [("a.csv:2", "one")]


def test_data_dir(tmp_path: Path) -> None:
    source = data_set(
        tmp_path,
        "- config_name: x\n  data_dir: in\n- config_name: y\n  data_dir: in\n  data_files: b.csv",
        in__a_csv="image,text\n1.png,one\n",
        in__b_csv="image,text\n1.png,two\n",
        c_csv="image,text\n1.png,three\n",
    )
    assert [label for _, label in shown(read_all(source, split="x/"))] == ["one", "two"]
    assert [label for _, label in shown(read_all(source, split="y/"))] == ["two"]


@LEFT_OPEN
def test_odd_names_of_folders(tmp_path: Path) -> None:
    source = data_set(
        tmp_path / "a [1] *b?", "- config_name: x\n  data_files: '*.csv'", a_csv="image,text\n1.png,one\n"
    )
    assert shown(read_all(source)) == [("a.csv:2", "one")]
    data_set(source, "- config_name: x\n  names: [image, text]\n  data_files: '*.csv'")
    assert [label for _, label in shown(read_all(source))] == ["text", "one"]


# options: plain ones are read here, others by the library


def test_separators_are_read_here_and_a_bad_row_costs_one(tmp_path: Path) -> None:
    source = data_set(
        tmp_path,
        "- config_name: x\n  sep: ';'\n  data_files: a.csv",
        a_csv='image;text\n1.png;"one; 1"\n2.png\n3.png;007\n',
    )
    assert shown(read_all(source)) == [("a.csv:2", "one; 1"), ("a.csv:3", "source.shape"), ("a.csv:4", "007")]


def test_tab_separated_files(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("image\ttext\n1.png\ta, b\n", "utf-8")
    assert shown(read_all(tmp_path)) == [("a.tsv:2", "a, b")]


@pytest.mark.parametrize(
    ("options", "content"),
    [
        ("names: [image, text]", "1.png,007\n2.png,NA\n3.png,\n"),
        ("skiprows: 1", "about\nimage,text\n1.png,007\n2.png,NA\n3.png,\n"),
        ("quotechar: '|'", "image,text\n1.png,|007|\n2.png,|NA|\n3.png,||\n"),
        ("encoding: utf-16", "image,text\n1.png,007\n2.png,NA\n3.png,\n"),
    ],
)
@LEFT_OPEN
def test_csv_of_the_library_keeps_labels_as_they_are_written(tmp_path: Path, options: str, content: str) -> None:
    source = data_set(
        tmp_path,
        f"- config_name: x\n  {options}\n  data_files: a.csv",
        a_csv=content.encode("utf-16" if "16" in options else "utf-8"),
    )
    (unit,) = get("hf").units(source, SourceOptions())
    assert isinstance(unit.payload[1], datasets_library.Streamed)
    assert shown(read_all(source)) == [("a.csv:1", "007"), ("a.csv:2", "NA"), ("a.csv:3", "target.empty")]


@LEFT_OPEN
def test_json_below_a_field(tmp_path: Path) -> None:
    content = {"version": 1, "rows": [{"image": f"{row}.png", "text": str(row)} for row in range(3)]}
    source = data_set(tmp_path, "- config_name: x\n  field: rows\n  data_files: a.json", a_json=json.dumps(content))
    assert shown(read_all(source)) == [("a.json:1", "0"), ("a.json:2", "1"), ("a.json:3", "2")]


@LEFT_OPEN
def test_where_the_library_gives_up_the_rest_is_said_to_be_lost(tmp_path: Path) -> None:
    lines = [f"{row}.png,{row}\n" for row in range(2500)]
    source = data_set(
        tmp_path,
        "- config_name: x\n  names: [image, text]\n  data_files: a.csv",
        a_csv="".join([*lines[:2200], "a,b,c,d\n", *lines[2200:]]),
    )
    found = read_all(source)
    last = found[-1]
    assert isinstance(last, Reject)
    assert last.code == "source.syntax"
    assert "all are lost" in last.message
    assert [label for _, label in shown(found[:-1])] == [str(row) for row in range(len(found) - 1)]
    assert len(found) > 2000


@LEFT_OPEN
def test_text_has_no_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column of images"):
        read_all(data_set(tmp_path, "- config_name: x\n  data_files: a.txt", a_txt="one\ntwo\n"))


@pytest.mark.parametrize(
    ("name", "options", "content"),
    [
        ("a_csv", "names: [image, text]", ""),
        ("a_json", "field: rows", "{"),
        ("a_json", "field: x", "[1]"),
        ("a_csv", "encoding: nonsense", "image,text\n1,2\n"),
        ("a_parquet", "sep: ';'", "x"),
        ("a_csv", "field: x", "image,text\n1,2\n"),
        ("a_csv", "names: 7", "image,text\n1,2\n"),
    ],
)
@LEFT_OPEN
def test_what_the_library_cannot_read_is_an_error(tmp_path: Path, name: str, options: str, content: str) -> None:
    with pytest.raises(UsageError):
        read_all(data_set(tmp_path, f"- config_name: x\n  {options}\n  data_files: 'a.*'", **{name: content}))


def test_what_the_library_holds_as_a_whole_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets_library, "MAX_BYTES", 10)
    with pytest.raises(UsageError, match="hold as a whole"):
        read_all(
            data_set(
                tmp_path,
                "- config_name: x\n  names: [image, text]\n  data_files: a.csv",
                a_csv="1.png,one\n2.png,two\n",
            )
        )


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = data_set(tmp_path, TWO, **FILES)
    monkeypatch.setitem(importlib.import_module("sys").modules, "datasets.data_files", None)
    with pytest.raises(UsageError) as caught:
        read_all(source)
    assert "paddleocr-vl-sft[data]" in (caught.value.hint or "")


# hostile sections


@pytest.mark.parametrize(
    "pattern",
    [
        "/etc/*",
        "../*",
        "a/../../b",
        "https://example.org/a.csv",
        "hf://datasets/a/b/c.csv",
        "zip://a.csv::b.zip",
        "~/a.csv",
        "a\\b",
        "file:///etc/passwd",
        "C:/a",
    ],
)
@pytest.mark.parametrize(
    "form", ["data_files: {}", "data_files: [{}]", "data_files: [{{split: train, path: {}}}]", "data_dir: {}"]
)
def test_patterns_stay_below_the_folder(tmp_path: Path, pattern: str, form: str) -> None:
    with pytest.raises(UsageError, match="leads out of the data set"):
        read_all(
            data_set(
                tmp_path, f"- config_name: x\n  {form.format(json.dumps(pattern))}", a_csv="image,text\n1.png,one\n"
            )
        )


@pytest.mark.parametrize(
    "section",
    [
        "- [",
        "- config_name: 7",
        "- config_name: a/b",
        "- 7",
        "  a: b",
        "- config_name: x\n  data_files: 7",
        "- config_name: x\n  data_files: [{path: a}]",
        "- config_name: x\n  data_files: [{split: a}]",
        "- config_name: x\n  on_bad_lines: skip",
        "- config_name: x\n  data_files: '[a'",
        "- config_name: x\n  data_files: nothing*",
        "- " + "[" * 20_000,
        "- !!python/object/apply:os.system [ls]",
        "- config_name: &a x\n  data_files: *b",
        "- config_name: x\n  data_files: " + "[a" * 5000,
        "- " + "x" * 300_000,
        "- a: &a ["
        + "p," * 300
        + "]\n  b: &b ["
        + "*a," * 300
        + "]\n- config_name: x\n  data_files:\n"
        + "  - {split: t, path: *a}\n" * 300,
    ],
)
def test_sections_that_cannot_be_understood(tmp_path: Path, section: str) -> None:
    with pytest.raises(UsageError):
        read_all(data_set(tmp_path, section, a_csv="image,text\n1.png,one\n"))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"---\n",
        b"---\nconfigs:\n- config_name: x\n",
        b"# configs:\n- config_name: x\n",
        b"---\nlicense: mit\n---\nconfigs:\n- x\n",
        b"\xff\xfe---",
        b"---\n" + b"\n" * 100_000 + b"---\n",
    ],
)
def test_a_readme_without_configurations(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "README.md").write_bytes(text)
    (tmp_path / "a.csv").write_text("image,text\n1.png,one\n", "utf-8")
    assert hub_configs.read_configs(tmp_path) == {}
    assert shown(read_all(tmp_path)) == [("a.csv:2", "one")]


def test_a_loading_script_beside_configurations_is_refused_and_not_run(tmp_path: Path) -> None:
    source = data_set(tmp_path / "forms", TWO, **FILES)
    (source / "forms.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", "utf-8")
    with pytest.raises(UsageError, match="loading script"):
        read_all(source)
    assert not (tmp_path / "ran").exists()


def test_archives_and_pickles_of_a_configuration_are_refused(tmp_path: Path) -> None:
    source = data_set(tmp_path, "- config_name: x\n  data_files: 'a*'", a_zip=b"PK", **{"a.jsonl_gz": b"\x1f\x8b"})
    with pytest.raises(UsageError, match="only archives"):
        read_all(source)
    with pytest.raises(UsageError, match=r"no \.parquet"):
        read_all(data_set(tmp_path, "- config_name: x\n  data_files: 'b*'", b_pkl=b"x"))


def test_a_hub_name_with_configurations_downloads_only_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = data_set(tmp_path / "datasets--owner--name" / "snapshots" / commit, TWO, **FILES)
    asked: list[tuple[str | None, list[str]]] = []

    def download(repository: str, *, repo_type: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((revision, allow_patterns))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert [label for _, label in shown(read_all(Path("owner/name"), split="forms/test"))] == ["four"]
    (first, readme), (second, files) = asked
    assert (first, second) == (None, commit), "both of the same state"
    assert "README.md" in readme and not any("csv" in pattern for pattern in readme)
    assert (
        "forms/test.csv" in files
        and "*.png" in files
        and not any("train" in pattern or pattern == "*.csv" for pattern in files)
    )


def test_tar_files_of_the_hub_only_where_there_is_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    folder = tmp_path / "snapshots" / "x"
    folder.mkdir(parents=True)
    asked: list[list[str]] = []

    def download(repository: str, *, repo_type: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        if "*.tar" in allow_patterns:
            shard(folder / "a.tar", [("1.png", PNG), ("1.txt", b"one")])
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert shown(read_all(Path("owner/name"))) == [("a.tar:1", "one")]
    assert len(asked) == 3
    (folder / "a.csv").write_text("image,text\n1.png,two\n", "utf-8")
    assert shown(read_all(Path("owner/name"))) == [("a.csv:2", "two")]
    assert len(asked) == 5


# WebDataset


def shard(path: Path, members: list[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in members:
            head = tarfile.TarInfo(name)
            head.size = len(content)
            archive.addfile(head, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_shards_of_pictures_and_texts(tmp_path: Path, kind: int) -> None:
    long = "/".join(["folder" * 8] * 3) + "/é" if kind != tarfile.USTAR_FORMAT else "/".join(["folder" * 8] * 3) + "/e"
    members = [
        ("0001.png", PNG),
        ("0001.txt", b"eins"),
        ("0001.json", b'{"x": 1}'),
        ("a.b/0002.txt", b"two"),
        ("a.b/0002.png", PNG + b"2"),
        (f"{long}.png", PNG),
        (f"{long}.txt", b"three"),
    ]
    shard(tmp_path / "train-0000.tar", members, kind)
    shard(tmp_path / "test-0000.tar", [("1.jpg", PNG), ("1.txt", b"four")])
    found = read_all(tmp_path)
    assert shown(found) == [
        ("test-0000.tar:1", "four"),
        ("train-0000.tar:0001", "eins"),
        ("train-0000.tar:a.b/0002", "two"),
        (f"train-0000.tar:{long}", "three"),
    ]
    assert [each.picture.data for each in found if isinstance(each, Item)] == [PNG, PNG, PNG + b"2", PNG]
    assert shown(read_all(tmp_path, split="test")) == [("test-0000.tar:1", "four")]
    with (tmp_path / "train-0000.tar").open("rb") as stream:
        assert [
            (each.name, each.size)
            for each in webdataset.members(stream, "x")
            if isinstance(each, webdataset_names.Member)
        ] == [(name, len(content)) for name, content in members]


def test_units_of_shards(tmp_path: Path) -> None:
    shard(
        tmp_path / "a.tar",
        [
            (f"{row:04}.{field}", content)
            for row in range(150)
            for field, content in (("png", PNG), ("txt", str(row).encode()))
        ],
    )
    assert len(list(get("hf").units(tmp_path, SourceOptions()))) == 3
    assert [label for _, label in shown(read_all(tmp_path))] == [str(row) for row in range(150)]


def test_labels_in_json_and_formulas(tmp_path: Path) -> None:
    shard(
        tmp_path / "a.tar", [("1.png", PNG), ("1.json", b'{"text": {"de": "eins"}}'), ("2.png", PNG), ("2.json", b"{")]
    )
    with pytest.raises(UsageError, match="no column that looks like a label"):
        read_all(tmp_path)
    assert shown(read_all(tmp_path, columns={"text": "json.text.de"})) == [
        ("a.tar:1", "eins"),
        ("a.tar:2", "source.syntax"),
    ]
    shard(tmp_path / "a.tar", [("1.png", PNG), ("1.tex", b"x^2")])
    (formula,) = read_all(tmp_path)
    assert isinstance(formula, Item)
    assert formula.task is Task.FORMULA


def test_samples_of_several_pictures(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", [("1.scan.png", PNG), ("1.mask.png", b"x"), ("1.txt", b"one")])
    with pytest.raises(UsageError, match="2 columns of images"):
        read_all(tmp_path)
    (item,) = read_all(tmp_path, columns={"image": "scan.png"})
    assert isinstance(item, Item)
    assert item.picture.data == PNG


def test_a_bad_sample_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdataset, "MAX_FILE_BYTES", 100)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in [
            ("0.png", PNG),
            ("0.txt", b"zero"),
            ("1.png", PNG),
            ("1.txt", b"\xff"),
            ("2.png", PNG),
            ("3.txt", b"no picture"),
            ("4.png", b"x" * 101),
            ("4.txt", b"four"),
            ("5.png", PNG),
            ("5.txt", b"a"),
            ("5.txt", b"b"),
            ("noextension", b"x"),
            (".hidden", b"x"),
        ]:
            head = tarfile.TarInfo(name)
            head.size = len(content)
            archive.addfile(head, io.BytesIO(content))
        for name, kind in (
            ("6.png", tarfile.SYMTYPE),
            ("7.png", tarfile.LNKTYPE),
            ("8.png", tarfile.GNUTYPE_SPARSE),
            ("9.png", tarfile.FIFOTYPE),
        ):
            head = tarfile.TarInfo(name)
            head.type, head.linkname = kind, "/etc/passwd"
            archive.addfile(head)
            head = tarfile.TarInfo(name.replace("png", "txt"))
            head.size = 1
            archive.addfile(head, io.BytesIO(b"x"))
        archive.addfile(tarfile.TarInfo("10.png"))
    codes = [label for _, label in shown(read_all(tmp_path))]
    assert codes == [
        "zero",
        "source.encoding",
        "source.shape",
        "source.shape",
        "image.too_large",
        "source.shape",
        *["source.refused"] * 4,
        "image.missing",
    ]


def test_damage_costs_what_lies_there(tmp_path: Path) -> None:
    path = shard(
        tmp_path / "a.tar",
        [
            (f"{row}.{field}", content)
            for row in range(6)
            for field, content in (("png", PNG), ("txt", str(row).encode()))
        ],
        tarfile.USTAR_FORMAT,
    )
    content = bytearray(path.read_bytes())
    content[4 * 1024 : 4 * 1024 + 600] = b"\xee" * 600  # the head of 2.png
    path.write_bytes(content)
    found = shown(read_all(tmp_path))
    assert [label for _, label in found] == ["0", "1", "source.syntax", "source.shape", "3", "4", "5"]
    path.write_bytes(path.read_bytes()[: 10 * 1024 + 600])
    assert [label for _, label in shown(read_all(tmp_path))][-1] in ("4", "source.shape")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=30)), max_size=4), st.floats(0.1, 1))
def test_any_damage_of_a_shard_is_an_error_or_rejects(
    tmp_path: Path, damage: list[tuple[float, bytes]], keep: float
) -> None:
    path = shard(
        tmp_path / "a.tar",
        [
            (f"{row}.{field}", content)
            for row in range(4)
            for field, content in (("png", PNG), ("txt", str(row).encode()))
        ],
    )
    content = bytearray(path.read_bytes())
    for place, value in damage:
        start = int(place * 8 * 1024)
        content[start : start + len(value)] = value
    path.write_bytes(content[: int(keep * len(content))])
    try:
        found = read_all(tmp_path)
    except UsageError:
        return
    assert all(isinstance(each, (Item, Reject)) for each in found)


def test_lying_sizes(tmp_path: Path) -> None:
    path = shard(
        tmp_path / "a.tar", [("1.png", PNG), ("1.txt", b"one"), ("2.png", PNG), ("2.txt", b"two")], tarfile.USTAR_FORMAT
    )
    whole = path.read_bytes()
    for size in (b"77777777777\0", b"\x80" + b"\xff" * 11, b"\x80" + b"\0" * 11):
        head = bytearray(whole[2048:2560])
        head[124:136] = size
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        path.write_bytes(whole[:2048] + head + whole[2560:])
        found = shown(read_all(tmp_path))
        assert found[0] == ("a.tar:1", "one")
        assert len(found) >= 2, "the rest is said to be lost, or found again"


def test_a_tar_given_by_itself_and_compressed_ones_are_refused(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", [("1.png", PNG), ("1.txt", b"one")])
    with pytest.raises(UsageError, match="not opened") as caught:
        read_all(path)
    assert "give their folder" in (caught.value.hint or "")
    path.rename(tmp_path / "a.tar.gz")
    with pytest.raises(UsageError, match="only archives"):
        read_all(tmp_path)


def test_a_configuration_of_shards(tmp_path: Path) -> None:
    source = data_set(
        tmp_path,
        "- config_name: wds\n  data_files:\n  - split: train\n    path: shards/*.tar",
        notes_csv="image,text\n1.png,no\n",
    )
    shard(source / "shards" / "0.tar", [("1.png", PNG), ("1.txt", b"one")])
    assert shown(read_all(source, split="wds/train")) == [("shards/0.tar:1", "one")]
