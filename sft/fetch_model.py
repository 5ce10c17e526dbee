"""`sft fetch` for weights: a released PaddleOCR-VL becomes a directory that is complete and is the version it should be.

    out/.sft-model.json   {"hub_id": "PaddlePaddle/PaddleOCR-VL", "source": "huggingface", "asked": "main", "revision": "0f4c…",
                           "files": {"config.json": {"sha256": "…", "bytes": 1234}, …}}; written last

Nothing of a model directory is imported or run, its chat template included: files are read as JSON, safe YAML or text.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml

from sft import jsonl, models
from sft.errors import EngineError, ProblemsFound, UsageError
from sft.models import ModelVersion
from sft.safetensors_io import safetensors_header

RECORD = ".sft-model.json"
CHANGED = ".changed"  # folder for files that are no longer what the record says
INDEX = "model.safetensors.index.json"
MAX_CONFIG_BYTES = 1024**2  # a configuration file above this is not one
LFS_MARK = b"version https://git-lfs"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pdparams")  # loading one runs the code inside it; never fetched
ENDING = re.compile(r"Assistant:( |\\n|\n)")  # in a template's source a newline is written as a backslash and an n

Source = Literal["huggingface", "modelscope"]


def fetch_model(name: str, out: Path, source: Source = "huggingface", revision: str | None = None) -> Path:
    """Download the model version `name` to `out` and prove it; returns `out`. A download that was stopped is continued.

    A directory whose record names this model and revision (any, where none is asked for) and whose files have the
    recorded sizes is taken as it is, without a network. Errors: UsageError for an unknown version, source or a missing
    package; EngineError where the hub does not answer; ProblemsFound with everything that is wrong with the directory.
    """
    version = models.get(name)
    if source not in SOURCES:
        raise UsageError(f"no source called {source!r}", hint=f"known: {', '.join(SOURCES)}")
    if _is_there(out, version, source, revision):
        require_model(out, version)
        return out
    return _fetch(version, out, source, revision)


def present_or_fetch(version: ModelVersion, out: Path, source: Source = "huggingface") -> Path:
    """The model in `out`, from whichever hub it came: taken as it is where it is as it was recorded, else fetched; proved either way.

    Sizes and hashes of all files are compared with the record, without a network. A directory without a record is one whose
    download did not end: it is continued. A file that changed since is moved to `out`/.changed/ and fetched again. Errors: as
    `fetch_model`.
    """
    kept = _record(out, version)
    there = _files(out) if kept else {}
    changed = [name for name, path in there.items() if kept and name in kept["files"] and not _same(path, kept["files"][name])]
    if kept and not changed and there.keys() >= kept["files"].keys():
        require_model(out, version)
        return out
    for name in changed:  # a hub's library takes a file whose date is as it left it for whole
        aside = out / CHANGED / name
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            there[name].replace(aside)
        except OSError as error:
            raise jsonl.disk_error(error, aside) from error
    return _fetch(version, out, source, str(kept["revision"]) if kept and kept["source"] == source else None)


def _record(out: Path, version: ModelVersion) -> dict[str, Any] | None:
    """The record of a finished download of this version; None where there is none that can be used."""
    with suppress(ProblemsFound, UsageError, KeyError, TypeError, AttributeError):
        record: dict[str, Any] = jsonl.read_json(out / RECORD)
        complete = all(isinstance(file["bytes"], int) and isinstance(file["sha256"], str) for file in record["files"].values())
        if record["hub_id"] == version.hub_id and record["files"] and complete and {"source", "revision"} <= record.keys():
            return record
    return None


def _same(path: Path, recorded: Mapping[str, Any]) -> bool:
    return bool(path.stat().st_size == recorded["bytes"] and jsonl.sha256(path) == recorded["sha256"])


def _fetch(version: ModelVersion, out: Path, source: Source, revision: str | None) -> Path:
    """Ask the hub, prove what came, record it."""
    fetch, branch = SOURCES[source]
    asked = revision or branch or version.revision
    try:
        (out / RECORD).unlink(missing_ok=True)
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise jsonl.disk_error(error, out) from error
    resolved = fetch(version.hub_id, out, asked)
    require_model(out, version)
    files = {name: {"sha256": jsonl.sha256(path), "bytes": path.stat().st_size} for name, path in _files(out).items()}
    about = {"hub_id": version.hub_id, "source": source, "asked": asked, "revision": resolved}
    jsonl.write_json(out / RECORD, {**about, "files": files})
    return out


def _files(directory: Path) -> dict[str, Path]:
    """Name from `directory` → path, without the hub libraries' own notes (.cache, .msc, …)."""
    found = ((path.relative_to(directory), path) for path in sorted(directory.rglob("*")) if path.is_file())
    return {name.as_posix(): path for name, path in found if not name.parts[0].startswith(".")}


def _is_there(out: Path, version: ModelVersion, source: str, revision: str | None) -> bool:
    with suppress(ProblemsFound, UsageError, KeyError, TypeError, AttributeError, OSError):
        record = jsonl.read_json(out / RECORD)
        same = (record["hub_id"], record["source"]) == (version.hub_id, source)
        wanted = revision is None or revision in (record["asked"], record["revision"])
        return same and wanted and all((out / name).stat().st_size == file["bytes"] for name, file in record["files"].items())
    return False


