"""`sft split`, `sft mix`, `sft dedupe`: index, decide, write, account.

Everything is written into the work folder first and renamed at the end, the manifest last: after a SIGKILL the same
command finds the indexed pieces and ends with the same bytes. In = out + rejected by reason, or an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from sft.arrays import Ints
from sft.datasets import dedupe as duplicates
from sft.datasets import mix as mixing
from sft.datasets import split as splitting
from sft.datasets.index import STRATA, Index, Keys, Places, build, copy_rows, read_lines
from sft.datasets.near_duplicates import alike
from sft.errors import EngineError, ProblemsFound, SftError, UsageError
from sft.files import atomic, manifest, read_json, reject_line, rejects_path, snapshot, staging
from sft.runtime import Runner

OnProgress = Callable[[float], object]


@dataclass(frozen=True)
class CurateResult:
    """What a verb did. `fresh` False: everything was there already, nothing was done."""

    manifest: dict[str, Any]
    fresh: bool
    strata: list[list[Any]] = field(default_factory=list)


def _check_keys(index: Index, keys: Keys, data: Path) -> None:
    """A key that no row has would split without groups, or as if all rows were alike, and leak without a word."""
    for key in keys.asked:
        if key not in index.seen and key not in STRATA:
            close = get_close_matches(
                key,
                [*index.seen, *STRATA],
                n=1,
            )
            known = ", ".join(sorted(index.seen)[:12]) or "none"
            raise UsageError(
                f"no row has the key {key!r}",
                where=str(data),
                hint=f"did you mean {close[0]} ?" if close else f"keys of the rows: {known}",
            )


@dataclass(frozen=True)
class Decided:
    """Rows of every output in order; `verdict` (`sets.dedupe`) and `other` of the rows that go into none; further
    facts.
    """

    outputs: dict[str, Ints]
    verdict: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    other: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    more: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _OutputPaths:
    """Where a verb writes: a folder, and the stem of its manifest and rejects."""

    folder: Path
    stem: str

    @property
    def manifest(self) -> Path:
        return self.folder / f"{self.stem}.manifest.json"

    @property
    def images(self) -> Path:
        """The images that were looked at: the same command notices when one of them changes, or comes at last."""
        return snapshot.list_path(self.folder / self.stem)

    @property
    def rejects(self) -> str:
        return rejects_path(self.folder / f"{self.stem}.jsonl").name


@dataclass(frozen=True)
class SplitRules:
    """near: images that look the same stay together. published: rows that a published split holds out (`meta.split`)
    are held out here, too.
    """

    near: bool = False
    published: bool = True


def split_set(
    data: Path,
    folder: Path,
    *,
    parts: Sequence[tuple[str, float]],
    keys: Keys,
    rules: SplitRules | None = None,
    seed: int = 1,
    runner: Runner | None = None,
    progress: OnProgress = lambda _: None,
) -> CurateResult:
    """Write `folder`/train.jsonl and one file per held-out part; a part is a share (below 1) or a number of rows.

    UsageError: sizes that leave no training rows. ProblemsFound: a part came out empty, since its groups are too large.
    """
    rules = rules or SplitRules()
    options = {
        "parts": list(parts),
        "group": keys.group,
        "stratify": keys.strata,
        "near": rules.near,
        "seed": seed,
        "published": rules.published,
    }
    held_out = [name for name, _ in parts]

    def decide(index: Index, folder_of_work: staging.StagingFolder) -> Decided:
        _check_keys(index, keys, data)
        sizes = [max(1, round(size * len(index.rows))) if size < 1 else int(size) for _, size in parts]
        if sum(sizes) >= len(index.rows):
            said = f"{' + '.join(map(str, sizes))} rows to hold out of {len(index.rows)}"
            raise UsageError(said, where=str(data), hint="leave rows to train on")
        groups = splitting.components(
            index,
            alike=alike(index, folder_of_work, runner or Runner()) if rules.near else (),
        )
        fixed = splitting.held_by_publisher(index, held_out) if rules.published else np.zeros(len(index.rows), np.int64)
        part_of = splitting.deal(index, groups, sizes, seed=seed, fixed=fixed)
        empty = [at for at, size in enumerate(sizes) if size and not (part_of == at + 1).any()]
        if empty:
            said, hint = splitting.why_nothing_fits(
                index,
                groups,
                held_out[empty[0]],
                sizes[empty[0]],
                keys.group,
            )
            raise ProblemsFound(said, where=str(data), hint=hint)
        if part_of.all():
            said = "every row belongs to a published split that is held out, or shares an image or a document with one"
            raise ProblemsFound(
                said, where=str(data), hint="add its training rows; --ignore-published treats all rows alike"
            )
        names = ["train", *held_out]
        more = {
            "groups": len(np.unique(groups)),
            "strata": splitting.strata_table(index, part_of, len(names)),
            "parts": names,
        }
        if few := splitting.few_groups(groups, part_of, held_out):
            more["few_groups"] = few
        if fixed.any():
            more["published"] = _published(index, fixed, part_of)
        return Decided(
            {f"{name}.jsonl": np.flatnonzero(part_of == at) for at, name in enumerate(names)},
            more=more,
        )

    place = _OutputPaths(folder, "split")
    targets = [f"{name}.jsonl" for name in ("train", *held_out)]
    task = _CurateTask(
        "split",
        [data],
        place,
        targets,
        options,
        keys,
        decide,
    )
    return _verb(task, runner, progress)


def _published(index: Index, fixed: Ints, part_of: Ints) -> dict[str, int]:
    """How many rows published splits hold out, and how many others went with them since they share an image or a
    document.
    """
    counts = np.bincount(index.rows["held"], minlength=3)
    groups = splitting.components(index)
    along = int((np.isin(groups, groups[fixed > 0]) & (fixed == 0)).sum())
    return {
        "val": int(counts[1]),
        "test": int(counts[2]),
        "along": along,
    }


def dedupe_set(
    data: Path,
    out: Path,
    *,
    keep_first: bool = False,
    near: bool = False,
    runner: Runner | None = None,
    progress: OnProgress = lambda _: None,
) -> CurateResult:
    """Write `out` without rows that repeat or contradict others; `near`: nor rows whose image looks the same, with the
    same texts.
    """
    options = {"keep_first": keep_first, "near": near, "out": out.name}

    def decide(index: Index, folder_of_work: staging.StagingFolder) -> Decided:
        verdict, other = duplicates.verdicts(index, keep_first=keep_first)
        if near:
            for left, right in alike(index, folder_of_work, runner or Runner()):
                if verdict[left] == verdict[right] == duplicates.KEEP:
                    verdict[right], other[right] = duplicates.NEAR, left
        return Decided(
            {out.name: np.flatnonzero(verdict == duplicates.KEEP)},
            verdict,
            other,
        )

    task = _CurateTask(
        "dedupe",
        [data],
        _OutputPaths(out.parent, out.stem),
        [out.name],
        options,
        Keys(),
        decide,
    )
    return _verb(task, runner, progress)


def mix_sets(
    sources: Sequence[mixing.MixInput],
    files: Sequence[Path],
    out: Path,
    *,
    rows: int | None = None,
    balance: str = "weights",
    seed: int = 1,
    runner: Runner | None = None,
    progress: OnProgress = lambda _: None,
) -> CurateResult:
    """Write `out`, drawn from `files` by their weights; `rows` of it, or as many as went in."""
    keys = Keys(strata=("task",))
    options = {
        "sources": [[source.name, source.weight, source.replay] for source in sources],
        "rows": rows,
        "balance": balance,
        "seed": seed,
        "out": out.name,
    }

    def decide(index: Index, _: staging.StagingFolder) -> Decided:
        sizes = [int((index.rows["file"] == number).sum()) for number in range(len(files))]
        parts = mixing.shares(sources, sizes, balance=balance)
        wanted = mixing.quotas(
            parts, rows or sum(size for size, source in zip(sizes, sources, strict=True) if not source.replay)
        )
        order = mixing.draw(
            index,
            wanted,
            [source.replay for source in sources],
            seed=seed,
        )
        used = [len(np.unique(order[index.rows["file"][order] == number])) for number in range(len(files))]
        table = [
            {
                "source": source.name,
                "in": size,
                "share": round(part, 6),
                "out": count,
                "distinct": distinct,
                "left_out": size - distinct,
            }
            for source, size, part, count, distinct in zip(sources, sizes, parts, wanted, used, strict=True)
        ]
        distinct = sum(used)
        return Decided(
            {out.name: order},
            more={"sources": table},
            counts={"distinct": distinct, "repeated": len(order) - distinct, "left_out": len(index.rows) - distinct},
        )

    task = _CurateTask(
        "mix",
        list(files),
        _OutputPaths(out.parent, out.stem),
        [out.name],
        options,
        keys,
        decide,
    )
    return _verb(task, runner, progress)


Decide = Callable[[Index, staging.StagingFolder], Decided]


@dataclass(frozen=True)
class _CurateTask:
    """What a verb does: its name, its input files, where and what it writes, and the options that decide the result."""

    name: str
    files: list[Path]
    place: _OutputPaths
    targets: list[str]
    options: dict[str, Any]
    keys: Keys
    decide: Decide


def _verb(task: _CurateTask, runner: Runner | None, progress: OnProgress) -> CurateResult:
    place, targets = task.place, task.targets
    inputs = [manifest.describe(path, place.folder) for path in task.files]
    for path, result in zip(task.files, inputs, strict=True):
        if result.get("kind") != "file":
            raise UsageError("no such file", where=str(path), hint="give a JSONL file")
        if path.resolve() in {
            (place.folder / target).resolve() for target in (*targets, place.rejects, place.manifest.name)
        }:
            raise UsageError("the output would overwrite its source", where=str(path), hint="give another -o")
    mark = manifest.fingerprint(task.name, inputs, task.options)
    done = manifest.finished(place.manifest, mark)
    if done is not None and snapshot.changed_files(place.images, place.folder) == []:
        _sweep(place, mark)
        return CurateResult(done, fresh=False, strata=done.get("strata", []))
    for target in targets:
        manifest.refuse_foreign(place.folder / target, place.manifest)
    _refuse_stale(place, targets)
    with staging.StagingFolder(place.folder / place.stem, mark) as folder:
        try:
            result = _carry_out(task, folder, (mark, inputs), runner or Runner(), progress)
        except (ProblemsFound, UsageError):  # nothing that another run of the same command could go on with
            folder.clear()
            raise
    return CurateResult(result, fresh=True, strata=result.get("strata", []))


def _sweep(place: _OutputPaths, mark: str) -> None:
    """Remove the work folder of a run that was killed between its manifest and its end."""
    if staging.folder_of(place.folder / place.stem).is_dir():
        with staging.StagingFolder(place.folder / place.stem, mark) as folder:
            folder.clear()


def _refuse_stale(place: _OutputPaths, targets: Sequence[str]) -> None:
    """UsageError where a part of an earlier cut would stay beside the new ones: its rows may be among those to train
    on.
    """
    stale: list[str] = []
    with suppress(SftError, OSError, KeyError, TypeError):
        stale = [
            name
            for name in read_json(place.manifest)["outputs"]
            if name not in (*targets, place.rejects) and (place.folder / name).is_file()
        ]
    if stale:
        message = f"this part of an earlier cut may share rows with the new {targets[0]}"
        raise UsageError(
            message,
            where=str(place.folder / stale[0]),
            hint="remove it, or give another -o",
        )


def _carry_out(
    task: _CurateTask,
    folder: staging.StagingFolder,
    described: tuple[str, list[dict[str, Any]]],
    runner: Runner,
    progress: OnProgress,
) -> dict[str, Any]:
    """Index, decide, write, and put everything in place, the manifest last; returns the manifest. described: the
    fingerprint and the inputs as the manifest has them.
    """
    place = task.place
    index = build(task.files, folder, task.keys, runner, progress=progress)
    if not len(index.rows):
        raise ProblemsFound(
            "no usable row",
            where=", ".join(map(str, task.files)),
            hint=f"`sft validate {task.files[0]}` says what is wrong",
        )
    decided = task.decide(index, folder)
    written = _write(index, folder, place, decided)
    counts = _counts(index, decided, written)
    stated = {target: manifest.output(folder.path(target)) for target in (*decided.outputs, place.rejects)}
    place.manifest.unlink(missing_ok=True)  # until all outputs are in place, no manifest speaks for them
    for target in stated:
        folder.move(target, place.folder / target)
    atomic.join(folder.path("joined.images"), index.looked_at)
    folder.move("joined.images", place.images)
    mark, inputs = described
    text = json.dumps(
        manifest.make(task.name, mark, inputs, task.options, counts, stated, **decided.more),
        ensure_ascii=False,
        indent=2,
    )
    atomic.write(
        folder.path(place.manifest.name),
        text.encode() + b"\n",
    )
    folder.move(place.manifest.name, place.manifest)
    folder.clear()
    account: dict[str, Any] = json.loads(text)
    return account


def _write(index: Index, folder: staging.StagingFolder, place: _OutputPaths, decided: Decided) -> dict[str, int]:
    written = {}
    for target, rows in decided.outputs.items():
        with atomic.piece(folder.path(target)) as stream:
            written[target] = copy_rows(index, rows, place.folder, stream)
    gone = np.flatnonzero(decided.verdict)
    with atomic.piece(folder.path(place.rejects)) as stream:
        for part in index.rejects:
            stream.write(part.read_bytes())
        for row, line in zip(gone.tolist(), read_lines(Places.of(index, gone)), strict=True):
            code, message = duplicates.REASON[int(decided.verdict[row])]
            message = message.format(_where(index, int(decided.other[row])))
            stream.write(reject_line(_where(index, row), code, message, line.decode("utf-8", "replace")))
    return written


def _counts(index: Index, decided: Decided, written: dict[str, int]) -> dict[str, Any]:
    reasons = dict(index.rejected)
    for verdict, (code, _) in duplicates.REASON.items():
        if count := int((decided.verdict == verdict).sum()):
            reasons[code] = reasons.get(code, 0) + count
    rows = len(index.rows) + sum(index.rejected.values())
    out = sum(written.values())
    lost = sum(reasons.values())
    # a mixture leaves rows out and repeats others: in = distinct + left_out + rejected, out = distinct + repeated
    if rows != out - decided.counts.get("repeated", 0) + decided.counts.get("left_out", 0) + lost:
        raise EngineError(
            f"{rows} rows in, {out} out + {lost} rejected {decided.counts or ''}",
            hint="this is a fault of the workbench; nothing was written",
        )
    return {
        "in": rows,
        "out": out,
        "rejected": lost,
        **decided.counts,
        "reasons": dict(sorted(reasons.items())),
        "files": written,
    }


def _where(index: Index, row: int | np.int64) -> str:
    return f"{index.files[int(index.rows['file'][row])].name}:{int(index.rows['line'][row])}"
