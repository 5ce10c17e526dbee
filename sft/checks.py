"""Checks of one row: what makes ERNIEKit crash, hang or skip it, and what is likely a mistake.

The behaviour behind each trainer.* code was reproduced against ERNIEKit's `OCR-VL-SFT` stage: `vl_sft_dataset_json.py`
@88463b9, `dist_data_loader.py` @4bb9d60, `image_preprocessor_siglip.py` @697ee0a of PaddlePaddle/ERNIE.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from sft import models, tokens
from sft.images import ImageProblem, probe
from sft.types import ImageHeader, Problem, Sample

Severity = Literal["error", "warning"]
MIN_SIDE = 28  # below, the crop is enlarged before the model sees it
CHANNEL_SIDE = 4  # a side this short is taken for the colour channels by servers (PaddleX#5086)

# Every reason code: severity and meaning. `sft validate --codes` prints it, a test finds codes that are missing.
REASONS: dict[str, tuple[Severity, str]] = {
    "file.extension": ("error", "the trainer reads .jsonl only"),
    "file.empty": ("error", "no rows"),
    "file.bom": ("error", "byte order mark; the trainer crashes at start-up"),
    "file.encoding": ("error", "not UTF-8"),
    "file.blank_line": ("error", "empty line; the trainer crashes at start-up"),
    "file.crlf": ("warning", "Windows line ends"),
    "file.key_order": ("warning", "keys are not in the usual order (only with --fix)"),
    "structure.json": ("error", "the line is not JSON; the trainer crashes at start-up"),
    "structure.object": ("error", "not an object with text_info and image_info; the trainer crashes at start-up"),
    "structure.text_info": ("error", "text_info is not a list of texts"),
    "structure.image_info": ("error", "an image is not an object with image_url; the trainer crashes at start-up"),
    "structure.image_url": ("error", "image_url is not a path"),
    "structure.matched_text_index": ("error", "matched_text_index is not an index"),
    "structure.unknown_key": ("warning", "a key that no trainer reads"),
    "structure.misspelt_key": ("error", "a key that is probably misspelt; its default would be used silently"),
    "trainer.no_image": ("error", "no image; the whole run dies on this row"),
    "trainer.text": ("error", "a text is not a string; the row is skipped"),
    "trainer.tag": ("error", "a tag other than mask and no_mask; the row is skipped"),
    "trainer.no_target": ("error", "nothing to train on (no no_mask text); the whole run dies on this row"),
    "trainer.first_is_answer": ("error", "the first text is an answer; the row is skipped"),
    "trainer.merged_turns": ("error", "two texts in a row with the same tag; they are glued together without a space"),
    "trainer.open_question": ("warning", "the last text is a prompt without an answer; it is never trained"),
    "trainer.image_index": ("error", "an image belongs to a text that is not there; it is dropped or the run dies"),
    "trainer.image_in_answer": ("error", "an image belongs to a later answer; the row is skipped"),
    "trainer.reserved_token": ("error", "a control token of the model in a text; the row is skipped or ends early"),
    "trainer.video": ("error", "video is not supported"),
    "trainer.system": ("error", "a system text is not supported by the workbench"),
    "trainer.image_size_fields": ("error", "image_width and image_height are wrong; the trainer believes them"),
    "trainer.too_long": ("error", "longer than max_seq_len; the row is skipped or cut"),
    "trainer.path": ("error", "a path the trainer cannot use"),
    "image.remote": ("error", "an address instead of a file; fetched in training without a time-out"),
    "image.inline": ("error", "an image inside the row; works for some formats and paths only"),
    "image.missing": ("error", "no such file; the row is skipped"),
    "image.unreadable": ("error", "not an image; the row is skipped"),
    "image.truncated": ("error", "cannot be decoded; the row is skipped"),
    "image.too_large": ("error", "too many pixels or bytes to be read safely"),
    "image.aspect": ("error", "longer than 200 times its width; the row is skipped"),
    "image.sliver": ("error", "a side of 4 px or less; servers take it for colour channels"),
    "image.small": ("warning", "a side under 28 px; it is enlarged before the model sees it"),
    "image.exif": ("warning", "rotated by an EXIF tag that the trainer ignores"),
    "target.empty": ("warning", "an empty answer trains the model to say nothing"),
    "target.outer_space": ("warning", "white space around a text; the trainer strips it"),
    "target.replacement": ("warning", "U+FFFD: the label was decoded with the wrong encoding somewhere"),
    "prompt.unknown": ("warning", "a prompt that the PaddleOCR pipeline never sends"),
    "prompt.near_miss": ("error", "a prompt that is almost one of the model's own"),
}
KNOWN_KEYS = {
    "": {"text_info", "image_info", "id", "source", "meta", "order", "prefix", "is_system", "video_info", "is_video"},
    "text_info": {"text", "tag"},
    "image_info": {"image_url", "matched_text_index", "image_width", "image_height", "is_valid", "image_type"},
}
IMAGE_BASE64 = ("data:", "/9j/", "iVBOR")


@dataclass(frozen=True)
class Context:
    """What a row is checked against. `base` is the folder its relative paths count from."""

    base: Path
    model: models.ModelVersion
    decode: bool = True
    budget: tokens.Budget | None = None


def make(code: str, message: str, line: int, hint: str = "") -> Problem:
    """A `Problem` with the severity that REASONS gives its code."""
    return Problem(code, REASONS[code][0], message, line, hint)


def check_line(text: bytes, line: int, context: Context) -> tuple[Sample | None, list[Problem]]:
    """All findings of one row, and the sample where its structure is sound."""
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        code = "file.encoding" if not _is_utf8(text) else "structure.json"
        hint = "save the file as UTF-8" if code == "file.encoding" else "one complete JSON object per line, without trailing commas"
        return None, [make(code, f"not JSON: {error}" if code == "structure.json" else "not UTF-8", line, hint)]
    try:
        sample = msgspec.convert(raw, Sample)
    except msgspec.ValidationError as error:
        return None, explain_structure(raw, line) or [make("structure.object", str(error), line)]
    problems = [*_keys(raw, line), *_turns(sample, line), *_texts(sample, line, context), *_extras(raw, line)]
    headers, image_problems = _images(sample, raw, line, context)
    problems += image_problems
    if context.budget and len(headers) == len(sample.image_info) and not any(p.severity == "error" for p in problems):
        problems += _length(sample, headers, line, context.budget)
    return sample, problems


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@cache
def _schema_validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(resources.files("sft.schema").joinpath("sample.schema.json").read_text("utf-8")))


def schema_accepts(raw: object) -> bool:
    """The verdict of the published schema, the slow way."""
    return bool(_schema_validator().is_valid(raw))


def explain_structure(raw: object, line: int) -> list[Problem]:
    """Why the schema refuses a row, in its own words: jsonschema finds the place, x-code and x-hint name it."""
    problems = []
    for error in _schema_validator().iter_errors(raw):
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".") or "the row"
        problems.append(make(error.schema["x-code"], f"{place}: {_shorten(error.message)}", line, error.schema.get("x-hint", "")))
    return problems


def _shorten(text: str, limit: int = 160) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _keys(raw: dict[str, Any], line: int) -> Iterator[Problem]:
    places = [("", raw), *(("text_info", item) for item in raw["text_info"]), *(("image_info", item) for item in raw["image_info"])]
    for group, item in places:
        for key in sorted(item.keys() - KNOWN_KEYS[group]):
            close = get_close_matches(key, KNOWN_KEYS[group], n=1, cutoff=0.75)
            where = f"{group}: " if group else ""
            if close:
                yield make("structure.misspelt_key", f"{where}unknown key {key!r}", line, f"did you mean {close[0]!r} ?")
            else:
                yield make("structure.unknown_key", f"{where}unknown key {key!r}", line, "put notes of your own under \"meta\"")


def _turns(sample: Sample, line: int) -> Iterator[Problem]:
    tags = [item.tag for item in sample.text_info]
    if "no_mask" not in tags:
        yield make("trainer.no_target", "every text is tagged mask", line, "tag the ground truth no_mask")
        return
    if tags[0] == "no_mask":
        yield make("trainer.first_is_answer", "text_info[0] is tagged no_mask", line, "the first text is the prompt, tagged mask")
    for index, (left, right) in enumerate(zip(tags, tags[1:], strict=False), 1):
        if left == right:
            yield make("trainer.merged_turns", f"text_info[{index - 1}] and [{index}] are both {left}", line, "join them yourself, with the separator you mean")
    if tags[-1] == "mask":
        yield make("trainer.open_question", f"text_info[{len(tags) - 1}] has no answer", line)
    for number, image in enumerate(sample.image_info):
        index = image.matched_text_index
        if index >= len(tags):
            yield make("trainer.image_index", f"image_info[{number}] names text {index} of {len(tags)}", line, "indices count from 0")
        elif tags[index] == "no_mask":
            yield make("trainer.image_in_answer", f"image_info[{number}] names text {index}, an answer", line, "name the prompt, usually 0")


def _texts(sample: Sample, line: int, context: Context) -> Iterator[Problem]:
    for index, item in enumerate(sample.text_info):
        where = f"text_info[{index}]"
        found = next((token for token in models.RESERVED_IN_TEXT if token in item.text), None)
        if found:
            yield make("trainer.reserved_token", f"{where} contains {found}", line, "images are placed by image_info; remove the token")
        if item.text != item.text.strip():
            yield make("target.outer_space", f"{where} begins or ends with white space", line, "the trainer strips it; the score should too")
        if "\ufffd" in item.text:
            yield make("target.replacement", f"{where} contains U+FFFD", line, "decode the source with its real encoding")
        if item.tag == "no_mask" and not item.text.strip():
            yield make("target.empty", f"{where} is empty", line)
    yield from _prompt(sample.prompt.strip(), line, context.model)


def _prompt(prompt: str, line: int, model: models.ModelVersion) -> Iterator[Problem]:
    known = list(model.prompts.values())
    if prompt in known:
        return
    close = get_close_matches(prompt.lower(), [text.lower() for text in known], n=1, cutoff=0.8)
    match = next((text for text in known if close and text.lower() == close[0]), None)
    if match:
        yield make("prompt.near_miss", f"prompt {_shorten(prompt)!r}", line, f"{model.served_name} was trained with {match!r}")
    else:
        yield make("prompt.unknown", f"prompt {_shorten(prompt)!r}", line, f"known to {model.served_name}: {', '.join(known)}; others only work when you call the model directly")


def _extras(raw: dict[str, Any], line: int) -> Iterator[Problem]:
    if raw.get("video_info") or raw.get("is_video") or any(image.get("image_type", "image") != "image" for image in raw["image_info"]):
        yield make("trainer.video", "the row carries video", line, "cut it into images")
    if raw.get("is_system"):
        yield make("trainer.system", "is_system is set", line, "put the instruction into the prompt")


def _images(sample: Sample, raw: dict[str, Any], line: int, context: Context) -> tuple[list[ImageHeader], list[Problem]]:
    headers: list[ImageHeader] = []
    problems: list[Problem] = []
    for number, image in enumerate(sample.image_info):
        where = f"image_info[{number}]"
        problem = _address(image.image_url, where, line)
        if problem:
            problems.append(problem)
            continue
        try:
            header = probe(context.base / image.image_url, decode=context.decode)
        except ImageProblem as error:
            hint = "relative paths count from the folder of the JSONL file" if error.code == "image.missing" else "open the file with a viewer; replace it or drop the row"
            problems.append(make(error.code, f"{where}: {error}", line, hint))
            continue
        headers.append(header)
        problems += _shape(header, where, line)
        problems += _size_fields(raw["image_info"][number], header, where, line)
    return headers, problems


def _address(url: str, where: str, line: int) -> Problem | None:
    if url.startswith("http"):
        return make("image.remote", f"{where}: {_shorten(url)}", line, "download the images first and name the files; a file name must not begin with http either")
    if url.startswith(IMAGE_BASE64) and len(url) > 255:
        return make("image.inline", f"{where}: {len(url):,} characters of base64", line, "write the image to a file and name it")
    if "\x00" in url:
        return make("trainer.path", f"{where}: a NUL byte in the path", line)
    return None


def _shape(header: ImageHeader, where: str, line: int) -> Iterator[Problem]:
    short, long = sorted((header.width, header.height))
    size = f"{where}: {header.width} x {header.height} px"
    if short <= CHANNEL_SIDE:
        yield make("image.sliver", size, line, "a crop this thin holds no text; drop it")
    elif long / short > models.MAX_ASPECT:
        yield make("image.aspect", f"{size}, ratio {long / short:.0f}", line, f"cut it into pieces with a ratio of at most {models.MAX_ASPECT}")
    elif short < MIN_SIDE:
        yield make("image.small", size, line)
    if header.exif_orientation != 1:
        yield make("image.exif", f"{where}: EXIF orientation {header.exif_orientation}", line, "bake the rotation into the pixels")


def _size_fields(item: dict[str, Any], header: ImageHeader, where: str, line: int) -> Iterator[Problem]:
    if item.get("image_width") and item.get("image_height") and (item["image_width"], item["image_height"]) != (header.width, header.height):
        said = f"{item['image_width']} x {item['image_height']}"
        yield make("trainer.image_size_fields", f"{where}: says {said}, the file has {header.width} x {header.height}", line, "leave image_width, image_height and is_valid out")


def _length(sample: Sample, headers: list[ImageHeader], line: int, budget: tokens.Budget) -> Iterator[Problem]:
    length = tokens.sample_tokens(sample, headers, budget)
    if length > budget.max_seq_len:
        yield make("trainer.too_long", f"{length} tokens, max_seq_len is {budget.max_seq_len}", line, "raise max_seq_len, or split the sample; it would be skipped")


Check = Callable[[bytes, int, Context], tuple[Sample | None, list[Problem]]]
