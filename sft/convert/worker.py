"""One unit of a source becomes rows, rejects and a tally, as three files of the work folder; runs in a worker."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from sft import formats, models
from sft.convert.image_store import NotFetched, Placed, Store, forget_folders
from sft.convert.warnings import RAW, reject_line, warning_lines
from sft.errors import SftError
from sft.files import Seen, Unit, atomic, changed
from sft.formats import Format, HubRow, Item, Options, Picture, Read, Reject
from sft.images import ImageProblem
from sft.markup import MarkupError
from sft.types import Task

KEEP_THEIR_KEYS = ("erniekit", "messages")  # formats that are read without loss: nothing is added to their rows
PIECES = (".rows", ".rejects", ".warnings", ".images")  # files of a finished unit, beside .done
BATCH, BATCH_BYTES = 64, 32 * 1024 * 1024  # rows read ahead, so that remote images are fetched side by side
To = Literal["erniekit", "messages"]
# of a whole label: an HTML table, OTSL, one formula in its delimiters
_OTHER = re.compile(
    r"(<(?:html|table)\b(?=.*<t[dh]\b))|(<(?:[fe]cel|ched|rhed)>.*<nl>)|\\\[.*\\\]\Z|\\\((?:(?!\\\)).)*\\\)\Z|\$\$[^$]+\$\$\Z|\$[^$]+\$\Z",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True)
class ConvertRequest:
    """What is wanted. `prompt` "" means the model's own for the task. Paths are absolute from the driver on."""

    format: str
    source: Path
    out: Path
    options: Options = field(default_factory=Options)
    model: str = models.DEFAULT_MODEL
    prompt: str = ""
    to: To = "erniekit"
    copy: bool = False
    deep: bool = False
    allow_private: bool = False  # for tests: remote images from addresses inside the network


@dataclass(frozen=True)
class Piece:
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


@dataclass
class Tally:
    """in = out + rejected. `images`: how many were left in place, copied and drawn; `later`: rows whose image may come
    another time.
    """

    seen: int = 0
    out: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    prompts: int = 0  # rows with a prompt that the model version does not know
    later: int = 0
    warned: dict[str, int] = field(default_factory=dict)  # rows that were written with a warning, by its code
    said: int = 0  # warnings, of which a row may have several
    alike: dict[str, int] = field(
        default_factory=dict
    )  # what labels look like that are taken as plain text, such as HTML tables
    sizes: list[int] = field(default_factory=list)  # bytes of rows, rejects, warnings and the list of images

    def add(self, other: Tally) -> None:
        """Sum up."""
        self.seen += other.seen
        self.out += other.out
        for mine, theirs in (
            (self.reasons, other.reasons),
            (self.images, other.images),
            (self.alike, other.alike),
            (self.warned, other.warned),
        ):
            for key, count in theirs.items():
                mine[key] = mine.get(key, 0) + count
        self.said += other.said
        self.prompts += other.prompts
        self.later += other.later


def read_tally(stem: Path, base: Path | None = None) -> Tally | None:
    """The tally of a piece that is finished, None for any other; with `base`, OUT's folder, also where one of its
    images has changed.
    """
    try:
        tally = msgspec.json.decode(
            stem.with_suffix(".done").read_bytes(),
            type=Tally,
        )
        sizes = [path.stat().st_size if path.exists() else 0 for path in map(stem.with_suffix, PIECES)]
    except (OSError, msgspec.MsgspecError):
        return None
    if sizes != tally.sizes:  # a crash of the machine can leave empty files
        return None
    return None if base and sizes[-1] and changed(stem.with_suffix(PIECES[-1]), base) != [] else tally


def convert_unit(piece: Piece) -> Tally:
    """Read one unit and write its files; the tally comes last, so its existence means: finished."""
    order = piece.order
    source = piece.source or formats.get(order.format)
    version = models.get(order.model)
    store = _store(order, piece.folder)
    tally = Tally()
    rows = []
    rejects = []
    warnings = []
    seen = Seen(order.out.parent)
    for read in _ahead(_reads(source, piece.unit, order.options), store):
        tally.seen += 1
        for path in _files(read):
            seen.note(path)
        row = read if isinstance(read, Reject) else _row(read, order, version, store, tally, seen)
        if isinstance(row, Reject):
            tally.reasons[row.code] = tally.reasons.get(row.code, 0) + 1
            rejects.append(reject_line(row))
        else:
            tally.out += 1
            rows.append(row)
            if isinstance(read, Item) and read.warnings:
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


def _reads(source: Format, unit: Unit, options: Options) -> Iterator[Read]:
    """What the format reads; input that breaks it costs the rest of its unit and is accounted for."""
    try:
        yield from source.read(unit, options)
    except SftError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        yield Reject(
            unit.name, "source.shape", f"{error.where}: {error.message}"
        )  # one file that cannot be opened is not the whole source
    except Exception as error:
        yield Reject(
            unit.name, "source.syntax", f"the rest of this part cannot be read ({type(error).__name__}: {error})"
        )


def _ahead(reads: Iterator[Read], store: Store) -> Iterator[Read]:
    """The same, a little later: the remote images of a batch are fetched together."""
    batch: list[Read] = []
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


def _pictures(read: Read) -> tuple[Picture, ...]:
    if isinstance(read, Item):
        return (read.picture,)
    return read.pictures if isinstance(read, HubRow) else ()


def _files(read: Read) -> Iterator[Path]:
    """The image files that decide what becomes of a row, be they there or not."""
    if isinstance(read, Reject):
        yield from [read.missing] if read.missing else []
    elif isinstance(read, Item):
        yield from read.files
    for picture in _pictures(read):
        yield from [picture.path, *picture.others] if picture.path else []


def _row(
    read: Item | HubRow, order: ConvertRequest, version: models.ModelVersion, store: Store, tally: Tally, seen: Seen
) -> bytes | Reject:
    """The finished line of a row."""
    try:
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
    except MarkupError as error:
        return Reject(
            read.where,
            error.code,
            str(error),
            _raw(read),
        )
    except UnicodeEncodeError:
        return Reject(read.where, "source.encoding", "a text holds half of a character (a lone surrogate)", _raw(read))
    except (TypeError, ValueError, KeyError, RecursionError, AttributeError, IndexError) as error:
        return Reject(
            read.where, "source.shape", f"cannot be written as a row ({type(error).__name__}: {error})", _raw(read)
        )
    for place in places:
        tally.images[place.kind] = tally.images.get(place.kind, 0) + 1
        if place.kind != "in_place":
            seen.note_stored(place.url)
    if isinstance(read, Item) and order.options.markup == "auto" and (looks := looks_like(read)):
        tally.alike[looks] = tally.alike.get(looks, 0) + 1
    tally.prompts += isinstance(prompt, str) and prompt.strip() not in version.prompts.values()
    return line + b"\n"


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
                item.target[:RAW],
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
    if item.group:
        row["meta"] = {"group": item.group}
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
    if "source" not in row and order.format not in KEEP_THEIR_KEYS:
        row["source"] = read.where
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
    if item.task is not Task.OCR or not (found := _OTHER.match(item.target.strip())):
        return ""
    return "HTML tables" if found[1] else "OTSL tables" if found[2] else "formulas"
