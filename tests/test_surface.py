"""The surface: what people, scripts and files made by earlier versions rely on, in one golden file.

    tests/golden/surface.json     commands and their options, exit codes, reason codes, tables and metrics, the keys of
    every file

Wording (help, messages, definitions) and annotations are no part of it. `scripts/bless` writes the file anew after a
change that is meant; `git diff tests/golden/surface.json` then belongs into the changelog.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
import os
import shutil
from collections.abc import Callable
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from conftest import TENSORS, VERSION, write_safetensors
from eval_server import Served
from PIL import Image
from places import TESTS

from sft import errors
from sft.cli import VERBS
from sft.cli import sft as command
from sft.formats import ALIASES, FORMATS
from sft.formats import get as format_of
from sft.inference.client import LOST
from sft.markup import table
from sft.metrics import METRICS, function
from sft.models.exporter import export
from sft.models.versions import DEFAULT_MODEL, MODELS, TASK_OF
from sft.reasons import REASONS
from sft.training.engines import ENGINES

GOLDEN = TESTS / "golden" / "surface.json"
SOURCES = TESTS / "golden" / "formats"
TRUTHS = {
    "OCR:": "abc",
    "Table Recognition:": "<fcel>a<fcel>b<nl>",
    "Formula Recognition:": r"\[x^2\]",
    "Chart Recognition:": "year | a\n1990 | 5",
}
CONTEXT = click.Context(command, help_option_names=command.context_settings["help_option_names"])
ROWS = 12
ALIKE = 3  # so many tables may look alike before they are written as one


# ---- Comparing


def pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)


def compare(section: str, found: Any) -> None:
    """`found` against the golden file's section; where blessing is on, it is written first."""
    content: dict[str, Any] = json.loads(GOLDEN.read_text("utf-8")) if GOLDEN.exists() else {}
    if os.environ.get("SFT_BLESS"):
        content[section] = found
        GOLDEN.write_text(pretty(dict(sorted(content.items()))) + "\n", "utf-8")
    expected = pretty(content.get(section)).splitlines()
    lines = difflib.unified_diff(expected, pretty(found).splitlines(), "surface.json", "now", lineterm="", n=2)
    changed = "\n".join(lines)
    assert not changed, f"{section}: the surface has changed; if that is meant, run scripts/bless\n{changed}"


def keys(value: Any) -> Any:
    """The keys of nested tables, and the kinds of what stands there; entries of a list, and tables that look alike,
    are one.
    """
    if isinstance(value, dict):
        kinds = {name: keys(inner) for name, inner in value.items()}
        alike = different(list(kinds.values()))
        if len(kinds) > ALIKE and len(alike) == 1 and isinstance(alike[0], dict):
            return {"each of": list(kinds), "is": alike[0]}
        return kinds
    if isinstance(value, list):
        return [merged(different([keys(inner) for inner in value]))] if value else []
    return "null" if value is None else type(value).__name__


def merged(kinds: list[Any]) -> Any:
    """One kind for several: tables key by key, others side by side."""
    if all(isinstance(kind, dict) for kind in kinds):
        names = dict.fromkeys(name for kind in kinds for name in kind)
        return {name: merged(different([kind[name] for kind in kinds if name in kind])) for name in names}
    if len(kinds) == 1:
        return kinds[0]
    return " or ".join(sorted(kind if isinstance(kind, str) else json.dumps(kind) for kind in kinds))


def different(kinds: list[Any]) -> list[Any]:
    return [kind for place, kind in enumerate(kinds) if kind not in kinds[:place]]


# ---- The command line


def kind(parameter: click.Parameter) -> str:
    """A parameter's type with its choices or bounds."""
    info: dict[str, Any] = dict(parameter.type.to_info_dict())
    more = {name: info[name] for name in ("choices", "min", "max") if info.get(name) is not None}
    more |= {name: True for name in ("min_open", "max_open") if info.get(name)}
    return " ".join(
        [info["name"], *(f"{name}={list(value) if name == 'choices' else value}" for name, value in more.items())]
    )


