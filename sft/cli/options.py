"""Options that several verbs share."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sft import ui

if TYPE_CHECKING:
    from sft.training import Request

    _ParamType = click.ParamType[str]
else:
    _ParamType = click.ParamType  # which older versions of click do not subscript

TEXT_SCORES = ("cer", "wer", "ned", "exact", "truncated", "empty")  # of a set that is text only, on the terminal
F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")
Chosen = TypeVar("Chosen")


def as_record(kind: Callable[..., Chosen]) -> Callable[[Callable[[Chosen], R]], Callable[..., R]]:
    """The options of a verb as one record: click passes each by its name, and the verb takes `kind` of them all."""

    def decorate(verb: Callable[[Chosen], R]) -> Callable[..., R]:
        @wraps(verb)
        def call(**options: Any) -> R:
            return verb(kind(**options))

        return call

    return decorate


class ExtraScore(_ParamType):
    """A score that is only measured where it is asked for; the list is read when one is named, to keep the
    help fast.
    """

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if there is such a score."""
        from difflib import get_close_matches

        from sft.evaluation import EXTRAS, SCORES

        if value in SCORES and value not in EXTRAS:
            self.fail(f"{value} is always measured; these are measured on request: {', '.join(EXTRAS)}")
        if value not in EXTRAS:
            close = get_close_matches(value, EXTRAS, n=1)
            self.fail(
                f"no score called {value!r}{f', did you mean {close[0]!r} ?' if close else ''}; known:"
                f" {', '.join(EXTRAS)}"
            )
        return str(value)


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
metric_option = click.option(
    "--metric",
    "metrics",
    multiple=True,
    type=ExtraScore(),
    help=(
        "A score beyond the usual ones, e.g. cer_graphemes, grits_con, scrm, ned_omnidocbench, or cdm, which needs"
        " LaTeX."
    ),
)
model_option = click.option(
    "--model",
    "model_name",
    default="0.9B",
    show_default=True,
    metavar="NAME",
    help="Model version whose prompts apply: 0.9B, 1.5 or 1.6.",
)


api_key_option = click.option(
    "--api-key",
    metavar="KEY",
    envvar="SFT_API_KEY",
    show_envvar=True,
    help="API key of the server; safer in the environment than on the command line.",
)

concurrency_option = click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most requests in flight per server [default: as many as it can take].",
)


def patience_option(default: float) -> Callable[[F], F]:
    """Seconds without any server."""
    return click.option(
        "--patience",
        type=click.FloatRange(min=0),
        default=default,
        show_default=True,
        metavar="S",
        help="Give up after this many seconds without any server.",
    )


max_tokens_option = click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Longest answer in tokens [default: half of the server's context, at most 4096].",
)


def print_json(value: Any) -> None:
    """Data for programs, on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def run_options(function: F) -> F:
    """What decides a training run; everything left out is chosen and said aloud."""
    for option in reversed(
        [
            click.option("--engine", metavar="NAME", help="erniekit or paddleformers."),
            click.option("--model", metavar="NAME|DIR", help="0.9B, 1.5, 1.6, tiny, or a model directory."),
            click.option(
                "--model-version", metavar="NAME", help="Version of a model directory that does not name its version."
            ),
            click.option("--epochs", type=float, metavar="E", help="How many times each sample is seen."),
            click.option("--gpus", type=int, metavar="G", help="GPUs of this machine."),
            click.option("--batch", type=int, metavar="B", help="Samples per micro-step."),
            click.option("--accum", type=int, metavar="A", help="Micro-steps per update."),
            click.option("--lr", "learning_rate", type=float, metavar="RATE", help="Peak learning rate."),
            click.option("--max-steps", type=int, metavar="N", help="Upper limit of updates."),
            click.option("--save-steps", type=int, metavar="N", help="Steps between checkpoints."),
            click.option("--max-seq-len", type=int, metavar="TOKENS", help="Longest sample in tokens."),
            click.option("--seed", type=int, metavar="N", help="Seed of random weights and of the trainer."),
            click.option(
                "--config",
                "config_file",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="A YAML file of settings, see configs/train/.",
            ),
            click.option(
                "--rehearsal/--no-rehearsal",
                default=None,
                help="Train a tiny model on the CPU [default: if there is no NVIDIA GPU].",
            ),
            click.option(
                "--runs",
                type=click.Path(path_type=Path),
                default=Path("runs"),
                show_default=True,
                help="Folder for the run folders.",
            ),
            click.option(
                "--models",
                type=click.Path(path_type=Path),
                default=Path("models"),
                show_default=True,
                help="Folder of base models.",
            ),
        ]
    ):
        function = option(function)
    return function


def request(options: dict[str, Any]) -> Request:
    """The options of `run_options` as a request."""
    from sft.training import Request  # brings the whole job with it; most verbs need none of it

    options = dict(options)
    known = {name: options.pop(name) for name in ("config_file", "rehearsal", "runs", "models")}
    return Request(
        flags={key: value for key, value in options.items() if value is not None},
        **known,
    )


def list_problems(report: Any, limit: int) -> None:
    """The findings of a report, one line each, errors first."""
    problems = sorted(
        report.problems,
        key=lambda problem: (problem.severity != "error", problem.line),
    )
    for problem in problems[:limit]:
        where = f"{report.path}:{problem.line}" if problem.line else str(report.path)
        ui.out.print(
            ui.plain(
                f"{where}: {problem.severity} [{problem.code}] {problem.message}"
                + (f"\n    hint: {problem.hint}" if problem.hint else "")
            ),
            markup=False,
        )
    total = sum(report.counts.values())
    if total > limit:
        ui.out.print(
            f"… and {total - min(limit, len(problems))} more; --limit shows more",
            markup=False,
        )
