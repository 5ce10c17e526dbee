"""Small real things that several tests need."""

from __future__ import annotations

import json
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from eval_server import Served
from hypothesis import HealthCheck, settings
from places import ROOT

from sft.files import atomic
from sft.models import exporter, versions
from sft.models.tiny import SPECIAL_TOKENS, train_tokenizer
from sft.synth import bengali_sample
from sft.validate import Context, Survey, survey_file

VERSION = versions.MODELS["0.9B"]
# How long an example takes says something about the machine, not about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first, then those with many tests: of two processes, the other one does the rest meanwhile.
    (`--no-loadscope-reorder` keeps this order; xdist would sort by the number of tests alone.)
    """
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.name != "test_e2e.py", -tests[item.path]))


def write_safetensors(path: Path, tensors: dict[str, list[int]], value: float = 0.0) -> None:
    """A whole file of float32 numbers, all the same, with these shapes."""
    header: dict[str, object] = {}
    offset = 0
    for name, shape in tensors.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + struct.pack("<f", value) * (offset // 4))


TENSORS = {
    "lm_head.weight": [4, 8],
    "mlp_AR.linear_1.weight": [2, 3],
    "visual.vision_model.embeddings.packing_position_embedding.weight": [5, 2],
}


def surveyed(path: Path) -> Survey:
    """What `sft run` knows of a file once it is checked; the findings are not looked at."""
    return survey_file(path, Context(path.parent, VERSION))[1]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The server of `eval_server.py`, listening."""
    server = Served(tmp_path / "log.jsonl")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def base_model(tmp_path: Path) -> Path:
    """A model directory with everything but sense in its weights."""
    folder = tmp_path / "base"
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", TENSORS)
    train_tokenizer(["OCR:", "১২৩"], folder)
    atomic.write_json(folder / "config.json", {"model_type": "paddleocr_vl", "max_position_embeddings": 4096})
    atomic.write_json(folder / "tokenizer_config.json", {"tokenizer_class": "Ernie4_5_Tokenizer"})
    atomic.write_json(folder / "preprocessor_config.json", {"min_pixels": 147384, "max_pixels": 2822400})
    exporter.server_files(folder, VERSION, pixels=(147384, 2822400), eos_token_id=SPECIAL_TOKENS.index(versions.EOS))
    return folder


@pytest.fixture
def bengali_data(tmp_path: Path) -> Path:
    """Twelve drawn rows with their images."""
    return bengali_sample.write_split(tmp_path / "data", seed=3, split="train", count=12, prompt="OCR:")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The command of a browser, fetched at first where there is none."""
    done = subprocess.run([ROOT / "scripts" / "chromium"], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"the tests of the pages need a browser\n{done.stderr}"
    return done.stdout.strip()
