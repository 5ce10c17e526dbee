"""The report page: hostile text, order, one file that asks the network for nothing.

How it behaves in a browser: `test_pages_chromium.py`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sft.errors import EngineError, UsageError
from sft.evaluation.conditions import table
from sft.evaluation.gates import GateResult
from sft.markup.text import clusters
from sft.metrics.text import normalise
from sft.report import html, thumbnails
from sft.report import samples as report_samples
from sft.report.data import gather
from sft.report.html import write_report
from sft.report.text_diff import diff, edits
from sft.report.thumbnails import thumbnail
from sft.types import Prediction

ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}<!--"


def make(
    number: int,
    answer: str,
    *,
    ref: str = "abcd",
    image: str = "a.png",
    error: str = "",
    finish: str = "stop",
    prompt: str = "OCR:",
) -> Prediction:
    return Prediction(number, image, prompt, ref, answer, finish, 0.1, error)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    Image.new("RGB", (60, 30), "white").save(tmp_path / "a.png")
    return tmp_path


def write(base: Path, *runs: list[Prediction], **options: object) -> str:
    named = list(zip(["before", "after"][-len(runs) :], runs, strict=True))
    given: dict[str, Any] = {"title": "t", "base": base, "notes": [("model", "m")], "runs": named, **options}
    given["data"] = gather(given.pop("runs"), base=base)
    write_report(base / "out" / "report.html", **given)
    return (base / "out" / "report.html").read_text()


def island(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def ids(page: str) -> list[int]:
    return [sample["id"] for sample in island(page)["samples"]]


def answer_of(sample: dict[str, Any], run: int) -> str:
    """The answer as the page's script builds it from the truth."""
    text, place = "", 0
    for begin, length, added in sample["answers"][run]["edits"]:
        text += sample["ref"][place:begin] + added
        place = begin + length
    return text + str(sample["ref"][place:])


class Tags(HTMLParser):
    """The elements and attributes of a page, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_hostile_text_is_text(base: Path) -> None:
    preds = [
        make(1, ATTACK + "x", ref=ATTACK, image=ATTACK, finish="length"),
        make(2, "", error=ATTACK),
        make(3, ATTACK[::-1], ref=ATTACK),
    ]
    preds = [replace(pred, prompt=ATTACK) for pred in preds]
    page = write(
        base,
        preds,
        title=ATTACK,
        notes=[(ATTACK, ATTACK)],
        timings=[(ATTACK, 1.0)],
        runs=[(ATTACK, preds), (ATTACK + "2", preds)],
    )
    kinds = [attributes.get("type") for tag, attributes in Tags(page).seen if tag == "script"]
    assert kinds.count(None) == 1 and set(kinds) == {None, "application/json", "text/plain"}
    assert "<img" not in page and "<!--" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 12
    assert island(page)["samples"][0]["ref"] == ATTACK
    assert "{{ 7*7 }}" in page


PIECES = [
    "a",
    "ক্ষ",
    "א",
    "</script>",
    "<!--",
    "-->",
    "<img src=x onerror=a()>",
    '"',
    "'",
    "&lt;",
    "&",
    "\\",
    "{{",
    "{%",
    "\u2028",
    "\x00",
    "\ud800",
    "<fcel>",
    "<nl>",
    "|",
    "\n",
    "\\frac",
    "^",
    "$",
    "]]>",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["OCR:", "Table Recognition:", "Formula Recognition:", "Chart Recognition:", "<b>"]),
            TEXTS,
            TEXTS,
            TEXTS,
        ),
        min_size=1,
        max_size=4,
    ),
    TEXTS,
)
@settings(max_examples=60, deadline=None)
def test_nothing_gets_out(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str, str]], name: str
) -> None:
    base = tmp_path_factory.mktemp("page")
    before = [
        make(number, pred, ref=ref, prompt=prompt, image=name) for number, (prompt, ref, pred, _) in enumerate(rows)
    ]
    after = [replace(pred, pred=row[3]) for pred, row in zip(before, rows, strict=True)]
    write_report(
        base / "page.html",
        title=name,
        data=gather([(name, before), (name + "+", after)], base=base),
        base=base,
        notes=[(name, name)],
        timings=[(name, 1.0)],
    )
    page = (base / "page.html").read_text("utf-8")
    for tag, attributes in Tags(page).seen:
        assert tag not in {"img", "iframe", "object", "embed", "link", "form", "base"}, (tag, attributes)
        assert not any(key.startswith("on") for key in attributes), (tag, attributes)
        assert attributes.get("href", "#") in {
            "#",
            "#summary",
            "#slices",
            "#letters",
            "#samples",
            "#training",
            "#gates",
            "#conditions",
        }
    assert sum(tag == "script" and "type" not in attributes for tag, attributes in Tags(page).seen) == 1
    samples = {sample["id"]: sample for sample in island(page)["samples"]}
    for row, pred in zip(rows, after, strict=True):
        shown = samples[pred.id]
        assert answer_of(shown, 1) == report_samples.clean(normalise(row[3]))
    assert not any(shown.get("file") for shown in samples.values())  # there is no such file


def test_one_file_that_asks_the_network_for_nothing(base: Path) -> None:
    page = write(base, [make(1, "http://example.org/a.png", image="http://example.org/a.png")])
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode().replace("+", "&#43;")
    expected = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none';"
        " form-action 'none'"
    )
    assert policy[1].replace("&#39;", "'").replace("+", "&#43;") == expected
    assert not re.search(r"""(?:src|href|action|poster)\s*=\s*["'](?!#)""", page.split("<script", 1)[0])
    assert not re.search(r"url\(|@import|<link|<iframe|fetch\(|XMLHttp|eval\(|innerHTML|insertAdjacentHTML", page)


