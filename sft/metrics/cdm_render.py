r"""Formulas → the boxes of their signs, by one run of LaTeX for many of them.

Only `latex` and fonts that come with it are used (Debian: texlive-latex-base); nothing is drawn. LaTeX runs in a private folder
without a shell, may open files below that folder only, and is bounded in time, memory and output. If a run does not give
all pages or complains of anything, its halves are tried, so that one formula never costs another its score.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from sft.errors import EngineError
from sft.jsonl import disk_error
from sft.metrics.cdm_dvi import Box, Damaged, Metrics, read_metrics, read_pages
from sft.metrics.cdm_latex import Marked

BATCH = 256  # formulas of one run
SECONDS, SECONDS_EACH = 20.0, 0.2
MEMORY_KB, OUTPUT_BLOCKS = 1_000_000, 400_000  # of 1 KB and of 512 bytes
HEAD = r"""\documentclass{minimal}
\usepackage{amssymb}
\begin{document}
\fontsize{12}{14.5}\selectfont
\def\Z#1{\special{#1}}\def\U{\hbox{\vrule width 8pt height 8pt depth 2pt}}
\def\O{\baselineskip 14.5pt\lineskip 2pt\lineskiplimit 1pt}
\def\P#1#2{\setbox0\hbox{$\displaystyle #2$}\wd0=0pt\ht0=0pt\dp0=0pt\global\count0=#1 \shipout\box0 }
\P{0}{x_0+1}
"""  # LaTeX treats the first page and the first formula in ways of its own: they are given to nobody
_PARANOID = {"openin_any": "p", "openout_any": "p", "shell_escape": "f", "TEXMFOUTPUT": ""}


def missing() -> str:
    """What is not installed of what LaTeX needs; "" where all is there."""
    return ", ".join(name for name in ("latex", "kpsewhich") if shutil.which(name) is None)


def boxes(formulas: Sequence[Marked]) -> list[dict[int, Box] | None]:
    """Of each formula: sign (from 1) → box in sp, for the signs that leave ink. None: LaTeX cannot set it. EngineError: LaTeX sets nothing at all."""
    found: list[dict[int, Box] | None] = [None] * len(formulas)
    todo = [list(range(start, min(start + BATCH, len(formulas)))) for start in range(0, len(formulas), BATCH)]
    while todo:
        numbers = todo.pop()
        pages, clean = _run([formulas[number] for number in numbers])
        if not clean and len(numbers) == 1:
            require()  # is it this formula, or a full disk?
        if clean or len(numbers) == 1:
            for page, number in enumerate(numbers, 1):
                found[number] = pages.get(page)
        else:
            half = len(numbers) // 2
            todo += [numbers[:half], numbers[half:]]
    return found


def require() -> None:
    """EngineError where LaTeX cannot set a page without any formula of ours: amssymb is missing, or a disk is full. Else answers would get a 0 for that."""
    _, clean = _run([])
    if not clean:
        hint = "install all of it (Debian: texlive-latex-base), and see that the temporary folder can be written; `latex` alone says what it lacks"
        raise EngineError("LaTeX does not work here: it cannot even set x_0+1", hint=hint)


def _run(formulas: Sequence[Marked]) -> tuple[dict[int, dict[int, Box]], bool]:
    """Page → boxes, for the pages that LaTeX finished; and whether it finished all, without a complaint. EngineError: no room for its files."""
    pages = "".join(f"\\P{{{number}}}{{{formula.latex}}}\n" for number, formula in enumerate(formulas, 1))
    try:
        with tempfile.TemporaryDirectory(prefix="sft-cdm-") as name:
            (Path(name) / "f.tex").write_text(f"{HEAD}{pages}\\end{{document}}\n", "ascii", "replace")
            return _set(Path(name), len(formulas))
    except OSError as error:
        raise disk_error(error, Path(tempfile.gettempdir())) from error


def _set(folder: Path, count: int) -> tuple[dict[int, dict[int, Box]], bool]:
    """Run LaTeX on f.tex in `folder`, which has `count` formulas."""
    seconds = SECONDS + SECONDS_EACH * count
    limits = f'ulimit -t {int(seconds) + 1}; ulimit -v {MEMORY_KB}; ulimit -f {OUTPUT_BLOCKS}; exec "$@"'
    command = ["/bin/sh", "-c", limits, "sh", "latex", "-no-shell-escape", "-interaction=batchmode", "f.tex"]
    try:
        subprocess.run(command, cwd=folder, env={**os.environ, **_PARANOID}, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
        found = read_pages((folder / "f.dvi").read_bytes(), _metrics)
        began = found.pop(0, None) is not None
        return found, began and len(found) == count and b"\n! " not in (folder / "f.log").read_bytes()
    except (subprocess.TimeoutExpired, OSError):
        return {}, False


@lru_cache(maxsize=256)
def _metrics(font: str) -> Metrics:
    """Of an installed font; of one that is not there, none: its letters leave no box.

    OSError, TimeoutExpired: it could not be looked for. That is never remembered, since all later scores would be wrong.
    """
    if not font.isalnum():
        return Metrics({})
    done = subprocess.run(["kpsewhich", f"{font}.tfm"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    if not (path := done.stdout.strip()):
        return Metrics({})
    try:
        return read_metrics(Path(path).read_bytes())
    except Damaged:
        return Metrics({})
