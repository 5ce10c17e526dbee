"""split, mix, dedupe: nothing leaks, nothing vanishes, the same command gives the same bytes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.cli import sft as command
from sft.datasets.curate import SplitRules, dedupe_set, mix_sets, split_set
from sft.datasets.dedupe import CONTRADICTION, DUPLICATE, KEEP, verdicts
from sft.datasets.index import IMAGE, ROW, Index, Keys, short_hash
from sft.datasets.mix import MixInput, draw, quotas, shares
from sft.datasets.split import components, deal, held_by_publisher
from sft.errors import ProblemsFound, UsageError
from sft.images.perceptual_hash import LIMIT, SMALL, Hashes, dhash, dhashes, near_pairs, near_pairs_of_groups, popcount
from sft.runtime.runner import Runner

ONE = Runner(workers=1)
SHORT, PART, DRAWN = 17220383772502157412, [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1], [9, 7, 6, 11, 0]


def picture(path: Path, seed: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 255, (9, 12), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(small, (120, 90), interpolation=cv2.INTER_CUBIC))
    return f"{path.parent.name}/{path.name}"


def row(image: str | list[str], answer: str, prompt: str = "OCR:", **more: Any) -> dict[str, Any]:
    images = [image] if isinstance(image, str) else image
    return {
        "image_info": [{"image_url": url, "matched_text_index": 0} for url in images],
        "text_info": [{"text": prompt, "tag": "mask"}, {"text": answer, "tag": "no_mask"}],
        **more,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in rows), "utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def answers(path: Path) -> list[str]:
    return [item["text_info"][1]["text"] for item in read(path)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """60 rows over 40 images; documents of five; tables among the lines."""
    rows = []
    for number in range(60):
        image = picture(tmp_path / "img" / f"{number % 40}.png", number % 40)
        prompt, answer = (
            ("Table Recognition:", f"<fcel>{number}<nl>") if number % 4 == 0 else ("OCR:", f"line {number}")
        )
        rows.append(row(image, answer, prompt, meta={"group": f"doc{number % 40 // 5}"}, note=number))
    return write(tmp_path / "all.jsonl", rows)


def test_split_tears_nothing_apart(data: Path, tmp_path: Path) -> None:
    outcome = split_set(
        data,
        tmp_path / "out" / "cut",
        parts=[("test", 0.2), ("val", 10)],
        keys=Keys(("meta.group",), ("task",)),
        runner=ONE,
    )
    parts = {name: read(tmp_path / "out" / "cut" / f"{name}.jsonl") for name in ("train", "test", "val")}
    assert sum(map(len, parts.values())) == 60 == outcome.manifest["counts"]["in"]
    for seen in (
        [{item["meta"]["group"] for item in part} for part in parts.values()],
        [{item["image_info"][0]["image_url"] for item in part} for part in parts.values()],
    ):
        assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    assert 6 <= len(parts["test"]) <= 18 and 5 <= len(parts["val"]) <= 15
    assert sorted(item["note"] for part in parts.values() for item in part) == list(
        range(60)
    )  # keys of one's own survive
    for part in parts.values():
        for item in part:
            assert (tmp_path / "out" / "cut" / item["image_info"][0]["image_url"]).is_file()
    again = split_set(
        data,
        tmp_path / "out" / "cut",
        parts=[("test", 0.2), ("val", 10)],
        keys=Keys(("meta.group",), ("task",)),
        runner=ONE,
    )
    assert not again.fresh and again.manifest == outcome.manifest
    assert [path.name for path in (tmp_path / "out" / "cut").glob(".*")] == [".split.images"]  # no work folder is left


def test_split_is_stratified_and_seeded(tmp_path: Path) -> None:
    rows = [
        row(
            picture(tmp_path / "i" / f"{n}.png", n),
            f"<fcel>{n}<nl>" if n % 5 == 0 else f"x{n}",
            "Table Recognition:" if n % 5 == 0 else "OCR:",
        )
        for n in range(100)
    ]
    data = write(tmp_path / "all.jsonl", rows)
    first = split_set(data, tmp_path / "a", parts=[("test", 20)], keys=Keys(strata=("task",)), runner=ONE)
    assert first.manifest["strata"] == [["ocr", [64, 16]], ["table", [16, 4]]]
    split_set(data, tmp_path / "b", parts=[("test", 20)], keys=Keys(strata=("task",)), runner=Runner(workers=2))
    split_set(data, tmp_path / "c", parts=[("test", 20)], keys=Keys(strata=("task",)), seed=2, runner=ONE)
    assert (tmp_path / "a" / "test.jsonl").read_bytes() == (tmp_path / "b" / "test.jsonl").read_bytes()
    assert answers(tmp_path / "a" / "test.jsonl") != answers(tmp_path / "c" / "test.jsonl")


def test_split_keeps_look_alikes_together(tmp_path: Path) -> None:
    rows = []
    for number in range(20):
        url = picture(tmp_path / "i" / f"{number}.png", number)
        pixels = cv2.imread(str(tmp_path / url))
        assert pixels is not None
        cv2.imwrite(str(tmp_path / "i" / f"{number}.jpg"), cv2.resize(pixels, (200, 150)))
        rows += [row(url, f"same {number}"), row(f"i/{number}.jpg", f"same {number}")]
    data = write(tmp_path / "all.jsonl", rows)
    outcome = split_set(
        data, tmp_path / "near", parts=[("test", 10)], keys=Keys(), rules=SplitRules(near=True), runner=ONE
    )
    assert outcome.manifest["groups"] == 20
    assert all(count == 2 for count in Counter(answers(tmp_path / "near" / "test.jsonl")).values())
    assert split_set(data, tmp_path / "far", parts=[("test", 10)], keys=Keys(), runner=ONE).manifest["groups"] == 40


def test_split_says_what_cannot_be(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="to hold out of 60"):
        split_set(data, tmp_path / "o", parts=[("test", 60)], keys=Keys(), runner=ONE)
    one = write(tmp_path / "one.jsonl", [item | {"meta": {"group": "only"}} for item in read(data)])
    with pytest.raises(ProblemsFound, match="of one document") as caught:
        split_set(one, tmp_path / "o", parts=[("test", 0.1)], keys=Keys(("meta.group",)), runner=ONE)
    assert "--group KEY" in (caught.value.hint or "") and "--group none" in (caught.value.hint or "")
    with pytest.raises(
        ProblemsFound, match="no group fits into test, of which 1 row should be: 8 groups of 5 to 10 rows"
    ) as caught:
        split_set(data, tmp_path / "o", parts=[("test", 1)], keys=Keys(("meta.group",)), runner=ONE)
    assert "--test 5 takes the smallest group" in (caught.value.hint or "")
    same = write(tmp_path / "same.jsonl", [item | {"image_info": read(data)[0]["image_info"]} for item in read(data)])
    with pytest.raises(ProblemsFound, match="show the same images"):
        split_set(same, tmp_path / "o", parts=[("test", 5)], keys=Keys(), runner=ONE)
    assert not (tmp_path / "o" / "train.jsonl").exists()
    done = CliRunner().invoke(
        command, ["split", str(one), "-o", str(tmp_path / "within"), "--test", "6", "--group", "none", "--workers", "1"]
    )
    assert done.exit_code == 0 and len(read(tmp_path / "within" / "test.jsonl")) in (5, 6, 7)


def published(data: Path, names: list[str]) -> list[dict[str, Any]]:
    """Rows with a page each and the published split `names[row]`; "" for none."""
    return [
        item | {"meta": {"group": f"page{at}", **({"split": name} if name else {})}}
        for at, (item, name) in enumerate(zip(read(data)[: len(names)], names, strict=True))
    ]


@pytest.mark.parametrize(
    ("spelt", "part"),
    [
        ("test", "test"),
        ("Test", "test"),
        ("testing", "test"),
        ("eval", "test"),
        ("val", "val"),
        ("validation", "val"),
        ("dev", "val"),
        ("valid", "val"),
    ],
)
def test_published_splits_are_kept(data: Path, tmp_path: Path, spelt: str, part: str) -> None:
    rows = published(data, [spelt if at % 4 == 0 else "train" for at in range(40)])
    path = write(data.with_name("published.jsonl"), rows)
    parts: list[tuple[str, float]] = [("val", 4), ("test", 4)]
    found = split_set(path, tmp_path / "o", parts=parts, keys=Keys(("meta.group",)), runner=ONE).manifest
    held = {item["meta"]["group"] for item in rows if item["meta"]["split"] == spelt}
    assert {item["meta"]["group"] for item in read(tmp_path / "o" / f"{part}.jsonl")} == held and found["published"][
        part
    ] == 10
    assert {item["meta"]["split"] for item in read(tmp_path / "o" / "train.jsonl")} == {"train"}
    alike = split_set(
        path, tmp_path / "a", parts=parts, keys=Keys(("meta.group",)), rules=SplitRules(published=False), runner=ONE
    ).manifest
    assert alike["counts"]["files"] == {"train.jsonl": 32, "val.jsonl": 4, "test.jsonl": 4} and "published" not in alike


def test_published_rows_take_their_document_along(data: Path, tmp_path: Path) -> None:
    rows = published(data, ["val", "test", *["train"] * 30])
    rows[2]["meta"]["group"] = "page1"
    path = write(data.with_name("published.jsonl"), rows)
    done = CliRunner().invoke(command, ["split", str(path), "-o", str(tmp_path / "o"), "--test", "2", "--workers", "1"])
    assert (
        done.exit_code == 0
        and "1 of val (now in test.jsonl) and 1 of test (now in test.jsonl); 1 more went along"
        in " ".join(done.output.split())
    )
    assert {item["meta"]["group"] for item in read(tmp_path / "o" / "test.jsonl")} == {"page0", "page1"}
    with pytest.raises(ProblemsFound, match="every row belongs to a published split"):
        split_set(
            write(data.with_name("test.jsonl"), published(data, ["test"] * 9)),
            tmp_path / "p",
            parts=[("test", 2)],
            keys=Keys(("meta.group",)),
            runner=ONE,
        )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 4)), min_size=2, max_size=40),
    st.integers(1, 9),
    st.integers(0, 3),
)
def test_no_published_row_is_trained_on(items: list[tuple[int, int, int]], wanted: int, seed: int) -> None:
    """Whatever is asked for: rows of a published test are in test, of val in val, but for those that share a document
    with test.
    """
    rows = np.zeros(len(items), ROW)
    rows["group"] = [group + 1 for group, _, _ in items]
    rows["held"] = [held for _, held, _ in items]
    rows["stratum"] = [stratum for _, _, stratum in items]
    index = Index((), rows, np.zeros(0, IMAGE), {}, (), {})
    groups = components(index)
    for parts in (["val", "test"], ["test"], ["val"]):
        fixed = held_by_publisher(index, parts)
        part_of = deal(index, groups, [wanted] * len(parts), seed=seed, fixed=fixed)
        for row, (group, held, _) in enumerate(items):
            together = {held for other, held, _ in items if other == group}
            assert part_of[row] == part_of[next(at for at, item in enumerate(items) if item[0] == group)]
            if held:
                assert part_of[row], "never trained on"
            if max(together) and len(parts) == 2:
                assert part_of[row] == max(together)


def test_dedupe_accounts_for_every_row(tmp_path: Path) -> None:
    a, b, c, d = (picture(tmp_path / "i" / f"{name}.png", seed) for seed, name in enumerate("abcd"))
    copy = "i/copy.png"
    (tmp_path / copy).write_bytes((tmp_path / a).read_bytes())
    lines = [
        row(a, "1"),
        row(copy, "1"),
        row(b, "2"),
        row(b, "3"),
        row(b, "2"),
        row(c, "4"),
        row(c, "4", "Table Recognition:"),
        row(d, "5"),
    ]
    data = write(tmp_path / "all.jsonl", lines)
    with data.open("a", encoding="utf-8") as stream:
        stream.write('{"broken": \n' + json.dumps(row("i/none.png", "6")) + "\n")
    outcome = dedupe_set(data, tmp_path / "clean.jsonl", runner=ONE)
    assert answers(tmp_path / "clean.jsonl") == ["1", "4", "4", "5"]
    assert outcome.manifest["counts"]["reasons"] == {
        "image.missing": 1,
        "set.contradiction": 3,
        "set.duplicate": 1,
        "structure.object": 1,
    }
    assert (
        outcome.manifest["counts"]["in"]
        == 10
        == outcome.manifest["counts"]["out"] + outcome.manifest["counts"]["rejected"]
    )
    rejects = {item["where"]: item for item in read(tmp_path / "clean.rejects.jsonl")}
    assert (
        rejects["all.jsonl:2"]["message"].endswith("as all.jsonl:1")
        and "all.jsonl:4" in rejects["all.jsonl:3"]["message"]
        and "all.jsonl:3" in rejects["all.jsonl:4"]["message"]
    )
    first = dedupe_set(data, tmp_path / "first.jsonl", keep_first=True, runner=Runner(workers=2))
    assert answers(tmp_path / "first.jsonl") == ["1", "2", "4", "4", "5"]
    assert first.manifest["counts"]["reasons"]["set.contradiction"] == 1


@pytest.mark.parametrize(
    ("spelt", "kept"),
    [
        (["caf\u00e9", "cafe\u0301"], 0),
        (["cafe\u0301", "caf\u00e9"], 1),  # the first one that is spelt as it should be
        (["cafe\u0301", "caf\u00e9\u200b", "caf\u00e9", "caf\u00e9"], 2),
        (["1\u00a0250 €", "1  250 €"], 0),  # none is: the first
        (["1\u00a0250 €", " 1 250 €\n"], 1),
        (["น\u0e4d\u0e49\u0e32", "น้ำ"], 1),
        (["\ufe91\ufef4\ufe96", "بيت"], 1),
    ],
)
def test_another_spelling_is_a_duplicate(tmp_path: Path, spelt: list[str], kept: int) -> None:
    url = picture(tmp_path / "i" / "a.png", 1)
    data = write(tmp_path / "all.jsonl", [row(url, answer, note=at) for at, answer in enumerate(spelt)])
    outcome = dedupe_set(data, tmp_path / "clean.jsonl", runner=ONE)
    assert [item["note"] for item in read(tmp_path / "clean.jsonl")] == [kept]
    assert answers(tmp_path / "clean.jsonl") == [spelt[kept]]  # nothing is rewritten
    assert outcome.manifest["counts"]["reasons"] == {"set.duplicate": len(spelt) - 1}
    said = [item["message"] for item in read(tmp_path / "clean.rejects.jsonl")]
    assert said == [f"the same images and texts as all.jsonl:{kept + 1}"] * (len(spelt) - 1)


def test_spellings_and_contradictions(tmp_path: Path) -> None:
    a, b = (picture(tmp_path / "i" / f"{name}.png", seed) for seed, name in enumerate("ab"))
    lines = [row(a, "e\u0301"), row(a, "x"), row(a, "\u00e9"), row(b, "\ufa19"), row(b, "神")]
    data = write(tmp_path / "all.jsonl", lines)
    assert dedupe_set(data, tmp_path / "none.jsonl", runner=ONE).manifest["counts"]["reasons"] == {
        "set.contradiction": 5
    }
    first = dedupe_set(data, tmp_path / "first.jsonl", keep_first=True, runner=ONE)
    assert answers(tmp_path / "first.jsonl") == ["\u00e9", "\ufa19"]
    assert first.manifest["counts"]["reasons"] == {"set.contradiction": 2, "set.duplicate": 1}
    said = {item["where"]: item["message"] for item in read(tmp_path / "first.rejects.jsonl")}
    assert said["all.jsonl:1"].endswith("as all.jsonl:3")
    assert said["all.jsonl:2"] == "the same images and prompt as all.jsonl:3, with another answer"


def test_dedupe_near(tmp_path: Path) -> None:
    url = picture(tmp_path / "i" / "a.png", 1)
    pixels = cv2.imread(str(tmp_path / url))
    assert pixels is not None
    cv2.imwrite(str(tmp_path / "i" / "b.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 60])
    cv2.imwrite(str(tmp_path / "i" / "c.png"), 255 - pixels)
    data = write(
        tmp_path / "all.jsonl",
        [
            row(url, "same"),
            row("i/b.jpg", "same"),
            row("i/c.png", "same"),
            row("i/b.jpg", "other", "Table Recognition:"),
        ],
    )
    outcome = dedupe_set(data, tmp_path / "clean.jsonl", near=True, runner=ONE)
    assert outcome.manifest["counts"]["reasons"] == {"set.near_duplicate": 1}
    assert answers(tmp_path / "clean.jsonl") == ["same", "same", "other"]


def table(keys: list[tuple[int, int, int]]) -> Index:
    """Rows given as (image, prompt, answer)."""
    rows = np.zeros(len(keys), ROW)
    for at, (image, prompt, answer) in enumerate(keys):
        rows[at]["images"], rows[at]["prompt"], rows[at]["texts"] = (image, 7), prompt, (prompt, answer)
    return Index((), rows, np.empty(0, IMAGE), {}, (), {})


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2), st.booleans()), max_size=20),
    st.booleans(),
)
@settings(max_examples=300)
def test_of_rows_that_say_the_same_the_first_tidy_one_stays(
    keys: list[tuple[int, int, int, bool]], keep_first: bool
) -> None:
    index = table([key[:3] for key in keys])
    plain, _ = verdicts(index, keep_first=keep_first)
    index.rows["untidy"] = [untidy for *_, untidy in keys]
    found, others = verdicts(index, keep_first=keep_first)
    for at, key in enumerate(keys):
        group = [other for other, said in enumerate(keys) if said[:3] == key[:3]]
        best = min(group, key=lambda other: (keys[other][3], other))
        if plain[group[0]] == KEEP:
            assert found[at] == (KEEP if at == best else DUPLICATE) and others[at] == best
        else:
            assert found[at] == plain[at] == CONTRADICTION
            assert not keep_first or found[others[at]] == KEEP


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 2)), max_size=30))
@settings(max_examples=300)
def test_verdicts_by_definition(keys: list[tuple[int, int, int]]) -> None:
    strict, _ = verdicts(table(keys))
    kind, others = verdicts(table(keys), keep_first=True)
    for at, (image, prompt, answer) in enumerate(keys):
        of_question = {other for picture, asked, other in keys if (picture, asked) == (image, prompt)}
        first_answer = next(other for picture, asked, other in keys if (picture, asked) == (image, prompt))
        again = (image, prompt, answer) in keys[:at]
        assert strict[at] == (CONTRADICTION if len(of_question) > 1 else DUPLICATE if again else KEEP)
        assert kind[at] == (CONTRADICTION if answer != first_answer else DUPLICATE if again else KEEP)
        assert kind[at] == KEEP or kind[others[at]] == KEEP


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5), st.integers(0, 2)), min_size=2, max_size=60),
    st.integers(0, 50),
    st.integers(0, 5),
)
@settings(max_examples=200)
def test_no_group_on_two_sides(items: list[tuple[int, int, int]], wanted: int, seed: int) -> None:
    rows, images = np.zeros(len(items), ROW), np.zeros(len(items), IMAGE)
    for at, (image, group, stratum) in enumerate(items):
        rows[at]["images"], rows[at]["group"], rows[at]["stratum"], rows[at]["texts"] = (
            (image, 1),
            group,
            stratum,
            (at, at),
        )
        images[at]["row"], images[at]["image"] = at, (image, 1)
    index = Index((), rows, images, {number: str(number) for number in range(3)}, (), {})
    groups = components(index)
    part = deal(index, groups, [wanted], seed=seed)
    for left, (image, group, _) in enumerate(items):
        for right, (other, same, _) in enumerate(items):
            if image == other or (group == same != 0):
                assert groups[left] == groups[right] and part[left] == part[right]
    assert (part == 1).sum() <= wanted + max(np.bincount(groups))


def test_mix_draws_what_was_asked(tmp_path: Path) -> None:
    sizes = {"big": 80, "small": 10, "base": 12}
    files = {}
    for name, size in sizes.items():
        rows = [
            row(
                picture(tmp_path / name / f"{n}.png", n),
                f"{name}{n}",
                "Table Recognition:" if name == "base" and n % 6 == 0 else "OCR:",
            )
            for n in range(size)
        ]
        files[name] = write(tmp_path / f"{name}.jsonl", rows)
    sources = [MixInput("big"), MixInput("small", 2.0), MixInput("base", 0.25, replay=True)]
    outcome = mix_sets(
        sources, list(files.values()), tmp_path / "sub" / "train.jsonl", rows=100, balance="equal", runner=ONE
    )
    drawn = Counter(text.rstrip("0123456789") for text in answers(tmp_path / "sub" / "train.jsonl"))
    assert drawn == {"big": 25, "small": 50, "base": 25}
    each = Counter(text for text in answers(tmp_path / "sub" / "train.jsonl") if text.startswith("small"))
    assert set(each.values()) == {5}
    tables = sum(
        item["text_info"][0]["text"] == "Table Recognition:" for item in read(tmp_path / "sub" / "train.jsonl")
    )
    assert tables in (12, 13)  # the replay is even over its tasks, though one in six of its rows is a table
    counts = outcome.manifest["counts"]
    assert (counts["in"], counts["out"], counts["distinct"], counts["repeated"], counts["left_out"]) == (
        102,
        100,
        47,
        53,
        55,
    )
    assert [(item["in"], item["out"], item["distinct"], item["left_out"]) for item in outcome.manifest["sources"]] == [
        (80, 25, 25, 55),
        (10, 50, 10, 0),
        (12, 25, 12, 0),
    ]
    assert all(
        (tmp_path / "sub" / item["image_info"][0]["image_url"]).is_file()
        for item in read(tmp_path / "sub" / "train.jsonl")
    )


def test_shares() -> None:
    two = [MixInput("a"), MixInput("b")]
    assert shares(two, [900, 100]) == [0.9, 0.1]
    assert shares(two, [900, 100], balance="equal") == [0.5, 0.5]
    assert shares([*two, MixInput("r", 0.2, replay=True)], [900, 100, 50], balance="sqrt") == pytest.approx(
        [0.6, 0.2, 0.2]
    )
    with pytest.raises(UsageError, match="leave nothing"):
        shares([MixInput("a"), MixInput("r", 1.0, replay=True)], [1, 1])
    with pytest.raises(UsageError, match="no rows"):
        shares([MixInput("a")], [0])


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6), st.integers(1, 1000))
def test_quotas_add_up(weights: list[float], total: int) -> None:
    parts = [weight / sum(weights) for weight in weights]
    counts = quotas(parts, total)
    assert sum(counts) == total and all(
        abs(count - part * total) < 1 + 1e-6 for count, part in zip(counts, parts, strict=True)
    )


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.data())
@settings(max_examples=100)
def test_near_pairs_are_all_pairs(values: list[int], data: st.DataObject) -> None:
    for value in list(values[:10]):
        bits = data.draw(st.lists(st.integers(0, 63), max_size=LIMIT, unique=True))
        values.append(value ^ sum(1 << bit for bit in bits))
    unique = list(dict.fromkeys(values))
    expected = {
        (i, j)
        for i in range(len(unique))
        for j in range(i + 1, len(unique))
        if (unique[i] ^ unique[j]).bit_count() <= LIMIT
    }
    assert set(near_pairs(np.array(unique, np.uint64))) == expected
    assert near_pairs(np.array([0, 1, 1], np.uint64)) == [(0, 1), (0, 2), (1, 2)]
    doubled = near_pairs(np.array(unique + unique, np.uint64))
    assert {(at, at + len(unique)) for at in range(len(unique))} <= set(doubled)


def near_one_another(count: int, seed: int) -> Hashes:
    """Hashes of which many are equal, many near and most neither."""
    draw = np.random.default_rng(seed)
    values = draw.integers(0, 1 << 63, count, dtype=np.uint64)
    copied = draw.random(count) < 0.5
    values[copied] = values[draw.integers(0, count, copied.sum())]
    return values ^ np.uint64(1) << draw.integers(0, 64, count, dtype=np.uint64) * (draw.random(count) < 0.3)


@pytest.mark.parametrize("sizes", [[2], [1, 1], [], [2, 3, 2, 40, 1, 3], [SMALL, SMALL + 1, 700, 5]])
def test_near_pairs_of_groups_are_those_of_each_group(sizes: list[int]) -> None:
    hashes = near_one_another(sum(sizes), 3)
    expected = []
    start = 0
    for size in sizes:
        expected += [(start + i, start + j) for i, j in near_pairs(hashes[start : start + size])]
        start += size
    assert near_pairs_of_groups(hashes, np.array(sizes, np.int64)) == expected
    assert expected or max(sizes, default=0) < 3


def test_near_pairs_of_many_hashes_that_share_their_stretches() -> None:
    hashes = np.unique(np.random.default_rng(5).integers(0, 1 << 22, 3000, dtype=np.uint64))  # parts above BLOCK
    near = popcount(hashes[:, None] ^ hashes[None, :]) <= LIMIT
    left, right = np.nonzero(np.triu(near, 1))
    assert near_pairs(hashes) == list(zip(left.tolist(), right.tolist(), strict=True)) and len(left) > len(hashes)


def test_equal_images_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [picture(tmp_path / "i" / f"{name}.png", looks) for name, looks in (("a", 1), ("b", 2), ("c", 1), ("d", 3))]
    pixels = cv2.imread(str(tmp_path / names[0]))
    assert pixels is not None
    cv2.imwrite(str(tmp_path / "i" / "e.png"), cv2.resize(pixels, (300, 225)))
    data = write(tmp_path / "all.jsonl", [row(name, "the same") for name in (*names, "i/e.png")])
    seen: list[str] = []

    def looked_at(paths: list[str]) -> Hashes:
        seen.extend(paths)
        return dhashes(paths)

    monkeypatch.setattr("sft.datasets.near_duplicates.dhashes", looked_at)
    outcome = dedupe_set(data, tmp_path / "clean.jsonl", near=True, runner=ONE)
    assert [Path(name).name for name in seen] == ["a.png", "b.png", "d.png", "e.png"]
    assert outcome.manifest["counts"]["reasons"] == {"set.duplicate": 1, "set.near_duplicate": 1}


def test_dhashes_are_those_of_each_image(tmp_path: Path) -> None:
    paths = [str(tmp_path / picture(tmp_path / "i" / f"{number}.png", number)) for number in range(5)]
    assert dhashes(paths).tolist() == [dhash(Path(path)) for path in paths]
    assert len(set(dhashes(paths).tolist())) == 5 and dhashes([]).tolist() == []


def test_dhash_sees_looks_not_bytes(tmp_path: Path) -> None:
    a, b = tmp_path / picture(tmp_path / "i" / "a.png", 1), tmp_path / picture(tmp_path / "i" / "b.png", 2)
    pixels = cv2.imread(str(a))
    assert pixels is not None
    cv2.imwrite(str(tmp_path / "a.jpg"), cv2.resize(pixels, (300, 225)), [cv2.IMWRITE_JPEG_QUALITY, 50])
    assert (dhash(a) ^ dhash(tmp_path / "a.jpg")).bit_count() <= LIMIT < (dhash(a) ^ dhash(b)).bit_count()


def test_a_misspelt_key_is_no_set_without_groups(data: Path, tmp_path: Path) -> None:
    for words, text in (
        (["--group", "meta.grup"], "did you mean meta.group"),
        (["--stratify", "taks"], "did you mean task"),
        (["--group", "page"], "keys of the rows: meta.group, note"),
    ):
        found = CliRunner().invoke(command, ["split", str(data), "-o", str(tmp_path / "s"), "--workers", "1", *words])
        assert isinstance(found.exception, UsageError) and text in str(found.exception)
    plain = write(
        tmp_path / "plain.jsonl",
        [{"image_info": item["image_info"], "text_info": item["text_info"]} for item in read(data)[:10]],
    )
    done = CliRunner().invoke(
        command, ["split", str(plain), "-o", str(tmp_path / "p"), "--workers", "1"]
    )  # the default key may be missing
    assert (
        done.exit_code == 0 and len(read(tmp_path / "p" / "test.jsonl")) == 1
    )  # and a share of a small set is at least one row


@pytest.mark.parametrize("depth", [20, 900, 960, *range(970, 1000, 2)])
def test_keys_of_rows_that_are_nested_deeply(data: Path, tmp_path: Path, depth: int) -> None:
    """No traceback, however deep: a row that cannot be looked at is rejected; and a hint is no page long."""
    text = (
        json.dumps(read(data)[0] | {"meta": 0})
        .encode()
        .replace(b'"meta": 0', b'"meta": ' + b'{"a": ' * depth + b"1" + b"}" * depth)
    )
    (path := data.with_name("deep.jsonl")).write_bytes(text + b"\n")
    for key in ("meta.b", "meta.a"):
        found = CliRunner().invoke(
            command, ["split", str(path), "-o", str(tmp_path / "s"), "--workers", "1", "--group", key]
        )
        assert isinstance(found.exception, (UsageError, ProblemsFound)) and len(str(found.exception)) < 500, key


def test_the_source_is_not_overwritten(data: Path) -> None:
    before = data.read_bytes()
    with pytest.raises(UsageError, match="overwrite its source"):
        dedupe_set(data, data, runner=ONE)
    with pytest.raises(UsageError, match="overwrite its source"):
        mix_sets([MixInput("a")], [data], data, runner=ONE)
    train = data.with_name("train.jsonl")
    train.write_bytes(before)
    with pytest.raises(UsageError, match="overwrite its source"):
        split_set(train, train.parent, parts=[("test", 5)], keys=Keys(), runner=ONE)
    assert data.read_bytes() == before == train.read_bytes()


def test_words_on_the_command_line(data: Path, tmp_path: Path) -> None:
    run = CliRunner()
    done = run.invoke(command, ["split", str(data), "-o", str(tmp_path / "s"), "--test", "10", "--workers", "1"])
    assert done.exit_code == 0 and "60 rows in; out: train.jsonl" in done.output and "table" in done.output
    done = run.invoke(command, ["mix", f"{data}=2", "-o", str(tmp_path / "m.jsonl"), "--json", "--workers", "1"])
    assert json.loads(done.stdout)["counts"]["out"] == 60
    for words, text in (
        (["mix", f"{data}=zero", "-o", "x"], "is no weight"),
        (["mix", str(data), "--replay", str(data), "-o", "x"], "has no share"),
        (["split", str(data), "-o", "x", "--test", "1.5"], "whole number"),
        (["dedupe", str(tmp_path / "nothing.jsonl"), "-o", "x"], "no such file"),
    ):
        found = run.invoke(command, words)
        assert isinstance(found.exception, UsageError) and text in str(found.exception), words


def test_seeds_mean_the_same_for_ever() -> None:
    """What earlier versions drew: a change here changes everybody's split."""
    assert short_hash("doc1") == SHORT
    rows = np.zeros(12, ROW)
    for at in range(12):
        rows[at]["images"], rows[at]["texts"], rows[at]["group"] = (at, 0), (at, 1), at // 2 + 1
    index = Index((), rows, np.empty(0, IMAGE), {0: ""}, (), {})
    assert deal(index, components(index), [4], seed=1).tolist() == PART
    assert draw(index, [5], [False], seed=1).tolist() == DRAWN


