"""The other environments: the trainer's and the server's, made when first needed and again when their pins change.

Paddle and vLLM cannot share one (numpy, torch and CUDA pins differ), and the workbench needs neither. Each stands
beside the workbench's own `.venv` and carries a stamp with the hash of what was installed; the stamp is written last.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from sft.errors import EngineError, UsageError
from sft.files import write_json
from sft.runtime.process import clean_environment, tail

STAMP = "sft-stamp.json"
GIGABYTE = 1e9
SAY_SECONDS = 10.0  # between two signs of life
_ADDRESS = re.compile(r"\w+://\S+")
PYTHON_OVERRIDE = {"trainer": "SFT_TRAINER_PYTHON", "server": "SFT_SERVER_PYTHON"}


@dataclass(frozen=True)
class Environment:
    """One record per environment. `first` is installed with its dependencies, `pins` after it. gigabytes: on disk, as
    measured with builds for the CPU.
    """

    name: str
    pins: str  # file in sft/requirements
    pythons: tuple[tuple[int, int], ...]  # versions for which every pin has a wheel, best first
    first: tuple[str, ...] = ()
    resolve: bool = True  # False: the pins are complete, install exactly them
    probe: str = ""  # must import
    gigabytes: float = 0.0


ENVIRONMENTS: dict[str, Environment] = {
    "trainer": Environment(
        "trainer", "trainer-cpu.txt", ((3, 11), (3, 12)), probe="import paddle, tensorboardX", gigabytes=3.1
    ),
    # torch alone first: an index that offers the CPU build gives that one (it sorts above the plain version), any other
    # index gives the CUDA build with what it needs; either carries vLLM's CPU kernels
    "server": Environment(
        "server",
        "server-cpu.txt",
        ((3, 11), (3, 12), (3, 13)),
        first=("torch==2.13.0",),
        resolve=False,
        probe="import torch, transformers",
        gigabytes=3.5,
    ),
}


@dataclass(frozen=True)
class ReadyEnvironment:
    """An environment that can be used; `seconds` is what making it took just now, 0 if it was there."""

    python: str
    seconds: float = 0.0


def home(name: str) -> Path:
    """Where an environment stands: beside the workbench's own, or in the user's cache when that is no venv."""
    if sys.prefix != sys.base_prefix:
        return Path(sys.prefix).parent / f".venv-{name}"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "paddleocr-vl-sft" / f"venv-{name}"


def requirements(environment: Environment) -> str:
    """The text of the pins."""
    return resources.files("sft").joinpath("requirements", environment.pins).read_text("utf-8")


def pin_hash(environment: Environment) -> str:
    """Changes when anything that decides the environment changes; comments do not."""
    lines = [line for line in requirements(environment).splitlines() if line.strip() and not line.startswith("#")]
    return hashlib.sha256(json.dumps([lines, environment.first, environment.resolve]).encode()).hexdigest()


def stamp(name: str) -> dict[str, str]:
    """What the stamp of an environment says; empty where there is none."""
    with suppress(OSError, ValueError):
        value = json.loads((home(name) / STAMP).read_text("utf-8"))
        if isinstance(value, dict):
            return value
    return {}


def is_ready(name: str) -> bool:
    """Whether the environment is there with today's pins."""
    return bool(os.environ.get(PYTHON_OVERRIDE[name])) or stamp(name).get("pins") == pin_hash(ENVIRONMENTS[name])


def ensure(name: str) -> ReadyEnvironment:
    """The interpreter of an environment, made first if need be.

    EngineError where it cannot be made, with pip's last lines.
    """
    override = os.environ.get(PYTHON_OVERRIDE[name])
    if override:
        if not shutil.which(override):
            raise UsageError(f"{PYTHON_OVERRIDE[name]} is not a Python interpreter: {override}")
        return ReadyEnvironment(override)
    place = home(name)
    python = str(place / "bin" / "python")
    with _lock(place) as lock:
        if is_ready(name):
            return ReadyEnvironment(python)
        started = time.monotonic()
        _require_space(ENVIRONMENTS[name], place)
        _make(ENVIRONMENTS[name], place, lock)
        return ReadyEnvironment(python, time.monotonic() - started)


def ensure_all(names: Sequence[str], say: Callable[[str], None]) -> float:
    """Make those that are missing, side by side, with a sign of life every ten seconds; gives the seconds it took.

    Errors: as `ensure`.
    """
    missing = [name for name in names if not is_ready(name)]
    if not missing:
        return 0.0
    started = last_sign = time.monotonic()
    size = sum(ENVIRONMENTS[name].gigabytes for name in missing)
    where = home(missing[0]).parent
    free = shutil.disk_usage(_existing(where)).free / GIGABYTE
    say(
        f"making the environments of {' and '.join(missing)}: {size:.1f} GB in {where}, where {free:.0f} GB are free;"
        " once, some minutes"
    )
    with ThreadPoolExecutor(len(missing)) as pool:
        futures = [pool.submit(ensure, name) for name in missing]
        while not all(future.done() for future in futures):
            wait(futures, timeout=1)
            if time.monotonic() - last_sign >= SAY_SECONDS:
                last_sign = time.monotonic()
                busy = [name for name, future in zip(missing, futures, strict=True) if not future.done()]
                say(f"   … {last_sign - started:.0f} s; " + "; ".join(f"{name}: {_at_work(name)}" for name in busy))
        for future in futures:
            future.result()
    return time.monotonic() - started


