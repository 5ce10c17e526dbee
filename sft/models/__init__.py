"""A model version and its directory: record, prompts, resize rule, tokens; fetched, verified, exported, or
built tiny.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.models import tiny
    from sft.models.augmentation import most_tokens, picture_draws, together
    from sft.models.chat_template import render_prompt
    from sft.models.doctor import diagnose
    from sft.models.exporter import export, say_export
    from sft.models.fetch import fetch_model, present_or_fetch
    from sft.models.foreign import export_foreign, mended
    from sft.models.resize import image_tokens
    from sft.models.safetensors import safetensors_header, tensor_table
    from sft.models.tiny import make_tiny_model
    from sft.models.token_budget import (
        ERNIEKIT,
        USER,
        Budget,
        fixed_tokens,
        load_tokenizer,
        picture_tokens,
        pixel_limits,
        sample_tokens,
        text_tokens,
        trained_size,
        trained_texts,
    )
    from sft.models.verify import (
        MANIFEST,
        check_model,
        fingerprint,
        identify,
        require_model,
        verify_served,
        weight_files,
    )
    from sft.models.versions import (
        BEGIN,
        DEFAULT_MODEL,
        EOS,
        FACTOR,
        IMAGE_TOKEN,
        MAX_ASPECT,
        MODELS,
        OTSL_TOKENS,
        RESERVED_IN_TEXT,
        TASK_OF,
        ModelVersion,
        find,
        get,
    )
    from sft.models.weights import NEVER_TRAINED
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "BEGIN",
    "DEFAULT_MODEL",
    "EOS",
    "ERNIEKIT",
    "FACTOR",
    "IMAGE_TOKEN",
    "MANIFEST",
    "MAX_ASPECT",
    "MODELS",
    "NEVER_TRAINED",
    "OTSL_TOKENS",
    "RESERVED_IN_TEXT",
    "TASK_OF",
    "USER",
    "Budget",
    "ModelVersion",
    "check_model",
    "diagnose",
    "export",
    "export_foreign",
    "fetch_model",
    "find",
    "fingerprint",
    "fixed_tokens",
    "get",
    "identify",
    "image_tokens",
    "load_tokenizer",
    "make_tiny_model",
    "mended",
    "most_tokens",
    "picture_draws",
    "picture_tokens",
    "pixel_limits",
    "present_or_fetch",
    "render_prompt",
    "require_model",
    "safetensors_header",
    "sample_tokens",
    "say_export",
    "tensor_table",
    "text_tokens",
    "tiny",
    "together",
    "trained_size",
    "trained_texts",
    "verify_served",
    "weight_files",
]
