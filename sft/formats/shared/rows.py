"""What formats of lines and rows share: reading lines and JSON objects, where an image is, what a prompt asks for."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sft.errors import RowRejected, UsageError
from sft.files import MAX_LINE_BYTES, Unit, decode_any, line_units, open_text, unit_lines
from sft.formats.base import Item, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import json_stream
from sft.formats.shared.json_stream import likely_encoding
from sft.formats.shared.targets import make
from sft.markup import Grid, MarkupWarning
from sft.types import Task

RAW = json_stream.RAW  # characters of a row that a Reject keeps
BOM = b"\xef\xbb\xbf"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm", ".jp2")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BASE64_IMAGE = ("/9j/", "iVBORw0KGgo", "UklGR", "R0lGOD")  # how JPEG, PNG, WebP and GIF begin in base64
_ODD_NUMBER = re.compile(
    rb"NaN|Infinity|[0-9][eE]\+?[0-9]{3}|[0-9]{300}"
)  # what Python may read as no number of JSON's, or may not
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\+")
MAX_ENDS = 16  # of a path that are looked for
_SHORTEST_IMAGE = 80  # characters of base64; a 1x1 PNG has more, and hardly any path begins like one and is so long


def json_units(path: Path) -> Iterator[Unit]:
    """Units of JSON lines, of one JSON array, or of objects over several lines each, whatever the file is called."""
    with open_text(path) as stream:
        head = stream.read(1 << 16).removeprefix(BOM).lstrip()
    if head.startswith(b"["):
        yield from json_stream.object_units(path)
    elif _spread(head):
        yield from json_stream.object_units(path, "")
    else:
        yield from line_units(path)


def _spread(head: bytes) -> bool:
    """Whether the first object goes over several lines, as people and editors write it, and not only because it is cut
    off.
    """
    first, end, rest = head.partition(b"\n")
    first = first.rstrip()
    if not end or not first.startswith(b"{") or not isinstance(json_stream.decode(first), json_stream.JsonFault):
        return False
    rest = rest.lstrip()
    return bool(rest) and (first == b"{" or rest[:1] not in b"{[")


def json_rows(unit: Unit, *, unique_keys: bool = False) -> Iterator[tuple[str, dict[str, Any]] | Reject]:
    """("file:line" or "file[index]", object) of a unit of `json_units`; a blank line is no row.

    `unique_keys`: a line with a key twice in one object is a Reject (an array was decoded when it was cut, and keeps
    the last).
    """
    if not isinstance(unit.payload, tuple):
        yield from _json_lines(unit, unique_keys)
        return
    for record in json_stream.unit_objects(unit):
        yield record if isinstance(record, Reject) else _writable(*record)


def _json_lines(unit: Unit, unique_keys: bool) -> Iterator[tuple[str, dict[str, Any]] | Reject]:
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
        content = line.removeprefix(BOM) if number == 1 else line
        if not content.strip():
            continue
        value = json_stream.decode(content)
        if isinstance(value, json_stream.JsonFault):
            yield Reject(where, value.code, value.message, value.raw)
        elif not isinstance(value, dict):
            yield Reject(
                where,
                "source.shape",
                f"expected an object, found {type(value).__name__}",
                begin(content),
            )
        elif unique_keys and (keys := decode_any(content)[1]):
            message = f"duplicate key {keys[0][:RAW]!r} in one object"
            yield Reject(where, "structure.duplicate_key", message, begin(content))
        elif _ODD_NUMBER.search(content):
            yield _writable(where, value)
        else:
            yield where, value


def _writable(where: str, value: dict[str, Any]) -> tuple[str, dict[str, Any]] | Reject:
    """Python reads more than JSON may hold; what cannot be written again as it was read is no row."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError) as error:
        return Reject(
            where, "source.syntax", f"a number that JSON cannot hold: {error}", json_stream.raw(str(value)[:RAW])
        )
    return where, value


def text_lines(unit: Unit, *, latin: bool = False) -> Iterator[tuple[str, str] | Reject]:
    """("file:line", line without its end) of a unit of `line_units`; blank lines are no rows.

    A byte order mark and the carriage return of a Windows line end do not belong to the label. `latin`: what is not
    UTF-8 is read as ISO-8859-1.
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
        text = decode_line(
            where,
            line.removeprefix(BOM) if number == 1 else line,
            latin=latin,
        )
        if isinstance(text, Reject):
            yield text
        elif text.strip():
            yield where, text


def decode_line(where: str, line: bytes, *, latin: bool = False) -> str | Reject:
    """One line as text, without its end."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        if not latin:
            return Reject(
                where,
                "source.encoding",
                f"not UTF-8: {error.reason} at byte {error.start} of the line{likely_encoding(line)}",
                begin(line),
            )
        text = line.decode("iso-8859-1")
    if "\0" in text:
        said = likely_encoding(line) or "; is this a binary file?"
        return Reject(where, "source.encoding", f"a NUL byte{said}", begin(line))
    return text.removesuffix("\n").removesuffix("\r")


def begin(raw: bytes) -> str:
    """The beginning of a row for a Reject."""
    return raw[: 4 * RAW].decode("utf-8", "replace")[:RAW].rstrip("\r\n")


