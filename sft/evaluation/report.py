"""One HTML page that shows where a model is wrong: image, truth, every run's answer with its edits marked; worst first.

The page is one file that asks the network for nothing. What stands in it was written by strangers and by a model, so the
template escapes all of it and a content security policy forbids everything that is not in the page itself.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from PIL import Image as Pillow
from PIL import ImageOps
from rapidfuzz.distance import Levenshtein

from sft.errors import ProblemsFound, UsageError
from sft.evaluation.predict import data_uri
from sft.evaluation.score import Scores, score
from sft.images import ImageProblem, probe
from sft.jsonl import atomic_write
from sft.markup.text import clusters
from sft.metrics import METRICS
from sft.metrics.text import RAW, cer, normalise
from sft.types import Prediction

MAX_ROWS = 500
MAX_WIDTH, MAX_HEIGHT = 480, 1600  # pixels of an image in the page
MAX_INLINE = 128 * 1024  # bytes; a small file goes in as it is
MAX_SHOWN = 4000  # code points of one text in the page; a model that repeats itself fills the rest
BROWSER_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
JPEG_QUALITY = 85
MEASURES = {  # fields of Scores → what the page calls them
    "cer": "CER", "cer_mean": "CER, mean of samples", "wer": "WER", "ned": "NED",
    "exact": "Exact", "empty": "Empty answers", "truncated": "Cut off at max_tokens", "length_ratio": "Length / truth",
}  # fmt: skip
EXPLAINED = {
    "cer_mean": "every sample weighs the same", "empty": "answers with nothing but white space",
    "truncated": "answers that ran into the limit", "length_ratio": "code points of all answers / of all truths; 1 is right",
}  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A stretch of a diff. kind: same, del (in the truth only) or ins (in the answer only)."""

    kind: str
    text: str


@dataclass(frozen=True)
class Answer:
    """One run's answer to one sample as the page shows it; `cer` None where it is lost or was never asked."""

    run: str
    pieces: tuple[Piece, ...] = ()
    cer: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One sample of the page. `image` is a data URI, or empty with `image_note` saying why."""

    id: int
    name: str
    prompt: str
    truth: str
    image: str
    image_note: str
    answers: tuple[Answer, ...]

    @property
    def wrong(self) -> bool:
        """Whether the last run's answer is anything but right."""
        return self.answers[-1].cer != 0


@dataclass(frozen=True)
class Measure:
    """One line of the table of metrics; `verdict` on the last against the first run: better, worse or nothing."""

    label: str
    definition: str
    values: tuple[str, ...]
    delta: str
    verdict: str


def write_report(
    path: Path,
    *,
    title: str,
    runs: Sequence[tuple[str, Sequence[Prediction]]],
    base: Path,
    notes: Sequence[tuple[str, str]] = (),
    timings: Sequence[tuple[str, float]] = (),
) -> None:
    """Write the page, whole or not at all.

    runs: (name, predictions) in the order of the columns; rows are sorted by the last. base: folder that the images' paths
    count from. notes: (key, value). timings: (stage, seconds). UsageError: no runs. ProblemsFound: runs over different data.
    EngineError: a run in which every request is lost.
    """
    if not runs:
        raise UsageError("a report needs at least one run")
    scores = [score(preds) for _, preds in runs]
    groups = _ranked(runs)
    shown = [_row(group, [name for name, _ in runs], base) for group in groups[:MAX_ROWS]]
    page = _template().render(
        title=title, names=[name for name, _ in runs], scores=scores, measures=_measures(scores), rows=shown, left_out=len(groups) - len(shown),
        notes=notes, timings=timings, total=sum(seconds for _, seconds in timings), normalisation=RAW,
    )  # fmt: skip
    with atomic_write(path) as stream:
        stream.write(page.encode("utf-8", "replace"))  # half a surrogate pair in an answer must not cost the page


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("report.html.jinja")


def _ranked(runs: Sequence[tuple[str, Sequence[Prediction]]]) -> list[list[Prediction | None]]:
    """Per sample one prediction or None per run; highest CER of the last run first, what it has no answer for at the end."""
    groups: dict[int, list[Prediction | None]] = {}
    for column, (name, preds) in enumerate(runs):
        for pred in preds:
            group = groups.setdefault(pred.id, [None] * len(runs))
            first = next((other for other in group if other), pred)
            if (first.ref, first.image) != (pred.ref, pred.image):
                raise ProblemsFound(f"run {name!r} is over other data: its sample {pred.id} differs", hint="predict both runs over the same file")
            group[column] = pred
    return sorted(groups.values(), key=_worst_first)


