"""Pages for Spotting: the texts that a format reads one by one, joined into one sample with the whole picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from sft.formats.base import Item, Picture, ReadItem, Reject
from sft.formats.shared import regions
from sft.images import outline_corners
from sft.markup import SpottedText, corner_fault, has_places, write_spotting
from sft.types import Task

FULL = 1000  # thousandths of a side
Size = tuple[float, float]


def pages(reads: Iterable[ReadItem], where: str) -> Iterator[ReadItem]:
    """One item for each picture, with the texts of its boxes in the order of the source; what is no text of a box goes
    on as it is, and a text without a box is rejected.

    `where`: the place of the page in the source. Corners are rounded to thousandths of the upright picture; outlines
    of more than four points give way to the smallest rectangle around them, as where lines are cut out.
    """
    by_picture: dict[object, list[Item]] = {}
    for read in reads:
        if not isinstance(read, Item):
            yield read
        elif not read.picture.quad:
            yield Reject(read.where, "source.geometry", "a text without a box has no place in the picture", read.target)
        else:
            picture = read.picture
            by_picture.setdefault((picture.path, picture.url, picture.data), []).append(read)
    for number, texts in enumerate(by_picture.values()):
        yield from _page(texts, where if number == 0 else f"{where}#page{number + 1}")


def _page(texts: list[Item], where: str) -> Iterator[ReadItem]:
    first = texts[0]
    page = replace(first.picture, quad=(), turn=False)
    size = regions.size_of(page)
    if size is None:
        yield from (_sizeless(text, page) for text in texts)
        return
    placed: list[Item] = []
    spotted: list[SpottedText] = []
    for text in texts:
        places = _places(text.picture.quad, size)
        if has_places(text.target):
            said = "a text that holds places of Spotting itself"
            yield Reject(text.where, "source.inexpressible", said, text.target)
        elif not places:
            said = "a box of which nothing is left in thousandths of its picture"
            yield Reject(text.where, "source.geometry", said, text.target)
        else:
            placed.append(text)
            spotted.append(SpottedText(text.target, places))
    if placed:
        warnings = tuple(warning for text in placed for warning in text.warnings)
        yield replace(
            first,
            where=where,
            picture=page,
            target=write_spotting(spotted),
            task=Task.SPOTTING,
            warnings=warnings,
            blocks=len(placed),
        )


def _sizeless(text: Item, page: Picture) -> Reject:
    """Places are parts of a picture, and this one cannot be measured."""
    if page.url:
        said = "the places of a picture behind an address cannot be told: fetch it, and name its folder with --images"
        return Reject(text.where, "source.inexpressible", said, text.target)
    if page.path is not None and not page.path.is_file():
        return Reject(text.where, "image.missing", f"no such file: {page.path.name}", text.target, page.path)
    return Reject(text.where, "image.unreadable", "the size of the picture cannot be read", text.target)


def _places(quad: regions.Quad, size: tuple[int, int]) -> tuple[int, ...]:
    """Eight numbers from 0 to 1000, clockwise; none where they enclose nothing, or lie outside."""
    corners = outline_corners(quad)
    scaled = [(_part(x, size[0]), _part(y, size[1])) for x, y in corners]
    if not scaled or corner_fault(scaled):
        return ()
    return tuple(number for corner in scaled for number in corner)


def _part(coordinate: float, side: int) -> int:
    return min(max(round(coordinate / side * FULL), 0), FULL)
