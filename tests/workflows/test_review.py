"""`sft review`: planted label errors are found, and corrections come back in every form."""

from __future__ import annotations

import ast
import csv
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from sft.cli.review import review as verb
from sft.errors import ProblemsFound, UsageError
from sft.files import StagingFolder, ocr_sample, read_json, read_samples, write_samples
from sft.inference.predict import write_predictions
from sft.synth import bengali_sample
from sft.types import Prediction
from sft.workflows.corrections import apply_corrections, read_corrections
from sft.workflows.evaluate import TRAINED_ON
from sft.workflows.review import review

OCR, TABLE = "OCR:", "Table Recognition:"
SIGNS = "\u09be\u09bf\u09c0\u09c1\u09c2\u09c7\u09cb"  # vowel signs of Bengali


@dataclass(frozen=True)
class Planted:
    """A set with wrong labels, and what a model that is usually right says of it."""

    data: Path
    preds: Path
    wrong: frozenset[int]
    right: dict[int, str]


def table(rng: random.Random) -> str:
    rows = [[str(rng.randint(1, 9999)) for _ in range(3)] for _ in range(4)]
    return "".join("".join(f"<fcel>{cell}" for cell in row) + "<nl>" for row in rows)


def noisy(rng: random.Random, text: str) -> str:
    """One letter read as another, in one answer of ten; one of fifty breaks off or is something else."""
    luck = rng.random()
    if luck < 0.02:
        return text[: len(text) // 3]
    if luck < 0.12 and "<fcel>" not in text:
        place = rng.randrange(len(text))
        return text[:place] + rng.choice("০১২৩৪৫৬৭৮৯") + text[place + 1 :]
    return text


def planted(folder: Path, *, rows: int = 1000, seed: int = 1) -> Planted:
    """2 % of the labels are wrong: swapped texts, dropped vowel signs, table rows shifted by one."""
    rng = random.Random(seed)
    lines = bengali_sample.texts(seed=seed, split="train", count=rows)
    true = {line: (TABLE, table(rng)) if line % 4 == 0 else (OCR, text) for line, text in enumerate(lines, 1)}
    labels = {line: text for line, (_, text) in true.items()}
    marked = [line for line, text in labels.items() if any(sign in SIGNS for sign in text)]
    texts = [line for line in labels if line % 4]
    share = rows // 150
    swapped = rng.sample(texts, 2 * share)
    for one, other in zip(swapped[::2], swapped[1::2], strict=True):
        labels[one], labels[other] = labels[other], labels[one]
    bare = rng.sample([line for line in marked if line not in swapped], share)
    for line in bare:
        labels[line] = "".join(sign for sign in labels[line] if sign not in SIGNS)
    shifted = rng.sample([line for line in labels if line % 4 == 0], share)
    for line in shifted:
        first, *rest = labels[line].split("<nl>")[:-1]
        labels[line] = "<nl>".join([*rest, first]) + "<nl>"
    Image.new("RGB", (60, 30), "white").save(folder / "a.png")
    write_samples(
        folder / "data.jsonl", [ocr_sample("a.png", prompt, labels[line]) for line, (prompt, _) in true.items()]
    )
    preds = [
        Prediction(line, "a.png", prompt, labels[line], noisy(rng, text), "stop", 0.1, "")
        for line, (prompt, text) in true.items()
    ]
    write_predictions(folder / "predictions.jsonl", preds)
    right = {line: text for line, (_, text) in true.items()}
    return Planted(folder / "data.jsonl", folder / "predictions.jsonl", frozenset([*swapped, *bare, *shifted]), right)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_errors_come_first(tmp_path: Path, seed: int) -> None:
    case = planted(tmp_path, seed=seed)
    found = review([case.preds], data=case.data)
    first = [item.pred.id for item in found.suspects[: len(case.wrong)]]
    assert len(case.wrong) >= 20 and len(set(first) & case.wrong) / len(case.wrong) >= 0.8
    assert found.answers == 1000 and all(item.error > 0 for item in found.suspects)


def test_folds_are_looked_at_together_and_the_better_answer_counts(tmp_path: Path) -> None:
    case = planted(tmp_path, rows=300)
    right = [
        Prediction(line, "a.png", OCR, text, text, "stop", 0.1, "") for line, text in case.right.items() if line % 4
    ]
    write_predictions(tmp_path / "all-as-the-label.jsonl", [p for p in right if p.id not in case.wrong])
    both = review([case.preds, tmp_path / "all-as-the-label.jsonl"], data=case.data)
    assert {item.pred.id for item in both.suspects if item.pred.id % 4} <= case.wrong


def run(*arguments: object) -> Result:
    return CliRunner().invoke(verb, [str(item) for item in arguments])


def test_corrections_of_a_spreadsheet_come_back(tmp_path: Path) -> None:
    case = planted(tmp_path, rows=300)
    done = run(case.preds, "--data", case.data, "-o", tmp_path / "review")
    assert done.exit_code == 0, done.output
    path = tmp_path / "review" / "review.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") and (tmp_path / "review" / "report.html").is_file()
    corrected = 0
    for row in rows:
        line = int(row["id"])
        assert (path.parent / row["image"]).resolve() == (tmp_path / "a.png").resolve()
        if line in case.wrong:
            row["corrected"] = case.right[line]
            corrected += 1
    rows[0]["corrected"] = "###"
    assert int(rows[0]["id"]) in case.wrong
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    out = tmp_path / "better.jsonl"
    done = run("--apply", path, "--data", case.data, "-o", out, "--json")
    assert done.exit_code == 0, done.output
    counts = read_json(tmp_path / "better.manifest.json")["counts"]
    assert counts["in"] == 300 == counts["kept"] + counts["corrected"] + counts["dropped"]
    assert (counts["corrected"], counts["dropped"], counts["out"]) == (corrected - 1, 1, 299)
    dropped = int(rows[0]["id"])
    lines = [line for line in range(1, 301) if line != dropped]
    for line, (_, sample) in zip(lines, read_samples(out), strict=True):
        if line not in case.wrong or str(line) in {row["id"] for row in rows}:
            assert sample.ref == case.right[line]
    before = out.stat().st_mtime_ns
    assert run("--apply", path, "--data", case.data, "-o", out).exit_code == 0 and out.stat().st_mtime_ns == before


