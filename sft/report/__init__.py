"""Reports and pages: one `ReportData`, many writers. An HTML page is one self-contained file, all in it escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.report import wording
    from sft.report.data import ReportData, ReportSample, gather
    from sft.report.dataset_pages import RowCard, card, write_stats, write_view
    from sft.report.exports import write_tensorboard
    from sft.report.html import write_all, write_report
    from sft.report.samples import TEXT_TASKS
    from sft.report.wording import name_of
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "TEXT_TASKS",
    "ReportData",
    "ReportSample",
    "RowCard",
    "card",
    "gather",
    "name_of",
    "wording",
    "write_all",
    "write_report",
    "write_stats",
    "write_tensorboard",
    "write_view",
]
