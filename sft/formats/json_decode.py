"""One JSON value from bytes, bounded in depth, or the fault that says why it is none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

MAX_DEPTH = 100  # brackets inside one another; published layouts need no more than 12
LATIN = "iso-8859-1"
GUESSED = 4096  # bytes of a value that a guess at its encoding looks at
RAW = 200  # characters of a broken element that are kept
LARGE = 4 << 20  # bytes of one value from which memory counts more than time
# A string holds no raw line end: one that seems to is broken, and ends there. Linear: no two parts can match the same byte.
STRING = rb'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"'
TOKEN = re.compile(STRING + rb'|["\[\]{}]')
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


@dataclass(frozen=True)
class Fault:
    """Stands in a unit where an element could not be read; `code` is one of `sft.reasons`, `raw` how the element begins."""

    code: str
    message: str
    raw: str = ""


def decode(raw: bytes) -> Any:
    """One JSON value, or a `Fault`. `NaN` and numbers of any size are read as Python reads them."""
    many = raw.count(b"[") + raw.count(b"{") > MAX_DEPTH
    deep = Fault("source.too_large", f"more than {MAX_DEPTH} brackets inside one another", begin(raw)) if many else None
    try:
        try:
            value = msgspec.json.decode(raw)
            return deep if deep and (_valid_depth if len(raw) < LARGE else _bracket_depth)(raw) > MAX_DEPTH else value
        except (msgspec.MsgspecError, RecursionError):
            if deep and _bracket_depth(raw) > MAX_DEPTH:
                return deep
            value = json.loads(raw.decode())
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair can be escaped, but never written
            return value
    except UnicodeDecodeError as error:
        return Fault("source.encoding", f"not UTF-8: {error.reason} at byte {error.start} of this object{likely_encoding(raw)}", begin(raw))
    except UnicodeEncodeError:
        return Fault("source.encoding", "half of a surrogate pair", begin(raw))
    except (ValueError, RecursionError) as error:
        return Fault("source.syntax", f"not JSON: {error}", begin(raw))


def likely_encoding(raw: bytes) -> str:
    """What bytes that are not UTF-8 probably are, as the rest of a sentence; "" where nothing fits. A guess from characters alone."""
    for name, fits in _ENCODINGS:
        try:
            text = raw[:GUESSED].decode(name, "ignore" if len(raw) > GUESSED else "strict")
        except UnicodeDecodeError:
            continue
        others = "".join(character for character in text if not character.isascii())
        if fits(others) and (len(others) * 3 < len(text) or name != LATIN):
            return f"; it reads as {name.upper()}: `iconv -f {name.upper()} -t UTF-8 OLD > NEW`"
    return ""


def _has_kana(text: str) -> bool:
    return sum("\u3041" <= character <= "\u30ff" for character in text) * 5 >= len(text) and not any("\uff61" <= character <= "\uff9f" for character in text)


def _is_common_chinese(text: str) -> bool:
    known = text.encode("gb2312", "ignore").decode("gb2312")
    return len(known) * 10 >= len(text) * 9


def _is_latin(text: str) -> bool:
    return sum(character.isalpha() for character in text) * 2 > len(text) and not any("\x80" <= character <= "\x9f" for character in text)


# in this order: Shift JIS is rarely read as anything else, and any bytes are Latin-1
_ENCODINGS: tuple[tuple[str, Callable[[str], bool]], ...] = (("shift_jis", _has_kana), ("gb18030", _is_common_chinese), (LATIN, _is_latin))


def raw(value: object) -> str:
    """The beginning of a decoded value as JSON, for a Reject."""
    try:
        return msgspec.json.encode(value).decode("utf-8", "replace")[:RAW]
    except (ValueError, TypeError, RecursionError):
        return repr(value)[:RAW]


def begin(raw: bytes) -> str:
    """The beginning of bytes as text, for a Reject."""
    return raw[: 4 * RAW].decode("utf-8", "replace")[:RAW]


def _bracket_depth(raw: bytes) -> int:
    """The deepest nesting of brackets outside strings."""
    depth = deepest = 0
    for token in TOKEN.finditer(raw):
        byte = raw[token.start()]
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _valid_depth(raw: bytes) -> int:
    """As `_bracket_depth`, for bytes that are known to be JSON: without a step of Python for every bracket, some 9 times as fast."""
    outside = b"".join(raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]).translate(_ONE_KIND, _NO_BRACKETS)
    depth = 0
    while outside and depth <= MAX_DEPTH:
        outside = outside.replace(b"[]", b"")
        depth += 1
    return depth
