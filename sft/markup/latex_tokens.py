"""The tokens of a LaTeX formula, as TeX sees them in math mode (white space counts for nothing), and the delimiters
around it.
"""

from __future__ import annotations

import re

from sft.markup.latex_groups import HIDDEN, TextCommand, hide_texts, show_texts

_TOKEN = re.compile(r"\\(?:begin|end)\s*\{[^{}\\]{1,40}\}|\\operatorname\s?\*|\\[A-Za-z]+|\\\s|\\.|\S", re.DOTALL)
MARK = re.compile(r"\\(?:[A-Za-z]+|.)|[{}$]", re.DOTALL)  # what decides where a formula ends
_ENVIRONMENT = re.compile(r"\\begin\s?\{(equation\*?|displaymath|math)\}")
_PAIRS = (("\\[", "\\]"), ("\\(", "\\)"))
BACKSLASHED = re.compile(r"\\.", re.DOTALL)
ROW_SKIP = re.compile(r"\*?\s{0,9}\[([^\[\]{}]{1,60})\]")
_LENGTH = re.compile(r"[-+]?(\d+\.?\d*|\.\d+|(?=\\))(pt|em|ex|mm|cm|in|mu|px|bp|dd|pc|sp|cc|\\[A-Za-z]+)")
_OPENED = re.compile(r"\\.|\{(\s?)", re.DOTALL)
# What a normaliser writes in one piece though it parts all else: `\left(`, `\begin{array}`, `\hspace{1cm}`, `\\[2pt]`,
# `{}`
_PIECES = re.compile(
    r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])\s*(?:\\(?:[A-Za-z]+|.)|[^\s\\{}])"
    r"|\\begin\s*\{[^{}\\]{1,40}\}(?:\s*\[[tbc]\])?(?:\{[^\s{}][^{}]*\})?|\\end\s*\{[^{}\\]{1,40}\}"
    r"|\\(?:hspace|vspace|color|rule|special|cline|mathcolor)\*?(?:\{[^\s{}][^{}]*\}){1,2}"
    r"|\\(?:operatorname|\\)\s*\*|\{\s*\}|\\\\(?:\s*\[[^\[\]{}]{1,60}\])?"
    r"|(\\(?:[A-Za-z]+|.))",
    re.DOTALL,
)
_PIECE = "="  # what each of these counts for
_OPENS = re.compile(r"\s*\[")
_BLANK_TOKEN = re.compile(r"\s{3,}")
_BEFORE_GROUP = re.compile(r"\s+(?=[*\[{])")
_SPACE = re.compile(r"(\\\S)|\\\s+|\s+")  # an escaped character, a control space, plain white space


def tokens(formula: str) -> list[str]:
    """The tokens of `formula`: commands (`\\frac`, `\\begin{array}`, `\\operatorname*`, `\\,`, `\\ `) and single
    characters; no white space.
    """
    return [_token(piece) for piece in _TOKEN.findall(formula)]


def _token(piece: str) -> str:
    if len(piece) > 2 and piece[0] == "\\" and piece[-1] in "}*":
        return "".join(piece.split())
    return "\\ " if piece[0] == "\\" and piece[1:].isspace() else piece


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
                lambda match: match[1] or ("\\ " if match[0][0] == "\\" else " "),
                formula,
            )
        )
    return trim("\n".join(trim(re.sub(r"[^\S\n]+", " ", line)) for line in formula.split("\n")))


def _commented(formula: str) -> bool:
    return "%" in formula and "\n" in formula and "%" in _TOKEN.findall(formula)


def spelt_out(formula: str) -> bool:
    """Is every token parted from the next by white space, as in im2latex-100k and HME100K, but for what normalisers
    leave in one piece?

    Where there are braces, they tell: blanks stand inside most of them (`\\frac { a } { b }`). Elsewhere every token
    counts.
    """
    return _is_spelt_out(*hide_texts(formula))


def tighten(formula: str) -> str:
    """`formula` without white space between its tokens if it is spelt out, else as it is.

    Blanks of a text (`\\text{if any}`) stay.
    """
    if HIDDEN in formula or "\\verb" in formula or len(formula.split(None, 1)) < 2:
        return formula
    masked, commands = hide_texts(formula)
    if not _is_spelt_out(masked, commands):
        return formula
    return show_texts(
        join(tokens(masked)),
        [_tight_text(command) for command in commands],
    )


