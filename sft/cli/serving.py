"""`sft serve` and `sft eval`."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from sft import data as datasets
from sft import environments, job, scoring, ui
from sft import export as exporting
from sft import serve as serving
from sft.cli.common import json_option, print_json
from sft.errors import EXIT_PROBLEMS, EngineError
from sft.evaluation import predict, report
from sft.jsonl import open_input


@click.command()
@click.argument("model_dir", type=click.Path(path_type=Path))
@click.option("--port", type=int, default=serving.DEFAULT_PORT, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 answers other machines too.")
@click.option("--device", type=click.Choice(["cpu", "gpu"]), help="[default: gpu where there is one]")
@click.option("--max-model-len", type=int, metavar="TOKENS")
@click.option("--gpu-memory", type=float, default=0.8, show_default=True, help="Share of the card that vLLM takes.")
@click.option("--trust-remote-code", is_flag=True, help="Run the Python files of the model directory. Only for directories you trust.")
@click.option("--dry-run", is_flag=True, help="Print the server's command and end.")
def serve(model_dir: Path, port: int, host: str, device: str | None, max_model_len: int | None, gpu_memory: float, trust_remote_code: bool, dry_run: bool) -> None:
    """Serve a model directory with vLLM; says when the first image was answered, stops with Ctrl-C.

    \b
    Example:
      sft serve models/bengali --port 8118
    """
    version = serving.version_of(model_dir)
    exporting.prove(model_dir, version)
    machine = job.Machine.look()
    chosen = device or ("gpu" if machine.gpus else "cpu")
    more: dict[str, Any] = {"host": host, "max_model_len": max_model_len, "gpu_memory": gpu_memory, "trust_remote_code": trust_remote_code}
    if dry_run:
        click.echo(" ".join(serving.server_command(model_dir, version, serving.ServerOptions("python", port=port, device=chosen, **more))))
        return
    serving.require_free_port(host, port)
    reason = environments.no_cpu_server() if chosen == "cpu" else ""
    if reason:
        raise EngineError(reason, hint="serve the directory in the container: see docs/serving.md")
    options = job.server_options(chosen, machine, port=port, **more)
    with tempfile.TemporaryDirectory(prefix="sft-serve-") as folder, serving.serving(model_dir, version, options, log=Path(folder) / "server.log", say=ui.say) as url:
        click.echo(f"{url}/v1  model {version.served_name}")
        ui.flush()
        ui.say("ready: the first image was answered, and its prompt is the trained one; Ctrl-C stops")
        _wait()
    ui.say("stopped")


def _wait() -> None:
    """Until Ctrl-C or a termination signal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        return


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@click.command("eval")
@click.argument("name", metavar="DATA")
@click.option("--url", default=f"http://127.0.0.1:{serving.DEFAULT_PORT}", show_default=True, help="Where the server answers.")
@click.option("--model", metavar="NAME", help="Served name [default: the server's own].")
@click.option("--concurrency", type=int, default=predict.CONCURRENCY, show_default=True, help="Requests in flight.")
@click.option("--max-tokens", type=int, metavar="N", help="Longest answer [default: half of the server's context, at most 4096].")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("runs/eval"), show_default=True, help="Folder of the results.")
@json_option
def eval(name: str, url: str, model: str | None, concurrency: int, max_tokens: int | None, out: Path, as_json: bool) -> None:
    """Ask a running server for every row of DATA and score the raw answers: predictions.jsonl, results.json, report.html.

    DATA is a JSONL file; or a folder or a name under datasets/, whose test.jsonl is scored.

    \b
    Examples:
      sft eval bengali --url http://127.0.0.1:8118
      sft eval mine/test.jsonl
    """
    data = rows_to_score(name)
    with open_input(data) as stream:
        total = sum(1 for _ in stream)
    root = url.rstrip("/").removesuffix("/v1")
    with ui.Follow("answers", max(total, 1)) as bar:
        sampling = predict.Sampling(serving.answer_tokens(root) if max_tokens is None else max_tokens)
        results = scoring.evaluate(data, url, out, model=model, sampling=sampling, concurrency=concurrency, on_done=bar.one)
    preds = predict.read_predictions(out / "predictions.jsonl")
    report.write_report(out / "report.html", title=data.name, runs=[(results["endpoint"]["model"], preds)], base=data.parent, notes=[("server", results["server"] or url)])
    if as_json:
        print_json(results)
    else:
        show(results, out)
    if not results["complete"]:
        sys.exit(EXIT_PROBLEMS)


def rows_to_score(name: str) -> Path:
    """The file that DATA=… means here: a file itself; of a folder or a name the test file, or its train.jsonl where there is none."""
    found = datasets.find(name, say=ui.say)
    given = Path(name).is_file()
    path = Path(name) if given else found.test or found.train
    ui.say(f"scoring {path}" + ("" if given or found.test else "; there is no test.jsonl beside it"))
    return path


def show(results: dict[str, Any], out: Path) -> None:
    """The scores as a table."""
    scores, counts = results["scores"], results["counts"]
    rows = [[label, f"{scores[key]:.4f}"] for key, label in (("cer", "CER"), ("wer", "WER"), ("ned", "NED"), ("exact", "exact match"), ("empty", "empty"), ("truncated", "cut off"))]
    ui.table(f"{counts['in']} samples = {counts['scored']} scored + {counts['lost']} lost", ["", "score"], rows)
    ui.lost(results)
    ui.out.print(f"report: {out / 'report.html'}", markup=False)
