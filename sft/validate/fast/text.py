"""Which of many texts may hold damaged or doubtful characters, decided for all of them at once.

The texts are looked at as one array of code points. Every code point has a word of bits, looked up in a table that
fills itself as characters appear; what the checks of `sft.validate.row` could accuse leaves a trace in these bits or in
those of two neighbours. A text without a trace is clean; one with a trace is only doubtful, and the checks themselves
decide.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from sft.markup import NEEDS_MARKS, RATIO, SHORTEST, marks_missing, maybe_suspicious, script_of

Codes = npt.NDArray[Any]  # of 8 or 32 bits
Bits = npt.NDArray[np.uint16]
Rows = npt.NDArray[np.intp]

# FIRST stands one bit above SECOND, and TWIN above LATIN, so that neighbours are compared by a shift
NEEDY, KNOWN, BAD, SPACE, ORDERED, SECOND, FIRST, LATIN, TWIN = (np.uint16(1 << bit) for bit in range(9))
MARKED = np.uint16(
    1 << 15
)  # the sign of an int16: "<", "|", "$", NUL and controls: signs that are looked at in every text
SCRIPT_BIT, LAST_BIT = (
    9,
    13,
)  # one for each script that needs marks; the last one for all that come after the first four
MARK = np.uint16(1 << 14)  # far from NEEDY: the sum over a text counts both, up to _COUNTED characters
_COUNTED = (1 << 14) - 1
_SCRIPTS = (1 << LAST_BIT - SCRIPT_BIT + 1) - 1
_LATIN_END, _TWIN_BLOCKS = 0x250, ((0x370, 0x52F), (0x1F00, 0x1FFF))  # Latin letters, and those of Greek and Cyrillic
_NEWLINE, _DOLLAR, _LESS, _PIPE, _DELETE = 10, 36, 60, 124, 127
_CONTROL = np.isin(np.arange(256), [*range(1, 9), *range(11, 32), _DELETE])
_MARKED_BYTES = bytes(code in (0, _DOLLAR, _LESS, _PIPE) or bool(_CONTROL[code]) for code in range(256))  # as MARKED
_OTHERS = bytes([1, 0, *bytes(254)])
_NARROW, _WIDE = 2048, 512  # texts looked at together, in ASCII and others: more would leave the cache of a core
_SPARSE = 20  # places for one that is true; where they are more, eights do not pay
_GOES_ON = np.isin(
    np.arange(256), [ord(sign) for sign in "|/siva"]
)  # how the control tokens of the model and of the trainers go on after "<"


class Characters:
    """The table of bits by code point."""

    def __init__(self) -> None:
        self.bits = np.zeros(0x110000, np.uint16)  # pages that no text touches take no memory
        self.bits[[0, *np.flatnonzero(_CONTROL), _LESS, _PIPE, _DOLLAR]] = KNOWN | MARKED
        self.scripts: dict[str, int] = {}
        self.firsts = _first_characters()

    def look_up(self, codes: Codes) -> Bits:
        """The bits of every code point."""
        places = codes.astype(np.intp)  # once, and not in every look-up
        found = self.bits.take(places, mode="clip")
        if codes.size and not found.min():
            for code in np.unique(codes[found == 0]).tolist():
                self.bits[code] = self._classify(chr(code))
            found = self.bits.take(places, mode="clip")
        return found

    def _classify(self, character: str) -> np.uint16:
        bits = KNOWN
        if (
            maybe_suspicious(character)
            or character == "\ufffd"
            or not unicodedata.is_normalized("NFC", character)
            or "\u1100" <= character <= "\u11ff"
        ):
            bits |= BAD  # the last: letters of Hangul that compose by rule
        if character.isspace():
            bits |= SPACE
        if unicodedata.combining(character):
            bits |= ORDERED
        bits |= (FIRST if character in self.firsts else np.uint16(0)) | (
            SECOND if character in _second_characters() else np.uint16(0)
        )
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

    def _script(self, name: str) -> np.uint16:
        """The bit of a script; the last one is shared by those that come too late."""
        return np.uint16(
            1
            << self.scripts.setdefault(
                name,
                min(SCRIPT_BIT + len(self.scripts), LAST_BIT),
            )
        )


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


_NOWHERE: Rows = np.empty(0, np.intp)
_table: list[Characters] = []


def characters() -> Characters:
    """The table of this process."""
    if not _table:
        _table.append(Characters())
    return _table[0]


def doubtful(texts: list[str]) -> set[int]:
    """Indices of the texts that one of the checks of single characters, of control tokens or of the ends of a text may
    accuse.

    Never empty where a check finds something; a row too many costs time only.
    """
    narrow = bytes(map(str.isascii, texts))
    found: set[int] = set()
    for judge, chosen, most in ((_doubtful_ascii, narrow, _NARROW), (_doubtful_wide, narrow.translate(_OTHERS), _WIDE)):
        some = list(compress(texts, chosen))
        for start in range(0, len(some), most):
            if doubts := judge(some[start : start + most]):
                rows = list(compress(range(len(texts)), chosen))
                found.update([rows[start + row] for row in doubts])
    return found


def _doubtful_ascii(texts: list[str]) -> set[int]:
    content = ("\0" + "\0".join(texts) + "\0").encode()
    codes: Codes = np.frombuffer(content, np.uint8)
    found, ends = _doubtful_signs(
        texts,
        codes,
        where(np.frombuffer(content.translate(_MARKED_BYTES), np.bool_)),
    )
    if ends.size == len(texts) + 1:
        found.update(np.flatnonzero((codes[ends[:-1] + 1] <= 32) | (codes[ends[1:] - 1] <= 32)).tolist())
    return found


def where(mask: npt.NDArray[np.bool_]) -> Rows:
    """`np.flatnonzero`, faster where little is true: eight places are looked at in one."""
    whole = mask.size // 8 * 8
    if np.count_nonzero(mask) * _SPARSE > whole:
        return np.flatnonzero(mask)
    eights = np.flatnonzero(mask[:whole].view(np.uint64) != 0)
    places = np.flatnonzero(mask[:whole].reshape(-1, 8)[eights])
    return np.concatenate(
        [
            (eights[places >> 3] << 3) + (places & 7),
            np.flatnonzero(mask[whole:]) + whole,
        ]
    )


def _doubtful_signs(texts: list[str], codes: Codes, places: Rows) -> tuple[set[int], Rows]:
    """What any text can have: control characters, control tokens, pipes that begin a line, dollars; and where the texts
    end.

    `places`: of all controls, DEL, "<", "|" and "$" in `codes`.
    """
    signs = codes[places]
    ends = places[signs == 0]  # before the first text, and behind each
    if ends.size != len(texts) + 1:
        return set(range(len(texts))), ends
    less, dollars, pipes = (places[signs == code] for code in (_LESS, _DOLLAR, _PIPE))
    before = codes[pipes - 1]
    tokens = less[_GOES_ON[np.minimum(codes[less + 1], 255)]]
    found = _rows(
        ends,
        [places[_CONTROL[np.minimum(signs, 255)]], tokens, pipes[(before == _NEWLINE) | (before == 0)]],
    )
    found.update(row for row in _rows(ends, [dollars]) if "\\" in texts[row])
    return found, ends


def _doubtful_wide(texts: list[str]) -> set[int]:
    """For texts that have other characters than ASCII, too."""
    codes: Codes = np.array(["\0" + "\0".join(texts) + "\0"]).view(np.uint32)
    bits = characters().look_up(codes)
    found, ends = _doubtful_signs(
        texts,
        codes,
        where(bits.view(np.int16) < 0),
    )
    if ends.size != len(texts) + 1:
        return found
    there = int(np.bitwise_or.reduce(bits))
    places: list[Rows] = []
    if there & int(BAD):
        places.append(_places(bits & BAD))
    if there & int(TWIN) and there & int(LATIN):
        places += [
            _places(bits[:-1] & bits[1:] >> 1 & LATIN),
            _places(bits[1:] & bits[:-1] >> 1 & LATIN),
        ]
    found |= _rows(ends, places)
    found.update(np.flatnonzero((bits[ends[:-1] + 1] | bits[ends[1:] - 1]) & SPACE).tolist())
    forms = []
    if there & int(ORDERED):
        forms.append(_places(bits[:-1] & bits[1:] & ORDERED))
    if there & int(SECOND):
        forms.append(_places(bits[1:] & bits[:-1] >> 1 & SECOND))
    found.update(row for row in _rows(ends, forms) if not unicodedata.is_normalized("NFC", texts[row]))
    if there & int(NEEDY):
        found |= _unmarked(texts, bits, ends, there)
    return found


def _places(bits: npt.NDArray[Any]) -> Rows:
    """Where a bit is set; mostly nowhere, which is seen much faster than it is listed."""
    return np.flatnonzero(bits) if np.bitwise_or.reduce(bits) else _NOWHERE


def _rows(ends: Rows, places: list[Rows]) -> set[int]:
    """The texts in which the places lie."""
    found: set[int] = set()
    for some in places:
        if some.size:
            found.update(np.unique(np.searchsorted(ends, some) - 1).tolist())
    return found


def _unmarked(texts: list[str], bits: Bits, ends: Rows, there: int) -> set[int]:
    """Rows with letters that need marks and too few marks; with two such scripts, the check itself is asked."""
    both = np.add.reduceat(
        (bits & (NEEDY | MARK)).astype(np.uint32),
        ends[:-1],
    )
    letters = both & _COUNTED
    marks = both >> 14
    which = there >> SCRIPT_BIT & _SCRIPTS
    several: Any = False
    if which & (which - 1) or which >> (LAST_BIT - SCRIPT_BIT):  # two of them, if not in one text
        each = np.bitwise_or.reduceat(bits, ends[:-1]) >> SCRIPT_BIT & _SCRIPTS
        several = ((each & (each - 1)) | (each >> (LAST_BIT - SCRIPT_BIT))) != 0
    long = (ends[1:] - ends[:-1]) > _COUNTED
    asked = np.flatnonzero(long | ((letters >= SHORTEST) & ((marks * RATIO < letters) | several)))
    return {row for row in asked.tolist() if marks_missing(texts[row]) is not None}
