"""The `configs:` section of a data set's README.md: which files a configuration and its splits consist of, and how they
are written.

    configs:
    - config_name: forms
      sep: ";"
      data_files:
      - split: train
        path: forms/train-*.csv

Only that section of the front matter is read. Its patterns are resolved by the `datasets` library, below the folder and
nowhere else: a pattern that is an address, an absolute path, a chain of file systems or leads upwards is refused.
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sft.errors import UsageError

MAX_README_BYTES = 4 << 20
MAX_SECTION_BYTES = 256 << 10  # PyYAML takes some seconds for it
MAX_PATTERNS = 10_000
_SECTION = re.compile(r"^[\"']?configs[\"']?[ \t]*:[^\n]*\n(?:(?:[ \t#-][^\n]*)?\n)*", re.MULTILINE)
# Keys that say how a file is read (the library's CsvConfig and JsonConfig), and keys that do not matter here.
READING = frozenset(
    (
        "sep",
        "delimiter",
        "names",
        "column_names",
        "header",
        "skiprows",
        "quotechar",
        "quoting",
        "escapechar",
        "encoding",
        "field",
    )
)
_NO_MATTER = frozenset(
    (
        "config_name",
        "data_files",
        "data_dir",
        "default",
        "description",
        "version",
        "features",
        "drop_labels",
        "drop_metadata",
        "license",
        "chunksize",
    )
)


@dataclass(frozen=True)
class Config:
    """One configuration. `patterns`: split → patterns of files; None where everything below `folder` belongs to it."""

    name: str
    patterns: dict[str, list[str]] | None
    folder: str = ""  # relative to the data set
    default: bool = False
    reading: dict[str, Any] = field(default_factory=dict)


def read_configs(root: Path) -> dict[str, Config]:
    """The configurations of a data set, in their order; {} where its README.md names none. UsageError where they
    cannot be understood.
    """
    path = root / "README.md"
    try:
        with path.open("rb") as stream:
            text = (
                stream.read(MAX_README_BYTES).decode("utf-8", "replace").replace("\r\n", "\n").removeprefix("\ufeff")
                if path.is_file()
                else ""
            )
    except OSError:
        return {}
    front, end, _ = text.removeprefix("---\n").partition("\n---")
    section = _SECTION.search(front + "\n") if text.startswith("---\n") and end else None
    if section is None:
        return {}
    try:
        if len(section[0]) > MAX_SECTION_BYTES:
            raise ValueError(f"more than {MAX_SECTION_BYTES:,} characters")
        import yaml

        entries = yaml.safe_load(section[0])["configs"]
        if not isinstance(entries, list):
            raise ValueError("not a list")
        left = [MAX_PATTERNS]
        configs = [_config(entry, left) for entry in entries]
    except UsageError as error:
        raise UsageError(error.message, where=f"{path}: configs", hint=error.hint) from error
    except Exception as error:  # a parser that meets nonsense may raise anything
        reason = " ".join((str(error) or type(error).__name__).split())[:200]
        raise UsageError(
            f"this section cannot be read ({reason})",
            where=f"{path}: configs",
            hint="fix it, or give one of the data files alone",
        ) from error
    return {config.name: config for config in configs}


def _config(entry: Any, left: list[int]) -> Config:
    name = entry.get("config_name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name or "/" in name:
        raise UsageError("each configuration needs a config_name", hint="fix it, or give one of the data files alone")
    unknown = sorted(str(key) for key in entry if key not in READING | _NO_MATTER)
    if unknown:
        raise UsageError(
            f"{name} sets {', '.join(unknown)[:200]}, which is not known here",
            hint=f"known are {', '.join(sorted(READING))}; or give one of the data files alone",
        )
    files = entry.get("data_files")
    patterns: dict[str, list[str]] | None = None if files is None else {}
    for part in [] if files is None else files if isinstance(files, list) else [files]:
        split, path = (part.get("split"), part.get("path")) if isinstance(part, dict) else ("train", part)
        if not isinstance(split, str) or patterns is None:
            raise UsageError(
                f"the data_files of {name} need a split and a path", hint="as in: - split: train, path: data/train-*"
            )
        safe = [_safe(pattern) for pattern in (path if isinstance(path, list) else [path])[: left[0] + 1]]
        left[0] -= len(safe)
        if left[0] < 0:
            raise UsageError(f"more than {MAX_PATTERNS:,} patterns", hint="give one of the data files by itself")
        patterns.setdefault(split, []).extend(safe)
    folder = _safe(entry["data_dir"]) if entry.get("data_dir") else ""
    if folder and patterns:
        patterns = {split: [f"{folder.rstrip('/')}/{pattern}" for pattern in safe] for split, safe in patterns.items()}
    return Config(
        name,
        patterns,
        folder,
        entry.get("default") is True,
        {key: entry[key] for key in sorted(READING & entry.keys())},
    )


def _safe(pattern: Any) -> str:
    if not isinstance(pattern, str) or not pattern or len(pattern) > 1000:
        raise UsageError("a path that is no text", hint="as in: path: data/train-*")
    if (
        ":" in pattern
        or "\\" in pattern
        or "\0" in pattern
        or pattern.startswith(("/", "~"))
        or ".." in Path(pattern).parts
    ):
        raise UsageError(
            f"{pattern[:200]!r} leads out of the data set", hint="only files below its own folder are read"
        )
    return pattern.removeprefix("./")


def choose_config(configs: dict[str, Config], split: str, where: str) -> tuple[Config, str]:
    """(configuration, split) of what the user gave as --split: CONFIG/SPLIT, CONFIG/ or SPLIT; "" stands for all
    splits.
    """
    known = ", ".join(configs)
    name, slash, wanted = split.rpartition("/")
    if slash:
        if name not in configs:
            raise UsageError(
                f"no configuration called {name!r}",
                where=where,
                hint=f"the configurations are {known}",
            )
        return configs[name], wanted
    named = [config for config in configs.values() if len(configs) == 1 or config.name == "default" or config.default]
    if len(named) != 1:
        raise UsageError(
            f"{len(configs)} configurations, and no default",
            where=where,
            hint=f"choose one with --split CONFIG/SPLIT, or CONFIG/ for all its splits; the configurations are {known}",
        )
    return named[0], wanted


def patterns_of(config: Config, split: str, where: str) -> list[str] | None:
    """The patterns of one split, or of all; None where the configuration has none. UsageError where there is no such
    split.
    """
    if config.patterns is None:
        return None
    if split and split not in config.patterns:
        raise UsageError(
            f"no split called {split!r} in the configuration {config.name}",
            where=where,
            hint=f"its splits are {', '.join(config.patterns)}",
        )
    return [pattern for name, patterns in config.patterns.items() if not split or name == split for pattern in patterns]


def resolve(root: Path, patterns: list[str]) -> list[tuple[str, Path]]:
    """(name relative to the folder, path) of the files that these patterns name, each once, in the library's order."""
    try:
        from datasets.data_files import resolve_pattern
    except ImportError as error:
        raise UsageError(
            "reading configurations needs the datasets library", hint="pip install 'paddleocr-vl-sft[data]'"
        ) from error
    base = os.path.abspath(root)
    files: dict[str, Path] = {}
    for pattern in patterns:
        try:
            matched = resolve_pattern(pattern, glob.escape(base))
        except FileNotFoundError as error:
            raise UsageError(
                f"no file matches {pattern!r}",
                where=f"{root / 'README.md'}: configs",
                hint="is the data set complete here? or fix the pattern",
            ) from error
        except Exception as error:  # fsspec turns the pattern into a regular expression
            raise UsageError(
                f"{pattern!r} is not a pattern of files",
                where=f"{root / 'README.md'}: configs",
                hint="fix the pattern",
            ) from error
        for name in sorted(matched):
            if name.startswith(base + os.sep):
                files.setdefault(
                    os.path.relpath(name, base),
                    Path(name),
                )
    return list(files.items())
