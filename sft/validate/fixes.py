"""`sft validate --fix`: mends what can be mended without guessing, and nothing else.

A byte order mark, blank lines, Windows line ends and the order of the keys; labels, tags and paths are never touched,
and a line that is not sound JSON, or too long to be read, keeps every byte between its ends.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from sft.files import atomic_write, bounded_lines, open_input
from sft.validate.shard import BLANK

KEY_ORDER = ("id", "image_info", "text_info", "image_url", "matched_text_index", "text", "tag")


def fix(path: Path, out: Path) -> Counter[str]:
    """Rewrite `path` to `out` (may be the same), whole or not at all; returns what was mended, by reason code.

    Lines in = lines out + blank lines removed.
    """
    mended: Counter[str] = Counter()
    with open_input(path) as stream, atomic_write(out) as target:
        for number, line, too_long in bounded_lines(stream, rest=target.write):
            text = line
            if number == 1 and text.startswith(codecs.BOM_UTF8):
                mended["file.bom"] += 1
                text = text.removeprefix(codecs.BOM_UTF8)
            if too_long:
                target.write(text)
                continue
            if not text.strip(BLANK):
                mended["file.blank_line"] += 1
                continue
            if text.endswith(b"\r\n"):
                mended["file.crlf"] += 1
                text = text.removesuffix(b"\r\n")
            text = text.removesuffix(b"\n")
            ordered = _reorder(text)
            if ordered != text:
                mended["file.key_order"] += 1
            target.write(ordered + b"\n")
    return mended


def _reorder(text: bytes) -> bytes:
    """The same JSON with its keys in the usual order; the same bytes where that cannot be had without a change of
    meaning.
    """
    try:
        msgspec.json.decode(
            text
        )  # stricter than json.loads: no NaN, no number beyond a float, no half of a surrogate pair
        value = json.loads(text, object_pairs_hook=_distinct)
        ordered = _sorted(value)
        if json.dumps(ordered) == json.dumps(value):
            return text
        return json.dumps(ordered, ensure_ascii=False).encode()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; ValueError where a key stands twice, since only one of its values would be left."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("duplicate key")
    return value


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        rank = {key: position for position, key in enumerate(KEY_ORDER)}
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda key: rank.get(key, len(rank)))}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
