"""Which of many texts may hold damaged or doubtful characters, decided for all of them at once.

The texts are looked at as one array of code points. Every code point has a word of bits, looked up in a table that
fills itself as characters appear; what the checks of `sft.validate.row` could accuse leaves a trace in these bits or in
those of two neighbours. A text without a trace is clean; one with a trace is only doubtful, and the checks themselves
decide.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from sft.arrays import Indices
from sft.markup import (
    NEEDS_MARKS,
    PLACEHOLDERS,
    RATIO,
    SHORTEST,
    arabic,
    controls,
    invisible,
    is_composed,
    lookalikes,
    marks_missing,
    odd_blanks,
    script_of,
    spelling,
)
from sft.validate.labels import accused, reference

CharCodes = npt.NDArray[Any]  # of 8 or 32 bits
Bits = npt.NDArray[np.uint16]

# BLANK: a blank or a line end, two of which in a row are looked at. ASKED: a character that is looked at wherever it
# stands. BASE: what no combining mark may follow, be it white space or a letter that then looks like another one.
# FIRST stands one bit above SECOND, and TWIN above LATIN, so that neighbours are compared by a shift; TWIN also says
# that there is a yeh or kaf of Arabic.
NEEDY, BLANK, ASKED, BASE, ORDERED, SECOND, FIRST, LATIN, TWIN = (np.uint16(1 << bit) for bit in range(9))
SCRIPT_BIT, LAST_BIT = 9, 13  # one for each script that needs marks; the last for all that come after the first four
MARK = np.uint16(1 << 14)  # far from NEEDY: the sum over a text counts both, up to _COUNTED characters
MARKED = np.uint16(1 << 15)  # the sign of an int16: signs that are looked at in every text (_MARKED_BYTES)
UNKNOWN = np.uint16((1 << 16) - 1)  # all bits: a character that was not met yet
_MARK_TO_BASE = 11  # bits from MARK down to BASE
_COUNTED = (1 << 14) - 1
_SCRIPTS = (1 << LAST_BIT - SCRIPT_BIT + 1) - 1
_LATIN_END, _TWIN_BLOCKS = 0x250, ((0x370, 0x52F), (0x1F00, 0x1FFF))  # Latin letters, and those of Greek and Cyrillic
_NEWLINE, _DOLLAR, _AND, _LESS, _MORE, _PIPE, _DELETE = 10, 36, 38, 60, 62, 124, 127
_NEVER = np.isin(np.arange(256), [*range(1, 10), *range(11, 32), _DELETE])  # controls, and the tab
_MARKED_BYTES = bytes(code in (0, _DOLLAR, _AND, _LESS, _PIPE) or bool(_NEVER[code]) for code in range(256))
_OTHERS = bytes([1, 0, *bytes(254)])
_NARROW, _WIDE = 2048, 512  # texts looked at together, in ASCII and others: more would leave the cache of a core
_SPARSE = 20  # places for one that is true; where they are more, eights do not pay
_GOES_ON = np.isin(  # how the tokens of the model and of the trainers, and the tags of tables, go on after "<"
    np.arange(256), [ord(sign) for sign in "|/sivatT"]
)
_TWO_BLANKS = tuple(int.from_bytes(pair, "little") for pair in (b"  ", b" \n"))
_RINGS = np.array([ord(sign) for sign in spelling.RINGS], np.uint32)
_LONGEST_PLACEHOLDER = max(map(len, PLACEHOLDERS))
_YEH_AND_KAF, _PERSIAN = "\u064a\u0643\u0649", "پچژگکی"


class Characters:
    """The table of bits by code point."""

    def __init__(self) -> None:
        self.bits = np.full(0x110000, UNKNOWN, np.uint16)
        self.bits[np.flatnonzero(np.frombuffer(_MARKED_BYTES, np.bool_))] = MARKED
        self.bits[0] |= BASE  # a mark at the beginning of a text stands on nothing
        self.spaces = np.zeros(0x110000, np.bool_)
        self.spaces[
            [
                0,
                *(code for code in range(0x3001) if chr(code).isspace()),
            ]
        ] = True
        self.scripts: dict[str, int] = {}
        self.asked, pairs = spelling.telltales()
        self.vowels = {pair[0] for pair in pairs if pair[0].isalpha() and _has_script(pair[1])}
        others = _pairs() | {pair for pair in pairs if pair[0] not in self.vowels or not _has_script(pair[1])}
        self.firsts, self.seconds = {pair[0] for pair in others}, {pair[1] for pair in others}
        self.pairs = np.sort(np.array([ord(pair[0]) << 32 | ord(pair[1]) for pair in pairs | others], np.uint64))

    def look_up(self, codes: CharCodes) -> Bits:
        """The bits of every code point."""
        places = codes.astype(np.intp)  # once, and not in every look-up
        bits = self.bits.take(places, mode="clip")
        if codes.size and bits.max() == UNKNOWN:
            for code in np.unique(codes[bits == UNKNOWN]).tolist():
                self.bits[code] = self._classify(chr(code))
            bits = self.bits.take(places, mode="clip")
        return bits

    def exact(self, codes: CharCodes, places: Indices) -> Indices:
        """Those of `places` where one of the pairs really begins."""
        keys = codes[places].astype(np.uint64) << np.uint64(32) | codes[places + 1]
        at = np.searchsorted(self.pairs, keys).clip(max=self.pairs.size - 1)
        hits: Indices = places[self.pairs[at] == keys]
        return hits

    def _classify(self, character: str) -> np.uint16:
        code = ord(character)
        facts = {
            ASKED: character in self.asked or _is_odd(character),
            BLANK: character in " \n",
            BASE: character.isspace() or code == _MORE or character in self.vowels,
            ORDERED: unicodedata.combining(character) > 0,
            FIRST: character in self.firsts,
            SECOND: character in self.seconds,
            LATIN: code < _LATIN_END and character.isalpha(),
            TWIN: any(first <= code <= last for first, last in _TWIN_BLOCKS) or character in _YEH_AND_KAF,
        }
        bits = np.uint16(sum(int(bit) for bit, fact in facts.items() if fact))
        if NEEDS_MARKS.match(character):
            bits |= NEEDY | self._script(script_of(character))
        elif _has_script(character):
            bits |= MARK | self._script(script_of(character))
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


def _has_script(character: str) -> bool:
    """Is it a combining mark of one script?"""
    return unicodedata.category(character)[0] == "M" and script_of(character) != ""


def _is_odd(character: str) -> bool:
    """A character that a check may accuse wherever it stands: damaged, invisible, an odd blank, a presentation form,
    not composed, a mark of no script, or a letter of Hangul that composes by rule.
    """
    return (
        character == "\ufffd"
        or any(find(character) for find in (controls, invisible, odd_blanks, arabic.presentation_forms))
        or not is_composed(character)
        or (unicodedata.category(character)[0] == "M" and not _has_script(character))
        or "\u1100" <= character <= "\u11ff"
    )


@lru_cache(maxsize=1)
def _pairs() -> frozenset[str]:
    """All two characters that Unicode form NFC writes as one."""
    pairs = set()
    for code in (*range(0x80, 0x3100), *range(0x11000, 0x12000), *range(0x16D00, 0x16E00)):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pair = "".join(chr(int(part, 16)) for part in parts)
            if unicodedata.normalize("NFC", pair) == chr(code):
                pairs.add(pair)
    return frozenset(pairs)


_NOWHERE: Indices = np.empty(0, np.intp)
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
    doubted: set[int] = set()
    for judge, chosen, most in ((_doubtful_ascii, narrow, _NARROW), (_doubtful_wide, narrow.translate(_OTHERS), _WIDE)):
        some = list(compress(texts, chosen))
        for start in range(0, len(some), most):
            if doubts := judge(some[start : start + most]):
                rows = list(compress(range(len(texts)), chosen))
                doubted.update([rows[start + row] for row in doubts])
    return doubted


def _doubtful_ascii(texts: list[str]) -> set[int]:
    content = ("\0" + "\0".join(texts) + "\0").encode()
    codes: CharCodes = np.frombuffer(content, np.uint8)
    rows, ends = _doubtful_signs(
        texts,
        codes,
        where(np.frombuffer(content.translate(_MARKED_BYTES), np.bool_)),
    )
    if ends.size == len(texts) + 1:
        rows.update(np.flatnonzero((codes[ends[:-1] + 1] <= 32) | (codes[ends[1:] - 1] <= 32)).tolist())
        rows |= _rows(
            ends,
            [_blank_pairs(content, offset) for offset in (0, 1)],
        )
    return rows


def _blank_pairs(content: bytes, offset: int) -> Indices:
    """Where a blank stands before another one or before a line end: at every second byte from `offset` on, two at a
    time.
    """
    pairs = np.frombuffer(
        content,
        "<u2",
        (len(content) - offset) // 2,
        offset,
    )
    hits = pairs == _TWO_BLANKS[0]
    hits |= pairs == _TWO_BLANKS[1]
    return np.flatnonzero(hits) * 2 + offset if hits.any() else _NOWHERE


def where(mask: npt.NDArray[np.bool_]) -> Indices:
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


def _doubtful_signs(texts: list[str], codes: CharCodes, places: Indices) -> tuple[set[int], Indices]:
    """What any text can have: control characters, tabs, control tokens, tags of tables, pipes that begin a line,
    dollars, character references, placeholders; and where the texts end.

    `places`: of all controls, tab, DEL, "<", "|", "$" and "&" in `codes`.
    """
    signs = codes[places]
    ends = places[signs == 0]  # before the first text, and behind each
    if ends.size != len(texts) + 1:
        return set(range(len(texts))), ends
    less, dollars, pipes, ands = (places[signs == code] for code in (_LESS, _DOLLAR, _PIPE, _AND))
    before = codes[pipes - 1]
    tokens = less[_GOES_ON[np.minimum(codes[less + 1], 255)]]
    rows = _rows(
        ends,
        [places[_NEVER[np.minimum(signs, 255)]], tokens, pipes[(before == _NEWLINE) | (before == 0)]],
    )
    rows.update(row for row in _rows(ends, [dollars]) if "\\" in texts[row])
    rows.update(row for row in _rows(ends, [ands]) if reference(texts[row]))
    short = np.flatnonzero(np.diff(ends) <= _LONGEST_PLACEHOLDER + 1).tolist()
    rows.update(row for row in short if texts[row] in PLACEHOLDERS)
    return rows, ends


def _doubtful_wide(texts: list[str]) -> set[int]:
    """For texts that have other characters than ASCII, too."""
    joined = "\0" + "\0".join(texts) + "\0"
    codes: CharCodes = np.array([joined]).view(np.uint32)
    table = characters()
    bits = table.look_up(codes)
    rows, ends = _doubtful_signs(
        texts,
        codes,
        where(bits.view(np.int16) < 0),
    )
    if ends.size != len(texts) + 1:
        return rows
    rows.update(np.flatnonzero(table.spaces[codes[ends[:-1] + 1]] | table.spaces[codes[ends[1:] - 1]]).tolist())
    there = int(np.bitwise_or.reduce(bits))
    for places, confirms in _suspects(table, codes, bits, there):
        rows.update(row for row in _rows(ends, [places]) - rows if confirms(texts[row]))
    if there & int(TWIN) and any(map(joined.__contains__, _YEH_AND_KAF)) and any(map(joined.__contains__, _PERSIAN)):
        rows.update(row for row, text in enumerate(texts) if arabic.mixed_yeh_kaf(text))
    if there & int(NEEDY):
        rows |= _unmarked(texts, bits, ends, there)
    return rows


def _suspects(
    table: Characters, codes: CharCodes, bits: Bits, there: int
) -> Iterator[tuple[Indices, Callable[[str], object]]]:
    """(places of what some check may accuse, the question whose answer decides). `there`: the bits met at all."""
    if there & int(ASKED):
        places = _places(bits & ASKED)
        rings = np.isin(codes[places], _RINGS)
        yield places[rings], spelling.split_am
        yield places[~rings], accused
    both = bits[:-1] & bits[1:]
    met = int(np.bitwise_or.reduce(both))
    if met & int(ORDERED):
        yield np.flatnonzero(both & ORDERED), _not_composed
    if met & int(BLANK):
        yield np.flatnonzero(both & BLANK), odd_blanks
    if there & int(TWIN) and there & int(LATIN):
        yield _places(bits[:-1] & bits[1:] >> 1 & LATIN), lookalikes
        yield _places(bits[1:] & bits[:-1] >> 1 & LATIN), lookalikes
    if there & int(SECOND):
        yield table.exact(codes, _places(bits[1:] & bits[:-1] >> 1 & SECOND)), accused
    if there & int(MARK):
        places = _places(bits[1:] >> _MARK_TO_BASE & bits[:-1] & BASE)
        on_nothing = table.spaces[codes[places]] | (codes[places] == _MORE)
        yield places[on_nothing] + 1, accused  # the mark: before it a text may end
        yield table.exact(codes, places[~on_nothing]), accused


def _not_composed(text: str) -> bool:
    return not is_composed(text)


def _places(bits: npt.NDArray[Any]) -> Indices:
    """Where a bit is set; mostly nowhere, which is seen much faster than it is listed."""
    return np.flatnonzero(bits) if np.bitwise_or.reduce(bits) else _NOWHERE


def _rows(ends: Indices, places: list[Indices]) -> set[int]:
    """The texts in which the places lie."""
    rows: set[int] = set()
    for some in places:
        if some.size:
            rows.update(np.unique(np.searchsorted(ends, some) - 1).tolist())
    return rows


def _unmarked(texts: list[str], bits: Bits, ends: Indices, there: int) -> set[int]:
    """Indices with letters that need marks and too few marks; with two such scripts, the check itself is asked."""
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
