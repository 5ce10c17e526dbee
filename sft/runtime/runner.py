"""Where shards run, and a function that gives its error back instead of raising it."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sft.errors import SftError, UsageError

AHEAD = 4  # shards per worker that are handed out beyond the first result that is missing
RAY_RETRIES = 20  # of a shard whose node or process died; then something else is wrong
UnitOutcome = tuple[Any, BaseException | None]


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


def guarded(function: Callable[[Any], Any], shard: Any) -> UnitOutcome:
    """(result, None) or (None, error), the error in a form that survives the way between processes."""
    try:
        return function(shard), None
    except SftError as error:
        return None, error
    except Exception as error:  # whatever it is, the parent must learn of it
        where = "".join(traceback.format_exception(error))
        return None, RuntimeError(f"{type(error).__name__}: {error}\n\nin a worker process:\n{where}")


def need_ray() -> Any:
    """The library; UsageError where it is not installed."""
    for name, value in (("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")):
        os.environ.setdefault(name, value)  # both are read when it is imported
    try:
        import ray
    except ImportError as error:
        raise UsageError("--runner ray needs the library Ray", hint="pip install 'paddleocr-vl-sft[ray]'") from error
    return ray
