"""Large JSON arrays, one element at a time, and small documents: bounded, and fixed where one element is broken.

An incremental parser loses everything behind the first wrong byte. Here the array is first cut into its elements by its
brackets and strings alone, and each element is then decoded by itself: a wrong byte, a `NaN` or a bracket too many
costs one element, and the others keep their index. A bracket too few costs one element where every element has a line
of its own; where lines do not tell, all that follows is one fault, which says how many bytes are lost.
"""

from __future__ import annotations

import json
import os
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from sft.errors import UsageError
from sft.files import MAX_LINE_BYTES, UNIT_BYTES, Unit, open_text
from sft.formats.base import UNIT_OBJECTS, Reject

MAX_DEPTH = 100  # brackets inside one another; published layouts need no more than 12
LATIN = "iso-8859-1"
GUESSED = 4096  # bytes of a value that a guess at its encoding looks at
RAW = 200  # characters of a broken element that are kept
LARGE = 4 << 20  # bytes of one value from which memory counts more than time
# A string holds no raw line end: one that seems to is broken, and ends there. Linear: no two parts can match the same
# byte.
STRING = rb'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"'
TOKEN = re.compile(STRING + rb'|["\[\]{}]')
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


@dataclass(frozen=True)
class JsonFault:
    """Stands in a unit where an element could not be read; `code` is one of `sft.reasons`, `raw` how the element
    begins.
    """

    code: str
    message: str
    raw: str = ""


def decode(raw: bytes) -> Any:
    """One JSON value, or a `JsonFault`. `NaN` and numbers of any size are read as Python reads them."""
    many = raw.count(b"[") + raw.count(b"{") > MAX_DEPTH
    deep = (
        JsonFault("source.too_large", f"more than {MAX_DEPTH} brackets inside one another", begin(raw))
        if many
        else None
    )
    try:
        try:
            value = msgspec.json.decode(raw)
            return deep if deep and (_valid_depth if len(raw) < LARGE else _bracket_depth)(raw) > MAX_DEPTH else value
        except (msgspec.MsgspecError, RecursionError):
            if deep and _bracket_depth(raw) > MAX_DEPTH:
                return deep
            text = raw.decode()
            if "\0" in text and (said := likely_encoding(raw)):
                return JsonFault("source.encoding", f"NUL bytes{said}", begin(raw))
            value = json.loads(text)
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair can be escaped, but never written
            return value
    except UnicodeDecodeError as error:
        return JsonFault(
            "source.encoding",
            f"not UTF-8: {error.reason} at byte {error.start} of this object{likely_encoding(raw)}",
            begin(raw),
        )
    except UnicodeEncodeError:
        return JsonFault("source.encoding", "half of a surrogate pair", begin(raw))
    except (ValueError, RecursionError) as error:
        return JsonFault("source.syntax", f"not JSON: {error}", begin(raw))


def likely_encoding(raw: bytes) -> str:
    """What bytes that are not UTF-8 probably are, as the rest of a sentence; "" where nothing fits. A guess from
    characters alone.
    """
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and b"\0" in raw[:GUESSED]:
        return "; it is UTF-16: `iconv -f UTF-16 -t UTF-8 OLD > NEW`"
    if b"\0" in raw:
        return _wide(raw[:GUESSED])
    for name, fits in _ENCODINGS:
        try:
            text = raw[:GUESSED].decode(
                name,
                "ignore" if len(raw) > GUESSED else "strict",
            )
        except UnicodeDecodeError:
            continue
        others = "".join(character for character in text if not character.isascii())
        if fits(others) and (len(others) * 3 < len(text) or name != LATIN):
            return f"; it reads as {name.upper()}: `iconv -f {name.upper()} -t UTF-8 OLD > NEW`"
    return ""


def _wide(raw: bytes) -> str:
    """Of bytes with NULs: what they are where they are UTF-16 without a byte order mark, as the rest of a sentence."""
    even = raw[::2].count(0)
    odd = raw[1::2].count(0)
    if even + odd < 3 or (even + odd) * 16 < len(raw) or max(even, odd) < 3 * min(even, odd):
        return ""
    if odd > even:
        return "; it reads as UTF-16LE: `iconv -f UTF-16LE -t UTF-8 OLD > NEW`"
    # the other byte order, or a line in the middle of a file, where the two look the same
    return "; it reads as UTF-16 without a byte order mark: save it as UTF-8 in the program that it comes from"


def _has_kana(text: str) -> bool:
    return sum("\u3041" <= character <= "\u30ff" for character in text) * 5 >= len(text) and not any(
        "\uff61" <= character <= "\uff9f" for character in text
    )


