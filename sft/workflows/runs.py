"""All runs of a folder: where each stands, on what it was trained, what it scored, and how to do it again."""

from __future__ import annotations

import fcntl
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft.errors import ProblemsFound, SftError, UsageError
from sft.files import read_json, sha256
from sft.runtime import tail
from sft.training import HELD_OUT, Run, engines, load_file
from sft.types import Progress

SCORE = "cer"  # the one that every text task has
LIVE_STAGES = (  # what exists when a stage of a running job has ended, in order
    ("manifest.json", "training"),
    ("model", "exporting"),
    ("scores/before/results.json", "scoring the base"),
    ("scores/after/results.json", "scoring the result"),
)


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands, read from its folder alone, from any shell.

    state: running, killed (it said running and no process holds it), interrupted, failed, finished or planned.
    seconds_left: of the training. before, after: character error rates; None where there are none.
    """

    name: str
    state: str
    stage: str
    step: int
    max_steps: int | None
    loss: float | None
    seconds_left: float | None
    data: str
    rows: int | None
    model: str
    engine: str
    before: float | None
    after: float | None
    time: str
    warnings: int


def list_runs(folder: Path) -> list[RunStatus]:
    """Every run in a folder, the latest first; UsageError where there is no such folder."""
    if not folder.is_dir():
        raise UsageError(
            "no such folder of runs",
            where=str(folder),
            hint="`sft train DATA` makes one",
        )
    runs = (status_of(Run(path.parent)) for path in folder.glob("*/config.yaml"))
    return sorted(
        runs,
        key=lambda run: (run.time, run.name),
        reverse=True,
    )


def status_of(run: Run) -> RunStatus:
    """One run. A file that is missing or broken leaves its part empty."""
    state = run.state()
    data = _table(run.folder / "data.json")
    plan = _table(run.folder / "plan.json")
    manifest = _table(run.manifest_path)
    config = _config(run)
    live = _is_held(run)
    progress = _last_step(
        run,
        str(config.get("engine")),
    )
    finished = run.finished
    step = _whole(plan.get("max_steps")) if finished else None
    seen = progress.step if progress else _whole(state.get("step"))
    warned = manifest.get("warnings") or state.get("warnings")
    return RunStatus(
        name=run.folder.name,
        state=_state(
            str(state.get("status") or "planned"),
            live=live,
            finished=finished,
        ),
        stage=_stage(run) if live else "",
        step=step or seen or 0,
        max_steps=_whole(plan.get("max_steps")),
        loss=progress.loss if progress else None,
        seconds_left=_left(
            progress,
            plan,
        )
        if live and not finished
        else None,
        data=Path(
            str(
                data.get(
                    "path",
                    "",
                )
            )
        ).name
        and "/".join(Path(str(data["path"])).parts[-2:]),
        rows=_whole(data.get("rows")),
        model=str(
            config.get(
                "model",
                "",
            )
        ),
        engine=str(
            config.get(
                "engine",
                "",
            )
        ),
        before=_score(
            run,
            "before",
        ),
        after=_score(
            run,
            "after",
        ),
        time=str(
            state.get(
                "time",
                "",
            )
        ),
        warnings=len(warned)
        if isinstance(
            warned,
            list,
        )
        else 0,
    )


def again(run: Run, runs: Path) -> str:
    """The command that does a run once more, into another folder of runs. ProblemsFound where its rows are not what
    they were.
    """
    data = _table(run.folder / "data.json")
    path = Path(
        str(
            data.get(
                "path",
                "",
            )
        )
    )
    if not path.is_file() or sha256(path) != data.get("sha256"):
        what = "have changed since" if path.is_file() else "are gone"
        raise ProblemsFound(
            f"the rows of this run {what}: {path}",
            where=str(run.folder),
            hint="the rows as the trainer got them are in data/train.jsonl of the run",
        )
    words = ["sft", "train", str(path)]
    held_out = _table(run.folder / HELD_OUT).get("path")
    if held_out:
        words = ["sft", "run", str(path), "--test", str(held_out)]
    words += ["--config", str(run.folder / "config.yaml"), "--models", str(Path(str(data["model_dir"])).parent)]
    return shlex.join([*words, "--runs", str(runs)])


def _state(status: str, *, live: bool, finished: bool) -> str:
    if live:
        return "running"
    if finished:
        return "finished"
    return "killed" if status == "running" else status


def _stage(run: Run) -> str:
    for name, stage in LIVE_STAGES:
        if not (run.folder / name).exists():
            return stage
    return "reporting"


def _is_held(run: Run) -> bool:
    """Whether a process works on the run; the lock of one that was killed is free."""
    with suppress(OSError), (run.folder / "lock").open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _last_step(run: Run, engine: str) -> Progress | None:
    if engine not in engines.ENGINES:
        return None
    lines = reversed(tail(run.log))
    steps = (engines.get(engine).progress(line) for line in lines)
    return next((step for step in steps if step), None)


def _left(progress: Progress | None, plan: dict[str, Any]) -> float | None:
    """Seconds: the steps that are left, at the speed of the last step line."""
    last, update = _whole(plan.get("max_steps")), _whole(plan.get("samples_per_update"))
    if not progress or not progress.samples_per_second or not last or not update:
        return None
    return (
        max(
            last - progress.step,
            0,
        )
        * update
        / progress.samples_per_second
    )


def _score(run: Run, which: str) -> float | None:
    scores = _table(run.folder / "scores" / which / "results.json").get("scores")
    value = (
        scores.get(SCORE)
        if isinstance(
            scores,
            dict,
        )
        else None
    )
    return (
        value
        if isinstance(
            value,
            float,
        )
        else None
    )


def _config(run: Run) -> dict[str, Any]:
    with suppress(SftError):
        return load_file(run.folder / "config.yaml")
    return {}


def _table(path: Path) -> dict[str, Any]:
    with suppress(
        SftError,
        OSError,
    ):
        value = read_json(path)
        return (
            value
            if isinstance(
                value,
                dict,
            )
            else {}
        )
    return {}


def _whole(value: object) -> int | None:
    return (
        value
        if isinstance(
            value,
            int,
        )
        and not isinstance(
            value,
            bool,
        )
        else None
    )
