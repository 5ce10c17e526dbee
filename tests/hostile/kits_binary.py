"""Sources that are no text: Parquet, Arrow, LMDB, workbooks. A record is what a row holds: its label and the bytes of
its image.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from hostile.kit import PNG, Kit, Row, put


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


PARTS = {
    "[Content_Types].xml": (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/xl/workbook.xml"'
        ' ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
        '<Override PartName="/xl/worksheets/sheet1.xml"'
        ' ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>'
    ),
    "_rels/.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1"'
        ' Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"'
        ' Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/workbook.xml": (
        '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
        ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
        '<sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>'
    ),
    "xl/_rels/workbook.xml.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1"'
        ' Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"'
        ' Target="worksheets/sheet1.xml"/></Relationships>'
    ),
}
SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
)
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML has no place for these


@dataclass(frozen=True)
class Workbook(Kit):
    """A workbook whose rows are the records, or, with {mark}, one workbook for each."""

    def write(self, folder: Path, rows: Sequence[Row]) -> Path:
        super().write(folder, rows)
        records = [(self.ref_of(row), label_of(row).decode("utf-8", "replace")) for row in rows]
        if self.many:
            for row, (_, label) in zip(rows, records, strict=True):
                self.save(folder / self.main_of(row), [(label, "1")])
        else:
            self.save(folder / self.main, [("file_name", "text"), *records])
        return folder / (self.source or self.main)

    def ref_of(self, row: Row) -> str:
        return self.image.format(mark=row.mark) if row.name is None else row.name

    def save(self, path: Path, rows: Iterable[tuple[str, ...]]) -> None:
        """The same bytes for the same rows."""
        lines = []
        for cells in rows:
            texts = [escape(NO_XML.sub("\ufffd", text), quote=False) for text in cells]
            inner = [f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>' for text in texts]
            lines.append(f"<row>{''.join(inner)}</row>")
        put(path, b"")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in {**PARTS, "xl/worksheets/sheet1.xml": SHEET.format("".join(lines))}.items():
                packed.writestr(zipfile.ZipInfo(name), content)


def named_record(label: str, name: str, index: int) -> bytes:
    return f"{name} {label}".encode("utf-8", "replace")


def no_record(label: str, name: str, index: int) -> bytes:
    return label.encode()


BINARY: list[Kit] = [
    Parquet("hf parquet", "hf", "data/train-00000-of-00001.parquet", no_record, source=".", kind="text"),
    Parquet("otsl-parquet", "otsl-parquet", "source.parquet", no_record, kind="cell"),
    Lmdb("lmdb", "lmdb", "set/data.mdb", no_record, source="set", kind="text"),
    Workbook("xlsx", "xlsx", "labels.xlsx", named_record, kind="text"),
    Workbook("xlsx tables", "xlsx", "{mark}.xlsx", no_record, "{mark}.png", source=".", kind="cell"),
]
