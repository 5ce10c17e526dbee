"""Files in which people correct labels, and the way back into the JSONL.

- review.csv: UTF-8 with a byte order mark, so that a spreadsheet reads it; the column `corrected` is empty until
  somebody fills it in; `###` there drops the row.
- label-studio.json, with label-studio.xml as the labelling configuration: the label is the annotation, the model's
  answer the prediction. A skipped (cancelled) task drops its row. Images are addressed as Label Studio serves local
  files, below `local_files_root`.
- ppocrlabel/: the images under names that hold line and hash, and Label.txt with the label over the whole image.
  `###` drops the row. Rows of plain text only.
- a log of corrections, .jsonl (`correction_log`): what a program appends while somebody edits.

Labels that nobody has seen yet (`sft prelabel`) are no annotations, and stand in Cache.cach, which PPOCRLabel shows
like Label.txt and does not take for confirmed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sft.convert import manifest_path
from sft.errors import ProblemsFound, UsageError
from sft.files import (
    RejectedRow,
    atomic,
    bounded_lines,
    manifest,
    open_input,
    reject_line,
    rejects_path,
    staging,
    to_utf8,
)
from sft.models import TASK_OF
from sft.report import TEXT_TASKS
from sft.types import Task
from sft.ui import counted
from sft.validate import answer_errors, repair
from sft.workflows import correction_log
from sft.workflows.review import Reviewed, Suspect, relative_image, row_hash

COLUMNS = ("id", "row", "image", "task", "label", "answer", "corrected", "error", "note")
DROPPED = "###"
MAX_BYTES = 256 * 1024 * 1024  # of a file of corrections
VIEW = """<View>
  <Image name="image" value="$image"/>
  <TextArea name="label" toName="image" rows="4" maxSubmissions="1" editable="true"/>
