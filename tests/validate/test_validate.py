"""One row or file per way to be wrong: the code, the line and the severity of what is found."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from waiting import PATIENCE

from sft.errors import ProblemsFound, UsageError
from sft.files.jsonl import read_samples
from sft.images.reader import MAX_FILE_BYTES
from sft.models import versions
from sft.models.token_budget import Budget
from sft.reasons import REASONS
from sft.training.engines.paddleformers import IMAGE_MARK
from sft.validate import row as checks_row
from sft.validate.context import Context
from sft.validate.file import Report, validate
from sft.validate.row import check_line
from sft.validate.shard import KEPT

VERSION = versions.MODELS["0.9B"]
IMAGE = {"image_url": "a.png", "matched_text_index": 0}
PROMPT, ANSWER = {"text": "OCR:", "tag": "mask"}, {"text": "৪৫টি", "tag": "no_mask"}
GOOD = {"image_info": [IMAGE], "text_info": [PROMPT, ANSWER]}

pytestmark = pytest.mark.timeout(PATIENCE)


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def dump_any(value: Any) -> bytes:
    return json.dumps(value).encode()


def row(**changes: Any) -> bytes:
    """The good row with other top-level values; None removes a key."""
    return dump({key: value for key, value in {**GOOD, **changes}.items() if value is not ...})


def image(**changes: Any) -> bytes:
    return row(image_info=[{key: value for key, value in {**IMAGE, **changes}.items() if value is not ...}])


def turns(*texts: tuple[Any, Any], images: list[dict[str, Any]] | None = None) -> bytes:
    return row(text_info=[{"text": text, "tag": tag} for text, tag in texts], image_info=images or [IMAGE])


def answer(text: Any) -> bytes:
    return turns(("OCR:", "mask"), (text, "no_mask"))


def table(text: Any) -> bytes:
    return turns(("Table Recognition:", "mask"), (text, "no_mask"))


def formula(text: Any) -> bytes:
    return turns(("Formula Recognition:", "mask"), (text, "no_mask"))


def chart(text: Any) -> bytes:
    return turns(("Chart Recognition:", "mask"), (text, "no_mask"))


def spotting(text: Any) -> bytes:
    return turns(("Spotting:", "mask"), (text, "no_mask"))


def places(*numbers: int) -> str:
    return "".join(f"<|LOC_{number}|>" for number in numbers)


def prompt(text: Any) -> bytes:
    return turns((text, "mask"), ("x", "no_mask"))


@dataclass(frozen=True)
class Case:
    name: str
    line: bytes
    errors: frozenset[str] = frozenset()
    warnings: frozenset[str] = frozenset()


def case(name: str, line: bytes, *codes: str, warn: tuple[str, ...] = ()) -> Case:
    return Case(name, line, frozenset(codes), frozenset(warn))


BOX = (100, 100, 300, 100, 300, 150, 100, 150)
UNKNOWN = ("prompt.unknown",)
CASES = [
    # what is fine
    case("good", row()),
    case("index left out", image(matched_text_index=...)),
    case("several images", row(image_info=[IMAGE, {**IMAGE, "image_url": "b.png"}])),
    case(
        "multi-turn",
        turns(
            ("OCR:", "mask"),
            ("a", "no_mask"),
            ("Table Recognition:", "mask"),
            ("<fcel>b<nl>", "no_mask"),
            images=[IMAGE, {**IMAGE, "matched_text_index": 2}],
        ),
    ),
    case("notes of your own", row(meta={"page": 3}, id=7, source="scan")),
    case("true sizes", image(image_width=100, image_height=40, is_valid=True)),
    case("OTSL tokens are content", answer("<fcel>1<lcel><nl>")),
    case("an answer of 10 MB", answer(" ".join(f"{number}টি" for number in range(700_000)))),
    case("an escaped newline in an answer", answer("a\nb c")),
    case("an ideographic space", answer("東京\u3000天気")),
    case("compatibility ideographs", answer("\ufa19戸\ufa1b田")),
    case("blank cells of a chart", chart("year | a | b\n1990 |  | 5\n1991 | 6 | \n1992 | 7 | 8")),
    case("an ampersand", answer("R&D; AT&T, Fish & Chips")),
    case("HTML that is spoken of", answer("Use <table> and <td>, please")),
    case("a sign that nobody spells out", answer("محمد ﷺ")),
    case("where it comes from", row(source="scan.xml:3", meta={"group": "scan"}, id="s3")),
    case("a table", table("<fcel>a<lcel><nl><fcel>1<ecel><nl><ucel><fcel>M&A<nl>")),
    case("a formula", formula("\\[\\frac{a_{1}}{b^2}\\leq\\left(x+\\alpha\\right)^{2}\\]")),
    case("a formula that only the parsers know", formula("\\[\\begin{array}{ll}a & b\\\\ c & d\\end{array}\\]")),
    case("a chart", chart("  | 22Q3 | 22Q3yoy\n电商 | 85 | 100%".strip())),
    case(
        "every script",
        answer(
            "ಕನ್ನಡ ភាសាខ្មែរ မြန်မာ ไทย العربية עברית Ελληνικά русский 中文 한국어 日本語 e\u0301".replace("e\u0301", "é")
        ),
    ),
    # Spotting, whose prompt the first version does not know
    case("places", spotting("a" + places(*BOX) + "b c" + places(*BOX)), warn=UNKNOWN),
    case("no places", spotting("only words"), "spotting.places", warn=UNKNOWN),
    case("a text without places", spotting("a" + places(*BOX) + "b"), "spotting.places", warn=UNKNOWN),
    case("seven places", spotting("a" + places(*BOX[:7])), "spotting.count", warn=UNKNOWN),
    case("pixels", spotting("a" + places(*BOX[:4], 1300, *BOX[5:])), "spotting.range", warn=UNKNOWN),
    case("counter-clockwise", spotting("a" + places(1, 1, 1, 9, 9, 9, 9, 1)), "spotting.corners", warn=UNKNOWN),
    case("crossing sides", spotting("a" + places(1, 1, 9, 9, 9, 1, 1, 9)), "spotting.corners", warn=UNKNOWN),
    case("a place without a text", spotting(places(*BOX)), "spotting.text", warn=UNKNOWN),
    case("half a frame", spotting("<|TEXT_START|>a" + places(*BOX)), "spotting.frame", warn=UNKNOWN),
    case("places under OCR", answer("a" + places(*BOX)), "spotting.prompt"),
    case(
        "places under a prompt of one's own",
        turns(("Where is what?", "mask"), ("a" + places(*BOX), "no_mask")),
        warn=UNKNOWN,
    ),
    # key information, asked for by its keys
    case("keys of JSON", turns(("OCR:{}", "mask"), ('{"total": "5"}', "no_mask")), warn=UNKNOWN),
    case("keys of JSON, and a blank", turns(("OCR: {}", "mask"), ('{"total": "5"}', "no_mask")), warn=UNKNOWN),
    # the line
    case("not JSON", b'{"text_info": ', "structure.json"),
    case("trailing comma", row()[:-1] + b",}", "structure.json"),
    case("two objects", row() + row(), "structure.json"),
    case("NUL bytes", b"\x00" * 40, "structure.json"),
    case("NUL inside a string", row().replace(b"OCR:", b"OCR\x00"), "structure.json"),
    case("vertical tab around", b"\x0b" + row(), "structure.json"),
    case("BOM in the middle of a file", b"\xef\xbb\xbf" + row(), "structure.json"),
    case("100 000 brackets", b"[" * 100_000, "structure.json"),
    case("100 000 objects", b'{"a":' * 100_000, "structure.json"),
    case("deep notes", row()[:-1] + b', "meta": ' + b"[" * 5000 + b"]" * 5000 + b"}", "structure.json"),
    case("NaN", row(meta=float("nan")), "structure.json"),
    case("Infinity", row(meta=float("inf")), "structure.json"),
    case("a number beyond a float", row(meta=0).replace(b'"meta": 0', b'"meta": 1e999'), "structure.json"),
    case("5000 digits", image(matched_text_index=0).replace(b": 0", b": " + b"9" * 5000), "structure.json"),
    case("half a surrogate pair, escaped", answer("x").replace(b'"x"', b'"\\ud800"'), "structure.json"),
    case("half a surrogate pair, raw", answer("x").replace(b'"x"', b'"\xed\xa0\x80"'), "file.encoding"),
    case("Latin-1", answer("x").replace(b'"x"', b'"caf\xe9"'), "file.encoding"),
    case("UTF-16", row().decode().encode("utf-16"), "file.encoding"),
    case("a key twice", row()[:-1] + b', "text_info": ' + dump([PROMPT, ANSWER]) + b"}", "structure.duplicate_key"),
    case(
        "a text twice",
        row().replace(b'"tag": "no_mask"', b'"tag": "no_mask", "text": "other"'),
        "structure.duplicate_key",
    ),
    # the structure
    *(case(f"a row {text}", text.encode(), "structure.object") for text in ("[]", '"x"', "1", "null", "true")),
    case("no text_info", row(text_info=...), "structure.object"),
    case("no image_info", row(image_info=...), "structure.object"),
    case(
        "messages",
        dump({"messages": [{"role": "user", "content": "<image>OCR:"}], "images": ["a.png"]}),
        "structure.object",
    ),
    case(
        "llava",
        dump({"image": "a.png", "conversations": [{"from": "human", "value": "<image>OCR:"}]}),
        "structure.object",
    ),
    case(
        "query and response", dump({"query": "<image>OCR:", "response": "x", "images": ["a.png"]}), "structure.object"
    ),
    case("text_info null", row(text_info=None), "structure.text_info"),
    case("text_info empty", row(text_info=[]), "structure.text_info"),
    case("text_info of strings", row(text_info=["OCR:", "x"]), "structure.text_info"),
    case("text without tag", row(text_info=[PROMPT, {"text": "x"}]), "structure.text_info"),
    case("image without url", image(image_url=...), "structure.image_info"),
    case("image a string", row(image_info=["a.png"]), "structure.image_info"),
    case("url a number", image(image_url=5), "structure.image_url"),
    case("url null", image(image_url=None), "structure.image_url"),
    case("url empty", image(image_url=""), "structure.image_url"),
    *(
        case(f"index {value!r}", image(matched_text_index=value), "structure.matched_text_index")
        for value in (-1, 1.0, 0.5, "0", None, True, 2**63, 10**30)
    ),
    case("a strange key", row(weight=2), warn=("structure.unknown_key",)),
    case("a key of 10 MB", row(**{"k" * 10_000_000: 1}), warn=("structure.unknown_key",)),
    case("text_inf", row(meta=0).replace(b"meta", b"text_inf"), "structure.misspelt_key"),
    case("matched_text_idx", image(matched_text_idx=0), "structure.misspelt_key"),
    # what ends, hangs or skips in the trainer
    case("no images", row(image_info=[]), "trainer.no_image"),
    case("image_info null", row(image_info=None), "trainer.no_image"),
    case("text null", answer(None), "trainer.text"),
    case("text a number", answer(45), "trainer.text"),
    case("tag wrong", turns(("OCR:", "user"), ("x", "no_mask")), "trainer.tag"),
    case("tag null", turns(("OCR:", "mask"), ("x", None)), "trainer.tag"),
    case("only prompts", turns(("OCR:", "mask")), "trainer.no_target"),
    case(
        "answer first",
        turns(("x", "no_mask"), images=[{"image_url": "a.png"}]),
        "trainer.first_is_answer",
        "trainer.image_in_answer",
        warn=("prompt.unknown",),
    ),
    case("two prompts", turns(("OCR:", "mask"), ("please", "mask"), ("x", "no_mask")), "trainer.merged_turns"),
    case("two answers", turns(("OCR:", "mask"), ("x", "no_mask"), ("y", "no_mask")), "trainer.merged_turns"),
    case("open question", turns(("OCR:", "mask"), ("x", "no_mask"), ("and?", "mask")), "trainer.open_question"),
    case("index beyond", image(matched_text_index=2), "trainer.image_index"),
    case("the largest index", image(matched_text_index=2**63 - 1), "trainer.image_index"),
    case("image in an answer", image(matched_text_index=1), "trainer.image_in_answer"),
    *(case(f"{token} in a text", answer(f"a{token}b"), "trainer.reserved_token") for token in checks_row.RESERVED),
    case("video_info", row(video_info=[{"image_url": "a.mp4"}]), "trainer.video"),
    case("is_video", row(is_video=True), "trainer.video"),
    case("image_type video", image(image_type="video"), "trainer.video"),
    case("system", row(is_system=1), "trainer.system"),
    case("wrong sizes", image(image_width=40, image_height=100, is_valid=True), "trainer.image_size_fields"),
    case("sizes that are no numbers", image(image_width="w" * 1000, image_height=[1]), "trainer.image_size_fields"),
    case("NUL in a path", image(image_url="a\x00.png"), "trainer.path"),
    # the image
    case("an address", image(image_url="https://example.org/a.png"), "image.remote"),
    case("a name that begins with http", image(image_url="http-scans/a.png"), "image.remote"),
    case("data URI", image(image_url="data:image/png;base64,iVBORw0KGgo="), "image.inline"),
    case("JPEG as base64", image(image_url="/9j/" + "A" * 400), "image.inline"),
    case("PNG as base64", image(image_url="iVBOR" + "A" * 400), "image.inline"),
    case("missing", image(image_url="c.png"), "image.missing"),
    case("a name too long", image(image_url="n" * 5000), "image.missing"),
    case("a folder", image(image_url="."), "image.missing"),
    case("a pipe", image(image_url="pipe.png"), "image.missing"),
    case("/dev/zero", image(image_url="/dev/zero"), "image.missing"),
    case("a link to /dev/zero", image(image_url="zero.png"), "image.missing"),
    case("a link to itself", image(image_url="loop.png"), "image.missing"),
    case("a text file", image(image_url="text.png"), "image.unreadable"),
    case("an empty file", image(image_url="empty.png"), "image.unreadable"),
    case("PostScript", image(image_url="script.png"), "image.unreadable"),
    case("half a PNG", image(image_url="half.png"), "image.truncated"),
    case("half a JPEG", image(image_url="half.jpg"), "image.truncated"),
    case("4 billion pixels", image(image_url="bomb.png"), "image.too_large"),
    case("too many bytes", image(image_url="huge.png"), "image.too_large"),
    case("201 times as long", image(image_url="long.png"), "image.aspect"),
    case("200 times as long", image(image_url="longest.png")),
    case("4 px", image(image_url="sliver.png"), "image.sliver"),
    case("20 px", image(image_url="small.png"), warn=("image.small",)),
    case("rotated", image(image_url="rotated.jpg"), warn=("image.exif",)),
    # the text
    case("empty answer", answer(""), "target.empty"),
    case("blank answer", answer("  "), "target.empty", warn=("target.outer_space",)),
    case("outer space", answer(" x\n"), warn=("target.outer_space",)),
    case("markdown table", answer("| a | b |\n|---|:-:|\n| 1 | 2 |"), warn=("target.markdown_table",)),
    case("chart rows are no markdown table", answer("a | b\n1 | 2")),
    case("a NUL in an answer", answer("a\x00b"), "target.control"),
    case("a C1 control", answer("caf\x85e"), "target.control"),
    case("an HTML table", table("<table><tr><td>a</td></tr></table>"), "target.html"),
    case("no OTSL at all", table("a, b"), "target.otsl"),
    case("a short row", table("<fcel>a<fcel>b<nl><fcel>c<nl>"), "target.otsl"),
    case("a cell without text", table("<fcel><fcel>b<nl>"), "target.otsl"),
    case("text behind an empty cell", table("<ecel>fel<fcel>b<nl>"), "target.otsl"),
    case("no end of row", table("<fcel>a<fcel>b"), "target.otsl"),
    case("a continuation of nothing", table("<lcel><fcel>b<nl>"), "target.otsl"),
    case("an open brace", formula("\\[\\frac{a}{b\\]"), "target.latex"),
    case("two scripts", formula("\\[x^a^b\\]"), "target.latex"),
    case("left without right", formula("\\[\\left(x\\]"), "target.latex"),
    case("an empty formula", formula("\\[\\]"), "target.empty"),
    case("dollars around a formula", formula("$x^2$"), warn=("target.latex_delimiters",)),
    case("a formula in round brackets", formula("\\(x^2\\)"), warn=("target.latex_delimiters",)),
    case("a row skip", formula("\\[\\begin{array}{l}a\\\\[2pt]b\\end{array}\\]"), "target.row_skip"),
    case("a label in a formula", formula("\\[E=mc^2\\label{eq:mass}\\]"), warn=("target.unseen",)),
    case("a comment in a formula", formula("\\[E=mc^2 % energy\\]"), warn=("target.unseen",)),
    case("a row end without a row", formula("\\[u=v \\\\\\]"), warn=("target.unseen",)),
    case("two primes and an exponent", formula("\\[x''^{2}\\]")),
    case("a dollar in a formula", formula("\\[\\text{if $x$}\\]"), warn=("target.dollar",)),
    case("a price beside a formula", answer("\\( x \\) costs $5"), warn=("target.dollar",)),
    case("a price", answer("it costs $5")),
    case("ragged chart", chart("a | b\n1 | 2 | 3"), "target.chart"),
    case("a chart of one column", chart("a\nb"), "target.chart"),
    case(
        "a chart in Markdown",
        chart("| a | b |\n|---|---|\n| 1 | 2 |"),
        warn=("target.chart_style", "target.markdown_table"),
    ),
    case("twenty equal lines", answer("\n".join(["N/A"] * 20)), warn=("target.repetition",)),
    case(
        "a line of dots",
        answer("Chapter 1 of the book of everything that is known" + " . . . ." * 30),
        warn=("target.repetition",),
    ),
    case("one unit ten times", answer("abcdef" * 12), warn=("target.repetition",)),
    case("Bengali cleaned with \\w", answer("আমর সনর বল আম ভলবস চরদন তমর আকশ বতস পরণ"), warn=("language.marks",)),
    case("a primer", answer("अमन घर चल। झटपट जल भर। नमक मत चख। कमल पर मत चल।"), warn=("language.marks",)),
    case("an escaped tab in an answer", answer("a\tb"), warn=("target.white_space",)),
    *(
        case(f"U+{ord(blank):04X}", answer(f"1{blank}250,00 €"), warn=("target.white_space",))
        for blank in "\u00a0\u202f\u2009\u2003\u205f"
    ),
    case("a run of blanks", answer("a  b"), warn=("target.white_space",)),
    case("a blank at the end of a line", answer("a \nb"), warn=("target.white_space",)),
    case("a no-break space in a table", table("<fcel>1\u00a0000<fcel>b<nl>"), warn=("target.white_space",)),
    case("a thin space in a chart", chart("year | a\n1990 | 1\u2009000"), warn=("target.white_space",)),
    case("a run of blanks in a formula", formula("\\[a  +b\\]"), warn=("target.white_space",)),
    case("shapes of Arabic letters", answer("\ufe91\ufef4\ufe96"), warn=("language.presentation_forms",)),
    case("kaf of Arabic in a Persian word", answer("\u0643تابهای"), warn=("language.yeh_kaf",)),
    case("yeh of Arabic in a Persian word", answer("\u064aک"), warn=("language.yeh_kaf",)),
    case("sara am in two parts", answer("น\u0e4d\u0e49\u0e32"), warn=("language.spelling",)),
    case("sara ae in two parts", answer("\u0e40\u0e40ม่"), warn=("language.spelling",)),
    case("Lao am in two parts", answer("ນ\u0ecd\u0ec9\u0eb2"), warn=("language.spelling",)),
    case("a chillu as consonant, virama and joiner", answer("അവന\u0d4d\u200d"), warn=("language.spelling",)),
    case("an independent vowel and a sign", answer("अ\u093eम"), warn=("language.spelling",)),
    case("the same in a table", table("<fcel>अ\u093eम<nl>"), warn=("language.spelling",)),
    case("a mark behind a blank", answer("วัน นี \u0e49"), warn=("language.stray_mark",)),
    case("a mark at the beginning", answer("\u09bfক"), warn=("language.stray_mark",)),
    case("a mark at the beginning of a cell", table("<fcel>a<fcel>\u09bfক<nl>"), warn=("language.stray_mark",)),
    case("nobody has read it", answer("###"), "target.placeholder"),
    case("nobody has typed it", answer("待识别"), "target.placeholder"),
    case("nobody has read it, blanks", answer(" ### "), "target.placeholder", warn=("target.outer_space",)),
    case("an HTML table as text", answer("<table><tr><td>1</td></tr></table>"), "target.html"),
    case(
        "a whole page of HTML as text",
        answer('<html><body>\n<TABLE border="1"><tr><th>a</th></tr></TABLE></body></html>'),
        "target.html",
    ),
    case("rows of HTML as text", answer("<tr><td>1</td><td>2</td></tr>"), "target.html"),
    case(
        "an HTML table under a prompt of your own",
        turns(("To HTML", "mask"), ("<table><tr><td>1</td></tr></table>", "no_mask")),
        warn=("prompt.unknown",),
    ),
    case("a reference in a cell", table("<fcel>M&amp;A<fcel>p &lt; 5<nl>"), warn=("target.reference",)),
    case("a reference by number", table("<fcel>1&#160;000<nl>"), warn=("target.reference",)),
    case("a reference in a text", answer("AT&amp;T"), warn=("target.reference",)),
    case("a Latin letter in a Russian word", answer("Mосква"), warn=("language.lookalikes",)),
    case("a zero-width space", answer("a\u200bb"), warn=("language.invisible",)),
    case("not NFC", answer("cafe\u0301"), warn=("language.unicode_form",)),
    case("a sign of Bengali that is never composed", answer("\u09dc"), warn=("language.unicode_form",)),
    case(
        "a page",
        turns(
            ("OCR:", "mask"),
            ("\n".join(f"line {n} of a whole page of text" for n in range(60)), "no_mask"),
            images=[{"image_url": "page.png"}],
        ),
        warn=("image.page",),
    ),
    case(
        "a picture of the size of a page",
        turns(("OCR:", "mask"), ("Exit", "no_mask"), images=[{"image_url": "page.png"}]),
    ),
    case("replacement", answer("caf\ufffd"), warn=("target.replacement",)),
    case("a prompt of your own", prompt("Read the stamp"), warn=("prompt.unknown",)),
    case("an empty prompt", prompt(""), warn=("prompt.unknown",)),
    case("a prompt of 10 MB", prompt("OCR: " + "ক" * 3_500_000), warn=("prompt.unknown",)),
    case("OCR without colon", prompt("OCR"), "prompt.near_miss"),
    case("small letters", prompt("table recognition:"), "prompt.near_miss"),
    case("a prompt of another version", prompt("Seal Recognition:"), warn=("prompt.unknown",)),
]

BOM = b"\xef\xbb\xbf"
LINE, LAST, FURTHER = (
    row(image_info=[{**IMAGE, "image_url": f"{name}.png"}]) + b"\n" for name in ("first", "final", "third")
)
# name, content, (line, code) of every finding, rows
FILES: list[tuple[str, bytes, list[tuple[int, str]], int]] = [
    ("good.jsonl", LINE + row(), [], 2),
    ("rows.json", b"[" + row() + b"]", [(0, "file.extension")], 0),
    ("rows.jsonl.gz", b"\x1f\x8b", [(0, "file.extension")], 0),
    ("rows.JSONL", LINE, [(0, "file.extension")], 0),
    ("empty.jsonl", b"", [(0, "file.empty")], 0),
    ("newlines.jsonl", b"\n\n", [(1, "file.blank_line"), (2, "file.blank_line"), (0, "file.empty")], 0),
    ("bom.jsonl", BOM + LINE + LAST, [(1, "file.bom")], 2),
    ("only-bom.jsonl", BOM, [(1, "file.bom"), (1, "file.blank_line"), (0, "file.empty")], 0),
    ("blank.jsonl", LINE + b"\n" + LAST, [(2, "file.blank_line")], 2),
    ("spaces.jsonl", LINE + b" \t \n" + LAST, [(2, "file.blank_line")], 2),
    ("end.jsonl", LINE + b"\n", [(2, "file.blank_line")], 1),
    ("windows.jsonl", row() + b"\r\n" + LAST[:-1] + b"\r\n", [(1, "file.crlf"), (2, "file.crlf")], 2),
    (
        "all.jsonl",
        BOM + row() + b"\r\n\r\n{\r\n",
        [(1, "file.bom"), (1, "file.crlf"), (2, "file.blank_line"), (3, "file.crlf"), (3, "structure.json")],
        2,
    ),
    ("mac.jsonl", row() + b"\r" + row(), [(1, "structure.json")], 1),
    *(
        (f"{name}.jsonl", (LINE + LAST).decode().encode(name), [(0, "file.encoding")], 0)
        for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be")
    ),
    ("duplicate.jsonl", LINE + LAST + LINE, [(3, "set.duplicate")], 3),
    ("spelling.jsonl", LINE + LAST + LINE.replace(b"first", b".//./first"), [(3, "set.duplicate")], 3),
    ("nowhere.jsonl", LINE + LAST + LINE.replace(b"first", b"x/../first"), [(3, "image.missing")], 3),
    ("copy.jsonl", LINE + LAST + LINE.replace(b"first", b"copy"), [(3, "set.duplicate")], 3),
    (
        "contradiction.jsonl",
        LINE + LAST + LINE.replace("৪৫টি".encode(), b"45") + LINE,
        [(3, "set.contradiction"), (4, "set.duplicate")],
        4,
    ),
    ("other-question.jsonl", LINE + LAST + LINE.replace(b"OCR:", b"Which number?"), [(3, "prompt.unknown")], 3),
]


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + body
        + struct.pack(">I", zlib.crc32(body))
        + b"\0\0\0\0IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that are fine, and every kind that is not."""
    folder = tmp_path_factory.mktemp("rows")
    sizes = {
        "a": (100, 40),
        "b": (60, 60),
        "first": (101, 40),
        "final": (102, 40),
        "third": (103, 40),
        "page": (1000, 1414),
        "long": (5628, 28),
    }
    sizes |= {"longest": (28, 5600), "sliver": (100, 4), "small": (100, 20)}
    for name, size in sizes.items():
        Image.new("RGB", size, "white").save(folder / f"{name}.png")
    (folder / "copy.png").write_bytes((folder / "first.png").read_bytes())
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 40)).save(folder / "rotated.jpg", exif=exif)
    noise = Image.effect_noise((64, 64), 80)
    for suffix in ("png", "jpg"):
        noise.save(folder / f"whole.{suffix}")
        whole = (folder / f"whole.{suffix}").read_bytes()
        (folder / f"half.{suffix}").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("this is no image")
    (folder / "empty.png").touch()
    (folder / "script.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 60\n%%EndComments\nshowpage\n%%EOF\n"
    )
    (folder / "bomb.png").write_bytes(png_header(65_000, 65_000))
    with (folder / "huge.png").open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)  # a hole, no blocks on disk
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    return folder


