"""What an image file is, before anything trains on it: header, decode check, the resize rule of the model."""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from sft.errors import RowRejected
from sft.files import CHUNK
from sft.images.headers import (
    HEAD_BYTES,
    TAIL_BYTES,
    Peek,
    fingerprint,
    is_whole,
    orientation_behind_pixels,
    peek,
    peek_bytes,
)
from sft.types import ImageHeader

MAX_IMAGE_PIXELS = 2 * (
    1024**3 // 4 // 3
)  # 179 M: above, Pillow and so every trainer refuses (a 600 dpi A3 page has 70 M)
WHY_SHOWN = 200  # characters of what a decoder says
MAX_FILE_BYTES = 200 * 1024 * 1024
IN_MEMORY = 16 * 1024 * 1024  # bytes; a larger file is read twice instead of being held
EXIF_ORIENTATION = 0x0112
# What is opened at all. Pillow knows more, among them PostScript, for which it starts another program.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif", "JPEG2000": "jp2"}  # the others are called like their format

# Pillow's warnings say nothing that a finding does not say; filters cannot be changed inside threads, so once, here.
warnings.filterwarnings("ignore", module=r"PIL\.")


class ImageProblem(RowRejected):
    """Why an image file cannot be used; `code` is the reason code."""


def ending_of(kind: str) -> str:
    """What the name of a file of this format (of Pillow's names) ends with, without the dot.

    >>> ending_of("JPEG2000"), ending_of("PNG")
    ('jp2', 'png')
    """
    return ENDINGS.get(kind, kind.lower())


def probe(path: Path, *, decode: bool = False) -> ImageHeader:
    """Header of an image file; with `decode` every pixel is read too, which finds every kind of damage.

    Without `decode` only the two ends of the file are read, and its pixels only where its end is not that of a finished
    file: files that were cut off are found, files that were damaged in the middle are not.

    Raises `ImageProblem` with codes image.missing, image.unreadable, image.too_large or image.truncated.
    """
    if not decode:
        peeked = peek(str(path))
        if peeked and _is_sound(peeked):
            return peeked.header
        decode = not (peeked.whole if peeked else is_whole(str(path)))
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise ImageProblem("image.missing", f"no file {path}") from error
    if not path.is_file():
        raise ImageProblem("image.missing", f"{path} is not a file")
    if size > MAX_FILE_BYTES:
        raise ImageProblem(
            "image.too_large",
            f"{path} has {size:,} bytes, at most {MAX_FILE_BYTES:,} are read",
        )
    return _open(path, decode)


def _is_sound(peeked: Peek) -> bool:
    return (
        peeked.whole
        and peeked.size <= MAX_FILE_BYTES
        and peeked.header.width * peeked.header.height <= MAX_IMAGE_PIXELS
    )


def read_plain(path: str, *, max_bytes: int = MAX_FILE_BYTES) -> bytes | None:
    """The content of an image file of at most `max_bytes` that `probe` accepts by its two ends: the file is opened
    once, for both. None for any other file, of which `probe` says what is wrong with it, if anything is.
    """
    try:
        # not blocking: a pipe is opened, seen and left
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):  # ValueError: a NUL byte in the name
        return None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
            return None
        content = os.read(handle, status.st_size + 1)  # one more than there was: longer now is changed
    except OSError:
        return None
    finally:
        os.close(handle)
    seen = peek_bytes(content) if len(content) == status.st_size else None
    return content if seen and _is_sound(seen) else None


def _open(path: Path, decode: bool) -> ImageHeader:
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(path.open("rb"))
        except OSError as error:
            why = error.strerror or str(error)
            raise ImageProblem("image.unreadable", f"{path} is not an image that can be read ({why})") from error
        return _header(stream, path, decode)


def why_unreadable(error: Exception) -> str:
    """What Pillow says of a file that it cannot open, in words for people: not the name of an exception, nor the
    address of a stream.
    """
    if isinstance(error, UnidentifiedImageError):
        return "it begins like no image format"
    return (str(error).splitlines() or [""])[0][:WHY_SHOWN] or "its content makes no sense"


