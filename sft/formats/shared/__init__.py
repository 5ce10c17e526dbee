"""What several source formats share: rows, regions of a page, targets, bounded readers of JSON, XML, Parquet, LMDB and
tar files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.formats.shared import (
        datasets_library,
        docling_labels,
        hocr_text,
        json_stream,
        lmdb_file,
        page_images,
        parquet,
        regions,
        rows,
        served,
        webdataset,
        xml_safe,
    )
    from sft.formats.shared.conversations import (
        MARK,
        Inline,
        Json,
        from_messages,
        inexpressible,
        misshapen,
        parse,
        to_messages,
    )
    from sft.formats.shared.delimited_text import Record, records, workbook_records
    from sft.formats.shared.hub_files import DataFile, data_files, is_output
    from sft.formats.shared.json_stream import likely_encoding
    from sft.formats.shared.markups import MARKUPS, MEANING
    from sft.formats.shared.rows import (
        BOM,
        IMAGE_SUFFIXES,
        RAW,
        begin,
        decode_line,
        from_base64,
        is_windows,
        item,
        json_rows,
        json_units,
        picture,
        source_file,
        text_lines,
        windows_picture,
        with_suffix,
    )
    from sft.formats.shared.served_rule import Kind
    from sft.formats.shared.targets import make
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "BOM",
    "IMAGE_SUFFIXES",
    "MARK",
    "MARKUPS",
    "MEANING",
    "RAW",
    "DataFile",
    "Inline",
    "Json",
    "Kind",
    "Record",
    "begin",
    "data_files",
    "datasets_library",
    "decode_line",
    "delimited_dialect",
    "docling_labels",
    "from_base64",
    "from_messages",
    "hocr_text",
    "inexpressible",
    "is_output",
    "is_windows",
    "item",
    "json_rows",
    "json_stream",
    "json_units",
    "likely_encoding",
    "lmdb_file",
    "make",
    "misshapen",
    "page_images",
    "parquet",
    "parse",
    "picture",
    "records",
    "regions",
    "rows",
    "served",
    "source_file",
    "text_lines",
    "to_messages",
    "webdataset",
    "windows_picture",
    "with_suffix",
    "workbook_records",
    "xml_safe",
]
