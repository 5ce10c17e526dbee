"""One look, one spelling: what is found and mended in each script, and what is left alone.

`golden/markup_text/arabic_forms.json`: words and lines as arabic-reshaper 3.1.0 shapes them (its harakat kept), and as
python-bidi 0.6.12 then puts them into the order of the screen.
"""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import TESTS

from sft.markup import arabic, script_of, spelling, text

GOLDEN = TESTS / "golden" / "markup_text"
SHAPED: list[dict[str, str]] = json.loads((GOLDEN / "arabic_forms.json").read_text("utf-8"))
NATURAL: dict[str, str] = json.loads((GOLDEN / "natural.json").read_text("utf-8"))
MANY = 200_000

# script → pairs of what is written and what is right
RESPELT = {
    "Thai": [
        ("น\u0e4d\u0e49\u0e32", "น้ำ"),
        ("น\u0e49\u0e4d\u0e32", "น้ำ"),
        ("น\u0e33\u0e49", "น้ำ"),
        ("ท\u0e4d\u0e32งาน", "ทำงาน"),
        ("\u0e40\u0e40ม่", "แม่"),
        ("\u0e40\u0e40ละ\u0e40\u0e40ม่น\u0e4d\u0e49\u0e32", "และแม่น้ำ"),
        ("ท\u0e48\u0e35น\u0e48\u0e35", "ที่นี่"),
    ],
    "Lao": [
        ("ນ\u0ecd\u0ec9\u0eb2", "ນ້ຳ"),
        ("ນ\u0ec9\u0ecd\u0eb2", "ນ້ຳ"),
        ("ນ\u0eb3\u0ec9", "ນ້ຳ"),
        ("ຄ\u0ecd\u0eb2", "ຄຳ"),
        ("\u0ec0\u0ec0ມ່", "ແມ່"),
        ("ທ\u0ec8\u0eb5", "ທີ່"),
    ],
    "Malayalam": [
        ("അവന\u0d4d\u200d", "അവൻ"),
        ("അവള\u0d4d\u200d", "അവൾ"),
        ("കണ\u0d4d\u200d", "കൺ"),
        ("അവര\u0d4d\u200d", "അവർ"),
        ("പാല\u0d4d\u200d", "പാൽ"),
        ("വാക\u0d4d\u200d", "വാൿ"),
        ("ഇ\u0d57ശ്വരൻ", "ഈശ്വരൻ"),
        ("ഒ\u0d3eണം", "ഓണം"),
        ("ക\u0d46\u0d46", "കൈ"),
    ],
    "Devanagari": [
        ("अ\u093eम", "आम"),
        ("भा\u0930\u094d\u0907", "भाई"),
        ("उ\u0941पर", "ऊपर"),
        ("ए\u0947सा", "ऐसा"),
        ("अ\u094bस", "ओस"),
        ("आ\u0947स", "ओस"),
        ("अ\u093e\u0947स", "ओस"),
        ("अ\u0949फिस", "ऑफिस"),
    ],
    "Bengali": [
        ("অ\u09beমি", "আমি"),
        ("অ\u09beকাশ", "আকাশ"),
        ("ঋ\u09c3", "ৠ"),
        ("ঌ\u09e2", "ৡ"),
        ("হঠাত\u09cd\u200d", "হঠাৎ"),
        ("উত\u09cd\u200dসব", "উৎসব"),
    ],
    "Gurmukhi": [
        ("ਅ\u0a3eਮ", "ਆਮ"),
        ("ੲ\u0a3fਕ", "ਇਕ"),
        ("ੲ\u0a40", "ਈ"),
        ("ੳ\u0a41ਸ", "ਉਸ"),
        ("ੲ\u0a47ਕ", "ਏਕ"),
        ("ਅ\u0a4cਰਤ", "ਔਰਤ"),
    ],
    "Gujarati": [
        ("અ\u0abeમ", "આમ"),
        ("અ\u0ac7ક", "એક"),
        ("અ\u0acbરડો", "ઓરડો"),
        ("અ\u0abe\u0ac7રડો", "ઓરડો"),
        ("અ\u0ac9ફિસ", "ઑફિસ"),
        ("ક\u0ac5\u0abeફી", "કૉફી"),
    ],
    "Odia": [("ଅ\u0b3eମ", "ଆମ"), ("ଏ\u0b57", "ଐ"), ("ଓ\u0b57", "ଔ"), ("ଅ\u0b3eମେ", "ଆମେ"), ("ଅ\u0b3eଖି", "ଆଖି")],
    "Tamil": [
        ("அ\u0bc2டு", "ஆடு"),
        ("அ\u0bc2", "ஆ"),
        ("ஒ\u0bd7வை", "ஔவை"),
        ("கெ\u0bbeடி", "கொடி"),
        ("அ\u0bc2ம்", "ஆம்"),
    ],
    "Telugu": [
        ("ఒ\u0c55డ", "ఓడ"),
        ("ఒ\u0c4c", "ఔ"),
        ("క\u0c3f\u0c55", "కీ"),
        ("క\u0c46\u0c55", "కే"),
        ("క\u0c4a\u0c55తి", "కోతి"),
    ],
    "Kannada": [
        ("ಉ\u0cbeಟ", "ಊಟ"),
        ("ಒ\u0cccಷಧ", "ಔಷಧ"),
        ("ಋ\u0cbe", "ೠ"),
        ("ಉ\u0cbeರು", "ಊರು"),
        ("ಕ\u0cc6\u0cd5", "ಕೇ"),
    ],
    "Sinhala": [
        ("අ\u0dcfදරය", "ආදරය"),
        ("අ\u0dd0ස", "ඇස"),
        ("අ\u0dd1ත", "ඈත"),
        ("උ\u0ddf", "ඌ"),
        ("එ\u0dca", "ඒ"),
        ("ක\u0dd9\u0dd9", "කෛ"),
    ],
    "Khmer": [
        ("ក\u17c1\u17b8ត", "កើត"),
        ("ក\u17c1\u17b6ះ", "កោះ"),
        ("ធ\u17d2វ\u17c1\u17b8", "ធ្វើ"),
        ("ព\u17c1\u17b6ធិ៍", "ពោធិ៍"),
        ("ល\u17c1\u17b8", "លើ"),
    ],
}
PAIRS = [(script, wrong, right) for script, pairs in RESPELT.items() for wrong, right in pairs]


