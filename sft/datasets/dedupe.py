"""Which rows say the same again, and which contradict each other.

The same images with the same texts, however they are spelt (Unicode form, blanks, what looks the same): one row stays,
the first one that is spelt as it should be, or else the first. The same images and prompt with another answer: somebody
is wrong, and nobody here can say who, so that all of them go, unless the first is asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sft.arrays import Ints
from sft.datasets.index import Index

KEEP, DUPLICATE, CONTRADICTION, NEAR = 0, 1, 2, 3
REASON = {  # verdict → reason code, and what is said with the place of the other row
    DUPLICATE: ("set.duplicate", "the same images and texts as {}"),
    CONTRADICTION: ("set.contradiction", "the same images and prompt as {}, with another answer"),
    NEAR: ("set.near_duplicate", "looks like {} and says the same"),
}


def verdicts(index: Index, *, keep_first: bool = False) -> tuple[Ints, Ints]:
    """(verdict of every row, the row that it repeats or contradicts; itself where it is kept)."""
    rows = index.rows
    count = len(rows)
    verdict = np.zeros(count, np.int64)
    other = np.arange(count)
    first = first_of(
        rows["images"][:, 0],
        rows["images"][:, 1],
        rows["texts"][:, 0],
        rows["texts"][:, 1],
    )
    repeated = first != np.arange(count)
    verdict[repeated], other[repeated] = DUPLICATE, first[repeated]
    kept = np.flatnonzero(~repeated)
    question = kept[
        first_of(
            rows["images"][kept, 0],
            rows["images"][kept, 1],
            rows["prompt"][kept],
        )
    ]
    later = question != kept
    wrong = kept[later] if keep_first else kept[np.isin(question, question[later])]
    verdict[wrong] = CONTRADICTION
    other[wrong] = question[np.isin(kept, wrong)]
    if not keep_first:  # the first of a contradiction names the next, which names it
        firsts, at = np.unique(question[later], return_index=True)
        other[firsts] = kept[later][at]
    # what repeats a row that had to go is gone for the same reason
    gone = repeated & (verdict[first] == CONTRADICTION)
    verdict[gone], other[gone] = CONTRADICTION, other[first[gone]]
    return _tidiest(index, verdict, other)


def _tidiest(index: Index, verdict: Ints, other: Ints) -> tuple[Ints, Ints]:
    """The same, where a row that is kept gives way to the first one that says the same and is spelt as it should be."""
    rows = index.rows
    best = first_of(
        *(rows[name][:, at] for name in ("images", "texts") for at in (0, 1)),
        last=rows["untidy"],
    )
    untidy = np.flatnonzero((verdict == KEEP) & (best != np.arange(len(rows))))
    instead = np.arange(len(rows))
    instead[untidy] = best[untidy]
    other = instead[other]
    verdict[best[untidy]], verdict[untidy] = KEEP, DUPLICATE
    return verdict, other


def first_of(*keys: npt.NDArray[np.uint64], last: npt.NDArray[np.uint8] | None = None) -> Ints:
    """For every row the first row with the same keys; rows marked by `last` come behind the others."""
    count = len(keys[0])
    by: list[npt.NDArray[Any]] = [
        np.arange(count),
        *([] if last is None else [last]),
        *keys,
    ]  # the last one first
    order = np.lexsort(by)
    fresh = np.ones(count, bool)
    fresh[1:] = (
        np.any(
            [key[order][1:] != key[order][:-1] for key in keys],
            axis=0,
        )
        if count > 1
        else fresh[1:]
    )
    leader = np.maximum.accumulate(np.where(fresh, np.arange(count), 0))
    first = np.empty(count, np.int64)
    first[order] = order[leader]
    return first
