"""Hub rows as conversations and back, value for value: `to_messages` and `from_messages` undo each other.

    {"text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "৪৫টি", "tag": "no_mask"}],
     "image_info": [{"image_url": "0.png", "matched_text_index": 0}]}
    {"messages": [{"role": "user", "content": "<image>OCR:"}, {"role": "assistant", "content": "৪৫টি"}], "images": ["0.png"]}

`id`, `source` and `meta` mean the same on both sides. What only one side has a place for goes under "meta" and comes back from
there: the shape of a messages row (extra keys, content in blocks, images as one string) as `meta.messages` of the hub row, the
extra keys and the order of images of a hub row as `meta.erniekit` of the messages row. Texts and paths are never kept twice, so
both may be edited. What would change what is learned is refused as source.inexpressible: a system prompt, an image behind or
inside a text or in an answer, an answer without loss, tools, other media, an answer that is labelled as a bad one.
An image inside the row (base64, bytes) comes back as the path of the file that it became.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sft.formats.chat_parse import MARK, OWN, PASS, TAGS, Inline, Json, inexpressible, misshapen, parse, same, source_key
from sft.markup.errors import MarkupError

_VIDEO = ("is_system", "is_video", "video_info", "video")


# hub → messages


def to_messages(row: Json) -> Json:
    """The messages row of a hub row; MarkupError (source.inexpressible, source.shape) where there is none."""
    for key in _VIDEO:
        if row.get(key):
            raise inexpressible(f"{key} is set")
    turns = _turns(row)
    plain = _filled(row, turns)
    if plain is not None and _gives(plain, row):
        return plain
    plain = _canonical(row, turns)
    rest = {key: value for key, value in row.items() if key not in ("text_info", "image_info", *PASS)}
    rest["text_info"] = [{key: value for key, value in item.items() if key != "text"} for item in row["text_info"]]
    rest["image_info"] = [{key: value for key, value in image.items() if key != "image_url"} for image in row["image_info"]]
    canonical = {"text_info": [{"tag": item["tag"]} for item in row["text_info"]], "image_info": [{"matched_text_index": turn} for turn, item in enumerate(turns) for _ in item.images]}
    return plain if same(rest, canonical) else {**plain, "meta": {"erniekit": rest}}


def _gives(plain: Json, row: Json) -> bool:
    try:
        return same(parse(plain)[0], row)
    except MarkupError:
        return False


@dataclass
class _Turn:
    """One text of a hub row with the paths of the images in front of it."""

    tag: str
    text: str
    images: list[str]


def _turns(row: Json) -> list[_Turn]:
    try:
        turns = [_Turn(item["tag"], item["text"], []) for item in row["text_info"]]
        for image in row["image_info"]:
            index = image.get("matched_text_index", 0)
            if type(index) is not int or not 0 <= index < len(turns):
                raise inexpressible(f"matched_text_index {index!r} names no text")
            turns[index].images.append(image["image_url"])
        if not row["image_info"]:
            raise MarkupError("trainer.no_image", "no image")
    except (KeyError, TypeError, AttributeError) as error:
        raise misshapen(f"not a row of the hub: {error!r}") from error
    for number, turn in enumerate(turns):
        if turn.tag not in TAGS or not isinstance(turn.text, str) or not all(isinstance(path, str) for path in turn.images):
            raise misshapen(f"not a row of the hub: text_info[{number}] or its image")
        if MARK in turn.text:
            raise inexpressible(f"text_info[{number}] contains {MARK}, which would be taken for an image")
        if turn.images and turn.tag == "no_mask":
            raise inexpressible(f"an image belongs to text_info[{number}], an answer")
    return turns


def _canonical(row: Json, turns: list[_Turn]) -> Json:
    messages = [{"role": TAGS[turn.tag], "content": MARK * len(turn.images) + turn.text} for turn in turns]
    return {**{key: row[key] for key in PASS if key in row}, "messages": messages, "images": [path for turn in turns for path in turn.images]}


def _filled(row: Json, turns: list[_Turn]) -> Json | None:
    """The row in the shape it came in, by `meta.messages`; the usual shape without; None where the two do not fit."""
    if "meta" not in row:
        return _canonical(row, turns)
    if not isinstance(row["meta"], dict):
        return None
    meta = {key: value for key, value in row["meta"].items() if key not in OWN}
    if "messages" not in row["meta"]:
        return {**_canonical(row, turns), "meta": meta}
    try:
        passed = {key: row[key] for key in PASS if key in row}
        return {**passed, **_fill(row["meta"]["messages"], turns), **({"meta": meta} if meta else {})}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration):
        return None  # not a shape of ours, or the row has got other turns since


def _fill(shape: Json, turns: list[_Turn]) -> Json:
    paths = [path for turn in turns for path in turn.images]
    rest, messages = iter(turns), []
    for message in shape["messages"]:
        if message["role"] == "system":
            messages.append(message)
            continue
        turn = next(rest)
        blocks = message.get("content")
        content = MARK * len(turn.images) + turn.text if blocks is None else list(_fill_blocks(blocks, turn.text, paths))
        messages.append({**message, "content": content})
    filled = {**shape, "messages": messages}
    for key in ("images", "image"):
        if key in shape:
            filled[key] = _fill_paths(shape[key], paths)
    return filled


def _fill_paths(value: Any, paths: list[str]) -> Any:
    if isinstance(value, list):
        return [_fill_paths(entry, paths) for entry in value]
    if isinstance(value, dict):
        return {**value, "path": paths[value["path"]]}
    return value if value is None else paths[value]


def _fill_blocks(blocks: list[Json], text: str, paths: list[str]) -> Iterator[Json]:
    """Blocks with the text in its old portions; where the text has another length by now, the caller sees that they do not fit."""
    position = 0
    for block in blocks:
        if block["type"] == "text":
            marks, length = block["text"]
            yield {**block, "text": MARK * marks + text[position : position + length]}
            position += length
        elif (key := source_key(block)) is None:
            yield block
        elif isinstance(block[key], dict):
            yield {**block, key: {**block[key], "url": paths[block[key]["url"]]}}
        else:
            yield {**block, key: paths[block[key]]}


# messages → hub


def from_messages(row: Json) -> tuple[Json, list[str | Inline]]:
    """(hub row, its images in the order of image_info); MarkupError with source.shape, source.inexpressible or trainer.no_image."""
    meta = row.get("meta")
    rest = meta.get("erniekit") if isinstance(meta, dict) and len(meta) == 1 else None
    if isinstance(rest, dict) and row.keys() - set(PASS) == {"messages", "images", "meta"}:
        restored = _restored(row, rest)
        if restored is not None:
            return restored, [image["image_url"] for image in restored["image_info"]]
    return parse(row)


def _restored(row: Json, rest: Json) -> Json | None:
    """The hub row that `to_messages` wrote as this one, if it did."""
    try:
        hub, _ = parse({"messages": row["messages"], "images": row["images"]})
        urls = [image["image_url"] for image in hub["image_info"]]
        order = sorted(range(len(urls)), key=lambda position: rest["image_info"][position].get("matched_text_index", 0))
        images: list[Any] = [None] * len(urls)
        for url, position in zip(urls, order, strict=True):
            images[position] = {**rest["image_info"][position], "image_url": url}
        texts = [{**item, "text": text["text"]} for item, text in zip(rest["text_info"], hub["text_info"], strict=True)]
        restored = {**{key: row[key] for key in PASS if key in row}, **rest, "text_info": texts, "image_info": images}
        return restored if same(to_messages(restored), row) else None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None


