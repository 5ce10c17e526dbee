"""The report page: hostile text, order, one file that asks the network for nothing."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sft.errors import EngineError, ProblemsFound, UsageError
from sft.evaluation import report
from sft.evaluation.report import diff, thumbnail, write_report
from sft.markup.text import clusters
from sft.types import Prediction

ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"


def make(number: int, answer: str, *, ref: str = "abcd", image: str = "a.png", error: str = "", finish: str = "stop") -> Prediction:
    return Prediction(number, image, "OCR:", ref, answer, finish, 0.1, error)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    Image.new("RGB", (60, 30), "white").save(tmp_path / "a.png")
    return tmp_path


def write(base: Path, *runs: list[Prediction], **options: object) -> str:
    named = list(zip(["before", "after"][-len(runs) :], runs, strict=True))
    write_report(base / "out" / "report.html", **{"title": "t", "runs": named, "base": base, "notes": [("model", "m")], **options})  # type: ignore[arg-type]
    return (base / "out" / "report.html").read_text()


def rows(page: str) -> list[str]:
    return re.findall(r'<tr class="row".*?</tr>', page, re.DOTALL)


def ids(page: str) -> list[int]:
    return [int(found) for row in rows(page) for found in re.findall(r'<div class="small">(\d+) ·', row)]


def test_hostile_text_is_text(base: Path) -> None:
    preds = [make(1, ATTACK + "x", ref=ATTACK, image=ATTACK, finish="length"), make(2, "", error=ATTACK)]
    preds = [replace(pred, prompt=ATTACK) for pred in preds]
    page = write(base, preds, title=ATTACK, notes=[(ATTACK, ATTACK)], timings=[(ATTACK, 1.0)], runs=[(ATTACK, preds)])
    assert page.count("<script>") == 1  # our own
    assert "<img src=x" not in page
    assert 'data-name="<' not in page
    assert page.count("&lt;script&gt;alert(1)") >= 12
    assert "49" not in re.sub(r"data:image[^\"]*|<style>.*?</style>", "", page, flags=re.DOTALL)


def test_one_file_that_asks_the_network_for_nothing(base: Path) -> None:
    page = write(base, [make(1, "http://example.org/a.png")])
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in page
    sources = re.findall(r"""(?:src|href|action|poster)\s*=\s*["']?([^"'\s>]+)""", page)
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"url\(|@import|<link|<iframe|fetch\(|XMLHttp", page)


def test_worst_first_by_the_last_run_and_the_lost_at_the_end(base: Path) -> None:
    before = [make(1, "x"), make(2, "abcd"), make(3, "abcd"), make(4, "abcd"), make(5, "abcd")]
    after = [make(1, "abcd"), make(2, "abcx"), make(3, "", error="503: overloaded"), make(4, "wxyz!"), make(5, "abcx")]
    page = write(base, before, after)
    assert ids(page) == [4, 2, 5, 1, 3]
    assert ["data-wrong" in row for row in rows(page)] == [True, True, True, False, True]
    assert "lost: 503: overloaded" in rows(page)[-1]
    assert "run “after” has answers to only part" in page
    assert "run “before” has answers" not in page


def test_the_table_of_scores_and_the_change(base: Path) -> None:
    page = re.sub(r"\s+", " ", write(base, [make(1, "abxy", finish="length")], [make(1, "abcd")], timings=[("train", 90.5), ("predict", 1.25)]))
    assert '">CER</th><td>50.00%</td><td>0.00%</td><td class="better">−50.00 pp</td>' in page
    assert '">Exact</th><td>0.00%</td><td>100.00%</td><td class="better">+100.00 pp</td>' in page
    assert '">Length / truth</th><td>1.000</td><td>1.000</td><td class="">+0.000</td>' in page
    assert "<td>90.5</td>" in page
    assert "<td>91.8</td>" in page  # 90.5 + 1.25
    worse = re.sub(r"\s+", " ", write(base, [make(1, "abcd")], [make(1, "abcdabcd")]))
    assert '<td class="worse">+100.00 pp</td>' in worse
    assert '<td>1.000</td><td>2.000</td><td class="worse">+1.000</td>' in worse


def test_one_run_has_no_change_and_no_seconds(base: Path) -> None:
    page = write(base, [make(1, "abcd")])
    assert "<th>change</th>" not in page
    assert "Seconds" not in page


