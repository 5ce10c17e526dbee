"""What a score means: one record per metric; the functions stand in the module named after what they read.

A score is only comparable with another of the same metric, version and normalisation; all three go into every result file.
Whoever changes what a metric computes raises its version here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How to read one number of a result file."""

    name: str
    version: str
    higher_is_better: bool
    definition: str


METRICS: dict[str, Metric] = {
    "cer": Metric("cer", "1.0", False, "edits between code points / max(code points of the reference, 1); not clipped; corpus: sum / sum"),
    "wer": Metric("wer", "1.0", False, "edits between words (white space splits) / max(words of the reference, 1); not clipped; corpus: sum / sum"),
    "ned": Metric("ned", "1.0", False, "edits between code points / max(code points of the longer text, 1), 0 to 1; corpus: mean of the samples"),
    "exact": Metric("exact", "1.0", True, "1 where the texts are equal, else 0; corpus: share of the samples"),
}
