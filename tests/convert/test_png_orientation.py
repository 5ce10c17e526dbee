"""The EXIF orientation of a PNG, wherever it stands: what Pillow finds by decoding everything, found without
decoding.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from sft.convert.prepare_image import ImagePreparer
from sft.formats.base import Picture
from sft.images import headers, reader
from sft.images.reader import ImageProblem, orientation, probe

EXIF = Image.Exif()
EXIF[reader.EXIF_ORIENTATION] = 6
TIFF = EXIF.tobytes().removeprefix(b"Exif\0\0")
PROFILE = b"Raw profile type exif\0\nexif\n%8d\n" % len(TIFF) + TIFF.hex().encode() + b"\n"
XMP = b'XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
ZTXT = b"Raw profile type exif\0\0" + zlib.compress(PROFILE.partition(b"\0")[2])
TURNING = {"eXIf": TIFF, "tEXt": PROFILE, "zTXt": ZTXT, "iTXt": XMP}


def chunk(name: str, content: bytes, length: int | None = None) -> bytes:
    body = name.encode() + content
    return struct.pack(">I", len(content) if length is None else length) + body + struct.pack(">I", zlib.crc32(body))


def png(
    before: bytes = b"",
    behind: bytes = b"",
    *,
    parts: int = 1,
    width: int = 60,
    height: int = 40,
    end: bytes | None = None,
) -> bytes:
    """A grey PNG with chunks before and behind its pixels, which are cut into `parts` chunks."""
    pixels = zlib.compress(
        b"".join(b"\0" + bytes((row * 31 + column * 7) % 251 for column in range(width)) for row in range(height)), 0
    )
    step = len(pixels) // parts + 1
    data = b"".join(chunk("IDAT", pixels[at : at + step]) for at in range(0, len(pixels), step))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk("IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + before
        + data
        + behind
        + (chunk("IEND", b"") if end is None else end)
    )


def by_decoding(content: bytes) -> int:
    """What Pillow says itself; 1 where it says nothing that means anything."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            value = int(image.getexif().get(reader.EXIF_ORIENTATION, 1))
    except Exception:
        return 1
    return value if 1 <= value <= 8 else 1


def found(content: bytes) -> int:
    with Image.open(io.BytesIO(content)) as image:
        return orientation(image)


def agree(path: Path, content: bytes, expected: int) -> None:
    """All three ways say the same: of an opened image, of a file by its ends, of a picture to be stored."""
    assert found(content) == by_decoding(content) == expected
    path.write_bytes(content)
    assert probe(path).exif_orientation == expected
    for picture in (Picture(path=path), Picture(data=content)):
        assert (ImagePreparer().prepare(picture).pixels is None) is (expected == 1)


@pytest.mark.parametrize("name", TURNING)
@pytest.mark.parametrize("parts", [1, 2, 40])
def test_wherever_it_stands(tmp_path: Path, name: str, parts: int) -> None:
    turning = chunk(name, TURNING[name])
    agree(tmp_path / "a.png", png(turning, parts=parts), 6)
    agree(tmp_path / "b.png", png(behind=turning, parts=parts), 6)
    agree(
        tmp_path / "c.png",
        png(behind=chunk("tEXt", b"date\0today") + turning + chunk("tIME", b"\7\xea\1\1\1\1\1"), parts=parts),
        6,
    )
    agree(tmp_path / "d.png", png(behind=turning, parts=parts, width=600, height=400), 6)


@pytest.mark.parametrize("name", ["tEXt", "zTXt", "iTXt", "tIME", "prVt"])
@pytest.mark.parametrize("parts", [1, 40])
def test_other_chunks_turn_nothing(tmp_path: Path, name: str, parts: int) -> None:
    content = {
        "tEXt": b"date:create\0today",
        "zTXt": b"note\0\0" + zlib.compress(b"x"),
        "iTXt": b"note\0\0\0\0\0x",
        "tIME": b"\7\xea\1\1\1\1\1",
        "prVt": b"eXIf" * 9,
    }[name]
    agree(tmp_path / "a.png", png(parts=parts), 1)
    agree(tmp_path / "b.png", png(chunk(name, content), parts=parts), 1)
    agree(tmp_path / "c.png", png(behind=chunk(name, content), parts=parts), 1)


