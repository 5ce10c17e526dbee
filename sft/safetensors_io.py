"""Joins safetensors shards byte by byte: any dtype, no torch, one tensor's bytes in memory at a time."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from sft.engines.base import safetensors_header
from sft.errors import ProblemsFound
from sft.jsonl import atomic_write

ALIGNMENT = 8
COPY_BYTES = 16 * 1024 * 1024


def tensor_table(files: list[Path]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """name → (file, entry) over all shards; a name in two shards is an error."""
    table: dict[str, tuple[Path, dict[str, Any]]] = {}
    for file in files:
        for name, entry in safetensors_header(file).items():
            if name in table:
                raise ProblemsFound(f"tensor {name} stands in {table[name][0].name} and in {file.name}", where=str(file.parent))
            table[name] = (file, entry)
    return table


def join(table: dict[str, tuple[Path, dict[str, Any]]], out: Path) -> None:
    """Write all tensors of `table` into one file, in name order."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in sorted(table):
        entry = table[name][1]
        size = entry["data_offsets"][1] - entry["data_offsets"][0]
        header[name] = {"dtype": entry["dtype"], "shape": entry["shape"], "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with atomic_write(out) as target:
        target.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(table):
            _copy(table[name], target)


def _copy(source: tuple[Path, dict[str, Any]], target: Any) -> None:
    path, entry = source
    begin, end = entry["data_offsets"]
    with path.open("rb") as stream:
        start = 8 + struct.unpack("<Q", stream.read(8))[0]
        stream.seek(start + begin)
        left = end - begin
        while left:
            block = stream.read(min(COPY_BYTES, left))
            if not block:
                raise ProblemsFound("the file ends inside a tensor", where=str(path))
            target.write(block)
            left -= len(block)
