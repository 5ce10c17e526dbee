"""Scores as TensorBoard scalars, so that they stand beside the curves of training (`make tensorboard`)."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

from sft.errors import UsageError
from sft.evaluation.report_data import Data
from sft.jsonl import disk_error

EVENTS = "events.out.tfevents.*"


def write_tensorboard(folder: Path, data: Data) -> int:
    """Write the scores of every run that has a training step (`Data.steps`); gives how many scalars there are.

    folder: of these scores alone, such as RUN/tensorboard/eval; what an earlier call wrote there is replaced. Tags: `eval_ocr/cer`, and
    `eval_ocr/cer_low`, `eval_ocr/cer_high` for its interval. UsageError: TensorBoard is missing, or no run has a step.
    """
    steps = sorted((step, run) for run, step in enumerate(data.steps) if step is not None)
    if not steps:
        raise UsageError("no run has a training step, so there is no curve", hint='name the runs after their steps ("step 200"), or give the steps')
    try:
        from tensorboard.summary import Writer  # type: ignore[import-untyped]
    except ImportError as error:
        raise UsageError("TensorBoard is missing", hint="pip install 'paddleocr-vl-sft[tensorboard]'") from error
    count = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = list(folder.glob(EVENTS))
        writer = Writer(str(folder))
        for step, run in steps:
            for item in data.summary.figures:
                if item.run == run and not item.dimension:
                    for suffix, value in (("", item.interval.value), ("_low", item.interval.low), ("_high", item.interval.high)):
                        if math.isfinite(value):
                            writer.add_scalar(f"eval_{item.task}/{item.score}{suffix}", value, step)
                            count += 1
        writer.close()
        for path in earlier:  # only now: a call that dies leaves what was there
            with suppress(FileNotFoundError):
                path.unlink()
    except OSError as error:
        raise disk_error(error, folder) from error
    return count
