"""The rows of a page as the PaddleOCR pipeline will ask for them (`--as-served`), from its blocks with kinds and
places: texts that are joined into one crop, formulas without margins, pictures of tables as marks.

What cannot be done so stays the row that it was, with a warning: a block of unknown kind or place (served.place), one
that the pipeline leaves out (served.unasked), one that would be joined with a block that has no text (served.apart),
and a table with a picture whose cell is not known (served.picture). No block is lost: each one is a row, a reject, or a
part of a row that counts its blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from sft.formats.base import Item, ReadItem
from sft.formats.shared import served_rule
from sft.formats.shared.regions import Quad
from sft.formats.shared.served_rule import Group, Kind, Place
from sft.images import Box, Mark, ServedCut, box_of
from sft.markup import HYPHENS, PLACEHOLDERS, Cell, MarkupWarning, composed, join_words
from sft.types import Task

MAX_BLOCKS = 2000  # of one page, that are compared with each other
Size = tuple[int, int] | None  # width and height of the page in pixels, where they are known
UNASKED = f"a side of less than {served_rule.SHORTEST} px, or in the same place as a larger block"
PlacedCell = tuple[int, int, Cell]  # row, column, cell
# of a table: its row with these marks in their cells; None where the source does not say which cells they are
MarkCells = Callable[[Sequence[Mark]], ReadItem | None]
# labels of PP-DocLayoutV2 and V3 that the rules tell apart; what else they call a block is "other"
LABELS: dict[str, Kind] = {
    **dict.fromkeys(("text", "vertical_text"), "text"),
    **dict.fromkeys(("formula", "display_formula"), "formula"),
    "table": "table",
    "image": "image",
    "chart": "chart",
    "seal": "seal",
}
OTHER_LABELS = {"abstract", "algorithm", "aside_text", "content", "doc_title", "figure_title", "footer", "footnote"} | {
    *("formula_number", "header", "number", "paragraph_title", "reference_content", "vision_footnote")
}


@dataclass(frozen=True)
class Block:
    """A block of a page. `read`: its row or reject; None where it is in no account, and only stands there. `quad`: in
    pixels of the upright page, () where it is not known. `said`: why its kind is not known.
    """

    kind: Kind
    quad: Quad
    read: ReadItem | None = None
    mark_cells: MarkCells | None = None
    said: str = "nothing says what kind of block it is"


@dataclass(frozen=True)
class ServedPage:
    """Blocks in the order of the source. `order`: their indices in reading order. `goes_on`: pairs of blocks of which
    the second one's text goes on where that of the first one ends.
    """

    blocks: Sequence[Block]
    order: Sequence[int]
    size: Size = None
    goes_on: frozenset[tuple[int, int]] = field(default_factory=frozenset)


def served_rows(page: ServedPage) -> Iterator[ReadItem]:
    """What the page becomes, in the order of the source; joined blocks stand where the first of them stood."""
    placed = [index for index in page.order if _is_placed(page.blocks[index], page.size)][:MAX_BLOCKS]
    places = [Place(page.blocks[index].kind, box_of(page.blocks[index].quad)) for index in placed]
    dropped = served_rule.never_asked(places)
    asked = [number for number in range(len(places)) if number not in dropped]
    rows_at: dict[int, list[ReadItem]] = {}
    images = _images(places, page.size)
    for group in served_rule.groups([places[number] for number in asked]):
        members = [placed[asked[number]] for number in group.members]
        if len(members) > 1:
            rows_at |= _together(page, members, group)
        else:
            rows_at[members[0]] = _alone(page.blocks[members[0]], images)
    for index in (placed[number] for number in dropped):
        alone = _alone(page.blocks[index], images)
        rows_at[index] = _warned(alone, "served.unasked", UNASKED)
    for index, block in enumerate(page.blocks):
        if index in rows_at:
            yield from rows_at[index]
        else:
            yield from _warned(_as_labelled(block), "served.place", _why_not_placed(page, block))


def _why_not_placed(page: ServedPage, block: Block) -> str:
    if block.kind == "unknown":
        return block.said
    if _is_placed(block, page.size):
        return f"its page has more than {MAX_BLOCKS} blocks"
    return "it is not known where it stands on its page"


def kind_of(label: str) -> Kind:
    """What a label of the layout model stands for."""
    return LABELS.get(label, "other" if label in OTHER_LABELS else "unknown")


def _is_placed(block: Block, size: Size) -> bool:
    if block.kind == "unknown" or not block.quad:
        return False
    left, top, right, bottom = _inside(box_of(block.quad), size)
    return right > left and bottom > top


def _inside(box: Box, size: Size) -> Box:
    """What of a box is on the page."""
    if size is None:
        return box
    left, top, right, bottom = box
    return left, top, min(right, size[0]), min(bottom, size[1])


def _images(places: Iterable[Place], size: Size) -> list[Box]:
    """The pictures of a page that may be painted over, inside the page."""
    return [_inside(place.box, size) for place in places if place.kind in served_rule.IMAGES]


def _together(page: ServedPage, members: list[int], group: Group) -> dict[int, list[ReadItem]]:
    """Joined blocks as one row; where one of them has no text, each of the others as a row of its own."""
    blocks = [page.blocks[index] for index in members]
    items = [block.read for block in blocks if isinstance(block.read, Item) and _has_text(block.read)]
    if len(items) < len(blocks):
        said = "the pipeline shows it in one crop with a block whose text is not known"
        return {
            index: _warned(_alone(block, ()), "served.apart", said)
            for index, block in zip(members, blocks, strict=True)
        }
    goes_on = [pair in page.goes_on for pair in pairwise(members)]
    cut = ServedCut(tuple(block.quad for block in blocks), group.aligns)
    joined = _joined(items, goes_on, cut)
    rows_at: dict[int, list[ReadItem]] = {index: [] for index in members}
    rows_at[min(members)] = [joined]
    return rows_at


def _joined(items: Sequence[Item], goes_on: Sequence[bool], cut: ServedCut) -> Item:
    """The rows of several blocks as one."""
    first = items[0]
    warnings = [warning for item in items for warning in item.warnings]
    files = dict.fromkeys(file for item in items for file in item.files)
    return replace(
        first,
        where=_where([item.where for item in items]),
        target=_text([item.target for item in items], goes_on),
        picture=replace(first.picture, cut=cut),
        warnings=tuple(warnings),
        files=tuple(files),
        blocks=len(items),
    )


def _has_text(item: Item) -> bool:
    return item.task is Task.OCR and item.target.strip() not in PLACEHOLDERS


def _where(places: Sequence[str]) -> str:
    """page.xml#r1+r2: what the places begin with is said once."""
    head, mark, _ = places[0].rpartition("#")
    return places[0] + "".join(f"+{place.removeprefix(head + mark)}" for place in places[1:])


