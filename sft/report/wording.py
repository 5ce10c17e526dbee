"""How figures are written in reports: names of scores, percent and percentage points, intervals."""

from __future__ import annotations

import math

from sft import ui
from sft.evaluation import SCORES, Interval

NAMES = {
    "cer": "CER",
    "wer": "WER",
    "ned": "NED",
    "exact": "Exact",
    "teds": "TEDS",
    "teds_s": "TEDS-S",
    "teds_strict": "TEDS, strict",
    "cell_f1": "Cell F1",
    "similarity": "Similarity",
    "cdm": "CDM",
    "parses": "Parses",
    "rms_f1": "RMS-F1",
    "rnss": "RNSS",
    "empty": "Empty answers",
    "truncated": "Cut off at max_tokens",
    "runaway": "Runaway (repetition)",
    "wrong_format": "Wrong format",
    "length_ratio": "Length / reference",
    "cer_graphemes": "CER of graphemes",
    "cer_lines": "CER, lines in any order",
    "cer_unspaced": "CER without spaces",
    "ned_omnidocbench": "NED (OmniDocBench)",
    "ned_paddle": "NED (Paddle)",
    "script_share": "Right script",
    "cell_f1_fuzzy": "Cell F1, fuzzy",
    "grits_top": "GriTS-Top",
    "grits_con": "GriTS-Con",
    "formula_token_ned": "NED of tokens",
    "formula_bleu": "BLEU",
    "scrm": "SCRM",
    "replacements": "U+FFFD",
}
TASKS = {
    "ocr": "Text",
    "table": "Tables",
    "formula": "Formulas",
    "chart": "Charts",
    "spotting": "Spotting",
    "seal": "Seals",
    "other": "Other prompts",
}
DIMENSIONS = {"length": "length of the reference", "size": "size of the image", "group": "document"}
ARROWS = {True: "↑", False: "↓", None: ""}  # where better is
MANY = 10.0  # from 1000 % on, what stands behind the point tells nothing
FINE = 0.02  # an interval narrower than this is written with two decimals


def name_of(score: str) -> str:
    """ "cer" → "CER"."""
    return NAMES.get(score, score.replace("_", " ").capitalize())


def with_arrow(score: str) -> str:
    """ "cer" → "CER ↓": where better is."""
    return f"{name_of(score)} {ARROWS[SCORES[score].higher_is_better]}".rstrip()


def task_name(task: str) -> str:
    """ "ocr" → "Text"."""
    return TASKS.get(task, task)


def is_percent(score: str) -> bool:
    """Whether a score is written in percent; those that are best at 1 or count something are not."""
    return score != "length_ratio" and SCORES[score].kind in ("share", "bounded", "rate")


def value(score: str, number: float) -> str:
    """0.1234 → "12.34%", 59.9 → "5,990%"."""
    if not math.isfinite(number):
        return "∞"
    if is_percent(score):
        return f"{number:.2%}" if number < MANY else f"{number:,.0%}"
    return f"{number:.3f}"


def change(score: str, number: float) -> str:
    """0.0123 → "+1.23 pp", with a minus sign that is as wide as the plus."""
    if not math.isfinite(number):
        return "∞"
    number = round(number, 4 if is_percent(score) else 3) + 0.0  # no "−0.00"
    if is_percent(score):
        return (f"{number * 100:+.2f} pp" if abs(number) < MANY else f"{number * 100:+,.0f} pp").replace(
            "-",
            "−",
        )
    return f"{number:+.3f}".replace("-", "−")


def span(score: str, interval: Interval) -> str:
    """The limits: "10.1 to 13.9%"; "0.3% to ?" where the upper one cannot be estimated."""
    if not math.isfinite(interval.high) and is_percent(score):
        return f"{interval.low:.1%} to ?{star(interval)}".replace(
            "-",
            "−",
        )
    if is_percent(score):
        places = 2 if interval.high - interval.low < FINE else 1
        low, high = (f"{limit * 100:,.{0 if limit >= MANY else places}f}" for limit in (interval.low, interval.high))
        return f"{low} to {high}%{star(interval)}".replace(
            "-",
            "−",
        )
    return f"{interval.low:.2f} to {interval.high:.2f}{star(interval)}".replace("inf", "?").replace(
        "-",
        "−",
    )


def between(score: str, interval: Interval) -> str:
    """The limits of a change: "−3.1 to +0.2 *"."""
    return " to ".join(change(score, limit).removesuffix(" pp") for limit in (interval.low, interval.high)) + star(
        interval
    )


def counted(scored: int, lost: int) -> str:
    """How many samples a task has: "16 samples scored, 16 lost"."""
    return f"{ui.counted(scored, 'sample')} scored" + (f", {lost:,} lost" if lost else "")


def p_value(p: float) -> str:
    """0.00012 → "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def star(interval: Interval) -> str:
    """The mark of a score whose spread is mostly one sample's."""
    return " *" if interval.one else ""


def dimension_name(dimension: str) -> str:
    """ "length" → "length of the reference"."""
    return DIMENSIONS.get(dimension, dimension)
