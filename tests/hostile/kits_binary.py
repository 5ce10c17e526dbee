"""Sources that are no text: Parquet, Arrow, LMDB. A record is what a row holds: its label and the bytes of
its image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile.kit import PNG, Kit, Row


def picture_of(row: Row) -> bytes:
    found = PNG.get(row.mark, PNG["victim"]) if row.picture is None else row.picture
    assert isinstance(found, bytes), "only bytes fit into a column"
    return found


def label_of(row: Row) -> bytes:
    return (
        row.mark.encode()
        if row.body is None and row.label is None
        else (row.label or "").encode()
        if row.body is None
        else row.body
    )


@dataclass(frozen=True)
class Parquet(Kit):
    """A column of images and one of labels, two rows to a row group."""

    def write(self, folder: Path, rows: Sequence[Row]) -> Path:
        import pyarrow
        from pyarrow import parquet

        path = folder / self.main
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.table(self.columns(rows)), path, row_group_size=2)
        return folder / (self.source or self.main)

    def columns(self, rows: Sequence[Row]) -> dict[str, Any]:
        labels = [label_of(row).decode("utf-8", "replace") for row in rows]
        images = [{"bytes": picture_of(row), "path": row.name} for row in rows]
        if self.format == "hf":
            return {"image": images, "text": labels}
        cells = [[[{"tokens": list(label), "bbox": [1.0, 2.0, 30.0, 12.0]}]] for label in labels]
        html = [["<tr>", "<td>", "</td>", "</tr>"]] * len(rows)
        return {
            "image": images,
            "otsl": [["fcel", "nl"]] * len(rows),
            "cells": cells,
            "html": html,
            "filename": ["a.png"] * len(rows),
        }


@dataclass(frozen=True)
class Lmdb(Kit):
    """Keys image-000000001 and label-000000001."""

    def write(self, folder: Path, rows: Sequence[Row]) -> Path:
        values = {b"num-samples": str(len(rows)).encode()}
        for number, row in enumerate(rows, 1):
            values |= {b"image-%09d" % number: picture_of(row), b"label-%09d" % number: label_of(row)}
        return self.store(folder, values)

    def store(self, folder: Path, values: dict[bytes, bytes]) -> Path:
        import lmdb

        place = folder / (self.source or ".")
        place.mkdir(parents=True, exist_ok=True)
        with lmdb.open(str(place), map_size=1 << 24) as base, base.begin(write=True) as view:
            for key, value in values.items():
                view.put(key, value)
        (place / "lock.mdb").unlink()
        return place


def no_record(label: str, name: str, index: int) -> bytes:
    return label.encode()


BINARY: list[Kit] = [
    Parquet("hf parquet", "hf", "data/train-00000-of-00001.parquet", no_record, source=".", kind="text"),
    Parquet("otsl-parquet", "otsl-parquet", "source.parquet", no_record, kind="cell"),
    Lmdb("lmdb", "lmdb", "set/data.mdb", no_record, source="set", kind="text"),
]
