"""What a file or folder is that was given as data, where it holds labels of another kind and no samples.

Only the beginning is looked at. The answer is a sentence with the command to type, so a doubtful case says nothing.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sft.errors import SftError, UsageError
from sft.files import open_input, to_utf8, what_it_is
from sft.formats.shared import IMAGE_SUFFIXES

HEAD = 64 << 10  # bytes of a file
ENTRIES = 2000  # of a folder
LOOKED_INTO = 20  # files of a folder
IMAGE_KEYS = {"image", "image_path", "img", "file_name", "filename", "path"}
TEXT_KEYS = {"text", "label", "transcription", "words", "latex", "formula", "html", "answer"}
REJECT_KEYS = {"where", "code", "message"}
ANSWER_KEYS = {"id", "ref", "pred"}
# keys of a JSON document → the format that has them; the first that are all there decide
KEYS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"schema_name", "version"}), "docling"),
    (frozenset({"layout_dets"}), "omnidocbench"),
    (frozenset({"general_figure_info"}), "plotqa"),
    (frozenset({"conversations"}), "llava"),
    (frozenset({"messages"}), "messages"),
    (frozenset({"data", "annotations"}), "label-studio"),
    (frozenset({"transcription", "annotator"}), "label-studio"),
)
# what one file of a format says nothing about: its folder is converted as a whole
OF_A_FOLDER = frozenset({"alto", "docling", "gt-pairs", "hocr", "icdar", "im2latex", "lmdb", "page-xml"})
LABEL_SUFFIXES = (".txt", ".json", ".jsonl", ".csv", ".tsv", ".xml", ".hocr", ".xlsx", ".parquet", ".arrow", ".mdb")
_KEY = re.compile(r'"([A-Za-z_]{1,40})"\s*:')
_CORNERS = re.compile(r"\ufeff?(?:-?\d+(?:\.\d+)?[, ]){4,8}\S")
_BOXES = re.compile(r"[^\t\n]+\t\s*\[\s*(?:\{|\])")
_IMAGE = re.compile(rf"(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))})[\"']?\s*(?:[,;\t|]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Recognised:
    """A format of `sft convert`, and the file or folder to give it."""

    format: str
    source: Path

    @property
    def command(self) -> str:
        """As it is typed."""
        stem = self.source.resolve().name if self.source.is_dir() else self.source.stem
        out = f"{stem or 'all'}.jsonl"
        if Path(out).exists():  # it may be the very source, or somebody's rows
            out = f"{stem or 'all'}.samples.jsonl"
        return f"sft convert {self.format} {shlex.quote(str(self.source))} -o {shlex.quote(out)}"


def require_rows(path: Path) -> None:
    """UsageError where a file that is given as data holds something else that is known here: labels of a source
    format, the rejects of a command, the answers of a model. Whether its rows are good, `sft validate` says.
    """
    row = _first_row(path)
    if row.keys() >= REJECT_KEYS and "text_info" not in row:
        kept = path.with_name(path.name.replace(".rejects.", ".").replace(".warnings.", "."))
        of = str(row["where"])[:200]
        is_source = kept == path or of.startswith(kept.name)  # `sft validate --rejects` writes no other file
        rows = f"; the rows that can be used are in {kept}" if kept.is_file() and not is_source else ""
        raise UsageError(
            "these are the rejects or warnings of a command, not samples",
            where=str(path),
            hint=f"correct the source (the first is of {of}) and run the command again{rows}",
        )
    if row.keys() >= ANSWER_KEYS:
        raise UsageError(
            "these are answers of a model, not samples",
            where=str(path),
            hint=f"`sft compare NAME={path}` reads them; DATA is what was asked",
        )
    format_name = labels_in(path)
    if format_name:
        raise UsageError(
            f"these are labels of the format {format_name.format}, not samples",
            where=str(path),
            hint=f"`{format_name.command}`",
        )


def holds_rows(path: Path) -> bool:
    """Whether the first row of a file is one of the hub's, good or bad."""
    return not {"text_info", "image_info"}.isdisjoint(_first_row(path))


def labels_in(path: Path) -> Recognised | None:
    """The source format of a label file, or of a folder with such; None where it is none, or in doubt."""
    try:
        if path.is_dir():
            return _of_folder(path)
        name = _of_file(path)
    except (SftError, OSError):
        return None
    return Recognised(name, path.parent if name in OF_A_FOLDER - {"docling"} else path) if name else None


