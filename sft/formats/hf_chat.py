"""Rows of a hub data set whose label is a conversation beside a list of images, instead of one text.

    texts          [{"user": "", "assistant": "E _ { k } = …", "source": "…"}]       the Cauldron, SynthFormulaNet
    messages       [{"role": "user", "content": "<image>OCR:"}, {"role": "assistant", …}]
    conversations  [{"from": "human", "value": "<image>\\nOCR:"}, {"from": "gpt", …}]

One image with one answer becomes a sample; a prompt that a model version has decides its task, an empty one is the
model's own. Longer conversations and several images become rows with all their turns. Without any mark the images stand
in front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sft.errors import RowRejected
from sft.formats.base import HubRow, Item, Picture, SourceOptions
from sft.formats.shared import MARK, Json, json_stream, make, misshapen, parse
from sft.markup import MarkupError, MarkupWarning
from sft.models import TASK_OF
from sft.types import Task

NAMES = ("texts", "messages", "conversations")
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def is_chat(value: Any) -> bool:
    """Whether a label is a conversation in one of the layouts above."""
    return isinstance(value, list) and bool(value) and all(isinstance(turn, Mapping) and _kind(turn) for turn in value)


def _kind(turn: Mapping[str, Any]) -> str:
    return next(
        (key for key in ("assistant", "role", "from") if key in turn),
        "",
    )


def read(
    where: str,
    turns: Sequence[Mapping[str, Any]],
    pictures: Sequence[Picture],
    options: SourceOptions,
    *,
    task: Task,
    markup: str,
) -> Item | HubRow:
    """The sample of a conversation.

    `task`, `markup`: of a label whose prompt says nothing. RowRejected where it is none.
    """
    row: Json = {
        "messages": _messages(turns),
        "images": [str(number) for number in range(len(pictures))],
    }
    hub, names = parse(row)
    ordered = tuple(pictures[int(str(name))] for name in names)
    texts = hub["text_info"]
    if [text["tag"] for text in texts] != ["mask", "no_mask"] or len(ordered) > 1:
        if not all(text["text"].strip() for text in texts):
            raise RowRejected(
                "source.inexpressible", "a conversation of several turns or images, one of whose texts is empty"
            )
        return HubRow(where, {"image_info": hub["image_info"], "text_info": texts}, ordered)
    prompt = texts[0]["text"].strip()
    answer = texts[1]["text"]
    if not answer.strip():
        raise MarkupError("target.empty", "no label")
    known = options.task or (TASK_OF.get(prompt) if prompt else task)
    asked = known or Task.OCR
    warnings: list[MarkupWarning] = []
    target = make(
        asked,
        answer,
        markup=markup if asked is task else options.markup,
        delimiter=options.delimiter,
        warnings=warnings,
    )
    return Item(
        where,
        ordered[0],
        target,
        asked,
        prompt="" if known else prompt,
        warnings=tuple(warnings),
    )


def _messages(turns: Sequence[Mapping[str, Any]]) -> list[Json]:
    """The turns as messages; keys of other things, and those that are null, are left out."""
    messages: list[Json] = []
    for turn in turns:
        kind = _kind(turn)
        if kind == "assistant":
            if not isinstance(turn.get("user") or "", str) or not isinstance(turn["assistant"], str):
                raise misshapen(f"user and assistant are texts, found {json_stream.raw(dict(turn))}")
            messages.append({"role": "user", "content": turn.get("user") or ""})
            messages.append({"role": "assistant", "content": turn["assistant"]})
            continue
        role = ROLES.get(
            str(turn[kind]),
            turn[kind],
        )
        content = turn.get("content" if kind == "role" else "value")
        if kind == "from" and isinstance(content, str) and MARK in content:  # LLaVA's: white space beside a mark goes
            content = MARK * content.count(MARK) + content.replace(MARK, "").strip()
        messages.append({"role": role, "content": _blocks(content)})
    return messages


def _blocks(content: Any) -> Any:
    """Blocks of a message without the keys that are null: in a table every block has the keys of all."""
    if not isinstance(content, list):
        return content
    return [
        {key: value for key, value in block.items() if value is not None} if isinstance(block, Mapping) else block
        for block in content
    ]