def _is_common_chinese(text: str) -> bool:
    known = text.encode("gb2312", "ignore").decode("gb2312")
    return len(known) * 10 >= len(text) * 9


def _is_latin(text: str) -> bool:
    return sum(character.isalpha() for character in text) * 2 > len(text) and not any(
        "\x80" <= character <= "\x9f" for character in text
    )


# in this order: Shift JIS is rarely read as anything else, and any bytes are Latin-1
_ENCODINGS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("shift_jis", _has_kana),
    ("gb18030", _is_common_chinese),
    (LATIN, _is_latin),
)


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
    """As `_bracket_depth`, for bytes that are known to be JSON: without a step of Python for every bracket, some 9
    times as fast.
    """
    outside = b"".join(raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]).translate(
        _ONE_KIND, _NO_BRACKETS
    )
    depth = 0
    while outside and depth <= MAX_DEPTH:
        outside = outside.replace(b"[]", b"")
        depth += 1
    return depth


__all__ = ["MAX_DEPTH", "RAW", "JsonFault", "decode", "document", "object_units", "raw", "unit_objects"]
MAX_OBJECT_BYTES = MAX_LINE_BYTES  # of one element; a row of JSONL may have as many
MAX_DOCUMENT_BYTES = 512 << 20  # of one document that must be read as a whole
_STACK = 1000  # brackets whose kind is remembered
_FLAT = rb'[^"\[\]{}]*(?:' + STRING + rb'[^"\[\]{}]*)*'
_LEAF = rb"\{" + _FLAT + rb"\}|\[" + _FLAT + rb"\]"
_TREE = _FLAT + rb"(?:(?:" + _LEAF + rb")" + _FLAT + rb")*"
# As TOKEN, but brackets with no more than one further level inside are one token, and so are strings in a row.
_BLOCK = re.compile(rb"\{" + _TREE + rb"\}|\[" + _TREE + rb"\]|(?:" + STRING + rb'[^"\[\]{}]*)+|["\[\]{}]')
_STRING_END = re.compile(rb'[^"\\\n]*(?:\\[^\n][^"\\\n]*)*(?:"|\\?\n)')
_OPENER = {ord("]"): ord("["), ord("}"): ord("{")}
# What can follow a closing bracket only if the array has not ended there: of an array that is the file, of one in an
# object.
_GOES_ON = {True: re.compile(rb"[ \t\r\n]*[,}]"), False: re.compile(rb"[ \t\r\n]*(?:,[ \t\r\n]*[{\[]|\}[ \t\r\n]*,)")}
LOOK_AHEAD = 4096  # bytes that are read further where a chunk ends in a closing bracket


def object_units(path: Path, prefix: str = "item", name: str = "") -> Iterator[Unit]:
    """Units of a JSON array; the payload is a tuple of (index from 0, element). An element is a JSON value or a
    `JsonFault`.

    `prefix`: "item" for an array that is the whole file, "key.item" for the array at `key` of the outermost object,
    which must begin in the first MiB, "" for objects one after the other, without an array. Raises UsageError where
    none begins.
    """
    batch: list[tuple[int, Any]] = []
    size = 0
    with open_text(path) as stream:
        for index, raw in enumerate(_elements(stream, path, prefix)):
            batch.append((index, raw if isinstance(raw, JsonFault) else decode(raw)))
            size += 0 if isinstance(raw, JsonFault) else len(raw)
            if len(batch) == UNIT_OBJECTS or size >= UNIT_BYTES:
                yield Unit(path, name or path.name, tuple(batch))
                batch, size = [], 0
    if batch:
        yield Unit(path, name or path.name, tuple(batch))


def unit_objects(unit: Unit) -> Iterator[tuple[str, dict[str, Any]] | Reject]:
    """("file.json[3]", element) of a unit made by `object_units`; what is broken, or no object, comes as a Reject."""
    for index, value in unit.payload:
        where = f"{unit.name}[{index}]"
        if isinstance(value, JsonFault):
            yield Reject(where, value.code, value.message, value.raw)
        elif isinstance(value, dict):
            yield where, value
        else:
            yield Reject(
                where,
                "source.shape",
                f"expected an object, found {type(value).__name__}",
                raw(value),
            )


