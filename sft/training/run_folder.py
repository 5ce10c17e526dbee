"""One folder per run: everything that decided it, everything it wrote, and a manifest last.

    runs/bengali-paddleformers-3f9c01a2/
      config.yaml       resolved settings, each with its origin
      plan.json         the numbers and their factors
      command.txt       what was started, as a person would type it
      environment.json  versions of the trainer's packages, of Python, of the machine
      data/             the trainer's rows, and the held-out rows
      train.yaml        the trainer's own configuration
      checkpoints/      the trainer's output
      tensorboard/      events
      log/              train.log, server logs
      state.json        where the run stands
      manifest.json     written when training has ended; its presence means complete

The name ends in a hash of the settings, the data and the model: the same command finds the same folder and resumes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sft import __version__
from sft.errors import UsageError
from sft.files import read_json, write_json
from sft.training.config import RunConfig

RUNS = Path("runs")
NAME_LENGTH, NAME_BYTES = 40, 120  # of the data's name within that of a run's folder; a file system takes 255 bytes
# Settings that do not change what is computed: changing them resumes the same run.
NOT_IDENTITY = frozenset({"workers", "save_steps"})


def run_name(name: str, data_fingerprint: str, config: RunConfig, model_fingerprint: str) -> str:
    """The folder's name: the data's name, the engine and a hash of what decides the result."""
    identity = {key: value for key, value in config.model_dump().items() if key not in NOT_IDENTITY | {"model"}}
    digest = hashlib.sha256(
        json.dumps([identity, data_fingerprint, model_fingerprint], sort_keys=True).encode()
    ).hexdigest()[:8]
    return f"{_readable(name)}-{config.engine}-{digest}"


def _readable(name: str) -> str:
    """The name of the data as part of a folder's name: letters, marks and digits of any script stay."""
    kept = "".join(
        char if char in "-_." or unicodedata.category(char)[0] in "LMN" else "-"
        for char in unicodedata.normalize("NFC", name)
    )[:NAME_LENGTH]
    while len(kept.encode("utf-8", "replace")) > NAME_BYTES:
        kept = kept[:-1]
    return kept.strip("-.") or "data"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; waits for whoever holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


class Run:
    """The paths and the state of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @classmethod
    def open(cls, folder: Path) -> Run:
        """An existing run, with suggestions where the name is wrong."""
        if (folder / "config.yaml").is_file():
            return cls(folder)
        others = sorted(
            (path.parent for path in folder.parent.glob("*/config.yaml")), key=lambda path: path.stat().st_mtime
        )
        hint = f"runs there: {', '.join(str(path) for path in others[-5:])}" if others else "`sft train DATA` makes one"
        raise UsageError("not a run folder", where=str(folder), hint=hint)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Work on this run alone; a second command on the same run is told so instead of writing into its files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                who = self.state().get("pid", "?")
                raise UsageError(
                    f"another sft process is working on this run (process {who})",
                    where=str(self.folder),
                    hint="wait for it, or stop it; the same command then resumes",
                ) from error
            yield

    @property
    def log(self) -> Path:
        """The trainer's log."""
        return self.folder / "log" / "train.log"

    @property
    def manifest_path(self) -> Path:
        """Present when training has ended."""
        return self.folder / "manifest.json"

    @property
    def finished(self) -> bool:
        """Whether training has ended."""
        return self.manifest_path.is_file()

    def manifest(self) -> dict[str, Any]:
        """What a finished run says of itself."""
        value = read_json(self.manifest_path)
        return value if isinstance(value, dict) else {}

    def state(self) -> dict[str, Any]:
        """Where the run stands; empty before its start."""
        with suppress(OSError, ValueError):
            value = json.loads((self.folder / "state.json").read_text("utf-8"))
            if isinstance(value, dict):
                return value
        return {}

    def set_state(self, status: str, **more: Any) -> None:
        """Replace the state: planned, running, interrupted, failed or finished."""
        write_json(
            self.folder / "state.json",
            {"status": status, "time": now(), "pid": os.getpid(), **more},
        )


def now() -> str:
    """UTC, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def machine() -> dict[str, Any]:
    """What a result has to be read with: workbench, Python, system, cores."""
    return {
        "sft": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


CURVE = "curve"  # folder of `sft curve` in a run
HELD_OUT = "held-out.json"  # of a run: what it is scored on, also while it still trains
