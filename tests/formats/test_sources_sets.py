"""Published sets as people have them: conversations for labels, dots in WebDataset names, several splits, images
without marks.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sft.cli import sft as command
from sft.errors import UsageError
from sft.formats import get
from sft.formats.base import HubRow, Item, ReadItem, Reject, SourceOptions, split_name
from sft.formats.shared import webdataset
from sft.formats.shared.webdataset_names import Account
from sft.types import Task


def png(shade: int = 250) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (120, 40), (shade, 250, 250)).save(stream, "PNG")
    return stream.getvalue()


def reads(name: str, source: Path, **options: Any) -> list[ReadItem]:
    chosen, found = SourceOptions(**options), get(name)
    return [read for unit in found.units(source, chosen) for read in found.read(unit, chosen)]


def short(found: list[ReadItem]) -> list[Any]:
    """Targets, reason codes, and the texts of whole rows, in order."""
    out: list[Any] = []
    for read in found:
        if isinstance(read, HubRow):
            out.append([text["text"] for text in read.row["text_info"]])
        elif isinstance(read, (Item, Reject)):
            out.append(read.target if isinstance(read, Item) else read.code)
    return out


def sft(*words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# conversations


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TURN = pa.struct([("assistant", pa.string()), ("source", pa.string()), ("user", pa.string())])


def chats(path: Path, values: list[list[dict[str, str]]], images: int = 1) -> Path:
    """A Parquet file with lists of images and lists of {user, assistant}."""
    pictures = [[{"bytes": png(250 - number), "path": None} for _ in range(images)] for number in range(len(values))]
    table = pa.table({"images": pa.array(pictures, pa.list_(IMAGE)), "texts": pa.array(values, pa.list_(TURN))})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def test_texts_of_user_and_assistant(tmp_path: Path) -> None:
    path = chats(
        tmp_path / "train.parquet",
        [[{"assistant": "E = m", "source": "own", "user": ""}], [{"assistant": "a + b", "source": "own", "user": ""}]],
    )
    assert short(reads("hf", path)) == ["E = m", "a + b"]
    for mapped in ("texts.assistant", "texts.0.assistant"):
        assert short(reads("hf", path, columns={"text": mapped})) == ["E = m", "a + b"]
    found = reads("hf", path, task=Task.FORMULA)
    assert len(found) == 2
    assert all(isinstance(read, Item) and read.task is Task.FORMULA and not read.prompt for read in found)
    done = sft("convert", "hf", path, "-o", tmp_path / "out.jsonl", "--task", "formula", "--workers", 1)
    assert done.exit_code == 0
    assert [row["text_info"][0]["text"] for row in rows(tmp_path / "out.jsonl")] == ["Formula Recognition:"] * 2


@pytest.mark.parametrize(
    ("user", "task", "prompt"),
    [
        ("", Task.OCR, ""),
        ("OCR:", Task.OCR, ""),
        ("Formula Recognition:", Task.FORMULA, ""),
        ("What is this?", Task.OCR, "What is this?"),
        ("<image>OCR:", Task.OCR, ""),
    ],
)
def test_prompts_of_conversations(tmp_path: Path, user: str, task: Task, prompt: str) -> None:
    (found,) = reads("hf", chats(tmp_path / "a.parquet", [[{"assistant": "x", "source": "", "user": user}]]))
    assert isinstance(found, Item) and (found.task, found.prompt) == (task, prompt)


def test_longer_conversations(tmp_path: Path) -> None:
    two = [{"assistant": "x", "source": "", "user": "OCR:"}, {"assistant": "y", "source": "", "user": "and ?"}]
    empty = [{"assistant": "x", "source": "", "user": "OCR:"}, {"assistant": "y", "source": "", "user": ""}]
    path = chats(tmp_path / "a.parquet", [two, empty, [{"assistant": "", "source": "", "user": "OCR:"}], []])
    assert short(reads("hf", path))[3] in ("source.shape", "target.empty"), "no turn at all"
    assert short(reads("hf", path))[:3] == [["OCR:", "x", "and ?", "y"], "source.inexpressible", "target.empty"]
    assert short(reads("hf", path, columns={"text": "texts.assistant"}))[:2] == ["source.shape", "source.shape"]
    assert short(reads("hf", path, columns={"text": "texts.1.assistant"}))[:2] == ["y", "y"]
    done = sft("convert", "hf", path, "-o", tmp_path / "out.jsonl", "--workers", 1)
    assert done.exit_code == 0 and rows(tmp_path / "out.jsonl")[0]["text_info"][3]["text"] == "y"


@pytest.mark.parametrize(
    "row",
    [
        {
            "images": ["0.png"],
            "messages": [{"role": "user", "content": "<image>OCR:"}, {"role": "assistant", "content": "x"}],
        },
        {"images": ["0.png"], "messages": [{"role": "user", "content": "OCR:"}, {"role": "assistant", "content": "x"}]},
        {
            "image": "0.png",
            "conversations": [{"from": "human", "value": "<image>\nOCR:"}, {"from": "gpt", "value": "x"}],
        },
        {"image": "0.png", "conversations": [{"from": "human", "value": "OCR:"}, {"from": "gpt", "value": "x"}]},
        {"image": "0.png", "texts": [{"user": "OCR:", "assistant": "x"}]},
        {
            "images": ["0.png"],
            "messages": [
                {"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "OCR:"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "x"}]},
            ],
        },
    ],
)
def test_conversations_of_json_lines(tmp_path: Path, row: dict[str, Any]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n", "utf-8")
    (found,) = reads("hf", path)
    assert isinstance(found, Item) and (found.target, found.task, found.prompt) == ("x", Task.OCR, "")
    assert found.picture.path == tmp_path / "0.png"


@pytest.mark.parametrize(
    "turns", [[{"assistant": None}], [{"role": "tool", "content": "x"}], [{"from": "human"}], ["x", "y"], [], None, 7]
)
def test_what_is_no_conversation(tmp_path: Path, turns: Any) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"images": ["0.png"], "texts": turns}) + "\n", "utf-8")
    (found,) = reads("hf", path)
    assert isinstance(found, Reject)


# images without marks


def message(text: str, images: Any = "0.png") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "x"}], "images": images}


@pytest.mark.parametrize(
    ("row", "indices"),
    [
        (message("OCR:", ["0.png"]), [0]),
        (message("OCR:"), [0]),
        ({"query": "OCR:", "response": "x", "images": ["0.png"]}, [0]),
        ({"query": "and ?", "response": "y", "history": [["OCR:", "x"]], "images": ["0.png"]}, [0]),
        ({"instruction": "OCR:", "input": "", "output": "x", "images": ["0.png"]}, [0]),
        ({"conversation": [{"human": "OCR:", "assistant": "x"}], "images": ["0.png"]}, [0]),
        (message("OCR:", ["0.png", "1.png"]), [0, 0]),
        ({"messages": [{"role": "system", "content": ""}, *message("OCR:")["messages"]], "images": ["0.png"]}, [0]),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "OCR:"}]},
                    {"role": "assistant", "content": "x"},
                ],
                "images": ["0.png"],
            },
            [0],
        ),
        (message("<image>OCR:"), [0]),
    ],
)
def test_images_without_marks_stand_in_front(tmp_path: Path, row: dict[str, Any], indices: list[int]) -> None:
    """Where ms-swift puts them (`_add_default_tags`); what is written back has marks."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n", "utf-8")
    for name in ("0.png", "1.png"):
        (tmp_path / name).write_bytes(png())
    (found,) = reads("messages", path)
    assert isinstance(found, HubRow) and [image["matched_text_index"] for image in found.row["image_info"]] == indices
    done = sft("convert", "messages", path, "-o", tmp_path / "chat.jsonl", "--to", "messages", "--workers", 1)
    assert done.exit_code == 0
    (back,) = rows(tmp_path / "chat.jsonl")
    said = json.dumps(back["messages"])
    assert said.count("<image>") == len(indices)


