"""Every source format has a golden folder: a small source as its authors publish it, and what becomes of it.

    tests/golden/formats/NAME/source/…  or source.EXT     what is converted
    tests/golden/formats/NAME/options.json                {"task": "table", "columns": {"text": "html"}, …}; may be left
    out tests/golden/formats/NAME/expected.jsonl              the rows, the folder of the source written as SOURCE
    tests/golden/formats/NAME/expected.rejects.jsonl      the rejects, if there are any

`scripts/bless` writes the expected files; `scripts/bless -k csv` those of one format.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import TESTS

from sft import formats
from sft.convert.driver import Result, convert
from sft.convert.request import options_of
from sft.convert.worker import ConvertRequest
from sft.files import jsonl, rejects_path
from sft.reasons import REASONS
from sft.runtime.runner import Runner
from sft.types import Task

FOLDER = TESTS / "golden" / "formats"
ONE = Runner(workers=1)
OF_ORDER = ("model", "prompt", "to", "copy", "deep")


def golden_source(name: str) -> Path:
    """The source in the golden folder of a format; fails in words where there is none."""
    found = (
        sorted(path for path in (FOLDER / name).glob("source*") if path.stem == "source")
        if (FOLDER / name).is_dir()
        else []
    )
    assert len(found) == 1, (
        f"{FOLDER / name} must hold one source or source.EXT; the format {name} has {len(found) or 'none'} (see the"
        f" docstring of {Path(__file__).name})"
    )
    return found[0]


def run(name: str, folder: Path) -> tuple[Result, str, str]:
    """Convert a golden source into `folder`; (result, rows, rejects), paths of the source written as SOURCE."""
    source = golden_source(name)
    given: dict[str, Any] = (
        json.loads((FOLDER / name / "options.json").read_text("utf-8"))
        if (FOLDER / name / "options.json").exists()
        else {}
    )
    order = {key: given.pop(key) for key in OF_ORDER if key in given}
    if "task" in given:
        given["task"] = Task(given["task"])
    root = source if source.is_dir() else source.parent
    if "images" in given:
        given["images"] = root / given["images"]
    out = folder / "out.jsonl"
    result = convert(
        ConvertRequest(name, source, out, options_of(formats.get(name), given.pop("columns", {}), **given), **order),
        ONE,
    )
    rejected = rejects_path(out).read_text("utf-8") if rejects_path(out).exists() else ""
    return result, neutral(out.read_text("utf-8"), root, folder), neutral(rejected, root, folder)


def neutral(text: str, root: Path, folder: Path) -> str:
    return text.replace(os.path.relpath(root.resolve(), folder.resolve()), "SOURCE").replace(
        str(root.resolve()), "SOURCE"
    )


def compare(expected: Path, found: str) -> None:
    if os.environ.get("SFT_BLESS"):
        if found:
            expected.write_text(found, "utf-8")
        else:
            expected.unlink(missing_ok=True)
    text = expected.read_text("utf-8") if expected.exists() else ""
    assert found == text, (
        f"{expected.parent.name}: {expected.name} differs; if that is meant, run scripts/bless and look at the"
        " difference"
    )


@pytest.mark.parametrize("name", formats.FORMATS)
def test_golden_source_becomes_the_golden_rows(name: str, tmp_path: Path) -> None:
    result, rows, rejects = run(name, tmp_path)
    compare(FOLDER / name / "expected.jsonl", rows)
    compare(FOLDER / name / "expected.rejects.jsonl", rejects)
    counts = result.manifest["counts"]
    assert counts["in"] == counts["out"] + counts["rejected"] == len(rows.splitlines()) + len(rejects.splitlines())


@pytest.mark.parametrize("name", formats.FORMATS)
def test_golden_rows_are_samples_whose_images_are_there(name: str, tmp_path: Path) -> None:
    run(name, tmp_path)
    lines = list(read_lines(tmp_path / "out.jsonl"))
    assert lines
    for line in lines:
        sample = jsonl.decode(line)
        assert all((tmp_path / image.image_url).is_file() for image in sample.image_info)
    for line in read_lines(tmp_path / "out.rejects.jsonl"):
        reject = json.loads(line)
        assert list(reject) == ["where", "code", "message", "raw"] and reject["where"] and reject["code"] in REASONS


def read_lines(path: Path) -> Iterator[bytes]:
    yield from path.read_bytes().splitlines() if path.exists() else ()


def test_no_golden_folder_without_a_format() -> None:
    assert {path.name for path in FOLDER.iterdir()} <= formats.FORMATS.keys()


def test_every_format_describes_itself() -> None:
    for name in formats.FORMATS:
        found = formats.get(name)
        assert found.name == name and found.title and found.origin and found.example.strip() and found.tasks, name


def test_blessing_is_off_in_ci() -> None:
    assert not (os.environ.get("SFT_BLESS") and os.environ.get("CI")), "scripts/bless would make every golden test pass"
