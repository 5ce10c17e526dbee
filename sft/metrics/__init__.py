"""What a score means: one record per metric; the functions stand in the module named after what they read.

A score is only comparable with another of the same metric, version and normalisation; all three go into every result
file. Whoever changes what a metric computes raises its version here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.metrics import cdm, cells, formula, health, rewards, spotting, text
    from sft.metrics.answers import MAX_CELLS, MAX_PAIRS, read_chart, read_table
    from sft.metrics.health import worst_share
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "MAX_CELLS",
    "MAX_PAIRS",
    "METRICS",
    "cdm",
    "cells",
    "formula",
    "function",
    "health",
    "read_chart",
    "read_table",
    "rewards",
    "spotting",
    "text",
    "worst_share",
]

Family = Literal["text", "table", "formula", "chart", "spotting", "any"]
Corpus = Literal["mean", "sum / sum"]


@dataclass(frozen=True)
class Metric:
    """How to read one number of a result file, and how to compute it.

    `function` is "module.name" within `sft.metrics`; it takes `takes` as keyword arguments and gives a float, or None
    where there is nothing to measure (such samples are left out, never counted as zero). `higher_is_better` None: best
    at 1. `corpus`: how samples are put together. `settings`: what else decides the number. `signature`: all of it in
    one line, to be quoted beside a score.
    """

    name: str
    version: str
    higher_is_better: bool | None
    definition: str
    task: Family
    function: str
    corpus: Corpus = "mean"
    settings: str = ""
    takes: tuple[str, ...] = ("ref", "pred")
    signature: str = field(init=False)

    def __post_init__(self) -> None:
        parts = (self.name, self.settings, f"corpus:{self.corpus.replace(' ', '')}", f"version:{self.version}")
        object.__setattr__(self, "signature", "|".join(filter(None, parts)))


_RATE = "max(length of the reference, 1); not clipped"
METRICS: dict[str, Metric] = {
    "cer": Metric(
        "cer",
        "1.0",
        False,
        "edits between code points / max(code points of the reference, 1); not clipped; corpus: sum / sum",
        "text",
        "text.cer",
        "sum / sum",
        "unit:codepoint",
    ),
    "wer": Metric(
        "wer",
        "1.0",
        False,
        "edits between words (white space splits) / max(words of the reference, 1); not clipped; corpus: sum / sum",
        "text",
        "text.wer",
        "sum / sum",
        "unit:word",
    ),
    "ned": Metric(
        "ned",
        "1.0",
        False,
        "edits between code points / max(code points of the longer text, 1), 0 to 1; corpus: mean of the samples",
        "text",
        "text.ned",
        "mean",
        "unit:codepoint",
    ),
    "ned_omnidocbench": Metric(
        "ned_omnidocbench",
        "1.0",
        False,
        "ned of what OmniDocBench leaves of a text",
        "text",
        "normalise.ned_omnidocbench",
        settings="profile:omnidocbench|unit:codepoint",
    ),
    "ned_paddle": Metric(
        "ned_paddle",
        "1.0",
        False,
        "ned without blanks: 1 - PaddleOCR's norm_edit_dis",
        "text",
        "normalise.ned_paddle",
        settings="profile:paddle|unit:codepoint",
    ),
    "exact": Metric(
        "exact", "1.0", True, "1 where the texts are equal, else 0; corpus: share of the samples", "text", "text.exact"
    ),
    "cer_graphemes": Metric(
        "cer_graphemes",
        "1.0",
        False,
        f"edits between letters as they are drawn / {_RATE}",
        "text",
        "text.cer_graphemes",
        "sum / sum",
        "unit:cluster",
    ),
    "cer_lines": Metric(
        "cer_lines",
        "1.0",
        False,
        f"edits between lines, paired whatever their order / {_RATE}",
        "text",
        "text.cer_lines",
        "sum / sum",
        "unit:codepoint|lines:assigned",
    ),
    "cer_unspaced": Metric(
        "cer_unspaced",
        "1.0",
        False,
        f"edits between code points, white space left out / {_RATE}",
        "text",
        "text.cer_unspaced",
        "sum / sum",
        "unit:codepoint|space:none",
    ),
    "script_share": Metric(
        "script_share",
        "1.0",
        True,
        "share of the answer's letters that are of the reference's main script",
        "text",
        "text.script_share",
    ),
    "length_ratio": Metric(
        "length_ratio",
        "1.0",
        None,
        "code points of the answer / max(code points of the reference, 1)",
        "any",
        "text.length_ratio",
        "sum / sum",
        "unit:codepoint",
    ),
    "replacements": Metric(
        "replacements", "1.0", False, "how many U+FFFD stand in the answer", "any", "text.replacements", takes=("pred",)
    ),
    "teds": Metric(
        "teds",
        "1.0",
        True,
        "1 - tree edit distance / elements below <table>; OTSL, HTML or Markdown, read leniently",
        "table",
        "cells.teds",
        settings="variant:pubtabnet|read:lenient",
    ),
    "teds_s": Metric(
        "teds_s",
        "1.0",
        True,
        "teds of the structure alone",
        "table",
        "cells.teds_s",
        settings="variant:pubtabnet|read:lenient",
    ),
    "teds_strict": Metric(
        "teds_strict",
        "1.0",
        True,
        "teds, 0 where the answer had to be repaired to be read",
        "table",
        "cells.teds_strict",
        settings="variant:pubtabnet|read:strict",
    ),
    "cell_f1": Metric(
        "cell_f1",
        "1.0",
        True,
        "2 · cells of equal text and spans / cells of both, rows aligned in order",
        "table",
        "cells.cell_f1",
        settings="text:exact|read:lenient",
    ),
    "cell_f1_fuzzy": Metric(
        "cell_f1_fuzzy",
        "1.0",
        True,
        "cell_f1, a text counting by 1 - ned where that is at least 0.5",
        "table",
        "cells.cell_f1_fuzzy",
        settings="text:anls.5|read:lenient",
    ),
    "shape": Metric(
        "shape",
        "1.0",
        True,
        "1 where rows and columns are as many, else 0",
        "table",
        "cells.shape",
        settings="read:lenient",
    ),
    "structure": Metric(
        "structure",
        "1.0",
        True,
        "1 where all cells lie and span alike, else 0",
        "table",
        "cells.structure",
        settings="read:lenient",
    ),
    "grits_top": Metric(
        "grits_top",
        "1.0",
        True,
        "GriTS of the cells' shapes: 2 · intersection / union of aligned slots / slots of both",
        "table",
        "grits.grits_top",
        settings="read:lenient",
    ),
    "grits_con": Metric(
        "grits_con",
        "1.0",
        True,
        "GriTS of the cells' texts: 2 · common subsequence of aligned slots / slots of both",
        "table",
        "grits.grits_con",
        settings="text:lcs|read:lenient",
    ),
    "formula_ned": Metric(
        "formula_ned",
        "1.0",
        False,
        "ned of the characters of normalised LaTeX",
        "formula",
        "formula.ned",
        settings="form:sft-1|unit:codepoint",
    ),
    "formula_token_ned": Metric(
        "formula_token_ned",
        "1.0",
        False,
        "ned of the tokens of normalised LaTeX",
        "formula",
        "formula.token_ned",
        settings="form:sft-1|unit:token",
    ),
    "formula_exact": Metric(
        "formula_exact",
        "1.0",
        True,
        "1 where the normalised LaTeX is equal, else 0",
        "formula",
        "formula.exact",
        settings="form:sft-1",
    ),
    "formula_bleu": Metric(
        "formula_bleu",
        "1.0",
        True,
        "sacrebleu's sentence BLEU-4 over tokens of normalised LaTeX",
        "formula",
        "formula.bleu",
        settings="form:sft-1|tok:none|smooth:exp|eff:yes",
    ),
    "cdm": Metric(
        "cdm",
        "1.0",
        True,
        "F1 of signs by name and place as LaTeX sets them; absent without LaTeX",
        "formula",
        "cdm.cdm",
        settings="boxes:dvi|near:25|seed:42|faults:published",
    ),
    "formula_parses": Metric(
        "formula_parses",
        "1.0",
        True,
        "1 where the answer is LaTeX that two parsers accept, else 0",
        "formula",
        "formula.parses",
        takes=("pred",),
    ),
    "rms_f1": Metric(
        "rms_f1",
        "1.0",
        True,
        "DePlot's RMS-F1; a true 0 is matched by 0",
        "chart",
        "cells.chart_rms_f1",
        settings="theta:.5/.1|zero:mended|read:lenient",
    ),
    "rnss": Metric(
        "rnss",
        "1.1",
        True,
        "DePlot's RNSS; a true 0 is matched by 0, per cent are numbers",
        "chart",
        "cells.chart_rnss",
        settings="zero:mended|percent:number|read:lenient",
    ),
    "scrm": Metric(
        "scrm",
        "1.0",
        True,
        "StructChart's mAP at tolerance slight, its known faults repaired",
        "chart",
        "cells.chart_scrm",
        settings="tolerance:slight|faults:mended|read:lenient",
    ),
    "chart_cell_f1": Metric(
        "chart_cell_f1",
        "1.0",
        True,
        "cell_f1 of the chart's rows",
        "chart",
        "cells.chart_cell_f1",
        settings="text:exact|read:lenient",
    ),
    "chart_cell_f1_fuzzy": Metric(
        "chart_cell_f1_fuzzy",
        "1.0",
        True,
        "cell_f1_fuzzy of the chart's rows",
        "chart",
        "cells.chart_cell_f1_fuzzy",
        settings="text:anls.5|read:lenient",
    ),
    "det_precision": Metric(
        "det_precision",
        "1.0",
        True,
        "texts at a right place (IoU of the outlines >= 0.5, one to one) / texts of the answer",
        "spotting",
        "spotting.det_precision",
        "sum / sum",
        "iou:.5",
    ),
    "det_recall": Metric(
        "det_recall",
        "1.0",
        True,
        "texts at a right place / texts of the reference",
        "spotting",
        "spotting.det_recall",
        "sum / sum",
        "iou:.5",
    ),
    "det_f1": Metric(
        "det_f1",
        "1.0",
        True,
        "2 · texts at a right place / texts of both; ICDAR's Hmean",
        "spotting",
        "spotting.det_f1",
        "sum / sum",
        "iou:.5",
    ),
    "e2e_f1": Metric(
        "e2e_f1",
        "1.0",
        True,
        "2 · equal texts at a right place / texts of both; ICDAR's end-to-end Hmean, with upper and lower case",
        "spotting",
        "spotting.e2e_f1",
        "sum / sum",
        "iou:.5|text:exact",
    ),
    "empty": Metric(
        "empty", "1.0", False, "1 where the answer is nothing but white space", "any", "health.empty", takes=("pred",)
    ),
    "truncated": Metric(
        "truncated",
        "1.0",
        False,
        "1 where the server stopped at max_tokens",
        "any",
        "health.truncated",
        takes=("finish_reason",),
    ),
    "runaway": Metric(
        "runaway",
        "1.0",
        False,
        "1 where the answer is twice as long as the reference and half of the excess a repetition at its end",
        "any",
        "health.runaway",
    ),
    "repetition": Metric(
        "repetition",
        "1.0",
        False,
        "share of the answer that is one unit over and over at its end",
        "any",
        "health.repetition",
        takes=("pred",),
    ),
    "wrong_format": Metric(
        "wrong_format",
        "1.0",
        False,
        "1 where the answer is not in the notation of its task",
        "any",
        "health.wrong_format",
        takes=("pred", "task"),
    ),
}


def function(name: str) -> Callable[..., Any]:
    """The function of a metric; its module is imported now. KeyError: no such metric."""
    module, _, attribute = METRICS[name].function.rpartition(".")
    loaded: Callable[..., Any] = getattr(import_module(f"sft.metrics.{module}"), attribute)
    return loaded
