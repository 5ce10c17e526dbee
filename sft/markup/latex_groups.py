"""Which parts of a formula TeX does not read as math: arguments that are set as text, where a blank is a blank."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BRACE = re.compile(r"\\(?:[A-Za-z]+|.)|[{}]", re.DOTALL)
# Command → how many of its arguments come before what is text or a name; white space in all of them is left to the text
_TEXTS = {
    **dict.fromkeys(
        ("text", "textrm", "textbf", "textit", "textsf", "texttt", "textnormal", "textup", "textmd", "textsl"), 0
    ),
    **dict.fromkeys(
        ("textsc", "emph", "mbox", "hbox", "vbox", "fbox", "makebox", "framebox", "tag", "intertext", "shortintertext"),
        0,
    ),
    **dict.fromkeys(("ref", "eqref", "cite", "label", "url", "ce", "pu", "si", "unit", "num"), 0),
    **dict.fromkeys(("raisebox", "colorbox", "parbox", "href", "SI", "qty"), 1),
    "fcolorbox": 2,
}
_TEXT = re.compile(rf"\\(?:{'|'.join(sorted(_TEXTS, key=len, reverse=True))})(?![A-Za-z])")
_BEFORE = re.compile(
    r"\*?(?:\s{0,9}(?:to|spread)\s?[-.\w]{1,20})?(?:\s{0,9}\[[^\[\]{}]{0,40}\]){0,3}(\s*)\{"
)  # `\hbox to 1cm`, `\makebox[1cm][c]`
HIDDEN = "\0"  # stands for a command whose argument is text; never part of a sound label


@dataclass(frozen=True)
class TextCommand:
    """`\\text {…}` as it stands, and where the content of its groups begins and ends in it."""

    source: str
    contents: tuple[tuple[int, int], ...]
    parted: bool  # white space before each group, as between all tokens of a formula that is spelt out


def closings(formula: str) -> dict[int, int]:
    """The place of each `{` → the place of its `}`, for all that have one."""
    closing_of: dict[int, int] = {}
    opened: list[int] = []
    for mark in _BRACE.finditer(formula):
        if mark[0] == "{":
            opened.append(mark.start())
        elif mark[0] == "}" and opened:
            closing_of[opened.pop()] = mark.start()
    return closing_of


def hide_texts(formula: str) -> tuple[str, list[TextCommand]]:
    """`formula` with HIDDEN for every command whose argument is text, and these commands in their order."""
    if not _TEXT.search(formula):
        return formula, []
    closing = closings(formula)
    parts: list[str] = []
    commands: list[TextCommand] = []
    done = 0
    for mark in _BRACE.finditer(formula):
        if mark.start() < done or mark[0][1:] not in _TEXTS:
            continue
        if command := _command(formula, mark, closing):
            parts += [formula[done : mark.start()], HIDDEN]
            commands.append(command)
            done = mark.start() + len(command.source)
    return "".join([*parts, formula[done:]]), commands


def show_texts(formula: str, commands: list[str]) -> str:
    """The opposite of `hide_texts`, with each command as it is now to be written."""
    pieces = formula.split(HIDDEN)
    return "".join([piece + command for piece, command in zip(pieces, [*commands, ""], strict=True)])


def _command(formula: str, mark: re.Match[str], closing: dict[int, int]) -> TextCommand | None:
    """The command at `mark` with all its groups; None where one of them is missing."""
    start = mark.start()
    end = mark.end()
    contents: list[tuple[int, int]] = []
    parted = True
    for _ in range(_TEXTS[mark[0][1:]] + 1):
        before = _BEFORE.match(formula, end)
        if before is None or before.end() - 1 not in closing:
            return None
        parted = parted and bool(before[1])
        closes = closing[before.end() - 1]
        contents.append((before.end() - start, closes - start))
        end = closes + 1
    return TextCommand(
        formula[start:end],
        tuple(contents),
        parted,
    )
