"""One unit of a source becomes rows, rejects and a tally, as three files of the work folder; runs in a worker."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from sft import formats, models
from sft.convert.image_store import NotFetched, Placed, Store, forget_folders
from sft.convert.tally import PIECES, Tally, count, count_merged
from sft.convert.warnings import warning_lines
from sft.errors import RowRejected, SftError
from sft.files import RAW_CHARACTERS, ImageSnapshot, NotText, Unit, atomic, reject_line
from sft.formats import Format, HubRow, Item, Note, Picture, ReadItem, Reject, SourceOptions
from sft.images import ImageProblem
from sft.markup import PLACEHOLDERS
from sft.types import Task

KEEP_THEIR_KEYS = ("erniekit", "messages")  # formats that are read without loss: nothing is added to their rows
BATCH, BATCH_BYTES = 64, 32 * 1024 * 1024  # rows read ahead, so that remote images are fetched side by side
To = Literal["erniekit", "messages"]
# of a whole label: an HTML table, OTSL, one formula in its delimiters
_OTHER = re.compile(
    r"(<(?:html|table)\b(?=.*<t[dh]\b))|(<(?:[fe]cel|ched|rhed)>.*<nl>)"
    r"|\\\[.*\\\]\Z|\\\((?:(?!\\\)).)*\\\)\Z|\$\$[^$]+\$\$\Z|\$[^$]+\$\Z",
    re.DOTALL | re.IGNORECASE,
)

_COMMAND = re.compile(
    r"\\(?:[dt]?frac|sqrt|left|right|begin|sum|prod|int|math[a-z]+|operatorname|"
    r"over(?:line|set)|under(?:line|set))(?![A-Za-z])"
)
_DELIMITER = re.compile(r"\\[(\[]|\$")


@dataclass(frozen=True)
class ConvertRequest:
    """What is wanted. `prompt` "" means the model's own for the task. Paths are absolute from the driver on."""

    format: str
    source: Path
    out: Path
    options: SourceOptions = field(default_factory=SourceOptions)
    model: str = models.DEFAULT_MODEL
    prompt: str = ""
    to: To = "erniekit"
    copy: bool = False
    deep: bool = False
    allow_private: bool = False  # for tests: remote images from addresses inside the network


@dataclass(frozen=True)
class NumberedUnit:
    """A unit with its number, and where its files go."""

    order: ConvertRequest
    folder: Path
    index: int
    unit: Unit
    source: Format | None = None  # one that is not in the table of formats

    @property
    def stem(self) -> Path:
        """The path of its files without their endings .rows, .rejects, .images and .done."""
        return self.folder / f"{self.index:08}"


def convert_unit(piece: NumberedUnit) -> Tally:
    """Read one unit and write its files; the tally comes last, so its existence means: finished."""
    order = piece.order
    source = piece.source or formats.get(order.format)
    version = models.get(order.model)
    store = _store(order, piece.folder)
    tally = Tally()
    rows = []
    rejects = []
    warnings = []
    seen = ImageSnapshot(order.out.parent)
    count(tally.notes, piece.unit.note)
    for read in _ahead(_reads(source, piece.unit, order.options), store):
        if isinstance(read, Note):
            count(tally.notes, read.text)
            continue
        tally.seen += 1
        for path in _files(read):
            seen.note(path)
        row = (
            read
            if isinstance(read, Reject)
            else _row(
                _in_split(read, piece),
                order,
                version,
                store,
                tally,
                seen,
            )
        )
        if isinstance(row, Reject):
            tally.reasons[row.code] = tally.reasons.get(row.code, 0) + 1
            rejects.append(reject_line(row.where, row.code, row.message, row.raw))
        else:
            tally.out += 1
            rows.append(row)
            if isinstance(read, Item):
                count_merged(tally, read.blocks)
                if read.warnings:
                    warnings.append(warning_lines(read, tally))
    contents = [
        b"".join(rows),
        b"".join(rejects),
        b"".join(warnings),
        seen.packed(),
    ]
    tally.sizes = [len(content) for content in contents]
    for ending, content in zip(PIECES, contents, strict=True):
        path = piece.stem.with_suffix(ending)
        path.unlink(missing_ok=True)  # of an earlier attempt
        if content:
            atomic.write(path, content)
    atomic.write(
        piece.stem.with_suffix(".done"),
        msgspec.json.encode(tally),
    )
    return tally


