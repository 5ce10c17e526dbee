"""Is a model directory complete, and is it what it says it is: released ones (`check_model`) and ones to be served
(`verify_served`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sft.errors import ProblemsFound
from sft.files import read_bounded, read_table, sha256
from sft.models import chat_template, remote_code, versions
from sft.models.safetensors import safetensors_header, tensor_table
from sft.models.token_budget import limits_in, load_tokenizer, pixel_limits
from sft.models.versions import ModelVersion

WEIGHTS = "model.safetensors"
MANIFEST = "sft-export.json"
FROM_BASE_IF_THERE = (
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    remote_code.PROCESSOR_CONFIG,
    "*_paddleocr_vl.py",
    "LICENSE*",
)
MAX_TEMPLATE_BYTES = 64 * 1024
TEMPLATE_SECONDS = 5  # of the processor, for an untrusted template; an honest one takes a millisecond
TEMPLATE_PATIENCE = (
    300.0  # seconds on the clock, for a machine that does much else: a template cannot wait for anything
)
TEMPLATE_MEMORY = 1 << 30  # bytes that its process may have beyond what it starts with
RENDER = "from sft.models.verify import render_guarded; render_guarded()"
SHOWN = 300  # characters of untrusted text in a message


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a directory: those its index names, else `model.safetensors`, else all shards."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        places = read_table(index).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
            raise ProblemsFound(
                "its weight_map does not say which file has which tensor",
                where=str(index),
                hint="the directory is incomplete or damaged; download it again",
            )
        files = [folder / Path(name).name for name in sorted(set(places.values()))]
    else:
        files = [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else sorted(folder.glob("model-*.safetensors"))
    missing = [
        path.name[:SHOWN] for path in files if not os.path.isfile(path)
    ]  # which, unlike Path's, takes a name that is too long
    if missing or not files:
        raise ProblemsFound(
            f"no weights: {', '.join(missing[:5]) or WEIGHTS} is not there",
            where=str(folder),
            hint="the run did not finish, or the directory is incomplete",
        )
    return files


def verify_served(folder: Path, version: versions.ModelVersion) -> None:
    """Check a model directory as a server will read it; ProblemsFound names everything that is wrong."""
    faults = [f"{name} is missing" for name in versions.SERVED_FILES if not (folder / name).is_file()]
    if not faults:
        faults += template_faults(folder, version)
        tokenizer = load_tokenizer(folder / "tokenizer.json")
        for token in (versions.BEGIN, versions.EOS, versions.IMAGE_TOKEN, versions.IMAGE_START, versions.IMAGE_END):
            if len(tokenizer.encode(token, add_special_tokens=False).ids) != 1:
                faults.append(f"the tokenizer splits {token}")
        if "eos_token_id" not in read_table(folder / "generation_config.json"):
            faults.append("generation_config.json has no eos_token_id: answers would not end")
        if read_table(folder / "tokenizer_config.json").get("image_token") != versions.IMAGE_TOKEN:
            faults.append("tokenizer_config.json has no image_token: the server's processor would not start")
        read_table(folder / "config.json")
        faults += remote_code.faults(folder)
        pixel_limits(folder)
        tensor_table(weight_files(folder))
    if faults:
        raise ProblemsFound(
            "; ".join(faults), where=str(folder), hint="`sft export RUN -o DIR` writes a complete directory"
        )


def template_faults(folder: Path, version: versions.ModelVersion) -> list[str]:
    """What the template renders against what the trainer was given as the prompt."""
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "OCR:"}]}]
    try:
        template = read_bounded(folder / "chat_template.jinja", max_bytes=MAX_TEMPLATE_BYTES).decode()
        rendered = _render_apart(template, messages)
    except subprocess.TimeoutExpired:
        return ["chat_template.jinja takes too long to render"]
    except ValueError as error:
        return [f"chat_template.jinja cannot be rendered ({error})"]
    wanted = chat_template.render_prompt(version, "OCR:")
    return [] if rendered == wanted else [f"chat_template.jinja renders {rendered[:SHOWN]!r}, training used {wanted!r}"]


def _render_apart(template: str, messages: list[dict[str, Any]]) -> str:
    """As `render`, in a process of its own that can be ended whatever the template does; ValueError says why nothing
    came.

    TimeoutExpired: it takes too long.
    """
    asked = json.dumps([template, messages, TEMPLATE_SECONDS]).encode()
    place = Path(__file__).resolve().parents[2]  # not the user's folder: what lies there could be imported
    done = subprocess.run(
        [sys.executable, "-c", RENDER],
        input=asked,
        capture_output=True,
        timeout=TEMPLATE_PATIENCE,
        cwd=place,
        check=False,
    )
    if done.returncode == -signal.SIGXCPU:
        raise subprocess.TimeoutExpired(done.args, TEMPLATE_SECONDS)
    if done.returncode:
        raise ValueError(f"Python crashed on it, exit code {done.returncode}")
    answer: dict[str, str] = json.loads(done.stdout)
    if "fault" in answer:
        raise ValueError(answer["fault"])
    return answer["text"]


def render_guarded() -> None:
    """The other end of `_render_apart`: JSON from standard input, JSON to standard output, within bounds of work and
    memory.
    """
    import resource

    template, messages, seconds = json.load(sys.stdin)
    with suppress(OSError, ValueError):  # a lower limit already
        spent = math.ceil(time.process_time())
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # what it is ended with would leave one
        resource.setrlimit(
            resource.RLIMIT_CPU,
            (spent + seconds, spent + seconds + 1),
        )
    with suppress(OSError, ValueError):  # no /proc, or a lower limit already
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(
            resource.RLIMIT_AS,
            (used + TEMPLATE_MEMORY, used + TEMPLATE_MEMORY),
        )
    try:
        answer = {"text": render(template, messages)[:MAX_TEMPLATE_BYTES]}
    except Exception as error:  # an untrusted template may raise anything
        answer = {"fault": f"{type(error).__name__}: {error}"[:SHOWN]}
    json.dump(answer, sys.stdout)


def render(template: str, messages: list[dict[str, Any]]) -> str:
    """Render a chat template as vLLM and Transformers do, in a sandbox.

    It may take for ever: an untrusted one is rendered by `verify_served`.
    """
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        messages=messages, add_generation_prompt=True, cls_token=versions.BEGIN, eos_token=versions.EOS
    )


def fingerprint(model_dir: Path) -> str:
    """A short hash of what a model directory answers: its weights and every file that a server reads beside them.

    generation_config.json is one of these: vLLM takes from it what a request leaves out, such as the repetition
    penalty.
    """
    digest = hashlib.sha256()
    names = {*versions.SERVED_FILES, *FROM_BASE_IF_THERE, "chat_template.json"} - {WEIGHTS, "LICENSE*"}
    with suppress(ProblemsFound):  # a table that cannot be read is hashed all the same
        names.update(remote_code.code_files(model_dir))
    for path in (*weight_files(model_dir), *sorted(path for name in names for path in model_dir.glob(name))):
        if path.is_file():
            digest.update(json.dumps([path.name, sha256(path)]).encode())
    return digest.hexdigest()[:16]


INDEX = "model.safetensors.index.json"
MAX_CONFIG_BYTES = 1024**2  # a configuration file above this is not one
LFS_MARK = b"version https://git-lfs"
PICKLES = (
    "*.bin",
    "*.pt",
    "*.pth",
    "*.ckpt",
    "*.pkl",
    "*.pdparams",
)  # loading one runs the code inside it; never fetched
ENDING = re.compile(r"Assistant:( |\\n|\n)")  # in a template's source a newline is written as a backslash and an n


def _files(directory: Path) -> dict[str, Path]:
    """Name from `directory` → path, without the hub libraries' own notes (.cache, .msc, …)."""
    paths = ((path.relative_to(directory), path) for path in sorted(directory.rglob("*")) if path.is_file())
    return {name.as_posix(): path for name, path in paths if not name.parts[0].startswith(".")}


