"""Checks of one stretch of a file, in whatever process it is done: sure rows by the chunk, all others row by row."""

from __future__ import annotations

import codecs
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from sft.arrays import AnyArray
from sft.files import MAX_LINE_BYTES, decode, open_input, whole_lines
from sft.images import ImageProblem, fingerprint_of
from sft.models import FACTOR, MAX_ASPECT, TASK_OF, USER, Budget, trained_size
from sft.reasons import make
from sft.types import ImageHeader, Problem, Sample, Task
from sft.validate.across_rows import ENTRY, LOOK, folder_of, path_print, place_of, says_print
from sft.validate.context import Context
from sft.validate.fast import Proof, classify_rows, keep_memory
from sft.validate.image_checks import MIN_SIDE, PAGE_CHARACTERS, ReadHeader, looks_like_page, read_header
from sft.validate.image_table import UNKNOWN, ImageTable
from sft.validate.marks import unmarked_scripts
from sft.validate.row import check_line

KEPT = 200  # findings of each code kept with their text; all are counted
CHUNK_BYTES = 4 * 1024 * 1024  # looked at together: less would make the calls dear
BLANK = b" \t\r\n"  # JSON's idea of white space; Python's has more
_NEWLINE, _SLASH, _DOT = b"\n/."
SPECIAL_TOKENS = 4  # of a row with one image and one answer: begin, image start and end, end
LONGEST_TOKEN_RUN = 12  # tokens that a byte of text can become at most, whatever a tokenizer's normaliser makes of it
# line: of the row, from 1. image: its number in the table of images.
PLACE = np.dtype([("line", "u4"), ("image", "u4")])
T = TypeVar("T")
R = TypeVar("R")


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


@dataclass(kw_only=True)
class Findings:
    """Findings about rows, counted by code. rows = good + bad; bad are those with at least one error."""

    rows: int = 0
    good: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (severity, code) → how often
    problems: list[Problem] = field(default_factory=list)  # the first KEPT of each code

    def add(self, problem: Problem) -> None:
        """Count a finding, and keep its text if it is among the first of its code."""
        self.counts[problem.severity, problem.code] += 1
        if self.counts[problem.severity, problem.code] <= KEPT:
            self.problems.append(problem)


@dataclass(kw_only=True)
class ShardReport(Findings):
    """What was found in one shard; lines count from its beginning, from 1."""

    lines: int = 0
    bad_lines: list[int] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    images: list[AnyArray] = field(default_factory=list)  # of ENTRY
    looks: list[AnyArray] = field(default_factory=list)  # of LOOK
    places: list[AnyArray] = field(default_factory=list)  # of PLACE, where the table of images outlives the shard
    unmarked: Counter[str] = field(default_factory=Counter)  # script → rows accused of having lost its marks


@dataclass
class Gathered:
    """What is kept over all shards of a file where one process checks them, one after the other: the table of images,
    where each of them is shown, and a hash of the lines.
    """

    images: ImageTable
    places: list[AnyArray] = field(default_factory=list)  # of PLACE
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)


def check_shard(shard: Shard, gathered: Gathered | None = None) -> ShardReport:
    """All findings of a shard."""
    keep_memory()
    context = shard.context
    images = gathered.images if gathered else ImageTable(decode=context.decode, alike=context.alike)
    with open_input(shard.path) as stream, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        chunks = _Chunks(shard, ShardReport(), images, pool)
        for chunk, too_long in whole_lines(stream, shard.start, shard.end, CHUNK_BYTES):
            chunks.check(chunk, too_long)
            if gathered:
                gathered.digest.update(chunk)
    part = chunks.part
    part.images = [np.concatenate([np.empty(0, ENTRY), *part.images])]
    part.looks = [np.concatenate([np.empty(0, LOOK), *part.looks])]
    part.places = [np.concatenate([np.empty(0, PLACE), *part.places])] if gathered else []
    return part


