"""The scores of one answer, by its task; and those of many answers, on all cores.

    score_one("ocr", "২৩ মার্চ", "২৩ মাচ")  →  {"cer": 0.25, "wer": 0.5, "ned": 0.25, "exact": 0.0, "empty": 0.0, …}

A score is a pair (numerator, denominator), because the score of a set is sum / sum: a CER's pair is (edits, length of
the reference), that of any mean (score, 1). `exact` is what a task calls equal: code points for text, the scoring form
for a formula, every cell with its spans for a table. Tables and charts are read leniently, in any notation;
`teds_strict` is not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from typing import Literal

from sft.errors import UsageError
from sft.markup import plain_text
from sft.metrics import (
    MAX_CELLS,
    MAX_PAIRS,
    METRICS,
    cdm,
    cells,
    formula,
    function,
    health,
    read_chart,
    read_table,
    spotting,
    text,
)
from sft.models import TASK_OF
from sft.runtime import Runner, run
from sft.types import Prediction, Task

Of = Callable[[str, str], "Pair | None"]


def _edits(counted: Callable[..., text.Edits]) -> Of:
    """Edits over units of the reference, to be pooled."""

    def pair(ref: str, pred: str) -> Pair:
        edits = counted(ref=ref, pred=pred)
        return float(edits.distance), float(edits.length)

    return pair


def _mean(name: str) -> Of:
    """The number of a record of METRICS."""
    takes = METRICS[name].takes

    def pair(ref: str, pred: str) -> Pair | None:
        value = function(name)(**{key: given for key, given in (("ref", ref), ("pred", pred)) if key in takes})
        return None if value is None else (float(value), 1.0)

    return pair


def _unspaced(*, ref: str, pred: str) -> text.Edits:
    return text.char_edits(
        ref="".join(ref.split()),
        pred="".join(pred.split()),
    )


TEXT, TABLE, FORMULA, CHART = "text", "table", "formula", "chart"
FAMILIES: dict[str, dict[str, Of]] = {  # how answers of a task are read → score → its pair
    TEXT: {
        "cer_graphemes": _edits(text.cluster_edits),
        "cer_lines": _edits(text.line_edits),
        "cer_unspaced": _edits(_unspaced),
        "ned_omnidocbench": _mean("ned_omnidocbench"),
        "ned_paddle": _mean("ned_paddle"),
        "script_share": _mean("script_share"),
    },
    TABLE: {name: _mean(name) for name in ("cell_f1_fuzzy", "shape", "structure", "grits_top", "grits_con")},
    FORMULA: {name: _mean(name) for name in ("formula_token_ned", "formula_bleu")},
    CHART: {"cell_f1_fuzzy": _mean("chart_cell_f1_fuzzy"), "scrm": _mean("scrm")},
}
ANY: dict[str, Of] = {name: _mean(name) for name in ("repetition", "replacements")}
BATCHED = "cdm"  # one run of LaTeX for many formulas
NAMES = tuple(dict.fromkeys([*(name for scores in FAMILIES.values() for name in scores), *ANY, BATCHED]))
NEEDS = {"formula_bleu": "sacrebleu", "scrm": "scipy", "cer_lines": "scipy"}  # libraries of the extra `metrics`


def extras_of(task: str) -> tuple[str, ...]:
    """The scores of NAMES that answers of this task can have."""
    return (*FAMILIES.get(task, FAMILIES[TEXT]), *((BATCHED,) if task == FORMULA else ()), *ANY)


def require(names: Iterable[str]) -> None:
    """Before hours of asking. UsageError: a score that is asked for by name cannot be had on this machine."""
    for name in names:
        if name == BATCHED:
            cdm.require()
        elif name in NEEDS and find_spec(NEEDS[name]) is None:
            raise UsageError(f"{name} needs {NEEDS[name]}", hint="pip install 'paddleocr-vl-sft[metrics]'")


def extra_pairs(task: str, ref: str, pred: str, names: Collection[str]) -> dict[str, Pair]:
    """Those of the scores called `names` that an answer of this task has; both texts normalised. CDM comes from
    `cdm_pairs`.
    """
    known = FAMILIES.get(task, FAMILIES[TEXT]) | ANY
    extra = {
        name: known[name](ref, pred)
        for name in NAMES
        if name in names and name in known and not (name in NEEDS and find_spec(NEEDS[name]) is None)
    }
    return {name: pair for name, pair in extra.items() if pair is not None}


def cdm_pairs(refs: list[str], preds: list[str]) -> list[dict[str, Pair]]:
    """CDM of many formulas at once; nothing for those that cannot be set, and for all of them where LaTeX is
    missing.
    """
    return [{} if value is None else {BATCHED: (value, 1.0)} for value in cdm.cdm_many(refs, preds)]


Pair = tuple[float, float]
ScoreKind = Literal["share", "bounded", "rate", "number"]
OTHER = "other"  # the task of a prompt that no model version has; scored as text
SHARD = 256  # answers that one process is given at once
FEW = 1000  # answers that are scored before other processes would have started


@dataclass(frozen=True)
class SampleScore:
    """How to read one score of a sample. kind: 0 or 1 (share), 0 to 1 (bounded), from 0 on (rate), or no error at all
    (number).

    higher_is_better: None where neither is, as of a length. metrics: the records of METRICS that it is, one per kind of
    answer; what they say is not said again here. `own`: where the score is not simply their number, why; "" where it
    is.
    """

    name: str
    version: str
    kind: ScoreKind
    higher_is_better: bool | None
    definition: str
    metrics: tuple[str, ...] = ()
    own: str = ""


def _of(
    name: str, kind: ScoreKind, *metrics: str, definition: str = "", own: str = "", higher: bool | None = None
) -> SampleScore:
    """From the records in METRICS: version, direction and, of a single one, the definition; `higher` of a score that
    is the opposite of its record.
    """
    records = [METRICS[metric] for metric in metrics or (name,)]
    version = records[0].version + "".join(
        f"+{record.version}" for record in records[1:] if record.version != records[0].version
    )
    return SampleScore(
        name,
        version,
        kind,
        records[0].higher_is_better if higher is None else higher,
        definition or records[0].definition,
        tuple(record.name for record in records),
        own,
    )


_LIST = (
    _of("cer", "rate"),
    _of("wer", "rate"),
    _of("ned", "bounded"),
    _of(
        "exact",
        "share",
        "exact",
        "formula_exact",
        definition="the answer equals the reference, in the sense of its task",
        own="a table has no such record: every cell and span must be equal",
    ),
    _of("teds", "bounded"),
    _of("teds_s", "bounded"),
    _of("teds_strict", "bounded"),
    _of(
        "cell_f1",
        "bounded",
        "cell_f1",
        "chart_cell_f1",
        definition="2 · cells with equal text and spans / cells of both",
    ),
    _of(
        "similarity",
        "bounded",
        "formula_ned",
        definition="1 - normalised edit distance of the scoring forms of two formulas",
        own="1 - formula_ned",
        higher=True,
    ),
    _of("parses", "share", "formula_parses"),
    _of("rms_f1", "bounded"),
    _of("rnss", "bounded"),
    _of("det_precision", "bounded"),
    _of("det_recall", "bounded"),
    _of("det_f1", "bounded"),
    _of("e2e_f1", "bounded"),
    _of("empty", "share"),
    _of("truncated", "share"),
    _of("runaway", "share"),
    _of("wrong_format", "share"),
    _of("length_ratio", "number"),
)
_EXTRAS = (  # only where they are asked for by name
    _of("cer_graphemes", "rate"),
    _of("cer_lines", "rate"),
    _of("cer_unspaced", "rate"),
    _of("ned_omnidocbench", "bounded"),
    _of("ned_paddle", "bounded"),
    _of("script_share", "bounded"),
    _of(
        "cell_f1_fuzzy",
        "bounded",
        "cell_f1_fuzzy",
        "chart_cell_f1_fuzzy",
        definition="cell_f1, a text counting by 1 - ned where that is at least 0.5",
    ),
    _of("shape", "share"),
    _of("structure", "share"),
    _of("grits_top", "bounded"),
    _of("grits_con", "bounded"),
    _of("formula_token_ned", "bounded"),
    _of("formula_bleu", "bounded"),
    _of("cdm", "bounded"),
    _of("scrm", "bounded"),
    _of("repetition", "bounded"),
    _of("replacements", "number"),
)
EXTRAS = tuple(score.name for score in _EXTRAS)
SCORES = {score.name: score for score in (*_LIST, *_EXTRAS)}
HEALTH = ("empty", "truncated", "runaway", "wrong_format", "length_ratio")  # what every task has
HEADLINE = {  # the one score that stands for a task where forgetting is looked for
    Task.OCR.value: "cer",
    Task.TABLE.value: "teds",
    Task.FORMULA.value: "similarity",
    Task.CHART.value: "rms_f1",
    Task.SPOTTING.value: "e2e_f1",
    Task.SEAL.value: "cer",
    OTHER: "cer",
}

_OWN = {
    "table": ("teds", "teds_s", "teds_strict", "cell_f1", "exact"),
    "formula": ("similarity", "exact", "parses"),
    "chart": ("rms_f1", "rnss", "cell_f1", "exact"),
    "spotting": ("e2e_f1", "det_f1", "det_precision", "det_recall", "cer", "wer", "ned", "exact"),
}
HAS = {  # task → the scores that its answers can have, those last that have to be asked for
    task: (
        *_OWN.get(task, ("cer", "wer", "ned", "exact")),
        *(name for name in HEALTH if (name, task) != ("wrong_format", OTHER)),
        *extras_of(task),
    )
    for task in HEADLINE
}


def task_of(prompt: str) -> str:
    """The task that a prompt asks for in any model version ("ocr"); "other" for a prompt of the user's own."""
    task = TASK_OF.get(prompt.strip())
    return task.value if task else OTHER


