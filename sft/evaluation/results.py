"""results.json: the numbers of one run and everything that decides them, typed; the schema is published in
`sft/schema/`.

in = scored + lost, for the run, each task and each set. A score is over the samples that have an answer; `complete`
says whether that is all of them, and `lost` why not. Two runs may be compared where data.content, sampling,
normalisation and the versions of the metrics are the same.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from statistics import quantiles
from typing import Any, Literal

import msgspec

from sft import __version__
from sft.errors import SftError, UsageError
from sft.evaluation.alarms import alarms_of
from sft.evaluation.run_scores import score
from sft.evaluation.scores import SCORES, Pair, pairs_of, task_of, totals
from sft.files import sha256
from sft.inference import LOST, Sampling, Served, Server
from sft.metrics import METRICS, text
from sft.models import pixel_limits
from sft.types import Prediction

ResultsFormat = Literal["sft.results/1"]
FORMAT: ResultsFormat = "sft.results/1"
Pairs = tuple[list[dict[str, Pair] | None], dict[str, str]]  # of each sample; task → why it cannot be scored here
GIT_SECONDS = 60.0  # only a file system that hangs takes as long


class Counts(msgspec.Struct):
    """Samples: in = scored + lost."""

    all: int = msgspec.field(name="in")
    scored: int
    lost: int


class LostReason(msgspec.Struct):
    """Why answers are missing: a code of `sft.inference.client.LOST`, how often, and what was seen the first time."""

    code: str
    meaning: str
    count: int
    example: str


class Part(msgspec.Struct):
    """The samples of one task, or of one set.

    scores: of the set of samples, as `metrics` defines them; unscored: why there are none.
    """

    counts: Counts
    scores: dict[str, float]
    unscored: str = ""


class SetPart(Part):
    """A set of a suite: its source file and hash, and what the suite says of it."""

    path: str = ""
    sha256: str = ""
    rule: dict[str, Any] = {}
    sampling: dict[str, Any] = {}


class MetricInfo(msgspec.Struct):
    """How to read one score.

    higher_is_better: None where neither is, as of a length. signature: what to quote beside the number.
    """

    version: str
    definition: str
    higher_is_better: bool | None
    signature: str = ""


class Pixels(msgspec.Struct):
    """Limits of the size that images are brought to; None: not known. origin: "request", "model directory" or
    "server".
    """

    min: int | None
    max: int | None
    origin: Literal["request", "model directory", "server"]


class Asked(msgspec.Struct):
    """Who was asked. fingerprint stands for the model; known_by: "directory" (its files), "name" (what the server
    tells) or "file".
    """

    url: str
    model: str
    kind: Literal["chat", "pipeline", "file"] = "chat"
    urls: list[str] = []
    fingerprint: str = ""
    known_by: Literal["directory", "name", "file"] = "name"
    told: str = ""


class Data(msgspec.Struct):
    """The data file. content: hash of prompts, references and the bytes of all images."""

    path: str
    sha256: str
    content: str = ""


class Template(msgspec.Struct):
    """The chat template: SHA-256 of its text, and who told it; of a server that tells only the "token ids" of a
    question: of these. Empty where nobody did.
    """

    sha256: str
    origin: Literal["", "model directory", "server", "token ids"]


class Git(msgspec.Struct):
    """A repository: `git` that of the current directory, `workbench_git` the one that this program was run from, if it
    was.
    """

    commit: str
    dirty: bool


class Timing(msgspec.Struct):
    """Seconds of the requests that gave an answer (with those of earlier runs that were kept), and how many were
    needed this time.
    """

    p50: float
    p95: float
    slowest: float
    asked: int
    kept: int
    retries: int


class Results(msgspec.Struct):
    """The content of results.json.

    `scores`: all samples read as text, whatever their task; `tasks`: each by its own measure. `alarms`: what all
    answers have in common and should not (`sft.evaluation.alarms`).
    """

    format: ResultsFormat
    name: str
    suite: str
    complete: bool
    counts: Counts
    scores: dict[str, float]
    tasks: dict[str, Part]
    sets: dict[str, SetPart]
    lost: list[LostReason]
    lost_because: list[tuple[str, int]]
    turns_not_scored: int
    stopped: str
    metrics: dict[str, MetricInfo]
    normalisation: str
    sampling: dict[str, Any]
    pixels: Pixels
    template: Template
    endpoint: Asked
    server: str
    data: Data
    workbench: str
    git: Git | None
    workbench_git: Git | None
    seeds: dict[str, int]
    timing: Timing | None
    created: str
    conditions: dict[str, Any] = {}
    alarms: list[str] = []


def schema() -> dict[str, Any]:
    """JSON Schema of results.json, as `sft/schema/results.schema.json` publishes it."""
    made = msgspec.json.schema(Results)
    for part in made["$defs"].values():
        if "description" in part:  # a docstring, whose line ends mean nothing
            part["description"] = " ".join(part["description"].split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "results.json of sft eval",
        **made,
    }


@dataclass(frozen=True)
class Asking:
    """Who was asked, and how. sampling: None where the predictions were made elsewhere."""

    endpoint: Asked
    sampling: Sampling | None = None
    pixels: Pixels = field(default_factory=lambda: Pixels(None, None, "server"))
    template: Template = field(default_factory=lambda: Template("", ""))
    server: str = ""


@dataclass(frozen=True)
class SuiteSets:
    """A suite. sets: what is known of each of its sets, whose scores `build` fills in; set_of: line → set."""

    name: str = ""
    sets: Mapping[str, SetPart] = field(default_factory=dict)
    set_of: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """How the run went. stopped: why it ended before all samples were asked; seeds: of sampling and of generated sets;
    created: when, now by default.
    """

    name: str = ""
    stopped: str = ""
    timing: Timing | None = None
    turns_not_scored: int = 0
    seeds: Mapping[str, int] = field(default_factory=dict)
    created: datetime | None = None


def build(
    preds: Sequence[Prediction],
    *,
    data: Data,
    asking: Asking,
    suite: SuiteSets | None = None,
    course: RunRecord | None = None,
    conditions: Mapping[str, Any] | None = None,
    pairs: Pairs | None = None,
) -> Results:
    """Score and describe. conditions: what decides the scores beside the model; pairs: of `scored`, if the caller has
    them.

    ProblemsFound: no predictions. EngineError: all of them are lost.
    """
    suite, course = suite or SuiteSets(), course or RunRecord()
    known, unscored = pairs or scored(preds)
    overall = score(preds, known)
    numbers = asdict(overall)
    n = numbers.pop("n")
    lost = numbers.pop("lost")
    rows = list(zip(preds, known, strict=True))
    parts = dict(suite.sets)
    for label, part in parts.items():
        whole = _part(
            [row for row in rows if suite.set_of.get(row[0].id) == label],
            unscored,
            part.rule.get("metrics") or (),
        )
        part.counts, part.scores, part.unscored = whole.counts, whole.scores, whole.unscored
    moment = (course.created or datetime.now(timezone.utc)).astimezone(timezone.utc)
    return Results(
        format=FORMAT,
        name=course.name or asking.endpoint.model,
        suite=suite.name,
        complete=overall.complete,
        counts=Counts(n + lost, n, lost),
        scores=numbers,
        tasks={
            task: _part([row for row in rows if task_of(row[0].prompt) == task], unscored)
            for task in dict.fromkeys(task_of(pred.prompt) for pred in preds)
        },
        sets=parts,
        lost=_lost(preds),
        lost_because=Counter(pred.error for pred in preds if pred.error).most_common(3),
        turns_not_scored=course.turns_not_scored,
        stopped=course.stopped,
        metrics=_metrics(),
        normalisation=text.RAW,
        sampling=(
            {key: value for key, value in asdict(asking.sampling).items() if not key.endswith("_pixels")}
            if asking.sampling
            else {}
        ),
        pixels=asking.pixels,
        template=asking.template,
        endpoint=asking.endpoint,
        server=asking.server,
        data=data,
        workbench=__version__,
        git=git(Path.cwd()),
        workbench_git=git(Path(__file__).parent),
        seeds=dict(course.seeds),
        timing=course.timing,
        created=moment.isoformat(timespec="seconds"),
        conditions=dict(conditions or {}),
        alarms=[alarm.text for alarm in alarms_of(preds)],
    )


def _metrics() -> dict[str, MetricInfo]:
    infos = {
        label: MetricInfo(
            item.version,
            item.definition,
            item.higher_is_better,
            "; ".join(METRICS[name].signature for name in item.metrics),
        )
        for label, item in SCORES.items()
    }
    cer = METRICS["cer"]
    return infos | {
        "cer_mean": MetricInfo(
            cer.version,
            "mean of the samples' cer",
            cer.higher_is_better,
            cer.signature.replace(cer.corpus.replace(" ", ""), "mean"),
        )
    }


def as_json(results: Results) -> dict[str, Any]:
    """The plain values that are written."""
    plain: dict[str, Any] = msgspec.to_builtins(results)
    return plain


def scored(
    preds: Sequence[Prediction], extras: Collection[str] = (), progress: Callable[[int], object] = lambda _: None
) -> Pairs:
    """The scores of each sample, and tasks that cannot be scored here with the reason; those are left out, not zero.
    extras, progress: as of `pairs_of`.
    """
    try:
        return pairs_of(preds, extras=extras, progress=progress), {}
    except UsageError as error:  # a library for charts is missing
        rest = [pred if task_of(pred.prompt) != "chart" else None for pred in preds]
        scored = iter(pairs_of([pred for pred in rest if pred], extras=extras))
        return [next(scored) if pred else None for pred in rest], {"chart": str(error)}


def _part(
    rows: Sequence[tuple[Prediction, dict[str, Pair] | None]], unscored: Mapping[str, str], wanted: Sequence[str] = ()
) -> Part:
    lost = sum(bool(pred.error) for pred, _ in rows)
    scores = {name: value for name, value in totals(pair for _, pair in rows).items() if not wanted or name in wanted}
    why = next(
        (unscored[task] for task in dict.fromkeys(task_of(pred.prompt) for pred, _ in rows) if task in unscored), ""
    )
    return Part(
        Counts(len(rows), len(rows) - lost, lost),
        scores,
        why,
    )


def _lost(preds: Sequence[Prediction]) -> list[LostReason]:
    counts = Counter(pred.reason or "answer.absent" for pred in preds if pred.error)
    first = {pred.reason or "answer.absent": pred.error for pred in reversed(preds) if pred.error}
    return [LostReason(code, LOST.get(code, ""), count, first[code]) for code, count in counts.most_common()]


def asked(served: Served) -> Asked:
    """The servers as results.json names them, without passwords."""
    first = served.endpoint
    urls = [server.endpoint.public for server in served.servers]
    return Asked(
        first.public,
        first.model or "",
        first.kind,
        urls,
        served.fingerprint,
        "directory" if served.known_by == "directory" else "name",
        served.servers[0].record,
    )


def versions(served: Served) -> str:
    """The servers' name and version, once; "" where they tell none."""
    return ", ".join(dict.fromkeys(server.version for server in served.servers if server.version))


