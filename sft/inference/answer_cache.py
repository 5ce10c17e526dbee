"""Answers that were paid for are kept: append-only JSONL, every line with its own checksum.

    {"check":"5f0c9a1e","key":"3b…","text":"২৩","finish_reason":"stop","seconds":0.41,"where":"http://127.0.0.1:8118"}

`key` stands for everything that decides an answer: the bytes of the images, the prompt, the sampling with its pixel
limits, and the model (`sft.inference.endpoints`). `check` is the CRC-32 of the rest of the line. A line is written with
one call at the end of the file: whatever moment a process is killed at, at most the last line is half, is seen to be
half, and is asked again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

import msgspec

from sft.errors import UsageError
from sft.files import bounded_lines, disk_error, sha256
from sft.images import MAX_FILE_BYTES, ImageProblem, probe
from sft.inference.client import Answer, Sampling
from sft.inference.protocols import Question
from sft.types import Sample

KEY_VERSION = 1  # raised when what is sent for a question changes
_HEAD, _CHECK = b'{"check":"', 8  # and eight hex digits


@dataclass(frozen=True)
class PreparedSample:
    """A sample and what is asked for it. `images`: SHA-256 of each image's bytes; `fault`: why they cannot be read."""

    line: int
    sample: Sample
    question: Question
    images: tuple[str, ...] = ()
    fault: str = ""

    def key(self, model: str) -> str:
        """SHA-256 (hex) of everything that decides the answer; `model`: the fingerprint of what is served."""
        text = msgspec.json.encode(
            [KEY_VERSION, self.images, self.question.prompt, asdict(self.question.sampling), model]
        )
        return hashlib.sha256(text).hexdigest()


def prepare(
    samples: Sequence[tuple[int, Sample]], base: Path, sampling: Sampling | Callable[[int], Sampling]
) -> list[PreparedSample]:
    """Look at every image and hash it; `sampling` for all, or by line. What cannot be read has a `fault`, nothing is
    raised.
    """
    prepared = []
    hashes: dict[Path, str] = {}
    for line, sample in samples:
        chosen = sampling if isinstance(sampling, Sampling) else sampling(line)
        item = PreparedSample(
            line,
            sample,
            Question(tuple(base / image.image_url for image in sample.prompt_images), sample.prompt, chosen),
        )
        try:
            for path in item.question.images:
                if path not in hashes:
                    probe(path)
                    if path.stat().st_size > MAX_FILE_BYTES:
                        raise ImageProblem("image.too_large", f"{path} has more than {MAX_FILE_BYTES:,} bytes")
                    hashes[path] = sha256(path)
        except (ImageProblem, OSError, UsageError) as error:
            prepared.append(replace(item, fault=str(error)))
            continue
        prepared.append(
            replace(
                item,
                images=tuple(hashes[path] for path in item.question.images),
            )
        )
    return prepared


def content_hash(prepared: Sequence[PreparedSample]) -> str:
    """SHA-256 (hex) of the rows in order: prompts, references and the bytes of the images, wherever these lie."""
    digest = hashlib.sha256()
    for item in prepared:
        digest.update(
            msgspec.json.encode([item.line, item.question.prompt, item.sample.ref, item.images or item.fault]) + b"\n"
        )
    return digest.hexdigest()


class _Row(msgspec.Struct):
    key: str
    text: str
    finish_reason: str = ""
    seconds: float = 0.0
    where: str = ""


class AnswerCache:
    """The file of answers, held by one process at a time. `damaged`: lines that were not whole and are left where they
    are.

    UsageError: another process writes it, or it is no file. EngineError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        self._answers: dict[str, Answer] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(
                path,
                os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC,
                0o666,
            )
        except OSError as error:
            raise disk_error(error, path) from error
        if not stat.S_ISREG(os.fstat(self._file).st_mode):  # a pipe would wait for ever, a device never end
            os.close(self._file)
            raise UsageError(
                "answers are kept here, but this is not a file",
                where=str(path),
                hint="move it away, or give another -o",
            )
        try:
            fcntl.flock(
                self._file,
                fcntl.LOCK_EX | fcntl.LOCK_NB,
            )
        except OSError as error:
            os.close(self._file)
            raise UsageError(
                "another process is writing answers here", where=str(path), hint="wait for it, or give another -o"
            ) from error
        self._load()

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> Answer | None:
        """The answer that was kept, if there is one."""
        return self._answers.get(key)

    def put(self, key: str, answer: Answer, where: str) -> None:
        """Keep an answer; it is in the file when this returns. EngineError where the disk is full."""
        rest = msgspec.json.encode(
            _Row(
                key,
                answer.text,
                answer.finish_reason,
                round(answer.seconds, 4),
                where,
            )
        )[1:]
        line = _HEAD + f"{zlib.crc32(rest):08x}".encode() + b'",' + rest + b"\n"
        self._write(line)
        self._answers[key] = answer

    def _write(self, line: bytes) -> None:
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise disk_error(error, self.path) from error

    def close(self) -> None:
        """Bring the file to the disk and let others have it."""
        if self._file >= 0:
            with suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _load(self) -> None:
        last = b"\n"
        with self.path.open("rb") as stream:
            for _, line, _ in bounded_lines(stream):
                last = line
                row = _read(line)
                if row is None:
                    self.damaged += 1
                else:
                    self._answers[row.key] = Answer(row.text, row.finish_reason, row.seconds)
        if not last.endswith(b"\n"):
            self._write(b"\n")  # the half line of a killed process must not swallow the next one


def _read(line: bytes) -> _Row | None:
    """A line that is whole and says what was written; else None."""
    start = len(_HEAD) + _CHECK
    check = line[len(_HEAD) : start]
    comma = line[start : start + 2]
    rest = line[start + 2 : -1]
    if (
        not line.endswith(b"\n")
        or line[: len(_HEAD)] != _HEAD
        or comma != b'",'
        or check != f"{zlib.crc32(rest):08x}".encode()
    ):
        return None
    with suppress(
        msgspec.MsgspecError,
        ValueError,
        RecursionError,
    ):  # bytes that are no text, and nesting without end
        return msgspec.json.decode(b"{" + rest, type=_Row)
    return None
