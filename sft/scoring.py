"""Serve a model directory, ask it for the held-out rows, score the raw answers; and the same through Transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sft import serve
from sft.errors import ProblemsFound
from sft.evaluation import predict, score
from sft.jsonl import read_samples, sha256, write_json
from sft.launch import run_json
from sft.models import ModelVersion
from sft.types import Prediction

PARITY_WORKER = Path(__file__).parent / "workers" / "transformers_answers.py"
PARITY_SAMPLES = 8


def evaluate(data: Path, url: str, out: Path, *, model: str | None, sampling: predict.Sampling, concurrency: int,
             on_done: Callable[[Prediction], None], more: dict[str, Any] | None = None) -> dict[str, Any]:  # fmt: skip
    """Ask a running server for every row of `data`; writes predictions.jsonl and results.json into `out`."""
    samples = list(read_samples(data))
    endpoint = predict.resolve(predict.Endpoint(url, model))
    preds = predict.predict(samples, data.parent, endpoint, sampling, concurrency, on_done)
    scores = score.score(preds)
    results = {**score.results(scores, data=data, endpoint=endpoint, sampling=sampling), **serve_facts(url), **(more or {})}
    predict.write_predictions(out / "predictions.jsonl", preds)
    write_json(out / "results.json", results)
    return results


def serve_facts(url: str) -> dict[str, Any]:
    """Which server answered."""
    facts = serve.describe(url.rstrip("/").removesuffix("/v1"))
    return {"server": facts["server"]} if "server" in facts else {}


def evaluate_model(model_dir: Path, version: ModelVersion, data: Path, out: Path, options: serve.ServerOptions, *, sampling: predict.Sampling, fingerprint: str,
                   on_done: Callable[[Prediction], None], say: Callable[[str], None]) -> dict[str, Any]:  # fmt: skip
    """Serve, evaluate, stop. Reuses what is there when model, data and sampling are the same."""
    conditions = {"fingerprint": fingerprint, "data_sha256": sha256(data), "max_tokens": sampling.max_tokens}
    done = out / "results.json"
    if done.is_file():
        results: dict[str, Any] = json.loads(done.read_bytes())
        if results.get("conditions") == conditions and not results.get("counts", {}).get("lost"):
            say("already scored, nothing has changed")
            return results
    with serve.serving(model_dir, version, options, log=out / "server.log", say=say) as url:
        return evaluate(data, url, out, model=version.served_name, sampling=sampling, concurrency=predict.CONCURRENCY, on_done=on_done, more={"conditions": conditions})


def parity(model_dir: Path, data: Path, preds: list[Prediction], *, server_python: str, max_tokens: int, log: Path) -> tuple[int, int]:
    """(equal, asked): how many of the first answers Transformers gives in the same words as vLLM did.

    The directory's own chat template, processor and generation_config.json are used, so a file that only one of the
    two loaders minds shows here.
    """
    samples = list(read_samples(data))[:PARITY_SAMPLES]
    order = [{"image": str((data.parent / sample.image_info[0].image_url).resolve()), "prompt": sample.prompt.strip()} for _, sample in samples]
    lines = run_json(
        [server_python, str(PARITY_WORKER), str(model_dir.resolve()), str(max_tokens)], stdin=json.dumps(order).encode(), log=log,
        env={"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONUTF8": "1"}, what="reading through Transformers",
    )  # fmt: skip
    answers = [json.loads(line) for line in lines if line.startswith('"')]
    if len(answers) != len(order):
        raise ProblemsFound(f"Transformers gave {len(answers)} answers to {len(order)} images", where=str(log))
    by_line = {pred.id: pred.pred for pred in preds}
    return sum(answer == by_line.get(line) for answer, (line, _) in zip(answers, samples, strict=True)), len(order)

