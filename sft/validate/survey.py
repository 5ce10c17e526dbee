"""What one pass over a file of rows has found, for every stage after it: the bytes, the rows, the images.

Rows are not kept; who needs them again reads them with `Survey.rows`, which gives the bytes that were checked or fails.
Image files are not opened again: their digests, sizes and stamps are here, in 48 bytes for each file and 8 for each
image of a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sft.arrays import AnyArray
from sft.errors import EngineError, SftError
from sft.files import bounded_lines, data_fingerprint, open_input, read_samples, sha256
from sft.types import Sample
from sft.validate.context import Context
from sft.validate.file import Report, validate
from sft.validate.image_table import ImageTable
from sft.validate.shard import PLACE, Gathered

BLOCK = 1 << 16  # digests that are hashed together
CHANGED, AGAIN = "the data has changed since it was checked", "run the same command again"


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """What is known of image files, by number.

    digests: SHA-256 (S32). stamps: of the file when it was hashed, as of `sft.images.stamp`. widths, heights: in pixels
    as stored.
    """

    digests: AnyArray
    stamps: AnyArray
    widths: AnyArray
    heights: AnyArray

    def size(self, number: int) -> tuple[int, int]:
        """(width, height) of one image."""
        return int(self.widths[number]), int(self.heights[number])

    def digest(self, number: int) -> bytes:
        """SHA-256 of one file."""
        return self.digests[number : number + 1].tobytes()  # whole: numpy drops zeros at the end of one


@dataclass(frozen=True, eq=False)
class Survey:
    """A file in which every row is good.

    sha256: of its bytes, hex. count: its rows. places: of PLACE, for every image of every row, in their order.
    """

    path: Path
    sha256: str
    count: int
    places: AnyArray
    files: ImageFiles

    @cached_property
    def fingerprint(self) -> str:
        """As `sft.datasets.fingerprint` of the file, from what was read when it was checked."""
        numbers = self.places["image"]
        blocks = (self.files.digests[numbers[at : at + BLOCK]] for at in range(0, len(numbers), BLOCK))
        return data_fingerprint(self.sha256, (block.tobytes().hex() for block in blocks))

    @property
    def aspect(self) -> float:
        """The longer side of an image by its shorter one, at most over all images; 1 without images."""
        numbers = np.unique(self.places["image"])
        width = self.files.widths[numbers].astype(np.float64)
        height = self.files.heights[numbers].astype(np.float64)
        return float((np.maximum(width, height) / np.minimum(width, height)).max(initial=1.0))

    def rows(self) -> Iterator[tuple[int, Sample, list[int]]]:
        """(line, sample, numbers of its images) of every row.

        EngineError where the file is not the one that was checked: at the latest at its end.
        """
        digest = hashlib.sha256()
        numbers = memoryview(self.places["image"].tobytes()).cast("I")
        line = at = 0
        for line, sample in read_samples(self.path, digest):
            end = at + len(sample.image_info)
            if end > len(numbers) and line <= self.count:
                raise EngineError(CHANGED, where=str(self.path), hint=AGAIN)
            if line <= self.count:
                yield line, sample, numbers[at:end].tolist()
            at = end
        if line != self.count:
            message = f"planned for {self.count} samples, but the data has {line} now"
            raise EngineError(message, where=str(self.path), hint=AGAIN)
        if digest.hexdigest() != self.sha256:
            raise EngineError(CHANGED, where=str(self.path), hint=AGAIN)

    def raw_rows(self) -> Iterator[tuple[int, Any]]:
        """(line, row with all its keys) of every row; EngineError as of `rows`."""
        digest = hashlib.sha256()
        with open_input(self.path) as stream:
            for line, text, too_long in bounded_lines(stream):
                digest.update(text)
                if line > self.count or too_long:
                    break
                with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    yield line, msgspec.json.decode(text)
        if digest.hexdigest() != self.sha256:
            raise EngineError(CHANGED, where=str(self.path), hint=AGAIN)

    def is_content(self, number: int, path: str) -> bool:
        """Whether a file has the content that was checked as image `number`; it is read again."""
        with suppress(SftError):
            return bytes.fromhex(sha256(Path(path))) == self.files.digest(number)
        return False

    def part(self, path: Path, digest: str, kept: npt.NDArray[np.bool_]) -> Survey:
        """Of a file with some of the rows, in their order; `kept`: one for each row, `digest`: of its bytes."""
        places = self.places[kept[self.places["line"] - 1]]
        places["line"] = np.cumsum(kept)[places["line"] - 1]
        return Survey(path, digest, int(np.count_nonzero(kept)), places, self.files)


def survey_file(
    path: Path, context: Context, *, progress: Callable[[int], None] | None = None
) -> tuple[Report, Survey]:
    """Validate a file as `validate` does, every pixel of its images, and keep what was found.

    The survey means something only where the report has no error.
    """
    images = ImageTable(decode=True)
    gathered = Gathered(images)
    report = validate(path, context, progress=progress, gathered=gathered)
    places = np.concatenate([np.empty(0, PLACE), *gathered.places])
    places = places[np.argsort(places["line"], kind="stable")]
    files = ImageFiles(*(images.column(name) for name in ("digest", "stamp", "width", "height")))
    return report, Survey(path, gathered.digest.hexdigest(), report.rows, places, files)


def shared_images(train: Survey, test: Survey) -> list[tuple[int, int]]:
    """(line in train, line in test) of images that are byte for byte the same: a leak makes a score worthless.

    Of several rows of the training file that show an image, the last one is named. `check_set` finds the same in files
    whose images are not hashed yet.
    """
    common = np.intersect1d(train.files.digests, test.files.digests)
    lines = dict(_shown(train, common))
    return sorted((lines[digest], line) for digest, line in _shown(test, common) if digest in lines)


def _shown(data: Survey, wanted: npt.NDArray[Any]) -> Iterator[tuple[bytes, int]]:
    """(digest, line) of every image of a row that is among those wanted."""
    places = data.places[np.isin(data.files.digests, wanted)[data.places["image"]]]
    yield from zip(data.files.digests[places["image"]].tolist(), places["line"].tolist(), strict=True)
