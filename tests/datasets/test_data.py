"""Which files a name means, and a held-out part without a leak."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import surveyed
from PIL import Image

from sft.datasets import holdout, locate
from sft.errors import ProblemsFound, UsageError
from sft.files import atomic, jsonl
from sft.models import versions
from sft.synth import bengali_sample
from sft.types import Image as ImageInfo
from sft.types import Sample, Text
from sft.validate.context import Context
from sft.validate.file import scan, validate
from sft.validate.survey import Survey, shared_images

PUBLISHED = (
    "name: {name}\ntask: ocr\nlanguage: bn\nlicence: none\nfiles: {train: {url: https://example.org/train.jsonl}}\n"
)
CARD = f"{PUBLISHED}sample:\n  seed: 3\n  train: 6\n  test: 2\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def carded(name: str, text: str = CARD) -> Path:
    folder = Path("datasets") / name
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text(text.replace("{name}", name))
    return folder


def rows(path: Path, *images: tuple[str, ...]) -> Path:
    """A file with one row per tuple of image names; each name is drawn as a colour of its own."""
    for name in {name for row in images for name in row}:
        file = path.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            Image.new("RGB", (30, 30), (hash_of(name), hash_of(name[::-1]), 7)).save(file)
    jsonl.write_samples(
        path,
        [
            Sample((Text("OCR:", "mask"), Text(str(number), "no_mask")), tuple(map(ImageInfo, row)))
            for number, row in enumerate(images)
        ],
    )
    return path


def hash_of(name: str) -> int:
    return sum(position * ord(letter) for position, letter in enumerate(name, 1)) % 256


# find


def test_find_a_file(here: Path) -> None:
    path = rows(here / "mine.jsonl", ("a.png",))
    found = locate.find("mine.jsonl")
    assert (found.name, found.train.resolve(), found.test) == ("mine", path, None)
    assert locate.find(str(path)).train == path


def test_find_a_folder_with_its_test_set(here: Path) -> None:
    rows(here / "mine" / "train.jsonl", ("a.png",))
    assert locate.find("mine").test is None
    rows(here / "mine" / "test.jsonl", ("b.png",))
    for name in ("mine", "mine/", "mine/train.jsonl"):
        found = locate.find(name)
        assert (found.train, found.test) == (Path("mine/train.jsonl"), Path("mine/test.jsonl"))
    assert locate.find("mine/test.jsonl").test is None  # trained on as it is, it is no held-out set of its own


def test_find_a_name_draws_its_sample_once(here: Path) -> None:
    folder = carded("numbers")
    said: list[str] = []
    found = locate.find("numbers", say=said.append)
    assert (found.name, found.train, found.test) == (
        "numbers",
        folder / "sample" / "train.jsonl",
        folder / "sample" / "test.jsonl",
    )
    assert found.test
    assert [sum(1 for _ in jsonl.read_samples(path)) for path in (found.train, found.test)] == [6, 2]
    assert said == [f"drawing 6 + 2 images into {folder / 'sample'}"]
    assert locate.find("numbers.jsonl", say=said.append) == locate.find(str(folder)) == found
    assert len(said) == 1
    (folder / "dataset.yaml").write_text(CARD.replace("train: 6", "train: 7").replace("{name}", "numbers"))
    assert sum(1 for _ in jsonl.read_samples(locate.find("numbers", say=said.append).train)) == 7
    assert len(said) == 2


def test_fetched_files_win_over_the_sample(here: Path) -> None:
    folder = carded("numbers")
    rows(folder / "full" / "train.jsonl", ("a.png",))
    assert locate.find("numbers").train.parent.name == "sample"  # without a manifest the download is not complete
    atomic.write_json(folder / "full" / "manifest.json", {})
    found = locate.find("numbers")
    assert (found.train, found.test) == (folder / "full" / "train.jsonl", None)


def test_find_suggests(here: Path) -> None:
    carded("bengali")
    rows(here / "mine" / "train.jsonl", ("a.png",))
    for name, hint in (
        ("bengaly", "did you mean bengali ?"),
        ("bengaly.jsonl", "did you mean bengali ?"),
        ("mine/trian.jsonl", "did you mean mine/train.jsonl ?"),
    ):
        with pytest.raises(UsageError, match="no such data") as caught:
            locate.find(name)
        assert (caught.value.where, caught.value.hint, caught.value.exit_code) == (name, hint, 2)
    with pytest.raises(UsageError) as caught:
        locate.find("zzz")
    assert caught.value.hint == "give a JSONL file, or one of: bengali"


def test_a_card_without_a_sample() -> None:
    carded("other", PUBLISHED)
    with pytest.raises(UsageError, match="no sample that could be drawn") as caught:
        locate.find("other")
    assert "sft fetch other" in str(caught.value.hint)


@pytest.mark.parametrize(
    "text", ["- a\n", "a: [\n", CARD.replace("train: 6", "train: 0"), CARD.replace("seed: 3", "seed: x")]
)
def test_a_broken_card(text: str) -> None:
    path = carded("other", text) / "dataset.yaml"
    with pytest.raises(UsageError) as caught:
        locate.find("other")
    assert caught.value.where == str(path)


# hold_out


def hold_out(path: Path, folder: Path, *, seed: int) -> tuple[Path, Path, int]:
    """(train, test, test rows)"""
    held = holdout.hold_out(surveyed(path), folder, seed=seed)
    train, test, count = held.train, held.test, held.rows
    fresh = surveyed(train.path)
    assert (train.sha256, train.count, train.fingerprint) == (fresh.sha256, fresh.count, locate.fingerprint(train.path))
    assert images_by_line(train) == images_by_line(fresh)
    return train.path, test, count


def images_by_line(data: Survey) -> list[tuple[int, list[tuple[bytes, tuple[int, int]]]]]:
    """(line, digest and size of each image) of every row."""
    files = data.files
    return [(line, [(files.digest(image), files.size(image)) for image in images]) for line, _, images in data.rows()]


def images_of(path: Path) -> set[str]:
    return {
        atomic.sha256(Path(image.image_url)) for _, sample in jsonl.read_samples(path) for image in sample.image_info
    }


def test_hold_out_is_leak_free_complete_and_deterministic(here: Path) -> None:
    names = [(f"images/{number % 70}.png",) for number in range(100)]  # 30 images stand in two rows
    path = rows(here / "in" / "all.jsonl", *names)
    shutil.copy(
        here / "in" / "images" / "3.png", here / "in" / "images" / "copy.png"
    )  # the same picture under another name
    path.write_bytes(path.read_bytes() + jsonl.encode(jsonl.ocr_sample("images/copy.png", "OCR:", "copy")) + b"\n")
    train, test, count = hold_out(path, here / "out", seed=1)
    assert not images_of(train) & images_of(test)
    kept, held = ([sample for _, sample in jsonl.read_samples(file)] for file in (train, test))
    assert (len(kept) + len(held), len(held), count) == (101, count, count)
    assert Counter(sample.ref for sample in kept + held) == Counter(
        sample.ref for _, sample in jsonl.read_samples(path)
    )
    assert 1 <= count <= 5
    assert all(Path(sample.image_info[0].image_url).is_absolute() for sample in kept + held)
    again = hold_out(path, here / "again", seed=1)
    assert [file.read_bytes() for file in again[:2]] == [train.read_bytes(), test.read_bytes()]
    other = hold_out(path, here / "other", seed=2)
    assert other[1].read_bytes() != test.read_bytes()


def test_rows_that_share_any_image_stay_together(here: Path) -> None:
    chain = [("a.png", "b.png"), ("c.png", "b.png"), ("d.png", "c.png")]  # no first image twice
    path = rows(here / "all.jsonl", *chain, ("e.png",))
    for seed in range(8):
        train, test, count = hold_out(path, here / "out", seed=seed)
        assert not images_of(train) & images_of(test)
        assert count == 1


def test_a_group_that_is_nearly_everything_is_not_held_out(here: Path) -> None:
    path = rows(here / "all.jsonl", *[("a.png",)] * 50, ("b.png",), ("b.png",))
    for seed in range(4):
        assert hold_out(path, here / "out", seed=seed)[2] == 2


def test_pages_are_held_out_whole_and_rows_keep_their_keys(here: Path) -> None:
    """The rule of `sft split`: lines of one page never stand on both sides, though each has an image of its own."""
    path = rows(here / "all.jsonl", *((f"images/{number}.png",) for number in range(120)))
    values = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for number, value in enumerate(values):
        value["meta"] = {"group": f"page-{number // 6}", "split": "train"}
        value["source"] = f"labels.txt:{number}"
    path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
    held = holdout.hold_out(surveyed(path), here / "out", seed=1)
    train, test = (
        [json.loads(line) for line in file.read_text("utf-8").splitlines()] for file in (held.train.path, held.test)
    )
    assert (held.rows, held.groups, held.few) == (6, 1, True)
    assert {value["meta"]["group"] for value in test} == {test[0]["meta"]["group"]}
    assert not {value["meta"]["group"] for value in train} & {value["meta"]["group"] for value in test}
    assert sorted(value["source"] for value in train + test) == sorted(value["source"] for value in values)
    for value in values:
        value["meta"]["group"] = "one book"
    path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
    with pytest.raises(ProblemsFound, match="of one document") as caught:
        holdout.hold_out(surveyed(path), here / "none", seed=1)
    assert "--group none" in str(caught.value.hint)


def test_what_was_published_to_be_held_out_is_never_trained_on(here: Path) -> None:
    path = rows(here / "all.jsonl", *((f"images/{number}.png",) for number in range(60)))
    values = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for number, value in enumerate(values):
        split = "validation" if number in (1, 2) else "test" if number == 3 else "train"
        value["meta"] = {"group": f"page-{number // 2}", "split": split}

    def held_out() -> holdout.HeldOut:
        path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
        return holdout.hold_out(surveyed(path), here / "out", seed=1)

    held = held_out()
    test = [json.loads(line) for line in held.test.read_text("utf-8").splitlines()]
    assert [value["meta"]["group"] for value in test] == ["page-0", "page-0", "page-1", "page-1"]
    assert (held.rows, held.groups, held.published, held.train.count) == (4, 2, 3, 56)
    for value in values:
        value["meta"]["split"] = "test"
    with pytest.raises(ProblemsFound, match="every row is of a published"):
        held_out()


def test_hold_out_needs_two_images(here: Path) -> None:
    path = rows(here / "all.jsonl", ("a.png",), ("a.png",))
    with pytest.raises(ProblemsFound, match="the same image"):
        hold_out(path, here / "out", seed=1)
    assert not (here / "out").exists()


# leaks


def test_shared_images_finds_a_copy_under_another_name(here: Path) -> None:
    train = rows(here / "train.jsonl", ("images/a.png",), ("images/b.png",), ("images/c.png",))
    test = rows(here / "elsewhere" / "test.jsonl", ("d.png",), ("copy.png",))
    assert shared_images(surveyed(train), surveyed(test)) == []
    shutil.copy(here / "images" / "b.png", here / "elsewhere" / "copy.png")
    assert shared_images(surveyed(train), surveyed(test)) == [(2, 2)]
    assert len(shared_images(surveyed(train), surveyed(train))) == 3


def test_both_searches_for_leaks_find_the_same(here: Path) -> None:
    """That of `sft run`, by digests that are known, and that of `sft validate --against`, by fingerprints at first."""
    choose = random.Random(5)
    context = Context(here, versions.MODELS["0.9B"])
    for number in range(8):
        train, test = (
            rows(here / f"{number}{part}" / "rows.jsonl", *((f"{choose.randrange(30)}.png",) for _ in range(9)))
            for part in "ab"
        )
        held = scan(test, replace(context, base=test.parent))
        report = validate(train, replace(context, base=train.parent), against=[held])
        leaks = {problem.line for problem in report.problems if problem.code == "set.leak"}
        assert leaks == {line for _, line in shared_images(surveyed(test), surveyed(train))}
        assert 0 < len(leaks) < 9


# sft init


def test_starting_point_is_fit_to_train(here: Path) -> None:
    train, test = locate.starting_point(here / "new")
    for path, count in ((train, 64), (test, 8)):
        report = validate(path, Context(path.parent, versions.MODELS["0.9B"]))
        assert (report.rows, report.good, report.errors, report.warnings) == (count, count, 0, 0)
    assert shared_images(surveyed(train), surveyed(test)) == []
    assert locate.find("new").test == Path("new/test.jsonl")
    before = train.read_bytes()
    with pytest.raises(UsageError, match="not an empty folder"):
        locate.starting_point(here / "new")
    assert train.read_bytes() == before
    with pytest.raises(UsageError, match="not an empty folder"):
        locate.starting_point(train)


def test_starting_point_in_an_empty_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bengali_sample, "write_split", lambda folder, *, split, **_: folder / f"{split}.jsonl")
    (here / "empty").mkdir()
    assert locate.starting_point(here / "empty") == [here / "empty" / "train.jsonl", here / "empty" / "test.jsonl"]
