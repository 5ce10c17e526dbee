"""A suite: named sets of samples, with what is asked and measured, in one YAML file; `eval/` holds those that ship.

    name: smoke
    sampling: {max_tokens: 512}
    sets:
      lines: {data: bengali, limit: 32, seed: 1}                     # a JSONL file, a folder, or a name under datasets/
      tables: {draw: table, count: 16, seed: 7}                      # drawn by `sft synth`
      pages: {data: OmniDocBench.json, format: omnidocbench, tasks: [table], metrics: [teds, teds_s]}

A suite becomes one data file, `data.jsonl`, in a folder beside the results: its rows are those of all sets in order,
each with `meta.source` (the set's name). Two models that are asked the same suite are asked the same file, so that `sft
compare` pairs them.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from sft import convert, formats, models
from sft.convert import ConvertRequest
from sft.datasets import locate as datasets
from sft.errors import ProblemsFound, UsageError
from sft.evaluation import EXTRAS, SCORES, task_of
from sft.files import atomic_write, bounded_lines, open_input, plain_yaml, read_samples, rejects_path
from sft.formats import SourceOptions
from sft.inference import Sampling, shown
from sft.runtime import Runner
from sft.types import Task
from sft.ui import counted

FOLDER = Path("eval")  # where the suites that ship lie
MAX_BYTES = 1024**2
MAX_FAULTS = 20  # that are told at once
MAX_PART = 255  # bytes of one name in a path, on all file systems
DATA = "data.jsonl"
HUB = "hub"  # the workbench's own JSONL
SuiteName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,60}$")
]  # becomes part of a file name
RenderedTask = Literal["text", "paragraph", "table", "formula", "chart"]


class _SuiteRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SamplingRule(_SuiteRecord):
    """How answers are drawn; what is left out, the level above decides."""

    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0)
    seed: int | None = Field(default=None)
    min_pixels: int | None = Field(default=None, ge=784)
    max_pixels: int | None = Field(default=None, ge=784)

    @model_validator(mode="after")
    def _ordered(self) -> SamplingRule:
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError("min_pixels is above max_pixels")
        return self


class SetRule(_SuiteRecord):
    """One set: either `data` (with its format) or `draw` (a kind, drawn `count` times from `seed`)."""

    data: str | None = Field(None, min_length=1, max_length=4000)
    format: str = HUB
    draw: RenderedTask | None = None
    count: int = Field(16, ge=1, le=100_000)
    seed: int = Field(0, ge=0, description="seed of what is generated, and of the choice of rows if there is a limit")
    degrade: Literal["none", "light", "medium", "strong"] = "light"
    fonts: list[str] = []
    tasks: list[Literal["ocr", "table", "formula", "chart", "spotting", "seal", "other"]] = Field(
        [], description="keep only these"
    )
    prompt: str | None = Field(
        None,
        min_length=1,
        description="used instead of each sample's own; a prompt that no model version has is scored as text",
    )
    limit: int | None = Field(None, ge=1, description="number of rows, chosen by `seed`")
    metrics: list[str] = Field([], description="scores to show; default: all of the task")
    sampling: SamplingRule = SamplingRule()

    @model_validator(mode="after")
    def _one_source(self) -> SetRule:
        if (self.data is None) == (self.draw is None):
            raise ValueError("a set has either data or draw")
        return self

    @field_validator("data")
    @classmethod
    def _possible_name(cls, path: str | None) -> str | None:
        if path is not None and max(len(part.encode()) for part in path.split("/")) > MAX_PART:
            raise ValueError("this file name is too long")
        return path

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in SCORES:
                raise ValueError(f"no score called {name!r}{_meant(name, SCORES)}; known: {', '.join(SCORES)}")
        return names

    @field_validator("format")
    @classmethod
    def _known_format(cls, name: str) -> str:
        if name != HUB and name not in formats.FORMATS:
            raise ValueError(f"no format called {name!r}{_meant(name, [HUB, *formats.FORMATS])}")
        return name


class Suite(_SuiteRecord):
    """A suite as it is written. `model`: whose prompts converted and drawn sets get."""

    name: SuiteName
    title: str = Field("", max_length=300)  # with a limit, pydantic refuses halves of characters
    model: Literal["0.9B", "1.5", "1.6"] = "0.9B"
    sampling: SamplingRule = SamplingRule()
    sets: dict[SuiteName, SetRule] = Field(min_length=1)

    @property
    def extras(self) -> frozenset[str]:
        """The scores of `sample_scores.EXTRAS` that a set names."""
        return frozenset(name for rule in self.sets.values() for name in rule.metrics if name in EXTRAS)

    def sampling_of(self, name: str, default: Sampling) -> Sampling:
        """How the set called `name` is sampled: its own rule, else the suite's, else `default`."""
        chosen = {field: getattr(default, field) for field in SamplingRule.model_fields}
        for rule in (self.sampling, self.sets[name].sampling):
            chosen |= rule.model_dump(exclude_none=True)
        return Sampling(**chosen)


