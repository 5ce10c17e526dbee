r"""Where each sign of a page stands, from a DVI file: boxes of letters and rules, gathered by the \special before them.

DVI is TeX's own output: letters and rules with their places, in units of 1/65536 pt; nothing has to be drawn. How wide and high a letter
is, its font's metric file (.tfm) says. Both formats: Knuth, "TeX: The Program", part 31, and "The TeXware processors", TFtoPL.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

Box = tuple[int, int, int, int]  # left, top, right, bottom; y grows downwards
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
        tables, place = [], start + 4 * count
        for size in (widths, heights, depths):
            tables.append(struct.unpack(f">{size}i", data[place : place + 4 * size]))
            place += 4 * size
        found = {}
        for number in range(count):
            width, rest = data[start + 4 * number], data[start + 4 * number + 1]
            if width:
                found[first + number] = tables[0][width], tables[1][rest >> 4], tables[2][rest & 15]
        return Metrics(found)
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
class _Reader:
    """Goes through a DVI file and fills `pages`."""

    data: bytes
    font: Callable[[str], Metrics]
    at: int = 0
    pages: dict[int, dict[int, Box]] = field(default_factory=dict)
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
        return int.from_bytes(self.data[self.at - size : self.at], "big", signed=signed)

    def ink(self, page: dict[int, Box], width: int, height: int, depth: int) -> None:
        """A box of ink at the current place belongs to the current sign."""
        left, top, right, bottom = self.state.h, self.state.v - height, self.state.h + width, self.state.v + depth
        if self.sign:
            known = page.get(self.sign, (left, top, right, bottom))
            page[self.sign] = min(known[0], left), min(known[1], top), max(known[2], right), max(known[3], bottom)

    def letter(self, page: dict[int, Box], code: int) -> int:
        """Put a letter; its width."""
        metrics, size = self.fonts.get(self.current, (Metrics({}), 0))
        width, height, depth = (value * size // _UNIT for value in metrics.letters.get(code, (0, 0, 0)))
        self.ink(page, width, height, depth)
        return width

    def rule(self, page: dict[int, Box]) -> int:
        """Put a rule; its width."""
        height, width = self.number(4, True), self.number(4, True)
        if height > 0 and width > 0:
            self.ink(page, width, height, 0)
        return width

    def page(self) -> None:
        """From after `bop` to `eop`."""
        numbers = [self.number(4, True) for _ in range(11)]
        page: dict[int, Box] = {}
        self.state, self.stack, self.sign = _State(), [], 0
        while (code := self.number(1)) != 140:
            self.draw(page, code)
        self.pages[numbers[0]] = page

    def draw(self, page: dict[int, Box], code: int) -> None:
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
                setattr(state, name, self.number(code - first, True))
            state.h += getattr(state, name)
        elif code < 161:
            state.v += self.number(code - 156, True)
        else:
            name, first = ("y", 161) if code < 166 else ("z", 166)
            if code > first:
                setattr(state, name, self.number(code - first, True))
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
            _, size, _ = self.number(4), self.number(4), self.number(4)
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


def read_pages(data: bytes, font: Callable[[str], Metrics]) -> dict[int, dict[int, Box]]:
    r"""Page (`\count0`) → sign → its box in sp. font: the metrics of a font by name. A file that breaks off gives the pages before."""
    reader = _Reader(data, font)
    with suppress(Damaged):
        reader.whole()
    return reader.pages
