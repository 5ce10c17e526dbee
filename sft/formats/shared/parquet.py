"""Rows of Parquet and Arrow files, a few at a time: what `hf` and `otsl-parquet` share. Nothing is executed, nothing
unpickled.

A unit is a row group of a Parquet file, or a record batch of an Arrow file that `Dataset.save_to_disk` wrote. What
cannot be decoded is one Reject for the rows that are lost with it, and the other row groups go on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft.errors import RowRejected, UsageError
from sft.files import Unit, open_input
from sft.formats.base import Picture, Reject, SourceOptions
from sft.formats.shared.arrow_cells import Cells, cells_of
from sft.formats.shared.rows import picture as named_picture
from sft.images import MAX_FILE_BYTES

BATCH_BYTES = 256 << 20  # that a batch may have where each of its rows is as large as the largest value can be
MIN_ROWS, MAX_ROWS = 8, 256  # of one batch
MAX_FOOTER_BYTES = 64 << 20  # of the metadata of one file: a footer of 100 MB is not the footer of a data set
MAX_GROUPS = 1_000_000


@dataclass(frozen=True)
class ParquetRows:
    """Which rows a unit holds: row group or record batch `index`, whose first row is row `first` (from 1) of the file.

    `columns`: the top-level columns to read. `arrow`: an Arrow stream, not a Parquet file.
    """

    index: int
    first: int
    count: int
    columns: tuple[str, ...]
    arrow: bool = False


def library() -> Any:
    """The pyarrow package, with its parquet and ipc modules; UsageError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "reading Parquet and Arrow files needs pyarrow", hint="pip install 'paddleocr-vl-sft[data]'"
        ) from error
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # gives back what is free; the default one keeps much of it
    return pyarrow


@contextmanager
def parquet_file(path: Path) -> Iterator[Any]:
    """An open `pyarrow.parquet.ParquetFile`; UsageError where the footer cannot be read."""
    pyarrow = library()
    with open_input(path) as stream:
        size = path.stat().st_size
        stream.seek(max(0, size - 8))
        tail = stream.read(8)
        if size < 12 or tail[4:] != b"PAR1":
            raise UsageError(
                "this is not a whole Parquet file: its last bytes are not PAR1",
                where=str(path),
                hint=_not_parquet(path, tail),
            )
        if int.from_bytes(tail[:4], "little") > min(size, MAX_FOOTER_BYTES):
            raise UsageError(
                "the footer of this Parquet file is larger than can be",
                where=str(path),
                hint="copy or download it again",
            )
        stream.seek(0)
        try:
            file = pyarrow.parquet.ParquetFile(
                stream,
                pre_buffer=False,
                buffer_size=1 << 20,
                thrift_string_size_limit=MAX_FOOTER_BYTES,
                thrift_container_size_limit=MAX_GROUPS,
            )
        except Exception as error:  # a decoder that meets nonsense may raise anything
            raise UsageError(
                f"this Parquet file cannot be read ({_first_line(error)})",
                where=str(path),
                hint="copy or download it again",
            ) from error
        with file:
            yield file


def _not_parquet(path: Path, tail: bytes) -> str:
    if path.stat().st_size < 1024 and path.read_bytes().startswith(b"version https://git-lfs"):
        return "this is a pointer of Git LFS, not the file: run `git lfs pull` there"
    return "copy or download it again"


def columns_of(path: Path) -> tuple[list[str], list[str]]:
    """The names of all columns of a Parquet or Arrow file, and of those that hold images; UsageError where it has no
    schema.
    """
    with _arrow_stream(path) if path.suffix == ".arrow" else parquet_file(path) as file:
        try:
            schema = file.schema if path.suffix == ".arrow" else file.schema_arrow
            return list(schema.names), _image_columns(schema)
        except Exception as error:  # as above; a name that is not UTF-8
            raise UsageError(
                f"the columns of this file cannot be read ({_first_line(error)})",
                where=str(path),
                hint="copy or download it again",
            ) from error


def _image_columns(schema: Any) -> list[str]:
    """By the note that the Hugging Face library leaves in the schema, or by their type."""
    features: Any = {}
    with suppress(KeyError, TypeError, ValueError, RecursionError):
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    noted = [name for name in schema.names if isinstance(features, dict) and _is_image_feature(features.get(name))]
    return noted or [field.name for field in schema if _is_image_type(field.type)]


def _is_image_feature(feature: Any) -> bool:
    """{"_type": "Image"}, [{"_type": "Image"}] or {"feature": {"_type": "Image"}, "_type": "Sequence"}."""
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
        feature = feature["feature"]
    return isinstance(feature, dict) and feature.get("_type") == "Image"


def _is_image_type(arrow_type: Any) -> bool:
    types = library().types
    if types.is_list(arrow_type) or types.is_large_list(arrow_type):
        arrow_type = arrow_type.value_type
    if types.is_struct(arrow_type):
        return {"bytes", "path"} >= {
            arrow_type.field(i).name for i in range(arrow_type.num_fields)
        } and arrow_type.get_field_index("bytes") >= 0
    return bool(types.is_binary(arrow_type) or types.is_large_binary(arrow_type))


def units(path: Path, name: str, columns: Sequence[str]) -> Iterator[Unit]:
    """The row groups of one file, in order; `columns`: the names to read, all that the file has where it is empty."""
    if path.suffix == ".arrow":
        yield from _arrow_units(path, name, columns)
        return
    with parquet_file(path) as file:
        metadata = file.metadata
        first = 1
        for index in range(metadata.num_row_groups):
            count = metadata.row_group(index).num_rows
            yield Unit(
                path,
                name,
                ParquetRows(index, first, count, tuple(columns)),
            )
            first += count


