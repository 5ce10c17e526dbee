"""Pages of PPOCRLabel, ICDAR and Label Studio as samples for Spotting: one a picture, places as PaddleX reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paddlex_functions import load_uilts
from PIL import Image

from sft import formats
from sft.convert.driver import NothingUsable, convert
from sft.convert.request import options_of
from sft.convert.worker import ConvertRequest
from sft.errors import UsageError
from sft.files import read_samples, rejects_path
from sft.formats.base import Item, Picture, Reject
from sft.formats.shared import spotting
from sft.models import get
from sft.runtime.runner import Runner
from sft.types import Sample, Task
from sft.validate import Context, validate

SIZE = (400, 200)
BOX = [[40, 20], [120, 20], [120, 40], [40, 40]]
PLACES = "<|LOC_100|><|LOC_100|><|LOC_300|><|LOC_100|><|LOC_300|><|LOC_200|><|LOC_100|><|LOC_200|>"


def run(name: str, source: Path, folder: Path) -> tuple[list[Sample], list[dict[str, str]]]:
    out = folder / "out.jsonl"
    options = options_of(formats.get(name), {}, task=Task.SPOTTING)
    convert(ConvertRequest(name, source, out, options, model="1.5"), Runner(workers=1))
    rejects = rejects_path(out)
    rejected = [json.loads(line) for line in rejects.read_text("utf-8").splitlines()] if rejects.exists() else []
    samples = [sample for _, sample in read_samples(out)]
    report = validate(out, Context(folder, get("1.5")))
    assert not [problem for problem in report.problems if problem.severity == "error"], report.problems
    return samples, rejected


def page(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, "white").save(path)
    return path


def test_ppocrlabel(tmp_path: Path) -> None:
    page(tmp_path / "in" / "a.png")
    boxes = [
        {"transcription": "MASA", "points": BOX},
        {"transcription": "###", "points": BOX},
        {"transcription": "thin", "points": [[0, 0], [0.1, 0], [0.1, 0.05], [0, 0.05]]},
        {"transcription": "many", "points": [[40, 20], [80, 20], [120, 20], [120, 40], [40, 40]]},
        {"transcription": "back", "points": [[40, 20], [40, 40], [120, 40], [120, 20]]},
    ]
    (tmp_path / "in" / "Label.txt").write_text("in/a.png\t" + json.dumps(boxes) + "\n", "utf-8")
    samples, rejects = run("ppocrlabel", tmp_path / "in", tmp_path)
    assert [sample.ref for sample in samples] == [f"MASA{PLACES}many{PLACES}back{PLACES}"]
    assert (samples[0].prompt, len(samples[0].image_info)) == ("Spotting:", 1)
    assert [(one["where"], one["code"]) for one in rejects] == [
        ("Label.txt:1#1", "source.ignored"),
        ("Label.txt:1#2", "source.geometry"),
    ]
    with Image.open(tmp_path / samples[0].image_info[0].image_url) as shown:
        assert shown.size == SIZE


def test_icdar(tmp_path: Path) -> None:
    page(tmp_path / "in" / "img_1.png")
    words = "40,20,120,20,120,40,40,40,Genaxis Theatre\n40,20,120,20,120,40,40,40,###\n"
    (tmp_path / "in" / "gt_img_1.txt").write_text(words, "utf-8")
    samples, rejects = run("icdar", tmp_path / "in", tmp_path)
    assert [sample.ref for sample in samples] == [f"Genaxis Theatre{PLACES}"]
    assert [one["code"] for one in rejects] == ["source.ignored"]


def test_cropped_words_have_no_places(tmp_path: Path) -> None:
    page(tmp_path / "in" / "word_1.png")
    (tmp_path / "in" / "gt.txt").write_text('word_1.png, "Genaxis"\n', "utf-8")
    with pytest.raises(NothingUsable, match="source.geometry 1"):
        run("icdar", tmp_path / "in", tmp_path)


def test_label_studio(tmp_path: Path) -> None:
    page(tmp_path / "a.png")
    value = {"x": 10, "y": 10, "width": 20, "height": 10, "rotation": 0}
    result = [
        {"id": "1", "type": "rectangle", "original_width": 400, "original_height": 200, "value": value},
        {"id": "1", "type": "textarea", "from_name": "t", "value": {**value, "text": ["TOTAL"]}},
        {"id": "2", "type": "textarea", "from_name": "t", "value": {"text": ["of the whole picture"]}},
    ]
    task = {"id": 1, "data": {"ocr": "a.png"}, "annotations": [{"result": result}]}
    source = tmp_path / "in.json"
    source.write_text(json.dumps([task]), "utf-8")
    samples, rejects = run("label-studio", source, tmp_path)
    assert [sample.ref for sample in samples] == [f"TOTAL{PLACES}"]
    assert [one["code"] for one in rejects] == ["source.geometry"]


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    item = Item("x:1", Picture(path=tmp_path / "no.png", quad=((0, 0), (9, 0), (9, 9), (0, 9))), "a", Task.SPOTTING)
    remote = Item("x:2", Picture(url="https://example.org/a.png", quad=item.picture.quad), "a", Task.SPOTTING)
    assert [read.code for read in spotting.pages([item, remote], "x") if isinstance(read, Reject)] == [
        "image.missing",
        "source.inexpressible",
    ]


def test_pages_are_not_cut_and_spotted_at_once(tmp_path: Path) -> None:
    page(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "Label.txt").write_text("in/a.png\t[]\n", "utf-8")
    with pytest.raises(UsageError, match="--as-served"):
        options = options_of(formats.get("ppocrlabel"), {}, task=Task.SPOTTING, as_served=True)
        convert(
            ConvertRequest("ppocrlabel", tmp_path / "in", tmp_path / "o.jsonl", options, model="1.5"), Runner(workers=1)
        )


@given(st.tuples(*[st.integers(0, 199)] * 4).filter(lambda box: box[0] + 5 < box[2] and box[1] + 5 < box[3]))
def test_paddlex_puts_the_box_where_it_was(box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    quad = ((left, top), (right, top), (right, bottom), (left, bottom))
    places = spotting._places(quad, SIZE)
    label = "a" + "".join(f"<|LOC_{place}|>" for place in places)
    _, theirs = load_uilts().post_process_for_spotting(label, *SIZE)
    for (x, y), (back_x, back_y) in zip(quad, theirs["rec_polys"][0], strict=True):
        assert abs(x - back_x) <= SIZE[0] / 2000 + 1e-9 and abs(y - back_y) <= SIZE[1] / 2000 + 1e-9
