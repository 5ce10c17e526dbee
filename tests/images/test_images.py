"""The resize rule against its verified examples, and what a file may be."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from sft.errors import ProblemsFound
from sft.files import atomic, jsonl
from sft.images import reader
from sft.images.headers import fingerprint_of, peek, peek_bytes
from sft.images.reader import ImageProblem, probe, read_plain
from sft.models import versions
from sft.models.resize import image_tokens, smart_resize
from sft.models.token_budget import Budget, load_tokenizer, pixel_limits, sample_tokens
from sft.models.versions import FACTOR, MAX_ASPECT, MODELS
from sft.types import Image as ImageInfo
from sft.types import ImageHeader, Sample, Text

LOW, HIGH = 147_384, 2_822_400  # of version 0.9B
side = st.integers(1, 6000)


@pytest.mark.parametrize(
    ("height", "width", "tokens"),
    [(200, 300, 204), (3508, 2480, 3550), (1754, 1240, 2772), (1080, 1920, 2691), (4000, 4000, 3600), (28, 28, 196)],
)  # measured in ERNIEKit's own processor
def test_verified_examples(height: int, width: int, tokens: int) -> None:
    assert image_tokens(height, width, min_pixels=LOW, max_pixels=HIGH) == tokens


def test_a_smaller_limit() -> None:
    assert image_tokens(3508, 2480, min_pixels=LOW, max_pixels=1_003_520) == 1260


def test_half_is_rounded_to_even() -> None:
    assert smart_resize(14 * 3, 14 * 5, min_pixels=1, max_pixels=HIGH) == (56, 56)  # 1.5 → 2, and 2.5 → 2


@pytest.mark.parametrize(
    "version", [version for version in MODELS.values() if version.min_pixels], ids=lambda version: version.name
)
@settings(max_examples=300, deadline=None)
@given(height=side, width=side)
def test_resized_sides(version: versions.ModelVersion, height: int, width: int) -> None:
    low, high = version.min_pixels, version.max_pixels
    assert low
    assert high
    if max(height, width) > MAX_ASPECT * min(height, width):
        with pytest.raises(ValueError, match="above 200"):
            smart_resize(height, width, min_pixels=low, max_pixels=high)
        return
    tall, wide = smart_resize(height, width, min_pixels=low, max_pixels=high)
    assert tall > 0
    assert wide > 0
    assert tall % FACTOR == wide % FACTOR == 0
    assert low <= tall * wide <= high
    assert image_tokens(height, width, min_pixels=low, max_pixels=high) * FACTOR**2 == tall * wide


@given(height=st.integers(28, 400), width=st.integers(28, 400), tokens=st.integers(2, 20))
def test_small_limits_never_leave_an_empty_side(height: int, width: int, tokens: int) -> None:
    """Both trainers compute 0 rows for a long line under a small limit, and fail; here it is an error before they
    start.
    """
    high = tokens * FACTOR**2
    try:
        tall, wide = smart_resize(height, width, min_pixels=FACTOR**2, max_pixels=high)
    except ValueError as error:
        assert "too long and thin" in str(error)
        assert max(height, width) / min(height, width) > tokens / 2
    else:
        assert FACTOR**2 <= tall * wide <= high


def test_long_line_under_the_limits_of_a_tiny_model() -> None:
    with pytest.raises(ValueError, match="too long and thin"):
        smart_resize(32, 400, min_pixels=5600, max_pixels=7000)


# The files.


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("noise")
    picture = Image.effect_noise((40, 30), 90).convert("RGB")
    found = {}
    for suffix in ("png", "jpg", "webp", "tif", "bmp", "gif"):
        picture.save(folder / f"a.{suffix}")
        found[suffix] = (folder / f"a.{suffix}").read_bytes()
    return found


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "gif"])
def test_header(tmp_path: Path, noise: dict[str, bytes], suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(noise[suffix])
    for decode in (False, True):
        header = probe(path, decode=decode)
        assert (header.width, header.height, header.exif_orientation) == (40, 30, 1)


MODES = [
    ("png", "1"),
    ("png", "L"),
    ("png", "LA"),
    ("png", "P"),
    ("png", "RGB"),
    ("png", "RGBA"),
    ("png", "I;16"),
    ("jpg", "L"),
    ("jpg", "RGB"),
    ("jpg", "CMYK"),
    ("bmp", "RGB"),
    ("bmp", "L"),
    ("bmp", "P"),
    ("webp", "RGB"),
    ("webp", "RGBA"),
    ("gif", "L"),
    ("gif", "P"),
    ("tif", "RGB"),
    ("ppm", "RGB"),
]


@pytest.mark.parametrize(("suffix", "mode"), MODES)
def test_the_first_bytes_say_what_pillow_says(tmp_path: Path, suffix: str, mode: str) -> None:
    exif = Image.Exif()
    exif[reader.EXIF_ORIENTATION] = 6
    more: list[dict[str, Any]] = [
        {},
        {"exif": exif.tobytes()},
        {"icc_profile": bytes(5000)},
        {"dpi": (300, 300)},
        {"progressive": True},
        {"quality": 5},
        {"lossless": True},
        {"comment": b"c" * 9000},
    ]
    fast = 0
    for number, options in enumerate(more):
        path = tmp_path / f"{number}.{suffix}"
        Image.effect_noise((41, 30), 90).convert(mode).save(path, **options)
        with Image.open(path) as image:
            orientation = image.getexif().get(reader.EXIF_ORIENTATION, 1)
            expected = ImageHeader(image.width, image.height, image.format or "", image.mode, orientation)
        assert probe(path) == probe(path, decode=True) == expected
        found = peek(str(path))
        assert found is None or (found.header == expected and found.whole and found.size == path.stat().st_size)
        fast += found is not None
        whole = path.read_bytes()
        assert peek_bytes(whole) == found
        path.write_bytes(whole[:-40])
        assert peek_bytes(whole[:-40]) == peek(str(path))
        if suffix in ("png", "jpg", "webp", "gif") or (suffix, mode) == (
            "bmp",
            "RGB",
        ):  # the others have no mark at their end
            with pytest.raises(ImageProblem) as caught:
                probe(path)
            assert caught.value.code in ("image.truncated", "image.unreadable")
    assert fast >= 4 or suffix in ("gif", "tif", "ppm") or mode in ("RGBA", "P", "L")


def test_text_in_a_png_is_no_reason_to_doubt(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    for number, (key, value) in enumerate(
        [
            ("Software", "x"),
            ("Raw profile type exif", "\nexif\n8\n" + "00" * 8),
            ("XML:com.adobe.xmp", 'tiff:Orientation="6"'),
        ]
    ):
        info = PngInfo()
        (info.add_itxt if key.startswith("XML") else info.add_text)(key, value)
        path = tmp_path / f"{number}.png"
        Image.new("L", (41, 30)).save(path, pnginfo=info)
        assert (peek(str(path)) is not None) is (key == "Software")
        assert peek_bytes(path.read_bytes()) == peek(str(path))
        assert probe(path).exif_orientation == (6 if key.startswith("XML") else 1)


def test_what_follows_the_end_of_a_jpeg_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.effect_noise((41, 30), 90).save(path)
    with path.open("ab") as stream:
        stream.write(b"\0" * 100)
    assert probe(path).width == 41  # the end looks odd, so the pixels were read, and they are all there


def test_peek_waits_for_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in (str(tmp_path / "pipe"), "/dev/zero", str(tmp_path), "none", "a\0b", ""):
        assert peek(name) is None
        assert fingerprint_of(name) is None


def test_plain_files_are_read_whole_and_all_others_left_to_probe(tmp_path: Path) -> None:
    for name in ("png", "jpg"):
        path = tmp_path / f"a.{name}"
        Image.new("RGB", (40, 20), (9, 99, 199)).save(path)
        content = path.read_bytes()
        assert read_plain(str(path)) == content == read_plain(str(path), max_bytes=len(content))
        assert read_plain(str(path), max_bytes=len(content) - 1) is None
        path.write_bytes(content[:-9])
        assert read_plain(str(path)) is None
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("turned.jpg", "pipe.png", "none.png", "nul\0.png", "."):
        assert read_plain(f"{tmp_path}/{name}") is None


def test_plain_files_are_not_larger_than_anybody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (40, 20)).save(tmp_path / "a.png")
    monkeypatch.setattr(reader, "MAX_IMAGE_PIXELS", 799)
    assert read_plain(str(tmp_path / "a.png")) is None
    monkeypatch.setattr(reader, "MAX_IMAGE_PIXELS", 800)
    assert read_plain(str(tmp_path / "a.png"))


def test_fingerprints_differ_where_files_do(noise: dict[str, bytes], tmp_path: Path) -> None:
    seen = set()
    for suffix, content in noise.items():
        for number, changed in enumerate(
            [content, content[:-1], content[:30] + b"x" + content[31:], content[:-3] + b"xyz"]
        ):
            path = tmp_path / f"{number}.{suffix}"
            path.write_bytes(changed)
            seen.add(fingerprint_of(str(path)))
    assert len(seen) == 4 * len(noise)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.data())
def test_broken_bytes_are_a_finding_or_an_image(tmp_path: Path, noise: dict[str, bytes], data: st.DataObject) -> None:
    content = bytearray(noise[data.draw(st.sampled_from(sorted(noise)))])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, min(200, len(content)) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "broken"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        header = probe(path, decode=True)
    except ImageProblem as problem:
        assert problem.code in {"image.unreadable", "image.truncated", "image.too_large"}
        with suppress(ImageProblem):  # damage in the middle is not seen from the ends
            probe(path)
    else:
        assert header.width > 0 < header.height
        assert probe(path) == header  # what can be decoded is never refused


@pytest.mark.parametrize(("value", "expected"), [(1, 1), (3, 3), (8, 8), (0, 1), (9, 1)])
def test_orientation(tmp_path: Path, value: int, expected: int) -> None:
    exif = Image.Exif()
    exif[reader.EXIF_ORIENTATION] = value
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    header = probe(tmp_path / "a.jpg")
    assert (header.width, header.height, header.exif_orientation) == (40, 30, expected)  # stored size, whatever the tag


def test_many_threads(tmp_path: Path, noise: dict[str, bytes]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(noise["png"])
    with ThreadPoolExecutor(8) as pool:
        assert {header.width for header in pool.map(lambda _: probe(path, decode=True), range(200))} == {40}


# Tokens of a sample.


@pytest.mark.parametrize("engine", ["paddleformers", "erniekit"])
def test_sample_tokens(base_model: Path, engine: str) -> None:
    low, high = pixel_limits(base_model)
    assert (low, high) == (LOW, HIGH)
    budget = Budget(base_model / "tokenizer.json", low, high, 16384, engine=engine)
    tokenizer = load_tokenizer(budget.tokenizer)

    def turn(prompt: str, answer: str, image: int) -> int:
        parts = ["User: ", prompt, "\nAssistant: "]
        asked = parts if engine == "erniekit" else ["".join(parts)]
        pieces = [*asked, answer]
        return sum(len(tokenizer.encode(one, add_special_tokens=False).ids) for one in pieces) + image + 2 + 1

    header = ImageHeader(300, 200, "PNG", "RGB")
    sample = jsonl.ocr_sample("a.png", "OCR:", "১২৩")
    assert sample_tokens(sample, [header], budget) == 1 + turn("OCR:", "১২৩", 204)
    assert sample_tokens(jsonl.ocr_sample("a.png", " OCR:", "১২৩\n"), [header], budget) == sample_tokens(
        sample, [header], budget
    )
    two = Sample(
        (*sample.text_info, Text("OCR:", "mask"), Text("১", "no_mask")), (ImageInfo("a.png"), ImageInfo("b.png", 2))
    )
    assert sample_tokens(two, [header, header], budget) == 1 + turn("OCR:", "১২৩", 204) + turn("OCR:", "১", 204)
    with pytest.raises(ProblemsFound, match=r"image\.aspect"):
        sample_tokens(sample, [ImageHeader(6000, 29, "PNG", "RGB")], budget)


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_pixel_limits(tmp_path_factory: pytest.TempPathFactory, low: int, high: int) -> None:
    assume(low <= high)
    folder = tmp_path_factory.mktemp("model")
    for config in (
        {"min_pixels": low, "max_pixels": high},
        {"size": {"min_pixels": low, "max_pixels": high}},
        {"size": {"shortest_edge": low, "longest_edge": high}},
    ):
        atomic.write_json(folder / "preprocessor_config.json", config)
        assert pixel_limits(folder) == (low, high)


@pytest.mark.parametrize(
    "config",
    [
        {},
        [],
        {"min_pixels": 5},
        {"min_pixels": 9, "max_pixels": 5},
        {"min_pixels": "1", "max_pixels": "5"},
        {"min_pixels": -1, "max_pixels": 5},
    ],
)
def test_unusable_pixel_limits(tmp_path: Path, config: object) -> None:
    atomic.write_json(tmp_path / "preprocessor_config.json", config)
    with pytest.raises(ProblemsFound) as caught:
        pixel_limits(tmp_path)
    assert caught.value.where == str(tmp_path / "preprocessor_config.json")


def test_a_file_that_is_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ProblemsFound, match="not a tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_pixel_limit_is_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where somebody has moved Pillow's."""
    Image.new("L", (40, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert reader.probe(tmp_path / "a.png").width == 40
    monkeypatch.setattr(reader, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(reader.ImageProblem, match="40 x 30") as caught:
        reader.probe(tmp_path / "a.png")
    assert caught.value.code == "image.too_large"
