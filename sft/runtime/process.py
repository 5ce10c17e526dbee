"""Starts the processes of other environments, watches what they print, and never leaves one behind."""

from __future__ import annotations

import ctypes
import io
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from sft.errors import EngineError
from sft.files import disk_error
from sft.runtime import container

SUPERVISOR = Path(__file__).parent / "workers" / "supervisor.py"
# the supervisor itself needs up to ten, on a busy machine more; ended before it has done its work, it leaves processes
# behind
STOP_SECONDS = 60.0
TAIL_LINES = 400
PR_SET_PDEATHSIG = 1
# Set by launchers and schedulers, read by Paddle's launcher, and overriding what the command says.
FORGET = (
    "NNODES",
    "RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "PADDLE_RANK",
    "PADDLE_LOG_DIR",
    "PADDLE_LOG_OVERWRITE",
    "PADDLE_DEVICES",
    "PADDLE_NPROC_PER_NODE",
    "PDC_INIT_STEP",
    "FLAG_LLM_PDC",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "PYTHONHOME",
)


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The inherited variables without those that would silently change what the command does, plus `extra`."""
    return {
        **{key: value for key, value in os.environ.items() if key not in FORGET},
        **extra,
    }


def shell_line(command: list[str], env: Mapping[str, str]) -> str:
    """The command as a person would type it."""
    return " ".join(
        [
            *(f"{key}={shlex.quote(value)}" for key, value in env.items()),
            shlex.join(command),
        ]
    )


@dataclass
class Process:
    """A running command under a supervisor; its output goes to `log` line by line and to `on_line`.

    A context manager: leaving it ends the command.
    """

    command: list[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    _popen: subprocess.Popen[bytes] | None = None
    _log: IO[bytes] = field(default_factory=io.BytesIO)
    _lines: queue.Queue[str | None] = field(default_factory=queue.Queue)
    _reader: threading.Thread | None = None

    def __enter__(self) -> Process:
        try:  # here, where the error can be raised: a reader without a log would let the command block on a full pipe
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self._log = self.log.open("ab", buffering=0)
        except OSError as error:
            raise disk_error(error, self.log) from error
        self._popen = subprocess.Popen(
            [sys.executable, str(SUPERVISOR), "--", *self.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean_environment(self.env),
            cwd=self.cwd,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _read(self) -> None:
        """Copies the output into the log; a full disk ends the copy, not the reading."""
        popen = self._popen
        if popen is None or popen.stdout is None:
            return
        with self._log as log:
            for raw in iter(popen.stdout.readline, b""):
                with suppress(OSError):
                    log.write(raw)
                self._lines.put(raw.decode("utf-8", "replace"))
        self._lines.put(None)

    @property
    def running(self) -> bool:
        """Whether the command has not ended yet."""
        return self._popen is not None and self._popen.poll() is None

    def lines(self, wait: float) -> list[str] | None:
        """The lines printed since the last call, after waiting up to `wait` seconds for one; None after the last."""
        collected: list[str] = []
        with suppress(queue.Empty):
            item = self._lines.get(timeout=wait)
            while True:
                if item is None:
                    self._lines.put(None)
                    return collected or None
                collected.append(item)
                item = self._lines.get_nowait()
        return collected

    def wait(self, on_line: Callable[[str], None] | None = None, on_idle: Callable[[], None] | None = None) -> int:
        """Read to the end; returns the exit code, 128 + n for signal n. Ctrl-C ends the command and is passed on.

        on_idle: called when nothing was printed for 0.2 s.
        """
        while (batch := self.lines(0.2)) is not None:
            for line in batch:
                if on_line:
                    on_line(line)
            if on_idle and not batch:
                on_idle()
        return self.exit_code()

    def exit_code(self) -> int:
        """The exit code of an ended command; its last words are in the log then."""
        if self._popen is None:
            raise EngineError("the process was never started")
        code = self._popen.wait()
        self._finish_reading()
        return code

    def _finish_reading(self) -> None:
        """Wait for the end of the output, which comes with the end of the last process that could write."""
        if self._reader:
            self._reader.join(timeout=STOP_SECONDS)

    def stop(self) -> None:
        """End the command and everything it started; returns when all are gone."""
        popen = self._popen
        if popen is None:
            return
        if popen.stdin:
            with suppress(OSError):
                popen.stdin.close()
        deadline = time.monotonic() + STOP_SECONDS
        while popen.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if popen.poll() is None:
            popen.kill()
        popen.wait()
        self._finish_reading()
        if popen.stdout and not (self._reader and self._reader.is_alive()):
            popen.stdout.close()


def tail(log: Path, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a log; an unreadable one has none."""
    with suppress(OSError), log.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - lines * 400))
        return stream.read().decode("utf-8", "replace").splitlines()[-lines:]
    return []


def stop_container(name: str) -> None:
    """End a container that may still run; one that is gone already is fine."""
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            container.stop_command(name),
            capture_output=True,
            timeout=container.STOP_SECONDS + STOP_SECONDS,
            check=False,
        )


def _die_with_parent() -> None:
    """In the child, before it becomes the worker: no worker outlives the workbench (Linux; elsewhere nothing
    happens).
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run_json(
    command: list[str], *, log: Path, stdin: bytes = b"", env: Mapping[str, str] | None = None, what: str
) -> list[str]:
    """Run a short worker to its end; returns the lines of its stdout. Its stderr goes to `log`; failure is an
    EngineError.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as errors:
        try:
            done = subprocess.run(
                command,
                input=stdin,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=clean_environment(env or {}),
                check=False,
                preexec_fn=_die_with_parent,
            )
        except OSError as error:
            raise EngineError(f"{what}: cannot start {command[0]} ({error.strerror})") from error
    if done.returncode:
        last = "\n  ".join(tail(log, 8))
        raise EngineError(
            f"{what} failed with exit code {done.returncode}:\n  {last}",
            where=str(log),
            hint="see the log for details",
        )
    return done.stdout.decode("utf-8", "replace").splitlines()
