"""Score predictions made elsewhere, without a server.

\b
Examples:
  python eval/evaluate.py --pred runs/eval/predictions.jsonl --data datasets/bengali/sample/test.jsonl -o scores
  python eval/evaluate.py --pred theirs.jsonl --data mine/test.jsonl --name theirs

PRED has one JSON object a line with "id" (line of the sample in DATA, from 1) and "pred", the raw answer; `sft eval`
writes such files, and so can anything else. Also understood: "finish_reason" ("length" where the answer was cut off),
"error" (then it is lost).

\b
Example of a row:
  {"id": 1, "pred": "<fcel>a<fcel>b<nl>"}

Each answer is scored by the task that its prompt in DATA asks for: text, table, formula or chart. Writes
predictions.jsonl, results.json, report.html, report.md, metrics.csv and junit.xml into DIR; exit code 1 where a
prediction is missing.
"""

from __future__ import annotations

import json
import sys
from codecs import BOM_UTF8
from difflib import get_close_matches
from pathlib import Path

try:
    import click
    import msgspec

    from sft import report
    from sft.cli.options import ExtraScore
    from sft.errors import EXIT_PROBLEMS, ProblemsFound, SftError, UsageError
    from sft.evaluation import require, results
    from sft.files import bounded_lines, open_input, read_samples, sha256, write_json
    from sft.inference import client, content_hash, predict, prepare, shown
    from sft.types import Prediction, Sample
    from sft.workflows import side_by_side
except ModuleNotFoundError as missing:
    print(
        f"error: this Python has no {missing.name}\n\nhint: use that of the workbench: .venv/bin/python"
        " eval/evaluate.py (`make setup` makes it)",
        file=sys.stderr,
    )
    sys.exit(2)


class _Row(msgspec.Struct):
    id: int
    pred: str | msgspec.UnsetType = msgspec.UNSET
    finish_reason: str = ""
    error: str = ""
    reason: str = ""


def load(pred: Path, data: Path) -> list[Prediction]:
    """The predictions beside their reference, in the order of the data; a sample without one is lost, not wrong."""
    samples = list(read_samples(data))
    predict.require_answers(samples)
    lines = {line for line, _ in samples}
    answers: dict[int, _Row] = {}
    with open_input(pred) as stream:
        for number, text, too_long in bounded_lines(stream):
            text = text.removeprefix(BOM_UTF8) if number == 1 else text
            if not text.strip():
                continue
            row = _row(text, f"{pred}:{number}", too_long)
            if row.id not in lines:
                raise ProblemsFound(
                    f"id {row.id} is no line of {data}",
                    where=f"{pred}:{number}",
                    hint=f"ids are line numbers and count from 1; there are {len(lines)}",
                )
            if row.id in answers:
                raise ProblemsFound(
                    f"duplicate id {row.id}", where=f"{pred}:{number}", hint="one prediction per sample"
                )
            answers[row.id] = row
    return [_prediction(line, sample, answers.get(line)) for line, sample in samples]


def _prediction(line: int, sample: Sample, row: _Row | None) -> Prediction:
    if row is None:
        row = _Row(line, error="no prediction", reason="answer.absent")
    error = row.error and (shown(row.error) or "no reason given")
    return Prediction(
        line,
        sample.image_info[0].image_url,
        sample.prompt,
        sample.ref,
        "" if error or row.pred is msgspec.UNSET else row.pred,
        row.finish_reason,
        error=error,
        reason=shown(row.reason),
    )


def _row(text: bytes, where: str, too_long: bool) -> _Row:
    try:
        if too_long:
            raise ValueError("the line is too long")
        row = msgspec.json.decode(text, type=_Row)
        keys = (
            [] if row.error or row.pred is not msgspec.UNSET else [str(key)[:40] for key in msgspec.json.decode(text)]
        )
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProblemsFound(
            f"not a prediction: {error}", where=where, hint='one object a line: {"id": 1, "pred": "..."}'
        ) from error
    if keys:
        close = get_close_matches("prediction", keys, n=1, cutoff=0.4) or [
            key for key in keys if key in ("answer", "text", "output", "response")
        ]
        hint = (
            f"rename the key {close[0]!r} to 'pred'"
            if close
            else 'an empty answer is "pred": ""; a lost one has an "error"'
        )
        raise ProblemsFound(f"no 'pred' in this row, only {', '.join(map(repr, keys[:8]))}", where=where, hint=hint)
    return row


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--pred", type=click.Path(path_type=Path), metavar="PRED", required=True, help="The predictions, JSONL.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DATA",
    required=True,
    help="The samples with their references, JSONL.",
)
@click.option("--name", help="What this run is called [default: the name of --pred].")
@click.option(
    "--metric", "extras", multiple=True, type=ExtraScore(), help="A score beyond the usual ones, as of `sft eval`."
)
@click.option("--no-report", is_flag=True, help="Write only predictions.jsonl and results.json.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    default=Path("runs/scores"),
    show_default=True,
)
def main(pred: Path, data: Path, name: str | None, extras: tuple[str, ...], no_report: bool, out: Path) -> None:
    """Score, write, print."""
    try:
        require(extras)
        preds = load(pred, data)
        if (out / "predictions.jsonl").resolve() == pred.resolve():
            raise UsageError("the results would overwrite the predictions", where=str(out), hint="give another -o")
        if all(item.error for item in preds):
            raise ProblemsFound(
                f"no sample of the data has a prediction; the first: {preds[0].error}",
                where=str(pred),
                hint="ids are line numbers of the data and count from 1",
            )
        prepared = prepare(list(read_samples(data)), data.parent, client.Sampling(1))
        faults = [f"line {item.line}: {item.fault}" for item in prepared if item.fault]
        if faults:
            print(
                f"warning: {len(faults)} images cannot be read, the report will lack them; {shown(faults[0])}",
                file=sys.stderr,
            )
        described = results.Data(str(data), sha256(data), content_hash(prepared))
        asked = results.Asked(str(pred), pred.name, "file", fingerprint=sha256(pred), known_by="file")
        pairs = results.scored(preds, extras)
        found = results.as_json(
            results.build(
                preds,
                data=described,
                asking=results.Asking(asked),
                course=results.RunRecord(name or pred.name),
                pairs=pairs,
            )
        )
        predict.write_predictions(out / "predictions.jsonl", preds)
        write_json(out / "results.json", found)
        if not no_report:
            report.write_all(
                out,
                side_by_side([(found["name"], preds)], data, pairs=[pairs]),
                title=data.name,
                base=data.parent,
                notes=[("predictions", str(pred))],
            )
    except SftError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    tasks = {
        task: (
            {"n": part["counts"]["scored"], **part["scores"]}
            | ({"unscored": part["unscored"]} if part["unscored"] else {})
        )
        for task, part in found["tasks"].items()
    }
    print(json.dumps({**found["scores"], **found["counts"], "tasks": tasks}, indent=2))
    print(f"written: {out / ('results.json' if no_report else 'report.html')}", file=sys.stderr)
    sys.exit(0 if found["complete"] else EXIT_PROBLEMS)


if __name__ == "__main__":
    main()
