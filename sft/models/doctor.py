"""All checks on any model directory: what it is, and one line per check with a hint for each failure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sft.errors import SftError, UsageError
from sft.files import read_table, sha256
from sft.models import remote_code, versions
from sft.models.architecture import UNUSED, expected_shapes
from sft.models.recognise import Directory, recognise
from sft.models.safetensors import Table, tensor_bytes, tensor_table
from sft.models.server_settings import sampling_in, tokenizer_settings
from sft.models.tensor_names import ADAPTER_MARKS, HEAD, MERGE_HINT, base_name, is_tied
from sft.models.token_budget import limits_in, pixel_limits
from sft.models.verify import MANIFEST, WEIGHTS, identify, prompt_end, template_faults, weight_files
from sft.models.weights import BLOCK, all_finite

OK, WARNING, FAILED = "ok", "warning", "failed"
FIX = "`sft doctor DIR --fix -o COPY` writes a copy that serves"
FROM_BASE = "`sft export --weights DIR --base BASE -o OUT` completes it from the model it was trained from"
DIVERGED = "the training or the merge went wrong: take an earlier checkpoint, or merge again in float32"
KILLED = re.compile(r"\..+\.\d+\.tmp")  # the name under which an export is built
SHOWN = 5  # names in a message
ENDS_HERE = ("adapter", "pickled", "empty")  # nothing further can be looked at


@dataclass(frozen=True)
class Check:
    """One line: `state` is ok, warning or failed."""

    name: str
    state: str
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What a directory is, and all checks on it."""

    about: Directory
    version: str | None
    checks: list[Check]

    @property
    def ok(self) -> bool:
        """No check failed; warnings may be there."""
        return all(check.state != FAILED for check in self.checks)


Looked = list[Check]


def diagnose(folder: Path) -> Diagnosis:
    """Look at a directory; nothing in it is run, only its template is rendered, apart and within bounds."""
    if not folder.is_dir():
        raise UsageError("no such directory", where=str(folder), hint="give a model directory")
    about = recognise(folder)
    version = identify(folder)
    state = FAILED if about.kind in ENDS_HERE else WARNING if about.hint else OK
    checks = [Check("what it is", state, about.about, about.hint)]
    if about.kind not in ENDS_HERE:
        for name, look, hint in CHECKS:
            checks += _looked(name, look, folder, hint)
    return Diagnosis(about, version.name if version else None, checks)


def _looked(name: str, look: Callable[[Path], Looked], folder: Path, hint: str) -> Looked:
    try:
        checks = look(folder)
    except SftError as error:
        checks = [Check(name, FAILED, error.message, error.hint or hint)]
    return checks or [Check(name, OK, "as it should be")]


def _failed(name: str, faults: list[str], hint: str) -> Looked:
    more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return [Check(name, FAILED, "; ".join(faults[:SHOWN]) + more, hint)] if faults else []


def _whole(folder: Path) -> Looked:
    if KILLED.fullmatch(folder.resolve().name):
        hint = "run the export again, which removes it"
        return [Check("whole", FAILED, "an export that was stopped left this behind", hint)]
    if not (folder / MANIFEST).is_file():
        return []
    files = read_table(folder / MANIFEST).get("files")
    wanted = files if isinstance(files, dict) else {}
    faults = [
        f"{name[:100]} is not what the export wrote"
        for name, digest in sorted(wanted.items())
        if Path(name).name == name and not ((folder / name).is_file() and sha256(folder / name) == digest)
    ]
    return _failed("whole", faults, "the copy was cut off or a file was edited: export or copy it again")


def _files(folder: Path) -> Looked:
    names = [name for name in versions.SERVED_FILES if name != WEIGHTS]
    return _failed("files", [f"{name} is missing" for name in names if not (folder / name).is_file()], FIX)


def _shards(folder: Path) -> Looked:
    index = folder / "model.safetensors.index.json"
    if index.is_file() and (folder / WEIGHTS).is_file():
        message = "model.safetensors.index.json beside model.safetensors is stale: servers look for the shards it names"
        return [Check("weight files", FAILED, message, FIX)]
    files = weight_files(folder)
    if [path.name for path in files] != [WEIGHTS]:
        message = f"the weights are {len(files)} shards, e.g. {files[0].name[:100]}; PaddleX looks for {WEIGHTS}"
        return [Check("weight files", FAILED, message, FIX)]
    return []


def _table(folder: Path) -> Table:
    """The tensors; those of model.safetensors where an index beside it is stale."""
    whole = folder / WEIGHTS
    return tensor_table([whole] if whole.is_file() else weight_files(folder))


def _tensors(folder: Path) -> Looked:
    table = _table(folder)
    adapters = [name[:200] for name in table if any(mark in name for mark in ADAPTER_MARKS)]
    if adapters:
        return _failed("tensors", [f"{name} belongs to an adapter that is not merged" for name in adapters], MERGE_HINT)
    wanted = expected_shapes(read_table(folder / "config.json"))
    faults = [f"{name} is missing" for name in sorted(wanted.keys() - table.keys())]
    for name in sorted(table):
        shape = table[name][1]["shape"]
        if name not in wanted:
            note = ", a name of another tool" if base_name(name) in wanted else ""
            faults += [] if name.startswith(UNUSED) else [f"{name[:200]} is not of this model{note}"]
        elif shape != wanted[name]:
            note = " (transposed)" if shape == wanted[name][::-1] else ""
            faults.append(f"{name} is {shape}, its config.json asks for {wanted[name]}{note}")
    return _failed("tensors", faults, FROM_BASE)


