"""The command line as a user meets it: speed of help, suggestions, exit codes, no traceback for what the user did."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from sft.cli import VERBS

SFT = [sys.executable, "-m", "sft"]


def sft(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SFT, *words], capture_output=True, text=True, cwd=cwd, check=False)


def test_help_answers_in_half_a_second() -> None:
    sft("--help")  # writes the byte code
    best = 9.0
    for _ in range(5):
        started = time.perf_counter()
        assert sft("--help").returncode == 0
        best = min(best, time.perf_counter() - started)
    assert best < 0.5


def test_help_lists_every_verb_and_every_verb_has_an_example() -> None:
    shown = sft("--help").stdout
    for verb in VERBS:
        assert f"\n  {verb} " in shown
        text = sft(verb, "--help")
        assert text.returncode == 0 and "Example" in text.stdout, verb


def test_typo_gets_a_suggestion() -> None:
    done = sft("validat")
    assert done.returncode == 2 and "Did you mean 'validate'" in done.stderr
    done = sft("validate", "x.jsonl", "--fixx")
    assert done.returncode == 2 and "--fix" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("validate", "none.jsonl"), 2, "cannot read this file"),
        (("train", "none.jsonl"), 2, "no such data"),
        (("run", "none.jsonl"), 2, "no such data"),
        (("export", "runs/none", "-o", "out"), 2, "not a run folder"),
        (("serve", "none"), 2, "no such model directory"),
        (("eval", "none.jsonl"), 2, "cannot read this file"),
        (("plan", "--samples", "10", "--batch", "64"), 2, "only D = 10"),
        (("plan", "--samples", "0"), 2, "must be at least 1"),
        (("fetch-model", "2.0"), 2, "no model version"),
        (("fetch", "klingon"), 2, "no such data"),
        (("train", "good.jsonl", "--engine", "ernie", "--dry-run"), 2, "did you mean erniekit"),
        (("train", "good.jsonl", "--engine", "erniekit", "--model", "1.6", "--dry-run"), 2, "prompt ending"),
    ],
)
def test_wrong_commands(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    good(tmp_path)
    done = sft(*words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr and "hint:" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "good.jsonl"], "something half-written was left"


def good(folder: Path) -> Path:
    Image.new("RGB", (112, 56), "white").save(folder / "a.png")
    path = folder / "good.jsonl"
    path.write_text(row("a.png") + "\n")
    return path


def row(image: str, tag: str = "mask") -> str:
    return json.dumps({"text_info": [{"text": "OCR:", "tag": tag}, {"text": "x", "tag": "no_mask"}], "image_info": [{"image_url": image}]})


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (row("a.png") + "\n{broken\n", "structure.json", 2),
        (row("a.png") + "\n" + row("missing.png") + "\n", "image.missing", 2),
        (row("a.png", "maks") + "\n", "trainer.tag", 1),
        ("", "file.empty", 0),
    ],
)
def test_bad_data_stops_validate_and_train_alike(tmp_path: Path, text: str, code: str, line: int) -> None:
    good(tmp_path)
    bad = tmp_path / "bad.jsonl"
    bad.write_text(text)
    place = f"bad.jsonl:{line}" if line else "bad.jsonl"
    done = sft("validate", "bad.jsonl", cwd=tmp_path)
    assert done.returncode == 1 and f"[{code}]" in done.stdout and place in done.stdout
    found = json.loads(sft("validate", "bad.jsonl", "--json", cwd=tmp_path).stdout)[0]
    assert found["rows"] == found["good"] + found["bad"] and found["problems"][0]["code"] == code
    done = sft("train", "bad.jsonl", cwd=tmp_path)
    assert done.returncode == 1 and f"[{code}]" in done.stderr and place in done.stderr and "hint:" in done.stderr
    assert not (tmp_path / "runs").exists(), "a run folder was begun"


def test_good_data_and_the_streams(tmp_path: Path) -> None:
    good(tmp_path)
    done = sft("validate", "good.jsonl", "--json", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)[0]["good"] == 1


def test_init_validates_and_is_never_overwritten(tmp_path: Path) -> None:
    done = sft("init", "mine", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.split() == ["mine/train.jsonl", "mine/test.jsonl"]
    assert sft("validate", "mine/train.jsonl", "mine/test.jsonl", cwd=tmp_path).returncode == 0
    assert sft("init", "mine", cwd=tmp_path).returncode == 2


def test_dry_run_shows_rows_settings_and_command_and_writes_nothing(tmp_path: Path) -> None:
    done = sft("init", "mine", cwd=tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = sft("train", "mine/train.jsonl", "--engine", "erniekit", "--batch", "2", "--accum", "2", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ('"tag":"no_mask"', "from_scratch: 0", "max_steps: 32", "packing_size: 2", "erniekit train ", "docker run --rm", "docker build"):
        assert part in done.stdout
    done = sft("train", "mine/train.jsonl", "--engine", "paddleformers", "--model", "1.5", "--dry-run", "--json", cwd=tmp_path)
    shown = json.loads(done.stdout)
    assert shown["command"][0] == "paddleformers-cli" and "Assistant:\\n" in shown["files"]["template.py"]
    assert sorted(tmp_path.rglob("*")) == before


def test_make_help_names_every_target() -> None:
    root = Path(__file__).parent.parent
    shown = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=root, check=True).stdout
    for target in ("train", "test", "eval", "serve", "tensorboard", "validate", "env-train", "env-serve"):
        assert f"make {target}" in shown
