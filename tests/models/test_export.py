"""The exported directory: complete, proven, or not there at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import TENSORS, VERSION, write_safetensors
from remote_code import CODE, bring_code
from waiting import PATIENCE, cpu_limit, work_of

from sft.errors import EngineError, ProblemsFound, UsageError
from sft.files.atomic import read_json
from sft.models import chat_template, exporter, remote_code, verify, versions
from sft.models.safetensors import safetensors_header

PIXELS = (3136, 9408)


def trained(folder: Path, tensors: dict[str, list[int]], name: str = "model-00001-of-00001.safetensors") -> Path:
    folder.mkdir()
    write_safetensors(folder / name, tensors, value=1.0)
    return folder


def test_complete_directory(tmp_path: Path, base_model: Path) -> None:
    weights = trained(tmp_path / "weights", TENSORS)
    manifest = exporter.export(weights, base_model, tmp_path / "out", VERSION, pixels=PIXELS, origin={"run": "r"})
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} >= {*versions.SERVED_FILES, verify.MANIFEST}
    assert not list(out.glob("*.index.json")) and not list(out.glob("model-*"))
    assert read_json(out / "generation_config.json")["eos_token_id"] == 2
    assert "max_length" not in read_json(out / "generation_config.json")
    assert read_json(out / "tokenizer_config.json")["image_token"] == versions.IMAGE_TOKEN
    assert read_json(out / "tokenizer_config.json")["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert yaml.safe_load((out / "inference.yml").read_text())["Global"]["model_name"] == VERSION.served_name
    limits = read_json(out / "preprocessor_config.json")
    assert (limits["min_pixels"], limits["max_pixels"]) == PIXELS
    assert manifest["taken_from_base"] == [] and manifest["run"] == "r"
    assert set(safetensors_header(out / "model.safetensors")) == set(TENSORS)


def test_shards_are_joined_byte_for_byte(tmp_path: Path, base_model: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    names = list(TENSORS)
    shards = {"model-00001-of-00002.safetensors": names[:1], "model-00002-of-00002.safetensors": names[1:]}
    for file, inside in shards.items():
        write_safetensors(weights / file, {name: TENSORS[name] for name in inside}, value=1.0)
    body = bytearray((weights / "model-00002-of-00002.safetensors").read_bytes())
    body[-1] = 7  # a value to find again
    (weights / "model-00002-of-00002.safetensors").write_bytes(bytes(body))
    index = {"weight_map": {name: file for file, inside in shards.items() for name in inside}}
    (weights / "model.safetensors.index.json").write_text(json.dumps(index))
    exporter.export(weights, base_model, tmp_path / "out", VERSION, pixels=PIXELS, origin={})
    joined = (tmp_path / "out" / "model.safetensors").read_bytes()
    entry = safetensors_header(tmp_path / "out" / "model.safetensors")[names[2]]
    start = 8 + int.from_bytes(joined[:8], "little")
    assert joined[start + entry["data_offsets"][1] - 1] == 7


def test_never_trained_tensor_comes_from_the_base(tmp_path: Path, base_model: Path) -> None:
    kept = {name: shape for name, shape in TENSORS.items() if "packing_position" not in name}
    manifest = exporter.export(
        trained(tmp_path / "weights", kept), base_model, tmp_path / "out", VERSION, pixels=PIXELS, origin={}
    )
    assert manifest["taken_from_base"] == ["visual.vision_model.embeddings.packing_position_embedding.weight"]
    assert set(safetensors_header(tmp_path / "out" / "model.safetensors")) == set(TENSORS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lm_head.weight": None}, "lm_head.weight is missing"),
        ({"mlp_AR.linear_1.weight": [3, 2]}, "transposed"),
        ({"lm_head.weight": [4, 9]}, "is [4, 9], the base has [4, 8]"),
        ({"extra.weight": [1]}, "extra.weight is not in the base model"),
    ],
)
def test_foreign_weights_are_refused_and_nothing_is_left(
    tmp_path: Path, base_model: Path, change: dict[str, list[int] | None], said: str
) -> None:
    tensors = {name: shape for name, shape in {**TENSORS, **change}.items() if shape is not None}
    with pytest.raises(ProblemsFound) as caught:
        exporter.export(
            trained(tmp_path / "weights", tensors), base_model, tmp_path / "out", VERSION, pixels=PIXELS, origin={}
        )
    assert said in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "weights"]


def test_truncated_weights_are_refused(tmp_path: Path, base_model: Path) -> None:
    weights = trained(tmp_path / "weights", TENSORS)
    file = weights / "model-00001-of-00001.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ProblemsFound, match="not a complete safetensors file"):
        exporter.export(weights, base_model, tmp_path / "out", VERSION, pixels=PIXELS, origin={})
    assert not (tmp_path / "out").exists()


def test_existing_directory_is_not_touched(tmp_path: Path, base_model: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="already exists"):
        exporter.export(
            trained(tmp_path / "weights", TENSORS), base_model, tmp_path / "out", VERSION, pixels=PIXELS, origin={}
        )
    assert list((tmp_path / "out").iterdir()) == []


def test_full_disk_leaves_nothing(tmp_path: Path, base_model: Path) -> None:
    """The kernel refuses to write past a limit, as it does on a full disk."""
    write_safetensors(base_model / "model.safetensors", {**TENSORS, "lm_head.weight": [512, 512]})
    weights = trained(tmp_path / "weights", {**TENSORS, "lm_head.weight": [512, 512]})
    code = f"""
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
from sft.models import exporter, versions
from sft.errors import SftError
try:
    weights, base = Path({str(weights)!r}), Path({str(base_model)!r})
    exporter.export(
        weights, base, Path({str(tmp_path / "out")!r}), versions.MODELS["0.9B"], pixels={PIXELS}, origin={{}}
    )
