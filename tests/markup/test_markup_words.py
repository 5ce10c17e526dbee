"""Words joined to lines: which scripts part them, what a soft hyphen is, and what never changes whatever is joined."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sft.markup import ink_hyphens, join_words, program_of
from sft.markup.text import clean
from sft.markup.unicode_scripts import EAST_ASIAN, UNSPACED
from sft.markup.words import KRAKEN, NARROW, TESSERACT, WIDE

WITHOUT_BLANKS = [
    "春 天来 了",
    "東京 の 天気",
    "データ ベース",
    "ㄅㄆ ㄇㄈ",
    "ꆈꌠ ꁱꂷ",
    "𠮷 野家",
    "วัน นี้ ฝน ตก",
    "น ้ า ท ่ ว ม",
    "ພາ ສາ ລາວ",
    "ភាសា ខ្មែរ",
    "မြန်မာ စာ",
    "ꩡꩢ ꩣ",
    "བོད་ ཡིག",
    "ꦧꦱ ꦗꦮ",
    "ᬩᬲ ᬩᬮᬶ",
    "ᯅᯖ ᯂ᯲",
    "ᥖᥭᥰ ᥘᥫᥴ",
    "ᦅᧄ ᦺᦑ",
    "ᨲᩫ ᩅᨾᩮᩬᩥᨦ",
    "ꪼꪕ ꪒꪾ",
]
WITH_BLANKS = [
    "rainy day",
    "дождливый день",
    "βροχερή μέρα",
    "يوم ممطر",
    "יום גשום",
    "বৃষ্টির দিন",
    "बारिश का दिन",
    "மழை நாள்",
    "비가 오는 날",
    "ዝናባማ ቀን",
    "անձրևոտ օր",
    "12 345",
    "Straße 7a",
]
MIXED = [
    (["Python", "言語"], "Python 言語"),
    (["言語", "Python"], "言語 Python"),
    (["2024", "年", "5", "月"], "2024年5月"),
    (["東京", "(", "Tokyo", ")"], "東京( Tokyo )"),
    (["天気", "。"], "天気。"),
    (["春天", ",", "花"], "春天,花"),
    (["한국", "語"], "한국 語"),
    (["ราคา", "1,250", "บาท", "."], "ราคา 1,250 บาท."),
    (["“", "ฝน", "”"], "“ฝน”"),
    (["ใช้", "Word", "พิมพ์"], "ใช้ Word พิมพ์"),
    (["ថ្ងៃទី", "5"], "ថ្ងៃទី 5"),
    (["葛\U000e0100", "飾"], "葛\U000e0100飾"),
    (["か\u3099", "く"], "か\u3099く"),
    (["東\u200b", "\u200b京"], "東\u200b\u200b京"),
]
MARKS = [
    (["cafe", "\u0301"], "cafe\u0301"),
    (["ক", "া", "জ"], "কা জ"),
    (["ن", "َ"], "نَ"),
    (["ש", "ָ"], "שָ"),
    (["ക", "ാ"], "കാ"),
    (["\u0301", "a"], "\u0301a"),
    (["gemein", "\u00ad"], "gemein\u00ad"),
    (["gemein\u00ad", "sam"], "gemein\u00ad sam"),
]


@pytest.mark.parametrize("line", WITHOUT_BLANKS)
def test_scripts_without_blanks(line: str) -> None:
    assert join_words(line.split()) == line.replace(" ", "")


@pytest.mark.parametrize("line", WITH_BLANKS)
def test_scripts_with_blanks(line: str) -> None:
    assert join_words(line.split()) == line


@pytest.mark.parametrize(("words", "line"), [*MIXED, *MARKS])
def test_seams_between_different_characters(words: list[str], line: str) -> None:
    assert join_words(words) == line


@pytest.mark.parametrize(
    ("words", "gap", "line"),
    [
        (["วัน", "นี้"], WIDE, "วัน นี้"),
        (["วัน", "นี้"], WIDE - 0.01, "วันนี้"),
        (["東京", "天気"], 5.0, "東京天気"),
        (["言語", "Python"], 0.1, "言語Python"),
        (["言語", "Python"], 0.5, "言語 Python"),
        (["2024", "年"], 0.5, "2024 年"),
        (["오늘", "은"], 0.1, "오늘은"),
        (["오늘은", "비가"], 0.5, "오늘은 비가"),
        (["ភាសា", "ខ្មែរ"], NARROW, "ភាសា ខ្មែរ"),
        (["ភាសា", "ខ្មែរ"], 0.0, "ភាសាខ្មែរ"),
        (["བོད།", "ཡིག"], -2.0, "བོད།ཡིག"),
        (["rainy", "day"], -2.0, "rainy day"),
        (["বৃষ্টির", "দিন"], 0.0, "বৃষ্টির দিন"),
        (["น", "้"], 5.0, "น้"),
    ],
)
def test_space_between_the_boxes_of_tesseract(words: list[str], gap: float, line: str) -> None:
    assert join_words(words, TESSERACT, lambda: [None, gap]) == line


def test_space_is_asked_for_only_where_it_matters() -> None:
    def never() -> list[float | None]:
        raise AssertionError("nothing is open in a line of Latin")

    assert join_words(["Straße", "7a"], TESSERACT, never) == "Straße 7a" and join_words([], TESSERACT, never) == ""
    assert join_words(["東京", "の"], "", never) == "東京の"
    assert join_words(["東京", "Tokyo"], TESSERACT, lambda: [None, None]) == "東京 Tokyo"


def test_kraken_cuts_at_blanks() -> None:
    assert join_words(["東京", "の", "天気"], KRAKEN) == "東京 の 天気"


@pytest.mark.parametrize(
    ("names", "program"),
    [
        (["tesseract 5.3.0"], TESSERACT),
        (["Tesseract", "ABBYY"], TESSERACT),
        (["kraken"], KRAKEN),
        (["kraken 5.2", "tesseract 4"], ""),
        (["ABBYY FineReader"], ""),
        ([], ""),
    ],
)
def test_program_that_wrote_a_file(names: list[str], program: str) -> None:
    assert program_of(names) == program


ALPHABET = "aZé9.,()“”-東のア、。（한ฝน้าລາខ្ែမာབོད་ꦧꦱকা\u0301\u00ad\u200b\u200dд"
WORD = st.text(st.sampled_from(ALPHABET), min_size=1, max_size=4)


@given(words=st.lists(WORD, max_size=8), at=st.integers(0, 8))
@example(words=["น", "ี", "ย"], at=2)
def test_words_are_kept_and_parts_can_be_joined_first(words: list[str], at: int) -> None:
    line = join_words(words)
    assert line.replace(" ", "") == "".join(words)
    assert "  " not in line and line.strip() == line
    if 0 < at < len(words):
        assert join_words([join_words(words[:at]), *words[at:]]) == line


@given(words=st.lists(WORD, min_size=2, max_size=6), gap=st.none() | st.floats(-3, 3))
def test_no_mark_stands_behind_a_blank(words: list[str], gap: float | None) -> None:
    line = join_words(words, TESSERACT, lambda: [gap] * len(words))
    behind = [line[index + 1] for index, character in enumerate(line) if character == " "]
    assert not any(unicodedata.category(character)[0] == "M" for character in behind)


@given(st.text(st.characters(categories=["L", "M", "N"]), min_size=1, max_size=1))
def test_every_letter_of_such_a_script_is_one(letter: str) -> None:
    """The ranges hold whole scripts: by the names of the characters."""
    name = unicodedata.name(letter, "")
    if name.startswith(("CJK UNIFIED", "HIRAGANA LETTER", "KATAKANA LETTER", "BOPOMOFO LETTER", "YI SYLLABLE")):
        assert EAST_ASIAN.match(letter), name
    if name.startswith(
        ("THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ", "JAVANESE ", "BALINESE ", "TAI ", "NEW TAI ")
    ):
        assert UNSPACED.match(letter) or ord(letter) >= 0x116D0, name  # digits of Myanmar in a block of their own
    if name.startswith(("HANGUL", "HALFWIDTH HANGUL", "LATIN SMALL", "DEVANAGARI", "BENGALI", "ARABIC")):
        assert not UNSPACED.match(letter), name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gemein\u00ad", "gemein-"),
        ("ge\u00admein\u00ad\nsam", "ge\u00admein-\nsam"),
        ("gemein\u00ad \n sam\u00ad\u200b", "gemein- \n sam-"),
        ("gemein\u00ad\u00ad", "gemein-"),
        ("gemein-\u00ad", "gemein-"),
        ("gemein⸗\u00ad", "gemein⸗"),
        ("\u00ad", "-"),
        ("\u00adgemein", "\u00adgemein"),
        ("gemein\u00ad\r\nsam", "gemein-\r\nsam"),
        ("gemein", "gemein"),
        ("", ""),
    ],
)
def test_soft_hyphens_are_ink_where_a_line_ends(text: str, expected: str) -> None:
    assert ink_hyphens(text) == expected


@given(st.text(st.sampled_from("ab-\u00ad \n\r\u200b⸗é"), max_size=30))
def test_soft_hyphens_of_any_text(text: str) -> None:
    inked = ink_hyphens(text)
    assert ink_hyphens(inked) == inked
    assert len(inked.splitlines()) == len(text.splitlines())
    assert inked.replace("\u00ad", "").replace("-", "").split() == text.replace("\u00ad", "").replace(
        "-", ""
    ).split() or ("\u200b" in text)
    for before, after in zip(text.splitlines(), inked.splitlines(), strict=True):
        ends = before.rstrip(" \u200b\r").endswith("\u00ad")
        assert clean(after).endswith(("-", "⸗")) if ends else clean(after) == clean(before)


def test_soft_hyphens_take_linear_time() -> None:
    assert ink_hyphens("\u00ad " * 200_000 + "a") == "\u00ad " * 200_000 + "a"
    assert ink_hyphens("a" + "\u00ad " * 200_000) == "a- "
