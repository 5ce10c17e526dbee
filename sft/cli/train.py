"""`sft run`, `sft train`, `sft export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from sft import models, serving, ui
from sft.cli.options import TEXT_SCORES, json_option, print_json, request, run_options
from sft.datasets import locate
from sft.errors import EXIT_PROBLEMS
from sft.files import read_samples, read_table
from sft.runtime import Machine, container, process
from sft.training import config, run_export, settings
from sft.training import run_folder as runs
from sft.training import trainer as training
from sft.workflows import RunOutcome, run_loop, summary, train_only


@click.command()
@click.argument("name", default="bengali", metavar="[DATA]")
@click.option(
    "--test",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Held-out rows [default: test.jsonl beside the data, or rows that are set aside].",
)
@click.option("--port", type=int, metavar="N", help="Port of the server [default: a free one].")
@click.option("--rescore", is_flag=True, help="Ask both models again, also where their answers are known.")
@click.option("--setup-seconds", type=float, default=0.0, hidden=True)
@run_options
@json_option
def run(
    name: str,
    test: Path | None,
    port: int | None,
    rescore: bool,
    setup_seconds: float,
    as_json: bool,
    **options: Any,
) -> None:
    """The whole job on DATA: a JSONL file, a folder with train.jsonl, or a name under datasets/.

    \b
    Examples:
      sft run                         the sample that ships
      sft run mine.jsonl --epochs 4
    """
    outcome = run_loop(request(options), name, test, setup_seconds=setup_seconds, port=port, rescore=rescore)
    if as_json:
        print_json(summary(outcome))
    else:
        _show(outcome)
    incomplete = any(results and not results["complete"] for results in (outcome.before, outcome.after))
    if incomplete or (outcome.parity and not outcome.parity.ok):
        sys.exit(EXIT_PROBLEMS)


def _show(outcome: RunOutcome) -> None:
    """The two tables of the end, and where everything is."""
    if outcome.before and outcome.after:
        _show_scores(outcome.before, outcome.after)
    for results in (outcome.before, outcome.after):
        ui.lost(results or {})
    ui.table(
        "\nSeconds",
        ["stage", "s"],
        [[stage, f"{seconds:.1f}"] for stage, seconds in outcome.stages],
    )
    after_setup = sum(seconds for stage, seconds in outcome.stages if not stage.startswith("set-up"))
    ui.out.print(f"after set-up: {after_setup:.0f} s in all", markup=False)
    if outcome.parity:
        ui.out.print(f"Transformers gives the same text as vLLM on held-out images: {outcome.parity}", markup=False)
    for stage, why in outcome.left_out.items():
        ui.out.print(
            f"left out: {stage} ({why})",
            markup=False,
        )
    if outcome.left_out:
        ui.out.print("serve the model directory in the container instead: see docs/serving.md", markup=False)
    ui.out.print(
        f"model:  {outcome.model}\nreport: {outcome.report}",
        markup=False,
    )


def _show_scores(before: dict[str, Any], after: dict[str, Any]) -> None:
    """A table for each task, by the task's own measures and with its headline first, and how far its scores bear."""
    from sft.evaluation import FEW
    from sft.report import wording

    counts = after["counts"]
    ui.out.print(
        f"\nHeld-out: {ui.counted(counts['in'], 'sample')} = {counts['scored']} scored + {counts['lost']} lost",
        style="bold",
        markup=False,
    )
    for task, part in after["tasks"].items():
        scored = part["counts"]["scored"]
        if part["unscored"]:
            ui.say(f"{wording.task_name(task)} not scored: {part['unscored'].splitlines()[0]}")
            continue
        few = f"; few samples (under {FEW}): the scores are no more than a hint" if scored < FEW else ""
        old = before["tasks"].get(task, {}).get("scores", {})
        ui.table(
            f"{wording.task_name(task)}: {ui.counted(scored, 'sample')}{few}",
            ["", "before", "after", "delta", "better is"],
            _score_rows(task, old, part["scores"]),
        )


def _score_rows(task: str, old: dict[str, float], new: dict[str, float]) -> list[list[str]]:
    """Name, both scores, change and direction; those first that the task stands by."""
    from sft.evaluation import EXTRAS, HEADLINE, SCORES
    from sft.report import name_of, wording

    headline = HEADLINE[task]
    usual = TEXT_SCORES if headline == TEXT_SCORES[0] else tuple(name for name in SCORES if name not in EXTRAS)
    names = [headline, *(name for name in usual if name != headline)]
    directions = {name: SCORES[name].higher_is_better for name in names}
    return [
        [
            name_of(name),
            wording.value(name, old[name]),
            wording.value(name, new[name]),
            wording.change(name, new[name] - old[name]),
            "higher" if directions[name] else "lower",
        ]
        for name in names
        if name in old and name in new and directions[name] is not None
    ]


