"""Where `sft eval` puts its results, and that a name which is given twice loses nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from eval_server import Served

from sft.cli import sft as command
from sft.errors import UsageError


def evaluate(data: Path, served: Served, *words: object) -> Any:
    return CliRunner().invoke(
        command, ["eval", str(data), "--url", served.url, "--max-tokens", "64", "--no-report", *map(str, words)]
    )


def refused(done: Any, *words: str) -> bool:
    text = f"{done.exception} {getattr(done.exception, 'hint', '')}"
    return isinstance(done.exception, UsageError) and all(word in text for word in words)


def test_results_lie_under_the_name_of_the_run_or_of_the_data(
    served: Served, bengali_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert evaluate(bengali_data, served).exit_code == 0
    assert evaluate(bengali_data, served, "--name", "step 200").exit_code == 0
    assert sorted(path.parent.name for path in Path("runs/eval").rglob("results.json")) == [
        "step 200",
        bengali_data.stem,
    ]
    for name in ("../away", "/tmp/x", ".hidden", "a\nb"):
        done = evaluate(bengali_data, served, "--name", name)
        assert refused(done, "is not a valid name")


def test_a_folder_with_only_a_test_file(served: Served, bengali_data: Path, tmp_path: Path) -> None:
    bengali_data.rename(bengali_data.with_name("test.jsonl"))
    done = evaluate(bengali_data.parent, served, "-o", tmp_path / "out")
    assert done.exit_code == 0 and "test.jsonl" in done.stderr


def test_results_of_other_data_or_another_model_stay(served: Served, bengali_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert evaluate(bengali_data, served, "-o", out).exit_code == 0
    before = (out / "results.json").read_bytes()
    assert evaluate(bengali_data, served, "-o", out).exit_code == 0  # the same once more
    other = Path(shutil.copy(bengali_data, bengali_data.with_name("other.jsonl")))
    done = evaluate(other, served, "-o", out)
    assert refused(done, "other data", "--fresh")
    text = (out / "results.json").read_text("utf-8")
    served_name = text.split('"model": "')[1].split('"')[0]
    (out / "results.json").write_text(
        text.replace(f'"model": "{served_name}"', '"model": "PaddleOCR-VL-9"'), encoding="utf-8"
    )
    done = evaluate(bengali_data, served, "-o", out)
    assert refused(done, "another model", "PaddleOCR-VL-9")
    assert (
        evaluate(other, served, "-o", out, "--fresh").exit_code == 0 and (out / "results.json").read_bytes() != before
    )
    (out / "results.json").write_text("{", encoding="utf-8")  # a damaged file holds nothing that could be lost
    assert evaluate(bengali_data, served, "-o", out).exit_code == 0
