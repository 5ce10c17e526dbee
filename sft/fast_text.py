"""Which of many texts may hold damaged or doubtful characters, decided for all of them at once.

The texts are looked at as one array of code points. Every code point has a word of bits, looked up in a table that fills
itself as characters appear; what the checks of `sft.checks_target` could accuse leaves a trace in these bits or in those of
two neighbours. A text without a trace is clean; one with a trace is only doubtful, and the checks themselves decide.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sft.markup.scripts import NEEDS_MARKS, RATIO, SHORTEST, script_of
from sft.markup.text import marks_missing, maybe_suspicious

Codes = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.intp]

KNOWN, BAD, SPACE, ORDERED, SECOND, FIRST, NEEDY, MARK, LATIN, TWIN = (np.uint32(1 << bit) for bit in range(10))
SCRIPT_BITS = 10  # and above: one for each script that needs marks
_LATIN_END, _TWIN_BLOCKS = 0x250, ((0x370, 0x52F), (0x1F00, 0x1FFF))  # Latin letters, and those of Greek and Cyrillic
_NEWLINE, _DOLLAR, _LESS, _PIPE = 10, 36, 60, 124
_GOES_ON = np.isin(np.arange(128), [ord(sign) for sign in "|/siva"])  # how the control tokens of the model and of the trainers go on after "<"


class Characters:
    """The table of bits by code point."""

    def __init__(self) -> None:
        self.bits = np.zeros(0x110000, np.uint32)  # pages that no text touches take no memory
        self.scripts: dict[str, int] = {}
        self.firsts = _first_characters()

    def look_up(self, codes: Codes) -> npt.NDArray[np.uint32]:
        """The bits of every code point."""
        found = self.bits.take(codes, mode="clip")
        if not found.min(initial=1):
            for code in np.unique(codes[(found & KNOWN) == 0]).tolist():
                self.bits[code] = self._classify(chr(code))
            found = self.bits.take(codes, mode="clip")
        return found

    def _classify(self, character: str) -> np.uint32:
        bits = KNOWN
        if maybe_suspicious(character) or character == "\ufffd" or not unicodedata.is_normalized("NFC", character) or "\u1100" <= character <= "\u11ff":
            bits |= BAD  # the last: letters of Hangul that compose by rule
        if character.isspace():
            bits |= SPACE
        if unicodedata.combining(character):
            bits |= ORDERED
        bits |= (FIRST if character in self.firsts else np.uint32(0)) | (SECOND if character in _second_characters() else np.uint32(0))
        code = ord(character)
        if code < _LATIN_END and character.isalpha():
            bits |= LATIN
        if any(first <= code <= last for first, last in _TWIN_BLOCKS):
            bits |= TWIN
        if NEEDS_MARKS.match(character):
            bits |= NEEDY | self._script(script_of(character))
        elif unicodedata.category(character)[0] == "M" and (script := script_of(character)):
            bits |= MARK | self._script(script)
        return bits

    def _script(self, name: str) -> np.uint32:
        """The bit of a script; the last one is shared by those that come too late."""
        return np.uint32(1 << self.scripts.setdefault(name, min(SCRIPT_BITS + len(self.scripts), 31)))


@lru_cache(maxsize=1)
def _pairs() -> frozenset[str]:
    """All two characters that Unicode form NFC writes as one."""
    found = set()
    for code in (*range(0x80, 0x3100), *range(0x11000, 0x12000), *range(0x16D00, 0x16E00)):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pair = "".join(chr(int(part, 16)) for part in parts)
            if unicodedata.normalize("NFC", pair) == chr(code):
                found.add(pair)
    return frozenset(found)


def _first_characters() -> frozenset[str]:
    """What may compose with a character after it; of a composed letter, which may compose again, too."""
    return frozenset(pair[0] for pair in _pairs())


@lru_cache(maxsize=1)
def _second_characters() -> frozenset[str]:
    return frozenset(pair[1] for pair in _pairs())


_table: list[Characters] = []


def characters() -> Characters:
    """The table of this process."""
    if not _table:
        _table.append(Characters())
    return _table[0]


def doubtful(texts: list[str]) -> set[int]:
    """Indices of the texts that one of the checks of single characters, of control tokens or of the ends of a text may accuse.

    Never empty where a check finds something; a row too many costs time only.
    """
    wide = [row for row, text in enumerate(texts) if not text.isascii()]
    if not wide:
        return _doubtful_ascii(texts)
    found = {wide[row] for row in _doubtful_wide([texts[row] for row in wide])}
    if len(wide) < len(texts):
        narrow = [row for row, text in enumerate(texts) if text.isascii()]
        found.update(narrow[row] for row in _doubtful_ascii([texts[row] for row in narrow]))
    return found


def _doubtful_ascii(texts: list[str]) -> set[int]:
    codes: npt.NDArray[np.uint8] = np.frombuffer(("\n" + "\n".join(texts) + "\n").encode(), np.uint8)
    starts, ends = _bounds(texts)
    low = np.flatnonzero(codes < 32)
    found = _rows(ends, [low[~np.isin(codes[low], (9, 10))], np.flatnonzero(codes == 127)])
    found.update(np.flatnonzero((starts == ends) | (codes[starts] <= 32) | (codes[ends - 1] <= 32)).tolist())
    return found | _signs(texts, codes, ends)


def _doubtful_wide(texts: list[str]) -> set[int]:
    try:
        codes: Codes = np.frombuffer(("\n" + "\n".join(texts) + "\n").encode("utf-32-le"), np.uint32)
    except UnicodeEncodeError:
        return set(range(len(texts)))
    starts, ends = _bounds(texts)
    bits = characters().look_up(codes)
    there = int(np.bitwise_or.reduce(bits))
    places: list[Rows] = []
    if there & int(BAD):
        places.append(np.flatnonzero(bits & BAD))
    if there & int(TWIN) and there & int(LATIN):
        places += [_beside(bits, LATIN, TWIN), _beside(bits, TWIN, LATIN)]
    found = _rows(ends, places)
    found.update(np.flatnonzero((starts == ends) | ((bits[starts] | bits[ends - 1]) & SPACE != 0)).tolist())
    forms = []
    if there & int(ORDERED):
        forms.append(_beside(bits, ORDERED, ORDERED))
    if there & int(SECOND):
        forms.append(_beside(bits, FIRST, SECOND))
    found.update(row for row in _rows(ends, forms) if not unicodedata.is_normalized("NFC", texts[row]))
    if there & int(NEEDY):
        found |= _unmarked(texts, bits, starts)
    return found | _signs(texts, codes, ends)


def _bounds(texts: list[str]) -> tuple[Rows, Rows]:
    """Where each text begins, and where the line feed behind it stands, in their join with a line feed in front."""
    lengths = np.fromiter(map(len, texts), np.intp, len(texts))
    ends = np.cumsum(lengths + 1)
    return ends - lengths, ends


def _signs(texts: list[str], codes: Any, ends: Rows) -> set[int]:
    """Rows with what may be a control token, a line that begins with a pipe, or dollars beside a formula."""
    less, dollars, pipes = (np.flatnonzero(codes == code) for code in (_LESS, _DOLLAR, _PIPE))
    found = _rows(ends, [less[_GOES_ON[np.minimum(codes[less + 1], 127)]], pipes[codes[pipes - 1] == _NEWLINE]])
    found.update(row for row in _rows(ends, [dollars]) if "\\" in texts[row])
    return found


def _beside(bits: npt.NDArray[np.uint32], left: np.uint32, right: np.uint32) -> Rows:
    """Where a character of one kind is followed by one of the other."""
    places: Rows = np.flatnonzero(((bits[:-1] & left) != 0) & ((bits[1:] & right) != 0))
    return places


def _rows(ends: Rows, places: list[Rows]) -> set[int]:
    """The texts in which the places lie."""
    found: set[int] = set()
    for some in places:
        if some.size:
            found.update(np.unique(np.searchsorted(ends, some)).tolist())
    found.discard(len(ends))
    return found


def _unmarked(texts: list[str], bits: npt.NDArray[np.uint32], starts: Rows) -> set[int]:
    """Rows with letters that need marks and too few marks; with two such scripts, the check itself is asked."""
    there = np.bitwise_or.reduceat(bits, starts)
    needy = np.flatnonzero(there & NEEDY)
    letters = np.add.reduceat((bits & NEEDY) != 0, starts, dtype=np.int32)[needy]
    marks = np.add.reduceat((bits & MARK) != 0, starts, dtype=np.int32)[needy]
    which = there[needy] >> np.uint32(SCRIPT_BITS)
    several = (which & (which - np.uint32(1))) != 0
    shared = (which >> np.uint32(31 - SCRIPT_BITS)) != 0
    few = (letters >= SHORTEST) & (marks * RATIO < letters)
    asked = needy[(few | several | shared) & (letters >= SHORTEST)]
    return {row for row in asked.tolist() if marks_missing(texts[row]) is not None}