def score_one(task: str, ref: str, pred: str, *, finish_reason: str = "stop") -> dict[str, float]:
    """Every score of one answer: numerator / max(denominator, 1). `task`: a value of Task, or "other"."""
    return {
        name: numerator / max(denominator, 1.0)
        for name, (numerator, denominator) in pairs_one(task, ref, pred, finish_reason=finish_reason).items()
    }


def pairs_one(
    task: str, ref: str, pred: str, *, finish_reason: str = "stop", extras: Collection[str] = ()
) -> dict[str, Pair]:
    """The same as pairs, and those of `extras` (of EXTRAS) that do not need many answers at once, as CDM does.

    Never raises for what stands in an answer. UsageError: a chart, and scipy is missing.
    """
    wanted = text.normalise(ref)
    pred_text = text.normalise(pred)
    pairs = _TASKS.get(task, text_pairs)(wanted, pred_text)
    pairs |= _ones(
        empty=health.empty(pred=pred),
        truncated=health.truncated(finish_reason=finish_reason),
        runaway=health.runaway(ref=ref, pred=pred),
    )
    if task in _KNOWN:
        pairs["wrong_format"] = health.wrong_format(pred=pred, task=Task(task)), 1.0
    pairs["length_ratio"] = float(len(pred_text)), float(len(wanted))
    return pairs | extra_pairs(task, wanted, pred_text, extras) if extras else pairs


