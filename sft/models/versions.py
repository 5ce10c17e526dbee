"""One record per released model version: everything that differs between them stands here and nowhere else.

Sources: the model cards and `preprocessor_config.json` on the hub, the chat templates inside the paddlex 3.7.2 wheel
(`paddlex/inference/genai/chat_templates/`), ERNIEKit's `chat_template_utils.py`. A golden test renders every record and
compares it with what the wheel's templates render.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType

from sft.errors import UsageError
from sft.types import Task

# Special tokens, the same in all versions.
BEGIN = "<|begin_of_sentence|>"
IMAGE_START, IMAGE_TOKEN, IMAGE_END = "<|IMAGE_START|>", "<|IMAGE_PLACEHOLDER|>", "<|IMAGE_END|>"
EOS, EOS_ID = "</s>", 2
TURN_END = "<|end_of_sentence|>"
OTSL_TOKENS = ("<fcel>", "<ecel>", "<lcel>", "<ucel>", "<xcel>", "<nl>")
RESERVED_IN_TEXT = (
    BEGIN,
    TURN_END,
    EOS,
    "<s>",
    IMAGE_START,
    IMAGE_TOKEN,
    IMAGE_END,
)  # control tokens; OTSL tokens are content

# The grid of the vision tower, the same in all versions: patches of 14 px, merged 2 x 2.
PATCH, MERGE = 14, 2
FACTOR = PATCH * MERGE  # 28: both sides of a resized image are multiples of it
MAX_ASPECT = 200  # the image processors raise above this

_BASE_PROMPTS = {
    Task.OCR: "OCR:",
    Task.TABLE: "Table Recognition:",
    Task.FORMULA: "Formula Recognition:",
    Task.CHART: "Chart Recognition:",
}
_NEW_PROMPTS = _BASE_PROMPTS | {Task.SPOTTING: "Spotting:", Task.SEAL: "Seal Recognition:"}

# Files a directory must hold before a server can load it, whatever wrote it.
SERVED_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.jinja",
    "inference.yml",
)
# What a downloaded release must hold before a trainer can load it; `model*.safetensors` is checked apart.
RELEASED_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "chat_template.jinja",
    "inference.yml",
)


@dataclass(frozen=True)
class ModelVersion:
    """A released PaddleOCR-VL.

    `name` is what the user types, `served_name` what the PaddleOCR client asks a server for.
    """

    name: str
    hub_id: str
    served_name: str
    pipeline_version: str
    prompts: MappingProxyType[Task, str]
    prompt_end: str  # between the prompt and the answer
    min_pixels: int | None  # None: read from the download
    max_pixels: int | None
    layout_model: str  # cuts the pages of this version's pipeline
    revision: str = "main"  # the hub's branch; the commit it resolves to is recorded beside the download
    aliases: tuple[str, ...] = field(default=())
    engines: tuple[str, ...] = ("paddleformers",)  # trainers that are known to write this version's prompt ending


MODELS: dict[str, ModelVersion] = {
    "0.9B": ModelVersion(
        name="0.9B",
        hub_id="PaddlePaddle/PaddleOCR-VL",
        served_name="PaddleOCR-VL-0.9B",
        pipeline_version="v1",
        prompts=MappingProxyType(_BASE_PROMPTS),
        prompt_end="\nAssistant: ",
        min_pixels=147_384,
        max_pixels=2_822_400,
        layout_model="PP-DocLayoutV2",
        aliases=("1.0", "PaddleOCR-VL", "PaddleOCR-VL-0.9B"),
        engines=("erniekit", "paddleformers"),
    ),
    "1.5": ModelVersion(
        name="1.5",
        hub_id="PaddlePaddle/PaddleOCR-VL-1.5",
        served_name="PaddleOCR-VL-1.5-0.9B",
        pipeline_version="v1.5",
        prompts=MappingProxyType(_NEW_PROMPTS),
        prompt_end="\nAssistant:\n",
        min_pixels=112_896,
        max_pixels=1_003_520,
        layout_model="PP-DocLayoutV3",
        aliases=("PaddleOCR-VL-1.5", "PaddleOCR-VL-1.5-0.9B"),
    ),
    "1.6": ModelVersion(
        name="1.6",
        hub_id="PaddlePaddle/PaddleOCR-VL-1.6",
        served_name="PaddleOCR-VL-1.6-0.9B",
        pipeline_version="v1.6",
        prompts=MappingProxyType(_NEW_PROMPTS),
        prompt_end="\nAssistant:\n",
        min_pixels=None,
        max_pixels=None,
        layout_model="PP-DocLayoutV3",
        aliases=("PaddleOCR-VL-1.6", "PaddleOCR-VL-1.6-0.9B"),
    ),
}
DEFAULT_MODEL = "0.9B"
# what a prompt of any version asks for
TASK_OF: dict[str, Task] = {prompt: task for version in MODELS.values() for task, prompt in version.prompts.items()}


def find(name: str) -> ModelVersion | None:
    """The record called `name`, by its name, an alias or its hub id, whatever the case; None where there is none."""
    wanted = name.lower()
    for version in MODELS.values():
        if wanted in {
            version.name.lower(),
            version.hub_id.lower(),
            *(alias.lower() for alias in version.aliases),
        }:
            return version
    return None


def get(name: str) -> ModelVersion:
    """As `find`, but an unknown name is an error with a suggestion."""
    version = find(name)
    if version is None:
        close = get_close_matches(name, MODELS, n=1, cutoff=0.3)
        hint = f"did you mean {close[0]} ? " if close else ""
        raise UsageError(
            f"no model version called {name!r}",
            hint=f"{hint}known versions: {', '.join(MODELS)}",
        )
    return version
