"""The whole loop with the real trainer, the real server and the real files: killed, stopped, resumed, exported, served,
read.

One run is carried through the module: the order of the tests is the order of the story. Needs the environments that
`make test` makes; where one is missing this fails, it does not skip.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import httpx
import pytest
from places import ROOT
from waiting import PATIENCE, wait_for

from sft.files import jsonl
from sft.files.atomic import read_json
from sft.models import versions
from sft.runtime import environments
from sft.serving import server
from sft.synth import bengali_sample
from sft.training.engines import ENGINES

TEXTS = ("১", "৪৫", "৳৭৮৯")  # told apart at a glance, so that a minute of training is enough to be sure of the answers
FLAGS = (
    "--batch",
    "16",
    "--epochs",
    "10",
    "--max-steps",
    "120",
    "--save-steps",
    "30",
    "--runs",
    "runs",
    "--models",
    "models",
)
SFT = (sys.executable, "-m", "sft")
# seconds; only what hangs takes as long: a command here is a minute or two of work for a machine with nothing else to
# do
HOUR = 3600.0
pytestmark = pytest.mark.timeout(2 * HOUR)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a training and a held-out file."""
    missing = [name for name in environments.ENVIRONMENTS if not environments.is_ready(name)]
    assert not missing, f"environments missing: {missing}; `make test` makes them"
    folder = tmp_path_factory.mktemp("loop")
    for split, count in (("train", 240), ("test", 9)):
        draw(folder / "three", split, count)
    return folder


def draw(folder: Path, split: str, count: int) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = random.Random(split)
    rows = []
    for number in range(count):
        text, name = TEXTS[number % len(TEXTS)], f"images/{split}-{number}.png"
        assert cv2.imwrite(str(folder / name), bengali_sample.draw(text, rng))
        rows.append(jsonl.ocr_sample(name, "OCR:", text))
    jsonl.write_samples(folder / f"{split}.jsonl", rows)


def sft(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SFT, *words], cwd=place, capture_output=True, text=True, check=False, timeout=HOUR)


