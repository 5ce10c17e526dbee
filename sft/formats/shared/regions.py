"""Regions of page images, as every page format needs them: files, boxes and polygons in pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sft.errors import RowRejected, UsageError
from sft.files import Unit
from sft.formats.base import Item, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import json_stream, page_images, rows, xml_safe
from sft.formats.shared.targets import make
from sft.images import ImageProblem, probe
from sft.markup import Grid, MarkupError, MarkupWarning
from sft.types import Task

if TYPE_CHECKING:
    from lxml.etree import _Element

Quad = tuple[tuple[float, float], ...]
MAX_COORDINATE = 1e6  # pixels; no image that is read has a longer side
MAX_POINTS = 10_000  # of one polygon
SAME_SHAPE = 0.02  # how much the sides of a page may differ in proportion from those of its image
QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that swap width and height


def files(source: Path, suffixes: Sequence[str]) -> tuple[Path, list[Path]]:
    """(root, documents in order): the file itself, or every file below a folder with one of `suffixes`."""
    if not source.is_dir():
        return source.parent, [source]
    paths = sorted(
        path
        for path in source.rglob("*")
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    )
    if not paths:
        raise UsageError(
            f"no {' or '.join(suffixes)} here", where=str(source), hint="name a file, or a folder with such files in it"
        )
    return source, paths


def xml_units(source: Path, suffixes: Sequence[str], options: SourceOptions) -> Iterator[Unit]:
    """XML pages, as `page_images.units`: the file, or every one below a folder (METS files, which list pages, are
    left out).
    """
    root, paths = files(source, suffixes)
    pages = [path for path in paths if source == path or path.name.lower() not in ("mets.xml", "metadata.xml")]
    yield from page_images.units(pages, root, options)


def read_pages(
    path: Path, name: str, page: str, items: Callable[[list[_Element], xml_safe.Document], Iterator[ReadItem]]
) -> Iterator[ReadItem]:
    """What `items` makes of the elements called `page` (at least one) of an XML file, and the faults of the file
    around it.
    """
    document = xml_safe.read_xml(path)
    if isinstance(document, xml_safe.XmlFault):
        yield Reject(name, document.code, document.message)
        return
    pages = list(document.root.iter("{*}" + page))
    if pages:
        yield from items(pages, document)
    else:
        yield Reject(
            name,
            "source.shape",
            f"no <{page}>: the root is <{xml_safe.local(document.root)}>",
        )
    if document.fault:
        yield Reject(name, document.fault.code, document.fault.message)


def relative(path: Path, root: Path) -> str:
    """`path` as `where` shows it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def number(value: object, what: str = "a coordinate") -> float:
    """A finite number of JSON or of an attribute; RowRejected (source.geometry) otherwise."""
    try:
        result = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        result = math.nan
    if not abs(result) <= MAX_COORDINATE:
        raise RowRejected(
            "source.geometry",
            f"{what} is not a number of pixels: {json_stream.raw(value)[:40]}",
        )
    return result


def pairs(value: object) -> list[tuple[float, float]]:
    """[[x, y], …], or x, y, x, y … in one list, as points."""
    if not isinstance(value, (list, tuple)) or len(value) > MAX_POINTS:
        raise RowRejected("source.geometry", "points are not a list of pairs")
    if value and all(isinstance(item, (list, tuple)) and len(item) == 2 for item in value):
        return [(number(x), number(y)) for x, y in value]
    flat = [number(item) for item in value]
    if len(flat) % 2:
        raise RowRejected("source.geometry", f"{len(flat)} numbers are not points")
    return list(zip(flat[::2], flat[1::2], strict=True))


def points_of(text: str) -> list[tuple[float, float]]:
    """Points of an attribute: "x,y x,y" (PAGE, ALTO) or "x y x y" (ALTO)."""
    if len(text) > 40 * MAX_POINTS:
        raise RowRejected("source.geometry", f"more than {MAX_POINTS:,} points")
    return pairs(text.replace(",", " ").split())


def box(left: float, top: float, right: float, bottom: float) -> Quad:
    """A box as a quad; RowRejected where nothing is in it."""
    if not (right > left and bottom > top):
        raise RowRejected(
            "source.geometry",
            f"an empty box: ({left:g}, {top:g}) to ({right:g}, {bottom:g})",
        )
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def polygon(points: Sequence[tuple[float, float]], *, ordered: bool = False) -> Quad:
    """A polygon with its points clockwise; RowRejected where nothing is in it. Two points are corners of a box, three a
    triangle in its box.

    `ordered`: the first point is the top left of the text, whichever way the text stands. Otherwise the one nearest to
    the top left of the page comes first.
    """
    area = (
        math.fsum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, [*points[1:], *points[:1]], strict=True)) / 2
    )
    if len(points) < 4 or not area:
        if len(points) < 2:
            raise RowRejected("source.geometry", f"{len(points)} points do not make a region")
        xs = [x for x, _ in points]
        ys = [y for _, y in points]
        return box(
            min(xs),
            min(ys),
            max(xs),
            max(ys),
        )
    if area < 0:  # y grows downwards: a positive area is clockwise for the eye
        points = [points[0], *reversed(points[1:])]
    if not ordered:
        first = min(
            range(len(points)),
            key=lambda index: (sum(points[index]), points[index]),
        )
        points = [
            *points[first:],
            *points[:first],
        ]
    return tuple(points)


def size_of(picture: Picture) -> tuple[int, int] | None:
    """(width, height) of the upright image; None where it cannot be read (which the converter will say)."""
    if picture.path is None:
        return None
    try:
        header = probe(picture.path)
    except ImageProblem:
        return None
    return (header.height, header.width) if header.exif_orientation in QUARTER_TURNS else (header.width, header.height)


def scale(picture: Picture, width: float, height: float, where: str = "the page") -> tuple[float, float]:
    """Pixels per unit of a page of `width` x `height`, across and down; (1, 1) where the page or the image has no known
    size.

    RowRejected (source.geometry) where page and image differ in shape: the image is not that of this page, or is
    rotated.
    """
    actual = size_of(picture)
    if not actual or width <= 0 or height <= 0:
        return 1.0, 1.0
    across = actual[0] / width
    down = actual[1] / height
    if abs(across / down - 1) > SAME_SHAPE:
        raise RowRejected(
            "source.geometry",
            f"{where} is {width:g} x {height:g}, its image {actual[0]} x {actual[1]} px: not the same shape",
        )
    return across, down


def scaled(quad: Quad, factors: tuple[float, float]) -> Quad:
    """A quad in pixels; unchanged by factors of 1."""
    across, down = factors
    return quad if factors == (1.0, 1.0) else tuple((round(x * across, 3), round(y * down, 3)) for x, y in quad)


def crop(picture: Picture, quad: Quad) -> Picture:
    """The part of an image inside `quad`."""
    return replace(picture, quad=quad)


def item(
    where: str, raw: str, label: str | Grid, picture: Picture, *, task: Task, group: str, markup: str = "auto"
) -> Item | Reject:
    """An Item with its finished target, or the Reject that says why the label is none.

    The format knows how its labels are written; --markup does not count.
    """
    warnings: list[MarkupWarning] = []
    try:
        if isinstance(label, str) and not label.strip():
            raise MarkupError("target.empty", "no label")
        return Item(
            where, picture, make(task, label, markup=markup, warnings=warnings), task, group, warnings=tuple(warnings)
        )
    except RowRejected as error:
        return Reject(
            where,
            error.code,
            str(error),
            raw[: rows.RAW],
        )
