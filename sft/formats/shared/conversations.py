"""Conversations as hub rows: texts and tags, images and the texts that they precede, and the shape of what is left.

`parse` reads a row as PaddleFormers, ms-swift and LLaMA-Factory write it; `sft.formats.shared.conversations` holds the
way back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from sft.errors import RowRejected
from sft.formats.shared.json_stream import raw

Json = dict[str, Any]
MARK = "<image>"
ROLES = {"user": "mask", "assistant": "no_mask"}
TAGS = {"mask": "user", "no_mask": "assistant"}
PASS = ("id", "source")  # keys that mean the same on both sides
OWN = ("messages", "erniekit")  # keys under meta that belong to this module and the next
_OTHER_MEDIA = ("videos", "video", "audios", "audio", "tools", "functions", "objects")
_OTHER_TURNS = ("tool_calls", "function_call", "reasoning_content", "thinking")
_OTHER_ROLES = ("tool", "function", "developer", "observation", "tool_call", "tool_response")
_LOSS = ("loss", "loss_scale", "weight")


@dataclass(frozen=True)
class Inline:
    """An image inside the row: base64, and the name by which the row calls it, if any."""

    base64: str
    path: str = ""


def inexpressible(message: str, hint: str = "") -> RowRejected:
    """What the other side has no place for."""
    return RowRejected("source.inexpressible", message, hint=hint)


def misshapen(message: str) -> RowRejected:
    """What is missing or of the wrong type."""
    return RowRejected("source.shape", message)


def same(left: object, right: object) -> bool:
    """Equal as JSON values; 1, 1.0 and true are three values."""
    return msgspec.json.encode(left, order="deterministic") == msgspec.json.encode(right, order="deterministic")


def parse(row: Json) -> tuple[Json, list[str | Inline]]:
    """As `from_messages`, without a look at `meta`."""
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise misshapen("messages is not a list of objects")
    _refuse_rest(row)
    key = "images" if row.get("images") is not None or "image" not in row else "image"
    parsed = _Found(
        _pool(row.get(key)),
        in_front=not _is_marked(messages),
    )
    meta = row.get("meta")
    if not isinstance(meta, dict) or not meta or any(own in meta for own in OWN):
        meta = None  # it is part of the shape
    shape = {
        name: value
        for name, value in row.items()
        if name not in ("messages", key, *PASS) and (name != "meta" or meta is None)
    }
    shape["messages"] = [parsed.message(number, message) for number, message in enumerate(messages)]
    if len(parsed.from_pool) < len(parsed.pool):
        raise misshapen(f"{len(parsed.pool) - len(parsed.from_pool)} more images than {MARK} marks")
    if not parsed.images:
        raise RowRejected("trainer.no_image", "no image")
    if not parsed.text_info:
        raise misshapen("no message of a user or an assistant")
    if key in row:
        shape[key] = _shape_paths(row[key], iter(parsed.from_pool))
    hub: Json = {
        **{name: row[name] for name in PASS if name in row},
        "image_info": parsed.image_info,
        "text_info": parsed.text_info,
    }
    usual = {
        "messages": [{"role": TAGS[item["tag"]]} for item in parsed.text_info],
        "images": list(range(len(parsed.images))),
    }
    if meta is not None or not same(shape, usual):
        hub["meta"] = {
            **(meta or {}),
            **({} if same(shape, usual) else {"messages": shape}),
        }
    return hub, parsed.images


def _is_marked(messages: list[Json]) -> bool:
    """Whether some message says where an image stands: with a mark, or with a block of its own."""
    for message in messages:
        content = message.get("content")
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
        for block in blocks:
            if not isinstance(block, dict) or block.get("type") != "text" or MARK in str(block.get(text_key(block))):
                return True
    return False


def _refuse_rest(row: Json) -> None:
    for key in _OTHER_MEDIA:
        if row.get(key):
            raise inexpressible(f"the row has {key}")
    if row.get("label") is False:
        raise inexpressible("label is false: the answer is an example of a bad one")
    system = row.get("system")
    if system and (not isinstance(system, str) or system.strip()):
        raise inexpressible("a system prompt", "put the instruction into the prompt, or remove it")


def _pool(images: Any) -> list[str | Inline]:
    if images is None:
        return []
    return [_image(entry) for entry in (images if isinstance(images, list) else [images])]


def _image(entry: Any) -> str | Inline:
    if isinstance(entry, dict):
        path = entry.get("path")
        data = entry.get("bytes")
        if isinstance(data, str) and data:
            return Inline(data, path if isinstance(path, str) else "")
        entry = path if data is None else data
    if not isinstance(entry, str) or not entry:
        raise misshapen(f"an image is a path or {{bytes, path}}, found {raw(entry)}")
    return entry


def _shape_paths(value: Any, indices: Iterator[int]) -> Any:
    if isinstance(value, list):
        return [_shape_paths(entry, indices) for entry in value]
    if isinstance(value, dict):
        return {
            **{key: inner for key, inner in value.items() if key != "bytes" or inner is None},
            "path": next(indices),
        }
    return value if value is None else next(indices)


class _Found:
    """Texts and images of the messages read so far.

    `in_front`: the row has no marks, and all its images stand in front.
    """

    def __init__(self, pool: list[str | Inline], *, in_front: bool) -> None:
        self.pool = pool
        self.in_front = in_front
        self.unmarked = 0  # images in front of a message of blocks, which its first text is written back with
        self.images: list[str | Inline] = []
        self.from_pool: list[int] = []  # which of `images` came from the row's own list
        self.text_info: list[Json] = []
        self.image_info: list[Json] = []
        self.begun = False  # the text of this message

    def message(self, number: int, message: Json) -> Json:
        """Take one message in; what is left of it without its text and paths."""
        role = message.get("role")
        content = message.get("content")
        where = f"messages[{number}]"
        if role == "system":
            if not isinstance(content, str) or content.strip():
                raise inexpressible(f"{where} is a system prompt", "put the instruction into the prompt, or remove it")
            return message
        if not isinstance(role, str) or role not in ROLES:
            raise (
                inexpressible(f"{where} has the role {raw(role)}")
                if role in _OTHER_ROLES
                else misshapen(f"{where}: role {raw(role)}")
            )
        self._refuse(where, role, message)
        self.begun = False
        if role == "user" and self.in_front:
            self._take(len(self.pool), role, where)
            self.in_front, self.unmarked = False, len(self.pool)
        shape = {key: value for key, value in message.items() if key != "content"}
        if isinstance(content, str):
            text = self._text(content, role, where)
        elif isinstance(content, list):
            parts: list[str] = []
            shape["content"] = [self._block(block, role, where, parts) for block in content]
            text = "".join(parts)
        else:
            raise misshapen(f"{where}: content is a text or a list of blocks, found {raw(content)}")
        self.text_info.append({"text": text, "tag": ROLES[role]})
        return shape

    def _refuse(self, where: str, role: str, message: Json) -> None:
        for key in _OTHER_TURNS:
            if message.get(key):
                raise inexpressible(f"{where} has {key}")
        for key in _LOSS:
            value = message.get(key)
            if value is not None and value != (1 if role == "assistant" else 0):
                raise inexpressible(f"{where} has {key} {raw(value)}; the hub learns every answer and no prompt")

    def _text(self, content: str, role: str, where: str) -> str:
        """The text without its leading marks, for each of which an image is taken from the row's own list."""
        marks = 0
        while content.startswith(MARK, marks * len(MARK)):
            marks += 1
        text = content[marks * len(MARK) :]
        if MARK in text or (marks and self.begun):
            raise inexpressible(f"{where} has an image behind or inside its text", f"write {MARK} in front of the text")
        self._take(marks, role, where)
        self.begun = self.begun or bool(text)
        return text

    def _take(self, count: int, role: str, where: str) -> None:
        """The next images of the row's own list stand here."""
        for _ in range(count):
            if len(self.from_pool) == len(self.pool):
                raise misshapen(f"{where}: more {MARK} marks than images")
            self._add(
                self.pool[len(self.from_pool)],
                role,
                where,
            )
            self.from_pool.append(len(self.images) - 1)

    def _add(self, source: str | Inline, role: str, where: str) -> None:
        if role != "user":
            raise inexpressible(f"{where} has an image in an answer")
        self.images.append(source)
        name = source if isinstance(source, str) else source.path or f"data:;base64,{source.base64}"
        self.image_info.append({"image_url": name, "matched_text_index": len(self.text_info)})

    def _block(self, block: Any, role: str, where: str, parts: list[str]) -> Json:
        """Take one content block in; its shape: a text as [marks, length], an image as its index."""
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text" and (text := text_key(block)):
            before = len(self.images)
            parts.append(self._text(block[text], role, where))
            marks, self.unmarked = len(self.images) - before + self.unmarked, 0
            return {
                **block,
                text: [marks, len(parts[-1])],
            }
        if kind not in ("image", "image_url"):
            raise inexpressible(f"{where} has a block of type {raw(kind)}")
        if self.begun:
            raise inexpressible(f"{where} has an image behind or inside its text")
        key = source_key(block)
        index = len(self.images)
        if key is None:
            self._text(MARK, role, where)
            return dict(block)
        value = block[key]
        if not isinstance(value, dict):
            self._add(_image(value), role, where)
            return {**block, key: index}
        self._add(_url(value), role, where)
        if "data" in value:  # Anthropic's base64; it becomes a file
            value = {
                "type": "url",
                **{name: inner for name, inner in value.items() if name not in ("data", "media_type", "type")},
            }
        return {**block, key: {**value, "url": index}}


