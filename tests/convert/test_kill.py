"""SIGKILL at random moments: the same command goes on and ends with the bytes of a run that nobody disturbed."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from places import ROOT
from waiting import PATIENCE, wait_for

KILLS = 20
PAIRS = 240


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many small pictures with text files beside; every third has transparent pixels and is drawn anew, every 50th has
    no label.
    """
    folder = tmp_path_factory.mktemp("kill") / "lines"
    folder.mkdir()
    for number in range(PAIRS):
        see_through = number % 3 == 0
        Image.new(
            "RGBA" if see_through else "RGB",
            (64 + number % 7, 32),
            (number % 256, 80, 10) + ((number % 200,) if see_through else ()),
        ).save(folder / f"{number:04}.png")
        (folder / f"{number:04}.gt.txt").write_text(" " if number % 50 == 0 else f"line {number}\n")
    return folder


def start(source: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sft", "convert", "gt-pairs", str(source), "-o", str(out), "--workers", "2"]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT, start_new_session=True
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors.decode()


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def group(leader: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(path.name))
    return found


def test_a_killed_conversion_goes_on_to_the_same_bytes(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "set" / "lines.jsonl"
    started = time.monotonic()
    finish(start(source, out))
    seconds = time.monotonic() - started
    expected = content(out.parent)
    shutil.rmtree(out.parent)
    assert {"lines.jsonl", "lines.rejects.jsonl", "lines.manifest.json"} < expected.keys() and len(
        expected
    ) > PAIRS // 7
    chance = random.Random(7)
    kill = 0
    while kill < KILLS:
        process = start(source, out)
        time.sleep(chance.uniform(0.25, 1) * seconds)  # before that, Python is starting
        if process.poll() is not None:  # the machine is faster now than when the undisturbed run was timed
            seconds *= 0.8
            process.communicate()
            assert content(out.parent) == expected, f"before kill {kill}"
            shutil.rmtree(out.parent)
            continue
        process.kill()  # only the parent: its workers must end by themselves
        process.communicate()
        assert not out.exists() or hashlib.sha256(out.read_bytes()).hexdigest() == expected["lines.jsonl"], (
            "a part of the output stands under its name"
        )
        if kill % 3 == 2 or kill == KILLS - 1:  # one to three kills before a run may end
            finish(start(source, out))
            assert content(out.parent) == expected, f"kill {kill}"
            shutil.rmtree(out.parent)
        assert_gone(process.pid)
        kill += 1


def assert_gone(leader: int) -> None:
    wait_for(lambda: not group(leader), "the workers to end with their parent")
