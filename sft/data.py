"""Which files a name means, and a held-out part where there is none yet."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from sft import jsonl, models
from sft.cards import load_card
from sft.errors import ProblemsFound, UsageError
from sft.types import Sample, Task

DATASETS = Path("datasets")
HELD_OUT_SHARE, HELD_OUT_MOST = 0.05, 200  # of the rows of a file that comes without a test set
DRAWING = 2  # raised when the drawn sample changes, so that old ones are drawn again


@dataclass(frozen=True)
class DataSet:
    """A training file, its held-out file, and where they come from in words."""

    name: str
    train: Path
    test: Path | None
    origin: str


def find(name: str, *, say: Callable[[str], None] = lambda _: None) -> DataSet:
    """DATA=…: a file, a folder with train.jsonl, or a name under datasets/ (whose sample is drawn if need be)."""
    given = Path(name)
    for path in (given, DATASETS / name):
        if path.is_file():
            test = path.with_name("test.jsonl")
            name = path.resolve().parent.name if path.name == "train.jsonl" else path.stem  # a folder says more than "train"
            return DataSet(name, path, test if path.name == "train.jsonl" and test.is_file() else None, str(path))
        if (path / "dataset.yaml").is_file():
            return _carded(path, say)
        if (path / "train.jsonl").is_file():
            return find(str(path / "train.jsonl"))
    carded = DATASETS / name.removesuffix(".jsonl")
    if (carded / "dataset.yaml").is_file():
        return _carded(carded, say)
    known = sorted(path.parent.name for path in DATASETS.glob("*/dataset.yaml"))
    close = get_close_matches(name.removesuffix(".jsonl"), known, n=1)
    close = close or [str(given.with_name(near)) for near in get_close_matches(given.name, [path.name for path in given.parent.glob("*.jsonl")], n=1)]
    others = f", or one of: {', '.join(known)}" if known else "; names are looked for under datasets/ of the current directory"
    hint = f"did you mean {close[0]} ?" if close else f"give a JSONL file{others}"
    if given.is_dir():
        inside = ", ".join(sorted(path.name for path in given.glob("*.jsonl"))[:5])
        raise UsageError("no train.jsonl in this folder", where=name, hint=f"name one of its files: {inside}" if inside else "it holds no JSONL file")
    raise UsageError("no such data", where=name, hint=hint)


def _carded(folder: Path, say: Callable[[str], None]) -> DataSet:
    """The full public set if it was fetched, else the drawn sample."""
    full = folder / "full"
    if (full / "manifest.json").is_file() and (full / "train.jsonl").is_file():
        test = full / "test.jsonl"
        return DataSet(folder.name, full / "train.jsonl", test if test.is_file() else None, f"the public set in {full}")
    sample = draw_sample(folder, say=say)
    return DataSet(folder.name, sample / "train.jsonl", sample / "test.jsonl", f"the drawn sample in {sample}")


def draw_sample(folder: Path, *, say: Callable[[str], None] = lambda _: None) -> Path:
    """The sample of a card, drawn when it is not there or the card has changed; its manifest comes last."""
    path = folder / "dataset.yaml"
    rule = load_card(path).sample
    if rule is None:
        raise UsageError("this card has no sample that could be drawn", where=str(path), hint=f"`sft fetch {folder.name}` brings the published files")
    order = {"drawing": DRAWING, **rule.model_dump()}
    sample = folder / "sample"
    manifest = sample / "manifest.json"
    if manifest.is_file() and jsonl.read_json(manifest).get("order") == order:
        return sample
    from sft.synth import bengali

    say(f"drawing {rule.train} + {rule.test} images into {sample}")
    prompt = models.MODELS[models.DEFAULT_MODEL].prompts[Task.OCR]  # what is drawn are lines of text
    manifest.unlink(missing_ok=True)
    for split in ("train", "test"):
        bengali.write_split(sample, seed=rule.seed, split=split, count=order[split], prompt=prompt)
    jsonl.write_json(manifest, {"order": order, "sha256": {split: jsonl.sha256(sample / f"{split}.jsonl") for split in ("train", "test")}})
    return sample


def hold_out(data: Path, folder: Path, *, seed: int) -> tuple[Path, Path, int]:
    """Split a file without a test set: by image content, so that no image is on both sides. Returns (train, test, test rows).

    In = train + test. Images are named by absolute paths, since the new files stand elsewhere.
    """
    rows = [_absolute(sample, data.parent) for _, sample in jsonl.read_samples(data)]
    group_of = _groups(rows)
    sizes = Counter(group_of)
    if len(sizes) < 2:
        raise ProblemsFound("all rows show the same image, none can be held out", where=str(data), hint="add different images, or give TEST=file.jsonl")
    wanted = max(1, min(HELD_OUT_MOST, round(len(rows) * HELD_OUT_SHARE)))
    held: set[str] = set()
    count = 0
    for group in sorted(sizes, key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest()):
        if count + sizes[group] <= wanted:
            held.add(group)
            count += sizes[group]
    held = held or {min(sizes, key=lambda group: (sizes[group], group))}
    train, test = folder / "train.hub.jsonl", folder / "test.hub.jsonl"
    kept = jsonl.write_samples(train, (sample for sample, group in zip(rows, group_of, strict=True) if group not in held))
    out = jsonl.write_samples(test, (sample for sample, group in zip(rows, group_of, strict=True) if group in held))
    if kept + out != len(rows):
        raise ProblemsFound(f"{len(rows)} rows in, {kept} + {out} out", where=str(data))
    return train, test, out


def _absolute(sample: Sample, base: Path) -> Sample:
    images = tuple(replace(image, image_url=str((base / image.image_url).resolve())) for image in sample.image_info)
    return Sample(sample.text_info, images)


def _groups(rows: list[Sample]) -> list[str]:
    """For each row the name of its group: rows that share an image, directly or through other rows, are one group."""
    digest = cache(lambda url: jsonl.sha256(Path(url)))
    parent: dict[str, str] = {}

    def root(image: str) -> str:
        while parent.setdefault(image, image) != image:
            image = parent[image] = parent[parent[image]]
        return image

    for row in rows:
        first, *others = (root(digest(image.image_url)) for image in row.image_info)
        for other in others:
            parent[max(root(first), root(other))] = min(root(first), root(other))
    return [root(digest(row.image_info[0].image_url)) for row in rows]


def fingerprint(data: Path) -> str:
    """A hash of the rows and of every image they name: what a run or a score was made from."""
    digest = hashlib.sha256(jsonl.sha256(data).encode())
    for _, sample in jsonl.read_samples(data):
        for image in sample.image_info:
            digest.update(jsonl.sha256(data.parent / image.image_url).encode())
    return digest.hexdigest()


def shared_images(train: Path, test: Path) -> list[tuple[int, int]]:
    """(line in train, line in test) of images that are byte for byte the same: a leak makes a score worthless."""
    left, right = _by_size(train), _by_size(test)
    found = []
    for size in left.keys() & right.keys():
        hashes = {jsonl.sha256(path): line for line, path in left[size]}
        found += [(hashes[digest], line) for line, path in right[size] if (digest := jsonl.sha256(path)) in hashes]
    return sorted(found)


def _by_size(data: Path) -> dict[int, list[tuple[int, Path]]]:
    sizes: dict[int, list[tuple[int, Path]]] = {}
    for line, sample in jsonl.read_samples(data):
        for image in sample.image_info:
            path = data.parent / image.image_url
            sizes.setdefault(os.stat(path).st_size, []).append((line, path))
    return sizes


def starting_point(folder: Path) -> list[Path]:
    """`sft init DIR`: a small data set that validates and trains, to be replaced row by row. Never overwrites."""
    from sft.synth import bengali

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("this is not an empty folder", where=str(folder), hint="give a new one")
    prompt = models.MODELS[models.DEFAULT_MODEL].prompts[Task.OCR]
    return [bengali.write_split(folder, seed=1, split=split, count=count, prompt=prompt) for split, count in (("train", 64), ("test", 8))]

