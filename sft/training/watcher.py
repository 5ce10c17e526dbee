"""Reads a trainer's log as it comes, and stops or warns by rules that docs/engines.md states in one table.

A trainer that learns nothing mostly ends with exit code 0: it trains random weights, adds up losses that are no
numbers, or leaves rows out. What it prints on the way tells.
"""

from __future__ import annotations

import json
import math
import re
import statistics
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sft.errors import EngineError, SftError
from sft.files import bounded_lines, open_input, read_json
from sft.models import NEVER_TRAINED
from sft.runtime import plain
from sft.training.engines import Engine, TrainingJob, is_skip
from sft.types import Progress

SKIPPED_SHARE = 0.01  # of the samples; more skipped lines than that and the training is not the one that was asked for
ZERO_LINES = 3  # step lines with a loss of exactly 0
GUESSING = 0.8  # of ln(vocabulary), the loss of a model that guesses
RECENT = 8  # step lines whose median is what is usual
SPIKE_FACTOR = 3.0
SPIKE_NATS = 1.0
SLOW_SHARE = 0.5
SLOW_LINES = 5
STALL_SECONDS = 600.0  # at least; a checkpoint or a first compilation may take minutes
STALL_FACTOR = 10.0
NAMES_SHOWN = 3


@dataclass(frozen=True)
class Rule:
    """What the watcher does when something is seen. `hint`: what to do instead of the same again."""

    action: Literal["stop", "warn"]
    when: str
    hint: str = ""


RULES: dict[str, Rule] = {
    "loss.not-a-number": Rule(
        "stop",
        "a step line's loss is NaN or infinite",
        "lower the learning rate (`--lr`) or look at the rows of these steps; the same command would do the same again",
    ),
    "loss.zero": Rule(
        "stop",
        f"the loss is exactly 0 in {ZERO_LINES} step lines in a row",
        "nothing is trained: no row has an answer that counts, or the numbers underflow; look at the first rows with"
        " `sft train DATA --dry-run`",
    ),
    "loss.guessing": Rule(
        "stop",
        f"on a GPU, the first loss is above {GUESSING} · ln(vocabulary): the base would know nothing",
        "the base's weights were not loaded, or its tokenizer is another model's; check the model directory",
    ),
    "weights.random": Rule(
        "stop",
        'the log names "newly initialized" tensors other than those that are never trained',
        "the base's tensor names or shapes are not those of the trainer's class: take a released model, or one that"
        " `sft export` wrote",
    ),
    "weights.unused": Rule(
        "stop",
        'the log names tensors of the base that "were not used", other than those that are never trained;'
        " without names it warns",
        "the base's tensor names are not those of the trainer's class: take a released model, or one that `sft export`"
        " wrote",
    ),
    "rows.skipped": Rule(
        "stop",
        f"the trainer has left out more than {SKIPPED_SHARE:.0%} of the samples",
        "this row passed `sft validate` and should not have; take it out of the data",
    ),
    "loss.spike": Rule(
        "warn",
        f"a loss is above {SPIKE_FACTOR:g} times the median of the last {RECENT} step lines, and by {SPIKE_NATS:g} or"
        " more",
    ),
    "speed.drop": Rule(
        "warn",
        f"samples/s are below {SLOW_SHARE} of the run's median in {SLOW_LINES} step lines in a row",
    ),
    "speed.stall": Rule(
        "warn",
        f"no step line for {STALL_FACTOR:g} times the usual time, and {STALL_SECONDS / 60:.0f} minutes or more",
    ),
}

_NEW = "newly initialized"
_UNUSED = "were not used when initializing"
_QUOTED = re.compile(r"'([^'\n]{1,4096})'")


