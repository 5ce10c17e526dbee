"""Rows become findings: what the trainer would crash on, skip or learn wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.validate.across_rows import Entries
    from sft.validate.answer_checks import answer_errors
    from sft.validate.context import Context
    from sft.validate.file import Report, scan, validate
    from sft.validate.fixes import fix
    from sft.validate.labels import repair
    from sft.validate.rejects import Rejects, rejects_file
    from sft.validate.survey import Survey, shared_images, survey_file
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "Context",
    "Entries",
    "Rejects",
    "Report",
    "Survey",
    "answer_errors",
    "fix",
    "rejects_file",
    "repair",
    "scan",
    "shared_images",
    "survey_file",
    "validate",
]