def swapped_pair(folder: Path) -> tuple[Path, Path]:
    """Two rows with each other's label, and a right one."""
    for name in ("1.png", "2.png", "3.png"):
        Image.new("RGB", (90, 30), "white").save(folder / name)
    labels = ["two", "one", "three"]
    said = ["one", "two", "three"]
    write_samples(
        folder / "data.jsonl",
        [ocr_sample(f"{number}.png", OCR, label) for number, label in enumerate(labels, 1)],
    )
    write_predictions(
        folder / "predictions.jsonl",
        [
            Prediction(number, f"{number}.png", OCR, label, answer, "stop", 0.1, "")
            for number, (label, answer) in enumerate(zip(labels, said, strict=True), 1)
        ],
    )
    return folder / "data.jsonl", folder / "predictions.jsonl"


def refs(path: Path) -> Sequence[str]:
    return [sample.ref for _, sample in read_samples(path)]


def test_label_studio_and_ppocrlabel(tmp_path: Path) -> None:
    data, preds = swapped_pair(tmp_path)
    assert run(preds, "--data", data, "-o", tmp_path / "review").exit_code == 0
    tasks = read_json(tmp_path / "review" / "label-studio.json")
    tasks.sort(key=lambda task: task["data"]["line"])
    assert [task["predictions"][0]["result"][0]["value"]["text"] for task in tasks] == [["one"], ["two"]]
    tasks[0]["annotations"][0]["result"][0]["value"]["text"] = ["one"]
    tasks[1]["annotations"][0]["was_cancelled"] = True
    (tmp_path / "export.json").write_text(json.dumps(tasks), "utf-8")
    assert run("--apply", tmp_path / "export.json", "--data", data, "-o", tmp_path / "ls.jsonl").exit_code == 0
    assert refs(tmp_path / "ls.jsonl") == ["one", "three"]
    label = tmp_path / "review" / "ppocrlabel" / "Label.txt"
    names = [line.split("\t")[0] for line in label.read_text("utf-8").splitlines()]
    assert len(names) == 2 and all((label.parent.parent / name).is_file() for name in names)
    label.write_text(label.read_text("utf-8").replace('"two"', '"one"'), "utf-8")
    assert run("--apply", label, "--data", data, "-o", tmp_path / "pp.jsonl").exit_code == 0
    assert refs(tmp_path / "pp.jsonl") == ["one", "one", "three"]


