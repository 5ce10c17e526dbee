"""Plain text: what is cleaned, what is left, and which damage is found."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.markup import text
from sft.markup.unicode_scripts import joins, script_of

GOLDEN = Path(__file__).parent / "golden" / "markup_text"
NATURAL: dict[str, str] = json.loads((GOLDEN / "natural.json").read_text("utf-8"))
CASES: list[dict[str, str]] = json.loads((GOLDEN / "clean.json").read_text("utf-8"))
CHECKS = (text.controls, text.invisible, text.lookalikes, text.marks_missing)
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
    assert unicodedata.is_normalized("NFC", cleaned)
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


@settings(max_examples=1500, deadline=None)
@given(anything)
def test_the_cheap_question_misses_nothing(raw: str) -> None:
    if not text.maybe_suspicious(raw):
        assert [check(raw) for check in CHECKS] == [None] * len(CHECKS)


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
    assert text.maybe_suspicious(damaged)
    mixed = NATURAL["Tamil" if script != "Tamil" else "Bengali"] + " " + damaged
    assert text.maybe_suspicious(mixed) and text.marks_missing(mixed) == script


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
    assert text.maybe_suspicious(word)


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
    "accents": "a" + "\u0301" * 1000,
    "ascii": "a" * MILLION,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_million_characters(name: str) -> None:
    raw = HOSTILE[name]
    assert len(text.clean(raw)) <= len(raw)
    found = [check(raw) for check in CHECKS]
    assert text.maybe_suspicious(raw) or not any(found)
    assert sum(text.scripts(raw).values()) <= len(raw)


MARKS = st.sampled_from("a\u0301\u0316\u0344\u05b0\u3099é\u1ea4বো্")


@given(st.lists(st.tuples(MARKS, st.integers(1, 300)), max_size=12))
@settings(max_examples=150)
def test_nfc_is_that_of_unicodedata(parts: list[tuple[str, int]]) -> None:
    given_text = "".join(letter * count for letter, count in parts) + "\u0301\u0316" * 400
    assert text.nfc(given_text) == unicodedata.normalize("NFC", given_text)


@pytest.mark.timeout(20)
def test_marks_without_end_cost_linear_time() -> None:
    assert len(text.nfc("a" + "\u0301\u0316" * 500_000)) == 1_000_000