def test_a_png_without_it_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: PngImagePlugin.PngImageFile) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    for content in (png(), png(parts=40), png(chunk("eXIf", TIFF)), png(behind=chunk("tEXt", b"date\0today"))):
        assert ImagePreparer().prepare(Picture(data=content)) if b"eXIf" not in content else found(content) == 6


def test_where_it_stands_after_decoding_is_remembered() -> None:
    with Image.open(io.BytesIO(png(behind=chunk("eXIf", TIFF)))) as image:
        assert orientation(image) == 6
        image.load()
        assert orientation(image) == 6
    with Image.open(io.BytesIO(png(behind=chunk("eXIf", TIFF)))) as image:
        image.load()
        assert orientation(image) == 6


def test_the_image_can_be_decoded_afterwards() -> None:
    with Image.open(io.BytesIO(png(parts=40))) as image, Image.open(io.BytesIO(png())) as other:
        assert orientation(image) == 1
        assert image.tobytes() == other.tobytes()


@pytest.mark.parametrize("keep", range(5, 60, 7))
@pytest.mark.parametrize("behind", [b"", chunk("eXIf", TIFF)], ids=["plain", "turned"])
def test_truncated_files_are_refused(tmp_path: Path, keep: int, behind: bytes) -> None:
    content = png(behind=behind, parts=3)
    (tmp_path / "a.png").write_bytes(content[:-keep])
    assert found(content[:-keep]) in (1, 6)
    with pytest.raises(ImageProblem) as caught:
        ImagePreparer(deep=True).prepare(Picture(path=tmp_path / "a.png"))
    assert caught.value.code in ("image.truncated", "image.unreadable")


@pytest.mark.parametrize("length", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF4])
def test_hostile_lengths(tmp_path: Path, length: int) -> None:
    for content in (
        png(behind=chunk("prVt", b"xy", length) + chunk("eXIf", TIFF)),
        png(behind=chunk("eXIf", TIFF, length)),
        png(behind=chunk("IDAT", b"", length), end=b""),
    ):
        assert found(content) in (1, 6)
        (tmp_path / "a.png").write_bytes(content)
        for deep in (False, True):
            try:
                ImagePreparer(deep=deep).prepare(Picture(path=tmp_path / "a.png"))
                probe(tmp_path / "a.png", decode=deep)
            except ImageProblem as problem:
                assert problem.code in ("image.truncated", "image.unreadable")


def test_very_many_chunks_are_left_to_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = png(behind=chunk("tIME", b"\7\xea\1\1\1\1\1") * 500 + chunk("eXIf", TIFF))
    reads = []

    def read(place: int, count: int) -> bytes:
        reads.append(count)
        return content[place : place + count]

    assert headers.orientation_behind_pixels(read, len(content))
    assert len(reads) < 510 and max(reads) <= 32, "heads only"
    monkeypatch.setattr(headers, "MAX_CHUNKS", 100)
    assert headers.orientation_behind_pixels(read, len(content)), "it may be so"
    assert found(content) == 6
    assert found(png(behind=chunk("tIME", b"\7\xea\1\1\1\1\1") * 500)) == 1
    for behind, expected in ((b"", 1), (chunk("eXIf", TIFF), 6)):
        agree(tmp_path / "a.png", png(chunk("IDAT", b""), chunk("IDAT", b"") * 300 + behind, parts=3), expected)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(
        st.sampled_from(
            [
                chunk("eXIf", TIFF),
                chunk("tEXt", PROFILE),
                chunk("iTXt", XMP),
                chunk("tEXt", b"a\0b"),
                chunk("eXIf", b"x"),
                chunk("eXIf", b""),
            ]
        ),
        max_size=4,
    ),
    st.integers(0, 4),
    st.integers(1, 5),
)
def test_any_order_of_chunks(tmp_path: Path, chunks: list[bytes], before: int, parts: int) -> None:
    content = png(b"".join(chunks[:before]), b"".join(chunks[before:]), parts=parts)
    assert found(content) == by_decoding(content)
    (tmp_path / "a.png").write_bytes(content)
    assert probe(tmp_path / "a.png").exif_orientation == by_decoding(content)
