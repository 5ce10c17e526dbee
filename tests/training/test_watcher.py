"""Each rule of the watcher, on the lines that the trainers print, and what must not set it off."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from conftest import VERSION
from places import ROOT

from sft.errors import EngineError
from sft.training.config import REHEARSAL, resolve
from sft.training.engines.base import TrainingJob
from sft.training.engines.paddleformers import PaddleFormers
from sft.training.plan import make_plan
from sft.training.watcher import RULES, SLOW_LINES, STALL_SECONDS, Watcher, skipped_row

ENGINE = PaddleFormers()
LOADED = (
    "Some weights of PaddleOCRVL were not initialized from the model checkpoint at /m and are newly initialized: {}"
)
UNUSED = (
    "Some weights of the model checkpoint at /m were not used when initializing PaddleOCRVL: {}\n- This IS expected"
)


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A watcher, what it said, and lines to feed it."""

    def __init__(self, folder: Path, *, device: str = "gpu", step: int = 0) -> None:
        config, _ = resolve([("rehearsal", REHEARSAL), ("flag", {"device": device})])
        plan = make_plan(samples=400, epochs=1, gpus=1, batch=4, accum=1)
        model = folder / "model"
        model.mkdir()
        (model / "config.json").write_text(json.dumps({"vocab_size": 103424}))
        self.job = TrainingJob(folder, folder / "d.jsonl", model, VERSION, config, plan, 10)
        self.clock = Clock()
        self.spoken: list[str] = []
        self.watcher = Watcher(self.job, lambda _: None, step, say=self.spoken.append, clock=self.clock)
        self.step = step

    def losses(self, *losses: object, rate: float = 9.0) -> None:
        for loss in losses:
            self.step += 1
            self.line(f"[INFO] - loss: {loss}, x: 1, global_step: {self.step}, interval_samples_per_second: {rate}")

    def line(self, text: str) -> None:
        self.watcher(text, ENGINE)

    def rules(self) -> list[object]:
        return [warning["rule"] for warning in self.watcher.warnings]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@pytest.mark.parametrize("loss", ["nan", "inf", "-inf", "NaN"])
def test_loss_that_is_no_number_stops(watched: Watched, loss: str) -> None:
    watched.losses(2.0)
    with pytest.raises(EngineError, match=r"\[loss\.not-a-number\] .* at step 2") as caught:
        watched.losses(loss)
    assert "same again" in str(caught.value.hint)
    assert watched.watcher.loss == 2.0, "the manifest is JSON"
    json.dumps(watched.watcher.warnings, allow_nan=False)


def test_loss_of_zero_stops_at_the_third_line(watched: Watched) -> None:
    watched.losses(1.0, 0.0, 0.0, 0.1, 0.0, 0.0)
    with pytest.raises(EngineError, match=r"\[loss\.zero\]"):
        watched.losses(0.0)


def test_base_that_guesses_stops_on_a_gpu_only(tmp_path: Path) -> None:
    guess = math.log(103424)
    for name, device, step, stops in (("a", "gpu", 0, True), ("b", "cpu", 0, False), ("c", "gpu", 50, False)):
        (tmp_path / name).mkdir()
        one = Watched(tmp_path / name, device=device, step=step)
        if stops:
            with pytest.raises(EngineError, match=r"\[loss\.guessing\]"):
                one.losses(guess)
        else:
            one.losses(guess)
    (tmp_path / "d").mkdir()
    Watched(tmp_path / "d").losses(3.3, guess)  # the first line only; later it is a spike at most


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (LOADED.format("['model.layers.0.q.weight', 'visual.packing_position_embedding.weight']"), "weights.random"),
        (LOADED.format("").replace(": ", " because the shapes did not match:"), "weights.random"),
        (UNUSED.format("['language_model.layers.0.q.weight']"), "weights.unused"),
    ],
)
def test_tensors_under_other_names_stop(watched: Watched, line: str, rule: str) -> None:
    with pytest.raises(EngineError, match=rf"\[{re.escape(rule)}\]") as caught:
        watched.line(line)
    assert caught.value.where == str(watched.job.model_dir) and caught.value.exit_code == 3


