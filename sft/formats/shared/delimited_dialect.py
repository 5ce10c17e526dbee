"""What separates the fields of a file, and whether quotes around them enclose fields or are text: decided by the file
as a whole.

Programs that quote (pandas, spreadsheets, Python's csv) double the quotes inside a field and enclose what holds a
separator or a line end; programs that do not (`"\\t".join`, TRDG, EasyOCR's own loader) write a quote as any other
character. Each record with a quote in it speaks for the one or for the other, or fits both:

    for quoting      0.jpg,"Reykjavík, Iceland"        enclosed, since the field holds a separator
                     1.jpg\\t"say ""A"", B"            a doubled quote
                     "2.jpg"\\t"Yes"                    the name of an image has no quotes of its own
    against          3.jpg\\t"Come here,                not closed; or closed only in the text of another image
                     4.jpg\\t"Yes" he said             something behind the closing quote
    against, weakly  5.jpg\\tfriend!"                  a quote in a field that is not enclosed: people write this by
    hand, too fits both        6.jpg\\t"Yes"

The majority decides; weak signs count where there are no others. Where nothing speaks, CSV is quoted (RFC 4180), and
TSV and EasyOCR's `filename,words` are not, unless every label of the file stands in quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sft.files import CHUNK, bounded_lines, open_text
from sft.formats.shared.rows import IMAGE_SUFFIXES

SEPARATORS = ",\t;|"
EASYOCR = ("filename", "words")
MAX_RECORD_LINES = 10_000  # of one record with line ends inside its quotes; a table in HTML may have thousands
MAX_RECORD_CHARS = 8 << 20
State = Literal["closed", "open", "broken", "loose"]  # loose: a quote in a field that is not enclosed
ALL_QUOTED = 5  # labels from which on all of them in quotes can be no chance
_INSIDE = re.compile(r'[^"]*(?:""[^"]*)*')  # of an enclosed field, up to the quote that closes it


@dataclass
class Evidence:
    """Records that speak for quoting, against it, weakly against it, and fit both; `rows`: lines that are not blank."""

    quoting: int = 0
    text: int = 0
    weak: int = 0
    both: int = 0
    rows: int = 0

    def quoted(self, usual: bool) -> bool:
        """Whether quotes enclose fields; `usual`: what holds where nothing speaks, or as much for the one as for the
        other.
        """
        if self.quoting != self.text:
            return self.quoting > self.text
        if self.weak and not self.quoting:
            return False
        return usual or (not self.text and self.both == self.rows and self.rows >= ALL_QUOTED)


def separator(head: str, usual: str) -> str:
    """What separates the fields of a file that begins with the line `head`: `usual`, or another where `usual` is not
    in it.
    """
    return next(
        (mark for mark in (usual, *SEPARATORS) if mark in head),
        usual,
    )


def walk(line: str, delimiter: str, *, inside: bool = False) -> tuple[State, list[str]]:
    """(how it ends, its fields with their quotes) of a line by RFC 4180; `inside`: it begins within an enclosed field.

    >>> walk('a.png,"say ""A"", B"', ",")
    ('closed', ['a.png', '"say ""A"", B"'])
    """
    fields: list[str] = []
    begin = place = 0
    loose = False
    while True:
        if inside or line[place : place + 1] == '"':
            match = _INSIDE.match(line, place if inside else place + 1)
            place = match.end() if match else place  # it matches nothing, too
            if place == len(line):
                return "open", fields
            place = place + 1
            inside = False
        else:
            end = line.find(delimiter, place)
            place = len(line) if end < 0 else end
            if '"' in line[begin:place]:
                loose = True
        fields.append(line[begin:place])
        if place == len(line):
            return "loose" if loose else "closed", fields
        if line[place] != delimiter:
            return "broken", fields
        begin = place = place + 1


def header_fields(line: str, delimiter: str) -> tuple[str, ...]:
    """The fields of a header, without quotes where it is quoted by the rules."""
    state, fields = walk(line, delimiter)
    return tuple(bare(fields) if state in ("closed", "loose") else line.split(delimiter))


def bare(fields: list[str]) -> list[str]:
    """Fields without the quotes that enclose them."""
    return [field[1:-1].replace('""', '"') if field[:1] == '"' else field for field in fields]


def evidence(path: Path, delimiter: str, *, image: int, width: int, header: bool) -> Evidence:
    """What the records of a file say.

    `image`: the column with the names of images; `width`: how many columns there are.
    """
    seen = _Seen(delimiter, image, width)
    with open_text(path) as stream:
        if not any(b'"' in chunk for chunk in iter(lambda: stream.read(CHUNK), b"")):
            return seen.evidence
        stream.seek(0)
        lines = (
            line.decode("utf-8", "replace").rstrip("\r\n")
            for _, line, too_long in bounded_lines(stream)
            if not too_long
        )
        if header:
            state, names = walk(
                next((line for line in lines if line.strip()), ""),
                delimiter,
            )
            seen.evidence.quoting += state == "closed" and all(name[:1] == '"' for name in names)
        for line in lines:
            seen.take(line)
    seen.end()
    return seen.evidence


class _Seen:
    """Counts while lines come in; those of a field that is open wait until it closes."""

    def __init__(self, delimiter: str, image: int, width: int) -> None:
        self._delimiter, self._image, self._width = delimiter, image, width
        self._open: list[str] = []
        self._size = 0
        self._fields = 0  # of the open record that are closed
        self.evidence = Evidence()

    def take(self, line: str) -> None:
        """One line without its end."""
        if self._open:
            self._go_on(line)
            return
        self.evidence.rows += bool(line.strip())
        if '"' not in line:
            return
        state, fields = walk(line, self._delimiter)
        if state == "closed":
            self._closed(line, fields)
        elif state == "open":
            self._open, self._size, self._fields = [line], len(line), len(fields)
        elif state == "broken":
            self.evidence.text += 1
        else:
            self.evidence.weak += 1

    def _closed(self, line: str, fields: list[str]) -> None:
        needed = line.count(self._delimiter) + 1 != self._width  # the line would have another number of fields
        if len(fields) != self._width:
            self.evidence.text += not needed
        elif needed or fields[self._image][:1] == '"' or any('""' in field[1:-1] for field in fields):
            self.evidence.quoting += 1
        else:
            self.evidence.both += 1

    def _go_on(self, line: str) -> None:
        """One more line of an open record."""
        self._open.append(line)
        self._size += len(line)
        if '"' in line:
            state, fields = walk(line, self._delimiter, inside=True)
            self._fields += len(fields)
            if state in ("closed", "loose") and self._fields == self._width and not self._several():
                self._open = []
                self.evidence.quoting += 1
            elif state != "open":
                self._give_up()
        elif len(self._open) > MAX_RECORD_LINES or self._size > MAX_RECORD_CHARS:
            self._give_up()

    def _several(self) -> bool:
        """Whether the lines of the open record are records of their own: more than one of them names an image."""
        rows = [fields for line in self._open if len(fields := line.split(self._delimiter)) >= self._width]
        named = sum(fields[self._image].strip(' "').lower().endswith(IMAGE_SUFFIXES) for fields in rows)
        return named > 1 if named else self._delimiter == "\t" and len(rows) == len(self._open)

    def _give_up(self) -> None:
        """The first of the open lines is a record that breaks the rules; the others are looked at by themselves."""
        rest, self._open = self._open[1:], []
        self.evidence.text += 1
        for line in rest:
            self.take(line)

    def end(self) -> None:
        """No more lines."""
        while self._open:
            self._give_up()


def say(name: str, evidence: Evidence, *, quoted: bool) -> str:
    """How the quotes of a file are understood, as a sentence; "" where there are none."""
    against = evidence.text + evidence.weak
    if not (evidence.quoting or against or evidence.both):
        return ""
    speak = f"{evidence.quoting} records speak for it, {against} against it, {evidence.both} fit both"
    if quoted:
        return f"{name}: quotes that enclose a field are taken off ({speak}); --quotes none keeps them"
    return (
        f"{name}: quotes are text and are kept ({speak.replace('for it', 'for quoting')}); --quotes csv takes them off"
    )
