"""Label files of lines, pairs and records: what is read, what is refused, and what a bad row costs (itself)."""

from __future__ import annotations

import csv
import gc
import io
import tracemalloc
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sft.errors import RowRejected, UsageError
from sft.files.text_input import what_it_is
from sft.formats import base, get
from sft.formats.base import Item, ReadItem, Reject, SourceOptions
from sft.formats.shared import delimited_text, rows
from sft.types import Task


def stream(name: str, source: Path, **options: Any) -> Iterator[ReadItem]:
    chosen = SourceOptions(**options)
    found = get(name)
    for unit in found.units(source, chosen):
        yield from found.read(unit, chosen)


def reads(name: str, source: Path, **options: Any) -> list[ReadItem]:
    return list(stream(name, source, **options))


def put(path: Path, content: str | bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def short(found: list[ReadItem]) -> list[str]:
    """Targets and reason codes, in order."""
    return [
        read.target if isinstance(read, Item) else read.code if isinstance(read, Reject) else "row" for read in found
    ]


def items(found: list[ReadItem]) -> list[Item]:
    assert all(isinstance(read, Item) for read in found), found
    return [read for read in found if isinstance(read, Item)]


def paths(found: list[ReadItem], root: Path) -> list[str]:
    return [
        read.picture.path.relative_to(root).as_posix() for read in found if isinstance(read, Item) and read.picture.path
    ]


# paddleocr-rec


def test_rec_lines(tmp_path: Path) -> None:
    path = put(
        tmp_path / "rec_gt.txt",
        "\ufefftrain/word_001.jpg\t简单可依赖\r\n\ntrain/b c.jpg\tAT&T <b>\n".encode()
        + b"x.jpg\t\xff\n"
        + "last.jpg\t  টাকা ৪৫ \n".encode()
        + b"n.jpg\tend",
    )
    found = reads("paddleocr-rec", path)
    assert short(found) == ["简单可依赖", "AT&T <b>", "source.encoding", "টাকা ৪৫", "end"]
    assert [read.where for read in found if not isinstance(read, (base.HubRow, base.Note))] == [
        f"rec_gt.txt:{line}" for line in (1, 3, 4, 5, 6)
    ]
    assert paths(found, tmp_path) == ["train/word_001.jpg", "train/b c.jpg", "last.jpg", "n.jpg"]
    assert reads("paddleocr-rec", tmp_path) == found
    (tmp_path / "other").mkdir()
    assert paths(reads("paddleocr-rec", path, images=tmp_path / "other"), tmp_path)[0] == "other/train/word_001.jpg"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a.jpg", ["source.shape"]),
        ("a.jpg text", ["source.shape"]),
        ("a.jpg\tx\ty", ["source.shape"]),
        ("\tx", ["source.shape"]),
        ("a.jpg\t", ["target.empty"]),
        ("a.jpg\t \u200b", ["target.empty"]),
        ("../a.jpg\tx", ["x"]),
        ("/etc/passwd\tx", ["x"]),
        ("a/../../b.jpg\tx", ["x"]),
        ("..\\a.jpg\tx", ["x"]),
        ("a\0.jpg\tx", ["source.encoding"]),
        ("a.jpg\tx\x07", ["target.control"]),
        ('["11.jpg", "12.jpg"]\t简单', ["简单", "简单"]),
        ('["11.jpg", 12, "../13.jpg"]\tx', ["x", "source.shape", "x"]),
        ("[1].jpg\tx", ["x"]),
        ("[" * 100_000 + "\tx", ["x"]),
        ("[]\tx", ["x"]),
        ("data:image/png;base64,%%\tx", ["image.unreadable"]),
        ("ftp://h/a.jpg\tx", ["x"]),
        ("a\\b.jpg\tx", ["x"]),
    ],
)
def test_rec_rows(tmp_path: Path, line: str, expected: list[str]) -> None:
    found = reads("paddleocr-rec", put(tmp_path / "rec.txt", f"ok.jpg\tbefore\n{line}\nok.jpg\tafter\n"))
    assert short(found) == ["before", *expected, "after"]


