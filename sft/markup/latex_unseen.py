"""What stands in a formula and leaves no ink: comments, `\\label{…}`, `\\nonumber`, a `\\\\` after the last row. No
model can read it.

`\\tag{…}` is printed and stays. Everything goes by TeX's own rules: a percent sign is `\\%`, and a bare `%` hides the
rest of its line, in `\\text` and between rows too.
"""

from __future__ import annotations

import re

from sft.markup.latex_groups import closings
from sft.markup.latex_tokens import ROW_SKIP, is_length, strip_delimiters, trim

_ADDRESS = r"\\(?:url|nolinkurl|path|href)\s?\{(?:[^{}]|\{[^{}]*\})*\}"
_VERBATIM = r"\\(?:verb|lstinline)\*?([^A-Za-z*\s\\{])[^\n]*?\1"
_COMMENT = re.compile(rf"{_VERBATIM}|{_ADDRESS}|\\.|(?P<comment>%[^\n]*(?:\n[^\S\n]*)?)", re.DOTALL)
# Command → how many arguments go with it
_WRITTEN = {"label": 1, "index": 1, "glossary": 1}  # TeX puts a mark there: a script behind it hangs on the mark
_SET = {
    **dict.fromkeys(("nonumber", "notag", "allowdisplaybreaks", "displaybreak", "phantomsection"), 0),
    **dict.fromkeys(("refstepcounter", "stepcounter"), 1),
    **dict.fromkeys(("setcounter", "addtocounter"), 2),
}
_ARGUMENTS = _WRITTEN | _SET
_MARK = re.compile(rf"{_VERBATIM}|\\(?:(?P<name>[A-Za-z]+)|.)", re.DOTALL)
_WORTH_A_LOOK = re.compile(rf"\\(?:{'|'.join(_ARGUMENTS)})(?![A-Za-z])")
_OPTION = re.compile(r"\s{0,9}\[\d?\]")
_SPACE = re.compile(r"\s*")
_NAME_LAST = re.compile(r"\\[A-Za-z]+\Z")
_LONGEST_NAME = 40  # letters of a command

Cut = tuple[int, int, bool]  # what is taken out, and whether a mark of TeX's went with it


def without_unseen(formula: str) -> str:
    """`formula` without comments, without commands that print nothing, without `\\\\` before its first and after its
    last row. Idempotent.

    The picture stays the same. Row ends inside an environment stay: some environments draw the empty row.
    """
    while True:
        shorter = without_row_ends(without_marks(without_comments(formula)))
        if shorter == formula:
            return formula
        formula = shorter


def unseen(formula: str) -> str:
    """What of `formula`, with or without delimiters, cannot be seen: "a comment", "\\\\label" …; "" where all of it
    can.
    """
    if "%" not in formula and "\\\\" not in formula and not _WORTH_A_LOOK.search(formula):
        return ""
    body = strip_delimiters(formula)
    if _comments(body):
        return "a comment (% and the rest of its line)"
    if spans := _marks(body):
        match = _WORTH_A_LOOK.match(body, spans[0][0])
        return match[0] if match else ""
    return "" if without_row_ends(body) == body else "\\\\ without a row"


def without_comments(formula: str) -> str:
    """`formula` without each bare `%`, the rest of its line, its line end, and the white space that begins the next
    line.
    """
    return _cut(formula, _comments(formula))


def without_marks(formula: str) -> str:
    """`formula` without `\\label{…}`, `\\index{…}`, `\\nonumber`, `\\notag` and their like."""
    return _cut(formula, _marks(formula))


def _comments(formula: str) -> list[Cut]:
    if "%" not in formula:
        return []
    return [(*match.span(), False) for match in _COMMENT.finditer(formula) if match["comment"]]


def _marks(formula: str) -> list[Cut]:
    if not _WORTH_A_LOOK.search(formula):
        return []
    closing = closings(formula)
    spans: list[Cut] = []
    done = 0
    for match in _MARK.finditer(formula):
        name = match["name"]
        if match.start() < done or name not in _ARGUMENTS:
            continue
        end = _end_of_arguments(formula, match.end(), _ARGUMENTS[name], closing)
        if end is not None:
            spans.append((match.start(), end, name in _WRITTEN))
            done = end
    return spans


def _end_of_arguments(formula: str, place: int, count: int, closing: dict[int, int]) -> int | None:
    """Where the `count` groups behind `place` end; None where there are fewer."""
    if not count:
        option = _OPTION.match(formula, place)
        return option.end() if option else place
    for _ in range(count):
        opening = _after_space(formula, place)
        if opening not in closing:
            return None
        place = closing[opening] + 1
    return place


def _after_space(formula: str, place: int) -> int:
    match = _SPACE.match(formula, place)
    return match.end() if match else place


def _cut(formula: str, spans: list[Cut]) -> str:
    """`formula` without `spans`, and with what keeps its parts from running into each other."""
    if not spans:
        return formula
    parts: list[str] = []
    done = 0
    for start, end, written in _merged(spans):
        parts += [
            formula[done:start],
            _between(formula, start, end, written=written),
        ]
        done = end
    return "".join([*parts, formula[done:]])


def _merged(spans: list[Cut]) -> list[Cut]:
    merged: list[Cut] = []
    for start, end, written in spans:
        if merged and merged[-1][1] == start:
            merged[-1] = merged[-1][0], end, written or merged[-1][2]
        else:
            merged.append((start, end, written))
    return merged


def _between(formula: str, start: int, end: int, *, written: bool) -> str:
    """What must stand in the place of formula[start:end], so that TeX reads what is around it as before."""
    before = formula[max(0, start - _LONGEST_NAME) : start]
    after = formula[_after_space(formula, end) :][:1]
    comment = formula[start] == "%"
    if written and after and after in "^_'":
        return "{}"
    if not comment and after and after in "[*" and before.rstrip().endswith("\\\\"):
        return "{}"  # no length of the row end
    return " " if formula[end : end + 1].isalpha() and _NAME_LAST.search(before) else ""


def without_row_ends(formula: str) -> str:
    """`formula` without `\\\\`, `\\\\*` and `\\\\[2pt]` before its first row and after its last one."""
    if "\\\\" not in formula:
        return formula
    start = _after_space(formula, 0)
    while formula.startswith("\\\\", start):
        start = _after_space(formula, _after_skip(formula, start + 2))
    end = len(without_last_row_end(formula))
    if end <= start:
        return ""
    whole = start == _after_space(formula, 0) and end == len(formula)
    return formula if whole else trim(formula[start:end])


def without_last_row_end(formula: str) -> str:
    """`formula` without the row ends that it ends with."""
    end = len(formula)
    while (shorter := _before_row_end(formula, end)) is not None:
        end = shorter
    return formula[:end]


def _after_skip(formula: str, place: int) -> int:
    """Behind the star and the length of a row end at `place`, if it has them."""
    place += formula.startswith("*", place)
    match = ROW_SKIP.match(formula, place)
    return match.end() if match and is_length(match[1]) else place


def _before_row_end(formula: str, end: int) -> int | None:
    """Where the row end stands that ends formula[:end]; None if none does."""
    head = formula[:end].rstrip()
    if head.endswith("]") and (opening := head.rfind("[", -70)) >= 0 and is_length(head[opening + 1 : -1]):
        head = head[:opening].rstrip()
    head = head.removesuffix("*")
    backslashes = len(head) - len(head.rstrip("\\"))
    return len(head) - backslashes if backslashes and backslashes % 2 == 0 else None
