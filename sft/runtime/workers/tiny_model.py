"""Runs inside the trainer's environment: builds a PaddleOCR-VL with random weights from the sizes on stdin.

    echo '{"out": "DIR", "seed": 7, "config": {...}}' | python tiny_model.py

The trainer's own classes write the weights, so tensor names, shapes and the layout of config.json are those of a real
checkpoint. Imports nothing of the workbench: it is started as a file by another interpreter.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ.setdefault("FLAGS_use_cuda_managed_memory", "0")


def spread(model: Any, paddle: Any) -> None:
    """Give every weight matrix a standard deviation of 1/sqrt(fan-in).

    The released sizes start well from a fixed 0.02; at a width of 64 to 128 that leaves attention flat and the image
    features near zero, and the model needs thousands of steps before it looks at the picture.
    """
    for name, parameter in model.named_parameters():
        if "norm" in name or len(parameter.shape) < 2 or "packing_position" in name:
            continue
        embedding = "embed" in name and "patch" not in name
        fan_in = 1
        for size in parameter.shape[1:] if len(parameter.shape) > 2 else parameter.shape[:1]:
            fan_in *= size
        std = 0.1 if embedding else fan_in**-0.5
        parameter.set_value(paddle.randn(parameter.shape) * std)


def main() -> None:
    """Read the order from stdin, build, save."""
    order = json.load(sys.stdin)
    import paddle
    from paddleformers.transformers.paddleocr_vl.configuration import PaddleOCRVLConfig
    from paddleformers.transformers.paddleocr_vl.modeling import PaddleOCRVLForConditionalGeneration

    paddle.set_device("cpu")
    paddle.seed(order["seed"])
    model = PaddleOCRVLForConditionalGeneration(PaddleOCRVLConfig(**order["config"]))
    spread(model, paddle)
    model.save_pretrained(order["out"], save_checkpoint_format="flex_checkpoint")
    total = sum(int(parameter.size) for parameter in model.parameters())
    print(json.dumps({"parameters": total}))


if __name__ == "__main__":
    main()
