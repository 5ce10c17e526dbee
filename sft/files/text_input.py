"""Text files as other programs write them: UTF-8, or UTF-16 where a byte order mark says so; and what a file is that
holds no text.

Excel's "Unicode text" and the redirection of Windows PowerShell write UTF-16 with a byte order mark. `open_text` hands
such a file on as UTF-8, line by line and with positions that can be returned to, so that readers of lines need not
know. A workbook, an archive or an image in the place of a text file is a UsageError that calls it what it is.
"""

from __future__ import annotations

import io
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from sft.errors import UsageError
from sft.files.atomic import open_input

UTF16 = {BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
UTF32 = (BOM_UTF32_LE, BOM_UTF32_BE)
ZIP = b"PK\x03\x04"
ZIP_HEAD = 64 << 10  # bytes of a zip file in which the names of its first members stand
# what stands in the head of a zip file → what it is, and what to do with it
IN_ZIP: dict[bytes, tuple[str, str]] = {
    b"xl/": ("an Excel workbook", "`sft convert xlsx` reads it"),
    b"opendocument.spreadsheet": ("an OpenDocument spreadsheet", "save the sheet as CSV in UTF-8"),
    b"word/": ("a Word document", "save it as plain text in UTF-8"),
    b"[Content_Types].xml": ("an Office document", "save it as CSV or plain text in UTF-8"),
}
# how files begin that hold no text
MAGIC: dict[bytes, tuple[str, str]] = {
    ZIP: ("a zip archive", "unpack it, and name a file in it"),
    b"PK\x05\x06": ("an empty zip archive", "unpack it, and name a file in it"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": (
        "an old Office document, probably an Excel workbook (.xls)",
        "save the sheet as CSV UTF-8",
    ),
    b"\x1f\x8b": ("a gzip archive", "unpack it, and name a file in it"),
    b"BZh9": ("a bzip2 archive", "unpack it, and name a file in it"),
    b"\xfd7zXZ\x00": ("an xz archive", "unpack it, and name a file in it"),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "unpack it, and name a file in it"),
    b"Rar!\x1a\x07": ("a RAR archive", "unpack it, and name a file in it"),
    b"%PDF-": ("a PDF document", "name the file that holds the labels"),
    b"\x89PNG\r\n": ("a PNG image", "name the file that holds the labels"),
    b"\xff\xd8\xff": ("a JPEG image", "name the file that holds the labels"),
    b"PAR1\x15": ("a Parquet file", "`sft convert hf` reads it"),
    b"ARROW1\x00": ("an Arrow file", "`sft convert hf` reads it"),
    b"SQLite format 3\x00": ("an SQLite database", "export the table as CSV"),
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "run `git lfs pull` there"),
}
_HEAD = 64  # bytes that tell what a file is


class NotText(UsageError):
    """A file that is no text file; one of many in a folder is one reject, and not the end of all."""


@contextmanager
def open_text(path: Path) -> Iterator[IO[bytes]]:
    """A text file as a stream of UTF-8 bytes, the byte order mark first where there is one; lines, `tell` and `seek`
    work.

    Raises UsageError where the file cannot be opened, NotText where it is no text file by its first bytes.
    """
    with open_input(path) as stream:
        head = stream.read(_HEAD)
        stream.seek(0)
        if kind := what_it_is(head, stream):
            raise NotText(
                f"this is {kind[0]}, not a text file",
                where=str(path),
                hint=kind[1],
            )
        if head.startswith(UTF32):
            raise NotText("this text is in UTF-32", where=str(path), hint="`iconv -f UTF-32 -t UTF-8 OLD > NEW`")
        codec = UTF16.get(head[:2])
        yield cast("IO[bytes]", Utf16Lines(stream, codec)) if codec else stream


def what_it_is(head: bytes, stream: IO[bytes] | None = None) -> tuple[str, str] | None:
    """What a file is that is no text, by its first bytes, and what to do with it; None for text.

    `stream`: the file, read further where a zip archive may be a workbook; it is left at its beginning.
    """
    kind = next(
        (said for magic, said in MAGIC.items() if head.startswith(magic)),
        None,
    )
    if head.startswith(ZIP) and stream is not None:
        members = stream.read(ZIP_HEAD)
        stream.seek(0)
        kind = next(
            (said for name, said in IN_ZIP.items() if name in members),
            kind,
        )
    return kind


def to_utf8(content: bytes) -> bytes:
    """The whole of a small text file as UTF-8, without its byte order mark; what is neither UTF-8 nor UTF-16 stays as
    it is.
    """
    codec = UTF16.get(content[:2])
    if codec is None or content.startswith(UTF32):
        return content.removeprefix(BOM_UTF8)
    return _recoded(content[2:], codec)


def _recoded(raw: bytes, codec: str) -> bytes:
    """UTF-16 as UTF-8. Half a character becomes bytes that are no UTF-8, so that its line is refused and not fixed."""
    try:
        return raw.decode(codec).encode()
    except UnicodeError:
        whole = (
            raw[: len(raw) // 2 * 2]
            .decode(codec, "surrogatepass")
            .encode(
                "utf-8",
                "surrogatepass",
            )
        )
        return whole + b"\xff" * (len(raw) % 2)


class Utf16Lines(io.BufferedIOBase):
    """A stream of UTF-16 read as UTF-8. Positions are those of the file itself, always between two characters."""

    def __init__(self, stream: IO[bytes], codec: str) -> None:
        self._stream, self._codec = stream, codec
        self._low_first = codec == "utf-16-le"

    def readline(self, size: int | None = -1, /) -> bytes:
        """The next line with its end; at most about `size` characters of it."""
        limit = 2 * size if size is not None and size >= 0 else -1
        raw = bytearray()
        while limit < 0 or len(raw) < limit:
            piece = self._stream.readline(limit - len(raw) if limit >= 0 else -1)
            raw += piece
            if len(raw) % 2 and (other := self._stream.read(1)):
                raw += other
            if not piece or self._ends_a_line(raw):
                break
        return _recoded(bytes(raw), self._codec)

    def _ends_a_line(self, raw: bytearray) -> bool:
        """Whether the last character is a line feed: the byte 0A alone is also half of many others (U+0A05, U+010A)."""
        return len(raw) % 2 == 0 and raw.endswith(b"\n\0" if self._low_first else b"\0\n")

    def read(self, size: int | None = -1, /) -> bytes:
        """About `size` bytes."""
        return _recoded(
            self._stream.read(-1 if size is None or size < 0 else max(2, size // 2 * 2)),
            self._codec,
        )

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As of the file."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """As of the file."""
        return self._stream.tell()

    def fileno(self) -> int:
        """As of the file."""
        return self._stream.fileno()
