"""Files that are whole or not there, rows with their line numbers, errors that name the file."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import PATIENCE

from sft.errors import EngineError, ProblemsFound, UsageError
from sft.files import atomic, jsonl, units
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


@pytest.mark.parametrize(
    "line",
    [b"{", b"", b"[]", b'"\xff"', b"[" * 100_000, b'{"x": ' + b"[" * 100_000, b'{"text_info": [], "image_info": []}'],
)
def test_a_bad_row_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl.encode(SAMPLE) + b"\n" + line + b"\n")
    with pytest.raises(ProblemsFound, match="not a sample") as caught:
        list(jsonl.read_samples(path))
    assert caught.value.where == f"{path}:2"


def test_an_endless_line_is_named_and_never_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sft.files.jsonl.MAX_LINE_BYTES", 1000)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl.encode(SAMPLE) + b"\n" + b"{" * 20_000_000 + b"\n")
    tracemalloc.start()
    rows = jsonl.read_samples(path)
    assert next(rows) == (1, SAMPLE)
    with pytest.raises(ProblemsFound, match="more than 1,000 bytes in one line") as caught:
        next(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
    assert caught.value.where == f"{path}:2"


@given(st.lists(st.integers(0, 30).map(lambda size: b"x" * size)), st.booleans())
def test_bounded_lines(lines: list[bytes], ended: bool) -> None:
    content = b"".join(line + b"\n" for line in lines) + (b"" if ended else b"tail of more than ten bytes")
    wanted = content.splitlines(keepends=True)
    out = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sft.files.jsonl.MAX_LINE_BYTES", 10)
        patch.setattr("sft.files.atomic.CHUNK", 3)
        found = []
        for number, line, too_long in jsonl.bounded_lines(io.BytesIO(content), rest=out.write):
            found.append((number, line, too_long))
            out.write(line)
    assert found == [(number, line[:11], len(line) > 10) for number, line in enumerate(wanted, 1)]
    assert out.getvalue() == content


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([b"", b"a", b"bcd", b"x" * 9, b"y" * 10, b"z" * 25]), max_size=12), st.booleans())
@pytest.mark.parametrize("per", [1, 3, 8, 64])
def test_a_file_is_cut_where_lines_end(per: int, lines: list[bytes], ended: bool) -> None:
    """Whatever the stretches: all bytes once, and the same lines as a reader of lines finds, long ones cut off."""
    content = b"\n".join(lines) + (b"\n" if ended else b"")
    cuts = list(units.stretches(io.BytesIO(content), 0, len(content), per))
    assert b"".join(content[start:end] for start, end in cuts) == content
    assert all(content[start:end].endswith(b"\n") for start, end in cuts[:-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sft.files.jsonl.MAX_LINE_BYTES", 10)
        found = []
        for chunk, too_long in units.whole_lines(io.BytesIO(content), 0, len(content), per):
            found += [(chunk, True)] if too_long else [(line, False) for line in io.BytesIO(chunk)]
        assert found == [(line, long) for _, line, long in jsonl.bounded_lines(io.BytesIO(content))]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic.atomic_write(path) as stream:
        stream.write(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_the_file_appears_at_the_end_only(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with atomic.atomic_write(path) as stream:
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
    with pytest.raises(EngineError, match="writing failed"), atomic.atomic_write(tmp_path / "file" / "rows.jsonl"):
        pytest.fail("there is nothing to write to")


def test_a_full_disk_is_a_sentence_and_leaves_the_old_file(tmp_path: Path) -> None:
    """A file size limit stands for a full disk: the system refuses in the middle of a write, in the same way."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"old")
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom sft.files import jsonl\nfrom sft.errors import"
        " EngineError\nresource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\ntry:\n   "
        " jsonl.write_samples(Path(sys.argv[1]), [jsonl.ocr_sample('a.png', 'OCR:', 'x' * 100)] * 1000)\nexcept"
        " EngineError as error:\n    print(error)\n    sys.exit(error.exit_code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith(f"{path}: writing failed (File too large)")
    assert "hint: " in done.stdout
    assert not done.stderr
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_sha256(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    content = os.urandom(atomic.CHUNK + 5)
    path.write_bytes(content)
    assert atomic.sha256(path) == hashlib.sha256(content).hexdigest()


def test_a_misspelt_name_gets_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(UsageError, match="No such file") as caught:
        atomic.sha256(tmp_path / "trian.jsonl")
    assert caught.value.hint == f"did you mean {tmp_path / 'train.jsonl'} ?"
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError) as caught:
        atomic.sha256(tmp_path / "nowhere" / "at.all")
    assert caught.value.hint == "check the path; relative paths count from the current directory"


def test_a_folder_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(UsageError, match="not a file") as caught:
        atomic.sha256(tmp_path)
    assert "give a file" in str(caught.value)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a file"):
        atomic.sha256(tmp_path / "pipe")


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.write_json(path, {"text": "টি", "n": [1, 2.5, None]})
    assert "টি" in path.read_text("utf-8")
    assert atomic.read_json(path) == {"text": "টি", "n": [1, 2.5, None]}
    for broken in (b"{", b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(broken)
        with pytest.raises(ProblemsFound, match="not JSON") as caught:
            atomic.read_json(path)
        assert caught.value.where == str(path)


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"5",
        b'"x"',
        b"null",
        b"{",
        b"",
        b"\xff",
        b'{"a": ' * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ProblemsFound, match=r"not JSON|not a table") as caught:
        atomic.read_table(path)
    assert caught.value.where == str(path)


def test_table(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": [1]}')
    assert atomic.read_table(path, max_bytes=10) == {"a": [1]}
    with pytest.raises(ProblemsFound, match="more than 9 bytes"):
        atomic.read_table(path, max_bytes=9)
    with path.open("wb") as stream:
        stream.truncate(atomic.MAX_TABLE_BYTES + 1)  # a hole, no blocks on disk
    with pytest.raises(ProblemsFound, match="more than 16,777,216 bytes"):
        atomic.read_table(path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero", "missing", "."):
        with pytest.raises(ProblemsFound, match="file") as caught:
            atomic.read_table(tmp_path / name)
        assert caught.value.where == str(tmp_path / name)


def test_a_table_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": "\\ud800"}')
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    for value in (atomic.read_table(path), deep):
        with pytest.raises(ProblemsFound, match="cannot be written as JSON"):
            atomic.write_json(path, value)
        assert os.listdir(tmp_path) == ["a.json"]
    assert path.read_bytes() == b'{"a": "\\ud800"}'


def test_folders_of_killed_processes_are_swept(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    stale, other = tmp_path / f".out.{gone.pid}.tmp", tmp_path / ".another.1.tmp"
    for folder in (stale, other):
        folder.mkdir()
        (folder / "half").write_text("x")
    made = atomic.new_folder_beside(tmp_path / "out")
    assert made.is_dir() and not list(made.iterdir()) and not stale.exists() and other.exists()


def test_a_small_file_is_written_in_as_many_calls_as_the_disk_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    sizes: list[int] = []

    def some(handle: int, content: bytes) -> int:
        sizes.append(write(handle, content[:3]))
        return sizes[-1]

    monkeypatch.setattr(os, "write", some)
    atomic.write(tmp_path / "a", b"eleven byte")
    assert (tmp_path / "a").read_bytes() == b"eleven byte" and sizes == [3, 3, 3, 2]
    atomic.write(tmp_path / "a", b"")
    assert (tmp_path / "a").read_bytes() == b"" and [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_small_file_is_not_there_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(EngineError, match="No space left"):
        atomic.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old" and [path.name for path in tmp_path.iterdir()] == ["a"]
