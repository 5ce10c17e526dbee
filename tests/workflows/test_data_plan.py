"""`sft plan DATA`: measured rows, a card, a plan that `sft train` takes, and what it finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import VERSION
from PIL import Image as Pictures

from sft.cli import sft
from sft.errors import UsageError
from sft.files.jsonl import encode, ocr_sample
from sft.training import config
from sft.workflows.data_plan import STRIPES


def command(*words: object) -> Result:
    return CliRunner().invoke(sft, ["plan", *map(str, words)])


def model(base_model: Path) -> tuple[str, ...]:
    return ("--model", str(base_model), "--model-version", VERSION.name, "--gpu", "A100")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Rows of two sizes; the second picture can become 756 tokens in PaddleFormers, and has 324."""
    folder = tmp_path / "sized"
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, size in enumerate([(300, 200)] * 15 + [(1000, 250)]):
        Pictures.new("RGB", size, (number, 255, 255)).save(folder / f"images/{number}.png")
        rows.append(encode(ocr_sample(f"images/{number}.png", "OCR:", f"১২৩ {number}")) + b"\n")
    (folder / "train.jsonl").write_bytes(b"".join(rows))
    return folder / "train.jsonl"


def test_plan_of_data(base_model: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    done = command(pictures, *model(base_model), "--engine", "paddleformers", "--price", 2, "-o", out, "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert json.loads(out.read_text()) == record
    assert record["data"]["rows"] == record["plan"]["samples"] == 16 and record["plan"]["passes"]
    assert record["augmented"]["largest"] - record["lengths"]["longest"] == 756 - 324
    assert record["lengths"]["line"] == record["augmented"]["line"] == 16
    stripes = record["lengths"]["histogram"]
    assert sum(rows for _, _, rows in stripes) == 16 and 1 <= len(stripes) <= STRIPES
    assert record["packing"] is None and record["findings"] == []
    assert [need["method"] for need in record["needs"]] == ["full", "lora"]
    assert all(need["fits"] and need["cost"] == pytest.approx(2 * need["hours"]) for need in record["needs"])
    taken = config.load_file(out)
    settled, origins = config.resolve([("plan.json", taken)])
    assert settled.model_dump().items() >= record["settings"].items()
    assert origins["learning_rate"] == "plan.json"


def test_train_takes_the_plan(base_model: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    assert command(pictures, *model(base_model), "--epochs", 7, "--batch", 2, "-o", out).exit_code == 0
    words = ["train", str(pictures), "--config", str(out), "--no-rehearsal", "--dry-run", "--runs", str(tmp_path / "r")]
    done = CliRunner().invoke(sft, words)
    assert done.exit_code == 0, done.output
    assert "packing_size: 2" in done.stdout


def test_text(base_model: Path, pictures: Path) -> None:
    done = command(pictures, *model(base_model), "--price", 2)
    assert done.exit_code == 0, done.output
    for words in ("longest sample", "as augmented", "packs", "A100, 80 GB", "lora", "#####"):
        assert words in done.stdout, words


def test_findings_end_with_exit_code_one(base_model: Path, pictures: Path) -> None:
    long = command(pictures, *model(base_model), "--max-seq-len", 100, "--json")
    assert long.exit_code == 1
    assert "[trainer.too_long]" in json.loads(long.stdout)["findings"][0]
    drawn = command(
        pictures, *model(base_model), "--engine", "paddleformers", "--max-seq-len", 400, "--epochs", 20, "--json"
    )
    assert drawn.exit_code == 1
    assert "[trainer.augmented]" in json.loads(drawn.stdout)["findings"][0]
    fixed = command(pictures, *model(base_model), "--engine", "erniekit", "--max-seq-len", 400, "--json")
    assert fixed.exit_code == 0, "ERNIEKit fixes the grid first"
    assert json.loads(fixed.stdout)["packing"]["max_steps"] >= 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("no such file.jsonl", "--gpu", "T4"), "bf16 needs 8.0"),  # said before the data is looked at
        (("x.jsonl", "--price", "1"), "--price needs --gpu"),
        (("x.jsonl", "--samples", "5"), "either a data set or --samples"),
        (("--samples", "1000", "--gpu", "A100"), "need a data set"),
    ],
)
def test_usage(words: tuple[str, ...], message: str) -> None:
    done = command(*words)
    assert isinstance(done.exception, UsageError) and message in done.exception.message


def test_nothing_is_downloaded_for_a_plan(pictures: Path, tmp_path: Path) -> None:
    done = command(pictures, "--model", "1.5", "--gpu", "A100", "--models", tmp_path / "none")
    assert isinstance(done.exception, UsageError) and "no tokenizer.json" in done.exception.message
    assert not (tmp_path / "none").exists()