def test_rec_of_utf16_without_a_mark_is_refused_with_the_right_advice(tmp_path: Path) -> None:
    found = reads("paddleocr-rec", put(tmp_path / "rec.txt", "a.jpg\tx\nb.jpg\ty\n".encode("utf-16-le")))
    assert found and set(short(found)) == {"source.encoding"}
    assert isinstance(found[0], Reject) and "iconv -f UTF-16LE -t UTF-8" in found[0].message


def test_plain_paths_may_lead_anywhere(tmp_path: Path) -> None:
    """Only images are ever opened; what a path leads to is seen when it is read."""
    found = items(
        reads(
            "paddleocr-rec",
            put(
                tmp_path / "rec.txt", f"{tmp_path}/a.jpg\tx\n{tmp_path}x/a.jpg\tx\n../b.jpg\tx\n..\\my data\\c.jpg\tx\n"
            ),
        )
    )
    assert [str(read.picture.path) for read in found] == [
        f"{tmp_path}/a.jpg",
        f"{tmp_path}x/a.jpg",
        f"{tmp_path}/../b.jpg",
        f"{tmp_path}/../my data/c.jpg",
    ]


def test_a_name_with_a_nul_byte_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(RowRejected) as caught:
        rows.picture("a\0.jpg", tmp_path)
    assert caught.value.code == "source.outside"


def test_published_sets_keep_their_images_below_their_folder(tmp_path: Path) -> None:
    for bad in ("../a.jpg", f"{tmp_path}x/a.jpg", "x/../../a.jpg"):
        with pytest.raises(RowRejected, match="leads out") as caught:
            rows.picture(bad, tmp_path, below=True)
        assert caught.value.code == "source.outside"
    assert rows.picture(f"{tmp_path}/a.jpg", tmp_path, below=True).path == tmp_path / "a.jpg"


def test_several_images_have_several_places(tmp_path: Path) -> None:
    found = items(reads("paddleocr-rec", put(tmp_path / "rec.txt", '["1.jpg", "2.jpg"]\tx\n')))
    assert [read.where for read in found] == ["rec.txt:1#0", "rec.txt:1#1"]


@pytest.mark.parametrize("name", ["paddleocr-rec", "csv", "hme100k", "unimer", "im2latex"])
def test_a_folder_without_labels_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="which file"):
        reads(name, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "erniekit",
        "messages",
        "llava",
        "paddleocr-rec",
        "csv",
        "tsv",
        "gt-pairs",
        "icdar",
        "im2latex",
        "unimer",
        "hme100k",
    ],
)
def test_a_source_that_is_not_there_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        reads(name, tmp_path / "nothing.here")


def test_a_line_too_long_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sft.files import jsonl

    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 1000)
    long = "a.jpg\t" + "x" * 5000
    for name in ("paddleocr-rec", "hme100k"):
        assert (
            short(reads(name, put(tmp_path / f"{name}.txt", f"a.jpg\tb\n{long}\na.jpg\tc\n")))[1] == "source.too_large"
        )
    assert short(reads("csv", put(tmp_path / "a.csv", f"image,text\na.jpg,b\na.jpg,{long}\na.jpg,c\n"))) == [
        "b",
        "source.too_large",
        "c",
    ]
    assert short(reads("erniekit", put(tmp_path / "a.jsonl", '{"a": "' + long.replace("\t", " ") + '"}\n'))) == [
        "source.too_large"
    ]


# csv and tsv


def test_columns_are_found(tmp_path: Path) -> None:
    for header in (
        "filename,words",
        "file_name,text",
        "Image,Label",
        " path , transcription ",
        "\ufeffimage_path,ground_truth",
        "latex,image",
    ):
        fields = ("x", "a.png") if header.startswith("latex") else ("a.png", "x")
        (found,) = items(reads("csv", put(tmp_path / "a.csv", f"{header}\r\n{','.join(fields)}\r\n")))
        assert (found.target, found.where) == ("x", "a.csv:2") and found.picture.path == tmp_path / "a.png"


def test_columns_are_chosen(tmp_path: Path) -> None:
    path = put(
        tmp_path / "a.csv",
        "text,raw,pic,prompt,task,group\nno,yes,a.png,Read:,formula,p1\nno,yes,a.png,,,\nno,yes,a.png,,dance,\n",
    )
    first, second, third = reads("csv", path, columns={"text": "raw", "image": "pic"}, task=Task.SEAL)
    assert isinstance(first, Item) and (first.prompt, first.task, first.group) == ("Read:", Task.FORMULA, "p1")
    assert isinstance(second, Item) and (second.prompt, second.task, second.group, second.target) == (
        "",
        Task.SEAL,
        "",
        "yes",
    )
    assert isinstance(third, Reject) and third.code == "source.shape" and "dance" in third.message


