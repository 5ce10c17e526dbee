"""Model directories, whole and broken in every way seen so far; the hubs are replaced by functions with their
signatures.
"""

from __future__ import annotations

import inspect
import json
import struct
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from sft.errors import EngineError, ProblemsFound, UsageError
from sft.models import verify
from sft.models.chat_template import chat_template
from sft.models.fetch import CHANGED, RECORD, fetch_model, present_or_fetch
from sft.models.verify import check_model, identify, require_model
from sft.models.versions import MODELS, RELEASED_FILES, ModelVersion

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REAL_SIGNATURE = inspect.signature(huggingface_hub.snapshot_download)
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 1917255968\n"


def safetensors(path: Path, *, size: int = 64, claimed: int | None = None) -> None:
    header = json.dumps(
        {"weight": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, claimed or size]}}
    ).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))


def build(directory: Path, version: ModelVersion) -> Path:
    """A release as the hub has it, with one tiny tensor for weights."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in RELEASED_FILES:
        (directory / name).write_text("{}", "utf-8")
    limits = {"min_pixels": version.min_pixels or 1000, "max_pixels": version.max_pixels or 2000}
    (directory / "preprocessor_config.json").write_text(json.dumps(limits), "utf-8")
    (directory / "chat_template.jinja").write_text(chat_template(version), "utf-8")
    (directory / "inference.yml").write_text(f"Global:\n  model_name: {version.served_name}\n", "utf-8")
    safetensors(directory / "model.safetensors")
    return directory


@pytest.fixture(params=list(MODELS))
def version(request: pytest.FixtureRequest) -> ModelVersion:
    return MODELS[request.param]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return build(tmp_path / "model", MODELS["0.9B"])


def only(problems: list[str]) -> str:
    assert len(problems) == 1, problems
    return problems[0]


def test_complete_release(tmp_path: Path, version: ModelVersion) -> None:
    directory = build(tmp_path, version)
    assert check_model(directory, version) == []
    assert check_model(directory, None) == []
    assert identify(directory) == version


@pytest.mark.parametrize("name", RELEASED_FILES)
def test_missing_file(model: Path, name: str) -> None:
    (model / name).unlink()
    assert only(check_model(model, MODELS["0.9B"])) == f"{name} is missing"


@pytest.mark.parametrize("name", [*RELEASED_FILES, "model.safetensors"])
def test_lfs_pointer(model: Path, name: str) -> None:
    (model / name).write_text(POINTER, "utf-8")
    assert only(check_model(model, MODELS["0.9B"])).startswith(f"{name} is a git-LFS pointer")


def test_no_directory(tmp_path: Path) -> None:
    assert "no directory" in only(check_model(tmp_path / "nothing", None))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),  # the last byte of the last tensor
        lambda path: path.write_bytes(path.read_bytes()[:40]),  # within the header
        lambda path: path.write_bytes(b"1234567"),
        lambda path: path.write_bytes(struct.pack("<Q", 2**40) + bytes(64)),  # a header longer than the file
        lambda path: path.write_bytes(struct.pack("<Q", 8) + b"not json" + bytes(64)),
        lambda path: safetensors(path, claimed=10_000),  # offsets beyond the file
    ],
)
def test_broken_safetensors(model: Path, spoil: Callable[[Path], Any]) -> None:
    spoil(model / "model.safetensors")
    assert only(check_model(model, MODELS["0.9B"])).startswith("model.safetensors: not a complete safetensors file")


def test_shards_of_the_index_must_exist(model: Path) -> None:
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    assert (
        only(check_model(model, None))
        == "model.safetensors.index.json names model-00002-of-00002.safetensors, which is missing"
    )
    safetensors(model / "model-00002-of-00002.safetensors")
    assert check_model(model, None) == []
    (model / "model.safetensors.index.json").write_text("[]", "utf-8")
    assert "no weight_map" in only(check_model(model, None))


def test_pickles_are_no_weights(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert (
        only(check_model(model, None))
        == "no *.safetensors; pytorch_model.bin would run code when loaded and is not used"
    )


def test_wrong_version_is_said_in_all_three_places(model: Path) -> None:
    problems = check_model(model, MODELS["1.5"])
    assert [problem.split()[0] for problem in problems] == [
        "inference.yml",
        "chat_template.jinja",
        *["preprocessor_config.json"] * 2,
    ]
    assert "'\\nAssistant: '" in problems[1] and "'\\nAssistant:\\n'" in problems[1]
    with pytest.raises(ProblemsFound) as caught:
        require_model(model, MODELS["1.5"])
    assert all(problem in caught.value.message for problem in problems)


def test_template_of_another_version(model: Path) -> None:
    (model / "chat_template.jinja").write_text(chat_template(MODELS["1.5"]), "utf-8")
    assert only(check_model(model, MODELS["0.9B"])).startswith("chat_template.jinja ends the prompt with")


def test_last_ending_of_a_template_counts(model: Path) -> None:
    """Answers of earlier turns may be written one way, the prompt for the next answer another."""
    text = chat_template(MODELS["0.9B"])
    (model / "chat_template.jinja").write_text(text + "{# #}{{- 'Assistant:\\n' -}}", "utf-8")
    assert only(check_model(model, MODELS["0.9B"])).startswith(
        "chat_template.jinja ends the prompt with '\\nAssistant:\\n'"
    )


@pytest.mark.parametrize(("name", "text"), [("inference.yml", "Hpi: {}\n"), ("chat_template.jinja", "{{ messages }}")])
def test_files_that_name_no_version(model: Path, name: str, text: str) -> None:
    (model / name).write_text(text, "utf-8")
    assert only(check_model(model, MODELS["0.9B"])).startswith(name)


def test_nothing_of_the_directory_is_run_or_read_without_bound(model: Path) -> None:
    (model / "inference.yml").write_text(f"Global: !!python/object/apply:os.mkdir [{model / 'made'}]\n", "utf-8")
    assert "inference.yml cannot be read as a table of names and values" in check_model(model, None)
    assert not (model / "made").exists()
    (model / "config.json").write_text("{" + " " * verify.MAX_CONFIG_BYTES + "}", "utf-8")
    assert "config.json cannot be read as a table of names and values" in check_model(model, None)


def test_identify_without_inference_yml(tmp_path: Path, version: ModelVersion) -> None:
    """The template tells 0.9B from the others, the pixel limits 1.5; the limits of 1.6 are not recorded, so nothing is
    claimed.
    """
    directory = build(tmp_path, version)
    (directory / "inference.yml").unlink()
    assert identify(directory) == (None if version.name == "1.6" else version)


@pytest.mark.parametrize("low, high", [("min_pixels", "max_pixels"), ("shortest_edge", "longest_edge")])
def test_limits_under_size_are_compared_with_the_record(model: Path, low: str, high: str) -> None:
    version = MODELS["0.9B"]
    path = model / "preprocessor_config.json"
    path.write_text(json.dumps({"size": {low: version.min_pixels, high: version.max_pixels}}), "utf-8")
    assert check_model(model, version) == []
    path.write_text(json.dumps({"size": {low: version.min_pixels, high: 1_003_520}}), "utf-8")
    assert check_model(model, version) == [
        "preprocessor_config.json has max_pixels 1003520, 0.9B has 2822400",
    ]


def test_identify_what_is_none_of_them(tmp_path: Path, model: Path) -> None:
    assert identify(tmp_path / "nothing") is None
    (model / "inference.yml").write_text("Global:\n  model_name: Other-VL\n", "utf-8")
    assert identify(model) is None


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A Hugging Face hub with all versions; returns the calls of snapshot_download, as its real signature understands
    them.
    """
    calls: list[dict[str, Any]] = []

    def snapshot_download(*args: Any, **options: Any) -> str:
        call = REAL_SIGNATURE.bind(*args, **options).arguments
        calls.append(call)
        directory = Path(call["local_dir"])
        build(directory, next(version for version in MODELS.values() if version.hub_id == call["repo_id"]))
        (directory / ".cache" / "huggingface").mkdir(parents=True, exist_ok=True)
        (directory / ".cache" / "huggingface" / "note").write_text("of the library")
        return str(directory)

    def model_info(self: Any, repo_id: str, *, revision: str | None = None) -> Any:
        return types.SimpleNamespace(sha=COMMIT)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    return calls


