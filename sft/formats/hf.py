"""Data sets in the layouts of the Hugging Face `datasets` library: Parquet, saved to disk, image folders, JSON lines,
hub names.

SOURCE is a file (.parquet, .arrow, .jsonl, .csv), a folder, or a name on the hub (`owner/name` or
`owner/name@revision`; its files are downloaded once, into the hub's own cache). Where its README.md has configurations,
--split CONFIG/SPLIT takes one split of one of them, CONFIG/ all its splits. Plain files are read here; those with
options in their configuration by the `datasets` library, streaming (`sft.formats.shared.datasets_library`); tar files
of a WebDataset by `sft.formats.shared.webdataset`. A row of `naver-clova-ix/synthdog-en`, and a line of an image
folder's metadata.jsonl, as the documentation of `datasets` shows it:

    {"image": {"bytes": …, "path": "0.jpg"}, "ground_truth": "{\\"gt_parse\\": {\\"text_sequence\\": \\"… the text
    …\\"}}"} {"file_name": "0001.png", "text": "This is a golden retriever playing with a ball"}

Columns that are not named with --map are guessed: the image by the type that the schema gives it, the label by its
name, which also says what it is (`latex` is a formula, `html` a table). Where names allow two readings the user is
asked. Without a column of labels, one of conversations is read (`sft.formats.hf_chat`). A column inside a struct, a
list or a JSON string is written with dots: `--map text=ground_truth.gt_parse.text_sequence`, `--map
text=texts.0.assistant`; of a list of one the number can be left out. Without --split, rows of several splits keep the
name of theirs as `meta.split`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from sft.errors import RowRejected, UsageError
from sft.files import MAX_LINE_BYTES, Unit
from sft.formats import hf_chat
from sft.formats.base import Format, HubRow, Item, ReadItem, Reject, SourceOptions
from sft.formats.delimited import first_line, quoting
from sft.formats.hf_values import json_value, value_at
from sft.formats.shared import (
    DataFile,
    data_files,
    datasets_library,
    json_rows,
    json_stream,
    json_units,
    make,
    parquet,
    records,
    webdataset,
)
from sft.formats.shared import delimited_dialect as dialect
from sft.markup import MarkupError, MarkupWarning
from sft.types import Task

COLUMNS = ("image", "text", "group", "prompt")
IMAGE_NAMES = ("image", "file_name", "img", "images", "picture", "image_path", "img_path", "path")
# names of label columns, the most telling first → what they hold, and how it is written
TEXT_NAMES: dict[str, tuple[Task, str]] = {
    **dict.fromkeys(
        ("text", "transcription", "transcript", "ocr_text", "ground_truth", "markdown", "txt"), (Task.OCR, "auto")
    ),
    **dict.fromkeys(("latex", "latex_formula", "latex_formulas", "formula", "tex"), (Task.FORMULA, "latex")),
    **dict.fromkeys(("html", "html_table", "table_html"), (Task.TABLE, "html")),
    "otsl": (Task.TABLE, "otsl"),
}
DONUT = ("gt_parse", "text_sequence")  # where Donut's JSON string has the text


@dataclass(frozen=True)
class Columns:
    """Where the parts of a sample are in a row; "" for what there is none of."""

    image: str
    text: str
    group: str
    prompt: str
    task: Task
    markup: str

    @property
    def heads(self) -> tuple[str, ...]:
        """The top-level columns that must be read."""
        return tuple(dict.fromkeys(name for name in (self.image, self.text, self.group, self.prompt) if name))


@dataclass(frozen=True)
class HubTable:
    """A CSV file that is read here: its header, what separates the cells, and whether quotes enclose them."""

    header: tuple[str, ...]
    separator: str
    quoted: bool


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Row groups of Parquet files, parts of JSON lines and tar files; Arrow, CSV and what the library reads as a
    whole: each with its columns.
    """
    for file in data_files(source, options.split):
        yield from _file_units(file, options)


def _file_units(file: DataFile, options: SourceOptions) -> Iterator[Unit]:
    name = file.name
    path = file.path
    suffix = path.suffix.lower()
    separator = _separator(file)
    inner: Iterable[Unit]
    if suffix in (".parquet", ".arrow", ".tar"):
        module = webdataset if suffix == ".tar" else parquet
        names, images = (
            webdataset.columns_of(path, options.columns.values()) if suffix == ".tar" else parquet.columns_of(path)
        )
        columns = choose(names, images, options, str(path))
        inner = module.units(
            path,
            name,
            list(dict.fromkeys(_head(column, names) for column in columns.heads)),
        )
    elif separator:
        header, separator = _csv_header(path, separator)
        columns = choose(list(header), [], options, str(path))
        image = header.index(columns.image) if columns.image in header else 0
        quoted, note = quoting(
            path,
            separator,
            options,
            image=image,
            width=len(header),
            header=header,
        )
        inner = [
            Unit(
                path,
                name,
                HubTable(header, separator, quoted),
                note=note,
            )
        ]
    elif file.reading or suffix == ".txt":
        how = datasets_library.streamed(path, file.reading)
        columns = choose(
            list(how.columns),
            [],
            options,
            str(path),
        )
        inner = [Unit(path, name, how)]
    else:
        columns = choose(_first_keys(path), [], options, str(path))
        inner = (replace(unit, name=name) for unit in json_units(path))
    for unit in inner:
        yield replace(
            unit,
            payload=(columns, unit.payload),
            split=file.split,
        )


