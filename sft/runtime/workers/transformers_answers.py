"""Runs inside the server's environment: reads images with a model directory through Transformers, greedily.

    echo '[{"image": "a.png", "prompt": "OCR:"}]' | python transformers_answers.py MODEL_DIR MAX_TOKENS

Prints one JSON object per image: the text, and the margin: by how much the chosen token was ahead of the second, in
logits, where it was closest. The end of an answer is decided by the directory's own generation_config.json, and the
prompt by its own chat template: nothing is helped along, so what is printed is what a user of the directory gets.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Read the order from stdin, answer line by line."""
    model_dir = sys.argv[1]
    max_tokens = int(sys.argv[2])
    order = json.load(sys.stdin)
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(model_dir, local_files_only=True)
    model = AutoModelForImageTextToText.from_pretrained(model_dir, local_files_only=True, dtype=torch.float32).eval()
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
        print(
            json.dumps(
                {"text": text, "margin": min(float(first - second) for first, second in best)}, ensure_ascii=False
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
