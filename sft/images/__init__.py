"""Image files: headers, pixels, crops, and how alike two of them look. Nothing here knows the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.images.crops import crop
    from sft.images.headers import fingerprint_of, is_whole, orientation_behind_pixels, peek
    from sft.images.perceptual_hash import dhash, near_pairs
    from sft.images.reader import FORMATS, MAX_FILE_BYTES, MAX_IMAGE_PIXELS, ImageProblem, orientation, probe
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "FORMATS",
    "MAX_FILE_BYTES",
    "MAX_IMAGE_PIXELS",
    "ImageProblem",
    "crop",
    "dhash",
    "fingerprint_of",
    "is_whole",
    "near_pairs",
    "orientation",
    "orientation_behind_pixels",
    "peek",
    "probe",
]