def test_worst_first_by_the_last_run_and_the_lost_at_the_end(base: Path) -> None:
    before = [make(1, "x"), make(2, "abcd"), make(3, "abcd"), make(4, "abcd"), make(5, "abcd")]
    after = [make(1, "abcd"), make(2, "abcx"), make(3, "", error="503: overloaded"), make(4, "wxyz!"), make(5, "abcx")]
    page = write(base, before, after)
    assert ids(page) == [4, 2, 5, 1, 3]
    samples = island(page)["samples"]
    assert [sample["answers"][1].get("error") for sample in samples] == [1.25, 0.25, 0.25, 0, None]
    assert samples[-1]["answers"][1] == {"reasons": 16, "lost": "503: overloaded"}
    assert "run “after” has answers to only part" in page
    assert "“before” has" not in page


def test_the_table_of_scores_and_the_change(base: Path) -> None:
    page = re.sub(
        r"\s+",
        " ",
        write(
            base, [make(1, "abxy", finish="length")], [make(1, "abcd")], timings=[("train", 90.5), ("predict", 1.25)]
        ),
    )
    assert re.search(
        r'">CER ↓</th><td>50.00%<small>[^<]*</small></td><td>0.00%<small>[^<]*</small></td><td class="">−50.00 pp', page
    )  # one sample shows nothing
    assert "<td>90.5</td>" in page
    assert "<td>91.8</td>" in page  # 90.5 + 1.25
    many = range(1, 61)
    page = re.sub(
        r"\s+",
        " ",
        write(
            base,
            [make(number, "abxy" if number % 3 else "abcx") for number in many],
            [make(number, "abcd") for number in many],
        ),
    )
    assert re.search(
        r'<td class="better">−41.67 pp<small>better · −[^<]*</small></td><td class="won">60 : 0</td>', page
    )
    assert "<b>better</b> Text: CER 41.67% → 0.00%" in page
    worse = re.sub(
        r"\s+",
        " ",
        write(
            base,
            [make(number, "abcd") for number in many],
            [make(number, "abxy" if number % 3 else "abcx") for number in many],
        ),
    )
    assert '<td class="worse">+41.67 pp' in worse and "<b>worse</b> Text: CER" in worse


