"""Streams in and out: lines with their numbers, files written whole or not at all, hashes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from sft.errors import ProblemsFound
from sft.files.atomic import CHUNK, atomic_write, open_input
from sft.types import Image, Sample, Text

MAX_LINE_BYTES = 64 * 1024 * 1024  # of one row, with its end
_decoder = msgspec.json.Decoder(Sample)


def decode(line: bytes) -> Sample:
    """One JSONL row → `Sample`. Raises `msgspec.MsgspecError` where the row breaks the schema's structure."""
    return _decoder.decode(line)


def encode(sample: Sample) -> bytes:
    """One `Sample` → its JSONL row, UTF-8, without the newline."""
    return msgspec.json.encode(sample)


def decode_any(text: bytes) -> tuple[Any, list[str]]:
    """(any JSON value, the keys that stand more than once in one object): JSON readers keep the last value of such a
    key and say nothing. Raises `ValueError` for what is no JSON, `RecursionError` for what is nested too deeply.

    >>> decode_any(b'{"a": 1, "b": {"c": 2, "c": 3}}')
    ({'a': 1, 'b': {'c': 3}}, ['c'])
    """
    duplicates: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            duplicates.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return value

    return json.loads(text, object_pairs_hook=look), duplicates


def ocr_sample(image_url: str, prompt: str, ref: str) -> Sample:
    """The commonest sample: one image, one prompt, one answer."""
    return Sample(
        text_info=(Text(prompt, "mask"), Text(ref, "no_mask")),
        image_info=(Image(image_url),),
    )


def read_samples(path: Path, digest: hashlib._Hash | None = None) -> Iterator[tuple[int, Sample]]:
    """(line number from 1, sample) of a file that has passed `sft validate`; a bad row raises with its line.

    `digest` is fed with the bytes of every row.
    """
    with open_input(path) as stream:
        for number, line, too_long in bounded_lines(stream):
            if digest:
                digest.update(line)
            try:
                if too_long:
                    raise ValueError(f"more than {MAX_LINE_BYTES:,} bytes in one line")
                yield number, decode(line)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise ProblemsFound(
                    f"not a sample: {error}", where=f"{path}:{number}", hint=f"run `sft validate {path}`"
                ) from error


def bounded_lines(stream: IO[bytes], *, rest: Callable[[bytes], object] = len) -> Iterator[tuple[int, bytes, bool]]:
    """(number from 1, line with its end, too long?) of every line, with never more than MAX_LINE_BYTES + 1 of one in
    memory.

    A line that is too long is cut there; what follows goes to `rest` piece by piece before the next line comes.
    """
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        too_long = len(line) > MAX_LINE_BYTES
        piece = line[-1:]
        yield number, line, too_long
        while too_long and not piece.endswith(b"\n") and (piece := stream.readline(CHUNK)):
            rest(piece)


def write_samples(path: Path, samples: Iterable[Sample]) -> int:
    """Write all rows or nothing; returns how many."""
    count = 0
    with atomic_write(path) as stream:
        for count, sample in enumerate(samples, 1):  # noqa: B007  (the last number is the count)
            stream.write(encode(sample) + b"\n")
    return count
