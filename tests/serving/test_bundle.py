"""A folder to deploy: golden files for three cards, and what PaddleX, a shell and a stranger's directory make of it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import paddlex_functions
import pytest
import yaml
from click.testing import CliRunner, Result
from places import TESTS

from sft.cli import sft as command
from sft.errors import ProblemsFound, UsageError
from sft.files.atomic import read_json, sha256, write_json
from sft.models import exporter, verify, versions
from sft.models.tiny import SPECIAL_TOKENS
from sft.runtime.gpus import GPU_CARDS, gpu_card
from sft.serving.bundle import BundleOptions, model_files, write_bundle

GOLDEN = TESTS / "golden" / "bundle"
CARDS = ("rtx5060", "rtx5090", "h100")
VERSION = versions.MODELS["0.9B"]
TEXTS = ("README.md", "compose.yaml", "vlm_server_config.yaml", "pipeline_config_vllm.yaml", ".env")
SHELL = ("images.sh", "smoke.sh")


def model_of(base: Path, name: str) -> Path:
    """The directory as an export of this version."""
    version = versions.MODELS[name]
    exporter.server_files(base, version, pixels=(112896, 1003520), eos_token_id=SPECIAL_TOKENS.index(versions.EOS))
    return base


def bundled(model: Path, out: Path, *, name: str = "0.9B", card: str = "rtx5060", **more: Any) -> Path:
    write_bundle(model, versions.MODELS[name], out, BundleOptions(gpu_card(card), **more))
    return out


@pytest.mark.parametrize("card", CARDS)
def test_golden(base_model: Path, tmp_path: Path, card: str) -> None:
    out = bundled(base_model, tmp_path / "out", card=card)
    for name in (*TEXTS, *SHELL, "images.ps1", "smoke.ps1"):  # the scripts are the same for all cards
        golden = GOLDEN / (card if name in TEXTS else "scripts") / name.lstrip(".")
        text = (out / name).read_text("utf-8")
        if os.environ.get("SFT_BLESS"):
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_text(text, "utf-8")
        assert golden.read_text("utf-8") == text, f"{golden} differs; if that is meant, run scripts/bless"


@pytest.mark.parametrize("name", list(versions.MODELS))
def test_the_pipeline_is_that_of_paddlex(base_model: Path, tmp_path: Path, name: str) -> None:
    out = bundled(model_of(base_model, name), tmp_path / "out", name=name)
    ours = yaml.safe_load((out / "pipeline_config_vllm.yaml").read_text("utf-8"))
    packaged = paddlex_functions.located(f"paddlex/configs/pipelines/{ours['pipeline_name']}.yaml")
    theirs = yaml.safe_load(packaged.read_text("utf-8"))
    served = ours["SubModules"]["VLRecognition"].pop("genai_config")
    native = theirs["SubModules"]["VLRecognition"].pop("genai_config")
    assert native == {"backend": "native"}
    assert served == {"backend": "vllm-server", "server_url": "http://paddleocr-vlm-server:8080/v1"}
    assert ours == theirs
    assert ours["SubModules"]["VLRecognition"]["model_name"] == versions.MODELS[name].served_name


def test_vllm_gets_each_flag_once(base_model: Path, tmp_path: Path) -> None:
    """Through PaddleX's own functions, over its own default settings."""
    out = bundled(base_model, tmp_path / "out")
    own = yaml.safe_load((out / "vlm_server_config.yaml").read_text("utf-8"))
    names = ("update_backend_config", "backend_config_to_args")
    functions = paddlex_functions.some_of("paddlex/inference/genai/configs/utils.py", names, {})
    settings = default_settings()
    functions["update_backend_config"](settings, own)
    flags = functions["backend_config_to_args"](settings)
    given = [word for word in flags if word.startswith("--")]
    assert len(given) == len(set(given))
    assert flags[flags.index("--gpu-memory-utilization") + 1] == "0.65"
    assert flags[flags.index("--max-num-batched-tokens") + 1] == "16384"
    assert not [value for value in own.values() if isinstance(value, (bool, dict, list))]


