"""Text with as many placeholders as its pictures have tokens: the processor of a release, in a few lines."""

from __future__ import annotations

from typing import Any

from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .image_processing import PaddleOCRVLImageProcessor


class PaddleOCRVLProcessor(ProcessorMixin):
    """One image processor and one tokenizer."""

    attributes = ["image_processor", "tokenizer"]
    image_processor_class = "AutoImageProcessor"
    tokenizer_class = "AutoTokenizer"

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None, **_: Any) -> None:
        self.image_token = getattr(tokenizer, "image_token", "<|IMAGE_PLACEHOLDER|>")
        super().__init__(image_processor or PaddleOCRVLImageProcessor(), tokenizer, chat_template=chat_template)

    def __call__(self, images: Any = None, text: Any = None, **more: Any) -> BatchFeature:
        """Tokens and patches together."""
        kind = more.pop("return_tensors", None)
        limits = {name: more.pop(name) for name in ("min_pixels", "max_pixels") if name in more}
        found = self.image_processor(images, return_tensors=kind, **limits) if images is not None else {}
        counts = [int(high * wide) // 4 for _, high, wide in found.get("image_grid_thw", [])]
        texts = []
        for one in text if isinstance(text, list) else [text]:
            pieces = one.split(self.image_token)
            filled = pieces[0]
            for piece in pieces[1:]:
                filled += self.image_token * counts.pop(0) + piece
            texts.append(filled)
        return BatchFeature({**self.tokenizer(texts, return_tensors=kind, **more), **found})
