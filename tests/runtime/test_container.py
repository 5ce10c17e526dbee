"""The container's commands, word for word, and what Dockerfile.train and its pins say."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser
from places import ROOT

from sft.errors import UsageError
from sft.runtime.container import (
    Access,
    ContainerAccess,
    Gpu,
    build_command,
    choose_cuda,
    common_mounts,
    find_docker,
    find_gpus,
    image_name,
    link_targets,
    parse_gpus,
    run_command,
    serve_command,
    server_image,
    stop_command,
)

REGISTRY = "ccr-2vdh3abv-pub.cnc.bj.baidubce.com/paddlepaddle"
BASES = {
    "12.6": f"{REGISTRY}/paddle:3.2.0-gpu-cuda12.6-cudnn9.5",
    "12.9": f"{REGISTRY}/paddle:3.2.0-gpu-cuda12.9-cudnn9.9",
}
PINS = {
    "paddleformers": "0.3.2",
    "numpy": "1.26.4",
    "pyarrow": "22.0.0",
    "setuptools": "79.0.1",
    "multiprocess": "0.70.12.2",
    "tokenizers": "0.21.4",
    "opencv-python-headless": "4.11.0.86",
    "imgaug": "0.4.0",
    "triton": "3.3.0",
}
ALSO_NEEDED = {
    "tensorboard",
    "tensorboardX",
    "ujson",
    "einops",
    "decord",
    "moviepy",
    "GPUtil",
    "openai",
    "use-triton-in-paddle",
    "datasets",
}


def run(command: list[str] | None = None, **changes: Any) -> list[str]:
    """A typical `docker run`, with changes."""
    options: dict[str, Any] = {
        "workdir": Path("/data/runs/a"),
        "mounts": [(Path("/data/runs/a"), "rw"), (Path("/data/model"), "ro")],
        "env": {"CUDA_VISIBLE_DEVICES": "0", "PYTHONUNBUFFERED": "0"},
        "name": "sft-a",
        "user": (1000, 1001),
        "cuda": "12.6",
        **changes,
    }
    access = ContainerAccess(**{key: options.pop(key) for key in ("gpus", "network", "user") if key in options})
    command = command or ["erniekit", "train", "/data/runs/a/train.yaml"]
    return run_command(options.pop("cuda"), command, access=access, **options)


def test_run_command() -> None:
    assert run() == [
        "docker",
        "run",
        "--rm",
        "--init",
        "--name",
        "sft-a",
        "--gpus",
        "all",
        "--shm-size=16g",
        "--network=bridge",
        "--user",
        "1000:1001",
        "--workdir",
        "/data/runs/a",
        "--mount",
        "type=bind,source=/data/runs/a,target=/data/runs/a",
        "--mount",
        "type=bind,source=/data/model,target=/data/model,readonly",
        "--env",
        "HOME=/tmp",
        "--env",
        "USER=sft",
        "--env",
        "LC_ALL=C.UTF-8",
        "--env",
        "PYTHONUTF8=1",
        "--env",
        "PYTHONUNBUFFERED=0",
        "--env",
        "CUDA_VISIBLE_DEVICES=0",
        "paddleocr-vl-sft-trainer:cuda12.6",
        "erniekit",
        "train",
        "/data/runs/a/train.yaml",
    ]


def test_build_and_stop_command() -> None:
    assert build_command(Path("/repo"), "12.9") == [
        "docker",
        "build",
        "--file",
        "/repo/Dockerfile.train",
        "--build-arg",
        "CUDA=12.9",
        "--tag",
        "paddleocr-vl-sft-trainer:cuda12.9",
        "/repo",
    ]
    assert stop_command("sft-a") == ["docker", "stop", "-t", "40", "sft-a"]
    assert run(cuda="12.9")[-4] == image_name("12.9")


@pytest.mark.parametrize(
    ("gpus", "words"),
    [("all", ["--gpus", "all"]), ("0", ["--gpus", '"device=0"']), ("0,2", ["--gpus", '"device=0,2"']), ("none", [])],
)
def test_gpu_choice(gpus: str, words: list[str]) -> None:
    argv = run(gpus=gpus)
    start = argv.index("sft-a") + 1
    assert argv[start : argv.index("--shm-size=16g")] == words


def test_calling_user_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 7)
    monkeypatch.setattr("os.getgid", lambda: 8)
    assert "7:8" in run(user=None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mounts": [(Path("/data/a:b"), "ro"), (Path("/data"), "rw")]}, "colon"),
        ({"mounts": [(Path("/data/a,b"), "ro"), (Path("/data"), "rw")]}, "comma"),
        ({"mounts": [(Path('/data/a"b'), "ro"), (Path("/data"), "rw")]}, "quote"),
        ({"mounts": [(Path("data"), "rw")]}, "absolute"),
        ({"workdir": Path("runs/a")}, "absolute"),
        ({"workdir": Path("/elsewhere")}, "not inside a writable mount"),
        ({"workdir": Path("/data/model")}, "not inside a writable mount"),
        ({"gpus": "first"}, "gpus is 'first'"),
        ({"gpus": "0,"}, "gpus is '0,'"),
        ({"name": "-rm"}, "Docker container"),
        ({"env": {"A=B": "1"}}, "not the name of a variable"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        run(**changes)


def test_spaces_in_paths_are_fine() -> None:
    assert "type=bind,source=/data/my runs,target=/data/my runs" in run(
        workdir=Path("/data/my runs/a"), mounts=[(Path("/data/my runs"), "rw")]
    )


@pytest.mark.parametrize(
    ("capability", "cuda"), [((7, 5), "12.6"), ((8, 9), "12.6"), ((9, 0), "12.6"), ((10, 0), "12.9"), ((12, 0), "12.9")]
)
def test_choose_cuda(capability: tuple[int, int], cuda: str) -> None:
    assert choose_cuda(capability) == cuda


def test_parse_gpus() -> None:
    text = (
        "NVIDIA GeForce RTX 5090, 12.0, 32607, 575.57.08\nNVIDIA A800-SXM4-80GB, 8.0, 81920, 535.183.01\nNVIDIA GB10,"
        " 12.1, [N/A], 580.95\n"
    )
    assert parse_gpus(text) == [
        Gpu("NVIDIA GeForce RTX 5090", (12, 0), 32607, "575.57.08"),
        Gpu("NVIDIA A800-SXM4-80GB", (8, 0), 81920, "535.183.01"),
        Gpu("NVIDIA GB10", (12, 1), 0, "580.95"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "No devices were found\n",
        "a, b, c, d",
        "NVIDIA-SMI has failed because it couldn't communicate",
        "\x00\ufffd,,,,",
    ],
)
def test_junk_is_no_gpu(text: str) -> None:
    assert parse_gpus(text) == []


def fake_program(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("script", "count"),
    [
        ('echo "NVIDIA H100 80GB HBM3, 9.0, 81559, 550.54.15"', 1),
        ("exit 9", 0),
        ("printf '\\377\\376'", 0),
        ('echo "half, 9.0, 1, 1"; exit 1', 0),
    ],
)
def test_find_gpus(script: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_program(tmp_path, "nvidia-smi", script, monkeypatch)
    assert len(find_gpus()) == count


@pytest.mark.parametrize(("script", "found"), [("echo 28.2.2", True), ("exit 1", False), ("echo", False)])
def test_find_docker(script: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_program(tmp_path, "docker", script, monkeypatch)
    assert find_docker() == (str(tmp_path / "docker") if found else None)


def test_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert (find_docker(), find_gpus()) == (None, [])


def test_engine_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], timeout: float, **_: Any) -> Any:
        raise subprocess.TimeoutExpired(command, timeout)

    fake_program(tmp_path, "docker", "true", monkeypatch)
    monkeypatch.setattr(subprocess, "run", hang)
    assert find_docker() is None


# ---- mounts


def paths(*names: str, access: Access = "ro") -> list[tuple[Path, Access]]:
    return [(Path(name), access) for name in names]


def test_hashed_image_folders_become_one_mount() -> None:
    run_dir, model = (Path("/data/runs/a"), "rw"), (Path("/data/models/m"), "ro")
    images = paths(*(f"/data/datasets/x/full/images/{number:02x}" for number in range(256)))
    common = (Path("/data/datasets/x/full/images"), "ro")
    assert common_mounts([run_dir, model, *images]) == [run_dir, model, common]  # type: ignore[list-item]


def test_few_mounts_stay_as_they_are() -> None:
    few = paths("/data/run", access="rw") + paths(*(f"/data/images/{number}" for number in range(16)))
    assert common_mounts(few) == few
    assert len(common_mounts(few, most=15)) == 2


def test_mounts_inside_others_are_dropped() -> None:
    given = (
        paths("/a/run", access="rw")
        + paths("/a/run/images", "/a/b", "/a/b/c", "/a/b", "/a/run")
        + paths("/a/b/out", "/a/run/log", access="rw")
    )
    assert common_mounts(given) == [(Path("/a/run"), "rw"), (Path("/a/b"), "ro"), (Path("/a/b/out"), "rw")]


def test_writable_mount_is_never_swallowed() -> None:
    run_dir = paths("/data/x/run", access="rw")
    images = paths(*(f"/data/x/{number}" for number in range(20)))
    assert common_mounts(run_dir + images) == run_dir + images, "their only common folder holds the run"
    nested = paths(*(f"/data/x/images/{number}" for number in range(20)))
    assert common_mounts(run_dir + nested) == [*run_dir, (Path("/data/x/images"), "ro")]


def test_root_and_its_folders_are_never_mounted() -> None:
    top = paths(*(f"/{number}" for number in range(20)), *(f"/data/{number}" for number in range(20)))
    assert common_mounts(top) == top


def test_deepest_common_folder_comes_first() -> None:
    """So that no more of the disk is shown than need be; and folders two levels down come together too."""
    given = paths("/d/a/b/c/0", "/d/a/b/c/1", *(f"/d/pages/{number}" for number in range(3)))
    assert common_mounts(given, most=4) == paths("/d/a/b/c", "/d/pages/0", "/d/pages/1", "/d/pages/2")
    assert common_mounts(given, most=2) == paths("/d/a/b/c", "/d/pages")
    sparse = paths(*(f"/d/images/{number}/{number}" for number in range(30)))
    assert common_mounts(sparse) == paths("/d/images")


def test_many_folders_take_no_time() -> None:
    given = paths(*(f"/d/images/{first:02x}/{second:02x}" for first in range(256) for second in range(64)))
    assert common_mounts(given) == paths("/d/images")


def test_links_of_a_hub_cache(tmp_path: Path) -> None:
    blobs, other, folder = tmp_path / "blobs", tmp_path / "other", tmp_path / "snapshots" / "0f4c"
    for path in (blobs, other, folder):
        path.mkdir(parents=True)
    assert link_targets(folder) == []
    (blobs / "1").write_text("weights")
    (other / "way").symlink_to(blobs / "1")
    (folder / "config.json").write_text("{}")
    (folder / "inside").symlink_to("config.json")
    (folder / "nowhere").symlink_to("../../blobs/2")
    (folder / "circle").symlink_to("circle")
    assert link_targets(folder) == []
    (folder / "model.safetensors").symlink_to("../../blobs/1")
    assert link_targets(folder) == [blobs]
    (folder / "by.another.way").symlink_to("../../other/way")
    assert link_targets(folder) == [blobs, other]
    (tmp_path / "m").symlink_to(folder)
    assert link_targets(tmp_path / "m") == [blobs, other]


def test_links_through_a_linked_folder(tmp_path: Path) -> None:
    """The name that a link holds is what is looked up inside, so that name has to be there."""
    real, named, folder = tmp_path / "disk" / "cache", tmp_path / "cache", tmp_path / "m"
    for path in (real, folder):
        path.mkdir(parents=True)
    (real / "w").write_text("weights")
    named.symlink_to(real)
    (folder / "model.safetensors").symlink_to(named / "w")
    (folder / "assets").symlink_to(named)
    assert link_targets(folder) == [named, real]


# ---- the server


@pytest.mark.parametrize(
    ("capability", "tag"),
    [
        ((8, 0), "latest-nvidia-gpu"),
        ((9, 0), "latest-nvidia-gpu"),
        ((10, 0), "latest-nvidia-gpu-sm120"),
        ((12, 0), "latest-nvidia-gpu-sm120"),
    ],
)
def test_server_image(capability: tuple[int, int], tag: str) -> None:
    assert server_image(capability) == f"{REGISTRY}/paddleocr-genai-vllm-server:{tag}"


def serve(**changes: Any) -> list[str]:
    options: dict[str, Any] = {
        "model_name": "PaddleOCR-VL-1.5-0.9B",
        "model_dir": Path("/m/mine"),
        "backend_config": Path("/tmp/s/vllm.yml"),
        "host": "127.0.0.1",
        "port": 8118,
        "name": "sft-serve-8118",
        **changes,
    }
    return serve_command("server:1", **options)


def test_serve_command() -> None:
    assert serve() == [
        "docker",
        "run",
        "--rm",
        "--init",
        "--name",
        "sft-serve-8118",
        "--gpus",
        "all",
        "--shm-size=16g",
        "--publish",
        "127.0.0.1:8118:8118",
        "--mount",
        "type=bind,source=/m/mine,target=/m/mine,readonly",
        "--mount",
        "type=bind,source=/tmp/s/vllm.yml,target=/tmp/s/vllm.yml,readonly",
        "server:1",
        "paddleocr",
        "genai_server",
        "--model_name",
        "PaddleOCR-VL-1.5-0.9B",
        "--model_dir",
        "/m/mine",
        "--host",
        "0.0.0.0",
        "--port",
        "8118",
        "--backend",
        "vllm",
        "--backend_config",
        "/tmp/s/vllm.yml",
    ]


def test_serve_command_with_links_and_other_hosts() -> None:
    argv = serve(host="0.0.0.0", port=9000, links=[Path("/cache/blobs")])
    assert "0.0.0.0:9000:9000" in argv and argv[argv.index("--port") + 1] == "9000"
    assert "type=bind,source=/cache/blobs,target=/cache/blobs,readonly" in argv
    assert "[::1]:8118:8118" in serve(host="::1"), "docker would read the colons of an IPv6 address as its own"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_dir": Path("m")}, "absolute"),
        ({"model_dir": Path("/m/a,b")}, "comma"),
        ({"name": "-x"}, "Docker container"),
    ],
)
def test_serve_command_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        serve(**changes)


# ---- Dockerfile.train


def dockerfile(**build_args: str) -> DockerfileParser:
    return DockerfileParser(fileobj=io.BytesIO((ROOT / "Dockerfile.train").read_bytes()), build_args=build_args)


@pytest.mark.parametrize("cuda", list(BASES))
def test_base_images(cuda: str) -> None:
    """The last stage stands on the stage called cuda<CUDA>, and that one on Paddle's image."""
    stages = [
        re.fullmatch(r"(\S+)(?: AS (\S+))?", entry["value"])
        for entry in dockerfile().structure
        if entry["instruction"] == "FROM"
    ]
    assert all(stages)
    named = {
        stage[2]: image
        for stage, image in zip(stages, dockerfile(CUDA=cuda).parent_images, strict=True)
        if stage and stage[2]
    }
    assert named == {f"cuda{key}": image for key, image in BASES.items()}
    assert stages[-1] and stages[-1][1] == "cuda${CUDA}"
    assert dockerfile(CUDA=cuda).baseimage == f"cuda{cuda}"


