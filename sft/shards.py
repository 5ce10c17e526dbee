"""One function over many shards: on this process, on all cores, or on a Ray cluster; results come back in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Literal, TypeVar

from sft.errors import EngineError

P = TypeVar("P")
R = TypeVar("R")
AHEAD = 2  # shards per worker that are handed out before the first result is taken


@dataclass(frozen=True)
class Runner:
    """Where shards run. `workers` 0: one per core. `address`: of a Ray cluster, "" for one that is started here."""

    kind: Literal["local", "ray"] = "local"
    workers: int = 0
    address: str = ""

    @property
    def width(self) -> int:
        """Processes on this machine."""
        return self.workers or len(os.sched_getaffinity(0))


def run(function: Callable[[P], R], shards: Iterable[P], runner: Runner) -> Iterator[R]:
    """`function(shard)` for every shard, in the order of the shards. Function, shards and results must be picklable and small."""
    if runner.width == 1:
        yield from map(function, shards)
        return
    waiting: deque[Future[R]] = deque()
    try:
        with ProcessPoolExecutor(runner.width, mp_context=get_context("spawn")) as pool:
            for shard in shards:
                waiting.append(pool.submit(function, shard))
                if len(waiting) >= AHEAD * runner.width:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise EngineError("a worker process was killed", hint="out of memory? run the same command again, it goes on from here; --workers 1 needs the least") from error
