"""Plain text: what is cleaned, what is left, and which damage is found."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import TESTS
from waiting import cpu_limit

from sft.markup import text
from sft.markup.unicode_scripts import joins, script_of

GOLDEN = TESTS / "golden" / "markup_text"
NATURAL: dict[str, str] = json.loads((GOLDEN / "natural.json").read_text("utf-8"))
CASES: list[dict[str, str]] = json.loads((GOLDEN / "clean.json").read_text("utf-8"))
CHECKS = (text.controls, text.invisible, text.lookalikes, text.marks_missing, text.odd_blanks)
MILLION = 1_000_000

alphabet = st.characters() | st.sampled_from(
    "\u200c\u200d\u200b\ufeff\u00ad\r\n\t \u0301\u2028\U0001f468\U0001f3f4\U000e0067কাম्يمAaАаΑα"
)
anything = st.text(alphabet, max_size=60)


@pytest.mark.parametrize("case", CASES, ids=[case["why"] for case in CASES])
def test_clean(case: dict[str, str]) -> None:
    assert text.clean(case["raw"]) == case["clean"]


@settings(max_examples=1000, deadline=None)
@given(anything)
def test_clean_is_idempotent_and_leaves_nothing_invisible(raw: str) -> None:
    cleaned = text.clean(raw)
    assert text.clean(cleaned) == cleaned
    assert text.clean_characters(text.clean_characters(raw)) == text.clean_characters(raw)
    assert text.invisible(cleaned) is None
    assert text.is_composed(cleaned) and text.odd_blanks(cleaned) is None
    assert "\r" not in cleaned and cleaned == cleaned.strip()
    assert all(line == line.rstrip() for line in cleaned.split("\n"))


@settings(max_examples=500, deadline=None)
@given(anything)
def test_clean_loses_no_letter_and_no_mark(raw: str) -> None:
    def letters(value: str) -> list[str]:
        return [
            c
            for c in unicodedata.normalize("NFD", value)
            if unicodedata.category(c)[0] in "LMNS" and not 0xE0000 <= ord(c) <= 0xE007F
        ]

    assert sorted(letters(text.clean(raw))) == sorted(letters(raw))


@pytest.mark.parametrize("script", NATURAL)
def test_natural_text_is_sound(script: str) -> None:
    sentence = NATURAL[script]
    assert text.marks_missing(sentence) is None
    assert [check(text.clean(sentence)) for check in CHECKS] == [None] * len(CHECKS)
    assert next(iter(text.scripts(sentence))) == script
    marks = sum(unicodedata.category(c)[0] == "M" for c in sentence)
    letters = sum(unicodedata.category(c)[0] == "L" for c in sentence)
    assert marks * 9 > letters


@pytest.mark.parametrize("script", NATURAL)
def test_text_without_its_marks_is_accused(script: str) -> None:
    damaged = re.sub(r"[^\w\s]", "", NATURAL[script])
    assert text.marks_missing(damaged) == script
    assert text.marks_missing(f"Latin words, 中文 and {damaged}") == script
    mixed = NATURAL["Tamil" if script != "Tamil" else "Bengali"] + " " + damaged
    assert text.marks_missing(mixed) == script


def test_short_and_spelt_out_labels_are_not_accused() -> None:
    assert text.marks_missing("কলম") is None
    assert text.marks_missing("ক খ গ ঘ ঙ চ ছ জ ঝ ঞ ট ঠ ড ঢ ণ ত থ দ ধ ন প ফ ব ভ ম") is None
    assert text.marks_missing("กรมการขนสงทางบก") is None
    assert text.marks_missing("১২৩৪৫৬৭৮৯০" * 10) is None


def test_the_official_demo_labels_are_found() -> None:
    """A line of ERNIE's Bengali demo: not one mark in it; natural Bengali is marks by a third."""
    assert text.marks_missing("সমসত মনষ সবধনভব সমন মরযদ এব অধকর নয জনমগরহণ কর") == "Bengali"