def test_tasks_are_told_apart(base: Path) -> None:
    table = "<fcel>a<fcel>b<nl>"
    preds = [
        make(1, "abcd"),
        make(2, table, ref=table, prompt="Table Recognition:"),
        make(3, r"\[y\]", ref=r"\[x\]", prompt="Formula Recognition:"),
    ]
    page = write(base, preds)
    assert [task["name"] for task in island(page)["tasks"]] == ["Text", "Tables", "Formulas"]
    assert all(
        f'<th scope="row" title="{title}' in re.sub(r"\s+", " ", page)
        for title in ("edits between code points", "1 - tree edit distance")
    )
    assert "All scores of every task" in page


def test_one_run_has_no_change_and_no_seconds(base: Path) -> None:
    page = write(base, [make(1, "abcd")])
    assert ">change</th>" not in page
    assert "Seconds" not in page
    assert "over training" not in page


def test_samples_are_capped_and_the_rest_is_said(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_samples, "MAX_SAMPLES", 3)
    page = write(base, [make(number, "a" * number) for number in range(10, 17)])
    assert ids(page) == [16, 15, 14]
    assert "The worst 3 are in the page, 4 more are left out." in page


def test_pictures_are_capped_and_the_rest_is_opened_from_files(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        Image.effect_noise((200, 60), 50).save(base / f"{number} ä%.png")
    monkeypatch.setattr(thumbnails.pictures, "__kwdefaults__", {"limit": 30_000})
    page = write(base, [make(number, "a" * number, image=f"{number} ä%.png") for number in range(40)])
    samples = island(page)["samples"]
    assert [sample["picture"] for sample in samples[:16]] == list(range(16)) and all(
        sample["picture"] == -1 for sample in samples[16:]
    )
    assert samples[20]["file"] == "./../19%20%C3%A4%25.png"
    assert "16 pictures are in the page, those of the worst samples; 24 more are opened from their files." in page
    assert len(re.findall(r'<script type="text/plain" id="u\d+">data:image/', page)) == 16


def test_texts_are_capped(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_samples, "TEXTS", 5000)
    samples = island(write(base, [make(number, "abcd" * 2000, ref="abcd" * 2000) for number in range(3)]))["samples"]
    assert [len(sample["ref"]) for sample in samples] == [4000, 300, 300] and [
        sample["hidden"] for sample in samples
    ] == [
        4000,
        7700,
        7700,
    ]


def test_a_diff_in_the_page(base: Path) -> None:
    sample = island(write(base, [make(1, "a<c\nd", ref="abcd")]))["samples"][0]
    assert sample["answers"][0]["edits"] == [[1, 1, "<"], [3, 0, "\n"]]


def test_cells_that_differ_are_marked(base: Path) -> None:
    ref, pred = "<fcel>a<fcel>b<nl><fcel>c<fcel>d<nl><fcel>e<fcel>f<nl>", "<fcel>a<fcel>x<nl><fcel>e<fcel>f<nl>"
    sample = island(write(base, [make(1, pred, ref=ref, prompt="Table Recognition:")]))["samples"][0]
    assert sample["answers"][0]["grid"] == [[["a"], ["x", 1, 1, 1, "b"]], [["e"], ["f"]]]
    assert sample["answers"][0]["note"] == "missing: 1 row"
    assert sample["grid"] == [[["a"], ["b", 1, 1, 1]], [["c", 1, 1, 1], ["d", 1, 1, 1]], [["e"], ["f"]]]


def test_confused_letters_are_counted(base: Path) -> None:
    page = write(base, [make(1, "মর্চ <", ref="মার্চ <"), make(2, "abcd" + " loop" * 100), make(3, "ab", ref="a\nb")])
    assert "<bdi>মা</bdi> → <bdi>ম</bdi>" in page and 'data-gone="মা" data-added="ম"' in page
    assert "<bdi>line end</bdi>" in page and 'data-gone="\n"' in page
    assert "<bdi>space</bdi>" not in page  # a runaway's letters are no confusions


def test_slices_and_curves_are_drawn(base: Path) -> None:
    def answers(rate: int) -> list[Prediction]:
        return [make(number, "abcx" if number % rate else "abcd", image="a.png") for number in range(40)] + [
            make(40 + number, "মার্চ", ref="মার্চ") for number in range(20)
        ]

    page = write(base, answers(2), runs=[("base", answers(2)), ("step 100", answers(3)), ("step 400", answers(40))])
    assert "Text: CER by script" in page and '<th scope="row" dir="auto">Bengali</th>' in page
    assert "Text: CER over training" in page and ">400</text>" in page and page.count('class="at"') == 3
    across = [float(found) for found in re.findall(r'class="at" cx="([\d.]+)"', page)]
    assert (across[1] - across[0]) * 3 == pytest.approx(across[2] - across[1], abs=0.5)


def test_marks_stay_with_their_letters() -> None:
    assert clusters("ক্ষমা é") == ["ক্ষ", "মা", " ", "é"]
    assert clusters("e\u0301x") == ["e\u0301", "x"]
    assert clusters("\u0301a\n\u0301") == ["\u0301", "a", "\n", "\u0301"]
    pieces = [(piece.kind, piece.text) for piece in diff("মার্চ", "মর্চ")]
    assert pieces == [("del", "মা"), ("ins", "ম"), ("same", "র্চ")]


SHORT = st.text(alphabet="ab \nক্ষা\u200d\u0301א🏴", max_size=15)


@given(SHORT, SHORT)
def test_a_diff_holds_both_texts(ref: str, pred: str) -> None:
    pieces = list(diff(ref, pred))
    assert "".join(piece.text for piece in pieces if piece.kind != "ins").replace("↵\n", "\n") == ref
    assert "".join(piece.text for piece in pieces if piece.kind != "del").replace("↵\n", "\n") == pred
    assert "".join(clusters(ref)) == ref
    assert answer_of({"ref": ref, "answers": [{"edits": edits(ref, pred)}]}, 0) == pred


MARKED = st.text(
    alphabet=(
        "ab \n"
        "\u0995\u09cd\u09b7\u09be\u0915\u094d\u0937\u093f\u0301"
        "\u05d0\u05bc\u0628\u064e\u0e01\u0e35\u0e48\U0001f44d\U0001f3fd"
    ),
    max_size=14,
)


@given(MARKED, MARKED)
def test_no_piece_begins_with_a_mark(ref: str, pred: str) -> None:
    """A mark in another element than its letter is drawn on a dotted circle.

    One that has no letter in the text itself cannot be helped.
    """
    places = {"del": 0, "ins": 0}
    for piece in diff(ref, pred):
        text = piece.text.replace("↵\n", "\n")
        for side, source in (("del", ref), ("ins", pred)):
            if piece.kind in ("same", side):
                place = places[side]
                assert unicodedata.category(text[0])[0] != "M" or place == 0 or source[place - 1] == "\n"
                places[side] += len(text)


def test_runs_are_told_apart_without_colours(base: Path) -> None:
    many = range(1, 61)
    page = write(
        base,
        [make(number, "abxy") for number in many],
        [make(number, "abcd" if number % 2 else "abxy") for number in many],
    )
    shapes = dict(re.findall(r'<svg class="dot (run[01])"[^>]*><path d="([^"]+)"', page))
    assert len(set(shapes.values())) == 2
    assert "higher is better, lower is better" in page and "<dt>CER ↓</dt><dd>edits between code points" in page


def test_nothing_beyond_chance_is_said(base: Path) -> None:
    preds = [make(number, "abcx" if number % 2 else "abcd") for number in range(1, 61)]
    assert "In no task has the main score changed beyond chance" in write(base, preds, preds)
    assert "beyond chance." not in write(base, preds)


def test_figures_can_be_read(base: Path) -> None:
    """A runaway is 599 times its truth: no decimals, a separator, and a mark where one sample carries the score."""
    page = write(base, [make(number, "abcd" if number > 1 else "ab " * 2000) for number in range(1, 61)])
    assert re.search(r"<td>2,\d{3}%<small>[^<]* \*</small></td>", page)


def test_a_single_run_has_findings(base: Path) -> None:
    page = write(
        base,
        [make(number, "abcd" if number > 4 else "abcx" if number > 1 else "ab " * 2000) for number in range(1, 61)],
    )
    assert re.search(
        r"<b>one sample</b> Text: one sample \(#1\) carries 100% of the error; CER 2,\d{3}%, 1.27% without it", page
    )
    assert "<b>Runaway (repetition)</b> Text: 1 of 60 answers repeat themselves" in page and "0.0% to ? *" in page
    assert "Nothing stands out" in write(base, [make(number, "abcd") for number in range(1, 61)])


def test_p_and_interval_that_do_not_agree_are_explained(base: Path) -> None:
    before = [make(number, "abcx" if number > 1 else "ab " * 4000) for number in range(1, 41)]
    page = write(base, before, [make(number, "abcd") for number in range(1, 41)])
    assert re.search(r"<b>(no verdict|better, few samples)</b> Text: CER", page) and "#1" in page


def test_broken_gates_come_first_and_are_red(base: Path) -> None:
    gates = [GateResult("cer", "before", True, 0.1, "fine"), GateResult("lost", "before", False, 2.0, "2 lost")]
    page = write(base, [make(1, "abcd")], gates=gates)
    assert (
        0 < page.index('<p class="broken" role="alert"><b>1 of 2 gates broken:</b>') < page.index('<div class="cards')
    )
    assert "All 1 gates are kept." in write(base, [make(1, "abcd")], gates=gates[:1])


def test_conditions_stand_side_by_side(base: Path) -> None:
    told = [
        {
            "endpoint": {"model": "m", "fingerprint": "f" * 16, "known_by": "directory"},
            "pixels": {"min": 784, "max": size, "origin": "server"},
        }
        for size in (1000, 2000)
    ]
    page = re.sub(r"\s+", " ", write(base, [make(1, "abcd")], [make(1, "abcd")], conditions=table([*told])))
    assert '<th scope="row" dir="auto">model</th><td dir="auto">m</td><td dir="auto">m</td><td></td>' in page
    assert (
        '<tr class="differs"><th scope="row" dir="auto">pixel limits</th><td dir="auto">784 to 1,000 (server)</td>'
        in page
    )


def test_bengali_letters_come_with_the_page(base: Path) -> None:
    page = write(base, [make(1, "মোট", ref="মোট")])
    fonts = re.findall(r"url\(([^)]*)\)", page)
    assert (
        len(fonts) == 1
        and fonts[0].startswith("data:font/ttf;base64,")
        and len(fonts[0]) < 40_000
        and "; font-src data:" in page
    )
    assert "@font-face" not in write(base, [make(1, "abcd")])
    assert len(html.subset("".join(map(chr, range(0x980, 0xA00))))) < 150_000


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
    assert [(sample["id"], sample["picture"], sample["why"]) for sample in island(page)["samples"]] == [
        (1, -1, f"no picture ({code})")
    ]
    assert str(base) not in page


def test_a_truncated_big_image_costs_no_row(base: Path) -> None:
    Image.effect_noise((1200, 800), 50).save(base / "b.png")
    (base / "b.png").write_bytes((base / "b.png").read_bytes()[:200_000])
    assert island(write(base, [make(1, "abcd", image="b.png")]))["samples"][0]["why"] == "no picture (image.truncated)"


def test_an_answer_that_never_ends_is_cut_in_the_page_only(base: Path) -> None:
    page = write(base, [make(1, "ab" * 50_000, finish="length")])
    answer = island(page)["samples"][0]["answers"][0]
    assert answer["hidden"] == 96_000 and answer["length"] == 100_000 and answer["reasons"] == 2 + 4
    assert len(page) < 80_000
    assert answer["error"] == (100_000 - 2) / 4


def test_half_a_surrogate_pair_does_not_cost_the_page(base: Path) -> None:
    assert ids(write(base, [make(1, "a\ud800", ref="\udc00", image="\ud800.png")])) == [1]


def test_runs_must_match(base: Path) -> None:
    with pytest.raises(UsageError, match="run 'after' is over other data: its sample 1 differs"):
        write(base, [make(1, "a")], [make(1, "a", ref="other")])
    with pytest.raises(UsageError, match="at least one run"):
        write(base, [make(1, "a")], runs=[])
    with pytest.raises(EngineError, match="all 1 requests are lost"):
        write(base, [make(1, "", error="x")])
    page = write(base, [make(1, "abcd"), make(2, "abcd")], [make(1, "abcd")])
    assert island(page)["samples"][-1]["answers"][1] is None and "not asked for the same samples" in page
