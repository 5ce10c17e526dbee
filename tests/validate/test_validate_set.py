"""The rows of a file beside each other and beside a test set; rejects; and the same report from any number of
processes.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import rows as realistic
from click.testing import CliRunner
from PIL import Image, ImageDraw

from sft.cli.validate import validate as command
from sft.errors import ProblemsFound, UsageError
from sft.files import jsonl
from sft.models import versions
from sft.runtime.runner import Runner
from sft.validate.context import Context
from sft.validate.file import Report, scan, validate
from sft.validate.rejects import rejects_file

VERSION = versions.MODELS["0.9B"]


def sample(image: str, answer: str, prompt: str = "OCR:") -> bytes:
    return jsonl.encode(jsonl.ocr_sample(image, prompt, answer)) + b"\n"


def picture(text: str, *, size: tuple[int, int] = (300, 60), shift: int = 0) -> Image.Image:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).text((10 + shift, 20), text, fill="black", font_size=24)
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        picture(f"line number {number} {number**5}").save(tmp_path / f"{number}.png")
    return tmp_path


def report(folder: Path, name: str, content: bytes, **options: Any) -> Report:
    (folder / name).write_bytes(content)
    how = {key: options.pop(key) for key in ("decode", "look", "alike") if key in options}
    return validate(folder / name, Context(folder, VERSION, **{"decode": False, **how}), **options)


def codes(found: Report) -> list[tuple[str, int]]:
    return [(problem.code, problem.line) for problem in found.problems]


# --- the set


def test_two_truths_are_an_error_of_the_later_row(folder: Path) -> None:
    found = report(
        folder,
        "a.jsonl",
        sample("0.png", "a")
        + sample("1.png", "b")
        + sample("0.png", "c")
        + sample("./0.png", "a")
        + sample("0.png", "a", "Read this"),
    )
    assert codes(found) == [("prompt.unknown", 5), ("set.contradiction", 3), ("set.duplicate", 4)]
    assert (found.rows, found.good) == (5, 4)


@pytest.mark.parametrize("look", [True, False])
def test_copies_are_seen_where_files_are_opened(folder: Path, look: bool) -> None:
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    found = report(folder, "a.jsonl", sample("0.png", "a") + sample("1.png", "a") + sample("copy.png", "b"), look=look)
    assert codes(found) == ([("set.contradiction", 3)] if look else [])


def test_files_of_one_fingerprint_are_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sft.images.headers.fingerprint", lambda *_: 7)
    found = report(
        folder,
        "a.jsonl",
        b"".join(sample(f"{number}.png", str(number)) for number in range(6)) + sample("3.png", "three"),
    )
    assert codes(found) == [("set.contradiction", 7)]


def test_several_images_are_compared_together(folder: Path) -> None:
    def pair(first: str, second: str, answer: str) -> bytes:
        texts = [{"text": "OCR:", "tag": "mask"}, {"text": answer, "tag": "no_mask"}]
        return (
            json.dumps({"image_info": [{"image_url": first}, {"image_url": second}], "text_info": texts}).encode()
            + b"\n"
        )

    found = report(
        folder,
        "a.jsonl",
        pair("0.png", "1.png", "a")
        + pair("1.png", "0.png", "b")
        + pair("0.png", "1.png", "a")
        + pair("0.png", "2.png", "c"),
    )
    assert codes(found) == [("set.duplicate", 3)]


def test_a_bad_row_is_counted_once(folder: Path) -> None:
    found = report(folder, "a.jsonl", sample("0.png", "a") + sample("0.png", "") + sample("0.png", "b"))
    assert codes(found) == [("target.empty", 2), ("set.contradiction", 2), ("set.contradiction", 3)]
    assert (found.rows, found.good) == (3, 1)


def test_images_of_the_test_set(folder: Path) -> None:
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    other = folder / "elsewhere"
    other.mkdir()
    picture("line number 5 3125").save(other / "5.png")
    (other / "test.jsonl").write_bytes(
        sample("../4.png", "four") + sample("../copy.png", "x") + sample("5.png", "five")
    )
    train = b"".join(sample(f"{number}.png", str(number)) for number in range(6)) + sample("0.png", "0")
    held = scan(other / "test.jsonl", Context(other, VERSION, decode=False))
    found = report(folder, "train.jsonl", train, against=[held])
    assert codes(found) == [("set.leak", 1), ("set.leak", 5), ("set.leak", 6), ("set.leak", 7), ("set.duplicate", 7)]
    assert "test.jsonl:2" in found.problems[0].message
    assert found.good == 3
    by_path = scan(other / "test.jsonl", Context(other, VERSION, decode=False, look=False))
    assert codes(report(folder, "train.jsonl", train, against=[by_path], look=False)) == [
        ("set.leak", 5),
        ("set.duplicate", 7),
    ]


def test_what_looks_the_same_and_says_the_same(folder: Path) -> None:
    picture("line number 0 0").save(folder / "again.jpg", quality=80)
    picture("line number 0 0").resize((330, 66)).save(folder / "larger.png")
    (folder / "test.jsonl").write_bytes(sample("again.jpg", "line 0") + sample("1.png", "line 5"))
    held = scan(folder / "test.jsonl", Context(folder, VERSION, alike=True))
    train = (
        b"".join(sample(f"{number}.png", f"line {number}") for number in range(6))
        + sample("larger.png", "line 0")
        + sample("again.jpg", "another")
    )
    assert codes(report(folder, "train.jsonl", train)) == []
    found = report(folder, "train.jsonl", train, decode=True, alike=True, against=[held])
    assert codes(found) == [
        ("set.near_leak", 1),
        ("set.leak", 2),
        ("set.near_duplicate", 7),
        ("set.near_leak", 7),
        ("set.leak", 8),
    ]
    assert found.counts["warning", "set.near_duplicate"] == 1


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("cafe\u0301", "caf\u00e9"),
        ("1 250 €", "1\u00a0250\u202f€"),
        ("a b\nc", "a  b \nc"),
        ("soft", "so\u00adft"),
        ("น้ำ", "น\u0e4d\u0e49\u0e32"),
        ("بيت", "\ufe91\ufef4\ufe96"),
    ],
)
def test_another_spelling_is_the_same_answer(folder: Path, first: str, again: str) -> None:
    found = report(folder, "a.jsonl", sample("0.png", first) + sample("1.png", first) + sample("0.png", again))
    assert [problem for problem in codes(found) if problem[0].startswith("set.")] == [("set.duplicate", 3)]
    assert found.good == 3


def test_compatibility_ideographs_are_another_answer(folder: Path) -> None:
    found = report(folder, "a.jsonl", sample("0.png", "\ufa19戸") + sample("0.png", "神戸"))
    assert codes(found) == [("set.contradiction", 2)]


# --- marks that are missing in most rows

PRIMER = "अमन घर चल। झटपट जल भर। नमक मत चख। कमल पर मत चल।"
BENGALI = ["আমর সনর বল আম ভলবস চরদন তমর আকশ বতস পরণ", "সমসত মনষ সবধনভব সমন মরযদ এব অধকর নয জনমগরহণ কর"]


def marked(folder: Path, answers: list[str], **options: Any) -> Report:
    return report(folder, "a.jsonl", b"".join(sample(f"{at}.png", text) for at, text in enumerate(answers)), **options)


def test_a_primer_is_a_warning(folder: Path) -> None:
    found = marked(folder, [PRIMER], look=False)
    assert codes(found) == [("language.marks", 1)] and (found.rows, found.good, found.errors) == (1, 1, 0)
    found = marked(folder, [PRIMER] * 3 + ["नमस्ते", "हिंदी", "पानी"], look=False)
    assert codes(found) == [("language.marks", line) for line in (1, 2, 3)] and found.errors == 0


@pytest.mark.parametrize("sound", [[], ["ৎ"], ["খবর"] * 9, ["আমি"] * 2, ["नमस्ते"] * 9, ["plain"] * 9])
def test_most_rows_without_marks_are_an_error(folder: Path, sound: list[str]) -> None:
    """Rows of other scripts, and short ones that may well have no mark, tell nothing."""
    found = marked(folder, [*sound, BENGALI[0], BENGALI[1], BENGALI[0] + " " + BENGALI[1]], look=False)
    assert [problem for problem in codes(found) if problem[0] != "language.marks"] == [("set.marks", 0)]
    assert found.counts["warning", "language.marks"] == 3 and found.errors == 1
    told = 3 + sound.count("আমি")
    assert found.problems[-1].message == f"3 of {told} texts in Bengali are (almost) without its combining marks"
    with pytest.raises(ProblemsFound, match=r"set\.marks"):
        found.require_good()


def test_scripts_are_judged_apart(folder: Path) -> None:
    found = marked(folder, [BENGALI[0]] * 3 + ["আমি"] * 3 + [PRIMER] * 4 + ["पानी"] * 3, look=False)
    assert [problem.message for problem in found.problems if problem.severity == "error"] == [
        "4 of 7 texts in Devanagari are (almost) without its combining marks"
    ]


def test_marks_are_counted_over_all_rows_wherever_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sft.validate.file.SHARD_BYTES", 20_000)
    path = tmp_path / "a.jsonl"
    for damaged, whole, errors in ((101, 100, 1), (100, 100, 0), (100, 101, 0)):
        lines = [sample(f"{at}.png", BENGALI[at % 2]) for at in range(damaged)]
        lines += [sample(f"{at}.png", "আমার সোনার বাংলা") for at in range(damaged, damaged + whole)]
        random.Random(damaged).shuffle(lines)
        path.write_bytes(b"".join(lines) + b"{\n")
        context = Context(tmp_path, VERSION, decode=False, look=False)
        alone, many = (validate(path, context, runner=Runner(workers=workers)) for workers in (1, 3))
        assert alone == many and alone.counts["error", "set.marks"] == errors
        assert alone.rows - alone.good == 1


# --- rejects


def mixed(folder: Path) -> bytes:
    good = [sample(f"{number}.png", f"line {number}") for number in range(4)]
    return b"".join(
        [
            good[0],
            b"{\n",
            good[1],
            b"\n",
            sample("9.png", " x"),
            b"caf\xe9\n",
            good[2],
            sample("0.png", "two"),
            sample("4.png", ""),
            good[3],
            sample("4.png", "a\x07"),
        ]
    )


def errors(row: dict[str, Any]) -> list[str]:
    return [problem["code"] for problem in row["problems"] if problem["severity"] == "error"]


def test_every_row_with_an_error_is_written(folder: Path) -> None:
    with rejects_file(folder / "bad.jsonl") as writer:
        found = report(folder, "a.jsonl", mixed(folder), rejects=writer)
    written = [json.loads(line) for line in (folder / "bad.jsonl").read_bytes().splitlines()]
    assert [(row["where"], errors(row)) for row in written] == [
        (f"{folder}/a.jsonl:2", ["structure.json"]),
        (f"{folder}/a.jsonl:5", ["image.missing"]),
        (f"{folder}/a.jsonl:6", ["file.encoding"]),
        (f"{folder}/a.jsonl:8", ["set.contradiction"]),
        (f"{folder}/a.jsonl:9", ["target.empty"]),
        (f"{folder}/a.jsonl:11", ["target.control", "set.contradiction"]),
    ]
    assert all(row["code"] == errors(row)[0] and row["message"] for row in written)
    assert found.rows == found.good + len(written) == 10
    assert written[0]["raw"] == "{" and written[2]["raw"] == "caf\\xe9"
    assert [row["raw"].encode() for row in written[3:5]] == [
        sample("0.png", "two").strip(),
        sample("4.png", "").strip(),
    ]
    assert {problem["code"] for problem in written[1]["problems"]} == {"image.missing", "target.outer_space"}
    assert all(
        problem["message"] and problem["severity"] in ("error", "warning")
        for row in written
        for problem in row["problems"]
    )


def test_rejects_of_several_files_are_named_and_written_whole_or_not_at_all(folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(mixed(folder))
    (folder / "b.jsonl").write_bytes(b"[]\n" + sample("0.png", "x"))
    done = CliRunner().invoke(
        command,
        [
            str(folder / "a.jsonl"),
            str(folder / "b.jsonl"),
            "--rejects",
            str(folder / "bad.jsonl"),
            "--json",
            "--workers",
            "1",
        ],
    )
    assert done.exit_code == 1
    written = [json.loads(line) for line in (folder / "bad.jsonl").read_bytes().splitlines()]
    assert [Path(row["where"]).name.partition(":")[0] for row in written] == ["a.jsonl"] * 6 + ["b.jsonl"]
    assert [found["bad"] for found in json.loads(done.stdout)] == [6, 1]
    with pytest.raises(KeyError), rejects_file(folder / "none.jsonl") as writer:
        writer.row(1, [], b"{}")
        raise KeyError
    assert not (folder / "none.jsonl").exists()


# --- the command


def test_command(folder: Path) -> None:
    (folder / "train.jsonl").write_bytes(sample("0.png", "a") + sample("1.png", "b ") + sample("2.png", ""))
    (folder / "test.jsonl").write_bytes(sample("1.png", "b"))
    run = CliRunner()
    done = run.invoke(command, [str(folder / "train.jsonl"), "--against", str(folder / "test.jsonl"), "--workers", "1"])
    lines = [line for line in done.stdout.splitlines() if "train.jsonl:" in line and "[" in line]
    assert ["error" in line for line in lines] == [True, True, False]  # errors first
    assert "3 rows = 1 good + 2 bad" in done.stdout and "not fit to train" in done.stdout and done.exit_code == 1
    for words, message in (
        (["--deep", "--no-images"], "exclude"),
        (["--address", "x:1"], "--runner ray"),
        (["--rejects", str(folder / "train.jsonl")], "overwrite"),
    ):
        failed = run.invoke(command, [str(folder / "train.jsonl"), *words])
        assert message in str(failed.exception)
    (folder / "wide.jsonl").write_bytes(sample("0.png", "a").decode().encode("utf-16"))
    found = json.loads(run.invoke(command, [str(folder / "wide.jsonl"), "--json"]).stdout)[0]
    assert [(problem["code"], problem["line"]) for problem in found["problems"]] == [("file.encoding", 0)]
    (folder / "gone.jsonl").write_bytes(sample("gone.png", "a"))
    assert run.invoke(command, [str(folder / "gone.jsonl")]).exit_code == 1
    assert run.invoke(command, [str(folder / "gone.jsonl"), "--no-images"]).exit_code == 0


# --- many processes


def spoiled(count: int, *, seed: int) -> bytes:
    """Rows of every kind, some of them bad in some way."""
    draw = random.Random(seed)
    lines: list[bytes] = []
    for line in realistic.lines(count, seed=seed):
        kind = draw.random()
        if kind < 0.02:
            line = b"{\n"
        elif kind < 0.04:
            line = b"\n"
        elif kind < 0.08:
            line = line.replace(b'"no_mask"', b'"answer"')
        elif kind < 0.12:
            line = line.replace(b'", "tag": "no_mask"', b' ", "tag": "no_mask"')
        elif kind < 0.2 and lines:
            line = draw.choice(lines[-50:])
        elif kind < 0.22:
            line = line.replace(b"\n", b"\r\n")
        lines.append(line)
    return b"".join(lines)


def everything(path: Path, runner: Runner) -> tuple[str, bytes]:
    with rejects_file(
        path.with_name("rejects.jsonl"),
    ) as writer:
        found = validate(path, Context(path.parent, VERSION, decode=False, look=False), runner=runner, rejects=writer)
    assert 0.5 < found.good / found.rows < 0.99
    assert found.rows - found.good == path.with_name("rejects.jsonl").read_bytes().count(b"\n")
    return (
        json.dumps(
            [found.rows, found.good, sorted(found.counts.items()), [asdict(problem) for problem in found.problems]]
        ),
        path.with_name("rejects.jsonl").read_bytes(),
    )


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sft.validate.file.SHARD_BYTES", 200_000)


@pytest.mark.usefixtures("small_shards")
def test_one_process_or_many_give_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(spoiled(3000, seed=5))
    assert path.stat().st_size > 5 * 200_000
    alone = everything(path, Runner(workers=1))
    for workers in (2, 3):
        assert everything(path, Runner(workers=workers)) == alone


def test_the_fast_path_changes_nothing_but_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(spoiled(1500, seed=6))
    fast = everything(path, Runner(workers=1))
    monkeypatch.setattr("sft.validate.fast.classify.classify_rows", lambda chunk, model: None)
    assert everything(path, Runner(workers=1)) == fast


@pytest.mark.usefixtures("small_shards")
def test_a_ray_cluster_gives_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(spoiled(2000, seed=7))
    assert everything(path, Runner("ray", workers=1)) == everything(path, Runner(workers=1))


def test_a_path_is_what_the_system_makes_of_it(tmp_path: Path) -> None:
    """`none/../a.png` and a `..` behind a link seem to lead to `a.png`, and a trainer would not find it."""
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")
    (tmp_path / "images").mkdir()
    picture("a line").save(tmp_path / "a.png")
    urls = [
        "none/../a.png",
        "link/../a.png",
        "a.png/../a.png",
        f"{tmp_path}/none/../a.png",
        "images/../a.png",
        "./a.png",
    ]
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"".join(sample(url, f"line {number}") for number, url in enumerate(urls)))
    for decode in (False, True):
        report = validate(file, Context(tmp_path, VERSION, decode=decode))
        assert [(problem.line, problem.code) for problem in report.problems if problem.severity == "error"] == [
            *((line, "image.missing") for line in range(1, 5)),
            (6, "set.contradiction"),
        ]


def test_a_folder_is_checked_with_its_held_out_parts(folder: Path) -> None:
    (folder / "train.jsonl").write_bytes(sample("0.png", "a") + sample("1.png", "b") + sample("2.png", "c"))
    (folder / "val.jsonl").write_bytes(sample("1.png", "b"))
    (folder / "test.jsonl").write_bytes(sample("2.png", "c") + sample("3.png", "d"))
    run = CliRunner()
    words = [str(folder), "--json", "--workers", "1"]
    reports = json.loads(run.invoke(command, words).stdout)
    assert [Path(report["path"]).name for report in reports] == ["train.jsonl", "val.jsonl", "test.jsonl"]
    leaks = [
        [(problem["line"], problem["message"].rpartition("/")[2]) for problem in report["problems"]]
        for report in reports
    ]
    assert leaks == [[(2, "1.png is also in val.jsonl:1"), (3, "2.png is also in test.jsonl:1")], [], []]
    (folder / "train.jsonl").write_bytes(sample("0.png", "a"))
    assert run.invoke(command, words).exit_code == 0
    (folder / "val.jsonl").write_bytes(sample("3.png", "d"))
    failed = run.invoke(command, words)
    assert failed.exit_code == 1 and json.loads(failed.stdout)[1]["problems"][0]["code"] == "set.leak"
    other = folder / "other.jsonl"
    other.write_bytes(sample("3.png", "d"))
    against = json.loads(run.invoke(command, [str(other), "--against", str(folder), *words[1:]]).stdout)
    assert [problem["message"] for problem in against[0]["problems"]] == [
        "3.png is also in val.jsonl:1",
        "3.png is also in test.jsonl:2",
    ]
    refused = run.invoke(command, [str(folder), "--fix", "-o", str(folder / "new.jsonl")])
    assert isinstance(refused.exception, UsageError) and refused.exception.hint == "name the file itself"
