"""The arithmetic against its formula, and that it says what it computes."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import assume, given
from hypothesis import strategies as st

from sft.cli import sft
from sft.errors import UsageError
from sft.training.config import BASE_LEARNING_RATE
from sft.training.plan import Plan, as_dict, breakdown, fit_batch, keep_update, make_plan, scale_rate

EXAMPLE: dict[str, Any] = {"samples": 29605, "epochs": 2, "gpus": 1, "batch": 8, "accum": 8}
small = st.integers(1, 64)
epochs = st.integers(1, 10_000_000).map(lambda millionths: float(Decimal(millionths) / 1_000_000))


def test_the_example_of_the_guide() -> None:
    plan = make_plan(**EXAMPLE)
    assert (plan.max_steps, plan.warmup_steps, plan.samples_per_update) == (926, 10, 64)
    assert (plan.save_steps, plan.logging_steps) == (186, 4)
    assert (plan.learning_rate, plan.min_learning_rate) == (BASE_LEARNING_RATE, 5e-7)


@given(st.integers(1, 10**7), epochs, small, small, small)
def test_formula(samples: int, often: float, gpus: int, batch: int, accum: int) -> None:
    assume(gpus * batch * accum <= samples)
    plan = make_plan(samples=samples, epochs=often, gpus=gpus, batch=batch, accum=accum)
    exact = Fraction(Decimal(repr(often))) * samples / (gpus * batch * accum)
    assert plan.max_steps == math.ceil(exact)
    assert plan.max_steps >= 1
    assert (
        (plan.max_steps - 1) * plan.samples_per_update
        < samples * Fraction(Decimal(repr(often)))
        <= plan.max_steps * plan.samples_per_update
    )
    assert plan.warmup_steps == (-(-plan.max_steps // 100) if plan.max_steps > 100 else 0), "one would run at rate 0"
    assert 1 <= plan.save_steps <= 200
    assert 1 <= plan.logging_steps <= plan.max_steps
    assert plan.save_steps == 200 or plan.save_steps * 5 < plan.max_steps + 5  # five times a run


def test_a_tenth_is_what_was_typed() -> None:
    assert make_plan(samples=10, epochs=0.1, gpus=1, batch=1, accum=1).max_steps == 1
    assert make_plan(samples=1000, epochs=2.3, gpus=1, batch=1, accum=1).max_steps == 2300
    assert make_plan(samples=100, epochs=1e-7, gpus=1, batch=1, accum=1).max_steps == 1


@given(st.integers(1, 200), st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), st.integers(1, 5))
def test_whole_passes(samples: int, often: int, gpus: int, batch: int, accum: int) -> None:
    """Against the trainer's loop, step by step: a sampler that gives each rank its part, an update every A batches."""
    assume(gpus * batch * accum <= samples)
    plan = make_plan(samples=samples, epochs=often, gpus=gpus, batch=batch, accum=accum, passes=True)
    seen = dict.fromkeys(range(samples), 0)
    updates = 0
    accum = min(accum, math.ceil(samples // gpus / batch))
    for _ in range(often):
        ranks = [list(range(rank, samples // gpus * gpus, gpus)) for rank in range(gpus)]
        for micro in range(math.ceil(len(ranks[0]) / batch)):
            for rank in ranks:
                for row in rank[micro * batch : (micro + 1) * batch]:
                    seen[row] += 1
            updates += (micro + 1) % accum == 0
            if updates == plan.max_steps:
                break
    assert updates == plan.max_steps
    assert sum(times == 0 for times in seen.values()) >= samples % gpus
    assert sum(times == often for times in seen.values()) == samples - max(plan.left_over, samples % gpus)
    assert plan.epochs_seen == often


def test_whole_passes_are_said_beside_the_formula() -> None:
    rows = {name: (how, result) for name, how, result in breakdown(make_plan(**EXAMPLE, passes=True))}
    assert rows["max_steps"][1] == "926"
    assert rows["max_steps, whole passes"] == ("ceil(E · floor(ceil(29605 / 8) / A)) = ceil(2 · 462)", "924")
    assert rows["left over"][1] == "37"
    assert "never trained" not in rows
    four = {name: result for name, _, result in breakdown(make_plan(**{**EXAMPLE, "gpus": 4}, passes=True))}
    assert four["never trained"] == "1"
    short = {name: (how, result) for name, how, result in breakdown(make_plan(**EXAMPLE, limit=90))}
    assert short["warmup_steps"][1] == "0" and "rate 0" in short["warmup_steps"][0]


def test_limit() -> None:
    plan = make_plan(**EXAMPLE, limit=100)
    assert (plan.max_steps, plan.wanted_steps, plan.warmup_steps) == (100, 926, 0)
    assert plan.epochs_seen == pytest.approx(6400 / 29605)
    assert make_plan(**EXAMPLE, limit=5000).max_steps == 926
    assert any("min(926, 100)" in how and "0.22 times instead of 2" in how for _, how, _ in breakdown(plan))


@given(st.integers(1, 8), st.integers(1, 24), st.integers(1, 24), st.integers(1, 16))
def test_keep_update(gpus: int, batch: int, accum: int, to: int) -> None:
    plan = make_plan(samples=10**6, epochs=1, gpus=gpus, batch=batch, accum=accum)
    found = keep_update(plan, to)
    for way in found:
        assert (way.gpus, way.samples_per_update) == (to, plan.samples_per_update)
        assert (way.max_steps, way.learning_rate, way.warmup_steps) == (
            plan.max_steps,
            plan.learning_rate,
            plan.warmup_steps,
        )
        assert (way.batch <= batch and way.accum <= accum) if to > gpus else (way.batch >= batch and way.accum >= accum)
    total = gpus * batch * accum
    pairs = [(b, a) for b in range(1, total + 1) for a in ([total // to // b] if total % (to * b) == 0 else [])]
    allowed = [(b, a) for b, a in pairs if ((b <= batch and a <= accum) if to > gpus else (b >= batch and a >= accum))]
    assert [(way.batch, way.accum) for way in found] == allowed  # all of them, and no other


def test_keep_update_examples() -> None:
    plan = make_plan(**EXAMPLE)
    assert [(way.batch, way.accum) for way in keep_update(plan, 4)] == [(2, 8), (4, 4), (8, 2)]
    assert keep_update(plan, 1) == [plan]
    assert keep_update(plan, 3) == []
    assert keep_update(plan, 128) == []
    with pytest.raises(UsageError, match="gpus is 0"):
        keep_update(plan, 0)


def test_keep_update_of_large_numbers_ends() -> None:
    plan = make_plan(samples=10**13, epochs=1, gpus=1, batch=8, accum=10**9)
    assert [(way.batch, way.accum) for way in keep_update(plan, 2)] == [(4, 10**9), (5, 8 * 10**8), (8, 5 * 10**8)]


def test_scale_rate() -> None:
    scaled = scale_rate(make_plan(**EXAMPLE), 4)
    assert (scaled.gpus, scaled.batch, scaled.accum) == (4, 8, 8)
    assert scaled.learning_rate == pytest.approx(4 * BASE_LEARNING_RATE)
    assert (scaled.samples_per_update, scaled.max_steps) == (256, 232)
    assert scale_rate(scaled, 1).learning_rate == pytest.approx(BASE_LEARNING_RATE)


def test_nonsense_is_refused_all_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        make_plan(samples=0, epochs=float("nan"), gpus=0, batch=-1, accum=0, learning_rate=3.0, limit=0)
    for name in (
        "samples (D) is 0",
        "epochs (E) is nan",
        "gpus (G) is 0",
        "batch (B) is -1",
        "accum (A) is 0",
        "learning rate is 3",
        "max steps is 0",
    ):
        assert name in caught.value.message
    assert caught.value.message.count(";") == 6
    for wrong in (
        {"epochs": math.inf},
        {"epochs": 0},
        {"epochs": -1},
        {"learning_rate": 0},
        {"learning_rate": math.nan},
        {"learning_rate": 1},
    ):
        with pytest.raises(UsageError):
            make_plan(**{**EXAMPLE, **wrong})


@pytest.mark.parametrize(
    ("samples", "gpus", "example"),
    [
        (63, 1, "--batch 8 --accum 1"),
        (5, 1, "--batch 5 --accum 1"),
        (9, 4, "--batch 2 --accum 1"),
        (3, 4, "--gpus 3 --batch 1 --accum 1"),
    ],
)
def test_more_per_update_than_there_is(samples: int, gpus: int, example: str) -> None:
    with pytest.raises(
        UsageError, match=re.escape(f"G·B·A = {gpus}·8·8 = {gpus * 64} samples, but there are only D = {samples}")
    ) as caught:
        make_plan(samples=samples, epochs=1, gpus=gpus, batch=8, accum=8)
    assert example in str(caught.value.hint)
    numbers: dict[str, Any] = {name: int(value) for name, value in re.findall(r"--(\w+) (\d+)", example)}
    make_plan(**{"samples": samples, "epochs": 1, "gpus": gpus, **numbers})  # what the hint says works


@given(st.integers(1, 5000), st.integers(1, 8), small, small)
def test_fit_batch(samples: int, gpus: int, batch: int, accum: int) -> None:
    fitted, steps = fit_batch(samples, gpus=gpus, batch=batch, accum=accum)
    assert 1 <= fitted <= batch
    assert 1 <= steps <= accum
    if samples >= gpus:
        assert gpus * fitted * steps <= samples
    if gpus * batch * accum <= samples:
        assert (fitted, steps) == (batch, accum)


def test_sums_hold_factors_and_results() -> None:
    rows = {name: (how, result) for name, how, result in breakdown(make_plan(**EXAMPLE))}
    assert rows["samples per update"] == ("G·B·A = 1·8·8", "64")
    assert rows["max_steps"] == ("ceil(D·E / (G·B·A)) = ceil(29605·2 / 64) = ceil(925.16)", "926")
    assert rows["warmup_steps"] == ("ceil(1 % · 926) = ceil(9.26)", "10")
    assert rows["save_steps"] == ("min(200, ceil(926 / 5))", "186")
    assert rows["learning_rate"] == ("cosine down to 5e-07 (a tenth)", "5e-06")


def test_as_dict_is_json() -> None:
    plan = make_plan(**EXAMPLE)
    found = json.loads(json.dumps(as_dict(plan)))
    assert found["max_steps"] == 926
    assert (
        Plan(
            **{name: found[name] for name in ("samples", "epochs", "gpus", "batch", "accum", "learning_rate", "limit")}
        )
        == plan
    )


def command(*words: str) -> Result:
    return CliRunner().invoke(sft, ["plan", *words])


def test_command() -> None:
    done = command("--samples", "29605", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["max_steps"], found["warmup_steps"], found["epochs_seen"]) == (926, 10, pytest.approx(2, abs=0.01))
    done = command("--samples", "29605", "--to-gpus", "4", "--json")
    found = json.loads(done.stdout)
    assert [way["batch"] for way in found["keep_update"]] == [2, 4, 8]
    assert found["scale_rate"]["max_steps"] == 232
    text = command("--samples", "29605", "-E", "2", "-G", "1", "-B", "8", "-A", "8").stdout
    assert "ceil(29605·2 / 64)" in text
    assert "926" in text


@pytest.mark.parametrize("words", [(), ("--samples", "many"), ("--samples", "29605", "-B", "x")])
def test_command_usage(words: tuple[str, ...]) -> None:
    assert command(*words).exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("--samples", "0"),
        ("--samples", "10"),
        ("--samples", "29605", "-E", "nan"),
        ("--samples", "29605", "--to-gpus", "0"),
    ],
)
def test_command_with_numbers_that_make_no_sense(words: tuple[str, ...]) -> None:
    done = command(*words)
    assert isinstance(done.exception, UsageError)  # `main` turns it into a sentence and this exit code
    assert done.exception.exit_code == 2
    assert not done.stdout