def default(parameter: click.Parameter) -> Any:
    value = parameter.default
    if value is None or "UNSET" in repr(value):  # as newer versions of click say that there is none
        return False if getattr(parameter, "is_flag", False) and not parameter.secondary_opts else None
    return list(value) if isinstance(value, tuple) else value if isinstance(value, (str, int, float)) else str(value)


def described(parameter: click.Parameter) -> str:
    """Everything about one option or argument that a command line depends on, in a line."""
    called = sorted(parameter.opts + parameter.secondary_opts, key=lambda word: word.lstrip("-"))
    words = [
        *([parameter.make_metavar(CONTEXT)] if isinstance(parameter, click.Argument) else called),
        f"<{kind(parameter)}>",
    ]
    flags = {
        "required": parameter.required,
        "repeated": parameter.nargs != 1 or getattr(parameter, "multiple", False),
        "flag": getattr(parameter, "is_flag", False),
    }
    words += [name for name, there in flags.items() if there]
    words += [f"env={parameter.envvar}"] if parameter.envvar else []
    return " ".join([*words, f"default={json.dumps(default(parameter), ensure_ascii=False)}"])


def test_commands_and_options() -> None:
    """Arguments in their order, options by name; the names that functions give them are nobody's business."""
    found = {}
    for verb in VERBS:
        one = command.get_command(CONTEXT, verb)
        assert one is not None, verb
        arguments = [described(parameter) for parameter in one.params if isinstance(parameter, click.Argument)]
        options = [described(parameter) for parameter in one.params if not isinstance(parameter, click.Argument)]
        found[verb] = {"arguments": arguments, "options": sorted(options, key=lambda line: line.lstrip("-"))}
    top = sorted(described(parameter) for parameter in command.get_params(CONTEXT))
    compare("commands", {"options": top, "verbs": found})


