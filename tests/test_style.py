"""Style and types as configured in pyproject.toml, and the shape of the code (`scripts/shape`)."""

from __future__ import annotations

import json
import subprocess
import sys

from places import ROOT


def checked(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=1200, check=False, cwd=ROOT
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"


def test_ruff() -> None:
    checked("ruff", "check", ".")


def test_format() -> None:
    checked("ruff", "format", "--check", ".")


def test_mypy() -> None:
    checked("mypy")


def test_shape() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "shape"), "--json"],
        capture_output=True,
        text=True,
        timeout=1200,
        check=True,
    )
    found = json.loads(done.stdout)
    assert len(found["limits"]) >= 8
    assert not found["broken"], f"{found['broken']}; scripts/shape lists what it is"