def test_registry_can_be_replaced() -> None:
    assert dockerfile(REGISTRY="my.registry/x").parent_images[0] == "my.registry/x/paddle:3.2.0-gpu-cuda12.6-cudnn9.5"


def arguments() -> dict[str, str]:
    pairs = [entry["value"].partition("=") for entry in dockerfile().structure if entry["instruction"] == "ARG"]
    return {name: value for name, _, value in pairs}


def runs() -> list[str]:
    found = [entry["value"] for entry in dockerfile().structure if entry["instruction"] == "RUN"]
    assert len(found) == 5
    return found


def test_erniekit() -> None:
    assert arguments()["ERNIE_REF"] == "release/v1.4"
    assert arguments()["ERNIE_REPOSITORY"] == "https://github.com/PaddlePaddle/ERNIE"
    assert arguments()["CUDA"] in BASES
    install = next(line for line in runs() if "--editable" in line)
    assert "--no-deps" in install and "${ERNIE_REF}" in install


def test_headless_opencv_comes_last() -> None:
    pins, opencv, ernie = runs()[:3]
    assert "--requirement /opt/trainer/trainer-gpu.txt" in pins
    assert opencv.startswith("python -m pip uninstall --yes opencv-python ")
    assert opencv.index("uninstall") < opencv.index("--no-deps") < opencv.index("opencv-python-headless==")
    assert "opencv" not in ernie


