"""HTML → OTSL and HTML → grid without a tree, for tables as data sets write them; the slow way in `html.py` is their
definition.

Works on whole rows with `str.replace`, `str.split` and `str.join`, and touches single cells only where a span is.
Whatever is unusual (a count that does not add up, markup inside a cell, ragged rows, overlaps, references it does not
know) is left to the slow way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from sft.markup.cell_text import WIDE_BLANK, WIDE_BLANKS, keep_numbers
from sft.markup.grid import SLOTS, Grid
from sft.markup.html_tokenizer import SubSup, spans_of
from sft.markup.html_tokens import HIDING_SCRIPT, may_hide
from sft.markup.unicode_scripts import UNSPACED_CLASS

ATTRIBUTES = re.compile(r"""(?: [^\s"'<>/=&]+(?:=(?:"[^"<>&]*"|'[^'<>&]*'|[^\s"'<>=&`]+))?)* ?""")
HEADING = "\x01"  # stands as an attribute in what was a <th>, and in front of the rows of a <thead>
_UNDER = ("", "<ucel>", "<ucel><xcel>", "<ucel><xcel><xcel>")

CarriedCell = tuple[int, int, int]  # from above: column, rows left, columns


@lru_cache(maxsize=4096)
def spans(attributes: str) -> tuple[int, int] | None:
    """(row span, column span); None for attributes that a regular expression should not judge, or that may hide the
    cell.
    """
    return (
        spans_of(attributes)
        if len(attributes) < 1000 and ATTRIBUTES.fullmatch(" " + attributes) and not may_hide(attributes)
        else None
    )


def otsl_lines(group: str, width: int) -> tuple[int, int, str] | None:
    """Columns, tags and OTSL of one row group (blank cells as `<fcel>`, references as they are); None if it is not
    ordinary.

    `width`: columns of the groups before it, 0 for the first.
    """
    if group[:1] == HEADING:
        group = group[1:]
    if group[:7] != "<tr><td" or group[-10:] != "</td></tr>":
        return None
    rows = group[7:-10].split("</td></tr><tr><td")
    out = []
    tags = 2 * len(rows)
    left = len(rows)
    above: list[CarriedCell] = []
    for row in rows:
        if not above and "</td><td " not in row and row[:1] == ">":
            line = row.replace("</td><td>", "<fcel>")
            cells = reach = (len(row) - len(line)) // 3 + 1
            out.append("<fcel" + line)
        else:
            placed = otsl_line(row, above, left)
            if placed is None:
                return None
            line, cells, reach, above = placed
            out.append(line)
        tags += 2 * cells
        left -= 1
        if reach != width:
            if width or reach * len(rows) > SLOTS:
                return None
            width = reach
    out.append("")
    return width, tags, "<nl>".join(out)


def otsl_line(row: str, above: list[CarriedCell], left: int) -> tuple[str, int, int, list[CarriedCell]] | None:
    """OTSL, cells, columns and spans for the row below, of a row with spans or under one; `left`: rows of the group
    from this one on.
    """
    if row[:1] not in (">", " "):
        return None
    pieces: list[str | None] = [*row[1:].split("</td><td "), None]
    cells: list[str] = pieces.pop(0).split("</td><td>") if row[0] == ">" else []  # type: ignore[union-attr]
    shift = index = 0  # columns beyond the cells so far; spans from above that are placed
    front = ""
    below: list[CarriedCell] = []
    for piece in pieces:  # each begins with the attributes of a cell; the last one is the end of the row
        column = len(cells) + shift
        while index < len(above) and above[index][0] <= column:
            start, rows, width = above[index]
            token = _UNDER[width] if width < 4 else "<ucel>" + "<xcel>" * (width - 1)
            if start > shift:
                cells[start - shift - 1] += token
            else:
                front += token
            if rows > 1:
                below.append((start, rows - 1, width))
            shift += width
            column += width
            index += 1
        if piece is None:
            break
        attributes, end, texts = piece.partition(">")
        span = spans(attributes)
        if span is None or not end:
            return None
        first = len(cells)
        cells += texts.split("</td><td>")
        height, width = span
        if height != 1 and left > 1:
            below.append((column, min(height or left, left) - 1, width))
        if width > 1:
            if index < len(above) and above[index][0] < column + width:
                return None  # an overlap
            cells[first] += "<lcel>" * (width - 1)
            shift += width - 1
    if index < len(above):
        return None  # a gap
    return front + "<fcel>" + "<fcel>".join(cells), len(cells), len(cells) + shift, below


class GridRows:
    """The rows of a grid in the making (`rows`, `spans` and `headers` as in `Grid`)."""

    def __init__(self) -> None:
        self.rows: list[list[str | None]] = []
        self.spans: dict[tuple[int, int], tuple[int, int]] = {}
        self.headers: set[tuple[int, int]] = set()

    def add(self, rows: list[str], heading: bool) -> int:
        """Puts the rows of one group below; how many tags there should be in it, 0 if it is not ordinary."""
        tags = 2 * len(rows)
        left = len(rows)
        width = len(self.rows[0]) if self.rows else 0
        above: list[CarriedCell] | None = []
        for row in rows:
            if not above and row[:1] == ">" and "</td><td " not in row:
                line: list[str | None] = row[1:].split("</td><td>")  # type: ignore[assignment]
                tags += 2 * len(line)
            else:
                line = []
                above = self.place(row, above or [], left, line)
                if above is None:
                    return 0
                tags += 2 * (len(line) - line.count(None))
            left -= 1
            if len(line) != width:
                if width or len(line) * len(rows) > SLOTS:
                    return 0
                width = len(line)
            if heading:
                self.headers.update([(len(self.rows), column) for column, text in enumerate(line) if text is not None])
            self.rows.append(line)
        return tags

    def place(self, row: str, above: list[CarriedCell], left: int, line: list[str | None]) -> list[CarriedCell] | None:
        """Fills the `line` of a row with spans or under one; the spans for the row below, None if it is not
        ordinary.
        """
        pieces = row.split("</td><td ")
        if row[:1] == ">":
            line += pieces[0][1:].split("</td><td>")
            pieces[0] = ""
        elif row[:1] == " ":
            pieces[0] = row[1 : len(pieces[0])]
        else:
            return None
        number = len(self.rows)
        below: list[CarriedCell] = []
        waiting = [*above, (SLOTS + 1, 0, 0)]  # the last one is never reached
        index = _under(line, waiting, 0, below)
        for piece in pieces:
            if not piece:
                continue
            attributes, end, texts = piece.partition(">")
            span = spans(attributes)
            if span is None or not end:
                return None
            column = len(line)
            text, *others = texts.split("</td><td>")
            line.append(text)
            height = min(span[0] or left, left)
            width = span[1]
            if height > 1:
                below.append((column, height - 1, width))
            if width > 1:
                if waiting[index][0] < column + width:
                    return None  # an overlap
                line += [None] * (width - 1)
            if height > 1 or width > 1:
                self.spans[number, column] = (height, width)
            if HEADING in attributes:
                self.headers.add((number, column))
            line += others
            index = _under(line, waiting, index, below)
        return below if index == len(above) else None  # None: a gap


def _under(line: list[str | None], waiting: list[CarriedCell], index: int, below: list[CarriedCell]) -> int:
    """Puts the spans from above, from the one at `index` on, into the line where they belong; the first that
    is left.
    """
    while waiting[index][0] <= len(line):
        start, rows, width = waiting[index]
        line[start:start] = [None] * width
        if rows > 1:
            below.append((start, rows - 1, width))
        index += 1
    return index


LONGEST = 64 * 1024 * 1024  # characters
T = TypeVar("T")

_ROW = re.compile(f"<tr({ATTRIBUTES.pattern})>")
_SPACES = re.compile(r"[ \t\n\r\f]+")
_BREAK_WITHOUT_BLANK = re.compile(f"[{UNSPACED_CLASS}][ \\t\\f]*[\\n\\r][ \\t\\n\\r\\f]*[{UNSPACED_CLASS}]")
_PRINTABLE = (
    r"!-~\xa1-\xac\xae-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\u27ff\u2801-\u2fff"
    r"\u3001-\u3163\u3165-\ufefe\uff01-\uff9f\uffa1-\U0010ffff"
)
_EDGE = re.compile(
    f"[<>][^{_PRINTABLE}<>]|[^{_PRINTABLE}<>][<>]"
)  # white space or something invisible where a text begins or ends
_DOLLARS = re.compile(r"\$[^$<]*\$")
_SPLIT_REFERENCE = re.compile(r"&[#\w]*<")
_REFERENCES = (
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", '"'),
    ("&#x27;", "'"),
    ("&#39;", "'"),
)  # and &amp;, which comes last
_INLINE = re.compile(r"</?(?:b|i|em|strong|su[bp]|u|span)>")
_BREAK = re.compile(r"<br ?/?>")
_GROUP_TAGS = ("<thead>", "<tbody>", "</thead>", "</tbody>")


def fast_otsl(text: str, *, sub_sup: SubSup = "plain") -> str | None:
    """The OTSL of an ordinary table; None for what only the slow way reads."""
    return _tried(text, sub_sup, _otsl, heading="<td>")


def fast_grid(text: str, *, sub_sup: SubSup = "plain") -> Grid | None:
    """The grid of an ordinary table; None for what only the slow way reads."""
    return None if HEADING in text else _tried(text, sub_sup, _grid, heading=f"<td {HEADING}>")


def _tried(text: str, sub_sup: SubSup, convert: Callable[[list[str], int], T | None], heading: str) -> T | None:
    """What `convert` makes of the row groups of the table as it is, evened out, or without inline tags."""
    text = text.strip()
    opened = text.find(">") + 1
    if text[:6] != "<table" or text[-8:] != "</table>" or len(text) > LONGEST:
        return None
    if opened > 7 and (not ATTRIBUTES.fullmatch(text, 6, opened - 1) or may_hide(text[6:opened])):
        return None
    body: str | None = text[opened:-8]
    tags = _tags_of_tidy(text)
    if (
        tags
        and (
            done := convert(
                [text[opened:-8]],
                tags - 2,
            )
        )
        is not None
    ):
        return done
    body = _even(text[opened:-8], heading)
    done = convert(_split(body), 0) if body else None
    if (
        done is None
        and body
        and sub_sup == "plain"
        and (_INLINE.search(body) or _BREAK.search(body))
        and not HIDING_SCRIPT.search(body)
        and not ("&" in body and _SPLIT_REFERENCE.search(body))
    ):
        body = _even(
            _BREAK.sub("\n", _INLINE.sub("", keep_numbers(text[opened:-8]))),
            heading,
        )
        done = convert(_split(body), 0) if body else None
    return done


def _tags_of_tidy(text: str) -> int:
    """How many tags there are in a table without white space that HTML would not show; 0 if there is such space, or
    "<" and ">" do not match.
    """
    if "\n" in text or "\t" in text or "\r" in text or "\f" in text or ("&" in text and "&nbsp;" in text):
        return 0
    if len(text) < 4000:  # where numpy's calls cost more than they save
        tags = text.count("<")
        return 0 if "  " in text or "> " in text or " <" in text or text.count(">") != tags else tags
    import numpy

    characters = numpy.frombuffer(text.encode("utf-8", "surrogatepass"), numpy.uint8)
    space = characters == 32
    opens = characters == 60
    ends = characters == 62  # " ", "<", ">"
    if (space[1:] & (space[:-1] | ends[:-1])).any() or (space[:-1] & opens[1:]).any():
        return 0
    tags = int(numpy.count_nonzero(opens))
    return tags if tags == numpy.count_nonzero(ends) else 0


def _otsl(groups: list[str], counted: int) -> str | None:
    """The OTSL of the row groups of a table; None if one is not ordinary. `counted`: the tags of the only group, 0 if
    not known.
    """
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
        heading = group[:1] == HEADING
        rows = group[heading:]
        if rows[:7] != "<tr><td" or rows[-10:] != "</td></tr>":
            return None
        tags = grid.add(
            rows[7:-10].split("</td></tr><tr><td"),
            heading,
        )
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
    return Grid(
        tuple(map(tuple, grid.rows)),
        grid.spans,
        frozenset(grid.headers),
    )


def _even(body: str, heading: str) -> str | None:
    """The table with `heading` for `<th>`, bare `<tr>`, and no white space that HTML would not show; None if its texts
    need care.
    """
    if "<th" in body:
        body = (
            body.replace("<th>", heading)
            .replace("<th ", heading[:-1] + " ")
            .replace(
                "</th>",
                "</td>",
            )
        )
    if "&nbsp;" in body:
        body = body.replace(">&nbsp;<", "><").replace("&nbsp;", "\xa0")
    if not body.isascii():
        if _BREAK_WITHOUT_BLANK.search(body):
            return None
        if any(map(body.__contains__, WIDE_BLANKS)):
            body = WIDE_BLANK.sub(" ", body)
    body = _SPACES.sub(" ", body).replace("> ", ">").replace(" <", "<")
    if "<tr " not in body:
        return body
    return None if any(map(may_hide, set(_ROW.findall(body)))) else _ROW.sub("<tr>", body)


def _needs_care(otsl: str) -> bool:
    """True if a text may begin or end with what is not seen, or hold a formula between dollar signs or what only looks
    like a blank.
    """
    if otsl.isascii():
        if "\x0b" in otsl or "\x1c" in otsl or "\x1d" in otsl or "\x1e" in otsl or "\x1f" in otsl:
            return True
    elif (not otsl.isprintable() or "\u2800" in otsl or "\u3164" in otsl or "\uffa0" in otsl) and (
        _EDGE.search(otsl) or WIDE_BLANK.search(otsl)
    ):
        return True
    return "$" in otsl and _DOLLARS.search(otsl) is not None


def _split(body: str) -> list[str]:
    """The rows of each row group, those of a `<thead>` marked in front.

    [""] if its tags are not simply one pair after another.
    """
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
        code = piece[:1]
        rows = piece[1:]
        if kind:  # an open group is ended by its own tag
            if (kind, code) not in (("0", "2"), ("1", "3")):
                return [""]
            kind = ""
        elif code in ("0", "1"):
            kind = code
        else:
            return [""]
        if rows:
            groups.append(HEADING + rows if code == "0" else rows)
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
