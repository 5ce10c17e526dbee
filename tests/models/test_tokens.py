"""Pixel limits and tokenizers of model directories that strangers made."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from waiting import PATIENCE

from sft.errors import ProblemsFound
from sft.models.token_budget import load_tokenizer, pixel_limits


@pytest.mark.parametrize(
    "config",
    [
        {"min_pixels": 10, "max_pixels": 20},
        {"min_pixels": 10, "max_pixels": 20, "size": 5},
        {"min_pixels": 10, "max_pixels": 20, "size": [1]},
        {"size": {"min_pixels": 10, "max_pixels": 20}},
        {"size": {"shortest_edge": 10, "longest_edge": 20}},
    ],
)
def test_both_layouts(tmp_path: Path, config: dict[str, Any]) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    assert pixel_limits(tmp_path) == (10, 20)


@pytest.mark.parametrize(
    "config",
    [
        [],
        5,
        None,
        {},
        {"size": 5},
        {"size": []},
        {"size": "x"},
        {"min_pixels": True, "max_pixels": True},
        {"min_pixels": 20, "max_pixels": 10},
        {"min_pixels": 1.5, "max_pixels": 10},
    ],
    ids=repr,
)
def test_no_usable_limits(tmp_path: Path, config: Any) -> None:
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(config))
    with pytest.raises(ProblemsFound, match=r"no usable pixel limits|not a table") as caught:
        pixel_limits(tmp_path)
    assert caught.value.where == str(path)


@pytest.mark.timeout(PATIENCE)
def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for name in ("preprocessor_config.json", "tokenizer.json"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(ProblemsFound, match="not a file"):
        pixel_limits(tmp_path)
    with pytest.raises(ProblemsFound, match="not a tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json")
