"""Memory and hours against what users have published, and that cards without bf16 are refused."""

from __future__ import annotations

import pytest

from sft.errors import UsageError
from sft.runtime.gpus import GPU_CARDS, gpu_card, require_bf16
from sft.training.hardware import (
    MEMORY_ERROR,
    TIME_ERROR,
    Tuning,
    hours_of,
    memory_of,
    propose,
)

PUBLISHED: list[tuple[Tuning, str, int, float, float]] = [  # method, card, samples at once, GB, hours
    ("full", "A800", 8, 30, 1.6),
    ("lora", "A800", 8, 20, 1 + 46 / 60),
    ("full", "4090d", 4, 24, 3 + 17 / 60),
    ("lora", "4090d", 4, 13, 2 + 1 / 60),
]
TOKENS = 250  # of a sample, as it is taken


@pytest.mark.parametrize(("method", "card", "batch", "memory", "hours"), PUBLISHED)
def test_published_runs(method: Tuning, card: str, batch: int, memory: float, hours: float) -> None:
    assert memory_of(method, batch * TOKENS) == pytest.approx(memory, rel=MEMORY_ERROR)
    assert hours_of(method, GPU_CARDS[card.lower()], 29605 * 2 * TOKENS, 1) == pytest.approx(hours, rel=TIME_ERROR)


def test_names() -> None:
    assert gpu_card("RTX 4090") is GPU_CARDS["4090"] and gpu_card("nvidia a100") is GPU_CARDS["a100"]
    with pytest.raises(UsageError, match="no figures for a GPU called 'A80'") as caught:
        gpu_card("A80")
    assert "did you mean a800" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["T4", "V100"])
def test_cards_without_bf16_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"compute capability 7\.\d; training in bf16 needs 8\.0"):
        propose(GPU_CARDS[name.lower()], mean=250, largest=600, samples=1000, epochs=2, gpus=1)
    require_bf16("A100", (8, 0))


def test_what_fits_is_proposed() -> None:
    def of(name: str, largest: int = 600) -> dict[str, tuple[bool, int, int]]:
        needs = propose(GPU_CARDS[name.lower()], mean=250, largest=largest, samples=30_000, epochs=2, gpus=1)
        return {need.method: (need.fits, need.batch, need.accum) for need in needs}

    assert of("A100") == {"full": (True, 8, 8), "lora": (True, 8, 8)}
    assert of("3060")["full"][0] is False and of("3060")["lora"] == (True, 1, 64)
    assert of("4090")["full"] == (True, 1, 64)
    assert of("4090", largest=4000)["full"][0] is False
    for card in GPU_CARDS.values():
        if card.compute_capability >= (8, 0):
            for need in propose(card, mean=250, largest=600, samples=30_000, epochs=2, gpus=2):
                assert not need.fits or need.memory <= card.memory
                assert 64 <= need.batch * need.accum * 2 <= 64 + 2 * need.batch


def test_a_card_of_unknown_rate_still_has_a_memory() -> None:
    needs = {
        need.method: need for need in propose(gpu_card("5060"), mean=250, largest=600, samples=1000, epochs=2, gpus=1)
    }
    assert not needs["full"].fits and needs["full"].memory > 8
    assert [need.hours for need in needs.values()] == [None, None]
