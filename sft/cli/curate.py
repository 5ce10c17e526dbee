"""`sft split`, `sft mix`, `sft dedupe`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sft import ui
from sft.cli.options import as_record, json_option, print_json
from sft.datasets import locate
from sft.errors import UsageError
from sft.runtime import Runner
from sft.types import GROUP_KEYS

seed_option = click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same bytes.")
workers_option = click.option(
    "--workers", type=click.IntRange(min=0), default=0, metavar="N", help="Processes [default: one per core]."
)
runner_option = click.option(
    "--runner", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Where the work is done."
)
address_option = click.option(
    "--address", default="", metavar="HOST:PORT", help="Address of a Ray cluster [default: one is started here]."
)


@dataclass(frozen=True)
class SplitOptions:
    """The options of `sft split`, as its help describes them."""

    data: Path
    out: Path
    test: float
    val: float
    groups: tuple[str, ...]
    strata: tuple[str, ...]
    near: bool
    ignore_published: bool
    seed: int
    workers: int
    runner: str
    address: str
    as_json: bool


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder for train.jsonl, test.jsonl and val.jsonl.",
)
@click.option(
    "--test",
    type=float,
    default=0.05,
    show_default=True,
    help="Rows to hold out: a share below 1, or a number of rows.",
)
@click.option("--val", type=float, default=0.0, show_default=True, help="Rows for a second held-out part.")
@click.option(
    "--group",
    "groups",
    multiple=True,
    default=GROUP_KEYS,
    show_default=True,
    metavar="KEY",
    help="Keep rows with the same value of this key together, such as a document; none: only rows of one image.",
)
@click.option(
    "--stratify",
    "strata",
    multiple=True,
    default=("task",),
    show_default=True,
    metavar="KEY",
    help="task, script, length, or a key of the rows: with the same distribution in all parts.",
)
@click.option("--near", is_flag=True, help="Also keep images that look the same together; decodes every image.")
@click.option(
    "--ignore-published",
    is_flag=True,
    help=(
        "Treat rows of a published val or test split (meta.split) like all others [default: they are never trained on]."
    ),
)
@seed_option
@workers_option
@runner_option
@address_option
@json_option
@as_record(SplitOptions)
def split(chosen: SplitOptions) -> None:
    """Hold rows out, leak-free: rows that share an image or a document are never on both sides.

    \b
    Examples:
      sft split all.jsonl -o mine                               5 % for test, the same mixture of tasks
      sft split all.jsonl -o mine --test 500 --val 500 --stratify task --stratify script
      sft split all.jsonl -o mine --group source.book
    """
    groups = chosen.groups
    from sft.datasets import Keys, SplitRules, few_groups_warning
    from sft.datasets import split_set as run

    parts = [(name, size) for name, size in (("val", chosen.val), ("test", chosen.test)) if size]
    if any(size < 0 or (size >= 1 and size != int(size)) for _, size in parts) or not parts:
        raise UsageError(
            "--test and --val take a share between 0 and 1, or a whole number of rows", hint="--test 0.05 or --test 200"
        )
    groups = tuple(key for key in groups if key != "none")
    context = click.get_current_context()
    given = [
        key
        for name, keys in (("groups", groups), ("strata", chosen.strata))
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
        for key in keys
    ]
    locate.one_file(chosen.data)
    with ui.Follow(f"reading {chosen.data.name}", _size(chosen.data), unit=" bytes") as bar:
        outcome = run(
            chosen.data,
            chosen.out,
            parts=parts,
            keys=Keys(groups, chosen.strata, tuple(given)),
            rules=SplitRules(chosen.near, published=not chosen.ignore_published),
            seed=chosen.seed,
            runner=_runner(chosen.workers, chosen.runner, chosen.address),
            progress=bar.update,
        )
    _tell(outcome.manifest, outcome.fresh, chosen.out, chosen.as_json)
    if not chosen.as_json:
        _tell_published(outcome.manifest)
        for part, count in outcome.manifest.get("few_groups", {}).items():
            ui.say(f"warning: {part}: {few_groups_warning(count)}")
        names = outcome.manifest["parts"]
        ui.table(
            "",
            ["stratum", *names],
            [[name, *map(str, counts)] for name, counts in outcome.strata],
        )


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="FILE[=WEIGHT]...")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The mixture.")
@click.option(
    "--replay",
    "replays",
    multiple=True,
    metavar="FILE=SHARE",
    help="Rows of other tasks, as a share of the output, against forgetting; sampled evenly over their tasks.",
)
@click.option(
    "--balance",
    type=click.Choice(["weights", "sqrt", "equal"]),
    default="weights",
    show_default=True,
    help="weight x rows, weight x root of rows (1/√N a row), or weight alone.",
)
@click.option("--rows", type=click.IntRange(min=1), help="Rows of the output [default: as many as the sources have].")
@seed_option
@workers_option
@json_option
def mix(
    sources: tuple[str, ...],
    out: Path,
    replays: tuple[str, ...],
    balance: str,
    rows: int | None,
    seed: int,
    workers: int,
    as_json: bool,
) -> None:
    """Draw one training set out of several.

    \b
    Examples:
      sft mix forms.jsonl notes.jsonl=3 -o train.jsonl          every row of notes three times as likely
      sft mix bengali.jsonl --replay base-tasks.jsonl=0.2 -o train.jsonl
      sft mix de.jsonl fi.jsonl sv.jsonl --balance sqrt -o train.jsonl
    """
    from sft.datasets import MixInput
    from sft.datasets import mix_sets as run

    given = [(*_weighed(text, 1.0), False) for text in sources] + [(*_weighed(text, None), True) for text in replays]
    files = [locate.one_file(Path(name)) for name, _, _ in given]
    with ui.Follow("reading", sum(_size(path) for path in files), unit=" bytes") as bar:
        outcome = run(
            [MixInput(*item) for item in given],
            files,
            out,
            rows=rows,
            balance=balance,
            seed=seed,
            runner=_runner(workers),
            progress=bar.update,
        )
    _tell(outcome.manifest, outcome.fresh, out, as_json)
    counts = outcome.manifest["counts"]
    if not as_json:
        columns = ["source", "in", "share", "out", "distinct", "left_out"]
        ui.table(
            "",
            columns,
            [[str(row[column]) for column in columns] for row in outcome.manifest["sources"]],
        )
        for row in outcome.manifest["sources"]:
            if row["left_out"]:
                ui.say(
                    f"{ui.counted(row['left_out'], 'row')} of {row['source']} left out: its share is"
                    f" {row['share']:.1%} of {ui.counted(counts['out'], 'row')}; a larger --rows or weight takes more"
                )


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The file without duplicates.")
@click.option("--keep-first", is_flag=True, help="Where one image has two answers, keep the first [default: none].")
@click.option(
    "--near", is_flag=True, help="Also remove images that look the same and say the same; decodes every image."
)
@workers_option
@runner_option
@address_option
@json_option
def dedupe(
    data: Path, out: Path, keep_first: bool, near: bool, workers: int, runner: str, address: str, as_json: bool
) -> None:
    """Take out rows that repeat others, and images that have two different answers.

    \b
    Example:
      sft dedupe all.jsonl -o clean.jsonl
    """
    from sft.datasets import dedupe_set as run

    locate.one_file(data)
    with ui.Follow(f"reading {data.name}", _size(data), unit=" bytes") as bar:
        outcome = run(
            data, out, keep_first=keep_first, near=near, runner=_runner(workers, runner, address), progress=bar.update
        )
    _tell(outcome.manifest, outcome.fresh, out, as_json)


def _tell_published(account: dict[str, Any]) -> None:
    """Where the rows went that a published set holds out."""
    published = account.get("published")
    if not published:
        return
    to = {name: name if name in account["parts"] else account["parts"][-1] for name in ("val", "test")}
    rows = " and ".join(
        f"{published[name]} of {name} (now in {to[name]}.jsonl)" for name in ("val", "test") if published[name]
    )
    along = (
        f"; {published['along']} more went along, since they share an image or a document with them"
        if published["along"]
        else ""
    )
    ui.say(
        f"rows of a published val or test split are not trained on: {rows}{along}; --ignore-published deals them out"
        " like all others"
    )


def _runner(workers: int, kind: str = "local", address: str = "") -> Runner:
    return Runner("ray" if kind == "ray" else "local", workers, address)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 1


def _weighed(text: str, default: float | None) -> tuple[str, float]:
    """FILE=WEIGHT; a name that holds an equals sign itself is a file as it stands."""
    name, mark, number = text.rpartition("=")
    if not mark or Path(text).is_file():
        if default is None:
            raise UsageError(f"{text!r} has no share after =", hint=f"--replay {text}=0.2")
        return text, default
    try:
        weight = float(number)
    except ValueError:
        weight = -1.0
    if not 0 < weight < float("inf"):
        raise UsageError(
            f"{number!r} is no weight", where=text, hint="FILE=WEIGHT with a number above 0, such as notes.jsonl=3"
        )
    return name, weight


def _tell(account: dict[str, Any], fresh: bool, out: Path, as_json: bool) -> None:
    if as_json:
        print_json(account)
        return
    if not fresh:
        ui.say(f"{out}: everything exists already, nothing to do")
    counts = account["counts"]
    for reason, count in counts["reasons"].items():
        ui.say(f"rejected: {count} x {reason}")
    files = ", ".join(f"{name} {count}" for name, count in counts["files"].items())
    more = f"; {counts['left_out']} left out, {counts['repeated']} repeated" if "left_out" in counts else ""
    ui.out.print(
        f"{ui.counted(counts['in'], 'row')} in; out: {files}; {counts['rejected']} rejected{more}",
        markup=False,
    )
