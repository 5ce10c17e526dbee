"""Which files a Hugging Face data set consists of: a file, a folder in any of the library's layouts, or a name on the
hub.

Nothing is executed and nothing unpacked: a repository that needs a loading script or holds archives is refused, but for
the tar files of a WebDataset, which are read where they stand (`sft.formats.shared.webdataset`). The files are read as
they are (Parquet, Arrow, JSON lines, CSV, the metadata file of an image folder), so that no second copy of the data is
written to the library's cache, and a broken row costs one row. Which files belong to which configuration and split is
asked of README.md.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sft.errors import EngineError, UsageError
from sft.files import read_bounded
from sft.formats.base import split_name
from sft.formats.shared.hub_configs import choose_config, patterns_of, read_configs, resolve
from sft.formats.shared.parquet import split_files

NamedFiles = list[tuple[str, Path]]  # (name that `where` shows, path)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
_TABLES = (".parquet", ".jsonl", ".ndjson", ".arrow", ".csv", ".tsv", ".json")
_DATA = tuple(f"*{suffix}" for suffix in (*_TABLES, *_PICTURES))
_STATE = ("README.md", "dataset_dict.json", "dataset_info.json", "state.json", "*.py")
_NO_ROWS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_COMMIT = re.compile(r"[0-9a-f]{40}")
MAX_STATE_BYTES = 16 << 20


@dataclass(frozen=True)
class DataFile:
    """A file with rows. `reading`: what its configuration says about how it is written; `split`: to which part it
    belongs.
    """

    name: str  # that `where` shows
    path: Path
    reading: Mapping[str, Any] = field(default_factory=dict)
    split: str = ""


def data_files(source: Path, split: str) -> list[DataFile]:
    """The files with the rows of a data set, in a stable order. `split`: a split, CONFIG/SPLIT or CONFIG/; "" for all.

    Without `split`, files of several splits say to which they belong: by README.md or dataset_dict.json, else by their
    names. Raises UsageError where there are none, or none that may be read, and EngineError where the hub cannot be
    reached.
    """
    if source.is_file():
        if source.suffix.lower() in (*_ARCHIVES, ".pkl", ".pickle", ".py"):
            hint = (
                "the tar files of a WebDataset are read where they stand: give their folder; otherwise unpack it"
                if source.suffix.lower() == ".tar"
                else "unpack it"
            )
            raise UsageError(
                "archives, pickles and scripts are not opened",
                where=str(source),
                hint=f"{hint}, and give the folder or a .parquet or .jsonl file",
            )
        return [DataFile(source.name, source)]
    if not source.exists():
        source = _from_hub(source, split)
    script = source / f"{_plain_name(source)}.py"
    if script.is_file():
        raise UsageError(
            "this data set needs its loading script, which would be executed",
            where=str(script),
            hint=(
                "give one of its data files alone, or owner/name@refs/convert/parquet, where the hub keeps a copy"
                " as Parquet"
            ),
        )
    files = _configured(source, split) or [
        DataFile(*file, split=split_name(file[0])) for file in _folder(source, split)
    ]
    several = not split and len({file.split for file in files}) > 1
    return files if several else [replace(file, split="") for file in files]


def _configured(source: Path, split: str) -> list[DataFile]:
    """The files of a configuration that README.md names; [] where it names none."""
    if (
        (source / "dataset_dict.json").is_file()
        or (source / "state.json").is_file()
        or not (configs := read_configs(source))
    ):
        return []
    config, split = choose_config(configs, split, str(source))
    patterns = patterns_of(config, split, str(source))
    if patterns is None:
        base = source / config.folder
        files = [(path.relative_to(source).as_posix(), path) for _, path in _folder(base, split)]
        return [DataFile(name, path, config.reading, split_name(name)) for name, path in files]
    resolved = resolve(source, patterns)
    files = _rows_of(resolved) or _nothing(source, (path for _, path in resolved))
    split_of = {path: name for name, wanted in (config.patterns or {}).items() for _, path in resolve(source, wanted)}
    return [DataFile(name, path, config.reading, split_of.get(path, "")) for name, path in files]


def _folder(source: Path, split: str) -> NamedFiles:
    if (source / "dataset_dict.json").is_file():
        splits = _state(source / "dataset_dict.json").get("splits")
        names = (
            [name for name in splits if isinstance(name, str) and "/" not in name and name != ".."]
            if isinstance(splits, list)
            else []
        )
        if split and split not in names:
            raise UsageError(
                f"no split called {split!r}",
                where=str(source),
                hint=f"the splits are {', '.join(names)}",
            )
        return [file for name in names if not split or name == split for file in _saved(source / name, f"{name}/")]
    if (source / "state.json").is_file():
        return _saved(source, "")
    named = _below(source)
    files = _rows_of(named)
    return split_files(files, split) if files else _nothing(source, (path for _, path in named))


def _rows_of(named: NamedFiles) -> NamedFiles:
    """Those of the files that hold the rows: of the first kind of which there are any."""
    for wanted in (
        _named(".parquet"),
        _metadata,
        _named(".jsonl", ".ndjson"),
        _named(".arrow"),
        _named(".csv"),
        _named(".tsv"),
        _named(".json"),
        _named(".tar"),
        _named(".txt"),
    ):
        if files := [
            (name, path) for name, path in named if wanted(path) and path.name not in _NO_ROWS and not is_output(path)
        ]:
            return files if files[0][1].suffix.lower() != ".txt" or not any(_picture(path) for _, path in named) else []
    return []


def _picture(path: Path) -> bool:
    return path.suffix.lower() in _PICTURES


def is_output(path: Path) -> bool:
    """Whether a verb of the workbench wrote this file: its manifest lies beside it. Such a file is no label file of
    the folder.
    """
    stem = path.name.removesuffix(".jsonl").removesuffix(".json").removesuffix(".rejects").removesuffix(".manifest")
    return path.suffix in (".json", ".jsonl") and path.with_name(f"{stem}.manifest.json").is_file()


def _named(*suffixes: str) -> Any:
    return lambda path: path.suffix.lower() in suffixes


def _metadata(path: Path) -> bool:
    """The labels of an image folder."""
    return path.name in ("metadata.jsonl", "metadata.csv")


def _below(source: Path) -> NamedFiles:
    """Every file of a folder, in order of its name; hidden folders, such as a cache, are passed over."""
    paths = []
    for current, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [Path(current) / name for name in names]
    return sorted((path.relative_to(source).as_posix(), path) for path in paths)


def _nothing(source: Path, paths: Iterable[Path]) -> NamedFiles:
    suffixes = {path.suffix.lower() for path in paths}
    if suffixes & set(_ARCHIVES):
        raise UsageError("only archives here, which are not opened", where=str(source), hint="unpack them first")
    if suffixes & set(_PICTURES):
        raise UsageError(
            "images, but no labels",
            where=str(source),
            hint="an image folder needs metadata.jsonl with file_name and text",
        )
    raise UsageError(
        "no .parquet, metadata.jsonl, .jsonl or .arrow files",
        where=str(source),
        hint="give the folder of the data, a file, or a name on the hub such as owner/name",
    )


def _state(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(read_bounded(path, max_bytes=MAX_STATE_BYTES))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}", where=str(path), hint="save the data set again") from error
    if not isinstance(value, dict):
        raise UsageError("not an object", where=str(path), hint="save the data set again")
    return value


def _saved(folder: Path, prefix: str) -> NamedFiles:
    """The files of one data set that `Dataset.save_to_disk` wrote, in the order of its state.json."""
    state = _state(folder / "state.json")
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise UsageError(
            "the rows are kept in another order than they are stored",
            where=str(folder),
            hint="save it again with ds.flatten_indices().save_to_disk(…)",
        )
    entries = state.get("_data_files")
    names = (
        [entry.get("filename") if isinstance(entry, dict) else None for entry in entries]
        if isinstance(entries, list)
        else [None]
    )
    good = [name for name in names if isinstance(name, str) and Path(name).name == name and name.endswith(".arrow")]
    if not good or len(good) != len(names):
        raise UsageError(
            "_data_files are not the names of .arrow files",
            where=str(folder / "state.json"),
            hint="save the data set again",
        )
    return [(prefix + name, folder / name) for name in good]


def _plain_name(source: Path) -> str:
    """The name of a data set from its folder; the hub's cache calls it datasets--owner--NAME/snapshots/REVISION."""
    resolved = source.resolve()
    if resolved.parent.name == "snapshots":
        return resolved.parent.parent.name.rsplit("--", 1)[-1]
    return resolved.name


