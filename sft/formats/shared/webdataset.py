"""WebDataset shards: uncompressed tar files in which consecutive members with one name and several extensions are one
sample.

    0001.png  0001.txt  0002.png  0002.txt …        columns png and txt, or image for the only picture of a sample

https://github.com/webdataset/webdataset. A tar is read where it stands: the heads of its members are walked over once,
nothing is unpacked, and only the members of the columns asked for are read, each of a bounded size. Links, sparse
members (a small file of any length) and compressed archives are refused; so is whatever holds Python objects, as only
pictures and UTF-8 text are taken. The `datasets` library would read members of any size, and decode them by their
names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from sft.errors import UsageError
from sft.files import MAX_LINE_BYTES, Unit, open_input
from sft.formats.base import Reject
from sft.formats.shared.webdataset_names import (
    Account,
    Member,
    MemberGroup,
    by_first_dot,
    by_last_dot,
    is_picture,
    usual_fields,
)
from sft.images import MAX_FILE_BYTES

BLOCK = 512
MAX_NAME_BYTES = 64 << 10  # of a head that holds a long name
PER_UNIT = 64
LOOKED_AT = 100  # samples that tell the columns
IMAGE = "image"  # the column of the only picture of a sample
_PAX = re.compile(rb"(\d{1,6}) ([^=\n]+)=")


@dataclass(frozen=True)
class Samples:
    """Samples of one shard: (key, ((field, member), …)) each, or a Reject for a damaged stretch. `columns`: those to
    read.
    """

    samples: tuple[MemberGroup | Reject, ...]
    columns: tuple[str, ...] = ()


def members(stream: IO[bytes], name: str) -> Iterator[Member | Reject]:
    """Every regular member in order, with its place; where a head is damaged, one Reject, and the search for the next
    whole one.
    """
    size = stream.seek(0, os.SEEK_END)
    place = 0
    longer = ""
    damaged = -1
    while place + BLOCK <= size:
        stream.seek(place)
        head = stream.read(BLOCK)
        length = _length(head)
        if length is None:
            if damaged < 0 and head.strip(b"\0"):
                damaged = place
            place += BLOCK
            continue
        if damaged >= 0:
            yield Reject(
                f"{name}@{damaged}",
                "source.syntax",
                f"{place - damaged:,} bytes of this archive are damaged; what was there is lost",
            )
            damaged, longer = -1, ""
        kind = head[156:157]
        start = place + BLOCK
        place = start + (length + BLOCK - 1) // BLOCK * BLOCK
        if kind in b"xL" and kind:
            longer = _long_name(stream.read(min(length, MAX_NAME_BYTES)), kind) or longer
            continue
        if kind in (b"g", b"K", b"5"):
            continue
        prefix = head[345:500].split(b"\0")[0] if head[257:263] == b"ustar\0" else b""
        member = longer or "/".join(
            part.decode("utf-8", "replace") for part in (prefix, head[:100].split(b"\0")[0]) if part
        )
        longer = ""
        problem = "" if kind in (b"0", b"\0", b"7") else "not a plain file of the archive, but a link or sparse"
        yield Member(
            member,
            start,
            length,
            problem or ("the archive ends before this member does" if start + length > size else ""),
        )
    if damaged >= 0:
        yield Reject(
            f"{name}@{damaged}",
            "source.syntax",
            f"{size - damaged:,} bytes of this archive are damaged; what was there is lost",
        )


def _length(head: bytes) -> int | None:
    """The size that a head gives its member; None where it is no head."""
    check = head[148:156].strip(b" \0")
    if not check.isdigit() or len(check) > 7 or any(byte > 0x37 for byte in check):
        return None
    if int(check, 8) != sum(head) - sum(head[148:156]) + 8 * 0x20:
        return None
    size = head[124:136]
    if size[0] == 0x80:  # more than 8 GiB
        return int.from_bytes(size[1:], "big")
    digits = size.strip(b" \0")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else (0 if not digits else None)


def _long_name(content: bytes, kind: bytes) -> str:
    if kind == b"L":
        return content.split(b"\0")[0].decode("utf-8", "replace")
    place = 0
    while match := _PAX.match(content, place):
        end = place + int(match[1])
        if match[2] == b"path":
            return content[match.end() : end - 1].decode(
                "utf-8",
                "replace",
            )
        if end <= place:
            break
        place = end
    return ""


def samples(stream: IO[bytes], name: str, account: Account) -> Iterator[MemberGroup | Reject]:
    """The samples of a shard in order, by the names of its members (`sft.formats.shared.webdataset_names`)."""
    return by_last_dot(by_first_dot(members(stream, name), account), account)


def _account(stream: IO[bytes], name: str, given: Collection[str] = ()) -> Account:
    """What the first samples tell of the fields of a shard; `given`: columns that the user named."""
    first = islice(by_first_dot(members(stream, name), Account()), LOOKED_AT)
    return Account(kept=usual_fields(first, given))


def columns_of(path: Path, given: Collection[str] = ()) -> tuple[list[str], list[str]]:
    """(columns, those of pictures) of the first samples; `given`: columns that the user named, which may have dots.

    UsageError where no sample has a picture and something else.
    """
    names: dict[str, None] = {}
    several = pair = False
    with open_input(path) as stream:
        for sample in islice(
            samples(stream, path.name, _account(stream, path.name, given)),
            LOOKED_AT,
        ):
            if not isinstance(sample, Reject):
                fields = [field for field, _ in sample[1]]
                names |= dict.fromkeys(fields)
                pictures = [field for field in fields if is_picture(field)]
                several |= len(pictures) > 1
                pair |= 0 < len(pictures) < len(fields)
    if not pair:
        raise UsageError(
            "archives are not opened, but for a WebDataset: this one has no picture and label under one name",
            where=str(path),
            hint=(
                "unpack it, and give the folder; a WebDataset has members like 0001.png and 0001.txt, one after the"
                " other"
            ),
        )
    pictures = [field for field in names if is_picture(field)]
    return ([*names], pictures) if several or IMAGE in names else ([IMAGE, *names], [IMAGE])


def units(path: Path, name: str, columns: Collection[str]) -> Iterator[Unit]:
    """Units of PER_UNIT samples, for two walks over the heads of the members; the last one says what is odd about
    their names.
    """
    with open_input(path) as stream:
        account = _account(stream, name, columns)
        grouped = samples(stream, name, account)
        unit: Unit | None = None
        while batch := tuple(islice(grouped, PER_UNIT)):
            if unit:
                yield unit
            unit = Unit(path, name, Samples(batch, tuple(columns)))
        if unit:
            yield replace(unit, note=account.said(name))


def rows(unit: Unit) -> Iterator[tuple[str, dict[str, Any]] | Reject]:
    """("shard.tar:key", {field: bytes of a picture, or text}) of every sample."""
    part: Samples = unit.payload
    with open_input(unit.path) as stream:
        for sample in part.samples:
            if isinstance(sample, Reject):
                yield sample
                continue
            key, fields = sample
            yield _row(
                stream,
                f"{unit.name}:{key}",
                dict(fields),
                part.columns,
            )


def _row(
    stream: IO[bytes], where: str, fields: dict[str, Member], columns: Collection[str]
) -> tuple[str, dict[str, Any]] | Reject:
    pictures = [field for field in fields if is_picture(field)]
    row: dict[str, Any] = {}
    for column in columns:
        field = pictures[0] if column == IMAGE and IMAGE not in fields and len(pictures) == 1 else column
        member = fields.get(field)
        if member is None:
            continue
        limit = MAX_FILE_BYTES if is_picture(field) else MAX_LINE_BYTES
        if member.problem:
            return Reject(
                where,
                "source.refused" if member.size >= 0 and "link" in member.problem else "source.shape",
                f"{member.name[:200]}: {member.problem}",
            )
        if member.size > limit:
            return Reject(
                where,
                "image.too_large" if is_picture(field) else "source.too_large",
                f"{member.name[:200]} has {member.size:,} bytes, at most {limit:,} are read",
            )
        stream.seek(member.offset)
        content = stream.read(member.size)
        try:
            row[column] = content if is_picture(field) else content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            return Reject(
                where,
                "source.encoding",
                f"{member.name[:200]} is not UTF-8: {error.reason}",
            )
    return where, row
