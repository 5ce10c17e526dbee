"""Tables and tensors of safetensors files, read and written piece by piece: any dtype, no torch, little memory."""

from __future__ import annotations

import json
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sft.errors import ProblemsFound

Table = dict[str, tuple[Path, dict[str, Any]]]  # name → (file, entry)
ALIGNMENT = 8
MAX_SAFETENSORS_HEADER = 100 * 1024 * 1024  # the format's own limit


def safetensors_header(path: Path) -> dict[str, Any]:
    """The tensor table of a file: name → {dtype, shape, data_offsets}, every entry sound, side by side from 0 to the
    end.

    ProblemsFound for a truncated or foreign file.
    """
    try:
        return _header(path)
    except ValueError as error:
        why = str(error)
    except OSError as error:
        why = f"it cannot be read ({error.strerror})"
    raise ProblemsFound(
        f"not a complete safetensors file: {why}",
        where=str(path),
        hint="the copy was cut off or the file is a pointer; fetch or write it again",
    )


def _header(path: Path) -> dict[str, Any]:
    """As `safetensors_header`; ValueError says what is wrong with the content."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):  # a pipe would wait for ever
        raise ValueError("not a regular file")
    size = about.st_size
    with path.open("rb") as stream:
        prefix = stream.read(8)
        if len(prefix) < 8:
            raise ValueError(f"{size} bytes")
        length = struct.unpack("<Q", prefix)[0]
        if length > min(MAX_SAFETENSORS_HEADER, size - 8):
            raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError, MemoryError) as error:
            raise ValueError("its header is not JSON") from error
    if not isinstance(header, dict):
        raise ValueError("its header is not a table")
    header.pop("__metadata__", None)
    _check_entries(header, size - 8 - length)
    return header


def _check_entries(header: dict[str, Any], data: int) -> None:
    """ValueError unless every entry is sound and the tensors lie side by side over all `data` bytes, as the format
    asks.
    """
    for name, entry in header.items():
        if not _sound(entry, data):
            raise ValueError(f"the entry of tensor {name[:200]!r} is broken: {str(entry)[:200]}")
    end = 0
    for begin, after in sorted(entry["data_offsets"] for entry in header.values()):
        if begin < end:
            raise ValueError("two of its tensors overlap")
        if begin > end:
            raise ValueError("there are bytes between its tensors")
        end = after
    if end != data:
        raise ValueError(f"the tensors do not fill its {data:,} bytes of data")


def _sound(entry: Any, data: int) -> bool:
    if not isinstance(entry, dict):
        return False
    shape = entry.get("shape")
    offsets = entry.get("data_offsets")
    if not isinstance(entry.get("dtype"), str) or not isinstance(shape, list) or not isinstance(offsets, list):
        return False
    if not all(type(number) is int and number >= 0 for number in (*shape, *offsets)):
        return False
    return len(offsets) == 2 and bool(offsets[0] <= offsets[1] <= data)


def tensor_table(files: list[Path]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """name → (file, entry) over all shards; a name in two shards is an error."""
    table: dict[str, tuple[Path, dict[str, Any]]] = {}
    for file in files:
        for name, entry in safetensors_header(file).items():
            if name in table:
                raise ProblemsFound(
                    f"tensor {name} stands in {table[name][0].name} and in {file.name}", where=str(file.parent)
                )
            table[name] = (file, entry)
    return table


def head(entries: Iterable[tuple[str, str, list[int], int]]) -> bytes:
    """What stands in front of the tensors of a file; entries: (name, dtype, shape, bytes) in the order of the file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, dtype, shape, size in entries:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def tensor_bytes(path: Path, entry: dict[str, Any], size: int) -> Iterator[bytes]:
    """The bytes of a tensor in pieces of `size`; ProblemsFound where the file has become shorter."""
    begin, end = entry["data_offsets"]
    with path.open("rb") as stream:
        start = 8 + struct.unpack("<Q", stream.read(8))[0]
        stream.seek(start + begin)
        left = end - begin
        while left:
            block = stream.read(min(size, left))
            if not block:
                raise ProblemsFound("the file ends inside a tensor", where=str(path))
            yield block
            left -= len(block)
