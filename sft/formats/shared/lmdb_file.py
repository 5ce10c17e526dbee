"""The file of an LMDB set, read without the library: nothing that stands in it is trusted.

The library maps the file and follows its page numbers and offsets as they are; one wrong byte in a page that was copied
badly, or written to do harm, ends the process (SIGBUS, SIGSEGV). Here every offset is checked before it is used.

The layout is that of LMDB 0.9 (`mdb.c` of OpenLDAP; data version 1), little-endian with 64 bits, as on every machine
that
trains: two meta pages, of which the one with the larger transaction counts; branch and leaf pages of nodes in the order
of their keys; values that do not fit into a page on overflow pages in a row. Sets with several values for one key, and
named databases inside, do not occur in recognition data: such values are not read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sft.files import open_input

MAGIC, VERSION = 0xBEEFC0DE, 1
HEADER = 16  # bytes of a page before its offsets: number, padding, flags, lower, upper
BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8  # flags of a page
BIG, SUB, DUPLICATES = 1, 2, 4  # flags of a node: on overflow pages, a database, several values
MAX_DEPTH = 32  # CURSOR_STACK of mdb.c
MAX_PAGE = 1 << 16
CACHE = 64  # branch and leaf pages kept
_META = struct.Struct("<IIQQ")
_DB = struct.Struct("<IHHQQQQQ")  # page size, flags, depth, branch, leaf and overflow pages, entries, root
_NODE = struct.Struct("<HHHH")  # value size or page number in two halves, flags, key size


class Corrupt(Exception):
    """The file is no LMDB file, or damaged."""


@dataclass
class Base:
    """An open file; `entries` as its meta page says."""

    descriptor: int
    size: int
    page_size: int
    root: int
    last_page: int
    entries: int
    _pages: dict[int, bytes] = field(default_factory=dict)

    def get(self, key: bytes, *, max_bytes: int) -> bytes | int | None:
        """The value of a key; None where there is none; its size alone where it is larger. Raises Corrupt."""
        if not self.entries:
            return None
        number = self.root
        before = -1
        for _ in range(MAX_DEPTH):
            page = self._page(number)
            flags = _flags(page)
            count = _count(page)
            if flags & LEAF:
                index = _search(page, key, count)
                if index == count or _key(page, index) != key:
                    return None
                return self._value(page, index, max_bytes)
            if not flags & BRANCH or not count or number == before:
                break
            index = _search(page, key, count, first=1)
            if index == count or _key(page, index) != key:
                index -= 1
            low, high, top, _ = _node(page, index)
            before = number
            number = low | high << 16 | top << 32
        raise Corrupt("a page that is neither branch nor leaf, or a tree without an end")

    def first_value(self, *, max_bytes: int) -> bytes | int | None:
        """The value of the smallest key; as `get`."""
        if not self.entries:
            return None
        number = self.root
        for _ in range(MAX_DEPTH):
            page = self._page(number)
            if not _count(page):
                return None
            if _flags(page) & LEAF:
                return self._value(page, 0, max_bytes)
            low, high, top, _ = _node(page, 0)
            number = low | high << 16 | top << 32
        raise Corrupt("a tree without an end")

    def _page(self, number: int) -> bytes:
        if number not in self._pages:
            if not 1 < number <= self.last_page:
                raise Corrupt(f"page {number} of {self.last_page + 1}")
            if len(self._pages) >= CACHE:
                self._pages.pop(next(iter(self._pages)))
            self._pages[number] = self._read(number * self.page_size, self.page_size)
        return self._pages[number]

    def _read(self, start: int, size: int) -> bytes:
        if start + size > self.size:
            raise Corrupt("a page behind the end of the file")
        parts, left = [], size
        while left and (
            piece := os.pread(
                self.descriptor,
                left,
                start + size - left,
            )
        ):
            parts.append(piece)
            left -= len(piece)
        if left:
            raise Corrupt("the file became shorter")
        return b"".join(parts)

    def _value(self, page: bytes, index: int, max_bytes: int) -> bytes | int:
        low, high, flags, key_size = _node(page, index)
        size = low | high << 16
        if flags & (SUB | DUPLICATES):
            raise Corrupt("a database inside, or several values for one key")
        start = _offset(page, index) + _NODE.size + key_size
        if not flags & BIG:
            if start + size > len(page):
                raise Corrupt("a value that leaves its page")
            return page[start : start + size]
        if start + 8 > len(page):
            raise Corrupt("a page number that leaves its page")
        number = int.from_bytes(page[start : start + 8], "little")
        if not 1 < number <= self.last_page or (self.last_page + 1 - number) * self.page_size < HEADER + size:
            raise Corrupt(f"a value of {size:,} bytes on page {number} of {self.last_page + 1}")
        if not _flags(self._read(number * self.page_size, HEADER)) & OVERFLOW:
            raise Corrupt(f"page {number} is no overflow page")
        return (
            size
            if size > max_bytes
            else self._read(
                number * self.page_size + HEADER,
                size,
            )
        )


def _flags(page: bytes) -> int:
    return int.from_bytes(page[10:12], "little")


def _count(page: bytes) -> int:
    lower = int.from_bytes(page[12:14], "little")
    if not HEADER <= lower <= len(page):
        raise Corrupt("a page with more nodes than it has room for")
    return (lower - HEADER) // 2


def _offset(page: bytes, index: int) -> int:
    place = HEADER + 2 * index
    offset = int.from_bytes(page[place : place + 2], "little")
    if not HEADER <= offset <= len(page) - _NODE.size:
        raise Corrupt("a node outside its page")
    return offset


def _node(page: bytes, index: int) -> tuple[int, int, int, int]:
    low, high, flags, key_size = _NODE.unpack_from(page, _offset(page, index))
    return low, high, flags, key_size


def _key(page: bytes, index: int) -> bytes:
    start = _offset(page, index) + _NODE.size
    end = start + _node(page, index)[3]
    if end > len(page):
        raise Corrupt("a key that leaves its page")
    return page[start:end]


def _search(page: bytes, key: bytes, count: int, *, first: int = 0) -> int:
    """The index of the first node whose key is not smaller; the first key of a branch page stands for all smaller
    ones.
    """
    low, high = first, count
    while low < high:
        middle = (low + high) // 2
        if _key(page, middle) < key:
            low = middle + 1
        else:
            high = middle
    return low


@contextmanager
def opened(data: Path) -> Iterator[Base]:
    """The file data.mdb, to be read only. Raises Corrupt; UsageError where it is no file."""
    with open_input(data) as stream:
        descriptor = stream.fileno()
        size = os.fstat(stream.fileno()).st_size
        yield _base(descriptor, size)


def _base(descriptor: int, size: int) -> Base:
    head = os.pread(descriptor, MAX_PAGE + 4096, 0)
    metas = []
    first = _meta(head, 0)
    # a broken first meta page does not tell where the second one is: it is looked for at every page size
    sizes = [first[2]] if first else [1 << bits for bits in range(8, 17)]
    metas = [meta for meta in (first, *(_meta(head, at) for at in sizes)) if meta is not None]
    if not metas:
        raise Corrupt("no meta page of LMDB")
    _, entries, page_size, root, last_page = max(metas)
    if (last_page + 1) * page_size > size:
        raise Corrupt(f"it was cut off: it has {size:,} of {(last_page + 1) * page_size:,} bytes")
    if root == 2**64 - 1:  # the empty set
        return Base(descriptor, size, page_size, 0, last_page, 0)
    return Base(descriptor, size, page_size, root, last_page, entries)


def _meta(head: bytes, start: int) -> tuple[int, int, int, int, int] | None:
    """(transaction, entries, page size, root, last page) of the meta page that begins here."""
    page = head[start : start + HEADER + _META.size + 2 * _DB.size + 16]
    if len(page) < HEADER + _META.size + 2 * _DB.size + 16 or not _flags(page) & META:
        return None
    magic, version, _, _ = _META.unpack_from(page, HEADER)
    page_size = _DB.unpack_from(page, HEADER + _META.size)[0]
    main = _DB.unpack_from(
        page,
        HEADER + _META.size + _DB.size,
    )
    last_page, transaction = struct.unpack_from(
        "<QQ",
        page,
        HEADER + _META.size + 2 * _DB.size,
    )
    if (
        magic != MAGIC
        or version != VERSION
        or page_size & (page_size - 1)
        or not 256 <= page_size <= MAX_PAGE
        or last_page >= 1 << 48
    ):
        return None
    return transaction, main[6], page_size, main[7], last_page
