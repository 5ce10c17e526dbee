"""The settings files of a served directory, brought to what every server and both generations of Transformers read.

A tokenizer's class: Transformers 5 writes `TokenizersBackend`, which 4 has not; trainers write `Ernie4_5_Tokenizer`,
which no server has (ERNIE#1349). `LlamaTokenizer` over a byte-level tokenizer.json loses blanks and line ends in
Transformers 5.3, `PreTrainedTokenizerFast` is right in all; over a SentencePiece one the releases have LlamaTokenizer.
So the class is chosen by what the file is.

Sampling in generation_config.json acts on every request that does not say otherwise: vLLM takes its defaults from it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sft.models.token_budget import load_tokenizer
from sft.models.versions import EOS

BYTE_LEVEL_CLASS = "PreTrainedTokenizerFast"
SENTENCEPIECE_CLASS = "LlamaTokenizer"
SENTENCEPIECE_CLASSES = (SENTENCEPIECE_CLASS, "LlamaTokenizerFast", BYTE_LEVEL_CLASS)
MAX_DEPTH = 20  # of a tokenizer's parts in parts
SHOWN = 100  # characters of untrusted text in a message
# key → the value that changes nothing
SAMPLING: dict[str, object] = {
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "no_repeat_ngram_size": 0,
    "length_penalty": 1.0,
    "num_beams": 1,
    "max_length": 20,
    "max_new_tokens": None,
    "min_length": 0,
    "min_new_tokens": None,
}


def is_byte_level(folder: Path) -> bool:
    """Whether the tokenizer.json of a directory works on bytes, as GPT-2's does, and not on SentencePiece's pieces."""
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    parts = (tokenizer.pre_tokenizer, tokenizer.decoder)
    return any(_has_part(json.loads(part.__getstate__()), "ByteLevel") for part in parts if part is not None)


def _has_part(table: object, kind: str, depth: int = 0) -> bool:
    if depth > MAX_DEPTH:
        return False
    if isinstance(table, dict):
        return table.get("type") == kind or any(_has_part(value, kind, depth + 1) for value in table.values())
    return isinstance(table, list) and any(_has_part(value, kind, depth + 1) for value in table)


def class_for(folder: Path, written: object) -> str:
    """The tokenizer class that every server reads rightly; the one that is written, where it is such a one."""
    if is_byte_level(folder):
        return BYTE_LEVEL_CLASS
    return written if isinstance(written, str) and written in SENTENCEPIECE_CLASSES else SENTENCEPIECE_CLASS


def tokenizer_settings(folder: Path, table: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """tokenizer_config.json as both generations of Transformers read it, and what was changed."""
    settings = dict(table)
    changes = []
    written = settings.get("tokenizer_class")
    settings["tokenizer_class"] = class_for(folder, written)
    if written != settings["tokenizer_class"]:
        kind = "byte-level" if is_byte_level(folder) else "SentencePiece"
        chosen = settings["tokenizer_class"]
        changes.append(f"tokenizer_class {str(written)[:SHOWN]} became {chosen}: tokenizer.json is a {kind} one")
    if not settings.get("eos_token"):  # LlamaTokenizer knew it by itself; without it nothing ends an answer
        settings["eos_token"] = EOS
        changes.append(f"eos_token {EOS} was added: not every class knows it by itself")
    extra = settings.get("extra_special_tokens")
    if isinstance(extra, list):  # Transformers 4 takes a table only, and 5 takes the older name as well
        del settings["extra_special_tokens"]
        older = settings.get("additional_special_tokens")
        settings["additional_special_tokens"] = [*(older if isinstance(older, list) else []), *extra]
        changes.append("the list extra_special_tokens became additional_special_tokens")
    return settings, changes


def sampling_in(table: dict[str, Any]) -> dict[str, Any]:
    """What a generation_config.json does to every request: the sampling keys with a value that changes something."""
    return {
        key: table[key]
        for key, neutral in SAMPLING.items()
        if key in table and table[key] is not None and table[key] != neutral
    }


def generation_settings(table: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """generation_config.json without sampling, and what was taken out."""
    settings = {key: value for key, value in table.items() if key not in SAMPLING}
    changes = [
        f"{key} {str(value)[:SHOWN]} was taken out of generation_config.json: it would act on every request"
        for key, value in sampling_in(table).items()
    ]
    return settings, changes
