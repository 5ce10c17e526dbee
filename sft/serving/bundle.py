"""A folder to deploy: the tuned model, both services of the PaddleOCR pipeline around it, scripts that move and try it.

    DEPLOY/compose.yaml .env              docker compose up
    DEPLOY/vlm_server_config.yaml         what vLLM is started with
    DEPLOY/pipeline_config_vllm.yaml      what the pipeline does before and after the model
    DEPLOY/model/                         a copy of the model directory, each file with the hash of its export
    DEPLOY/images.sh .ps1, smoke.sh .ps1  for a machine without a network, and after the start
    DEPLOY/bundle.json                    where all this comes from

Names and ports of the services are those of the PaddleOCR project's own compose file, so that its documentation holds
here as well. Nothing in it was started where there is no Docker: its parts are checked against what PaddleX reads.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2

from sft import models
from sft.errors import ProblemsFound
from sft.files import CHUNK, read_table, whole_folder, write_json
from sft.runtime import BLACKWELL, SERVER_IMAGE, SHM_SIZE, GpuCard, require_bf16, server_tag
from sft.serving.layouts import LAYOUT_MODELS, MERGE_MODES
from sft.serving.server import BATCHED_TOKENS, DEFAULT_PORT
from sft.types import Task

API_PORT = 8080
CONTEXT = 16_384  # tokens; PaddleX's own value: the largest picture and an answer of 8192 tokens
USUAL_SHARE = 0.8  # of the card's memory
SPARE_GB = 2.5  # at least so much stays free: the layout model, and what a display takes
CLIENT_PIXELS = (112_896, 1_003_520)  # what the pipeline takes where a request says nothing
IGNORED_IN_MARKDOWN = ("number", "footnote", "header", "header_image", "footer", "footer_image", "aside_text")
PICTURE = (420, 84)  # pixels of the picture that is sent by smoke.sh
SCRIPTS = ("images.sh", "smoke.sh")  # to be executed
TEMPLATES = (
    "compose.yaml",
    "vlm_server_config.yaml",
    "pipeline_config_vllm.yaml",
    "images.ps1",
    "smoke.ps1",
    "README.md",
    *SCRIPTS,
)


@dataclass(frozen=True)
class BundleOptions:
    """gpu_id: as nvidia-smi numbers the cards. listen: the address that both ports are bound to. offline: images that
    hold the released models, for a machine without a network.
    """

    gpu: GpuCard
    offline: bool = True
    listen: str = "127.0.0.1"
    api_port: int = API_PORT
    vlm_port: int = DEFAULT_PORT
    gpu_id: int = 0


def memory_share(memory: float) -> float:
    """vLLM's share of a card that the layout model and a display share, in steps of 0.05.

    >>> memory_share(8), memory_share(12), memory_share(80)
    (0.65, 0.75, 0.8)
    """
    possible = 1 - SPARE_GB / memory
    return min(USUAL_SHARE, int(possible * 20) / 20)


def write_bundle(
    model_dir: Path,
    version: models.ModelVersion,
    out: Path,
    options: BundleOptions,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Build `out`, whole or not at all; returns what bundle.json says. advance: called with the bytes of the model
    that are copied so far.

    Raises UsageError where `out` exists or the card cannot serve the model, ProblemsFound where the directory is not
    complete or a file differs from its export.
    """
    require_bf16(f"the {options.gpu.title}", options.gpu.compute_capability, doing="serving")
    models.verify_served(model_dir, version)
    with whole_folder(out) as temporary:
        hashes = _copy_model(model_dir, temporary / "model", advance)
        facts = _facts(version, options, models.pixel_limits(model_dir), _size(temporary / "model"))
        _write_texts(temporary, facts)
        write_json(temporary / "smoke.json", smoke_request(facts["pixels"]))
        manifest = {
            "model": str(model_dir),
            "served_name": version.served_name,
            "gpu": asdict(options.gpu),
            "images": facts["tag"],
            "pixels": list(facts["pixels"]),
            "usual_pixels": facts["usual_pixels"],
            "files": hashes,
        }
        write_json(temporary / "bundle.json", manifest)
    return manifest


