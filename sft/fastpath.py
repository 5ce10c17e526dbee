"""Rows that are surely good, told apart a chunk at a time: what `sft.checks_row` would find nothing in.

A row is sure if it has the usual shape (one image before one known prompt, one answer; `source`, `id` and `meta` beside them)
and none of its texts leaves a trace that a check could follow. Everything else is handed to `check_line`, which alone
decides and explains. So both paths give the same verdicts, and only their speed differs; tests compare them.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from typing import Any, Literal

import msgspec
import numpy as np

from sft.checks_images import BASE64_STARTS
from sft.fast_latex import doubtful_formulas
from sft.fast_markup import doubtful_charts, doubtful_tables, repeating
from sft.fast_text import doubtful
from sft.models import TASK_OF, ModelVersion
from sft.types import Task

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of glibc's malloc.h
_QUOTE, _NEWLINE = 0x22, 0x0A
_START = 4
_SUSPECT_STARTS = {"", *(sign[:_START] for sign in ("http", "data:", *BASE64_STARTS))}  # of what is no path of a file
_QUOTES = 24  # of text_info, image_info, image_url and its value, and two texts and tags with theirs: without matched_text_index


_JUDGES = {Task.TABLE: doubtful_tables, Task.FORMULA: doubtful_formulas, Task.CHART: doubtful_charts}


@dataclass(frozen=True)
class Proof:
    """What was found in a chunk. `sure[row]`: nothing is wrong with it but perhaps its image; the lists have an entry for each row."""

    sure: list[bool]
    urls: list[str]
    prompts: list[str]
    answers: list[str]


@dataclass(frozen=True)
class _Shape:
    """One way to write a row. `quotes`: how many quotation marks a row then has outside its texts; None: it depends."""

    decoder: msgspec.json.Decoder[Any]
    quotes: int | None


@lru_cache(maxsize=8)
def _shapes(prompts: tuple[str, ...]) -> tuple[_Shape, ...]:
    """The commonest first: without further keys; with `source`, as `sft convert` writes it; with any of the keys that are known."""
    options: dict[str, Any] = {"forbid_unknown_fields": True, "gc": False}
    unset = msgspec.UNSET
    sure_image = msgspec.defstruct("Image", [("image_url", str), ("matched_text_index", Literal[0])], **options)
    image = msgspec.defstruct("Image", [("image_url", str), ("matched_text_index", Literal[0] | msgspec.UnsetType, unset)], **options)
    prompt = msgspec.defstruct("Prompt", [("text", Literal[prompts]), ("tag", Literal["mask"])], **options)
    answer = msgspec.defstruct("Answer", [("text", str), ("tag", Literal["no_mask"])], **options)
    more = [("source", str | msgspec.UnsetType, unset), ("id", str | int | msgspec.UnsetType, unset), ("meta", dict[str, str] | msgspec.UnsetType, unset)]

    def shape(kind: Any, others: list[Any], quotes: int | None) -> _Shape:
        row = msgspec.defstruct("Row", [("image_info", tuple[kind]), ("text_info", tuple[prompt, answer]), *others], **options)  # type: ignore[valid-type]
        return _Shape(msgspec.json.Decoder(row), quotes)

    return shape(sure_image, [], _QUOTES + 2), shape(sure_image, [("source", str)], _QUOTES + 6), shape(image, more, None)


@lru_cache(maxsize=1)
def keep_memory() -> None:
    """Have the C library keep what is freed, instead of giving pages back and fetching them anew for every array: a fifth of the time."""
    with suppress(AttributeError, OSError):  # other C libraries do as they please
        tune = ctypes.CDLL(None).mallopt
        tune(_MMAP_THRESHOLD, 1 << 26)
        tune(_TRIM_THRESHOLD, 1 << 27)


def prove(chunk: bytes, model: ModelVersion) -> Proof | None:
    """The sure rows of whole lines; None where the chunk has something that has to be looked at line by line.

    Every line is one row, or the answer is None: blank lines, carriage returns and a byte order mark are for the other path.
    """
    if b"\r" in chunk:
        return None
    codes = np.frombuffer(chunk, np.uint8)
    lines = int(np.count_nonzero(codes == _NEWLINE)) + (not chunk.endswith(b"\n"))
    quotes = int(np.count_nonzero(codes == _QUOTE))
    shapes = _shapes(tuple(model.prompts.values()))
    for shape in shapes:
        try:
            rows: list[Any] = shape.decoder.decode_lines(chunk)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if len(rows) != lines:
            return None
        # a key that stands twice adds quotation marks, and so do those in texts: none of either, or they are counted
        if shape.quotes is not None and quotes == shape.quotes * lines:
            return _judge(rows, rows)
        return _judge(rows, rows) if b"\\u0022" not in chunk and quotes == _expected_quotes(rows) else None
    return _by_line(chunk, lines, shapes[-1].decoder) if b"\\u0022" not in chunk else None


def _by_line(chunk: bytes, lines: int, decoder: msgspec.json.Decoder[Any]) -> Proof | None:
    """As `prove`, where some lines cannot be read or have unusual keys."""
    texts = chunk.removesuffix(b"\n").split(b"\n")
    rows = [_decoded(decoder, line) for line in texts]
    rows = [row if row is not None and line.count(b'"') == _expected_quotes([row]) else None for row, line in zip(rows, texts, strict=True)]
    return _judge(rows, [row for row in rows if row is not None]) if len(rows) == lines else None


def _decoded(decoder: msgspec.json.Decoder[Any], line: bytes) -> Any:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _expected_quotes(rows: list[Any]) -> int:
    """How many quotation marks the rows were written with, if no key stood twice: JSON readers keep the last value and say nothing."""
    unset = msgspec.UNSET
    images = [row.image_info[0] for row in rows]
    total = _QUOTES * len(rows) + 2 * sum([image.matched_text_index is not unset for image in images])
    texts = [row.text_info[1].text for row in rows] + [image.image_url for image in images]
    for row in rows if rows and hasattr(rows[0], "source") else ():
        if row.source is not unset:
            total += 4
            texts.append(row.source)
        identity, notes = getattr(row, "id", unset), getattr(row, "meta", unset)
        if identity is not unset:
            total += 2 + 2 * (type(identity) is str)
            texts.append(str(identity))
        if notes is not unset:
            total += 2 + 4 * len(notes)
            texts += [*notes, *notes.values()]
    return total + "".join(texts).count('"')


def _judge(rows: list[Any], known: list[Any]) -> Proof:
    """Which of the rows that could be read leave no trace."""
    urls = [row.image_info[0].image_url for row in known]
    prompts = [row.text_info[0].text for row in known]
    answers = [row.text_info[1].text for row in known]
    doubts = doubtful(answers)
    if not _SUSPECT_STARTS.isdisjoint([url[:_START] for url in urls]) or "\0" in "".join(urls):
        doubts.update(at for at, url in enumerate(urls) if url[:_START] in _SUSPECT_STARTS or "\0" in url)
    for name in set(prompts):
        chosen = [prompt == name for prompt in prompts]
        judged = _JUDGES.get(TASK_OF[name], repeating)(list(compress(answers, chosen)))
        if True in judged:
            doubts.update(compress(compress(range(len(answers)), chosen), judged))
    sure = [True] * len(known)
    for at in doubts:
        sure[at] = False
    if len(known) == len(rows):
        return Proof(sure, urls, prompts, answers)
    return _spread(rows, Proof(sure, urls, prompts, answers))


def _spread(rows: list[Any], proof: Proof) -> Proof:
    """An entry for every row, also for those that could not be read."""
    sure, urls, prompts, answers = [False] * len(rows), [""] * len(rows), [""] * len(rows), [""] * len(rows)
    places = [place for place, row in enumerate(rows) if row is not None]
    for at, place in enumerate(places):
        sure[place], urls[place], prompts[place], answers[place] = proof.sure[at], proof.urls[at], proof.prompts[at], proof.answers[at]
    return Proof(sure, urls, prompts, answers)
