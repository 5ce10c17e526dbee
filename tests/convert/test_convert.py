"""`sft convert`: every row accounted for, the same bytes however it is run, and the command line around it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from places import ROOT
from tiny_format import TINY

from sft import formats
from sft.cli.convert import convert as verb
from sft.convert.driver import Result, convert
from sft.convert.request import manifest_path, options_of
from sft.convert.worker import ConvertRequest
from sft.errors import EngineError, ProblemsFound, SftError, UsageError
from sft.files import atomic, manifest, rejects_path, staging
from sft.formats.base import SourceOptions
from sft.images.reader import EXIF_ORIENTATION, probe
from sft.runtime.runner import Runner
from sft.types import Task
from sft.validate.fixes import fix

ONE = Runner(workers=1)
SFT = [sys.executable, "-m", "sft"]
BOX = [[2, 2], [42, 2], [42, 22], [2, 22]]


def picture(path: Path, *, orientation: int = 1, size: tuple[int, int] = (60, 40), shade: int = 0) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    image = Image.radial_gradient("L").resize(size).point(lambda value: (value + shade) % 256).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)


def in_base64(kind: str = "PNG") -> str:
    stream = io.BytesIO()
    Image.radial_gradient("L").resize((30, 30)).save(stream, kind)
    return "base64:" + base64.b64encode(stream.getvalue()).decode()


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def codes(out: Path) -> list[tuple[str, str]]:
    return (
        [(reject["where"], reject["code"]) for reject in rows_of(rejects_path(out))]
        if rejects_path(out).exists()
        else []
    )


Converts = Callable[..., Result]


@pytest.fixture
def tiny(tmp_path: Path) -> Converts:
    """Write rows (objects, or lines as they are) into labels.txt and convert them into out.jsonl, two
    pictures beside.
    """
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", shade=9)

    def run(*rows: Any, out: str = "out.jsonl", runner: Runner = ONE, fresh: bool = False, **more: Any) -> Result:
        if rows:
            (tmp_path / "labels.txt").write_text(
                "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), "utf-8"
            )
        return convert(
            ConvertRequest("tiny", tmp_path / "labels.txt", tmp_path / out, **more),
            runner,
            fresh=fresh,
            source_format=TINY,
        )

    return run


def test_an_item_becomes_a_row_with_its_source(tiny: Converts, tmp_path: Path) -> None:
    result = tiny(
        {"images": ["a.png"], "text": "৪৫টি", "group": "page 1"}, {"images": ["b.png"], "text": "x", "task": "table"}
    )
    assert rows_of(tmp_path / "out.jsonl") == [
        {
            "image_info": [{"image_url": "a.png", "matched_text_index": 0}],
            "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "৪৫টি", "tag": "no_mask"}],
            "source": "labels.txt:1",
            "meta": {"group": "page 1"},
        },
        {
            "image_info": [{"image_url": "b.png", "matched_text_index": 0}],
            "text_info": [{"text": "Table Recognition:", "tag": "mask"}, {"text": "x", "tag": "no_mask"}],
            "source": "labels.txt:2",
        },
    ]
    assert result.manifest["counts"] == {
        "in": 2,
        "out": 2,
        "rejected": 0,
        "reasons": {},
        "images": {"in_place": 2},
        "warnings": {},
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".out.jsonl.images",
        "a.png",
        "b.png",
        "labels.txt",
        "out.jsonl",
        "out.manifest.json",
    ]


def test_every_bad_row_is_rejected_with_its_reason_and_the_good_ones_survive(tiny: Converts, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "half.png").write_bytes((tmp_path / "a.png").read_bytes()[:600])
    good = {"images": ["a.png"], "text": "good"}
    bad: list[tuple[Any, str]] = [
        ("nonsense\n", "source.syntax"),
        ({"images": ["none.png"], "text": "x"}, "image.missing"),
        ({"images": ["text.png"], "text": "x"}, "image.unreadable"),
        ({"images": ["half.png"], "text": "x"}, "image.truncated"),
        (
            {"images": ["a.png"], "text": "x", "quad": [[500, 500], [600, 500], [600, 600], [500, 600]]},
            "source.geometry",
        ),
        ({"images": ["a.png"], "text": " \n"}, "target.empty"),
        ({"images": ["a.png"], "text": "x", "task": "spotting"}, "source.inexpressible"),
        ('{"images": ["a.png"], "text": "\\ud83d"}\n', "source.encoding"),
        ({"images": ["a.png"], "row": {"text_info": [], "image_info": []}}, "source.shape"),
        ({"images": ["a.png"], "row": {"image_info": 7}}, "source.shape"),
        ({"images": ["base64:aGFsbG8="], "text": "x"}, "image.unreadable"),
        ({"images": ["http://127.0.0.1/a.png"], "text": "x"}, "source.address"),
        ({"images": ["httpx://example.com/a.png"], "text": "x"}, "source.address"),
    ]
    result = tiny(*(row for pair in bad for row in (good, pair[0])), good)
    assert codes(tmp_path / "out.jsonl") == [
        (f"labels.txt:{2 * number}", code) for number, (_, code) in enumerate(bad, 1)
    ]
    assert [row["source"] for row in rows_of(tmp_path / "out.jsonl")] == [
        f"labels.txt:{2 * number + 1}" for number in range(len(bad) + 1)
    ]
    assert (
        result.manifest["counts"]["in"]
        == 2 * len(bad) + 1
        == result.manifest["counts"]["out"] + result.manifest["counts"]["rejected"]
    )
    assert result.manifest["counts"]["reasons"]["source.shape"] == 2
    first = rows_of(rejects_path(tmp_path / "out.jsonl"))[0]
    assert list(first) == ["where", "code", "message", "raw"] and first["raw"] == "nonsense\n"


def test_a_bug_of_a_format_costs_the_rest_of_its_unit_and_is_accounted_for(tiny: Converts, tmp_path: Path) -> None:
    good = {"images": ["a.png"], "text": "good"}
    tiny(*[good] * 6, "break\n", *[good] * 8)
    assert [row["source"] for row in rows_of(tmp_path / "out.jsonl")] == [
        f"labels.txt:{n}" for n in (1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15)
    ]
    assert (
        codes(tmp_path / "out.jsonl") == [("labels.txt", "source.syntax")]
        and "ZeroDivisionError" in rejects_path(tmp_path / "out.jsonl").read_text()
    )


def test_a_file_that_cannot_be_opened_is_not_the_whole_source(tiny: Converts, tmp_path: Path) -> None:
    good = {"images": ["a.png"], "text": "good"}
    tiny(good, "open\n", *[good] * 3, good)
    assert len(rows_of(tmp_path / "out.jsonl")) == 2 and codes(tmp_path / "out.jsonl") == [
        ("labels.txt", "source.shape")
    ]


def test_a_killed_worker_is_an_error_and_the_rest_is_kept(tiny: Converts, tmp_path: Path) -> None:
    good = {"images": ["a.png"], "text": "good"}
    with pytest.raises(EngineError, match="SIGKILL"):
        tiny(*[good] * 30, "kill\n", runner=Runner(workers=2))
    assert not (tmp_path / "out.jsonl").exists() and list(staging.folder_of(tmp_path / "out.jsonl").glob("*.done"))


MIXED = [
    {"images": ["a.png"], "text": "kept"},
    {"images": ["a.png"], "text": "cut", "quad": BOX},
    {"images": ["b.png"], "text": "cut", "quad": BOX},
    "nonsense\n",
    {"images": [in_base64()], "text": "bytes"},
    {"images": [in_base64("JPEG")], "text": "bytes"},
    {"images": ["none.png"], "text": "x"},
]


def tree(folder: Path, *names: str) -> dict[str, str]:
    """Every file of an output, with the SHA-256 of its content."""
    files = [
        path
        for name in names
        for path in ([folder / name] if (folder / name).is_file() else sorted((folder / name).rglob("*")))
        if path.is_file()
    ]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


OUTPUTS = ("out.jsonl", "out.rejects.jsonl", "out.manifest.json", "out_images")


def test_any_number_of_workers_writes_the_same_bytes(tiny: Converts, tmp_path: Path) -> None:
    found = []
    for workers in (1, 2, 8):
        tiny(*MIXED * 6, runner=Runner(workers=workers), fresh=True)
        found.append(tree(tmp_path, *OUTPUTS))
        for name in OUTPUTS[:3]:
            (tmp_path / name).unlink()
        shutil.rmtree(tmp_path / OUTPUTS[3])
    assert found[0] == found[1] == found[2]
    assert {name.rpartition(".")[2] for name in found[0] if "images" in name} == {"png", "jpg"} and len(found[0]) == 7


def test_the_same_command_again_does_nothing(tiny: Converts, tmp_path: Path) -> None:
    first = tiny(*MIXED)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name.startswith("out")}
    again = tiny()
    assert (first.reused, again.reused) == (False, True) and again.manifest == first.manifest
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name.startswith("out")} == before
    assert not tiny(fresh=True).reused


@pytest.mark.parametrize("change", ["source", "option", "output", "rejects", "gone", "list"])
def test_what_has_changed_is_converted_again(tiny: Converts, tmp_path: Path, change: str) -> None:
    tiny(*MIXED)
    before = tree(tmp_path, "out.jsonl", "out.rejects.jsonl")
    more: dict[str, Any] = {}
    if change == "source":
        with (tmp_path / "labels.txt").open("a") as stream:
            stream.write(json.dumps(MIXED[0]) + "\n")
    elif change == "option":
        more["model"] = "1.5"
    elif change in ("output", "rejects"):
        with (tmp_path / ("out.jsonl" if change == "output" else "out.rejects.jsonl")).open("a") as stream:
            stream.write("{}\n")
    else:
        (tmp_path / ("out.jsonl" if change == "gone" else ".out.jsonl.images")).unlink()
    result = tiny(**more)
    assert not result.reused and (tree(tmp_path, "out.jsonl", "out.rejects.jsonl") == before) == (change != "source")
    assert tiny(**more).reused


def test_pieces_of_an_unfinished_run_are_used(tiny: Converts, tmp_path: Path) -> None:
    tiny(*MIXED * 3)
    expected = tree(tmp_path, *OUTPUTS)
    for name in OUTPUTS[:3]:
        (tmp_path / name).unlink()

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise EngineError("stopped")

    order = ConvertRequest("tiny", tmp_path / "labels.txt", tmp_path / "out.jsonl")
    with pytest.raises(EngineError, match="stopped"):
        convert(order, ONE, progress=stop, source_format=TINY)
    assert not (tmp_path / "out.jsonl").exists() and staging.folder_of(tmp_path / "out.jsonl").is_dir()
    seen: list[int] = []
    result = convert(order, ONE, progress=lambda done, total: seen.append(done), source_format=TINY)
    assert result.resumed and seen[0] == 3 and seen[-1] == 5
    assert tree(tmp_path, *OUTPUTS) == expected and not staging.folder_of(tmp_path / "out.jsonl").exists()


def test_pieces_of_other_options_are_not_used(tiny: Converts, tmp_path: Path) -> None:
    tiny(*MIXED * 3)
    folder = staging.folder_of(tmp_path / "out.jsonl")
    with staging.StagingFolder(tmp_path / "out.jsonl", "another fingerprint") as other:
        atomic.write(other.path("00000000.rows"), b"{}\n")
        atomic.write(other.path("00000000.done"), b'{"seen":1,"out":1,"sizes":[3,0]}')
    result = tiny(model="1.5")
    assert not result.resumed and "{}" not in (tmp_path / "out.jsonl").read_text().splitlines() and not folder.exists()


def test_an_empty_piece_of_a_crashed_machine_is_made_again(tiny: Converts, tmp_path: Path) -> None:
    tiny(*MIXED)
    expected = tree(tmp_path, "out.jsonl")
    mark = manifest.finished(
        manifest_path(tmp_path / "out.jsonl"),
        json.loads(manifest_path(tmp_path / "out.jsonl").read_text())["fingerprint"],
    )
    assert mark is not None
    with staging.StagingFolder(tmp_path / "out.jsonl", mark["fingerprint"]) as place:
        atomic.write(place.path("00000000.rows"), b"")
        atomic.write(place.path("00000000.done"), b'{"seen":5,"out":4,"reasons":{"source.syntax":1},"sizes":[900,100]}')
        atomic.write(place.path("00000001.done"), b"\0\0\0")
    assert tiny().resumed and tree(tmp_path, "out.jsonl") == expected


def test_two_commands_cannot_write_the_same_file(tiny: Converts, tmp_path: Path) -> None:
    with staging.StagingFolder(tmp_path / "out.jsonl", "x"), pytest.raises(UsageError, match="another process"):
        tiny(*MIXED)
    assert tiny().manifest["counts"]["out"] == 5


def test_nothing_came_out(tiny: Converts, tmp_path: Path) -> None:
    tiny(*MIXED)
    before = tree(tmp_path, "out.jsonl", "out.manifest.json")
    with pytest.raises(ProblemsFound, match=r"none of 2 rows .*image.missing 1") as caught:
        tiny({"images": ["none.png"], "text": "x"}, "nonsense\n")
    assert tree(tmp_path, "out.jsonl", "out.manifest.json") == before and len(codes(tmp_path / "out.jsonl")) == 2
    assert caught.value.hint and "out.rejects.jsonl" in caught.value.hint
    (tmp_path / "labels.txt").write_text("")
    with pytest.raises(ProblemsFound, match="nothing in it"):
        tiny()
    assert not staging.folder_of(tmp_path / "out.jsonl").exists()


def test_an_error_of_the_source_as_a_whole_is_one(tiny: Converts, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a tiny file"):
        tiny("usage\n")
    assert not (tmp_path / "out.jsonl").exists()


# images


def test_images_are_named_by_their_path_from_the_output(tiny: Converts, tmp_path: Path) -> None:
    picture(tmp_path / "https" / "c d.png")
    os.symlink(tmp_path, tmp_path / "link")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    rows: list[Any] = [
        {"images": ["a.png"], "text": "x"},
        {"images": ["https/c d.png"], "text": "x"},
        {"images": [str(tmp_path / "b.png")], "text": "x"},
        {"images": ["link/a.png"], "text": "x"},
    ]
    rows[1]["images"] = ["./https/c d.png"]
    tiny(*rows)
    assert [row["image_info"][0]["image_url"] for row in rows_of(tmp_path / "out.jsonl")] == [
        "a.png",
        "./https/c d.png",
        "b.png",
        "a.png",
    ]
    tiny(out="deep/er/out.jsonl")
    assert [row["image_info"][0]["image_url"] for row in rows_of(tmp_path / "deep/er/out.jsonl")] == [
        "../../a.png",
        "../../https/c d.png",
        "../../b.png",
        "../../a.png",
    ]
    os.symlink(tmp_path / "deep" / "er", tmp_path / "short")
    tiny(out="short/two.jsonl")
    assert all(
        (tmp_path / "deep/er" / row["image_info"][0]["image_url"]).is_file()
        for row in rows_of(tmp_path / "short/two.jsonl")
    )


def test_a_file_name_that_json_cannot_hold_is_copied(tiny: Converts, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    shutil.copy(tmp_path / "a.png", tmp_path / name)
    result = tiny(json.dumps({"images": [name], "text": "x"}) + "\n")
    found = rows_of(tmp_path / "out.jsonl")[0]["image_info"][0]["image_url"]
    assert (
        result.manifest["counts"]["images"] == {"copied": 1}
        and (tmp_path / found).read_bytes() == (tmp_path / "a.png").read_bytes()
    )


def test_what_must_change_goes_beside_the_output_under_a_name_of_its_content(tiny: Converts, tmp_path: Path) -> None:
    picture(tmp_path / "turned.jpg", orientation=6)
    result = tiny(
        {"images": ["turned.jpg"], "text": "x"},
        {"images": [in_base64()], "text": "x"},
        {"images": ["a.png"], "text": "x", "quad": BOX},
        {"images": ["a.png"], "text": "x", "quad": BOX},
    )
    urls = [row["image_info"][0]["image_url"] for row in rows_of(tmp_path / "out.jsonl")]
    assert result.manifest["counts"]["images"] == {"copied": 1, "drawn": 3} and urls[2] == urls[3]
    assert [probe(tmp_path / url).width for url in urls] == [40, 30, 40, 40]
    assert hashlib.sha256(base64.b64decode(in_base64()[7:])).hexdigest() in urls[1]
    with Image.open(tmp_path / urls[2]) as pixels:
        digest = hashlib.sha256(
            f"{pixels.mode} {pixels.width} {pixels.height} ".encode() + pixels.tobytes()
        ).hexdigest()
    assert urls[2] == f"out_images/{digest[:2]}/{digest}.png"
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]


def test_copy_makes_a_folder_that_can_be_moved(tiny: Converts, tmp_path: Path) -> None:
    tiny(*MIXED, out="set/out.jsonl", copy=True)
    shutil.move(tmp_path / "set", tmp_path / "elsewhere")
    for row in rows_of(tmp_path / "elsewhere/out.jsonl"):
        assert (
            row["image_info"][0]["image_url"].startswith("out_images/")
            and (tmp_path / "elsewhere" / row["image_info"][0]["image_url"]).is_file()
        )


def test_deep_reads_every_pixel(tiny: Converts, tmp_path: Path) -> None:
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(content)
    tiny({"images": ["a.png"], "text": "x"}, {"images": ["b.png"], "text": "x"})
    assert codes(tmp_path / "out.jsonl") == []
    tiny(deep=True)
    assert codes(tmp_path / "out.jsonl") == [("labels.txt:1", "image.truncated")]


# rows with a structure of their own


def hub(**more: Any) -> dict[str, Any]:
    return {
        "text_info": [{"text": "Question?", "tag": "mask"}, {"text": "Answer.", "tag": "no_mask"}],
        "image_info": [{"image_url": "./a.png", "extra": [1.5, None, 2**80]}],
        **more,
    }


def test_a_row_keeps_its_keys_their_order_and_the_spelling_of_its_path(tiny: Converts, tmp_path: Path) -> None:
    row = hub(id=7, meta={"x": 1}, source="mine")
    tiny({"images": ["a.png"], "row": row})
    assert (tmp_path / "out.jsonl").read_text() == json.dumps(row, separators=(",", ":")) + "\n"
    tiny({"images": ["a.png"], "row": hub()})
    assert list(rows_of(tmp_path / "out.jsonl")[0]) == ["text_info", "image_info", "source"]
    tiny({"images": ["a.png"], "row": hub()}, out="other/out.jsonl")
    assert rows_of(tmp_path / "other/out.jsonl")[0]["image_info"][0]["image_url"] == "../a.png"


def test_sizes_follow_an_image_that_was_turned(tiny: Converts, tmp_path: Path) -> None:
    picture(tmp_path / "turned.png", orientation=6)
    row = hub(
        image_info=[
            {"image_url": "turned.png", "image_width": 60, "image_height": 40},
            {"image_url": "a.png", "image_width": 1, "image_height": 2},
        ]
    )
    tiny({"images": ["turned.png", "a.png"], "row": row})
    assert [
        (image["image_width"], image["image_height"]) for image in rows_of(tmp_path / "out.jsonl")[0]["image_info"]
    ] == [(40, 60), (1, 2)]


def test_prompts(tiny: Converts, tmp_path: Path) -> None:
    rows = [
        {"images": ["a.png"], "text": "x", "prompt": "Own:"},
        {"images": ["a.png"], "text": "x"},
        {"images": ["a.png"], "row": hub()},
    ]
    assert tiny(*rows).custom_prompts == 2
    assert [row["text_info"][0]["text"] for row in rows_of(tmp_path / "out.jsonl")] == ["Own:", "OCR:", "Question?"]
    assert tiny(prompt="Read:").custom_prompts == 3
    assert [row["text_info"][0]["text"] for row in rows_of(tmp_path / "out.jsonl")] == ["Read:"] * 3
    assert tiny({"images": ["a.png"], "text": "x", "task": "spotting"}, model="1.5").custom_prompts == 0


def test_messages_come_out(tiny: Converts, tmp_path: Path) -> None:
    tiny({"images": ["a.png"], "row": hub()}, {"images": ["a.png"], "text": "<image>"}, to="messages")
    (row,) = rows_of(tmp_path / "out.jsonl")
    assert row["messages"] == [
        {"role": "user", "content": "<image>Question?"},
        {"role": "assistant", "content": "Answer."},
    ] and row["images"] == ["./a.png"]
    assert codes(tmp_path / "out.jsonl") == [("labels.txt:2", "source.inexpressible")]


words = st.text(max_size=8)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2), max_leaves=4
)
any_row = st.fixed_dictionaries(
    {},
    optional={
        "images": st.lists(st.just("a.png"), max_size=2),
        **dict.fromkeys(("text", "task", "group", "quad", "row"), values),
    },
)


@given(st.lists(any_row, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_whatever_a_row_holds_nothing_vanishes(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    picture(folder / "a.png")
    (folder / "labels.txt").write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows, {"images": ["a.png"], "text": "good"}]), "utf-8"
    )
    try:
        result = convert(
            ConvertRequest("tiny", folder / "labels.txt", folder / "out.jsonl"),
            ONE,
            source_format=replace(TINY, name="tiny"),
        )
    except ProblemsFound:
        assert codes(folder / "out.jsonl")
    else:
        counts = result.manifest["counts"]
        assert (
            counts["in"]
            == counts["out"] + counts["rejected"]
            == len(rows_of(folder / "out.jsonl")) + len(codes(folder / "out.jsonl"))
        )


# what makes no sense


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"out": Path("out.json")}, "must end in .jsonl"),
        ({"source": Path("nope.txt")}, "cannot read"),
        ({"model": "9"}, "no model version"),
        ({"options": SourceOptions(images=Path("nope"))}, "no such folder"),
        ({"options": SourceOptions(task=Task.CHART)}, "no labels for the task chart"),
        ({"options": SourceOptions(task=Task.SPOTTING)}, "no prompt for the task"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_text("")
    with pytest.raises(SftError, match=said):
        convert(replace(ConvertRequest("tiny", Path("labels.txt"), Path("out.jsonl")), **more), ONE, source_format=TINY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.txt"]


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "out.jsonl"
    source.write_text(json.dumps(hub()) + "\n")
    with pytest.raises(UsageError, match="overwrite its source"):
        convert(ConvertRequest("erniekit", source, tmp_path / "x" / ".." / "out.jsonl"), ONE)


def test_the_output_may_lie_in_the_folder_that_is_converted(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"{number}.png", shade=number, orientation=6)
        (tmp_path / f"{number}.gt.txt").write_text(f"line {number}")
    order = ConvertRequest("gt-pairs", tmp_path, tmp_path / "out.jsonl")
    first = convert(order, ONE)
    before = tree(tmp_path, *OUTPUTS)
    assert first.manifest["counts"]["out"] == 3 and convert(order, ONE).reused
    again = convert(order, ONE, fresh=True)
    assert again.manifest == first.manifest and tree(tmp_path, *OUTPUTS) == before


def test_columns_are_checked() -> None:
    assert options_of(TINY, {"image": "file"}, markup="html") == SourceOptions(columns={"image": "file"}, markup="html")
    with pytest.raises(UsageError, match="imge") as caught:
        options_of(TINY, {"imge": "file"})
    assert caught.value.hint and "did you mean image" in caught.value.hint


# the command line


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Labels of PaddleOCR's recogniser, one of them without its image."""
    for number in range(3):
        picture(tmp_path / f"img/{number}.png", shade=number)
    (tmp_path / "rec.txt").write_text("".join(f"img/{number}.png\tword {number}\n" for number in range(4)))
    return tmp_path / "rec.txt"


