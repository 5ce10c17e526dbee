r"""Matrices, cases, aligned equations: rows of cells, written as an \halign that sets each cell once."""

from __future__ import annotations

from typing import Protocol

from sft.metrics import cdm_symbols as known

ROW = "\\\\"
TABLE = r"\vcenter{\O\halign{#&&#\cr %s}}"  # \O: the distance of lines


class Unreadable(ValueError):
    """A formula that is not LaTeX: braces, environments or arguments are missing, or there is too much of it."""


class Reader(Protocol):
    """What `cdm_latex` reads with."""

    words: list[str]

    def mark(self, word: str) -> str:
        """The mark of a new sign."""

    def peek(self) -> str:
        """The next word; "" at the end."""

    def take(self, word: str) -> bool:
        """Take the next word if it is this one."""

    def sequence(self, ends: tuple[str, ...]) -> str:
        """What stands before one of `ends`."""

    def argument(self) -> str:
        """A group, or one thing."""

    def optional(self) -> str | None:
        """What stands in brackets, if they come next."""

    def skip_argument(self) -> str:
        """Take a group and give its words."""


def environment(reader: Reader, name: str) -> str:
    r"""What `\begin{name}` opens, to its end."""
    plain = name.rstrip("*")
    left, right, columns, large = known.ENVIRONMENTS.get(name, known.ENVIRONMENTS.get(plain, known.ALIGNED))
    while reader.peek() == "[":
        _bracket(reader)
    if plain in known.WITH_ARGUMENT and reader.peek() == "{":
        told = reader.skip_argument()
        columns = "".join(letter for letter in told if letter in "lcr") or columns
    parts = [f"{reader.mark(left)}\\left{known.DELIMITERS[left]} "] if left else ["\\left. "] if right else []
    parts.append(rows(reader, columns, large, padded=plain in known.ENVIRONMENTS))
    after = reader.peek()
    if after.startswith("\\end{"):
        reader.words.pop()  # also that of another name, as LaTeX does
    elif after:
        raise Unreadable(f"{after} inside of {name}")
    parts.append(f"{reader.mark(right)}\\right{known.DELIMITERS[right]} " if right else "\\right. " if left else "")
    return "".join(parts)


def substack(reader: Reader) -> str:
    r"""The lines of `\substack{…}`, centred."""
    if not reader.take("{"):
        raise Unreadable("\\substack without an argument")
    found = rows(reader, "c", False, padded=False)
    if not reader.take("}"):
        raise Unreadable("a brace is never closed")
    return found


def rows(reader: Reader, columns: str, large: bool, *, padded: bool) -> str:
    r"""Cells parted by `&`, rows by `\\`. columns: l, c or r of each, over and over; padded: with space between them."""
    written, place = [""], 0
    style = "\\displaystyle " if large else ""
    gap = "\\kern5pt" if padded else ""
    while True:
        stands = columns[place % len(columns)]
        before, after = "" if stands == "l" else "\\hfil", "" if stands == "r" else "\\hfil"
        written[-1] += f"{gap}{before}${style}{reader.sequence(('&', ROW))}${after}{gap}"
        if reader.take("&"):
            written[-1] += "&"
            place += 1
        elif reader.take(ROW):
            reader.take("*")
            written[-1] += "\\cr"
            written.append("")
            place = 0
        else:
            return TABLE % ("\n".join(written) + "\\cr")


def _bracket(reader: Reader) -> None:
    """Leave out an optional argument."""
    while reader.words and reader.words.pop() != "]":
        pass
