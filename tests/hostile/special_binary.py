"""Parquet, Arrow and LMDB files and workbooks that are broken inside, and columns of every type but the one needed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from hostile import kits_binary, pictures, values
from hostile.damage import FILES, LARGE, NEEDED, Built, main_file, with_rows
from hostile.kit import MARKS, VICTIM, Case, Kit, Row, good_rows, png, put
from hostile.kits_binary import Lmdb, Parquet

FLIPS = 25
TEXTUAL = ("UTF-", "EBCDIC", "line end", "mark")  # damage that only text has


def flip(kit: Kit, folder: Path, seed: int) -> Built:
    """A few bytes of the file are others; the beginning and the end, where the structure is, are hit more often."""

    def change(content: bytes) -> bytes:
        draw, found = random.Random(seed), bytearray(content)
        low, high = [
            (0, len(found)),
            (0, 64),
            (max(0, len(found) - 400), len(found)),
            (len(found) // 3, 2 * len(found) // 3),
        ][seed % 4]
        for _ in range(1 + seed % 3):
            place = draw.randrange(low, high)
            found[place] = draw.choice([0, 255, draw.randrange(256), found[place] ^ 1 << draw.randrange(8)])
        return bytes(found)

    return main_file(kit, folder, change=change, kept="none")


def cut(kit: Kit, folder: Path, share: float) -> Built:
    return main_file(kit, folder, change=lambda content: content[: int(len(content) * share)], kept="none")


def columns() -> dict[str, Callable[[], Any]]:
    """Name → six values that are something else."""
    import pyarrow as pa

    deep: Any = {"a": 1}
    for _ in range(60):
        deep = {"a": deep}
    return {
        "nulls": lambda: pa.nulls(6),
        "null texts": lambda: pa.array([None] * 6, pa.string()),
        "numbers": lambda: pa.array(range(6)),
        "parts": lambda: pa.array([float("nan"), float("inf"), -0.0, 1e308, 1e-320, 1.5]),
        "truth": lambda: pa.array([True] * 6),
        "dates": lambda: pa.array([0, 1, 2**60, -(2**62), 5, 6], pa.timestamp("ns")),
        "lists": lambda: pa.array([["a"], [], None, ["a", "b"], [None], ["x"]]),
        "lists of lists": lambda: pa.array([[["a"]]] * 6),
        "structs": lambda: pa.array([{"bytes": "a", "path": 1, "more": [1]}] * 6),
        "nested": lambda: pa.array([deep] * 6),
        "bytes": lambda: pa.array([b"\xff\xfe", b"", b"\0" * 50, None, pictures.pickled(), pictures.zipped()]),
        "texts that are none": lambda: pa.Array.from_buffers(
            pa.string(), 6, pa.array([b"\xff\xfe" * n for n in range(6)]).buffers()
        ),
        "a dictionary": lambda: pa.array(["a", "b"] * 3).dictionary_encode(),
        "maps": lambda: pa.array([[("a", 1)]] * 6, pa.map_(pa.string(), pa.int64())),
        "decimals": lambda: (
            pa.array([1, 2, 3, 4, 5, 6], pa.decimal256(70, 3)) if hasattr(pa, "decimal256") else pa.nulls(6)
        ),
        "names of files": lambda: pa.array(
            ["../../../etc/passwd", "/etc/passwd", "http://127.0.0.1/a.png", "file:///etc/passwd", "a\0b", ""]
        ),
        "long texts": lambda: pa.array(["x" * 200_000] * 6),
    }


def retyped(kit: Parquet, folder: Path, column: str, make: str) -> Built:
    return stored(kit, folder, {**kit.columns(good_rows()), column: columns()[make]()})


def stored(kit: Parquet, folder: Path, given: dict[str, Any], **more: Any) -> Built:
    import pyarrow
    from pyarrow import parquet

    path = folder / kit.main
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(given), path, **more)
    return folder / (kit.source or kit.main), ()


def layout(kit: Parquet, folder: Path, what: str) -> Built:
    """Files that are whole, but not what anybody writes."""
    import pyarrow as pa

    good = kit.columns(good_rows())
    if what == "no rows":
        return stored(kit, folder, {name: column[:0] for name, column in good.items()})
    if what == "a bomb":
        image = {"bytes": png("alpha") + bytes(210 << 20), "path": None}
        return stored(
            kit,
            folder,
            {name: column[:1] for name, column in good.items()} | {"image": [image]},
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
        )
    if what == "many columns":
        return *stored(kit, folder, good | {f"c{number}": [None] * 6 for number in range(300)})[:1], MARKS
    if what == "many row groups":
        return *stored(kit, folder, good, row_group_size=1)[:1], MARKS
    if what == "a column twice":
        table = pa.table(good)
        return stored(kit, folder, table.append_column("image", table.column(0)))
    notes = {
        "a note of nonsense": b"{",
        "a deep note": b"[" * values.DEEP,
        "a note of nulls": b'{"info": {"features": null}}',
        "a long note": b'"' + b"x" * 1_000_000 + b'"',
    }
    return *stored(kit, folder, pa.table(good).replace_schema_metadata({b"huggingface": notes[what]}))[:1], MARKS


LAYOUTS = [
    "no rows",
    "a bomb",
    "many columns",
    "many row groups",
    "a column twice",
    "a note of nonsense",
    "a deep note",
    "a note of nulls",
    "a long note",
]


def arrow(kit: Parquet, folder: Path, share: float, seed: int) -> Built:
    """What `save_to_disk` leaves, with a broken .arrow file."""
    import pyarrow as pa

    table = pa.table(kit.columns(good_rows()))
    with pa.OSFile(str(folder / "data.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    content = bytearray((folder / "data.arrow").read_bytes())
    draw = random.Random(seed)
    for _ in range(seed):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    put(folder / "data.arrow", bytes(content[: int(len(content) * share)]))
    put(folder / "state.json", b'{"_data_files": [{"filename": "data.arrow"}]}')
    return folder / "data.arrow", MARKS if share == 1 and not seed else ()


def states(kit: Parquet, folder: Path, state: bytes) -> Built:
    arrow(kit, folder, 1, 0)
    put(folder / "state.json", state)
    return folder, ()


STATES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"[" * values.DEEP,
    b'{"_data_files": null}',
    b'{"_data_files": [{"filename": "../../../../etc/passwd"}]}',
    b'{"_data_files": [{"filename": "/etc/passwd"}]}',
    b'{"_data_files": [{"filename": "data.arrow\\u0000"}]}',
    b'{"_data_files": [' + b'{"filename": "data.arrow"},' * 500 + b"{}]}",
    b'{"_data_files": [{"filename": 1}]}',
    b"\xff\xfe",
]
KEYS: dict[str, dict[bytes, bytes | None]] = {
    "no count": {b"num-samples": None},
    "count of nonsense": {b"num-samples": b"\xff\xfe"},
    "count below": {b"num-samples": b"-5"},
    "count of many digits": {b"num-samples": b"9" * 300},
    "count too large": {b"num-samples": b"1000000000000"},
    "count in other digits": {b"num-samples": "٣".encode()},
    "pickled count": {b"num-samples": pictures.pickled()},
    "no label": {b"label-000000003": None},
    "no image": {b"image-000000003": None},
    "pickled label": {b"label-000000003": pictures.pickled()},
    "label of bytes": {b"label-000000003": b"\xff\xfe\0"},
    "long label": {b"label-000000003": b"x" * 2_000_000},
    "empty image": {b"image-000000003": b""},
    "long key": {b"x" * 500: b"y"},
    "pickles": {b"a-%d" % number: pictures.pickled() for number in range(50)},
}


def keyed(kit: Lmdb, folder: Path, changes: dict[bytes, bytes | None]) -> Built:
    found: dict[bytes, bytes] = {b"num-samples": b"6"}
    for number, mark in enumerate(MARKS, 1):
        found |= {b"image-%09d" % number: kits_binary.picture_of(Row(mark)), b"label-%09d" % number: mark.encode()}
    for key, value in changes.items():
        found.pop(key, None)
        if value is not None:
            found[key] = value
    touched = (
        MARKS if b"num-samples" in changes else [MARKS[VICTIM]] if any(b"-000000003" in key for key in changes) else []
    )
    kept = [mark for mark in MARKS if mark not in touched]
    return kit.store(folder, found), MARKS if changes.get(b"num-samples") == b"1000000000000" else kept


def wrong_labels(kit: Kit) -> list[Row]:
    return [
        Row(f"victim{number}", body=body)
        for number, body in enumerate(
            [b"\xff\xfe", b"a\0b", b"", b" ", pictures.pickled(), b"[" * 50_000, b"\x80\x04.", bytes(5000)]
        )
    ]


def cases() -> Iterator[Case]:
    for kit in kits_binary.BINARY:
        for name, (change, _) in FILES.items():
            if not any(word in name for word in TEXTUAL):
                yield Case(
                    kit,
                    f"file: {name}",
                    partial(main_file, change=change, kept="none"),
                    small=name in LARGE,
                    reads_secret="passwd" in name,
                )
        for seed in range(FLIPS):
            yield Case(kit, f"flipped {seed}", partial(flip, seed=seed))
        for percent in (1, 10, 40, 60, 90, 99):
            yield Case(kit, f"{percent} % of it", partial(cut, share=percent / 100))
        if isinstance(kit, Parquet):
            for column in ("image", "text") if kit.format == "hf" else ("image", "otsl", "cells", "html"):
                for make in columns():
                    yield Case(kit, f"{column} of {make}", partial(retyped, column=column, make=make))
            for what in LAYOUTS:
                yield Case(kit, what, partial(layout, what=what))
        elif isinstance(kit, Lmdb):
            yield Case(kit, "labels of bytes", partial(with_rows, victims=wrong_labels), at_least=NEEDED)
            for what, changes in KEYS.items():
                yield Case(kit, f"keys: {what}", partial(keyed, changes=changes))
    hf = kits_binary.BINARY[0]
    for seed, share in [(0, 1.0), (0, 0.2), (0, 0.8), (1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 1.0), (60, 1.0)]:
        yield Case(hf, f"arrow {seed} {share}", partial(arrow, seed=seed, share=share))
    for number, state in enumerate(STATES):
        yield Case(hf, f"state {number}", partial(states, state=state))
