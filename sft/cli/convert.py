"""`sft convert`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sft import formats, models, ui
from sft.cli.options import as_record, json_option, model_option, print_json
from sft.errors import EXIT_PROBLEMS, UsageError
from sft.formats import MEANING, Format
from sft.runtime import Runner
from sft.types import Task

if TYPE_CHECKING:
    from sft.convert import ConvertRequest, Result

MARKUPS = ("auto", *MEANING)


@dataclass(frozen=True)
class ConvertOptions:
    """The options of `sft convert`, as its help describes them."""

    name: str | None
    source: Path | None
    out: Path | None
    listing: bool
    model_name: str
    prompt: str
    task: str | None
    columns: tuple[str, ...]
    markup: str
    delimiter: str
    images: Path | None
    split: str
    quotes: str
    turn: bool
    as_served: bool
    to: Literal["erniekit", "messages"]
    copy: bool
    deep: bool
    strict: bool
    fresh: bool
    workers: int
    runner: str
    address: str
    as_json: bool


@click.command()
@click.argument("name", metavar="FORMAT", required=False)
@click.argument("source", type=click.Path(path_type=Path), required=False)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="OUT.jsonl",
    help="The samples; rejects, manifest and new images are written beside it.",
)
@click.option("--list", "listing", is_flag=True, help="Show the formats, or one of them with an example row, and exit.")
@click.option(
    "--task",
    type=click.Choice([task.value for task in Task]),
    help="Task of the images [default: the format's own].",
)
@model_option
@click.option(
    "--prompt",
    default="",
    metavar="TEXT",
    help="Another prompt than the model's own; the PaddleOCR pipeline will not send it.",
)
@click.option(
    "--map",
    "columns",
    multiple=True,
    metavar="NAME=COLUMN",
    help="Which column holds what, for formats with named columns; can be repeated.",
)
@click.option(
    "--markup", type=click.Choice(MARKUPS), default="auto", show_default=True, help="How the labels are written."
)
@click.option(
    "--delimiter",
    default="",
    metavar="CHAR",
    help="Delimiter of the cells of labels that are CSV: a comma, ';', 'tab' or '|' [default: detected].",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder that image paths are relative to [default: as the format says].",
)
@click.option(
    "--split",
    default="",
    metavar="NAME",
    help="Only this split, for formats that have several; `--list FORMAT` shows which.",
)
@click.option(
    "--quotes",
    type=click.Choice(["auto", "csv", "none"]),
    default="auto",
    show_default=True,
    help="For CSV and TSV: csv removes quotes around a field, none keeps them as text.",
)
@click.option(
    "--turn",
    is_flag=True,
    help="Turn crops that are at least 1.5 times as tall as wide by 90°, as PaddleOCR's recognition data are.",
)
@click.option(
    "--as-served",
    is_flag=True,
    help="Cut pages as the PaddleOCR pipeline does: neighbouring texts joined, formulas without margins, pictures in"
    " tables as marks [F2]; for omnidocbench, docling, page-xml, ppocrlabel.",
)
@click.option(
    "--to",
    type=click.Choice(["erniekit", "messages"]),
    default="erniekit",
    show_default=True,
    help="Rows of ERNIEKit, or of PaddleFormers, ms-swift and LLaMA-Factory.",
)
@click.option(
    "--copy", is_flag=True, help="Also copy images that could stay where they are, so that OUT's folder can be moved."
)
@click.option(
    "--deep", is_flag=True, help="Decode every image; by default only header and end of the file are checked."
)
@click.option(
    "--strict",
    is_flag=True,
    help="Exit with 1 if any row was rejected, except those that their author marked as not to be used.",
)
@click.option("--fresh", is_flag=True, help="Convert again, and overwrite what exists.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Processes [default: one per core]. The result is the same with any number.",
)
@click.option(
    "--runner",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray: run on a cluster whose nodes share the file system.",
)
@click.option(
    "--address",
    default="",
    metavar="HOST:PORT",
    help="Address of a running Ray cluster [default: one is started here].",
)
@json_option
@as_record(ConvertOptions)
def convert(chosen: ConvertOptions) -> None:
    """Convert SOURCE, a file or folder in one of the known formats, into samples that train.

    Every row of the source becomes a sample or a line of OUT.rejects.jsonl with the reason; OUT.manifest.json keeps the
    account. Images stay where they are unless a trainer would misread them (EXIF rotation, transparency, 16 bits) or
    they are cut out, embedded or remote: then they go to a folder beside OUT, under a name made of their content.
    Labels may name any image file of this machine, by absolute paths and by .. too; nothing but images is opened. (Data
    sets that are published whole keep their images below their folder: hf, pubtabnet, chartqa, im2latex, hme100k,
    icdar, ppocrlabel.) Addresses are fetched over http(s) from public hosts only.

    A command that was stopped or killed goes on from there when it is given again; given once more, it does nothing,
    unless labels, images or what it wrote have changed. A file that it did not write is never overwritten.

    Exit codes: 0 where samples were written, even if some rows were rejected (with --strict: 1); 1 where none could be;
    2 for a command that makes no sense; 3 for a full disk or a worker that was killed.

    \b
    Examples:
      sft convert --list
      sft convert --list omnidocbench
      sft convert paddleocr-rec train/rec_gt_train.txt -o train.jsonl
      sft convert omnidocbench OmniDocBench.json -o pages.jsonl --as-served
      sft convert ppocrlabel photos/Label.txt -o lines.jsonl --turn
      sft convert csv prices.csv -o tables.jsonl --task table --map image=file --map text=html --markup html
      sft convert erniekit train.jsonl -o chat.jsonl --to messages
    """
    name = chosen.name
    if chosen.listing:
        _list(name, chosen.as_json)
        return
    if name is None or chosen.source is None or chosen.out is None:
        missing = "FORMAT" if name is None else "SOURCE" if chosen.source is None else "-o OUT.jsonl"
        raise click.UsageError(f"Missing {missing}. `sft convert --list` shows the formats.")
    if chosen.address and chosen.runner != "ray":
        raise UsageError("--address goes with --runner ray")
    from sft.convert import ConvertRequest, options_of

    source_format = formats.get(name)
    task = Task(chosen.task) if chosen.task else None
    said = {name: getattr(chosen, name) for name in ("markup", "images", "split", "turn", "quotes", "as_served")}
    options = options_of(
        source_format, _columns(chosen.columns), task=task, delimiter=_delimiter(chosen.delimiter), **said
    )
    order = ConvertRequest(
        name,
        chosen.source,
        chosen.out,
        options,
        model=chosen.model_name,
        prompt=chosen.prompt,
        to=chosen.to,
        copy=chosen.copy,
        deep=chosen.deep,
    )
    _warn(chosen.prompt, models.get(chosen.model_name))
    result = _run(
        order,
        Runner("ray" if chosen.runner == "ray" else "local", chosen.workers, chosen.address),
        fresh=chosen.fresh,
        as_json=chosen.as_json,
    )
    _report(result, chosen.out, own_prompt=bool(chosen.prompt), as_json=chosen.as_json)
    reasons = result.manifest["counts"]["reasons"]
    if chosen.strict and any(code != "source.ignored" for code in reasons):
        sys.exit(EXIT_PROBLEMS)


def _delimiter(text: str) -> str:
    """One character, or its name."""
    character = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}.get(
        text.lower(),
        text,
    )
    if len(character) > 1 or character in ('"', "\n", "\r"):
        raise UsageError(
            f"--delimiter takes one character, found {text!r}", hint="for example: --delimiter ';' or --delimiter tab"
        )
    return character


def _run(order: ConvertRequest, runner: Runner, *, fresh: bool, as_json: bool) -> Result:
    """Convert with a bar; programs get the account of a source without one usable row, too."""
    from sft.convert import NothingUsable
    from sft.convert import convert as run

    try:
        with ui.Phases() as phases:
            return run(
                order,
                runner,
                fresh=fresh,
                progress=lambda done, total: phases.update(f"converting {order.source.name}", done, total),
            )
    except NothingUsable as nothing:
        if as_json:
            print_json(nothing.account)
        raise


def _warn(prompt: str, version: models.ModelVersion) -> None:
    if prompt and prompt.strip() not in version.prompts.values():
        ui.say(
            f"warning: {prompt!r} is not one of {version.served_name}'s prompts; the PaddleOCR pipeline will not"
            " send it, only your own client can"
        )


def _columns(pairs: tuple[str, ...]) -> dict[str, str]:
    columns = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not equals or not name or not column:
            raise UsageError(
                f"--map takes NAME=COLUMN, found {pair!r}", hint="for example: --map image=file_name --map text=label"
            )
        columns[name] = column
    return columns


def _report(result: Result, out: Path, *, own_prompt: bool, as_json: bool) -> None:
    """The account for people, or the manifest for programs."""
    counts = result.manifest["counts"]
    for sentence in result.manifest.get("warnings", ()):
        ui.say(f"warning: {sentence}")
    for sentence in result.manifest.get("notes", ()):
        ui.say(f"note: {sentence}")
    if result.custom_prompts and not own_prompt:
        ui.say(
            f"warning: rows with prompts that the PaddleOCR pipeline never sends: {result.custom_prompts}; `sft"
            f" validate {out}` shows them, --prompt replaces them"
        )
    if result.later:
        ui.say(
            f"rows that wait for images whose hosts did not answer: {result.later}; run the same command to try"
            " them again"
        )
    if as_json:
        print_json(result.manifest)
        return
    if counts["reasons"]:
        ui.table(
            "",
            ["reason", "count"],
            [[code, str(count)] for code, count in counts["reasons"].items()],
        )
    where = f"; they are in {out.with_name(f'{out.stem}.rejects.jsonl')}" if counts["rejected"] else ""
    if merged := counts.get("merged"):
        ui.say(f"as the pipeline shows it: {merged['blocks']} blocks are joined in {merged['rows']} of the rows")
    already = "already done, nothing to do: " if result.reused else ""
    ui.out.print(
        f"{already}{out}: {ui.counted(counts['in'], 'row')} = {counts['out']} written"
        f" + {counts['rejected']} rejected{where}",
        markup=False,
    )


def _list(name: str | None, as_json: bool) -> None:
    listed = [formats.get(name)] if name else [formats.get(known) for known in formats.FORMATS]
    if as_json:
        print_json([_as_dict(one) for one in listed])
        return
    if name:
        _show(listed[0])
        return
    rows = [[one.name, one.title, ", ".join(task.value for task in one.tasks), one.origin] for one in listed]
    ui.table("", ["format", "what it is", "tasks", "described in"], rows)
    ui.say("`sft convert --list FORMAT` shows an example row")


def _as_dict(one: Format) -> dict[str, Any]:
    return {
        "name": one.name,
        "title": one.title,
        "origin": one.origin,
        "tasks": [task.value for task in one.tasks],
        "columns": list(one.columns),
        "splits": one.splits,
        "as_served": one.served,
        "example": one.example,
    }


def _show(one: Format) -> None:
    ui.out.print(
        f"{one.name}: {one.title}",
        markup=False,
    )
    ui.out.print(
        f"tasks: {', '.join(task.value for task in one.tasks)}\norigin: {one.origin}",
        markup=False,
    )
    if one.splits:
        ui.out.print(f"--split: {one.splits}", markup=False)
    if one.served:
        ui.out.print("--as-served: pages can be cut as the PaddleOCR pipeline cuts them", markup=False)
    if one.columns:
        ui.out.print(
            f"columns for --map: {', '.join(one.columns)}",
            markup=False,
        )
    ui.out.print(f"example:\n{one.example}", markup=False)
