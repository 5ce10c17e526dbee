"""The other environments: when they are made again, and what is said when they cannot be."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

import pytest

from sft.errors import EngineError, UsageError
from sft.files.atomic import write_json
from sft.runtime import environments
from sft.runtime.environments import ENVIRONMENTS


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environments, "home", lambda name: tmp_path / f"venv-{name}")
    for variable in environments.PYTHON_OVERRIDE.values():
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "venv-trainer"


def tiny_environment(monkeypatch: pytest.MonkeyPatch, first: tuple[str, ...] = ()) -> None:
    """An environment that installs nothing, so that it is made in a second."""
    record = dataclasses.replace(
        ENVIRONMENTS["trainer"], pythons=(sys.version_info[:2],), probe="import json", first=first
    )
    monkeypatch.setitem(ENVIRONMENTS, "trainer", record)
    monkeypatch.setattr(environments, "requirements", lambda environment: "")


def test_every_environment_pins_everything() -> None:
    for environment in ENVIRONMENTS.values():
        lines = [
            line for line in environments.requirements(environment).splitlines() if line and not line.startswith("#")
        ]
        assert len(lines) > 50
        assert all("==" in line and "://" not in line for line in lines)


def test_traps_are_kept_out() -> None:
    trainer = environments.requirements(ENVIRONMENTS["trainer"]).lower()
    assert (
        "numpy==1.26.4" in trainer
        and "triton==" in trainer
        and "\nuse-triton-in-paddle" not in trainer
        and "tensorboardx==" in trainer
    )
    assert int(trainer.split("pyarrow==")[1].split(".")[0]) < 26
    server = environments.requirements(ENVIRONMENTS["server"]).lower()
    assert not any(f"\n{name}==" in server for name in ("torch", "torchvision", "torchaudio", "torchcodec"))


def test_made_again_when_the_pins_change(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pins = tmp_path / "pins.txt"
    pins.write_text("# nothing\n")
    monkeypatch.setattr("sft.runtime.environments.resources.as_file", lambda _: _Here(pins))
    tiny_environment(monkeypatch)
    assert not environments.is_ready("trainer")
    first = environments.ensure("trainer")
    assert first.seconds > 0 and Path(first.python).exists() and environments.is_ready("trainer")
    marker = place / "marker"
    marker.write_text("kept as long as the environment is")
    assert environments.ensure("trainer").seconds == 0 and marker.exists()
    monkeypatch.setattr(environments, "requirements", lambda environment: "# a comment changes nothing\n")
    assert environments.is_ready("trainer")
    monkeypatch.setattr(environments, "requirements", lambda environment: "something==1\n")
    assert not environments.is_ready("trainer")
    environments.ensure("trainer")
    assert not marker.exists()


class _Here:
    """A context manager around a path, as `resources.as_file` gives."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        return None


def test_half_made_environment_is_not_ready(place: Path) -> None:
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").write_text("")
    assert not environments.is_ready("trainer")
    write_json(place / environments.STAMP, {"pins": "those of yesterday"})
    assert not environments.is_ready("trainer")


def test_failed_install_shows_pips_words(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_environment(monkeypatch, first=("--no-index", "no-such-package-at-all==0"))
    with pytest.raises(EngineError, match="no-such-package-at-all") as caught:
        environments.ensure("trainer")
    assert caught.value.exit_code == 3 and not environments.is_ready("trainer")


def test_no_fitting_python(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENTS, "trainer", dataclasses.replace(ENVIRONMENTS["trainer"], pythons=((2, 6),)))
    with pytest.raises(EngineError, match=r"needs Python 2\.6") as caught:
        environments.ensure("trainer")
    assert caught.value.hint is not None and "SFT_TRAINER_PYTHON" in caught.value.hint


def test_named_interpreter_wins(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFT_TRAINER_PYTHON", sys.executable)
    assert environments.ensure("trainer") == environments.ReadyEnvironment(sys.executable)
    monkeypatch.setenv("SFT_TRAINER_PYTHON", "/no/such/python")
    with pytest.raises(UsageError, match="is not a Python interpreter"):
        environments.ensure("trainer")


@pytest.mark.parametrize(
    ("machine", "flags", "said"),
    [("x86_64", {"avx2"}, ""), ("x86_64", {"sse4_2"}, "AVX2"), ("riscv64", {"avx2"}, "riscv64")],
)
def test_where_the_cpu_server_cannot_run(
    monkeypatch: pytest.MonkeyPatch, machine: str, flags: set[str], said: str
) -> None:
    monkeypatch.delenv("SFT_SERVER_PYTHON", raising=False)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(environments, "cpu_flags", lambda: frozenset(flags))
    reason = environments.no_cpu_server()
    assert (said in reason) if said else reason == ""


def test_cpu_flags_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags\t\t: fpu avx avx2\nbugs : none\n")
    assert environments.cpu_flags(tmp_path / "cpuinfo") == {"fpu", "avx", "avx2"}
    assert environments.cpu_flags(tmp_path / "none") == frozenset()


def test_space_is_asked_for_before_anything_is_downloaded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_environment(monkeypatch)
    record = dataclasses.replace(ENVIRONMENTS["trainer"], gigabytes=1e6)
    monkeypatch.setitem(ENVIRONMENTS, "trainer", record)
    with pytest.raises(EngineError, match=r"takes 1000000\.0 GB, and [0-9.]+ GB are free"):
        environments.ensure("trainer")
    assert not place.exists()


def test_signs_of_life_name_no_address(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "SAY_SECONDS", 0.0)
    looks = iter([False] * 3)

    def slow(_: str) -> environments.ReadyEnvironment:
        place.with_name(f"{place.name}.log").write_text(
            "Collecting x\n  Downloading https://host.example/a/x-1.whl (9 MB)\n"
        )
        while next(looks, True) is False:
            time.sleep(0.5)
        return environments.ReadyEnvironment("python")

    monkeypatch.setattr(environments, "ensure", slow)
    said: list[str] = []
    assert environments.ensure_all(["trainer"], said.append) > 0
    assert "3.1 GB in " in said[0] and "GB are free" in said[0]
    assert any("trainer: Downloading x-1.whl (9 MB)" in line for line in said[1:]) and "host" not in "".join(said)
    monkeypatch.setattr(environments, "is_ready", lambda _: True)
    assert environments.ensure_all(["trainer"], said.append) == 0
