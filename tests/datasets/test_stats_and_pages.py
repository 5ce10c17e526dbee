"""`sft stats` counts right, its pages mean what the rows say, and nothing a stranger wrote gets out of them."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.cli import sft as command
from sft.datasets.stats import gather
from sft.errors import UsageError
from sft.models import versions
from sft.report import answers
from sft.report.dataset_pages import write_stats
from sft.types import Task

VERSION = versions.MODELS["0.9B"]
HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(1)> "quoted" </td></table>'
ROWS = [
    ("Table Recognition:", r"<fcel>分组<lcel><nl><fcel>[41,51)<fcel>\( \frac{2}{30} \)<nl>"),
    ("Formula Recognition:", r"\[\sum_{i=1}^{n} \frac{a_i}{\sqrt{b}}\]"),
    ("Formula Recognition:", r"\[\href{javascript:alert(1)}{x} \text{<script>alert(1)</script>}\]"),
    ("Chart Recognition:", "月 | 22Q3\n电商 | 85"),
    ("OCR:", HOSTILE),
    ("OCR:", "বাংলা লেখা"),
    ("Read this", "another"),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = []
    for number, (prompt, answer) in enumerate(ROWS):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((30 + number, 200, 3), 255, np.uint8))
        texts = [{"text": prompt, "tag": "mask"}, {"text": answer, "tag": "no_mask"}]
        lines.append(
            json.dumps({"image_info": [{"image_url": f"{number}.png", "matched_text_index": 0}], "text_info": texts})
        )
    lines += ["{", json.dumps({"image_info": [{"image_url": "none.png"}], "text_info": texts})]
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


class Tags(HTMLParser):
    """The elements and attributes of a page, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_counts(data: Path) -> None:
    found = gather(data, VERSION, pick=100)
    assert (found.rows, found.unreadable, found.no_image) == (8, 1, 1)
    assert dict(found.counts["task"]) == {"table": 1, "formula": 2, "chart": 1, "ocr": 2, "another prompt": 2}
    assert (
        found.counts["script"]["Bengali"] == 1 and found.counts["script"]["Han"] == 1
    )  # of the table the LaTeX counts  # OTSL tokens are no Latin text
    heights = found.numbers("height")
    assert heights is not None and (
        heights.count,
        heights.quantiles["least"],
        heights.quantiles["median"],
        heights.quantiles["most"],
    ) == (7, 30, 33, 36)
    assert sum(heights.histogram[0]) == 7
    assert [line for line, _ in found.picked] == [1, 2, 3, 4, 5, 6, 7, 9]
    assert found.numbers("sample tokens") is None


def test_rows_are_picked_evenly(tmp_path: Path) -> None:
    row = {
        "image_info": [{"image_url": "x.png"}],
        "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "a", "tag": "no_mask"}],
    }
    path = tmp_path / "all.jsonl"
    path.write_text((json.dumps(row) + "\n") * 200)
    seen = [line for seed in range(40) for line, _ in gather(path, VERSION, pick=20, seed=seed).picked]
    assert (
        len(seen) == 800
        and gather(path, VERSION, pick=20, seed=3).picked == gather(path, VERSION, pick=20, seed=3).picked
    )
    quarters = np.histogram(seen, bins=4, range=(1, 201))[0]
    assert all(150 < count < 250 for count in quarters)  # 200 expected each, six deviations wide


def test_answers_are_drawn_as_what_they_mean() -> None:
    table = answers.answer(Task.TABLE, ROWS[0][1])
    assert (
        '<td dir="auto" rowspan="1" colspan="2">分组</td>' in table.html and "<mfrac>" in table.html and not table.note
    )
    assert "repaired" in answers.answer(Task.TABLE, "<fcel>a<nl><fcel>b<fcel>c<nl>").note
    formula = answers.answer(Task.FORMULA, ROWS[1][1])
    assert "<msqrt>" in formula.html and "<munderover>" in formula.html
    assert answers.answer(Task.CHART, ROWS[3][1]).html.count("<tr>") == 2
    assert answers.answer(None, HOSTILE).html == answers.plain(HOSTILE)
    long = answers.answer(Task.OCR, "x" * 5000)
    assert len(long.html) < 4200 and "1,000 more" in long.note
    assert "nothing" in answers.answer(Task.OCR, "").html


PIECES = [
    *"ab<>&\"'\\{}[]()$^_|\n 1",
    "<fcel>",
    "<nl>",
    "<lcel>",
    "\\frac",
    "\\text{",
    "<script>",
    "\\href{javascript:1}",
    "&lt;",
    "\ud800",
]


@given(st.sampled_from([*Task, None]), st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
@settings(max_examples=400, deadline=None)
def test_nothing_gets_out(task: Task | None, text: str) -> None:
    shown = answers.answer(task, text)
    for tag, attributes in Tags(str(shown.html)).seen:
        assert tag in {"div", "span", "table", "tr", "td"} | answers.KEPT, (tag, text)
        assert attributes.keys() <= {"class", "dir", "rowspan", "colspan", "xmlns"} | answers.ATTRIBUTES, (
            attributes,
            text,
        )


def test_page_holds_rows_and_no_strangers_markup(data: Path, tmp_path: Path) -> None:
    write_stats(tmp_path / "page.html", gather(data, VERSION, pick=100))
    text = (tmp_path / "page.html").read_text("utf-8")
    seen = Tags(text).seen
    assert sum(tag == "script" for tag, _ in seen) == 1 and not any(
        key.startswith("on") for _, attributes in seen for key in attributes
    )
    assert all(
        attributes["src"] and attributes["src"].startswith("data:image/") for tag, attributes in seen if tag == "img"
    )
    assert sum(tag == "img" for tag, _ in seen) == 7 and "no picture (image.missing)" in text
    assert "&lt;script&gt;alert(1)" in text and "8 rows drawn at random" in text and "<svg" in text


def test_verbs(data: Path, tmp_path: Path) -> None:
    run = CliRunner()
    found: dict[str, Any] = json.loads(
        run.invoke(command, ["stats", str(data), "--json", "--html", str(tmp_path / "s.html")]).stdout
    )
    assert (
        found["rows"] == 8 and found["numbers"]["answer"]["count"] == 8 and (tmp_path / "s.html").stat().st_size > 5000
    )
    assert "characters of the answer" in run.invoke(command, ["stats", str(data)]).output
    done = run.invoke(command, ["view", str(data), "--rows", "3"])
    assert done.exit_code == 0, done.output
    page = data.with_suffix(".view.html").read_text("utf-8")
    assert "prompt.unknown" in page and "data-odd" in page
    empty = tmp_path / "empty.jsonl"
    empty.write_text("{\n")
    refused = run.invoke(command, ["view", str(empty)])
    assert isinstance(refused.exception, UsageError) and "no row that can be shown" in str(refused.exception)
    for words in (["view", str(data), "-o", str(data)], ["stats", str(data), "--html", str(data)]):
        over = run.invoke(command, words)
        assert isinstance(over.exception, UsageError) and "a page is an .html file" in str(over.exception)
    assert data.read_text("utf-8").startswith("{")


def test_comments_and_instructions_of_a_formula_are_left_out() -> None:
    for hidden in ("<!-- hidden -->", "<?hidden ><img src=x onerror=alert(1)> ?>"):
        shown = answers.answer(Task.FORMULA, f"\\text{{a{hidden}b}}")
        assert "<!--" not in shown.html and "<?" not in shown.html and "<img" not in shown.html