def run(folder: Path, name: str, content: bytes, **context: Any) -> Report:
    path = folder / name
    path.write_bytes(content)
    report = validate(path, Context(folder, VERSION, **context))
    assert report.rows >= report.good >= 0
    assert report.errors + report.warnings == sum(report.counts.values())
    assert all(problem.severity == REASONS[problem.code][0] and problem.message for problem in report.problems)
    return report


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_row(folder: Path, case: Case) -> None:
    report = run(folder, "case.jsonl", LINE + case.line + b"\n" + LAST)
    found = {(problem.severity, problem.code, problem.line) for problem in report.problems}
    assert found == {("error", code, 2) for code in case.errors} | {("warning", code, 2) for code in case.warnings}
    assert (report.rows, report.good) == (3, 2 if case.errors else 3)
    if not case.errors:  # what passes can be read by everything that follows
        assert [line for line, _ in read_samples(report.path)] == [1, 2, 3]


@pytest.mark.parametrize(("name", "content", "expected", "rows"), FILES, ids=[name for name, *_ in FILES])
def test_file(folder: Path, name: str, content: bytes, expected: list[tuple[int, str]], rows: int) -> None:
    report = run(folder, name, content)
    assert sorted((problem.line, problem.code) for problem in report.problems) == sorted(expected)
    bad = {line for line, code in expected if line and REASONS[code][0] == "error" and code != "file.blank_line"} - {
        line for line, code in expected if code == "file.blank_line"
    }
    assert (report.rows, report.good) == (rows, rows - len(bad))


