"""The folder in which the finished pieces of an unfinished output wait, so that a killed command can go on.

    .train.jsonl.work/lock           held (flock) by the one process that may write train.jsonl
    .train.jsonl.work/fingerprint    of the inputs and options whose pieces these are
    .train.jsonl.work/00000012.rows  a piece; a name without `.tmp` at its end is whole

Every file appears under its name only when it is whole, and OUT itself is assembled here and renamed into place: a
SIGKILL leaves either the old output or the new one, and nothing beside it but this folder, which the next run uses.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from sft.errors import UsageError
from sft.files.atomic import disk_error, write

KEPT = ("lock", "fingerprint")
REMOVE_TRIES = 50  # of 0.1 s: a worker whose parent was killed may still be writing its last file


def folder_of(out: Path) -> Path:
    """Where the pieces of `out` wait."""
    return out.with_name(f".{out.name}.work")


class StagingFolder:
    """A context manager around the work folder of one output; entering takes the lock and drops pieces of another
    fingerprint.

    `resumed`: pieces of the same fingerprint were there. UsageError where another process holds the lock.
    """

    def __init__(self, out: Path, fingerprint: str, *, fresh: bool = False) -> None:
        self.out, self.folder = out, folder_of(out)
        self.resumed = False
        self._fingerprint, self._fresh = fingerprint, fresh
        self._lock = -1

    def __enter__(self) -> StagingFolder:
        try:
            self._lock = _take(self.folder / "lock", self.out)
            self._prepare()
        except OSError as error:
            self._release()
            raise disk_error(error, self.folder) from error
        return self

    def _prepare(self) -> None:
        mark = self.folder / "fingerprint"
        same = mark.is_file() and mark.read_text("utf-8") == self._fingerprint
        if not same or self._fresh:
            mark.unlink(missing_ok=True)
            for entry in self.folder.iterdir():
                if entry.name != "lock":
                    _remove(entry)
            write(mark, self._fingerprint.encode())
        self.resumed = any(entry.name not in KEPT for entry in self.folder.iterdir())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            if all(entry.name in KEPT for entry in self.folder.iterdir()):  # nothing in it is worth keeping
                self.clear()
        self._release()

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def path(self, name: str) -> Path:
        """A file of this folder."""
        return self.folder / name

    def move(self, name: str, target: Path) -> None:
        """Rename a whole file of this folder to `target`, which it replaces."""
        try:
            os.replace(self.folder / name, target)
        except OSError as error:
            raise disk_error(error, target) from error

    def move_lines(self, name: str, out: Path, lines: int) -> bool:
        """`move` of a file of `lines` lines; where it has none, what is left at `out` of an earlier run goes. True if
        there is a file now.
        """
        if lines:
            self.move(name, out)
        else:
            out.unlink(missing_ok=True)
        return lines > 0

    def clear(self) -> None:
        """The output is complete: remove the folder, while the lock is held."""
        _remove(self.folder)


def _take(lock: Path, out: Path) -> int:
    """An open, locked descriptor of `lock`; again where the folder was removed by its last owner in between."""
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(
                lock,
                os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
                0o666,
            )
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(
                    os.stat(lock),
                    os.fstat(descriptor),
                ):
                    return descriptor
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise UsageError(
                    "another process is writing this file", where=str(out), hint="wait for it, or give another -o"
                ) from error
            raise
        os.close(descriptor)


def _remove(entry: Path) -> None:
    if entry.is_symlink() or not entry.is_dir():
        entry.unlink(missing_ok=True)
        return
    for _ in range(REMOVE_TRIES):
        shutil.rmtree(entry, ignore_errors=True)
        if not entry.exists():
            return
        time.sleep(0.1)
    shutil.rmtree(entry)
