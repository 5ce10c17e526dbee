"""`sft eval`: score the answers of a running server."""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from sft import serving, ui
from sft.cli.options import (
    TEXT_SCORES,
    api_key_option,
    concurrency_option,
    json_option,
    max_tokens_option,
    metric_option,
    patience_option,
    print_json,
)
from sft.datasets import locate as datasets
from sft.errors import EXIT_PROBLEMS, EngineError, UsageError
from sft.files import open_input
from sft.inference import EndpointKind, client, scheduler
from sft.workflows import EvalRequest, run_evaluation, suites

EVALUATIONS = Path("runs/eval")
NAME = re.compile(r"[^\W_](?:[\w. -]{0,98}[\w)-])?")  # becomes the name of a folder
NOT_IN_NAMES = re.compile(r"[^\w.-]+")


@click.command("eval")
@click.argument("name", metavar="SUITE|DATA")
@click.option(
    "--url",
    "urls",
    multiple=True,
    default=(f"http://127.0.0.1:{serving.DEFAULT_PORT}",),
    show_default=True,
    metavar="URL[,URL…]",
    help="Address of the server; several share the work.",
)
@click.option(
    "--name",
    "run_name",
    metavar="NAME",
    help=("Name of this run, e.g. base; results go to runs/eval/NAME unless -o is given [default: as the data]."),
)
@click.option("--model", metavar="NAME", help="Served name [default: the server's own].")
@click.option(
    "--endpoint",
    type=click.Choice(["chat", "pipeline"]),
    default="chat",
    show_default=True,
    help="chat: OpenAI-style; pipeline: PaddleX's /layout-parsing.",
)
@api_key_option
@concurrency_option
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=client.TIMEOUT,
    show_default=True,
    metavar="S",
    help="Timeout of one answer in seconds.",
)
@patience_option(scheduler.PATIENCE)
@max_tokens_option
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    metavar="T",
    help="Sampling temperature; 0 is greedy and repeatable [default: 0, or the suite's].",
)
@click.option(
    "--min-pixels",
    type=click.IntRange(min=784),
    metavar="N",
    help="Least pixels of a picture, below which it is enlarged [default: the server's].",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=784),
    metavar="N",
    help="Most pixels of a picture, above which it is made smaller [default: the server's].",
)
@click.option(
    "--fresh",
    is_flag=True,
    help="Ignore the answers of earlier runs, and overwrite results of another model or other data.",
)
@metric_option
@click.option("--no-report", is_flag=True, help="Write only predictions.jsonl and results.json.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the results [default: runs/eval/NAME].",
)
@json_option
def eval(
    name: str,
    urls: tuple[str, ...],
    run_name: str | None,
    out: Path | None,
    as_json: bool,
    endpoint: EndpointKind,
    no_report: bool,
    **options: Any,
) -> None:
    """Ask running servers for every row of DATA, or of a SUITE, and score the raw answers.

    Writes predictions.jsonl, results.json, report.html, report.md, metrics.csv and junit.xml; and TensorBoard scalars
    beside the training curves of the run that the model was exported from, if it is on this machine.

    DATA is a JSONL file; or a folder or a name under datasets/, whose test.jsonl is scored. SUITE is a YAML file, or a
    name under eval/. Answers are kept as they come: run the same command to resume. Exit code 1: some
    answers are missing; 3: the servers were gone.

    \b
    Examples:
      sft eval bengali --url http://127.0.0.1:8118
      sft eval smoke --name base --url http://one:8118,http://two:8118
      sft eval mine/test.jsonl --name tuned --no-report
    """
    if run_name and not NAME.fullmatch(run_name):
        raise UsageError(
            f"--name {run_name!r} is not a valid name", hint="letters, digits and . _ - ; -o names another folder"
        )
    out = out or EVALUATIONS / (
        run_name
        or NOT_IN_NAMES.sub("-", Path(name).stem if Path(name).suffix else Path(name).name).strip("-.")
        or "unnamed"
    )
    ready = suite_to_score(name, out)
    data = ready.data if ready else rows_to_score(name)
    with open_input(data) as stream:
        total = sum(1 for _ in stream)
    sampling = {
        key: value
        for key in ("max_tokens", "temperature", "min_pixels", "max_pixels")
        if (value := options.pop(key)) is not None
    }
    addresses = tuple(dict.fromkeys(part.strip() for url in urls for part in url.split(",") if part.strip()))
    order = EvalRequest(
        data,
        addresses,
        out,
        name=run_name or "",
        kind=endpoint,
        sampling=sampling,
        suite=ready,
        reports=not no_report,
        guarded=True,
        **options,
    )
    with ui.Follow("answers", max(total, 1)) as bar:
        results = run_evaluation(
            order, on_done=lambda pred: None if pred.reason == "answer.not_asked" else bar.one(), say=ui.say
        )
    if as_json:
        print_json(results)
    else:
        show(results, out / ("results.json" if no_report else "report.html"))
    if results["stopped"]:
        missing = f"{results['counts']['lost']} of {results['counts']['in']} answers are missing"
        raise EngineError(
            f"{missing}: {results['stopped']}",
            hint="nothing is lost: start the server and run the same command to resume",
        )
    if not results["complete"]:
        sys.exit(EXIT_PROBLEMS)


