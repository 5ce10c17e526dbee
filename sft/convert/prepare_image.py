"""One image on its way from a source to a sample: is it whole, may the file stay as it is, and what are its pixels if
not.

A file stays as it is unless a trainer would read something else from it than a person sees:

- an EXIF orientation, which both trainers ignore;
- transparent pixels: ERNIEKit puts them on white, PaddleFormers (`PaddleOCRVLPlugin`, 1.2.0) drops the alpha channel,
  and
  what is hidden below it comes to light, often black on black;
- more than 8 bits (I;16, I, F), which PaddleFormers clips to white, and LAB, which older Pillows cannot convert.

Everything else (palette, CMYK, YCbCr, grey, 1 bit) both turn into RGB by themselves.
"""

from __future__ import annotations

import io
import math
import os
import stat
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from PIL import Image as Pillow

from sft.formats import Picture
from sft.images import (
    FORMATS,
    MAX_FILE_BYTES,
    MAX_IMAGE_PIXELS,
    ImageProblem,
    crop,
    cut_as_served,
    ending_of,
    orientation,
    peek,
    peek_bytes,
    why_unreadable,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]  # rows x columns, or rows x columns x 3 (RGB)

TURN_FROM = 1.5  # height / width from which a crop is turned by 90°, of PaddleOCR
TAIL = 4096  # bytes at the end of a file that are looked at
DEEP_MODES = ("I", "F", "LAB")  # beside I;16 in its spellings
PLAIN_MODES = ("1", "L", "RGB", "CMYK", "YCbCr")  # that need no second look
ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
# EXIF orientation → how to turn the stored pixels upright
UPRIGHT = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class PreparedImage:
    """What became of a picture. `pixels` None: the file, or the bytes, can stay as they are. Sizes are in pixels."""

    width: int
    height: int
    extension: str  # of the file that is to be stored, without a dot
    pixels: Pixels | None = None


class ImagePreparer:
    """Looks at pictures, and keeps the last page it decoded: boxes of one page follow one another.

    `deep`: decode every picture, also those whose header and end look sound.
    """

    def __init__(self, *, deep: bool = False) -> None:
        self._deep = deep
        self._key: object = None
        self._page: Pixels | None = None

    def prepare(self, picture: Picture) -> PreparedImage:
        """Check a picture with `path` or `data`; `ImageProblem` with an image.* code, or source.geometry for a box."""
        if not picture.quad:
            prepared = None if self._deep else _glance(picture)
            if prepared is None:
                with _stream(picture) as stream:
                    prepared = _whole(stream, self._deep)
            if not picture.turn or prepared.height < TURN_FROM * prepared.width:
                return prepared
        page = self._decoded(picture)
        if picture.cut is not None:
            page = cut_as_served(page, picture.cut)
        elif picture.quad:
            page = crop(page, picture.quad)
        if picture.turn and page.shape[0] >= TURN_FROM * page.shape[1]:  # counter-clockwise, as PaddleOCR does
            import numpy as np

            page = np.ascontiguousarray(np.rot90(page))
        return PreparedImage(
            page.shape[1],
            page.shape[0],
            "png",
            page,
        )

    def _decoded(self, picture: Picture) -> Pixels:
        key: object = picture.data
        if picture.path is not None:
            with suppress(OSError, ValueError):
                status = picture.path.stat()
                key = (str(picture.path), status.st_size, status.st_mtime_ns)
        if self._page is None or key != self._key:
            self._page = self._key = None  # two large pages at once are one too many
            with _stream(picture) as stream, _open(stream) as image:
                self._page = _upright(image)
            self._key = key
        return self._page


def _glance(picture: Picture) -> PreparedImage | None:
    """The verdict on a plain, whole file by its two ends alone; None where Pillow has to look."""
    if picture.data is not None:
        seen = peek_bytes(picture.data)
    else:
        seen = peek(str(picture.path)) if picture.path is not None else None
    if seen is None or not seen.whole or seen.size > MAX_FILE_BYTES:
        return None
    header = seen.header
    if (
        header.mode not in PLAIN_MODES
        or header.exif_orientation != 1
        or not 0 < header.width * header.height <= MAX_IMAGE_PIXELS
    ):
        return None
    return PreparedImage(
        header.width,
        header.height,
        ending_of(header.format),
    )


