"""The trainer's container: which image, how it is built, and the command that runs something in it.

    docker run --rm --init --name sft-demo --gpus all --shm-size=16g --user 1000:1000 --workdir /data/run
        --mount type=bind,source=/data,target=/data … paddleocr-vl-sft-trainer:cuda12.6 erniekit train
        /data/run/train.yaml

Every mount has the same path inside as outside, so a configuration file means the same in both. Building a command
starts nothing; `find_docker` and `find_gpus` ask what is there and never raise.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sft.errors import UsageError

Cuda = Literal["12.6", "12.9"]
Access = Literal["ro", "rw"]

IMAGE = "paddleocr-vl-sft-trainer"
SERVER_IMAGE = "ccr-2vdh3abv-pub.cnc.bj.baidubce.com/paddlepaddle/paddleocr-genai-vllm-server"
DOCKERFILE = "Dockerfile.train"
BLACKWELL = (10, 0)  # least compute capability that the CUDA 12.6 build of Paddle has no kernels for
SHM_SIZE = "16g"  # data workers hand images over through /dev/shm; docker's own 64 MB end in a bus error
STOP_SECONDS = 40  # the launcher gives its workers 30 s
ASK_SECONDS = 60.0  # nvidia-smi alone takes many on a large machine whose driver has to be loaded first
LEAST_PARTS = 3  # of a folder that is mounted in place of several: never / or /home
# Inside, the user of outside has no name and no home; some libraries ask for both, and write caches into the latter.
ENVIRONMENT = {"HOME": "/tmp", "USER": "sft", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
WSL_NVIDIA_SMI = "/usr/lib/wsl/lib/nvidia-smi"  # WSL 2 brings it, but not always into PATH
GPU_QUERY = ("--query-gpu=name,compute_cap,memory.total,driver_version", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Gpu:
    """One GPU as its driver describes it.

    `memory_mib` is 0 where the driver does not say (memory shared with the CPU).
    """

    name: str
    compute_capability: tuple[int, int]
    memory_mib: int
    driver: str


def image_name(cuda: Cuda) -> str:
    """The local name of the trainer's image."""
    return f"{IMAGE}:cuda{cuda}"


def choose_cuda(compute_capability: tuple[int, int]) -> Cuda:
    """The CUDA build that has kernels for a GPU.

    >>> choose_cuda((9, 0)), choose_cuda((12, 0))
    ('12.6', '12.9')
    """
    return "12.9" if compute_capability >= BLACKWELL else "12.6"


def build_command(repo_root: Path, cuda: Cuda) -> list[str]:
    """`docker build` of Dockerfile.train; BuildKit, docker's default since 23, fetches the chosen base image only."""
    return [
        "docker",
        "build",
        "--file",
        str(repo_root / DOCKERFILE),
        "--build-arg",
        f"CUDA={cuda}",
        "--tag",
        image_name(cuda),
        str(repo_root),
    ]


@dataclass(frozen=True)
class ContainerAccess:
    """What of the machine a container may use.

    `gpus` is "all", "none" or indices like "0,2". The network is docker's bridge: nothing inside is reachable from
    outside, and the trainers of one machine meet on localhost. "none" would do for one GPU, but leaves the container
    without an entry for its own host name, and with loopback as the only interface NCCL can bind to. "host" is for
    several machines. `user`: the calling one by default.
    """

    gpus: str = "all"
    network: Literal["bridge", "host"] = "bridge"
    user: tuple[int, int] | None = None


def run_command(
    cuda: Cuda,
    command: Sequence[str],
    *,
    workdir: Path,
    mounts: Sequence[tuple[Path, Access]],
    env: Mapping[str, str],
    name: str,
    access: ContainerAccess | None = None,
) -> list[str]:
    """`docker run` of `command` in the trainer's image, as the calling user, whose files the outputs become.

    UsageError for a path or name that docker would misread, and for a `workdir` outside of every writable mount: what
    a trainer wrote there would be lost with the container.
    """
    _check(workdir, mounts, env, name)
    access = access or ContainerAccess()
    uid, gid = access.user or (os.getuid(), os.getgid())
    argv = [
        "docker",
        "run",
        "--rm",
        "--init",
        "--name",
        name,
        *_gpu_option(access.gpus),
        f"--shm-size={SHM_SIZE}",
        f"--network={access.network}",
    ]
    argv += ["--user", f"{uid}:{gid}", "--workdir", str(workdir)]
    for path, right in mounts:  # --mount, not --volume: a missing folder is an error, not a new folder owned by root
        argv += [
            "--mount",
            f"type=bind,source={path},target={path}" + (",readonly" if right == "ro" else ""),
        ]
    for key, value in {**ENVIRONMENT, **env}.items():
        argv += ["--env", f"{key}={value}"]
    return [*argv, image_name(cuda), *command]


