"""Which tables and charts are surely sound, decided for many of them at once; the others are for the checks to judge.

A table is reduced to the sequence of its tokens, and a sequence is judged once, by the reader of OTSL itself. Only what
the checks of `sft.validate.row` accept is sound here; formulas have a module of their own.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter

import numpy as np

from sft.markup import MIN_LENGTH, MIN_LENGTH_TABLE, MarkupError, repetition_cut

# --- tables, as bytes of UTF-8
_PAD = "        "  # behind the last table, so that looking at the bytes after a token never ends outside
_CELL_MASK, _CELL_WORD, _END_MASK, _END_WORD = (
    np.uint64(int.from_bytes(word, "little"))
    for word in (b"\xff\0\xff\xff\xff\xff", b"<\0cel>", b"\xff\xff\xff\xff", b"<nl>")
)
_CELL_KIND = np.isin(np.arange(256), list(b"felux"))
_VISIBLE = np.zeros(
    256, bool
)  # by the first byte of a text: ASCII that is printed, and what leads no blank and no combining mark
_VISIBLE[
    [
        *range(0x21, 0x3C),
        *range(0x3D, 0x7F),
        *range(0xC3, 0xCC),
        *range(0xCE, 0xD8),
        *range(0xD9, 0xE1),
        *range(0xE4, 0xEE),
    ]
] = True
_KANA = (np.arange(256) > 0x80) & (np.arange(256) != 0x85)  # second bytes after E3: neither U+3000 nor U+3164
_TOKEN_OF = dict(zip(b"feluxn", ("<fcel>a", "<ecel>", "<lcel>", "<ucel>", "<xcel>", "<nl>"), strict=True))
_LINES, _TAIL = 9, 8  # line feeds of ten lines; characters of the shortest unit
_tail = itemgetter(slice(-_TAIL, None))
_LONGEST_SEQUENCE = 4000  # tokens of a table that is remembered


def doubtful_tables(texts: list[str]) -> list[bool]:
    """For each text, False if it surely is a table in OTSL that nothing is wrong with."""
    content = "\0".join(["", *texts, _PAD]).encode("utf-8", "surrogatepass")
    codes = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(codes == 0)
    if ends.size != len(texts) + 1:
        return [True] * len(texts)  # a NUL in one of them
    less = np.flatnonzero(codes == ord("<"))
    after = np.append(less[1:], ends[-1])  # where the text behind a token ends
    words = np.ndarray(
        (len(content) - 7,),
        "<u8",
        content,
        strides=(1,),
    )[less]  # the eight bytes from each "<" on
    kinds = (words >> 8).astype(np.uint8)
    cells = (words & _CELL_MASK) == _CELL_WORD
    row_ends = (words & _END_MASK) == _END_WORD
    first = (words >> 48).astype(np.uint8)
    visible = _VISIBLE[first] | ((first == 0xE3) & _KANA[(words >> 56).astype(np.uint8)])
    full = kinds == ord("f")
    stops = np.searchsorted(less, ends)  # tokens before the end of each text
    whole = (stops[1:] > stops[:-1]) & (codes[ends[:-1] + 1] == ord("<"))
    closing = np.maximum(stops[1:] - 1, 0)
    after[closing] = ends[1:]
    sound = (
        cells
        & _CELL_KIND[kinds]
        & np.where(
            full,
            visible & (after > less + 6),
            after == less + 6,
        )
    ) | (row_ends & (after == less + 4))
    whole[whole] = row_ends[closing[whole]]
    sequence = (
        np.where(sound, np.where(kinds == ord("e"), ord("f"), kinds), 0).astype(np.uint8).tobytes()
    )  # blank or not, a cell is a cell
    bounds = stops.tolist()
    sizes = np.diff(ends).tolist()
    return [
        not sure or size > MIN_LENGTH_TABLE or stop - begin > _LONGEST_SEQUENCE or not _is_grid(sequence[begin:stop])
        for sure, size, begin, stop in zip(whole.tolist(), sizes, bounds[:-1], bounds[1:], strict=True)
    ]


@lru_cache(maxsize=1 << 14)
def _is_grid(sequence: bytes) -> bool:
    """Whether tokens in this order, given by their first letters, make a table."""
    from sft.markup import parse_otsl

    if 0 in sequence:
        return False
    try:
        parse_otsl("".join([_TOKEN_OF[letter] for letter in sequence]))
    except MarkupError:
        return False
    return True


def doubtful_charts(texts: list[str]) -> list[bool]:
    """For each text, False if it surely is a chart that nothing is wrong with: lines with as many pipes each, and no
    ruler.
    """
    codes = np.frombuffer(
        "\0".join(["", *texts, ""]).encode("utf-8", "surrogatepass"),
        np.uint8,
    )
    ends = np.flatnonzero(codes == 0)
    if ends.size != len(texts) + 1:
        return [True] * len(texts)  # a NUL in one of them
    breaks = np.flatnonzero((codes == 0) | (codes == ord("\n")))  # before the first line, and behind each
    pipes = np.diff(
        np.searchsorted(
            np.flatnonzero(codes == ord("|")),
            breaks,
        )
    )
    firsts = np.searchsorted(breaks, ends)  # the first line of each text, and one more
    lines = np.diff(firsts)
    wrong = (
        np.add.reduceat(
            (pipes != np.repeat(pipes[firsts[:-1]], lines)) | (pipes == 0),
            firsts[:-1],
        )
        > 0
    )
    second = codes[
        (breaks[(firsts[:-1] + 1)] + 1).clip(
            0,
            codes.size - 1,
        )
    ]  # how the second line begins
    wrong |= (lines < 2) | np.isin(second, list(b"-: |\n\0"))
    return [doubt or repeated for doubt, repeated in zip(wrong.tolist(), repeating(texts), strict=True)]


def repeating(texts: list[str]) -> list[bool]:
    """For each text that is no table, False if the pipeline surely cuts no repetition out of it.

    It cuts equal lines, and lines that end in a unit five times: the last characters then stand once more in the last
    fifth. A text without either is sound; of the others, the rule itself is asked.
    """
    return [
        size >= MIN_LENGTH
        and (_of_one_line(text) if "\n" in text else text.find(tail, size - _TAIL - size // 5, size - _TAIL) >= 0)
        and repetition_cut(text) != text
        for text, size, tail in zip(texts, map(len, texts), map(_tail, texts), strict=True)
    ]


def _of_one_line(text: str) -> bool:
    """Whether a text may be one line again and again: then under half of its lines, as the pipeline sees them, are
    different.
    """
    return text.count("\n") >= _LINES and len({line.strip() for line in text.split("\n")}) * 2 < text.count("\n")