def test_columns_by_number_mean_no_header(tmp_path: Path) -> None:
    assert short(
        reads("csv", put(tmp_path / "a.csv", "1,a.png,x\n2,b.png,y\n3\n"), columns={"image": "2", "text": "3"})
    ) == ["x", "y", "source.shape"]


@pytest.mark.parametrize(
    ("content", "columns", "said"),
    [
        ("a,b\n1,2\n", {}, "columns: a, b"),
        ("image,text\n", {"text": "label"}, "columns: image, text"),
        ("", {}, "first line names"),
        ("image\n", {}, "columns: image"),
        ("image,text\n", {"colour": "text"}, "known: image"),
        ("image,text", {"image": "0", "text": "1"}, "--map image"),
    ],
)
def test_columns_that_are_not_there_are_said(tmp_path: Path, content: str, columns: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        reads("csv", put(tmp_path / "a.csv", content), columns=columns)
    assert said in (caught.value.hint or "")


@pytest.mark.parametrize("content", [b"i\0m\0a\0g\0e\0", b"image\0,text\n", b"\xff,text\n"])
def test_a_header_that_cannot_be_read_is_said(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UsageError, match="header"):
        reads("csv", put(tmp_path / "a.csv", content))


def test_quoted_fields(tmp_path: Path) -> None:
    content = (
        'image,text\na.png,"two\r\nlines, ""quoted"""\n\nb.png,5" pipe\nc.png,"<table><tr>\n<td>\n"\nd.png,"""all"""\n'
    )
    found = reads("csv", put(tmp_path / "a.csv", content))
    assert short(found) == ['two\nlines, "quoted"', '5" pipe', "<table><tr>\n<td>", '"all"']
    assert [read.where for read in items(found)] == ["a.csv:2", "a.csv:5", "a.csv:6", "a.csv:9"]


def test_broken_records_cost_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited_text, "MAX_RECORD_LINES", 3)
    content = b'image,text\na.png,1\nb.png,"open\nc.png,3\nd.png,4\ne.png,"x"y\nf.png\n'
    content += b'g.png,7,8\nh.png,\xff\ni.png,"9\n\xff\nj.png,10\nk.png,"11'
    found = reads("csv", put(tmp_path / "a.csv", content), quotes="csv")
    assert short(found) == [
        "1",
        "source.syntax",
        "3",
        "4",
        "source.syntax",
        "source.shape",
        "source.shape",
        "source.encoding",
        "source.syntax",
        "source.encoding",
        "10",
        "source.syntax",
    ]


def test_easyocr_words_may_hold_commas(tmp_path: Path) -> None:
    path = put(tmp_path / "labels.csv", 'filename,words\n0.jpg,"Reykjavík, Iceland"\n1.jpg,Hello, world, again\n')
    assert short(reads("csv", path)) == ["Reykjavík, Iceland", "Hello, world, again"]
    assert short(reads("csv", put(tmp_path / "b.csv", "file_name,text\n1.jpg,Hello, world\n"))) == ["source.shape"]


def test_semicolons_and_tabs(tmp_path: Path) -> None:
    assert short(reads("csv", put(tmp_path / "a.csv", "image;text\na.png;x, y\n"))) == ["x, y"]
    assert short(reads("tsv", put(tmp_path / "a.tsv", 'image\ttext\na.png\t"x\ty"\nb.png\tc, "d"\n'))) == [
        "x y",
        'c, "d"',
    ]


def test_trdg_labels(tmp_path: Path) -> None:
    found = reads("csv", put(tmp_path / "labels.txt", "0.jpg abbey unlocked\n1.jpg\n2.jpg  x\n../3.jpg y\n"))
    assert short(found) == ["abbey unlocked", "source.shape", "x", "y"]


