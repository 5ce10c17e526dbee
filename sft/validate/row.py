"""Checks of one row: its structure by the published schema, its turns, its texts, and then its images."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import partial
from typing import Any

import msgspec

from sft import models
from sft.files import decode_any
from sft.images import ImageProblem, probe
from sft.markup import MarkupError, controls
from sft.models import OTSL_TOKENS, TASK_OF, Budget, smart_resize
from sft.reasons import make, shorten
from sft.schema import explain_structure
from sft.types import ImageHeader, Problem, Sample, Task
from sft.validate.context import Context
from sft.validate.labels import BLANK_CORNER, HTML_TABLE, check_characters, check_leftovers

MIN_SIDE = models.FACTOR  # below, the crop is enlarged before the model sees it
CHANNEL_SIDE = 4  # a side this short is taken for the colour channels by servers (PaddleX#5086)
BASE64_STARTS = ("/9j/", "iVBOR")  # of a JPEG, of a PNG
PAGE_PIXELS = 800_000  # A4 at 90 dpi
PAGE_CHARACTERS = 1200  # of a page in a Latin script; the longest paragraphs have about 1000
LONGEST_FILE_NAME = 255  # of every usual file system; base64 of an image is longer
ReadHeader = Callable[[str], ImageHeader]  # path of an image as a row names it → its header, or ImageProblem


def check_images(
    sample: Sample, raw: dict[str, Any], line: int, context: Context, read: ReadHeader | None = None
) -> tuple[list[ImageHeader], list[Problem]]:
    """Headers of the images that can be used, and all findings. `raw` is the row as it was written."""
    read = read or partial(read_header, context)
    headers: list[ImageHeader] = []
    problems: list[Problem] = []
    for number, image in enumerate(sample.image_info):
        where = f"image_info[{number}]"
        problem = _address(image.image_url, where, line)
        if problem:
            problems.append(problem)
            continue
        if not context.look:
            continue
        try:
            header = read(image.image_url)
        except ImageProblem as error:
            hint = (
                "relative paths count from the folder of the JSONL file"
                if error.code == "image.missing"
                else "open the file with a viewer; replace it or drop the row"
            )
            problems.append(
                make(
                    error.code,
                    f"{where}: {shorten(str(error))}",
                    line,
                    hint,
                )
            )
            continue
        headers.append(header)
        problems += _shape(header, where, line, context.budget)
        problems += _size_fields(raw["image_info"][number], header, where, line)
        if (
            image.matched_text_index == 0
            and TASK_OF.get(sample.prompt) is Task.OCR
            and any(looks_like_page(header, item.text) for item in sample.text_info[1:2])
        ):
            said = f"{where}: {header.width} x {header.height} px and {len(sample.text_info[1].text)} characters"
            problems.append(
                make(
                    "image.page",
                    said,
                    line,
                    "the model reads crops of a page's layout; cut pages into blocks, or give them a prompt of"
                    " their own",
                )
            )
    return headers, problems


def read_header(context: Context, url: str) -> ImageHeader:
    """The header of an image as a row names it; ImageProblem where it cannot be used."""
    return probe(context.base / url, decode=context.decode)


def looks_like_page(header: ImageHeader, answer: str) -> bool:
    """A sheet of paper by its pixels (PAGE_PIXELS, the shape of A4, Letter or a double page) that holds as much text
    as one.
    """
    short, long = sorted((header.width, header.height))
    wide = (
        sum(sign > "\u2e7f" for sign in answer) if len(answer) >= PAGE_CHARACTERS // 2 else 0
    )  # Han, kana, Hangul: half as many fill a page
    return (
        header.width * header.height >= PAGE_PIXELS
        and 1.2 <= long / short <= 1.6
        and len(answer) + wide >= PAGE_CHARACTERS
    )


def _address(url: str, where: str, line: int) -> Problem | None:
    if url.startswith("http"):
        return make(
            "image.remote",
            f"{where}: {shorten(url)}",
            line,
            "download the images first and name the files; a file name must not begin with http either",
        )
    if url.startswith("data:") or (url.startswith(BASE64_STARTS) and len(url) > LONGEST_FILE_NAME):
        return make(
            "image.inline", f"{where}: {len(url):,} characters of base64", line, "write the image to a file and name it"
        )
    if "\x00" in url:
        return make("trainer.path", f"{where}: a NUL byte in the path", line)
    return None


def _shape(header: ImageHeader, where: str, line: int, budget: Budget | None) -> Iterator[Problem]:
    short, long = sorted((header.width, header.height))
    size = f"{where}: {header.width} x {header.height} px"
    if short <= CHANNEL_SIDE:
        yield make("image.sliver", size, line, "a crop this thin contains no text; drop it")
    elif long / short > models.MAX_ASPECT:
        yield make(
            "image.aspect",
            f"{size}, ratio {long / short:.0f}",
            line,
            f"cut it into pieces with a ratio of at most {models.MAX_ASPECT}",
        )
    elif budget:
        try:
            smart_resize(
                header.height,
                header.width,
                min_pixels=budget.min_pixels,
                max_pixels=budget.max_pixels,
            )
        except ValueError as error:
            yield make("image.aspect", f"{size}: {error}", line, "cut it into pieces, or raise max_pixels")
    if CHANNEL_SIDE < short < MIN_SIDE:
        yield make("image.small", size, line)
    if header.exif_orientation != 1:
        yield make(
            "image.exif",
            f"{where}: EXIF orientation {header.exif_orientation}",
            line,
            "bake the rotation into the pixels",
        )


def _size_fields(item: dict[str, Any], header: ImageHeader, where: str, line: int) -> Iterator[Problem]:
    if (
        item.get("image_width")
        and item.get("image_height")
        and (item["image_width"], item["image_height"]) != (header.width, header.height)
    ):
        said = f"{item['image_width']} x {item['image_height']}"
        yield make(
            "trainer.image_size_fields",
            f"{where}: says {shorten(said)}, the file has {header.width} x {header.height}",
            line,
            "leave image_width, image_height and is_valid out",
        )


MARKDOWN_TABLE = re.compile(
    r"^\|.*\|[ \t]*\n\|(?=[^\n]*-)[ :|-]+\|[ \t]*\n\|", re.MULTILINE
)  # header, ruler, first row; linear on any input


def check_text(text: str, where: str, line: int) -> Iterator[Problem]:
    """What must not stand in any text, prompt or answer."""
    if text.removeprefix(BLANK_CORNER) != text.removeprefix(BLANK_CORNER).strip():
        yield make(
            "target.outer_space",
            f"{where} begins or ends with white space",
            line,
            "the trainer strips it; the score should too",
        )
    if "\ufffd" in text:
        yield make("target.replacement", f"{where} contains U+FFFD", line, "decode the source with its actual encoding")
    if found := controls(text):
        yield make("target.control", f"{where} contains {found}", line, "no image shows them; clean the labels")


def check_answer(text: str, prompt: str, where: str, line: int) -> Iterator[Problem]:
    """What is wrong with an answer to `prompt`; an unknown prompt is taken for plain text."""
    if not text.strip():
        yield make("target.empty", f"{where} is empty", line)
        return
    task = TASK_OF.get(prompt, Task.OCR)
    yield from check_characters(text, task, where, line)
    yield from check_leftovers(text, TASK_OF.get(prompt), where, line)
    if "|" in text and MARKDOWN_TABLE.search(text):
        yield make(
            "target.markdown_table",
            f"{where} holds a Markdown table",
            line,
            "tables are trained as OTSL, charts as rows with ` | ` and no outer pipes",
        )
    if task is Task.CHART:
        yield from _chart(text, where, line)
    if task is Task.TABLE:
        yield from _table(text, where, line)
    if task is Task.FORMULA:
        yield from _formula(text.strip(), where, line)
    yield from _pipeline(text, task, where, line)


def _table(text: str, where: str, line: int) -> Iterator[Problem]:
    from sft.markup import parse_otsl

    if not any(token in text for token in OTSL_TOKENS) and HTML_TABLE.search(text):
        yield make(
            "target.html", f"{where} is an HTML table", line, "tables are trained as OTSL: `sft convert` writes it"
        )
        return
    try:
        grid = parse_otsl(text.strip())
    except MarkupError as error:
        yield make(
            "target.otsl",
            f"{where}: {shorten(str(error))}",
            line,
            error.hint,
        )
    else:
        if grid.warnings:
            yield make(
                "target.otsl", f"{where}: {shorten(grid.warnings[0].message)}", line, "write <ecel> for a blank cell"
            )


def _formula(text: str, where: str, line: int) -> Iterator[Problem]:
    from sft.markup import latex, unseen

    if not (text.startswith("\\[") and text.endswith("\\]")):
        yield make(
            "target.latex_delimiters",
            f"{where} is not delimited by \\[ and \\]",
            line,
            "formulas are trained as \\[ … \\]",
        )
    try:
        latex.check(text)
    except MarkupError as error:
        yield make(
            error.code,
            f"{where}: {shorten(str(error))}",
            line,
            error.hint,
        )
    else:
        if found := unseen(text):
            yield make(
                "target.unseen",
                f"{where} has {found}, which leaves no ink on the page",
                line,
                "leave it out: no model can read it from an image",
            )
    for fault in latex.corruptions(text):
        yield make(
            fault.code,
            f"{where}: {shorten(str(fault))}",
            line,
            fault.hint,
        )


def _chart(text: str, where: str, line: int) -> Iterator[Problem]:
    from sft.markup import chart

    if chart.is_markdown(text):
        yield make(
            "target.chart_style",
            f"{where} has outer pipes or a ruler",
            line,
            "cells are separated by ` | `, rows by line ends, and nothing else",
        )
    try:
        chart.check(text)
    except MarkupError as error:
        yield make(
            error.code,
            f"{where}: {shorten(str(error))}",
            line,
            error.hint,
        )


def _pipeline(text: str, task: Task, where: str, line: int) -> Iterator[Problem]:
    from sft.markup import dollars_deleted, min_length, repetition_cut

    if task is not Task.FORMULA and dollars_deleted(text):
        yield make(
            "target.dollar",
            f"{where}: a dollar sign beside \\( \\) or \\[ \\]",
            line,
            "the PaddleOCR pipeline deletes every dollar sign then",
        )
    if len(text) >= min_length(task) and repetition_cut(text, min_len=min_length(task)) != text:
        yield make(
            "target.repetition",
            f"{where} repeats itself",
            line,
            "the PaddleOCR pipeline cuts such answers; what it shows will never be this label",
        )


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
            found = f"{group}: unknown key {shorten(key)!r}" if group else f"unknown key {shorten(key)!r}"
            if close:
                yield make("structure.misspelt_key", found, line, f"did you mean {close[0]!r} ?")
            else:
                yield make("structure.unknown_key", found, line, 'put notes of your own under "meta"')


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
        found = next(
            (token for token in RESERVED if token in item.text),
            None,
        )
        if found:
            yield make(
                "trainer.reserved_token",
                f"{where} contains {found}",
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
        if len(prompt) <= LONGEST_NAME
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
