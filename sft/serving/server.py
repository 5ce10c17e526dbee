"""Serves a model directory with vLLM and waits until it really answers; never leaves a process behind."""

from __future__ import annotations

import base64
import io
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from sft import models
from sft.errors import EngineError, ProblemsFound, UsageError
from sft.files import atomic_write, plain_yaml, read_bounded, read_table
from sft.models import image_tokens, load_tokenizer, pixel_limits, verify_served
from sft.runtime import Machine, Process, container, environments, last_errors, stop_container, tail
from sft.serving import vllm_version
from sft.types import Task

DEFAULT_PORT = 8118
START_SECONDS = 600.0  # loading a big model from a slow disk
WARM_UP_SECONDS = 600.0  # the first image on a busy CPU
SAY_SECONDS = 10.0  # between two signs of life while waiting
WATCH_SECONDS = 0.5  # between two looks at whether the server is still there
BATCHED_TOKENS = 16_384  # vLLM profiles this many; 131072 takes 30 GB and more for nothing
ANSWER_TOKENS = 4096  # longest answer that is asked for by default; a large table
CPU_CONTEXT = 4096  # tokens: what the PaddleOCR client asks for, and the largest picture the released limits allow
CPU_BATCHED_TOKENS = 1024


@dataclass(frozen=True)
class ServerOptions:
    """What `sft serve` is told. `gpu_memory` is vLLM's share of the card."""

    python: str
    image: str | None = None  # set: the container of the PaddleOCR project serves, `python` is not used
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    device: str = "cpu"
    max_model_len: int | None = None
    gpu_memory: float = 0.8
    trust_remote_code: bool = False
    vllm: str = ""  # the version that `python` has; "": unknown, taken for a new one


def server_command(model_dir: Path, version: models.ModelVersion, options: ServerOptions) -> list[str]:
    """The argv of vLLM's OpenAI-style server. Served under the name that the PaddleOCR client asks for. Pure."""
    argv = [options.python, "-m", vllm_version.start_module(options.vllm), "--model", str(model_dir)]
    argv += [
        "--served-model-name",
        version.served_name,
        "--host",
        options.host,
        "--port",
        str(options.port),
    ]
    argv += vllm_version.trust_flags(options.vllm)
    argv += ["--chat-template-content-format", "openai", "--mm-processor-cache-gb", "0"]
    if options.device == "cpu":
        context = context_of(model_dir, options) or CPU_CONTEXT
        argv += [
            "--max-model-len",
            str(context),
            "--max-num-batched-tokens",
            str(max(context, CPU_BATCHED_TOKENS)),
        ]
        argv += ["--dtype", "float32", "--enforce-eager"]
    else:
        argv += [
            "--max-num-batched-tokens",
            str(BATCHED_TOKENS),
            "--gpu-memory-utilization",
            f"{options.gpu_memory:g}",
            "--dtype",
            "bfloat16",
        ]
        argv += ["--max-model-len", str(options.max_model_len)] if options.max_model_len else []
    return [*argv, "--trust-remote-code"] if options.trust_remote_code else argv


def context_of(model_dir: Path, options: ServerOptions) -> int | None:
    """Tokens that prompt and answer may have together: as asked for; on a CPU as many as the client wants, if the model
    has the positions; None: as the model allows.
    """
    if options.max_model_len or options.device != "cpu":
        return options.max_model_len
    positions = CPU_CONTEXT
    with suppress(ProblemsFound, OSError, ValueError, TypeError):  # said where the directory is verified
        positions = int(read_table(model_dir / "config.json").get("max_position_embeddings") or CPU_CONTEXT)
    return min(CPU_CONTEXT, positions)


def backend_config(options: ServerOptions) -> dict[str, Any]:
    """vLLM's settings inside the server container: its own default of 131072 batched tokens takes 30 GB and more."""
    settings: dict[str, Any] = {
        "gpu-memory-utilization": options.gpu_memory,
        "max-num-batched-tokens": BATCHED_TOKENS,
        "mm-processor-cache-gb": 0,
    }
    return {**settings, **({"max-model-len": options.max_model_len} if options.max_model_len else {})}


