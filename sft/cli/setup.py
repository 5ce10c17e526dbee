"""`sft env`."""

from __future__ import annotations

import click

from sft import environments, ui


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
    if not environments.is_ready(name):
        ui.say(f"making the {name}'s environment in {environments.home(name)} (one to three minutes)")
    ready = environments.ensure(name)
    if ready.seconds:
        ui.say(f"done in {ready.seconds:.0f} s")
    click.echo(ready.python)