def pairs_of(
    preds: Sequence[Prediction],
    runner: Runner | None = None,
    *,
    extras: Collection[str] = (),
    progress: Callable[[int], object] = lambda _: None,
) -> list[dict[str, Pair] | None]:
    """`pairs_one` of every prediction, in order; None for a lost one. Equal pairs are scored once.

    runner: where; the cores of this machine unless given. extras: of EXTRAS; what cannot be had here is absent.
    progress hears how many are done. UsageError: charts without scipy.
    """
    keys: list[tuple[str, str, str, str] | None] = [
        None if pred.error else (task_of(pred.prompt), pred.ref, pred.pred, pred.finish_reason) for pred in preds
    ]
    different = list(dict.fromkeys(key for key in keys if key))
    if any(key[0] == Task.CHART.value for key in different) and find_spec("scipy") is None:
        raise UsageError("scores of charts need scipy", hint="pip install 'paddleocr-vl-sft[metrics]'")
    rows: list[dict[str, Pair]] = []
    shards = ((shard, tuple(extras)) for shard in ([different] if len(different) < FEW else _shards(different)))
    for part in run(_score_shard, shards, runner or Runner()):
        rows += part
        progress(round(len(rows) / max(len(different), 1) * len(preds)))
    table = dict(zip(different, rows, strict=True))
    if BATCHED in extras:
        formulas = [key for key in table if key[0] == Task.FORMULA.value]
        for key, more in zip(
            formulas, cdm_pairs([key[1] for key in formulas], [key[2] for key in formulas]), strict=True
        ):
            table[key] |= more
    return [table[key] if key else None for key in keys]


def _shards(keys: Iterable[tuple[str, str, str, str]]) -> Iterator[list[tuple[str, str, str, str]]]:
    rest = iter(keys)
    while part := list(islice(rest, SHARD)):
        yield part


