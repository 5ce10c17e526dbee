"""One formula, spelt out or with what cannot be seen, becomes the same label whatever format it comes in; and what
--markup takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sft.cli.convert import convert
from sft.errors import RowRejected
from sft.formats import get
from sft.formats.base import Item, SourceOptions
from sft.formats.shared.markups import MARKUPS, MEANING
from sft.formats.shared.targets import make
from sft.markup import chart
from sft.types import Task

LABELS = {
    "\\frac { a } { b } = c _ { 1 }": "\\[\\frac{a}{b}=c_{1}\\]",
    "\\left( \\frac { a } { b } \\right)": "\\[\\left(\\frac{a}{b}\\right)\\]",
    "a _ { 1 } \\hspace{1cm} \\left. b \\right|_ { x }": "\\[a_{1}\\hspace{1cm}\\left.b\\right|_{x}\\]",
    "\\begin {array} { c } { a } \\\\ { b } \\end {array}": "\\[\\begin{array}{c}{a}\\\\{b}\\end{array}\\]",
    "E=mc^2\\label{eq:mass}": "\\[E=mc^2\\]",
    "u=v \\\\": "\\[u=v\\]",
    "u=v \\nonumber \\\\": "\\[u=v\\]",
    "50\\%=x \\tag{1} % half": "\\[50\\%=x \\tag{1}\\]",
}


def _lines(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _json(folder: Path, name: str, value: Any) -> Path:
    return _lines(folder, name, [json.dumps(value)])


def im2latex(folder: Path, labels: list[str]) -> Path:
    _lines(folder, "im2latex_formulas.lst", labels)
    return _lines(folder, "im2latex_train.lst", [f"{number} {number} basic" for number in range(len(labels))])


def im2latex_normalised(folder: Path, labels: list[str]) -> Path:
    _lines(folder, "im2latex_formulas.norm.lst", labels)
    return _lines(folder, "im2latex_train_filter.lst", [f"{number}.png {number}" for number in range(len(labels))])


def unimer(folder: Path, labels: list[str]) -> Path:
    for number in range(len(labels)):
        (folder / "images").mkdir(exist_ok=True)
        (folder / "images" / f"{number:07}.png").write_bytes(b"")
    return _lines(folder, "train.txt", labels)


def hme100k(folder: Path, labels: list[str]) -> Path:
    return _lines(folder, "train_labels.txt", [f"{number}.png\t{label}" for number, label in enumerate(labels)])


def hf(folder: Path, labels: list[str]) -> Path:
    return _lines(
        folder,
        "rows.jsonl",
        [json.dumps({"file_name": f"{number}.png", "latex": label}) for number, label in enumerate(labels)],
    )


def hf_text(folder: Path, labels: list[str]) -> Path:
    return _lines(
        folder,
        "rows.jsonl",
        [json.dumps({"file_name": f"{number}.png", "text": label}) for number, label in enumerate(labels)],
    )


def csv(folder: Path, labels: list[str]) -> Path:
    return _lines(
        folder, "rows.csv", ["image,formula", *(f'{number}.png,"{label}"' for number, label in enumerate(labels))]
    )


def paddleocr_rec(folder: Path, labels: list[str]) -> Path:
    return _lines(folder, "rec.txt", [f"{number}.png\t{label}" for number, label in enumerate(labels)])


def ppocrlabel(folder: Path, labels: list[str]) -> Path:
    boxes = [{"transcription": label, "points": [[0, 0], [9, 0], [9, 9], [0, 9]]} for label in labels]
    return _lines(folder, "Label.txt", [f"x/0.png\t{json.dumps(boxes)}"])


def llava(folder: Path, labels: list[str]) -> Path:
    def turns(label: str) -> list[dict[str, str]]:
        return [{"from": "human", "value": "<image>\nFormula Recognition:"}, {"from": "gpt", "value": label}]

    return _json(
        folder,
        "rows.json",
        [{"image": f"{number}.png", "conversations": turns(label)} for number, label in enumerate(labels)],
    )


def label_studio(folder: Path, labels: list[str]) -> Path:
    return _json(
        folder,
        "export.json",
        [{"image": f"{number}.png", "transcription": label} for number, label in enumerate(labels)],
    )


def gt_pairs(folder: Path, labels: list[str]) -> Path:
    for number, label in enumerate(labels):
        (folder / f"{number}.png").write_bytes(b"")
        _lines(folder, f"{number}.gt.txt", [label])
    return folder


def omnidocbench(folder: Path, labels: list[str]) -> Path:
    blocks = [
        {"category_type": "equation_isolated", "poly": [0, 0, 9, 0, 9, 9, 0, 9], "latex": f"$${label}\n$$"}
        for label in labels
    ]
    Image.fromarray(np.full((9, 9, 3), 255, np.uint8)).save(folder / "0.png")
    return _json(
        folder, "pages.json", [{"layout_dets": blocks, "page_info": {"height": 9, "width": 9, "image_path": "0.png"}}]
    )


Source = Callable[[Path, list[str]], Path]
SOURCES: list[tuple[str, Source]] = [
    ("im2latex", im2latex),
    ("im2latex", im2latex_normalised),
    ("unimer", unimer),
    ("hme100k", hme100k),
    ("hf", hf),
    ("hf", hf_text),
    ("csv", csv),
    ("paddleocr-rec", paddleocr_rec),
    ("ppocrlabel", ppocrlabel),
    ("llava", llava),
    ("label-studio", label_studio),
    ("gt-pairs", gt_pairs),
    ("omnidocbench", omnidocbench),
]


def targets(name: str, source: Path, **given: Any) -> list[str]:
    """The targets of a source; a reject fails."""
    options = SourceOptions(task=Task.FORMULA, **given)
    found = [read for unit in get(name).units(source, options) for read in get(name).read(unit, options)]
    return [read.target if isinstance(read, Item) else str(read) for read in found]


@pytest.mark.parametrize("markup", ["auto", "latex", "latex-tokens"])
@pytest.mark.parametrize(("name", "write"), SOURCES, ids=[write.__name__ for _, write in SOURCES])
def test_every_format_gives_the_same_labels(name: str, write: Source, markup: str, tmp_path: Path) -> None:
    assert targets(name, write(tmp_path, list(LABELS)), markup=markup) == list(LABELS.values())


words = st.lists(
    st.sampled_from(
        [
            "\\frac { a } { b }",
            "\\left(",
            "\\right)",
            "+",
            "x",
            "\\alpha",
            "_ { 1 }",
            "\\label{x}",
            "\\nonumber",
            "\\\\",
            "% c",
        ]
    ),
    min_size=1,
    max_size=6,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(words.map(" ".join), min_size=1, max_size=5))
def test_formats_agree_on_any_formula(tmp_path: Path, labels: list[str]) -> None:
    def made(label: str) -> str:
        try:
            return make(Task.FORMULA, label)
        except RowRejected as error:
            return error.code

    labels = [f"y {label}" for label in labels]
    for name, write in (
        ("im2latex", im2latex),
        ("hf", hf),
        ("hme100k", hme100k),
        ("csv", csv),
        ("paddleocr-rec", paddleocr_rec),
    ):
        options = SourceOptions(task=Task.FORMULA)
        source = write(tmp_path, labels)
        found = [read for unit in get(name).units(source, options) for read in get(name).read(unit, options)]
        assert [read.target if isinstance(read, Item) else getattr(read, "code", "") for read in found] == [
            made(label) for label in labels
        ], name


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("%y^2 = x\\label{a}%", "\\[y^2 = x\\]"),
        ("F = a^2 = % b^2", "\\[F = a^2 =\\]"),
        (" %a%b", "\\[a\\]"),
    ],
)
def test_comments_of_im2latex_lost_their_line_ends(line: str, target: str, tmp_path: Path) -> None:
    """As its images show: what stands before the first %, or behind one that begins the line."""
    assert targets("im2latex", im2latex(tmp_path, [line])) == [target]


def test_markups_of_the_command_line() -> None:
    """One list for all formats: every markup that some task has, and no other."""
    (option,) = [one for one in convert.params if one.name == "markup"]
    assert set(option.type.choices) == {"auto", *MEANING}  # type: ignore[attr-defined]
    assert {name for names in MARKUPS.values() for name in names} == set(MEANING)
    assert set(MARKUPS[Task.CHART]) == set(chart.STYLES)


@pytest.mark.parametrize(
    ("task", "markup", "label", "target"),
    [
        ("formula", "latex-tokens", "\\\\frac { a } { b }", "\\[\\frac{a}{b}\\]"),
        ("table", "tsv", "a\\tb\\n1\\t2", "<fcel>a<fcel>b<nl><fcel>1<fcel>2<nl>"),
        ("table", "docling-otsl", "<ched>a<nl><fcel>1<nl>", "<fcel>a<nl><fcel>1<nl>"),
        ("chart", "training", "a | b\\n1 | 2", "a | b\n1 | 2"),
        ("chart", "structchart", "a\\\\tb\\\\n1\\\\t2", "a | b\n1 | 2"),
    ],
)
@pytest.mark.parametrize("name", ["hf", "label-studio"])
def test_markup_is_taken_by_every_format(
    name: str, task: str, markup: str, label: str, target: str, tmp_path: Path
) -> None:
    Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)).save(tmp_path / "0.png")
    row = (
        f'{{"file_name": "0.png", "text": "{label}"}}'
        if name == "hf"
        else f'[{{"image": "0.png", "transcription": "{label}"}}]'
    )
    source = _lines(tmp_path, "rows.jsonl" if name == "hf" else "export.json", [row])
    out = tmp_path / "out.jsonl"
    done = CliRunner().invoke(
        convert, [name, str(source), "-o", str(out), "--task", task, "--markup", markup, "--workers", "1"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text("utf-8"))["text_info"][1]["text"] == target