def test_a_table_of_html_in_a_record(tmp_path: Path) -> None:
    (found,) = reads(
        "csv",
        put(tmp_path / "a.csv", 'image,html\na.png,"<table><tr><td>a</td><td></td></tr></table>"\n'),
        task=Task.TABLE,
    )
    assert isinstance(found, Item) and found.target == "<fcel>a<ecel><nl>"


FIELD = st.text(alphabet='ab,"\n\r ;\té', max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=8), st.sampled_from([",", "\t"]))
def test_records_are_what_the_csv_module_reads(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str
) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    path = put(tmp_path_factory.mktemp("csv") / "a.csv", buffer.getvalue())
    found = [
        record.fields
        for record in delimited_text.records(path, "a.csv", delimiter)
        if isinstance(record, delimited_text.Record)
    ]
    assert found == [tuple(field.replace("\r\n", "\n") for field in row) for row in rows]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='ab,"\n\r\0é', max_size=60).map(str.encode) | st.binary(max_size=40))
def test_no_line_of_a_csv_vanishes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Every line that is not blank begins a record, is inside one, or is a Reject; nothing raises."""
    path = put(tmp_path_factory.mktemp("csv") / "a.csv", content)
    assume(what_it_is(content) is None and not content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)))
    seen = set()
    for found in delimited_text.records(path, "a.csv", ","):
        assert isinstance(found, (delimited_text.Record, Reject))
        first = found.line if isinstance(found, delimited_text.Record) else int(found.where.rpartition(":")[2])
        seen |= set(
            range(
                first,
                first
                + 1
                + (sum(field.count("\n") for field in found.fields) if isinstance(found, delimited_text.Record) else 0),
            )
        )
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert {number for number, line in enumerate(lines, 1) if line.decode("utf-8", "replace").strip()} <= seen


# pairs


def test_pairs(tmp_path: Path) -> None:
    for name in (
        "a.png",
        "b/0001.bin.png",
        "b/0002.png",
        "b/0002.bin.png",
        "b/0002.nrm.png",
        "b/0003.nrm.png",
        "b/0003.bin.png",
        "lonely.tif",
        "c.png",
        "c.jpg",
        "d.png",
        "e.png",
        "f.png",
        "notes.txt",
    ):
        put(tmp_path / name)
    texts = {
        "a": "\ufeffich denke\r\n",
        "b/0001": "eins\n\n",
        "b/0002": "zwei",
        "b/0003": "drei",
        "missing": "kein Bild",
        "c": "doppelt",
        "d": "",
        "g": "",
        "h": "x",
    }
    for stem, text in texts.items():
        put(tmp_path / f"{stem}.gt.txt", text)
    put(tmp_path / "e.gt.txt", b"\xff")
    put(tmp_path / "f.gt.txt", b"a\0")
    found = {read.where: read for read in reads("gt-pairs", tmp_path) if not isinstance(read, (base.HubRow, base.Note))}
    assert {where: read.target for where, read in found.items() if isinstance(read, Item)} == {
        "a.gt.txt": "ich denke",
        "b/0001.gt.txt": "eins",
        "b/0002.gt.txt": "zwei",
        "b/0003.gt.txt": "drei",
        "c.gt.txt": "doppelt",
    }
    assert {where: read.code for where, read in found.items() if isinstance(read, Reject)} == {
        "lonely.tif": "source.shape",
        "missing.gt.txt": "source.shape",
        "c.png": "source.shape",
        "d.gt.txt": "target.empty",
        "e.gt.txt": "source.encoding",
        "f.gt.txt": "source.encoding",
        "g.gt.txt": "source.shape",
        "h.gt.txt": "source.shape",
    }
    assert sorted(paths(list(found.values()), tmp_path)) == [
        "a.png",
        "b/0001.bin.png",
        "b/0002.png",
        "b/0003.nrm.png",
        "c.jpg",
    ]


def test_pairs_stay_together_over_units(tmp_path: Path) -> None:
    for number in range(150):
        put(tmp_path / f"{number:03}.png")
        put(tmp_path / f"{number:03}.gt.txt", str(number))
    assert len(list(get("gt-pairs").units(tmp_path, SourceOptions()))) == 5
    assert sorted(short(reads("gt-pairs", tmp_path)), key=int) == [str(number) for number in range(150)]


@pytest.mark.parametrize("name", ["a.gt.txt", ""])
def test_pairs_need_a_folder_with_something_in_it(tmp_path: Path, name: str) -> None:
    put(tmp_path / "x" / name) if name else (tmp_path / "x").mkdir()
    with pytest.raises(UsageError):
        reads("gt-pairs", tmp_path / "x" / name)


# icdar


QUAD = "377,117,463,117,465,130,378,130"


def page(tmp_path: Path, content: str | bytes, image: str = "img_1.jpg", text: str = "gt_img_1.txt") -> list[ReadItem]:
    put(tmp_path / image)
    put(tmp_path / text, content)
    return reads("icdar", tmp_path)


def test_icdar_2015(tmp_path: Path) -> None:
    found = page(
        tmp_path,
        f"\ufeff{QUAD},Genaxis"
        f" Theatre\r\n493,115,519,115,519,131,493,131,[06]\r\n374,155,409,155,409,170,374,170,###\r\n{QUAD},a,b,"
        " c\r\n\r\n",
    )
    assert short(found) == ["Genaxis Theatre", "[06]", "source.ignored", "a,b, c"]
    first = found[0]
    assert (
        isinstance(first, Item)
        and first.where == "gt_img_1.txt:1"
        and first.group == "img_1.jpg"
        and first.picture.path == tmp_path / "img_1.jpg"
    )
    assert (
        first.picture.quad == ((377.0, 117.0), (463.0, 117.0), (465.0, 130.0), (378.0, 130.0))
        and not first.picture.turn
    )


def test_icdar_2013(tmp_path: Path) -> None:
    found = page(
        tmp_path,
        '158 128 411 181 "Footpath"\n38, 43, 920, 215, "Tiredness"\n0, 699, 77, 830, "say \\"A\\", B"\n1 2 3 4 open\n',
        "100.jpg",
        "gt_100.txt",
    )
    assert short(found) == ["Footpath", "Tiredness", 'say "A", B', "source.shape"]
    first = found[0]
    assert isinstance(first, Item) and first.picture.quad == (
        (158.0, 128.0),
        (411.0, 128.0),
        (411.0, 181.0),
        (158.0, 181.0),
    )


def test_icdar_mlt_and_a_text_that_begins_with_a_script(tmp_path: Path) -> None:
    assert short(page(tmp_path, f"{QUAD},Latin,Gate, 3\n{QUAD},Arabic,بوابة\n{QUAD},None,###\n")) == [
        "Gate, 3",
        "بوابة",
        "source.ignored",
    ]
    assert short(page(tmp_path, f"{QUAD},Latin,Gate\n{QUAD},plain\n")) == ["Latin,Gate", "plain"]


def test_icdar_sroie_and_folders_beside(tmp_path: Path) -> None:
    put(tmp_path / "box" / "X1.txt", "72,25,326,25,326,64,72,64,TAN WOON YANN\n")
    put(tmp_path / "img" / "X1.jpg")
    for source in (tmp_path, tmp_path / "box", tmp_path / "box" / "X1.txt"):
        (found,) = items(reads("icdar", source))
        assert found.target == "TAN WOON YANN" and found.picture.path == tmp_path / "img" / "X1.jpg"
    put(tmp_path / "val" / "X1.jpg")
    put(tmp_path / "box" / "gt_X1.txt", f"{QUAD},x\n")
    assert short(reads("icdar", tmp_path / "box")) == ["image.missing"]
    assert short(reads("icdar", tmp_path / "box", images=tmp_path / "val")) == ["TAN WOON YANN", "x"]


def test_icdar_never_takes_the_picture_of_another_book(tmp_path: Path) -> None:
    for book in ("one", "two"):
        put(tmp_path / "labels" / book / "gt_1.txt", f"{QUAD},{book}\n")
    put(tmp_path / "labels" / "one" / "gt_2.txt", f"{QUAD},alone\n")
    put(tmp_path / "images" / "1.jpg")
    put(tmp_path / "images" / "2.jpg")
    assert short(reads("icdar", tmp_path / "labels", images=tmp_path / "images")) == [
        "image.missing",
        "alone",
        "image.missing",
    ]
    for book in ("one", "two"):
        put(tmp_path / "images" / book / "1.jpg")
    found = items(reads("icdar", tmp_path / "labels", images=tmp_path / "images"))
    assert [item.picture.path for item in found] == [
        tmp_path / "images" / name for name in ("one/1.jpg", "2.jpg", "two/1.jpg")
    ]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("0,0,0,0,0,0,0,0,x", "source.geometry"),
        ("0,0,0,10,10,10,10,0,x", "source.geometry"),
        (f"{QUAD}", "source.shape"),
        (f"{QUAD},", "target.empty"),
        (f"{QUAD},*", "source.ignored"),
        ("a,b,c,d,e,f,g,h,x", "source.shape"),
        ("1e9999,0,1,0,1,1,0,1,x", "source.shape"),
        ("nan,0,1,0,1,1,0,1,x", "source.shape"),
        ("1" * 5000 + ",0,1,0,1,1,0,1,x", "source.shape"),
        ("1 2" + " " * 100_000, "source.shape"),
        (" " * 100_000 + "1", "source.shape"),
        ('1 2 3 4 "' + '" ' * 100_000 + "x", "source.shape"),
        ('9,9,3,3,"x"', "source.geometry"),
        ('3,3,3,9,"x"', "source.geometry"),
        (f"{QUAD},a\0b", "source.encoding"),
    ],
)
def test_icdar_rows(tmp_path: Path, line: str, code: str) -> None:
    assert short(page(tmp_path, f"{QUAD},before\n{line}\n{QUAD},after\n")) == ["before", code, "after"]


def test_icdar_cropped_words(tmp_path: Path) -> None:
    content = (
        '\ufeffword_1.png, "Genaxis Theatre"\nword_2.png, "62-,03"\nword_3.png,'
        ' "\\"TNT\\\\"\nword_4.png,Latin,Gate\nword_5.png, "###"\nword 6\n../w.png, "x"\n'
    )
    found = reads("icdar", put(tmp_path / "gt.txt", content))
    assert short(found) == [
        "Genaxis Theatre",
        "62-,03",
        '"TNT\\',
        "Gate",
        "source.ignored",
        "source.shape",
        "source.outside",
    ]
    assert reads("icdar", tmp_path) == found


def test_icdar_needs_something_to_read(tmp_path: Path) -> None:
    put(tmp_path / "readme.txt", "hello")
    with pytest.raises(UsageError, match="no ground truth"):
        reads("icdar", tmp_path)


# formulas


def test_im2latex(tmp_path: Path) -> None:
    put(
        tmp_path / "im2latex_formulas.lst", b"\\int_{-\\epsilon}^\\infty dl\na + b\rc\nx = \\text{\xe9}\n\n\\frac{1}{2}"
    )
    path = put(
        tmp_path / "im2latex_train.lst",
        "0 60ee748793 basic\n2 66667cee5b basic\n3 aa basic\n4 bb.png basic\n9 cc basic\nd e f g\n1 dd basic\n1 ../ee"
        " basic\n",
    )
    put(tmp_path / "im2latex_test.lst", "0 ff basic\n")
    found = reads("im2latex", path)
    assert short(found) == [
        "\\[\\int_{-\\epsilon}^\\infty dl\\]",
        "\\[x = \\text{é}\\]",
        "target.empty",
        "\\[\\frac{1}{2}\\]",
        "source.shape",
        "source.shape",
        "\\[a+bc\\]",
        "source.outside",
    ]
    assert paths(found, tmp_path) == ["60ee748793.png", "66667cee5b.png", "bb.png", "dd.png"]
    (tmp_path / "formula_images").mkdir()
    assert paths(reads("im2latex", tmp_path, split="test"), tmp_path) == ["formula_images/ff.png"]
    with pytest.raises(UsageError, match="which file") as caught:
        reads("im2latex", tmp_path)
    assert "--split" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="these are the formulas"):
        reads("im2latex", tmp_path / "im2latex_formulas.lst")
    assert {read.task for read in found if isinstance(read, Item)} == {Task.FORMULA}


def test_im2latex_of_harvard(tmp_path: Path) -> None:
    put(tmp_path / "formulas.norm.lst", "a _ { 1 }\n\\alpha _ { 1 } ^ { r }\n")
    put(tmp_path / "im2latex_formulas.lst", "wrong\nwrong\n")
    put(tmp_path / "images_processed" / "7944775fc9.png")
    found = reads("im2latex", put(tmp_path / "train_filter.lst", "7944775fc9.png 1\nx.png -1\nx.png ²\n"))
    assert short(found) == ["\\[\\alpha_{1}^{r}\\]", "source.shape", "source.shape"]
    assert paths(found, tmp_path) == ["images_processed/7944775fc9.png"]


def test_im2latex_csv(tmp_path: Path) -> None:
    found = reads(
        "im2latex",
        put(
            tmp_path / "im2latex_train.csv",
            'formula,image\n"d s ^ { 2 } = ( 1 - \\frac { 1 } { r } ) , ",66667cee5b.png\n',
        ),
    )
    assert short(found) == ["\\[ds^{2}=(1-\\frac{1}{r}),\\]"] and items(found)[0].task is Task.FORMULA


def test_im2latex_without_formulas(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file of formulas"):
        reads("im2latex", put(tmp_path / "train.lst", "0 a basic\n"))


def test_unimer(tmp_path: Path) -> None:
    for number in (0, 2, 3, 5):
        put(tmp_path / "images" / f"{number:07}.png")
    found = reads("unimer", put(tmp_path / "train.txt", b"\xef\xbb\xbfa ^ { 2 }\n\nx\n\nno image\n\xff\n"))
    assert short(found) == ["\\[a^{2}\\]", "\\[x\\]", "target.empty", "image.missing", "source.encoding"]
    assert paths(found, tmp_path) == ["images/0000000.png", "images/0000002.png"]
    put(tmp_path / "spe.txt", "y\n")
    put(tmp_path / "spe" / "0000000.png")
    assert paths(reads("unimer", tmp_path, split="spe"), tmp_path) == ["spe/0000000.png"]
    with pytest.raises(UsageError, match="no folder of images"):
        reads("unimer", put(tmp_path / "alone" / "train.txt", "x\n"))


def test_hme100k_and_crohme(tmp_path: Path) -> None:
    put(tmp_path / "train_images" / "train_0.jpg")
    found = reads(
        "hme100k",
        put(
            tmp_path / "train_labels.txt",
            "train_0.jpg\t( 2 ) 2 N a O H\ntrain_2.jpg \\angle\na\tb\tc\n../x\ty\nx.jpg\t\n",
        ),
    )
    assert short(found) == ["\\[(2)2NaOH\\]", "source.shape", "source.shape", "source.outside", "target.empty"]
    assert paths(found, tmp_path) == ["train_images/train_0.jpg"]
    put(tmp_path / "2014" / "img" / "18_em_0.png")
    found = reads(
        "hme100k", put(tmp_path / "2014" / "caption.txt", "18_em_0\ty ^ { 4 } + y + 1 = 0\n18_em_1\tx\n").parent
    )
    assert short(found) == ["\\[y^{4}+y+1=0\\]", "\\[x\\]"] and paths(found, tmp_path) == [
        "2014/img/18_em_0.png",
        "2014/img/18_em_1.bmp",
    ]
    put(tmp_path / "ink" / "a.inkml", "<ink/>")
    with pytest.raises(UsageError, match="InkML"):
        reads("hme100k", tmp_path / "ink")


# size


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("paddleocr-rec", "", "train/word_{}.jpg\tsome label of a usual length {}\n"),
        ("csv", "image,text\n", "word_{}.jpg,some label of a usual length {}\n"),
        (
            "erniekit",
            "",
            (
                '{{"image_info": [{{"image_url": "{}.png", "matched_text_index": 0}}], "text_info": [{{"text": "OCR:",'
                ' "tag": "mask"}}, {{"text": "label {}", "tag": "no_mask"}}]}}\n'
            ),
        ),
    ],
)
def test_rows_are_not_held_in_memory(tmp_path: Path, name: str, header: str, row: str) -> None:
    """Peak memory of 60,000 rows stays under a few units' worth, far under the 39 MB of the rows as objects."""
    path = put(
        tmp_path / ("a.csv" if name == "csv" else "a.txt"),
        header + "".join(row.format(number, number) for number in range(60_000)),
    )
    next(stream(name, path))  # what is imported and cached does not count
    gc.collect()
    tracemalloc.start()
    count = sum(1 for read in stream(name, path) if isinstance(read, (Item, base.HubRow)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 60_000
    assert peak < 12 << 20, f"{peak:,} bytes"
