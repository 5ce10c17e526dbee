"""What the installed PaddleX makes of an answer, by its own lines of code."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from pathlib import Path
from types import CodeType


@cache
def _delimiters() -> CodeType:
    """The statements that turn the delimiters of formulas into dollar signs, cut out of a method."""
    path = Path(
        str(metadata.distribution("paddlex").locate_file("paddlex/inference/pipelines/paddleocr_vl/pipeline.py"))
    )
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
