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
from sft.files import read_samples
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
    from sft.evaluation import SCORES
    from sft.report import name_of, wording

    if outcome.before and outcome.after:
        old = outcome.before["scores"]
        new = outcome.after["scores"]
        rows = [
            [
                name_of(name),
                wording.value(name, old[name]),
                wording.value(name, new[name]),
                wording.change(name, new[name] - old[name]),
                "higher" if SCORES[name].higher_is_better else "lower",
            ]
            for name in TEXT_SCORES
        ]
        counts = outcome.after["counts"]
        ui.table(
            f"\nHeld-out: {ui.counted(counts['in'], 'sample')} = {counts['scored']} scored + {counts['lost']} lost",
            ["", "before", "after", "delta", "better is"],
            rows,
        )
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
@click.argument("run_folder", type=click.Path(path_type=Path), metavar="RUN")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="MODEL_DIR", help="New directory.")
@click.option("--checkpoint", type=int, metavar="STEP", help="Export checkpoint-STEP instead of the final weights.")
@json_option
def export(run_folder: Path, out: Path, checkpoint: int | None, as_json: bool) -> None:
    """Turn a run into a model directory that serves: weights, template, names, pixel limits, end token.

    \b
    Example:
      sft export runs/bengali-paddleformers-3f9c01a2 -o models/bengali
    """
    from sft import models as exporting
    from sft.files import read_json

    folder = runs.Run.open(run_folder)
    manifest = run_export.export_checkpoint(folder, out, checkpoint) if checkpoint or not folder.finished else None
    if manifest is None:
        run_export.export_run(folder, out, fresh=True)
        manifest = read_json(out / exporting.MANIFEST)
    if as_json:
        print_json(manifest)
    else:
        ui.say("once `sft serve` has it, to read with the PaddleOCR client:")
        url = f"http://127.0.0.1:{serving.DEFAULT_PORT}/v1"
        for line in serving.client_lines(serving.version_of(out), exporting.pixel_limits(out), url=url):
            ui.say(f"  {line}")
        click.echo(out)