def _in_split(read: Item | HubRow, piece: NumberedUnit) -> Item | HubRow:
    """With the split of its unit, where it has none of its own.

    Where the user chose one split, rows need no name for it.
    """
    split = "" if piece.order.options.split else read.split or piece.unit.split
    return read if split == read.split else replace(read, split=split)


def forget() -> None:
    """Start anew in this process: which hosts are silent, where folders lead."""
    _stores().clear()
    forget_folders()


@lru_cache(maxsize=1)
def _stores() -> dict[tuple[Path, Path, bool, bool, bool], Store]:
    return {}


def _store(order: ConvertRequest, folder: Path) -> Store:
    """One store per output and process, which keeps its connections and the last decoded page."""
    key = (order.out, folder, order.copy, order.deep, order.allow_private)
    stores = _stores()
    if key not in stores:
        stores.clear()
        stores[key] = Store(
            order.out,
            folder,
            copy=order.copy,
            deep=order.deep,
            allow_private=order.allow_private,
        )
    return stores[key]


def _reads(source: Format, unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """What the format reads; input that breaks it costs the rest of its unit and is accounted for."""
    try:
        yield from source.read(unit, options)
    except SftError as error:  # one file that cannot be opened, or is not one of text, is not the whole source
        if not isinstance(error.__cause__, OSError) and not isinstance(error, NotText):
            raise
        yield Reject(
            unit.name,
            "source.shape",
            f"{error.where}: {error.message}",
        )
    except Exception as error:
        yield Reject(
            unit.name, "source.syntax", f"the rest of this part cannot be read ({type(error).__name__}: {error})"
        )


def _ahead(reads: Iterator[ReadItem], store: Store) -> Iterator[ReadItem]:
    """The same, a little later: the remote images of a batch are fetched together."""
    batch: list[ReadItem] = []
    urls: list[str] = []
    size = 0
    for read in reads:
        batch.append(read)
        for picture in _pictures(read):
            size += len(picture.data or b"")
            if picture.url:
                urls.append(picture.url)
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            store.fetch(urls)
            yield from batch
            batch = []
            urls = []
            size = 0
    store.fetch(urls)
    yield from batch


def _pictures(read: ReadItem) -> tuple[Picture, ...]:
    if isinstance(read, Item):
        return (read.picture,)
    return read.pictures if isinstance(read, HubRow) else ()


def _files(read: ReadItem) -> Iterator[Path]:
    """The image files that decide what becomes of a row, be they there or not."""
    if isinstance(read, Reject):
        yield from [read.missing] if read.missing else []
    elif isinstance(read, Item):
        yield from read.files
    for picture in _pictures(read):
        yield from [picture.path, *picture.others] if picture.path else []


def _row(
    read: Item | HubRow,
    order: ConvertRequest,
    version: models.ModelVersion,
    store: Store,
    tally: Tally,
    seen: ImageSnapshot,
) -> bytes | Reject:
    """The finished line of a row."""
    try:
        if placeholder := _placeholder(read):
            said = f"{placeholder} is a placeholder for a text that was not read"
            return Reject(read.where, "source.ignored", said, _raw(read))
        row, places = (
            _from_item(read, order, version, store) if isinstance(read, Item) else _from_hub(read, order, store)
        )
        if isinstance(row, Reject):
            return row
        prompt = row["text_info"][0]["text"] if row.get("text_info") else ""
        if order.to == "messages":
            from sft.formats import to_messages

            row = to_messages(row)
        line = _encode(row)
    except NotFetched as problem:
        tally.later += 1
        return Reject(
            read.where,
            problem.code,
            str(problem),
            _raw(read),
        )
    except ImageProblem as problem:
        return Reject(
            read.where,
            problem.code,
            f"{problem}{_hint(read, problem)}",
            _raw(read),
        )
    except RowRejected as error:
        return Reject(
            read.where,
            error.code,
            str(error),
            _raw(read),
        )
    except UnicodeEncodeError:
        return Reject(
            read.where, "source.encoding", "a text contains half of a character (a lone surrogate)", _raw(read)
        )
    except (TypeError, ValueError, KeyError, RecursionError, AttributeError, IndexError) as error:
        return Reject(
            read.where, "source.shape", f"cannot be written as a row ({type(error).__name__}: {error})", _raw(read)
        )
    for place in places:
        tally.images[place.kind] = tally.images.get(place.kind, 0) + 1
        if place.kind != "in_place":
            seen.note_stored(place.url, place.size)
    count(tally.splits, read.split)
    if isinstance(read, Item) and order.options.markup == "auto" and (looks := looks_like(read)):
        tally.alike[looks] = tally.alike.get(looks, 0) + 1
    tally.prompts += isinstance(prompt, str) and prompt.strip() not in version.prompts.values()
    return line + b"\n"


def _placeholder(read: Item | HubRow) -> str:
    """The answer that is none (###, 待识别); "" where all are answers."""
    if isinstance(read, Item):
        texts = [read.target]
    else:
        texts = [item["text"] for item in read.row["text_info"] if item["tag"] == "no_mask"]
    return next(
        (text for text in map(str.strip, texts) if text in PLACEHOLDERS),
        "",
    )


def _from_item(
    item: Item, order: ConvertRequest, version: models.ModelVersion, store: Store
) -> tuple[dict[str, Any] | Reject, list[Placed]]:
    prompt = order.prompt or item.prompt or version.prompts.get(item.task, "")
    if not prompt:
        return (
            Reject(
                item.where,
                "source.inexpressible",
                f"{version.served_name} knows no task {item.task.value}",
                item.target[:RAW_CHARACTERS],
            ),
            [],
        )
    if not item.target.strip():
        return Reject(item.where, "target.empty", "the label is empty"), []
    place = store.place(item.picture)
    row: dict[str, Any] = {
        "image_info": [{"image_url": place.url, "matched_text_index": 0}],
        "text_info": [{"text": prompt, "tag": "mask"}, {"text": item.target, "tag": "no_mask"}],
        "source": item.where,
    }
    if meta := {key: value for key, value in (("group", item.group), ("split", item.split)) if value}:
        row["meta"] = meta
    return row, [place]


def _from_hub(read: HubRow, order: ConvertRequest, store: Store) -> tuple[dict[str, Any], list[Placed]]:
    row = read.row
    if len(read.pictures) != len(row["image_info"]):
        raise ValueError(f"{len(read.pictures)} pictures for {len(row['image_info'])} images")
    places = [
        store.place(picture, image.get("image_url"))
        for picture, image in zip(read.pictures, row["image_info"], strict=True)
    ]
    for image, place in zip(row["image_info"], places, strict=True):
        image["image_url"] = place.url
        for key, size in (("image_width", place.width), ("image_height", place.height)):
            if place.kind == "drawn" and key in image:  # it was turned, and the trainer believes these
                image[key] = size
    if order.prompt and row["text_info"] and row["text_info"][0].get("tag") == "mask":
        row["text_info"][0]["text"] = order.prompt
    if order.format not in KEEP_THEIR_KEYS:
        row.setdefault("source", read.where)
        if read.split:
            row["meta"] = {**row.get("meta", {}), "split": read.split}
    return row, places


def _encode(row: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(row)
    except (OverflowError, msgspec.MsgspecError):  # a whole number of more than 64 bits
        return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


def _raw(read: Item | HubRow) -> str:
    """What there is to recognise a rejected row by: the row itself, or its label with its image and place in it."""
    try:
        return json.dumps(
            _piece_of(read) if isinstance(read, Item) else read.row,
            ensure_ascii=False,
            default=str,
        )
    except (ValueError, RecursionError):
        return ""


def _piece_of(item: Item) -> dict[str, Any]:
    picture = item.picture
    image = picture.url or (str(picture.path) if picture.path else f"{len(picture.data or b'')} bytes")
    return {
        "image": image,
        **({"points": picture.quad} if picture.quad else {}),
        "text": item.target,
    }


def _hint(read: Item | HubRow, problem: ImageProblem) -> str:
    """What the format says of a file that is not there."""
    said = (
        next((picture.hint for picture in _pictures(read) if picture.hint), "")
        if problem.code == "image.missing"
        else ""
    )
    return f"; {said}" if said else ""


def looks_like(item: Item) -> str:
    """What the label of a text looks like beside text: a table or a formula; "" for most."""
    if item.task is not Task.OCR:
        return ""
    match = _OTHER.match(item.target.strip())
    if match is None:  # LaTeX without delimiters; beside some, it is a formula inside a text
        return "formulas" if _COMMAND.search(item.target) and not _DELIMITER.search(item.target) else ""
    return "HTML tables" if match[1] else "OTSL tables" if match[2] else "formulas"
