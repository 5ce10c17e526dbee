"""What is done to every kit that has a place for it.

Each case damages one thing, and says which rows must come out all the same.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from hostile import pictures, values
from hostile.kit import MARKS, VICTIM, Case, Content, Kit, Row, good_rows, png, put
from hostile.kits import KITS
from hostile.kits_binary import Lmdb, Parquet, Workbook

Built = tuple[Path, Sequence[str]]
LONG = 100_000  # bytes; above the limits of a `small` case
NEEDED = 8  # damaged records in one source, or more


def between(victims: Iterable[Row]) -> list[Row]:
    """Good rows before, among and behind damaged ones."""
    rows, bad = good_rows(), list(victims)
    half = len(bad) // 2
    return [*rows[:2], *bad[:half], *rows[2:4], *bad[half:], *rows[4:]]


def with_rows(kit: Kit, folder: Path, victims: Callable[[Kit], Iterable[Row]]) -> Built:
    return kit.write(folder, between(victims(kit))), MARKS


def one_victim(kit: Kit, folder: Path, change: Callable[[bytes], bytes]) -> Built:
    """The record, or the file, of one row is changed."""
    rows = good_rows()
    rows[VICTIM] = Row(MARKS[VICTIM], body=change(kit.body(rows[VICTIM], VICTIM)))
    kept = [mark for mark in MARKS if mark != MARKS[VICTIM]]
    if not kit.many and kit.whole:
        kept = kept[:VICTIM] if kit.whole == "after" else []
    return kit.write(folder, rows), kept


def main_file(kit: Kit, folder: Path, change: Callable[[bytes], Content], kept: str) -> Built:
    """The file of labels (of the victim, where every row has one) is changed.

    `kept`: all, none, or the rows before a cut.
    """
    source = kit.write(folder, good_rows())
    path = folder / kit.main_of(Row(MARKS[VICTIM]))
    content = path.read_bytes()
    path.unlink()
    changed = change(content)
    put(path, changed)
    others = [mark for mark in MARKS if mark != MARKS[VICTIM]] if kit.many else []
    if kept == "all":
        return source, MARKS
    if kept == "before" and not kit.many and kit.whole != "all" and isinstance(changed, bytes):
        whole = [(mark, kit.body(Row(mark), index)) for index, mark in enumerate(MARKS)]
        return source, [mark for mark, body in whole if body in changed]
    return source, others


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(len(content) * share)]


def instead(other: Content, content: bytes) -> Content:
    return other


def utf16(content: bytes) -> bytes:
    return content.decode().encode("utf-16")


FILES: dict[str, tuple[Callable[[bytes], Content], str]] = {
    "cut at a quarter": (cut(0.25), "before"),
    "cut in the middle": (cut(0.5), "before"),
    "cut before its end": (cut(0.97), "before"),
    "no line end at the end": (lambda content: content.rstrip(b"\n"), "all"),
    "many line ends at the end": (lambda content: content + b"\n" * 50, "all"),
    "byte order mark": (lambda content: b"\xef\xbb\xbf" + content, "all"),
    "Windows line ends": (lambda content: content.replace(b"\n", b"\r\n"), "all"),
    "UTF-16": (utf16, "none"),
    "UTF-32": (lambda content: content.decode().encode("utf-32"), "none"),
    "EBCDIC": (lambda content: content.decode().encode("cp500"), "none"),
    "empty": (lambda content: b"", "none"),
    "white space": (lambda content: b" \n\t\r\n" * 2000, "none"),
    "zeros": (lambda content: bytes(LONG), "none"),
    "noise": (lambda content: noise(LONG), "none"),
    "bytes behind the end": (
        lambda content: content + b"\0" * 100 + noise(300).replace(b'"', b"'").replace(b"\n", b""),
        "before",
    ),
    "compressed with gzip": (lambda content: gzip.compress(content, mtime=0), "none"),
    "compressed with bzip2": (bz2.compress, "none"),
    "compressed with xz": (lzma.compress, "none"),
    "a bomb of gzip": (lambda content: gzip.compress(bytes(1 << 24), mtime=0), "none"),
    **{name: (partial(instead, make()), "none") for name, make in pictures.OTHERS.items()},
    **{name: (partial(instead, what), "none") for name, what in pictures.SPECIAL.items() if name != "a sparse file"},
    "a PNG": (lambda content: png("alpha"), "none"),
    "brackets": (lambda content: b"[" * LONG, "none"),
    "braces": (lambda content: b'{"a":' * LONG, "none"),
    "tags": (lambda content: b"<a>" * 10_000, "none"),
    "quotes": (lambda content: b'"' * LONG, "none"),
    "one long line": (lambda content: b"a" * LONG, "none"),
}
LARGE = {"braces", "brackets", "zeros", "noise", "quotes", "one long line"}


def inserted(what: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body[: len(body) // 2] + what + body[len(body) // 2 :]


def flipped(seed: int) -> Callable[[bytes], bytes]:
    def flip(body: bytes) -> bytes:
        draw, content = random.Random(seed), bytearray(body)
        for _ in range(3):
            place = draw.randrange(len(content))
            content[place] = draw.choice([byte for byte in range(256) if byte not in b'\n"'])
        return bytes(content)

    return flip


RECORDS: dict[str, Callable[[bytes], bytes]] = {
    "a NUL byte inside": inserted(b"\0"),
    "a byte of Latin-1 inside": inserted(b"\xe9"),
    "bytes of no encoding inside": inserted(b"\xff\xfe\xc0\xaf\xed\xa0\x80"),
    "half a character inside": inserted(b"\xe0\xa6"),
    "a mark of UTF-16 before": lambda body: b"\xff\xfe" + body,
    "control characters inside": inserted(b"\x01\x1b\x7f\x0b\x0c"),
    "cut": lambda body: body[: len(body) // 2],
    "cut at one byte": lambda body: body[:1],
    "without its beginning": lambda body: body[len(body) // 2 :],
    "twice in one": lambda body: body + body,
    "nothing": lambda body: b"",
    "noise": lambda body: bytes(byte for byte in noise(3000) if byte not in b'\n"[]{}'),
    "zeros": lambda body: bytes(3000),
    "deep lists": lambda body: b"[" * values.DEEP + b"]" * values.DEEP,
    "deep objects": lambda body: b'{"a":' * values.DEEP + b"1" + b"}" * values.DEEP,
    "deep tags": lambda body: b"<a>" * values.DEEP + b"</a>" * values.DEEP,
    "commas": lambda body: b"," * LONG,
    "tabs": lambda body: b"\t" * LONG,
    "pipes": lambda body: b"|" * LONG,
    "backslashes": lambda body: b"\\" * (LONG - 1),
    "a pickle": lambda body: pictures.pickled().replace(b"\n", b" "),
    "padded with spaces": inserted(b" " * LONG),
    **{f"flipped bytes {seed}": flipped(seed) for seed in range(5)},
}


def images(kit: Kit, group: dict[str, Content]) -> list[Row]:
    """A row for each of these images; where files have the names of their rows, marks that sort as well."""
    return [Row(f"victim{number:02}", picture=content) for number, content in enumerate(group.values())]


def image_rows(name: str, kit: Kit) -> list[Row]:
    return images(kit, dict(pictures.group(name)))


def special_rows(kit: Kit) -> list[Row]:
    return images(kit, pictures.SPECIAL)


def named(names: Callable[[], list[str]], kit: Kit) -> list[Row]:
    return [Row(f"victim{number:02}", name=name) for number, name in enumerate(names())]


def labelled(kit: Kit) -> list[Row]:
    return [Row(f"victim{number:02}", label=label) for number, label in enumerate(values.labels(kit.kind))]


def bodies(change: Callable[[bytes], Iterable[bytes]], kit: Kit) -> list[Row]:
    good = kit.body(Row("victim"), VICTIM)
    return [Row(f"victim{number:03}" if kit.many else "victim", body=body) for number, body in enumerate(change(good))]


def alone(kit: Kit, folder: Path, raw: bytes, number: int) -> Built:
    """One record whose brackets or quotes do not close."""
    return one_victim(kit, folder, lambda body: list(values.replaced(body, {"": raw}))[number])


def junk(kit: Kit, folder: Path) -> Built:
    """Things that belong to nothing, in every folder of the source."""
    source = kit.write(folder, good_rows())
    for number, place in enumerate(
        [folder, *(Path(base) / name for base, names, _ in os.walk(folder) for name in names)]
    ):
        for name, content in pictures.SPECIAL.items():
            put(place / f"junk {number} {name.replace('/', '-')}", content)
        put(Path(os.fsdecode(bytes(place) + b"/\xff\xfe junk")), b"x")
        put(place / "junk\n\x1b[2J\u202e", b"x")
        put(place / ("junk/" * 40) / "deep", b"x")
        put(place / ".hidden" / "lock", b"")
    return source, MARKS


def text_cases(kit: Kit) -> Iterator[Case]:
    for name, (change, kept) in FILES.items():
        yield Case(
            kit,
            f"file: {name}",
            partial(main_file, change=change, kept=kept),
            small=name in LARGE,
            reads_secret="passwd" in name,
        )
    for name, change_record in RECORDS.items():
        yield Case(kit, f"record: {name}", partial(one_victim, change=change_record))
    if kit.many or not kit.whole:
        yield Case(
            kit,
            "record: longer than can be",
            partial(one_victim, change=lambda body: body + b" " * (1 << 17)),
            small=True,
        )


def json_cases(kit: Kit) -> Iterator[Case]:
    good = kit.body(Row("victim"), VICTIM)
    if kit.whole or not values.is_json(good):
        return
    for name, raws in values.JSON.items():
        if name == "geometry" and not any(word in good for word in (b"poly", b"points", b"bbox")):
            continue
        if name == "broken":
            number = len(list(values.places(values.split(good)[1]))) // 2
            for what, raw in raws.items():
                yield Case(kit, f"JSON: {what}", partial(alone, raw=raw, number=number))
            continue
        change = partial(values.replaced, raws=raws, outlines=name == "geometry", step=3 if name == "deep" else 1)
        yield Case(kit, f"JSON: {name}", partial(with_rows, victims=partial(bodies, change)), at_least=NEEDED)
    yield Case(kit, "JSON: missing", partial(with_rows, victims=partial(bodies, values.missing)), at_least=NEEDED)
    yield Case(
        kit, "JSON: twice and unknown", partial(with_rows, victims=partial(bodies, values.twice)), at_least=NEEDED
    )


def row_cases(kit: Kit) -> Iterator[Case]:
    if kit.many or not kit.whole:
        for name in pictures.GROUPS:
            yield Case(kit, f"images: {name}", partial(with_rows, victims=partial(image_rows, name)), at_least=NEEDED)
        if not isinstance(kit, (Parquet, Lmdb)):
            yield Case(kit, "images: special files", partial(with_rows, victims=special_rows), at_least=NEEDED)
        if kit.names_image:
            for name, names in {
                "paths": lambda: values.PATHS,
                "addresses": lambda: values.ADDRESSES,
                "inline": values.inline,
            }.items():
                yield Case(kit, f"names: {name}", partial(with_rows, victims=partial(named, names)), at_least=NEEDED)
        if kit.kind != "fixed":
            yield Case(kit, "labels", partial(with_rows, victims=labelled), at_least=NEEDED)
    yield Case(kit, "junk beside", junk)


def cases() -> Iterator[Case]:
    for kit in KITS:
        if kit.brief:
            yield Case(kit, "labels", partial(with_rows, victims=labelled), at_least=NEEDED)
            continue
        if not isinstance(kit, (Parquet, Lmdb, Workbook)):
            yield from text_cases(kit)
            yield from json_cases(kit)
        yield from row_cases(kit)
