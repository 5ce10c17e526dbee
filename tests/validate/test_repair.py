"""`sft validate --fix`: what is mended, and that nothing else changes."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft.errors import UsageError
from sft.types import Task
from sft.validate import labels
from sft.validate.fixes import fix

BOM = b"\xef\xbb\xbf"
USUAL = (
    '{"image_info": [{"image_url": "a.png", "matched_text_index": 0}], "text_info": [{"text": "OCR:", "tag": "mask"},'
    ' {"text": "৪৫টি", "tag": "no_mask"}]}'.encode()
)
TURNED_TEXT = '{"text_info":[{"tag":"mask","text":"OCR:"},{"tag":"no_mask","text":"৪৫টি"}],'
TURNED_TEXT += '"image_info":[{"matched_text_index":0,"image_url":"a.png"}]}'
TURNED = TURNED_TEXT.encode()

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["text", "tag", "image_url", "id", "text_info", "image_info"]) | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def mend(tmp_path: Path, content: bytes) -> tuple[bytes, Counter[str]]:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(content)
    mended = fix(source, out)
    assert source.read_bytes() == content
    return out.read_bytes(), mended


@pytest.mark.parametrize(
    ("content", "expected", "mended"),
    [
        (USUAL + b"\n", USUAL + b"\n", {}),
        (USUAL, USUAL + b"\n", {}),
        (BOM + USUAL + b"\n", USUAL + b"\n", {"file.bom": 1}),
        (USUAL + b"\r\n" + USUAL + b"\r\n", USUAL + b"\n" + USUAL + b"\n", {"file.crlf": 2}),
        (b"\n" + USUAL + b"\n \t\r\n\n", USUAL + b"\n", {"file.blank_line": 3}),
        (TURNED + b"\n", USUAL + b"\n", {"file.key_order": 1}),
        (
            BOM + b"\r\n" + TURNED + b"\r\n",
            USUAL + b"\n",
            {"file.bom": 1, "file.blank_line": 1, "file.crlf": 1, "file.key_order": 1},
        ),
        (b'{"b": 1, "a": 2}\n', b'{"b": 1, "a": 2}\n', {}),  # keys of other people keep their order
        (b'{"b":1,  "text": 2}\n', b'{"text": 2, "b": 1}\n', {"file.key_order": 1}),
        (b"", b"", {}),
    ],
)
def test_what_is_mended(tmp_path: Path, content: bytes, expected: bytes, mended: dict[str, int]) -> None:
    found, counts = mend(tmp_path, content)
    assert found == expected
    assert counts == mended
    again, nothing = mend(tmp_path, found)
    assert (again, nothing) == (found, Counter())


@pytest.mark.parametrize(
    "line",
    [
        b'  {"text": ',
        b'{"tag": 1, "text": "caf\xe9"}',
        b'{"tag": 1, "text": "\xed\xa0\x80"}',
        b'{"tag": 1, "text": "\\ud800"}',
        b'{"tag": 1, "text": NaN}',
        b'{"tag": 1, "text": 1e999}',
        b'{"tag": 1, "text": "x", "text": "y"}',  # in order it would lose a value
        b'{"tag": 1, "text": ' + b"9" * 5000 + b"}",
        b'{"tag": 1, "text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"tag": 1, "text": ' + b"[" * 980 + b"]" * 980 + b"}",
        b"\x0b",
        b"\x00" * 20,
        BOM + USUAL,
        b'{"tag": 1}\r{"text": 1}',
    ],
    ids=range(14),
)
def test_a_broken_line_keeps_every_byte(tmp_path: Path, line: bytes) -> None:
    found, mended = mend(tmp_path, USUAL + b"\n" + line + b"\r\n" + USUAL + b"\n")
    assert found == USUAL + b"\n" + line + b"\n" + USUAL + b"\n"
    assert mended == {"file.crlf": 1}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(
        values.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        | st.sampled_from([b"", b" ", b"{", b"\xff"]),
        max_size=6,
    ),
    st.booleans(),
)
def test_rows_mean_the_same_afterwards(tmp_path: Path, rows: list[bytes], windows: bool) -> None:
    end = b"\r\n" if windows else b"\n"
    found, mended = mend(tmp_path, b"".join(row + end for row in rows))
    lines = found.split(b"\n")[:-1]
    assert len(rows) == len(lines) + mended["file.blank_line"]  # in = out + removed
    assert [parsed(row) for row in rows if row.strip(b" ")] == [parsed(line) for line in lines]
    assert mend(tmp_path, found) == (found, Counter())


def parsed(line: bytes) -> Any:
    try:
        return repr_of(json.loads(line))
    except ValueError:
        return line


def repr_of(value: Any) -> str:
    """Equal for equal JSON, and different for 1 and 1.0 and true."""
    return json.dumps(value, sort_keys=True)


def test_in_place(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(BOM + TURNED)
    assert fix(path, path) == {"file.bom": 1, "file.key_order": 1}
    assert path.read_bytes() == USUAL + b"\n"
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_a_line_too_long_to_be_read_keeps_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sft.files.jsonl.MAX_LINE_BYTES", 1000)
    long = [b"x" * 9_000_000 + b"\r\n", b" " * 5000 + b"\n", b"[" * 1001 + b"\n", b"y" * 3_000_000]
    found, mended = mend(tmp_path, BOM + (TURNED + b"\n\n").join(long))
    assert mended == {"file.bom": 1, "file.key_order": 3, "file.blank_line": 3}
    assert found == (USUAL + b"\n").join(long)


def test_an_endless_line_is_never_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sft.files.jsonl.MAX_LINE_BYTES", 1000)
    with (tmp_path / "in.jsonl").open("wb") as stream:
        stream.truncate(50_000_000)  # a hole, no blocks on disk
    tracemalloc.start()
    assert fix(tmp_path / "in.jsonl", tmp_path / "out.jsonl") == {}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
    assert (tmp_path / "out.jsonl").stat().st_size == 50_000_000


def test_missing_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read this file"):
        fix(tmp_path / "none.jsonl", tmp_path / "out.jsonl")
    assert not os.listdir(tmp_path)


# --- answers


def row(answer: str, prompt: str = "OCR:") -> bytes:
    texts = [{"text": prompt, "tag": "mask"}, {"text": answer, "tag": "no_mask"}]
    images = [{"image_url": "a.png", "matched_text_index": 0}]
    return json.dumps({"image_info": images, "text_info": texts}, ensure_ascii=False).encode() + b"\n"


@pytest.mark.parametrize(
    ("answer", "right", "codes"),
    [
        ("1\u00a0250,00\u202f€", "1 250,00 €", ["target.white_space"]),
        ("a\tb  c \nd", "a b c\nd", ["target.white_space"]),
        (" x\n", "x", ["target.outer_space"]),
        ("\u00a0x\u2009y ", "x y", ["target.outer_space", "target.white_space"]),
        ("東京\u3000天気", "東京\u3000天気", []),
        ("cafe\u0301", "café", ["language.unicode_form"]),
        ("\ufa19戸 e\u0301", "\ufa19戸 é", ["language.unicode_form"]),
        ("so\u00adft\u200b\ufeff", "soft", ["language.invisible"]),
        ("ge\u00admein\u00ad\nsam\u00ad \u200b", "gemein-\nsam-", ["language.invisible"]),
        ("in-\u00ad\nto", "in-\nto", ["language.invisible"]),
        ("\ufe91\ufef4\ufe96 123", "بيت 123", ["language.presentation_forms"]),
        ("\ufe96\ufef4\ufe91", "\ufe96\ufef4\ufe91", []),  # in the order of the screen
        ("น\u0e4d\u0e49\u0e32 \u0e40\u0e40ม่", "น้ำ แม่", ["language.spelling"]),
        ("അവന\u0d4d\u200d അ", "അവൻ അ", ["language.spelling"]),
        ("अ\u093eम", "आम", ["language.spelling"]),
        ("كتاب‌های ما", "کتاب‌های ما", ["language.yeh_kaf"]),
        ("گفتگوي ما", "گفتگوي ما", []),
        ("วัน น\u0e35 \u0e49", "วัน น\u0e35 \u0e49", []),  # which blank is too many nobody can say here
        ("\u00a0", "\u00a0", []),
        ("###", "###", []),
        ("Mосква", "Mосква", []),
    ],
)
def test_answers_with_one_right_form(tmp_path: Path, answer: str, right: str, codes: list[str]) -> None:
    found, mended = mend(tmp_path, row(answer))
    assert found == row(right) and sorted(mended) == codes and set(mended.values()) <= {1}
    assert mend(tmp_path, found) == (found, Counter())


@pytest.mark.parametrize(
    ("prompt", "answer", "right"),
    [
        ("Chart Recognition:", "  | a\u00a0b | c\n1 |  | 3  4", "  | a b | c\n1 |  | 3 4"),
        ("Table Recognition:", "<fcel>1\u00a0000<fcel>b  c<nl>", "<fcel>1 000<fcel>b c<nl>"),
        ("Table Recognition:", "<fcel>\u0338b<nl>", "<fcel>\u0338b<nl>"),  # the mark would make one sign of it and `>`
        ("Formula Recognition:", "\\[a\u2009 + b\\]", "\\[a + b\\]"),
    ],
)
def test_white_space_by_task(tmp_path: Path, prompt: str, answer: str, right: str) -> None:
    found, mended = mend(tmp_path, row(answer, prompt))
    assert found == row(right, prompt) and dict(mended) == ({"target.white_space": 1} if right != answer else {})


def test_prompts_paths_and_other_keys_are_never_touched(tmp_path: Path) -> None:
    value = {
        "id": "cafe\u0301",
        "image_info": [{"image_url": "cafe\u0301.png"}],
        "text_info": [{"text": " e\u0301\u00a0", "tag": "mask"}, {"text": "e\u0301", "tag": "no_mask"}],
        "meta": {"text": "e\u0301"},
    }
    found, mended = mend(tmp_path, json.dumps(value).encode() + b"\n")
    value["text_info"][1]["text"] = "é"  # type: ignore[index]
    assert json.loads(found) == value and mended == {"language.unicode_form": 1}


@pytest.mark.parametrize("value", [None, 5, "x", [], {}, [None], [{"tag": "no_mask"}], [{"text": 5, "tag": "no_mask"}]])
def test_odd_rows_are_left(tmp_path: Path, value: Any) -> None:
    line = json.dumps({"text_info": value}).encode() + b"\n"
    assert mend(tmp_path, line) == (line, Counter())


@pytest.mark.parametrize("foreign", ["پاڼه", "ئۇيغۇر", "ڤرݢي"])
def test_persian_letters_are_left_in_a_file_of_another_orthography(tmp_path: Path, foreign: str) -> None:
    assert mend(tmp_path, row("يک") * 2)[0] == row("یک") * 2
    for other in (row(foreign), json.dumps({"text": foreign}).encode() + b"\n"):
        assert mend(tmp_path, row("يک") + other + row("a\u00a0يک"))[0] == row("يک") + other + row("a يک")


SIGNS = "aé e\u0301\u0338|\n \u00a0\u2009\u3000\u200b\u200d\ufe91\ufef4بكیي\u0e4d\u0e32\u0e40\u0905\u093e\u0947<>"


@settings(max_examples=500, deadline=None)
@given(
    st.text(
        st.sampled_from(SIGNS) | st.characters(),
        max_size=12,
    )
    | st.lists(st.sampled_from(["<fcel>", "<nl>", "<ecel>", "a", " ", "\u0338", "  | "]), max_size=6).map("".join),
    st.sampled_from([*Task]),
)
def test_mending_ends_and_leaves_nothing_that_it_names(text: str, task: Task) -> None:
    once, codes = labels.repair(text, task)
    assert labels.repair(once, task) == (once, [])
    assert (once == text) == (not codes)
    assert bool(once.strip()) == bool(text.strip())
    left = {problem.code for problem in labels.check_characters(once, task, "", 1)}
    if codes:
        assert not left & {"target.white_space", "language.invisible", "language.unicode_form"}
