"""Which models a learning curve is made of: a run's base, its saved checkpoints and its result, and which of them are
scored already.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from sft import models
from sft.errors import ProblemsFound, SftError, UsageError
from sft.evaluation import PREDICTIONS, is_beginning, step_of
from sft.files import atomic_write, bounded_lines, open_input, read_table
from sft.training import Run, engines, load_file, run_folder
from sft.workflows.evaluate import scored_before

_CHOICE = re.compile(r"every:([1-9][0-9]{0,5})")


@dataclass(frozen=True)
class CurveModel:
    """One model of a curve.

    weights: their folder, None where they are gone and only the scores are left. scored: their folder, None where there
    are none.
    """

    step: int
    kind: Literal["base", "checkpoint", "final"]
    weights: Path | None
    scored: Path | None = None

    @property
    def name(self) -> str:
        """As the reports call it."""
        return "base" if self.kind == "base" else f"step {self.step}"


def find(run: Run, out: Path, conditions: Mapping[str, Any], *, base: bool) -> list[CurveModel]:
    """All points of a run, by step; what is scored under other conditions is not scored. base: the base model too, even
    if it is not scored.

    out: where the steps' folders are. A step whose weights the trainer has removed since stays, if it is scored.
    """
    models = {
        int(path.name[5:]): path
        for path in out.glob("step-*")
        if path.name[5:].isdecimal() and scored_before(path, conditions)
    }
    points = {step: CurveModel(step, "checkpoint", None, path) for step, path in models.items() if step}
    engine = engines.get(str(load_file(run.folder / "config.yaml").get("engine")))
    for checkpoint in engine.checkpoints(run.folder / "checkpoints"):
        point = CurveModel(checkpoint.step, "checkpoint", checkpoint.path)
        points[point.step] = replace(point, scored=_scored(point, out, conditions))
    if (
        run.finished
        and (last := _final(run, out, conditions))
        and not ((there := points.get(last.step)) and there.weights and there.scored)
    ):
        points[last.step] = last
    before = run.folder / "scores" / "before"
    known = before if scored_before(before, conditions) else models.get(0)
    if known or base:
        points[0] = CurveModel(0, "base", None, known)
    return [points[step] for step in sorted(points)]


def _final(run: Run, out: Path, conditions: Mapping[str, Any]) -> CurveModel | None:
    """The result of a run that has ended, scored by `sft run` or as a step."""
    manifest = run.manifest()
    step, folder, weights = (manifest.get(key) for key in ("max_steps", "weights_dir", "weights"))
    if type(step) is not int or not isinstance(folder, str) or not (run.folder / folder).is_dir():
        return None
    point = CurveModel(step, "final", run.folder / folder)
    model = run.folder / "model"
    after = run.folder / "scores" / "after"
    same = (model / models.MANIFEST).is_file() and read_table(model / models.MANIFEST).get("weights") == weights
    if (
        same
        and scored_before(after, conditions)
        and scored_before(after, {**conditions, "fingerprint": models.fingerprint(model)})
    ):
        return replace(point, scored=after)
    return replace(point, scored=_scored(point, out, conditions))


def _scored(point: CurveModel, out: Path, conditions: Mapping[str, Any]) -> Path | None:
    """The folder of a step's scores, if they are of these very weights."""
    folder = out / f"step-{point.step}"
    return folder if scored_before(folder, {**conditions, "weights": signature(point.weights)}) else None


def signature(weights: Path | None) -> dict[str, list[int]]:
    """Size and time of every weight file: enough to see that a checkpoint is another one, without reading gigabytes.
    Empty where they are gone.
    """
    try:
        stats = {path.name: path.stat() for path in models.weight_files(weights)} if weights else {}
    except (SftError, OSError):
        return {}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def chosen(points: list[CurveModel], choice: str) -> list[CurveModel]:
    """What --checkpoints says: all; every:N, counted back from the last; or steps, such as 200,400. The base model is
    always in.
    """
    base = [point for point in points if point.kind == "base"]
    rest = [point for point in points if point.kind != "base"]
    if choice == "all":
        return points
    if match := _CHOICE.fullmatch(choice):
        return base + rest[::-1][:: int(match[1])][::-1]
    words = [word.strip() for word in choice.split(",")]
    if not all(word.isdecimal() and word.isascii() and len(word) <= 12 for word in words):
        raise UsageError(f"--checkpoints {choice} is neither all, nor every:N, nor steps", hint="--checkpoints 200,400")
    steps = {int(word) for word in words} - {0}
    if missing := sorted(steps - {point.step for point in rest}):
        have = ", ".join(str(point.step) for point in rest) or "none"
        raise UsageError(
            f"no such checkpoint: {', '.join(map(str, missing))}",
            hint=f"complete checkpoints: {have}; trainers keep their newest only",
        )
    return base + [point for point in rest if point.step in steps]


def evaluated(folder: Path) -> list[tuple[str, int, Path]]:
    """(name, step, folder) of the evaluations in a folder, such as runs/eval with base, s200 and s400; by step. Empty
    where it holds none.

    UsageError: two of the same step.
    """
    by_step: dict[int, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        step = step_of(path.name)
        if step is None or not (path / PREDICTIONS).is_file():
            continue
        if step in by_step:
            raise UsageError(
                f"{by_step[step].name} and {path.name} are both of step {step}",
                where=str(folder),
                hint="a curve has one evaluation per step: `sft compare` takes any",
            )
        by_step[step] = path
    return [
        ("base" if is_beginning(path.name) else f"step {step}", step, path) for step, path in sorted(by_step.items())
    ]


def limited(data: Path, out: Path, count: int, seed: int) -> Path:
    """`count` rows of `data`, chosen by `seed` and in their order, written to `out` with their images found from there.

    ProblemsFound: a row that is no sample.
    """
    with open_input(data) as stream:
        lines = [line for _, line, _ in bounded_lines(stream)]
    kept = sorted(
        random.Random(f"curve/{seed}").sample(
            range(len(lines)),
            min(count, len(lines)),
        )
    )
    rows = []
    for place in kept:
        try:
            row = msgspec.json.decode(lines[place])
            for image in row["image_info"]:
                image["image_url"] = os.path.relpath(
                    (data.parent / image["image_url"]).resolve(),
                    out.parent.resolve(),
                )
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise ProblemsFound(
                f"not a sample: {error}", where=f"{data}:{place + 1}", hint=f"run `sft validate {data}`"
            ) from error
        rows.append(msgspec.json.encode(row) + b"\n")
    if not out.is_file() or out.read_bytes() != b"".join(rows):
        with atomic_write(out) as stream:
            stream.writelines(rows)
    return out


def held_out(run: Run) -> tuple[Path, int | None]:
    """(file, longest answer in tokens) that `sft run` scores a run with; for `sft train`, the test file beside the
    training file.

    UsageError: there is none.
    """
    record = read_table(run.folder / run_folder.HELD_OUT) if (run.folder / run_folder.HELD_OUT).is_file() else {}
    trained = Path(str(read_table(run.folder / "data.json").get("path")))
    tokens = record.get("max_tokens")
    for path in (Path(str(record.get("path"))), trained.with_name(trained.name.replace("train", "test"))):
        if path.is_file() and path != trained:
            return path, tokens if type(tokens) is int and tokens > 0 else None
    raise UsageError(
        "no held-out file is known of this run", where=str(run.folder), hint="name one, or a suite: --data FILE"
    )


def training(run: Run) -> bool:
    """Whether a process trains this run now."""
    state = run.state()
    return state.get("status") == "running" and type(state.get("pid")) is int and Path(f"/proc/{state['pid']}").exists()
