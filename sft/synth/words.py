"""Plausible words, numbers and labels where the user gives no texts: Latin and Bengali letters, digits of both."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sft.errors import UsageError
from sft.synth.font_files import covers

BENGALI_DIGITS = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")
COMMON_TEXT = (
    "the of and to in for with on by from at as is are was not this that which between after before under total amount"
    " date number name address city order item price quantity tax unit rate page table figure section result value mean"
    " year month week first second third open closed new old north south east west water energy paper letter house"
    " market field group member report order account balance service company office school index level test sample"
)
COMMON = COMMON_TEXT.split()
ONSET_TEXT = "b bl br c ch cr d dr f fl g gr h j k l m n p ph pl pr qu r s sc sh st str t th tr v w z"
ONSETS = (*ONSET_TEXT.split(), "")
NUCLEI = ("a", "e", "i", "o", "u", "y", "ai", "ea", "ei", "io", "ou", "oo")
CODAS = (
    "",
    "",
    "",
    "b",
    "ck",
    "ct",
    "d",
    "ff",
    "g",
    "l",
    "ll",
    "m",
    "n",
    "nd",
    "ng",
    "nt",
    "p",
    "r",
    "rd",
    "rt",
    "s",
    "ss",
    "st",
    "t",
    "x",
)
CONSONANTS = "কখগঘচছজঝটঠডঢণতথদধনপফবভমযরলশষসহ"
CONJUNCT_TEXT = (
    "ক্ষ ক্ত ঙ্ক ঙ্গ চ্চ চ্ছ জ্জ জ্ঞ ঞ্চ ঞ্জ ট্ট ণ্ট ণ্ড ত্ত ত্র ত্ব দ্দ দ্ধ দ্ব দ্র ন্ত ন্দ ন্ধ ন্ন ন্ম প্ত প্র ব্দ"
    " ব্র ম্প ম্ব ম্ম র্ক র্ত র্ম র্থ ল্প ল্ল শ্চ শ্র ষ্ট ষ্ণ স্ক স্ত স্থ স্ন স্ব হ্ম"
)
CONJUNCTS = CONJUNCT_TEXT.split()
FINALS = ("ৎ", "ং", "ড়", "য়", "ঢ়", "ঁ")  # those with a dot below as NFC writes them: letter and dot
VOWEL_SIGNS = ("", "", "", "া", "া", "ি", "ি", "ী", "ু", "ূ", "ে", "ে", "ো", "ৃ", "ৈ", "ৌ")
VOWELS = "অআইঈউঊএঐওঔ"
CURRENCIES = ("€", "£", "$")  # a price; with formulas in one text the dollar is left out


def latin_word(rng: random.Random) -> str:
    """A common word or an invented one that can be spoken; sometimes with a capital."""
    syllables = (rng.choice(ONSETS) + rng.choice(NUCLEI) for _ in range(rng.choice((1, 1, 2, 2, 3))))
    word = rng.choice(COMMON) if rng.random() < 0.5 else "".join(syllables) + rng.choice(CODAS)
    kind = rng.random()
    return word.capitalize() if kind < 0.2 else word.upper() if kind < 0.24 else word


def bengali_word(rng: random.Random) -> str:
    """Letters and conjuncts with vowel signs where they may stand; one to four syllables."""
    syllables = [rng.choice(VOWELS)] if rng.random() < 0.12 else []
    for _ in range(rng.choice((1, 2, 2, 3, 3, 4))):
        joined = bool(syllables) and rng.random() < 0.2
        syllables.append((rng.choice(CONJUNCTS) if joined else rng.choice(CONSONANTS)) + rng.choice(VOWEL_SIGNS))
    if rng.random() < 0.2:
        syllables.append(rng.choice(FINALS))
    return unicodedata.normalize("NFC", "".join(syllables))


@dataclass(frozen=True)
class Language:
    """A word generator, the letters that a font must have for it, its digits and how a sentence ends."""

    word: Callable[[random.Random], str]
    needs: str
    ends: tuple[str, ...]
    currency: tuple[str, ...]
    bengali_digits: bool = False


LANGUAGES: dict[str, Language] = {
    "latin": Language(
        latin_word,
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;()%-/",
        (".", ".", ".", "!", "?"),
        CURRENCIES,
    ),
    "bengali": Language(
        bengali_word,
        "০১২৩৪৫৬৭৮৯।,%-/" + CONSONANTS + VOWELS + "".join({*"".join(VOWEL_SIGNS), "্", "ৎ", "ং", "ঁ", "়"}),
        ("।",),
        ("৳",),
        bengali_digits=True,
    ),
}


def languages(fonts: Sequence[Path]) -> tuple[str, ...]:
    """Names of the languages whose letters one of the fonts has; UsageError where there is none."""
    offered = tuple(
        name
        for name, language in LANGUAGES.items()
        if any(all(covers(font, char) for char in language.needs) for font in fonts)
    )
    if not offered:
        names = ", ".join(font.name for font in fonts)
        raise UsageError(
            f"words are generated for {' and '.join(LANGUAGES)} only, and {names} supports neither",
            hint="give your own lines: --texts FILE, one text a line",
        )
    return offered


@dataclass(frozen=True)
class Words:
    """Makes words and numbers of one language; with `given`, texts are the user's own and only numbers are made up."""

    rng: random.Random
    language: Language
    given: tuple[str, ...] = ()
    currency: tuple[str, ...] = ()

    def word(self) -> str:
        """One word, or one of the given texts."""
        return self.rng.choice(self.given) if self.given else self.language.word(self.rng)

    def label(self, words: int = 2) -> str:
        """One to `words` words, the first with a capital; or one of the given texts."""
        if self.given:
            return self.word()
        text = " ".join(self.word() for _ in range(self.rng.randint(1, words)))
        return text[:1].upper() + text[1:]

    def number(self) -> str:
        """A whole, decimal, negative or large number, a percentage or a price."""
        rng = self.rng
        kind = rng.choice(("whole", "whole", "decimal", "decimal", "large", "percent", "price", "signed"))
        text = {
            "whole": lambda: str(rng.randint(0, 999)),
            "decimal": lambda: f"{rng.uniform(0, 100):.{rng.choice((1, 2, 3))}f}",
            "large": lambda: f"{rng.randint(1000, 9_999_999):,}",
            "percent": lambda: f"{rng.uniform(0, 100):.{rng.choice((0, 1))}f}%",
            "price": lambda: (
                rng.choice(self.currency or self.language.currency)
                + f"{rng.randint(1, 99_999):,}.{rng.randint(0, 99):02d}"
            ),
            "signed": lambda: f"-{rng.uniform(0, 50):.1f}",
        }[kind]()
        return self.digits(text)

    def date(self) -> str:
        """A date or a time."""
        rng = self.rng
        day = rng.randint(1, 28)
        month = rng.randint(1, 12)
        year = rng.randint(1950, 2035)
        return self.digits(
            rng.choice(
                (
                    f"{year}-{month:02d}-{day:02d}",
                    f"{day:02d}/{month:02d}/{year}",
                    f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}",
                )
            )
        )

    def digits(self, text: str) -> str:
        """The digits of the language in place of 0 to 9."""
        return text.translate(BENGALI_DIGITS) if self.language.bengali_digits else text

    def sentence(self, words: int) -> str:
        """Words and now and then a number, with commas and an end."""
        rng = self.rng
        parts: list[str] = []
        for index in range(words):
            part = self.number() if rng.random() < 0.1 else self.date() if rng.random() < 0.03 else self.word()
            if rng.random() < 0.04 and not self.language.bengali_digits:
                part = f"({part})"
            parts.append(part + ("," if rng.random() < 0.08 and index < words - 1 else ""))
        text = " ".join(parts)
        return text[:1].upper() + text[1:] + rng.choice(self.language.ends)

    def line(self) -> str:
        """What stands in one line of print: a few words, a heading, a field with its value, a number."""
        rng = self.rng
        kind = rng.choice(("sentence", "sentence", "words", "field", "number"))
        if kind == "sentence":
            return self.sentence(rng.randint(3, 9))
        if kind == "words":
            return self.label(6)
        if kind == "field":
            return f"{self.label(2)}: {rng.choice((self.number, self.date, self.word))()}"
        return rng.choice((self.number, self.date))()


def make(rng: random.Random, fonts: Sequence[Path], given: tuple[str, ...] = (), *, dollars: bool = True) -> Words:
    """A maker of words for one sample: one of the languages that the fonts cover."""
    if given:
        numerals = [
            name
            for name, language in LANGUAGES.items()
            if any(covers(font, "0" if name == "latin" else "০") for font in fonts)
        ]
        language = LANGUAGES[numerals[0] if numerals else "latin"]
    else:
        language = LANGUAGES[rng.choice(languages(fonts))]
    currency = tuple(
        sign for sign in language.currency if (dollars or sign != "$") and any(covers(font, sign) for font in fonts)
    )
    return Words(rng, language, given, currency)
