"""Label files as people have them: quotes that are text, UTF-16, one more field, swapped columns, a workbook for a
text file.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sft.cli import sft as command
from sft.errors import UsageError
from sft.files.units import PAGES_BYTES, PARTS, line_units, page_bytes, unit_lines
from sft.formats import get, icdar_page
from sft.formats.base import Item, Note, ReadItem, Reject, SourceOptions
from sft.formats.shared import delimited_dialect as dialect
from sft.markup import tidy_blanks
from sft.types import Task

OOXML = {
    "book.xlsx": ("xl/workbook.xml", "Excel workbook"),
    "letter.docx": ("word/document.xml", "Word document"),
    "set.zip": ("labels.csv", "zip archive"),
}
ENCODINGS = {"UTF-8": "utf-8", "UTF-8 with a mark": "utf-8-sig", "UTF-16LE": "utf-16-le", "UTF-16BE": "utf-16-be"}


def put(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    path.write_bytes((mark + content).encode(encoding) if isinstance(content, str) else content)
    return path


def reads(name: str, source: Path, **options: Any) -> list[ReadItem]:
    chosen = SourceOptions(**options)
    found = get(name)
    return [
        read for unit in found.units(source, chosen) for read in found.read(unit, chosen) if not isinstance(read, Note)
    ]


def short(found: list[ReadItem]) -> list[str]:
    """Targets and reason codes, in order."""
    return [
        read.target if isinstance(read, Item) else read.code if isinstance(read, Reject) else "row" for read in found
    ]


def notes(name: str, source: Path, **options: Any) -> list[str]:
    chosen, found = SourceOptions(**options), get(name)
    units = list(found.units(source, chosen))
    return [unit.note for unit in units if unit.note] + [
        read.text for unit in units for read in found.read(unit, chosen) if isinstance(read, Note)
    ]


def picture(path: Path, size: tuple[int, int] = (300, 150)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (250, 250, 250)).save(path)
    return path


def sft(*words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def answers(path: Path) -> list[str]:
    return [row["text_info"][-1]["text"] for row in rows(path)]


# quotes


DIALOGUE = ['"Come here,', 'my friend!"', "he said.", '"Yes"']


@pytest.mark.parametrize(
    ("name", "header", "mark"),
    [
        ("tsv", "file_name\ttext", "\t"),
        ("tsv", "image\tlabel", "\t"),
        ("csv", "filename,words", ","),
        ("hf", "file_name\ttext", "\t"),
        ("csv", "image;text", ";"),
    ],
)
def test_quotes_of_a_file_that_does_not_quote_are_text(tmp_path: Path, name: str, header: str, mark: str) -> None:
    """A quotation over two lines swallowed a row, and "Yes" lost its quotes."""
    lines = [header, *(f"{number}.jpg{mark}{text}" for number, text in enumerate(DIALOGUE, 1))]
    path = put(tmp_path / f"labels.{'csv' if name == 'csv' else 'tsv'}", "\n".join(lines) + "\n")
    assert short(reads(name, path)) == DIALOGUE
    (said,) = notes(name, path)
    assert "quotes are text" in said and "--quotes csv" in said


def test_quotes_end_to_end(tmp_path: Path) -> None:
    lines = ["file_name\ttext", *(f"{number}.jpg\t{text}" for number, text in enumerate(DIALOGUE, 1))]
    for number in range(1, 5):
        picture(tmp_path / f"{number}.jpg")
    put(tmp_path / "labels.tsv", "\n".join(lines))
    done = sft("convert", "tsv", tmp_path / "labels.tsv", "-o", tmp_path / "out.jsonl", "--workers", 1)
    assert done.exit_code == 0 and answers(tmp_path / "out.jsonl") == DIALOGUE
    assert "4 rows = 4 written + 0 rejected" in done.output and "quotes are text" in " ".join(done.output.split())
    assert json.loads((tmp_path / "out.manifest.json").read_text())["notes"]
    done = sft(
        "convert", "tsv", tmp_path / "labels.tsv", "-o", tmp_path / "csv.jsonl", "--workers", 1, "--quotes", "csv"
    )
    assert answers(tmp_path / "csv.jsonl") == ["Come here,\n2.jpg my friend!", "he said.", "Yes"]
    done = sft("convert", "messages", tmp_path / "labels.tsv", "-o", tmp_path / "m.jsonl", "--quotes", "none")
    assert isinstance(done.exception, UsageError) and "reads no CSV" in str(done.exception)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        # what programs quote: separators, doubled quotes, line ends, everything
        ("csv", 'image,text\na.png,"Reykjavík, Iceland"\nb.png,"Yes"\n', ["Reykjavík, Iceland", "Yes"]),
        (
            "csv",
            'filename,words\n0.jpg,"Reykjavík, Iceland"\n1.jpg,"say ""A"""\n2.jpg,Hello, world\n',
            ["Reykjavík, Iceland", 'say "A"', "Hello, world"],
        ),
        ("tsv", 'image\ttext\na.png\t"two\nlines"\nb.png\t"Yes"\n', ["two\nlines", "Yes"]),
        ("tsv", '"image"\t"text"\n"a.png"\t"Yes"\n', ["Yes"]),
        ("tsv", 'text\timage\n"two\nlines"\ta.png\n', ["two\nlines"]),
        ("tsv", 'image\ttext\na.png\t"x\ty"\nb.png\tc, "d"\n', ["x y", 'c, "d"']),
        (
            "tsv",
            "image\ttext\n" + "".join(f'{number}.png\t"n{number}"\n' for number in range(6)),
            [f"n{number}" for number in range(6)],
        ),
        ("csv", 'image,text\na.png,"Yes"\n', ["Yes"]),
        # what no program quotes
        ("csv", 'filename,words\n4.jpg,"Yes"\n', ['"Yes"']),
        ("tsv", 'image\ttext\na.png\t"Yes"\n', ['"Yes"']),
        ("csv", 'image,text\na.png,5" pipe\nb.png,"Yes"\n', ['5" pipe', '"Yes"']),
        ("csv", 'image,text\na.png,"Yes" he said\nb.png,"Yes"\n', ['"Yes" he said', '"Yes"']),
        ("tsv", 'text\timage\n"Come here,\t1.jpg\nmy friend!"\t2.jpg\n', ['"Come here,', 'my friend!"']),
        ("tsv", 'image\ttext\n0001\t"Come here,\n0002\tmy friend!"\n', ['"Come here,', 'my friend!"']),
        ("csv", 'image,text\na.png,"open\nb.png,closed\n', ['"open', "closed"]),
        ("csv", "image,text\na.png,it's\n", ["it's"]),
        # columns by number
        ("tsv", 'a.png\t"Come here,\nb.png\tmy friend!"\n', ['"Come here,', 'my friend!"']),
    ],
)
def test_the_file_decides_what_quotes_are(tmp_path: Path, name: str, content: str, expected: list[str]) -> None:
    columns = {} if content.startswith(("image", "text", "filename", '"image"')) else {"image": "1", "text": "2"}
    assert short(reads(name, put(tmp_path / f"labels.{name}", content), columns=columns)) == expected


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        ("image\ttext\na.png\tx, y\n", "\t"),
        ("image;text\na.png;x, y\n", ";"),
        ("image|text\na.png|x, y\n", "|"),
        ('image,text\na.png,"x, y"\n', ","),
    ],
)
def test_separators_are_found(tmp_path: Path, content: str, separator: str) -> None:
    assert dialect.separator(content.partition("\n")[0], ",") == separator
    for name in ("csv", "tsv", "hf"):
        assert short(reads(name, put(tmp_path / "labels.csv", content))) == ["x, y"]