def test_tensors_that_are_never_trained_are_no_matter(watched: Watched) -> None:
    names = "['visual.vision_model.embeddings.packing_position_embedding.weight', 'visual.vision_model.head.mlp.bias']"
    watched.line(LOADED.format(names))
    watched.line(UNUSED.format(names))
    watched.line("All model checkpoint weights were used when initializing PaddleOCRVL.")
    assert watched.rules() == []
    watched.line("Some weights of the model checkpoint at /m were not used when initializing the model, - This IS")
    assert watched.rules() == ["weights.unused"] and "does not say which" in watched.spoken[0]


def test_spike_warns_and_noise_does_not(watched: Watched) -> None:
    watched.losses(*[1.0, 1.2] * 4, 2.0, 2.9)
    assert watched.rules() == []
    watched.losses(5.0, 1.0)
    assert watched.rules() == ["loss.spike"] and "step 11" in watched.spoken[0]
    watched.losses(*[0.01] * 8, 0.5)
    assert watched.rules() == ["loss.spike"], "a small loss may triple"


def test_speed_that_stays_low_warns_once(watched: Watched) -> None:
    watched.losses(*[1.0] * 8, rate=60.0)
    watched.losses(*[1.0] * (SLOW_LINES - 1), rate=20.0)
    watched.losses(1.0, rate=60.0)
    assert watched.rules() == []
    watched.losses(*[1.0] * (SLOW_LINES + 1), rate=20.0)
    assert watched.rules() == ["speed.drop"]


def test_silence_warns_once_until_the_next_step(watched: Watched) -> None:
    watched.watcher.idle()
    for _ in range(3):
        watched.losses(1.0)
        watched.clock.now += 4
    watched.watcher.idle()
    assert watched.rules() == []
    watched.clock.now += STALL_SECONDS
    watched.watcher.idle()
    watched.watcher.idle()
    assert watched.rules() == ["speed.stall"]
    watched.losses(1.0)
    watched.watcher.idle()
    assert watched.rules() == ["speed.stall"]


def test_slow_trainer_is_not_a_stalled_one(watched: Watched) -> None:
    for _ in range(3):
        watched.losses(1.0)
        watched.clock.now += 300
    watched.clock.now += STALL_SECONDS
    watched.watcher.idle()
    assert watched.rules() == []


def test_skip_says_which_row_it_was(watched: Watched) -> None:
    watched.job.rows.parent.mkdir()
    rows = [{"messages": [], "images": [f"/d/{number}.png"]} for number in (1, 2, 2, 3)]
    watched.job.rows.write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = "[SKIP] This data is too long: {{'messages': [{{'role': 'user'}}], 'images': ['/d/{}.png']}}..."
    assert skipped_row(line.format(3), watched.job.rows) == 4
    assert skipped_row(line.format(2), watched.job.rows) is None, "two rows have this picture"
    assert skipped_row("[SKIP] wrong example", watched.job.rows) is None
    for _ in range(4):
        watched.line(line.format(3))
    with pytest.raises(EngineError, match="row 4 of its data") as caught:
        watched.line(line.format(3))
    assert caught.value.where == f"{watched.job.rows}:4"


def test_every_rule_is_in_the_docs_with_its_action() -> None:
    text = (ROOT / "docs" / "engines.md").read_text("utf-8")
    for code, rule in RULES.items():
        assert f"| `{code}` | {rule.action}s | {rule.when} |" in text, code
        assert rule.action == "warn" or rule.hint
    assert set(re.findall(r"^\| `([a-z.-]+)` \| (?:stops|warns) ", text, re.MULTILINE)) == set(RULES)


def test_model_that_does_not_say_its_vocabulary_is_not_judged(tmp_path: Path) -> None:
    one = Watched(tmp_path)
    (one.job.model_dir / "config.json").write_text("[]")
    one.losses(11.5)
    assert one.watcher.loss == 11.5
