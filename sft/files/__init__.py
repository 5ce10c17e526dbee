"""Files: rows, tables, manifests, downloads; read with bounds, written whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.files import atomic, manifest, plain_yaml, snapshot, staging
    from sft.files.atomic import (
        CHUNK,
        atomic_write,
        data_fingerprint,
        disk_error,
        new_folder_beside,
        open_input,
        piece,
        read_bounded,
        read_json,
        read_table,
        sha256,
        whole_folder,
        write,
        write_json,
    )
    from sft.files.download import Unreachable, fetch_file, make_client
    from sft.files.jsonl import (
        MAX_LINE_BYTES,
        bounded_lines,
        decode,
        decode_any,
        encode,
        ocr_sample,
        read_samples,
        write_samples,
    )
    from sft.files.real_paths import RealPaths
    from sft.files.rejects import RAW_CHARACTERS, RejectedRow, reject_line, rejects_path
    from sft.files.snapshot import ImageSnapshot, changed_files, file_state
    from sft.files.staging import StagingFolder, folder_of
    from sft.files.text_input import NotText, open_text, to_utf8, what_it_is
    from sft.files.units import (
        UNIT_BYTES,
        UNIT_FILES,
        Span,
        Unit,
        file_units,
        line_units,
        page_bytes,
        stretches,
        unit_lines,
        whole_lines,
    )
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "CHUNK",
    "MAX_LINE_BYTES",
    "RAW_CHARACTERS",
    "UNIT_BYTES",
    "UNIT_FILES",
    "ImageSnapshot",
    "NotText",
    "RealPaths",
    "RejectedRow",
    "Span",
    "StagingFolder",
    "Unit",
    "Unreachable",
    "atomic",
    "atomic_write",
    "bounded_lines",
    "changed_files",
    "data_fingerprint",
    "decode",
    "decode_any",
    "disk_error",
    "encode",
    "fetch_file",
    "file_state",
    "file_units",
    "folder_of",
    "line_units",
    "make_client",
    "manifest",
    "new_folder_beside",
    "ocr_sample",
    "open_input",
    "open_text",
    "page_bytes",
    "piece",
    "plain_yaml",
    "read_bounded",
    "read_json",
    "read_samples",
    "read_table",
    "reject_line",
    "rejects_path",
    "sha256",
    "snapshot",
    "staging",
    "stretches",
    "to_utf8",
    "unit_lines",
    "what_it_is",
    "whole_folder",
    "whole_lines",
    "write",
    "write_json",
    "write_samples",
]