def test_a_source_is_never_the_place_of_rejects_or_of_the_manifest(tmp_path: Path) -> None:
    rejects = write(
        tmp_path / "z.rejects.jsonl", [row(picture(tmp_path / "i" / f"{n}.png", n), f"t{n}") for n in range(3)]
    )
    before = rejects.read_bytes()
    with pytest.raises(UsageError, match="overwrite its source"):
        dedupe_set(rejects, tmp_path / "z.jsonl", runner=Runner(workers=1))
    assert rejects.read_bytes() == before


def test_rows_without_a_document_are_not_of_one(tmp_path: Path) -> None:
    source = write(
        tmp_path / "all.jsonl",
        [row(picture(tmp_path / "i" / f"{n}.png", n), f"t{n}", meta={"group": None}) for n in range(10)],
    )
    split_set(source, tmp_path / "out", parts=[("test", 0.2)], keys=Keys(("meta.group",)), runner=Runner(workers=1))
    assert len(read(tmp_path / "out/test.jsonl")) == 2


def test_an_image_that_came_late_is_taken(tmp_path: Path) -> None:
    source = write(
        tmp_path / "all.jsonl",
        [row(picture(tmp_path / "i" / f"{n}.png", n), f"t{n}") for n in range(9)] + [row("i/late.png", "late")],
    )
    arguments: dict[str, Any] = {"parts": [("test", 0.2)], "keys": Keys(), "runner": Runner(workers=1)}
    assert split_set(source, tmp_path / "out", **arguments).manifest["counts"]["reasons"] == {"image.missing": 1}
    picture(tmp_path / "i" / "late.png", 99)
    assert split_set(source, tmp_path / "out", **arguments).manifest["counts"]["rejected"] == 0
    assert not split_set(source, tmp_path / "out", **arguments).fresh