def test_what_cannot_be_applied_is_rejected_by_reason_and_the_row_is_kept(tmp_path: Path) -> None:
    data, preds = swapped_pair(tmp_path)
    assert run(preds, "--data", data, "-o", tmp_path / "review").exit_code == 0
    row = {item.pred.id: item.row for item in review([preds], data=data).suspects}
    lines = ["id,row,corrected", "1,0000000000000000,one", f"2,{row[2]},a\u0000b", f"9,{row[1]},x"]
    (tmp_path / "bad.csv").write_text("\n".join(lines) + "\n", "utf-8")
    done = run("--apply", tmp_path / "bad.csv", "--data", data, "-o", tmp_path / "out.jsonl")
    assert done.exit_code == 1 and refs(tmp_path / "out.jsonl") == ["two", "one", "three"]
    rejects = [json.loads(line) for line in (tmp_path / "out.rejects.jsonl").read_text("utf-8").splitlines()]
    assert [item["code"] for item in rejects] == ["review.changed", "target.control", "review.unknown"]


def test_two_corrections_of_one_row(tmp_path: Path) -> None:
    data, preds = swapped_pair(tmp_path)
    row = {item.pred.id: item.row for item in review([preds], data=data).suspects}
    lines = ["id,row,corrected", f"1,{row[1]},one", f"1,{row[1]},uno", f"2,{row[2]},zwei", f"2,{row[2]},zwei"]
    (tmp_path / "c.csv").write_text("\n".join(lines) + "\n", "utf-8")
    done = run("--apply", tmp_path / "c.csv", "--data", data, "-o", tmp_path / "out.jsonl")
    assert done.exit_code == 1 and refs(tmp_path / "out.jsonl") == ["two", "zwei", "three"]
    rejects = [json.loads(line) for line in (tmp_path / "out.rejects.jsonl").read_text("utf-8").splitlines()]
    assert [item["code"] for item in rejects] == ["review.conflict"] * 2


@pytest.mark.parametrize("moves", [0, 1, 2])
def test_killed_between_its_files_and_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int) -> None:
    data, preds = swapped_pair(tmp_path)
    row = {item.pred.id: item.row for item in review([preds], data=data).suspects}
    (tmp_path / "c.csv").write_text(f"id,row,corrected\n1,{row[1]},one\n", "utf-8")
    real, left = StagingFolder.move, [moves]

    def move(self: StagingFolder, name: str, target: Path) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(self, name, target)

    monkeypatch.setattr(StagingFolder, "move", move)
    with pytest.raises(KeyboardInterrupt):
        apply_corrections(data, tmp_path / "c.csv", tmp_path / "out.jsonl")
    monkeypatch.undo()
    counts = apply_corrections(data, tmp_path / "c.csv", tmp_path / "out.jsonl")["counts"]
    assert counts["corrected"] == 1 and refs(tmp_path / "out.jsonl") == ["one", "one", "three"]


def test_what_nobody_touched_stays_byte_for_byte(tmp_path: Path) -> None:
    """A label that --fix would change, and one that is wrong in itself, come back from PPOCRLabel as they were."""
    labels = ["a\u00a0b", "<table><tr><td>x</td></tr></table>", "right"]
    Image.new("RGB", (90, 30), "white").save(tmp_path / "a.png")
    write_samples(tmp_path / "data.jsonl", [ocr_sample("a.png", OCR, label) for label in labels])
    preds = [Prediction(n, "a.png", OCR, label, "other", "stop", 0.1, "") for n, label in enumerate(labels, 1)]
    write_predictions(tmp_path / "predictions.jsonl", preds)
    data = tmp_path / "data.jsonl"
    assert run(tmp_path / "predictions.jsonl", "--data", data, "-o", tmp_path / "r").exit_code == 0
    for number, path in enumerate([tmp_path / "r/ppocrlabel/Label.txt", tmp_path / "r/label-studio.json"]):
        out = tmp_path / f"{number}.jsonl"
        assert run("--apply", path, "--data", data, "-o", out).exit_code == 0
        assert out.read_bytes() == data.read_bytes()