def _worst_first(group: list[Prediction | None]) -> tuple[bool, float, int]:
    last, some = group[-1], next(pred for pred in group if pred)
    rate = _cer(last)
    return rate is None, -(rate or 0.0), some.id


def _cer(pred: Prediction | None) -> float | None:
    if pred is None or pred.error:
        return None
    return cer(ref=normalise(pred.ref), pred=normalise(pred.pred))


def _row(group: list[Prediction | None], names: list[str], base: Path) -> Row:
    some = next(pred for pred in group if pred)
    image, note = "", ""
    try:
        image = thumbnail(base / some.image)
    except ImageProblem as problem:
        note = f"no picture ({problem.code})"  # its message names folders of this machine; the page is passed on
    except (OSError, ValueError, SyntaxError, MemoryError, Pillow.DecompressionBombError):
        note = "no picture (image.truncated)"
    answers = tuple(_answer(name, pred) for name, pred in zip(names, group, strict=True))
    return Row(some.id, some.image, some.prompt, _cut(normalise(some.ref)), image, note, answers)


def _answer(name: str, pred: Prediction | None) -> Answer:
    if pred is None:
        return Answer(name, note="not asked")
    if pred.error:
        return Answer(name, note=f"lost: {pred.error}")
    ref, text = normalise(pred.ref), normalise(pred.pred)
    notes = ["cut off at max_tokens"] if pred.finish_reason == "length" else []
    if len(text) > MAX_SHOWN:
        notes.append(f"{len(text) - MAX_SHOWN:,} more characters are not shown")
    return Answer(name, tuple(diff(ref[:MAX_SHOWN], text[:MAX_SHOWN])), _cer(pred), "; ".join(notes))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} … ({len(text) - MAX_SHOWN:,} more characters)"


def diff(ref: str, pred: str) -> Iterator[Piece]:
    """The edits that turn the truth into the answer, between clusters, so that no mark is torn from its letter."""
    before, after = clusters(ref), clusters(pred)
    for edit in Levenshtein.opcodes(before, after):
        gone, new = "".join(before[edit.src_start : edit.src_end]), "".join(after[edit.dest_start : edit.dest_end])
        if edit.tag == "equal":
            yield Piece("same", gone)
        else:
            yield from (Piece(kind, text.replace("\n", "↵\n")) for kind, text in (("del", gone), ("ins", new)) if text)


def thumbnail(path: Path) -> str:
    """An image as a data URI, at most 480 x 1600 px; a small file in a format that browsers draw goes in as it is.

    Raises ImageProblem where it is not an image, and what Pillow raises where it cannot be decoded.
    """
    header = probe(path)
    if header.format in BROWSER_FORMATS and header.width <= MAX_WIDTH and header.height <= MAX_HEIGHT and path.stat().st_size <= MAX_INLINE:
        return data_uri(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own bomb warning; `probe` has looked at the size
        with Pillow.open(path) as image:
            image.draft("RGB", (MAX_WIDTH, MAX_HEIGHT))  # lets a JPEG decode at a fraction of its size
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    upright.thumbnail((MAX_WIDTH, MAX_HEIGHT))
    paper = Pillow.new("RGBA", upright.size, "white")  # JPEG has no transparency
    stream = io.BytesIO()
    Pillow.alpha_composite(paper, upright).convert("RGB").save(stream, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _measures(scores: Sequence[Scores]) -> list[Measure]:
    return [_measure(name, label, [getattr(item, name) for item in scores]) for name, label in MEASURES.items()]


def _measure(name: str, label: str, values: list[float]) -> Measure:
    change = values[-1] - values[0]
    ratio = name == "length_ratio"  # the only one that is no share, and best at 1
    shown = tuple(f"{value:.3f}" if ratio else f"{value:.2%}" for value in values)
    delta = f"{change:+.3f}" if ratio else f"{change * 100:+.2f} pp"
    gain = abs(values[0] - 1) - abs(values[-1] - 1) if ratio else change if name == "exact" else -change
    verdict = "" if abs(gain) < 5e-5 else "better" if gain > 0 else "worse"  # below what the table prints
    definition = METRICS[name].definition if name in METRICS else EXPLAINED[name]
    return Measure(label, definition, shown, delta.replace("-", "−") if len(values) > 1 else "", verdict)