def model_files(model_dir: Path) -> list[Path]:
    """What is copied: the regular files at the top of the directory. Links may lead to blobs beside it, as a hub's
    cache has them, and nowhere else: a directory may come from somebody else.
    """
    root = model_dir.resolve()
    allowed = (root, root.parent.parent / "blobs")
    files = []
    for path in sorted(model_dir.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        target = path.resolve()
        if not any(target.is_relative_to(folder) for folder in allowed):
            raise ProblemsFound(
                f"a link that leads out of the model directory, to {target}",
                where=str(path),
                hint="put the file itself there",
            )
        files.append(path)
    return files


def _copy_model(model_dir: Path, folder: Path, advance: Callable[[int], None]) -> dict[str, str]:
    """File → SHA-256. What the export's manifest names has to have the hash that it says."""
    folder.mkdir()
    manifest = model_dir / models.MANIFEST
    stated = read_table(manifest).get("files", {}) if manifest.is_file() else {}
    hashes = {}
    done = 0
    for path in model_files(model_dir):
        hashes[path.name] = _copy(path, folder / path.name)
        done += path.stat().st_size
        advance(done)
        wanted = stated.get(path.name, hashes[path.name])
        if wanted != hashes[path.name]:
            raise ProblemsFound(
                f"this file has changed since it was exported (SHA-256 {hashes[path.name][:12]}…, not"
                f" {str(wanted)[:12]}…)",
                where=str(path),
                hint="export the run again",
            )
    return hashes


def _copy(source: Path, target: Path) -> str:
    """The SHA-256 of what was copied; the copy is on disk."""
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("xb") as writing:
        while chunk := reading.read(CHUNK):
            digest.update(chunk)
            writing.write(chunk)
        writing.flush()
        os.fsync(writing.fileno())
    return digest.hexdigest()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _facts(
    version: models.ModelVersion, options: BundleOptions, pixels: tuple[int, int], model_bytes: int
) -> dict[str, Any]:
    """Everything that the templates say."""
    gpu = options.gpu
    share = memory_share(gpu.memory)
    return {
        "registry": SERVER_IMAGE.rpartition("/")[0],
        "tag": server_tag(gpu.compute_capability) + ("-offline" if options.offline else ""),
        "shm_size": SHM_SIZE,
        "gpu": gpu,
        "blackwell": gpu.compute_capability >= BLACKWELL,
        "listen": options.listen,
        "api_port": options.api_port,
        "vlm_port": options.vlm_port,
        "gpu_id": options.gpu_id,
        "share": share,
        "spare": gpu.memory * (1 - share),
        "context": CONTEXT,
        "batched_tokens": BATCHED_TOKENS,
        "served_name": version.served_name,
        "pipeline_name": version.served_name.removesuffix("-0.9B"),
        "layout": LAYOUT_MODELS[version.layout_model],
        "merge_modes": MERGE_MODES,
        "ignored": IGNORED_IN_MARKDOWN,
        "has_seals": Task.SEAL in version.prompts,
        "pixels": pixels,
        "client_pixels": CLIENT_PIXELS,
        "usual_pixels": pixels == CLIENT_PIXELS,
        "gigabytes": model_bytes / 1e9,
    }


def _write_texts(folder: Path, facts: dict[str, Any]) -> None:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "deploy"),
        autoescape=False,  # noqa: S701 - YAML, shell and Markdown, and every value is ours
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for name in TEMPLATES:
        path = folder / name
        path.write_text(environment.get_template(f"{name}.jinja").render(facts), "utf-8")
        path.chmod(0o755 if name in SCRIPTS else 0o644)
    (folder / ".env").write_text(environment.get_template("env.jinja").render(facts), "utf-8")


def smoke_request(pixels: tuple[int, int]) -> dict[str, Any]:
    """One picture as `/layout-parsing` of paddlex 3.7.2 takes it, read whole as text, with the training's limits."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", PICTURE, "white")
    draw = ImageDraw.Draw(picture)
    draw.text((16, 20), "PaddleOCR-VL 2026", fill="black", font_size=40)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return {
        "file": base64.b64encode(buffer.getvalue()).decode(),
        "fileType": 1,  # a picture, not a PDF
        "useLayoutDetection": False,
        "promptLabel": "ocr",
        "minPixels": pixels[0],
        "maxPixels": pixels[1],
        "visualize": False,
    }