def pixels_of(sampling: Sampling, directory: Path | None) -> Pixels:
    """The limits that hold: those asked for, else the model directory's, else the server's own, which nobody knows."""
    low = high = None
    if directory is not None:
        with suppress(SftError, OSError):
            low, high = pixel_limits(directory)
    if sampling.min_pixels or sampling.max_pixels:
        return Pixels(
            sampling.min_pixels or low,
            sampling.max_pixels or high,
            "request",
        )
    return Pixels(low, high, "model directory" if high else "server")


def template_of(directory: Path | None, server: Server) -> Template:
    """Hash of the chat template of a model directory, else of what the server tells: the template, or what comes of
    it.
    """
    path = directory / "chat_template.jinja" if directory else None
    if path and path.is_file():
        return Template(sha256(path), "model directory")
    if server.chat_template:
        return Template(
            hashlib.sha256(server.chat_template.encode()).hexdigest(),
            "server",
        )
    return Template(server.probed, "token ids" if server.probed else "")


def timing_of(preds: Sequence[Prediction], *, asked: int, kept: int, retries: int) -> Timing | None:
    """None where no request was answered."""
    seconds = sorted(round(pred.seconds, 4) for pred in preds if not pred.error)  # as answers are kept
    if not seconds:
        return None
    cuts = quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else seconds * 19
    return Timing(
        round(cuts[9], 4),
        round(cuts[18], 4),
        round(seconds[-1], 4),
        asked,
        kept,
        retries,
    )


def git(folder: Path) -> Git | None:
    """The commit of the repository that `folder` lies in; None where it lies in none, or there is no git."""

    def run(*words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
            encoding="utf-8",
            errors="replace",
        )
        return done.stdout.strip()

    with suppress(OSError, subprocess.SubprocessError):
        return Git(run("rev-parse", "HEAD"), bool(run("status", "--porcelain", "--untracked-files=no")))
    return None
