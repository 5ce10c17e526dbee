"""`sft validate --fix`: fixes what can be fixed without guessing, and nothing else.

A byte order mark, blank lines, Windows line ends and the order of the keys; and in answers what has exactly one right
form (`sft.validate.labels.repair`): white space, the Unicode form, invisible characters, spellings of one look.
Prompts, tags and paths are never touched, and a line that is not sound JSON, or too long to be read, keeps every byte
between its ends.
"""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from sft.files import atomic_write, bounded_lines, decode_any, open_input
from sft.markup import arabic
from sft.models import TASK_OF
from sft.types import Task
from sft.validate.labels import repair
from sft.validate.shard import BLANK

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")

KEY_ORDER = ("id", "image_info", "text_info", "image_url", "matched_text_index", "text", "tag")


def fix(path: Path, out: Path) -> Counter[str]:
    """Rewrite `path` to `out` (may be the same), whole or not at all; returns what was fixed, by reason code.

    Lines in = lines out + blank lines removed.
    """
    fixed: Counter[str] = Counter()
    foreign = _Foreign(path)
    with open_input(path) as stream, atomic_write(out) as target:
        for number, line, too_long in bounded_lines(stream, rest=target.write):
            text = line
            if number == 1 and text.startswith(codecs.BOM_UTF8):
                fixed["file.bom"] += 1
                text = text.removeprefix(codecs.BOM_UTF8)
            if too_long:
                target.write(text)
                continue
            if not text.strip(BLANK):
                fixed["file.blank_line"] += 1
                continue
            if text.endswith(b"\r\n"):
                fixed["file.crlf"] += 1
                text = text.removesuffix(b"\r\n")
            text = text.removesuffix(b"\n")
            tidied, codes = _tidy(text, foreign)
            fixed.update(codes)
            target.write(tidied + b"\n")
    return fixed


class _Foreign:
    """Whether a file has letters of an orthography in which ی and ي are two letters; found out when it is asked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: bool | None = None

    def __bool__(self) -> bool:
        if self._known is None:
            with open_input(self._path) as stream:
                self._known = any(map(_other_letters, bounded_lines(stream)))
        return self._known


def _other_letters(line: tuple[int, bytes, bool]) -> bool:
    text = line[1].decode("utf-8", "replace")
    if "\\u" in text:  # JSON may spell letters so
        text = _ESCAPE.sub(
            lambda match: chr(int(match[1], 16)),
            text,
        )
    return arabic.other_orthography(text)


def _tidy(text: bytes, foreign: _Foreign) -> tuple[bytes, list[str]]:
    """(the row with fixed answers and its keys in the usual order, the codes of what was fixed); the same bytes where
    that cannot be had without a change of meaning.
    """
    try:
        msgspec.json.decode(
            text
        )  # stricter than json.loads: no NaN, no number beyond a float, no half of a surrogate pair
        value, duplicates = decode_any(text)
        if duplicates:  # only one of the values would be left
            return text, []
        codes = _mend_answers(value, foreign)
        ordered = _sorted(value)
        if json.dumps(ordered) != json.dumps(value):
            codes.append("file.key_order")
        return (json.dumps(ordered, ensure_ascii=False).encode() if codes else text), codes
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text, []


def _mend_answers(row: Any, foreign: _Foreign) -> list[str]:
    """Fix the answers of a row in place; the codes of what was fixed, each once."""
    codes: dict[str, None] = {}
    prompt = ""
    items = row.get("text_info") if isinstance(row, dict) else None
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, dict) or not isinstance(item.get("text"), str):
            continue
        text = item["text"]
        if item.get("tag") != "no_mask":
            prompt = text.strip()
            continue
        task = TASK_OF.get(prompt, Task.OCR)
        fixed, fixes = repair(text, task)
        if "language.yeh_kaf" in fixes and foreign:
            fixed, fixes = repair(text, task, persian=False)
        item["text"] = fixed
        codes.update(dict.fromkeys(fixes))
    return list(codes)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        rank = {key: position for position, key in enumerate(KEY_ORDER)}
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda key: rank.get(key, len(rank)))}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
