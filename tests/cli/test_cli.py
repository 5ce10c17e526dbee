"""The command line as a user meets it: speed of help, suggestions, exit codes, no traceback for what the user did."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from PIL import Image
from places import ROOT
from waiting import work_of

from sft.cli import VERBS, train
from sft.cli import evaluate as evaluate_module
from sft.cli import serve as serve_module
from sft.cli import sft as command
from sft.datasets import locate
from sft.models import verify, versions
from sft.runtime import environments
from sft.serving import server
from sft.training import run_folder
from sft.training.engines import erniekit, paddleformers
from sft.workflows import evaluate as scoring
from sft.workflows import run

SFT = [sys.executable, "-m", "sft"]


def sft(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SFT, *words], capture_output=True, text=True, cwd=cwd, check=False)


def test_help_answers_at_once() -> None:
    """With less work than five bare starts of Python, which take a tenth of a second together: what else the machine
    does takes none of it.
    """
    assert sft("--help").returncode == 0  # writes the byte code
    shown, bare = [], []
    for _ in range(5):
        shown.append(work_of(lambda: sft("--help")))
        bare.append(work_of(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)))
    assert min(shown) < 5 * min(bare)


def test_help_lists_every_verb_and_every_verb_has_an_example() -> None:
    shown = sft("--help").stdout
    for verb in VERBS:
        assert f"\n  {verb} " in shown
        text = CliRunner().invoke(command, [verb, "--help"])
        assert text.exit_code == 0 and "Example" in text.stdout, verb


def test_typo_gets_a_suggestion() -> None:
    done = sft("validat")
    assert done.returncode == 2 and "Did you mean 'validate'" in done.stderr
    done = sft("validate", "x.jsonl", "--fixx")
    assert done.returncode == 2 and "--fix" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("validate", "none.jsonl"), 2, "no such data"),
        (("train", "none.jsonl"), 2, "no such data"),
        (("run", "none.jsonl"), 2, "no such data"),
        (("export", "runs/none", "-o", "out"), 2, "not a run folder"),
        (("serve", "none"), 2, "no such model directory"),
        (("tiny-model", "."), 2, "this path already exists"),
        (("eval", "none.jsonl"), 2, "no such data"),
        (("eval", "goood.jsonl"), 2, "did you mean good.jsonl"),
        (("plan", "--samples", "10", "--batch", "64"), 2, "only D = 10"),
        (("plan", "--samples", "0"), 2, "must be at least 1"),
        (("fetch-model", "2.0"), 2, "no model version"),
        (("fetch", "klingon"), 2, "no such data"),
        (("train", "good.jsonl", "--engine", "ernie", "--dry-run"), 2, "did you mean erniekit"),
        (("train", "good.jsonl", "--engine", "erniekit", "--model", "1.6", "--dry-run"), 2, "prompt ending"),
    ],
)
def test_wrong_commands(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    good(tmp_path)
    done = sft(*words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr and "hint:" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.png",
        "good.jsonl",
    ], "something half-written was left"


def good(folder: Path) -> Path:
    Image.new("RGB", (112, 56), "white").save(folder / "a.png")
    path = folder / "good.jsonl"
    path.write_text(row("a.png") + "\n")
    return path


def row(image: str, tag: str = "mask") -> str:
    return json.dumps(
        {
            "text_info": [{"text": "OCR:", "tag": tag}, {"text": "x", "tag": "no_mask"}],
            "image_info": [{"image_url": image}],
        }
    )


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (row("a.png") + "\n{broken\n", "structure.json", 2),
        (row("a.png") + "\n" + row("missing.png") + "\n", "image.missing", 2),
        (row("a.png", "maks") + "\n", "trainer.tag", 1),
        ("", "file.empty", 0),
    ],
)
def test_bad_data_stops_validate_and_train_alike(tmp_path: Path, text: str, code: str, line: int) -> None:
    good(tmp_path)
    bad = tmp_path / "bad.jsonl"
    bad.write_text(text)
    place = f"bad.jsonl:{line}" if line else "bad.jsonl"
    done = sft("validate", "bad.jsonl", cwd=tmp_path)
    assert done.returncode == 1 and f"[{code}]" in done.stdout and place in done.stdout
    found = json.loads(sft("validate", "bad.jsonl", "--json", cwd=tmp_path).stdout)[0]
    assert found["rows"] == found["good"] + found["bad"] and found["problems"][0]["code"] == code
    done = sft("train", "bad.jsonl", cwd=tmp_path)
    assert done.returncode == 1 and f"[{code}]" in done.stderr and place in done.stderr and "hint:" in done.stderr
    assert not (tmp_path / "runs").exists(), "a run folder was begun"


def test_good_data_and_the_streams(tmp_path: Path) -> None:
    good(tmp_path)
    done = sft("validate", "good.jsonl", "--json", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)[0]["good"] == 1


def test_init_validates_and_is_never_overwritten(tmp_path: Path) -> None:
    done = sft("init", "mine", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.split() == ["mine/train.jsonl", "mine/test.jsonl"]
    assert sft("validate", "mine/train.jsonl", "mine/test.jsonl", cwd=tmp_path).returncode == 0
    assert sft("init", "mine", cwd=tmp_path).returncode == 2


def test_dry_run_shows_rows_settings_and_command_and_writes_nothing(tmp_path: Path) -> None:
    done = sft("init", "mine", cwd=tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = sft(
        "train", "mine/train.jsonl", "--engine", "erniekit", "--batch", "2", "--accum", "2", "--dry-run", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    for part in (
        '"tag":"no_mask"',
        "from_scratch: 0",
        "max_steps: 32",
        "packing_size: 2",
        "erniekit train ",
        "docker run --rm",
        "docker build",
    ):
        assert part in done.stdout
    done = sft(
        "train", "mine/train.jsonl", "--engine", "paddleformers", "--model", "1.5", "--dry-run", "--json", cwd=tmp_path
    )
    shown = json.loads(done.stdout)
    assert shown["command"][0] == "paddleformers-cli" and "Assistant:\\n" in shown["files"]["template.py"]
    assert sorted(tmp_path.rglob("*")) == before


CONFIGS = sorted((ROOT / "configs" / "train").glob("*/*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_dry_run_of_a_config_shows_the_machine_it_is_for(tmp_path: Path, path: Path) -> None:
    """Also here, where there may be no GPU: the file names a released model, so the GPU side is what was asked for."""
    good(tmp_path)
    (tmp_path / "mine.jsonl").write_text((row("a.png") + "\n") * 64)
    done = sft("train", "mine.jsonl", "--config", str(path), "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tiny = path.parent.name == "tiny"
    assert f"device: {'cpu' if tiny else 'gpu'}\n" in done.stdout
    settings = yaml.safe_load(
        json.loads(sft("train", "mine.jsonl", "--config", str(path), "--dry-run", "--json", cwd=tmp_path).stdout)[
            "settings"
        ]
    )
    named = path.name.startswith("erniekit")
    known = set(erniekit.known_keys()) if named else {*paddleformers.known_keys(), "custom_register_path"}
    assert set(settings) <= known
    assert ("packing_size" in settings, "per_device_train_batch_size" in settings) == (named, not named)
    assert (settings["device"], settings["stage"]) == ("cpu" if tiny else "gpu", "OCR-VL-SFT" if named else "VL-SFT")


def test_flag_wins_over_the_config_in_a_dry_run(tmp_path: Path) -> None:
    good(tmp_path)
    (tmp_path / "mine.jsonl").write_text((row("a.png") + "\n") * 64)
    (tmp_path / "c.yaml").write_text('engine: paddleformers\nmodel: "1.5"\n')
    done = sft("train", "mine.jsonl", "--config", "c.yaml", "--rehearsal", "--model", "tiny", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0 and "device: cpu\n" in done.stdout, done.stderr


def asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file whose rows `sft eval NAME` sends to the server."""
    asked: list[Path] = []

    def evaluate(order: scoring.EvalRequest, **_: Any) -> None:
        asked.append(order.data)
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_module, "run_evaluation", evaluate)
    done = CliRunner().invoke(evaluate_module.eval, [name, "--max-tokens", "8"])
    assert asked, done.exception
    return asked[0]


