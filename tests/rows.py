"""Realistic rows for tests and benchmarks: text in Bengali, Chinese and English, tables, formulas and charts, by a
seed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

_BEGINNING, _END = (
    "আমার সোনার বাংলা আমি তোমায় ভালোবাসি চিরদিন তোমার আকাশ তোমার বাতাস আমার",
    "প্রাণে বাজায় বাঁশি ওমা ফাগুনে তোর আমের বনে ঘ্রাণে পাগল করে ৪৫টি",
)
BENGALI_TEXT = f"{_BEGINNING} {_END}"
BENGALI = BENGALI_TEXT.split()
ENGLISH_TEXT = (
    "the quick report of annual revenue shows that growth in northern regions was driven by new customers while costs"
    " fell"
)
ENGLISH = ENGLISH_TEXT.split()
CHINESE = "根据本公司年度报告显示营业收入同比增长主要来自于新客户而成本有所下降经营活动产生的现金流量净额为正"
LETTERS = "abcxyznmkt"
SYMBOLS = ("\\alpha ", "\\beta ", "\\lambda ", "\\theta ", "\\infty ", "\\partial ", "\\pi ", "\\Delta ")
RELATIONS = ("+", "-", "=", "\\cdot ", "\\leq ", ",", "\\in ", "\\rightarrow ")


def text(draw: random.Random) -> str:
    kind = draw.random()
    if kind < 0.4:
        return " ".join(draw.choice(BENGALI) for _ in range(draw.randint(6, 30)))
    if kind < 0.7:
        return "".join(draw.choice(CHINESE) for _ in range(draw.randint(14, 180)))
    return "\n".join(
        " ".join(draw.choice(ENGLISH) for _ in range(draw.randint(4, 14))) for _ in range(draw.randint(1, 9))
    )


def table(draw: random.Random) -> str:
    rows, columns = draw.randint(3, 10), draw.randint(2, 7)
    title, group = draw.random() < 0.25, draw.random() < 0.15
    lines = []
    for y in range(rows):
        cells = []
        for x in range(columns):
            if title and y == 0 and x == columns - 1:
                cells.append("<lcel>")
            elif group and y == 2 and x == 0:
                cells.append("<ucel>")
            elif draw.random() < 0.08:
                cells.append("<ecel>")
            else:
                cells.append(
                    "<fcel>"
                    + (
                        draw.choice(ENGLISH)
                        if draw.random() < 0.4
                        else f"{draw.random() * 1000:.1f}"
                        if draw.random() < 0.7
                        else draw.choice(BENGALI)
                    )
                )
        lines.append("".join(cells) + "<nl>")
    return "".join(lines)


def expression(draw: random.Random, depth: int = 0) -> str:
    return draw.choice(RELATIONS).join(_term(draw, depth) for _ in range(draw.randint(1, 2 if depth else 6)))


def _term(draw: random.Random, depth: int) -> str:
    kind = draw.random()
    if depth > 2 or kind < 0.4:
        return draw.choice(LETTERS)
    if kind < 0.5:
        return draw.choice(SYMBOLS)
    if kind < 0.65:
        return f"\\frac{{{expression(draw, depth + 1)}}}{{{expression(draw, depth + 1)}}}"
    if kind < 0.72:
        return f"\\sqrt{{{expression(draw, depth + 1)}}}"
    if kind < 0.86:
        return f"{draw.choice(LETTERS)}_{{{expression(draw, depth + 2)}}}"
    if kind < 0.95:
        return f"{draw.choice(LETTERS)}^{{{expression(draw, depth + 2)}}}"
    return f"\\left({expression(draw, depth + 1)}\\right)"


def formula(draw: random.Random) -> str:
    parts = ["\\sum_{i=1}^{n} " * (draw.random() < 0.3) + expression(draw) for _ in range(draw.randint(1, 3))]
    return f"\\[{'='.join(parts)}=0\\]"


def chart(draw: random.Random) -> str:
    columns = draw.randint(2, 4)
    head = " | ".join(["year", *(draw.choice(ENGLISH) for _ in range(columns))])
    return "\n".join(
        [
            head,
            *(
                " | ".join([str(1990 + year), *(f"{draw.random() * 100:.1f}" for _ in range(columns))])
                for year in range(draw.randint(3, 9))
            ),
        ]
    )


TASKS = (
    ("OCR:", text, 66),
    ("Table Recognition:", table, 16),
    ("Formula Recognition:", formula, 10),
    ("Chart Recognition:", chart, 8),
)


def row(draw: random.Random, image: str) -> dict[str, Any]:
    prompt, write, _ = draw.choices(TASKS, [share for *_, share in TASKS])[0]
    return {
        "image_info": [{"image_url": image, "matched_text_index": 0}],
        "text_info": [{"text": prompt, "tag": "mask"}, {"text": write(draw), "tag": "no_mask"}],
    }


def rows(count: int, *, seed: int = 7) -> Iterator[dict[str, Any]]:
    draw = random.Random(seed)
    for number in range(count):
        yield row(draw, f"images/train/{number // 1000:04d}/{number:08d}.png")


def lines(count: int, *, seed: int = 7) -> Iterator[bytes]:
    """As `json.dumps(…, ensure_ascii=False)` writes them."""
    for value in rows(count, seed=seed):
        yield json.dumps(value, ensure_ascii=False).encode() + b"\n"