def document(path: Path, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> Any:
    """A JSON file as a whole, or a `JsonFault`, also where it is no text; UsageError where it cannot be opened."""
    try:
        with open_text(path) as stream:
            content = stream.read(max_bytes + 1)
    except UsageError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return JsonFault("source.encoding", error.message)
    if len(content) > max_bytes:
        return JsonFault("source.too_large", f"more than {max_bytes:,} bytes in one document")
    return decode(content.removeprefix(BOM_UTF8))


@dataclass
class _Lines:
    """Whether every element so far was an object on a line of its own, and how far such lines are indented."""

    indent: bytes | None = None  # None: nothing is known yet, or it is not so
    other: bool = False  # an element had more lines than one, or not its own
    begin: bytes | None = None  # the indentation of the element that is being read, None where it does not begin a line
    tail: bytes = b""  # end of the chunk before

    def before(self, chunk: bytes, place: int) -> bytes | None:
        """What stands between the last line end and `place`, if that is a little white space."""
        near = chunk[place - 64 : place] if place >= 64 else self.tail + chunk[:place]
        _, end, indent = near.rpartition(b"\n")
        return indent if end and not indent.strip(b" \t") else None

    def opens(self, chunk: bytes, place: int) -> None:
        """An element begins at `place`."""
        self.begin = self.before(chunk, place) if chunk[place] == 0x7B else None

    def closes(self, element: bytes | JsonFault) -> None:
        """It has ended."""
        if (
            isinstance(element, JsonFault)
            or self.begin is None
            or b"\n" in element
            or self.indent not in (None, self.begin)
        ):
            self.other = True
        self.indent = None if self.other else self.begin

    def starts_anew(self, chunk: bytes, place: int) -> bool:
        """Whether the bracket at `place`, inside an element, must be the next element: the one before it was never
        closed.
        """
        return self.indent is not None and chunk[place] == 0x7B and self.before(chunk, place) == self.indent

    def anew_inside(self, chunk: bytes, begin: int, end: int) -> bool:
        """Whether the bracket at `begin` seems to end at `end` only because it took the one of another element."""
        return (
            self.indent is not None
            and chunk.find(
                b"\n" + self.indent + b"{",
                begin,
                end,
            )
            >= 0
        )


@dataclass
class _Cut:
    """Cuts the bytes behind the opening bracket of an array into elements; chunks come in, elements and
    faults go out.
    """

    alone: bool = True  # nothing is to stand behind the array
    bare: bool = False  # there is no array: objects one after the other
    stack: bytearray = field(default_factory=lambda: bytearray(b"["))
    parts: list[bytes] = field(default_factory=list)  # of the element, or of the gap between two, that is being read
    size: int = 0
    deeper: int = 0  # brackets that are open beyond _STACK
    in_string: bool = False
    escaped: bool = False  # the last byte so far was a backslash inside a string
    behind: bytes | None = None  # what stands behind the array in the chunk in which it ends
    lines: _Lines = field(default_factory=_Lines)

    def feed(self, chunk: bytes) -> Iterator[bytes | JsonFault]:
        """Elements that end in this chunk."""
        start, position = 0, 0
        stack = self.stack
        if self.in_string:
            position = self._string(chunk, 1 if self.escaped else 0)
        while not self.in_string and (token := _BLOCK.search(chunk, position)):
            begin, position = token.span()
            byte = chunk[begin]
            if byte == 0x22:
                position = self._behind_string(chunk, begin, position)
            elif byte in b"[{":
                if position - begin > 1 and self.lines.anew_inside(chunk, begin, position):
                    position = begin + 1
                if len(stack) > 1 and self.lines.starts_anew(chunk, begin):
                    self._keep(chunk[start:begin])
                    yield self._broken()
                    start = begin
                if len(stack) == 1:
                    self._keep(chunk[start:begin])
                    yield from self._gap()
                    start = begin
                    self.lines.opens(chunk, begin)
                if position - begin == 1:
                    self._push(byte)
                elif len(stack) == 1:
                    self.lines.closes(chunk[start:position])
                    yield chunk[start:position]
                    start = position
            elif self._closes(byte, chunk, position):
                self._keep(chunk[start : position if stack else begin])
                start = position
                if not stack:
                    yield from self._gap()
                    self.behind = chunk[position:]
                    return
                element = self._take()
                self.lines.closes(element)
                yield element
        self._keep(chunk[start:])
        self.lines.tail = (self.lines.tail + chunk[-64:])[-64:]

    def _push(self, byte: int) -> None:
        if len(self.stack) < _STACK:
            self.stack.append(byte)
        else:
            self.deeper += 1

    def _closes(self, byte: int, chunk: bytes, position: int) -> bool:
        """Take a closing bracket, behind which `position` is; whether it ends an element, or the array."""
        stack = self.stack
        if self.deeper:
            self.deeper -= 1
        elif _OPENER[byte] in (
            stack if len(stack) == 1 else stack[1:]
        ):  # a stray one inside an element does not end the array
            del stack[stack.rindex(_OPENER[byte]) :]  # what was left open inside is broken, and decoding says so
            if not stack and _GOES_ON[self.alone].match(chunk, position):
                stack.append(0x5B)  # a stray one between elements: the array goes on
                return False
            return len(stack) <= 1
        return False

    def _broken(self) -> JsonFault:
        """The element that is being read, which was never closed; the next one begins."""
        del self.stack[1:]
        self.deeper = 0
        element = self._take()
        return (
            element
            if isinstance(element, JsonFault)
            else JsonFault("source.syntax", "a bracket is missing in this object", begin(element.rstrip(b", \t\r\n")))
        )

    def _behind_string(self, chunk: bytes, begin: int, position: int) -> int:
        """Where to go on behind the string that begins at `begin`; it may end in another chunk."""
        if position - begin > 1:
            return position
        self.in_string = True
        return self._string(chunk, position)

    def _string(self, chunk: bytes, position: int) -> int:
        """Where the string that began earlier ends in `chunk`."""
        self.escaped = False
        if end := _STRING_END.match(chunk, position):
            self.in_string = False
            return end.end()
        tail = chunk[position:]
        self.escaped = (len(tail) - len(tail.rstrip(b"\\"))) % 2 == 1
        return len(chunk)

    def _keep(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size <= MAX_OBJECT_BYTES:
            self.parts.append(piece)

    def _take(self) -> bytes | JsonFault:
        whole = b"".join(self.parts)
        size = self.size
        self.parts, self.size = [], 0
        if size > MAX_OBJECT_BYTES:
            return JsonFault("source.too_large", f"more than {MAX_OBJECT_BYTES:,} bytes in one object", begin(whole))
        return whole

    def _gap(self) -> Iterator[bytes | JsonFault]:
        """What stands between two objects: a comma, or elements that are no objects."""
        gap = self._take()
        if isinstance(gap, JsonFault):
            yield gap
        elif inner := gap.strip(b", \t\r\n"):
            values = decode(b"[" + inner + b"]")
            yield from [values] if isinstance(values, JsonFault) else (msgspec.json.encode(value) for value in values)

    def end(self) -> Iterator[JsonFault]:
        """What is left when the file ends."""
        if self.bare and not b"".join(self.parts).strip(b", \t\r\n"):
            return
        if self.behind is None:
            said = f"; {self.size:,} bytes behind the last whole element are lost" if self.size > RAW else ""
            left = self._take()
            yield (
                left
                if isinstance(left, JsonFault)
                else JsonFault(
                    "source.syntax",
                    f"the file ends before its {'object' if self.bare else 'array'} does{said}",
                    begin(left.strip(b", \t\r\n")),
                )
            )


def _elements(stream: IO[bytes], path: Path, prefix: str) -> Iterator[bytes | JsonFault]:
    """The elements of the array at `prefix`, as bytes."""
    head = stream.read(UNIT_BYTES)
    start = _array_start(head, prefix) if prefix else 0
    if start is None:
        raise UsageError(
            "no JSON array begins here" if prefix == "item" else f"no array {prefix.removesuffix('.item')!r}",
            where=str(path),
            hint=_hint(head),
        )
    cut = _Cut(prefix in ("", "item"), bare=not prefix)
    chunk = head[start:].removeprefix(BOM_UTF8) or stream.read(UNIT_BYTES)
    while chunk and cut.behind is None:
        if chunk.rstrip(b" \t\r\n,}").endswith(b"]"):  # what follows tells whether the array ends there
            chunk += stream.read(LOOK_AHEAD)
        yield from cut.feed(chunk)
        chunk = stream.read(UNIT_BYTES)
    behind = ((cut.behind or b"") + chunk).strip()
    if cut.alone and behind and cut.behind is not None:
        lost = len(behind) + os.fstat(stream.fileno()).st_size - stream.tell()
        yield JsonFault(
            "source.syntax", f"there is more after the end of the array: {lost:,} bytes are lost", begin(behind)
        )
    yield from cut.end()


def _hint(head: bytes) -> str:
    beginning = begin(head)[:40]
    return f"the file begins with {beginning!r}" if head else "the file is empty"


def _array_start(head: bytes, prefix: str) -> int | None:
    """Behind the opening bracket of the array."""
    begin = len(BOM_UTF8) if head.startswith(BOM_UTF8) else 0
    if prefix == "item":
        match = re.compile(rb"[ \t\r\n]*\[").match(head, begin)
        return match.end() if match else None
    wanted = prefix.removesuffix(".item").encode()
    depth = 0
    key = b""
    end = 0
    for token in TOKEN.finditer(head, begin):
        byte = head[token.start()]
        if byte == 0x22:
            key = token[0][1:-1]
            end = token.end()
        elif byte in b"[{":
            if byte == 0x5B and depth == 1 and key == wanted and head[end : token.start()].strip() == b":":
                return token.end()
            depth += 1
        else:
            depth -= 1
    return None
