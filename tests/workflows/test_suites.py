"""Suites: what may be written, what it becomes, and a whole run of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from eval_server import Served
from PIL import Image
from places import ROOT

from sft.cli import evaluate
from sft.errors import ProblemsFound, UsageError
from sft.files.atomic import read_json
from sft.files.jsonl import ocr_sample, read_samples, write_samples
from sft.inference.client import Sampling
from sft.workflows import suites

SHIPPED = sorted((ROOT / "eval").glob("*.yaml"))
OMNIDOCBENCH = ROOT / "tests" / "golden" / "formats" / "omnidocbench" / "source" / "OmniDocBench.json"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(folder / f"{number}.png")
    write_samples(
        folder / "test.jsonl",
        [
            ocr_sample(
                f"{number}.png",
                "OCR:" if number % 3 else "Table Recognition:",
                f"text {number}" if number % 3 else "<fcel>a<nl>",
            )
            for number in range(12)
        ],
    )
    return folder / "test.jsonl"


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "suite.yaml").write_text(text)
    return tmp_path / "suite.yaml"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_suites_that_ship_load(path: Path) -> None:
    suite = suites.load(path)
    assert suite.name == path.stem and suite.title
    assert all(suite.sampling_of(name, Sampling(100)).temperature == 0 for name in suite.sets)


def test_smoke_is_among_them() -> None:
    assert "smoke" in {path.stem for path in SHIPPED}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nsets: {x: {data: d, promt: p}}", r"sets.x.promt: unknown key, did you mean 'prompt' \?"),
        (
            "name: a\nsampling: {max_token: 3}\nsets: {x: {data: d}}",
            r"sampling.max_token: unknown key, did you mean 'max_tokens' \?",
        ),
        ("name: a\nset: {x: {data: d}}", r"set: unknown key, did you mean 'sets' \?"),
        ("name: a\nsets: {x: {data: d, metrics: [tedz]}}", r"no score called 'tedz', did you mean 'teds' \?"),
        (
            "name: a\nsets: {x: {data: d, format: omnidocbenc}}",
            r"no format called 'omnidocbenc', did you mean 'omnidocbench' \?",
        ),
        ("name: a\nsets: {x: {data: d, draw: table}}", "either data or draw"),
        ("name: a\nsets: {x: {}}", "either data or draw"),
        ("name: a\nsets: {x: {data: d, limit: '5'}}", "sets.x.limit: input should be a valid integer"),
        ("name: a\nsets: {x: {data: d, tasks: [tables]}}", "sets.x.tasks.0"),
        (
            "name: a\nsampling: {min_pixels: 9000, max_pixels: 800}\nsets: {x: {data: d}}",
            "min_pixels is above max_pixels",
        ),
        ("name: ../a\nsets: {x: {data: d}}", "name: string should match"),
        ("name: a\nsets: {}", "sets: dictionary should have at least 1 item"),
        ("- a\n", "found a list"),
        ("a: [", "not YAML"),
        ("[" * 20_000, "not YAML"),
    ],
)
def test_faults_are_said(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        suites.load(written(tmp_path, text))


BOMB = 'a: &a ["x","x","x","x","x","x","x","x","x"]\n' + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
DRAWN = "name: x\nsets: {a: {draw: text}}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DRAWN.replace("}}", f", sampling: {{max_tokens: {'9' * 5000}}}}}}}"), "not YAML"),
        (DRAWN + "title: 2020-99-99", "not YAML"),
        (DRAWN + 'title: "\\ud800"', "title"),
        (DRAWN + "title: " + "x" * 301, "title"),
        (f"name: x\nsets: {{a: {{data: {'x' * 256}}}}}", "this file name is too long"),
        (f"name: x\nsets: {{a: {{data: {'x/' * 2001}}}}}", "at most 4000"),
        (BOMB + DRAWN, "an alias"),
        ("&a [*a]", "an alias"),
        (DRAWN + "name: y", "duplicate key"),
        ("!!python/object/apply:os.system [none]", "not YAML"),
        ("[" * 100_000, "not YAML"),
        ("".join(f"k{number}: 1\n" for number in range(100)) + DRAWN, "k19: unknown key\n"),
    ],
)
def test_what_means_harm_is_said_in_few_words(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words) as fault:
        suites.load(written(tmp_path, text))
    assert len(fault.value.message) < 3000


def test_an_unknown_key_cannot_move_the_cursor(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown key") as fault:
        suites.load(written(tmp_path, DRAWN + '"\\e[2J": 1'))
    assert "\x1b" not in str(fault.value)


def test_a_suite_becomes_one_file(rows: Path, tmp_path: Path) -> None:
    text = yaml.safe_dump(
        {
            "name": "mix",
            "sets": {
                "lines": {"data": "mine", "tasks": ["ocr"], "limit": 5, "seed": 3, "sampling": {"max_tokens": 7}},
                "again": {"data": "mine/test.jsonl", "tasks": ["table"], "prompt": "Table Recognition:"},
                "pages": {"data": str(OMNIDOCBENCH), "format": "omnidocbench", "tasks": ["table"]},
                "drawn": {"draw": "table", "count": 2, "seed": 1, "degrade": "none", "fonts": ["bengali"]},
            },
        },
        sort_keys=False,
    )
    suite = suites.load(written(tmp_path, text))
    said: list[str] = []
    ready = suites.make_ready(suite, tmp_path, tmp_path / "suites" / "mix", say=said.append)
    found = dict(read_samples(ready.data))
    assert [ready.set_of[line] for line in found] == ["lines"] * 5 + ["again"] * 4 + ["pages"] * 2 + ["drawn"] * 2
    assert all((ready.data.parent / sample.image_info[0].image_url).is_file() for sample in found.values())
    assert {sample.prompt for line, sample in found.items() if ready.set_of[line] == "lines"} == {"OCR:"}
    assert {json.loads(line)["meta"]["source"] for line in ready.data.read_text("utf-8").splitlines()} == set(
        suite.sets
    )
    assert any("rejected" in line for line in said)
    content, stamp = ready.data.read_bytes(), ready.data.stat().st_mtime_ns
    assert (
        suites.make_ready(suite, tmp_path, tmp_path / "suites" / "mix").data.read_bytes() == content
        and ready.data.stat().st_mtime_ns == stamp
    )
    assert (
        suite.sampling_of("lines", Sampling(100)).max_tokens,
        suite.sampling_of("pages", Sampling(100)).max_tokens,
    ) == (7, 100)


def test_a_set_without_rows_and_one_that_is_not_there(rows: Path, tmp_path: Path) -> None:
    for rule, kind in (({"data": "mine", "tasks": ["chart"]}, ProblemsFound), ({"data": "min"}, UsageError)):
        suite = suites.load(written(tmp_path, yaml.safe_dump({"name": "a", "sets": {"x": rule}})))
        with pytest.raises(kind):
            suites.make_ready(suite, tmp_path, tmp_path / "out")


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert (
        suites.find("smoke") == Path("eval/smoke.yaml")
        and suites.find("bengali") is None
        and suites.find("x/y.yaml") == Path("x/y.yaml")
    )
    assert "smoke" in suites.known()
    done = CliRunner().invoke(evaluate.eval, ["smok", "-o", str(tmp_path / "out")])
    assert isinstance(done.exception, UsageError) and done.exception.hint == "did you mean smoke ?"


def test_a_suite_is_asked_and_scored(
    rows: Path, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(rows.parent / f"{number}.png")
    rules = {
        "lines": {"data": "mine", "tasks": ["ocr"], "metrics": ["cer", "exact"], "seed": 3},
        "other": {"data": "mine", "tasks": ["ocr"], "limit": 2, "sampling": {"max_tokens": 9}},
    }
    path = written(tmp_path, yaml.safe_dump({"name": "two", "sampling": {"temperature": 0.0}, "sets": rules}))
    results = {}
    for name in ("base", "again"):
        done = CliRunner().invoke(
            evaluate.eval, [str(path), "--url", served.url, "--name", name, "--max-pixels", "1000000"]
        )
        assert done.exit_code == 0, done.exception
        results[name] = read_json(tmp_path / "runs" / "eval" / name / "results.json")
    found = results["base"]
    assert (found["suite"], found["name"], found["complete"], found["counts"]) == (
        "two",
        "base",
        True,
        {"in": 10, "scored": 10, "lost": 0},
    )
    assert (
        found["sets"]["lines"]["counts"]["in"] == 8
        and set(found["sets"]["lines"]["scores"]) == {"cer", "exact"}
        and "ned" in found["sets"]["other"]["scores"]
    )
    assert (
        found["sets"]["other"]["sampling"]["max_tokens"] == 9
        and found["sets"]["lines"]["sampling"]["max_tokens"] == 2048
    )
    assert found["pixels"] == {"min": None, "max": 1000000, "origin": "request"} and found["seeds"] == {
        "lines": 3,
        "other": 0,
    }
    assert (
        found["data"] == results["again"]["data"]
        and found["endpoint"]["known_by"] == "name"
        and found["workbench"]
        and found["metrics"]["teds"]["version"]
    )
    assert (tmp_path / "runs/eval/base/predictions.jsonl").read_bytes() == (
        tmp_path / "runs/eval/again/predictions.jsonl"
    ).read_bytes()
    assert "lines" in done.output