def _from_huggingface(hub_id: str, out: Path, revision: str) -> str:
    """Fetch one commit; returns its hash."""
    import huggingface_hub

    try:
        commit = huggingface_hub.HfApi().model_info(hub_id, revision=revision).sha
        huggingface_hub.snapshot_download(hub_id, revision=commit, local_dir=out, ignore_patterns=list(PICKLES))
    except Exception as error:  # the library and the HTTP client below it raise from a dozen families
        raise _hub_error(hub_id, revision, error, _other_hub(hub_id, out, "modelscope")) from error
    return str(commit)


def _from_modelscope(hub_id: str, out: Path, revision: str) -> str:
    """Fetch a revision; returns its name, since this hub's library tells no commit. The recorded hashes pin the content."""
    try:
        modelscope = import_module("modelscope")  # optional, and without types
    except ImportError as error:
        raise UsageError("the package modelscope is not installed", hint="pip install modelscope") from error
    try:
        modelscope.snapshot_download(hub_id, revision=revision, local_dir=str(out), ignore_patterns=list(PICKLES))
    except Exception as error:  # as above
        raise _hub_error(hub_id, revision, error, _other_hub(hub_id, out, "huggingface")) from error
    return revision


# Source → how to fetch from it, and the name of its main branch where that is not the one of the model record.
SOURCES: dict[str, tuple[Callable[[str, Path, str], str], str]] = {
    "huggingface": (_from_huggingface, ""),
    "modelscope": (_from_modelscope, "master"),
}


def _other_hub(hub_id: str, out: Path, source: Source) -> str:
    """A command that is right whatever verb was fetching."""
    return f"`sft fetch-model {hub_id.rpartition('/')[2]} --from {source} -o {shlex.quote(str(out))}` asks the other hub"


def _hub_error(hub_id: str, revision: str, error: Exception, hint: str) -> EngineError:
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return EngineError(f"{hub_id} at {revision} is not to be had: {first_line}", hint=f"the same command goes on where it stopped; {hint}")


def require_model(directory: Path, version: ModelVersion | None) -> None:
    """ProblemsFound with all that `check_model` finds."""
    problems = check_model(directory, version)
    if problems:
        hint = "fetch it again into an empty directory" if version is None else f"fetch {version.hub_id} again into an empty directory"
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
    problems += [f"{name} is missing" for name in models.RELEASED_FILES if name not in files]
    problems += _weights(files, pointers)
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json", "inference.yml"):
        if name in files and name not in pointers and not isinstance(_read(files[name]), dict):
            problems.append(f"{name} cannot be read as a table of names and values")
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
        problems.append("no *.safetensors" + (f"; {', '.join(pickles)} would run code when loaded and is not used" if pickles else ""))
    if INDEX in files and INDEX not in pointers:
        index = _read(files[INDEX])
        shards = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(shards, dict):
            return [*problems, f"{INDEX} has no weight_map"]
        problems += [f"{INDEX} names {shard}, which is missing" for shard in sorted({str(shard) for shard in shards.values()} - set(names))]
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


def _prompt_end(directory: Path) -> str | None:
    """What the chat template puts in front of an answer: the last one it writes is the one for generation."""
    found = ENDING.findall(_text(directory / "chat_template.jinja"))
    return f"\nAssistant:{found[-1]}".replace("\\n", "\n") if found else None


def _pixel_limits(directory: Path) -> tuple[int | None, int | None]:
    settings = _read(directory / "preprocessor_config.json")
    if not isinstance(settings, dict):
        return None, None
    nested = settings.get("size")
    values = {**nested, **settings} if isinstance(nested, dict) else settings  # newer files keep the limits under "size"
    low, high = (value if isinstance(value := values.get(key), int) else None for key in ("min_pixels", "max_pixels"))
    return low, high


def _version_problems(directory: Path, version: ModelVersion) -> list[str]:
    """What contradicts the record; what is missing or a pointer has been said already."""
    problems: list[str] = []
    served, ending, limits = _served_name(directory), _prompt_end(directory), _pixel_limits(directory)
    if served != version.served_name and _is_real(directory / "inference.yml"):
        problems.append(f"inference.yml says {served or 'no Global.model_name'}, {version.name} is {version.served_name}")
    if ending != version.prompt_end and _is_real(directory / "chat_template.jinja"):
        problems.append(f"chat_template.jinja ends the prompt with {ending!r}, {version.name} was trained with {version.prompt_end!r}")
    for name, found, wanted in zip(("min_pixels", "max_pixels"), limits, (version.min_pixels, version.max_pixels), strict=True):
        if found is not None and wanted is not None and found != wanted:
            problems.append(f"preprocessor_config.json has {name} {found}, {version.name} has {wanted}")
    return problems


def identify(directory: Path) -> ModelVersion | None:
    """The version a directory claims to be: by inference.yml, else by template and pixel limits; None where that decides nothing."""
    served = _served_name(directory)
    if served:
        return next((version for version in models.MODELS.values() if version.served_name == served), None)
    ending, limits = _prompt_end(directory), _pixel_limits(directory)
    same_ending = [version for version in models.MODELS.values() if version.prompt_end == ending]
    candidates = same_ending if len(same_ending) == 1 else [version for version in same_ending if (version.min_pixels, version.max_pixels) == limits]
    return candidates[0] if len(candidates) == 1 else None