def default_settings() -> dict[str, Any]:
    """What PaddleX starts vLLM with on an NVIDIA card: the last table of `get_config` for that backend."""
    source = paddlex_functions.located("paddlex/inference/genai/configs/paddleocr_vl_09b.py").read_text("utf-8")
    tables = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Dict)]
    values = [ast.literal_eval(table) for table in tables if all(isinstance(key, ast.Constant) for key in table.keys)]
    (chosen,) = (value for value in values if value.get("max-num-batched-tokens") == 131072)
    assert isinstance(chosen, dict)
    return chosen


def test_the_api_knows_what_is_sent(base_model: Path, tmp_path: Path) -> None:
    out = bundled(base_model, tmp_path / "out")
    sent = read_json(out / "smoke.json")
    fields = set()
    for name in ("paddleocr_vl", "shared/ocr"):
        path = paddlex_functions.located(f"paddlex/inference/serving/schemas/{name}.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                fields.add(node.target.id)
    assert sent.keys() <= fields
    assert (sent["minPixels"], sent["maxPixels"]) == (147384, 2822400), "the limits of the training"


def test_compose_refers_to_what_is_there(base_model: Path, tmp_path: Path) -> None:
    out = bundled(base_model, tmp_path / "out", listen="0.0.0.0", api_port=9000, gpu_id=1)
    text = (out / "compose.yaml").read_text("utf-8")
    settings = dict(line.split("=", 1) for line in (out / ".env").read_text().splitlines() if not line.startswith("#"))
    named = {part.split("}")[0] for part in text.split("${")[1:]}
    assert named == settings.keys()
    assert settings["LISTEN"] == "0.0.0.0" and settings["API_PORT"] == "9000" and settings["GPU_ID"] == "1"
    services = yaml.safe_load(text)["services"]
    for service in services.values():
        for volume in service["volumes"]:
            source, _, access = volume.split(":")
            assert source.startswith("./") and (out / source).exists() and access == "ro"
        assert service["healthcheck"]["test"][0] == "CMD-SHELL"
    api = services["paddleocr-vl-api"]
    assert api["depends_on"].keys() <= services.keys()
    words = services["paddleocr-vlm-server"]["command"]
    assert words[words.index("--model_name") + 1] == VERSION.served_name
    assert all(isinstance(word, str) for word in words), "compose refuses numbers in a command"


@pytest.mark.parametrize(
    ("card", "offline", "tag"),
    [
        ("rtx5060", True, "latest-nvidia-gpu-sm120-offline"),
        ("b200", False, "latest-nvidia-gpu-sm120"),
        ("h100", True, "latest-nvidia-gpu-offline"),
        ("l4", False, "latest-nvidia-gpu"),
    ],
)
def test_images_by_architecture(base_model: Path, tmp_path: Path, card: str, offline: bool, tag: str) -> None:
    out = bundled(base_model, tmp_path / "out", card=card, offline=offline)
    assert (out / ".env").read_text().count(f"IMAGE_TAG_SUFFIX={tag}\n") == 2


def test_the_model_is_copied_and_proven(base_model: Path, tmp_path: Path) -> None:
    (base_model / ".cache").mkdir()
    out = bundled(base_model, tmp_path / "out")
    manifest = read_json(out / "bundle.json")
    copied = {path.name: sha256(path) for path in (out / "model").iterdir()}
    assert manifest["files"] == copied
    assert copied == {path.name: sha256(path) for path in base_model.iterdir() if path.is_file()}


def test_a_file_that_changed_since_the_export(base_model: Path, tmp_path: Path) -> None:
    hashes = {path.name: sha256(path) for path in base_model.iterdir()}
    write_json(base_model / verify.MANIFEST, {"files": hashes | {"config.json": "0" * 64}})
    with pytest.raises(ProblemsFound, match="changed since it was exported"):
        bundled(base_model, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


def test_links_lead_to_blobs_only(base_model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "hub"
    snapshot = cache / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    (cache / "blobs" / "1").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/1")
    assert [path.name for path in model_files(snapshot)] == ["config.json"]
    (tmp_path / "secret").write_text("key")
    (base_model / "README.md").symlink_to(tmp_path / "secret")
    with pytest.raises(ProblemsFound, match="leads out of the model directory"):
        bundled(base_model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_cards() -> None:
    for name, card in GPU_CARDS.items():
        assert gpu_card(card.title) == card, name
    with pytest.raises(UsageError) as raised:
        gpu_card("rtx5061")
    assert "did you mean 506" in str(raised.value.hint)


def invoke(*words: object) -> Result:
    return CliRunner().invoke(command, ["bundle", *map(str, words)])


def test_the_command(base_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = invoke(base_model, "-o", out, "--gpu", "RTX 5060")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(out)
    assert "every request has to say minPixels 147384" in " ".join(done.stderr.split())
    again = invoke(base_model, "-o", out, "--gpu", "rtx5060")
    assert isinstance(again.exception, UsageError) and "already exists" in again.exception.message
    shown = invoke(model_of(base_model, "0.9B"), "-o", tmp_path / "two", "--gpu", "h100", "--json")
    assert json.loads(shown.stdout)["images"] == "latest-nvidia-gpu-offline"
    assert "minPixels" not in shown.stderr, "the pipeline's own limits"


@pytest.mark.parametrize("card", ["t4", "v100"])
def test_a_card_without_bfloat16(base_model: Path, tmp_path: Path, card: str) -> None:
    done = invoke(base_model, "-o", tmp_path / "out", "--gpu", card)
    assert isinstance(done.exception, UsageError) and "serving in bf16 needs 8.0" in done.exception.message
    assert not (tmp_path / "out").exists()


# ---- The scripts, run by a shell with a scripted curl and docker in front

CURL = """#!/bin/sh
for last; do :; done
case $last in
*:8118/health|*:8080/health) [ "$FAULT" = down ] && exit 22; exit 0 ;;
*/v1/models) [ "$FAULT" = other ] && echo '{"data":[{"id":"Qwen"}]}' || echo '{"data":[{"id":"PaddleOCR-VL-0.9B"}]}' ;;
*/layout-parsing)
  [ -f smoke.json ] || exit 26
  [ "$FAULT" = refused ] && exit 22
  [ "$FAULT" = error ] && echo '{"errorCode":500,"errorMsg":"no"}' || echo '{"logId":"1","errorCode":0,"result":{}}' ;;
*) echo "unknown address $last" >&2; exit 3 ;;
esac
"""
DOCKER = """#!/bin/sh
echo "$*" >>calls
case "$*" in
"compose config --images") printf 'b:1\\na:1\\nb:1\\n' ;;
save*) echo layers >"$3" ;;
load*) [ -f "$3" ] ;;
esac
"""


def shell(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """With `curl` and `docker` as above."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name, text in (("curl", CURL), ("docker", DOCKER)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", *words], cwd="/", capture_output=True, text=True, check=False, env={"PATH": path, **environment}
    )


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("down", "does not answer on port 8118"),
        ("other", "does not serve PaddleOCR-VL-0.9B"),
        ("refused", "the API refuses a picture"),
        ("error", "answers with an error"),
    ],
)
def test_smoke_names_the_fault(base_model: Path, tmp_path: Path, fault: str, said: str) -> None:
    out = bundled(base_model, tmp_path / "out")
    done = shell(out, str(out / "smoke.sh"), FAULT=fault)
    assert done.returncode == 3 and said in done.stderr and "hint:" in done.stderr


def test_smoke_passes(base_model: Path, tmp_path: Path) -> None:
    out = bundled(base_model, tmp_path / "out")
    done = shell(out, str(out / "smoke.sh"))
    assert done.returncode == 0, done.stderr
    assert "one picture was read" in done.stdout


def test_images_are_saved_and_loaded(base_model: Path, tmp_path: Path) -> None:
    out = bundled(base_model, tmp_path / "out")
    script = str(out / "images.sh")
    assert shell(out, script).returncode == 2
    early = shell(out, script, "load")
    assert early.returncode == 2 and "images.sh save" in early.stderr
    assert shell(out, script, "save").returncode == 0
    assert (out / "images.tar").read_text() == "layers\n" and not (out / "images.tar.part").exists()
    assert shell(out, script, "load").returncode == 0
    assert (out / "calls").read_text().splitlines() == [
        "compose pull",
        "compose config --images",
        "save -o images.tar.part a:1 b:1",
        "load -i images.tar",
    ]
