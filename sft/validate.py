"""Checks of a whole file: every line once, in order, with its number; errors stop a training, warnings are counted."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from os import cpu_count
from pathlib import Path

from sft.checks import Context, check_line, make
from sft.errors import ProblemsFound
from sft.jsonl import open_input
from sft.types import Problem, Sample

KEPT = 1000  # problems kept in memory with their text; all are counted
CHUNK = 256  # rows handed to the threads at a time
MAX_LINE_BYTES = 64 * 1024 * 1024


@dataclass
class Report:
    """What was found in one file. rows = good + bad; bad are those with at least one error."""

    path: Path
    rows: int = 0
    good: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (severity, code) → how often
    problems: list[Problem] = field(default_factory=list)  # the first KEPT

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(count for (severity, _), count in self.counts.items() if severity == "error")

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return sum(count for (severity, _), count in self.counts.items() if severity == "warning")

    def add(self, problem: Problem) -> None:
        """Count a finding, and keep its text while there is room."""
        self.counts[problem.severity, problem.code] += 1
        if len(self.problems) < KEPT:
            self.problems.append(problem)

    def require_good(self) -> None:
        """Raise where an error was found, with the first of them in full."""
        if not self.errors:
            return
        first = next((problem for problem in self.problems if problem.severity == "error"), None)
        where = f"{self.path}:{first.line}" if first and first.line else str(self.path)
        message = f"[{first.code}] {first.message}" if first else "errors"
        more = f" ({self.errors} errors in all, {self.rows - self.good} of {self.rows} rows)" if self.errors > 1 else ""
        hint = f"{first.hint}; " if first and first.hint else ""
        raise ProblemsFound(f"{message}{more}", where=where, hint=f"{hint}`sft validate {self.path}` lists everything")


def validate(path: Path, context: Context, *, progress: Callable[[int], None] | None = None) -> Report:
    """Read a JSONL file and check every row. `progress` is called with the bytes read so far."""
    report = Report(path)
    if path.suffix != ".jsonl":
        report.add(make("file.extension", f"{path.name} does not end in .jsonl", 0, "rename it, or convert it to one JSON object per line"))
        return report
    done = 0
    with open_input(path) as stream, ThreadPoolExecutor(cpu_count() or 1) as pool:
        numbered = enumerate(stream, 1)
        while chunk := list(islice(numbered, CHUNK)):
            for text, (rows, good, problems) in zip(chunk, pool.map(lambda row: _line(row[1], row[0], context), chunk), strict=True):
                done += len(text[1])
                report.rows += rows
                report.good += good
                for problem in problems:
                    report.add(problem)
            if progress:
                progress(done)
    if report.rows == 0:
        report.add(make("file.empty", "no rows", 0, "`sft init DIR` writes an example to start from"))
    return report


def _line(text: bytes, number: int, context: Context) -> tuple[int, int, list[Problem]]:
    """(rows, good rows, findings) of one physical line."""
    problems = list(_file_level(text, number))
    body = text.removeprefix(codecs.BOM_UTF8).strip()
    if not body:
        return 0, 0, problems
    if len(body) > MAX_LINE_BYTES:
        return 1, 0, [*problems, make("structure.json", f"{len(body):,} bytes in one line", number, "one sample per line")]
    _, found = check_line(body, number, context)
    problems += found
    return 1, int(not any(problem.severity == "error" for problem in problems)), problems


def _file_level(text: bytes, number: int) -> Iterator[Problem]:
    mend = "`sft validate --fix` mends it"
    if number == 1 and text.startswith(codecs.BOM_UTF8):
        yield make("file.bom", "the file begins with a byte order mark", number, mend)
    if not text.removeprefix(codecs.BOM_UTF8).strip():
        yield make("file.blank_line", "empty line", number, mend)
    elif text.endswith(b"\r\n"):
        yield make("file.crlf", "the line ends in CR LF", number, mend)


def good_samples(path: Path) -> Iterator[tuple[int, Sample]]:
    """The samples of a file that has been validated, with their line numbers."""
    from sft.jsonl import read_samples

    return read_samples(path)