def _from_hub(source: Path, split: str) -> Path:
    """A folder with the files of a data set on the hub; what has been downloaded before is not downloaded again."""
    name = source.as_posix()
    if not _HUB_NAME.fullmatch(name):
        raise UsageError(
            "no such file or folder, and no name on the hub",
            where=name,
            hint="check the path; a name on the hub looks like owner/name or owner/name@revision",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    repository, _, revision = name.partition("@")

    def download(patterns: Iterable[str], revision: str) -> Path:
        return Path(
            snapshot_download(
                repository, repo_type="dataset", revision=revision or None, allow_patterns=[*patterns, *_STATE]
            )
        )

    try:
        folder = download((), revision)
        commit = folder.name if _COMMIT.fullmatch(folder.name) else revision  # what follows is of the same state
        if configs := read_configs(folder):
            config, split = choose_config(configs, split, name)
            patterns = patterns_of(config, split, name)
            words = (
                [f"{config.folder}/*"]
                if patterns is None and config.folder
                else (
                    [*_DATA, "*.tar"]
                    if patterns is None
                    else [*map(_downloaded, patterns), *_pictures_beside(patterns)]
                )
            )
            return download(words, commit)
        folder = download([f"*{split}*"] if split else _DATA, commit)
        return (
            folder
            if split or any(path.suffix.lower() in _TABLES and path.name not in _NO_ROWS for _, path in _below(folder))
            else download(["*.tar"], commit)
        )
    except UsageError:
        raise
    except GatedRepoError as error:
        raise EngineError(
            "this data set is available only to those who accepted its terms",
            where=name,
            hint="accept them on its page on the hub, and set HF_TOKEN",
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise UsageError(
            "no file or folder here, and no such data set on the hub",
            where=name,
            hint="check the path, or the name and the revision",
        ) from error
    except Exception as error:  # the network, a proxy, a certificate, HF_HUB_OFFLINE
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise EngineError(
            f"no file or folder here, and the hub cannot be asked ({reason})", where=name, hint=_offline_hint()
        ) from error


def _downloaded(pattern: str) -> str:
    """A pattern of files as the hub's library understands it, where * also stands for slashes."""
    return pattern.replace("**/", "*")


def _pictures_beside(patterns: Iterable[str]) -> list[str]:
    """Pictures that tables of other kinds than Parquet may name."""
    return [] if all(".parquet" in pattern for pattern in patterns) else [f"*{suffix}" for suffix in _PICTURES]


def _offline_hint() -> str:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "HF_HUB_OFFLINE is set, and the data set has not been downloaded before: unset it, or give a folder"
    return "check the network (HF_ENDPOINT names a mirror), or give a folder with the files"
