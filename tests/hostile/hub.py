"""Broken rows of the hub's JSONL, and what every other verb makes of them: the same promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from waiting import cpu_limit

from hostile import damage, harness
from hostile.kit import Case, Kit
from hostile.kits import KITS
from sft.datasets import curate
from sft.datasets.index import Keys
from sft.datasets.mix import MixInput
from sft.datasets.stats import gather
from sft.errors import SftError
from sft.models import versions
from sft.reasons import REASONS
from sft.runtime.runner import Runner
from sft.validate.context import Context
from sft.validate.file import validate

HUB: Kit = KITS[0]
ONE = Runner(workers=1)
VERSION = versions.get(versions.DEFAULT_MODEL)


def cases() -> Iterator[Case]:
    assert HUB.name == "erniekit"
    yield from damage.text_cases(HUB)
    yield from damage.json_cases(HUB)
    yield from damage.row_cases(HUB)


def run_validate(path: Path, out: Path, kept: set[str], *, deep: bool) -> None:
    report = validate(path, Context(path.parent, VERSION, decode=deep))
    assert {problem.code for problem in report.problems} <= REASONS.keys()
    assert 0 <= report.good <= report.rows and report.good >= len(kept), (
        f"{report.good} good of {report.rows}, expected {len(kept)}: {report.problems[:5]}"
    )
    assert all(problem.message and problem.line >= 0 for problem in report.problems)


def account(outcome: curate.CurateResult, folder: Path, kept: set[str]) -> None:
    """in = out + rejected, known codes, and the good rows are there."""
    counts = outcome.manifest["counts"]
    assert counts["in"] == counts["out"] + counts["rejected"] and counts["reasons"].keys() <= REASONS.keys(), counts
    written: list[dict[str, Any]] = []
    for name in counts["files"]:
        written += harness.read_lines(folder / name)
    assert len(written) == counts["out"]
    lost = kept - found_in(written)
    assert not lost, f"{sorted(lost)} were lost: {counts}"
    rejects = [one for path in folder.glob("*.rejects.jsonl") for one in harness.read_lines(path)]
    assert len(rejects) == counts["rejected"] and {one["code"] for one in rejects} <= REASONS.keys()


def found_in(rows: list[dict[str, Any]]) -> set[str]:
    text = json.dumps(rows, ensure_ascii=False)
    return {mark for mark in harness.MARKED if f'"{mark}"' in text}


def run_split(path: Path, out: Path, kept: set[str]) -> None:
    account(
        curate.split_set(path, out, parts=[("test", 1)], keys=Keys(strata=("task", "script")), runner=ONE), out, kept
    )


def run_dedupe(path: Path, out: Path, kept: set[str], *, near: bool) -> None:
    account(curate.dedupe_set(path, out / "clean.jsonl", near=near, runner=ONE), out, kept)


def run_mix(path: Path, out: Path, kept: set[str]) -> None:
    outcome = curate.mix_sets([MixInput("all")], [path], out / "mixed.jsonl", runner=ONE)
    assert kept <= found_in(harness.read_lines(out / "mixed.jsonl")), outcome.manifest["counts"]


def run_stats(path: Path, out: Path, kept: set[str]) -> None:
    from sft.report.dataset_pages import write_stats

    found = gather(path, VERSION, pick=20)
    assert found.rows >= len(kept)
    json.dumps(found.as_dict())
    write_stats(out / "stats.html", found)


VERBS: dict[str, Callable[[Path, Path, set[str]], None]] = {
    "validate": partial(run_validate, deep=False),
    "validate --deep": partial(run_validate, deep=True),
    "split": run_split,
    "dedupe": partial(run_dedupe, near=False),
    "dedupe --near": partial(run_dedupe, near=True),
    "mix": run_mix,
    "stats": run_stats,
}


def check(case: Case, verb: str, folder: Path) -> None:
    source, kept = case.build(case.kit, folder)
    out = folder / "out"
    out.mkdir()
    good = set(kept) - (
        {"alpha"} if "byte order mark" in case.name else set()
    )  # the trainer dies of the mark: `sft validate --fix`
    with cpu_limit(harness.SECONDS):
        try:
            VERBS[verb](source, out, good)
        except SftError as error:
            few = (
                "to hold out of" in error.message or "no group fits" in error.message
            )  # a file of one good row, or of one image, cannot be split
            assert error.message and (not good or few), f"{verb}: {error}, but {sorted(good)} are good"
    left = [path.name for path in out.iterdir() if path.name.endswith((".tmp", ".work"))]
    assert not left, left
