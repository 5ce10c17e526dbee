"""Checks of what a label says, whatever its task: damaged, invisible and doubtful characters, white space, two
spellings of one look, leftovers of other markup; and how `--fix` fixes those that have one right form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.entities import html5
from typing import NamedTuple

from sft.markup import (
    PLACEHOLDERS,
    arabic,
    composed,
    controls,
    ink_hyphens,
    invisible,
    is_composed,
    lookalikes,
    marks_missing,
    odd_blanks,
    spelling,
    tidy_blanks,
    without_invisible,
)
from sft.reasons import make, shorten
from sft.types import Problem, Task

BLANK_CORNER = (  # how a chart begins whose first header is blank, in the official samples; stripped, it means the same
    "  | "
)
FIXES = "`sft validate --fix` fixes it"
HTML_TABLE = re.compile(r"<(?:table|thead|tbody|tr|td|th)\b[^<>]*>", re.IGNORECASE)
_WHOLE_TABLE = re.compile(
    r"(?:<(?:!doctype|html|body)\b[^<>]*>\s*)*<(?:table|thead|tbody|tr)\b(?=.*<t[dh]\b).*>", re.DOTALL | re.IGNORECASE
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TOKEN = re.compile(r"<(?:[felux]cel|nl)>")
_PLAIN_TEXT = (Task.OCR, Task.SEAL, Task.SPOTTING)


class _Check(NamedTuple):
    """A question about the characters of a label. `find` names what is wrong, or gives None; `said` makes a message of
    it.
    """

    code: str
    find: Callable[[str], str | None]
    said: str
    hint: str


def _not_composed(text: str) -> str | None:
    return None if is_composed(text) else "NFC"


# Of every task. White space, which depends on the task, and missing marks, which are counted, are asked about apart.
CHECKS = (
    _Check("language.lookalikes", lookalikes, "letters of two scripts in {!r}", "type the word in one script"),
    _Check("language.invisible", invisible, "{} inside: characters that cannot be seen", FIXES),
    _Check("language.unicode_form", _not_composed, "not in Unicode form {}", FIXES),
    _Check(
        "language.presentation_forms",
        arabic.presentation_forms,
        "shapes of Arabic letters in place of letters: {}",
        f"{FIXES} where fonts would choose the same shapes; letters in the order of the screen are to be typed anew",
    ),
    _Check(
        "language.yeh_kaf",
        arabic.mixed_yeh_kaf,
        "{!r} has a yeh or kaf of Arabic beside letters of Persian",
        f"write ی and ک; {FIXES} where the word has one of them already",
    ),
    _Check(
        "language.spelling",
        spelling.misspelt,
        "{}: the same look in another spelling",
        f"{FIXES} where there is one right spelling",
    ),
    _Check(
        "language.stray_mark",
        spelling.stray_mark,
        "{} stands on no letter",
        "a blank or a line end too many, or the letter is missing; a mark that is shown alone stands on U+25CC",
    ),
)


def accused(text: str) -> bool:
    """Whether the characters of a label can be accused of anything, but for its ends, its task and missing marks."""
    return (
        "\ufffd" in text
        or controls(text) is not None
        or odd_blanks(text) is not None
        or any(check.find(text) is not None for check in CHECKS)
    )


def check_characters(text: str, task: Task, where: str, line: int) -> Iterator[Problem]:
    """What is wrong with the characters of an answer."""
    if script := marks_missing(text):
        said = f"{where} is {script} (almost) without its combining marks"
        yield make(
            "language.marks",
            said,
            line,
            "a primer may be right; otherwise the labels were cleaned with a pattern like \\w",
        )
    for check in CHECKS:
        if cause := check.find(text):
            yield make(
                check.code,
                f"{where}: {check.said.format(shorten(cause, 60))}",
                line,
                check.hint,
            )
    if cause := odd_blanks(text.strip(), cells=task is Task.CHART):
        yield make("target.white_space", f"{where}: white space that is not a plain space ({cause})", line, FIXES)


def check_leftovers(text: str, task: Task | None, where: str, line: int) -> Iterator[Problem]:
    """What some other notation or tool has left in an answer: placeholders, HTML where plain text is asked for, and
    character references. `task`: None for a prompt of the user's own, which may well ask for HTML.
    """
    if text.strip() in PLACEHOLDERS:
        yield make("target.placeholder", f"{where} is {text.strip()!r}", line, "label the image, or drop the row")
    if task in _PLAIN_TEXT and is_html_table(text):
        hint = "tables have a prompt of their own, and are trained as OTSL: `sft convert --task table` writes it"
        yield make("target.html", f"{where} is an HTML table under a prompt for plain text", line, hint)
    if task is not Task.FORMULA and (sign := reference(text)):
        yield make("target.reference", f"{where} holds {sign}", line, "write the character itself: & for &amp;")


def is_html_table(text: str) -> bool:
    """Is `text` HTML of a table with cells, and nothing before or behind it?"""
    return "<" in text and _WHOLE_TABLE.fullmatch(text.strip()) is not None


def reference(text: str) -> str | None:
    """The first character reference of HTML in `text` ("&amp;", "&#160;"); None if there is none."""
    if "&" not in text:
        return None
    match = (match[0] for match in _ENTITY.finditer(text))
    return next(
        (name for name in match if name[1] == "#" or name[1:] in html5),
        None,
    )


def repair(text: str, task: Task, *, persian: bool = True) -> tuple[str, list[str]]:
    """(the label with the one right form of whatever has one, the codes of what was fixed). Idempotent.

    `persian`: ي and ك become ی and ک in words that have one of these. A table keeps its tokens, and a label of which
    nothing would be left stays as it is.
    """
    cells = task is Task.CHART
    steps: list[tuple[str, Callable[[str], str]]] = [
        ("language.invisible", _without_invisible if task in _PLAIN_TEXT else without_invisible),
        ("language.unicode_form", composed),
        ("language.presentation_forms", arabic.plain_letters),
        ("language.spelling", spelling.respelt),
        ("language.yeh_kaf", arabic.persian_letters if persian else str),
        ("target.white_space", lambda text: _inside(text, lambda inner: tidy_blanks(inner, cells=cells))),
        ("target.outer_space", _stripped),
    ]
    fixed, codes = text, []
    for code, step in steps:
        after = step(fixed)
        if after != fixed:
            fixed = after
            codes.append(code)
    fixed = composed(fixed)
    if not fixed.strip() or _TOKEN.findall(fixed) != _TOKEN.findall(text):
        return text, []
    return fixed, codes


def _without_invisible(text: str) -> str:
    """A text without what cannot be seen; a soft hyphen at the end of a line can, and is a hyphen."""
    return without_invisible(ink_hyphens(text))


def _stripped(text: str) -> str:
    corner = BLANK_CORNER if text.startswith(BLANK_CORNER) else ""
    return corner + text[len(corner) :].strip()


def _inside(text: str, function: Callable[[str], str]) -> str:
    """`text` with its white space at both ends, and what `function` makes of the rest."""
    inner = text.strip()
    start = text.find(inner)
    return text[:start] + function(inner) + text[start + len(inner) :]
