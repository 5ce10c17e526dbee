"""Shards on several processes: in order, bounded, and nothing left behind whatever ends first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT, TESTS
from waiting import PATIENCE, wait_for

from sft.errors import EngineError, ProblemsFound, UsageError
from sft.runtime import ray_cluster
from sft.runtime.parallel import run
from sft.runtime.runner import AHEAD, Runner, guarded

TWO = Runner(workers=2)


def square(number: int) -> int:
    return number * number


def first_is_slow(shard: tuple[int, Path]) -> int:
    """Shard 0 ends after all others that may be handed out before its result is there."""
    number, folder = shard
    if number == 0:
        wait_for(lambda: len(list(folder.iterdir())) >= AHEAD * 2 - 1, "the other shards")
        time.sleep(0.1)  # for more, which should not come
    (folder / str(number)).touch()
    return number


def process(_: int) -> int:
    time.sleep(0.02)
    return os.getpid()


def fails_at_three(number: int) -> int:
    if number == 3:
        raise ProblemsFound("three", where="here", hint="not three")
    return number


def divides(number: int) -> float:
    return 1 / number


def dies_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def exits_at_three(number: int) -> int:
    if number == 3:
        os._exit(7)
    return number


def sleeps(shard: tuple[int, str]) -> int:
    number, folder = shard
    (Path(folder) / str(number)).touch()
    time.sleep(600)
    return number


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 37])
def test_results_come_in_order(workers: int, count: int) -> None:
    assert list(run(square, range(count), Runner(workers=workers))) == [number * number for number in range(count)]


def test_a_slow_first_shard_holds_the_others_back(tmp_path: Path) -> None:
    asked: list[int] = []

    def shards() -> Iterator[tuple[int, Path]]:
        for number in range(100):
            asked.append(number)
            yield number, tmp_path

    results = run(first_is_slow, shards(), TWO)
    assert next(results) == 0
    assert AHEAD * 2 <= len(asked) <= AHEAD * 2 + 1
    assert list(results) == list(range(1, 100))


def test_work_is_spread_and_one_shard_stays_here() -> None:
    assert len(set(run(process, range(20), TWO))) == 2
    assert set(run(process, range(1), TWO)) == {os.getpid()} == set(run(process, range(9), Runner(workers=1)))
    assert os.getpid() not in set(run(process, range(20), TWO))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_after_the_results_before_it(workers: int) -> None:
    results = run(fails_at_three, range(10), Runner(workers=workers))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ProblemsFound) as caught:
        next(results)
    assert (caught.value.where, caught.value.message, caught.value.hint) == ("here", "three", "not three")


def test_a_bug_keeps_the_place_where_it_happened() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)ZeroDivisionError.*in a worker process.*in divides"):
        list(run(divides, range(2), TWO))


@pytest.mark.parametrize(("function", "said"), [(dies_at_three, "SIGKILL"), (exits_at_three, "exit code 7")])
def test_a_worker_that_ends_is_an_error_with_a_way_out(function: object, said: str) -> None:
    with pytest.raises(EngineError, match=said) as caught:
        list(run(function, range(50), TWO))  # type: ignore[arg-type]
    assert caught.value.hint and "--workers 1" in caught.value.hint
    assert not children(os.getpid())


def test_leaving_early_ends_the_workers_at_once() -> None:
    results = run(process, range(10_000), TWO)
    next(results)
    assert len(children(os.getpid())) == 2
    results.close()  # type: ignore[attr-defined]
    assert not children(os.getpid())


def test_the_feed_may_fail() -> None:
    def shards() -> Iterator[int]:
        yield from range(5)
        raise UsageError("no more")

    with pytest.raises(UsageError, match="no more"):
        list(run(square, shards(), TWO))
    assert not children(os.getpid())


PROGRAM = """
import sys, test_shards
from sft.runtime import Runner, run
if __name__ == "__main__":
    print("begun", flush=True)
    try:
        list(run(test_shards.sleeps, [(number, sys.argv[1]) for number in range(8)], Runner(workers=2)))
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


def started(tmp_path: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A program with two busy workers, and their process ids."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(TESTS), str(ROOT)])}
    busy = tmp_path / "busy"
    busy.mkdir()
    program = subprocess.Popen(
        [sys.executable, str(script), str(busy)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        start_new_session=True,
    )
    wait_for(lambda: len(list(busy.iterdir())) == 2, "two workers that work")
    return program, children(program.pid)


def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    program, workers = started(tmp_path)
    assert len(workers) == 2
    program.kill()
    program.communicate()
    assert_gone(workers)


def test_control_c_ends_everything_without_a_traceback_of_a_worker(tmp_path: Path) -> None:
    program, workers = started(tmp_path)
    assert len(workers) == 2
    os.killpg(program.pid, signal.SIGINT)  # as a terminal sends it: to the whole group
    said, errors = program.communicate(timeout=PATIENCE)
    assert said.split() == ["begun", "stopped"] and "Traceback" not in errors
    assert_gone(workers)


def children(pid: int) -> list[int]:
    """Worker processes of a process; the helper that multiprocessing keeps for shared memory is none."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            command = (path / "cmdline").read_text()
        except OSError:
            continue
        if parent == pid and "spawn_main" in command:
            found.append(int(path.name))
    return found


def assert_gone(pids: list[int]) -> None:
    wait_for(lambda: not any(map(alive, pids)), "the end of the workers")


def alive(pid: int) -> bool:
    """Neither gone nor a zombie, which has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_text())
    except OSError:
        return False


def test_guarded_makes_an_error_travel() -> None:
    assert guarded(square, 3) == (9, None)
    result, error = guarded(fails_at_three, 3)
    assert result is None and isinstance(error, ProblemsFound)
    assert isinstance(guarded(divides, 0)[1], RuntimeError)


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="Ray") as caught:
        list(ray_cluster.run_on_ray(square, range(3), Runner("ray")))
    assert caught.value.hint == "pip install 'paddleocr-vl-sft[ray]'"