def _numbers(folder: Path) -> Looked:
    faults = [
        f"{name[:200]} holds a number that is not finite"
        for name, (path, entry) in sorted(_table(folder).items())
        if not all(all_finite(block, entry["dtype"]) for block in tensor_bytes(path, entry, BLOCK))
    ]
    return _failed("numbers", faults, DIVERGED)


def _head(folder: Path) -> Looked:
    table = _table(folder)
    config = read_table(folder / "config.json")
    tied = config.get("tie_word_embeddings")
    if tied is not True or HEAD not in table:
        return []
    if is_tied(table):
        return []
    message = f"config.json ties {HEAD} to the embeddings, the weights hold two different tensors"
    hint = "set tie_word_embeddings to what the base's config.json has"
    check = Check(
        "output layer",
        FAILED,
        message,
        hint,
    )
    return [check]


def _version(folder: Path) -> Looked:
    version = identify(folder)
    known = ", ".join(one.served_name for one in versions.MODELS.values())
    if version is None:
        message = (
            f"inference.yml names none of {known}: the client's name is not served, and genai_server has no template"
        )
        return [Check("version", FAILED, message, "write Global.model_name of the base into inference.yml")]
    end = prompt_end(folder)
    if end not in (None, version.prompt_end):
        message = (
            f"inference.yml says {version.served_name}, which ends the prompt with {version.prompt_end!r}; the template"
            f" ends it with {end!r}: genai_server goes by the name, vLLM by the template"
        )
        return [Check("version", FAILED, message, "find out which base was trained, and make both say so")]
    return []


def _template(folder: Path) -> Looked:
    version = identify(folder)
    if version is None:
        return []
    path = folder / "chat_template.jinja"
    if not path.is_file():
        return []
    faults = template_faults(folder, version)
    return _failed(
        "template",
        faults,
        FIX,
    )


def _pixels(folder: Path) -> Looked:
    limits = pixel_limits(folder)
    nested = None
    if (folder / remote_code.PROCESSOR_CONFIG).is_file():
        nested = read_table(folder / remote_code.PROCESSOR_CONFIG).get("image_processor")
    inside = limits_in(nested) if isinstance(nested, dict) else (None, None)
    if inside not in ((None, None), limits):
        message = f"preprocessor_config.json has {limits}, processor_config.json {inside}, which Transformers 5 takes"
        return [Check("pixel limits", FAILED, message, FIX)]
    version = identify(folder)
    released = (version.min_pixels, version.max_pixels) if version else (None, None)
    if None in released or released == limits or (folder / MANIFEST).is_file():
        return []
    message = (
        f"{limits[0]} to {limits[1]}, {version.name if version else ''} is released with {released[0]} to {released[1]}"
    )
    return [Check("pixel limits", WARNING, message, "right if it was trained so; else glyphs have another size")]


def _tokenizer(folder: Path) -> Looked:
    table = read_table(folder / "tokenizer_config.json")
    _, changes = tokenizer_settings(folder, table)
    faults = [change.replace(" became ", " must become ") for change in changes]
    if table.get("image_token") != versions.IMAGE_TOKEN:
        faults.append(
            "tokenizer_config.json has no image_token: the server's processor would not start",
        )
    return _failed(
        "tokenizer",
        faults,
        FIX,
    )


def _generation(folder: Path) -> Looked:
    table = read_table(folder / "generation_config.json")
    if "eos_token_id" not in table:
        return _failed("generation", ["generation_config.json has no eos_token_id: answers would not end"], FIX)
    acting = ", ".join(f"{key} {str(value)[:50]}" for key, value in sampling_in(table).items())
    if not acting:
        return []
    return [Check("generation", FAILED, f"{acting} in generation_config.json acts on every request", FIX)]


def _config(folder: Path) -> Looked:
    table = read_table(folder / "config.json")
    kind = str(table.get("model_type"))
    faults = []
    if kind != "paddleocr_vl":
        faults.append(
            f"config.json has model_type {kind[:50]!r}, not 'paddleocr_vl'",
        )
    if "text_config" in table:
        faults.append(
            "config.json has the layout of Transformers 5 (text_config), which older servers cannot read",
        )
    return _failed(
        "config",
        faults,
        FROM_BASE,
    )


def _code(folder: Path) -> Looked:
    return _failed("code", remote_code.faults(folder), "put the file back, or export again from the base")


CHECKS: tuple[tuple[str, Callable[[Path], Looked], str], ...] = (
    ("whole", _whole, FIX),
    ("files", _files, FIX),
    ("config", _config, FROM_BASE),
    ("weight files", _shards, FIX),
    ("tensors", _tensors, FROM_BASE),
    ("numbers", _numbers, DIVERGED),
    ("output layer", _head, FROM_BASE),
    ("version", _version, FIX),
    ("template", _template, FIX),
    ("pixel limits", _pixels, FIX),
    ("tokenizer", _tokenizer, FIX),
    ("generation", _generation, FIX),
    ("code", _code, FIX),
)
