"""The files of rejected rows, as every verb writes them: one JSON object a line.

    {"where": "train.jsonl:7", "code": "image.missing", "message": "no such file: a.png", "raw": "{\"text_info\": …}"}

`sft validate` adds "problems", all that was found in the row, since it looks on after the first error; and its "raw" is
the whole line, so that good rows and rejects are together the file that was checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

RAW_CHARACTERS = 2000  # of a rejected piece, and of a message, that are kept
_ENDING = ".rejects.jsonl"


class RejectedRow(NamedTuple):
    """where: FILE:LINE. code: one of `sft.reasons.REASONS`. raw: the row, as it was read."""

    where: str
    code: str
    message: str
    raw: str


def rejects_path(out: Path) -> Path:
    """Where the rejects of `out` are written."""
    return out.with_name(f"{out.stem}{_ENDING}")


def reject_line(
    where: str, code: str, message: str, raw: str, *, problems: Sequence[dict[str, Any]] = (), whole: bool = False
) -> bytes:
    """The line for a rejected row. `whole`: `raw` is not cut. Half of a character is written "?"."""
    record: dict[str, Any] = {
        "where": _text(where),
        "code": code,
        "message": _text(message[:RAW_CHARACTERS]),
        "raw": _text(raw if whole else raw[:RAW_CHARACTERS]),
    }
    if problems:
        record["problems"] = [
            {key: _text(value) if isinstance(value, str) else value for key, value in problem.items()}
            for problem in problems
        ]
    return msgspec.json.encode(record) + b"\n"


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