</View>
"""
_FORMULA = re.compile(r"[=+@\t\r]|-(?![\d.,]*$)")
_PYTHON_WORDS = re.compile("false|true|null")  # PPOCRLabel puts "False" and the like in their place, in texts as well


@dataclass(frozen=True)
class Correction:
    """What somebody says of a row; DROPPED as its text: drop it. row: the hash of the line that was reviewed."""

    line: int
    row: str
    text: str
    where: str


def write_csv(path: Path, reviewed: Reviewed) -> None:
    """The suspects as a table."""
    stream = io.StringIO()
    table = csv.writer(stream)
    table.writerow(COLUMNS)
    for item in reviewed.suspects:
        image = relative_image(reviewed.data, item.pred.image, path.parent)
        note = f"the answer is the label of line {item.swapped}" if item.swapped else ""
        table.writerow(
            [
                item.pred.id,
                item.row,
                image,
                item.task,
                _as_text(item.pred.ref),
                _as_text(item.pred.pred),
                "",
                f"{item.error:.4f}",
                note,
            ]
        )
    atomic.write(path, b"\xef\xbb\xbf" + stream.getvalue().encode("utf-8", "replace"))


def _as_text(text: str) -> str:
    """A text that no spreadsheet takes for a formula; these columns are only looked at."""
    return f"'{text}" if _FORMULA.match(text) else text


def local_files_root(reviewed: Reviewed) -> Path:
    """What LOCAL_FILES_DOCUMENT_ROOT of Label Studio must be: the folder above the one that holds all images, since a
    storage may not be the root itself.
    """
    folders = {os.path.dirname(os.path.abspath(reviewed.data.parent / item.pred.image)) for item in reviewed.suspects}
    return Path(os.path.commonpath(folders)).parent if folders else reviewed.data.parent.absolute()


def _address(image: Path, root: Path) -> str:
    return f"/data/local-files/?d={quote(os.path.relpath(image.absolute(), root))}"


def write_label_studio(path: Path, reviewed: Reviewed, *, confirmed: bool = True) -> None:
    """Tasks to import, and the labelling configuration beside them."""
    root = local_files_root(reviewed)
    tasks = [
        {
            "id": number,
            "data": {
                "image": _address(reviewed.data.parent / item.pred.image, root),
                "line": item.pred.id,
                "row": item.row,
                "task": item.task,
            },
            "annotations": [{"result": _region(item.pred.ref)}] if confirmed else [],
            "predictions": [{"model_version": "answer", "score": 1 - item.error, "result": _region(item.pred.pred)}],
        }
        for number, item in enumerate(reviewed.suspects, 1)
    ]
    atomic.write(path.with_suffix(".xml"), VIEW.encode())
    atomic.write(
        path,
        json.dumps(
            tasks,
            ensure_ascii=False,
            indent=1,
        ).encode("utf-8", "replace")
        + b"\n",
    )


def write_ppocrlabel(folder: Path, reviewed: Reviewed, *, confirmed: bool = True) -> int:
    """A folder that PPOCRLabel opens; how many rows it has. Images that are not there are left out."""
    from sft.images import ImageProblem, probe

    lines = []
    folder.mkdir(parents=True, exist_ok=True)
    for item in reviewed.suspects:
        source = reviewed.data.parent / item.pred.image
        if item.task not in TEXT_TASKS or "\n" in item.pred.ref:
            continue
        try:
            header = probe(source)
        except ImageProblem:
            continue
        name = _image_name(item, source)
        shutil.copyfile(source, folder / name)
        turned = header.exif_orientation >= 5  # by 90°; PPOCRLabel shows it upright
        width, height = (header.height, header.width) if turned else (header.width, header.height)
        lines.append(f"{folder.name}/{name}\t{_box(item.pred.ref, width, height)}\n")
    content = "".join(lines).encode("utf-8", "replace")
    if confirmed:
        atomic.write(folder / "Label.txt", content)
    # saving, PPOCRLabel drops from Label.txt what was not confirmed; it finds those again in Cache.cach
    atomic.write(folder / "Cache.cach", content)
    return len(lines)


def _box(text: str, width: int, height: int) -> str:
    """A box over the whole image as JSON. PPOCRLabel reads the line as Python: the second letter of "true" and the like
    is written as its number, so that it stays what it is.
    """
    corners = [[0, 0], [width, 0], [width, height], [0, height]]
    written = _PYTHON_WORDS.sub(
        lambda match: f"{match[0][0]}\\u{ord(match[0][1]):04x}{match[0][2:]}", json.dumps(text, ensure_ascii=False)
    )
    return f'[{{"transcription": {written}, "points": {json.dumps(corners)}, "difficult": false}}]'


def _region(text: str) -> list[dict[str, Any]]:
    return [{"from_name": "label", "to_name": "image", "type": "textarea", "value": {"text": [text]}}]


def _image_name(item: Suspect, source: Path) -> str:
    return f"{item.pred.id:08d}-{item.row}{source.suffix.lower()}"


def read_corrections(path: Path) -> list[Correction]:
    """The corrections of a CSV, of an export of Label Studio (JSON) or of PPOCRLabel's Label.txt, or a log.

    ProblemsFound: a file that is none of them. A cell that is empty, or a text that is the label, is no correction and
    is left out when it is applied.
    """
    try:
        text = to_utf8(atomic.read_bounded(path, max_bytes=MAX_BYTES)).decode()
    except UnicodeDecodeError as error:
        raise ProblemsFound("not UTF-8", where=str(path), hint="save it as UTF-8 again") from error
    readers = {
        ".csv": _from_csv,
        ".json": _from_label_studio,
        ".txt": _from_ppocrlabel,
        correction_log.SUFFIX: _from_log,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            "corrections are read from a .csv, a .json of Label Studio, a Label.txt of PPOCRLabel or a .jsonl log",
            where=str(path),
        )
    try:
        return list(reader(path, text))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, csv.Error) as error:
        raise ProblemsFound(
            f"this is not what `sft review` wrote ({type(error).__name__}: {error})",
            where=str(path),
            hint="keep the columns id and row, or the names of the images",
        ) from error


def _from_csv(path: Path, text: str) -> Iterator[Correction]:
    ours = text.startswith(COLUMNS[0])  # else an export of Label Studio
    delimiter = (text[len(COLUMNS[0]) :][:1] if ours else "") or ","  # of a spreadsheet's own: it may write ; or a tab
    usual = csv.field_size_limit(MAX_BYTES)
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        if "annotation_id" in (rows.fieldnames or ()):
            yield from _from_flat(path, rows)
            return
        for number, row in enumerate(rows, 1):
            corrected = (row["corrected"] or "").strip("\r\n")
            if corrected.strip():
                yield Correction(int(row["id"]), row["row"], corrected, f"{path}: record {number}")
    finally:
        csv.field_size_limit(usual)


def _from_label_studio(path: Path, text: str) -> Iterator[Correction]:
    tasks = json.loads(text)
    if tasks and all("data" not in task for task in tasks):  # JSON_MIN, in which skipped tasks are missing
        yield from _from_flat(path, tasks)
        return
    for number, task in enumerate(tasks, 1):
        annotations = task.get("annotations") or []
        if not annotations:
            continue
        chosen = _latest(annotations)
        said: str | list[str] = ""
        for region in chosen.get("result") or []:
            if region.get("type") == "textarea":
                said = region["value"]["text"]  # a list, or one text in some exports
        value = DROPPED if chosen.get("was_cancelled") else _joined(said)
        yield Correction(int(task["data"]["line"]), task["data"]["row"], value, f"{path}: task {number}")


def _from_flat(path: Path, rows: Iterable[Mapping[str, Any]]) -> Iterator[Correction]:
    """JSON_MIN and CSV of Label Studio: a row for each annotation, and one for a task that has none."""
    by_line: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_line.setdefault(int(row["line"]), []).append(row)
    for line, several in by_line.items():
        chosen = _latest(several)
        if chosen.get("annotation_id", 0) not in (None, ""):
            yield Correction(line, chosen["row"], _joined(chosen.get("label") or ""), f"{path}: line {line}")


def _latest(several: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The annotation that was changed last: somebody may have added one to that which was imported, and exports have
    them in any order.
    """
    return max(enumerate(several), key=lambda item: (item[1].get("updated_at") or "", item[0]))[1]