def test_fetch_resolves_and_records(hub: list[dict[str, Any]], tmp_path: Path) -> None:
    out = fetch_model("0.9b", tmp_path / "m")
    assert out == tmp_path / "m"
    assert (hub[0]["repo_id"], hub[0]["revision"], "*.bin" in hub[0]["ignore_patterns"]) == (
        "PaddlePaddle/PaddleOCR-VL",
        COMMIT,
        True,
    )
    record = json.loads((out / RECORD).read_text("utf-8"))
    assert (record["hub_id"], record["source"], record["asked"], record["revision"]) == (
        "PaddlePaddle/PaddleOCR-VL",
        "huggingface",
        "main",
        COMMIT,
    )
    assert set(record["files"]) == {*RELEASED_FILES, "model.safetensors"}
    assert record["files"]["config.json"] == {
        "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "bytes": 2,
    }


def test_second_fetch_needs_no_hub(hub: list[dict[str, Any]], tmp_path: Path) -> None:
    for revision in (None, None, "main", COMMIT):
        fetch_model("0.9B", tmp_path, revision=revision)
    assert len(hub) == 1
    fetch_model("0.9B", tmp_path, revision="v2")
    assert len(hub) == 2
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    fetch_model("0.9B", tmp_path)
    assert len(hub) == 3
    fetch_model("1.5", tmp_path)
    assert len(hub) == 4
    assert json.loads((tmp_path / RECORD).read_text("utf-8"))["hub_id"] == MODELS["1.5"].hub_id