@click.command()
@click.argument("name", metavar="DATA")
@click.option(
    "--dry-run", is_flag=True, help="Print the trainer's first rows, its configuration and its command; start nothing."
)
@run_options
@json_option
def train(name: str, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Train on DATA, or go on where the same command stopped.

    \b
    Examples:
      sft train mine.jsonl --engine erniekit --model 0.9B --dry-run
      sft train mine.jsonl --epochs 4
    """
    asked = request(options)
    if dry_run:
        _dry_run(
            asked,
            Machine.look(),
            locate.find(name, say=ui.say).train,
            as_json,
        )
        return
    folder = train_only(asked, name)
    if as_json:
        print_json({"run": str(folder.folder), **folder.manifest()})
    else:
        click.echo(folder.folder)


def _wants_gpu(asked: settings.Request) -> bool:
    """Whether flags, or failing that the configuration file, name what only a GPU trains."""
    given = config.load_file(asked.config_file) if asked.config_file else {}
    engine, model = (asked.flags.get(key) or given.get(key) for key in ("engine", "model"))
    return engine == "erniekit" or str(model or settings.TINY) != settings.TINY


def _dry_run(asked: settings.Request, machine: Machine, path: Path, as_json: bool) -> None:
    """Rows, configuration and command, as they would be written and started on a machine that can run them."""
    samples = sum(1 for _ in read_samples(path))
    if asked.rehearsal is None and not machine.gpus and _wants_gpu(asked):
        asked = settings.Request(
            {"device": "gpu", **asked.flags},
            asked.config_file,
            False,
            asked.runs,
            asked.models,
        )
    settled = settings.resolve_settings(asked, machine, samples)
    plan = settings.plan_for(settled, samples)
    given = Path(settled.config.model)
    known = models.find(settled.config.model)
    base = given if given.is_dir() else asked.models / (known.hub_id.rpartition("/")[2] if known else settings.TINY)
    folder = asked.runs / f"{path.stem}-{settled.config.engine}-dry"
    prepared = training.prepare(
        folder,
        path,
        base,
        settled.version,
        settled.config,
        plan,
    )
    argv, env = training.command(prepared, training.Runtime("python"), None)
    cuda = container.choose_cuda(machine.gpus[0].compute_capability) if machine.gpus else "12.6"
    boxed, _ = training.command(prepared, training.Runtime("python", cuda), None)
    rows = [row.decode() for row in training.first_rows(prepared)]
    if as_json:
        print_json(
            {
                "rows": rows,
                "settings": prepared.settings,
                "command": argv,
                "container": boxed,
                "environment": env,
                "files": dict(prepared.extra),
            }
        )
        return
    ui.say(f"engine {settled.config.engine}: {settled.reasons['engine']}")
    click.echo(f"# data: {ui.counted(samples, 'row')}, the first {len(rows)}")
    click.echo("\n".join(rows))
    click.echo(f"\n# {prepared.job.settings.name}\n{prepared.settings}")
    for file, text in prepared.extra.items():
        click.echo(f"# {file}\n{text}")
    click.echo(f"# command\n{process.shell_line(argv, env)}")
    if settled.config.engine == "erniekit":
        build = process.shell_line(container.build_command(Path.cwd(), cuda), {})
        click.echo(f"\n# the same in the training container\n{build}\n{process.shell_line(boxed, {})}")


@click.command()
@click.argument("run_folder", type=click.Path(path_type=Path), metavar="[RUN]", required=False)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="MODEL_DIR", help="New directory.")
@click.option("--checkpoint", type=int, metavar="STEP", help="Export checkpoint-STEP instead of the final weights.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A model that another tool trained, merged, as safetensors; needs --base.",
)
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The released model that --weights was trained from.",
)
@json_option
def export(
    run_folder: Path | None,
    out: Path,
    checkpoint: int | None,
    weights: Path | None,
    base: Path | None,
    as_json: bool,
) -> None:
    """Turn a run into a model directory that serves: weights, template, names, pixel limits, end token.

    \b
    Examples:
      sft export runs/bengali-paddleformers-3f9c01a2 -o models/bengali
      sft export --weights merged --base models/PaddleOCR-VL-1.6 -o models/mine     trained elsewhere
    """
    if (run_folder is None) == (weights is None) or (weights is None) != (base is None):
        raise click.UsageError("give a RUN, or --weights and --base together.")
    if checkpoint is not None and run_folder is None:
        raise click.UsageError("--checkpoint is a step of a RUN; --weights takes the checkpoint's folder.")
    manifest: dict[str, Any] = {}
    if weights is not None and base is not None:
        manifest = models.export_foreign(weights, base, out)
        models.say_export(manifest, out)
    elif run_folder is not None:
        manifest = _export_of_run(runs.Run.open(run_folder), out, checkpoint)
    if as_json:
        print_json(manifest)
        return
    ui.say("once `sft serve` has it, to read with the PaddleOCR client:")
    url = f"http://127.0.0.1:{serving.DEFAULT_PORT}/v1"
    for line in serving.client_lines(serving.version_of(out), models.pixel_limits(out), url=url):
        ui.say(f"  {line}")
    click.echo(out)


def _export_of_run(folder: runs.Run, out: Path, checkpoint: int | None) -> dict[str, Any]:
    if checkpoint or not folder.finished:
        return run_export.export_checkpoint(folder, out, checkpoint)
    run_export.export_run(folder, out, fresh=True)
    return read_table(out / models.MANIFEST)
