"""Pure functions of the installed PaddleX, which is pinned as an oracle of tests, without importing its package."""

from __future__ import annotations

import ast
import importlib.util
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

PIPELINES = "paddlex/inference/pipelines"
GEOMETRY = ("calculate_overlap_ratio", "calculate_projection_overlap_ratio", "calculate_bbox_area")
PICTURES = ("gather_imgs", "construct_img_path", "_crop_image_region_for_pil")


def version() -> str:
    return metadata.version("paddlex")


def located(name: str) -> Path:
    return Path(str(metadata.distribution("paddlex").locate_file(name)))


def some_of(name: str, wanted: tuple[str, ...], known: dict[str, Any]) -> dict[str, Any]:
    """The functions and classes called so of one file, compiled alone; `known`: the names that they use."""
    path = located(name)
    body = [
        node
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in wanted
    ]
    assert len(body) == len(wanted), f"{name} of PaddleX {version()} lacks some of {', '.join(wanted)}"
    for node in body:
        node.decorator_list = []  # checks of installed packages
    scope: dict[str, Any] = {"__name__": "paddlex_alone", **known}
    exec(compile(ast.Module([*body], []), str(path), "exec"), scope)
    return {name: scope[name] for name in wanted}


def layout_functions() -> dict[str, Any]:
    """How boxes overlap, and which pictures a page has."""
    import typing

    import numpy as np
    from PIL import Image

    names = {name: getattr(typing, name) for name in ("Any", "Dict", "List", "Optional", "Tuple", "Union")}
    labels = {"image_labels": ["image", "figure", "seal"]}  # of layout_parsing/setting.py
    known = {"np": np, "Image": Image, "BLOCK_LABEL_MAP": labels, **names}
    return some_of(f"{PIPELINES}/layout_parsing/utils.py", (*GEOMETRY, *PICTURES), known)


def load_uilts() -> ModuleType:
    """paddlex/inference/pipelines/paddleocr_vl/uilts.py with what it takes from its neighbour."""
    stubs = {name: ModuleType(name) for name in ("pdx", "pdx.vl", "pdx.layout_parsing", "pdx.layout_parsing.utils")}
    for name, function in layout_functions().items():
        setattr(stubs["pdx.layout_parsing.utils"], name, function)
    for name in ("pdx", "pdx.vl", "pdx.layout_parsing"):
        stubs[name].__path__ = []
    spec = importlib.util.spec_from_file_location("pdx.vl.uilts", located(f"{PIPELINES}/paddleocr_vl/uilts.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules.update(stubs)
    try:
        spec.loader.exec_module(module)
    finally:
        for name in stubs:
            del sys.modules[name]
    return module


@cache
def _delimiters() -> CodeType:
    """The statements that turn the delimiters of formulas into dollar signs, cut out of a method."""
    path = located(f"{PIPELINES}/paddleocr_vl/pipeline.py")
    source = path.read_text("utf-8")
    start = source.index('if ("\\\\(" in result_str and "\\\\)" in result_str)')
    end = source.index('if block_label == "formula_number":')
    block = source[source.rindex("\n", 0, start) + 1 : source.rindex("\n", 0, end)]
    indent = len(block) - len(block.lstrip())
    return compile("\n".join(line[indent:] for line in block.split("\n")), str(path), "exec")


def shown_by_pipeline(text: str) -> str:
    """`text` as the pipeline shows it: formulas between dollar signs."""
    names = {"result_str": text}
    exec(_delimiters(), names)
    return names["result_str"]
