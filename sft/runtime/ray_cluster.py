"""Shards as tasks of a Ray cluster; see `sft.runtime.parallel`."""

from __future__ import annotations

import io
import logging
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO, cast

from sft.errors import EngineError, UsageError
from sft.runtime.runner import AHEAD, RAY_RETRIES, Runner, guarded, need_ray

LISTENER = "ray_listen_error_messages"  # Ray's thread that prints the log of a dead node to stdout
CONNECT_SECONDS = 10.0


def run_on_ray(function: Callable[[Any], Any], shards: Iterable[Any], runner: Runner) -> Iterator[Any]:
    """As `sft.runtime.parallel.run`, on the cluster at `runner.address`, or on one that is started here and ended with
    the last result.

    A shard whose node or process dies is run again, up to RAY_RETRIES times; then it is an EngineError.
    """
    ray = need_ray()
    own = not ray.is_initialized()
    if own:
        _connect(ray, runner)
    waiting: deque[Any] = deque()
    with _clean_stdout():
        try:
            yield from _results(ray, function, shards, waiting)
        finally:
            for reference in waiting:
                with suppress(Exception):  # the cluster may be gone
                    ray.cancel(reference, force=True)
            if own:
                with redirect_stdout(io.StringIO()):  # what it repeats at the end
                    ray.shutdown()


def _results(ray: Any, function: Callable[[Any], Any], shards: Iterable[Any], waiting: deque[Any]) -> Iterator[Any]:
    task = ray.remote(num_cpus=1, max_retries=RAY_RETRIES)(guarded)
    for shard in shards:
        waiting.append(task.remote(function, shard))
        if len(waiting) >= AHEAD * _width(ray):
            yield _result(ray, waiting.popleft())
    while waiting:
        yield _result(ray, waiting.popleft())


class _Filter:
    """A stream that lets everything pass but what one thread prints."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if threading.current_thread().name == LISTENER else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _clean_stdout() -> Iterator[None]:
    """stdout is for data; that a node died is no news to the user, since its shards run again elsewhere."""
    stream = sys.stdout
    sys.stdout = cast(TextIO, _Filter(stream))
    try:
        yield
    finally:
        sys.stdout = stream


def _connect(ray: Any, runner: Runner) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if runner.address:
            _knock(runner.address)
            ray.init(address=runner.address, **quiet)
        else:
            ray.init(address="local", num_cpus=runner.width, include_dashboard=False, **quiet)
    except (OSError, ValueError, RuntimeError, OverflowError) as error:
        where = runner.address or "this machine"
        hint = "`ray status --address HOST:PORT` must answer; Ray and Python must be of the same version everywhere"
        raise EngineError(
            f"no Ray cluster answers at {where}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            hint=hint,
        ) from error


def _knock(address: str) -> None:
    """OSError where nobody listens; Ray itself would try for five minutes."""
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection(
            (host.strip("[]"), int(port)),
            CONNECT_SECONDS,
        ).close()


def _width(ray: Any) -> int:
    """CPUs of the cluster as it is now: nodes come and go."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _result(ray: Any, reference: Any) -> Any:
    try:
        result, error = ray.get(reference)
    except ray.exceptions.RayTaskError as problem:  # the function itself never raises: it could not be loaded there
        hint = (
            "the package must be installed, in the same version, on every node; inputs and outputs on a file system"
            " that all share"
        )
        raise UsageError(
            f"a node cannot run this: {str(problem).strip().splitlines()[-1]}",
            hint=hint,
        ) from problem
    except ray.exceptions.RayError as problem:
        raise EngineError(
            f"the cluster lost a shard: {str(problem).splitlines()[0]}", hint="run the same command to resume"
        ) from problem
    if error is not None:
        raise error
    return result
