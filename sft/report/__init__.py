"""Reports and pages: one `Data`, many writers. An HTML page is one self-contained file, everything in it escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.report.data import Data, Sample, gather
    from sft.report.dataset_pages import Card, card, write_stats, write_view
    from sft.report.exports import write_tensorboard
    from sft.report.html import write_all
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "Card",
    "Data",
    "Sample",
    "card",
    "gather",
    "write_all",
    "write_stats",
    "write_tensorboard",
    "write_view",
]
