"""Broken input of every format: no traceback, no hang, no lost good row, nothing left behind, nobody asked.

The corpus is made while the tests run (`tests/hostile`): a good source in which one thing is damaged.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hostile import damage, harness, hub, kits, special, special_binary
from hostile.kit import Case
from waiting import PATIENCE

from sft import formats

CASES: list[Case] = [*damage.cases(), *special.cases(), *special_binary.cases()]
HUB: list[Case] = list(hub.cases())
MEMORY = 3_000_000  # KiB of addresses of one command; a decoded bomb alone would need more
ROOM = 1 << 30  # bytes
ON_THE_COMMAND_LINE = (
    "a bomb",
    "XML: billion laughs",
    "corners",
    "lines of the list",
    "JSON: deep",
    "labels",
    "images: bombs",
)


@pytest.fixture(autouse=True, scope="module")
def nobody_is_asked() -> Iterator[None]:
    """Every attempt to reach something over the network fails the module; a server on this machine notices what Python
    does not see.
    """
    asked: list[tuple[str, object]] = []
    real = socket.getaddrinfo

    def refuse(self: socket.socket, address: object, *rest: object) -> None:
        asked.append((os.environ.get("PYTEST_CURRENT_TEST", ""), address))
        raise OSError("there is no network in this test")

    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        more["flags"] = more.get("flags", 0) | socket.AI_NUMERICHOST  # names are not asked for
        return real("127.0.0.1" if host == "localhost" else host, port, *rest, **more)

    with socket.create_server(("127.0.0.1", 0)) as server, pytest.MonkeyPatch.context() as patch:
        server.setblocking(False)
        patch.setitem(special.LISTENER, "port", server.getsockname()[1])
        for name in ("connect", "connect_ex", "sendto", "sendmsg"):
            patch.setattr(socket.socket, name, refuse)
        patch.setattr(socket, "getaddrinfo", look_up)
        patch.setattr("sft.files.download.BACKOFF", ())  # seconds to wait for hosts that are none
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.delenv(name, raising=False)
        yield
        assert not asked
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Empty, in memory where there is room, and removed at once: disks and `tmp_path` are slow with many thousands of
    small files.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    with tempfile.TemporaryDirectory(
        prefix="hostile-", dir=memory if roomy else None, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def test_the_corpus_is_large_and_covers_every_format() -> None:
    counts = Counter(case.kit.format for case in CASES)
    assert counts.keys() == formats.FORMATS.keys() and min(counts.values()) >= 50, counts
    assert len(CASES) >= 1000 and len({case.id for case in CASES}) == len(CASES)
    assert len(HUB) >= 60


def contents(case: Case, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    case.build(case.kit, folder)
    files = {
        name: folder / name for name in harness.listing(folder) if not name.endswith("data.mdb")
    }  # LMDB writes what was in memory
    return {
        name: path.read_bytes() if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 24 else b""
        for name, path in files.items()
    }


def test_the_same_bytes_every_time(folder: Path) -> None:
    for number, case in enumerate(CASES[:: len(CASES) // 60]):
        assert contents(case, folder / f"{number} a") == contents(case, folder / f"{number} b"), case.id


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_convert(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    harness.baseline(case.kit, folder)
    if case.small:
        harness.lower_limits(monkeypatch)
    harness.check(case, folder)


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("case", HUB, ids=lambda case: case.id)
def test_the_other_verbs(case: Case, folder: Path) -> None:
    for number, verb in enumerate(hub.VERBS):
        (folder / str(number)).mkdir()
        hub.check(case, verb, folder / str(number))


def command(case: Case, folder: Path) -> None:
    """One case through the real command line, with little memory."""
    (folder / "source").mkdir(parents=True)
    (folder / "out").mkdir()
    source, kept = case.build(case.kit, folder / "source")
    out = folder / "out" / "out.jsonl"
    words = ["convert", case.kit.format, str(source), "-o", str(out), "--json", "--workers", "1"]
    for name, column in case.kit.options.get("columns", {}).items():
        words += ["--map", f"{name}={column}"]
    for name in ("task", "markup"):
        words += [f"--{name}", case.kit.options[name]] if name in case.kit.options else []
    limited = ["sh", "-c", f'ulimit -v {MEMORY}; exec "$@"', "sh", sys.executable, "-m", "sft", *words]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode in (0, 1, 2) and "Traceback" not in done.stderr, (
        f"{case.id}: {done.returncode}\n{done.stderr[-2000:]}"
    )
    if done.returncode == 0:
        counts = json.loads(done.stdout)["counts"]
        assert counts["in"] == counts["out"] + counts["rejected"], case.id
    else:
        assert done.stderr.strip(), case.id
    rows = harness.by_mark(harness.read_lines(out), out.parent)
    assert not [mark for mark in kept if mark not in rows], f"{case.id}: rows were lost\n{done.stderr[-2000:]}"
    assert {path.name for path in out.parent.iterdir()} <= {
        "out.jsonl",
        "out.rejects.jsonl",
        "out.warnings.jsonl",
        "out.manifest.json",
        "out_images",
        ".out.jsonl.images",
    }


def test_the_command_line(folder: Path) -> None:
    """One source of every second format, the one that comes first in ON_THE_COMMAND_LINE, and bombs of images."""
    picked = {}
    for name in [*formats.FORMATS][::2]:
        candidates = [case for case in CASES if case.kit.format == name and case.name in ON_THE_COMMAND_LINE]
        picked[name] = min(candidates, key=lambda case: ON_THE_COMMAND_LINE.index(case.name))
    bombs = [
        case
        for case in CASES
        if case.id in ("erniekit: images: bombs", "ppocrlabel: images: bombs", "lmdb: images: bombs")
    ]
    with ThreadPoolExecutor(2) as pool:
        for found in [
            pool.submit(command, case, folder / str(number)) for number, case in enumerate([*picked.values(), *bombs])
        ]:
            found.result()


def test_the_kits_are_good(folder: Path) -> None:
    for number, kit in enumerate(kits.KITS):
        (folder / str(number)).mkdir()
        assert len(harness.baseline(kit, folder / str(number))) == len(harness.MARKED)
