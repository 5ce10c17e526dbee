"""How tests wait and limit: for an event, never for the time that a quiet machine would take to get there.

What is done by the machine's own work is limited in seconds of the processor, which other programs do not use up.
"""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

PATIENCE = 300.0  # seconds; only what hangs takes as long, however much else the machine does
LOOK = 0.02  # seconds between two looks
T = TypeVar("T")


def wait_for(found: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """The first true value of `found()`; AssertionError after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(LOOK)
    return value


def with_one_of(limits: Sequence[float], check: Callable[[float], None]) -> None:
    """Run a check of a time limit with the first limit, and with wider ones only if it fails: a machine that has no
    time may overrun a narrow one.

    A fault fails with all of them.
    """
    for limit in limits[:-1]:
        try:
            check(limit)
        except AssertionError:
            continue
        return
    check(limits[-1])


def work_of(action: Callable[[], object]) -> float:
    """Seconds of the processor that an action takes, with those of the processes that it starts and waits for."""
    before = _worked()
    action()
    return _worked() - before


def _worked() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


class TooLong(BaseException):
    """No Exception: nothing may take it for a problem of the input."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise TooLong in the block when this process has worked for so many seconds in it, whatever the clock says.

    Also a decorator.
    """

    def ring(number: int, frame: object) -> None:
        raise TooLong(f"more than {seconds} s of work")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