def test_every_code_is_produced() -> None:
    seen = {code for case in CASES for code in case.errors | case.warnings} | {
        code for *_, found, _ in FILES for _, code in found
    }
    by_others = {
        "set.marks",
        "file.key_order",
        "trainer.too_long",
        "trainer.augmented",  # of a whole run: tests/training
        "set.leak",
        "set.near_leak",
        "set.near_duplicate",
    }  # --fix reports the first; tests below produce the others
    assert seen | by_others == {
        code for code in REASONS if not code.startswith(("source.", "table.", "served.", "review."))
    }  # those come from converters and from corrections
    assert not seen & by_others
    for severity, codes in (
        ("error", {code for case in CASES for code in case.errors}),
        ("warning", {code for case in CASES for code in case.warnings}),
    ):
        assert {REASONS[code][0] for code in codes} == {severity}


def test_image_mark_is_reserved() -> None:
    assert IMAGE_MARK in checks_row.RESERVED


def test_length(folder: Path, base_model: Path) -> None:
    def found(max_seq_len: int, max_pixels: int = 2_822_400, url: str = "a.png") -> set[str]:
        budget = Budget(base_model / "tokenizer.json", 5600, max_pixels, max_seq_len)
        report = run(folder, "length.jsonl", image(image_url=url) + b"\n", budget=budget)
        assert all(problem.line == 1 and problem.severity == "error" for problem in report.problems)
        return {problem.code for problem in report.problems}

    assert found(60) == set()
    assert found(12) == {"trainer.too_long"}
    assert found(60, 7000) == set()
    assert found(10_000, 7000, "longest.png") == {"image.aspect"}  # one side would be floored to 0 px
    assert found(60, 7000, "half.png") == {"image.truncated"}  # what cannot be read has no length


