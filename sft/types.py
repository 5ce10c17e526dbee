"""The nouns of the workbench: plain frozen records, shared by every floor above.

A sample on disk, one line of JSONL (the ERNIEKit layout, `docs/datasets.md` of PaddlePaddle/ERNIE at release/v1.4):

    {"image_info": [{"image_url": "images/0.png", "matched_text_index": 0}],
     "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "৪৫টি", "tag": "no_mask"}]}
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Literal

from msgspec import Meta

GROUP_KEYS = ("meta.group",)  # where a row says which document or page it is of, unless the user names other keys
Tag = Literal["mask", "no_mask"]  # mask: the prompt, no loss; no_mask: the answer, trained


class Task(str, Enum):
    """What a crop is read as; each model version has one prompt per task."""

    OCR = "ocr"
    TABLE = "table"
    FORMULA = "formula"
    CHART = "chart"
    SPOTTING = "spotting"
    SEAL = "seal"


@dataclass(frozen=True)
class Text:
    """One turn of the conversation."""

    text: str
    tag: Tag


@dataclass(frozen=True)
class Image:
    """One image and the index in `text_info` before which it is placed."""

    image_url: Annotated[str, Meta(min_length=1)]
    matched_text_index: Annotated[int, Meta(ge=0, le=2**63 - 1)] = (
        0  # no text has a larger index, and most programs know no larger number
    )


@dataclass(frozen=True)
class Sample:
    """One training example. The constraints here and `schema/sample.schema.json` say the same; a test keeps it so."""

    text_info: Annotated[tuple[Text, ...], Meta(min_length=1)]
    image_info: Annotated[tuple[Image, ...], Meta(min_length=1)]

    @property
    def prompt(self) -> str:
        """The first turn, as the trainers see it: without outer white space. The same is sent to a server."""
        return self.text_info[0].text.strip()

    @property
    def prompt_images(self) -> tuple[Image, ...]:
        """The images of the first turn, in order."""
        return tuple(image for image in self.image_info if image.matched_text_index == 0)

    @property
    def turns(self) -> int:
        """How many answers there are; only the first is scored."""
        return sum(item.tag == "no_mask" for item in self.text_info)

    @property
    def ref(self) -> str:
        """The ground truth: the answer to the first prompt."""
        return next(item.text for item in self.text_info if item.tag == "no_mask")


@dataclass(frozen=True)
class Problem:
    """One finding of a check.

    `code` is stable and made of `group.reason`; `line` counts from 1, 0 means the whole file.
    """

    code: str
    severity: Literal["error", "warning"]
    message: str
    line: int = 0
    hint: str = ""


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes of an image file say; width and height in stored pixels, before any EXIF rotation."""

    width: int
    height: int
    format: str
    mode: str
    exif_orientation: int = 1


@dataclass(frozen=True)
class Progress:
    """One step line of a trainer's log.

    `loss` is the mean since the last line, `samples_per_second` the trainer's own figure.
    """

    step: int
    max_steps: int
    loss: float
    samples_per_second: float | None = None


@dataclass(frozen=True)
class Prediction:
    """One raw answer of a served model.

    `error` is set where no answer came; such a row is lost, never scored as wrong.
    """

    id: int  # line of the sample in its JSONL, from 1
    image: str
    prompt: str
    ref: str
    pred: str
    finish_reason: str = "stop"
    seconds: float = 0.0
    error: str = ""
    reason: str = ""  # of a lost one: a code of `sft.inference.client.LOST`
