"""The first and last bytes of an image file: what it is, whether its end is there, and a fingerprint; no pixel is
decoded.

Only plain PNG, JPEG, BMP and WebP files are read here, by the layouts of their specifications. Whatever is unusual,
damaged or carries EXIF or XMP gives None, and Pillow decides (`sft.images.reader.probe`): about 5 times as fast, the
same verdict.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from zlib import crc32

from sft.types import ImageHeader

HEAD_BYTES, TAIL_BYTES = 2048, 64
LONGER_HEAD = 256 * 1024  # of a JPEG with a colour profile or a preview before its frame
MAX_SEGMENTS = 64
MAX_CHUNKS = 1 << 16  # of a PNG; one of 200 MB in chunks of 8 KiB has 25,600
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
# Chunks that neither turn the image nor change how Pillow opens it.
_PNG_PLAIN = frozenset(
    (b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"sBIT", b"bKGD", b"tIME", b"hIST", b"tEXt")
)
# What may say how a PNG is to be turned: this chunk, and texts with these names.
_PNG_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_PNG_TURNING = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
_PNG_MODES = {
    (1, 0): "1",
    (2, 0): "L",
    (4, 0): "L",
    (8, 0): "L",
    (16, 0): "I;16",
    (8, 2): "RGB",
    (16, 2): "RGB",
    (1, 3): "P",
    (2, 3): "P",
    (4, 3): "P",
    (8, 3): "P",
    (8, 4): "LA",
    (16, 4): "RGBA",
    (8, 6): "RGBA",
    (16, 6): "RGBA",
}  # (bit depth, colour type) → Pillow's mode
_JPEG_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_JPEG_FRAMES = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended, progressive; others are not decoded everywhere
# Tables, comments and applications' segments: all but those of EXIF and XMP, and of several pictures (0xE2 is a colour
# profile, too).
_JPEG_PLAIN = frozenset((0xDB, 0xC4, 0xDD, 0xFE, 0xE0, *range(0xE3, 0xF0)))
_ihdr, _chunk, _frame = Struct(">I4sIIBBBBBI").unpack_from, Struct(">I4s").unpack_from, Struct(">HBHHB").unpack_from
_segment = Struct(">BBH").unpack_from


@dataclass(frozen=True)
class Peek:
    """What the ends of a file say.

    `whole`: its last bytes are those of a finished file; `fingerprint`: 64 bit of both ends and the size.
    """

    header: ImageHeader
    size: int  # bytes
    whole: bool
    fingerprint: int


def peek(path: str) -> Peek | None:
    """The header of a plain image file; None where there is no such file or Pillow has to look at it."""
    ends = _ends(path, HEAD_BYTES)
    if ends is None:
        return None
    size, head, tail = ends
    return _peek(
        size,
        head,
        tail,
        longer=lambda: (_ends(path, LONGER_HEAD) or (0, b"", b""))[1],
        turned_late=lambda behind: _turned_late(path, size, behind),
    )


def peek_bytes(content: bytes) -> Peek | None:
    """As `peek`, of a file that is in memory."""
    return _peek(
        len(content),
        content[:HEAD_BYTES],
        content[-TAIL_BYTES:],
        longer=lambda: content[:LONGER_HEAD],
        turned_late=lambda behind: orientation_behind_pixels(
            lambda start, count: content[start : start + count], len(content), behind, behind=True
        ),
    )


def _peek(
    size: int, head: bytes, tail: bytes, *, longer: Callable[[], bytes], turned_late: Callable[[int], bool]
) -> Peek | None:
    if head.startswith(_PNG):
        header, behind = _png(head)
        if header is not None and turned_late(behind):
            return None
    elif head.startswith(b"\xff\xd8\xff"):
        header = _jpeg(head)
        if header is None and size > HEAD_BYTES and not _has_exif(head):
            header = _jpeg(longer())
    else:
        header = _other(head)
    if header is None:
        return None
    return Peek(header, size, _is_whole(size, head, tail), fingerprint(size, head, tail))


def is_whole(path: str) -> bool:
    """Whether a file of any format ends as finished ones do; True where its format has no such mark."""
    ends = _ends(path, HEAD_BYTES)
    return ends is None or _is_whole(*ends)


def fingerprint_of(path: str) -> int | None:
    """`fingerprint` of any file; None where there is none."""
    ends = _ends(path, HEAD_BYTES)
    return ends and fingerprint(*ends)


def fingerprint(size: int, head: bytes, tail: bytes) -> int:
    """Files with different fingerprints are different; of those with the same one, nearly all are equal. 64 bit."""
    return crc32(head) << 32 | crc32(tail, size & 0xFFFFFFFF)


def _ends(path: str, head_bytes: int) -> tuple[int, bytes, bytes] | None:
    """(size, first bytes, last bytes) of a regular file."""
    try:
        handle = os.open(
            path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        )  # not blocking: a pipe is opened, seen and left
    except (OSError, ValueError):  # ValueError: a NUL byte in the name
        return None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            return None
        head = os.read(handle, head_bytes)
        return (
            found.st_size,
            head,
            (
                head[-TAIL_BYTES:]
                if found.st_size <= head_bytes
                else os.pread(handle, TAIL_BYTES, found.st_size - TAIL_BYTES)
            ),
        )
    except OSError:
        return None
    finally:
        os.close(handle)


def _is_whole(size: int, head: bytes, tail: bytes) -> bool:
    if head.startswith(_PNG):
        return tail.endswith(_PNG_END)
    if head.startswith(b"\xff\xd8\xff"):
        return tail.endswith(b"\xff\xd9")
    if head.startswith((b"GIF87a", b"GIF89a")):
        return tail.endswith(b"\x3b")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return size >= int.from_bytes(head[4:8], "little") + 8
    if head[:2] == b"BM" and _bmp(head):
        width, height = _bmp(head) or (0, 0)
        return size >= int.from_bytes(head[10:14], "little") + (width * 3 + 3) // 4 * 4 * height
    return True


def _png(head: bytes) -> tuple[ImageHeader | None, int]:
    """(header, where the first chunk of pixels ends)."""
    if len(head) < 41:
        return None, 0
    length, name, width, height, depth, colour, compression, filters, _, check = _ihdr(head, 8)
    mode = _PNG_MODES.get((depth, colour))
    if (
        length != 13
        or name != b"IHDR"
        or mode is None
        or compression
        or filters
        or not width
        or not height
        or crc32(head[12:29]) != check
    ):
        return None, 0
    place = 33
    while place + 8 <= len(head):
        length, name = _chunk(head, place)
        if name == b"IDAT":
            return ImageHeader(width, height, "PNG", mode), place + 12 + length
        end = place + 12 + length
        if (
            name not in _PNG_PLAIN
            or end > len(head)
            or crc32(head[place + 4 : end - 4]).to_bytes(4, "big") != head[end - 4 : end]
        ):
            return None, 0
        if name == b"tEXt" and head.startswith(b"Raw profile", place + 8):
            return None, 0
        place = end
    return None, 0


def orientation_behind_pixels(
    read: Callable[[int, int], bytes], size: int, place: int = len(_PNG), *, behind: bool = False
) -> bool:
    """Whether a chunk behind the pixels of a PNG may turn the image: eXIf, or a text that holds EXIF or XMP.

    `read(place, count)` gives bytes of the file, `size` is its size, `place` where a chunk begins, `behind` whether
    pixels came before it. Only the heads of chunks are read; True as well for a file of so many chunks that they are
    not all looked at.
    """
    for _ in range(MAX_CHUNKS):
        if place + 12 > size:
            return False
        head = read(place, 32)
        if len(head) < 8:
            return False
        length, name = _chunk(head, 0)
        if name == b"IDAT":
            behind = True
        elif name == b"IEND" or (
            behind and (name == b"eXIf" or (name in _PNG_TEXTS and head[8:].startswith(_PNG_TURNING)))
        ):
            return bool(name != b"IEND")
        place += 12 + length
    return True


def _turned_late(path: str, size: int, place: int) -> bool:
    """`orientation_behind_pixels` of a file whose first chunk of pixels ends at `place`."""
    if place + 12 >= size:  # and then the end: most small files
        return False
    try:
        handle = os.open(
            path,
            os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC,
        )
        try:
            read = os.pread
            for _ in range(MAX_CHUNKS):  # without the function below, for there may be very many
                head = read(handle, 8, place)
                if head[4:] != b"IDAT":
                    return orientation_behind_pixels(
                        lambda start, count: read(handle, count, start), size, place, behind=True
                    )
                place += 12 + int.from_bytes(head[:4], "big")
            return True
        finally:
            os.close(handle)
    except (OSError, OverflowError):
        return True


def _jpeg(head: bytes) -> ImageHeader | None:
    place, header = 2, None
    last = len(head) - 4
    for _ in range(MAX_SEGMENTS):
        if place > last:
            return None
        begin, marker, length = _segment(head, place)
        if begin != 0xFF:
            return None
        if marker == 0xDA:
            return header
        if marker in _JPEG_FRAMES:
            if header is not None or place + 10 > len(head):
                return None
            size, bits, height, width, layers = _frame(head, place + 2)
            if bits != 8 or layers not in _JPEG_MODES or size != 8 + 3 * layers or not width or not height:
                return None
            header = ImageHeader(width, height, "JPEG", _JPEG_MODES[layers])
        elif length < 2 or (
            marker not in _JPEG_PLAIN and not (marker == 0xE2 and head.startswith(b"ICC_PROFILE\0", place + 4))
        ):
            return None  # EXIF, XMP, or several pictures in one file
        place += 2 + length
    return None


def _has_exif(head: bytes) -> bool:
    return head[3:4] == b"\xe1" or b"Exif\0\0" in head[:64]


def _bmp(head: bytes) -> tuple[int, int] | None:
    """(width, height) of a BMP of 24 bits a pixel that is not packed."""
    if len(head) < 54 or head[14:18] != b"\x28\0\0\0" or head[26:34] != b"\1\0\x18\0\0\0\0\0":
        return None
    width = int.from_bytes(head[18:22], "little", signed=True)
    height = int.from_bytes(head[22:26], "little", signed=True)
    return (width, height) if width > 0 and height > 0 and int.from_bytes(head[10:14], "little") >= 54 else None


def _other(head: bytes) -> ImageHeader | None:
    """BMP and lossy WebP; what mode Pillow gives a GIF depends on its frames."""
    if head[:2] == b"BM" and (size := _bmp(head)):
        return ImageHeader(*size, "BMP", "RGB")
    if (
        head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8 " and head[23:26] == b"\x9d\x01\x2a" and not head[20] & 1
    ):  # one key frame
        width = int.from_bytes(head[26:28], "little") & 0x3FFF
        height = int.from_bytes(head[28:30], "little") & 0x3FFF
        return ImageHeader(width, height, "WEBP", "RGB") if width and height else None
    return None