def require_model(directory: Path, version: ModelVersion | None) -> None:
    """ProblemsFound with all that `check_model` finds."""
    problems = check_model(directory, version)
    if problems:
        hint = (
            "fetch it again into an empty directory"
            if version is None
            else f"fetch {version.hub_id} again into an empty directory"
        )
        raise ProblemsFound("; ".join(problems), where=str(directory), hint=hint)


def check_model(directory: Path, version: ModelVersion | None) -> list[str]:
    """Everything that keeps a released model from being trained: missing, cut off, pointers, or of another version.

    Without `version`, only completeness is looked at. An empty list: fine.
    """
    if not directory.is_dir():
        return [f"there is no directory {directory}"]
    files = {name: path for name, path in _files(directory).items() if "/" not in name}
    pointers = [name for name, path in files.items() if _starts_with(path, LFS_MARK)]
    problems = [f"{name} is a git-LFS pointer, not the file itself (`git lfs pull` fetches it)" for name in pointers]
    problems += [f"{name} is missing" for name in versions.RELEASED_FILES if name not in files]
    problems += _weights(files, pointers)
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json", "inference.yml"):
        if name in files and name not in pointers and not isinstance(_read(files[name]), dict):
            problems.append(f"{name} cannot be read as a table of names and values")
    with suppress(ProblemsFound):  # said already
        problems += remote_code.faults(directory, complete=False)
    return problems + (_version_problems(directory, version) if version else [])