def test_a_review_is_not_written_over_corrections(tmp_path: Path) -> None:
    data, preds = swapped_pair(tmp_path)
    assert run(preds, "--data", data, "-o", tmp_path / "review").exit_code == 0
    (tmp_path / "review" / "review.csv").write_text("mine", "utf-8")
    done = run(preds, "--data", data, "-o", tmp_path / "review")
    assert isinstance(done.exception, UsageError) and "already exists" in str(done.exception)
    assert (tmp_path / "review" / "review.csv").read_text("utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_rows_that_are_not_those_that_were_answered(tmp_path: Path) -> None:
    data, preds = swapped_pair(tmp_path)
    lines = data.read_bytes().splitlines(keepends=True)
    data.write_bytes(lines[2] + lines[1] + lines[0])
    done = run(preds, "--data", data, "-o", tmp_path / "review")
    assert isinstance(done.exception, UsageError) and "line 1 is not the row" in str(done.exception)


@pytest.mark.parametrize(("encoding", "delimiter"), [("utf-8-sig", ";"), ("utf-16", "\t"), ("utf-8", ",")])
def test_what_spreadsheets_make_of_a_csv(tmp_path: Path, encoding: str, delimiter: str) -> None:
    rows = [["id", "row", "corrected"], ["7", "ab", 'a, "b"; c'], ["8", "cd", ""], ["9", "ef", "x" * 200_000]]
    with (tmp_path / "c.csv").open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)
    found = read_corrections(tmp_path / "c.csv")
    assert [(item.line, item.row, item.text) for item in found] == [(7, "ab", 'a, "b"; c'), (9, "ef", "x" * 200_000)]


def test_a_line_that_is_too_long_is_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, preds = swapped_pair(tmp_path)
    row = {item.pred.id: item.row for item in review([preds], data=data).suspects}
    long = ocr_sample("3.png", OCR, "z" * 5000)
    write_samples(data, [*(sample for _, sample in read_samples(data)), long])
    monkeypatch.setattr("sft.files.jsonl.MAX_LINE_BYTES", 1000)
    (tmp_path / "c.csv").write_text(f"id,row,corrected\n1,{row[1]},one\n", "utf-8")
    apply_corrections(data, tmp_path / "c.csv", tmp_path / "out.jsonl")
    old, new = (path.read_bytes().splitlines() for path in (data, tmp_path / "out.jsonl"))
    assert old[1:] == new[1:] and old[0] != new[0]


def test_halves_of_characters_and_empty_texts_are_rejected(tmp_path: Path) -> None:
    data, preds = swapped_pair(tmp_path)
    row = {item.pred.id: item.row for item in review([preds], data=data).suspects}
    tasks = [
        {"data": {"line": 1, "row": row[1]}, "annotations": [{"result": []}]},
        {
            "data": {"line": 2, "row": row[2]},
            "annotations": [{"result": [{"type": "textarea", "value": {"text": ["\ud800"]}}]}],
        },
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks), "utf-8")
    done = run("--apply", tmp_path / "export.json", "--data", data, "-o", tmp_path / "out.jsonl")
    assert done.exit_code == 1 and refs(tmp_path / "out.jsonl") == ["two", "one", "three"], done
    rejects = [json.loads(line) for line in (tmp_path / "out.rejects.jsonl").read_text("utf-8").splitlines()]
    assert [item["code"] for item in rejects] == ["target.empty", "target.control"]


def test_a_model_that_was_trained_on_the_rows_is_said(tmp_path: Path) -> None:
    data, preds = swapped_pair(tmp_path)
    for trained in (True, False):
        told = {"data": {"path": str(data)}, "conditions": {TRAINED_ON: trained}}
        (tmp_path / "results.json").write_text(json.dumps(told), "utf-8")
        assert review([preds], data=data).trained is trained


def test_one_text_instead_of_a_list(tmp_path: Path) -> None:
    region = {"type": "textarea", "value": {"text": "abc"}}
    task = {"data": {"line": 1, "row": "x"}, "annotations": [{"result": [region]}]}
    (tmp_path / "export.json").write_text(json.dumps([task]), "utf-8")
    assert [item.text for item in read_corrections(tmp_path / "export.json")] == ["abc"]


