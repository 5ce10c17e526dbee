"""The fast path says "sure" only of rows in which the slow path and the schema find nothing, and of nearly all that
are good.
"""

from __future__ import annotations

import json
import random
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sft.markup import spelling
from sft.markup.latex import check as check_latex
from sft.markup.pipeline import repetition_cut
from sft.models import versions
from sft.validate.context import Context
from sft.validate.fast.classify import classify_rows
from sft.validate.fast.latex import doubtful_formulas
from sft.validate.fast.markup import doubtful_charts, doubtful_tables, repeating
from sft.validate.fast.text import doubtful, where
from sft.validate.row import check_line

SCHEMA = Draft202012Validator(
    json.loads(resources.files("sft.schema").joinpath("sample.schema.json").read_text("utf-8"))
)
VERSION = versions.MODELS["0.9B"]
CONTEXT = Context(Path("/nowhere"), VERSION, decode=False, look=False)
EXAMPLES, ROWS_PER_EXAMPLE = 520, 20
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)

# What is put into rows: everything that a check looks for, and what lies beside it
PIECES = [
    *"\x00\x07\t\n\r\x0b\x0c\x1f\x7f\x80\x85\xa0\xad\u200b\u200c\u200d",
    *"\u200e\u2028\u2060\u3000\ufeff\ufffd\ufffe\U000e0041",
    *"\u0301\u0323\u09be\u09c7\u09bc\u09cd\u09dc\u1100\u1161\u11a8\u212b\u0387\u0344\u0430\u0391",
    *"\u03b1a\u0e01\u0915\u0f40\u1000\U00011103😀🏴",
    *"\u0e4d\u0e32\u0e33\u0e40\u0e48\u0e35\u0e38\u0ecd\u0eb2\u0eb3",
    *"\u0ec0\u0ec8\u0eb5\u0d46\u0d57\u0d28\u0d4d",
    *"\u0905\u093e\u0947\u0930\u094d\u0907\u0a85\u0abe\u0ac5\u0c3f\u0c55\u0dd9\u17c1\u17b8",
    *"\u0643\u064a\u0649کیپگبتړ\u0640\u064e\ufe91\ufef4\ufe96\ufefb\ufdf2\ufdfa\ufa19神待\ufe0f\u034f\u2009\u202f",
    *spelling.SEQUENCES,
    "###",
    "待识别",
    "&amp;",
    "&#160;",
    "&lt;b",
    "R&D; ",
    " \n",
    "<fcel>\u09bf",
    "<TR><TD>1</TD></TR>",
    "<t",
    "আমর সনর বল আম ভলবস চরদন তমর আকশ",
    "กขคงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ" * 2,
    "Mосква",
    "sinα",
    "  ",
    " x",
    "x ",
    "…",
    "<fcel>",
    "<ecel>",
    "<lcel>",
    "<ucel>",
    "<xcel>",
    "<nl>",
    "<nl><nl>",
    "<fcel> <nl>",
    "<ched>",
    "<",
    "<f",
    "<fcel",
    "p<0.05",
    "<br>",
    "<table><tr><td>1</td></tr></table>",
    "<|IMAGE_PLACEHOLDER|>",
    "</s>",
    "<s>",
    "<image>",
    "<video>",
    "<audio>",
    "<|end_of_sentence|>",
    "$",
    "$5",
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "\\\\[2pt]",
    "\\\\",
    "\\",
    "{",
    "}",
    "^",
    "_",
    "^a",
    "_1",
    "^{2}",
    "'",
    "&",
    "%",
    "#",
    "~",
    "\\left(",
    "\\right)",
    "\\left\\{",
    "\\right.",
    "\\frac",
    "\\frac{a}",
    "\\frac{a}{b}",
    "\\sqrt[3]{x}",
    "\\sqrt x",
    "\\hat{}",
    "\\alpha",
    "\\foo",
    "\\foo,",
    "\\begin{array}{l}",
    "\\end{array}",
    "\\text{if }",
    "\\,",
    "\\ ",
    "\\{",
    "\\sum",
    "\\limits",
    "\\mathbf",
    "\\binom{n}{k}",
    "\\not",
    "\\over",
    "|",
    " | ",
    "\n|",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "\n--- | ---\n",
    "\n\n",
    "\n ",
    "N/A\n" * 12,
    ". " * 60,
    "abcdefgh" * 8,
    "a" * 60,
    '"',
    '\\"',
    "\\u0022",
]
RAW = [
    b'"source": "a.txt:3", ',
    b'"id": 7, ',
    b'"meta": {"group": "x", "n": "\\"q\\""}, ',
    b'"meta": {"a": "1", "a": "2"}, ',
    b'"meta": {"a": [1]}, ',
    b'"image_info": [], ',
    b'"weight": 1, ',
    b'"id": "\\u0022", ',
]
pieces = st.sampled_from(PIECES)


