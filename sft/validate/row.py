"""Checks of one row: its structure by the published schema, its turns, its texts, and then its images."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import msgspec

from sft import models
from sft.files import decode_any
from sft.reasons import make, shorten
from sft.schema import explain_structure
from sft.types import ImageHeader, Problem, Sample
from sft.validate.answer_checks import check_answer, check_text
from sft.validate.context import Context
from sft.validate.image_checks import ReadHeader, check_images

KNOWN_KEYS = {
    "": {"text_info", "image_info", "id", "source", "meta", "order", "prefix", "is_system", "video_info", "is_video"},
    "text_info": {"text", "tag"},
    "image_info": {"image_url", "matched_text_index", "image_width", "image_height", "is_valid", "image_type"},
}
# What may not stand in a text: control tokens of the model, and the marks that PaddleFormers replaces by media.
RESERVED = (*models.RESERVED_IN_TEXT, "<image>", "<video>", "<audio>")
LONGEST_NAME = 80  # letters; anything longer is no misspelt key or prompt, and comparing it would take for ever


def check_line(
    text: bytes, line: int, context: Context, read: ReadHeader | None = None
) -> tuple[Sample | None, list[Problem]]:
    """All findings of one row, and the sample where its structure is sound.

    `read` gives the headers of its images instead of `read_header`.
    """
    try:
        return _check_line(text, line, context, read)
    except RecursionError:
        return None, [make("structure.json", "too many nested brackets", line, "a sample needs three levels")]


def _check_line(
    text: bytes, line: int, context: Context, read: ReadHeader | None
) -> tuple[Sample | None, list[Problem]]:
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if _is_utf8(text):
            return None, [
                make(
                    "structure.json",
                    f"not JSON: {error}",
                    line,
                    "one complete JSON object per line, without trailing commas",
                )
            ]
        return None, [make("file.encoding", "not UTF-8", line, "save the file as UTF-8")]
    problems = [
        make(
            "structure.duplicate_key",
            f"duplicate key {shorten(key)!r}",
            line,
            "only the last one would count; remove one",
        )
        for key in decode_any(text)[1]
    ]
    try:
        sample = msgspec.convert(raw, Sample)
    except msgspec.ValidationError as error:
        return None, problems + (explain_structure(raw, line) or [make("structure.object", str(error), line)])
    problems += [
        *_keys(raw, line),
        *_turns(sample, line),
        *_texts(sample, line, context),
        *_extras(raw, line),
    ]
    headers, image_problems = check_images(sample, raw, line, context, read)
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


def _keys(raw: dict[str, Any], line: int) -> Iterator[Problem]:
    places = [
        ("", raw),
        *(("text_info", item) for item in raw["text_info"]),
        *(("image_info", item) for item in raw["image_info"]),
    ]
    for group, item in places:
        for key in sorted(item.keys() - KNOWN_KEYS[group]):
            close = get_close_matches(key, KNOWN_KEYS[group], n=1, cutoff=0.75) if len(key) <= LONGEST_NAME else []
            message = f"{group}: unknown key {shorten(key)!r}" if group else f"unknown key {shorten(key)!r}"
            if close:
                yield make("structure.misspelt_key", message, line, f"did you mean {close[0]!r} ?")
            else:
                yield make("structure.unknown_key", message, line, 'put notes of your own under "meta"')


def _turns(sample: Sample, line: int) -> Iterator[Problem]:
    tags = [item.tag for item in sample.text_info]
    if "no_mask" not in tags:
        yield make("trainer.no_target", "every text is tagged mask", line, "tag the ground truth no_mask")
        return
    if tags[0] == "no_mask":
        yield make(
            "trainer.first_is_answer",
            "text_info[0] is tagged no_mask",
            line,
            "the first text is the prompt, tagged mask",
        )
    for index, (left, right) in enumerate(zip(tags, tags[1:], strict=False), 1):
        if left == right:
            yield make(
                "trainer.merged_turns",
                f"text_info[{index - 1}] and [{index}] are both {left}",
                line,
                "join them yourself, with the separator you mean",
            )
    if tags[-1] == "mask":
        yield make("trainer.open_question", f"text_info[{len(tags) - 1}] has no answer", line)
    for number, image in enumerate(sample.image_info):
        index = image.matched_text_index
        if index >= len(tags):
            yield make(
                "trainer.image_index",
                f"image_info[{number}] names text {index} of {len(tags)}",
                line,
                "indices count from 0",
            )
        elif tags[index] == "no_mask":
            yield make(
                "trainer.image_in_answer",
                f"image_info[{number}] names text {index}, an answer",
                line,
                "name the prompt, usually 0",
            )


def _texts(sample: Sample, line: int, context: Context) -> Iterator[Problem]:
    prompt = ""
    for index, item in enumerate(sample.text_info):
        where = f"text_info[{index}]"
        wrong = next(
            (token for token in RESERVED if token in item.text),
            None,
        )
        if wrong:
            yield make(
                "trainer.reserved_token",
                f"{where} contains {wrong}",
                line,
                "images are placed by image_info; remove the token",
            )
        yield from check_text(item.text, where, line)
        if item.tag == "no_mask":
            yield from check_answer(item.text, prompt, where, line)
        else:
            prompt = item.text.strip()
    yield from _prompt(sample.prompt, line, context.model)


def _prompt(prompt: str, line: int, model: models.ModelVersion) -> Iterator[Problem]:
    known = list(model.prompts.values())
    if prompt in known:
        return
    others = [other.served_name for other in models.MODELS.values() if prompt in other.prompts.values()]
    if others:
        yield make(
            "prompt.unknown",
            f"prompt {prompt!r}",
            line,
            f"{model.served_name} does not know it, {' and '.join(others)} do; choose the model version",
        )
        return
    close = (
        get_close_matches(prompt.lower(), [text.lower() for text in known], n=1, cutoff=0.8)
        if len(prompt) <= LONGEST_NAME and not _asks_for_keys(prompt, known)
        else []
    )
    match = next(
        (text for text in known if close and text.lower() == close[0]),
        None,
    )
    if match:
        yield make(
            "prompt.near_miss", f"prompt {shorten(prompt)!r}", line, f"{model.served_name} was trained with {match!r}"
        )
    else:
        yield make(
            "prompt.unknown",
            f"prompt {shorten(prompt)!r}",
            line,
            f"known to {model.served_name}: {', '.join(known)}; others only work when you call the model directly",
        )


def _asks_for_keys(prompt: str, known: list[str]) -> bool:
    """Whether a known prompt is followed by JSON: the keys of the answer (`OCR:{"total": ""}`), and no misspelling."""
    rests = [prompt[len(text) :].strip() for text in known if prompt.startswith(text)]
    return any(rest[:1] in ("{", "[") for rest in rests)


def _extras(raw: dict[str, Any], line: int) -> Iterator[Problem]:
    if (
        raw.get("video_info")
        or raw.get("is_video")
        or any(image.get("image_type", "image") != "image" for image in raw["image_info"])
    ):
        yield make("trainer.video", "the row carries video", line, "cut it into images")
    if raw.get("is_system"):
        yield make("trainer.system", "is_system is set", line, "put the instruction into the prompt")


def _length(sample: Sample, headers: list[ImageHeader], line: int, budget: models.Budget) -> Iterator[Problem]:
    length = models.sample_tokens(sample, headers, budget)
    if length > budget.max_seq_len:
        yield make(
            "trainer.too_long",
            f"{length} tokens, max_seq_len is {budget.max_seq_len}",
            line,
            "raise max_seq_len, or split the sample; it would be skipped",
        )
