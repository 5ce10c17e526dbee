"""Drawn samples: the same again, no text on both sides, letters that are really shaped, ink that stays inside."""

from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sft.errors import UsageError
from sft.files import atomic, jsonl
from sft.synth import bengali_sample
from sft.synth.glyphs import draw_line, outline


def fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.*")):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def drawn(folder: Path, *, seed: int = 5, split: str = "train", count: int = 20) -> Path:
    bengali_sample.write_split(folder, seed=seed, split=split, count=count, prompt="OCR:")
    return folder


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    first = fingerprint(drawn(tmp_path / "a"))
    assert first == fingerprint(drawn(tmp_path / "b"))
    assert first != fingerprint(drawn(tmp_path / "c", seed=6))
    assert first != fingerprint(drawn(tmp_path / "d", split="test"))


def test_rows_and_images(tmp_path: Path) -> None:
    rows = [sample for _, sample in jsonl.read_samples(drawn(tmp_path) / "train.jsonl")]
    assert [sample.image_info[0].image_url for sample in rows] == [
        f"images/train-{number:05d}.png" for number in range(20)
    ]
    assert [sample.ref for sample in rows] == list(bengali_sample.texts(seed=5, split="train", count=20))
    assert len({atomic.sha256(path) for path in (tmp_path / "images").iterdir()}) == 20


def test_train_and_test_share_no_text() -> None:
    train, test = (
        set(bengali_sample.texts(seed=7, split=split, count=count)) for split, count in (("train", 4800), ("test", 200))
    )
    assert (len(train), len(test)) == (4800, 200)
    assert not train & test
    assert not train & set(bengali_sample.texts(seed=8, split="test", count=200))  # whatever the seed
    kinds = [r"[০-৯]{2,4}", r"৳[০-৯]{2,3}", r"[০-৯]{1,2}(টি|টা|জন)"]
    for kind in kinds:
        assert any(re.fullmatch(kind, text) for text in test)
    assert all(re.fullmatch("|".join(kinds), text) for text in train | test)


def test_more_texts_than_there_are_is_an_error_not_a_wait() -> None:
    with pytest.raises(UsageError, match="there are only about"):
        list(bengali_sample.texts(seed=1, split="test", count=5000))


def test_missing_glyph_is_named() -> None:
    with pytest.raises(UsageError, match=r"no glyph for '字' \(U\+5B57\), '😀' \(U\+1F600\)"):
        outline("৪字😀")
    with pytest.raises(UsageError, match="字"):
        bengali_sample.draw("字", random.Random(1))


def ink(text: str) -> NDArray[np.float32]:
    return draw_line(text, width=112, height=56, em=40, left=4, baseline=40)


def test_vowel_sign_stands_before_its_consonant() -> None:
    """In কি the sign of i is written after the consonant and drawn before it."""
    sign_and_consonant, consonant = outline("কি").glyphs, outline("ক").glyphs[0]
    assert len(sign_and_consonant) == 2
    assert [same_shape(glyph, consonant) for glyph in sign_and_consonant] == [False, True]


def same_shape(left: list[NDArray[np.float64]], right: list[NDArray[np.float64]]) -> bool:
    """Whether two glyphs are equal but for their place."""
    return len(left) == len(right) and all(
        a.shape == b.shape and np.allclose(a - a.min(axis=0), b - b.min(axis=0))
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("text", ["ক্ষ", "টি", "ন্ত"])
def test_letters_that_join_have_fewer_glyphs_than_letters(text: str) -> None:
    letters = [outline(letter).glyphs for letter in text if letter != "\u09cd"]
    assert len(outline(text).glyphs) < len(text)
    assert not any(same_shape(outline(text).glyphs[0], glyphs[0]) for glyphs in letters)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6))
def test_texts_fit_into_the_picture(seed: int) -> None:
    rng = random.Random(seed)
    picture = bengali_sample.draw(bengali_sample.random_text(rng), rng)
    assert picture.shape == (bengali_sample.HEIGHT, bengali_sample.WIDTH, 3)
    assert picture.dtype == np.uint8
    grey = picture.astype(float).mean(axis=2)
    paper = np.median(grey)
    assert grey.min() < paper - 100  # there is ink
    for border in (grey[:, -1], grey[:, 0], grey[0], grey[-1]):
        assert border.min() > paper - 40


@pytest.mark.parametrize("text", ["৮৮৮৮", "৳৮৮৮", "৮৮জন", "৬৬টি"])
def test_the_widest_texts_fit(text: str) -> None:
    for seed in range(20):
        grey = bengali_sample.draw(text, random.Random(seed)).astype(float).mean(axis=2)
        for border in (grey[:, -1], grey[0], grey[-1]):
            assert border.min() > np.median(grey) - 40


def test_holes_stay_open() -> None:
    """The middle of the digit zero is paper, and overlapping parts of a letter do not cut each other."""
    zero = ink("০")
    rows, columns = np.nonzero(zero > 0.5)
    middle = zero[(rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2]
    assert middle == 0
    assert zero.max() == 1
    assert ink(" ").max() == 0
