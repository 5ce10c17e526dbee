"""`scripts/shape` sees what it is there to see: in a made-up checkout with one of each fault, and in one without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from places import ROOT

SCRIPT = ROOT / "scripts" / "shape"

DENSE = "def dense(a, b):\n" + "    a, b = (a + b) * (a - b), [a, b, a + b, (a, b)]\n" * 5
WIDE = "def wide(self, a, b, c, d, e, f, g, h, *, i): ...\n"
COMPLEX = "def tangled(n):\n" + "".join(f"    if n == {n}:\n        return {n}\n" for n in range(13))


def checkout(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def shape(tree: Path, *words: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, str(SCRIPT), str(tree), "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1) and not done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


def test_a_tidy_tree_breaks_no_limit(tmp_path: Path) -> None:
    files = {
        "sft/__init__.py": '__version__ = "1"\n',
        "sft/errors.py": "class Fault(Exception): ...\n",
        "sft/files/__init__.py": "from sft.files.lines import read\n",
        "sft/files/lines.py": "from sft.errors import Fault\n\n\ndef read():\n    raise Fault\n",
        "sft/cli/__init__.py": "from sft import __version__\nfrom sft.files import read\n",
    }
    code, found = shape(checkout(tmp_path, files), "--check")
    assert code == 0 and found["broken"] == [] and found["notes"] == []
    assert found["figures"]["loose_modules"] == 1 and set(found["limits"]) <= set(found["figures"])


def test_every_fault_is_counted_and_named(tmp_path: Path) -> None:
    files = {
        "sft/__init__.py": "",
        "sft/__main__.py": "",
        "sft/odd.py": DENSE + WIDE + COMPLEX,
        "sft/errors.py": "def late():\n    from sft.models.versions import get\n    return get\n",
        "sft/models/__init__.py": "from . import versions\n",
        "sft/models/versions.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sft.models.tiny\n",
        "sft/models/tiny.py": "from .versions import get\nclass Order: ...\n# why\n",
        "sft/convert/driver.py": "from typing import Literal\nOrder = Literal[1]\n"
        "LIMIT = {}[1]\nfrom sft.odd import wide\n",
        "sft/convert/long.py": "x = 1\n" * 501,
        "eval/program.py": f"x = [1]  # fmt: skip{'y' * 120}\n",
        "scripts/tool": "#!/usr/bin/env python3\nx = '# fmt: skip'\ny = 1  # fmt: skip\n",
        "scripts/shell": "#!/bin/sh\n# fmt: skip\n",
    }
    tree = checkout(tmp_path, files)
    code, found = shape(tree, "--check")
    figures, lists = found["figures"], found["lists"]
    assert code == 1
    assert (figures["loose_modules"], lists["loose_modules"]) == (2, ["sft/errors.py", "sft/odd.py"])
    assert lists["circles"] == ["models.tiny → models.versions → models.tiny"]
    assert lists["imports_up"] == ["sft/errors.py:2 imports sft.models.versions"]
    assert found["notes"] == ["1 imports are not judged for their floor: FLOORS does not name both rooms"]
    assert figures["nodes_per_line_median"] < figures["nodes_per_line_p90"] and figures["nodes_per_line_p90"] > 14
    assert (figures["long_lines"], figures["longest_line"], lists["long_lines"]) == (1, 140, ["eval/program.py: 1"])
    assert sorted(lists["format_skips"]) == ["eval/program.py: 1", "scripts/tool: 1"]
    assert lists["twin_names"] == ["Order ×2: convert/driver.py, models/tiny.py"]
    assert lists["wide_functions"] == ["sft/odd.py:7 wide: 9"]
    assert lists["complex_functions"] == ["sft/odd.py:8 `tangled` is too complex (14 > 12)"]
    assert lists["long_files"] == ["sft/convert/long.py: 501"]
    assert figures["comments_per_1000_lines"] == round(1000 / (501 + 6 + 1 + 27 + 3 + 1 + 3 + 3 + 4))
    said = subprocess.run(
        [sys.executable, str(SCRIPT), str(tree), "--check"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 1 and said.stdout.splitlines() == found["broken"]
    assert "circles of imports between files: 1, at most 0" in said.stdout and "names" not in said.stdout


def test_a_folder_without_the_package_is_said(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "no Python files" in done.stderr and "Traceback" not in done.stderr