def _arrow_units(path: Path, name: str, columns: Sequence[str]) -> Iterator[Unit]:
    """Record batches can only be found one after the other, and reading them is what takes the time: one unit per
    file.
    """
    with _arrow_stream(path):
        yield Unit(
            path,
            name,
            ParquetRows(0, 1, 0, tuple(columns), arrow=True),
        )


@contextmanager
def _arrow_stream(path: Path) -> Iterator[Any]:
    pyarrow = library()
    with open_input(path):  # says in words what is wrong with the name
        pass
    try:
        source = pyarrow.memory_map(str(path))
        try:
            reader = pyarrow.ipc.open_stream(source)
        except pyarrow.ArrowInvalid:
            source.seek(0)
            reader = pyarrow.ipc.open_file(source)  # older versions wrote the other Arrow layout
            reader = pyarrow.RecordBatchReader.from_batches(
                reader.schema, (reader.get_batch(i) for i in range(reader.num_record_batches))
            )
    except Exception as error:  # as above
        raise UsageError(
            f"this Arrow file cannot be read ({_first_line(error)})", where=str(path), hint="save the data set again"
        ) from error
    with source:
        yield reader


def rows(unit: Unit) -> Iterator[tuple[str, dict[str, Any]] | Reject]:
    """("file.parquet:row", {column: value}) of every row of a unit; the row number counts from 1 through the file.

    A row whose values cannot be read is a Reject of its own. Where bytes cannot be decoded, one Reject names the rows
    that cannot be read any more.
    """
    part: ParquetRows = unit.payload
    number = part.first
    try:
        for batch in _batches(unit.path, part):
            cells = None if part.arrow else cells_of(batch)
            for index in range(batch.num_rows):
                where = f"{unit.name}:{number}"
                number += 1
                yield _row(where, batch, index, cells)
    except UsageError as error:
        yield Reject(f"{unit.name}:{number}", "source.syntax", error.message)
    except Exception as error:  # as above
        last = part.first + part.count - 1
        lost = (
            f"rows {number} to {last}" if last > number else "this row and those after it" if part.arrow else "this row"
        )
        yield Reject(
            f"{unit.name}:{number}",
            "source.syntax",
            f"{lost} cannot be decoded ({_first_line(error)})",
        )


def _row(where: str, batch: Any, index: int, cells: Cells | None) -> tuple[str, dict[str, Any]] | Reject:
    """One row as Python values. `cells` None: of an Arrow file, whose offsets are believed unless they are checked."""
    try:
        if cells is not None:
            return where, {name: cell(index) for name, cell in cells}
        row = batch.slice(index, 1)
        row.validate(full=True)
        return where, {name: row.column(name)[0].as_py() for name in dict.fromkeys(row.schema.names)}
    except UnicodeDecodeError as error:
        return Reject(where, "source.encoding", f"not UTF-8: {error.reason}")
    except Exception as error:  # as above
        code = "source.encoding" if "UTF8" in str(error) else "source.shape"
        return Reject(where, code, f"a value of this row cannot be read ({_first_line(error)})")


def _batches(path: Path, part: ParquetRows) -> Iterator[Any]:
    if part.arrow:
        with _arrow_stream(path) as reader:
            for batch in reader:
                yield batch.select([name for name in batch.schema.names if not part.columns or name in part.columns])
        return
    with parquet_file(path) as file:
        # A value that stands once in the dictionary of a column can stand in every row: so few rows at a time as that
        # needs. (Not the sizes of the single columns: pyarrow ends the process where their statistics are damaged.)
        size = min(
            MAX_ROWS,
            max(MIN_ROWS, BATCH_BYTES // max(1, file.metadata.row_group(part.index).total_byte_size)),
        )
        yield from file.iter_batches(
            size, row_groups=[part.index], columns=list(part.columns) or None, use_threads=False
        )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def split_files(files: list[tuple[str, Path]], split: str) -> list[tuple[str, Path]]:
    """Those (name, path) whose name has `split` as a word of it ("data/train-00000-of-00002.parquet"); all without a
    split.
    """
    if not split:
        return files
    word = re.compile(
        rf"(?:^|[^A-Za-z0-9]){re.escape(split)}(?:[^A-Za-z0-9]|$)",
        re.IGNORECASE,
    )
    matching = [(name, path) for name, path in files if word.search(name)]
    if not matching:
        names = ", ".join(name for name, _ in files[:8])
        raise UsageError(
            f"no file of a split called {split!r}", hint=f"the files are {names}{', …' if len(files) > 8 else ''}"
        )
    return matching


def picture(value: Any, folder: Path, options: SourceOptions) -> Picture:
    """The pixels behind a cell of an image column: {bytes, path}, bytes, a path, an address, or a list of one of those.

    Paths count from `options.images`, or else from `folder`. Raises RowRejected with source.shape, source.outside,
    source.inexpressible (more images than one), image.missing or image.too_large.
    """
    if isinstance(value, list):
        if len(value) != 1:
            raise RowRejected(
                "source.inexpressible" if value else "image.missing", f"{len(value)} images in one row, expected 1"
            )
        value = value[0]
    name = value
    if isinstance(value, dict):
        value, name = value.get("bytes"), value.get("path")
    if isinstance(value, (bytes, bytearray)):
        if not value:
            raise RowRejected("image.missing", "an empty image")
        if len(value) > MAX_FILE_BYTES:
            raise RowRejected(
                "image.too_large", f"an image of {len(value):,} bytes, at most {MAX_FILE_BYTES:,} are read"
            )
        return Picture(data=bytes(value))
    if name is None:
        raise RowRejected("image.missing", "no image in this row")
    return named_picture(name, options.images or folder, below=True)