@pytest.mark.parametrize(("script", "wrong", "right"), PAIRS)
def test_a_sequence_becomes_what_it_looks_like(script: str, wrong: str, right: str) -> None:
    composed = unicodedata.normalize("NFC", wrong)  # Tamil and Kannada have parts that NFC itself puts together
    assert spelling.respelt(composed) == right and spelling.canonical(wrong) == right
    assert composed == right or spelling.misspelt(wrong)
    assert spelling.misspelt(right) is None and spelling.respelt(right) == right
    assert spelling.respelt(f"x {composed}, {composed}") == f"x {right}, {right}"
    assert script in text.scripts(right)


def test_every_script_has_its_cases() -> None:
    assert all(len(pairs) >= 5 for pairs in RESPELT.values())


@pytest.mark.parametrize("sequence", spelling.SEQUENCES)
def test_every_sequence_is_of_one_script_and_of_letters_that_exist(sequence: str) -> None:
    right = spelling.SEQUENCES[sequence]
    assert spelling.misspelt(sequence) and spelling.respelt(sequence) == right and spelling.misspelt(right) is None
    assert {script_of(sign) for sign in sequence.replace("\u200d", "")} == {script_of(right)} != {""}
    kinds = {"L": "LETTER", "M": "SIGN"}  # a letter and what follows make a letter, two signs make a sign
    first = unicodedata.category(sequence[0])[0]
    assert unicodedata.category(right)[0] == first and kinds[first] in unicodedata.name(right).replace(
        "VOWEL", "LETTER SIGN"
    )


def test_what_has_no_one_right_spelling_is_named_and_left() -> None:
    for doubtful in ("เ\u0e40\u0e40ม่", "ก\u0e40\u0e40\u0e40\u0e40", "ກ\u0ec0\u0ec0\u0ec0"):
        assert spelling.misspelt(doubtful) and spelling.respelt(doubtful) == doubtful
    assert spelling.misspelt("น\u0e4d\u0e49\u0e32") == "U+0E4D U+0E49 U+0E32 for U+0E49 U+0E33"
    assert spelling.misspelt("\u0e40\u0e40ม่") == "U+0E40 U+0E40 for U+0E41"


@pytest.mark.parametrize(
    "honest",
    [
        *NATURAL.values(),
        "น้ำ แม่ ก็ เก้า ที่นี่ ทั้งนี้ กำลัง ปั๊ม บุ๋ม เป็น",
        "พุทฺธํ สรณํ คจฺฉามิ",  # Pali: the ring without aa
        "ນ້ຳ ແມ່ ກໍ່ ຂໍ ວ່າ ທີ່",
        "ക്ഷ ന്റെ അവൻ കൈ ഐ ഓ",
        "अंत आँख ऊँट एवं ओंकार आए लिए इंदौर र्कि",
        "অংশ আঁকা অঃ উৎসব ত্যাগ ক্‍ষ",
        "ਅੰਬ ਇੰਝ ਉੱਤੇ",
        "અંત ઍક્ટ ઑફિસ આંબો",
        "ଅଂଶ ଆଁ",
        "ஔவை கௌரவம் ஊர்",
        "ఔషధం ఊరు ఏం",
        "ಊಟ ಔಷಧ ಏಕೆ",
        "ඇස ක්\u200dෂ ඓතිහාසික",
        "កើត កោះ កេ កី កា",
    ],
)
def test_honest_text_is_left_alone(honest: str) -> None:
    honest = unicodedata.normalize("NFC", honest)
    assert spelling.misspelt(honest) is None and spelling.respelt(honest) == honest
    assert spelling.stray_mark(honest) is None and spelling.canonical(honest) == honest.strip()