def _is_spelt_out(masked: str, commands: list[TextCommand]) -> bool:
    parted = _PIECES.sub(
        lambda match: match[0] if match[1] else f" {_PIECE} ",
        masked,
    )
    insides = [match[1] for match in _OPENED.finditer(parted) if match[1] is not None]
    spelt = sum(map(bool, insides)) + sum(map(_text_is_spelt_out, commands))
    if insides or spelt:
        return 2 * spelt > len(insides)
    words = tokens(parted)
    return not commands and len(words) > 1 and collapse(" ".join(words)) == collapse(parted)


def _text_is_spelt_out(command: TextCommand) -> bool:
    """`\\text { i f }` means `\\text{if}`; `\\text{ if }` and `\\text { if any }` mean what they say."""
    if not command.parted:
        return False
    for start, end in command.contents:
        content = command.source[start:end]
        words = tokens(content)
        if not words or not content[0].isspace() or collapse(" ".join(words)) != collapse(content):
            return False
    return True


def _tight_text(command: TextCommand) -> str:
    spelt = _text_is_spelt_out(command)
    parts: list[str] = []
    done = 0
    for start, end in command.contents:
        content = command.source[start:end]
        parts += [
            _BEFORE_GROUP.sub("", command.source[done:start]),
            _tight_words(content) if spelt else content,
        ]
        done = end
    return "".join([*parts, command.source[done:]])


def _tight_words(content: str) -> str:
    """`f o r   a l l` is `for all`: a blank that is a token of its own stands between two blanks."""
    return " ".join([join(tokens(word)) for word in _BLANK_TOKEN.split(content)])


def join(words: list[str]) -> str:
    """Tokens as one formula, with a blank only where a command would swallow the letter after it, or `\\\\` the
    bracket.
    """
    parts: list[str] = []
    for word, after in zip(words, [*words[1:], ""], strict=False):
        parts.append(word)
        swallows = word[0] == "\\" and word[-1].isalpha() and after[:1].isalpha()
        if swallows or (word == "\\\\" and after and after in "[]()"):
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
    if match := _ENVIRONMENT.match(formula):
        end = f"\\end{{{match[1]}}}"
        return formula[match.end() : -len(end)] if formula.find(end) == len(formula) - len(end) else None
    return None


def _end(formula: str, start: int, opening: str, closing: str) -> int:
    """Where the delimiter that was opened before `start` closes, whatever braces and further pairs hold; -1 if it does
    not.
    """
    first = -1
    braces = pairs = 0
    for match in MARK.finditer(formula, start):
        mark = match[0]
        if mark == closing:
            if first < 0:
                first = match.start()
            if braces <= 0 and pairs == 0:
                return match.start()
            pairs -= 1 if braces <= 0 else 0
        elif mark == opening:
            pairs += 1 if braces <= 0 else 0
        else:
            braces += {"{": 1, "}": -1}.get(mark, 0)
    return first  # a brace is never closed: that is for `check` to say


def is_length(text: str) -> bool:
    """Is this a length, such as `2pt` or `- 0 . 5 \\baselineskip`?"""
    return _LENGTH.fullmatch("".join(text.split())) is not None


def without_row_skips(formula: str) -> str:
    """`formula` without the lengths of `\\\\[2pt]`, and with a blank (or `{}`) between `\\\\` and a bracket that
    stays. Idempotent.
    """
    if "\\\\" not in formula:
        return formula
    parts: list[str] = []
    done = 0
    for match in BACKSLASHED.finditer(formula):
        if match[0] != "\\\\" or match.start() < done:
            continue
        end = after = match.end()
        while (bracket := ROW_SKIP.match(formula, after)) and is_length(bracket[1]):
            after = bracket.end()
        parts += [
            formula[done:end],
            _parted(formula, after, skipped=after > end),
        ]
        done = after
    return "".join([*parts, formula[done:]])


def _parted(formula: str, place: int, *, skipped: bool) -> str:
    """What must stand between `\\\\` and what comes at `place`, behind the length that was skipped or the row end
    itself.
    """
    if skipped and _OPENS.match(formula, place):
        return "{}"  # an array would look for a length again, across a blank too
    return " " if formula[place : place + 1] in ("[", "]", "(", ")") else ""


def without_dollars(formula: str) -> str:
    """`formula` with `$…$` inside its braces as `\\(…\\)`; other dollar signs are left, for someone to
    complain about.
    """
    if "$" not in formula:
        return formula
    depth, places = 0, []
    for match in MARK.finditer(formula):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if match[0] == "$":
            if depth <= 0:
                return formula
            places.append(match.start())
    if len(places) % 2 or "$$" in formula:
        return formula
    parts = [formula[start + 1 : end] for start, end in zip([-1, *places], [*places, len(formula)], strict=True)]
    return parts[0] + "".join(("\\(" if index % 2 == 0 else "\\)") + part for index, part in enumerate(parts[1:]))
