"""`sft convert`: any source format → OUT.jsonl, with every row of the source accounted for.

    train.jsonl            the samples, in the order of the source
    train.rejects.jsonl    {"where": "labels.txt:7", "code": "image.missing", "message": …, "raw": …}; absent where
                           are none
    train.warnings.jsonl   {"where": …, "code": "table.ragged", "message": …} of rows that were fixed; absent where
                           there are none
    train.manifest.json    inputs, options, counts, hashes (`sft.files.manifest`); written last
    train_images/          images that could not stay where they were (`sft.convert.image_store`)
    .train.jsonl.images    the images that were looked at (`sft.files.snapshot`): the same command notices when one has
                           changed
    .train.jsonl.work/     finished pieces of an unfinished run (`sft.files.staging`); removed at the end

The units of the source are listed in order, converted by `sft.runtime.parallel` on any number of cores or machines, and
joined in
order: the result is the same byte for byte, with however many workers, and whether or not the command was killed on its
way and given again.
"""

from __future__ import annotations

import os
import pickle
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sft import formats
from sft.convert import warnings, wording
from sft.convert.request import as_options, checked, manifest_path
from sft.convert.tally import Tally, read_tally
from sft.convert.worker import ConvertRequest, NumberedUnit, convert_unit, forget
from sft.errors import EngineError, ProblemsFound, UsageError
from sft.files import Unit, atomic, manifest, rejects_path, snapshot, staging, write_json
from sft.formats import Format
from sft.runtime import Runner, parallel
from sft.ui import counted


def files_of(unit: Unit) -> Iterable[Path]:
    """The label files of a unit."""
    if isinstance(unit.payload, tuple) and unit.payload and all(isinstance(path, Path) for path in unit.payload):
        return unit.payload
    return (unit.path,)


def not_read(read: Collection[Path], aside: Collection[Path]) -> list[str]:
    """Names of files of the same kind (by their last suffix) in the folders of those that were read, except `aside`."""
    kinds = {(path.parent, path.suffix.lower()) for path in read if path.suffix}
    known = {*read, *aside}
    messages = []
    for folder, suffix in kinds:
        with os.scandir(folder) as entries:
            messages += [
                entry.name
                for entry in entries
                if entry.name.lower().endswith(suffix)
                and not entry.name.startswith(".")
                and folder / entry.name not in known
                and os.path.isfile(entry.path)
            ]
    return sorted(messages)


NOT_OURS = "README", "LICENSE"  # beginnings of names that hold no labels
OnUnitDone = Callable[[int, int], None]  # units done, units in all


class NothingUsable(ProblemsFound):
    """Not one row came out. `account`: what the manifest would have said."""

    def __init__(self, message: str, account: dict[str, Any], *, hint: str, where: str) -> None:
        super().__init__(message, hint=hint, where=where)
        self.account = account


@dataclass(frozen=True)
class Result:
    """What became of a source.

    `manifest`: as written. `reused`: it was there already, complete, and nothing was done.
    """

    manifest: dict[str, Any]
    reused: bool = False
    resumed: bool = False  # pieces of an earlier, killed run were used
    later: int = 0  # rejected rows whose image may be there another time; the same command tries them again
    custom_prompts: int = 0
    outputs: tuple[Path, ...] = field(default=())


def convert(
    order: ConvertRequest,
    runner: Runner,
    *,
    fresh: bool = False,
    progress: OnUnitDone | None = None,
    source_format: Format | None = None,
) -> Result:
    """Carry out an order; `fresh` forgets what earlier runs left, `source_format` is one that is not in the table.

    Raises UsageError for what makes no sense, or would overwrite a file that no manifest speaks for, NothingUsable
    where not one row came out (the rejects are written, OUT is left as it was), EngineError for a full disk or a killed
    worker; the same call goes on from there.
    """
    known = source_format or formats.get(order.format)
    order = checked(order, known)
    out = order.out
    inputs = [
        manifest.describe(path, out.parent, skip=_ours(out))
        for path in (order.source, order.options.images)
        if path is not None
    ]
    options = as_options(order)
    mark = manifest.fingerprint("convert", inputs, options)
    if not fresh:
        manifest.refuse_foreign(out, manifest_path(out), hint="give another -o, or --fresh to overwrite it")
    with staging.StagingFolder(out, mark, fresh=fresh) as place:
        if not fresh and not place.resumed and (account := _finished(out, mark)):
            return Result(account, reused=True, outputs=_outputs(out, account))
        _forget_failures(place)
        read: dict[Path, None] = {}
        units = _list_units(known, order, read)
        inputs = _with_neighbours(inputs, order, read)

        def pieces(missing: list[int]) -> Iterator[NumberedUnit]:
            return (
                NumberedUnit(order, place.folder, index, _unpacked(units[index]), source_format) for index in missing
            )

        tally = _run(
            len(units),
            pieces,
            place,
            runner,
            progress or (lambda done, total: None),
        )
        return _assemble(
            place,
            len(units),
            tally,
            order,
            (mark, inputs, options),
        )


