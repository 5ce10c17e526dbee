"""The tensors of a PaddleOCR-VL, name and shape, computed from its config.json: what a directory must hold, with no
other directory to compare it with.

Names and shapes are those that the trainer's own classes write (a test compares them) and releases have. Releases also
hold a pooling head of the vision tower (`visual.vision_model.head.*`), which nothing uses.
"""

from __future__ import annotations

from typing import Any

from sft.errors import ProblemsFound
from sft.models.versions import MERGE

Shapes = dict[str, list[int]]
UNUSED = "visual.vision_model.head."
PACKED_POSITIONS = 32_768  # rows of the table that no stage trains, in every release
CHANNELS = 3
TEXT, VISION = "model", "visual.vision_model"
_TEXT_KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)
_VISION_KEYS = ("hidden_size", "intermediate_size", "num_hidden_layers", "image_size", "patch_size")
LARGEST = 10**7  # above this no size of a model is meant
MOST_LAYERS = 1000


def expected_shapes(config: dict[str, Any]) -> Shapes:
    """name → shape of every tensor that a model with this config.json has, without the unused head.

    Reads the layout of the releases and the one of Transformers 5 (`text_config`). ProblemsFound where a size is
    missing or none.
    """
    nested = config.get("text_config")
    text = {**config, **nested} if isinstance(nested, dict) else config
    vision = config.get("vision_config")
    if not isinstance(vision, dict):
        raise ProblemsFound("config.json has no vision_config")
    language = _sizes(text, _TEXT_KEYS, "config.json")
    tower = _sizes(vision, _VISION_KEYS, "vision_config of config.json")
    heads = language["num_attention_heads"]
    head_dim = text.get("head_dim") or language["hidden_size"] // heads
    if type(head_dim) is not int or not 0 < head_dim <= LARGEST:
        raise ProblemsFound(f"config.json has head_dim {head_dim!r}")
    return {
        **_language(language, head_dim),
        **_vision(tower),
        **_projector(tower["hidden_size"], language["hidden_size"]),
    }


def _sizes(table: dict[str, Any], keys: tuple[str, ...], where: str) -> dict[str, int]:
    sizes = {}
    for key in keys:
        value = table.get(key)
        most = MOST_LAYERS if key == "num_hidden_layers" else LARGEST
        if type(value) is not int or not 0 < value <= most:
            raise ProblemsFound(f"{where} has {key} {value!r}")
        sizes[key] = value
    return sizes


def _language(sizes: dict[str, int], head_dim: int) -> Shapes:
    width = sizes["hidden_size"]
    inner = sizes["intermediate_size"]
    queries = sizes["num_attention_heads"] * head_dim
    keys = sizes["num_key_value_heads"] * head_dim
    words = sizes["vocab_size"]
    shapes: Shapes = {
        "lm_head.weight": [words, width],
        f"{TEXT}.embed_tokens.weight": [words, width],
        f"{TEXT}.norm.weight": [width],
    }
    for number in range(sizes["num_hidden_layers"]):
        layer = f"{TEXT}.layers.{number}"
        shapes |= {
            f"{layer}.input_layernorm.weight": [width],
            f"{layer}.post_attention_layernorm.weight": [width],
            f"{layer}.self_attn.q_proj.weight": [queries, width],
            f"{layer}.self_attn.k_proj.weight": [keys, width],
            f"{layer}.self_attn.v_proj.weight": [keys, width],
            f"{layer}.self_attn.o_proj.weight": [width, queries],
            f"{layer}.mlp.gate_proj.weight": [inner, width],
            f"{layer}.mlp.up_proj.weight": [inner, width],
            f"{layer}.mlp.down_proj.weight": [width, inner],
        }
    return shapes


def _vision(sizes: dict[str, int]) -> Shapes:
    width = sizes["hidden_size"]
    inner = sizes["intermediate_size"]
    patch = sizes["patch_size"]
    side = sizes["image_size"] // patch
    shapes: Shapes = {
        f"{VISION}.embeddings.packing_position_embedding.weight": [PACKED_POSITIONS, width],
        f"{VISION}.embeddings.patch_embedding.weight": [width, CHANNELS, patch, patch],
        f"{VISION}.embeddings.patch_embedding.bias": [width],
        f"{VISION}.embeddings.position_embedding.weight": [side**2, width],
        **_with_bias(f"{VISION}.post_layernorm", [width]),
    }
    for number in range(sizes["num_hidden_layers"]):
        layer = f"{VISION}.encoder.layers.{number}"
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= _with_bias(f"{layer}.{norm}", [width])
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _with_bias(f"{layer}.self_attn.{part}", [width, width])
        shapes |= _with_bias(
            f"{layer}.mlp.fc1",
            [inner, width],
        )
        shapes |= _with_bias(
            f"{layer}.mlp.fc2",
            [width, inner],
        )
    return shapes


def _projector(vision: int, language: int) -> Shapes:
    merged = vision * MERGE**2
    return {
        **_with_bias("mlp_AR.pre_norm", [vision]),
        **_with_bias("mlp_AR.linear_1", [merged, merged]),
        **_with_bias("mlp_AR.linear_2", [language, merged]),
    }


def _with_bias(name: str, shape: list[int]) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
