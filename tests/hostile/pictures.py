"""Images that are none, that are too much, that are odd but good; and things that are no files."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from hostile.kit import Content, png


def saved(mode: str, size: tuple[int, int], kind: str, **more: Any) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, more.pop("color", 0)).save(stream, kind, **more)
    return stream.getvalue()


def noise(kind: str, **more: Any) -> bytes:
    stream = io.BytesIO()
    Image.frombytes("RGB", (64, 48), random.Random(kind).randbytes(64 * 48 * 3)).save(stream, kind, **more)
    return stream.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(
    width: int, height: int, *, bits: int = 8, colour: int = 0, before: bytes = b"", pixels: bytes = b""
) -> bytes:
    """A PNG whose header says what it likes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + before
        + chunk(b"IDAT", pixels or zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


def squeezed(size: int) -> bytes:
    """Zeros, compressed."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()])


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../../evil.png", png("alpha"))
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("../../evil.png")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"evil"))
    return stream.getvalue()


class Bomb:
    """Whoever unpickles it is sorry."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, ("UNPICKLED",)


def pickled() -> bytes:
    return pickle.dumps(Bomb())


def animated(kind: str) -> bytes:
    stream = io.BytesIO()
    frames = [Image.new("L", (64, 48), shade) for shade in (0, 99, 255)]
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:])
    return stream.getvalue()


def exif(orientation: int) -> bytes:
    image, stream = Image.new("RGB", (64, 40), "red"), io.BytesIO()
    tags = Image.Exif()
    tags[0x0112] = orientation
    image.save(stream, "JPEG", exif=tags)
    return stream.getvalue()


def large_tiff() -> bytes:
    """Little-endian, one strip, said to be 60,000 x 60,000."""
    tags = [
        (256, 4, 60_000),
        (257, 4, 60_000),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, 60_000),
        (279, 4, 4_000_000_000),
    ]
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
        + bytes(4)
    )


OTHERS: dict[str, Callable[[], bytes]] = {
    "zip": zipped,
    "tar": tarred,
    "gzip": lambda: gzip.compress(png("alpha"), mtime=0),
    "pickle": pickled,
    "npy": lambda: (
        b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(127) + b"\n" + pickled()
    ),
    "pdf": lambda: b"%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/Launch/F(cmd)>>>>endobj\n%%EOF",
    "elf": lambda: b"\x7fELF\x02\x01\x01" + bytes(200),
    "html": lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "lfs": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
}

BROKEN: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one byte": lambda: b"\x89",
    "zeros": lambda: bytes(5000),
    "noise": lambda: random.Random(5).randbytes(5000),
    "png cut in its header": lambda: png("alpha")[:20],
    "png cut in its pixels": lambda: png("alpha")[: len(png("alpha")) // 2],
    "png without its end": lambda: png("alpha")[:-12],
    "png header alone": lambda: png("alpha")[:8],
    "png with wrong sums": lambda: png("alpha").replace(b"IDAT", b"IDAt"),
    "jpeg cut": lambda: noise("JPEG")[:400],
    "jpeg without its end": lambda: noise("JPEG")[:-2],
    "jpeg of markers": lambda: b"\xff\xd8" + b"\xff\xe1\x00\x02" * 5000,
    "gif cut": lambda: noise("GIF")[:-200],
    "webp cut": lambda: noise("WEBP")[:-200],
    "tiff cut": lambda: noise("TIFF")[:-200],
    "tiff in a circle": lambda: b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "bmp of a wrong size": lambda: noise("BMP")[:18] + struct.pack("<ii", 2**31 - 1, -(2**31)) + noise("BMP")[26:],
    "no width": lambda: png_of(0, 10),
}
BOMBS: dict[str, Callable[[], bytes]] = {
    "png of 60,000 x 60,000": lambda: png_of(60_000, 60_000, pixels=squeezed(8 << 20)),
    "png of 2^31": lambda: png_of(2**31 - 1, 2**31 - 1),
    "png whose text unpacks": lambda: png_of(10, 10, before=chunk(b"zTXt", b"a\0\0" + squeezed(80 << 20))),
    "png whose profile unpacks": lambda: png_of(10, 10, before=chunk(b"iCCP", b"a\0\0" + squeezed(80 << 20))),
    "png of too many pixels": lambda: png_of(10, 10, pixels=squeezed(64 << 20)),
    "gif of 65,535 x 65,535": lambda: b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + bytes(6) + b";",
    "ppm of a million": lambda: b"P6 1000000 1000000 255\n" + bytes(99),
    "tiff of 60,000 x 60,000": lambda: large_tiff(),
}
NOT_READ: dict[str, Callable[[], bytes]] = {
    "svg": lambda: (
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/><script>alert(1)</script></svg>'
    ),
    "postscript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(%pipe%id) (r) file\nshowpage\n%%EOF\n",
    "ico": lambda: saved("RGB", (32, 32), "ICO"),
    "xbm": lambda: b"#define a_width 8\n#define a_height 8\nstatic char a_bits[] = {0x00};\n",
    **OTHERS,
}
ODD: dict[str, Callable[[], bytes]] = {
    "1 x 1": lambda: saved("L", (1, 1), "PNG"),
    "1 x 5000": lambda: saved("L", (1, 5000), "PNG"),
    "cmyk": lambda: saved("CMYK", (64, 48), "JPEG"),
    "16 bits": lambda: saved("I;16", (64, 48), "PNG"),
    "32 bits": lambda: saved("F", (64, 48), "TIFF"),
    "one bit": lambda: saved("1", (64, 48), "PNG"),
    "transparent": lambda: saved("RGBA", (64, 48), "PNG"),
    "palette": lambda: saved("P", (64, 48), "PNG", transparency=0),
    "gif with motion": lambda: animated("GIF"),
    "png with motion": lambda: animated("PNG"),
    "webp with motion": lambda: animated("WEBP"),
    "mpo": lambda: animated("MPO"),
    "jpeg under the name of png": lambda: noise("JPEG"),
    "turned by exif": lambda: exif(6),
    "exif of nonsense": lambda: exif(99),
    "something behind the end": lambda: png("alpha") + zipped(),
}
GROUPS: dict[str, dict[str, Callable[[], bytes]]] = {"broken": BROKEN, "bombs": BOMBS, "not read": NOT_READ, "odd": ODD}


@cache
def group(name: str) -> dict[str, bytes]:
    """All images of a group; made once."""
    return {key: make() for key, make in GROUPS[name].items()}


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.write(png("alpha"))
        stream.truncate(1 << 40)  # takes no room


SPECIAL: dict[str, Content] = {
    "a folder": Path.mkdir,
    "a pipe": lambda path: os.mkfifo(path),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("gone"),
    "a link to /etc/passwd": lambda path: path.symlink_to("/etc/passwd"),
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to a folder": lambda path: path.symlink_to(".."),
    "a sparse file": sparse,
}
