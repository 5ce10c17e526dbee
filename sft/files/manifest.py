"""The account that every verb leaves beside its output: what went in, what was asked, what came out, and what did not.

    train.manifest.json   {"verb": "convert", "version": …, "fingerprint": …, "inputs": […], "options": {…},
                           "counts": {"in": 120, "out": 118, "rejected": 2, "reasons": {"image.missing": 2}},
                           "outputs": {"train.jsonl": {"bytes": …, "sha256": …}, "train.rejects.jsonl": {…}}}

The fingerprint stands for inputs, options and version. A command that finds its own fingerprint, and the outputs as
they were written, has nothing to do. Nothing in a manifest depends on the clock or on the number of processes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sft import __version__
from sft.errors import SftError, UsageError
from sft.files.atomic import read_json, sha256


def describe(path: Path, base: Path, *, skip: Collection[Path] = ()) -> dict[str, Any]:
    """An input as the manifest names it, its path relative to `base`.

    A file: its size and SHA-256. A folder: the number and total size of the files below, and the SHA-256 of their
    listing (path, size, time of the last change in ns); hashing every page image would take longer than reading the
    labels. Files and folders in `skip` are left out. What is not on this disk (the name of a hub's data set): only its
    name.
    """
    name = os.path.relpath(path, base)
    try:
        if path.is_dir():
            return {
                "path": name,
                "kind": "folder",
                **_listing(path, {os.path.abspath(item) for item in skip}),
            }
        if path.exists():
            return {
                "path": name,
                "kind": "file",
                "bytes": path.stat().st_size,
                "sha256": sha256(path),
            }
    except OSError as error:
        raise UsageError(
            f"cannot read this ({error.strerror or error})",
            where=str(path),
            hint="you need permission to read it, and to list its folder",
        ) from error
    return {"path": str(path), "kind": "name"}


def _listing(folder: Path, skip: set[str]) -> dict[str, Any]:
    digest = hashlib.sha256()
    count = total = 0
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(item for item in folders if os.path.join(os.path.abspath(root), item) not in skip)
        for file in sorted(files):
            path = os.path.join(root, file)
            if os.path.abspath(path) in skip:
                continue
            with suppress(OSError):  # a link that leads nowhere
                status = os.stat(path)
                digest.update(os.fsencode(f"{os.path.relpath(path, folder)}\0{status.st_size}\0{status.st_mtime_ns}\n"))
                count += 1
                total += status.st_size
    return {"files": count, "bytes": total, "sha256_of_listing": digest.hexdigest()}


def fingerprint(verb: str, inputs: list[dict[str, Any]], options: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of everything that decides the output of a verb; `options` must be JSON."""
    text = json.dumps(
        [verb, __version__, inputs, options],
        sort_keys=True,
        default=str,
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def output(path: Path) -> dict[str, Any]:
    """A written file as the manifest names it."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def make(
    verb: str,
    mark: str,
    inputs: list[dict[str, Any]],
    options: Mapping[str, Any],
    counts: Mapping[str, Any],
    outputs: Mapping[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """The manifest of one run, keys in the order in which people ask."""
    return {
        "verb": verb,
        "version": __version__,
        "fingerprint": mark,
        "inputs": inputs,
        "options": dict(options),
        "counts": dict(counts),
        "outputs": dict(outputs),
        **more,
    }


def finished(path: Path, mark: str) -> dict[str, Any] | None:
    """The manifest at `path` where it has this fingerprint and every output is there as it was written; else None."""
    with suppress(
        SftError, OSError, KeyError, TypeError, AttributeError
    ):  # a manifest that says something else is written anew
        if path.is_file():
            account: dict[str, Any] = read_json(path)
            if account["fingerprint"] == mark and all(
                _same(path.parent / name, stated) for name, stated in account["outputs"].items()
            ):
                return account
    return None


def refuse_foreign(out: Path, account: Path, *, hint: str = "give another name, or remove the file") -> None:
    """UsageError if `out` exists and is not one of ours: the manifest at `account` does not name it, nor was a run of
    ours killed over it.

    Nor is a file at `account` overwritten that is the manifest of something else.

    To be called before the work folder is made (`sft.files.staging.StagingFolder`), with the paths that it and
    the manifest have.
    """
    if not os.path.lexists(out):
        if _is_foreign(account):
            raise UsageError(
                "this file already exists and is not a manifest of the workbench; it would be overwritten",
                where=str(account),
                hint=hint,
            )
        return
    stem = account.name.removesuffix(".manifest.json")
    if any((out.parent / f".{name}.work" / "fingerprint").is_file() for name in (out.name, stem)):
        return
    with suppress(SftError, OSError, KeyError, TypeError):
        if out.name in read_json(account)["outputs"]:
            return
    raise UsageError(
        f"this file already exists, and {account.name} does not describe it",
        where=str(out),
        hint=hint,
    )


def _is_foreign(account: Path) -> bool:
    with suppress(SftError, OSError):
        content = read_json(account)
        return not isinstance(content, dict) or "fingerprint" not in content
    return False


def _same(path: Path, stated: Mapping[str, Any]) -> bool:
    return path.is_file() and path.stat().st_size == stated["bytes"] and sha256(path) == stated["sha256"]
