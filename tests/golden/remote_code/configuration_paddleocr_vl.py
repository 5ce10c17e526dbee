"""Settings of a tiny PaddleOCR-VL for Transformers below 5, which has no such class: what a release brings along."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig


class PaddleOCRVisionConfig(PretrainedConfig):
    """The vision tower."""

    model_type = "paddleocr_vl"
    base_config_key = "vision_config"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)


class PaddleOCRVLConfig(PretrainedConfig):
    """The language model, with the vision tower inside."""

    model_type = "paddleocr_vl"
    sub_configs = {"vision_config": PaddleOCRVisionConfig}

    def __init__(self, vision_config: dict[str, Any] | None = None, **settings: Any) -> None:
        self.vision_config = PaddleOCRVisionConfig(**(vision_config or {}))
        super().__init__(**settings)
