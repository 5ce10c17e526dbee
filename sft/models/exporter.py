"""Completes and proves a model directory: trained weights plus everything a server needs, under its final name only
when whole.

What the trainers leave out or change, each seen by users: chat_template.jinja, inference.yml, processor_config.json,
`image_token` in the tokenizer's attributes, the end token in generation_config.json, a tensor that is never trained
(PaddleFormers#3680), a tokenizer class servers do not have (ERNIE#1349), shard names (PaddleX#5012), newer config
fields (ms-swift#7268). So: the weights come from training, every other file from the base model or from the model
record.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from sft import ui
from sft.errors import ProblemsFound
from sft.files import atomic_write, read_table, sha256, whole_folder, write_json
from sft.models import chat_template, remote_code, versions
from sft.models.server_settings import generation_settings, tokenizer_settings
from sft.models.token_budget import load_tokenizer
from sft.models.verify import FROM_BASE_IF_THERE, MANIFEST, WEIGHTS, verify_served
from sft.models.weights import Written, write_weights

FROM_BASE = ("config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json")  # needed


def server_files(
    folder: Path, version: versions.ModelVersion, *, pixels: tuple[int, int], eos_token_id: int
) -> list[str]:
    """Write what differs between a trained and a served directory: template, names, pixel limits, end token, sampling.

    Returns a sentence for each setting that was there and acts no more.
    """
    with atomic_write(folder / "chat_template.jinja") as stream:
        stream.write(chat_template.chat_template(version).encode())
    with atomic_write(folder / "inference.yml") as stream:
        stream.write(yaml.safe_dump({"Global": {"model_name": version.served_name}}).encode())
    write_json(folder / remote_code.PROCESSOR_CONFIG, remote_code.processor_config(folder))
    generation = read_table(folder / "generation_config.json") if (folder / "generation_config.json").exists() else {}
    generation, taken_out = generation_settings(generation)
    write_json(folder / "generation_config.json", {**generation, "eos_token_id": eos_token_id, "use_cache": True})
    attributes, changed = tokenizer_settings(folder, read_table(folder / "tokenizer_config.json"))
    write_json(folder / "tokenizer_config.json", {**attributes, "image_token": versions.IMAGE_TOKEN})
    _write_pixels(folder / "preprocessor_config.json", pixels)
    _write_nested_pixels(folder / remote_code.PROCESSOR_CONFIG, pixels)
    return [*changed, *taken_out]


def _write_pixels(path: Path, pixels: tuple[int, int]) -> None:
    """Set the limits in the layout the file has: min_pixels/max_pixels at the top, and inside `size` where it stands
    there.
    """
    config = read_table(path)
    config["min_pixels"], config["max_pixels"] = pixels
    _set_size(config.get("size"), pixels)
    write_json(path, config)


def _write_nested_pixels(path: Path, pixels: tuple[int, int]) -> None:
    """Transformers 5 saves the image processor inside processor_config.json as well, and takes that one first."""
    config = read_table(path)
    nested = config.get("image_processor")
    if not isinstance(nested, dict):
        return
    for name, value in zip(("min_pixels", "max_pixels"), pixels, strict=True):
        if name in nested:
            nested[name] = value
    _set_size(nested.get("size"), pixels)
    write_json(path, config)


def _set_size(size: object, pixels: tuple[int, int]) -> None:
    if isinstance(size, dict):
        for low, high in (("min_pixels", "max_pixels"), ("shortest_edge", "longest_edge")):
            if low in size or high in size:
                size[low], size[high] = pixels


def export(
    weights: Path,
    base: Path,
    out: Path,
    version: versions.ModelVersion,
    *,
    pixels: tuple[int, int],
    origin: dict[str, Any],
    changes: Sequence[str] = (),
) -> dict[str, Any]:
    """Build `out` from the trained weights in the folder `weights` and the base model; returns the manifest.

    `changes`: sentences for its list of what was changed.

    Raises ProblemsFound where the weights are not those of the base's architecture, EngineError where the disk is full;
    in both cases nothing is left under `out`.
    """
    with whole_folder(out) as temporary:
        _copy_base(base, temporary)
        written = write_weights(weights, base, temporary / WEIGHTS)
        settled = server_files(temporary, version, pixels=pixels, eos_token_id=_eos_id(temporary))
        manifest = {
            **origin,
            "model_version": version.name,
            "served_name": version.served_name,
            "pixels": list(pixels),
            **_about(written),
            "changes": [*changes, *written.changes, *settled],
        }
        others = {path.name: sha256(path) for path in temporary.iterdir() if path.name != WEIGHTS}
        manifest["files"] = dict(sorted({**others, WEIGHTS: written.sha256}.items()))
        verify_served(temporary, version)
        write_json(temporary / MANIFEST, manifest)
    return manifest


def say_export(manifest: dict[str, Any], out: Path) -> None:
    """What an export did to the weights and settings, on the terminal."""
    equal, of = manifest["equal_to_base"]["tensors"], manifest["equal_to_base"]["of"]
    ui.say(f"model directory {out}: {of - equal} of {of} trained tensors differ from the base's")
    for what, count in manifest["converted"].items():
        ui.say(f"  {count} tensors {what}: the base's kind of number")
    for what, count in manifest["other_kind_than_base"].items():
        ui.say(f"  {count} tensors keep their own kind of number, which has no exact way to the base's ({what})")
    for change in manifest["changes"]:
        ui.say(f"  {change}")


def _about(written: Written) -> dict[str, Any]:
    """What the manifest says of the weights."""
    return {
        "taken_from_base": written.from_base,
        "equal_to_base": {"tensors": written.equal, "of": written.trained},
        "converted": written.converted,
        "other_kind_than_base": written.foreign,
    }


def _copy_base(base: Path, folder: Path) -> None:
    missing = [name for name in FROM_BASE if not (base / name).is_file()]
    if missing:
        raise ProblemsFound(
            f"the base model lacks {', '.join(missing)}",
            where=str(base),
            hint="`sft fetch-model` downloads a complete one",
        )
    for pattern in (*FROM_BASE, *FROM_BASE_IF_THERE, *remote_code.code_files(base)):
        for path in base.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
            elif path.exists() and not path.is_dir():
                raise ProblemsFound(
                    "a pipe or a device, not a file",
                    where=str(path),
                    hint="remove it; `sft fetch-model` downloads a complete directory",
                )


def _eos_id(folder: Path) -> int:
    token_id = load_tokenizer(folder / "tokenizer.json").token_to_id(versions.EOS)
    if token_id is None:
        raise ProblemsFound(f"the tokenizer has no {versions.EOS}", where=str(folder))
    return int(token_id)
