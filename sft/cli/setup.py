"""`sft env` and `sft image`."""

from __future__ import annotations

from pathlib import Path

import click

from sft import ui
from sft.errors import EngineError
from sft.runtime import container, environments
from sft.training import trainer


@click.command()
@click.argument("name", type=click.Choice(list(environments.ENVIRONMENTS)))
def env(name: str) -> None:
    """Make the trainer's or the server's environment, if it is missing or its pins have changed; prints its Python.

    \b
    Example:
      sft env trainer
    """
    reason = environments.no_cpu_server() if name == "server" else ""
    if reason:
        ui.say(f"left out: {reason}")
        return
    seconds = environments.ensure_all([name], ui.say)
    if seconds:
        ui.say(f"done in {seconds:.0f} s")
    click.echo(environments.ensure(name).python)


@click.command()
@click.option("--cuda", type=click.Choice(["12.6", "12.9"]), help="[default: by the GPU; 12.9 for Blackwell]")
@click.option("--dry-run", is_flag=True, help="Print Docker's command and exit.")
def image(cuda: container.Cuda | None, dry_run: bool) -> None:
    """Build the training container with ERNIEKit for this machine's GPU.

    \b
    Example:
      sft image --cuda 12.9
    """
    gpus = container.find_gpus()
    chosen = cuda or (container.choose_cuda(gpus[0].compute_capability) if gpus else "12.6")
    if dry_run:
        click.echo(" ".join(container.build_command(Path.cwd(), chosen)))
        return
    if not container.find_docker():
        raise EngineError(
            "no Docker engine is running here", hint="start Docker, or see what would run: `sft image --dry-run`"
        )
    trainer.build_image(
        chosen,
        Path.cwd(),
        Path("runs") / "image.log",
        ui.say,
    )
    click.echo(container.image_name(chosen))
