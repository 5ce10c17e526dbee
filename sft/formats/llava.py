"""LLaVA and ShareGPT conversations, as one JSON array or JSON lines.

The first row of `llava_v1_5_mix665k.json` (shortened):

    {"id": "000000033471", "image": "coco/train2017/000000033471.jpg", "conversations": [
      {"from": "human", "value": "<image>\\nWhat are the colors of the bus in the image?"},
      {"from": "gpt", "value": "The bus in the image is white and red."}]}

`image` is a path or a list of them; some sets say `images`. As in LLaVA's own loader an image goes in front of its text
wherever `<image>` stands in it, and the white space between the two goes. Every `<image>` needs its image; without any
mark all images go in front of the first prompt. One image with one answer becomes a sample whose prompt is the source's
own (or the model's, where a model version has that very prompt, or where `--task` is given); longer conversations and
several images become rows with all their turns. Paths count from the file's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sft.errors import RowRejected
from sft.files import Unit
from sft.formats.base import Format, HubRow, ReadItem, Reject, SourceOptions
from sft.formats.shared import (
    MARK,
    Json,
    inexpressible,
    item,
    json_rows,
    json_stream,
    json_units,
    misshapen,
    picture,
)
from sft.models import TASK_OF
from sft.types import Task

_TAGS = {
    "human": "mask",
    "user": "mask",
    "gpt": "no_mask",
    "assistant": "no_mask",
    "bot": "no_mask",
    "chatgpt": "no_mask",
}
_OTHERS = ("system", "function_call", "observation", "tool", "function")


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Objects of an array, or lines."""
    yield from json_units(source)


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """An Item, a HubRow or a Reject for every row."""
    for record in json_rows(unit, unique_keys=True):
        if isinstance(record, Reject):
            yield record
            continue
        where, row = record
        try:
            yield _read(
                where,
                row,
                options,
                options.images or unit.path.parent,
            )
        except RowRejected as error:
            yield Reject(
                where,
                error.code,
                str(error),
                json_stream.raw(row),
            )


def _read(where: str, row: Json, options: SourceOptions, root: Path) -> ReadItem:
    texts, indices = _turns(row)
    pictures = tuple(picture(name, root) for name in _images(row))
    if not pictures:
        raise RowRejected("trainer.no_image", "no image")
    if not indices:  # no mark at all: in front of the first prompt, as ms-swift has it
        indices = [number for number, text in enumerate(texts) if text["tag"] == "mask"][:1] * len(pictures)
    if len(pictures) != len(indices):
        raise misshapen(f"{len(indices)} {MARK} marks for {len(pictures)} images")
    tags = [text["tag"] for text in texts]
    if tags == ["mask", "no_mask"] and len(pictures) == 1:
        prompt = texts[0]["text"]
        task = options.task or TASK_OF.get(prompt)
        return item(
            where,
            json_stream.raw(row),
            texts[1]["text"],
            pictures[0],
            options,
            task=task or Task.OCR,
            prompt="" if task else prompt,
        )
    names = [
        {"image_url": name, "matched_text_index": index} for name, index in zip(_images(row), indices, strict=True)
    ]
    hub: Json = {"image_info": names, "text_info": texts}
    rest = {key: value for key, value in row.items() if key not in ("conversations", "image", "images")}
    return HubRow(
        where,
        {**hub, "meta": {"llava": rest}} if rest else hub,
        pictures,
    )


def _images(row: Json) -> list[Any]:
    value = row.get("image") if row.get("image") is not None else row.get("images")
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _turns(row: Json) -> tuple[list[Json], list[int]]:
    """Texts with their tags, and the index of the text for each mark."""
    turns = row.get("conversations")
    if not isinstance(turns, list) or not turns:
        keys = ", ".join(sorted(row))[: json_stream.RAW]
        raise RowRejected(
            "source.shape",
            f"no conversations; keys: {keys}",
            hint="rows with messages are the format messages" if "messages" in row else "",
        )
    if isinstance(row.get("system"), str) and row["system"].strip():
        raise inexpressible("a system prompt", "put the instruction into the prompt, or remove it")
    texts: list[Json] = []
    indices: list[int] = []
    for number, turn in enumerate(turns):
        sender, value = (turn.get("from"), turn.get("value")) if isinstance(turn, dict) else (None, None)
        if sender in _OTHERS:
            raise inexpressible(f"conversations[{number}] is from {sender!r}")
        if not isinstance(sender, str) or sender not in _TAGS or not isinstance(value, str):
            raise misshapen(
                f"conversations[{number}]: expected from human or gpt, and a value, found {json_stream.raw(turn)}"
            )
        marks = value.count(MARK)
        if marks and _TAGS[sender] == "no_mask":
            raise inexpressible(f"conversations[{number}] has an image in an answer")
        indices += [number] * marks
        texts.append(
            {
                "text": value.replace(MARK, "").strip() if marks else value,
                "tag": _TAGS[sender],
            }
        )
    return texts, indices


FORMATS = {
    "llava": Format(
        name="llava",
        title="LLaVA and ShareGPT conversations",
        origin="https://github.com/haotian-liu/LLaVA/blob/main/docs/Finetune_Custom_Data.md",
        example=(
            '{"id": "000000033471", "image": "coco/train2017/000000033471.jpg", "conversations": [{"from": "human",'
            ' "value": "<image>\\nWhat are the colors of the bus in the image?"}, {"from": "gpt", "value": "The bus in'
            ' the image is white and red."}]}'
        ),
        tasks=(Task.OCR, Task.TABLE, Task.FORMULA, Task.CHART),
        units=units,
        read=read,
    )
}
