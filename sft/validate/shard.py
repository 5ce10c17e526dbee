"""Checks of one stretch of a file, in whatever process it is done: sure rows by the chunk, all others row by row."""

from __future__ import annotations

import codecs
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import IO, Any, TypeVar
from zlib import crc32

import numpy as np
import numpy.typing as npt

from sft.files import CHUNK, MAX_LINE_BYTES, open_input
from sft.images import MAX_FILE_BYTES, MAX_IMAGE_PIXELS, ImageProblem, fingerprint_of, peek, probe
from sft.models import MAX_ASPECT, TASK_OF, Budget, image_tokens
from sft.reasons import make
from sft.types import ImageHeader, Problem, Sample, Task
from sft.validate.across_rows import ENTRY, LOOK, folder_of, path_print, place_of, says_print
from sft.validate.context import Context
from sft.validate.fast import Proof, classify_rows, keep_memory
from sft.validate.row import MIN_SIDE, PAGE_CHARACTERS, check_line, looks_like_page

KEPT = 200  # findings of each code kept with their text; all are counted
CHUNK_BYTES = 4 * 1024 * 1024  # looked at together: less would make the calls dear
BLANK = b" \t\r\n"  # JSON's idea of white space; Python's has more
_NEWLINE, _SLASH, _DOT = b"\n/."
LONGEST_TOKEN_RUN = 12  # tokens that a byte of text can become at most, whatever a tokenizer's normaliser makes of it
T = TypeVar("T")
R = TypeVar("R")
Table = npt.NDArray[Any]


@dataclass(frozen=True)
class Shard:
    """Bytes `start` to `end` of a file, which begin and end where lines do.

    `bad`: the rows with errors are wanted, too.
    """

    path: Path
    start: int
    end: int
    context: Context
    bad: bool = False


@dataclass(frozen=True)
class Bad:
    """A row with at least one error; the line counts from the beginning of its shard."""

    line: int
    problems: list[Problem]
    text: bytes


@dataclass
class Part:
    """What was found in one shard; lines count from its beginning, from 1."""

    lines: int = 0
    rows: int = 0
    good: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    bad_lines: list[int] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    images: list[Table] = field(default_factory=list)  # of ENTRY
    looks: list[Table] = field(default_factory=list)  # of LOOK

    def add(self, problem: Problem) -> None:
        """Count a finding, and keep its text if it is among the first of its code."""
        self.counts[problem.severity, problem.code] += 1
        if self.counts[problem.severity, problem.code] <= KEPT:
            self.problems.append(problem)


def check_shard(shard: Shard) -> Part:
    """All findings of a shard."""
    keep_memory()
    with open_input(shard.path) as stream, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        chunks = _Chunks(shard, Part(), pool)
        for chunk, too_long in _read(stream, shard.start, shard.end):
            chunks.check(chunk, too_long)
    part = chunks.part
    part.images, part.looks = (
        [np.concatenate([np.empty(0, ENTRY), *part.images])],
        [np.concatenate([np.empty(0, LOOK), *part.looks])],
    )
    return part


def _read(stream: IO[bytes], start: int, end: int) -> Iterator[tuple[bytes, bool]]:
    """(whole lines, are they the beginning of one line that is too long?)"""
    while start < end:
        stream.seek(start)
        chunk = stream.read(min(CHUNK_BYTES, MAX_LINE_BYTES, end - start))
        cut = chunk.rfind(b"\n") + 1
        if cut or start + len(chunk) >= end:
            chunk = chunk[:cut] if cut else chunk
            yield chunk, False
            start += len(chunk)
            continue
        stream.seek(start)
        chunk = stream.readline(MAX_LINE_BYTES + 1)
        too_long = len(chunk) > MAX_LINE_BYTES
        piece = chunk[-1:]
        yield chunk, too_long
        while too_long and not piece.endswith(b"\n") and (piece := stream.readline(CHUNK)):
            pass
        start = stream.tell()