def _stream(picture: Picture) -> IO[bytes]:
    """The bytes of a picture, bounded."""
    if picture.data is not None:
        if len(picture.data) > MAX_FILE_BYTES:
            raise ImageProblem(
                "image.too_large",
                f"{len(picture.data):,} bytes, at most {MAX_FILE_BYTES:,} are read",
            )
        return io.BytesIO(picture.data)
    if picture.path is None:
        raise ImageProblem("image.missing", "no image is given")
    try:
        status = picture.path.stat()
        if not stat.S_ISREG(status.st_mode):  # neither a folder nor a pipe, which would wait for ever
            raise ImageProblem("image.missing", f"no file {picture.path}")
        size = status.st_size
        if size > MAX_FILE_BYTES:
            raise ImageProblem(
                "image.too_large", f"{picture.path.name} has {size:,} bytes, at most {MAX_FILE_BYTES:,} are read"
            )
        return picture.path.open("rb")
    except PermissionError as error:
        raise ImageProblem(
            "image.unreadable", f"{picture.path} cannot be read ({error.strerror}); check its permissions"
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageProblem("image.missing", f"no file {picture.path}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise ImageProblem("image.missing", f"cannot open {picture.path} ({error})") from error


def _open(stream: IO[bytes]) -> Pillow.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Pillow.open(stream, formats=FORMATS)
    except Pillow.DecompressionBombError as error:
        raise ImageProblem("image.too_large", str(error)) from error
    except Exception as error:  # a decoder that meets nonsense may raise anything
        raise ImageProblem("image.unreadable", f"not an image that can be read ({why_unreadable(error)})") from error
    if image.width * image.height > MAX_IMAGE_PIXELS:
        raise ImageProblem(
            "image.too_large", f"{image.width} x {image.height} px, at most {MAX_IMAGE_PIXELS:,} pixels are read"
        )
    if not image.width or not image.height:
        raise ImageProblem("image.unreadable", f"{image.width} x {image.height} px")
    return image


def _load(image: Pillow.Image) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    except Exception as error:  # as above
        raise ImageProblem("image.truncated", f"cannot be decoded ({error})") from error


def _verify(stream: IO[bytes]) -> None:
    """Check sums of the chunks of a PNG, which decoding ignores."""
    stream.seek(0)
    try:
        _open(stream).verify()
    except ImageProblem:
        raise
    except Exception as error:  # as above
        raise ImageProblem("image.truncated", f"is damaged ({error})") from error


def _whole(stream: IO[bytes], deep: bool) -> PreparedImage:
    """A picture that is used as a whole: as it is, or fixed."""
    with _open(stream) as image:
        extension = ending_of(image.format or "")
        width, height = image.size
        see_through = image.mode in ALPHA_MODES or (image.mode == "P" and "transparency" in image.info)
        change = orientation(image) != 1 or image.mode.startswith("I;16") or image.mode in DEEP_MODES
        if deep or change or see_through or not _ends_well(image, stream):
            _load(image)
        if deep and image.format == "PNG":
            _verify(stream)
        if change or (see_through and _alpha_minimum(image) < 255):
            pixels = _upright(image)
            return PreparedImage(
                pixels.shape[1],
                pixels.shape[0],
                "png",
                pixels,
            )
        return PreparedImage(width, height, extension)


def _ends_well(image: Pillow.Image, stream: IO[bytes]) -> bool:
    """Whether the file ends as its format says; where not, only decoding tells whether it is whole."""
    place = stream.tell()
    try:
        size = stream.seek(0, os.SEEK_END)
        if image.format == "TIFF":
            return _tiff_end(image) <= size
        stream.seek(max(0, size - TAIL))
        tail = stream.read(TAIL)
        if image.format == "PNG":
            return b"IEND\xaeB`\x82" in tail
        if image.format in ("JPEG", "MPO"):
            return tail.rstrip(b"\0").endswith(b"\xff\xd9")
        if image.format == "WEBP":
            stream.seek(4)
            return int.from_bytes(stream.read(4), "little") + 8 <= size
        return image.format == "GIF" and tail.rstrip(b"\0").endswith(b";")
    finally:
        stream.seek(place)


def _tiff_end(image: Any) -> float:
    """The first byte after the last strip or tile, by the file's own directory; infinite where it says nothing."""
    with suppress(Exception):  # a directory of nonsense
        tags = image.tag_v2
        for starts, lengths in ((273, 279), (324, 325)):
            if starts in tags and lengths in tags:
                return float(max(start + length for start, length in zip(tags[starts], tags[lengths], strict=True)))
    return math.inf


def _alpha_minimum(image: Pillow.Image) -> int:
    try:
        if image.mode in ("La", "RGBa"):
            image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
        lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
    except Exception as error:  # a palette shorter than its indices, say
        raise ImageProblem("image.truncated", f"cannot be decoded ({error})") from error
    return int(lowest) if isinstance(lowest, (int, float)) else 255


def _upright(image: Pillow.Image) -> Pixels:
    """The pixels as a person sees them: upright, 8 bits, on white; two dimensions where they are grey."""
    import numpy as np

    _load(image)
    turn = UPRIGHT.get(orientation(image))  # after loading: TIFF is turned by then, and says so
    try:
        image = _eight_bits(image)
        pixels = np.asarray(image if turn is None else image.transpose(turn))
    except ImageProblem:
        raise
    except Exception as error:  # as above
        raise ImageProblem("image.truncated", f"cannot be decoded ({error})") from error
    return np.ascontiguousarray(pixels)


def _eight_bits(image: Pillow.Image) -> Pillow.Image:
    """The same picture in mode L or RGB."""
    if image.mode in ("L", "RGB"):
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey(image)
    if image.mode in ALPHA_MODES or "transparency" in image.info:
        if image.mode in ("La", "RGBa"):
            image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
        layers = image.convert("RGBA")
        white = Pillow.new("RGBA", layers.size, (255, 255, 255, 255))
        return Pillow.alpha_composite(white, layers).convert("L" if image.mode == "LA" else "RGB")
    return image.convert("RGB")


def _deep_grey(image: Pillow.Image) -> Pillow.Image:
    """16 bits lose their lower half, as in ERNIEKit; floats from 0 to 1 and larger integers are scaled to 255."""
    import numpy as np

    values = np.nan_to_num(
        np.asarray(image).astype(np.float64),
        posinf=0.0,
        neginf=0.0,
    )
    top = float(values.max(initial=0.0))
    if image.mode == "F" and top <= 1:
        values = values * 255
    elif image.mode.startswith("I;16") or 255 < top <= 65535:
        values = np.floor(values / 256)
    elif top > 65535:
        values = values * (255 / top)
    return Pillow.fromarray(np.clip(values, 0, 255).astype(np.uint8))
