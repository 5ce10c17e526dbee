"""Texts that the user gives to be drawn: one a line, or JSONL with a "text" or with answers of samples."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sft.errors import UsageError
from sft.files import atomic, bounded_lines
from sft.markup import composed
from sft.models import OTSL_TOKENS, RESERVED_IN_TEXT
from sft.synth import font_files

MAX_TEXTS = 2_000_000
MAX_CHARS = 4000  # of one text
MAX_CELL_CHARS = 80  # of a text that stands in a table or a chart
PER_SAMPLE = 64  # texts that one table or chart chooses from
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Given:
    """The texts of a file, and what became of its lines."""

    name: str
    sha256: str
    texts: tuple[str, ...]
    many: bool  # whether a sample chooses from several
    counts: dict[str, Any] = field(default_factory=dict)

    def for_sample(self, index: int, seed: int) -> tuple[str, ...]:
        """The texts of one sample: every text is used once before one is used again, in an order that the seed
        decides.
        """
        if not self.many:
            turn, place = divmod(index, len(self.texts))
            return (self.texts[_order(len(self.texts), f"{seed}/{turn}")[place]],)
        rng = random.Random(f"texts/{seed}/{index}")
        return tuple(rng.choice(self.texts) for _ in range(min(PER_SAMPLE, len(self.texts) * 4)))


_orders: dict[str, list[int]] = {}


def _order(count: int, key: str) -> list[int]:
    """A shuffled order, remembered for the turn that is being dealt."""
    if (known := _orders.get(f"{count}/{key}")) is None:
        known = list(range(count))
        random.Random(f"order/{key}").shuffle(known)
        _orders.clear()
        _orders[f"{count}/{key}"] = known
    return known


def read_texts(path: Path, task: str, fonts: Sequence[Path]) -> Given:
    """The texts of a file that can be drawn for a task, in Unicode form NFC, white space made single.

    Lines that cannot are counted by reason code. Raises UsageError where a character is in none of the fonts (with line
    and character), or where nothing is left.
    """
    texts: list[str] = []
    skipped: Counter[str] = Counter()
    number = 0
    for number, raw in _lines(path):
        text, code = _clean(raw, task)
        if code:
            skipped[code] += 1
        elif text:
            if task != "formula":
                font_files.refuse_missing(
                    font_files.missing(set(text) - {"\n"}, fonts), fonts, where=f"{path}:{number}"
                )
            texts.append(text)
        if len(texts) > MAX_TEXTS:
            raise UsageError(
                f"more than {MAX_TEXTS:,} texts",
                where=str(path),
                hint="give a smaller file",
            )
    if not texts:
        reasons = ", ".join(f"{code} x {count}" for code, count in sorted(skipped.items()))
        raise UsageError(
            f"no text that can be rendered{f' ({reasons})' if reasons else ''}",
            where=str(path),
            hint="one text a line, UTF-8",
        )
    return Given(
        path.name,
        atomic.sha256(path),
        tuple(texts),
        task in ("table", "chart"),
        {"lines": number, "used": len(texts), "skipped": dict(sorted(skipped.items()))},
    )


def _lines(path: Path) -> Iterator[tuple[int, str | None]]:
    """(number, text or None for a line that is no text)."""
    with atomic.open_input(path) as stream:
        for number, line, too_long in bounded_lines(stream):
            try:
                decoded = "" if too_long else line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UsageError(
                    f"not UTF-8 ({error.reason})",
                    where=f"{path}:{number}",
                ) from error
            if too_long:
                yield number, None
            elif path.suffix == ".jsonl" and decoded.strip():
                yield number, _from_json(decoded, path, number)
            else:
                yield number, decoded


def _from_json(line: str, path: Path, number: int) -> str:
    try:
        value = json.loads(line)
        if isinstance(value, dict) and isinstance(value.get("text_info"), list):
            value = next(
                (item["text"] for item in value["text_info"] if item["tag"] == "no_mask"),
                None,
            )
        elif isinstance(value, dict):
            value = value.get("text")
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise UsageError(
            f"not JSON with a text: {error}",
            where=f"{path}:{number}",
            hint='{"text": "…"} a line, or a file with one text a line and another name than .jsonl',
        ) from error
    if not isinstance(value, str):
        raise UsageError(
            "no text in this row", where=f"{path}:{number}", hint='{"text": "…"} a line, or samples with text_info'
        )
    return value


def _clean(raw: str | None, task: str) -> tuple[str, str]:
    """(text, "") or ("", reason code); ("", "") for a blank line."""
    if raw is None or len(raw) > MAX_CHARS * 4:
        return "", "source.too_large"
    text = composed(raw.replace("\r\n", "\n"))
    joined = "\n" if task == "paragraph" else " "
    text = joined.join(part for part in (" ".join(part.split()) for part in text.split("\n")) if part)
    if len(text) > (MAX_CELL_CHARS if task in ("table", "chart") else MAX_CHARS):
        return "", "source.too_large"
    if "\ufffd" in text:
        return "", "target.replacement"
    if _CONTROL.search(text) or any("\ud800" <= char <= "\udfff" for char in text):
        return "", "target.control"
    if any(token in text for token in RESERVED_IN_TEXT):
        return "", "trainer.reserved_token"
    if task == "table" and any(token in text for token in OTSL_TOKENS):
        return "", "target.otsl"
    if task == "chart" and "|" in text:
        return "", "source.inexpressible"
    return text, ""
