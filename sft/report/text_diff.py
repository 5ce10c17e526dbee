"""What differs between a reference and an answer: edits between letters as they are drawn, and which letters are
confused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rapidfuzz.distance import Levenshtein, Opcodes

from sft.markup import clusters

Edit = tuple[int, int, str]  # begin in the reference and how much of it is replaced, both in code points; by what


@dataclass(frozen=True)
class DiffPiece:
    """A stretch of a diff. kind: same, del (in the reference only) or ins (in the answer only)."""

    kind: str
    text: str


@dataclass
class Confusions:
    """How often a letter was read as another, left out, or added."""

    substituted: Counter[tuple[str, str]] = field(default_factory=Counter)  # (reference, answer)
    deleted: Counter[str] = field(default_factory=Counter)
    inserted: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All edits."""
        return self.substituted.total() + self.deleted.total() + self.inserted.total()


def diff(ref: str, pred: str) -> Iterator[DiffPiece]:
    """The edits that turn the reference into the answer, between clusters, so that no mark is torn from its letter."""
    place = 0
    for begin, length, text in edits(ref, pred):
        if begin > place:
            yield DiffPiece("same", ref[place:begin])
        gone = ref[begin : begin + length]
        yield from (DiffPiece(kind, part.replace("\n", "↵\n")) for kind, part in (("del", gone), ("ins", text)) if part)
        place = begin + length
    if place < len(ref):
        yield DiffPiece("same", ref[place:])


def edits(ref: str, pred: str, confusions: Confusions | None = None) -> list[Edit]:
    """The edits that turn `ref` into `pred`, in order; none for equal texts. `confusions` is counted on, letter by
    letter.
    """
    if ref == pred:
        return []
    before = clusters(ref)
    after = clusters(pred)
    operations = Levenshtein.editops(before, after)
    starts = [0]
    for cluster in before:
        starts.append(starts[-1] + len(cluster))
    if confusions is not None:
        for operation in operations:
            if operation.tag == "replace":
                confusions.substituted[before[operation.src_pos], after[operation.dest_pos]] += 1
            elif operation.tag == "delete":
                confusions.deleted[before[operation.src_pos]] += 1
            else:
                confusions.inserted[after[operation.dest_pos]] += 1
    merged: list[Edit] = []
    for part in Opcodes.from_editops(operations):
        if part.tag == "equal":
            continue
        begin = starts[part.src_start]
        end = starts[part.src_end]
        text = "".join(after[part.dest_start : part.dest_end])
        if merged and sum(merged[-1][:2]) == begin:  # a replacement beside an insertion is one edit
            merged[-1] = merged[-1][0], end - merged[-1][0], merged[-1][2] + text
        else:
            merged.append((begin, end - begin, text))
    return merged


def visible(text: str) -> str:
    """A letter as a table of letters can show it: white space gets a name, for which every font has letters."""
    shown = {" ": "space", "\n": "line end", "\t": "tab", "\u00a0": "hard space", "\u3000": "wide space"}.get(text)
    if shown:
        return shown
    return text if any(character.isprintable() and not character.isspace() for character in text) else ascii(text)[1:-1]


def names(text: str) -> str:
    """The code points: "U+0995 U+09CD"."""
    return " ".join(f"U+{ord(character):04X}" for character in text)


def top(counts: Iterable[tuple[object, int]], number: int) -> list[tuple[object, int]]:
    """The most frequent, ties in the order of their text, so that the same data give the same page."""
    return sorted(
        counts,
        key=lambda item: (-item[1], str(item[0])),
    )[:number]