def container_command(model_dir: Path, version: models.ModelVersion, options: ServerOptions, folder: Path) -> list[str]:
    """The server in its container; writes vLLM's settings into `folder`. The served name decides the template there."""
    path = folder.resolve() / "vllm.yml"
    with atomic_write(path) as stream:
        stream.write(yaml.safe_dump(backend_config(options)).encode())
    image = options.image or ""
    return container.serve_command(
        image,
        model_name=version.served_name,
        model_dir=model_dir,
        backend_config=path,
        host=options.host,
        port=options.port,
        name=_container_name(options),
        links=container.link_targets(model_dir),
    )


def _container_name(options: ServerOptions) -> str:
    return f"sft-serve-{options.port}"


def server_environment(options: ServerOptions) -> dict[str, str]:
    """No look-ups on a hub, no usage reports; on a CPU, all cores and a small cache."""
    common = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }
    if options.device == "cpu":
        return {
            **common,
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "OMP_NUM_THREADS": str(os.cpu_count() or 1),
            "CUDA_VISIBLE_DEVICES": "",
        }
    return common


def require_free_port(host: str, port: int) -> None:
    """Refuse a port that somebody listens on, before a minute is spent on loading."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, UnicodeError) as error:  # the latter for a name that is too long
            raise UsageError(
                f"cannot listen on {host}:{port} ({getattr(error, 'strerror', None) or error})",
                hint=f"stop what runs there, or give another port: --port {free_port()}",
            ) from error


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Running:
    """A server that has answered once, at `url`."""

    url: str
    process: Process
    log: Path

    def watch(self) -> None:
        """Returns never: EngineError when the server ends by itself."""
        while self.process.running:
            if self.process.lines(WATCH_SECONDS) is None:  # the log has them; an unread queue would only grow
                time.sleep(WATCH_SECONDS)  # it has closed its output: nothing to wait for there
        raise _failure(f"the server ended with exit code {self.process.exit_code()}", self.log)


@contextmanager
def serving(
    model_dir: Path,
    version: models.ModelVersion,
    options: ServerOptions,
    *,
    log: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[str]:
    """As `running`; yields the URL alone."""
    with running(model_dir, version, options, log=log, say=say) as server:
        yield server.url


@contextmanager
def running(
    model_dir: Path,
    version: models.ModelVersion,
    options: ServerOptions,
    *,
    log: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Running]:
    """A server that has answered once. Leaving the block ends it and everything it started."""
    verify_served(model_dir, version)
    require_free_port(options.host, options.port)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)
    url = f"http://[{host}]:{options.port}" if ":" in host else f"http://{host}:{options.port}"
    with suppress(OSError):
        log.unlink()  # one server, one log: the tail of an older one would mislead
    folder = model_dir.resolve()
    argv = (
        container_command(folder, version, options, log.parent)
        if options.image
        else server_command(folder, version, options)
    )
    with Process(argv, log, server_environment(options), cwd=log.parent if log.parent.is_dir() else None) as process:
        try:
            _wait_healthy(process, url, log, say)
            if not options.image:
                _require_own(url, folder)
            warm_up(url, version, model_dir)
            yield Running(url, process, log)
        finally:
            if options.image:
                stop_container(_container_name(options))


def _wait_healthy(process: Process, url: str, log: Path, say: Callable[[str], None]) -> None:
    started = said = time.monotonic()
    with httpx.Client(timeout=5, trust_env=False) as client:
        while time.monotonic() - started < START_SECONDS:
            if not process.running:
                raise _failure(f"the server ended with exit code {process.exit_code()} before it answered", log)
            process.lines(0.2)  # the log has them; an unread queue would only grow
            with suppress(httpx.HTTPError):
                if client.get(f"{url}/health").status_code == httpx.codes.OK:
                    return
            if time.monotonic() - said >= SAY_SECONDS:
                said = time.monotonic()
                say(f"  waiting for the server, {said - started:.0f} s")
    raise _failure(f"the server did not become healthy within {START_SECONDS:.0f} s", log)


def _require_own(url: str, folder: Path) -> None:
    """EngineError where another server answers at the address: two that are started within the time of loading both
    get the port, and all requests go to one of them.
    """
    with suppress(httpx.HTTPError, ValueError, LookupError, TypeError, RecursionError):
        root = httpx.get(f"{url}/v1/models", timeout=60, trust_env=False).json()["data"][0]["root"]
        if str(root) != str(folder):
            raise EngineError(
                f"another server answers at {url}: it serves {str(root)[:300]}",
                where=str(folder),
                hint="stop it, or give another --port",
            )


def _failure(what: str, log: Path) -> EngineError:
    lines = "\n  ".join(last_errors(tail(log)))
    return EngineError(
        f"{what}; its last lines:\n  {lines}",
        where=str(log),
        hint="see the log for details",
    )


def warm_up(url: str, version: models.ModelVersion, model_dir: Path) -> None:
    """Send one image, wait for an answer, and compare the length of the prompt with the one that was trained.

    A server can be healthy and still fail on every image; or answer, and put a newline or a "Picture 1:" into the
    prompt.
    """
    low, high = pixel_limits(model_dir)
    side = max(models.FACTOR, int(low**0.5))
    prompt = version.prompts[Task.OCR]
    body = {
        "model": version.served_name,
        "max_tokens": 1,
        "temperature": 0,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": _blank(side)}},
                    {"type": "text", "text": prompt},
                ],
            }
        ],
    }
    try:
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=WARM_UP_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        raise EngineError(f"the server is healthy, but the first image got no answer ({error})") from error
    if answer.status_code != httpx.codes.OK:
        raise EngineError(f"the server is healthy, but refuses an image with {answer.status_code}: {answer.text[:300]}")
    text = (
        load_tokenizer(model_dir / "tokenizer.json")
        .encode(models.render_prompt(version, prompt), add_special_tokens=False)
        .ids
    )
    trained = len(text) - 1 + image_tokens(side, side, min_pixels=low, max_pixels=high)  # one placeholder becomes N
    try:
        served = answer.json()["usage"]["prompt_tokens"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise EngineError(f"the server at {url} is not vLLM: {answer.text[:300]}") from error
    if served != trained:
        raise EngineError(
            f"the server's prompt has {served} tokens, the trained one {trained}: the answers would be worse than the"
            " model",
            where=str(model_dir),
            hint=(
                "another chat template or other pixel limits are in use; export the model again and serve that"
                " directory"
            ),
        )


def _blank(side: int) -> str:
    """A white square as a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (side, side), "white").save(
        buffer,
        "PNG",
    )
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def version_of(model_dir: Path) -> models.ModelVersion:
    """The version a directory was exported for, by its inference.yml."""
    if not model_dir.is_dir():
        raise UsageError("no such model directory", where=str(model_dir), hint="`sft export RUN -o DIR` writes one")
    path = model_dir / "inference.yml"
    if not os.path.lexists(path):
        raise ProblemsFound(
            "no inference.yml here: this is not an exported model",
            where=str(model_dir),
            hint="`sft export RUN -o DIR` writes one; a run has it under runs/NAME/model",
        )
    try:
        name = plain_yaml.load(read_bounded(path, max_bytes=64 * 1024))["Global"]["model_name"]
        if not isinstance(name, str) or len(name) > 200:
            raise TypeError("no name")
    except (ProblemsFound, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ProblemsFound(
            "inference.yml does not say which model this is", where=str(path), hint="`sft export RUN -o DIR` writes it"
        ) from error
    return models.get(name)


def server_options(device: str, machine: Machine, *, port: int, **more: Any) -> ServerOptions:
    """Who serves: vLLM's CPU build, an interpreter that was named, or the server container where Docker and
    a GPU are.
    """
    named = os.environ.get(environments.PYTHON_OVERRIDE["server"])
    if named or device == "cpu":
        python = environments.ensure("server").python
        return ServerOptions(
            python,
            port=port,
            device=device,
            vllm=vllm_version.installed_vllm(python),
            **more,
        )
    if machine.docker and machine.gpus:
        return ServerOptions(
            "python", container.server_image(machine.gpus[0].compute_capability), port=port, device=device, **more
        )
    raise UsageError(
        "serving on a GPU needs Docker, or an environment with vLLM",
        hint=(
            f"start Docker with the NVIDIA container toolkit, or set {environments.PYTHON_OVERRIDE['server']} to a"
            " Python that has vLLM"
        ),
    )
