"""`python eval/evaluate.py`: predictions made elsewhere, in the shapes in which people bring them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT
from waiting import PATIENCE


def script(
    tmp_path: Path, data: Path, text: bytes, *words: str, python: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "pred.jsonl").write_bytes(text)
    command = [
        sys.executable,
        *python,
        str(ROOT / "eval" / "evaluate.py"),
        "--pred",
        str(tmp_path / "pred.jsonl"),
        "--data",
        str(data),
        "-o",
        str(tmp_path / "out"),
        "--no-report",
    ]
    return subprocess.run(
        [*command, *words], capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=tmp_path
    )


def rows(count: int, **more: str) -> bytes:
    return b"".join(json.dumps({"id": number, **more}).encode() + b"\n" for number in range(1, count + 1))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("prediction", "rename the key 'prediction' to 'pred'"),
        ("answer", "rename the key 'answer' to 'pred'"),
        ("zzz", 'an empty answer is "pred": ""'),
    ],
)
def test_a_row_without_an_answer_is_no_empty_answer(tmp_path: Path, bengali_data: Path, key: str, said: str) -> None:
    done = script(tmp_path, bengali_data, rows(12, **{key: "x"}))
    assert (
        done.returncode == 1
        and "no 'pred' in this row" in done.stderr
        and said in done.stderr
        and "pred.jsonl:1" in done.stderr
    )
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_mark_at_the_beginning_and_blank_lines(tmp_path: Path, bengali_data: Path) -> None:
    done = script(tmp_path, bengali_data, b"\xef\xbb\xbf" + rows(12, pred="x") + b"\n  \n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scored"] == 12


def test_images_that_are_not_there_are_said(tmp_path: Path, bengali_data: Path) -> None:
    next(bengali_data.parent.rglob("*.png")).unlink()
    done = script(tmp_path, bengali_data, rows(12, pred="x"))
    assert done.returncode == 0 and "warning: 1 images cannot be read" in done.stderr


def test_nothing_to_score(tmp_path: Path, bengali_data: Path) -> None:
    for text in (b"", rows(12, error="gone")):
        done = script(tmp_path, bengali_data, text)
        assert (
            done.returncode == 1
            and "no sample of the data has a prediction" in done.stderr
            and "server" not in done.stderr
        )


def test_another_python_is_told_which_one(tmp_path: Path, bengali_data: Path) -> None:
    done = script(tmp_path, bengali_data, b"", python=("-S", "-E"))
    assert (
        done.returncode == 2
        and "Traceback" not in done.stderr
        and "evaluate.py" in done.stderr
        and "hint" in done.stderr
    )