@dataclass(frozen=True)
class _Chunks:
    """What is done with whole lines."""

    shard: Shard
    part: ShardReport
    images: ImageTable
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
        context = self.shard.context
        if context.look and not too_long:
            self._meet([text for _, text in lines])
        check = partial(_line, context, self.shard.start == 0, too_long, self._header)
        whole = []
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
                if any(problem.code == "language.marks" for problem in problems):
                    self.part.unmarked.update(unmarked_scripts(sample))
                whole.append((number, sample))
        self._note_rows(whole)

    def _meet(self, lines: Sequence[bytes]) -> None:
        """Look at the images of these rows, all together and each once; rows that cannot be read name none."""
        urls: list[str] = []
        for line in lines:
            with suppress(msgspec.MsgspecError, ValueError, RecursionError):
                urls += [image.image_url for image in decode(line).image_info]
        self.images.numbers(self._paths(urls), self.pool)

    def _paths(self, urls: Iterable[str]) -> list[str]:
        return [place_of(self.shard.context.base, url) for url in urls if "\0" not in url]

    def _header(self, url: str) -> ImageHeader:
        """As `read_header`, without opening what was met before."""
        number = self.images.find(self._paths([url])[0])
        return read_header(self.shard.context, url) if number == UNKNOWN else self.images.header(number)

    def _images(self, proof: Proof, number: int) -> list[int]:
        """Rows that are not sure, or whose image is not; the images of the others are noted."""
        context = self.shard.context
        doubts = [] if all(proof.sure) else [row for row, sure in enumerate(proof.sure) if not sure]
        rows = np.asarray([row for row, sure in enumerate(proof.sure) if sure] if doubts else range(len(proof.sure)))
        rows = rows.astype(np.uint32)
        urls = [proof.urls[row] for row in rows.tolist()] if doubts else proof.urls
        if not context.look:
            self._note_paths(rows + number, urls)
            return doubts
        images = self.images.numbers(_places(context.base, urls), self.pool)
        sound = self._shapely(images)
        sound[sound] = [
            self._fits(image, proof.prompts[row], proof.answers[row])
            for image, row in zip(images[sound].tolist(), rows[sound].tolist(), strict=True)
        ]
        self._note(rows[sound] + number, images[sound])
        if context.decode and context.alike:
            says = [says_print(proof.prompts[row], proof.answers[row]) for row in rows[sound].tolist()]
            self._note_looks(rows[sound] + number, says, images[sound])
        return sorted(set(range(len(proof.sure))).difference(rows[sound].tolist()))

    def _note_paths(self, lines: AnyArray, urls: Sequence[str]) -> None:
        table = np.empty(len(urls), ENTRY)
        table["line"] = lines
        table["path"] = table["file"] = _path_prints(self.shard.context.base, urls)
        self.part.images.append(table)

    def _note(self, lines: AnyArray, images: AnyArray) -> None:
        """Keep what the checks of the whole set need of images that are known by number."""
        table = np.empty(len(lines), ENTRY)
        table["line"] = lines
        table["path"] = self.images.column("path")[images]
        table["file"] = self.images.column("file")[images]
        self.part.images.append(table)
        places = np.empty(len(lines), PLACE)
        places["line"] = lines
        places["image"] = images
        self.part.places.append(places)

    def _note_looks(self, lines: AnyArray, says: Sequence[int], images: AnyArray) -> None:
        is_known = self.images.column("has_looks")[images]
        table = np.empty(len(lines), LOOK)
        table["line"] = lines
        table["says"] = says
        table["looks"] = self.images.column("looks")[images]
        table["file"] = self.images.column("file")[images]
        self.part.looks.append(table[is_known])

    def _note_rows(self, rows: Iterable[tuple[int, Sample]]) -> None:
        """The same for rows that were checked one by one, whose images may be unsound or not files at all."""
        entries: list[tuple[int, int, int]] = []
        looks: list[tuple[int, int, int, int]] = []
        places: list[tuple[int, int]] = []
        for line, sample in rows:
            says = says_print(sample.prompt, "\0".join(item.text for item in sample.text_info if item.tag == "no_mask"))
            for path in self._paths(image.image_url for image in sample.image_info):
                number = self.images.find(path) if self.shard.context.look else UNKNOWN
                if number != UNKNOWN:
                    places.append((line, number))
                file, look = self._file(path, number)
                if file is not None:
                    entries.append((line, path_print(path), file))
                if file is not None and look is not None:
                    looks.append((line, says, look, file))
        self.part.images.append(np.array(entries, ENTRY))
        self.part.looks.append(np.array(looks, LOOK))
        self.part.places.append(np.array(places, PLACE))

    def _file(self, path: str, number: int) -> tuple[int | None, int | None]:
        """(fingerprint, look) of an image file; the fingerprint of its path where files are not opened."""
        if number == UNKNOWN:
            return _file(self.shard.context, path)
        return int(self.images.column("file")[number]), self.images.looks(number)

    def _shapely(self, images: AnyArray) -> npt.NDArray[np.bool_]:
        """Which images are known and have a shape in which no check finds anything."""
        good: npt.NDArray[np.bool_] = images != UNKNOWN
        width, height, turn = (self.images.column(name)[images[good]] for name in ("width", "height", "turn"))
        short = np.minimum(width, height).astype(np.int64)
        long = np.maximum(width, height).astype(np.int64)
        good[good] = (short >= MIN_SIDE) & (long <= MAX_ASPECT * short) & (turn == 1)
        return good

    def _fits(self, image: int, prompt: str, answer: str) -> bool:
        """Whether no check of its length or its kind can find something; its shape is fine."""
        budget = self.shard.context.budget
        paged = len(answer) * 2 >= PAGE_CHARACTERS and TASK_OF[prompt] is Task.OCR
        if not paged and budget is None:
            return True
        return _fits(self.images.header(image), prompt, answer, budget)

    def _map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        context = self.shard.context
        return self.pool.map(function, items) if context.decode and context.look else map(function, items)