def _of_folder(folder: Path) -> Recognised | None:
    entries = sorted(islice(folder.iterdir(), ENTRIES))
    files = [path for path in entries if path.is_file()]
    labels = [path for path in files if path.suffix.lower() in LABEL_SUFFIXES]
    for path in labels[:LOOKED_INTO]:
        name = _of_file(path)
        if name:
            whole = name in OF_A_FOLDER or name == "hf"
            return Recognised(name, folder if whole else path)
    for inside in [path for path in entries if path.is_dir()][:LOOKED_INTO]:
        if any(path.suffix == ".parquet" or path.name == "data.mdb" for path in islice(inside.iterdir(), ENTRIES)):
            return Recognised("lmdb" if (inside / "data.mdb").is_file() else "hf", folder)
    return None


def unlabelled(folder: Path) -> str:
    """What to do with a folder that holds pictures alone; "" where it holds none."""
    pictures = any(path.suffix.lower() in IMAGE_SUFFIXES for path in islice(folder.iterdir(), ENTRIES))
    return f"`sft prelabel {shlex.quote(str(folder))} -o first` lets a served model write labels" if pictures else ""


def _of_file(path: Path) -> str:
    if path.name == "data.mdb":
        return "lmdb"
    with open_input(path) as stream:
        head = stream.read(HEAD)
        stream.seek(0)
        kind = what_it_is(head, stream)
    if kind:
        return {"an Excel workbook": "xlsx", "a Parquet file": "hf", "an Arrow file": "hf"}.get(kind[0], "")
    text = to_utf8(head).decode("utf-8", "replace").lstrip()
    if text.startswith("<"):
        return _of_markup(text)
    if text.startswith(("{", "[")):
        return _of_json(text)
    return _of_lines(path, text.splitlines()[:3])


def _of_markup(text: str) -> str:
    marks = {"<PcGts": "page-xml", ":PcGts": "page-xml", "<alto": "alto", ":alto": "alto", "ocr_page": "hocr"}
    return next((name for mark, name in marks.items() if mark in text), "")


def _of_json(text: str) -> str:
    row = _row(text.split("\n", 1)[0])
    keys = row.keys() or set(_KEY.findall(text))
    if keys & {"text_info", "image_info"}:
        return ""
    html = row.get("html") if row else None
    if isinstance(html, dict) or (not row and {"html", "structure"} <= keys):
        return "pubtabnet"
    known = next((name for wanted, name in KEYS if wanted <= keys), "")
    return known or ("hf" if row and keys & IMAGE_KEYS and keys & TEXT_KEYS else "")


def _of_lines(path: Path, lines: list[str]) -> str:
    """Label lists, a row a line. Text that is none of them, such as a README, must not be called one."""
    first = lines[0] if lines else ""
    name = path.name.lower()
    rules: tuple[tuple[Callable[[], Any], str], ...] = (
        (lambda: name.endswith(".gt.txt"), "gt-pairs"),
        (lambda: name.endswith(".lst"), "im2latex"),
        (lambda: _BOXES.match(first) and "transcription" in first, "ppocrlabel"),
        (lambda: _CORNERS.match(first), "icdar"),
        (lambda: name == "filestate.txt", ""),  # PPOCRLabel's list of finished pages
        (lambda: name.endswith((".csv", ".tsv")) and any(map(_has_an_image, lines)), name[-3:]),
        (lambda: _names_an_image(first) and name.endswith(("_labels.txt", "caption.txt")), "hme100k"),
        (lambda: _names_an_image(first), "paddleocr-rec"),
    )
    return next((format_name for rule, format_name in rules if rule()), "")


def _names_an_image(line: str) -> bool:
    image, tab, _ = line.partition("\t")
    return bool(tab) and image.strip().rstrip('"]').lower().endswith(IMAGE_SUFFIXES)


def _has_an_image(line: str) -> bool:
    return _IMAGE.search(line) is not None


def _first_row(path: Path) -> dict[str, Any]:
    """The object on the first line of a file; empty where there is none."""
    try:
        with open_input(path) as stream:
            return _row(to_utf8(stream.readline(HEAD)).decode("utf-8", "replace"))
    except SftError:
        return {}


def _row(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