except SftError as error:
    print(error)
    sys.exit(error.exit_code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == EngineError.exit_code, done.stderr
    assert "writing failed" in done.stdout and "hint:" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "weights"]


@pytest.mark.parametrize("name", versions.SERVED_FILES)
def test_prove_names_a_missing_file(tmp_path: Path, base_model: Path, name: str) -> None:
    (base_model / name).unlink()
    with pytest.raises(ProblemsFound, match=name.replace(".", r"\.")):
        verify.verify_served(base_model, VERSION)


def test_prove_finds_the_template_of_another_version(base_model: Path) -> None:
    verify.verify_served(base_model, VERSION)
    (base_model / "chat_template.jinja").write_text(chat_template.chat_template(versions.MODELS["1.5"]))
    with pytest.raises(ProblemsFound, match="training used"):
        verify.verify_served(base_model, VERSION)


def test_template_of_a_stranger_cannot_reach_out(base_model: Path) -> None:
    (base_model / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(ProblemsFound, match=r"chat_template\.jinja"):
        verify.verify_served(base_model, VERSION)


def test_prove_finds_a_missing_end_token(base_model: Path) -> None:
    (base_model / "generation_config.json").write_text('{"use_cache": true}')
    with pytest.raises(ProblemsFound, match="eos_token_id"):
        verify.verify_served(base_model, VERSION)


def test_fingerprint_follows_what_is_computed(base_model: Path) -> None:
    before = verify.fingerprint(base_model)
    (base_model / "README.md").write_text("note")
    assert verify.fingerprint(base_model) == before
    for name in ("chat_template.jinja", "generation_config.json", "config.json", "processor_config.json"):
        (base_model / name).write_text("other")
        assert verify.fingerprint(base_model) != before, name
        before = verify.fingerprint(base_model)


TABLES = ("generation_config.json", "tokenizer_config.json", "preprocessor_config.json", "config.json")


@pytest.mark.parametrize(
    "content", [b"[]", b"5", b"null", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000], ids=range(7)
)
@pytest.mark.parametrize("name", TABLES)
@cpu_limit(20)
def test_a_table_that_is_none_is_named(base_model: Path, tmp_path: Path, name: str, content: bytes) -> None:
    (base_model / name).write_bytes(content)
    with pytest.raises(ProblemsFound, match=r"not JSON|not a table") as caught:
        verify.verify_served(base_model, VERSION)
    assert caught.value.where == str(base_model / name)
    with pytest.raises(ProblemsFound, match=r"not JSON|not a table"):
        exporter.export(
            trained(tmp_path / "weights", TENSORS), base_model, tmp_path / "out", VERSION, pixels=PIXELS, origin={}
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "weights"]


def test_a_size_that_is_no_table_is_left_alone(base_model: Path) -> None:
    (base_model / "preprocessor_config.json").write_text('{"size": 5}')
    exporter.server_files(base_model, VERSION, pixels=PIXELS, eos_token_id=2)
    assert read_json(base_model / "preprocessor_config.json") == {
        "size": 5,
        "min_pixels": PIXELS[0],
        "max_pixels": PIXELS[1],
    }
    verify.verify_served(base_model, VERSION)


@pytest.mark.parametrize(
    "index",
    [
        "[]",
        "{}",
        '{"weight_map": []}',
        '{"weight_map": null}',
        '{"weight_map": {"a": 5}}',
        '{"weight_map": {"a": [[]]}}',
        '{"weight_map": {}}',
        '{"weight_map": {"a": "", "b": "..", "c": "\\u0000", "d": "\\ud800"}}',
        json.dumps({"weight_map": {"a": "n" * 5000}}),
    ],
    ids=range(9),
)
def test_an_index_that_names_no_files(base_model: Path, index: str) -> None:
    (base_model / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ProblemsFound, match=r"weight_map|not a table|no weights"):
        verify.weight_files(base_model)


ENDLESS = (
    "{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}{% endfor %}{% endfor %}{%"
    " endfor %}"
)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (ENDLESS, r"^.*chat_template\.jinja takes too long to render"),
        ("{{ 10**(10**10) }}", r"chat_template\.jinja takes too long to render"),
        ("{{ 'a' * 10**10 }}", r"cannot be rendered \(MemoryError"),
        ("{{ 'a' * 10**7 }}", "training used"),
        ("{{ 1 // 0 }}", "cannot be rendered .ZeroDivisionError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "cannot be rendered"),
        ("{{ " + "(" * 30_000 + "1" + ")" * 30_000 + " }}", "cannot be rendered"),
        ("{{ raise_exception('x') }}{{", "cannot be rendered"),
        ("{# " + "x" * verify.MAX_TEMPLATE_BYTES + " #}", "more than 65,536 bytes"),
    ],
    ids=range(9),
)
def test_template_of_a_stranger_cannot_hold_us_up(
    base_model: Path, monkeypatch: pytest.MonkeyPatch, template: str, said: str
) -> None:
    monkeypatch.setattr(verify, "TEMPLATE_SECONDS", 2)
    (base_model / "chat_template.jinja").write_text(template)
    with pytest.raises(ProblemsFound, match=said) as caught:
        verify.verify_served(base_model, VERSION)
    assert len(str(caught.value)) < 2000