def common_mounts(mounts: Sequence[tuple[Path, Access]], *, most: int = 16) -> list[tuple[Path, Access]]:
    """The same folders with fewer mounts: none inside another of the same or wider access, and at most `most` read-only
    ones.

    Where there are more, those below a common folder are replaced by it, deepest first, so that as little as possible
    comes along. Never by `/x` or `/`, nor by a folder that holds a writable mount; so there can be more than `most`
    after all. Pure.

    >>> common_mounts([(Path(f"/data/images/{number}"), "ro") for number in range(256)])
    [(PosixPath('/data/images'), 'ro')]
    """
    writable = {path for path, access in mounts if access == "rw"}
    readable = {path for path, access in mounts if access == "ro"} - writable
    taken = {above for path in writable for above in (path, *path.parents)}  # a mount here would hold a writable one
    chosen = {path: path for path in readable if not writable & set(path.parents) and not readable & set(path.parents)}
    while (count := len(set(chosen.values()))) > most:
        below: dict[Path, set[Path]] = {}
        for path in set(chosen.values()):
            for above in path.parents:
                if len(above.parts) >= LEAST_PARTS and above not in taken:
                    below.setdefault(above, set()).add(path)
        shared = sorted((-len(above.parts), -len(paths), above) for above, paths in below.items() if len(paths) > 1)
        if not shared:
            break
        wider: dict[Path, Path] = {}
        for depth, fewer, above in shared:
            if depth == shared[0][0] and count > most:  # folders of one depth have nothing in common
                wider |= dict.fromkeys(below[above], above)
                count += fewer + 1
        chosen = {path: wider.get(instead, instead) for path, instead in chosen.items()}
    outer = {path for path in writable if not writable & set(path.parents)}
    kept: list[tuple[Path, Access]] = []
    for path, access in mounts:
        if access == "rw" and path in outer:
            kept.append((path, access))
        elif access == "ro" and path in chosen:
            kept.append((chosen[path], access))
    return list(dict.fromkeys(kept))


def link_targets(folder: Path) -> list[Path]:
    """The folders outside `folder` that its symbolic links lead to or through; without them the links dangle in a
    container.

    A hub cache keeps a model as links to ../../blobs/<hash>: mount `folder`, resolved, and these, all read-only. Links
    that lead nowhere are left out.
    """
    root = folder.resolve()
    folders: set[Path] = set()
    for link in root.rglob("*"):
        if not link.is_symlink() or not link.exists():
            continue
        hop = link
        stops = [link.resolve()]
        while hop.is_symlink():  # every stop on the way must be there too
            hop = Path(os.path.normpath(hop.parent / os.readlink(hop)))
            stops.append(hop)
        folders |= {stop if stop.is_dir() else stop.parent for stop in stops if stop.exists()}
    return sorted(path for path in folders if not path.is_relative_to(root))


def server_image(compute_capability: tuple[int, int]) -> str:
    """The vLLM server image of the PaddleOCR project: Blackwell cards need a build of their own.

    >>> server_image((12, 0)).rpartition(":")[2]
    'latest-nvidia-gpu-sm120'
    """
    return f"{SERVER_IMAGE}:{server_tag(compute_capability)}"


def server_tag(compute_capability: tuple[int, int]) -> str:
    """The tag of the PaddleOCR project's images for a card; with "-offline" behind it they hold the models."""
    return "latest-nvidia-gpu" + ("-sm120" if compute_capability >= BLACKWELL else "")


