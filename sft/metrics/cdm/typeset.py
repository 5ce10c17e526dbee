r"""Formulas → the boxes of their signs, by one run of LaTeX for many of them.

Only `latex` and fonts that come with it are used (Debian: texlive-latex-base); nothing is drawn. LaTeX runs in a
private folder without a shell, may open files below that folder only, and is bounded in time, memory and output. If a
run does not give all pages or complains of anything, its halves are tried, so that one formula never costs another its
score.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil
from pathlib import Path

from sft.errors import EngineError
from sft.files import disk_error
from sft.metrics.cdm.marked_latex import Marked

InkBox = tuple[int, int, int, int]  # left, top, right, bottom; y grows downwards
MAX_STACK = 2000
_UNIT = 1 << 20  # of a TFM's numbers


class Damaged(ValueError):
    """A file that TeX did not write to its end."""


@dataclass(frozen=True)
class Metrics:
    """Of one font at its design size: (width, height, depth) of each letter in 2^-20 of that size."""

    letters: dict[int, tuple[int, int, int]]


def read_metrics(data: bytes) -> Metrics:
    """A .tfm file. Raises: Damaged."""
    try:
        header, first, last, widths, heights, depths = struct.unpack(">6H", data[2:14])
        count = max(last - first + 1, 0)
        start = 24 + 4 * header
        tables = []
        place = start + 4 * count
        for size in (widths, heights, depths):
            tables.append(
                struct.unpack(
                    f">{size}i",
                    data[place : place + 4 * size],
                )
            )
            place += 4 * size
        by_font = {}
        for number in range(count):
            width = data[start + 4 * number]
            rest = data[start + 4 * number + 1]
            if width:
                by_font[first + number] = tables[0][width], tables[1][rest >> 4], tables[2][rest & 15]
        return Metrics(by_font)
    except (struct.error, IndexError) as error:
        raise Damaged("not a font metric") from error


@dataclass
class _State:
    h: int = 0
    v: int = 0
    w: int = 0
    x: int = 0
    y: int = 0
    z: int = 0


@dataclass
class _DviReader:
    """Goes through a DVI file and fills `pages`."""

    data: bytes
    font: Callable[[str], Metrics]
    at: int = 0
    pages: dict[int, dict[int, InkBox]] = field(default_factory=dict)
    fonts: dict[int, tuple[Metrics, int]] = field(default_factory=dict)  # number → metrics and size
    state: _State = field(default_factory=_State)
    stack: list[_State] = field(default_factory=list)
    current: int = 0  # font
    sign: int = 0

    def number(self, size: int, signed: bool = False) -> int:
        """The next `size` bytes."""
        self.at += size
        if self.at > len(self.data):
            raise Damaged("the file ends too early")
        return int.from_bytes(
            self.data[self.at - size : self.at],
            "big",
            signed=signed,
        )

    def ink(self, page: dict[int, InkBox], width: int, height: int, depth: int) -> None:
        """A box of ink at the current place belongs to the current sign."""
        left = self.state.h
        top = self.state.v - height
        right = self.state.h + width
        bottom = self.state.v + depth
        if self.sign:
            known = page.get(
                self.sign,
                (left, top, right, bottom),
            )
            page[self.sign] = min(known[0], left), min(known[1], top), max(known[2], right), max(known[3], bottom)

    def letter(self, page: dict[int, InkBox], code: int) -> int:
        """Put a letter; its width."""
        metrics, size = self.fonts.get(self.current, (Metrics({}), 0))
        width, height, depth = (value * size // _UNIT for value in metrics.letters.get(code, (0, 0, 0)))
        self.ink(page, width, height, depth)
        return width

    def rule(self, page: dict[int, InkBox]) -> int:
        """Put a rule; its width."""
        height = self.number(4, True)
        width = self.number(4, True)
        if height > 0 and width > 0:
            self.ink(page, width, height, 0)
        return width

    def page(self) -> None:
        """From after `bop` to `eop`."""
        numbers = [self.number(4, True) for _ in range(11)]
        page: dict[int, InkBox] = {}
        self.state, self.stack, self.sign = _State(), [], 0
        while (code := self.number(1)) != 140:
            self.draw(page, code)
        self.pages[numbers[0]] = page

    def draw(self, page: dict[int, InkBox], code: int) -> None:
        """One command of a page."""
        state = self.state
        if code < 128:
            state.h += self.letter(page, code)
        elif code < 132:
            state.h += self.letter(page, self.number(code - 127))
        elif code == 132:
            state.h += self.rule(page)
        elif code < 137:
            self.letter(page, self.number(code - 132))
        elif code == 137:
            self.rule(page)
        elif code == 141:
            if len(self.stack) > MAX_STACK:
                raise Damaged("boxes too deep")
            self.stack.append(_State(**vars(state)))
        elif code == 142 and self.stack:
            self.state = self.stack.pop()
        elif 143 <= code < 171:
            self.move(code)
        elif 171 <= code < 235:
            self.current = code - 171
        else:
            self.other(code)

    def move(self, code: int) -> None:
        """Commands that change the place."""
        state = self.state
        if code < 147:
            state.h += self.number(code - 142, True)
        elif code < 157:
            name, first = ("w", 147) if code < 152 else ("x", 152)
            if code > first:
                setattr(
                    state,
                    name,
                    self.number(code - first, True),
                )
            state.h += getattr(state, name)
        elif code < 161:
            state.v += self.number(code - 156, True)
        else:
            name, first = ("y", 161) if code < 166 else ("z", 166)
            if code > first:
                setattr(
                    state,
                    name,
                    self.number(code - first, True),
                )
            state.v += getattr(state, name)

    def other(self, code: int) -> None:
        """Commands that may stand between pages too."""
        if 235 <= code < 239:
            self.current = self.number(code - 234)
        elif 239 <= code < 243:
            size = self.number(code - 238)
            text = self.data[self.at : self.at + size]
            self.at += size
            self.sign = int(text) if text.isdigit() and len(text) < 7 else 0
        elif 243 <= code < 247:
            number = self.number(code - 242)
            _ = self.number(4)
            size = self.number(4)
            _ = self.number(4)
            length = self.number(1) + self.number(1)
            name = self.data[self.at : self.at + length].decode("latin-1")
            self.at += length
            self.fonts[number] = self.font(name), size
        elif code != 138:
            raise Damaged(f"unknown command {code}")

    def whole(self) -> None:
        """All pages; what follows the last complete one is not looked at."""
        if self.number(1) != 247:
            raise Damaged("not a DVI file")
        self.at += 13
        comment = self.number(1)
        self.at += comment
        while (code := self.number(1)) != 248:
            if code == 139:
                self.page()
            else:
                self.other(code)


def read_pages(data: bytes, font: Callable[[str], Metrics]) -> dict[int, dict[int, InkBox]]:
    r"""Page (`\count0`) → sign → its box in sp.

    font: the metrics of a font by name. A file that breaks off gives the pages before.
    """
    reader = _DviReader(data, font)
    with suppress(Damaged):
        reader.whole()
    return reader.pages


BATCH = 256  # formulas of one run
SECONDS, SECONDS_EACH = 20.0, 0.2  # of the processor
PATIENCE = 1800.0  # seconds on the clock, for a machine that does much else: LaTeX waits for nothing
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


def boxes(formulas: Sequence[Marked]) -> list[dict[int, InkBox] | None]:
    """Of each formula: sign (from 1) → box in sp, for the signs that leave ink.

    None: LaTeX cannot set it. EngineError: LaTeX sets nothing at all.
    """
    by_formula: list[dict[int, InkBox] | None] = [None] * len(formulas)
    todo = [list(range(start, min(start + BATCH, len(formulas)))) for start in range(0, len(formulas), BATCH)]
    while todo:
        numbers = todo.pop()
        pages, clean = _run([formulas[number] for number in numbers])
        if not clean and len(numbers) == 1:
            require()  # is it this formula, or a full disk?
        if clean or len(numbers) == 1:
            for page, number in enumerate(numbers, 1):
                by_formula[number] = pages.get(page)
        else:
            half = len(numbers) // 2
            todo += [numbers[:half], numbers[half:]]
    return by_formula


def require() -> None:
    """EngineError where LaTeX cannot set a page without any formula of ours: amssymb is missing, or a disk is full.
    Else answers would get a 0 for that.
    """
    _, clean = _run([])
    if not clean:
        hint = (
            "install all of it (Debian: texlive-latex-base), and see that the temporary folder can be written; `latex`"
            " alone says what it lacks"
        )
        raise EngineError("LaTeX does not work here: it cannot even typeset x_0+1", hint=hint)


def _run(formulas: Sequence[Marked]) -> tuple[dict[int, dict[int, InkBox]], bool]:
    """Page → boxes, for the pages that LaTeX finished; and whether it finished all, without a complaint. EngineError:
    no room for its files.
    """
    pages = "".join(f"\\P{{{number}}}{{{formula.latex}}}\n" for number, formula in enumerate(formulas, 1))
    try:
        with tempfile.TemporaryDirectory(prefix="sft-cdm-") as name:
            (Path(name) / "f.tex").write_text(
                f"{HEAD}{pages}\\end{{document}}\n",
                "ascii",
                "replace",
            )
            return _set(Path(name), len(formulas))
    except OSError as error:
        raise disk_error(error, Path(tempfile.gettempdir())) from error


def _set(folder: Path, count: int) -> tuple[dict[int, dict[int, InkBox]], bool]:
    """Run LaTeX on f.tex in `folder`, which has `count` formulas."""
    seconds = ceil(SECONDS + SECONDS_EACH * count)
    limits = f'ulimit -t {seconds}; ulimit -v {MEMORY_KB}; ulimit -f {OUTPUT_BLOCKS}; exec "$@"'
    command = ["/bin/sh", "-c", limits, "sh", "latex", "-no-shell-escape", "-interaction=batchmode", "f.tex"]
    try:
        subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **_PARANOID},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:  # no fault of a formula: what does not end works, and is ended for that
        raise EngineError(f"LaTeX did not end in {PATIENCE:.0f} s", hint="the machine or its disk hangs") from error
    except OSError:
        return {}, False
    try:
        pages = read_pages((folder / "f.dvi").read_bytes(), _metrics)
        began = pages.pop(0, None) is not None
        return pages, began and len(pages) == count and b"\n! " not in (folder / "f.log").read_bytes()
    except (subprocess.TimeoutExpired, OSError):
        return {}, False


@lru_cache(maxsize=256)
def _metrics(font: str) -> Metrics:
    """Of an installed font; of one that is not there, none: its letters leave no box.

    OSError, TimeoutExpired: it could not be looked for. That is never remembered, since all later scores would be
    wrong.
    """
    if not font.isalnum():
        return Metrics({})
    done = subprocess.run(
        ["kpsewhich", f"{font}.tfm"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if not (path := done.stdout.strip()):
        return Metrics({})
    try:
        return read_metrics(Path(path).read_bytes())
    except Damaged:
        return Metrics({})
