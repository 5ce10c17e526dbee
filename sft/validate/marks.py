"""Combining marks over a whole file: one text without any may be a primer, most texts of a script without any are
damage.

Tibetan, Thai or Bengali labels that were cleaned with `\\w` have lost all their marks, and train a model to lose them.
A row alone does not tell: `अमन घर चल` is honest Hindi for children. So each such row is a warning, and the file is in
error where they are the larger part of the rows that tell anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from sft.files import bounded_lines, decode, open_input
from sft.markup import has_marks, marks_missing
from sft.reasons import make
from sft.types import Problem, Sample

FEWEST = 3  # rows of a script without marks; fewer prove nothing about a file


def unmarked_scripts(sample: Sample) -> set[str]:
    """The scripts that an answer of a row is written in (almost) without combining marks."""
    return {script for text in _answers(sample) if (script := marks_missing(text))}


def check_marks(path: Path, accused: Mapping[str, int]) -> Iterator[Problem]:
    """An error for every script most of whose rows have lost their marks. `accused`: script → rows of the file that
    `unmarked_scripts` names it for.

    Of the others only those tell something in which a mark of the script stands; short texts may be without one. They
    are counted by reading the file once more, and no further than is needed.
    """
    asked = {script: count for script, count in sorted(accused.items()) if count >= FEWEST}
    sound: Counter[str] = Counter()
    for sample in _samples(path) if asked else ():
        if not (left := [script for script, count in asked.items() if sound[script] < count]):
            return
        texts = [text for text in _answers(sample) if not text.isascii()]
        if texts and (scripts := [script for script in left if any(has_marks(text, script) for text in texts)]):
            sound.update(set(scripts) - unmarked_scripts(sample))
    for script, count in asked.items():
        if count > sound[script]:
            said = f"{count} of {count + sound[script]} texts in {script} are (almost) without its combining marks"
            hint = "the labels were cleaned with \\w or the like; make them anew from the source"
            yield make("set.marks", said, 0, hint)


def _answers(sample: Sample) -> list[str]:
    return [item.text for item in sample.text_info if item.tag == "no_mask"]


def _samples(path: Path) -> Iterator[Sample]:
    """The rows that can be read."""
    with open_input(path) as stream:
        for _, text, too_long in bounded_lines(stream):
            try:
                sample = None if too_long else decode(text)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                sample = None
            if sample is not None:
                yield sample