def test_the_verb_writes_and_accounts(lines: Path) -> None:
    out = lines.with_name("train.jsonl")
    done = CliRunner().invoke(verb, ["paddleocr-rec", str(lines), "-o", str(out), "--workers", "1"])
    assert done.exit_code == 0 and "4 rows = 3 written + 1 rejected" in done.stdout and "image.missing" in done.stdout
    again = CliRunner().invoke(verb, ["paddleocr-rec", str(lines), "-o", str(out), "--workers", "2"])
    assert again.exit_code == 0 and "already done" in again.stdout
    strict = CliRunner().invoke(verb, ["paddleocr-rec", str(lines), "-o", str(out), "--strict", "--json"])
    assert strict.exit_code == 1 and json.loads(strict.stdout)["counts"]["rejected"] == 1


def test_a_prompt_of_ones_own_is_flagged(lines: Path) -> None:
    done = CliRunner().invoke(
        verb, ["paddleocr-rec", str(lines), "-o", str(lines.with_name("train.jsonl")), "--prompt", "Read:"]
    )
    assert done.exit_code == 0 and "will not send it" in done.stderr
    quiet = CliRunner().invoke(
        verb, ["paddleocr-rec", str(lines), "-o", str(lines.with_name("train.jsonl")), "--prompt", "OCR:"]
    )
    assert "warning" not in quiet.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["paddleocr-rek", "rec.txt", "-o", "x.jsonl"], "did you mean paddleocr-rec"),
        (["paddleocr-rec", "rec.tx", "-o", "x.jsonl"], "rec.txt ?"),
        (["paddleocr-rec", "rec.txt"], "-o OUT.jsonl"),
        (["paddleocr-rec"], "Missing SOURCE"),
        ([], "Missing FORMAT"),
        (["paddleocr-rec", "rec.txt", "-o", "x.txt"], ".jsonl"),
        (["csv", "rec.txt", "-o", "x.jsonl", "--map", "image"], "NAME=COLUMN"),
        (["csv", "rec.txt", "-o", "x.jsonl", "--map", "imagee=a"], "did you mean image"),
        (["paddleocr-rec", "rec.txt", "-o", "x.jsonl", "--address", "h:1"], "--runner ray"),
        (["paddleocr-rec", "rec.txt", "-o", "x.jsonl", "--task", "tabel"], "table"),
    ],
)
def test_usage_errors_are_sentences(lines: Path, words: list[str], said: str) -> None:
    done = subprocess.run(
        [*SFT, "convert", *words],
        capture_output=True,
        text=True,
        cwd=lines.parent,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr and not done.stdout


def test_list_shows_every_format_and_one_with_its_example() -> None:
    everything = CliRunner().invoke(verb, ["--list"])
    assert everything.exit_code == 0 and all(name in everything.stdout for name in formats.FORMATS)
    one = CliRunner().invoke(verb, ["--list", "csv"])
    assert one.exit_code == 0 and formats.get("csv").example in one.stdout and "columns" in one.stdout
    data = json.loads(CliRunner().invoke(verb, ["--list", "--json"]).stdout)
    assert [entry["name"] for entry in data] == list(formats.FORMATS) and all(entry["example"] for entry in data)


# --- what labels say, in every format

LABELS = ["1\u00a0250,00\u202f€", "\ufa19戸\u3000cafe\u0301", "###", "待识别", "#"]
WRITTEN = ["1 250,00 €", "\ufa19戸\u3000café", "#"]


def chat(image: str, label: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": "<image>OCR:"}, {"role": "assistant", "content": label}]
    return {"messages": turns, "images": [image]}


def llava(image: str, label: str) -> dict[str, Any]:
    return {
        "image": image,
        "conversations": [{"from": "human", "value": "<image>\nOCR:"}, {"from": "gpt", "value": label}],
    }


def label_studio(image: str, label: str) -> dict[str, Any]:
    box = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0}
    where = {"id": "r", "original_width": 60, "original_height": 40}
    result = [
        {**where, "type": "rectangle", "value": box},
        {**where, "type": "textarea", "value": {**box, "text": [label]}},
    ]
    return {"data": {"ocr": image}, "annotations": [{"result": result}]}


def lines_of(write: Callable[[str, str], str]) -> Callable[[Path, list[str]], None]:
    def put(path: Path, names: list[str]) -> None:
        path.write_text("".join(write(*pair) + "\n" for pair in zip(names, LABELS, strict=True)), "utf-8")

    return put


def pairs(folder: Path, names: list[str]) -> None:
    folder.mkdir()
    for name, label in zip(names, LABELS, strict=True):
        shutil.copy(folder.parent / name, folder / name)
        (folder / name).with_suffix(".gt.txt").write_text(label + "\n", "utf-8")


# format → the source that is given, and how it is written
def label_studio_file(path: Path, names: list[str]) -> None:
    path.write_text(json.dumps(list(map(label_studio, names, LABELS))), "utf-8")


WRITERS: dict[str, tuple[str, Callable[[Path, list[str]], None]]] = {
    "gt-pairs": ("pairs", pairs),
    "csv": ("labels.txt", lines_of(lambda name, label: f"{name} {label}")),
    "tsv": ("labels.tsv", lines_of(lambda name, label: f"{name}\t{label}")),
    "paddleocr-rec": ("rec_gt.txt", lines_of(lambda name, label: f"{name}\t{label}")),
    "icdar": ("gt.txt", lines_of(lambda name, label: f'{name}, "{label}"')),
    "llava": ("rows.jsonl", lines_of(lambda name, label: json.dumps(llava(name, label)))),
    "hf": ("metadata.jsonl", lines_of(lambda name, label: json.dumps({"file_name": name, "text": label}))),
    "label-studio": (
        "export.json",
        label_studio_file,
    ),
    "ppocrlabel": (
        "Label.txt",
        lines_of(lambda name, label: f"x/{name}\t" + json.dumps([{"transcription": label, "points": BOX}])),
    ),
    "messages": ("rows.jsonl", lines_of(lambda name, label: json.dumps(chat(name, label)))),
    "erniekit": (
        "rows.jsonl",
        lines_of(
            lambda name, label: json.dumps(
                {
                    "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": label, "tag": "no_mask"}],
                    "image_info": [{"image_url": name}],
                }
            )
        ),
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_labels_are_cleaned_and_placeholders_rejected_in_every_format(tmp_path: Path, name: str) -> None:
    names = [f"{at}.png" for at in range(len(LABELS))]
    for at, image in enumerate(names):
        picture(tmp_path / image, shade=at)
    source, write = WRITERS[name]
    write(tmp_path / source, names)
    columns = {"image": "1", "text": "2"} if name == "tsv" else {}
    convert(ConvertRequest(name, tmp_path / source, tmp_path / "out.jsonl", SourceOptions(columns=columns)), ONE)
    written = [row["text_info"][1]["text"] for row in rows_of(tmp_path / "out.jsonl")]
    lossless = name in ("messages", "erniekit")  # nothing is mended there; `sft validate --fix` does it
    assert written == ([LABELS[0], LABELS[1], LABELS[4]] if lossless else WRITTEN)
    assert [code for _, code in codes(tmp_path / "out.jsonl")] == ["source.ignored"] * 2
    stored = list((tmp_path / "out_images").rglob("*.png")) if (tmp_path / "out_images").exists() else []
    assert len(stored) in (0, len(WRITTEN))  # nothing can be generated for a row that is not written
    if lossless:
        assert fix(tmp_path / "out.jsonl", tmp_path / "out.jsonl")
        assert [row["text_info"][1]["text"] for row in rows_of(tmp_path / "out.jsonl")] == WRITTEN
