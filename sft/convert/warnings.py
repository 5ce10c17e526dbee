"""Rows that were written although their label was fixed: counted by code, and named in a file beside the output."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sft.convert.tally import Tally
from sft.files import RAW_CHARACTERS
from sft.formats import Item
from sft.reasons import REASONS


def warnings_path(out: Path) -> Path:
    """Where the warnings of rows of `out` are written."""
    return out.with_name(f"{out.stem}.warnings.jsonl")


def warning_lines(item: Item, tally: Tally) -> bytes:
    """The lines for the warnings of a row that is written; `tally` counts the row, once for each code."""
    for code in dict.fromkeys(warning.code for warning in item.warnings):
        tally.warned[code] = tally.warned.get(code, 0) + 1
    tally.said += len(item.warnings)
    return b"".join(
        [
            _line({"where": item.where, "code": warning.code, "message": warning.message[:RAW_CHARACTERS]})
            for warning in item.warnings
        ]
    )


def _line(texts: dict[str, str]) -> bytes:
    """An object as a line; half of a character is written "?"."""
    return msgspec.json.encode({key: text.encode("utf-8", "replace").decode() for key, text in texts.items()}) + b"\n"


def sentences(out: Path, tally: Tally) -> list[str]:
    """What to say about them: one sentence for each code."""
    rows = {code: f"{count} row{'' if count == 1 else 's'}" for code, count in sorted(tally.warned.items())}
    return [
        f"{code} in {count}: {REASONS[code][1]}; {warnings_path(out).name} says which" for code, count in rows.items()
    ]