TEXT = st.text(alphabet='ab" ,;é', min_size=1, max_size=8).filter(str.strip)
LONGER = st.text(alphabet='ab" ,\t\né', min_size=1, max_size=8).filter(str.strip)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=4))
def test_what_is_joined_by_tabs_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """A tool that does not quote; what looks like doubled quotes only is the exception that the rule has."""
    path = put(
        tmp_path_factory.mktemp("tsv") / "labels.tsv",
        "image\ttext\n" + "".join(f"{number}.png\t{text}\n" for number, text in enumerate(texts)),
    )
    found = dialect.evidence(path, "\t", image=0, width=2, header=True)
    expected = [text.strip() for text in texts]
    if not found.quoting:
        assert [target.strip() for target in short(reads("tsv", path))] == [
            tidy_blanks(text).strip() for text in expected
        ]
    assert short(reads("tsv", path, quotes="none")) == short(reads("tsv", path)) or found.quoting


@settings(max_examples=150, deadline=None)
@given(
    st.lists(LONGER, min_size=1, max_size=6),
    st.sampled_from([",", "\t"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_the_csv_module_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], delimiter: str, how: Any
) -> None:
    """By the file alone, not by a word of the user."""
    buffer = io.StringIO(newline="")
    table = [("image", "text"), *((f"{number}.png", text) for number, text in enumerate(texts))]
    csv.writer(buffer, delimiter=delimiter, quoting=how, lineterminator="\n").writerows(table)
    path = put(tmp_path_factory.mktemp("csv") / f"labels.{'csv' if delimiter == ',' else 'tsv'}", buffer.getvalue())
    forced = reads("csv" if delimiter == "," else "tsv", path, quotes="csv")
    assert short(reads("csv" if delimiter == "," else "tsv", path)) == short(forced)


# encodings


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("csv", "labels.csv", 'image,text\r\na.png,৪৫টি\r\nb.png,"x, y"\r\n'),
        ("tsv", "labels.tsv", "image\ttext\na.png\t৪৫টি\nb.png\tx, y\n"),
        ("hf", "metadata.csv", 'file_name,text\na.png,৪৫টি\nb.png,"x, y"\n'),
        ("paddleocr-rec", "rec_gt.txt", "a.png\t৪৫টি\nb.png\tx, y\n"),
        ("csv", "labels.txt", "a.png ৪৫টি\nb.png x, y\n"),
        (
            "ppocrlabel",
            "Label.txt",
            "".join(
                f'x/a.png\t[{{"transcription": "{text}", "points": [[0, 0], [9, 0], [9, 9], [0, 9]]}}]\n'
                for text in ("৪৫টি", "x, y")
            ),
        ),
        ("icdar", "gt_a.txt", "0,0,9,0,9,9,0,9,৪৫টি\n0,0,9,0,9,9,0,9,x, y\n"),
        ("icdar", "gt.txt", 'a.png, "৪৫টি"\nb.png, "x, y"\n'),
        (
            "llava",
            "a.jsonl",
            "".join(
                json.dumps(
                    {
                        "image": "a.png",
                        "conversations": [{"from": "human", "value": "OCR:"}, {"from": "gpt", "value": text}],
                    }
                )
                + "\n"
                for text in ("৪৫টি", "x, y")
            ),
        ),
        (
            "llava",
            "a.json",
            json.dumps(
                [
                    {
                        "image": "a.png",
                        "conversations": [{"from": "human", "value": "OCR:"}, {"from": "gpt", "value": text}],
                    }
                    for text in ("৪৫টি", "x, y")
                ],
                ensure_ascii=False,
            ),
        ),
        ("hme100k", "caption.txt", "a\tx\nb\ty\n"),
    ],
)
def test_utf16_with_a_mark_is_read_as_utf8_is(
    tmp_path: Path, encoding: str, name: str, file: str, content: str
) -> None:
    """Excel's "Unicode text" and PowerShell's redirection."""
    picture(tmp_path / "a.png")
    plain = reads(name, put(tmp_path / file, content))
    assert len(plain) == 2 and all(isinstance(read, Item) for read in plain), plain
    assert reads(name, put(tmp_path / file, content, encoding)) == plain


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_pairs_in_utf16(tmp_path: Path, encoding: str) -> None:
    picture(tmp_path / "a.png")
    put(tmp_path / "a.gt.txt", "৪৫টি\r\n", encoding)
    assert short(reads("gt-pairs", tmp_path)) == ["৪৫টি"]


