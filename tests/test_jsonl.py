"""Files that are whole or not there, rows with their line numbers, errors that name the file."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft import jsonl
from sft.errors import EngineError, ProblemsFound, UsageError
from sft.types import Image, Sample, Text

SAMPLE = jsonl.ocr_sample("a.png", "OCR:", "৪৫টি")
texts = st.builds(Text, st.text(), st.sampled_from(["mask", "no_mask"]))
images = st.builds(Image, st.text(min_size=1), st.integers(0, 2**63 - 1))


@given(st.builds(Sample, st.lists(texts, min_size=1).map(tuple), st.lists(images, min_size=1).map(tuple)))
def test_encode_and_decode(sample: Sample) -> None:
    row = jsonl.encode(sample)
    assert b"\n" not in row
    assert jsonl.decode(row) == sample


def test_ocr_sample() -> None:
    assert (SAMPLE.prompt, SAMPLE.ref) == ("OCR:", "৪৫টি")
    assert SAMPLE.image_info == (Image("a.png", 0),)


def test_write_and_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.jsonl"
    assert jsonl.write_samples(path, [SAMPLE, SAMPLE]) == 2
    assert list(jsonl.read_samples(path)) == [(1, SAMPLE), (2, SAMPLE)]
    assert jsonl.write_samples(path, []) == 0
    assert path.read_bytes() == b""


@pytest.mark.parametrize("line", [b"{", b"", b"[]", b'"\xff"', b"[" * 100_000, b'{"x": ' + b"[" * 100_000, b'{"text_info": [], "image_info": []}'])
def test_a_bad_row_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl.encode(SAMPLE) + b"\n" + line + b"\n")
    with pytest.raises(ProblemsFound, match="not a sample") as caught:
        list(jsonl.read_samples(path))
    assert caught.value.where == f"{path}:2"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(error), jsonl.atomic_write(path) as stream:
        stream.write(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_the_file_appears_at_the_end_only(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with jsonl.atomic_write(path) as stream:
        stream.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_a_bad_sample_in_the_middle_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        jsonl.write_samples(path, (SAMPLE for number in range(3) if 1 / (2 - number)))
    assert path.read_bytes() == b"old"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="writing failed"), jsonl.atomic_write(tmp_path / "file" / "rows.jsonl"):
        pytest.fail("there is nothing to write to")


def test_a_full_disk_is_a_sentence_and_leaves_the_old_file(tmp_path: Path) -> None:
    """A file size limit stands for a full disk: the system refuses in the middle of a write, in the same way."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"old")
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom sft import jsonl\nfrom sft.errors import EngineError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n    jsonl.write_samples(Path(sys.argv[1]), [jsonl.ocr_sample('a.png', 'OCR:', 'x' * 100)] * 1000)\n"
        "except EngineError as error:\n    print(error)\n    sys.exit(error.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith(f"{path}: writing failed (File too large)")
    assert "hint: " in done.stdout
    assert not done.stderr
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_sha256(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    content = os.urandom(jsonl.CHUNK + 5)
    path.write_bytes(content)
    assert jsonl.sha256(path) == hashlib.sha256(content).hexdigest()


def test_a_misspelt_name_gets_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(UsageError, match="No such file") as caught:
        jsonl.sha256(tmp_path / "trian.jsonl")
    assert caught.value.hint == f"did you mean {tmp_path / 'train.jsonl'} ?"
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError) as caught:
        jsonl.sha256(tmp_path / "nowhere" / "at.all")
    assert caught.value.hint == "check the path; relative paths count from the current directory"


def test_a_folder_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(UsageError, match="not a file") as caught:
        jsonl.sha256(tmp_path)
    assert "give a file" in str(caught.value)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a file"):
        jsonl.sha256(tmp_path / "pipe")


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    jsonl.write_json(path, {"text": "টি", "n": [1, 2.5, None]})
    assert "টি" in path.read_text("utf-8")
    assert jsonl.read_json(path) == {"text": "টি", "n": [1, 2.5, None]}
    for broken in (b"{", b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(broken)
        with pytest.raises(ProblemsFound, match="not JSON") as caught:
            jsonl.read_json(path)
        assert caught.value.where == str(path)