def test_the_template_is_rendered_apart_from_the_users_folder(
    base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jinja2.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    took = work_of(lambda: verify.verify_served(base_model, VERSION))
    loading = [sys.executable, "-c", "import sft.models.exporter"]
    assert took < 10 * work_of(
        lambda: subprocess.run(loading, cwd=Path(exporter.__file__).parent.parent, check=True)
    )  # nothing heavy is loaded to render


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("name", [*exporter.FROM_BASE, "LICENSE", "tokenizer.model", "generation_config.json"])
def test_what_is_no_file_is_not_copied(base_model: Path, tmp_path: Path, name: str) -> None:
    weights = trained(tmp_path / "weights", TENSORS)
    (base_model / "LICENSES").mkdir()  # a folder is no harm
    (base_model / name).unlink(missing_ok=True)
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        make(base_model / name)
        with pytest.raises(ProblemsFound, match=r"lacks|a pipe or a device") as caught:
            exporter.export(weights, base_model, tmp_path / "out", VERSION, pixels=PIXELS, origin={})
        assert name in str(caught.value)
        (base_model / name).unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "weights"]


def exported(tmp_path: Path, base: Path) -> Path:
    """An export of the base's own shapes."""
    out = tmp_path / "out"
    exporter.export(trained(tmp_path / "weights", TENSORS), base, out, VERSION, pixels=PIXELS, origin={})
    return out


@pytest.mark.parametrize("newer", [False, True], ids=["image_processing.py", "image_processing_paddleocr_vl.py"])
def test_the_code_of_a_release_comes_along(tmp_path: Path, base_model: Path, newer: bool) -> None:
    """Every file that an auto_map names, and the entry that Transformers below 5 takes the processor from."""
    bring_code(base_model, newer=newer)
    wanted = {**read_json(base_model / "processor_config.json"), "more": [1]}
    (base_model / "processor_config.json").write_text(json.dumps(wanted))
    out = exported(tmp_path, base_model)
    assert read_json(out / "processor_config.json") == wanted
    modules = {path.name for path in base_model.glob("*.py")}
    assert len(modules) == 3 and {path.name for path in out.glob("*.py")} == modules
    for name, auto_map in json.loads((CODE / "auto_maps.json").read_text()).items():
        for loader, reference in auto_map.items():
            found = read_json(out / name)["auto_map"][loader]
            module, class_name = found.split(".")
            assert class_name == reference.split(".")[1]
            assert f"class {class_name}(" in (out / f"{module}.py").read_text()
    assert remote_code.code_files(out) == sorted(modules)


