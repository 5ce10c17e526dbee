"""Settings files that every server and both generations of Transformers read, and that change no answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from sft.files import read_json
from sft.models import server_settings
from sft.models.tiny import train_tokenizer


def sentencepiece(folder: Path) -> Path:
    """A tokenizer.json as converted from SentencePiece: pieces with a mark for blanks, bytes only as a last resort."""
    tokenizer = Tokenizer(models.BPE({"<unk>": 0, "\N{LOWER ONE EIGHTH BLOCK}a": 1}, [], byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def byte_level(folder: Path) -> Path:
    train_tokenizer(["OCR:"], folder)
    return folder


@pytest.mark.parametrize(
    ("make", "written", "wanted"),
    [
        (byte_level, "TokenizersBackend", "PreTrainedTokenizerFast"),
        (byte_level, "Ernie4_5_Tokenizer", "PreTrainedTokenizerFast"),
        (byte_level, "LlamaTokenizer", "PreTrainedTokenizerFast"),
        (byte_level, None, "PreTrainedTokenizerFast"),
        (sentencepiece, "TokenizersBackend", "LlamaTokenizer"),
        (sentencepiece, "Ernie4_5_Tokenizer", "LlamaTokenizer"),
        (sentencepiece, ["x"], "LlamaTokenizer"),
        (sentencepiece, "LlamaTokenizerFast", "LlamaTokenizerFast"),
        (sentencepiece, "PreTrainedTokenizerFast", "PreTrainedTokenizerFast"),
    ],
)
def test_the_class_is_chosen_by_what_the_file_is(tmp_path: Path, make: object, written: object, wanted: str) -> None:
    assert callable(make)
    table = {"tokenizer_class": written, "eos_token": "</s>", "a": 1}
    settings, changes = server_settings.tokenizer_settings(make(tmp_path), table)
    assert settings == {"tokenizer_class": wanted, "eos_token": "</s>", "a": 1}
    assert bool(changes) == (written != wanted)


def test_a_list_of_tokens_has_the_older_name(tmp_path: Path) -> None:
    table = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "extra_special_tokens": ["<nl>"]}
    settings, changes = server_settings.tokenizer_settings(byte_level(tmp_path), table)
    assert settings["additional_special_tokens"] == ["<nl>"] and "extra_special_tokens" not in settings
    assert changes == ["the list extra_special_tokens became additional_special_tokens"]
    named = {**table, "extra_special_tokens": {"image_token": "<i>"}}
    assert server_settings.tokenizer_settings(tmp_path, named) == (named, [])


def test_a_class_that_knows_no_end_is_told_it(tmp_path: Path) -> None:
    settings, changes = server_settings.tokenizer_settings(byte_level(tmp_path), {"tokenizer_class": "LlamaTokenizer"})
    assert settings["eos_token"] == "</s>" and "eos_token" in changes[1]


def test_sampling_is_taken_out_and_told() -> None:
    table = {"repetition_penalty": 1.08, "top_p": 0.9, "max_new_tokens": 64, "eos_token_id": 2, "temperature": 1.0}
    settings, changes = server_settings.generation_settings(table)
    assert settings == {"eos_token_id": 2}
    assert [change.split(" was ")[0] for change in changes] == [
        "top_p 0.9",
        "repetition_penalty 1.08",
        "max_new_tokens 64",
    ]


def test_what_changes_nothing_is_not_told() -> None:
    neutral = {**server_settings.SAMPLING, "max_length": 20, "top_k": None}
    assert server_settings.generation_settings(neutral) == ({}, [])


def test_a_tokenizer_nested_without_end_is_no_harm() -> None:
    deep: object = {"type": "ByteLevel"}
    for _ in range(server_settings.MAX_DEPTH + 1):
        deep = [deep]
    assert not server_settings._has_part(deep, "ByteLevel")


def test_both_generations_write_what_is_read(base_model: Path) -> None:
    """The changes reach the file."""
    (base_model / "generation_config.json").write_text(json.dumps({"repetition_penalty": 2}))
    from sft.models import exporter, versions

    changes = exporter.server_files(base_model, versions.MODELS["0.9B"], pixels=(784, 7840), eos_token_id=2)
    assert [change.split()[0] for change in changes] == ["repetition_penalty"]
    assert read_json(base_model / "generation_config.json") == {"eos_token_id": 2, "use_cache": True}
