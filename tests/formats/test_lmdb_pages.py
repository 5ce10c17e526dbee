"""The reader of LMDB files against the library, and against files whose bytes were changed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.formats.shared.lmdb_file import Corrupt, opened

LIMIT = 1 << 24


def stored(folder: Path, values: Mapping[bytes, bytes], *, dropped: int = 0) -> Path:
    """A set made by the library, in two transactions; `dropped`: every so manieth key is deleted again in a third."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.mdb").unlink(missing_ok=True)
    keys = list(values)
    with lmdb.open(str(folder), map_size=1 << 28, sync=False, lock=False) as base:
        for part in (keys[::2], keys[1::2]):
            with base.begin(write=True) as view:
                for key in part:
                    view.put(key, values[key])
        with base.begin(write=True) as view:
            for key in keys[::dropped] if dropped else []:
                view.delete(key)
    return folder / "data.mdb"


def compare(path: Path, keys: list[bytes]) -> None:
    with lmdb.open(str(path.parent), readonly=True, lock=False) as base, base.begin() as view, opened(path) as own:
        assert own.entries == base.stat()["entries"]
        for key in keys:
            assert own.get(key, max_bytes=LIMIT) == view.get(key), key
        if own.entries:
            assert own.first_value(max_bytes=LIMIT) == next(iter(view.cursor()))[1]


@settings(max_examples=60, deadline=None)
@given(
    values=st.dictionaries(
        st.binary(min_size=1, max_size=60),
        st.one_of(st.binary(max_size=80), st.integers(0, 20_000).map(bytes)),
        max_size=60,
    ),
    other=st.binary(min_size=1, max_size=60),
)
def test_it_reads_what_the_library_reads(
    values: dict[bytes, bytes], other: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    compare(stored(tmp_path_factory.getbasetemp() / "small", values), [*values, other])


@pytest.mark.parametrize("dropped", [0, 2, 7])
def test_deep_trees(dropped: int, tmp_path: Path) -> None:
    draw = random.Random(dropped)
    values = {b"image-%09d" % number: draw.randbytes(draw.choice([10, 300, 5000])) for number in range(20_000)}
    keys = draw.sample(list(values), 1500)
    compare(
        stored(tmp_path, values, dropped=dropped),
        [*keys, b"a", b"image-", b"image-000000000", b"image-999999999", b"zzz"],
    )


def test_values_that_are_too_large_are_not_read(tmp_path: Path) -> None:
    with opened(stored(tmp_path, {b"a": bytes(9000), b"b": b"x"})) as base:
        assert base.get(b"a", max_bytes=8999) == 9000 and base.get(b"b", max_bytes=1) == b"x"


def test_the_empty_set(tmp_path: Path) -> None:
    with opened(stored(tmp_path, {})) as base:
        assert base.entries == 0


def test_several_values_for_one_key_are_refused(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), map_size=1 << 20, max_dbs=2) as base:
        inner = base.open_db(b"inside")
        with base.begin(write=True) as view:
            view.put(b"a", b"1", db=inner)
    with opened(tmp_path / "data.mdb") as own, pytest.raises(Corrupt, match="database inside"):
        own.get(b"inside", max_bytes=99)


def test_one_broken_meta_page_is_enough(tmp_path: Path) -> None:
    path = stored(tmp_path, {b"a": b"1"})
    content = path.read_bytes()
    found = set()
    for start in (0, 4096):
        path.write_bytes(content[:start] + bytes(200) + content[start + 200 :])
        with opened(path) as own:
            found.add(own.get(b"a", max_bytes=9) if own.entries else None)
    assert b"1" in found
    path.write_bytes(bytes(200) + content[200:4096] + bytes(200) + content[4296:])
    with pytest.raises(Corrupt, match="no meta page"), opened(path):
        raise AssertionError("it was opened")


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_changed_bytes_are_an_error_at_most(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    draw = random.Random(seed)
    keys = [b"%d" % number for number in range(200)]
    path = stored(tmp_path_factory.getbasetemp() / "flip", {key: key * draw.choice([1, 3000]) for key in keys})
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 5, 50])):
        content[draw.randrange(min(len(content), draw.choice([300, 9000, 1 << 30])))] = draw.choice(
            [0, 255, draw.randrange(256)]
        )
    path.write_bytes(content)
    try:
        with opened(path) as base:
            for key in keys:
                try:
                    found = base.get(key, max_bytes=LIMIT)
                except Corrupt as error:
                    assert str(error)
                else:
                    assert found is None or isinstance(found, (bytes, int))
    except Corrupt as error:
        assert str(error)
