"""Completes and proves a model directory: trained weights plus everything a server needs, under its final name only when whole.

What the trainers leave out or change, each seen by users: chat_template.jinja, inference.yml, processor_config.json,
`image_token` in the tokenizer's attributes, the end token in generation_config.json, a tensor that is never trained
(PaddleFormers#3680), a tokenizer class servers do not have (ERNIE#1349), shard names (PaddleX#5012), newer config fields
(ms-swift#7268). So: the weights come from training, every other file from the base model or from the model record.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sft import models
from sft.errors import ProblemsFound, UsageError
from sft.jsonl import atomic_write, disk_error, new_folder_beside, read_bounded, read_table, sha256, write_json
from sft.safetensors_io import join, tensor_table
from sft.tokens import load_tokenizer, pixel_limits

WEIGHTS = "model.safetensors"
MANIFEST = "sft-export.json"
FROM_BASE = ("config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json")  # needed
FROM_BASE_IF_THERE = ("tokenizer.model", "special_tokens_map.json", "added_tokens.json", "generation_config.json", "*_paddleocr_vl.py", "LICENSE*")
# Tensors that no stage trains and some trainers leave out; servers ask for them, so they are taken from the base.
NEVER_TRAINED = ("packing_position_embedding", "vision_model.head.")
PROCESSOR = "PaddleOCRVLProcessor"
MAX_TEMPLATE_BYTES = 64 * 1024
TEMPLATE_SECONDS = 5.0  # for a stranger's template; an honest one takes a millisecond
TEMPLATE_MEMORY = 1 << 30  # bytes that its process may have beyond what it starts with
RENDER = "from sft.export import render_guarded; render_guarded()"
SHOWN = 300  # characters of what a stranger wrote in a message


def server_files(folder: Path, version: models.ModelVersion, *, pixels: tuple[int, int], eos_token_id: int) -> None:
    """Write what differs between a trained and a served directory: template, names, pixel limits, end token."""
    with atomic_write(folder / "chat_template.jinja") as stream:
        stream.write(models.chat_template(version).encode())
    with atomic_write(folder / "inference.yml") as stream:
        stream.write(yaml.safe_dump({"Global": {"model_name": version.served_name}}).encode())
    write_json(folder / "processor_config.json", {"processor_class": PROCESSOR})
    generation = read_table(folder / "generation_config.json") if (folder / "generation_config.json").exists() else {}
    generation.pop("max_length", None)  # 20 as the trainer writes it
    write_json(folder / "generation_config.json", {**generation, "eos_token_id": eos_token_id, "use_cache": True})
    attributes = read_table(folder / "tokenizer_config.json")
    if attributes.get("tokenizer_class") == "Ernie4_5_Tokenizer":
        attributes["tokenizer_class"] = "LlamaTokenizer"
    write_json(folder / "tokenizer_config.json", {**attributes, "image_token": models.IMAGE_TOKEN})
    _write_pixels(folder / "preprocessor_config.json", pixels)


def _write_pixels(path: Path, pixels: tuple[int, int]) -> None:
    """Set the limits in the layout the file has: min_pixels/max_pixels at the top, and inside `size` where it stands there."""
    config = read_table(path)
    config["min_pixels"], config["max_pixels"] = pixels
    size = config.get("size")
    if isinstance(size, dict):
        for low, high in (("min_pixels", "max_pixels"), ("shortest_edge", "longest_edge")):
            if low in size or high in size:
                size[low], size[high] = pixels
    write_json(path, config)


def export(weights: Path, base: Path, out: Path, version: models.ModelVersion, *, pixels: tuple[int, int], origin: dict[str, Any]) -> dict[str, Any]:
    """Build `out` from the trained weights in the folder `weights` and the base model; returns the manifest.

    Raises ProblemsFound where the weights are not those of the base's architecture, EngineError where the disk is full;
    in both cases nothing is left under `out`.
    """
    if out.exists():
        raise UsageError("this path exists already", where=str(out), hint="give a new directory, or remove the old one")
    try:
        temporary = new_folder_beside(out)
    except OSError as error:
        raise disk_error(error, out) from error
    try:
        _copy_base(base, temporary)
        filled = _write_weights(weights, base, temporary / WEIGHTS)
        server_files(temporary, version, pixels=pixels, eos_token_id=_eos_id(temporary))
        manifest = {**origin, "model_version": version.name, "served_name": version.served_name, "pixels": list(pixels), "taken_from_base": filled}
        manifest["files"] = {path.name: sha256(path) for path in sorted(temporary.iterdir())}
        prove(temporary, version)
        write_json(temporary / MANIFEST, manifest)
        os.replace(temporary, out)
    except OSError as error:
        raise disk_error(error, out) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _copy_base(base: Path, folder: Path) -> None:
    missing = [name for name in FROM_BASE if not (base / name).is_file()]
    if missing:
        raise ProblemsFound(f"the base model lacks {', '.join(missing)}", where=str(base), hint="`sft fetch-model` gets a complete one")
    for pattern in (*FROM_BASE, *FROM_BASE_IF_THERE):
        for path in base.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
            elif path.exists() and not path.is_dir():
                raise ProblemsFound("a pipe or a device, not a file", where=str(path), hint="remove it; `sft fetch-model` gets a complete directory")


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a directory: those its index names, else `model.safetensors`, else all shards."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        places = read_table(index).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
            raise ProblemsFound("its weight_map does not say which file has which tensor", where=str(index), hint="the directory is incomplete or broken; get it again")
        files = [folder / Path(name).name for name in sorted(set(places.values()))]
    else:
        files = [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else sorted(folder.glob("model-*.safetensors"))
    missing = [path.name[:SHOWN] for path in files if not os.path.isfile(path)]  # which, unlike Path's, takes a name that is too long
    if missing or not files:
        raise ProblemsFound(f"no weights: {', '.join(missing[:5]) or WEIGHTS} is not there", where=str(folder), hint="the run did not end, or the directory is incomplete")
    return files


def _write_weights(trained: Path, base: Path, out: Path) -> list[str]:
    """One file with exactly the base's tensors; returns the names that were taken from the base."""
    wanted = tensor_table(weight_files(base))
    found = tensor_table(weight_files(trained))
    lost = sorted(wanted.keys() - found.keys())
    filled = [name for name in lost if any(part in name for part in NEVER_TRAINED)]
    faults = [f"{name} is missing" for name in lost if name not in filled]
    faults += [f"{name} is not in the base model" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & found.keys()):
        theirs, ours = wanted[name][1]["shape"], found[name][1]["shape"]
        if theirs != ours:
            faults.append(f"{name} is {ours}, the base has {theirs}" + (" (transposed)" if ours == theirs[::-1] else ""))
    if faults:
        raise ProblemsFound(
            f"{len(faults)} tensors do not fit the base model: {'; '.join(faults[:5])}{' …' if len(faults) > 5 else ''}",
            where=str(trained), hint="export with the base model that was trained, by the trainer version that the pins name",
        )  # fmt: skip
    join({**{name: wanted[name] for name in filled}, **found}, out)
    return filled


