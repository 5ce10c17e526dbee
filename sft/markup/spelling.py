"""The same look, another spelling: sequences that are drawn as another one is, of which only one is right.

A model that is shown `ำ` under two spellings learns both, and half of its answers are called wrong. What Unicode form
NFC does not unify stands here: vowels that are typed in two parts, marks that are typed in another order, an
independent vowel with a sign behind it, consonant, virama and ZWJ where a letter of its own exists. Sources: the tables
of vowel letters ("for … use …, do not use …") in chapters 12 and 13 of the Unicode Standard, and its table of chillu
letters (12.9); for Thai and Lao chapter 16, and the order of signs of Thai's standard of input (WTT 2.0).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from sft.markup.arabic import persian_letters, plain_letters
from sft.markup.text import clean, composed
from sft.markup.unicode_scripts import character_class

# What is not to be used → what is, as code points
_SEQUENCES = """
0905 0946 > 0904 · 0905 093E > 0906 · 0930 094D 0907 > 0908 · 0909 0941 > 090A · 090F 0945 > 090D · 090F 0946 > 090E
090F 0947 > 0910 · 0905 0949 > 0911 · 0906 0945 > 0911 · 0905 094A > 0912 · 0906 0946 > 0912 · 0905 094B > 0913
0906 0947 > 0913 · 0905 094C > 0914 · 0906 0948 > 0914 · 0905 0945 > 0972 · 0905 093A > 0973 · 0905 093B > 0974
0906 093A > 0974 · 0905 094F > 0975 · 0905 0956 > 0976 · 0905 0957 > 0977
0985 09BE > 0986 · 098B 09C3 > 09E0 · 098C 09E2 > 09E1
0A05 0A3E > 0A06 · 0A72 0A3F > 0A07 · 0A72 0A40 > 0A08 · 0A73 0A41 > 0A09 · 0A73 0A42 > 0A0A · 0A72 0A47 > 0A0F
0A05 0A48 > 0A10 · 0A73 0A4B > 0A13 · 0A05 0A4C > 0A14
0A85 0ABE > 0A86 · 0A85 0AC5 > 0A8D · 0A85 0AC7 > 0A8F · 0A85 0AC8 > 0A90 · 0A85 0AC9 > 0A91 · 0A85 0ACB > 0A93
0A85 0ACC > 0A94 · 0A86 0AC5 > 0A91 · 0A86 0AC7 > 0A93 · 0A86 0AC8 > 0A94 · 0AC5 0ABE > 0AC9
0B05 0B3E > 0B06 · 0B0F 0B57 > 0B10 · 0B13 0B57 > 0B14
0B85 0BC2 > 0B86
0C12 0C55 > 0C13 · 0C12 0C4C > 0C14 · 0C3F 0C55 > 0C40 · 0C46 0C55 > 0C47 · 0C4A 0C55 > 0C4B
0C89 0CBE > 0C8A · 0C92 0CCC > 0C94 · 0C8B 0CBE > 0CE0
0D07 0D57 > 0D08 · 0D09 0D57 > 0D0A · 0D0E 0D46 > 0D10 · 0D12 0D3E > 0D13 · 0D12 0D57 > 0D14
0D85 0DCF > 0D86 · 0D85 0DD0 > 0D87 · 0D85 0DD1 > 0D88 · 0D8B 0DDF > 0D8C · 0D8D 0DD8 > 0D8E · 0D8F 0DDF > 0D90
0D91 0DCA > 0D92 · 0D91 0DD9 > 0D93 · 0D94 0DDF > 0D96
17C1 17B8 > 17BE · 17C1 17B6 > 17C4
09A4 09CD 200D > 09CE
0D23 0D4D 200D > 0D7A · 0D28 0D4D 200D > 0D7B · 0D30 0D4D 200D > 0D7C · 0D32 0D4D 200D > 0D7D
0D33 0D4D 200D > 0D7E · 0D15 0D4D 200D > 0D7F · 0D2E 0D4D 200D > 0D54 · 0D2F 0D4D 200D > 0D55 · 0D34 0D4D 200D > 0D56
"""
SEQUENCES: dict[str, str] = {
    "".join(chr(int(code, 16)) for code in left.split()): chr(int(right, 16))
    for left, right in (rule.split(">") for rule in _SEQUENCES.replace("\n", "·").split("·") if rule.strip())
}
# A sign that stands before its letter, twice: it looks like another one. Three look like nothing that is written.
TWICE = {"\u0e40": "\u0e41", "\u0ec0": "\u0ec1", "\u0d46": "\u0d48", "\u0dd9": "\u0ddb"}


# Thai and Lao: sara am typed as its two parts, before, around or behind the tone; the tone behind sara am, or before
# the vowel above the letter
class _Signs(NamedTuple):
    """Signs of Thai or Lao: the ring and the aa that make up sara am, tones, and vowels above the letter."""

    ring: str
    aa: str
    am: str
    tones: str
    above: str


_SIGNS = (
    _Signs("\u0e4d", "\u0e32", "\u0e33", "\u0e48\u0e49\u0e4a\u0e4b", "\u0e31\u0e34\u0e35\u0e36\u0e37"),
    _Signs("\u0ecd", "\u0eb2", "\u0eb3", "\u0ec8\u0ec9\u0eca\u0ecb", "\u0eb1\u0eb4\u0eb5\u0eb6\u0eb7\u0ebb"),
)


RINGS = frozenset(signs.ring for signs in _SIGNS)


@cache
def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    """(what is looked for, what it becomes), in the order in which they are applied."""
    rules = [(f"(?<!{sign}){sign}{sign}(?!{sign})", right) for sign, right in TWICE.items()]
    for ring, aa, am, tones, above in _SIGNS:
        rules += [
            (f"{ring}([{tones}]?){aa}", f"\\g<1>{am}"),
            (f"{am}([{tones}])(?![{tones}])", f"\\g<1>{am}"),
            (f"(?<![{tones}{above}])([{tones}])([{above}])(?![{tones}{above}])", "\\g<2>\\g<1>"),
        ]
    return tuple((re.compile(pattern), right) for pattern, right in rules)


def telltales() -> tuple[frozenset[str], frozenset[str]]:
    """(characters, pairs of neighbours): a text without any of them has nothing that `misspelt` would name."""
    pairs = {sequence[-2:] for sequence in SEQUENCES} | {sign * 2 for sign in TWICE}
    for signs in _SIGNS:
        pairs |= {tone + vowel for tone in signs.tones for vowel in signs.above}
        pairs |= {signs.am + tone for tone in signs.tones}
    joiner = "\u200d"
    return frozenset({joiner, *RINGS}), frozenset(pair for pair in pairs if joiner not in pair)


def _one_of(sequences: Iterable[str]) -> str:
    """A pattern for any of some sequences, by their first character."""
    by_first: dict[str, list[str]] = {}
    for sequence in sorted(sequences, key=len, reverse=True):
        by_first.setdefault(sequence[0], []).append(sequence[1:])
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in by_first.items())


_SEQUENCE = re.compile(_one_of(SEQUENCES))
_RUN = re.compile("|".join(f"{sign}{{2,}}" for sign in TWICE))
_SPLIT_AM = re.compile("|".join(f"{ring}[{tones}]?{aa}" for ring, aa, _, tones, _ in _SIGNS))
_RULED = re.compile(  # one character of every rule
    f"[{''.join(TWICE)}{''.join(signs.ring + signs.am + signs.tones for signs in _SIGNS)}]"
)
_ROUNDS = 4  # what one rule leaves may be for another: अ, ा, े


def respelt(text: str) -> str:
    """`text` with the right spelling of every sequence that has exactly one. Idempotent, and the same picture.

    >>> respelt("นํ้า เเม่ अाम")
    'น้ำ แม่ आम'
    """
    if text.isascii():
        return text
    ruled = _RULED.search(text) is not None
    for _ in range(_ROUNDS):
        before = text
        text = _SEQUENCE.sub(lambda match: SEQUENCES[match[0]], text)
        for pattern, right in _rules() if ruled else ():
            text = pattern.sub(right, text)
        if text == before:
            break
    return text


def misspelt(text: str) -> str | None:
    """The first sequence of `text` that looks like another one ("U+0E40 U+0E40 for U+0E41"); None if there is none."""
    if text.isascii():
        return None
    if match := _SEQUENCE.search(text):
        return _named(match[0], SEQUENCES[match[0]])
    if not _RULED.search(text):
        return None
    for pattern, right in _rules():
        if match := pattern.search(text):
            return _named(match[0], match.expand(right))
    match = _RUN.search(text)
    return _named(match[0][:3], "") if match else None


def split_am(text: str) -> bool:
    """Does `text` have a sara am of Thai or Lao in two parts, ring and aa, with or without a tone between?"""
    return _SPLIT_AM.search(text) is not None


def _named(wrong: str, right: str) -> str:
    left, other = (" ".join(f"U+{ord(sign):04X}" for sign in signs) for signs in (wrong, right))
    return f"{left} for {other}" if right else left


# --- marks that stand on nothing

_NEVER_ALONE = (  # marks that say how another character is drawn, and leave no ink
    *range(0xFE00, 0xFE10),
    *range(0xE0100, 0xE01F0),
    *range(0x180B, 0x1810),
    0x34F,
)
_TOKENS = ("cel>", "<nl>")  # how tokens of OTSL end


@cache
def _stray() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """(a mark, white space or the end of a token with a mark behind it); built when first asked for."""
    codes = [code for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M"]
    marks = character_class([code for code in codes if code not in _NEVER_ALONE])
    return re.compile(f"[{marks}]"), re.compile(f"[\\s>]([{marks}])")


def stray_mark(text: str) -> str | None:
    """The first combining mark of `text` that has no letter before it in its line, word or table cell ("U+0E34")."""
    if text.isascii():
        return None
    mark, behind = _stray()
    if match := mark.match(text):
        return f"U+{ord(match[0]):04X}"
    for match in behind.finditer(text):
        if match[0][0] != ">" or text.endswith(_TOKENS, 0, match.start() + 1):
            return f"U+{ord(match[1]):04X}"
    return None


def canonical(text: str) -> str:
    """One text for all spellings of a label: cleaned, blanks made plain, right spellings. Two labels with the same one
    say the same.
    """
    text = clean(text)
    return text if text.isascii() else composed(persian_letters(respelt(plain_letters(text))))
