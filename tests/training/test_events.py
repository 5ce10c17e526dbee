"""TensorBoard's own writer and reader around a cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft.training.events import PATTERN, cut_after


def write(folder: Path, steps: range, value: float) -> Path:
    from tensorboard.summary import Writer  # type: ignore[import-untyped]

    before = set(folder.glob(PATTERN))
    writer = Writer(str(folder))
    for step in steps:
        writer.add_scalar("train/loss", value, step)
    writer.close()
    (made,) = set(folder.glob(PATTERN)) - before
    return made


def read(folder: Path) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing import event_accumulator  # type: ignore[import-untyped]

    events = event_accumulator.EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    tensors = events.Tensors("train/loss") if "train/loss" in events.Tags()["tensors"] else []
    return [(event.step, event.tensor_proto.float_val[0]) for event in tensors]


def test_one_value_per_step_after_a_resume(tmp_path: Path) -> None:
    write(tmp_path, range(1, 24), 1.0)
    assert cut_after(tmp_path, 10) == 13
    write(tmp_path, range(11, 31), 2.0)
    assert read(tmp_path) == [(step, 1.0 if step <= 10 else 2.0) for step in range(1, 31)]


def test_torn_end_goes_and_a_whole_file_stays_untouched(tmp_path: Path) -> None:
    path = write(tmp_path, range(1, 9), 1.0)
    whole = path.read_bytes()
    inode = path.stat().st_ino
    assert cut_after(tmp_path, 8) == 0 and path.stat().st_ino == inode
    for size in range(len(whole) - 20, len(whole)):
        path.write_bytes(whole[:size])
        cut_after(tmp_path, 300)
        assert whole.startswith(path.read_bytes())
        assert read(tmp_path) == [(step, 1.0) for step in range(1, 8)]


def test_fresh_start_keeps_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    write(tmp_path, range(1, 5), 1.0)
    write(tmp_path / "eval", range(1, 5), 1.0)
    assert cut_after(tmp_path, 0) == 4
    assert read(tmp_path) == [] and len(read(tmp_path / "eval")) == 4, "the scores are another curve"


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, b"\xff" * 400, bytes(range(256))])
def test_file_that_holds_no_events(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "events.out.tfevents.1.x").write_bytes(damage)
    cut_after(tmp_path, 5)
    assert cut_after(tmp_path / "none", 5) == 0
