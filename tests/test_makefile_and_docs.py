"""What the README says can be typed can be typed, and what it names is there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from places import ROOT

from sft.cli import VERBS
from sft.models import versions
from sft.runtime import environments
from sft.training import config
from sft.training.plan import breakdown, make_plan

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "datasets").glob("*/README.md")])
CONFIGS = sorted((ROOT / "configs" / "train").glob("*/*.yaml"))


def test_readme_is_short_and_starts_with_two_commands() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) < 200
    assert not any("@@" in line for line in lines), "a placeholder was left"
    commands = [line for line in lines if line.startswith("make ")]
    assert commands[0].startswith("make train") and commands[1].startswith("make test")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_verbs_of_a_page_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link
    verbs = set(re.findall(r"(?:^|[`$ ])sft ([a-z][a-z-]+)", text, re.MULTILINE))
    assert verbs <= set(VERBS), verbs - set(VERBS)
    targets = set(re.findall(r"^(?:`?make )([a-z-]+)", text, re.MULTILINE))
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert targets <= known, targets - known


def test_plan_in_the_readme_is_what_plan_prints() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for name, sum_, result in breakdown(make_plan(samples=29605, epochs=2, gpus=1, batch=8, accum=8)):
        assert f"{name:<20} {sum_} = {result}" in text


def test_configs_load_and_keep_their_promises() -> None:
    assert len(CONFIGS) >= 4
    for path in CONFIGS:
        values = config.load_file(path)
        resolved, _ = config.resolve([("file", values)])
        assert resolved.engine in path.name or path.parent.name == "tiny"
        assert path.parent.name in {*versions.MODELS, "tiny"} and values["model"] == path.parent.name


def test_rehearsal_config_is_the_rehearsal() -> None:
    assert yaml.safe_load((ROOT / "configs/train/tiny/full.yaml").read_text("utf-8")) == config.REHEARSAL


def test_make_passes_every_variable_on() -> None:
    words = (
        "DATA=my.jsonl ENGINE=erniekit MODEL=0.9B EPOCHS=3 GPUS=2 BATCH=4 ACCUM=16 LR=1e-5 MAX_STEPS=9 TEST=t.jsonl"
        " CONFIG=c.yaml REHEARSAL=1"
    )
    shown = subprocess.run(
        ["make", "-n", "train", *words.split()], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for part in (
        'run "my.jsonl"',
        "--engine erniekit",
        '--model "0.9B"',
        "--epochs 3",
        "--gpus 2",
        "--batch 4",
        "--accum 16",
        "--lr 1e-5",
        "--max-steps 9",
        '--test "t.jsonl"',
        '--config "c.yaml"',
        "--rehearsal",
    ):
        assert part in shown
    plain = subprocess.run(["make", "-n", "train"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert 'run "bengali"' in plain and "--engine" not in plain


@pytest.mark.parametrize(
    ("words", "name"), [((), "bengali"), (("DATA=mine",), "mine"), (("DATA=my rows.jsonl",), "my rows.jsonl")]
)
def test_make_eval_takes_what_make_train_takes(words: tuple[str, ...], name: str) -> None:
    for target, verb in (("eval", "eval"), ("train", "run")):
        shown = subprocess.run(
            ["make", "-n", target, *words], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert f'.venv/bin/sft {verb} "{name}"' in shown


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((), ('"base=runs/eval/base" "tuned=runs/eval/tuned"', '-o "runs/compare"')),
        (
            ("BASE=runs/a b", "TUNED=mine", "GATE=g.yaml", "OUT=o"),
            ('"base=runs/a b" "tuned=runs/eval/mine"', '-o "o" --gate "g.yaml"'),
        ),
    ],
)
def test_make_compare_takes_names_and_paths(words: tuple[str, ...], parts: tuple[str, ...]) -> None:
    shown = subprocess.run(
        ["make", "-n", "compare", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    shown = re.sub(r"\\\n\s*", "", shown)
    assert all(part in shown for part in parts) and ("--gate" in shown) == bool(words)


def test_make_compare_models_passes_on_what_was_said() -> None:
    shown = make("compare-models", "BASE=0.9B", "TUNED=runs/a b", "DATA=mine", "OUT=o", "GATE=g.yaml").stdout
    words = " ".join(shown.replace("\\\n", " ").split())
    assert 'compare-models "base=0.9B" "tuned=runs/a b" --data "mine" -o "o" --gate "g.yaml"' in words
    plain = make("compare-models").stdout
    assert '"tuned=' in plain and not any(word in plain for word in ("base=", "--data", "--gate", "-o "))


def make(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False, env=env)


def test_switches_are_on_or_off_or_an_error() -> None:
    for switch in ("REHEARSAL", "RESCORE"):
        flag = f"--{switch.lower()}"
        for word in ("1", "yes", "true", "on", "True"):
            assert flag in make("train", f"{switch}={word}").stdout
        for word in ("0", "no", "false", "off", "False", ""):
            done = make("train", f"{switch}={word}")
            assert done.returncode == 0 and flag not in done.stdout
        refused = make("train", f"{switch}=maybe")
        assert refused.returncode == 2 and f"{switch}=maybe is neither on (1, yes, true) nor off" in refused.stderr


def test_port_and_name_are_those_of_the_command_line_alone() -> None:
    assert "--port 9" in make("serve", "PORT=9").stdout and "--port 9" in make("tensorboard", "PORT=9").stdout
    assert "127.0.0.1:9" in make("eval", "PORT=9").stdout
    plain = make("serve", PORT="9", NAME="laptop").stdout + make("eval", PORT="9", NAME="laptop").stdout
    assert "9" not in plain.replace("8118", "") and "laptop" not in plain


def test_clean_removes_only_what_can_be_made_again(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    kept = [tmp_path / "runs" / "a" / "model.safetensors", tmp_path / "models" / "base" / "model.safetensors"]
    gone = [tmp_path / "build" / "page.png", tmp_path / "datasets" / "bengali" / "sample" / "train.jsonl"]
    for path in (*kept, *gone):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 5000)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["make", *words], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run("clean").returncode == 0
    assert all(path.exists() for path in kept) and not any(path.exists() for path in gone)
    asked = run("clean-all")
    assert asked.returncode == 2 and "SURE=1 removes them" in asked.stderr
    assert "runs/a" in asked.stdout and "models/base" in asked.stdout and all(path.exists() for path in kept)
    assert run("clean-all", "SURE=no").returncode == 2 and all(path.exists() for path in kept)
    assert run("clean-all", "SURE=1").returncode == 0 and not any(path.exists() for path in kept)


def test_misspelt_variable_is_an_error() -> None:
    done = subprocess.run(
        ["make", "-n", "train", "ENGIN=erniekit"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "unknown variable ENGIN" in done.stderr
    done = subprocess.run(
        ["make", "-n", "train", "DATA=my data.jsonl"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and 'run "my data.jsonl"' in done.stdout


def test_docs_name_the_pythons_and_files_of_the_environments() -> None:
    text = (ROOT / "docs" / "environments.md").read_text("utf-8")
    for environment in environments.ENVIRONMENTS.values():
        assert environment.pins in text
        assert all(f"{major}.{minor}" in text for major, minor in environment.pythons)


def test_ci_runs_what_the_readme_says() -> None:
    script = ROOT / ".ci" / "run"
    assert "make test" in script.read_text("utf-8")
    subprocess.run(shlex.split(f"bash -n {script}"), check=True)


def test_no_file_shadows_the_hugging_face_library() -> None:
    assert not (ROOT / "datasets" / "__init__.py").exists()
