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

from sft.errors import EXIT_PROBLEMS, ProblemsFound, SftError
from sft.evaluation import predict, report, score
from sft.jsonl import open_input, read_samples, write_json
from sft.types import Prediction


def load(pred: Path, data: Path) -> list[Prediction]:
    """The predictions beside their truth, in the order of the data; a sample without one is lost, not wrong."""
    answers: dict[int, str] = {}
    with open_input(pred) as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = json.loads(line)
                answers[int(row["id"])] = str(row["pred"])
            except (ValueError, KeyError, TypeError) as error:
                raise ProblemsFound(f"not a prediction: {error}", where=f"{pred}:{number}", hint='one object a line: {"id": 1, "pred": "..."}') from error
    return [
        Prediction(line, sample.image_info[0].image_url, sample.prompt, sample.ref, answers.get(line, ""), error="" if line in answers else "no prediction")
        for line, sample in read_samples(data)
    ]  # fmt: skip


@click.command(help=__doc__)
@click.option("--pred", type=click.Path(path_type=Path), required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("runs/eval"), show_default=True)
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
