"""The LaTeX that some tests need, installed at first where that can be done; and what it draws of a formula."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from places import ROOT

from sft.metrics.cdm.typeset import InkBox, _DviReader, _metrics

PAGE = r"""\documentclass{article}
\usepackage{amsmath,amssymb}
\pagestyle{empty}\parindent=0pt \textwidth=500cm \hsize=500cm \linewidth=500cm \textheight=500cm \vsize=500cm
\begin{document}
"""
BATCH = 250  # formulas of one run of LaTeX
Picture = tuple[
    tuple[int, ...], ...
]  # letters (font, code, place) and rules (size, place), from the leftmost and topmost of them on


@cache
def require_latex() -> None:
    """Fail where there is none."""
    done = subprocess.run([ROOT / "scripts" / "latex"], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"these tests need LaTeX\n{done.stderr}"


class _Drawn(_DviReader):
    """Reads a DVI file for all that is drawn, sign or not."""

    def page(self) -> None:
        self.ink_of_page: list[tuple[int, ...]] = []
        super().page()
        self.drawn = {**getattr(self, "drawn", {}), list(self.pages)[-1]: self.ink_of_page}

    def letter(self, page: dict[int, InkBox], code: int) -> int:
        self.ink_of_page.append((self.current, code, self.state.h, self.state.v))
        return super().letter(page, code)

    def rule(self, page: dict[int, InkBox]) -> int:
        height, width = (
            int.from_bytes(self.data[self.at + start : self.at + start + 4], "big", signed=True) for start in (0, 4)
        )
        if height > 0 and width > 0:
            self.ink_of_page.append((height, width, self.state.h, self.state.v))
        return super().rule(page)


def pictures(formulas: Sequence[str]) -> list[Picture | None]:
    """What LaTeX (with amsmath) draws of each formula between `\\[` and `\\]`; None where it complains."""
    found: list[Picture | None] = []
    for start in range(0, len(formulas), BATCH):
        found += _set(formulas[start : start + BATCH])
    return found


def _set(formulas: Sequence[str]) -> list[Picture | None]:
    body = "".join(
        f"\\global\\count0={page}\\message{{@@{page}@@}}\\begingroup\\[{formula}\n\\]\\endgroup\\vfill\\eject\n"
        for page, formula in enumerate(formulas, 1)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "f.tex").write_text(f"{PAGE}{body}\\message{{@@0@@}}\\end{{document}}\n", "utf-8")
        command = ["latex", "-no-shell-escape", "-interaction=nonstopmode", "f.tex"]
        subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=250, check=False)
        reader = _Drawn((folder / "f.dvi").read_bytes(), _metrics)
        reader.whole()
        log = re.split(r"@@(\d+)@@", (folder / "f.log").read_text("latin-1"))
    complaints = {int(page) for page, said in zip(log[1::2], log[2::2], strict=True) if "\n! " in said}
    return [
        None if page in complaints else _from_its_corner(reader.drawn[page]) for page in range(1, len(formulas) + 1)
    ]


def _from_its_corner(ink: list[tuple[int, ...]]) -> Picture:
    left, top = (min((mark[place] for mark in ink), default=0) for place in (2, 3))
    return tuple(sorted((first, second, across - left, down - top) for first, second, across, down in ink))
