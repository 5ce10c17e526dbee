"""Pictures of a page: shrunk, as data URIs, the first ones up to a number of bytes; links to the files beyond that."""

from __future__ import annotations

import base64
import io
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from PIL import Image as Pillow
from PIL import ImageOps

from sft.images import ImageProblem, probe
from sft.inference import data_uri

MAX_WIDTH, MAX_HEIGHT = 480, 1600  # pixels of an image in the page
MAX_INLINE = 128 * 1024  # bytes; a small file goes in as it is
BROWSER_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
JPEG_QUALITY = 85
PAGE_BYTES = 12 * 1024 * 1024  # characters of all pictures of a page
AT_ONCE = 16
BEYOND = "not in the page, which has its fill of pictures"


@dataclass
class Pictures:
    """Data URIs; name → (place among them or -1, why there is none, relative address of the file)."""

    uris: list[str] = field(default_factory=list)
    places: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    left_out: int = 0


def thumbnail(path: Path) -> str:
    """An image as a data URI, at most 480 x 1600 px; a small file in a format that browsers draw goes in as it is.

    Raises ImageProblem where it is not an image, and what Pillow raises where it cannot be decoded.
    """
    header = probe(path)
    if (
        header.format in BROWSER_FORMATS
        and header.width <= MAX_WIDTH
        and header.height <= MAX_HEIGHT
        and path.stat().st_size <= MAX_INLINE
    ):
        return data_uri(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own bomb warning; `probe` has looked at the size
        with Pillow.open(path) as image:
            image.draft("RGB", (MAX_WIDTH, MAX_HEIGHT))  # lets a JPEG decode at a fraction of its size
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    upright.thumbnail((MAX_WIDTH, MAX_HEIGHT))
    paper = Pillow.new("RGBA", upright.size, "white")  # JPEG has no transparency
    stream = io.BytesIO()
    Pillow.alpha_composite(paper, upright).convert("RGB").save(
        stream,
        "JPEG",
        quality=JPEG_QUALITY,
    )
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def picture(path: Path) -> tuple[str, str]:
    """(data URI, "") of an image, or ("", why there is none)."""
    try:
        return thumbnail(path), ""
    except ImageProblem as problem:
        return "", f"no picture ({problem.code})"  # its message names folders of this machine; the page is passed on
    except (OSError, ValueError, SyntaxError, MemoryError, Pillow.DecompressionBombError):
        return "", "no picture (image.truncated)"


def pictures(names: Sequence[str], base: Path, page: Path, *, limit: int = PAGE_BYTES) -> Pictures:
    """Pictures in the order of `names` until they fill `limit` characters.

    base: folder that names count from; page: the file to be.
    """
    made = Pictures()
    different = list(dict.fromkeys(names))
    size = 0
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
        warnings.simplefilter("ignore")  # for all threads: the list of filters is one
        for begin in range(0, len(different), AT_ONCE):
            part = different[begin : begin + AT_ONCE]
            if size >= limit:
                for name in part:
                    made.places[name] = -1, BEYOND, address(base / name, page)
                    made.left_out += 1
                continue
            for name, (uri, why) in zip(
                part,
                pool.map(picture, [base / name for name in part]),
                strict=True,
            ):
                size += len(uri)
                made.places[name] = (len(made.uris) if uri else -1), why, address(base / name, page) if uri else ""
                if uri:
                    made.uris.append(uri)
    return made


def address(path: Path, page: Path) -> str:
    """Where an image lies as seen from the page, as a relative URL; "" where it does not, or nobody could tell."""
    try:
        if not path.is_file():
            return ""
        relative = os.path.relpath(path, page.parent)
    except (OSError, ValueError):  # a NUL in the name, or another drive
        return ""
    return "./" + quote(relative.replace(os.sep, "/").encode("utf-8", "replace"))
