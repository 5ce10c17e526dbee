"""Score predictions against the ground truth, without a server.

    python eval/evaluate.py --pred runs/eval/predictions.jsonl --data datasets/bengali/sample/test.jsonl -o scores

--pred: one JSON object a line with "id" (line of the sample in --data, from 1) and "pred"; `sft eval` writes such files,
and so can anything else. Writes results.json and report.html into the folder -o; exit code 1 where a prediction is missing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import msgspec

from sft.errors import EXIT_PROBLEMS, ProblemsFound, SftError
from sft.evaluation import predict, report, score
from sft.jsonl import open_input, read_samples, write_json
from sft.types import Prediction


def load(pred: Path, data: Path) -> list[Prediction]:
    """The predictions beside their truth, in the order of the data; a sample without one is lost, not wrong."""
    samples = list(read_samples(data))
    lines = {line for line, _ in samples}
    answers: dict[int, str] = {}
    with open_input(pred) as stream:
        for number, text in enumerate(stream, 1):
            row = _row(text, f"{pred}:{number}")
            if row.id not in lines:
                raise ProblemsFound(f"id {row.id} is no line of {data}", where=f"{pred}:{number}", hint=f"ids are line numbers and count from 1; there are {len(lines)}")
            if row.id in answers:
                raise ProblemsFound(f"id {row.id} stands there twice", where=f"{pred}:{number}", hint="one prediction per sample")
            answers[row.id] = row.pred
    return [
        Prediction(line, sample.image_info[0].image_url, sample.prompt, sample.ref, answers.get(line, ""), error="" if line in answers else "no prediction")
        for line, sample in samples
    ]  # fmt: skip


class _Row(msgspec.Struct):
    id: int
    pred: str


def _row(text: bytes, where: str) -> _Row:
    try:
        return msgspec.json.decode(text, type=_Row)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ProblemsFound(f"not a prediction: {error}", where=where, hint='one object a line: {"id": 1, "pred": "..."}') from error


@click.command(help=__doc__)
@click.option("--pred", type=click.Path(path_type=Path), required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("runs/scores"), show_default=True)
def main(pred: Path, data: Path, out: Path) -> None:
    """Score, write, print."""
    try:
        preds = load(pred, data)
        scores = score.score(preds)
        results = score.results(scores, data=data, endpoint=predict.Endpoint("file:predictions", pred.name), sampling=predict.Sampling(1))
        results.pop("sampling")
        results["endpoint"] = {"file": str(pred)}
        write_json(out / "results.json", results)
        report.write_report(out / "report.html", title=data.name, runs=[(pred.name, preds)], base=data.parent)
    except SftError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(json.dumps({**results["scores"], **results["counts"]}, indent=2))
    print(f"report: {out / 'report.html'}", file=sys.stderr)
    sys.exit(0 if results["complete"] else EXIT_PROBLEMS)


if __name__ == "__main__":
    main()
