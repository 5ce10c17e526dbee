"""Conversations: the rows of PaddleFormers, ms-swift and LLaMA-Factory, as JSON lines or one JSON array; lossless both
ways.

PaddleFormers (the documented sample of its PaddleOCR-VL guide) and ms-swift (its custom dataset guide):

    {"messages": [{"role": "user", "content": "<image>OCR:"}, {"role": "assistant", "content": "৪৫টি"}], "images":
    ["0.png"]} {"messages": [{"role": "user", "content": "<image>What is in the image?"}, {"role": "assistant",
    "content": "An elephant."}], "images": ["/xxx/x.jpg"]}

Also read, and written back in the form above: ms-swift's `{"system", "query", "response", "history": [[q, r]]}` and
`{"conversation": [{"human", "assistant"}]}`, and alpaca's `{"instruction", "input", "output"}` (joined by a line end).
Content may be blocks as OpenAI's and Anthropic's; an image is a path, an address, a data: URI or `{"bytes", "path"}`.
Every `<image>` has its image; it stands in front of its text, where the trainers put it. A row with images and without
any mark has all of them in front of its first prompt, where ms-swift puts them; it is written back with marks. Paths
count from the file's folder.

What has no place in a hub row, and what is kept under "meta", stands in `sft.formats.shared.conversations`.
`rejected_response` is kept
there: supervised training reads the chosen answer only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sft.errors import RowRejected
from sft.files import Unit
from sft.formats.base import Format, HubRow, Picture, ReadItem, Reject, SourceOptions
from sft.formats.shared import (
    Inline,
    Json,
    from_base64,
    from_messages,
    json_rows,
    json_stream,
    json_units,
    misshapen,
    picture,
    to_messages,
)
from sft.types import Task

__all__ = ["FORMATS", "hub_row", "to_messages", "usual"]
_SHAPES = ({"conversation"}, {"query", "response", "history"}, {"instruction", "input", "output"})


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Lines, or objects of an array."""
    yield from json_units(source)


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """A HubRow or a Reject for every row."""
    for record in json_rows(unit, unique_keys=True):
        yield (
            record
            if isinstance(record, Reject)
            else hub_row(
                *record,
                options.images or unit.path.parent,
            )
        )


def hub_row(where: str, row: Json, root: Path) -> HubRow | Reject:
    """One row of any of the shapes above; paths count from `root`."""
    try:
        hub, images = from_messages(usual(row))
        return HubRow(
            where,
            hub,
            tuple(_picture(image, root) for image in images),
        )
    except RowRejected as error:
        return Reject(
            where,
            error.code,
            str(error),
            json_stream.raw(row),
        )


def _picture(image: str | Inline, root: Path) -> Picture:
    return Picture(data=from_base64(image.base64)) if isinstance(image, Inline) else picture(image, root)


def usual(row: Json) -> Json:
    """The row with `messages`, whatever shape it has; RowRejected (source.shape) where it has none that is known."""
    if "messages" in row:
        return row
    if "conversation" in row:
        pairs = [_exchange(turn) for turn in _list(row, "conversation")]
        used = _SHAPES[0]
    elif "response" in row:
        pairs = [
            *_history(row),
            _pair(row.get("query"), row["response"], {}),
        ]
        used = _SHAPES[1]
    elif "output" in row:
        texts = [
            row.get("instruction") or "",
            row.get("input") or "",
        ]
        if not all(isinstance(text, str) for text in texts):
            raise misshapen("instruction or input is not a text")
        pairs = [
            *_history(row),
            _pair("\n".join(filter(None, texts)), row["output"], {}),
        ]
        used = _SHAPES[2] | {"history"}
    else:
        hint = next(
            (
                f"this looks like the format {name}"
                for key, name in (("text_info", "erniekit"), ("conversations", "llava"))
                if key in row
            ),
            "",
        )
        raise RowRejected(
            "source.shape",
            f"no messages; keys: {', '.join(sorted(row))[: json_stream.RAW]}",
            hint=hint,
        )
    rest = {key: value for key, value in row.items() if key not in used}
    return {**rest, "messages": [message for pair in pairs for message in pair]}


def _list(row: Json, key: str) -> list[Any]:
    value = row.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise misshapen(f"{key} is not a list")
    return value


def _history(row: Json) -> list[list[Json]]:
    turns = _list(row, "history")
    if not all(isinstance(turn, list) and len(turn) == 2 for turn in turns):
        raise misshapen("history is not a list of [query, response]")
    return [_pair(turn[0], turn[1], {}) for turn in turns]


def _exchange(turn: Any) -> list[Json]:
    if not isinstance(turn, dict) or not {"human", "assistant"} <= turn.keys():
        raise misshapen(f"a turn of a conversation has human and assistant, found {json_stream.raw(turn)}")
    return _pair(
        turn["human"],
        turn["assistant"],
        {key: value for key, value in turn.items() if key not in ("human", "assistant")},
    )


def _pair(query: Any, response: Any, rest: Json) -> list[Json]:
    if not isinstance(query, str) or not isinstance(response, str):
        raise misshapen(f"query and response are texts, found {json_stream.raw([query, response])}")
    return [{"role": "user", "content": query}, {**rest, "role": "assistant", "content": response}]


FORMATS = {
    "messages": Format(
        name="messages",
        title="conversations of PaddleFormers, ms-swift and LLaMA-Factory (messages, query/response, alpaca)",
        origin="https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html",
        example=(
            '{"messages": [{"role": "user", "content": "<image>OCR:"}, {"role": "assistant", "content": "৪৫টি"}],'
            ' "images": ["0.png"]}'
        ),
        tasks=tuple(Task),
        units=units,
        read=read,
    )
}