@settings(max_examples=150, deadline=None)
@given(
    st.text(alphabet="aé\u0a0a\u0a05\u010a\u0d0a\U0001f600\n", max_size=60),
    st.sampled_from(["utf-16-le", "utf-16-be"]),
    st.integers(2, 40),
)
def test_lines_of_utf16_are_lines(
    tmp_path_factory: pytest.TempPathFactory, text: str, encoding: str, unit: int
) -> None:
    """0A is half of many characters, of all Gurmukhi, Gujarati, Oriya for one; however the file is cut into units."""
    path = put(tmp_path_factory.mktemp("utf16") / "a.txt", text, encoding)
    lines = [(number, line) for found in line_units(path, per=unit) for number, line, _ in unit_lines(found)]
    whole = ("\ufeff" + text).encode()
    assert b"".join(line for _, line in lines) == whole
    assert lines == list(enumerate(io.BytesIO(whole), 1))


@pytest.mark.parametrize("content", [b"\xff\xfea\0\n\0\x00\xd8\n\0b\0\n\0", b"\xff\xfea\0\n\0b\0\n\0c"])
def test_half_a_character_costs_its_line(tmp_path: Path, content: bytes) -> None:
    found = [line for unit in line_units(put(tmp_path / "a.txt", content)) for _, line, _ in unit_lines(unit)]
    decoded = []
    for line in found:
        try:
            decoded.append(line.decode("utf-8-sig").strip())
        except UnicodeDecodeError:
            decoded.append("refused")
    assert decoded in (["a", "refused", "b"], ["a", "b", "refused"])


