"""One HTML page that shows how good a model is, how sure that is, and where it is wrong; and the functions of the other
reports.

The page is one file that asks the network for nothing. What stands in it is untrusted: from files and from a model: the
template escapes it, the samples are JSON that the page's script turns into text nodes only, and a content security
policy lets no other script run. `sft.report.data.gather` puts the runs together once for all kinds of report.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sft.evaluation import HEADLINE, HEALTH, SCORES, Condition, GateResult
from sft.evaluation import conditions as run_conditions
from sft.files import atomic_write
from sft.metrics import text as text_metrics
from sft.report import plots, rendering, samples
from sft.report import wording as words
from sft.report.data import SETS, ReportData, RunDifference
from sft.report.exports import WARNING, write_csv, write_junit, write_markdown
from sft.report.findings import findings, moved
from sft.report.text_diff import Confusions
from sft.report.thumbnails import Pictures

FONT = Path(__file__).parent.parent / "synth" / "fonts" / "NotoSansBengali-Regular.ttf"
FAMILY = "Bengali of this page"
LETTERS = re.compile("[\u0980-\u09ff]")
WITH = (  # dandas, joiners, and the circle that a mark without its letter stands on
    "\u0020\u0964\u0965\u200c\u200d\u25cc"
)
RANGE = "U+0980-09FF, U+0964-0965, U+200C-200D, U+25CC"


def face(text: str) -> str:
    """The @font-face rule for the Bengali letters of a page; "" where it has none."""
    letters = "".join(sorted(set(LETTERS.findall(text))))
    return _face(letters) if letters else ""


@lru_cache(maxsize=8)
def _face(letters: str) -> str:
    encoded = base64.b64encode(subset(letters)).decode()
    return (
        f'@font-face {{ font-family: "{FAMILY}"; src: url(data:font/ttf;base64,{encoded}); unicode-range: {RANGE}; }}'
    )


def subset(letters: str) -> bytes:
    """The font with these letters alone, and whatever they become beside each other; without hints, which small print
    on old screens had.
    """
    import uharfbuzz as hb

    wanted = hb.SubsetInput()
    wanted.sets(hb.SubsetInputSets.UNICODE).set(
        {ord(letter) for letter in letters + WITH + unicodedata.normalize("NFD", letters)}
    )  # shaping takes ো apart
    wanted.flags = hb.SubsetFlags.NO_HINTING
    face = hb.subset(
        hb.Face(hb.Blob.from_file_path(str(FONT))),
        wanted,
    )
    return bytes(face.blob.data)


__all__ = ["write_all", "write_report"]

SHAPES = (  # of runs and tasks, around 0,0 with a radius of about 4: a colour alone is not seen by everybody
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-5L5 0L0 5L-5 0z",
    "M0-4.8L4.8 3.6H-4.8z",
    "M0 4.8L4.8-3.6H-4.8z",
    "M-1.5-4.6h3v3.1h3.1v3h-3.1v3.1h-3v-3.1h-3.1v-3h3.1z",
    "M-4.2-4.2H4.2L-4.2 4.2H4.2z",
    "M-1.8-5h3.6v10h-3.6z",
)
PAIR = 2  # runs whose change has a column of its own; of more, it stands below each score
KINDS = (("substituted", "Letters read as others"), ("deleted", "Letters left out"), ("inserted", "Letters added"))


def write_report(
    path: Path,
    *,
    title: str,
    data: ReportData,
    base: Path,
    notes: Sequence[tuple[str, str]] = (),
    timings: Sequence[tuple[str, float]] = (),
    gates: Sequence[GateResult] = (),
    conditions: Sequence[Condition] = (),
) -> None:
    """Write the page, whole or not at all.

    data: the runs in the order of the columns; samples are sorted by the last. base: folder that the images' paths
    count from. notes: (key, value); those called "note" are warnings. conditions: of
    `sft.evaluation.conditions.table`. timings: (stage, seconds).
    """
    content, pictures, confusions = samples.collect(data, base, path)
    from sft.report import answers

    content |= {
        "kept": sorted(answers.KEPT),
        "attributes": sorted(answers.ATTRIBUTES),
        "shapes": SHAPES,
    }
    font = face(
        "\n".join(
            [
                samples.encoded(content),
                title,
                *(text for pair in notes for text in pair),
                *(gate.gate + gate.reason for gate in gates),
            ]
        )
    )
    island = samples.encoded(content | {"font": FAMILY if font else ""})
    script = rendering.template("report.js.jinja").render()
    page = rendering.template("report.html.jinja").render(
        title=title,
        names=data.names,
        warnings=[*_warnings(data), *(value for key, value in notes if key == WARNING)],
        findings=findings(data),
        moved=moved(data),
        shapes=SHAPES,
        meanings=_meanings(data),
        arrows={words.name_of(name): words.ARROWS[item.higher_is_better] for name, item in SCORES.items()},
        by_step=all(step is not None for step in data.steps),
        tasks=[_task(data, task) for task in data.tasks],
        sets=_sets(data),
        conditions=conditions,
        broken=[gate for gate in gates if not gate.passed],
        counts=[data.counts(run) for run in range(len(data.names))],
        gates=gates,
        notes=[item for item in notes if item[0] != WARNING],
        normalisation=text_metrics.RAW,
        timings=timings,
        total=sum(seconds for _, seconds in timings),
        curves=plots.curves(data),
        size=(plots.WIDTH, plots.HEIGHT),
        margin=(plots.LEFT, plots.RIGHT),
        panels=plots.panels(data),
        confusions=_confusions(confusions),
        limits=_limits(content, pictures),
        uris=[Markup(uri) for uri in pictures.uris],  # noqa: S704  (base64)
        island=Markup(island),  # noqa: S704  (escaped for JSON)
        font=Markup(font),  # noqa: S704  (base64)
        family=FAMILY,
        script=Markup(script),  # noqa: S704  (our own)
        script_hash=_hash(script),
    )
    with atomic_write(path) as stream:
        stream.write(page.encode("utf-8", "replace"))  # half a surrogate pair in a name must not cost the page


def write_all(
    folder: Path,
    data: ReportData,
    *,
    title: str,
    base: Path,
    notes: Sequence[tuple[str, str]] = (),
    timings: Sequence[tuple[str, float]] = (),
    gates: Sequence[GateResult] = (),
    conditions: Sequence[Condition] | None = None,
) -> None:
    """report.html, report.md, metrics.csv and junit.xml into `folder`, all from the same figures; arguments and errors
    as of `write_report`.

    conditions: what the results.json of the runs in `folder` tell, unless given.
    """
    if conditions is None:
        conditions = run_conditions.table(run_conditions.of_folder(folder, data.names))
    write_report(
        folder / "report.html",
        title=title,
        base=base,
        notes=notes,
        timings=timings,
        data=data,
        gates=gates,
        conditions=conditions,
    )
    write_markdown(
        folder / "report.md",
        data,
        title=title,
        gates=gates,
        conditions=conditions,
        notes=notes,
    )
    write_csv(folder / "metrics.csv", data)
    write_junit(folder / "junit.xml", data, title=title, gates=gates)


def _hash(script: str) -> str:
    """What the policy knows the page's one script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _warnings(data: ReportData) -> list[str]:
    messages = list(data.notes)
    partial = [f"“{name}”" for run, name in enumerate(data.names) if data.counts(run)[1]]
    if partial:
        who = f"run {partial[0]} has" if len(partial) == 1 else f"runs {', '.join(partial[:-1])} and {partial[-1]} have"
        messages.append(
            f"Incomplete: {who} answers to only part of the samples. Lost ones are left out of all scores; do not"
            " compare them with another report's."
        )
    asked = {sum(data.counts(run)) for run in range(len(data.names))}
    if len(asked) > 1:
        messages.append(
            "The runs were not asked for the same samples. Scores are over those that all of them answered."
        )
    return messages


