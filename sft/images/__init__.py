"""Image files: headers, pixels, crops, and how alike two of them look. Nothing here knows the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.images.crops import Pixels, crop
    from sft.images.headers import fingerprint_of, peek, peek_bytes
    from sft.images.perceptual_hash import (
        LIMIT,
        band_of,
        bands,
        dhash,
        dhashes,
        near_pairs_of_groups,
        popcount,
    )
    from sft.images.reader import (
        FORMATS,
        MAX_FILE_BYTES,
        MAX_IMAGE_PIXELS,
        ImageProblem,
        ending_of,
        orientation,
        probe,
        read_once,
        read_plain,
        stamp,
        why_unreadable,
    )
    from sft.images.served import Align, Box, Mark, ServedCut, box_of, cut_as_served
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "FORMATS",
    "LIMIT",
    "MAX_FILE_BYTES",
    "MAX_IMAGE_PIXELS",
    "Align",
    "Box",
    "ImageProblem",
    "Mark",
    "Pixels",
    "ServedCut",
    "band_of",
    "bands",
    "box_of",
    "crop",
    "cut_as_served",
    "dhash",
    "dhashes",
    "ending_of",
    "fingerprint_of",
    "near_pairs_of_groups",
    "orientation",
    "peek",
    "peek_bytes",
    "popcount",
    "probe",
    "read_once",
    "read_plain",
    "stamp",
    "why_unreadable",
]