def test_eval_takes_what_train_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good(tmp_path)
    for folder in ("mine", "datasets/named", "alone"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "train.jsonl").write_text(row("a.png") + "\n")
        if folder != "alone":
            (tmp_path / folder / "test.jsonl").write_text(row("a.png") + "\n")
    for name, file in [
        ("good.jsonl", "good.jsonl"),
        ("mine", "mine/test.jsonl"),
        ("named", "datasets/named/test.jsonl"),
        ("alone", "alone/train.jsonl"),
        ("mine/train.jsonl", "mine/train.jsonl"),
        ("mine/test.jsonl", "mine/test.jsonl"),
    ]:
        assert asked_for(name, monkeypatch) == Path(file), name


def test_eval_of_a_card_scores_its_test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "datasets" / "demo"
    folder.mkdir(parents=True)
    files = {"train": {"url": "https://data.example/train.jsonl"}}
    card = {
        "name": "demo",
        "task": "ocr",
        "language": "bn",
        "licence": "none",
        "files": files,
        "sample": {"seed": 1, "train": 2, "test": 1},
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(card))
    assert asked_for("demo", monkeypatch) == Path("datasets/demo/sample/test.jsonl")
    assert locate.find("demo").test == Path("datasets/demo/sample/test.jsonl")


def test_serve_prints_the_address_and_what_it_serves(base_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"name": "sample/train.jsonl", "rows": 12, "sha256": "1"}
    (base_model / "sft-export.json").write_text(json.dumps({"run": "mine-1", "max_steps": 30, "data": data}))

    class Server:
        url = "http://[::1]:8118"

        def watch(self) -> None:
            raise KeyboardInterrupt

    @contextmanager
    def answering(*_: Any, **__: Any) -> Iterator[Server]:
        yield Server()

    for name, instead in {
        "version_of": lambda _: versions.MODELS["1.5"],
        "require_free_port": lambda *_: None,
        "running": answering,
    }.items():
        monkeypatch.setattr(server, name, instead)
    monkeypatch.setattr(verify, "verify_served", lambda *_: None)
    monkeypatch.setattr(environments, "no_cpu_server", lambda: "")
    options = server.ServerOptions("py", device="cpu", max_model_len=512)
    monkeypatch.setattr(server, "server_options", lambda *_, **__: options)
    done = CliRunner().invoke(serve_module.serve, [str(base_model), "--host", "::1", "--device", "cpu"])
    assert done.exit_code == 0 and "http://[::1]:8118/v1  model PaddleOCR-VL-1.5-0.9B\n" in done.stdout
    assert "run mine-1, step 30, trained on 12 rows of sample/train.jsonl" in serve_module.told_of(base_model)
    (base_model / "sft-export.json").unlink()
    assert serve_module.told_of(base_model) == f"serving {base_model}: of no run"


