"""What the PaddleOCR pipeline does to an answer after the model has written it; a target that it changes is never shown
as it was labelled.

Source: PaddleX 3.7.2, `inference/pipelines/paddleocr_vl/pipeline.py` and `uilts.py`. In this order: a repetition is
cut, formula delimiters become dollar signs, a table's OTSL becomes HTML, and the places of spotting are taken out.
"""

from __future__ import annotations

import re
from collections import Counter

from sft.types import Task

MIN_LENGTH = 50  # characters from which on a repetition is cut …
MIN_LENGTH_TABLE = 5000  # … and those of a table

_UNIT = 8  # characters of the shortest unit at the end of a line
_UNITS = 5  # times it must stand there
_LINE = 100  # characters; a shorter line keeps such an end
_WHOLE = 10  # times a text must be one unit, or at least have one line
_CANDIDATES = 4  # periods compared one by one; more of them are found in one pass
_PLACE = re.compile(r"<\|LOC_(\d+)\|>")


def min_length(task: Task) -> int:
    """From how many characters on the pipeline looks for repetitions in an answer to `task`."""
    return MIN_LENGTH_TABLE if task is Task.TABLE else MIN_LENGTH


def repetition_cut(text: str, *, min_len: int = MIN_LENGTH) -> str:
    """`text` as PaddleX's `truncate_repetitive_content` leaves it (its `min_count` is `min_len` here), in linear time.

    One line of more than 100 characters that ends in a unit of at least 8, five times or more, over more than half of
    it, keeps what stands before; else one line that is a unit ten times or more keeps one unit; and of ten lines or
    more of which 80 % are equal, that one line is left.
    """
    if len(text) < min_len:
        return text
    stripped = text.strip()
    if "\n" not in stripped:
        if len(stripped) > _LINE and (prefix := _before_repeated_end(stripped)) is not None:
            return prefix
        if len(stripped) >= _WHOLE + 1 and (unit := _repeated_unit(stripped)) is not None:
            return unit
    if text.count("\n") < _WHOLE - 1:
        return text
    return _repeated_line(text)


def _before_repeated_end(line: str) -> str | None:
    """What stands before the longest unit that ends `line` five times, where its repetitions are more than
    half of it.
    """
    size = len(line)
    tail = line[-_UNIT:]
    longest = size // _UNITS
    lowest = size - _UNIT - longest
    # the end of the unit before the last one equals the end of the line
    periods: list[int] = []
    place = line.find(tail, lowest, size - _UNIT)
    while place >= 0 and len(periods) <= _CANDIDATES:
        periods.append(size - _UNIT - place)
        place = line.find(tail, place + 1, size - _UNIT)
    period = (
        _longest_period(line, longest)
        if len(periods) > _CANDIDATES
        else next((p for p in periods if line.endswith(line[-p:] * _UNITS)), 0)
    )
    if not period:
        return None
    start = size - _UNITS * period
    unit = line[-period:]
    while start >= period and line.startswith(unit, start - period):
        start -= period
    return line[:start] if size - start > size * 0.5 else None


def _longest_period(line: str, longest: int) -> int:
    """The largest p ≤ `longest` for which the last 5p characters repeat every p; 0 if there is none. One pass (Z
    algorithm) over the end.
    """
    text = line[: -_UNITS * longest - 1 : -1]
    size = len(text)
    same = [0] * size  # same[i]: how many characters from i on equal those from 0 on
    left = right = best = 0
    for index in range(1, size):
        count = (
            min(
                right - index,
                same[index - left],
            )
            if index < right
            else 0
        )
        if index + count >= right:
            while index + count < size and text[count] == text[index + count]:
                count += 1
            left = index
            right = index + count
        same[index] = count
        if _UNIT <= index <= longest and count >= (_UNITS - 1) * index:
            best = index
    return best


def _repeated_unit(line: str) -> str | None:
    """The shortest unit that makes up `line`, where it does so ten times or more."""
    size = len(line)
    longest = size // _WHOLE
    if (
        line.find(
            line[:_WHOLE],
            1,
            longest + _WHOLE,
        )
        < 0
    ):
        return None
    period = (line + line).find(line, 1, size + longest)
    return line[:period] if period > 0 else None


def _repeated_line(text: str) -> str:
    lines = [line for line in (line.strip() for line in text.split("\n")) if line]
    if len(lines) < _WHOLE:
        return text
    line, count = Counter(lines).most_common(1)[0]
    return line if count >= _WHOLE and count / len(lines) >= 0.8 else text


def has_delimiters(text: str) -> bool:
    """Does the pipeline see a formula in `text`: both `\\(` and `\\)`, or both `\\[` and `\\]`, anywhere in it?"""
    return ("\\(" in text and "\\)" in text) or ("\\[" in text and "\\]" in text)


def dollars_deleted(text: str) -> bool:
    """Does `text` hold dollar signs that the pipeline deletes, because it also holds a formula?"""
    return "$" in text and has_delimiters(text)
