"""scripts/setup with a Python that makes and installs nothing: once, one at a time, and anew where the folder moved."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from places import ROOT
from waiting import PATIENCE

# Makes an environment whose pip writes the one command, with the path of its own Python, as the real one does.
PYTHON = """#!/bin/sh
case "$1" in
--version) echo "Python 3.11.7" ;;
-m)
  echo made >>"$LOG"
  [ "${2:-}" = venv ] && mkdir .venv .venv/bin
  cat >.venv/bin/python <<'END'
#!/bin/sh
case "$*" in
*install*-e*) sleep 0.2; printf '#!%s/.venv/bin/python\\n' "$(pwd -P)" >.venv/bin/sft ;;
*install*) ;;
*) exit 1 ;;
esac
END
  chmod +x .venv/bin/python ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder"
    for name in ("scripts/setup", "sft/requirements/workbench.txt", "pyproject.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return folder


def start(checkout: Path) -> subprocess.Popen[str]:
    beside = checkout.parent
    env = {**os.environ, "PYTHON": str(beside / "python"), "LOG": str(beside / "log")}
    pipe = subprocess.PIPE
    return subprocess.Popen([checkout / "scripts" / "setup"], env=env, stdout=pipe, stderr=pipe, text=True)


def times_made(checkout: Path) -> int:
    return len((checkout.parent / "log").read_text().split())


def end(process: subprocess.Popen[str]) -> str:
    """What it said on stderr; it must be good, and the last line of stdout the seconds it took."""
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert out.splitlines()[-1].isdigit()
    return err


def test_two_at_once_make_one_environment(checkout: Path) -> None:
    said = [end(process) for process in [start(checkout) for _ in range(3)]]
    assert times_made(checkout) == 1 and sum("making .venv" in words for words in said) == 1
    assert not (checkout / ".venv-setup.lock").exists()
    assert "making" not in end(start(checkout)) and times_made(checkout) == 1


def test_a_moved_folder_is_repaired(checkout: Path) -> None:
    end(start(checkout))
    moved = checkout.rename(checkout.with_name("elsewhere"))
    assert "making .venv" in end(start(moved)) and times_made(moved) == 2
    assert "making" not in end(start(moved))


def test_what_a_killed_one_left_is_no_obstacle(checkout: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    (checkout / ".venv-setup.lock").write_text(f"{gone.pid}\n")
    (checkout / ".venv").mkdir()
    assert "making .venv" in end(start(checkout))


def test_too_little_space_is_said_at_once(checkout: Path) -> None:
    df = checkout.parent / "bin" / "df"
    df.parent.mkdir()
    df.write_text("#!/bin/sh\necho Filesystem\necho disk 9 9 700 1% /\n")
    df.chmod(0o755)
    env = {**os.environ, "PATH": f"{df.parent}:{os.environ['PATH']}", "PYTHON": str(checkout.parent / "python")}
    env["LOG"] = str(checkout.parent / "log")
    done = subprocess.run([checkout / "scripts" / "setup"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "takes 1400 MB, and 700 MB are free" in done.stderr
    assert not (checkout / ".venv").exists() and not (checkout / ".venv-setup.lock").exists()