SIGNS = sorted({sign for pair in PAIRS for word in pair[1:] for sign in word} | set("กขคงอ\u0e47\u0e4cກ\u0ebb\u0ebc "))
words = st.text(st.sampled_from(SIGNS), max_size=9)


@settings(max_examples=2000, deadline=None)
@given(words)
def test_respelling_ends(raw: str) -> None:
    once = spelling.respelt(raw)
    assert spelling.respelt(once) == once
    assert (once == raw) or spelling.misspelt(raw)
    assert spelling.canonical(spelling.canonical(raw)) == spelling.canonical(raw)


@settings(max_examples=2000, deadline=None)
@given(words)
def test_nothing_is_misspelt_without_a_telltale(raw: str) -> None:
    characters, pairs = spelling.telltales()
    if not characters & set(raw) and not any(pair in raw for pair in pairs):
        assert spelling.misspelt(raw) is None


# --- presentation forms


@pytest.mark.parametrize("case", SHAPED, ids=lambda case: case["text"])
def test_shaped_text_becomes_letters(case: dict[str, str]) -> None:
    assert arabic.plain_letters(case["shaped"]) == case["text"]
    assert arabic.plain_letters(case["text"]) == case["text"] and arabic.presentation_forms(case["text"]) is None
    assert (arabic.presentation_forms(case["shaped"]) is None) == (case["shaped"] == case["text"])
    assert spelling.canonical(case["shaped"]) == spelling.canonical(case["text"])


def test_text_in_the_order_of_the_screen_is_named_and_left() -> None:
    turned = [case["screen"] for case in SHAPED if arabic.plain_letters(case["screen"]) == case["screen"]]
    assert len(turned) > 60
    assert {"بيت", "سلام"} <= {case["text"] for case in SHAPED if case["screen"] in turned}
    for screen in ("\ufe96\ufef4\ufe91", "\ufee1\ufefc\ufeb3 \ufe96\ufef4\ufe91"):
        said = arabic.presentation_forms(screen)
        assert said is not None and said.endswith("in the order of the screen")
        assert arabic.plain_letters(screen) == screen


@pytest.mark.parametrize(
    "kept_apart",
    [
        "\ufe8f\ufef1\ufe95",
        "\ufe91 \ufef4",
        "\ufe91",
        "ب\ufe8e\ufe8e",
        "\ufe70",
        "\ufc5e",
        "\ufe91\ufef4\ufe96 \ufe8f\ufef1",
    ],
)
def test_letters_that_would_look_otherwise_are_left(kept_apart: str) -> None:
    """An alphabet, a form in the wrong place, a mark on a blank: as plain letters, the picture would change."""
    assert arabic.presentation_forms(kept_apart) and arabic.plain_letters(kept_apart) == kept_apart


@pytest.mark.parametrize("honest", ["ﷺ", "﷼ ۱۲", "﴿ قل ﴾", "ﷻ", "﷽", "بيت", "ﬁ ﬂ", "שׁ"])
def test_signs_of_their_own_are_no_presentation_forms(honest: str) -> None:
    assert arabic.presentation_forms(honest) is None and arabic.plain_letters(honest) == honest


def test_a_word_ligature_that_fonts_make_is_spelt_out() -> None:
    assert arabic.plain_letters("وﷲ") == "والله" and arabic.presentation_forms("ﷲ") == "U+FDF2"
    assert arabic.plain_letters("بﷲ") == "بﷲ"  # there its alef would be joined


DUAL, RIGHT = "بتثجحخسشصضطظعغفقكلمنهي", "ادذرزو"


def shaped(word: str) -> str:
    """A word in the forms that the names of the characters tell, without ligatures."""
    forms = []
    for at, letter in enumerate(word):
        before = at > 0 and word[at - 1] in DUAL
        behind = letter in DUAL and at + 1 < len(word)
        kind = {(0, 0): "ISOLATED", (1, 0): "FINAL", (0, 1): "INITIAL", (1, 1): "MEDIAL"}[before, behind]
        forms.append(unicodedata.lookup(f"{unicodedata.name(letter)} {kind} FORM"))
    return "".join(forms)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.text(st.sampled_from(DUAL + RIGHT), min_size=1, max_size=8), min_size=1, max_size=4))
