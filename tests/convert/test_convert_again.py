"""`sft convert` given again: what has changed is noticed, what is somebody else's is not overwritten, and what was
guessed is said.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from sft import formats
from sft.cli.convert import convert as verb
from sft.convert.driver import NothingUsable, Result, convert
from sft.convert.prepare_image import ImagePreparer
from sft.convert.request import manifest_path, options_of
from sft.convert.worker import ConvertRequest
from sft.errors import UsageError
from sft.files import atomic, manifest, rejects_path, snapshot
from sft.formats.base import Picture
from sft.formats.shared.json_stream import likely_encoding
from sft.images.reader import ImageProblem
from sft.runtime.runner import Runner
from sft.types import Task

ONE = Runner(workers=1)


def picture(path: Path, shade: int = 0, size: tuple[int, int] = (60, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.radial_gradient("L").resize(size).point(lambda value: (value + shade) % 256).convert("RGB").save(path)
    return path


def run(name: str, source: Path, out: Path, *, fresh: bool = False, to: Any = "erniekit", **options: Any) -> Result:
    return convert(
        ConvertRequest(name, source, out, options_of(formats.get(name), {}, **options), to=to), ONE, fresh=fresh
    )


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def labels(folder: Path, text: str, name: str = "rec_gt.txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, "utf-8")
    return folder / name


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """A Label.txt in another folder than the output, with two boxes of one page and one of a page that is not there."""
    page = picture(tmp_path / "photos" / "1.png", size=(200, 100))
    box = [
        {"transcription": text, "points": [[x, 10], [x + 60, 10], [x + 60, 40], [x, 40]]}
        for x, text in ((10, "one"), (100, "two"))
    ]
    return labels(page.parent, f"photos/1.png\t{json.dumps(box)}\nphotos/2.png\t{json.dumps(box[:1])}\n", "Label.txt")


def test_an_image_that_has_come_is_taken(boxes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert run("ppocrlabel", boxes, out).manifest["counts"]["reasons"] == {"image.missing": 1}
    assert run("ppocrlabel", boxes, out).reused
    picture(boxes.parent / "2.png", 9, (200, 100))
    result = run("ppocrlabel", boxes, out)
    assert not result.reused and result.manifest["counts"]["out"] == 3 and not rejects_path(out).exists()
    assert run("ppocrlabel", boxes, out).reused


@pytest.mark.parametrize("place", ["1/5b-r.png", "images/5b-r.png", "5b-r.png"])
def test_an_image_that_has_come_elsewhere_is_taken(tmp_path: Path, place: str) -> None:
    """Formats look for images in several places; all of them count."""
    result = [{"id": "r", "type": "textarea", "value": {"text": ["x"]}}]
    tasks = [
        {"id": name, "data": {"ocr": f"/data/upload/1/{name}.png"}, "annotations": [{"result": result}]}
        for name in ("5b-r", "a")
    ]
    source = labels(tmp_path / "export", json.dumps(tasks), "export.json")
    picture(tmp_path / "export" / "a.png")
    run("label-studio", source, tmp_path / "out.jsonl")
    assert run("label-studio", source, tmp_path / "out.jsonl").reused
    picture(tmp_path / "export" / place)
    assert run("label-studio", source, tmp_path / "out.jsonl").manifest["counts"]["out"] == 2


def test_an_image_of_a_numbered_line_that_has_come_is_taken(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "images" / "0000000.png")
    source = labels(tmp_path / "set", "x\ny\n", "train.txt")
    assert run("unimer", source, tmp_path / "out.jsonl").manifest["counts"]["reasons"] == {"image.missing": 1}
    picture(tmp_path / "set" / "images" / "0000001.png", 9)
    assert run("unimer", source, tmp_path / "out.jsonl").manifest["counts"]["out"] == 2


def test_a_page_that_has_changed_is_cut_again(boxes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run("ppocrlabel", boxes, out)
    before = [row["image_info"][0]["image_url"] for row in rows_of(out)]
    picture(boxes.parent / "1.png", 77, (200, 100))
    assert not run("ppocrlabel", boxes, out).reused
    assert not {row["image_info"][0]["image_url"] for row in rows_of(out)} & set(before)


@pytest.mark.parametrize("harm", ["delete", "cut", "all"])
def test_stored_images_that_were_harmed_are_made_again(boxes: Path, tmp_path: Path, harm: str) -> None:
    out = tmp_path / "out.jsonl"
    run("ppocrlabel", boxes, out)
    first, *others = [out.parent / row["image_info"][0]["image_url"] for row in rows_of(out)]
    content = first.read_bytes()
    if harm == "cut":
        first.write_bytes(content[:50])
    for path in [first] * (harm == "delete") + [first, *others] * (harm == "all"):
        path.unlink()
    assert not run("ppocrlabel", boxes, out).reused
    assert first.read_bytes() == content and all(path.exists() for path in others)
    assert run("ppocrlabel", boxes, out).reused


def test_other_files_beside_the_images_change_nothing(boxes: Path, tmp_path: Path) -> None:
    run("ppocrlabel", boxes, tmp_path / "out.jsonl")
    picture(boxes.parent / "3.png")
    (boxes.parent / "notes.txt").write_text("x")
    assert run("ppocrlabel", boxes, tmp_path / "out.jsonl").reused


def test_pieces_of_a_killed_run_whose_image_has_changed_are_not_used(boxes: Path, tmp_path: Path) -> None:
    from sft.convert import tally as convert_tally
    from sft.convert import worker
    from sft.files import staging

    out = tmp_path / "out.jsonl"
    piece = worker.NumberedUnit(
        ConvertRequest("ppocrlabel", boxes, out),
        staging.folder_of(out),
        0,
        next(formats.get("ppocrlabel").units(boxes, options_of(formats.get("ppocrlabel"), {}))),
    )
    piece.folder.mkdir()
    tally = worker.convert_unit(piece)
    assert convert_tally.read_tally(piece.stem, tmp_path) == tally
    os.utime(boxes.parent / "1.png", (1, 1))
    assert convert_tally.read_tally(piece.stem, tmp_path) is None and convert_tally.read_tally(piece.stem) == tally


def test_a_list_of_images_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    for content in (b"no gzip", b""):
        (tmp_path / "list").write_bytes(content)
        assert snapshot.changed_files(tmp_path / "list", tmp_path) == ([] if not content else None)
    assert snapshot.changed_files(tmp_path / "none", tmp_path) is None


def test_listed_images_are_found_by_their_path_from_out(tmp_path: Path) -> None:
    (tmp_path / "list").parent.mkdir(exist_ok=True)
    listed = snapshot.ImageSnapshot(tmp_path)
    for name in ("a b.png", "größe\n.png", "x/y.png"):
        listed.note(picture(tmp_path / "a.png").rename(tmp_path / name) if "/" not in name else tmp_path / name)
    (tmp_path / "list").write_bytes(listed.packed())
    assert snapshot.changed_files(tmp_path / "list", tmp_path) == []
    picture(tmp_path / "x" / "y.png")
    (tmp_path / "a b.png").unlink()
    assert snapshot.changed_files(tmp_path / "list", tmp_path) == ["a b.png", "x/y.png"]


def test_rows_of_ours_go_through_other_folders_without_loss(tmp_path: Path) -> None:
    picture(tmp_path / "my data" / "a.png")
    images = [{"image_url": "../my data/a.png", "matched_text_index": 0}]
    row = {
        "image_info": images,
        "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "x", "tag": "no_mask"}],
        "meta": {"group": "p1"},
        "id": 7,
    }
    source = tmp_path / "out" / "clean.jsonl"
    labels(source.parent, json.dumps(row) + "\n", source.name)
    (tmp_path / "rt").mkdir()
    (tmp_path / "back").mkdir()
    assert run("erniekit", source, tmp_path / "rt" / "m.jsonl", to="messages").manifest["counts"]["out"] == 1
    assert rows_of(tmp_path / "rt" / "m.jsonl")[0]["images"] == ["../my data/a.png"]
    run("messages", tmp_path / "rt" / "m.jsonl", tmp_path / "back" / "clean.jsonl")
    assert rows_of(tmp_path / "back" / "clean.jsonl") == [row]


def test_a_foreign_file_is_not_overwritten(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    source, out = labels(tmp_path, "a.png\tx\n"), tmp_path / "out.jsonl"
    out.write_text("mine\n")
    with pytest.raises(UsageError, match="does not describe it") as caught:
        run("paddleocr-rec", source, out)
    assert "--fresh" in str(caught.value) and out.read_text() == "mine\n" and not list(tmp_path.glob(".out*"))
    assert run("paddleocr-rec", source, out, fresh=True).manifest["counts"]["out"] == 1
    labels(tmp_path, "a.png\ty\n")
    assert not run("paddleocr-rec", source, out).reused and rows_of(out)[0]["text_info"][1]["text"] == "y"


def test_a_file_that_a_killed_run_has_left_is_ours(tmp_path: Path) -> None:
    out, account = tmp_path / "out.jsonl", tmp_path / "out.manifest.json"
    manifest.refuse_foreign(out, account)
    out.write_text("x")
    for content in ("{}", '{"outputs": ["other.jsonl"]}', '{"outputs": 7}', "[", '"x"'):
        account.write_text(content)
        with pytest.raises(UsageError):
            manifest.refuse_foreign(out, account)
    for name in (".out.jsonl.work", ".out.work"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "fingerprint").write_text("x")
        manifest.refuse_foreign(out, account)
        (tmp_path / name / "fingerprint").unlink()
    account.write_text('{"outputs": {"out.jsonl": {}}}')
    manifest.refuse_foreign(out, account)


def test_label_files_that_are_not_read_are_named(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "train_images" / "a.png")
    for name in ("train_labels.txt", "test_labels.txt", "README.txt"):
        labels(tmp_path / "set", "a\tx + y\n", name)
    result = run("hme100k", tmp_path / "set", tmp_path / "out.jsonl")
    assert result.manifest["inputs"][0]["not_read"] == ["test_labels.txt"]
    assert result.manifest["warnings"] == [
        "also here, not read: test_labels.txt; name such a file itself to convert it"
    ]
    shown = CliRunner().invoke(verb, ["hme100k", str(tmp_path / "set"), "-o", str(tmp_path / "out.jsonl")])
    assert (
        "warning: also here, not read: test_labels.txt" in " ".join(shown.stderr.split())
        and "already done" in shown.stdout
    )
    assert run("hme100k", tmp_path / "set", tmp_path / "one.jsonl", split="train").manifest["warnings"] == []
    assert run("hme100k", tmp_path / "set" / "train_labels.txt", tmp_path / "two.jsonl").manifest["warnings"] == []


def test_a_split_that_the_format_does_not_have_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    with pytest.raises(UsageError, match="has no splits"):
        run("paddleocr-rec", labels(tmp_path, "a.png\tx\n"), tmp_path / "out.jsonl", split="val")
    with pytest.raises(UsageError, match="among the files of a folder"):
        run("unimer", labels(tmp_path, "x\n", "train.txt"), tmp_path / "out.jsonl", split="test")
    row = {
        "filename": "a.png",
        "split": "train",
        "html": {"cells": [{"tokens": ["x"]}], "structure": {"tokens": ["<tr>", "<td>", "</td>", "</tr>"]}},
    }
    source = labels(tmp_path, json.dumps(row) + "\n", "tables.jsonl")
    with pytest.raises(UsageError, match="no rows of a split called 'dev'") as caught:
        run("pubtabnet", source, tmp_path / "out.jsonl", split="dev")
    assert "train, val or test" in str(caught.value)
    assert [name for name in formats.FORMATS if formats.get(name).splits] == [
        "pubtabnet",
        "hf",
        "im2latex",
        "unimer",
        "hme100k",
        "chartqa",
        "plotqa",
        "otsl-parquet",
    ]


def test_label_studio_says_how_images_are_found(tmp_path: Path) -> None:
    region = {
        "id": "r",
        "type": "textarea",
        "value": {"x": 1, "y": 1, "width": 50, "height": 50, "text": ["TOTAL"]},
        "original_width": 60,
        "original_height": 40,
    }
    source = labels(
        tmp_path,
        json.dumps([{"id": 1, "data": {"ocr": "/data/upload/1/5b-r.png"}, "annotations": [{"result": [region]}]}]),
        "export.json",
    )
    with pytest.raises(NothingUsable, match="--images DIR"):
        run("label-studio", source, tmp_path / "out.jsonl")
    (reject,) = rows_of(rejects_path(tmp_path / "out.jsonl"))
    assert "--images DIR" in reject["message"] and reject["code"] == "image.missing"
    raw = json.loads(reject["raw"])
    assert raw["image"].endswith("5b-r.png") and len(raw["points"]) == 4 and raw["text"] == "TOTAL"
    picture(tmp_path / "files" / "5b-r.png")
    assert run("label-studio", source, tmp_path / "out.jsonl", images=tmp_path / "files").manifest["counts"]["out"] == 1


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.EACCES, "rights"),
        (errno.EPERM, "rights"),
        (errno.EROFS, "rights"),
        (errno.ENOSPC, "free space"),
        (errno.EDQUOT, "free space"),
        (errno.EIO, "check"),
    ],
)
def test_the_hint_fits_the_reason(number: int, word: str) -> None:
    error = atomic.disk_error(OSError(number, os.strerror(number)), Path("x"))
    assert word in (error.hint or "") and ("free space" in (error.hint or "")) == (word == "free space")


def test_an_image_that_may_not_be_read_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture(tmp_path / "a.png")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("sft.convert.prepare_image._glance", lambda _: None)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageProblem, match="cannot be read") as caught:
        ImagePreparer().prepare(Picture(path=path))
    assert caught.value.code == "image.unreadable"
    with pytest.raises(UsageError) as said, atomic.open_input(path):
        pass
    assert "did you mean" not in str(said.value) and "may not read" in str(said.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("parquet", "hf"),
        ("HuggingFace", "hf"),
        ("paddleocr", "paddleocr-rec"),
        ("label_studio", "label-studio"),
        ("ernikit", "erniekit"),
        ("ppocr", "paddleocr-rec"),
        ("sharegpt", "llava"),
        ("nonsense", ""),
        ("labelme", ""),
        ("xyz", ""),
        ("", ""),
    ],
)
def test_names_that_are_suggested(name: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        formats.get(name)
    assert (
        (f"did you mean {expected} ?" if expected else "did you mean") in str(caught.value)
        if expected
        else "did you mean" not in str(caught.value)
    )
    assert (
        not formats.ALIASES.keys() & formats.FORMATS.keys() and set(formats.ALIASES.values()) <= formats.FORMATS.keys()
    )


def test_json_of_a_conversion_without_rows(tmp_path: Path) -> None:
    source = labels(tmp_path, "none.png\tx\n")
    done = CliRunner().invoke(verb, ["paddleocr-rec", str(source), "-o", str(tmp_path / "out.jsonl"), "--json"])
    assert isinstance(done.exception, NothingUsable) and done.exception.exit_code == 1
    account = json.loads(done.stdout)
    assert account["counts"] == {
        "in": 1,
        "out": 0,
        "rejected": 1,
        "reasons": {"image.missing": 1},
        "images": {},
        "warnings": {},
    } and list(account["outputs"]) == ["out.rejects.jsonl"]
    assert not manifest_path(tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("a.jpg\t简单可依赖".encode("gbk"), "GB18030"),
        ("a.jpg\tこんにちは、世界".encode("shift_jis"), "SHIFT_JIS"),
        ("a.jpg\tcafé à la crème".encode("latin-1"), "ISO-8859-1"),
        (b"\xff\xfe\x80\x81", ""),
        (("a.jpg\t" + "简单可依赖" * 5000).encode("gb18030"), "GB18030"),
        (b"\xff" * 10, ""),
    ],
)
def test_other_encodings_are_named(tmp_path: Path, raw: bytes, name: str) -> None:
    said = likely_encoding(raw)
    assert (f"iconv -f {name}" in said) if name else said == ""
    (tmp_path / "rec.txt").write_bytes(raw + b"\n")
    with pytest.raises(NothingUsable, match=r"source\.encoding"):
        run("paddleocr-rec", tmp_path / "rec.txt", tmp_path / "out.jsonl")
    assert said in rows_of(rejects_path(tmp_path / "out.jsonl"))[0]["message"]


def test_boxes_are_no_text(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    lines = [
        '[{"transcription": "MASA", "points": [[1, 1], [9, 1], [9, 9], [1, 9]]}]',
        '{"transcription": "x"}',
        '{"0": {"points": []}}',
        '[{"a": 1}]',
        '"points"',
        '{"points": ',
        '["points"]',
    ]
    run("paddleocr-rec", labels(tmp_path, "".join(f"a.png\t{line}\n" for line in lines)), tmp_path / "out.jsonl")
    rejected = rows_of(rejects_path(tmp_path / "out.jsonl"))
    assert [reject["where"] for reject in rejected] == ["rec_gt.txt:1", "rec_gt.txt:2", "rec_gt.txt:3"]
    assert all(
        reject["code"] == "source.shape" and "sft convert ppocrlabel" in reject["message"] for reject in rejected
    )


def test_labels_that_look_like_something_else_are_counted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    lines = [
        "<table><tr><td>x</td></tr></table>",
        "<html><body><table><tr><th>x</th></tr></table></body></html>",
        "<fcel>a<ecel><nl>",
        r"$\frac{1}{2}$",
        r"\[x\]",
        r"\(x\)",
        "$$x$$",
        "costs $5 and $6",
        "plain",
        "<b>x</b>",
        r"\(x\) and \(y\)",
        "<table>",
    ]
    source = labels(tmp_path, "".join(f"a.png\t{line}\n" for line in lines))
    result = run("paddleocr-rec", source, tmp_path / "out.jsonl")
    assert result.manifest["counts"]["out"] == len(lines)
    assert result.manifest["warnings"] == [
        "2 labels look like HTML tables, and are taken as plain text; did you mean --task table?",
        "1 labels look like OTSL tables, and are taken as plain text; did you mean --task table?",
        "4 labels look like formulas, and are taken as plain text; did you mean --task formula?",
    ]
    assert run("paddleocr-rec", source, tmp_path / "text.jsonl", markup="text").manifest["warnings"] == []
    formulas = labels(tmp_path, "a.png\t$x$\n", "formulas.txt")
    assert run("paddleocr-rec", formulas, tmp_path / "formula.jsonl", task=Task.FORMULA).manifest["warnings"] == []


@pytest.mark.parametrize("name", ["q.rejects.jsonl", "q.manifest.json"])
def test_a_source_is_not_where_the_account_goes(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "1.png")
    source = labels(
        tmp_path,
        json.dumps(
            {
                "image_info": [{"image_url": "1.png"}],
                "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "x", "tag": "no_mask"}],
            }
        )
        + "\n",
        name,
    )
    before = source.read_bytes()
    with pytest.raises(UsageError, match="overwrite its source"):
        run("erniekit", source, tmp_path / "q.jsonl")
    assert source.read_bytes() == before


def test_a_manifest_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    source = labels(tmp_path, "1.png\tx\n")
    (tmp_path / "out.manifest.json").write_text('{"mine": 1}')
    with pytest.raises(UsageError, match="not a manifest of the workbench"):
        run("paddleocr-rec", source, tmp_path / "out.jsonl")
    assert (tmp_path / "out.manifest.json").read_text() == '{"mine": 1}'


def test_out_in_its_source_by_way_of_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "lines"
    for number in range(3):
        picture(folder / f"{number}.png", number)
        (folder / f"{number}.gt.txt").write_text(f"line {number}")
    (tmp_path / "link").symlink_to(folder)
    for fresh in (False, False, True):
        result = convert(
            ConvertRequest(
                "gt-pairs", folder, tmp_path / "link" / "out.jsonl", options_of(formats.get("gt-pairs"), {}), copy=True
            ),
            ONE,
            fresh=fresh,
        )
        assert (result.manifest["counts"]["in"], result.manifest["counts"]["out"]) == (3, 3)
