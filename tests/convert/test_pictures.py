"""Images on the way: what may stay, what is mended, what is refused; and crops as PaddleOCR cuts them."""

from __future__ import annotations

import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from sft.convert.prepare_image import ImagePreparer, PreparedImage
from sft.formats.base import Picture
from sft.images.crops import crop
from sft.images.reader import EXIF_ORIENTATION, MAX_FILE_BYTES, ImageProblem


def pattern(width: int = 60, height: int = 40) -> Any:
    """A picture without any symmetry."""
    ys, xs = np.mgrid[0:height, 0:width]
    return np.stack([xs * 255 // width, ys * 255 // height, (xs * 7 + ys * 13) % 256], axis=2).astype(np.uint8)


def packed(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def look(data: bytes, *, deep: bool = False, **more: Any) -> PreparedImage:
    return ImagePreparer(deep=deep).prepare(Picture(data=data, **more))


def refused(data: bytes, *, deep: bool = False, **more: Any) -> str:
    with pytest.raises(ImageProblem) as caught:
        look(data, deep=deep, **more)
    return caught.value.code


RGB = Image.fromarray(pattern())
KEPT = {
    "png": packed(RGB, "PNG"),
    "jpg": packed(RGB, "JPEG"),
    "grey jpg": packed(RGB.convert("L"), "JPEG"),
    "cmyk jpg": packed(RGB.convert("CMYK"), "JPEG"),
    "webp": packed(RGB, "WEBP"),
    "bmp": packed(RGB, "BMP"),
    "gif": packed(RGB, "GIF"),
    "ppm": packed(RGB, "PPM"),
    "tif": packed(RGB, "TIFF"),
    "tif, packed": packed(RGB, "TIFF", compression="tiff_deflate"),
    "jp2": packed(RGB, "JPEG2000"),
    "1 bit": packed(RGB.convert("1"), "PNG"),
    "palette": packed(RGB.convert("P"), "PNG"),
    "rgba that hides nothing": packed(RGB.convert("RGBA"), "PNG"),
    "ycbcr": packed(RGB.convert("YCbCr"), "TIFF"),
    "jpg with zeros behind": packed(RGB, "JPEG") + bytes(100),
    "png with a word behind": packed(RGB, "PNG") + b"tail",
    "jpg with a word behind": packed(RGB, "JPEG") + b"tail",
}


@pytest.mark.parametrize("name", KEPT)
def test_what_trainers_read_as_people_do_stays(name: str) -> None:
    found = look(KEPT[name])
    assert (found.pixels, found.width, found.height) == (None, 60, 40)
    assert look(KEPT[name], deep=True) == found
    assert found.extension == (Image.open(io.BytesIO(KEPT[name])).format or "").lower().replace(
        "jpeg2000", "jp2"
    ).replace("jpeg", "jpg").replace("tiff", "tif")


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation_is_baked_in(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    data = packed(RGB, kind, exif=exif, **options)
    found = look(data)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert found.pixels is not None and np.array_equal(found.pixels, expected)
    assert (found.width, found.height, found.extension) == ((60, 40) if orientation < 5 else (40, 60)) + ("png",)
    assert (
        np.abs(found.pixels.astype(int) - np.asarray(turned(orientation)).astype(int)).mean() < 12
    )  # JPEG is not exact


def turned(orientation: int) -> Any:
    """The pattern as the standard says: where row 0 and column 0 of the stored picture are seen."""
    stored = pattern()
    return {
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]


@pytest.mark.parametrize("value", [0, 1, 9, 255])
def test_an_orientation_that_means_nothing_changes_nothing(value: int) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = value
    assert look(packed(RGB, "JPEG", exif=exif)).pixels is None


def test_transparency_is_put_on_white() -> None:
    ink = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    ink.putpixel((3, 4), (10, 20, 30, 255))
    pixels = look(packed(ink, "PNG")).pixels
    assert pixels is not None and pixels.shape == (10, 20, 3)
    assert tuple(pixels[4, 3]) == (10, 20, 30) and (np.delete(pixels.reshape(-1, 3), 83, axis=0) == 255).all()
    grey = look(packed(ink.convert("LA"), "PNG")).pixels
    assert grey is not None and grey.shape == (10, 20) and grey[0, 0] == 255
    palette = Image.new("P", (20, 10), 0)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    palette.putpixel((3, 4), 1)
    seen = look(packed(palette, "PNG", transparency=0)).pixels
    assert seen is not None and tuple(seen[0, 0]) == (255, 255, 255) and tuple(seen[4, 3]) == (200, 0, 0)


def test_deep_greys_are_brought_to_eight_bits() -> None:
    deep = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    for data in (
        packed(Image.fromarray(deep), "PNG"),
        packed(Image.fromarray(deep), "TIFF"),
        packed(Image.fromarray(deep.astype(np.int32)), "TIFF"),
    ):
        pixels = look(data).pixels
        assert pixels is not None and np.array_equal(pixels, np.arange(256).reshape(16, 16))
    small = look(packed(Image.fromarray((deep >> 8).astype(np.int32)), "TIFF")).pixels
    assert small is not None and np.array_equal(small, deep >> 8)
    floats = look(packed(Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)), "TIFF")).pixels
    assert floats is not None and floats[0, 0] == 0 and floats[-1, -1] == 255
    huge = look(packed(Image.fromarray(np.array([[0, 2**30], [2**29, float("nan")]], np.float32)), "TIFF")).pixels
    assert huge is not None and huge.tolist() == [[0, 255], [127, 0]]
    lab = look(packed(Image.new("LAB", (60, 40)), "TIFF")).pixels
    assert lab is not None and lab.shape == (40, 60, 3)


@pytest.mark.parametrize("name", [name for name in KEPT if "behind" not in name])
def test_a_truncated_file_is_found_without_reading_every_pixel(name: str) -> None:
    data = KEPT[name]
    noisy = {"png": "PNG", "jpg": "JPEG"}.get(name)
    if noisy:
        data = packed(Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)), noisy)
    assert refused(data[: len(data) * 2 // 3]) in ("image.truncated", "image.unreadable")


def test_deep_finds_what_lies_between_a_sound_head_and_end() -> None:
    data = bytearray(packed(Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)), "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert look(bytes(data)).pixels is None
    assert refused(bytes(data), deep=True) == "image.truncated"


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (bomb(100_000, 100_000), "image.too_large"),
        (bomb(13_400, 13_400), "image.too_large"),
        (bomb(0, 5), "image.unreadable"),
        (b"", "image.unreadable"),
        (b"GIF89a", "image.unreadable"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image.unreadable"),
        (b"<svg/>", "image.unreadable"),
        (b"PK\x03\x04", "image.unreadable"),
        (bytes(1000), "image.unreadable"),
        (KEPT["png"][:90], "image.truncated"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_code(data: bytes, code: str) -> None:
    assert refused(data) == code
    assert refused(data, quad=((0, 0), (9, 0), (9, 9), (0, 9))) in (code, "image.truncated")


def test_files_that_are_none(tmp_path: Path) -> None:
    def code(path: Path) -> str:
        with pytest.raises(ImageProblem) as caught:
            ImagePreparer().prepare(Picture(path=path))
        return caught.value.code

    assert (
        code(tmp_path / "none.png")
        == code(tmp_path)
        == code(tmp_path / "a\0b.png")
        == code(tmp_path / ("x" * 5000))
        == "image.missing"
    )
    fifo = tmp_path / "pipe.png"
    os.mkfifo(fifo)
    assert code(fifo) == "image.missing"
    with (tmp_path / "huge.png").open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    assert code(tmp_path / "huge.png") == "image.too_large"
    with pytest.raises(ImageProblem, match="no image"):
        ImagePreparer().prepare(Picture())


# crops


def paddleocr(page: Any, quad: Any) -> Any:
    """The rectification of PaddleOCR's recogniser crops, written down from its description: sides, transform, border,
    filter.
    """
    points = np.array(quad, np.float32)
    width = int(max(np.linalg.norm(points[0] - points[1]), np.linalg.norm(points[2] - points[3])))
    height = int(max(np.linalg.norm(points[0] - points[3]), np.linalg.norm(points[1] - points[2])))
    matrix = cv2.getPerspectiveTransform(
        points, np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    )
    return cv2.warpPerspective(page, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    "quad",
    [
        ((10, 10), (50, 10), (50, 30), (10, 30)),
        ((10, 12), (50, 8), (52, 30), (9, 33)),
        ((-5, -5), (20, -5), (20, 12), (-5, 12)),
        ((30, 5), (55, 20), (45, 35), (20, 20)),
        ((10.4, 10.6), (50.2, 10.1), (50.9, 30.3), (10.7, 30.8)),
        ((50, 30), (10, 30), (10, 10), (50, 10)),
    ],
)
@pytest.mark.parametrize("grey", [False, True])
def test_a_crop_is_the_one_paddleocr_cuts(quad: Any, grey: bool) -> None:
    page = pattern()[:, :, 0].copy() if grey else pattern()
    assert np.array_equal(crop(page, quad), paddleocr(page, quad))


def test_an_upright_box_is_cut_out_to_the_pixel() -> None:
    page = pattern()
    assert np.array_equal(crop(page, ((10, 5), (50, 5), (50, 30), (10, 30))), page[5:30, 10:50])


@given(
    st.integers(1, 70),
    st.integers(1, 50),
    st.booleans(),
    st.data(),
)
def test_a_straight_box_is_copied_as_the_transform_would_copy_it(
    width: int, height: int, grey: bool, data: st.DataObject
) -> None:
    page = np.random.default_rng(width * 100 + height).integers(0, 256, (height, width, 3)).astype(np.uint8)
    page = page[:, :, 0].copy() if grey else page
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    quad = ((left, top), (right, top), (right, bottom), (left, bottom))
    cut = crop(page, quad)
    assert np.array_equal(cut, paddleocr(page, quad)) and cut.flags.c_contiguous


def test_a_side_that_no_png_reader_takes_is_refused() -> None:
    from sft.convert.image_store import _png

    with pytest.raises(ImageProblem, match="cannot be written as PNG") as caught:
        _png(np.zeros((1_000_001, 1), np.uint8))
    assert caught.value.code == "image.too_large"


def test_a_straight_box_needs_no_transform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "warpPerspective", None)
    assert np.array_equal(crop(pattern(), ((10, 5), (50, 5), (50, 30), (10, 30))), pattern()[5:30, 10:50])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_plain_image_in_memory_is_not_opened(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed(RGB, kind)
    monkeypatch.setattr(Image, "open", None)
    assert ImagePreparer().prepare(Picture(data=data)) == PreparedImage(
        RGB.width, RGB.height, "png" if kind == "PNG" else "jpg"
    )


@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (1, 900, 3), (48, 1, 3), (31, 64, 3)])
def test_pixels_that_are_stored_are_the_pixels_that_are_read(shape: tuple[int, ...]) -> None:
    from sft.convert.image_store import _png

    pixels = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    with Image.open(io.BytesIO(_png(pixels))) as image:
        assert image.mode == ("L" if len(shape) == 2 else "RGB")
        assert np.array_equal(np.asarray(image), pixels)


def test_more_than_four_points_are_cut_as_their_smallest_rectangle() -> None:
    page = pattern()
    outline = ((10, 10), (30, 10), (50, 10), (50, 30), (30, 30), (10, 30))
    assert np.array_equal(crop(page, outline), page[10:30, 10:50])
    leaning = ((10, 20), (30, 10), (50, 20), (51, 21), (31, 31), (11, 21))
    assert np.array_equal(crop(page, leaning), crop(page, leaning[2:] + leaning[:2]))


@pytest.mark.parametrize(
    "quad",
    [
        ((10, 5), (10, 30), (50, 30), (50, 5)),
        ((50, 5), (10, 5), (10, 30), (50, 30)),
        ((50, 30), (50, 5), (10, 5), (10, 30)),
    ],
)
def test_points_against_the_clock_are_not_mirrored(quad: Any) -> None:
    page = pattern()
    assert np.array_equal(crop(page, quad), page[5:30, 10:50])


def test_sides_that_cross_are_read_as_an_outline() -> None:
    page = pattern()
    assert np.array_equal(crop(page, ((10, 5), (50, 5), (10, 30), (50, 30))), page[5:30, 10:50])


@pytest.mark.parametrize(
    "quad",
    [
        ((10, 10), (10, 10), (10, 10), (10, 10)),
        ((10, 10), (50, 10), (50, 10), (10, 10)),
        ((10, 10), (20, 20), (30, 30), (40, 40)),
        ((60, 0), (80, 0), (80, 9), (60, 9)),
        ((-9, 0), (0, 0), (0, 9), (-9, 9)),
        ((0, 0), (1e9, 0), (1e9, 1e9), (0, 1e9)),
        ((math.nan, 0), (9, 0), (9, 9), (0, 9)),
        ((0, 0), (math.inf, 0), (9, 9), (0, 9)),
        ((0, 0), (9, 0), (9, 9)),
        ((0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5)),
        tuple((n % 60, n % 40) for n in range(20_000)),
    ],
)
def test_a_box_that_cuts_nothing_out_is_refused(quad: Any) -> None:
    with pytest.raises(ImageProblem) as caught:
        crop(pattern(), quad)
    assert caught.value.code == "source.geometry"


numbers = st.floats(-200, 200) | st.sampled_from([0.0, 40.0, 60.0, math.nan, math.inf, 1e300])


@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=7))
@settings(max_examples=400, deadline=None)
def test_any_outline_gives_pixels_or_a_reason(points: list[tuple[float, float]]) -> None:
    try:
        cut = crop(pattern(), tuple(points))
    except ImageProblem as problem:
        assert problem.code == "source.geometry"
    else:
        assert cut.dtype == np.uint8 and cut.shape[2] == 3 and 1 <= cut.shape[0] <= 400 and 1 <= cut.shape[1] <= 400