def test_end_table_shows_what_was_cut_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"cer": 0.5, "wer": 0.5, "ned": 0.5, "exact": 0.5, "empty": 0.125, "truncated": 0.25}
    counts = {"in": 8, "scored": 8, "lost": 0}
    before, after = (
        {"counts": counts, "tasks": {"ocr": {"scores": {**scores, "truncated": cut}, "counts": counts, "unscored": ""}}}
        for cut in (0.75, 0.25)
    )
    train._show(run.RunOutcome(run_folder.Run(tmp_path), [], before=before, after=after))
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Cut", "off", "at", "max_tokens", "75.00%", "25.00%", "−50.00", "pp", "lower"] in shown
    assert ["Empty", "answers", "12.50%", "12.50%", "+0.00", "pp", "lower"] in shown
    evaluate_module.show({"scores": scores, "counts": counts}, tmp_path)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Cut", "off", "at", "max_tokens", "25.00%"] in shown and ["Empty", "answers", "12.50%"] in shown


def test_make_help_names_every_target() -> None:
    root = ROOT
    shown = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=root, check=True).stdout
    for target in ("train", "test", "eval", "serve", "tensorboard", "validate", "env-train", "env-serve"):
        assert f"make {target}" in shown


CAUGHT = """
import runpy, sft.cli
def main(**_):
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        pass
sft.cli.sft.main = main
runpy.run_module("sft", run_name="__main__")
"""


def test_ctrl_c_that_was_dealt_with_is_no_failure() -> None:
    """Python remembers one that came inside an exec, as dataclasses do it, and would end by SIGINT in spite of it."""
    assert subprocess.run([sys.executable, "-c", CAUGHT], check=False).returncode == 0
