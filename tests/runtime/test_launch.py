"""Processes under a supervisor: what they print arrives, and none of them survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from waiting import wait_for

from sft.errors import EngineError
from sft.runtime.process import Process, clean_environment, run_json, shell_line, tail

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


SIZE = 1000  # 100 lines of it are more than one pipe holds and less than two


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_dead(pid: int) -> None:
    wait_for(lambda: not alive(pid), f"the end of process {pid}")


def first_line(process: Process) -> str:
    return (wait_for(lambda: process.lines(0.2), "output") or [])[0]


def test_output_and_exit_code(tmp_path: Path) -> None:
    seen: list[str] = []
    with Process(
        [sys.executable, "-c", "import sys; print('ক'); print('err', file=sys.stderr); sys.exit(7)"], tmp_path / "log"
    ) as process:
        assert process.wait(seen.append) == 7
    assert sorted(seen) == ["err\n", "ক\n"]
    assert (tmp_path / "log").read_text().splitlines() == [line.strip() for line in seen]


def test_killed_command_gives_128_plus_signal(tmp_path: Path) -> None:
    with Process(
        [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"], tmp_path / "log"
    ) as process:
        assert process.wait() == 137


def test_missing_program_says_so(tmp_path: Path) -> None:
    seen: list[str] = []
    with Process([str(tmp_path / "nothing")], tmp_path / "log") as process:
        assert process.wait(seen.append) == 127
    assert "cannot start" in seen[0]


def test_the_last_words_are_read_before_the_exit_code_is_told(tmp_path: Path) -> None:
    """The log is a pipe that is full until the command has ended: so slow may a busy machine be."""
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    program = f"for _ in range(100): print('x' * {SIZE - 1})\nprint('last words', flush=True)"
    with Process([sys.executable, "-c", program], tmp_path / "log") as process:
        wait_for(lambda: not process.running, "the end of the command")
        assert b"last words" not in os.read(reader, SIZE)

        def drain() -> bytes:
            os.set_blocking(reader, True)
            return b"".join(iter(lambda: os.read(reader, SIZE), b""))

        with ThreadPoolExecutor(1) as pool:
            drained = pool.submit(drain)
            assert process.exit_code() == 0
            assert "last words\n" in (process.lines(0) or [])
        assert drained.result().endswith(b"last words\n")
    os.close(reader)


def test_leaving_the_block_ends_even_a_detached_grandchild(tmp_path: Path) -> None:
    with Process([sys.executable, "-c", STUBBORN], tmp_path / "log") as process:
        grandchild = int(first_line(process))
        assert alive(grandchild)
    wait_dead(grandchild)


def test_sigkill_of_the_workbench_ends_everything(tmp_path: Path) -> None:
    """The parent gets no chance to clean up; the supervisor notices its death."""
    code = f"""
import time
from pathlib import Path
from sft.runtime import Process
with Process([{sys.executable!r}, "-c", {STUBBORN!r}], Path({str(tmp_path / "log")!r})) as process:
    while True:
        for line in process.lines(0.2) or []:
            print(line, end="", flush=True)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    grandchild = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_dead(grandchild)


def test_ctrl_c_in_the_terminal_does_not_reach_the_command_first(tmp_path: Path) -> None:
    with Process([sys.executable, "-c", "import os; print(os.getsid(0), flush=True)"], tmp_path / "log") as process:
        assert int(first_line(process)) != os.getsid(0)


def test_dangerous_variables_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDC_INIT_STEP", "3")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    env = clean_environment({"A": "b"})
    assert "PDC_INIT_STEP" not in env and "PYTHONPATH" not in env and env["A"] == "b"


def test_shell_line_can_be_typed(tmp_path: Path) -> None:
    line = shell_line([sys.executable, "-c", "import os; print(os.environ['X'])"], {"X": "a b"})
    assert subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout == "a b\n"


def test_tail_of_a_long_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert tail(tmp_path / "log", 3) == ["line 9997", "line 9998", "line 9999"]
    assert tail(tmp_path / "none") == []


def test_worker_failure_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="ValueError: too small") as caught:
        run_json([sys.executable, "-c", "raise ValueError('too small')"], log=tmp_path / "log", what="the worker")
    assert caught.value.where == str(tmp_path / "log")


def test_sigterm_to_the_supervisor_ends_the_command(tmp_path: Path) -> None:
    with Process(
        [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"], tmp_path / "log"
    ) as process:
        assert first_line(process) == "up\n"
        assert process._popen is not None
        process._popen.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
