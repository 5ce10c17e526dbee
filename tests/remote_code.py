"""The Python files that releases bring along for Transformers below 5, put into a model directory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from places import TESTS

from sft.files.atomic import read_table, write_json

CODE = TESTS / "golden" / "remote_code"


def bring_code(folder: Path, *, newer: bool = False) -> None:
    """Modules and the auto_map entries that name them; `newer`: as releases name the image processor's module now."""
    for path in CODE.glob("*.py"):
        shutil.copyfile(path, folder / path.name)
    maps = json.loads((CODE / "auto_maps.json").read_text())
    if newer:
        (folder / "image_processing.py").rename(folder / "image_processing_paddleocr_vl.py")
        text = (folder / "processing_paddleocr_vl.py").read_text()
        (folder / "processing_paddleocr_vl.py").write_text(
            text.replace("from .image_processing ", "from .image_processing_paddleocr_vl ")
        )
        maps = json.loads(json.dumps(maps).replace('"image_processing.', '"image_processing_paddleocr_vl.'))
    for name, auto_map in maps.items():
        write_json(folder / name, {**read_table(folder / name), "auto_map": auto_map})