def _task(data: ReportData, task: str) -> dict[str, Any]:
    """The table of one task."""
    rows = [row for name in SCORES if (row := _row(data, task, name))]
    shares = [data.summary.worst.get((run, task)) for run in range(len(data.names))]
    carried = {
        "label": "Worst 1% of answers",
        "definition": "the share of the total error that they carry",
        "headline": False,
        "few": False,
        "change": None,
        "health": True,
        "cells": [
            {"text": "–" if share is None else f"{share.percent:.0%} of error", "span": "", "change": None}
            for share in shares
        ],
    }
    scored, lost = data.asked(task)
    return {
        "name": words.task_name(task),
        "n": words.counted(scored, lost),
        "scores": sorted([row for row in rows if not row["health"]], key=lambda row: not row["headline"]),
        "health": [*(row for row in rows if row["health"]), carried],
        "carried": carried,
    }


def _sets(data: ReportData) -> list[dict[str, Any]]:
    """The score that stands for its task, of every set; none where there is one set."""
    keys = dict.fromkeys(
        (item.label, item.task, item.score, item.n) for item in data.summary.figures if item.dimension == SETS
    )
    return [
        row | {"set": label, "task": words.task_name(task), "n": n}
        for label, task, name, n in keys
        if (row := _row(data, task, name, SETS, label))
    ]


