"""`sft compare-models`: one server after the other, stopped whatever happens, and nothing asked twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from eval_server import Served

from sft import serving
from sft.cli import sft as command
from sft.errors import EngineError, SftError, UsageError
from sft.files.atomic import read_json, write_json
from sft.models import verify
from sft.runtime import environments
from sft.training import config, run_folder
from sft.workflows.compare_models import find_models


@dataclass
class Bench:
    """Two model directories and rows; a server that stands for vLLM, and when it was started and stopped."""

    base: Path
    tuned: Path
    data: Path
    events: list[str] = field(default_factory=list)
    breaks: str = ""  # name of the directory whose server does not start


@pytest.fixture
def bench(
    served: Served, bengali_data: Path, base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    tuned = tmp_path / "tuned"
    shutil.copytree(base_model, tuned)
    content = bytearray((tuned / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (tuned / "model.safetensors").write_bytes(content)
    found = Bench(base_model, tuned, bengali_data)

    @contextmanager
    def stand_in(model_dir: Path, *_: object, **__: object) -> Iterator[str]:
        if model_dir.name == found.breaks:
            raise EngineError("the server ended with exit code 1")
        found.events.append(f"{model_dir.name} starts")
        try:
            yield served.url
        finally:
            found.events.append(f"{model_dir.name} ends")

    monkeypatch.setattr(serving, "serving", stand_in)
    monkeypatch.setattr(serving, "server_options", lambda *_, **__: serving.ServerOptions("python"))
    monkeypatch.setattr(environments, "no_cpu_server", lambda: "")
    monkeypatch.setattr(verify, "verify_served", lambda *_: None)  # a process each time; tested with `sft export`
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return found


def invoke(*words: object) -> Result:
    return CliRunner().invoke(command, ["compare-models", *map(str, words)])


def test_one_server_after_the_other_and_one_report(bench: Bench) -> None:
    done = invoke(f"base={bench.base}", f"tuned={bench.tuned}", "--data", bench.data, "--json")
    assert done.exit_code == 0, done.output
    assert bench.events == ["base starts", "base ends", "tuned starts", "tuned ends"]
    assert [run["name"] for run in json.loads(done.stdout)["runs"]] == ["base", "tuned"]
    (out,) = Path("runs/compare-models").iterdir()
    assert {"base", "tuned", "report.html", "compare.json", "metrics.csv"} <= {path.name for path in out.iterdir()}


def test_what_was_answered_before_is_not_asked_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (f"base={bench.base}", f"tuned={bench.tuned}", "--data", bench.data)
    assert invoke(*words).exit_code == 0
    bench.events.clear()
    again = invoke(*words)
    assert again.exit_code == 0 and not bench.events and "already scored" in again.stderr
    other = invoke(f"base={bench.base}", f"mine={bench.tuned}", "--data", bench.data, "-o", "elsewhere")
    assert other.exit_code == 0 and not bench.events and "its answers are taken over" in other.stderr
    fresh = invoke(*words, "--fresh")
    assert fresh.exit_code == 0 and bench.events == ["base starts", "base ends", "tuned starts", "tuned ends"]
    with bench.data.open("a") as stream:  # other rows
        stream.write(bench.data.read_text("utf-8").splitlines(keepends=True)[0])
    bench.events.clear()
    monkeypatch.setattr(environments, "no_cpu_server", lambda: "no AVX2")
    done = invoke(*words)
    assert isinstance(done.exception, EngineError) and "no AVX2" in done.exception.message


def test_no_server_is_left_where_the_second_fails(bench: Bench) -> None:
    bench.breaks = "tuned"
    words = (f"base={bench.base}", f"tuned={bench.tuned}", "--data", bench.data)
    assert isinstance(invoke(*words).exception, EngineError)
    assert bench.events == ["base starts", "base ends"]
    bench.breaks = ""
    assert invoke(*words).exit_code == 0
    assert bench.events == ["base starts", "base ends", "tuned starts", "tuned ends"]


def a_run(bench: Bench) -> Path:
    """A finished run whose export is `tuned` and whose base is `base`."""
    run = Path("runs/mine-1")
    run.mkdir(parents=True)
    values = {"engine": "paddleformers", "model": "tiny", "device": "cpu", "max_seq_len": 512}
    (run / "config.yaml").write_text(config.dump(*config.resolve([("test", values)])))
    trained = {"path": str(bench.data), "model_dir": str(bench.base), "model_version": "0.9B"}
    write_json(run / "data.json", trained)
    held = bench.data.with_name("held.jsonl")
    held.write_bytes(b"".join(bench.data.read_bytes().splitlines(keepends=True)[:5]))
    write_json(run / run_folder.HELD_OUT, {"path": str(held), "max_tokens": 64})
    weights = {"model.safetensors": "x"}
    write_json(run / "manifest.json", {"max_steps": 9, "weights_dir": "checkpoints", "weights": weights})
    shutil.move(bench.tuned, run / "model")
    write_json(run / "model" / "sft-export.json", {"run": "mine-1", "max_steps": 9, "weights": weights})
    return run


@pytest.mark.parametrize("given", ["runs/mine-1", "runs/mine-1/model"])
def test_a_run_alone_is_compared_with_what_it_was_trained_from(bench: Bench, given: str) -> None:
    a_run(bench)
    done = invoke(f"tuned={given}", "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert bench.events == ["base starts", "base ends", "model starts", "model ends"]
    assert [run["answered"] for run in content["runs"]] == [5, 5] and content["data"]["path"].endswith("held.jsonl")
    (out,) = Path("runs/compare-models").iterdir()
    assert read_json(out / "tuned" / "results.json")["conditions"]["max_tokens"] == 64


def test_what_cannot_be_compared(bench: Bench) -> None:
    def refused(*words: object) -> SftError:
        done = invoke(*words)
        assert isinstance(done.exception, UsageError), done.output
        return done.exception

    assert refused("x").hint == "tuned=x, say"
    assert "two models are called a" in refused("a=1", "a=2").message
    assert "not a valid name" in refused("../a=1").message
    run = a_run(bench)
    assert "there are: runs/mine-1" in str(refused(f"base={bench.base}", "tuned=runs/mine").hint)
    (run / "manifest.json").unlink()
    assert "has not finished" in refused("tuned=runs/mine-1").message
    assert "needs two models" in refused(f"tuned={bench.base}").message
    assert "which rows?" in refused(f"a={bench.base}", f"b={bench.base}").message
    assert "no such data" in refused(f"a={bench.base}", f"b={bench.base}", "--data", "nowhere").message
    assert not bench.events


def test_a_version_is_fetched_into_the_folder_of_models(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def fetched(_: object, out: Path) -> Path:
        asked.append(out)
        return bench.base

    monkeypatch.setattr("sft.models.fetch.present_or_fetch", fetched)
    base, tuned = find_models([("base", "0.9B"), ("tuned", str(bench.tuned))], Path("models"))
    assert asked == [Path("models/PaddleOCR-VL")] and base.directory == bench.base and tuned.directory == bench.tuned
    assert base.fingerprint != tuned.fingerprint
