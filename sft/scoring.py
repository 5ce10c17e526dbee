"""Serve a model directory, ask it for the held-out rows, score the raw answers; and the same through Transformers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft import __version__, serve
from sft.data import fingerprint as data_fingerprint
from sft.errors import ProblemsFound
from sft.evaluation import predict, score
from sft.jsonl import read_samples, write_json
from sft.launch import run_json
from sft.metrics import METRICS
from sft.models import ModelVersion
from sft.types import Prediction

PARITY_WORKER = Path(__file__).parent / "workers" / "transformers_answers.py"
PARITY_SAMPLES = 8
TIE = 0.5  # logits; float32 kernels of the two differ by up to 0.4 on images that a model cannot read


def evaluate(data: Path, url: str, out: Path, *, model: str | None, sampling: predict.Sampling, concurrency: int,
             on_done: Callable[[Prediction], None], more: dict[str, Any] | None = None) -> dict[str, Any]:  # fmt: skip
    """Ask a running server for every row of `data`; writes predictions.jsonl and results.json into `out`."""
    samples = list(read_samples(data))
    endpoint = predict.resolve(predict.Endpoint(url, model))
    preds = predict.predict(samples, data.parent, endpoint, sampling, concurrency, on_done)
    scores = score.score(preds)
    results = {**score.results(scores, data=data, endpoint=endpoint, sampling=sampling), "server": serve.server_version(url.rstrip("/").removesuffix("/v1")), **(more or {})}
    results["turns_not_scored"] = sum(sample.turns - 1 for _, sample in samples)  # only the first answer is asked for
    results["lost_because"] = Counter(pred.error for pred in preds if pred.error).most_common(3)
    predict.write_predictions(out / "predictions.jsonl", preds)
    write_json(out / "results.json", results)
    return results


def evaluate_model(model_dir: Path, version: ModelVersion, data: Path, out: Path, options: serve.ServerOptions, *, sampling: predict.Sampling, fingerprint: str,
                   on_done: Callable[[Prediction], None], say: Callable[[str], None]) -> dict[str, Any]:  # fmt: skip
    """Serve, evaluate, stop. Reuses what is there when model, data and sampling are the same."""
    conditions = {
        "fingerprint": fingerprint, "data": data_fingerprint(data), "max_tokens": sampling.max_tokens, "workbench": __version__,
        "metrics": {name: metric.version for name, metric in METRICS.items()},
    }  # fmt: skip
    done = out / "results.json"
    if done.is_file():
        results: dict[str, Any] = json.loads(done.read_bytes())
        if results.get("conditions") == conditions and not results.get("counts", {}).get("lost"):
            say("already scored, nothing has changed")
            return results
    with serve.serving(model_dir, version, options, log=out / "server.log", say=say) as url:
        return evaluate(data, url, out, model=version.served_name, sampling=sampling, concurrency=predict.CONCURRENCY, on_done=on_done, more={"conditions": conditions})


@dataclass(frozen=True)
class Parity:
    """How many of the `asked` answers Transformers gave in the same words as vLLM. `undecided`: other words, but at some
    token the two best were closer than TIE, so that rounding decides; a model that has learned little does that."""

    asked: int
    equal: int
    undecided: int

    @property
    def ok(self) -> bool:
        """Whether nothing but rounding differs."""
        return self.equal + self.undecided == self.asked

    def __str__(self) -> str:
        more = f" ({self.undecided} undecided: rounding decides between tokens closer than {TIE:g})" if self.undecided else ""
        return f"{self.equal} of {self.asked}{more}"


def parity(model_dir: Path, data: Path, preds: list[Prediction], *, server_python: str, max_tokens: int, log: Path) -> Parity:
    """Read the first held-out images through Transformers and compare with what vLLM answered.

    The directory's own chat template, processor and generation_config.json are used, so a file that only one of the
    two loaders minds shows here.
    """
    samples = [(line, sample) for line, sample in read_samples(data) if len(sample.prompt_images) == 1][:PARITY_SAMPLES]
    order = [{"image": str((data.parent / sample.prompt_images[0].image_url).resolve()), "prompt": sample.prompt} for _, sample in samples]
    lines = run_json(
        [server_python, str(PARITY_WORKER), str(model_dir.resolve()), str(max_tokens)], stdin=json.dumps(order).encode(), log=log,
        env={"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONUTF8": "1"}, what="reading through Transformers",
    )  # fmt: skip
    answers = [json.loads(line) for line in lines if line.startswith('{"text"')]
    if len(answers) != len(order):
        raise ProblemsFound(f"Transformers gave {len(answers)} answers to {len(order)} images", where=str(log))
    return compare(answers, [next((pred.pred for pred in preds if pred.id == line), "") for line, _ in samples])


def compare(answers: list[dict[str, Any]], preds: list[str]) -> Parity:
    """Count equal answers, and different ones that rounding explains."""
    pairs = list(zip(answers, preds, strict=True))
    equal = sum(answer["text"] == pred for answer, pred in pairs)
    undecided = sum(answer["text"] != pred and answer["margin"] < TIE for answer, pred in pairs)
    return Parity(len(pairs), equal, undecided)
