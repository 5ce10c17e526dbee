"""The model directories of a run: what it started from, a checkpoint, its result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sft import models, ui
from sft.errors import ProblemsFound, UsageError
from sft.files import read_json
from sft.models import pixel_limits
from sft.training import engines
from sft.training.config import load_file
from sft.training.run_folder import Run, locked


def export_run(run: Run, out: Path, *, fresh: bool = False) -> Path:
    """The model directory of a finished run; what is there already from the same weights is kept, unless `fresh`."""
    with _alone(run, out):
        return _export_run(run, out, fresh=fresh)


@contextmanager
def _alone(run: Run, out: Path) -> Iterator[None]:
    """`sft curve --watch` and `sft run` both want the model of a run at the moment that training ends: the second
    waits, and finds it there.
    """
    if run.folder not in out.resolve().parents:
        yield
        return
    with locked(run.folder / "export.lock"):
        yield


def _export_run(run: Run, out: Path, *, fresh: bool) -> Path:
    manifest = run.manifest()
    origin = {
        "run": run.folder.name,
        "weights": manifest["weights"],
        "max_steps": manifest["max_steps"],
    }
    made = out / models.MANIFEST
    if not fresh and made.is_file() and read_json(made).get("weights") == origin["weights"]:
        ui.say(f"exported before: {out}")
        return out
    _export(
        run,
        run.folder / manifest.get("weights_dir", "checkpoints"),
        out,
        origin,
    )
    return out


def export_checkpoint(run: Run, out: Path, step: int | None) -> dict[str, Any]:
    """The model directory of one checkpoint; without a step, of the newest complete one."""
    config = load_file(run.folder / "config.yaml")
    checkpoints = engines.get(str(config["engine"])).checkpoints(run.folder / "checkpoints")
    wanted = [checkpoint for checkpoint in checkpoints if step in (None, checkpoint.step)]
    if not wanted:
        have = ", ".join(str(checkpoint.step) for checkpoint in checkpoints) or "none"
        raise UsageError(
            "no such checkpoint" if step else "this run has not finished and has no checkpoint",
            where=str(run.folder),
            hint=f"complete checkpoints: {have}",
        )
    if step is None:
        ui.say(f"the run has not finished; exporting its newest checkpoint, step {wanted[-1].step}")
    return _export(
        run,
        wanted[-1].path,
        out,
        {"run": run.folder.name, "checkpoint": wanted[-1].step},
    )


def _export(run: Run, weights: Path, out: Path, origin: dict[str, Any]) -> dict[str, Any]:
    base, version, pixels = trained_from(run)
    manifest = models.export(
        weights,
        base,
        out,
        version,
        pixels=pixels,
        origin={**origin, "data": _trained_on(run)},
    )
    models.say_export(manifest, out)
    return manifest


def _trained_on(run: Run) -> dict[str, Any]:
    """The training rows by the name of their file and folder, not by their path: a model directory is passed on."""
    data = read_json(run.folder / "data.json")
    name = "/".join(Path(str(data.get("path", ""))).parts[-2:])
    return {"name": name, "rows": data.get("rows"), "sha256": data.get("sha256")}


def trained_from(run: Run) -> tuple[Path, models.ModelVersion, tuple[int, int]]:
    """The base model of a run, its version, and the (least, most) pixels that were trained."""
    data = read_json(run.folder / "data.json")
    config = load_file(run.folder / "config.yaml")
    base = Path(data["model_dir"])
    low, high = pixel_limits(base)
    return base, models.get(data["model_version"]), (config.get("min_pixels") or low, config.get("max_pixels") or high)


def servable(run: Run) -> Path:
    """The base model of a run as it is, if a server can load it; else a copy in the run folder."""
    base, version, pixels = trained_from(run)
    with _alone(run, run.folder / "base"):
        return servable_model(base, version, run.folder / "base", pixels=pixels)


def servable_model(base: Path, version: models.ModelVersion, out: Path, *, pixels: tuple[int, int]) -> Path:
    """A model directory as it is, if a server can load it; else a copy in `out` with the files completed as an export
    completes them.
    """
    try:
        models.verify_served(base, version)
    except ProblemsFound as fault:
        if not out.is_dir():
            ui.say(f"  the base model cannot be served as it is ({fault.message}); completing a copy in {out}")
            models.export(base, base, out, version, pixels=pixels, origin={"base": str(base)})
        return out
    return base