def _starts_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(mark)) == mark


def _is_real(path: Path) -> bool:
    return path.is_file() and not _starts_with(path, LFS_MARK)


def _weights(files: dict[str, Path], pointers: list[str]) -> list[str]:
    names = [name for name in files if name.endswith(".safetensors")]
    problems: list[str] = []
    for name in names:
        if name not in pointers:
            try:
                safetensors_header(files[name])
            except ProblemsFound as error:
                problems.append(f"{name}: {error.message}")
    if not names:
        pickles = [name for name in files if any(PurePosixPath(name).match(pattern) for pattern in PICKLES)]
        problems.append(
            "no *.safetensors"
            + (f"; {', '.join(pickles)} would run code when loaded and is not used" if pickles else "")
        )
    if INDEX in files and INDEX not in pointers:
        index = _read(files[INDEX])
        shards = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(shards, dict):
            return [*problems, f"{INDEX} has no weight_map"]
        problems += [
            f"{INDEX} names {shard}, which is missing"
            for shard in sorted({str(shard) for shard in shards.values()} - set(names))
        ]
    return problems


def _read(path: Path) -> Any:
    """A small JSON or YAML file; None for what cannot be read."""
    text = _text(path)
    with suppress(ValueError, RecursionError, yaml.YAMLError):
        return yaml.safe_load(text) if path.suffix in {".yml", ".yaml"} else json.loads(text)
    return None


def _text(path: Path) -> str:
    """The text of a small file; empty for what is missing, too large or not UTF-8."""
    with suppress(OSError, UnicodeDecodeError):
        if path.stat().st_size <= MAX_CONFIG_BYTES:
            return path.read_text("utf-8")
    return ""


def _served_name(directory: Path) -> str | None:
    """`Global.model_name` of inference.yml."""
    settings = _read(directory / "inference.yml")
    section = settings.get("Global") if isinstance(settings, dict) else None
    name = section.get("model_name") if isinstance(section, dict) else None
    return name if isinstance(name, str) else None


def prompt_end(directory: Path) -> str | None:
    """What the chat template puts in front of an answer: the last one it writes is the one for generation."""
    endings = ENDING.findall(_text(directory / "chat_template.jinja"))
    return f"\nAssistant:{endings[-1]}".replace("\\n", "\n") if endings else None


def _pixel_limits(directory: Path) -> tuple[int | None, int | None]:
    settings = _read(directory / "preprocessor_config.json")
    if not isinstance(settings, dict):
        return None, None
    low, high = (value if isinstance(value, int) else None for value in limits_in(settings))
    return low, high


def _version_problems(directory: Path, version: ModelVersion) -> list[str]:
    """What contradicts the record; what is missing or a pointer has been said already."""
    problems: list[str] = []
    served = _served_name(directory)
    ending = prompt_end(directory)
    limits = _pixel_limits(directory)
    if served != version.served_name and _is_real(directory / "inference.yml"):
        problems.append(
            f"inference.yml says {served or 'no Global.model_name'}, {version.name} is {version.served_name}"
        )
    if ending != version.prompt_end and _is_real(directory / "chat_template.jinja"):
        problems.append(
            f"chat_template.jinja ends the prompt with {ending!r}, {version.name} was trained with"
            f" {version.prompt_end!r}"
        )
    for name, value, wanted in zip(
        ("min_pixels", "max_pixels"), limits, (version.min_pixels, version.max_pixels), strict=True
    ):
        if value is not None and wanted is not None and value != wanted:
            problems.append(f"preprocessor_config.json has {name} {value}, {version.name} has {wanted}")
    return problems


def identify(directory: Path) -> ModelVersion | None:
    """The version a directory claims to be: by inference.yml, else by template and pixel limits; None where that
    decides nothing.
    """
    served = _served_name(directory)
    if served:
        return next(
            (version for version in versions.MODELS.values() if version.served_name == served),
            None,
        )
    ending = prompt_end(directory)
    limits = _pixel_limits(directory)
    same_ending = [version for version in versions.MODELS.values() if version.prompt_end == ending]
    candidates = (
        same_ending
        if len(same_ending) == 1
        else [version for version in same_ending if (version.min_pixels, version.max_pixels) == limits]
    )
    return candidates[0] if len(candidates) == 1 else None