def mutated_text(data: st.DataObject, text: str) -> str:
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.integers(0, len(text)) | st.sampled_from([0, len(text)]))
        action = data.draw(st.sampled_from(["insert", "insert", "cut", "delete", "double"]))
        if action == "insert":
            text = text[:place] + data.draw(pieces) + text[place:]
        elif action == "cut":
            text = text[:place]
        elif action == "delete":
            text = text[:place] + text[place + data.draw(st.integers(1, 6)) :]
        else:
            text = text + text[place:]
    return text


def mutated_row(data: st.DataObject, row: dict[str, Any]) -> bytes:
    image: dict[str, Any] = row["image_info"][0]
    prompt: dict[str, Any] = row["text_info"][0]
    answer: dict[str, Any] = row["text_info"][1]
    answer["text"] = mutated_text(data, answer["text"])
    change = data.draw(st.integers(0, 19))
    if change == 0:
        data.draw(st.sampled_from([image, prompt, answer]))[
            data.draw(st.sampled_from(["text", "tag", "image_url", "matched_text_index", "x"]))
        ] = data.draw(
            st.sampled_from(
                [
                    None,
                    0,
                    1,
                    0.0,
                    -1,
                    True,
                    "",
                    "mask",
                    "no_mask",
                    [],
                    {},
                    "http://x",
                    "data:x",
                    "a\x00",
                    "./a.png",
                    "iVBOR",
                    2**63,
                ]
            )
        )
    elif change == 1:
        image["image_url"] = mutated_text(data, image["image_url"])
    elif change == 2:
        prompt["text"] = data.draw(
            st.sampled_from(
                [
                    "OCR:",
                    "OCR",
                    " OCR:",
                    "Table Recognition:",
                    "Formula Recognition:",
                    "Chart Recognition:",
                    "Seal Recognition:",
                    "Read this",
                    "",
                ]
            )
        )
    elif change == 3:
        row["text_info"].append(data.draw(st.sampled_from([prompt, answer])))
    elif change == 4:
        data.draw(st.sampled_from([image.pop, answer.pop, prompt.pop]))(
            data.draw(st.sampled_from(["tag", "image_url", "matched_text_index"])), None
        )
    line = json.dumps(
        row, ensure_ascii=data.draw(st.booleans()), separators=data.draw(st.sampled_from([(", ", ": "), (",", ":")]))
    ).encode("utf-8", "surrogatepass")
    if change == 5:
        line = b"{" + data.draw(st.sampled_from(RAW)) + line[1:]
    elif change == 6:
        place = data.draw(st.integers(0, len(line)))
        line = line[:place] + data.draw(st.binary(max_size=2)) + line[place + data.draw(st.integers(0, 2)) :]
    elif change == 7:
        line = line.replace(b'"tag"', b'"tag": "mask", "tag"', data.draw(st.integers(1, 2)))
    return line.replace(b"\n", b" ") or b"{"


SEEN = {"rows": 0, "sure": 0, "good": 0, "valid": 0}


@SETTINGS
@given(st.data())
def compare(data: st.DataObject) -> None:
    draw = random.Random(data.draw(st.integers(0, 2**32)))
    lines = [mutated_row(data, rows.row(draw, f"{number}.png")) for number in range(ROWS_PER_EXAMPLE)]
    proof = classify_rows(b"\n".join(lines) + b"\n", VERSION)
    alone = [proof] * len(lines) if proof else [classify_rows(line, VERSION) for line in lines]
    for at, (line, found) in enumerate(zip(lines, alone, strict=True)):
        _, problems = check_line(line, 1, CONTEXT)
        try:
            valid = SCHEMA.is_valid(json.loads(line))
        except (ValueError, RecursionError):
            valid = False
        if found is not None and found.sure[at if proof else 0]:
            assert not problems, (line.decode(), problems)
            assert valid
            SEEN["sure"] += 1
        structural = any(
            problem.code.startswith(("structure.", "trainer.", "file.")) and problem.severity == "error"
            for problem in problems
        )
        assert valid or structural, line  # what the schema refuses is refused
        SEEN["rows"] += 1
        SEEN["good"] += not problems
        SEEN["valid"] += valid


