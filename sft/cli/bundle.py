"""`sft bundle`: a folder to deploy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from sft import serving, ui
from sft.runtime import gpu_card

MEGABYTE = 1_000_000


@click.command()
@click.argument("model_dir", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--gpu", required=True, metavar="NAME", help="The card it will run on: rtx5060, rtx5090, l4, h100 …")
@click.option("--gpu-id", type=click.IntRange(min=0), default=0, show_default=True, help="Which card of that machine.")
@click.option(
    "--online",
    is_flag=True,
    help="Images without the released models, which are then downloaded at the first start [default: with them].",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 also serves other machines."
)
@click.option("--port", type=click.IntRange(1, 65535), default=serving.API_PORT, show_default=True, help="The API.")
@click.option(
    "--vlm-port",
    type=click.IntRange(1, 65535),
    default=serving.DEFAULT_PORT,
    show_default=True,
    help="The model itself.",
)
@click.option("--json", "as_json", is_flag=True, help="Print bundle.json.")
def bundle(
    model_dir: Path, out: Path, gpu: str, online: bool, port: int, vlm_port: int, as_json: bool, **places: Any
) -> None:
    """Write a folder to deploy: both services of the PaddleOCR pipeline around a tuned model, for Docker Compose.

    \b
    Example:
      sft bundle models/bengali -o deploy --gpu rtx5060
      cd deploy && docker compose up -d && sh smoke.sh
    """
    if port == vlm_port:
        raise click.UsageError(f"--port and --vlm-port are both {port}")
    options = serving.BundleOptions(
        gpu_card(gpu),
        offline=not online,
        listen=places["host"],
        api_port=port,
        vlm_port=vlm_port,
        gpu_id=places["gpu_id"],
    )
    version = serving.version_of(model_dir)
    total = sum(path.stat().st_size for path in serving.model_files(model_dir))
    megabytes = total // MEGABYTE + 1
    with ui.Follow("copying the model, MB", megabytes) as bar:
        manifest = serving.write_bundle(
            model_dir,
            version,
            out,
            options,
            advance=lambda done: bar.update(megabytes if done == total else done // MEGABYTE),
        )
    if as_json:
        click.echo(json.dumps(manifest, ensure_ascii=False, indent=2))
        return
    ui.say(
        f"{version.served_name} for: {options.gpu.title}; images {manifest['images']}; the model is copied and hashed"
    )
    if not manifest["usual_pixels"]:
        low, high = manifest["pixels"]
        ui.say(
            f"warning: trained with {low} to {high} pixels, and the pipeline takes others by itself: every request has"
            f" to say minPixels {low} and maxPixels {high}"
        )
    ui.say(f"next: cd {out} && docker compose up -d && sh smoke.sh")
    click.echo(out)
