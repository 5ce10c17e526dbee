r"""A formula as LaTeX in which each visible sign says its number: what CDM gives to LaTeX, and the names of the signs.

    marked(r"\frac{a}{2}")  →  names ("\frac", "a", "2") and `\Z{1}\frac{\Z{2}a\Z{1}}{\Z{3}2}`

`\Z` is a \special: it is nothing to LaTeX and stands in the DVI file just before the ink that it names, so spacing stays what
it is. The formula is not passed on but read and written anew, from commands in `cdm_symbols` only. So no formula can
define a macro, loop, read or write a file, or take another down with it; a command that is not known becomes a box of
that name. Everything written is linear in what was read: the kernel's macros that set an argument several times (`\root`,
`\mathpalette`) are not used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sft.markup.latex_scoring import SYNONYMS
from sft.markup.latex_tokens import strip_delimiters, tokens, without_row_skips
from sft.metrics import cdm_symbols as known
from sft.metrics.cdm_grid import Unreadable, environment
from sft.metrics.cdm_signs import WRITERS

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
    body = _COMMENT.sub(lambda found: found[1] or "", strip_delimiters(formula))
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
        while (word := self.peek()) and word not in ends and word not in ("}", "\\right") and not word.startswith("\\end{"):
            if word in known.INFIX:
                self.words.pop()
                mark = self.mark(known.INFIX_NAMES.get(word, word)) if word != "\\atop" else ""
                below = self.sequence(ends)
                parts = [f"{mark}{{", *parts, f"{mark}{known.INFIX[word]} ", below, f"{mark}}}"]
            elif word in known.SWITCHES:
                self.words.pop()
                parts += [known.FONTS[word], "{", self.sequence((*ends, *known.SWITCHES)), "}"]
            else:
                parts.append(self.scripted())
        self.depth -= 1
        return "".join(parts)

    def scripted(self) -> str:
        """One thing with its indices and exponents, each kind gathered; a line of its own, as no line may be endless."""
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
        found = self.atom()
        self.depth -= 1
        return found

    def group(self) -> str:
        """What stands before the brace that closes, which is taken."""
        found = self.sequence(())
        if not self.take("}"):
            raise Unreadable("a brace is never closed")
        return found

    def optional(self) -> str | None:
        """What stands in brackets, if they come next."""
        if not self.take("["):
            return None
        found = self.sequence(("]",))
        if not self.take("]"):
            raise Unreadable("a bracket is never closed")
        return found

    def skip_argument(self) -> str:
        """Take a group and give its words, which are not drawn."""
        depth, found = 0, []
        while self.words:
            word = self.words.pop()
            depth += (word == "{") - (word == "}")
            if not depth:
                break
            found.append(word)
        return "".join(found[1:])

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
