"""Talk to the person at the terminal: everything on stderr, in a form that also reads well in a log file."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from sft.errors import SftError
from sft.types import Progress

_NUMBER = re.compile(r"[-+−]?[0-9.,]+(e[-+]?\d+)?(%| pp)?")
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
LOG_EVERY = 10.0  # seconds between progress lines where stderr is not a terminal

WIDE = 160  # columns where the output is a file or a pipe

err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)


def plain(text: str) -> str:
    """Without characters that move the cursor, ring, or turn the direction of writing: texts may come from an
    untrusted file or server.
    """
    return text if text.isprintable() else _STEERING.sub("\N{REPLACEMENT CHARACTER}", text)


def say(text: str) -> None:
    """One line of talk."""
    err.print(plain(text), markup=False)


def counted(number: int, noun: str) -> str:
    """`1 row`, `1,200 rows`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def report_error(error: SftError) -> None:
    """An error as the user sees it; never a traceback."""
    err.print("error:", style="bold red", end=" ")
    err.print(plain(str(error)), markup=False)


@dataclass
class Stages:
    """The stages of a job with their seconds, announced as they begin."""

    seconds: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce, time, record; also when the stage fails."""
        err.print(f"── {name}", style="bold")
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds.append((name, time.monotonic() - started))


class Follow:
    """A bar with a count and the time left; where stderr is not a terminal, a line every ten seconds."""

    def __init__(self, title: str, total: float, *, unit: str = "") -> None:
        self.title, self.total, self.unit = title, total, unit
        self._live = err.is_terminal
        self._started = self._printed = time.monotonic()
        self._first: float | None = None
        self._done = 0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*columns, console=err, transient=False)
        self._task = self._bar.add_task(title, total=total, note="")

    def __enter__(self) -> Follow:
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bar.stop()

    def update(self, done: float, note: str = "") -> None:
        """Show that `done` of the total is done."""
        if self._live:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if self._first is None:
            self._first = done  # a resumed job does not begin at 0
        if now - self._printed >= LOG_EVERY or done >= self.total:
            self._printed = now
            gained = done - self._first
            left = (now - self._started) / gained * (self.total - done) if gained > 0 else float("nan")
            say(
                f"{self.title} {done:g}/{self.total:g}{self.unit} {note}" + (f", {left:.0f} s left" if left > 0 else "")
            )

    def one(self, _: object = None) -> None:
        """One more is done; takes and ignores an argument, so that it can be handed on as a callback."""
        self._done += 1
        self.update(self._done)

    def step(self, progress: Progress) -> None:
        """A trainer's step line."""
        rate = f", {progress.samples_per_second:.0f} samples/s" if progress.samples_per_second else ""
        self.update(
            progress.step,
            f"loss {progress.loss:.3f}{rate}",
        )


class Phases:
    """Several counts that come one after the other, each with a bar of its own; named as they first report."""

    def __init__(self) -> None:
        self._follow: dict[str, Follow] = {}
        self._open: Follow | None = None

    def __enter__(self) -> Phases:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            self._open.__exit__()

    def update(self, what: str, done: int, total: int | None) -> None:
        """Show that `done` of `total` (None: unknown) of `what` is done."""
        if what not in self._follow:
            if self._open:
                self._open.__exit__()
            self._open = self._follow[what] = Follow(what, total or 0).__enter__()
        self._follow[what].update(done)


def table(title: str, columns: list[str], rows: list[list[str]], *, to: Console = out) -> None:
    """A plain table; columns of numbers stand to the right."""
    if title:
        to.print(title, style="bold", markup=False)
    picture = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        numeric = number > 0 and all(_NUMBER.fullmatch(row[number]) for row in rows)
        picture.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        picture.add_row(*(Text(cell) for cell in row))  # not markup: `\\[` would lose its backslash
    to.print(picture)


def lost(results: dict[str, Any]) -> None:
    """Why answers were lost, and which turns nobody asked for; silent where there is nothing to say."""
    for reason, count in results.get("lost_because", ()):
        say(f"lost: {count} x {reason}")
    if results.get("turns_not_scored"):
        say(f"{results['turns_not_scored']} later turns are not scored: only the first answer of a sample is asked for")


def show_breakdown(rows: list[tuple[str, str, str]], *, to: Console = err) -> None:
    """Derived numbers with their factors, one a line."""
    for name, text, result in rows:
        to.print(
            f"  {name:<20} {text} = {result}",
            markup=False,
        )


def flush() -> None:
    """Before a process of another kind writes to the same terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