def picture(name: object, root: Path, *, below: bool = False, turn: bool = False) -> Picture:
    """Where the image called `name` in a row is: a path that counts from `root`, an address, a data: URI or bare
    base64.

    Absolute paths and `..` are followed, as trainers do: of what is there only images are ever opened. An absolute path
    of Windows is looked for by its end, below `root`. `below`: the path must lie below `root`, as in data sets that are
    published whole. Raises RowRejected: source.shape, source.outside, image.unreadable.
    """
    if not isinstance(name, str) or not name.strip():
        raise RowRejected("source.shape", f"expected the path of an image, found {json_stream.raw(name)}")
    if name.startswith("data:"):
        return Picture(data=_data_uri(name), turn=turn)
    if _SCHEME.match(name) and not is_windows(name):
        return Picture(url=name, turn=turn)
    if name.startswith(_BASE64_IMAGE) and len(name) > _SHORTEST_IMAGE and not os.path.exists(root / name[:4096]):
        return Picture(data=from_base64(name), turn=turn)
    if "\0" in name:
        raise RowRejected("source.outside", f"{name[:RAW]!r} contains a NUL byte and is not a path")
    if is_windows(name) and not os.path.exists(root / name):
        return windows_picture(name, (root,), turn=turn)
    if "\\" in name and not os.path.exists(root / name):  # written on Windows
        name = name.replace("\\", "/")
    path = root / name  # an absolute name stays what it is
    if below and (".." in path.parts or not path.is_relative_to(root.absolute() if os.path.isabs(name) else root)):
        raise RowRejected(
            "source.outside",
            f"{name[:RAW]!r} leads out of {root}",
            hint="--images FOLDER names the folder that paths are relative to",
        )
    return Picture(path=path, turn=turn)


def is_windows(name: str) -> bool:
    """Whether a path is an absolute one of Windows: with a drive letter, the name of a host, or a backslash
    in front.
    """
    return _WINDOWS.match(name) is not None


def ends_of(name: str) -> list[str]:
    """A path without its beginning, which is of another machine: the longest end first, the name of the file last.

    >>> ends_of("D:/scans/book 1/0001.png")
    ['scans/book 1/0001.png', 'book 1/0001.png', '0001.png']
    """
    parts = [part for part in re.split(r"[\\/]+", _WINDOWS.sub("", name, count=1)) if part not in ("", ".")]
    if ".." in parts:
        parts = parts[len(parts) - parts[::-1].index("..") :]
    return ["/".join(parts[at:]) for at in range(max(0, len(parts) - MAX_ENDS), len(parts))]


def windows_picture(name: str, folders: Iterable[Path], *, turn: bool = False) -> Picture:
    """The image of a path of Windows: its longest end that is a file below one of the folders. RowRejected where it
    names none.
    """
    candidates = [folder / end for end in ends_of(name) for folder in folders]
    if not candidates:
        raise RowRejected("source.shape", f"{name[:RAW]!r} names no file")
    if there := next(
        (path for path in candidates if os.path.isfile(path)),
        None,
    ):
        return Picture(path=there, turn=turn)
    hint = (
        f"{name[:100]} is a path of Windows, and no end of it is a file here; --images DIR names the folder to look in"
    )
    return Picture(
        path=candidates[-1],
        turn=turn,
        hint=hint,
        others=tuple(candidates[:-1]),
    )


def _data_uri(uri: str) -> bytes:
    head, comma, body = uri.partition(",")
    if not comma or not head.endswith(";base64"):
        raise RowRejected("image.unreadable", f"a data: URI that is not base64: {uri[:60]!r}")
    return from_base64(body)


def from_base64(text: str) -> bytes:
    """The bytes of an inline image; white space in it is allowed."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RowRejected("image.unreadable", f"not base64: {error}") from error


def item(
    where: str,
    raw: str,
    label: str | Grid,
    image: Picture,
    options: SourceOptions,
    *,
    task: Task,
    group: str = "",
    prompt: str = "",
) -> ReadItem:
    """An Item with its finished target, or the Reject that says why the label is none."""
    if isinstance(label, str) and not label.strip():
        return Reject(where, "target.empty", "no label", raw[:RAW])
    warnings: list[MarkupWarning] = []
    try:
        target = make(task, label, markup=options.markup, delimiter=options.delimiter, warnings=warnings)
    except RowRejected as error:
        return Reject(
            where,
            error.code,
            str(error),
            raw[:RAW],
        )
    return Item(
        where,
        image,
        target,
        task,
        group,
        prompt,
        tuple(warnings),
    )


def source_file(source: Path, names: Iterable[str], format_name: str) -> Path:
    """`source` itself, or the one file in this folder that has one of `names`; UsageError where none has or several
    have.
    """
    if not source.is_dir():
        return source
    wanted = list(names)
    paths = [source / name for name in wanted if (source / name).is_file()]
    if len(paths) == 1:
        return paths[0]
    said = ", ".join(path.name for path in paths) if paths else "none of " + ", ".join(wanted)
    raise UsageError(
        f"which file of this folder? found {said}",
        where=str(source),
        hint=f"name the label file itself: sft convert {format_name} {source / 'FILE'}",
    )


def with_suffix(folder: Path, name: str, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> str:
    """`name`, or `name` with the suffix under which there is a file in `folder`; the first suffix where
    there is none.
    """
    if name.lower().endswith(IMAGE_SUFFIXES):
        return name
    tried = list(suffixes)
    return next(
        (name + suffix for suffix in tried if os.path.isfile(folder / (name + suffix))),
        name + tried[0],
    )
