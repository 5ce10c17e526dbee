"""hOCR, ALTO and PAGE say the same of a line, however it is written down: words, boxes of characters, choices,
alternatives, spaces, hyphens. What single cases become stands in tests/golden/formats.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sft import formats
from sft.formats import Item, Reject, SourceOptions
from sft.formats.shared import hocr_text, xml_safe
from sft.markup import join_words
from sft.markup.text import clean, clusters
from sft.markup.words import TESSERACT

WORD = st.lists(
    st.sampled_from(["a", "ten", "kg", "é", "東", "の", "น้", "ฝ", "ខ្មែ", "한", "কা", "7", ",", "<", "&"]),
    min_size=1,
    max_size=3,
).map("".join)
WORDS = st.lists(WORD, min_size=1, max_size=5)
SPACE = st.sampled_from([" ", "\n  ", "\n\t"])


def character(text: str, title: str = "x_bboxes 1 1 2 2; x_conf 99") -> str:
    return f"<span class='ocrx_cinfo' title='{title}'>{escape(text)}</span>"


def choices(*texts: str) -> str:
    return (
        f"<span class='ocrx_cinfo' id='lstm_choices_1'>{''.join(character(text, 'x_confs 9') for text in texts)}</span>"
    )


def word(content: str) -> str:
    return f"<span class='ocrx_word' title='bbox 1 1 9 9'>{content}</span>"


def alternatives(right: str, wrong: str) -> str:
    return f"<span class='alternatives'> <ins class='alt'>{right}</ins> <del class='alt'>{wrong}</del> </span>"


def ways(words: list[str], space: str) -> dict[str, str]:
    """The same line in the ways of different programs; `space` is how the file is laid out."""
    split = [clusters(one) for one in words]
    return {
        "plain": space.join(word(escape(one)) for one in words),
        "on one line": "".join(word(escape(one)) for one in words),
        "bold": space.join(word(f"<strong><em>{escape(one)}</em></strong>") for one in words),
        "boxes": space.join(word(space + space.join(map(character, one))) for one in split),
        "boxes without layout": space.join(word("".join(map(character, one))) for one in split),
        "confidences": space.join(word("".join(character(part, "x_conf 9") for part in one)) for one in split),
        "choices": space.join(word(escape(one) + space + choices("x", "y") + space) for one in words),
        "boxes and choices": space.join(
            word(space.join(character(part) + space + choices(part, "x") for part in one)) for one in split
        ),
        "alternatives": space.join(alternatives(word(escape(one)), word("x") + word("y")) for one in words),
        "alternatives in words": space.join(word(alternatives(escape(one), "x")) for one in words),
        "corrected": space.join(word(f"<del>x</del><ins>{escape(one)}</ins>") for one in words),
        "hidden": space.join(f"<span hidden>x</span>{word(escape(one))}" for one in words),
    }


def line_of(content: str, program: str = "") -> str:
    """What `hocr_text` reads in a line with this content; in the last, where this ends it and begins another."""
    line = f"<span class='ocr_line' title='bbox 0 0 9 9'>{content}</span>"
    document = xml_safe.parse_html(f"<html><body><div class='ocr_page'>{line}</div></body></html>".encode())
    assert not isinstance(document, xml_safe.XmlFault)
    (found,) = hocr_text.of_class(document.root, {"ocr_page"})
    reader = hocr_text.HocrPage(found, program)
    *_, last = reader.lines()
    return reader.text(last)


@settings(deadline=None)
@given(words=WORDS, space=SPACE)
def test_hocr_says_the_same_in_every_way(words: list[str], space: str) -> None:
    for way, content in ways(words, space).items():
        assert line_of(content) == join_words(words), way


@settings(deadline=None)
@given(words=WORDS)
def test_alto_and_page_say_the_same(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    strings = [f'<String CONTENT="{escape(one)}"/>' for one in words]
    some = "".join(string + ("<SP/>" if index % 2 else "") for index, string in enumerate(strings))
    lines = ["".join(strings), "<SP/>".join(strings), some]
    placed = "".join(
        f'<TextLine ID="{n}" HPOS="1" VPOS="1" WIDTH="9" HEIGHT="9">{one}</TextLine>' for n, one in enumerate(lines)
    )
    equivs = "".join(
        f'<Word id="{n}"><TextEquiv><Unicode>{escape(one)}</Unicode></TextEquiv></Word>' for n, one in enumerate(words)
    )
    folder = tmp_path_factory.mktemp("pages")
    expected = clean(join_words(words))
    assert [item.target for item in items("alto", folder / "a.xml", ALTO.format(placed))] == [expected] * 3
    line = f'<TextLine id="l"><Coords points="1,1 9,1 9,9 1,9"/>{equivs}</TextLine>'
    assert [item.target for item in items("page-xml", folder / "p.xml", PAGE.format(line))] == [expected]


ALTO = (
    "<alto><Description><sourceImageInformation><fileName>a.png</fileName></sourceImageInformation></Description>"
    "<Layout><Page><PrintSpace><TextBlock>{}</TextBlock></PrintSpace></Page></Layout></alto>"
)
PAGE = '<PcGts><Page imageFilename="a.png"><TextRegion>{}</TextRegion></Page></PcGts>'


def items(name: str, path: Path, content: str = "") -> list[Item]:
    """What a source says, which must have no rejects; `content` is written into it first."""
    if content:
        path.write_text(content, "utf-8")
    found = formats.get(name)
    reads = [read for unit in found.units(path, SourceOptions()) for read in found.read(unit, SourceOptions())]
    assert not [read for read in reads if isinstance(read, Reject)]
    return [read for read in reads if isinstance(read, Item)]


NESTED = "<span class='ocrx_cinfo' title='x_bboxes 1 1 2 2'>{}</span>"
# Tesseract 4.0 and 4.1, and what was proposed for it
GLYPH_CHOICES = (
    "<span class='ocrx_cinfo' id='lstm_choices_1'>\n"
    "<span class='ocr_glyph' id='choice_1' title='x_confs 83'>{}</span>\n"
    "<span class='ocr_glyph' id='choice_2' title='x_confs 16'>{}</span></span>"
)
TIME_STEPS = (
    "<span class='ocr_symbol' id='symbol_1'>\n " + GLYPH_CHOICES.replace("lstm_choices", "timestep") + "</span>"
)
CHOSEN = (
    "<span class='alternatives'><ins class='alt' id='choice_1' title='nlp 0.1; x_confs 98'>{}</ins>"
    "<del class='alt' id='choice_2' title='nlp 0.3; x_confs 69'>{}</del></span>"
)
LINES = [
    (word("ten") + " – " + word("kg"), "ten – kg"),
    (word("ten") + "," + word("kg"), "ten,kg"),
    (word("ten") + ", " + word("kg") + ".", "ten, kg."),
    ("(" + word("ten") + ")", "(ten)"),
    (word("ten") + word(" ") + word("kg"), "ten kg"),
    (word("東京") + word("") + word("天気"), "東京天気"),
    (word("gemein") + "\u00ad", "gemein\u00ad"),
    ("  12 point\n   text ", "12 point text"),
    ("東京の天気", "東京の天気"),
    (character("t") + character("e") + "\n " + character("k"), "te k"),
    (character("t") + "\n" + character("e") + "\n" + character("n"), "ten"),
    (character("This") + " " + character("is"), "This is"),
    (character("t") + character(" ") + character("k"), "t k"),
    (word(character("t") + NESTED.format(character("e", "x_confs 9") + character("c", "x_confs 1"))), "te"),
    (word("<span class='ocr_cinfo'>" + character("t") + character("e") + "</span>"), "te"),
    (word("<span class='ocr_glyphs'>ten</span>"), "ten"),
    (word("te" + GLYPH_CHOICES.format("t", "f") + GLYPH_CHOICES.format("e", "c")), "te"),
    (word("te" + TIME_STEPS.format("t", "f") + TIME_STEPS.format("e", "c")), "te"),
    (word(GLYPH_CHOICES.format("t", "f") + "\n" + GLYPH_CHOICES.format("e", "c")), "te"),
    (word(choices("t", "f") + "\n" + choices("e", "c")), "te"),
    (word("".join(map(character, "te")) + CHOSEN.format("t", "f") + CHOSEN.format("e", "c")), "te"),
    (
        word(
            "<span class='ocr_glyph' title='x_confs 99'>t</span>\n<span class='ocr_glyph' title='x_confs 99'>e</span>"
        ),
        "te",
    ),
    (word("te") + " " + choices("x", "y") + word("kg"), "te kg"),
    (word("<del>ten</del>"), "ten"),
    ("<del class='alt'>" + word("x") + "</del>" + word("ten"), "ten"),
    ("<span class='alternatives'><del>" + word("ten") + "</del></span>", "ten"),
    (alternatives(alternatives(word("ten"), word("x")), word("y")), "ten"),
    (word("t<span style='DISPLAY:none'>x</span>en"), "ten"),
    (word("a<br>b"), "a b"),
    ("</span><span class='ocr_line' title='bbox 0 0 9 9' style='display:none'>" + word("ten"), "ten"),
    ("", ""),
]


@pytest.mark.parametrize(("content", "expected"), LINES)
def test_hocr_lines(content: str, expected: str) -> None:
    assert line_of(content) == expected


BOXES = [
    ("bbox 10 0 19 9", "오늘"),
    ("bbox 14 0 19 9", "오 늘"),
    ("x_wconf 9; bbox 10 0 19 9", "오늘"),
    ("", "오 늘"),
    ("bbox x 0 y 9", "오 늘"),
]


@pytest.mark.parametrize(("title", "expected"), BOXES)
def test_hocr_boxes_count_only_where_tesseract_drew_them(title: str, expected: str) -> None:
    near = "<span class='ocrx_word' title='bbox 0 0 9 9'>오</span>"
    far = f"<span class='ocrx_word' title='{title}'>늘</span>"
    assert line_of(near + " " + far, TESSERACT) == expected
    assert line_of(near + " " + far) == "오 늘"
    assert line_of(near + "-" + far, TESSERACT) == "오-늘"


KOREAN = {
    "hocr": (
        (
            "<html><head>{}</head><body><div class='ocr_page' title='image \"a.png\"'>"
            "<span class='ocr_line' title='bbox 0 0 90 10; x_size 10'>"
            "<span class='ocrx_word' title='bbox 0 0 10 10'>오</span> "
            "<span class='ocrx_word' title='bbox 11 0 20 10'>늘</span>"
            "</span></div></body></html>"
        ),
        "<meta name='ocr-system' content='tesseract 5.3.0'/>",
    ),
    "alto": (
        (
            "<alto><Description>{}</Description><Layout><Page><TextLine HPOS='0' VPOS='0' WIDTH='90' HEIGHT='10'>"
            "<String HPOS='0' VPOS='0' WIDTH='10' HEIGHT='10' CONTENT='오'/><SP/>"
            "<String HPOS='11' VPOS='0' WIDTH='9' HEIGHT='10' CONTENT='늘'/></TextLine></Page></Layout></alto>"
        ),
        "<OCRProcessing><softwareName>tesseract 5.3.0</softwareName></OCRProcessing>",
    ),
}


@pytest.mark.parametrize("name", KOREAN)
def test_the_program_is_named_in_the_file(name: str, tmp_path: Path) -> None:
    """The same boxes with and without Tesseract's name."""
    page, said = KOREAN[name]
    (tmp_path / "a.png").touch()
    assert [item.target for item in items(name, tmp_path / "a.xml", page.format(""))] == ["오 늘"]
    assert [item.target for item in items(name, tmp_path / "a.xml", page.format(said))] == ["오늘"]
    page = page.replace("오", "東京").replace("늘", "天気")
    assert [item.target for item in items(name, tmp_path / "a.xml", page.format(""))] == ["東京天気"]
    said = said.replace("tesseract 5.3.0", "kraken")
    assert [item.target for item in items(name, tmp_path / "a.xml", page.format(said))] == ["東京 天気"]