def _score_shard(job: tuple[list[tuple[str, str, str, str]], tuple[str, ...]]) -> list[dict[str, Pair]]:
    keys, extras = job
    return [pairs_one(task, ref, pred, finish_reason=reason, extras=extras) for task, ref, pred, reason in keys]


def _ones(**scores: float) -> dict[str, Pair]:
    return {name: (score, 1.0) for name, score in scores.items()}


def totals(rows: Iterable[Mapping[str, Pair] | None]) -> dict[str, float]:
    """The scores of a set: of each, sum of numerators / max(sum of denominators, 1), over the samples that have it;
    None is left out.
    """
    sums: dict[str, list[float]] = {}
    for row in rows:
        for name, (numerator, denominator) in (row or {}).items():
            total = sums.setdefault(name, [0.0, 0.0])
            total[0] += numerator
            total[1] += denominator
    return {name: numerator / max(denominator, 1.0) for name, (numerator, denominator) in sums.items()}


def text_pairs(ref: str, pred: str) -> dict[str, Pair]:
    """The scores of normalised texts as texts, whatever their task."""
    letters = text.char_edits(ref=ref, pred=pred)
    words = text.word_edits(ref=ref, pred=pred)
    ned = letters.distance / max(len(ref), len(pred), 1)
    return {
        "cer": _pair(letters),
        "wer": _pair(words),
        **_ones(ned=ned, exact=text.exact(ref=ref, pred=pred)),
    }


def _pair(edits: text.Edits) -> Pair:
    return float(edits.distance), float(edits.length)


def _table(ref: str, pred: str) -> dict[str, Pair]:
    wanted = read_table(ref).grid
    pred_table = read_table(pred)
    sizes = [sum(map(len, grid.rows)) for grid in (wanted, pred_table.grid)]
    equal = (wanted.rows, wanted.spans) == (pred_table.grid.rows, pred_table.grid.spans) and (
        bool(wanted.rows) or ref == pred
    )  # which cells are headings, OTSL cannot say
    if not equal and (sizes[0] * sizes[1] > MAX_PAIRS or sizes[1] > MAX_CELLS):
        return _ones(
            teds=0.0, teds_s=0.0, teds_strict=0.0, cell_f1=cells.cell_f1(ref=wanted, pred=pred_table.grid), exact=0.0
        )
    teds = 1.0 if equal else max(cells.teds(ref=wanted, pred=pred_table.grid), 0.0)
    return _ones(
        teds=teds,
        teds_s=1.0 if equal else max(cells.teds_s(ref=wanted, pred=pred_table.grid), 0.0),
        teds_strict=teds if pred_table.strict or ref == pred else 0.0,
        cell_f1=1.0 if equal else cells.cell_f1(ref=wanted, pred=pred_table.grid),
        exact=float(equal),
    )


def _formula(ref: str, pred: str) -> dict[str, Pair]:
    return _ones(
        similarity=1 - formula.ned(ref=ref, pred=pred),
        exact=formula.exact(ref=ref, pred=pred),
        parses=formula.parses(pred=pred),
    )


def _chart(ref: str, pred: str) -> dict[str, Pair]:
    wanted = read_chart(ref)
    pred_chart = read_chart(pred)
    return _ones(
        rms_f1=cells.chart_rms_f1(ref=wanted, pred=pred_chart),
        rnss=cells.chart_rnss(ref=wanted, pred=pred_chart),
        cell_f1=cells.chart_cell_f1(ref=wanted, pred=pred_chart),
        exact=text.exact(ref=ref, pred=pred),
    )


def _spotting(ref: str, pred: str) -> dict[str, Pair]:
    """Texts as texts, without their places, and both by place; pairs are counts, so that a set's score is ICDAR's."""
    counted = spotting.hits(ref=ref, pred=pred)
    both = float(counted.ref + counted.pred)
    by_place = {
        "det_precision": (float(counted.placed), float(counted.pred)),
        "det_recall": (float(counted.placed), float(counted.ref)),
        "det_f1": (2.0 * counted.placed, both),
        "e2e_f1": (2.0 * counted.equal, both),
    }
    return {
        **text_pairs(plain_text(ref), plain_text(pred)),
        **_ones(exact=text.exact(ref=ref, pred=pred)),
        **{name: pair for name, pair in by_place.items() if pair[1]},
    }


_TASKS: Mapping[str, Callable[[str, str], dict[str, Pair]]] = {
    "table": _table,
    "formula": _formula,
    "chart": _chart,
    "spotting": _spotting,
}  # all others are text
_KNOWN = frozenset(task.value for task in Task)
