"""Rows that are surely good, told apart a chunk at a time: what `sft.validate.row` would find nothing in.

A row is sure if it has the usual shape (one image before one known prompt, one answer; `source`, `id` and `meta` beside
them) and none of its texts leaves a trace that a check could follow. Everything else is handed to `check_line`, which
alone decides and explains. So both paths give the same verdicts, and only their speed differs; tests compare them.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import compress
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from sft.models import TASK_OF, ModelVersion
from sft.types import Task
from sft.validate.fast.latex import doubtful_formulas
from sft.validate.fast.markup import doubtful_charts, doubtful_tables, repeating
from sft.validate.fast.text import doubtful, where
from sft.validate.image_checks import BASE64_STARTS

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of glibc's malloc.h
_QUOTE, _NEWLINE, _BRACE, _UNBRACE = 0x22, 0x0A, 0x7B, 0x7D
_STARTS = ("http", "data:", *BASE64_STARTS)  # of what is no path of a file
_SUSPECT = re.compile(rf"\n(?:{'|'.join(map(re.escape, _STARTS))}|\n)")  # a line that begins so, or is empty
# of text_info, image_info, image_url and its value, and two texts and tags with theirs: without matched_text_index
_QUOTES = 24


PIECE_BYTES = 128 * 1024  # decoded together: more would leave the cache of a core


def _all_doubtful(answers: list[str]) -> list[bool]:
    """Labels of Spotting, whose places are read one by one."""
    return [True] * len(answers)


_JUDGES = {
    Task.TABLE: doubtful_tables,
    Task.FORMULA: doubtful_formulas,
    Task.CHART: doubtful_charts,
    Task.SPOTTING: _all_doubtful,
}


@dataclass
class Proof:
    """What was found in a chunk.

    `sure[row]`: nothing is wrong with it but perhaps its image; the lists have an entry for each line.
    """

    sure: list[bool] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Shape:
    """One way to write a row. `quotes`: how many quotation marks a row then has outside its texts; None: it depends."""

    decoder: msgspec.json.Decoder[Any]
    quotes: int | None
    nothing: Any  # a row without the name of an image, for lines that cannot be read: never sure


@lru_cache(maxsize=8)
def _shapes(prompts: tuple[str, ...]) -> tuple[_Shape, ...]:
    """The commonest first: without further keys; with `source`, as `sft convert` writes it; with any of the keys that
    are known.
    """
    options: dict[str, Any] = {"forbid_unknown_fields": True, "gc": False}
    unset = msgspec.UNSET
    sure_image = msgspec.defstruct(
        "Image",
        [("image_url", str), ("matched_text_index", Literal[0])],
        **options,
    )
    image = msgspec.defstruct(
        "Image", [("image_url", str), ("matched_text_index", Literal[0] | msgspec.UnsetType, unset)], **options
    )
    prompt: Any = msgspec.defstruct(
        "Prompt",
        [("text", Literal[prompts]), ("tag", Literal["mask"])],
        **options,
    )
    answer: Any = msgspec.defstruct(
        "Answer",
        [("text", str), ("tag", Literal["no_mask"])],
        **options,
    )
    more = [
        ("source", str | msgspec.UnsetType, unset),
        ("id", str | int | msgspec.UnsetType, unset),
        ("meta", dict[str, str] | msgspec.UnsetType, unset),
    ]

    def shape(kind: Any, others: list[Any], quotes: int | None) -> _Shape:
        fields = [("image_info", tuple[kind]), ("text_info", tuple[prompt, answer]), *others]
        row = msgspec.defstruct("Row", fields, **options)
        nothing = row(
            (kind("", 0),),
            (prompt(prompts[0], "mask"), answer("", "no_mask")),
            *([""] * len(others)),
        )
        return _Shape(msgspec.json.Decoder(row), quotes, nothing)

    return (
        shape(sure_image, [], _QUOTES + 2),
        shape(sure_image, [("source", str)], _QUOTES + 6),
        shape(image, more, None),
    )


@lru_cache(maxsize=1)
def keep_memory() -> None:
    """Have the C library keep what is freed, instead of giving pages back and fetching them anew for every array: a
    fifth of the time.
    """
    with suppress(AttributeError, OSError):  # other C libraries do as they please
        tune = ctypes.CDLL(None).mallopt
        tune(_MMAP_THRESHOLD, 1 << 26)
        tune(_TRIM_THRESHOLD, 1 << 27)


def classify_rows(chunk: bytes, model: ModelVersion) -> Proof | None:
    """The sure rows of whole lines; None where no line can be sure, as with carriage returns."""
    if b"\r" in chunk:
        return None
    texts = tuple(model.prompts.values())
    shapes = _shapes(texts)
    proof = Proof()
    for piece in _pieces(chunk):
        rows = _rows(piece, shapes)
        proof.urls += [row.image_info[0].image_url for row in rows]
        proof.prompts += [row.text_info[0].text for row in rows]
        proof.answers += [row.text_info[1].text for row in rows]
    doubts = _doubts(proof, texts)
    proof.sure = [True] * len(proof.urls)
    for at in doubts:
        proof.sure[at] = False
    return proof


def _pieces(chunk: bytes) -> Iterator[memoryview]:
    """Whole lines, few enough to be decoded together."""
    view = memoryview(chunk)
    start = 0
    while start < len(chunk):
        end = min(start + PIECE_BYTES, len(chunk))
        if end < len(chunk):
            end = chunk.rfind(b"\n", start, end) + 1 or chunk.find(b"\n", end) + 1 or len(chunk)
        yield view[start:end]
        start = end


def _rows(piece: memoryview, shapes: tuple[_Shape, ...]) -> list[Any]:
    """A row for every line; a row without an image's name for those that cannot be read, or may be wrong in what was
    read.
    """
    codes = np.frombuffer(piece, np.uint8)
    breaks = where(codes == _NEWLINE)
    lines = breaks.size + int(codes[-1] != _NEWLINE)
    quotes = int(np.count_nonzero(codes == _QUOTE))
    for shape in shapes if _parted(codes, breaks) else ():
        try:
            rows: list[Any] = shape.decoder.decode_lines(piece)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if len(rows) != lines:
            break
        # a duplicate key adds quotation marks, and so do those in texts: none of either, or they are counted
        if shape.quotes is not None and quotes == shape.quotes * lines:
            return rows
        if b"\\u0022" not in bytes(piece) and quotes == _expected_quotes(rows):
            return rows
        break
    return [_row(shapes[-1], line) for line in bytes(piece).removesuffix(b"\n").split(b"\n")]


def _parted(codes: npt.NDArray[np.uint8], breaks: npt.NDArray[np.intp]) -> bool:
    """Whether every line break stands between an object and the next one, or at the end.

    `decode_lines` does not care for lines: it skips empty ones, and takes two objects from one line or half of one.
    Inside of an object a break can stand behind `}` or before `{`, but not between them.
    """
    inner = breaks[:-1] if codes[-1] == _NEWLINE else breaks
    return bool(codes[0] == _BRACE and (codes[inner - 1] == _UNBRACE).all() and (codes[inner + 1] == _BRACE).all())


def _row(shape: _Shape, line: bytes) -> Any:
    """One row; `nothing` where it cannot be read, or says something twice."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        row = shape.decoder.decode(line)
        if b"\\u0022" not in line and line.count(b'"') == _expected_quotes([row]):
            return row
    return shape.nothing