@pytest.mark.parametrize(
    ("encoding", "advice"),
    [
        ("utf-16-le", "iconv -f UTF-16LE -t UTF-8"),
        ("utf-16-be", "save it as UTF-8"),
        ("gb18030", "iconv -f GB18030 -t UTF-8"),
        ("shift_jis", "iconv -f SHIFT_JIS"),
    ],
)
def test_advice_for_other_encodings(tmp_path: Path, encoding: str, advice: str) -> None:
    """Without a mark nobody can be sure; what is advised must not make it worse."""
    line = "a.png\t" + ("これはテストです" if encoding == "shift_jis" else "中国人民银行发行")
    found = reads("paddleocr-rec", put(tmp_path / "rec.txt", f"{line}\n".encode(encoding)))
    assert set(short(found)) == {"source.encoding"} and isinstance(found[0], Reject) and advice in found[0].message


# files that are no text


def archive(path: Path, member: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("[Content_Types].xml" if member.startswith(("xl/", "word/")) else "a.txt", "x")
        file.writestr(member, "y" * 5000)
    return path


@pytest.mark.parametrize("file", OOXML)
@pytest.mark.parametrize(
    "name", ["csv", "tsv", "paddleocr-rec", "messages", "label-studio", "icdar", "ppocrlabel", "pubtabnet"]
)
def test_a_workbook_or_archive_is_called_what_it_is(tmp_path: Path, name: str, file: str) -> None:
    member, said = OOXML[file]
    for source in (tmp_path / file, tmp_path / "labels.csv"):
        if name in ("csv", "tsv") and source.suffix == ".xlsx":  # which these formats read
            continue
        with pytest.raises(UsageError, match=f"this is an? {said}") as caught:
            reads(name, archive(source, member))
        assert caught.value.hint


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PAR1\x15", "Parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls"),
        (b"SQLite format 3\0", "SQLite"),
    ],
)
def test_other_files_are_called_what_they_are(tmp_path: Path, begin: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        reads("csv", put(tmp_path / "labels.csv", begin + b"image,text\n"))


def test_a_label_file_that_is_a_workbook(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    archive(tmp_path / "a.csv", "xl/workbook.xml")
    (found,) = reads("gt-pairs", tmp_path)
    assert isinstance(found, Reject) and found.code == "source.encoding" and "an Excel workbook" in found.message


# pairs of an image and a table


TABLES = {
    "a.html": "<table><tr><td>a</td><td></td></tr></table>",
    "b.HTM": "<table><tr><th>x</th></tr></table>",
    "c.csv": "Jahr,Umsatz\n2019,3\n",
    "d.tsv": "x\ty\n1\t2\n",
    "e.md": "| a | b |\n|---|---|\n| 1 | 2 |\n",
}
OTSL = [
    "<fcel>a<ecel><nl>",
    "<fcel>x<nl>",
    "<fcel>Jahr<fcel>Umsatz<nl><fcel>2019<fcel>3<nl>",
    "<fcel>x<fcel>y<nl><fcel>1<fcel>2<nl>",
    "<fcel>a<fcel>b<nl><fcel>1<fcel>2<nl>",
]


def test_tables_beside_their_pictures(tmp_path: Path) -> None:
    for name, content in TABLES.items():
        put(tmp_path / "in" / name, content)
        picture(tmp_path / "in" / f"{name[0]}.png")
    found = reads("gt-pairs", tmp_path)
    assert short(found) == OTSL and {read.task for read in found if isinstance(read, Item)} == {Task.TABLE}
    done = sft("convert", "gt-pairs", tmp_path / "in", "-o", tmp_path / "out.jsonl", "--workers", 1)
    assert done.exit_code == 0 and answers(tmp_path / "out.jsonl") == OTSL
    assert {row["text_info"][0]["text"] for row in rows(tmp_path / "out.jsonl")} == {"Table Recognition:"}


def test_tables_and_texts_of_one_folder(tmp_path: Path) -> None:
    for name, content in {
        "a.html": TABLES["a.html"],
        "a.csv": "1,2\n",
        "a.gt.txt": "line",
        "b.gt.txt": "text",
        "c.html": TABLES["a.html"],
        "README.md": "# no label",
        "e.html": "no table",
    }.items():
        put(tmp_path / name, content)
    for name in ("a.png", "b.png", "d.png", "e.png"):
        picture(tmp_path / name)
    found = {read.where: short([read])[0] for read in reads("gt-pairs", tmp_path) if isinstance(read, (Item, Reject))}
    assert found == {
        "a.gt.txt": "line",
        "a.html": OTSL[0],
        "a.csv": "source.shape",
        "b.gt.txt": "text",
        "c.html": "source.shape",
        "d.png": "source.shape",
        "e.html": "target.html",
    }
    assert short(reads("gt-pairs", tmp_path, task=Task.OCR)).count("source.shape") == 5


# ICDAR


QUAD = "20,20,300,20,300,50,20,50"


def page(folder: Path, *lines: str, name: str = "image_1") -> list[ReadItem]:
    put(folder / f"{name}.txt", "".join(f"{QUAD},{line}\n" for line in lines))
    put(folder / f"{name}.png", b"")
    return [read for read in reads("icdar", folder) if isinstance(read, (Item, Reject)) and read.where.startswith(name)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (('0,"出口"', '1,"###"', '1,"小心地滑"'), ["出口", "source.ignored", "小心地滑"]),  # RCTW-17
        (('0,"a, b"', '1,"c"'), ["a, b", "c"]),
        (("0,出口", "1,###", "1,小心, 地滑"), ["出口", "source.ignored", "小心, 地滑"]),
        (('出口"', '"小心"'), ['出口"', '"小心"']),  # not every line is in quotes
        (('"出口",1', '"小心, 地滑",0'), ["出口", "小心, 地滑"]),
        (("出口,1", "小心, 地滑,0"), ["出口", "小心, 地滑"]),
        (('"出口"', '"a, b"'), ["出口", "a, b"]),
        (('"Yes"', "he said."), ['"Yes"', "he said."]),
        (("0.98,exit", "0.51,no, entry"), ["exit", "no, entry"]),
        (("true,exit", "False,entry"), ["exit", "entry"]),
        (("Latin,Gate, 3", "Chinese,出口"), ["Gate, 3", "出口"]),
        (("0,50", "1,20"), ["0,50", "1,20"]),  # prices with a decimal comma
        (("1,000 people", "1,2,3"), ["1,000 people", "1,2,3"]),
        (("0,x", "plain"), ["0,x", "plain"]),
        (("1, Main Street",), ["1, Main Street"]),
        (('0,"出口"',), ["出口"]),
        (("a,b, c", "d,e"), ["a,b, c", "d,e"]),
    ],
)
def test_icdar_fields_are_those_of_the_file(tmp_path: Path, lines: tuple[str, ...], expected: list[str]) -> None:
    assert [target.strip() for target in short(page(tmp_path, *lines))] == expected


def test_icdar_broken_lines_change_nothing(tmp_path: Path) -> None:
    assert short(page(tmp_path, '0,"a"', '1,"b, c"')) == ["a", "b, c"]
    put(tmp_path / "image_1.txt", f'{QUAD},0,"a"\nbroken\n{QUAD},1,"b, c"\n')
    assert short(reads("icdar", tmp_path)) == ["a", "source.shape", "b, c"]


def test_icdar_single_lines_are_read_as_the_files_beside(tmp_path: Path) -> None:
    page(tmp_path, "0,出口", "1,小心", name="image_1")
    assert short(page(tmp_path, "1,入口", name="image_2")) == ["入口"]
    assert short(page(tmp_path / "other", "1,入口", name="image_2")) == ["1,入口"]


def test_icdar_polygons(tmp_path: Path) -> None:
    points = "0,0,50,0,100,0,100,40,50,40,0,40"
    put(tmp_path / "gt_1.txt", f"{points},####a, b\n{points},####7\n")
    picture(tmp_path / "1.png")
    found = reads("icdar", tmp_path)
    assert short(found) == ["a, b", "7"] and isinstance(found[0], Item) and len(found[0].picture.quad) == 6


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text(alphabet='ab ,"0197é出', min_size=1, max_size=8).filter(
            lambda text: text.strip() and text.strip() not in ("###", "*")
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["0", "1"]),
)
def test_icdar_texts_come_back_from_every_layout(texts: list[str], flag: str) -> None:
    """With a flag in front and in quotes, as RCTW-17 is written, a text comes back whole, whatever commas it has."""
    lines = [f'{QUAD},{flag},"{text}"' for text in texts]
    found = icdar_page.layout(lines)
    parts = [icdar_page.split(line, found.numbers) for line in lines]
    assert [found.text(part[1]) for part in parts if part] == [f'"{text}"' for text in texts] and found.quoted
    plain = [f"{QUAD},{text}" for text in [*texts, "no field", '"']]
    kept = icdar_page.layout(plain)
    assert [kept.text(part[1]) for line in plain if (part := icdar_page.split(line, 8))] == [*texts, "no field", '"']