def _text(texts: Sequence[str], goes_on: Sequence[bool]) -> str:
    """The texts as the crop shows them: a line of its own for each, but on one line where the text goes on."""
    joined = texts[0]
    for text, on in zip(texts[1:], goes_on, strict=True):
        hyphen = joined.endswith(tuple(HYPHENS))
        joined = join_words([joined, text]) if on and not hyphen else f"{joined}\n{text}"
    return composed(joined)


def _alone(block: Block, images: Sequence[Box]) -> list[ReadItem]:
    """A block that has a crop of its own."""
    if not isinstance(block.read, Item) or not block.read.picture.quad:
        return _as_labelled(block)
    if block.kind == "table" and (inside := served_rule.pictures_inside(box_of(block.quad), images)):
        texts = served_rule.marks(len(images))
        return _table(block, block.read, [Mark(images[index], texts[index]) for index in inside])
    return [_cut(block.read, block)]


def _cut(item: Item, block: Block, marks: Sequence[Mark] = ()) -> Item:
    cut = ServedCut((block.quad,), margins=item.task is Task.FORMULA, marks=tuple(marks))
    return replace(item, picture=replace(item.picture, cut=cut))


def _table(block: Block, item: Item, marks: Sequence[Mark]) -> list[ReadItem]:
    """A table with pictures in it: with their marks in the image and in the label, or as it was."""
    marked = block.mark_cells(marks) if block.mark_cells else None
    if isinstance(marked, Item) and all(marked.target.count(mark.text) == 1 for mark in marks):
        return [_cut(marked, block, marks)]
    said = f"{len(marks)} pictures in it, and the source does not say in which cells"
    return _warned([_cut(item, block)], "served.picture", said)


def _as_labelled(block: Block) -> list[ReadItem]:
    """A block whose kind or place is not known; a formula loses its margins all the same."""
    if isinstance(block.read, Item) and block.read.task is Task.FORMULA and block.read.picture.quad:
        return [_cut(block.read, replace(block, quad=block.read.picture.quad))]
    return [] if block.read is None else [block.read]


def _warned(reads: list[ReadItem], code: str, said: str) -> list[ReadItem]:
    """Rows with one more warning; rejects as they are."""
    warning = MarkupWarning(code, said)
    return [replace(read, warnings=(*read.warnings, warning)) if isinstance(read, Item) else read for read in reads]


def marked_cells(
    cells: Sequence[PlacedCell], boxes: Sequence[Box | None], marks: Sequence[Mark]
) -> list[PlacedCell] | None:
    """Cells with each mark in the one that its picture's middle is in; None where there is no such cell, or several.

    Beside a text, a mark stands in front of it where the picture is in the upper or left half of the cell.
    """
    listed = list(cells)
    for mark in marks:
        middle = _middle(mark.box)
        inside = [index for index, box in enumerate(boxes) if _around(box, middle)]
        box = boxes[inside[0]] if len(inside) == 1 else None
        if box is None:
            return None
        row, column, cell = listed[inside[0]]
        text = _beside(cell.text, mark, box)
        listed[inside[0]] = (row, column, replace(cell, text=text))
    return listed


def _beside(text: str, mark: Mark, box: Box) -> str:
    """A text and a mark, in the order in which they are seen."""
    if not text.strip():
        return mark.text
    x, y = _middle(mark.box)
    left, top, right, bottom = box
    across = (x - left) / (right - left) - 0.5
    down = (y - top) / (bottom - top) - 0.5
    further = down if abs(down) >= abs(across) else across
    if further < 0:
        return f"{mark.text} {text}"
    return f"{text} {mark.text}"


def _middle(box: Box) -> tuple[float, float]:
    left, top, right, bottom = box
    return (left + right) / 2, (top + bottom) / 2


def _around(box: Box | None, point: tuple[float, float]) -> bool:
    """Whether a point is inside a box that is known."""
    if box is None:
        return False
    left, top, right, bottom = box
    return left <= point[0] < right and top <= point[1] < bottom
