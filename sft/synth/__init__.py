"""Generates samples with known labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.synth import bengali_sample
    from sft.synth.generate import SynthRequest, manifest_path, synth
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "SynthRequest",
    "bengali_sample",
    "manifest_path",
    "synth",
]
