r"""A formula as LaTeX in which each visible sign says its number: what CDM gives to LaTeX, and the names of the signs.

    marked(r"\frac{a}{2}")  →  names ("\frac", "a", "2") and `\Z{1}\frac{\Z{2}a\Z{1}}{\Z{3}2}`

`\Z` is a \special: it is nothing to LaTeX and stands in the DVI file just before the ink that it names, so spacing
stays what it is. The formula is not passed on but read and written anew, from commands in `cdm_symbols` only. So no
formula can define a macro, loop, read or write a file, or take another down with it; a command that is not known
becomes a box of that name. Everything written is linear in what was read: the kernel's macros that set an argument
several times (`\root`, `\mathpalette`) are not used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Protocol

from sft.markup import SYNONYMS, strip_delimiters, tokens, without_row_skips
from sft.metrics.cdm import symbols as known

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
    left, right, columns, large = known.ENVIRONMENTS.get(
        name,
        known.ENVIRONMENTS.get(plain, known.ALIGNED),
    )
    while reader.peek() == "[":
        _skip_optional(reader)
    if plain in known.WITH_ARGUMENT and reader.peek() == "{":
        preamble = reader.skip_argument()
        columns = "".join(letter for letter in preamble if letter in "lcr") or columns
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
    body = rows(reader, "c", False, padded=False)
    if not reader.take("}"):
        raise Unreadable("a brace is never closed")
    return body


def rows(reader: Reader, columns: str, large: bool, *, padded: bool) -> str:
    r"""Cells parted by `&`, rows by `\\`.

    columns: l, c or r of each, over and over; padded: with space between them.
    """
    written, place = [""], 0
    style = "\\displaystyle " if large else ""
    gap = "\\kern5pt" if padded else ""
    while True:
        stands = columns[place % len(columns)]
        before = "" if stands == "l" else "\\hfil"
        after = "" if stands == "r" else "\\hfil"
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


def _skip_optional(reader: Reader) -> None:
    """Leave out an optional argument."""
    while reader.words and reader.words.pop() != "]":
        pass


def _plain(reader: Reader, word: str) -> str:
    return reader.mark(word) + word + " "


def _escaped(reader: Reader, word: str) -> str:
    return f"{reader.mark(word)}{known.ESCAPED[word]} "


def _not(reader: Reader, word: str) -> str:
    after = reader.peek()
    if after in known.PLAIN or after in known.SYMBOLS:
        reader.words.pop()
        name = "\\ne" if after == "=" else word + after
        return f"{reader.mark(name)}\\mathrel{{\\not{after} }}"
    return f"{reader.mark(word)}\\not "


def _large(reader: Reader, word: str) -> str:
    return f"\\mathop{{{reader.mark(word)}{word}}}"


def _integral(reader: Reader, word: str) -> str:
    return f"\\mathop{{{reader.mark(word)}{known.INTEGRALS[word]}}}\\nolimits "


def _dots(reader: Reader, word: str) -> str:
    return "\\mathinner{" + "".join(f"{reader.mark('.')}{known.DOTS[word]} " for _ in range(3)) + "}"


def _letters(reader: Reader, word: str) -> str:
    letters = "".join(reader.mark(letter) + letter for letter in word[1:])
    return f"\\mathop{{\\mathrm{{{letters}}}}}" + ("" if word in known.LIMITS else "\\nolimits ")


def _modulo(reader: Reader, word: str) -> str:
    name = "" if word == "\\pod" else "\\mathrm{" + "".join(reader.mark(letter) + letter for letter in "mod") + "}\\ "
    if word in ("\\mod", "\\bmod"):
        return f"\\ {name}"
    return f"\\ {reader.mark('(')}({name}{{{reader.argument()}}}{reader.mark(')')})"


def _sized(reader: Reader, word: str) -> str:
    delimiter = reader.peek()
    if delimiter not in known.DELIMITERS:
        return ""
    reader.words.pop()
    return f"{reader.mark(delimiter)}{word}{known.DELIMITERS[delimiter]} "


def _accent(reader: Reader, word: str) -> str:
    return f"{reader.mark(word)}{known.ACCENTS[word]}{{{reader.argument()}}}"


def _stretched(reader: Reader, word: str) -> str:
    mark = reader.mark(word)  # said again at the end of what it covers: a line below is drawn after that
    command = known.STRETCHED[word]
    return f"{mark}{command}{{{reader.argument()}{mark}}}"


def _arrow(reader: Reader, word: str) -> str:
    mark = reader.mark(word)
    below = reader.optional()
    return f"{{\\mathop{{{mark}{known.LONG_ARROWS[word]}}}\\limits^{{{reader.argument()}}}" + (
        f"_{{{below}}}}}" if below else "}"
    )


def _stacked(reader: Reader, word: str) -> str:
    script = reader.argument()
    return f"{{\\mathop{{{reader.argument()}}}\\limits{known.STACKED[word]}{{{script}}}}}"


def _fraction(reader: Reader, word: str) -> str:
    mark = reader.mark(word)
    above = reader.argument()
    below = reader.argument()
    bar = "\\over " if word == "\\frac" else "\\atopwithdelims()"
    return f"{mark}{{{{{above}}}{mark}{bar}{{{below}}}{mark}}}"


def _root(reader: Reader, word: str) -> str:
    mark = reader.mark(word)
    degree = reader.optional()
    return (f"{{}}^{{{degree}}}\\mkern-7mu" if degree else "") + f"{mark}\\sqrtsign{{{reader.argument()}}}"


def _font(reader: Reader, word: str) -> str:
    return f"{known.FONTS[word]}{{{reader.argument()}}}"


def _class(reader: Reader, word: str) -> str:
    return f"{word}{{{reader.argument()}}}"


def _left(reader: Reader, _: str) -> str:
    left = _delimiter(reader)
    parts = [
        f"{left and reader.mark(left)}\\left{known.DELIMITERS.get(left, '.')} ",
        reader.sequence(("\\middle",)),
    ]
    while reader.take("\\middle"):
        middle = _delimiter(reader)
        parts += [
            f"{middle and reader.mark(middle)}\\middle{known.DELIMITERS.get(middle, '.')} ",
            reader.sequence(("\\middle",)),
        ]
    if not reader.peek():  # the answer was cut off: LaTeX closes what is open, and so do the published scores
        return "".join(parts) + "\\right. "
    if not reader.take("\\right"):
        raise Unreadable("\\left without \\right")
    right = _delimiter(reader)
    return "".join(parts) + f"{right and reader.mark(right)}\\right{known.DELIMITERS.get(right, '.')} "


def _delimiter(reader: Reader) -> str:
    r"""The delimiter that comes next, "" for `\left.`."""
    if reader.take("."):
        return ""
    if reader.peek() not in known.DELIMITERS:
        raise Unreadable(f"{reader.peek() or 'the end'} is no delimiter")
    return reader.words.pop()


def _hidden(reader: Reader, word: str) -> str:
    reader.take("*")
    if known.HIDDEN[word] and reader.take("["):
        while reader.words and reader.words.pop() != "]":
            pass
    for _ in range(known.HIDDEN[word]):
        reader.skip_argument()
    return ""


def _named(reader: Reader, word: str) -> str:
    return f"\\mathop{{\\mathrm{{{reader.argument()}}}}}" + ("" if word.endswith("*") else "\\nolimits ")


def _itself(_: Reader, word: str) -> str:
    return word + " "


def _symbol(reader: Reader, word: str) -> str:
    return f"{reader.mark(word)}{word} "


def _bracket(reader: Reader, word: str) -> str:
    return f"{reader.mark(word)}{known.DELIMITERS[word]} "


def _lines(reader: Reader, _: str) -> str:
    return substack(reader)


WRITERS: tuple[tuple[Container[str], Callable[[Reader, str], str]], ...] = (
    (known.PLAIN, _plain),
    (known.SYMBOLS, _symbol),
    (known.ESCAPED, _escaped),
    (("\\frac", "\\binom"), _fraction),
    (("\\left",), _left),
    (("\\sqrt",), _root),
    (("\\operatorname", "\\operatorname*"), _named),
    (known.FONTS, _font),
    (known.LARGE, _large),
    (known.INTEGRALS, _integral),
    (known.DOTS, _dots),
    (known.NAMES | known.LIMITS, _letters),
    (known.ACCENTS, _accent),
    (known.STRETCHED, _stretched),
    (known.SPACES, _itself),
    (known.STYLES, _itself),
    (known.SIZES, _sized),
    (known.HIDDEN, _hidden),
    (("\\not",), _not),
    (known.LONG_ARROWS, _arrow),
    (known.STACKED, _stacked),
    (known.CLASSES, _class),
    (known.MODULO, _modulo),
    (("\\substack",), _lines),
    (known.DELIMITERS, _bracket),
)


MAX_LENGTH = 20_000  # characters of a formula
MAX_SIGNS = 2000
MAX_DEPTH = 50  # groups and arguments within each other
BOX = r"\U"  # stands for a sign that LaTeX has not, or for a letter of another script
_COMMENT = re.compile(r"(\\.)|%[^\n]*", re.DOTALL)
_KERN = re.compile(r"\\(?:m?kern|[hmv]skip)\s{0,9}-?[0-9.]{1,9}\s{0,9}(?:[a-z]{2}|\\[a-z]{1,20})")
_UNSEEN = known.SPACES | known.STYLES | {"\\"}  # (a control space, stripped)
_SYNONYMS = {**SYNONYMS, **known.WIDE}


@dataclass(frozen=True)
class Marked:
    """LaTeX for math mode in display style, and the names of its signs; sign 1 is names[0]."""

    latex: str
    names: tuple[str, ...]


def marked(formula: str) -> Marked:
    """Read `formula`, with or without delimiters. Raises: Unreadable."""
    if len(formula) > MAX_LENGTH:
        raise Unreadable(f"more than {MAX_LENGTH:,} characters")
    body = _COMMENT.sub(
        lambda match: match[1] or "",
        strip_delimiters(formula),
    )
    words = tokens(without_row_skips(_KERN.sub(" ", body)))
    writer = _Writer([_SYNONYMS.get(word, word) for word in (known.UNICODE.get(word, word) for word in words)])
    latex = writer.sequence(())
    if writer.words:
        raise Unreadable(f"{writer.words[-1]} closes nothing")
    return Marked(latex, tuple(writer.names))


def _name(word: str) -> str:
    word = known.EQUAL.get(word, word)
    return f"\\{word[4:]}" if word.startswith("\\var") and word[4:].isalpha() else word


class _Writer:
    """Reads words and writes LaTeX. `words` is a stack: the next word is the last."""

    def __init__(self, words: list[str]) -> None:
        self.words = words[::-1]
        self.names: list[str] = []
        self.depth = 0

    def mark(self, word: str) -> str:
        r"""`\Z{n}` of a new sign."""
        self.names.append(_name(word))
        if len(self.names) > MAX_SIGNS:
            raise Unreadable(f"more than {MAX_SIGNS:,} signs")
        return f"\\Z{{{len(self.names)}}}"

    def peek(self) -> str:
        """The next word; "" at the end."""
        return self.words[-1] if self.words else ""

    def take(self, word: str) -> bool:
        """Take the next word if it is this one."""
        if self.peek() != word:
            return False
        self.words.pop()
        return True

    def sequence(self, ends: tuple[str, ...]) -> str:
        """What stands before one of `ends` (which is left) or before anything else that closes."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable(f"nested more than {MAX_DEPTH} deep")
        parts: list[str] = []
        while (
            (word := self.peek())
            and word not in ends
            and word not in ("}", "\\right")
            and not word.startswith("\\end{")
        ):
            if word in known.INFIX:
                self.words.pop()
                mark = self.mark(known.INFIX_NAMES.get(word, word)) if word != "\\atop" else ""
                below = self.sequence(ends)
                parts = [
                    f"{mark}{{",
                    *parts,
                    f"{mark}{known.INFIX[word]} ",
                    below,
                    f"{mark}}}",
                ]
            elif word in known.SWITCHES:
                self.words.pop()
                parts += [
                    known.FONTS[word],
                    "{",
                    self.sequence((*ends, *known.SWITCHES)),
                    "}",
                ]
            else:
                parts.append(self.scripted())
        self.depth -= 1
        return "".join(parts)

    def scripted(self) -> str:
        """One thing with its indices and exponents, each kind gathered; a line of its own, as no line may be
        endless.
        """
        base = "{}" if self.peek() in ("_", "^", "'") else self.atom()
        below: list[str] = []
        above: list[str] = []
        while True:
            if self.peek() in ("\\limits", "\\nolimits", "\\displaylimits"):
                word = self.words.pop()
                base += word if base.startswith("\\mathop") else ""
            elif self.take("'"):
                above.append(self.mark("'") + "\\prime ")
            elif self.peek() in ("_", "^"):
                (below if self.words.pop() == "_" else above).append(self.argument())
            else:
                break
        if (below or above) and (not base or base.strip() in _UNSEEN):
            base += "{}"
        whole = base + ("_{" + "".join(below) + "}" if below else "") + ("^{" + "".join(above) + "}" if above else "")
        return whole and f"{whole}\n"  # never an empty line: that would end the formula

    def argument(self) -> str:
        """A group, or one thing. Raises: Unreadable where there is none."""
        word = self.peek()
        if not word or word in ("}", "&", "\\\\", "\\right", "_", "^") or word.startswith("\\end{"):
            raise Unreadable(f"an argument is missing before {word or 'the end'}")
        if self.take("{"):
            return self.group()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable(f"nested more than {MAX_DEPTH} deep")
        atom = self.atom()
        self.depth -= 1
        return atom

    def group(self) -> str:
        """What stands before the brace that closes, which is taken."""
        body = self.sequence(())
        if not self.take("}"):
            raise Unreadable("a brace is never closed")
        return body

    def optional(self) -> str | None:
        """What stands in brackets, if they come next."""
        if not self.take("["):
            return None
        body = self.sequence(("]",))
        if not self.take("]"):
            raise Unreadable("a bracket is never closed")
        return body

    def skip_argument(self) -> str:
        """Take a group and give its words, which are not drawn."""
        depth, tokens = 0, []
        while self.words:
            word = self.words.pop()
            depth += (word == "{") - (word == "}")
            if not depth:
                break
            tokens.append(word)
        return "".join(tokens[1:])

    def atom(self) -> str:
        """One thing without what hangs on it."""
        word = self.words.pop()
        if word == "{":
            return "{" + self.group() + "}"
        if word.startswith("\\begin{"):
            return environment(self, word[7:-1])
        for table, write in WRITERS:
            if word in table:
                return write(self, word)
        if word in ("&", "\\\\", "$", "\\(", "\\)", "\\[", "\\]", "\\"):
            return ""
        return self.mark(word) + BOX