def _joined(said: str | list[str]) -> str:
    return said if isinstance(said, str) else "\n".join(said)


def _from_ppocrlabel(path: Path, text: str) -> Iterator[Correction]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, _, boxes = line.partition("\t")
        line_number, _, row = Path(name).stem.partition("-")
        value = " ".join(box["transcription"] for box in json.loads(boxes))
        yield Correction(int(line_number), row, value, f"{path}:{number}")


def _from_log(path: Path, text: str) -> Iterator[Correction]:
    for number, entry in correction_log.read(text.encode(), str(path)):
        yield Correction(entry.line, entry.row, entry.text or "", f"{path}:{number}")


def apply_corrections(
    data: Path, corrected: Path, out: Path, *, progress: Callable[[int], object] = lambda _: None
) -> dict[str, Any]:
    """Write `data` with the corrections to `out`; returns the manifest, whose counts are in = kept + corrected +
    dropped, and how many corrections were rejected by reason (their rows are kept as they are).

    UsageError: `out` is the data file itself, or in another folder, where its image paths would lead elsewhere.
    """
    if out.resolve() == data.resolve():
        raise UsageError("the output would overwrite its source", where=str(data), hint="give another -o")
    if out.resolve().parent != data.resolve().parent:
        raise UsageError(
            "image paths are relative to the folder of the file", where=str(out), hint=f"write it into {data.parent}"
        )
    account, rejected = manifest_path(out), rejects_path(out)
    inputs = [manifest.describe(path, out.parent) for path in (data, corrected)]
    mark = manifest.fingerprint("review", inputs, {})
    if finished := manifest.finished(account, mark):
        return finished
    manifest.refuse_foreign(out, account)
    with staging.StagingFolder(out, mark) as work:
        rows, rejects_file = work.path("rows"), work.path("rejects")
        counts, rejects = _write(data, corrected, rows, progress)
        atomic.write(
            rejects_file,
            b"".join(reject_line(*reject) for reject in rejects),
        )
        reasons = dict(Counter(reject.code for reject in rejects))
        total = counts | {"out": counts["kept"] + counts["corrected"], "rejected_corrections": len(rejects)}
        stated = {out.name: manifest.output(rows), rejected.name: manifest.output(rejects_file)}
        made = manifest.make("review", mark, inputs, {}, total | {"reasons": reasons}, stated)
        atomic.write_json(work.path("manifest"), made)
        account.unlink(missing_ok=True)  # until all is in place, no manifest speaks for it
        work.move("rows", out)
        work.move("rejects", rejected)
        work.move("manifest", account)
        work.clear()
    return made


