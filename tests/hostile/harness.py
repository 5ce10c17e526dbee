"""Convert one damaged source in this process, and look whether anything was lost, left behind or given away."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from waiting import cpu_limit

from hostile.kit import Case, Kit, good_rows
from sft.convert.driver import convert
from sft.convert.request import manifest_path
from sft.convert.worker import ConvertRequest
from sft.errors import SftError
from sft.files import rejects_path
from sft.reasons import REASONS
from sft.runtime.runner import Runner

SECONDS = 10  # of work for one source, which takes a few hundredths of one
SECRET = "root:x:0:0"  # what nobody may ever find in a training set: how /etc/passwd begins
SMALL = 1 << 16  # bytes: the limits of cases that are about large inputs
LIMITS = {
    "sft.files.jsonl": ("MAX_LINE_BYTES",),
    "sft.formats.shared.json_stream": ("MAX_OBJECT_BYTES", "MAX_DOCUMENT_BYTES"),
    "sft.formats.shared.rows": ("MAX_LINE_BYTES",),
    "sft.formats.shared.xml_safe": ("MAX_BYTES",),
    "sft.formats.gt_pairs": ("MAX_TEXT_BYTES",),
    "sft.formats.chartqa": ("MAX_TABLE_BYTES",),
    "sft.formats.icdar": ("MAX_FILE_BYTES",),
    "sft.formats.im2latex": ("MAX_FORMULA_BYTES",),
    "sft.formats.lmdb_rec": ("MAX_LABEL_BYTES",),
    "sft.formats.shared.delimited_text": ("MAX_RECORD_CHARS",),
}


@dataclass
class Outcome:
    """What became of a source: rows and rejects as they were written, or the sentence for the user."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    error: SftError | None = None

    def told(self) -> str:
        """For the message of a failing test."""
        reasons = [f"{one['where']} {one['code']}: {one['message'][:150]}" for one in self.rejects[:8]]
        return f"{self.error or ''} {self.counts} {reasons}"


def lower_limits(patch: pytest.MonkeyPatch) -> None:
    for module, names in LIMITS.items():
        for name in names:
            patch.setattr(f"{module}.{name}", SMALL)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def outcome(case: Case, source: Path, folder: Path) -> Outcome:
    """Convert; whatever is raised but an SftError fails the test by itself."""
    out = folder / "out.jsonl"
    order = ConvertRequest(case.kit.format, source, out, replace(case.kit.made_options(), **case.options))
    found = Outcome()
    with cpu_limit(SECONDS):
        try:
            found.counts = convert(order, Runner(workers=1)).manifest["counts"]
        except SftError as error:
            found.error = error
    found.rows, found.rejects = read_lines(out), read_lines(rejects_path(out))
    return found


def check(case: Case, folder: Path) -> Outcome:
    """Build, convert, and look at everything that must hold for any input."""
    source_folder, out_folder = folder / "source", folder / "out"
    source_folder.mkdir()
    out_folder.mkdir()
    source, kept = case.build(case.kit, source_folder)
    before = listing(source_folder)
    found = outcome(case, source, out_folder)
    told = found.told()
    assert listing(source_folder) == before, f"the source was changed; {told}"
    check_account(case, found, out_folder)
    expected = baseline(case.kit, folder)
    rows = by_mark(found.rows, out_folder)
    for mark in kept:
        assert expected[mark] in rows.get(mark, []), f"the good row {mark} was lost or changed; {told}"
    if not case.reads_secret:
        assert SECRET not in json.dumps([found.rows, found.rejects, str(found.error)]), told
    return found


def check_account(case: Case, found: Outcome, folder: Path) -> None:
    told = found.told()
    assert {one["code"] for one in found.rejects} <= REASONS.keys(), told
    assert all(
        list(one) == ["where", "code", "message", "raw"] and one["where"] and one["message"] for one in found.rejects
    ), told
    if found.error is None:
        assert (
            found.counts["in"] == found.counts["out"] + found.counts["rejected"] == len(found.rows) + len(found.rejects)
        ), told
        assert found.counts["in"] >= case.at_least, f"{case.at_least} rows went in; {told}"
        assert len(found.rows) == found.counts["out"] and sum(found.counts["reasons"].values()) == len(found.rejects), (
            told
        )
        allowed = {
            "out.jsonl",
            "out.manifest.json",
            "out_images",
            ".out.jsonl.images",
            *(["out.rejects.jsonl"] if found.rejects else []),
            *(["out.warnings.jsonl"] if found.counts["warnings"] else []),
        }
        if "source.remote" in found.counts["reasons"]:  # hosts that did not answer may answer another time
            allowed.add(".out.jsonl.work")
        assert manifest_path(folder / "out.jsonl").exists()
    else:
        assert found.error.message and "Traceback" not in str(found.error) and not found.rows, told
        allowed = {"out.rejects.jsonl", "out_images"}
    assert {path.name for path in folder.iterdir()} <= allowed, told
    assert not [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".part", ".arriving"))], told
    assert not [one for one in found.rejects if "the rest of this part cannot be read" in one["message"]], (
        f"a format raised; {told}"
    )
    assert not Path("UNPICKLED").exists(), told


def by_mark(rows: list[dict[str, Any]], folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Mark → (texts, hash of the image) of every row whose answer holds it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        texts = [text["text"] for text in row["text_info"]]
        for mark in MARKED:
            if any(mark in text for text in texts[1:] if isinstance(text, str)):
                image = folder / row["image_info"][0]["image_url"]
                found.setdefault(mark, []).append((json.dumps(texts), hashlib.sha256(image.read_bytes()).hexdigest()))
    return found


MARKED = [row.mark for row in good_rows()]
_baselines: dict[str, dict[str, tuple[str, str]]] = {}


def baseline(kit: Kit, folder: Path) -> dict[str, tuple[str, str]]:
    """What the good rows of a kit become where nothing is damaged; made once for each kit."""
    if kit.name not in _baselines:
        place = folder / "baseline"
        (place / "source").mkdir(parents=True)
        (place / "out").mkdir()
        case = Case(kit, "whole", lambda kit, folder: (kit.write(folder, good_rows()), MARKED))
        found = outcome(case, case.build(kit, place / "source")[0], place / "out")
        rows = by_mark(found.rows, place / "out")
        assert all(len(rows.get(mark, [])) == 1 for mark in MARKED) and not found.rejects, (
            f"the undamaged source of {kit.name} is not good: {found.told()}"
        )
        _baselines[kit.name] = {mark: rows[mark][0] for mark in MARKED}
    return _baselines[kit.name]


def listing(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)).encode("utf-8", "backslashreplace").decode()
        for base, folders, files in os.walk(folder)
        for path in (Path(base) / name for name in folders + files)
    )
