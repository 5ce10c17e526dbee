"""The samples of a page as data: what the sample browser of `report.html.jinja` draws from, one at a time.

One JSON object. A sample: id, task (its number), image, prompt (its number), ref, length in code points, hidden: how
many of them are not shown, slices, picture (its number; -1: none, and why), file: its address, grid or math of the
reference, answers. An answer: error, values of the scores, edits that make it from the reference, length, hidden,
reasons (bits), lost: why it is, grid and math as above, note: what the grid leaves out. null: not asked. Of Spotting
both have places: outlines in thousandths of the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from sft.evaluation import HEADLINE, SCORES
from sft.markup import MarkupError
from sft.metrics import text as text_metrics
from sft.report import table_diff
from sft.report.data import ReportData, ReportSample, ScoredAnswer
from sft.report.text_diff import Confusions, edits
from sft.report.thumbnails import Pictures, pictures
from sft.report.wording import dimension_name, name_of, task_name

MAX_SAMPLES = 20_000  # of one page
MAX_SHOWN = 4000  # code points of one text; a model that repeats itself fills the rest
SHORT = 300  # the same, once the texts of the page have TEXTS code points
TEXTS = 16_000_000
FORMULAS = 3000  # different ones that are drawn, a millisecond each; others are shown as they are written
CELLS = 400_000  # of all tables that are drawn
REASONS = ("wrong_format", "runaway", "truncated", "empty", "lost")  # bits of `reasons`, from 1 on
REASON_NAMES = ("wrong format", "repetition", "cut off", "empty", "lost")
TEXT_TASKS = ("ocr", "spotting", "seal", "other")


@dataclass
class Page:
    """What is collected while the samples are turned into data, worst first.

    `confusions`: per run, of its text answers that are no runaways.
    """

    data: ReportData
    confusions: list[Confusions]
    prompts: dict[str, int] = field(default_factory=dict)
    formulas: dict[str, int] = field(default_factory=dict)
    drawn: list[str] = field(default_factory=list)  # MathML
    texts: int = 0
    cells: int = 0

    @property
    def room(self) -> int:
        """Code points of the next text."""
        return MAX_SHOWN if self.texts < TEXTS else SHORT


def collect(data: ReportData, base: Path, path: Path) -> tuple[dict[str, Any], Pictures, list[Confusions]]:
    """The data of the page at `path`, its pictures, and what is confused in each run."""
    ranked = data.worst_first()
    shown = ranked[:MAX_SAMPLES]
    images = pictures([sample.image for sample in shown], base, path)
    page = Page(data, [Confusions() for _ in data.names])
    tasks = list(data.tasks)
    scores = {
        task: [
            name
            for name in SCORES
            if any(
                sample.task == task and sample.value(run, name) is not None
                for sample in shown
                for run in range(len(data.names))
            )
        ]
        for task in tasks
    }
    dimensions = list(dict.fromkeys(name for sample in shown for name in sample.labels))
    labels: list[dict[str, int]] = [{} for _ in dimensions]
    rows = []
    for sample in shown:
        row = _sample(
            page,
            sample,
            tasks.index(sample.task),
            scores[sample.task],
            images,
        )
        row["slices"] = [
            known.setdefault(sample.labels[name], len(known)) if name in sample.labels else -1
            for name, known in zip(dimensions, labels, strict=True)
        ]
        rows.append(row)
    content = {
        "runs": [clean(name) for name in data.names],
        "tasks": [
            {
                "name": task_name(task),
                "headline": scores[task].index(HEADLINE[task]) if HEADLINE[task] in scores[task] else 0,
                "scores": [
                    [name_of(name), SCORES[name].kind != "number", SCORES[name].definition, name in REASONS]
                    for name in scores[task]
                ],
            }
            for task in tasks
        ],
        "dimensions": [
            [clean(dimension_name(name)), [clean(label) for label in known]]
            for name, known in zip(dimensions, labels, strict=True)
        ],
        "prompts": list(page.prompts),
        "reasons": REASON_NAMES,
        "math": page.drawn,
        "samples": rows,
        "left": len(ranked) - len(shown),
    }
    return content, images, page.confusions


def encoded(content: object) -> str:
    """JSON that may stand inside <script>: nothing in it can end the element or begin a comment. ASCII signs only
    where it matters.
    """
    text = msgspec.json.encode(content).decode()
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def clean(text: str) -> str:
    """Text as JSON and JavaScript can have it: halves of surrogate pairs are joined or replaced."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _sample(page: Page, sample: ReportSample, task: int, names: Sequence[str], images: Pictures) -> dict[str, Any]:
    ref = clean(text_metrics.normalise(sample.ref))
    cut = ref[: page.room]
    page.texts += len(cut)
    place, why, address = images.places[sample.image]
    row: dict[str, Any] = {
        "id": sample.id,
        "task": task,
        "image": clean(sample.image[:500]),
        "prompt": page.prompts.setdefault(clean(sample.prompt[:500]), len(page.prompts)),
        "ref": cut,
        "length": len(ref),
        "picture": place,
    }
    row |= {key: value for key, value in (("hidden", len(ref) - len(cut)), ("why", why), ("file", address)) if value}
    grid = table_diff.read(sample.task, ref) if sample.task in ("table", "chart") and page.cells < CELLS else None
    if sample.task == "formula" and (number := _formula(page, ref)) is not None:
        row["math"] = number
    if grid:
        row["grid"] = table_diff.plain(grid)
        page.cells += grid.shape[0] * grid.shape[1]
    if sample.task == "spotting" and (drawn := _outlines(sample.ref)):
        row["places"] = drawn
    row["answers"] = [_answer(page, sample, run, answer, cut, names) for run, answer in enumerate(sample.answers)]
    if grid:
        _compare(page, row, grid, sample)
    return row