def _separator(file: DataFile) -> str:
    """What separates the cells of a file that is read here; "" for another kind of file, or one with further
    options.
    """
    usual = {".csv": ",", ".tsv": "\t"}.get(file.path.suffix.lower(), "")
    wanted = file.reading.get("delimiter") or file.reading.get("sep") or usual
    plain = (
        not (file.reading.keys() - {"sep", "delimiter"})
        and isinstance(wanted, str)
        and len(wanted) == 1
        and wanted not in '\r\n"'
    )
    return str(wanted) if usual and plain else ""


def _head(column: str, names: Iterable[str]) -> str:
    return column if column in set(names) else column.split(".", 1)[0]


def _first_keys(path: Path) -> list[str]:
    """The keys of the first object of a file, be it lines or an array."""
    for unit in json_units(path):
        for record in json_rows(unit):
            if not isinstance(record, Reject):
                return list(record[1])
    raise UsageError("no row of this file is a JSON object", where=str(path), hint="expected one object per line")


def _csv_header(path: Path, usual: str) -> tuple[tuple[str, ...], str]:
    """The names of the columns, and what separates them. UsageError where the first line is no such line."""
    head = first_line(path)
    separator = dialect.separator(head, usual)
    return dialect.header_fields(head, separator), separator


def choose(names: list[str], images: list[str], options: SourceOptions, where: str) -> Columns:
    """Which of the columns `names` are what; `images`: those that hold images by their type. UsageError names them
    all.
    """
    for wanted in options.columns.values():
        if wanted not in names and wanted.split(".", 1)[0] not in names:
            raise UsageError(
                f"no column {wanted!r}",
                where=where,
                hint=f"the columns are {', '.join(names)}",
            )
    image = options.columns.get("image") or _one_image(names, images, where)
    text = options.columns.get("text") or _one_text(
        [name for name in names if name != image], options.task, names, where
    )
    guessed, markup = TEXT_NAMES.get(
        text.rsplit(".", 1)[-1].lower(),
        (Task.OCR, "auto"),
    )
    task = options.task or guessed
    if options.markup != "auto" or task is not guessed:
        markup = options.markup
    return Columns(
        image,
        text,
        options.columns.get("group", ""),
        options.columns.get("prompt", ""),
        task,
        markup,
    )


def _one_image(names: list[str], images: list[str], where: str) -> str:
    candidates = images or [name for wanted in IMAGE_NAMES for name in names if name.lower() == wanted][:1]
    if len(candidates) > 1:
        candidates = [name for name in candidates if name.lower() == "image"] or candidates
    if len(candidates) == 1:
        return candidates[0]
    what = f"{len(candidates)} columns of images ({', '.join(candidates)})" if candidates else "no column of images"
    raise UsageError(what, where=where, hint=f"name it with --map image=COLUMN; the columns are {', '.join(names)}")


def _one_text(names: list[str], task: Task | None, every: list[str], where: str) -> str:
    said = {name: name.lower() for name in names}
    if not any(
        word in TEXT_NAMES for word in said.values()
    ):  # a field of a WebDataset with a dot in it, such as line.txt
        said = {name: name.lower().rpartition(".")[2] for name in names}
    candidates = {name: TEXT_NAMES[word][0] for name, word in said.items() if word in TEXT_NAMES}
    of_task = [name for name, is_for in candidates.items() if task is None or is_for is task] or list(candidates)
    if of_task and len({candidates[name] for name in of_task}) == 1:
        return min(
            of_task,
            key=lambda name: list(TEXT_NAMES).index(said[name]),
        )
    chats = [name for name in names if name.lower() in hf_chat.NAMES]
    if not of_task and len(chats) == 1:
        return chats[0]
    what = f"{' and '.join(of_task)} could both be the label" if of_task else "no column that looks like a label"
    raise UsageError(
        what,
        where=where,
        hint=(
            f"name it with --map text=COLUMN{', or give --task' if of_task else ''}; the columns are {', '.join(every)}"
        ),
    )


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """Items and rejects of one unit."""
    columns, payload = unit.payload
    inner = Unit(unit.path, unit.name, payload)
    if isinstance(payload, parquet.ParquetRows):
        rows: Iterator[tuple[str, dict[str, Any]] | Reject] = parquet.rows(inner)
    elif isinstance(payload, webdataset.Samples):
        rows = webdataset.rows(inner)
    elif isinstance(payload, datasets_library.Streamed):
        rows = datasets_library.rows(inner)
    elif isinstance(payload, HubTable):
        rows = _csv_objects(inner)
    else:
        rows = json_rows(inner)
    for row in rows:
        yield row if isinstance(row, Reject) else _item(*row, columns, unit.path.parent, options)


