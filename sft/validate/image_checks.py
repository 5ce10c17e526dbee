"""Checks of the images of a row: whether they can be opened, their shape, and what the row says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sft import models
from sft.images import ImageProblem, probe
from sft.models import TASK_OF, Budget, trained_size
from sft.reasons import make, shorten
from sft.types import ImageHeader, Problem, Sample, Task
from sft.validate.context import Context

MIN_SIDE = models.FACTOR  # below, the crop is enlarged before the model sees it


CHANNEL_SIDE = 4  # a side this short is taken for the colour channels by servers (PaddleX#5086)


BASE64_STARTS = ("/9j/", "iVBOR")  # of a JPEG, of a PNG


PAGE_PIXELS = 800_000  # A4 at 90 dpi


PAGE_CHARACTERS = 1200  # of a page in a Latin script; the longest paragraphs have about 1000


LONGEST_FILE_NAME = 255  # of every usual file system; base64 of an image is longer


ReadHeader = Callable[[str], ImageHeader]  # path of an image as a row names it → its header, or ImageProblem


def check_images(
    sample: Sample, raw: dict[str, Any], line: int, context: Context, read: ReadHeader | None = None
) -> tuple[list[ImageHeader], list[Problem]]:
    """Headers of the images that can be used, and all findings. `raw` is the row as it was written."""
    read = read or partial(read_header, context)
    headers: list[ImageHeader] = []
    problems: list[Problem] = []
    for number, image in enumerate(sample.image_info):
        where = f"image_info[{number}]"
        problem = _address(image.image_url, where, line)
        if problem:
            problems.append(problem)
            continue
        if not context.look:
            continue
        try:
            header = read(image.image_url)
        except ImageProblem as error:
            hint = (
                "relative paths count from the folder of the JSONL file"
                if error.code == "image.missing"
                else "open the file with a viewer; replace it or drop the row"
            )
            problems.append(
                make(
                    error.code,
                    f"{where}: {shorten(str(error))}",
                    line,
                    hint,
                )
            )
            continue
        headers.append(header)
        problems += _shape(header, where, line, context.budget)
        problems += _size_fields(raw["image_info"][number], header, where, line)
        if (
            image.matched_text_index == 0
            and TASK_OF.get(sample.prompt) is Task.OCR
            and any(looks_like_page(header, item.text) for item in sample.text_info[1:2])
        ):
            said = f"{where}: {header.width} x {header.height} px and {len(sample.text_info[1].text)} characters"
            problems.append(
                make(
                    "image.page",
                    said,
                    line,
                    "the model reads crops of a page's layout; cut pages into blocks, or give them a prompt of"
                    " their own",
                )
            )
    return headers, problems


def read_header(context: Context, url: str) -> ImageHeader:
    """The header of an image as a row names it; ImageProblem where it cannot be used."""
    return probe(context.base / url, decode=context.decode)


def looks_like_page(header: ImageHeader, answer: str) -> bool:
    """A sheet of paper by its pixels (PAGE_PIXELS, the shape of A4, Letter or a double page) that holds as much text
    as one.
    """
    short, long = sorted((header.width, header.height))
    wide = (
        sum(sign > "\u2e7f" for sign in answer) if len(answer) >= PAGE_CHARACTERS // 2 else 0
    )  # Han, kana, Hangul: half as many fill a page
    return (
        header.width * header.height >= PAGE_PIXELS
        and 1.2 <= long / short <= 1.6
        and len(answer) + wide >= PAGE_CHARACTERS
    )


def _address(url: str, where: str, line: int) -> Problem | None:
    if url.startswith("http"):
        return make(
            "image.remote",
            f"{where}: {shorten(url)}",
            line,
            "download the images first and name the files; a file name must not begin with http either",
        )
    if url.startswith("data:") or (url.startswith(BASE64_STARTS) and len(url) > LONGEST_FILE_NAME):
        return make(
            "image.inline", f"{where}: {len(url):,} characters of base64", line, "write the image to a file and name it"
        )
    if "\x00" in url:
        return make("trainer.path", f"{where}: a NUL byte in the path", line)
    return None


def _shape(header: ImageHeader, where: str, line: int, budget: Budget | None) -> Iterator[Problem]:
    short, long = sorted((header.width, header.height))
    size = f"{where}: {header.width} x {header.height} px"
    if short <= CHANNEL_SIDE:
        yield make("image.sliver", size, line, "a crop this thin contains no text; drop it")
    elif long / short > models.MAX_ASPECT:
        yield make(
            "image.aspect",
            f"{size}, ratio {long / short:.0f}",
            line,
            f"cut it into pieces with a ratio of at most {models.MAX_ASPECT}",
        )
    elif budget:
        try:
            trained_size(header.width, header.height, budget)
        except ValueError as error:
            yield make("image.aspect", f"{size}: {error}", line, "cut it into pieces, or raise max_pixels")
    if CHANNEL_SIDE < short < MIN_SIDE:
        yield make("image.small", size, line)
    if header.exif_orientation != 1:
        yield make(
            "image.exif",
            f"{where}: EXIF orientation {header.exif_orientation}",
            line,
            "bake the rotation into the pixels",
        )


def _size_fields(item: dict[str, Any], header: ImageHeader, where: str, line: int) -> Iterator[Problem]:
    if (
        item.get("image_width")
        and item.get("image_height")
        and (item["image_width"], item["image_height"]) != (header.width, header.height)
    ):
        said = f"{item['image_width']} x {item['image_height']}"
        yield make(
            "trainer.image_size_fields",
            f"{where}: says {shorten(said)}, the file has {header.width} x {header.height}",
            line,
            "leave image_width, image_height and is_valid out",
        )
