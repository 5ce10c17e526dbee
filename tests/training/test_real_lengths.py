"""Predicted lengths against what PaddleFormers' own data set yields: every token of every sample."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import surveyed
from PIL import Image as Pictures
from places import TESTS
from test_engines import job
from test_job import settle

from sft.files import write_json
from sft.models import versions
from sft.models.augmentation import TokenDraws, picture_draws, together
from sft.models.token_budget import Budget, fixed_tokens, load_tokenizer, sample_tokens, trained_texts
from sft.runtime import environments
from sft.training import preflight
from sft.training.engines import absolute_images
from sft.training.engines.paddleformers import TEMPLATE_NAME, PaddleFormers
from sft.training.plan import make_plan
from sft.types import Image, ImageHeader, Sample, Tag, Text

PIPELINE = TESTS / "trainer_pipeline.py"
TAGS: tuple[Tag, Tag] = ("mask", "no_mask")
DRAWS = int(os.environ.get("SFT_REAL_DRAWS", "600"))  # 20000 takes some minutes
SIZES = int(os.environ.get("SFT_REAL_SIZES", "150"))  # 5000 takes some minutes
TEXTS = ("১২৩", "ab  c\n\nd", "<fcel>1<lcel><nl>", r"\[ x^{2} \]", "a|b\n1|2", "٣ 漢字 😀", "x" * 300)


def real(folder: Path, rows: Sequence[tuple[Sample, Sequence[str]]], model: Path, **asked: Any) -> Any:
    """The answer of `trainer_pipeline.py` for these rows, each with the paths of its images."""
    assert environments.is_ready("trainer"), "`make test` makes it"
    settings = job(engine="paddleformers", model_version=asked.pop("model_version", "0.9B"))
    template = folder / "template.py"
    template.write_text(PaddleFormers().extra_files(settings)["template.py"])
    path = folder / "rows.jsonl"
    path.write_bytes(b"".join(PaddleFormers().row(sample, images) + b"\n" for sample, images in rows))
    fixed = {"template": str(template), "name": TEMPLATE_NAME, "model": str(model), "rows": str(path)}
    usual = {"max_seq_len": 100_000, "seed": 23, "kind": "map", "augment": False}
    done = subprocess.run(
        [environments.ensure("trainer").python, str(PIPELINE)],
        input=json.dumps({**fixed, **usual, **asked}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def blank(folder: Path, number: int, size: tuple[int, int]) -> str:
    """A picture of this size, named so that the order of the names is that of the rows."""
    path = folder / f"{number:06}.png"
    Pictures.new("RGB", size, (230, 230, 230)).save(path, compress_level=1)
    return str(path)


def one(prompt: str, answer: str, images: int = 1) -> Sample:
    return Sample(
        (Text(prompt, "mask"), Text(answer, "no_mask")),
        tuple(Image(f"{number}.png") for number in range(images)),
    )


def any_size(chance: random.Random, longest: float) -> tuple[int, int]:
    """Sides between 6 px and `longest`, short ones as often as long ones."""
    sides = [round(6 * (longest / 6) ** chance.random()) for _ in range(2)]
    return sides[0], sides[1]


def limits(model: Path, low: int, high: int) -> None:
    """What the trainer's image processor reads, as in the released models."""
    half = [0.5, 0.5, 0.5]
    names = {"image_processor_type": "PaddleOCRVLImageProcessor", "processor_class": "PaddleOCRVLProcessor"}
    numbers = {"image_mean": half, "image_std": half, "rescale_factor": 1 / 255, "resample": 3}
    write_json(model / "preprocessor_config.json", {**names, **numbers, "min_pixels": low, "max_pixels": high})


def expected(sample: Sample, sizes: Sequence[tuple[int, int]], budget: Budget) -> int | None:
    """None: refused."""
    headers = [ImageHeader(width, height, "PNG", "RGB") for width, height in sizes]
    try:
        return sample_tokens(sample, headers, budget)
    except Exception:
        return None


