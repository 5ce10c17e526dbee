"""`sft prelabel`: pictures become rows with a model's answers, and what was corrected comes back."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result
from eval_server import Served
from PIL import Image

from sft.cli import sft as command
from sft.errors import EngineError, ProblemsFound, UsageError
from sft.files import read_samples
from sft.models import versions
from sft.validate.context import Context
from sft.validate.file import validate


def sft(*words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures, one of them deeper, one that cannot be read, and what is no picture."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for number, name in enumerate(("a b.png", "deep/c.PNG", "z.jpg")):
        Image.new("RGB", (60, 40), (number * 90, 9, 200)).save(folder / name)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.png").write_bytes(b"x")
    return folder


def prelabel(photos: Path, served: Served, out: Path, *words: object) -> Result:
    return sft("prelabel", photos, "--url", served.url, "-o", out, *words)


def test_pictures_become_rows_that_can_be_trained(photos: Path, served: Served, tmp_path: Path) -> None:
    out = tmp_path / "first"
    done = prelabel(photos, served, out, "--json")
    account = json.loads(done.stdout)
    assert done.exit_code == 1 and account["counts"] == {"in": 4, "out": 3, "rejected": 1}
    (reject,) = map(json.loads, (out / "rejects.jsonl").read_text("utf-8").splitlines())
    assert reject["where"].endswith("broken.png") and reject["code"] == "image.unreadable"
    assert account["reasons"] == {"image.unreadable": 1}
    rows = [sample for _, sample in read_samples(out / "rows.jsonl")]
    assert [row.image_info[0].image_url for row in rows] == [
        "images/000001-a-b.png",
        "images/000002-c.png",
        "images/000003-z.jpg",
    ]
    assert all(row.prompt == "OCR:" and row.ref for row in rows) and len({row.ref for row in rows}) == 3
    report = validate(out / "rows.jsonl", Context(out, versions.MODELS["0.9B"]))
    assert (report.rows, report.errors) == (3, 0)
    assert not list(tmp_path.glob("*.answers.jsonl"))


def test_corrections_of_a_table_come_back(photos: Path, served: Served, tmp_path: Path) -> None:
    out = tmp_path / "first"
    prelabel(photos, served, out)
    before = [sample.ref for _, sample in read_samples(out / "rows.jsonl")]
    table = list(csv.DictReader(io.StringIO((out / "review.csv").read_text("utf-8-sig"))))
    assert [row["label"].lstrip("'") for row in table] == before
    table[0]["corrected"], table[2]["corrected"] = "right", "###"
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    (out / "review.csv").write_text(stream.getvalue(), "utf-8-sig")
    new = out / "corrected.jsonl"
    assert sft("review", "--apply", out / "review.csv", "--data", out / "rows.jsonl", "-o", new).exit_code == 0
    assert [sample.ref for _, sample in read_samples(new)] == ["right", before[1]]


def test_tasks_of_label_studio_have_predictions_and_addresses_that_it_serves(
    photos: Path, served: Served, tmp_path: Path
) -> None:
    out = tmp_path / "first"
    done = prelabel(photos, served, out, "--to", "label-studio")
    assert f"LOCAL_FILES_DOCUMENT_ROOT={out}" in done.stderr.replace("\n", "")
    tasks = json.loads((out / "label-studio.json").read_text("utf-8"))
    rows = [sample.ref for _, sample in read_samples(out / "rows.jsonl")]
    for task, ref in zip(tasks, rows, strict=True):
        address = urlsplit(task["data"]["image"])
        assert address.path == "/data/local-files/" and (out / parse_qs(address.query)["d"][0]).is_file()
        assert task["annotations"] == [] and task["predictions"][0]["result"][0]["value"]["text"] == [ref]
    tasks[1]["annotations"] = [{"result": [{**tasks[1]["predictions"][0]["result"][0], "value": {"text": ["new"]}}]}]
    (out / "export.json").write_text(json.dumps(tasks), "utf-8")
    new = out / "corrected.jsonl"
    assert sft("review", "--apply", out / "export.json", "--data", out / "rows.jsonl", "-o", new).exit_code == 0
    assert [sample.ref for _, sample in read_samples(new)] == [rows[0], "new", rows[2]]


@pytest.mark.parametrize("name", ["result.csv", "result.json"])
def test_the_other_exports_of_label_studio_come_back(photos: Path, served: Served, tmp_path: Path, name: str) -> None:
    """CSV and JSON_MIN as label-studio-sdk 2.1.2 converts them: the third task was skipped and is missing."""
    out = tmp_path / "first"
    prelabel(photos, served, out, "--to", "label-studio")
    tasks = json.loads((out / "label-studio.json").read_text("utf-8"))
    rows = [sample.ref for _, sample in read_samples(out / "rows.jsonl")]
    made = "2026-12-01T00:00:00Z"
    exported = [
        {"annotation_id": n, "annotator": 1, "created_at": made, "id": n + 1, "label": label, "lead_time": 1.0}
        | {key: task["data"][key] for key in ("image", "line", "row", "task")}
        for n, (task, label) in enumerate(zip(tasks, ("corrected", rows[1]), strict=False))
    ]
    if name.endswith(".json"):
        (tmp_path / name).write_text(json.dumps(exported), "utf-8")
    else:
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(exported[0]), quoting=csv.QUOTE_NONNUMERIC)
            writer.writeheader()
            writer.writerows(exported)
    new = out / "corrected.jsonl"
    assert sft("review", "--apply", tmp_path / name, "--data", out / "rows.jsonl", "-o", new).exit_code == 0
    assert [sample.ref for _, sample in read_samples(new)] == ["corrected", *rows[1:]]


def test_answers_are_no_confirmed_labels_for_ppocrlabel(photos: Path, served: Served, tmp_path: Path) -> None:
    out = tmp_path / "first"
    prelabel(photos, served, out, "--to", "ppocrlabel")
    lines = (out / "ppocrlabel" / "Cache.cach").read_text("utf-8").splitlines()
    assert len(lines) == 3 and not (out / "ppocrlabel" / "Label.txt").exists()
    assert all((out / line.partition("\t")[0]).is_file() for line in lines)
    converted = sft("convert", "ppocrlabel", out / "ppocrlabel", "-o", tmp_path / "again.jsonl", "--workers", 1)
    assert isinstance(converted.exception, UsageError), "nobody has confirmed any"
    name, _, boxes = lines[0].partition("\t")
    confirmed = json.loads(boxes)
    confirmed[0]["transcription"] = "read by hand"
    (out / "ppocrlabel" / "Label.txt").write_text(f"{name}\t{json.dumps(confirmed)}\n", "utf-8")
    new = out / "corrected.jsonl"
    words = ("--apply", out / "ppocrlabel" / "Label.txt", "--data", out / "rows.jsonl", "-o", new)
    assert sft("review", *words).exit_code == 0
    assert next(read_samples(new))[1].ref == "read by hand" and len(list(read_samples(new))) == 3


def test_a_stopped_server_costs_nothing(photos: Path, served: Served, tmp_path: Path) -> None:
    out = tmp_path / "first"
    served.kill()
    served.start(last=2)  # dies at its second question
    failed = prelabel(photos, served, out, "--concurrency", 1, "--patience", 0.5)
    assert isinstance(failed.exception, EngineError) and "resume" in str(failed.exception.hint) and not out.exists()
    served.kill()
    served.start()
    done = prelabel(photos, served, out)
    assert done.exit_code == 1 and "reused from before" in done.stderr and (out / "rows.jsonl").is_file()


def test_what_a_user_may_get_wrong(photos: Path, served: Served, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "empty").mkdir()
    for words, kind, said in (
        ((tmp_path / "none", "--url", served.url, "-o", tmp_path / "o"), UsageError, "no such picture"),
        ((tmp_path / "empty", "--url", served.url, "-o", tmp_path / "o"), UsageError, "no pictures"),
        ((photos, "--url", served.url, "-o", tmp_path / "there"), UsageError, "already exists"),
        ((photos, "--url", served.url, "-o", tmp_path / "o.jsonl"), UsageError, "is a folder"),
        ((photos / "broken.png", "--url", served.url, "-o", tmp_path / "o"), ProblemsFound, "has an answer"),
        ((photos, "--url", "http://127.0.0.1:9", "-o", tmp_path / "o"), EngineError, ""),
    ):
        failed = sft("prelabel", *words)
        assert isinstance(failed.exception, kind) and said in str(failed.exception), words
    assert not (tmp_path / "o").exists()
