"""What an outline cuts out of a page, turned upright.

As PaddleOCR cuts the lines for its recogniser (`get_rotate_crop_image` and `get_minarea_rect_crop`,
ppocr/utils/utility.py of PaddleOCR 3.x): perspective transform onto a rectangle with the longer of each two sides,
cubic, with the border replicated; more than four points give way to the smallest rectangle around them. Two things are
fixed that would come out as nonsense there: four points against the clock, which would be mirrored, are put in
clockwise order from the top left; four points whose sides cross, or with a dent, are treated as more than four.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from sft.images.reader import ImageProblem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


Pixels: TypeAlias = "npt.NDArray[np.uint8]"  # rows x columns, or rows x columns x 3
MAX_POINTS = 10_000  # of one outline
MIN_AREA = 1.0  # square pixels; less cuts nothing out
Corner = tuple[float, float]


def crop(page: Pixels, quad: tuple[Corner, ...]) -> Pixels:
    """What lies inside the outline, turned upright; `ImageProblem` with source.geometry where that is nothing."""
    import cv2
    import numpy as np

    corners = _corners(
        quad,
        page.shape[1],
        page.shape[0],
    )
    if (straight := _straight(corners, page.shape[1], page.shape[0])) is not None:
        return np.ascontiguousarray(page[straight])
    width = int(
        max(
            math.dist(corners[0], corners[1]),
            math.dist(corners[2], corners[3]),
        )
    )
    height = int(
        max(
            math.dist(corners[0], corners[3]),
            math.dist(corners[1], corners[2]),
        )
    )
    if width < 1 or height < 1:
        raise ImageProblem("source.geometry", f"the box is {width} x {height} px")
    target = np.array(
        [[0, 0], [width, 0], [width, height], [0, height]],
        np.float32,
    )
    try:
        matrix = cv2.getPerspectiveTransform(np.array(corners, np.float32), target)
        cut = cv2.warpPerspective(
            page,
            matrix,
            (width, height),
            borderMode=cv2.BORDER_REPLICATE,
            flags=cv2.INTER_CUBIC,
        )
    except cv2.error as error:
        raise ImageProblem("source.geometry", f"the box cannot be cut out ({width} x {height} px)") from error
    return np.asarray(cut, np.uint8)


def outline_corners(quad: tuple[Corner, ...]) -> tuple[Corner, ...]:
    """Four corners of an outline, clockwise, as `crop` takes them; none where it encloses nothing."""
    if not 4 <= len(quad) <= MAX_POINTS or not all(math.isfinite(value) for point in quad for value in point):
        return ()
    corners = list(quad) if len(quad) == 4 and _same_turns(quad) else _smallest_rectangle(quad)
    area = _area(corners)
    if not area:
        return ()
    return tuple(corners if area > 0 else _backwards(corners))


def _straight(corners: Sequence[Corner], width: int, height: int) -> tuple[slice, slice] | None:
    """Rows and columns of an upright rectangle of whole pixels inside the page, for which the transform below would
    copy the very same pixels at a tenth of the speed; None for others.
    """
    (left, top), _, (right, bottom), _ = corners
    if corners != [(left, top), (right, top), (right, bottom), (left, bottom)]:
        return None
    if not all(float(value).is_integer() for value in (left, top, right, bottom)):
        return None
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        return None
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _corners(quad: tuple[Corner, ...], width: int, height: int) -> list[Corner]:
    """Four corners, clockwise, that enclose something of a page of this size."""
    if not 4 <= len(quad) <= MAX_POINTS:
        raise ImageProblem("source.geometry", f"an outline of {len(quad)} points")
    if not all(math.isfinite(value) for point in quad for value in point):
        raise ImageProblem("source.geometry", "a corner that is not a number")
    xs = [x for x, _ in quad]
    ys = [y for _, y in quad]
    if max(xs) <= 0 or max(ys) <= 0 or min(xs) >= width or min(ys) >= height:
        raise ImageProblem("source.geometry", f"the box is outside of the image of {width} x {height} px")
    if min(xs) < -width or min(ys) < -height or max(xs) > 2 * width or max(ys) > 2 * height:
        raise ImageProblem(
            "source.geometry", f"the box extends far beyond the image of {width} x {height} px; are its units pixels?"
        )
    corners = list(quad) if len(quad) == 4 and _same_turns(quad) else _smallest_rectangle(quad)
    area = _area(corners)
    if abs(area) < MIN_AREA:
        raise ImageProblem("source.geometry", "the box encloses nothing")
    return corners if area > 0 else _backwards(corners)


def _backwards(corners: Sequence[Corner]) -> list[Corner]:
    """Corners that run against the clock in the other order, from the top left."""
    start = min(
        range(4),
        key=lambda index: (corners[index][0] + corners[index][1], corners[index][0]),
    )
    return [corners[start - step] for step in range(4)]


def _same_turns(quad: Sequence[Corner]) -> bool:
    """Whether the outline turns the same way at all four corners; else its sides cross, or it has a dent."""
    turns = [_area([quad[index - 1], quad[index], quad[(index + 1) % 4]]) for index in range(4)]
    return min(turns) >= 0 or max(turns) <= 0


def _area(points: Sequence[Corner]) -> float:
    """Signed area in square pixels; positive where the points run clockwise (y points down)."""
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True)) / 2


def _smallest_rectangle(quad: tuple[Corner, ...]) -> list[Corner]:
    """Corners of the smallest rectangle around whole-number points, clockwise from the top left of its left side."""
    import cv2
    import numpy as np

    box = cv2.boxPoints(cv2.minAreaRect(np.array(quad).astype(np.int32)))
    left, right = (sorted(pair, key=lambda point: point[1]) for pair in np.split(np.array(sorted(box.tolist())), 2))
    return [(float(point[0]), float(point[1])) for point in (left[0], right[0], right[1], left[1])]
