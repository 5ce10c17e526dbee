"""`sft serve`: serve a model directory with vLLM."""

from __future__ import annotations

import shlex
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from sft import models as exporting
from sft import serving, ui
from sft.errors import EngineError, ProblemsFound, UsageError
from sft.files import read_table
from sft.runtime import Machine, environments


@click.command()
@click.argument("model_dir", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(1, 65535), default=serving.DEFAULT_PORT, show_default=True)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 also serves other machines."
)
@click.option("--device", type=click.Choice(["cpu", "gpu"]), help="[default: gpu where there is one]")
@click.option("--max-model-len", type=click.IntRange(min=1), metavar="TOKENS")
@click.option(
    "--gpu-memory",
    type=click.FloatRange(min=0, min_open=True, max=1),
    default=0.8,
    show_default=True,
    help="Share of the GPU's memory that vLLM takes.",
)
@click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Run the Python files of the model directory. Only for directories you trust.",
)
@click.option("--dry-run", is_flag=True, help="Print the server's command and exit.")
def serve(
    model_dir: Path,
    port: int,
    host: str,
    device: str | None,
    max_model_len: int | None,
    gpu_memory: float,
    trust_remote_code: bool,
    dry_run: bool,
) -> None:
    """Serve a model directory with vLLM; says when the first image was answered, stops with Ctrl-C.

    \b
    Example:
      sft serve models/bengali --port 8118
    """
    version = serving.version_of(model_dir)
    exporting.verify_served(model_dir, version)
    machine = Machine.look()
    chosen = device or ("gpu" if machine.gpus else "cpu")
    more: dict[str, Any] = {
        "host": host,
        "max_model_len": max_model_len,
        "gpu_memory": gpu_memory,
        "trust_remote_code": trust_remote_code,
    }
    if dry_run:
        click.echo(
            shlex.join(
                serving.server_command(
                    model_dir, version, serving.ServerOptions("python", port=port, device=chosen, **more)
                )
            )
        )
        return
    serving.require_free_port(host, port)
    reason = environments.no_cpu_server() if chosen == "cpu" else ""
    if reason:
        raise EngineError(reason, hint="serve the directory in the container: see docs/serving.md")
    options = serving.server_options(chosen, machine, port=port, **more)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="sft-serve-"))  # stays when the server fails: its log says why
    try:
        with serving.running(model_dir, version, options, log=folder / "server.log", say=ui.say) as server:
            click.echo(f"{server.url}/v1  model {version.served_name}")
            ui.flush()
            ui.say("ready: the first image was answered, and its prompt is the trained one; Ctrl-C stops")
            ui.say(told_of(model_dir))
            ui.say("to read with the PaddleOCR client:")
            limits = exporting.pixel_limits(model_dir)
            longest = serving.context_of(model_dir, options)
            for line in serving.client_lines(version, limits, url=f"{server.url}/v1", longest=longest):
                ui.say(f"  {line}")
            server.watch()
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        ui.say("stopped")


def told_of(model_dir: Path) -> str:
    """Which run and data a directory comes from, as its export says."""
    manifest: dict[str, Any] = {}
    with suppress(ProblemsFound, UsageError, OSError):
        manifest = read_table(model_dir / exporting.MANIFEST)
    step = manifest.get("checkpoint", manifest.get("max_steps"))
    data = manifest.get("data")
    run = f"run {manifest['run']}" + (f", step {step}" if step else "") if "run" in manifest else "of no run"
    trained = (
        f", trained on {ui.counted(int(data.get('rows') or 0), 'row')} of {data.get('name')}"
        if isinstance(data, dict)
        else ""
    )
    return f"serving {model_dir}: {run}{trained}"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
