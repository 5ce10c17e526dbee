"""JSON Schemas that the workbench publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.schema.explain import explain_structure
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "explain_structure",
]
