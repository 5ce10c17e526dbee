"""Scripts: which one a character belongs to, which ones cannot be written without combining marks, which ones join
letters.

Block limits and categories: the Unicode Character Database as Python's `unicodedata` has it; UAX #24 for the names.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache

# Characters between which a line breaks without a blank, as insides of a regex character class.
# Han, kana, bopomofo, Yi, Tangut, Nushu, CJK punctuation and full-width forms. Hangul is not among them: Korean parts
# words.
EAST_ASIAN_CLASS = (
    r"\u2e80-\u2fff\u3001-\u3130\u3190-\u31ff\u3200-\u321c\u321f-\u9fff"
    r"\ua000-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff9f\uffe0-\uffef"
    r"\U00016fe0-\U00018dff\U0001aff0-\U0001b2ff\U0001f200-\U0001f2ff\U00020000-\U0003ffff"
)
# And the scripts of South East Asia and Tibet: class SA of UAX #14 (Thai, Lao, Burmese, Khmer, Tai Le, New Tai Lue, Tai
# Tham, Tai Viet, Ahom), Tibetan, Buginese, Balinese, Batak, Javanese, Kawi
UNSPACED_CLASS = EAST_ASIAN_CLASS + (
    r"\u0e00-\u109f\u1780-\u17ff\u1950-\u1a1f\u1a20-\u1aaf\u1b00-\u1b7f\u1bc0-\u1bff"
    r"\ua980-\ua9df\ua9e0-\ua9ff\uaa60-\uaadf"
    r"\U00011700-\U0001174f\U00011f00-\U00011f5f"
)
EAST_ASIAN, UNSPACED = re.compile(f"[{EAST_ASIAN_CLASS}]"), re.compile(f"[{UNSPACED_CLASS}]")

RATIO = 30  # letters per mark from which on marks are missing; natural text has 2 to 6
SHORTEST = 20  # letters; fewer are never accused
SHORTEST_OF = {"Thai": 40, "Lao": 40}  # some of their vowels are letters, and whole words go without a mark
# letters in a row without a mark: L ≥ 20 letters with M < L / 30 marks leave a gap of ≥ L / (M + 1) > 15 letters
STRETCH = 16

# Scripts that need combining marks → their blocks, first and last code point
_MARKED: dict[str, tuple[tuple[int, int], ...]] = {
    "Devanagari": ((0x0900, 0x097F), (0xA8E0, 0xA8FF)),
    "Bengali": ((0x0980, 0x09FF),),
    "Gurmukhi": ((0x0A00, 0x0A7F),),
    "Gujarati": ((0x0A80, 0x0AFF),),
    "Odia": ((0x0B00, 0x0B7F),),
    "Tamil": ((0x0B80, 0x0BFF),),
    "Telugu": ((0x0C00, 0x0C7F),),
    "Kannada": ((0x0C80, 0x0CFF),),
    "Malayalam": ((0x0D00, 0x0D7F),),
    "Sinhala": ((0x0D80, 0x0DFF),),
    "Thai": ((0x0E00, 0x0E7F),),
    "Lao": ((0x0E80, 0x0EFF),),
    "Tibetan": ((0x0F00, 0x0FFF),),
    "Myanmar": ((0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F)),
    "Khmer": ((0x1780, 0x17FF),),
    "Thaana": ((0x0780, 0x07BF),),
    "Balinese": ((0x1B00, 0x1B7F),),
    "Sundanese": ((0x1B80, 0x1BBF),),
    "Javanese": ((0xA980, 0xA9DF),),
    "Cham": ((0xAA00, 0xAA5F),),
    "Meetei Mayek": ((0xABC0, 0xABFF), (0xAAE0, 0xAAFF)),
    "Chakma": ((0x11100, 0x1114F),),
}
# Blocks in which ZWJ and ZWNJ change the shape of letters: Arabic and its kin, the Indic family, Myanmar, Khmer,
# Mongolian
_JOINING = (
    (0x0600, 0x08FF),
    (0x0900, 0x0DFF),
    (0x1000, 0x109F),
    (0x1780, 0x18AF),
    (0x1B00, 0x1BBF),
    (0x1CD0, 0x1CFF),
    (0xA8E0, 0xA8FF),
    (0xA980, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xAAE0, 0xAAFF),
    (0xABC0, 0xABFF),
    (0xFB50, 0xFDFF),
    (0xFE70, 0xFEFC),
    (0x10A00, 0x10FFF),
    (0x11000, 0x11DFF),
    (0x1E900, 0x1E95F),
)
# First word of a character's name → its script, where the two differ; "" for names that tell of no script
_NAMES = {
    "CJK": "Han",
    "KANGXI": "Han",
    "IDEOGRAPHIC": "Han",
    "ORIYA": "Odia",
    "COMBINING": "",
    "KATAKANA-HIRAGANA": "",
    "MODIFIER": "",
    "FEMININE": "Latin",
    "MASCULINE": "Latin",
    "MICRO": "",
    "SCRIPT": "",
    "MATHEMATICAL": "",
    "DOUBLE-STRUCK": "",
    "BLACK-LETTER": "",
    "VARIATION": "",
    "KELVIN": "Latin",
    "ANGSTROM": "Latin",
    "OHM": "Greek",
    "ALEF": "",
    "BET": "",
    "TURNED": "",
    "PLANCK": "",
}
_WIDTHS = ("FULLWIDTH ", "HALFWIDTH ")
_TWO_WORDS = (
    "OLD",
    "CANADIAN",
    "TAI",
    "NEW",
    "OL",
    "SYLOTI",
    "MEETEI",
    "LINEAR",
    "HANIFI",
    "WARANG",
    "PAHAWH",
    "PAU",
    "SORA",
    "INSCRIPTIONAL",
    "EGYPTIAN",
    "NYIAKENG",
)


@lru_cache(maxsize=1 << 15)
def script_of(character: str) -> str:
    """The script of a letter or mark ("Latin", "Han", "Odia"); "" for digits, signs, spaces and marks of no script of
    their own.
    """
    if unicodedata.category(character)[0] not in "LM":
        return ""
    name = unicodedata.name(character, "")
    for width in _WIDTHS:
        name = name.removeprefix(width)
    words = name.split()
    if not words:
        return ""
    if words[0] in _NAMES:
        return _NAMES[words[0]]
    if words[0] in _TWO_WORDS and len(words) > 1:
        return f"{words[0]} {words[1]}".title()
    return words[0].capitalize()


@lru_cache(maxsize=1 << 12)
def joins(character: str) -> bool:
    """Is it a letter or mark of a script whose letters ZWJ and ZWNJ shape?"""
    code = ord(character)
    return (
        code >= 0x600
        and any(first <= code <= last for first, last in _JOINING)
        and unicodedata.category(character)[0] in "LM"
    )


def character_class(codes: list[int]) -> str:
    """The inside of a regex character class; neighbours become ranges."""
    parts: list[str] = []
    start = previous = codes[0]
    for code in [*codes[1:], -1]:
        if code != previous + 1:
            parts.append(f"\\U{start:08x}-\\U{previous:08x}")
            start = code
        previous = code
    return "".join(parts)


@dataclass(frozen=True)
class _Script:
    """A script and its classes of characters; its patterns are compiled when the first text of it comes, since all of
    them together take longer than a command needs to start.
    """

    name: str
    letters: str
    marks: str
    foreign: str  # letters of other scripts that need marks

    @cached_property
    def letter(self) -> re.Pattern[str]:
        return re.compile(f"[{self.letters}]")

    @cached_property
    def mark(self) -> re.Pattern[str]:
        return re.compile(f"[{self.marks}]")

    @cached_property
    def word(self) -> re.Pattern[str]:
        """Two or more letters and marks."""
        return re.compile(f"[{self.letters}{self.marks}]{{2,}}")

    @cached_property
    def stretch(self) -> re.Pattern[str]:
        """STRETCH letters with no mark among them."""
        return re.compile(f"(?:[{self.letters}][^{self.letters}{self.marks}]*){{{STRETCH}}}")

    @cached_property
    def others(self) -> re.Pattern[str]:
        """A letter of another script that needs marks."""
        return re.compile(f"[{self.foreign}]")

    def unmarked(self, text: str) -> bool:
        """Enough letters in words, and fewer than one mark for every RATIO of them."""
        letters = sum(len(self.letter.findall(word)) for word in self.word.findall(text))
        return letters >= SHORTEST_OF.get(self.name, SHORTEST) and len(self.mark.findall(text)) * RATIO < letters


def _build() -> tuple[dict[str, _Script], re.Pattern[str]]:
    letters: dict[str, str] = {}
    marks: dict[str, str] = {}
    for name, blocks in _MARKED.items():
        codes = [code for first, last in sorted(blocks) for code in range(first, last + 1)]
        letters[name] = character_class([code for code in codes if unicodedata.category(chr(code))[0] == "L"])
        marks[name] = character_class([code for code in codes if unicodedata.category(chr(code))[0] == "M"])
    scripts = {
        name: _Script(name, letters[name], marks[name], "".join(letters[other] for other in _MARKED if other != name))
        for name in _MARKED
    }
    return scripts, re.compile(f"[{''.join(letters.values())}]")


_SCRIPTS, NEEDS_MARKS = _build()  # NEEDS_MARKS: one letter of such a script


@lru_cache(maxsize=1 << 12)
def _marked_script(letter: str) -> _Script:
    code = ord(letter)
    return next(
        _SCRIPTS[name] for name, blocks in _MARKED.items() if any(first <= code <= last for first, last in blocks)
    )


def maybe_unmarked(text: str) -> bool:
    """False: `unmarked` finds nothing.

    It looks for a stretch of letters without a mark, which sound text hardly ever has.
    """
    match = NEEDS_MARKS.search(text)
    if not match:
        return False
    script = _marked_script(match[0])
    return script.stretch.search(text) is not None or script.others.search(text, match.end()) is not None


def unmarked(text: str) -> str | None:
    """The first script of `text` that needs combining marks and (almost) lacks them; None if there is none."""
    if not maybe_unmarked(text):
        return None
    seen: set[str] = set()
    for letter in dict.fromkeys(NEEDS_MARKS.findall(text)):
        script = _marked_script(letter)
        if script.name not in seen and script.unmarked(text):
            return script.name
        seen.add(script.name)
    return None


def has_marks(text: str, script: str) -> bool:
    """Whether `text` has a combining mark of a script that `unmarked` knows."""
    return _SCRIPTS[script].mark.search(text) is not None
