"""HTML → OTSL and HTML → grid without a tree, for tables as data sets write them; the slow way in `html.py` is their definition.

Works on whole rows with `str.replace`, `str.split` and `str.join`, and touches single cells only where a span is. Whatever is
unusual (a count that does not add up, markup inside a cell, ragged rows, overlaps, references it does not know) is left to the slow way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from sft.markup.celltext import CJK_CLASS
from sft.markup.grid import Grid
from sft.markup.html_cells import SubSup
from sft.markup.html_rows import ATTRIBUTES as _ATTRIBUTES
from sft.markup.html_rows import HEADING as _HEADING
from sft.markup.html_rows import GridRows, otsl_lines
from sft.markup.numbers import keep_numbers

LONGEST = 64 * 1024 * 1024  # characters
T = TypeVar("T")

_ROW = re.compile(f"<tr({_ATTRIBUTES.pattern})>")
_SPACES = re.compile(r"[ \t\n\r\f]+")
_CJK_BREAK = re.compile(f"[{CJK_CLASS}][ \\t\\n\\r\\f]+[{CJK_CLASS}]")
_PRINTABLE = r"!-~\xa1-\xac\xae-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\u27ff\u2801-\u2fff\u3001-\u3163\u3165-\ufefe\uff01-\uff9f\uffa1-\U0010ffff"
_EDGE = re.compile(f"[<>][^{_PRINTABLE}<>]|[^{_PRINTABLE}<>][<>]")  # white space or something invisible where a text begins or ends
_DOLLARS = re.compile(r"\$[^$<]*\$")
_SPLIT_REFERENCE = re.compile(r"&[#\w]*<")
_REFERENCES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#x27;", "'"), ("&#39;", "'"))  # and &amp;, which comes last
_INLINE = re.compile(r"</?(?:b|i|em|strong|su[bp]|u|span)>")
_BREAK = re.compile(r"<br ?/?>")
_GROUP_TAGS = ("<thead>", "<tbody>", "</thead>", "</tbody>")


def fast_otsl(text: str, *, sub_sup: SubSup = "plain") -> str | None:
    """The OTSL of an ordinary table; None for what only the slow way reads."""
    return _tried(text, sub_sup, _otsl, heading="<td>")


def fast_grid(text: str, *, sub_sup: SubSup = "plain") -> Grid | None:
    """The grid of an ordinary table; None for what only the slow way reads."""
    return None if _HEADING in text else _tried(text, sub_sup, _grid, heading=f"<td {_HEADING}>")


def _tried(text: str, sub_sup: SubSup, convert: Callable[[list[str], int], T | None], heading: str) -> T | None:
    """What `convert` makes of the row groups of the table as it is, evened out, or without inline tags."""
    text = text.strip()
    opened = text.find(">") + 1
    if text[:6] != "<table" or text[-8:] != "</table>" or len(text) > LONGEST or (opened > 7 and not _ATTRIBUTES.fullmatch(text, 6, opened - 1)):
        return None
    body: str | None = text[opened:-8]
    tags = _tags_of_tidy(text)
    if tags and (done := convert([text[opened:-8]], tags - 2)) is not None:
        return done
    body = _even(text[opened:-8], heading)
    done = convert(_split(body), 0) if body else None
    if done is None and body and sub_sup == "plain" and (_INLINE.search(body) or _BREAK.search(body)) and not ("&" in body and _SPLIT_REFERENCE.search(body)):
        body = _even(_BREAK.sub("\n", _INLINE.sub("", keep_numbers(text[opened:-8]))), heading)
        done = convert(_split(body), 0) if body else None
    return done


def _tags_of_tidy(text: str) -> int:
    """How many tags there are in a table without white space that HTML would not show; 0 if there is such space, or "<" and ">" do not match."""
    if "\n" in text or "\t" in text or "\r" in text or "\f" in text or ("&" in text and "&nbsp;" in text):
        return 0
    if len(text) < 4000:  # where numpy's calls cost more than they save
        tags = text.count("<")
        return 0 if "  " in text or "> " in text or " <" in text or text.count(">") != tags else tags
    import numpy

    characters = numpy.frombuffer(text.encode("utf-8", "surrogatepass"), numpy.uint8)
    space, opens, ends = characters == 32, characters == 60, characters == 62  # " ", "<", ">"
    if (space[1:] & (space[:-1] | ends[:-1])).any() or (space[:-1] & opens[1:]).any():
        return 0
    tags = int(numpy.count_nonzero(opens))
    return tags if tags == numpy.count_nonzero(ends) else 0


def _otsl(groups: list[str], counted: int) -> str | None:
    """The OTSL of the row groups of a table; None if one is not ordinary. `counted`: the tags of the only group, 0 if not known."""
    out: list[str] = []
    width = 0
    for group in groups:
        converted = otsl_lines(group, width)
        if converted is None:
            return None
        width, tags, otsl = converted
        # every "<" and ">" is one of a tag that was seen, so no text holds one and no tag was missed
        if counted != tags and (counted or group.count("<") != tags or group.count(">") != tags):
            return None
        out.append(otsl)
    otsl = "".join(out)
    if _needs_care(otsl):
        return None
    otsl = otsl.replace("<fcel><", "<ecel><").replace("<fcel><", "<ecel><")
    return _read_references(otsl) if "&" in otsl else otsl


def _grid(groups: list[str], counted: int) -> Grid | None:
    """The grid of the row groups of a table; None if one is not ordinary. `counted` as in `_otsl`."""
    grid = GridRows()
    for group in groups:
        heading = group[:1] == _HEADING
        rows = group[heading:]
        if rows[:7] != "<tr><td" or rows[-10:] != "</td></tr>":
            return None
        tags = grid.add(rows[7:-10].split("</td></tr><tr><td"), heading)
        if not tags or (counted != tags and (counted or rows.count("<") != tags or rows.count(">") != tags)):
            return None
    texts = "<".join(["<".join(filter(None, row)) for row in grid.rows])
    if _needs_care(f"<{texts}<"):
        return None
    if "&" in texts:
        for row in grid.rows:
            for column, text in enumerate(row):
                if text and "&" in text:
                    row[column] = _read_references(text)
                    if row[column] is None:
                        return None
    return Grid(tuple(map(tuple, grid.rows)), grid.spans, frozenset(grid.headers))


def _even(body: str, heading: str) -> str | None:
    """The table with `heading` for `<th>`, bare `<tr>`, and no white space that HTML would not show; None if its texts need care."""
    if "<th" in body:
        body = body.replace("<th>", heading).replace("<th ", heading[:-1] + " ").replace("</th>", "</td>")
    if "&nbsp;" in body:
        body = body.replace(">&nbsp;<", "><").replace("&nbsp;", "\xa0")
    if not body.isascii() and _CJK_BREAK.search(body):
        return None
    body = _SPACES.sub(" ", body).replace("> ", ">").replace(" <", "<")
    return _ROW.sub("<tr>", body) if "<tr " in body else body


def _needs_care(otsl: str) -> bool:
    """True if a text may begin or end with what is not seen, or hold a formula between dollar signs."""
    if otsl.isascii():
        if "\x0b" in otsl or "\x1c" in otsl or "\x1d" in otsl or "\x1e" in otsl or "\x1f" in otsl:
            return True
    elif (not otsl.isprintable() or "\u2800" in otsl or "\u3164" in otsl or "\uffa0" in otsl) and _EDGE.search(otsl):
        return True
    return "$" in otsl and _DOLLARS.search(otsl) is not None


def _split(body: str) -> list[str]:
    """The rows of each row group, those of a `<thead>` marked in front. [""] if its tags are not simply one pair after another."""
    if "<thead>" not in body and "<tbody>" not in body:
        return [body]
    for index, tag in enumerate(_GROUP_TAGS):
        body = body.replace(tag, f"\0{index}")
    groups: list[str] = []
    kind = ""
    pieces = body.split("\0")
    if pieces[0]:
        groups.append(pieces[0])
    for piece in pieces[1:]:
        code, rows = piece[:1], piece[1:]
        if kind:  # an open group is ended by its own tag
            if (kind, code) not in (("0", "2"), ("1", "3")):
                return [""]
            kind = ""
        elif code in ("0", "1"):
            kind = code
        else:
            return [""]
        if rows:
            groups.append(_HEADING + rows if code == "0" else rows)
    return [""] if kind or not groups else groups


def _read_references(otsl: str) -> str | None:
    """References as what they stand for; None if there are others than the usual ones, or one spells a token."""
    if "cel&gt;" in otsl or "nl&gt;" in otsl:
        return None
    left = otsl.count("&") - otsl.count("&amp;")
    for name, character in _REFERENCES:
        if not left:
            break
        before = len(otsl)
        otsl = otsl.replace(name, character)
        left -= (before - len(otsl)) // (len(name) - 1)
    return None if left else otsl.replace("&amp;", "&")
