"""PubTabNet tables and everything that copies their layout: one JSON object per line, structure tokens, cells of
characters.

A row of the published file (`examples/PubTabNet_Examples.json`, shortened; version 2 adds `bbox` to the cells):

    {"filename": "PMC4776821_005_00.png", "split": "train", "imgid": 2, "html": {"cells": [
      {"tokens": ["<b>", "O", "n", "e", "</b>"]}, {"tokens": ["1", "2"]}], "structure": {"tokens": [
      "<thead>", "<tr>", "<td>", "</td>", "</tr>", "</thead>", "<tbody>", "<tr>", "<td>", "</td>", "</tr>",
      "</tbody>"]}}}

The README calls the list `cell`, the files call it `cells`; both are read. A cell that spans is written in pieces:
`<td`, ` colspan="2"`, `>`, `</td>`. The content of the cells is put before each `</td>` in order; a character stands
for itself (`<` is a less-than sign), the tokens `<b>`, `<i>`, `<sup>`, `<sub>` and their like are tags, and one like
`&lt;` is the character that HTML means by it. A blank cell has no tokens, and no `bbox`. Read as well:

- `gt.txt` of PPOCRLabel's table mode: no thead and tbody, polygons for boxes, and the table again as HTML in `gt`,
  which
  is used only where there are no tokens;
- SynthTabNet and FinTabNet; FinTabNet's own images are PDF pages, and its rows are refused until somebody renders them;
- version 1: one JSON document, `{"images": [row, …]}`.

With `--split`, rows of another split are no part of the source: they are neither converted nor counted as rejected.
Images are looked for in `SPLIT/FILENAME`, `FILENAME` and the same below `images`, beside the labels (or under
`--images`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from sft.errors import RowRejected, UsageError
from sft.files import MAX_LINE_BYTES, Unit, line_units, unit_lines
from sft.formats.base import Format, Item, Picture, ReadItem, Reject, SourceOptions, inside
from sft.formats.shared import BOM, begin, is_output, is_windows, json_rows, json_stream, make, windows_picture
from sft.markup import MarkupError, MarkupWarning, without_references
from sft.types import Task

MAX_CELLS = 100_000  # of one table; the largest published one has about 2,000

# Tags of cells, and what they are in HTML; any other token that looks like a tag is refused rather than guessed.
INLINE = {
    "b": "b",
    "i": "i",
    "sup": "sup",
    "sub": "sub",
    "u": "u",
    "s": "s",
    "em": "em",
    "strong": "strong",
    "br": "br",
    "span": "span",
    "strike": "s",
    "underline": "u",
    "overline": "span",
    "small": "small",
    "tt": "tt",
    "code": "code",
}
_REFERENCE = re.compile(r"&[#A-Za-z][A-Za-z0-9]*;")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*) ?/?>")
_STRUCTURE = re.compile(
    r"""<(/?)(html|body|table|thead|tbody|tfoot|tr|td|th)((?: +(?:colspan|rowspan) *= *["']?[0-9]{1,9}["']?)*) *>""",
    re.IGNORECASE,
)


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Lines of a label file, or of every .jsonl of a folder; the objects of a .json document."""
    for path in _label_files(source):
        name = path.relative_to(source).as_posix() if source.is_dir() else path.name
        if path.suffix.lower() == ".json":
            yield from json_stream.object_units(path, "images.item", name)
        else:
            yield from line_units(path, name)


def _label_files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    files = sorted(path for path in source.glob("*.jsonl") if path.is_file() and not is_output(path))
    files = files or sorted(
        path for path in (source / "gt.txt", *source.glob("*.json")) if path.is_file() and not is_output(path)
    )
    if not files:
        raise UsageError(
            "no labels here",
            where=str(source),
            hint="expected PubTabNet_2.0.0.jsonl, gt.txt or another .jsonl in this folder; or name the file itself",
        )
    return files


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """Items and rejects of one unit; rows of another split than `options.split` are passed over."""
    for record in json_rows(unit) if isinstance(unit.payload, tuple) else _lines(unit):
        if isinstance(record, Reject):
            yield record
            continue
        where, row = record
        if options.split and row.get("split", options.split) != options.split:
            continue
        yield _item(where, row, unit.path.parent, options)


def _lines(unit: Unit) -> Iterator[tuple[str, dict[str, Any]] | Reject]:
    """As `json_rows`. A table has hundreds of brackets and is not written again: depth and numbers are looked at only
    where decoding fails.
    """
    for number, line, too_long in unit_lines(unit):
        where = f"{unit.name}:{number}"
        if too_long:
            yield Reject(
                where,
                "source.too_large",
                f"more than {MAX_LINE_BYTES:,} bytes in one line",
                begin(line),
            )
            continue
        text = line.removeprefix(BOM) if number == 1 else line
        if not text.strip():
            continue
        try:
            value = msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            value = json_stream.decode(text)
        if isinstance(value, dict):
            yield where, value
        elif isinstance(value, json_stream.JsonFault):
            yield Reject(where, value.code, value.message, value.raw)
        else:
            yield Reject(
                where,
                "source.shape",
                f"expected an object, found {type(value).__name__}",
                begin(text),
            )


def _item(where: str, row: dict[str, Any], folder: Path, options: SourceOptions) -> Item | Reject:
    warnings: list[MarkupWarning] = []
    try:
        picture = _picture(row, folder, options)
        target = make(Task.TABLE, _html(row), markup="html", warnings=warnings)
    except RowRejected as error:
        return Reject(
            where,
            error.code,
            str(error),
            json_stream.raw(row),
        )
    split = row.get("split")
    return Item(
        where,
        picture,
        target,
        Task.TABLE,
        warnings=tuple(warnings),
        split=split if isinstance(split, str) else "",
    )


def _picture(row: Mapping[str, Any], folder: Path, options: SourceOptions) -> Picture:
    name = row.get("filename")
    if not isinstance(name, str) or not name:
        raise RowRejected("source.shape", "no filename")
    if name.lower().endswith(".pdf"):
        raise RowRejected(
            "image.unreadable", f"{name} is a page of a PDF, and has no pixels", hint="render the pages first"
        )
    root = options.images or folder
    split = row.get("split")
    if is_windows(name):
        inner = [split] if isinstance(split, str) and inside(root, split) else []
        return windows_picture(
            name,
            [root, *(root / part for part in (*inner, "images"))],
        )
    if inside(root, name) is None:
        raise RowRejected("source.outside", f"{name!r} leads out of the source")
    places = (
        [f"{split}/{name}", name, f"images/{split}/{name}", f"images/{name}"]
        if isinstance(split, str) and split
        else [name, f"images/{name}"]
    )
    paths = [path for place in places if (path := inside(root, place)) is not None]
    there = next(
        (path for path in paths if os.path.isfile(path)),
        None,
    )  # Path.is_file raises where a name is too long
    return (
        Picture(path=there)
        if there
        else Picture(
            path=paths[0],
            others=tuple(paths[1:]),
        )
    )


def _html(row: Mapping[str, Any]) -> str:
    html = row.get("html")
    if html is None and isinstance(row.get("gt"), str):
        return str(row["gt"])
    if not isinstance(html, dict):
        raise RowRejected(
            "source.shape",
            "no table: the test split of PubTabNet was published without" if html is None else "html is not an object",
        )
    structure = html.get("structure")
    cells = html.get("cells", html.get("cell"))
    tokens = structure.get("tokens") if isinstance(structure, dict) else None
    if not isinstance(tokens, list) or not isinstance(cells, list):
        raise RowRejected("source.shape", "html.structure.tokens or html.cells is missing, or is not a list")
    return build(
        tokens,
        [cell.get("tokens", []) if isinstance(cell, dict) else None for cell in cells],
    )


def build(structure: list[Any], cells: list[Any]) -> str:
    """HTML of one table from its structure tokens and the tokens of each cell.

    Raises RowRejected: source.shape for what is no list of strings, target.html for a structure that is no table or
    does not fit the cells, source.too_large.

    >>> build(["<tr>", "<td", ' colspan="2"', ">", "</td>", "</tr>"], [["<b>", "a", "</b>", "<", "5"]])
    '<table><tr><td colspan="2"><b>a</b>&lt;5</td></tr></table>'
    """
    if not all(isinstance(token, str) for token in structure):
        raise RowRejected("source.shape", "a structure token is not a string")
    if len(cells) > MAX_CELLS or len(structure) > 20 * MAX_CELLS:
        raise RowRejected(
            "source.too_large",
            f"{len(cells):,} cells in one table, at most {MAX_CELLS:,} are read",
        )
    joined = "".join(structure)
    out = ["<table>"]
    position = 0
    used = 0
    is_open = False
    for match in _STRUCTURE.finditer(joined):
        _nothing_between(joined[position : match.start()])
        position = match.end()
        closing = match[1]
        tag = match[2].lower()
        if tag in ("table", "html", "body"):
            continue
        if tag in ("td", "th"):
            if bool(closing) != is_open:
                raise MarkupError("target.html", "a cell is opened or closed twice", place=f"cell {used + 1}")
            is_open = not closing
            if closing:
                if used < len(cells):
                    out.append(content(cells[used], used + 1))
                used += 1
        out.append(match[0])
    _nothing_between(joined[position:])
    if is_open or used != len(cells):
        raise MarkupError("target.html", f"{used} cells in the structure, but {len(cells)} with content")
    return "".join([*out, "</table>"])


def _nothing_between(text: str) -> None:
    if text.strip():
        raise MarkupError("target.html", f"{text.strip()[:40]!r} among the structure tokens")


def content(tokens: Any, number: int) -> str:
    """HTML of what stands in one cell; `number` (from 1) names it in an error. Raises RowRejected."""
    try:
        joined = (
            "".join(tokens) if isinstance(tokens, (str, list, tuple)) else None
        )  # some exporters join the characters
    except TypeError:
        joined = None
    if joined is None:
        raise RowRejected("source.shape", "tokens are not a list of strings", place=f"cell {number}")
    if isinstance(tokens, str):
        return escape(without_references(joined), quote=False)
    if "<" not in joined and not (
        "&" in joined and _REFERENCE.search(joined)
    ):  # neither tag nor reference among them, as in most cells
        return escape(joined, quote=False)
    return "".join([escape(token, quote=False) if len(token) == 1 else _token(token, number) for token in tokens])


def _token(token: str, number: int) -> str:
    match = _TAG.fullmatch(token)
    if match is None:  # several characters together are HTML, as the code beside PubTabNet shows it
        return escape(without_references(token), quote=False)
    name = INLINE.get(match[2].lower())
    if name is None:
        raise MarkupError(
            "target.html", f"the token {token[:40]!r} is neither a character nor a known tag", place=f"cell {number}"
        )
    return f"<{match[1]}{name}>"


FORMATS: dict[str, Format] = {
    "pubtabnet": Format(
        name="pubtabnet",
        title="PubTabNet, SynthTabNet, FinTabNet and PPOCRLabel's gt.txt: structure tokens and cells",
        origin="https://github.com/ibm-aur-nlp/PubTabNet",
        example=(
            '{"filename": "PMC4776821_005_00.png", "split": "train", "imgid": 2, "html": {"cells": [{"tokens": ["<b>",'
            ' "O", "n", "e", "</b>"]}], "structure": {"tokens": ["<tbody>", "<tr>", "<td>", "</td>", "</tr>",'
            ' "</tbody>"]}}}'
        ),
        tasks=(Task.TABLE,),
        units=units,
        read=read,
        splits="train, val or test",
    )
}