@pytest.mark.parametrize(
    ("version", "low", "high"),
    [("0.9B", 147_384, 2_822_400), ("1.5", 112_896, 1_003_520), ("0.9B", 5600, 7000)],
    ids=["0.9B", "1.5", "tiny"],
)
def test_every_size_has_the_predicted_length(
    version: str, low: int, high: int, base_model: Path, tmp_path: Path
) -> None:
    limits(base_model, low, high)
    chance = random.Random(5)
    count = SIZES if low > 5600 else SIZES // 3
    sizes = [any_size(chance, 2500) for _ in range(count)]
    sizes += [(28, 5600), (41, 5617), (20, 3999), (5600, 28), (30, 6001), (1, 150), (150, 1)]
    samples = [one("OCR:", chance.choice(TEXTS)) for _ in sizes]
    paths = [[blank(tmp_path, number, size)] for number, size in enumerate(sizes)]
    yielded = real(tmp_path, list(zip(samples, paths, strict=True)), base_model, what="lengths", model_version=version)
    budget = Budget(base_model / "tokenizer.json", low, high, 100_000, versions.MODELS[version])
    predicted = [expected(sample, [size], budget) for sample, size in zip(samples, sizes, strict=True)]
    wrong = [row for row in zip(sizes, predicted, yielded, strict=True) if row[1] != row[2]]
    assert not wrong
    assert None in predicted and len({*predicted}) > 10


def test_turns_and_several_images(base_model: Path, tmp_path: Path) -> None:
    turns = Sample(
        tuple(Text(text, TAGS[number % 2]) for number, text in enumerate(["OCR:", " ab\n", "again", "<fcel>1<nl>"])),
        (Image("a.png", 0), Image("b.png", 2), Image("c.png", 0)),
    )
    limits(base_model, 147_384, 2_822_400)
    samples = [turns, one("Table Recognition:", "x"), one("ab\nc  d", "y", 2)]
    sizes = [[(300, 200), (900, 60), (64, 64)], [(300, 200)], [(200, 200), (40, 400)]]
    paths = [
        [blank(tmp_path, 10 * row + number, size) for number, size in enumerate(sized)]
        for row, sized in enumerate(sizes)
    ]
    budget = Budget(base_model / "tokenizer.json", 147_384, 2_822_400, 100_000)
    yielded = real(tmp_path, list(zip(samples, paths, strict=True)), base_model, what="lengths")
    assert yielded == [expected(sample, sized, budget) for sample, sized in zip(samples, sizes, strict=True)]


def test_template_tokens_are_those_of_the_tokenizer(base_model: Path) -> None:
    budget = Budget(base_model / "tokenizer.json", 5600, 7000, 512)
    sample = one("OCR:", "১২৩")
    pieces = trained_texts(sample, budget)
    assert pieces[0] == "User: <|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>OCR:\nAssistant: "
    tokenizer = load_tokenizer(budget.tokenizer)
    texts = sum(len(tokenizer.encode(piece, add_special_tokens=False)) for piece in pieces)
    assert fixed_tokens(sample, texts) == 1 + texts - 1 + 1


def test_drawn_rows_have_the_predicted_length(base_model: Path, bengali_data: Path, tmp_path: Path) -> None:
    limits(base_model, 5600, 7000)
    data = surveyed(bengali_data)
    lengths = preflight.check_lengths(data, base_model, settle(model=str(base_model), max_seq_len=4096))
    rows = [(sample, absolute_images(sample, bengali_data.parent)) for _, sample, _ in data.rows()]
    yielded = real(tmp_path, rows, base_model, what="lengths")
    assert (max(yielded), sum(yielded) / len(yielded)) == (lengths.longest, lengths.mean)
    assert yielded[lengths.line - 1] == lengths.longest


