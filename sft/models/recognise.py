"""What a directory is: a release, an export, a checkpoint, an adapter only, or a model that another tool wrote."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sft.errors import ProblemsFound
from sft.files import read_bounded, read_table
from sft.models.tensor_names import MERGE_HINT
from sft.models.verify import MANIFEST, PICKLES

ADAPTER_FILES = ("adapter_config.json", "lora_config.json")  # peft, PaddleFormers
STATE_FILES = ("optimizer*", "scheduler*", "trainer_state.*", "rng_state*", "training_args.bin")
MAX_CARD_BYTES = 1024**2  # of a model card
# file, what its text holds → the tool that wrote it
TOOLS: tuple[tuple[str, str, str], ...] = (
    ("args.json", r'"swift_version"|"train_type"|"tuner_type"', "ms-swift"),
    ("config.json", r'"unsloth_', "Unsloth"),
    ("README.md", r"llama-?factory", "LLaMA-Factory"),
    ("trainer_log.jsonl", "", "LLaMA-Factory"),
    ("README.md", r"unsloth", "Unsloth"),
    ("README.md", r"axolotl", "axolotl"),
    ("config.json", r'"paddleformers_version"', "PaddleFormers"),
    ("config.json", r'"transformers_version"', "Transformers"),
)
SHOWN = 200  # characters of untrusted text in a message


@dataclass(frozen=True)
class Directory:
    """`kind`: release, export, checkpoint, adapter, merged, pickled, empty; `tool`: who wrote it, where that shows;
    `base`: what an adapter was trained from, as it says; `about`: one sentence; `hint`: what to do, where it cannot be
    served for what it is.
    """

    kind: str
    about: str
    tool: str | None = None
    base: str | None = None
    hint: str | None = None


def recognise(folder: Path) -> Directory:
    """What is in a directory, by its files; nothing is loaded."""
    tool = _tool(folder)
    by = f" of {tool}" if tool else ""
    weights = any(folder.glob("model*.safetensors"))
    adapter = next((name for name in ADAPTER_FILES if (folder / name).is_file()), None)
    if adapter and not weights:
        return _adapter(folder / adapter, tool)
    if (folder / MANIFEST).is_file():
        return Directory("export", "an export of this workbench", tool)
    if any(True for pattern in STATE_FILES for _ in folder.glob(pattern)):
        return Directory(
            "checkpoint",
            f"a checkpoint{by}: weights beside the state of a training",
            tool,
            hint="`sft export RUN --checkpoint STEP`, or `sft export --weights` with its base, makes a model of it",
        )
    if not weights:
        return _without_weights(folder)
    if (folder / "inference.yml").is_file() and (folder / "chat_template.jinja").is_file():
        return Directory("release", "a model directory as released, complete by its file names", tool)
    return Directory(
        "merged",
        f"a model that another tool wrote{f' ({tool})' if tool else ''}",
        tool,
        hint="`sft export --weights` with its base completes it",
    )


def _adapter(path: Path, tool: str | None) -> Directory:
    base = None
    with suppress(ProblemsFound):
        base = read_table(path).get("base_model_name_or_path")
    base = base[:SHOWN] if isinstance(base, str) and base else None
    moved = base is not None and base.startswith(("/", ".", "~")) and not Path(base).expanduser().exists()
    where = "" if base is None else f"; its base {base} is not there any more" if moved else f"; its base is {base}"
    return Directory("adapter", f"an adapter only, without the model{where}", tool, base, MERGE_HINT)


def _without_weights(folder: Path) -> Directory:
    pickled = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickled:
        return Directory(
            "pickled",
            f"weights as {pickled[0][:SHOWN]}, which runs code when it is loaded",
            hint="save it with the tool that wrote it as safetensors",
        )
    return Directory(
        "empty", "no model: there are no model*.safetensors", hint="`sft export RUN -o DIR` writes a model"
    )


def _tool(folder: Path) -> str | None:
    for name, mark, tool in TOOLS:
        path = folder / name
        if not path.is_file():
            continue
        if re.search(mark, _text(path), re.IGNORECASE):
            return tool
    return None


def _text(path: Path) -> str:
    if not path.is_file():
        return ""
    with suppress(ProblemsFound):
        return read_bounded(path, max_bytes=MAX_CARD_BYTES).decode(errors="replace")
    return ""