def serve_command(
    image: str,
    *,
    model_name: str,
    model_dir: Path,
    backend_config: Path,
    host: str,
    port: int,
    name: str,
    links: Sequence[Path] = (),
) -> list[str]:
    """docker run of `paddleocr genai_server` on a model directory; the port is published on `host` only. Pure.

    `links` are the folders that `link_targets` finds for the model directory. UsageError as of `run_command`.
    """
    paths = (model_dir, backend_config, *links)
    _check_name(name)
    _check_paths(paths)
    mounts = [f"type=bind,source={path},target={path},readonly" for path in paths]
    published = f"[{host}]" if ":" in host else host
    return [
        "docker",
        "run",
        "--rm",
        "--init",
        "--name",
        name,
        "--gpus",
        "all",
        f"--shm-size={SHM_SIZE}",
        "--publish",
        f"{published}:{port}:{port}",
        *(word for mount in mounts for word in ("--mount", mount)),
        image,
        "paddleocr",
        "genai_server",
        "--model_name",
        model_name,
        "--model_dir",
        str(model_dir),
        "--host",
        "0.0.0.0",
        "--port",
        str(port),
        "--backend",
        "vllm",
        "--backend_config",
        str(backend_config),
    ]


def stop_command(name: str) -> list[str]:
    """Ends a container in order: SIGTERM, then SIGKILL for what is left after STOP_SECONDS."""
    return ["docker", "stop", "-t", str(STOP_SECONDS), name]


def _gpu_option(gpus: str) -> list[str]:
    if gpus == "none":
        return []
    if gpus != "all" and not re.fullmatch(r"\d+(,\d+)*", gpus):
        raise UsageError(f"gpus is {gpus!r}", hint='"all", "none", or indices with commas between: 0,2')
    # docker reads the value as a line of CSV, so a comma needs quotes that docker itself sees
    return ["--gpus", "all" if gpus == "all" else f'"device={gpus}"']


def _check(workdir: Path, mounts: Sequence[tuple[Path, Access]], env: Mapping[str, str], name: str) -> None:
    _check_name(name)
    _check_paths([workdir, *(path for path, _ in mounts)])
    writable = [path for path, access in mounts if access == "rw"]
    if not any(workdir == path or path in workdir.parents for path in writable):
        raise UsageError(
            "the working directory is not inside a writable mount",
            where=str(workdir),
            hint="mount it, or a folder above it, as rw",
        )
    bad = [key for key in env if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key)]
    if bad:
        raise UsageError(f"not the name of a variable: {bad[0]!r}")


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]+", name):
        raise UsageError(
            f"not a valid name of a Docker container: {name!r}", hint="letters, digits, _ . - and at least two of them"
        )


def _check_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.is_absolute():
            raise UsageError("a path for the container must be absolute", where=str(path))
        if any(sign in str(path) for sign in ':,\n"'):
            raise UsageError(
                "docker cannot mount a path with a colon, a comma or a quote in it",
                where=str(path),
                hint="rename or move the folder",
            )


def find_docker() -> str | None:
    """The docker program, where an engine answers it; None for no docker, an engine that is down, or no right to use
    it.
    """
    docker = shutil.which("docker")
    answer = _ask([docker, "info", "--format", "{{.ServerVersion}}"]) if docker else ""
    return docker if answer.strip() else None


def find_gpus() -> list[Gpu]:
    """The NVIDIA GPUs that the driver lists; empty without a driver."""
    program = shutil.which("nvidia-smi") or shutil.which(WSL_NVIDIA_SMI)
    return parse_gpus(_ask([program, *GPU_QUERY])) if program else []


def parse_gpus(text: str) -> list[Gpu]:
    """The answer of nvidia-smi, one GPU a line; lines that are none are left out.

    >>> parse_gpus("NVIDIA H100 80GB HBM3, 9.0, 81559, 550.54.15")
    [Gpu(name='NVIDIA H100 80GB HBM3', compute_capability=(9, 0), memory_mib=81559, driver='550.54.15')]
    """
    matches = (
        re.fullmatch(r"\s*(.+?), *(\d+)\.(\d+), *(\d+|\[.*\]), *([\w.]+)\s*", line) for line in text.splitlines()
    )
    return [
        Gpu(match[1], (int(match[2]), int(match[3])), int(match[4]) if match[4].isdigit() else 0, match[5])
        for match in matches
        if match
    ]


def _ask(command: Sequence[str]) -> str:
    """What a program prints when all is well, else nothing."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=ASK_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
