"""How long a sample is for the trainer: image tokens by the resize rule, text tokens by the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft.errors import ProblemsFound
from sft.files import read_table
from sft.models.resize import image_tokens
from sft.types import ImageHeader, Sample

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# `<|begin_of_sentence|>`, "User: " (3), "\nAssistant: " (4), end token; two more per image. Measured on the released
# tokenizer, see the template in ERNIEKit's chat_template_utils.py.
SAMPLE_TOKENS, TURN_TOKENS, IMAGE_TOKENS = 1, 3 + 4 + 1, 2


@dataclass(frozen=True)
class Budget:
    """What decides whether a sample fits: the model's tokenizer and pixel limits, and the sequence length in tokens."""

    tokenizer: Path
    min_pixels: int
    max_pixels: int
    max_seq_len: int


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
    """Length of the training sequence: 1 + Σ turns (3 + P + 4 + R + 1) + Σ images (N + 2), texts stripped as trainers
    do.

    ProblemsFound for an image that the resize rule refuses.
    """
    tokenizer = load_tokenizer(budget.tokenizer)
    texts = sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in trained_texts(sample))
    return sequence_tokens(
        sample,
        texts,
        [(header.width, header.height) for header in headers],
        budget,
    )


def trained_texts(sample: Sample) -> list[str]:
    """The texts of a sample as trainers see them."""
    return [item.text.strip() for item in sample.text_info]


def text_tokens(texts: Iterable[str], budget: Budget) -> dict[str, int]:
    """Tokens of each of some texts, on all cores; those that stand there several times are looked at once."""
    unique = list(dict.fromkeys(texts))
    encoded = load_tokenizer(budget.tokenizer).encode_batch_fast(unique, add_special_tokens=False)
    return dict(zip(unique, map(len, encoded), strict=True))


def sequence_tokens(sample: Sample, texts: int, sizes: Sequence[tuple[int, int]], budget: Budget) -> int:
    """`sample_tokens` where the tokens of all texts together are known, and (width, height) of each image."""
    turns = sum(item.tag == "no_mask" for item in sample.text_info)
    try:
        pictures = sum(
            image_tokens(height, width, min_pixels=budget.min_pixels, max_pixels=budget.max_pixels) + IMAGE_TOKENS
            for width, height in sizes
        )
    except ValueError as error:
        said = ", ".join(f"{width} x {height} px" for width, height in sizes)
        raise ProblemsFound(
            f"[image.aspect] image of {said}: {error}", hint="cut it into pieces, or raise max_pixels"
        ) from error
    return SAMPLE_TOKENS + turns * TURN_TOKENS + texts + pictures


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
