"""The tensors of a model, computed from its config.json."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sft.errors import ProblemsFound
from sft.models.architecture import expected_shapes

CONFIG: dict[str, Any] = {
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 6,
    "vocab_size": 20,
    "vision_config": {
        "hidden_size": 4,
        "intermediate_size": 6,
        "num_hidden_layers": 1,
        "image_size": 28,
        "patch_size": 14,
    },
}


def test_shapes_by_hand() -> None:
    shapes = expected_shapes(CONFIG)
    assert len(shapes) == 3 + 2 * 9 + (4 + 2 + 16) + 6
    assert shapes["model.layers.1.self_attn.q_proj.weight"] == [12, 8]
    assert shapes["model.layers.0.self_attn.k_proj.weight"] == [6, 8]
    assert shapes["model.layers.0.self_attn.o_proj.weight"] == [8, 12]
    assert shapes["visual.vision_model.embeddings.position_embedding.weight"] == [4, 4]
    assert shapes["mlp_AR.linear_1.weight"] == [16, 16] and shapes["mlp_AR.linear_2.weight"] == [8, 16]


def test_the_layout_of_transformers_5() -> None:
    nested = {key: value for key, value in CONFIG.items() if key != "vision_config"}
    assert expected_shapes({"text_config": nested, "vision_config": CONFIG["vision_config"]}) == expected_shapes(CONFIG)


def test_the_released_size() -> None:
    """0.9B: 956 million numbers without the unused head, as the release's 1.9 GB of bfloat16."""
    text = {
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 18,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 128,
        "vocab_size": 103_424,
    }
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "image_size": 384}
    shapes = expected_shapes({**text, "vision_config": {**vision, "patch_size": 14}})
    assert 0.93e9 < sum(math.prod(shape) for shape in shapes.values()) < 0.97e9


@pytest.mark.parametrize("value", [None, 0, -1, "8", True, 1.5, 10**9])
@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "vision_config", "head_dim"])
def test_sizes_that_are_none(key: str, value: object) -> None:
    if key == "head_dim" and not value and value is not True:
        assert expected_shapes({**CONFIG, key: value})["model.layers.0.self_attn.q_proj.weight"] == [8, 8]
        return
    with pytest.raises(ProblemsFound, match=key):
        expected_shapes({**CONFIG, key: value})
