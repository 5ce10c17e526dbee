"""The weights of an export: exactly the base's tensors, proved while they are copied, in one pass and little memory.

Every trained number is looked at: one that is not finite is refused by its tensor's name. Every trained tensor is
compared with the base's: all equal is a training or a merge that did nothing. The kind of number is the base's, since
a trainer without mixed precision writes float32, twice the size, for a base of bfloat16.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sft.errors import ProblemsFound
from sft.files import atomic_write
from sft.models.safetensors import Table, head, tensor_bytes, tensor_table
from sft.models.tensor_names import HEAD, as_base_names
from sft.models.verify import WEIGHTS, weight_files

BLOCK = 1024 * 1024  # bytes read at a time: what is computed of them stays in the processor's cache
# Tensors that no stage trains and some trainers leave out; servers ask for them, so they are taken from the base.
NEVER_TRAINED = ("packing_position_embedding", "vision_model.head.")
LAG = 16  # blocks that may wait to be hashed
SHOWN = 5  # names in a message

# Kind of number → its bits as unsigned integers, and the least of these, without the sign, that is no finite number.
_NOT_FINITE: dict[str, tuple[str, int]] = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F8_E5M2": ("u1", 0x7C),
    "F8_E4M3": ("u1", 0x7F),
}


@dataclass(frozen=True)
class Written:
    """What was written. `from_base`: tensors that training left out; `equal`: trained tensors that are the base's to
    the last bit, of `trained`; `converted`, `foreign`: how many tensors had another kind of number than the base, by
    "F32 → BF16", and were brought to it or could not be; `changes`: sentences about names that were brought back.
    """

    sha256: str
    from_base: list[str]
    equal: int
    trained: int
    converted: dict[str, int]
    foreign: dict[str, int]
    changes: list[str]


@dataclass
class _Tensor:
    """One tensor on its way. `compared`: where the base has it; None: it is not compared."""

    name: str
    path: Path
    entry: dict[str, Any]
    kind: str  # of number, as written
    trained: bool
    compared: tuple[Path, dict[str, Any]] | None = None
    finite: bool = True
    equal: bool = True

    @property
    def size(self) -> int:
        """Bytes as written."""
        begin, end = self.entry["data_offsets"]
        return int(end - begin) * _width(self.kind) // _width(self.entry["dtype"])


@dataclass
class _Sums:
    """What the copy finds out."""

    digest: Any = field(default_factory=hashlib.sha256)
    broken: list[str] = field(default_factory=list)
    equal: int = 0
    compared: int = 0


def write_weights(trained: Path, base: Path, out: Path) -> Written:
    """Write the tensors of the folder `trained` to one file, with those that it lacks from the folder `base`.

    Nothing is compared where the two folders are one. ProblemsFound, and no file: the tensors are not the base's, a
    number is not finite, or every tensor is the base's own.
    """
    wanted = tensor_table(_trained_files(base))
    trained_table, renamed = as_base_names(tensor_table(_trained_files(trained)), wanted, trained)
    filled = _fitting(trained_table, wanted, trained)
    same = trained.resolve() == base.resolve()
    tensors = []
    for name in sorted(wanted):
        path, entry = trained_table.get(name, wanted[name])
        theirs = wanted[name][1]["dtype"]
        kind = theirs if (entry["dtype"], theirs) in CONVERSIONS else entry["dtype"]
        compared = wanted[name] if name in trained_table and not same else None
        tensors.append(_Tensor(name, path, entry, kind, name in trained_table, compared))
    sums = _copy(tensors, out, trained)
    changed = Counter(
        (
            f"{trained_table[one.name][1]['dtype']} → {wanted[one.name][1]['dtype']}",
            one.kind == wanted[one.name][1]["dtype"],
        )
        for one in tensors
        if one.name in trained_table and trained_table[one.name][1]["dtype"] != wanted[one.name][1]["dtype"]
    )
    return Written(
        sums.digest.hexdigest(),
        filled,
        sums.equal,
        len(trained_table),
        {what: count for (what, done), count in changed.items() if done},
        {what: count for (what, done), count in changed.items() if not done},
        renamed,
    )


def _trained_files(folder: Path) -> list[Path]:
    """The weight files; model.safetensors where an index beside it names shards none of which is there, as joining by
    hand leaves it (PaddleX#5012).
    """
    whole = folder / WEIGHTS
    if whole.is_file() and not any(folder.glob("model-*.safetensors")):
        return [whole]
    return weight_files(folder)


def _fitting(table: Table, wanted: Table, trained: Path) -> list[str]:
    """The names that only the base has, each of which it may supply; ProblemsFound for what does not fit."""
    lost = sorted(wanted.keys() - table.keys())
    filled = [name for name in lost if any(part in name for part in NEVER_TRAINED)]
    faults = [f"{name} is missing{_why(name)}" for name in lost if name not in filled]
    faults += [f"{name} is not in the base model" for name in sorted(table.keys() - wanted.keys())]
    faults += [
        f"{name} has not the bytes that its shape needs" for name in sorted(table) if not _filled(table[name][1])
    ]
    for name in sorted(wanted.keys() & table.keys()):
        theirs = wanted[name][1]["shape"]
        ours = table[name][1]["shape"]
        if theirs != ours:
            note = " (transposed)" if ours == theirs[::-1] else ""
            faults.append(f"{name} is {ours}, the base has {theirs}{note}")
    if faults:
        raise ProblemsFound(
            f"{len(faults)} tensors do not fit the base model: {_some(faults)}",
            where=str(trained),
            hint="export with the base model that was trained, by the trainer version that the pins name",
        )
    return filled


def _why(name: str) -> str:
    return " (left out as tied to the embeddings, which the base's is not)" if name == HEAD else ""


def _filled(entry: dict[str, Any]) -> bool:
    """Whether a tensor has as many bytes as its numbers need, where their width is known."""
    begin, end = entry["data_offsets"]
    known = _NOT_FINITE.get(entry["dtype"])
    return known is None or bool(end - begin == math.prod(entry["shape"]) * np.dtype(known[0]).itemsize)


def _some(names: list[str]) -> str:
    return f"{'; '.join(names[:SHOWN])}{' …' if len(names) > SHOWN else ''}"


class _Behind:
    """Work on the blocks of a copy in a thread of its own, in order, at most LAG blocks behind: a copy that waited for
    each block to be hashed would be as slow as both together on a machine that does much else.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.waiting: deque[Future[None]] = deque()

    def do(self, work: Callable[..., None], *args: Any) -> None:
        """Have it done; waits only where too much is waiting."""
        self.waiting.append(self.pool.submit(work, *args))
        if len(self.waiting) > LAG:
            self.waiting.popleft().result()

    def finish(self) -> None:
        """Until all is done."""
        while self.waiting:
            self.waiting.popleft().result()


def _copy(tensors: list[_Tensor], out: Path, trained: Path) -> _Sums:
    """Header and tensors into `out`; the file is not there where something is wrong with them."""
    sums = _Sums()
    with atomic_write(out) as target, ThreadPoolExecutor(1) as hasher, ThreadPoolExecutor(1) as looker:
        hashed = _Behind(hasher)
        looked = _Behind(looker)
        begin = head((one.name, one.kind, one.entry["shape"], one.size) for one in tensors)
        sums.digest.update(begin)
        target.write(begin)
        for tensor in tensors:
            for block in _blocks(tensor, looked):
                hashed.do(sums.digest.update, block)  # beside the writing: neither needs the interpreter
                target.write(block)
        hashed.finish()
        looked.finish()
        sums.broken = [one.name for one in tensors if one.trained and not one.finite]
        compared = [one for one in tensors if one.compared is not None]
        sums.compared = len(compared)
        sums.equal = sum(one.equal for one in compared)
        _refuse(sums, trained)
    return sums


def _refuse(sums: _Sums, trained: Path) -> None:
    if sums.broken:
        raise ProblemsFound(
            f"{len(sums.broken)} tensors hold a number that is not finite (NaN or infinite): {_some(sums.broken)}",
            where=str(trained),
            hint="the training diverged: export an earlier checkpoint, or train with a lower learning rate",
        )
    if sums.compared and sums.equal == sums.compared:
        raise ProblemsFound(
            f"all {sums.compared} trained tensors are those of the base model, to the last bit",
            where=str(trained),
            hint="nothing was trained, or the adapter was not merged",
        )


def _blocks(tensor: _Tensor, looked: _Behind) -> Iterator[bytes]:
    """The bytes of a tensor as they are written; `equal` of the tensor is set on the way, `finite` a little behind."""
    kind = tensor.entry["dtype"]
    convert = CONVERSIONS.get((kind, tensor.kind))
    theirs: Iterator[bytes] = iter(())
    if tensor.compared is not None and tensor.compared[1]["dtype"] == tensor.kind:
        theirs = tensor_bytes(*tensor.compared, BLOCK * _width(tensor.kind) // _width(kind))
    for raw in tensor_bytes(tensor.path, tensor.entry, BLOCK):
        looked.do(_look, tensor, raw, kind)
        block = convert(raw) if convert else raw
        if convert:
            looked.do(_look, tensor, block, tensor.kind)  # beyond the largest number of the other kind
        tensor.equal = tensor.equal and block == next(theirs, b"")
        yield block


def _look(tensor: _Tensor, block: bytes, kind: str) -> None:
    if not all_finite(block, kind):
        tensor.finite = False


def all_finite(block: bytes, kind: str) -> bool:
    """Whether all numbers are finite; other kinds than floating ones are."""
    if kind not in _NOT_FINITE:
        return True
    bits, least = _NOT_FINITE[kind]
    numbers = np.frombuffer(block, bits)
    unsigned = numbers.dtype.type(np.iinfo(numbers.dtype).max >> 1)
    return bool((numbers & unsigned).max() < least)


def _width(kind: str) -> int:
    """Bytes of a number; 1 where it does not matter, since it is not converted."""
    return {"F32": 4, "F16": 2, "BF16": 2}.get(kind, 1)


def _to_bfloat16(block: bytes) -> bytes:
    """The upper half of a float32, rounded to the nearest, to even between two."""
    numbers = np.frombuffer(block, "<u4")
    rounding = ((numbers >> 16) & 1) + np.uint32(0x7FFF)
    rounded: bytes = ((numbers + rounding) >> 16).astype("<u2").tobytes()
    return rounded


def _from_bfloat16(block: bytes) -> bytes:
    return (np.frombuffer(block, "<u2").astype("<u4") << 16).tobytes()


def _to_float16(block: bytes) -> bytes:
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused by name
        return np.frombuffer(block, "<f4").astype("<f2").tobytes()


def _from_float16(block: bytes) -> bytes:
    return np.frombuffer(block, "<f2").astype("<f4").tobytes()


CONVERSIONS: dict[tuple[str, str], Callable[[bytes], bytes]] = {
    ("F32", "BF16"): _to_bfloat16,
    ("BF16", "F32"): _from_bfloat16,
    ("F32", "F16"): _to_float16,
    ("F16", "F32"): _from_float16,
}