def _write(
    data: Path, corrected: Path, out: Path, progress: Callable[[int], object]
) -> tuple[dict[str, int], list[RejectedRow]]:
    """(counts of the rows by what became of them, corrections that cannot be applied); `out` is written."""
    counts = {"in": 0, "kept": 0, "corrected": 0, "dropped": 0}
    wanted, rejects = _one_each(read_corrections(corrected))
    done = 0
    with atomic.piece(out) as stream, open_input(data) as source:
        for number, line, _ in bounded_lines(source, rest=stream.write):  # a line that is too long is kept whole
            counts["in"] += 1
            done += len(line)
            progress(done)
            outcome, written = _corrected(line, wanted.pop(number, None), rejects)
            counts[outcome] += 1
            stream.write(written)
    rejects += [_reject(item, "review.unknown", f"there is no line {item.line}") for item in wanted.values()]
    return counts, rejects


def _one_each(items: Sequence[Correction]) -> tuple[dict[int, Correction], list[RejectedRow]]:
    """(line → its correction, rejects of those that contradict each other)."""
    by_line: dict[int, dict[tuple[str, str], Correction]] = {}
    for item in items:
        by_line.setdefault(item.line, {}).setdefault((item.row, item.text), item)
    rejects = [
        _reject(item, "review.conflict", f"line {line} is corrected in {len(ways)} ways")
        for line, ways in by_line.items()
        if len(ways) > 1
        for item in ways.values()
    ]
    return {line: next(iter(ways.values())) for line, ways in by_line.items() if len(ways) == 1}, rejects


def _corrected(line: bytes, item: Correction | None, rejects: list[RejectedRow]) -> tuple[str, bytes]:
    """("kept", "corrected" or "dropped", what is written)."""
    if item is None:
        return "kept", line
    if row_hash(line) != item.row:
        rejects.append(_reject(item, "review.changed", f"line {item.line} is not what it was when it was reviewed"))
        return "kept", line
    row = json.loads(line)
    answer = next(entry for entry in row["text_info"] if entry["tag"] == "no_mask")
    if item.text == answer["text"]:  # as it was shown: nobody touched it
        return "kept", line
    if item.text.strip() == DROPPED:
        return "dropped", b""
    prompt = row["text_info"][0]["text"].strip()
    answer["text"], _ = repair(item.text, TASK_OF.get(prompt, Task.OCR))
    if problems := answer_errors(answer["text"], prompt, item.line):
        rejects.append(_reject(item, problems[0].code, problems[0].message))
        return "kept", line
    return "corrected", json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _reject(item: Correction, code: str, message: str) -> RejectedRow:
    return RejectedRow(item.where, code, message, item.text)


KINDS = ("csv", "label-studio", "ppocrlabel")


def write_all(folder: Path, reviewed: Reviewed, kinds: Sequence[str] = KINDS, *, confirmed: bool = True) -> list[str]:
    """The files to correct in, of `kinds`; their names. `folder` is there, and empty.

    confirmed: whether somebody has written the labels, so that they are not the model's own answers.
    """
    names = []
    if "csv" in kinds:
        write_csv(folder / "review.csv", reviewed)
        names.append("review.csv")
    if "label-studio" in kinds:
        write_label_studio(folder / "label-studio.json", reviewed, confirmed=confirmed)
        names.append("label-studio.json")
    if "ppocrlabel" in kinds:
        pages = write_ppocrlabel(folder / "ppocrlabel", reviewed, confirmed=confirmed)
        names += [f"ppocrlabel/ ({counted(pages, 'row')} of text)"] if pages else []
    return names