def source_key(block: Json) -> str | None:
    """The key of a block under which its image stands: OpenAI's image_url, Anthropic's source, LLaMA-Factory's value,
    image or url.
    """
    return next(
        (key for key in ("image_url", "source", "image", "url", "path", "value") if block.get(key) is not None), None
    )


def text_key(block: Json, kind: type = str) -> str:
    """The key of a block under which its text stands, or what is kept of it: text, or LLaMA-Factory's value; "" for
    none.
    """
    return next(
        (key for key in ("text", "value") if isinstance(block.get(key), kind)),
        "",
    )


def _url(value: Json) -> str:
    if isinstance(value.get("data"), str):
        return f"data:{value.get('media_type', '')};base64,{value['data']}"
    if not isinstance(value.get("url"), str) or not value["url"]:
        raise misshapen(f"an image block without url or data: {raw(value)}")
    return str(value["url"])


_VIDEO = ("is_system", "is_video", "video_info", "video")


# hub → messages


def to_messages(row: Json) -> Json:
    """The messages row of a hub row; RowRejected (source.inexpressible, source.shape) where there is none."""
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
    rest["image_info"] = [
        {key: value for key, value in image.items() if key != "image_url"} for image in row["image_info"]
    ]
    canonical = {
        "text_info": [{"tag": item["tag"]} for item in row["text_info"]],
        "image_info": [{"matched_text_index": turn} for turn, item in enumerate(turns) for _ in item.images],
    }
    return plain if same(rest, canonical) else {**plain, "meta": {"erniekit": rest}}


