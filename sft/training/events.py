"""Cuts TensorBoard's event files where a run resumes, so that every step has one value.

A trainer that goes on from step N writes N + 1 … again, into a new file. What the killed one wrote of these steps would
stand beside it, and the curve would jump back. The format (TensorFlow's TFRecord): length as uint64, its checksum as
uint32, that many bytes, their checksum as uint32; the bytes are an `Event` message, whose field 2 is the step.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from sft.files import atomic_write, open_input

PATTERN = "events.out.tfevents.*"
MAX_EVENT = 1 << 24  # bytes; a scalar has less than 100
_LENGTH = struct.Struct("<Q")
_CHECKSUM = 4
_STEP_FIELD = 2
_FIXED = {1: 8, 5: 4}  # wire type → bytes
_VARINT, _BYTES = 0, 2


def cut_after(folder: Path, step: int) -> int:
    """Take the events above `step` out of the files directly in `folder`; gives how many there were.

    A torn last event, as a kill leaves it, goes as well. A file without events above the step is left as it is.
    """
    cut = 0
    for path in sorted(folder.glob(PATTERN)):
        with open_input(path) as stream:
            data = stream.read()
        events = list(_events(data))
        kept = [event for event in events if _step(event[_LENGTH.size + _CHECKSUM : -_CHECKSUM]) <= step]
        whole = sum(
            map(
                len,
                events,
            )
        )
        if len(kept) == len(events) and whole == len(data):
            continue
        cut += len(events) - len(kept)
        with atomic_write(path) as out:
            out.write(b"".join(kept))
    return cut


def _events(data: bytes) -> Iterator[bytes]:
    """Every whole record, with its frame."""
    begin = 0
    frame = _LENGTH.size + 2 * _CHECKSUM
    while begin + frame <= len(data):
        (length,) = _LENGTH.unpack_from(
            data,
            begin,
        )
        end = begin + frame + length
        if length > MAX_EVENT or end > len(data):
            return
        yield data[begin:end]
        begin = end


def _step(message: bytes) -> int:
    """The step of an Event; 0 where it says none, as the first event of a file does."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            if key >> 3 == _STEP_FIELD:
                return value
        elif kind == _BYTES:
            length, position = _varint(message, position)
            position += length
        elif kind in _FIXED:
            position += _FIXED[kind]
        else:
            return 0
    return 0


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """(value, position behind it) of a base-128 number; a torn one is what is there of it."""
    value = shift = 0
    while position < len(message):
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if byte < 0x80:
            break
    return value, position
