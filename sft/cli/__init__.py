"""The command `sft`. Each verb lives in a module of its own that is imported only when the verb is used."""

from __future__ import annotations

import importlib
import sys
from difflib import get_close_matches

import click

from sft import __version__
from sft.errors import EXIT_ENGINE, EXIT_INTERRUPTED, SftError

__all__ = [
    "main",
]

# verb → (module, one line for `sft --help`), in the order of a day's work
VERBS: dict[str, tuple[str, str]] = {
    "init": ("datasets", "write a small data set to start from"),
    "fetch": ("datasets", "download a public data set, images made local"),
    "draw": ("datasets", "draw the sample of a data set"),
    "convert": ("convert", "labels of any format become samples"),
    "synth": ("synth", "generate text, tables, formulas or charts with known labels"),
    "validate": ("validate", "check a JSONL file, row by row"),
    "stats": ("inspect", "what a data set is made of, as a table and a page"),
    "view": ("inspect", "look at rows, drawn as what they mean"),
    "split": ("curate", "hold rows out, leak-free"),
    "mix": ("curate", "draw one training set out of several"),
    "dedupe": ("curate", "take out duplicates and contradictions"),
    "plan": ("plan", "from samples, epochs, GPUs, batch and accumulation to steps"),
    "run": ("train", "the whole job: validate, plan, train, export, serve, score, report"),
    "train": ("train", "train only; --dry-run shows what would run"),
    "runs": ("runs", "all runs: state, data, model, scores; also as a page"),
    "status": ("runs", "where a run stands, from any shell"),
    "reproduce": ("runs", "the command that does a run once more"),
    "export": ("train", "complete and prove a model directory"),
    "doctor": ("doctor", "what a model directory is, and what keeps it from serving"),
    "tiny-model": ("models", "build a tiny PaddleOCR-VL with random weights"),
    "fetch-model": ("models", "download a released model and check it"),
    "serve": ("serve", "serve a model directory with vLLM"),
    "bundle": ("bundle", "a folder to deploy: compose file, settings, model, scripts"),
    "eval": ("evaluate", "score the answers of a running server"),
    "prelabel": ("prelabel", "first labels for pictures, from a served model"),
    "review": ("review", "find labels that are probably wrong, and take corrections back"),
    "compare": ("compare", "which run is better, by how much, how sure, and what was forgotten"),
    "compare-models": ("compare_models", "serve models one after the other, score and compare them"),
    "curve": ("curve", "score every checkpoint of a run, and say which one to take"),
    "env": ("setup", "make the trainer's or the server's environment"),
    "image": ("setup", "build the training container with ERNIEKit"),
}


class Verbs(click.Group):
    """A group that imports late and suggests for typos."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of VERBS."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a verb."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"sft.cli.{VERBS[cmd_name][0]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion in the error."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            close = get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(
                f"No such command {args[0]!r}.{hint}",
                ctx,
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list from VERBS, without importing the verbs."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, package_name="paddleocr-vl-sft")
def sft() -> None:
    """Fine-tune PaddleOCR-VL: from labelled images to a served model, with nothing failing silently in between.

    \b
    Examples:
      sft run bengali                      the whole job on the sample that ships
      sft validate mine.jsonl              is my data fit to train on?
      sft plan --samples 29605 --epochs 2 --gpus 1 --batch 8 --accum 8
    """


def main() -> None:
    """Entry point: errors become a sentence and an exit code."""
    try:
        sft.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SftError as error:
        from sft.ui import report_error

        report_error(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):  # click turns Ctrl-C into Abort
        print("stopped; run the same command to resume", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # a full disk, missing rights: the system's words, not a traceback
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {where}{error.strerror or error}\n\nhint: check free space and rights, then run the same command"
            " again",
            file=sys.stderr,
        )
        sys.exit(EXIT_ENGINE)