def test_fast_path_slow_path_and_schema_agree() -> None:
    compare()
    assert SEEN["rows"] >= 10_000
    assert SEEN["rows"] * 0.2 < SEEN["good"] < SEEN["rows"] * 0.8  # both verdicts are met often
    assert SEEN["sure"] > 0.8 * SEEN["good"]  # and the fast path is not merely cautious


def test_good_rows_are_sure() -> None:
    for write in (
        lambda value: json.dumps(value, ensure_ascii=False),
        json.dumps,
        lambda value: json.dumps({**value, "source": "x"}, separators=(",", ":")),
    ):
        proof = classify_rows("\n".join(write(row) for row in rows.rows(2000)).encode(), VERSION)
        assert proof is not None
        assert all(proof.sure)
        assert len(proof.sure) == 2000


@pytest.mark.parametrize(
    "parted", ["{0}{1}\n\n", "\n{0}{1}\n", "{0} {1}\n \n", "\t\n{0},{1}\n", "{half}\n{rest}{1}\n", "{0}\n{1}{rest}\n"]
)
def test_lines_are_lines(parted: str) -> None:
    """As many rows as lines, but not one on each: two on one line beside an empty one."""
    one, other = (json.dumps(row) for row in rows.rows(2))
    half, rest = one.split(', "text_info"')
    chunk = (one + "\n" + parted.format(one, other, half=half, rest=', "text_info"' + rest) + other + "\n").encode()
    proof = classify_rows(chunk, VERSION)
    assert proof is not None
    good = [not check_line(line, 1, CONTEXT)[1] for line in chunk.splitlines()]
    assert proof.sure == good and not all(good)


def test_pieces_of_a_chunk_are_judged_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in rows.rows(300)]
    lines[7], lines[100] = b"", b"{"
    lines[200] = lines[200].replace(b'"tag": "mask"', b'"tag": "mask", "tag": "mask"')
    lines[299] = b"\xef\xbb\xbf" + lines[299]
    for size in (1, 1000, 10_000, 1 << 20):
        monkeypatch.setattr("sft.validate.fast.classify.PIECE_BYTES", size)
        for end in (b"\n", b""):
            proof = classify_rows(b"\n".join(lines) + end, VERSION)
            assert proof is not None
            assert [at for at, sure in enumerate(proof.sure) if not sure] == [7, 100, 200, 299]
            assert proof.urls[299] == ""
            assert proof.urls[298].endswith("298.png")
            assert len(proof.answers) == len(proof.prompts) == 300


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 200), st.sets(st.integers(0, 199), max_size=20))
def test_where(size: int, places: set[int]) -> None:
    mask = np.isin(np.arange(size), list(places))
    assert where(mask).tolist() == np.flatnonzero(mask).tolist()


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(
    st.lists(
        st.text(st.characters() | pieces.filter(lambda piece: len(piece) == 1), max_size=30)
        | st.lists(pieces, max_size=5).map("".join),
        min_size=1,
        max_size=6,
    )
)
def test_characters(texts: list[str]) -> None:
    from sft.validate.answer_checks import check_answer, check_text

    found = doubtful(texts)
    for at, text in enumerate(texts):
        codes = {problem.code for problem in (*check_text(text, "", 1), *check_answer(text, "OCR:", "", 1))} - {
            "target.repetition"
        }
        assert at in found or not codes, (text, codes)


TOKENS = st.sampled_from(
    [
        "<fcel>a",
        "<fcel>",
        "<ecel>",
        "<lcel>",
        "<ucel>",
        "<xcel>",
        "<nl>",
        "<nl>",
        "<nl>",
        "x",
        " ",
        "\n",
        "<",
        "ক",
        "\u3000",
        "あ",
        "\u3164",
        "\u09bf",
        "\u00a0",
        "&lt;",
    ]
)


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(st.lists(st.lists(TOKENS, max_size=9).map("".join), min_size=1, max_size=5))
def test_tables(texts: list[str]) -> None:
    from sft.validate.answer_checks import check_answer

    by_character = doubtful(texts)  # of blanks and marks
    for at, (text, doubt) in enumerate(zip(texts, doubtful_tables(texts), strict=True)):
        assert doubt or at in by_character or not list(check_answer(text, "Table Recognition:", "", 1)), text


