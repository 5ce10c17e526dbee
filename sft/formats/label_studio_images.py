"""Which image a region of Label Studio lies on: the key of the task's data, the page, the file or the address."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from sft.errors import RowRejected
from sft.formats.base import Picture, SourceOptions, inside
from sft.formats.shared import json_stream, rows

KEYS = ("ocr", "image", "img", "image_url", "captioning", "url", "file", "path", "pages", "images")
INNER = ("url", "image", "src", "path")  # keys of one page, where pages are objects
_LAST_NUMBER = re.compile(r"(\d{1,6})\D*\Z")


def image_key(data: Mapping[str, Any], options: SourceOptions) -> str:
    """The key of a task's data that holds its image, or its list of pages; RowRejected (source.shape) where nobody can
    tell.
    """
    wanted = options.columns.get("image")
    if wanted:
        if wanted not in data:
            raise RowRejected(
                "source.shape",
                f"no key {wanted!r}; there are {', '.join(map(str, data))[:100]}",
            )
        return wanted
    for key in KEYS:
        if isinstance(data.get(key), str) or _addresses(data.get(key)):
            return key
    named = [key for key, value in data.items() if _is_image(value) or any(map(_is_image, _addresses(value)))]
    if len(named) != 1:
        said = f"which key holds the image? there are {', '.join(map(str, data))[:100]}"
        raise RowRejected("source.shape", said, hint="--map image=KEY")
    return named[0]


def _is_image(value: Any) -> bool:
    return isinstance(value, str) and value.lower().split("?")[0].endswith(rows.IMAGE_SUFFIXES)


def _addresses(value: Any) -> list[str]:
    """The addresses of the pages of a task; [] where `value` is no list of pages."""
    if not isinstance(value, list):
        return []
    addresses = [_address(page) for page in value]
    return [address for address in addresses if address] if all(addresses) else []


def _address(page: Any) -> str:
    """The address of one page: itself, or under a key of an object, as the Repeater tag has it."""
    if isinstance(page, dict):
        page = next(
            (page[key] for key in INNER if isinstance(page.get(key), str)),
            None,
        )
    return page if isinstance(page, str) else ""


def address_of(value: Any, region: Mapping[str, Any], *, paged: bool) -> Any:
    """The address of the image that a region lies on; `value` is what the task's data have.

    `region["page"]` is the `item_index` of its row, `region["to_name"]` the tag that it was drawn on: page_0 and
    page_1, where pages were laid out with the Repeater tag. `paged`: some region of the task says its page, so that one
    that says none is on the first. Raises RowRejected (source.shape).
    """
    if not isinstance(value, list):
        return value
    pages = _addresses(value)
    if not pages:
        raise RowRejected("source.shape", f"expected the addresses of pages, found {json_stream.raw(value)[:60]}")
    page = region.get("page")
    if not is_index(page):
        tag = _LAST_NUMBER.search(str(region.get("to_name") or ""))
        page = int(tag[1]) if tag and len(pages) > 1 else 0 if paged or len(pages) == 1 else None
    if page is None:
        said = f"on which of {len(pages)} pages? the region has no item_index"
        raise RowRejected(
            "source.shape",
            said,
            hint="export as JSON; JSON_MIN does not keep the pages of regions",
        )
    if not 0 <= page < len(pages):
        raise RowRejected("source.shape", f"page {page}, counted from 0, of {len(pages)}")
    return pages[page]


def is_index(value: Any) -> bool:
    """Whether a value is a whole number, as the `item_index` of a region is."""
    return isinstance(value, int) and not isinstance(value, bool)


def picture(name: Any, root: Path, options: SourceOptions) -> Picture:
    """The image at an address; RowRejected with source.shape, source.address or source.outside."""
    if not isinstance(name, str) or not name:
        raise RowRejected("source.shape", f"expected the address of an image, found {json_stream.raw(name)[:40]}")
    base = options.images or root
    if name.startswith("file://"):
        name = unquote(name[len("file://") :])
        name = name[1:] if rows.is_windows(name[1:]) else name
    if name.startswith(("data:", "http://", "https://")) or rows.is_windows(name):
        return rows.picture(name, base)
    if "://" in name or "/resolve/" in name:
        hint = "download the images, and name their folder with --images"
        raise RowRejected("source.address", f"{name[:100]!r} is not fetched", hint=hint)
    return _served(name, base, options) if name.startswith("/data/") else rows.picture(name, base)


def _served(name: str, base: Path, options: SourceOptions) -> Picture:
    """The file behind an address that Label Studio itself serves: an upload, or a file of a local storage."""
    path, _, query = name.partition("?")
    local = unquote(path).removeprefix("/data/")
    if path.startswith("/data/local-files"):
        local = parse_qs(query, keep_blank_values=True).get("d", [""])[-1]
    if rows.is_windows(local):
        return rows.windows_picture(local, (base,))
    written = local
    local = local.replace("\\", "/")
    last = local.rsplit("/", 1)[-1]
    spellings = dict.fromkeys((written, local.removeprefix("upload/"), *rows.ends_of(local), f"images/{last}"))
    paths = [inner for spelling in spellings if (inner := inside(base, spelling.lstrip("/")))]
    if not paths or ".." in local.split("/"):
        raise RowRejected("source.outside", f"{name[:100]!r} leads out of the source")
    there = next(
        (inner for inner in paths if os.path.isfile(inner)),
        None,
    )
    if there:
        return Picture(path=there)
    nothing = ", of which nothing was found there" if options.images else ""
    hint = f"--images DIR names the folder in which {last[:100]} lies{nothing}"
    return Picture(
        path=paths[0],
        hint=hint,
        others=tuple(paths[1:]),
    )
