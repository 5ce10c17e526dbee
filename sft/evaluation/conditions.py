"""What decided the scores of runs, as their results.json tells it: side by side for a report, and in words where two
runs differ.

A difference that is no training (another server, other pixel limits, other images under the same names) looks like one
in the scores; so does none at all: that both runs were answered by the same model is the commonest mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft.errors import SftError
from sft.evaluation.scores import EXTRAS
from sft.files import read_table, sha256

FILE = "results.json"
MAX_BYTES = 64 << 20
SHOWN = 12  # characters of a hash
LONGEST = 300  # characters of one value in a table
NAMED = 4  # differences of one kind that are written out
TOLD = ("sampling", "pixels", "template", "normalisation", "server", "workbench", "seeds")
DIFFER = {
    "pixels": "pixel limits differ",
    "seeds": "seeds differ",
    "version of the scores": "versions of the scores differ",
    "template": "chat template differs",
}
OWN = ("asked at", "made")  # every run has its own
RANDOM_WEIGHTS = "random_weights"  # of the conditions in results.json, where the model is that of a rehearsal
REHEARSAL_NOTE = (
    "Rehearsal: random weights. A tiny model gave these answers; the scores say nothing about the real PaddleOCR-VL."
)
Conditions = Mapping[str, Any]


@dataclass(frozen=True)
class Condition:
    """One line of the table: a value per run, "–" where nobody tells it."""

    name: str
    values: tuple[str, ...]
    differs: bool


def rehearsal_notes(runs: Sequence[Conditions]) -> list[str]:
    """What a page has to say first where any of its runs is of a rehearsal; [] elsewhere."""
    asked = (run.get("conditions") for run in runs)
    random = any(isinstance(one, dict) and one.get(RANDOM_WEIGHTS) for one in asked)
    return [REHEARSAL_NOTE] if random else []


def beside(path: Path) -> dict[str, Any]:
    """The results.json in the folder of a file, such as its predictions; empty where there is none, or it is
    no table.
    """
    try:
        return read_table(path.with_name(FILE), max_bytes=MAX_BYTES)
    except SftError:
        return {}


def extras_of(runs: Sequence[Conditions]) -> set[str]:
    """The scores that were asked for by name when these runs were evaluated."""
    return {
        name
        for run in runs
        for part in _table(run, "tasks").values()
        if isinstance(part, dict)
        for name in _table(part, "scores")
        if name in EXTRAS
    }


def of_folder(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """What an evaluation left in `folder`, or `sft run` in those of its runs there; empty where it tells of
    no model.
    """
    paths = [folder / FILE] if len(names) == 1 else [folder / "scores" / Path(name).name / FILE for name in names]
    return [results if _table(results, "endpoint") else {} for results in map(beside, paths)]


def data_of(runs: Sequence[Conditions]) -> tuple[Path | None, str]:
    """The data file that all runs were asked about, if it is still what it was then; else None, and what is the matter
    with it ("": nobody names one).
    """
    why = ""
    for run in runs:
        data = _table(run, "data")
        path = Path(str(data.get("path") or "\0"))
        try:
            there = "\0" not in str(path) and path.is_file()
            if there and sha256(path) == data.get("sha256"):
                return path, ""
        except (SftError, OSError):
            there = False
        if there and data.get("sha256"):
            why = f"{path} has changed since the runs were asked about it; sources and documents are not known"
    return None, why


def differences(names: Sequence[str], runs: Sequence[Conditions], answers: Sequence[str] = ()) -> list[str]:
    """What else than training may make the first run and the others differ; answers: the hash of each run's
    predictions.
    """
    sentences = _same(names, runs, answers)
    first, *others = [(name, run) for name, run in zip(names, runs, strict=True) if run] or [("", {})]
    for name, run in others:
        sentences += _data(first, (name, run))
        groups: dict[str, list[str]] = {}
        here = dict(_leaves(first[1]))
        there = dict(_leaves(run))
        for (kind, leaf), value in here.items():
            if (other := there.get((kind, leaf), value)) != value:
                groups.setdefault(kind, []).append(
                    f"{f'{leaf} ' if leaf else ''}{_text(value)} in {first[0]}, {_text(other)} in {name}"
                )
        for kind, texts in groups.items():
            more = f"; and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
            sentences.append(f"{DIFFER.get(kind, f'{kind} differs')}: {'; '.join(texts[:NAMED])}{more}")
    return sentences


def table(runs: Sequence[Conditions]) -> tuple[Condition, ...]:
    """One line per condition that at least one run tells of."""
    columns = [dict(_lines(run)) for run in runs]
    rows = []
    for name in dict.fromkeys(name for column in columns for name in column):
        values = tuple((column.get(name) or "–")[:LONGEST] for column in columns)
        rows.append(
            Condition(
                name,
                values,
                name not in OWN and len(set(values)) > 1,
            )
        )
    versions = [
        {name: str(item.get("version")) for name, item in _table(run, "metrics").items() if isinstance(item, dict)}
        for run in runs
    ]
    for name in dict.fromkeys(name for run in versions for name in run):
        values = tuple(run.get(name, "–") for run in versions)
        if len(set(values)) > 1:
            rows.append(Condition(f"version of {name}", values, True))
    return tuple(item for item in rows if any(value != "–" for value in item.values))


def _table(run: Conditions, key: str) -> dict[str, Any]:
    value = run.get(key)
    return value if isinstance(value, dict) else {}


def _same(names: Sequence[str], runs: Sequence[Conditions], answers: Sequence[str]) -> list[str]:
    """Runs of one model, and runs that are one file."""
    models: dict[tuple[str, str], list[int]] = {}
    for place, run in enumerate(runs):
        asked = _table(run, "endpoint")
        if asked.get("fingerprint"):
            models.setdefault(
                (str(asked.get("known_by")), str(asked["fingerprint"])),
                [],
            ).append(place)
    sentences = []
    said = set()
    for (known_by, mark), places in models.items():
        if len(places) > 1:
            said |= set(places)
            who = _and([names[place] for place in places])
            model = _table(runs[places[0]], "endpoint").get("model")
            if known_by == "directory":
                sentences.append(
                    f"the same model answered in {who} ({_text(model)}, fingerprint {mark[:SHOWN]}): was the other one"
                    " not served?"
                )
            elif known_by == "file":
                sentences.append(f"{who} are scores of the same file of predictions ({_text(model)})")
            else:
                sentences.append(
                    f"the same served name in {who} ({_text(model)}): perhaps the same model; its files are not on this"
                    " machine, so nobody can tell"
                )
    files: dict[str, list[int]] = {}
    for place, digest in enumerate(answers):
        files.setdefault(digest, []).append(place)
    sentences += [
        f"{_and([names[place] for place in places])} have the same answers, to the byte"
        for places in files.values()
        if len(places) > 1 and not said.issuperset(places)
    ]
    return sentences


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _data(first: tuple[str, Conditions], other: tuple[str, Conditions]) -> list[str]:
    """Other images under the same names, or another file."""
    here = _table(first[1], "data")
    there = _table(other[1], "data")
    if here.get("content") and there.get("content"):
        if here["content"] == there["content"]:
            return []
        if _table(first[1], "counts").get("in") == _table(other[1], "counts").get("in"):
            why = f"were asked about other pictures under the same names (data.content in their {FILE})"
            return [f"the images differ: {first[0]} and {other[0]} {why}"]
    if here.get("sha256") and there.get("sha256") and here["sha256"] != there["sha256"]:
        mine = f"{_text(here.get('path'))} ({_text(here['sha256'])}) in {first[0]}"
        theirs = f"{_text(there.get('path'))} ({_text(there['sha256'])}) in {other[0]}"
        return [f"data differs: {mine}, {theirs}"]
    return []


def _leaves(run: Conditions) -> Iterator[tuple[tuple[str, str], Any]]:
    """(kind, name) → value of everything that decides scores; who told it decides nothing."""
    for key in TOLD:
        value = run.get(key)
        if isinstance(value, dict):
            yield from (((key, str(name)), item) for name, item in value.items() if name != "origin" and item != "")
        elif value not in (None, ""):
            yield (key, ""), value
    for name, item in _table(run, "metrics").items():
        if isinstance(item, dict) and "version" in item:
            yield ("version of the scores", str(name)), item["version"]
    for name, part in _table(run, "sets").items():
        if isinstance(part, dict):
            for key in ("sampling", "rule"):
                yield from (
                    ((f"set {name}", str(field)), item)
                    for field, item in _table(part, key).items()
                    if not isinstance(item, dict)
                )
            if part.get("sha256"):
                yield (f"set {name}", "data"), part["sha256"]


def _lines(run: Conditions) -> Iterator[tuple[str, str]]:
    """What a person reads first comes first."""
    asked, pixels, template, data, git = (_table(run, key) for key in ("endpoint", "pixels", "template", "data", "git"))
    yield "model", _text(asked.get("model"))
    if asked.get("fingerprint"):
        known = {"directory": "of its files", "name": "of what the server tells", "file": "of the predictions"}.get(
            str(asked.get("known_by")), ""
        )
        yield "fingerprint", f"{asked['fingerprint']}"[:16] + (f" ({known})" if known else "")
    yield "server", _text(run.get("server"))
    yield "asked at", _text(asked.get("url"))
    yield "sampling", _pairs(_table(run, "sampling"))
    if pixels.get("max") or pixels.get("min"):
        yield "pixel limits", f"{_count(pixels.get('min'))} to {_count(pixels.get('max'))} ({pixels.get('origin')})"
    elif pixels:
        yield "pixel limits", "the server's own, not known"
    if template.get("sha256"):
        yield "chat template", f"{str(template['sha256'])[:SHOWN]} ({template.get('origin')})"
    yield "data", _text(data.get("path"))
    yield "hash of the data", _text(data.get("sha256"))
    yield "hash of texts and images", _text(data.get("content"))
    for name, part in _table(run, "sets").items():
        if isinstance(part, dict):
            rule = {key: value for key, value in _table(part, "rule").items() if not isinstance(value, (dict, list))}
            yield f"set {name}", _pairs({"file": part.get("sha256")} | rule | _table(part, "sampling"))
    yield "normalisation", _text(run.get("normalisation"))
    own = _table(run, "workbench_git").get("commit")
    yield "workbench", _text(run.get("workbench")) + (f", commit {str(own)[:SHOWN]}" if own else "")
    if git.get("commit"):
        yield "commit", str(git["commit"])[:SHOWN] + (" and changes" if git.get("dirty") else "")
    yield "seeds", _pairs(_table(run, "seeds"))
    yield "made", _text(run.get("created"))


def _pairs(values: Conditions) -> str:
    return ", ".join(f"{key} {_text(value)}" for key, value in values.items() if value not in (None, "", [], {}))


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "?"


def _text(value: Any) -> str:
    """A value in one short line; of a hash its beginning."""
    if value is None or value == "":
        return ""
    text = " ".join(str(value).split())
    return text[:SHOWN] if len(text) == 64 and all(sign in "0123456789abcdef" for sign in text) else text[:LONGEST]
