"""What the set-making verbs know of every row: where it stands in its file, which images it shows, what it says.

A file is read once, in shards on any number of cores; 100 bytes or so of a row stay in memory, whatever its length. The
pieces wait in the work folder of the output, so that a killed command does not hash the images again.
"""

from __future__ import annotations

import json
import os
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
import numpy.typing as npt

from sft.arrays import AnyArray
from sft.errors import ProblemsFound, RowRejected, UsageError
from sft.files import (
    CHUNK,
    MAX_LINE_BYTES,
    ImageSnapshot,
    RealPaths,
    Unit,
    atomic,
    bounded_lines,
    line_units,
    open_input,
    reject_line,
    staging,
)
from sft.formats import split_name
from sft.images import ImageProblem, probe, read_plain
from sft.markup import canonical, scripts
from sft.models import TASK_OF
from sft.runtime import Runner, run
from sft.types import Sample

# One row: which of the input files, where its line begins, how long it is without the line end, its number, hashes of
# 128 bit (two numbers) of its images and of its texts (of what they say, however they are spelt), 64 bit of its
# prompts, its group and its stratum, whether the published set that it comes from holds it out (PUBLISHED), and whether
# a text is spelt otherwise than it should be.
ROW = np.dtype(
    [
        ("file", "u2"),
        ("offset", "u8"),
        ("length", "u4"),
        ("line", "u4"),
        ("images", "u8", 2),
        ("texts", "u8", 2),
        ("prompt", "u8"),
        ("group", "u8"),
        ("stratum", "u8"),
        ("held", "u1"),
        ("untidy", "u1"),
    ]
)
IMAGE = np.dtype(
    [("row", "u4"), ("image", "u8", 2)]
)  # every image of every row; `row` counts from the beginning of its shard
NO_GROUP = 0
# what `meta.split` says → the part of `sft split` that such a row belongs to, as a number: 0 train or unknown, 1 val, 2
# test
PUBLISHED = {"val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2, "testing": 2, "eval": 2}
MAX_KEYS = 200  # of the rows' own that are remembered, to suggest one
MAX_STEPS = 16  # of such a key; rows may be nested a thousand deep
STRATA = ("task", "script", "length")
_rows = msgspec.json.Decoder()


@dataclass(frozen=True)
class Keys:
    """What is looked up in a row: the dotted keys of its group, and what makes its stratum (STRATA or dotted keys).

    `asked`: the user named these keys, so that one that no row has is an error and not a set without groups.
    """

    group: tuple[str, ...] = ()
    strata: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShardJob:
    """One shard: a stretch of one file, and where its piece goes."""

    unit: Unit
    file: int
    piece: Path
    keys: Keys


@dataclass(frozen=True)
class Index:
    """All rows of all files in order, and their images; `rejects` are the pieces that hold what is no row."""

    files: tuple[Path, ...]
    rows: npt.NDArray[Any]
    images: npt.NDArray[Any]
    names: dict[int, str]  # stratum → what it is called
    rejects: tuple[Path, ...]
    rejected: dict[str, int]
    seen: frozenset[str] = frozenset()  # dotted keys of rows, where keys were looked up
    looked_at: tuple[Path, ...] = ()  # the pieces of the list of images (`sft.files.snapshot`)


def build(
    files: list[Path],
    folder: staging.StagingFolder,
    keys: Keys,
    runner: Runner,
    *,
    progress: Callable[[float], object] = lambda _: None,
) -> Index:
    """Index every row of `files`. Rows that are no samples, or whose images cannot be read, are rejected by reason."""
    if len(files) > 0xFFFF:
        raise UsageError(f"{len(files)} files, at most {0xFFFF} at once", hint="join some of them first")
    jobs = (
        ShardJob(unit, number, folder.path(f"{number:05}-{unit.payload.start:012}.index"), keys)
        for number, path in enumerate(files)
        for unit in line_units(path)
    )
    content_hash.cache_clear()  # another call may have seen other images
    done = 0
    pieces = []
    for job_bytes, piece in run(index_shard, jobs, runner):
        done += job_bytes
        progress(done)
        pieces.append(piece)
    return _joined(tuple(files), pieces)


def _joined(files: tuple[Path, ...], pieces: list[Path]) -> Index:
    rows, images = [], []
    names: dict[int, str] = {}
    rejected: dict[str, int] = {}
    seen: set[str] = set()
    count = 0
    for piece in pieces:
        with np.load(piece, allow_pickle=False) as arrays:
            rows.append(arrays["rows"])
            part = arrays["images"]
            summary = json.loads(bytes(arrays["summary"]))
        part["row"] += count
        images.append(part)
        count += len(rows[-1])
        seen.update(summary["seen"])
        names.update({int(key): name for key, name in summary["names"].items()})
        for code, number in summary["rejected"].items():
            rejected[code] = rejected.get(code, 0) + number
    empty_rows = np.empty(0, ROW)
    empty_images = np.empty(0, IMAGE)
    rejects, looked_at = (tuple(piece.with_suffix(ending) for piece in pieces) for ending in (".rejects", ".images"))
    return Index(
        files,
        np.concatenate([empty_rows, *rows]),
        np.concatenate([empty_images, *images]),
        names,
        rejects,
        rejected,
        frozenset(seen),
        looked_at,
    )


def index_shard(job: ShardJob) -> tuple[int, Path]:
    """Index one shard and leave its piece; (bytes of the shard, the piece). A piece that is there already is kept."""
    size = job.unit.payload.end - job.unit.payload.start
    rejects = job.piece.with_suffix(".rejects")
    if job.piece.is_file():  # the last of its files
        return size, job.piece
    shard = _Shard(job)
    with atomic.piece(rejects) as stream:
        for reject in shard.read():
            stream.write(reject)
    atomic.write(
        job.piece.with_suffix(".images"),
        shard.looked_at.packed(),
    )
    summary = json.dumps(
        {
            "names": shard.names,
            "rejected": shard.rejected,
            "seen": sorted(shard.seen),
        }
    ).encode()
    with atomic.piece(job.piece) as stream:
        np.savez(
            stream,
            rows=np.array(shard.rows, ROW),
            images=np.array(shard.images, IMAGE),
            summary=np.frombuffer(summary, "u1"),
        )
    return size, job.piece


class _Shard:
    """The rows of one shard as they are read."""

    def __init__(self, job: ShardJob) -> None:
        self.job = job
        self.rows: list[tuple[Any, ...]] = []
        self.images: list[tuple[Any, ...]] = []
        self.names: dict[str, str] = {}
        self.rejected: dict[str, int] = {}
        self.seen: set[str] = set()
        self.folder = os.fspath(job.unit.path.parent)
        self.real_paths = RealPaths()
        self.looked_at = ImageSnapshot(job.piece.parent.parent)  # the work folder stands beside the outputs

    def read(self) -> Iterator[bytes]:
        """Take every row in; what is none comes out as a line of the rejects."""
        span = self.job.unit.payload
        with open_input(self.job.unit.path) as stream:
            stream.seek(span.start)
            for number, text, too_long in bounded_lines(stream):
                end = stream.tell()
                if end == len(text):
                    text = text.removeprefix(BOM_UTF8)  # of the file, not of its first row
                try:
                    if too_long:
                        raise RowRejected("source.too_large", f"a line of more than {MAX_LINE_BYTES:,} bytes")
                    self._take(
                        text.rstrip(b"\r\n"),
                        span.line + number - 1,
                        end - len(text),
                    )
                except RowRejected as problem:
                    self.rejected[problem.code] = self.rejected.get(problem.code, 0) + 1
                    where = f"{self.job.unit.name}:{span.line + number - 1}"
                    yield reject_line(where, problem.code, str(problem), text.decode("utf-8", "replace").rstrip("\r\n"))
                if end >= span.end:
                    return

    def _take(self, text: bytes, line: int, begin: int) -> None:
        try:
            raw = _rows.decode(text)
            sample = msgspec.convert(raw, Sample)
            answers = [item.text for item in sample.text_info if item.tag == "no_mask"]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RowRejected("structure.object", f"not a sample: {error}") from error
        hashes = [self._hash(image.image_url) for image in sample.image_info]
        keys = self.job.keys
        if keys.asked and len(self.seen) < MAX_KEYS:
            self.seen.update(_dotted(raw))
        stratum = " · ".join(_stratum(key, raw, sample, answers) for key in keys.strata)
        number = short_hash(stratum)
        self.names[str(number)] = stratum
        said = [canonical(item.text) for item in sample.text_info]
        texts = wide_hash(
            msgspec.json.encode([(text, item.tag) for text, item in zip(said, sample.text_info, strict=True)])
        )
        untidy = any(text != item.text.strip() for text, item in zip(said, sample.text_info, strict=True))
        asked = short_hash(
            "\0".join(text for text, item in zip(said, sample.text_info, strict=True) if item.tag == "mask")
        )
        images = hashes[0] if len(hashes) == 1 else wide_hash(repr(hashes).encode())
        self.images += [(len(self.rows), value) for value in hashes]
        self.rows.append(
            (
                self.job.file,
                begin,
                len(text),
                line,
                images,
                texts,
                asked,
                group_of(raw, keys.group),
                number,
                published_as(raw),
                untidy,
            )
        )

    def _hash(self, url: str) -> tuple[int, int]:
        name = os.path.join(self.folder, url)
        try:
            resolved, status = self.real_paths.look(name)
        except (OSError, ValueError) as error:  # a name that no file can have
            raise ImageProblem("image.missing", f"no file {Path(name)} ({error})") from error
        self.looked_at.note(resolved, status)
        return content_hash(resolved)


@lru_cache(maxsize=4096)
def content_hash(path: str) -> tuple[int, int]:
    """128 bit of the content of an image file. ImageProblem where it cannot be read as an image."""
    plain = read_plain(path, max_bytes=CHUNK)
    if plain is not None:
        return wide_hash(plain)
    probe(Path(path))
    digest = blake2b(digest_size=16)
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ImageProblem("image.missing", f"{path}: {error.strerror}") from error
    return _two(digest.digest())


def wide_hash(content: bytes) -> tuple[int, int]:
    """128 bit of some bytes, as two numbers."""
    return _two(blake2b(content, digest_size=16).digest())


def short_hash(text: str) -> int:
    """64 bit of a text, never 0."""
    return (
        int.from_bytes(
            blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(),
            "little",
        )
        or 1
    )


def _two(digest: bytes) -> tuple[int, int]:
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def group_of(raw: Any, keys: Sequence[str]) -> int:
    """64 bit of the document, page or whatever else these keys of a row name; NO_GROUP where it has none of them."""
    group = "\0".join(str(value) for key in keys if (value := look_up(raw, key)) is not None)
    return short_hash(group) if group else NO_GROUP


def look_up(raw: Any, key: str) -> Any:
    """The value of a dotted key such as `meta.group`; None where it is missing, or null: rows without a document are
    not of one.

    RowRejected for a value that is nested too deeply to be compared.
    """
    for step in key.split("."):
        if not isinstance(raw, dict) or step not in raw:
            return None
        raw = raw[step]
    try:
        return raw if raw is None or isinstance(raw, (str, int, float, bool)) else json.dumps(raw, sort_keys=True)
    except RecursionError as error:
        raise RowRejected("structure.object", f"{key} is nested too deeply") from error


def published_as(raw: Any) -> int:
    """The part of a published set that a row is held out in, of PUBLISHED."""
    split = look_up(raw, "meta.split")
    return PUBLISHED.get(split_name(split), 0) if isinstance(split, str) else 0


def _dotted(raw: dict[str, Any], start: str = "") -> Iterator[str]:
    """The keys of a row that hold one value each: note, meta.group, …"""
    for key, value in raw.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{start}{key}.") if start.count(".") < MAX_STEPS else ()
        elif not isinstance(value, list):
            yield f"{start}{key}"


def _stratum(key: str, raw: Any, sample: Sample, answers: list[str]) -> str:
    if key == "task":
        return TASK_OF[sample.prompt].value if sample.prompt in TASK_OF else "other prompts"
    if key == "script":
        return next(iter(scripts("".join(answers))), "no letters")
    if key == "length":
        size = sum(map(len, answers))
        return f"under {max(16, 1 << size.bit_length())} characters"
    value = look_up(raw, key)
    return "none" if value is None else str(value)


@dataclass(frozen=True)
class Places:
    """Where some rows stand: the numbers of their files, where their lines begin, how long these are."""

    files: tuple[Path, ...]
    file: AnyArray
    offset: AnyArray
    length: AnyArray

    @classmethod
    def of(cls, index: Index, numbers: AnyArray) -> Places:
        """Of these rows of an index."""
        rows = index.rows[numbers]
        return cls(index.files, *(np.ascontiguousarray(rows[name]) for name in ("file", "offset", "length")))


def read_lines(places: Places) -> Iterator[bytes]:
    """The bytes of rows, without their line ends."""
    files: dict[int, IO[bytes]] = {}
    with ExitStack() as stack:
        for file, offset, length in zip(
            places.file.tolist(), places.offset.tolist(), places.length.tolist(), strict=True
        ):
            stream = files.get(file)
            if stream is None:
                stream = files[file] = stack.enter_context(places.files[file].open("rb"))
            stream.seek(offset)
            text = stream.read(length)
            if len(text) != length:
                raise ProblemsFound(
                    "this file changed while it was read", where=str(places.files[file]), hint="run the command again"
                )
            yield text


_row = msgspec.json.Decoder(
    dict[str, msgspec.Raw]
)  # what is not looked at stays as it was written, numbers of any length too
_images = msgspec.json.Decoder(list[dict[str, Any]])
BATCH = 1 << 20  # bytes of rows that are joined before they are written
ROWS_AT_ONCE = 10_000  # whose places are looked up at once


def copy_rows(index: Index, numbers: npt.NDArray[np.int64], folder: Path, stream: IO[bytes]) -> int:
    """Write these rows, in this order, as rows of a file in `folder`; returns how many."""
    moved = [None if path.parent.resolve() == folder.resolve() else path.parent.resolve() for path in index.files]
    target = folder.resolve()
    count = size = 0
    batch: list[bytes] = []
    for begin in range(0, len(numbers), ROWS_AT_ONCE):
        places = Places.of(index, numbers[begin : begin + ROWS_AT_ONCE])
        for file, line in zip(places.file.tolist(), read_lines(places), strict=True):
            base = moved[file]
            batch.append(line if base is None else relocate(line, base, target))
            count += 1
            size += len(line)
            if size > BATCH:
                stream.write(b"\n".join(batch) + b"\n")
                batch, size = [], 0
    if batch:
        stream.write(b"\n".join(batch) + b"\n")
    return count


def relocate(line: bytes, base: Path, folder: Path) -> bytes:
    """A row whose image paths count from `base`, as a row whose paths count from `folder`; absolute paths stay."""
    row = _row.decode(line)
    images = _images.decode(row["image_info"])
    for image in images:
        url = image["image_url"]
        if not os.path.isabs(url):
            parent, name = os.path.split(os.path.join(base, url))
            moved = os.path.relpath(
                os.path.join(os.path.realpath(parent), name), folder
            )  # `..` behind a link leads elsewhere than it reads
            image["image_url"] = (
                f"./{moved}" if moved.startswith("http") else moved
            )  # the trainers take every http… for an address
    return msgspec.json.encode({**row, "image_info": images})
