"""Spotting: texts with their places, as PaddleOCR-VL 1.5 and 1.6 write them.

    Genaxis<|LOC_377|><|LOC_117|><|LOC_463|><|LOC_117|><|LOC_465|><|LOC_130|><|LOC_378|><|LOC_130|>

Eight numbers behind each text: x and y of its four corners, clockwise from the top left of the text, in thousandths of
the width and the height of the picture. The longer notation `<|TEXT_START|>…<|TEXT_END|><|LOC_BEGIN|>…<|LOC_END|>`
means the same. Source: `post_process_for_spotting` of PaddleX 3.7.2, which reads both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

PER_TEXT = 8  # numbers: x and y of four corners
LARGEST = 1000  # the right and the lower edge
_PLACE = re.compile(r"<\|LOC_(\d{1,9})\|>")
_RUN = re.compile(r"(?:\s*<\|LOC_\d{1,9}\|>)+")
_FRAME = re.compile(r"<\|(?:TEXT_START|TEXT_END|LOC_BEGIN|LOC_END)\|>")
_LONG = re.compile(
    r"\s*<\|TEXT_START\|>((?:(?!<\|).)*)<\|TEXT_END\|>\s*<\|LOC_BEGIN\|>((?:<\|LOC_\d{1,9}\|>|\s)*)<\|LOC_END\|>\s*",
    re.DOTALL,
)


class SpottedText(NamedTuple):
    """A text and the numbers behind it; eight of them where it is well written, none where it has no place."""

    text: str
    places: tuple[int, ...]

    @property
    def corners(self) -> tuple[tuple[int, int], ...]:
        """Four corners in thousandths of the picture; none where there are not eight numbers."""
        if len(self.places) != PER_TEXT:
            return ()
        return tuple(zip(self.places[::2], self.places[1::2], strict=True))


class SpottingFault(NamedTuple):
    """What is wrong with a label for Spotting: a code of `sft.reasons`, and in words."""

    code: str
    message: str
    hint: str


def has_places(text: str) -> bool:
    """Whether any place, or any frame of one, stands in `text`."""
    return "<|" in text and (_PLACE.search(text) is not None or _FRAME.search(text) is not None)


def parse_spotting(text: str) -> list[SpottedText]:
    """The texts of an answer in order, each with the numbers behind it. Never raises: more than eight numbers in a row
    are several places, of which only the first has a text; what is left over is a text without a place.
    """
    plain = _FRAME.sub("", text)
    spotted: list[SpottedText] = []
    end = 0
    for run in _RUN.finditer(plain):
        words = plain[end : run.start()].strip()
        numbers = [int(number) for number in _PLACE.findall(run[0])]
        for start in range(0, len(numbers), PER_TEXT):
            places = tuple(numbers[start : start + PER_TEXT])
            spotted.append(SpottedText(words if start == 0 else "", places))
        end = run.end()
    if rest := plain[end:].strip():
        spotted.append(SpottedText(rest, ()))
    return spotted


def write_spotting(spotted: Sequence[SpottedText]) -> str:
    """The label: each text and its places, nothing between them."""
    parts = []
    for text, places in spotted:
        parts.append(text)
        parts += [f"<|LOC_{place}|>" for place in places]
    return "".join(parts)


def plain_text(text: str) -> str:
    """The texts of an answer without their places, one a line."""
    words = [spotted.text for spotted in parse_spotting(text)]
    return "\n".join(word for word in words if word)


def spotting_faults(text: str) -> Iterator[SpottingFault]:
    """What is wrong with a label for Spotting, each kind once, with the first text that has it."""
    if not has_places(text):
        yield SpottingFault(
            "spotting.places", "has no places", "eight numbers stand behind each text: <|LOC_0|> to <|LOC_1000|>"
        )
        return
    if _FRAME.search(text) and _LONG.sub("", text).strip():
        yield SpottingFault(
            "spotting.frame",
            "mixes two notations, or has one without its end",
            "write the text and its eight places, without <|TEXT_START|> and <|LOC_BEGIN|>",
        )
        return
    known: set[str] = set()
    for number, spotted in enumerate(parse_spotting(text), 1):
        for fault in _faults_of(spotted, number):
            if fault.code not in known:
                known.add(fault.code)
                yield fault


def _faults_of(spotted: SpottedText, number: int) -> Iterator[SpottingFault]:
    words = spotted.text[:40]
    if not spotted.places:
        yield SpottingFault("spotting.places", f"text {number} ({words!r}) has no places", "give it its eight places")
        return
    if not words:
        yield SpottingFault("spotting.text", f"place {number} has no text before it", "the text stands first")
    if any(place > LARGEST for place in spotted.places):
        largest = max(spotted.places)
        hint = "places are thousandths of width and height, not pixels: 0 to 1000"
        yield SpottingFault("spotting.range", f"text {number} ({words!r}) has a place at {largest}", hint)
    if len(spotted.places) != PER_TEXT:
        count = len(spotted.places)
        hint = "x and y of four corners"
        yield SpottingFault("spotting.count", f"text {number} ({words!r}) has {count} places, not 8", hint)
    elif cause := corner_fault(spotted.corners):
        hint = "the corners run clockwise from the top left of the text"
        yield SpottingFault("spotting.corners", f"text {number} ({words!r}): {cause}", hint)


def corner_fault(corners: Sequence[tuple[float, float]]) -> str:
    """Why four corners are no outline that runs clockwise, in words; "" where they are."""
    turns = [_turn(corners[index - 2], corners[index - 1], corners[index]) for index in range(len(corners))]
    area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True))
    if max(turns) > 0 and sum(turn < 0 for turn in turns) == len(turns) // 2 == sum(turn > 0 for turn in turns):
        return "its sides cross"
    if not area:
        return "its corners enclose nothing"
    return "" if area > 0 else "its corners run counter-clockwise"


def _turn(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> float:
    """Above 0 where the way turns right for the eye; y grows downwards."""
    return (middle[0] - first[0]) * (last[1] - middle[1]) - (middle[1] - first[1]) * (last[0] - middle[0])
