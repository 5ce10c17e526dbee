"""Words of one line joined to its text, and soft hyphens where the line ends.

Files of pages cut a line into words, and what they call a word is up to the program: between two of them there may be
a blank on the page, or nothing. One rule for all formats (`join_words`), from the characters on both sides:

| left and right of the seam | between them |
|---|---|
| anything, then a combining mark or a soft hyphen; a soft hyphen, then anything | nothing |
| two characters of scripts that put no blanks between words | nothing |
| Han, kana, Yi and a digit or a bracket or a mark of punctuation, either way round | nothing |
| another of these scripts, then a closing mark (`.` `)` `”`); an opening one (`(` `“`), then such a script | nothing |
| anything else: Latin beside Han, a digit beside Thai, all of Hangul | a blank |

Such scripts: those of Unicode's line breaking classes ID and SA (UAX #14), Tibetan, Javanese, Balinese, Batak,
Buginese and Kawi. Thai, Lao, Khmer, Burmese and Tibetan do put a blank behind a phrase; where only words are given,
it is lost.

Where a program is known to cut at other places than blanks, the space between the boxes decides (`gaps`). Tesseract
takes Han, kana, Thai and Hangul for scripts without blanks and cuts them anywhere, all others at blanks only
(`IsSpaceDelimited` in its unicharset.h). On 40 drawn lines of each language, read by Tesseract 5.3.0, the rule above
and the boxes get that many seams wrong: Thai 54 and 2 of 693, Korean 161 and 5 of 208, Chinese 6 and 3 of 303,
Japanese 7 and 3 of 332, Khmer, Lao and Tibetan 127 and 3 of 134.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache

from sft.markup.unicode_scripts import EAST_ASIAN, UNSPACED

SOFT_HYPHEN = "\N{SOFT HYPHEN}"
HYPHENS = "-\u2010\u2011\u2e17\u2e40\u00ac"  # also the oblique double hyphen of Fraktur, and ¬ of transcriptions
# heights of the letters: the least space that is a blank in scripts that Tesseract cuts anywhere, and in others
WIDE, NARROW = 0.3, 0.1
# what may stand behind a soft hyphen at the end of a line
_UNSEEN_END = " \t\u200b\u200e\u200f\u2060\ufeff" + SOFT_HYPHEN
_LATIN_END = "\u0300"  # below it: no combining mark, no script without blanks


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


def join_words(words: Sequence[str], gaps: Sequence[float | None] = ()) -> str:
    """The text of a line from its words in reading order; words without ink must be left out.

    `gaps[i]`: the space before `words[i]`, in heights of the letters, where the boxes are Tesseract's; None where it is
    not known.

    >>> join_words(["東京", "の", "天気"]), join_words(["rainy", "day"])
    ('東京の天気', 'rainy day')
    """
    joined = " ".join(words)
    if joined.isascii() or (max(joined) < _LATIN_END and SOFT_HYPHEN not in joined):
        return joined
    parts: list[str] = []
    left = Side.NOTHING
    for index, word in enumerate(words):
        if parts and _parted(left, _first(word), gaps[index] if gaps else None):
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
    if right is Side.MARK or left in (Side.MARK, Side.NOTHING) or (left is Side.EAST and right is Side.EAST):
        return False
    sides = (left, right)
    if gap is not None and any(side in _CUT_ANYWHERE for side in sides):
        return gap >= WIDE
    inside = left in _WITHOUT_BLANKS, right in _WITHOUT_BLANKS
    if all(inside):
        return gap is not None and gap >= NARROW
    if gap is not None or not any(inside):
        return True
    if Side.EAST in sides:
        return Side.OTHER in sides or Side.HANGUL in sides
    return not (right is Side.CLOSING or left is Side.OPENING)


def _first(word: str) -> Side:
    return next((side for side in map(_side, word) if side is not Side.NOTHING), Side.OTHER)


def _last(word: str, before: Side) -> Side:
    """What the last letter is, whatever marks it has; `before` where there are only marks. A soft hyphen is a MARK."""
    if word.endswith(SOFT_HYPHEN):
        return Side.MARK
    return next((side for side in map(_side, reversed(word)) if side not in (Side.NOTHING, Side.MARK)), before)


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
