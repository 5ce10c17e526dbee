"""The layout models that stand before PaddleOCR-VL in the PaddleOCR pipeline, with the settings they are used with.

Source: the pipelines' configurations in paddlex 3.7.2 (`paddlex/configs/pipelines/PaddleOCR-VL*.yaml`); a test compares
what is rendered here with them.
"""

from __future__ import annotations

from dataclasses import dataclass

# class → what becomes of overlapping boxes: "union" keeps both, "large" the larger one
MERGE_MODES: dict[str, str] = {
    "abstract": "union",
    "algorithm": "union",
    "aside_text": "union",
    "chart": "large",
    "content": "union",
    "display_formula": "large",
    "doc_title": "large",
    "figure_title": "union",
    "footer": "union",
    "footer_image": "union",
    "footnote": "union",
    "formula_number": "union",
    "header": "union",
    "header_image": "union",
    "image": "union",
    "inline_formula": "large",
    "number": "union",
    "paragraph_title": "large",
    "reference": "union",
    "reference_content": "union",
    "seal": "union",
    "table": "union",
    "text": "union",
    "vertical_text": "union",
    "vision_footnote": "union",
}
USUAL = 0.5  # threshold of the classes of PP-DocLayoutV2 that have none of their own
OWN = {
    "display_formula": 0.4,
    "doc_title": 0.4,
    "inline_formula": 0.4,
    "paragraph_title": 0.4,
    "seal": 0.45,
    "text": 0.4,
    "vertical_text": 0.4,
}


@dataclass(frozen=True)
class LayoutModel:
    """thresholds: least confidence of a box, by class; or one for all."""

    name: str
    thresholds: dict[str, float] | float


LAYOUT_MODELS: dict[str, LayoutModel] = {
    "PP-DocLayoutV2": LayoutModel("PP-DocLayoutV2", {label: OWN.get(label, USUAL) for label in MERGE_MODES}),
    "PP-DocLayoutV3": LayoutModel("PP-DocLayoutV3", 0.3),
}
