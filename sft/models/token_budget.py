"""How long a sample is for the trainer: image tokens by the resize rule, all others by the model's own tokenizer.

The trainers tokenize a sample in pieces and join the tokens. PaddleFormers takes a whole turn of the user, from
`User: ` to `\\nAssistant: `, as one piece and applies the resize rule twice, before its augmentation and after it
(`mm_plugin.py::PaddleOCRVLPlugin`, 1.2.0); ERNIEKit takes every part alone and resizes once (`chat_template_utils.py`,
release/v1.4). A test compares each sample with what PaddleFormers' own data set yields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft.errors import ProblemsFound
from sft.files import read_table
from sft.models.resize import smart_resize
from sft.models.versions import DEFAULT_MODEL, FACTOR, IMAGE_END, IMAGE_START, IMAGE_TOKEN, MODELS, ModelVersion
from sft.types import ImageHeader, Sample

if TYPE_CHECKING:
    from tokenizers import Tokenizer

USER = "User: "
PICTURE = IMAGE_START + IMAGE_TOKEN + IMAGE_END  # the placeholder stands once for each token of the image
ERNIEKIT, PADDLEFORMERS = "erniekit", "paddleformers"


@dataclass(frozen=True)
class Budget:
    """What decides whether a sample fits: tokenizer and pixel limits of the model, its prompt, the trainer's ways, and
    the sequence length in tokens.
    """

    tokenizer: Path
    min_pixels: int
    max_pixels: int
    max_seq_len: int
    version: ModelVersion = MODELS[DEFAULT_MODEL]
    engine: str = PADDLEFORMERS


@lru_cache(maxsize=2)
def load_tokenizer(path: Path) -> Tokenizer:
    """The `tokenizer.json` of a model directory."""
    from tokenizers import Tokenizer

    try:
        if not path.is_file():  # a pipe would wait for ever
            raise ValueError("no such file")
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust side raises plain Exception
        raise ProblemsFound(
            f"not a tokenizer ({error})",
            where=str(path),
            hint="the model directory is incomplete or damaged; download it again",
        ) from error


def sample_tokens(sample: Sample, headers: list[ImageHeader], budget: Budget) -> int:
    """Length of the training sequence, not augmented: begin, pieces, ends of answers, image tokens.

    ProblemsFound for an image that the resize rule refuses.
    """
    tokenizer = load_tokenizer(budget.tokenizer)
    texts = sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in trained_texts(sample, budget))
    return sequence_tokens(
        sample,
        texts,
        [(header.width, header.height) for header in headers],
        budget,
    )


def trained_texts(sample: Sample, budget: Budget) -> list[str]:
    """The pieces of a sample as the trainer tokenizes them, outer white space stripped; one placeholder per image."""
    pieces = []
    for index, item in enumerate(sample.text_info):
        images = sum(image.matched_text_index == index for image in sample.image_info)
        parts = [PICTURE * images, item.text.strip()]
        if item.tag == "mask":
            parts = [USER, *parts, budget.version.prompt_end]
        pieces += parts if budget.engine == ERNIEKIT else ["".join(parts)]
    return pieces


def text_tokens(texts: Iterable[str], budget: Budget) -> dict[str, int]:
    """Tokens of each of some texts, on all cores; those that stand there several times are looked at once."""
    unique = list(dict.fromkeys(texts))
    encoded = load_tokenizer(budget.tokenizer).encode_batch_fast(unique, add_special_tokens=False)
    return dict(zip(unique, map(len, encoded), strict=True))


def sequence_tokens(sample: Sample, texts: int, sizes: Sequence[tuple[int, int]], budget: Budget) -> int:
    """`sample_tokens` where the tokens of all pieces together are known, and (width, height) of each image."""
    pictures = sum(picture_tokens(width, height, budget) for width, height in sizes)
    return fixed_tokens(sample, texts) + pictures


def fixed_tokens(sample: Sample, texts: int) -> int:
    """The tokens of a sample without those of its images: begin, pieces, and the end of each answer.

    texts: of all pieces of `trained_texts`, in which each image is one token already.
    """
    begin = 1
    ends = sum(item.tag == "no_mask" for item in sample.text_info)
    return begin + texts + ends - len(sample.image_info)


def trained_size(width: int, height: int, budget: Budget) -> tuple[int, int]:
    """(height, width) that is trained of an image of so many pixels as stored, not augmented; ValueError where the
    trainer refuses it.
    """
    limits = {"min_pixels": budget.min_pixels, "max_pixels": budget.max_pixels}
    tall, wide = smart_resize(
        height,
        width,
        **limits,
    )
    return (
        smart_resize(
            tall,
            wide,
            **limits,
        )
        if budget.engine == PADDLEFORMERS
        else (tall, wide)
    )


def picture_tokens(width: int, height: int, budget: Budget) -> int:
    """Tokens of an image of so many pixels as stored, not augmented. ProblemsFound where the trainer refuses it."""
    try:
        tall, wide = trained_size(width, height, budget)
    except ValueError as error:
        raise ProblemsFound(
            f"[image.aspect] image of {width} x {height} px: {error}",
            hint="cut it into pieces, or raise max_pixels",
        ) from error
    return tall * wide // FACTOR**2


def pixel_limits(model_dir: Path) -> tuple[int, int]:
    """(min_pixels, max_pixels) of a model directory, whichever of the layouts its preprocessor_config.json has."""
    path = model_dir / "preprocessor_config.json"
    low, high = limits_in(read_table(path))
    if type(low) is not int or type(high) is not int or not 0 < low <= high:
        raise ProblemsFound(
            f"no usable pixel limits: min_pixels {low!r}, max_pixels {high!r}",
            where=str(path),
            hint="fetch the model directory again",
        )
    return low, high


def limits_in(config: Mapping[str, Any]) -> tuple[Any, Any]:
    """What a preprocessor_config.json says of (min_pixels, max_pixels), None where it says nothing.

    Releases keep the limits at the top; newer files under "size", as min_pixels and max_pixels or as shortest_edge and
    longest_edge, which are pixels too and no edges.
    """
    size = config.get("size")
    size = size if isinstance(size, dict) else {}
    low = config.get("min_pixels") or size.get("min_pixels") or size.get("shortest_edge")
    high = config.get("max_pixels") or size.get("max_pixels") or size.get("longest_edge")
    return low, high
