"""Style and types as configured in pyproject.toml, and the shape of the code (`scripts/shape`)."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

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


def saying_nothing(path: Path) -> list[str]:
    """FILE:LINE of names in `path` that say that there is a value and not which."""
    tree = ast.parse(path.read_text("utf-8"))
    bound = [
        (node.lineno, node.id)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    bound += [(node.lineno, node.arg) for node in ast.walk(tree) if isinstance(node, ast.arg)]
    return [f"{path.name}:{line} {name}" for line, name in bound if name in ("found", "told")]


def test_names_say_what_they_hold(tmp_path: Path) -> None:
    """`found` was assigned 325 times. The one field `told` is a key of results.json."""
    (tmp_path / "a.py").write_text("def f(told):\n    for found in told:\n        known = found\n")
    assert saying_nothing(tmp_path / "a.py") == ["a.py:2 found", "a.py:1 told"]
    names = [name for path in sorted((ROOT / "sft").rglob("*.py")) for name in saying_nothing(path)]
    assert [name.split(":")[0] for name in names] == ["results.py"], "take a noun: problems, match, paths, comparison …"