def _meanings(data: ReportData) -> list[tuple[str, str]]:
    """(score, what it is) of all scores in the page."""
    used = {item.score for item in data.summary.figures}
    return [(words.with_arrow(name), item.definition) for name, item in SCORES.items() if name in used]


def _row(data: ReportData, task: str, name: str, dimension: str = "", label: str = "") -> dict[str, Any] | None:
    figures = [data.summary.figure(run, task, name, dimension, label) for run in range(len(data.names))]
    if not any(figures):
        return None
    moved = [
        _moved(change) if (change := data.summary.change(run, task, name, dimension, label)) else None
        for run in range(len(data.names))
    ]
    cells = [
        {
            "text": words.value(name, item.interval.value) if item else "–",
            "span": words.span(name, item.interval) if item else "",
            "change": change if len(figures) > PAIR else None,
        }
        for item, change in zip(figures, moved, strict=True)
    ]
    few = any(item.interval.few for item in figures if item)
    return {
        "label": words.with_arrow(name),
        "definition": SCORES[name].definition,
        "cells": cells,
        "change": moved[-1] if len(figures) == PAIR else None,
        "few": few,
        "health": name in HEALTH,
        "headline": name == HEADLINE[task],
    }


def _moved(change: RunDifference) -> dict[str, str]:
    """A change in words."""
    won = f"{change.won[0]:,} : {change.won[1]:,}" if SCORES[change.score].higher_is_better is not None else ""
    said = [
        change.words,
        words.between(change.score, change.interval),
        words.p_value(change.p_holm),
    ]
    return {
        "text": words.change(change.score, change.interval.value),
        "span": " · ".join(part for part in said if part),
        "verdict": "few" if change.words != change.verdict else change.verdict,
        "won": won,
    }


def _confusions(confusions: Sequence[Confusions]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    pairs = samples.confused(confusions)
    return [(kind, heading, pairs[kind]) for kind, heading in KINDS]


def _limits(content: dict[str, Any], pictures: Pictures) -> list[str]:
    """What the page leaves out."""
    sentences = []
    if content["left"]:
        sentences.append(
            f"The worst {len(content['samples']):,} are in the page, {content['left']:,} more are left out."
        )
    if pictures.left_out:
        sentences.append(
            f"{len(pictures.uris):,} pictures are in the page, those of the worst samples; {pictures.left_out:,} more"
            " are opened from their files."
        )
    return sentences