def _csv_objects(unit: Unit) -> Iterator[tuple[str, dict[str, Any]] | Reject]:
    header: tuple[str, ...] = unit.payload.header
    for row in islice(
        records(unit.path, unit.name, unit.payload.separator, quoted=unit.payload.quoted),
        1,
        None,
    ):
        if isinstance(row, Reject):
            yield row
        elif len(row.fields) != len(header):
            yield Reject(
                f"{unit.name}:{row.line}",
                "source.shape",
                f"{len(row.fields)} cells, but {len(header)} in the header",
                row.raw,
            )
        else:
            yield f"{unit.name}:{row.line}", dict(zip(header, row.fields, strict=True))


def _item(
    where: str, row: Mapping[str, Any], columns: Columns, folder: Path, options: SourceOptions
) -> Item | HubRow | Reject:
    warnings: list[MarkupWarning] = []
    try:
        image = value_at(row, columns.image)
        if columns.text.lower() in hf_chat.NAMES and hf_chat.is_chat(turns := value_at(row, columns.text)):
            return _chat(where, row, turns, image, columns, folder, options)
        picture = parquet.picture(image, folder, options)
        label = _label(value_at(row, columns.text), columns.text)
        target = make(
            columns.task,
            label,
            markup=columns.markup,
            delimiter=options.delimiter,
            warnings=warnings,
        )
        group, prompt = (_word(value_at(row, name)) if name else "" for name in (columns.group, columns.prompt))
    except RowRejected as error:
        rest = {key: value for key, value in row.items() if key != columns.image}
        return Reject(
            where,
            error.code,
            str(error),
            json_stream.raw(rest),
        )
    return Item(
        where,
        picture,
        target,
        columns.task,
        group,
        prompt,
        tuple(warnings),
    )


def _chat(
    where: str, row: Mapping[str, Any], turns: Any, image: Any, columns: Columns, folder: Path, options: SourceOptions
) -> Item | HubRow:
    pictures = [
        parquet.picture(
            one,
            folder,
            options,
        )
        for one in (image if isinstance(image, list) else [image])
    ]
    chat = hf_chat.read(
        where,
        turns,
        pictures,
        options,
        task=columns.task,
        markup=columns.markup,
    )
    group, prompt = (_word(value_at(row, name)) if name else "" for name in (columns.group, columns.prompt))
    if isinstance(chat, Item):
        return replace(chat, group=group, prompt=prompt or chat.prompt)
    return replace(
        chat,
        row={**chat.row, **({"meta": {"group": group}} if group else {})},
    )


def _label(value: Any, column: str) -> str:
    """The label as a text: a string, a list of one, or Donut's JSON. Raises RowRejected."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if column == "ground_truth" and isinstance(value, (str, Mapping)):
        inner = json_value(value) if isinstance(value, str) and value.lstrip().startswith("{") else value
        if isinstance(inner, Mapping):
            for step in DONUT:
                inner = inner.get(step) if isinstance(inner, Mapping) else None
            value = inner
            if not isinstance(value, str):
                raise RowRejected(
                    "source.inexpressible",
                    "ground_truth holds fields, not a text; name one with --map text=ground_truth.gt_parse.FIELD",
                )
    if value is None:
        raise MarkupError("target.empty", "no label")
    if not isinstance(value, str):
        raise RowRejected("source.shape", f"the label is not a text, but {type(value).__name__}")
    if len(value) > MAX_LINE_BYTES // 4:
        raise RowRejected("source.too_large", f"a label of {len(value):,} characters")
    return value


def _word(value: Any) -> str:
    if value is None or isinstance(value, (str, int)):
        return "" if value is None else str(value)
    raise RowRejected("source.shape", f"expected a text, found {type(value).__name__}")


FORMATS: dict[str, Format] = {
    "hf": Format(
        name="hf",
        title=(
            "Hugging Face datasets: Parquet, saved to disk, image folder, JSON lines, CSV, WebDataset, or a name on"
            " the hub"
        ),
        origin="https://huggingface.co/docs/datasets/image_dataset",
        example='{"file_name": "0001.png", "text": "This is a golden retriever playing with a ball"}',
        tasks=(Task.OCR, Task.TABLE, Task.FORMULA, Task.CHART),
        units=units,
        read=read,
        columns=COLUMNS,
        splits="CONFIG, SPLIT or CONFIG/SPLIT",
    )
}