def _gives(plain: Json, row: Json) -> bool:
    try:
        return same(parse(plain)[0], row)
    except RowRejected:
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
            raise RowRejected("trainer.no_image", "no image")
    except (KeyError, TypeError, AttributeError) as error:
        raise misshapen(f"not a row of the hub: {error!r}") from error
    for number, turn in enumerate(turns):
        if (
            turn.tag not in TAGS
            or not isinstance(turn.text, str)
            or not all(isinstance(path, str) for path in turn.images)
        ):
            raise misshapen(f"not a row of the hub: text_info[{number}] or its image")
        if MARK in turn.text:
            raise inexpressible(f"text_info[{number}] contains {MARK}, which would be taken for an image")
        if turn.images and turn.tag == "no_mask":
            raise inexpressible(f"an image belongs to text_info[{number}], an answer")
    return turns


def _canonical(row: Json, turns: list[_Turn]) -> Json:
    messages = [{"role": TAGS[turn.tag], "content": MARK * len(turn.images) + turn.text} for turn in turns]
    return {
        **{key: row[key] for key in PASS if key in row},
        "messages": messages,
        "images": [path for turn in turns for path in turn.images],
    }


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
        return {
            **passed,
            **_fill(row["meta"]["messages"], turns),
            **({"meta": meta} if meta else {}),
        }
    except (RowRejected, KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration):
        return None  # not a shape of ours, or the row has got other turns since


def _fill(shape: Json, turns: list[_Turn]) -> Json:
    paths = [path for turn in turns for path in turn.images]
    rest = iter(turns)
    messages = []
    for message in shape["messages"]:
        if message["role"] == "system":
            messages.append(message)
            continue
        turn = next(rest)
        blocks = message.get("content")
        content = (
            MARK * len(turn.images) + turn.text if blocks is None else list(_fill_blocks(blocks, turn.text, paths))
        )
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
    """Blocks with the text in its old portions; where the text has another length by now, the caller sees that they do
    not fit.
    """
    position = 0
    for block in blocks:
        if block["type"] == "text":
            key = text_key(block, list)
            marks, length = block[key]
            yield {
                **block,
                key: MARK * marks + text[position : position + length],
            }
            position += length
        elif (source := source_key(block)) is None:
            yield block
        elif isinstance(block[source], dict):
            yield {
                **block,
                source: {**block[source], "url": paths[block[source]["url"]]},
            }
        else:
            yield {**block, source: paths[block[source]]}


# messages → hub


def from_messages(row: Json) -> tuple[Json, list[str | Inline]]:
    """(hub row, its images in the order of image_info); RowRejected with source.shape, source.inexpressible or
    trainer.no_image.
    """
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
        order = sorted(
            range(len(urls)),
            key=lambda position: rest["image_info"][position].get("matched_text_index", 0),
        )
        images: list[Any] = [None] * len(urls)
        for url, position in zip(urls, order, strict=True):
            images[position] = {**rest["image_info"][position], "image_url": url}
        texts = [{**item, "text": text["text"]} for item, text in zip(rest["text_info"], hub["text_info"], strict=True)]
        restored = {
            **{key: row[key] for key in PASS if key in row},
            **rest,
            "text_info": texts,
            "image_info": images,
        }
        return restored if same(to_messages(restored), row) else None
    except (RowRejected, KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None
