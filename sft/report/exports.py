"""The same figures for other readers: Markdown for a pull request, CSV for a spreadsheet, JUnit XML for a CI server."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

from sft.errors import UsageError
from sft.evaluation import HEADLINE, SCORES, Condition, GateResult
from sft.files import atomic_write, disk_error
from sft.metrics import text as text_metrics
from sft.report import wording as words
from sft.report.data import SETS, Figure, ReportData, ReportSample, RunDifference
from sft.report.findings import findings
from sft.report.samples import REASONS

WARNING = "note"  # key of a note that is a warning
WORST = 10  # samples of a pull request
PAIR = 2  # runs whose change has a column of its own; of more, it stands behind each score
NOTHING = 1e-12
SHOWN = 80  # characters of one text in a table
COLUMNS = (
    "run",
    "step",
    "task",
    "dimension",
    "slice",
    "score",
    "version",
    "n",
    "independent",
    "value",
    "low",
    "high",
    "few",
    "delta",
    "delta_low",
    "delta_high",
    "p",
    "p_holm",
    "wins",
    "losses",
    "verdict",
)
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for a formula


def write_markdown(
    path: Path,
    data: ReportData,
    *,
    title: str,
    gates: Sequence[GateResult] = (),
    worst: int = WORST,
    conditions: Sequence[Condition] = (),
    notes: Sequence[tuple[str, str]] = (),
) -> None:
    """`report.md`: what the gates say, the findings, a table per task, the `worst` samples of the last run, and the
    conditions. Whole or not at all.
    """
    lines = [f"# {_inline(title)}", ""]
    if broken := sum(not gate.passed for gate in gates):
        lines += [f"**Gates: {broken} of {len(gates)} broken**", ""]
    for run, name in enumerate(data.names):
        scored, lost = data.counts(run)
        if lost:
            lines += [
                (
                    f"> **Incomplete:** {lost:,} of {scored + lost:,} answers of {_inline(name)} are lost; the scores"
                    " leave them out."
                ),
                "",
            ]
    lines += [f"> {_inline(note)}\n" for note in (*(value for key, value in notes if key == WARNING), *data.notes)]
    lines += [f"**Gates: all {len(gates)} kept**", ""] if gates and not broken else []
    if gates:
        lines += _table(
            ["", "gate", "run", "measured"],
            [
                ["kept" if gate.passed else "**broken**", _inline(gate.gate), _inline(gate.run), _inline(gate.reason)]
                for gate in gates
            ],
        )
    lines += [f"- **{item.title}** {_inline(item.text)}" for item in items] + [""] if (items := findings(data)) else []
    head = [
        "",
        *(_inline(name) for name in data.names),
        *([_inline(f"change: {data.names[1]} − {data.names[0]}")] if len(data.names) == PAIR else []),
    ]
    for task in data.tasks:
        lines += [
            f"## {words.task_name(task)} ({words.counted(*data.asked(task))})",
            "",
        ]
        names = sorted(
            SCORES,
            key=lambda name: name != HEADLINE[task],
        )
        lines += _table(
            head,
            [row for name in names if (row := _scores(data, task, name))],
        )
    keys = dict.fromkeys((item.label, item.task, item.score) for item in data.summary.figures if item.dimension == SETS)
    if keys:
        sets = [
            [f"{_inline(label)}: {row[0]}", *row[1:]]
            for label, task, name in keys
            if (row := _scores(data, task, name, SETS, label))
        ]
        lines += [
            f"## By {words.dimension_name(SETS)}",
            "",
            *_table(head, sets),
        ]
    lines += _worst(data, worst)
    if conditions:
        rows = [
            [_inline(item.name), *map(_inline, item.values), "**differs**" if item.differs else ""]
            for item in conditions
        ]
        lines += [
            "## Conditions",
            "",
            *_table(["", *(_inline(name) for name in data.names), "differs"], rows),
        ]
    lines += ["A change is that to the first run."] if len(data.names) > 1 else []
    lines += [
        "Limits are 95 % intervals (?: cannot be estimated; *: a single sample carries more than half of the spread)."
    ]
    lines += ["pp are percentage points; ↑ higher is better, ↓ lower is better."]
    lines += [
        (
            "**better** and **worse** are beyond chance; p is corrected for how many lines were looked at (Holm)."
            f" Normalisation: {text_metrics.RAW}."
        ),
        "",
    ]
    with atomic_write(path) as stream:
        stream.write("\n".join(lines).encode("utf-8", "replace"))


def _scores(data: ReportData, task: str, name: str, dimension: str = "", part: str = "") -> list[str]:
    figures = [data.summary.figure(run, task, name, dimension, part) for run in range(len(data.names))]
    if not any(figures) or (name in REASONS and not any(item and item.interval.value for item in figures)):
        return []  # nobody has to read that nothing was empty
    label = words.with_arrow(name)
    row = [f"**{label}**" if name == HEADLINE[task] else label]
    row += [
        f"{words.value(name, item.interval.value)} ({words.span(name, item.interval)})" if item else "–"
        for item in figures
    ]
    changes = [
        _moved(change) if (change := data.summary.change(run, task, name, dimension, part)) else ""
        for run in range(len(data.names))
    ]
    if len(data.names) == PAIR:
        return [*row, changes[-1] or "–"]
    return [
        row[0],
        *(f"{cell}; {change}" if change else cell for cell, change in zip(row[1:], changes, strict=True)),
    ]


def _moved(change: RunDifference) -> str:
    limits = f"({words.between(change.score, change.interval)}; {words.p_value(change.p_holm).replace('<', '&lt;')})"
    return f"{words.change(change.score, change.interval.value)} {limits}" + (
        f" **{change.words}**" if change.verdict else ""
    )


def _worst(data: ReportData, count: int) -> list[str]:
    """A table of the samples with the highest error, those that are right left out."""
    wrong = [sample for sample in data.worst_first() if sample.error(-1)][:count]
    if not wrong:
        return []
    rows = []
    for sample in wrong:
        pred = sample.answers[-1].pred.pred if sample.answers[-1] else ""
        rows.append(
            [
                str(sample.id),
                words.task_name(sample.task),
                _headline(sample),
                _code(sample.image),
                _code(text_metrics.normalise(sample.ref)),
                _code(text_metrics.normalise(pred)),
            ]
        )
    return [
        f"## The worst {len(rows)}" + (f" of {_inline(data.names[-1])}" if len(data.names) > 1 else ""),
        "",
        *_table(["sample", "task", "score", "image", "reference", "answer"], rows),
    ]


def _headline(sample: ReportSample) -> str:
    name = HEADLINE[sample.task]
    return f"{words.name_of(name)} {words.value(name, sample.value(-1, name) or 0.0)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def _inline(text: str) -> str:
    """Untrusted text as Markdown text: no markup, no links, no mentions, one line."""
    line = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~&@$])", lambda match: f"&#{ord(match[1])};", line).replace(
        "://",
        "&#58;//",
    )


def _code(text: str) -> str:
    """Untrusted text as code in a table cell, cut."""
    line = " ".join(text.split())
    line = line if len(line) <= SHOWN else line[:SHOWN] + "…"
    if not line:
        return "*empty*"
    return (
        "<code>"
        + re.sub(
            r"([\\`*_{}\[\]()#+!|<>~&@$:])",
            lambda match: f"&#{ord(match[1])};",
            line,
        )
        + "</code>"
    )


def write_csv(path: Path, data: ReportData) -> None:
    """`metrics.csv`: a row per run, task, slice and score; the change columns hold the change to the first run.
    Fractions, not percent.
    """
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(COLUMNS)
    for item in data.summary.figures:
        change = data.summary.change(
            item.run,
            item.task,
            item.score,
            item.dimension,
            item.label,
        )
        step = data.steps[item.run]
        moved: list[object] = [""] * 8
        if change:
            moved = [
                *map(
                    _number, (change.interval.value, change.interval.low, change.interval.high, change.p, change.p_holm)
                ),
                change.won[0],
                change.won[1],
                change.words,
            ]
        names = [
            _cell(text)
            for text in (
                data.names[item.run],
                "" if step is None else str(step),
                item.task,
                item.dimension,
                item.label,
                item.score,
            )
        ]
        figure = item.interval
        table.writerow(
            [
                *names,
                SCORES[item.score].version,
                item.n,
                figure.n,
                *map(_number, (figure.value, figure.low, figure.high)),
                int(figure.few),
                *moved,
            ]
        )
    with atomic_write(path) as out:
        out.write(stream.getvalue().encode("utf-8", "replace"))


def _number(value: float) -> str:
    """Six significant digits; what rounding leaves of nothing is 0, and what is not known is empty."""
    return (
        ""
        if not math.isfinite(value)
        else "0"
        if abs(value) < NOTHING
        else repr(float(f"{value:.6g}")).removesuffix(".0")
    )


def _cell(text: str) -> str:
    """Text that no spreadsheet runs."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_junit(path: Path, data: ReportData, *, title: str, gates: Sequence[GateResult] = ()) -> None:
    """`junit.xml`: a case per gate, failed where it is broken; one per run, failed where answers are lost; the scores
    as properties.
    """
    root = ElementTree.Element("testsuites", name=_xml(title))
    complete = ElementTree.SubElement(
        root,
        "testsuite",
        name="answers",
        tests=str(len(data.names)),
    )
    failed = 0
    for run, name in enumerate(data.names):
        case = ElementTree.SubElement(complete, "testcase", classname="answers", name=_xml(name))
        scored, lost = data.counts(run)
        if lost:
            failed += 1
            ElementTree.SubElement(
                case,
                "failure",
                message=f"{lost} of {scored + lost} answers are lost",
            )
    complete.set("failures", str(failed))
    properties = ElementTree.Element("properties")
    for name, figure in _properties(data):
        ElementTree.SubElement(
            properties,
            "property",
            name=_xml(name),
            value=_number(figure.interval.value),
        )
    complete.insert(0, properties)
    if gates:
        suite = ElementTree.SubElement(
            root, "testsuite", name="gates", tests=str(len(gates)), failures=str(sum(not gate.passed for gate in gates))
        )
        for gate in gates:
            case = ElementTree.SubElement(
                suite, "testcase", classname="gates", name=_xml(f"{gate.gate} ({gate.run})" if gate.run else gate.gate)
            )
            if not gate.passed:
                ElementTree.SubElement(case, "failure", message=_xml(gate.reason))
    root.set(
        "tests",
        str(len(data.names) + len(gates)),
    )
    root.set(
        "failures",
        str(failed + sum(not gate.passed for gate in gates)),
    )
    ElementTree.indent(root)
    with atomic_write(path) as stream:
        stream.write(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _properties(data: ReportData) -> Iterator[tuple[str, Figure]]:
    for item in data.summary.figures:
        if not item.dimension:
            yield f"{data.names[item.run]}/{item.task}/{item.score}", item


def _xml(text: str) -> str:
    """Text without what XML 1.0 cannot have."""
    return _NO_XML.sub("\ufffd", text)


EVENTS = "events.out.tfevents.*"


def write_tensorboard(folder: Path, data: ReportData) -> int:
    """Write the scores of every run that has a training step (`ReportData.steps`); gives how many scalars there are.

    folder: of these scores alone, such as RUN/tensorboard/eval; what an earlier call wrote there is replaced. Tags:
    `eval_ocr/cer`, and `eval_ocr/cer_low`, `eval_ocr/cer_high` for its interval. UsageError: TensorBoard is missing, or
    no run has a step.
    """
    steps = sorted((step, run) for run, step in enumerate(data.steps) if step is not None)
    if not steps:
        raise UsageError(
            "no run has a training step, so there is no curve",
            hint='name the runs after their steps ("step 200"), or give the steps',
        )
    try:
        from tensorboard.summary import Writer  # type: ignore[import-untyped]
    except ImportError as error:
        raise UsageError("TensorBoard is missing", hint="pip install 'paddleocr-vl-sft[tensorboard]'") from error
    count = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = list(folder.glob(EVENTS))
        writer = Writer(str(folder))
        for step, run in steps:
            for item in data.summary.figures:
                if item.run == run and not item.dimension:
                    for suffix, value in (
                        ("", item.interval.value),
                        ("_low", item.interval.low),
                        ("_high", item.interval.high),
                    ):
                        if math.isfinite(value):
                            writer.add_scalar(
                                f"eval_{item.task}/{item.score}{suffix}",
                                value,
                                step,
                            )
                            count += 1
        writer.close()
        for path in earlier:  # only now: a call that dies leaves what was there
            with suppress(FileNotFoundError):
                path.unlink()
    except OSError as error:
        raise disk_error(error, folder) from error
    return count