def test_an_image_that_changed_is_looked_at_again(tmp_path: Path) -> None:
    first, second = picture(tmp_path / "i" / "0.png", 0), picture(tmp_path / "i" / "1.png", 1)
    source = write(tmp_path / "all.jsonl", [row(first, "one"), row(second, "other")])
    assert dedupe_set(source, tmp_path / "out.jsonl", runner=ONE).manifest["counts"]["out"] == 2
    assert not dedupe_set(source, tmp_path / "out.jsonl", runner=ONE).fresh
    (tmp_path / second).write_bytes((tmp_path / first).read_bytes())
    assert dedupe_set(source, tmp_path / "out.jsonl", runner=ONE).manifest["counts"]["reasons"] == {
        "set.contradiction": 2
    }


def test_a_part_of_an_earlier_cut_does_not_stay_beside_the_new_one(tmp_path: Path) -> None:
    source = write(tmp_path / "all.jsonl", [row(picture(tmp_path / "i" / f"{n}.png", n), f"t{n}") for n in range(10)])
    split_set(source, tmp_path / "out", parts=[("test", 0.2)], keys=Keys(), runner=Runner(workers=1))
    with pytest.raises(UsageError, match="earlier cut"):
        split_set(source, tmp_path / "out", parts=[("val", 0.2)], keys=Keys(), runner=Runner(workers=1))
    (tmp_path / "out/test.jsonl").unlink()
    split_set(source, tmp_path / "out", parts=[("val", 0.2)], keys=Keys(), runner=Runner(workers=1))
    assert sorted(answers(tmp_path / "out/train.jsonl") + answers(tmp_path / "out/val.jsonl")) == sorted(
        f"t{n}" for n in range(10)
    )


