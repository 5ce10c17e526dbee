"""A real Ray cluster of two nodes on this machine: the bytes of one process, also when a node dies on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from places import ROOT, TESTS
from tiny_format import ROWS_PER_UNIT, TINY
from waiting import PATIENCE, wait_for

from sft.convert.driver import convert
from sft.convert.worker import ConvertRequest
from sft.errors import EngineError, ProblemsFound
from sft.runtime.parallel import run
from sft.runtime.runner import Runner, need_ray

UNITS = 30
# Ray 2.60 leaves sockets and pipes of the processes it starts to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class SlowClock:
    """The module `time` with ten times the 30 s that Ray 2.60 gives a node to start."""

    def monotonic(self) -> float:
        return time.monotonic() / 10

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notes")


@pytest.fixture(scope="module")
def cluster(notes: Path) -> Iterator[Any]:
    """Two nodes with one core each; the workers inherit the variables that are set here."""
    need_ray()
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray._private.node.time", SlowClock())
        patch.setenv("TINY_NOTES", str(notes))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(TESTS), str(Path(__file__).parent)]))
        found = Cluster(initialize_head=True, head_node_args={"wait": False, "num_cpus": 1, "include_dashboard": False})
        second = found.add_node(wait=False, num_cpus=1)  # it would wait 30 s at most
        found.wait_for_nodes(timeout=PATIENCE)
    yield found, second
    stop: Any = found.shutdown  # without types
    stop()


def source(folder: Path) -> Path:
    """Rows that are kept, cut and rejected."""
    for number in range(4):
        Image.radial_gradient("L").resize((60 + number, 40)).save(folder / f"{number}.png")
    rows = []
    for number in range(UNITS * ROWS_PER_UNIT):
        box = [[number % 9, 2], [50, 2], [50, 30], [number % 9, 30]]
        rows.append(
            json.dumps({"images": [f"{number % 5}.png"], "text": f"row {number}", "quad": box if number % 2 else []})
        )
    (folder / "labels.txt").write_text("\n".join(rows) + "\n")
    return folder / "labels.txt"


def outcome(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def square(number: int) -> int:
    return number * number


def fails(number: int) -> int:
    raise ProblemsFound(f"number {number}", hint="another")


def test_results_come_in_order_and_errors_as_they_are(cluster: Any) -> None:
    runner = Runner("ray", address=cluster[0].address)
    assert list(run(square, range(25), runner)) == [number * number for number in range(25)]
    with pytest.raises(ProblemsFound, match="number 0") as caught:
        list(run(fails, range(3), runner))
    assert caught.value.hint == "another"


def test_the_command_line_writes_the_same_files_on_a_cluster(cluster: Any, tmp_path: Path) -> None:
    for number in range(3):
        Image.radial_gradient("L").resize((60, 40 + number)).save(tmp_path / f"{number}.png")
    (tmp_path / "rec.txt").write_text("".join(f"{number % 4}.png\tword {number}\n" for number in range(40)))
    found = []
    for words in (["--workers", "1"], ["--runner", "ray", "--address", cluster[0].address]):
        command = [
            sys.executable,
            "-m",
            "sft",
            "convert",
            "paddleocr-rec",
            str(tmp_path / "rec.txt"),
            "-o",
            str(tmp_path / "out" / "rec.jsonl"),
            "--copy",
            "--fresh",
            *words,
        ]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].endswith("rec.rejects.jsonl") and "ray" not in done.stdout
        found.append(outcome(tmp_path / "out"))
    assert found[0] == found[1] and {"rec.jsonl", "rec.manifest.json", "rec.rejects.jsonl"} < found[0].keys()


def test_a_node_that_dies_costs_time_and_nothing_else(
    cluster: Any, notes: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nodes, second = cluster
    order = ConvertRequest("tiny", source(tmp_path), tmp_path / "one" / "out.jsonl")
    convert(order, Runner(workers=1), source_format=TINY)
    holds = [notes / f"hold-{node.node_id}" for node in (nodes.head_node, second)]
    killing: list[Future[str]] = []

    def held() -> list[str]:
        return [path.name.split("-")[1] for path in notes.glob(f"held-*-{second.node_id}")]

    def kill_in_a_unit() -> str:
        """Which of the second node.

        Both nodes hold the next unit that they begin, so that one is left for the second however late it comes.
        """
        try:
            (unit,) = wait_for(held, "the second node to be in the middle of a unit")
            nodes.remove_node(second, allow_graceful=False)
        finally:
            holds[0].unlink()  # the other one stays: a worker may outlive its node for a moment
        return unit

    with ThreadPoolExecutor(1) as pool:

        def watch(done: int, total: int) -> None:
            if done >= 8 and not killing:
                for hold in holds:
                    hold.touch()
                killing.append(pool.submit(kill_in_a_unit))

        result = convert(
            ConvertRequest("tiny", order.source, tmp_path / "two" / "out.jsonl"),
            Runner("ray", address=nodes.address),
            progress=watch,
            source_format=TINY,
        )
    killed = killing[0].result()
    assert result.manifest["counts"]["in"] == UNITS * ROWS_PER_UNIT
    assert outcome(tmp_path / "two") == outcome(tmp_path / "one")
    assert len(list(notes.glob(f"{killed}-*"))) == 2, "the unit of the dead node was read again by the other"
    assert "Raylet is terminated" not in capfd.readouterr().out


def test_no_cluster_is_an_error_with_a_hint() -> None:
    with pytest.raises(EngineError, match="no Ray cluster") as caught:
        list(run(square, range(3), Runner("ray", address="127.0.0.1:1")))
    assert caught.value.hint and "ray status" in caught.value.hint
