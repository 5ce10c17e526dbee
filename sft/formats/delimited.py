"""CSV and TSV files with a header, and TRDG's `labels.txt`.

EasyOCR's trainer (`labels.csv`), the image folders of the Hugging Face datasets library (`metadata.csv`), TRDG
(`labels.txt`):

    filename,words
    0.jpg,"Reykjavík, Iceland"

    file_name,text
    0001.png,This is a golden retriever playing with a ball

    0.jpg abbey unlocked

Columns are found by their usual names or given with `--map image=COLUMN --map text=COLUMN`; numbers (from 1) mean
columns of a file without a header. `prompt`, `task` and `group` columns are optional. The usual separator of a file may
be another, if its header says so. Whether quotes enclose fields is decided by the file as a whole
(`sft.formats.shared.delimited_dialect`) or said with
--quotes; enclosed fields may hold line ends. A record with fewer or more fields than the header is rejected, except
EasyOCR's, whose words may hold commas without quotes, as its own loader reads them. Paths count from the file's folder.
A workbook (.xlsx) in the place of a file is read as Excel shows its first sheet, and a label that names one, where
tables are wanted, is the table in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from sft.errors import RowRejected, UsageError
from sft.files import UNIT_BYTES, Unit, bounded_lines, line_units, open_text
from sft.formats.base import UNIT_OBJECTS, Format, Item, ReadItem, Reject, SourceOptions, inside
from sft.formats.shared import (
    BOM,
    IMAGE_SUFFIXES,
    RAW,
    Record,
    decode_line,
    item,
    picture,
    records,
    source_file,
    text_lines,
    workbook_records,
)
from sft.formats.shared import delimited_dialect as dialect
from sft.markup import parse_xlsx
from sft.types import Task

COLUMNS = ("image", "text", "prompt", "task", "group")
USUAL = {
    "image": (
        "image",
        "image_path",
        "image_file",
        "image_name",
        "img",
        "img_path",
        "file_name",
        "filename",
        "file",
        "path",
    ),
    "text": (
        "text",
        "label",
        "labels",
        "transcription",
        "transcript",
        "words",
        "word",
        "latex",
        "formula",
        "html",
        "otsl",
        "markdown",
        "ground_truth",
        "gt",
        "caption",
    ),
    "prompt": ("prompt",),
    "task": ("task",),
    "group": ("group",),
}
WORKBOOKS = (".xlsx", ".xlsm")
FILES = ("metadata.csv", "labels.csv", "train.csv"), ("metadata.tsv", "labels.tsv", "train.tsv")
HEADER = "save the file as UTF-8, with the names of the columns in its first line"
_TRDG = re.compile(rf"\S+(?:{'|'.join(re.escape(suffix) for suffix in IMAGE_SUFFIXES)}) ", re.IGNORECASE)


def units(source: Path, options: SourceOptions, delimiter: str) -> Iterator[Unit]:
    """Units of a CSV or TSV file, or of a workbook in its place."""
    path = source_file(
        source,
        FILES[delimiter == "\t"],
        "tsv" if delimiter == "\t" else "csv",
    )
    if path.suffix.lower() in WORKBOOKS:
        yield from record_units(path, workbook_records(path, path.name), options)
        return
    head = first_line(path)
    if path.suffix.lower() == ".txt" and _TRDG.match(head):
        yield from line_units(path)
        return
    delimiter = dialect.separator(head, delimiter)
    named = named_columns(options)
    first = tuple(field.strip() for field in dialect.header_fields(head, delimiter))
    columns = _columns(first if named else (), options.columns, path)
    width = len(first) if named else max(columns.values()) + 1
    quoted, note = quoting(
        path,
        delimiter,
        options,
        image=columns["image"],
        width=width,
        header=first if named else (),
    )
    rows = records(path, path.name, delimiter, quoted=quoted)
    yield from record_units(path, rows, options, note)


def record_units(path: Path, rows: Iterator[Record | Reject], options: SourceOptions, note: str = "") -> Iterator[Unit]:
    """Units of some hundred of the records of a file; the payload is (columns, header, records and rejects)."""
    header: tuple[str, ...] = ()
    if named_columns(options):
        record = next(rows, None)
        if record is None:
            raise UsageError("the file is empty", where=str(path), hint="the first row names the columns")
        if isinstance(record, Reject):
            raise UsageError(
                f"the header cannot be read: {record.message}",
                where=str(path),
                hint="the first row names the columns" if path.suffix.lower() in WORKBOOKS else HEADER,
            )
        header = tuple(field.strip() for field in record.fields)
    columns = _columns(header, options.columns, path)
    batch: list[Record | Reject] = []
    size = 0
    for record in rows:
        batch.append(record)
        size += sum(map(len, record.fields)) if isinstance(record, Record) else RAW
        if len(batch) == UNIT_OBJECTS or size > UNIT_BYTES:
            yield Unit(
                path,
                path.name,
                (columns, header, tuple(batch)),
                note=note,
            )
            batch = []
            size = 0
            note = ""
    if batch:
        yield Unit(
            path,
            path.name,
            (columns, header, tuple(batch)),
            note=note,
        )


def named_columns(options: SourceOptions) -> bool:
    """Whether the first record names the columns: not where --map gives numbers."""
    return not (options.columns and all(column.isdecimal() for column in options.columns.values()))


def first_line(path: Path) -> str:
    """The first line that is not blank; UsageError where there is none, or it is no text."""
    with open_text(path) as stream:
        for number, line, _ in bounded_lines(stream):
            text = decode_line(
                f"{path.name}:{number}",
                line.removeprefix(BOM) if number == 1 else line,
            )
            if isinstance(text, Reject):
                raise UsageError(
                    f"the header cannot be read: {text.message}",
                    where=f"{path}:{number}",
                    hint=HEADER,
                )
            if text.strip():
                return text
    raise UsageError("the file is empty", where=str(path), hint="the first line names the columns")


def quoting(
    path: Path, delimiter: str, options: SourceOptions, *, image: int, width: int, header: tuple[str, ...]
) -> tuple[bool, str]:
    """(whether quotes enclose the fields of this file, that as a sentence where there are any); `header` is () for
    none.
    """
    if options.quotes != "auto":
        return options.quotes == "csv", ""
    evidence = dialect.evidence(
        path,
        delimiter,
        image=image,
        width=width,
        header=bool(header),
    )
    quoted = evidence.quoted(delimiter != "\t" and header != dialect.EASYOCR)
    return quoted, dialect.say(path.name, evidence, quoted=quoted)


def _columns(header: tuple[str, ...], given: Mapping[str, str], path: Path) -> dict[str, int]:
    """Name → index of the column; UsageError that names the columns where image or text is not among them."""
    said = f"columns: {', '.join(header)[: 4 * RAW]}"
    lower = [column.lower() for column in header]
    columns: dict[str, int] = {}
    for name in COLUMNS:
        if name in given:
            if not header:
                columns[name] = int(given[name]) - 1
            elif given[name] not in header:
                raise UsageError(
                    f"no column {given[name]!r}",
                    where=str(path),
                    hint=said,
                )
            else:
                columns[name] = header.index(given[name])
        elif near := next(
            (usual for usual in USUAL[name] if usual in lower),
            None,
        ):
            columns[name] = lower.index(near)
    if unknown := sorted(given.keys() - set(COLUMNS)):
        raise UsageError(
            f"--map does not know {unknown[0]!r}",
            where=str(path),
            hint=f"known: {', '.join(COLUMNS)}",
        )
    if missing := [name for name in COLUMNS[:2] if columns.get(name, -1) < 0]:
        raise UsageError(
            f"which column holds the {missing[0]}?",
            where=str(path),
            hint=f"{said}; name it with --map {missing[0]}=COLUMN (a number from 1 where there is no header)",
        )
    return columns


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """An Item or a Reject for every record."""
    root = options.images or unit.path.parent
    if not isinstance(unit.payload, tuple):
        yield from _trdg(unit, options, root)
        return
    columns, header, batch = unit.payload
    for record in batch:
        yield record if isinstance(record, Reject) else _item(unit, columns, header, record, options, root)


def _item(
    unit: Unit, columns: dict[str, int], header: tuple[str, ...], record: Record, options: SourceOptions, root: Path
) -> ReadItem:
    where = f"{unit.name}:{record.line}"
    fields = record.fields
    if header == dialect.EASYOCR and len(fields) > 2:
        fields = (fields[0], ",".join(fields[1:]))
    if (header and len(fields) != len(header)) or len(fields) <= max(columns.values()):
        return Reject(
            where,
            "source.shape",
            f"{len(fields)} fields, expected {len(header) or max(columns.values()) + 1}",
            record.raw,
        )
    values = {name: fields[index] for name, index in columns.items()}
    try:
        task = _task(values.get("task", "").strip(), options)
        image = picture(values["image"].strip(), root, turn=options.turn)
        workbook = (
            _workbook(values["text"], root)
            if task is Task.TABLE and values["text"].strip().lower().endswith(WORKBOOKS)
            else None
        )
        label = values["text"] if workbook is None else parse_xlsx(workbook)
    except RowRejected as error:
        return Reject(where, error.code, str(error), record.raw)
    made = item(
        where,
        record.raw,
        label,
        image,
        options,
        task=task,
        group=values.get("group", ""),
        prompt=values.get("prompt", "").strip(),
    )
    if not isinstance(made, Item):
        return made
    return replace(
        made,
        warnings=(*record.warnings, *made.warnings),
        files=() if workbook is None else (workbook,),
    )


def _workbook(name: str, root: Path) -> Path:
    """The workbook that a label names; it lies where the images do."""
    path = inside(root, name.strip().replace("\\", "/"))
    if path is None:
        raise RowRejected(
            "source.outside",
            f"{name.strip()[:RAW]!r} leads out of {root}",
        )
    if not path.is_file():
        raise RowRejected(
            "source.shape",
            f"there is no workbook {name.strip()[:RAW]!r}",
            hint="paths of workbooks are relative to the same folder as those of images",
        )
    return path


def _task(value: str, options: SourceOptions) -> Task:
    if not value:
        return options.task or Task.OCR
    try:
        return Task({"text": "ocr"}.get(value.lower(), value.lower()))
    except ValueError as error:
        raise RowRejected(
            "source.shape", f"no task {value[:RAW]!r}; known: {', '.join(task.value for task in Task)}"
        ) from error


def _trdg(unit: Unit, options: SourceOptions, root: Path) -> Iterator[Item | ReadItem]:
    for entry in text_lines(unit):
        if isinstance(entry, Reject):
            yield entry
            continue
        where, line = entry
        name, space, label = line.partition(" ")
        if not space:
            yield Reject(where, "source.shape", "no space between the name of the image and its text", line[:RAW])
            continue
        try:
            image = picture(name, root, turn=options.turn)
        except RowRejected as error:
            yield Reject(
                where,
                error.code,
                str(error),
                line[:RAW],
            )
            continue
        yield item(
            where,
            line,
            label,
            image,
            options,
            task=options.task or Task.OCR,
        )


def csv_units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Units of a CSV file."""
    yield from units(source, options, ",")


def tsv_units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Units of a TSV file."""
    yield from units(source, options, "\t")


TASKS = (Task.OCR, Task.TABLE, Task.FORMULA, Task.CHART, Task.SEAL)
FORMATS = {
    "csv": Format(
        name="csv",
        title="CSV with a column of images and one of labels (EasyOCR, imagefolder metadata.csv, TRDG labels.txt)",
        origin="https://huggingface.co/docs/datasets/image_dataset#imagefolder",
        example='filename,words\n0.jpg,"Reykjavík, Iceland"',
        tasks=TASKS,
        units=csv_units,
        read=read,
        columns=COLUMNS,
    ),
    "tsv": Format(
        name="tsv",
        title="TSV with a column of images and one of labels",
        origin="https://www.rfc-editor.org/rfc/rfc4180",
        example="file_name\ttext\n0001.png\tThis is a golden retriever playing with a ball",
        tasks=TASKS,
        units=tsv_units,
        read=read,
        columns=COLUMNS,
    ),
}
