"""Is it an answer at all? Loops, cut-off, empty and wrongly formatted answers, and what a few of them do to a mean.

A handful of loops can carry a good part of the total error (five of 1 030 answers: 8.6 % of all NED, in one published
run), so a mean without these figures says little. The raw answer is looked at, not what the PaddleOCR pipeline shows of
it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from sft.metrics.answers import notation
from sft.metrics.text import REPLACEMENT
from sft.types import Task

UNITS = 4  # times that the end of a text must stand there to be a repetition
SHORTEST = 20  # code points of a repetition
MARGIN = 50  # code points that a runaway is longer than the reference, at least
LONGEST = 50_000  # code points at the end of an answer that are searched for a repetition; no model writes more
_PLACE = re.compile(r"<\|LOC_\d+\|>")


class Health(NamedTuple):
    """Shares of the answers, 0 to 1, but for `replacements` (U+FFFD per answer) and `worst` (share of the total error
    in the worst 1 %).
    """

    n: int
    empty: float
    truncated: float
    runaway: float
    repetition: float
    wrong_format: float
    replacements: float
    worst: float


def repeated_end(text: str) -> int:
    """How many code points at the end of `text` are one unit, four times or more (the last one may be cut off); 0 if
    none. Linear time.

    Outer white space does not count, nor runs of fewer than 20 code points; of several units the one with the longest
    run is taken. A loop that counts ("1. 2. 3. …") has no such unit; the length ratio shows it.
    """
    line = text.strip()[-LONGEST:]
    size = len(line)
    if (
        size < SHORTEST
        or line.rfind(
            line[-SHORTEST // UNITS :],
            0,
            size - 1,
        )
        < 0
    ):
        return 0
    backwards = line[::-1]
    same = [0] * size  # Z algorithm: how many characters from here on equal those from the end on
    left = right = best = 0
    for index in range(1, size // UNITS + 1):
        count = (
            min(
                right - index,
                same[index - left],
            )
            if index < right
            else 0
        )
        if index + count >= right:
            while index + count < size and backwards[count] == backwards[index + count]:
                count += 1
            left = index
            right = index + count
        same[index] = count
        if count + index > best and count >= (UNITS - 1) * index:
            best = count + index
    return best if best >= SHORTEST else 0


def repetition(*, pred: str) -> float:
    """The share of `pred` that is one unit over and over at its end, 0 to 1; see `repeated_end`. References can have
    it:
    dot leaders, columns of N/A.
    """
    return min(
        repeated_end(pred) / max(min(len(pred.strip()), LONGEST), 1),
        1.0,
    )


def runaway(*, ref: str, pred: str) -> float:
    """1 where `pred` ran into a loop: twice as long as `ref` and 50 code points longer, half of the excess a
    repetition at its end; else 0.
    """
    excess = len(pred.strip()) - len(ref.strip())
    long = excess >= MARGIN and excess >= len(ref.strip())
    return float(long and repeated_end(pred) * 2 >= min(excess, LONGEST))


def truncated(*, finish_reason: str) -> float:
    """1 where the server stopped at max_tokens, else 0."""
    return float(finish_reason == "length")


def empty(*, pred: str) -> float:
    """1 where there is nothing but white space, else 0."""
    return float(not pred.strip())


def format_problem(pred: str, task: Task) -> str:
    """Why `pred` is not what an answer to `task` looks like ("a table in html"); "" where it is, or is empty."""
    if not pred.strip():
        return ""
    written_as = notation(pred)
    if task is Task.TABLE:
        return "" if written_as == "otsl" else "no table" if written_as == "none" else f"a table in {written_as}"
    if written_as == "otsl" or written_as == "html":
        return f"a table in {written_as}"
    if _PLACE.search(pred):
        return "" if task is Task.SPOTTING else "places of spotting"
    if task is Task.SPOTTING:
        return "no places"
    if task is Task.CHART:
        return "a table in markdown" if written_as == "markdown" else "" if "|" in pred else "no cells"
    if pred.lstrip().startswith("```"):
        return "a code fence"
    if task is Task.FORMULA:
        return "" if pred.strip().startswith(("\\[", "\\(", "$")) else "no delimiters"
    return "a table in markdown" if written_as == "markdown" else ""


def wrong_format(*, pred: str, task: Task) -> float:
    """1 where `format_problem` finds one, else 0."""
    return float(bool(format_problem(pred, task)))


def worst_share(errors: Sequence[float], *, share: float = 0.01) -> float:
    """How much of the total of `errors` (0 is right) the worst `share` of them carries, at least one; 0 to 1. No
    errors: 0.
    """
    total = math.fsum(errors)
    count = max(
        math.ceil(len(errors) * share - 1e-9),
        1,
    )
    return math.fsum(sorted(errors, reverse=True)[:count]) / total if total > 0 else 0.0


def health(
    *,
    refs: Sequence[str],
    preds: Sequence[str],
    finish_reasons: Sequence[str],
    tasks: Sequence[Task],
    errors: Sequence[float] = (),
) -> Health:
    """All figures over a run.

    errors: each answer's error, such as its NED, for `worst`. ValueError: lists of different length.
    """
    rows = list(zip(refs, preds, finish_reasons, tasks, strict=True))
    n = max(len(rows), 1)
    return Health(
        n=len(rows),
        empty=sum(empty(pred=pred) for _, pred, _, _ in rows) / n,
        truncated=sum(truncated(finish_reason=reason) for _, _, reason, _ in rows) / n,
        runaway=sum(runaway(ref=ref, pred=pred) for ref, pred, _, _ in rows) / n,
        repetition=sum(repetition(pred=pred) for _, pred, _, _ in rows) / n,
        wrong_format=sum(wrong_format(pred=pred, task=task) for _, pred, _, task in rows) / n,
        replacements=sum(pred.count(REPLACEMENT) for _, pred, _, _ in rows) / n,
        worst=worst_share(errors),
    )
