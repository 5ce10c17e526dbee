"""Which label files lie beside those that a format reads in a folder: it may know only one of them by its name."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from sft.formats.base import Unit

SHOWN = 8  # names that a warning holds


def files_of(unit: Unit) -> Iterable[Path]:
    """The label files of a unit."""
    if isinstance(unit.payload, tuple) and unit.payload and all(isinstance(path, Path) for path in unit.payload):
        return unit.payload
    return (unit.path,)


def not_read(read: Collection[Path], aside: Collection[Path]) -> list[str]:
    """Names of files of the same kind (by their last suffix) in the folders of those that were read, except `aside`."""
    kinds = {(path.parent, path.suffix.lower()) for path in read if path.suffix}
    known = {*read, *aside}
    found = []
    for folder, suffix in kinds:
        with os.scandir(folder) as entries:
            found += [entry.name for entry in entries if entry.name.lower().endswith(suffix) and not entry.name.startswith(".") and folder / entry.name not in known and os.path.isfile(entry.path)]
    return sorted(found)


def warning(names: list[str]) -> str:
    """Those names as a sentence; "" for none."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"also here, not read: {', '.join(names[:SHOWN])}{more}; name such a file itself to convert it" if names else ""