def test_broken_download_is_not_recorded(
    hub: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_version(*args: Any, **options: Any) -> str:
        return str(build(Path(options["local_dir"]), MODELS["1.6"]))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", other_version)
    with pytest.raises(ProblemsFound, match="inference.yml says PaddleOCR-VL-1.6-0.9B"):
        fetch_model("0.9B", tmp_path)
    assert not (tmp_path / RECORD).exists()


def test_hub_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> Any:
        raise huggingface_hub.errors.OfflineModeIsEnabled("Cannot reach the hub\nand a long story")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", offline)
    with pytest.raises(EngineError, match="Cannot reach the hub\n\nhint") as caught:
        fetch_model("1.5", tmp_path)
    assert caught.value.hint and "modelscope" in caught.value.hint


def test_modelscope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str]] = []

    def snapshot_download(
        model_id: str,
        revision: str | None = None,
        cache_dir: str | None = None,
        *,
        local_dir: str,
        ignore_patterns: list[str] | None = None,
    ) -> str:
        calls.append((model_id, str(revision)))
        return str(build(Path(local_dir), MODELS["1.6"]))

    fake = types.ModuleType("modelscope")
    fake.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "modelscope", fake)
    fetch_model("1.6", tmp_path, source="modelscope")
    assert calls == [("PaddlePaddle/PaddleOCR-VL-1.6", "master")]
    assert json.loads((tmp_path / RECORD).read_text("utf-8"))["source"] == "modelscope"


def test_modelscope_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modelscope", None)  # makes the import fail
    with pytest.raises(UsageError) as caught:
        fetch_model("0.9B", tmp_path, source="modelscope")
    assert caught.value.hint == "pip install modelscope"


def test_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model version"):
        fetch_model("2.0", tmp_path)
    with pytest.raises(UsageError, match="no source"):
        fetch_model("0.9B", tmp_path, source="ftp")  # type: ignore[arg-type]


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> Any:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", offline)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)


def test_what_is_there_is_taken_without_a_network(
    hub: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: ModelVersion
) -> None:
    out = tmp_path / "m"
    assert present_or_fetch(version, out) == out
    assert len(hub) == 1
    no_network(monkeypatch)
    assert present_or_fetch(version, out) == out
    record = json.loads((out / RECORD).read_text("utf-8"))
    (out / RECORD).write_text(json.dumps({**record, "source": "modelscope"}), "utf-8")
    assert present_or_fetch(version, out) == out, "the other hub's copy is as good"


def test_failed_download_is_continued_not_used(hub: list[dict[str, Any]], tmp_path: Path) -> None:
    build(tmp_path, MODELS["0.9B"])  # looks whole, but nothing says that it is
    present_or_fetch(MODELS["0.9B"], tmp_path)
    assert len(hub) == 1 and (tmp_path / RECORD).is_file()


@pytest.mark.parametrize(
    "record", ["{", "[]", "{}", '{"files": {}}', '{"hub_id": "PaddlePaddle/PaddleOCR-VL", "files": {"config.json": 3}}']
)
def test_record_that_says_nothing_is_none(hub: list[dict[str, Any]], tmp_path: Path, record: str) -> None:
    (build(tmp_path, MODELS["0.9B"]) / RECORD).write_text(record, "utf-8")
    present_or_fetch(MODELS["0.9B"], tmp_path)
    assert len(hub) == 1


def test_changed_or_missing_file_is_fetched_again(hub: list[dict[str, Any]], tmp_path: Path) -> None:
    present_or_fetch(MODELS["0.9B"], tmp_path)
    weights = tmp_path / "model.safetensors"
    right = weights.read_bytes()
    weights.write_bytes(right[:-1] + b"x")  # the size is right, so only the hash tells
    present_or_fetch(MODELS["0.9B"], tmp_path)
    assert len(hub) == 2 and weights.read_bytes() == right
    assert hub[1]["revision"] == COMMIT
    assert (tmp_path / CHANGED / "model.safetensors").read_bytes() == right[:-1] + b"x"
    (tmp_path / "config.json").unlink()
    present_or_fetch(MODELS["0.9B"], tmp_path)
    assert len(hub) == 3
    present_or_fetch(MODELS["0.9B"], tmp_path)
    assert len(hub) == 3
    present_or_fetch(MODELS["1.5"], tmp_path)  # another version is another model
    assert len(hub) == 4


def test_without_a_network_the_ways_out_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: ModelVersion
) -> None:
    no_network(monkeypatch)
    out = build(tmp_path / "my models", version)
    with pytest.raises(EngineError) as caught:
        present_or_fetch(version, out)
    hint = caught.value.hint or ""
    assert "run the same command to resume" in hint
    name, command = version.hub_id.rpartition("/")[2], f"-o '{out}'"
    assert f"`sft fetch-model {name} --from modelscope {command}`" in hint
    assert not (out / RECORD).exists()


def test_fetched_model_is_proved(hub: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *_, **options: build(options["local_dir"], MODELS["1.6"])
    )
    with pytest.raises(ProblemsFound, match="inference.yml says"):
        present_or_fetch(MODELS["0.9B"], tmp_path)
    assert not (tmp_path / RECORD).exists()