def _eos_id(folder: Path) -> int:
    found = load_tokenizer(folder / "tokenizer.json").token_to_id(models.EOS)
    if found is None:
        raise ProblemsFound(f"the tokenizer has no {models.EOS}", where=str(folder))
    return int(found)


def prove(folder: Path, version: models.ModelVersion) -> None:
    """Check a model directory as a server will read it; ProblemsFound names everything that is wrong."""
    faults = [f"{name} is missing" for name in models.SERVED_FILES if not (folder / name).is_file()]
    if not faults:
        faults += _template_faults(folder, version)
        tokenizer = load_tokenizer(folder / "tokenizer.json")
        for token in (models.BEGIN, models.EOS, models.IMAGE_TOKEN, models.IMAGE_START, models.IMAGE_END):
            if len(tokenizer.encode(token, add_special_tokens=False).ids) != 1:
                faults.append(f"the tokenizer splits {token}")
        if "eos_token_id" not in read_table(folder / "generation_config.json"):
            faults.append("generation_config.json has no eos_token_id: answers would not end")
        if read_table(folder / "tokenizer_config.json").get("image_token") != models.IMAGE_TOKEN:
            faults.append("tokenizer_config.json has no image_token: the server's processor would not start")
        read_table(folder / "config.json")
        pixel_limits(folder)
        tensor_table(weight_files(folder))
    if faults:
        raise ProblemsFound("; ".join(faults), where=str(folder), hint="`sft export RUN -o DIR` writes a complete directory")


