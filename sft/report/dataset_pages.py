"""`sft stats` and `sft view` as pages: what a data set is made of, and rows of it rendered as what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from sft.datasets import MEASURES, Stats
from sft.files import atomic_write
from sft.models import TASK_OF
from sft.report import answers
from sft.report.thumbnails import picture
from sft.types import Problem, Sample
from sft.ui import counted


@dataclass(frozen=True)
class RowCard:
    """One row of the data set in a page."""

    line: int
    picture: str
    picture_note: str
    name: str
    prompt: str
    answer: Markup
    raw: str
    note: str
    problems: tuple[Problem, ...]


def card(line: int, sample: Sample, base: Path, problems: Sequence[Problem] = ()) -> RowCard:
    """A row as it is shown."""
    images = sample.prompt_images or sample.image_info
    shown_image, note = picture(base / images[0].image_url)
    shown = answers.answer(TASK_OF.get(sample.prompt), sample.ref)
    more = f"; {len(images) - 1} more images" if len(images) > 1 else ""
    return RowCard(
        line,
        shown_image,
        note,
        images[0].image_url + more,
        sample.prompt[:200],
        shown.html,
        sample.ref[: answers.MAX_SHOWN],
        shown.note,
        tuple(problems),
    )


def write_stats(path: Path, stats: Stats) -> None:
    """The numbers of a data set and the rows it picked, as one page."""
    numbers = [(name, unit, summary) for name, unit in MEASURES.items() if (summary := stats.numbers(name))]
    shares = [
        (name, counter.most_common(12), len(counter))
        for name, counter in stats.counts.items()
        if len(counter) > 1 or name in ("task", "script")
    ]
    cards = [card(line, sample, stats.path.parent) for line, sample in stats.picked]
    with atomic_write(path) as stream:
        stream.write(
            answers.page(
                "stats.html.jinja",
                title=f"{stats.path.name}: {counted(stats.rows, 'row')}",
                stats=stats,
                numbers=numbers,
                shares=shares,
                cards=cards,
            )
        )


def write_view(path: Path, title: str, cards: Sequence[RowCard], notes: Sequence[str]) -> None:
    """Rows as a page."""
    with atomic_write(path) as stream:
        stream.write(
            answers.page(
                "view.html.jinja",
                title=title,
                cards=list(cards),
                notes=list(notes),
            )
        )
