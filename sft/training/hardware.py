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
from typing import Literal

from sft.runtime import GpuCard, require_bf16

Tuning = Literal["full", "lora"]
LANGUAGE_WEIGHTS, VISION_WEIGHTS = 0.36e9, 0.41e9
MEMORY_OFFSET: dict[Tuning, float] = {"full": 17.5, "lora": 6.8}  # GB
MEMORY_PER_TOKEN = 0.0065  # GB
REACHED = 0.13  # of a card's dense bf16 rate
MEMORY_ERROR, TIME_ERROR = 0.03, 0.33  # on the published runs
KEPT_FREE = 0.08  # of the memory of a card, for fragments and other programs
SAMPLES_PER_UPDATE = 64
MOST_AT_ONCE = 8


@dataclass(frozen=True)
class Need:
    """What a run needs of each of its cards. memory in GB, hours of the whole run, None for a card whose rate is
    not known.
    """

    method: Tuning
    batch: int
    accum: int
    memory: float
    hours: float | None
    fits: bool


def memory_of(method: Tuning, tokens: float) -> float:
    """GB of a micro-step of so many tokens, with all activations computed twice.

    >>> round(memory_of("full", 2000), 1), round(memory_of("lora", 1000), 1)
    (30.5, 13.3)
    """
    return MEMORY_OFFSET[method] + MEMORY_PER_TOKEN * tokens


def hours_of(method: Tuning, card: GpuCard, tokens: float, gpus: int) -> float | None:
    """Hours for so many tokens on so many cards; None for a card whose rate is not known.

    >>> from sft.runtime import gpu_card
    >>> round(hours_of("full", gpu_card("a800"), 29605 * 2 * 250, 1), 1)
    1.6
    """
    if card.rate is None:
        return None
    passes = 8 if method == "full" else 6
    work = tokens * passes * (LANGUAGE_WEIGHTS + 4 * VISION_WEIGHTS)
    return work / (card.rate * 1e12 * REACHED * gpus) / 3600


def propose(card: GpuCard, *, mean: float, largest: int, samples: int, epochs: float, gpus: int) -> list[Need]:
    """For both methods the most samples at once that fit, with the accumulation that makes about 64 an update.

    mean, largest: tokens of a sample. A micro-step is taken as (B - 1) samples of the mean and the largest one.
    """
    require_bf16(
        card.title,
        card.compute_capability,
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
