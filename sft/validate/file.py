"""Checks of a whole file: every line once, in order, with its number; errors stop a training, warnings are counted.

The file is cut into stretches of whole lines, which are checked in this process, on all cores or on a Ray cluster, and
put together in their order: the report is the same, byte for byte, wherever they were checked. Then the rows are
compared with each other. Memory holds some 20 bytes for each image, and a bounded number of findings.
"""

from __future__ import annotations

import codecs
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from sft.errors import ProblemsFound
from sft.files import open_input, stretches
from sft.reasons import make
from sft.runtime import Runner, run
from sft.types import Problem
from sft.validate.across_rows import ENTRY, LOOK, Entries, check_set
from sft.validate.context import Context
from sft.validate.marks import check_marks
from sft.validate.rejects import Rejects
from sft.validate.shard import BLANK, KEPT, Findings, Gathered, Shard, ShardReport, check_shard

__all__ = ["BLANK", "KEPT", "Report", "scan", "validate"]

SHARD_BYTES = 4 * 1024 * 1024  # of whole lines that a process checks at a time
ONE_PROCESS = Runner(workers=1)
_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"{\0", b"\0{", b"\0\0\0{")


@dataclass
class Report(Findings):
    """What was found in one file."""

    path: Path

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(count for (severity, _), count in self.counts.items() if severity == "error")

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return sum(count for (severity, _), count in self.counts.items() if severity == "warning")

    def add_part(self, part: ShardReport, before: int) -> None:
        """What was found in the next stretch; `before` lines stand before it."""
        self.rows += part.rows
        self.good += part.good
        room = {key: KEPT - self.counts[key] for key in part.counts}
        for problem in part.problems:
            key = (problem.severity, problem.code)
            if room[key] > 0:
                room[key] -= 1
                self.problems.append(replace(problem, line=problem.line + before))
        self.counts.update(part.counts)

    def require_good(self) -> None:
        """Raise where an error was found, with the first of them in full."""
        if not self.errors:
            return
        first = next(
            (problem for problem in self.problems if problem.severity == "error"),
            None,
        )
        where = f"{self.path}:{first.line}" if first and first.line else str(self.path)
        message = f"[{first.code}] {first.message}" if first else "errors"
        bad = self.rows - self.good
        more = f" ({self.errors} errors in all; bad rows: {bad} of {self.rows})" if self.errors > 1 else ""
        hint = f"{first.hint}; " if first and first.hint else ""
        raise ProblemsFound(
            f"{message}{more}",
            where=where,
            hint=f"{hint}`sft validate {self.path}` lists everything",
        )


def validate(
    path: Path,
    context: Context,
    *,
    progress: Callable[[int], None] | None = None,
    runner: Runner = ONE_PROCESS,
    rejects: Rejects | None = None,
    against: Sequence[Entries] = (),
    gathered: Gathered | None = None,
) -> Report:
    """Read a JSONL file and check every row, then the rows as a set.

    `progress` is called with the bytes read so far. `rejects` is given every row with an error. `against`: what `scan`
    found in files whose images must not be in this one. `gathered` is filled with what later stages need; only where
    one process does all.
    """
    report = Report(path)
    if problem := _unusable(path):
        report.add(problem)
        return report
    entries, bad, unmarked = _rows(report, context, progress, runner, rejects, gathered)
    for line, text, problems in check_set(entries, against, gathered.images.digest if gathered else lambda _: None):
        for problem in problems:
            report.add(problem)
        if any(problem.severity == "error" for problem in problems):
            report.good -= not _holds(bad, line)
        if rejects:
            rejects.shared(line, problems, text)
    for problem in check_marks(path, unmarked):
        report.add(problem)
    if report.rows == 0:
        report.add(make("file.empty", "no rows", 0, "`sft init DIR` writes an example to start from"))
    if rejects:
        rejects.finish(path)
    return report


def scan(
    path: Path, context: Context, *, runner: Runner = ONE_PROCESS, progress: Callable[[int], None] | None = None
) -> Entries:
    """What is known of the images of a file, to validate others against it."""
    if _unusable(path):
        return Entries(path, context.base)
    return _rows(Report(path), context, progress, runner, None, None)[0]


def _unusable(path: Path) -> Problem | None:
    """Why a file cannot be read line by line at all."""
    if path.suffix != ".jsonl":
        return make(
            "file.extension",
            f"{path.name} does not end in .jsonl",
            0,
            "rename it, or convert it to one JSON object per line",
        )
    with open_input(path) as stream:
        head = stream.read(4)
    if head.startswith(_WIDE):
        return make(
            "file.encoding",
            "this file is UTF-16 or UTF-32",
            0,
            f"save it as UTF-8: `iconv -f UTF-16 -t UTF-8 {path.name} > utf8.jsonl`",
        )
    return None


def _rows(
    report: Report,
    context: Context,
    progress: Callable[[int], None] | None,
    runner: Runner,
    rejects: Rejects | None,
    gathered: Gathered | None,
) -> tuple[Entries, array[int], Counter[str]]:
    """Check the rows one by one; what is known of their images, which lines are bad, and how many rows of each script
    lack its marks.
    """
    before = 0
    bad = array("L")
    unmarked = Counter[str]()
    images = [np.empty(0, ENTRY)]
    looks = [np.empty(0, LOOK)]
    places = gathered.places if gathered else []
    with open_input(report.path) as stream:
        cuts = list(stretches(stream, 0, report.path.stat().st_size, SHARD_BYTES))
    shards = [Shard(report.path, start, end, context, rejects is not None) for start, end in cuts]
    check = partial(check_shard, gathered=gathered) if gathered else check_shard
    for shard, part in zip(shards, run(check, shards, runner), strict=True):
        report.add_part(part, before)
        unmarked.update(part.unmarked)
        bad.extend([line + before for line in part.bad_lines])
        if rejects:
            for row in part.bad:
                rejects.row(row.line + before, row.problems, row.text)
        for tables, entries in ((images, part.images), (looks, part.looks), (places, part.places)):
            for table in entries:
                tables.append(table.copy())  # what came from a cluster is read-only
                tables[-1]["line"] += before
        before += part.lines
        if progress:
            progress(shard.end)
    return (
        Entries(
            report.path,
            context.base,
            np.concatenate(images),
            np.concatenate(looks),
        ),
        bad,
        unmarked,
    )


def _holds(lines: array[int], line: int) -> bool:
    at = (
        int(np.searchsorted(np.frombuffer(lines, np.uint64 if lines.itemsize == 8 else np.uint32), line))
        if lines
        else 0
    )
    return at < len(lines) and lines[at] == line
