"""Words of one line joined to its text, and soft hyphens where the line ends.

Files of pages cut a line into words, and what they call a word is up to the program: between two of them there may be
a blank on the page, or nothing. One rule for all formats (`join_words`), from the characters on both sides:

| left and right of the seam | between them |
|---|---|
| anything, then a combining mark or a soft hyphen | nothing |
| two characters of scripts that put no blanks between words | nothing |
| Han, kana, Yi and a digit or a bracket or a mark of punctuation, either way round | nothing |
| another of these scripts, then a closing mark (`.` `)` `”`); an opening one (`(` `“`), then such a script | nothing |
| anything else: Latin beside Han, a digit beside Thai, all of Hangul | a blank |

Such scripts: those of Unicode's line breaking classes ID and SA (UAX #14), Tibetan, Javanese, Balinese, Batak,
Buginese and Kawi. Thai, Lao, Khmer, Burmese and Tibetan do put a blank behind a phrase; where only words are given,
it is lost.

Two programs are known to cut in another way. kraken cuts at blanks only (serialization.py), so that all of its seams
are blanks. Tesseract takes Han, kana, Thai and Hangul for scripts without blanks and cuts them anywhere, all others at
blanks only (`IsSpaceDelimited` in its unicharset.h); there the space between the boxes decides. Of the seams in lines
that were drawn in up to four sizes and read by Tesseract 5.3.0, the rule above and the boxes get wrong: Thai 210 and 36
of 2,774, Korean 643 and 25 of 830, Chinese 26 and 12 of 1,197, Japanese 29 and 19 of 1,323, Khmer, Lao and Tibetan 127
and 3 of 134.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import lru_cache

from sft.markup.unicode_scripts import EAST_ASIAN, UNSPACED

TESSERACT, KRAKEN = PROGRAMS = ("tesseract", "kraken")
Gaps = Callable[[], Sequence[float | None]]
SOFT_HYPHEN = "\N{SOFT HYPHEN}"
HYPHENS = "-\u2010\u2011\u2e17\u2e40\u00ac"  # also the oblique double hyphen of Fraktur, and ¬ of transcriptions
# heights of the letters: the least space that is a blank in scripts that Tesseract cuts anywhere, and in others
WIDE, NARROW = 0.28, 0.1
# what may stand behind a soft hyphen at the end of a line
_UNSEEN_END = " \t\u200b\u200e\u200f\u2060\ufeff" + SOFT_HYPHEN
_NOT_LATIN = re.compile("[\u00ad\u0300-\U0010ffff]")  # soft hyphens, combining marks, and all scripts without blanks


class Side(Enum):
    """What one side of a seam is."""

    EAST = "Han, kana and their kin"
    THAI = "Thai"
    SOUTH = "another script without blanks"
    HANGUL = "Hangul"
    MARK = "a combining mark or a soft hyphen"
    OPENING = "an opening bracket or quotation mark"
    CLOSING = "a closing one, or another mark of punctuation"
    DIGIT = "a digit"
    OTHER = "anything else"
    NOTHING = "invisible"


_WITHOUT_BLANKS = (Side.EAST, Side.THAI, Side.SOUTH)
_CUT_ANYWHERE = (Side.EAST, Side.THAI, Side.HANGUL)
_ITSELF = (Side.OTHER, Side.HANGUL)  # beside which even Han and kana keep a blank
_UNDER_A_LETTER = (Side.MARK, Side.NOTHING)


def program_of(names: Iterable[str]) -> str:
    """The one of PROGRAMS that wrote a file, by the names in it; "" where it is none, or where both are named."""
    lower = [name.lower() for name in names]
    programs = [program for program in PROGRAMS if any(program in name for name in lower)]
    return programs[0] if len(programs) == 1 else ""


def join_words(words: Sequence[str], program: str = "", gaps: Gaps | None = None) -> str:
    """The text of a line from its words in reading order; words without ink must be left out.

    `program`: the one of PROGRAMS that cut the line into words. `gaps`: asked, where Tesseract did and the scripts
    leave something open, for the space before each word in heights of the letters; None where it is not known.

    >>> join_words(["東京", "の", "天気"]), join_words(["rainy", "day"])
    ('東京の天気', 'rainy day')
    """
    joined = " ".join(words)
    if program == KRAKEN or not _NOT_LATIN.search(joined):
        return joined
    known = gaps() if gaps and program == TESSERACT else None
    parts: list[str] = []
    left = Side.NOTHING
    for index, word in enumerate(words):
        if parts and _parted(
            left,
            _first(word),
            known[index] if known else None,
        ):
            parts.append(" ")
        parts.append(word)
        left = _last(word, left)
    return "".join(parts)


def ink_hyphens(text: str) -> str:
    """`text` with the soft hyphens at the ends of its lines as `-`: a line breaks there, and so the page shows one.

    Soft hyphens inside a line show nothing; `sft.markup.text.clean` takes them out.

    >>> ink_hyphens("gemein\\u00ad")
    'gemein-'
    """
    if SOFT_HYPHEN not in text:
        return text
    return "".join(map(_ink_hyphen, text.splitlines(keepends=True)))


def _ink_hyphen(line: str) -> str:
    body = line.rstrip()
    end = line[len(body) :]
    bare = body.rstrip(_UNSEEN_END)
    if SOFT_HYPHEN not in body[len(bare) :]:
        return line
    return bare + ("" if bare.endswith(tuple(HYPHENS)) else "-") + end


def _parted(left: Side, right: Side, gap: float | None) -> bool:
    """Whether there is a blank between two words."""
    if right in _UNDER_A_LETTER or left is Side.NOTHING:
        return False
    if left in _WITHOUT_BLANKS and right in _WITHOUT_BLANKS:
        if gap is None or (left is Side.EAST and right is Side.EAST):
            return False
        return gap >= (WIDE if left in _CUT_ANYWHERE or right in _CUT_ANYWHERE else NARROW)
    if gap is not None:
        return gap >= WIDE if left in _CUT_ANYWHERE or right in _CUT_ANYWHERE else True
    if left is Side.EAST or right is Side.EAST:
        return left in _ITSELF or right in _ITSELF
    return not (
        (left in _WITHOUT_BLANKS and right is Side.CLOSING) or (left is Side.OPENING and right in _WITHOUT_BLANKS)
    )


def _first(word: str) -> Side:
    side = _side(word[0])
    if side is not Side.NOTHING:
        return side
    return next(
        (side for side in map(_side, word) if side is not Side.NOTHING),
        Side.NOTHING,
    )


def _last(word: str, before: Side) -> Side:
    """What the last letter is, whatever marks it has; `before` where there are only marks."""
    side = _side(word[-1])
    if side not in _UNDER_A_LETTER:
        return side
    return next(
        (side for side in map(_side, reversed(word)) if side not in _UNDER_A_LETTER),
        before,
    )


@lru_cache(maxsize=1 << 14)
def _side(character: str) -> Side:
    category = unicodedata.category(character)
    if category[0] == "M" or character == SOFT_HYPHEN:
        return Side.MARK
    if EAST_ASIAN.match(character):
        return Side.EAST
    if UNSPACED.match(character):
        return Side.THAI if "\u0e00" <= character <= "\u0e7f" else Side.SOUTH
    if category == "Cf":
        return Side.NOTHING
    if category == "Nd":
        return Side.DIGIT
    if category in ("Ps", "Pi"):
        return Side.OPENING
    if category[0] == "P":
        return Side.CLOSING
    return (
        Side.HANGUL
        if "\u1100" <= character <= "\ud7ff" and unicodedata.name(character, "").startswith("HANGUL")
        else Side.OTHER
    )