def _ours(out: Path) -> tuple[Path, ...]:
    """What converting into the source's own folder adds to it."""
    return (
        out,
        rejects_path(out),
        warnings.warnings_path(out),
        manifest_path(out),
        staging.folder_of(out),
        out.with_name(f"{out.stem}_images"),
        snapshot.list_path(out),
    )


def _finished(out: Path, mark: str) -> dict[str, Any] | None:
    """The manifest of a conversion with nothing left to do: same inputs, outputs as they were written, no image that
    changed.
    """
    account = manifest.finished(manifest_path(out), mark)
    changed = snapshot.changed_files(snapshot.list_path(out), out.parent) if account else None
    if changed:
        snapshot.forget_changed(
            out,
            changed,
            out.with_name(f"{out.stem}_images"),
        )
    return account if changed == [] else None


def _with_neighbours(
    inputs: list[dict[str, Any]], order: ConvertRequest, read: Mapping[Path, None]
) -> list[dict[str, Any]]:
    """The inputs as the manifest shows them; of a folder also its label files that were not read."""
    if not order.source.is_dir() or order.options.split:
        return inputs
    names = [name for name in not_read(read, _ours(order.out)) if not name.startswith(NOT_OURS)]
    return (
        [
            {**inputs[0], "not_read": names},
            *inputs[1:],
        ]
        if names
        else inputs
    )


def _list_units(source_format: Format, order: ConvertRequest, read: dict[Path, None]) -> list[bytes]:
    """The units, packed: a million files are 16,000 units of 64 paths each, and paths pack well.

    `read` gets their files.
    """
    ours = _ours(order.out)

    def foreign(path: Path) -> bool:
        return not any(path == own or own in path.parents for own in ours)

    def cleaned() -> Iterator[Unit]:
        inside = order.source in order.out.parents
        for unit in source_format.units(order.source, order.options):
            if inside and not foreign(unit.path):
                continue
            if inside and isinstance(unit.payload, tuple) and all(isinstance(path, Path) for path in unit.payload):
                unit = replace(
                    unit,
                    payload=tuple(path for path in unit.payload if foreign(path)),
                )
                if not unit.payload:
                    continue
            read.update(dict.fromkeys(files_of(unit)))
            yield unit

    return [zlib.compress(pickle.dumps(unit), 1) for unit in cleaned()]


def _unpacked(packed: bytes) -> Unit:
    unit: Unit = pickle.loads(zlib.decompress(packed))  # noqa: S301  (packed by this very process)
    return unit


def _forget_failures(place: staging.StagingFolder) -> None:
    """Images that could not be had in an earlier run are asked for again."""
    forget()
    for failure in place.path("fetched").glob("*.failed"):
        failure.unlink(missing_ok=True)


def _run(
    count: int,
    pieces: Callable[[list[int]], Iterator[NumberedUnit]],
    place: staging.StagingFolder,
    runner: Runner,
    progress: OnUnitDone,
) -> Tally:
    """Convert what is not converted yet; returns the sum of all tallies."""
    total = Tally()
    missing = []
    for index in range(count):
        counted = read_tally(
            place.folder / f"{index:08}",
            place.out.parent,
        )
        if counted is None:
            missing.append(index)
        else:
            total.add(counted)
    kept = count - len(missing)
    progress(kept, count)
    for done, tally in enumerate(
        parallel.run(convert_unit, pieces(missing), runner),
        kept + 1,
    ):
        total.add(tally)
        progress(done, count)
    return total


