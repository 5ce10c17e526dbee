"""SIGKILL at any moment of dedupe, mix and split: the same command then ends with the bytes of an undisturbed run."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import PATIENCE

from sft.synth import bengali_sample

MOMENTS = 20  # over the three verbs
VERBS = {
    "dedupe": ["dedupe", "all.jsonl", "-o", "out/clean.jsonl", "--near", "--workers", "1"],
    "mix": ["mix", "all.jsonl=2", "--replay", "other.jsonl=0.3", "-o", "out/train.jsonl", "--workers", "1"],
    "split": ["split", "all.jsonl", "-o", "out", "--test", "0.1", "--workers", "1"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    train = bengali_sample.write_split(folder, seed=5, split="train", count=900, prompt="OCR:")
    test = bengali_sample.write_split(folder, seed=6, split="test", count=200, prompt="Table Recognition:")
    lines = train.read_bytes().splitlines(keepends=True)
    (folder / "all.jsonl").write_bytes(b"".join(lines * 3 + lines[:7]))
    (folder / "other.jsonl").write_bytes(test.read_bytes())
    return folder


def start(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "sft", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def state(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def remove(folder: Path) -> None:
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.mark.parametrize("verb", VERBS)
def test_killed_and_run_again(verb: str, data: Path) -> None:
    out = data / "out"
    remove(out)
    begin = time.monotonic()
    assert start(VERBS[verb], data).wait(PATIENCE) == 0
    took = time.monotonic() - begin
    undisturbed = state(out)
    assert undisturbed
    remove(out)
    pick, killed = random.Random(verb), 0
    while killed < -(-MOMENTS // len(VERBS)):
        process = start(VERBS[verb], data)
        try:
            code = process.wait(pick.uniform(0.1, 1.0) * took)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        else:  # the machine is faster now than when the undisturbed run was timed, or most of the work was done before
            assert code == 0 and state(out) == undisturbed
            took *= 0.8
            remove(out)
        for name, digest in state(out).items() if out.exists() else ():
            assert ".work" in name or undisturbed[name] == digest  # never half a file under its own name
        if pick.random() < 0.4:  # some begin anew, some go on from what the killed one left
            remove(out)
    assert start(VERBS[verb], data).wait(PATIENCE) == 0
    assert state(out) == undisturbed
