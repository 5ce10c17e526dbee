"""Draws the Bengali sample: numbers, amounts in taka and counts, as short printed lines with their reference.

    {"image_info": [{"image_url": "images/train-00000.png", "matched_text_index": 0}],
     "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "৪৫টি", "tag": "no_mask"}]}

The same seed gives the same rows and images. Train and test share no text, and so no image: a text belongs to one of
them by its own hash. Small on purpose: a model with random weights learns to read them in minutes on two CPU cores.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sft.errors import UsageError
from sft.files import ocr_sample, write_samples
from sft.synth.glyphs import draw_line, outline
from sft.types import Sample

DIGITS = "০১২৩৪৫৬৭৮৯"
COUNTED = ("টি", "টা", "জন")  # pieces, hours, persons; the vowel sign of the first stands before its consonant
TEST_SHARE = 16  # every 16th text, by hash, is held out
WIDTH, HEIGHT = 112, 56  # pixels; 4 x 2 patches of 28: 8 image tokens, and a numeral is about as wide as one of them
MARGIN = 3
MISSES = 50_000  # draws without a new text; by then there is none left, or next to none
BLURRED = 0.3  # share of the images


def random_text(rng: random.Random) -> str:
    """A number of two to four digits, an amount in taka, or a count, each as likely as it is useful to learn."""
    kind = rng.choices(("number", "amount", "count"), weights=(6, 2, 2))[0]
    digits = {"number": (2, 4), "amount": (2, 3), "count": (1, 2)}[kind]
    number = "".join(rng.choice(DIGITS) for _ in range(rng.randint(*digits)))
    return {
        "number": number,
        "amount": f"৳{number}",
        "count": f"{number}{rng.choice(COUNTED)}",
    }[kind]


def is_held_out(text: str) -> bool:
    """Whether a text belongs to the test split; decided by the text alone."""
    return hashlib.sha256(text.encode()).digest()[0] % TEST_SHARE == 0


def texts(*, seed: int, split: str, count: int) -> Iterator[str]:
    """`count` different texts of a split ("train" or "test")."""
    rng = random.Random(f"bengali/{split}/{seed}")
    seen: set[str] = set()
    misses = 0
    while len(seen) < count:
        text = random_text(rng)
        if text not in seen and is_held_out(text) == (split == "test"):
            seen.add(text)
            misses = 0
            yield text
        elif (misses := misses + 1) > MISSES:
            raise UsageError(
                f"{count} different texts were asked for, but there are only about {len(seen)} for {split}",
                hint="ask for fewer",
            )


def draw(text: str, rng: random.Random) -> NDArray[np.uint8]:
    """One line of print, (56, 112, 3): size, place, ink, paper and a little blur and noise vary."""
    em = rng.uniform(43, 47)
    left = rng.uniform(1, 5)
    baseline = rng.uniform(40, 44)
    shape = outline(text)
    em = min(
        em,
        (WIDTH - MARGIN - left) / shape.right * shape.units_per_em,
    )  # a long text is drawn smaller,
    baseline = max(
        baseline,
        MARGIN + shape.top / shape.units_per_em * em,
    )  # one with a high vowel sign lower
    ink = draw_line(
        text,
        width=WIDTH,
        height=HEIGHT,
        em=em,
        left=left,
        baseline=baseline,
    )
    if rng.random() < BLURRED:
        ink = cv2.GaussianBlur(ink, (3, 3), rng.uniform(0.3, 0.9)).astype(np.float32)
    paper = rng.uniform(225, 255) + np.array([rng.uniform(-8, 8) for _ in range(3)])
    colour = np.array([rng.uniform(0, 60) for _ in range(3)])
    noise = np.random.default_rng(rng.getrandbits(32)).integers(
        -4,
        5,
        size=(HEIGHT, WIDTH, 1),
    )
    picture: NDArray[np.uint8] = np.clip(
        paper + ink[:, :, None] * (colour - paper) + noise,
        0,
        255,
    ).astype(np.uint8)
    return picture


def write_split(folder: Path, *, seed: int, split: str, count: int, prompt: str) -> Path:
    """Draw one split into `folder`/`split`.jsonl and `folder`/images/; the JSONL comes last and means complete."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"bengali/{split}/{seed}/pictures")
    rows: list[Sample] = []
    for number, text in enumerate(texts(seed=seed, split=split, count=count)):
        name = f"{split}-{number:05d}.png"
        ok, png = cv2.imencode(".png", draw(text, rng))
        if not ok:  # pragma: no cover - cv2 has no other way to say it
            raise RuntimeError(f"cv2 could not encode {name}")
        (images / name).write_bytes(png.tobytes())
        rows.append(ocr_sample(f"images/{name}", prompt, text))
    write_samples(folder / f"{split}.jsonl", rows)
    return folder / f"{split}.jsonl"