# columns


@pytest.mark.parametrize(
    ("name", "file", "content", "how"),
    [
        ("csv", "labels.csv", "image,text\nHello,0.png\nWorld,1.png\n", "--map image=COLUMN"),
        ("tsv", "labels.tsv", "image\ttext\nHello\t0.jpg\nWorld\t1.jpg\n", "--map image=COLUMN"),
        ("paddleocr-rec", "rec.txt", "Hello\t0.png\nWorld\t1.png\n", "swap them"),
        ("hf", "a.csv", "image,text\nHello,0.webp\nWorld,1.webp\n", "--map image=COLUMN"),
        ("csv", "labels.csv", "filename,words\nHello,0.PNG\nWorld,1.PNG\n", "--map image=COLUMN"),
    ],
)
def test_swapped_columns_are_said(tmp_path: Path, name: str, file: str, content: str, how: str) -> None:
    ending = ".png" if "png" in content else ".PNG" if "PNG" in content else ".jpg" if "jpg" in content else ".webp"
    done = sft("convert", name, put(tmp_path / file, content), "-o", tmp_path / "out.jsonl", "--workers", 1)
    said = str(done.exception)
    assert (
        done.exit_code == 1
        and "none of 2 rows can be used" in said
        and f"the texts end in {ending}" in said
        and how in said
    )
    assert f"{file}:" in said and "Hello" in said, "the first rejects are shown"