def _header(stream: IO[bytes], path: Path | str, decode: bool) -> ImageHeader:
    """What Pillow makes of a stream; `path` is for messages."""
    with ExitStack() as stack:
        try:
            image = stack.enter_context(Pillow.open(stream, formats=FORMATS))
        except Pillow.DecompressionBombError as error:
            raise ImageProblem("image.too_large", f"{path}: {error}") from error
        except Exception as error:  # a decoder that meets nonsense may raise anything
            why = why_unreadable(error)
            raise ImageProblem("image.unreadable", f"{path} is not an image that can be read ({why})") from error
        # Pillow says so itself by its own limit, which anybody may have moved
        if image.width * image.height > MAX_IMAGE_PIXELS:
            raise ImageProblem(
                "image.too_large",
                f"{path} is {image.width} x {image.height} px, at most {MAX_IMAGE_PIXELS:,} pixels are read",
            )
        header = ImageHeader(
            image.width,
            image.height,
            image.format or "",
            image.mode,
            orientation(image),
        )
        if decode:
            try:
                image.load()
            except Exception as error:  # as above
                raise ImageProblem("image.truncated", f"{path} cannot be decoded ({error})") from error
    return header


@dataclass(frozen=True)
class Reading:
    """What one reading of an image file tells: every pixel was decoded from the very bytes that were hashed.

    digest: SHA-256 of the file; fingerprint: as of `fingerprint_of`; stamp: of the file when it was read.
    """

    header: ImageHeader
    digest: bytes
    fingerprint: int
    stamp: int


def stamp(status: os.stat_result) -> int:
    """64 bit that change when a file is written to, or another one takes its place."""
    return hash((status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))


def read_once(path: str) -> Reading | None:
    """Open a file once, decode all of it and hash it; None where anything is wrong with it, which `probe` explains."""
    try:
        # not blocking: a pipe is opened, seen and left
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):  # ValueError: a NUL byte in the name
        return None
    try:
        with open(handle, "rb") as stream:
            before = os.fstat(handle)
            if not stat.S_ISREG(before.st_mode) or before.st_size > MAX_FILE_BYTES:
                return None
            size = before.st_size
            read = _held(stream, size, path) if size <= IN_MEMORY else _twice(stream, path)
            unchanged = stamp(os.fstat(handle)) == stamp(before)
        return Reading(*read, stamp(before)) if unchanged else None
    except (ImageProblem, OSError):
        return None


def _held(stream: IO[bytes], size: int, path: str) -> tuple[ImageHeader, bytes, int]:
    """(header, digest, fingerprint) of the content, read into memory."""
    content = stream.read(size + 1)  # one more than there was: longer now is changed
    header = _header(BytesIO(content), path, True)
    print_of_ends = fingerprint(len(content), content[:HEAD_BYTES], content[-TAIL_BYTES:])
    return header, hashlib.sha256(content).digest(), print_of_ends


def _twice(stream: IO[bytes], path: str) -> tuple[ImageHeader, bytes, int]:
    """The same of a large file, which is decoded and then hashed; the caller sees to it that it does not change."""
    header = _header(stream, path, True)
    stream.seek(0)
    digest = hashlib.sha256()
    size = 0
    head = tail = b""
    while piece := stream.read(CHUNK):
        digest.update(piece)
        head = head or piece[:HEAD_BYTES]
        tail = (tail + piece)[-TAIL_BYTES:]
        size += len(piece)
    return header, digest.digest(), fingerprint(size, head, tail)


def orientation(image: Pillow.Image) -> int:
    """The EXIF orientation of an opened image, 1 to 8; 1 (upright) where there is none that means anything.

    `getexif` of a PNG decodes all of it, for EXIF may stand behind the pixels; here only where a look at its chunks
    finds some.
    """
    try:
        late = image.format == "PNG" and "exif" not in image.info and _behind_pixels(image)
        value = int(
            (image.getexif() if late else Pillow.Image.getexif(image)).get(
                EXIF_ORIENTATION,
                1,
            )
        )
    except Exception:  # broken EXIF is no EXIF
        return 1
    return value if 1 <= value <= 8 else 1


def _behind_pixels(image: Pillow.Image) -> bool:
    stream = getattr(image, "fp", None)
    if stream is None:  # decoded already, to the last chunk
        return True
    here = stream.tell()

    def read(place: int, count: int) -> bytes:
        stream.seek(place)
        content: bytes = stream.read(count)
        return content

    try:
        return orientation_behind_pixels(read, stream.seek(0, os.SEEK_END))
    finally:
        stream.seek(here)