def test_controls() -> None:
    assert text.controls("a\tb\nc") is None
    assert text.controls("a\x00b\x85c\x00") == "U+0000, U+0085"
    assert text.controls("a\rb") == "U+000D"
    assert text.controls("\ufffe \ud800") == "U+FFFE, U+D800"
    assert text.controls("".join(map(chr, range(9)))) == "U+0000, U+0001, U+0002, U+0003, U+0004 and 4 more"


def test_invisible() -> None:
    assert text.invisible("a\u200bb\ufeff\u200b") == "U+200B, U+FEFF"
    assert text.invisible("می\u200cخواهم") is None
    assert text.invisible("Auf\u200clage") == "U+200C"


@pytest.mark.parametrize(
    "word", ["Mосква", "pаypal", "Οlympia", "CПб", "кBт", "Рetersburg", "Ελλαδα".replace("α", "a")]
)
def test_words_of_two_scripts(word: str) -> None:
    assert text.lookalikes(f"the {word}, 12") == word


@pytest.mark.parametrize(
    "words",
    [
        "ΔT",
        "kΩ μM αβγ",
        "β-carotene",
        "USB-кабель",
        "Wi-Fi и Москва",
        "3D-модель",
        "ΔABE",
        "Москва Moscow",
        "x²χ",
        "sinα",
        "Δx",
        "iPhoneом",
    ],
)
def test_honest_neighbours(words: str) -> None:
    assert text.lookalikes(words) is None


def test_scripts() -> None:
    assert text.scripts("Tokyo 東京 とうきょう トーキョー 12, ৪৫টি") == {
        "Latin": 5,
        "Hiragana": 5,
        "Katakana": 3,
        "Han": 2,
        "Bengali": 2,
    }
    assert text.scripts("１２ ＡＢ ｱ 한") == {"Latin": 2, "Katakana": 1, "Hangul": 1}
    assert text.scripts("12 + 5 = $") == {}
    assert (
        script_of("ଓ") == "Odia"
        and script_of("\u0301") == ""
        and script_of("\ue000") == ""
        and script_of("ꯀ") == "Meetei Mayek"
    )


def test_joins() -> None:
    assert joins("ক") and joins("্") and joins("م") and joins("မ")
    assert not joins("a") and not joins("中") and not joins("۵") and not joins("ก")


