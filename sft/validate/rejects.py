"""The rows with errors, written as one file: `{"file", "line", "codes", "problems", "row"}` a line, in the order of the
rows.

Rows in = good rows + rows in this file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import msgspec

from sft.files import MAX_LINE_BYTES, atomic_write
from sft.types import Problem

SHOWN = 2000  # characters of a row that is no JSON


class Rejects:
    """Writes the rejected rows of one file after the other.

    Findings of single rows come first, in order, then those of the whole set.
    """

    def __init__(self, stream: IO[bytes], *, name_files: bool) -> None:
        self._stream, self._name_files = stream, name_files
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
        for record in _merged(_records(self._rows), _records(self._set)):
            self._stream.write(
                msgspec.json.encode({"file": str(path), **record} if self._name_files else record) + b"\n"
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
def rejects_file(path: Path, *, name_files: bool) -> Iterator[Rejects]:
    """A file of rejected rows that is there when everything is written, or not at all."""
    with atomic_write(path) as stream:
        rejects = Rejects(stream, name_files=name_files)
        try:
            yield rejects
        finally:
            rejects.close()


def _encode(line: int, problems: list[Problem], text: bytes) -> bytes:
    told = [{key: value for key, value in asdict(problem).items() if key != "line"} for problem in problems]
    return (
        msgspec.json.encode(
            {
                "line": line,
                "codes": sorted({problem.code for problem in problems if problem.severity == "error"}),
                "problems": told,
                "row": _row(text),
            }
        )
        + b"\n"
    )


def _row(text: bytes) -> Any:
    """The row as JSON where it is JSON, else (the beginning of) its text."""
    if len(text) <= MAX_LINE_BYTES:
        try:
            msgspec.json.decode(text)
            return msgspec.Raw(text.strip())
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    return text[: SHOWN * 4].decode("utf-8", "backslashreplace").rstrip("\r\n")[:SHOWN]


def _records(spool: IO[bytes]) -> Iterator[dict[str, Any]]:
    spool.seek(0)
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    for line in spool:
        record: dict[str, Any] = dict(decoder.decode(line))
        for key in ("line", "codes", "problems"):
            record[key] = msgspec.json.decode(record[key])
        yield record


def _merged(rows: Iterator[dict[str, Any]], others: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Both in the order of the lines; what both have to say about a row becomes one record."""
    left = next(rows, None)
    right = next(others, None)
    while left or right:
        if left and right and left["line"] == right["line"]:
            yield {
                **left,
                "codes": sorted({*left["codes"], *right["codes"]}),
                "problems": left["problems"] + right["problems"],
            }
            left = next(rows, None)
            right = next(others, None)
        elif left and (not right or left["line"] < right["line"]):
            yield left
            left = next(rows, None)
        elif right:
            yield right
            right = next(others, None)
