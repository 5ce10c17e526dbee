"""Do Transformers and vLLM read alike with one model: the same text, and every token with the same probability?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sft.errors import EngineError, ProblemsFound
from sft.files import read_json, read_samples, write_json
from sft.inference import data_uri
from sft.runtime import run_json
from sft.types import Prediction, Sample

PARITY_WORKER = Path(__file__).parent.parent / "runtime" / "workers" / "transformers_answers.py"
PARITY_SAMPLES = 8
LIMIT = 1e-3  # largest difference of two log-probabilities in float32; 1e-5 is what kernels make of it
TIE = 2 * LIMIT  # logits: where the two best are closer, rounding decides
ASK_SECONDS = 600.0  # for one answer, on a busy CPU


@dataclass(frozen=True)
class Parity:
    """How many of the `asked` answers Transformers gave in the same words as vLLM. `undecided`: other words, but at
    some token the two best were closer than TIE, so that rounding decides; a model that has learned little does that.

    apart: the largest difference of log-probabilities over `tokens` tokens of vLLM's answers; None: not compared.
    """

    asked: int
    equal: int
    undecided: int
    apart: float | None = None
    tokens: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing but rounding differs."""
        return self.equal + self.undecided == self.asked and (self.apart is None or self.apart <= LIMIT)

    def __str__(self) -> str:
        more = (
            f" ({self.undecided} undecided: rounding decides between tokens closer than {TIE:g})"
            if self.undecided
            else ""
        )
        apart = (
            f"; log-probabilities of {self.tokens} tokens apart by {self.apart:.1e} at most, {LIMIT:g} is allowed"
            if self.apart is not None
            else ""
        )
        return f"{self.equal} of {self.asked}{more}{apart}"


def first_samples(data: Path) -> list[tuple[int, Sample]]:
    """The rows that are compared: the first with one image, by line."""
    return [(line, sample) for line, sample in read_samples(data) if len(sample.prompt_images) == 1][:PARITY_SAMPLES]


def keep_probabilities(url: str, model: str, data: Path, max_tokens: int, out: Path) -> None:
    """Ask a running vLLM for the tokens of the first answers and their log-probabilities; `out` gets them by line.

    EngineError: it does not answer, or tells none.
    """
    record: dict[str, Any] = {}
    for line, sample in first_samples(data):
        image = {"url": data_uri(data.parent / sample.prompt_images[0].image_url)}
        content = [{"type": "image_url", "image_url": image}, {"type": "text", "text": sample.prompt}]
        body = {
            "model": model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": max_tokens,
            "temperature": 0,
            "logprobs": True,
            "return_tokens_as_token_ids": True,
        }
        try:
            answer = httpx.post(
                f"{url}/v1/chat/completions",
                json=body,
                timeout=ASK_SECONDS,
                trust_env=False,
            )
            entries = answer.json()["choices"][0]["logprobs"]["content"]
            record[str(line)] = {
                "tokens": [int(item["token"].removeprefix("token_id:")) for item in entries],
                "logprobs": [float(item["logprob"]) for item in entries],
            }
        except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise EngineError(f"the server tells no log-probabilities ({type(error).__name__}: {error})") from error
    write_json(out, record)


def check_parity(
    model_dir: Path,
    data: Path,
    preds: list[Prediction],
    *,
    server_python: str,
    max_tokens: int,
    log: Path,
    probabilities: Path | None = None,
) -> Parity:
    """Read the first held-out images through Transformers and compare with what vLLM answered.

    The directory's own chat template, processor and generation_config.json are used, so a file that only one of the
    two loaders minds shows here. probabilities: what `keep_probabilities` wrote, if there is such a file.
    ProblemsFound: no answer to some image, or a Transformers that reads these models wrongly.
    """
    samples = first_samples(data)
    served: dict[str, Any] = {}
    if probabilities is not None:
        with suppress(ProblemsFound):
            served = read_json(probabilities)
    order = [
        {
            "image": str((data.parent / sample.prompt_images[0].image_url).resolve()),
            "prompt": sample.prompt,
            "tokens": served.get(str(line), {}).get("tokens"),
        }
        for line, sample in samples
    ]
    lines = run_json(
        [server_python, str(PARITY_WORKER), str(model_dir.resolve()), str(max_tokens)],
        stdin=json.dumps(order).encode(),
        log=log,
        env={"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONUTF8": "1"},
        what="reading through Transformers",
    )
    _require_right([json.loads(line) for line in lines if line.startswith('{"transformers"')])
    answers = [json.loads(line) for line in lines if line.startswith('{"text"')]
    if len(answers) != len(order):
        raise ProblemsFound(
            f"Transformers gave {len(answers)} answers to {len(order)} images",
            where=str(log),
        )
    return compare(
        answers,
        [next((pred.pred for pred in preds if pred.id == line), "") for line, _ in samples],
        [served.get(str(line), {}).get("logprobs") for line, _ in samples],
    )


def _require_right(about: Sequence[Mapping[str, Any]]) -> None:
    for one in about:
        if one["positions"] == "wrong":
            raise ProblemsFound(
                f"Transformers {one['transformers']} places the parts of a picture wrongly for PaddleOCR-VL",
                hint="5.12.1 and before, or 5.23.0 and later are right; from 5.16 on the check corrects it by itself",
            )


def compare(
    answers: list[dict[str, Any]], preds: list[str], logprobs: Sequence[list[float] | None] | None = None
) -> Parity:
    """Count equal answers, and different ones that rounding explains; logprobs: vLLM's, for each answer."""
    pairs = list(zip(answers, preds, strict=True))
    equal = sum(answer["text"] == pred for answer, pred in pairs)
    undecided = sum(answer["text"] != pred and answer["margin"] < TIE for answer, pred in pairs)
    apart = [
        abs(ours - theirs)
        for answer, logprob in zip(answers, logprobs or [None] * len(answers), strict=True)
        if logprob is not None and "logprobs" in answer
        for ours, theirs in zip(answer["logprobs"], logprob, strict=True)
    ]
    return Parity(len(pairs), equal, undecided, max(apart) if apart else None, len(apart))