def test_locale_and_probe() -> None:
    env = " ".join(entry["value"] for entry in dockerfile().structure if entry["instruction"] == "ENV")
    assert "LC_ALL=C.UTF-8" in env and "PYTHONUTF8=1" in env
    probe = runs()[-1]
    assert all(word in probe for word in ("import cv2", "erniekit", "paddleformers", "sft --help"))
    code = re.search(r'python -c "(.*?)"', probe, re.DOTALL)
    assert code
    compile(code[1], "probe", "exec")


def test_copied_files_exist_and_are_sent() -> None:
    copies = [entry["value"].split()[:-1] for entry in dockerfile().structure if entry["instruction"] == "COPY"]
    sources = {source for words in copies for source in words}
    assert sources == {"sft/requirements/trainer-gpu.txt", "pyproject.toml", "README.md", "LICENSE", "sft"}
    for source in sources - {"pyproject.toml", "README.md", "LICENSE"}:
        assert (ROOT / source).exists(), source
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    assert {source.split("/")[0] for source in sources} == set(sent)


# ---- the pins


def pins() -> dict[str, str]:
    lines = [
        line.partition("#")[0].strip()
        for line in (ROOT / "sft/requirements/trainer-gpu.txt").read_text("utf-8").splitlines()
    ]
    found = [re.fullmatch(r"([A-Za-z0-9_-]+)==([0-9.]+)", line) for line in lines if line]
    assert found and all(found), "every line is name==version"
    return {match[1]: match[2] for match in found if match}


def test_pins() -> None:
    found = pins()
    assert {name: found.get(name) for name in PINS} == PINS
    assert found.keys() >= ALSO_NEEDED
    assert not {"opencv-python", "opencv-contrib-python", "paddlepaddle", "paddlepaddle-gpu"} & found.keys()
