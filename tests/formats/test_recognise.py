"""Label files and folders that are given as data are called by name, and the command that is named converts them."""

from __future__ import annotations

import json
import random
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from places import TESTS

from sft.cli import sft as command
from sft.errors import UsageError
from sft.formats import FORMATS
from sft.formats.recognise import labels_in, require_rows
from sft.formats.shared import IMAGE_SUFFIXES

GOLDEN = TESTS / "golden" / "formats"
# what a golden folder holds beside its own format; Parquet says by its columns alone whose it is
OTHERS = {"page-xml/source/other.xml": "alto", "otsl-parquet/source.parquet": "hf"}
NOT_KNOWN = {"erniekit", "chartqa", "unimer", "otsl-parquet"}  # the hub's own; plain tables and lines of LaTeX


def sources(name: str) -> list[Path]:
    folder = GOLDEN / name
    places = [*folder.glob("source*"), *folder.glob("source/**/*")]
    return [path for path in sorted(places) if path.suffix.lower() not in IMAGE_SUFFIXES]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_source_is_called_what_it_is_or_nothing(name: str) -> None:
    found = {str(path.relative_to(GOLDEN)): labels_in(path) for path in sources(name)}
    called = {place: known.format for place, known in found.items() if known}
    assert all(known == OTHERS.get(place, name) for place, known in called.items()), called
    assert (name in called.values()) is (name not in NOT_KNOWN)


def invoke(*words: str) -> Result:
    return CliRunner().invoke(command, list(words))


@pytest.mark.parametrize(
    "source", ["ppocrlabel/source", "paddleocr-rec/source/rec_gt_train.txt", "csv/source/metadata.csv", "alto/source"]
)
def test_the_command_that_is_named_converts(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder, *file = source.split("/")
    shutil.copytree(GOLDEN / name / folder, tmp_path / "my labels")
    copy = Path("my labels", *file)
    monkeypatch.chdir(tmp_path)
    for verb in (["validate"], ["run"], ["train"], ["stats"], ["view"], ["eval"], ["split", "-o", "out"]):
        done = invoke(*verb, str(copy))
        assert isinstance(done.exception, UsageError) and done.exception.hint, (verb, done.output)
    assert isinstance(done.exception, UsageError) and done.exception.hint
    told = done.exception.hint.split("`")[1]
    words = shlex.split(told)
    assert words[:2] == ["sft", "convert"] and words[-2] == "-o"
    made = invoke(*words[1:])
    assert made.exit_code in (0, 1) and Path(words[-1]).stat().st_size, made.output


@pytest.mark.parametrize(
    ("name", "content", "format_name"),
    [
        ("rows.jsonl", '{"image": "a.png", "text": "x"}', "hf"),
        ("rows.json", '[{"messages": []}]', "messages"),
        ("rows.csv", "image\ttext\na.png\tx", "csv"),
        ("rows.csv", "city,people\nOslo,7", None),
        ("README.txt", "All images\tare in a.png", None),
        ("list.txt", "a.PNG\tx", "paddleocr-rec"),
        ("word.txt", "10,20,30,20,30,40,10,40,hello", "icdar"),
        ("rows.jsonl", '{"text_info": [], "image_info": [], "messages": []}', None),
        ("rows.jsonl", "", None),
    ],
)
def test_single_files(name: str, content: str, format_name: str | None, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    found = labels_in(tmp_path / name)
    assert (found.format if found else None) == format_name


def test_the_output_that_is_named_is_never_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('{"image": "a.png", "text": "x"}\n')
    found = labels_in(Path("rows.jsonl"))
    assert found and found.command == "sft convert hf rows.jsonl -o rows.samples.jsonl"


def test_rejects_and_answers_are_called_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "all.rejects.jsonl"
    path.write_text(json.dumps({"where": "Label.txt:3", "code": "image.missing", "message": "m", "raw": ""}) + "\n")
    with pytest.raises(UsageError, match="rejects or warnings") as caught:
        require_rows(path)
    assert caught.value.hint == "correct the source (the first is of Label.txt:3) and run the command again"
    (tmp_path / "all.jsonl").write_text("{}")
    with pytest.raises(UsageError) as caught:
        require_rows(path)
    assert str(caught.value.hint).endswith(f"the rows that can be used are in {tmp_path / 'all.jsonl'}")
    path.write_text(json.dumps({"id": 1, "ref": "a", "pred": "b", "image": "a.png"}) + "\n")
    with pytest.raises(UsageError, match="answers of a model"):
        require_rows(path)


def test_a_folder_is_answered_with_what_it_holds(tmp_path: Path) -> None:
    def hint() -> str:
        done = invoke("split", str(tmp_path), "-o", str(tmp_path / "out"))
        assert isinstance(done.exception, UsageError)
        return str(done.exception.hint)

    assert hint() == "it holds no JSONL file"
    (tmp_path / "a.png").write_bytes(b"")
    assert "sft prelabel" in hint()
    (tmp_path / "rec.txt").write_text("a.png\tx\n")
    assert "sft convert paddleocr-rec" in hint()
    (tmp_path / "rec.rejects.jsonl").write_text('{"where": "", "code": "", "message": ""}\n')
    assert "sft convert paddleocr-rec" in hint()
    (tmp_path / "rec.jsonl").write_text('{"text_info": [], "image_info": []}\n')
    assert hint() == "name one of its files: rec.jsonl"
    (tmp_path / "train.jsonl").write_text("{}\n")
    assert hint() == f"name one: {tmp_path / 'train.jsonl'}"


def test_nothing_that_a_file_holds_is_a_traceback(tmp_path: Path) -> None:
    chance = random.Random(7)
    path = tmp_path / "x.jsonl"
    for content in (
        b"[" * 50_000,
        b'{"a":' * 50_000,
        b"\xff\xfe{\0",
        b"\xff" * 99,
        b'{"where": 1, "code": [], "m": 2}',
    ):
        path.write_bytes(content)
        labels_in(path)
        require_rows(path)
    for _ in range(300):
        path.write_bytes(chance.randbytes(chance.randrange(80)))
        labels_in(path)
    assert labels_in(tmp_path / "none") is None
