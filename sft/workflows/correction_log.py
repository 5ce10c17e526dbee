"""Corrections as a log beside the set: one JSON object a line, only ever appended to.

{"line": 7, "row": "<hash of the line>", "text": "the right text"}, or {"line": 7, "row": "…", "undo": true}, which
takes back the last correction of that row. A line is confirmed once it is on disk; a process that is killed leaves at
most half a line at the end, which nobody was told of.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sft.errors import ProblemsFound, UsageError

SUFFIX = ".jsonl"
LONGEST_ENTRY = 4 * 1024 * 1024  # bytes of one line
BEGIN = b'{"line":'  # how every line that `append` writes begins


class Entry(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One line of the log. Exactly one of `text` (new label; "###" drops the row) and `undo` is given."""

    line: int
    row: str
    text: str | None = None
    undo: bool = False


def append(path: Path, entry: Entry) -> None:
    """Add a line and return only when it is on disk. Two processes may append to one file.

    UsageError: the file is a link or no file. ProblemsFound: the entry is too long or says neither or both.
    """
    _check(entry, str(path))
    content = msgspec.json.encode(entry) + b"\n"
    if len(content) > LONGEST_ENTRY:
        raise ProblemsFound(f"a correction of {len(content):,} bytes, at most {LONGEST_ENTRY:,}", where=str(path))
    is_new = not path.exists()
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise UsageError(f"cannot write corrections here ({error.strerror})", where=str(path)) from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UsageError("this is not a file", where=str(path))
        fcntl.flock(handle, fcntl.LOCK_EX)
        _mend(handle, path)
        _write_all(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)
    if is_new:
        _sync_folder(path.parent)


def read(content: bytes, where: str) -> Iterator[tuple[int, Entry]]:
    """(number of its line in the log, the correction that stands) for each row, after all undoing.

    ProblemsFound: a whole line that is no entry, or an undo of nothing.
    """
    standing: dict[tuple[int, str], list[tuple[int, Entry]]] = {}
    lines = content.split(b"\n")
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        place = f"{where}:{number}"
        entry = _decode(text)
        if entry is None:
            if number == len(lines):  # no line end: the writer was killed before it confirmed this one
                break
            raise ProblemsFound("not a correction", where=place, hint='{"line": 1, "row": "HASH", "text": "LABEL"}')
        _check(entry, place)
        several = standing.setdefault((entry.line, entry.row), [])
        if not entry.undo:
            several.append((number, entry))
        elif several:
            several.pop()
        else:
            raise ProblemsFound(f"nothing to undo for line {entry.line}", where=place)
    for several in standing.values():
        yield from several[-1:]


def _decode(text: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(text, type=Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _check(entry: Entry, where: str) -> None:
    if entry.undo == (entry.text is not None):
        raise ProblemsFound("a correction has either a text or undo", where=where)


def _mend(handle: int, path: Path) -> None:
    """End a last line that has no line end: one that is whole is kept, half of one is taken away.

    UsageError: the file does not begin as a log does (a set, perhaps), or its last line was begun by something else.
    """
    size = os.fstat(handle).st_size
    head = os.pread(handle, 2 * len(BEGIN), 0).replace(b" ", b"")[: len(BEGIN)]
    if not BEGIN.startswith(head):
        raise UsageError("this is no log of corrections", where=str(path), hint="give one, or a name that is new")
    begin = max(0, size - LONGEST_ENTRY)
    tail = os.pread(handle, size - begin, begin)
    last = tail.rpartition(b"\n")[2]
    if not last:
        return
    if _decode(last) is not None:
        _write_all(handle, b"\n")
    elif last.startswith(BEGIN[: len(last)]):
        os.ftruncate(handle, size - len(last))
    else:
        raise UsageError("the last line is no correction", where=str(path), hint="mend it by hand")


def _write_all(handle: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _sync_folder(folder: Path) -> None:
    """A new name is on disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