def processes(word: str) -> list[int]:
    """Processes whose command line contains `word`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if word.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def run_folder(place: Path) -> Path:
    found = list((place / "runs").glob("three-*"))
    assert len(found) == 1, "the same command must find the same run"
    return found[0]


def steps(place: Path) -> list[int]:
    return [
        checkpoint.step
        for folder in (place / "runs").glob("three-*")
        for checkpoint in ENGINES["paddleformers"].checkpoints(folder / "checkpoints")
    ]


def heed_interrupts() -> None:
    """In the child: a script's background jobs, which these tests may be, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def running(*words: str, place: Path) -> Iterator[subprocess.Popen[str]]:
    """A command in the background that does not outlive a failed assertion."""
    with subprocess.Popen(
        [*SFT, *words], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def trainer_pid(place: Path) -> int:
    """The trainer itself: the process that runs the launcher module for this run, not the supervisor above it."""
    pids = [
        pid
        for pid in processes(str(run_folder(place) / "train.yaml"))
        if b"supervisor.py" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert pids
    return min(pids)


def test_sigkill_of_the_trainer_leaves_a_state_to_resume_from(place: Path) -> None:
    with running("train", "three/train.jsonl", *FLAGS, place=place) as process:
        wait_for(lambda: steps(place) or process.poll() is not None, "the first checkpoint", HOUR)
        os.kill(trainer_pid(place), signal.SIGKILL)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3, said
    assert said.startswith("REHEARSAL"), "the first line says what this is"
    assert "was killed (SIGKILL" in said and "resume from step" in said and "Traceback" not in said
    state = read_json(run_folder(place) / "state.json")
    assert state["status"] == "failed" and state["exit_code"] == 137 and state["checkpoint"] == max(steps(place)) >= 30
    assert not processes(str(run_folder(place)))


def test_ctrl_c_stops_everything_and_can_be_resumed(place: Path) -> None:
    before = max(steps(place))
    with running("train", "three/train.jsonl", *FLAGS, place=place) as process:
        wait_for(
            lambda: max(steps(place)) > before or process.poll() is not None, "a checkpoint after the resumed one", HOUR
        )
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert f"resuming from step {before}" in said and "run the same command to resume" in said
    state = read_json(run_folder(place) / "state.json")
    assert state["status"] == "interrupted" and state["checkpoint"] > before and state["resumed_from"] == before
    assert not processes(str(run_folder(place)))


def test_half_written_checkpoint_is_not_resumed(place: Path) -> None:
    """As a kill in the middle of a save leaves it: a newer folder whose weights end early."""
    newest = max(steps(place))
    broken = run_folder(place) / "checkpoints" / "checkpoint-9000"
    broken.mkdir()
    for path in (broken.parent / f"checkpoint-{newest}").iterdir():
        data = path.read_bytes()
        (broken / path.name).write_bytes(data[: len(data) // 2] if path.suffix == ".safetensors" else data)
    assert max(steps(place)) == newest


def test_same_command_finishes_from_the_checkpoint(place: Path) -> None:
    before = max(steps(place))
    done = sft(place, "train", "three/train.jsonl", *FLAGS)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    manifest = read_json(folder / "manifest.json")
    assert manifest["resumed_from"] == before and manifest["last_logged_step"] == manifest["max_steps"] == 120
    logged = [
        ENGINES["paddleformers"].progress(line)
        for line in (folder / "log" / "train.log").read_text("utf-8").splitlines()
    ]
    counted = [progress.step for progress in logged if progress]
    after_resume = counted[len(counted) - counted[::-1].index(before + 1) - 1 :]
    assert after_resume == list(range(before + 1, 121)), "the step counter goes on where the checkpoint stood"
    assert list((folder / "tensorboard").rglob("events.out.tfevents.*"))
    for name in (
        "config.yaml",
        "plan.json",
        "command.txt",
        "environment.json",
        "data.json",
        "train.yaml",
        "template.py",
        "state.json",
    ):
        assert (folder / name).stat().st_size
    assert read_json(folder / "environment.json")["trainer"]["paddleformers"] == "1.2.0"


def test_whole_job_serves_and_reads(place: Path) -> None:
    done = sft(place, "run", "three", *FLAGS, "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert "has finished before" in done.stderr, "nothing is trained twice"
    assert outcome["before"]["scores"]["cer"] >= 0.9 and outcome["after"]["scores"]["cer"] <= 0.1
    assert outcome["after"]["counts"] == {"in": 9, "scored": 9, "lost": 0} and outcome["after"]["server"].startswith(
        "vLLM "
    )
    read = outcome["transformers"]
    assert (read["asked"], read["equal"], read["undecided"]) == (8, 8, 0)
    assert read["tokens"] >= 16 and read["apart"] <= 1e-3  # an answer and its end token at least
    page = Path(outcome["report"]).read_text("utf-8")
    assert page.count("data:image/png") >= 9 and not re.search(
        r"""(?:src|href)=["']?https?:|url\(["']?https?:|@import""", page
    )  # nothing is fetched
    exported = Path(outcome["model"])
    assert all((exported / name).is_file() for name in versions.SERVED_FILES)
    assert not processes(str(exported)), "the server is gone"
    again = sft(place, "run", "three", *FLAGS)
    assert again.returncode == 0 and "already scored" in again.stderr and "exported before" in again.stderr
    assert "held-out images: 8 of 8" in again.stdout


def test_serve_answers_and_stops_on_sigterm(place: Path) -> None:
    exported = run_folder(place) / "model"
    port = server.free_port()
    with running("serve", str(exported), "--port", str(port), place=place) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}/v1  model PaddleOCR-VL-0.9B"
        scored = sft(place, "eval", "three/test.jsonl", "--url", f"http://127.0.0.1:{port}", "--json")
        assert scored.returncode == 0 and json.loads(scored.stdout)["scores"]["exact"] == 1.0
        taken = sft(place, "serve", str(exported), "--port", str(port))
        assert taken.returncode == 2 and "cannot listen" in taken.stderr and "--port" in taken.stderr
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert not processes(str(exported))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/health", timeout=PATIENCE)


def test_curve_scores_the_checkpoints_that_are_not_scored_yet(place: Path) -> None:
    """Base and result were scored by `sft run`; of the checkpoints between, one is served here."""
    between = [step for step in steps(place) if step < 120][-1]
    words = ("curve", str(run_folder(place)), "--checkpoints", f"{between},120", "--json")
    done = sft(place, *words)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (course,) = found["tasks"]
    assert (
        [step["step"] for step in course["steps"]] == [0, between, 120]
        and found["scored_now"] == 1
        and found["complete"]
    )
    assert course["steps"][0]["value"] >= 0.9 and course["steps"][-1]["value"] <= 0.1
    assert list((run_folder(place) / "tensorboard" / "eval").glob("events.out.tfevents.*")) and "<polyline" in Path(
        found["report"]
    ).read_text("utf-8")
    assert not list(run_folder(place).rglob("step-*/model")) and not processes(str(run_folder(place) / "curve"))
    again = sft(place, *words)
    assert again.returncode == 0 and json.loads(again.stdout) == {**found, "scored_now": 0}


def test_eval_without_a_server_says_how_to_start_one(place: Path) -> None:
    done = sft(place, "eval", "three/test.jsonl", "--url", f"http://127.0.0.1:{server.free_port()}", "-o", "nothing")
    assert done.returncode == 3 and "sft serve" in done.stderr and not (place / "nothing").exists()


def test_evaluation_script_gives_the_same_scores(place: Path) -> None:
    script = ROOT / "eval" / "evaluate.py"
    preds = run_folder(place) / "scores" / "after" / "predictions.jsonl"
    done = subprocess.run(
        [sys.executable, str(script), "--pred", str(preds), "--data", "three/test.jsonl", "-o", "again"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (
        read_json(place / "again" / "results.json")["scores"]
        == read_json(run_folder(place) / "scores" / "after" / "results.json")["scores"]
    )


def test_evaluation_script_refuses_what_it_cannot_place(place: Path) -> None:
    script = ROOT / "eval" / "evaluate.py"
    for text, said in (
        ('{"id": 0, "pred": "x"}', "count from 1"),
        ('{"id": 1, "pred": null}', "not a prediction"),
        ('{"id": 1, "pred": "a"}\n{"id": 1, "pred": "b"}', "duplicate id"),
    ):
        (place / "mine.jsonl").write_text(text + "\n")
        done = subprocess.run(
            [sys.executable, str(script), "--pred", "mine.jsonl", "--data", "three/test.jsonl", "-o", "no"],
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1 and said in done.stderr and not (place / "no").exists()


def test_second_command_on_the_same_run_is_told(place: Path) -> None:
    with (run_folder(place) / "lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        done = sft(place, "run", "three", *FLAGS)
    assert done.returncode == 2 and "another sft process is working on this run" in done.stderr


def test_changed_image_is_another_run(place: Path) -> None:
    """The rows are the same, byte for byte; one picture is not."""
    from sft.datasets.locate import fingerprint

    before = fingerprint(place / "three" / "test.jsonl")
    image = place / "three" / "images" / "test-0.png"
    kept = image.read_bytes()
    image.write_bytes((place / "three" / "images" / "test-1.png").read_bytes())
    assert fingerprint(place / "three" / "test.jsonl") != before
    image.write_bytes(kept)
    assert fingerprint(place / "three" / "test.jsonl") == before


def test_checkpoint_at_the_last_step_is_the_result(place: Path) -> None:
    """As a kill between the last save and the end leaves it: the final weights are there as a checkpoint only."""
    folder = run_folder(place)
    (folder / "manifest.json").unlink()
    done = sft(place, "train", "three", *FLAGS)
    assert done.returncode == 0 and "its weights are the result" in done.stderr
    manifest = read_json(folder / "manifest.json")
    assert manifest["weights_dir"] == "checkpoints/checkpoint-120" and manifest["last_logged_step"] == 120


def test_export_of_a_checkpoint(place: Path) -> None:
    done = sft(place, "export", str(run_folder(place)), "-o", "exported", "--checkpoint", "7")
    assert done.returncode == 2 and "complete checkpoints" in done.stderr and not (place / "exported").exists()
    done = sft(place, "export", str(run_folder(place)), "-o", "exported", "--checkpoint", str(max(steps(place))))
    assert done.returncode == 0 and (place / "exported" / "chat_template.jinja").is_file()


def test_without_a_cpu_server_the_job_still_trains_and_exports(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's processor is described to the workbench as one without AVX2."""
    code = (
        "from sft.runtime import environments\n"
        "environments.cpu_flags = lambda *_: frozenset({'sse4_2'})\n"
        "import sys; sys.argv = ['sft', 'run', 'three', *sys.argv[1:]]\n"
        "from sft.cli import main; main()\n"
    )
    monkeypatch.delenv("SFT_SERVER_PYTHON", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", code, *FLAGS[:4], "--max-steps", "3", *FLAGS[8:]],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=HOUR,
    )
    assert done.returncode == 0, done.stderr
    for stage in ("serve", "score before", "score after", "Transformers check"):
        assert f"left out: {stage} (vLLM's CPU build needs AVX2" in done.stdout
    assert "container" in done.stdout
    exported = Path(done.stdout.split("model:")[1].split()[0])
    assert (exported / "model.safetensors").is_file()
