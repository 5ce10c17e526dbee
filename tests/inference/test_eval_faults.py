"""`sft eval` against a real server that is killed, that lies, stalls and hangs up: nothing is lost, nothing is taken
for a wrong answer.
"""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from eval_server import Served
from PIL import Image
from places import ROOT
from waiting import PATIENCE, wait_for, with_one_of

from sft.evaluation import results
from sft.files.atomic import read_json
from sft.files.jsonl import ocr_sample, write_samples
from sft.inference import predict
from sft.inference.client import LOST

KILLS = 20
SAMPLES = 400


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number in range(SAMPLES):
        Image.new("RGB", (40, 30), (number % 256, number // 256, 9)).save(folder / f"{number}.png")
    write_samples(
        folder / "test.jsonl", (ocr_sample(f"{number}.png", "OCR:", f"text {number}") for number in range(SAMPLES))
    )
    return folder / "test.jsonl"


def start(data: Path, url: str, out: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sft", "eval", str(data), "--url", url, "-o", str(out), "--name", "base", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def evaluate(data: Path, url: str, out: Path, *words: str) -> tuple[int, str, dict[str, Any]]:
    process = start(data, url, out, *words)
    _, said = process.communicate(timeout=PATIENCE)
    return (
        process.returncode,
        said.decode(),
        read_json(out / "results.json") if (out / "results.json").is_file() else {},
    )


def ends(server: Served, process: subprocess.Popen[bytes]) -> bool:
    """Whether the server is the first of the two to end."""
    wait_for(lambda: process.poll() is not None or not server.alive, "the end of the evaluation or of the server")
    return not server.alive


def kill_at(moment: int, server: Served, process: subprocess.Popen[bytes]) -> None:
    """Kill the evaluation when the server has been asked so many questions, unless it has ended before
    anybody looked.
    """
    wait_for(lambda: process.poll() is not None or len(server.asked()) >= moment, f"question {moment}")
    process.kill()


def digest(out: Path) -> str:
    return hashlib.sha256((out / "predictions.jsonl").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    server = Served(folder / "log")
    server.start()
    try:
        code, said, found = evaluate(data, server.url, folder / "out")
    finally:
        server.kill()
    assert code == 0, said
    assert (
        found["complete"]
        and found["counts"] == {"in": SAMPLES, "scored": SAMPLES, "lost": 0}
        and found["server"] == "vLLM 0.11.0"
    )
    assert len({pred.pred for pred in predict.read_predictions(folder / "out" / "predictions.jsonl")}) == SAMPLES
    return digest(folder / "out")


def test_a_server_killed_and_restarted_at_random_moments(data: Path, undisturbed: str, tmp_path: Path) -> None:
    server = Served(tmp_path / "log", seconds=0.05)
    chance = random.Random(5)
    kills = runs = 0

    def live() -> None:
        """For so many questions; some lives are too short for an answer."""
        server.start(last=chance.choice((1, 3, 9, 20, 40)) if kills < KILLS else 0)

    while kills < KILLS:
        live()
        out = tmp_path / f"out{runs}"
        process = start(data, server.url, out, "--concurrency", "8", "--patience", str(PATIENCE))
        while ends(server, process):
            kills += 1
            live()
        _, first = process.communicate()
        assert process.returncode in (0, 1, 3), first.decode()
        server.kill()
        server.start()
        code, said, found = evaluate(
            data, server.url, out
        )  # asks for what a question had to be given up for; mostly nothing
        server.kill()
        assert code == 0, said
        assert digest(out) == undisturbed and found["complete"] and found["timing"]["kept"] >= SAMPLES - 20
        runs += 1
    assert runs <= 4
    assert len(server.asked()) >= runs * SAMPLES  # a question whose answer was cut is asked again


def test_the_evaluation_killed_at_random_moments(data: Path, undisturbed: str, tmp_path: Path) -> None:
    server = Served(tmp_path / "log", seconds=0.05)
    server.start()
    chance, kept, runs = random.Random(3), [0], 0
    try:
        while len(kept) <= 4:
            out = tmp_path / f"out{runs}"
            process = start(data, server.url, out, "--concurrency", "8")
            moment = len(server.asked()) + chance.randint(20, 80)
            kill_at(moment, server, process)
            _, said = process.communicate()
            if process.returncode == -signal.SIGKILL:
                kept.append((out / "answers.jsonl").read_bytes().count(b"\n"))
                continue
            assert process.returncode == 0 and digest(out) == undisturbed, said.decode()
            kept, runs = [0], runs + 1  # it ended before anybody looked: another one
        with (out / "answers.jsonl").open("ab") as stream:
            stream.write(b'{"check":"00000000","key":"half a li')
        code, told, found = evaluate(data, server.url, out)
    finally:
        server.kill()
    assert code == 0, told
    assert digest(out) == undisturbed and kept == sorted(kept) and kept[-1] > 0
    assert found["timing"]["kept"] >= kept[-1] and found["timing"]["kept"] + found["timing"]["asked"] == SAMPLES
    assert "damaged lines that are asked again: 1" in told


def test_a_server_that_stays_dead_loses_nothing(data: Path, undisturbed: str, tmp_path: Path) -> None:
    server = Served(tmp_path / "log", seconds=0.05)
    server.start(last=40)
    out = tmp_path / "out"
    code, said, found = evaluate(data, server.url, out, "--concurrency", "4", "--patience", "0.5")
    assert not server.alive and len(server.asked()) == 40
    missing = found["counts"]["lost"]
    assert code == 3 and SAMPLES - 40 < missing < SAMPLES, said
    assert (
        f"{missing} of {SAMPLES} answers are missing: no server has answered for 0.5 s" in said
        and "run the same command to resume" in said
    )
    assert not found["complete"] and [(reason["code"], reason["count"]) for reason in found["lost"]] == [
        ("answer.not_asked", missing)
    ]
    assert all(pred.error == "" or pred.pred == "" for pred in predict.read_predictions(out / "predictions.jsonl"))
    server.log.unlink()
    code, said_at_start, _ = evaluate(data, server.url, out)
    assert code == 3 and "no server answers" in said_at_start
    server.seconds = 0
    server.start()
    code, said_again, found = evaluate(data, server.url, out)
    server.kill()
    assert code == 0, said_again
    assert digest(out) == undisturbed
    assert len(server.asked()) == missing == found["timing"]["asked"]


FAULTS = {
    "cut": "answer.cut",
    "hang up": "answer.cut",
    "half json": "answer.cut",
    "malformed": "answer.json",
    "schema": "answer.schema",
    "choices": "answer.choices",
    "400": "answer.http",
    "500": "answer.http",
    "503": "answer.busy",
}


def flaky(folder: Path, *prompts: str) -> Path:
    """A row that is answered, those that the prompts ask for, and one whose image is missing."""
    Image.new("RGB", (40, 30)).save(folder / "a.png")
    samples = [
        ocr_sample("a.png", "OCR:", "x"),
        *(ocr_sample("a.png", prompt, "x") for prompt in prompts),
        ocr_sample("none.png", "OCR:", "x"),
    ]
    write_samples(folder / "flaky.jsonl", samples)
    return folder / "flaky.jsonl"


def test_faults_are_told_apart(served: Served, tmp_path: Path) -> None:
    code, said, found = evaluate(flaky(tmp_path, *(f"{name} always" for name in FAULTS)), served.url, tmp_path / "out")
    assert code == 1, said
    preds = predict.read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert [pred.reason for pred in preds] == ["", *FAULTS.values(), "answer.image"]
    assert [bool(pred.error) for pred in preds] == [False] + [True] * (len(FAULTS) + 1)
    errors = {pred.prompt: pred.error for pred in preds}
    assert errors["400 always"] == "400: this is a 400" and "within its JSON" in errors["half json always"]
    assert {reason["code"]: reason["count"] for reason in found["lost"]} == Counter(
        pred.reason for pred in preds if pred.error
    )
    assert all(reason["meaning"] == LOST[reason["code"]] and reason["example"] for reason in found["lost"])
    assert not found["complete"] and found["counts"] == {"in": 11, "scored": 1, "lost": 10} and found["stopped"] == ""
    tries = Counter(served.asked())
    assert (tries["400 always"], tries["500 always"], tries["malformed always"], tries["503 always"]) == (1, 4, 3, 6)


def test_a_slow_answer_is_a_fault_of_its_own_and_tried_once_more(served: Served, tmp_path: Path) -> None:
    def check(limit: float) -> None:
        out, always, once = tmp_path / f"out {limit}", f"slow {limit} always", f"slow {limit} once"
        code, said, found = evaluate(
            flaky(tmp_path, always, once, "malformed always"), served.url, out, "--timeout", str(limit)
        )
        preds = predict.read_predictions(out / "predictions.jsonl")
        assert [pred.reason for pred in preds] == ["", "answer.timeout", "", "answer.json", "answer.image"], said
        assert preds[1].error == f"no answer within {limit:g} s" and preds[1].pred == "" and preds[2].pred
        assert (
            code == 1
            and {reason["code"]: reason["meaning"] for reason in found["lost"]}["answer.timeout"]
            == LOST["answer.timeout"]
        )
        tries = Counter(served.asked())
        assert (tries[always], tries[once]) == (2, 2)

    with_one_of((0.7, 7, 70), check)


def test_what_goes_wrong_once_is_tried_again(served: Served, tmp_path: Path) -> None:
    code, said, found = evaluate(flaky(tmp_path, *(f"{name} once" for name in FAULTS)), served.url, tmp_path / "out")
    preds = predict.read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert [pred.reason for pred in preds] == [
        "" if not name.startswith("400") else "answer.http" for name in ("", *FAULTS)
    ] + ["answer.image"], said
    assert code == 1 and found["timing"]["retries"] >= len(FAULTS) - 1


def test_two_servers_share_the_work_and_one_dies(data: Path, undisturbed: str, tmp_path: Path) -> None:
    both = [Served(tmp_path / f"log{number}", seconds=0.02) for number in range(2)]
    try:
        both[0].start(last=20)
        both[1].start()
        code, said, found = evaluate(
            data, ",".join(server.url for server in both), tmp_path / "out", "--concurrency", "4", "--patience", "5"
        )
        assert [server.alive for server in both] == [False, True]
    finally:
        for server in both:
            server.kill()
    assert code == 0, said
    assert digest(tmp_path / "out") == undisturbed and found["endpoint"]["urls"] == [server.url for server in both]
    assert len(both[0].asked()) == 20 and len(both[1].asked()) >= SAMPLES - 20


def test_results_follow_the_published_schema(served: Served, tmp_path: Path) -> None:
    from jsonschema import Draft202012Validator

    evaluate(flaky(tmp_path, "malformed once", "400 once"), served.url, tmp_path / "out")
    published = json.loads((ROOT / "sft" / "schema" / "results.schema.json").read_text("utf-8"))
    assert published == results.schema()
    Draft202012Validator(published).validate(read_json(tmp_path / "out" / "results.json"))