@pytest.mark.parametrize(
    "row",
    [
        message("<image>OCR:", ["0.png", "1.png"]),
        message("<image><image>OCR:"),
        message("OCR: <image>"),
        message("OCR:", []),
    ],
)
def test_other_counts_of_marks_are_refused(tmp_path: Path, row: dict[str, Any]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n", "utf-8")
    (found,) = reads("messages", path)
    assert isinstance(found, Reject)


def test_llava_without_marks(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "OCR:"}, {"from": "gpt", "value": "x"}]
    path = tmp_path / "a.jsonl"
    more = [*turns, {"from": "human", "value": "and ?"}, {"from": "gpt", "value": "y"}]
    path.write_text(
        "".join(json.dumps({"image": "0.png", "conversations": one}) + "\n" for one in (turns, more, turns[1:])),
        "utf-8",
    )
    assert short(reads("llava", path)) == ["x", ["OCR:", "x", "and ?", "y"], "source.shape"]


# dots in the names of a WebDataset


def shard(path: Path, names: list[str], fields: tuple[str, ...] = ("png", "txt")) -> Path:
    """A tar with members NAME.FIELD; a text says its number, from 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for number, name in enumerate(names, 1):
            for field in fields:
                content = f"line {number}".encode() if field.endswith("txt") else png(250 - number % 200)
                head = tarfile.TarInfo(f"{name}.{field}")
                head.size = len(content)
                archive.addfile(head, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "names",
    [
        ["scan.001", "scan.002", "scan.003"],
        ["0001", "0002", "v1.0_0003"],
        ["v1.0_0003", "0001", "0002"],
        ["a/scan.001", "a/scan.002", "b/scan.001", "b/scan.002"],
        ["2024.01.05", "2024.01.06", "2025.01.05"],
        ["Dr.Smith", "Dr.Jones", "St.Gallen"],
        ["page.1.2", "page.1.3", "page.2.1"],
        [f"scan.{number:04}" for number in range(1, 161)],
        ["0001", "0001.v2", "0002"],
        ["plain"],
    ],
)
def test_no_row_is_lost_or_mixed(tmp_path: Path, names: list[str]) -> None:
    found = reads("hf", shard(tmp_path / "train.tar", names).parent)
    assert sorted(short(found)) == sorted(f"line {number}" for number in range(1, len(names) + 1))
    for read in found:
        assert isinstance(read, Item)
        number = int(read.target.removeprefix("line "))
        assert read.where == f"train.tar:{names[number - 1]}" and read.picture.data == png(250 - number % 200)


def test_what_was_done_with_dots_is_said(tmp_path: Path) -> None:
    done = sft(
        "convert",
        "hf",
        shard(tmp_path / "in" / "train.tar", ["scan.001", "scan.002"]).parent,
        "-o",
        tmp_path / "out.jsonl",
        "--workers",
        1,
    )
    said = " ".join(done.output.split())
    assert (
        done.exit_code == 0 and "2 samples have dots in the name" in said and "2 rows = 2 written + 0 rejected" in said
    )


def test_fields_with_dots_stay_fields(tmp_path: Path) -> None:
    path = shard(tmp_path / "train.tar", ["0001", "0002", "0003"], ("seg.png", "rgb.png", "txt"))
    assert short(reads("hf", path.parent, columns={"image": "rgb.png"})) == ["line 1", "line 2", "line 3"]
    path = shard(tmp_path / "train.tar", ["0001"], ("seg.png", "rgb.png", "txt"))
    assert short(reads("hf", path.parent, columns={"image": "rgb.png"})) == ["line 1"]


def test_a_picture_without_its_label_is_counted(tmp_path: Path) -> None:
    path = shard(tmp_path / "train.tar", ["scan.001", "scan.002", "scan.003"])
    with tarfile.open(path) as archive:
        members = [(head.name, archive.extractfile(head)) for head in archive]
        kept = [(name, stream.read()) for name, stream in members if stream and name != "scan.002.txt"]
    with tarfile.open(path, "w") as archive:
        for name, content in [*kept, ("LICENSE", b"x")]:
            head = tarfile.TarInfo(name)
            head.size = len(content)
            archive.addfile(head, io.BytesIO(content))
    done = sft("convert", "hf", tmp_path, "-o", tmp_path / "out" / "out.jsonl", "--workers", 1)
    said = " ".join(done.output.split())
    assert "3 rows = 2 written + 1 rejected" in said and "1 member without an extension belongs to no sample" in said


ENDINGS = ("png", "txt", "gif", "bmp", "jpg", "tif", "ppm", "pgm", "jp2")
NAMES = st.from_regex(r"[a-z0-9]{1,3}(\.[a-z0-9]{1,3}){0,2}", fullmatch=True).filter(
    lambda name: not name.endswith(ENDINGS)
)
NUMBERED = st.from_regex(r"[a-z0-9]{1,3}(\.[0-9][a-z0-9]{0,2}){0,2}", fullmatch=True).filter(
    lambda name: not name.endswith(ENDINGS)
)


@settings(max_examples=100, deadline=None)
@given(st.lists(NUMBERED, min_size=2, max_size=12, unique=True))
def test_numbers_behind_dots_belong_to_the_name(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    """in = out: each name has a picture and a text, and comes back as one row with its own text."""
    path = shard(tmp_path_factory.mktemp("wds") / "a.tar", names)
    found = reads("hf", path.parent)
    assert sorted(short(found)) == sorted(f"line {number}" for number in range(1, len(names) + 1))


@settings(max_examples=100, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=12, unique=True))
def test_no_text_comes_to_another_picture(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    """Whatever the names: an error that names the columns, or rows with their own text; and each picture is accounted
    for.
    """
    path = shard(tmp_path_factory.mktemp("wds") / "a.tar", names)
    try:
        found = reads("hf", path.parent)
    except UsageError as error:
        assert "columns" in f"{error.message} {error.hint}"
        return
    for read in found:
        if isinstance(read, Item):
            assert read.picture.data == png(250 - int(read.target.removeprefix("line ")) % 200)
    assert len(found) == len(names)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["png", "txt", "json", "seg.png", "rgb.jpg", "left.png", "meta.json"]),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    st.integers(2, 12),
)
def test_shards_as_webdataset_writes_them_are_grouped_as_it_does(
    tmp_path_factory: pytest.TempPathFactory, fields: list[str], count: int
) -> None:
    """By the first dot of the base name (`base_plus_ext` of webdataset 1.0.2)."""
    names = [f"d.v1/s{number:04}" for number in range(count)]
    path = shard(tmp_path_factory.mktemp("wds") / "a.tar", names, tuple(fields))
    with path.open("rb") as stream:
        account: Account = webdataset._account(stream, "a")
        found = [
            (sample[0], [name for name, _ in sample[1]])
            for sample in webdataset.samples(stream, "a", account)
            if not isinstance(sample, Reject)
        ]
    assert found == [(name, fields) for name in names]


# several splits


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("data/train-00000-of-00001.parquet", "train"),
        ("data/test-00000-of-00001.parquet", "test"),
        ("val/metadata.jsonl", "val"),
        ("validation/a.parquet", "validation"),
        ("my_test.csv", "test"),
        ("dev.jsonl", "dev"),
        ("test/train.jsonl", "train"),
        ("train_val.jsonl", ""),
        ("contest.csv", ""),
        ("a.parquet", ""),
        ("TEST.csv", "test"),
        ("latest/data.csv", ""),
    ],
)
def test_names_of_splits(path: str, split: str) -> None:
    assert split_name(path) == split


def published(folder: Path) -> Path:
    for split, count in (("train", 6), ("validation", 2), ("test", 3)):
        values = [
            {"image": {"bytes": png(10 * count + number), "path": None}, "text": f"{split} {number}"}
            for number in range(count)
        ]
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(values, pa.schema([("image", IMAGE), ("text", pa.string())])), path)
    return folder


def splits_of(path: Path) -> list[str]:
    return [row.get("meta", {}).get("split", "") for row in rows(path)]


def test_splits_of_a_published_set_are_kept_and_never_trained_on(tmp_path: Path) -> None:
    done = sft("convert", "hf", published(tmp_path / "in"), "-o", tmp_path / "all.jsonl", "--workers", 1)
    said = " ".join(done.output.split())
    assert (
        done.exit_code == 0
        and "rows of several published splits are in one file (train 6, test 3, validation 2)" in said
        and "--split NAME" in said
    )
    assert sorted(splits_of(tmp_path / "all.jsonl")) == ["test"] * 3 + ["train"] * 6 + ["validation"] * 2
    done = sft("split", tmp_path / "all.jsonl", "-o", tmp_path / "mine", "--test", 1, "--val", 1, "--workers", 1)
    assert done.exit_code == 0, done.output
    assert set(splits_of(tmp_path / "mine" / "train.jsonl")) == {"train"}
    assert (
        splits_of(tmp_path / "mine" / "test.jsonl").count("test") == 3
        and splits_of(tmp_path / "mine" / "val.jsonl").count("validation") == 2
    )


def test_one_split_needs_no_name(tmp_path: Path) -> None:
    source = published(tmp_path / "in")
    done = sft("convert", "hf", source, "-o", tmp_path / "test.jsonl", "--split", "test", "--workers", 1)
    assert (
        done.exit_code == 0 and "published splits" not in done.output and splits_of(tmp_path / "test.jsonl") == [""] * 3
    )
    done = sft(
        "convert", "hf", source / "data" / "test-00000-of-00001.parquet", "-o", tmp_path / "one.jsonl", "--workers", 1
    )
    assert done.exit_code == 0 and splits_of(tmp_path / "one.jsonl") == [""] * 3


def test_splits_of_a_configuration(tmp_path: Path) -> None:
    """README.md may call them what it likes."""
    published(tmp_path / "in")
    files = "".join(
        f"  - split: {name}\n    path: data/{file}-*\n"
        for name, file in (("learn", "train"), ("test_clean", "test"), ("dev", "validation"))
    )
    (tmp_path / "in" / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n", "utf-8"
    )
    done = sft("convert", "hf", tmp_path / "in", "-o", tmp_path / "all.jsonl", "--workers", 1)
    assert done.exit_code == 0 and set(splits_of(tmp_path / "all.jsonl")) == {"learn", "test_clean", "dev"}
    done = sft("split", tmp_path / "all.jsonl", "-o", tmp_path / "mine", "--test", 1, "--val", 1, "--workers", 1)
    assert done.exit_code == 0 and set(splits_of(tmp_path / "mine" / "train.jsonl")) == {"learn"}


def test_splits_of_saved_sets_and_folders(tmp_path: Path) -> None:
    for split in ("train", "test"):
        folder = tmp_path / "in" / split
        folder.mkdir(parents=True)
        (folder / "0.png").write_bytes(png())
        (folder / "metadata.csv").write_text(f"file_name,text\n0.png,{split}\n", "utf-8")
    done = sft("convert", "hf", tmp_path / "in", "-o", tmp_path / "all.jsonl", "--workers", 1)
    assert done.exit_code == 0 and sorted(splits_of(tmp_path / "all.jsonl")) == ["test", "train"]


def table_row(name: str, split: str) -> dict[str, Any]:
    html = {"cells": [{"tokens": ["x"]}], "structure": {"tokens": ["<tr>", "<td>", "</td>", "</tr>"]}}
    return {"filename": name, "split": split, "html": html}


def test_splits_of_pubtabnet(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    values = [table_row(f"{number}.png", split) for number, split in enumerate(("train", "val", "train", "test"))]
    (tmp_path / "PubTabNet.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
    done = sft("convert", "pubtabnet", tmp_path / "PubTabNet.jsonl", "-o", tmp_path / "all.jsonl", "--workers", 1)
    assert (
        done.exit_code == 0
        and splits_of(tmp_path / "all.jsonl") == ["train", "val", "train", "test"]
        and "several published splits" in done.output
    )
    done = sft(
        "convert",
        "pubtabnet",
        tmp_path / "PubTabNet.jsonl",
        "-o",
        tmp_path / "train.jsonl",
        "--split",
        "train",
        "--workers",
        1,
    )
    assert (
        done.exit_code == 0 and splits_of(tmp_path / "train.jsonl") == ["", ""] and "2 rows = 2 written" in done.output
    )
