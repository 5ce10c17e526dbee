"""What one evaluation leaves in its folder, each answer scored once for all of it.

    predictions.jsonl   the raw answers beside their truths
    results.json        the scores and everything that decided them
    report.html         one page that shows them, with a browser of the samples
    report.md           the same for a pull request
    metrics.csv         every figure with its interval, for a spreadsheet
    junit.xml           for a CI server
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sft.errors import SftError, UsageError
from sft.evaluation import conditions, report
from sft.evaluation.report_data import Data, gather
from sft.evaluation.results import Pairs
from sft.evaluation.slices import facts, read_rows
from sft.export import MANIFEST
from sft.jsonl import read_table
from sft.runs import RUNS
from sft.types import Prediction

TENSORBOARD = Path("tensorboard/eval")  # within a run, beside the curves of training


def side_by_side(
    runs: Sequence[tuple[str, Sequence[Prediction]]], data: Path, *, pairs: Sequence[Pairs] | None = None, steps: Mapping[str, int] | None = None,
) -> Data:  # fmt: skip
    """Runs over one data file for the reports, sliced by what its rows say; those of a suite have their set as `source`.

    runs: (name, predictions), the base first; pairs: of each, as `results.scored` gives them, if the caller has them;
    steps: name → training step, 0 for what training starts from. Errors as of `gather`.
    """
    rows = read_rows(data)
    labels: dict[int, dict[str, str]] = {}
    for pred in (pred for _, preds in runs for pred in preds):
        if pred.id not in labels:
            labels[pred.id] = facts(prompt=pred.prompt, ref=pred.ref, image=pred.image, row=rows.get(pred.id), base=data.parent).slices
    known = None if pairs is None or any(unscored for _, unscored in pairs) else [found for found, _ in pairs]  # charts without their library are scored as text there, and said so
    return gather(runs, pairs=known, labels=labels, steps=steps)


def images_of(paths: Sequence[Path]) -> Path:
    """The folder that the images of predictions count from, by the results.json beside one of them; the current one where none tells."""
    for path in paths:
        told = conditions.beside(path).get("data")
        if isinstance(told, dict) and Path(str(told.get("path"))).is_file():
            return Path(str(told["path"])).parent
    return Path()


def run_of(model_dir: Path | None) -> tuple[Path, int] | None:
    """The run that a model directory was exported from, and its training step; None where it is of no run that is still there."""
    try:
        told = read_table(model_dir / MANIFEST) if model_dir else {}
    except SftError:
        return None
    name, step = told.get("run"), told.get("checkpoint", told.get("max_steps"))
    if model_dir is None or not isinstance(name, str) or type(step) is not int:
        return None
    near = (model_dir.resolve().parent, RUNS / name)
    return next(((folder, step) for folder in near if folder.name == name and (folder / "config.yaml").is_file()), None)


def write_curves(folder: Path, data: Data, say: Callable[[str], None]) -> None:
    """The scores as points of TensorBoard, where that is installed; without it the other results are not lost."""
    try:
        report.write_tensorboard(folder, data)
    except UsageError as error:
        say(f"no TensorBoard scalars: {error.message}" + (f" ({error.hint})" if error.hint else ""))
    else:
        say(f"TensorBoard scalars in {folder}")
