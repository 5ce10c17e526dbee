"""Labels and images become rows: every label is a sample or a reject with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.convert.driver import NothingUsable, Result, convert
    from sft.convert.request import HUB_NAMES, manifest_path, options_of
    from sft.convert.worker import ConvertRequest
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "HUB_NAMES",
    "ConvertRequest",
    "NothingUsable",
    "Result",
    "convert",
    "manifest_path",
    "options_of",
]