def test_a_spreadsheet_meets_no_formula(tmp_path: Path) -> None:
    labels = ["=1+1", "+x", "-5", "-x", "@a", "plain"]
    write_samples(tmp_path / "data.jsonl", [ocr_sample("a.png", OCR, label) for label in labels])
    preds = [Prediction(n, "a.png", OCR, label, "other", "stop", 0.1, "") for n, label in enumerate(labels, 1)]
    write_predictions(tmp_path / "predictions.jsonl", preds)
    assert run(tmp_path / "predictions.jsonl", "--data", tmp_path / "data.jsonl", "-o", tmp_path / "r").exit_code == 0
    text = (tmp_path / "r" / "review.csv").read_text("utf-8-sig")
    shown = {int(row["id"]): row["label"] for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert [shown[n] for n in range(1, 7)] == ["'=1+1", "'+x", "-5", "'-x", "'@a", "plain"]


def test_what_is_refused(tmp_path: Path) -> None:
    data, preds = swapped_pair(tmp_path)
    (tmp_path / "other").mkdir()
    for arguments, said in (
        (("--apply", preds, "-o", tmp_path / "x.jsonl"), "--data"),
        (("--apply", tmp_path / "c.csv", "--data", data, "-o", data), "overwrite its source"),
        (("--apply", tmp_path / "c.csv", "--data", data, "-o", tmp_path / "other" / "x.jsonl"), "relative to"),
        ((tmp_path / "other", "-o", tmp_path / "r"), "no predictions here"),
        ((preds, "-o", tmp_path / "r"), "does not say which data file"),
    ):
        done = run(*arguments)
        assert isinstance(done.exception, UsageError) and said in f"{done.exception} {done.exception.hint}", done
    (tmp_path / "c.csv").write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(ProblemsFound, match="not what `sft review` wrote"):
        read_corrections(tmp_path / "c.csv")


def test_the_annotation_that_was_changed_last_counts_in_every_export(tmp_path: Path) -> None:
    """Rows as the converter of label-studio-sdk 2.1.2 writes them: one an annotation, newest first; one for a task
    without any.
    """
    plain = {"line": 1, "row": "a", "annotation_id": 11, "label": "two", "updated_at": "2026-01-01T00:00:00Z"}
    edited = plain | {"annotation_id": 12, "label": "zwei", "updated_at": "2026-01-02T00:00:00Z"}
    untouched = {"line": 2, "row": "b", "annotation_id": None, "updated_at": None}
    (tmp_path / "min.json").write_text(json.dumps([edited, plain, untouched]), "utf-8")
    with (tmp_path / "export.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, ["annotation_id", "label", "line", "row", "updated_at"], quoting=csv.QUOTE_ALL)
        table.writeheader()
        table.writerows([edited, plain, untouched])
    annotations = [
        {
            "updated_at": one["updated_at"],
            "result": [{"type": "textarea", "value": {"text": [one["label"]]}}],
        }
        for one in (edited, plain)
    ]
    task = {"data": {"line": 1, "row": "a"}, "annotations": annotations}
    (tmp_path / "full.json").write_text(json.dumps([task]), "utf-8")
    for name in ("min.json", "export.csv", "full.json"):
        found = [(item.line, item.row, item.text) for item in read_corrections(tmp_path / name)]
        assert found == [(1, "a", "zwei")], name


def test_what_ppocrlabel_makes_of_the_folder(tmp_path: Path) -> None:
    """As PPOCRLabel reads and saves (PPOCRLabel.py at 42362c8): a line is Python after "false", "true" and "null" were
    replaced in all of it; Label.txt loses what was not confirmed, Cache.cach keeps it; pictures are shown upright.
    """
    labels = ["true, false or null", "a\tnull\\true", "plain"]
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(1, 4):
        Image.new("RGB", (90, 30), "white").save(tmp_path / f"{number}.jpg", exif=exif if number == 3 else Image.Exif())
    write_samples(tmp_path / "data.jsonl", [ocr_sample(f"{n}.jpg", OCR, text) for n, text in enumerate(labels, 1)])
    preds = [Prediction(n, f"{n}.jpg", OCR, text, "other", "stop", 0.1, "") for n, text in enumerate(labels, 1)]
    write_predictions(tmp_path / "predictions.jsonl", preds)
    assert run(tmp_path / "predictions.jsonl", "--data", tmp_path / "data.jsonl", "-o", tmp_path / "r").exit_code == 0
    for name in ("Label.txt", "Cache.cach"):
        shown = {}
        for line in (tmp_path / "r/ppocrlabel" / name).read_text("utf-8").splitlines():
            image, boxes = line.split("\t")
            for word, python in (("false", "False"), ("true", "True"), ("null", "None")):
                boxes = boxes.replace(word, python)
            (box,) = ast.literal_eval(boxes)
            shown[int(Path(image).stem.partition("-")[0])] = box
        assert [shown[n]["transcription"] for n in (1, 2, 3)] == labels, name
        assert shown[1]["points"][2] == [90, 30] and shown[3]["points"][2] == [30, 90], name
