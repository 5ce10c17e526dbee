"""How figures are written in reports: names of scores, percent and percentage points, intervals."""

from __future__ import annotations

import math

from sft.evaluation.sample_scores import SCORES
from sft.evaluation.statistics import Interval

NAMES = {
    "cer": "CER", "wer": "WER", "ned": "NED", "exact": "Exact", "teds": "TEDS", "teds_s": "TEDS-S", "teds_strict": "TEDS, strict", "cell_f1": "Cell F1",
    "similarity": "Similarity", "parses": "Parses", "rms_f1": "RMS-F1", "rnss": "RNSS", "empty": "Empty answers", "truncated": "Cut off at max_tokens",
    "runaway": "Runaway (repetition)", "wrong_format": "Wrong format", "length_ratio": "Length / truth",
}  # fmt: skip
TASKS = {"ocr": "Text", "table": "Tables", "formula": "Formulas", "chart": "Charts", "spotting": "Spotting", "seal": "Seals", "other": "Other prompts"}
DIMENSIONS = {"length": "length of the truth", "size": "size of the image"}
HEALTH = ("empty", "truncated", "runaway", "wrong_format", "length_ratio")


def name_of(score: str) -> str:
    """"cer" → "CER"."""
    return NAMES.get(score, score.replace("_", " ").capitalize())


def task_name(task: str) -> str:
    """"ocr" → "Text"."""
    return TASKS.get(task, task)


def is_percent(score: str) -> bool:
    """Whether a score is written in percent; those that are best at 1 or count something are not."""
    return score != "length_ratio" and SCORES[score].kind in ("share", "bounded", "rate")


def value(score: str, number: float) -> str:
    """0.1234 → "12.34%"."""
    if not math.isfinite(number):
        return "∞"
    return f"{number:.2%}" if is_percent(score) else f"{number:.3f}"


def change(score: str, number: float) -> str:
    """0.0123 → "+1.23 pp", with a minus sign that is as wide as the plus."""
    if not math.isfinite(number):
        return "∞"
    return (f"{number * 100:+.2f} pp" if is_percent(score) else f"{number:+.3f}").replace("-", "−")


def span(score: str, interval: Interval) -> str:
    """The limits: "10.1 to 13.9%"."""
    if is_percent(score):
        high = f"{interval.high * 100:.1f}" if math.isfinite(interval.high) else "∞"
        return f"{interval.low * 100:.1f} to {high}%".replace("-", "−")
    return f"{interval.low:.2f} to {interval.high:.2f}".replace("inf", "∞").replace("-", "−")


def dimension_name(dimension: str) -> str:
    """"length" → "length of the truth"."""
    return DIMENSIONS.get(dimension, dimension)