def _template_faults(folder: Path, version: models.ModelVersion) -> list[str]:
    """What the template renders against what the trainer was given as the prompt."""
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "OCR:"}]}]
    try:
        template = read_bounded(folder / "chat_template.jinja", max_bytes=MAX_TEMPLATE_BYTES).decode()
        rendered = _render_apart(template, messages)
    except subprocess.TimeoutExpired:
        return ["chat_template.jinja takes too long to render"]
    except ValueError as error:
        return [f"chat_template.jinja cannot be rendered ({error})"]
    wanted = models.render_prompt(version, "OCR:")
    return [] if rendered == wanted else [f"chat_template.jinja renders {rendered[:SHOWN]!r}, training used {wanted!r}"]


def _render_apart(template: str, messages: list[dict[str, Any]]) -> str:
    """As `render`, in a process of its own that can be ended whatever the template does; ValueError says why nothing came."""
    asked = json.dumps([template, messages]).encode()
    place = Path(__file__).resolve().parent.parent  # not the user's folder: what lies there could be imported
    done = subprocess.run([sys.executable, "-c", RENDER], input=asked, capture_output=True, timeout=TEMPLATE_SECONDS, cwd=place, check=False)
    if done.returncode:
        raise ValueError(f"it breaks Python, exit code {done.returncode}")
    answer: dict[str, str] = json.loads(done.stdout)
    if "fault" in answer:
        raise ValueError(answer["fault"])
    return answer["text"]


def render_guarded() -> None:
    """The other end of `_render_apart`: JSON from standard input, JSON to standard output, within bounds of memory."""
    import resource

    template, messages = json.load(sys.stdin)
    with suppress(OSError, ValueError):  # no /proc, or a lower limit already
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + TEMPLATE_MEMORY, used + TEMPLATE_MEMORY))
    try:
        answer = {"text": render(template, messages)[:MAX_TEMPLATE_BYTES]}
    except Exception as error:  # a stranger's template may raise anything
        answer = {"fault": f"{type(error).__name__}: {error}"[:SHOWN]}
    json.dump(answer, sys.stdout)


def render(template: str, messages: list[dict[str, Any]]) -> str:
    """Render a chat template as vLLM and Transformers do, in a sandbox. It may take for ever: a stranger's is rendered by `prove`."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(messages=messages, add_generation_prompt=True, cls_token=models.BEGIN, eos_token=models.EOS)


def fingerprint(model_dir: Path) -> str:
    """A short hash of what a model directory answers: its weights and every file that a server reads beside them.

    generation_config.json is one of these: vLLM takes from it what a request leaves out, such as the repetition penalty.
    """
    digest = hashlib.sha256()
    names = {*models.SERVED_FILES, *FROM_BASE_IF_THERE, "chat_template.json"} - {WEIGHTS, "LICENSE*"}
    for path in (*weight_files(model_dir), *sorted(path for name in names for path in model_dir.glob(name))):
        if path.is_file():
            digest.update(json.dumps([path.name, sha256(path)]).encode())
    return digest.hexdigest()[:16]
