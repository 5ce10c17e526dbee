"""The base model of a run: a directory, a released version, or a tiny model that is built for the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sft import models
from sft.errors import ProblemsFound
from sft.models import tiny
from sft.runtime import environments
from sft.training.run_folder import locked
from sft.training.settings import TINY, Request, ResolvedSettings
from sft.validate import Survey


def model_dir(settled: ResolvedSettings, request: Request, data: Survey, *, say: Callable[[str], None]) -> Path:
    """The base model: a directory as given, a fetched one, or the tiny one for this data, built once."""
    model = settled.config.model
    if model == TINY:
        return _tiny_dir(settled, request, data, say)
    from sft.models import present_or_fetch, require_model

    path = Path(model)
    if path.is_dir():
        require_model(path, None)
        _require_template(path, settled.version)
        return path
    version = models.get(model)
    path = request.models / version.hub_id.rpartition("/")[2]
    say(f"{version.hub_id} in {path}, downloaded if it is missing")
    return present_or_fetch(version, path)


def _require_template(path: Path, version: models.ModelVersion) -> None:
    """A directory whose own chat template contradicts the version it is trained as would be tuned away from itself."""
    from sft.models import check_model

    faults = [
        fault for fault in check_model(path, version) if fault.startswith(("chat_template.jinja", "inference.yml"))
    ]
    if faults:
        raise ProblemsFound(
            "; ".join(faults),
            where=str(path),
            hint=f"name its version: --model-version, one of {', '.join(models.MODELS)}",
        )


def _tiny_dir(settled: ResolvedSettings, request: Request, data: Survey, say: Callable[[str], None]) -> Path:
    """models/tiny-…, named by what it is made of: the data its tokenizer learns, the version, the seed and
    the recipe.
    """
    import hashlib

    recipe = (Path(tiny.__file__).read_bytes(), tiny.WORKER.read_bytes())
    parts = [
        data.fingerprint,
        settled.version.name,
        str(settled.config.seed),
        *(hashlib.sha256(text).hexdigest() for text in recipe),
    ]
    path = request.models / f"tiny-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:8]}"
    with locked(path.with_name(f".{path.name}.lock")):  # a second command waits and then finds it
        if path.is_dir():
            return path
        say(f"building a tiny PaddleOCR-VL with random weights in {path}")
        python = environments.ensure("trainer").python
        tiny.make_tiny_model(
            path,
            (sample for _, sample, _ in data.rows()),
            settled.version,
            pixels=tiny.pixels_for(data.aspect),
            trainer_python=python,
            seed=settled.config.seed,
            log=path.with_name(f"{path.name}.log"),
        )
    return path
