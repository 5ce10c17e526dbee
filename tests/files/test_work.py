"""Work folders, pieces and manifests: locks, what is kept, what is whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from sft.errors import EngineError, UsageError
from sft.files import atomic, manifest, staging


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_folder_with_nothing_in_it_goes_away(tmp_path: Path) -> None:
    with staging.StagingFolder(tmp_path / "new" / "out.jsonl", "a") as place:
        assert not place.resumed and names(place.folder) == ["fingerprint", "lock"]
    assert not place.folder.exists()


def test_pieces_stay_for_the_same_fingerprint_only(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    for mark, fresh, kept in (
        ("a", False, False),
        ("a", False, True),
        ("b", False, False),
        ("b", True, False),
        ("b", False, True),
    ):
        with staging.StagingFolder(out, mark, fresh=fresh) as place:
            assert place.resumed == kept
            assert place.path("0.rows").exists() == kept
            atomic.write(place.path("0.rows"), b"x\n")
            (place.path("sub") / "sub").mkdir(parents=True, exist_ok=True)
    with staging.StagingFolder(out, "b") as place:
        place.move("0.rows", out)
        place.clear()
    assert out.read_bytes() == b"x\n" and names(tmp_path) == ["out.jsonl"]


def test_the_lock_is_that_of_a_living_process(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom sft.files import staging\nwith"
        f" staging.StagingFolder(Path({str(out)!r}), 'a'):\n    print('in', flush=True)\n    time.sleep(600)"
    )
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert other.stdout is not None and other.stdout.readline() == "in\n"
    with pytest.raises(UsageError, match="another process") as caught:
        staging.StagingFolder(out, "a").__enter__()
    assert caught.value.where == str(out)
    other.kill()
    other.wait()
    other.stdout.close()
    with staging.StagingFolder(out, "a") as place:
        assert not place.resumed


def test_a_piece_is_whole_or_not_there(tmp_path: Path) -> None:
    def half() -> None:
        with atomic.piece(tmp_path / "a") as stream:
            stream.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert names(tmp_path) == []
    atomic.write(tmp_path / "a", b"one")
    atomic.write(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two" and names(tmp_path) == ["a"]
    with pytest.raises(EngineError, match="writing failed"):
        atomic.write(tmp_path / "none" / "a", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(EngineError, match="writing failed"):
        atomic.write(tmp_path / "folder", b"x")  # cannot be renamed over it
    assert names(tmp_path) == ["a", "folder"]


def test_parts_are_joined_and_their_lines_counted(tmp_path: Path) -> None:
    for name, text in (("1", b"a\nb\n"), ("2", b""), ("3", b"c\n" * 700_000)):
        (tmp_path / name).write_bytes(text)
    assert atomic.join(tmp_path / "all", [tmp_path / "1", tmp_path / "2", tmp_path / "3"]) == 700_002
    assert (tmp_path / "all").read_bytes() == b"a\nb\n" + b"c\n" * 700_000


def test_inputs_are_described_by_what_can_be_checked(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("hello")
    (folder / "sub" / "b.txt").write_text("x")
    os.symlink(tmp_path / "nowhere", folder / "broken")
    os.symlink(folder, folder / "sub" / "round")
    file = manifest.describe(folder / "a.txt", tmp_path)
    assert file == {
        "path": "in/a.txt",
        "kind": "file",
        "bytes": 5,
        "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    }
    before = manifest.describe(folder, tmp_path)
    assert (before["kind"], before["path"], before["files"], before["bytes"]) == ("folder", "in", 2, 6)
    assert manifest.describe(folder, tmp_path) == before
    (folder / "out.jsonl").write_text("new")
    assert manifest.describe(folder, tmp_path) != before
    assert manifest.describe(folder, tmp_path, skip=[folder / "out.jsonl"]) == before
    os.utime(folder / "a.txt", ns=(1, 1))
    assert manifest.describe(folder, tmp_path, skip=[folder / "out.jsonl"]) != before
    assert manifest.describe(tmp_path / "who" / "what", tmp_path)["kind"] == "name"


def test_a_manifest_is_finished_while_its_outputs_are_as_written(tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").write_text("{}\n")
    mark = manifest.fingerprint("split", [{"path": "a"}], {"seed": 1})
    assert (
        mark
        != manifest.fingerprint("split", [{"path": "a"}], {"seed": 2})
        != manifest.fingerprint("mix", [{"path": "a"}], {"seed": 2})
    )
    account = manifest.make(
        "split",
        mark,
        [{"path": "a"}],
        {"seed": 1},
        {"in": 1, "out": 1},
        {"o.jsonl": manifest.output(tmp_path / "o.jsonl")},
        seconds=0,
    )
    path = tmp_path / "o.manifest.json"
    path.write_text(json.dumps(account))
    assert manifest.finished(path, mark) == account and manifest.finished(path, "other") is None
    (tmp_path / "o.jsonl").write_text("[]\n")
    assert manifest.finished(path, mark) is None
    for nonsense in (
        "[]",
        "{}",
        "7",
        "",
        '{"fingerprint": "' + mark + '", "outputs": 3}',
        '{"fingerprint": "' + mark + '", "outputs": {"o.jsonl": {}}}',
    ):
        path.write_text(nonsense)
        assert manifest.finished(path, mark) is None
