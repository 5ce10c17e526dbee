"""Do Transformers and vLLM read the same text with one model?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft.errors import ProblemsFound
from sft.files import read_samples
from sft.runtime import run_json
from sft.types import Prediction

PARITY_WORKER = Path(__file__).parent.parent / "runtime" / "workers" / "transformers_answers.py"
PARITY_SAMPLES = 8
TIE = 0.5  # logits; float32 kernels of the two differ by up to 0.4 on images that a model cannot read


@dataclass(frozen=True)
class Parity:
    """How many of the `asked` answers Transformers gave in the same words as vLLM. `undecided`: other words, but at
    some
    token the two best were closer than TIE, so that rounding decides; a model that has learned little does that."""

    asked: int
    equal: int
    undecided: int

    @property
    def ok(self) -> bool:
        """Whether nothing but rounding differs."""
        return self.equal + self.undecided == self.asked

    def __str__(self) -> str:
        more = (
            f" ({self.undecided} undecided: rounding decides between tokens closer than {TIE:g})"
            if self.undecided
            else ""
        )
        return f"{self.equal} of {self.asked}{more}"


def check_parity(
    model_dir: Path, data: Path, preds: list[Prediction], *, server_python: str, max_tokens: int, log: Path
) -> Parity:
    """Read the first held-out images through Transformers and compare with what vLLM answered.

    The directory's own chat template, processor and generation_config.json are used, so a file that only one of the
    two loaders minds shows here.
    """
    samples = [(line, sample) for line, sample in read_samples(data) if len(sample.prompt_images) == 1][:PARITY_SAMPLES]
    order = [
        {"image": str((data.parent / sample.prompt_images[0].image_url).resolve()), "prompt": sample.prompt}
        for _, sample in samples
    ]
    lines = run_json(
        [server_python, str(PARITY_WORKER), str(model_dir.resolve()), str(max_tokens)],
        stdin=json.dumps(order).encode(),
        log=log,
        env={"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONUTF8": "1"},
        what="reading through Transformers",
    )
    answers = [json.loads(line) for line in lines if line.startswith('{"text"')]
    if len(answers) != len(order):
        raise ProblemsFound(
            f"Transformers gave {len(answers)} answers to {len(order)} images",
            where=str(log),
        )
    return compare(
        answers,
        [next((pred.pred for pred in preds if pred.id == line), "") for line, _ in samples],
    )


def compare(answers: list[dict[str, Any]], preds: list[str]) -> Parity:
    """Count equal answers, and different ones that rounding explains."""
    pairs = list(zip(answers, preds, strict=True))
    equal = sum(answer["text"] == pred for answer, pred in pairs)
    undecided = sum(answer["text"] != pred and answer["margin"] < TIE for answer, pred in pairs)
    return Parity(len(pairs), equal, undecided)