def _lines(chunk: bytes) -> list[bytes]:
    """The lines with their ends."""
    lines = [line + b"\n" for line in chunk.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _plain(urls: Sequence[str]) -> bytes | None:
    """The paths, each in a line, where a folder before them makes places of all of them; None where one of them is
    absolute, or has `.`, `..` or nothing between two slashes.
    """
    joined = ("\n" + "\n".join(urls) + "\n").encode("utf-8", "surrogatepass")
    codes = np.frombuffer(joined, np.uint8)
    slashes = codes == _SLASH
    ends = codes == _NEWLINE
    odd = slashes | ends | (codes == _DOT)
    if (slashes[1:] & odd[:-1]).any() or (slashes[:-1] & odd[1:]).any() or np.count_nonzero(ends) != len(urls) + 1:
        return None
    return joined[1:-1]


def _places(base: Path, urls: Sequence[str]) -> list[str]:
    """`place_of` of many images."""
    if _plain(urls) is None:
        return [place_of(base, url) for url in urls]
    folder = folder_of(base)
    return [folder + url for url in urls]


def _path_prints(base: Path, urls: Sequence[str]) -> AnyArray:
    """`path_print` of many images."""
    joined = _plain(urls)
    if joined is None:
        return np.array(
            [path_print(place_of(base, url)) for url in urls],
            np.uint32,
        )
    folder = path_print(folder_of(base))
    return np.fromiter(
        map(crc32, joined.split(b"\n"), repeat(folder)),
        np.uint32,
        len(urls),
    )


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
    """Whether no check of its length or its kind can find something."""
    if len(answer) * 2 >= PAGE_CHARACTERS and TASK_OF[prompt] is Task.OCR and looks_like_page(header, answer):
        return False
    if budget is None:
        return True
    try:
        tall, wide = trained_size(header.width, header.height, budget)
    except ValueError:
        return False
    texts = (answer, prompt, USER, budget.version.prompt_end)
    length = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) + SPECIAL_TOKENS
    return tall * wide // FACTOR**2 + LONGEST_TOKEN_RUN * length <= budget.max_seq_len


def _line(
    context: Context, beginning: bool, too_long: bool, read: ReadHeader, line: tuple[int, bytes]
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
    sample, row_problems = check_line(body, number, context, read)
    problems += row_problems
    return 1, int(not any(problem.severity == "error" for problem in problems)), problems, sample


def _file_level(text: bytes, body: bytes, number: int) -> Iterator[Problem]:
    fix = "`sft validate --fix` fixes it"
    if len(body) < len(text):
        yield make("file.bom", "the file begins with a byte order mark", number, fix)
    if not body.strip(BLANK):
        yield make("file.blank_line", "empty line", number, fix)
    elif body.endswith(b"\r\n"):
        yield make("file.crlf", "the line ends in CR LF", number, fix)
