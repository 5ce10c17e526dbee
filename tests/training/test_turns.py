"""Several turns: what the trainer makes of a row is what a server makes of the same conversation, token by token."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_engines import job

from sft.models import chat_template, verify, versions
from sft.models.token_budget import load_tokenizer
from sft.runtime import environments
from sft.training.engines.paddleformers import TEMPLATE_NAME, PaddleFormers
from sft.types import Image, Sample, Tag, Text

TAGS: tuple[Tag, Tag] = ("mask", "no_mask")
TURNS = (("OCR:", "১২ ab"), ("Table Recognition:", "<fcel>1<nl>"), ("again", "x"))
SAMPLE = Sample(
    text_info=tuple(Text(text, tag) for turn in TURNS for text, tag in zip(turn, TAGS, strict=True)),
    image_info=(Image("a.png", 0),),
)
# the trainer's own reading of a row, with its own tokenizer and the template that is registered
ENCODE = """
import importlib.util, json, sys
from paddleformers.datasets.template.template import TEMPLATES
from paddleformers.transformers import AutoTokenizer
spec = importlib.util.spec_from_file_location("registered", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
pairs = TEMPLATES[sys.argv[3]].encode_multiturn(tokenizer, json.load(sys.stdin))
print(json.dumps({"pairs": pairs, "end": tokenizer.eos_token_id}))
"""


def served(version: versions.ModelVersion) -> str:
    """The conversation as the exported template renders it."""
    messages: list[dict[str, Any]] = []
    for number, (prompt, answer) in enumerate(TURNS):
        image = [] if number else [{"type": "image"}]
        messages.append({"role": "user", "content": [*image, {"type": "text", "text": prompt}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    whole = verify.render(chat_template.chat_template(version), messages)
    return whole.removesuffix(version.prompt_end.removeprefix("\n"))  # what asks for the next answer


@pytest.mark.parametrize("version", versions.MODELS.values(), ids=lambda version: version.name)
def test_turns_are_trained_as_they_are_served(version: versions.ModelVersion, base_model: Path, tmp_path: Path) -> None:
    assert environments.is_ready("trainer"), "`make test` makes it"
    python = environments.ensure("trainer").python
    settings = job(engine="paddleformers", model_version=version.name)
    template = tmp_path / "template.py"
    template.write_text(PaddleFormers().extra_files(settings)["template.py"])
    row = json.loads(PaddleFormers().row(SAMPLE, ["a.png"]))
    mark = versions.IMAGE_START + versions.IMAGE_TOKEN + versions.IMAGE_END  # as the trainer writes an image mark
    messages = [{**one, "content": one["content"].replace("<image>", mark)} for one in row["messages"]]
    done = subprocess.run(
        [python, "-c", ENCODE, str(template), str(base_model), TEMPLATE_NAME],
        input=json.dumps(messages),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    trained = [*(token for pair in found["pairs"] for part in pair for token in part), found["end"]]
    tokenizer = load_tokenizer(base_model / "tokenizer.json")
    assert trained == tokenizer.encode(served(version), add_special_tokens=False).ids
    end = tokenizer.token_to_id(versions.EOS)
    assert [answer[-1] for _, answer in found["pairs"][:-1]] == [end] * (len(TURNS) - 1) and found["end"] == end
