"""The tokens of a LaTeX formula, as TeX sees them in math mode (white space counts for nothing), and the delimiters
around it.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\\(?:begin|end)\s*\{[^{}\\]{1,40}\}|\\operatorname\s?\*|\\[A-Za-z]+|\\\s|\\.|\S", re.DOTALL)
MARK = re.compile(r"\\(?:[A-Za-z]+|.)|[{}$]", re.DOTALL)  # what decides where a formula ends
_ENVIRONMENT = re.compile(r"\\begin\s?\{(equation\*?|displaymath|math)\}")
_PAIRS = (("\\[", "\\]"), ("\\(", "\\)"))
BACKSLASHED = re.compile(r"\\.", re.DOTALL)
_BRACKET = re.compile(r"\*?\s{0,9}\[([^\[\]{}]{1,60})\]")
_LENGTH = re.compile(r"[-+]?(\d+\.?\d*|\.\d+|(?=\\))(pt|em|ex|mm|cm|in|mu|px|bp|dd|pc|sp|cc|\\[A-Za-z]+)")
_SPACE = re.compile(r"(\\\S)|\\\s+|\s+")  # an escaped character, a control space, plain white space


def tokens(formula: str) -> list[str]:
    """The tokens of `formula`: commands (`\\frac`, `\\begin{array}`, `\\operatorname*`, `\\,`, `\\ `) and single
    characters; no white space.
    """
    return [_token(found) for found in _TOKEN.findall(formula)]


def _token(found: str) -> str:
    if len(found) > 2 and found[0] == "\\" and found[-1] in "}*":
        return "".join(found.split())
    return "\\ " if found[0] == "\\" and found[1:].isspace() else found


def trim(formula: str) -> str:
    """Without outer white space, but a control space `\\ ` at the end stays one; a lone `\\` becomes one."""
    formula = formula.strip()
    backslashes = len(formula) - len(formula.rstrip("\\"))
    return formula + " " if backslashes % 2 else formula


def collapse(formula: str) -> str:
    """Each run of white space as one blank; lines stay lines where a comment (an unescaped %) ends with its line."""
    if not _commented(formula):
        return trim(
            _SPACE.sub(
                lambda found: found[1] or ("\\ " if found[0][0] == "\\" else " "),
                formula,
            )
        )
    return trim("\n".join(trim(re.sub(r"[^\S\n]+", " ", line)) for line in formula.split("\n")))


def _commented(formula: str) -> bool:
    return "%" in formula and "\n" in formula and "%" in _TOKEN.findall(formula)


def spelt_out(formula: str) -> bool:
    """Is every token parted from the next by white space, as in im2latex-100k and HME100K?"""
    words = tokens(formula)
    return len(words) > 1 and collapse(" ".join(words)) == collapse(formula)


def join(words: list[str]) -> str:
    """Tokens as one formula, with a blank only where a command would swallow the letter after it."""
    parts: list[str] = []
    for word, after in zip(words, [*words[1:], ""], strict=False):
        parts.append(word)
        if word[0] == "\\" and word[-1].isalpha() and after[:1].isalpha():
            parts.append(" ")
    return trim("".join(parts))


def strip_delimiters(formula: str) -> str:
    """The body of `$…$`, `$$…$$`, `\\(…\\)`, `\\[…\\]`, an equation environment, or several of them around each other;
    else `formula`, trimmed.
    """
    formula = trim(formula)
    while (body := _layer(formula)) is not None:
        formula = trim(body)
    return formula


def _layer(formula: str) -> str | None:
    """What stands inside the outermost delimiters; None if there are none, or if they are not one pair around
    everything.
    """
    if formula.startswith("$"):
        size = 2 if formula.startswith("$$") and len(formula) >= 4 else 1
        return formula[size:-size] if _end(formula, size, "$", "$") == len(formula) - size else None
    for opening, closing in _PAIRS:
        if formula.startswith(opening):
            return formula[2:-2] if _end(formula, 2, opening, closing) == len(formula) - 2 else None
    if found := _ENVIRONMENT.match(formula):
        end = f"\\end{{{found[1]}}}"
        return formula[found.end() : -len(end)] if formula.find(end) == len(formula) - len(end) else None
    return None


def _end(formula: str, start: int, opening: str, closing: str) -> int:
    """Where the delimiter that was opened before `start` closes, whatever braces and further pairs hold; -1 if it does
    not.
    """
    first = -1
    braces = pairs = 0
    for found in MARK.finditer(formula, start):
        mark = found[0]
        if mark == closing:
            if first < 0:
                first = found.start()
            if braces <= 0 and pairs == 0:
                return found.start()
            pairs -= 1 if braces <= 0 else 0
        elif mark == opening:
            pairs += 1 if braces <= 0 else 0
        else:
            braces += {"{": 1, "}": -1}.get(mark, 0)
    return first  # a brace is never closed: that is for `check` to say


def without_row_skips(formula: str) -> str:
    """`formula` without the lengths of `\\\\[2pt]`, and with a blank between `\\\\` and a bracket that stays.

    Idempotent.
    """
    if "\\\\" not in formula:
        return formula
    parts: list[str] = []
    done = 0
    for found in BACKSLASHED.finditer(formula):
        if found[0] != "\\\\" or found.start() < done:
            continue
        end = after = found.end()
        while (bracket := _BRACKET.match(formula, after)) and _LENGTH.fullmatch("".join(bracket[1].split())):
            after = bracket.end()
        parts += [
            formula[done:end],
            " " if formula[after : after + 1] in ("[", "]", "(", ")") else "",
        ]
        done = after
    return "".join([*parts, formula[done:]])


def without_dollars(formula: str) -> str:
    """`formula` with `$…$` inside its braces as `\\(…\\)`; other dollar signs are left, for someone to
    complain about.
    """
    if "$" not in formula:
        return formula
    depth, places = 0, []
    for found in MARK.finditer(formula):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if found[0] == "$":
            if depth <= 0:
                return formula
            places.append(found.start())
    if len(places) % 2 or "$$" in formula:
        return formula
    parts = [formula[start + 1 : end] for start, end in zip([-1, *places], [*places, len(formula)], strict=True)]
    return parts[0] + "".join(("\\(" if index % 2 == 0 else "\\)") + part for index, part in enumerate(parts[1:]))