def test_exit_codes() -> None:
    codes = {name: value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    kinds = [errors.SftError, errors.ProblemsFound, errors.UsageError, errors.EngineError]
    compare("exit_codes", {"codes": codes, "errors": {kind.__name__: kind.exit_code for kind in kinds}})


# ---- Names of things


def test_reason_codes() -> None:
    rows = {code: severity for code, (severity, _) in REASONS.items()}
    compare("reasons", {"rows": rows, "answers": sorted(LOST)})


def test_names_of_formats_engines_and_models() -> None:
    sources = {}
    for name in FORMATS:
        one = format_of(name)
        assert one.name == name
        module = f"sft.formats.{FORMATS[name]}"
        assert import_module(module).FORMATS[name] is one
        sources[name] = {"module": module, "tasks": [task.value for task in one.tasks], "columns": list(one.columns)}
    models = {}
    for name, version in MODELS.items():
        prompts = {task.value: prompt for task, prompt in version.prompts.items()}
        models[name] = {
            "hub_id": version.hub_id,
            "served_name": version.served_name,
            "pipeline_version": version.pipeline_version,
            "prompts": prompts,
            "prompt_end": version.prompt_end,
            "pixels": [version.min_pixels, version.max_pixels],
            "aliases": list(version.aliases),
            "engines": list(version.engines),
        }
    tasks = {prompt: task.value for prompt, task in TASK_OF.items()}
    compare(
        "names",
        {
            "formats": sources,
            "format_aliases": ALIASES,
            "engines": {name: engine.name for name, engine in ENGINES.items()},
            "models": models,
            "default_model": DEFAULT_MODEL,
            "tasks": tasks,
        },
    )


# ---- What programs import


def signature(function: Callable[..., Any]) -> str:
    """Names, kinds and defaults of the arguments; annotations are left out."""
    plain = inspect.signature(function)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in plain.parameters.values()]
    return str(plain.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def public(thing: Any) -> Any:
    """The signature of a function; of a class that, and its public members."""
    if not inspect.isclass(thing):
        return signature(thing)
    members: dict[str, str] = {"__init__": signature(thing)}
    for name in sorted(name for name in dir(thing) if not name.startswith("_")):
        member = inspect.getattr_static(thing, name)
        member = getattr(member, "__func__", member)
        members[name] = signature(member) if inspect.isfunction(member) else "attribute"
    return members


def test_tables() -> None:
    compare("sft.markup.table", {name: public(getattr(table, name)) for name in sorted(table.__all__)})


def test_metrics() -> None:
    found = {}
    for name, metric in METRICS.items():
        module, _, attribute = metric.function.rpartition(".")
        path = f"sft.metrics.{module}"
        measure = getattr(import_module(path), attribute)
        assert measure is function(name), name
        found[name] = {
            "name": metric.name,
            "version": metric.version,
            "task": metric.task,
            "higher_is_better": metric.higher_is_better,
            "corpus": metric.corpus,
            "settings": metric.settings,
            "takes": list(metric.takes),
            "signature": metric.signature,
            "function": f"{path}.{attribute}{signature(measure)}",
        }
    compare("sft.metrics", found)


def test_schemas() -> None:
    files = sorted((item for item in resources.files("sft.schema").iterdir() if item.name.endswith(".json")), key=str)
    compare("schemas", {item.name: hashlib.sha256(item.read_bytes()).hexdigest() for item in files})


# ---- The keys of files


def invoke(*words: object, codes: tuple[int, ...] = (0,)) -> Result:
    done = CliRunner().invoke(command, [str(word) for word in words])
    assert done.exit_code in codes, (words, done.output, done.exception)
    return done


def json_keys(path: Path) -> Any:
    return keys(json.loads(path.read_text("utf-8")))


def line_keys(path: Path) -> Any:
    return keys([json.loads(line) for line in path.read_text("utf-8").splitlines()])


def stdout_keys(*words: object, codes: tuple[int, ...] = (0,)) -> Any:
    return keys(json.loads(invoke(*words, "--json", codes=codes).stdout))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Three rows of each task with an image each, from two documents."""
    path = tmp_path / "rows.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for number in range(ROWS):
            Image.new("RGB", (60 + number, 40), (number * 20, 99, 7)).save(tmp_path / f"{number}.png")
            prompt = list(TRUTHS)[number % len(TRUTHS)]
            texts = [{"text": prompt, "tag": "mask"}, {"text": TRUTHS[prompt], "tag": "no_mask"}]
            images = [{"image_url": f"{number}.png", "matched_text_index": 0}]
            row = {"image_info": images, "text_info": texts, "meta": {"group": f"page {number % 6}"}}
            stream.write(json.dumps(row) + "\n")
    return path


def test_files_of_data(rows: Path, tmp_path: Path) -> None:
    found = {}
    source = tmp_path / "in.csv"
    source.write_text("image,text\n0.png,a\nnone.png,b\n", "utf-8")
    out = tmp_path / "out"
    found["convert"] = stdout_keys("convert", "csv", source, "-o", out / "c.jsonl", "--workers", 1)
    found["convert rows"] = line_keys(out / "c.jsonl")
    found["convert rejects"] = line_keys(out / "c.rejects.jsonl")
    found["convert --list"] = stdout_keys("convert", "--list")
    messages = out / "m.jsonl"
    invoke("convert", "erniekit", rows, "-o", messages, "--to", "messages", "--workers", 1)
    found["convert --to messages"] = line_keys(messages)
    bad = tmp_path / "bad.jsonl"
    bad.write_text(rows.read_text("utf-8") + "{broken\n", "utf-8")
    rejects = out / "rejects.jsonl"
    found["validate"] = stdout_keys("validate", bad, "--rejects", rejects, "--workers", 1, codes=(1,))
    found["validate rejects"] = line_keys(rejects)
    found["split"] = stdout_keys("split", rows, "-o", out / "split", "--test", "4", "--workers", 1)
    found["mix"] = stdout_keys("mix", rows, "-o", out / "mix.jsonl", "--workers", 1)
    found["dedupe"] = stdout_keys("dedupe", rows, "-o", out / "dedupe.jsonl", "--workers", 1)
    for path in sorted(out.rglob("*rejects.jsonl")):
        for reject in map(json.loads, path.read_text("utf-8").splitlines()):
            assert list(reject)[:4] == ["where", "code", "message", "raw"] and reject["code"] in REASONS, path
    found["stats"] = stdout_keys("stats", rows)
    found["synth"] = stdout_keys("synth", "text", "-n", 1, "-o", out / "s.jsonl", "--workers", 1)
    found["plan"] = stdout_keys("plan", "--samples", 1000, "--to-gpus", 2)
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.suffix in (".json", ".jsonl"))
    compare("files of data", {"names": names, "keys": found})


def test_files_of_an_evaluation(rows: Path, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `sft eval`, `sft compare` and `sft curve`; in a folder without a repository."""
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "runs" / "base"
    found = {
        "results.json": stdout_keys("eval", rows, "--url", served.url, "--name", "base", "-o", base, "--max-tokens", 64)
    }
    for name in ("predictions.jsonl", "answers.jsonl"):
        found[name] = line_keys(base / name)
    files = {"eval": sorted(path.name for path in base.iterdir())}
    for key in ("git", "workbench_git"):  # there, or not, as this checkout happens to be
        found["results.json"][key] = "null or a commit"
    tuned = tmp_path / "runs" / "s20"
    shutil.copytree(base, tuned)
    preds = [json.loads(line) for line in (base / "predictions.jsonl").read_text("utf-8").splitlines()]
    text = "".join(json.dumps({**pred, "pred": pred["ref"]}) + "\n" for pred in preds)
    (tuned / "predictions.jsonl").write_text(text, "utf-8")
    gate = tmp_path / "gate.yaml"
    gate.write_text("lost: {max: 0}\n", "utf-8")
    words = ("compare", f"base={base}", f"tuned={tuned}", "--gate", gate, "-o", tmp_path / "compare", "--workers", 1)
    found["compare.json"] = stdout_keys(*words, codes=(0, 1))
    files["compare"] = sorted(path.name for path in (tmp_path / "compare").iterdir())
    found["curve --json"] = stdout_keys("curve", tmp_path / "runs")
    found["curve.json"] = json_keys(tmp_path / "runs" / "curve" / "curve.json")
    files["curve"] = sorted(path.name for path in (tmp_path / "runs" / "curve").iterdir())
    found["metrics.csv"] = (tmp_path / "compare" / "metrics.csv").read_text("utf-8").splitlines()[0].split(",")
    compare("files of an evaluation", {"names": files, "keys": found})


def test_files_of_a_model_directory(base_model: Path, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    write_safetensors(tmp_path / "weights" / "model-00001-of-00001.safetensors", TENSORS, value=1.0)
    out = tmp_path / "out"
    manifest = export(tmp_path / "weights", base_model, out, VERSION, pixels=(3136, 9408), origin={"run": "r"})
    names = sorted(path.name for path in out.iterdir())
    compare("files of a model directory", {"names": names, "sft-export.json": keys(manifest)})


# ---- Does it see anything?


def test_a_change_is_seen_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SFT_BLESS", raising=False)
    changed = {"codes": dict(json.loads(GOLDEN.read_text("utf-8"))["exit_codes"]["codes"], EXIT_USAGE=64)}
    with pytest.raises(AssertionError, match=r'(?s)-  "EXIT_USAGE": 2.*\+  "EXIT_USAGE": 64'):
        compare("exit_codes", changed)
    rows = [{"a": 1, "b": [{"c": ""}]}, {"a": None, "b": []}]
    assert keys(rows) == [{"a": "int or null", "b": '[] or [{"c": "str"}]'}]
    alike = {name: {"x": number, "y": ""} for number, name in enumerate("abcd")}
    assert keys(alike) == {"each of": ["a", "b", "c", "d"], "is": {"x": "int", "y": "str"}}
