"""What became of the rows of one unit, or of all: in = out + rejected by reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from sft.files import changed_files

PIECES = (".rows", ".rejects", ".warnings", ".images")  # files of a finished unit, beside .done


@dataclass
class Tally:
    """in = out + rejected. `images`: how many were left in place, copied and drawn; `later`: rows whose image may come
    another time.
    """

    seen: int = 0
    out: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    prompts: int = 0  # rows with a prompt that the model version does not know
    later: int = 0
    warned: dict[str, int] = field(default_factory=dict)  # rows that were written with a warning, by its code
    said: int = 0  # warnings, of which a row may have several
    splits: dict[str, int] = field(
        default_factory=dict
    )  # rows of each split of a published set, as `meta.split` names it
    notes: dict[str, int] = field(default_factory=dict)  # what a format understood in a way that could be another
    alike: dict[str, int] = field(
        default_factory=dict
    )  # what labels look like that are taken as plain text, such as HTML tables
    merged: dict[str, int] = field(default_factory=dict)  # with --as-served: rows of several blocks, and their blocks
    sizes: list[int] = field(default_factory=list)  # bytes of rows, rejects, warnings and the list of images

    def add(self, other: Tally) -> None:
        """Sum up."""
        self.seen += other.seen
        self.out += other.out
        pairs = [
            (getattr(self, name), getattr(other, name))
            for name in ("reasons", "images", "alike", "warned", "splits", "notes", "merged")
        ]
        for mine, theirs in pairs:
            for key, count in theirs.items():
                mine[key] = mine.get(key, 0) + count
        self.said += other.said
        self.prompts += other.prompts
        self.later += other.later


def read_tally(stem: Path, base: Path | None = None) -> Tally | None:
    """The tally of a piece that is finished, None for any other; with `base`, OUT's folder, also where one of its
    images has changed.
    """
    try:
        tally = msgspec.json.decode(
            stem.with_suffix(".done").read_bytes(),
            type=Tally,
        )
        sizes = [path.stat().st_size if path.exists() else 0 for path in map(stem.with_suffix, PIECES)]
    except (OSError, msgspec.MsgspecError):
        return None
    if sizes != tally.sizes:  # a crash of the machine can leave empty files
        return None
    return None if base and sizes[-1] and changed_files(stem.with_suffix(PIECES[-1]), base) != [] else tally


def count(counts: dict[str, int], key: str) -> None:
    """One more of `key`; "" is nothing."""
    if key:
        counts[key] = counts.get(key, 0) + 1


def count_merged(tally: Tally, blocks: int) -> None:
    """One more row that `blocks` blocks of a page are joined in; a row of one is none."""
    if blocks > 1:
        tally.merged["rows"] = tally.merged.get("rows", 0) + 1
        tally.merged["blocks"] = tally.merged.get("blocks", 0) + blocks