def _expected_quotes(rows: list[Any]) -> int:
    """How many quotation marks the rows were written with, if no key stood twice: JSON readers keep the last value and
    say nothing.
    """
    unset = msgspec.UNSET
    images = [row.image_info[0] for row in rows]
    total = _QUOTES * len(rows) + 2 * sum([image.matched_text_index is not unset for image in images])
    texts = [row.text_info[1].text for row in rows] + [image.image_url for image in images]
    for row in rows if rows and hasattr(rows[0], "source") else ():
        if row.source is not unset:
            total += 4
            texts.append(row.source)
        identity = getattr(row, "id", unset)
        notes = getattr(row, "meta", unset)
        if identity is not unset:
            total += 2 + 2 * (type(identity) is str)
            texts.append(str(identity))
        if notes is not unset:
            total += 2 + 4 * len(notes)
            texts += [*notes, *notes.values()]
    return total + "".join(texts).count('"')


def _doubts(proof: Proof, prompts: tuple[str, ...]) -> set[int]:
    """Which rows leave a trace."""
    answers = proof.answers
    urls = proof.urls
    doubts = doubtful(answers)
    lines = "\n".join(["", *urls, ""])
    if "\0" in lines or _SUSPECT.search(lines):
        doubts.update(at for at, url in enumerate(urls) if not url or url.startswith(_STARTS) or "\0" in url)
    kinds = bytes(
        map(
            {text: kind for kind, text in enumerate(prompts)}.__getitem__,
            proof.prompts,
        )
    )
    for kind, name in enumerate(prompts):
        chosen = kinds.translate(bytes(code == kind for code in range(256)))
        judged = _JUDGES.get(TASK_OF[name], repeating)(list(compress(answers, chosen)))
        if True in judged:
            doubts.update(compress(compress(range(len(answers)), chosen), judged))
    return doubts