HOSTILE = {
    "letters without marks": "ক" * MILLION,
    "letters and blanks": "ক " * (MILLION // 2),
    "joiners": "\u200d" * MILLION,
    "mixed words": "aа" * (MILLION // 2),
    "one mixed word a line": "Mосква " * (MILLION // 7),
    "blanks": " " * MILLION + "ক",
    "stretches that break late": ("ক" * 15 + " " * 50 + "া") * (MILLION // 66),
    "byte order marks": "\ufeff" * MILLION,
    "flags": "\U0001f3f4" + "\U000e0067" * MILLION,
    "line ends": "\r" * MILLION,
    "no-break spaces": "\u00a0" * MILLION + "a",
    "blanks before line ends": " \n" * (MILLION // 2) + "a",
    "compatibility ideographs": "\ufa19\u0301" * (MILLION // 2),
    "accents": "a" + "\u0301" * 1000,
    "ascii": "a" * MILLION,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_million_characters(name: str) -> None:
    raw = HOSTILE[name]
    assert len(text.clean(raw)) <= len(raw)
    assert all(check(raw) != "" for check in CHECKS)
    assert sum(text.scripts(raw).values()) <= len(raw)


MARKS = st.sampled_from("a\u0301\u0316\u0344\u05b0\u3099é\u1ea4বো্")


@given(st.lists(st.tuples(MARKS, st.integers(1, 300)), max_size=12))
@settings(max_examples=150)
def test_nfc_is_that_of_unicodedata(parts: list[tuple[str, int]]) -> None:
    given_text = "".join(letter * count for letter, count in parts) + "\u0301\u0316" * 400
    assert text.nfc(given_text) == unicodedata.normalize("NFC", given_text)


@cpu_limit(20)
def test_marks_without_end_cost_linear_time() -> None:
    assert len(text.nfc("a" + "\u0301\u0316" * 500_000)) == 1_000_000


# --- white space

ODD_BLANKS = "\t\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f"


@pytest.mark.parametrize("blank", ODD_BLANKS)
def test_what_looks_like_a_blank_is_written_as_one(blank: str) -> None:
    assert text.clean(f"1{blank}250,00{blank} €") == "1 250,00 €"
    assert text.plain_blanks(f"a{blank}{blank}b\n{blank}c") == "a b\n c"
    assert text.odd_blanks(f"1{blank}250") == f"U+{ord(blank):04X}"


@pytest.mark.parametrize(
    "sound", ["東京\u3000天気", "\u3000\u3000一", "a\u1680b", "a b", "a\nb", "a\n b", "", "a\n\nb"]
)
def test_white_space_that_stays(sound: str) -> None:
    assert text.plain_blanks(sound) == text.tidy_blanks(sound) == sound and text.odd_blanks(sound) is None


def test_odd_blanks_are_named() -> None:
    assert text.odd_blanks("a\u2009b\u00a0c\u2009d") == "U+2009, U+00A0"
    assert text.odd_blanks("a   b") == "3 in a row"
    assert text.odd_blanks("a \nb") == "one at the end of a line"


def test_blanks_beside_the_pipes_of_a_chart_stay() -> None:
    chart = "  | a b | c\n1 |  | \n2 | 3 | 4"
    assert text.tidy_blanks(chart, cells=True) == chart and text.odd_blanks(chart, cells=True) is None
    assert text.tidy_blanks("a  b |\u00a0 c\u00a0d\ne  \nf", cells=True) == "a b |  c d\ne\nf"


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from(f"a| \n\u3000é{ODD_BLANKS}"), max_size=30), st.booleans())
def test_tidy_blanks_is_idempotent_and_touches_nothing_else(raw: str, cells: bool) -> None:
    tidy = text.tidy_blanks(raw, cells=cells)
    assert text.tidy_blanks(tidy, cells=cells) == tidy and text.odd_blanks(tidy, cells=cells) is None
    assert "".join(tidy.split()) == "".join(raw.split()) and tidy.count("\n") == raw.count("\n")
    assert not set(tidy) & set(ODD_BLANKS) and tidy.count("\u3000") == raw.count("\u3000")
    if not cells:
        assert "  " not in tidy and " \n" not in tidy


# --- the Unicode form

COMPATIBILITY = [
    code
    for code in (*range(0xF900, 0xFB00), *range(0x2F800, 0x2FA20))
    if unicodedata.normalize("NFC", chr(code)) != chr(code)
]


def test_compatibility_ideographs_stay_as_they_are_seen() -> None:
    assert len(COMPATIBILITY) == 1002
    everything = "".join(map(chr, COMPATIBILITY))
    assert text.composed(everything) == text.clean(everything) == everything and text.is_composed(everything)
    assert text.clean("\ufa19戸神社 e\u0301\ufa1b\u0323\u0301") == "\ufa19戸神社 é\ufa1b\u0323\u0301"


def test_other_singletons_are_composed() -> None:
    assert text.composed("\u212b \u2126 \u212a \u037e \u0387 \u2329 \uac00") == "Å Ω K ; · 〈 가"
    assert not text.is_composed("\u212b") and not text.is_composed("e\u0301") and text.is_composed("é가")


seen = st.text(
    st.sampled_from([*"aeé\u0301\u0323\u0344\u1100\u1161ক়ো\u212b神", *map(chr, COMPATIBILITY[::97])]), max_size=12
)


@settings(max_examples=1500, deadline=None)
@given(seen)
def test_composed_is_nfc_but_for_these_ideographs(raw: str) -> None:
    found = text.composed(raw)
    assert unicodedata.normalize("NFC", found) == unicodedata.normalize("NFC", raw)
    kept = [sign for sign in raw if ord(sign) in COMPATIBILITY]
    assert [sign for sign in found if ord(sign) in COMPATIBILITY] == kept
    assert text.composed(found) == found and text.is_composed(found)
    assert text.is_composed(raw) == (found == raw)
    if not kept:
        assert found == unicodedata.normalize("NFC", raw)


@cpu_limit(20)
def test_marks_without_end_beside_ideographs_cost_linear_time() -> None:
    assert len(text.composed("\ufa19" + "\u0301\u0316" * 500_000 + "\ufa19")) == 1_000_002
