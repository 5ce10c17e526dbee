"""Places of Spotting over the picture, in the report and in the view."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from sft.report import answers, samples
from sft.report.data import gather
from sft.report.dataset_pages import card, write_view
from sft.types import Image as SampleImage
from sft.types import Prediction, Sample, Task, Text

CORNERS = "".join(f"<|LOC_{place}|>" for place in (100, 100, 300, 100, 300, 150, 100, 150))
LABEL = f"Genaxis{CORNERS}<b>{CORNERS}"
POINTS = "100,100 300,100 300,150 100,150"


def test_view_draws_the_boxes_and_lists_the_texts(tmp_path: Path) -> None:
    Image.new("RGB", (80, 40), "white").save(tmp_path / "a.png")
    sample = Sample((Text("Spotting:", "mask"), Text(LABEL, "no_mask")), (SampleImage("a.png"),))
    page = tmp_path / "view.html"
    write_view(page, "rows", [card(1, sample, tmp_path)], [])
    content = page.read_text("utf-8")
    assert content.count(f'<polygon points="{POINTS}"/>') == 2
    assert '<li dir="auto">Genaxis</li><li dir="auto">&lt;b&gt;</li>' in content


def test_an_answer_without_places_is_text() -> None:
    assert answers.outlines_svg("only words") == ""
    assert "only words" in answers.answer(Task.SPOTTING, "only words").html
    assert answers.outlines("a<|LOC_5|>") == []


def test_a_runaway_draws_some_of_its_boxes() -> None:
    assert len(answers.outlines(LABEL * 5000)) == answers.MAX_OUTLINES


def test_report_has_the_places_of_both(tmp_path: Path) -> None:
    moved = LABEL.replace("LOC_300", "LOC_350")
    preds = [Prediction(1, "a.png", "Spotting:", LABEL, moved)]
    data = gather([("run", preds)])
    content, _, _ = samples.collect(data, tmp_path, tmp_path / "report.html")
    row = content["samples"][0]
    assert row["places"] == [POINTS] * 2
    assert row["answers"][0]["places"] == [POINTS.replace("300", "350")] * 2