def test_boxes_count_in_the_upright_image() -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    found = look(packed(RGB, "PNG", exif=exif), quad=((5, 10), (25, 10), (25, 40), (5, 40)))
    assert found.pixels is not None and np.array_equal(found.pixels, np.rot90(pattern(), -1)[10:40, 5:25])


def test_tall_crops_are_turned_where_that_is_wanted() -> None:
    tall, nearly = ((5, 5), (15, 5), (15, 20), (5, 20)), ((5, 5), (15, 5), (15, 19), (5, 19))
    data = packed(RGB, "PNG")
    assert look(data, quad=tall).pixels is not None and (look(data, quad=tall).width, look(data, quad=tall).height) == (
        10,
        15,
    )
    turned_crop = look(data, quad=tall, turn=True)
    assert turned_crop.pixels is not None and np.array_equal(turned_crop.pixels, np.rot90(pattern()[5:20, 5:15]))
    assert (look(data, quad=nearly, turn=True).width, look(data, quad=nearly, turn=True).height) == (10, 14)
    assert look(data, turn=True).pixels is None
    upright = look(packed(RGB.transpose(Image.Transpose.ROTATE_90), "PNG"), turn=True)
    assert (upright.width, upright.height) == (60, 40) and upright.pixels is not None


def test_a_page_is_decoded_once_for_all_its_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.png"
    path.write_bytes(KEPT["png"])
    opened: list[object] = []
    really = Image.open

    def counting(*args: Any, **more: Any) -> Image.Image:
        opened.append(args)
        return really(*args, **more)

    monkeypatch.setattr(Image, "open", counting)
    eye = ImagePreparer()
    for picture in (Picture(path=path), Picture(data=KEPT["jpg"])):
        opened.clear()
        for left in range(10):
            eye.prepare(
                Picture(path=picture.path, data=picture.data, quad=((left, 0), (left + 9, 0), (left + 9, 9), (left, 9)))
            )
        assert len(opened) == 1
    before = eye.prepare(Picture(path=path, quad=((0, 0), (9, 0), (9, 9), (0, 9)))).pixels
    path.write_bytes(packed(ImageOps.invert(RGB), "PNG"))
    after = eye.prepare(Picture(path=path, quad=((0, 0), (9, 0), (9, 9), (0, 9)))).pixels
    assert before is not None and after is not None and not np.array_equal(before, after)
