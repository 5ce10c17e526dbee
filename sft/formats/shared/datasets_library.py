"""Rows of files that only the `datasets` library knows how to read: CSV, JSON and text with the options of a
configuration.

Its packaged builders alone are used, streaming: nothing is executed, nothing is written to its cache, and no download
is counted. The library reads a file from its beginning and gives up at the first row it cannot parse, so that a file is
one unit and such a row costs those after it as well: plain CSV and JSON lines are read by `sft.formats.hf` itself
instead.
"""

from __future__ import annotations

import glob
import importlib
import itertools
import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft.errors import UsageError
from sft.files import Unit, open_input
from sft.formats.base import Reject

BUILDERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".txt": "text"}
OPTIONS = {
    "csv": frozenset(
        (
            "sep",
            "delimiter",
            "names",
            "column_names",
            "header",
            "skiprows",
            "quotechar",
            "quoting",
            "escapechar",
            "encoding",
        )
    ),
    "json": frozenset(("field", "encoding")),
    "text": frozenset(("encoding",)),
}
MAX_BYTES = 512 << 20  # of one file: a quote that is never closed, or JSON under a field, is held as a whole


@dataclass(frozen=True)
class Streamed:
    """How a file is read: the name of a packaged builder, its options, and the names of the columns, which are read as
    text from CSV.
    """

    builder: str
    options: tuple[tuple[str, Any], ...]
    columns: tuple[str, ...] = ()


def streamed(path: Path, reading: Mapping[str, Any]) -> Streamed:
    """What reads this file, and its columns. UsageError where there is no row, or no way to read it so."""
    builder = BUILDERS.get(path.suffix.lower(), "")
    unfit = sorted(reading.keys() - OPTIONS.get(builder, frozenset()))
    if not builder or unfit:
        raise UsageError(
            f"the option {unfit[0] if unfit else '(none)'} does not fit {path.suffix or 'this file'}",
            where=str(path),
            hint="fix the configuration in README.md",
        )
    with open_input(path) as stream:
        if stream.seek(0, 2) > MAX_BYTES:
            raise UsageError(
                f"more than {MAX_BYTES >> 20} MiB, which the library would hold as a whole",
                where=str(path),
                hint="write it as plain CSV or JSON lines, or in smaller files",
            )
    options = dict(reading)
    if builder == "csv":  # a label "NA" is a label, and so is "007"
        options = {
            **({"sep": "\t"} if path.suffix.lower() == ".tsv" else {}),
            **options,
            "keep_default_na": False,
            "na_filter": False,
            "chunksize": 1000,
        }
    how = Streamed(builder, tuple(options.items()))
    try:
        first = next(iter(_stream(path, how)), None)
    except Exception as error:  # pandas, pyarrow or the library itself
        raise UsageError(
            f"the datasets library cannot read this file ({_reason(error)})",
            where=str(path),
            hint="fix the file, or the configuration in README.md",
        ) from error
    if first is None:
        raise UsageError("no row in this file", where=str(path), hint="remove it from the configuration")
    return Streamed(
        builder,
        how.options,
        tuple(map(str, first)),
    )


def _stream(path: Path, how: Streamed) -> Any:
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError as error:
        raise UsageError(
            "this needs the datasets library", where=str(path), hint="pip install 'paddleocr-vl-sft[data]'"
        ) from error
    logging.getLogger("datasets").setLevel(logging.CRITICAL)  # what it logs is said in the reject
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # it would send the builder's name over the network
    options: dict[str, Any] = dict(how.options)
    if how.builder == "csv" and how.columns:
        options["features"] = datasets.Features({name: datasets.Value("string") for name in how.columns})
    with tempfile.TemporaryDirectory() as cache:  # for its lock, one for every file that was ever read
        return datasets.load_dataset(
            how.builder,
            data_files={"rows": [glob.escape(str(path.absolute()))]},
            split="rows",
            streaming=True,
            cache_dir=cache,
            **options,
        )


def rows(unit: Unit) -> Iterator[tuple[str, dict[str, Any]] | Reject]:
    """("file.csv:row", {column: value}), rows counted from 1; a Reject where the library gives up."""
    number = 0
    try:
        for number, row in zip(
            itertools.count(1),
            _stream(unit.path, unit.payload),
        ):
            yield f"{unit.name}:{number}", row
    except Exception as error:  # as above
        yield Reject(
            f"{unit.name}:{number + 1}",
            "source.syntax",
            f"this row, or one of those after it, cannot be parsed, and all are lost ({_reason(error)})",
        )


def _reason(error: Exception) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return " ".join((str(cause) or type(cause).__name__).split())[:200]
