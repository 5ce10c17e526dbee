"""`sft fetch` for weights: a released PaddleOCR-VL becomes a directory that is complete and is the version it should
be.

    out/.sft-model.json   {"hub_id": "PaddlePaddle/PaddleOCR-VL", "source": "huggingface", "asked": "main", "revision":
    "0f4c…",
                           "files": {"config.json": {"sha256": "…", "bytes": 1234}, …}}; written last

Nothing of a model directory is imported or run, its chat template included: files are read as JSON, safe YAML or text.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from sft.errors import EngineError, ProblemsFound, UsageError
from sft.files import disk_error, read_json, sha256, write_json
from sft.models import versions
from sft.models.verify import PICKLES, _files, require_model
from sft.models.versions import ModelVersion

RECORD = ".sft-model.json"
CHANGED = ".changed"  # folder for files that are no longer what the record says

Hub = Literal["huggingface", "modelscope"]


def fetch_model(name: str, out: Path, source: Hub = "huggingface", revision: str | None = None) -> Path:
    """Download the model version `name` to `out` and prove it; returns `out`. A download that was stopped is continued.

    A directory whose record names this model and revision (any, where none is asked for) and whose files have the
    recorded sizes is taken as it is, without a network. Errors: UsageError for an unknown version, source or a missing
    package; EngineError where the hub does not answer; ProblemsFound with everything that is wrong with the directory.
    """
    version = versions.get(name)
    if source not in SOURCES:
        raise UsageError(f"no source called {source!r}", hint=f"known: {', '.join(SOURCES)}")
    if _is_there(out, version, source, revision):
        require_model(out, version)
        return out
    return _fetch(version, out, source, revision)


def present_or_fetch(version: ModelVersion, out: Path, source: Hub = "huggingface") -> Path:
    """The model in `out`, from whichever hub it came: taken as it is where it is as it was recorded, else fetched;
    proved either way.

    Sizes and hashes of all files are compared with the record, without a network. A directory without a record is one
    whose download did not end: it is continued. A file that changed since is moved to `out`/.changed/ and fetched
    again. Errors: as `fetch_model`.
    """
    kept = _record(out, version)
    there = _files(out) if kept else {}
    changed = [
        name for name, path in there.items() if kept and name in kept["files"] and not _same(path, kept["files"][name])
    ]
    if kept and not changed and there.keys() >= kept["files"].keys():
        require_model(out, version)
        return out
    for name in changed:  # a hub's library takes a file whose date is as it left it for whole
        aside = out / CHANGED / name
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            there[name].replace(aside)
        except OSError as error:
            raise disk_error(error, aside) from error
    return _fetch(
        version,
        out,
        source,
        str(kept["revision"]) if kept and kept["source"] == source else None,
    )


def _record(out: Path, version: ModelVersion) -> dict[str, Any] | None:
    """The record of a finished download of this version; None where there is none that can be used."""
    with suppress(ProblemsFound, UsageError, KeyError, TypeError, AttributeError):
        record: dict[str, Any] = read_json(out / RECORD)
        complete = all(
            isinstance(file["bytes"], int) and isinstance(file["sha256"], str) for file in record["files"].values()
        )
        if (
            record["hub_id"] == version.hub_id
            and record["files"]
            and complete
            and {"source", "revision"} <= record.keys()
        ):
            return record
    return None


def _same(path: Path, recorded: Mapping[str, Any]) -> bool:
    return bool(path.stat().st_size == recorded["bytes"] and sha256(path) == recorded["sha256"])


def _fetch(version: ModelVersion, out: Path, source: Hub, revision: str | None) -> Path:
    """Ask the hub, prove what came, record it."""
    fetch, branch = SOURCES[source]
    asked = revision or branch or version.revision
    try:
        (out / RECORD).unlink(missing_ok=True)
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, out) from error
    resolved = fetch(version.hub_id, out, asked)
    require_model(out, version)
    files = {name: {"sha256": sha256(path), "bytes": path.stat().st_size} for name, path in _files(out).items()}
    about = {"hub_id": version.hub_id, "source": source, "asked": asked, "revision": resolved}
    write_json(out / RECORD, {**about, "files": files})
    return out


def _is_there(out: Path, version: ModelVersion, source: str, revision: str | None) -> bool:
    with suppress(ProblemsFound, UsageError, KeyError, TypeError, AttributeError, OSError):
        record = read_json(out / RECORD)
        same = (record["hub_id"], record["source"]) == (version.hub_id, source)
        wanted = revision is None or revision in (record["asked"], record["revision"])
        return (
            same
            and wanted
            and all((out / name).stat().st_size == file["bytes"] for name, file in record["files"].items())
        )
    return False


def _from_huggingface(hub_id: str, out: Path, revision: str) -> str:
    """Fetch one commit; returns its hash."""
    import huggingface_hub

    try:
        commit = huggingface_hub.HfApi().model_info(hub_id, revision=revision).sha
        huggingface_hub.snapshot_download(
            hub_id,
            revision=commit,
            local_dir=out,
            ignore_patterns=list(PICKLES),
        )
    except Exception as error:  # the library and the HTTP client below it raise from a dozen families
        raise _hub_error(hub_id, revision, error, _other_hub(hub_id, out, "modelscope")) from error
    return str(commit)


def _from_modelscope(hub_id: str, out: Path, revision: str) -> str:
    """Fetch a revision; returns its name, since this hub's library tells no commit.

    The recorded hashes pin the content.
    """
    try:
        modelscope = import_module("modelscope")  # optional, and without types
    except ImportError as error:
        raise UsageError("the package modelscope is not installed", hint="pip install modelscope") from error
    try:
        modelscope.snapshot_download(
            hub_id,
            revision=revision,
            local_dir=str(out),
            ignore_patterns=list(PICKLES),
        )
    except Exception as error:  # as above
        raise _hub_error(hub_id, revision, error, _other_hub(hub_id, out, "huggingface")) from error
    return revision


# Source → how to fetch from it, and the name of its main branch where that is not the one of the model record.
SOURCES: dict[str, tuple[Callable[[str, Path, str], str], str]] = {
    "huggingface": (_from_huggingface, ""),
    "modelscope": (_from_modelscope, "master"),
}


def _other_hub(hub_id: str, out: Path, source: Hub) -> str:
    """A command that is right whatever verb was fetching."""
    return (
        f"`sft fetch-model {hub_id.rpartition('/')[2]} --from {source} -o {shlex.quote(str(out))}` asks the other hub"
    )


def _hub_error(hub_id: str, revision: str, error: Exception, hint: str) -> EngineError:
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return EngineError(
        f"{hub_id} at {revision} cannot be downloaded: {first_line}",
        hint=f"run the same command to resume; {hint}",
    )