def test_other_failures_show_the_first_rejects(tmp_path: Path) -> None:
    done = sft(
        "convert",
        "csv",
        put(tmp_path / "a.csv", "image,text\n0.png,Hello\n1.png,World\n"),
        "-o",
        tmp_path / "out.jsonl",
        "--workers",
        1,
    )
    assert (
        "a.csv:2: no file" in str(done.exception)
        and "a.csv:3: no file" in str(done.exception)
        and "swapped" not in str(done.exception)
        and "--images" in str(done.exception)
    )


# paths of Windows


WINDOWS = [
    r"C:\Users\me\scans\book 1\0001.png",
    r"d:/scans/book 1/0001.png",
    r"\\server\share\scans\book 1\0001.png",
    r"\scans\book 1\0001.png",
    r"C:\scans\..\book 1\0001.png",
]


def windows_sources(name: str) -> Iterator[tuple[str, str, str]]:
    """(format, file, content) of label files that name an image so."""
    quoted = json.dumps(name)
    yield "csv", "labels.csv", f"image,text\n{name},x\n"
    yield "tsv", "labels.tsv", f"image\ttext\n{name}\tx\n"
    yield "paddleocr-rec", "rec.txt", f"{name}\tx\n"
    yield "hf", "a.jsonl", f'{{"image": {quoted}, "text": "x"}}\n'
    yield (
        "messages",
        "a.jsonl",
        (
            '{"messages": [{"role": "user", "content": "<image>OCR:"}, {"role": "assistant", "content": "x"}],'
            f' "images": [{quoted}]}}\n'
        ),
    )
    yield (
        "llava",
        "a.jsonl",
        (
            f'{{"image": {quoted}, "conversations": [{{"from": "human", "value": "<image>OCR:"}}, {{"from": "gpt",'
            ' "value": "x"}]}\n'
        ),
    )
    yield (
        "erniekit",
        "a.jsonl",
        (
            f'{{"image_info": [{{"image_url": {quoted}, "matched_text_index": 0}}], "text_info": [{{"text": "OCR:",'
            ' "tag": "mask"}, {"text": "x", "tag": "no_mask"}]}\n'
        ),
    )
    yield (
        "ppocrlabel",
        "Label.txt",
        f'{name}\t[{{"transcription": "x", "points": [[0, 0], [90, 0], [90, 40], [0, 40]]}}]\n',
    )
    yield "icdar", "gt.txt", f'{name}, "x"\n'
    yield (
        "pubtabnet",
        "a.jsonl",
        (
            f'{{"filename": {quoted}, "html": {{"cells": [{{"tokens": ["x"]}}], "structure": {{"tokens": ["<tr>",'
            ' "<td>", "</td>", "</tr>"]}}}\n'
        ),
    )
    yield (
        "label-studio",
        "a.json",
        (
            f'[{{"data": {{"ocr": {quoted}}}, "annotations": [{{"result": [{{"id": "a", "type": "textarea", "value":'
            ' {"text": ["x"]}}]}]}]'
        ),
    )


