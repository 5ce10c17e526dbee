"""Runs inside the server's environment: reads images with a model directory through Transformers, greedily.

    echo '[{"image": "a.png", "prompt": "OCR:", "tokens": [17, 2]}]' | python transformers_answers.py DIR MAX_TOKENS

Prints a line about itself, {"transformers": "5.19.0", "positions": "corrected"}, and one JSON object per image: the
text; the margin, by how much the chosen token was ahead of the second, in logits, where it was closest; and, where
`tokens` names an answer, the log-probability of each of its tokens after the ones before it (left out where the answer
has the mark of an image in it). The end of an answer is
decided by the directory's own generation_config.json, and the prompt by its own chat template: nothing is helped
along, so what is printed is what a user of the directory gets.

But for one fault of Transformers 5.13.0 to 5.22.2, which stretch the vision tower's table of positions from corner to
corner; no trainer and no server does, and a model that was trained reads another picture then. `positions` is "right",
"corrected" (from 5.16 on the switch can be set), or "wrong".
"""

from __future__ import annotations

import json
import sys
from typing import Any

WRONG_FROM, WRONG_TO = (5, 13), (5, 23)  # versions from … to below … stretch the table wrongly
SWITCH = "interpolation_align_corners"


def correct_positions(model: Any, version: str) -> str:
    """Set the switch where there is one; "right", "corrected" or "wrong"."""
    switched = [module for module in model.modules() if getattr(module, SWITCH, False)]
    for module in switched:
        setattr(module, SWITCH, False)
    if switched:
        return "corrected"
    major, minor = (int(part) for part in version.split(".")[:2])
    has_switch = any(hasattr(module, SWITCH) for module in model.modules())
    return "wrong" if WRONG_FROM <= (major, minor) < WRONG_TO and not has_switch else "right"


def log_probabilities(model: Any, inputs: Any, tokens: list[int]) -> list[float]:
    """Of each token of an answer, given the prompt and the tokens before it."""
    import torch

    given = dict(inputs)
    length = given["input_ids"].shape[1]
    answer = torch.tensor([tokens])
    more = {
        "input_ids": answer,
        "attention_mask": torch.ones_like(answer),
        "mm_token_type_ids": torch.zeros_like(answer),  # text
    }
    for name, part in more.items():
        if name in given:
            given[name] = torch.cat([given[name], part.to(given[name].dtype)], dim=1)
    with torch.inference_mode():
        logits = model(**given).logits[0, length - 1 : -1].float()
    chosen: list[float] = logits.log_softmax(-1).gather(1, answer[0, :, None])[:, 0].tolist()
    return chosen


def can_be_read(tokens: list[int], config: Any) -> bool:
    """Whether an answer can be given back to the model: a hardly trained one may write the mark of an image, for which
    the model would then want an image.
    """
    return bool(tokens) and getattr(config, "image_token_id", None) not in tokens


def main() -> None:
    """Read the order from stdin, answer line by line."""
    model_dir = sys.argv[1]
    max_tokens = int(sys.argv[2])
    order = json.load(sys.stdin)
    import torch
    import transformers
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(model_dir, local_files_only=True)
    model = AutoModelForImageTextToText.from_pretrained(model_dir, local_files_only=True, dtype=torch.float32).eval()
    positions = correct_positions(model, transformers.__version__)
    print(json.dumps({"transformers": transformers.__version__, "positions": positions}), flush=True)
    named = model.generation_config.eos_token_id
    ends = named if isinstance(named, list) else [named]
    for item in order:
        content = [
            {"type": "image", "image": Image.open(item["image"]).convert("RGB")},
            {"type": "text", "text": item["prompt"]},
        ]
        messages = [{"role": "user", "content": content}]
        inputs = processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        with torch.inference_mode():
            output = model.generate(
                **inputs, max_new_tokens=max_tokens, do_sample=False, return_dict_in_generate=True, output_scores=True
            )
        ids = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
        text = processor.tokenizer.decode(
            ids[:-1] if ids and ids[-1] in ends else ids,  # as a server gives it: all but the end token
            skip_special_tokens=False,
        )
        best = [scores[0].topk(2).values for scores in output.scores]
        record: dict[str, Any] = {"text": text, "margin": min(float(first - second) for first, second in best)}
        if can_be_read(item.get("tokens") or [], model.config):
            record["logprobs"] = log_probabilities(model, inputs, item["tokens"])
        print(json.dumps(record, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