def _meant(name: str, known: Mapping[str, object] | list[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r} ?" if close else ""


def find(name: str) -> Path | None:
    """The file that SUITE=… means: a .yaml file, or a name under eval/; None where it means neither."""
    given = Path(name)
    if given.suffix in (".yaml", ".yml") and given.name != "dataset.yaml":
        return given
    shipped = FOLDER / f"{name}.yaml"
    return shipped if "/" not in name and shipped.is_file() else None


def known() -> list[str]:
    """Names of the suites under eval/."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(path: Path) -> Suite:
    """A suite, checked; UsageError with every fault, and what was probably meant."""
    with open_input(path) as stream:
        text = stream.read(MAX_BYTES + 1)
    try:
        if len(text) > MAX_BYTES:
            raise UsageError(
                f"more than {MAX_BYTES:,} bytes",
                where=str(path),
                hint="this is not a suite",
            )
        values = plain_yaml.load(text)
        if not isinstance(values, dict):
            raise UsageError(
                f"a list of `name: value` lines is expected, found a {type(values).__name__}",
                where=str(path),
                hint="eval/smoke.yaml is an example",
            )
        return Suite.model_validate(values)
    except ValidationError as error:
        raise UsageError(
            "; ".join(_fault(fault) for fault in error.errors()[:MAX_FAULTS]),
            where=str(path),
            hint="eval/smoke.yaml is an example",
        ) from error
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # ValueError: no text, the 99th of a month, a number of 5,000 digits
        raise UsageError(f"not YAML: {error}", where=str(path)) from error


def _fault(fault: Any) -> str:
    place = [str(part) for part in fault["loc"]]
    where = shown(".".join(place))
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] != "extra_forbidden":
        return f"{where or 'the suite'}: {message[:1].lower()}{message[1:]}"
    fields = (
        SamplingRule.model_fields
        if "sampling" in place[:-1]
        else SetRule.model_fields
        if place[0] == "sets"
        else Suite.model_fields
    )
    return f"{where}: unknown key{_meant(place[-1], list(fields))}"


@dataclass(frozen=True)
class ReadySuite:
    """A suite whose data lie on this disk.

    set_of: line of `data` → name of its set; sources: set → the file its rows are from.
    """

    suite: Suite
    data: Path
    set_of: dict[int, str]
    sources: dict[str, Path]


def make_ready(suite: Suite, home: Path, folder: Path, *, say: Callable[[str], None] = lambda _: None) -> ReadySuite:
    """Draw, convert and choose; writes data.jsonl into `folder`. home: what paths in the suite count from where they
    are relative.

    What was drawn or converted before is used again. UsageError: a source that is not there; ProblemsFound: a set
    without rows.
    """
    rows: list[bytes] = []
    set_of: dict[int, str] = {}
    sources: dict[str, Path] = {}
    for name, rule in suite.sets.items():
        source = sources[name] = _source(name, rule, suite, home, folder, say)
        chosen = _chosen(name, rule, source, folder)
        set_of |= dict.fromkeys(
            range(len(rows) + 1, len(rows) + len(chosen) + 1),
            name,
        )
        rows += chosen
        say(f"  {name}: {counted(len(chosen), 'sample')} of {source}")
    data = folder / DATA
    content = b"".join(row + b"\n" for row in rows)
    if not data.is_file() or data.read_bytes() != content:
        with atomic_write(data) as stream:
            stream.write(content)
    return ReadySuite(suite, data, set_of, sources)


def _source(name: str, rule: SetRule, suite: Suite, home: Path, folder: Path, say: Callable[[str], None]) -> Path:
    """The JSONL file that a set's rows are read from."""
    if rule.draw:
        from sft.synth import SynthRequest as Drawing
        from sft.synth import synth

        mark = _mark(
            rule.draw,
            rule.count,
            rule.seed,
            rule.degrade,
            rule.fonts,
            suite.model,
        )
        out = folder / f"{name}-{mark}.jsonl"
        synth(
            Drawing(
                rule.draw,
                rule.count,
                tuple(rule.fonts),
                None,
                rule.seed,
                rule.degrade,
                models.get(suite.model).name,
                False,
                0,
            ),
            out,
        )
        return out
    given = home / (rule.data or "")
    if rule.format == HUB:
        if (given / "test.jsonl").is_file():
            return given / "test.jsonl"
        if (
            not given.exists()
            and not Path(rule.data or "").exists()
            and not (datasets.DATASETS / (rule.data or "")).exists()
        ):
            raise _not_there(name, rule, given)
        data_set = datasets.find(
            str(given) if given.exists() else rule.data or "",
            say=say,
        )
        return data_set.train if given.is_file() else data_set.test or data_set.train
    source = given if given.exists() else Path(rule.data or "")
    if not source.exists() and rule.format not in convert.HUB_NAMES:
        raise _not_there(name, rule, given)
    tasks = [Task(task) for task in rule.tasks if task != "other"]
    out = folder / f"{name}-{_mark(str(source.resolve()), rule.format, suite.model)}.jsonl"
    options = SourceOptions(task=tasks[0] if len(tasks) == 1 and len(rule.tasks) == 1 else None)
    order = ConvertRequest(
        rule.format,
        source,
        out if options.task is None else out.with_name(f"{out.stem}-{tasks[0].value}.jsonl"),
        options,
        model=suite.model,
    )
    result = convert.convert(order, Runner())
    counts = result.manifest["counts"]
    if counts["rejected"]:
        say(
            f"  {name}: {counts['in']} in = {counts['out']} out + {counts['rejected']} rejected, see"
            f" {rejects_path(order.out)}"
        )
    return order.out


def _not_there(name: str, rule: SetRule, given: Path) -> UsageError:
    places = f"neither beside the suite ({given}) nor in the current directory" + (
        f", nor is it a name under {datasets.DATASETS}/" if rule.format == HUB else ""
    )
    return UsageError(
        f"the data of the set {name}, {rule.data}, is {places}",
        hint="correct the path in the suite, or move the data there",
    )


def _mark(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:8]


def _chosen(name: str, rule: SetRule, source: Path, folder: Path) -> list[bytes]:
    """The rows of one set as they go into data.jsonl."""
    with open_input(source) as stream:
        lines = [line for _, line, _ in bounded_lines(stream)]
    rows = []
    for (_, sample), line in zip(read_samples(source), lines, strict=True):
        if not rule.tasks or task_of(sample.prompt) in rule.tasks:
            rows.append(line)
    if rule.limit is not None and len(rows) > rule.limit:
        keep = sorted(
            random.Random(f"{name}/{rule.seed}").sample(
                range(len(rows)),
                rule.limit,
            )
        )
        rows = [rows[index] for index in keep]
    if not rows:
        raise ProblemsFound(
            f"the set {name} has no rows",
            where=str(source),
            hint="look at its tasks, and at what was rejected when it was converted",
        )
    return [_placed(name, rule, msgspec.json.decode(row), source.parent, folder) for row in rows]


def _placed(name: str, rule: SetRule, row: dict[str, Any], base: Path, folder: Path) -> bytes:
    """A row with its images found from `folder`, its set's name, and the prompt of the rule."""
    for image in row["image_info"]:
        image["image_url"] = os.path.relpath(base / image["image_url"], folder)
    if rule.prompt is not None:
        row["text_info"][0]["text"] = rule.prompt
    meta = row.get("meta")
    row["meta"] = {**(meta if isinstance(meta, dict) else {}), "source": name}
    return msgspec.json.encode(row)