def test_rows_are_capped_and_the_rest_is_said(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert report.MAX_ROWS == 500
    monkeypatch.setattr(report, "MAX_ROWS", 3)
    page = write(base, [make(number, "a" * number) for number in range(10, 17)])
    assert ids(page) == [16, 15, 14]
    assert "the worst 3 are shown, 4 more are left out" in page


def test_a_diff_in_the_page(base: Path) -> None:
    page = write(base, [make(1, "a<c\nd", ref="abcd")])
    assert "a<del>b</del><ins>&lt;</ins>c<ins>↵\n</ins>d</div>" in page


def test_marks_stay_with_their_letters() -> None:
    assert clusters("ক্ষমা é") == ["ক্ষ", "মা", " ", "é"]
    assert clusters("e\u0301x") == ["e\u0301", "x"]
    assert clusters("\u0301a\n\u0301") == ["\u0301", "a", "\n", "\u0301"]
    pieces = [(piece.kind, piece.text) for piece in diff("মার্চ", "মর্চ")]
    assert pieces == [("del", "মা"), ("ins", "ম"), ("same", "র্চ")]


@given(st.text(alphabet="ab \nক্ষা\u200d\u0301א", max_size=15), st.text(alphabet="ab \nক্ষা\u200d\u0301א", max_size=15))
def test_a_diff_holds_both_texts(ref: str, pred: str) -> None:
    pieces = list(diff(ref, pred))
    assert "".join(piece.text for piece in pieces if piece.kind != "ins").replace("↵\n", "\n") == ref
    assert "".join(piece.text for piece in pieces if piece.kind != "del").replace("↵\n", "\n") == pred
    assert "".join(clusters(ref)) == ref


def test_right_to_left_white_space_and_dark_mode(base: Path) -> None:
    page = write(base, [make(1, "שלום  x\ny", ref="שלום  x\ny")])
    assert page.count('<div class="text" dir="auto">שלום  x\ny</div>') == 2
    assert "white-space: pre-wrap" in page
    assert "prefers-color-scheme: dark" in page


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


def test_small_images_go_in_as_they_are_and_big_ones_do_not(tmp_path: Path) -> None:
    small, big = tmp_path / "small.png", tmp_path / "big.png"
    Image.new("RGB", (480, 30)).save(small)
    Image.new("RGBA", (961, 200), (0, 0, 0, 0)).save(big)
    assert thumbnail(small) == "data:image/png;base64," + base64.b64encode(small.read_bytes()).decode()
    shrunk = decoded(thumbnail(big))
    assert (shrunk.format, shrunk.size) == ("JPEG", (480, 100))
    assert shrunk.getpixel((5, 5)) == (255, 255, 255)  # nothing on white paper, not on black


def test_images_that_browsers_do_not_draw_are_turned_into_ones_they_do(tmp_path: Path) -> None:
    scan = tmp_path / "scan.tif"
    Image.new("1", (60, 30), 1).save(scan)
    assert thumbnail(scan).startswith("data:image/jpeg;base64,")
    sideways = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (900, 600)).save(sideways, exif=exif)
    assert decoded(thumbnail(sideways)).size == (480, 720)


@pytest.mark.parametrize(("content", "code"), [(None, "image.missing"), (b"no image", "image.unreadable")])
def test_an_image_that_cannot_be_shown_costs_no_row(base: Path, content: bytes | None, code: str) -> None:
    if content:
        (base / "b.png").write_bytes(content)
    page = write(base, [make(1, "abcd", image="b.png")])
    assert ids(page) == [1]
    assert f"no picture ({code})" in page
    assert str(base) not in page


def test_a_truncated_big_image_costs_no_row(base: Path) -> None:
    Image.effect_noise((1200, 800), 50).save(base / "b.png")
    (base / "b.png").write_bytes((base / "b.png").read_bytes()[:200_000])
    assert "no picture (image.truncated)" in write(base, [make(1, "abcd", image="b.png")])


def test_an_answer_that_never_ends_is_cut_in_the_page_only(base: Path) -> None:
    page = write(base, [make(1, "ab" * 50_000, finish="length")])
    assert "cut off at max_tokens; 96,000 more characters are not shown" in page
    assert len(page) < 60_000
    assert f"CER {(100_000 - 2) / 4:.1%}" in page


def test_half_a_surrogate_pair_does_not_cost_the_page(base: Path) -> None:
    assert rows(write(base, [make(1, "a\ud800")]))


def test_runs_must_match(base: Path) -> None:
    with pytest.raises(ProblemsFound, match="run 'after' is over other data: its sample 1 differs"):
        write(base, [make(1, "a")], [make(1, "a", ref="other")])
    with pytest.raises(UsageError, match="at least one run"):
        write(base, [make(1, "a")], runs=[])
    with pytest.raises(EngineError, match="all 1 requests are lost"):
        write(base, [make(1, "", error="x")])
    assert "not asked" in write(base, [make(1, "abcd"), make(2, "abcd")], [make(1, "abcd")])
