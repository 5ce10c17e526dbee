"""Edit distance between two ordered trees, swept in vectors: exact, and fast where trees are as flat as tables are.

The distance is that of Zhang and Shasha (SIAM J. Comput. 18(6), 1989) with unit costs to insert and delete and a cost
of 0 to 1 to rename. It is computed as a gain, what matching saves against deleting one tree and inserting the other:

    gain(i, j) = size(i) + size(j) - distance(i, j)

In gains, inserting and deleting cost nothing, so that a row of the recurrence over forests is a running maximum, which
numpy has, and a subtree pair whose roots are p and q adds gain(p, q) to what stands before both. For two subtrees

    gain(i, j) = max(forest(i, j) + 2 - rename(i, j),  gain(p, j) for p below i,  gain(i, q) for q below j)

where forest(i, j) is the gain of what is below the roots. Rows of a table are trees whose children are all leaves; all
pairs of them are done in one batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from sft.arrays import Floats, Indices

CHUNK = 1 << 18  # numbers of a temporary array: what stays in a core's cache


@dataclass(frozen=True)
class Tree:
    """Nodes in postorder, the root last. `labels`: what must be equal for a rename below 1. `texts`: "" for what has
    none.

    `first[i]`: the leftmost leaf below node i, i itself for a leaf. A rename between equal labels costs the normalised
    edit distance of the texts.
    """

    labels: list[object]
    texts: list[str]
    first: list[int]

    def __len__(self) -> int:
        return len(self.labels)


def distance(left: Tree, right: Tree) -> float:
    """The least cost of turning `left` into `right`. Both roots must have the same label."""
    if left.labels[-1] != right.labels[-1]:
        raise ValueError(f"roots differ: {left.labels[-1]!r} and {right.labels[-1]!r}")
    if len(left) > len(right):  # the vectors run along the larger tree
        left, right = right, left
    a = _Side(left)
    b = _Side(right)
    gain = _renames(left, right)
    for i_level, i_nodes in enumerate(a.levels):
        for j_level, j_nodes in enumerate(b.levels):
            if i_level == j_level == 0:
                continue
            if i_level == 0 or j_level == 0:
                _leaf_against_tree(gain, a, b, i_nodes, j_nodes)
            elif i_level == j_level == 1 and len(i_nodes) * len(j_nodes) > 1:
                _flat_pairs(gain, a, b, i_nodes, j_nodes)
            else:
                _tree_pairs(gain, a, b, i_nodes, j_nodes)
    root = (
        _forest(
            gain,
            a,
            b,
            len(left) - 1,
            len(right) - 1,
        )
        + 2.0
    )
    return len(left) + len(right) - root


class _Side:
    """One tree as arrays; `levels[h]`: the nodes of height h below the root, in order."""

    def __init__(self, tree: Tree) -> None:
        self.first = np.array(tree.first, dtype=np.intp)
        heights = _heights(tree.first)
        highest = max(heights[:-1], default=0)
        array = np.array(heights[:-1], dtype=np.intp)
        self.levels: list[Indices] = (
            [np.flatnonzero(array == height) for height in range(highest + 1)] if len(array) else []
        )
        # leftmost leaf → the highest node that begins there
        self.starts = {first: node for node, first in enumerate(tree.first) if first != node}

    def cuts(self, nodes: Indices) -> Indices:
        """Where each subtree begins and where it has ended, in turn, for `reduceat`; the root, which is none, comes
        later.
        """
        return np.stack(
            [self.first[nodes], nodes + 1],
            axis=1,
        ).ravel()

    def is_leaf(self, nodes: Indices) -> bool:
        return bool(self.first[nodes[0]] == nodes[0])


def _heights(first: list[int]) -> list[int]:
    heights: list[int] = []
    stack: list[int] = []  # roots of the forest so far
    for node, begin in enumerate(first):
        height = 0
        while stack and stack[-1] >= begin:
            height = max(height, heights[stack.pop()] + 1)
        heights.append(height)
        stack.append(node)
    return heights


def _renames(left: Tree, right: Tree) -> Floats:
    """2 - rename(p, q) for all pairs of nodes, shape (n, m)."""
    number: dict[object, int] = {}
    a = np.array(
        [number.setdefault(label, len(number)) for label in left.labels],
        dtype=np.int32,
    )
    b = np.array(
        [number.setdefault(label, len(number)) for label in right.labels],
        dtype=np.int32,
    )
    result = np.empty((len(a), len(b)))
    step = max(1, CHUNK // len(b))
    for begin in range(0, len(a), step):
        part = slice(begin, begin + step)
        costs = cdist(
            left.texts[part],
            right.texts,
            scorer=Levenshtein.normalized_distance,
            dtype=np.float64,
        )
        np.subtract(2.0, costs, out=result[part])
        np.copyto(
            result[part],
            1.0,
            where=a[part, None] != b,
        )
    return result


def _leaf_against_tree(gain: Floats, a: _Side, b: _Side, i_nodes: Indices, j_nodes: Indices) -> None:
    """A leaf is matched with its best node of the tree; before, `gain` of leaf and root holds what renaming the root
    saves.
    """
    if a.is_leaf(i_nodes):
        gain[np.ix_(i_nodes, j_nodes)] = np.maximum.reduceat(gain, b.cuts(j_nodes), axis=1)[i_nodes, ::2]
    else:
        gain[np.ix_(i_nodes, j_nodes)] = np.maximum.reduceat(gain, a.cuts(i_nodes), axis=0)[::2, j_nodes]


def _flat_pairs(gain: Floats, a: _Side, b: _Side, i_nodes: Indices, j_nodes: Indices) -> None:
    """All pairs of trees whose children are leaves, such as rows of a table.

    Children are padded to one number; what stands in the padding does not matter, a result is read before it.
    """
    most = int((j_nodes - b.first[j_nodes]).max())
    columns = np.minimum(
        b.first[j_nodes][:, None] + np.arange(most),
        j_nodes[:, None],
    )
    step = max(1, CHUNK // max(1, columns.size))
    for begin in range(0, len(i_nodes), step):
        part = i_nodes[begin : begin + step]
        forests = _flat_forests(gain, a, b, part, j_nodes, columns)
        renames = gain[np.ix_(part, j_nodes)]
        gain[np.ix_(part, j_nodes)] = forests + renames
        for i, j in np.argwhere(renames < 2.0):
            _unlike_roots(
                gain,
                a,
                b,
                part[i],
                j_nodes[j],
            )


def _flat_forests(gain: Floats, a: _Side, b: _Side, i_nodes: Indices, j_nodes: Indices, columns: Indices) -> Floats:
    """forest(i, j), shape (len(i_nodes), len(j_nodes))."""
    firsts = a.first[i_nodes]
    widths = i_nodes - a.first[i_nodes]
    ends = j_nodes - b.first[j_nodes]
    count, most = columns.shape
    before = np.zeros((len(i_nodes), count, most + 1))
    after = np.zeros_like(before)
    result = np.empty((len(i_nodes), count))
    # rows of one length, side by side: a slice instead of an index, roots included and left out again
    even = bool((ends == most).all() and (np.diff(j_nodes) == most + 1).all())
    low = int(b.first[j_nodes[0]])
    for child in range(int(widths.max())):
        rows = np.minimum(firsts + child, i_nodes)
        block = (
            gain[rows, low : low + columns.size + count].reshape(len(rows), count, most + 1)[:, :, :most]
            if even
            else gain[rows][:, columns]
        )
        block += before[:, :, :-1]
        np.maximum(
            block,
            before[:, :, 1:],
            out=block,
        )
        np.maximum.accumulate(
            block,
            axis=2,
            out=after[:, :, 1:],
        )
        before, after = after, before
        done = widths == child + 1
        if done.any():
            result[done] = before[done][:, np.arange(count), ends]
    return result


def _tree_pairs(gain: Floats, a: _Side, b: _Side, i_nodes: Indices, j_nodes: Indices) -> None:
    for i in i_nodes:
        for j in j_nodes:
            rename = gain[i, j]
            gain[i, j] = (
                _forest(
                    gain,
                    a,
                    b,
                    int(i),
                    int(j),
                )
                + rename
            )
            if rename < 2.0:
                _unlike_roots(gain, a, b, i, j)


def _unlike_roots(gain: Floats, a: _Side, b: _Side, i: np.intp, j: np.intp) -> None:
    """Roots that differ may be better matched with something below the other; equal roots never are."""
    below_i = gain[a.first[i] : i, j]
    below_j = gain[i, b.first[j] : j]
    gain[i, j] = max(
        gain[i, j],
        below_i.max(),
        below_j.max(),
    )


def _forest(gain: Floats, a: _Side, b: _Side, i: int, j: int) -> float:
    """forest(i, j): the gain of what is below i against what is below j, row by row."""
    block = gain[a.first[i] : i, b.first[j] : j]
    if not block.size:
        return 0.0
    if block.shape[0] > block.shape[1]:
        return _sweep(
            np.ascontiguousarray(block.T),
            b,
            a,
            j,
            i,
        )
    return _sweep(block, a, b, i, j)


def _sweep(block: Floats, a: _Side, b: _Side, i: int, j: int) -> float:
    offset = int(a.first[i])
    columns = b.first[b.first[j] : j] - b.first[j]
    begins = (a.first[offset:i] - offset).tolist()
    starts = a.starts
    saved: dict[int, Floats] = {}
    before = np.zeros(block.shape[1] + 1)
    maximum = np.maximum
    accumulate = np.maximum.accumulate
    for node, begin in enumerate(begins):
        if begin == node:
            base = before
            if node + offset in starts:
                saved[node] = before
        else:
            base = saved[begin]
        best = base.take(columns)
        best += block[node]
        maximum(best, before[1:], out=best)
        after = np.zeros(len(before))
        accumulate(best, out=after[1:])
        if begin != node and starts[begin + offset] == node + offset:
            del saved[begin]
        before = after
    return float(before[-1])
