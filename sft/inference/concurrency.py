"""How many requests a server is asked at once: additive increase, multiplicative decrease, as TCP finds its rate.

Nobody knows what a server bears: a rehearsal on two cores is full with eight, a large card with paging serves two
hundred. A round (as many answers as are allowed at once) that goes well allows one more, half as many again until the
first sign of trouble. A reply "no room" or a time-out halves. A round whose median latency is more than PATIENT times
the best median seen allows no more, more than STRAINED times takes a quarter away, but not below the start. Latency is
per character of the
answer: a large table is slow however few are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

START = 8
MOST = 256
PATIENT, STRAINED = 2.0, 4.0  # median of a round / the best median
SHORT = 40  # characters; reading the image takes as long as writing so many, roughly


@dataclass
class AdaptiveConcurrency:
    """`start`: requests at first, `most`: the upper bound. Times are seconds of any one clock."""

    start: int = START
    most: int = MOST
    value: float = 0.0
    climbing: bool = True
    _round: list[float] = field(default_factory=list)
    _best: float | None = None
    _cut: float = float("-inf")  # when it was lowered last

    def __post_init__(self) -> None:
        self.start = max(1, min(self.start, self.most))
        self.value = float(self.start)

    @property
    def allowed(self) -> int:
        """Requests that may be in flight, at least 1."""
        return max(1, int(self.value))

    def answered(self, seconds: float, *, full: bool, length: int = 0) -> None:
        """An answer of so many characters came after so many seconds; `full`: as many as allowed were in flight, so
        that the limit was felt.
        """
        self._round.append(seconds / (SHORT + length))
        if len(self._round) < self.allowed:
            return
        felt = median(self._round)
        self._round.clear()
        self._best = felt if self._best is None else min(felt, self._best)
        if felt > STRAINED * self._best:
            self.climbing = False
            self.value = max(
                min(self.value, float(self.start)),
                self.value * 0.75,
            )
        elif felt > PATIENT * self._best:
            self.climbing = False
        elif full:
            self.value = min(
                float(self.most),
                self.value * 1.5 if self.climbing else self.value + 1,
            )

    def overloaded(self, *, sent: float, now: float) -> None:
        """A request sent at `sent` was refused or timed out. Those sent before the last cut say nothing new."""
        if sent < self._cut:
            return
        self.climbing = False
        self.value = max(1.0, self.value / 2)
        self._cut = now
        self._round.clear()
