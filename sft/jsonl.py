"""Streams in and out: lines with their numbers, files written whole or not at all, hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from sft.errors import EngineError, ProblemsFound, SftError, UsageError
from sft.types import Image, Sample, Text

CHUNK = 1 << 20  # bytes read at a time for hashing
MAX_LINE_BYTES = 64 * 1024 * 1024  # of one row, with its end
MAX_TABLE_BYTES = 16 * 1024 * 1024  # of one JSON table of a model directory; the largest index has 1 MB
RIGHTS, SPACE = (errno.EACCES, errno.EPERM, errno.EROFS), (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # why a disk refuses
_decoder = msgspec.json.Decoder(Sample)


def decode(line: bytes) -> Sample:
    """One JSONL row → `Sample`. Raises `msgspec.MsgspecError` where the row breaks the schema's structure."""
    return _decoder.decode(line)


def encode(sample: Sample) -> bytes:
    """One `Sample` → its JSONL row, UTF-8, without the newline."""
    return msgspec.json.encode(sample)


def ocr_sample(image_url: str, prompt: str, ref: str) -> Sample:
    """The commonest sample: one image, one prompt, one answer."""
    return Sample(text_info=(Text(prompt, "mask"), Text(ref, "no_mask")), image_info=(Image(image_url),))


def read_samples(path: Path) -> Iterator[tuple[int, Sample]]:
    """(line number from 1, sample) of a file that has passed `sft validate`; a bad row raises with its line."""
    with open_input(path) as stream:
        for number, line, too_long in bounded_lines(stream):
            try:
                if too_long:
                    raise ValueError(f"more than {MAX_LINE_BYTES:,} bytes in one line")
                yield number, decode(line)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise ProblemsFound(f"not a sample: {error}", where=f"{path}:{number}", hint=f"run `sft validate {path}`") from error


def bounded_lines(stream: IO[bytes], *, rest: Callable[[bytes], object] = len) -> Iterator[tuple[int, bytes, bool]]:
    """(number from 1, line with its end, too long?) of every line, with never more than MAX_LINE_BYTES + 1 of one in memory.

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


@contextmanager
def open_input(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that a user named; what can be wrong with the name is said in words."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever, a device never end
            raise UsageError("this is not a file", where=str(path), hint="give a file, not a folder, a pipe or a device")
        stream = path.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read this file ({error.strerror})", where=str(path), hint=_neighbour_hint(path, error)) from error
    with stream:
        yield stream


def _neighbour_hint(path: Path, error: OSError) -> str:
    from difflib import get_close_matches

    if error.errno in RIGHTS:
        return "it is there, but you may not read it: `ls -l` shows whose it is"
    with suppress(OSError):
        names = [entry.name for entry in path.parent.iterdir() if entry.name != path.name]
        close = get_close_matches(path.name, names, n=1)
        if close:
            return f"did you mean {path.parent / close[0]} ?"
    return "check the path; relative paths count from the current directory"


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A binary stream that becomes `path` only when everything is written and on disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def new_folder_beside(out: Path) -> Path:
    """An empty folder with a temporary name beside `out`, to be renamed to it; those that killed processes left are removed."""
    for stale in out.parent.glob(f".{out.name}.*.tmp"):
        pid = stale.name.rsplit(".", 2)[1]
        if not pid.isdigit() or int(pid) == os.getpid() or not Path(f"/proc/{pid}").exists():
            shutil.rmtree(stale, ignore_errors=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    return temporary


def disk_error(error: OSError, path: Path) -> SftError:
    """An OSError while writing, as a sentence."""
    if error.errno in RIGHTS:
        hint = "you may not write there: give another folder, or get the rights for this one, and run the same command again"
    elif error.errno in SPACE:
        hint = "free space on that disk, or give another folder, and run the same command again"
    else:
        hint = "check this path and its disk, or give another folder, and run the same command again"
    return EngineError(f"writing failed ({error.strerror or error})", where=str(path), hint=hint)


def write_json(path: Path, value: Any) -> None:
    """Pretty JSON, written whole or not at all."""
    try:
        text = json.dumps(value, ensure_ascii=False, indent=2).encode()
    except (RecursionError, UnicodeEncodeError) as error:  # what a stranger's table may hold
        raise ProblemsFound(f"this cannot be written as JSON: {error}", where=str(path), hint="the table it comes from is nested too deeply or holds half of a character") from error
    with atomic_write(path) as stream:
        stream.write(text + b"\n")


def read_json(path: Path) -> Any:
    """JSON that the workbench or a trainer wrote."""
    with open_input(path) as stream:
        try:
            return json.load(stream)
        except (ValueError, RecursionError) as error:
            raise ProblemsFound(f"not JSON: {error}", where=str(path)) from error


def read_bounded(path: Path, *, max_bytes: int) -> bytes:
    """A small file of a stranger's model directory; ProblemsFound where it is none, no regular file, or larger."""
    try:
        with open_input(path) as stream:
            content = stream.read(max_bytes + 1)
    except UsageError as error:
        raise ProblemsFound(error.message, where=error.where, hint=error.hint) from error
    except OSError as error:
        raise ProblemsFound(f"cannot read this file ({error.strerror})", where=str(path)) from error
    if len(content) > max_bytes:
        raise ProblemsFound(f"more than {max_bytes:,} bytes", where=str(path), hint="this is not the file it should be; get the model directory again")
    return content


def read_table(path: Path, *, max_bytes: int = MAX_TABLE_BYTES) -> dict[str, Any]:
    """A JSON object of a stranger's model directory; ProblemsFound where it is anything else."""
    try:
        value = json.loads(read_bounded(path, max_bytes=max_bytes))
    except (ValueError, RecursionError) as error:
        raise ProblemsFound(f"not JSON: {error}", where=str(path)) from error
    if not isinstance(value, dict):
        raise ProblemsFound("not a table of names and values", where=str(path), hint="get the model directory again")
    return value


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with open_input(path) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
