"""Predictions of several runs put together by the number of their sample; runs over different data are refused."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from sft.errors import ProblemsFound, UsageError
from sft.evaluation.predict import read_predictions
from sft.evaluation.slices import Row
from sft.jsonl import open_input
from sft.types import Prediction

MAX_LINE = 1 << 26  # bytes


def read(path: Path) -> list[Prediction]:
    """The predictions of a file. ProblemsFound says how a file of bare answers becomes one."""
    try:
        return read_predictions(path)
    except ProblemsFound as fault:
        with open_input(path) as stream:
            line = stream.readline(MAX_LINE)
        with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            row = msgspec.json.decode(line)
            if isinstance(row, dict) and {"id", "pred"} <= row.keys() and not {"ref", "prompt", "image"} <= row.keys():
                hint = f"answers without their truths are scored first, and the folder of that compared:\npython eval/evaluate.py --pred {path} --data THEIR.jsonl -o scores/{path.stem}"
                raise ProblemsFound("these predictions have no truth beside them", where=str(path), hint=hint) from fault
        raise


def by_number(path: Path, preds: Sequence[Prediction]) -> dict[int, Prediction]:
    """Number → prediction; ProblemsFound where one stands twice."""
    found: dict[int, Prediction] = {}
    for line, pred in enumerate(preds, 1):
        if pred.id in found:
            raise ProblemsFound(f"sample {pred.id} has two answers", where=f"{path}:{line}", hint="one line per sample; was one file appended to another?")
        found[pred.id] = pred
    return found


def paired(names: Sequence[str], table: Sequence[dict[int, Prediction]], rows: dict[int, Row], data: Path | None) -> list[int]:
    """The numbers of all samples; UsageError where one number stands for different samples."""
    first: dict[int, tuple[str, str, str, str]] = {}
    for number, row in rows.items():
        if any(text.tag == "no_mask" for text in row.sample.text_info):
            first[number] = (str(data), row.sample.image_info[0].image_url, row.sample.ref.strip(), row.sample.prompt)
    for name, answers in zip(names, table, strict=True):
        for number, pred in answers.items():
            if rows and number not in first:
                raise UsageError(f"{name} has an answer to sample {number}, and {data} has no such sample", hint="give the file that the runs were asked about")
            other, image, ref, prompt = first.setdefault(number, (name, pred.image, pred.ref.strip(), pred.prompt.strip()))
            for what, here, there in (("image", pred.image, image), ("truth", pred.ref.strip(), ref), ("prompt", pred.prompt.strip(), prompt)):
                if here != there:
                    shown = f"its {what} is {here[:60]!r} in {name} and {there[:60]!r} in {other}"
                    raise UsageError(f"the runs are over different data: sample {number}: {shown}", hint="predict all runs over one file")
    return sorted(first)
