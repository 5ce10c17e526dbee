"""One function over many shards: in this process, on all cores, or on a Ray cluster; results come back in order.

Workers of this machine are fresh Python processes (spawn). They ignore Ctrl-C, which is their parent's to act on, and
end at once when the parent dies of whatever, SIGKILL included. A worker that is killed ends the run with an
EngineError; what the function wrote to disk until then stays, so a verb that skips finished shards goes on from there.

On Ray the shards are tasks that are run again elsewhere when their node dies. Function and files must be the same
everywhere: the package installed on every node, inputs and outputs on a file system that all nodes share.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from multiprocessing import connection, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from sft.errors import EngineError
from sft.runtime.runner import AHEAD, Runner, UnitOutcome, guarded

P = TypeVar("P")
R = TypeVar("R")
JOIN_SECONDS = (
    60.0  # for the exit code of a worker whose pipe has closed: it is there at once, unless the machine has no time
)


def run(function: Callable[[P], R], shards: Iterable[P], runner: Runner) -> Iterator[R]:
    """`function(shard)` for every shard, in the order of the shards. Function, shards and results must be picklable and
    small.

    An error of the function is raised here, after the results before it. EngineError where a worker was killed.
    """
    if runner.kind == "ray":
        from sft.runtime.ray_cluster import run_on_ray

        yield from run_on_ray(function, shards, runner)
        return
    feed = iter(shards)
    first = list(islice(feed, 2))
    if runner.width == 1 or len(first) < 2:  # processes would only cost time
        yield from map(function, chain(first, feed))
        return
    yield from _Pool(function, chain(first, feed), runner.width).results()


def _serve(pipe: Connection, function: Callable[[Any], Any]) -> None:
    """A worker: answers shards until its pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            index, shard = pipe.recv()
            pipe.send((index, guarded(function, shard)))


def _end_with(sentinel: int) -> None:
    """Wait for the parent's death; nothing here may outlive it."""
    connection.wait([sentinel])
    os._exit(1)


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection


@dataclass
class _Pool:
    """Workers, and the results that came before their turn."""

    function: Callable[[Any], Any]
    shards: Iterator[Any]
    width: int
    workers: list[_Worker] = field(default_factory=list)
    idle: list[_Worker] = field(default_factory=list)
    early: dict[int, UnitOutcome] = field(default_factory=dict)
    given: int = 0
    taken: int = 0
    more: bool = True

    def results(self) -> Iterator[Any]:
        """In order; leaving early, for whatever reason, ends the workers at once."""
        try:
            while self.more and len(self.workers) < self.width:
                self._start()
            while self.early or self.taken < self.given:
                while self.taken in self.early:
                    result, error = self.early.pop(self.taken)
                    if error is not None:
                        raise error
                    self.taken += 1
                    yield result
                self._wake()
                if self.taken < self.given and self.taken not in self.early:
                    self._collect()
        finally:
            self._end()

    def _start(self) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve,
            args=(theirs, self.function),
            daemon=True,
        )
        # Ctrl-C goes to the whole group: a worker that is only starting would print a traceback. It inherits the
        # blocked signal, and never needs it: the parent ends its workers.
        resource_tracker.ensure_running()  # here, since its own start would unblock the signal again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self.workers.append(_Worker(process, ours))
        self.idle.append(self.workers[-1])
        self._wake()

    def _wake(self) -> None:
        """Hand out shards, but not far beyond the first missing result: what is ahead of it waits in memory."""
        while self.idle and self.more and self.given < self.taken + AHEAD * self.width:
            try:
                shard = next(self.shards)
            except StopIteration:
                self.more = False
                return
            worker = self.idle.pop()
            with suppress(OSError):  # it was killed; _collect says so
                worker.pipe.send((self.given, shard))
            self.given += 1

    def _collect(self) -> None:
        for pipe in connection.wait([worker.pipe for worker in self.workers]):
            worker = next(worker for worker in self.workers if worker.pipe is pipe)
            try:
                index, outcome = worker.pipe.recv()
            except (EOFError, OSError) as error:
                worker.process.join(JOIN_SECONDS)
                raise _killed(worker.process.exitcode) from error
            self.early[index] = outcome
            self.idle.append(worker)
        self._wake()

    def _end(self) -> None:
        for worker in self.workers:
            if self.taken < self.given or self.more:
                worker.process.kill()
            worker.pipe.close()
        for worker in self.workers:
            worker.process.join()


def _killed(code: int | None) -> EngineError:
    name = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
    return EngineError(
        f"a worker process was killed ({name})",
        hint="out of memory? run the same command to resume; --workers 1 needs the least memory",
    )
