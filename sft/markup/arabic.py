"""Arabic letters that are written as something else: as their shapes, or with the letters of another language.

Unicode has each letter of Arabic once, and fonts choose its shape by its neighbours. Old code pages and programs that
shape texts themselves leave presentation forms (U+FB50 to U+FDFF, U+FE70 to U+FEFC): `ﺑﻴﺖ` shows what `بيت` shows, and
no tokenizer knows that. And Persian and Urdu have a yeh and a kaf of their own (ی U+06CC, ک U+06A9), which an Arabic
keyboard has not. Source of the shapes: the compatibility decompositions of the Unicode Character Database, which name
them (<isolated>, <final>, <initial>, <medial>); chapter 9.2 of the standard for what they mean.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import NamedTuple

from sft.markup.unicode_scripts import character_class

# Signs of their own, that nobody spells out: ﷲ is not among them, ﷺ and ﷼ are
_WORD_SIGNS = frozenset(range(0xFDF0, 0xFDFD)) - {0xFDF2}
_SHAPES = {"<isolated>": (False, False), "<final>": (True, False), "<initial>": (False, True), "<medial>": (True, True)}
_TATWEEL = "\u0640"


class _Form(NamedTuple):
    """A presentation form: the letters that it shows, and whether it is joined to what stands before and behind it."""

    letters: str
    before: bool
    behind: bool


@cache
def _forms() -> dict[str, _Form]:
    forms = {}
    for code in (*range(0xFB50, 0xFE00), *range(0xFE70, 0xFEFD)):
        shape, *parts = unicodedata.decomposition(chr(code)).split() or [""]
        if shape in _SHAPES and code not in _WORD_SIGNS:
            forms[chr(code)] = _Form(
                "".join(chr(int(part, 16)) for part in parts),
                *_SHAPES[shape],
            )
    return forms


@cache
def _joining() -> dict[str, tuple[bool, bool]]:
    """Letter → whether it joins the one before, and the one behind; letters that have no presentation form are not
    in it.
    """
    joining = {_TATWEEL: (True, True)}
    for form in _forms().values():
        if len(form.letters) == 1:
            before, behind = joining.get(form.letters, (False, False))
            joining[form.letters] = (before or form.before, behind or form.behind)
    return joining


_FORM = re.compile("[\ufb50-\ufbb1\ufbd3-\ufd3d\ufd50-\ufdc7\ufdf2\ufe70-\ufefc]")
_LETTERS = r"\u0620-\u065f\u066e-\u06d3\u06d5-\u06dc\u06df-\u06e8\u06ea-\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08ff"
_JOINED = re.compile(f"[{_LETTERS}\u200c\u200d\ufb50-\ufd3d\ufd50-\ufdcf\ufdf2\ufe70-\ufefc]+")
_SHOWN = 5  # forms named in one message


def presentation_forms(text: str) -> str | None:
    """The presentation forms of `text` ("U+FE91, U+FEF4 for بي"), and whether they run backwards; None if there are
    none. Ornate parentheses, ﷺ and ﷼ are characters of their own.
    """
    if text.isascii() or not _FORM.search(text):
        return None
    letters = [letter for letter in dict.fromkeys(_FORM.findall(text)) if letter in _forms()]
    if not letters:
        return None
    named = ", ".join(f"U+{ord(letter):04X}" for letter in letters[:_SHOWN])
    more = f" and {len(letters) - _SHOWN} more" if len(letters) > _SHOWN else ""
    words = _JOINED.findall(text)
    backwards = not all(map(_fits, words)) and all(_fits(word[::-1]) for word in words)
    return f"{named}{more}{', in the order of the screen' if backwards else ''}"


def plain_letters(text: str) -> str:
    """`text` with the letters themselves in place of presentation forms, where fonts would shape them to just these
    forms; the text as it is where one word of it would look otherwise (letters kept apart, or written backwards).

    >>> plain_letters("ﺑﻴﺖ")
    'بيت'
    """
    if text.isascii() or not _FORM.search(text) or not all(map(_fits, _JOINED.findall(text))):
        return text
    forms = _forms()
    return _FORM.sub(
        lambda match: forms[match[0]].letters if match[0] in forms else match[0],
        text,
    )


def _fits(word: str) -> bool:
    """Whether every presentation form of a word is the one that a font would choose there."""
    if not _FORM.search(word):
        return True
    forms = _forms()
    joining = _joining()
    letters: list[tuple[bool, bool, _Form | None]] = []  # joins what stands before, behind; the form, if it is one
    for sign in word:
        form = forms.get(sign)
        if form is None and unicodedata.category(sign) == "Mn":
            continue
        if sign in "\u200c\u200d":
            letters.append((sign == "\u200d", sign == "\u200d", None))
            continue
        spelt = [letter for letter in (form.letters if form else sign) if unicodedata.category(letter) != "Mn"]
        if not spelt or not {spelt[0], spelt[-1]} <= joining.keys():
            return False
        letters.append((joining[spelt[0]][0], joining[spelt[-1]][1], form))
    for at, (before, behind, form) in enumerate(letters):
        if form is None:
            continue
        joined_before = at > 0 and before and letters[at - 1][1]
        joined_behind = at + 1 < len(letters) and behind and letters[at + 1][0]
        if (joined_before, joined_behind) != (form.before, form.behind):
            return False
    return True


# --- yeh and kaf

_ALPHABET = "\u0621-\u063a\u0641-\u064a\u0671پچژگکیۀٹڈڑںہۂۃھےۓ"  # of Arabic, Persian and Urdu
_ARABIC_BLOCKS = (*range(0x620, 0x700), *range(0x750, 0x780), *range(0x8A0, 0x8CA))
_OTHERS = re.compile(  # a letter of none of the three, or a ى that is not the last letter of its word
    "["
    + character_class(
        [code for code in _ARABIC_BLOCKS if chr(code).isalpha() and not re.match(f"[{_ALPHABET}ـ]", chr(code))]
    )
    + f"]|ى(?=[ـً-ْ]*[{_ALPHABET}])"
)
_WORD = re.compile(f"[{_ALPHABET}\u0640\u064b-\u0655\u0670\u200c]+")
_ARABIC = re.compile("[\u0643\u064a]|\u0649[\u064b-\u0652]*(?![\u0640-\u06ff\u200d])")
_PERSIAN = re.compile("[پچژگکی]")
_YEH_OR_KAF = re.compile("[\u0643\u064a]")
_ONLY_PERSIAN = re.compile("[کی]")  # no orthography of Arabic letters has these beside ي and ك, but those of _OTHERS
_RIGHT = {"\u0643": "ک", "\u064a": "ی", "\u0649": "ی"}


def other_orthography(text: str) -> bool:
    """Does `text` have letters of Pashto, Sindhi, Uyghur, Kurdish, Jawi and others, which know both kinds of yeh or
    kaf, or ى inside a word?
    """
    return _OTHERS.search(text) is not None


def mixed_yeh_kaf(text: str) -> str | None:
    """The first word of `text` in which a yeh or kaf of Arabic (ي, ك, ى at the end) stands beside a letter of Persian
    (پ چ ژ گ ک ی); None if there is none, or where the text is in another language that writes so.
    """
    if text.isascii() or not _ARABIC.search(text) or not _PERSIAN.search(text) or other_orthography(text):
        return None
    return next(
        (word[0] for word in _WORD.finditer(text) if _is_mixed(word[0])),
        None,
    )


def _is_mixed(word: str) -> bool:
    evidence = _PERSIAN if _YEH_OR_KAF.search(word) else _ONLY_PERSIAN
    return _ARABIC.search(word) is not None and evidence.search(word) is not None


def persian_letters(text: str) -> str:
    """`text` with ی and ک in the words that have one of these already, and ي, ك or a final ى beside it; words that
    might be Arabic (پيكاسو) stay, and so does a text of another orthography.

    >>> persian_letters("كتابی يک پيكاسو")
    'کتابی یک پيكاسو'
    """
    if text.isascii() or not _ONLY_PERSIAN.search(text) or not _ARABIC.search(text) or other_orthography(text):
        return text

    def fix(word: re.Match[str]) -> str:
        if not _ONLY_PERSIAN.search(word[0]):
            return word[0]
        return _ARABIC.sub(
            lambda letter: _RIGHT[letter[0][0]] + letter[0][1:],
            word[0],
        )

    return _WORD.sub(fix, text)
