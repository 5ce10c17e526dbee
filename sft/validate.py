"""Checks of a whole file: every line once, in order, with its number; errors stop a training, warnings are counted."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from os import cpu_count
from pathlib import Path

from sft import jsonl
from sft.checks import Context, make
from sft.checks_row import check_line
from sft.errors import ProblemsFound
from sft.types import Problem

KEPT = 200  # findings of each code kept in memory with their text; all are counted
CHUNK_BYTES = 64 * 1024  # of whole rows, handed to the threads at a time
BLANK = b" \t\r\n"  # JSON's idea of white space; Python's has more


@dataclass
class Report:
    """What was found in one file. rows = good + bad; bad are those with at least one error."""

    path: Path
    rows: int = 0
    good: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (severity, code) → how often
    problems: list[Problem] = field(default_factory=list)  # the first KEPT of each code

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(count for (severity, _), count in self.counts.items() if severity == "error")

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return sum(count for (severity, _), count in self.counts.items() if severity == "warning")

    def add(self, problem: Problem) -> None:
        """Count a finding, and keep its text if it is among the first of its code."""
        self.counts[problem.severity, problem.code] += 1
        if self.counts[problem.severity, problem.code] <= KEPT:
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
    with jsonl.open_input(path) as stream, ThreadPoolExecutor(cpu_count() or 1) as pool:
        for lines in _chunks(jsonl.bounded_lines(stream)):
            for rows, good, problems in pool.map(partial(_line, context), lines):
                report.rows += rows
                report.good += good
                for problem in problems:
                    report.add(problem)
            if progress:
                progress(stream.tell())
    if report.rows == 0:
        report.add(make("file.empty", "no rows", 0, "`sft init DIR` writes an example to start from"))
    return report


def _chunks(lines: Iterable[tuple[int, bytes, bool]]) -> Iterator[list[tuple[int, bytes, bool]]]:
    """Lines of about CHUNK_BYTES at a time; the last chunk, which may be empty, comes when everything is read."""
    chunk: list[tuple[int, bytes, bool]] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line[1])
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    yield chunk


def _line(context: Context, line: tuple[int, bytes, bool]) -> tuple[int, int, list[Problem]]:
    """(rows, good rows, findings) of one physical line."""
    number, text, too_long = line
    if too_long:
        return 1, 0, [make("structure.json", f"more than {jsonl.MAX_LINE_BYTES:,} bytes in one line", number, "one sample per line")]
    body = text.removeprefix(codecs.BOM_UTF8) if number == 1 else text
    problems = list(_file_level(text, body, number))
    if not body.strip(BLANK):
        return 0, 0, problems
    _, found = check_line(body, number, context)
    problems += found
    return 1, int(not any(problem.severity == "error" for problem in problems)), problems


def _file_level(text: bytes, body: bytes, number: int) -> Iterator[Problem]:
    mend = "`sft validate --fix` mends it"
    if len(body) < len(text):
        yield make("file.bom", "the file begins with a byte order mark", number, mend)
    if not body.strip(BLANK):
        yield make("file.blank_line", "empty line", number, mend)
    elif body.endswith(b"\r\n"):
        yield make("file.crlf", "the line ends in CR LF", number, mend)
