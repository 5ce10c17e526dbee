"""Limits that a comparison must keep, as a YAML file; for CI.

    cer: {max: 0.05}                       # of every run but the base (of the only run, if there is one)
    table.teds: {min_delta: -0.01}         # task.metric; the difference to the base
    script=Bengali.cer: {max: 0.08}        # slice=value.metric
    forgetting: {max_drop: 0.02, confident: true}
    lost: {max: 0}

`confident: true` asks that the whole 95 % interval keeps the limit, not only the number: a gate that passes then has
shown it, and one with too few samples fails. What has no data fails too: a gate that was not measured was not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sft.errors import ProblemsFound, UsageError
from sft.evaluation.compare import Comparison, ScoreLine
from sft.evaluation.scores import HAS, HEADLINE, SCORES
from sft.evaluation.slices import DIMENSIONS
from sft.evaluation.statistics import FEW
from sft.files import plain_yaml, read_bounded

MAX_BYTES = 1 << 20
TASKS = tuple(HEADLINE)
NAMED = 12  # slices that a message names


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class MetricGate(_Strict):
    """Limits of one score, all of which must hold."""

    max: float | None = Field(None, description="highest score")
    min: float | None = Field(None, description="lowest score")
    max_delta: float | None = Field(None, description="highest run - base")
    min_delta: float | None = Field(None, description="lowest run - base")
    confident: bool = Field(False, description="the whole interval must keep the limits")

    @model_validator(mode="after")
    def _some_limit(self) -> MetricGate:
        if self.max is self.min is self.max_delta is self.min_delta is None:
            raise ValueError("no limit in it: give max, min, max_delta or min_delta")
        return self


class ForgettingGate(_Strict):
    """How much worse the headline score of any task may get, in its own unit (0.02 of CER, of TEDS, …)."""

    max_drop: float = Field(ge=0, description="greatest loss")
    confident: bool = Field(False, description="the whole interval must keep the limit")
    tasks: list[str] | None = Field(None, min_length=1, description="which; all tasks of the base model unless given")


class LostGate(_Strict):
    """How many answers may be lost, of each run."""

    max: int = Field(0, ge=0)


Gate = MetricGate | ForgettingGate | LostGate
_SPECIAL: dict[str, type[ForgettingGate] | type[LostGate]] = {"forgetting": ForgettingGate, "lost": LostGate}


@dataclass(frozen=True)
class GateResult:
    """One limit held against one number. `value` None: there are no data."""

    gate: str
    run: str
    passed: bool
    value: float | None
    reason: str


def load_gates(path: Path) -> dict[str, Gate]:
    """The gates of a file. UsageError that names every fault: no such file, unknown keys with suggestions, limits of
    the wrong type or that no score can reach, none at all.
    """
    try:
        values = plain_yaml.load(read_bounded(path, max_bytes=MAX_BYTES).decode())
    except ProblemsFound as error:
        raise UsageError(
            error.message, where=str(path), hint="eval/gates/ci.yaml is an example of such a file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"not YAML: {error}", where=str(path)) from error
    if not isinstance(values, dict) or not values:
        raise UsageError("no gates in it", where=str(path), hint="a line such as\n  cer: {max: 0.05}")
    gates: dict[str, Gate] = {}
    faults: list[str] = []
    for key, limits in values.items():
        try:
            gates[str(key)] = _gate(str(key), limits)
        except ValueError as error:
            faults.append(f"{key}: {error}")
    if faults:
        raise UsageError(
            "; ".join(faults),
            where=str(path),
            hint=(
                f"gates: lost, forgetting, or [task.|slice=value.]metric; tasks: {', '.join(TASKS)}; metrics:"
                f" {', '.join(SCORES)}"
            ),
        )
    return gates


def _gate(key: str, limits: Any) -> Gate:
    if not isinstance(limits, dict):
        raise ValueError(f"limits are expected, such as {{max: 0.05}}, found {_shown(limits)}")
    model = _SPECIAL.get(key, MetricGate)
    if model is MetricGate:
        scope, name, metric = parse_key(key)
        _known(
            metric,
            [*SCORES, *_SPECIAL] if scope == "all" else SCORES,
            "metric",
        )
        if scope == "task":
            _known(name, TASKS, "task")
        elif scope != "all":
            _known(scope, DIMENSIONS, "slice")
    for given in limits:
        _known(str(given), model.model_fields, "limit")
    try:
        gate = model.model_validate(
            {
                name: float(value) if type(value) is int and model is not LostGate else value
                for name, value in limits.items()
            }
        )
    except OverflowError:
        raise ValueError("a number that no score can reach") from None
    except ValidationError as error:
        raise ValueError(", ".join(_in_words(fault) for fault in error.errors())) from None
    for task in gate.tasks or () if isinstance(gate, ForgettingGate) else ():
        _known(task, TASKS, "task")
    _possible(key, gate)
    return gate


def _shown(value: object) -> str:
    return (
        repr(value)[:80]
        if value is None or isinstance(value, (str, float, bool))
        else f"a {type(value).__name__}"
        if isinstance(value, (list, dict))
        else str(value)[:80]
    )


def _in_words(fault: Any) -> str:
    """What pydantic found, as the other messages are written."""
    name = str(fault["loc"][0]) if fault["loc"] else ""
    kind = str(fault["type"])
    given = fault["input"]
    if kind == "missing":
        return f"{name} is missing"
    if kind == "value_error":
        return str(fault["msg"]).removeprefix("Value error, ")
    expected = {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "finite_number": "a finite number",
        "bool_type": "true or false",
        "greater_than_equal": f"{fault.get('ctx', {}).get('ge')} or more",
        "list_type": "a list of tasks",
        "too_short": "at least one task",
        "string_type": "the name of a task",
    }.get(kind, "something else")
    return f"{name} must be {expected}, found {_shown(given)}"


def _possible(key: str, gate: Gate) -> None:
    """ValueError where no score can ever keep or break a limit: 80 is meant as 0.8, and a table has no CER."""
    if isinstance(gate, ForgettingGate) and gate.max_drop > 1:
        raise ValueError(
            f"max_drop {gate.max_drop:g} is more than a score can lose; scores are fractions{_fraction(gate.max_drop)}"
        )
    if not isinstance(gate, MetricGate):
        return
    scope, name, metric = parse_key(key)
    if scope == "task" and metric not in HAS[name]:
        meant = get_close_matches(metric, HAS[name], n=1) or [HEADLINE[name]]
        raise ValueError(f"{name} has no {metric}, did you mean '{name}.{meant[0]}' ? It has: {', '.join(HAS[name])}")
    bounded = SCORES[metric].kind in ("share", "bounded")
    for limit, value in (("max", gate.max), ("min", gate.min)):
        if value is not None and (value < 0 or (bounded and value > 1)):
            raise ValueError(
                f"{limit} {value:g}: {metric} is {'between 0 and 1' if bounded else 'never below 0'}{_fraction(value)}"
            )
    for limit, value in (("max_delta", gate.max_delta), ("min_delta", gate.min_delta)):
        if value is not None and bounded and abs(value) > 1:
            raise ValueError(
                f"{limit} {value:g}: {metric} is between 0 and 1, so it cannot change by more than 1{_fraction(value)}"
            )
    for low, high in (("min", "max"), ("min_delta", "max_delta")):
        least = getattr(gate, low)
        most = getattr(gate, high)
        if least is not None and most is not None and least > most:
            raise ValueError(f"{low} {least:g} is above {high} {most:g}, which nothing can keep")


def _fraction(value: float) -> str:
    return f", did you mean {value / 100:g} ?" if 1 < abs(value) <= 100 else ""


def _known(name: str, names: Any, what: str) -> None:
    if name not in names:
        close = get_close_matches(name, list(names), n=1)
        raise ValueError(f"unknown {what} {name!r}" + (f", did you mean {close[0]!r} ?" if close else ""))


def parse_key(key: str) -> tuple[str, str, str]:
    """(scope, name, metric) of `cer`, `table.teds` or `script=Bengali.cer`; values of slices may hold dots.

    >>> parse_key("size=from 0.25 MP.cer")
    ('size', 'from 0.25 MP', 'cer')
    """
    part, _, metric = key.rpartition(".")
    dimension, mark, value = part.partition("=")
    if mark:
        return dimension, value, metric
    return ("task", part, metric) if part else ("all", "", metric)


def judge(gates: dict[str, Gate], comparison: Comparison) -> list[GateResult]:
    """Every limit of every gate against every run that it is for, in the order of the file."""
    outcomes: list[GateResult] = []
    for key, gate in gates.items():
        if isinstance(gate, LostGate):
            outcomes += [
                GateResult(key, run.name, run.lost <= gate.max, run.lost, f"{run.lost} lost, at most {gate.max}")
                for run in comparison.runs
            ]
        elif isinstance(gate, ForgettingGate):
            outcomes += _forgetting(key, gate, comparison)
        else:
            outcomes += _metric(key, gate, comparison)
    return outcomes


def _metric(key: str, gate: MetricGate, comparison: Comparison) -> Iterator[GateResult]:
    judged = [run.name for run in comparison.runs[1:]] or [comparison.runs[0].name]
    line = _line(key, comparison)
    if line is None:
        yield from (GateResult(key, run, False, None, f"no data: {_missing(key, comparison)}") for run in judged)
        return
    few = _few(line)
    scores = {score.run: score for score in line.scores}
    deltas = {delta.run: delta for delta in line.deltas}
    for run in judged:
        score = scores[run]
        high = float("inf") if score.high is None else score.high
        if gate.max is not None:
            yield _held(
                key,
                run,
                _Estimate(score.value, score.low, high, few),
                "at most",
                gate.max,
                gate.confident,
            )
        if gate.min is not None:
            yield _held(
                key,
                run,
                _Estimate(score.value, score.low, high, few),
                "at least",
                gate.min,
                gate.confident,
            )
        for limit, word in ((gate.max_delta, "at most"), (gate.min_delta, "at least")):
            if limit is not None and run not in deltas:
                yield GateResult(key, run, False, None, "no data: a difference needs a second run")
            elif limit is not None:
                delta = deltas[run]
                change = _Estimate(delta.value, delta.low, delta.high, few)
                yield _held(f"{key} delta", run, change, word, limit, gate.confident)


def _line(key: str, comparison: Comparison) -> ScoreLine | None:
    """The line of a key. A metric without a task is over all samples that have it, which may be those of one task."""
    scope, name, metric = parse_key(key)
    line = comparison.line(scope, name, metric)
    if line is None and scope == "all":
        tasks = [line for line in comparison.lines if line.scope == "task" and line.metric == metric]
        return tasks[0] if len(tasks) == 1 else None
    return line


def _missing(key: str, comparison: Comparison) -> str:
    """Why there is no line of a key, and which there are."""
    scope, name, _ = parse_key(key)
    lines = [line for line in comparison.lines if line.scope == scope]
    if scope in DIMENSIONS and not any(line.name == name for line in lines):
        names = list(dict.fromkeys(line.name for line in lines))
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        close = get_close_matches(name, names, n=1)
        there = (
            f"; {f'did you mean {close[0]!r} ? ' if close else ''}there are: {', '.join(names[:NAMED])}{more}"
            if names
            else f"; nothing is sliced by {scope} here"
        )
        return f"no slice {scope}={name}{there}"
    has = [line.metric for line in lines if line.name == name]
    return "no sample has this score" + (
        f"; {f'{scope}={name}' if scope in DIMENSIONS else name or 'all samples'} have: {', '.join(has)}" if has else ""
    )


def _forgetting(key: str, gate: ForgettingGate, comparison: Comparison) -> Iterator[GateResult]:
    rows = [row for row in comparison.forgetting if gate.tasks is None or row.task in gate.tasks]
    missing: Sequence[str] = [task for task in gate.tasks or () if task not in {row.task for row in rows}]
    for task in missing:
        yield GateResult(
            f"{key} {task}",
            comparison.runs[-1].name,
            False,
            None,
            "no data for this task",
        )
    if not comparison.forgetting:
        yield GateResult(key, comparison.runs[0].name, False, None, "no data: forgetting needs a second run")
    for row in rows:
        name = f"{key} {row.task}.{row.metric}"
        if row.drop is None or row.drop_low is None or row.drop_high is None:
            yield GateResult(name, row.run, False, None, "no data for this task")
        else:
            yield _held(
                name,
                row.run,
                _Estimate(row.drop, row.drop_low, row.drop_high, _few(comparison.line("task", row.task, row.metric))),
                "at most",
                gate.max_drop,
                gate.confident,
                what="drop ",
            )


def _few(line: ScoreLine | None) -> int:
    """How many independent samples a line has where they are too few for its interval; 0 where they are enough."""
    return line.independent if line and line.few else 0


class _Estimate(NamedTuple):
    """A figure with its limits. few: how many independent samples, where they are too few for the limits; else 0."""

    value: float
    low: float
    high: float
    few: int


def _held(
    gate: str,
    run: str,
    estimate: _Estimate,
    word: str,
    limit: float,
    confident: bool,
    *,
    what: str = "",
) -> GateResult:
    far = (estimate.high if word == "at most" else estimate.low) if confident else estimate.value
    few = estimate.few
    passed = (far <= limit if word == "at most" else far >= limit) and not (confident and few)
    shown = f"{what}{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"
    asked = (
        (
            " for the whole interval"
            + (f", which {few} independent samples cannot show ({FEW} are needed)" if few else "")
        )
        if confident
        else ""
    )
    return GateResult(
        gate,
        run,
        passed,
        estimate.value,
        f"{shown}, {word} {limit:g}{asked}",
    )
