"""Which members of a WebDataset shard are one sample, by their names.

WebDataset splits at the first dot of the base name, so that a sample can have fields with dots (`0001.seg.png`). Sets
made from files that were called `scan.001.png` or `v1.0_0003.png` thereby lose rows: all scans are one sample with a
hundred fields, and their texts are mixed. Here what stands before the last dot is the name of a sample where that makes
a picture with its label out of fields that are none: fields that only one sample has, or that begin with a number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sft.formats.base import Reject

MAX_FIELDS = 100  # of one sample
PICTURES = frozenset(("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "gif", "ppm", "pgm", "jp2"))
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)


@dataclass(frozen=True)
class Member:
    """One member of a tar; `size` is -1 for one that cannot be read as a file, `problem` says why."""

    name: str
    offset: int
    size: int
    problem: str = ""


MemberGroup = tuple[str, tuple[tuple[str, Member], ...]]  # (key, ((field, member), …))


@dataclass
class Account:
    """What was found on the way: members that belong to no sample, and samples with dots in their names."""

    nameless: int = 0
    dotted: int = 0
    kept: frozenset[str] = field(default_factory=frozenset)  # fields with dots that are fields

    def said(self, name: str) -> str:
        """Both as a sentence; "" for nothing."""
        one = self.dotted == 1
        few = self.nameless == 1
        dotted = (
            f"{self.dotted} {'sample has' if one else 'samples have'} dots in the name and {'was' if one else 'were'}"
            " paired by what stands before the last dot (WebDataset itself splits at the first, and would mix them)"
        )
        nameless = (
            f"{self.nameless} {'member' if few else 'members'} without an extension {'belongs' if few else 'belong'} to"
            " no sample"
        )
        sentences = [
            *([dotted] if self.dotted else []),
            *([nameless] if self.nameless else []),
        ]
        return f"{name}: {'; '.join(sentences)}" if sentences else ""


def is_picture(name: str) -> bool:
    """Whether a field holds a picture."""
    return name.rpartition(".")[2] in PICTURES


def by_first_dot(members: Iterable[Member | Reject], account: Account) -> Iterator[MemberGroup | Reject]:
    """Consecutive members of one name, as WebDataset groups them; those without an extension and hidden ones are in
    none.
    """
    key = ""
    fields = dict[str, Member]()
    last = ""
    for member in members:
        if isinstance(member, Reject):
            if fields:
                yield key, tuple(fields.items())
            key, fields = "", {}
            yield member
            continue
        parts = _NAME.fullmatch(member.name)
        if parts is None:
            account.nameless += 1
            continue
        name = parts[2].lower()
        before = parts[2].rpartition(".")[0]
        full = len(fields) >= 2 * MAX_FIELDS or (len(fields) >= MAX_FIELDS and before != last)
        if parts[1] != key or full:
            if fields:
                yield key, tuple(fields.items())
            key = parts[1]
            fields = {}
        if name in fields:
            member = Member(
                member.name,
                member.offset,
                -1,
                f"duplicate {name} in this sample",
            )
        fields[name], last = member, before
    if fields:
        yield key, tuple(fields.items())


def usual_fields(samples: Iterable[MemberGroup | Reject], given: Iterable[str]) -> frozenset[str]:
    """Fields with dots that are fields and no part of a name: those the user `given`, and those of several samples
    without a number.
    """
    counts = Counter(
        name for sample in samples if not isinstance(sample, Reject) for name, _ in sample[1] if "." in name
    )
    return frozenset(given) | {name for name, count in counts.items() if count > 1 and not name[0].isdigit()}


def by_last_dot(samples: Iterable[MemberGroup | Reject], account: Account) -> Iterator[MemberGroup | Reject]:
    """The same samples; those taken apart whose fields are pictures and labels of several names."""
    for sample in samples:
        if isinstance(sample, Reject) or not any("." in name and name not in account.kept for name, _ in sample[1]):
            yield sample
        else:
            yield from _apart(sample, account)


def _apart(sample: MemberGroup, account: Account) -> Iterator[MemberGroup]:
    """A sample, and those that are mixed into it: each a picture with its label, or with a number and
    without a label.
    """
    key, fields = sample
    groups: dict[str, list[tuple[str, Member]]] = {}
    for name, member in fields:
        groups.setdefault(_owner(key, name, member, account), []).append((name, member))
    tails = {owner: [(name.rpartition(".")[2], member) for name, member in group] for owner, group in groups.items()}
    pictures = [owner for owner, group in tails.items() if any(is_picture(tail) for tail, _ in group)]
    lonely = [owner for owner in pictures if len(pictures) > 1 and owner[len(key) + 1 :][:1].isdigit()]
    alone = [owner for owner in groups if owner != key and (_is_whole(tails[owner]) or owner in lonely)]
    if not any(_is_whole(tails[owner]) for owner in (key, *alone) if owner in tails):
        alone = []
    account.dotted += len(alone)
    rest = tuple(pair for owner, group in groups.items() if owner not in alone for pair in group)
    if rest:
        yield key, rest
    for owner in alone:
        yield owner, tuple(tails[owner])


def _owner(key: str, name: str, member: Member, account: Account) -> str:
    """The name of the sample that a member would belong to by its last dot; `key` for a field that is one."""
    head, dot, _ = name.rpartition(".")
    spelt = _NAME.fullmatch(member.name)
    return f"{key}.{spelt[2][: len(head)]}" if dot and spelt and name not in account.kept else key


def _is_whole(group: Iterable[tuple[str, Member]]) -> bool:
    """One picture, and something that is none."""
    pictures = [is_picture(name) for name, _ in group]
    return sum(pictures) == 1 and len(pictures) > 1