def test_many_readings_take_linear_time() -> None:
    """A stranger's line with very many deleted words, nested alternatives and characters."""
    assert line_of("<del>x</del>" * 50_000 + "<ins>" + word("ten") + "</ins>") == "ten"
    assert line_of("<span class='alternatives'><ins>" * 60 + word("ten") + "</ins></span>" * 60) == "ten"
    assert line_of(character("t") * 50_000) == "t" * 50_000


OTHER_FORMATS = {
    "paddleocr-rec": ("rec_gt.txt", "a.png\t{}\n"),
    "ppocrlabel": ("Label.txt", 'x/a.png\t[{{"transcription": "{}", "points": [[1, 1], [9, 1], [9, 9], [1, 9]]}}]\n'),
    "icdar": ("gt_a.txt", "1,1,9,1,9,9,1,9,{}\n"),
    "tsv": ("labels.tsv", "image\ttext\na.png\t{}\n"),
    "csv": ("labels.csv", "image,text\na.png,{}\n"),
    "gt-pairs": ("a.gt.txt", "{}\n"),
    "label-studio": ("export.json", '[{{"ocr": "a.png", "transcription": "{}"}}]'),
}


@pytest.mark.parametrize("name", OTHER_FORMATS)
@pytest.mark.parametrize(
    ("written", "read"), [("gemein\u00ad", "gemein-"), ("ge\u00admein", "gemein"), ("a-\u00ad ", "a-")]
)
def test_soft_hyphens_of_all_formats_of_lines(name: str, written: str, read: str, tmp_path: Path) -> None:
    file, content = OTHER_FORMATS[name]
    Image.new("L", (20, 20), 255).save(tmp_path / "a.png")
    (tmp_path / file).write_text(content.format(written), "utf-8")
    source = tmp_path if name == "gt-pairs" else tmp_path / file
    assert [item.target for item in items(name, source)] == [read]