@dataclass(frozen=True)
class _Chunks:
    """What is done with whole lines."""

    shard: Shard
    part: Part
    pool: ThreadPoolExecutor

    def check(self, chunk: bytes, too_long: bool) -> None:
        """Count and judge every line."""
        number = self.part.lines + 1
        proof = None if too_long else classify_rows(chunk, self.shard.context.model)
        if proof is None:
            lines = [chunk] if too_long else _lines(chunk)
            self.part.lines += len(lines)
            self._slowly(list(enumerate(lines, number)), too_long)
            return
        doubts = self._images(proof, number)
        self.part.lines += len(proof.sure)
        self.part.rows += len(proof.sure) - len(doubts)
        self.part.good += len(proof.sure) - len(doubts)
        if doubts:
            lines = _lines(chunk)
            self._slowly(
                [(number + row, lines[row]) for row in doubts],
                False,
            )

    def _slowly(self, lines: list[tuple[int, bytes]], too_long: bool) -> None:
        """Row by row."""
        check = partial(
            _line,
            self.shard.context,
            self.shard.start == 0,
            too_long,
        )
        for (number, text), (rows, good, problems, sample) in zip(lines, self._map(check, lines), strict=True):
            self.part.rows += rows
            self.part.good += good
            for problem in problems:
                self.part.add(problem)
            if rows and not good:
                self.part.bad_lines.append(number)
                if self.shard.bad:
                    self.part.bad.append(Bad(number, problems, text))
            if sample is not None:
                places = [
                    place_of(self.shard.context.base, image.image_url)
                    for image in sample.image_info
                    if "\0" not in image.image_url
                ]
                says = says_print(
                    sample.prompt, "\0".join(item.text for item in sample.text_info if item.tag == "no_mask")
                )
                self._note(
                    [number] * len(places),
                    places,
                    list(self._map(partial(_file, self.shard.context), places)),
                    [says] * len(places),
                )

    def _images(self, proof: Proof, number: int) -> list[int]:
        """Rows that are not sure, or whose image is not; the images of the others are noted."""
        context = self.shard.context
        doubts = [] if all(proof.sure) else [row for row, sure in enumerate(proof.sure) if not sure]
        rows = [row for row, sure in enumerate(proof.sure) if sure] if doubts else range(len(proof.sure))
        urls = [proof.urls[row] for row in rows] if doubts else proof.urls
        if not context.look:
            self._note_paths(
                (np.asarray(rows, np.uint32) if doubts else np.arange(len(rows), dtype=np.uint32)) + number, urls
            )
            return doubts
        places = [place_of(context.base, url) for url in urls]
        seen = list(self._map(partial(_see, context), places))
        sound = [
            at
            for at, (row, (header, _, _)) in enumerate(zip(rows, seen, strict=True))
            if header and _fits(header, proof.prompts[row], proof.answers[row], context.budget)
        ]
        says = [says_print(proof.prompts[rows[at]], proof.answers[rows[at]]) if context.alike else 0 for at in sound]
        self._note(
            [number + rows[at] for at in sound],
            [places[at] for at in sound],
            [(seen[at][1], seen[at][2]) for at in sound],
            says,
        )
        left = set(range(len(proof.sure))).difference([rows[at] for at in sound])
        return sorted(left)

    def _note_paths(self, lines: Table, urls: Sequence[str]) -> None:
        table = np.empty(len(urls), ENTRY)
        table["line"] = lines
        table["path"] = table["file"] = _path_prints(self.shard.context.base, urls)
        self.part.images.append(table)

    def _note(
        self,
        lines: Sequence[int],
        places: Sequence[str],
        files: Sequence[tuple[int | None, int | None]],
        says: Sequence[int],
    ) -> None:
        """Keep what the checks of the whole set need of some images."""
        found = [
            (line, path_print(place), file)
            for line, place, (file, _) in zip(lines, places, files, strict=True)
            if file is not None
        ]
        self.part.images.append(np.array(found, ENTRY))
        looks = [
            (line, said, look, file)
            for line, said, (file, look) in zip(lines, says, files, strict=True)
            if file is not None and look is not None
        ]
        self.part.looks.append(np.array(looks, LOOK))

    def _map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        context = self.shard.context
        return self.pool.map(function, items) if context.decode and context.look else map(function, items)


