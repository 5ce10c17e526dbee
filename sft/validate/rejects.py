"""The rows with errors, written as one file in the order of the rows (`sft.files.rejects`), each whole and with all
that was found in it.

Rows in = good rows + rows in this file.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import msgspec

from sft.files import MAX_LINE_BYTES, RAW_CHARACTERS, atomic_write, reject_line
from sft.types import Problem

RowFindings = tuple[int, list[dict[str, Any]], str]  # line, what was found, the row


class Rejects:
    """Writes the rejected rows of one file after the other.

    Findings of single rows come first, in order, then those of the whole set.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._rows: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        self._set: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115

    def row(self, line: int, problems: list[Problem], text: bytes) -> None:
        """A row with the findings about itself."""
        self._rows.write(_encode(line, problems, text))

    def shared(self, line: int, problems: list[Problem], text: bytes) -> None:
        """A row with findings that only the whole set shows; errors are kept."""
        errors = [problem for problem in problems if problem.severity == "error"]
        if errors:
            self._set.write(_encode(line, errors, text))

    def finish(self, path: Path) -> int:
        """Write what was collected about `path`; returns how many rows."""
        count = 0
        for line, problems, raw in _merged(_records(self._rows), _records(self._set)):
            first = next(problem for problem in problems if problem["severity"] == "error")
            self._stream.write(
                reject_line(f"{path}:{line}", first["code"], first["message"], raw, problems=problems, whole=True)
            )
            count += 1
        for spool in (self._rows, self._set):
            spool.seek(0)
            spool.truncate()
        return count

    def close(self) -> None:
        """Forget what was not written."""
        self._rows.close()
        self._set.close()


@contextmanager
def rejects_file(path: Path) -> Iterator[Rejects]:
    """A file of rejected rows that is there when everything is written, or not at all."""
    with atomic_write(path) as stream:
        rejects = Rejects(stream)
        try:
            yield rejects
        finally:
            rejects.close()


def _encode(line: int, problems: list[Problem], text: bytes) -> bytes:
    as_dicts = [{key: value for key, value in asdict(problem).items() if key != "line"} for problem in problems]
    raw = text if len(text) <= MAX_LINE_BYTES else text[: 4 * RAW_CHARACTERS]
    return msgspec.json.encode((line, as_dicts, raw.decode("utf-8", "backslashreplace").rstrip("\r\n"))) + b"\n"


def _records(spool: IO[bytes]) -> Iterator[RowFindings]:
    spool.seek(0)
    decoder = msgspec.json.Decoder(RowFindings)
    return map(decoder.decode, spool)


def _merged(rows: Iterator[RowFindings], others: Iterator[RowFindings]) -> Iterator[RowFindings]:
    """Both in the order of the lines; what both have to say about a row becomes one record."""
    for line, same_line in groupby(heapq.merge(rows, others, key=itemgetter(0)), key=itemgetter(0)):
        records = list(same_line)
        yield line, [problem for _, problems, _ in records for problem in problems], records[0][2]