def test_shaping_is_undone(found: list[str]) -> None:
    raw = " ".join(map(shaped, found))
    assert arabic.plain_letters(raw) == " ".join(found)
    assert arabic.presentation_forms(raw)
    assert arabic.plain_letters(arabic.plain_letters(raw)) == " ".join(found)


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from([*"باﻻ لﷲ\u064e\u0640\u200c\u200d", *map(chr, range(0xFE70, 0xFEFD, 3))]), max_size=8))
def test_letters_are_put_in_for_all_forms_or_for_none(raw: str) -> None:
    found = arabic.plain_letters(raw)
    assert found == raw or arabic.presentation_forms(found) is None
    assert arabic.plain_letters(found) == found


# --- yeh and kaf


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("كتاب‌های", "کتاب‌های"),
        ("يک", "یک"),
        ("كتابی", "کتابی"),
        ("یكي", "یکی"),
        ("کتاب من و كتابهای تو", "کتاب من و کتابهای تو"),
        ("گفتگويی", "گفتگویی"),
        ("کَيفی", "کَیفی"),
        ("کتابهاى", "کتابهای"),
    ],
)
def test_yeh_and_kaf_of_persian(wrong: str, right: str) -> None:
    assert arabic.mixed_yeh_kaf(wrong)
    assert arabic.persian_letters(wrong) == right
    assert arabic.persian_letters(right) == right


@pytest.mark.parametrize("word", ["پيام", "گفتگوي", "چاي", "ژاكت", "پيكر"])
def test_words_that_may_be_arabic_are_named_and_left(word: str) -> None:
    assert arabic.mixed_yeh_kaf(f"در {word} ما") == word
    assert arabic.persian_letters(word) == word


@pytest.mark.parametrize(
    "honest",
    [
        "كتاب جديد في المكتبة",
        "کتاب‌های جدید در کتابخانه",
        "یہ ایک کتاب ہے",
        "كتاب و کتاب",  # two words
        "کتابي ښه دی",  # Pashto
        "پاڻي ۽ کير",  # Sindhi
        "ئۇيغۇرچە كىتاب چىگىش",  # Uyghur
        "کيت ڤرݢي",  # Jawi
        "الی على",
    ],
)
def test_other_orthographies_are_left_alone(honest: str) -> None:
    assert arabic.mixed_yeh_kaf(honest) is None and arabic.persian_letters(honest) == honest


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from("كيىکیپگباتړە \u064e\u200c\u0640"), max_size=10))
def test_persian_letters_is_idempotent(raw: str) -> None:
    found = arabic.persian_letters(raw)
    assert arabic.persian_letters(found) == found
    assert len(found) == len(raw) and (found == raw or arabic.mixed_yeh_kaf(raw))


# --- marks that stand on nothing


@pytest.mark.parametrize(
    ("stray", "mark"),
    [
        ("\u0e34น", "U+0E34"),
        ("วัน น\u0e35 \u0e49", "U+0E49"),
        ("a\n\u0301b", "U+0301"),
        ("कर \u093f", "U+093F"),
        ("\u09c7ক", "U+09C7"),
        ("東\u3000\u3099京", "U+3099"),
        ("x\u00a0\u0323", "U+0323"),
        ("<fcel>\u0e34น<nl>", "U+0E34"),
        ("<fcel>a<nl>\u0301", "U+0301"),
        ("\u1031က", "U+1031"),
        ("ក \u17b6", "U+17B6"),
        ("שלום \u05b8", "U+05B8"),
        ("قال \u064e", "U+064E"),
    ],
)
def test_a_mark_that_stands_on_nothing(stray: str, mark: str) -> None:
    assert spelling.stray_mark(stray) == mark


@pytest.mark.parametrize(
    "sound", ["\u25cc\u0e34", "-\u0301", "(\u0301)", "❤\ufe0f \ufe0f", "葛\U000e0100", " \u034f", "ab", "é"]
)
def test_marks_that_stand_on_something(sound: str) -> None:
    assert spelling.stray_mark(sound) is None


# --- hostile


@pytest.mark.parametrize(
    "unit",
    [
        "\u0e4d\u0e49\u0e32",
        "\u0e40",
        "\u0e48\u0e35",
        "\u0e33\u0e49",
        "अ\u093e\u0947",
        "\u0d46",
        "\ufe91",
        "\ufe91\ufef4",
        "ك\u200cی",
        " \u0301",
        "ى\u064b",
        "\u0640",
    ],
)
def test_many_characters(unit: str) -> None:
    raw = unit * (MANY // len(unit))
    for find in (spelling.misspelt, spelling.stray_mark, arabic.presentation_forms, arabic.mixed_yeh_kaf):
        assert find(raw) != ""
    assert len(spelling.canonical(raw)) <= len(raw)
    assert len(spelling.respelt(raw)) <= len(raw)