def _lines(chunk: bytes) -> list[bytes]:
    """The lines with their ends."""
    lines = [line + b"\n" for line in chunk.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _path_prints(base: Path, urls: Sequence[str]) -> Table:
    """`path_print` of many images."""
    joined = ("\n" + "\n".join(urls) + "\n").encode()
    codes = np.frombuffer(joined, np.uint8)
    slashes = codes == _SLASH
    ends = codes == _NEWLINE
    odd = slashes | ends | (codes == _DOT)
    if (slashes[1:] & odd[:-1]).any() or (slashes[:-1] & odd[1:]).any() or np.count_nonzero(ends) != len(urls) + 1:
        return np.array(
            [path_print(place_of(base, url)) for url in urls],
            np.uint32,
        )
    folder = path_print(folder_of(base))
    return np.fromiter(
        map(crc32, joined[1:-1].split(b"\n"), repeat(folder)),
        np.uint32,
        len(urls),
    )


def _see(context: Context, path: str) -> tuple[ImageHeader | None, int | None, int | None]:
    """(header, fingerprint, look) of an image that nothing is wrong with as a file; no header where it has to be
    looked at closely.
    """
    if not context.decode:
        found = peek(path)
        if (
            found is None
            or not found.whole
            or found.size > MAX_FILE_BYTES
            or found.header.width * found.header.height > MAX_IMAGE_PIXELS
        ):
            return None, None, None
        return found.header, found.fingerprint, None
    try:
        header = probe(Path(path), decode=True)
    except ImageProblem:
        return None, None, None
    return header, *_file(context, path)


def _file(context: Context, path: str) -> tuple[int | None, int | None]:
    """(fingerprint, look) of an image file; the fingerprint of its path where files are not opened."""
    if not context.look:
        return path_print(path), None
    file = fingerprint_of(path)
    if file is None or not context.alike:
        return file, None
    from sft.images import dhash

    try:
        return file, dhash(Path(path))
    except (ImageProblem, OSError):
        return file, None


def _fits(header: ImageHeader, prompt: str, answer: str, budget: Budget | None) -> bool:
    """Whether no check of its shape, its length or its kind can find something."""
    short, long = sorted((header.width, header.height))
    if short < MIN_SIDE or long > MAX_ASPECT * short or header.exif_orientation != 1:
        return False
    if len(answer) * 2 >= PAGE_CHARACTERS and TASK_OF[prompt] is Task.OCR and looks_like_page(header, answer):
        return False
    if budget is None:
        return True
    try:
        tokens = image_tokens(
            header.height,
            header.width,
            min_pixels=budget.min_pixels,
            max_pixels=budget.max_pixels,
        )
    except ValueError:
        return False
    return (
        tokens + LONGEST_TOKEN_RUN * (len(answer.encode("utf-8", "surrogatepass")) + len(prompt) + 2)
        <= budget.max_seq_len
    )


def _line(
    context: Context, beginning: bool, too_long: bool, line: tuple[int, bytes]
) -> tuple[int, int, list[Problem], Sample | None]:
    """(rows, good rows, findings, sample) of one physical line."""
    number, text = line
    if too_long:
        return (
            1,
            0,
            [make("structure.json", f"more than {MAX_LINE_BYTES:,} bytes in one line", number, "one sample per line")],
            None,
        )
    body = text.removeprefix(codecs.BOM_UTF8) if number == 1 and beginning else text
    problems = list(_file_level(text, body, number))
    if not body.strip(BLANK):
        return 0, 0, problems, None
    sample, found = check_line(body, number, context)
    problems += found
    return 1, int(not any(problem.severity == "error" for problem in problems)), problems, sample


def _file_level(text: bytes, body: bytes, number: int) -> Iterator[Problem]:
    mend = "`sft validate --fix` mends it"
    if len(body) < len(text):
        yield make("file.bom", "the file begins with a byte order mark", number, mend)
    if not body.strip(BLANK):
        yield make("file.blank_line", "empty line", number, mend)
    elif body.endswith(b"\r\n"):
        yield make("file.crlf", "the line ends in CR LF", number, mend)