def suite_to_score(name: str, out: Path) -> suites.ReadySuite | None:
    """The suite that SUITE=… means, with its data made ready beside `out`; None where DATA is meant."""
    path = suites.find(name)
    if path is None:
        close = get_close_matches(name, suites.known(), n=1)
        if close and not Path(name).exists() and not (datasets.DATASETS / name).exists():
            raise UsageError("neither data nor a suite", where=name, hint=f"did you mean {close[0]} ?")
        return None
    suite = suites.load(path)
    ui.say(f"suite {suite.name}" + (f": {suite.title}" if suite.title else ""))
    return suites.make_ready(
        suite,
        path.parent,
        out.absolute().parent / "suites" / suite.name,
        say=ui.say,
    )


def rows_to_score(name: str) -> Path:
    """The file that DATA=… means here: a file itself; of a folder or a name the test file, or its train.jsonl where
    there is none.
    """
    if (alone := Path(name) / "test.jsonl").is_file() and not (Path(name) / "dataset.yaml").is_file():
        ui.say(f"scoring {alone}")
        return alone
    data_set = datasets.find(name, say=ui.say)
    given = Path(name).is_file()
    path = Path(name) if given else data_set.test or data_set.train
    ui.say(f"scoring {path}" + ("" if given or data_set.test else "; it has no test.jsonl beside it"))
    return path


def data_label(data: Path) -> str:
    """What rows are called in the name of a folder: `mine` of mine/test.jsonl."""
    parent = data.resolve().parent.name  # ../test.jsonl has one, too
    return parent if data.name == "test.jsonl" and parent else data.stem


HEADLINES = (
    "cer",
    "wer",
    "teds",
    "teds_s",
    "similarity",
    "rms_f1",
    "exact",
    "truncated",
    "runaway",
)  # those that the end of a run shows


def show(results: dict[str, Any], written: Path) -> None:
    """The scores as a table; those that were asked for by name, too."""
    from sft.evaluation import EXTRAS
    from sft.report import name_of, wording

    scores = results["scores"]
    counts = results["counts"]
    title = f"{ui.counted(counts['in'], 'sample')} = {counts['scored']} scored + {counts['lost']} lost"
    parts = results.get("sets") or results.get("tasks") or {}
    if set(parts) <= {"ocr"}:
        rows = [[name_of(name), wording.value(name, scores[name])] for name in TEXT_SCORES]
        rows += [
            [name, wording.value(name, scores[name])] for name in EXTRAS if name in scores
        ]  # as they were asked for
        ui.table(title, ["", "score"], rows)
    else:
        names = [name for name in (*HEADLINES, *EXTRAS) if any(name in part["scores"] for part in parts.values())]
        rows = [
            [
                part,
                str(scored["counts"]["scored"]),
                *(wording.value(name, scored["scores"][name]) if name in scored["scores"] else "" for name in names),
            ]
            for part, scored in parts.items()
        ]
        ui.table(title, ["", "n", *names], rows)
        for part, scored in parts.items():
            if scored["unscored"]:
                ui.say(f"{part} is not scored: {scored['unscored'].splitlines()[0]}")
    ui.lost(results)
    ui.out.print(f"report: {written}", markup=False)
