"""The LaTeX that some tests need; installed at first where that can be done."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path


@cache
def require_latex() -> None:
    """Fail where there is none."""
    done = subprocess.run(
        [Path(__file__).parent.parent / "scripts" / "latex"], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"these tests need LaTeX\n{done.stderr}"
