"""`sft validate --fix`: mends what can be mended without guessing, and nothing else.

A byte order mark, blank lines, Windows line ends and the order of the keys; labels, tags and paths are never touched.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from pathlib import Path
from typing import Any

from sft.jsonl import atomic_write, open_input

KEY_ORDER = ("id", "image_info", "text_info", "image_url", "matched_text_index", "text", "tag")


def fix(path: Path, out: Path) -> Counter[str]:
    """Rewrite `path` to `out` (may be the same), whole or not at all; returns what was mended, by reason code.

    Lines in = lines out + blank lines removed.
    """
    mended: Counter[str] = Counter()
    with open_input(path) as stream, atomic_write(out) as target:
        for number, line in enumerate(stream, 1):
            text = line
            if number == 1 and text.startswith(codecs.BOM_UTF8):
                mended["file.bom"] += 1
                text = text.removeprefix(codecs.BOM_UTF8)
            if not text.strip():
                mended["file.blank_line"] += 1
                continue
            if text.endswith(b"\r\n"):
                mended["file.crlf"] += 1
            text = text.strip()
            ordered = _reorder(text)
            if ordered != text:
                mended["file.key_order"] += 1
            target.write(ordered + b"\n")
    return mended


def _reorder(text: bytes) -> bytes:
    """The same JSON with its keys in the usual order; a line that is not JSON stays as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    ordered = _sorted(value)
    if json.dumps(ordered) == json.dumps(value):
        return text
    return json.dumps(ordered, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        rank = {key: position for position, key in enumerate(KEY_ORDER)}
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda key: rank.get(key, len(rank)))}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