def _at_work(name: str) -> str:
    """What the installer does now, by the last line of its log, without addresses."""
    place = home(name)
    lines = [line.strip() for line in tail(place.with_name(f"{place.name}.log"), 5) if line.strip()]
    return _ADDRESS.sub(lambda match: match[0].rpartition("/")[2], lines[-1])[:60] if lines else "beginning"


def _existing(path: Path) -> Path:
    """The next folder above that is there."""
    return path if path.is_dir() else _existing(path.parent)


def _require_space(environment: Environment, place: Path) -> None:
    """Said before minutes of downloading, not after them; what stands at the place is removed first and counts."""
    free = shutil.disk_usage(_existing(place.parent)).free / GIGABYTE
    if not place.exists() and free < environment.gigabytes:
        raise EngineError(
            f"the {environment.name}'s environment takes {environment.gigabytes:.1f} GB, and {free:.1f} GB are free",
            where=str(place.parent),
            hint="make room there, or clone to a larger disk",
        )


@contextmanager
def _lock(place: Path) -> Iterator[int]:
    """Two commands that need the same environment: the second waits for the first. Yields the lock's file descriptor,
    which
    the installers inherit: where this process is killed, the lock lives until the last of them has ended."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream.fileno()


def _make(environment: Environment, place: Path, lock: int) -> None:
    base = _interpreter(environment)
    shutil.rmtree(place, ignore_errors=True)
    log = place.with_name(f"{place.name}.log")
    log.write_bytes(b"")
    with resources.as_file(resources.files("sft").joinpath("requirements", environment.pins)) as pins:
        python = str(place / "bin" / "python")
        pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
        steps = [[base, "-m", "venv", str(place)]]
        if environment.first:
            steps.append([*pip, *environment.first])
        steps.append(
            [
                *pip,
                *([] if environment.resolve else ["--no-deps"]),
                "-r",
                str(pins),
            ]
        )
        if environment.probe:
            steps.append([python, "-c", environment.probe])
        for step in steps:
            _step(environment, step, log, lock)
    write_json(
        place / STAMP,
        {"pins": pin_hash(environment), "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "base": base},
    )


def _step(environment: Environment, command: list[str], log: Path, lock: int) -> None:
    with log.open("ab") as stream:
        code = subprocess.run(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=clean_environment({}),
            pass_fds=(lock,),
            check=False,
        ).returncode
    if code == 0:
        return
    last = [line for line in tail(log, 60) if line.strip() and not line.startswith("WARNING")][-6:]
    hint = "check the network or pip's configuration and run the same command again"
    if "ensurepip" in "".join(last):
        hint = "Debian and Ubuntu keep venv in a package of its own: install python3-venv"
    raise EngineError(
        f"the {environment.name}'s environment could not be made:\n  " + "\n  ".join(last), where=str(log), hint=hint
    )


def _interpreter(environment: Environment) -> str:
    """A Python for which every pin has a wheel: the one that runs now, or one on the PATH."""
    if sys.version_info[:2] in environment.pythons:
        return sys.executable
    for major, minor in environment.pythons:
        path = shutil.which(f"python{major}.{minor}")
        if (
            path
            and subprocess.run(
                [path, "-c", "import venv"],
                capture_output=True,
                check=False,
            ).returncode
            == 0
        ):
            return path
    wanted = ", ".join(f"{major}.{minor}" for major, minor in environment.pythons)
    raise EngineError(
        f"the {environment.name}'s environment needs Python {wanted}, this is {platform.python_version()}",
        hint=(
            f"install one of them so that it is on the PATH, or set {PYTHON_OVERRIDE[environment.name]} to an"
            " interpreter that has the packages"
        ),
    )


def cpu_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The instruction sets of this processor."""
    with suppress(OSError):
        match = re.search(r"^flags\s*:\s*(.*)$", path.read_text("utf-8", "replace"), re.MULTILINE)
        if match:
            return frozenset(match[1].split())
    return frozenset()


def no_cpu_server() -> str:
    """Why vLLM's CPU build cannot run here; empty where it can."""
    if os.environ.get(PYTHON_OVERRIDE["server"]):
        return ""
    if platform.system() != "Linux" or platform.machine() not in {"x86_64", "AMD64"}:
        return f"vLLM's CPU build is for Linux on x86-64, this is {platform.system()} on {platform.machine()}"
    if "avx2" not in cpu_flags():
        return "vLLM's CPU build needs AVX2, which this processor does not have"
    return ""
