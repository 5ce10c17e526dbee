"""Runs a command so that it can never outlive the process that wanted it.

    python supervisor.py -- COMMAND ARG ...        (stdin: a pipe that the parent holds open)

When the pipe closes, because the parent closed it or died of whatever (SIGKILL included), the command and all of its
descendants get SIGTERM, and SIGKILL ten seconds later. The exit code is the command's own, 128 + n for signal n.
Linux: orphans of the command come back here (subreaper), so a server's helpers are ended with it. Standard library
only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
GRACE = 10.0  # seconds between SIGTERM and SIGKILL
POLL = 0.1


def _prctl(option: int, value: int) -> None:
    """Ask the kernel; other systems than Linux have no prctl and do without."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _descendants() -> list[int]:
    """Process ids of all children, their children and so on, read from /proc."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stream:
                    fields = stream.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] != b"Z":
                parents.setdefault(int(fields[1]), []).append(int(name))
    pids: list[int] = []
    queue = [os.getpid()]
    while queue:
        for child in parents.get(queue.pop(), ()):
            pids.append(child)
            queue.append(child)
    return pids


def _signal_all(number: int) -> None:
    for pid in _descendants():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End everything below this process: politely, then not."""
    _signal_all(signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        child.poll()
        _reap(child.pid)
        if not _descendants():
            return
        time.sleep(POLL)
    while _descendants():
        _signal_all(signal.SIGKILL)
        child.poll()
        _reap(child.pid)
        time.sleep(POLL)


def _reap(child: int) -> None:
    """Collect adopted orphans; the direct child is left to `subprocess`, which remembers its exit code."""
    while True:
        try:
            info = os.waitid(
                os.P_ALL,
                0,
                os.WEXITED | os.WNOHANG | os.WNOWAIT,
            )
        except ChildProcessError:
            return
        if info is None or info.si_pid == child:
            return
        os.waitpid(info.si_pid, os.WNOHANG)


def main() -> None:
    """Start the command, wait for its end or for the parent's."""
    command = sys.argv[sys.argv.index("--") + 1 :]
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    stopping: list[bool] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.append(True))
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, preexec_fn=lambda: _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        )
    except OSError as error:
        print(
            f"cannot start {command[0]}: {error.strerror}",
            flush=True,
        )
        sys.exit(127)
    while child.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], POLL)
        if stopping or (readable and not os.read(0, 1)):
            _stop(child)
            break
        _reap(child.pid)
    code = child.wait()
    _stop(child)  # whatever the command left behind
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
