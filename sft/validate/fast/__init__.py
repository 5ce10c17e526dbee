"""The fast path of validation: which rows of a chunk are proven good without parsing them one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.validate.fast.classify import Proof, classify_rows, keep_memory
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "Proof",
    "classify_rows",
    "keep_memory",
]
