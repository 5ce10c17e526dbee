"""The Python files that a model directory brings along: those that an `auto_map` of its tables names, and what these
import beside themselves. Read as text, never imported.

    {"processor_class": "PaddleOCRVLProcessor",
     "auto_map": {"AutoProcessor": "processing_paddleocr_vl.PaddleOCRVLProcessor"}}     processor_config.json

Transformers below 5 has no PaddleOCR-VL of its own and needs them (`AutoProcessor.from_pretrained` and
`get_class_from_dynamic_module` of 4.57): it takes the processor from processor_config.json where that names a class,
and looks into no other file then. Without the entry it returns the bare tokenizer, and servers built on it die.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sft.errors import ProblemsFound
from sft.files import read_bounded, read_table

PROCESSOR_CONFIG = "processor_config.json"
PROCESSOR = "PaddleOCRVLProcessor"
TABLES = (PROCESSOR_CONFIG, "preprocessor_config.json", "tokenizer_config.json", "config.json")  # as they are asked
MAX_CODE_BYTES = 1024**2  # a module above this is not one
ELSEWHERE = "--"  # "owner/name--module.Class": code of another repository, nothing to copy
_REFERENCE = re.compile(r"([A-Za-z_]\w*)\.([A-Za-z_]\w*)", re.ASCII)
_IMPORT = re.compile(r"^[ \t]*from[ \t]+\.([A-Za-z_]\w*)[ \t]+import\b", re.ASCII | re.MULTILINE)
SHOWN = 100  # characters of untrusted text in a message


def _entries(folder: Path) -> Iterator[tuple[str, str]]:
    """(table, "module.Class") of every entry of every auto_map; a tokenizer may have a list with gaps."""
    for name in TABLES:
        for value in _auto_map(folder / name).values():
            for reference in value if isinstance(value, list) else [value]:
                if reference is not None:
                    yield name, str(reference)


def code_files(folder: Path) -> list[str]:
    """Names of the Python files that belong to the directory, whether they are there or not, in order."""
    return sorted(_wanted(folder)[0])


def faults(folder: Path, *, complete: bool = True) -> list[str]:
    """Why a loader that runs the code of the directory would not find all of it; empty: nothing is missing.

    `complete`: an export, whose processor_config.json must name the processor itself; a release need not.
    ProblemsFound for a table that cannot be read.
    """
    wanted, messages = _wanted(folder)
    for name, (who, classes) in sorted(wanted.items()):
        text = _text(folder / name)
        if text is None:
            messages.append(f"{name} is missing or no readable text, {who} names it")
            continue
        lost = sorted(one for one in classes if not re.search(rf"^class {one}\b", text, re.MULTILINE))
        messages += [f"{name} has no class {one[:SHOWN]}, {who} names it" for one in lost]
    named = "AutoProcessor" in _auto_map(folder / PROCESSOR_CONFIG)
    if complete and not named and processor_entry(folder) is not None:
        messages.append(
            f"{PROCESSOR_CONFIG} has no auto_map for AutoProcessor, and another table has: Transformers below 5 would"
            " load the bare tokenizer"
        )
    return messages


def processor_entry(folder: Path) -> Any:
    """What the tables name for AutoProcessor, the first one that does; None: the directory brings no processor."""
    entries = (_auto_map(folder / name).get("AutoProcessor") for name in TABLES)
    return next((entry for entry in entries if entry is not None), None)


def processor_config(folder: Path) -> dict[str, Any]:
    """What processor_config.json must hold: all that the base's file has, the class, and where its code is."""
    path = folder / PROCESSOR_CONFIG
    table = read_table(path) if path.exists() else {}
    entry = processor_entry(folder)
    mapped = {"auto_map": {**_auto_map(path), "AutoProcessor": entry}} if entry is not None else {}
    return {"processor_class": PROCESSOR, **table, **mapped}


def _auto_map(path: Path) -> dict[str, Any]:
    table = read_table(path).get("auto_map") if path.is_file() else None
    return table if isinstance(table, dict) else {}


def _wanted(folder: Path) -> tuple[dict[str, tuple[str, set[str]]], list[str]]:
    """File → (who names it, the classes it must have), and what is no reference at all."""
    wanted: dict[str, tuple[str, set[str]]] = {}
    broken: list[str] = []
    for table, reference in _entries(folder):
        if ELSEWHERE in reference:
            continue
        parts = _REFERENCE.fullmatch(reference)
        if parts is None:
            broken.append(f"the auto_map of {table} names {reference[:SHOWN]!r}, which is not module.Class")
            continue
        wanted.setdefault(f"{parts[1]}.py", (f"the auto_map of {table}", set()))[1].add(parts[2])
    queue = list(wanted)
    for name in queue:
        for module in _IMPORT.findall(_text(folder / name) or ""):
            if f"{module}.py" not in wanted:
                wanted[f"{module}.py"] = (name, set())
                queue.append(f"{module}.py")
    return wanted, broken


def _text(path: Path) -> str | None:
    """The text of a module; None where it is missing, too large, no file or no UTF-8."""
    if not path.is_file():
        return None
    try:
        return read_bounded(path, max_bytes=MAX_CODE_BYTES).decode()
    except (ProblemsFound, UnicodeDecodeError):
        return None
