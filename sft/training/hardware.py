"""What a run needs of a GPU: memory and hours, from arithmetic and from the times that users have published.

A micro-step of T tokens needs, in GB of 10^9 bytes,

    full    17.5 + 0.0065·T     18 bytes a weight: bf16, float32 master, gradient and two moments
    LoRA     6.8 + 0.0065·T     2 bytes a weight, the adapters, what the framework holds

and a token, with all activations computed twice, 8 operations for each weight of the language model and 4·8 for each of
the vision tower (four patches a token); LoRA saves the quarter that the gradients of the weights take. Of a card's
dense bf16 rate 13 % are reached. The offsets, the factor of T and the 13 % are fitted to PaddleFormers' published
Bengali runs (29,605 samples, 2 epochs, taken as 250 tokens a sample: A800 full 30 GB in 1 h 36 min, LoRA 20 GB in 1 h
46 min; RTX 4090D full 24 GB in 3 h 17 min, LoRA 13 GB in 2 h 01 min). There memory is off by 3 % at most, hours by a
third. Nothing else that is published says how long its samples are, so both are known for short samples only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from sft.errors import UsageError

Method = Literal["full", "lora"]
LANGUAGE_WEIGHTS, VISION_WEIGHTS = 0.36e9, 0.41e9
MEMORY_OFFSET: dict[Method, float] = {"full": 17.5, "lora": 6.8}  # GB
MEMORY_PER_TOKEN = 0.0065  # GB
REACHED = 0.13  # of a card's dense bf16 rate
MEMORY_ERROR, TIME_ERROR = 0.03, 0.33  # on the published runs
KEPT_FREE = 0.08  # of the memory of a card, for fragments and other programs
BF16 = (8, 0)
SAMPLES_PER_UPDATE = 64
MOST_AT_ONCE = 8


@dataclass(frozen=True)
class GpuCard:
    """One kind of GPU as its maker describes it: GB, compute capability, dense bf16 operations a second in 10^12."""

    name: str
    memory: float
    capability: tuple[int, int]
    rate: float


CARDS: dict[str, GpuCard] = {
    card.name: card
    for card in (
        GpuCard("3060", 12, (8, 6), 25.6),
        GpuCard("3080", 10, (8, 6), 59.5),
        GpuCard("3090", 24, (8, 6), 71),
        GpuCard("4060ti", 16, (8, 9), 44),
        GpuCard("4070", 12, (8, 9), 58.3),
        GpuCard("4080", 16, (8, 9), 97.5),
        GpuCard("4090d", 24, (8, 9), 147),
        GpuCard("4090", 24, (8, 9), 165),
        GpuCard("5070", 12, (12, 0), 61.7),
        GpuCard("5070ti", 16, (12, 0), 87.9),
        GpuCard("5080", 16, (12, 0), 112.6),
        GpuCard("5090", 32, (12, 0), 209.5),
        GpuCard("L4", 24, (8, 9), 121),
        GpuCard("L40S", 48, (8, 9), 362),
        GpuCard("A10", 24, (8, 6), 125),
        GpuCard("A100-40", 40, (8, 0), 312),
        GpuCard("A100", 80, (8, 0), 312),
        GpuCard("A800", 80, (8, 0), 312),
        GpuCard("H100", 80, (9, 0), 989),
        GpuCard("H200", 141, (9, 0), 989),
        GpuCard("T4", 16, (7, 5), 0),
        GpuCard("V100", 32, (7, 0), 0),
    )
}


def card_named(name: str) -> GpuCard:
    """The card called `name`, whatever the case and whether RTX stands before it."""
    wanted = (
        name.lower()
        .replace(
            "rtx",
            "",
        )
        .replace(
            "nvidia",
            "",
        )
        .replace(
            " ",
            "",
        )
        .strip("-_")
    )
    for card in CARDS.values():
        if card.name.lower() == wanted:
            return card
    close = get_close_matches(
        wanted,
        [known.lower() for known in CARDS],
        n=1,
    )
    hint = f"did you mean {close[0]} ? " if close else ""
    raise UsageError(f"no figures for a GPU called {name!r}", hint=f"{hint}known: {', '.join(CARDS)}")


def require_bf16(name: str, capability: tuple[int, int]) -> None:
    """UsageError for a card that cannot compute in bf16, in which both trainers train."""
    if capability < BF16:
        raise UsageError(
            f"{name} has compute capability {capability[0]}.{capability[1]}; training in bf16 needs 8.0 (Ampere) or"
            " newer",
            hint="rent or use another card; `sft plan DATA --gpu A100` tells what one needs",
        )


@dataclass(frozen=True)
class Need:
    """What a run needs of each of its cards. memory in GB, hours of the whole run."""

    method: Method
    batch: int
    accum: int
    memory: float
    hours: float
    fits: bool


def memory_of(method: Method, tokens: float) -> float:
    """GB of a micro-step of so many tokens, with all activations computed twice.

    >>> round(memory_of("full", 2000), 1), round(memory_of("lora", 1000), 1)
    (30.5, 13.3)
    """
    return MEMORY_OFFSET[method] + MEMORY_PER_TOKEN * tokens


def hours_of(method: Method, card: GpuCard, tokens: float, gpus: int) -> float:
    """Hours for so many tokens on so many cards.

    >>> round(hours_of("full", CARDS["A800"], 29605 * 2 * 250, 1), 1)
    1.6
    """
    passes = 8 if method == "full" else 6
    work = tokens * passes * (LANGUAGE_WEIGHTS + 4 * VISION_WEIGHTS)
    return work / (card.rate * 1e12 * REACHED * gpus) / 3600


def propose(card: GpuCard, *, mean: float, largest: int, samples: int, epochs: float, gpus: int) -> list[Need]:
    """For both methods the most samples at once that fit, with the accumulation that makes about 64 an update.

    mean, largest: tokens of a sample. A micro-step is taken as (B - 1) samples of the mean and the largest one.
    """
    require_bf16(
        card.name,
        card.capability,
    )
    room = card.memory * (1 - KEPT_FREE)
    needs = []
    for method in MEMORY_OFFSET:
        most = min(
            MOST_AT_ONCE,
            max(
                1,
                samples // gpus,
            ),
        )
        sizes = [
            (
                batch,
                memory_of(
                    method,
                    largest + (batch - 1) * mean,
                ),
            )
            for batch in range(
                most,
                0,
                -1,
            )
        ]
        batch, memory = next((size for size in sizes if size[1] <= room), sizes[-1])
        accum = max(
            1,
            min(
                math.ceil(SAMPLES_PER_UPDATE / gpus / batch),
                samples // (gpus * batch),
            ),
        )
        hours = hours_of(
            method,
            card,
            samples * epochs * mean,
            gpus,
        )
        needs.append(
            Need(
                method,
                batch,
                accum,
                memory,
                hours,
                memory <= room,
            )
        )
    return needs
