"""The log of corrections: what was confirmed stays, half a line is nothing, and `sft review --apply` takes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from places import ROOT

from sft.cli.review import review as verb
from sft.errors import ProblemsFound, SftError, UsageError
from sft.files import ocr_sample, read_json, read_samples, write_samples
from sft.workflows.correction_log import BEGIN, Entry, append, read
from sft.workflows.review import row_hash

WRITER = """
import sys
from pathlib import Path
from sft.workflows.correction_log import Entry, append
for number in range(int(sys.argv[2]), 10**6):
    append(Path(sys.argv[1]), Entry(number, "hash", "text " * 200))
    print(number, flush=True)
"""


def standing(content: bytes) -> dict[int, str | None]:
    return {entry.line: entry.text for _, entry in read(content, "log")}


def test_the_last_text_counts_and_undo_takes_it_back(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    steps = [Entry(1, "a", "x"), Entry(1, "a", "y"), Entry(2, "b", "z"), Entry(2, "b", undo=True)]
    for entry in steps:
        append(log, entry)
    assert standing(log.read_bytes()) == {1: "y"}
    append(log, Entry(1, "a", undo=True))
    assert standing(log.read_bytes()) == {1: "x"}
    assert log.read_bytes().count(b"\n") == 5, "undoing removes no line"


@given(st.lists(st.tuples(st.integers(1, 3), st.none() | st.text(max_size=4)), max_size=30))
def test_it_does_what_a_stack_for_each_row_does(steps: list[tuple[int, str | None]]) -> None:
    stacks: dict[int, list[str]] = {1: [], 2: [], 3: []}
    entries = []
    for line, text in steps:
        if text is not None:
            stacks[line].append(text)
            entries.append({"line": line, "row": "h", "text": text})
        elif stacks[line]:
            stacks[line].pop()
            entries.append({"line": line, "row": "h", "undo": True})
    content = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
    assert standing(content) == {line: stack[-1] for line, stack in stacks.items() if stack}


def test_half_a_line_at_any_byte_is_no_correction_and_the_next_one_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    append(log, Entry(1, "a", "first"))
    before = len(log.read_bytes())
    append(log, Entry(2, "b", "সংখ্যা"))
    whole = log.read_bytes()
    for cut in range(before, len(whole) + 1):
        log.write_bytes(whole[:cut])
        is_whole = cut >= len(whole) - 1  # only the line end is missing
        kept = {1: "first"} | ({2: "সংখ্যা"} if is_whole else {})
        assert standing(whole[:cut]) == kept
        append(log, Entry(3, "c", "third"))
        assert standing(log.read_bytes()) == kept | {3: "third"}


def test_killed_at_twenty_moments_nothing_confirmed_is_lost(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    confirmed = 0
    for moment in range(20):
        command = [sys.executable, "-c", WRITER, str(log), str(confirmed + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
            assert writer.stdout is not None
            for _ in range(moment % 5 + 1):
                confirmed = int(writer.stdout.readline())
            writer.kill()
            rest = writer.stdout.read().split("\n")[:-1]
            confirmed = int(rest[-1]) if rest else confirmed
        there = standing(log.read_bytes())
        assert there.keys() >= set(range(1, confirmed + 1))
        assert set(there.values()) == {"text " * 200}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b'{"line":1}\n', "log:1"),
        (b'{"line":1,"row":"a","text":"x","undo":true}\n', "log:1"),
        (b'{"line":1,"row":"a","text":"x"}\n{"line":1,"row":"b","undo":true}\n', "log:2"),
        (b'{"line":"1","row":"a","text":"x"}\n', "log:1"),
        (b'{"line":1,"row":"a","text":"x","more":1}\n', "log:1"),
        (b'{"line":1,"row":"a"\n{"line":2,"row":"a","text":"x"}\n', "log:1"),
        (b"[" * 100_000 + b"\n", "log:1"),
    ],
)
def test_a_whole_line_that_is_no_correction_is_an_error(content: bytes, place: str) -> None:
    with pytest.raises(ProblemsFound) as caught:
        standing(content)
    assert caught.value.where == place


def test_nothing_but_a_log_is_written_to(tmp_path: Path) -> None:
    entry = Entry(1, "a", "x")
    data = tmp_path / "train.jsonl"
    data.write_bytes(b'{"text_info":[]}\n')
    half = tmp_path / "half.jsonl"
    half.write_bytes(b'{"line":1,"row":"a","text":"x"}\n[1')
    link = tmp_path / "link.jsonl"
    link.symlink_to(data)
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    for path in (data, half, link, pipe, tmp_path):
        with pytest.raises(UsageError):
            append(path, entry)
    for wrong in (Entry(1, "a"), Entry(1, "a", "x", undo=True), Entry(1, "a", "x" * 5_000_000)):
        with pytest.raises(SftError):
            append(tmp_path / "new.jsonl", wrong)
    assert data.read_bytes() == b'{"text_info":[]}\n'
    assert half.read_bytes().endswith(b"[1")
    assert not (tmp_path / "new.jsonl").exists()


def test_review_applies_a_log(tmp_path: Path) -> None:
    Image.new("RGB", (64, 32), "white").save(tmp_path / "a.png")
    data = tmp_path / "set.jsonl"
    write_samples(data, [ocr_sample("a.png", "OCR:", f"label {number}") for number in range(1, 6)])
    rows = [row_hash(line) for line in data.read_bytes().splitlines()]
    log = tmp_path / "log.jsonl"
    append(log, Entry(1, rows[0], "right"))
    append(log, Entry(2, rows[1], "###"))
    append(log, Entry(3, rows[2], "wrong"))
    append(log, Entry(3, rows[2], undo=True))
    append(log, Entry(4, "another", "changed since"))
    log.write_bytes(log.read_bytes() + BEGIN)
    out = tmp_path / "next.jsonl"
    done = CliRunner().invoke(verb, ["--apply", str(log), "--data", str(data), "-o", str(out)])
    assert done.exit_code == 1, done.output
    refs = [sample.ref for _, sample in read_samples(out)]
    assert refs == ["right", "label 3", "label 4", "label 5"]
    counts = read_json(tmp_path / "next.manifest.json")["counts"]
    assert (counts["in"], counts["kept"], counts["corrected"], counts["dropped"]) == (5, 3, 1, 1)
    assert counts["reasons"] == {"review.changed": 1}