@pytest.mark.parametrize(
    ("low", "high", "longest", "share"), [(147_384, 2_822_400, 900, 1), (5600, 7000, 400, 3)], ids=["0.9B", "tiny"]
)
def test_no_draw_of_the_augmentation_is_longer_than_the_largest(
    low: int, high: int, longest: int, share: int, base_model: Path, tmp_path: Path
) -> None:
    limits(base_model, low, high)
    chance = random.Random(6)
    repeat = 30
    sizes = [(1000, 250), (28, 5200)] + [any_size(chance, longest) for _ in range(DRAWS * share // 4 // repeat - 2)]
    sample = one("OCR:", "ab")
    rows = [(sample, [blank(tmp_path, number, size)]) for number, size in enumerate(sizes)]
    yielded = real(tmp_path, rows, base_model, what="lengths", augment=True, repeat=repeat)
    budget = Budget(base_model / "tokenizer.json", low, high, 100_000)
    tokenizer = load_tokenizer(budget.tokenizer)
    texts = sum(len(tokenizer.encode(piece, add_special_tokens=False)) for piece in trained_texts(sample, budget))
    assert len(yielded) == repeat * len(sizes)
    longer = 0
    for number, size in enumerate(sizes):
        drawn = yielded[number * repeat : (number + 1) * repeat]
        predicted = together([picture_draws(*size, budget)], fixed_tokens(sample, texts))
        check_draws(size, drawn, predicted)
        plain = expected(sample, [size], budget)
        longer += sum(length > plain for length in drawn if length and plain)
    assert longer > len(yielded) // 50, "otherwise nothing was augmented"


def check_draws(size: tuple[int, int], drawn: list[int | None], predicted: TokenDraws) -> None:
    """Each draw is one of those that were predicted, and they come about as often."""
    kept = [length for length in drawn if length is not None]
    assert {*kept} <= {*predicted.tokens.tolist()}, size
    assert max(kept, default=0) <= predicted.largest
    refused = len(drawn) - len(kept)
    spread = math.sqrt(len(drawn) * predicted.refused * (1 - predicted.refused))
    assert abs(refused - len(drawn) * predicted.refused) <= 5 * spread + 2, size


def drawn_rows(folder: Path, count: int) -> list[tuple[Sample, list[str]]]:
    """Rows of different lengths, each with its own picture."""
    return [(one("OCR:", "ab " * (number % 9 + 1)), [blank(folder, number, (60, 40))]) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "batch", "gpus", "workers"), [(10, 4, 1, 0), (23, 4, 1, 2), (23, 3, 2, 0), (24, 2, 4, 0)]
)
def test_a_pass_of_the_loader_is_every_row_once(
    count: int, batch: int, gpus: int, workers: int, base_model: Path, tmp_path: Path
) -> None:
    limits(base_model, 5600, 7000)
    rows = drawn_rows(tmp_path, count)
    asked = {"what": "batches", "batch": batch, "gpus": gpus, "workers": workers, "epochs": 3}
    passes = real(tmp_path, rows, base_model, **asked)
    budget = Budget(base_model / "tokenizer.json", 5600, 7000, 100_000)
    lengths = [expected(sample, [(60, 40)], budget) for sample, _ in rows]
    plan = make_plan(samples=count, epochs=3, gpus=gpus, batch=batch, accum=1, passes=True)
    assert plan.wanted_steps == 3 * plan.micro_steps
    orders = []
    for ranks in passes:
        seen = [number for batches in ranks for taken in batches for number, _ in taken]
        assert len({*seen}) == len(seen) == count // gpus * gpus, "each once; what G does not divide is left over"
        assert all(lengths[number] == tokens for batches in ranks for taken in batches for number, tokens in taken)
        assert [len(batches) for batches in ranks] == [plan.micro_steps] * gpus
        orders.append(seen)
    assert len({tuple(order) for order in orders}) == 3, "another order in every pass"
