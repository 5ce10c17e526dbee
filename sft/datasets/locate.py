"""Which files a name means, and a held-out part where there is none yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from sft import models
from sft.datasets.card import load_card
from sft.errors import UsageError
from sft.files import data_fingerprint, read_json, read_samples, sha256, write_json
from sft.formats import holds_rows, labels_in, require_rows, unlabelled
from sft.types import Task

DATASETS = Path("datasets")
PARTS = ("train", "val", "test")  # files of a set
FILES_NAMED = 5  # where none of them is meant
DRAWING = 2  # raised when the drawn sample changes, so that old ones are drawn again


@dataclass(frozen=True)
class DataSet:
    """A training file, its held-out file, and where they come from in words."""

    name: str
    train: Path
    test: Path | None
    origin: str


def find(name: str, *, say: Callable[[str], None] = lambda _: None) -> DataSet:
    """DATA=…: a file, a folder with train.jsonl, or a name under datasets/ (whose sample is drawn if need be).

    UsageError: there is no such data, or it holds labels that are still to be converted.
    """
    given = Path(name)
    for path in (given, DATASETS / name):
        if path.is_file():
            require_rows(path)
            test = path.with_name("test.jsonl")
            name = (
                path.resolve().parent.name if path.name == "train.jsonl" else path.stem
            )  # a folder says more than "train"
            return DataSet(
                name,
                path,
                test if path.name == "train.jsonl" and test.is_file() else None,
                str(path),
            )
        if (path / "dataset.yaml").is_file():
            return _carded(path, say)
        if (path / "train.jsonl").is_file():
            return find(str(path / "train.jsonl"))
    carded = DATASETS / name.removesuffix(".jsonl")
    if (carded / "dataset.yaml").is_file():
        return _carded(carded, say)
    known = sorted(path.parent.name for path in DATASETS.glob("*/dataset.yaml"))
    close = get_close_matches(name.removesuffix(".jsonl"), known, n=1)
    close = close or [
        str(given.with_name(near))
        for near in get_close_matches(given.name, [path.name for path in given.parent.glob("*.jsonl")], n=1)
    ]
    others = (
        f", or one of: {', '.join(known)}"
        if known
        else "; names are looked for under datasets/ of the current directory"
    )
    hint = f"did you mean {close[0]} ?" if close else f"give a JSONL file{others}"
    if given.is_dir():
        raise UsageError("no train.jsonl in this folder", where=name, hint=_instead(given))
    raise UsageError("no such data", where=name, hint=hint)


def one_file(given: Path) -> Path:
    """DATA of a verb that takes one file and makes others of it.

    UsageError: no such file; a folder, with what it holds; labels that are still to be converted.
    """
    if given.is_dir():
        parts = [path.name for name in PARTS if (path := given / f"{name}.jsonl").is_file()]
        raise UsageError(
            f"this is a folder{' with ' + ', '.join(parts) if parts else ''}, and one file is wanted",
            where=str(given),
            hint=f"name one: {given / parts[0]}" if parts else _instead(given),
        )
    require_rows(given)
    return given


def _instead(folder: Path) -> str:
    """What to give, or to do, where a folder has no training file."""
    inside = sorted(path.name for path in folder.glob("*.jsonl") if holds_rows(path))
    if inside:
        return f"name one of its files: {', '.join(inside[:FILES_NAMED])}"
    if format_name := labels_in(folder):
        return f"it has labels of the format {format_name.format}: `{format_name.command}`"
    return unlabelled(folder) or "it holds no JSONL file"


def _carded(folder: Path, say: Callable[[str], None]) -> DataSet:
    """The full public set if it was fetched, else the drawn sample."""
    full = folder / "full"
    if (full / "manifest.json").is_file() and (full / "train.jsonl").is_file():
        test = full / "test.jsonl"
        return DataSet(
            folder.name,
            full / "train.jsonl",
            test if test.is_file() else None,
            f"the public set in {full}",
        )
    sample = draw_sample(folder, say=say)
    return DataSet(
        folder.name,
        sample / "train.jsonl",
        sample / "test.jsonl",
        f"the drawn sample in {sample}",
    )


def draw_sample(folder: Path, *, say: Callable[[str], None] = lambda _: None) -> Path:
    """The sample of a card, drawn when it is not there or the card has changed; its manifest comes last."""
    path = folder / "dataset.yaml"
    rule = load_card(path).sample
    if rule is None:
        raise UsageError(
            "this card has no sample that could be drawn",
            where=str(path),
            hint=f"`sft fetch {folder.name}` brings the published files",
        )
    order = {"drawing": DRAWING, **rule.model_dump()}
    sample = folder / "sample"
    manifest = sample / "manifest.json"
    if manifest.is_file() and read_json(manifest).get("order") == order:
        return sample
    from sft.synth import bengali_sample

    say(f"drawing {rule.train} + {rule.test} images into {sample}")
    prompt = models.MODELS[models.DEFAULT_MODEL].prompts[Task.OCR]  # what is drawn are lines of text
    manifest.unlink(missing_ok=True)
    for split in ("train", "test"):
        bengali_sample.write_split(
            sample,
            seed=rule.seed,
            split=split,
            count=order[split],
            prompt=prompt,
        )
    write_json(
        manifest, {"order": order, "sha256": {split: sha256(sample / f"{split}.jsonl") for split in ("train", "test")}}
    )
    return sample


def fingerprint(data: Path) -> str:
    """A hash of the rows and of every image they name: what a run or a score was made from."""
    images = (image for _, sample in read_samples(data) for image in sample.image_info)
    return data_fingerprint(sha256(data), (sha256(data.parent / image.image_url) for image in images))


def starting_point(folder: Path) -> list[Path]:
    """`sft init DIR`: a small data set that validates and trains, to be replaced row by row. Never overwrites."""
    from sft.synth import bengali_sample

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("this is not an empty folder", where=str(folder), hint="give a new one")
    prompt = models.MODELS[models.DEFAULT_MODEL].prompts[Task.OCR]
    return [
        bengali_sample.write_split(folder, seed=1, split=split, count=count, prompt=prompt)
        for split, count in (("train", 64), ("test", 8))
    ]
