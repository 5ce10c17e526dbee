"""Plain text: how a label is written for training, and what gives away that it was damaged on its way.

The checks run on millions of rows: each gives None for sound text. Nothing here filters by `\\w`, which matches no
combining mark and so takes the vowels out of most Indic and many South-East Asian texts; and nothing uses NFKC, which
turns ① into 1 and ﬁ into fi: the image shows the former. For the same reason the 1,002 CJK compatibility ideographs
stay, which NFC replaces by their unified twins: 神 (U+FA19) and 神 (U+795E) are two pictures.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache, lru_cache

from sft.markup.unicode_scripts import character_class, joins, script_of, unmarked

# Letters that look like letters of the other script: Latin ones, then those of the other
_CYRILLIC = ("ABCEHKMOPTXYSIJaceopxysijh", "АВСЕНКМОРТХУЅІЈасеорхуѕіјһ")
_GREEK = ("ABEHIKMNOPTXYZovaikpuyx", "ΑΒΕΗΙΚΜΝΟΡΤΧΥΖον")  # small letters of Greek stand behind Latin words: sinα, Δx
_LATIN_CLASS = r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
_OTHER_CLASS = r"\u0370-\u03ff\u0400-\u052f\u1f00-\u1fff"
_TWINS: dict[
    str, tuple[frozenset[str], frozenset[str], int]
] = {  # letters of Latin, of the other, fewest letters of the larger part
    "Cyrillic": (frozenset(_CYRILLIC[0]), frozenset(_CYRILLIC[1]), 2),
    "Greek": (frozenset(_GREEK[0]), frozenset(_GREEK[1]), 3),  # ΔT, kΩ, μM are no mistakes
}
_MIXED = re.compile(
    f"[{_OTHER_CLASS}](?:(?=[{_LATIN_CLASS}])|(?<=[{_LATIN_CLASS}].))"
)  # led by its rarer half, which is looked for fast
_WORD = re.compile(f"[{_LATIN_CLASS}{_OTHER_CLASS}\u0300-\u036f]+")

_CONTROL_CLASS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
_CONTROL = re.compile(f"[{_CONTROL_CLASS}]")
_TAGS = (  # they spell the flags of Scotland and its neighbours after U+1F3F4, and nothing else
    r"\U000e0001\U000e0020-\U000e007f"
)
# Soft hyphen, zero-width space, direction marks and embeddings, word joiner,
# invisible operators, deprecated and annotation characters, byte order mark. Variation selectors change what is seen:
# they stay.
_JUNK_CLASS = r"\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
_JUNK = re.compile(f"[{_JUNK_CLASS}{_TAGS}]+")
_JUNK_KEEPING_FLAGS = re.compile(f"[{_JUNK_CLASS}]+|(\U0001f3f4[{_TAGS}]+)|[{_TAGS}]+")
_JOINERS = re.compile("[\u200c\u200d]+")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\u2028\u2029]")

_SUSPICIOUS = re.compile(f"[{_CONTROL_CLASS}{_JUNK_CLASS}{_TAGS}\u200c\u200d]")
# What looks like a blank and is none: the tab, no-break spaces, the spaces of typographers. U+3000, as wide as a Han
# letter, is seen to be none.
BLANK_CLASS = r"\t\xa0\u2000-\u200a\u202f\u205f"
_ODD_BLANK = re.compile(f"[{BLANK_CLASS}]")
_BLANKS = re.compile(f"[ {BLANK_CLASS}]{{2,}}|[{BLANK_CLASS}]")
_INNER_BLANKS = re.compile(f"(?<=[^\\s|])[ {BLANK_CLASS}]{{2,}}(?=[^\\s|])|[{BLANK_CLASS}]")  # not beside pipes
_INNER_BLANKS_AT_LINE_END = re.compile("(?<=[^\\s|]) +(?=\n)")
_COMPATIBILITY = re.compile("([\uf900-\ufaff\U0002f800-\U0002fa1f]+)")
_EMOJI = re.compile("[\u00a9\u00ae\u203c-\u3299\ufe0f\U0001f000-\U0001faff]")
# What tools of annotation write into a box until somebody has read it, and data sets where nobody could
PLACEHOLDERS = frozenset({"###", "待识别"})
_SHOWN = 5  # characters named in one message
LONG = 1000  # characters; sorting the marks of a shorter text takes no time
LONG_RUN = 100  # marks on one letter; no script has more than a few


def clean(text: str) -> str:
    """`text` as a training target: `clean_characters`, `plain_blanks`, and no white space at the ends of lines or
    around the whole. Idempotent.
    """
    text = plain_blanks(clean_characters(text))
    if "\n" in text:
        text = "\n".join([line.rstrip() for line in text.split("\n")])
    return text.strip()


def clean_characters(text: str) -> str:
    """`text` composed (see `composed`), with \\n as the only line end and without characters that cannot be seen.
    Idempotent.

    Line ends: \\r\\n, \\r, vertical tab, form feed, U+2028 and U+2029. Invisible: byte order marks, zero-width spaces,
    soft hyphens, direction marks, and ZWJ and ZWNJ outside the words that they shape. Control characters stay: see
    `controls`.
    """
    if text.isascii():
        return text if text.isprintable() else _LINE_ENDS.sub("\n", text)
    return composed(without_invisible(_LINE_ENDS.sub("\n", text)))


def without_invisible(text: str) -> str:
    """`text` without the characters that `invisible` names."""
    if text.isascii() or not _SUSPICIOUS.search(text):
        return text
    return _join(_without_junk(text))


def composed(text: str) -> str:
    """The Unicode form of labels: NFC, except for CJK compatibility ideographs, which stay as they are seen.

    Linear time. They compose with nothing, and no mark is ordered across one, so that what lies between is brought
    into NFC alone.
    """
    if text.isascii() or not _COMPATIBILITY.search(text):
        return nfc(text)
    return "".join([part if at % 2 else nfc(part) for at, part in enumerate(_COMPATIBILITY.split(text))])


def is_composed(text: str) -> bool:
    """Whether `composed` leaves `text` as it is."""
    return text.isascii() or unicodedata.is_normalized("NFC", text) or composed(text) == text


def plain_blanks(text: str, *, cells: bool = False) -> str:
    """`text` with one plain blank for every run of what looks like one (a tab, U+00A0, U+2000 to U+200A, U+202F,
    U+205F). Line ends and U+3000 stay. `cells`: of a chart, where the blanks beside a pipe stay, too.

    >>> plain_blanks("1\\u00a0000\\t\\u2009kg  net")
    '1 000 kg net'
    """
    if "  " not in text and not _ODD_BLANK.search(text):
        return text
    return (_INNER_BLANKS if cells else _BLANKS).sub(" ", text)


def tidy_blanks(text: str, *, cells: bool = False) -> str:
    """`plain_blanks`, and no blank at the end of a line inside the text."""
    text = plain_blanks(text, cells=cells)
    if " \n" not in text:
        return text
    return _INNER_BLANKS_AT_LINE_END.sub("", text) if cells else text.replace(" \n", "\n")


def odd_blanks(text: str, *, cells: bool = False) -> str | None:
    """What `tidy_blanks` would change in `text` ("U+00A0, a run of 2"); None if nothing."""
    if tidy_blanks(text, cells=cells) == text:
        return None
    if odd := _named(_ODD_BLANK.findall(text)):
        return odd
    run = (_INNER_BLANKS if cells else _BLANKS).search(text)
    return f"{len(run[0])} in a row" if run else "one at the end of a line"


def nfc(text: str) -> str:
    """Unicode form NFC, in linear time: for metrics, to which two canonical spellings of one character are the same.

    unicodedata sorts the marks on a letter by insertion: 40,000 on one letter of an untrusted text take it a second,
    400,000 minutes. Here long runs come sorted already, which by definition changes nothing.
    """
    if len(text) > LONG and not text.isascii():
        text = _long_runs().sub(
            lambda run: "".join(sorted(run[0], key=unicodedata.combining)),
            text,
        )
    return unicodedata.normalize("NFC", text)


@cache
def _long_runs() -> re.Pattern[str]:
    marks = "".join(
        map(
            chr,
            filter(lambda code: unicodedata.combining(chr(code)), range(0x300, 0x20000)),
        )
    )
    return re.compile(f"[{re.escape(marks)}]{{{LONG_RUN},}}")


def _without_junk(text: str) -> str:
    if "\U0001f3f4" in text:
        return _JUNK_KEEPING_FLAGS.sub(lambda match: match[1] or "", text)
    return _JUNK.sub("", text)


def _join(text: str) -> str:
    """ZWJ and ZWNJ only where they change how a word looks; a run of them becomes its first one."""

    def keep(match: re.Match[str]) -> str:
        start, end = match.span()
        left = text[start - 1] if start else ""
        right = text[end] if end < len(text) else ""
        joiner = match[0][0]
        return joiner if _shapes(left, joiner, right) else ""

    return _JOINERS.sub(keep, text)


def _shapes(left: str, joiner: str, right: str) -> bool:
    """ZWNJ parts two letters; ZWJ shapes the one beside it, even at the end of a word (Arabic ه‍, half forms), or
    glues emoji.
    """
    before = bool(left) and joins(left)
    after = bool(right) and joins(right)
    if joiner == "\u200c":
        return before and after
    return before or after or bool(left and right and _EMOJI.match(left) and _EMOJI.match(right))


def controls(text: str) -> str | None:
    """The control characters, lone surrogates and non-characters of `text` ("U+0000, U+0085"); None if there are none.
    \\n and \\t are fine.
    """
    return None if text.isprintable() or not _CONTROL.search(text) else _named(_CONTROL.findall(text))


def invisible(text: str) -> str | None:
    """The invisible characters that `clean` would take out ("U+200B"); None if there are none."""
    if text.isascii() or not _SUSPICIOUS.search(text):
        return None
    return _named((Counter(text) - Counter(without_invisible(text))).elements())


def _named(characters: Iterable[str]) -> str | None:
    names = list(dict.fromkeys(characters))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"U+{ord(character):04X}" for character in names[:_SHOWN]) + more if names else None


def marks_missing(text: str) -> str | None:
    """The script ("Bengali") that needs combining marks and has almost none in `text`; None if all is well.

    About a third of natural Bengali are marks, and no script asked about here does with less than a tenth. A text is
    accused where under one letter in thirty has a mark, and only from 20 letters on (Thai, Lao: 40), so that no short
    label is; letters that stand alone, as in an alphabet, do not count.
    """
    if text.isascii():
        return None
    return unmarked(text)


def lookalikes(text: str) -> str | None:
    """The first word that mixes Latin with Cyrillic or Greek letters of the same shape ("Mосква" with a Latin M); else
    None.
    """
    if text.isascii() or not _MIXED.search(text):
        return None
    for word in _WORD.finditer(text):
        if _MIXED.search(word[0]) and _is_mixed(word[0]):
            return word[0] if len(word[0]) <= 80 else word[0][:80] + "…"
    return None


def _is_mixed(word: str) -> bool:
    """One script writes the word, and every letter of the other one has a twin in the first."""
    parts: dict[str, list[str]] = {"Latin": [], "Cyrillic": [], "Greek": []}
    for letter in word:
        parts.setdefault(script_of(letter), []).append(letter)
    for other, (latin_twins, other_twins, fewest) in _TWINS.items():
        latin = parts["Latin"]
        foreign = parts[other]
        if not latin or not foreign or max(len(latin), len(foreign)) < fewest:
            continue
        if (len(latin) > len(foreign) and other_twins.issuperset(foreign)) or (
            len(foreign) > len(latin) and latin_twins.issuperset(latin)
        ):
            return True
    return False


def scripts(text: str) -> dict[str, int]:
    """How many letters and marks of each script `text` has, the most frequent first: {"Bengali": 31, "Latin": 4}.
    Digits and signs count for none.
    """
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if script := script_of(character):
            counts[script] += count
    return dict(counts.most_common())


def clusters(text: str) -> list[str]:
    """A text in pieces that are drawn together: a letter with its marks, joiners, and what a virama ties to it; an
    emoji; a flag.

    >>> clusters("ক্ষমা")
    ['ক্ষ', 'মা']
    """
    return list(text) if text.isascii() else _cluster().findall(text)


@lru_cache(maxsize=1)
def _cluster() -> re.Pattern[str]:
    """Marks are spelt out, `re` has no name for them; built when first asked for, as that takes a moment."""
    codes = [
        code for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)) if unicodedata.category(chr(code))[0] == "M"
    ]
    marks = character_class(codes)
    viramas = character_class([code for code in codes if unicodedata.combining(chr(code)) == 9])
    skins, emoji = "\U0001f3fb-\U0001f3ff", "\u203c-\u3299\U0001f000-\U0001faff"
    return re.compile(
        f"[\U0001f1e6-\U0001f1ff]{{2}}|\n|[^\n]"
        f"(?:[{marks}\u200c\u200d{skins}{_TAGS}]|(?<=\u200d)(?:[^\\W\\d_]|[{emoji}])|(?<=[{viramas}])[^\\W\\d_])*"
    )