def _compare(page: Page, row: dict[str, Any], grid: Any, sample: ReportSample) -> None:
    """Grids of the answers; the marks in the reference are those of the last run."""
    for answer, shown in zip(sample.answers, row["answers"], strict=True):
        pieces = (
            table_diff.read(sample.task, clean(text_metrics.normalise(answer.pred.pred)))
            if answer and answer.scores is not None
            else None
        )
        if pieces is None:
            continue
        page.cells += pieces.shape[0] * pieces.shape[1]
        compared = table_diff.compare(grid, pieces)
        shown["grid"] = compared.pred
        if compared.note:
            shown["note"] = compared.note
        if shown is row["answers"][-1]:
            row["grid"] = compared.ref


def _answer(
    page: Page, sample: ReportSample, run: int, answer: ScoredAnswer | None, ref: str, names: Sequence[str]
) -> dict[str, Any] | None:
    if answer is None:
        return None
    if answer.scores is None:
        return {
            "reasons": 1 << REASONS.index("lost"),
            "lost": clean(answer.pred.error[:1000]),
        }
    text = clean(text_metrics.normalise(answer.pred.pred))
    cut = text[: page.room]
    page.texts += len(cut)
    reasons = sum(1 << bit for bit, name in enumerate(REASONS) if sample.value(run, name))
    counted = sample.task in TEXT_TASKS and not sample.value(run, "runaway")
    record: dict[str, Any] = {
        "error": round(sample.error(run) or 0.0, 4),
        "values": [None if (value := sample.value(run, name)) is None else round(value, 4) for name in names],
        "edits": edits(ref, cut, page.confusions[run] if counted else None),
        "length": len(text),
    }
    record |= {key: value for key, value in (("reasons", reasons), ("hidden", len(text) - len(cut))) if value}
    if sample.task == "formula" and (number := _formula(page, text)) is not None:
        record["math"] = number
    if sample.task == "spotting" and (drawn := _outlines(text)):
        record["places"] = drawn
    return record


def _outlines(text: str) -> list[str]:
    """Outlines as SVG writes their points, in thousandths of the picture."""
    from sft.report.answers import outlines

    return [" ".join(f"{x},{y}" for x, y in corners) for corners in outlines(text)]


def _formula(page: Page, text: str) -> int | None:
    """The number of a drawn formula."""
    if text in page.formulas:
        return page.formulas[text]
    if len(page.formulas) >= FORMULAS or not text.strip():
        return None
    from sft.report.answers import formula_html

    try:
        drawn = str(formula_html(text))
    except MarkupError:
        return None
    page.formulas[text] = len(page.drawn)
    page.drawn.append(drawn)
    return page.formulas[text]


def confused(
    confusions: Sequence[Confusions], kinds: Iterable[str] = ("substituted", "deleted", "inserted"), *, number: int = 12
) -> dict[str, list[dict[str, Any]]]:
    """The most frequent confusions of the last run, each with its count in every run."""
    from sft.report.text_diff import names, top, visible

    by_pair: dict[str, list[dict[str, Any]]] = {}
    for kind in kinds:
        by_pair[kind] = []
        for key, count in top(
            getattr(confusions[-1], kind).items(),
            number,
        ):
            parts = list(key) if isinstance(key, tuple) else [str(key)]
            counts = [getattr(item, kind)[key] for item in confusions]
            gone, new = (
                (parts[0], parts[1])
                if kind == "substituted"
                else (parts[0], "")
                if kind == "deleted"
                else ("", parts[0])
            )
            by_pair[kind].append(
                {
                    "shown": [visible(part) for part in parts],
                    "codes": " → ".join(names(part) for part in parts),
                    "count": count,
                    "counts": counts,
                    "gone": gone,
                    "new": new,
                }
            )
    return by_pair
