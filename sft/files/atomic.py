"""Files read with bounds and written whole or not at all: a temporary name, then a rename."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sft.errors import EngineError, ProblemsFound, SftError, UsageError

CHUNK = 1 << 20  # bytes read at a time for hashing
MAX_TABLE_BYTES = 16 * 1024 * 1024  # of one JSON table of a model directory; the largest index has 1 MB
RIGHTS, SPACE = (
    (errno.EACCES, errno.EPERM, errno.EROFS),
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
)  # why a disk refuses


@contextmanager
def open_input(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that a user named; what can be wrong with the name is said in words."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever, a device never end
            raise UsageError(
                "this is not a file", where=str(path), hint="give a file, not a folder, a pipe or a device"
            )
        stream = path.open("rb")
    except OSError as error:
        raise UsageError(
            f"cannot read this file ({error.strerror})", where=str(path), hint=_neighbour_hint(path, error)
        ) from error
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
    """An empty folder with a temporary name beside `out`, to be renamed to it; those that killed processes left are
    removed.
    """
    for stale in out.parent.glob(f".{out.name}.*.tmp"):
        pid = stale.name.rsplit(".", 2)[1]
        if not pid.isdigit() or int(pid) == os.getpid() or not Path(f"/proc/{pid}").exists():
            shutil.rmtree(stale, ignore_errors=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    return temporary


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """An empty folder that becomes `out` when the block ends without an error, and is gone otherwise.

    UsageError where `out` exists, EngineError where the disk refuses.
    """
    if out.exists():
        raise UsageError("this path already exists", where=str(out), hint="give a new directory, or remove the old one")
    try:
        temporary = new_folder_beside(out)
    except OSError as error:
        raise disk_error(error, out) from error
    try:
        yield temporary
        os.replace(temporary, out)
    except OSError as error:
        raise disk_error(error, out) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def disk_error(error: OSError, path: Path) -> SftError:
    """An OSError while writing, as a sentence."""
    if error.errno in RIGHTS:
        hint = (
            "you may not write there: give another folder, or get the rights for this one, and run the same command"
            " again"
        )
    elif error.errno in SPACE:
        hint = "free space on that disk, or give another folder, and run the same command again"
    else:
        hint = "check this path and its disk, or give another folder, and run the same command again"
    return EngineError(
        f"writing failed ({error.strerror or error})",
        where=str(path),
        hint=hint,
    )


def write_json(path: Path, value: Any) -> None:
    """Pretty JSON, written whole or not at all."""
    try:
        text = json.dumps(value, ensure_ascii=False, indent=2).encode()
    except (RecursionError, UnicodeEncodeError) as error:  # what an untrusted table may hold
        raise ProblemsFound(
            f"this cannot be written as JSON: {error}",
            where=str(path),
            hint="its source is nested too deeply or contains half of a character",
        ) from error
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
    """A small file of an untrusted model directory; ProblemsFound where it is none, not a regular file, or larger."""
    try:
        with open_input(path) as stream:
            content = stream.read(max_bytes + 1)
    except UsageError as error:
        raise ProblemsFound(error.message, where=error.where, hint=error.hint) from error
    except OSError as error:
        raise ProblemsFound(f"cannot read this file ({error.strerror})", where=str(path)) from error
    if len(content) > max_bytes:
        raise ProblemsFound(
            f"more than {max_bytes:,} bytes",
            where=str(path),
            hint="this is not the expected file; download the model directory again",
        )
    return content


def read_table(path: Path, *, max_bytes: int = MAX_TABLE_BYTES) -> dict[str, Any]:
    """A JSON object of an untrusted model directory; ProblemsFound where it is anything else."""
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


def data_fingerprint(rows: str, images: Iterable[str]) -> str:
    """One hash for a set: of the hash of its rows and of those of their images, all in hexadecimal digits, in order."""
    digest = hashlib.sha256(rows.encode())
    for image in images:
        digest.update(image.encode())
    return digest.hexdigest()


@contextmanager
def piece(path: Path, *, scratch: Path | None = None) -> Iterator[IO[bytes]]:
    """A stream that becomes `path` when the block ends without an error. Safe between machines: last one wins, whole.

    `scratch`: the folder (of the same file system) in which it waits until then; the folder of `path` otherwise.
    """
    temporary = (scratch or path.parent) / f"{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("wb") as stream:
            yield stream
        os.replace(temporary, path)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


_TOKEN = uuid.uuid4().hex  # of this process; a copy of it that was forked has another id
_numbers = itertools.count()


def write(path: Path | str, content: bytes, *, scratch: Path | str | None = None) -> None:
    """A small file, whole or not at all; as `piece`, with as few calls of the system as it takes."""
    folder, name = os.path.split(path)
    temporary = f"{scratch or folder or '.'}/{name}.{_TOKEN}-{os.getpid()}-{next(_numbers)}.tmp"
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            written = os.write(handle, content)
            while written < len(content):  # one call writes at most 2 GiB, and less to a disk that is nearly full
                written += os.write(handle, memoryview(content)[written:])
        finally:
            os.close(handle)
        os.replace(temporary, path)
    except BaseException as error:  # after an interrupt, too, nothing is left behind
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise disk_error(error, Path(path)) from error
        raise


def join(target: Path, parts: Iterable[Path]) -> int:
    """Copy the parts one after the other into `target` and bring it to disk; returns how many lines it has."""
    lines = 0
    with piece(target) as stream:
        for part in parts:
            with part.open("rb") as source:
                while chunk := source.read(1 << 20):
                    lines += chunk.count(b"\n")
                    stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())
    return lines