SYMBOLS = [
    *"a1+()[]|.{}{}_^-=<!?:;/* ",
    "^{a}",
    "_{b}",
    "\\frac",
    "{a}",
    "\\sqrt",
    "\\hat",
    "\\left",
    "\\right",
    "\\left(",
    "\\right)",
    "\\left.",
    "\\langle",
    "\\alpha",
    "\\sum",
    "\\lim",
    "\\to",
    "\\quad",
    "\\,",
    "\\ ",
    "\\{",
    "\\}",
    "\\mathbf",
    "\\mathrm{d}",
    "\\prime",
    "\\int",
    "\\binom",
    "\\|",
    "\\circ",
    "\\ldots",
    "\\angle",
    "\\max",
]


@settings(max_examples=6000, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=9).map("".join))
def test_formulas(body: str) -> None:
    texts = [f"\\[{body}\\]", "\\[{", "\\[a\\]"]
    found = doubtful_formulas(texts)
    assert found[1:] == [True, False]  # each is judged alone
    if not found[0]:
        check_latex(texts[0])


@pytest.mark.parametrize("size", [60, 300, 5000])
def test_hard_formulas_take_linear_time(size: int) -> None:
    for body in (
        "{" * size,
        "{a" * size,
        "a_1" * size + "&",
        "{" + "a" * size + "&}",
        "\\left(a" * size,
        "{" + "a^1_2" * size + "\\foo}",
    ):
        assert doubtful_formulas([f"\\[{body}\\]"]) == [True]


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(["a", "b", "ab", "abcdefgh", " . .", "\n", "N/A\n", "x" * 20]), max_size=8),
    st.integers(1, 40),
)
def test_repetitions(parts: list[str], times: int) -> None:
    for text in (
        "".join(parts[:3]) + "".join(parts[3:]) * times,
        "\n ".join(["x", *parts, *["a line"] * times, " a line "]),
    ):
        assert repeating([text.strip()])[0] or repetition_cut(text.strip()) == text.strip()


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", " | ", "|", "\n", "-", " ", ":", "1", "a | b\n", "1 | 2"]), max_size=9).map(
            "".join
        ),
        min_size=1,
        max_size=4,
    )
)
def test_charts(texts: list[str]) -> None:
    from sft.validate.answer_checks import check_answer

    texts = [text.strip() for text in texts]
    by_character = doubtful(texts)  # of blanks, and of pipes at the beginning of a line
    for at, (text, doubt) in enumerate(zip(texts, doubtful_charts(texts), strict=True)):
        assert doubt or at in by_character or not list(check_answer(text, "Chart Recognition:", "", 1)), text


SOUND = [
    "น้ำ แม่ ก็ เก้า ที่นี่ กำลัง",
    "ນ້ຳ ແມ່ ກໍ່ ຂໍ ວ່າ",
    "می\u200cخواهم کتاب\u200cها را",
    "كتاب جديد في المكتبة",
    "अंत आए ऊँट भाई",
    "ক্ষমা অংশ\n\nআমি",
    "東京\u3000天気 \ufa19戸",
    "sinα Δx",
    "Αθήνα and Москва",
    "e\u0323\u0301".replace("e\u0323", "ẹ"),
    "M&A, R&D; #1\n\n###x",
]


def test_sound_texts_with_telltale_characters_are_sure() -> None:
    assert doubtful(SOUND) == doubtful([text * 2 for text in SOUND]) == set()


def test_every_sequence_is_seen_in_any_place() -> None:
    for sequence in (
        *spelling.SEQUENCES,
        *(sign * 2 for sign in spelling.TWICE),
        "\u0e4d\u0e32",
        "\u0e48\u0e35",
        "\u0eb3\u0ec8",
    ):
        texts = [f"{before}{sequence}{behind}" for before in ("", "ab ", "क", "\n") for behind in ("", "ab", "क")]
        assert doubtful(texts) == set(range(len(texts))), sequence


@pytest.mark.parametrize("piece", ["  ", " \n", "\t", "&amp;", "<td>1</td>"])
def test_telltales_of_ascii_are_seen_in_any_place(piece: str) -> None:
    for size in range(1, 20):
        texts = ["x" * size, "y" * size + piece + "z", "", "w"]
        assert doubtful(texts) == {1, 2}  # the third is empty
        assert doubtful([f"{text}é" for text in texts]) == {1}