@pytest.mark.parametrize("table", ["preprocessor_config.json", "tokenizer_config.json", "config.json"])
def test_the_processor_stands_where_it_is_looked_for_first(tmp_path: Path, base_model: Path, table: str) -> None:
    """A base whose processor_config.json is missing or silent: Transformers looks no further than the one we write."""
    bring_code(base_model)
    entry = read_json(base_model / "processor_config.json")["auto_map"]
    (base_model / "processor_config.json").unlink()
    maps = {**read_json(base_model / table).get("auto_map", {}), **entry}
    (base_model / table).write_text(json.dumps({**read_json(base_model / table), "auto_map": maps}))
    out = exported(tmp_path, base_model)
    assert read_json(out / "processor_config.json") == {"processor_class": remote_code.PROCESSOR, "auto_map": entry}
    (out / "processor_config.json").write_text(json.dumps({"processor_class": remote_code.PROCESSOR}))
    with pytest.raises(ProblemsFound, match="would load the bare tokenizer"):
        verify.verify_served(out, VERSION)


def test_a_tokenizer_may_name_a_list(base_model: Path) -> None:
    bring_code(base_model)
    (base_model / "tokenization_x.py").write_text("class Slow:\n    pass\n")
    table = {
        **read_json(base_model / "tokenizer_config.json"),
        "auto_map": {"AutoTokenizer": ["tokenization_x.Slow", None]},
    }
    (base_model / "tokenizer_config.json").write_text(json.dumps(table))
    assert "tokenization_x.py" in remote_code.code_files(base_model)
    verify.verify_served(base_model, VERSION)
    before = verify.fingerprint(base_model)
    (base_model / "tokenization_x.py").write_text("class Slow(int):\n    pass\n")
    assert verify.fingerprint(base_model) != before
    (base_model / "tokenization_x.py").unlink()
    with pytest.raises(ProblemsFound, match=r"tokenization_x\.py is missing .* tokenizer_config\.json names it"):
        verify.verify_served(base_model, VERSION)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("image_processing.py", None, r"image_processing\.py is missing"),
        ("configuration_paddleocr_vl.py", None, r"configuration_paddleocr_vl\.py is missing"),
        ("processing_paddleocr_vl.py", "class Other:\n", "has no class PaddleOCRVLProcessor"),
        ("processing_paddleocr_vl.py", "from .gone import X\nclass PaddleOCRVLProcessor:\n", r"gone\.py is missing"),
        ("processing_paddleocr_vl.py", "\udcff", "no readable text"),
        ("config.json", {"AutoConfig": "../../etc/passwd.X"}, "not module.Class"),
        ("config.json", {"AutoConfig": {"a": 1}}, "not module.Class"),
    ],
    ids=range(7),
)
def test_code_that_is_not_whole(tmp_path: Path, base_model: Path, name: str, text: object, said: str) -> None:
    bring_code(base_model)
    assert remote_code.faults(base_model) == []
    path = base_model / name
    if isinstance(text, dict):
        path.write_text(json.dumps({**read_json(path), "auto_map": text}))
    elif isinstance(text, str):
        path.write_bytes(text.encode(errors="surrogateescape"))
    else:
        path.unlink()
    with pytest.raises(ProblemsFound, match=said):
        verify.verify_served(base_model, VERSION)
    with pytest.raises(ProblemsFound, match=said):
        exported(tmp_path, base_model)
    assert any(remote_code.faults(base_model, complete=False))


def test_code_of_another_repository_is_not_copied(base_model: Path) -> None:
    table = {**read_json(base_model / "config.json"), "auto_map": {"AutoConfig": "owner/name--module.Class"}}
    (base_model / "config.json").write_text(json.dumps(table))
    assert remote_code.code_files(base_model) == []
    verify.verify_served(base_model, VERSION)


def test_limits_inside_the_processor_are_those_of_the_training(tmp_path: Path, base_model: Path) -> None:
    """Transformers 5 saves the image processor in processor_config.json too, and takes that one first."""
    nested = {"size": {"shortest_edge": 1, "longest_edge": 2}, "min_pixels": 1, "image_mean": [0.5]}
    table = {"processor_class": remote_code.PROCESSOR, "image_processor": nested}
    (base_model / "processor_config.json").write_text(json.dumps(table))
    found = read_json(exported(tmp_path, base_model) / "processor_config.json")["image_processor"]
    assert found == {
        "size": {"shortest_edge": PIXELS[0], "longest_edge": PIXELS[1]},
        "min_pixels": PIXELS[0],
        "image_mean": [0.5],
    }
