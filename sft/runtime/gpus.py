"""Cards that people name before they have them: compute capability and memory, as NVIDIA's data sheets give them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from sft.errors import UsageError

BFLOAT16 = (8, 0)  # least compute capability that computes in bfloat16, which PaddleOCR-VL is trained and served in


@dataclass(frozen=True)
class GpuModel:
    """A card. memory_gb: as it is sold (GiB)."""

    title: str
    compute_capability: tuple[int, int]
    memory_gb: int


MAKERS = ("nvidia", "geforce", "tesla")  # words of a name that tell no two cards apart
GPU_MODELS: dict[str, GpuModel] = {
    "v100": GpuModel("Tesla V100", (7, 0), 16),
    "t4": GpuModel("T4", (7, 5), 16),
    "a100": GpuModel("A100", (8, 0), 40),
    "a10080gb": GpuModel("A100 80 GB", (8, 0), 80),
    "a800": GpuModel("A800", (8, 0), 80),
    "a10": GpuModel("A10", (8, 6), 24),
    "rtx3060": GpuModel("GeForce RTX 3060", (8, 6), 12),
    "rtx3090": GpuModel("GeForce RTX 3090", (8, 6), 24),
    "l4": GpuModel("L4", (8, 9), 24),
    "l40s": GpuModel("L40S", (8, 9), 48),
    "rtx4060": GpuModel("GeForce RTX 4060", (8, 9), 8),
    "rtx4070": GpuModel("GeForce RTX 4070", (8, 9), 12),
    "rtx4080": GpuModel("GeForce RTX 4080", (8, 9), 16),
    "rtx4090": GpuModel("GeForce RTX 4090", (8, 9), 24),
    "h100": GpuModel("H100", (9, 0), 80),
    "h200": GpuModel("H200", (9, 0), 141),
    "b200": GpuModel("B200", (10, 0), 180),
    "rtx5050": GpuModel("GeForce RTX 5050", (12, 0), 8),
    "rtx5060": GpuModel("GeForce RTX 5060", (12, 0), 8),
    "rtx5060ti": GpuModel("GeForce RTX 5060 Ti", (12, 0), 16),
    "rtx5070": GpuModel("GeForce RTX 5070", (12, 0), 12),
    "rtx5070ti": GpuModel("GeForce RTX 5070 Ti", (12, 0), 16),
    "rtx5080": GpuModel("GeForce RTX 5080", (12, 0), 16),
    "rtx5090": GpuModel("GeForce RTX 5090", (12, 0), 32),
}


def gpu_model(name: str) -> GpuModel:
    """The card called `name`, however it is written.

    >>> gpu_model("NVIDIA GeForce RTX 5060 Ti").memory_gb
    16
    >>> gpu_model("4090").title
    'GeForce RTX 4090'
    """
    words = re.split(r"[\s_-]+", name.lower())
    key = "".join(word for word in words if word not in MAKERS)
    if key in GPU_MODELS:
        return GPU_MODELS[key]
    if f"rtx{key}" in GPU_MODELS:
        return GPU_MODELS[f"rtx{key}"]
    close = get_close_matches(key, GPU_MODELS, n=1)
    raise UsageError(
        f"no card is known by the name {name!r}",
        hint=(f"did you mean {close[0]}? " if close else "") + f"Known: {', '.join(GPU_MODELS)}",
    )
