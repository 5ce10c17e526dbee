"""Files: rows, tables, manifests, downloads; read with bounds, written whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.files import atomic, manifest, plain_yaml, snapshot, staging
    from sft.files.atomic import (
        CHUNK,
        atomic_write,
        disk_error,
        new_folder_beside,
        open_input,
        piece,
        read_bounded,
        read_json,
        read_table,
        sha256,
        write,
        write_json,
    )
    from sft.files.download import Unreachable, fetch_file, make_client
    from sft.files.jsonl import MAX_LINE_BYTES, bounded_lines, decode, encode, ocr_sample, read_samples, write_samples
    from sft.files.snapshot import Seen, changed
    from sft.files.staging import Work, folder_of
    from sft.files.units import UNIT_BYTES, UNIT_FILES, Span, Unit, file_units, line_units, unit_lines
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "CHUNK",
    "MAX_LINE_BYTES",
    "UNIT_BYTES",
    "UNIT_FILES",
    "Seen",
    "Span",
    "Unit",
    "Unreachable",
    "Work",
    "atomic",
    "atomic_write",
    "bounded_lines",
    "changed",
    "decode",
    "disk_error",
    "encode",
    "fetch_file",
    "file_units",
    "folder_of",
    "line_units",
    "make_client",
    "manifest",
    "new_folder_beside",
    "ocr_sample",
    "open_input",
    "piece",
    "plain_yaml",
    "read_bounded",
    "read_json",
    "read_samples",
    "read_table",
    "sha256",
    "snapshot",
    "staging",
    "unit_lines",
    "write",
    "write_json",
    "write_samples",
]
