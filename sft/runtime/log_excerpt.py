"""The lines of a program's log that say why it stopped."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_NOISE = ("UserWarning", "warnings.warn", "[DEBUG]", "DataLoad global_step")
_TRACEBACK = "Traceback (most recent call last)"
_DEATH = re.compile(
    r"\b(Killed|Aborted|Segmentation fault|No space left|Out of memory)\b", re.IGNORECASE
)  # no traceback comes after these
_ERROR = re.compile(
    r"(Error|Exception|error\(|Killed|Aborted|Segmentation|signal|No space left|Out of memory|LossNan|LossInf)",
    re.IGNORECASE,
)


def plain(line: str) -> str:
    """A log line without colour codes."""
    return _ANSI.sub("", line).rstrip("\n")


def last_errors(lines: Iterable[str], *, keep: int = 12) -> list[str]:
    """A log as a person would quote it: its last traceback, else the lines around its last error, without the noise."""
    tail = deque((plain(line) for line in lines), maxlen=400)
    useful = [line for line in tail if line.strip() and not any(noise in line for noise in _NOISE)]
    begin = max(
        (number for number, line in enumerate(useful) if _TRACEBACK in line),
        default=None,
    )
    if begin is not None and not any(_DEATH.search(line) for line in useful[begin:]):
        end = next(
            (number for number in range(begin + 1, len(useful)) if not useful[number].startswith((" ", "\t"))),
            len(useful),
        )
        return useful[begin : end + 1 + keep // 3][-keep:]  # some lines more: Paddle's messages have several
    errors = [number for number, line in enumerate(useful) if _ERROR.search(line)]
    return useful[max(errors[-1] - keep // 2, 0) :][:keep] if errors else useful[-keep:]
