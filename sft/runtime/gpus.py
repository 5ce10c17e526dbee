"""Cards that people name before they have them, as NVIDIA's data sheets describe them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from sft.errors import UsageError

BFLOAT16 = (8, 0)  # least compute capability that computes in bfloat16, in which PaddleOCR-VL is trained and served
MAKERS = ("nvidia", "geforce", "tesla", "rtx")  # words of a name that tell no two cards apart


@dataclass(frozen=True)
class GpuCard:
    """A card. memory: GB as it is sold; rate: dense bf16 operations a second, in 10^12, None where it is not known."""

    title: str
    memory: float
    compute_capability: tuple[int, int]
    rate: float | None = None


GPU_CARDS: dict[str, GpuCard] = {
    "v100": GpuCard("V100", 32, (7, 0)),
    "t4": GpuCard("T4", 16, (7, 5)),
    "a100-40": GpuCard("A100-40", 40, (8, 0), 312),
    "a100": GpuCard("A100", 80, (8, 0), 312),
    "a800": GpuCard("A800", 80, (8, 0), 312),
    "a10": GpuCard("A10", 24, (8, 6), 125),
    "3060": GpuCard("RTX 3060", 12, (8, 6), 25.6),
    "3080": GpuCard("RTX 3080", 10, (8, 6), 59.5),
    "3090": GpuCard("RTX 3090", 24, (8, 6), 71),
    "l4": GpuCard("L4", 24, (8, 9), 121),
    "l40s": GpuCard("L40S", 48, (8, 9), 362),
    "4060": GpuCard("RTX 4060", 8, (8, 9)),
    "4060ti": GpuCard("RTX 4060 Ti", 16, (8, 9), 44),
    "4070": GpuCard("RTX 4070", 12, (8, 9), 58.3),
    "4080": GpuCard("RTX 4080", 16, (8, 9), 97.5),
    "4090d": GpuCard("RTX 4090D", 24, (8, 9), 147),
    "4090": GpuCard("RTX 4090", 24, (8, 9), 165),
    "h100": GpuCard("H100", 80, (9, 0), 989),
    "h200": GpuCard("H200", 141, (9, 0), 989),
    "b200": GpuCard("B200", 180, (10, 0)),
    "5050": GpuCard("RTX 5050", 8, (12, 0)),
    "5060": GpuCard("RTX 5060", 8, (12, 0)),
    "5060ti": GpuCard("RTX 5060 Ti", 16, (12, 0)),
    "5070": GpuCard("RTX 5070", 12, (12, 0), 61.7),
    "5070ti": GpuCard("RTX 5070 Ti", 16, (12, 0), 87.9),
    "5080": GpuCard("RTX 5080", 16, (12, 0), 112.6),
    "5090": GpuCard("RTX 5090", 32, (12, 0), 209.5),
}


def gpu_card(name: str) -> GpuCard:
    """The card called `name`, however it is written.

    >>> gpu_card("NVIDIA GeForce RTX 5060 Ti").memory
    16
    >>> gpu_card("rtx4090").title
    'RTX 4090'
    """
    words = [word.removeprefix("rtx") for word in re.split(r"[\s_]+", name.lower())]
    key = "".join(word for word in words if word not in MAKERS)
    if key in GPU_CARDS:
        return GPU_CARDS[key]
    close = get_close_matches(key, GPU_CARDS, n=1)
    hint = f"did you mean {close[0]} ? " if close else ""
    raise UsageError(f"no figures for a GPU called {name!r}", hint=f"{hint}known: {', '.join(GPU_CARDS)}")


def require_bf16(name: str, capability: tuple[int, int], *, doing: str = "training") -> None:
    """UsageError for a card that cannot compute in bf16, in which both trainers train and every server serves."""
    if capability < BFLOAT16:
        raise UsageError(
            f"{name} has compute capability {capability[0]}.{capability[1]}; {doing} in bf16 needs 8.0 (Ampere) or"
            " newer",
            hint="rent or use another card: RTX 30xx or newer, A10, L4, A100 …",
        )
