"""What `sft validate` can find: every reason code, and what a row is checked against.

Findings are what makes ERNIEKit crash, hang or skip a row, and what is likely a mistake.

The behaviour behind each trainer.* code was reproduced against ERNIEKit's `OCR-VL-SFT` stage: `vl_sft_dataset_json.py`
@88463b9, `dist_data_loader.py` @4bb9d60, `image_preprocessor_siglip.py` @697ee0a of PaddlePaddle/ERNIE.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sft import models, tokens
from sft.types import Problem

Severity = Literal["error", "warning"]

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
    "structure.duplicate_key": ("error", "a key twice in one object; only the last one counts"),
    "structure.misspelt_key": ("error", "a key that is probably misspelt; its default would be used silently"),
    "trainer.no_image": ("error", "no image; the whole run dies on this row"),
    "trainer.text": ("error", "a text is not a string; the row is skipped"),
    "trainer.tag": ("error", "a tag other than mask and no_mask; the row is skipped"),
    "trainer.no_target": ("error", "nothing to train on (no no_mask text); the whole run dies on this row"),
    "trainer.first_is_answer": ("error", "the first text is an answer; the row is skipped"),
    "trainer.merged_turns": ("error", "two texts in a row with the same tag; they are glued together without a space"),
    "trainer.open_question": ("error", "the last text is a prompt without an answer; PaddleFormers skips the row"),
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
    "target.empty": ("error", "an empty answer; PaddleFormers skips the row, ERNIEKit trains the model to say nothing"),
    "target.outer_space": ("warning", "white space around a text; the trainer strips it"),
    "target.markdown_table": ("warning", "a Markdown table; ERNIEKit re-spaces its cells and rewrites its ruler before training"),
    "target.replacement": ("warning", "U+FFFD: the label was decoded with the wrong encoding somewhere"),
    "prompt.unknown": ("warning", "a prompt that the PaddleOCR pipeline never sends"),
    "prompt.near_miss": ("error", "a prompt that is almost one of the model's own"),
}


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


def shorten(text: str, limit: int = 160) -> str:
    """What fits into a message."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