def test_a_longer_conversation_contradicts_nothing(tmp_path: Path) -> None:
    name = picture(tmp_path / "i" / "a.png", 1)
    longer = row(name, "one")
    longer["text_info"] += [{"text": "And below?", "tag": "mask"}, {"text": "two", "tag": "no_mask"}]
    dedupe_set(
        write(tmp_path / "all.jsonl", [row(name, "one"), longer]), tmp_path / "out.jsonl", runner=Runner(workers=1)
    )
    assert len(read(tmp_path / "out.jsonl")) == 2


def test_moved_rows_lead_to_the_same_images(tmp_path: Path) -> None:
    folder = tmp_path / "http_pages"
    (folder / "far/deep").mkdir(parents=True)
    (folder / "link").symlink_to(folder / "far/deep")
    picture(folder / "far/q.png", 1)
    picture(folder / "q.png", 2)  # where `link/../q.png` seems to lead
    write(folder / "all.jsonl", [row("link/../q.png", "far", id=10**24 + 1), row("q.png", "near")])
    dedupe_set(folder / "all.jsonl", tmp_path / "out.jsonl", runner=Runner(workers=1))
    rows = read(tmp_path / "out.jsonl")
    assert [found["image_info"][0]["image_url"] for found in rows] == ["./http_pages/far/q.png", "./http_pages/q.png"]
    assert rows[0]["id"] == 10**24 + 1


def test_a_byte_order_mark_costs_no_row(tmp_path: Path) -> None:
    source = write(tmp_path / "all.jsonl", [row(picture(tmp_path / "i" / f"{n}.png", n), f"t{n}") for n in range(3)])
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes())
    dedupe_set(source, tmp_path / "out.jsonl", runner=Runner(workers=1))
    assert answers(tmp_path / "out.jsonl") == ["t0", "t1", "t2"]