class Watcher:
    """The last step and loss, the rows that were left out, and the warnings so far.

    Raises EngineError where a rule says stop; the caller's block then ends the trainer.
    """

    def __init__(
        self,
        job: TrainingJob,
        on_progress: Callable[[Progress], None],
        step: int,
        *,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job, self.on_progress, self.say, self.clock = job, on_progress, say, clock
        self.step = step
        self.loss: float | None = None
        self.skipped = 0
        self.warnings: list[dict[str, object]] = []
        self._first = step == 0
        self._zeros = self._slow = 0
        self._losses: deque[float] = deque(maxlen=RECENT)
        self._rates: list[float] = []
        self._times: deque[float] = deque(maxlen=RECENT + 1)
        self._stalled = False

    def __call__(self, line: str, engine: Engine) -> None:
        """One line of the log."""
        progress = engine.progress(line)
        if progress:
            self._step(progress)
        elif is_skip(line):
            self._skip(line)
        elif _NEW in line or _UNUSED in line:
            self._tensors(plain(line))

    def idle(self) -> None:
        """Nothing was printed; called several times a second."""
        if len(self._times) < 2 or self._stalled:
            return
        usual = (self._times[-1] - self._times[0]) / (len(self._times) - 1)
        silent = self.clock() - self._times[-1]
        if silent >= max(
            STALL_SECONDS,
            STALL_FACTOR * usual,
        ):
            self._stalled = True
            self._warn("speed.stall", f"no step for {silent:.0f} s, where {usual:.0f} s are usual")

    def _step(self, progress: Progress) -> None:
        self.step = progress.step
        if not math.isfinite(progress.loss):
            self._stop("loss.not-a-number", f"the loss is {progress.loss} at step {progress.step}")
        self.loss = progress.loss
        self.on_progress(
            replace(
                progress,
                max_steps=self.job.plan.max_steps,
            )
        )
        self._zero(progress.loss)
        self._guessing(progress.loss)
        self._spike(progress.loss)
        self._speed(progress.samples_per_second)
        self._times.append(self.clock())
        self._stalled = False

    def _zero(self, loss: float) -> None:
        self._zeros = self._zeros + 1 if loss == 0 else 0
        if self._zeros == ZERO_LINES:
            self._stop("loss.zero", f"the loss is exactly 0 in {ZERO_LINES} step lines, up to step {self.step}")

    def _guessing(self, loss: float) -> None:
        first, self._first = self._first, False
        if not first or self.job.config.device == "cpu":  # a rehearsal starts with random weights
            return
        vocabulary = vocabulary_size(self.job.model_dir)
        if vocabulary and loss > GUESSING * math.log(vocabulary):
            guess = math.log(vocabulary)
            self._stop("loss.guessing", f"the first loss is {loss:.2f}; a model that guesses has {guess:.2f}")

    def _spike(self, loss: float) -> None:
        if len(self._losses) == RECENT:
            usual = statistics.median(self._losses)
            if loss > SPIKE_FACTOR * usual and loss - usual >= SPIKE_NATS:
                self._warn("loss.spike", f"the loss is {loss:.3f}, where {usual:.3f} is usual")
        self._losses.append(loss)

    def _speed(self, rate: float | None) -> None:
        if rate is None or not math.isfinite(rate):
            return
        usual = statistics.median(self._rates) if len(self._rates) >= RECENT else None
        self._slow = self._slow + 1 if usual and rate < SLOW_SHARE * usual else 0
        if self._slow == SLOW_LINES and usual:
            self._warn("speed.drop", f"{rate:.3g} samples/s, where {usual:.3g} are usual")
        self._rates.append(rate)

    def _skip(self, line: str) -> None:
        self.skipped += 1
        if self.skipped > self.job.plan.samples * SKIPPED_SHARE:
            text = plain(line)
            row = skipped_row(
                text,
                self.job.rows,
            )
            where = f", row {row} of its data" if row else ""
            self._stop(
                "rows.skipped",
                f"the trainer skips rows ({self.skipped} so far{where}): {text[-200:]}",
                where=f"{self.job.rows}:{row}" if row else str(self.job.rows),
            )

    def _tensors(self, text: str) -> None:
        code = "weights.random" if _NEW in text else "weights.unused"
        names = _QUOTED.findall(text)
        odd = [name for name in names if not any(part in name for part in NEVER_TRAINED)]
        verb = "would start from random numbers" if _NEW in text else "would not be used"
        if odd:
            shown = ", ".join(odd[:NAMES_SHOWN]) + (", …" if len(odd) > NAMES_SHOWN else "")
            self._stop(code, f"{len(odd)} tensors of the model {verb}: {shown}", where=str(self.job.model_dir))
        elif not names and _NEW in text:  # shapes that differ; their names follow
            self._stop(code, f"tensors of the model {verb}: {text[-200:]}", where=str(self.job.model_dir))
        elif not names:  # a trainer at a quieter level of logging says so of the released models too
            self._warn(
                code,
                "the trainer leaves tensors of the base out and does not say which",
            )

    def _stop(self, code: str, what: str, *, where: str | None = None) -> None:
        self.warnings.append({"rule": code, "step": self.step, "what": what})
        place = where or str(self.job.run_dir / "log" / "train.log")
        raise EngineError(f"[{code}] {what}", where=place, hint=RULES[code].hint)

    def _warn(self, code: str, what: str) -> None:
        self.warnings.append({"rule": code, "step": self.step, "what": what})
        self.say(f"warning: [{code}] step {self.step}: {what}")


def vocabulary_size(model_dir: Path) -> int | None:
    """`vocab_size` of a model directory's config.json; None where it says none."""
    with suppress(
        SftError,
        OSError,
    ):
        config = read_json(model_dir / "config.json")
        size = (
            config.get("vocab_size")
            if isinstance(
                config,
                dict,
            )
            else None
        )
        return (
            size
            if isinstance(
                size,
                int,
            )
            and size > 1
            else None
        )
    return None


def skipped_row(text: str, rows: Path) -> int | None:
    """The line, from 1, of the trainer's row whose images a skip line quotes; None where that is not one row alone."""
    quoted = set(_QUOTED.findall(text))
    candidates: list[int] = []
    with (
        suppress(
            SftError,
            OSError,
        ),
        open_input(rows) as stream,
    ):
        for number, raw, too_long in bounded_lines(stream):
            images = set() if too_long else _images(raw)
            if images and images <= quoted:
                candidates.append(number)
    return candidates[0] if len(candidates) == 1 else None


def _images(raw: bytes) -> set[str]:
    with suppress(
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):
        row = json.loads(raw)
        listed = row.get("images") or [item["image_url"] for item in row["image_info"]]
        return set(
            map(
                str,
                listed,
            )
        )
    return set()
