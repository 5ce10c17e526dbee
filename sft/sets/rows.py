"""Rows of other files, written into a new one: nothing in them changes but the paths of their images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
import numpy.typing as npt

from sft.sets.index import Index, read_line

_row = msgspec.json.Decoder(dict[str, msgspec.Raw])  # what is not looked at stays as it was written, numbers of any length too
_images = msgspec.json.Decoder(list[dict[str, Any]])
BATCH = 1 << 20  # bytes of rows that are joined before they are written


@contextmanager
def open_rows(index: Index) -> Iterator[dict[int, Any]]:
    """The open files of an index, closed in the end."""
    files: dict[int, Any] = {}
    with ExitStack() as stack:
        stack.callback(lambda: [stream.close() for stream in files.values()])
        yield files


def copy_rows(index: Index, numbers: npt.NDArray[np.int64], folder: Path, stream: IO[bytes]) -> int:
    """Write these rows, in this order, as rows of a file in `folder`; returns how many."""
    moved = [None if path.parent.resolve() == folder.resolve() else path.parent.resolve() for path in index.files]
    target = folder.resolve()
    count = size = 0
    batch: list[bytes] = []
    with open_rows(index) as files:
        for number in numbers:
            line = read_line(index, number, files)
            base = moved[int(index.rows["file"][number])]
            batch.append(line if base is None else relocate(line, base, target))
            count += 1
            size += len(line)
            if size > BATCH:
                stream.write(b"\n".join(batch) + b"\n")
                batch, size = [], 0
    if batch:
        stream.write(b"\n".join(batch) + b"\n")
    return count


def relocate(line: bytes, base: Path, folder: Path) -> bytes:
    """A row whose image paths count from `base`, as a row whose paths count from `folder`; absolute paths stay."""
    row = _row.decode(line)
    images = _images.decode(row["image_info"])
    for image in images:
        url = image["image_url"]
        if not os.path.isabs(url):
            parent, name = os.path.split(os.path.join(base, url))
            moved = os.path.relpath(os.path.join(os.path.realpath(parent), name), folder)  # `..` behind a link leads elsewhere than it reads
            image["image_url"] = f"./{moved}" if moved.startswith("http") else moved  # the trainers take every http… for an address
    return msgspec.json.encode({**row, "image_info": images})
