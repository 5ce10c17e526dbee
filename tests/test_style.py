"""Style and types as configured in pyproject.toml, and the size of files and functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILE_LINES, FUNCTION_LINES = 300, 50
FILES = sorted((ROOT / "sft").rglob("*.py"))


def checked(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=280, check=False, cwd=ROOT
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"


def test_ruff() -> None:
    checked("ruff", "check", ".")


def test_mypy() -> None:
    checked("mypy")


def functions(source: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of every function, from `def` to its last line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_there_are_files() -> None:
    assert len(FILES) > 40
    assert dict(functions("def a():\n    pass\n\nasync def b():\n    def c(): ...\n    return 1\n")) == {
        "a": 2,
        "b": 3,
        "c": 1,
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sizes(path: Path) -> None:
    text = path.read_text("utf-8")
    lines = len(text.splitlines())
    assert lines <= FILE_LINES, f"{path.relative_to(ROOT)} has {lines} lines, at most {FILE_LINES}"
    long = [f"{name} has {count}" for name, count in functions(text) if count > FUNCTION_LINES]
    assert not long, f"{path.relative_to(ROOT)}: functions of at most {FUNCTION_LINES} lines, but {', '.join(long)}"