def _assemble(
    place: staging.StagingFolder,
    count: int,
    tally: Tally,
    order: ConvertRequest,
    described: tuple[str, list[dict[str, Any]], dict[str, Any]],
) -> Result:
    """Join the pieces, check that nothing vanished, and put the files in place, the manifest last."""
    out = order.out
    rejects = rejects_path(order.out)
    stems = [place.folder / f"{index:08}" for index in range(count)]
    rejected = sum(tally.reasons.values())
    written = {}
    for name, ending, expected in (
        ("joined.rows", ".rows", tally.out),
        ("joined.rejects", ".rejects", rejected),
        ("joined.warnings", ".warnings", tally.said),
    ):
        written[name] = atomic.join(
            place.path(name), (path for stem in stems if (path := stem.with_suffix(ending)).exists())
        )
        if written[name] != expected or tally.seen != tally.out + rejected:
            numbers = (
                f"{tally.seen} in, {tally.out} out and {rejected} rejected, but {written[name]} lines of {ending[1:]}"
            )
            raise EngineError(
                f"rows were lost: {numbers}",
                where=str(place.folder),
                hint="remove this folder and run the same command again",
            )
    places = {"joined.rejects": rejects, "joined.warnings": warnings.warnings_path(out)}
    beside_it = [path for name, path in places.items() if place.move_lines(name, path, written[name])]
    mark, inputs, options = described
    by_name = {"reasons": tally.reasons, "images": tally.images, "warnings": tally.warned}
    counts = {
        "in": tally.seen,
        "out": tally.out,
        "rejected": rejected,
        **{name: dict(sorted(numbers.items())) for name, numbers in by_name.items()},
    }
    if order.options.as_served:
        counts["merged"] = {"blocks": 0, "rows": 0, **tally.merged}
    more = {
        "warnings": [*wording.warnings(inputs, tally), *warnings.sentences(out, tally)],
        "notes": wording.notes(tally),
        "custom_prompts": tally.prompts,
    }
    if not tally.out:
        account = manifest.make(
            "convert", mark, inputs, options, counts, {path.name: manifest.output(path) for path in beside_it}, **more
        )
        _give_up(place, tally, order, account)
    outputs = {
        out.name: manifest.output(place.path("joined.rows")),
        **{path.name: manifest.output(path) for path in beside_it},
    }
    place.move("joined.rows", out)
    atomic.join(
        place.path("joined.images"),
        (path for stem in stems if (path := stem.with_suffix(".images")).exists()),
    )
    place.move("joined.images", snapshot.list_path(out))
    account = manifest.make(
        "convert",
        mark,
        inputs,
        options,
        counts,
        outputs,
        **more,
    )
    write_json(place.path("manifest"), account)
    place.move("manifest", manifest_path(out))
    _leave(place, stems, tally)
    return Result(
        account, resumed=place.resumed, later=tally.later, custom_prompts=tally.prompts, outputs=_outputs(out, account)
    )


def _leave(place: staging.StagingFolder, stems: list[Path], tally: Tally) -> None:
    """Nothing is left, unless images may come another time: then the finished pieces without such rows wait
    for that.
    """
    if not tally.later:
        place.clear()
        return
    for stem in stems:
        counted = read_tally(stem)
        if counted is not None and counted.later:
            stem.with_suffix(".done").unlink()


def _give_up(place: staging.StagingFolder, tally: Tally, order: ConvertRequest, account: dict[str, Any]) -> None:
    reasons = ", ".join(f"{code} {count}" for code, count in sorted(tally.reasons.items(), key=lambda pair: -pair[1]))
    place.clear()
    if not tally.seen and order.options.split:
        known = formats.get(order.format).splits
        raise UsageError(
            f"no rows of a split called {order.options.split!r}", where=str(order.source), hint=f"--split takes {known}"
        )
    if not tally.seen:
        raise NothingUsable(
            f"nothing in it that {order.format} could read",
            account,
            where=str(order.source),
            hint=f"`sft convert --list {order.format}` shows what it looks like",
        )
    advice = wording.advice(
        rejects_path(order.out),
        order,
        missing="image.missing" in tally.reasons,
    )
    said = wording.first_rejects(rejects_path(order.out))
    hint = (
        f"{advice}{'; ' if advice else ''}{rejects_path(order.out)} names every reason; {order.out.name} is not written"
    )
    raise NothingUsable(
        f"none of {counted(tally.seen, 'row')} can be used ({reasons}):{said}",
        account,
        where=str(order.source),
        hint=hint,
    )


def _outputs(out: Path, account: dict[str, Any]) -> tuple[Path, ...]:
    return tuple(out.parent / name for name in account["outputs"])