def test_shallow_check_finds_what_was_cut_off_and_leaves_the_other_pixels_alone(folder: Path) -> None:
    for name in ("half.jpg", "half.png"):
        assert run(folder, "shallow.jsonl", image(image_url=name), decode=False).counts == {
            ("error", "image.truncated"): 1
        }
    damaged = bytearray((folder / "whole.png").read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 40] = bytes(40)
    (folder / "damaged.png").write_bytes(damaged)
    assert run(folder, "shallow.jsonl", image(image_url="damaged.png"), decode=False).errors == 0
    assert run(folder, "shallow.jsonl", image(image_url="damaged.png")).counts == {("error", "image.truncated"): 1}


@pytest.mark.parametrize("depth", [10, 100, 300, 500, 700, 850, 950, 990, 2000])
def test_depth_of_nesting_is_no_matter(folder: Path, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    for line in (b'{"text_info": %b, "image_info": []}' % nested, row()[:-1] + b', "meta": %b}' % nested, nested):
        report = run(folder, "deep.jsonl", line)
        assert report.rows == 1
        assert all(problem.code.startswith(("structure.", "trainer.no_image")) for problem in report.problems)


def test_line_above_the_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sft.files.jsonl.MAX_LINE_BYTES", 1000)
    monkeypatch.setattr("sft.validate.shard.MAX_LINE_BYTES", 1000)
    report = run(folder, "limit.jsonl", LINE + answer("x" * 2000))
    assert [(problem.code, problem.line) for problem in report.problems] == [("structure.json", 2)]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n" + LAST])
def test_an_endless_line_is_one_finding_and_never_held(
    folder: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    monkeypatch.setattr("sft.files.jsonl.MAX_LINE_BYTES", 1000)
    monkeypatch.setattr("sft.validate.shard.MAX_LINE_BYTES", 1000)
    path = folder / "endless.jsonl"
    path.write_bytes(BOM + b" " * 20_000_000 + b"\n" + LINE + b"x" * 20_000_000 + b"\n{\n" + b"[" * 1001 + end)
    context, seen = Context(folder, VERSION), list[int]()
    tracemalloc.start()
    report = validate(path, context, progress=seen.append)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
    assert [(problem.code, problem.line) for problem in report.problems] == [
        ("structure.json", line) for line in (1, 3, 4, 5)
    ]
    good = 1 + end.count(LAST)
    assert (report.rows, report.good) == (4 + good, good)
    assert seen == sorted(seen) and seen[-1] == path.stat().st_size


def test_a_line_of_exactly_the_limit_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, bad in ((len(LINE), []), (len(LINE) - 1, [1, 2])):
        monkeypatch.setattr("sft.files.jsonl.MAX_LINE_BYTES", limit)
        monkeypatch.setattr("sft.validate.shard.MAX_LINE_BYTES", limit)
        report = run(folder, "exact.jsonl", LINE + LAST + FURTHER[:-1])
        assert [problem.line for problem in report.problems] == bad
        assert report.rows == 3


def test_rows_are_counted_over_many_chunks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sft.validate.file.SHARD_BYTES", 64 * 1024)
    rows = [
        (answer(" x") if number % 7 == 0 else b"{" if number % 11 == 0 else row()).replace(b"a.png", b"%d.png" % number)
        for number in range(1, 2001)
    ]
    seen: list[int] = []
    path = folder / "many.jsonl"
    path.write_bytes(b"\n".join(rows) + b"\n")
    report = validate(path, Context(folder, VERSION, look=False), progress=seen.append)
    bad = [number for number, line in enumerate(rows, 1) if line == b"{"]
    assert (report.rows, report.good) == (2000, 2000 - len(bad))
    assert report.counts["error", "structure.json"] == len(bad)
    assert [problem.line for problem in report.problems if problem.severity == "error"] == bad[:KEPT]
    assert seen == sorted(seen)
    assert seen[-1] == path.stat().st_size
    assert len(seen) > 1


def test_first_error_is_named_after_many_warnings(folder: Path) -> None:
    report = run(
        folder,
        "late.jsonl",
        b"".join(answer(" x").replace(b"a.png", b"%d.png" % number) + b"\n" for number in range(KEPT + 50)) + b"{\n",
        look=False,
    )
    assert report.warnings == KEPT + 50
    with pytest.raises(ProblemsFound, match=r"structure\.json") as caught:
        report.require_good()
    assert caught.value.where == f"{report.path}:{KEPT + 51}"
    assert caught.value.exit_code == 1
    run(folder, "fine.jsonl", answer(" x")).require_good()


def test_what_is_no_file_is_refused(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "zero", "missing"):
        with pytest.raises(UsageError):
            validate(tmp_path / f"{name}.jsonl", Context(folder, VERSION))


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(dump_any)
)
def test_nonsense_never_breaks_the_check(line: bytes) -> None:
    _, problems = check_line(line, 9, Context(Path("/nowhere"), VERSION))
    assert problems
    assert all(problem.line == 9 and problem.code in REASONS for problem in problems)


def test_rows_of_another_format_are_named(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text('{"messages": [], "images": []}\n{"conversations": [], "image": "a.png"}\n', encoding="utf-8")
    hints = [problem.hint for problem in validate(path, Context(tmp_path, VERSION)).problems]
    assert ["sft convert messages" in hints[0], "sft convert llava" in hints[1], len(hints)] == [True, True, 2]