@pytest.mark.parametrize("name", WINDOWS)
def test_paths_of_windows_are_looked_for_by_their_end(tmp_path: Path, name: str) -> None:
    there = picture(tmp_path / "images" / "book 1" / "0001.png")
    picture(tmp_path / "images" / "0001.png", (300, 151))  # of another book
    for at, (source_format, file, content) in enumerate(windows_sources(name)):
        out = tmp_path / f"{at}.jsonl"
        done = sft(
            "convert",
            source_format,
            put(tmp_path / f"{at}" / file, content),
            "-o",
            out,
            "--images",
            tmp_path / "images",
            "--workers",
            1,
        )
        assert done.exit_code == 0, (source_format, done.output, done.exception)
        (row,) = rows(out)
        image = (tmp_path / row["image_info"][0]["image_url"]).resolve()
        assert image == there or source_format == "ppocrlabel", source_format


def test_a_path_of_windows_that_leads_nowhere(tmp_path: Path) -> None:
    done = sft(
        "convert",
        "csv",
        put(tmp_path / "labels.csv", "image,text\n" + r"C:\scans\0001.png,x" + "\n"),
        "-o",
        tmp_path / "out.jsonl",
        "--workers",
        1,
    )
    assert (
        done.exit_code == 1 and "is a path of Windows" in str(done.exception) and "--images DIR" in str(done.exception)
    )


def test_a_file_whose_lines_are_pages_is_cut_for_all_cores(tmp_path: Path) -> None:
    lines = [f"page {number}\t[{'box ' * 300}]\n".encode() for number in range(400)]
    path = put(tmp_path / "Label.txt", b"".join(lines))
    per = page_bytes(path)
    assert per == PAGES_BYTES < path.stat().st_size
    cut = list(line_units(path, per=per))
    assert PARTS / 4 < len(cut) < PARTS
    assert [line for unit in cut for _, line, _ in unit_lines(unit)] == lines
    assert len(list(get("ppocrlabel").units(tmp_path, SourceOptions()))) == len(cut)


def test_documents_of_pages_are_cut_for_all_cores(tmp_path: Path) -> None:
    for number in range(40):
        put(tmp_path / f"{number:02}.hocr", "<html><body><div class='ocr_page'></div></body></html>")
    units = list(get("hocr").units(tmp_path, SourceOptions()))
    assert len(units) == 5 and sum(len(unit.payload) for unit in units) == 40
